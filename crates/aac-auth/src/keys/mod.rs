//! The keys of sealed files, and who keeps them.
//!
//! A key is fetched before the lock is taken, once for each process: no keeper is asked under the lock. A
//! refresh never makes one.

mod given;
mod keychain;
mod program;
mod secret_service;

pub(crate) use crate::error::key::KeyProblem;

use crate::platform;
use crate::random;
use crate::tokens::secret::Digest;
use base64::prelude::{BASE64_STANDARD as BASE64, Engine};
use ring::rand::{SecureRandom, SystemRandom};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;
use zeroize::Zeroizing;

/// The name of the service under which keys are stored, which never changes.
const SERVICE: &str = "aac-auth";

const KEY_FILE: &str = "AAC_KEY_FILE";
const KEY_COMMAND: &str = "AAC_KEY_COMMAND";

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
    /// Each with its word in a sealed file, which stays the same in later versions, and its name.
    const ALL: [(Self, &str, &str); 5] = [
        (Self::Windows, "windows", "the data protection of Windows (DPAPI)"),
        (Self::Keychain, "keychain", "the keychain of macOS"),
        (Self::SecretService, "secret-service", "the Secret Service"),
        (Self::File, "file", KEY_FILE),
        (Self::Command, "command", KEY_COMMAND),
    ];

    fn row(self) -> (Self, &'static str, &'static str) {
        let row = Self::ALL.into_iter().find(|(keeper, ..)| *keeper == self);
        row.unwrap_or((self, "", ""))
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, it, _)| *it == word).map(|(keeper, ..)| keeper)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
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
#[derive(Clone)]
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

    /// A new one.
    fn random() -> Result<Self, KeyProblem> {
        let mut key = Self::new([0; 32]);
        let filled = SystemRandom::new().fill(&mut *key.0);
        filled.map_err(|_| KeyProblem::no_random_numbers())?;
        Ok(key)
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::new([0; 32]);
        (bytes.len() == key.0.len()).then(|| key.0.copy_from_slice(bytes))?;
        Some(key)
    }

    /// As an item of a store has it.
    fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.bytes()))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim_ascii()).ok()?);
        Self::of(&bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// How long a key is waited for: at a terminal, somebody may have to enter a password.
pub(crate) fn patience() -> Duration {
    let is_attended = io::stdin().is_terminal() || io::stderr().is_terminal();
    Duration::from_secs(if is_attended { 60 } else { 10 })
}

/// Fetches a key from its keeper.
///
/// # Errors
///
/// Why it cannot be had, within `patience`.
pub(crate) fn fetch(place: &KeyPlace, patience: Duration) -> Result<Key, KeyProblem> {
    let KeyPlace { by, name } = place;
    match by {
        Keeper::File => given::in_file(&variable(KEY_FILE)?),
        Keeper::Command => given::by_command(&variable(KEY_COMMAND)?, patience),
        by if by.as_str() != platform::KEEPER => Err(KeyProblem::other_system(&by.to_string())),
        Keeper::Windows => unprotect(name),
        Keeper::Keychain => keychain::fetch(name, patience),
        Keeper::SecretService => secret_service::fetch(name, patience),
    }
}

/// Makes a key, stores it, and reads it back; that of a file or a command is the user's, and is fetched twice.
///
/// # Errors
///
/// Why it cannot be stored.
pub(crate) fn make(by: Keeper, patience: Duration) -> Result<(KeyPlace, Key), KeyProblem> {
    let mut place = KeyPlace { by, name: String::new() };
    if matches!(by, Keeper::File | Keeper::Command) {
        let key = fetch(&place, patience)?;
        // Nothing would open what is sealed with a command that makes a key.
        return match fetch(&place, patience)?.bytes() == key.bytes() {
            true => Ok((place, key)),
            false => Err(KeyProblem::never_the_same(&by.to_string())),
        };
    }
    let key = Key::random()?;
    place.name = random::name();
    match by {
        Keeper::Windows => {
            let failed = |error: io::Error| KeyProblem::failed(&by.to_string(), &error.to_string());
            place.name = BASE64.encode(platform::protect_data(key.bytes()).map_err(failed)?);
        }
        Keeper::Keychain => keychain::store(&place.name, &key, patience)?,
        _ => secret_service::store(&place.name, &key, patience)?,
    }
    match fetch(&place, patience)?.bytes() == key.bytes() {
        true => Ok((place, key)),
        false => Err(KeyProblem::failed(&by.to_string(), "it has not kept the new key")),
    }
}

/// Who is to keep the key of a new pair: what a variable names, or else the system's own store.
///
/// # Errors
///
/// Why there is none.
pub(crate) fn of_system(
    variable: impl Fn(&str) -> Option<OsString>,
    patience: Duration,
) -> Result<Keeper, KeyProblem> {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    match (is_set(KEY_FILE), is_set(KEY_COMMAND), Keeper::parse(platform::KEEPER)) {
        (true, true, _) => Err(KeyProblem::both_set()),
        (true, false, _) => Ok(Keeper::File),
        (false, true, _) => Ok(Keeper::Command),
        (false, false, Some(by @ (Keeper::Windows | Keeper::Keychain))) => Ok(by),
        (false, false, _) => secret_service::look(patience).map(|()| Keeper::SecretService),
    }
}

/// The longest name of a key, which is a blob of DPAPI's, in bytes.
pub(crate) const LONGEST_NAME: usize = 4096;

/// Whether this can be the name of a key with this keeper. Nothing else is handed to a program.
pub(crate) fn is_name(by: Keeper, name: &str) -> bool {
    let all = |is_one: fn(u8) -> bool| name.bytes().all(is_one);
    match by {
        Keeper::Windows => {
            (1..=LONGEST_NAME).contains(&name.len())
                && all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
        }
        Keeper::Keychain | Keeper::SecretService => {
            (8..=40).contains(&name.len())
                && all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                // It would be taken for a flag.
                && !name.starts_with('-')
        }
        Keeper::File | Keeper::Command => name.is_empty(),
    }
}

fn unprotect(name: &str) -> Result<Key, KeyProblem> {
    let blob = BASE64.decode(name).map_err(|_| KeyProblem::bad_name())?;
    let bytes = platform::unprotect_data(&blob);
    let bytes = bytes.map_err(|error| KeyProblem::refused_by_windows(&error.to_string()))?;
    Key::of(&bytes).ok_or_else(KeyProblem::bad_name)
}

/// What a variable leads to.
fn variable(name: &str) -> Result<OsString, KeyProblem> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.ok_or_else(|| KeyProblem::not_set(name))
}

#[cfg(test)]
pub(crate) mod tests;
