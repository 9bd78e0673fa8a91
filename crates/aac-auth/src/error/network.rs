//! What goes wrong on the way to the API and back, and with its response.

use crate::error::http::{CHECK_FIRST, is_safe, status_line};
use crate::error::kind::ErrorKind;
use crate::error::table::errors;
use crate::error::{Cause, Details, Error};
use crate::http::retry::is_transient;
use crate::loopback::is_loopback;
use crate::platform;
use std::time::Duration;
use std::{error, fmt};
use ureq::http::Uri;

/// Why the server could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkError {
    /// The host name could not be resolved.
    Lookup(String),
    /// No connection could be made.
    Connect(String),
    /// The server's certificate is not trusted.
    Certificate(String),
    /// The server's certificate is of no use, whatever is trusted.
    BadCertificate(String),
    /// The environment names no certificates to trust; the text says what it names instead.
    WrongRoots(String),
    /// The server's certificate is none for a server; the text says what it is.
    UnfitCertificate(&'static str),
    /// The system's certificate store is empty.
    NoRoots,
    /// There is no TLS with the server; the text says why.
    Tls(String),
    /// The server wants a certificate of its clients, or another one; its alert. It has read no request.
    ClientCertificate(String),
    /// The system starts no thread for it.
    NoThread(String),
    /// The proxy could not be used.
    Proxy(String),
    /// The proxy could not be reached, or has closed the connection; the text names it.
    ProxyUnreachable(String),
    /// The proxy has not connected to `target`. With 407, by which schemes it lets a client say who it is.
    ProxyRefusal { proxy: String, target: String, status: u16, schemes: Vec<String> },
    /// A wait timed out; the text says which.
    Timeout(String),
    /// The head of the response is over a limit; the text says which.
    LargeHead(String),
    /// The connection broke, or the data received was not HTTP.
    Broken(String),
}

