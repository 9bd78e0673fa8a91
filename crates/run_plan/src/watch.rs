//! Watches a run to its end.

use crate::{Kind, is_missing, say};
use aac_auth::output::{one_line, warn};
use aac_auth::{Client, Error, ErrorKind, Method, Response, Value};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::collections::HashSet;
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
/// How long nothing is printed without a terminal. A CI system ends a job that is silent for ten minutes.
const SILENCE: Duration = Duration::from_secs(180);

/// A run of a plan, or a job of a recipe.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    /// The plan or recipe, if the run has just been started, or may have been.
    pub(crate) of: Option<u64>,
}

/// How watching a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    /// The run's last status.
    Failed(String),
    /// It is not over; what is known of it: `is still Created`.
    Running(String),
    /// It was there, and is no more; what the server says.
    Gone(String),
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.noun(), self.id)
    }
}

impl Run {
    pub(crate) fn noun(&self) -> &'static str {
        if self.kind == Kind::Plan { "run" } else { "job" }
    }

    /// The command that watches it.
    pub(crate) fn resume(&self) -> String {
        let option = if self.kind == Kind::Plan { "--resume" } else { "--resume-job" };
        format!("run_plan {option} {}", self.id)
    }

    /// Where a browser shows it, if it has just been started: a job, or the plan of a run. The addresses are
    /// those of older releases.
    pub(crate) fn page(&self, client: &Client) -> Option<String> {
        let ([_, host], of) = (client.hosts(), self.of?);
        Some(match self.kind {
            Kind::Plan => format!("{host}/plans/{of}"),
            Kind::Recipe => format!("{host}/jobs/{}", self.id),
        })
    }

    /// Asks once. Whoever watches asks again, and knows for how long.
    pub(crate) fn look(&self, client: &Client) -> Result<Value, Error> {
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
    let mut display = Display::new();
    let mut status = None;
    let mut unknown = HashSet::new();
    let mut pause = FIRST_PAUSE;
    // Both in a row.
    let (mut failures, mut suspicions) = (0, 0);
    loop {
        let mut asked = Duration::ZERO;
        let mut is_suspicious = false;
        let trouble = match run.look(client) {
            Ok(now) => match now["status"].as_str() {
                Some(text) => {
                    let phase = phase(text, &now["finishedAt"]);
                    let text = one_line(text);
                    match phase {
                        Phase::Ended(end) => return Ok(end),
                        Phase::Unknown if unknown.insert(text.clone()) => display.aside(
                            format_args!("{text:?} is not a known status; {run} counts as running"),
                        ),
                        Phase::Unknown | Phase::Running => {}
                    }
                    status = Some(text);
                    None
                }
                None => Some("the response names no status".to_owned()),
            },
            Err(error) if is_missing(&error) => match status {
                Some(_) => return Ok(End::Gone(error.to_string())),
                // It is slow to appear.
                None if run.of.is_some() && begin.elapsed() < APPEARS => None,
                None => return Err(error),
            },
            Err(error) => {
                is_suspicious = match outlook(&error) {
                    Outlook::Lasting => return Err(error),
                    Outlook::Suspicious if suspicions == 1 => return Err(error),
                    outlook => outlook == Outlook::Suspicious,
                };
                asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
                Some(error.to_string())
            }
        };
        suspicions = u32::from(is_suspicious);
        let left = max_wait.map(|wait| wait.saturating_sub(begin.elapsed()));
        let is_last = left == Some(Duration::ZERO);
        failures = if trouble.is_some() { failures + 1 } else { 0 };
        // A single failure is over at the next look. A longer interruption is told once.
        let is_news = failures == 2 || (failures == 1 && is_last);
        if let Some(trouble) = trouble.filter(|_| is_news) {
            match is_last {
                true => display.aside(format_args!("{trouble}; {run} continues")),
                false => display.aside(format_args!("{trouble}; still watching {run}")),
            }
        }
        if is_last {
            return Ok(End::Running(match (&status, failures) {
                (None, _) => "has no known status".to_owned(),
                (Some(status), 0) => format!("is still {status}"),
                (Some(status), _) => format!("was {status} when last seen"),
            }));
        }
        let seen = match &status {
            None => "unknown",
            Some(status) if failures > 1 => &format!("{status} when last seen"),
            Some(status) => status,
        };
        display.show(run, seen, begin.elapsed());
        let wait = pause.max(asked);
        thread::sleep(left.map_or(wait, |left| left.min(wait)));
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// What a status means.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Ended(End),
    /// The platform documents no such status, and the run is not finished.
    Unknown,
}

fn phase(status: &str, finished_at: &Value) -> Phase {
    let failed = |status: &str| Phase::Ended(End::Failed(one_line(status)));
    match &*status.to_lowercase() {
        "created" | "inprogress" => Phase::Running,
        "complete" => Phase::Ended(End::Complete),
        "failed" => failed("Failed"),
        "canceled" | "cancelled" => failed("Canceled"),
        _ if !finished_at.is_null() && finished_at != "" => failed(status),
        _ => Phase::Unknown,
    }
}

/// Whether a failed look says anything about the next one.
#[derive(PartialEq, Eq)]
enum Outlook {
    /// A run may take hours, and networks and servers come back meanwhile.
    Passing,
    /// Probably it lasts. It does if the next look fails so as well.
    Suspicious,
    Lasting,
}

fn outlook(error: &Error) -> Outlook {
    match (error.http().map(|http| http.status().as_u16()), error.kind()) {
        // The tokens were refreshed after a 401.
        (Some(400 | 401), _) => Outlook::Lasting,
        (Some(300..=399 | 403 | 407), _) => Outlook::Suspicious,
        (None, _) if error.needs_new_tokens() => Outlook::Lasting,
        // A certificate that is not trusted, a proxy that refuses.
        (None, ErrorKind::Network | ErrorKind::AuthServer) if !error.is_retryable() => {
            Outlook::Suspicious
        }
        _ => Outlook::Passing,
    }
}

/// Shows how the run is doing: on a terminal on one line that changes, elsewhere line by line.
struct Display {
    bar: ProgressBar,
    /// The status that was shown last, and when.
    shown: (String, Duration),
}

impl Display {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            bar.set_style(style);
        }
        // indicatif panics where no thread can be started.
        if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, shown: ("unknown".to_owned(), Duration::ZERO) }
    }

    /// The status at this time since the beginning.
    fn show(&mut self, run: &Run, status: &str, now: Duration) {
        let text = format!("{run}: {status}");
        if self.bar.is_hidden() && is_due(&self.shown, status, now) {
            say(&text);
            self.shown = (status.to_owned(), now);
        }
        self.bar.set_message(text);
    }

    /// A warning above it.
    fn aside(&self, text: fmt::Arguments<'_>) {
        self.bar.suspend(|| warn(text));
    }
}

