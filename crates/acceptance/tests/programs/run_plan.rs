//! run_plan: one start, the number of the run on standard output, and an exit code that tells how it ended.

use crate::fresh;
use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Fault, FaultKind, Options, Target};
use acceptance::{Case, Run};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs end at once.
fn case() -> Case {
    Case::fresh(Options { run_time: Duration::ZERO, ..Options::default() })
}

/// Runs end when a test moves the sandbox's clock.
fn slow_case() -> Case {
    Case::fresh(Options { run_time: Duration::from_secs(1000), ..Options::default() })
}

/// Runs it with these arguments, in one line.
fn call(case: &Case, args: &str) -> Run {
    case.call("run_plan", args.split_terminator(' '))
}

/// Starts the program, and waits for the number of the run.
fn start(command: &mut Command) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut number = String::new();
    stdout.read_line(&mut number).unwrap();
    (child, stdout, number.trim_end().to_owned())
}

/// The exit code, and standard error.
fn end(child: Child, mut stdout: BufReader<ChildStdout>) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the number is all");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// How many requests to start a run have arrived, and how many runs there are.
fn starts(case: &Case) -> (usize, usize) {
    case.sandbox.clear_faults();
    let options = ConnectionOptions::default().dir(case.folder.path());
    let client = Client::open(&options, "test/1.0").unwrap();
    let runs = client.get("/plans/v1/planSnapshotRuns").unwrap();
    let requests = case.sandbox.requests().into_iter();
    let posts = requests.filter(|request| request.method == "POST" && request.path != "/as/token");
    let runs = runs["data"].as_array().unwrap().iter();
    // Those of the past are not this program's.
    (posts.count(), runs.filter(|run| run["id"].as_u64() > Some(700)).count())
}

/// How many looks at the first run there have been.
fn looks(case: &Case) -> usize {
    let requests = case.sandbox.requests().into_iter();
    requests.filter(|request| request.path.ends_with("/701")).count()
}

#[test]
fn it_prints_the_number_of_the_run_and_ends_with_it() {
    let case = case();
    call(&case, "7").assert_ends(0, "701\n", "");
    call(&case, "--recipe 7").assert_ends(0, "9\n", "");
    call(&case, "8").assert_ends(0, "702\n", "");
    for (args, begin, noun, lists) in [
        ("99", "HTTP 404 Not Found: Plan not found", "plan", "plans/v1/plans"),
        ("--resume 709", "HTTP 404 Not Found: Run not found", "run", "plans/v1/planSnapshotRuns"),
        ("--resume-job 99", "HTTP 404 Not Found", "job", "v4/jobLibrary"),
    ] {
        let nothing = call(&case, args);
        assert_eq!(nothing.code, Some(4), "{}", nothing.stderr);
        assert!(nothing.stderr.starts_with(&format!("run_plan: {begin}")), "{}", nothing.stderr);
        let cure = format!(
            "  Check the number of the {noun}; it may belong to another workspace. \
             To list those of yours: raw_call {lists}\n"
        );
        assert!(nothing.stderr.ends_with(&cure), "{}", nothing.stderr);
        assert_eq!(nothing.stderr.lines().count(), 2, "{}", nothing.stderr);
    }
    let name = "the number of the plan is needed, not its name: raw_call plans/v1/plans lists both";
    call(&case, "Monthly").assert_says(2, &[name]);
    for args in ["", "7 --recipe 7", "--resume 7 --resume-job 7"] {
        let run = call(&case, args);
        run.assert_says(2, &["Usage: "]);
        // Though AAC_DIR is set, --dir is no part of what is missing.
        let usage = run.stderr.lines().find(|line| line.starts_with("Usage: ")).unwrap();
        assert!(!usage.contains("--dir"), "{usage}");
    }
}

#[test]
fn a_run_may_outlive_the_access_token() {
    for (fault, code) in
        [("", 0), ("token:503x2", 0), ("token:reset-beforex2", 0), ("token:invalid-grantxall", 4)]
    {
        let case = slow_case();
        let (child, stdout, number) = start(case.program("run_plan").arg("7"));
        assert_eq!(number, "701");
        if !fault.is_empty() {
            case.sandbox.add_fault(fault.parse().unwrap());
        }
        case.sandbox.set_clock_offset(1000);
        let (ended, said) = end(child, stdout);
        assert_eq!(ended, Some(code), "{fault}: {said}");
        let counters = case.sandbox.counters();
        let faults = if fault.is_empty() {
            0
        } else if code == 0 {
            2
        } else {
            1
        };
        assert_eq!(
            (counters.refreshes, counters.faults),
            (u64::from(code == 0), faults),
            "{fault}"
        );
        match code {
            // Trouble with the tokens is no failure of the run.
            0 => assert_eq!(starts(&case), (1, 1)),
            _ => assert!(said.contains("run_plan --resume 701"), "{said}"),
        }
        assert!(!fault.is_empty() || said.is_empty(), "{said}");
    }
}

