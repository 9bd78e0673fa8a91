//! Lists of people, page by page.

use std::collections::HashSet;

use aac_sandbox::{Options, Paging};
use serde_json::{Value, json};

use crate::client::{Client, Response, start};

const PEOPLE: &str = "/iam/v1/workspaces/31429/people";
const ADMINS: &str = "/iam/v1/workspaces/31429/admins";

fn get(options: Options, path: &str) -> Response {
    let sandbox = start(options);
    let token = sandbox.issue().access_token;
    Client::new(&sandbox).get(path, &token)
}

fn ids(page: &Value) -> Vec<u64> {
    let rows = page["data"].as_array().expect("rows");
    rows.iter().map(|row| row["id"].as_u64().expect("an id")).collect()
}

#[test]
fn pages_cover_everyone_once() {
    let sandbox = start(Options { users: 1234, max_page: 500, ..Options::default() });
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let page = client.get(PEOPLE, &token).json();
    assert_eq!(ids(&page).len(), 25);
    assert_eq!(page.get("count"), None);

    let mut seen = Vec::new();
    loop {
        let path = format!("{PEOPLE}?limit=9999&offset={}&includeCount=true", seen.len());
        let page = client.get(&path, &token).json();
        assert_eq!(page["count"], 1234);
        let rows = ids(&page);
        assert!(rows.len() <= 500);
        if rows.is_empty() {
            break;
        }
        seen.extend(rows);
    }
    assert_eq!(seen.len(), 1234);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 1234);
}

