//! Runs of jobs and plans.

use aac_sandbox::Options;
use serde_json::{Value, json};

use crate::client::{Client, start};

const JOBS: &str = "/v4/jobGroups";

#[test]
fn a_job_advances_as_its_status_is_read() {
    for (polls, expected) in [
        (3, &["Created", "InProgress", "InProgress", "InProgress", "Complete", "Complete"][..]),
        (0, &["Created", "Complete", "Complete"]),
    ] {
        let sandbox = start(Options { job_polls: polls, ..Options::default() });
        let token = sandbox.issue().access_token;
        let client = Client::new(&sandbox);
        let body = r#"{"wrangledDataset":{"id":7}}"#;
        let started = client.send_json("POST", JOBS, &token, body);
        assert_eq!(started.status, 201);
        let job = started.json();
        let keys: Vec<_> = job.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["sessionId", "reason", "jobGraph", "id", "jobs"]);
        assert_eq!(job["reason"], "JobStarted");
        let path = format!("{JOBS}/{}", job["id"]);
        for (read, status) in expected.iter().enumerate() {
            if read % 2 == 0 {
                let response = client.get(&format!("{path}/status"), &token);
                assert_eq!(response.body, format!("{status:?}"), "{read}");
            } else {
                let response = client.get(&path, &token).json();
                assert_eq!(response["status"], *status, "{read}");
                assert_eq!(response["wrangledDataset"], json!({ "id": 7 }));
            }
        }
        // Another run starts from the beginning.
        let other = client.send_json("POST", JOBS, &token, body).json();
        assert_ne!(other["id"], job["id"]);
        let response = client.get(&format!("{JOBS}/{}/status", other["id"]), &token);
        assert_eq!(response.body, r#""Created""#);
    }
}

#[test]
fn a_run_of_a_plan_says_when_it_started_and_finished() {
    let sandbox = start(Options { job_polls: 1, ..Options::default() });
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let started = client.post("/plans/v1/plans/8/run", &token, b"");
    assert_eq!(started.status, 201);
    assert_eq!(started.json()["validationStatus"], "Valid");
    let path = format!("/plans/v1/planSnapshotRuns/{}", started.json()["planSnapshotRunId"]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let run = client.get(&path, &token).json();
        assert!(run["submittedAt"].is_string(), "{run}");
        assert_eq!(run["plan"]["id"], 8);
        let is_there = |field: &str| run[field] != Value::Null;
        seen.push((run["status"].clone(), is_there("startedAt"), is_there("finishedAt")));
    }
    let expected =
        [("Created", false, false), ("InProgress", true, false), ("Complete", true, true)];
    assert_eq!(seen, expected.map(|(status, began, ended)| (json!(status), began, ended)));
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    for body in ["", "{}", "[]", r#"{"wrangledDataset":7}"#, r#"{"wrangledDataset":{"id":"7"}}"#] {
        let response = client.send_json("POST", JOBS, &token, body);
        assert_eq!(response.status, 400, "{body}: {response:?}");
        assert_eq!(response.json()["exception"]["name"], "ApiValidationFailed", "{body}");
    }
    for (path, exception) in [
        ("/v4/jobGroups/1", "NotFoundException"),
        ("/v4/jobGroups/99999999999999999999/status", "RouteNotFoundException"),
        ("/v4/jobGroups/x/status", "RouteNotFoundException"),
        ("/plans/v1/planSnapshotRuns/701", "NotFoundException"),
        ("/v4/jobGroups", "RouteNotFoundException"),
    ] {
        let response = client.get(path, &token);
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.json()["exception"]["name"], exception, "{path}");
    }
}
