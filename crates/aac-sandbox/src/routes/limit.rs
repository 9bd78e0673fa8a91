//! Quotas, as requests meet them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::Next;

use crate::clock::Timestamp;
use crate::http::responses::{exception, with_header};
use crate::workspace::Workspace;
use crate::workspace::quota::{Quota, QuotaStatus};

/// Rejects calls beyond the quota. The headers of every response say how much is left.
pub(super) async fn limit(
    State((workspace, quota)): State<(Arc<Workspace>, &'static Quota)>,
    Extension(now): Extension<Timestamp>,
    request: Request,
    next: Next,
) -> Response<Body> {
    match workspace.count_call(quota, now) {
        Ok(status) => with_status(next.run(request).await, &status),
        Err(status) => too_many_requests(&status, Some(quota), status.retry_after(now)),
    }
}

/// The response to a call beyond a quota; `None` leaves its name out.
pub(crate) fn too_many_requests(
    status: &QuotaStatus,
    quota: Option<&Quota>,
    seconds: u64,
) -> Response<Body> {
    let name = quota.map(|quota| format!(" for {:?}", quota.name)).unwrap_or_default();
    let details = format!(
        "API quota reached{name}. Wait {seconds} seconds before making a new request. \
         (Max. {} requests allowed per minute per user.)",
        status.user.0
    );
    let response = exception(
        StatusCode::TOO_MANY_REQUESTS,
        "TooManyRequestsException",
        "Too Many Requests",
        Some(&details),
    );
    with_status(with_header(response, "x-retry-after", seconds), status)
}

fn with_status(mut response: Response<Body>, status: &QuotaStatus) -> Response<Body> {
    for (name, value) in [
        ("x-rate-limit-user-limit", status.user.0),
        ("x-rate-limit-user-remaining", status.user.1),
        ("x-rate-limit-workspace-limit", status.workspace.0),
        ("x-rate-limit-workspace-remaining", status.workspace.1),
    ] {
        response = with_header(response, name, value);
    }
    // The documented examples show milliseconds, although the text says seconds.
    for name in ["x-rate-limit-user-reset", "x-rate-limit-workspace-reset"] {
        response = with_header(response, name, status.reset.millis);
    }
    response
}
