//! The API behind the gateway. A module for each family of paths, a line here for each path.

mod echo;
mod people;
mod person;
mod query;
mod workspaces;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::routing::{any, get};

use crate::envelope::exception;
use crate::options::{Options, Paging};

/// All paths of the API.
pub(crate) fn router(tenant: Tenant) -> Router {
    Router::new()
        .route("/iam/v1/workspaces/current", get(workspaces::current))
        .route("/iam/v1/workspaces/{id}/people", get(people::list))
        .route("/iam/v1/people/{id}", get(people::one))
        .route("/sandbox/echo", any(echo::echo))
        .route("/sandbox/echo/{*rest}", any(echo::echo))
        .fallback(not_found)
        // To the platform, a method that a path does not have is a path that does not exist.
        .method_not_allowed_fallback(not_found)
        .with_state(Arc::new(tenant))
}

/// What the API is about.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    users: usize,
    max_page: usize,
    paging: Paging,
    foreign_workspace: StatusCode,
}

impl Tenant {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            users: options.users,
            max_page: options.max_page,
            paging: options.paging,
            foreign_workspace: match options.foreign_workspace {
                403 => StatusCode::FORBIDDEN,
                _ => StatusCode::NOT_FOUND,
            },
        }
    }
}

/// What the platform says of a path that it does not have.
async fn not_found(method: Method, uri: Uri) -> Response<Body> {
    no_route(&method, &uri)
}

fn no_route(method: &Method, uri: &Uri) -> Response<Body> {
    let details = format!("Cannot {method} {}", uri.path());
    exception(
        StatusCode::NOT_FOUND,
        "RouteNotFoundException",
        "This route does not exist",
        Some(&details),
    )
}
