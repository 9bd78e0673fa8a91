//! Extractors: they read and check what a request contains before its handler runs.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::errors::{Rejection, invalid, no_route, unsupported_media_type};
use crate::faults::FaultKind;
use crate::http::{Note, has_media_type};

/// The ID in a path. To the real service, a ULID in place of the number is another route.
pub(super) struct Id(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => {
                let response = no_route(&parts.method, &parts.uri);
                Err(Note::on(response, "the ID in this path is a number").into())
            }
        }
    }
}

/// The ID by which the start of a run can be sent again.
pub(super) fn execution_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-execution-id")?.to_str().ok()
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
        let body = Bytes::from_request(request, state).await.unwrap_or_default();
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(invalid("The body must be a JSON object")),
            Err(error) => Err(invalid(&format!("The body is not JSON: {error}"))),
        }
    }
}

/// The parameters of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        let mut query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_option = |(name, _): &(String, _)| name == "filterType" || name == "filterFields";
        match parts.extensions.get().and_then(Option::as_ref) {
            Some(FaultKind::FilterIgnored) => query.retain(|(name, _)| !name.starts_with("filter")),
            Some(FaultKind::FilterRefused) if query.iter().any(is_option) => {
                return Err(invalid("filterType and filterFields are not allowed"));
            }
            _ => {}
        }
        Ok(Self(query))
    }
}

impl Query {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number of at least `min`.
    pub(super) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Rejection> {
        match self.text(name).map(str::parse) {
            None => Ok(None),
            Some(Ok(number)) if number >= min => Ok(Some(number)),
            Some(_) => Err(invalid(&format!("{name} must be a whole number from {min}"))),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Rejection> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(&format!("{name} must be true or false"))),
        }
    }
}
