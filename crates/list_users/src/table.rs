//! Users as a table, for people to read.

use crate::columns::{pick, text};
use crate::users::{Users, print_each};
use aac_auth::Error;
use aac_auth::output::{self, Output, one_line};
use console::{Term, measure_text_width, truncate_str};
use std::iter;

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
    let mut rows = vec![Row::of(columns.iter().map(|name| title(name)))];
    let mut widths = vec![0; columns.len()];
    rows[0].widen(&mut widths);
    print_each(users, &mut output, true, |user, _| {
        let (values, _) = pick(user, columns);
        let row = Row::of(values.into_iter().map(|value| value.map(text).unwrap_or_default()));
        row.widen(&mut widths);
        rows.push(row);
        Ok(())
    })?;
    if let Some((_, room @ 1..)) = Term::stdout().size_checked()
        && output.is_terminal()
        && total(&widths) > room.into()
    {
        widths.fill(0);
        for row in &mut rows {
            *row =
                Row::of(row.cells().map(|cell| if is_time(cell) { &cell[..DATE] } else { cell }));
            row.widen(&mut widths);
        }
        widths = fit(widths, room.into());
    }
    let mut line = String::new();
    for row in &rows {
        line.clear();
        for (cell, width) in row.cells().zip(&widths) {
            let cell = truncate_str(cell, *width, "…");
            line.push_str(&cell);
            let gap = (width + GAP).saturating_sub(measure_text_width(&cell));
            line.extend(iter::repeat_n(' ', gap));
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

/// The cells of a row, a line each.
struct Row(Box<str>);

impl Row {
    fn of(cells: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let mut row = String::new();
        for cell in cells {
            row.push_str(&one_line(cell.as_ref()));
            row.push('\n');
        }
        Self(row.into())
    }

    fn cells(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator('\n')
    }

    /// Makes columns as wide as the widest cell.
    fn widen(&self, widths: &mut [usize]) {
        for (width, cell) in widths.iter_mut().zip(self.cells()) {
            *width = measure_text_width(cell).max(*width);
        }
    }
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
fn title(name: &str) -> String {
    if name == "lastLoginTime" {
        return "LAST LOGIN".to_owned();
    }
    let mut title = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        title.extend(letter.to_uppercase());
    }
    title
}
