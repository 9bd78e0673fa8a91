//! The keys of sealed files, and who keeps them.
//!
//! A key is fetched before the lock is taken, once for each process: no keeper is asked under the lock. A
//! refresh never makes one.

use crate::tokens::secret::Digest;
use std::time::Duration;
use zeroize::Zeroizing;

/// Who keeps a key, as the field `by` of a sealed file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Keeper {
    /// The data protection of Windows (DPAPI): the name is the encrypted key itself.
    Windows,
    /// The login keychain of macOS.
    Keychain,
    /// The Secret Service of a desktop: GNOME Keyring, KWallet, KeePassXC.
    SecretService,
    /// The file that `AAC_KEY_FILE` names.
    File,
    /// The command that `AAC_KEY_COMMAND` holds.
    Command,
}

impl Keeper {
    const ALL: [(Self, &str); 5] = [
        (Self::Windows, "windows"),
        (Self::Keychain, "keychain"),
        (Self::SecretService, "secret-service"),
        (Self::File, "file"),
        (Self::Command, "command"),
    ];

    /// The word in a sealed file, which stays the same in later versions.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(keeper, _)| *keeper == self).map_or("", |(_, word)| word)
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, it)| *it == word).map(|(keeper, _)| keeper)
    }
}

/// Where a key is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyPlace {
    pub(crate) by: Keeper,
    /// The field `key` of a sealed file: the name of an item, or DPAPI's blob in Base64; empty for a file and a
    /// command.
    pub(crate) name: String,
}

/// A key of AES-256, wiped on drop.
pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A fingerprint, which tells another key from a damaged content.
    pub(crate) fn print(&self) -> String {
        let text = [b"aac-auth fingerprint\0".as_slice(), &*self.0].concat();
        Digest::of(&Zeroizing::new(text)).to_string()[..16].to_owned()
    }
}

/// Why a key cannot be had.
#[derive(Clone, Debug)]
pub(crate) enum KeyProblem {
    /// What is wrong, and what to do.
    Other { message: String, help: String },
}

/// Fetches a key from its keeper.
///
/// # Errors
///
/// Why it cannot be had, within `patience`.
pub(crate) fn fetch(place: &KeyPlace, patience: Duration) -> Result<Key, KeyProblem> {
    let _ = patience;
    match place.by {
        Keeper::File => {
            let problem = |message: String| KeyProblem::Other { message, help: String::new() };
            let path = std::env::var_os("AAC_KEY_FILE");
            let path = path.ok_or_else(|| problem("AAC_KEY_FILE is not set".to_owned()))?;
            let text = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
            let mut bytes = [0; 32];
            let digest = ring::digest::digest(&ring::digest::SHA256, text.trim_ascii_end());
            bytes.copy_from_slice(digest.as_ref());
            Ok(Key::new(bytes))
        }
        by => Err(KeyProblem::Other {
            message: format!("{} is not built yet", by.as_str()),
            help: String::new(),
        }),
    }
}
