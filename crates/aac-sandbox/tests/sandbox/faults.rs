//! What each fault does to the request and to the token.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use aac_sandbox::{Fault, FaultKind, Options, Sandbox, Tokens};

use crate::client::{CURRENT, Client, LONG, begin_refresh, read, start};

/// A sandbox whose next request meets a fault, and a pair of tokens.
fn with_fault(fault: &str) -> (Sandbox, Tokens) {
    let fault = fault.parse().unwrap_or_else(|error| panic!("{error}"));
    let sandbox = start(Options { faults: vec![fault], ..Options::default() });
    let tokens = sandbox.issue();
    (sandbox, tokens)
}

#[test]
fn responses() {
    // The fault and its status; part of the body from the token endpoint, and whether the token is
    // spent; part of the body from the API.
    for (fault, status, of_tokens, is_spent, of_api) in [
        ("400", 400, "invalid_request", false, "ApiValidationFailed"),
        ("403", 403, "access_denied", false, "AccessControlException"),
        ("404", 404, "invalid_request", false, "RouteNotFoundException"),
        ("409", 409, "invalid_request", false, "ConflictException"),
        ("410", 410, "invalid_request", false, "exception"),
        ("413", 413, "invalid_request", false, "PayloadTooLargeException"),
        ("429=7", 429, "Correlation ID", false, r#""name":"TooManyRequestsException""#),
        ("429-fault", 429, "SpikeArrestViolation", false, "policies.ratelimit.SpikeArrest"),
        ("500", 500, "server_error", false, "exception"),
        ("500-quota", 500, "QuotaViolation", false, "policies.ratelimit.QuotaViolation"),
        ("502", 502, "<title>502", false, "<title>502"),
        ("503=7", 503, "temporarily_unavailable", false, "<title>503"),
        ("504", 504, "<title>504", false, "<title>504"),
        ("svc-404", 404, "NotFoundError", false, r#"{"kind":"NotFoundError","message":"#),
        ("msg-403", 403, "create privilege", false, r#"{"data":null,"msg":"#),
        ("unauthorized", 401, "Unauthorized", false, "Unauthorized"),
        ("invalid-key", 401, "Invalid ApiKey", false, "oauth.v2.InvalidApiKey"),
        ("invalid-grant", 400, "invalid_grant", false, "invalid_grant"),
        ("invalid-client", 401, "invalid_client", false, "invalid_client"),
        ("oauth-error", 400, "invalid_request", false, "invalid_request"),
        ("redirect=http://127.0.0.1:9/x", 302, "", false, ""),
        ("garbled", 200, "access_token", true, "access_token"),
        ("html-200", 200, "<title>Sign in", true, "<title>Sign in"),
        ("empty", 200, "", true, ""),
        ("slow=0", 200, "refresh_token", true, r#"{"id":31429,"#),
        ("slow-body=0", 200, "refresh_token", true, r#"{"id":31429,"#),
        ("no-refresh-token", 200, "access_token", false, ""),
        ("no-access-token", 200, "refresh_token", true, ""),
        ("bad-access-token", 200, "this-is-no-jwt", true, ""),
    ] {
        let (sandbox, tokens) = with_fault(&format!("token:{fault}"));
        let client = Client::new(&sandbox);
        let response = client.refresh(&tokens.refresh_token);
        assert_eq!(response.status, status, "{fault}: {response:?}");
        assert!(response.body.contains(of_tokens), "{fault}: {response:?}");
        assert_eq!(sandbox.is_live(&tokens.refresh_token), !is_spent, "{fault}");
        if fault.ends_with("=7") {
            assert_eq!(response.header("retry-after"), "7", "{fault}");
        }
        if let Ok(fault) = format!("api:{fault}").parse::<Fault>() {
            sandbox.add_fault(fault.clone());
            let response = client.get(CURRENT);
            assert_eq!(response.status, status, "{fault}: {response:?}");
            assert!(response.body.contains(of_api), "{fault}: {response:?}");
            match fault.kind {
                FaultKind::TooManyRequests(_) => {
                    assert_eq!(response.header("x-retry-after"), "7");
                    assert_eq!(response.header("retry-after"), "");
                }
                FaultKind::Unavailable(_) => assert_eq!(response.header("retry-after"), "7"),
                FaultKind::Redirect(url) => assert_eq!(response.header("location"), url),
                _ => {}
            }
        }
        assert_eq!(client.get(CURRENT).status, 200, "{fault}: afterwards");
    }
}

#[test]
fn a_throttled_response_goes_by_the_servers_clock() {
    const DAY: i64 = 24 * 60 * 60;
    let faults = vec![Fault::api(FaultKind::TooManyRequests(7))];
    let sandbox = start(Options { faults, clock_offset: DAY, ..Options::default() });
    let response = Client::new(&sandbox).get("/nowhere");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let reset: i128 = response.header("x-rate-limit-user-reset").parse().unwrap();
    let ahead = reset - now as i128 - i128::from(DAY + 7) * 1000;
    assert!(ahead.unsigned_abs() < LONG.as_millis(), "{ahead} ms");
}

#[test]
fn a_reset_is_a_reset() {
    for (fault, spent) in [("token:reset-before", false), ("token:reset-after", true)] {
        let (sandbox, tokens) = with_fault(fault);
        let error = read(begin_refresh(&sandbox, &tokens.refresh_token)).expect_err(fault);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{fault}");
        assert_eq!(sandbox.is_live(&tokens.refresh_token), !spent, "{fault}");
    }
}

#[test]
fn a_cut_response_is_half_of_one() {
    for (fault, announced) in [("cut", true), ("cut-close", false)] {
        let (sandbox, tokens) = with_fault(&format!("token:{fault}"));
        let response = read(begin_refresh(&sandbox, &tokens.refresh_token)).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
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
fn a_spent_token_is_refused_whatever_the_fault_and_faults_can_be_cleared() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let first = sandbox.issue();
    let second = client.refresh(&first.refresh_token).tokens();
    sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    assert_eq!(client.refresh(&first.refresh_token).json()["error"], "invalid_grant");
    assert!(!sandbox.is_live(&second.refresh_token));

    sandbox.add_fault(Fault::api(FaultKind::ServerError).always());
    assert_eq!([(); 3].map(|()| client.get(CURRENT).status), [500; 3]);
    sandbox.clear_faults();
    assert_eq!(client.get(CURRENT).status, 200);
}
