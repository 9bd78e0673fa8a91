//! The API behind the gateway. There is a module for each family of paths, and a line in `PATHS`
//! for each path.

mod echo;
mod errors;
mod list;
mod people;
mod plans;
mod request;
mod runs;
mod token_records;

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::faults::FaultKind;
use crate::http::{Note, Response};
use crate::state::Shared;
use crate::tokens;
use crate::workspace::Workspace;
use errors::{Reply, no_route};
use request::Request;

type Handler = fn(&Request<'_>) -> Reply;

/// All paths of the API: method, path and handler. Of two that match a request, the first is meant.
const PATHS: &[(&str, &str, Handler)] = &[
    ("GET", "/iam/v1/workspaces/current", people::workspace),
    ("GET", "/iam/v1/workspaces/{id}/people", people::list),
    ("GET", "/iam/v1/workspaces/{id}/admins", people::admins),
    ("POST", "/iam/v1/workspaces/{id}/people/batch", people::invite),
    ("POST", "/iam/v1/workspaces/{id}/people/suspend", people::suspend),
    ("POST", "/iam/v1/workspaces/{id}/people/unsuspend", people::unsuspend),
    ("GET", "/iam/v1/people/{id}", people::one),
    ("GET", "/plans/v1/plans", plans::list),
    ("POST", "/plans/v1/plans", plans::create),
    ("GET", "/plans/v1/plans/count", plans::count),
    ("POST", "/plans/v1/plans/package", plans::import),
    ("GET", "/plans/v1/plans/{id}", plans::one),
    ("PATCH", "/plans/v1/plans/{id}", plans::update),
    ("DELETE", "/plans/v1/plans/{id}", plans::delete),
    ("GET", "/plans/v1/plans/{id}/full", plans::full),
    ("GET", "/plans/v1/plans/{id}/package", plans::export),
    ("POST", "/plans/v1/plans/{id}/run", plans::run),
    ("GET", "/plans/v1/plans/{id}/runParameters", plans::run_parameters),
    ("GET", "/plans/v1/planSnapshotRuns", runs::plan_runs),
    ("GET", "/plans/v1/planSnapshotRuns/{id}", runs::plan_run),
    ("GET", "/v4/people/current", people::current),
    ("POST", "/v4/jobGroups", runs::run_job),
    ("GET", "/v4/jobGroups/{id}", runs::job),
    ("GET", "/v4/jobGroups/{id}/jobs", runs::jobs_of_group),
    ("GET", "/v4/jobGroups/{id}/outputs", runs::outputs),
    ("GET", "/v4/jobGroups/{id}/status", runs::job_status),
    ("GET", "/v4/jobLibrary", runs::jobs),
    ("GET", "/v4/oAuth2ApiTokens/{sid}", token_records::one),
    ("ANY", "/sandbox/echo", echo::echo),
    ("ANY", "/sandbox/echo/{*rest}", echo::echo),
];

/// Handles a request that has passed the gateway.
pub(crate) fn serve(
    shared: &Shared,
    workspace: &Workspace,
    head: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response {
    let path = head.uri.path();
    // A HEAD is a GET, of whose response hyper leaves out the body.
    let method = if head.method == "HEAD" { "GET" } else { head.method.as_str() };
    let mut patterns = PATHS.iter().map(|(_, pattern, _)| *pattern);
    let known = patterns.find(|pattern| aac_endpoints::is_path(pattern, path)).unwrap_or_default();
    let route = PATHS.iter().find(|(accepted, pattern, _)| {
        *pattern == known && (*accepted == method || *accepted == "ANY")
    });
    let Some((_, pattern, handler)) = route else {
        return not_found(head, known);
    };
    // Up to there, the path is the pattern.
    let in_path = pattern.find('{').and_then(|start| path[start..].split('/').next());
    let in_path = percent_decode_str(in_path.unwrap_or_default()).decode_utf8_lossy();
    let now = shared.state().now();
    let request = Request { shared, workspace, head, body, fault, now, in_path: &in_path };
    handler(&request).unwrap_or_else(|rejection| *rejection)
}

/// Handles a path or method that does not exist. The platform treats a method that a path does not have like a
/// path that does not exist. The log shows what does, and whether the platform has it.
fn not_found(head: &Parts, known: &str) -> Response {
    let note = match aac_endpoints::find(head.method.as_str(), head.uri.path()) {
        Some(endpoint) => {
            format!("the platform has this ({}), the sandbox does not", endpoint.sure)
        }
        None if known.is_empty() => {
            let mut paths = vec![tokens::ENDPOINT];
            paths.extend(PATHS.iter().map(|(_, path, _)| path));
            paths.dedup();
            format!("the platform is not known to have this; the sandbox has {}", paths.join(", "))
        }
        None => {
            let methods = PATHS.iter().filter(|(_, path, _)| *path == known);
            let methods: Vec<_> = methods.map(|(method, ..)| *method).collect();
            format!("this path accepts {}", methods.join(", "))
        }
    };
    Note::on(no_route(head), note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_endpoints_has_each_path() {
        for (method, path, _) in PATHS.iter().filter(|(_, path, _)| !path.starts_with("/sandbox/"))
        {
            assert!(aac_endpoints::find(method, path).is_some(), "{method} {path}");
        }
    }
}
