//! `/plans/v1/plans`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::input::{self, Number, Object, Refusal, invalid};
use super::list::{self, Window};
use super::query::Query;
use super::{Tenant, person};
use crate::clock::Moment;
use crate::envelope::{self, exception, with_header};
use crate::package::{self, Package};
use crate::workspace;

/// The plans there are, and those there were.
#[derive(Debug)]
pub(super) struct Plans(BTreeMap<u64, Option<Plan>>);

#[derive(Clone, Debug)]
pub(super) struct Plan {
    id: u64,
    name: String,
    description: Option<String>,
    created: Moment,
    updated: Moment,
}

impl Plan {
    /// It in lists.
    fn row(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "createdAt": self.created.to_string(),
            "updatedAt": self.updated.to_string(),
            "creator": { "id": person::id(0) },
            "updater": { "id": person::id(0) },
            "workspace": { "id": workspace::ID },
        })
    }

    /// It with what it consists of.
    fn full(&self) -> Value {
        let mut plan = self.row();
        plan["planNodes"] = json!([]);
        plan["planEdges"] = json!([]);
        plan
    }
}

impl Default for Plans {
    /// Two examples.
    fn default() -> Self {
        let mut plans = Self(BTreeMap::new());
        let time = Moment { millis: 1_738_778_729_000 };
        plans.add("Monthly report".to_owned(), Some("Sales by region".to_owned()), time);
        plans.add("Żółty plan 黄".to_owned(), None, time);
        plans
    }
}

impl Plans {
    fn add(&mut self, name: String, description: Option<String>, now: Moment) -> Plan {
        let id = self.0.last_key_value().map_or(7, |(id, _)| id + 1);
        let plan = Plan { id, name, description, created: now, updated: now };
        self.0.insert(id, Some(plan.clone()));
        plan
    }

    fn rows(&self) -> Vec<Value> {
        self.0.values().flatten().map(Plan::row).collect()
    }
}

/// The plan whose number is in the path.
impl FromRequestParts<Arc<Tenant>> for Plan {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, tenant: &Arc<Tenant>) -> Result<Self, Refusal> {
        let Number(id) = Number::from_request_parts(parts, tenant).await?;
        match tenant.plans().0.get(&id) {
            Some(Some(plan)) => Ok(plan.clone()),
            Some(None) => {
                Err(exception(StatusCode::GONE, "Gone", "The plan was deleted", None).into())
            }
            None => {
                let (status, name) = (StatusCode::NOT_FOUND, "NotFoundException");
                Err(exception(status, name, "Plan not found", None).into())
            }
        }
    }
}

/// `GET /plans/v1/plans`: a page of the plans. It knows the parameters that people have.
pub(super) async fn list(
    State(tenant): State<Arc<Tenant>>,
    query: Query,
) -> Result<Response<Body>, Refusal> {
    let rows = tenant.plans().rows();
    let window = Window::of(&query, tenant.max_page)?;
    let selected = select(&query, &rows)?;
    let page = window.page(&selected, Some(selected.len()), |index| rows[index].clone());
    Ok(envelope::json(StatusCode::OK, &page))
}

/// `GET /plans/v1/plans/count`: how many plans the list has.
pub(super) async fn count(
    State(tenant): State<Arc<Tenant>>,
    query: Query,
) -> Result<Response<Body>, Refusal> {
    let count = select(&query, &tenant.plans().rows())?.len();
    Ok(envelope::json(StatusCode::OK, &json!({ "count": count })))
}

fn select(query: &Query, rows: &[Value]) -> Result<Vec<usize>, Refusal> {
    list::select(query, rows.len(), "name,description", |index| rows[index].clone())
}

/// `GET /plans/v1/plans/{id}`: one plan.
pub(super) async fn one(plan: Plan) -> Response<Body> {
    envelope::json(StatusCode::OK, &plan.row())
}

/// `GET /plans/v1/plans/{id}/full`: one plan with its nodes and edges.
pub(super) async fn full(plan: Plan) -> Response<Body> {
    envelope::json(StatusCode::OK, &plan.full())
}

