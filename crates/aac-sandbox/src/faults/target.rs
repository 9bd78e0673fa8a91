//! What a fault applies to.

use std::fmt;

use hyper::Method;

/// The requests that a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Requests to the token endpoint and to anything else below `/as`.
    Token,
    /// All other requests to the cloud.
    Api,
    /// Those of them that start a run of a plan, or a job.
    Run,
    /// Those of them that invite, suspend or unsuspend people.
    People,
    /// Requests to the vault.
    Vault,
    /// Requests that read a document from the vault.
    VaultRead,
    /// Requests that write a document to the vault.
    VaultWrite,
}

impl Target {
    /// Every target.
    pub fn all() -> [Self; 7] {
        use Target::*;
        [Token, Api, Run, People, Vault, VaultRead, VaultWrite]
    }

    /// The name in text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Api => "api",
            Self::Run => "run",
            Self::People => "people",
            Self::Vault => "vault",
            Self::VaultRead => "vault-read",
            Self::VaultWrite => "vault-write",
        }
    }

    /// Whether its requests go to the vault.
    pub fn is_vault(self) -> bool {
        matches!(self, Self::Vault | Self::VaultRead | Self::VaultWrite)
    }

    /// The target that a request to the cloud belongs to: the narrowest one.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let starts_run = path == "/v4/jobGroups"
            || (path.starts_with("/plans/v1/plans/") && path.ends_with("/run"));
        let changes_people = path.starts_with("/iam/v1/workspaces/")
            && ["/people/batch", "/people/suspend", "/people/unsuspend"]
                .iter()
                .any(|end| path.ends_with(end));
        if path == "/as" || path.starts_with("/as/") {
            Self::Token
        } else if method == Method::POST && starts_run {
            Self::Run
        } else if method == Method::POST && changes_people {
            Self::People
        } else {
            Self::Api
        }
    }

    /// Whether each fault of this target also applies to requests of that one.
    pub fn covers(self, request: Self) -> bool {
        self == request
            || (self == Self::Api && matches!(request, Self::Run | Self::People))
            || (self == Self::Vault && request.is_vault())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
