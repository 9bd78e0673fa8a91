//! `/plans/v1/plans`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_DISPOSITION;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::list::{self, Window};
use super::query::{Invalid, Query, invalid};
use super::{Tenant, input, no_number, person};
use crate::clock::Moment;
use crate::envelope::{self, exception, with_header};
use crate::package::{self, Package};
use crate::workspace;

/// The plans there are, and those there were.
#[derive(Debug)]
pub(super) struct Plans(BTreeMap<u64, Option<Plan>>);

#[derive(Clone, Debug)]
struct Plan {
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

    /// The plan of that number in a path.
    fn find(&mut self, id: &str, method: &Method, uri: &Uri) -> Result<&mut Plan, Invalid> {
        let id: u64 = id.parse().map_err(|_| Box::new(no_number(method, uri)))?;
        match self.0.get_mut(&id) {
            Some(Some(plan)) => Ok(plan),
            Some(None) => {
                Err(Box::new(exception(StatusCode::GONE, "Gone", "The plan was deleted", None)))
            }
            None => {
                let (status, name) = (StatusCode::NOT_FOUND, "NotFoundException");
                Err(Box::new(exception(status, name, "Plan not found", None)))
            }
        }
    }

    fn rows(&self) -> Vec<Value> {
        self.0.values().flatten().map(Plan::row).collect()
    }
}

/// `GET /plans/v1/plans`: a page of the plans. It knows the parameters that people have.
pub(super) async fn list(State(tenant): State<Arc<Tenant>>, uri: Uri) -> Response<Body> {
    let query = Query::of(&uri);
    let rows = tenant.plans().rows();
    let page = Window::of(&query, tenant.max_page).and_then(|window| {
        let selected = select(&query, &rows)?;
        Ok(window.page(&selected, Some(selected.len()), |index| rows[index].clone()))
    });
    answer(page)
}

/// `GET /plans/v1/plans/count`: how many plans the list has.
pub(super) async fn count(State(tenant): State<Arc<Tenant>>, uri: Uri) -> Response<Body> {
    let rows = tenant.plans().rows();
    let selected = select(&Query::of(&uri), &rows);
    answer(selected.map(|selected| json!({ "count": selected.len() })))
}

fn select(query: &Query, rows: &[Value]) -> Result<Vec<usize>, Invalid> {
    list::select(query, rows.len(), "name,description", |index| rows[index].clone())
}

/// `GET /plans/v1/plans/{id}`: one plan.
pub(super) async fn one(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    answer(tenant.plan(&id, &method, &uri).map(|plan| plan.row()))
}

/// `GET /plans/v1/plans/{id}/full`: one plan with its nodes and edges.
pub(super) async fn full(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    answer(tenant.plan(&id, &method, &uri).map(|plan| plan.full()))
}

/// `POST /plans/v1/plans`: a new plan.
pub(super) async fn create(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let plan = input::object(&headers, &body).and_then(|object| {
        let name = name(&object)?.ok_or_else(|| invalid("name is required"))?;
        let description = description(&object)?.flatten();
        Ok(tenant.plans().add(name, description, now).row())
    });
    match plan {
        Ok(plan) => envelope::json(StatusCode::CREATED, &plan),
        Err(response) => *response,
    }
}

/// `PATCH /plans/v1/plans/{id}`: another name or description. Says only that it was done.
pub(super) async fn update(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut plans = tenant.plans();
    let change = |plan: &mut Plan| {
        let object = input::object(&headers, &body)?;
        let (name, description) = (name(&object)?, description(&object)?);
        plan.name = name.unwrap_or_else(|| plan.name.clone());
        plan.description = description.unwrap_or_else(|| plan.description.clone());
        plan.updated = now;
        Ok(json!({ "id": plan.id, "updatedAt": now.to_string() }))
    };
    answer(plans.find(&id, &method, &uri).and_then(change))
}

/// `DELETE /plans/v1/plans/{id}`: it is gone, and is known to be.
pub(super) async fn delete(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    match tenant.plan(&id, &method, &uri) {
        Ok(plan) => {
            tenant.plans().0.insert(plan.id, None);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(response) => *response,
    }
}

/// `POST /plans/v1/plans/{id}/run`: runs it; [`super::runs::plan_run`] says how that goes.
pub(super) async fn run(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    match tenant.plan(&id, &method, &uri) {
        Ok(plan) => {
            let run = tenant.plan_runs.submit(plan.id, now);
            let body = json!({ "validationStatus": "Valid", "planSnapshotRunId": run });
            envelope::json(StatusCode::CREATED, &body)
        }
        Err(response) => *response,
    }
}

/// `GET /plans/v1/plans/{id}/package`: the plan as a file.
pub(super) async fn export(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    match tenant.plan(&id, &method, &uri) {
        Ok(plan) => {
            let body = Body::new(Package::new(&plan.full(), tenant.package_size));
            let response = envelope::answer(StatusCode::OK, "application/zip", body);
            let file = format!("attachment; filename=\"plan-{}.zip\"", plan.id);
            with_header(response, CONTENT_DISPOSITION.as_str(), file)
        }
        Err(response) => *response,
    }
}

/// `POST /plans/v1/plans/package`: a plan from such a file.
pub(super) async fn import(
    State(tenant): State<Arc<Tenant>>,
    Extension(now): Extension<Moment>,
    headers: HeaderMap,
    parts: Result<Multipart, MultipartRejection>,
) -> Response<Body> {
    if !input::is_of(&headers, "multipart/form-data") {
        return *input::unsupported("The content type must be multipart/form-data");
    }
    let file = match parts {
        Ok(parts) => read(parts).await,
        Err(rejection) => Err(invalid(&rejection.body_text())),
    };
    match file {
        Ok(File { name, size }) => {
            let plan = tenant.plans().add(name, None, now);
            let body = json!({ "data": [{ "id": plan.id, "name": plan.name, "size": size }] });
            envelope::json(StatusCode::CREATED, &body)
        }
        Err(response) => *response,
    }
}

/// A file that was sent. It is not kept.
struct File {
    /// Of the plan in it, or else its own.
    name: String,
    size: u64,
}

/// Reads the parts of an import.
async fn read(mut parts: Multipart) -> Result<File, Invalid> {
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

async fn read_file(mut part: Field<'_>) -> Result<File, Invalid> {
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

async fn read_mapping(mut part: Field<'_>) -> Result<(), Invalid> {
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

fn malformed(error: MultipartError) -> Invalid {
    invalid(&error.body_text())
}

/// The name in a request. One that is there has to be good for something.
fn name(plan: &Map<String, Value>) -> Result<Option<String>, Invalid> {
    match plan.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(invalid("name must be a string that is not empty")),
    }
}

/// The description in a request, which may be there as null.
fn description(plan: &Map<String, Value>) -> Result<Option<Option<String>>, Invalid> {
    match plan.get("description") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(_) => Err(invalid("description must be a string or null")),
    }
}

fn answer(result: Result<Value, Invalid>) -> Response<Body> {
    match result {
        Ok(body) => envelope::json(StatusCode::OK, &body),
        Err(response) => *response,
    }
}

impl Tenant {
    /// The plan of that number in a path, as it is now.
    fn plan(&self, id: &str, method: &Method, uri: &Uri) -> Result<Plan, Invalid> {
        self.plans().find(id, method, uri).cloned()
    }
}
