//! What the authorization server does with tokens.

use std::time::Duration;

use aac_sandbox::{Options, RefreshTokens};
use serde_json::Value;

use crate::client::{CURRENT, Client, form, jwt_part, keys, start};

fn seconds(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

#[test]
fn a_refresh_returns_a_new_pair_and_spends_the_old_token() {
    let sandbox = start(Options::default());
    let mut client = Client::new(&sandbox);
    let old = sandbox.issue_expired();
    let response = client.refresh(&old.refresh_token);

    let body = response.json();
    assert_eq!(keys(&body), "access_token token_type expires_in refresh_token scope");
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 300);
    assert_eq!(body["scope"], "w:01JKBMKPZ94N0GG5F8N9HY2FJA");
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "no-store");

    let new = response.tokens();
    assert!(!sandbox.is_live(&old.refresh_token));
    assert!(sandbox.is_live(&new.refresh_token));
    for (token, status) in [(old.access_token, 401), (new.access_token, 200)] {
        client.token = token;
        assert_eq!(client.get(CURRENT).status, status);
    }
    assert_eq!(sandbox.counters().refreshes, 1);
    sandbox.revoke_access_tokens();
    assert_eq!(client.get(CURRENT).status, 401, "before it expires");
}

#[test]
fn a_spent_token_ends_its_family_and_no_other() {
    let sandbox = start(Options::default());
    let mut client = Client::new(&sandbox);
    let (first, bystander) = (sandbox.issue(), sandbox.issue());
    let second = client.refresh(&first.refresh_token).tokens();

    let response = client.refresh(&first.refresh_token);
    assert_eq!((response.status, &response.json()["error"]), (400, &"invalid_grant".into()));
    assert!(response.body.contains("(Correlation ID: "), "{response:?}");
    assert!(!sandbox.is_live(&second.refresh_token));
    assert_eq!(client.refresh(&second.refresh_token).json()["error"], "invalid_grant");
    assert!(sandbox.is_live(&bystander.refresh_token));
    client.token = second.access_token;
    assert_eq!(client.get(CURRENT).status, 200, "it works until it expires");

    let counters = sandbox.counters();
    assert_eq!((counters.refreshes, counters.refused), (1, 2));
    assert_eq!((counters.reused, counters.revoked), (1, 1));
}

#[test]
fn replay_protection_and_the_grace_period_are_settings() {
    let sandbox = start(Options { replay_protection: false, ..Options::default() });
    let client = Client::new(&sandbox);
    let first = sandbox.issue().refresh_token;
    let second = client.refresh(&first).tokens().refresh_token;
    assert_eq!(client.refresh(&first).status, 400);
    assert_eq!(client.refresh(&second).status, 200);
    assert_eq!(sandbox.counters().revoked, 0);

    let sandbox = start(Options { grace: Duration::from_secs(3600), ..Options::default() });
    let client = Client::new(&sandbox);
    let first = sandbox.issue().refresh_token;
    let others = [(); 2].map(|()| client.refresh(&first).tokens().refresh_token);
    assert!(others.iter().all(|token| sandbox.is_live(token)));
    sandbox.set_grace(Duration::ZERO);
    assert_eq!(client.refresh(&first).status, 400);
    assert!(!others.iter().any(|token| sandbox.is_live(token)));
}

