//! The bodies of requests.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};

use super::query::{Invalid, invalid};
use crate::envelope::exception;

/// A JSON object.
pub(super) fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Invalid> {
    if !is_of(headers, "application/json") {
        return Err(unsupported("The content type must be application/json"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("The body must be a JSON object")),
        Err(error) => Err(invalid(&format!("The body is not JSON: {error}"))),
    }
}

/// Whether a body is of a media type, whatever its parameters.
pub(super) fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    found.trim().eq_ignore_ascii_case(media_type)
}

/// What the platform says of a body that it cannot read.
pub(super) fn unsupported(details: &str) -> Box<Response<Body>> {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let name = "UnsupportedMediaTypeException";
    Box::new(exception(status, name, "Unsupported Media Type", Some(details)))
}
