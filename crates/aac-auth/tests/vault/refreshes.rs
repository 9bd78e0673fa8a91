//! Refreshes whose tokens are in a vault: faults, claims, responses, notes, whatever becomes of the programs.

use crate::fleet::{Fleet, NAMED, PAST_THE_GATE, each, fields};
use crate::{PAGE, PATIENCE, SOON, TAKEOVER, WAITS};
use aac_sandbox::{Fault, FaultKind, Operation, Options, Tokens, VaultOptions};
use acceptance::{Run, Running, in_other_times, names};
use serde_json::json;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_fresh_token_costs_one_request_and_writes_nothing() {
    let fleet = Fleet::fresh(1);
    let before = names(fleet.machines[0].path());
    fleet.run(0).assert_ok();
    assert_eq!(fleet.requests(), 1);
    assert_eq!(fleet.sandbox.vault().counters().applied, 1, "the user's own");
    assert_eq!(names(fleet.machines[0].path()), before);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_client_with_many_calls_asks_the_vault_once() {
    let fleet = Fleet::new(Options { users: 50, ..Options::default() }, false, 1);
    let run = fleet.check(Run::of(fleet.program(0, "list_users").args(["--page-size", "5"])));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(fleet.sandbox.counters().api_calls >= 10);
    assert_eq!(fleet.requests(), 1);
}

#[test]
fn threads_that_wait_for_a_vault_do_not_wait_for_one_another() {
    let fleet = Fleet::fresh(1).with(PATIENCE, 2);
    fleet.sandbox.add_fault(Fault::vault(FaultKind::Sealed).always());
    let mut command = fleet.command(0);
    command.args(["--threads", "8"]);
    let start = Instant::now();
    let run = fleet.check(Run::of(&mut command));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("the vault is sealed"), "{}", run.stderr);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[test]
fn a_client_follows_creds_json_to_another_secret() {
    let fleet = Fleet::new(Options { users: 50, ..Options::default() }, false, 1);
    let hold = fleet.sandbox.vault().hold(Operation::Read);
    let mut list = fleet.program(0, "list_users");
    let list = Running::of(list.args(["-v", "--page-size", "5"]));
    assert!(hold.wait_for_request(SOON));
    // From now on it names a secret that is not there.
    fleet.point(0, "secret/data/other");
    hold.release();
    let run = fleet.check(list.end());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("secret/data/other"), "{}", run.stderr);
}

#[test]
fn a_refresh_takes_five_requests_which_follow_its_own_writes() {
    for is_read_only in [false, true] {
        let mut fleet = Fleet::expired(1);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let run = fleet.run(0);
        run.assert_ok();
        assert_eq!(run.stderr.contains("without a journal"), is_read_only, "{}", run.stderr);
        assert_eq!(fleet.requests(), 5);
        fleet.assert_settled(1);
        assert!(!fleet.has_journal(0));
        let requests = fleet.sandbox.vault().requests();
        let first = requests.iter().position(|request| request.operation == Some(Operation::Write));
        for (number, request) in requests.iter().enumerate() {
            assert_eq!(request.header("x-vault-request"), Some("true"));
            let is_later = number > first.unwrap();
            assert_eq!(request.header("x-vault-index").is_some(), is_later, "{number}");
            let forward = is_later.then_some("forward-active-node");
            assert_eq!(request.header("x-vault-inconsistent"), forward, "{number}");
        }
        // The next run finds it, on whatever machine.
        let before = fleet.requests();
        fleet.run(0).assert_ok();
        assert_eq!(fleet.requests(), before + 1);
    }
}

#[test]
fn sixty_four_programs_on_four_machines_make_one_refresh() {
    let options = Options { latency: Duration::from_millis(150), ..Options::default() };
    // Two of the folders cannot be written.
    let fleet = Fleet::new(options, true, 4).without_lock_on(2).without_lock_on(3);
    let programs: Vec<_> = (0..64).map(|number| fleet.start(number % 4)).collect();
    for running in programs {
        fleet.end(running).assert_ok();
    }
    let counters = fleet.sandbox.counters();
    assert_eq!((counters.token_requests, counters.api_calls), (1, 64));
    fleet.assert_settled(1);
}

#[test]
fn sixty_four_threads_of_one_program_ask_a_vault_once_each() {
    let options = Options { latency: Duration::from_millis(150), ..Options::default() };
    let fleet = Fleet::new(options, true, 1).without_lock_on(0).with(PATIENCE, 60);
    let mut command = fleet.command(0);
    let run = fleet.check(Run::of(command.args(["--threads", "64"])));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let counters = fleet.sandbox.counters();
    assert_eq!((counters.token_requests, counters.api_calls), (1, 64));
    // A refresh takes four more.
    assert!(fleet.requests() <= 64 + 4, "{}", fleet.requests());
    fleet.assert_settled(1);
}

/// What is said when a fault is overcome; `None` where it is not tried.
type Said = Option<&'static str>;

const ANY: Said = Some("");
const NOT: Said = None;

