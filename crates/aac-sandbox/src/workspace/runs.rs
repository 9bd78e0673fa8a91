//! Runs of plans and jobs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::people;
use crate::clock::Timestamp;
use crate::faults::FaultKind;

/// Runs of one kind. They take their time by the server's clock, which tests can set.
#[derive(Debug)]
pub(crate) struct Runs {
    /// How long a run takes. It waits for a quarter of that before it starts.
    duration: Duration,
    runs: Mutex<Vec<Run>>,
}

/// What becomes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// Its status while it is in progress.
    middle: String,
    /// Its last status.
    end: &'static str,
    /// How long it cannot be seen.
    hidden: Duration,
    /// When it is deleted, if it is.
    deleted: Option<Duration>,
    /// Whether its ID is shown as a string.
    has_string_id: bool,
}

impl Fate {
    /// All goes well unless there is a fault of runs.
    pub(crate) fn of(fault: Option<&FaultKind>) -> Self {
        let end = match fault {
            Some(FaultKind::RunFails) => "Failed",
            Some(FaultKind::RunCanceled) => "Canceled",
            _ => "Complete",
        };
        let middle = match fault {
            Some(FaultKind::Status(status)) => status,
            _ => "InProgress",
        };
        let hidden = match fault {
            Some(FaultKind::Hidden(seconds)) => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        let deleted = match fault {
            Some(FaultKind::Deleted(seconds)) => Some(Duration::from_secs(*seconds)),
            _ => None,
        };
        let has_string_id = matches!(fault, Some(FaultKind::StringId));
        Self { middle: middle.to_owned(), end, hidden, deleted, has_string_id }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: u64,
    /// The `x-execution-id` of its start.
    execution: Option<String>,
    /// The ID of what is run.
    pub(crate) subject: u64,
    /// What has started it.
    origin: &'static str,
    submitted: Timestamp,
    started: Timestamp,
    finished: Timestamp,
    fate: Fate,
}

impl Run {
    /// A run that ended before the sandbox was started. It took a minute.
    fn past(
        id: u64,
        subject: u64,
        origin: &'static str,
        end: &'static str,
        submitted: i64,
    ) -> Self {
        let submitted = Timestamp::of_seconds(submitted);
        let (started, finished) = (submitted.plus_seconds(2), submitted.plus_seconds(62));
        let fate = Fate { end, ..Fate::of(None) };
        Self { id, execution: None, subject, origin, submitted, started, finished, fate }
    }

    /// Its ID, as the platform shows it.
    pub(crate) fn id(&self) -> Value {
        if self.fate.has_string_id { json!(self.id.to_string()) } else { json!(self.id) }
    }

    /// The status at a moment.
    pub(crate) fn status(&self, now: Timestamp) -> &str {
        match (self.started(now), self.finished(now)) {
            (None, _) => "Created",
            (_, None) => &self.fate.middle,
            _ => self.fate.end,
        }
    }

    /// The run as a job group.
    pub(crate) fn job_group(&self, now: Timestamp) -> Value {
        json!({
            "id": self.id(),
            "status": self.status(now),
            "ranfrom": self.origin,
            "creator": { "id": people::id(0) },
            "createdAt": self.submitted.to_string(),
            "updatedAt": self.updated(now).to_string(),
            "wrangledDataset": { "id": self.subject },
        })
    }

    /// The run as a run of a plan.
    pub(crate) fn plan_run(&self, now: Timestamp) -> Value {
        json!({
            "id": self.id(),
            "status": self.status(now),
            "ranfrom": self.origin,
            "submittedAt": self.submitted.to_string(),
            "startedAt": self.started(now).map(|time| time.to_string()),
            "finishedAt": self.finished(now).map(|time| time.to_string()),
            "createdAt": self.submitted.to_string(),
            "updatedAt": self.updated(now).to_string(),
            "plan": { "id": self.subject },
        })
    }

    /// The job group of a run of a plan: its one node is a flow with one output.
    pub(crate) fn group(&self) -> Self {
        Self { id: self.id + 10_000, ..self.clone() }
    }

    /// The run as what became of a node of its plan.
    pub(crate) fn node_run(&self, now: Timestamp) -> Value {
        json!({
            "status": self.status(now),
            "planSnapshotRun": { "id": self.id() },
            "planFlowTaskRunResults": { "data": [{ "jobGroup": { "id": self.group().id } }] },
        })
    }

    /// The jobs of the job group: one that transforms, and one that publishes.
    pub(crate) fn jobs(&self, now: Timestamp) -> [Value; 2] {
        let status = self.status(now);
        let has_failed = status == "Failed";
        let error = has_failed.then_some("The column \"amount\" is missing in orders.csv");
        let job = |number: u64, kind: &str, status: &str, error: Option<&str>| {
            json!({
                "id": 2 * self.id + number,
                "status": status,
                "jobType": kind,
                "sampleSize": 100,
                "percentComplete": if status == "Complete" { 100 } else { 0 },
                "lastHeartbeatAt": self.updated(now).to_string(),
                "createdAt": self.submitted.to_string(),
                "updatedAt": self.updated(now).to_string(),
                "creator": { "id": people::id(0) },
                "jobGroup": { "id": self.id() },
                "errorMessage": error,
            })
        };
        let next = if has_failed { "Canceled" } else { status };
        [job(1, "wrangle", status, error), job(2, "filewriter", next, None)]
    }

    /// What the job group has written: nothing before it is complete.
    pub(crate) fn outputs(&self, now: Timestamp) -> Value {
        let file = json!({
            "uri": format!("s3://sandbox/jobs/{}/orders.csv", self.id),
            "fileType": "FILE",
            "isPrimaryOutput": true,
        });
        let table = json!({
            "vendor": "snowflake",
            "relationalPath": ["SALES", "PUBLIC"],
            "table": "ORDERS",
            "action": "create",
        });
        let is_there = usize::from(self.status(now) == "Complete");
        json!({ "files": &[file][..is_there], "tables": &[table][..is_there] })
    }

    fn started(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.started).filter(|time| *time <= now)
    }

    fn finished(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.finished).filter(|time| *time <= now)
    }

