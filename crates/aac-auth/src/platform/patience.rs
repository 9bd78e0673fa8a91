//! Patience with other programs: on Windows a file cannot be opened, replaced or removed as long as a
//! virus scanner, a backup or an editor has it open and does not share it.

use crate::platform::system;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long an operation waits for other programs in all. A scanner takes a fraction of a second.
const LONGEST: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// The patience of one operation, from its first failure on.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    deadline: Option<Instant>,
    pause: Duration,
}

impl Patience {
    /// Waits a little if this failure may pass; otherwise returns false at once.
    pub(crate) fn waits_for(&mut self, error: &io::Error) -> bool {
        let now = Instant::now();
        if !system::may_pass(error) || now >= *self.deadline.get_or_insert(now + LONGEST) {
            return false;
        }
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        thread::sleep(self.pause);
        true
    }
}

/// Does something with a file, and again as long as another program's hold on it may be in the way.
pub(crate) fn patiently<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut patience = Patience::default();
    loop {
        match operation() {
            Err(error) if patience.waits_for(&error) => {}
            result => return result,
        }
    }
}
