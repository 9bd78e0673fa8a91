//! One exchange at a time on this machine: the kernel's lock on creds.json.lock, and the right to
//! spend a refresh token, which comes from the lock alone.
//!
//! The kernel drops the lock when the process that holds it ends, however it ends. There is no
//! stale lock to judge, and so no lock is ever stolen.

use crate::credentials::Credentials;
use crate::disk::{DiskError, Files, at};
use crate::error::Problem;
use crate::journal;
use crate::platform;
use crate::secret::RefreshToken;
use crate::settings::Hosts;
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
        let file = open(files).map_err(at(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(at(path)(error)),
        }
        let lock = Self { file: Handle::from_file(file).map_err(at(path))?, path: path.clone() };
        // Someone may have deleted the file since it was opened: then others lock a new one. And who
        // held the old one may be in the middle of a refresh.
        let is_ours = lock.is_named() && !journal::is_in_use(&files.journal);
        Ok(is_ours.then_some(lock))
    }

    /// Whether the file that is locked still has its name. Otherwise others do not see the lock.
    pub(crate) fn is_named(&self) -> bool {
        Handle::from_path(&self.path).is_ok_and(|named| named == self.file)
    }

    /// Reads creds.json under the lock: only the refresh token of this copy may be sent.
    pub(crate) fn read<'lock>(
        &'lock self,
        files: &Files,
        hosts: &Hosts,
    ) -> Result<Current<'lock>, Problem> {
        Ok(self.current(Credentials::read_settled(&files.creds, hosts)?))
    }

    /// Takes a pair that was found in a journal while the lock is held for the current one.
    pub(crate) fn current(&self, credentials: Credentials) -> Current<'_> {
        Current { credentials, lock: PhantomData }
    }
}

fn open(files: &Files) -> io::Result<File> {
    let made = platform::private().read(true).write(true).create_new(true).open(&files.lock);
    match made {
        Ok(file) => {
            if let Some(access) = files.access()
                && let Err(error) = access.give_to(&file)
            {
                // It stays for ever, and would shut the others out for ever.
                let _ = fs::remove_file(&files.lock);
                return Err(error);
            }
            Ok(file)
        }
        // To lock a file, most systems do not want to write it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::options()
            .read(true)
            .write(true)
            .open(&files.lock)
            .or_else(|_| File::open(&files.lock)),
        Err(error) => Err(error),
    }
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
