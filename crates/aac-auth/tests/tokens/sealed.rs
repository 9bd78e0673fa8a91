//! Sealed files: no part of a token is in plain, whatever happens; and what stays closed counts as a pair.

use crate::{NONE, start_until};
use aac_sandbox::{Fault, FaultKind, Options, Tokens};
use acceptance::sealed::Key;
use acceptance::{Case, KEY, Run};
use std::fs;

const OTHER_KEY: &str = "another key, which nothing here is sealed with";
const JOURNAL: &str = "creds.json.rotation";
const ASIDE: &str = "creds.json.rotation.old";
/// Where the copy of creds.json begins in a journal.
const BEFORE: usize = acceptance::JOURNAL_NOTE + 2 * acceptance::JOURNAL_LINE + 4 * 1024;

fn expired() -> Case {
    Case::expired(Options::default()).sealed(true)
}

#[track_caller]
fn assert_sealed(case: &Case, name: &str) {
    let bytes = fs::read(case.path(name)).unwrap();
    assert_eq!(Key::of(KEY).open_all(&bytes).len(), if name == "creds.json" { 1 } else { 2 });
    case.assert_hidden();
}

/// A run that works, with the newest pair in creds.json, sealed.
#[track_caller]
fn assert_works(case: &Case) -> Run {
    let run = case.run(NONE);
    run.assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().reused, 0);
    assert_sealed(case, "creds.json");
    run
}