#[test]
fn a_run_that_fails_or_is_canceled_has_an_exit_code_of_its_own() {
    for (fault, status) in [("run:fail", "Failed"), ("run:cancel", "Canceled")] {
        for (args, number, name) in [("7", "701\n", "run 701"), ("--recipe 7", "9\n", "job 9")] {
            let case = case();
            case.sandbox.add_fault(fault.parse().unwrap());
            let said = format!("run_plan: {name} ended as {status}\n");
            call(&case, args).assert_ends(10, number, &said);
        }
    }
}

#[test]
fn a_run_may_be_slow_to_appear() {
    let case = case();
    case.sandbox.add_fault(Fault::run(FaultKind::Hidden(1)));
    call(&case, "7").assert_ends(0, "701\n", "");
    assert!(looks(&case) > 1);
}

#[test]
fn a_run_that_is_there_can_be_watched() {
    let case = slow_case();
    let still = "run_plan: run 701 is still Created. run 701 goes on without this program. \
                 To watch it: run_plan --resume 701\n";
    call(&case, "7 --max-wait 0").assert_ends(11, "701\n", still);
    let job = call(&case, "--recipe 7 --max-wait 0");
    assert_eq!(job.code, Some(11));
    assert!(job.stderr.contains("run_plan --resume-job 9\n"), "{}", job.stderr);
    case.sandbox.set_clock_offset(1000);
    call(&case, "--resume 701").assert_ends(0, "701\n", "");
    call(&case, "--resume-job 9").assert_ends(0, "9\n", "");
    assert_eq!(starts(&case), (2, 1), "one plan, one job");
}

#[test]
#[cfg(unix)]
fn a_signal_ends_the_program_and_not_the_run() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        if acceptance::is_ignored(signal) {
            continue;
        }
        let case = slow_case();
        let (child, _stdout, run) = start(case.program("run_plan").arg("7"));
        acceptance::kill(signal, child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.signal(), &*output.stderr), (Some(number), &b""[..]));
        assert_eq!((&*run, starts(&case)), ("701", (1, 1)));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_how_the_run_is_doing_and_what_ctrl_c_means() {
    let case = case();
    case.sandbox.add_fault(Fault::run(FaultKind::Hidden(1)));
    let shown = acceptance::on_terminal(case.program("run_plan").arg("7"), 80);
    let first = "701\r\nrun_plan: if you press Ctrl-C, run 701 goes on without this program. \
                 To watch it: run_plan --resume 701\r\n";
    assert!(shown.starts_with(first), "{shown:?}");
    for words in ["run 701: unknown", "run_plan: run 701 is complete\r\n"] {
        assert!(shown.contains(words), "{words}: {shown:?}");
    }
}

#[test]
fn a_number_that_cannot_be_printed_is_said() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    let case = slow_case();
    let run = Run::of(case.program("run_plan").arg("7").stdout(full));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("run_plan: standard output: "), "{}", run.stderr);
    assert!(run.stderr.ends_with("run_plan --resume 701\n"), "{}", run.stderr);
}

