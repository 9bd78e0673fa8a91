//! How a sandbox behaves.

use std::time::Duration;

use crate::faults::Fault;

/// How a sandbox behaves. The defaults are what is known of the real service today.
///
/// ```
/// use aac_sandbox::Options;
///
/// let options = Options { token_lifetime: 2, users: 1234, ..Options::default() };
/// assert_eq!(options.port, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The loopback port to listen on. Default: 0, any free port.
    pub port: u16,
    /// The lifetime of an access token, in seconds. Default: 300, as in a token of 2025.
    pub token_lifetime: i64,
    /// How long a spent refresh token can be used again. PingOne allows up to a day, which is
    /// "useful in the case of network errors". Default: zero, as PingOne's.
    pub grace: Duration,
    /// Whether reuse of a spent refresh token after the grace period revokes its family. PingOne
    /// can do so; what Alteryx has chosen is not known. Default: true, the worse of the two.
    pub replay_protection: bool,
    /// The number of people in the workspace. Default: 3.
    pub users: usize,
    /// The delay between the arrival of a request and its processing. Default: zero.
    pub latency: Duration,
    /// What goes wrong, and when. Default: nothing.
    pub faults: Vec<Fault>,
    /// The format of refresh tokens. Default: JWT.
    pub refresh_tokens: RefreshTokens,
    /// Whether the header of access tokens contains `"typ":"at+jwt"` (RFC 9068 §2.1), as PingOne
    /// announces for 2027-03-02. Default: false; tokens of 2025 had no `typ`.
    pub at_jwt: bool,
    /// Whether the gateway requires a valid API project ID. Default: true.
    pub project_id_check: bool,
    /// How many seconds the server's clock is ahead of this machine's; negative if it is behind.
    /// That clock dates tokens and decides when they expire. Default: 0.
    pub clock_offset: i64,
    /// The largest number of rows on a page of a list, whatever `limit` asks for. Default: 1000.
    pub max_page: usize,
    /// How the list of people is divided into pages. Default: as the request asks.
    pub paging: Paging,
    /// The size of an exported package in bytes, which is held in memory; a larger one if its contents
    /// need more. Default: 2000.
    pub package_size: usize,
    /// How long a run of a plan or a job takes, by the server's clock. Default: 3 s.
    pub run_time: Duration,
    /// How long a pair of tokens lasts, which people choose when they make it, in seconds. The `exp`
    /// of a refresh token does not say: it is 365 days ahead, as it was in 2025. Default: 365 days.
    pub pair_lifetime: i64,
    /// Whether to log nothing. Otherwise each request is one line on stderr. Default: true.
    pub quiet: bool,
    /// The `iss` of the tokens, without a trailing slash. Default: the sandbox's own `<url>/as`,
    /// so that a client that follows `iss` comes back to it.
    pub issuer: Option<String>,
    /// The vault beside the cloud. Default: none.
    pub vault: Option<VaultOptions>,
    /// Whether to speak HTTPS. [`Sandbox::ca_pem`](crate::Sandbox::ca_pem) has the certificate to
    /// trust. Default: false.
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
            run_time: Duration::from_secs(3),
            pair_lifetime: 365 * 24 * 60 * 60,
            quiet: true,
            issuer: None,
            vault: None,
            #[cfg(feature = "tls")]
            tls: false,
        }
    }
}

/// How the vault of a sandbox behaves. The defaults are those of OpenBao.
#[derive(Clone, Debug, Default)]
pub struct VaultOptions {
    /// The loopback port to listen on. Default: 0, any free port.
    pub port: u16,
    /// Whether the secrets engine is version 1, which ignores check-and-set. Default: false.
    pub kv_v1: bool,
    /// Whether each write must name the current version. Default: false.
    pub cas_required: bool,
    /// How many versions of a secret are kept; 0 is the engine's own default. Default: 0, for 10.
    pub max_versions: usize,
    /// The namespace of the engine and its tokens. Default: none.
    pub namespace: Option<String>,
    /// How many seconds the vault's clock is ahead of this machine's; negative if it is behind. It
    /// dates the versions and the responses. Default: 0.
    pub clock_offset: i64,
}

/// The format of refresh tokens. Clients must not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshTokens {
    /// A JWT, as in 2025.
    #[default]
    Jwt,
    /// A random string, which PingOne issues to everyone from 2027-03-02.
    Opaque,
}

/// How the list of people is divided into pages. A list begins with a request for offset 0; each
/// later request turns a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// As `limit` and `offset` ask.
    #[default]
    Exact,
    /// Each page after the first begins with the last row of the one before, as if a person had
    /// been added while the list was read.
    Overlapping,
    /// `offset` is ignored: every page is the first.
    IgnoresOffset,
    /// `includeCount` is ignored: no response has a `count`.
    NoCount,
    /// The second page repeats the first. Later pages are as asked for.
    Repeating,
    /// Each page turned adds a person at the end.
    Growing,
    /// Each page turned removes a person from the end.
    Shrinking,
    /// `count` is five too high.
    CountTooHigh,
}
