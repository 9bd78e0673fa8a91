//! A terminal without echo and without lines.

use crate::platform::signals::SignalGuard;
use rustix::io::retry_on_intr;
use rustix::stdio::{stderr, stdin};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use zeroize::Zeroizing;

/// The attributes as they were, which a signal handler can read.
static BEFORE: OnceLock<Termios> = OnceLock::new();
static IS_RAW: AtomicBool = AtomicBool::new(false);
static HAS_BRACKETS: AtomicBool = AtomicBool::new(false);

/// Standard input, a terminal that echoes nothing and gives each key as it comes, until this is dropped.
///
/// A line as the system keeps it ends silently at 4,095 bytes (n_tty.c of Linux) or 1,024 (macOS); this has
/// no end. Ctrl-C, a signal that ends the program, and a panic restore the terminal. Ctrl-Z and Ctrl-\ are keys
/// without an effect: a shell would be left without an echo.
#[derive(Debug)]
pub struct RawInput {
    raw: Termios,
}

impl RawInput {
    /// Turns the echo off. `with_brackets`, the terminal marks where a paste begins and ends, if it can (bracketed
    /// paste, `ESC [ 200 ~` and `ESC [ 201 ~`): that is asked for on standard error.
    ///
    /// # Errors
    ///
    /// Standard input is no terminal, or a console that takes no such settings.
    pub fn open(with_brackets: bool) -> io::Result<Self> {
        SignalGuard::prepare();
        let before = tcgetattr(stdin())?;
        let mut raw = BEFORE.get_or_init(|| before).clone();
        // Signals stay: Ctrl-C ends all programs of the terminal, cargo among them.
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
        for code in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            raw.special_codes[code] = libc::_POSIX_VDISABLE;
        }
        // A read returns at once with what is there, or after 200 ms without (termios(3)).
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 2;
        IS_RAW.store(true, SeqCst);
        let input = Self { raw };
        // What was typed ahead counts.
        tcsetattr(stdin(), OptionalActions::Now, &input.raw)?;
        if with_brackets {
            HAS_BRACKETS.store(true, SeqCst);
            rustix::io::write(stderr(), b"\x1b[?2004h")?;
        }
        Ok(input)
    }

    /// Appends the keys that have come, in UTF-8, and returns how many bytes. After 200 ms without any it returns
    /// zero.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn read(&mut self, keys: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = Zeroizing::new([0; 4096]);
        let length = retry_on_intr(|| rustix::io::read(stdin(), &mut *buffer))?;
        if length == 0 {
            // A shell may have set it otherwise while the program was stopped. One that is gone says so.
            tcsetattr(stdin(), OptionalActions::Now, &self.raw)?;
        }
        keys.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl Drop for RawInput {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal as it was, and drops what was not read: a shell would show it, and run it. Signal-safe.
pub(super) fn restore() {
    if HAS_BRACKETS.swap(false, SeqCst) {
        let _ = rustix::io::write(stderr(), b"\x1b[?2004l");
    }
    if IS_RAW.swap(false, SeqCst)
        && let Some(before) = BEFORE.get()
    {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, before);
    }
}
