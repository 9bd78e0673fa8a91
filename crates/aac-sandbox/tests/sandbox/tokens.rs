//! What the authorization server does with tokens.

use std::time::Duration;

use aac_sandbox::{Options, RefreshTokens, Sandbox};
use serde_json::Value;

use crate::client::{Client, jwt_part, start};

fn keys(json: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(json).expect("JSON");
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn a_refresh_returns_a_new_pair_and_spends_the_old_token() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let old = sandbox.issue_expired();
    let response = client.refresh(&old.refresh_token);

    let body = response.json();
    assert_eq!(
        keys(&response.body),
        ["access_token", "token_type", "expires_in", "refresh_token", "scope"]
    );
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["scope"], "w:01JKBMKPZ94N0GG5F8N9HY2FJA");
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "no-store");

    let new = response.tokens();
    assert!(!sandbox.is_live(&old.refresh_token));
    assert!(sandbox.is_live(&new.refresh_token));
    assert_eq!(client.get("/iam/v1/workspaces/current", &old.access_token).status, 401);
    assert_eq!(client.get("/iam/v1/workspaces/current", &new.access_token).status, 200);
    assert_eq!(sandbox.counters().refreshes, 1);
}

#[test]
fn a_spent_token_ends_its_family_and_no_other() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let (first, bystander) = (sandbox.issue(), sandbox.issue());
    let second = client.refresh(&first.refresh_token).tokens();

    let response = client.refresh(&first.refresh_token);
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["error"], "invalid_grant");
    let description = response.json()["error_description"].to_string();
    assert!(description.contains("(Correlation ID: "), "{description}");
    assert!(!sandbox.is_live(&second.refresh_token));
    assert_eq!(client.refresh(&second.refresh_token).json()["error"], "invalid_grant");
    assert!(sandbox.is_live(&bystander.refresh_token));
    // An issued access token works until it expires.
    assert_eq!(client.get("/iam/v1/workspaces/current", &second.access_token).status, 200);

    let counters = sandbox.counters();
    assert_eq!((counters.refreshes, counters.refused), (1, 2));
    assert_eq!((counters.reused, counters.revoked), (1, 1));
}

#[test]
fn without_replay_protection_the_family_stays_valid() {
    let sandbox = start(Options { replay_protection: false, ..Options::default() });
    let client = Client::new(&sandbox);
    let first = sandbox.issue();
    let second = client.refresh(&first.refresh_token).tokens();
    assert_eq!(client.refresh(&first.refresh_token).status, 400);
    assert_eq!(client.refresh(&second.refresh_token).status, 200);
    assert_eq!(sandbox.counters().revoked, 0);
}

#[test]
fn within_the_grace_period_a_spent_token_is_accepted_again() {
    let sandbox = start(Options { grace: Duration::from_secs(3600), ..Options::default() });
    let client = Client::new(&sandbox);
    let first = sandbox.issue();
    let second = client.refresh(&first.refresh_token).tokens();
    let third = client.refresh(&first.refresh_token).tokens();
    assert!(sandbox.is_live(&second.refresh_token) && sandbox.is_live(&third.refresh_token));

    sandbox.set_grace(Duration::ZERO);
    assert_eq!(client.refresh(&first.refresh_token).status, 400);
    assert!(!sandbox.is_live(&second.refresh_token) && !sandbox.is_live(&third.refresh_token));
}

#[test]
fn the_tokens_have_the_claims_of_the_real_ones_in_their_order() {
    let sandbox = start(Options::default());
    let tokens = sandbox.issue();
    let access = tokens.access_token.as_str();

    assert_eq!(keys(&jwt_part(access, 0)), ["kid", "alg"]);
    let payload = jwt_part(access, 1);
    assert_eq!(
        keys(&payload),
        [
            "client_id",
            "iss",
            "jti",
            "iat",
            "exp",
            "aud",
            "scope",
            "sub",
            "sid",
            "auth_time",
            "acr",
            "email",
            "env",
            "org",
            "sandbox"
        ]
    );
    let claims: Value = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(claims["client_id"], sandbox.client_id());
    assert_eq!(claims["iss"], format!("{}/as", sandbox.url()));
    assert_eq!(claims["aud"], serde_json::json!(["lukes-test-workspace"]));
    assert_eq!(seconds(&claims["exp"]) - seconds(&claims["iat"]), 300);

    let refresh = tokens.refresh_token.as_str();
    assert_eq!(jwt_part(refresh, 0), r#"{"alg":"RS256","kid":"default"}"#);
    let payload = jwt_part(refresh, 1);
    assert_eq!(keys(&payload), ["sub", "jti", "exp", "sid", "scope", "auth_time", "acr", "iss"]);
    let refresh_claims: Value = serde_json::from_str(&payload).expect("JSON");
    assert_eq!(refresh_claims["sid"], claims["sid"]);
    let lifetime = seconds(&refresh_claims["exp"]) - seconds(&refresh_claims["auth_time"]);
    assert_eq!(lifetime, 365 * 86_400);
}

fn seconds(value: &Value) -> i64 {
    value.as_i64().expect("seconds")
}

#[test]
fn every_access_token_needs_base64url() {
    for issuer in ["https://a.example/as", "https://ab.example/as", "https://abc.example/as"] {
        let sandbox = start(Options { issuer: Some(issuer.to_owned()), ..Options::default() });
        for _ in 0..10 {
            let token = sandbox.issue().access_token;
            let payload = token.split('.').nth(1).expect("a payload");
            assert!(payload.contains('-') && payload.contains('_'), "{payload}");
        }
    }
}

#[test]
fn the_token_formats_of_2027() {
    let sandbox = start(Options {
        at_jwt: true,
        refresh_tokens: RefreshTokens::Opaque,
        ..Options::default()
    });
    let tokens = sandbox.issue();
    assert_eq!(keys(&jwt_part(&tokens.access_token, 0)), ["kid", "alg", "typ"]);
    assert!(!tokens.refresh_token.contains('.') && tokens.refresh_token.len() > 100);
    assert_eq!(Client::new(&sandbox).refresh(&tokens.refresh_token).status, 200);
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let token = sandbox.issue().refresh_token;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let id = sandbox.client_id();
    let good = format!("grant_type=refresh_token&refresh_token={token}&client_id={id}");

    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Headers, &str, u16, &str)] = &[
        (&[("Content-Type", "application/json")], "{}", 400, "invalid_request"),
        (&[form], "", 400, "invalid_request"),
        (&[form], "grant_type=password", 400, "unsupported_grant_type"),
        (&[form], &good.replace(id, ""), 400, "invalid_request"),
        (&[form], &good.replace(id, "someone"), 401, "invalid_client"),
        (&[form, ("Authorization", "Basic YTpi")], &good, 401, "invalid_client"),
        (&[form], &format!("{good}&client_secret=s"), 401, "invalid_client"),
        (&[form], &format!("{good}&client_id={id}"), 400, "invalid_request"),
        (&[form], &good.replace(&token, ""), 400, "invalid_request"),
        (&[form], &good.replace(&token, "unknown"), 400, "invalid_grant"),
    ];
    for (headers, body, status, error) in cases {
        let response = client.token(headers, body);
        assert_eq!(response.status, *status, "{body}: {response:?}");
        assert_eq!(response.json()["error"], *error, "{body}");
    }
    let get = client.get_with("/as/token", &[]);
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(client.get_with("/as/elsewhere", &[]).status, 404);

    assert!(sandbox.is_live(&token), "nothing of this has spent it");
    assert_eq!(client.token(&[form], &good).status, 200);
}

