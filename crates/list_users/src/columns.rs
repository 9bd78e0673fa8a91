//! A user's fields as columns.

use aac_auth::Error;
use aac_auth::output::one_line;
use aac_auth::raw::{self, RawValue};
use std::borrow::Cow;

/// The columns of a table by default.
pub(crate) const DEFAULT: &str = "name,email,state,lastLoginTime,id";

/// The documented fields, in the order in which the API sends them.
pub(crate) const ALL: &str = "lastLoginTime,id,agreementAcceptedAt,email,name,ssoPrincipal,hadoopPrincipal,\
    cpPrincipal,isAdmin,isDisabled,forcePasswordChange,deleted_at,state,lastStateChange,gid,\
    exportStatusUpdatedAt,lastDeletedTenantAt,createdAt,updatedAt,peopleworkspaces,\
    validateExportCompliance,outputHomeDir,uploadDir";

/// The fields that are sent only on request.
const PRIVILEGES: &str = "maximalPrivileges,maximalCapabilities,authorizationRoles";

/// The names in a list such as those above, without duplicates.
pub(crate) fn of(names: &str) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !columns.iter().any(|column| column == name) {
            columns.push(name.to_owned());
        }
    }
    columns
}

/// Whether one of the columns is sent only on request.
pub(crate) fn have_privileges(columns: &[String]) -> bool {
    PRIVILEGES.split(',').any(|name| columns.iter().any(|column| column == name))
}

/// Rejects a column that is neither documented nor a field of a user on the first page, unless that
/// page is empty.
pub(crate) fn check(columns: &[String], users: &[Box<RawValue>]) -> Result<(), Error> {
    let documented = of(&[ALL, PRIVILEGES].join(","));
    for column in columns.iter().filter(|column| !documented.contains(column)) {
        let mut seen = Vec::new();
        for (name, _) in users.iter().flat_map(|user| raw::members(user)) {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        if !seen.is_empty() && !seen.iter().any(|name| name == column) {
            let (column, seen) = (one_line(column), one_line(&seen.join(",")));
            let what =
                format!("--columns: no user on the first page has \"{column}\"; there are {seen}");
            return Err(Error::usage(what));
        }
    }
    Ok(())
}

/// The values of the columns, in their order, and the name of the user's first other field.
pub(crate) fn pick<'a>(
    user: &'a RawValue,
    columns: &[String],
) -> (Vec<Option<&'a RawValue>>, Option<Cow<'a, str>>) {
    let (mut values, mut other, mut likely) = (vec![None; columns.len()], None, 0);
    for (name, value) in raw::members(user) {
        // Usually they come in the same order.
        let is_likely = columns.get(likely).is_some_and(|column| *column == name);
        let search = || columns.iter().position(|column| *column == name);
        match is_likely.then_some(likely).or_else(search) {
            Some(index) => {
                values[index] = Some(value);
                likely = index + 1;
            }
            None => {
                other.get_or_insert(name);
            }
        }
    }
    (values, other)
}

/// A value for people: nothing for `null`.
pub(crate) fn text(value: &RawValue) -> Cow<'_, str> {
    if value.get() == "null" { Cow::default() } else { raw::string(value) }
}
