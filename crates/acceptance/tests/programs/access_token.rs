//! access_token: the token and a newline, for whatever program comes next.

use crate::{NONE, call_with, fresh, in_vault};
use aac_auth::Timestamp;
use aac_sandbox::{Fault, FaultKind, Options, Sandbox};
use acceptance::{Case, Run};
use serde_json::{Value, json};
use std::fs;

/// Not checked for a token, which is what it prints.
fn print(case: &Case, args: &[&str]) -> Run {
    Run::of(case.program("access_token").args(args))
}

#[test]
fn it_prints_a_token_that_is_valid_now() {
    let case = fresh();
    print(&case, &[]).assert_ends(0, &format!("{}\n", case.tokens.access_token), "");
    assert_eq!(case.sandbox.counters().connections, 0, "nothing needs to be asked");

    let case = Case::expired(Options::default());
    let run = print(&case, &[]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    let creds = fs::read_to_string(case.creds()).unwrap();
    assert!(run.stdout.len() > 100 && creds.contains(run.stdout.trim_end()));
    assert!(!run.stdout.contains(&case.refresh_token()));
    print(&case, &[]).assert_ends(0, &run.stdout, "");
    assert_eq!(case.sandbox.counters().refreshes, 1, "the same one for the next");

    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    print(&case, &[]).assert_says(4, &["access_token: the refresh token in "]);
}

#[test]
fn as_json_it_has_all_that_a_request_needs() {
    let case = Case::expired(Options::default());
    let run = print(&case, &["--json"]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    let token: Value = serde_json::from_str(&run.stdout).unwrap();
    let text = |name: &str| token[name].as_str().unwrap();
    assert_eq!(text("access_token"), print(&case, &[]).stdout.trim_end());
    assert_eq!([text("api_url"), text("platform_url")], [case.sandbox.url(); 2]);
    let left = text("expires_at").parse::<Timestamp>().unwrap().seconds_since(Timestamp::now());
    assert!((290..=300).contains(&left), "{left}");
    // They are enough, and ask for nothing that a program would have to decode.
    let headers = token["headers"].as_object().unwrap();
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(names, ["authorization", "accept", "x-api-project-id"]);
    let url = format!("{}/iam/v1/workspaces/current", text("api_url"));
    let call = headers.iter().fold(acceptance::agent().get(url), |call, (name, value)| {
        call.header(name, value.as_str().unwrap())
    });
    assert_eq!(call.call().unwrap().status(), 200);
}

#[test]
fn a_token_to_hand_on_is_valid_for_as_long_as_asked() {
    // The server's clock is behind, so its first token looks 100 s old.
    let case = Case::fresh(Options { clock_offset: -100, ..Options::default() });
    let call = |seconds: &str| print(&case, &["--min-life", seconds]);
    call("150").assert_ends(0, &format!("{}\n", case.tokens.access_token), "");
    assert_eq!(case.sandbox.counters().refreshes, 0);
    let refreshed = call("250");
    assert_eq!((refreshed.code, &*refreshed.stderr), (Some(0), ""));
    assert_ne!(refreshed.stdout.trim_end(), case.tokens.access_token);
    assert_eq!(call("250").stdout, refreshed.stdout, "this one lives long enough");
    call("300").assert_says(2, &["access tokens live 300 s, so none can be good for 300 s"]);
    assert_eq!(case.sandbox.counters().refreshes, 1, "nothing is refreshed in vain");
    // A shorter one is not handed on in its place.
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    call("299").assert_says(4, &[]);
    assert_eq!(call("250").code, Some(0));
}

#[test]
fn a_token_from_a_vault_is_not_refreshed_if_it_is_valid_long_enough() {
    acceptance::program("access_token");
    let case = in_vault(Options { clock_offset: -100, ..Options::default() }, Sandbox::issue);
    let leads = case.sandbox.vault().environment();
    let call = |seconds: &str| {
        let run = call_with(&case, "access_token", &leads, &["--min-life", seconds]);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""));
        run.stdout.trim_end().to_owned()
    };
    assert_eq!(call("150"), case.tokens.access_token);
    assert_eq!(case.sandbox.counters().refreshes, 0);
    let next = call("250");
    assert_ne!(next, case.tokens.access_token);
    assert_eq!(call("250"), next, "this one lives long enough");
    assert_eq!(case.sandbox.counters().refreshes, 1);
}

#[test]
fn who_has_only_an_access_token_is_told_what_it_is_good_for() {
    let case = fresh();
    let only = json!({ "access_token": case.tokens.access_token }).to_string();
    fs::write(case.creds(), only).unwrap();
    for program in ["access_token", "get_workspace", "token_status"] {
        let run = case.call(program, NONE);
        assert_eq!(run.code, Some(1), "{program}");
        for words in [
            "no \"refresh_token\"",
            "cannot refresh the access token",
            "Authorization: Bearer",
            "--min-life",
        ] {
            assert!(run.stderr.contains(words), "{program}: {words}: {}", run.stderr);
        }
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}
