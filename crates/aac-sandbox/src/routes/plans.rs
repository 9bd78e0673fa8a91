//! `/plans/v1/plans`

use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::errors::{
    Rejection, Reply, gone, invalid, not_found, not_modified, ok, unsupported_media_type,
};
use super::list;
use super::request::Request;
use crate::http::{form, has_media_type, responses};
use crate::workspace::package;
use crate::workspace::plans::{NoPlan, Plan};
use crate::workspace::runs::Fate;

/// The node of each plan, as a run names it, and its parameters.
const HANDLE: &str = "5p";
const PARAMETERS: [(&str, &str); 2] = [("region", "EMEA"), ("month", "2025-02")];

/// The plan whose ID is in the path.
fn plan(request: &Request<'_>) -> Result<Plan, Rejection> {
    request.workspace.plans().get(request.id()?).map_err(|error| match error {
        NoPlan::Deleted => gone("plan"),
        NoPlan::NotFound => not_found("Plan"),
    })
}

/// `GET /plans/v1/plans`: a page of the plans, with the same parameters as people.
pub(super) fn list(request: &Request<'_>) -> Reply {
    let rows = request.workspace.plans().rows();
    list::page(&request.query()?, request.workspace.max_page, rows)
}

/// `GET /plans/v1/plans/count`: how many plans the list has.
pub(super) fn count(request: &Request<'_>) -> Reply {
    let rows = request.workspace.plans().rows();
    ok(&json!({ "count": list::select(&request.query()?, rows)?.len() }))
}

/// `GET /plans/v1/plans/{id}`: one plan.
pub(super) fn one(request: &Request<'_>) -> Reply {
    ok(&plan(request)?.row())
}

/// `GET /plans/v1/plans/{id}/full`: one plan, with its nodes and what became of them.
pub(super) fn full(request: &Request<'_>) -> Reply {
    let (&Request { workspace, now, .. }, plan) = (request, plan(request)?);
    let mut full = plan.row();
    let runs = workspace.plan_runs.seen(now);
    let runs = runs.iter().filter(|run| run.subject == plan.id).map(|run| run.node_run(now));
    full["planNodes"] = json!({
        "data": [{
            "id": 10 * plan.id + 1,
            "taskType": "flow",
            "name": "Sales by region",
            "planTaskSnapshotRuns": { "data": runs.collect::<Vec<_>>() },
        }]
    });
    ok(&full)
}

/// `GET /plans/v1/plans/{id}/runParameters`: what can be set for a run, by node.
pub(super) fn run_parameters(request: &Request<'_>) -> Reply {
    let plan = plan(request)?;
    let parameter = |(name, value): (&str, &str)| {
        json!({
            "type": "variable",
            "overrideKey": name,
            "insertionIndices": [{ "index": 10, "order": 0 }],
            "value": { "variable": { "value": value } },
        })
    };
    let parameters = PARAMETERS.map(parameter);
    ok(&json!({
        "planNodeParameters": [{
            "handle": HANDLE,
            "displayId": 1,
            "planNodeId": 10 * plan.id + 1,
            "conflicts": [],
            "flow": { "id": 3, "name": "Sales by region" },
            "datasources": { "data": [{ "id": 33, "runParameters": { "data": parameters } }] },
            "outputObjects": { "data": [] },
            "planOverrides": { "data": [] },
        }]
    }))
}

/// `POST /plans/v1/plans`: creates a plan.
pub(super) fn create(request: &Request<'_>) -> Reply {
    let object = request.object()?;
    let name = name(&object)?.ok_or_else(|| invalid("name is required"))?;
    let description = description(&object)?.flatten();
    let plan = request.workspace.plans().add(name, description, request.now);
    Ok(responses::json(201, &plan.row()))
}

