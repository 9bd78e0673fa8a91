//! Runs of plans and jobs.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::clock::Timestamp;

/// Runs of one kind. A run advances when someone reads it, not as time passes, so that tests need
/// not wait.
#[derive(Debug)]
pub(crate) struct Runs {
    /// The ID of the first run.
    first: u64,
    /// How many reads find a run in progress.
    polls: usize,
    runs: Mutex<Vec<Run>>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    id: u64,
    /// The ID of what is run.
    subject: u64,
    /// How often it has been read.
    reads: usize,
    submitted: Timestamp,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

impl Run {
    pub(crate) fn status(&self) -> &'static str {
        match (self.started, self.finished) {
            (None, _) => "Created",
            (_, None) => "InProgress",
            _ => "Complete",
        }
    }

    /// The run as a job group.
    pub(crate) fn job_group(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status(),
            "ranfrom": "api",
            "createdAt": self.submitted.to_string(),
            "updatedAt": self.updated().to_string(),
            "wrangledDataset": { "id": self.subject },
        })
    }

    /// The run as a run of a plan.
    pub(crate) fn plan_run(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status(),
            "ranfrom": "api",
            "submittedAt": self.submitted.to_string(),
            "startedAt": self.started.map(|time| time.to_string()),
            "finishedAt": self.finished.map(|time| time.to_string()),
            "createdAt": self.submitted.to_string(),
            "updatedAt": self.updated().to_string(),
            "plan": { "id": self.subject },
        })
    }

    /// When it last changed.
    fn updated(&self) -> Timestamp {
        self.finished.or(self.started).unwrap_or(self.submitted)
    }
}

impl Runs {
    pub(crate) fn new(first: u64, polls: usize) -> Self {
        Self { first, polls, runs: Mutex::default() }
    }

    /// Starts a run and returns its ID.
    pub(crate) fn submit(&self, subject: u64, now: Timestamp) -> u64 {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.first + runs.len() as u64;
        runs.push(Run { id, subject, reads: 0, submitted: now, started: None, finished: None });
        id
    }

    /// Reads a run, which advances it.
    pub(crate) fn read(&self, id: u64, now: Timestamp) -> Option<Run> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let run = runs.get_mut(index)?;
        if run.reads > 0 {
            run.started.get_or_insert(now);
        }
        if run.reads > self.polls {
            run.finished.get_or_insert(now);
        }
        run.reads += 1;
        Some(*run)
    }
}