    /// When it last changed.
    fn updated(&self, now: Timestamp) -> Timestamp {
        self.finished(now).or(self.started(now)).unwrap_or(self.submitted)
    }
}

impl Runs {
    /// Runs of plans. The monthly report failed once, and someone ran it again.
    pub(crate) fn of_plans(duration: Duration) -> Self {
        Self::new(
            duration,
            vec![
                Run::past(698, 7, "schedule", "Complete", 1_738_389_600),
                Run::past(699, 7, "schedule", "Failed", 1_740_808_800),
                Run::past(700, 7, "ui", "Complete", 1_740_816_000),
            ],
        )
    }

    /// Jobs of recipes.
    pub(crate) fn of_jobs(duration: Duration) -> Self {
        Self::new(duration, vec![Run::past(8, 7, "schedule", "Complete", 1_740_808_860)])
    }

    fn new(duration: Duration, past: Vec<Run>) -> Self {
        Self { duration, runs: Mutex::new(past) }
    }

    /// Starts a run, unless there is one with this execution ID.
    pub(crate) fn submit(
        &self,
        subject: u64,
        execution: Option<&str>,
        fate: Fate,
        now: Timestamp,
    ) -> Option<Run> {
        let mut runs = self.runs();
        let execution = execution.map(str::to_owned);
        if execution.is_some() && runs.iter().any(|run| run.execution == execution) {
            return None;
        }
        let id = runs.last().map_or(0, |run| run.id) + 1;
        let (started, finished) = (now.plus(self.duration / 4), now.plus(self.duration));
        let origin = "api";
        let run = Run { id, execution, subject, origin, submitted: now, started, finished, fate };
        runs.push(run.clone());
        Some(run)
    }

    /// The runs that can be seen, oldest first.
    pub(crate) fn seen(&self, now: Timestamp) -> Vec<Run> {
        let is_seen = |run: &&Run| {
            let is_deleted = run.fate.deleted.is_some_and(|after| run.submitted.plus(after) <= now);
            run.submitted.plus(run.fate.hidden) <= now && !is_deleted
        };
        self.runs().iter().filter(is_seen).cloned().collect()
    }

    /// A run, if it can be seen.
    pub(crate) fn get(&self, id: u64, now: Timestamp) -> Option<Run> {
        self.seen(now).into_iter().find(|run| run.id == id)
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
