//! creds.json on the disk: the files beside it, and how a new one takes its place.

use crate::config::{text, trust};
use crate::error::FileProblem;
use crate::platform::{self, Access, FileOwner, Flaw, Patience, Unfit, folder_of, patiently};
use crate::random;
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

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
    pub(crate) folder: PathBuf,
    /// Whether creds.json only names a secret in a vault. It is never written then, so it matters less whose
    /// it is.
    is_pointer: bool,
}

/// What became of a replacement of creds.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Renamed over: it was the old file or the new one at any moment.
    ByRename,
    /// Written into: the file is itself a mount, and cannot be renamed over.
    OverMount,
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
            is_pointer: false,
            creds,
        }
    }

    /// The same for a creds.json that names a secret in a vault.
    pub(crate) fn of_pointer(creds: &Path) -> Self {
        Self { is_pointer: true, ..Self::of(creds) }
    }

    /// Who may use the files beside creds.json; where it is gone, as an earlier run has seen it. Nothing is
    /// created while that cannot be told.
    fn access(&self) -> Result<Option<Access>, StoreError> {
        let of = |file: io::Result<File>| file.and_then(Access::of);
        let options = reading();
        let creds = patiently(|| of(platform::open_plain(&self.creds, &options)));
        match creds {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            access => return access.map(Some).map_err(at(&self.creds)),
        }
        let likely = [&self.journal, &self.spent];
        Ok(likely.into_iter().find_map(|path| of(self.open(path, &options)).ok()))
    }

    /// Opens one of the files beside creds.json: others may be able to put theirs there.
    ///
    /// # Errors
    ///
    /// An [`Unfit`] if it is not a file, has another name, or belongs to somebody who has no say here.
    pub(crate) fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        let opened = open_single(path, options);
        let owner = match &opened {
            Ok(file) => FileOwner::of_open(file)?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                FileOwner::of_name(path)?
            }
            Err(_) => return opened,
        };
        match platform::OWNERS_COUNT && !self.is_trusted(&owner) {
            true => Err(Unfit::new(Flaw::Foreign, Ok(owner)).into()),
            false => opened,
        }
    }

    /// Whether the journal is another user's, who shares a pointer to a vault.
    pub(crate) fn is_journal_foreign(&self) -> bool {
        let opened = self.open(&self.journal, &reading());
        let unfit = opened.as_ref().err().and_then(Unfit::of);
        unfit.is_some_and(|unfit| unfit.flaw == Flaw::Foreign)
    }

    /// Reads one of the files beside creds.json.
    pub(crate) fn read(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
        let file = patiently(|| self.open(path, &reading())).map_err(text::unreadable)?;
        text::read_open(&file)
    }

    /// Whether a file of this user's may hold a pair: this process's user, root, the owner of creds.json, or
    /// whoever gets the files that this process makes here (a share, a drive, root in a container).
    fn is_trusted(&self, owner: &FileOwner) -> bool {
        owner.is_ours()
            || FileOwner::of_name(&self.creds).is_ok_and(|of_creds| of_creds == *owner)
            || self.own().is_ok_and(|own| own == *owner)
    }

    /// The owner of the files that this process makes here.
    fn own(&self) -> io::Result<FileOwner> {
        trust::of_a_new_file(&self.folder)
    }

    /// The error of one who may not refresh creds.json because it is another user's, as far as that can be told
    /// where nothing can be made.
    pub(crate) fn foreign(&self) -> Option<StoreError> {
        let owner = FileOwner::of_name(&self.creds).ok()?;
        let is_own = self.own().map_or_else(|_| owner.is_ours(), |own| own == owner);
        let error = Unfit::new(Flaw::PairForeign, Ok(owner)).into();
        (platform::OWNERS_COUNT && !is_own).then(|| at(&self.creds)(error))
    }

    /// The pairs that earlier runs have set aside, as journals of their refresh: oldest first, by number.
    pub(crate) fn set_aside(&self) -> Result<BTreeMap<u32, PathBuf>, StoreError> {
        set_aside(&self.creds).map_err(at(&self.folder))
    }

    /// A name for one more pair that is set aside.
    pub(crate) fn free_set_aside_path(&self) -> Result<PathBuf, StoreError> {
        let last = self.set_aside()?.into_keys().next_back();
        Ok(numbered(&self.creds, OLD, last.unwrap_or(0).saturating_add(1)))
    }

    /// Whether there is anything to recover from, or that cannot be told.
    pub(crate) fn have_saved_pair(&self) -> bool {
        is_there(&self.journal).unwrap_or(true)
            || !self.set_aside().is_ok_and(|pairs| pairs.is_empty())
    }

    /// A new, private file for those who may use creds.json; one of this name from an earlier run is
    /// removed.
    ///
    /// The one that is [next](Self::next) is locked as long as it is open: should the lock file be deleted,
    /// two programs would share its name. `WouldBlock` then.
    pub(crate) fn create(&self, path: &Path) -> Result<File, StoreError> {
        // Removed first and made anew: an old file may have another owner.
        if path != self.new {
            self.remove(path)?;
            return self.create_new(path);
        }
        if platform::LOCKS_ARE_ADVISORY {
            match open_single(path, &reading()) {
                Ok(left_behind) => {
                    let is_free = left_behind.try_lock().is_ok() && is_named(&left_behind, path)?;
                    if !is_free {
                        return Err(taken(path));
                    }
                }
                Err(error) if is_out_of_sight(&error) => {}
                Err(error) => return Err(at(path)(error)),
            }
        }
        self.remove(path)?;
        let file = match self.create_new(path) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(taken(path));
            }
            created => created?,
        };
        lock(&file);
        match is_named(&file, path)? {
            true => Ok(file),
            false => Err(taken(path)),
        }
    }

    /// A new, private file for those who may use creds.json.
    pub(crate) fn create_new(&self, path: &Path) -> Result<File, StoreError> {
        let access = self.access()?;
        let create = || platform::create_new(path, access.as_ref());
        let file = patiently(create).map_err(at(path))?;
        let Some(access) = access else { return Ok(file) };
        match access.give_to(&file, self.may_inherit(&access)) {
            Ok(()) => Ok(file),
            // A vault has the pair, and a journal of one's own harms nobody.
            Err(error) if self.is_pointer && is_foreign(&error) => Ok(file),
            Err(error) => {
                // Whoever could not use it would be shut out by it, too.
                let _ = fs::remove_file(path);
                Err(at(if is_foreign(&error) { &self.creds } else { path })(error))
            }
        }
    }

    /// Whether this user may have creds.json in the place of its owner: root has made it for others (init
    /// containers, images, volumes), and let them write it.
    fn may_inherit(&self, access: &Access) -> bool {
        access.is_of_root()
            && platform::open_plain(&self.creds, File::options().write(true)).is_ok()
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

    /// Replaces creds.json, durably, if it still is `old`.
    ///
    /// By rename, a crash at any moment leaves the old file or the new one. In place it may leave a
    /// torn one, which the journal finishes.
    pub(crate) fn replace(&self, old: &[u8], new: &[u8]) -> Result<Written, StoreError> {
        let file = self.create(&self.new)?;
        let replaced = self.replace_by(file, old, new);
        let is_others = replaced.as_ref().is_err_and(StoreError::is_taken);
        if !matches!(replaced, Ok(Written::ByRename)) && !is_others {
            // Best effort: the copy holds tokens, and is of no use to anyone. A torn creds.json is
            // finished from the journal.
            let _ = self.remove(&self.new);
        }
        replaced
    }

    /// Replaces creds.json by this file, which is the [next](Self::next) one.
    fn replace_by(&self, mut file: File, old: &[u8], new: &[u8]) -> Result<Written, StoreError> {
        file.write_all(new).and_then(|()| platform::sync(&file)).map_err(at(&self.new))?;
        // Open, and so locked, until it has its name; not where locks are of no use for that.
        let file = platform::LOCKS_ARE_ADVISORY.then_some(file);
        // The last moment at which a writer without the lock can be noticed.
        let is_still = || self.is_still(old);
        if !is_still().map_err(at(&self.creds))? {
            return Ok(Written::NotAsExpected);
        }
        if let Some(file) = &file
            && !is_named(file, &self.new)?
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
                self.overwrite(old, new)
            }
            Err(error) => Err(at(&self.creds)(error)),
        }
    }

    /// Whether creds.json has this content; one that is gone has none.
    fn is_still(&self, old: &[u8]) -> io::Result<bool> {
        match text::read(&self.creds) {
            Ok(now) => Ok(*now == old),
            Err(FileProblem::Missing) => Ok(old.is_empty()),
            Err(FileProblem::Unreadable(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Writes into creds.json, durably, if it still is `old`. What is compared is what is written, whatever has
    /// its name meanwhile.
    pub(crate) fn overwrite(&self, old: &[u8], new: &[u8]) -> Result<Written, StoreError> {
        let write = || {
            let mut options = reading();
            let open = || open_single(&self.creds, options.write(true));
            let mut file = patiently(open)?;
            let room = old.len().max(new.len()) + 1;
            let mut now = Zeroizing::new(Vec::with_capacity(room));
            (&file).take(room as u64).read_to_end(&mut now)?;
            if *now == new {
                // Written before, by a try whose end failed.
                return platform::sync(&file).map(|()| Written::OverMount);
            }
            if *now != old {
                return Ok(Written::NotAsExpected);
            }
            // Not truncated first: the less that is missing at any moment, the better.
            file.rewind()?;
            file.write_all(new)?;
            file.set_len(new.len() as u64)?;
            platform::sync(&file).map(|()| Written::OverMount)
        };
        write().map_err(at(&self.creds))
    }

    /// Replaces one of the files beside creds.json, durably.
    pub(crate) fn replace_beside(&self, path: &Path, content: &[u8]) -> Result<(), StoreError> {
        let mut file = self.create(&self.new)?;
        file.write_all(content).and_then(|()| platform::sync(&file)).map_err(at(&self.new))?;
        self.put_in_place(&file, path)
    }

    /// Gives what was written under the name of [`next`](Self::next) this name, durably.
    pub(crate) fn put_in_place(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        if !is_named(file, &self.new)? {
            return Err(taken(&self.new));
        }
        rename(&self.new, path).map_err(at(path))?;
        self.sync_folder()
    }

    /// Keeps what was found in creds.json, and is of no use as it is, in a file of its own.
    pub(crate) fn keep_damaged(&self, content: &[u8]) -> Result<PathBuf, StoreError> {
        let mut number = 1;
        loop {
            let path = numbered(&self.creds, ".damaged", number);
            match self.read(&path) {
                Ok(kept) if *kept == content => return self.sync(&path).map(|()| path),
                Err(FileProblem::Missing) => {
                    let mut file = self.create(&path)?;
                    file.write_all(content)
                        .and_then(|()| platform::sync(&file))
                        .map_err(at(&path))?;
                    self.sync_folder()?;
                    return Ok(path);
                }
                _ => number += 1,
            }
        }
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
        match patiently(|| fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
            _ => Ok(()),
        }
    }

    /// Keeps the journal as a pair that is set aside; gives its path.
    pub(crate) fn set_journal_aside(&self) -> Result<PathBuf, StoreError> {
        let path = self.free_set_aside_path()?;
        self.sync(&self.journal)?;
        rename(&self.journal, &path).map_err(at(&path))?;
        self.sync_folder()?;
        Ok(path)
    }

    /// Whether another program of this machine is in the middle of a refresh, for those who only look on.
    pub(crate) fn are_in_use(&self) -> bool {
        let path = if platform::LOCKS_ARE_ADVISORY { &self.journal } else { &self.lock };
        is_locked(path).unwrap_or(false)
    }

    /// Sees to it that what a file holds now is on the disk, and so is its name: whoever has written it may have been
    /// killed before. One that may not be opened for that was not written in place.
    pub(crate) fn sync(&self, path: &Path) -> Result<(), StoreError> {
        let synced = match patiently(|| platform::open_plain(path, &platform::for_sync())) {
            Err(error) if is_out_of_sight(&error) => Ok(()),
            file => file.and_then(|file| platform::sync(&file)),
        };
        synced.map_err(at(path))?;
        self.sync_folder()
    }

    pub(crate) fn sync_folder(&self) -> Result<(), StoreError> {
        platform::sync_folder(&self.folder).map_err(at(&self.folder))
    }

    /// What of creds.json keeps its tokens from being refreshed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.access() {
            Ok(Some(access)) => access.check().map_err(at(&self.creds)),
            // It shows when a file is made beside it.
            _ => Ok(()),
        }
    }
}

/// The error for a file that another program is at work on.
fn taken(path: &Path) -> StoreError {
    at(path)(io::ErrorKind::WouldBlock.into())
}

/// Whether this open file of the lock's holder still has its name. Where the lock file cannot be deleted
/// while it is locked, nobody else gives that name to another file.
pub(crate) fn is_named(file: &File, path: &Path) -> Result<bool, StoreError> {
    match platform::LOCKS_ARE_ADVISORY {
        true => platform::is_named(file, path).map_err(at(path)),
        false => Ok(true),
    }
}

/// Whether another program has this file locked: it is in the middle of a refresh, though the lock
/// file that it holds is gone.
pub(crate) fn is_in_use(path: &Path) -> Result<bool, StoreError> {
    match platform::LOCKS_ARE_ADVISORY {
        true => is_locked(path).map_err(at(path)),
        false => Ok(false),
    }
}

fn is_locked(path: &Path) -> io::Result<bool> {
    match platform::open_plain(path, &reading()) {
        Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
        Err(error) if is_out_of_sight(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is no such file, or one that is not ours to see.
fn is_out_of_sight(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

fn is_foreign(error: &io::Error) -> bool {
    Unfit::of(error).is_some_and(|unfit| unfit.flaw == Flaw::PairForeign)
}

/// Opens a file that has no other name, which may be that of somebody else's file.
pub(crate) fn open_single(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = platform::open_plain(path, options)?;
    match platform::names(&file)? {
        0 | 1 => Ok(file),
        _ => Err(Unfit::new(Flaw::HardLink, FileOwner::of_open(&file)).into()),
    }
}

/// Opens a file to read it.
pub(crate) fn reading() -> OpenOptions {
    File::options().read(true).clone()
}

fn is_there(path: &Path) -> io::Result<bool> {
    match patiently(|| path.symlink_metadata()) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error),
        },
    }
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

/// How the name of a pair that is set aside ends; further ones have a number behind it.
const OLD: &str = ".rotation.old";

fn beside(creds: &Path, suffix: &str) -> PathBuf {
    let mut name = creds.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// One of several names of a kind: the first has no number.
fn numbered(creds: &Path, suffix: &str, number: u32) -> PathBuf {
    match number {
        1 => beside(creds, suffix),
        number => beside(creds, &format!("{suffix}.{number}")),
    }
}

/// The pairs that are set aside beside this creds.json, by number.
fn set_aside(creds: &Path) -> io::Result<BTreeMap<u32, PathBuf>> {
    let mut found = BTreeMap::new();
    let entries = match fs::read_dir(folder_of(creds)) {
        // That of a pair in a vault is made with the first lock.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = creds.with_file_name(entry?.file_name());
        let number = path.extension().and_then(|it| it.to_str()?.parse().ok()).unwrap_or(1);
        if path == numbered(creds, OLD, number) {
            found.insert(number, path);
        }
    }
    Ok(found)
}

/// Whether this creds.json is there, or a pair that was saved beside it: it may have been lost. Of a folder that
/// may be entered and not listed, as some homes are, the usual names tell.
pub(crate) fn has_tokens(creds: &Path) -> io::Result<bool> {
    let is_saved = || match is_saved_beside(creds) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            is_there(&beside(creds, OLD))
        }
        is_saved => is_saved,
    };
    // Another program may just put it back from such a pair, which is then removed.
    Ok(is_there(creds)? || is_saved()? || is_there(creds)?)
}

/// Whether a pair was saved beside this creds.json, or where it leads as a link.
pub(crate) fn has_saved_pair(creds: &Path) -> io::Result<bool> {
    Ok(is_saved_beside(creds)? || is_saved_beside(&real_path(creds))?)
}

fn is_saved_beside(creds: &Path) -> io::Result<bool> {
    Ok(is_there(&beside(creds, ".rotation"))? || !set_aside(creds)?.is_empty())
}

/// Makes a folder durably, for this user alone, and those above it.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (platform::create_folder(folder), parent) {
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(parent)?;
            // Not found again: the one above it is a link that leads nowhere.
            platform::create_folder(folder)?;
        }
        (created, _) => created?,
    }
    platform::sync_folder(parent.unwrap_or(Path::new(".")))
}

