//! Where a pair of tokens lives.
//!
//! A pair has one of two homes: a [file](file_store) in a folder, or a secret in a [vault]. Beside it, this
//! machine keeps what is known of its refreshes. Everything that is written is durable when a method returns.

pub(crate) mod file_store;
pub(crate) mod folder;
pub(crate) mod home;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod saved;
pub(crate) mod spent;
pub(crate) mod vault;

use crate::error::place::Place;
use crate::error::{Error, FileProblem};
use crate::tokens::credentials::{Credentials, lone_refresh_token};
use crate::tokens::sealed::Stored;
use crate::tokens::secret::{Digest, RefreshToken};
use std::io;

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    Done,
    /// Left alone: someone who takes no lock has written in the meantime.
    NotAsExpected,
    /// Left alone: another program is at work on it.
    LockLost,
}

/// What a store holds.
pub(crate) struct Content {
    pub(crate) stored: Stored,
    pub(crate) pair: Result<Credentials, FileProblem>,
    /// The refresh token, whether the rest is usable or not.
    pub(crate) token: Option<RefreshToken>,
    /// Whether another program may have used that token, as it says.
    pub(crate) in_doubt: bool,
}

impl Content {
    pub(crate) fn of(stored: Stored, pair: Result<Credentials, FileProblem>) -> Self {
        let token = match &pair {
            Ok(pair) => Some(pair.refresh_token.clone()),
            Err(_) => lone_refresh_token(stored.bytes()),
        };
        Self { stored, pair, token, in_doubt: false }
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
            | FileProblem::OtherVersion { .. }
            | FileProblem::Sealed { .. }
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
