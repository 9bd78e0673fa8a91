//! How a sandbox is to behave.

use std::time::Duration;

use crate::fault::Fault;

/// How a sandbox is to behave. The default is what is known of the real service today.
///
/// ```
/// use aac_sandbox::Options;
///
/// let options = Options { token_lifetime: 2, users: 1234, ..Options::default() };
/// assert_eq!(options.port, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The loopback port to listen on; 0, the default, takes any free one.
    pub port: u16,
    /// Seconds from the issue of an access token to its `exp`: 300, as in a token of 2025.
    pub token_lifetime: i64,
    /// How long a spent refresh token may be exchanged again. PingOne allows up to a day of
    /// it, "useful in the case of network errors"; the default is its default, none.
    pub grace: Duration,
    /// Whether a spent refresh token, sent again after its grace, ends its whole family.
    /// PingOne can do so; what Alteryx has set is not known. The default is the worse: true.
    pub replay_protection: bool,
    /// How many people the workspace has: 3.
    pub users: usize,
    /// A pause between the arrival of a request and any work on it.
    pub latency: Duration,
    /// What is to go wrong, and when.
    pub faults: Vec<Fault>,
    /// What refresh tokens look like.
    pub refresh_tokens: RefreshTokens,
    /// Whether the header of access tokens has `"typ":"at+jwt"` (RFC 9068 §2.1), as PingOne
    /// announces for 2027-03-02. In 2025 they had no `typ`: false.
    pub at_jwt: bool,
    /// Whether the gateway insists on a valid API project id: true.
    pub project_id_check: bool,
    /// Seconds the server's clock is ahead of this machine's, or behind it if negative. It
    /// dates the tokens, and decides when they have expired.
    pub clock_offset: i64,
    /// The most rows a page of a list can have, whatever `limit` asks for: 1000.
    pub max_page: usize,
    /// How the list of people is cut into pages.
    pub paging: Paging,
    /// How large an exported package is, in bytes, unless what has to be in it is larger: 2000.
    pub package_size: u64,
    /// How often a run that someone asks about is in progress before it is complete: 3.
    pub job_polls: usize,
    /// The status for the number of some other workspace: 403, or 404 for anything else. Which
    /// one the real service has is not known.
    pub foreign_workspace: u16,
    /// Whether to keep the line for each request off stderr: true.
    pub quiet: bool,
    /// The `iss` of the tokens, without a trailing slash; by default the sandbox's own
    /// `<url>/as`, so that a client that follows `iss` comes back to it.
    pub issuer: Option<String>,
    /// Whether to speak https, with a certificate of [`Sandbox::ca_pem`](crate::Sandbox::ca_pem).
    #[cfg(feature = "tls")]
    pub tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            token_lifetime: 300,
            grace: Duration::ZERO,
            replay_protection: true,
            users: 3,
            latency: Duration::ZERO,
            faults: Vec::new(),
            refresh_tokens: RefreshTokens::Jwt,
            at_jwt: false,
            project_id_check: true,
            clock_offset: 0,
            max_page: 1000,
            paging: Paging::Exact,
            package_size: 2000,
            job_polls: 3,
            foreign_workspace: 403,
            quiet: true,
            issuer: None,
            #[cfg(feature = "tls")]
            tls: false,
        }
    }
}

/// What refresh tokens look like. A client must not care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshTokens {
    /// A JWT, as in 2025.
    #[default]
    Jwt,
    /// A random string, which PingOne issues to everyone from 2027-03-02.
    Opaque,
}

/// How the list of people is cut into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// As asked for by `limit` and `offset`.
    #[default]
    Exact,
    /// Every page but the first begins with the last row of the one before, as when someone
    /// was added while the list was read.
    Overlapping,
    /// `offset` is ignored: every page is the first.
    IgnoresOffset,
    /// `includeCount` is ignored: no answer has a `count`.
    NoCount,
    /// The second page is the first one again; after it the list goes on as asked for. A list
    /// begins with a request for offset 0, and every one after it turns a page.
    Repeating,
    /// Whenever a page is turned there is one more person, at the end.
    Growing,
    /// Whenever a page is turned there is one person less, at the end.
    Shrinking,
    /// `count` is five more than there are.
    CountTooHigh,
}
