//! Lists: which rows a query selects, in which order, and which page of them.

use serde_json::{Value, json};

use super::errors::{Rejection, invalid};
use super::query::Query;

/// The number of rows on a page if there is no `limit`.
const DEFAULT_LIMIT: usize = 25;

/// The part of a list that a query asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) with_count: bool,
}

impl Window {
    pub(super) fn of(query: &Query, max_page: usize) -> Result<Self, Rejection> {
        Ok(Self {
            limit: query.number("limit", 1)?.unwrap_or(DEFAULT_LIMIT).min(max_page),
            offset: query.number("offset", 0)?.unwrap_or(0),
            with_count: query.flag("includeCount")?,
        })
    }

    /// The page. `show` returns the row at an index; `count` is the length that the list states.
    pub(super) fn page(
        self,
        selected: &[usize],
        count: Option<usize>,
        show: impl Fn(usize) -> Value,
    ) -> Value {
        let rows = selected.iter().skip(self.offset).take(self.limit);
        let rows: Vec<_> = rows.map(|&index| show(index)).collect();
        let mut page = json!({ "data": rows });
        if let (true, Some(count)) = (self.with_count, count) {
            page["count"] = json!(count);
        }
        page
    }
}

/// The indexes of the rows that match `filter`, `filterFields` and `filterType`, in the order of
/// `sort`. Rows are made on demand, since most queries need only one page of them. `order` is the field by
/// which they are sorted already, if there is one.
pub(super) fn select(
    query: &Query,
    len: usize,
    fields: &str,
    order: &str,
    row: impl Fn(usize) -> Value,
) -> Result<Vec<usize>, Rejection> {
    let mut selected: Vec<usize> = (0..len).collect();
    if let Some(text) = query.text("filter") {
        let filter = Filter::new(text, fields, query)?;
        selected.retain(|&index| filter.matches(&row(index)));
    }
    if let Some(sort) = query.text("sort") {
        let field = sort.trim_start_matches('-');
        if len > 0 && row(0).get(field).is_none() {
            return Err(invalid(&format!("sort: there is no field {field}")));
        }
        if field != order {
            selected.sort_by_cached_key(|&index| sort_key(&row(index)[field]));
        }
        if sort.starts_with('-') {
            selected.reverse();
        }
    }
    Ok(selected)
}

/// Numbers sort by value, everything else by its text, null first.
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
    fn new(text: &'a str, fields: &'a str, query: &'a Query) -> Result<Self, Rejection> {
        let kind = query.text("filterType").unwrap_or("contains");
        if !["fuzzy", "contains", "exact", "exactIgnoreCase"].contains(&kind) {
            return Err(invalid("filterType must be fuzzy, contains, exact or exactIgnoreCase"));
        }
        let fields = query.text("filterFields").unwrap_or(fields).split(',').collect();
        Ok(Self { text, fields, kind })
    }

    fn matches(&self, row: &Value) -> bool {
        let values = self.fields.iter().filter_map(|&field| row[field].as_str());
        let wanted = self.text.to_lowercase();
        values.into_iter().any(|value| match self.kind {
            "exact" => value == self.text,
            "exactIgnoreCase" => value.to_lowercase() == wanted,
            _ => value.to_lowercase().contains(&wanted),
        })
    }
}
