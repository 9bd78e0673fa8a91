//! list_users: every format and flag, lists that change while they are read, and trouble in the
//! middle of one.

use aac_sandbox::{Fault, FaultKind, Options, Paging};
use acceptance::{Case, Run, Running};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
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

const FORMATS: [&str; 4] = ["table", "json", "jsonl", "csv"];

fn users(count: usize) -> Case {
    Case::fresh(Options { users: count, ..Options::default() })
}

/// Runs it with these flags, in one line.
fn list(case: &Case, flags: &str) -> Run {
    case.call("list_users", flags.split_terminator(' '))
}

/// Everything that a list printed, without a word on standard error.
#[track_caller]
fn whole(case: &Case, flags: &str) -> String {
    let run = list(case, flags);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{flags}");
    run.stdout
}

fn ids(lines: &str) -> Vec<u64> {
    let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap();
    lines.lines().map(id).collect()
}

#[test]
fn every_flag_does_what_it_says() {
    let case = users(4);
    let nested = r#"[{"id":951000,"personId":51000,"workspaceId":31429,"isDisabled":false,"tags":[["team","finance"],[]]}]"#;
    let chosen = format!(
        r#"{{"name":"Ada Lovelace","uploadDir":null,"isAdmin":true,"peopleworkspaces":{nested}}}"#
    );
    let quoted = nested.replace('"', "\"\"");
    let four = "--columns name,uploadDir,isAdmin,peopleworkspaces --limit 1 --format";
    for (flags, printed) in [
        ("", TABLE),
        ("--format table --page-size 3", TABLE),
        ("--workspace 31429", TABLE),
        ("--limit 1 --columns name,id", "NAME          ID\nAda Lovelace  51000\n"),
        (
            "--limit 1 --columns email,isAdmin",
            "EMAIL                     IS ADMIN\nada.lovelace@example.com  true\n",
        ),
        ("--filter hopper --columns id", "ID\n51003\n"),
        ("--format json --limit 1", &format!("[\n{ADA}\n]\n")),
        ("--format jsonl --limit 1", &format!("{ADA}\n")),
        (&format!("{four} jsonl"), &format!("{chosen}\n")),
        (&format!("{four} json"), &format!("[\n{chosen}\n]\n")),
        (
            "--format csv --limit 2 --columns id,name,lastLoginTime",
            "id,name,lastLoginTime\r\n51000,Ada Lovelace,2025-05-17T04:40:40.000Z\r\n\
             51001,Łukasz Żółć,2025-06-18T05:47:53.000Z\r\n",
        ),
        (
            "--format csv --limit 1 --columns id,peopleworkspaces,uploadDir",
            &format!("id,peopleworkspaces,uploadDir\r\n51000,\"{quoted}\",\r\n"),
        ),
        // A byte order mark is where it is asked for, and before everything else.
        (
            "--format csv --limit 1 --columns name,,id,name, --bom",
            "\u{feff}name,id\r\nAda Lovelace,51000\r\n",
        ),
        // A line for each user, though there is nothing in it.
        ("--format csv --limit 1 --columns uploadDir", "uploadDir\r\n\"\"\r\n"),
    ] {
        assert_eq!(whole(&case, flags), printed, "{flags}");
    }
    // The sandbox matches loosely, and names alone, unless it is asked as it is documented.
    for fault in ["", "api:filter-ignoredxall", "api:filter-refusedxall"] {
        if !fault.is_empty() {
            case.sandbox.add_fault(fault.parse().unwrap());
        }
        for (flags, ids) in [
            ("--filter ADA", "51000\r\n"),
            ("--filter Grace@", ""),
            ("--filter GRACE.hopper@", "51003\r\n"),
            ("--filter example.com --limit 2", "51000\r\n51001\r\n"),
            ("--filter a --limit 2 --page-size 1", "51000\r\n51001\r\n"),
        ] {
            let printed = whole(&case, &format!("{flags} --format csv --columns id"));
            assert_eq!(printed, format!("id\r\n{ids}"), "{flags} {fault}");
        }
        case.sandbox.clear_faults();
    }
    let blanks = ["--columns", " name, id ", "--limit", "1"];
    case.call("list_users", blanks).assert_ends(0, "NAME          ID\nAda Lovelace  51000\n", "");
    // What privileges are in is asked for with their name.
    let table = whole(&case, "--columns id,authorizationRoles --limit 1");
    assert!(table.contains("51000  [{\"policyId\":101,\"name\":\"Workspace Admin\""), "{table}");
    let args = ["--filter", "a b&c=d", "--columns", "authorizationRoles", "--page-size", "7"];
    case.call("list_users", args).assert_ends(0, "AUTHORIZATION ROLES\n", "");
    let asked = "/iam/v1/workspaces/31429/people?filter=a%20b%26c%3Dd&filterType=contains&filterFields=name%2Cemail&includePrivileges=true&sort=id&limit=7&offset=0&includeCount=true";
    assert_eq!(case.sandbox.requests().pop().unwrap().path, asked);
}

