//! run_plan: one start, the number of the run on standard output, and an exit code that tells how it ended.

use crate::{fresh, platform};
use aac_auth::{Client, ConnectionOptions, Timestamp, Value};
use aac_sandbox::{Fault, FaultKind, Options, Target};
use acceptance::{Case, Run, Running};
use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Expects a run that is complete, and returns its execution ID. What else is said depends on the moment.
#[track_caller]
fn assert_completes(run: &Run, what: &str, name: &str) -> String {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, format!("{}\n", name.split_once(' ').unwrap().1), "{}", run.stderr);
    assert!(run.stderr.ends_with(&format!("run_plan: {name} is complete\n")), "{}", run.stderr);
    for line in run.stderr.lines() {
        let of_run = format!("run_plan: {name}");
        assert!(line.starts_with("run_plan: starting ") || line.starts_with(&of_run), "{line}");
    }
    execution_id(run, what)
}

/// The execution ID that a start has printed before anything else.
#[track_caller]
fn execution_id(run: &Run, what: &str) -> String {
    let begin = format!("run_plan: starting {what}, execution ID ");
    let id = run.stderr.lines().find_map(|line| line.strip_prefix(&begin));
    id.unwrap_or_else(|| panic!("{}", run.stderr)).to_owned()
}

/// A UUID of version 7, that many seconds from now.
fn made_in(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let hex = format!("{:012x}", now + 1000 * seconds);
    format!("{}-{}-7cc3-98c4-dc0c0c07398f", &hex[..8], &hex[8..])
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
    // Those of the past are not this program's. An ID may be a string.
    let is_new = |run: &&Value| !["698", "699", "700"].contains(&&*run["id"].to_string());
    (posts.count(), runs.filter(is_new).count())
}

/// How many looks at the first run there have been.
fn looks(case: &Case) -> usize {
    let requests = case.sandbox.requests().into_iter();
    requests.filter(|request| request.path.ends_with("/701")).count()
}

#[test]
fn it_prints_the_number_of_the_run_and_ends_with_it() {
    let case = case();
    assert_completes(&call(&case, "7"), "plan 7", "run 701");
    assert_completes(&call(&case, "--recipe 7"), "recipe 7", "job 9");
    assert_completes(&call(&case, "8"), "plan 8", "run 702");
    for (args, begin, noun, lists) in [
        ("99", "HTTP 404 Not Found: Plan not found", "plan", "plans/v1/plans"),
        ("--resume 709", "HTTP 404 Not Found: Run not found", "run", "plans/v1/planSnapshotRuns"),
        ("--resume-job 99", "HTTP 404 Not Found", "job", "v4/jobLibrary"),
    ] {
        let nothing = call(&case, args);
        assert_eq!(nothing.code, Some(4), "{}", nothing.stderr);
        assert!(nothing.stderr.contains(&format!("run_plan: {begin}")), "{}", nothing.stderr);
        let cure = format!(
            "  Check the number of the {noun}; it may belong to another workspace. \
             To list those of yours: raw_call {lists}\n"
        );
        assert!(nothing.stderr.ends_with(&cure), "{}", nothing.stderr);
        let lines = nothing.stderr.lines().filter(|line| !line.starts_with("run_plan: starting "));
        assert_eq!(lines.count(), 2, "{}", nothing.stderr);
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
        let mut running = Running::of(case.program("run_plan").arg("7"));
        running.says("run 701: Created\n");
        if !fault.is_empty() {
            case.sandbox.add_fault(fault.parse().unwrap());
        }
        case.sandbox.set_clock_offset(1000);
        let Run { code: ended, stdout, stderr: said } = running.end();
        assert_eq!((ended, &*stdout), (Some(code), "701\n"), "{fault}: {said}");
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
        assert!(!fault.is_empty() || !said.contains("warning"), "{said}");
    }
}

