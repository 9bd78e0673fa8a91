//! The rows of a CSV file, as spreadsheets, scripts and people write it.

use crate::config::text::text_of;
use crate::error::{Error, Result};
use crate::output::not_a_formula;
use crate::tokens::secret::redact;
use csv::{ReaderBuilder, StringRecord};
use std::fs;
use std::io;
use std::path::Path;

/// A row of a CSV file.
///
/// ```no_run
/// for row in aac_auth::batch::rows("people.csv".as_ref(), &["email"])? {
///     println!("line {}: {}", row.line, row.get("email"));
/// }
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of the line, as an editor counts. A row may be longer than one line.
    pub line: usize,
    cells: Vec<(&'static str, String)>,
}

impl Row {
    /// The value in a column, without surrounding blanks; empty if the row or the file has none.
    pub fn get(&self, column: &str) -> &str {
        let cell = self.cells.iter().find(|(name, _)| *name == column);
        cell.map_or("", |(_, value)| value)
    }
}

/// Reads these columns of a CSV file, which must have at least one of them. The first line names the columns, in upper
/// or lower case; `e-mail` counts as `email`. Names in `columns` are in lower case. Other columns and empty rows are
/// skipped.
///
/// Commas, semicolons and tabs separate the values. The text is UTF-8 or UTF-16. A `#TYPE` of PowerShell and a
/// `sep=` of Excel may come first.
///
/// # Errors
///
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read, or has none of the columns.
pub fn rows(path: &Path, columns: &[&'static str]) -> Result<Vec<Row>> {
    let bytes = fs::read(path).map_err(|error| Error::file(path, error))?;
    read(&bytes, columns).map_err(|what| Error::file(path, io::Error::other(what)))
}

fn read(bytes: &[u8], columns: &[&'static str]) -> Result<Vec<Row>, String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err("it is an Excel workbook: save it as \"CSV UTF-8\"".to_owned());
    }
    let text = text_of(bytes).filter(|text| !text.contains('\0'));
    let text = text.ok_or("it is neither UTF-8 nor UTF-16. In Excel, save it as \"CSV UTF-8\"")?;
    let (mut rest, mut line) = (text.as_str(), 1);
    while let Some((first, after)) = rest.split_once('\n') {
        let first = first.trim().trim_matches('"');
        if !first.is_empty() && !first.starts_with("#TYPE ") && !first.starts_with("sep=") {
            break;
        }
        (rest, line) = (after, line + 1);
    }

    let place = |names: &StringRecord, wanted: &str| {
        let at = |wanted| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
        at(wanted).or_else(|| at("e-mail").filter(|_| wanted == "email"))
    };
    let mut found = StringRecord::new();
    for separator in *b",;\t" {
        let mut reader = ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(false)
            .from_reader(rest.as_bytes());
        let mut records = reader.records();
        let names = records.next().and_then(Result::ok).unwrap_or_default();
        if columns.iter().all(|column| place(&names, column).is_none()) {
            found = if names.len() > found.len() { names } else { found };
            continue;
        }
        let places: Vec<_> =
            columns.iter().filter_map(|&column| Some((column, place(&names, column)?))).collect();
        let (mut rows, mut at) = (Vec::new(), 0);
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            // It begins behind the empty lines that its position counts in.
            let start = record.position().map_or(at, |position| position.byte() as usize);
            let blank = rest[start..].bytes().take_while(|byte| b"\r\n".contains(byte)).count();
            line += rest[at..start + blank].matches('\n').count();
            at = start + blank;
            if record.iter().any(|cell| !cell.trim().is_empty()) {
                let cell = |index| plain(record.get(index).unwrap_or_default());
                let cells = places.iter().map(|&(name, index)| (name, cell(index))).collect();
                rows.push(Row { line, cells });
            }
        }
        return Ok(rows);
    }
    let wanted = columns.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or ");
    // It may be creds.json.
    let names: Vec<_> = found.iter().map(|name| redact(name.trim(), &[], 40)).collect();
    Err(match names.concat().is_empty() {
        true => format!("it is empty. Its first line must name the columns: {wanted}"),
        false => format!(
            "it has no column {wanted}. Its first line names {}: rename one of these to {wanted}, or add a line of column names above it",
            names.join(", ")
        ),
    })
}

