//! The two halves of the server.

use std::fmt;

/// The requests that a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Requests to the token endpoint and to anything else below `/as`.
    Token,
    /// All other requests.
    Api,
}

impl Target {
    /// The target that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        if path == "/as" || path.starts_with("/as/") { Self::Token } else { Self::Api }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Api => "api",
        })
    }
}
