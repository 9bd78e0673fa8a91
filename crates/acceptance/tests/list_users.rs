//! list_users: every format and flag, lists that change while they are read, and trouble in the
//! middle of one.

use aac_sandbox::{Fault, FaultKind, Options, Paging};
use acceptance::{Case, Run};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// The first of the sandbox's people, as it sends them.
const ADA: &str = r#"{"lastLoginTime":"2025-05-17T04:40:40.000Z","id":51000,"agreementAcceptedAt":"2025-01-01T00:00:00.000Z","email":"ada.lovelace@example.com","name":"Ada Lovelace","ssoPrincipal":null,"hadoopPrincipal":null,"cpPrincipal":null,"isAdmin":true,"isDisabled":false,"forcePasswordChange":false,"deleted_at":null,"state":"active","lastStateChange":null,"gid":"01JKBMKPZ90000000000000000","exportStatusUpdatedAt":null,"lastDeletedTenantAt":null,"createdAt":"2025-01-01T00:00:00.000Z","updatedAt":"2025-02-02T01:07:13.000Z","peopleworkspaces":[{"id":951000,"personId":51000,"workspaceId":31429,"isDisabled":false,"tags":[["team","finance"],[]]}],"validateExportCompliance":true,"outputHomeDir":"/51000/queryResults","uploadDir":null}"#;

const TABLE: &str = "\
NAME          EMAIL                      STATE   LAST LOGIN                ID
Ada Lovelace  ada.lovelace@example.com   active  2025-05-17T04:40:40.000Z  51000
Łukasz Żółć   lukasz.zolc@example.com    active  2025-06-18T05:47:53.000Z  51001
久保田 花子   hanako.kubota@example.com  active  2025-07-19T06:54:06.000Z  51002
Grace Hopper  grace.hopper@example.com   active                            51003
";

fn users(count: usize) -> Case {
    Case::fresh(Options { users: count, ..Options::default() })
}

fn list(case: &Case, args: &[&str]) -> Run {
    case.call("list_users", args)
}

/// Everything that a list printed, without a word on standard error.
#[track_caller]
fn whole(case: &Case, args: &[&str]) -> String {
    let run = list(case, args);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    run.stdout
}

fn ids(lines: &str) -> Vec<u64> {
    let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap();
    lines.lines().map(id).collect()
}

#[test]
fn every_flag_does_what_it_says() {
    let case = users(4);
    assert_eq!(whole(&case, &[]), TABLE);
    assert_eq!(whole(&case, &["--format", "table", "--page-size", "3"]), TABLE);
    assert_eq!(whole(&case, &["--workspace", "31429"]), TABLE);
    let first = "NAME          ID\nAda Lovelace  51000\n";
    assert_eq!(whole(&case, &["--limit", "1", "--columns", "name,id"]), first);
    let first = "EMAIL                     IS ADMIN\nada.lovelace@example.com  true\n";
    assert_eq!(whole(&case, &["--limit", "1", "--columns", "email,isAdmin"]), first);
    assert_eq!(whole(&case, &["--filter", "hopper", "--columns", "id"]), "ID\n51003\n");

    assert_eq!(whole(&case, &["--format", "json", "--limit", "1"]), format!("[\n{ADA}\n]\n"));
    assert_eq!(whole(&case, &["--format", "jsonl", "--limit", "1"]), format!("{ADA}\n"));
    assert_eq!(
        whole(&case, &["--format", "csv", "--limit", "2", "--columns", "id,name,lastLoginTime"]),
        "id,name,lastLoginTime\r\n51000,Ada Lovelace,2025-05-17T04:40:40.000Z\r\n\
         51001,Łukasz Żółć,2025-06-18T05:47:53.000Z\r\n"
    );
    let nested = whole(
        &case,
        &["--format", "csv", "--limit", "1", "--columns", "id,peopleworkspaces,uploadDir"],
    );
    assert_eq!(
        nested,
        "id,peopleworkspaces,uploadDir\r\n51000,\"[{\"\"id\"\":951000,\"\"personId\"\":51000,\"\"workspaceId\"\":31429,\
         \"\"isDisabled\"\":false,\"\"tags\"\":[[\"\"team\"\",\"\"finance\"\"],[]]}]\",\r\n"
    );
    // Without --columns a file has every field, in the server's order.
    let csv = whole(&case, &["--format", "csv", "--limit", "1"]);
    let fields: Vec<_> =
        serde_json::from_str::<serde_json::Map<_, _>>(ADA).unwrap().keys().cloned().collect();
    assert_eq!(csv.lines().next().unwrap(), fields.join(","));

    let run = list(&case, &["--format", "jsonl", "--columns", "id,authorizationRoles"]);
    let user: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(user["authorizationRoles"][0]["name"], "Workspace Admin");
}

