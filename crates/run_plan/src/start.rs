//! Starts a run: once.

use crate::execution::ExecutionId;
use crate::watch::Run;
use crate::{FAILED, Kind, UNKNOWN, id_of, is_missing, say, say_missing};
use aac_auth::output::one_line;
use aac_auth::{
    Client, Error, ErrorKind, HttpError, Method, Response, StatusCode, Timestamp, json,
};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What came of a start.
pub(crate) enum Started {
    Run(Run),
    /// There is no run to watch; the exit code says why.
    Not(u8),
}

/// A start of a plan or a recipe.
struct Start<'a> {
    client: &'a Client,
    kind: Kind,
    id: u64,
    execution: ExecutionId,
    /// Who starts it, if that is known.
    person: Option<u64>,
}

/// Starts a run. If the response is lost, it may have started or not: another start with the same ID
/// (`again`) looks for it first.
pub(crate) fn start(
    client: &Client,
    kind: Kind,
    id: u64,
    again: Option<ExecutionId>,
) -> Result<Started, Error> {
    let start = |execution, person| Start { client, kind, id, execution, person };
    let (now, person) = match (user(client), again) {
        (Ok(user), _) => user,
        (Err(error), None) => return Err(error),
        (Err(error), Some(id)) => return Ok(start(id, None).not_listed(&error)),
    };
    let Some(id) = again else {
        return start(ExecutionId::of(now), person).send();
    };
    const MINUTE: u64 = 60_000;
    if id.millis() > now + MINUTE {
        let what = "--execution-id: no start has had this ID yet, for its time is still to come";
        return Err(Error::usage(what));
    }
    let start = start(id, person);
    let is_young = id.millis() + MINUTE > now;
    start.find(is_young).map_or_else(|| start.send(), Ok)
}

