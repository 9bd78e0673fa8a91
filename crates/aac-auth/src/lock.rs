//! One exchange at a time on this machine: the kernel's lock on creds.json.lock, and the right to
//! spend a refresh token, which comes from the lock alone.
//!
//! The kernel drops the lock when the process that holds it ends, however it ends. There is no
//! stale lock to judge, and so no lock is ever stolen.

use crate::credentials::Credentials;
use crate::disk::{DiskError, Files, at};
use crate::error::Problem;
use crate::platform;
use crate::secret::RefreshToken;
use crate::settings::Hosts;
use same_file::Handle;
use std::fs::{File, TryLockError};
use std::io;
use std::marker::PhantomData;

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
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
        // Someone may have deleted the file since it was opened: then others lock a new one, and this
        // lock is of no use.
        let locked = file.try_clone().and_then(Handle::from_file).map_err(at(path))?;
        let is_named = Handle::from_path(path).is_ok_and(|named| named == locked);
        Ok(is_named.then_some(Self { _file: file }))
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
            if let Some(model) = files.model() {
                // Best effort: if it can't be handed over, its maker alone can take the lock, and
                // anyone else is told so.
                let _ = platform::hand_over(&file, &model);
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
