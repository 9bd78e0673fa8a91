//! The first home of a pair: creds.json in a folder.

use crate::config::settings::Hosts;
use crate::config::text;
use crate::error::notices::Notices;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::platform;
use crate::store::folder::{Files, Written};
use crate::store::journal::{Found, Journal};
use crate::store::lock::Lock;
use crate::store::saved::SavedPair;
use crate::store::{
    Content, Exclusive, Preparation, Prepared, Replaced, Store, StoreError, Unusable,
};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::{Digest, RefreshToken};
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
    notices: Notices,
}

impl<'a> FileStore<'a> {
    pub(crate) fn of(creds: &'a Path, hosts: &'a Hosts, notices: Notices) -> Self {
        Self { creds, files: Files::of(creds), hosts, notices }
    }

    /// The error; where a right is missing because the tokens are another user's, that one: who may not refresh
    /// them need not be let in.
    fn as_who_may_not(&self, error: StoreError) -> StoreError {
        match error.source.kind() {
            io::ErrorKind::PermissionDenied => self.files.foreign().unwrap_or(error),
            _ => error,
        }
    }

    /// Takes the lock, if it is free.
    pub(crate) fn lock(&self) -> Result<Option<Locked<'_>>, StoreError> {
        let lock = Lock::try_acquire(&self.files)?;
        Ok(lock.map(|lock| Locked { store: self, lock }))
    }

    /// The error, without a claim that an earlier run may have made false.
    pub(crate) fn as_an_earlier_run_left_it(&self, error: StoreError) -> Error {
        let StoreError { place, source } = self.as_who_may_not(error);
        let journal = &self.files.journal;
        let found = Found::read(&self.files, journal);
        if let Ok(Some(found)) = &found
            && SavedPair::of(journal, found, self.hosts).is_some()
        {
            return Error::saved_in_journal(&journal.into(), &place, source);
        }
        let in_doubt = !matches!(found, Ok(None));
        Error::not_writable(&place, source, in_doubt)
    }
}

impl Store for FileStore<'_> {
    fn place(&self) -> Place {
        self.creds.into()
    }

    fn read(&self) -> Result<Credentials, Unusable> {
        read(&self.files.creds, self.hosts).map_err(|problem| Unusable::of(self.creds, problem))
    }

    fn files(&self) -> &Files {
        &self.files
    }

    fn try_lock(&self) -> Result<Option<Box<dyn Exclusive + '_>>> {
        let lock = Lock::try_acquire(&self.files);
        let lock = lock.map_err(|error| self.as_an_earlier_run_left_it(error))?;
        Ok(lock.map(|lock| Box::new(Locked { store: self, lock }) as Box<dyn Exclusive>))
    }

    fn pauses(&self) -> (Duration, Duration) {
        (Duration::from_millis(5), Duration::from_millis(250))
    }

    fn locked(&self, waited: Duration) -> Error {
        Error::locked(&(&self.files.lock).into(), waited)
    }
}

/// Reads creds.json once it has settled.
pub(crate) fn read(creds: &Path, hosts: &Hosts) -> Result<Credentials, FileProblem> {
    Credentials::read_settled(creds, hosts)
}

/// creds.json while the kernel's lock is held.
pub(crate) struct Locked<'a> {
    store: &'a FileStore<'a>,
    lock: Lock,
}

impl Locked<'_> {
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Replaces creds.json by a copy of itself while nothing is sent: a read-only folder, a full disk, an
    /// immutable file or a wrong owner shows up here, and not when the response is there.
    pub(crate) fn rehearse(&self, current: &Credentials) -> Result<Written> {
        let files = &self.store.files;
        files.check().map_err(not_writable)?;
        let replaced = files.replace(&current.bytes, &current.bytes);
        replaced.map_err(|error| not_writable(self.store.as_who_may_not(error)))
    }
}

