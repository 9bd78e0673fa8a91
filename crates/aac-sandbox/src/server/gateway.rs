//! The gateway in front of the API: what it rejects, in the order of its checks.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;

use crate::http::responses::{gateway_fault, html, invalid_api_key, unauthorized};
use crate::http::{Note, Response};
use crate::state::Shared;

/// The API project ID of the sandbox: 48 letters and digits, like an Apigee consumer key.
pub(crate) const PROJECT_ID: &str = "SandboxProjectId00000000000000000000000000000001";

const _: () = assert!(PROJECT_ID.len() == 48);

/// The response to a request that does not reach the API.
pub(super) fn reject(
    shared: &Shared,
    project_id_check: bool,
    request: &Parts,
    body: &[u8],
) -> Option<Response> {
    let header = |name: &str| request.headers.get(name).map(HeaderValue::as_bytes);

    // The Google front end does not accept a body with these methods.
    if matches!(request.method, Method::GET | Method::HEAD) && !body.is_empty() {
        return Some(html(
            400,
            "400 Bad Request",
            "Your client has issued a malformed or illegal request.",
        ));
    }

    if project_id_check {
        // The header was called x-client-id until April 2025.
        match header("x-api-project-id").or_else(|| header("x-client-id")) {
            Some(id) if id == PROJECT_ID.as_bytes() => {}
            Some(_) => return Some(invalid_api_key()),
            None => {
                return Some(gateway_fault(
                    401,
                    "Failed to resolve API Key variable request.header.x-api-project-id",
                    "steps.oauth.v2.FailedToResolveAPIKey",
                ));
            }
        }
    }

    let mut state = shared.state();
    let now = state.now().seconds();
    if bearer(request).is_some_and(|token| state.ledger.accepts(token, now)) {
        return None;
    }
    state.counters.unauthorized += 1;
    Some(Note::on(unauthorized(), "no valid access token"))
}

/// The access token of a request (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1).
fn bearer(request: &Parts) -> Option<&str> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
