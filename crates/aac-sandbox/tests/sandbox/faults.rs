//! What each fault does to the request and to the token.

use std::io::{self, Read as _};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aac_sandbox::{Fault, FaultKind, Options, Sandbox, Tokens};

use crate::client::{Client, LONG, raw_get, raw_refresh, read_raw, send_raw, start};

/// A sandbox whose next request meets a fault, and a pair of tokens.
fn with_fault(fault: &str) -> (Sandbox, Tokens) {
    let fault = fault.parse().unwrap_or_else(|error| panic!("{error}"));
    let sandbox = start(Options { faults: vec![fault], ..Options::default() });
    let tokens = sandbox.issue();
    (sandbox, tokens)
}

#[test]
fn responses_of_the_token_endpoint() {
    // Fault, status, part of the body, whether the token is spent.
    for (fault, status, text, spent) in [
        ("429=7", 429, "Correlation ID", false),
        ("429-fault", 429, "policies.ratelimit.SpikeArrestViolation", false),
        ("500-quota", 500, "policies.ratelimit.QuotaViolation", false),
        ("400", 400, "invalid_request", false),
        ("403", 403, "access_denied", false),
        ("404", 404, "invalid_request", false),
        ("410", 410, "invalid_request", false),
        ("413", 413, "invalid_request", false),
        ("500", 500, "server_error", false),
        ("502", 502, "<title>502", false),
        ("503=7", 503, "temporarily_unavailable", false),
        ("504", 504, "<title>504", false),
        ("svc-404", 404, "NotFoundError", false),
        ("msg-403", 403, "create privilege", false),
        ("invalid-grant", 400, "invalid_grant", false),
        ("invalid-client", 401, "invalid_client", false),
        ("oauth-error", 400, "invalid_request", false),
        ("unauthorized", 401, "Unauthorized", false),
        ("invalid-key", 401, "Invalid ApiKey", false),
        ("redirect", 302, "", false),
        ("garbled", 200, "", true),
        ("html-200", 200, "<title>Sign in", true),
        ("empty", 200, "", true),
        ("slow=0", 200, "refresh_token", true),
        ("slow-body=0", 200, "refresh_token", true),
        ("no-refresh-token", 200, "access_token", false),
        ("no-access-token", 200, "refresh_token", true),
        ("bad-access-token", 200, "this-is-no-jwt", true),
    ] {
        let (sandbox, tokens) = with_fault(&format!("token:{fault}"));
        let client = Client::new(&sandbox);
        let response = client.refresh(&tokens.refresh_token);
        assert_eq!(response.status, status, "{fault}: {response:?}");
        assert!(response.body.contains(text), "{fault}: {response:?}");
        assert_eq!(sandbox.is_live(&tokens.refresh_token), !spent, "{fault}");
        assert_eq!(sandbox.counters().faults, 1, "{fault}");
        if fault.ends_with("=7") {
            assert_eq!(response.header("retry-after"), "7", "{fault}");
        }
        if !spent {
            assert_eq!(client.refresh(&tokens.refresh_token).status, 200, "{fault}: afterwards");
        }
    }
}

