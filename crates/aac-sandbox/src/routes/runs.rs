//! `/v4/jobGroups`, `/v4/jobLibrary` and `/plans/v1/planSnapshotRuns`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::errors::{Rejection, Reply, invalid, not_found, not_modified, ok};
use super::extract::{Id, Object, Query, execution_id};
use super::list;
use crate::clock::Timestamp;
use crate::http::responses;
use crate::tokens::random;
use crate::workspace::Workspace;
use crate::workspace::runs::{Fate, Run, Runs};

/// `POST /v4/jobGroups`: runs the recipe that produces a dataset.
pub(super) async fn run_job(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Extension(fate): Extension<Fate>,
    headers: HeaderMap,
    Object(job): Object,
) -> Reply {
    let dataset = job.get("wrangledDataset").and_then(|dataset| dataset["id"].as_u64());
    let dataset = dataset.ok_or_else(|| invalid("wrangledDataset.id is required"))?;
    if let Some(parameters) = job.get("runParameters") {
        let data = parameters["overrides"]["data"].as_array();
        let is_pair = |pair: &Value| pair["key"].is_string() && pair["value"].is_string();
        if !data.is_some_and(|data| data.iter().all(is_pair)) {
            return Err(invalid("runParameters.overrides.data must have a key and a value each"));
        }
    }
    let job = workspace.jobs.submit(dataset, execution_id(&headers), fate, now);
    let job = job.ok_or_else(not_modified)?;
    // A job group has one job that transforms and one that publishes.
    let (first, second) = (2 * job.id + 1, 2 * job.id + 2);
    let body = json!({
        "sessionId": random::uuid(),
        "reason": "JobStarted",
        "jobGraph": {
            "vertices": [first, second],
            "edges": [{ "source": first, "target": second }],
        },
        "id": job.id(),
        "jobs": { "data": [{ "id": first }, { "id": second }] },
    });
    Ok(responses::json(201, &body))
}

/// `GET /v4/jobGroups/{id}`: a job group.
pub(super) async fn job(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Reply {
    ok(&group(&workspace, id, now)?.job_group(now))
}

/// `GET /v4/jobGroups/{id}/status`: its status, as a bare JSON string.
pub(super) async fn job_status(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Reply {
    ok(&json!(group(&workspace, id, now)?.status(now)))
}

/// `GET /v4/jobGroups/{id}/jobs`: the jobs of a job group, with the error of each.
pub(super) async fn jobs_of_group(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Reply {
    ok(&json!({ "data": group(&workspace, id, now)?.jobs(now) }))
}

/// `GET /v4/jobGroups/{id}/outputs`: what it has written.
pub(super) async fn outputs(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Reply {
    ok(&group(&workspace, id, now)?.outputs(now))
}

/// `GET /plans/v1/planSnapshotRuns/{id}`: a run of a plan.
pub(super) async fn plan_run(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Reply {
    ok(&read(&workspace.plan_runs, id, now)?.plan_run(now))
}

/// `GET /v4/jobLibrary`: a page of the jobs.
pub(super) async fn jobs(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    query: Query,
) -> Reply {
    let rows = workspace.jobs.seen(now).iter().map(|run| run.job_group(now)).collect();
    list::page(&query, workspace.max_page, of_status(&query, rows))
}

/// `GET /plans/v1/planSnapshotRuns`: a page of the runs of plans.
pub(super) async fn plan_runs(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    query: Query,
) -> Reply {
    let rows = workspace.plan_runs.seen(now).iter().map(|run| run.plan_run(now)).collect();
    list::page(&query, workspace.max_page, of_status(&query, rows))
}

/// The rows of the status that the query names.
fn of_status(query: &Query, mut rows: Vec<Value>) -> Vec<Value> {
    rows.retain(|row| query.text("status").is_none_or(|status| row["status"] == status));
    rows
}

/// A job group that was started by itself, or by a run of a plan.
fn group(workspace: &Workspace, id: u64, now: Timestamp) -> Result<Run, Rejection> {
    let of_plan = || workspace.plan_runs.seen(now).iter().map(Run::group).find(|run| run.id == id);
    workspace.jobs.get(id, now).or_else(of_plan).ok_or_else(|| not_found("Run"))
}

fn read(runs: &Runs, id: u64, now: Timestamp) -> Result<Run, Rejection> {
    runs.get(id, now).ok_or_else(|| not_found("Run"))
}
