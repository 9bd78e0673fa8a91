//! The outcome of each row, in a CSV file from which a later run continues.
//!
//! A row's line is written in two parts: whom it is about, before it is sent; the outcome, after it. So a program
//! that is killed leaves at most one line without an outcome, and that row was under way. It is the last one on the
//! disk after a power failure, too: each first part is synced, and all before it.

use crate::api::client::Client;
use crate::batch::Entry;
use crate::batch::table::plain;
use crate::error::{Error, Result};
use crate::output::{csv_line, not_a_formula, one_line};
use csv::ReaderBuilder;
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};

const HEADER: &str = "workspace,id,email,outcome,detail\r\n";

#[derive(Debug)]
pub(super) struct Report {
    path: PathBuf,
    workspace: String,
    /// None as long as there is none.
    file: Option<File>,
    /// What comes before the first row of this run.
    start: &'static str,
    /// The last outcome of each row in this workspace. An empty one was under way.
    last: HashMap<String, String>,
}

impl Report {
    /// Reads it, if there is one, and locks it. Writes nothing.
    pub(super) fn open(client: &Client, path: &Path, workspace: &str) -> Result<Self> {
        client.may_write(path)?;
        let mut report = Self {
            path: path.to_owned(),
            workspace: workspace.to_owned(),
            file: None,
            start: HEADER,
            last: HashMap::new(),
        };
        let mut file = match File::options().read(true).append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(report),
            file => file.map_err(|error| report.error(error))?,
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Err(report.error(io::Error::other("it is not a file that can be read again")));
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                report.error(io::Error::other("another run is writing it: wait for its end"))
            }
            TryLockError::Error(error) => report.error(error),
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| report.error(error))?;
        let is_one = text.starts_with(HEADER);
        if !is_one && !text.is_empty() {
            let what = "it is no report of this program, or was saved by another one since: name a new file";
            return Err(report.error(io::Error::other(what)));
        }
        if is_one {
            report.start = if text.ends_with('\n') { "" } else { "\r\n" };
        }
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| report.error(io::Error::other(error)))?;
            let cell = |index| record.get(index).unwrap_or_default();
            if cell(0) == workspace {
                report.last.insert(key(cell(1), &plain(cell(2))), cell(3).to_owned());
            }
        }
        report.file = Some(file);
        Ok(report)
    }

    /// What the last line about this row says, if there is one.
    pub(super) fn last(&self, key: &str) -> Option<&str> {
        self.last.get(key).map(String::as_str)
    }

    /// Notes that a row is about to be sent.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<()> {
        let cells = csv_line([&self.workspace, &entry.id, &shown(&entry.email)]);
        self.write(&format!("{cells},"))
            .and_then(|file| file.sync_data())
            .map_err(|error| self.error(error))
    }

    /// Notes what became of it.
    pub(super) fn end(&mut self, outcome: &str, detail: &str) -> Result<()> {
        let line = csv_line([outcome, &shown(detail)]) + "\r\n";
        self.write(&line).map(drop).map_err(|error| self.error(error))
    }

    fn write(&mut self, text: &str) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            // No other run has made it since.
            None => {
                let file = File::create_new(&self.path)?;
                file.try_lock()?;
                file
            }
        };
        let file = self.file.insert(file);
        file.write_all((mem::take(&mut self.start).to_owned() + text).as_bytes())?;
        Ok(file)
    }

    fn error(&self, error: io::Error) -> Error {
        Error::file(&self.path, error)
    }
}

/// What a row is known by.
pub(super) fn key(id: &str, email: &str) -> String {
    if id.is_empty() { email.to_lowercase() } else { id.to_owned() }
}

/// A text on one line, which no spreadsheet runs.
fn shown(text: &str) -> String {
    not_a_formula(one_line(text)).into_owned()
}
