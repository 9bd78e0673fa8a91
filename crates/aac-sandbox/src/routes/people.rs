//! `/iam/v1/workspaces`, `/iam/v1/people` and `/v4/people`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::errors::{Reply, forbidden, not_found, ok};
use super::extract::{Id, Query};
use super::list::{self, Window};
use crate::http::responses::response;
use crate::options::Paging;
use crate::workspace::people::{self, person};
use crate::workspace::{Workspace, identity};

/// `GET /iam/v1/workspaces/current`: the workspace of the token.
pub(super) async fn workspace() -> Response<Body> {
    response(200, "application/json; charset=utf-8", identity::DOCUMENT)
}

/// `GET /iam/v1/workspaces/{id}/people`: a page of the people of the workspace.
///
/// It supports limit, offset, includeCount, includePrivileges, sort, filter, filterType and filterFields. It
/// ignores all other parameters, as the real service does with many.
pub(super) async fn list(
    State(workspace): State<Arc<Workspace>>,
    Id(id): Id,
    query: Query,
) -> Reply {
    if id != identity::ID {
        return Err(forbidden());
    }
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
    let (length, mut page) = if is_whole {
        let everyone = workspace.people();
        (everyone, window.of_all(everyone).map(person).collect::<Vec<_>>())
    } else {
        let everyone = (0..workspace.people()).map(person).collect();
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
pub(super) async fn one(
    State(workspace): State<Arc<Workspace>>,
    Id(id): Id,
    query: Query,
) -> Reply {
    let index = (0..workspace.people()).find(|&index| people::id(index) == id);
    show(index.ok_or_else(|| not_found("Person"))?, &query)
}

/// `GET /v4/people/current`: the person of the token, who is the first.
pub(super) async fn current(query: Query) -> Reply {
    show(0, &query)
}

fn show(index: usize, query: &Query) -> Reply {
    let mut person = person(index);
    if query.flag("includePrivileges")? {
        people::add_privileges(&mut person);
    }
    ok(&person)
}
