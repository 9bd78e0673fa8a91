//! creds.json on the disk: the files beside it, and how a new one takes its place.

use crate::config::text;
use crate::error::FileProblem;
use crate::platform::{self, Access, Owner, Patience, patiently};
use crate::random;
use crate::store::StoreError;
use same_file::Handle;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The paths of creds.json and of what stands beside it, as they are at this moment: a link may lead
/// elsewhere tomorrow.
#[derive(Debug)]
pub(crate) struct Files {
    /// creds.json by its real path, so that every alias on this machine shares the rest.
    pub(crate) creds: PathBuf,
    /// Empty, and kept for ever: the kernel's lock is on it, never on creds.json, which is renamed.
    pub(crate) lock: PathBuf,
    /// The next creds.json, or the next of the files below. Safe to delete if left behind.
    new: PathBuf,
    /// The journal of one refresh.
    pub(crate) journal: PathBuf,
    /// Which refresh tokens have been used.
    pub(crate) spent: PathBuf,
    folder: PathBuf,
}

/// What became of a replacement of creds.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Renamed over: it was the old file or the new one at any moment.
    ByRename,
    /// Written into: the file is itself a mount, and cannot be renamed over.
    OverMount,
    /// Written into: the file belongs to another user, and is to go on doing so.
    OfAnotherUser,
    /// Left alone: someone who takes no lock has written it in the meantime.
    NotAsExpected,
}

/// Names the file in the error of an operation on it.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError { place: path.into(), source }
}

impl Files {
    pub(crate) fn of(creds: &Path) -> Self {
        let creds = real_path(creds);
        Self {
            lock: beside(&creds, ".lock"),
            new: beside(&creds, ".new"),
            journal: beside(&creds, ".rotation"),
            spent: beside(&creds, ".spent"),
            folder: creds.parent().map_or_else(PathBuf::new, Path::to_owned),
            creds,
        }
    }

