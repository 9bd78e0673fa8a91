//! Cancels background work: a program may end in the middle of a call that nobody waits for any more,
//! but not in the middle of a refresh.

use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A gate that a thread passes before a refresh. The default is never cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation(Option<Arc<Mutex<IsCancelled>>>);

#[derive(Debug, Default)]
pub(crate) struct IsCancelled(bool);

impl Cancellation {
    /// One that can be cancelled.
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Enters, until the guard is dropped. Hold it only for the refresh, not for the wait before it.
    pub(crate) fn enter(&self) -> Result<Option<MutexGuard<'_, IsCancelled>>> {
        let Some(state) = &self.0 else {
            return Ok(None);
        };
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            // Nobody will read this.
            IsCancelled(true) => Err(Error::usage("no longer wanted")),
            IsCancelled(false) => Ok(Some(state)),
        }
    }

    /// Lets nobody enter from now on, and waits until nobody is inside.
    pub(crate) fn cancel(&self) {
        if let Some(state) = &self.0 {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = IsCancelled(true);
        }
    }
}
