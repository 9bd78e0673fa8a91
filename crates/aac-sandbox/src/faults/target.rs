//! The parts of the server.

use std::fmt;

/// The requests that a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Requests to the token endpoint and to anything else below `/as`.
    Token,
    /// All other requests to the cloud.
    Api,
    /// Requests to the vault.
    Vault,
    /// Requests that read a document from the vault.
    VaultRead,
    /// Requests that write a document to the vault.
    VaultWrite,
}

impl Target {
    /// Every target.
    pub fn all() -> [Self; 5] {
        [Self::Token, Self::Api, Self::Vault, Self::VaultRead, Self::VaultWrite]
    }

    /// The name in text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Api => "api",
            Self::Vault => "vault",
            Self::VaultRead => "vault-read",
            Self::VaultWrite => "vault-write",
        }
    }

    /// Whether its requests go to the vault.
    pub fn is_vault(self) -> bool {
        matches!(self, Self::Vault | Self::VaultRead | Self::VaultWrite)
    }

    /// Whether a request of that target belongs to this one.
    pub(crate) fn includes(self, request: Self) -> bool {
        self == request || self == Self::Vault && request.is_vault()
    }

    /// The target of a request to the cloud with this path.
    pub(crate) fn of(path: &str) -> Self {
        if path == "/as" || path.starts_with("/as/") { Self::Token } else { Self::Api }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
