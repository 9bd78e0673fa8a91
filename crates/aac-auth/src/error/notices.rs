//! What a run says while it works, on standard error: warnings always, its steps with `--verbose`.

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
    /// Something that the user should act on, though the call goes on.
    pub(crate) fn warn(self, text: impl fmt::Display) {
        warn(text);
    }

    /// What a person at a terminal should know for the next moment.
    pub(crate) fn remark(self, text: impl fmt::Display) {
        if self.verbose || io::stderr().is_terminal() {
            say(format_args!("{text}"));
        }
    }

    /// The same, if the moment lasts longer than this: until what is returned is dropped.
    ///
    /// In a thread of its own, so that a terminal that is stopped (Ctrl-S) stops nothing else.
    pub(crate) fn after(self, time: Duration, text: &'static str) -> Option<Sender<Infallible>> {
        if !self.verbose && !io::stderr().is_terminal() {
            return None;
        }
        let (moment, ended) = channel();
        let wait = move || {
            if ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                say(format_args!("{text}"));
            }
        };
        // It is no more than a courtesy.
        thread::Builder::new().name("notice".to_owned()).spawn(wait).ok()?;
        Some(moment)
    }

    /// What is being done, for those who asked.
    pub(crate) fn step(self, text: impl fmt::Display) {
        if self.verbose {
            say(format_args!("{text}"));
        }
    }
}

/// Says something on standard error that the user should know, though the program goes on.
///
/// ```
/// aac_auth::warn("two users have no name");
/// ```
pub fn warn(text: impl fmt::Display) {
    say(format_args!("warning: {text}"));
}

fn say(text: fmt::Arguments<'_>) {
    // `eprintln!` panics where standard error is closed, as it is for some services.
    let _ = io::stderr().write_all(format!("{}: {text}\n", program()).as_bytes());
}