    /// Who may use the files beside creds.json; where it is gone, as an earlier run has seen it. Nothing is
    /// created while that cannot be told.
    pub(crate) fn access(&self) -> Result<Option<Access>, StoreError> {
        match Access::of(&self.creds) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            access => return access.map(Some).map_err(at(&self.creds)),
        }
        let likely = [&self.journal, &self.spent, &self.lock];
        Ok(likely.into_iter().find_map(|path| Access::of(path).ok()))
    }

    /// The pairs that earlier runs have set aside, as journals of their refresh: oldest first.
    pub(crate) fn set_aside(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = set_aside_numbers(&self.creds).collect();
        found.sort_unstable();
        found.into_iter().map(|number| self.set_aside_path(number)).collect()
    }

    fn set_aside_path(&self, number: u32) -> PathBuf {
        match number {
            1 => beside(&self.creds, OLD),
            number => beside(&self.creds, &format!("{OLD}.{number}")),
        }
    }

    /// A name for one more pair that is set aside.
    pub(crate) fn free_set_aside_path(&self) -> PathBuf {
        let last = set_aside_numbers(&self.creds).max();
        self.set_aside_path(last.unwrap_or(0).saturating_add(1))
    }

    /// Whether there is anything to recover from.
    pub(crate) fn have_saved_pair(&self) -> bool {
        self.journal.is_file() || set_aside_numbers(&self.creds).next().is_some()
    }

    /// A new, private file for those who may use creds.json; one of this name from an earlier run is
    /// removed.
    ///
    /// The one that is [next](Self::next) is locked as long as it is open: should the lock file be deleted,
    /// two programs would share its name. `WouldBlock` then.
    pub(crate) fn create(&self, path: &Path) -> Result<(File, Owner), StoreError> {
        // Removed first and made anew: an old file may have another owner, or be a link elsewhere.
        if path != self.new {
            self.remove(path)?;
            return self.create_new(path);
        }
        if platform::LOCKS_ARE_ADVISORY
            && let Ok(left_behind) = File::open(path)
            && !(left_behind.try_lock().is_ok() && is_named(&left_behind, path))
        {
            return Err(taken(path));
        }
        self.remove(path)?;
        let (file, owner) = match self.create_new(path) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(taken(path));
            }
            created => created?,
        };
        lock(&file);
        match is_named(&file, path) {
            true => Ok((file, owner)),
            false => Err(taken(path)),
        }
    }

    /// A new, private file for those who may use creds.json.
    pub(crate) fn create_new(&self, path: &Path) -> Result<(File, Owner), StoreError> {
        let access = self.access()?;
        let create = || platform::create_new(path, access.as_ref());
        let file = patiently(path, create).map_err(at(path))?;
        match access.map_or(Ok(Owner::Same), |access| access.give_to(&file)) {
            Ok(owner) => Ok((file, owner)),
            Err(error) => {
                // Whoever could not use it would be shut out by it, too.
                let _ = fs::remove_file(path);
                Err(at(path)(error))
            }
        }
    }

    /// Whether files can be made beside creds.json. The lock file may be there, and locked, where they cannot.
    pub(crate) fn can_be_made(&self) -> bool {
        let path = self.new_lock();
        let created = self.create_new(&path).map(drop).is_ok();
        if created {
            // Best effort: what is left behind is safe to delete.
            let _ = self.remove(&path);
        }
        created
    }

    /// Replaces creds.json, durably, if it still is `old` (`None`: whatever it is).
    ///
    /// By rename, a crash at any moment leaves the old file or the new one. In place it may leave a
    /// torn one, which the journal finishes.
    pub(crate) fn replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<Written, StoreError> {
        let replaced = self.try_to_replace(old, new);
        let is_others = replaced.as_ref().is_err_and(StoreError::is_taken);
        if !matches!(replaced, Ok(Written::ByRename)) && !is_others {
            // Best effort: the copy holds tokens, and is of no use to anyone. A torn creds.json is
            // finished from the journal.
            let _ = self.remove(&self.new);
        }
        replaced
    }

    fn try_to_replace(&self, old: Option<&[u8]>, new: &[u8]) -> Result<Written, StoreError> {
        let (mut file, owner) = self.create(&self.new)?;
        file.write_all(new).and_then(|()| platform::sync(&file)).map_err(at(&self.new))?;
        // Open, and so locked, until it has its name; not where locks are of no use for that.
        let file = platform::LOCKS_ARE_ADVISORY.then_some(file);
        // The last moment at which a writer without the lock can be noticed.
        let is_still = || old.is_none_or(|old| self.is_still(old));
        if !is_still() {
            return Ok(Written::NotAsExpected);
        }
        if owner == Owner::Ours && self.creds.exists() {
            self.sync_folder()?;
            return self.overwrite(new).map(|()| Written::OfAnotherUser);
        }
        if let Some(file) = &file
            && !is_named(file, &self.new)
        {
            return Err(taken(&self.new));
        }
        let renamed = rename_while(&self.new, &self.creds, is_still);
        match renamed {
            Ok(true) => {
                self.sync_folder()?;
                Ok(Written::ByRename)
            }
            Ok(false) => Ok(Written::NotAsExpected),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
                ) =>
            {
                self.sync_folder()?;
                self.overwrite(new).map(|()| Written::OverMount)
            }
            Err(error) => Err(at(&self.creds)(error)),
        }
    }

    /// Whether creds.json has this content; one that is gone has none.
    fn is_still(&self, old: &[u8]) -> bool {
        match text::read(&self.creds) {
            Ok(now) => *now == old,
            Err(FileProblem::Missing) => old.is_empty(),
            Err(_) => false,
        }
    }

    /// Writes into creds.json as it is.
    pub(crate) fn overwrite(&self, content: &[u8]) -> Result<(), StoreError> {
        let write = || {
            // Not truncated first: the less that is missing at any moment, the better.
            let open = || File::options().write(true).open(&self.creds);
            let mut file = patiently(&self.creds, open)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            platform::sync(&file)
        };
        write().map_err(at(&self.creds))
    }

    /// Replaces one of the files beside creds.json, durably.
    pub(crate) fn replace_beside(&self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let (mut file, _) = self.create(&self.new)?;
        file.write_all(content).and_then(|()| platform::sync(&file)).map_err(at(&self.new))?;
        self.put_in_place(&file, path)
    }

    /// Gives what was written under the name of [`next`](Self::next) this name, durably.
    pub(crate) fn put_in_place(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        if !is_named(file, &self.new) {
            return Err(taken(&self.new));
        }
        rename(&self.new, path).map_err(at(path))?;
        self.sync_folder()
    }

    /// Keeps what was found in creds.json, and is of no use as it is, in a file of its own.
    pub(crate) fn keep_damaged(&self, content: &[u8]) -> Result<PathBuf, StoreError> {
        let names = (1..).map(|number| match number {
            1 => beside(&self.creds, ".damaged"),
            number => beside(&self.creds, &format!(".damaged.{number}")),
        });
        let mut path = PathBuf::new();
        for name in names {
            path = name;
            match text::read(&path) {
                Ok(kept) if *kept == content => return Ok(path),
                Err(FileProblem::Missing) => break,
                _ => {}
            }
        }
        let (mut file, _) = self.create(&path)?;
        file.write_all(content).and_then(|()| platform::sync(&file)).map_err(at(&path))?;
        self.sync_folder()?;
        Ok(path)
    }

    /// A name that nobody else has, for a lock file in the making. Safe to delete if left behind.
    pub(crate) fn new_lock(&self) -> PathBuf {
        beside(&self.creds, &format!(".lock.{}", random::name()))
    }

    /// Where a file is written before it gets its name. Safe to delete if left behind.
    pub(crate) fn next(&self) -> &Path {
        &self.new
    }

    /// Removes one of the files beside creds.json; it may be gone already.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match patiently(path, || fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }

    /// Keeps the journal as a pair that is set aside; gives its path.
    pub(crate) fn set_journal_aside(&self) -> Result<PathBuf, StoreError> {
        let path = self.free_set_aside_path();
        rename(&self.journal, &path).map_err(at(&path))?;
        self.sync_folder()?;
        Ok(path)
    }

    /// Whether another program of this machine is in the middle of a refresh, for those who only look on.
    pub(crate) fn are_in_use(&self) -> bool {
        is_locked(if platform::LOCKS_ARE_ADVISORY { &self.journal } else { &self.lock })
    }

    pub(crate) fn sync_folder(&self) -> Result<(), StoreError> {
        platform::sync_folder(&self.folder).map_err(at(&self.folder))
    }

    /// What of creds.json keeps its tokens from being refreshed.
    pub(crate) fn check(&self) -> Result<(), Obstacle> {
        let Ok(access) = Access::of(&self.creds) else { return Ok(()) };
        if access.is_read_only() {
            return Err(Obstacle::ReadOnly);
        }
        if access.links() > 1 {
            return Err(Obstacle::HardLink);
        }
        Ok(())
    }
}

