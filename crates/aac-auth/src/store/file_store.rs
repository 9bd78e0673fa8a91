//! The first home of a pair: creds.json in a folder. What its methods do, [`home`](crate::store::home) says.

use crate::config::settings::Hosts;
use crate::error::notices::{say, warn};
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::platform;
use crate::store::folder::{Files, Written};
use crate::store::lock::Lock;
use crate::store::{Content, Replaced, StoreError, Unusable, saved};
use crate::tokens::credentials::{Credentials, Found};
use crate::tokens::sealed::Opener;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// creds.json, as it is to be found at this moment.
#[derive(Debug)]
pub(crate) struct FileStore<'a> {
    /// As the user knows it.
    creds: &'a Path,
    files: Files,
    hosts: &'a Hosts,
    opener: Opener<'a>,
}

impl<'a> FileStore<'a> {
    pub(crate) fn of(creds: &'a Path, hosts: &'a Hosts, opener: Opener<'a>) -> Self {
        Self { creds, files: Files::of(creds), hosts, opener }
    }

    fn read_settled(&self) -> Found {
        Credentials::read_settled(&self.files.creds, self.hosts, self.opener)
    }

    /// The error; where a right is missing because the tokens are another user's, that one: who may not refresh
    /// them need not be let in.
    fn as_who_may_not(&self, error: StoreError) -> StoreError {
        match error.source.kind() {
            io::ErrorKind::PermissionDenied => self.files.foreign().unwrap_or(error),
            _ => error,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.creds.into()
    }

    pub(crate) fn read(&self) -> Result<Credentials, Unusable> {
        self.read_settled().1.map_err(|problem| Unusable::of(self.creds, problem))
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn lock(&self) -> Result<Option<Locked<'_>>, StoreError> {
        let lock = Lock::try_acquire(&self.files)?;
        Ok(lock.map(|lock| Locked { store: self, lock }))
    }

    /// The error, without a claim that an earlier run may have made false.
    pub(crate) fn as_an_earlier_run_left_it(&self, error: StoreError) -> Error {
        let error = self.as_who_may_not(error);
        saved::as_left(
            &self.files,
            self.hosts,
            self.opener,
            error,
            |StoreError { place, source }, in_doubt| Error::not_writable(&place, source, in_doubt),
        )
    }
}

/// creds.json while the kernel's lock is held.
pub(crate) struct Locked<'a> {
    store: &'a FileStore<'a>,
    pub(crate) lock: Lock<'a>,
}

impl Locked<'_> {
    pub(crate) fn is_held(&self) -> Result<bool> {
        self.lock.is_named().map_err(|error| self.store.as_an_earlier_run_left_it(error))
    }

    pub(crate) fn read(&self, is_patient: bool) -> Result<Content> {
        let mut read = self.store.read_settled();
        let start = Instant::now();
        // There is no event to wait for.
        while is_patient
            && matches!(read, (_, Err(FileProblem::Empty)))
            && start.elapsed() < Duration::from_secs(2)
        {
            read = self.store.read_settled();
        }
        match read {
            (stored, Ok(pair)) => Ok(Content::of(stored, Ok(pair))),
            (stored, Err(problem)) => match Unusable::of(self.store.creds, problem) {
                Unusable::Damaged(problem) => Ok(Content::of(stored, Err(problem))),
                Unusable::Unreadable(error) => Err(match saved::leaves_doubt(&self.store.files) {
                    true => error.after_doubt(),
                    false => error,
                }),
            },
        }
    }

    /// Replaces creds.json by a copy of itself while nothing is sent: a read-only folder, a full disk, an
    /// immutable file or a wrong owner shows up here, and not when the response is there.
    pub(crate) fn rehearse(&self, current: &Credentials) -> Result<Replaced> {
        let files = &self.store.files;
        let was_open = is_open_to_others(&files.creds);
        files.check().map_err(not_writable)?;
        let same = &current.stored.raw;
        match files.replace(same, same) {
            Ok(Written::ByRename) => {}
            Ok(Written::OverMount) => warn(format_args!(
                "{} is a mount of its own: programs that use another mount do not see its lock; mount its folder instead",
                files.creds.display()
            )),
            Ok(Written::NotAsExpected) => return Ok(Replaced::NotAsExpected),
            // Another program is at work on it.
            Err(error) if error.is_taken() => return Ok(Replaced::LockLost),
            Err(error) => return Err(not_writable(self.store.as_who_may_not(error))),
        }
        if was_open && !is_open_to_others(&files.creds) {
            // In a clone every file is open to others: nobody meant that.
            say(format_args!(
                "other users of this machine could read {}; they no longer can",
                self.store.place()
            ));
        }
        Ok(Replaced::Done)
    }

    pub(crate) fn replace(
        &self,
        old: &[u8],
        new: &[u8],
        is_only_copy: bool,
    ) -> Result<Replaced, StoreError> {
        let files = &self.store.files;
        let replaced = match files.replace(old, new) {
            // Torn or not, it is one of the last places left.
            Err(error) if is_only_copy => files.overwrite(old, new).map_err(|_| error),
            replaced => replaced,
        };
        Ok(match replaced? {
            Written::NotAsExpected => Replaced::NotAsExpected,
            Written::ByRename | Written::OverMount => Replaced::Done,
        })
    }
}

/// Whether every user of this machine can read or write creds.json.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| platform::is_open_to_others(&metadata))
}

pub(crate) fn not_writable(StoreError { place, source }: StoreError) -> Error {
    Error::not_writable(&place, source, false)
}
