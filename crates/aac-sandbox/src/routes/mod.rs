//! The API behind the gateway. There is a module for each family of paths, and a line in `paths!`
//! for each path.

mod echo;
mod errors;
mod extract;
mod list;
mod people;
mod plans;
mod runs;
mod token_records;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::{Method, Response, Uri};
use axum::routing::{any, delete, get, patch, post};

use crate::http::Note;
use crate::tokens;
use crate::workspace::Workspace;
use errors::no_route;

/// Declares each path once: method, path and handler. The router and the list of paths come from this.
macro_rules! paths {
    ($($method:ident $path:literal => $handler:expr;)+) => {
        /// Method and path. Methods are in lower case, as axum's functions are.
        const PATHS: &[(&str, &str)] = &[$((stringify!($method), $path)),+];

        fn paths() -> Router<Arc<Workspace>> {
            Router::new()$(.route($path, $method($handler)))+
        }
    };
}

paths! {
    get "/iam/v1/workspaces/current" => people::workspace;
    get "/iam/v1/workspaces/{id}/people" => people::list;
    get "/iam/v1/workspaces/{id}/admins" => people::admins;
    post "/iam/v1/workspaces/{id}/people/batch" => people::invite;
    post "/iam/v1/workspaces/{id}/people/suspend" => people::suspend;
    post "/iam/v1/workspaces/{id}/people/unsuspend" => people::unsuspend;
    get "/iam/v1/people/{id}" => people::one;
    get "/plans/v1/plans" => plans::list;
    post "/plans/v1/plans" => plans::create;
    get "/plans/v1/plans/count" => plans::count;
    post "/plans/v1/plans/package" => plans::import;
    get "/plans/v1/plans/{id}" => plans::one;
    patch "/plans/v1/plans/{id}" => plans::update;
    delete "/plans/v1/plans/{id}" => plans::delete;
    get "/plans/v1/plans/{id}/full" => plans::full;
    get "/plans/v1/plans/{id}/package" => plans::export;
    post "/plans/v1/plans/{id}/run" => plans::run;
    get "/plans/v1/plans/{id}/runParameters" => plans::run_parameters;
    get "/plans/v1/planSnapshotRuns" => runs::plan_runs;
    get "/plans/v1/planSnapshotRuns/{id}" => runs::plan_run;
    get "/v4/people/current" => people::current;
    post "/v4/jobGroups" => runs::run_job;
    get "/v4/jobGroups/{id}" => runs::job;
    get "/v4/jobGroups/{id}/jobs" => runs::jobs_of_group;
    get "/v4/jobGroups/{id}/outputs" => runs::outputs;
    get "/v4/jobGroups/{id}/status" => runs::job_status;
    get "/v4/jobLibrary" => runs::jobs;
    get "/v4/oAuth2ApiTokens/{sid}" => token_records::one;
    any "/sandbox/echo" => echo::echo;
    any "/sandbox/echo/{*rest}" => echo::echo;
}

/// All paths of the API.
pub(crate) fn router(workspace: Workspace) -> Router {
    paths()
        .fallback(not_found)
        // The platform treats a method that a path does not have like a path that does not exist.
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(workspace))
}

/// Handles a path or method that does not exist. The log shows what does, and whether the platform has it.
async fn not_found(method: Method, uri: Uri, path: Option<MatchedPath>) -> Response<Body> {
    let note = match (aac_endpoints::find(method.as_str(), uri.path()), &path) {
        (Some(endpoint), _) => {
            format!("the platform has this ({}), the sandbox does not", endpoint.sure)
        }
        (None, Some(path)) => {
            let methods = PATHS.iter().filter(|(_, known)| *known == path.as_str());
            let methods: Vec<_> = methods.map(|(method, _)| method.to_uppercase()).collect();
            format!("this path accepts {}", methods.join(", "))
        }
        (None, None) => {
            let mut paths = vec![tokens::ENDPOINT];
            paths.extend(PATHS.iter().map(|(_, path)| path));
            paths.dedup();
            format!("the platform is not known to have this; the sandbox has {}", paths.join(", "))
        }
    };
    Note::on(no_route(&method, &uri), note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_endpoints_has_each_path() {
        for (method, path) in PATHS.iter().filter(|(_, path)| !path.starts_with("/sandbox/")) {
            assert!(aac_endpoints::find(&method.to_uppercase(), path).is_some(), "{method} {path}");
        }
    }
}