/// Faults that are overcome: of a read, of a claim, of a commit.
fn overcome() -> Vec<(FaultKind, [Said; 3])> {
    use FaultKind as K;
    let (sealed, limits) = (Some("sealed"), Some("limits the rate"));
    let (away, late) = (Some("cannot be reached"), Some("timed out"));
    let redirect = K::Redirect("http://127.0.0.1:9/v1/x".to_owned());
    vec![
        (K::Stale, [ANY, ANY, ANY]),
        (K::NotFound, [ANY, NOT, NOT]),
        (K::CasMismatch, [NOT, Some("HTTP 400"), ANY]),
        (K::AppliedLater(0), [NOT, ANY, ANY]),
        (K::AppliedLater(1), [NOT, ANY, ANY]),
        (K::AppliedLater(2), [NOT, ANY, ANY]),
        (K::AppliedLater(3), [NOT, NOT, ANY]),
        (K::NoQuorum, [NOT, Some("active cluster node not found"), ANY]),
        (K::Sealed, [sealed, sealed, ANY]),
        (K::TooManyRequests(1), [limits, limits, ANY]),
        (K::BadRequest, [Some("HTTP 400"), NOT, NOT]),
        (K::ServerError, [Some("HTTP 500"), Some("HTTP 500"), ANY]),
        (K::BadGateway, [Some("HTTP 502"), Some("HTTP 502"), ANY]),
        (K::Unavailable(1), [Some("HTTP 503"), Some("HTTP 503"), ANY]),
        (K::GatewayTimeout, [Some("HTTP 504"), Some("HTTP 504"), NOT]),
        (redirect, [Some("HTTP 307"), Some("HTTP 307"), ANY]),
        (K::ResetBefore, [away, away, ANY]),
        (K::ResetAfter, [away, ANY, ANY]),
        (K::Cut, [away, ANY, ANY]),
        (K::Hang, [late, late, ANY]),
        (K::HangAfter, [late, ANY, ANY]),
        (K::Slow(1), [ANY, NOT, NOT]),
        (K::SlowBody(1), [ANY, NOT, NOT]),
        // Not so on a read: see below.
        (K::CutClose, [NOT, ANY, ANY]),
        (K::Garbled, [NOT, ANY, ANY]),
        (K::HtmlPage, [NOT, NOT, ANY]),
        (K::Empty, [NOT, ANY, ANY]),
        (K::Huge, [NOT, NOT, ANY]),
        (K::Forbidden, [NOT, NOT, ANY]),
    ]
}

/// With an expired token, each fault at the same time: most of it is waiting.
fn assert_overcome(stage: usize, fault: impl Fn(FaultKind) -> Fault) {
    thread::scope(|scope| {
        for (kind, said) in overcome() {
            let Some(words) = said[stage] else { continue };
            let fault = fault(kind.clone());
            scope.spawn(move || {
                let fleet = Fleet::expired(2);
                fleet.sandbox.add_fault(fault);
                let run = fleet.run(0);
                run.assert_ok();
                assert!(run.stderr.contains(words), "{kind:?}: {words:?}: {}", run.stderr);
                assert_eq!(fleet.sandbox.counters().refreshes, 1, "{kind:?}");
                // Nothing stays that keeps another machine waiting.
                let start = Instant::now();
                fleet.run(1).assert_ok();
                assert!(start.elapsed() < SOON, "{kind:?}: it had to wait");
                fleet.assert_settled(1);
            });
        }
    });
}

#[test]
fn a_fault_of_a_read_is_overcome() {
    assert_overcome(0, Fault::vault_read);
}

#[test]
fn a_fault_of_a_claim_is_overcome() {
    assert_overcome(1, Fault::vault_write);
}

#[test]
fn a_fault_of_a_commit_is_overcome() {
    assert_overcome(2, |kind| Fault::vault_write(kind).after(1));
}

