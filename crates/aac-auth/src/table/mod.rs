//! A list of any length as a table, CSV or JSON (feature `table`): `list_users` and `raw_call --paginate` are made
//! of it.
//!
//! ```no_run
//! use aac_auth::output::Output;
//! use aac_auth::table::{Fields, TableOptions};
//!
//! # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
//! let mut plans = client.rows("/plans/v1/plans").named("plans");
//! // A program has these options from its flags.
//! let mut table = TableOptions::default().start(&mut plans, &Fields::default(), Output::stdout())?;
//! while let Some(plan) = plans.next_raw() {
//!     table.push(&plan?)?;
//!     if plans.is_page_done() {
//!         table.flush(&plans)?;
//!     }
//! }
//! table.finish()?;
//! # Ok::<(), aac_auth::Error>(())
//! ```
//!
//! A column is a field, or a field of a nested object, such as `creator.email`. Text that a spreadsheet would run
//! gets a `'` in front in CSV ([`not_a_formula`]). Nested values are JSON.

mod columns;
mod grid;

use crate::api::rows::Rows;
use crate::error::{Error, Result};
use crate::output::{self, JsonArray, Output, not_a_formula, one_line};
use columns::{pick, text};
use grid::Grid;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::thread;
use std::time::Duration;

/// The flags of a list: `--format`, `--columns`, `--bom`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TableOptions {
    /// table, json, jsonl or csv
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    format: Format,

    /// Fields to print: id,name or, nested, creator.email
    #[arg(long, value_name = "NAMES")]
    columns: Vec<String>,

    /// Begin with a byte order mark, for Excel (csv)
    #[arg(long)]
    bom: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Jsonl,
    Csv,
}

/// The fields that a program expects in its rows, with commas between their names. Without them, the columns are the
/// fields that are not nested in any row of the first page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields {
    /// The columns of a table by default.
    pub table: &'static str,
    /// The columns of CSV by default, with those of a table among them.
    pub csv: &'static str,
    /// What else `--columns` may name, though no row has it.
    pub other: &'static str,
}

/// A list that is being printed. JSON and CSV are printed row by row; a table, once all rows are there.
#[derive(Debug)]
pub struct Table {
    form: Form,
    columns: Vec<String>,
    output: Output,
    /// Counts the rows on standard error.
    bar: ProgressBar,
    /// Whether a warning names a field that is left out, and what the rows are called there.
    warns: Option<&'static str>,
}

#[derive(Debug)]
enum Form {
    Table(Grid),
    Json(JsonArray),
    Jsonl,
    Csv,
}

impl TableOptions {
    /// The chosen columns, each once; empty if none is chosen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if `--columns` names none, or `--bom` is not for CSV.
    pub fn columns(&self) -> Result<Vec<String>> {
        if self.bom && self.format != Format::Csv {
            return Err(Error::usage("--bom goes with --format csv"));
        }
        let columns = columns::of(&self.columns.join(","));
        match columns.is_empty() && !self.columns.is_empty() {
            true => Err(Error::usage("--columns names no column")),
            false => Ok(columns),
        }
    }

    /// Asks for the first page, and begins to print.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) as [`columns`](Self::columns), or if a column is not known, and no
    /// row of the first page has it; what [`Rows::first_page`] and [`Output::write`] return.
    pub fn start(&self, rows: &mut Rows, fields: &Fields, output: Output) -> Result<Table> {
        let chosen = self.columns()?;
        let noun = rows.noun();
        self.begin(chosen, rows.first_page()?, noun, fields, output)
    }

    fn begin(
        &self,
        chosen: Vec<String>,
        first: &[Box<RawValue>],
        noun: &'static str,
        fields: &Fields,
        mut output: Output,
    ) -> Result<Table> {
        columns::check(&chosen, fields, first)?;
        let is_default = chosen.is_empty();
        let default = match self.format {
            Format::Table => Some(fields.table),
            Format::Csv => Some(fields.csv),
            Format::Json | Format::Jsonl => None,
        };
        let columns = match default.filter(|_| is_default) {
            Some("") => columns::plain(first)?,
            Some(names) => columns::of(names),
            None => chosen,
        };
        let form = match self.format {
            Format::Table => Form::Table(Grid::new(&columns)),
            Format::Json => Form::Json(JsonArray::default()),
            Format::Jsonl => Form::Jsonl,
            Format::Csv => {
                if self.bom {
                    output.write("\u{feff}".as_bytes())?;
                }
                // Without rows, nobody may know what they would have.
                if !columns.is_empty() {
                    output.write_csv(columns.iter().map(|name| not_a_formula(name.as_str())))?;
                }
                Form::Csv
            }
        };
        let is_counted = self.format == Format::Table || !output.is_terminal();
        let bar = if is_counted { bar() } else { ProgressBar::hidden() };
        Ok(Table { form, columns, output, bar, warns: is_default.then_some(noun) })
    }
}