#[test]
fn responses_of_the_api() {
    for (fault, status, text) in [
        ("429=7", 429, r#""name":"TooManyRequestsException""#),
        ("429-fault", 429, "policies.ratelimit.SpikeArrestViolation"),
        ("500-quota", 500, "policies.ratelimit.QuotaViolation"),
        ("400", 400, "ApiValidationFailed"),
        ("403", 403, "AccessControlException"),
        ("404", 404, "RouteNotFoundException"),
        ("410", 410, "exception"),
        ("413", 413, "PayloadTooLargeException"),
        ("500", 500, "exception"),
        ("502", 502, "<title>502"),
        ("503=7", 503, "<title>503"),
        ("504", 504, "<title>504"),
        ("svc-404", 404, r#"{"kind":"NotFoundError","message":"#),
        ("msg-403", 403, r#"{"data":null,"msg":"#),
        ("unauthorized", 401, "Unauthorized"),
        ("invalid-key", 401, "oauth.v2.InvalidApiKey"),
        ("html-200", 200, "<title>Sign in"),
        ("empty", 200, ""),
        ("slow-body=0", 200, r#"{"id":31429,"#),
    ] {
        let (sandbox, tokens) = with_fault(&format!("api:{fault}"));
        let client = Client::new(&sandbox);
        let response = client.get("/iam/v1/workspaces/current", &tokens.access_token);
        assert_eq!(response.status, status, "{fault}: {response:?}");
        assert!(response.body.contains(text), "{fault}: {response:?}");
        match fault {
            "429=7" => {
                assert_eq!(response.header("x-retry-after"), "7");
                assert_eq!(response.header("retry-after"), "");
                assert_eq!(response.header("x-rate-limit-user-remaining"), "0");
                assert_eq!(response.header("x-rate-limit-user-reset").len(), 13, "milliseconds");
            }
            "503=7" => assert_eq!(response.header("retry-after"), "7"),
            _ => {}
        }
        let again = client.get("/iam/v1/workspaces/current", &tokens.access_token);
        assert_eq!(again.status, 200, "{fault}: afterwards");
    }
}

#[test]
fn a_throttled_response_goes_by_the_servers_clock() {
    const DAY: i64 = 24 * 60 * 60;
    let faults = vec![Fault::api(FaultKind::TooManyRequests(7))];
    let sandbox = start(Options { faults, clock_offset: DAY, ..Options::default() });
    let response = Client::new(&sandbox).get("/nowhere", &sandbox.issue().access_token);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let reset: i128 = response.header("x-rate-limit-user-reset").parse().expect("a number");
    let ahead = reset - now as i128 - i128::from(DAY + 7) * 1000;
    assert!(ahead.unsigned_abs() < LONG.as_millis(), "{ahead} ms");
}

#[test]
fn a_redirect_leads_to_its_url() {
    let (sandbox, tokens) = with_fault("api:redirect=http://127.0.0.1:9/elsewhere");
    let response = Client::new(&sandbox).get("/iam/v1/workspaces/current", &tokens.access_token);
    assert_eq!(response.header("location"), "http://127.0.0.1:9/elsewhere");
}

#[test]
fn a_reset_is_a_reset() {
    for (fault, spent) in [("token:reset-before", false), ("token:reset-after", true)] {
        let (sandbox, tokens) = with_fault(fault);
        let stream = send_raw(&sandbox, &raw_refresh(&sandbox, &tokens.refresh_token));
        let error = read_raw(stream).expect_err(fault);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{fault}");
        assert_eq!(sandbox.is_live(&tokens.refresh_token), !spent, "{fault}");
        assert_eq!(sandbox.counters().refreshes, u64::from(spent), "{fault}");
    }
}

#[test]
fn a_cut_response_is_half_of_one() {
    for (fault, announced) in [("cut", true), ("cut-close", false)] {
        let (sandbox, tokens) = with_fault(&format!("token:{fault}"));
        let stream = send_raw(&sandbox, &raw_refresh(&sandbox, &tokens.refresh_token));
        let response = read_raw(stream).expect("the end of the connection");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        let head = head.to_lowercase();
        assert!(body.starts_with(r#"{"access_token":"#) && !body.ends_with('}'), "{response}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(head.contains("content-length"), announced, "{head}");
        assert_eq!(head.contains("connection: close"), !announced, "{head}");
        assert!(!sandbox.is_live(&tokens.refresh_token), "{fault}");

        let (sandbox, tokens) = with_fault(&format!("token:{fault}"));
        let result = Client::new(&sandbox).try_refresh(&tokens.refresh_token);
        assert_eq!(result.is_err(), announced, "{fault}: only a length gives it away");
    }
}

#[test]
fn a_request_that_hangs_never_gets_a_response() {
    for (fault, spent) in [("token:hang", false), ("token:hang-after", true)] {
        let (sandbox, tokens) = with_fault(fault);
        let mut stream = send_raw(&sandbox, &raw_refresh(&sandbox, &tokens.refresh_token));
        let deadline = Instant::now() + LONG;
        let reached = || {
            let counters = sandbox.counters();
            counters.faults == 1 && counters.refreshes == u64::from(spent)
        };
        while !reached() {
            assert!(Instant::now() < deadline, "{fault}");
            thread::yield_now();
        }
        let timeout = Duration::from_millis(50);
        stream.set_read_timeout(Some(timeout)).expect("a timeout");
        let error = stream.read(&mut [0]).expect_err(fault);
        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        assert!(kinds.contains(&error.kind()), "{fault}: {error}");
        assert_eq!(sandbox.is_live(&tokens.refresh_token), !spent, "{fault}");
    }
}

#[test]
fn a_slow_response_arrives_eventually() {
    for fault in ["api:slow=1", "api:slow-body=1"] {
        let (sandbox, tokens) = with_fault(fault);
        let start = Instant::now();
        let response =
            Client::new(&sandbox).get("/iam/v1/workspaces/current", &tokens.access_token);
        assert!(start.elapsed() >= Duration::from_secs(1), "{fault}");
        assert_eq!(response.json()["id"], 31429, "{fault}");
    }
}

#[test]
fn a_huge_answer_is_valid_json_of_64_mib() {
    let (sandbox, tokens) = with_fault("api:huge");
    let response = Client::new(&sandbox).get("/iam/v1/workspaces/current", &tokens.access_token);
    assert_eq!(response.body.len(), 64 * 1024 * 1024 + 2);
    assert!(response.body.starts_with("\"a") && response.body.ends_with("a\""));
}

#[test]
fn a_spent_token_is_refused_whatever_the_fault() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let first = sandbox.issue();
    let second = client.refresh(&first.refresh_token).tokens();
    sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    assert_eq!(client.refresh(&first.refresh_token).json()["error"], "invalid_grant");
    assert!(!sandbox.is_live(&second.refresh_token));
    assert_eq!(sandbox.counters().revoked, 1);
}

#[test]
fn faults_can_be_cleared() {
    let (sandbox, tokens) = with_fault("api:500xall");
    let client = Client::new(&sandbox);
    for _ in 0..3 {
        assert_eq!(client.get("/iam/v1/workspaces/current", &tokens.access_token).status, 500);
    }
    sandbox.clear_faults();
    let response = read_raw(send_raw(
        &sandbox,
        &raw_get(&sandbox, &tokens.access_token)
            .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    ));
    assert!(response.expect("a response").starts_with("HTTP/1.1 200 OK"));
}
