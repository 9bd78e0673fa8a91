//! Injects a [`FaultKind`]: before a request is handled, or after it.

use std::time::Duration;

use hyper::Version;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, LOCATION, RETRY_AFTER};
use serde_json::json;

use crate::clock::Timestamp;
use crate::faults::{FaultKind, Target};
use crate::http::Response;
use crate::http::body::Body;
use crate::http::responses::{
    exception, gateway_fault, html, invalid_api_key, invalid_client, invalid_grant, json,
    oauth_error, response, unauthorized, vault_errors, with_header, with_request_id,
};

/// What the client gets.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response.
    Respond(hyper::Response<Body>),
    /// A response after a delay.
    RespondLate(Duration, hyper::Response<Body>),
    /// A connection reset.
    Reset,
    /// Nothing, ever.
    Hang,
}

impl Outcome {
    /// The response, undisturbed.
    pub(super) fn whole(response: Response) -> Self {
        Self::Respond(response.map(Body::Whole))
    }

    /// The same, with this `Date`.
    pub(super) fn dated(self, date: String) -> Self {
        let dated = |response| with_header(response, DATE.as_str(), date);
        match self {
            Self::Respond(response) => Self::Respond(dated(response)),
            Self::RespondLate(delay, response) => Self::RespondLate(delay, dated(response)),
            other => other,
        }
    }
}

