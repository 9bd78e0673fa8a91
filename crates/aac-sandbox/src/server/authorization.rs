//! The authorization server: what `POST /as/token` responds.

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use crate::faults::FaultKind;
use crate::http::has_media_type;
use crate::http::responses::{invalid_client, invalid_grant, oauth, oauth_error, with_header};
use crate::log::Note;
use crate::state::Shared;
use crate::tokens;
use crate::tokens::jwt::CLIENT_ID;
use crate::tokens::ledger::Refusal;
use crate::workspace::identity;

/// Handles a request to anything below `/as`.
pub(super) fn serve(
    shared: &Shared,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response<Body> {
    if request.uri.path() != tokens::ENDPOINT {
        let description = format!("There is no {} here", request.uri.path());
        let response = oauth_error(StatusCode::NOT_FOUND, "invalid_request", &description);
        return Note::on(response, format!("the sandbox has {}", tokens::ENDPOINT));
    }
    if request.method != Method::POST {
        let response = oauth_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "The token endpoint accepts POST requests only",
        );
        return with_header(response, ALLOW.as_str(), "POST");
    }
    match RefreshRequest::read(request, body) {
        Ok(request) => refresh(shared, &request.refresh_token, fault),
        Err(response) => *response,
    }
}

/// The only kind of request that the token endpoint serves (RFC 6749 §6).
struct RefreshRequest {
    refresh_token: String,
}

impl RefreshRequest {
    fn read(request: &Parts, body: &[u8]) -> Result<Self, Box<Response<Body>>> {
        let refuse = |error, description: &str| {
            Err(Box::new(oauth_error(StatusCode::BAD_REQUEST, error, description)))
        };
        let invalid = |description: &str| refuse("invalid_request", description);

        if !has_media_type(&request.headers, "application/x-www-form-urlencoded") {
            return invalid("The content type must be application/x-www-form-urlencoded");
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        // No parameter may be repeated (RFC 6749 §3.2).
        if fields
            .iter()
            .enumerate()
            .any(|(i, (name, _))| fields[..i].iter().any(|(n, _)| n == name))
        {
            return invalid("A parameter is repeated");
        }
        // A parameter without a value is treated as omitted (RFC 6749 §3.2).
        let field = |wanted: &str| {
            let (_, value) = fields.iter().find(|(name, _)| name == wanted)?;
            (!value.is_empty()).then_some(value.as_str())
        };

        match field("grant_type") {
            None => return invalid("The grant_type is missing"),
            Some("refresh_token") => {}
            Some(_) => {
                return refuse("unsupported_grant_type", "The grant type is not supported");
            }
        }
        let Some(client_id) = field("client_id") else {
            return invalid("The client_id is missing");
        };
        // A public client identifies itself but does not authenticate (RFC 6749 §2.3.1, §3.2.1).
        let authenticates =
            request.headers.contains_key(AUTHORIZATION) || field("client_secret").is_some();
        if authenticates || client_id != CLIENT_ID {
            return Err(Box::new(invalid_client()));
        }
        let Some(refresh_token) = field("refresh_token") else {
            return invalid("The refresh_token is missing");
        };
        Ok(Self { refresh_token: refresh_token.to_owned() })
    }
}

fn refresh(shared: &Shared, refresh_token: &str, fault: Option<&FaultKind>) -> Response<Body> {
    let mint = &shared.mint;
    let mut state = shared.state();
    let policy = state.settings.policy();

    let outcome = match fault {
        Some(FaultKind::NoRefreshToken) => {
            state.ledger.access_token_only(mint, refresh_token, policy).map(|access_token| {
                let note = "a new access token; the refresh token stays valid".to_owned();
                (Some(access_token), None, note)
            })
        }
        _ => state.ledger.refresh(mint, refresh_token, policy).map(|rotation| {
            let note = format!(
                "rotated: refresh token #{} → #{} (access token lives {} s)",
                rotation.from, rotation.to, mint.lifetime
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
            state.counters.refreshes += 1;
            let mut body = json!({});
            if let Some(token) = access_token {
                body["access_token"] = json!(token);
            }
            body["token_type"] = json!("Bearer");
            body["expires_in"] = json!(mint.lifetime);
            if let Some(token) = refresh_token {
                body["refresh_token"] = json!(token);
            }
            body["scope"] = json!(identity::scope());
            Note::on(oauth(StatusCode::OK, &body), note)
        }
        Err(refusal) => {
            state.counters.refused += 1;
            if let Refusal::Reused { revoked, .. } = refusal {
                state.counters.reused += 1;
                state.counters.revoked += u64::from(revoked);
            }
            Note::on(invalid_grant(), refusal.to_string())
        }
    }
}
