//! `/iam/v1/workspaces/{id}/people` and `…/admins`, `/iam/v1/people`, `/v4/people`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::errors::{Rejection, forbidden, not_found};
use super::extract::Id;
use super::list::{self, Window};
use super::query::Query;
use crate::http::responses;
use crate::options::Paging;
use crate::workspace::people::{self, person};
use crate::workspace::{Workspace, identity};

/// `GET /iam/v1/workspaces/{id}/people`: a page of the people of the workspace.
///
/// It supports limit, offset, includeCount, includePrivileges, sort and the three filter
/// parameters. It ignores all others, as the real service does with many.
pub(super) async fn list(
    State(workspace): State<Arc<Workspace>>,
    _: OwnWorkspace,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    Ok(responses::json(StatusCode::OK, &page(&workspace, &query)?))
}

/// `GET /iam/v1/workspaces/{id}/admins`: the administrators, always with their count.
pub(super) async fn admins(
    State(workspace): State<Arc<Workspace>>,
    _: OwnWorkspace,
) -> Response<Body> {
    let people = (0..workspace.people()).map(|index| person(index, false));
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
    responses::json(StatusCode::OK, &json!({ "data": admins, "count": admins.len() }))
}

/// `GET /iam/v1/people/{id}`: one person.
pub(super) async fn one(
    State(workspace): State<Arc<Workspace>>,
    Id(id): Id,
    query: Query,
) -> Result<Response<Body>, Rejection> {
    let index = (0..workspace.people()).find(|&index| people::id(index) == id);
    let index = index.ok_or_else(|| not_found("Person"))?;
    show(index, &query)
}

/// `GET /v4/people/current`: the person of the token, who is the first.
pub(super) async fn current(query: Query) -> Result<Response<Body>, Rejection> {
    show(0, &query)
}

fn show(index: usize, query: &Query) -> Result<Response<Body>, Rejection> {
    let person = person(index, query.flag("includePrivileges")?);
    Ok(responses::json(StatusCode::OK, &person))
}

/// A path with the ID of the workspace that the token is for.
pub(super) struct OwnWorkspace;

impl FromRequestParts<Arc<Workspace>> for OwnWorkspace {
    type Rejection = Rejection;

    async fn from_request_parts(
        parts: &mut Parts,
        workspace: &Arc<Workspace>,
    ) -> Result<Self, Rejection> {
        let Id(id) = Id::from_request_parts(parts, workspace).await?;
        match id {
            identity::ID => Ok(Self),
            _ if workspace.forbids_others => Err(forbidden()),
            _ => Err(not_found("Workspace")),
        }
    }
}

fn page(workspace: &Workspace, query: &Query) -> Result<Value, Rejection> {
    let mut window = Window::of(query, workspace.max_page)?;
    let with_privileges = query.flag("includePrivileges")?;

    let turned = workspace.turn_page(window.offset);
    let row = |index| person(index, false);
    let selected = list::select(query, workspace.people(), "name,email", "id", row)?;

    window.offset = match workspace.paging {
        Paging::IgnoresOffset => 0,
        Paging::Repeating if turned == 1 => 0,
        Paging::Overlapping => window.offset.saturating_sub(1),
        _ => window.offset,
    };
    let count = match workspace.paging {
        Paging::NoCount => None,
        Paging::CountTooHigh => Some(selected.len() + 5),
        _ => Some(selected.len()),
    };
    Ok(window.page(&selected, count, |index| person(index, with_privileges)))
}
