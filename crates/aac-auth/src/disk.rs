//! creds.json on the disk: the files beside it, and how a new one takes its place.

use crate::platform;
use crate::text;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The paths of creds.json and of what stands beside it.
#[derive(Debug)]
pub(crate) struct Files {
    /// creds.json by its real path, so that every alias on this machine shares the rest.
    pub(crate) creds: PathBuf,
    /// Empty, and kept for ever: the kernel's lock is on it, never on creds.json, which is renamed.
    pub(crate) lock: PathBuf,
    /// The next creds.json. A leftover is rubbish.
    new: PathBuf,
    /// The journal of one exchange.
    pub(crate) journal: PathBuf,
    /// A whole journal that creds.json has overtaken.
    pub(crate) old_journal: PathBuf,
    folder: PathBuf,
}

/// What became of a replacement of creds.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// Renamed over: it was the old file or the new one at any moment.
    ByRename,
    /// Written into: the file is itself a mount, and cannot be renamed over.
    InPlace,
    /// Left alone: someone who takes no lock has written it in the meantime.
    NotAsExpected,
}

/// A file that could not be written, and why.
#[derive(Debug)]
pub(crate) struct DiskError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Names the file in the error of an operation on it.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError { path: path.to_owned(), source }
}

impl Files {
    pub(crate) fn of(creds: &Path) -> Self {
        let creds = real_path(creds);
        let beside = |suffix: &str| {
            let mut name = creds.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            lock: beside(".lock"),
            new: beside(".new"),
            journal: beside(".rotation"),
            old_journal: beside(".rotation.old"),
            folder: creds.parent().map_or_else(PathBuf::new, Path::to_owned),
            creds,
        }
    }

    /// What the files beside creds.json take their owner, group and mode from; where it is gone, what
    /// an earlier run has made in its likeness.
    pub(crate) fn model(&self) -> Option<Metadata> {
        let likely = [&self.creds, &self.journal, &self.old_journal, &self.lock];
        likely.into_iter().find_map(|path| fs::metadata(path).ok())
    }

    /// Whether there is anything to recover from.
    pub(crate) fn have_journal(&self) -> bool {
        self.journal.is_file() || self.old_journal.is_file()
    }

    /// A new, private file in creds.json's likeness; one of this name from an earlier run is removed.
    pub(crate) fn create(&self, path: &Path) -> Result<File, DiskError> {
        let model = self.model();
        // Removed first and made anew: an old file may have another owner, or be a link elsewhere.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(path)(error)),
            _ => {}
        }
        let file = platform::private()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(at(path))?;
        if let Some(model) = model {
            platform::hand_over(&file, &model).map_err(at(path))?;
        }
        Ok(file)
    }

    /// Replaces creds.json, durably, if it still is `old` (`None`: whatever it is).
    ///
    /// By rename, a crash at any moment leaves the old file or the new one. In place it may leave a
    /// torn one; the new one stands beside it then, whole.
    pub(crate) fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<Replaced, DiskError> {
        let mut file = self.create(&self.new)?;
        file.write_all(new).and_then(|()| file.sync_all()).map_err(at(&self.new))?;
        drop(file);
        // The last moment at which a writer without the lock can be noticed.
        if let (Some(old), Ok(now)) = (old, text::read(&self.creds))
            && *now != old
        {
            self.remove(&self.new)?;
            return Ok(Replaced::NotAsExpected);
        }
        match rename(&self.new, &self.creds) {
            Ok(()) => {
                self.sync_folder()?;
                Ok(Replaced::ByRename)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
                ) =>
            {
                self.sync_folder()?;
                let replaced = self.overwrite(new)?;
                self.remove(&self.new)?;
                Ok(replaced)
            }
            Err(error) => {
                // Best effort: the copy holds tokens, and is of no use to anyone.
                let _ = fs::remove_file(&self.new);
                Err(at(&self.creds)(error))
            }
        }
    }

    /// Writes into creds.json as it is.
    pub(crate) fn overwrite(&self, content: &[u8]) -> Result<Replaced, DiskError> {
        let write = || {
            // Not truncated first: the less that is missing at any moment, the better.
            let mut file = File::options().write(true).open(&self.creds)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        };
        write().map(|()| Replaced::InPlace).map_err(at(&self.creds))
    }

    /// The file that a replacement in place was cut off with, if one was.
    pub(crate) fn unfinished(&self) -> &Path {
        &self.new
    }

    /// Removes one of the files beside creds.json; it may be gone already.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), DiskError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }

    /// Keeps the journal as the old one.
    pub(crate) fn set_journal_aside(&self) -> Result<(), DiskError> {
        rename(&self.journal, &self.old_journal).map_err(at(&self.old_journal))?;
        self.sync_folder()
    }

    /// Makes the old journal the current one.
    pub(crate) fn take_up_old_journal(&self) -> Result<(), DiskError> {
        rename(&self.old_journal, &self.journal).map_err(at(&self.journal))?;
        self.sync_folder()
    }

    pub(crate) fn sync_folder(&self) -> Result<(), DiskError> {
        platform::sync_folder(&self.folder).map_err(at(&self.folder))
    }
}

/// Renames, with patience where another program may have one of the files open for a moment.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let mut pauses = [10, 20, 40, 80, 160, 320].into_iter();
    loop {
        match (fs::rename(from, to), pauses.next()) {
            (Err(error), Some(pause)) if platform::is_shared_too_little(&error) => {
                thread::sleep(Duration::from_millis(pause));
            }
            (result, _) => return result,
        }
    }
}

/// The path with its symbolic links resolved, also where the last one leads to no file.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        if let Ok(real) = path.canonicalize() {
            return real;
        }
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}
