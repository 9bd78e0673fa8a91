//! What keeps a secret in a vault from being of use, and what to do about it.

use crate::error::display::one_line;
use crate::error::http::{after_colon, status_line};
use crate::error::kind::ErrorKind;
use crate::error::login::login_command;
use crate::error::network::SELF_SIGNED;
use crate::error::place::Place;
use crate::error::table::{Problem, errors, problems};
use crate::error::{Error, NetworkError};
use std::{error, fmt};

/// Why a vault did not do what it was asked for. A variant is what it means for another try.
#[derive(Clone, Debug)]
pub(crate) enum VaultProblem {
    Lasting(Problem),
    /// It may pass by itself soon: a leader is being elected, a limit is reached.
    Passing(Problem),
    /// It is a node that leads to the leader. That may be gone, and another about to be elected.
    RedirectToLeader(Problem),
    /// Nothing was written: 403.
    Denied(Problem),
    /// Nothing may be written: version 1 of the engine ignores check-and-set.
    Version1(Problem),
}

/// In what to do, `{path}` stands for the path of the secret, `{engine}` for its engine, and `{put}` for the
/// command that puts tokens there.
impl VaultProblem {
    problems! {
        no_address() => Lasting:
            "VAULT_ADDR is not set",
            "Set VAULT_ADDR (or BAO_ADDR) to the address of your vault: https://host:8200.";
        not_a_url(variable: &str) => Lasting:
            "{variable} is not the URL of a vault",
            format!("Set {variable} to the address of your vault and nothing else, without /v1 and /ui: https://host:8200.");
        unix_socket(variable: &str) => Lasting:
            "{variable} names a unix socket, which is not supported",
            format!("Have the agent listen on this machine over TCP as well, and name that: {variable}=http://127.0.0.1:8100.");
        /// It would be obeyed by the vault's own command line.
        unsupported(variable: &str, instead: &str) => Lasting:
            "{variable} is set, which is not supported",
            format!("{instead}, and unset {variable}.");
        /// Only loopback addresses may use plain http.
        not_https(variable: &str) => Lasting:
            "{variable} is not https",
            format!("The tokens would travel in clear. Use https:// in {variable}; http:// is for an agent or proxy on this machine alone.");
        skips_verification(variable: &str) => Lasting:
            "{variable} turns off the check of the vault's certificate",
            format!("Unset {variable}, and name the certificate of your vault's CA instead: VAULT_CACERT=/path/to/ca.pem.");
        /// No header can carry it.
        not_a_header(variable: &str) => Lasting:
            "{variable} has invalid characters",
            format!("Set {variable} to the name of your namespace and nothing else, or unset it.");
        no_token() => Lasting:
            "there is no token for the vault",
            "Set VAULT_TOKEN (or BAO_TOKEN), or log in: bao login, vault login.";
        token_unreadable(place: &str, what: &str) => Lasting:
            "the vault's token in {place} cannot be used: {what}",
            "Give yourself permission to read that file, or move it away and log in again (bao login, vault login). VAULT_TOKEN goes before it.";
        token_unclean(place: &str) => Lasting:
            "the vault's token in {place} has spaces or invalid characters",
            "Copy the vault's token again: one line, without spaces.";
        /// The file that the variable names holds none.
        no_certificates(variable: &str, what: &str) => Lasting:
            "{variable}: {what}",
            match variable.rsplit('_').next() {
                Some("CAPATH") => format!("Set {variable} to a folder of PEM files with the certificate of your vault's CA."),
                Some("BYTES") => format!("Set {variable} to the text of a PEM file with the certificate of your vault's CA; VAULT_CACERT names the file itself."),
                _ => format!("Set {variable} to a PEM file with the certificate of your vault's CA."),
            };
        /// The file that the variable names holds no certificate of this client's.
        no_own_certificate(variable: &str, what: &str) => Lasting:
            "{variable}: {what}",
            format!("Set {variable} to a PEM file with the certificate that the vault is to know you by.");
        /// The file that the variable names holds no key of use.
        no_key(variable: &str, what: &str) => Lasting:
            "{variable}: {what}",
            format!("Set {variable} to a PEM file with the key of your certificate, not encrypted (openssl pkey -in KEY -out PLAIN).");
        /// Only one of the two is set.
        half_a_certificate(variable: &str) => Lasting:
            "{variable} is set without its counterpart",
            "Set both VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, or neither.";
        not_a_data_path() => Lasting:
            "not the path of a secret's data",
            "Put the path of the API in creds.json (or AAC_VAULT), with data/ behind the name of the engine: {\"vault\": \"secret/data/aac\"} is bao kv put secret/aac. Yours is \"{path}\".";
        /// It is the path of the command line.
        no_data() => Lasting:
            "the path lacks data/",
            "Yours is \"{path}\". Put data/ behind the name of the engine in creds.json (or AAC_VAULT): {\"vault\": \"secret/data/aac\"} is bao kv put secret/aac.\n\
             The engine must be KV version 2. To turn one of version 1 into that: bao kv enable-versioning secret.";
        version1() => Version1:
            "the engine is KV version 1; version 2 is needed",
            "Version 1 ignores check-and-set, so two programs would use one token. Enable version 2: bao kv enable-versioning {engine}.";
        denied() => Denied:
            "permission denied (HTTP 403)",
            "The vault's token is wrong or has expired, or its policy lacks this line:\n\
             path \"{path}\" { capabilities = [\"read\", \"update\"] }\n\
             Log in again (bao login), or have the policy changed.";
        /// The same, of a secret that is to be made.
        denied_new() => Denied:
            "permission denied (HTTP 403)",
            "There is no such secret yet, and to make it, the policy of the vault's token needs this line:\n\
             path \"{path}\" { capabilities = [\"create\", \"read\", \"update\"] }";
        no_secret() => Lasting:
            "there is no such secret (HTTP 404)",
            "The vault may also hide the secret from you. To put tokens there, run: {put}";
        /// Its newest version was deleted then.
        deleted(time: &str) => Lasting: "it was deleted at {time}", PUT_NEW;
        /// Its newest version is gone for good.
        destroyed() => Lasting: "it was destroyed", PUT_NEW;
        /// Or about to be.
        sealed() => Passing:
            "the vault is sealed or has no leader (HTTP 503)",
            "Unseal the vault, or wait until it has a leader, and run this again.";
        rate_limited() => Passing:
            "the vault limits the rate of requests (HTTP 429)", "Run this again in a minute.";
        /// It took so long to claim the tokens, or to reach the authorization server.
        too_slow() => Passing:
            "the refresh token could not be sent within 5 s of its claim, three times",
            "Writing to the vault takes too long, or connecting to the authorization server. Find out which (curl -v), and run this again.";
        /// The response is not one of KV version 2.
        bad_response(what: &str) => Lasting:
            "not a response of a vault: {what}",
            "Does VAULT_ADDR name a vault, and not a web page or a proxy in between?";
    }

