//! Rotation, with real processes against a server that revokes the family on reuse.

use crate::{NONE, PAGE, start_until};
use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run, Running};
use serde_json::{Value, json};
use std::fs;
use std::thread;
use std::time::Duration;

#[test]
fn forty_eight_programs_at_an_expired_token_make_one_exchange() {
    let case = Case::expired(Options { latency: Duration::from_millis(150), ..Options::default() });
    for child in case.start(48) {
        Run::from(child).assert_ok();
    }
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.refreshes, counters.api_calls), (1, 1, 48));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_clock_that_is_an_hour_off_costs_one_exchange_at_most() {
    for clock_offset in [-3600, 3600] {
        let options = Options { clock_offset, ..Options::default() };
        for case in [Case::fresh(options.clone()), Case::expired(options)] {
            for _ in 0..3 {
                case.run(NONE).assert_ok();
            }
            assert!(case.sandbox.counters().refreshes <= 1, "{clock_offset}");
            assert!(case.sandbox.is_live(&case.refresh_token()));
        }
    }
}

#[test]
fn other_fields_keep_their_place_and_their_digits() {
    let case = Case::expired(Options::default());
    let creds = format!(
        "{{\"note\": 1.10, \"access_token\": \"{}\", \"z\": {{\"b\": 12345678901234567890.10, \"a\": [null]}}, \"refresh_token\": \"{}\", \"expires_in\": 1}}",
        case.tokens.access_token, case.tokens.refresh_token
    );
    fs::write(case.creds(), creds).unwrap();
    case.run(NONE).assert_ok();
    let creds = fs::read_to_string(case.creds()).unwrap();
    let document: Value = serde_json::from_str(&creds).unwrap();
    let names: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "note",
            "access_token",
            "z",
            "refresh_token",
            "expires_in",
            "token_type",
            "scope",
            "aac_auth"
        ]
    );
    assert!(creds.contains("\"note\": 1.10,") && creds.contains("\"b\": 12345678901234567890.10"));
    assert_eq!(document["z"]["a"], json!([null]));
    assert_eq!(document["expires_in"], 300, "a field of the answer");
}

#[test]
fn a_field_that_is_added_during_a_refresh_stays() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(&case, &hold);
    let read = || serde_json::from_slice::<Value>(&fs::read(case.creds()).unwrap()).unwrap();
    let mut document = read();
    document["note"] = json!("of a person");
    fs::write(case.creds(), document.to_string()).unwrap();
    hold.release();
    Run::from(child).assert_ok();
    assert_eq!(read()["note"], json!("of a person"));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
#[cfg(unix)]
fn a_chain_of_links_leads_to_one_file_and_one_lock() {
    use std::os::unix::fs::symlink;
    let case = Case::expired(Options::default());
    let real = tempfile::tempdir().unwrap();
    fs::rename(case.creds(), real.path().join("tokens")).unwrap();
    symlink(real.path().join("tokens"), case.path("second")).unwrap();
    symlink("second", case.creds()).unwrap();
    case.run(NONE).assert_ok();
    assert!(fs::symlink_metadata(case.creds()).unwrap().is_symlink());
    assert_eq!(acceptance::names(real.path()), ["tokens", "tokens.lock", "tokens.spent"]);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().refreshes, 1);
}

#[test]
fn eight_programs_in_a_loop_with_tokens_of_two_seconds() {
    let case = Case::expired(Options { token_lifetime: 2, ..Options::default() });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while case.sandbox.counters().refreshes < 4 {
                    case.run(NONE).assert_ok();
                }
            });
        }
    });
    let counters = case.sandbox.counters();
    assert_eq!((counters.refused, counters.reused), (0, 0));
}

/// What the vendor's examples do: read, exchange, write in place whatever came, with no lock.
fn foreign_turn(case: &Case) {
    let creds: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", creds["refresh_token"].as_str().unwrap()),
        ("client_id", case.sandbox.client_id()),
    ];
    let mut answer = acceptance::agent()
        .post(format!("{}/token", case.sandbox.issuer()))
        .send_form(form)
        .unwrap();
    fs::write(case.creds(), answer.body_mut().read_to_string().unwrap()).unwrap();
}

