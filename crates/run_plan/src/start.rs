//! Starts a run: once.

use crate::execution::ExecutionId;
use crate::watch::Run;
use crate::{FAILED, Kind, UNKNOWN, is_missing, say, say_missing};
use aac_auth::output::one_line;
use aac_auth::{
    Client, Error, ErrorKind, HttpError, Method, Response, StatusCode, Timestamp, Value, id, json,
};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

/// What came of a start.
pub(crate) enum Started {
    Run(Run),
    /// There is no run to watch; the exit code says why.
    Not(u8),
}

/// A parameter of a start.
#[derive(Clone)]
pub(crate) struct Parameter {
    name: String,
    value: String,
}

impl FromStr for Parameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or("a name, = and a value are needed, such as region=EMEA")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// A start of a plan or a recipe.
struct Start<'a> {
    client: &'a Client,
    kind: Kind,
    id: u64,
    parameters: &'a [Parameter],
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
    parameters: &[Parameter],
    again: Option<ExecutionId>,
) -> Result<Started, Error> {
    let start = |execution, person| Start { client, kind, id, parameters, execution, person };
    let (now, person) = match (user(client), again) {
        (Ok(user), _) => user,
        (Err(error), None) => return Err(error),
        (Err(error), Some(id)) => return Ok(start(id, None).not_listed(&error)),
    };
    let Some(id) = again else {
        return start(ExecutionId::of(now), person).send();
    };
    const MINUTE: u64 = 60;
    if id.seconds() > now + MINUTE {
        return Err(Error::usage(format!(
            "--execution-id: its time is still to come. Was it made with a wrong clock? Then look for its run: raw_call {}",
            kind.runs()
        )));
    }
    let start = start(id, person);
    let is_young = id.seconds() + MINUTE > now;
    start.find(is_young).map_or_else(|| start.send(), Ok)
}