impl Exclusive for Locked<'_> {
    fn is_held(&self) -> Result<bool> {
        self.lock.is_named().map_err(|error| self.store.as_an_earlier_run_left_it(error))
    }

    fn files(&self) -> Option<&Files> {
        Some(&self.store.files)
    }

    fn read(&self, is_patient: bool) -> Result<Content> {
        let FileStore { creds, files, hosts, .. } = self.store;
        let mut pair = read(&files.creds, hosts);
        let start = Instant::now();
        // There is no event to wait for.
        while is_patient
            && matches!(pair, Err(FileProblem::Empty))
            && start.elapsed() < Duration::from_secs(2)
        {
            pair = read(&files.creds, hosts);
        }
        match pair {
            Ok(pair) => Ok(Content::of(pair.bytes.clone(), Ok(pair))),
            Err(problem) => match Unusable::of(*creds, problem) {
                Unusable::Damaged(problem) => {
                    Ok(Content::of(text::read(&files.creds).unwrap_or_default(), Err(problem)))
                }
                Unusable::Unreadable(error) => Err(error),
            },
        }
    }

    fn prepare<'a>(&'a self, current: &Credentials, sent: &Credentials) -> Result<Preparation<'a>> {
        let FileStore { creds, files, notices, .. } = self.store;
        let was_open = is_open_to_others(&files.creds);
        match self.rehearse(current) {
            // Another run may be using the token by now.
            Err(_) if !self.is_held()? => return Ok(Preparation::LockLost),
            Err(error) => return Err(error),
            Ok(Written::NotAsExpected) => return Ok(Preparation::Superseded),
            Ok(Written::OverMount) => notices.warn(format_args!(
                "{} is a mount of its own: programs that use another mount do not see its lock; mount its folder instead",
                files.creds.display()
            )),
            Ok(Written::ByRename) => {}
        }
        if was_open && !is_open_to_others(&files.creds) {
            // In a clone every file is open to others: nobody meant that.
            notices.inform(format_args!(
                "other users of this machine could read {}; they no longer can",
                creds.display()
            ));
        }
        match Journal::begin_under(&self.lock, files, sent) {
            Ok(Some(journal)) => {
                Ok(Preparation::Ready(Box::new(InJournal { locked: self, journal })))
            }
            Ok(None) => Ok(Preparation::LockLost),
            Err(error) => Err(not_writable(error)),
        }
    }

    fn replace(
        &self,
        old: &[u8],
        new: &[u8],
        is_only_copy: bool,
        _: Option<&Error>,
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

    fn refuse(&self, _: &RefreshToken, _: &Error) {
        // The note in the journal tells it.
    }
}

/// A refresh with a journal beside creds.json.
struct InJournal<'a> {
    locked: &'a Locked<'a>,
    journal: Journal,
}

impl Prepared for InJournal<'_> {
    fn confirm(&self, is_first: bool) -> bool {
        // Once the token is out, the journal's own lock keeps others away.
        // If that cannot be told now, it is told when the run looks again.
        !is_first || self.locked.lock.is_named().unwrap_or(false)
    }

    fn record(&self, response: &[u8]) -> io::Result<()> {
        self.journal.record(response)
    }

    fn note(&self, error: &Error, was_in_doubt: bool) {
        // Best effort: the note spares others the question, no more.
        let _ = self.journal.note(error, was_in_doubt);
    }

    fn note_unused(&self, error: &Error, token: &Digest) {
        let _ = self.journal.note_unused(error, token);
    }

    fn withdraw(self: Box<Self>) {
        self.journal.withdraw(&self.locked.store.files);
    }

    fn save_aside(&self, response: &[u8]) -> Result<Place, StoreError> {
        self.journal.save_aside(&self.locked.store.files, response).map(Place::File)
    }

    fn place(&self) -> Place {
        (&self.locked.store.files.journal).into()
    }

    fn time(&self) -> LocalTime {
        self.journal.time
    }
}

/// Whether every user of this machine can read or write creds.json.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| platform::is_open_to_others(&metadata))
}

pub(crate) fn not_writable(StoreError { place, source }: StoreError) -> Error {
    Error::not_writable(&place, source, false)
}
