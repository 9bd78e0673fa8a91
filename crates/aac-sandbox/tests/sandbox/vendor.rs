//! What the vendor's three example programs do, step by step: they can be tried against a sandbox.

use std::fs;

use aac_sandbox::{Fault, FaultKind, Options};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::client::{CURRENT, Client, form, jwt_part, start};

/// The payload of an access token as they decode it: plain base64, padded. Real tokens need no more.
fn payload(token: &str) -> Option<Value> {
    let part = token.split('.').nth(1)?;
    let padded = format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4));
    serde_json::from_slice(&BASE64_STANDARD.decode(padded).ok()?).ok()
}

#[test]
fn their_way_to_read_the_files_and_to_write_the_tokens_back() {
    // Their payloads differ in length, and so in padding.
    for issuer_ends in ["", "x", "xx"] {
        let issuer = format!("https://issuer.invalid/{issuer_ends}");
        let other = start(Options { issuer: Some(issuer), ..Options::default() });
        assert!(payload(&other.issue().access_token).is_some());
    }
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let dir = tempfile::tempdir().unwrap();
    sandbox.write_files(dir.path(), &sandbox.issue_expired()).unwrap();
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    for _ in 0..3 {
        let creds: Value = serde_json::from_str(&read("creds.json")).unwrap();
        let claims = payload(creds["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(claims["client_id"], sandbox.client_id());
        let url = format!("{}/token", claims["iss"].as_str().unwrap());
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let body = form(&sandbox, creds["refresh_token"].as_str().unwrap());
        let response = client.try_send("POST", &url, &kind, body).unwrap();
        assert_eq!(response.status, 200);
        // The whole response, over what was there.
        fs::write(dir.path().join("creds.json"), &response.body).unwrap();

        let bearer = format!("Bearer {}", response.tokens().access_token);
        let id = read("api_project_id.txt");
        let headers = [("Authorization", bearer.as_str()), ("x-api-project-id", id.trim())];
        assert_eq!(client.bare("GET", CURRENT, &headers).json()["id"], 31429);
    }
    let counters = sandbox.counters();
    assert_eq!((counters.refreshes, counters.reused), (3, 0));
}

#[test]
fn a_payload_that_needs_base64url_is_a_fault() {
    let sandbox = start(Options::default());
    sandbox.add_fault(Fault::token(FaultKind::Base64Url));
    let tokens = Client::new(&sandbox).refresh(&sandbox.issue().refresh_token).tokens();
    let part = tokens.access_token.split('.').nth(1).unwrap();
    assert!(part.contains('-') && part.contains('_'), "{part}");
    assert_eq!(payload(&tokens.access_token), None);
    assert_eq!(jwt_part(&tokens.access_token, 1)["client_id"], sandbox.client_id());
}
