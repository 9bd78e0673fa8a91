//! A file that gets its name once it is complete. Until then, any file of that name stays unchanged.

use crate::platform;
use crate::platform::cleanup::{self, Registration};
use crate::platform::signals::SignalGuard;
use crate::random;
use crate::store::folder;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: BufWriter<File>,
    place: Place,
}

/// Where the content is until it is complete.
#[derive(Debug)]
enum Place {
    /// In a file without a name; it ends with the program, however that ends.
    Unnamed { handles_signals: bool },
    /// In a file beside it.
    Part(Part),
    /// In the file itself: it can be written, but its folder cannot. It is emptied only when the first
    /// byte arrives.
    Itself { is_emptied: bool },
}

impl AtomicFile {
    /// Creates the file's temporary place. `path` contains no symbolic link. With `handles_signals`, a
    /// signal that ends the program leaves nothing beside it.
    pub(crate) fn create(path: PathBuf, buffer: usize, handles_signals: bool) -> io::Result<Self> {
        let old = match fs::metadata(&path) {
            Ok(old) => Some((old.permissions(), File::options().write(true).open(&path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let folder = folder(&path);
        let made = match platform::unnamed_file(folder) {
            Some(file) => Ok((file, Place::Unnamed { handles_signals })),
            None => {
                Part::create(folder, handles_signals).map(|(file, part)| (file, Place::Part(part)))
            }
        };
        let (file, place) = match (made, old) {
            (Ok((file, place)), Some((permissions, _))) => {
                file.set_permissions(permissions)?;
                (file, place)
            }
            (Ok(made), None) => made,
            (Err(error), Some((_, old))) if is_forbidden(&error) => {
                (old, Place::Itself { is_emptied: false })
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Self { path, file: BufWriter::with_capacity(buffer, file), place })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file itself is written, so that an interruption leaves it incomplete.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.place, Place::Itself { .. })
    }

    /// Gives the content its name.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        self.empty_itself()?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut part = match self.place {
            Place::Itself { .. } => return Ok(()),
            Place::Part(part) => part,
            Place::Unnamed { handles_signals } => {
                // A new name is taken in one step; an old file can only be replaced by a rename.
                if platform::name_file(&file, &self.path).is_ok() {
                    return Ok(());
                }
                let part = Part::unused(folder(&self.path), handles_signals);
                platform::name_file(&file, &part.path)?;
                part
            }
        };
        // Closed first: Windows does not rename open files.
        drop(file);
        folder::rename(&part.path, &self.path).map_err(|error| {
            // It is complete, so it is kept.
            part.is_kept = true;
            io::Error::other(format!("{error}; the result is in {}", part.path.display()))
        })
    }

    fn empty_itself(&mut self) -> io::Result<()> {
        if let Place::Itself { is_emptied: is_emptied @ false } = &mut self.place {
            self.file.get_ref().set_len(0)?;
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

/// A file beside the target. It does not use the target's name, which may be as long as names can be.
/// It is removed when this is dropped.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    is_kept: bool,
    _registration: Option<Registration>,
}

impl Part {
    fn create(folder: &Path, handles_signals: bool) -> io::Result<(File, Self)> {
        let part = Self::unused(folder, handles_signals);
        Ok((File::create_new(&part.path)?, part))
    }

    /// An unused name, whoever else writes here. Creates no file yet.
    fn unused(folder: &Path, handles_signals: bool) -> Self {
        let path = folder.join(format!("aac-{}.part", random::name()));
        let registration = handles_signals.then(|| {
            SignalGuard::prepare();
            cleanup::register(&path)
        });
        Self { path, is_kept: false, _registration: registration.flatten() }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            // Best effort: nobody needs the file, and usually it has been renamed by now.
            let _ = platform::patiently(&self.path, || fs::remove_file(&self.path));
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on a file system without unnamed files.
    fn with_part(path: &Path) -> AtomicFile {
        let (file, part) = Part::create(folder(path), false).unwrap();
        AtomicFile { path: path.to_owned(), file: BufWriter::new(file), place: Place::Part(part) }
    }

    #[test]
    fn a_file_is_replaced_when_it_is_whole_and_not_before() {
        let create = |path: &Path| AtomicFile::create(path.to_owned(), 1, false).unwrap();
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
}
