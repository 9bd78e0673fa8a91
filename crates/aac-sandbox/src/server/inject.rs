//! Injects a [`FaultKind`]: before a request is handled, or after it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, DATE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode, Version};
use hyper::body::Body as _;
use serde_json::json;

use crate::clock::Timestamp;
use crate::faults::{FaultKind, Target};
use crate::http::body::{Truncated, in_pieces, json_string};
use crate::http::responses::{
    exception, gateway_fault, html, invalid_api_key, invalid_client, invalid_grant, json,
    oauth_error, response, unauthorized, vault_errors, with_header, with_request_id,
};
use crate::kv;
use crate::routes::limit::too_many_requests;
use crate::workspace::quota::QuotaStatus;

/// What the client gets.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response.
    Respond(Response<Body>),
    /// A response after a delay.
    RespondLate(Duration, Response<Body>),
    /// A connection reset.
    Reset,
    /// Nothing, ever.
    Hang,
}

impl Outcome {
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
    let response = match fault {
        FaultKind::Hang => return Some(Outcome::Hang),
        FaultKind::ResetBefore => return Some(Outcome::Reset),

        FaultKind::TooManyRequests(seconds) => throttled(target, *seconds, now),
        FaultKind::SpikeArrest => gateway_fault(
            StatusCode::TOO_MANY_REQUESTS,
            "Spike arrest violation. Allowed rate : MessageRate{messagesPerPeriod=5, \
             periodInMicroseconds=1000000, maxBurstMessageCount=1.0}",
            "policies.ratelimit.SpikeArrestViolation",
        ),
        FaultKind::QuotaAs500 => gateway_fault(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Rate limit quota violation. Quota limit exceeded. Identifier : _default",
            "policies.ratelimit.QuotaViolation",
        ),

        FaultKind::BadRequest => {
            error(target, 400, "ApiValidationFailed", "Input validation failed")
        }
        FaultKind::Forbidden => error(
            target,
            403,
            "AccessControlException",
            "User is not authorised to access this API.",
        ),
        FaultKind::NotFound => {
            error(target, 404, "RouteNotFoundException", "This route does not exist")
        }
        FaultKind::Gone => error(target, 410, "Gone", "The resource was deleted"),
        FaultKind::TooLarge => with_header(
            error(target, 413, "PayloadTooLargeException", "The request is too large"),
            CONNECTION.as_str(),
            "close",
        ),
        FaultKind::ServerError => {
            error(target, 500, "InternalServerError", "An error has occurred")
        }
        FaultKind::BadGateway => html(
            StatusCode::BAD_GATEWAY,
            "502 Server Error",
            "The server met a temporary error and could not complete your request.",
        ),
        FaultKind::Unavailable(seconds) => {
            let response = match target {
                Target::Token => oauth_error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "The service is not available at the moment",
                ),
                _ => html(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "503 Service Unavailable",
                    "The service is not available at the moment.",
                ),
            };
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        FaultKind::GatewayTimeout => html(
            StatusCode::GATEWAY_TIMEOUT,
            "504 Gateway Timeout",
            "The server behind the gateway did not respond in time.",
        ),
        FaultKind::ServiceNotFound => json(
            StatusCode::NOT_FOUND,
            &json!({
                "kind": "NotFoundError",
                "message": "Asset with ID: 01JKBMKPZ94N0GG5F8N9HY2FJB does not exist",
                "errors": [],
                "params": {},
            }),
        ),
        FaultKind::MessageForbidden => with_request_id(json(
            StatusCode::FORBIDDEN,
            &json!({
                "data": null,
                "msg": "User \"51\" does not have create privilege on workflow",
            }),
        )),

        FaultKind::InvalidGrant => invalid_grant(),
        FaultKind::InvalidClient => invalid_client(),
        FaultKind::OAuthError => {
            oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "The request is not valid")
        }
        FaultKind::Unauthorized => unauthorized(),
        FaultKind::InvalidKey => invalid_api_key(),
        FaultKind::Redirect(url) => {
            // A standby of the vault sends its clients to the active node that it knows.
            let status = match target.is_vault() {
                true => StatusCode::TEMPORARY_REDIRECT,
                false => StatusCode::FOUND,
            };
            let response = response(status, "text/plain", Body::empty());
            with_header(response, LOCATION.as_str(), url)
        }
        FaultKind::Sealed => vault_errors(StatusCode::SERVICE_UNAVAILABLE, &["Vault is sealed"]),
        FaultKind::NoQuorum => vault_errors(
            StatusCode::INTERNAL_SERVER_ERROR,
            &["local node not active but active cluster node not found"],
        ),

