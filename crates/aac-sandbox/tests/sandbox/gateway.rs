//! What reaches the API, and what does not.

use aac_sandbox::Options;
use serde_json::{Value, json};

use crate::client::{CURRENT, Client, begin, read, start};

#[test]
fn the_workspace_is_the_documented_one() {
    let sandbox = start(Options::default());
    let response = Client::new(&sandbox).get(CURRENT);
    let documented: Value = serde_json::from_str(acceptance::DOCUMENTED).unwrap();
    assert_eq!(response.body, documented.to_string());
    assert_eq!(response.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(response.header("x-trifacta-request-id").len(), 36);
}

#[test]
fn the_layers_check_in_order_and_each_has_its_own_format() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let bearer = format!("Bearer {}", client.token);
    let bearer = ("Authorization", bearer.as_str());
    let project = ("x-api-project-id", sandbox.project_id());
    assert_eq!(project.1.len(), 48);

    for (headers, text, code) in [
        (
            &[bearer][..],
            "Failed to resolve API Key variable request.header.x-api-project-id",
            "steps.oauth.v2.FailedToResolveAPIKey",
        ),
        (&[bearer, ("x-api-project-id", "wrong")], "Invalid ApiKey", "oauth.v2.InvalidApiKey"),
    ] {
        let response = client.bare("GET", CURRENT, headers);
        let fault = json!({ "faultstring": text, "detail": { "errorcode": code } });
        assert_eq!((response.status, response.json()), (401, json!({ "fault": fault })));
    }
    assert_eq!(client.bare("GET", CURRENT, &[bearer, ("x-client-id", project.1)]).status, 200);

    for headers in [&[project][..], &[project, ("Authorization", "Bearer wrong")]] {
        let response = client.bare("GET", "/nowhere", headers);
        assert_eq!((response.status, response.body.as_str()), (401, "Unauthorized"));
        assert_eq!(response.header("content-type"), "text/plain");
        assert_eq!(response.header("x-trifacta-request-id"), "");
    }
    assert_eq!(sandbox.counters().unauthorized, 2);

    for (method, path) in [("GET", "/nowhere"), ("POST", CURRENT)] {
        let response = client.bare(method, &format!("{path}?a=b"), &[project, bearer]);
        let exception = json!({
            "name": "RouteNotFoundException",
            "message": "This route does not exist",
            "details": format!("Cannot {method} {path}"),
        });
        assert_eq!((response.status, response.json()), (404, json!({ "exception": exception })));
        assert_eq!(response.header("x-trifacta-request-id").len(), 36);
    }

    let lenient = start(Options { project_id_check: false, ..Options::default() });
    let bearer = format!("Bearer {}", lenient.issue().access_token);
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(Client::new(&lenient).bare("GET", CURRENT, &headers).status, 200);
}

#[test]
fn the_front_end_rejects_a_get_with_a_body() {
    let sandbox = start(Options::default());
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Length: 2\r\n\r\n{}";
    let response = read(begin(&sandbox, request)).unwrap();
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("<title>400 Bad Request</title>"), "{response}");
    assert!(response.contains("Your client has issued a malformed or illegal request."));
}

#[test]
fn echo_shows_a_request_but_not_its_token() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let response = client.send("POST", "/sandbox/echo/a/b?c=d%20e", "", "žluť");
    assert!(!response.body.contains(&client.token));
    assert!(response.body.contains(r#"["authorization","Bearer (redacted)"]"#), "{response:?}");
    let echo = response.json();
    let shown = [&echo["method"], &echo["path"], &echo["query"], &echo["body"]];
    assert_eq!(shown, ["POST", "/sandbox/echo/a/b", "c=d%20e", "žluť"]);

    let echo = client.send("POST", "/sandbox/echo", "", [0xff, 0]).json();
    assert_eq!((&echo["base64"], &echo["length"]), (&json!("/wA="), &json!(2)));
    let large = vec![b'a'; (1 << 20) + 1];
    let echo = client.send("POST", "/sandbox/echo", "", &large).json();
    assert_eq!((&echo["length"], echo.get("body")), (&json!(large.len()), None));
    assert_eq!(sandbox.requests().pop().unwrap().body, large[..64 * 1024]);
}

#[test]
fn the_large_body_of_a_rejected_request_is_read_to_its_end() {
    let sandbox = start(Options::default());
    let mut client = Client::new(&sandbox);
    sandbox.add_fault("api:503".parse().unwrap());
    let body = vec![0; 30 << 20];
    assert_eq!(client.send("POST", "/sandbox/echo", "", &body).status, 503);
    client.token = "wrong".to_owned();
    assert_eq!(client.send("POST", "/sandbox/echo", "", &body).status, 401);
    assert_eq!(sandbox.counters().connections, 1, "it stays open");
}
