//! invite_users and suspend_users: a batch that may fail half-way, and what a repetition makes of it.

use crate::run_plan::for_each_kind;
use crate::{Asked, NONE, platform};
use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Options, Target};
use acceptance::{Case, Run, Running};
use std::fs::{self, File};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Four who are not in the workspace.
const NEW: &str =
    "name,email\nA,n1@example.com\nB,n2@example.com\nC,n3@example.com\nD,n4@example.com\n";
/// Four who are.
const MEMBERS: &str = "email\nlukasz.zolc@example.com\nHanako.Kubota@example.com\ngrace.hopper@example.com\nperson00005@example.com\n";

/// A folder with five people, and people.csv.
fn case(people: &str) -> Case {
    let case = Case::fresh(Options { users: 5, ..Options::default() });
    fs::write(case.path("people.csv"), people).unwrap();
    case
}

/// Runs a program with people.csv and these arguments. A report is report.csv.
fn call(case: &Case, program: &str, args: &str) -> Run {
    let mut command = case.program(program);
    command.current_dir(case.folder.path()).arg("people.csv").args(args.split_terminator(' '));
    Run::of(&mut command)
}

/// The first letters of the outcomes on standard output.
fn outcomes(run: &Run) -> String {
    run.stdout.lines().map(|line| line.chars().next().unwrap()).collect()
}

/// The same of the report's lines.
fn reported(case: &Case) -> String {
    let report = fs::read_to_string(case.path("report.csv")).unwrap_or_default();
    let mut lines = report.lines();
    assert!(report.is_empty() || lines.next() == Some("workspace,id,email,outcome,detail"));
    lines.map(|line| line.split(',').nth(3).unwrap().chars().next().unwrap_or('-')).collect()
}

/// The bodies of the requests that change people.
fn sent(case: &Case) -> Vec<String> {
    let requests = case.sandbox.requests().into_iter();
    let posts = requests.filter(|request| request.method == "POST" && request.path != "/as/token");
    posts.map(|request| String::from_utf8(request.body).unwrap()).collect()
}

/// The email addresses that the list of people has for a query.
fn listed(case: &Case, query: &str) -> Vec<String> {
    case.sandbox.clear_faults();
    let options = ConnectionOptions::default().dir(case.folder.path());
    let client = Client::open(&options, "test/1.0").unwrap();
    let rows = client.rows(&format!("/iam/v1/workspaces/31429/people?{query}"));
    rows.map(|row| row.unwrap()["email"].as_str().unwrap().to_owned()).collect()
}

/// What is said that is not about a row.
#[track_caller]
fn assert_says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in {}", run.stderr);
    }
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

/// Runs a batch of four with a fault. Expects these outcomes (invited, unknown, failed, not sent), this exit code, and so
/// many requests. Then a repetition invites the others, and each person once.
#[track_caller]
fn assert_goes_on(fault: &str, expected: &str, code: i32, requests: usize) {
    let case = case(NEW);
    case.sandbox.add_fault(fault.parse().unwrap());
    let run = call(&case, "invite_users", "--yes --report report.csv --timeout 3");
    assert_eq!(outcomes(&run), expected, "{fault}: {}", run.stderr);
    assert_eq!((run.code, sent(&case).len()), (Some(code), requests), "{fault}: {}", run.stderr);
    assert_eq!(reported(&case), expected, "{fault}");
    let left = 4 - expected.replace('n', "").len();
    assert_eq!(
        run.stderr.contains(&format!("{left} not sent")),
        left > 0,
        "{fault}: {}",
        run.stderr
    );

    case.sandbox.clear_faults();
    let again = call(&case, "invite_users", "--yes --report report.csv");
    let open = 4 - expected.matches('i').count();
    assert_eq!(
        (again.code, &*outcomes(&again)),
        (Some(0), &*"i".repeat(open)),
        "{fault}: {}{}",
        again.stdout,
        again.stderr
    );
    let third = call(&case, "invite_users", "--yes --report report.csv");
    assert_says(&third, 0, &["0 to invite, 4 invited before"]);
    assert_eq!(sent(&case).len(), requests + open, "{fault}: what is done is not sent");
    let is_listed = fault.contains("listed");
    assert_eq!(
        listed(&case, if is_listed { "" } else { "status=new" }).len(),
        if is_listed { 6 } else { 4 },
        "{fault}"
    );
}

