//! One thread of this process at a time.
//!
//! The lock beside creds.json keeps threads apart as well. But where a vault's folder cannot be written there is none,
//! and where there is one, each thread that polled for it would read the secret again and again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Lets one thread after the other refresh.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    is_taken: Mutex<bool>,
    free: Condvar,
}

/// A thread's turn, which ends when this is dropped, be it by a panic.
pub(crate) struct TurnGuard<'a> {
    turns: &'a Turns,
    /// Whether another thread had to end first.
    pub(crate) has_waited: bool,
}

impl Turns {
    /// Waits for this thread's turn; none if it does not come until the deadline.
    pub(crate) fn take(&self, deadline: Instant) -> Option<TurnGuard<'_>> {
        let mut is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has_waited = *is_taken;
        while *is_taken {
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.free.wait_timeout(is_taken, left);
            is_taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Some(TurnGuard { turns: self, has_waited })
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        *self.turns.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.turns.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn threads_that_wait_for_one_another_do_not_add_up_their_patience() {
        let turns = Turns::default();
        let holder = turns.take(Instant::now()).unwrap();
        assert!(!holder.has_waited);
        let patience = Duration::from_millis(200);
        let deadline = Instant::now() + patience;
        let waited: Vec<_> = thread::scope(|scope| {
            let wait = || turns.take(deadline).map(|guard| guard.has_waited);
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(waited, [None; 8], "all of them gave up");
        assert!(Instant::now() < deadline + 8 * patience, "and not one after the other");
        drop(holder);
        assert!(turns.take(Instant::now()).is_some(), "the turn is free again");
    }

    #[test]
    fn a_turn_ends_with_a_panic() {
        let turns = Turns::default();
        let ended = thread::scope(|scope| {
            let panic = || {
                let _turn = turns.take(Instant::now());
                panic!("on purpose")
            };
            scope.spawn(panic).join()
        });
        assert!(ended.is_err());
        assert!(turns.take(Instant::now()).is_some());
    }
}
