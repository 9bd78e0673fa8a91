//! Plans, from creation to deletion.

use aac_sandbox::Options;
use serde_json::json;

use crate::client::{Client, Response, start};

const PLANS: &str = "/plans/v1/plans";

fn name(response: &Response) -> String {
    response.json()["exception"]["name"].as_str().expect("a name").to_owned()
}

#[test]
fn a_list_of_plans_has_the_parameters_of_people() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    for number in 1..=30 {
        let body = json!({ "name": format!("Number {number:02}") }).to_string();
        assert_eq!(client.send_json("POST", PLANS, &token, &body).status, 201);
    }
    let names = |query: &str| {
        let page = client.get(&format!("{PLANS}?{query}"), &token).json();
        let rows = page["data"].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").len(), 25);
    assert_eq!(names("limit=2"), ["Monthly report", "Przegląd tygodnia 週報"]);
    assert_eq!(names("offset=31"), ["Number 30"]);
    assert_eq!(names("sort=-name&limit=1"), ["Przegląd tygodnia 週報"]);
    assert_eq!(names("filter=number+0").len(), 9);
    assert_eq!(names("filter=SALES"), ["Monthly report"]);
    assert_eq!(names("filter=sales&filterFields=name").len(), 0);
    assert_eq!(names("filter=Number+07&filterType=exact"), ["Number 07"]);

    let page = client.get(&format!("{PLANS}?includeCount=true&limit=1"), &token).json();
    assert_eq!(page["count"], 32);
    assert_eq!(client.get(PLANS, &token).json().get("count"), None);
    assert_eq!(client.get(&format!("{PLANS}/count"), &token).body, r#"{"count":32}"#);
    let count = client.get(&format!("{PLANS}/count?filter=number+0"), &token);
    assert_eq!(count.json()["count"], 9);
    let invalid = client.get(&format!("{PLANS}?sort=nothing"), &token);
    assert_eq!((invalid.status, name(&invalid).as_str()), (400, "ApiValidationFailed"));
}

#[test]
fn a_plan_from_its_creation_to_its_end() {
    let sandbox = start(Options { clock_offset: 1000, ..Options::default() });
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let created = client.send_json("POST", PLANS, &token, r#"{"name":"Mine","description":"d"}"#);
    assert_eq!(created.status, 201);
    let plan = created.json();
    let path = format!("{PLANS}/{}", plan["id"]);
    assert_eq!((&plan["name"], &plan["description"]), (&json!("Mine"), &json!("d")));
    assert_eq!(client.get(&path, &token).json(), plan);
    let full = client.get(&format!("{path}/full"), &token).json();
    assert_eq!((&full["name"], &full["planNodes"]), (&json!("Mine"), &json!([])));

    sandbox.set_clock_offset(1010);
    let updated = client.send_json("PATCH", &path, &token, r#"{"description":null,"x":1}"#);
    assert_eq!(updated.status, 200);
    let update = updated.json();
    let keys: Vec<_> = update.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["id", "updatedAt"]);
    let changed = client.get(&path, &token).json();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Mine"), &json!(null)));
    assert_eq!(changed["createdAt"], plan["createdAt"]);
    assert_eq!(changed["updatedAt"], update["updatedAt"]);
    // Both are ISO 8601 in UTC, whose order is that of the text.
    assert!(update["updatedAt"].as_str() > plan["updatedAt"].as_str(), "{update} {plan}");

    let deleted = client.send("DELETE", &path, &token, &[], b"");
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/full")),
        ("GET", format!("{path}/package")),
        ("POST", format!("{path}/run")),
    ] {
        let response = client.send(method, &path, &token, &[], b"");
        assert_eq!((response.status, name(&response).as_str()), (410, "Gone"), "{method} {path}");
    }
    assert_eq!(client.send_json("PATCH", &path, &token, r#"{"name":"x"}"#).status, 410);
    assert_eq!(client.get(&format!("{PLANS}/count"), &token).json()["count"], 2);
    let next = client.send_json("POST", PLANS, &token, r#"{"name":"Next"}"#).json();
    assert!(next["id"].as_u64() > plan["id"].as_u64(), "an id is used once");
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    for (method, path, body, status, exception) in [
        ("POST", PLANS, "", 400, "ApiValidationFailed"),
        ("POST", PLANS, "{", 400, "ApiValidationFailed"),
        ("POST", PLANS, "[]", 400, "ApiValidationFailed"),
        ("POST", PLANS, "{}", 400, "ApiValidationFailed"),
        ("POST", PLANS, r#"{"name":""}"#, 400, "ApiValidationFailed"),
        ("POST", PLANS, r#"{"name":7}"#, 400, "ApiValidationFailed"),
        ("PATCH", "/plans/v1/plans/7", "name=x", 400, "ApiValidationFailed"),
        ("PATCH", "/plans/v1/plans/7", r#"{"name":""}"#, 400, "ApiValidationFailed"),
        ("PATCH", "/plans/v1/plans/1", r#"{"name":"x"}"#, 404, "NotFoundException"),
        ("DELETE", "/plans/v1/plans/1", "{}", 404, "NotFoundException"),
        ("POST", "/plans/v1/plans/1/run", "{}", 404, "NotFoundException"),
        ("POST", "/plans/v1/plans/x/run", "{}", 404, "RouteNotFoundException"),
        ("PUT", "/plans/v1/plans/7", "{}", 404, "RouteNotFoundException"),
    ] {
        let response = client.send_json(method, path, &token, body);
        assert_eq!(response.status, status, "{method} {path} {body}: {response:?}");
        assert_eq!(name(&response), exception, "{method} {path} {body}");
    }
    for path in ["/plans/v1/plans/1", "/plans/v1/plans/1/full", "/plans/v1/plans/1/package"] {
        assert_eq!(client.get(path, &token).status, 404, "{path}");
    }
    for headers in [&[][..], &[("Content-Type", "text/plain")]] {
        let response = client.send("POST", PLANS, &token, headers, br#"{"name":"x"}"#);
        assert_eq!(response.status, 415, "{response:?}");
    }
    let json = [("Content-Type", "Application/JSON; charset=utf-8")];
    assert_eq!(client.send("POST", PLANS, &token, &json, br#"{"name":"x"}"#).status, 201);
}
