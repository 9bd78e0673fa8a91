//! What a program can tell errors apart by.

/// Roughly what went wrong. [`Error::kind`](crate::Error::kind) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// One of the three files, or the secret that creds.json names in a vault, is missing or cannot be
    /// used. Nothing was sent to Alteryx Cloud.
    Config,
    /// The refresh token in creds.json has been used, revoked or disabled, or it has expired.
    Tokens,
    /// The tokens cannot be kept safe: another program holds the lock for too long, the disk is full, a
    /// file cannot be written, or the vault does not do its part.
    Storage,
    /// The authorization server could not be reached, was too busy, refused the request, or its response
    /// was lost.
    AuthServer,
    /// The API could not be reached, or the connection broke.
    Network,
    /// The API responded with a status other than 2xx. [`Error::http`](crate::Error::http) returns the
    /// response.
    Http,
    /// The API's response is cut off, too large, not JSON, not a list, or not as the program expects it.
    Response,
    /// The request, or a flag of the program, is wrong. Nothing was sent.
    Usage,
    /// The operating system: a file that the user named, or standard output.
    Io,
}

impl ErrorKind {
    /// Its name, as a journal has it.
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        use ErrorKind::*;
        let all = [Config, Tokens, Storage, AuthServer, Network, Http, Response, Usage, Io];
        all.into_iter().find(|kind| kind.name() == name)
    }
}