impl NetworkError {
    /// Whether another try would fail the same way.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Certificate(_)
            | Self::BadCertificate(_)
            | Self::UnfitCertificate(_)
            | Self::NoRoots
            | Self::WrongRoots(_)
            | Self::Tls(_)
            | Self::ClientCertificate(_)
            | Self::Proxy(_)
            | Self::LargeHead(_) => true,
            Self::ProxyRefusal { status, .. } => !is_transient(*status),
            _ => false,
        }
    }

    /// Whether part of the request may have reached the server.
    fn is_sent(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::LargeHead(_) | Self::Broken(_))
    }

    /// What happened, and what to do about it.
    fn texts(&self) -> (String, &'static str) {
        match self {
            Self::Lookup(what) => {
                (format!("the host's name could not be looked up: {what}"), CHECK_NETWORK)
            }
            Self::Connect(what) => (format!("no connection could be made: {what}"), CHECK_NETWORK),
            Self::Certificate(what) => (
                format!("the server's certificate is not trusted: {what}"),
                "If your company inspects TLS, its CA must be in this system's certificate store; \
                 on Linux, SSL_CERT_FILE=/path/to/ca.pem names it for one run. Also check the system clock.",
            ),
            Self::BadCertificate(what) => (
                format!("the server's certificate is not trusted: {what}"),
                "Ask whoever runs the server for a new one, or whoever runs your network, if it inspects TLS. \
                 Also check the address and the system clock.",
            ),
            Self::UnfitCertificate(what) => {
                (format!("the server's certificate is {what}"), SELF_SIGNED)
            }
            Self::Tls(what) => (
                format!("no secure connection could be made: {what}"),
                "Does the server speak TLS at this address? A proxy or a firewall may be in between.",
            ),
            Self::ClientCertificate(alert) => (
                format!(
                    "the server demands a certificate of its clients, or another one (TLS alert {alert})"
                ),
                "A proxy or a firewall may be in between: ask whoever runs your network.",
            ),
            Self::NoThread(what) => (
                format!("no thread could be started: {what}"),
                "End other programs, and run this again. On Linux, you can also raise the limit of this user or container (ulimit -u, pids.max).",
            ),
            Self::NoRoots => (
                "this system has no certificates to trust".to_owned(),
                "Install the package ca-certificates, or name a file of certificates: SSL_CERT_FILE=/path/to/ca.pem.",
            ),
            Self::WrongRoots(what) => (
                format!("there are no certificates to trust: {what}"),
                "Name a PEM file in SSL_CERT_FILE; of a certificate in DER, this makes one: openssl x509 -inform der -in FILE -out ca.pem\n\
                 Or unset SSL_CERT_FILE and SSL_CERT_DIR, to trust the system's certificates (package ca-certificates).",
            ),
            Self::Proxy(what) | Self::ProxyUnreachable(what) => (
                format!("the proxy could not be used: {what}"),
                "Check HTTPS_PROXY and ALL_PROXY (http://user:password@host:port), and NO_PROXY for hosts that need none.",
            ),
            Self::ProxyRefusal { proxy, status: 407, schemes, .. } => (
                match &*schemes.join(", ") {
                    "" => format!("the proxy {proxy} requires a user name and password (HTTP 407)"),
                    by => format!(
                        "the proxy {proxy} requires a user name and password (HTTP 407), by {by}"
                    ),
                },
                match schemes.iter().any(|name| name.eq_ignore_ascii_case("basic")) {
                    false if !schemes.is_empty() => {
                        "None of these is supported; Basic is. Run a local proxy that logs in to this one (cntlm, px), and name that: HTTPS_PROXY=http://127.0.0.1:3128."
                    }
                    _ => {
                        "Put them in HTTPS_PROXY or ALL_PROXY: http://user:password@host:port, with %40 for @, %3A for : and %2F for / in them. If they are there, the proxy does not accept them."
                    }
                },
            ),
            Self::ProxyRefusal { proxy, target, status, .. } => (
                format!(
                    "the proxy {proxy} has made no connection to {target}: {}",
                    status_line(*status)
                ),
                match status {
                    _ if !self.is_lasting() => {
                        "Run this again. If the problem persists, ask whoever runs the proxy, or name a host that needs none in NO_PROXY."
                    }
                    511 => {
                        "Sign in to the network: open any web page in a browser. Then run this again."
                    }
                    _ => {
                        "Ask whoever runs the proxy to let connections to this host pass, or name a host that needs no proxy in NO_PROXY."
                    }
                },
            ),
            Self::Timeout(what) => (
                format!("timed out {what}"),
                "Run this again, or give it more time with --timeout SECS.",
            ),
            Self::LargeHead(what) => (
                what.clone(),
                "A proxy in between may have added to them: ask whoever runs your network.",
            ),
            Self::Broken(what) => (
                format!("the connection broke: {what}"),
                "Run this again. If the problem persists, a proxy or a firewall may be in between.",
            ),
        }
    }

    /// What to do about it where this URL was requested; `check` is what else may be wrong.
    pub(super) fn help_for(&self, url: &str, check: &str) -> String {
        let is_local = |uri: Uri| uri.host().is_some_and(is_loopback);
        let proxy = platform::system_proxy;
        match (self, self.texts().1) {
            // Nothing else is on this machine.
            (Self::Connect(_), _) if url.parse().is_ok_and(is_local) => "The folder is that of a sandbox that no longer runs. Start a sandbox (cargo sandbox), or name another folder with --dir or AAC_DIR.".to_owned(),
            (Self::Lookup(_) | Self::Connect(_), help) => {
                let script = if proxy().has_script { SCRIPT } else { "" };
                format!("Check the network, {check}{help}{script}")
            }
            (Self::Proxy(_) | Self::ProxyUnreachable(_), help) if !proxy().servers.is_empty() => {
                format!("{help}\nIf neither of the first two is set, the proxy is that of the system's settings.")
            }
            (Self::UnfitCertificate(_), help) => {
                format!("{help}\nThen trust that: SSL_CERT_FILE=cert.pem.")
            }
            (_, help) => help.to_owned(),
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().0)
    }
}

impl error::Error for NetworkError {}

