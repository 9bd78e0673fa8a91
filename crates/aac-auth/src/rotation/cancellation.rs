//! Letting go of work in the background: a program may end in the middle of a call that nobody waits for
//! any more, but not in the middle of an exchange of tokens.

use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a thread passes on its way to an exchange. The default is open for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Option<Arc<Mutex<IsClosed>>>);

#[derive(Debug, Default)]
pub(crate) struct IsClosed(bool);

impl Gate {
    /// One that can be closed.
    pub(crate) fn open() -> Self {
        Self(Some(Arc::default()))
    }

    /// Inside until the guard is dropped. For as short as an exchange takes, not the wait before it.
    pub(crate) fn enter(&self) -> Result<Option<MutexGuard<'_, IsClosed>>> {
        let Some(gate) = &self.0 else {
            return Ok(None);
        };
        let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        match *gate {
            // Nobody is there to read it.
            IsClosed(true) => Err(Error::Request { what: "no longer wanted".to_owned() }),
            IsClosed(false) => Ok(Some(gate)),
        }
    }

    /// Lets nobody enter from now on, and waits until who is inside has come out.
    pub(crate) fn close(&self) {
        if let Some(gate) = &self.0 {
            *gate.lock().unwrap_or_else(PoisonError::into_inner) = IsClosed(true);
        }
    }
}
