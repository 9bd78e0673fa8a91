//! `/iam/v1/workspaces/{id}/people` and `/iam/v1/people`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::query::{Invalid, Query, invalid};
use super::{Tenant, no_route, person};
use crate::envelope::{self, exception};
use crate::options::Paging;
use crate::workspace;

/// Rows on a page if `limit` does not say.
const PAGE: usize = 25;

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
    // A ULID in place of the number does not match the route of the real service.
    let Ok(id) = id.parse::<u64>() else {
        return no_route(&method, &uri);
    };
    if id != workspace::ID {
        let message = "User is not authorised to access this API.";
        return match tenant.foreign_workspace {
            StatusCode::FORBIDDEN => {
                exception(StatusCode::FORBIDDEN, "AccessControlException", message, None)
            }
            status => exception(status, "NotFoundException", "Workspace not found", None),
        };
    }
    match page(&tenant, &Query::of(&uri)) {
        Ok(page) => envelope::json(StatusCode::OK, &page),
        Err(response) => *response,
    }
}

/// `GET /iam/v1/people/{id}`: one person.
pub(super) async fn one(
    State(tenant): State<Arc<Tenant>>,
    Path(id): Path<String>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    let Ok(id) = id.parse::<u64>() else {
        return no_route(&method, &uri);
    };
    let with_privileges = match Query::of(&uri).flag("includePrivileges") {
        Ok(flag) => flag,
        Err(response) => return *response,
    };
    match (0..tenant.users).find(|&index| person::id(index) == id) {
        Some(index) => envelope::json(StatusCode::OK, &person::person(index, with_privileges)),
        None => exception(StatusCode::NOT_FOUND, "NotFoundException", "Person not found", None),
    }
}

fn page(tenant: &Tenant, query: &Query) -> Result<Value, Invalid> {
    let limit = query.number("limit", 1)?.unwrap_or(PAGE).min(tenant.max_page);
    let offset = query.number("offset", 0)?.unwrap_or(0);
    let with_count = query.flag("includeCount")?;
    let with_privileges = query.flag("includePrivileges")?;

    let mut people: Vec<usize> = (0..tenant.users).collect();
    if let Some(text) = query.text("filter") {
        let filter = Filter::new(text, query)?;
        people.retain(|&index| filter.matches(&person::person(index, false)));
    }
    if let Some(sort) = query.text("sort") {
        let field = sort.trim_start_matches('-');
        if person::person(0, false).get(field).is_none() {
            return Err(invalid(&format!("sort: there is no field {field}")));
        }
        people.sort_by_cached_key(|&index| sort_key(&person::person(index, false)[field]));
        if sort.starts_with('-') {
            people.reverse();
        }
    }

    let offset = match tenant.paging {
        Paging::IgnoresOffset => 0,
        Paging::Overlapping => offset.saturating_sub(1),
        Paging::Exact | Paging::NoCount => offset,
    };
    let rows = people.iter().skip(offset).take(limit);
    let rows: Vec<_> = rows.map(|&index| person::person(index, with_privileges)).collect();
    let mut page = json!({ "data": rows });
    if with_count && tenant.paging != Paging::NoCount {
        page["count"] = json!(people.len());
    }
    Ok(page)
}

/// Numbers by value, everything else by its text; null comes first.
fn sort_key(value: &Value) -> (u64, String) {
    match value {
        Value::Null => (0, String::new()),
        Value::String(text) => (1, text.clone()),
        other => (other.as_u64().unwrap_or(1), other.to_string()),
    }
}

/// `filter`, `filterFields` and `filterType`.
struct Filter<'a> {
    text: &'a str,
    fields: Vec<&'a str>,
    kind: &'a str,
}

impl<'a> Filter<'a> {
    fn new(text: &'a str, query: &'a Query) -> Result<Self, Invalid> {
        let kind = query.text("filterType").unwrap_or("contains");
        if !["fuzzy", "contains", "exact", "exactIgnoreCase"].contains(&kind) {
            return Err(invalid("filterType must be fuzzy, contains, exact or exactIgnoreCase"));
        }
        let fields = query.text("filterFields").unwrap_or("name,email").split(',').collect();
        Ok(Self { text, fields, kind })
    }

    fn matches(&self, person: &Value) -> bool {
        let values = self.fields.iter().filter_map(|&field| person[field].as_str());
        let wanted = self.text.to_lowercase();
        values.into_iter().any(|value| match self.kind {
            "exact" => value == self.text,
            "exactIgnoreCase" => value.to_lowercase() == wanted,
            _ => value.to_lowercase().contains(&wanted),
        })
    }
}
