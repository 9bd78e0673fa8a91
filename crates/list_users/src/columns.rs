//! A user's fields as columns.

use aac_auth::output::one_line;
use aac_auth::{Error, JsonText, Rows};

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
pub(crate) fn check(columns: &[String], users: &mut Rows) -> Result<(), Error> {
    let documented = of(&[ALL, PRIVILEGES].join(","));
    for column in columns.iter().filter(|column| !documented.contains(column)) {
        let mut seen = Vec::new();
        for (name, _) in users.page()?.flat_map(JsonText::members) {
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
