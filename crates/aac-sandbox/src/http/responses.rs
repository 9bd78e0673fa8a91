//! The formats of responses. Each layer of the cloud has its own.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Response;
use crate::tokens::random;

/// The header by which Alteryx support finds a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-trifacta-request-id");

/// A response without a body.
pub(crate) fn empty(status: u16) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::from_u16(status).expect("a status code");
    response
}

/// Any response with a body.
pub(crate) fn response(
    status: u16,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let mut response = empty(status).map(|_| body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds or replaces a header.
pub(crate) fn with_header<B>(
    mut response: hyper::Response<B>,
    name: &'static str,
    value: impl ToString,
) -> hyper::Response<B> {
    let value = HeaderValue::from_str(&value.to_string()).expect("a valid header value");
    response.headers_mut().insert(name, value);
    response
}

/// JSON from the platform.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    response(status, "application/json; charset=utf-8", body.to_string())
}

/// An error of the platform.
pub(crate) fn exception(status: u16, name: &str, message: &str, details: Option<&str>) -> Response {
    let mut body = json!({ "exception": { "name": name, "message": message } });
    if let Some(details) = details {
        body["exception"]["details"] = json!(details);
    }
    with_request_id(json(status, &body))
}

/// Adds the request ID that responses of the platform carry.
pub(crate) fn with_request_id(mut response: Response) -> Response {
    let id = HeaderValue::from_str(&random::uuid()).expect("a UUID is ASCII");
    response.headers_mut().entry(REQUEST_ID).or_insert(id);
    response
}

/// JSON from the authorization server. No cache may keep it (RFC 6749 §5.1).
pub(crate) fn oauth(status: u16, body: &Value) -> Response {
    let response = response(status, "application/json", body.to_string());
    with_header(response, CACHE_CONTROL.as_str(), "no-store")
}

/// An error of the authorization server (RFC 6749 §5.2). PingOne adds a correlation ID to every
/// description.
pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Response {
    let description = format!("{description} (Correlation ID: {})", random::uuid());
    oauth(status, &json!({ "error": error, "error_description": description }))
}

/// The refresh token is not accepted.
pub(crate) fn invalid_grant() -> Response {
    oauth_error(
        400,
        "invalid_grant",
        "Request denied: The refresh token is invalid, expired or revoked",
    )
}

/// The client is not known, or authenticates although it is public.
pub(crate) fn invalid_client() -> Response {
    oauth_error(401, "invalid_client", "Request denied: Unsupported authentication method")
}

/// A fault of the Apigee gateway.
pub(crate) fn gateway_fault(status: u16, text: &str, code: &str) -> Response {
    let body = json!({ "fault": { "faultstring": text, "detail": { "errorcode": code } } });
    response(status, "application/json", body.to_string())
}

/// The gateway's response to a wrong API project ID.
pub(crate) fn invalid_api_key() -> Response {
    gateway_fault(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")
}

/// The gateway's response to a missing, wrong or expired access token: text, not JSON.
pub(crate) fn unauthorized() -> Response {
    response(401, "text/plain", "Unauthorized")
}

/// JSON from the vault.
pub(crate) fn vault_json(status: u16, body: impl Into<Bytes>) -> Response {
    with_header(response(status, "application/json", body), CACHE_CONTROL.as_str(), "no-store")
}

/// An error of the vault.
pub(crate) fn vault_errors(status: u16, errors: &[&str]) -> Response {
    vault_json(status, format!("{}\n", json!({ "errors": errors })))
}

/// A web page.
pub(crate) fn html(status: u16, title: &str, text: &str) -> Response {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<head><meta charset=utf-8><title>{title}</title></head>\n\
         <body><h1>{title}</h1>\n<p>{text}</p></body>\n</html>\n"
    );
    response(status, "text/html; charset=UTF-8", page)
}