/// The error for a file that another program is at work on.
fn taken(path: &Path) -> StoreError {
    at(path)(io::ErrorKind::WouldBlock.into())
}

/// Whether this open file of the lock's holder still has its name. Where the lock file cannot be deleted
/// while it is locked, nobody else gives that name to another file.
pub(crate) fn is_named(file: &File, path: &Path) -> bool {
    let own = || file.try_clone().and_then(Handle::from_file);
    !platform::LOCKS_ARE_ADVISORY
        || matches!((own(), named(path)), (Ok(own), Ok(named)) if own == named)
}

/// The file that has this name now.
pub(crate) fn named(path: &Path) -> io::Result<Handle> {
    patiently(path, || Handle::from_path(path))
}

/// Whether another program has this file locked: it is in the middle of a refresh, though the lock
/// file that it holds is gone.
pub(crate) fn is_in_use(path: &Path) -> bool {
    platform::LOCKS_ARE_ADVISORY && is_locked(path)
}

fn is_locked(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Locks a file for as long as it is open. Someone may just be asking whether it is in use.
fn lock(file: &File) {
    if !platform::LOCKS_ARE_ADVISORY {
        return;
    }
    for _ in 0..100 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            // Where there are no locks on files, creds.json.lock could not have been locked.
            _ => return,
        }
    }
}

/// Why creds.json is not to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Its owner's wish.
    ReadOnly,
    /// Another name would keep the old tokens; and each name has a lock of its own.
    HardLink,
}

/// How the name of a pair that is set aside ends; further ones have a number behind it.
const OLD: &str = ".rotation.old";

fn beside(creds: &Path, suffix: &str) -> PathBuf {
    let mut name = creds.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The numbers of the pairs that are set aside beside this creds.json.
fn set_aside_numbers(creds: &Path) -> impl Iterator<Item = u32> {
    let folder = creds.parent().unwrap_or(Path::new(""));
    // An empty path is the current folder to some systems, and to others it is nothing.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut start: OsString = creds.file_name().unwrap_or_default().to_owned();
    start.push(OLD);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes())?;
        match str::from_utf8(rest).ok()? {
            "" => Some(1),
            rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1),
        }
    })
}

/// Whether this creds.json is there, or a pair that was saved beside it: it may have been lost.
pub(crate) fn has_tokens(creds: &Path) -> bool {
    creds.symlink_metadata().is_ok()
        || beside(creds, ".rotation").is_file()
        || set_aside_numbers(creds).next().is_some()
}

/// Renames, with patience where another program may have one of the files open for a moment.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rename_while(from, to, || true).map(drop)
}

/// Renames in the same way, but only as long as this holds, which is asked anew after each wait: someone
/// may be writing the other file.
fn rename_while(from: &Path, to: &Path, holds: impl Fn() -> bool) -> io::Result<bool> {
    let mut patience = Patience::default();
    loop {
        match fs::rename(from, to) {
            Err(error) if patience.waits_for(&error, from, Some(to)) => {}
            renamed => return renamed.map(|()| true),
        }
        if !holds() {
            return Ok(false);
        }
    }
}

/// The path with its symbolic links resolved, also where the last one leads to no file.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        if let Ok(real) = path.canonicalize() {
            return platform::plain(real);
        }
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => platform::plain(folder).join(name),
        _ => path,
    }
}
