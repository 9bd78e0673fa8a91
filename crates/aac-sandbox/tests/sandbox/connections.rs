//! Connections, and what happens during a request.

use std::io::ErrorKind;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use aac_sandbox::{Fault, FaultKind, Options, Sandbox};

use crate::client::{Client, LONG, raw_refresh, read_raw, send_raw, start};

#[test]
fn one_connection_serves_tokens_and_api() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let tokens = client.refresh(&sandbox.issue().refresh_token).tokens();
    for _ in 0..3 {
        client.get("/iam/v1/workspaces/current", &tokens.access_token);
    }
    let counters = sandbox.counters();
    assert_eq!((counters.connections, counters.token_requests, counters.api_calls), (1, 1, 3));
}

#[test]
fn requests_are_recorded() {
    let sandbox = start(Options::default());
    let tokens = sandbox.issue();
    Client::new(&sandbox).post("/sandbox/echo?a=b", &tokens.access_token, b"body");
    let requests = sandbox.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/sandbox/echo?a=b"));
    assert_eq!(request.header("x-api-project-id"), Some(sandbox.project_id()));
    assert_eq!((request.body.as_slice(), request.connection), (&b"body"[..], 1));
}

#[test]
fn a_request_can_be_held_before_anything_is_spent() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().refresh_token;
    let hold = sandbox.hold_token_endpoint();
    assert!(!hold.wait_for_request(Duration::from_millis(1)));
    thread::scope(|scope| {
        let response = scope.spawn(|| Client::new(&sandbox).refresh(&token).status);
        assert!(hold.wait_for_request(LONG));
        assert_eq!(hold.held(), 1);
        assert!(sandbox.is_live(&token));
        hold.release();
        assert_eq!(response.join().expect("joined"), 200);
    });
    assert!(!sandbox.is_live(&token));
}

#[test]
fn a_response_can_be_held_after_the_token_was_spent() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().refresh_token;
    let hold = sandbox.hold_token_responses();
    thread::scope(|scope| {
        let response = scope.spawn(|| Client::new(&sandbox).refresh(&token).status);
        assert!(hold.wait_for_request(LONG));
        assert!(!sandbox.is_live(&token));
        drop(hold);
        assert_eq!(response.join().expect("joined"), 200);
    });
}

#[test]
fn a_refresh_is_finished_even_if_the_client_has_left() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().refresh_token;
    let arrivals = sandbox.hold_token_endpoint();
    let stream = send_raw(&sandbox, &raw_refresh(&sandbox, &token));
    assert!(arrivals.wait_for_request(LONG));
    drop(stream);
    // A second client shows that the server has gone on, and that the first still counts.
    let other = send_raw(&sandbox, &raw_refresh(&sandbox, "other"));
    assert!(arrivals.wait_for_requests(2, LONG));
    let responses = sandbox.hold_token_responses();
    arrivals.release();
    assert!(responses.wait_for_request(LONG));
    drop(other);
    let deadline = Instant::now() + LONG;
    while sandbox.is_live(&token) {
        assert!(Instant::now() < deadline, "the refresh is lost");
        thread::yield_now();
    }
    assert_eq!(sandbox.counters().refreshes, 1);
}

#[test]
fn a_reset_reaches_the_client_though_a_program_was_started_meanwhile() {
    let sandbox = start(Options::default());
    sandbox.add_fault(Fault::token(FaultKind::ResetBefore));
    let hold = sandbox.hold_token_endpoint();
    let stream = send_raw(&sandbox, &raw_refresh(&sandbox, "any"));
    assert!(hold.wait_for_request(LONG));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut other = acceptance::clean(env!("CARGO_BIN_EXE_aac-sandbox"));
    other.arg("--dir").arg(dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut other = other.spawn().expect("started");
    hold.release();
    let read = read_raw(stream);
    other.kill().expect("it still runs");
    other.wait().expect("ended");
    assert_eq!(read.expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn latency_applies_to_every_request() {
    let sandbox = start(Options { latency: Duration::from_millis(30), ..Options::default() });
    let client = Client::new(&sandbox);
    let start = Instant::now();
    let tokens = client.refresh(&sandbox.issue().refresh_token).tokens();
    client.get("/iam/v1/workspaces/current", &tokens.access_token);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_dropped_sandbox_stops() {
    let sandbox = start(Options::default());
    let port = sandbox.port();
    let taken = Sandbox::start(Options { port, ..Options::default() }).expect_err("taken");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let hold = sandbox.hold_token_endpoint();
    let stream = send_raw(&sandbox, &raw_refresh(&sandbox, &sandbox.issue().refresh_token));
    assert!(hold.wait_for_request(LONG));
    drop(sandbox);
    // Not by its port, which another test may use by now.
    assert_eq!(read_raw(stream).unwrap_or_default(), "");
    drop(hold);
}

#[test]
fn the_files_are_those_of_the_real_cloud() {
    let sandbox = start(Options::default());
    let tokens = sandbox.issue();
    let dir = tempfile::tempdir().expect("a temporary folder");
    sandbox.write_files(dir.path(), &tokens).expect("written");
    let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("a file");
    assert_eq!(read("aac_url.txt").trim(), sandbox.url());
    assert_eq!(read("client_id.txt").trim(), sandbox.project_id());
    let creds = read("creds.json");
    assert!(creds.starts_with("{\n    \"access_token\": \""), "{creds}");
    let creds: serde_json::Value = serde_json::from_str(&creds).expect("JSON");
    assert_eq!(creds["refresh_token"], tokens.refresh_token);
    assert_eq!(sandbox.project_id().len(), 48);
}