#[test]
fn csv_has_the_same_header_whatever_comes() {
    let fields: Vec<_> = serde_json::from_str::<Map<_, _>>(ADA).unwrap().keys().cloned().collect();
    for count in [0, 1, 250] {
        let csv = whole(&users(count), "--format csv");
        // Every field, in the server's order.
        assert_eq!(csv.lines().next().unwrap(), fields.join(","), "{count}");
    }
}

#[test]
fn a_file_has_all_users_or_is_as_it_was() {
    let case = users(250);
    let file = case.path("users.csv");
    let path = file.to_str().unwrap();
    for format in FORMATS {
        let printed = whole(&case, &format!("--format {format}"));
        let into = format!("--format {format} -o {path}");
        assert_eq!(whole(&case, &into), "");
        assert_eq!(fs::read_to_string(&file).unwrap(), printed);
        case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(2).always());
        assert_eq!(list(&case, &into).code, Some(5));
        assert_eq!(fs::read_to_string(&file).unwrap(), printed);
        case.sandbox.clear_faults();
    }
    assert_eq!(whole(&case, "-o -"), whole(&case, ""));
    let calls = case.sandbox.counters().api_calls;
    assert_eq!(list(&case, &format!("-o {path}/no/such/folder")).code, Some(1));
    assert_eq!(case.sandbox.counters().api_calls, calls, "nothing is asked for");
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let case = users(4);
    for (flags, words) in [
        ("--format xml", "jsonl"),
        ("--limit 0", "for '--limit <N>': a number of users, such as 100"),
        ("--limit 5k", "for '--limit <N>': a number of users, such as 100"),
        ("--page-size 0", "--page-size"),
        ("--workspace 01JKBMKPZ94N0GG5F8N9HY2FJA", "not the gid"),
        ("--format json --bom", "--format csv"),
        ("--bom", "--format csv"),
        ("--columns=", "--columns names no column"),
        ("--format json --columns ,", "--columns names no column"),
        ("--columns id,nmae", "no row on the first page has \"nmae\"; there are lastLoginTime,id,"),
        ("--format csv --columns nmae", "has \"nmae\""),
        ("--columns roles", "maximalCapabilities,authorizationRoles"),
    ] {
        list(&case, flags).assert_says(2, &[words]);
    }
    list(&case, "--workspace 1").assert_says(4, &["HTTP 403 Forbidden"]);
}

#[test]
fn however_many_users_there_are_each_is_printed_once_in_every_format() {
    for count in [0, 1, 100, 101, 1234] {
        let case = users(count);
        let expected: Vec<u64> = (51_000..).take(count).collect();
        let array: Vec<Value> = serde_json::from_str(&whole(&case, "--format json")).unwrap();
        let array = array.iter().map(|user| user["id"].as_u64().unwrap());
        assert_eq!(array.collect::<Vec<_>>(), expected);
        for (format, end) in [("table", "\n"), ("csv", "\r\n")] {
            let lines = whole(&case, &format!("--columns id --format {format}"));
            let rows = lines.split_terminator(end).skip(1);
            assert_eq!(rows.map(|id| id.parse().unwrap()).collect::<Vec<u64>>(), expected);
        }
        let calls = case.sandbox.counters().api_calls;
        let lines = whole(&case, "--format jsonl --workspace 31429");
        assert_eq!(ids(&lines), expected);
        let pages = case.sandbox.counters().api_calls - calls;
        assert_eq!(pages as usize, count.div_ceil(100).max(1), "no call too many for {count}");
        assert_eq!(case.sandbox.counters().connections, 4, "one for each program");
    }
    assert_eq!(whole(&users(0), "--format json"), "[]\n");
    assert_eq!(whole(&users(0), ""), "NAME  EMAIL  STATE  LAST LOGIN  ID\n");
}