#[test]
fn each_fault_in_the_middle_is_told_of_its_row_and_a_repetition_goes_on() {
    for_each_kind(Target::People, |kind| {
        let (expected, code, requests) = match kind.name() {
            // A lost response, or a failure of the server: the batch goes on.
            "500" | "502" | "503" | "504" | "reset-before" | "reset-after" | "cut"
            | "cut-close" | "garbled" | "html-200" | "empty" | "hang" | "hang-after" | "huge" => {
                ("iuii", 12, 4)
            }
            // A row that the server does not take.
            "400" | "403" | "404" | "409" | "410" | "413" | "svc-404" | "msg-403"
            | "invalid-grant" | "oauth-error" => ("ifii", 4, 4),
            // A quota's wait is obeyed, a token that is not accepted is refreshed, and the row sent again.
            "429" | "429-fault" | "500-quota" | "unauthorized" | "invalid-client" => ("iiii", 0, 5),
            // All rows would end so.
            "redirect" => ("in", 3, 2),
            "invalid-key" => ("in", 4, 2),
            "slow" | "slow-body" | "listed" => ("iiii", 0, 4),
            name => panic!("what is to become of {name}?"),
        };
        assert_goes_on(&format!("people:{kind}+1"), expected, code, requests);
    });
}

#[test]
fn what_lasts_ends_the_batch() {
    for (fault, expected, code, requests) in [
        ("people:unauthorized+1x2", "in", 4, 3),
        ("people:429=200+1", "in", 4, 2),
        ("people:429=1+1x3", "in", 4, 4),
        // As a user gets it who may not invite; a path that is wrong; a server that is down.
        ("people:403xall", "fff", 4, 3),
        ("people:404xall", "fff", 4, 3),
        ("people:500xall", "uuu", 12, 3),
        ("people:403+1xall", "ifff", 4, 4),
        // Not so what may well be about three rows.
        ("people:403x2", "ffii", 4, 4),
        ("people:400x3", "fffi", 4, 4),
    ] {
        assert_goes_on(fault, expected, code, requests);
    }
}

#[test]
fn tokens_that_die_and_a_network_that_goes_end_it() {
    for (token, code, words) in [
        ("token:invalid-grantxall", 4, "Create new tokens"),
        ("token:503xall", 5, "the response with the new tokens was lost"),
    ] {
        let case = case(NEW);
        for fault in ["people:unauthorized+1", token] {
            case.sandbox.add_fault(fault.parse().unwrap());
        }
        let run = call(&case, "invite_users", "--yes --report report.csv");
        assert_says(&run, code, &[words, "1 invited, 3 not sent\n"]);
        assert_eq!((&*outcomes(&run), &*reported(&case)), ("in", "in"), "{}", run.stderr);
    }
    // The server ends with the second invitation.
    let case = case(NEW);
    let count = Mutex::new(0);
    let _asked = workspace(&case, r#"{"data":[]}"#, move |asked| {
        let mut count = count.lock().unwrap();
        *count += usize::from(asked.method == "POST");
        (asked.method == "POST").then_some((if *count == 2 { 0 } else { 200 }, "{}"))
    });
    let run = call(&case, "invite_users", "--yes --report report.csv");
    assert_says(&run, 12, &["1 invited, 1 unknown, 2 not sent\n"]);
    assert_eq!((&*outcomes(&run), &*reported(&case)), ("iun", "iun"), "{}", run.stderr);
}

