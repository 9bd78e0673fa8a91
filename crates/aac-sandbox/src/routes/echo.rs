//! `/sandbox/echo`, which the real service does not have: shows a client its own request.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use crc32fast::Hasher;
use serde_json::{Value, json};

use super::errors::{Rejection, invalid};
use crate::http::{body, responses};

/// The largest body that is returned, in bytes.
const MAX_SHOWN: u64 = 1024 * 1024;

/// Describes the request. Of a large body, only length and checksum are returned.
pub(super) async fn echo(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    mut content: Body,
) -> Result<Response<Body>, Rejection> {
    let mut shown = Vec::new();
    let mut length: u64 = 0;
    let mut crc = Hasher::new();
    while let Some(piece) = body::next(&mut content).await {
        let piece = piece.map_err(|_| invalid("The body ends too early"))?;
        length += piece.len() as u64;
        crc.update(&piece);
        if length <= MAX_SHOWN {
            shown.extend_from_slice(&piece);
        }
    }

    let headers: Vec<Value> = headers
        .iter()
        .map(|(name, value)| {
            let value = if name == AUTHORIZATION {
                "Bearer (redacted)".into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            json!([name.as_str(), value])
        })
        .collect();
    let mut echo = json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": headers,
        "length": length,
        "crc32": format!("{:08x}", crc.finalize()),
    });
    if length <= MAX_SHOWN {
        match str::from_utf8(&shown) {
            Ok(text) => echo["body"] = json!(text),
            Err(_) => echo["base64"] = json!(BASE64_STANDARD.encode(&shown)),
        }
    }
    Ok(responses::json(StatusCode::OK, &echo))
}