impl Table {
    /// Prints a row.
    ///
    /// # Errors
    ///
    /// As [`Output::write`]; the same for `flush` and `finish`.
    pub fn push(&mut self, row: &RawValue) -> Result<()> {
        let Self { form, columns, output, warns, .. } = self;
        match form {
            Form::Table(grid) => {
                let (values, _) = pick(row, columns);
                grid.push(values.into_iter().map(|value| value.map(text).unwrap_or_default()));
                Ok(())
            }
            Form::Json(array) => array.push(&chosen(row, columns), output),
            Form::Jsonl => {
                output.write_json(&chosen(row, columns))?;
                output.write(b"\n")
            }
            Form::Csv => {
                let (values, other) = pick(row, columns);
                output.write_csv(values.into_iter().map(cell))?;
                if let Some(name) = other
                    && let Some(noun) = warns.take()
                {
                    let name = one_line(&name);
                    output::warn(format_args!(
                        "{noun} have \"{name}\" as well, which is left out: --columns can name it"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Flushes the output. On a terminal, standard error shows how much of the list has been read.
    pub fn flush(&mut self, rows: &Rows) -> Result<()> {
        self.bar.set_message(rows.progress());
        self.output.flush()
    }

    /// Completes the list. Without this, a JSON array lacks its `]`, nothing of a table is printed, and a file is
    /// unchanged.
    pub fn finish(mut self) -> Result<()> {
        self.bar.finish_and_clear();
        let left_out = match self.form {
            Form::Table(grid) => grid.print(&mut self.output)?,
            Form::Json(array) => {
                array.end(&mut self.output)?;
                0
            }
            Form::Jsonl | Form::Csv => 0,
        };
        self.output.finish()?;
        if let names @ [_, ..] = &self.columns[self.columns.len() - left_out..] {
            let names = one_line(&names.join(", "));
            output::warn(format_args!("no room for {names}: use --columns, or another --format"));
        }
        Ok(())
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    // indicatif panics where no thread can be started.
    if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// The chosen columns of a row, `null` if absent; without columns, the whole row.
fn chosen<'row>(row: &'row RawValue, columns: &[String]) -> Cow<'row, str> {
    if columns.is_empty() {
        return row.get().into();
    }
    let (values, _) = pick(row, columns);
    let members = columns.iter().zip(values).map(|(name, value)| {
        format!("{}:{}", serde_json::json!(name), value.map_or("null", RawValue::get))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into()
}

/// People choose their own names. A number such as -5 is not a formula.
fn cell(value: Option<&RawValue>) -> Cow<'_, str> {
    match value {
        Some(string) if string.get().starts_with('"') => not_a_formula(text(string)),
        value => value.map(text).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{Csv, Json, Jsonl};

    const USERS: Fields = Fields { table: "name,id", csv: "id,name", other: "roles" };

    /// What is printed of the rows of a first page, and of one that comes later.
    fn print(
        format: Format,
        columns: &str,
        fields: &Fields,
        first: &str,
        later: &str,
    ) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let columns: Vec<_> =
            Some(columns.to_owned()).filter(|it| !it.is_empty()).into_iter().collect();
        let options = TableOptions { format, columns, bom: false };
        let first: Vec<Box<RawValue>> = serde_json::from_str(first).unwrap();
        let later: Vec<Box<RawValue>> = serde_json::from_str(later).unwrap();
        let output = Output::open(&path)?;
        let mut table = options.begin(options.columns()?, &first, "users", fields, output)?;
        first.iter().chain(&later).try_for_each(|row| table.push(row))?;
        table.finish()?;
        Ok(std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn a_list_is_printed_as_the_flags_say() {
        const ADA: &str = r#"{"id":1,"name":"Ada","creator":{"email":"a@b","org":{"id":7}},"tags":["x",{"y":null}]}"#;
        const BOB: &str = r#"{"name":"=1+1","x":-5,"id":2.50,"creator":null,"a.b":"dot, \"q\""}"#;
        let rows = &*format!("[{ADA},{BOB}]");
        let any = &Fields::default();
        let table = Format::Table;
        for (format, columns, fields, first, later, printed) in [
            // Without columns: those that the program names, or else what is not nested on the first page.
            (table, "", &USERS, rows, "[]", "NAME  ID\nAda   1\n=1+1  2.50\n"),
            (Csv, "", &USERS, rows, "[]", "id,name\r\n1,Ada\r\n2.50,'=1+1\r\n"),
            (
                Csv,
                "",
                any,
                rows,
                r#"[{"id":3,"x":[1],"new":true}]"#,
                "id,name,x,a.b\r\n1,Ada,,\r\n2.50,'=1+1,-5,\"dot, \"\"q\"\"\"\r\n3,,[1],\r\n",
            ),
            (table, "", any, &format!("[{ADA}]"), "[]", "ID  NAME\n1   Ada\n"),
            (Json, "", &USERS, rows, "[]", &format!("[\n{ADA},\n{BOB}\n]\n")),
            (Jsonl, "", any, &format!("[{ADA}]"), "[]", &format!("{ADA}\n")),
            // What is nested, by its path; what is not there is null.
            (
                Jsonl,
                "creator.email,a.b,nothing.at.all,tags",
                &Fields { other: "nothing.at.all", ..USERS },
                rows,
                "[]",
                "{\"creator.email\":\"a@b\",\"a.b\":null,\"nothing.at.all\":null,\"tags\":[\"x\",{\"y\":null}]}\n\
                 {\"creator.email\":null,\"a.b\":\"dot, \\\"q\\\"\",\"nothing.at.all\":null,\"tags\":null}\n",
            ),
            (
                table,
                "creator.org.id,lastLoginTime,isAdmin,creator",
                &Fields { other: "lastLoginTime,isAdmin", ..USERS },
                rows,
                "[]",
                "CREATOR ORG ID  LAST LOGIN  IS ADMIN  CREATOR\n\
                 7                                     {\"email\":\"a@b\",\"org\":{\"id\":7}}\n\n",
            ),
            (
                Csv,
                "tags,tags",
                any,
                rows,
                "[]",
                "tags\r\n\"[\"\"x\"\",{\"\"y\"\":null}]\"\r\n\"\"\r\n",
            ),
            // Below null there may be anything.
            (Csv, "creator.x", any, &format!("[{BOB}]"), "[]", "creator.x\r\n\"\"\r\n"),
            // No rows: what the program knows, and what is asked for.
            (table, "", &USERS, "[]", "[]", "NAME  ID\n"),
            (table, "", any, "[]", "[]", ""),
            (Csv, "", any, "[]", "[]", ""),
            (Csv, "what,ever", any, "[]", "[]", "what,ever\r\n"),
            (Json, "", any, "[]", "[]", "[]\n"),
            // No objects.
            (Jsonl, "", any, "[1,[2]]", "[]", "1\n[2]\n"),
        ] {
            let got = print(format, columns, fields, first, later).unwrap();
            assert_eq!(got, printed, "{format:?} {columns} {first}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_told_with_those_that_are() {
        let any = &Fields::default();
        let rows = r#"[{"id":1,"creator":{"email":"a"}},{"id":2,"at":null}]"#;
        for (format, columns, fields, rows, words) in [
            (Csv, "id,nmae", any, rows, "\"nmae\"; there are id,creator,creator.email,at"),
            (Json, "creator.emial", any, rows, "no row on the first page has \"creator.emial\""),
            (
                Format::Table,
                "rolse",
                &USERS,
                rows,
                "there are id,name,roles,creator,creator.email,at",
            ),
            (Csv, "id", any, "[1]", "\"id\"; they have no fields: --format json"),
            (Csv, "", any, "[1]", "the rows have no fields to be columns: --format json"),
            (Csv, "", any, r#"[{"a":{},"b":[]}]"#, "with --columns, of a,b"),
            (Csv, " ,", any, rows, "--columns names no column"),
        ] {
            let error = print(format, columns, fields, rows, "[]").unwrap_err().to_string();
            assert!(error.contains(words), "{columns}: {error}");
        }
    }
}
