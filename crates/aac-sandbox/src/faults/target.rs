//! What a fault applies to.

use std::fmt;

use axum::http::Method;

/// The requests that a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Requests to the token endpoint and to anything else below `/as`.
    Token,
    /// All other requests.
    Api,
    /// Those of them that start a run of a plan, or a job.
    Run,
}

impl Target {
    /// The target that a request belongs to: the narrowest one.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let starts_run = path == "/v4/jobGroups"
            || (path.starts_with("/plans/v1/plans/") && path.ends_with("/run"));
        if path == "/as" || path.starts_with("/as/") {
            Self::Token
        } else if method == Method::POST && starts_run {
            Self::Run
        } else {
            Self::Api
        }
    }

    /// Whether a fault of this target applies to a request of that one.
    pub(crate) fn covers(self, request: Self) -> bool {
        self == request || (self == Self::Api && request == Self::Run)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Api => "api",
            Self::Run => "run",
        })
    }
}