#[test]
fn programs_that_take_no_lock_take_turns_with_ours() {
    let case = Case::expired(Options { token_lifetime: 2, ..Options::default() });
    for turn in 0..6 {
        foreign_turn(&case);
        for child in case.start(4) {
            Run::from(child).assert_ok();
        }
        assert_eq!(case.sandbox.counters().reused, 0, "{turn}");
        // Until the token has ended, so that one of ours makes an exchange of its own.
        let creds: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
        assert!(creds.get("error").is_none());
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
    }
    assert_eq!(case.sandbox.counters().revoked, 0);
    assert!(case.sandbox.counters().refreshes >= 12);
}

#[test]
fn tokens_that_another_program_saved_meanwhile_are_used() {
    // The other one spends the token first; ours is refused, and finds the new pair in the file.
    let case = Case::expired(Options { replay_protection: false, ..Options::default() });
    let hold = case.sandbox.hold_token_endpoint();
    let child = start_until(&case, &hold);
    let pasted = case.sandbox.issue();
    case.sandbox.write_files(case.folder.path(), &pasted).unwrap();
    hold.release();
    Run::from(child).assert_ok();
    assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");

    // The superseded response is kept: it may be the only copy of a living pair of another family.
    let kept = case.path("creds.json.rotation.old");
    assert!(kept.is_file());
    case.sandbox.revoke_access_tokens();
    case.run(NONE).assert_ok();
    assert!(kept.is_file());
    // It is deleted when its own token is refused.
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).times(2));
    case.run(NONE).assert_fails(4, &["is refused"]);
    assert!(!kept.exists());
}

#[test]
fn what_a_program_without_the_lock_is_about_to_save_is_waited_for() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let child = start_until(&case, &hold);
    // It has used our token, and is not there yet with what it got.
    fs::remove_file(case.creds()).unwrap();
    hold.release();
    thread::sleep(Duration::from_millis(500));
    let saved = case.sandbox.issue();
    case.sandbox.write_files(case.folder.path(), &saved).unwrap();
    Run::from(child).assert_ok();
    assert_eq!(case.refresh_token(), saved.refresh_token);
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn an_overtaken_pair_is_tried_when_the_files_own_is_refused() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(&case, &hold);
    // An older copy is restored, of tokens that are long dead.
    let dead = case.sandbox.issue_expired();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.sandbox.write_files(case.folder.path(), &dead).unwrap();
    hold.release();
    Run::from(child).assert_ok();
    assert_ne!(case.refresh_token(), dead.refresh_token);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn every_fault_of_the_token_endpoint_is_overcome_or_told() {
    use FaultKind as K;
    let minute = Duration::from_secs(60);
    let none = Duration::ZERO;
    let redirect = K::Redirect("https://example.com/".to_owned());
    // The fault, how often, the server's grace, the exit code, the words, the token requests.
    let cases = [
        (K::ResetBefore, 1, none, 0, "", 2),
        (K::ServerError, 1, none, 0, "", 2),
        (K::BadGateway, 1, none, 0, "", 2),
        (K::TooManyRequests(1), 1, none, 0, "", 2),
        (K::Unavailable(1), 1, none, 0, "", 2),
        (K::Slow(1), 1, none, 0, "", 1),
        (K::SlowBody(1), 1, none, 0, "", 1),
        (K::NoRefreshToken, 1, none, 0, "", 1),
        (K::ResetAfter, 1, minute, 0, "", 2),
        (K::Cut, 1, minute, 0, "", 2),
        (K::CutClose, 1, minute, 0, "", 2),
        (K::Garbled, 1, minute, 0, "", 2),
        (K::HtmlPage, 1, minute, 0, "", 2),
        (K::Empty, 1, minute, 0, "", 2),
        (K::Huge, 1, minute, 0, "", 2),
        (K::ResetAfter, 1, none, 4, "is refused | lost: the connection broke", 2),
        (K::Cut, 1, none, 4, "is refused | lost: the connection broke", 2),
        (K::CutClose, 1, none, 4, "is refused | was sent before", 2),
        (K::Garbled, 1, none, 4, "is refused | was sent before", 2),
        (K::Huge, 1, none, 4, "is refused | was sent before", 2),
        (K::ResetBefore, 2, none, 1, "may have been used | the connection broke", 2),
        (K::ServerError, 2, none, 5, "may have been used | HTTP 500", 2),
        (K::TooManyRequests(60), 1, none, 4, "tokens are unchanged | try again in 60 s", 1),
        (K::Unavailable(60), 1, none, 5, "may have been used | HTTP 503 | 60 s to wait", 1),
        (K::InvalidGrant, 1, none, 4, "is refused: invalid_grant | Correlation ID", 1),
        (K::InvalidClient, 1, none, 4, "HTTP 401 | invalid_client | tokens are unchanged", 1),
        (K::OAuthError, 1, none, 4, "HTTP 400 | invalid_request | tokens are unchanged", 1),
        (redirect, 1, none, 3, "HTTP 302 | tokens are unchanged", 1),
        (K::NoAccessToken, 1, none, 1, "without a usable access token | it is saved", 1),
        (K::BadAccessToken, 1, none, 1, "without a usable access token | it is saved", 1),
    ];
    thread::scope(|scope| {
        for (kind, times, grace, code, words, requests) in cases {
            scope.spawn(move || {
                let mut words: Vec<_> = words.split(" | ").collect();
                if ["is refused", "may have been used"].iter().any(|it| words[0].starts_with(it)) {
                    words.push(PAGE);
                }
                let faults = vec![Fault::token(kind.clone()).times(times)];
                let case = Case::expired(Options { grace, faults, ..Options::default() });
                let before = fs::read(case.creds()).unwrap();
                let run = case.run(["-v"]);
                match code {
                    0 => run.assert_ok(),
                    code => run.assert_fails(code, &words),
                }
                assert_eq!(case.sandbox.counters().token_requests, requests, "{kind:?}");
                let is_saved = code == 0 || matches!(kind, K::NoAccessToken | K::BadAccessToken);
                if is_saved {
                    assert!(case.sandbox.is_live(&case.refresh_token()), "{kind:?}");
                } else {
                    assert!(fs::read(case.creds()).unwrap() == before, "{kind:?}");
                }
                // What was not spent is good for the next run; but not a token that came alone.
                if code == 0 || case.sandbox.is_live(&case.tokens.refresh_token) {
                    case.run(NONE).assert_ok();
                } else if is_saved {
                    case.run(NONE).assert_fails(1, &words);
                    assert_eq!(case.sandbox.counters().token_requests, requests, "{kind:?}");
                }
                for line in case.sandbox.requests() {
                    assert!(line.header("host").unwrap().starts_with("127.0.0.1"), "{kind:?}");
                }
            });
        }
    });
}

