//! Signals in the middle of an exchange: the pair is saved first, then the program dies of them.

#![cfg(unix)]

mod support;

use aac_sandbox::{Hold, Options, Sandbox};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::Case;

const SOON: Duration = Duration::from_secs(20);
const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

/// When the signal comes: before the server has done anything, or when the answer is on its way.
const MOMENTS: [fn(&Sandbox) -> Hold; 2] =
    [Sandbox::hold_token_endpoint, Sandbox::hold_token_answers];

fn start(case: &Case) -> Child {
    case.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn send(signal: &str, child: &Child) {
    let status =
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_pair_is_saved_and_then_the_program_dies_of_the_signal() {
    for (name, number) in SIGNALS {
        for moment in MOMENTS {
            let case = Case::expired(Options::default());
            let hold = moment(&case.sandbox);
            let mut child = start(&case);
            assert!(hold.wait_for_request(SOON));
            send(name, &child);
            assert!(child.try_wait().unwrap().is_none(), "{name} is held");
            hold.release();
            assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
            assert_eq!(case.sandbox.counters().exchanges, 1);
            assert!(case.sandbox.is_live(&case.refresh_token()), "{name}: the new pair is saved");
            assert_eq!(case.sandbox.counters().api_calls, 0, "{name}: and nothing else is done");
            case.run([""; 0]).assert_ok();
            assert_eq!(case.sandbox.counters().exchanges, 1);
        }
    }
}

#[test]
fn a_second_one_ends_at_once() {
    for (name, number) in SIGNALS {
        let case = Case::expired(Options::default());
        let hold = case.sandbox.hold_token_endpoint();
        let mut child = start(&case);
        assert!(hold.wait_for_request(SOON));
        send(name, &child);
        send("INT", &child);
        // Two of the same kind may be merged into one before the first is delivered.
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => send("INT", &child),
            }
        };
        assert!([Some(number), Some(2)].contains(&status.signal()), "{name}: {status}");
        assert_eq!(case.sandbox.counters().exchanges, 0, "the server still holds the request");
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP INT TERM; exec \"$0\""])
        .arg(support::get_workspace())
        .env("AAC_DIR", case.folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(hold.wait_for_request(SOON));
    for (name, _) in SIGNALS {
        send(name, &child);
        send(name, &child);
    }
    hold.release();
    assert!(child.wait().unwrap().success());
}

#[test]
fn after_the_exchange_a_signal_acts_as_ever() {
    let case = Case::expired(Options::default());
    let fault = aac_sandbox::Fault::api(aac_sandbox::FaultKind::Hang);
    case.sandbox.add_fault(fault);
    let mut child = start(&case);
    let deadline = std::time::Instant::now() + SOON;
    while case.sandbox.counters().api_calls == 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    send("TERM", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}
