//! Tokens: what they look like, and which of them are valid. There is no HTTP in here.

pub(crate) mod jwt;
pub(crate) mod ledger;
pub(crate) mod random;

/// The path of the token endpoint, where tokens are refreshed.
pub(crate) const ENDPOINT: &str = "/as/token";

/// The two tokens that the web page shows once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// A JWT that gives access to the API until it expires.
    pub access_token: String,
    /// Good for one refresh.
    pub refresh_token: String,
}
