//! Users one by one, counted on standard error.

use aac_auth::output::Output;
use aac_auth::{Error, JsonText, Rows};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Prints every user, and flushes the output page by page.
pub(crate) fn print_each(
    users: &mut Rows,
    output: &mut Output,
    is_counted: bool,
    mut print: impl FnMut(JsonText<'_>, &mut Output) -> Result<(), Error>,
) -> Result<(), Error> {
    let bar = if is_counted { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut count = 0;
    let result = loop {
        match users.next_text() {
            Ok(Some(user)) => print(user, output)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        count += 1;
        if users.is_page_done() {
            output.flush()?;
            let total = users.total().map_or(String::new(), |total| format!(" of {total}"));
            bar.set_message(format!("{count}{total} users"));
        }
    };
    bar.finish_and_clear();
    result
}
