//! Lists: which rows a query selects, in which order, and which page of them.

use std::ops::Range;

use serde_json::{Value, json};

use super::errors::{Rejection, Reply, invalid, ok};
use super::request::Query;

/// The number of rows on a page if there is no `limit`.
const DEFAULT_LIMIT: usize = 25;

/// The part of a list that a query asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    limit: usize,
    pub(super) offset: usize,
    with_count: bool,
}

impl Window {
    pub(super) fn of(query: &Query, max_page: usize) -> Result<Self, Rejection> {
        Ok(Self {
            limit: query.number("limit", 1)?.unwrap_or(DEFAULT_LIMIT).min(max_page),
            offset: query.number("offset", 0)?.unwrap_or(0),
            with_count: query.flag("includeCount")?,
        })
    }

    /// The numbers of the page's rows, if all rows are selected.
    pub(super) fn of_all(self, rows: usize) -> Range<usize> {
        self.offset.min(rows)..self.offset.saturating_add(self.limit).min(rows)
    }

    /// The rows of the page.
    pub(super) fn cut(self, rows: Vec<Value>) -> Vec<Value> {
        rows.into_iter().skip(self.offset).take(self.limit).collect()
    }

    /// A page with these rows. `count` is the length that the list states.
    pub(super) fn show(self, rows: Vec<Value>, count: Option<usize>) -> Reply {
        let mut page = json!({ "data": rows });
        if let (true, Some(count)) = (self.with_count, count) {
            page["count"] = json!(count);
        }
        ok(&page)
    }
}

/// A page of the rows that a query selects.
pub(super) fn page(query: &Query, max_page: usize, rows: Vec<Value>) -> Reply {
    let selected = select(query, rows)?;
    let (window, count) = (Window::of(query, max_page)?, selected.len());
    window.show(window.cut(selected), Some(count))
}

/// The rows of which one of `filterFields` matches `filter`, in the order of `sort`. By default, that is the
/// name, and the match is fuzzy.
pub(super) fn select(query: &Query, mut rows: Vec<Value>) -> Result<Vec<Value>, Rejection> {
    if let Some(text) = query.text("filter") {
        let kind = query.text("filterType").unwrap_or("fuzzy");
        let lower = text.to_lowercase();
        let matches: &dyn Fn(&str) -> bool = match kind {
            "fuzzy" => &|value| is_subsequence(&lower, &value.to_lowercase()),
            "contains" => &|value| value.to_lowercase().contains(&lower),
            "exact" => &|value| value == text,
            "exactIgnoreCase" => &|value| value.to_lowercase() == lower,
            _ => return Err(invalid(&format!("filterType: there is no {kind}"))),
        };
        let fields = query.text("filterFields").unwrap_or("name");
        rows.retain(|row| {
            let mut values = fields.split(',').filter_map(|field| row[field].as_str());
            values.any(matches)
        });
    }
    if let Some(sort) = query.text("sort") {
        let field = sort.trim_start_matches('-');
        if rows.first().is_some_and(|row| row.get(field).is_none()) {
            return Err(invalid(&format!("sort: there is no field {field}")));
        }
        rows.sort_by_cached_key(|row| sort_key(&row[field]));
        if sort.starts_with('-') {
            rows.reverse();
        }
    }
    Ok(rows)
}

/// Whether the letters of one text come in the other, in their order.
fn is_subsequence(letters: &str, text: &str) -> bool {
    let mut rest = text.chars();
    letters.chars().all(|letter| rest.any(|other| other == letter))
}

/// Numbers sort by value, also as strings, everything else by its text, null first.
fn sort_key(value: &Value) -> (u64, String) {
    match value {
        Value::Null => (0, String::new()),
        Value::String(text) => (text.parse().unwrap_or(1), text.clone()),
        other => (other.as_u64().unwrap_or(1), other.to_string()),
    }
}
