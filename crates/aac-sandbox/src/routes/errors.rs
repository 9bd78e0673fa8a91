//! What the platform responds to a request that it does not fulfil.

use axum::body::Body;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::response::IntoResponse;

use crate::http::responses::exception;

/// A response other than the one asked for. Boxed, since responses are large and errors are rare.
#[derive(Debug)]
pub(crate) struct Rejection(Box<Response<Body>>);

impl From<Response<Body>> for Rejection {
    fn from(response: Response<Body>) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        *self.0
    }
}

/// A parameter, or a member of a body, is invalid.
pub(super) fn invalid(details: &str) -> Rejection {
    let message = "Input validation failed";
    exception(StatusCode::BAD_REQUEST, "ApiValidationFailed", message, Some(details)).into()
}

/// The body is not of this media type.
pub(super) fn unsupported_media_type(required: &str) -> Rejection {
    exception(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaTypeException",
        "Unsupported Media Type",
        Some(&format!("The content type must be {required}")),
    )
    .into()
}

/// There is no such thing, for example no plan with the ID in the path.
pub(super) fn not_found(what: &str) -> Rejection {
    let message = format!("{what} not found");
    exception(StatusCode::NOT_FOUND, "NotFoundException", &message, None).into()
}

/// The user may not see it.
pub(super) fn forbidden() -> Rejection {
    let message = "User is not authorised to access this API.";
    exception(StatusCode::FORBIDDEN, "AccessControlException", message, None).into()
}

/// It was deleted.
pub(super) fn gone(what: &str) -> Rejection {
    let message = format!("The {what} was deleted");
    exception(StatusCode::GONE, "Gone", &message, None).into()
}

/// The path does not exist, or not with this method.
pub(super) fn no_route(method: &Method, uri: &Uri) -> Response<Body> {
    exception(
        StatusCode::NOT_FOUND,
        "RouteNotFoundException",
        "This route does not exist",
        Some(&format!("Cannot {method} {}", uri.path())),
    )
}
