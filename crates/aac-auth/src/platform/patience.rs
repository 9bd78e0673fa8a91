//! Patience with other programs: on Windows a file cannot be opened, replaced or removed as long as a
//! virus scanner, a backup or an editor has it open and does not share it.

use crate::platform;
use std::io;
use std::path::Path;
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
    /// Waits a little if this failure may be due to another program that has the file open, and will not
    /// have it open for long; otherwise returns false at once. A rename has a second file, `to`.
    pub(crate) fn waits_for(&mut self, error: &io::Error, path: &Path, to: Option<&Path>) -> bool {
        // What was in the way may be gone before its cause can be found.
        let is_worth_a_try = || self.deadline.is_none() && platform::is_unclear(error);
        if !platform::may_pass(error, path, to) && !is_worth_a_try() {
            return false;
        }
        let now = Instant::now();
        if now >= *self.deadline.get_or_insert(now + LONGEST) {
            return false;
        }
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        thread::sleep(self.pause);
        true
    }
}

/// Does something with the file at this path, and again as long as another program's hold on it is in
/// the way.
pub(crate) fn patiently<T>(
    path: &Path,
    mut operation: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut patience = Patience::default();
    loop {
        match operation() {
            Err(error) if patience.waits_for(&error, path, None) => {}
            result => return result,
        }
    }
}
