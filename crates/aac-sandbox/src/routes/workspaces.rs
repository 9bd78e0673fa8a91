//! `/iam/v1/workspaces`

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::http::responses::response;
use crate::workspace::identity;

/// `GET /iam/v1/workspaces/current`: the workspace of the token.
pub(super) async fn current() -> Response<Body> {
    response(StatusCode::OK, "application/json; charset=utf-8", identity::DOCUMENT)
}
