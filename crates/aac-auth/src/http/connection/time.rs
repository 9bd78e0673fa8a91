//! How long a whole body may take. ureq waits for more of it as often as need be: a chunk may never begin, and a
//! decoder may never have a byte to return. So each wait asks here.

use crate::error::Limit;
use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    /// When the body must have come, and how long that may take. ureq waits on the thread that reads.
    static END: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Calls what reads a body, which ends with [`Limit::Time`] after this time.
pub(crate) fn within<T>(time: Duration, read: impl FnOnce() -> T) -> T {
    END.set(Some((Instant::now() + time, time)));
    let read = read();
    END.set(None);
    read
}

/// The limit that what this thread reads has reached, if it has one.
pub(super) fn reached() -> Option<Limit> {
    let (end, time) = END.get()?;
    (Instant::now() >= end).then_some(Limit::Time(time))
}
