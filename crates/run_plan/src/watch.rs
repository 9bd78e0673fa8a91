//! Watches a run to its end.

use crate::{Kind, is_missing};
use aac_auth::output::{one_line, warn};
use aac_auth::{Client, Error, ErrorKind, Method, Response, Value};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// The first pause between two looks at a run. Each one is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// How long a run that has just started may be unknown to the server.
const APPEARS: Duration = Duration::from_secs(60);

/// A run of a plan, or a job of a recipe.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    /// Whether this program has started it.
    pub(crate) is_new: bool,
}

/// How watching a run ended.
pub(crate) enum End {
    Complete,
    /// The run's last status.
    Failed(String),
    /// It is not over; its status.
    Running(String),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.kind == Kind::Plan { "run" } else { "job" };
        write!(f, "{noun} {}", self.id)
    }
}

impl Run {
    /// The command that watches it.
    pub(crate) fn resume(&self) -> String {
        let option = if self.kind == Kind::Plan { "--resume" } else { "--resume-job" };
        format!("run_plan {option} {}", self.id)
    }

    /// Asks once. Whoever watches asks again, and knows for how long.
    fn look(&self, client: &Client) -> Result<Value, Error> {
        let path = match self.kind {
            Kind::Plan => format!("/plans/v1/planSnapshotRuns/{}", self.id),
            Kind::Recipe => format!("/v4/jobGroups/{}", self.id),
        };
        client.request(Method::GET, &path).retry(0).send().and_then(Response::json)
    }
}

/// Watches a run to its end, or for `max_wait`. A token lives five minutes and a run may take hours:
/// each call makes sure that it has a valid one.
pub(crate) fn watch(client: &Client, run: &Run, max_wait: Option<Duration>) -> Result<End, Error> {
    let begin = Instant::now();
    let bar = spinner();
    let mut status = "unknown".to_owned();
    let mut pause = FIRST_PAUSE;
    // In a row.
    let mut failures = 0;
    loop {
        let mut asked = Duration::ZERO;
        let trouble = match run.look(client) {
            Ok(now) => match now["status"].as_str() {
                Some("Complete") => return Ok(End::Complete),
                Some(last)
                    if matches!(last, "Failed" | "Canceled") || !now["finishedAt"].is_null() =>
                {
                    return Ok(End::Failed(one_line(last)));
                }
                Some(now) => {
                    status = one_line(now);
                    None
                }
                None => Some("the response names no status".to_owned()),
            },
            Err(error) if run.is_new && begin.elapsed() < APPEARS && is_missing(&error) => {
                // It is slow to appear.
                None
            }
            Err(error) if error.is_retryable() || error.kind() == ErrorKind::Response => {
                asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
                Some(error.to_string())
            }
            Err(error) => return Err(error),
        };
        let left = max_wait.map(|wait| wait.saturating_sub(begin.elapsed()));
        let is_last = left == Some(Duration::ZERO);
        failures = if trouble.is_some() { failures + 1 } else { 0 };
        // A single failure is over at the next look. A longer interruption is told once.
        let is_news = failures == 2 || (failures == 1 && is_last);
        if let Some(trouble) = trouble.filter(|_| is_news) {
            let ending = if is_last { "" } else { ", and so does watching it" };
            bar.suspend(|| warn(format_args!("{trouble}; {run} goes on{ending}")));
        }
        if is_last {
            return Ok(End::Running(status));
        }
        bar.set_message(format!("{run}: {status}"));
        let wait = pause.max(asked);
        thread::sleep(left.map_or(wait, |left| left.min(wait)));
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// On a terminal, shows that something goes on.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