#[test]
fn csv_has_the_same_header_whatever_comes() {
    let header = "lastLoginTime,id,agreementAcceptedAt,email,name,ssoPrincipal,hadoopPrincipal,cpPrincipal,\
        isAdmin,isDisabled,forcePasswordChange,deleted_at,state,lastStateChange,gid,exportStatusUpdatedAt,\
        lastDeletedTenantAt,createdAt,updatedAt,peopleworkspaces,validateExportCompliance,outputHomeDir,uploadDir";
    for count in [0, 1, 250] {
        let csv = whole(&users(count), &["--format", "csv"]);
        assert_eq!(csv.lines().next().unwrap(), header, "{count}");
    }
    let case = users(1);
    // A byte order mark is where it is asked for, and before everything else.
    let args = ["--format", "csv", "--columns", " id, name ,id,", "--bom"];
    assert_eq!(whole(&case, &args), "\u{feff}id,name\r\n51000,Ada Lovelace\r\n");
    // A line for each user, though there is nothing in it.
    let args = ["--format", "csv", "--columns", "uploadDir"];
    assert_eq!(whole(&case, &args), "uploadDir\r\n\"\"\r\n");
}

#[test]
fn columns_are_chosen_in_every_format() {
    let case = users(2);
    let columns = ["--columns", "name,uploadDir,isAdmin,peopleworkspaces", "--limit", "1"];
    let all = |format| whole(&case, &[&["--format", format][..], &columns].concat());
    let nested = r#"[{"id":951000,"personId":51000,"workspaceId":31429,"isDisabled":false,"tags":[["team","finance"],[]]}]"#;
    let user = format!(
        r#"{{"name":"Ada Lovelace","uploadDir":null,"isAdmin":true,"peopleworkspaces":{nested}}}"#
    );
    assert_eq!(all("jsonl"), format!("{user}\n"));
    assert_eq!(all("json"), format!("[\n{user}\n]\n"));
    // What privileges are in is asked for with their name.
    let table = whole(&case, &["--columns", "id,authorizationRoles", "--limit", "1"]);
    assert!(table.contains("51000  [{\"policyId\":101,\"name\":\"Workspace Admin\""), "{table}");
}

#[test]
fn a_file_has_all_users_or_is_as_it_was() {
    let case = users(250);
    let file = case.path("users.csv");
    let path = file.to_str().unwrap();
    for format in ["csv", "json", "jsonl", "table"] {
        let printed = whole(&case, &["--format", format]);
        assert_eq!(whole(&case, &["--format", format, "-o", path]), "");
        assert_eq!(fs::read_to_string(&file).unwrap(), printed);
        assert_eq!(whole(&case, &["--format", format, "-o", "-"]), printed);
        case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(2).always());
        assert_eq!(list(&case, &["--format", format, "-o", path]).code, Some(5));
        assert_eq!(fs::read_to_string(&file).unwrap(), printed);
        case.sandbox.clear_faults();
    }
    let calls = case.sandbox.counters().api_calls;
    let run = list(&case, &["-o", case.path("no/such/folder").to_str().unwrap()]);
    assert_eq!(
        (run.code, case.sandbox.counters().api_calls),
        (Some(1), calls),
        "nothing is asked for"
    );
}