#[test]
fn pages_of_a_service_that_misbehaves() {
    let options = |paging| Options { users: 10, paging, ..Options::default() };
    let second = format!("{PEOPLE}?limit=3&offset=3&includeCount=true");
    let exact = get(options(Paging::Exact), &second).json();
    let overlapping = get(options(Paging::Overlapping), &second).json();
    assert_eq!(ids(&exact)[0], ids(&overlapping)[1]);
    let first = get(options(Paging::IgnoresOffset), PEOPLE).json();
    let again = get(options(Paging::IgnoresOffset), &second).json();
    assert_eq!(ids(&again), ids(&first)[..3]);
    assert_eq!(get(options(Paging::NoCount), &second).json().get("count"), None);
    assert_eq!(get(Options { users: 0, ..Options::default() }, PEOPLE).body, r#"{"data":[]}"#);
}

/// The IDs and counts of pages of three, for several readings of the list.
fn readings(paging: Paging) -> Vec<Vec<(Vec<u64>, u64)>> {
    let sandbox = start(Options { users: 7, paging, ..Options::default() });
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let page = |offset| {
        let path = format!("{PEOPLE}?limit=3&includeCount=true&offset={offset}");
        let page = client.get(&path, &token).json();
        let numbers = ids(&page).iter().map(|id| id - 51_000).collect();
        (numbers, page["count"].as_u64().expect("a count"))
    };
    (0..2).map(|_| [0, 3, 6, 9].map(page).into()).collect()
}

#[test]
fn pages_of_a_list_that_changes_while_it_is_read() {
    let first = || (vec![0, 1, 2], 7);
    for (paging, expected) in [
        (Paging::Exact, [first(), (vec![3, 4, 5], 7), (vec![6], 7), (vec![], 7)]),
        (Paging::Repeating, [first(), (vec![0, 1, 2], 7), (vec![6], 7), (vec![], 7)]),
        (Paging::Growing, [first(), (vec![3, 4, 5], 8), (vec![6, 7, 8], 9), (vec![9], 10)]),
        (Paging::Shrinking, [first(), (vec![3, 4, 5], 6), (vec![], 5), (vec![], 4)]),
        (
            Paging::CountTooHigh,
            [(vec![0, 1, 2], 12), (vec![3, 4, 5], 12), (vec![6], 12), (vec![], 12)],
        ),
    ] {
        let readings = readings(paging);
        assert_eq!(readings, [expected.clone(), expected], "{paging:?}");
    }
}

#[test]
fn a_person_has_the_fields_of_the_real_service_in_their_order() {
    let page = get(Options::default(), &format!("{PEOPLE}?includePrivileges=true")).json();
    let keys: Vec<_> = page["data"][0].as_object().expect("a person").keys().collect();
    assert_eq!(
        keys,
        [
            "lastLoginTime",
            "id",
            "agreementAcceptedAt",
            "email",
            "name",
            "ssoPrincipal",
            "hadoopPrincipal",
            "cpPrincipal",
            "isAdmin",
            "isDisabled",
            "forcePasswordChange",
            "deleted_at",
            "state",
            "lastStateChange",
            "gid",
            "exportStatusUpdatedAt",
            "lastDeletedTenantAt",
            "createdAt",
            "updatedAt",
            "peopleworkspaces",
            "validateExportCompliance",
            "outputHomeDir",
            "uploadDir",
            "maximalPrivileges",
            "maximalCapabilities",
            "authorizationRoles"
        ]
    );
    let page = get(Options::default(), PEOPLE).json();
    assert_eq!(page["data"][0].get("maximalPrivileges"), None);
    assert_eq!(page["data"][0]["gid"].as_str().map(str::len), Some(26));
}

#[test]
fn filter_and_sort() {
    let names = |query: &str| {
        let page = get(Options { users: 4, ..Options::default() }, &format!("{PEOPLE}?{query}"));
        let page = page.json();
        let rows = page["data"].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("filter=HOPPER"), ["Grace Hopper"]);
    assert_eq!(names("filter=@example&filterFields=email").len(), 4);
    assert_eq!(names("filter=ada&filterType=exact").len(), 0);
    assert_eq!(names("filter=ada+lovelace&filterType=exactIgnoreCase"), ["Ada Lovelace"]);
    assert_eq!(names("sort=-id")[0], "Grace Hopper");
    assert_eq!(names("sort=name")[1], "Grace Hopper");
}

#[test]
fn invalid_requests_are_rejected() {
    for (path, status, name) in [
        ("/iam/v1/workspaces/01JKBMKPZ94N0GG5F8N9HY2FJA/people", 404, "RouteNotFoundException"),
        ("/iam/v1/workspaces/1/people", 403, "AccessControlException"),
        ("/iam/v1/workspaces/01JKBMKPZ94N0GG5F8N9HY2FJA/admins", 404, "RouteNotFoundException"),
        ("/iam/v1/workspaces/1/admins", 403, "AccessControlException"),
        ("/iam/v1/workspaces/31429/people?limit=0", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?limit=many", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?offset=-1", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?includeCount=yes", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?filter=a&filterType=b", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?sort=nothing", 400, "ApiValidationFailed"),
        ("/iam/v1/people/1", 404, "NotFoundException"),
        ("/iam/v1/people/current", 404, "RouteNotFoundException"),
    ] {
        let response = get(Options::default(), path);
        assert_eq!(response.status, status, "{path}: {response:?}");
        assert_eq!(response.json()["exception"]["name"], name, "{path}");
    }
    let options = Options { foreign_workspace: 404, ..Options::default() };
    assert_eq!(get(options.clone(), "/iam/v1/workspaces/1/people").status, 404);
    assert_eq!(get(options, "/iam/v1/workspaces/1/admins").status, 404);
}

#[test]
fn one_person() {
    let page = get(Options::default(), PEOPLE).json();
    let id = ids(&page)[1];
    let response = get(Options::default(), &format!("/iam/v1/people/{id}"));
    assert_eq!(response.json(), page["data"][1]);
}

#[test]
fn the_current_person_is_the_first_one() {
    let page = get(Options::default(), &format!("{PEOPLE}?includePrivileges=true")).json();
    let response = get(Options::default(), "/v4/people/current?includePrivileges=true");
    assert_eq!(response.json(), page["data"][0]);
}

#[test]
fn admins_have_their_own_fields_and_always_a_count() {
    let response = get(Options { users: 30, ..Options::default() }, ADMINS);
    assert_eq!(
        response.json(),
        json!({
            "data": [{
                "email": "ada.lovelace@example.com",
                "isDisabled": false,
                "validateExportCompliance": true,
                "id": 51000,
                "createdAt": "2025-01-01T00:00:00.000Z",
                "updatedAt": "2025-02-02T01:07:13.000Z",
            }],
            "count": 1,
        })
    );
    let nobody = get(Options { users: 0, ..Options::default() }, ADMINS);
    assert_eq!(nobody.body, r#"{"data":[],"count":0}"#);
}
