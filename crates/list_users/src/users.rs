//! Users one by one, counted on standard error.

use aac_auth::output::Output;
use aac_auth::raw::{self, RawValue};
use aac_auth::{Error, Rows};
use indicatif::{ProgressBar, ProgressStyle};
use std::thread;
use std::time::Duration;
use std::vec;

/// The users, of whom the first page has arrived.
pub(crate) struct Users {
    first: vec::IntoIter<Box<RawValue>>,
    rest: Rows,
    filter: Option<Filter>,
}

/// What users are to be printed. A server may send others: some ignore filters, some match loosely.
pub(crate) struct Filter {
    /// In lower case.
    pub(crate) text: String,
    /// How many more of them.
    pub(crate) left: u64,
}

impl Filter {
    /// Whether the user's name or email contains the text.
    fn takes(&mut self, user: &RawValue) -> bool {
        let is_found = raw::members(user).into_iter().any(|(name, value)| {
            matches!(&*name, "name" | "email")
                && value.get().starts_with('"')
                && raw::string(value).to_lowercase().contains(&self.text)
        });
        self.left -= u64::from(is_found);
        is_found
    }
}

impl Users {
    /// Asks for the first page.
    pub(crate) fn of(mut rows: Rows, filter: Option<Filter>) -> Result<Self, Error> {
        let mut first = Vec::new();
        while let Some(user) = rows.next_raw() {
            first.push(user?);
            if rows.is_page_done() {
                break;
            }
        }
        Ok(Self { first: first.into_iter(), rest: rows, filter })
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
        while self.filter.as_ref().is_none_or(|filter| filter.left > 0) {
            let user = self.first.next().map(Ok).or_else(|| self.rest.next_raw())?;
            let is_wanted = match (&mut self.filter, &user) {
                (Some(filter), Ok(user)) => filter.takes(user),
                _ => true,
            };
            if is_wanted {
                return Some(user);
            }
        }
        None
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
        // Of those that are filtered out, none flushes what was printed before.
        if users.is_page_done() || users.filter.is_some() {
            output.flush()?;
            let total = users.rest.total().filter(|_| users.filter.is_none());
            let total = total.map_or(String::new(), |total| format!(" of {total}"));
            bar.set_message(format!("{count}{total} users"));
        }
    };
    bar.finish_and_clear();
    result
}