impl Start<'_> {
    fn send(&self) -> Result<Started, Error> {
        let Self { client, kind, id, execution, .. } = *self;
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
        let noun = kind.noun();
        // Before it is sent: whatever happens then, the ID is known.
        say(format_args!("starting {noun} {id}, execution ID {execution}"));
        let request = request.header("x-execution-id", &execution.to_string());
        match request.send().and_then(Response::json) {
            Ok(answer) => match (id_of(&answer[field]), answer["validationStatus"].as_str()) {
                (Some(id), _) => Ok(Started::Run(Run { kind, id, is_new: true })),
                (None, Some(status)) if status != "Valid" => {
                    say(format_args!("{noun} {id} was not started: {}", one_line(status)));
                    Ok(Started::Not(FAILED))
                }
                _ => {
                    say("the response to the start names no run");
                    Ok(self.unknown())
                }
            },
            Err(error) if has_status(&error, StatusCode::NOT_MODIFIED) => {
                say("the platform has a run with this execution ID already");
                Ok(self.find(true).unwrap_or_else(|| {
                    say("it is not in the list of your runs");
                    self.unknown()
                }))
            }
            Err(error) if error.may_have_taken_effect() => {
                say(&error);
                Ok(self.unknown())
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

    /// Looks for the run of an earlier start with this ID; `None` if there is none. It may be slow to appear.
    fn find(&self, may_be_late: bool) -> Option<Started> {
        let pauses = if may_be_late { &[1, 2][..] } else { &[] };
        let mut pauses = pauses.iter().map(|seconds| Duration::from_secs(*seconds));
        loop {
            let runs = match self.list() {
                Ok(runs) => runs,
                Err(error) => return Some(self.not_listed(&error)),
            };
            let kind = self.kind;
            let run = |id| Run { kind, id, is_new: true };
            match runs.first_key_value() {
                None => thread::sleep(pauses.next()?),
                Some((&id, _)) if runs.len() == 1 => {
                    say(format_args!(
                        "{} has begun since then: it is taken for the one of this ID",
                        run(id)
                    ));
                    return Some(Started::Run(run(id)));
                }
                Some(_) => {
                    say(
                        "several of your runs have begun since then. Which one is of this ID is unknown:",
                    );
                    for (id, about) in runs {
                        say(format_args!("  {id}  {about}  {}", run(id).resume()));
                    }
                    return Some(Started::Not(UNKNOWN));
                }
            }
        }
    }

    /// The runs of this plan that the user has started since the ID was made. One that does not say whose it
    /// is, or of when, counts: another start can do more harm than a look at it.
    fn list(&self) -> Result<BTreeMap<u64, String>, Error> {
        let (path, query) = match self.kind {
            // The rows do not say who has started them.
            Kind::Plan => {
                ("/plans/v1/planSnapshotRuns", "?sort=-id&ownershipFilter=all&runBy=currentUser")
            }
            Kind::Recipe => ("/v4/jobLibrary", "?sort=-id"),
        };
        match self.pick(&format!("{path}{query}")) {
            // It does not take one of the parameters: then the list is longer.
            Err(error) if has_status(&error, StatusCode::BAD_REQUEST) => self.pick(path),
            runs => runs,
        }
    }

    fn pick(&self, path: &str) -> Result<BTreeMap<u64, String>, Error> {
        let subject = if self.kind == Kind::Plan { "plan" } else { "wrangledDataset" };
        let mut runs = BTreeMap::new();
        let (mut before, mut older) = (0, 0);
        for row in self.client.rows(path).named("runs") {
            let row = row?;
            let id = id_of(&row["id"]).ok_or_else(|| Error::response("a run has no number"))?;
            let text = |field: &str| row[field].as_str().unwrap_or("-");
            let is_older = millis(text("createdAt")).is_some_and(|at| at < self.execution.millis());
            older = if is_older { older + 1 } else { 0 };
            // The newest come first, if the order is as asked for: all that follow are older still.
            if older > 100 && id < before {
                break;
            }
            before = id;
            let differs =
                |field: &str, id| id_of(&row[field]["id"]).is_some_and(|of| Some(of) != id);
            let is_others = self.person.is_some() && differs("creator", self.person);
            if !is_older && !is_others && !differs(subject, Some(self.id)) {
                runs.insert(id, one_line(&format!("{}  {}", text("createdAt"), text("status"))));
            }
        }
        Ok(runs)
    }

    fn not_listed(&self, error: &Error) -> Started {
        error.report();
        say("the runs cannot be listed");
        self.unknown()
    }

    /// Says how to go on.
    fn unknown(&self) -> Started {
        let Self { kind, id, execution, .. } = self;
        let option = if *kind == Kind::Plan { "" } else { "--recipe " };
        say("it is unknown whether a run has started. It is not started again");
        say(format_args!(
            "to watch it, or else to start it: run_plan {option}{id} --execution-id {execution}"
        ));
        Started::Not(UNKNOWN)
    }
}

/// The time by the server's clock, in milliseconds since 1970, and the ID of the user, if it is known. A
/// start does not depend on that response: without it, the local clock is right.
fn user(client: &Client) -> Result<(u64, Option<u64>), Error> {
    let clock = || {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or_default()
    };
    let before = clock();
    let response = client.request(Method::GET, "/v4/people/current").retry(0).send();
    let mut now = clock();
    let headers = match &response {
        Ok(response) => Some(response.headers()),
        Err(error) => error.http().map(HttpError::headers),
    };
    let date = headers.and_then(Timestamp::of_response).and_then(|date| millis(&date.to_string()));
    // It is in whole seconds. If it agrees with the local clock, that is more precise.
    if let Some(date) = date
        && !(before / 1000..=now / 1000).contains(&(date / 1000))
    {
        now = date;
    }
    match response.and_then(Response::json) {
        Ok(person) => Ok((now, id_of(&person["id"]))),
        Err(error) => match error.kind() {
            ErrorKind::Http | ErrorKind::Network | ErrorKind::Response => Ok((now, None)),
            _ => Err(error),
        },
    }
}

/// A time such as `2025-02-05T18:05:29.000Z` in milliseconds since 1970.
fn millis(time: &str) -> Option<u64> {
    let epoch = "1970-01-01T00:00:00Z".parse().ok()?;
    let seconds = u64::try_from(time.parse::<Timestamp>().ok()?.seconds_since(epoch)).ok()?;
    let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('Z'));
    Some(seconds * 1000 + format!("{fraction:0<3}").get(..3)?.parse::<u64>().ok()?)
}

fn has_status(error: &Error, status: StatusCode) -> bool {
    error.http().is_some_and(|http| http.status() == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2025-02-05T18:05:29Z", Some(1_738_778_729_000)),
            ("2025-02-05T18:05:29.5Z", Some(1_738_778_729_500)),
            ("2025-02-05T18:05:29.123456Z", Some(1_738_778_729_123)),
            ("2025-02-05T18:05:29.123+01:00", None),
            ("-", None),
        ] {
            assert_eq!(millis(time), expected, "{time}");
        }
    }
}