#[test]
fn what_is_asked_for_is_what_the_flags_say() {
    let case = users(4);
    let args = ["--filter", "a b&c=d", "--columns", "authorizationRoles", "--page-size", "7"];
    whole(&case, &[&args[..], &["--format", "json"]].concat());
    let requests = case.sandbox.requests();
    let targets: Vec<_> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/iam/v1/workspaces/current",
            "/iam/v1/workspaces/31429/people?filter=a%20b%26c%3Dd&includePrivileges=true&sort=id&limit=7&offset=0&includeCount=true",
        ]
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let case = users(4);
    for (args, words) in [
        (&["--format", "xml"][..], "jsonl"),
        (&["--limit", "0"], "--limit"),
        (&["--page-size", "0"], "--page-size"),
        (&["--workspace", "01JKBMKPZ94N0GG5F8N9HY2FJA"], "not the gid"),
        (&["--format", "json", "--bom"], "--format csv"),
        (&["--bom"], "--format csv"),
        (&["--json"], "list_users: --json is --format json now\n"),
        (&["--format", "csv", "--no-headers"], "--no-headers is gone: tail -n +2 leaves out"),
        (&["--offset", "5"], "--offset is gone: raw_call takes it with --query offset=N"),
        (&["--offset=5"], "--offset is gone: "),
        (&["--include-privileges"], "--columns maximalPrivileges,maximalCapabilities,author"),
        (&["--columns", ""], "--columns names no column"),
        (&["--format", "json", "--columns", " ,"], "--columns names no column"),
        (
            &["--columns", "id,nmae"],
            "no user on the first page has \"nmae\"; there are lastLoginTime,id,",
        ),
        (&["--format", "csv", "--columns", "nmae"], "has \"nmae\""),
    ] {
        let run = list(&case, args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    let run = list(&case, &["--workspace", "1"]);
    assert_eq!(run.code, Some(4));
    assert!(run.stderr.contains("HTTP 403 Forbidden"), "{}", run.stderr);
}

#[test]
fn however_many_users_there_are_each_is_printed_once_in_every_format() {
    for count in [0, 1, 100, 101, 1234] {
        let case = users(count);
        let expected: Vec<u64> = (51_000..).take(count).collect();
        assert_eq!(ids(&whole(&case, &["--format", "jsonl"])), expected);
        let array: Vec<Value> = serde_json::from_str(&whole(&case, &["--format", "json"])).unwrap();
        assert_eq!(
            array.iter().map(|user| user["id"].as_u64().unwrap()).collect::<Vec<_>>(),
            expected
        );
        let table = whole(&case, &["--columns", "id"]);
        let rows = table.lines().skip(1);
        assert_eq!(rows.map(|id| id.parse().unwrap()).collect::<Vec<u64>>(), expected);
        let csv = whole(&case, &["--format", "csv", "--columns", "id"]);
        assert_eq!(csv.split_terminator("\r\n").count(), count + 1);

        let calls = case.sandbox.counters().api_calls;
        whole(&case, &["--format", "jsonl", "--workspace", "31429"]);
        let pages = case.sandbox.counters().api_calls - calls;
        assert_eq!(pages as usize, count.div_ceil(100).max(1), "no call too many for {count}");
        assert_eq!(case.sandbox.counters().connections as usize, 5, "one for each program");
    }
    let case = users(0);
    assert_eq!(whole(&case, &["--format", "json"]), "[]\n");
    assert!(
        whole(&case, &["--format", "csv"]).starts_with("lastLoginTime,id,agreementAcceptedAt,")
    );
    assert_eq!(whole(&case, &[]), "NAME  EMAIL  STATE  LAST LOGIN  ID\n");
}

#[test]
fn other_parsers_read_back_what_was_printed() {
    let case = users(34);
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, args: &[&str]| {
        let path = folder.path().join(name);
        let status =
            case.program("list_users").args(args).stdout(File::create(&path).unwrap()).status();
        assert!(status.unwrap().success());
        path
    };
    let csv = save("csv", &["--format", "csv"]);
    let json = save("json", &["--format", "json"]);
    let jsonl = save("jsonl", &["--format", "jsonl"]);
    // A formula has a ' before it in the one, and is as it was in the others.
    let script = r#"
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8")))
users = json.load(open(sys.argv[2], encoding="utf-8"))
assert users == [json.loads(line) for line in open(sys.argv[3], encoding="utf-8", newline="\n")]
assert len(users) == len(rows) == 34
guarded = 0
for user, row in zip(users, rows):
    assert list(user) == list(row)
    for name, value in user.items():
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        if text[:1] in tuple("=+-@\t\r"):
            guarded += 1
            text = "'" + text
        assert row[name] == text, (name, row[name], text)
print(guarded)
"#;
    if !acceptance::have("python3") {
        return;
    }
    let mut python = acceptance::clean("python3");
    let run = Run::of(python.args(["-c", script]).args([csv, json, jsonl]));
    assert_eq!(run.stdout, "6\n", "{}", run.stderr);
}

#[test]
fn trouble_in_the_middle_of_a_list_is_told_with_how_far_it_came() {
    use FaultKind as K;
    for (kind, code, words) in [
        (K::ServerError, 5, "HTTP 500 Internal Server Error"),
        (K::TooManyRequests(1), 4, "HTTP 429 Too Many Requests"),
        (K::Forbidden, 4, "HTTP 403 Forbidden"),
        (K::ResetBefore, 1, "the connection broke"),
        (K::ResetAfter, 1, "the connection broke"),
        (K::Cut, 1, "the connection broke"),
        (K::CutClose, 1, "the response is truncated"),
        (K::Garbled, 1, "the response is not JSON"),
        (K::HtmlPage, 1, "the response is not JSON"),
        (K::Empty, 1, "the response is empty"),
    ] {
        let case = users(250);
        for format in ["jsonl", "json", "csv", "table"] {
            case.sandbox.clear_faults();
            case.sandbox.add_fault(Fault::api(kind.clone()).after(1).always());
            let run = list(&case, &["--format", format, "--workspace", "31429", "--retry", "0"]);
            assert_eq!(run.code, Some(code), "{}", run.stderr);
            let said = run.stderr.lines().next().unwrap();
            assert!(said.contains(words), "{said}");
            assert!(said.ends_with("; stopped after 100 of 250 users"), "{said}");
            match format {
                "jsonl" => assert_eq!(ids(&run.stdout), (51_000..51_100).collect::<Vec<_>>()),
                "json" => {
                    assert!(serde_json::from_str::<Value>(&run.stdout).is_err(), "it is cut short");
                    let closed = format!("{}]", run.stdout);
                    assert_eq!(serde_json::from_str::<Vec<Value>>(&closed).unwrap().len(), 100);
                }
                // With its header, and two lines for the names that have a line end in them.
                "csv" => assert!(run.stdout.matches("@example.com,").count() == 100),
                // A table is as wide as all of its rows want it to be.
                _ => assert_eq!(run.stdout, ""),
            }
        }
    }
}

#[test]
fn trouble_that_passes_leaves_no_gap() {
    use FaultKind as K;
    thread::scope(|scope| {
        for kind in
            [K::TooManyRequests(1), K::QuotaAs500, K::BadGateway, K::ResetAfter, K::Unauthorized]
        {
            scope.spawn(move || {
                let fault = Fault::api(kind.clone()).after(1);
                let case =
                    Case::fresh(Options { users: 250, faults: vec![fault], ..Options::default() });
                let lines = whole(&case, &["--format", "jsonl", "--workspace", "31429"]);
                assert_eq!(ids(&lines), (51_000..51_250).collect::<Vec<_>>(), "{kind:?}");
            });
        }
    });
}

#[test]
fn lists_that_move_while_they_are_read() {
    let run = |paging, max_page| {
        let case = Case::fresh(Options { users: 250, paging, max_page, ..Options::default() });
        list(&case, &["--format", "jsonl"])
    };
    let all: Vec<u64> = (51_000..51_250).collect();
    // Rows that come twice are printed once; pages may be shorter than asked for, or have no count.
    for (paging, max_page) in [
        (Paging::Overlapping, 1000),
        (Paging::NoCount, 1000),
        (Paging::Exact, 30),
        (Paging::NoCount, 50),
        (Paging::Overlapping, 7),
    ] {
        let run = run(paging, max_page);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{paging:?}");
        assert_eq!(ids(&run.stdout), all, "{paging:?}");
    }
    // One more user with each page, one less: what is there at the end is printed, once.
    let changed =
        "list_users: warning: the list changed while it was read; some users may be missing\n";
    let grown = run(Paging::Growing, 1000);
    assert_eq!((grown.code, ids(&grown.stdout)), (Some(0), (51_000..51_252).collect()));
    assert_eq!(grown.stderr, changed);
    let shrunk = run(Paging::Shrinking, 1000);
    assert_eq!((shrunk.code, ids(&shrunk.stdout)), (Some(0), (51_000..51_248).collect()));
    assert_eq!(shrunk.stderr, changed);
    // Fewer than counted; the same page for ever, and once: nobody knows which rows are missing.
    let ignored = "the server ignores the offset; it announces 250 users (\"count\"), and has sent";
    for (paging, max_page, rows, total, words) in [
        (Paging::CountTooHigh, 1000, 250, 255, "announces 255 users (\"count\"), and has sent 250"),
        (Paging::IgnoresOffset, 1000, 100, 250, ignored),
        (Paging::IgnoresOffset, 50, 50, 250, ignored),
        (Paging::Repeating, 1000, 100, 250, ignored),
    ] {
        let run = run(paging, max_page);
        assert_eq!((run.code, ids(&run.stdout).len()), (Some(1), rows));
        assert!(run.stderr.contains(words), "{}", run.stderr);
        let stopped = format!("; stopped after {rows} of {total} users\n");
        assert!(run.stderr.contains(&stopped), "{}", run.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_had_enough_is_no_error_and_a_full_disk_is_one() {
    let case = users(1234);
    for format in ["table", "json", "jsonl", "csv"] {
        let mut shell = acceptance::clean("sh");
        shell
            .args(["-c", "{ \"$0\" --format $1; echo $? >&2; } | head -1 | wc -l"])
            .arg(acceptance::program("list_users"))
            .arg(format)
            .env("AAC_DIR", case.folder.path());
        let run = Run::of(&mut shell);
        assert_eq!((run.stdout.trim(), run.stderr.as_str()), ("1", "0\n"), "{format}");
    }
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    for format in ["table", "json", "jsonl", "csv"] {
        let mut command = case.program("list_users");
        let run = Run::of(command.args(["--format", format]).stdout(full.try_clone().unwrap()));
        assert_eq!(run.code, Some(1), "{format}");
        assert!(run.stderr.starts_with("list_users: standard output: "), "{}", run.stderr);
    }
}

#[test]
fn the_next_page_is_asked_for_while_this_one_is_printed() {
    let case = users(1234);
    let mut child = case
        .program("list_users")
        .args(["--format", "jsonl", "--page-size", "500"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads, so the first page stays in the pipe, and the program in the middle of it.
    let start = Instant::now();
    while case.sandbox.counters().api_calls < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "the second page is not asked for");
        thread::yield_now();
    }
    // No page after that one.
    let mut first = [0; 64 * 1024];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(case.sandbox.counters().api_calls, 3);
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = String::from_utf8(first.to_vec()).unwrap() + &rest;
    assert_eq!(ids(&lines).into_iter().collect::<HashSet<_>>().len(), 1234);
}

#[test]
fn the_page_that_is_asked_for_ahead_refreshes_nothing() {
    let fault = Fault::api(FaultKind::Unauthorized).after(1);
    let case = Case::fresh(Options { users: 1234, faults: vec![fault], ..Options::default() });
    let mut child = case
        .program("list_users")
        .args(["--format", "jsonl", "--page-size", "500", "--workspace", "31429"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The second page needs another token. Nobody may want that page, and the program may end.
    let start = Instant::now();
    while case.sandbox.counters().api_calls < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "the second page is not asked for");
        thread::yield_now();
    }
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_quick_refresh_is_not_told() {
    let case = Case::expired(Options::default());
    let shown = acceptance::on_terminal(case.program("list_users").args(["--limit", "1"]), 80);
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(!shown.contains("list_users: "), "{shown:?}");
}

#[test]
fn a_slow_refresh_is_told_with_what_ctrl_c_does() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let mut program = case.program("list_users");
    program.args(["-v", "--limit", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let words = "list_users: waiting for the authorization server, for up to two minutes; \
                 Ctrl-C waits until the new tokens are saved";
    assert!(lines.any(|line| line == words), "it ends without a word");
    hold.release();
    lines.for_each(drop);
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
#[cfg(target_os = "linux")]
fn names_from_strangers_do_nothing_to_a_terminal() {
    let case = users(34);
    for format in ["table", "json", "jsonl", "csv"] {
        let shown =
            acceptance::on_terminal(case.program("list_users").args(["--format", format]), 80);
        // The bar that counted is gone before the table begins.
        let shown = shown.rsplit("\r\u{1b}[2K").find(|part| !part.is_empty()).unwrap();
        for character in shown.chars().filter(|character| !matches!(character, '\r' | '\n')) {
            let is_harmless = !character.is_control()
                && !matches!(character, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert!(is_harmless, "{format}: {character:?} in {shown:?}");
        }
        assert!(shown.contains("1b"), "{shown}");
        if format == "table" {
            assert!(
                shown.contains('…') && shown.contains("person00032@example.com    active"),
                "{shown}"
            );
            let lines: Vec<_> = shown.split("\r\n").collect();
            assert_eq!(lines.len(), 36);
            let width = |line: &&str| {
                // A mark of no width that the names have, and a picture two columns wide.
                let line = line.replace("👨\u{200d}👩\u{200d}👧\u{200d}👦", "##");
                line.chars().filter(|letter| *letter != '\u{301}').count()
            };
            assert!(lines.iter().all(|line| width(line) <= 80), "{shown}");
        }
    }
    let shown = acceptance::on_terminal(
        case.program("list_users").args(["--format", "json", "--limit", "1"]),
        80,
    );
    assert!(shown.starts_with("[\r\n  {\r\n    \"lastLoginTime\": \"2025"), "{shown}");
    // On a pipe nothing is cut.
    assert!(!whole(&case, &[]).contains('…'));
}
