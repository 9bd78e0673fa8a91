//! Users as CSV (RFC 4180), for spreadsheets.

use crate::columns::{pick, text};
use crate::users::{Users, print_each};
use aac_auth::Error;
use aac_auth::output::{self, Output, not_a_formula, one_line};
use aac_auth::raw::RawValue;
use std::borrow::Cow;

/// Prints the given columns. If they are all the documented ones, a warning names other fields.
pub(crate) fn print(
    users: &mut Users,
    columns: &[String],
    is_all: bool,
    mut output: Output,
) -> Result<(), Error> {
    let is_terminal = output.is_terminal();
    output.write_csv(columns.iter().map(|name| not_a_formula(name.as_str())))?;
    let mut warns = is_all;
    print_each(users, &mut output, !is_terminal, |user, output| {
        let (values, other) = pick(user, columns);
        output.write_csv(values.into_iter().map(cell))?;
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

/// Users choose their own names. A number such as -5 is not a formula.
fn cell(value: Option<&RawValue>) -> Cow<'_, str> {
    match value {
        Some(string) if string.get().starts_with('"') => not_a_formula(text(string)),
        value => value.map(text).unwrap_or_default(),
    }
}
