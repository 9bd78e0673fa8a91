//! An error response of the API, and what all messages about HTTP share.

use crate::error::Error;
use crate::error::kind::ErrorKind;
use crate::http::retry::is_transient;
use std::fmt;
use std::io::Read;
use std::time::Duration;
use ureq::http::{HeaderMap, StatusCode, Version};

/// A response of the API that is not what was requested: a status other than 2xx, or 202 to a download.
/// [`Error::http`](crate::Error::http) returns it.
pub struct HttpError {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    /// The server's message, without secrets; empty if it sent none.
    pub(crate) message: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// The start of the body.
    pub(crate) body: Vec<u8>,
    pub(crate) rest: Option<Box<dyn Read + Send>>,
    pub(crate) redacted_body: String,
    /// Where a redirect leads, without secrets.
    pub(crate) location: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) kind: HttpErrorKind,
    /// Whether a retry was due, but the request's body could not be sent again.
    pub(crate) body_consumed: bool,
}

/// What an error response means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpErrorKind {
    /// The gateway does not know the API project ID, or got none (401).
    ApiKey,
    /// The API project may not use this API (401).
    ApiKeyForResource,
    /// The access token is not accepted (401).
    Unauthorized,
    /// The same of one that is never refreshed.
    LoneToken,
    /// The user lacks a privilege (403).
    Forbidden,
    /// No such route: a wrong path, method or host (404).
    NoRoute,
    /// Too many requests (429, or 500 from an older gateway).
    Throttled,
    /// A file that was asked for is not ready (202).
    NotReady,
    /// Nothing has changed (304).
    NotModified,
    /// A redirect, which is not followed (3xx).
    Redirect,
    /// Any other 4xx.
    Refused,
    /// Any other 5xx.
    ServerError,
}

impl HttpError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The server's message, without secrets; empty if it sent none.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP version of the response.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as received, up to 1 MiB; [`read`](Self::read) returns the rest.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body on one line without secrets, up to 2000 characters, for messages.
    pub fn redacted_body(&self) -> &str {
        &self.redacted_body
    }

    /// The ID that support asks for (`x-trifacta-request-id` or `x-request-id`).
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    fn may_have_taken_effect(&self) -> bool {
        self.kind == HttpErrorKind::ServerError && !is_safe(&self.method)
    }

    /// Whether the same request may succeed later, and does no harm if it is sent again.
    fn is_retryable(&self) -> bool {
        match self.kind {
            HttpErrorKind::Throttled | HttpErrorKind::NotReady => true,
            HttpErrorKind::ServerError => is_safe(&self.method),
            _ => self.body_consumed || is_safe(&self.method) && is_transient(self.status.as_u16()),
        }
    }

    /// What to do about it.
    fn help(&self) -> String {
        const AGAIN: &str =
            "The body came from a stream, and cannot be sent a second time: run this again.";
        let wait = self.retry_after.map(|wait| format!("{} s", wait.as_secs().max(1)));
        let wait = wait.as_deref().unwrap_or("a minute");
        let location = self.location.as_deref();
        let to =
            |verb| location.map_or_else(String::new, |to| format!("The server {verb} to {to}. "));
        let cure = match self.kind {
            HttpErrorKind::Throttled => &format!("Too many requests: run this again in {wait}."),
            _ if self.body_consumed => "",
            HttpErrorKind::ApiKey => {
                "Check client_id.txt (or AAC_CLIENT_ID), which must hold the Client ID of your API project, and aac_url.txt (or AAC_URL), which must name that project's region."
            }
            HttpErrorKind::ApiKeyForResource => {
                "The API project in client_id.txt (or AAC_CLIENT_ID) is not allowed to use this API. Choose another project, or ask for access."
            }
            HttpErrorKind::Unauthorized => {
                "The server does not accept the access token. Check that aac_url.txt (or AAC_URL) names the region in which the tokens were created."
            }
            HttpErrorKind::LoneToken => NEVER_REFRESHED,
            HttpErrorKind::Forbidden => {
                "Your user lacks a privilege for this, or the ID belongs to another workspace. Ask an admin of the workspace."
            }
            HttpErrorKind::NoRoute => "Check the path and the method; ids in a path are numbers.",
            HttpErrorKind::NotReady => {
                &format!("It is not ready yet: run this again in {wait}. {}", to("points"))
            }
            HttpErrorKind::NotModified => {
                "Nothing has changed since the version that the request names (If-None-Match, If-Modified-Since), or this was done before (x-execution-id)."
            }
            HttpErrorKind::Redirect => {
                &(to("redirects")
                    + "Redirects are not followed, so that the token is sent nowhere else. Check aac_url.txt (or AAC_URL).")
            }
            HttpErrorKind::ServerError if self.may_have_taken_effect() => CHECK_FIRST,
            HttpErrorKind::ServerError => "The server failed. Try again later.",
            HttpErrorKind::Refused if self.is_retryable() => "Run this again.",
            HttpErrorKind::Refused => "",
        };
        let again = if self.body_consumed { AGAIN } else { "" };
        let mention = |id| format!("Mention request ID {id} if you contact Alteryx support.");
        let mention = self.request_id().map_or_else(String::new, mention);
        let lines = [cure.trim_end(), again, &mention].into_iter().filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Error {
    /// The API responded with a status other than 2xx.
    pub(crate) fn status(error: HttpError) -> Self {
        Self::new(ErrorKind::Http, error.to_string(), error.help()).with(|details| {
            details.exit_code = status_code(error.status.as_u16());
            details.is_retryable = error.is_retryable();
            details.may_have_taken_effect = error.may_have_taken_effect();
            details.retry_after = error.retry_after;
            details.http = Some(error);
        })
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, status, message, .. } = self;
        write!(f, "{}{} ({method} {url})", status_line(status.as_u16()), after_colon(message))
    }
}

/// Shows the message: a body may contain anything.
impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpError({self})")
    }
}

pub(super) const NEVER_REFRESHED: &str = "AAC_ACCESS_TOKEN is used as it is, and never refreshed. Set it to a new access token of the region that \
     the address names: access_token prints one. For tokens that are refreshed, unset it.";

pub(crate) const CHECK_FIRST: &str =
    "The server may have processed the request: check before you run this again.";

pub(crate) fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// The exit code of a program that ends with this status.
pub(crate) fn status_code(status: u16) -> u8 {
    match status {
        300..=399 => 3,
        400..=499 => 4,
        500..=599 => 5,
        _ => 1,
    }
}

/// Whether a method is safe (RFC 9110 §9.2.1).
pub(crate) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// `HTTP 404 Not Found`, with RFC 9110's reason phrase whatever the server sent.
pub(crate) fn status_line(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("HTTP {status} {}", reason.unwrap_or_default()).trim_end().to_owned()
}
