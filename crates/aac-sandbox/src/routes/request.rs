//! A request as the handlers get it, and the checks of what it contains.

use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::errors::{Rejection, invalid, no_route, unsupported_media_type};
use crate::clock::Timestamp;
use crate::faults::FaultKind;
use crate::http::{Note, has_media_type};
use crate::state::Shared;
use crate::workspace::Workspace;

/// A request that has passed the gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) shared: &'a Shared,
    pub(super) workspace: &'a Workspace,
    pub(super) head: &'a Parts,
    pub(super) body: &'a [u8],
    pub(super) fault: Option<&'a FaultKind>,
    /// The time by the server's clock.
    pub(super) now: Timestamp,
    /// What its path has in place of `{id}`.
    pub(super) in_path: &'a str,
}

impl<'a> Request<'a> {
    /// The ID in the path. To the real service, a ULID in place of the number is another route.
    pub(super) fn id(&self) -> Result<u64, Rejection> {
        let note = "the ID in this path is a number";
        self.in_path.parse().map_err(|_| Note::on(no_route(self.head), note).into())
    }

    /// The ID by which the start of a run can be sent again.
    pub(super) fn execution_id(&self) -> Option<&'a str> {
        self.head.headers.get("x-execution-id")?.to_str().ok()
    }

    /// The body, which is to be a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Rejection> {
        const JSON: &str = "application/json";
        if !has_media_type(&self.head.headers, JSON) {
            return Err(unsupported_media_type(JSON));
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(invalid("The body must be a JSON object")),
            Err(error) => Err(invalid(&format!("The body is not JSON: {error}"))),
        }
    }

    /// The parameters of the query.
    pub(super) fn query(&self) -> Result<Query, Rejection> {
        let query = self.head.uri.query().unwrap_or_default();
        let mut query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_option = |(name, _): &(String, _)| name == "filterType" || name == "filterFields";
        match self.fault {
            Some(FaultKind::FilterIgnored) => query.retain(|(name, _)| !name.starts_with("filter")),
            Some(FaultKind::FilterRefused) if query.iter().any(is_option) => {
                return Err(invalid("filterType and filterFields are not allowed"));
            }
            _ => {}
        }
        Ok(Query(query))
    }
}

/// The parameters of a query, in order.
pub(super) struct Query(Vec<(String, String)>);

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
