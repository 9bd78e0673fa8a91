//! People. The tests of list_users read their lists page by page.

use aac_sandbox::Options;

use crate::client::{Client, keys, start};

const PEOPLE: &str = "/iam/v1/workspaces/31429/people";

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
    let rows = |query: &str| {
        let page = client.get(&format!("{PEOPLE}?{query}")).json();
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_u64().unwrap() - 51_000).collect::<Vec<_>>()
    };
    // Fuzzily, and by the name alone, unless the request says otherwise.
    assert_eq!(rows("filter=HOPPER"), [3]);
    assert_eq!(rows("filter=ghopr"), [3]);
    assert_eq!(rows("filter=%40example"), [0; 0]);
    assert_eq!(rows("filter=%40example&filterFields=name,email").len(), 4);
    assert_eq!(rows("filter=gracehopper&filterFields=name,email"), [3]);
    assert_eq!(rows("filter=gracehopper&filterFields=name,email&filterType=contains"), [0; 0]);
    assert_eq!(rows("filter=CE+HOP&filterType=contains"), [3]);
    assert_eq!(rows("filter=grace+hopper&filterType=exact"), [0; 0]);
    assert_eq!(rows("filter=grace+hopper&filterType=exactIgnoreCase"), [3]);
    sandbox.add_fault("api:filter-ignored".parse().unwrap());
    assert_eq!(rows("filter=HOPPER&filterType=contains&sort=id").len(), 4);
    let query = format!("{PEOPLE}?filter=HOPPER");
    sandbox.add_fault("api:filter-refusedx3".parse().unwrap());
    for option in ["filterType=fuzzy", "filterFields=name"] {
        let refused = client.get(&format!("{query}&{option}")).error();
        assert_eq!(refused, (400, "ApiValidationFailed".to_owned()), "{option}");
    }
    assert_eq!(client.get(&query).status, 200);
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
        ("/iam/v1/workspaces/31429/people?filter=a&filterType=x", 400, "ApiValidationFailed"),
        ("/iam/v1/people/1", 404, "NotFoundException"),
        ("/iam/v1/people/current", 404, "RouteNotFoundException"),
    ] {
        assert_eq!(client.get(path).error(), (status, name.to_owned()), "{path}");
    }
}
