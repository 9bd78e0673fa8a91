//! What is found beside creds.json after crashes, restored copies, pastes and other accounts: no living
//! pair is thrown away, and no used token is sent.

use crate::{NONE, PAGE, start_until};
use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Fault, FaultKind, Options, Tokens};
use acceptance::{Case, Run, Running};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::thread;
use std::time::Duration;

/// A journal, or a pair that was set aside: what its line says, and what follows.
fn journal(spent: &[u8], state: &str, content: &str) -> Vec<u8> {
    let line = json!({
        "version": 2, "spent": acceptance::sha256(spent), "time_ms": 1, "state": state,
        "length": content.len(), "sha256": acceptance::sha256(content.as_bytes()),
    });
    let line = format!("{:<1$}\n", line.to_string(), acceptance::JOURNAL_LINE - 1);
    let mut bytes = vec![b' '; if state == "failed" { acceptance::JOURNAL_NOTE } else { 0 }];
    bytes.extend(line.bytes().chain(content.bytes()));
    bytes
}

/// A case that has been renewed, and the content of creds.json before that.
fn renewed(times: usize) -> (Case, Vec<Vec<u8>>) {
    let case = Case::expired(Options::default());
    let mut copies = Vec::new();
    for _ in 0..times {
        copies.push(fs::read(case.creds()).unwrap());
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
    }
    (case, copies)
}

/// Sets a pair aside as a run does: someone pastes these tokens while the response is on its way.
fn set_aside(case: &Case, pasted: &Tokens) {
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(case, &hold);
    fs::write(case.creds(), acceptance::creds_with(pasted)).unwrap();
    hold.release();
    Run::from(child).assert_ok();
}

/// Finishes what an editor does that has emptied creds.json.
fn write_after_a_pause(mut editor: File, pasted: &Tokens) {
    // How long an editor takes is its own affair, so there is nothing to be awaited.
    thread::sleep(Duration::from_millis(700));
    editor.write_all(acceptance::creds_with(pasted).as_bytes()).unwrap();
}

#[test]
fn an_older_copy_is_never_sent() {
    let (case, copies) = renewed(3);
    for copy in copies {
        fs::write(case.creds(), &copy).unwrap();
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_fails(
            4,
            &[
                "creds.json: it was replaced by an older copy",
                "GMT",
                "Restore the newer file",
                PAGE,
            ],
        );
        assert_eq!(fs::read(case.creds()).unwrap(), copy, "it stays as it is");
    }
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (3, 0));
}