/// A value without blanks around it, and without the `'` by which list_users keeps a spreadsheet from running it.
pub(super) fn plain(cell: &str) -> String {
    let cell = cell.trim();
    let behind = cell.strip_prefix('\'').filter(|text| not_a_formula(*text).len() > text.len());
    behind.unwrap_or(cell).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let rows = super::read(bytes, &["id", "email"])?;
        let show = |row: &Row| format!("{} {}|{}", row.line, row.get("id"), row.get("email"));
        Ok(rows.iter().map(show).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn every_form_that_people_have_is_read() {
        let utf16 = |text: &str| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        for (form, bytes, expected) in [
            ("plain", b"email\na@b.c\nd@e.f\n".to_vec(), "2 |a@b.c; 3 |d@e.f"),
            ("no last line end", b"email\na@b.c".to_vec(), "2 |a@b.c"),
            ("a name in capitals", b"Name, E-Mail ,EMAIL\nA,x,a@b.c\n".to_vec(), "2 |a@b.c"),
            ("another spelling", b"Name,E-Mail\nA,a@b.c\n".to_vec(), "2 |a@b.c"),
            // "CSV UTF-8", in a country with commas and in one with semicolons.
            ("Excel", "\u{feff}Name,email,id\r\n\"Żółć, Łukasz\",a@b.c,7\r\n".into(), "2 7|a@b.c"),
            (
                "Excel, semicolons",
                "\u{feff}Name;email;id\r\n\"Żółć; \"\"Ł\"\"\";a@b.c;7\r\n;;\r\n;d@e.f;\r\n".into(),
                "2 7|a@b.c; 4 |d@e.f",
            ),
            ("Excel, Unicode text", utf16("Name\temail\r\nŻółć\ta@b.c\r\n"), "2 |a@b.c"),
            ("Excel, sep=", b"sep=;\r\nid;email\r\n7;a@b.c\r\n".to_vec(), "3 7|a@b.c"),
            (
                "LibreOffice, every text quoted",
                b"\"email\",\"id\"\n\"a@b.c\",7\n\"two\nlines\",8\nd@e.f,9\n".to_vec(),
                "2 7|a@b.c; 3 8|two\nlines; 5 9|d@e.f",
            ),
            (
                "PowerShell 5.1, Export-Csv",
                utf16(
                    "#TYPE System.Management.Automation.PSCustomObject\r\n\"email\",\"id\"\r\n\"a@b.c\",\"7\"\r\n",
                ),
                "3 7|a@b.c",
            ),
            (
                "PowerShell, -NoTypeInformation",
                b"\"email\",\"id\"\r\n\"a@b.c\",\"7\"\r\n".to_vec(),
                "2 7|a@b.c",
            ),
            (
                "empty lines",
                b"\r\n\r\nemail\r\n\r\n\r\na@b.c\r\n\r\n  \r\nd@e.f\r\n\r\n".to_vec(),
                "6 |a@b.c; 9 |d@e.f",
            ),
            ("blanks", "id , email \n 7\u{a0}, a@b.c \n".into(), "2 7|a@b.c"),
            ("rows of any length", b"email,id\na@b.c\nd@e.f,8,9\n".to_vec(), "2 |a@b.c; 3 8|d@e.f"),
            (
                "of list_users",
                b"id,email\r\n7,'-a@b.c\r\n8,'a@b.c\r\n".to_vec(),
                "2 7|-a@b.c; 3 8|'a@b.c",
            ),
            ("no rows", b"email\n".to_vec(), ""),
        ] {
            assert_eq!(read(&bytes).as_deref(), Ok(expected), "{form}");
        }
    }

    #[test]
    fn what_has_no_such_column_is_told_with_those_that_it_has() {
        let token = "eyJhbGciOiJSUzI1NiJ9.".to_owned() + &"a1B2".repeat(100);
        let creds = format!("{{\"access_token\": \"{token}\",\n\"refresh_token\": \"x\"}}");
        for (bytes, expected) in [
            (
                &b"Name;Mail\nA;a@b.c\n"[..],
                "no column \"id\" or \"email\". Its first line names Name, Mail: rename one of these to \"id\" or \"email\"",
            ),
            (b"a@b.c\nd@e.f\n", "Its first line names a@b.c"),
            (b"", "it is empty. Its first line must name the columns: \"id\" or \"email\""),
            (b"\r\n\r\n", "it is empty"),
            (b"PK\x03\x04\x14\0", "it is an Excel workbook"),
            (b"email\nJos\xe9@b.c\n", "save it as \"CSV UTF-8\""),
            (creds.as_bytes(), "it has no column"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("a1B2a1B2a1B2"), "{error}");
        }
    }
}