#[test]
fn a_fault_that_would_stay_is_told_and_nothing_is_sent() {
    use FaultKind as K;
    const PROXY: &[&str] = &["not a response of a vault", "VAULT_ADDR"];
    const DENIED: &[&str] = &[
        "permission denied (HTTP 403); your tokens are unchanged",
        "path \"secret/data/aac\" { capabilities = [\"read\", \"update\"] }",
    ];
    for (fault, words) in [
        (Fault::vault_read(K::CutClose), PROXY),
        (Fault::vault_read(K::Garbled), PROXY),
        (Fault::vault_read(K::HtmlPage), PROXY),
        (Fault::vault_read(K::Empty), PROXY),
        (Fault::vault_read(K::Huge), PROXY),
        (Fault::vault_read(K::Forbidden), DENIED),
        (Fault::vault_write(K::Forbidden), DENIED),
        (Fault::vault_read(K::Gone), &["HTTP 410"]),
        (Fault::vault_read(K::TooLarge), &["HTTP 413"]),
    ] {
        let fleet = Fleet::expired(2);
        fleet.sandbox.add_fault(fault);
        let run = fleet.run(0);
        run.assert_fails(1, words);
        run.assert_fails(1, &["your tokens are unchanged", NAMED]);
        assert_eq!(fleet.sandbox.counters().token_requests, 0, "{words:?}");
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_standby_that_lags_behind_delays_a_refresh_and_shows_no_older_copy() {
    let fleet = Fleet::expired(3);
    let lag = fleet.sandbox.vault().lag();
    // What it writes it then sees, by the index of its own write.
    fleet.run(0).assert_ok();
    // The others see the old version, and their claims are refused. Machine 0 knows that the token it sees has been
    // used.
    let mut later: Vec<_> = [0, 1, 2].map(|machine| fleet.start(machine)).into();
    later.iter_mut().for_each(|program| program.says("HTTP 400"));
    drop(lag);
    for program in later {
        fleet.end(program).assert_ok();
    }
    fleet.assert_settled(1);
    // A rollback does show one.
    fleet.sandbox.vault().rollback(1);
    fleet.run(0).assert_fails(
        4,
        &["older copy", "secret/data/aac", PAGE, "login -- --vault secret/data/aac"],
    );
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn a_node_that_was_just_unsealed_hides_a_secret_for_a_while() {
    let fleet = Fleet::expired(1);
    // Sealed for longer than that while.
    fleet.sandbox.add_fault(Fault::vault_read(FaultKind::Sealed).times(9));
    fleet.sandbox.add_fault(Fault::vault_read(FaultKind::NotFound));
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_vault_without_a_quorum_is_told_and_nothing_is_sent() {
    let redirect = FaultKind::Redirect("http://127.0.0.1:9/v1/x".to_owned());
    thread::scope(|scope| {
        for (fault, words) in [
            (Fault::vault_write(FaultKind::NoQuorum), "active cluster node not found"),
            (Fault::vault_write(FaultKind::CasMismatch), "HTTP 400"),
            (Fault::vault_write(redirect.clone()), "HTTP 307"),
            (Fault::vault(redirect), "HTTP 307"),
            (Fault::vault(FaultKind::Sealed), "the vault is sealed or has no leader (HTTP 503)"),
            (Fault::vault(FaultKind::TooManyRequests(1)), "limits the rate of requests (HTTP 429)"),
            (Fault::vault(FaultKind::ResetBefore), "the vault cannot be reached"),
        ] {
            scope.spawn(move || {
                let fleet = Fleet::expired(2).with(PATIENCE, 2);
                fleet.sandbox.add_fault(fault.clone().always());
                fleet
                    .run(0)
                    .assert_fails(1, &[words, "your tokens are unchanged", "secret/data/aac"]);
                assert_eq!(fleet.sandbox.counters().token_requests, 0);
                assert!(!fleet.has_journal(0));
                // It is over.
                fleet.sandbox.clear_faults();
                fleet.run(1).assert_ok();
                fleet.assert_settled(1);
                // A token that is good for a while yet is used where none can be had.
                if fault.target == aac_sandbox::Target::VaultWrite {
                    let fleet = Fleet::old(1).with(PATIENCE, 2);
                    fleet.sandbox.add_fault(fault.always());
                    let run = fleet.run(0);
                    run.assert_ok();
                    assert!(run.stderr.contains("still valid for a while"), "{}", run.stderr);
                    assert_eq!(fleet.sandbox.counters().token_requests, 0);
                }
            });
        }
    });
}

#[test]
fn a_claim_that_may_be_applied_later_is_taken_away_by_whoever_gave_up() {
    // Never, or right before the write that takes its place.
    for requests in [1000, 2] {
        let fleet = Fleet::expired(2);
        fleet.sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(requests)));
        let mut command = fleet.start_of(0, in_other_times());
        let run = fleet.check(Run::of(command.env(PATIENCE, "0")));
        run.assert_fails(1, &["HTTP 500", "your tokens are unchanged"]);
        fleet.sandbox.vault().apply_late_writes();
        assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"], "{requests}");
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_claim_that_took_too_long_is_claimed_anew_before_the_send() {
    let fleet = Fleet::expired(1);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)));
    fleet.run(0).assert_ok();
    assert_eq!(fleet.sandbox.vault().counters().writes, 3, "two claims and a commit");
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn a_vault_that_is_always_too_slow_is_told() {
    let fleet = Fleet::expired(1).with(PATIENCE, 5);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)).times(3));
    let words = ["secret/data/aac", "within 5 s of its claim", "your tokens are unchanged"];
    fleet.run(0).assert_fails(1, &words);
    assert_eq!(fleet.sandbox.vault().counters().applied, 1 + 4, "three claims, and their end");
    assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_vault_that_takes_no_claim_any_more_is_told() {
    let fleet = Fleet::expired(1).with(PATIENCE, 2);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)));
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    let words = ["secret/data/aac", "active cluster node not found", "your tokens are unchanged"];
    fleet.run(0).assert_fails(1, &words);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_token_is_sent_again_with_a_new_claim() {
    let fleet = Fleet::with_grace(1);
    fleet.sandbox.add_fault(Fault::token(FaultKind::Cut));
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    let claim = fleet.secret()["aac_claim"].clone();
    thread::sleep(PAST_THE_GATE);
    let again = fleet.sandbox.hold_token_endpoint();
    hold.release();
    assert!(again.wait_for_request(SOON));
    assert_ne!(fleet.secret()["aac_claim"], claim);
    again.release();
    fleet.end(first).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
}

#[test]
fn a_claim_that_is_made_again_counts_from_then_on() {
    let fleet = Fleet::with_grace(2).with(TAKEOVER, 9);
    fleet.sandbox.add_fault(Fault::token(FaultKind::Cut));
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    let mut other = fleet.start(1);
    other.says(WAITS);
    thread::sleep(PAST_THE_GATE);
    let again = fleet.sandbox.hold_token_endpoint();
    hold.release();
    assert!(again.wait_for_request(SOON));
    let claim = fleet.secret()["aac_claim"].clone();
    // The first claim would be dead by then.
    thread::sleep(PAST_THE_GATE);
    assert_eq!(fleet.secret()["aac_claim"], claim);
    again.release();
    fleet.end(first).assert_ok();
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
}

