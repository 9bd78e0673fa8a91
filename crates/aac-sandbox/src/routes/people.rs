//! `/iam/v1/workspaces/{id}/people` and `…/admins`, `/iam/v1/people`, `/v4/people`

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::input::{Number, Refusal};
use super::list::{self, Window};
use super::query::Query;
use super::{Tenant, person};
use crate::envelope::{self, exception};
use crate::options::Paging;
use crate::workspace;

/// `GET /iam/v1/workspaces/{id}/people`: a page of the people of the workspace.
///
/// Knows limit, offset, includeCount, includePrivileges, sort and the three filter parameters;
/// what else the query has is ignored, as the real service ignores much.
pub(super) async fn list(
    State(tenant): State<Arc<Tenant>>,
    _: OwnWorkspace,
    query: Query,
) -> Result<Response<Body>, Refusal> {
    Ok(envelope::json(StatusCode::OK, &page(&tenant, &query)?))
}

/// `GET /iam/v1/workspaces/{id}/admins`: those who run the workspace, always with their count.
pub(super) async fn admins(State(tenant): State<Arc<Tenant>>, _: OwnWorkspace) -> Response<Body> {
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
    Number(id): Number,
    query: Query,
) -> Result<Response<Body>, Refusal> {
    let index = (0..tenant.people()).find(|&index| person::id(index) == id).ok_or_else(|| {
        exception(StatusCode::NOT_FOUND, "NotFoundException", "Person not found", None)
    })?;
    show(index, &query)
}

/// `GET /v4/people/current`: the person of the token, who is the first one.
pub(super) async fn current(query: Query) -> Result<Response<Body>, Refusal> {
    show(0, &query)
}

fn show(index: usize, query: &Query) -> Result<Response<Body>, Refusal> {
    let person = person::person(index, query.flag("includePrivileges")?);
    Ok(envelope::json(StatusCode::OK, &person))
}

/// A path with the id of the workspace that the token is for.
pub(super) struct OwnWorkspace;

impl FromRequestParts<Arc<Tenant>> for OwnWorkspace {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, tenant: &Arc<Tenant>) -> Result<Self, Refusal> {
        let Number(id) = Number::from_request_parts(parts, tenant).await?;
        if id == workspace::ID {
            return Ok(Self);
        }
        let (name, message) = match tenant.foreign_workspace {
            StatusCode::FORBIDDEN => {
                ("AccessControlException", "User is not authorised to access this API.")
            }
            _ => ("NotFoundException", "Workspace not found"),
        };
        Err(exception(tenant.foreign_workspace, name, message, None).into())
    }
}

fn page(tenant: &Tenant, query: &Query) -> Result<Value, Refusal> {
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