#[test]
fn whoever_waited_behind_a_failure_reports_it_and_asks_nothing() {
    let fault = Fault::token(FaultKind::InvalidGrant).always();
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    let hold = case.sandbox.hold_token_endpoint();
    let first = start_until(&case, &hold);
    let mut others: Vec<_> = (0..8).map(|_| Running::of(case.command().arg("-v"))).collect();
    others.iter_mut().for_each(|other| other.says("waiting for another program"));
    hold.release();
    Run::from(first).assert_fails(4, &["is refused"]);
    for other in others {
        let run = other.end();
        assert_eq!(run.code, Some(4), "{}", run.stderr);
        for words in ["is refused: invalid_grant", "Create new tokens"] {
            assert!(run.stderr.contains(words), "{}", run.stderr);
        }
    }
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn sixty_four_threads_of_one_program_make_one_exchange() {
    let case = Case::expired(Options { latency: Duration::from_millis(150), ..Options::default() });
    let options = ConnectionOptions::default().dir(case.folder.path());
    let client = Client::open(&options, "threads/1.0").unwrap();
    // One that panics in the middle of things poisons nothing for the others.
    thread::scope(|scope| {
        let threads: Vec<_> = (0..64)
            .map(|number| {
                let client = &client;
                scope.spawn(move || {
                    let workspace = client.get("/iam/v1/workspaces/current").unwrap();
                    assert_eq!(workspace["id"], 31429);
                    assert_ne!(number, 7, "on purpose");
                })
            })
            .collect();
        let panics = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        assert_eq!(panics, 1);
    });
    assert_eq!(client.get("/iam/v1/workspaces/current").unwrap()["id"], 31429);
    let counters = case.sandbox.counters();
    assert_eq!((counters.refreshes, counters.api_calls), (1, 65));
}

#[test]
#[cfg(unix)]
fn a_read_only_file_is_its_owners_wish() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::expired(Options::default());
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o400)).unwrap();
    case.run(NONE).assert_fails(1, &["creds.json: read-only; your tokens are unchanged"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
    // A fresh token is used all the same.
    let case = Case::fresh(Options::default());
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o400)).unwrap();
    case.run(NONE).assert_ok();
    // One that has to be renewed early, but lives, too.
    let case =
        Case::fresh(Options { token_lifetime: 300, clock_offset: -250, ..Options::default() });
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o400)).unwrap();
    let run = case.run(NONE);
    run.assert_ok();
    assert!(
        run.stderr.contains("warning: ") && run.stderr.contains("still valid"),
        "{}",
        run.stderr
    );
}

