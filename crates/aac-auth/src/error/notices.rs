//! Messages on standard error while a run works: warnings always, its steps with `--verbose`.

use crate::error::display::one_line;
use crate::error::program;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Notices {
    pub(crate) verbose: bool,
}

impl Notices {
    /// Reports the current step, with `--verbose`, or if it `may_surprise` a person at a terminal.
    pub(crate) fn remark(self, may_surprise: bool, text: impl fmt::Display) {
        if self.verbose || may_surprise && io::stderr().is_terminal() {
            say(text);
        }
    }

    /// Tells a person at a terminal what is going on, but only after this time, unless the returned value is
    /// dropped first or there is nothing to tell then.
    ///
    /// Runs in its own thread, so that a stopped terminal (Ctrl-S) stops nothing else.
    pub(crate) fn after(
        self,
        time: Duration,
        text: impl FnOnce() -> Option<String> + Send + 'static,
    ) -> Option<Sender<Infallible>> {
        if !self.verbose && !io::stderr().is_terminal() {
            return None;
        }
        let (moment, ended) = channel();
        let wait = move || {
            if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
                && let Some(text) = text()
            {
                say(text);
            }
        };
        // This is only a courtesy.
        thread::Builder::new().name("notice".to_owned()).spawn(wait).ok()?;
        Some(moment)
    }

    /// Reports the current step, with `--verbose`.
    pub(crate) fn step(self, text: impl fmt::Display) {
        self.remark(false, text);
    }
}

/// Prints a warning on standard error: something to act on, though the program goes on.
///
/// ```
/// aac_auth::output::warn("two users have no name");
/// ```
pub fn warn(text: impl fmt::Display) {
    say(format_args!("warning: {text}"));
}

/// Prints on standard error what has happened, if nobody need act on it.
pub(crate) fn say(text: impl fmt::Display) {
    // `eprintln!` panics if standard error is closed, as it is for some services.
    let text = one_line(&text.to_string());
    let _ = io::stderr().write_all(format!("{}: {text}\n", program()).as_bytes());
}
