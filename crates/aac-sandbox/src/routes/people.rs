//! `/iam/v1/workspaces`, `/iam/v1/people` and `/v4/people`

use serde_json::{Map, Value, json};

use super::errors::{Rejection, Reply, conflict, forbidden, invalid, not_found, ok};
use super::list::{self, Window};
use super::request::{Query, Request};
use crate::faults::FaultKind;
use crate::http::responses::response;
use crate::options::Paging;
use crate::workspace::people;
use crate::workspace::{Workspace, identity};

/// `GET /iam/v1/workspaces/current`: the workspace of the token.
pub(super) fn workspace(_: &Request<'_>) -> Reply {
    Ok(response(200, "application/json; charset=utf-8", identity::DOCUMENT))
}

/// `GET /iam/v1/workspaces/{id}/people`: a page of the people of the workspace.
///
/// It supports limit, offset, includeCount, includePrivileges, sort, filter, filterType, filterFields, and
/// status with the values new and suspended. It ignores all other parameters, as the real service does with
/// many.
pub(super) fn list(request: &Request<'_>) -> Reply {
    let (workspace, id, query) = (request.workspace, request.id()?, request.query()?);
    is_own(id)?;
    let mut window = Window::of(&query, workspace.max_page)?;
    let with_privileges = query.flag("includePrivileges")?;
    let turned = workspace.turn_page(window.offset);
    window.offset = match workspace.paging {
        Paging::IgnoresOffset => 0,
        Paging::Repeating if turned == 1 => 0,
        Paging::Overlapping => window.offset.saturating_sub(1),
        _ => window.offset,
    };
    // A list of 100,000 is not made anew for each of its pages.
    let is_whole = query.text("filter").is_none() && query.text("sort").is_none_or(|by| by == "id");
    let everyone = workspace.listed(query.text("status"));
    let (length, mut page) = if is_whole {
        let page = &everyone[window.of_all(everyone.len())];
        (everyone.len(), page.iter().map(|&index| workspace.person(index)).collect::<Vec<_>>())
    } else {
        let everyone = everyone.into_iter().map(|index| workspace.person(index)).collect();
        let selected = list::select(&query, everyone)?;
        (selected.len(), window.cut(selected))
    };
    let count = match workspace.paging {
        Paging::NoCount => None,
        Paging::CountTooHigh => Some(length + 5),
        _ => Some(length),
    };
    if with_privileges {
        page.iter_mut().for_each(people::add_privileges);
    }
    window.show(page, count)
}

/// `GET /iam/v1/people/{id}`: one person.
pub(super) fn one(request: &Request<'_>) -> Reply {
    let (workspace, id, query) = (request.workspace, request.id()?, request.query()?);
    let index = workspace.index_of(id).ok_or_else(|| not_found("Person"))?;
    show(workspace, index, &query)
}

/// `GET /v4/people/current`: the person of the token, who is the first.
pub(super) fn current(request: &Request<'_>) -> Reply {
    show(request.workspace, 0, &request.query()?)
}

/// `GET /iam/v1/workspaces/{id}/admins`: those who are not suspended, unless includeStatus says so.
pub(super) fn admins(request: &Request<'_>) -> Reply {
    let (workspace, id, query) = (request.workspace, request.id()?, request.query()?);
    is_own(id)?;
    let wants_all = query.text("includeStatus").is_some_and(|status| status.contains("suspended"));
    let suspended = workspace.listed(Some("suspended"));
    let admins = workspace.listed(None).into_iter();
    let admins = admins.filter(|index| !suspended.contains(index));
    let admins = admins.chain(suspended.iter().copied().filter(|_| wants_all));
    let admins = admins.map(|index| workspace.person(index)).filter(|it| it["isAdmin"] == true);
    let fields =
        ["email", "isDisabled", "validateExportCompliance", "id", "createdAt", "updatedAt"];
    let row = |person: Value| fields.map(|name| (name.to_owned(), person[name].clone()));
    let rows = admins.map(|person| Map::from_iter(row(person))).collect::<Vec<_>>();
    ok(&json!({ "data": rows, "count": rows.len() }))
}

/// `POST /iam/v1/workspaces/{id}/people/batch`: invites people.
pub(super) fn invite(request: &Request<'_>) -> Reply {
    let (workspace, id, body) = (request.workspace, request.id()?, request.object()?);
    is_own(id)?;
    let emails = list_of(&body, "emails", |email| email.as_str().filter(|it| it.contains('@')))?;
    let is_listed = request.fault == Some(&FaultKind::Listed);
    let mut ids = Vec::new();
    for email in emails {
        let invited = workspace.invite(email, is_listed);
        ids.push(invited.map_err(|why| conflict(&format!("{email} {why}")))?);
    }
    ok(&json!({ "data": ids, "count": ids.len() }))
}

/// `POST /iam/v1/workspaces/{id}/people/suspend`: takes away their access to the workspace.
pub(super) fn suspend(request: &Request<'_>) -> Reply {
    change(request, false)
}

/// `POST /iam/v1/workspaces/{id}/people/unsuspend`: gives it back.
pub(super) fn unsuspend(request: &Request<'_>) -> Reply {
    change(request, true)
}

fn change(request: &Request<'_>, ends: bool) -> Reply {
    let (workspace, id, body) = (request.workspace, request.id()?, request.object()?);
    is_own(id)?;
    // Sent as strings, they are known to be accepted.
    let number = |id: &Value| id.as_u64().or_else(|| id.as_str()?.parse().ok());
    let ids = list_of(&body, "personIds", number)?.into_iter();
    let indexes: Option<Vec<_>> = ids.map(|id| workspace.index_of(id)).collect();
    let indexes = indexes.ok_or_else(|| not_found("Person"))?;
    workspace.suspend(&indexes, ends, request.fault == Some(&FaultKind::Listed));
    ok(&json!({}))
}

/// A list in a body, which must have at least one item.
fn list_of<'a, T>(
    body: &'a Map<String, Value>,
    name: &str,
    item: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<T>, Rejection> {
    let items = body.get(name).and_then(Value::as_array).filter(|items| !items.is_empty());
    let items = items.and_then(|items| items.iter().map(item).collect());
    items.ok_or_else(|| invalid(&format!("{name} must be a list, and each item valid")))
}

/// Rejects the ID of another workspace.
fn is_own(id: u64) -> Result<(), Rejection> {
    if id == identity::ID { Ok(()) } else { Err(forbidden()) }
}

fn show(workspace: &Workspace, index: usize, query: &Query) -> Reply {
    let mut person = workspace.person(index);
    if query.flag("includePrivileges")? {
        people::add_privileges(&mut person);
    }
    ok(&person)
}
