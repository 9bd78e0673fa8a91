//! Runs of jobs and plans.

use aac_sandbox::Options;
use serde_json::{Value, json};
use std::time::Duration;

use crate::client::{Client, start};

const JOBS: &str = "/v4/jobGroups";

fn options(seconds: u64) -> Options {
    Options { run_time: Duration::from_secs(seconds), ..Options::default() }
}

#[test]
fn a_job_advances_as_time_passes() {
    for (seconds, expected) in [
        (40, &[(0, "Created"), (10, "InProgress"), (39, "InProgress"), (40, "Complete")][..]),
        (0, &[(0, "Complete"), (1, "Complete")]),
    ] {
        let sandbox = start(options(seconds));
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
        for (time, status) in expected {
            sandbox.set_clock_offset(*time);
            let response = client.get(&format!("{path}/status"), &token);
            assert_eq!(response.body, format!("{status:?}"), "{time}");
            let response = client.get(&path, &token).json();
            assert_eq!(response["status"], *status, "{time}");
            assert_eq!(response["wrangledDataset"], json!({ "id": 7 }));
        }
        // Another run starts from the beginning.
        let other = client.send_json("POST", JOBS, &token, body).json();
        assert_ne!(other["id"], job["id"]);
        let response = client.get(&format!("{JOBS}/{}/status", other["id"]), &token);
        assert_eq!(response.body, if seconds == 0 { r#""Complete""# } else { r#""Created""# });
        let library = client.get("/v4/jobLibrary?sort=-id&limit=1", &token).json();
        assert_eq!(library["data"][0]["id"], other["id"]);
    }
}

#[test]
fn a_run_of_a_plan_says_when_it_started_and_finished() {
    let sandbox = start(options(40));
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let started = client.post("/plans/v1/plans/8/run", &token, b"");
    assert_eq!(started.status, 201);
    assert_eq!(started.json()["validationStatus"], "Valid");
    let path = format!("/plans/v1/planSnapshotRuns/{}", started.json()["planSnapshotRunId"]);
    let mut seen = Vec::new();
    for time in [0, 10, 40] {
        sandbox.set_clock_offset(time);
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
fn a_run_fails_is_canceled_or_cannot_be_seen_at_first() {
    let sandbox = start(options(0));
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let start = || {
        let started = client.post("/plans/v1/plans/8/run", &token, b"").json();
        format!("/plans/v1/planSnapshotRuns/{}", started["planSnapshotRunId"])
    };
    for fault in ["run:fail", "run:cancel", "run:hidden=10"] {
        sandbox.add_fault(fault.parse().expect(fault));
    }
    // A fault of runs waits for one.
    assert_eq!(client.get("/plans/v1/plans", &token).status, 200);
    for status in ["Failed", "Canceled"] {
        assert_eq!(client.get(&start(), &token).json()["status"], status);
    }
    let hidden = start();
    let listed = || {
        let list = client.get("/plans/v1/planSnapshotRuns?sort=-id", &token).json();
        list["data"].as_array().expect("rows").len()
    };
    assert_eq!((client.get(&hidden, &token).status, listed()), (404, 5));
    sandbox.set_clock_offset(10);
    assert_eq!((client.get(&hidden, &token).status, listed()), (200, 6));
    assert_eq!(client.get(&start(), &token).json()["status"], "Complete");
}

#[test]
fn there_are_runs_of_the_past() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().access_token;
    let list = Client::new(&sandbox).get("/plans/v1/planSnapshotRuns", &token).json();
    let runs = list["data"].as_array().expect("rows").iter();
    let runs = runs.map(|run| format!("{} {} {}", run["id"], run["ranfrom"], run["status"]));
    let expected =
        [r#"698 "schedule" "Complete""#, r#"699 "schedule" "Failed""#, r#"700 "ui" "Complete""#];
    assert_eq!(runs.collect::<Vec<_>>(), expected);
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
