//! `/v4/oAuth2ApiTokens`

use serde_json::json;

use super::errors::{Reply, not_found, ok};
use super::request::Request;
use crate::clock::Timestamp;
use crate::tokens::jwt::{CLIENT_ID, ENVIRONMENT, SUBJECT};
use crate::workspace::identity;

/// `GET /v4/oAuth2ApiTokens/{sid}`: what the platform knows of the pair that the session is of.
pub(super) fn one(request: &Request<'_>) -> Reply {
    let &Request { shared, in_path: sid, now, .. } = request;
    let state = shared.state();
    let family = state.ledger.family(sid).ok_or_else(|| not_found("Token"))?;
    let status = match (family.disabled, now.seconds() >= family.expires) {
        (true, _) => "Disabled by User",
        (false, true) => "Expired",
        (false, false) => "Enabled",
    };
    let time = |seconds| Timestamp::of_seconds(seconds).to_string();
    ok(&json!({
        "name": format!("sandbox token {}", family.number),
        "sid": sid,
        "envId": ENVIRONMENT,
        "clientId": CLIENT_ID,
        "userId": SUBJECT,
        "issuer": shared.mint.issuer,
        "tokenType": "Workspace",
        "status": status,
        "accessScope": "Full Access",
        "scopes": [identity::scope()],
        "expiredAt": time(family.expires),
        "createdAt": time(family.session.auth_time),
        "activeAt": time(family.active),
    }))
}
