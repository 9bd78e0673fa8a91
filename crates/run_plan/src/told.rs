//! What the platform tells of a run that has ended: what it has written, or where it failed, and why.

use crate::watch::{End, Run};
use crate::{Kind, say};
use aac_auth::output::one_line;
use aac_auth::{Client, Error, Method, Response, StatusCode, Value, id};

/// Tells it on standard error. The run has ended as it has, whatever comes of this.
pub(crate) fn tell(client: &Client, run: &Run, end: &End) {
    let is_complete = *end == End::Complete;
    let told = parts(client, run).and_then(|parts| {
        let mut told = 0;
        for (name, job) in parts {
            let lines = match job {
                Some(job) if is_complete => outputs(client, job)?,
                Some(job) => reasons(client, job)?,
                None if is_complete => continue,
                None => vec![" failed".to_owned()],
            };
            lines.iter().for_each(|line| say(format_args!("{name}{line}")));
            told += lines.len();
        }
        Ok(told)
    });
    match told {
        Ok(0) if !is_complete => say(format_args!("{run}: the platform does not tell why")),
        Ok(_) => {}
        Err(error) => say(format_args!("{run}: the platform does not tell more: {error}")),
    }
}

/// The job groups of a run, each with its name. Of a plan, the nodes that failed without one are there too.
fn parts(client: &Client, run: &Run) -> Result<Vec<(String, Option<u64>)>, Error> {
    if run.kind == Kind::Recipe {
        return Ok(vec![(run.to_string(), Some(run.id))]);
    }
    let mut parts = Vec::new();
    // A run is one of a snapshot of its plan. It names that, or the plan itself, which names its last one.
    let mut plan = id(&run.look(client)?["plan"]["id"]);
    for _ in 0..2 {
        let Some(number) = plan.filter(|_| parts.is_empty()) else { break };
        let path = format!("/plans/v1/plans/{number}/full");
        let full = match get(client, &format!("{path}?ensureOriginal=false")) {
            // Older releases need that for a snapshot; it is not documented.
            Err(error) if error.http().is_some_and(|it| it.status() == StatusCode::BAD_REQUEST) => {
                get(client, &path)?
            }
            full => full?,
        };
        for node in list(&full["planNodes"]) {
            let own = |task: &&Value| id(&task["planSnapshotRun"]["id"]) == Some(run.id);
            for task in list(&node["planTaskSnapshotRuns"]).filter(own) {
                let name = format!("{run}, node \"{}\"", text(&node["name"]));
                let results = list(&task["planFlowTaskRunResults"]);
                let jobs: Vec<_> = results.filter_map(|it| id(&it["jobGroup"]["id"])).collect();
                let named = |job| (format!("{name}, job {job}"), Some(job));
                parts.extend(jobs.iter().copied().map(named));
                if jobs.is_empty() && has_failed(task) {
                    parts.push((name, None));
                }
            }
        }
        plan = id(&full["latestPlanSnapshot"]["id"]);
    }
    Ok(parts)
}

/// Why a job group failed, in lines; none if it did not.
fn reasons(client: &Client, group: u64) -> Result<Vec<String>, Error> {
    let jobs = get(client, &format!("/v4/jobGroups/{group}/jobs"))?;
    let reason =
        |job: &Value| format!(": {} failed: {}", text(&job["jobType"]), text(&job["errorMessage"]));
    Ok(list(&jobs).filter(|job| has_failed(job)).map(reason).collect())
}

/// What a job group has written, in lines.
fn outputs(client: &Client, group: u64) -> Result<Vec<String>, Error> {
    let outputs = get(client, &format!("/v4/jobGroups/{group}/outputs"))?;
    let files = list(&outputs["files"]).map(|file| text(&file["uri"]));
    let tables = list(&outputs["tables"]).map(|table| {
        let path = list(&table["relationalPath"]).chain([&table["table"]]).map(text);
        format!("table {}", path.collect::<Vec<_>>().join("."))
    });
    Ok(files.chain(tables).map(|output| format!(" wrote {output}")).collect())
}

fn get(client: &Client, path: &str) -> Result<Value, Error> {
    client.request(Method::GET, path).retry(0).send().and_then(Response::json)
}

/// The items of a list, with or without its envelope.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().or_else(|| value["data"].as_array()).into_iter().flatten()
}

fn has_failed(value: &Value) -> bool {
    value["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("failed"))
}

/// What a person reads of a value: JSON, unless it is text.
fn text(value: &Value) -> String {
    one_line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
