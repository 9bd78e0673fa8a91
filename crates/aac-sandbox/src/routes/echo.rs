//! `/sandbox/echo`, which the real service does not have: shows a client its own request.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::errors::{Reply, ok};
use super::request::Request;

/// The largest body that is returned, in bytes.
const MAX_SHOWN: usize = 1024 * 1024;

/// Describes the request. Of a large body, only the length is returned.
pub(super) fn echo(request: &Request<'_>) -> Reply {
    let &Request { head, body, .. } = request;
    let headers = head.headers.iter();
    let headers: Vec<Value> = headers
        .map(|(name, value)| match name {
            name if name == AUTHORIZATION => json!([name.as_str(), "Bearer (redacted)"]),
            name => json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]),
        })
        .collect();
    let mut echo = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers,
        "length": body.len(),
    });
    if body.len() <= MAX_SHOWN {
        match str::from_utf8(body) {
            Ok(text) => echo["body"] = json!(text),
            Err(_) => echo["base64"] = json!(BASE64_STANDARD.encode(body)),
        }
    }
    ok(&echo)
}
