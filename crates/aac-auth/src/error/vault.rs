//! What keeps a secret in a vault from being of use, and what to do about it.

use crate::error::NetworkError;
use crate::error::http::status_line;
use std::fmt;

/// Why a vault did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VaultProblem {
    /// Neither BAO_ADDR nor VAULT_ADDR is set.
    NoAddress,
    /// The variable holds no URL of a host.
    NotAUrl(&'static str),
    /// The variable names plain http, which only loopback addresses may use.
    NotHttps(&'static str),
    /// The variable turns the check of certificates off.
    SkipsVerification(&'static str),
    /// The variable holds characters that no header can carry.
    NotAHeader(&'static str),
    /// There is no token.
    NoToken,
    /// The token in this place cannot be sent in a header.
    TokenUnclean(String),
    /// The file that the variable names holds no certificates.
    NoCertificates { variable: &'static str, what: String },
    /// The path in creds.json is not that of a secret's data.
    NotADataPath,
    /// The path in creds.json lacks data/, as that of the command line does.
    NoData,
    /// The engine is KV version 1.
    Version1,
    /// 403.
    Denied,
    /// There is no such secret.
    NoSecret,
    /// The secret was deleted then.
    Deleted(String),
    /// The secret's newest version is gone for good.
    Destroyed,
    /// 503: sealed, or about to be.
    Sealed,
    /// 429.
    RateLimited,
    /// It took so long to claim the tokens, or to reach the authorization server, that they were not sent.
    TooSlow,
    /// The network error.
    Network(NetworkError),
    /// Another status, and the vault's message.
    Status { status: u16, message: String },
    /// The response is not one of KV version 2.
    BadResponse(String),
}

impl VaultProblem {
    /// Whether it may pass by itself soon: a leader is being elected, a limit is reached.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Sealed | Self::RateLimited | Self::TooSlow => true,
            // 400 is the refusal of a check-and-set, of which a standby may be wrong. 412 asks to wait for
            // a standby.
            Self::Status { status, .. } => matches!(status, 400 | 408 | 412 | 500..),
            Self::Network(error) => !error.is_lasting(),
            _ => false,
        }
    }

    /// Whether it is a node that leads to the leader. That may be gone, and another about to be elected.
    pub(crate) fn is_redirect_to_leader(&self) -> bool {
        matches!(self, Self::Status { status: 307, .. })
    }

    /// What to do about it, in whole sentences.
    pub(crate) fn help(&self, path: &str) -> String {
        match self {
            Self::NoAddress => {
                "Set VAULT_ADDR (or BAO_ADDR) to the address of your vault: https://host:8200.".to_owned()
            }
            Self::NotAUrl(variable) => {
                format!("Set {variable} to the address of your vault and nothing else: https://host:8200.")
            }
            Self::NotHttps(variable) => format!(
                "The tokens would travel in clear. Use https:// in {variable}; http:// is for an agent or proxy on this machine alone."
            ),
            Self::SkipsVerification(variable) => format!(
                "Unset {variable}, and name the certificate of your vault's CA instead: VAULT_CACERT=/path/to/ca.pem."
            ),
            Self::NotAHeader(variable) => {
                format!("Set {variable} to the name of your namespace and nothing else, or unset it.")
            }
            Self::NoToken => {
                "Set VAULT_TOKEN (or BAO_TOKEN), or log in: bao login, vault login.".to_owned()
            }
            Self::TokenUnclean(_) => "Copy the vault's token again: one line, without spaces.".to_owned(),
            Self::NoCertificates { variable, .. } => {
                format!("Set {variable} to a PEM file with the certificate of your vault's CA.")
            }
            Self::NotADataPath => format!(
                "Put the path of the API in creds.json, with data/ behind the name of the engine: {{\"vault\": \"secret/data/aac\"}} is bao kv put secret/aac. Yours is {path:?}."
            ),
            Self::NoData => format!(
                "Yours is {path:?}. Put data/ behind the name of the engine in creds.json: {{\"vault\": \"secret/data/aac\"}} is bao kv put secret/aac.\n\
                 The engine must be KV version 2. To turn one of version 1 into that: bao kv enable-versioning secret."
            ),
            Self::Version1 => format!(
                "Version 1 ignores check-and-set, so two programs would use one token. Enable version 2: bao kv enable-versioning {}.",
                path.split_once("/data/").map_or(path, |(engine, _)| engine)
            ),
            Self::Denied => format!(
                "The vault's token is wrong or has expired, or its policy lacks this line:\n\
                 path \"{path}\" {{ capabilities = [\"read\", \"update\"] }}\n\
                 Log in again (bao login), or have the policy changed."
            ),
            Self::NoSecret => format!(
                "Put the tokens there, from a file with both as creds.json has them: {}. The vault may also hide the secret from you.",
                put_command(path)
            ),
            Self::Deleted(_) | Self::Destroyed => format!(
                "Put new tokens there, from a file with both as creds.json has them: {}. Do not undelete it: its refresh token has been used.",
                put_command(path)
            ),
            Self::Sealed => "Unseal the vault, or wait until it has a leader, and run this again.".to_owned(),
            Self::RateLimited => "Run this again in a minute.".to_owned(),
            Self::TooSlow => {
                "Writing to the vault takes too long, or connecting to the authorization server. Find out which (curl -v), and run this again.".to_owned()
            }
            Self::Network(NetworkError::Certificate(_) | NetworkError::NoRoots) => {
                "Name the certificate of your vault's CA: VAULT_CACERT=/path/to/ca.pem.".to_owned()
            }
            Self::Network(_) => "Check VAULT_ADDR and the network, and run this again.".to_owned(),
            Self::Status { status: 300..=399, .. } => {
                "Redirects are not followed, so that the vault's token goes nowhere else. Set VAULT_ADDR to the address that it leads to, or to that of the cluster. If the vault has lost its leader, run this again when it has one.".to_owned()
            }
            Self::Status { status: 404, .. } => format!(
                "Does creds.json name the right engine (yours is {path:?}), and VAULT_NAMESPACE the right namespace?"
            ),
            Self::Status { .. } => "Run this again. If the problem persists, ask whoever runs the vault.".to_owned(),
            Self::BadResponse(_) => {
                "Does VAULT_ADDR name a vault, and not a web page or a proxy in between?".to_owned()
            }
        }
    }
}

/// The command that puts tokens into a secret. creds.json itself only names it. PowerShell needs the
/// quotation marks: without them, the @ is its own.
pub(crate) fn put_command(path: &str) -> String {
    format!("bao kv put {} \"@tokens.json\"", path.replacen("/data/", "/", 1))
}

impl fmt::Display for VaultProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("VAULT_ADDR is not set"),
            Self::NotAUrl(variable) => write!(f, "{variable} is not the URL of a host"),
            Self::NotHttps(variable) => write!(f, "{variable} is not https"),
            Self::SkipsVerification(variable) => {
                write!(f, "{variable} turns off the check of the vault's certificate")
            }
            Self::NotAHeader(variable) => write!(f, "{variable} has invalid characters"),
            Self::NoToken => f.write_str("there is no token for the vault"),
            Self::TokenUnclean(place) => {
                write!(f, "the vault's token in {place} has spaces or invalid characters")
            }
            Self::NoCertificates { variable, what } => write!(f, "{variable}: {what}"),
            Self::NotADataPath => f.write_str("not the path of a secret's data"),
            Self::NoData => f.write_str("the path lacks data/"),
            Self::Version1 => f.write_str("the engine is KV version 1; version 2 is needed"),
            Self::Denied => f.write_str("permission denied (HTTP 403)"),
            Self::NoSecret => f.write_str("there is no such secret (HTTP 404)"),
            Self::Deleted(time) => write!(f, "it was deleted at {time}"),
            Self::Destroyed => f.write_str("it was destroyed"),
            Self::Sealed => f.write_str("the vault is sealed or has no leader (HTTP 503)"),
            Self::TooSlow => f.write_str(
                "the refresh token could not be sent within 5 s of its claim, three times",
            ),
            Self::RateLimited => f.write_str("the vault limits the rate of requests (HTTP 429)"),
            Self::Network(error) => write!(f, "the vault cannot be reached: {error}"),
            Self::Status { status, message } if message.is_empty() => {
                f.write_str(&status_line(*status))
            }
            Self::Status { status, message } => write!(f, "{}: {message}", status_line(*status)),
            Self::BadResponse(what) => write!(f, "not a response of a vault: {what}"),
        }
    }
}

impl std::error::Error for VaultProblem {}