#[test]
fn a_run_that_fails_or_is_canceled_has_an_exit_code_of_its_own() {
    for (fault, status) in [("run:fail", "Failed"), ("run:cancel", "Canceled")] {
        for (args, number, name) in [("7", "701\n", "run 701"), ("--recipe 7", "9\n", "job 9")] {
            let case = case();
            case.sandbox.add_fault(fault.parse().unwrap());
            let part = if args == "7" { ", node \"Sales by region\", job 10701" } else { "" };
            let why = match status {
                "Failed" => format!(
                    "{name}{part}: wrangle failed: The column \"amount\" is missing in orders.csv"
                ),
                _ => format!("{name}: the platform does not tell why"),
            };
            let said = format!("run_plan: {why}\nrun_plan: {name} ended as {status}\n");
            let run = call(&case, args);
            assert_eq!((run.code, &*run.stdout), (Some(10), number), "{}", run.stderr);
            assert!(run.stderr.ends_with(&said), "{}", run.stderr);
        }
    }
}

/// What was sent to start a run.
fn sent(case: &Case) -> String {
    let requests = case.sandbox.requests();
    let start = requests.iter().rfind(|it| it.header("x-execution-id").is_some()).unwrap();
    String::from_utf8(start.body.clone()).unwrap()
}

#[test]
fn parameters_are_sent_as_the_platform_takes_them() {
    let case = case();
    for (args, body) in [
        ("7", ""),
        (
            "7 -p region=APAC --param=month=2025-03=x",
            r#"{"planNodeOverrides":[{"handle":"5p","overrideKey":"region","value":"APAC"},{"handle":"5p","overrideKey":"month","value":"2025-03=x"}]}"#,
        ),
        ("--recipe 7", r#"{"wrangledDataset":{"id":7}}"#),
        (
            "--recipe 7 -p country= -p n=1",
            r#"{"wrangledDataset":{"id":7},"runParameters":{"overrides":{"data":[{"key":"country","value":""},{"key":"n","value":"1"}]}}}"#,
        ),
    ] {
        assert_eq!(call(&case, args).code, Some(0), "{args}");
        assert_eq!(sent(&case), body, "{args}");
    }
    // Nothing is started with one that is in vain.
    let before = starts(&case);
    call(&case, "7 -p size=1").assert_says(2, &["no parameter \"size\". It has: month, region."]);
    for args in ["7 -p region", "7 -p =x"] {
        call(&case, args).assert_says(2, &["a name, = and a value are needed"]);
    }
    call(&case, "--resume 701 -p region=x").assert_says(2, &["cannot be used with"]);
    case.sandbox.add_fault("api:403+1".parse().unwrap());
    call(&case, "7 -p region=x").assert_says(4, &["HTTP 403 Forbidden"]);
    assert_eq!(starts(&case), before);
    // To go on takes the same ones.
    case.sandbox.add_fault("run:reset-after".parse().unwrap());
    let lost = Run::of(case.program("run_plan").args(["7", "-p", "region=a b's", "-p", "month=1"]));
    let command = "run_plan 7 -p 'region=a b'\\''s' -p month=1 --execution-id ";
    lost.assert_says(12, &[command]);
}

#[test]
fn a_run_is_told_of_however_the_platform_names_its_parts() {
    let task = |run: u64, more: &str| {
        format!(
            r#"{{"planTaskSnapshotRuns":{{"data":[{{"planSnapshotRun":{{"id":"{run}"}},{more}}}]}},"name":"A\u001b"}}"#
        )
    };
    let full = |nodes: &str| {
        format!(r#"{{"planNodes":{{"data":[{nodes}]}},"latestPlanSnapshot":{{"id":8}}}}"#)
    };
    let job = r#""planFlowTaskRunResults":{"data":[{"jobGroup":{"id":"9"}}]}"#;
    let node = r#"run_plan: run 701, node "A\u{1b}""#;
    let jobs = |message: &str| {
        format!(
            r#"{{"data":[{{"jobType":"wrangle","status":"failed","errorMessage":{message}}}]}}"#
        )
    };
    let nothing = "run_plan: run 701: the platform does not tell why\n";
    for (plan, snapshot, jobs, said) in [
        (full(&task(701, job)), "", jobs("null"), format!("{node}, job 9: wrangle failed: null\n")),
        (
            full(&task(701, job)),
            "",
            jobs(r#"{"code":1}"#),
            format!("{node}, job 9: wrangle failed: {{\"code\":1}}\n"),
        ),
        // A plan that names its snapshot, which has nodes without jobs.
        (
            full(""),
            &*full(&task(701, r#""status":"Failed""#)),
            String::new(),
            format!("{node} failed\n"),
        ),
        (full(&task(702, job)), "{}", String::new(), nothing.to_owned()),
        ("[]".to_owned(), "", String::new(), nothing.to_owned()),
        (full(&task(701, job)), "", "null".to_owned(), nothing.to_owned()),
        (String::new(), "", String::new(), "HTTP 403".to_owned()),
    ] {
        let case = fresh();
        let snapshot = snapshot.to_owned();
        let _requests = platform(&case, move |asked| match &*asked.path {
            // It does not know the parameter.
            "/plans/v1/plans/7/full" if !asked.query.is_empty() => (400, String::new()),
            "/plans/v1/plans/7/full" if plan.is_empty() => (403, String::new()),
            "/plans/v1/plans/7/full" => (200, plan.clone()),
            "/plans/v1/plans/8/full" => (200, snapshot.clone()),
            "/v4/jobGroups/9/jobs" => (200, jobs.clone()),
            _ => (200, r#"{"status":"Failed","plan":{"id":7}}"#.to_owned()),
        });
        let run = call(&case, "--resume 701");
        assert_eq!(run.code, Some(10), "{}", run.stderr);
        assert!(run.stderr.contains(&said), "{said}: {}", run.stderr);
        assert!(run.stderr.ends_with("run_plan: run 701 ended as Failed\n"), "{}", run.stderr);
    }
}

#[test]
fn a_run_may_be_slow_to_appear() {
    let case = case();
    case.sandbox.add_fault(Fault::run(FaultKind::Hidden(1)));
    assert_completes(&call(&case, "7"), "plan 7", "run 701");
    assert!(looks(&case) > 1);
}

#[test]
fn a_run_that_is_there_can_be_watched() {
    let case = slow_case();
    let still = "run_plan: run 701 is still Created and continues without this program. \
                 To watch it: run_plan --resume 701\n";
    let run = call(&case, "7 --max-wait 0");
    assert_eq!((run.code, &*run.stdout), (Some(11), "701\n"), "{}", run.stderr);
    assert!(run.stderr.ends_with(still), "{}", run.stderr);
    let job = call(&case, "--recipe 7 --max-wait 0");
    assert_eq!(job.code, Some(11));
    for (run, page) in
        [(&run, "run 701 in the browser: {}/plans/7"), (&job, "job 9 in the browser: {}/jobs/9")]
    {
        let page = page.replace("{}", case.sandbox.url());
        assert!(run.stderr.contains(&format!("run_plan: {page}\n")), "{}", run.stderr);
    }
    assert!(job.stderr.contains("run_plan --resume-job 9\n"), "{}", job.stderr);
    case.sandbox.set_clock_offset(1000);
    let node = "run_plan: run 701, node \"Sales by region\", job 10701";
    let said = format!(
        "{node} wrote s3://sandbox/jobs/10701/orders.csv\n{node} wrote table SALES.PUBLIC.ORDERS\n\
         run_plan: run 701 is complete\n"
    );
    call(&case, "--resume 701").assert_ends(0, "701\n", &said);
    let said = "run_plan: job 9 wrote s3://sandbox/jobs/9/orders.csv\n\
                run_plan: job 9 wrote table SALES.PUBLIC.ORDERS\nrun_plan: job 9 is complete\n";
    call(&case, "--resume-job 9").assert_ends(0, "9\n", said);
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
        let mut running = Running::of(case.program("run_plan").arg("7"));
        running.says("run 701: Created\n");
        running.signal(signal);
        let (run, status) = running.end_with_status();
        assert_eq!((status.signal(), &*run.stdout), (Some(number), "701\n"));
        assert!(run.stderr.ends_with("run 701: Created\n"), "{}", run.stderr);
        assert_eq!(starts(&case), (1, 1));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_how_the_run_is_doing_and_what_ctrl_c_means() {
    let case = case();
    case.sandbox.add_fault(Fault::run(FaultKind::Hidden(1)));
    let shown = acceptance::on_terminal(case.program("run_plan").arg("7"), 80);
    let first = "701\r\nrun_plan: if you press Ctrl-C, run 701 continues without this program. \
                 To watch it: run_plan --resume 701\r\n";
    let (start, rest) = shown.split_once("\r\n").unwrap();
    assert!(start.starts_with("run_plan: starting plan 7, execution ID "), "{shown:?}");
    assert!(rest.starts_with(first), "{shown:?}");
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
    assert!(run.stderr.contains("\nrun_plan: standard output: "), "{}", run.stderr);
    assert!(run.stderr.ends_with("run_plan --resume 701\n"), "{}", run.stderr);
}

#[test]
fn a_response_to_a_start_is_not_taken_for_what_it_does_not_say() {
    let refused = "plan 7 was not started: MissingFlowReferences\n";
    let unknown = "names no run\nrun_plan: it is unknown whether a run has started";
    for (response, code, words) in [
        // As the platform documents it.
        (r#"{"validationStatus":"MissingFlowReferences"}"#, 10, refused),
        (r#"{"validationStatus":"Valid"}"#, 12, unknown),
        (r#"{"validationStatus":"valid","planSnapshotRunId":null}"#, 12, unknown),
        (r#"{"validationStatus":"","planSnapshotRunId":-1}"#, 12, unknown),
        (r#"{"planSnapshotRunId":"+701"}"#, 12, unknown),
        ("[]", 12, unknown),
        ("\"701\"", 12, unknown),
    ] {
        let case = fresh();
        let requests = platform(&case, move |_| (200, response.to_owned()));
        call(&case, "7").assert_says(code, &[words]);
        assert_eq!(requests.try_iter().filter(|asked| asked.starts_with("POST ")).count(), 1);
    }
}

#[test]
fn each_start_has_an_id_and_depends_on_nothing_else() {
    // All that comes before the start fails, or the list of runs alone.
    for (fault, args, what, name) in [
        ("", "7", "plan 7", "run 701"),
        ("api:403", "7", "plan 7", "run 701"),
        ("api:404", "7", "plan 7", "run 701"),
        ("api:500", "--recipe 7", "recipe 7", "job 9"),
        ("api:reset-before", "7", "plan 7", "run 701"),
        ("api:html-200", "7", "plan 7", "run 701"),
    ] {
        let case = case();
        if !fault.is_empty() {
            case.sandbox.add_fault(fault.parse().unwrap());
        }
        let id = assert_completes(&call(&case, args), what, name);
        let posts = case.sandbox.requests();
        let mut posts = posts.iter().filter(|request| request.method == "POST");
        assert_eq!(posts.next().unwrap().header("x-execution-id"), Some(&*id), "{fault}");
        assert_eq!(posts.next(), None, "{fault}");
        let made = u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        assert!((now - 60_000..=now).contains(&made), "{id}");
        assert_eq!(&id[14..15], "7", "{id}");
    }
}

#[test]
fn a_start_goes_on_with_its_id() {
    // The server's clock dates the runs, whatever the local one says.
    for (clock_offset, fault, args, number) in [
        (0, "run:reset-after", "7", "701\n"),
        (0, "run:reset-before", "7", "701\n"),
        (3600, "run:empty", "--recipe 7", "9\n"),
        (-3600, "run:reset-after", "7", "701\n"),
    ] {
        let options = Options { run_time: Duration::ZERO, clock_offset, ..Options::default() };
        let case = Case::fresh(options);
        case.sandbox.add_fault(fault.parse().unwrap());
        let lost = call(&case, args);
        lost.assert_says(12, &["it is unknown whether a run has started"]);
        let (_, command) = lost.stderr.trim_end().rsplit_once(": run_plan ").unwrap();
        let what = if args == "7" { "plan 7" } else { "recipe 7" };
        assert_eq!(command, format!("{args} --execution-id {}", execution_id(&lost, what)));

        // The list fails, with and without parameters: nothing is sent.
        case.sandbox.add_fault("api:400+1x2".parse().unwrap());
        call(&case, command).assert_says(12, &["HTTP 400", "cannot be listed", command]);
        case.sandbox.add_fault("api:403+1".parse().unwrap());
        call(&case, command).assert_says(12, &["HTTP 403", "cannot be listed", command]);
        // It succeeds without parameters. Then nothing tells whose run of a plan it is.
        case.sandbox.add_fault("api:400+1".parse().unwrap());
        let run = call(&case, command);
        if fault == "run:reset-after" {
            run.assert_says(12, &["of these runs", "run_plan --resume 701\n"]);
        } else {
            assert_eq!((run.code, &*run.stdout), (Some(0), number), "{fault}: {}", run.stderr);
        }
        let posts = case.sandbox.requests();
        let posts = posts.iter().filter(|request| request.header("x-execution-id").is_some());
        assert_eq!(posts.count(), if fault == "run:reset-before" { 2 } else { 1 }, "{fault}");
        // And again, which changes nothing.
        let again = call(&case, command);
        assert_eq!((again.code, &*again.stdout), (Some(0), number), "{}", again.stderr);
    }
}

#[test]
fn a_local_clock_that_is_a_little_ahead_hides_no_run() {
    let case = fresh();
    let date = Mutex::new(None);
    // The server's clock stands at the beginning of a second, this machine's is somewhere within it.
    let requests = platform(&case, move |asked| {
        let mut date = date.lock().unwrap();
        let date = date.get_or_insert_with(|| Timestamp::now().to_string());
        match (&*asked.method, &*asked.path) {
            ("POST", _) => (500, String::new()),
            (_, "/v4/people/current") => (200, r#"{"id":51}"#.to_owned()),
            (_, "/plans/v1/planSnapshotRuns") => (
                200,
                format!(r#"{{"data":[{{"id":701,"createdAt":"{date}","plan":{{"id":7}}}}]}}"#),
            ),
            _ => (200, r#"{"status":"Complete"}"#.to_owned()),
        }
    });
    let lost = call(&case, "7");
    let id = execution_id(&lost, "plan 7");
    call(&case, &format!("7 --execution-id {id}"));
    assert_eq!(requests.try_iter().filter(|asked| asked.starts_with("POST ")).count(), 1, "{id}");
}

#[test]
fn an_id_that_tells_no_time_in_the_past_is_refused() {
    let case = case();
    for (id, words) in [
        ("701", "a UUID of version 7 is needed"),
        ("919108f7-52d1-4320-9bac-f847db4148a8", "a UUID of version 7 is needed"),
        (&made_in(600), "its time is still to come"),
    ] {
        call(&case, &format!("7 --execution-id {id}")).assert_says(2, &["--execution-id", words]);
    }
    for watched in ["--resume 701", "--resume-job 9"] {
        let args = format!("{watched} --execution-id {}", made_in(0));
        call(&case, &args).assert_says(2, &["cannot be used with"]);
    }
    assert_eq!(starts(&case), (0, 0));
}

/// A run of that number, plan, person and time, as a list has it.
fn row(id: u64, plan: u64, person: u64, at: &str) -> String {
    format!(
        r#"{{"id":{id},"status":"Created","createdAt":"2022-02-22T{at}Z","plan":{{"id":{plan}}},"creator":{{"id":{person}}}}}"#
    )
}

#[test]
fn only_a_run_that_may_be_of_an_earlier_start_is_taken_for_it() {
    // The example of RFC 9562, appendix A.6. It was made at 2022-02-22T19:22:22Z.
    const ID: &str = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    let ours = row(701, 7, 51, "19:22:22.000");
    let newer = row(702, 7, 51, "20:00:00.000");
    let older = row(700, 7, 51, "19:22:21.999");
    // One that does not say of what or of when it is; or of when by which clock.
    let unknown = r#"{"id":"701","plan":null}"#.to_owned();
    let no_zone = ours.replace(".000Z", "");
    // Those of others, in the same second.
    let others = vec![row(701, 7, 52, "19:22:22.000"), row(702, 7, 53, "19:22:22.000")];
    // The order that was asked for is not kept.
    let mut unsorted: Vec<_> = [300]
        .into_iter()
        .chain((400..=500).rev())
        .map(|id| row(id, 7, 51, "19:00:00.000"))
        .collect();
    unsorted.push(ours.clone());
    let strings = r#"{"id":"701","plan":{"id":"7"},"creator":{"id":"51"},"createdAt":"2022-02-22T19:22:22Z"}"#;
    let both = ["--resume 701\n", "--resume 702\n"];
    let is_taken = "run 701 has begun since then";
    // The list, and what it is after a start that the platform has known already; exit code, requests to
    // start, what is said.
    for (rows, later, code, posts, words) in [
        (vec![], None, 0, 1, &[][..]),
        (vec![ours.clone()], None, 0, 0, &[is_taken]),
        (vec![ours.clone(), older.clone()], None, 0, 0, &[is_taken]),
        (vec![older.clone(), ours.clone()], None, 0, 0, &[is_taken]),
        (unsorted, None, 0, 0, &[is_taken]),
        (vec![older.clone()], None, 0, 1, &[]),
        (vec![row(701, 8, 51, "20:00:00.000")], None, 0, 1, &[]),
        // Some runs name a snapshot of their plan.
        (vec![row(701, 1007, 51, "20:00:00.000")], None, 0, 0, &[is_taken]),
        (vec![row(701, 1008, 51, "20:00:00.000")], None, 12, 0, &both[..1]),
        (vec![row(701, 7, 52, "20:00:00.000")], None, 0, 1, &[]),
        (others, None, 0, 1, &[]),
        (vec![unknown], None, 12, 0, &both[..1]),
        (vec![no_zone], None, 12, 0, &both[..1]),
        (vec![strings.to_owned()], None, 0, 0, &[is_taken]),
        (vec![newer.clone(), ours.clone()], None, 12, 0, &both),
        (vec![r#"{"status":"Created"}"#.to_owned()], None, 12, 0, &["has no number", ID]),
        (vec![older.clone()], Some(vec![ours.clone(), older.clone()]), 0, 1, &[is_taken]),
        (vec![], Some(vec![newer, ours]), 12, 1, &both),
        (vec![], Some(vec![older]), 12, 1, &["is not in the list", ID]),
    ] {
        let case = fresh();
        let list = |rows: &[String]| format!(r#"{{"data":[{}]}}"#, rows.join(","));
        let lists = [list(&rows), list(later.as_deref().unwrap_or_default())];
        let started = AtomicBool::new(false);
        let is_known = later.is_some();
        let requests = platform(&case, move |asked| match (&*asked.method, &*asked.path) {
            ("POST", _) => {
                started.store(true, Ordering::Relaxed);
                let response = r#"{"validationStatus":"Valid","planSnapshotRunId":"701"}"#;
                if is_known { (304, String::new()) } else { (201, response.to_owned()) }
            }
            (_, "/v4/people/current") => (200, r#"{"id":51}"#.to_owned()),
            (_, "/plans/v1/planSnapshotRuns") => {
                (200, lists[usize::from(started.load(Ordering::Relaxed))].clone())
            }
            (_, "/plans/v1/plans/1007") => (200, r#"{"id":1007,"originalPlanId":7}"#.to_owned()),
            (_, "/plans/v1/plans/1008") => (410, String::new()),
            _ => (200, r#"{"id":"701","status":"Complete"}"#.to_owned()),
        });
        let run = call(&case, &format!("7 --execution-id {ID}"));
        let what = format!("{:?}: {}", rows.last(), run.stderr);
        assert_eq!(run.code, Some(code), "{what}");
        assert_eq!(run.stdout, if code == 0 { "701\n" } else { "" }, "{what}");
        for word in words {
            assert!(run.stderr.contains(word), "{what}");
        }
        let start = format!("POST /plans/v1/plans/7/run {ID}");
        assert_eq!(requests.try_iter().filter(|asked| *asked == start).count(), posts, "{what}");
    }
}

/// Runs `check` for each kind of fault that a target can meet, several at a time: they mostly wait.
pub(crate) fn for_each_kind(target: Target, check: impl Fn(&FaultKind) + Sync) {
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
        "slow" | "slow-body" | "hidden" | "status" | "string-id" => 0,
        "fail" | "cancel" => 10,
        "redirect" => 3,
        "400" | "403" | "404" | "409" | "410" | "413" | "svc-404" | "msg-403" | "invalid-grant"
        | "oauth-error" | "invalid-key" => 4,
        "500" | "502" | "503" | "504" | "reset-before" | "reset-after" | "cut" | "cut-close"
        | "garbled" | "html-200" | "empty" | "hang" | "hang-after" | "huge" => 12,
        name => panic!("what is to become of {name}?"),
    };
    for_each_kind(Target::Run, |kind| {
        if kind.name() == "deleted" {
            // Another test sets the clock for it.
            return;
        }
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
                if is_lasting {
                    continue;
                }
                let id = execution_id(&run, "plan 7");
                let run = call(&case, &format!("7 --execution-id {id}"));
                assert_eq!((run.code, &*run.stdout), (Some(0), "701\n"), "{kind}: {}", run.stderr);
                // Nothing is sent again if there is a run.
                assert_eq!(starts(&case), (requests + 1 - runs, 1), "{kind}: {}", run.stderr);
            } else {
                assert_eq!(runs == 1, is_known, "{kind}");
            }
        }
    });
}

#[test]
fn whatever_happens_while_it_watches_the_run_goes_on() {
    let code = |kind: &FaultKind, times| match kind.name() {
        // Slow to appear, for all that can be known.
        "404" | "410" | "svc-404" => 0,
        "redirect" | "403" | "msg-403" | "unauthorized" | "invalid-client" if times == 1 => 0,
        "redirect" => 3,
        "400" | "403" | "msg-403" | "invalid-grant" | "oauth-error" | "invalid-key"
        | "unauthorized" | "invalid-client" => 4,
        "409" | "413" | "429" | "429-fault" | "500-quota" | "500" | "502" | "503" | "504"
        | "reset-before" | "reset-after" | "cut" | "cut-close" | "garbled" | "html-200"
        | "empty" | "hang" | "hang-after" | "huge" | "slow" | "slow-body" | "filter-ignored"
        | "filter-refused" => 0,
        name => panic!("what is to become of {name}?"),
    };
    for_each_kind(Target::Api, |kind| {
        // The second one decides about some.
        let is_given_a_chance = code(kind, 1) != code(kind, 2);
        for times in if is_given_a_chance { 1..=2 } else { 2..=2 } {
            let case = case();
            // What comes before the start passes, and so does the start.
            case.sandbox.add_fault(Fault::api(kind.clone()).after(2).times(times));
            let run = call(&case, "7 --timeout 3 --retry 0");
            let what = format!("{kind}x{times}: {}", run.stderr);
            let expected = code(kind, times);
            assert_eq!((run.code, &*run.stdout), (Some(expected), "701\n"), "{what}");
            let resume =
                "run 701 continues without this program. To watch it: run_plan --resume 701\n";
            assert_eq!(run.stderr.ends_with(resume), expected != 0, "{what}");
            let is_quiet = matches!(kind.name(), "404" | "410" | "svc-404" | "slow" | "slow-body")
                || kind.name().starts_with("filter-");
            let is_told = expected == 0 && times == 2 && !is_quiet;
            let warnings = run.stderr.matches("; still watching run 701").count();
            assert_eq!(warnings, usize::from(is_told), "{what}");
            assert_eq!(starts(&case), (1, 1), "{what}");
        }
    });
}

#[test]
fn whatever_happens_after_its_end_it_has_ended_so() {
    for_each_kind(Target::Api, |kind| {
        let case = case();
        // What comes before passes, and so does the look at the end of the run.
        case.sandbox.add_fault(Fault::api(kind.clone()).after(3));
        let run = call(&case, "7 --timeout 3");
        assert_eq!((run.code, &*run.stdout), (Some(0), "701\n"), "{kind}: {}", run.stderr);
        assert!(run.stderr.ends_with("run_plan: run 701 is complete\n"), "{kind}: {}", run.stderr);
        // It is asked again after a 401, with other tokens.
        let is_harmless = ["slow", "slow-body", "unauthorized", "invalid-client"]
            .contains(&kind.name())
            || kind.name().starts_with("filter-");
        let words = if is_harmless { " wrote s3://" } else { "the platform does not tell more: " };
        assert!(run.stderr.contains(words), "{kind}: {}", run.stderr);
    });
}

#[test]
fn a_run_that_is_gone_has_an_exit_code_of_its_own() {
    for (fault, says) in [("run:deleted=900", "404 Not Found"), ("api:410+3", "410 Gone")] {
        let case = slow_case();
        case.sandbox.add_fault(fault.parse().unwrap());
        let mut running = Running::of(case.program("run_plan").arg("7"));
        running.says("run 701: Created\n");
        case.sandbox.set_clock_offset(900);
        let run = running.end();
        assert_eq!((run.code, &*run.stdout), (Some(13), "701\n"), "{}", run.stderr);
        let last = run.stderr.lines().last().unwrap();
        let begin = format!("run_plan: run 701 no longer exists: HTTP {says}");
        assert!(last.starts_with(&begin), "{}", run.stderr);
    }
}

#[test]
fn each_change_is_a_line_and_an_unknown_status_is_told_once() {
    let case = slow_case();
    case.sandbox.add_fault("run:status=Paused".parse().unwrap());
    let mut running = Running::of(case.program("run_plan").args(["--recipe", "7"]));
    for (seconds, line) in
        [(0, "job 9: Created"), (500, "job 9: Paused"), (1000, "job 9 is complete")]
    {
        case.sandbox.set_clock_offset(seconds);
        running.says(&format!("run_plan: {line}\n"));
        // At least one more look at the same status.
        let looks = || {
            let requests = case.sandbox.requests();
            requests.iter().filter(|request| request.path == "/v4/jobGroups/9").count()
        };
        let before = looks();
        while seconds == 500 && looks() == before {
            thread::sleep(Duration::from_millis(50));
        }
    }
    let run = running.end();
    assert_eq!((run.code, &*run.stdout), (Some(0), "9\n"), "{}", run.stderr);
    let (_, rest) = run.stderr.split_once("/jobs/9\n").unwrap();
    assert_eq!(
        rest,
        "run_plan: job 9: Created\n\
         run_plan: warning: \"Paused\" is not a known status; job 9 counts as running\n\
         run_plan: job 9: Paused\nrun_plan: job 9 wrote s3://sandbox/jobs/9/orders.csv\n\
         run_plan: job 9 wrote table SALES.PUBLIC.ORDERS\nrun_plan: job 9 is complete\n"
    );
}

#[test]
fn what_may_last_ends_it_the_second_time_in_a_row() {
    // What the looks meet, one after the other; then the run is complete.
    let cases: [(&[u16], i32); 8] = [
        (&[407, 407], 4),
        (&[407, 200, 407], 0),
        (&[403, 503, 403], 0),
        (&[308, 308], 3),
        (&[304, 200], 0),
        (&[408, 413, 520], 0),
        (&[200, 410], 13),
        (&[200, 500, 404], 13),
    ];
    thread::scope(|scope| {
        for (looks, code) in cases {
            scope.spawn(move || {
                let case = fresh();
                let left = Mutex::new(looks.iter());
                let _requests = platform(&case, move |_| match left.lock().unwrap().next() {
                    Some(200) => (200, r#"{"status":"InProgress"}"#.to_owned()),
                    Some(status) => (*status, String::new()),
                    None => (200, r#"{"status":"Complete"}"#.to_owned()),
                });
                let run = call(&case, "--resume 701");
                assert_eq!(
                    (run.code, &*run.stdout),
                    (Some(code), "701\n"),
                    "{looks:?} {}",
                    run.stderr
                );
            });
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_ends_it_the_second_time() {
    let case = Case::fresh(Options { tls: true, ..Options::default() });
    let run = call(&case, "--resume 701");
    assert_eq!((run.code, &*run.stdout), (Some(1), "701\n"), "{}", run.stderr);
    assert!(run.stderr.contains("certificate is not trusted"), "{}", run.stderr);
    assert_eq!(case.sandbox.counters().connections, 2);
}

#[test]
fn a_number_may_be_a_string() {
    for (args, what, name) in [("7", "plan 7", "run 701"), ("--recipe 7", "recipe 7", "job 9")] {
        let case = case();
        case.sandbox.add_fault("run:string-id".parse().unwrap());
        assert_completes(&call(&case, args), what, name);
    }
}

#[test]
fn a_server_that_asks_for_a_pause_does_not_outlast_max_wait() {
    let case = case();
    // What comes before the start passes, and so does the start.
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
    assert!(
        once.stderr.contains("\nrun_plan: run 701 has no known status and continues "),
        "{}",
        once.stderr
    );

    // What was seen before is told as what it is.
    let slow = slow_case();
    let mut running = Running::of(slow.program("run_plan").args(["7", "--max-wait", "2"]));
    running.says("run 701: Created\n");
    slow.sandbox.add_fault("api:503xall".parse().unwrap());
    let run = running.end();
    assert!(
        run.stderr.contains("run 701 was Created when last seen and continues "),
        "{}",
        run.stderr
    );
}
