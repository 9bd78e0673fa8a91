//! Where a pair of tokens lives.
//!
//! A [`Store`] is the home of a pair. An [`Exclusive`] is the right to change it, and a [`Prepared`] has the
//! room for the response to one refresh. Everything that they write is durable when they return.

pub(crate) mod file_store;
pub(crate) mod folder;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod saved;
pub(crate) mod spent;
pub(crate) mod vault;

use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::store::folder::Files;
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::{Credentials, lone_refresh_token};
use crate::tokens::secret::{Digest, RefreshToken};
use std::fmt;
use std::io;
use std::time::Duration;
use zeroize::Zeroizing;

/// The home of a pair of tokens.
pub(crate) trait Store: fmt::Debug {
    /// Its name, for messages.
    fn place(&self) -> Place;

    /// The pair as it is now. Takes no lock and writes nothing.
    fn read(&self) -> Result<Credentials, Unusable>;

    /// The files of this machine in which earlier runs may have saved a pair.
    fn files(&self) -> &Files;

    /// Takes the right to change the pair, if no other program has it.
    fn try_lock(&self) -> Result<Option<Box<dyn Exclusive + '_>>>;

    /// The first and the longest pause between two tries to take that right.
    fn pauses(&self) -> (Duration, Duration);

    /// How long that right is waited for, all in all; `usual`, unless a test has less.
    fn patience(&self, usual: Duration) -> Duration {
        usual
    }

    /// The error of a run that has waited for that right in vain.
    fn locked(&self, waited: Duration) -> Error;
}

/// The right to change the pair, until this is dropped.
pub(crate) trait Exclusive {
    /// Whether other programs still see that this one has the right.
    ///
    /// # Errors
    ///
    /// That cannot be told.
    fn is_held(&self) -> Result<bool>;

    /// The files beside the pair, where they can be written.
    fn files(&self) -> Option<&Files>;

    /// What the store holds. One that is empty may be about to be written: `is_patient` waits for that.
    ///
    /// # Errors
    ///
    /// It cannot be read. It may hold anything, so nothing can be judged.
    fn read(&self, is_patient: bool) -> Result<Content>;

    /// Whether what was read last is what there is: a vault may show what was there before.
    fn is_current(&self) -> Result<bool> {
        Ok(true)
    }

    /// Makes sure that a response can be saved, while nothing is sent: rehearses the commit, makes room,
    /// and marks the token of `sent` as on its way. `current` is what the store holds.
    fn prepare<'a>(&'a self, current: &Credentials, sent: &Credentials) -> Result<Preparation<'a>>;

    /// Replaces what the store holds, if that still is `old`. `is_only_copy`: no other place has what is
    /// written. `unused`: why its refresh token is not to be sent for a while.
    fn replace(
        &self,
        old: &[u8],
        new: &[u8],
        is_only_copy: bool,
        unused: Option<&Error>,
    ) -> Result<Replaced, StoreError>;

    /// Tells all programs that would send this token that it is dead.
    fn refuse(&self, token: &RefreshToken, error: &Error);
}

/// A refresh whose response can be saved.
pub(crate) trait Prepared {
    /// Whether the token may be sent now: asked right before its first byte leaves. `is_first`: it has not
    /// been sent before.
    fn confirm(&self, is_first: bool) -> bool;

    /// Obtains anew the right to send a token that [`confirm`](Self::confirm) has withheld; false if another
    /// program may have it.
    ///
    /// # Errors
    ///
    /// It ends too soon, time and again.
    fn confirm_anew(&self) -> Result<bool> {
        Ok(false)
    }

    /// Saves a response as it came, before it is looked at.
    fn record(&self, response: &[u8]) -> io::Result<()>;

    /// Leaves a note on a failure, for the programs that waited for this one.
    fn note(&self, error: &Error, was_in_doubt: bool);

    /// Leaves a note beside tokens that are committed: this one is not to be sent for a while.
    fn note_unused(&self, error: &Error, token: &Digest);

    /// Leaves no trace of a refresh whose token was not sent.
    fn withdraw(self: Box<Self>);

    /// Saves a response in a file of its own.
    fn save_aside(&self, response: &[u8]) -> Result<Place, StoreError>;

    /// Where [`record`](Self::record) saves a response.
    fn place(&self) -> Place;

    /// When this refresh began, by the local clock.
    fn time(&self) -> LocalTime;
}

/// What came of [`Exclusive::prepare`].
pub(crate) enum Preparation<'a> {
    Ready(Box<dyn Prepared + 'a>),
    /// The store holds something else by now.
    Superseded,
    /// Another program has the right by now.
    LockLost,
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    Done,
    /// Left alone: someone who takes no lock has written in the meantime.
    NotAsExpected,
}

/// What a store holds.
pub(crate) struct Content {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) pair: Result<Credentials, FileProblem>,
    /// The refresh token, whether the rest is usable or not.
    pub(crate) token: Option<RefreshToken>,
    /// Whether another program may have used that token, as it says.
    pub(crate) in_doubt: bool,
}

impl Content {
    pub(crate) fn of(bytes: Zeroizing<Vec<u8>>, pair: Result<Credentials, FileProblem>) -> Self {
        let token = match &pair {
            Ok(pair) => Some(pair.refresh_token.clone()),
            Err(_) => lone_refresh_token(&bytes),
        };
        Self { bytes, pair, token, in_doubt: false }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.token.as_ref().map(RefreshToken::digest)
    }
}

/// Why a store gives no pair.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It may be the work of a crash or of another program, so what is saved elsewhere counts.
    Damaged(FileProblem),
    /// It may hold anything, so nothing can be judged.
    Unreadable(Error),
}

impl Unusable {
    pub(crate) fn of(place: impl Into<Place>, problem: FileProblem) -> Self {
        match problem {
            // What names a secret in a vault is nobody's to replace by tokens.
            FileProblem::Unreadable(_)
            | FileProblem::Unfit(_)
            | FileProblem::Kept(_)
            | FileProblem::InVault(_) => Self::Unreadable(Error::unusable(place, problem)),
            problem => Self::Damaged(problem),
        }
    }

    pub(crate) fn into_error(self, place: impl Into<Place>) -> Error {
        match self {
            Self::Damaged(problem) => Error::unusable(place, problem),
            Self::Unreadable(error) => error,
        }
    }
}

/// A place that could not be written, and why.
#[derive(Debug)]
pub(crate) struct StoreError {
    pub(crate) place: Place,
    pub(crate) source: io::Error,
}

impl StoreError {
    /// Whether another program is at work on the file, though this one holds the lock.
    pub(crate) fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::WouldBlock
    }
}
