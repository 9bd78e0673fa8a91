//! Starts a run: once.

use crate::watch::Run;
use crate::{FAILED, Kind, UNKNOWN, is_missing, say, say_missing};
use aac_auth::output::one_line;
use aac_auth::{Client, Error, Method, Response, Value, json};
use std::thread;
use std::time::Duration;

/// What came of a start.
pub(crate) enum Started {
    Run(Run),
    /// There is no run to watch; the exit code says why.
    Not(u8),
}

/// Starts a run. A start whose outcome is unknown is not repeated, since it may have happened.
pub(crate) fn start(client: &Client, kind: Kind, id: u64) -> Result<Started, Error> {
    // Asked before: later runs than this one have begun since, should the outcome be unknown.
    let newest = list(client, kind)?.iter().filter_map(number).max().unwrap_or(0);
    let (request, field) = match kind {
        Kind::Plan => {
            let path = format!("/plans/v1/plans/{id}/run");
            (client.request(Method::POST, &path), "planSnapshotRunId")
        }
        Kind::Recipe => {
            let job = json!({ "wrangledDataset": { "id": id } });
            (client.request(Method::POST, "/v4/jobGroups").json(&job), "id")
        }
    };
    match request.send().and_then(Response::json) {
        Ok(answer) => match (answer[field].as_u64(), answer["validationStatus"].as_str()) {
            (Some(id), _) => Ok(Started::Run(Run { kind, id, is_new: true })),
            (None, Some(status)) if status != "Valid" => {
                say(format_args!("plan {id} was not started: {}", one_line(status)));
                Ok(Started::Not(FAILED))
            }
            _ => {
                say("the response to the start names no run");
                list_since(client, kind, newest);
                Ok(Started::Not(UNKNOWN))
            }
        },
        Err(error) if error.may_have_taken_effect() => {
            say(&error);
            list_since(client, kind, newest);
            Ok(Started::Not(UNKNOWN))
        }
        Err(error) if is_missing(&error) => {
            let (noun, path) = match kind {
                Kind::Plan => ("plan", "plans/v1/plans"),
                Kind::Recipe => ("recipe", "v4/wrangledDatasets"),
            };
            say_missing(&error, noun, path);
            Ok(Started::Not(error.exit_code()))
        }
        Err(error) => Err(error),
    }
}

/// Prints the runs that have begun since. They may be someone else's, so none is taken for this one.
fn list_since(client: &Client, kind: Kind, newest: u64) {
    say("it is unknown whether a run has started. It is not started again");
    // A run may be slow to appear.
    for pause in [1, 2, 0] {
        let runs = match list(client, kind) {
            Ok(runs) => runs,
            Err(error) => return say(format_args!("the runs cannot be listed: {error}")),
        };
        let since = |run: &&Value| number(run).is_some_and(|id| id > newest);
        let runs: Vec<_> = runs.iter().filter(since).collect();
        if !runs.is_empty() {
            say("these have begun since; they may be someone else's:");
            for run in runs {
                let Some(id) = number(run) else { continue };
                let resume = Run { kind, id, is_new: false }.resume();
                let text = |field: &str| one_line(run[field].as_str().unwrap_or("-"));
                say(format_args!("  {id}  {}  {}  {resume}", text("createdAt"), text("status")));
            }
            return;
        }
        thread::sleep(Duration::from_secs(pause));
    }
    say("none has been seen since. It may be slow to appear: look again before you start another");
}

/// The newest runs.
fn list(client: &Client, kind: Kind) -> Result<Vec<Value>, Error> {
    let path = match kind {
        Kind::Plan => "/plans/v1/planSnapshotRuns",
        Kind::Recipe => "/v4/jobLibrary",
    };
    let request = client.request(Method::GET, path).query("sort", "-id");
    request.rows().named("runs").page_size(25).limit(25).collect()
}

fn number(run: &Value) -> Option<u64> {
    run["id"].as_u64()
}
