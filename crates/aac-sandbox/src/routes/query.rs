//! The query of a request.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::errors::{Rejection, invalid};

/// The parameters of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number of at least `min`.
    pub(super) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Rejection> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number >= min => Ok(Some(number)),
            _ => Err(invalid(&format!("{name} must be a whole number from {min}"))),
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
