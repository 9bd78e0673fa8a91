//! Signals in the middle of an exchange: the pair is saved first, then the program dies of them.

use crate::{NONE, SOON};
use aac_sandbox::{Fault, FaultKind, Hold, Options, Sandbox};
use acceptance::{Case, Run, Running, is_ignored, program};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SIGNALS: [(&str, i32); 3] = [("HUP", 1), ("INT", 2), ("TERM", 15)];

/// When the signal comes: before the server has done anything, or when the response is on its way.
const MOMENTS: [fn(&Sandbox) -> Hold; 2] =
    [Sandbox::hold_token_endpoint, Sandbox::hold_token_responses];

fn start(case: &Case) -> Child {
    case.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn send(signal: &str, child: &Child) {
    acceptance::kill(signal, child.id());
}

#[test]
fn the_pair_is_saved_and_then_the_program_dies_of_the_signal() {
    for (name, number) in SIGNALS.into_iter().filter(|(name, _)| !is_ignored(name)) {
        for moment in MOMENTS {
            let case = Case::expired(Options::default());
            let hold = moment(&case.sandbox);
            let mut child = start(&case);
            assert!(hold.wait_for_request(SOON));
            send(name, &child);
            assert!(child.try_wait().unwrap().is_none(), "{name} is held");
            hold.release();
            assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
            assert_eq!(case.sandbox.counters().refreshes, 1);
            assert!(case.sandbox.is_live(&case.refresh_token()), "{name}: the new pair is saved");
            assert_eq!(case.sandbox.counters().api_calls, 0, "{name}: and nothing else is done");
            case.run(NONE).assert_ok();
            assert_eq!(case.sandbox.counters().refreshes, 1);
        }
    }
}

#[test]
fn a_second_one_waits_as_well_but_for_ctrl_c_after_a_second() {
    let at_once = Duration::ZERO;
    let later = Duration::from_millis(1100);
    thread::scope(|scope| {
        for (first, pause, second, ends) in [
            // Terminals that are closed, and `timeout`, send theirs twice.
            ("HUP", at_once, "HUP", false),
            ("TERM", at_once, "TERM", false),
            ("INT", at_once, "INT", false),
            ("INT", at_once, "TERM", false),
            ("TERM", at_once, "HUP", false),
            ("TERM", later, "TERM", false),
            ("HUP", later, "HUP", false),
            ("INT", later, "TERM", false),
            ("TERM", later, "INT", true),
            ("INT", later, "INT", true),
        ] {
            if is_ignored(first) || is_ignored(second) {
                continue;
            }
            scope.spawn(move || {
                let what = format!("{first}, {pause:?}, {second}");
                let case = Case::expired(Options::default());
                let hold = case.sandbox.hold_token_endpoint();
                let mut child = start(&case);
                assert!(hold.wait_for_request(SOON));
                send(first, &child);
                thread::sleep(pause);
                send(second, &child);
                if ends {
                    assert_eq!(child.wait().unwrap().signal(), Some(2), "{what}");
                    assert_eq!(case.sandbox.counters().refreshes, 0, "it is still held: {what}");
                } else {
                    hold.release();
                    assert!(child.wait().unwrap().signal().is_some(), "{what}");
                    assert!(case.sandbox.is_live(&case.refresh_token()), "{what}");
                    assert_eq!(case.sandbox.counters().refreshes, 1);
                }
            });
        }
    });
}

#[test]
fn after_a_lost_response_a_signal_waits_for_the_second_attempt() {
    for (name, number) in SIGNALS.into_iter().filter(|(name, _)| !is_ignored(name)) {
        let faults = vec![Fault::token(FaultKind::ResetBefore)];
        let case = Case::expired(Options { faults, ..Options::default() });
        let hold = case.sandbox.hold_token_endpoint();
        let mut child = start(&case);
        assert!(hold.wait_for_request(SOON));
        send(name, &child);
        hold.release();
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        assert_eq!(case.sandbox.counters().token_requests, 2, "{name}");
        assert!(case.sandbox.is_live(&case.refresh_token()), "{name}: the new pair is saved");
    }
}

#[test]
fn while_a_server_is_busy_a_signal_ends_the_run() {
    for (name, number) in SIGNALS.into_iter().filter(|(name, _)| !is_ignored(name)) {
        let faults = vec![Fault::token(FaultKind::TooManyRequests(10))];
        let case = Case::expired(Options { faults, ..Options::default() });
        let mut program = Running::of(case.command().arg("-v"));
        program.says("trying again in 10.0 s");
        program.signal(name);
        assert_eq!(program.end_with_status().1.signal(), Some(number), "{name}");
        assert_eq!(case.sandbox.counters().token_requests, 1, "{name}: nothing was on its way");
    }
}

#[test]
fn before_the_token_leaves_a_signal_ends_the_run() {
    // A server that takes connections, and never says a word of TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = Some(format!("https://{}/as", listener.local_addr().unwrap()));
    for (name, number) in SIGNALS.into_iter().filter(|(name, _)| !is_ignored(name)) {
        let case = Case::expired(Options { issuer: issuer.clone(), ..Options::default() });
        let mut child = start(&case);
        let (connection, _) = listener.accept().unwrap();
        // The lock is held, and the journal says so.
        assert!(case.path("creds.json.rotation").is_file());
        send(name, &child);
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
        drop(connection);
        assert_eq!(case.refresh_token(), case.tokens.refresh_token);
        let lock = fs::File::open(case.path("creds.json.lock")).unwrap();
        assert!(lock.try_lock().is_ok(), "the lock is free");
    }
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs tmux, timeout and setsid: cargo test -p aac-auth --test tokens signals -- --ignored --nocapture"]
fn real_terminals_and_timeout_lose_nothing() {
    if !["tmux", "timeout", "setsid"].into_iter().all(acceptance::have) {
        return;
    }
    let program = acceptance::get_workspace().to_str().unwrap();
    // The response takes a while, and the end comes in the middle of it.
    let slow = || Options { latency: Duration::from_millis(600), ..Options::default() };
    let mut ended = 0;
    for round in 0..20 {
        let case = Case::expired(slow());
        let hold = case.sandbox.hold_token_responses();
        let socket = case.path("tmux");
        let tmux = || {
            let mut command = acceptance::clean("tmux");
            command.arg("-S").arg(&socket).env("AAC_DIR", case.folder.path());
            command
        };
        assert!(tmux().args(["new-session", "-d", program]).status().unwrap().success());
        assert!(hold.wait_for_request(SOON));
        assert!(tmux().arg("kill-session").status().unwrap().success());
        hold.release();
        wait_until_saved(&case);
        ended += 1;
        let _ = tmux().arg("kill-server").stderr(Stdio::null()).status();
        assert!(case.sandbox.is_live(&case.refresh_token()), "tmux, round {round}");
    }
    for round in 0..20 {
        // A terminal that is closed.
        let case = Case::expired(slow());
        let hold = case.sandbox.hold_token_responses();
        let mut command = acceptance::clean("setsid");
        command.args(["--ctty", program]).env("AAC_DIR", case.folder.path());
        let terminal = acceptance::Terminal::open(80);
        let mut child = terminal.start(&mut command);
        assert!(hold.wait_for_request(SOON));
        drop(terminal);
        hold.release();
        child.wait().unwrap();
        wait_until_saved(&case);
        ended += 1;
        assert!(case.sandbox.is_live(&case.refresh_token()), "pty, round {round}");
    }
    for round in 0..20 {
        let case = Case::expired(slow());
        let mut command = acceptance::clean("timeout");
        command.args(["0.5", program]).env("AAC_DIR", case.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        if case.sandbox.counters().refreshes > 0 {
            wait_until_saved(&case);
            ended += 1;
        }
        assert!(case.sandbox.is_live(&case.refresh_token()), "timeout, round {round}");
    }
    eprintln!("{ended} of 60 ended within a refresh; nothing lost");
}

/// Until the program, which is nobody's child here, has let go of the lock.
#[cfg(target_os = "linux")]
fn wait_until_saved(case: &Case) {
    fs::File::open(case.path("creds.json.lock")).unwrap().lock().unwrap();
}

#[test]
#[ignore = "takes four minutes: cargo test -p aac-auth --test tokens signals -- --ignored --nocapture"]
fn a_response_is_read_however_late() {
    // Stopped for longer than any wait, with the response in the socket.
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let mut child = start(&case);
    assert!(hold.wait_for_request(SOON));
    send("STOP", &child);
    hold.release();
    thread::sleep(Duration::from_secs(105));
    send("CONT", &child);
    assert!(child.wait().unwrap().success());
    assert_eq!(case.sandbox.counters().token_requests, 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));

    // A server that takes 90 seconds.
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let mut child = start(&case);
    assert!(hold.wait_for_request(SOON));
    thread::sleep(Duration::from_secs(90));
    hold.release();
    assert!(child.wait().unwrap().success());
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs unshare, and to be root: cargo test -p aac-auth --test tokens signals -- --ignored --nocapture"]
fn the_first_process_of_a_container_ends_as_if_by_the_signal() {
    let unshare = || {
        let mut command = acceptance::clean("unshare");
        command.args(["--pid", "--fork", "--kill-child"]);
        command
    };
    let probe = unshare().arg("true").output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: unshare: {probe:?}");
        return;
    }
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let mut command = unshare();
    command.arg(acceptance::get_workspace()).env("AAC_DIR", case.folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(hold.wait_for_request(SOON));
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let first = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    acceptance::kill("TERM", first);
    hold.release();
    // The kernel keeps signals without a handler from a first process, its own included.
    let deadline = Instant::now() + SOON;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().unwrap();
                panic!("it goes on for ever");
            }
        }
    };
    assert_eq!(status.code(), Some(128 + 15));
    assert!(case.sandbox.is_live(&case.refresh_token()), "the pair is saved");
    assert_eq!(case.sandbox.counters().api_calls, 0, "and nothing else is done");
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let mut child = acceptance::clean("sh")
        .args(["-c", "trap '' HUP INT TERM; exec \"$0\""])
        .arg(acceptance::get_workspace())
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
    let fault = Fault::api(FaultKind::Hang);
    case.sandbox.add_fault(fault);
    let mut child = start(&case);
    let deadline = Instant::now() + SOON;
    while case.sandbox.counters().api_calls == 0 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    send("TERM", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

/// A program that the shell has set such a limit for (ulimit).
fn limited(case: &Case, limit: &str, name: &str) -> Command {
    let mut command = acceptance::clean("sh");
    command.args(["-c", &format!(r#"ulimit {limit} && exec "$0" "$@""#)]).arg(program(name));
    command.env("AAC_DIR", case.folder.path()).current_dir(case.folder.path());
    command
}

#[test]
fn files_that_may_not_grow_are_told_before_anything_is_sent() {
    // In blocks of 512 bytes, or a shell's of 1024: below and above what a journal takes.
    for blocks in [0, 1, 2, 8, 50, 100, 195, 198, 199, 200, 390, 396, 397, 398, 400, 1000] {
        let case = Case::expired(Options::default());
        let before = fs::read(case.creds()).unwrap();
        let run = Run::of(&mut limited(&case, &format!("-f {blocks}"), "get_workspace"));
        if run.code == Some(0) {
            assert!(blocks > 195, "{blocks}: a limit is in force");
            assert!(case.sandbox.is_live(&case.refresh_token()), "{blocks}");
            continue;
        }
        assert!(blocks < 1000, "{}", run.stderr);
        run.assert_fails(1, &["File too large", "; your tokens are unchanged", "ulimit -f"]);
        assert_eq!(case.sandbox.counters().token_requests, 0, "{blocks}");
        assert!(fs::read(case.creds()).unwrap() == before, "{blocks}");
        case.run(NONE).assert_ok();
    }
}

#[test]
fn a_record_that_may_not_grow_loses_no_tokens() {
    let case = Case::expired(Options::default());
    fs::write(case.path("creds.json.spent"), "an older line\n".repeat(50_000)).unwrap();
    let run = Run::of(&mut limited(&case, "-f 500", "get_workspace"));
    run.assert_ok();
    assert!(run.stderr.contains("creds.json.spent: File too large"), "{}", run.stderr);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_result_that_may_not_grow_is_told() {
    let case = Case::fresh(Options::default());
    fs::write(case.path("result"), "old").unwrap();
    let names = case.names();
    for (args, file) in [(&["-o", "result"][..], "result: "), (&[], "standard output: ")] {
        let mut command = limited(&case, "-f 1", "raw_call");
        command.args(["/iam/v1/workspaces/31429/people"]).args(args);
        if args.is_empty() {
            command.stdout(fs::File::create(case.path("printed")).unwrap());
        }
        let run = Run::of(command.stderr(Stdio::piped()));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("{file}File too large")), "{}", run.stderr);
        assert!(run.stderr.contains("ulimit -f"), "{}", run.stderr);
        if file == "result: " {
            assert_eq!(case.names(), names, "nothing is left beside it");
            assert_eq!(fs::read_to_string(case.path("result")).unwrap(), "old");
        }
    }
}

#[test]
fn a_program_that_has_tokens_leaves_no_core() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = acceptance::clean("sh");
    other.args(["-c", "ulimit -c unlimited && kill -s QUIT $$"]).current_dir(folder.path());
    if !other.status().unwrap().core_dumped() {
        eprintln!("skipped: this system keeps no cores");
        return;
    }
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let mut command = limited(&case, "-c unlimited", "get_workspace");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(hold.wait_for_request(SOON));
    if cfg!(target_os = "linux") {
        // Nobody's but root's, as the memory is: no other program of this user reads it.
        let environment = fs::metadata(format!("/proc/{}/environ", child.id())).unwrap();
        assert_eq!(environment.uid(), 0);
    }
    send("QUIT", &child);
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(3));
    assert!(!status.core_dumped());
    assert!(!case.names().iter().any(|name| name.contains("core")), "{:?}", case.names());
}
