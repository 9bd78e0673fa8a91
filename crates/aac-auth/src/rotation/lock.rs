//! One refresh at a time on this machine: the kernel's lock on creds.json.lock, and the right to spend
//! a refresh token, which only the lock grants.
//!
//! The kernel releases the lock when the process that holds it ends, however it ends. So no lock can be
//! stale, and none is ever stolen.

use crate::config::settings::Hosts;
use crate::error::FileProblem;
use crate::store::folder::{DiskError, Files, at, is_in_use};
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::RefreshToken;
use same_file::Handle;
use std::fs::{self, File, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Handle,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(files: &Files) -> Result<Option<Self>, DiskError> {
        let path = &files.lock;
        let file = match open(files) {
            // The lock file was deleted while its holder is at work.
            Err(error) if error.is_taken() => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
        }
        let lock = Self { file: Handle::from_file(file).map_err(at(path))?, path: path.clone() };
        // The file may have been deleted since it was opened. Others then lock a new one, and the holder
        // of the old one may be in the middle of a refresh.
        let is_ours = lock.is_named() && !is_in_use(&files.journal) && !is_in_use(files.next());
        Ok(is_ours.then_some(lock))
    }

    /// Gives the lock file the access of creds.json, which may have changed since the file was created.
    pub(crate) fn share(&self, files: &Files) {
        if let Some(access) = files.access() {
            // Best effort: it may belong to another user.
            let _ = access.give_to(self.file.as_file());
        }
    }

    /// Whether the locked file still has its name. Otherwise others do not see the lock.
    pub(crate) fn is_named(&self) -> bool {
        Handle::from_path(&self.path).is_ok_and(|named| named == self.file)
    }

    /// Reads creds.json under the lock: only this copy's refresh token may be sent.
    pub(crate) fn read<'lock>(
        &'lock self,
        files: &Files,
        hosts: &Hosts,
    ) -> Result<Current<'lock>, FileProblem> {
        Ok(self.current(Credentials::read_settled(&files.creds, hosts)?))
    }

    /// Takes a pair from a journal as the current one while the lock is held.
    pub(crate) fn current(&self, credentials: Credentials) -> Current<'_> {
        Current { credentials, lock: PhantomData }
    }
}

/// Opens the lock file, creating it if needed: first under another name, so that it has its access
/// rights before anyone sees it. It is never removed.
fn open(files: &Files) -> Result<File, DiskError> {
    let path = &files.lock;
    // Most systems can lock a file without write access.
    let open = || File::options().read(true).write(true).open(path).or_else(|_| File::open(path));
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened.map_err(at(path)),
    }
    let new = files.new_lock();
    drop(files.create_new(&new)?);
    let linked = fs::hard_link(&new, path);
    files.remove(&new)?;
    match linked {
        Ok(()) => {}
        // Another program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // Not every file system supports links.
        Err(_) => drop(files.create_new(path)?),
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

/// A refresh token that may be sent: read under the lock, consumed by sending.
#[derive(Debug)]
pub(crate) struct Spendable<'lock> {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) client_id: String,
    pub(crate) token_endpoint: String,
    lock: PhantomData<&'lock Lock>,
}
