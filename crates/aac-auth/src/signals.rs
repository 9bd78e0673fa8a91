//! Ctrl-C and its like, held while a token is on its way: a program that dies between the sending
//! of a refresh token and the saving of the answer takes the answer with it.
//!
//! Handlers stay once they are set, so what they do depends on where the program is: outside of an
//! exchange a signal acts as if there were none; within one the first is remembered, and acts when
//! the tokens are saved; the second acts at once. A signal that the program was started to ignore
//! (`nohup`, a shell's `&`) stays ignored.

use crate::platform;
use signal_hook::{flag, low_level};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, Once, PoisonError};

static IS_OUTSIDE: AtomicBool = AtomicBool::new(true);
static IS_PENDING: AtomicBool = AtomicBool::new(false);
static PENDING: AtomicUsize = AtomicUsize::new(0);
/// How many exchanges are under way: clients of several files have one each.
static EXCHANGES: Mutex<usize> = Mutex::new(0);

/// Signals are held until this is dropped; one that came acts then.
#[derive(Debug)]
pub(crate) struct Held(());

impl Held {
    pub(crate) fn begin() -> Self {
        static HANDLERS: Once = Once::new();
        // A signal that cannot be handled is one that cannot be held; there is no more to do.
        HANDLERS
            .call_once(|| platform::ENDING_SIGNALS.iter().for_each(|&signal| drop(handle(signal))));
        let mut exchanges = EXCHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        *exchanges += 1;
        IS_OUTSIDE.store(false, SeqCst);
        Self(())
    }

    /// Whether a signal waits.
    pub(crate) fn is_pending(&self) -> bool {
        IS_PENDING.load(SeqCst)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut exchanges = EXCHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        *exchanges -= 1;
        if *exchanges == 0 {
            IS_OUTSIDE.store(true, SeqCst);
            if IS_PENDING.swap(false, SeqCst)
                && let Ok(signal) = i32::try_from(PENDING.load(SeqCst))
            {
                // Ends the program as the signal would have, for the shell to see.
                let _ = low_level::emulate_default_handler(signal);
            }
        }
    }
}

fn handle(signal: i32) -> io::Result<()> {
    if platform::is_ignored(signal) {
        return Ok(());
    }
    // They act in this order.
    flag::register_conditional_default(signal, &IS_OUTSIDE)?;
    flag::register_conditional_default(signal, &IS_PENDING)?;
    flag::register_usize(signal, &PENDING, usize::try_from(signal).unwrap_or_default())?;
    flag::register(signal, &IS_PENDING)?;
    Ok(())
}