#[test]
fn what_is_known_of_a_lost_response_is_told_and_found_out() {
    // With a report: the invitation was sent, as the conflict says.
    let with = case(NEW);
    with.sandbox.add_fault("people:reset-after+1".parse().unwrap());
    let run = call(&with, "invite_users", "--yes --report report.csv");
    let doubt = "3 invited, 1 unknown\ninvite_users: it is unknown whether 1 took effect: the same command again finds out";
    assert_says(&run, 12, &[doubt]);
    assert!(!run.stderr.contains("Without --report"), "{}", run.stderr);
    let plan = call(&with, "invite_users", "--dry-run --report report.csv");
    assert_eq!(plan.stdout, "invite    n2@example.com  again: its outcome is unknown\n");
    assert_says(
        &plan,
        0,
        &["1 to invite, 3 invited before, as the report says", "Pending invitations"],
    );
    let again = call(&with, "invite_users", "--yes --report report.csv");
    assert!(
        again
            .stdout
            .starts_with("invited   n2@example.com  by an earlier run, since now: HTTP 409"),
        "{}",
        again.stdout
    );

    // Without one, a pending invitation is in no list, and nothing tells whose it is.
    let without = case(NEW);
    without.sandbox.add_fault("people:reset-after+1".parse().unwrap());
    assert_says(
        &call(&without, "invite_users", "--yes"),
        12,
        &["Without --report, it sends again what is done"],
    );
    let again = call(&without, "invite_users", "--yes");
    assert_eq!((again.code, &*outcomes(&again)), (Some(4), "ffff"), "{}", again.stderr);
    assert!(again.stdout.contains("n1@example.com has been invited"), "{}", again.stdout);

    // Where the list has them, nothing is sent a second time.
    let in_list = case(NEW);
    in_list.sandbox.add_fault("people:listedxall".parse().unwrap());
    assert_eq!(call(&in_list, "invite_users", "--yes").code, Some(0));
    let again = call(&in_list, "invite_users", "--yes");
    assert_says(&again, 0, &["0 to invite, 4 done already", "invite_users: 4 done already\n"]);
    assert_eq!((sent(&in_list).len(), again.stdout.matches("is a member already").count()), (4, 4));

    // Whether a suspended person is in the list or not, it shows who is.
    for is_listed in [false, true] {
        for report in ["", " --report report.csv"] {
            let case = case(MEMBERS);
            let first = if is_listed { "people:listed" } else { "people:slow=0" };
            case.sandbox.add_fault(first.parse().unwrap());
            case.sandbox.add_fault("people:reset-after".parse().unwrap());
            case.sandbox.add_fault("people:reset-before".parse().unwrap());
            let args = format!("--yes{report}");
            let run = call(&case, "suspend_users", &args);
            assert_eq!((run.code, &*outcomes(&run)), (Some(12), "suus"), "{}", run.stderr);
            let again = call(&case, "suspend_users", &args);
            let (lines, already) = if report.is_empty() { ("ssss", 3) } else { ("ss", 1) };
            assert_eq!((again.code, &*outcomes(&again)), (Some(0), lines), "{}", again.stderr);
            assert_eq!(
                again.stdout.matches("has no access already").count(),
                already,
                "{}",
                again.stdout
            );
            assert_eq!((sent(&case).len(), listed(&case, "status=suspended").len()), (5, 4));
            // What one program remembers is not taken for what the other has done.
            let back = call(&case, "suspend_users", &format!("{args} --unsuspend"));
            assert_eq!((back.code, &*outcomes(&back)), (Some(0), "uuuu"), "{}", back.stderr);
            assert_eq!((listed(&case, "").len(), listed(&case, "status=suspended").len()), (5, 0));
        }
    }
}

#[test]
fn nothing_is_sent_if_a_row_is_refused_unless_those_are_left_out() {
    let invite = "email\nn1@example.com\nAda <ada@example.com>\n\nx\nN1@example.com\nada.lovelace@example.com\na@b\na b@c.de\n";
    let refused = [
        "people.csv, line 3: \"Ada <ada@example.com>\" is not an email address\n",
        "people.csv, line 5: \"x\" is not",
        "people.csv, line 6: N1@example.com is on line 2 already\n",
        "people.csv, line 8: \"a@b\" is not",
        "people.csv, line 9: \"a b@c.de\" is not",
    ];
    let suspend = "email,id\nada.lovelace@example.com,\n,51001\nLUKASZ.zolc@example.com,\nnobody@example.com,\nada.lovelace@example.com,51002\n,01JKBMKPZ9\n,99\nx,\n";
    let not_suspended = [
        "people.csv, line 2: ada.lovelace@example.com is you\n",
        "line 4: 51001  lukasz.zolc@example.com  Łukasz Żółć is on line 3 already\n",
        "line 5: nobody@example.com is not in the list of people\n",
        "line 7: \"01JKBMKPZ9\" is no id: the number is needed",
        "line 8: 99 is not in the list of people\n",
        "line 9: x is not in the list of people\n",
    ];
    for (program, people, refused, outcome, bodies) in [
        ("invite_users", invite, &refused[..], "ii", &["{\"emails\":[\"n1@example.com\"]}"][..]),
        (
            "suspend_users",
            suspend,
            &not_suspended,
            "ss",
            &["{\"personIds\":[51001]}", "{\"personIds\":[51002]}"],
        ),
    ] {
        let case = case(people);
        let run = call(&case, program, "--yes --report report.csv");
        assert_says(&run, 1, refused);
        let end = format!(
            "{program}: people.csv: {} rows are refused, so nothing was sent. --skip-refused leaves out what is refused\n",
            refused.len()
        );
        assert!(run.stderr.ends_with(&end) && run.stdout.is_empty(), "{}", run.stderr);
        assert!(!case.path("report.csv").exists());
        assert_eq!(sent(&case), [""; 0]);
        assert_says(&call(&case, program, "--dry-run"), 1, refused);
        let run = call(&case, program, "--yes --skip-refused --report report.csv");
        assert_says(&run, 0, refused);
        assert_eq!((&*outcomes(&run), &*reported(&case)), (outcome, outcome), "{}", run.stderr);
        assert_eq!(sent(&case), bodies);
    }
    // A member without access is not one who needs an invitation.
    let case = case("email\nhanako.kubota@example.com\n");
    case.sandbox.add_fault("people:listed".parse().unwrap());
    assert_eq!(call(&case, "suspend_users", "--yes").code, Some(0));
    let cure = "is a member without access, which suspend_users --unsuspend gives back";
    assert_says(&call(&case, "invite_users", "--yes"), 1, &[cure, "1 row is refused"]);
}