#[test]
fn a_response_is_committed_whoever_has_claimed_the_token_meanwhile() {
    let fleet = Fleet::with_grace(2).with(TAKEOVER, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    let second = fleet.start(1);
    assert!(hold.wait_for_requests(2, SOON));
    let claim = fleet.secret()["aac_claim"].as_str().unwrap().to_owned();
    assert!(claim.ends_with(&format!(":{}", second.id())), "{claim}");
    hold.release();
    fleet.end(first).assert_ok();
    fleet.end(second).assert_ok();
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
    assert!(fleet.secret()["aac_claim"].is_null() && fleet.secret()["aac_failed"].is_null());
}

#[test]
fn a_pair_in_the_journal_counts_more_than_a_refusal_that_another_machine_has_met() {
    let options = Options { replay_protection: false, ..Options::default() };
    let (fleet, first) = with_commit_that_fails(Fleet::new(options, true, 2));
    first.assert_ok();
    let mut command = fleet.command(1);
    command.env(TAKEOVER, "1").env_remove(PATIENCE);
    fleet.check(Run::of(&mut command)).assert_fails(4, &["is refused", "interrupted"]);
    fleet.run(1).assert_fails(4, &["is refused", " was told on "]);
    fleet.run(0).assert_ok();
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
    assert!(fleet.secret()["aac_refused"].is_null() && fleet.secret()["aac_failed"].is_null());
}

#[test]
fn a_doubt_of_the_folders_days_outlives_a_claim_that_failed() {
    let vault = Some(VaultOptions::default());
    let case = acceptance::Case::expired(Options { vault, ..Options::default() });
    let hold = case.sandbox.hold_token_responses();
    let mut first = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    first.kill().unwrap();
    first.wait().unwrap();
    hold.release();
    let vault = case.sandbox.vault();
    vault.put_tokens(&case.tokens);
    fs::write(case.creds(), json!({ "vault": vault.path() }).to_string()).unwrap();
    let run = |patience: &str| {
        let mut command = acceptance::clean(in_other_times());
        command.env("AAC_DIR", case.folder.path()).envs(vault.environment());
        Run::of(command.env(PATIENCE, patience))
    };
    case.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    run("0").assert_fails(1, &["an earlier run may have used the refresh token"]);
    case.sandbox.clear_faults();
    run("10").assert_fails(4, &["is refused", "It was sent before"]);
}

/// After a commit that failed: the pair is in the journal of machine 0.
fn with_pair_in_journal(machines: usize) -> (Fleet, Run) {
    with_commit_that_fails(Fleet::expired(machines))
}

fn with_commit_that_fails(fleet: Fleet) -> (Fleet, Run) {
    let fleet = fleet.with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    fleet.sandbox.vault().revoke_token();
    hold.release();
    let run = fleet.end(first);
    fleet.sandbox.vault().restore_token();
    (fleet, run)
}

#[test]
fn a_pair_that_the_vault_does_not_take_stays_in_the_journal_until_the_next_run_there() {
    let (fleet, run) = with_pair_in_journal(2);
    run.assert_ok();
    let journal = fleet.path(0, "creds.json.rotation").display().to_string();
    for words in ["warning: ", "permission denied (HTTP 403)", "saved in", &journal, "this machine"]
    {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    assert!(fleet.has_journal(0));
    // Another machine waits for it, since the token has been used.
    let mut other = fleet.start(1);
    other.says(WAITS);
    let start = Instant::now();
    fleet.run(0).assert_ok();
    assert!(start.elapsed() < SOON, "the claim that stayed is its own");
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1, "without the authorization server");
    assert!(!fleet.has_journal(0));
    fleet.assert_settled(1);
}

#[test]
fn a_vault_that_cannot_be_read_hides_nothing_that_this_machine_knows() {
    let (fleet, _) = with_pair_in_journal(1);
    fleet.sandbox.vault().seal();
    let journal = fleet.path(0, "creds.json.rotation").display().to_string();
    let words =
        ["the vault is sealed", "the new tokens are saved in", &journal, "Unseal the vault"];
    let run = fleet.run(0);
    run.assert_fails(1, &words);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
    // Nor is the pair forgotten where the secret is gone.
    fleet.sandbox.vault().unseal();
    fleet.sandbox.vault().delete();
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
    // A run that was cut off after it sent the token has left no pair.
    let fleet = Fleet::expired(1).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    first.kill();
    hold.release();
    fleet.sandbox.vault().seal();
    let words = ["the vault is sealed", "an earlier run may have used the refresh token"];
    fleet.run(0).assert_fails(1, &words);
}

#[test]
fn a_pair_in_the_journal_counts_where_the_folder_cannot_be_written_any_more() {
    let (fleet, _) = with_pair_in_journal(2);
    fs::remove_file(fleet.path(0, "creds.json.lock")).unwrap();
    let fleet = fleet.without_lock_on(0);
    let start = Instant::now();
    let run = fleet.run(0);
    run.assert_ok();
    assert!(start.elapsed() < SOON, "without a wait for the claim to end");
    assert!(!run.stderr.contains("warning: "), "{}", run.stderr);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    assert!(fleet.has_journal(0), "it cannot be removed");
    // Nor is it in the way.
    for machine in [0, 1, 0] {
        fleet.sandbox.revoke_access_tokens();
        fleet.run(machine).assert_ok();
    }
    fleet.assert_settled(4);
}

#[test]
fn what_another_version_has_left_is_named_also_where_the_folder_cannot_be_written() {
    each(&[false, true], |is_read_only| {
        let mut fleet = Fleet::expired(1);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let left = json!({
            "spent": acceptance::sha256(b"x"), "time_ms": 1, "pid": 1, "state": "sending",
            "length": 0, "sha256": acceptance::sha256(b""),
        });
        let path = fleet.path(0, "creds.json.rotation");
        fs::write(&path, format!("{left:<511}\n")).unwrap();
        let said = "creds.json.rotation: written by an earlier version of this program";
        fleet.run(0).assert_fails(1, &[said, "until this file is gone"]);
        assert!(fs::read_to_string(path).unwrap().starts_with(&left.to_string()));
        assert_eq!(fleet.sandbox.counters().token_requests, 0);
    });
}

#[test]
fn a_journal_of_another_token_is_no_doubt_where_the_folder_cannot_be_written() {
    let fleet = Fleet::expired(1).without_lock_on(0);
    let line = json!({
        "version": 2, "spent": acceptance::sha256(b"x"), "time_ms": 1, "state": "begun",
        "length": 0, "sha256": acceptance::sha256(b""),
    });
    let line = format!("{:<1$}\n", line.to_string(), acceptance::JOURNAL_LINE - 1);
    fs::write(fleet.path(0, "creds.json.rotation"), line).unwrap();
    fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    fleet.run(0).assert_fails(4, &["your tokens are unchanged"]);
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_pair_that_was_used_since_is_no_news_where_the_folder_cannot_be_written() {
    for name in ["creds.json.rotation", "creds.json.rotation.old"] {
        let (fleet, _) = with_pair_in_journal(1);
        let pair = fs::read(fleet.path(0, "creds.json.rotation")).unwrap();
        for _ in 0..2 {
            fleet.run(0).assert_ok();
            fleet.sandbox.revoke_access_tokens();
        }
        // The token that it is about is back, and the record knows what came of the pair.
        fs::write(fleet.path(0, name), &pair).unwrap();
        fleet.sandbox.vault().rollback(1);
        fs::remove_file(fleet.path(0, "creds.json.lock")).unwrap();
        let fleet = fleet.without_lock_on(0);
        fleet.run(0).assert_fails(4, &["older copy", "secret/data/aac"]);
        let counters = fleet.sandbox.counters();
        assert_eq!((counters.token_requests, counters.reused), (2, 0), "{name}");
    }
}

#[test]
fn the_newest_pair_is_news_where_the_folder_cannot_be_written() {
    let (fleet, _) = with_pair_in_journal(1);
    let first = fs::read(fleet.path(0, "creds.json.rotation")).unwrap();
    fleet.run(0).assert_ok();
    fleet.sandbox.revoke_access_tokens();
    let (fleet, _) = with_commit_that_fails(fleet);
    fs::rename(fleet.path(0, "creds.json.rotation"), fleet.path(0, "creds.json.rotation.old"))
        .unwrap();
    fs::write(fleet.path(0, "creds.json.rotation"), first).unwrap();
    // The secret is restored from a copy that is two refreshes old.
    fleet.sandbox.vault().rollback(1);
    fs::remove_file(fleet.path(0, "creds.json.lock")).unwrap();
    let fleet = fleet.without_lock_on(0);
    let run = fleet.run(0);
    run.assert_ok();
    assert!(run.stderr.contains("was an older copy"), "{}", run.stderr);
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
    let counters = fleet.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (2, 0));
}

#[cfg(unix)]
#[test]
fn a_journal_of_another_user_of_the_pointer_is_in_nobody_s_way() {
    let fleet = Fleet::expired(1);
    let journal = fleet.path(0, "creds.json.rotation");
    fs::write(&journal, "theirs").unwrap();
    if let Err(error) = std::os::unix::fs::chown(&journal, Some(12002), None) {
        return eprintln!("skipped: only root may give files away: {error}");
    }
    let run = fleet.run(0);
    run.assert_ok();
    assert!(run.stderr.contains("without a journal"), "{}", run.stderr);
    fleet.assert_settled(1);
    assert_eq!(fs::read(journal).unwrap(), b"theirs");
}

#[test]
fn a_journal_stays_whose_pair_is_in_the_vault_once_the_lock_is_lost() {
    let (fleet, _) = with_pair_in_journal(1);
    let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
    let first = fleet.start_until(0, &hold);
    let deleted = fs::remove_file(fleet.path(0, "creds.json.lock"));
    hold.release();
    fleet.end(first).assert_ok();
    // By then it may be another run's. Windows deletes no lock file that is in use.
    assert_eq!(fleet.has_journal(0), deleted.is_ok());
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn the_claim_of_a_pair_that_the_vault_has_not_taken_stays() {
    let fleet = Fleet::expired(1).with(PATIENCE, 0);
    // It would take the end of the claim.
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).after(1));
    fleet.run(0).assert_ok();
    assert!(fleet.has_journal(0));
    assert!(fleet.secret()["aac_claim"].is_string(), "others would send a used token");
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_will_do_though_it_has_a_lock_file() {
    let able = acceptance::clean("unshare").args(["-rm", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: unshare -rm does not work here");
    }
    let (fleet, _) = with_pair_in_journal(1);
    let run = || {
        let original = fleet.command(0);
        let mut command = acceptance::clean("unshare");
        let script =
            "mount --bind $AAC_DIR $AAC_DIR && mount -o remount,ro,bind $AAC_DIR && exec \"$0\" -v";
        command.args(["-rm", "sh", "-c", script]).arg(original.get_program());
        let set = original.get_envs().filter_map(|(name, value)| Some((name, value?)));
        fleet.check(Run::of(command.envs(set)))
    };
    for refreshes in 1..=3 {
        let run = run();
        run.assert_ok();
        assert!(!run.stderr.contains("warning: "), "{}", run.stderr);
        fleet.assert_settled(refreshes);
        fleet.sandbox.revoke_access_tokens();
    }
}

#[test]
fn a_pair_in_the_journal_that_still_cannot_be_committed_is_told() {
    let (fleet, run) = with_pair_in_journal(1);
    run.assert_ok();
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Forbidden).always());
    // The token in hand will do for now.
    let run = fleet.run(0);
    run.assert_ok();
    assert!(run.stderr.contains("saved in"), "{}", run.stderr);
    // Once the API does not take it, nothing else will do.
    fleet.sandbox.revoke_access_tokens();
    let run = fleet.run(0);
    let words = ["HTTP 403", "saved in", "Run this again on this machine", "\"read\", \"update\""];
    run.assert_fails(1, &words);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.sandbox.clear_faults();
    fleet.run(0).assert_ok();
    assert_eq!(fleet.sandbox.counters().reused, 0);
}

