//! A table for people to read.

use crate::error::Result;
use crate::output::{Output, one_line};
use console::{Term, measure_text_width, truncate_str};
use std::iter;

/// The gap between two columns.
const GAP: usize = 2;
/// No column is made narrower: the rest would be meaningless.
const NARROWEST: usize = 12;
/// The length of `2025-05-17`, enough of a time if space is scarce.
const DATE: usize = 10;

/// The rows of a table, which are held until their widths are known.
#[derive(Debug)]
pub(super) struct Grid {
    rows: Vec<Row>,
    widths: Vec<usize>,
}

impl Grid {
    pub(super) fn new(columns: &[String]) -> Self {
        let mut grid = Self { rows: Vec::new(), widths: vec![0; columns.len()] };
        grid.push(columns.iter().map(|name| title(name)));
        grid
    }

    pub(super) fn push(&mut self, cells: impl IntoIterator<Item: AsRef<str>>) {
        let row = Row::of(cells);
        row.widen(&mut self.widths);
        self.rows.push(row);
    }

    /// Prints it. On a terminal, no line is wider than the terminal. Returns how many columns had no room.
    pub(super) fn print(mut self, output: &mut Output) -> Result<usize> {
        let columns = self.widths.len();
        if let Some((_, room @ 1..)) = Term::stdout().size_checked()
            && output.is_terminal()
            && total(&self.widths) > room.into()
        {
            self.widths.fill(0);
            for row in &mut self.rows {
                let cells =
                    row.cells().map(|cell| if is_time(cell) { &cell[..DATE] } else { cell });
                *row = Row::of(cells);
                row.widen(&mut self.widths);
            }
            self.widths = fit(self.widths, room.into());
        }
        let mut line = String::new();
        // Without columns, there are no rows.
        for row in self.rows.iter().filter(|_| columns > 0) {
            line.clear();
            for (cell, width) in row.cells().zip(&self.widths) {
                let cell = truncate_str(cell, *width, "…");
                line.push_str(&cell);
                let gap = (width + GAP).saturating_sub(measure_text_width(&cell));
                line.extend(iter::repeat_n(' ', gap));
            }
            output.write(line.trim_end_matches(' ').as_bytes())?;
            output.write(b"\n")?;
        }
        Ok(columns - self.widths.len())
    }
}

/// The cells of a row, a line each.
#[derive(Debug)]
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
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
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

/// `isAdmin` as `IS ADMIN`, `creator.email` as `CREATOR EMAIL`, and `lastLoginTime` as `LAST LOGIN`.
fn title(name: &str) -> String {
    let name = name.strip_suffix("Time").filter(|rest| !rest.is_empty()).unwrap_or(name);
    let mut title = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        match letter {
            '.' => title.push(' '),
            letter => title.extend(letter.to_uppercase()),
        }
    }
    title
}
