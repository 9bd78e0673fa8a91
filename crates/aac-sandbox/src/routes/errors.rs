//! What the platform responds to a request that it does not fulfil.

use hyper::http::request::Parts;
use serde_json::Value;

use crate::http::Response;
use crate::http::responses::{empty, exception, json};

/// The response to a request, or another than the one asked for.
pub(super) type Reply = Result<Response, Rejection>;

/// A response other than the one asked for. Boxed, since responses are large and errors are rare.
pub(super) type Rejection = Box<Response>;

/// 200, with this JSON.
pub(super) fn ok(body: &Value) -> Reply {
    Ok(json(200, body))
}

/// A parameter, or a member of a body, is invalid.
pub(super) fn invalid(details: &str) -> Rejection {
    exception(400, "ApiValidationFailed", "Input validation failed", Some(details)).into()
}

/// The body is not of this media type.
pub(super) fn unsupported_media_type(required: &str) -> Rejection {
    let details = format!("The content type must be {required}");
    let message = "Unsupported Media Type";
    exception(415, "UnsupportedMediaTypeException", message, Some(&details)).into()
}

/// There is no such thing, for example no plan with the ID in the path.
pub(super) fn not_found(what: &str) -> Rejection {
    exception(404, "NotFoundException", &format!("{what} not found"), None).into()
}

/// It is so already.
pub(super) fn conflict(message: &str) -> Rejection {
    exception(409, "ConflictException", message, None).into()
}

/// The user may not see it.
pub(super) fn forbidden() -> Rejection {
    let message = "User is not authorised to access this API.";
    exception(403, "AccessControlException", message, None).into()
}

/// A run with the same `x-execution-id` exists.
pub(super) fn not_modified() -> Rejection {
    empty(304).into()
}

/// It was deleted.
pub(super) fn gone(what: &str) -> Rejection {
    exception(410, "Gone", &format!("The {what} was deleted"), None).into()
}

/// The path does not exist, or not with this method.
pub(super) fn no_route(request: &Parts) -> Response {
    let details = format!("Cannot {} {}", request.method, request.uri.path());
    exception(404, "RouteNotFoundException", "This route does not exist", Some(&details))
}
