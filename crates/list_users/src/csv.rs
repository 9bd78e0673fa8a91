//! Users as CSV (RFC 4180), which spreadsheets open.

use crate::columns;
use crate::progress::print_each;
use aac_auth::{Error, JsonText, Output, Rows, one_line};
use std::borrow::Cow;

/// The given columns. Where they are all that are documented, other fields are left out with a warning.
pub fn print(
    users: &mut Rows,
    columns: &[String],
    is_all: bool,
    has_header: bool,
    mut output: Output,
) -> Result<(), Error> {
    let is_terminal = output.is_terminal();
    let mut line = String::new();
    let mut warns = is_all;
    if has_header {
        write_record(columns.iter().map(|name| guarded(name.into())), &mut line, is_terminal);
        output.write(line.as_bytes())?;
    }
    print_each(users, &mut output, !is_terminal, |user, output| {
        let (values, unknown) = columns::values(user, columns);
        if let Some(name) = unknown.filter(|_| warns) {
            warns = false;
            let name = one_line(&name);
            aac_auth::warn(format_args!(
                "users have \"{name}\" as well, which is left out: --columns can name it"
            ));
        }
        write_record(values.into_iter().map(cell), &mut line, is_terminal);
        output.write(line.as_bytes())
    })?;
    output.finish()
}

/// Null is an empty cell, text is itself, anything else the JSON that it is.
fn cell(value: Option<JsonText<'_>>) -> Cow<'_, str> {
    let text = value.and_then(JsonText::string).map(guarded);
    text.unwrap_or_else(|| columns::shown(value))
}

/// People choose their own names. A spreadsheet would run one that begins like a formula.
fn guarded(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}").into(),
        false => text,
    }
}

fn write_record<'a>(
    cells: impl ExactSizeIterator<Item = Cow<'a, str>>,
    line: &mut String,
    is_terminal: bool,
) {
    line.clear();
    // An empty line would be taken for no record.
    let is_single = cells.len() == 1;
    for (column, cell) in cells.enumerate() {
        let cell = if is_terminal { one_line(&cell).into() } else { cell };
        line.push_str(if column == 0 { "" } else { "," });
        match cell.contains([',', '"', '\r', '\n']) || (is_single && cell.is_empty()) {
            true => line.extend(["\"", &cell.replace('"', "\"\""), "\""]),
            false => line.push_str(&cell),
        }
    }
    line.push_str("\r\n");
}
