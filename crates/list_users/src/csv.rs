//! Users as CSV (RFC 4180), which spreadsheets open.

use crate::columns;
use crate::progress::Users;
use aac_auth::{Error, Output};
use csv::{ErrorKind, Terminator, WriterBuilder};
use std::io;

/// The given columns; without any, all that the users on the first page have.
pub fn print(users: &mut Users, columns: &[String], has_header: bool) -> Result<(), Error> {
    let mut wants_all = columns.is_empty();
    let columns = match columns {
        [] => columns::seen(users)?,
        columns => {
            columns::check(columns, users)?;
            columns.to_vec()
        }
    };
    let columns = match columns[..] {
        [] => columns::DEFAULT.map(str::to_owned).to_vec(),
        _ => columns,
    };
    let output = Output::stdout();
    let is_terminal = output.is_terminal();
    let cell = |text: String| guarded(if is_terminal { aac_auth::one_line(&text) } else { text });
    let mut lines = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(output);
    if has_header {
        lines.write_record(columns.iter().cloned().map(cell)).map_err(error)?;
    }
    while let Some(user) = users.next_value()? {
        let is_known = |name: &String| columns.contains(name);
        if wants_all
            && let Some(user) = user.as_object()
            && let Some(unknown) = user.keys().find(|name| !is_known(name))
        {
            wants_all = false;
            aac_auth::warn(format_args!(
                "users after the first page have \"{}\" as well, which is left out",
                aac_auth::one_line(unknown)
            ));
        }
        let cells = columns.iter().map(|column| cell(columns::cell(&user, column)));
        lines.write_record(cells).map_err(error)?;
        if users.rows.is_page_done() {
            lines.flush().map_err(Error::Output)?;
        }
    }
    lines.flush().map_err(Error::Output)
}

/// People choose their own names. A spreadsheet would run one that begins like a formula.
fn guarded(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn error(error: csv::Error) -> Error {
    Error::Output(match error.into_kind() {
        ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}
