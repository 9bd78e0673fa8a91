//! Fields of a user as columns.

use crate::progress::Users;
use aac_auth::Error;
use serde_json::Value;

/// What is shown where nothing is asked for.
pub const DEFAULT: [&str; 5] = ["name", "email", "state", "lastLoginTime", "id"];

/// All fields that users on the first page have, in the order in which they come.
pub fn seen(users: &mut Users) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = Vec::new();
    for row in users.rows.page()? {
        let Ok(Value::Object(user)) = serde_json::from_str(row) else {
            continue;
        };
        for name in user.keys() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}

/// An error for a column that no user has, unless there are no users to tell.
pub fn check(columns: &[String], users: &mut Users) -> Result<(), Error> {
    let seen = seen(users)?;
    match columns.iter().find(|column| !seen.contains(column)) {
        Some(unknown) if !seen.is_empty() => Err(Error::Request {
            what: format!(
                "--columns: no user on the first page has \"{}\"; there are {}",
                aac_auth::one_line(unknown),
                aac_auth::one_line(&seen.join(","))
            ),
        }),
        _ => Ok(()),
    }
}

/// A field as the text of a cell. What is nested is JSON; null and what is absent are empty.
pub fn cell(user: &Value, column: &str) -> String {
    match user.get(column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
