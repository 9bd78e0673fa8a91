//! What keeps a secret in a vault from being of use, and what to do about it.

use crate::error::NetworkError;
use crate::error::file::Problem;
use crate::error::http::{after_colon, status_line};
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::{Details, Error};
use std::{error, fmt};

/// Why a vault did not do what it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct VaultProblem {
    pub(crate) nature: Nature,
    problem: Problem,
}

/// What a problem of a vault means for another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Lasting,
    /// It may pass by itself soon: a leader is being elected, a limit is reached.
    Passing,
    /// It is a node that leads to the leader. That may be gone, and another about to be elected.
    RedirectToLeader,
    /// Nothing was written: 403.
    Denied,
    /// Nothing may be written: version 1 of the engine ignores check-and-set.
    Version1,
}

impl VaultProblem {
    fn of(nature: Nature, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { nature, problem: Problem::new(message, help) }
    }

    fn lasting(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::of(Nature::Lasting, message, help)
    }

    /// One whose help depends on the path of the secret.
    fn at(nature: Nature, message: impl Into<String>, help: fn(&Place) -> String) -> Self {
        Self { nature, problem: Problem::at(message, help) }
    }

    /// Neither BAO_ADDR nor VAULT_ADDR is set.
    pub(crate) fn no_address() -> Self {
        Self::lasting(
            "VAULT_ADDR is not set",
            "Set VAULT_ADDR (or BAO_ADDR) to the address of your vault: https://host:8200.",
        )
    }

    pub(crate) fn not_a_url(variable: &str) -> Self {
        Self::lasting(
            format!("{variable} is not the URL of a host"),
            format!(
                "Set {variable} to the address of your vault and nothing else: https://host:8200."
            ),
        )
    }

    /// Only loopback addresses may use plain http.
    pub(crate) fn not_https(variable: &str) -> Self {
        Self::lasting(
            format!("{variable} is not https"),
            format!(
                "The tokens would travel in clear. Use https:// in {variable}; http:// is for an agent or proxy on this machine alone."
            ),
        )
    }

    pub(crate) fn skips_verification(variable: &str) -> Self {
        Self::lasting(
            format!("{variable} turns off the check of the vault's certificate"),
            format!(
                "Unset {variable}, and name the certificate of your vault's CA instead: VAULT_CACERT=/path/to/ca.pem."
            ),
        )
    }

    /// No header can carry it.
    pub(crate) fn not_a_header(variable: &str) -> Self {
        Self::lasting(
            format!("{variable} has invalid characters"),
            format!("Set {variable} to the name of your namespace and nothing else, or unset it."),
        )
    }

    pub(crate) fn no_token() -> Self {
        Self::lasting(
            "there is no token for the vault",
            "Set VAULT_TOKEN (or BAO_TOKEN), or log in: bao login, vault login.",
        )
    }

    /// The token in this place cannot be sent in a header.
    pub(crate) fn token_unclean(place: &str) -> Self {
        Self::lasting(
            format!("the vault's token in {place} has spaces or invalid characters"),
            "Copy the vault's token again: one line, without spaces.",
        )
    }

    /// The file that the variable names holds no certificates.
    pub(crate) fn no_certificates(variable: &str, what: &str) -> Self {
        Self::lasting(
            format!("{variable}: {what}"),
            format!("Set {variable} to a PEM file with the certificate of your vault's CA."),
        )
    }

    pub(crate) fn not_a_data_path() -> Self {
        Self::at(Nature::Lasting, "not the path of a secret's data", |place| {
            format!(
                "Put the path of the API in creds.json, with data/ behind the name of the engine: {{\"vault\": \"secret/data/aac\"}} is bao kv put secret/aac. Yours is {:?}.",
                path(place)
            )
        })
    }

    /// As the path of the command line.
    pub(crate) fn no_data() -> Self {
        Self::at(Nature::Lasting, "the path lacks data/", |place| {
            format!(
                "Yours is {:?}. Put data/ behind the name of the engine in creds.json: {{\"vault\": \"secret/data/aac\"}} is bao kv put secret/aac.\n\
                 The engine must be KV version 2. To turn one of version 1 into that: bao kv enable-versioning secret.",
                path(place)
            )
        })
    }

    pub(crate) fn version1() -> Self {
        let message = "the engine is KV version 1; version 2 is needed";
        Self::at(Nature::Version1, message, |place| {
            let path = path(place);
            format!(
                "Version 1 ignores check-and-set, so two programs would use one token. Enable version 2: bao kv enable-versioning {}.",
                path.split_once("/data/").map_or(path, |(engine, _)| engine)
            )
        })
    }

    pub(crate) fn denied() -> Self {
        Self::at(Nature::Denied, "permission denied (HTTP 403)", |place| {
            format!(
                "The vault's token is wrong or has expired, or its policy lacks this line:\n\
                 path \"{}\" {{ capabilities = [\"read\", \"update\"] }}\n\
                 Log in again (bao login), or have the policy changed.",
                path(place)
            )
        })
    }

    pub(crate) fn no_secret() -> Self {
        Self::at(Nature::Lasting, "there is no such secret (HTTP 404)", |place| {
            format!(
                "Put the tokens there, from a file with both as creds.json has them: {}. The vault may also hide the secret from you.",
                put_command(path(place))
            )
        })
    }

