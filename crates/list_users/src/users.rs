//! Users one by one, counted on standard error.

use aac_auth::output::Output;
use aac_auth::raw::RawValue;
use aac_auth::{Error, Rows};
use indicatif::{ProgressBar, ProgressStyle};
use std::thread;
use std::time::Duration;
use std::vec;

/// The users, of whom the first page has arrived.
pub(crate) struct Users {
    first: vec::IntoIter<Box<RawValue>>,
    rest: Rows,
}

impl Users {
    /// Asks for the first page.
    pub(crate) fn of(mut rows: Rows) -> Result<Self, Error> {
        let mut first = Vec::new();
        while let Some(user) = rows.next_raw() {
            first.push(user?);
            if rows.is_page_done() {
                break;
            }
        }
        Ok(Self { first: first.into_iter(), rest: rows })
    }

    /// What is left of the first page.
    pub(crate) fn first_page(&self) -> &[Box<RawValue>] {
        self.first.as_slice()
    }

    fn is_page_done(&self) -> bool {
        self.first_page().is_empty() && self.rest.is_page_done()
    }
}

impl Iterator for Users {
    type Item = Result<Box<RawValue>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.first.next().map(Ok).or_else(|| self.rest.next_raw())
    }
}

/// Prints every user, and flushes the output page by page.
pub(crate) fn print_each(
    users: &mut Users,
    output: &mut Output,
    is_counted: bool,
    mut print: impl FnMut(&RawValue, &mut Output) -> Result<(), Error>,
) -> Result<(), Error> {
    let bar = if is_counted { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    // indicatif panics where no thread can be started.
    if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    let mut count = 0;
    let result = loop {
        match users.next() {
            Some(Ok(user)) => print(&user, output)?,
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
        count += 1;
        if users.is_page_done() {
            output.flush()?;
            let total = users.rest.total().map_or(String::new(), |total| format!(" of {total}"));
            bar.set_message(format!("{count}{total} users"));
        }
    };
    bar.finish_and_clear();
    result
}
