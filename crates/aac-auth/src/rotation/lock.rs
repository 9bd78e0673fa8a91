//! One exchange at a time on this machine: the kernel's lock on creds.json.lock, and the right to
//! spend a refresh token, which comes from the lock alone.
//!
//! The kernel drops the lock when the process that holds it ends, however it ends. There is no
//! stale lock to judge, and so no lock is ever stolen.

use crate::config::settings::Hosts;
use crate::error::FileProblem;
use crate::platform;
use crate::store::folder::{DiskError, Files, at, is_in_use, named};
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::RefreshToken;
use same_file::Handle;
use std::fs::{self, File, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Handle,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, if it is free.
    pub(crate) fn try_acquire(files: &Files) -> Result<Option<Self>, DiskError> {
        let path = &files.lock;
        let file = match open(files) {
            // The lock file was deleted, and its holder is at work.
            Err(error) if error.is_taken() => return Ok(None),
            // Whoever holds it open will let go of it, as one who holds the lock will.
            Err(DiskError { path, source }) if platform::may_pass(&source, &path, None) => {
                return Ok(None);
            }
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
        }
        let lock = Self { file: Handle::from_file(file).map_err(at(path))?, path: path.clone() };
        // Someone may have deleted the file since it was opened: then others lock a new one. And who
        // held the old one may be in the middle of a refresh.
        let is_ours = lock.is_named() && !is_in_use(&files.journal) && !is_in_use(files.next());
        Ok(is_ours.then_some(lock))
    }

    /// Lets those in who may use creds.json by now: its rights may have changed since the lock was made.
    pub(crate) fn share(&self, files: &Files) {
        if let Ok(Some(access)) = files.access() {
            // Best effort: it may be another user's.
            let _ = access.give_to(self.file.as_file());
        }
    }

    /// Whether the file that is locked still has its name. Otherwise others do not see the lock.
    pub(crate) fn is_named(&self) -> bool {
        named(&self.path).is_ok_and(|named| named == self.file)
    }

    /// Reads creds.json under the lock: only the refresh token of this copy may be sent.
    pub(crate) fn read<'lock>(
        &'lock self,
        files: &Files,
        hosts: &Hosts,
    ) -> Result<Current<'lock>, FileProblem> {
        Ok(self.current(Credentials::read_settled(&files.creds, hosts)?))
    }

    /// Takes a pair that was found in a journal while the lock is held for the current one.
    pub(crate) fn current(&self, credentials: Credentials) -> Current<'_> {
        Current { credentials, lock: PhantomData }
    }
}

/// Opens the lock file, and makes it where there is none: under another name first, so that it has its
/// rights before anyone sees it. It stays for ever.
fn open(files: &Files) -> Result<File, DiskError> {
    let path = &files.lock;
    let open = || platform::open_to_lock(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(at(path)),
    }
    let new = files.new_lock();
    // It is the lock file that cannot be made, by whatever name.
    let of_lock = |error: DiskError| DiskError { path: path.clone(), ..error };
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

/// The current pair of tokens, while the lock is held.
#[derive(Debug)]
pub(crate) struct Current<'lock> {
    pub(crate) credentials: Credentials,
    lock: PhantomData<&'lock Lock>,
}

impl<'lock> Current<'lock> {
    /// The right to send this copy's refresh token.
    pub(crate) fn to_spend(&self) -> Spendable<'lock> {
        let Credentials { refresh_token, client_id, token_endpoint, .. } = &self.credentials;
        Spendable {
            refresh_token: refresh_token.clone(),
            client_id: client_id.clone(),
            token_endpoint: token_endpoint.clone(),
            lock: self.lock,
        }
    }
}

/// A refresh token that may be sent: read under the lock, and consumed by being sent.
#[derive(Debug)]
pub(crate) struct Spendable<'lock> {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) client_id: String,
    pub(crate) token_endpoint: String,
    lock: PhantomData<&'lock Lock>,
}