#[test]
fn a_plan_that_the_platform_does_not_start_is_no_run() {
    let case = fresh();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    fs::write(case.path("aac_url.txt"), url).unwrap();
    // An empty list, and a response to the start that names no run, as the platform documents it.
    let answers = [r#"{"data":[],"count":0}"#, r#"{"validationStatus":"MissingFlowReferences"}"#];
    thread::spawn(move || {
        for (client, body) in listener.incoming().zip(answers) {
            let mut client = client.unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            client.write_all(&acceptance::plain(200, body.as_bytes())).unwrap();
        }
    });
    let said = "run_plan: plan 7 was not started: MissingFlowReferences\n";
    call(&case, "7").assert_ends(10, "", said);
}

/// Runs `check` for each kind of fault that a target can meet, several at a time: they mostly wait.
fn for_each_kind(target: Target, check: impl Fn(&FaultKind) + Sync) {
    let kinds = FaultKind::all().into_iter().filter(|kind| kind.applies_to(target));
    let kinds: Vec<_> = kinds.collect();
    thread::scope(|scope| {
        for some in kinds.chunks(kinds.len().div_ceil(8)) {
            scope.spawn(|| some.iter().for_each(&check));
        }
    });
}

/// The server has rejected the request, and said so: it can be sent again.
fn is_rejection(kind: &FaultKind) -> bool {
    matches!(kind.name(), "429" | "429-fault" | "500-quota" | "unauthorized" | "invalid-client")
}

#[test]
fn no_fault_of_a_start_leads_to_a_second_run() {
    let code = |kind: &FaultKind, is_lasting| match kind.name() {
        "500-quota" if is_lasting => 5,
        _ if is_rejection(kind) && is_lasting => 4,
        _ if is_rejection(kind) => 0,
        "slow" | "slow-body" | "hidden" => 0,
        "fail" | "cancel" => 10,
        "redirect" => 3,
        "400" | "403" | "404" | "410" | "413" | "svc-404" | "msg-403" | "invalid-grant"
        | "oauth-error" | "invalid-key" => 4,
        "500" | "502" | "503" | "504" | "reset-before" | "reset-after" | "cut" | "cut-close"
        | "garbled" | "html-200" | "empty" | "hang" | "hang-after" | "huge" => 12,
        name => panic!("what is to become of {name}?"),
    };
    for_each_kind(Target::Run, |kind| {
        for is_lasting in [false, true] {
            let case = case();
            let fault = Fault::run(kind.clone());
            case.sandbox.add_fault(if is_lasting { fault.always() } else { fault });
            let run = call(&case, "7 --timeout 3 --retry 1");
            let expected = code(kind, is_lasting);
            assert_eq!(run.code, Some(expected), "{kind} {is_lasting}: {}", run.stderr);
            let is_known = matches!(expected, 0 | 10);
            assert_eq!(run.stdout, if is_known { "701\n" } else { "" }, "{kind}");
            let (requests, runs) = starts(&case);
            assert!(runs <= 1, "{kind}: {runs} runs");
            assert!(requests == 1 || is_rejection(kind), "{kind}: {requests} requests");
            if expected == 12 {
                let words = "it is unknown whether a run has started. It is not started again";
                assert!(run.stderr.contains(words), "{kind}: {}", run.stderr);
                // The run that has begun is shown, and not taken for this one.
                let is_shown = run.stderr.contains("run_plan --resume 701\n");
                let is_none = run.stderr.contains("none has been seen since");
                assert_eq!((is_shown, is_none), (runs == 1, runs == 0), "{kind}: {}", run.stderr);
            } else {
                assert_eq!(runs == 1, is_known, "{kind}");
            }
        }
    });
}

#[test]
fn whatever_happens_while_it_watches_the_run_goes_on() {
    let code = |kind: &FaultKind| match kind.name() {
        // Slow to appear, for all that can be known.
        "404" | "svc-404" => 0,
        "redirect" => 3,
        "400" | "403" | "410" | "413" | "msg-403" | "invalid-grant" | "oauth-error"
        | "invalid-key" | "unauthorized" | "invalid-client" => 4,
        "429" | "429-fault" | "500-quota" | "500" | "502" | "503" | "504" | "reset-before"
        | "reset-after" | "cut" | "cut-close" | "garbled" | "html-200" | "empty" | "hang"
        | "hang-after" | "huge" | "slow" | "slow-body" => 0,
        name => panic!("what is to become of {name}?"),
    };
    for_each_kind(Target::Api, |kind| {
        let case = case();
        // The list and the start pass, and two looks fail.
        case.sandbox.add_fault(Fault::api(kind.clone()).after(2).times(2));
        let run = call(&case, "7 --timeout 3 --retry 0");
        let expected = code(kind);
        assert_eq!((run.code, &*run.stdout), (Some(expected), "701\n"), "{kind}: {}", run.stderr);
        let resume = "run 701 goes on without this program. To watch it: run_plan --resume 701\n";
        assert_eq!(run.stderr.ends_with(resume), expected != 0, "{kind}: {}", run.stderr);
        let is_quiet = matches!(kind.name(), "404" | "svc-404" | "slow" | "slow-body");
        let warnings = run.stderr.matches("run 701 goes on, and so does watching it").count();
        assert_eq!(warnings, usize::from(expected == 0 && !is_quiet), "{kind}: {}", run.stderr);
        assert_eq!(starts(&case), (1, 1), "{kind}");
    });
}

#[test]
fn a_server_that_asks_for_a_pause_does_not_outlast_max_wait() {
    let case = case();
    // The list and the start pass.
    case.sandbox.add_fault("api:503=60+2xall".parse().unwrap());
    let begin = Instant::now();
    let run = call(&case, "7 --max-wait 1");
    assert_eq!((run.code, &*run.stdout), (Some(11), "701\n"), "{}", run.stderr);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(looks(&case), 2, "the pause is kept");

    // Nor is the reason kept back when there is no second look.
    case.sandbox.add_fault("api:503".parse().unwrap());
    let once = call(&case, "--resume 701 --max-wait 0");
    assert_eq!((once.code, &*once.stdout), (Some(11), "701\n"), "{}", once.stderr);
    assert!(once.stderr.starts_with("run_plan: warning: HTTP 503 "), "{}", once.stderr);
}