#[test]
fn other_parsers_read_back_what_was_printed() {
    if !acceptance::have("python3") {
        return;
    }
    let case = users(34);
    // A formula has a ' before it in the one, and is as it was in the others.
    let script = r#"
import csv, io, json, subprocess, sys
run = lambda form: subprocess.check_output([sys.argv[1], "--format", form]).decode()
rows = list(csv.DictReader(io.StringIO(run("csv"), newline="")))
users = json.loads(run("json"))
assert users == [json.loads(line) for line in run("jsonl").strip("\n").split("\n")]
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
    let mut python = acceptance::clean("python3");
    python.args(["-c", script]).arg(acceptance::program("list_users"));
    let run = Run::of(python.env("AAC_DIR", case.folder.path()));
    assert_eq!(run.stdout.trim_end(), "6", "{}", run.stderr);
}

#[test]
fn trouble_in_the_middle_of_a_list_is_told_with_how_far_it_came() {
    use FaultKind as K;
    let case = users(250);
    let cut = |kind: K, format: &str, code: i32, words: &str| {
        case.sandbox.clear_faults();
        case.sandbox.add_fault(Fault::api(kind).after(1).always());
        let run = list(&case, &format!("--format {format} --workspace 31429 --retry 0"));
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        let said = run.stderr.lines().next().unwrap();
        assert!(said.contains(words), "{said}");
        assert!(said.ends_with("; stopped after 100 of 250 users"), "{said}");
        run.stdout
    };
    for (kind, code, words) in [
        (K::ServerError, 5, "HTTP 500 Internal Server Error"),
        (K::TooManyRequests(1), 4, "HTTP 429 Too Many Requests"),
        (K::CutClose, 1, "the response is truncated"),
        (K::HtmlPage, 1, "the response is not JSON"),
    ] {
        assert_eq!(ids(&cut(kind, "jsonl", code, words)), (51_000..51_100).collect::<Vec<_>>());
    }
    let json = cut(K::ResetAfter, "json", 1, "the connection broke");
    assert!(serde_json::from_str::<Value>(&json).is_err(), "it is cut short");
    assert_eq!(serde_json::from_str::<Vec<Value>>(&(json + "]")).unwrap().len(), 100);
    // With its header, and two lines for the names that have a line end in them.
    let csv = cut(K::Cut, "csv", 1, "the connection broke");
    assert_eq!(csv.matches("@example.com,").count(), 100);
    // A table is as wide as all of its rows want it to be.
    assert_eq!(cut(K::Forbidden, "table", 4, "HTTP 403 Forbidden"), "");
    for kind in [K::QuotaAs500, K::ResetAfter, K::Unauthorized, K::Cut] {
        case.sandbox.clear_faults();
        case.sandbox.add_fault(Fault::api(kind.clone()).after(1));
        let lines = whole(&case, "--format jsonl --workspace 31429");
        assert_eq!(ids(&lines), (51_000..51_250).collect::<Vec<_>>(), "no gap: {kind:?}");
    }
}

#[test]
fn lists_that_move_while_they_are_read() {
    let changed = "warning: the list changed while it was read; some users may be missing\n";
    let ignored = "the server ignores the offset; it announces 250 users (\"count\"), and has sent";
    for (paging, max_page, code, rows, words) in [
        // Rows that come twice are printed once; pages may be shorter than asked for, without a count.
        (Paging::Overlapping, 7, 0, 250, ""),
        (Paging::NoCount, 50, 0, 250, ""),
        // One more user with each page, one less: what is there at the end is printed, once.
        (Paging::Growing, 1000, 0, 252, changed),
        (Paging::Shrinking, 1000, 0, 248, changed),
        // Fewer than counted; the same page for ever, and once: nobody knows which rows are missing.
        (Paging::CountTooHigh, 1000, 1, 250, "; stopped after 250 of 255 users\n"),
        (Paging::IgnoresOffset, 50, 1, 50, ignored),
        (Paging::Repeating, 1000, 1, 100, ignored),
    ] {
        let case = Case::fresh(Options { users: 250, paging, max_page, ..Options::default() });
        let run = list(&case, "--format jsonl");
        assert_eq!(ids(&run.stdout), (51_000..).take(rows).collect::<Vec<_>>(), "{paging:?}");
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(run.stderr.is_empty(), words.is_empty(), "{}", run.stderr);
    }
}

