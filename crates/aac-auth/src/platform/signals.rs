//! Ctrl-C and its like, held while a refresh token is on its way: a program that dies between the
//! sending of a refresh token and the saving of the response takes the new pair with it.
//!
//! Handlers stay once they are set, so what they do depends on where the program is. Outside of a
//! refresh a signal acts as if there were no handler. Within one it waits until the pair is saved:
//! a terminal that is closed, and `timeout`, send theirs twice, so a second one changes nothing. Only
//! a person who presses Ctrl-C again, a second or more after the first signal, ends the program at
//! once. A signal that the program was started to ignore (`nohup`, a shell's `&`) stays ignored.

use crate::platform;
use crate::platform::cleanup;
use signal_hook::low_level;
use std::process;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Once, OnceLock};
use std::time::Instant;

/// Two presses of Ctrl-C closer than this, in milliseconds, are one: shells and terminals repeat
/// signals.
const INSISTS_AFTER: u64 = 1000;

/// How many tokens are on their way: clients of several files have one each.
static GUARDS: AtomicUsize = AtomicUsize::new(0);
/// The first signal that waits; 0 where none does.
static PENDING: AtomicI32 = AtomicI32::new(0);
/// When it came, in milliseconds since [`START`], plus one; 0 where none has.
static PENDING_SINCE: AtomicU64 = AtomicU64::new(0);
static START: OnceLock<Instant> = OnceLock::new();

/// Signals are held until this is dropped; one that came acts then.
#[derive(Debug)]
pub(crate) struct SignalGuard(());

impl SignalGuard {
    /// Sets the handlers, once; until [`new`](Self::new) they change nothing.
    pub(crate) fn prepare() {
        static HANDLERS: Once = Once::new();
        HANDLERS.call_once(|| {
            START.get_or_init(Instant::now);
            for &signal in platform::ENDING_SIGNALS {
                if !platform::is_ignored(signal) {
                    // A signal that cannot be handled is one that cannot be held.
                    let _ = platform::on_signal(signal, act);
                }
            }
        });
    }

    /// Holds signals from now on.
    pub(crate) fn new() -> Self {
        if GUARDS.fetch_add(1, SeqCst) == 0 {
            PENDING_SINCE.store(0, SeqCst);
        }
        Self(())
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if GUARDS.fetch_sub(1, SeqCst) == 1 {
            PENDING_SINCE.store(0, SeqCst);
            let signal = PENDING.swap(0, SeqCst);
            if signal != 0 {
                end(signal);
            }
        }
    }
}

/// The handler. Whatever it calls must be allowed in one: see [`platform::on_signal`].
fn act(signal: i32) {
    if GUARDS.load(SeqCst) == 0 {
        return end(signal);
    }
    let elapsed = START.get().map_or(0, |start| start.elapsed().as_millis());
    let now = u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1;
    match PENDING_SINCE.compare_exchange(0, now, SeqCst, SeqCst) {
        Ok(_) => {
            PENDING.store(signal, SeqCst);
            // On another thread, the last guard may have gone meanwhile without seeing it.
            if GUARDS.load(SeqCst) == 0 {
                end(signal);
            }
        }
        Err(since) if signal == platform::SIGINT && now - since >= INSISTS_AFTER => end(signal),
        Err(_) => {}
    }
}

/// Ends the program as the signal would have, for the shell to see.
fn end(signal: i32) {
    cleanup::remove_files();
    if process::id() == 1 {
        // The first process of a container is not ended by its own signals. The code is the shell's.
        low_level::exit(128 + signal);
    }
    let _ = low_level::emulate_default_handler(signal);
}
