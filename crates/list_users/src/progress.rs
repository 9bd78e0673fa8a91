//! The users, counted on standard error while they come.

use aac_auth::{Error, Rows};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::{self, IsTerminal};

pub struct Users {
    pub rows: Rows,
    bar: ProgressBar,
}

impl Users {
    /// `prints_at_end`: nothing else is written while they come.
    pub fn new(rows: Rows, prints_at_end: bool) -> Self {
        // The bar would stand in the middle of what is printed.
        let is_in_the_way = io::stdout().is_terminal() && !prints_at_end;
        let bar = if is_in_the_way { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { rows, bar }
    }

    pub fn next_text(&mut self) -> Result<Option<String>, Error> {
        let row = self.rows.next_text()?;
        self.count(row.is_some());
        Ok(row)
    }

    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        let row = self.rows.next().transpose()?;
        self.count(row.is_some());
        Ok(row)
    }

    fn count(&self, is_one: bool) {
        if !is_one {
            self.bar.finish_and_clear();
            return;
        }
        self.bar.inc(1);
        if self.rows.is_page_done() {
            let total = self.rows.total().map_or(String::new(), |total| format!(" of {total}"));
            self.bar.set_message(format!("{}{total} users", self.bar.position()));
        }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
