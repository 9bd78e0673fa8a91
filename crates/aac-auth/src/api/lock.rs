//! Waits for the programs that refresh the tokens meanwhile.

use crate::error::notices::say;
use crate::error::{Error, Result};
use crate::http::retry::jittered;
use crate::rotation::PATIENCE;
use crate::store::file_store::not_writable;
use crate::store::folder::Files;
use crate::store::lock::Lock;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often another program may be faster before a change of a pair is given up.
pub(super) const ROUNDS: usize = 20;

/// The lock of these files.
pub(super) fn lock(files: &Files) -> Result<Lock<'_>> {
    wait_for(&files.lock, || Lock::try_acquire(files).map_err(not_writable))
}

/// Waits for other programs, and says so.
pub(super) fn wait_for<T>(what: &Path, mut get: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let (start, mut pause) = (Instant::now(), Duration::from_millis(5));
    let mut has_said_so = false;
    loop {
        if let Some(got) = get()? {
            return Ok(got);
        }
        if start.elapsed() >= PATIENCE {
            return Err(Error::locked(&what.into(), PATIENCE));
        }
        if !has_said_so && start.elapsed() > Duration::from_millis(300) {
            has_said_so = true;
            say(format_args!(
                "waiting for a program that is refreshing the tokens ({})",
                what.display()
            ));
        }
        thread::sleep(jittered(pause));
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
