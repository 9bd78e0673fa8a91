//! A file that gets its name once it is complete. Until then, any file of that name stays unchanged.

use crate::platform::{self, folder_of};
use crate::random;
use crate::store::folder;
use crate::tokens::secret::Digest;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: File,
    place: Place,
}

/// Where the content is until it is complete.
#[derive(Debug)]
enum Place {
    /// In a file without a name; it ends with the program, however that ends.
    Unnamed,
    /// In a file beside it.
    Part(Part),
    /// In the file itself: it can be written, but its folder cannot. It is emptied only when the first
    /// byte arrives.
    Itself { is_emptied: bool },
}

impl AtomicFile {
    /// Creates the file's temporary place. `path` contains no symbolic link.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let old = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            old => Some(old?),
        };
        let made = match platform::unnamed_file(folder_of(&path)) {
            Some(file) => Ok((file, Place::Unnamed)),
            None => Part::create(&path).map(|(file, part)| (file, Place::Part(part))),
        };
        let (file, place) = match (made, old) {
            (Err(error), Some(old)) if is_forbidden(&error) => {
                (old, Place::Itself { is_emptied: false })
            }
            (made, None) => made?,
            (made, Some(old)) => {
                let (made, wanted) = (made?, old.metadata()?.permissions());
                match made.0.set_permissions(wanted.clone()) {
                    // Some mounts let no mode be set: all files have the same there, or else keep their own.
                    Err(_) if made.0.metadata()?.permissions() != wanted => {
                        (old, Place::Itself { is_emptied: false })
                    }
                    _ => made,
                }
            }
        };
        Ok(Self { path, file, place })
    }

    /// Whether the file itself is written, so that an interruption leaves it incomplete.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.place, Place::Itself { .. })
    }

    /// Gives the content its name.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.empty_itself()?;
        let file = self.file;
        let part = match self.place {
            Place::Itself { .. } => return Ok(()),
            Place::Part(part) => part,
            // A new name is taken in one step; an old file can only be replaced by a rename.
            Place::Unnamed if platform::name_file(&file, &self.path).is_ok() => return Ok(()),
            Place::Unnamed => {
                lock(&file);
                let part = Part::unused(&self.path);
                platform::name_file(&file, &part.path)?;
                part
            }
        };
        // As long as it is locked, nobody takes it for a leftover. But not every file system renames
        // open files.
        let renamed = fs::rename(&part.path, &self.path).or_else(|_| {
            drop(file);
            folder::rename(&part.path, &self.path)
        });
        renamed.map_err(|error| {
            // It is complete, so it is kept, under a name that the next download does not remove.
            let kept = part.path.with_extension("kept");
            let kept = match fs::rename(&part.path, &kept) {
                Ok(()) => kept,
                Err(_) => part.path.clone(),
            };
            mem::forget(part);
            io::Error::other(format!("{error}; the result is in {}", kept.display()))
        })
    }

    fn empty_itself(&mut self) -> io::Result<()> {
        if let Place::Itself { is_emptied: is_emptied @ false } = &mut self.place {
            self.file.set_len(0)?;
            *is_emptied = true;
        }
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.empty_itself()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file beside the target, locked while it is written and removed when this is dropped. A program that
/// is ended leaves it behind; the next one with the same target finds it by its name, unlocked.
#[derive(Debug)]
struct Part {
    path: PathBuf,
}

impl Part {
    fn create(target: &Path) -> io::Result<(File, Self)> {
        remove_leftovers(target);
        loop {
            let part = Self::unused(target);
            let file = File::create_new(&part.path)?;
            lock(&file);
            // Another program may have taken it for a leftover before it was locked.
            if part.path.try_exists()? {
                return Ok((file, part));
            }
        }
    }

    /// An unused name, whoever else writes here. Creates no file yet.
    fn unused(target: &Path) -> Self {
        let name = format!("{}{}.part", prefix(target), random::name());
        Self { path: folder_of(target).join(name) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Best effort: nobody needs the file, and usually it has been renamed by now.
        let _ = platform::patiently(|| fs::remove_file(&self.path));
    }
}

/// How the name of a target's parts begins. It is short: the target's own may be as long as names can be.
fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default();
    format!("aac-{:.16}-", Digest::of(name.as_encoded_bytes()).to_string())
}

/// Removes the parts of a target that nobody has locked. Best effort: they are in nobody's way.
fn remove_leftovers(target: &Path) {
    let prefix = prefix(target);
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_part = path.extension() == Some(OsStr::new("part"))
            && entry.file_name().to_string_lossy().starts_with(&prefix);
        if is_part
            && let Ok(file) = platform::open_plain(&path, File::options().write(true))
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Best effort: where files cannot be locked, no part is taken for a leftover.
fn lock(file: &File) {
    let _ = file.lock();
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem;

    /// As on a file system without unnamed files.
    fn with_part(path: &Path) -> AtomicFile {
        let (file, part) = Part::create(path).unwrap();
        AtomicFile { path: path.to_owned(), file, place: Place::Part(part) }
    }

    #[test]
    fn a_file_is_replaced_when_it_is_whole_and_not_before() {
        let create = |path: &Path| AtomicFile::create(path.to_owned()).unwrap();
        for create in [create, with_part] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("result");
            for old in [None, Some("old")] {
                let now = || fs::read_to_string(&path).ok();
                let mut file = create(&path);
                file.write_all(b"new").unwrap();
                assert_eq!(now().as_deref(), old);
                drop(file);
                assert_eq!(now().as_deref(), old);
                assert_eq!(fs::read_dir(&folder).unwrap().count(), old.iter().len());
                let mut file = create(&path);
                file.write_all(b"new").unwrap();
                file.commit().unwrap();
                assert_eq!(now().as_deref(), Some("new"));
                assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
                fs::write(&path, "old").unwrap();
            }
        }
    }

    #[test]
    fn a_whole_result_that_cannot_take_its_name_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        let mut file = with_part(&path);
        file.write_all(b"new").unwrap();
        fs::create_dir(&path).unwrap();
        let error = file.commit().unwrap_err().to_string();
        let (_, part) = error.split_once("; the result is in ").unwrap();
        assert_eq!(fs::read(part).unwrap(), b"new");
    }

    #[test]
    fn the_next_download_to_a_name_removes_what_an_interrupted_one_has_left() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let [path, other] = ["result", "other"].map(|name| folder.path().join(name));
        // As where a signal ends the program.
        let leave = |path: &Path| {
            let (_, part) = Part::create(path).unwrap();
            let left = part.path.clone();
            mem::forget(part);
            left
        };
        let [left, of_other] = [leave(&path), leave(&other)];
        let mut kept = vec![of_other];
        let mut being_written = with_part(&path);
        assert!(!left.exists());
        let Place::Part(part) = &being_written.place else { unreachable!() };
        kept.push(part.path.clone());
        let next = with_part(&path);
        assert!(kept.iter().all(|path| path.exists()), "{:?}", names().collect::<Vec<_>>());
        drop(next);
        being_written.write_all(b"new").unwrap();
        being_written.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names().count(), 2);
    }
}
