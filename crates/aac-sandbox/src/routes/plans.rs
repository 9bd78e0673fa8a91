//! `/plans/v1/plans`

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::errors::{
    Rejection, Reply, gone, invalid, not_found, not_modified, ok, unsupported_media_type,
};
use super::extract::{Id, Object, Query, execution_id};
use super::list;
use crate::clock::Timestamp;
use crate::http::{has_media_type, responses};
use crate::workspace::plans::{NoPlan, Plan};
use crate::workspace::runs::Fate;
use crate::workspace::{Workspace, package};

/// The node of each plan, as a run names it, and its parameters.
const HANDLE: &str = "5p";
const PARAMETERS: [(&str, &str); 2] = [("region", "EMEA"), ("month", "2025-02")];

/// The plan whose ID is in the path.
impl FromRequestParts<Arc<Workspace>> for Plan {
    type Rejection = Rejection;

    async fn from_request_parts(
        parts: &mut Parts,
        workspace: &Arc<Workspace>,
    ) -> Result<Self, Rejection> {
        let Id(id) = Id::from_request_parts(parts, workspace).await?;
        workspace.plans().get(id).map_err(|error| match error {
            NoPlan::Deleted => gone("plan"),
            NoPlan::NotFound => not_found("Plan"),
        })
    }
}

/// `GET /plans/v1/plans`: a page of the plans, with the same parameters as people.
pub(super) async fn list(State(workspace): State<Arc<Workspace>>, query: Query) -> Reply {
    let rows = workspace.plans().rows();
    list::page(&query, workspace.max_page, rows)
}

/// `GET /plans/v1/plans/count`: how many plans the list has.
pub(super) async fn count(State(workspace): State<Arc<Workspace>>, query: Query) -> Reply {
    let rows = workspace.plans().rows();
    ok(&json!({ "count": list::select(&query, rows)?.len() }))
}

/// `GET /plans/v1/plans/{id}`: one plan.
pub(super) async fn one(plan: Plan) -> Reply {
    ok(&plan.row())
}

/// `GET /plans/v1/plans/{id}/full`: one plan, with its nodes and what became of them.
pub(super) async fn full(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    plan: Plan,
) -> Reply {
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
pub(super) async fn run_parameters(plan: Plan) -> Reply {
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
pub(super) async fn create(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Object(object): Object,
) -> Reply {
    let name = name(&object)?.ok_or_else(|| invalid("name is required"))?;
    let description = description(&object)?.flatten();
    let plan = workspace.plans().add(name, description, now);
    Ok(responses::json(201, &plan.row()))
}

/// `PATCH /plans/v1/plans/{id}`: changes name or description.
pub(super) async fn update(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    mut plan: Plan,
    Object(object): Object,
) -> Reply {
    let (name, description) = (name(&object)?, description(&object)?);
    plan.name = name.unwrap_or(plan.name);
    plan.description = description.unwrap_or(plan.description);
    plan.updated = now;
    let body = json!({ "id": plan.id, "updatedAt": now.to_string() });
    workspace.plans().replace(plan);
    ok(&body)
}

/// `DELETE /plans/v1/plans/{id}`: deletes it.
pub(super) async fn delete(State(workspace): State<Arc<Workspace>>, plan: Plan) -> StatusCode {
    workspace.plans().delete(plan.id);
    StatusCode::NO_CONTENT
}

/// `POST /plans/v1/plans/{id}/run`: runs it.
pub(super) async fn run(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Extension(fate): Extension<Fate>,
    plan: Plan,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    // It may have no body.
    let body = if body.is_empty() { "{}".into() } else { body };
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| invalid(&format!("The body is not JSON: {error}")))?;
    for parameter in body["planNodeOverrides"].as_array().into_iter().flatten() {
        let is_known = PARAMETERS.iter().any(|(name, _)| parameter["overrideKey"] == *name);
        if parameter["handle"] != HANDLE || !is_known || !parameter["value"].is_string() {
            return Err(invalid(&format!("planNodeOverrides: {parameter} is invalid")));
        }
    }
    let run = workspace.plan_runs.submit(plan.id, execution_id(&headers), fate, now);
    let run = run.ok_or_else(not_modified)?;
    let body = json!({ "validationStatus": "Valid", "planSnapshotRunId": run.id() });
    Ok(responses::json(201, &body))
}

/// `GET /plans/v1/plans/{id}/package`: the plan as a file.
pub(super) async fn export(State(workspace): State<Arc<Workspace>>, plan: Plan) -> Reply {
    let archive = package::archive(&plan.row(), workspace.package_size);
    let response = responses::response(200, "application/zip", archive);
    let file = format!("attachment; filename=\"plan-{}.zip\"", plan.id);
    Ok(responses::with_header(response, CONTENT_DISPOSITION.as_str(), file))
}

/// `POST /plans/v1/plans/package`: creates a plan from such a file.
pub(super) async fn import(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    headers: HeaderMap,
    parts: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Reply {
    const FORM: &str = "multipart/form-data";
    if !has_media_type(&headers, FORM) {
        return Err(unsupported_media_type(FORM));
    }
    let malformed = |error: MultipartError| invalid(&error.body_text());
    let mut parts = parts.map_err(|rejection| invalid(&rejection.body_text()))?;
    let mut files = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        // The schema says one, the vendor's example the other.
        if matches!(part.name(), Some("File" | "data")) {
            let name = part.file_name().unwrap_or("Imported plan").to_owned();
            files.push((name, part.bytes().await.map_err(malformed)?));
        }
    }
    let [(file, content)] = &files[..] else {
        return Err(invalid("One file is required: a part with the name data or File"));
    };
    // An archive from elsewhere is named after its file.
    let name = package::plan_name(content).map_err(|_| invalid("The file is not a ZIP archive"))?;
    let name = name.unwrap_or_else(|| file.strip_suffix(".zip").unwrap_or(file).to_owned());
    let plan = workspace.plans().add(name, None, now);
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
