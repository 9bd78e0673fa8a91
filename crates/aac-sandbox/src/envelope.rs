//! The dialects that answers are written in: each layer of the cloud has its own.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::random;

/// The header by which Alteryx's support finds a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-trifacta-request-id");

/// An answer of any kind.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header, or replaces it.
pub(crate) fn with_header(
    mut response: Response<Body>,
    name: &'static str,
    value: impl ToString,
) -> Response<Body> {
    let value = HeaderValue::from_str(&value.to_string()).expect("a value that fits into a header");
    response.headers_mut().insert(name, value);
    response
}

/// JSON.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    answer(status, "application/json; charset=utf-8", body.to_string())
}

/// JSON of the authorization server, which no cache may keep (RFC 6749 §5.1).
pub(crate) fn oauth(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = answer(status, "application/json", body.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error of the authorization server (RFC 6749 §5.2), with the number that PingOne adds to
/// every description.
pub(crate) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    let description = format!("{description} (Correlation ID: {})", random::uuid());
    oauth(status, &json!({ "error": error, "error_description": description }))
}

/// A fault of the Apigee gateway.
pub(crate) fn gateway_fault(status: StatusCode, text: &str, code: &str) -> Response<Body> {
    let body = json!({ "fault": { "faultstring": text, "detail": { "errorcode": code } } });
    answer(status, "application/json", body.to_string())
}

/// An error of the platform behind the gateway.
pub(crate) fn exception(
    status: StatusCode,
    name: &str,
    message: &str,
    details: Option<&str>,
) -> Response<Body> {
    let mut body = json!({ "exception": { "name": name, "message": message } });
    if let Some(details) = details {
        body["exception"]["details"] = json!(details);
    }
    platform(json(status, &body))
}

/// What the gateway says to a missing, wrong or expired access token: text, not JSON.
pub(crate) fn unauthorized() -> Response<Body> {
    answer(StatusCode::UNAUTHORIZED, "text/plain", "Unauthorized")
}

/// A page for people.
pub(crate) fn html(status: StatusCode, title: &str, text: &str) -> Response<Body> {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<head><meta charset=utf-8><title>{title}</title></head>\n\
         <body><h1>{title}</h1>\n<p>{text}</p></body>\n</html>\n"
    );
    answer(status, "text/html; charset=UTF-8", page)
}

/// Signs an answer as one of the platform behind the gateway.
pub(crate) fn platform(mut response: Response<Body>) -> Response<Body> {
    let id = HeaderValue::from_str(&random::uuid()).expect("a UUID is plain ASCII");
    response.headers_mut().entry(REQUEST_ID).or_insert(id);
    response
}