#[test]
fn a_file_is_read_as_spreadsheets_and_powershell_write_it() {
    let text = "\u{feff}#TYPE Selected.System.String\r\n\"Name\";\"E-Mail\";\"Email\"\r\n\"Żółć; Ł\";\"\";\"n1@example.com\"\r\n;;\r\n";
    let case = case("");
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(case.path("people.csv"), utf16).unwrap();
    let run = call(&case, "invite_users", "--yes");
    assert_eq!(
        (run.code, &*run.stdout),
        (Some(0), "invited   n1@example.com  person 1051000\n"),
        "{}",
        run.stderr
    );
    for (text, words) in [
        (
            "Name,Mail\nA,n1@example.com\n",
            "people.csv: it has no column \"email\". Its first line names Name, Mail: rename one of these to \"email\"",
        ),
        ("", "people.csv: it is empty"),
    ] {
        fs::write(case.path("people.csv"), text).unwrap();
        assert_says(&call(&case, "invite_users", "--yes"), 1, &[words]);
    }
    fs::remove_file(case.path("people.csv")).unwrap();
    assert_says(&call(&case, "invite_users", "--yes"), 1, &["people.csv: "]);
    // The tokens are in no column.
    let creds = case.call("suspend_users", [case.creds().to_str().unwrap(), "--yes"]);
    assert_says(&creds, 1, &["it has no column \"id\" or \"email\""]);
}

