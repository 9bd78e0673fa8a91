//! How far a request got. ureq works on the thread that sends the request, and has no other way to report
//! this, so it is kept per thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    static PROGRESS: Arc<Mutex<Progress>> = Arc::new(Mutex::new(Progress::Connecting));
}

/// How far a thread's request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No connection yet, or only one to a proxy.
    ToProxy,
    /// No connection to the server yet, or one on which nothing was sent.
    Connecting,
    /// Part of the request may have left for the server itself.
    Sending,
    /// The same, and the server accepts no more of it at present.
    Stuck,
    /// The server accepts no more of it.
    Refused,
}

impl Progress {
    pub(crate) fn get() -> Self {
        PROGRESS.with(|progress| *lock(progress))
    }

    pub(crate) fn set(self) {
        PROGRESS.with(|progress| *lock(progress) = self);
    }

    /// Asks for this thread's progress from another thread.
    pub(crate) fn watch() -> impl Fn() -> Self + Send + 'static {
        let progress = PROGRESS.with(Arc::clone);
        move || *lock(&progress)
    }

    /// Whether the server may have received part of the request.
    pub(crate) fn is_sent(self) -> bool {
        matches!(self, Self::Sending | Self::Stuck | Self::Refused)
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
