//! Holds requests at a point in the server, so that tests can act in the meantime.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Holds requests until it is dropped.
#[must_use = "dropping it releases the requests"]
pub struct Hold {
    gate: Arc<Gate>,
}

impl Hold {
    /// Waits until at least one request is held. Returns false if `timeout` passes first.
    pub fn wait_for_request(&self, timeout: Duration) -> bool {
        self.wait_for_requests(1, timeout)
    }

    /// Waits until at least `count` requests are held. Returns false if `timeout` passes first.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        let held = self.gate.held();
        let (_held, result) = self
            .gate
            .changed
            .wait_timeout_while(held, timeout, |held| *held < count)
            .unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// How many requests are held.
    pub fn held(&self) -> usize {
        *self.gate.held()
    }

    /// Releases the requests, as dropping the hold does.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.holds.send_modify(|holds| *holds -= 1);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("held", &self.held()).finish()
    }
}

/// A point that requests pass unless there is a [`Hold`].
#[derive(Debug)]
pub(crate) struct Gate {
    /// How many [`Hold`]s there are.
    holds: watch::Sender<usize>,
    /// How many requests wait here. The lock blocks, since tests wait for it in plain threads.
    held: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            holds: watch::Sender::new(0),
            held: Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.holds.send_modify(|holds| *holds += 1);
        Hold { gate: Arc::clone(self) }
    }

    /// Waits as long as there is a [`Hold`].
    pub(crate) async fn pass(&self) {
        let mut holds = self.holds.subscribe();
        if *holds.borrow() == 0 {
            return;
        }
        let _waiting = Waiting::new(self);
        // The sender lives in the gate, so that this cannot fail.
        let _ = holds.wait_for(|holds| *holds == 0).await;
    }

    fn held(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waiting request. It stops counting when it continues or its client leaves.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Self {
        *gate.held() += 1;
        gate.changed.notify_all();
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.0.held() -= 1;
    }
}
