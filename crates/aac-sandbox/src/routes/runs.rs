//! `/v4/jobGroups`, `/v4/jobLibrary` and `/plans/v1/planSnapshotRuns`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::errors::{Rejection, invalid, not_found};
use super::extract::{Id, Object};
use super::list::{self, Window};
use super::query::Query;
use crate::clock::Timestamp;
use crate::http::responses;
use crate::random;
use crate::workspace::Workspace;
use crate::workspace::runs::{Fate, Runs, Snapshot};

/// `POST /v4/jobGroups`: runs the recipe that produces a dataset.
pub(super) async fn run_job(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Extension(fate): Extension<Fate>,
    Object(job): Object,
) -> Result<Response<Body>, Rejection> {
    let dataset = job.get("wrangledDataset").and_then(|dataset| dataset["id"].as_u64());
    let dataset = dataset.ok_or_else(|| invalid("wrangledDataset.id is required"))?;
    let id = workspace.jobs.submit(dataset, fate, now);
    // A job group has one job that transforms and one that publishes.
    let (first, second) = (2 * id + 1, 2 * id + 2);
    let body = json!({
        "sessionId": random::uuid(),
        "reason": "JobStarted",
        "jobGraph": {
            "vertices": [first, second],
            "edges": [{ "source": first, "target": second }],
        },
        "id": id,
        "jobs": { "data": [{ "id": first }, { "id": second }] },
    });
    Ok(responses::json(StatusCode::CREATED, &body))
}

/// `GET /v4/jobGroups/{id}`: a job group.
pub(super) async fn job(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Result<Response<Body>, Rejection> {
    let run = read(&workspace.jobs, id, now)?;
    Ok(responses::json(StatusCode::OK, &run.job_group()))
}

/// `GET /v4/jobGroups/{id}/status`: its status, as a bare JSON string.
pub(super) async fn job_status(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Result<Response<Body>, Rejection> {
    let run = read(&workspace.jobs, id, now)?;
    Ok(responses::json(StatusCode::OK, &json!(run.status())))
}

/// `GET /plans/v1/planSnapshotRuns/{id}`: a run of a plan.
pub(super) async fn plan_run(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Id(id): Id,
) -> Result<Response<Body>, Rejection> {
    let run = read(&workspace.plan_runs, id, now)?;
    Ok(responses::json(StatusCode::OK, &run.plan_run()))
}

/// `GET /v4/jobLibrary`: a page of the jobs.
pub(super) async fn jobs(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    page(&query, &workspace, workspace.jobs.seen(now).iter().map(Snapshot::job_group))
}

/// `GET /plans/v1/planSnapshotRuns`: a page of the runs of plans.
pub(super) async fn plan_runs(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    page(&query, &workspace, workspace.plan_runs.seen(now).iter().map(Snapshot::plan_run))
}

fn page(
    query: &Query,
    workspace: &Workspace,
    rows: impl Iterator<Item = Value>,
) -> Result<Response<Body>, Rejection> {
    let rows: Vec<Value> = rows.collect();
    let window = Window::of(query, workspace.max_page)?;
    let selected = list::select(query, rows.len(), "status", "", |index| rows[index].clone())?;
    let page = window.page(&selected, Some(selected.len()), |index| rows[index].clone());
    Ok(responses::json(StatusCode::OK, &page))
}

fn read(runs: &Runs, id: u64, now: Timestamp) -> Result<Snapshot, Rejection> {
    runs.get(id, now).ok_or_else(|| not_found("Run"))
}
