//! One refresh at a time on this machine: the kernel's lock on creds.json.lock.
//!
//! The kernel drops the lock when the process that holds it ends, however it ends. There is no
//! stale lock to judge, and so no lock is ever stolen.

use crate::platform;
use crate::store::StoreError;
use crate::store::folder::{Files, at, is_in_use};
use std::fs::{self, File, TryLockError};
use std::io;

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock<'f> {
    file: File,
    /// What stands beside it.
    pub(crate) files: &'f Files,
}

impl<'f> Lock<'f> {
    /// Takes the lock, if it is free.
    pub(crate) fn try_acquire(files: &'f Files) -> Result<Option<Self>, StoreError> {
        let path = &files.lock;
        let file = match open(files) {
            // The lock file was deleted, and its holder is at work.
            Err(error) if error.is_taken() => return Ok(None),
            // Whoever holds it open will let go of it, as one who holds the lock will.
            Err(error) if platform::is_sharing_violation(&error.source) => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                let text = format!("it cannot be locked: {error}");
                return Err(at(path)(io::Error::new(io::ErrorKind::Unsupported, text)));
            }
        }
        let lock = Self { file, files };
        // Someone may have deleted the file since it was opened: then others lock a new one. And who
        // held the old one may be in the middle of a refresh.
        let is_ours = lock.is_named()? && !is_in_use(&files.journal)? && !is_in_use(files.next())?;
        Ok(is_ours.then_some(lock))
    }

    /// Whether the file that is locked still has its name. Otherwise others do not see the lock.
    pub(crate) fn is_named(&self) -> Result<bool, StoreError> {
        let path = &self.files.lock;
        platform::is_named(&self.file, path).map_err(at(path))
    }
}

/// Opens the lock file, and makes it where there is none: under another name first, so that it has its
/// rights before anyone sees it. It stays for ever.
fn open(files: &Files) -> Result<File, StoreError> {
    let path = &files.lock;
    let open = || platform::patiently(|| platform::open_to_lock(path));
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(at(path)),
    }
    if !platform::LOCKS_ARE_ADVISORY {
        // Nobody can open a file there before it has its rights. A link would be held open with its other
        // name.
        return match files.create_new(path) {
            Err(error) if error.source.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => open().map_err(at(path)),
        };
    }
    let new = files.new_lock();
    // It is the lock file that cannot be made, by whatever name.
    let of_lock = |error: StoreError| match error.place.file() {
        Some(place) if place == new => StoreError { place: path.into(), ..error },
        _ => error,
    };
    drop(files.create_new(&new).map_err(of_lock)?);
    let linked = fs::hard_link(&new, path);
    files.remove(&new).map_err(of_lock)?;
    if let Err(error) = linked
        && error.kind() != io::ErrorKind::AlreadyExists
        // Not every file system has links.
        && let Err(error) = files.create_new(path)
        // Someone was faster.
        && error.source.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    open().map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        let lock = || Lock::try_acquire(&files).unwrap();
        let first = lock().unwrap();
        assert!(lock().is_none());
        drop(first);
        // Where a file that is in use keeps others away, another run is at work, though the lock is free.
        for path in [&files.journal, files.next()] {
            let file = File::create(path).unwrap();
            file.lock().unwrap();
            assert_eq!(lock().is_none(), platform::LOCKS_ARE_ADVISORY, "{}", path.display());
        }
        assert!(lock().is_some());
        let first = lock().unwrap();
        if fs::remove_file(&files.lock).is_ok() {
            assert!(!first.is_named().unwrap(), "others do not see it");
        }
    }
}