    pub(crate) fn network(reason: &NetworkError) -> Self {
        let help = match reason {
            NetworkError::Certificate(_) | NetworkError::NoRoots => {
                "Name the certificate of your vault's CA: VAULT_CACERT=/path/to/ca.pem.".to_owned()
            }
            NetworkError::BadCertificate(_) => {
                "Have a new certificate issued for the vault. Also check VAULT_ADDR and the system clock.".to_owned()
            }
            NetworkError::WrongRoots(_) => {
                "Correct that, or name the certificate of your vault's CA: VAULT_CACERT=/path/to/ca.pem.".to_owned()
            }
            NetworkError::UnfitCertificate(_) => {
                format!("{SELF_SIGNED}\nThen name that: VAULT_CACERT=cert.pem.")
            }
            NetworkError::Tls(_) | NetworkError::ClientCertificate(_) => {
                "Does VAULT_ADDR name the vault? If the vault knows its clients by certificates, name yours and its key: VAULT_CLIENT_CERT=cert.pem, VAULT_CLIENT_KEY=key.pem.".to_owned()
            }
            NetworkError::Timeout(_) | NetworkError::Broken(_) => {
                "Check VAULT_ADDR, the network and the proxy (HTTPS_PROXY, NO_PROXY), and run this again.".to_owned()
            }
            NetworkError::Lookup(_) | NetworkError::Connect(_) => {
                let check = reason.help_for("", "VAULT_ADDR, ");
                format!("{check}\nIf the vault needs no proxy, name its host in NO_PROXY.")
            }
            reason => reason.help_for("", ""),
        };
        let message = format!("the vault cannot be reached: {reason}");
        let problem = Problem { message, help };
        if reason.is_lasting() { Self::Lasting(problem) } else { Self::Passing(problem) }
    }

