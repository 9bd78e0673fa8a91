//! The authorization server: what `POST /as/token` responds.

use std::collections::HashMap;

use hyper::Method;
use hyper::header::{ALLOW, AUTHORIZATION};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use crate::faults::FaultKind;
use crate::http::responses::{invalid_client, invalid_grant, oauth, oauth_error, with_header};
use crate::http::{Note, Response, has_media_type};
use crate::state::Shared;
use crate::tokens;
use crate::tokens::jwt::CLIENT_ID;
use crate::workspace::identity;

/// Handles a request to anything below `/as`.
pub(super) fn serve(
    shared: &Shared,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response {
    if request.uri.path() != tokens::ENDPOINT {
        let description = format!("There is no {} here", request.uri.path());
        let response = oauth_error(404, "invalid_request", &description);
        return Note::on(response, format!("the sandbox has {}", tokens::ENDPOINT));
    }
    if request.method != Method::POST {
        let response =
            oauth_error(405, "invalid_request", "The token endpoint accepts POST requests only");
        return with_header(response, ALLOW.as_str(), "POST");
    }
    match refresh_token(request, body) {
        Ok(token) => refresh(shared, &token, fault),
        Err(response) => *response,
    }
}

/// The token in a request for a refresh, which is all that the token endpoint serves (RFC 6749 §6).
fn refresh_token(request: &Parts, body: &[u8]) -> Result<String, Box<Response>> {
    let refuse = |error, description: &str| Err(Box::new(oauth_error(400, error, description)));
    let invalid = |description: &str| refuse("invalid_request", description);

    if !has_media_type(&request.headers, "application/x-www-form-urlencoded") {
        return invalid("The content type must be application/x-www-form-urlencoded");
    }
    let mut fields = HashMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        // No parameter may be repeated (RFC 6749 §3.2).
        if fields.insert(name, value).is_some() {
            return invalid("A parameter is repeated");
        }
    }
    // A parameter without a value is treated as omitted (RFC 6749 §3.2).
    let field = |name| fields.get(name).map(|value| &**value).filter(|value| !value.is_empty());

    match field("grant_type") {
        None => return invalid("The grant_type is missing"),
        Some("refresh_token") => {}
        Some(_) => return refuse("unsupported_grant_type", "The grant type is not supported"),
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
    match field("refresh_token") {
        Some(token) => Ok(token.to_owned()),
        None => invalid("The refresh_token is missing"),
    }
}

fn refresh(shared: &Shared, refresh_token: &str, fault: Option<&FaultKind>) -> Response {
    let mint = &shared.mint;
    let mut state = shared.state();
    let policy = state.policy();
    let ledger = &mut state.ledger;
    let outcome = match fault {
        Some(FaultKind::NoRefreshToken) => {
            let note = "a new access token; the refresh token stays valid".to_owned();
            let token = ledger.access_token_only(mint, refresh_token, policy);
            token.map(|token| (json!(token), Value::Null, note))
        }
        _ => {
            let dashes = fault == Some(&FaultKind::Base64Url);
            ledger.refresh(mint, refresh_token, policy, dashes).map(|rotation| {
                let note = format!(
                    "rotated: refresh token #{} → #{} (access token lives {} s)",
                    rotation.from, rotation.to, mint.lifetime
                );
                let access_token = match fault {
                    Some(FaultKind::NoAccessToken) => Value::Null,
                    Some(FaultKind::BadAccessToken) => json!("this-is-no-jwt"),
                    _ => json!(rotation.tokens.access_token),
                };
                (access_token, json!(rotation.tokens.refresh_token), note)
            })
        }
    };
    match outcome {
        Ok((access_token, refresh_token, note)) => {
            state.counters.refreshes += 1;
            let mut body = Map::from_iter([
                ("access_token".to_owned(), access_token),
                ("token_type".to_owned(), json!("Bearer")),
                ("expires_in".to_owned(), json!(mint.lifetime)),
                ("refresh_token".to_owned(), refresh_token),
                ("scope".to_owned(), json!(identity::scope())),
            ]);
            // A fault leaves one out.
            body.retain(|_, value| !value.is_null());
            Note::on(oauth(200, &Value::Object(body)), note)
        }
        Err(refusal) => {
            state.counters.refused += 1;
            state.counters.reused += u64::from(refusal.reused);
            state.counters.revoked += u64::from(refusal.revokes);
            Note::on(invalid_grant(), refusal.why)
        }
    }
}