#[test]
fn an_older_copy_leads_to_the_pair_that_is_at_hand() {
    // In the journal: the commit failed, and then an older copy was restored.
    let case = Case::expired(Options::default());
    let oldest = fs::read(case.creds()).unwrap();
    case.run(NONE).assert_ok();
    case.sandbox.revoke_access_tokens();
    case.interrupt(&mut case.command()).assert_ok();
    fs::write(case.creds(), &oldest).unwrap();
    let run = case.run(NONE);
    run.assert_ok();
    for words in ["warning: ", "was an older copy", "GMT", "creds.json.rotation"] {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
    assert!(case.sandbox.is_live(&case.refresh_token()));

    // Set aside: other tokens were pasted, and then the copy from before.
    case.sandbox.revoke_access_tokens();
    let copy = fs::read(case.creds()).unwrap();
    set_aside(&case, &case.sandbox.issue());
    assert!(case.path("creds.json.rotation.old").is_file());
    fs::write(case.creds(), &copy).unwrap();
    // The pair itself says so.
    fs::remove_file(case.path("creds.json.spent")).unwrap();
    let run = case.run(NONE);
    run.assert_ok();
    assert!(run.stderr.contains("was an older copy"), "{}", run.stderr);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert!(!case.path("creds.json.rotation.old").exists());
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn a_lost_response_may_be_asked_for_again_after_all() {
    // The record has tokens with a successor alone.
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    case.sandbox.set_grace(Duration::from_secs(60));
    case.run(NONE).assert_fails(1, &["may have been used", PAGE]);
    assert!(!case.path("creds.json.spent").exists());
    case.run(NONE).assert_ok();
    assert!(case.path("creds.json.spent").is_file());
}

#[test]
fn the_record_may_be_damaged_and_holds_no_token() {
    let case = Case::expired(Options::default());
    fs::write(case.path("creds.json.spent"), b"\xff junk \0\n\n1 2 3").unwrap();
    let mut tokens = vec![case.tokens.refresh_token.clone()];
    for _ in 0..2 {
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
        tokens.push(case.refresh_token());
    }
    let record = fs::read(case.path("creds.json.spent")).unwrap();
    let record = String::from_utf8_lossy(&record);
    assert_eq!(record.lines().filter(|line| line.len() > 100).count(), 2, "{record}");
    for token in tokens {
        let mut parts = token.as_bytes().windows(12).map(|part| str::from_utf8(part).unwrap());
        assert!(!parts.any(|part| record.contains(part)));
    }
}

#[test]
fn several_pairs_are_set_aside_and_each_is_kept_until_it_is_dead() {
    let case = Case::expired(Options::default());
    set_aside(&case, &case.sandbox.issue_expired());
    let first = fs::read(case.path("creds.json.rotation.old")).unwrap();
    // The pasted token is expired, so this run renews it, is overtaken, and so on.
    case.sandbox.revoke_access_tokens();
    set_aside(&case, &case.sandbox.issue());
    assert_eq!(fs::read(case.path("creds.json.rotation.old")).unwrap(), first);
    assert!(case.path("creds.json.rotation.old.2").is_file());
    // The success of a third pair deletes neither.
    case.sandbox.revoke_access_tokens();
    case.run(NONE).assert_ok();
    assert!(case.path("creds.json.rotation.old").is_file());
    assert!(case.path("creds.json.rotation.old.2").is_file());
    // creds.json's own is refused: the newest is used, with a warning.
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let run = case.run(NONE);
    run.assert_ok();
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("old.2"), "{}", run.stderr);
    assert!(!case.path("creds.json.rotation.old.2").exists());
    assert!(case.path("creds.json.rotation.old").is_file());
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn a_token_that_stays_in_force_is_used_when_that_of_creds_json_is_refused() {
    // The response has a new access token alone.
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    let pasted = case.sandbox.issue();
    set_aside(&case, &pasted);
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.run(NONE).assert_ok();
    let in_force = case.tokens.refresh_token.as_str();
    assert_eq!(case.sent_tokens(), [in_force, &pasted.refresh_token, in_force]);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_token_that_stays_in_force_is_restored_over_damage() {
    for damage in ["{}", "{\"error\": \"invalid_grant\"}"] {
        let case = Case::expired(Options::default());
        case.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
        case.interrupt(&mut case.command()).assert_ok();
        fs::write(case.creds(), damage).unwrap();
        case.run(NONE).assert_ok();
        assert_eq!(case.refresh_token(), case.tokens.refresh_token, "{damage}");
    }
}

/// A refresh token that came without an access token, set aside for these tokens.
fn lone_token_set_aside(pasted: &Tokens, case: &Case) {
    case.sandbox.add_fault(Fault::token(FaultKind::NoAccessToken));
    set_aside(case, pasted);
    case.sandbox.revoke_access_tokens();
}

#[test]
fn a_lone_refresh_token_is_used_when_that_of_creds_json_is_refused() {
    let case = Case::expired(Options::default());
    lone_token_set_aside(&case.sandbox.issue(), &case);
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let run = case.run(NONE);
    run.assert_ok();
    for words in ["warning: ", "is refused", "creds.json.rotation.old"] {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
    assert!(!case.path("creds.json.rotation.old").exists());
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_refusal_of_a_pair_that_was_set_aside_is_none_of_the_home_s() {
    let case = Case::expired(Options::default());
    set_aside(&case, &case.sandbox.issue());
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).times(2));
    let run = case.run(NONE);
    run.assert_fails(4, &["is refused", PAGE]);
    // What is told is about the token in creds.json, which was sent once.
    assert!(!run.stderr.contains("was sent before"), "{}", run.stderr);
    assert_eq!(case.sandbox.counters().token_requests, 3);
}

/// A journal as an earlier run would have left it: of another user of the sandbox, with this refresh token.
fn of_another_user(case: &Case, refresh_token: &str) -> Vec<u8> {
    let text = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    let start = text.find("eyJ").unwrap();
    let token = text[start..].split('"').next().unwrap();
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    let mut claims: Value = serde_json::from_slice(&BASE64URL.decode(claims).unwrap()).unwrap();
    claims["sub"] = json!("somebody-else");
    claims["email"] = json!("else@example.com");
    let other = format!("{head}.{}.{signature}", BASE64URL.encode(claims.to_string()));
    let content_start = text.find("\n{").unwrap() + 1;
    let length = {
        let line: Value = serde_json::from_str(text[..content_start].trim()).unwrap();
        usize::try_from(line["length"].as_u64().unwrap()).unwrap()
    };
    let content = text[content_start..content_start + length].replace(token, &other);
    let mut content: Value = serde_json::from_str(&content).unwrap();
    content["refresh_token"] = json!(refresh_token);
    journal(b"used by somebody else", "received", &content.to_string())
}

#[test]
fn another_account_is_named_and_never_switched_to() {
    let case = Case::interrupted(Options::default());
    let other = of_another_user(&case, "of-somebody-else");
    case.run(NONE).assert_ok();
    let aside = case.path("creds.json.rotation.old");
    fs::write(&aside, &other).unwrap();
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let command = format!("\"{}\" \"{}\"", aside.display(), case.creds().display());
    case.run(NONE).assert_fails(4, &["is refused", "else@example.com", "To use them: ", &command]);
    assert_eq!(fs::read(&aside).unwrap(), other, "it is kept");
    // With creds.json gone, pairs of two accounts are for the user to choose from.
    fs::remove_file(case.creds()).unwrap();
    fs::write(case.path("creds.json.rotation.old.2"), &other[..]).unwrap();
    let same = case.run(NONE);
    assert!(same.stderr.contains("else@example.com"), "{}", same.stderr);
}

#[test]
fn damage_that_names_an_account_is_replaced_by_no_other() {
    let case = Case::interrupted(Options::default());
    let other = of_another_user(&case, "of-somebody-else");
    case.run(NONE).assert_ok();
    fs::write(case.path("creds.json.rotation.old"), &other).unwrap();
    // A comma is missing.
    let damaged = fs::read_to_string(case.creds()).unwrap().replacen("\",", "\"", 1);
    fs::write(case.creds(), &damaged).unwrap();
    case.run(NONE).assert_fails(1, &["else@example.com", "creds.json.rotation.old"]);
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), damaged, "it stays as it is");
    assert_eq!(fs::read(case.path("creds.json.rotation.old")).unwrap(), other, "it is kept");
}

/// Runs a program that cannot remove this file, since it is a mount; `None` where that cannot be done.
#[cfg(target_os = "linux")]
fn run_beside_a_mount(case: &Case, path: &std::path::Path) -> Option<Run> {
    let able = acceptance::clean("unshare").args(["-rm", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        eprintln!("skipped: unshare -rm does not work here");
        return None;
    }
    let mut command = acceptance::clean("unshare");
    command.args(["-rm", "sh", "-c", "mount --bind \"$0\" \"$0\" && exec \"$1\""]);
    command.arg(path).arg(acceptance::get_workspace()).env("AAC_DIR", case.folder.path());
    Some(Run::of(&mut command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_pair_that_was_tried_in_vain_is_not_offered_though_it_cannot_be_removed() {
    let case = Case::expired(Options::default());
    set_aside(&case, &case.sandbox.issue());
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).times(2));
    let aside = case.path("creds.json.rotation.old");
    let Some(run) = run_beside_a_mount(&case, &aside) else { return };
    run.assert_fails(4, &["is refused", PAGE]);
    assert!(!run.stderr.contains("creds.json.rotation.old\""), "{}", run.stderr);
    assert!(aside.exists());
    assert_eq!(case.sandbox.counters().token_requests, 3);
}

#[cfg(target_os = "linux")]
#[test]
fn a_used_pair_that_cannot_be_removed_is_not_offered() {
    for (is_damaged, code) in [(false, 4), (true, 1)] {
        let case = Case::interrupted(Options::default());
        let [used, other] = ["used-token", "other-token"].map(|it| of_another_user(&case, it));
        case.run(NONE).assert_ok();
        let aside = case.path("creds.json.rotation.old");
        fs::write(&aside, used).unwrap();
        fs::write(case.path("creds.json.rotation.old.2"), other).unwrap();
        let mut record = fs::read_to_string(case.path("creds.json.spent")).unwrap();
        let [spent, next] = [b"used-token", b"next-token"].map(|it| acceptance::sha256(it));
        record += &format!("{spent} {next} 1\n");
        fs::write(case.path("creds.json.spent"), record).unwrap();
        if is_damaged {
            let damaged = fs::read_to_string(case.creds()).unwrap().replacen("\",", "\"", 1);
            fs::write(case.creds(), damaged).unwrap();
        }
        case.sandbox.revoke_access_tokens();
        case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
        let Some(run) = run_beside_a_mount(&case, &aside) else { return };
        run.assert_fails(code, &["else@example.com", "creds.json.rotation.old.2\""]);
        assert!(!run.stderr.contains("creds.json.rotation.old\""), "{}", run.stderr);
        assert!(aside.exists());
    }
}

#[test]
fn a_saved_pair_that_does_not_go_with_the_settings_stays_as_it_is() {
    let case = Case::expired(Options::default());
    case.interrupt(&mut case.command()).assert_ok();
    let files = ["creds.json", "creds.json.rotation"].map(|name| case.path(name));
    for creds in [fs::read(case.creds()).unwrap(), b"damaged".to_vec()] {
        fs::write(case.creds(), creds).unwrap();
        let before = files.clone().map(|path| fs::read(path).unwrap());
        let url = fs::read(case.path("aac_url.txt")).unwrap();
        fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
        case.run(NONE).assert_fails(1, &["creds.json"]);
        assert_eq!(files.clone().map(|path| fs::read(path).unwrap()), before);
        fs::write(case.path("aac_url.txt"), url).unwrap();
    }
    let received = case.sandbox.counters().refreshes;
    case.run(NONE).assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, received, "the access token is there as well");
}

#[test]
fn what_is_put_back_by_its_command_is_used() {
    // A pair, or a refresh token that came without an access token.
    for is_lone in [false, true] {
        let case = Case::expired(Options::default());
        let saved = if is_lone {
            lone_token_set_aside(&case.sandbox.issue(), &case);
            "creds.json.rotation.old"
        } else {
            case.interrupt(&mut case.command()).assert_ok();
            "creds.json.rotation"
        };
        // As the command of the message does.
        fs::rename(case.path(saved), case.creds()).unwrap();
        case.run(NONE).assert_ok();
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
        assert!(case.sandbox.is_live(&case.refresh_token()));
        let counters = case.sandbox.counters();
        assert_eq!((counters.reused, counters.refreshes), (0, 2 + u64::from(is_lone)));
    }
}

#[test]
fn a_saved_pair_is_found_whatever_else_is_there() {
    let failure = r#"{"kind":"AuthServer","message":"m","help":"h","exit_code":1,"in_doubt":false,"time_ms":1}"#;
    // creds.json gone or damaged, and a journal that was cut off or has failed, or nothing else at all.
    for (creds, state) in [
        (None, None),
        (Some("{\"error\": \"invalid_grant\"}"), None),
        (None, Some("begun")),
        (None, Some("failed")),
    ] {
        let case = Case::interrupted(Options::default());
        let aside = case.path("creds.json.rotation.old");
        fs::rename(case.path("creds.json.rotation"), &aside).unwrap();
        match creds {
            Some(damage) => fs::write(case.creds(), damage).unwrap(),
            None => fs::remove_file(case.creds()).unwrap(),
        }
        if let Some(state) = state {
            let journal = journal(b"another", state, failure);
            fs::write(case.path("creds.json.rotation"), journal).unwrap();
        }
        // The folder is found by the pair alone.
        let mut command = acceptance::command();
        let run = Run::of(command.current_dir(case.folder.path()));
        run.assert_ok();
        assert!(run.stderr.contains("held no tokens"), "{}", run.stderr);
        assert!(case.sandbox.is_live(&case.refresh_token()), "{state:?}");
        assert_eq!(case.sandbox.counters().refreshes, 1);
        assert!(!aside.exists());
    }
}

#[test]
#[cfg(unix)]
fn a_saved_pair_that_cannot_be_read_is_named() {
    let case = Case::interrupted(Options::default());
    fs::remove_file(case.path("creds.json.rotation")).unwrap();
    let aside = case.path("creds.json.rotation.old");
    fs::remove_file(case.creds()).unwrap();
    // What cannot be read is not a dead pair.
    fs::write(&aside, "x".repeat(1_100_000)).unwrap();
    case.run(NONE).assert_fails(1, &["creds.json.rotation.old: "]);
    fs::remove_file(&aside).unwrap();
    fs::create_dir(aside).unwrap();
    case.run(NONE).assert_fails(1, &["creds.json.rotation.old: it is not a file"]);
}

#[test]
fn damage_is_kept_beside_and_a_torn_write_is_finished() {
    thread::scope(|scope| {
        for (damage, is_kept) in [
            // A comma is missing.
            (Some("{\"access_token\": \"pasted\" \"refresh_token\": \"pasted, too\"}"), true),
            (Some("{\"error\": \"invalid_grant\"}"), true),
            (Some("   \n"), false),
            (Some(""), false),
            (None, false),
        ] {
            scope.spawn(move || {
                let case = Case::interrupted(Options::default());
                match damage {
                    Some(damage) => fs::write(case.creds(), damage).unwrap(),
                    None => fs::remove_file(case.creds()).unwrap(),
                }
                let run = case.run(NONE);
                run.assert_ok();
                assert!(case.sandbox.is_live(&case.refresh_token()), "{damage:?}");
                let kept = fs::read_to_string(case.path("creds.json.damaged")).ok();
                assert_eq!(kept.as_deref(), damage.filter(|_| is_kept));
                assert_eq!(run.stderr.contains("creds.json.damaged"), is_kept, "{}", run.stderr);
                assert!(!case.path("creds.json.rotation").exists());
                assert_eq!(case.sandbox.counters().refreshes, 1);
            });
        }
    });
    // The same again is kept once, other damage beside it.
    let case = Case::interrupted(Options::default());
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    for (damage, names) in [("one", 1), ("one", 1), ("two", 2)] {
        fs::write(case.creds(), damage).unwrap();
        fs::write(case.path("creds.json.rotation"), &journal).unwrap();
        case.run(NONE).assert_ok();
        let kept = case.names().into_iter().filter(|name| name.contains(".damaged")).count();
        assert_eq!(kept, names, "{damage}");
    }

    // A mix of our own old and new bytes holds nothing of anyone's.
    let case = Case::interrupted(Options::default());
    let old = fs::read(case.creds()).unwrap();
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    case.run(NONE).assert_ok();
    let new = fs::read(case.creds()).unwrap();
    for cut in [1, 700, old.len() - 1] {
        let torn = [&new[..cut], &old[cut..]].concat();
        fs::write(case.creds(), torn).unwrap();
        fs::write(case.path("creds.json.rotation"), &journal).unwrap();
        let run = case.run(NONE);
        run.assert_ok();
        assert_eq!(fs::read(case.creds()).unwrap(), new);
        assert_eq!((run.stderr.as_str(), case.path("creds.json.damaged").exists()), ("", false));
    }
}

#[test]
fn a_write_that_was_cut_off_is_finished_though_it_looks_whole() {
    let case = Case::expired(Options::default());
    let Tokens { access_token, refresh_token } = &case.tokens;
    let note = "abcdefghijklmnopqrstuvwxyz";
    let old = json!({ "refresh_token": refresh_token, "access_token": access_token, "note": note });
    let old = old.to_string();
    fs::write(case.creds(), &old).unwrap();
    case.interrupt(&mut case.command()).assert_ok();
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    case.run(NONE).assert_ok();
    let new = fs::read_to_string(case.creds()).unwrap();
    let tear = |at: usize| {
        let torn = format!("{}{}", &new[..at], &old[at..]);
        fs::write(case.creds(), &torn).unwrap();
        fs::write(case.path("creds.json.rotation"), &journal).unwrap();
        serde_json::from_str::<Value>(&torn).expect("it looks whole")
    };
    // The new refresh token comes first, so that the access token is still the expired one.
    assert_eq!(tear(300)["access_token"], json!(access_token));
    case.run(NONE).assert_ok();
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), new);
    assert_eq!(case.sandbox.counters().token_requests, 1, "the mixture is not sent");
    // Both are there, and what comes next has moved.
    let mixed = tear(new.find("ijk").unwrap());
    assert_eq!(mixed["note"], "abcdefghuvwxyz");
    case.sandbox.revoke_access_tokens();
    case.run(NONE).assert_ok();
    let now: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
    assert_eq!(now["note"], note);
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn a_broken_access_token_beside_the_new_refresh_token_is_replaced() {
    let case = Case::interrupted(Options::default());
    let journal = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    let response = journal[acceptance::JOURNAL_LINE..].lines().next().unwrap();
    let response = serde_json::Deserializer::from_str(response).into_iter::<Value>().next();
    let new = &response.unwrap().unwrap()["refresh_token"];
    let torn = json!({ "access_token": "eyJ.torn.x", "refresh_token": new });
    fs::write(case.creds(), torn.to_string()).unwrap();
    case.run(NONE).assert_ok();
    assert_eq!(json!(case.refresh_token()), *new);
    case.run(NONE).assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn recovery_keeps_the_other_fields() {
    let case = Case::expired(Options::default());
    let creds = json!({
        "note": "mine", "access_token": case.tokens.access_token,
        "refresh_token": case.tokens.refresh_token, "last": [1, 2],
    });
    fs::write(case.creds(), creds.to_string()).unwrap();
    case.interrupt(&mut case.command()).assert_ok();
    fs::write(case.creds(), "damaged").unwrap();
    case.run(NONE).assert_ok();
    let now: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
    assert_eq!((&now["note"], &now["last"]), (&json!("mine"), &json!([1, 2])));
    assert_eq!(now.as_object().unwrap().keys().next().unwrap(), "note");
}

#[test]
fn an_editor_that_empties_the_file_first_is_waited_for() {
    for is_set_aside in [false, true] {
        let case = Case::interrupted(Options::default());
        if is_set_aside {
            let aside = case.path("creds.json.rotation.old");
            fs::rename(case.path("creds.json.rotation"), aside).unwrap();
        }
        let pasted = case.sandbox.issue();
        let editor = File::create(case.creds()).unwrap();
        let mut program = Running::of(case.command().arg("-v"));
        // It must be looking at the empty file by now: it has read the settings.
        program.says("\n");
        write_after_a_pause(editor, &pasted);
        program.end().assert_ok();
        assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");
    }
}

#[test]
fn an_editor_that_empties_the_file_during_a_refresh_is_waited_for() {
    let case = Case::expired(Options::default());
    let pasted = case.sandbox.issue();
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(&case, &hold);
    let editor = File::create(case.creds()).unwrap();
    hold.release();
    write_after_a_pause(editor, &pasted);
    Run::from(child).assert_ok();
    assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");
}

#[test]
fn what_cannot_be_read_during_a_refresh_stays() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(&case, &hold);
    let too_large = "x".repeat(1_100_000);
    fs::write(case.creds(), &too_large).unwrap();
    hold.release();
    Run::from(child).assert_fails(1, &["creds.json: "]);
    assert!(fs::read_to_string(case.creds()).unwrap() == too_large);
    // And the response is there for when it is gone.
    fs::remove_file(case.creds()).unwrap();
    case.run(NONE).assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

/// A journal as the first format had it, which named no version: a line of 512 bytes, and room for 64 KiB.
fn first_format(spent: &str, state: &str, content: &str, creds: &str) -> Vec<u8> {
    let place = |state: &str, content: &str| {
        let line = json!({
            "spent": acceptance::sha256(spent.as_bytes()), "time_ms": 1, "pid": 1, "state": state,
            "length": content.len(), "sha256": acceptance::sha256(content.as_bytes()),
        });
        format!("{:<511}\n{content}", line.to_string())
    };
    // Two responses, a note, and creds.json as it was.
    let start = 2 * (512 + 64 * 1024) + 512 + 4 * 1024;
    let mut bytes = place(state, content).into_bytes();
    bytes.resize(start, b' ');
    bytes.extend(place("creds", creds).into_bytes());
    bytes
}

#[test]
fn what_another_version_has_left_is_named_and_stays_as_it_is() {
    type Format = fn(&str, bool, &str, &str) -> Vec<u8>;
    let first: Format = |spent, has_come, content, creds| {
        first_format(spent, if has_come { "answered" } else { "sending" }, content, creds)
    };
    let newer: Format = |spent, has_come, content, _| {
        let journal =
            journal(spent.as_bytes(), if has_come { "received" } else { "begun" }, content);
        let journal = String::from_utf8(journal).unwrap();
        journal.replacen("\"version\":2", "\"version\":3", 1).into_bytes()
    };
    let newest = "run the newer version";
    for (format, version, name, cure) in [
        (first, "an earlier", "creds.json.rotation", "until this file is gone"),
        (first, "an earlier", "creds.json.rotation.old", "move this file over it"),
        (first, "an earlier", "creds.json", "its next refresh writes them"),
        (newer, "a newer", "creds.json.rotation", newest),
        (newer, "a newer", "creds.json.rotation.old", newest),
        (newer, "a newer", "creds.json", newest),
    ] {
        for has_come in [true, false] {
            let case = Case::expired(Options::default());
            let pair = acceptance::creds_with(&case.sandbox.issue());
            let creds = fs::read_to_string(case.creds()).unwrap();
            let content = if has_come { &*pair } else { "" };
            let left = format(&case.tokens.refresh_token, has_come, content, &creds);
            fs::write(case.path(name), &left).unwrap();
            let said = format!("{name}: written by {version} version of this program");
            for _ in 0..2 {
                case.run(NONE).assert_fails(1, &[&said, "only copy of your tokens", cure]);
            }
            assert!(fs::read(case.path(name)).unwrap() == left, "{said}");
            if name != "creds.json" {
                assert_eq!(fs::read_to_string(case.creds()).unwrap(), creds);
            }
            let mut names = case.names();
            names.retain(|it| it.starts_with("creds.json.") && it != "creds.json.lock");
            assert!(names.iter().all(|it| it == name), "{names:?}");
            assert_eq!(case.sandbox.counters().token_requests, 0, "{said}");
            let status = Run::of(&mut case.program("token_status"));
            assert!(!status.stdout.contains("the next program refreshes"), "{}", status.stdout);
            let is_told = status.stderr.contains(&said) && status.stderr.contains(cure);
            assert!(is_told && status.code == Some(1), "{}", status.stderr);
        }
    }
}

#[test]
#[cfg(unix)]
fn an_earlier_doubt_is_remembered_when_nothing_can_be_written() {
    let obstacles: [fn(&Case); 2] = [
        |case| fs::hard_link(case.creds(), case.path("second.json")).unwrap(),
        |case| {
            fs::remove_file(case.path("creds.json.lock")).unwrap();
            // A link to itself cannot be opened.
            std::os::unix::fs::symlink("creds.json.lock", case.path("creds.json.lock")).unwrap();
        },
    ];
    for obstruct in obstacles {
        let fault = Fault::token(FaultKind::ResetAfter).times(2);
        let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
        case.run(NONE).assert_fails(1, &["may have been used"]);
        obstruct(&case);
        let run = case.run(NONE);
        run.assert_fails(1, &["an earlier run may have used the refresh token"]);
        assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_long_lived_client_follows_a_link_that_appears() {
    let case = Case::expired(Options::default());
    let options = ConnectionOptions::default().dir(case.folder.path());
    let client = Client::open(&options, "links/1.0").unwrap();
    client.get("/iam/v1/workspaces/current").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("tokens.json");
    fs::rename(case.creds(), &real).unwrap();
    std::os::unix::fs::symlink(&real, case.creds()).unwrap();
    case.sandbox.revoke_access_tokens();
    client.get("/iam/v1/workspaces/current").unwrap();
    assert!(fs::symlink_metadata(case.creds()).unwrap().is_symlink());
    assert!(acceptance::names(elsewhere.path()).contains(&"tokens.json.lock".to_owned()));
    assert_eq!(case.sandbox.counters().refreshes, 2);
}

#[test]
#[cfg(unix)]
fn a_hard_link_is_refused_before_anything_is_sent() {
    let case = Case::expired(Options::default());
    fs::hard_link(case.creds(), case.path("second.json")).unwrap();
    case.run(NONE).assert_fails(1, &["another name (a hard link)", "unchanged", "symbolic link"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
    fs::remove_file(case.path("second.json")).unwrap();
    case.run(NONE).assert_ok();
}

#[test]
#[cfg(unix)]
fn a_file_that_others_can_use_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::fresh(Options::default());
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o664)).unwrap();
    let run = case.run(NONE);
    run.assert_ok();
    assert!(
        run.stderr.contains("every user of this machine") && run.stderr.contains("chmod o-rwx")
    );
    // Where the group merely has what everyone has, it goes as well.
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o644)).unwrap();
    let run = case.run(NONE);
    assert!(run.stderr.contains("chmod go-rwx"), "{}", run.stderr);
}

#[test]
#[cfg(unix)]
fn a_refresh_takes_from_others_what_nobody_meant_to_give_them() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for (mode, after) in [
        // A clone: the group has what everyone has.
        (0o644, 0o600),
        (0o604, 0o600),
        // The group was given more than others, or others nothing.
        (0o664, 0o660),
        (0o666, 0o660),
        (0o660, 0o660),
        (0o640, 0o640),
        (0o600, 0o600),
    ] {
        let case = Case::expired(Options::default());
        fs::set_permissions(case.creds(), PermissionsExt::from_mode(mode)).unwrap();
        let state = |name: &str| {
            let found = fs::metadata(case.path(name)).unwrap();
            (found.uid(), found.gid(), found.mode() & 0o7777)
        };
        let (uid, gid, _) = state("creds.json");
        let run = case.run(NONE);
        run.assert_ok();
        let is_told = run.stderr.contains("they no longer can");
        assert_eq!(is_told, mode & 0o007 != 0, "{mode:o}: {}", run.stderr);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
        for name in ["creds.json", "creds.json.lock", "creds.json.spent"] {
            assert_eq!(state(name), (uid, gid, after), "{mode:o}: {name}");
        }
        assert_eq!(case.run(NONE).stderr, "");
    }
}