    /// The same where a node of the cluster has named this leader. It may be gone, and another about to be
    /// elected.
    pub(crate) fn at_leader(self, leader: &str) -> Self {
        let named = |Problem { message, help }| Problem {
            message: format!("{message} (the leader, {leader})"),
            help,
        };
        match self {
            Self::Passing(problem) => Self::RedirectToLeader(named(problem)),
            Self::Lasting(problem) => Self::Lasting(named(problem)),
            problem => problem,
        }
    }

    /// Another status, and the vault's message.
    pub(crate) fn status(status: u16, message: &str) -> Self {
        let message = status_line(status) + &after_colon(message);
        let help = match status {
            300..=399 => {
                "Only the redirect of a node to its leader is followed, once and by https, so that the vault's token goes nowhere else. Set VAULT_ADDR to the address that it leads to, or to that of the cluster. If the vault has lost its leader, run this again when it has one."
            }
            404 => {
                "Does creds.json (or AAC_VAULT) name the right engine (yours is \"{path}\"), and VAULT_NAMESPACE the right namespace?"
            }
            _ => "Run this again. If the problem persists, ask whoever runs the vault.",
        };
        let problem = Problem { message, help: help.to_owned() };
        match status {
            307 => Self::RedirectToLeader(problem),
            // 400 is the refusal of a check-and-set, of which a standby may be wrong. 412 asks to wait for
            // a standby.
            400 | 408 | 412 | 500.. => Self::Passing(problem),
            _ => Self::Lasting(problem),
        }
    }

    fn problem(&self) -> &Problem {
        match self {
            Self::Lasting(problem)
            | Self::Passing(problem)
            | Self::RedirectToLeader(problem)
            | Self::Denied(problem)
            | Self::Version1(problem) => problem,
        }
    }

    /// What to do about it, in whole sentences.
    pub(crate) fn help(&self, secret: &Place) -> String {
        let path = one_line(secret.secret().unwrap_or_default());
        let engine = path.split_once("/data/").map_or(&*path, |(engine, _)| engine);
        let help = self.problem().help.replace("{engine}", engine).replace("{path}", &path);
        help.replace("{put}", &login_command(secret, None))
    }
}

impl fmt::Display for VaultProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem().message)
    }
}

impl error::Error for VaultProblem {}

impl Error {
    errors! {
        /// The vault that has the tokens cannot be used. Nothing was sent.
        vault(secret: &Place, problem: &VaultProblem, in_doubt: bool) => Storage:
            format!("{secret}: {problem}"),
            problem.help(secret),
            is_retryable: matches!(problem, VaultProblem::Passing(_)), in_doubt: Some(in_doubt);

        /// A program on this machine or another has claimed the tokens in a vault for too long: its host and
        /// process, and when it did.
        claimed(secret: &Place, holder: &str, since: &str) => Storage:
            format!("{secret}: claimed by {holder} since {since}"),
            format!("See whether {holder} (host and process) still runs. Three minutes after it has ended, another program takes over."),
            is_retryable: true;
    }
}

const PUT_NEW: &str =
    "Do not undelete it: its refresh token has been used. To put new tokens there, run: {put}";
