//! What goes wrong on the way to the API and back, and with its response.

use crate::error::file::limit_of_files;
use crate::error::http::{CHECK_FIRST, HttpError, is_safe, status_code};
use crate::error::kind::ErrorKind;
use crate::error::{Cause, Details, Error};
use crate::loopback::is_loopback;
use crate::platform;
use std::time::Duration;
use std::{error, fmt, io};
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
    /// The system's certificate store is empty.
    NoRoots,
    /// The proxy could not be used.
    Proxy(String),
    /// The proxy could not be reached; the text names it.
    ProxyUnreachable(String),
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
        matches!(self, Self::Certificate(_) | Self::NoRoots | Self::Proxy(_) | Self::LargeHead(_))
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
            Self::NoRoots => (
                "this system has no certificates to trust".to_owned(),
                "Install the package ca-certificates, or name a file of certificates: SSL_CERT_FILE=/path/to/ca.pem.",
            ),
            Self::Proxy(what) | Self::ProxyUnreachable(what) => (
                format!("the proxy could not be used: {what}"),
                "Check HTTPS_PROXY and ALL_PROXY (http://user:password@host:port), and NO_PROXY for hosts that need none.",
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
        let proxy = || platform::system_proxy().unwrap_or_default();
        let help = self.texts().1;
        match self {
            // Nothing else is on this machine.
            Self::Connect(_) if url.parse().is_ok_and(is_local) => "The folder is that of a sandbox that no longer runs. Start a sandbox (cargo sandbox), or name another folder with --dir or AAC_DIR.".to_owned(),
            Self::Lookup(_) | Self::Connect(_) => {
                let script = match proxy().has_script {
                    true => "\nThe system's settings choose the proxy by a script (PAC), which is not supported: name the proxy in HTTPS_PROXY.",
                    false => "",
                };
                format!("Check the network, {check}{help}{script}")
            }
            Self::Proxy(_) | Self::ProxyUnreachable(_) if !proxy().servers.is_empty() => {
                format!("{help}\nIf neither of the first two is set, the proxy is that of the system's settings.")
            }
            _ => help.to_owned(),
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

impl Limit {
    /// What happened, and what else to do than to ask for less.
    fn texts(self) -> (String, &'static str) {
        match self {
            Self::Size(bytes) => (format!("the response is larger than {} MiB", bytes >> 20), ""),
            Self::Values(values) => {
                (format!("the response has more than {} million values", values / 1_000_000), "")
            }
            Self::Time(time) => (
                format!(
                    "the response is not complete after {} s, ten times --timeout",
                    time.as_secs_f64()
                ),
                ", or give it more time with --timeout SECS",
            ),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().0)
    }
}

impl error::Error for Limit {}

impl Error {
    /// The API responded with a status other than 2xx.
    pub(crate) fn status(error: HttpError) -> Self {
        let details = Details::of(ErrorKind::Http, error.to_string(), error.help());
        Details {
            exit_code: status_code(error.status.as_u16()),
            is_retryable: error.is_retryable(),
            may_have_taken_effect: error.may_have_taken_effect(),
            retry_after: error.retry_after,
            http: Some(error),
            ..details
        }
        .into()
    }

    /// The API could not be reached, or the connection broke.
    pub(crate) fn transport(method: &str, url: &str, reason: NetworkError) -> Self {
        let is_safe = is_safe(method);
        let cure = || reason.help_for(url, "the address in aac_url.txt, ");
        let help = match reason.is_sent() {
            _ if is_safe => cure(),
            true if matches!(reason, NetworkError::Timeout(_)) => {
                format!("{CHECK_FIRST}\nGive it more time with --timeout SECS.")
            }
            true => CHECK_FIRST.to_owned(),
            false => format!("The request was not sent.\n{}", cure()),
        };
        let details = Details::of(ErrorKind::Network, format!("{reason} ({method} {url})"), help);
        Details {
            is_retryable: !reason.is_lasting() && (is_safe || !reason.is_sent()),
            may_have_taken_effect: !is_safe && reason.is_sent(),
            cause: Cause::Transport(reason),
            ..details
        }
        .into()
    }

    /// The API's response is cut off, or not JSON.
    pub(crate) fn bad_response(method: &str, url: &str, what: &str) -> Self {
        let help = match is_safe(method) {
            true => {
                "Run this again. If the problem persists, a proxy or a login page may be in between."
            }
            false => CHECK_FIRST,
        };
        let details = Details::of(ErrorKind::Response, format!("{what} ({method} {url})"), help);
        Details { may_have_taken_effect: !is_safe(method), ..details }.into()
    }

    /// The API's response does not fit into what is held in memory of one.
    pub(crate) fn over_limit(method: &str, url: &str, limit: Limit) -> Self {
        let check = if is_safe(method) { String::new() } else { format!("{CHECK_FIRST}\n") };
        let (what, time) = limit.texts();
        let message = format!("{what} ({method} {url})");
        let help = format!(
            "{check}Ask for fewer rows at a time (--page-size N){time}. A file has no such limit (raw_call: -o FILE)."
        );
        let details = Details::of(ErrorKind::Response, message, help);
        Details { may_have_taken_effect: !is_safe(method), ..details }.into()
    }

    /// Rows were requested, and the response is not a list, or not one that can be read page by page.
    pub(crate) fn no_list(url: &str, what: &str, help: &str) -> Self {
        Details::of(ErrorKind::Response, format!("{what} (GET {url})"), help).into()
    }

    /// The response is JSON, and not of the form that the program expects. Without a request, the program
    /// itself says so.
    pub(crate) fn unexpected(request: Option<(&str, &str)>, what: &str) -> Self {
        let of = request.map_or_else(String::new, |(method, url)| format!(" ({method} {url})"));
        let is_unsafe = request.is_some_and(|(method, _)| !is_safe(method));
        let check = if is_unsafe { format!("{CHECK_FIRST}\n") } else { String::new() };
        let help = format!(
            "{check}The API may have changed: look at the response (raw_call PATH), and adapt the program."
        );
        let message = format!("the response is not as expected: {what}{of}");
        let details = Details::of(ErrorKind::Response, message, help);
        Details { may_have_taken_effect: is_unsafe, ..details }.into()
    }

    /// A list was interrupted after so many of its rows.
    pub(crate) fn list_interrupted(
        after: u64,
        total: Option<u64>,
        noun: &str,
        source: Self,
    ) -> Self {
        let of = total.map_or_else(String::new, |total| format!("of {total} "));
        Details {
            message: format!("{}; stopped after {after} {of}{noun}", source.0),
            in_doubt: None,
            may_have_taken_effect: false,
            ..*source.0
        }
        .into()
    }

    /// Standard output could not be written. If its reader stopped reading ([`io::ErrorKind::BrokenPipe`]),
    /// that is no failure, and [`Error::report`] prints nothing.
    pub(crate) fn output(source: io::Error) -> Self {
        let (cause, exit_code) = match source.kind() {
            io::ErrorKind::BrokenPipe => (Cause::BrokenPipe, 0),
            _ => (Cause::Other, 1),
        };
        let message = format!("standard output: {source}");
        let details = Details::of(ErrorKind::Io, message, limit_of_files(&source));
        Details { cause, exit_code, ..details }.with(source)
    }
}