/// Whether a line is due.
fn is_due((before, at): &(String, Duration), status: &str, now: Duration) -> bool {
    before != status || now.saturating_sub(*at) >= SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use aac_auth::json;

    #[test]
    fn each_status_is_an_end_or_not() {
        let ended = |status: &str| Phase::Ended(End::Failed(status.to_owned()));
        for (status, unfinished, finished) in [
            ("Created", Phase::Running, Phase::Running),
            ("InProgress", Phase::Running, Phase::Running),
            ("INPROGRESS", Phase::Running, Phase::Running),
            ("Complete", Phase::Ended(End::Complete), Phase::Ended(End::Complete)),
            ("complete", Phase::Ended(End::Complete), Phase::Ended(End::Complete)),
            ("FAILED", ended("Failed"), ended("Failed")),
            ("Canceled", ended("Canceled"), ended("Canceled")),
            ("cancelled", ended("Canceled"), ended("Canceled")),
            ("Paused", Phase::Unknown, ended("Paused")),
        ] {
            for at in [json!(null), json!("")] {
                assert_eq!(phase(status, &at), unfinished, "{status}");
            }
            for at in [json!("2025-02-05T18:05:29Z"), json!(1_738_778_729)] {
                assert_eq!(phase(status, &at), finished, "{status}");
            }
        }
    }

    #[test]
    fn a_line_is_due_at_a_change_and_after_a_silence() {
        let shown = ("Created".to_owned(), Duration::from_secs(10));
        for (status, seconds, expected) in [
            ("Created", 10, false),
            ("Created", 189, false),
            ("Created", 190, true),
            ("InProgress", 10, true),
        ] {
            let due = is_due(&shown, status, Duration::from_secs(seconds));
            assert_eq!(due, expected, "{status} after {seconds} s");
        }
        // With the longest pause, and a response that is as late as it may be.
        assert!(SILENCE + LONGEST_ASKED + Duration::from_secs(60) < Duration::from_secs(600));
    }
}
