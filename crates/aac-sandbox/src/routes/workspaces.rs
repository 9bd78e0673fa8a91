//! `/iam/v1/workspaces`

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::envelope::answer;
use crate::workspace;

/// `GET /iam/v1/workspaces/current`: the workspace of the token.
pub(super) async fn current() -> Response<Body> {
    answer(StatusCode::OK, "application/json; charset=utf-8", workspace::DOCUMENT)
}
