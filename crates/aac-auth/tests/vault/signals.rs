//! Programs that are stopped or ended by a signal while they hold a claim.

use crate::fleet::{Fleet, PAST_THE_GATE, fields};
use crate::{PATIENCE, SOON, TAKEOVER, WAITS};
use aac_sandbox::{Fault, FaultKind, Operation, Options};
use acceptance::is_ignored;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Instant;

#[test]
fn a_holder_that_stops_before_the_send_claims_anew() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
    let first = fleet.start_until(0, &hold);
    first.signal("STOP");
    hold.release();
    let claim = fleet.secret()["aac_claim"].clone();
    thread::sleep(PAST_THE_GATE);
    let hold = fleet.sandbox.hold_token_endpoint();
    first.signal("CONT");
    assert!(hold.wait_for_request(SOON));
    assert_ne!(fleet.secret()["aac_claim"], claim);
    hold.release();
    fleet.end(first).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn a_holder_that_stops_too_long_before_the_send_sends_nothing() {
    let fleet = Fleet::expired(2).with(TAKEOVER, 6);
    let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
    let first = fleet.start_until(0, &hold);
    first.signal("STOP");
    hold.release();
    fleet.run(1).assert_ok();
    first.signal("CONT");
    fleet.end(first).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn a_holder_that_stops_after_the_send_is_waited_for() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_endpoint();
    let first = fleet.start_until(0, &hold);
    first.signal("STOP");
    hold.release();
    let mut other = fleet.start(1);
    other.says(WAITS);
    thread::sleep(PAST_THE_GATE);
    first.signal("CONT");
    fleet.end(first).assert_ok();
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn a_holder_that_stops_too_long_after_the_send_gives_way() {
    give_way(Fleet::with_grace(2).with(TAKEOVER, 2), true);
    give_way(Fleet::expired(2).with(TAKEOVER, 2), false);
}

#[test]
#[ignore = "takes three minutes: cargo test -p aac-auth --test vault signals -- --ignored"]
fn a_holder_counts_as_dead_after_three_minutes() {
    give_way(Fleet::expired(2), false);
}

/// A holder stops after it has sent the token, until another has taken its place.
fn give_way(fleet: Fleet, has_grace: bool) {
    let hold = fleet.sandbox.hold_token_endpoint();
    let first = fleet.start_until(0, &hold);
    first.signal("STOP");
    hold.release();
    let other = fleet.run(1);
    let token = fleet.refresh_token();
    first.signal("CONT");
    let first = fleet.end(first);
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    if has_grace {
        other.assert_ok();
        first.assert_ok();
        assert_eq!(fleet.refresh_token(), token, "what the other has saved");
        assert!(fleet.sandbox.is_live(&token));
    } else {
        other.assert_fails(4, &["is refused", "It was sent before", "interrupted"]);
        assert_eq!(fleet.sandbox.counters().reused, 1);
    }
}

#[test]
fn a_signal_before_the_send_takes_the_claim_away() {
    for signal in ["TERM", "INT", "HUP"].into_iter().filter(|signal| !is_ignored(signal)) {
        let fleet = Fleet::expired(2);
        let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
        let first = fleet.start_until(0, &hold);
        first.signal(signal);
        hold.release();
        assert!(first.end_with_status().1.signal().is_some(), "{signal}");
        assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
        assert_eq!(fleet.sandbox.counters().token_requests, 0);
        assert!(!fleet.has_journal(0));
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_signal_after_the_send_waits_until_the_pair_is_saved() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    first.signal("TERM");
    hold.release();
    assert_eq!(first.end_with_status().1.signal(), Some(15));
    fleet.assert_settled(1);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_signal_ends_a_run_that_has_lost_its_claim() {
    let fleet = Fleet::expired(2).with(TAKEOVER, 6).with(PATIENCE, 60);
    let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
    let mut first = fleet.start_until(0, &hold);
    first.signal("STOP");
    hold.release();
    let hold = fleet.sandbox.hold_token_endpoint();
    let second = fleet.start_until(1, &hold);
    let claim = fleet.secret()["aac_claim"].clone();
    first.signal("CONT");
    first.says(WAITS);
    let start = Instant::now();
    first.signal("TERM");
    assert_eq!(first.end_with_status().1.signal(), Some(15));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(fleet.secret()["aac_claim"], claim, "it takes away its own claims alone");
    hold.release();
    fleet.end(second).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_signal_ends_a_claim_that_fails() {
    let fleet = Fleet::expired(2).with(PATIENCE, 60);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    let mut first = fleet.start(0);
    first.says("trying again");
    let start = Instant::now();
    first.signal("TERM");
    assert_eq!(first.end_with_status().1.signal(), Some(15));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
    assert!(!fleet.has_journal(0));
}

#[test]
fn a_signal_ends_a_run_whose_authorization_server_is_away() {
    let (_held, address) = acceptance::nobody_listens();
    let issuer = Some(format!("http://{address}/as"));
    let fleet = Fleet::new(Options { issuer, ..Options::default() }, true, 2);
    let mut first = fleet.start(0);
    first.says("trying again in 0.5 s");
    first.signal("TERM");
    let (run, status) = first.end_with_status();
    assert!(!run.stderr.contains("trying again in 2.0 s"), "{}", run.stderr);
    assert_eq!(status.signal(), Some(15));
    assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
}
