//! What requests bring, taken and checked before a handler sees it; and the answer if it is no good.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value};

use super::no_number;
use crate::envelope::exception;

/// An answer other than the one that was asked for. Boxed, as answers are large and errors are rare.
#[derive(Debug)]
pub(super) struct Refusal(Box<Response<Body>>);

impl From<Response<Body>> for Refusal {
    fn from(response: Response<Body>) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        *self.0
    }
}

/// The id in a path. A ULID in the place of the number does not match the route of the real service.
pub(super) struct Number(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(number)) => Ok(Self(number)),
            Err(_) => Err(no_number(&parts.method, &parts.uri).into()),
        }
    }
}

/// A body that is a JSON object.
pub(super) struct Object(pub(super) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_of(request.headers(), "application/json") {
            return Err(unsupported("The content type must be application/json"));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Refusal::from(rejection.into_response()))?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(invalid("The body must be a JSON object")),
            Err(error) => Err(invalid(&format!("The body is not JSON: {error}"))),
        }
    }
}

/// Whether a body is of a media type, whatever its parameters.
pub(super) fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    found.trim().eq_ignore_ascii_case(media_type)
}

/// What the platform says of a body that it cannot read.
pub(super) fn unsupported(details: &str) -> Refusal {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let name = "UnsupportedMediaTypeException";
    exception(status, name, "Unsupported Media Type", Some(details)).into()
}

/// What the platform says of a parameter, or of a member of a body, that is not valid.
pub(super) fn invalid(details: &str) -> Refusal {
    let message = "Input validation failed";
    exception(StatusCode::BAD_REQUEST, "ApiValidationFailed", message, Some(details)).into()
}
