//! The authorization server: what `POST /as/token` answers.

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use crate::envelope::{oauth, oauth_error};
use crate::fault::FaultKind;
use crate::jwt::CLIENT_ID;
use crate::ledger::Refusal;
use crate::log::Note;
use crate::server::Server;
use crate::workspace;

/// The only path there is below `/as`.
pub(crate) const PATH: &str = "/as/token";

/// Answers a request to anything below `/as`.
pub(crate) fn serve(
    server: &Server,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response<Body> {
    if request.uri.path() != PATH {
        let description = format!("There is no {} here", request.uri.path());
        let response = oauth_error(StatusCode::NOT_FOUND, "invalid_request", &description);
        return Note::on(response, format!("the sandbox has {PATH}"));
    }
    if request.method != Method::POST {
        let mut response = oauth_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "The token endpoint takes POST requests only",
        );
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    match RefreshRequest::read(request, body) {
        Ok(request) => exchange(server, &request.refresh_token, fault),
        Err(response) => *response,
    }
}

/// The only request that the token endpoint serves (RFC 6749 §6).
struct RefreshRequest {
    refresh_token: String,
}

impl RefreshRequest {
    fn read(request: &Parts, body: &[u8]) -> Result<Self, Box<Response<Body>>> {
        let refuse = |status, error, description: &str| {
            Err(Box::new(oauth_error(status, error, description)))
        };
        let invalid =
            |description: &str| refuse(StatusCode::BAD_REQUEST, "invalid_request", description);

        if !is_form(request) {
            return invalid("The content type must be application/x-www-form-urlencoded");
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        // RFC 6749 §3.2: no parameter more than once.
        if fields
            .iter()
            .enumerate()
            .any(|(i, (name, _))| fields[..i].iter().any(|(n, _)| n == name))
        {
            return invalid("A parameter is there more than once");
        }
        // RFC 6749 §3.1: a parameter without a value counts as one that is missing.
        let field = |wanted: &str| {
            let (_, value) = fields.iter().find(|(name, _)| name == wanted)?;
            (!value.is_empty()).then_some(value.as_str())
        };

        match field("grant_type") {
            None => return invalid("The grant_type is missing"),
            Some("refresh_token") => {}
            Some(_) => {
                let description = "The grant type is not supported";
                return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", description);
            }
        }
        let Some(client_id) = field("client_id") else {
            return invalid("The client_id is missing");
        };
        // A public client names itself, and proves nothing (RFC 6749 §2.3.1, §3.2.1).
        let authenticates =
            request.headers.contains_key(AUTHORIZATION) || field("client_secret").is_some();
        if authenticates || client_id != CLIENT_ID {
            let description = "Request denied: Unsupported authentication method";
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client", description);
        }
        let Some(refresh_token) = field("refresh_token") else {
            return invalid("The refresh_token is missing");
        };
        Ok(Self { refresh_token: refresh_token.to_owned() })
    }
}

fn is_form(request: &Parts) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn exchange(server: &Server, refresh_token: &str, fault: Option<&FaultKind>) -> Response<Body> {
    let mut state = server.state();
    let terms = state.settings.terms();

    let outcome = match fault {
        Some(FaultKind::NoRefreshToken) => {
            state.ledger.access_only(&server.mint, refresh_token, terms).map(|access_token| {
                let note = "a new access token, but the refresh token stays".to_owned();
                (Some(access_token), None, note)
            })
        }
        _ => state.ledger.exchange(&server.mint, refresh_token, terms).map(|rotation| {
            let note = format!(
                "rotated: refresh token #{} → #{} (access token lives {} s)",
                rotation.from, rotation.to, server.mint.lifetime
            );
            let access_token = match fault {
                Some(FaultKind::NoAccessToken) => None,
                Some(FaultKind::BadAccessToken) => Some("this-is-no-jwt".to_owned()),
                _ => Some(rotation.tokens.access_token),
            };
            (access_token, Some(rotation.tokens.refresh_token), note)
        }),
    };

    match outcome {
        Ok((access_token, refresh_token, note)) => {
            state.counters.exchanges += 1;
            let mut body = json!({});
            if let Some(token) = access_token {
                body["access_token"] = json!(token);
            }
            body["token_type"] = json!("Bearer");
            body["expires_in"] = json!(server.mint.lifetime);
            if let Some(token) = refresh_token {
                body["refresh_token"] = json!(token);
            }
            body["scope"] = json!(workspace::scope());
            Note::on(oauth(StatusCode::OK, &body), note)
        }
        Err(refusal) => {
            state.counters.refused += 1;
            if let Refusal::Reused { revoked, .. } = refusal {
                state.counters.reused += 1;
                state.counters.revoked += u64::from(revoked);
            }
            let description = "Request denied: The refresh token is invalid, expired or revoked";
            let response = oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", description);
            Note::on(response, refusal.to_string())
        }
    }
}
