//! What runs for a while: `/v4/jobGroups` and `/plans/v1/planSnapshotRuns`

use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::Tenant;
use super::input::{Number, Object, Refusal, invalid};
use crate::clock::Moment;
use crate::envelope::{self, exception};
use crate::random;

/// Runs of one sort. Each goes on when someone looks at it, not as time passes: a test is not to
/// wait for it.
#[derive(Debug)]
pub(super) struct Runs {
    /// The id of the first one.
    first: u64,
    /// How often one is found in progress.
    polls: usize,
    runs: Mutex<Vec<Run>>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// What is run.
    of: u64,
    /// How often someone has looked.
    reads: usize,
    submitted: Moment,
    started: Option<Moment>,
    finished: Option<Moment>,
}

impl Run {
    fn status(&self) -> &'static str {
        match (self.started, self.finished) {
            (None, _) => "Created",
            (_, None) => "InProgress",
            _ => "Complete",
        }
    }

    /// When it changed last.
    fn updated(&self) -> Moment {
        self.finished.or(self.started).unwrap_or(self.submitted)
    }
}

impl Runs {
    pub(super) fn new(first: u64, polls: usize) -> Self {
        Self { first, polls, runs: Mutex::default() }
    }

    /// Begins a run; its id.
    pub(super) fn submit(&self, of: u64, now: Moment) -> u64 {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push(Run { of, reads: 0, submitted: now, started: None, finished: None });
        self.first + runs.len() as u64 - 1
    }

    /// Looks at a run.
    fn read(&self, id: u64, now: Moment) -> Result<Run, Refusal> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let index = id.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let run = index.and_then(|index| runs.get_mut(index)).ok_or_else(|| {
            exception(StatusCode::NOT_FOUND, "NotFoundException", "Run not found", None)
        })?;
        if run.reads > 0 {
            run.started.get_or_insert(now);
        }
        if run.reads > self.polls {
            run.finished.get_or_insert(now);
        }
        run.reads += 1;
        Ok(*run)
    }
}

/// `POST /v4/jobGroups`: runs the recipe that makes a dataset.
pub(super) async fn run_job(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Object(job): Object,
) -> Result<Response<Body>, Refusal> {
    let dataset = job.get("wrangledDataset").and_then(|dataset| dataset["id"].as_u64());
    let dataset = dataset.ok_or_else(|| invalid("wrangledDataset.id is required"))?;
    let id = tenant.jobs.submit(dataset, now);
    // A job group has a job that transforms and one that publishes.
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
    Ok(envelope::json(StatusCode::CREATED, &body))
}

/// `GET /v4/jobGroups/{id}`: a job group.
pub(super) async fn job(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Number(id): Number,
) -> Result<Response<Body>, Refusal> {
    let run = tenant.jobs.read(id, now)?;
    let job = json!({
        "id": id,
        "status": run.status(),
        "ranfrom": "api",
        "createdAt": run.submitted.to_string(),
        "updatedAt": run.updated().to_string(),
        "wrangledDataset": { "id": run.of },
    });
    Ok(envelope::json(StatusCode::OK, &job))
}

/// `GET /v4/jobGroups/{id}/status`: its status, which is a JSON string and nothing else.
pub(super) async fn job_status(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Number(id): Number,
) -> Result<Response<Body>, Refusal> {
    let run = tenant.jobs.read(id, now)?;
    Ok(envelope::json(StatusCode::OK, &json!(run.status())))
}

/// `GET /plans/v1/planSnapshotRuns/{id}`: a run of a plan.
pub(super) async fn plan_run(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Number(id): Number,
) -> Result<Response<Body>, Refusal> {
    let run = tenant.plan_runs.read(id, now)?;
    let view = json!({
        "id": id,
        "status": run.status(),
        "ranfrom": "api",
        "submittedAt": run.submitted.to_string(),
        "startedAt": run.started.map(|moment| moment.to_string()),
        "finishedAt": run.finished.map(|moment| moment.to_string()),
        "createdAt": run.submitted.to_string(),
        "updatedAt": run.updated().to_string(),
        "plan": { "id": run.of },
    });
    Ok(envelope::json(StatusCode::OK, &view))
}
