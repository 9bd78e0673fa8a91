//! Holds Ctrl-C and similar signals during a refresh: a program that dies between sending a refresh
//! token and saving the response loses the new pair.
//!
//! Handlers stay installed, so their effect depends on where the program is. Outside a refresh, a
//! signal acts as if there were no handler. During one, it waits until the pair is saved. A closing
//! terminal and `timeout` each send their signal twice, so a second one changes nothing. Only another
//! Ctrl-C, a second or more after the first signal, ends the program at once.
//!
//! Windows has console events instead of signals, and calls their handler on a thread of its own.

use crate::platform;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Once, OnceLock};
use std::time::Instant;

/// Two Ctrl-C signals closer than this, in milliseconds, count as one: shells and terminals repeat
/// signals.
const INSISTS_AFTER: u64 = 1000;

/// How many refreshes are in progress: clients of different files have one each.
static GUARDS: AtomicUsize = AtomicUsize::new(0);
/// The first pending signal, or 0.
static PENDING: AtomicI32 = AtomicI32::new(0);
/// When it arrived, in milliseconds since [`START`], plus one; 0 if none is pending.
static PENDING_SINCE: AtomicU64 = AtomicU64::new(0);
static START: OnceLock<Instant> = OnceLock::new();

/// Holds signals until dropped; a pending signal then acts.
#[derive(Debug)]
pub(crate) struct SignalGuard(());

impl SignalGuard {
    /// Installs the handlers, once. They change nothing until [`new`](Self::new).
    pub(crate) fn prepare() {
        static HANDLERS: Once = Once::new();
        HANDLERS.call_once(|| {
            START.get_or_init(Instant::now);
            platform::handle_signals();
        });
    }

    /// Holds signals from now on.
    pub(crate) fn new() -> Self {
        if GUARDS.fetch_add(1, SeqCst) == 0 {
            PENDING_SINCE.store(0, SeqCst);
        }
        Self(())
    }

    /// Whether a signal waits for the end of all guards.
    pub(crate) fn is_pending() -> bool {
        PENDING.load(SeqCst) != 0
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if GUARDS.fetch_sub(1, SeqCst) == 1 {
            PENDING_SINCE.store(0, SeqCst);
            let signal = PENDING.swap(0, SeqCst);
            if signal != 0 {
                platform::end_by(signal);
            }
        }
    }
}

/// What a handler asks when a signal comes: whether it is to end the program now. Everything called here
/// must be signal-safe: see [`platform::handle_signals`].
pub(crate) fn ends_program(signal: i32) -> bool {
    if GUARDS.load(SeqCst) == 0 {
        return true;
    }
    let elapsed = START.get().map_or(0, |start| start.elapsed().as_millis());
    let now = u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1;
    match PENDING_SINCE.compare_exchange(0, now, SeqCst, SeqCst) {
        Ok(_) => {
            PENDING.store(signal, SeqCst);
            // On another thread, the last guard may have been dropped without seeing the signal.
            GUARDS.load(SeqCst) == 0
        }
        Err(since) => platform::is_interrupt(signal) && now - since >= INSISTS_AFTER,
    }
}
