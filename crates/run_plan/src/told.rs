//! What the platform tells of a run that has ended: what it has written, or where it failed, and why.

use crate::watch::{End, Run};
use crate::{Kind, say};
use aac_auth::output::one_line;
use aac_auth::{Client, Error, Method, Response, StatusCode, Value, id};

/// What became of one node of a plan; or of a recipe, which is like a plan of one node.
struct Task {
    /// Run, node and job, as far as there are any.
    name: String,
    status: String,
    /// Its job group.
    job: Option<u64>,
}

/// Tells it on standard error. A run has ended as it has, whatever comes of this.
pub(crate) fn tell(client: &Client, run: &Run, end: &End) {
    let is_complete = *end == End::Complete;
    let told = tasks(client, run).and_then(|tasks| {
        let mut lines = 0;
        for task in tasks {
            for line in if is_complete { outputs(client, &task)? } else { reasons(client, &task)? }
            {
                say(format_args!("{}{line}", task.name));
                lines += 1;
            }
        }
        Ok(lines)
    });
    match told {
        Ok(0) if !is_complete => say(format_args!("{run}: the platform does not tell why")),
        Ok(_) => {}
        Err(error) => say(format_args!("{run}: the platform does not tell more: {error}")),
    }
}

fn tasks(client: &Client, run: &Run) -> Result<Vec<Task>, Error> {
    if run.kind == Kind::Recipe {
        return Ok(vec![Task { name: run.to_string(), status: String::new(), job: Some(run.id) }]);
    }
    let mut tasks = Vec::new();
    // A run is one of a snapshot of its plan. It names that, or the plan itself, which names its last one.
    let mut plan = id(&run.look(client)?["plan"]["id"]);
    for _ in 0..2 {
        let Some(number) = plan.filter(|_| tasks.is_empty()) else { break };
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
                let jobs: Vec<_> = list(&task["planFlowTaskRunResults"])
                    .filter_map(|result| id(&result["jobGroup"]["id"]))
                    .collect();
                let status = text(&task["status"]);
                if jobs.is_empty() {
                    tasks.push(Task { name: name.clone(), status: status.clone(), job: None });
                }
                tasks.extend(jobs.into_iter().map(|job| Task {
                    name: format!("{name}, job {job}"),
                    status: status.clone(),
                    job: Some(job),
                }));
            }
        }
        plan = id(&full["latestPlanSnapshot"]["id"]);
    }
    Ok(tasks)
}

/// Why it failed, in lines; none if it did not.
fn reasons(client: &Client, task: &Task) -> Result<Vec<String>, Error> {
    let has_failed = |status: &Value| text(status).eq_ignore_ascii_case("failed");
    let Some(job) = task.job else {
        let has_failed = has_failed(&task.status.as_str().into());
        return Ok(has_failed.then(|| " failed".to_owned()).into_iter().collect());
    };
    let jobs = get(client, &format!("/v4/jobGroups/{job}/jobs"))?;
    let failed = list(&jobs).filter(|job| has_failed(&job["status"]));
    Ok(failed
        .map(|job| format!(": {} failed: {}", text(&job["jobType"]), text(&job["errorMessage"])))
        .collect())
}

/// What it has written, in lines.
fn outputs(client: &Client, task: &Task) -> Result<Vec<String>, Error> {
    let Some(job) = task.job else { return Ok(Vec::new()) };
    let outputs = get(client, &format!("/v4/jobGroups/{job}/outputs"))?;
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

/// What a person reads of a value: nothing of null, and JSON of what is no text.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text),
        value => one_line(&value.to_string()),
    }
}
