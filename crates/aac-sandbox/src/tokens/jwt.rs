//! Makes tokens that look like the real ones: the same claims in the same order. The signature is
//! random.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use super::random;
use crate::options::RefreshTokens;
use crate::workspace::{identity, people};

/// The ID of the OAuth client that Alteryx publishes for us1. It is a public client, without a
/// secret.
pub(crate) const CLIENT_ID: &str = "af1b5321-afe0-48c2-966a-c77d74e98085";

const KEY_ID: &str = "0c5aac5d-7a7b-4c0b-9d51-5a6d0b0c0001";
pub(crate) const SUBJECT: &str = "0c5aac5d-7a7b-4c0b-9d51-5a6d0b0c0002";
pub(crate) const ENVIRONMENT: &str = "0c5aac5d-7a7b-4c0b-9d51-5a6d0b0c0003";
const ORGANIZATION: &str = "0c5aac5d-7a7b-4c0b-9d51-5a6d0b0c0004";
const POLICY: &str = "AlteryxAuthIDPPolicy";

/// How long refresh tokens say that they are valid, in seconds.
const REFRESH_LIFETIME: i64 = 365 * 24 * 60 * 60;

/// What all tokens of a family share.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The session ID, a UUID.
    pub(crate) sid: String,
    /// When the user signed in, in seconds since 1970.
    pub(crate) auth_time: i64,
}

/// Makes tokens.
#[derive(Clone, Debug)]
pub(crate) struct Mint {
    pub(crate) issuer: String,
    /// The lifetime of an access token, in seconds.
    pub(crate) lifetime: i64,
    /// How long a pair lasts, in seconds. The `exp` of its refresh tokens does not say.
    pub(crate) pair_lifetime: i64,
    pub(crate) at_jwt: bool,
    pub(crate) refresh_tokens: RefreshTokens,
}

impl Mint {
    /// An access token issued at `iat`, in seconds since 1970. With `dashes`, its base64url has `-`
    /// and `_`, unlike that of any real token: a client that decodes plain base64 fails. `~` and `?`
    /// encode to them as the third byte of a group, and one of three in a row always is.
    pub(crate) fn access_token(&self, session: &Session, iat: i64, dashes: bool) -> String {
        let mut header = json!({ "kid": KEY_ID, "alg": "RS256" });
        if self.at_jwt {
            header["typ"] = json!("at+jwt");
        }
        let mut payload = json!({
            "client_id": CLIENT_ID,
            "iss": self.issuer,
            "jti": random::uuid(),
            "iat": iat,
            "exp": iat + self.lifetime,
            "aud": [identity::NAME],
            "scope": identity::scope(),
            "sub": SUBJECT,
            "sid": session.sid,
            "auth_time": session.auth_time,
            "acr": POLICY,
            "email": people::email(0),
            "env": ENVIRONMENT,
            "org": ORGANIZATION,
        });
        if dashes {
            payload["sandbox"] = json!("~~~.???");
        }
        signed(&header, &payload)
    }

    /// A refresh token. It does not contain the time of issue.
    pub(crate) fn refresh_token(&self, session: &Session) -> String {
        match self.refresh_tokens {
            RefreshTokens::Opaque => random::base64url::<96>(),
            RefreshTokens::Jwt => signed(
                &json!({ "alg": "RS256", "kid": "default" }),
                &json!({
                    "sub": SUBJECT,
                    "jti": random::uuid(),
                    "exp": session.auth_time + REFRESH_LIFETIME,
                    "sid": session.sid,
                    "scope": identity::scope(),
                    "auth_time": session.auth_time,
                    "acr": POLICY,
                    "iss": self.issuer,
                }),
            ),
        }
    }
}

/// A JWT in compact form (RFC 7519 §3). Its signature is as long as one of 2048-bit RSA.
fn signed(header: &Value, payload: &Value) -> String {
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.{}", encode(header), encode(payload), random::base64url::<256>())
}