impl Start<'_> {
    fn send(&self) -> Result<Started, Error> {
        let Self { client, kind, id, execution, .. } = *self;
        let (path, body, field) = match kind {
            Kind::Plan => {
                let path = format!("/plans/v1/plans/{id}/run");
                (path, self.overrides()?, "planSnapshotRunId")
            }
            Kind::Recipe => {
                let mut job = json!({ "wrangledDataset": { "id": id } });
                if !self.parameters.is_empty() {
                    let pair = |it: &Parameter| json!({ "key": it.name, "value": it.value });
                    let data: Vec<_> = self.parameters.iter().map(pair).collect();
                    job["runParameters"] = json!({ "overrides": { "data": data } });
                }
                ("/v4/jobGroups".to_owned(), Some(job), "id")
            }
        };
        let mut request = client.request(Method::POST, &path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let noun = kind.noun();
        // Before it is sent: whatever happens then, the ID is known.
        say(format_args!("starting {noun} {id}, execution ID {execution}"));
        let request = request.header("x-execution-id", &execution.to_string());
        match request.send().and_then(Response::json) {
            Ok(answer) => match (aac_auth::id(&answer[field]), answer["validationStatus"].as_str())
            {
                (Some(id), _) => Ok(Started::Run(Run { kind, id, of: Some(self.id) })),
                (None, Some(status)) if !["", "valid"].contains(&&*status.to_lowercase()) => {
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

    /// The parameters as a plan takes them: each for every node that has it.
    fn overrides(&self) -> Result<Option<Value>, Error> {
        if self.parameters.is_empty() {
            return Ok(None);
        }
        let list = format!("/plans/v1/plans/{}/runParameters", self.id);
        let listed = self.client.get(&list)?;
        let nodes = listed["planNodeParameters"].as_array().into_iter().flatten();
        let nodes: Vec<_> = nodes.map(|node| (&node["handle"], names(node))).collect();
        let mut overrides = Vec::new();
        for Parameter { name, value } in self.parameters {
            let mut has =
                nodes.iter().filter(|(_, names)| names.contains(name.as_str())).peekable();
            if has.peek().is_none() {
                let all: BTreeSet<_> = nodes.iter().flat_map(|(_, names)| names).copied().collect();
                let all = Vec::from_iter(all).join(", ");
                return Err(Error::usage(format!(
                    "--param: plan {} has no parameter {name:?}. It has: {}. As the platform lists them: raw_call {list}",
                    self.id,
                    if all.is_empty() { "none".to_owned() } else { one_line(&all) },
                )));
            }
            overrides.extend(has.map(
                |(handle, _)| json!({ "handle": handle, "overrideKey": name, "value": value }),
            ));
        }
        Ok(Some(json!({ "planNodeOverrides": overrides })))
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
            let run = |id| Run { kind, id, of: Some(self.id) };
            match runs.first_key_value() {
                None => thread::sleep(pauses.next()?),
                Some((&id, Found { is_sure: true, .. })) if runs.len() == 1 => {
                    say(format_args!(
                        "{} has begun since then, and is taken for the one with this ID",
                        run(id)
                    ));
                    return Some(Started::Run(run(id)));
                }
                Some(_) => {
                    say("it is unknown which of these runs, if any, has this ID:");
                    for (id, Found { about, .. }) in runs {
                        say(format_args!("  {id}  {about}  {}", run(id).resume()));
                    }
                    return Some(Started::Not(UNKNOWN));
                }
            }
        }
    }

    /// The runs of this plan that the user has started since the ID was made. One whose row does not say of
    /// which plan it is, who started it, or when, counts as well: another start can do more harm than a look.
    fn list(&self) -> Result<BTreeMap<u64, Found>, Error> {
        let path = self.kind.runs();
        let (query, is_own) = match self.kind {
            // The rows do not say who has started them.
            Kind::Plan => ("?sort=-id&ownershipFilter=all&runBy=currentUser", true),
            Kind::Recipe => ("?sort=-id", false),
        };
        match self.pick(&format!("{path}{query}"), is_own) {
            // It does not take one of the parameters: then the list is longer.
            Err(error) if has_status(&error, StatusCode::BAD_REQUEST) => self.pick(path, false),
            runs => runs,
        }
    }

    /// Picks them from this list. `is_own`: all of it should be the user's.
    fn pick(&self, path: &str, is_own: bool) -> Result<BTreeMap<u64, Found>, Error> {
        let subject = if self.kind == Kind::Plan { "plan" } else { "wrangledDataset" };
        let mut runs = BTreeMap::new();
        let (mut before, mut is_sorted, mut older) = (u64::MAX, true, 0);
        for row in self.client.rows(path).named("runs") {
            let row = row?;
            let number = id(&row["id"]).ok_or_else(|| Error::response("a run has no number"))?;
            let text = |field: &str| row[field].as_str().unwrap_or("-");
            let is = |field: &str, wanted: Option<u64>| Some(id(&row[field]["id"])? == wanted?);
            let time = text("createdAt").parse().ok();
            let is_new = time.map(|time| seconds(time) >= self.execution.seconds());
            older = if is_new == Some(false) { older + 1 } else { 0 };
            is_sorted &= number < before;
            // The newest come first, if the order is as asked for: all that follow are older still.
            if older > 100 && is_sorted {
                break;
            }
            before = number;
            let is_ours = is("creator", self.person).or(is_own.then_some(true));
            let mut signs = [is_new, is_ours, is(subject, Some(self.id))];
            if let (Kind::Plan, [Some(true) | None, Some(true) | None, Some(false)]) =
                (self.kind, signs)
            {
                signs[2] = self.is_snapshot(&row["plan"]["id"]);
            }
            if !signs.contains(&Some(false)) {
                let about = one_line(&format!("{}  {}", text("createdAt"), text("status")));
                runs.insert(number, Found { about, is_sure: !signs.contains(&None) });
            }
        }
        Ok(runs)
    }

    /// Whether that is a snapshot of the plan. In older releases, a run is one of a snapshot.
    fn is_snapshot(&self, number: &Value) -> Option<bool> {
        let plan = self.client.get(&format!("/plans/v1/plans/{}", id(number)?)).ok()?;
        Some(id(&plan["originalPlanId"]) == Some(self.id))
    }

    fn not_listed(&self, error: &Error) -> Started {
        error.report();
        say("the runs cannot be listed");
        self.unknown()
    }

    /// Says how to continue.
    fn unknown(&self) -> Started {
        let Self { kind, id, execution, .. } = self;
        let option = if *kind == Kind::Plan { "" } else { "--recipe " };
        let parameters: String = self.parameters.iter().map(option_of).collect();
        say("it is unknown whether a run has started. It is not started again");
        say(format_args!(
            "to watch it, or else to start it: run_plan {option}{id} {parameters}--execution-id {execution}"
        ));
        Started::Not(UNKNOWN)
    }
}

/// A run that may be of an earlier start.
struct Found {
    /// When it was created, and its status.
    about: String,
    /// Whether its row says that it is of this plan, of this user, and began since then.
    is_sure: bool,
}

/// The names of parameters, wherever they are in what the platform says of a node.
fn names(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Object(members) => {
            let own = members.get("overrideKey").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(names)).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The option that sets it, for a shell.
fn option_of(Parameter { name, value }: &Parameter) -> String {
    let pair = one_line(&format!("{name}={value}"));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "=_-./:,+@".contains(c);
    match pair.chars().all(is_plain) {
        true => format!("-p {pair} "),
        false => format!("-p '{}' ", pair.replace('\'', "'\\''")),
    }
}

/// The time in seconds since 1970, and the ID of the user, if it is known. A start does not depend on that
/// response.
fn user(client: &Client) -> Result<(u64, Option<u64>), Error> {
    let before = Timestamp::now();
    let response = client.request(Method::GET, "/v4/people/current").retry(0).send();
    let headers = match &response {
        Ok(response) => Some(response.headers()),
        Err(error) => error.http().map(HttpError::headers),
    };
    // The server's clock dates the runs. In whole seconds, it is not later than any run that follows.
    let now = headers.and_then(Timestamp::of_response).unwrap_or(before);
    let person = match response.and_then(Response::json) {
        Ok(person) => id(&person["id"]),
        Err(error) => match error.kind() {
            ErrorKind::Http | ErrorKind::Network | ErrorKind::Response => None,
            _ => return Err(error),
        },
    };
    Ok((seconds(now), person))
}

/// A time in seconds since 1970.
fn seconds(time: Timestamp) -> u64 {
    let epoch = "1970-01-01T00:00:00Z".parse();
    epoch.map_or(0, |epoch| u64::try_from(time.seconds_since(epoch)).unwrap_or_default())
}

fn has_status(error: &Error, status: StatusCode) -> bool {
    error.http().is_some_and(|http| http.status() == status)
}
