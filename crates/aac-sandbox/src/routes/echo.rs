//! `/sandbox/echo`, which the real cloud does not have: shows a request to who sent it.

use axum::body::{Body, Bytes};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::envelope;

/// Answers any request with a description of it.
pub(super) async fn echo(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
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
        "length": body.len(),
    });
    match str::from_utf8(&body) {
        Ok(text) => echo["body"] = json!(text),
        Err(_) => echo["base64"] = json!(BASE64_STANDARD.encode(&body)),
    }
    envelope::json(StatusCode::OK, &echo)
}
