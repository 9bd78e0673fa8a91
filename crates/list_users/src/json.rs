//! Users as JSON: exactly as the server wrote them, or only some fields.

use crate::columns::pick;
use crate::users::{Users, print_each};
use aac_auth::output::{JsonArray, Output};
use aac_auth::raw::RawValue;
use aac_auth::{Error, json};
use std::borrow::Cow;

/// Prints one array, which ends with the last user, so that a truncated list is not valid JSON; or one
/// object per line.
pub(crate) fn print(
    users: &mut Users,
    columns: &[String],
    is_array: bool,
    mut output: Output,
) -> Result<(), Error> {
    let mut array = JsonArray::default();
    let is_counted = !output.is_terminal();
    print_each(users, &mut output, is_counted, |user, output| {
        let user = chosen(user, columns);
        if is_array {
            return array.push(&user, output);
        }
        output.write_json(&user)?;
        output.write(b"\n")
    })?;
    if is_array {
        array.end(&mut output)?;
    }
    output.finish()
}

/// The chosen columns of a user, `null` if absent; without columns, the whole user.
fn chosen<'user>(user: &'user RawValue, columns: &[String]) -> Cow<'user, str> {
    if columns.is_empty() {
        return user.get().into();
    }
    let (values, _) = pick(user, columns);
    let members = columns
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{}:{}", json!(name), value.map_or("null", RawValue::get)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into()
}