/// `POST /plans/v1/plans`: a new plan.
pub(super) async fn create(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Object(object): Object,
) -> Result<Response<Body>, Refusal> {
    let name = name(&object)?.ok_or_else(|| invalid("name is required"))?;
    let description = description(&object)?.flatten();
    let plan = tenant.plans().add(name, description, now);
    Ok(envelope::json(StatusCode::CREATED, &plan.row()))
}

/// `PATCH /plans/v1/plans/{id}`: another name or description. Says only that it was done.
pub(super) async fn update(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    mut plan: Plan,
    Object(object): Object,
) -> Result<Response<Body>, Refusal> {
    let (name, description) = (name(&object)?, description(&object)?);
    plan.name = name.unwrap_or(plan.name);
    plan.description = description.unwrap_or(plan.description);
    plan.updated = now;
    let body = json!({ "id": plan.id, "updatedAt": now.to_string() });
    tenant.plans().0.insert(plan.id, Some(plan));
    Ok(envelope::json(StatusCode::OK, &body))
}

/// `DELETE /plans/v1/plans/{id}`: it is gone, and is known to be.
pub(super) async fn delete(State(tenant): State<Arc<Tenant>>, plan: Plan) -> StatusCode {
    tenant.plans().0.insert(plan.id, None);
    StatusCode::NO_CONTENT
}

/// `POST /plans/v1/plans/{id}/run`: runs it; [`super::runs::plan_run`] says how that goes.
pub(super) async fn run(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    plan: Plan,
) -> Response<Body> {
    let run = tenant.plan_runs.submit(plan.id, now);
    let body = json!({ "validationStatus": "Valid", "planSnapshotRunId": run });
    envelope::json(StatusCode::CREATED, &body)
}

/// `GET /plans/v1/plans/{id}/package`: the plan as a file.
pub(super) async fn export(State(tenant): State<Arc<Tenant>>, plan: Plan) -> Response<Body> {
    let body = Body::new(Package::new(&plan.full(), tenant.package_size));
    let response = envelope::answer(StatusCode::OK, "application/zip", body);
    let file = format!("attachment; filename=\"plan-{}.zip\"", plan.id);
    with_header(response, CONTENT_DISPOSITION.as_str(), file)
}

/// `POST /plans/v1/plans/package`: a plan from such a file.
pub(super) async fn import(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    headers: HeaderMap,
    parts: Result<Multipart, MultipartRejection>,
) -> Result<Response<Body>, Refusal> {
    if !input::is_of(&headers, "multipart/form-data") {
        return Err(input::unsupported("The content type must be multipart/form-data"));
    }
    let parts = parts.map_err(|rejection| invalid(&rejection.body_text()))?;
    let File { name, size } = read(parts).await?;
    let plan = tenant.plans().add(name, None, now);
    let body = json!({ "data": [{ "id": plan.id, "name": plan.name, "size": size }] });
    Ok(envelope::json(StatusCode::CREATED, &body))
}

/// A file that was sent. It is not kept.
struct File {
    /// Of the plan in it, or else its own.
    name: String,
    size: u64,
}

/// Reads the parts of an import.
async fn read(mut parts: Multipart) -> Result<File, Refusal> {
    let mut file = None;
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        match part.name().unwrap_or_default() {
            // The schema says the one, the vendor's example the other.
            "File" | "data" if file.is_none() => file = Some(read_file(part).await?),
            "File" | "data" => return Err(invalid("There is more than one file")),
            "environmentParameterMapping" | "connectionIdMapping" => read_mapping(part).await?,
            // What is not read here is skipped.
            _ => {}
        }
    }
    file.ok_or_else(|| invalid("There is no file: a part with the name data or File is required"))
}

async fn read_file(mut part: Field<'_>) -> Result<File, Refusal> {
    /// Where the name of the plan is, if the file has one.
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

async fn read_mapping(mut part: Field<'_>) -> Result<(), Refusal> {
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

fn malformed(error: MultipartError) -> Refusal {
    invalid(&error.body_text())
}

/// The name in a request. One that is there has to be good for something.
fn name(plan: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match plan.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(invalid("name must be a string that is not empty")),
    }
}

/// The description in a request, which may be there as null.
fn description(plan: &Map<String, Value>) -> Result<Option<Option<String>>, Refusal> {
    match plan.get("description") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(_) => Err(invalid("description must be a string or null")),
    }
}
