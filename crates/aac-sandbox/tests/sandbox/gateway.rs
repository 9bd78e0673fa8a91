//! What reaches the API, and what does not.

use aac_sandbox::Options;
use serde_json::{Value, json};

use crate::client::{Client, read_raw, send_raw, start};

/// What the vendor's bash example prints.
const DOCUMENTED: &str = r#"{ "id": 31429, "name": "lukes-test-workspace", "state": "active", "lastStateChange": null, "custom_url": "lukes-test-workspace.us1.alteryxcloud.com", "max_user_number": 5000, "gid": "01JKBMKPZ94N0GG5F8N9HY2FJA", "createdAt": "2025-02-05T18:05:29.000Z", "updatedAt": "2025-02-05T18:05:29.000Z", "workspacetiers": { "data": [ { "isSingleUser": false, "id": 31428, "name": "enterprise_cloud22", "startsAt": "2025-02-05T18:05:29.000Z", "trialState": "None", "workspace": { "id": 31429 } } ] }, "workspace_member_count": 2, "workspace_tier": "enterprise_cloud22", "emrCluster": null }"#;

#[test]
fn the_workspace_is_the_documented_one() {
    let sandbox = start(Options::default());
    let tokens = sandbox.issue();
    let response = Client::new(&sandbox).get("/iam/v1/workspaces/current", &tokens.access_token);
    let documented: Value = serde_json::from_str(DOCUMENTED).expect("JSON");
    assert_eq!(response.body, documented.to_string());
    assert_eq!(response.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(response.header("x-trifacta-request-id").len(), 36);
}

#[test]
fn the_layers_check_in_order_and_each_has_its_own_format() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let bearer = format!("Bearer {}", sandbox.issue().access_token);
    let bearer = ("Authorization", bearer.as_str());
    let project = ("x-api-project-id", sandbox.project_id());
    let current = "/iam/v1/workspaces/current";

    let body = client.get_with(current, &[bearer]);
    assert_eq!(body.status, 401);
    assert_eq!(
        body.json(),
        json!({ "fault": {
            "faultstring": "Failed to resolve API Key variable request.header.x-api-project-id",
            "detail": { "errorcode": "steps.oauth.v2.FailedToResolveAPIKey" },
        } })
    );
    let body = client.get_with(current, &[bearer, ("x-api-project-id", "wrong")]);
    assert_eq!(body.status, 401);
    assert_eq!(
        body.json(),
        json!({ "fault": {
            "faultstring": "Invalid ApiKey", "detail": { "errorcode": "oauth.v2.InvalidApiKey" },
        } })
    );
    assert_eq!(client.get_with(current, &[bearer, ("x-client-id", project.1)]).status, 200);

    for headers in [&[project][..], &[project, ("Authorization", "Bearer wrong")]] {
        let response = client.get_with("/nowhere", headers);
        assert_eq!((response.status, response.body.as_str()), (401, "Unauthorized"));
        assert_eq!(response.header("content-type"), "text/plain");
        assert_eq!(response.header("x-trifacta-request-id"), "");
    }

    let response = client.get_with("/nowhere?a=b", &[project, bearer]);
    assert_eq!(response.status, 404);
    assert_eq!(
        response.json(),
        json!({ "exception": {
            "name": "RouteNotFoundException",
            "message": "This route does not exist",
            "details": "Cannot GET /nowhere",
        } })
    );
    assert_eq!(response.header("x-trifacta-request-id").len(), 36);
    let response = client.post(current, &sandbox.issue().access_token, b"{}");
    assert_eq!(response.status, 404);
    assert_eq!(response.json()["exception"]["details"], format!("Cannot POST {current}"));
    assert_eq!(sandbox.counters().unauthorized, 2);
}

#[test]
fn the_project_id_check_can_be_switched_off() {
    let sandbox = start(Options { project_id_check: false, ..Options::default() });
    let bearer = format!("Bearer {}", sandbox.issue().access_token);
    let headers = [("Authorization", bearer.as_str())];
    let client = Client::new(&sandbox);
    assert_eq!(client.get_with("/iam/v1/workspaces/current", &headers).status, 200);
    sandbox.set_project_id_check(true);
    assert_eq!(client.get_with("/iam/v1/workspaces/current", &headers).status, 401);
}

#[test]
fn the_front_end_rejects_a_get_with_a_body() {
    let sandbox = start(Options::default());
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Length: 2\r\n\r\n{}";
    let response = read_raw(send_raw(&sandbox, request)).expect("a response");
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("<title>400 Bad Request</title>"), "{response}");
    assert!(response.contains("Your client has issued a malformed or illegal request."));
}

#[test]
fn echo_shows_a_request_but_not_its_token() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let token = sandbox.issue().access_token;
    let response = client.post("/sandbox/echo/a/b?c=d%20e", &token, "žluť".as_bytes());
    assert!(!response.body.contains(&token));
    let echo = response.json();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["path"], "/sandbox/echo/a/b");
    assert_eq!(echo["query"], "c=d%20e");
    assert_eq!(echo["body"], "žluť");
    assert!(response.body.contains(r#"["authorization","Bearer (redacted)"]"#), "{response:?}");

    let echo = client.post("/sandbox/echo", &token, &[0xff, 0]).json();
    assert_eq!((&echo["base64"], &echo["length"]), (&json!("/wA="), &json!(2)));
}
