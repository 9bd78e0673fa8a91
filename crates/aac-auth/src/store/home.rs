//! The two homes of a pair, as one. Which one a pair has is told by creds.json.

use crate::error::place::Place;
use crate::error::{Error, Result};
use crate::store::file_store::{self, FileStore};
use crate::store::folder::{Files, at};
use crate::store::journal::Journal;
use crate::store::lock::Lock;
use crate::store::vault::protocol::Holder;
use crate::store::vault::{Claimant, Claimed, VaultStore};
use crate::store::{Content, Replaced, StoreError, Unusable};
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::RefreshToken;
use std::io;
use std::time::Duration;

/// What the steps of a refresh depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HomeKind {
    File,
    /// A token is claimed before it is sent, a journal is not needed, and notes are for all machines.
    Vault,
}

/// Where a pair lives.
#[derive(Debug)]
pub(crate) enum Home<'a> {
    File(Box<FileStore<'a>>),
    Vault(Box<VaultStore<'a>>),
}

impl Home<'_> {
    pub(crate) fn kind(&self) -> HomeKind {
        match self {
            Self::File(_) => HomeKind::File,
            Self::Vault(_) => HomeKind::Vault,
        }
    }

    /// Its name, for messages.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::File(file) => file.place(),
            Self::Vault(vault) => vault.place(),
        }
    }

    /// The pair as it is now. Takes no lock and writes nothing.
    pub(crate) fn read(&self) -> Result<Credentials, Unusable> {
        match self {
            Self::File(file) => file.read(),
            Self::Vault(vault) => vault.read(),
        }
    }

    /// The files of this machine in which earlier runs may have saved a pair.
    pub(crate) fn files(&self) -> &Files {
        match self {
            Self::File(file) => file.files(),
            Self::Vault(vault) => vault.files(),
        }
    }

    /// What the claim in the home means, as far as was read; and whether this machine has saved a pair for the
    /// token in it.
    pub(crate) fn holder(&self) -> (Holder, bool) {
        match self {
            Self::File(_) => (Holder::None, false),
            Self::Vault(vault) => {
                let holder = vault.holder();
                (holder, holder == Holder::Alive && vault.may_commit_journal())
            }
        }
    }

    /// Takes the lock beside the home, if it is free.
    pub(crate) fn lock(&self) -> Result<Option<Locked<'_>>> {
        match self {
            Self::File(file) => match file.lock() {
                Ok(lock) => Ok(lock.map(Locked::File)),
                Err(error) => Err(file.as_an_earlier_run_left_it(error)),
            },
            Self::Vault(vault) => Ok(vault.lock().map(Locked::Vault)),
        }
    }

    /// The first and the longest pause between two looks at the lock, or at the home.
    pub(crate) fn pauses(&self) -> (Duration, Duration) {
        match self {
            Self::File(_) => (Duration::from_millis(5), Duration::from_millis(250)),
            Self::Vault(_) => (Duration::from_millis(50), Duration::from_secs(1)),
        }
    }

    /// The error of a run that has waited for others in vain.
    pub(crate) fn waited_too_long(&self, waited: Duration) -> Error {
        match self {
            Self::File(file) => Error::locked(&(&file.files().lock).into(), waited),
            Self::Vault(vault) => vault.waited_too_long(waited),
        }
    }
}

/// A home while the lock beside it is held: the right to change the pair. Only what was read under it may be
/// sent.
pub(crate) enum Locked<'a> {
    File(file_store::Locked<'a>),
    /// A vault's may have no lock, where the folder cannot be written.
    Vault(Claimant<'a>),
}

/// What came of a claimed token, for all machines.
#[derive(Clone, Copy)]
pub(crate) enum Ending<'e> {
    /// It was not sent.
    Unsent,
    Failed(&'e Error),
    /// It is dead, and no other is at hand.
    Dead(&'e Error),
}

impl Locked<'_> {
    /// Whether other programs of this machine still see the lock.
    ///
    /// # Errors
    ///
    /// That cannot be told.
    pub(crate) fn is_held(&self) -> Result<bool> {
        match self {
            Self::File(file) => file.is_held(),
            Self::Vault(vault) => vault.is_held(),
        }
    }

    /// The lock, with the files beside the home.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub(crate) fn lock(&self) -> Result<&Lock<'_>, StoreError> {
        match self {
            Self::File(file) => Ok(&file.lock),
            Self::Vault(vault) => vault.lock(),
        }
    }

    /// What the home holds. One that is empty may be about to be written: `is_patient` waits for that.
    ///
    /// # Errors
    ///
    /// It cannot be read. It may hold anything, so nothing can be judged.
    pub(crate) fn read(&self, is_patient: bool) -> Result<Content> {
        match self {
            Self::File(file) => file.read(is_patient),
            Self::Vault(vault) => vault.read(),
        }
    }

    /// Replaces a file by itself, to see whether that is possible; or sees what a vault notes on the token
    /// that is to be sent. `in_home` is what was seen.
    ///
    /// # Errors
    ///
    /// That it cannot be replaced, or what is noted.
    pub(crate) fn rehearse(&self, in_home: &Credentials, sent: &Credentials) -> Result<Replaced> {
        match self {
            Self::File(file) => file.rehearse(in_home),
            Self::Vault(vault) => vault.rehearse(in_home, sent),
        }
    }

    /// Saves a response in a file of its own.
    pub(crate) fn save_aside(
        &self,
        journal: Option<&Journal>,
        response: &[u8],
    ) -> Result<Place, StoreError> {
        let files = self.lock()?.files;
        let none = || at(&files.journal)(io::Error::other("it could not be begun"));
        journal.ok_or_else(none)?.save_aside(files, response).map(Place::File)
    }

    /// Replaces what the home holds, if that still is `old`. `is_only_copy`: no other place has what is
    /// written. `unused`: why its refresh token is not to be sent for a while.
    pub(crate) fn replace(
        &self,
        old: &[u8],
        new: &[u8],
        is_only_copy: bool,
        unused: Option<&Error>,
    ) -> Result<Replaced, StoreError> {
        match self {
            Self::File(file) => file.replace(old, new, is_only_copy),
            Self::Vault(vault) => vault.replace(old, new, is_only_copy, unused),
        }
    }

    /// Sees to it that what the home holds is on the disk, whoever has written it. What a vault shows is.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::File(file) => file.lock.files.sync(&file.lock.files.creds),
            Self::Vault(_) => Ok(()),
        }
    }

    /// Claims a token for all machines, for the first time or again; none if another program has done so.
    /// `can_wait`: the access token still does for a while.
    pub(crate) fn claim(
        &self,
        sent: &RefreshToken,
        is_first: bool,
        can_wait: bool,
    ) -> Result<Option<Claimed>> {
        match self {
            Self::File(_) => Ok(None),
            Self::Vault(vault) => vault.claim(sent, is_first, can_wait),
        }
    }

    /// Whether what was read last is what there is: a vault may show what was there before.
    pub(crate) fn is_current(&self) -> Result<bool> {
        match self {
            Self::File(_) => Ok(true),
            Self::Vault(vault) => vault.is_current(),
        }
    }

    /// Ends the claim, with a note on what came of this token.
    pub(crate) fn end_claim(&self, token: &RefreshToken, ending: Ending<'_>) {
        if let Self::Vault(vault) = self {
            vault.end_claim(token, ending);
        }
    }
}
