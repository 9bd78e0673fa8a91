//! The query of a request.

use axum::body::Body;
use axum::http::{Response, StatusCode, Uri};

use crate::envelope::exception;

/// The parameters of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

/// The answer to a parameter that is not valid. Boxed, as answers are large and errors are rare.
pub(super) type Invalid = Box<Response<Body>>;

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number that is at least `min`.
    pub(super) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Invalid> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number >= min => Ok(Some(number)),
            _ => Err(invalid(&format!("{name} must be a whole number from {min}"))),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Invalid> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(&format!("{name} must be true or false"))),
        }
    }
}

/// What the platform says of a parameter that is not valid.
pub(super) fn invalid(details: &str) -> Invalid {
    let message = "Input validation failed";
    Box::new(exception(StatusCode::BAD_REQUEST, "ApiValidationFailed", message, Some(details)))
}