#[test]
fn tokens_pasted_badly_over_a_left_journal_are_not_thrown_away() {
    let case = Case::interrupted(Options::default());
    let pasted = case.sandbox.issue();
    let creds = json!({
        "access_token": format!("Bearer {}", pasted.access_token),
        "refresh_token": pasted.refresh_token,
    });
    fs::write(case.creds(), creds.to_string()).unwrap();
    for _ in 0..2 {
        case.run(NONE).assert_fails(1, &["\"access_token\" has spaces", "without \"Bearer\""]);
        assert_eq!(case.refresh_token(), pasted.refresh_token);
    }
    case.sandbox.write_files(case.folder.path(), &pasted).unwrap();
    case.run(NONE).assert_ok();
    assert_eq!(case.refresh_token(), pasted.refresh_token);
}

#[test]
fn an_overtaken_pair_that_is_renewed_without_a_new_refresh_token_is_kept() {
    let case = Case::interrupted(Options { replay_protection: false, ..Options::default() });
    // Tokens that are dead take the place of those in the file.
    let dead = case.sandbox.issue_expired();
    case.sandbox.write_files(case.folder.path(), &dead).unwrap();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    case.run(NONE).assert_ok();
    assert_ne!(case.refresh_token(), dead.refresh_token);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_damaged_journal_is_no_obstacle() {
    let case = Case::interrupted(Options::default());
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    case.run(NONE).assert_ok();
    for junk in [&b""[..], b"junk", &journal[..journal.len() / 2], &[0xff; 70_000]] {
        fs::write(case.path("creds.json.rotation"), junk).unwrap();
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
    }
    assert_eq!(case.sandbox.counters().refreshes, 5);
}

#[test]
fn a_creds_json_that_does_not_fit_into_the_journal_is_an_error_before_the_send() {
    // Larger than the journal has room for, and as large as that with the response.
    for (size, is_error) in [(96 * 1024, true), (90 * 1024, false)] {
        let case = Case::expired(Options::default());
        let mut creds: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
        creds["note"] = json!("x".repeat(size));
        fs::write(case.creds(), creds.to_string()).unwrap();
        let run = case.run(NONE);
        match is_error {
            true => run.assert_fails(
                1,
                &[
                    "creds.json: larger than 96 KiB, so the journal has no room",
                    "are unchanged",
                    "creds.json what the programs do not need",
                ],
            ),
            false => run.assert_ok(),
        }
        assert_eq!(case.sandbox.counters().token_requests, u64::from(!is_error));
        assert!(
            !case.path("creds.json.rotation").exists() && !case.path("creds.json.new").exists()
        );
    }
}

#[test]
fn a_clock_that_steps_back_costs_one_exchange() {
    let case = Case::expired(Options::default());
    case.run(NONE).assert_ok();
    // As if the local clock had been an hour ahead when the token came.
    let mut creds: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
    let clock = creds["aac_auth"]["local_clock_ms"].as_i64().unwrap();
    creds["aac_auth"]["local_clock_ms"] = json!(clock + 3_600_000);
    fs::write(case.creds(), creds.to_string()).unwrap();
    for _ in 0..3 {
        case.run(NONE).assert_ok();
    }
    assert_eq!(case.sandbox.counters().refreshes, 2);
}