/// Starts a list of 1234 users that nobody reads: the first page of 500 stays in the pipe, and the program
/// in the middle of it. Returns once it has made so many calls.
#[track_caller]
fn unread(case: &Case, workspace: &[&str], calls: u64) -> Child {
    let mut command = case.program("list_users");
    command.args(["--format", "jsonl", "--page-size", "500"]).args(workspace);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while case.sandbox.counters().api_calls < calls {
        assert!(start.elapsed() < Duration::from_secs(20), "the second page is not asked for");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn the_next_page_is_asked_for_while_this_one_is_printed() {
    let case = users(1234);
    let mut child = unread(&case, &[], 3);
    // No page after that one.
    let mut first = [0; 64 * 1024];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(case.sandbox.counters().api_calls, 3);
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = String::from_utf8(first.to_vec()).unwrap() + &rest;
    assert_eq!(ids(&lines).into_iter().collect::<HashSet<_>>().len(), 1234);

    // It refreshes nothing: nobody may want that page, and the program may end.
    let case = users(1234);
    case.sandbox.add_fault(Fault::api(FaultKind::Unauthorized).after(1));
    let mut child = unread(&case, &["--workspace", "31429"], 2);
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn a_slow_refresh_is_told_with_what_ctrl_c_does() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let mut program = Running::of(case.program("list_users").args(["-v", "--limit", "1"]));
    program.says(
        "list_users: waiting for the authorization server, for up to two minutes; \
         Ctrl-C waits until the new tokens are saved\n",
    );
    hold.release();
    assert_eq!(program.end().code, Some(0));
}

#[cfg(target_os = "linux")]
fn on_terminal(case: &Case, flags: &str) -> String {
    let mut command: Command = case.program("list_users");
    acceptance::on_terminal(command.args(flags.split(' ')), 80)
}

#[test]
#[cfg(target_os = "linux")]
fn a_quick_refresh_is_not_told() {
    let case = Case::expired(Options::default());
    let shown = on_terminal(&case, "--limit 1");
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(!shown.contains("list_users: "), "{shown:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn names_from_strangers_do_nothing_to_a_terminal() {
    let case = users(34);
    for format in FORMATS {
        let shown = on_terminal(&case, &format!("--format {format}"));
        // The bar that counted is gone before the table begins.
        let shown = shown.rsplit("\r\u{1b}[2K").find(|part| !part.is_empty()).unwrap();
        for character in shown.chars().filter(|character| !matches!(character, '\r' | '\n')) {
            let is_harmless = !character.is_control()
                && !matches!(character, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert!(is_harmless, "{format}: {character:?} in {shown:?}");
        }
        assert!(shown.contains("1b"), "{shown}");
        if format != "table" {
            continue;
        }
        assert!(shown.contains("person00032@example.com    active"), "{shown}");
        assert!(shown.contains('…') && !whole(&case, "").contains('…'), "a pipe gets all");
        let lines: Vec<_> = shown.split("\r\n").collect();
        assert_eq!(lines.len(), 36);
        let width = |line: &&str| {
            // A mark of no width that the names have, and a picture two columns wide.
            let line = line.replace("👨\u{200d}👩\u{200d}👧\u{200d}👦", "##");
            line.chars().filter(|letter| *letter != '\u{301}').count()
        };
        assert!(lines.iter().all(|line| width(line) <= 80), "{shown}");
    }
    let shown = on_terminal(&case, "--format json --limit 1");
    assert!(shown.starts_with("[\r\n  {\r\n    \"lastLoginTime\": \"2025"), "{shown}");
}