#[test]
fn a_pair_without_a_journal_waits_for_the_vault() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let fleet = Fleet::expired(2).without_lock_on(0);
            fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).after(1).times(8));
            fleet.run(0).assert_ok();
            fleet.assert_settled(1);
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(2).without_lock_on(0).with(PATIENCE, 2);
            fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).after(1).always());
            let words =
                [NAMED, "could not be saved anywhere", PAGE, "login -- --vault secret/data/aac"];
            fleet.run(0).assert_fails(1, &words);
        });
    });
}

#[test]
fn tokens_that_are_pasted_while_a_response_is_on_its_way_stay() {
    each(&[false, true], |is_read_only| {
        let mut fleet = Fleet::expired(2);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let hold = fleet.sandbox.hold_token_responses();
        let first = fleet.start_until(0, &hold);
        let pasted = fleet.sandbox.issue();
        fleet.sandbox.vault().put_tokens(&pasted);
        hold.release();
        fleet.end(first).assert_ok();
        assert_eq!(fleet.refresh_token(), pasted.refresh_token);
        assert_eq!(fleet.path(0, "creds.json.rotation.old").is_file(), !is_read_only);
        fleet.run(1).assert_ok();
        assert_eq!(fleet.sandbox.counters().token_requests, 1);
        if is_read_only {
            return;
        }
        // Should the paste turn out to be dead, this machine has another pair.
        fleet.sandbox.revoke_access_tokens();
        fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
        let run = fleet.run(0);
        run.assert_ok();
        assert!(run.stderr.contains("trying the one that was set aside"), "{}", run.stderr);
        assert_ne!(fleet.refresh_token(), pasted.refresh_token);
        fleet.assert_settled(2);
        assert!(!fleet.path(0, "creds.json.rotation.old").exists());
    });
}