#[test]
fn a_lock_file_that_is_deleted_during_a_refresh_lets_nobody_in() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let first = start_until(&case, &hold);
    if !case.delete_lock() {
        hold.release();
        Run::from(first).assert_ok();
        return;
    }
    let others = case.start(4);
    // The sandbox would count a second request as soon as it arrives.
    hold.release();
    for child in others.into_iter().chain([first]) {
        Run::from(child).assert_ok();
    }
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.refreshes), (1, 1));
}

#[test]
fn an_earlier_doubt_is_remembered_when_nothing_is_sent() {
    use FaultKind as K;
    // What happens to the requests of the first run. Where a pair is set aside, creds.json's own token is
    // refused, and the journal tells of that one by the time that it matters.
    for (is_set_aside, kinds) in [
        (false, &[K::ResetBefore, K::ResetBefore][..]),
        (true, &[K::InvalidGrant, K::ResetAfter, K::ResetBefore]),
        (true, &[K::InvalidGrant, K::ResetAfter, K::ResetAfter]),
    ] {
        let case = Case::expired(Options::default());
        if is_set_aside {
            set_aside(&case, &case.sandbox.issue());
            case.sandbox.revoke_access_tokens();
        }
        kinds.iter().for_each(|kind| case.sandbox.add_fault(Fault::token(kind.clone())));
        case.run(NONE).assert_fails(1, &["may have been used"]);
        if is_set_aside {
            case.sandbox.add_fault(Fault::token(K::InvalidGrant));
        }
        case.sandbox.add_fault(Fault::token(K::TooManyRequests(60)));
        let run = case.run(NONE);
        run.assert_fails(4, &["an earlier run may have used the refresh token", "again in 60 s"]);
        assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
    }
}

#[test]
fn a_lock_file_that_is_deleted_does_not_make_a_run_forget_the_doubt() {
    // Every connection is refused. A port that was free a moment ago may be the next test's by now.
    let issuer = Some("http://127.0.0.1:9/as".to_owned());
    let case = Case::expired(Options { issuer, ..Options::default() });
    // An earlier run was cut off when it was sending.
    let journal = journal(case.tokens.refresh_token.as_bytes(), "begun", "");
    fs::write(case.path("creds.json.rotation"), journal).unwrap();
    let mut program = Running::of(case.command().arg("-v"));
    program.says("trying again");
    if !case.delete_lock() {
        return;
    }
    let Run { code, stderr: text, .. } = program.end();
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(
        text.matches("refreshing the tokens at").count(),
        1,
        "its journal is locked: {text}"
    );
    assert!(text.contains("an earlier run may have used"), "{text}");
    assert!(!text.contains("unchanged"), "{text}");
}
