//! Which endpoints the Alteryx Cloud API has, as far as is known: the tables of ENDPOINTS.md, beside this crate's
//! Cargo.toml, which also says what their columns mean.

const DOCUMENT: &str = include_str!("../ENDPOINTS.md");

/// The newer names of paths.
const NEWER: [(&str, &str); 3] = [
    ("/v4/plans", "/plans/v1/plans"),
    ("/v4/schedules", "/scheduling/v1/schedules"),
    ("/v4/workspaces/", "/iam/v1/workspaces/"),
];

/// A row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Such as `GET`.
    pub method: &'static str,
    /// Such as `/plans/v1/plans/{id}`.
    pub path: &'static str,
    /// What it is for, in words.
    pub purpose: &'static str,
    /// `api` or `platform`.
    pub host: &'static str,
    /// Calls a minute, per user and per workspace: `30 / 60`. Empty if none is documented.
    pub quota: &'static str,
    /// `documented`, `seen` or `believed`.
    pub sure: &'static str,
}

/// All endpoints, in the order of the document.
///
/// ```
/// let plans = aac_endpoints::all().find(|endpoint| endpoint.path == "/plans/v1/plans").unwrap();
/// assert_eq!((plans.method, plans.host, plans.sure), ("GET", "api", "documented"));
/// ```
pub fn all() -> impl Iterator<Item = Endpoint> {
    DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let [method, path, purpose, host, quota, sure, ""] = cells[..] else { return None };
        let path = path.strip_prefix('`')?.strip_suffix('`')?;
        Some(Endpoint { method, path, purpose, host, quota, sure })
    })
}

/// The endpoint that a request calls, by the newer name of its path or the older one.
pub fn find(method: &str, path: &str) -> Option<Endpoint> {
    let newer = NEWER
        .iter()
        .find_map(|(older, newer)| Some(format!("{newer}{}", path.strip_prefix(older)?)));
    let names = [Some(path), newer.as_deref()];
    all().find(|endpoint| {
        endpoint.method == method && names.iter().flatten().any(|name| is_path(endpoint.path, name))
    })
}

/// Whether the path is as the pattern says, with anything in place of `{id}`, or of `{*rest}` at its end.
pub fn is_path(pattern: &str, path: &str) -> bool {
    let (mut parts, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(first)) if part.starts_with("{*") => {
                return !first.is_empty() || given.next().is_some();
            }
            (Some(part), Some(given))
                if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_row_of_the_document_is_read_and_is_sound() {
        let heads = DOCUMENT.lines().filter(|line| line.starts_with("| method |")).count();
        let rows = DOCUMENT.lines().filter(|line| line.starts_with("| ")).count() - heads;
        assert_eq!(all().count(), rows, "a row has other cells than the head");
        assert!(rows >= 50, "{rows}");
        let mut seen = HashSet::new();
        for row in all() {
            assert!(seen.insert((row.method, row.path)), "twice: {row:?}");
            assert!(["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&row.method), "{row:?}");
            let is_platform = ["/v4/", "/svc-workflow/"].iter().any(|it| row.path.starts_with(it));
            assert_eq!(row.host, if is_platform { "platform" } else { "api" }, "{row:?}");
            let is_number = |part: &str| part.parse::<u32>().is_ok();
            assert!(row.quota.is_empty() || row.quota.split(" / ").all(is_number), "{row:?}");
            assert!(["documented", "seen", "believed"].contains(&row.sure), "{row:?}");
            assert!(!row.purpose.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn a_request_is_found_by_its_path() {
        for (method, path, expected) in [
            ("GET", "/plans/v1/plans", "/plans/v1/plans"),
            ("GET", "/plans/v1/plans/count", "/plans/v1/plans/count"),
            ("GET", "/plans/v1/plans/7", "/plans/v1/plans/{id}"),
            ("POST", "/v4/plans/7/run", "/plans/v1/plans/{id}/run"),
            ("GET", "/v4/workspaces", "/v4/workspaces"),
            ("GET", "/v4/workspaces/1/groups", "/v4/workspaces/{workspaceId}/groups"),
            ("GET", "/v4/workspaces/current", "/iam/v1/workspaces/current"),
            ("PUT", "/plans/v1/plans/7", ""),
            ("GET", "/plans/v1/plans/", ""),
            ("GET", "/plans/v1/plans/7/run/7", ""),
            ("GET", "/plans", ""),
        ] {
            let found = find(method, path).map_or("", |endpoint| endpoint.path);
            assert_eq!(found, expected, "{method} {path}");
        }
        for (path, expected) in
            [("/a/b", true), ("/a/b/c", true), ("/a//b", true), ("/a/", false), ("/a", false)]
        {
            assert_eq!(is_path("/a/{*rest}", path), expected, "{path}");
        }
    }
}
