//! `/v4/oAuth2ApiTokens`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::errors::{Rejection, invalid, not_found};
use super::query::Query;
use crate::clock::Timestamp;
use crate::http::responses;
use crate::state::Shared;
use crate::tokens::jwt::{CLIENT_ID, ENVIRONMENT, SUBJECT};
use crate::workspace::identity;

/// `GET /v4/oAuth2ApiTokens/{sid}`: what the platform knows of the pair that the session is of.
pub(super) async fn one(
    Extension(shared): Extension<Arc<Shared>>,
    Extension(now): Extension<Timestamp>,
    Path(sid): Path<String>,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    match query.text("tokenType") {
        None | Some("Workspace") => {}
        Some("Billing Account") => return Err(not_found("Token")),
        Some(_) => return Err(invalid("tokenType must be Workspace or Billing Account")),
    }
    let state = shared.state();
    let pair = state.ledger.pair(&sid).ok_or_else(|| not_found("Token"))?;
    let status = match (pair.is_disabled, now.seconds() >= pair.expires) {
        (true, _) => "Disabled by User",
        (false, true) => "Expired",
        (false, false) => "Enabled",
    };
    let time = |seconds: i64| Timestamp { millis: 1000 * seconds }.to_string();
    let body = json!({
        "name": pair.name,
        "sid": sid,
        "envId": ENVIRONMENT,
        "clientId": CLIENT_ID,
        "userId": SUBJECT,
        "issuer": shared.mint.issuer,
        "tokenType": "Workspace",
        "status": status,
        "accessScope": "Full Access",
        "scopes": [identity::scope()],
        "expiredAt": time(pair.expires),
        "createdAt": time(pair.created),
        "activeAt": time(pair.active),
    });
    Ok(responses::json(StatusCode::OK, &body))
}