#[test]
fn the_tokens_have_the_claims_of_the_real_ones_in_their_order() {
    let sandbox = start(Options::default());
    let tokens = sandbox.issue();
    assert_eq!(keys(&jwt_part(&tokens.access_token, 0)), "kid alg");
    let claims = jwt_part(&tokens.access_token, 1);
    let names = "client_id iss jti iat exp aud scope sub sid auth_time acr email env org";
    assert_eq!(keys(&claims), names);
    assert_eq!(claims["client_id"], sandbox.client_id());
    assert_eq!(claims["iss"], format!("{}/as", sandbox.url()));
    assert_eq!(claims["aud"], serde_json::json!(["lukes-test-workspace"]));
    assert_eq!(seconds(&claims["exp"]) - seconds(&claims["iat"]), 300);

    assert_eq!(
        jwt_part(&tokens.refresh_token, 0).to_string(),
        r#"{"alg":"RS256","kid":"default"}"#
    );
    let refresh = jwt_part(&tokens.refresh_token, 1);
    assert_eq!(keys(&refresh), "sub jti exp sid scope auth_time acr iss");
    assert_eq!(refresh["sid"], claims["sid"]);
    assert_eq!(seconds(&refresh["exp"]) - seconds(&refresh["auth_time"]), 365 * 86_400);

    let refresh_tokens = RefreshTokens::Opaque;
    let sandbox = start(Options { at_jwt: true, refresh_tokens, ..Options::default() });
    let tokens = sandbox.issue();
    assert_eq!(keys(&jwt_part(&tokens.access_token, 0)), "kid alg typ", "as of 2027");
    assert!(!tokens.refresh_token.contains('.') && tokens.refresh_token.len() > 100);
    assert_eq!(Client::new(&sandbox).refresh(&tokens.refresh_token).status, 200);
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let token = sandbox.issue().refresh_token;
    let url = format!("{}/as/token", sandbox.url());
    let is_form = ("Content-Type", "application/x-www-form-urlencoded");
    let id = sandbox.client_id();
    let good = form(&sandbox, &token);
    for (headers, body, status, error) in [
        (&[("Content-Type", "application/json")][..], "{}", 400, "invalid_request"),
        (&[is_form], "", 400, "invalid_request"),
        (&[is_form], "grant_type=password", 400, "unsupported_grant_type"),
        (&[is_form], &*good.replace(id, ""), 400, "invalid_request"),
        (&[is_form], &*good.replace(id, "someone"), 401, "invalid_client"),
        (&[is_form, ("Authorization", "Basic YTpi")], &good, 401, "invalid_client"),
        (&[is_form], &format!("{good}&client_secret=s"), 401, "invalid_client"),
        (&[is_form], &format!("{good}&client_id={id}"), 400, "invalid_request"),
        (&[is_form], &good.replace(&token, ""), 400, "invalid_request"),
        (&[is_form], &good.replace(&token, "unknown"), 400, "invalid_grant"),
    ] {
        let response = client.try_send("POST", &url, headers, body).unwrap();
        assert_eq!((response.status, &response.json()["error"]), (status, &error.into()), "{body}");
    }
    let get = client.bare("GET", "/as/token", &[]);
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(client.bare("GET", "/as/elsewhere", &[]).status, 404);
    assert!(sandbox.is_live(&token), "nothing of this has spent it");
}

#[test]
fn a_clock_that_differs_dates_the_tokens_and_expires_them() {
    let sandbox = start(Options { clock_offset: 3600, ..Options::default() });
    let client = Client::new(&sandbox);
    assert_eq!(client.get(CURRENT).status, 200);
    sandbox.set_clock_offset(3600 + 301);
    assert_eq!(client.get(CURRENT).status, 401);
    sandbox.set_clock_offset(0);
    let issued = |token: &str| seconds(&jwt_part(token, 1)["iat"]);
    let ahead = issued(&client.token) - issued(&sandbox.issue().access_token);
    assert!((3590..=3600).contains(&ahead), "{ahead}");
}

#[test]
fn the_record_of_a_pair_says_what_its_tokens_do_not() {
    const DAY: i64 = 86_400;
    let sandbox = start(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    let client = Client::new(&sandbox);
    let tokens = sandbox.issue();
    let sid = jwt_part(&tokens.access_token, 1)["sid"].as_str().unwrap().to_owned();
    let path = format!("/v4/oAuth2ApiTokens/{sid}");
    let record = client.get(&path).json();
    let fields = "name sid envId clientId userId issuer tokenType status accessScope scopes \
                  expiredAt createdAt activeAt";
    assert_eq!(keys(&record), fields);
    assert_eq!(record["status"], "Enabled");
    assert_eq!(client.get("/v4/oAuth2ApiTokens/elsewhere").status, 404);

    sandbox.set_clock_offset(30 * DAY);
    assert_eq!(client.refresh(&tokens.refresh_token).json()["error"], "invalid_grant");
    sandbox.set_clock_offset(0);
    sandbox.disable_pairs();
    assert_eq!(client.refresh(&tokens.refresh_token).json()["error"], "invalid_grant");
    assert_eq!(client.get(&path).json()["status"], "Disabled by User");
}
