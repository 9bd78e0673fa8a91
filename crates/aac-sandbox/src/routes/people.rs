//! `/iam/v1/workspaces/{id}/people` and `…/admins`, `/iam/v1/people`, `/v4/people`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::list::{self, Window};
use super::query::{Invalid, Query};
use super::{Tenant, no_number, person};
use crate::envelope::{self, exception};
use crate::options::Paging;
use crate::workspace;

/// `GET /iam/v1/workspaces/{id}/people`: a page of the people of the workspace.
///
/// Knows limit, offset, includeCount, includePrivileges, sort and the three filter parameters;
/// what else the query has is ignored, as the real service ignores much.
pub(super) async fn list(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    if let Some(response) = elsewhere(&tenant, &id, &method, &uri) {
        return response;
    }
    match page(&tenant, &Query::of(&uri)) {
        Ok(page) => envelope::json(StatusCode::OK, &page),
        Err(response) => *response,
    }
}

/// `GET /iam/v1/workspaces/{id}/admins`: those who run the workspace, always with their count.
pub(super) async fn admins(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    if let Some(response) = elsewhere(&tenant, &id, &method, &uri) {
        return response;
    }
    let people = (0..tenant.people()).map(|index| person::person(index, false));
    let admins: Vec<Value> = people
        .filter(|person| person["isAdmin"] == true)
        .map(|person| {
            json!({
                "email": person["email"],
                "isDisabled": person["isDisabled"],
                "validateExportCompliance": person["validateExportCompliance"],
                "id": person["id"],
                "createdAt": person["createdAt"],
                "updatedAt": person["updatedAt"],
            })
        })
        .collect();
    envelope::json(StatusCode::OK, &json!({ "data": admins, "count": admins.len() }))
}

/// `GET /iam/v1/people/{id}`: one person.
pub(super) async fn one(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    let Ok(id) = id.parse::<u64>() else {
        return no_number(&method, &uri);
    };
    let index = (0..tenant.people()).find(|&index| person::id(index) == id);
    show(index, &uri)
}

/// `GET /v4/people/current`: the person of the token, who is the first one.
pub(super) async fn current(uri: Uri) -> Response<Body> {
    show(Some(0), &uri)
}

fn show(index: Option<usize>, uri: &Uri) -> Response<Body> {
    let with_privileges = match Query::of(uri).flag("includePrivileges") {
        Ok(flag) => flag,
        Err(response) => return *response,
    };
    match index {
        Some(index) => envelope::json(StatusCode::OK, &person::person(index, with_privileges)),
        None => exception(StatusCode::NOT_FOUND, "NotFoundException", "Person not found", None),
    }
}

/// The answer to an id that is not the one of the workspace.
fn elsewhere(tenant: &Tenant, id: &str, method: &Method, uri: &Uri) -> Option<Response<Body>> {
    // A ULID in place of the number does not match the route of the real service.
    let Ok(id) = id.parse::<u64>() else {
        return Some(no_number(method, uri));
    };
    if id == workspace::ID {
        return None;
    }
    let message = "User is not authorised to access this API.";
    Some(match tenant.foreign_workspace {
        StatusCode::FORBIDDEN => {
            exception(StatusCode::FORBIDDEN, "AccessControlException", message, None)
        }
        status => exception(status, "NotFoundException", "Workspace not found", None),
    })
}

fn page(tenant: &Tenant, query: &Query) -> Result<Value, Invalid> {
    let mut window = Window::of(query, tenant.max_page)?;
    let with_privileges = query.flag("includePrivileges")?;

    let turned = match window.offset {
        0 => {
            tenant.pages_turned.store(0, Ordering::Relaxed);
            0
        }
        _ => tenant.pages_turned.fetch_add(1, Ordering::Relaxed) + 1,
    };
    let row = |index| person::person(index, false);
    let selected = list::select(query, tenant.people(), "name,email", row)?;

    window.offset = match tenant.paging {
        Paging::IgnoresOffset => 0,
        Paging::Repeating if turned == 1 => 0,
        Paging::Overlapping => window.offset.saturating_sub(1),
        _ => window.offset,
    };
    let count = match tenant.paging {
        Paging::NoCount => None,
        Paging::CountTooHigh => Some(selected.len() + 5),
        _ => Some(selected.len()),
    };
    Ok(window.page(&selected, count, |index| person::person(index, with_privileges)))
}
