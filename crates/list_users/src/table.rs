//! Users as a table, for people to read.

use crate::columns;
use crate::progress::print_each;
use aac_auth::{Error, Output, Rows, one_line};
use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

/// Between two columns.
const GAP: usize = 2;
/// No column is made narrower: what is left of it would say nothing.
const NARROWEST: usize = 12;
/// The length of `2025-05-17`, which is enough of a time where room is scarce.
const DATE: usize = 10;

/// One line of cells.
type Row = Vec<Box<str>>;

#[derive(Clone)]
struct Column {
    width: usize,
    /// Whether it has times and nothing else.
    is_times: bool,
}

/// The given columns. On a terminal no line is wider than that is.
pub fn print(
    users: &mut Rows,
    names: &[String],
    has_header: bool,
    mut output: Output,
) -> Result<(), Error> {
    let mut rows = Vec::new();
    print_each(users, &mut output, true, |user, _| {
        let (values, _) = columns::values(user, names);
        rows.push(
            values.into_iter().map(|value| one_line(&columns::shown(value)).into()).collect(),
        );
        Ok(())
    })?;
    let header: Option<Row> = has_header.then(|| names.iter().map(|name| title(name)).collect());
    let mut columns = layout(header.as_ref(), &rows, names.len());
    if let Some((_, room @ 1..)) = Term::stdout().size_checked().filter(|_| output.is_terminal()) {
        columns = fit(columns, room.into());
    }
    for row in header.iter().chain(&rows) {
        let mut line = String::new();
        for (cell, Column { width, is_times }) in row.iter().zip(&columns) {
            let is_cut = *is_times && is_time(cell) && cell.len() > *width;
            let cell = if is_cut { cell[..DATE].into() } else { truncate_str(cell, *width, "…") };
            line.push_str(&pad_str(&cell, *width + GAP, Alignment::Left, None));
        }
        output.write(line.trim_end_matches(' ').as_bytes())?;
        output.write(b"\n")?;
    }
    if columns.len() < names.len() {
        let left_out = one_line(&names[columns.len()..].join(", "));
        aac_auth::warn(format_args!("no room for {left_out}: use --columns, or another --format"));
    }
    output.finish()
}

/// Columns that are as wide as what is in them.
fn layout(header: Option<&Row>, rows: &[Row], count: usize) -> Vec<Column> {
    let mut columns = vec![Column { width: 0, is_times: true }; count];
    for (row, is_header) in
        header.map(|row| (row, true)).into_iter().chain(rows.iter().map(|row| (row, false)))
    {
        for (column, cell) in columns.iter_mut().zip(row) {
            let width = if cell.is_ascii() { cell.len() } else { measure_text_width(cell) };
            column.width = column.width.max(width);
            column.is_times &= is_header || cell.is_empty() || is_time(cell);
        }
    }
    columns
}

/// Columns that fit: times are cut to the day, then the widest columns get narrower, then the last ones
/// are left out.
fn fit(mut columns: Vec<Column>, room: usize) -> Vec<Column> {
    let too_wide = |columns: &[Column]| {
        columns.iter().map(|column| column.width).sum::<usize>() + GAP * (columns.len() - 1) > room
    };
    if too_wide(&columns) {
        let times = columns.iter_mut().filter(|column| column.is_times);
        times.for_each(|column| column.width = column.width.min(DATE));
    }
    let mut fitted = columns.clone();
    while too_wide(&fitted) {
        match fitted.iter_mut().max_by_key(|column| column.width) {
            Some(widest) if widest.width > NARROWEST => widest.width -= 1,
            Some(widest) if columns.len() == 1 => widest.width = room,
            _ => {
                columns.pop();
                fitted = columns.clone();
            }
        }
    }
    fitted
}

/// Whether it is written as `2025-05-17T04:40:40.000Z`.
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
