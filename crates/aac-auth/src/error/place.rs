//! Names what holds tokens, in messages.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where tokens are kept: a file, or a secret in a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// A secret, by the path of its API, and the address of the vault.
    Secret {
        path: String,
        vault: String,
    },
}

impl Place {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Secret { .. } => None,
        }
    }

    /// The path of the secret, if it is one.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::File(_) => None,
            Self::Secret { path, .. } => Some(path),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Secret { path, vault } => write!(f, "the secret {path} in the vault at {vault}"),
        }
    }
}
