//! Names what holds tokens.

use crate::error::display::one_line;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A file, such as creds.json.
    File(PathBuf),
    /// A secret in a vault.
    Secret {
        /// The path of its API, such as `secret/data/aac`.
        path: String,
        /// The address of the vault, if the environment names one.
        vault: Option<String>,
    },
}

impl Place {
    /// The kind of place, in one word: `file` or `vault`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Secret { .. } => "vault",
        }
    }

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

/// On one line, with nothing that a terminal would act on.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&one_line(&path.to_string_lossy())),
            Self::Secret { path, vault: Some(vault) } => {
                write!(f, "the secret {} in the vault at {vault}", one_line(path))
            }
            Self::Secret { path, vault: None } => {
                write!(f, "the secret {} in a vault", one_line(path))
            }
        }
    }
}
