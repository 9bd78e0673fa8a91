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

#[test]
fn people_are_invited_and_suspended() {
    let sandbox = start(Options { users: 11, ..Options::default() });
    let client = Client::new(&sandbox);
    let rows = |query: &str| {
        let page = client.get(&format!("{PEOPLE}?{query}")).json();
        let rows = page["data"].as_array().unwrap().iter().map(|row| row["email"].clone());
        rows.map(|email| email.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let post =
        |end: &str, body: &str| client.json("POST", &format!("{PEOPLE}/{end}"), body).error();

    let body = r#"{"emails":["New@example.com","other@example.com"]}"#;
    let invited = client.json("POST", &format!("{PEOPLE}/batch"), body);
    assert_eq!((invited.status, invited.json()["count"].as_u64()), (200, Some(2)));
    assert_eq!(
        (rows("").len(), rows("status=new")),
        (11, vec!["new@example.com".to_owned(), "other@example.com".to_owned()])
    );
    sandbox.add_fault("people:listed".parse().unwrap());
    assert_eq!(post("batch", r#"{"emails":["third@example.com"]}"#).0, 200);
    assert_eq!(rows("")[11..], ["third@example.com"]);
    let id = &invited.json()["data"][0];
    assert_eq!(client.get(&format!("/iam/v1/people/{id}")).json()["email"], "new@example.com");

    assert_eq!(post("suspend", r#"{"personIds":[51001,"51010"]}"#).0, 200);
    assert_eq!(rows("status=suspended"), ["lukasz.zolc@example.com", "person00011@example.com"]);
    assert_eq!(rows("sort=id").len(), 10);
    assert_eq!(client.get("/iam/v1/people/51001").json()["isDisabled"], true);
    sandbox.add_fault("people:listed".parse().unwrap());
    assert_eq!(post("suspend", r#"{"personIds":[51002]}"#).0, 200);
    assert_eq!(rows("").len(), 10);
    assert_eq!(post("unsuspend", r#"{"personIds":[51001,51002]}"#).0, 200);
    assert_eq!((rows("").len(), rows("status=suspended").len()), (11, 1));

    let admins = || client.get("/iam/v1/workspaces/31429/admins").json();
    assert_eq!(
        (admins()["count"].as_u64(), admins()["data"][0]["id"].as_u64()),
        (Some(1), Some(51000))
    );
    assert_eq!(
        keys(&admins()["data"][0]),
        "email isDisabled validateExportCompliance id createdAt updatedAt"
    );
    assert_eq!(post("suspend", r#"{"personIds":[51000]}"#).0, 200);
    assert_eq!(admins()["count"], 0);
    let all = "/iam/v1/workspaces/31429/admins?includeStatus=suspended";
    assert_eq!(client.get(all).json()["count"], 1);

    for (end, body, status, name) in [
        ("batch", r#"{"emails":["NEW@example.com"]}"#, 409, "ConflictException"),
        ("batch", r#"{"emails":["person00010@example.com"]}"#, 409, "ConflictException"),
        ("batch", r#"{"emails":["x"]}"#, 400, "ApiValidationFailed"),
        ("batch", r#"{"emails":[]}"#, 400, "ApiValidationFailed"),
        ("suspend", r#"{"personIds":[1]}"#, 404, "NotFoundException"),
        ("suspend", r#"{"personIds":51001}"#, 400, "ApiValidationFailed"),
        ("unsuspend", "{}", 400, "ApiValidationFailed"),
        ("remove", "{}", 404, "RouteNotFoundException"),
    ] {
        assert_eq!(post(end, body), (status, name.to_owned()), "{end} {body}");
    }
    let elsewhere = "/iam/v1/workspaces/1/people/suspend";
    assert_eq!(client.json("POST", elsewhere, r#"{"personIds":[51001]}"#).error().0, 403);
    sandbox.add_fault("people:409".parse().unwrap());
    assert_eq!(rows("").len(), 10, "a fault of these requests alone");
    assert_eq!(post("unsuspend", r#"{"personIds":[51001]}"#).0, 409);
}
