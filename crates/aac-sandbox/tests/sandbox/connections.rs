//! Connections, and what happens during a request.

use std::io::ErrorKind;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use aac_sandbox::{Fault, FaultKind, Options, Sandbox};

use crate::client::{CURRENT, Client, LONG, begin_refresh, read, start};

#[test]
fn one_connection_serves_tokens_and_api_and_each_request_is_recorded() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    client.refresh(&sandbox.issue().refresh_token);
    client.get(CURRENT);
    client.json("POST", "/sandbox/echo?a=b", "{}");
    let counters = sandbox.counters();
    assert_eq!((counters.connections, counters.token_requests, counters.api_calls), (1, 1, 2));
    let request = sandbox.requests().pop().unwrap();
    assert_eq!((&*request.method, &*request.path), ("POST", "/sandbox/echo?a=b"));
    assert_eq!(request.header("x-api-project-id"), Some(sandbox.project_id()));
    assert_eq!((request.body.as_slice(), request.connection), (&b"{}"[..], 1));
}

#[test]
fn a_request_can_be_held_before_and_after_it_is_handled() {
    for is_spent in [false, true] {
        let sandbox = start(Options::default());
        let token = sandbox.issue().refresh_token;
        let hold = match is_spent {
            false => sandbox.hold_token_endpoint(),
            true => sandbox.hold_token_responses(),
        };
        assert!(!hold.wait_for_request(Duration::from_millis(1)));
        thread::scope(|scope| {
            let response = scope.spawn(|| Client::new(&sandbox).refresh(&token).status);
            assert!(hold.wait_for_request(LONG));
            assert_eq!((hold.held(), sandbox.is_live(&token)), (1, !is_spent));
            hold.release();
            assert_eq!(response.join().unwrap(), 200);
        });
        assert!(!sandbox.is_live(&token));
    }
}

#[test]
fn a_refresh_is_finished_even_if_the_client_has_left() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().refresh_token;
    let arrivals = sandbox.hold_token_endpoint();
    let stream = begin_refresh(&sandbox, &token);
    assert!(arrivals.wait_for_request(LONG));
    drop(stream);
    // A second client shows that the server has gone on, and that the first still counts.
    let other = begin_refresh(&sandbox, "other");
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
    let stream = begin_refresh(&sandbox, "any");
    assert!(hold.wait_for_request(LONG));
    let dir = tempfile::tempdir().unwrap();
    let mut other = acceptance::clean(env!("CARGO_BIN_EXE_aac-sandbox"));
    other.arg("--dir").arg(dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut other = other.spawn().unwrap();
    hold.release();
    let read = read(stream);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn latency_applies_to_every_request() {
    let sandbox = start(Options { latency: Duration::from_millis(30), ..Options::default() });
    let client = Client::new(&sandbox);
    let start = Instant::now();
    client.refresh(&sandbox.issue().refresh_token);
    client.get(CURRENT);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_dropped_sandbox_stops() {
    let sandbox = start(Options::default());
    let port = sandbox.port();
    let taken = Sandbox::start(Options { port, ..Options::default() }).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let hold = sandbox.hold_token_endpoint();
    let stream = begin_refresh(&sandbox, &sandbox.issue().refresh_token);
    assert!(hold.wait_for_request(LONG));
    drop(sandbox);
    // Not by its port, which another test may use by now.
    assert_eq!(read(stream).unwrap_or_default(), "");
    drop(hold);
}

#[test]
fn a_client_that_trusts_the_authority_gets_through_and_no_other() {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    let options = || Options { tls: true, vault: Some(Default::default()), ..Options::default() };
    let sandbox = start(options());
    let status = |url: &str, authority: &str| {
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        let root = Certificate::from_pem(authority.as_bytes()).unwrap();
        let tls = TlsConfig::builder().root_certs(RootCerts::from(vec![root])).build();
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false);
        let agent = config.tls_config(tls).build().new_agent();
        agent.get(url).call().map(|response| response.status().as_u16())
    };
    assert_eq!(status(sandbox.url(), sandbox.ca_pem()).unwrap(), 401);
    assert_eq!(status(sandbox.vault().url(), sandbox.ca_pem()).unwrap(), 404);
    let other = start(options());
    status(sandbox.url(), other.ca_pem()).expect_err("signed by someone else");
}
