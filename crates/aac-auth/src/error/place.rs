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
    /// A variable of the environment, such as `AAC_ACCESS_TOKEN`.
    Variable(&'static str),
}

impl Place {
    /// The kind of place, in one word: `file`, `vault` or `variable`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Secret { .. } => "vault",
            Self::Variable(_) => "variable",
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Secret { .. } | Self::Variable(_) => None,
        }
    }

    /// The path of the secret, if it is one.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::File(_) | Self::Variable(_) => None,
            Self::Secret { path, .. } => Some(path),
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Place {
    fn from(path: &P) -> Self {
        Self::File(path.as_ref().to_owned())
    }
}

/// On one line, with nothing that a terminal would act on.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&one_line(&path.to_string_lossy())),
            Self::Variable(name) => f.write_str(name),
            Self::Secret { path, vault } => {
                write!(f, "the secret {} in ", one_line(path))?;
                match vault {
                    Some(address) => write!(f, "the vault at {address}"),
                    None => f.write_str("a vault"),
                }
            }
        }
    }
}
