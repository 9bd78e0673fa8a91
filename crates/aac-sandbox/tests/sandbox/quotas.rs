//! Quotas: how often per minute a call may be made.

use aac_sandbox::Options;

use crate::client::{Client, Response, start};

fn number(response: &Response, header: &str) -> u64 {
    response
        .header(header)
        .parse()
        .unwrap_or_else(|error| panic!("{header}: {error}: {response:?}"))
}

#[test]
fn each_limited_call_has_a_quota_of_its_own() {
    // The tokens must outlive the shifts of the clock.
    let sandbox = start(Options { token_lifetime: 3600, ..Options::default() });
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    for (method, path, user, workspace, name, status) in [
        ("POST", "/v4/jobGroups", 30, 60, "runJobGroup", 415),
        ("POST", "/plans/v1/plans/7/run", 30, 60, "runPlan", 201),
        ("GET", "/plans/v1/plans/7/package", 20, 40, "getPlanPackage", 200),
        ("POST", "/plans/v1/plans/package", 20, 40, "importPlanPackage", 415),
    ] {
        sandbox.set_clock_offset(0);
        let call = || client.send(method, path, &token, &[], b"");
        let first = call();
        assert_eq!(first.status, status, "{path}: {first:?}");
        let reset = number(&first, "x-rate-limit-user-reset");
        for used in 2..=user {
            let response = call();
            assert_eq!(response.status, status, "{path}: {response:?}");
            assert_eq!(number(&response, "x-rate-limit-user-limit"), user);
            assert_eq!(number(&response, "x-rate-limit-user-remaining"), user - used);
            assert_eq!(number(&response, "x-rate-limit-workspace-limit"), workspace);
            assert_eq!(number(&response, "x-rate-limit-workspace-remaining"), workspace - used);
            assert_eq!(number(&response, "x-rate-limit-user-reset"), reset, "in milliseconds");
            assert_eq!(response.header("x-retry-after"), "");
        }

        let refused = call();
        assert_eq!(refused.status, 429, "{path}");
        let wait = number(&refused, "x-retry-after");
        assert!((1..=60).contains(&wait), "{path}: {wait}");
        let exception = &refused.json()["exception"];
        assert_eq!(exception["name"], "TooManyRequestsException");
        assert_eq!(exception["message"], "Too Many Requests");
        let details = format!(
            "API quota reached for \"{name}\". Wait {wait} seconds before making a new request. \
             (Max. {user} requests allowed per minute per user.)"
        );
        assert_eq!(exception["details"], details);
        assert_eq!(number(&refused, "x-rate-limit-user-remaining"), 0);
        assert_eq!(number(&refused, "x-rate-limit-workspace-remaining"), workspace - user);
        assert_eq!(number(&refused, "x-rate-limit-workspace-reset"), reset);

        sandbox.set_clock_offset(60);
        let again = call();
        assert_eq!(again.status, status, "{path}");
        assert_eq!(number(&again, "x-rate-limit-user-remaining"), user - 1);
        assert!(number(&again, "x-rate-limit-user-reset") >= reset + 60_000 - 20_000);
    }
}

#[test]
fn other_calls_have_no_quota() {
    let sandbox = start(Options::default());
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    for path in ["/plans/v1/plans", "/plans/v1/plans/7", "/v4/people/current"] {
        let response = client.get(path, &token);
        assert_eq!(
            (response.status, response.header("x-rate-limit-user-limit")),
            (200, ""),
            "{path}"
        );
    }
    // A method that the path does not have does not count either.
    let response = client.get("/v4/jobGroups", &token);
    assert_eq!((response.status, response.header("x-rate-limit-user-limit")), (404, ""));
}