        FaultKind::ResetAfter
        | FaultKind::Cut
        | FaultKind::CutClose
        | FaultKind::Garbled
        | FaultKind::HtmlPage
        | FaultKind::Empty
        | FaultKind::HangAfter
        | FaultKind::Huge
        | FaultKind::NoRefreshToken
        | FaultKind::NoAccessToken
        | FaultKind::BadAccessToken
        | FaultKind::RunFails
        | FaultKind::RunCanceled
        | FaultKind::Hidden(_)
        | FaultKind::Stale
        | FaultKind::CasMismatch
        | FaultKind::AppliedLater(_)
        | FaultKind::Slow(_)
        | FaultKind::SlowBody(_) => return None,
    };
    Some(Outcome::Respond(response))
}

/// The outcome of a request that was handled, with this response.
pub(super) fn after(fault: &FaultKind, handled: Response<Body>) -> Outcome {
    let (mut head, body) = handled.into_parts();
    // All bodies of the sandbox have a known length.
    let length = body.size_hint().lower();
    let half = length / 2;

    let response = match fault {
        FaultKind::ResetAfter => return Outcome::Reset,
        FaultKind::HangAfter => return Outcome::Hang,
        FaultKind::Slow(seconds) => {
            let response = Response::from_parts(head, body);
            return Outcome::RespondLate(Duration::from_secs(*seconds), response);
        }
        FaultKind::Cut => Response::from_parts(head, Body::new(Truncated::new(body, half, length))),
        FaultKind::CutClose => {
            // In HTTP/1.0 a body without a length ends with the connection. In HTTP/1.1 hyper would
            // send chunks, and the client could tell that some are missing.
            head.version = Version::HTTP_10;
            head.headers.remove("content-length");
            head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            Response::from_parts(head, in_pieces(body, half, half, Duration::ZERO))
        }
        FaultKind::SlowBody(seconds) => {
            const PIECES: u32 = 10;
            let size = length.div_ceil(u64::from(PIECES));
            let pause = Duration::from_secs(*seconds) / PIECES;
            head.headers.remove("content-length");
            Response::from_parts(head, in_pieces(body, length, size, pause))
        }
        FaultKind::Garbled => {
            response(StatusCode::OK, "application/json", "{\"access_token\":\u{fffd}\u{1}]{{")
        }
        FaultKind::HtmlPage => {
            html(StatusCode::OK, "Sign in", "Please enter your user name and password.")
        }
        FaultKind::Empty => response(StatusCode::OK, "application/json", Body::empty()),
        FaultKind::Huge => {
            let mebibyte = Bytes::from(vec![b'a'; 1024 * 1024]);
            response(StatusCode::OK, "application/json", json_string(mebibyte, 64))
        }
        _ => Response::from_parts(head, body),
    };
    Outcome::Respond(response)
}

/// 429 in the format of the target.
fn throttled(target: Target, seconds: u64, now: Timestamp) -> Response<Body> {
    match target {
        Target::Token => {
            let response = oauth_error(
                StatusCode::TOO_MANY_REQUESTS,
                "temporarily_unavailable",
                "Too many requests",
            );
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        Target::Vault | Target::VaultRead | Target::VaultWrite => {
            let text = format!("request path {:?}: rate limit quota exceeded", kv::PATH);
            vault_errors(StatusCode::TOO_MANY_REQUESTS, &[&text])
        }
        Target::Api | Target::Run => {
            let millis = now.millis.saturating_add_unsigned(seconds.saturating_mul(1000));
            let reset = Timestamp { millis };
            let status = QuotaStatus { user: (30, 0), workspace: (60, 30), reset };
            too_many_requests(&status, None, seconds)
        }
    }
}

/// An error in the format of the target.
fn error(target: Target, status: u16, name: &str, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status code");
    match target {
        Target::Api | Target::Run => exception(status, name, message, None),
        Target::Vault | Target::VaultRead | Target::VaultWrite => match status {
            StatusCode::FORBIDDEN => vault_errors(status, &["permission denied"]),
            // As for a secret that does not exist, and as just after unsealing.
            StatusCode::NOT_FOUND => vault_errors(status, &[]),
            _ => vault_errors(status, &[message]),
        },
        Target::Token => {
            let error = match status {
                StatusCode::FORBIDDEN => "access_denied",
                StatusCode::INTERNAL_SERVER_ERROR => "server_error",
                _ => "invalid_request",
            };
            oauth_error(status, error, message)
        }
    }
}
