//! Extractors: they read and check what a request contains before its handler runs.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::Response;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde_json::{Map, Value};

use super::errors::{Rejection, invalid, no_route, unsupported_media_type};
use crate::http::has_media_type;
use crate::log::Note;

/// The ID in a path. To the real service, a ULID in place of the number is another route.
pub(super) struct Id(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => {
                let response = no_route(&parts.method, &parts.uri);
                Err(Note::on(response, "the ID in this path is a number".to_owned()).into())
            }
        }
    }
}

/// A body that is a JSON object.
pub(super) struct Object(pub(super) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Rejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, Rejection> {
        const JSON: &str = "application/json";
        if !has_media_type(request.headers(), JSON) {
            return Err(unsupported_media_type(JSON));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let response: Response<Body> = rejection.into_response();
            Rejection::from(response)
        })?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(invalid("The body must be a JSON object")),
            Err(error) => Err(invalid(&format!("The body is not JSON: {error}"))),
        }
    }
}