#[test]
fn a_clock_that_differs_dates_the_tokens_and_expires_them() {
    let sandbox = start(Options { clock_offset: 3600, ..Options::default() });
    let client = Client::new(&sandbox);
    let tokens = client.refresh(&sandbox.issue().refresh_token).tokens();
    let issued = |sandbox: &Sandbox| {
        let claims: Value =
            serde_json::from_str(&jwt_part(&sandbox.issue().access_token, 1)).expect("JSON");
        seconds(&claims["iat"])
    };
    let ahead = issued(&sandbox);
    assert_eq!(client.get("/iam/v1/workspaces/current", &tokens.access_token).status, 200);
    sandbox.set_clock_offset(3600 + 301);
    assert_eq!(client.get("/iam/v1/workspaces/current", &tokens.access_token).status, 401);
    sandbox.set_clock_offset(0);
    assert!((3595..=3600).contains(&(ahead - issued(&sandbox))));
}

#[test]
fn access_tokens_can_be_revoked_before_they_expire() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let tokens = sandbox.issue();
    sandbox.revoke_access_tokens();
    assert_eq!(client.get("/iam/v1/workspaces/current", &tokens.access_token).status, 401);
    let tokens = client.refresh(&tokens.refresh_token).tokens();
    assert_eq!(client.get("/iam/v1/workspaces/current", &tokens.access_token).status, 200);
}

#[test]
fn the_record_of_a_pair_says_what_its_tokens_do_not() {
    const DAY: i64 = 86_400;
    let sandbox = start(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    let client = Client::new(&sandbox);
    let tokens = sandbox.issue();
    let sid = |token: &str| {
        let claims: Value = serde_json::from_str(&jwt_part(token, 1)).expect("JSON");
        claims["sid"].as_str().expect("a session").to_owned()
    };
    let path = format!("/v4/oAuth2ApiTokens/{}", sid(&tokens.access_token));
    let record = client.get(&path, &tokens.access_token);
    let fields = "name sid envId clientId userId issuer tokenType status accessScope scopes \
                  expiredAt createdAt activeAt";
    assert_eq!(keys(&record.body).join(" "), fields);
    assert_eq!(record.json()["status"], "Enabled");
    for (query, status) in [("Workspace", 200), ("Billing%20Account", 404), ("x", 400)] {
        let response = client.get(&format!("{path}?tokenType={query}"), &tokens.access_token);
        assert_eq!(response.status, status, "{query}");
    }
    let elsewhere = client.get("/v4/oAuth2ApiTokens/elsewhere", &tokens.access_token);
    assert_eq!(elsewhere.status, 404);

    sandbox.set_clock_offset(29 * DAY);
    let tokens = client.refresh(&tokens.refresh_token).tokens();
    let later = client.get(&path, &tokens.access_token).json();
    for (field, is_same) in [("createdAt", true), ("expiredAt", true), ("activeAt", false)] {
        assert_eq!(later[field] == record.json()[field], is_same, "{field}");
    }
    sandbox.disable_pairs();
    assert_eq!(client.refresh(&tokens.refresh_token).json()["error"], "invalid_grant");
    let disabled = client.get(&path, &tokens.access_token).json();
    assert_eq!(disabled["status"], "Disabled by User", "the access token is still good");
}

#[test]
fn a_pair_ends_when_the_user_said_so() {
    let sandbox = start(Options { pair_lifetime: 100, ..Options::default() });
    let (client, tokens) = (Client::new(&sandbox), sandbox.issue());
    sandbox.set_clock_offset(100);
    assert_eq!(client.refresh(&tokens.refresh_token).json()["error"], "invalid_grant");
    let claims: Value = serde_json::from_str(&jwt_part(&tokens.access_token, 1)).expect("JSON");
    let path = format!("/v4/oAuth2ApiTokens/{}", claims["sid"].as_str().expect("a session"));
    assert_eq!(client.get(&path, &tokens.access_token).json()["status"], "Expired");
}
