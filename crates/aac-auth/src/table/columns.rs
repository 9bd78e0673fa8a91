//! The fields of a row as columns.

use super::Fields;
use crate::api::raw;
use crate::error::{Error, Result};
use crate::output::one_line;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The names in a list such as `id,email`, without duplicates.
pub(super) fn of(names: &str) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !columns.iter().any(|column| column == name) {
            columns.push(name.to_owned());
        }
    }
    columns
}

/// Rejects a column that the program does not know, and no row of the first page has, unless that page is empty.
pub(super) fn check(columns: &[String], fields: &Fields, rows: &[Box<RawValue>]) -> Result<()> {
    let mut names = of(&[fields.csv, fields.other].join(","));
    let is_there = |column: &&String| {
        names.contains(column) || rows.iter().any(|row| find(row, column).is_some())
    };
    let missing = columns.iter().find(|column| !is_there(column)).filter(|_| !rows.is_empty());
    let Some(missing) = missing else { return Ok(()) };
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for (name, value) in rows.iter().flat_map(|row| raw::members(row)) {
        add(name.to_string());
        raw::members(value).iter().for_each(|(inner, _)| add(format!("{name}.{inner}")));
    }
    let there = match names.is_empty() {
        true => "they have no fields: --format json prints them".to_owned(),
        false => format!("there are {}", one_line(&names.join(","))),
    };
    Err(Error::usage(format!(
        "--columns: no row on the first page has \"{}\"; {there}",
        one_line(missing)
    )))
}

/// The fields that are not nested in any of these rows.
pub(super) fn plain(rows: &[Box<RawValue>]) -> Result<Vec<String>> {
    let mut fields: Vec<(Cow<'_, str>, bool)> = Vec::new();
    for (name, value) in rows.iter().flat_map(|row| raw::members(row)) {
        let is_nested = value.get().starts_with(['{', '[']);
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, nested)) => *nested |= is_nested,
            None => fields.push((name, is_nested)),
        }
    }
    let plain: Vec<_> = fields
        .iter()
        .filter(|(_, is_nested)| !is_nested)
        .map(|(name, _)| name.to_string())
        .collect();
    if plain.is_empty() && !rows.is_empty() {
        let nested: Vec<_> = fields.iter().map(|(name, _)| &**name).collect();
        return Err(Error::usage(match nested.is_empty() {
            true => "the rows have no fields to be columns: --format json prints them".to_owned(),
            false => format!(
                "all fields of the rows are nested: name some of them with --columns, of {}",
                one_line(&nested.join(","))
            ),
        }));
    }
    Ok(plain)
}

/// The values of the columns, in their order, and the name of the row's first field that is not among them.
pub(super) fn pick<'a>(
    row: &'a RawValue,
    columns: &[String],
) -> (Vec<Option<&'a RawValue>>, Option<Cow<'a, str>>) {
    let (mut values, mut other, mut likely) = (vec![None; columns.len()], None, 0);
    for (name, value) in raw::members(row) {
        // Usually they come in the same order.
        let is_likely = columns.get(likely).is_some_and(|column| *column == name);
        let search = || columns.iter().position(|column| *column == name);
        match is_likely.then_some(likely).or_else(search) {
            Some(index) => {
                values[index] = Some(value);
                likely = index + 1;
            }
            None => {
                other.get_or_insert(name);
            }
        }
    }
    for (value, column) in values.iter_mut().zip(columns) {
        if value.is_none() && column.contains('.') {
            *value = find(row, column);
        }
    }
    (values, other)
}

/// A field, or one of a nested object: `creator.email`. Below `null`, everything is `null`.
fn find<'a>(row: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    if row.get() == "null" {
        return Some(row);
    }
    raw::member(row, path).or_else(|| {
        let (name, rest) = path.split_once('.')?;
        find(raw::member(row, name)?, rest)
    })
}

/// A value for people: nothing for `null`.
pub(super) fn text(value: &RawValue) -> Cow<'_, str> {
    if value.get() == "null" { Cow::default() } else { raw::string(value) }
}
