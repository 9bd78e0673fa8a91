//! Runs of jobs and plans.

use std::time::Duration;

use aac_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::client::{Client, keys, start};

const JOBS: &str = "/v4/jobGroups";
const PLAN_RUNS: &str = "/plans/v1/planSnapshotRuns";

fn with_runs_of(seconds: u64) -> Sandbox {
    start(Options { run_time: Duration::from_secs(seconds), ..Options::default() })
}

#[test]
fn a_job_advances_as_time_passes() {
    for (seconds, expected) in [
        (40, &[(0, "Created"), (10, "InProgress"), (39, "InProgress"), (40, "Complete")][..]),
        (0, &[(0, "Complete"), (1, "Complete")]),
    ] {
        let sandbox = with_runs_of(seconds);
        let client = Client::new(&sandbox);
        let submit = || client.json("POST", JOBS, r#"{"wrangledDataset":{"id":7}}"#);
        let started = submit();
        assert_eq!(started.status, 201);
        let job = started.json();
        assert_eq!(keys(&job), "sessionId reason jobGraph id jobs");
        assert_eq!(job["reason"], "JobStarted");
        let path = format!("{JOBS}/{}", job["id"]);
        for (time, status) in expected {
            sandbox.set_clock_offset(*time);
            assert_eq!(client.get(&format!("{path}/status")).body, format!("{status:?}"), "{time}");
            let response = client.get(&path).json();
            assert_eq!(response["status"], *status, "{time}");
            assert_eq!(response["wrangledDataset"], json!({ "id": 7 }));
        }
        // Another run starts from the beginning.
        let other = submit().json();
        let library = client.get("/v4/jobLibrary?sort=-id&limit=1").json();
        let (first, latest) = (expected[0].1, &library["data"][0]);
        assert_eq!((&latest["id"], &latest["status"]), (&other["id"], &json!(first)));
    }
}

#[test]
fn a_run_of_a_plan_says_when_it_started_and_finished() {
    let sandbox = with_runs_of(40);
    let client = Client::new(&sandbox);
    let started = client.send("POST", "/plans/v1/plans/8/run", "", "");
    assert_eq!((started.status, &started.json()["validationStatus"]), (201, &json!("Valid")));
    let path = format!("{PLAN_RUNS}/{}", started.json()["planSnapshotRunId"]);
    for (time, status, has_begun, has_ended) in [
        (0, "Created", false, false),
        (10, "InProgress", true, false),
        (40, "Complete", true, true),
    ] {
        sandbox.set_clock_offset(time);
        let run = client.get(&path).json();
        assert!(run["submittedAt"].is_string(), "{run}");
        assert_eq!((&run["plan"]["id"], &run["status"]), (&json!(8), &json!(status)));
        let is_there = |field: &str| run[field] != Value::Null;
        assert_eq!((is_there("startedAt"), is_there("finishedAt")), (has_begun, has_ended));
    }
}

#[test]
fn an_execution_id_starts_one_run() {
    let sandbox = with_runs_of(0);
    let client = Client::new(&sandbox);
    let send = |path: &str, body: &str, id: &str| {
        let bearer = format!("Bearer {}", client.token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("x-api-project-id", sandbox.project_id()),
            ("Content-Type", "application/json"),
            ("x-execution-id", id),
        ];
        client.try_send("POST", &format!("{}{path}", sandbox.url()), &headers, body).unwrap()
    };
    for (path, body) in [("/plans/v1/plans/7/run", ""), (JOBS, r#"{"wrangledDataset":{"id":7}}"#)] {
        for (id, status) in [("a", 201), ("a", 304), ("b", 201)] {
            let response = send(path, body, id);
            assert_eq!(response.status, status, "{path} {id}");
            assert_eq!(response.body.is_empty(), status == 304, "{path} {id}");
        }
    }
}

#[test]
fn faults_of_a_run_show_in_it() {
    for (fault, time, status, state) in [
        ("run:status=Paused", 20, 200, json!("Paused")),
        ("run:status=Paused", 40, 200, json!("Complete")),
        ("run:deleted=30", 29, 200, json!("InProgress")),
        ("run:deleted=30", 30, 404, Value::Null),
    ] {
        let sandbox = with_runs_of(40);
        sandbox.add_fault(fault.parse().unwrap());
        let client = Client::new(&sandbox);
        client.send("POST", "/plans/v1/plans/8/run", "", "");
        sandbox.set_clock_offset(time);
        let response = client.get(&format!("{PLAN_RUNS}/701"));
        assert_eq!((response.status, &response.json()["status"]), (status, &state), "{fault}");
    }
    let sandbox = with_runs_of(40);
    sandbox.add_fault("run:string-id".parse().unwrap());
    let client = Client::new(&sandbox);
    let started = client.send("POST", "/plans/v1/plans/8/run", "", "").json();
    assert_eq!(started["planSnapshotRunId"], "701");
    assert_eq!(client.get(&format!("{PLAN_RUNS}?sort=-id")).json()["data"][0]["id"], "701");
}

#[test]
fn a_job_group_says_why_it_failed_and_what_it_has_written() {
    let sandbox = with_runs_of(40);
    sandbox.add_fault("run:fail".parse().unwrap());
    let client = Client::new(&sandbox);
    // A run of a plan, with and without parameters, and a job.
    let body = r#"{"planNodeOverrides":[{"handle":"5p","overrideKey":"region","value":"APAC"}]}"#;
    assert_eq!(client.json("POST", "/plans/v1/plans/8/run", body).status, 201);
    assert_eq!(client.json("POST", "/plans/v1/plans/8/run", "{}").status, 201);
    let body = r#"{"wrangledDataset":{"id":7},"runParameters":{"overrides":{"data":[{"key":"a","value":"b"}]}}}"#;
    assert_eq!(client.json("POST", JOBS, body).status, 201);
    let full = client.get("/plans/v1/plans/8/full").json();
    let runs = &full["planNodes"]["data"][0]["planTaskSnapshotRuns"]["data"];
    let group = |run: usize| &runs[run]["planFlowTaskRunResults"]["data"][0]["jobGroup"]["id"];
    assert_eq!((&runs[1]["planSnapshotRun"]["id"], runs[2].is_null()), (&json!(702), true));
    for (group, time, status, error) in [
        (group(0), 0, "Created", false),
        (group(0), 40, "Failed", true),
        (group(1), 40, "Complete", false),
        (&json!(9), 40, "Complete", false),
    ] {
        sandbox.set_clock_offset(time);
        let get = |what: &str| client.get(&format!("{JOBS}/{group}{what}")).json();
        assert_eq!((&get("")["status"], &get("/status")), (&json!(status), &json!(status)));
        let job = &get("/jobs")["data"][0];
        assert_eq!((&job["status"], job["errorMessage"].is_string()), (&json!(status), error));
        let outputs = get("/outputs");
        assert_eq!(keys(&outputs), "files tables");
        assert_eq!(outputs["files"][0]["uri"].is_string(), status == "Complete", "{outputs}");
    }
    let parameters = client.get("/plans/v1/plans/8/runParameters").json();
    assert_eq!(parameters["planNodeParameters"][0]["handle"], "5p");
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let run = "/plans/v1/plans/8/run";
    for (path, body) in [
        (JOBS, ""),
        (JOBS, "{}"),
        (JOBS, "[]"),
        (JOBS, r#"{"wrangledDataset":7}"#),
        (JOBS, r#"{"wrangledDataset":{"id":"7"}}"#),
        (JOBS, r#"{"wrangledDataset":{"id":7},"runParameters":{"region":"APAC"}}"#),
        (run, "region=APAC"),
        (run, r#"{"planNodeOverrides":[{"handle":"x","overrideKey":"region","value":"APAC"}]}"#),
        (run, r#"{"planNodeOverrides":[{"handle":"5p","overrideKey":"region","value":1}]}"#),
        (run, r#"{"planNodeOverrides":[{"handle":"5p","overrideKey":"size","value":"1"}]}"#),
    ] {
        let error = client.json("POST", path, body).error();
        assert_eq!(error, (400, "ApiValidationFailed".to_owned()), "{body}");
    }
    for (path, exception) in [
        ("/v4/jobGroups/1", "NotFoundException"),
        ("/v4/jobGroups/99999999999999999999/status", "RouteNotFoundException"),
        ("/v4/jobGroups/x/status", "RouteNotFoundException"),
        ("/plans/v1/planSnapshotRuns/701", "NotFoundException"),
        ("/v4/jobGroups", "RouteNotFoundException"),
    ] {
        assert_eq!(client.get(path).error(), (404, exception.to_owned()), "{path}");
    }
}