/// A run that stops at what stays closed: nothing is sent, and no file changes.
#[track_caller]
fn assert_stops(case: &Case, at: &str) {
    let contents = || {
        let names = case.names().into_iter().filter(|name| !name.contains(".lock"));
        names.map(|name| (fs::read(case.path(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let (before, sent) = (contents(), case.sandbox.counters().token_requests);
    let words = format!("{at}: ");
    let words = [&words, "key", "your tokens are unchanged"];
    case.run(NONE).assert_fails(1, &words);
    let status = case.call("token_status", NONE);
    let is_told = words.iter().all(|word| status.stderr.contains(word));
    let starts = status.stdout.starts_with("state                sealed\n");
    assert!(status.code == Some(1) && is_told && starts, "{status:?}");
    assert!(before == contents(), "{:?}", case.names());
    assert_eq!(case.sandbox.counters().token_requests, sent);
}

fn paste(case: &Case, tokens: &Tokens) {
    fs::write(case.creds(), acceptance::creds_with(tokens)).unwrap();
}

/// Sets a pair aside: someone pastes these tokens while its response is on its way.
fn set_aside(case: &Case, pasted: &Tokens) {
    let hold = case.sandbox.hold_token_responses();
    let child = start_until(case, &hold);
    paste(case, pasted);
    hold.release();
    Run::from(child).assert_ok();
    assert_sealed_aside(case);
}

#[track_caller]
fn assert_sealed_aside(case: &Case) {
    let aside = fs::read(case.path(ASIDE)).unwrap();
    assert_eq!(Key::of(KEY).open_all(&aside).len(), 2);
}

#[test]
fn a_refresh_writes_nothing_in_plain_and_as_many_files_as_any_other() {
    let (plain, sealed) = (Case::expired(Options::default()), expired());
    plain.run(NONE).assert_ok();
    for refreshes in 1..4 {
        assert_works(&sealed);
        assert_works(&sealed);
        assert_eq!(sealed.sandbox.counters().refreshes, refreshes);
        assert_eq!(sealed.names(), plain.names());
        sealed.sandbox.revoke_access_tokens();
    }
    // A journal that stays: what came has no access token of use.
    sealed.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    sealed.run(NONE).assert_fails(1, &["without a usable access token"]);
    assert_sealed(&sealed, JOURNAL);
}

#[test]
fn programs_that_share_a_sealed_pair_make_one_refresh() {
    let case = expired();
    case.start(12).into_iter().for_each(|program| Run::from(program).assert_ok());
    assert_eq!(case.sandbox.counters().token_requests, 1);
    assert_works(&case);
}

#[test]
fn a_pair_in_the_journal_is_restored_over_whatever_creds_json_holds() {
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let place = bytes.len() - 100;
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        bytes
    };
    let text = |_: &[u8]| b"damaged".to_vec();
    let renamed =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\"print\"", "\"prints\"").into();
    let gone = |_: &[u8]| Vec::new();
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let whole = |bytes: &[u8]| bytes.to_vec();
    for (how, is_kept) in [
        (&whole as &dyn Fn(&[u8]) -> Vec<u8>, false),
        (&gone, false),
        // As a write in place that was cut off leaves it.
        (&flipped, false),
        (&cut, true),
        (&text, true),
        (&renamed, true),
    ] {
        let case = expired().cut_off();
        assert_sealed(&case, JOURNAL);
        let found = how(&fs::read(case.creds()).unwrap());
        fs::write(case.creds(), &found).unwrap();
        assert_works(&case);
        let counters = case.sandbox.counters();
        assert_eq!(counters.token_requests, 1, "with no network");
        let damaged = fs::read(case.path("creds.json.damaged")).ok();
        assert!(damaged == is_kept.then_some(found), "{:?}", case.names());
    }
}

#[test]
fn without_its_key_a_pair_stays_as_it_is_and_with_it_all_goes_on() {
    for key in [None, Some(OTHER_KEY)] {
        for case in [expired(), expired().cut_off(), Case::fresh(Options::default()).sealed(true)] {
            case.write_key(key);
            assert_stops(&case, "creds.json");
            // The vendor's bash program empties what it does not understand.
            let creds = fs::read(case.creds()).unwrap();
            if case.path(JOURNAL).exists() {
                fs::write(case.creds(), "").unwrap();
                assert_stops(&case, JOURNAL);
                fs::remove_file(case.creds()).unwrap();
                assert_stops(&case, JOURNAL);
            }
            fs::write(case.creds(), creds).unwrap();
            case.write_key(KEY);
            assert_works(&case);
        }
    }
}

#[test]
fn a_doubt_is_told_where_creds_json_stays_closed() {
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() }).sealed(true);
    case.run(NONE).assert_fails(1, &["may have been used"]);
    case.write_key(None);
    case.run(NONE).assert_fails(1, &["creds.json: ", "an earlier run may have used"]);
}

#[test]
fn a_journal_that_stays_closed_counts_as_a_pair() {
    let case = expired().cut_off();
    let journal = fs::read(case.path(JOURNAL)).unwrap();
    let sealed = fs::read(case.creds()).unwrap();
    case.write_key(None);
    // A copy of the tokens that were used for it, from before they were sealed.
    paste(&case, &case.tokens);
    assert_stops(&case, JOURNAL);
    // Other tokens are used, and it is kept.
    paste(&case, &case.sandbox.issue_expired());
    case.run(NONE).assert_ok();
    assert!(fs::read(case.path(ASIDE)).unwrap() == journal, "it was not opened");
    assert!(!case.path(JOURNAL).exists());
    assert_eq!(case.sandbox.counters().refreshes, 2);
    // It is still known what was used for it, whatever becomes of the record.
    fs::remove_file(case.path("creds.json.spent")).unwrap();
    paste(&case, &case.tokens);
    assert_stops(&case, ASIDE);
    fs::remove_file(case.creds()).unwrap();
    assert_stops(&case, ASIDE);
    // Nothing removes it, and with the key it is restored.
    fs::write(case.creds(), sealed).unwrap();
    case.write_key(KEY);
    assert_works(&case);
    assert!(!case.path(ASIDE).exists());
    assert_eq!(case.sandbox.counters().refreshes, 2);
}

#[test]
fn what_is_set_aside_is_sealed_and_is_used_when_it_is_needed() {
    // The pasted pair is refused.
    let case = expired();
    set_aside(&case, &case.sandbox.issue());
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let run = assert_works(&case);
    assert!(run.stderr.contains("trying the one that was set aside"), "{}", run.stderr);
    assert!(!case.path(ASIDE).exists());
    // It is refused while the key is gone: the pair is named, and stays.
    let case = expired();
    set_aside(&case, &case.sandbox.issue());
    case.sandbox.revoke_access_tokens();
    case.write_key(None);
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.run(NONE).assert_fails(4, &["is refused", "set aside", ASIDE]);
    assert_sealed_aside(&case);
    // creds.json is gone.
    case.write_key(KEY);
    fs::remove_file(case.creds()).unwrap();
    assert_works(&case);
    // It is put back by hand, as an error says.
    let case = expired();
    set_aside(&case, &case.sandbox.issue());
    fs::rename(case.path(ASIDE), case.creds()).unwrap();
    case.write_key(None);
    assert_stops(&case, "creds.json");
    case.write_key(KEY);
    case.sandbox.revoke_access_tokens();
    let hold = case.sandbox.hold_token_responses();
    let program = start_until(&case, &hold);
    let journal = fs::read(case.path(JOURNAL)).unwrap();
    let before = Key::of(KEY).open_all(&journal[BEFORE..]).pop().unwrap();
    assert!(String::from_utf8(before).unwrap().contains("refresh_token"));
    case.assert_hidden();
    hold.release();
    Run::from(program).assert_ok();
    assert_works(&case);
}

#[test]
fn plain_and_sealed_files_stand_beside_each_other() {
    // A pair that is pasted goes on working in plain, beside what is sealed.
    let case = expired();
    set_aside(&case, &case.sandbox.issue_expired());
    case.run(NONE).assert_ok();
    let creds = fs::read(case.creds()).unwrap();
    assert!(case.said() == creds && case.sandbox.is_live(&case.refresh_token()));
    assert_sealed_aside(&case);
    // A plain pair in the journal is sealed over a sealed creds.json.
    let case = Case::expired(Options::default()).cut_off().sealed(true);
    let run = case.run(NONE);
    run.assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_sealed(&case, "creds.json");
    assert_eq!(case.sandbox.counters().token_requests, 1);
    // A sealed pair in the journal is sealed over a plain copy.
    let case = expired().cut_off();
    paste(&case, &case.tokens);
    assert_works(&case);
}

#[test]
fn what_cannot_be_judged_is_named_and_nothing_is_started() {
    let case = expired();
    let sealed = fs::read_to_string(case.creds()).unwrap();
    let by = |keeper: &str, name: &str| {
        let named = sealed.replace("\"file\"", &format!("\"{keeper}\""));
        named.replace("\"key\": \"\"", &format!("\"key\": \"{name}\""))
    };
    for (creds, words) in [
        (sealed.replace("\"v\": 1", "\"v\": 2"), "newer version"),
        (by("tpm", ""), "newer version"),
        (by("keychain", "short"), "name that no program has made"),
        (by("secret-service", "aac-0123456 -w"), "name that no program has made"),
        (by("file", "name"), "name that no program has made"),
        (by("command", "id >&2"), "name that no program has made"),
        (by("windows", "AQAAANCM\\\\"), "name that no program has made"),
        (sealed.replace("\"v\": 1", "\"v\": 0"), "damaged"),
        (sealed.replace("\"print\"", "\"prints\""), "damaged"),
        (sealed.replacen('{', "{\"access_token\":\"a\",", 1), "both tokens"),
    ] {
        fs::write(case.creds(), &creds).unwrap();
        case.run(NONE).assert_fails(1, &["creds.json: ", words]);
        assert_eq!(fs::read_to_string(case.creds()).unwrap(), creds);
    }
    let utf16: Vec<u8> = sealed.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(case.creds(), utf16).unwrap();
    case.run(NONE).assert_fails(1, &["creds.json: sealed", "UTF-8"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn a_creds_json_that_a_program_has_emptied_is_told_with_the_likely_cause() {
    let case = expired();
    fs::write(case.creds(), "").unwrap();
    case.run(NONE).assert_fails(1, &["creds.json: empty", "bash"]);
}

/// What would not fit into the journal is an error before the send.
#[test]
fn what_the_journal_has_no_room_for_is_told_before_anything_is_sent() {
    let case = expired();
    let notes = "x".repeat(73 * 1024);
    let creds =
        acceptance::creds_with(&case.tokens).replacen('{', &format!("{{\"notes\":\"{notes}\","), 1);
    let seal = |creds: &str| Key::of(KEY).seal("creds", creds.as_bytes());
    fs::write(case.creds(), seal(&creds)).unwrap();
    case.run(NONE).assert_fails(1, &["larger than 96 KiB", "your tokens are unchanged"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
    fs::write(case.creds(), seal(&creds.replace(&notes, &notes[..60 * 1024]))).unwrap();
    assert_works(&case);
}
