//! `/v4/jobGroups`, `/v4/jobLibrary` and `/plans/v1/planSnapshotRuns`

use serde_json::{Value, json};

use super::errors::{Rejection, Reply, invalid, not_found, not_modified, ok};
use super::list;
use super::request::{Query, Request};
use crate::http::responses;
use crate::tokens::random;
use crate::workspace::runs::{Fate, Run};

/// `POST /v4/jobGroups`: runs the recipe that produces a dataset.
pub(super) fn run_job(request: &Request<'_>) -> Reply {
    let job = request.object()?;
    let dataset = job.get("wrangledDataset").and_then(|dataset| dataset["id"].as_u64());
    let dataset = dataset.ok_or_else(|| invalid("wrangledDataset.id is required"))?;
    if let Some(parameters) = job.get("runParameters") {
        let data = parameters["overrides"]["data"].as_array();
        let is_pair = |pair: &Value| pair["key"].is_string() && pair["value"].is_string();
        if !data.is_some_and(|data| data.iter().all(is_pair)) {
            return Err(invalid("runParameters.overrides.data must have a key and a value each"));
        }
    }
    let (fate, execution) = (Fate::of(request.fault), request.execution_id());
    let job = request.workspace.jobs.submit(dataset, execution, fate, request.now);
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
pub(super) fn job(request: &Request<'_>) -> Reply {
    ok(&group(request)?.job_group(request.now))
}

/// `GET /v4/jobGroups/{id}/status`: its status, as a bare JSON string.
pub(super) fn job_status(request: &Request<'_>) -> Reply {
    ok(&json!(group(request)?.status(request.now)))
}

/// `GET /v4/jobGroups/{id}/jobs`: the jobs of a job group, with the error of each.
pub(super) fn jobs_of_group(request: &Request<'_>) -> Reply {
    ok(&json!({ "data": group(request)?.jobs(request.now) }))
}

/// `GET /v4/jobGroups/{id}/outputs`: what it has written.
pub(super) fn outputs(request: &Request<'_>) -> Reply {
    ok(&group(request)?.outputs(request.now))
}

/// `GET /plans/v1/planSnapshotRuns/{id}`: a run of a plan.
pub(super) fn plan_run(request: &Request<'_>) -> Reply {
    let run = request.workspace.plan_runs.get(request.id()?, request.now);
    ok(&run.ok_or_else(|| not_found("Run"))?.plan_run(request.now))
}

/// `GET /v4/jobLibrary`: a page of the jobs.
pub(super) fn jobs(request: &Request<'_>) -> Reply {
    let (&Request { workspace, now, .. }, query) = (request, request.query()?);
    let rows = workspace.jobs.seen(now).iter().map(|run| run.job_group(now)).collect();
    list::page(&query, workspace.max_page, of_status(&query, rows))
}

/// `GET /plans/v1/planSnapshotRuns`: a page of the runs of plans.
pub(super) fn plan_runs(request: &Request<'_>) -> Reply {
    let (&Request { workspace, now, .. }, query) = (request, request.query()?);
    let rows = workspace.plan_runs.seen(now).iter().map(|run| run.plan_run(now)).collect();
    list::page(&query, workspace.max_page, of_status(&query, rows))
}

/// The rows of the status that the query names.
fn of_status(query: &Query, mut rows: Vec<Value>) -> Vec<Value> {
    rows.retain(|row| query.text("status").is_none_or(|status| row["status"] == status));
    rows
}

/// A job group that was started by itself, or by a run of a plan.
fn group(request: &Request<'_>) -> Result<Run, Rejection> {
    let (&Request { workspace, now, .. }, id) = (request, request.id()?);
    let of_plan = || workspace.plan_runs.seen(now).iter().map(Run::group).find(|run| run.id == id);
    workspace.jobs.get(id, now).or_else(of_plan).ok_or_else(|| not_found("Run"))
}