const CHECK_NETWORK: &str = "and whether you need a proxy (HTTPS_PROXY=http://host:port).";
/// Without the first -addext, OpenSSL 3 makes CA:TRUE.
pub(super) const SELF_SIGNED: &str = "By default, openssl req -x509 makes the certificate of an authority. Whoever runs the server can make one for HOST:\n\
     openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout key.pem -out cert.pem -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST";
const SCRIPT: &str = "\nThe system's settings choose the proxy by a script (PAC), which is not supported: name the proxy in HTTPS_PROXY.";

/// A limit of what is held in memory of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// So many bytes, decompressed.
    Size(u64),
    /// So many values.
    Values(usize),
    /// So long from its first byte to its last.
    Time(Duration),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response ")?;
        match self {
            Self::Size(bytes) => write!(f, "is larger than {} MiB", bytes >> 20),
            Self::Values(values) => {
                write!(f, "has more than {} million values", values / 1_000_000)
            }
            Self::Time(time) => {
                write!(f, "is not complete after {} s, ten times --timeout", time.as_secs_f64())
            }
        }
    }
}

impl error::Error for Limit {}

impl Error {
    errors! {
        /// The API could not be reached, or the connection broke.
        transport(method: &str, url: &str, reason: NetworkError) => Network:
            format!("{reason} ({method} {url})"),
            match (is_safe(method), reason.is_sent(), reason.help_for(url, "the address in aac_url.txt (or AAC_URL), ")) {
                (true, _, cure) => cure,
                (false, false, cure) => format!("The request was not sent.\n{cure}"),
                (false, true, _) if matches!(reason, NetworkError::Timeout(_)) => {
                    format!("{CHECK_FIRST}\nGive it more time with --timeout SECS.")
                }
                (false, true, _) => CHECK_FIRST.to_owned(),
            },
            is_retryable: !reason.is_lasting() && (is_safe(method) || !reason.is_sent()),
            may_have_taken_effect: !is_safe(method) && reason.is_sent(),
            cause: Cause::Transport(reason);

        /// The API's response is cut off, or not JSON.
        bad_response(method: &str, url: &str, what: &str) => Response:
            format!("{what} ({method} {url})"),
            match is_safe(method) {
                true => "Run this again. If the problem persists, a proxy or a login page may be in between.",
                false => CHECK_FIRST,
            },
            may_have_taken_effect: !is_safe(method);

        /// The API's response does not fit into what is held in memory of one.
        over_limit(method: &str, url: &str, limit: Limit) => Response:
            format!("{limit} ({method} {url})"),
            check_first(method) + match limit {
                Limit::Time(_) => "Ask for fewer rows at a time (--page-size N), or give it more time with --timeout SECS. A file has no such limit (raw_call: -o FILE).",
                _ => "Ask for fewer rows at a time (--page-size N). A file has no such limit (raw_call: -o FILE).",
            },
            may_have_taken_effect: !is_safe(method);

        /// Rows were requested, and the response is not a list, or not one that can be read page by page.
        no_list(url: &str, what: &str, help: &str) => Response: format!("{what} (GET {url})"), help;

        /// The response to this request is JSON, and not of the form that the program expects.
        unexpected(method: &str, url: &str, what: &str) => Response:
            format!("the response is not as expected: {what} ({method} {url})"),
            check_first(method) + ADAPT,
            may_have_taken_effect: !is_safe(method);
    }

    /// A list was interrupted after so many of its rows.
    pub(crate) fn list_interrupted(
        after: u64,
        total: Option<u64>,
        noun: &str,
        source: Self,
    ) -> Self {
        let of = total.map_or_else(String::new, |total| format!("of {total} "));
        let message = format!("{source}; stopped after {after} {of}{noun}");
        Self(Box::new(Details {
            message,
            in_doubt: None,
            may_have_taken_effect: false,
            ..*source.0
        }))
    }
}

pub(super) const ADAPT: &str =
    "The API may have changed: look at the response (raw_call PATH), and adapt the program.";

/// What to do first after this request, if it may have changed something.
fn check_first(method: &str) -> String {
    if is_safe(method) { String::new() } else { format!("{CHECK_FIRST}\n") }
}
