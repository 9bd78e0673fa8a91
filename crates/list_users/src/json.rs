//! Users as JSON, as the server wrote them, or so many of their fields.

use crate::columns;
use crate::progress::print_each;
use aac_auth::{Error, JsonArray, JsonText, Output, Rows, json};
use std::borrow::Cow;

/// One array. It ends with the last user, so that a list that was cut short is not valid JSON.
pub fn print_array(users: &mut Rows, columns: &[String], mut output: Output) -> Result<(), Error> {
    let mut array = JsonArray::default();
    let is_counted = !output.is_terminal();
    print_each(users, &mut output, is_counted, |user, output| {
        array.push(&chosen(user, columns), output)
    })?;
    array.end(&mut output)?;
    output.finish()
}

/// An object a line.
pub fn print_lines(users: &mut Rows, columns: &[String], mut output: Output) -> Result<(), Error> {
    let is_counted = !output.is_terminal();
    print_each(users, &mut output, is_counted, |user, output| {
        output.write_json(&chosen(user, columns))?;
        output.write(b"\n")
    })?;
    output.finish()
}

/// The columns of a user, `null` where it has none; without columns, all of the user.
fn chosen<'user>(user: JsonText<'user>, columns: &[String]) -> Cow<'user, str> {
    if columns.is_empty() {
        return user.as_str().into();
    }
    let (values, _) = columns::values(user, columns);
    let members = columns.iter().zip(values).map(|(name, value)| {
        let value = value.map_or("null", JsonText::as_str);
        format!("{}:{value}", json!(name))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into()
}