/// `PATCH /plans/v1/plans/{id}`: changes name or description.
pub(super) fn update(request: &Request<'_>) -> Reply {
    let (mut plan, object) = (plan(request)?, request.object()?);
    let (name, description) = (name(&object)?, description(&object)?);
    plan.name = name.unwrap_or(plan.name);
    plan.description = description.unwrap_or(plan.description);
    plan.updated = request.now;
    let body = json!({ "id": plan.id, "updatedAt": request.now.to_string() });
    request.workspace.plans().replace(plan);
    ok(&body)
}

/// `DELETE /plans/v1/plans/{id}`: deletes it.
pub(super) fn delete(request: &Request<'_>) -> Reply {
    let plan = plan(request)?;
    request.workspace.plans().delete(plan.id);
    Ok(responses::empty(204))
}

/// `POST /plans/v1/plans/{id}/run`: runs it.
pub(super) fn run(request: &Request<'_>) -> Reply {
    let plan = plan(request)?;
    // It may have no body.
    let body = if request.body.is_empty() { b"{}" } else { request.body };
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(&format!("The body is not JSON: {error}")))?;
    for parameter in body["planNodeOverrides"].as_array().into_iter().flatten() {
        let is_known = PARAMETERS.iter().any(|(name, _)| parameter["overrideKey"] == *name);
        if parameter["handle"] != HANDLE || !is_known || !parameter["value"].is_string() {
            return Err(invalid(&format!("planNodeOverrides: {parameter} is invalid")));
        }
    }
    let (fate, execution) = (Fate::of(request.fault), request.execution_id());
    let run = request.workspace.plan_runs.submit(plan.id, execution, fate, request.now);
    let run = run.ok_or_else(not_modified)?;
    let body = json!({ "validationStatus": "Valid", "planSnapshotRunId": run.id() });
    Ok(responses::json(201, &body))
}

/// `GET /plans/v1/plans/{id}/package`: the plan as a file.
pub(super) fn export(request: &Request<'_>) -> Reply {
    let plan = plan(request)?;
    let archive = package::archive(&plan.row(), request.workspace.package_size);
    let response = responses::response(200, "application/zip", archive);
    let file = format!("attachment; filename=\"plan-{}.zip\"", plan.id);
    Ok(responses::with_header(response, CONTENT_DISPOSITION.as_str(), file))
}

/// `POST /plans/v1/plans/package`: creates a plan from such a file.
pub(super) fn import(request: &Request<'_>) -> Reply {
    const FORM: &str = "multipart/form-data";
    let headers = &request.head.headers;
    if !has_media_type(headers, FORM) {
        return Err(unsupported_media_type(FORM));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|value| form::parameter(value, "boundary"));
    let boundary = boundary.ok_or_else(|| invalid("The boundary of the form is missing"))?;
    let parts = form::parts(request.body, &boundary);
    let parts = parts.ok_or_else(|| invalid("The form is malformed or cut off"))?;
    // The schema says one, the vendor's example the other.
    let is_file = |part: &&form::Part<'_>| matches!(part.name.as_deref(), Some("File" | "data"));
    let files = parts.iter().filter(is_file).collect::<Vec<_>>();
    let [form::Part { file_name, content, .. }] = files[..] else {
        return Err(invalid("One file is required: a part with the name data or File"));
    };
    // An archive from elsewhere is named after its file.
    let name = package::plan_name(content).map_err(|_| invalid("The file is not a ZIP archive"))?;
    let file = file_name.as_deref().unwrap_or("Imported plan");
    let name = name.unwrap_or_else(|| file.strip_suffix(".zip").unwrap_or(file).to_owned());
    let plan = request.workspace.plans().add(name, None, request.now);
    let row = json!({ "id": plan.id, "name": plan.name, "size": content.len() });
    Ok(responses::json(201, &json!({ "data": [row] })))
}

/// The name in a request.
fn name(plan: &Map<String, Value>) -> Result<Option<String>, Rejection> {
    match plan.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(invalid("name must be a non-empty string")),
    }
}

/// The description in a request. It may be null.
fn description(plan: &Map<String, Value>) -> Result<Option<Option<String>>, Rejection> {
    match plan.get("description") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(_) => Err(invalid("description must be a string or null")),
    }
}
