//! Fields of a user as columns.

use aac_auth::{Error, JsonText, Rows, one_line};
use std::borrow::Cow;

/// What a table shows where nothing is asked for.
pub const DEFAULT: &str = "name,email,state,lastLoginTime,id";

/// The documented fields, in the order in which the API sends them.
pub const ALL: &str = "lastLoginTime,id,agreementAcceptedAt,email,name,ssoPrincipal,hadoopPrincipal,cpPrincipal,\
    isAdmin,isDisabled,forcePasswordChange,deleted_at,state,lastStateChange,gid,exportStatusUpdatedAt,\
    lastDeletedTenantAt,createdAt,updatedAt,peopleworkspaces,validateExportCompliance,outputHomeDir,uploadDir";

/// Those that come only where they are asked for.
pub const PRIVILEGES: &str = "maximalPrivileges,maximalCapabilities,authorizationRoles";

/// Whether a list such as those above has the name.
pub fn has(list: &str, name: &str) -> bool {
    list.split(',').any(|other| other == name)
}

/// The names of a list, each once and without blanks around it.
pub fn of<'name>(names: impl IntoIterator<Item = &'name str>) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in names.into_iter().map(str::trim).filter(|name| !name.is_empty()) {
        if !columns.iter().any(|column| column == name) {
            columns.push(name.to_owned());
        }
    }
    columns
}

/// An error for a column that is neither documented nor a field of a user on the first page, unless
/// there are no users to tell.
pub fn check(columns: &[String], users: &mut Rows) -> Result<(), Error> {
    let undocumented = columns.iter().filter(|name| !has(ALL, name) && !has(PRIVILEGES, name));
    for column in undocumented {
        let fields = users.page()?.flat_map(JsonText::members);
        let seen = of(fields.map(|(name, _)| name).collect::<Vec<_>>().iter().map(|name| &**name));
        if !seen.is_empty() && !seen.contains(column) {
            let (column, seen) = (one_line(column), one_line(&seen.join(",")));
            let what =
                format!("--columns: no user on the first page has \"{column}\"; there are {seen}");
            return Err(Error::Request { what });
        }
    }
    Ok(())
}

/// The values of a user in the order of the columns, and the first field that no column is for.
pub fn values<'user>(
    user: JsonText<'user>,
    columns: &[String],
) -> (Vec<Option<JsonText<'user>>>, Option<String>) {
    let (mut values, mut unknown, mut next) = (vec![None; columns.len()], None, 0);
    for (name, value) in user.members() {
        // Most often fields come in the order of the columns.
        let is_next = columns.get(next).is_some_and(|column| *column == name);
        let other = || columns.iter().position(|column| *column == name);
        match is_next.then_some(next).or_else(other) {
            Some(column) => {
                values[column] = Some(value);
                next = column + 1;
            }
            None => {
                unknown.get_or_insert_with(|| name.into_owned());
            }
        }
    }
    (values, unknown)
}

/// A value as people read it: text as it is, nothing for null, anything else as the JSON that it is.
pub fn shown(value: Option<JsonText<'_>>) -> Cow<'_, str> {
    match value {
        None => "".into(),
        Some(value) => value.string().unwrap_or(match value.as_str() {
            "null" => "".into(),
            json => json.into(),
        }),
    }
}
