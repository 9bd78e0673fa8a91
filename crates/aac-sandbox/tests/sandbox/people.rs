//! Lists of people, page by page.

use std::collections::HashSet;

use aac_sandbox::{Options, Paging};
use serde_json::Value;

use crate::client::{Client, Response, keys, start};

const PEOPLE: &str = "/iam/v1/workspaces/31429/people";

fn get(options: Options, path: &str) -> Response {
    let sandbox = start(options);
    Client::new(&sandbox).get(path)
}

/// The places of the people on a page.
fn places(page: &Value) -> Vec<u64> {
    let rows = page["data"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_u64().unwrap() - 51_000).collect()
}

#[test]
fn pages_cover_everyone_once() {
    let sandbox = start(Options { users: 1234, max_page: 500, ..Options::default() });
    let client = Client::new(&sandbox);
    let page = client.get(PEOPLE).json();
    assert_eq!((places(&page).len(), page.get("count")), (25, None));

    let mut seen = Vec::new();
    loop {
        let path = format!("{PEOPLE}?limit=9999&offset={}&includeCount=true", seen.len());
        let page = client.get(&path).json();
        assert_eq!(page["count"], 1234);
        let rows = places(&page);
        assert!(rows.len() <= 500);
        if rows.is_empty() {
            break;
        }
        seen.extend(rows);
    }
    assert_eq!((seen.len(), seen.iter().collect::<HashSet<_>>().len()), (1234, 1234));
    assert_eq!(get(Options { users: 0, ..Options::default() }, PEOPLE).body, r#"{"data":[]}"#);
}

#[test]
fn pages_of_a_list_that_misbehaves_or_changes_while_it_is_read() {
    type Page = (&'static [u64], Option<u64>);
    let first: Page = (&[0, 1, 2], Some(7));
    let expected: [(Paging, [Page; 4]); 8] = [
        (Paging::Exact, [first, (&[3, 4, 5], Some(7)), (&[6], Some(7)), (&[], Some(7))]),
        (Paging::Overlapping, [first, (&[2, 3, 4], Some(7)), (&[5, 6], Some(7)), (&[], Some(7))]),
        (Paging::IgnoresOffset, [first; 4]),
        (Paging::NoCount, [(&[0, 1, 2], None), (&[3, 4, 5], None), (&[6], None), (&[], None)]),
        (Paging::Repeating, [first, first, (&[6], Some(7)), (&[], Some(7))]),
        (Paging::Growing, [first, (&[3, 4, 5], Some(8)), (&[6, 7, 8], Some(9)), (&[9], Some(10))]),
        (Paging::Shrinking, [first, (&[3, 4, 5], Some(6)), (&[], Some(5)), (&[], Some(4))]),
        (
            Paging::CountTooHigh,
            [(&[0, 1, 2], Some(12)), (&[3, 4, 5], Some(12)), (&[6], Some(12)), (&[], Some(12))],
        ),
    ];
    for (paging, expected) in expected {
        let sandbox = start(Options { users: 7, paging, ..Options::default() });
        let client = Client::new(&sandbox);
        // A second reading is as the first.
        for (offset, (rows, count)) in [0, 3, 6, 9, 0, 3, 6, 9].into_iter().zip(expected.repeat(2))
        {
            let path = format!("{PEOPLE}?limit=3&includeCount=true&offset={offset}");
            let page = client.get(&path).json();
            assert_eq!((&*places(&page), page["count"].as_u64()), (rows, count), "{paging:?}");
        }
    }
}

#[test]
fn a_person_has_the_fields_of_the_real_service_in_their_order() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let page = client.get(&format!("{PEOPLE}?includePrivileges=true")).json();
    let fields = "lastLoginTime id agreementAcceptedAt email name ssoPrincipal hadoopPrincipal \
                  cpPrincipal isAdmin isDisabled forcePasswordChange deleted_at state \
                  lastStateChange gid exportStatusUpdatedAt lastDeletedTenantAt createdAt updatedAt \
                  peopleworkspaces validateExportCompliance outputHomeDir uploadDir";
    let privileges = "maximalPrivileges maximalCapabilities authorizationRoles";
    assert_eq!(keys(&page["data"][0]), format!("{fields} {privileges}"));
    let current = client.get("/v4/people/current?includePrivileges=true").json();
    assert_eq!(current, page["data"][0]);

    let page = client.get(PEOPLE).json();
    assert_eq!(keys(&page["data"][1]), fields);
    assert_eq!(page["data"][1]["gid"].as_str().map(str::len), Some(26));
    assert_eq!(client.get("/iam/v1/people/51001").json(), page["data"][1]);
}

#[test]
fn filter_and_sort() {
    let sandbox = start(Options { users: 4, ..Options::default() });
    let client = Client::new(&sandbox);
    let rows = |query: &str| places(&client.get(&format!("{PEOPLE}?{query}")).json());
    assert_eq!(rows("filter=HOPPER"), [3]);
    assert_eq!(rows("filter=%40example").len(), 4, "in the email address");
    assert_eq!(rows("sort=-id"), [3, 2, 1, 0]);
    assert_eq!(rows("sort=name"), [0, 3, 1, 2]);
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    for (path, status, name) in [
        ("/iam/v1/workspaces/01JKBMKPZ94N0GG5F8N9HY2FJA/people", 404, "RouteNotFoundException"),
        ("/iam/v1/workspaces/1/people", 403, "AccessControlException"),
        ("/iam/v1/workspaces/31429/people?limit=0", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?limit=many", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?offset=-1", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?includeCount=yes", 400, "ApiValidationFailed"),
        ("/iam/v1/workspaces/31429/people?sort=nothing", 400, "ApiValidationFailed"),
        ("/iam/v1/people/1", 404, "NotFoundException"),
        ("/iam/v1/people/current", 404, "RouteNotFoundException"),
    ] {
        assert_eq!(client.get(path).error(), (status, name.to_owned()), "{path}");
    }
}
