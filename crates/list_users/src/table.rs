//! Users as a table, for people to read.

use crate::columns;
use crate::progress::Users;
use aac_auth::{Error, Output};

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table};
use console::Term;

/// The given columns; without any, those that tell most. On a terminal, long names end in `…`.
pub fn print(users: &mut Users, columns: &[String], has_header: bool) -> Result<(), Error> {
    columns::check(columns, users)?;
    let columns = match columns {
        [] => columns::DEFAULT.map(str::to_owned).to_vec(),
        columns => columns.to_vec(),
    };
    let mut output = Output::stdout();
    let mut table = Table::new();
    table.load_style(NOTHING).set_truncation_indicator("…");
    match Term::stdout().size_checked() {
        Some((_, width)) if output.is_terminal() => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width)
        }
        _ => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if has_header {
        table.set_header(columns.iter().map(|column| title(column)));
    }
    while let Some(user) = users.next_value()? {
        let cells = columns.iter().map(|column| aac_auth::one_line(&columns::cell(&user, column)));
        let mut row = Row::from(cells);
        row.max_height(1);
        table.add_row(row);
    }
    for (column, name) in table.column_iter_mut().zip(&columns) {
        column.set_padding((0, 2));
        if ["email", "state", "lastLoginTime", "id"].contains(&name.as_str()) {
            // What is cut of these would be missed; a name is known by its beginning.
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if has_header || table.row_count() > 0 {
        output.write(table.trim_fmt().as_bytes())?;
        output.write(b"\n")?;
    }
    output.finish()
}

/// `lastLoginTime` as `LAST LOGIN TIME`.
fn title(column: &str) -> String {
    let mut title = String::new();
    for character in aac_auth::one_line(column).chars() {
        if character.is_uppercase() && !title.is_empty() {
            title.push(' ');
        }
        title.extend(character.to_uppercase());
    }
    match column {
        "lastLoginTime" => "LAST LOGIN".to_owned(),
        _ => title,
    }
}