/// The outcome of a request that is not handled because of the fault; `None` if it is to be handled.
pub(super) fn before(fault: &FaultKind, target: Target, now: Timestamp) -> Option<Outcome> {
    use FaultKind as K;
    let response = match fault {
        K::Hang => return Some(Outcome::Hang),
        K::ResetBefore => return Some(Outcome::Reset),

        K::BadRequest => error(target, 400, "ApiValidationFailed", "Input validation failed"),
        K::Forbidden => {
            let text = "User is not authorised to access this API.";
            error(target, 403, "AccessControlException", text)
        }
        K::NotFound => error(target, 404, "RouteNotFoundException", "This route does not exist"),
        K::Conflict => error(target, 409, "ConflictException", "It is so already"),
        K::Gone => error(target, 410, "Gone", "The resource was deleted"),
        K::TooLarge => with_header(
            error(target, 413, "PayloadTooLargeException", "The request is too large"),
            CONNECTION.as_str(),
            "close",
        ),
        K::ServerError => error(target, 500, "InternalServerError", "An error has occurred"),
        K::TooManyRequests(seconds) => throttled(target, *seconds, now),
        K::SpikeArrest => gateway_fault(
            429,
            "Spike arrest violation. Allowed rate : MessageRate{messagesPerPeriod=5, \
             periodInMicroseconds=1000000, maxBurstMessageCount=1.0}",
            "policies.ratelimit.SpikeArrestViolation",
        ),
        K::QuotaAs500 => gateway_fault(
            500,
            "Rate limit quota violation. Quota limit exceeded. Identifier : _default",
            "policies.ratelimit.QuotaViolation",
        ),
        K::BadGateway => html(
            502,
            "502 Server Error",
            "The server met a temporary error and could not complete your request.",
        ),
        K::Unavailable(seconds) => {
            let text = "The service is not available at the moment";
            let response = match target {
                Target::Token => oauth_error(503, "temporarily_unavailable", text),
                _ => html(503, "503 Service Unavailable", text),
            };
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        K::GatewayTimeout => html(
            504,
            "504 Gateway Timeout",
            "The server behind the gateway did not respond in time.",
        ),
        K::ServiceNotFound => {
            let text = "Asset with ID: 01JKBMKPZ94N0GG5F8N9HY2FJB does not exist";
            let kind = "NotFoundError";
            json(404, &json!({ "kind": kind, "message": text, "errors": [], "params": {} }))
        }
        K::MessageForbidden => {
            let text = "User \"51\" does not have create privilege on workflow";
            with_request_id(json(403, &json!({ "data": null, "msg": text })))
        }
        K::InvalidGrant => invalid_grant(),
        K::InvalidClient => invalid_client(),
        K::OAuthError => oauth_error(400, "invalid_request", "The request is not valid"),
        K::Unauthorized => unauthorized(),
        K::InvalidKey => invalid_api_key(),
        K::Redirect(url) => {
            // A standby of the vault sends its clients to the active node that it knows.
            let status = if target.is_vault() { 307 } else { 302 };
            with_header(response(status, "text/plain", Bytes::new()), LOCATION.as_str(), url)
        }
        K::Sealed => vault_errors(503, &["Vault is sealed"]),
        K::NoQuorum => {
            vault_errors(500, &["local node not active but active cluster node not found"])
        }
        _ => return None,
    };
    Some(Outcome::whole(response))
}

/// The outcome of a request that was handled, with this response.
pub(super) fn after(fault: &FaultKind, handled: Response) -> Outcome {
    let length = handled.body().len();
    let half = |body: Bytes| Body::in_pieces(body.slice(..length / 2), length, Duration::ZERO);
    match fault {
        FaultKind::ResetAfter => Outcome::Reset,
        FaultKind::HangAfter => Outcome::Hang,
        FaultKind::Slow(seconds) => {
            Outcome::RespondLate(Duration::from_secs(*seconds), handled.map(Body::Whole))
        }
        FaultKind::Cut => {
            Outcome::Respond(with_header(handled.map(half), CONTENT_LENGTH.as_str(), length))
        }
        FaultKind::CutClose => {
            let mut response = with_header(handled.map(half), CONNECTION.as_str(), "close");
            // In HTTP/1.0 a body without a length ends with the connection. In HTTP/1.1 hyper would
            // send chunks, and the client could tell that some are missing.
            *response.version_mut() = Version::HTTP_10;
            Outcome::Respond(response)
        }
        FaultKind::SlowBody(seconds) => {
            const PIECES: u32 = 10;
            let size = length.div_ceil(PIECES as usize);
            let pause = Duration::from_secs(*seconds) / PIECES;
            Outcome::Respond(handled.map(|body| Body::in_pieces(body, size, pause)))
        }
        FaultKind::Garbled => {
            let text = "{\"access_token\":\u{fffd}\u{1}]{{";
            Outcome::whole(response(200, "application/json", text))
        }
        FaultKind::HtmlPage => {
            Outcome::whole(html(200, "Sign in", "Please enter your user name and password."))
        }
        FaultKind::Empty => Outcome::whole(response(200, "application/json", Bytes::new())),
        FaultKind::Huge => {
            let text = "a".repeat(64 * 1024 * 1024);
            Outcome::whole(response(200, "application/json", format!("\"{text}\"")))
        }
        _ => Outcome::whole(handled),
    }
}

/// 429 in the format of the target.
fn throttled(target: Target, seconds: u64, now: Timestamp) -> Response {
    match target {
        Target::Token => {
            let response = oauth_error(429, "temporarily_unavailable", "Too many requests");
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        Target::Vault | Target::VaultRead | Target::VaultWrite => {
            vault_errors(429, &["rate limit quota exceeded"])
        }
        Target::Api | Target::Run | Target::People => {
            let text = format!(
                "API quota reached. Wait {seconds} seconds before making a new request. \
                 (Max. 30 requests allowed per minute per user.)"
            );
            let response =
                exception(429, "TooManyRequestsException", "Too Many Requests", Some(&text));
            // The documented examples show milliseconds, although the text says seconds.
            let reset = now.plus(Duration::from_secs(seconds)).millis;
            let headers = [
                ("x-retry-after", seconds.to_string()),
                ("x-rate-limit-user-limit", "30".to_owned()),
                ("x-rate-limit-user-remaining", "0".to_owned()),
                ("x-rate-limit-user-reset", reset.to_string()),
            ];
            headers.into_iter().fold(response, |r, (name, value)| with_header(r, name, value))
        }
    }
}

/// An error in the format of the target.
fn error(target: Target, status: u16, name: &str, message: &str) -> Response {
    match (target, status) {
        (Target::Api | Target::Run | Target::People, _) => exception(status, name, message, None),
        (Target::Token, 403) => oauth_error(status, "access_denied", message),
        (Target::Token, 500) => oauth_error(status, "server_error", message),
        (Target::Token, _) => oauth_error(status, "invalid_request", message),
        (_, 403) => vault_errors(status, &["permission denied"]),
        // As for a secret that does not exist, and as just after unsealing.
        (_, 404) => vault_errors(status, &[]),
        _ => vault_errors(status, &[message]),
    }
}
