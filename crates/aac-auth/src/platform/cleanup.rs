//! Files that a signal must not leave behind.
//!
//! A handler may interrupt anything, so it does not allocate or lock: the paths are stored byte by
//! byte in static memory.

use crate::platform;
use std::path::Path;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// How many files can be registered at a time. Any further file is left behind if a signal comes,
/// which is rare.
const ENTRIES: usize = 8;
/// The longest path, with its zero byte. A handler copies it, and may have a small stack.
const LENGTH: usize = 1024;

static FILES: [File; ENTRIES] = [const { File::none() }; ENTRIES];

const FREE: u8 = 0;
const BUSY: u8 = 1;
const REGISTERED: u8 = 2;
/// Permanent: the program is about to end.
const REMOVED: u8 = 3;

struct File {
    state: AtomicU8,
    path: [AtomicU8; LENGTH],
}

/// Removes a file if a handled signal ends the program before this is dropped.
#[derive(Debug)]
pub(crate) struct Registration(&'static AtomicU8);

/// Registers a file; `None` if that is impossible.
pub(crate) fn register(path: &Path) -> Option<Registration> {
    let path = path.as_os_str().as_encoded_bytes();
    if path.len() >= LENGTH {
        return None;
    }
    let free = |file: &&File| file.state.compare_exchange(FREE, BUSY, AcqRel, Relaxed).is_ok();
    let file = FILES.iter().find(free)?;
    for (place, byte) in file.path.iter().zip(path.iter().chain([&0])) {
        place.store(*byte, Relaxed);
    }
    file.state.store(REGISTERED, Release);
    Some(Registration(&file.state))
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _ = self.0.compare_exchange(REGISTERED, FREE, AcqRel, Relaxed);
    }
}

/// Removes the registered files. May be called in a signal handler.
pub(crate) fn remove_files() {
    for file in &FILES {
        if file.state.compare_exchange(REGISTERED, REMOVED, AcqRel, Acquire).is_ok() {
            let path: [u8; LENGTH] = std::array::from_fn(|index| file.path[index].load(Relaxed));
            platform::unlink(&path);
        }
    }
}

impl File {
    const fn none() -> Self {
        Self { state: AtomicU8::new(FREE), path: [const { AtomicU8::new(0) }; LENGTH] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_registered_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [gone, done, other] = ["gone", "done", "other"].map(|name| folder.path().join(name));
        for path in [&gone, &done, &other] {
            fs::write(path, "").unwrap();
        }
        drop(register(&done).unwrap());
        let _registration = register(&gone).unwrap();
        assert!(register(Path::new(&"x".repeat(LENGTH))).is_none());
        remove_files();
        assert!(!gone.exists() && done.exists() && other.exists());
    }
}
