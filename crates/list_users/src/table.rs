//! Users as a table, for people to read.

use crate::columns::{pick, text};
use crate::users::{Users, print_each};
use aac_auth::Error;
use aac_auth::output::{self, Output, one_line};
use aac_auth::raw::RawValue;
use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

/// The gap between two columns.
const GAP: usize = 2;
/// No column is made narrower: the rest would be meaningless.
const NARROWEST: usize = 12;
/// The length of `2025-05-17`, enough of a time if space is scarce.
const DATE: usize = 10;

/// Prints the given columns. On a terminal, no line is wider than the terminal.
pub(crate) fn print(
    users: &mut Users,
    columns: &[String],
    mut output: Output,
) -> Result<(), Error> {
    let mut rows: Vec<Vec<Box<str>>> = vec![columns.iter().map(|name| title(name)).collect()];
    print_each(users, &mut output, true, |user, _| {
        let cell = |value: &RawValue| one_line(&text(value)).into();
        let (values, _) = pick(user, columns);
        rows.push(values.into_iter().map(|value| value.map_or_else(Box::default, cell)).collect());
        Ok(())
    })?;
    let mut widths = widths(&rows, columns.len());
    if let Some((_, room @ 1..)) = Term::stdout().size_checked()
        && output.is_terminal()
        && total(&widths) > room.into()
    {
        for cell in rows.iter_mut().flatten().filter(|cell| is_time(cell)) {
            *cell = cell[..DATE].into();
        }
        widths = fit(self::widths(&rows, columns.len()), room.into());
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = truncate_str(cell, *width, "…");
            line.push_str(&pad_str(&cell, width + GAP, Alignment::Left, None));
        }
        output.write(line.trim_end_matches(' ').as_bytes())?;
        output.write(b"\n")?;
    }
    output.finish()?;
    if widths.len() < columns.len() {
        let left_out = one_line(&columns[widths.len()..].join(", "));
        output::warn(format_args!("no room for {left_out}: use --columns, or another --format"));
    }
    Ok(())
}

/// The width of each column.
fn widths(rows: &[Vec<Box<str>>], columns: usize) -> Vec<usize> {
    let mut widths = vec![0; columns];
    for (width, cell) in rows.iter().flat_map(|row| (0..).zip(row)) {
        widths[width] = widths[width].max(measure_text_width(cell));
    }
    widths
}

/// The width of a line.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * (widths.len() - 1)
}

/// Narrows the widest columns until the line fits, then drops the last ones.
fn fit(natural: Vec<usize>, room: usize) -> Vec<usize> {
    for count in (1..=natural.len()).rev() {
        let mut widths = natural[..count].to_vec();
        while total(&widths) > room
            && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROWEST)
        {
            *widest -= 1;
        }
        if total(&widths) <= room {
            return widths;
        }
    }
    vec![room]
}

/// Whether it has the form `2025-05-17T04:40:40.000Z`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.is_ascii() && bytes.len() >= 20 && (bytes[4], bytes[7], bytes[DATE]) == (b'-', b'-', b'T')
}

/// `isAdmin` as `IS ADMIN`.
fn title(name: &str) -> Box<str> {
    if name == "lastLoginTime" {
        return "LAST LOGIN".into();
    }
    let mut title = String::new();
    for letter in one_line(name).chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        title.extend(letter.to_uppercase());
    }
    title.into()
}