#[test]
fn a_secret_that_is_deleted_while_a_response_is_on_its_way_is_restored() {
    each(
        &[(false, false), (true, false), (false, true), (true, true)],
        |(is_read_only, is_gone)| {
            let mut fleet = Fleet::expired(2);
            if is_read_only {
                fleet = fleet.without_lock_on(0);
            }
            if is_gone {
                let token = fleet.sandbox.vault().root_token();
                fleet = fleet.with("VAULT_TOKEN", token);
            }
            let hold = fleet.sandbox.hold_token_responses();
            let first = fleet.start_until(0, &hold);
            match is_gone {
                false => fleet.sandbox.vault().delete(),
                true => fleet.sandbox.vault().delete_metadata(),
            }
            hold.release();
            fleet.end(first).assert_ok();
            fleet.assert_settled(1);
            fleet.run(1).assert_ok();
            assert_eq!(fleet.sandbox.counters().token_requests, 1);
        },
    );
}

#[test]
fn a_secret_that_is_made_anew_meanwhile_is_read_as_the_new_one() {
    let fleet = Fleet::expired(2).with(PATIENCE, 40);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    let mut other = fleet.start(1);
    other.says(WAITS);
    // Its versions are counted from one again.
    fleet.sandbox.vault().delete_metadata();
    let pasted = fleet.sandbox.issue();
    fleet.sandbox.vault().put_tokens(&pasted);
    let start = Instant::now();
    fleet.end(other).assert_ok();
    hold.release();
    fleet.end(first).assert_ok();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(fleet.refresh_token(), pasted.refresh_token);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    assert!(fleet.path(0, "creds.json.rotation.old").is_file());
}

#[test]
fn a_holder_that_is_killed_before_the_send_is_replaced() {
    each(&[(0, false), (1, false), (0, true)], |(next, is_read_only)| {
        let mut fleet = Fleet::expired(2).with(TAKEOVER, 2);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
        let first = fleet.start_until(0, &hold);
        first.kill();
        hold.release();
        assert!(fleet.secret()["aac_claim"].is_string());
        let run = fleet.run(next);
        run.assert_ok();
        assert!(run.stderr.contains("has not been heard of for 2 s"), "{}", run.stderr);
        assert_eq!(run.stderr.matches("has not been heard of").count(), 1, "{}", run.stderr);
        fleet.assert_settled(1);
    });
}

#[test]
fn a_holder_that_is_killed_after_the_send_takes_the_pair_with_it() {
    each(&[(0, 0), (1, 0), (0, 60), (1, 60)], |(next, grace)| {
        let grace = Duration::from_secs(grace);
        let fleet = Fleet::new(Options { grace, ..Options::default() }, true, 3).with(TAKEOVER, 2);
        let hold = fleet.sandbox.hold_token_responses();
        let first = fleet.start_until(0, &hold);
        first.kill();
        hold.release();
        // Whoever takes over does not know, nor does the one behind it, which has no journal of that.
        for machine in [next, 2] {
            fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
            let words = ["an earlier run may have used the refresh token"];
            fleet.run(machine).assert_fails(4, &words);
        }
        let run = fleet.run(next);
        if grace.is_zero() {
            // It says why, on whatever machine.
            let words = [
                "is refused",
                "It was sent before",
                "interrupted",
                PAGE,
                "login -- --vault secret/data/aac",
            ];
            run.assert_fails(4, &words);
            let pasted = fleet.sandbox.issue_expired();
            fleet.sandbox.vault().put_tokens(&pasted);
        } else {
            run.assert_ok();
        }
        fleet.run(1 - next).assert_ok();
        assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
        assert!(fleet.secret()["aac_refused"].is_null() && fleet.secret()["aac_failed"].is_null());
    });
}