/// A platform with nobody in it, at which the second invitation waits until the test says so.
fn held_at_the_second(case: &Case) -> (impl FnOnce() + use<>, Receiver<()>) {
    let (arrived, arrival) = channel();
    let (release, released) = channel::<()>();
    let count = Mutex::new(0);
    platform(case, move |asked| match (&*asked.method, &*asked.path) {
        ("POST", _) => {
            let mut count = count.lock().unwrap();
            *count += 1;
            if *count == 2 {
                arrived.send(()).unwrap();
                let _ = released.recv();
            }
            (200, r#"{"data":["7"],"count":1}"#.to_owned())
        }
        (_, path) if path.ends_with("/current") => (200, r#"{"id":31429,"name":"W"}"#.to_owned()),
        _ => (200, r#"{"data":[],"count":0}"#.to_owned()),
    });
    (move || drop(release), arrival)
}

fn start(case: &Case, args: &[&str]) -> Running {
    let mut command = case.program("invite_users");
    command.current_dir(case.folder.path()).args(["people.csv", "--yes", "--report", "report.csv"]);
    Running::of(command.args(args))
}

#[test]
fn a_kill_loses_no_more_than_the_row_under_way() {
    let case = case(NEW);
    let (_release, arrival) = held_at_the_second(&case);
    let running = start(&case, &[]);
    arrival.recv().unwrap();
    running.kill();
    let report = fs::read_to_string(case.path("report.csv")).unwrap();
    assert!(
        report.ends_with("31429,,n1@example.com,invited,person 7\r\n31429,,n2@example.com,"),
        "{report}"
    );
    // From here on, the sandbox, which knows nothing of it.
    fs::write(case.path("aac_url.txt"), case.sandbox.url()).unwrap();
    let plan = call(&case, "invite_users", "--dry-run --report report.csv");
    let expected = "invite    n2@example.com  again: its outcome is unknown\n\
                    invite    n3@example.com\ninvite    n4@example.com\n";
    assert_eq!((plan.code, &*plan.stdout), (Some(0), expected));
    assert_eq!(fs::read_to_string(case.path("report.csv")).unwrap(), report);
    let again = call(&case, "invite_users", "--yes --report report.csv");
    assert_eq!((again.code, &*outcomes(&again)), (Some(0), "iii"), "{}", again.stderr);
    assert_eq!(reported(&case), "i-iii");
    assert_eq!(listed(&case, "status=new").len(), 3);
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_after_the_row_under_way() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        if acceptance::is_ignored(signal) {
            continue;
        }
        let case = case(NEW);
        let (release, arrival) = held_at_the_second(&case);
        let running = start(&case, &[]);
        arrival.recv().unwrap();
        running.signal(signal);
        // It is pending by now, and handled before the program sees the response.
        release();
        let (run, status) = running.end_with_status();
        assert_eq!(status.signal(), Some(number), "{}", run.stderr);
        assert_eq!((&*outcomes(&run), &*reported(&case)), ("ii", "ii"));
        assert!(run.stderr.ends_with("invite_users: 2 invited, 2 not sent\n"), "{}", run.stderr);
    }
    if acceptance::is_ignored("INT") {
        return;
    }
    // Nor does the wait for a quota hold it up.
    let case = case(NEW);
    case.sandbox.add_fault("people:429=60+1".parse().unwrap());
    let before = Instant::now();
    let mut running = start(&case, &["-v"]);
    running.says("trying again in 60.0 s");
    running.signal("INT");
    let (run, status) = running.end_with_status();
    assert_eq!(
        (status.signal(), &*outcomes(&run), &*reported(&case)),
        (Some(2), "in", "in"),
        "{}",
        run.stderr
    );
    assert!(before.elapsed() < Duration::from_secs(30));
    assert!(run.stderr.ends_with("invite_users: 1 invited, 3 not sent\n"), "{}", run.stderr);
}

#[test]
fn a_report_is_not_taken_for_what_it_is_not() {
    let case = case(NEW);
    let other = "workspace,id,email,outcome,detail\r\n9,,n1@example.com,invited,\r\n31429,,n2@example.com,suspended,\r\n\
                 31429,,n3@example.com,invited,\r\n31429,,n3@example.com,failed,x\r\n31429,,N4@example.com,invited,\r\n";
    fs::write(case.path("report.csv"), other).unwrap();
    // Of another workspace, another program, and overtaken by a later line.
    let plan = call(&case, "invite_users", "--dry-run --report report.csv");
    assert_eq!(plan.stdout.lines().count(), 3, "{}", plan.stdout);

    for (name, text, words) in [
        ("people.csv", NEW, "it is no report of this program"),
        (
            "report.csv",
            "workspace;id;email;outcome;detail\r\n",
            "or was saved by another one since",
        ),
        ("creds.json", "", "is part of your credentials and is not overwritten"),
    ] {
        if !text.is_empty() {
            fs::write(case.path(name), text).unwrap();
        }
        let before = fs::read(case.path(name)).unwrap();
        let run = call(&case, "invite_users", &format!("--yes --report {name}"));
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(fs::read(case.path(name)).unwrap(), before);
    }
    // What a spreadsheet would run is read again as it was.
    fs::write(case.path("people.csv"), "email\n-n1@example.com\n").unwrap();
    fs::remove_file(case.path("report.csv")).unwrap();
    for words in ["1 to invite", "0 to invite, 1 invited before"] {
        assert_says(&call(&case, "invite_users", "--yes --report report.csv"), 0, &[words]);
    }
    let report = fs::read_to_string(case.path("report.csv")).unwrap();
    assert!(report.contains(",'-n1@example.com,invited,"), "{report}");

    fs::write(case.path("people.csv"), NEW).unwrap();
    fs::write(case.path("report.csv"), "").unwrap();
    let file = File::open(case.path("report.csv")).unwrap();
    file.lock().unwrap();
    let run = call(&case, "invite_users", "--yes --report report.csv");
    assert_says(&run, 1, &["report.csv: another run is writing it"]);
    // Not by dropping it: a program that another test has just forked still has it open.
    file.unlock().unwrap();
    assert_eq!(sent(&case).len(), 1);
    assert_eq!(call(&case, "invite_users", "--yes --report report.csv").code, Some(0));
    assert_eq!(reported(&case), "iiii");
}

#[test]
fn an_outcome_that_cannot_be_told_ends_the_batch() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    let case = case(NEW);
    let mut command = case.program("invite_users");
    command.current_dir(case.folder.path()).args(["people.csv", "--yes", "--report", "report.csv"]);
    let run = Run::of(command.stdout(full));
    assert_says(&run, 1, &["standard output: ", "1 invited, 3 not sent"]);
    assert_eq!(reported(&case), "i");
    let run = call(&case, "invite_users", "--yes --report /dev/full");
    assert_says(&run, 1, &["/dev/full: it is not a file that can be read again"]);
    assert_eq!(sent(&case).len(), 1);
}

#[test]
#[cfg(unix)]
fn a_report_that_cannot_be_written_ends_the_batch() {
    if !acceptance::have("bash") {
        return;
    }
    let many: String = (1..=40).map(|n| format!("n{n}@example.com\n")).collect();
    let case = case(&format!("email\n{many}"));
    let mut limited = acceptance::clean("bash");
    limited.current_dir(case.folder.path()).env("AAC_DIR", case.folder.path());
    // Files of 1 KiB.
    let script = "ulimit -f 1; \"$0\" people.csv --yes --report report.csv";
    let run = Run::of(limited.args(["-c", script]).arg(acceptance::program("invite_users")));
    assert_says(&run, 1, &["report.csv: ", " not sent\n"]);
    let first = sent(&case).len();
    assert!((10..30).contains(&first), "{first}");
    let again = call(&case, "invite_users", "--yes --report report.csv");
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert_eq!(listed(&case, "status=new").len(), 40);
    // The last row of the first run may have been sent without a note of its outcome.
    assert!((40..=41).contains(&(sent(&case).len())));
}

#[test]
fn it_asks_first() {
    let case = case(NEW);
    let run = call(&case, "invite_users", "");
    assert_says(&run, 2, &["nobody can be asked here: --yes sends without asking"]);
    assert_eq!(sent(&case), [""; 0]);
    assert_says(&call(&case, "invite_users", "--yes --dry-run"), 2, &["cannot be used with"]);
    assert_eq!(case.call("invite_users", NONE).code, Some(2));
}

#[test]
#[cfg(target_os = "linux")]
fn a_person_is_shown_what_will_be_done() {
    let many: String = (1..=12).map(|n| format!("n{n}@example.com\n")).collect();
    for (answer, is_yes) in [("n\n", false), ("\n", false), ("Y\n", true), ("yes\n", true)] {
        let case = case(&format!("email\n{many}"));
        let mut terminal = acceptance::Terminal::open(200);
        let mut command = case.program("invite_users");
        command.current_dir(case.folder.path()).arg("people.csv");
        let mut child = terminal.start(&mut command);
        drop(command);
        terminal.type_in(answer);
        let shown = terminal.read_to_end();
        let code = child.wait().unwrap().code();
        for words in [
            "(31429): 12 to invite",
            "  invite    n10@example.com\r\n",
            "  and 2 more, which --dry-run shows\r\nContinue? (y/n) [n]: ",
        ] {
            assert!(shown.contains(words), "{words:?} is not in {shown}");
        }
        assert!(!shown.contains("invite    n11@"), "{shown}");
        assert_eq!(
            (code, sent(&case).len()),
            if is_yes { (Some(0), 12) } else { (Some(1), 0) },
            "{shown}"
        );
        assert_eq!(shown.contains("nothing was sent"), !is_yes, "{shown}");
    }
}

/// A platform with these people and admins; what else it answers, the test says.
fn workspace(
    case: &Case,
    people: &'static str,
    other: impl Fn(&Asked) -> Option<(u16, &'static str)> + Send + 'static,
) -> Receiver<String> {
    platform(case, move |asked| {
        if let Some((status, body)) = other(asked) {
            return (status, body.to_owned());
        }
        let is_later =
            asked.query.split('&').any(|part| part.starts_with("offset=") && part != "offset=0");
        match (&*asked.method, &*asked.path) {
            ("GET", path) if path.ends_with("/workspaces/current") => {
                (200, r#"{"id":31429}"#.to_owned())
            }
            ("GET", "/v4/people/current") => (200, r#"{"id":1,"email":"me@e.de"}"#.to_owned()),
            ("GET", path) if path.ends_with("/admins") => (200, r#"{"data":[]}"#.to_owned()),
            ("GET", _) if is_later => (200, r#"{"data":[]}"#.to_owned()),
            ("GET", _) => (200, people.to_owned()),
            _ => (200, String::new()),
        }
    })
}

#[test]
fn a_platform_that_differs_from_what_is_believed_is_told() {
    // What it answers to an invitation; the outcomes, and what is said of them.
    for (status, response, expected, words) in [
        (200, r#"{"data":["7"],"count":1}"#, "iiii", "n1@example.com  person 7\n"),
        (201, r#"{"data":[{"id":7}]}"#, "iiii", "n1@example.com\n"),
        (200, "[7]", "iiii", "n1@example.com\n"),
        (200, "{}", "iiii", "n1@example.com\n"),
        (
            200,
            r#"{"data":[],"count":0}"#,
            "uuu",
            "the response is not as expected: it names nobody who was invited",
        ),
        (200, "", "uuu", "the response is empty, not JSON"),
        (200, "<html>", "uuu", "the response is not JSON"),
        (
            404,
            r#"{"exception":{"name":"RouteNotFoundException","message":"This route does not exist","details":"Cannot POST /x"}}"#,
            "fff",
            "HTTP 404 Not Found: This route does not exist",
        ),
        (405, "", "fff", "HTTP 405"),
        (415, "", "ffff", "HTTP 415"),
    ] {
        let case = case(NEW);
        let _asked = workspace(&case, r#"{"data":[],"count":0}"#, move |asked| {
            (asked.method == "POST").then_some((status, response))
        });
        let run = call(&case, "invite_users", "--yes");
        assert_eq!(outcomes(&run), expected, "{response}: {}", run.stderr);
        assert!(run.stdout.contains(words), "{response}: {}", run.stdout);
        let is_cut = expected.len() == 3;
        assert_eq!(run.stderr.contains("three in a row"), is_cut, "{}", run.stderr);
    }
    // To a suspension it answers with whatever; but not with a sign-in page.
    for (status, response, code) in
        [(200, "", 0), (204, "", 0), (200, "{}", 0), (200, "null", 0), (200, "<html>", 12)]
    {
        let case = case("id\n2\n");
        let _asked = workspace(&case, r#"{"data":[{"id":"2","email":"a@e.de"}]}"#, move |asked| {
            (asked.method == "POST").then_some((status, response))
        });
        let run = call(&case, "suspend_users", "--yes");
        assert_eq!(run.code, Some(code), "{response:?}: {}{}", run.stdout, run.stderr);
    }
    // The list: no order, no right to it; no status, which is ignored or refused; a person without a number.
    let people =
        r#"{"data":[{"id":2,"email":"a@e.de"},{"id":3,"email":"b@e.de","state":"hidden"}]}"#;
    for (refused, answer, code, words) in [
        ("sort=", 400, 1, "line 4: c@e.de is not in the list of people"),
        ("sort=", 422, 1, "line 4: c@e.de is not in the list of people"),
        ("sort=", 403, 4, "HTTP 403 Forbidden"),
        ("status=", 400, 1, "line 4: c@e.de is not in the list of people"),
        ("status=", 200, 0, "1 to suspend, 2 done already"),
        ("-", 0, 1, "line 4: c@e.de is not in the list of people"),
    ] {
        let case = case("email\na@e.de\nb@e.de\nc@e.de\n");
        let _asked = workspace(&case, people, move |asked| {
            let is_it = asked.path.ends_with("/people") && asked.query.contains(refused);
            is_it.then_some((answer, r#"{"data":[{"id":4,"email":"C@e.de"}],"count":1}"#))
        });
        assert_says(&call(&case, "suspend_users", "--yes"), code, &[words]);
    }
    let case = case("id\n2\n");
    let _asked = workspace(&case, r#"{"data":[{"email":"a@e.de"}]}"#, |_| None);
    let words = "the response is not as expected: a person has no number";
    assert_says(&call(&case, "suspend_users", "--yes"), 1, &[words]);
}

#[test]
fn nobody_suspends_themselves_or_the_last_admin() {
    let people = r#"{"data":[{"id":1,"email":"Me@e.de"},{"id":2,"email":"a@e.de","isAdmin":true},{"id":3,"email":"b@e.de","isAdmin":true}],"count":3}"#;
    let all = "email\na@e.de\nb@e.de\n";
    let left = "no admin would be left";
    let is = |asked: &Asked, end: &str| asked.path.ends_with(end);
    type Differs = Box<dyn Fn(&Asked) -> Option<(u16, &'static str)> + Send>;
    let cases: [(&str, &str, Differs, i32, &[&str]); 7] = [
        // The platform names the admins.
        (
            all,
            "",
            Box::new(move |asked| {
                is(asked, "/admins").then_some((200, r#"{"data":[{"id":2},{"id":3}]}"#))
            }),
            1,
            &["line 2: a@e.de: no admin would be left", "line 3: b@e.de: no admin"],
        ),
        (
            all,
            "",
            Box::new(move |asked| {
                is(asked, "/admins").then_some((200, r#"{"data":[{"id":1},{"id":2},{"id":3}]}"#))
            }),
            0,
            &["2 suspended"],
        ),
        (
            "email\na@e.de\n",
            "",
            Box::new(move |asked| {
                is(asked, "/admins")
                    .then_some((200, r#"{"data":[{"id":2},{"id":3,"isDisabled":true}]}"#))
            }),
            1,
            &[left],
        ),
        // It does not: those whom the list calls so.
        (
            all,
            "",
            Box::new(move |asked| is(asked, "/admins").then_some((404, ""))),
            1,
            &["admins are those whom the list of people calls so", left],
        ),
        (
            "email\na@e.de\n",
            "",
            Box::new(move |asked| is(asked, "/admins").then_some((404, ""))),
            0,
            &["1 suspended"],
        ),
        // Oneself: by id, or else by the access token.
        ("id\n1\n", "", Box::new(|_| None), 1, &["Me@e.de is you"]),
        (
            all,
            " --unsuspend",
            Box::new(move |asked| is(asked, "/admins").then_some((404, ""))),
            0,
            &["2 unsuspended"],
        ),
    ];
    for (file, flags, differs, code, words) in cases {
        let case = case(file);
        let _asked = workspace(&case, people, differs);
        assert_says(&call(&case, "suspend_users", &format!("--yes{flags}")), code, words);
    }
    let case = case("email\nada.lovelace@example.com\n");
    let _asked = workspace(
        &case,
        r#"{"data":[{"id":5,"email":"Ada.Lovelace@example.com"}]}"#,
        move |asked| is(asked, "/v4/people/current").then_some((404, "")),
    );
    assert_says(&call(&case, "suspend_users", "--yes"), 1, &["Ada.Lovelace@example.com is you"]);
}

#[test]
fn access_is_given_back_to_whom_no_list_shows() {
    let case = case("email,id\n,2\nb@e.de,\n");
    let _asked = workspace(&case, r#"{"data":[],"count":0}"#, |_| None);
    let run = call(&case, "suspend_users", "--yes --unsuspend");
    assert_says(&run, 1, &["line 3: b@e.de is not in the list of people", "1 row is refused"]);
    let run = call(&case, "suspend_users", "--yes --unsuspend --skip-refused");
    assert_eq!(
        (run.code, &*run.stdout),
        (Some(0), "unsuspended  2  (in no list of people)\n"),
        "{}",
        run.stderr
    );
}

#[test]
#[ignore = "takes a minute: cargo test -p acceptance --test programs -- --ignored batch"]
fn five_thousand_rows() {
    let case = Case::fresh(Options::default());
    let people: String = (0..5000).map(|n| format!("n{n}@example.com\n")).collect();
    fs::write(case.path("people.csv"), format!("email\n{people}")).unwrap();
    let begin = Instant::now();
    let run = call(&case, "invite_users", "--yes --report report.csv");
    assert_says(&run, 0, &["5000 invited\n"]);
    eprintln!("5000 rows: {:?}", begin.elapsed());
    let begin = Instant::now();
    let again = call(&case, "invite_users", "--yes --report report.csv");
    assert_says(&again, 0, &["0 to invite, 5000 invited before"]);
    eprintln!("none of them again: {:?}", begin.elapsed());
    assert_eq!(sent(&case).len(), 5000);
}