/// Renames, with patience where another program may have one of the files open for a moment.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rename_while(from, to, || Ok(true)).map(drop)
}

/// Renames in the same way, but only as long as this holds, which is asked anew after each wait: someone
/// may be writing the other file.
fn rename_while(from: &Path, to: &Path, holds: impl Fn() -> io::Result<bool>) -> io::Result<bool> {
    let mut patience = Patience::default();
    loop {
        match fs::rename(from, to) {
            Err(error) if patience.waits_for(&error) => {}
            renamed => return renamed.map(|()| true),
        }
        if !holds()? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn no_folder_is_made_below_a_link_that_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("aac");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        assert!(make_folder(&link.join("vault-1").join("below")).is_err());
        make_folder(&folder.path().join("one").join("two")).unwrap();
        assert!(folder.path().join("one").join("two").is_dir());
    }

    #[test]
    fn what_is_there_is_synced_and_what_is_gone_need_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        files.sync(&files.creds).unwrap();
        fs::write(&files.creds, "").unwrap();
        files.sync(&files.creds).unwrap();
        fs::remove_file(&files.creds).unwrap();
        fs::create_dir(&files.creds).unwrap();
        assert!(files.sync(&files.creds).is_err());
    }

    #[test]
    fn what_is_written_in_place_is_what_was_compared() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        fs::write(&files.creds, "the old pair").unwrap();
        let written = files.overwrite(b"the old pair", b"the new").unwrap();
        assert_eq!(written, Written::OverMount);
        assert_eq!(fs::read(&files.creds).unwrap(), b"the new");
        // Another file was put in its place, with as many bytes, or with more.
        for other in ["#!/bin/sh", "the news", "the ne"] {
            fs::write(&files.creds, other).unwrap();
            let written = files.overwrite(b"the new", b"longer than that").unwrap();
            assert_eq!(written, Written::NotAsExpected);
            assert_eq!(fs::read(&files.creds).unwrap(), other.as_bytes());
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_in_the_place_of_creds_json_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        let script = folder.path().join("script");
        for link in [fs::hard_link, std::os::unix::fs::symlink] {
            fs::write(&script, "same").unwrap();
            let _ = fs::remove_file(&files.creds);
            link(&script, &files.creds).unwrap();
            assert!(Unfit::of(&files.overwrite(b"same", b"new").unwrap_err().source).is_some());
            assert_eq!(fs::read(&script).unwrap(), b"same");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_pair_is_never_set_aside_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        fs::write(beside(&files.creds, ".rotation.old.7"), "").unwrap();
        let path = files.free_set_aside_path().unwrap();
        assert!(path.ends_with("creds.json.rotation.old.8"));
        // What cannot be listed may hold any number of them; what is not there holds none.
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, is_unknown) in [("file", true), ("gone", false)] {
            let files = Files::of(&folder.path().join(name).join("creds.json"));
            assert_eq!(files.free_set_aside_path().is_err(), is_unknown, "{name}");
            assert_eq!(files.have_saved_pair(), is_unknown, "{name}");
        }
    }
}
