//! The gateway in front of the API: what it turns away, in the order in which it looks.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};

use crate::envelope::{gateway_fault, html, unauthorized};
use crate::log::Note;
use crate::server::Server;
use crate::stream::Received;

/// The API project id of the sandbox: 48 letters and digits, as an Apigee consumer key has.
pub(crate) const PROJECT_ID: &str = "SandboxProjectId00000000000000000000000000000001";

const _: () = assert!(PROJECT_ID.len() == 48);

/// The answer to a request that does not reach the API.
pub(crate) fn turn_away(
    server: &Server,
    request: &Parts,
    body: &Received,
) -> Option<Response<Body>> {
    let header = |name: &str| request.headers.get(name).map(HeaderValue::as_bytes);

    // The Google front end does not take a body with these methods.
    if matches!(request.method, Method::GET | Method::HEAD) && !body.is_empty() {
        return Some(html(
            StatusCode::BAD_REQUEST,
            "400 Bad Request",
            "Your client has issued a malformed or illegal request.",
        ));
    }

    let mut state = server.state();
    if state.settings.project_id_check {
        // The second is what the header was called until April 2025.
        match header("x-api-project-id").or_else(|| header("x-client-id")) {
            Some(id) if id == PROJECT_ID.as_bytes() => {}
            Some(_) => {
                return Some(gateway_fault(
                    StatusCode::UNAUTHORIZED,
                    "Invalid ApiKey",
                    "oauth.v2.InvalidApiKey",
                ));
            }
            None => {
                return Some(gateway_fault(
                    StatusCode::UNAUTHORIZED,
                    "Failed to resolve API Key variable request.header.x-api-project-id",
                    "steps.oauth.v2.FailedToResolveAPIKey",
                ));
            }
        }
    }

    let now = state.settings.now();
    let accepted = bearer(request).is_some_and(|token| state.ledger.accepts(token, now));
    if accepted {
        None
    } else {
        state.counters.unauthorized += 1;
        let note = "no access token that is valid now".to_owned();
        Some(Note::on(unauthorized(), note))
    }
}

/// The access token of a request (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1).
fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
