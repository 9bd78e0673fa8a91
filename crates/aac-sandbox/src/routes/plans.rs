//! `/plans/v1/plans`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::errors::{Rejection, gone, invalid, not_found, unsupported_media_type};
use super::extract::{Id, Object};
use super::list::{self, Window};
use super::query::Query;
use crate::clock::Timestamp;
use crate::http::{has_media_type, responses};
use crate::workspace::Workspace;
use crate::workspace::package::{self, Package};
use crate::workspace::plans::{NoPlan, Plan};
use crate::workspace::runs::Fate;

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
pub(super) async fn list(
    State(workspace): State<Arc<Workspace>>,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    let rows = workspace.plans().rows();
    let window = Window::of(&query, workspace.max_page)?;
    let selected = select(&query, &rows)?;
    let page = window.page(&selected, Some(selected.len()), |index| rows[index].clone());
    Ok(responses::json(StatusCode::OK, &page))
}

/// `GET /plans/v1/plans/count`: how many plans the list has.
pub(super) async fn count(
    State(workspace): State<Arc<Workspace>>,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    let count = select(&query, &workspace.plans().rows())?.len();
    Ok(responses::json(StatusCode::OK, &json!({ "count": count })))
}

fn select(query: &Query, rows: &[Value]) -> Result<Vec<usize>, Rejection> {
    list::select(query, rows.len(), "name,description", "", |index| rows[index].clone())
}

/// `GET /plans/v1/plans/{id}`: one plan.
pub(super) async fn one(plan: Plan) -> Response<Body> {
    responses::json(StatusCode::OK, &plan.row())
}

/// `GET /plans/v1/plans/{id}/full`: one plan with its nodes and edges.
pub(super) async fn full(plan: Plan) -> Response<Body> {
    responses::json(StatusCode::OK, &plan.full())
}

/// `POST /plans/v1/plans`: creates a plan.
pub(super) async fn create(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    Object(object): Object,
) -> Result<Response<Body>, Rejection> {
    let name = name(&object)?.ok_or_else(|| invalid("name is required"))?;
    let description = description(&object)?.flatten();
    let plan = workspace.plans().add(name, description, now);
    Ok(responses::json(StatusCode::CREATED, &plan.row()))
}

/// `PATCH /plans/v1/plans/{id}`: changes name or description.
pub(super) async fn update(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    mut plan: Plan,
    Object(object): Object,
) -> Result<Response<Body>, Rejection> {
    let (name, description) = (name(&object)?, description(&object)?);
    plan.name = name.unwrap_or(plan.name);
    plan.description = description.unwrap_or(plan.description);
    plan.updated = now;
    let body = json!({ "id": plan.id, "updatedAt": now.to_string() });
    workspace.plans().replace(plan);
    Ok(responses::json(StatusCode::OK, &body))
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
) -> Response<Body> {
    let run = workspace.plan_runs.submit(plan.id, fate, now);
    let body = json!({ "validationStatus": "Valid", "planSnapshotRunId": run });
    responses::json(StatusCode::CREATED, &body)
}

/// `GET /plans/v1/plans/{id}/package`: the plan as a file.
pub(super) async fn export(State(workspace): State<Arc<Workspace>>, plan: Plan) -> Response<Body> {
    let body = Body::new(Package::new(&plan.full(), workspace.package_size));
    let response = responses::response(StatusCode::OK, "application/zip", body);
    let file = format!("attachment; filename=\"plan-{}.zip\"", plan.id);
    responses::with_header(response, CONTENT_DISPOSITION.as_str(), file)
}

/// `POST /plans/v1/plans/package`: creates a plan from such a file.
pub(super) async fn import(
    State(workspace): State<Arc<Workspace>>,
    Extension(now): Extension<Timestamp>,
    headers: HeaderMap,
    parts: Result<Multipart, MultipartRejection>,
) -> Result<Response<Body>, Rejection> {
    const FORM: &str = "multipart/form-data";
    if !has_media_type(&headers, FORM) {
        return Err(unsupported_media_type(FORM));
    }
    let parts = parts.map_err(|rejection| invalid(&rejection.body_text()))?;
    let File { name, size } = read(parts).await?;
    let plan = workspace.plans().add(name, None, now);
    let body = json!({ "data": [{ "id": plan.id, "name": plan.name, "size": size }] });
    Ok(responses::json(StatusCode::CREATED, &body))
}

/// An uploaded file. Its content is not kept.
struct File {
    /// The name of the plan in it, or else its own.
    name: String,
    size: u64,
}

/// Reads the parts of an import.
async fn read(mut parts: Multipart) -> Result<File, Rejection> {
    let mut file = None;
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        match part.name().unwrap_or_default() {
            // The schema says one, the vendor's example the other.
            "File" | "data" if file.is_none() => file = Some(read_file(part).await?),
            "File" | "data" => return Err(invalid("There is more than one file")),
            "environmentParameterMapping" | "connectionIdMapping" => read_mapping(part).await?,
            // Other parts are skipped.
            _ => {}
        }
    }
    file.ok_or_else(|| invalid("There is no file: a part with the name data or File is required"))
}

async fn read_file(mut part: Field<'_>) -> Result<File, Rejection> {
    /// How much of the file is searched for the name of a plan, in bytes.
    const HEAD: usize = 4096;
    let own_name = part.file_name().unwrap_or("Imported plan").to_owned();
    let mut size = 0;
    let mut head = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(malformed)? {
        size += chunk.len() as u64;
        head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
    }
    if !package::is_archive(&head) {
        return Err(invalid("The file is not a ZIP archive"));
    }
    let own_name = || own_name.strip_suffix(".zip").unwrap_or(&own_name).to_owned();
    Ok(File { name: package::plan_name(&head).unwrap_or_else(own_name), size })
}

async fn read_mapping(mut part: Field<'_>) -> Result<(), Rejection> {
    const MAX: usize = 1024 * 1024;
    let name = part.name().unwrap_or_default().to_owned();
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(malformed)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX {
            return Err(invalid(&format!("{name} is too large")));
        }
    }
    match serde_json::from_slice::<Value>(&text) {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid(&format!("{name} is not JSON: {error}"))),
    }
}

fn malformed(error: MultipartError) -> Rejection {
    invalid(&error.body_text())
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