    /// Its newest version was deleted then.
    pub(crate) fn deleted(time: &str) -> Self {
        Self::at(Nature::Lasting, format!("it was deleted at {time}"), put_new)
    }

    /// Its newest version is gone for good.
    pub(crate) fn destroyed() -> Self {
        Self::at(Nature::Lasting, "it was destroyed", put_new)
    }

    /// 503: sealed, or about to be.
    pub(crate) fn sealed() -> Self {
        Self::of(
            Nature::Passing,
            "the vault is sealed or has no leader (HTTP 503)",
            "Unseal the vault, or wait until it has a leader, and run this again.",
        )
    }

    pub(crate) fn rate_limited() -> Self {
        Self::of(
            Nature::Passing,
            "the vault limits the rate of requests (HTTP 429)",
            "Run this again in a minute.",
        )
    }

    /// It took so long to claim the tokens, or to reach the authorization server, that they were not sent.
    pub(crate) fn too_slow() -> Self {
        Self::of(
            Nature::Passing,
            "the refresh token could not be sent within 5 s of its claim, three times",
            "Writing to the vault takes too long, or connecting to the authorization server. Find out which (curl -v), and run this again.",
        )
    }

    pub(crate) fn network(reason: &NetworkError) -> Self {
        let nature = if reason.is_lasting() { Nature::Lasting } else { Nature::Passing };
        let help = match reason {
            NetworkError::Certificate(_) | NetworkError::NoRoots => {
                "Name the certificate of your vault's CA: VAULT_CACERT=/path/to/ca.pem."
            }
            _ => "Check VAULT_ADDR and the network, and run this again.",
        };
        Self::of(nature, format!("the vault cannot be reached: {reason}"), help)
    }

    /// Another status, and the vault's message.
    pub(crate) fn status(status: u16, message: &str) -> Self {
        let nature = match status {
            307 => Nature::RedirectToLeader,
            // 400 is the refusal of a check-and-set, of which a standby may be wrong. 412 asks to wait for
            // a standby.
            400 | 408 | 412 | 500.. => Nature::Passing,
            _ => Nature::Lasting,
        };
        let message = status_line(status) + &after_colon(message);
        match status {
            300..=399 => Self::of(
                nature,
                message,
                "Redirects are not followed, so that the vault's token goes nowhere else. Set VAULT_ADDR to the address that it leads to, or to that of the cluster. If the vault has lost its leader, run this again when it has one.",
            ),
            404 => Self::at(nature, message, |place| {
                format!(
                    "Does creds.json name the right engine (yours is {:?}), and VAULT_NAMESPACE the right namespace?",
                    path(place)
                )
            }),
            _ => Self::of(
                nature,
                message,
                "Run this again. If the problem persists, ask whoever runs the vault.",
            ),
        }
    }

    /// The response is not one of KV version 2.
    pub(crate) fn bad_response(what: &str) -> Self {
        Self::lasting(
            format!("not a response of a vault: {what}"),
            "Does VAULT_ADDR name a vault, and not a web page or a proxy in between?",
        )
    }

    /// What to do about it, in whole sentences.
    pub(crate) fn help(&self, secret: &Place) -> String {
        self.problem.help(secret)
    }

    pub(crate) fn is_passing(&self) -> bool {
        self.nature == Nature::Passing
    }

    pub(crate) fn is_redirect_to_leader(&self) -> bool {
        self.nature == Nature::RedirectToLeader
    }
}

impl fmt::Display for VaultProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl error::Error for VaultProblem {}

impl Error {
    /// The vault that has the tokens cannot be used. Nothing was sent.
    pub(crate) fn vault(secret: &Place, problem: &VaultProblem, in_doubt: bool) -> Self {
        let message = format!("{secret}: {problem}");
        Details {
            is_retryable: problem.is_passing(),
            in_doubt: Some(in_doubt),
            ..Details::of(ErrorKind::Storage, message, problem.help(secret))
        }
        .into()
    }

    /// A program on this machine or another has claimed the tokens in a vault for too long: its host and
    /// process, and when it did.
    pub(crate) fn claimed(secret: &Place, holder: &str, since: &str) -> Self {
        Details {
            is_retryable: true,
            ..Details::of(
                ErrorKind::Storage,
                format!("{secret}: claimed by {holder} since {since}"),
                format!(
                    "See whether {holder} (host and process) still runs. Three minutes after it has ended, another program takes over."
                ),
            )
        }
        .into()
    }
}

fn path(place: &Place) -> &str {
    place.secret().unwrap_or_default()
}

fn put_new(place: &Place) -> String {
    format!(
        "Put new tokens there, from a file with both as creds.json has them: {}. Do not undelete it: its refresh token has been used.",
        put_command(path(place))
    )
}

/// The command that puts tokens into a secret. creds.json itself only names it. PowerShell needs the
/// quotation marks: without them, the @ is its own.
pub(crate) fn put_command(path: &str) -> String {
    format!("bao kv put {} \"@tokens.json\"", path.replacen("/data/", "/", 1))
}
