//! Users as CSV (RFC 4180), for spreadsheets.

use crate::progress::print_each;
use aac_auth::output::{self, Output, one_line};
use aac_auth::{Error, JsonText, Rows};
use std::borrow::Cow;

/// Prints the given columns. If they are all the documented ones, a warning names other fields.
pub(crate) fn print(
    users: &mut Rows,
    columns: &[String],
    is_all: bool,
    has_header: bool,
    mut output: Output,
) -> Result<(), Error> {
    let is_terminal = output.is_terminal();
    let mut line = String::new();
    if has_header {
        let names = columns.iter().map(|name| guarded(name.into()));
        write_record(names, is_terminal, &mut line);
        output.write(line.as_bytes())?;
    }
    let mut warns = is_all;
    print_each(users, &mut output, !is_terminal, |user, output| {
        let (values, other) = user.pick(columns);
        write_record(values.into_iter().map(cell), is_terminal, &mut line);
        output.write(line.as_bytes())?;
        if let Some(name) = other.filter(|_| warns) {
            warns = false;
            let name = one_line(&name);
            output::warn(format_args!(
                "users have \"{name}\" as well, which is left out: --columns can name it"
            ));
        }
        Ok(())
    })?;
    output.finish()
}

fn cell(value: Option<JsonText<'_>>) -> Cow<'_, str> {
    let text = value.and_then(JsonText::string).map(guarded);
    // A number such as -5 is not a formula.
    text.or(value.map(JsonText::text)).unwrap_or_default()
}

/// Users choose their own names. A spreadsheet would run one that begins like a formula.
fn guarded(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}").into(),
        false => text,
    }
}

fn write_record<'a>(
    cells: impl ExactSizeIterator<Item = Cow<'a, str>>,
    is_terminal: bool,
    line: &mut String,
) {
    line.clear();
    // An empty line would not count as a record.
    let is_single = cells.len() == 1;
    for (column, cell) in cells.enumerate() {
        let cell = if is_terminal { one_line(&cell).into() } else { cell };
        line.push_str(if column == 0 { "" } else { "," });
        match cell.bytes().any(|byte| b",\"\r\n".contains(&byte)) || (is_single && cell.is_empty())
        {
            true => line.extend(["\"", &cell.replace('"', "\"\""), "\""]),
            false => line.push_str(&cell),
        }
    }
    line.push_str("\r\n");
}