#[test]
fn a_holder_that_is_killed_with_the_pair_in_its_journal_loses_nothing() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_responses();
    let mut first = fleet.start_until(0, &hold);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    hold.release();
    first.says("active cluster node not found");
    first.kill();
    fleet.sandbox.clear_faults();
    let mut other = fleet.start(1);
    other.says(WAITS);
    let start = Instant::now();
    fleet.run(0).assert_ok();
    assert!(start.elapsed() < SOON, "without a wait for the claim to end");
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn sixteen_programs_with_a_dead_token_ask_once() {
    let fleet = Fleet::expired(4);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    let programs: Vec<_> = (0..16).map(|number| fleet.start(number % 4)).collect();
    for running in programs {
        let command = "run: cargo run -p login -- --vault secret/data/aac\n";
        let words = ["is refused: invalid_grant", "Create new tokens", PAGE, command];
        fleet.end(running).assert_fails(4, &words);
    }
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    // Later runs are told who said so, and when.
    let (start, before) = (Instant::now(), fleet.requests());
    fleet.run(2).assert_fails(4, &["is refused: invalid_grant", " was told on ", " GMT"]);
    assert_eq!(fleet.requests() - before, 4, "the first look, the lock's, the last, and the end's");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "whoever asked has looked at the secret again"
    );
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    let fields = fields(&fleet.secret());
    assert!(fields.contains(&"aac_refused".to_owned()), "{fields:?}");
    assert!(!fields.contains(&"aac_claim".to_owned()), "{fields:?}");
    // Ten minutes later one asks anew: tokens can be disabled and enabled again.
    fleet.sandbox.vault().set_clock_offset(601);
    fleet.run(1).assert_fails(4, &["is refused: invalid_grant"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    fleet.sandbox.clear_faults();
    fleet.sandbox.vault().set_clock_offset(1202);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_refusal_ends_with_a_paste() {
    // Also where only the tokens are replaced, and the notes stay.
    for keeps_notes in [false, true] {
        let fleet = Fleet::expired(2);
        fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
        fleet.run(0).assert_fails(4, &["is refused"]);
        let new = fleet.sandbox.issue_expired();
        let mut document = if keeps_notes { fleet.secret() } else { json!({}) };
        document["access_token"] = json!(new.access_token);
        document["refresh_token"] = json!(new.refresh_token);
        fleet.sandbox.vault().put(&document);
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_doubt_ends_with_a_paste() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    fleet.run(0).assert_fails(1, &["may have been used"]);
    // Only the tokens are replaced, and the note stays.
    let new = fleet.sandbox.issue_expired();
    let mut document = fleet.secret();
    document["access_token"] = json!(new.access_token);
    document["refresh_token"] = json!(new.refresh_token);
    fleet.sandbox.vault().put(&document);
    fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    fleet.run(1).assert_fails(4, &["your tokens are unchanged"]);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_refusal_counts_though_the_clocks_of_the_vaults_nodes_differ() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    fleet.run(0).assert_fails(4, &["is refused"]);
    fleet.sandbox.vault().set_clock_offset(-5);
    fleet.run(1).assert_fails(4, &["is refused", " was told on "]);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn whoever_waited_behind_a_lost_response_is_told_and_sends_nothing() {
    // Where the response comes late, the second attempt needs a claim of its own, which is too short to be seen.
    each(&[false, true], |is_late| {
        let fleet = Fleet::expired(3);
        let hold = fleet.sandbox.hold_token_endpoint();
        fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
        let first = fleet.start_until(0, &hold);
        let mut others: Vec<_> = [0, 1, 1, 2].map(|machine| fleet.start(machine)).into();
        others.iter_mut().for_each(|other| other.says(WAITS));
        if is_late {
            thread::sleep(PAST_THE_GATE);
        }
        hold.release();
        fleet.end(first).assert_fails(1, &["may have been used", "secret/data/aac"]);
        for other in others {
            fleet.end(other).assert_fails(1, &["may have been used", "secret/data/aac"]);
        }
        assert_eq!(fleet.sandbox.counters().token_requests, 2);
        // The next run tries it, and knows what was before.
        fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
        fleet.run(2).assert_fails(4, &["is refused", "It was sent before"]);
        fleet.sandbox.vault().set_clock_offset(800);
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    });
}

#[test]
fn a_note_on_an_earlier_refresh_is_not_that_of_the_one_that_was_waited_for() {
    let fleet = Fleet::expired(3);
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    fleet.run(0).assert_fails(1, &["may have been used"]);
    let hold = fleet.sandbox.hold_token_endpoint();
    fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    let second = fleet.start_until(1, &hold);
    let mut third = fleet.start(2);
    third.says(WAITS);
    hold.release();
    fleet.end(second).assert_fails(4, &["429"]);
    fleet.end(third).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn an_access_token_of_no_use_is_told_on_every_machine_and_spends_no_more() {
    let fleet = Fleet::expired(3).without_lock_on(2);
    let hold = fleet.sandbox.hold_token_responses();
    fleet.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    let first = fleet.start_until(0, &hold);
    let mut others: Vec<_> = [0, 1, 1, 2].map(|machine| fleet.start(machine)).into();
    others.iter_mut().for_each(|other| other.says(WAITS));
    hold.release();
    let words = ["not a JWT", "it is saved in the secret secret/data/aac", "(user ", "ten minutes"];
    fleet.end(first).assert_fails(1, &words);
    for other in others {
        fleet.end(other).assert_fails(1, &words);
    }
    for machine in 0..3 {
        fleet.run(machine).assert_fails(1, &words);
        assert!(!fleet.has_journal(machine));
    }
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    let new = fleet.refresh_token();
    assert!(fleet.sandbox.is_live(&new));
    // The token has not been used, and nobody says so.
    fleet.sandbox.vault().set_clock_offset(601);
    fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    fleet.run(1).assert_fails(4, &["your tokens are unchanged"]);
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 3);
    fleet.assert_settled(2);

    // New tokens end it, too.
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    fleet.run(0).assert_fails(1, &words);
    fleet.run(1).assert_fails(1, &words);
    fleet.sandbox.vault().put_tokens(&fleet.sandbox.issue_expired());
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
}

#[test]
fn a_note_outlives_what_a_person_has_written_meanwhile() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_endpoint();
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    let first = fleet.start_until(0, &hold);
    // As `bao kv patch` does.
    let mut document = fleet.secret();
    document["note"] = json!("of a person");
    fleet.sandbox.vault().put(&document);
    hold.release();
    fleet.end(first).assert_fails(1, &["may have been used"]);
    let expected = ["aac_failed", "access_token", "note", "refresh_token"];
    assert_eq!(fields(&fleet.secret()), expected);
    // The next run, on whatever machine, knows what was before.
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    fleet.run(1).assert_fails(4, &["is refused", "It was sent before"]);
}

#[test]
fn a_claim_is_let_go_where_nothing_was_sent() {
    let fleet = Fleet::expired(2);
    for fault in [
        FaultKind::InvalidClient,
        FaultKind::OAuthError,
        FaultKind::TooManyRequests(60),
        FaultKind::Redirect("https://example.com/".to_owned()),
    ] {
        fleet.sandbox.add_fault(Fault::token(fault));
        let run = fleet.run(0);
        assert!(run.stderr.contains("your tokens are unchanged"), "{}", run.stderr);
        let fields = fields(&fleet.secret());
        assert_eq!(fields, ["access_token", "refresh_token"]);
    }
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_server_that_keeps_a_refresh_token_in_force_is_no_obstacle() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    fleet.run(0).assert_ok();
    assert_eq!(fleet.refresh_token(), fleet.tokens.refresh_token);
    assert_ne!(fleet.secret()["access_token"], fleet.tokens.access_token);
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn a_move_into_the_vault_finishes_what_the_folder_began() {
    let case = acceptance::Case::interrupted(Options {
        vault: Some(VaultOptions::default()),
        ..Options::default()
    });
    let (vault, creds) = (case.sandbox.vault(), case.creds());
    vault.put(&serde_json::from_slice(&fs::read(&creds).unwrap()).unwrap());
    let file = fs::read(&creds).unwrap();
    fs::write(&creds, json!({ "vault": vault.path() }).to_string()).unwrap();
    let run = |program: &str| Run::of(case.program(program).envs(vault.environment()));
    run("get_workspace").assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1, "from the journal");
    assert!(!case.path("creds.json.rotation").exists());
    let document = vault.read().unwrap().data.unwrap();
    assert!(case.sandbox.is_live(document["refresh_token"].as_str().unwrap()));
    assert!(document["aac_auth"].is_null(), "numbers of the clock of one machine");
    // Once more, by the vault alone.
    case.sandbox.revoke_access_tokens();
    run("get_workspace").assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 2);
    // And back: the document becomes the file.
    let document = vault.read().unwrap().data.unwrap();
    fs::write(&creds, document.to_string()).unwrap();
    case.run(["-v"]).assert_ok();
    case.sandbox.revoke_access_tokens();
    case.run(["-v"]).assert_ok();
    assert_eq!(case.sandbox.counters().reused, 0);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    // The file of the days before is told to be an older copy.
    fs::write(&creds, &file).unwrap();
    case.sandbox.revoke_access_tokens();
    case.run(["-v"]).assert_fails(4, &["older copy"]);
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn a_move_into_the_vault_while_a_response_is_on_its_way_stays() {
    let vault = Some(VaultOptions::default());
    let case = acceptance::Case::expired(Options { vault, ..Options::default() });
    let vault = case.sandbox.vault();
    let hold = case.sandbox.hold_token_responses();
    let first = Running::of(&mut case.command());
    assert!(hold.wait_for_request(SOON));
    vault.put_tokens(&case.tokens);
    let pointer = json!({ "vault": vault.path() }).to_string();
    fs::write(case.creds(), &pointer).unwrap();
    hold.release();
    first.end().assert_fails(1, &["it now names the secret secret/data/aac in a vault"]);
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), pointer);
    // What it got for the token that is in the vault now goes there.
    Run::of(case.command().envs(vault.environment())).assert_ok();
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), pointer);
    let token = vault.read().unwrap().data.unwrap()["refresh_token"].clone();
    assert!(case.sandbox.is_live(token.as_str().unwrap()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn clocks_that_are_an_hour_off_cost_one_refresh_at_most() {
    for (cloud, vault) in [(3600, 3600), (-3600, -3600), (3600, -3600), (0, 3600), (0, -3600)] {
        for is_expired in [false, true] {
            let options = Options { clock_offset: cloud, ..Options::default() };
            let vault = Some(VaultOptions { clock_offset: vault, ..VaultOptions::default() });
            let fleet = Fleet::new(Options { vault, ..options }, is_expired, 2);
            for machine in [0, 1] {
                fleet.run(machine).assert_ok();
            }
            assert!(fleet.sandbox.counters().refreshes <= 1, "{cloud}");
            assert_eq!(fleet.sandbox.counters().reused, 0);
        }
    }
}

#[test]
fn other_fields_stay_and_our_own_are_strings() {
    let fleet = Fleet::expired(1);
    let Tokens { access_token, refresh_token } = &fleet.tokens;
    let document = json!({
        "access_token": access_token,
        "refresh_token": refresh_token,
        "note": 1.50,
        "nested": { "b": [null, true, "<&>"], "a": 12345678901234567890_u64 },
    });
    fleet.sandbox.vault().put(&document);
    let before = fleet.secret();
    fleet.run(0).assert_ok();
    let now = fleet.secret();
    for field in ["note", "nested"] {
        assert_eq!(now[field], before[field]);
    }
    let ours: Vec<_> = fields(&now).into_iter().filter(|field| field.starts_with("aac_")).collect();
    assert!(!ours.is_empty());
    assert!(ours.iter().all(|field| now[field].is_string()), "{ours:?}");
    fleet.assert_settled(1);
}

#[test]
fn a_secret_that_does_not_fit_into_the_journal_is_an_error_before_the_send() {
    let fleet = Fleet::expired(1);
    let Tokens { access_token, refresh_token } = &fleet.tokens;
    let note = "x".repeat(96 * 1024);
    fleet.sandbox.vault().put(&json!({
        "access_token": access_token, "refresh_token": refresh_token, "note": note,
    }));
    let (said, cure) = ("larger than 96 KiB, so the journal", "Take out of the secret secret/");
    fleet.run(0).assert_fails(1, &[NAMED, said, "are unchanged", cure]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_vault_whose_writes_must_name_a_version_will_do() {
    let vault = Some(VaultOptions { cas_required: true, max_versions: 1, ..Default::default() });
    let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 2);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(1)).after(1));
    fleet.run(0).assert_ok();
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_claim_whose_version_is_gone_is_known_by_the_newest_one() {
    each(&[false, true], |is_applied| {
        let vault = Some(VaultOptions { max_versions: 1, ..Default::default() });
        let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 1);
        let fleet = fleet.with(PATIENCE, 2).with(TAKEOVER, 2);
        let vault = fleet.sandbox.vault();
        let hold = match is_applied {
            true => {
                fleet.sandbox.add_fault(Fault::vault_write(FaultKind::ResetAfter));
                vault.hold_responses(Operation::Write)
            }
            false => vault.hold(Operation::Write),
        };
        let first = fleet.start_until(0, &hold);
        for note in ["a", "b"] {
            let mut document = fleet.secret();
            document["note"] = json!(note);
            vault.put(&document);
        }
        hold.release();
        let run = fleet.end(first);
        run.assert_ok();
        assert!(!run.stderr.contains("has not been heard of"), "its own claim: {}", run.stderr);
        fleet.assert_settled(1);
    });
}

#[test]
fn a_holder_that_waits_is_named() {
    let fleet = Fleet::expired(2).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_endpoint();
    let first = fleet.start_until(0, &hold);
    let id = first.id();
    // The other waits, here for two seconds.
    let words = ["the secret secret/data/aac in the vault", &format!(":{id} since "), "still runs"];
    fleet.run(1).assert_fails(1, &words);
    hold.release();
    fleet.end(first).assert_ok();
    fleet.assert_settled(1);
}
