//! raw_call: every flag, every kind of body and answer, and nothing for any other host.

use crate::fresh;
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;

const ECHO: &str = "/sandbox/echo";
const PERSON: &str = "/v4/people/current";
const PEOPLE: &str = "iam/v1/workspaces/31429/people";
const PACKAGE: &str = "/plans/v1/plans/7/package";
/// How that person begins.
const BEGINNING: &str = "{\"lastLoginTime\"";

fn call(case: &Case, args: &[&str]) -> Run {
    case.call("raw_call", args)
}

/// What a program without an error printed.
#[track_caller]
fn printed(case: &Case, args: &[&str]) -> String {
    let run = call(case, args);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    run.stdout
}

/// What the sandbox says it was sent.
#[track_caller]
fn echo(case: &Case, args: &[&str]) -> Value {
    serde_json::from_str(&printed(case, args)).unwrap()
}

fn header<'a>(echo: &'a Value, name: &str) -> Option<&'a str> {
    let headers = echo["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name)?[1].as_str()
}

/// The value of a flag that names a file.
fn at(path: &Path) -> String {
    format!("@{}", path.display())
}

#[test]
fn an_answer_is_printed_as_it_came() {
    let case = fresh();
    let workspace = printed(&case, &["/iam/v1/workspaces/current"]);
    assert!(workspace.starts_with(r#"{"id":31429,"name":"lukes-test-workspace""#), "{workspace}");
    let url = format!("{}/iam/v1/workspaces/current", case.sandbox.url());
    for path in ["iam/v1/workspaces/current", &url] {
        assert_eq!(printed(&case, &[path]), workspace, "{path}");
    }
    let people = printed(&case, &["iam/v1/workspaces/{workspaceId}/people?limit=1"]);
    assert!(people.contains("Ada Lovelace"), "{people}");
    // A job's status is a bare JSON string.
    let job = echo(&case, &["/v4/jobGroups", "-F", r#"wrangledDataset={"id":7}"#]);
    assert_eq!(printed(&case, &[&format!("/v4/jobGroups/{}/status", job["id"])]), "\"Created\"");
}

#[test]
fn the_flags_of_a_request_make_it() {
    let case = fresh();
    let file = case.path("body.json");
    fs::write(&file, "{\"from\":\"a file\"}\n").unwrap();
    let from_file = at(&file);
    let text = "content-type: text/plain";
    let json = Some("application/json");
    let plain = Some("text/plain");
    // The method, the type of the body, and the body; of a body that stays empty, its length.
    for (args, method, kind, body) in [
        (&[][..], "GET", None, None),
        (&["-X", "DELETE"], "DELETE", None, None),
        (&["-X", "POST"], "POST", None, Some("0")),
        (&["-d", ""], "POST", json, Some("0")),
        (&["-d", "{ \"a\" : 1 }", "-X", "patch"], "PATCH", json, Some("{ \"a\" : 1 }")),
        (&["--data", "-1", "--method", "PUT", "-H", text], "PUT", plain, Some("-1")),
        (&["-d", "{no json", "-H", text], "POST", plain, Some("{no json")),
        (&["-d", &from_file], "POST", json, Some("{\"from\":\"a file\"}\n")),
        (&["-f", "a=1", "--raw-field", "b=="], "POST", json, Some(r#"{"a":"1","b":"="}"#)),
        (&["-F", "b=[true]", "--field", "f=1.10"], "POST", json, Some(r#"{"b":[true],"f":1.10}"#)),
    ] {
        let sent = echo(&case, &[&[ECHO], args].concat());
        assert_eq!(sent["method"], method, "{args:?}");
        assert_eq!(header(&sent, "content-type"), kind, "{args:?}");
        assert_eq!(header(&sent, "transfer-encoding"), None, "{args:?}");
        match body {
            // A POST without a body has a length all the same; anything else has no business with one.
            None | Some("0") => assert_eq!(header(&sent, "content-length"), body, "{args:?}"),
            body => assert_eq!(sent["body"].as_str(), body, "{args:?}"),
        }
    }
    for (args, query) in [
        (&[ECHO, "--query", "a=b c", "--query", "d[e][gte]=1&2"][..], "a=b%20c&d[e][gte]=1%262"),
        (&["/sandbox/echo?x=1", "--query", "y="], "x=1&y="),
    ] {
        assert_eq!(echo(&case, args)["query"], query);
    }
    let sent = echo(&case, &[ECHO, "-H", "X-Mine:b", "--header", "x-mine: c"]);
    assert_eq!(sent["headers"].to_string().matches("x-mine").count(), 2);
    assert_eq!(header(&sent, "accept"), Some("application/json"));
    assert_eq!(header(&echo(&case, &[ECHO, "-H", "accept: */*"]), "accept"), Some("*/*"));
    // A package comes as it is, wherever it goes.
    for output in ["-", "package.zip"] {
        let shown = printed(&case, &[ECHO, "-o", output, "--dry-run"]);
        assert!(shown.contains("\naccept: */*\n"), "-o {output}: {shown}");
    }
}

#[test]
fn fields_make_a_body_that_keeps_every_digit_and_key() {
    let case = fresh();
    let file = case.path("note.txt");
    fs::write(&file, "7 \"ü\"\n").unwrap();
    let note = format!("note={}", at(&file));
    let private = r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#;
    for (args, body) in [
        (
            &["-F", "a=1E400", "-F", "b=-0.10e-7", "-F", "c= 12 "][..],
            r#"{"a":1E400,"b":-0.10e-7,"c":12}"#,
        ),
        (&["-F", &format!("a={private}")], &format!("{{\"a\":{private}}}")),
        (&["-F", "$serde_json::private::Number=1"], r#"{"$serde_json::private::Number":1}"#),
        (&["-f", "$serde_json::private::Number=1"], r#"{"$serde_json::private::Number":"1"}"#),
        (&["-d", private], private),
        // A file is a string, as it is to `gh api`, and -f has no special values.
        (&["-F", &note], r#"{"note":"7 \"ü\"\n"}"#),
        // Those of -f come first.
        (&["-F", "d=x", "-f", "a=@x", "-f", "b=true"], r#"{"a":"@x","b":"true","d":"x"}"#),
        (&["-F", "a={\"b\": [1, 2]}", "-F", "a\"b=x"], r#"{"a":{"b": [1, 2]},"a\"b":"x"}"#),
    ] {
        assert_eq!(echo(&case, &[&[ECHO], args].concat())["body"], body, "{args:?}");
        let shown = printed(&case, &[&[ECHO, "--dry-run"], args].concat());
        assert!(shown.ends_with(&format!("\n\n{body}\n")), "{shown}");
    }
}

#[test]
fn a_url_is_encoded_where_it_must_be_and_as_long_as_can_be_sent() {
    let case = fresh();
    for (path, sent) in [
        ("sandbox/echo/Łukasz/a b", "/sandbox/echo/%C5%81ukasz/a%20b"),
        ("sandbox/echo/%C5%81/100%/%2f%zz", "/sandbox/echo/%C5%81/100%25/%2f%25zz"),
        ("sandbox/echo/\"<>^`|", "/sandbox/echo/%22%3C%3E%5E%60%7C"),
    ] {
        assert_eq!(echo(&case, &[path])["path"], sent);
        let whole = format!("{}/{path}", case.sandbox.url());
        assert_eq!(echo(&case, &[&whole])["path"], sent);
        let shown = printed(&case, &[path, "--dry-run"]);
        assert!(shown.starts_with(&format!("GET {}{sent}\n", case.sandbox.url())), "{shown}");
    }
    let query = echo(&case, &["/sandbox/echo?name=é ü&x=%20"])["query"].clone();
    assert_eq!(query, "name=%C3%A9%20%C3%BC&x=%20");

    let long = format!("a={}", "x".repeat(30_000));
    assert_eq!(echo(&case, &[ECHO, "--query", &long])["query"], long);
    let calls = case.sandbox.counters().api_calls;
    if cfg!(windows) {
        // A command line there is 32,767 characters long at most.
        return;
    }
    // Longer than one argument can be on Linux.
    let too_long = call(&case, &[ECHO, "--query", &long, "--query", &long, "--query", &long]);
    let length = case.sandbox.url().len() + ECHO.len() + 3 * (1 + long.len());
    let words =
        format!("raw_call: the URL is too long: {length} characters, at most 65534 can be sent\n");
    too_long.assert_ends(2, "", &words);
    assert_eq!(case.sandbox.counters().api_calls, calls);
}

/// A server that gives this response to each of so many requests.
fn serve(case: &Case, times: usize, status: &str, body: Vec<u8>) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    fs::write(case.path("aac_url.txt"), url).unwrap();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    thread::spawn(move || {
        for stream in listener.incoming().take(times) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            // Nobody may be there to read all of it.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    })
}

#[test]
fn the_body_of_an_error_goes_on_whole_however_long_it_is() {
    let case = fresh();
    let body = b"abcdefghijklmnopqrstuvw".repeat(130_000);
    let server = serve(&case, 2, "422 Unprocessable Content", body.clone());
    let run = Run::of(case.program("raw_call").arg("/x"));
    assert_eq!(run.code, Some(4));
    assert!(run.stdout.as_bytes() == body, "{} bytes", run.stdout.len());
    assert!(run.stderr.starts_with("raw_call: HTTP 422 "), "{}", run.stderr);
    // And a reader that has had enough of it does not hide the error.
    let mut command = case.program("raw_call");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(command.arg("/x").stdout(writer).output().unwrap().status.code(), Some(4));
    server.join().unwrap();
}

/// Runs it with this on standard input.
fn with_input(case: &Case, args: &[&str], input: &[u8]) -> Run {
    let mut command = case.program("raw_call");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read it closes it.
    let _ = child.stdin.take().unwrap().write_all(input);
    Run::from(child)
}

#[test]
fn standard_input_is_read_where_it_is_asked_for_and_nowhere_else() {
    let case = fresh();
    let echoed = |args: &[&str], input: &[u8]| -> Value {
        serde_json::from_str(&with_input(&case, args, input).stdout).unwrap()
    };
    let small = echoed(&[ECHO, "-d", "@-"], b"[1,2]");
    assert_eq!(
        (small["body"].as_str(), header(&small, "content-length")),
        (Some("[1,2]"), Some("5"))
    );
    // More than is held in memory goes on in chunks.
    let large = echoed(&[ECHO, "-d", "@-"], &vec![b'x'; 3_000_000]);
    assert_eq!(large["length"], 3_000_000);
    assert_eq!(header(&large, "transfer-encoding"), Some("chunked"));
    let part = echoed(&[ECHO, "--part", "data=@-"], b"PK");
    assert!(part["body"].as_str().unwrap().contains("filename=\"data\"\r\n"));
    let field = echoed(&[ECHO, "-F", "text=@-"], b"line 1\nline \"2\"");
    assert_eq!(field["body"], r#"{"text":"line 1\nline \"2\""}"#);
    with_input(&case, &[ECHO, "-d", "@-"], b"{a")
        .assert_says(2, &["standard input looks like JSON"]);
    with_input(&case, &[ECHO, "-d", "@-"], b"\"Andr\xe9\"")
        .assert_says(2, &["standard input is neither UTF-8 nor UTF-16"]);

    // A pipe that nobody writes to and nobody closes: reading it would wait for ever.
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(Run::of(case.program("raw_call").arg(ECHO).stdin(reader)).code, Some(0));
}

#[test]
fn a_body_that_was_a_stream_is_not_sent_twice() {
    let case = fresh();
    case.sandbox.revoke_access_tokens();
    let large = vec![b'x'; 3_000_000];
    let run = with_input(&case, &[ECHO, "-d", "@-", "-H", "Expect:"], &large);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("cannot be sent a second time: run this again"), "{}", run.stderr);
    // The tokens are new, so that the second run will do.
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));

    // A file can be.
    let file = case.path("upload");
    fs::write(&file, &large).unwrap();
    case.sandbox.revoke_access_tokens();
    assert_eq!(echo(&case, &[ECHO, "-d", &at(&file)])["length"], 3_000_000);
    assert_eq!(case.sandbox.counters().refreshes, 2);
}

#[test]
#[cfg(unix)]
fn files_that_are_not_plain_ones_are_bodies_too() {
    let case = fresh();
    let pipe = case.path("pipe");
    assert!(acceptance::clean("mkfifo").arg(&pipe).status().unwrap().success());
    let send = |bytes: Vec<u8>| {
        let to = pipe.clone();
        let writer = thread::spawn(move || fs::write(to, bytes).unwrap());
        let run = call(&case, &[ECHO, "-d", &at(&pipe)]);
        writer.join().unwrap();
        run
    };
    send(b"{\"a\": 1".into()).assert_says(2, &["looks like JSON, but"]);
    // More than is held in memory is a stream.
    for (bytes, length) in [(b"{\"a\": 1}".to_vec(), Some("8")), (vec![b'a'; 3 << 20], None)] {
        let sent: Value = serde_json::from_str(&send(bytes.clone()).stdout).unwrap();
        assert_eq!(
            (sent["length"].as_u64(), header(&sent, "content-length")),
            (Some(bytes.len() as u64), length)
        );
    }
    let empty = case.path("empty");
    fs::write(&empty, "").unwrap();
    let sent = echo(&case, &[ECHO, "-d", &at(&empty)]);
    assert_eq!(header(&sent, "content-length"), Some("0"));
    assert_eq!(header(&sent, "transfer-encoding"), None);
    // A file that says it has no bytes, and has some.
    if let Ok(version) = fs::read_to_string("/proc/version") {
        let sent = echo(&case, &[ECHO, "-d", "@/proc/version"]);
        assert_eq!(sent["body"].as_str(), Some(version.as_str()));
    }
}

#[test]
fn an_upload_and_a_download_are_the_same_bytes() {
    let case = Case::fresh(Options { package_size: 3_000_000, ..Options::default() });
    let package = case.path("plan.zip");
    let path = package.to_str().unwrap();
    assert_eq!(printed(&case, &[PACKAGE, "-o", path]), "");
    let length = fs::metadata(&package).unwrap().len();
    assert!(length >= 3_000_000);
    assert_eq!(case.sandbox.requests().last().unwrap().header("accept"), Some("*/*"));
    // The same on a pipe, and as -o -.
    for args in [&[PACKAGE][..], &[PACKAGE, "-o", "-"]] {
        let output = case.program("raw_call").args(args).output().unwrap();
        assert_eq!(output.stdout, fs::read(&package).unwrap());
    }
    for name in ["data", "File"] {
        let (part, mapping) = (format!("{name}=@{path}"), "environmentParameterMapping={}");
        let args = ["/plans/v1/plans/package", "--part", &part, "--part", mapping];
        assert_eq!(echo(&case, &args)["data"][0]["size"], length);
    }
}

#[test]
fn a_file_is_untouched_on_error_and_whole_otherwise() {
    let case = fresh();
    let file = case.path("out");
    let path = file.to_str().unwrap();
    let names = case.names();
    for (kind, code) in [(FaultKind::ServerError, 5), (FaultKind::Cut, 1)] {
        case.sandbox.add_fault(Fault::api(kind).always());
        call(&case, &[PERSON, "-o", path, "--retry", "0"]).assert_says(code, &[]);
        case.sandbox.clear_faults();
        assert_eq!(case.names(), names);
    }
    fs::write(&file, "old").unwrap();
    let run = call(&case, &["/nowhere", "-o", path]);
    run.assert_says(4, &[]);
    assert!(run.stderr.starts_with("{\"exception\""), "the body is on stderr: {}", run.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"old");
    printed(&case, &[PERSON, "-o", path]);
    assert!(fs::read_to_string(&file).unwrap().starts_with(BEGINNING));

    let calls = case.sandbox.counters().api_calls;
    call(&case, &[PERSON, "-o", "/no/such/folder/x"]).assert_says(1, &["/no/such/folder/x: "]);
    assert_eq!(case.sandbox.counters().api_calls, calls, "what cannot be kept is not asked for");
    if Path::new("/dev/full").exists() {
        call(&case, &[PERSON, "-o", "/dev/full"]).assert_says(1, &["raw_call: /dev/full: "]);
    }
}

#[test]
fn a_server_that_quotes_the_token_does_not_get_it_printed() {
    let case = fresh();
    let body = format!("{{\"message\":\"bad header Bearer {}\"}}", case.tokens.access_token);
    let server = serve(&case, 2, "400 Bad Request", body.into_bytes());
    let file = case.path("out");
    for args in [&["/x", "-o", file.to_str().unwrap()][..], &["/x", "--paginate"]] {
        let run = call(&case, args);
        run.assert_says(4, &[]);
        assert!(run.stderr.matches("(redacted)").count() > 1, "{}", run.stderr);
    }
    server.join().unwrap();
}

#[test]
fn all_pages_are_one_array() {
    let case = Case::fresh(Options { users: 250, ..Options::default() });
    let people = "iam/v1/workspaces/{workspaceId}/people";
    let rows = |args: &[&str]| {
        let text = printed(&case, &[&[people, "--paginate"], args].concat());
        serde_json::from_str::<Vec<Value>>(&text).unwrap().len()
    };
    assert_eq!(rows(&[]), 250);
    assert_eq!(case.sandbox.counters().api_calls, 4);
    assert_eq!(rows(&["--limit", "120", "--page-size", "50", "--query", "sort=-id"]), 120);
    let last = "/iam/v1/workspaces/31429/people?sort=-id&limit=20&offset=100&includeCount=true";
    assert_eq!(case.sandbox.requests().pop().unwrap().path, last);
    assert_eq!(rows(&["--query", "filter=nothing", "--query", "filterType=contains"]), 0);
    let file = case.path("people.json");
    printed(&case, &[people, "--paginate", "-o", file.to_str().unwrap()]);
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&fs::read(&file).unwrap()).unwrap().len(), 250);

    // Cut short: no array, and the body of the error is no part of it.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(2).always());
    let run = call(&case, &[people, "--paginate", "--retry", "0"]);
    assert_eq!(run.code, Some(5));
    assert!(serde_json::from_str::<Value>(&run.stdout).is_err());
    assert_eq!(run.stdout.matches("@example.com").count(), 100);
    assert!(run.stderr.starts_with("{\"exception\""), "{}", run.stderr);
    assert!(run.stderr.contains("; stopped after 100 of 250 rows\n"), "{}", run.stderr);
    case.sandbox.clear_faults();
    call(&case, &[PERSON, "--paginate"]).assert_says(1, &["is not a list"]);
}

#[test]
fn a_list_is_printed_in_any_format() {
    let case = Case::fresh(Options { users: 5000, ..Options::default() });
    let plans = |flags: &str| {
        let args = ["plans/v1/plans", "--paginate"].into_iter().chain(flags.split(' '));
        case.call("raw_call", args)
    };
    const AT: &str = "2025-02-05T18:05:29.000Z";
    let csv = format!(
        "id,name,description,createdAt,updatedAt\r\n7,Monthly report,Sales by region,{AT},{AT}\r\n"
    );
    let left_out = "raw_call: warning: rows have \"creator\" as well, which is left out: --columns can name it\n";
    for (flags, printed, said) in [
        ("--format csv --limit 1", &*csv, left_out),
        (
            "--format csv --bom --columns creator.id,name --limit 1",
            "\u{feff}creator.id,name\r\n51000,Monthly report\r\n",
            "",
        ),
        (
            "--format table --columns name,creator.id",
            "NAME                    CREATOR ID\nMonthly report          51000\nPrzegląd tygodnia 週報  51001\n",
            "",
        ),
        (
            "--format jsonl --columns id,creator",
            "{\"id\":7,\"creator\":{\"id\":51000}}\n{\"id\":8,\"creator\":{\"id\":51001}}\n",
            "",
        ),
        ("--columns id --limit 1", "[\n{\"id\":7}\n]\n", ""),
    ] {
        plans(flags).assert_ends(0, printed, said);
    }
    for (flags, words) in [
        (
            "--format csv --columns id,roles",
            "there are id,name,description,createdAt,updatedAt,creator,creator.id,",
        ),
        ("--bom", "--bom goes with --format csv"),
        ("--format xml", "jsonl"),
    ] {
        plans(flags).assert_says(2, &[words]);
    }
    // All of them, each once, however many pages.
    let file = case.path("people.csv");
    let flags = ["--format", "csv", "--columns", "id", "-o", file.to_str().unwrap()];
    printed(&case, &[&[PEOPLE, "--paginate"], &flags[..]].concat());
    let ids = (51_000..56_000).map(|id| format!("{id}\r\n"));
    assert!(fs::read_to_string(&file).unwrap() == "id\r\n".to_owned() + &ids.collect::<String>());
}

#[test]
fn endpoints_are_found_by_words() {
    let case = fresh();
    let run = "POST    /plans/v1/plans/{id}/run  documented  Run a plan; run_plan also waits for its end (30 / 60 a minute)\n";
    let to_call = "raw_call: to call one: cargo run -p raw_call -- PATH; for a list, add --paginate --format table\n";
    call(&case, &["--list", "PLANS wait"]).assert_ends(0, run, to_call);
    // All of them, with the third column in its place.
    let all = call(&case, &["--list", "/"]).stdout;
    let place = |line: &str| {
        ["  documented  ", "  seen  ", "  believed  "].iter().find_map(|sure| line.find(sure))
    };
    let places: HashSet<_> = all.lines().map(place).collect();
    assert!(all.lines().count() > 50 && places.len() == 1, "{all}");
    call(&case, &["--list", "no such"]).assert_says(2, &["no endpoint has \"no such\" in it"]);
    call(&case, &["--list", "plans", "/x"]).assert_says(2, &["cannot be used with"]);
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn one_page_of_a_list_is_said_to_be_one() {
    let case = Case::fresh(Options { users: 250, ..Options::default() });
    for (path, hint) in [
        ("?includeCount=true", "this is 25 of 250 rows"),
        ("?includeCount=true&limit=100&offset=100", "this is 100 of 250 rows"),
        ("", "this may be 25 rows of a longer list"),
        // All, or none, or as many as were asked for.
        ("?includeCount=true&limit=1000", ""),
        ("?limit=26", ""),
        ("?limit=25", ""),
        ("?includeCount=true&limit=50&offset=200", ""),
        ("?filter=nothing&includeCount=true", ""),
    ] {
        let run = call(&case, &[&format!("{PEOPLE}{path}")]);
        let hint = match hint {
            "" => String::new(),
            hint => format!("raw_call: {hint}; --paginate prints all\n"),
        };
        assert_eq!((run.code, run.stderr), (Some(0), hint), "{path}");
        assert!(run.stdout.starts_with("{\"data\":["));
    }
    let count = format!("{PEOPLE}?includeCount=true");
    let file = case.path("page.json");
    let run = call(&case, &[&count, "-o", file.to_str().unwrap()]);
    assert!(run.stderr.contains("this is 25 of 250 rows"), "{}", run.stderr);
    for args in [&[&*count, "--no-body"][..], &[PERSON], &["plans/v1/plans"], &[PACKAGE]] {
        let output = case.program("raw_call").args(args).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{args:?}");
    }
}

/// The words of each error are tested in aac-auth.
#[test]
fn errors_have_their_body_on_stdout_and_one_line_of_what_happened() {
    let case = fresh();
    let url = case.sandbox.url();
    for (kind, code, line, hint) in [
        (FaultKind::InvalidKey, 4, "HTTP 401 Unauthorized: Invalid ApiKey", "client_id.txt"),
        (FaultKind::ServerError, 5, "HTTP 500 Internal Server Error", "Try again later"),
        (FaultKind::Redirect("https://example.com/".into()), 3, "HTTP 302 Found", "not followed"),
    ] {
        case.sandbox.add_fault(Fault::api(kind.clone()).always());
        let args = ["/x", "--retry", "0"];
        let run = call(&case, &args);
        assert_eq!(run.code, Some(code), "{kind:?}");
        let first = run.stderr.lines().next().unwrap();
        assert!(first.starts_with(&format!("raw_call: {line}")), "{first}");
        assert!(first.ends_with(&format!(" (GET {url}/x)")), "{first}");
        assert!(run.stderr.contains(hint), "{}", run.stderr);
        call(&case, &[&args[..], &["--no-body"]].concat()).assert_says(code, &[]);
        let included = call(&case, &[&args[..], &["-i"]].concat()).stdout;
        assert!(included.starts_with("HTTP/1.1 "), "{included}");
        assert!(included.ends_with(&format!("\n\n{}", run.stdout)), "{included}");
        case.sandbox.clear_faults();
    }
}

#[test]
fn what_is_shown_of_an_answer() {
    let case = fresh();
    for (args, has_head, has_body) in [
        (&["-i"][..], true, true),
        (&["--no-body", "--include"], true, false),
        (&["--no-body"], false, false),
        (&["-X", "HEAD", "-i"], true, false),
    ] {
        let shown = printed(&case, &[&[PERSON], args].concat());
        let (head, body) = shown.split_once("\n\n").unwrap_or_default();
        assert_eq!(head.starts_with("HTTP/1.1 200 OK\n"), has_head, "{shown}");
        assert_eq!(head.contains("\ncontent-type: application/json"), has_head, "{shown}");
        assert_eq!(body.starts_with(BEGINNING), has_body, "{shown}");
        assert_eq!(body.is_empty(), !has_body, "{shown}");
    }
    assert_eq!(printed(&case, &["-X", "DELETE", "/plans/v1/plans/7"]), "");

    let run = call(&case, &["-v", PERSON, "-H", "X-Mine: yes"]);
    for line in [
        "> GET http://",
        "> x-mine: yes",
        "> authorization: Bearer (redacted)",
        "< HTTP 200 OK",
        "< content-type: ",
    ] {
        let line = format!("raw_call: {line}");
        assert!(run.stderr.contains(&line), "{line} is not in {}", run.stderr);
    }
    assert!(run.stdout.starts_with(BEGINNING), "the result, and nothing else");
    assert!(!run.stderr.contains(case.sandbox.project_id()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_what_a_person_can_read() {
    let case = Case::fresh(Options { users: 34, ..Options::default() });
    let shown = |args: &[&str]| acceptance::on_terminal(case.program("raw_call").args(args), 80);
    let person = shown(&[PERSON]);
    assert!(person.starts_with("{\r\n  \"lastLoginTime\": \"2025-"), "{person}");
    let strangers = shown(&[&format!("{PEOPLE}?limit=34")]);
    let raw = |character: char| {
        character.is_control() && !"\r\n".contains(character)
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!strangers.contains(raw) && strangers.contains("\\u009b31mC1"), "{strangers}");
    let pages = shown(&[PEOPLE, "--paginate", "--limit", "2"]);
    assert!(pages.starts_with("[\r\n  {\r\n    \"last"), "{pages}");
    assert!(pages.ends_with("\r\n  }\r\n]\r\n"), "{pages}");
    let binary = "raw_call: the response is binary and is not shown: save it with -o FILE\r\n";
    assert_eq!(shown(&[PACKAGE]), binary);
    assert!(shown(&[PACKAGE, "-o", "-"]).contains("PK"), "asked for");
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(1).always());
    let cut = shown(&[PEOPLE, "--paginate", "--page-size", "2", "--retry", "0"]);
    assert!(cut.contains("  }\r\n{\"exception\""), "the error begins on a line of its own: {cut}");
    case.sandbox.clear_faults();
    case.sandbox.add_fault(Fault::api(FaultKind::HtmlPage));
    assert!(shown(&[PERSON]).contains("<html"), "text as it is");
    // A download is counted, and the count is gone at the end, however that comes.
    let file = case.path("plan.zip");
    let download = shown(&[PACKAGE, "-o", file.to_str().unwrap()]);
    assert!(download.is_empty() || download.ends_with("\r\u{1b}[2K"), "{download:?}");
    case.sandbox.add_fault(Fault::api(FaultKind::Cut));
    let cut = shown(&[PACKAGE, "-o", file.to_str().unwrap(), "--retry", "0"]);
    assert!(cut.starts_with("raw_call: ") || cut.contains("\r\u{1b}[2Kraw_call: "), "{cut:?}");
    // So is a long upload.
    File::create(&file).unwrap().set_len(4 << 20).unwrap();
    let part = format!("data={}", at(&file));
    assert!(shown(&[ECHO, "--part", &part]).contains(" of 4.00 MiB, "));
    assert!(!shown(&[ECHO, "-f", "name=x"]).contains(" of "));
    let server = serve(&case, 2, "400 Bad Request", b"no\x1b newline".to_vec());
    for (args, body) in
        [(&["/x"][..], "no\\u{1b} newline"), (&["/x", "-o", "-"], "no\u{1b} newline")]
    {
        let shown = shown(args);
        let begin = format!("{body}\r\nraw_call: HTTP 400 Bad Request");
        assert!(shown.starts_with(&begin), "{shown}");
    }
    server.join().unwrap();
}

/// As PowerShell 5.1 writes files, with `>` and with `-Encoding utf8`, and as others do.
#[test]
fn json_is_taken_in_every_encoding_of_powershell() {
    let case = fresh();
    let text = "{\r\n\"name\": \"Łukasz 😀\"}\r\n";
    let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
    let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
    let member = json!({ "a": text }).to_string();
    for (name, bytes) in [
        ("utf8", text.as_bytes().to_vec()),
        ("utf8 with a mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("utf8 with two", [b"\xef\xbb\xbf\xef\xbb\xbf", text.as_bytes()].concat()),
        ("utf16", [b"\xff\xfe", &*little].concat()),
        ("big utf16", [b"\xfe\xff", &*big].concat()),
        ("utf16 without a mark", little),
        ("big utf16 without a mark", big),
    ] {
        let file = case.path("body");
        fs::write(&file, &bytes).unwrap();
        let (data, field) = (at(&file), format!("a={}", at(&file)));
        for (args, body) in [(["-d", &*data], text), (["-F", &*field], &*member)] {
            let sent = echo(&case, &[ECHO, args[0], args[1]]);
            assert_eq!(sent["body"], body, "{name}");
            assert_eq!(header(&sent, "content-length"), Some(&*body.len().to_string()), "{name}");
        }
        for (args, body) in [(["-d", "@-"], text), (["-F", "a=@-"], &*member)] {
            let run = with_input(&case, &[ECHO, args[0], args[1]], &bytes);
            let sent: Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(sent["body"], body, "{name}");
        }
        // What is not JSON is no text to us.
        let output = case.path("echo.json");
        let path = output.to_str().unwrap();
        let args = [ECHO, "-d", &*data, "-H", "content-type: text/plain", "-o", path];
        assert_eq!(printed(&case, &args), "");
        let sent: Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
        assert_eq!(sent["length"], bytes.len(), "{name}");
    }
    // A stream that is too long to hold, too.
    let long = format!("[\"{}\"]", "é".repeat(800_000));
    let wide: Vec<u8> = long.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = case.path("long");
    for bytes in [
        [b"\xff\xfe", &*wide].concat(),
        [b"\xef\xbb\xbf", long.as_bytes()].concat(),
        long.as_bytes().to_vec(),
    ] {
        fs::write(&file, &bytes).unwrap();
        assert_eq!(echo(&case, &[ECHO, "-d", &at(&file)])["length"], long.len());
        let run = with_input(&case, &[ECHO, "-d", "@-"], &bytes);
        let sent: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(sent["length"], long.len());
    }
}

#[test]
fn a_part_is_sent_as_json_if_it_is_json() {
    let case = fresh();
    for (value, is_json) in [
        ("{\"a\": 1}", true),
        ("7", true),
        ("true", true),
        ("\"text\"", true),
        ("nightly run", false),
        ("", false),
        ("1 2", false),
    ] {
        let part = format!("name={value}");
        let args = [ECHO, "--part", &*part];
        let body = echo(&case, &args)["body"].as_str().unwrap().to_owned();
        let head = "Content-Disposition: form-data; name=\"name\"\r\n";
        let kind = if is_json { "Content-Type: application/json\r\n" } else { "" };
        assert!(body.contains(&format!("{head}{kind}\r\n{value}\r\n")), "{value}: {body}");
        let line = printed(&case, &[&args[..], &["--curl"]].concat());
        assert_eq!(line.contains(";type=application/json"), is_json, "{line}");
    }
}

#[test]
fn what_is_not_a_request_is_told_before_anything_is_sent() {
    let case = fresh();
    let file = |name: &str, bytes: &[u8]| {
        let path = case.path(name);
        fs::write(&path, bytes).unwrap();
        (at(&path), format!("a={}", at(&path)))
    };
    let (utf16, a_utf16) = file("utf16.json", b"\xff\xfe{\0}");
    let (odd, a_odd) = file("odd.json", b"\0{\0}\0");
    let (half, a_half) = file("half.json", b"\xff\xfe\"\0\x3d\xd8\"\0");
    let (utf32, a_utf32) = file("utf32.json", b"\xff\xfe\0\0{\0\0\0}\0\0\0");
    let (broken, _) = file("broken.json", b"\xff\xfe{\0a\0}\0");
    let (quoted, _) = file("quoted.json", b"'{\"a\":1}' \r\n");
    let (latin1, a_latin1) = file("latin1.json", b"{\n\"name\": \"Andr\xe9\"}");
    let (_, a_large) = file("large", b"");
    File::create(case.path("large")).unwrap().set_len((64 << 20) + 1).unwrap();
    for (args, code, words) in [
        (&["-F", &*a_large][..], 2, "large is larger than 64 MiB, the most"),
        (
            &["-d", "{a:1}"],
            2,
            "--data looks like JSON, but is not (line 1, column 2: a quotation mark is",
        ),
        (
            &["-d", "{\"a\":1"],
            2,
            "--data looks like JSON, but is not (line 1, column 6: the closing } is missing). ",
        ),
        (&["-d", "      [1,]"], 2, "--data looks like JSON"),
        (&["-F", "a={b:1}"], 2, "the field \"a\" looks like JSON, but"),
        (&["-d", &utf16[1..]], 2, "that is a file; its content is --data \"@"),
        (&["--part", &a_utf16.replace('@', "")], 2, "its content is --part \"a=@"),
        (&["--part", "a=@-", "--part", "b=@-"], 2, "one part alone"),
        (&["-F", "a=@-", "-F", "b=@-"], 2, "standard input can be one field alone"),
        // As of "@$file" where that is not set.
        (&["-d", "@"], 2, "--data: no file is named after the @"),
        (&["-F", "a=@"], 2, "the field \"a\": no file is named after the @"),
        (&["--part", "a=@"], 2, "--part a=: no file is named after the @"),
        (&["--part", "a=1", "-H", "Content-Type: x/y"], 2, "set by the client itself"),
        (&["--no-body", "-o", "y"], 2, "cannot be used with"),
        // To curl it means no progress, to gh no body.
        (&["-s"], 2, "unexpected argument '-s'"),
        (&["-X", "DELETE", "--paginate"], 2, "asked for with GET"),
        (&["-d", &utf16], 2, "utf16.json is neither UTF-8 nor UTF-16"),
        (&["-d", &odd], 2, "odd.json is neither UTF-8 nor UTF-16"),
        (&["-F", &a_odd], 2, "odd.json is neither UTF-8 nor UTF-16"),
        (&["-d", &half], 2, "half.json is neither UTF-8 nor UTF-16"),
        (&["-d", &utf32], 2, "utf32.json is neither UTF-8 nor UTF-16"),
        (&["-d", &broken], 2, "broken.json looks like JSON, but is not (line "),
        (&["-d", &quoted], 2, "quoted.json begins with a single quote"),
        (&["-d", &latin1], 2, "latin1.json is neither UTF-8 nor UTF-16: see line 2"),
        // As cmd.exe leaves them.
        (&["-d", "'{a:1}'"], 2, "--data begins with a single quote, so it is not JSON"),
        (&["-d", "'[1]'"], 2, "cmd.exe"),
        (&["-d", "'{a:", "1}'"], 2, "double quotes"),
        (&["-F", "a='{b:1}'"], 2, "the field \"a\" begins with a single quote"),
        (&["-f", "'a=b'"], 2, "cmd.exe"),
        (&["-F", "'a={b:1}'"], 2, "cmd.exe"),
        (&["--query", "'a=b'"], 2, "cmd.exe"),
        (&["--part", "'a=@file'"], 2, "cmd.exe"),
        (&["-H", "'A: b'"], 2, "cmd.exe"),
        (&["--part", "a={b:1}"], 2, "--part a= looks like JSON, but is not (line "),
        (&["--part", "a='{b:1}'"], 2, "--part a= begins with a single quote"),
        (&["-d", "@no-such-file"], 1, "no-such-file: "),
        (&["--part", "data=@no-such-file"], 1, "no-such-file: "),
        (&["-d", "1", "-X", "GET"], 2, "a GET request with a body is refused"),
        (&["-f", "a=b", "-X", "get"], 2, "goes into the query: --query a=b"),
        (&["-F", "a=b", "-X", "HEAD"], 2, "goes into the query: --query a=b"),
        (&["--paginate", "-f", "a=b"], 2, "goes into the query: --query a=b"),
        (&["/y"], 2, "only one path can be called"),
        (&["GET"], 2, "-X GET"),
        (&["get /y"], 2, "-X GET"),
        (&["-f", "a"], 2, "expected NAME=VALUE"),
        (&["-F", "a=@no-such-file"], 1, "no-such-file: "),
        (&["-F", &a_utf16], 2, "utf16.json is neither UTF-8 nor UTF-16"),
        (&["-F", &a_half], 2, "half.json is neither UTF-8 nor UTF-16"),
        (&["-F", &a_utf32], 2, "utf32.json is neither UTF-8 nor UTF-16"),
        (&["-F", &a_latin1], 2, "latin1.json is neither UTF-8 nor UTF-16: see line 2"),
        (&["-F", "a[b]=1"], 2, "the field \"a[b]\" has brackets: give its value as JSON"),
        (&["-f", "a[]=1"], 2, "has brackets"),
        (&["-f", "a=1", "-F", "a=2"], 2, "\"a\" is given twice"),
        (&["-f", "a=1", "-d", "x"], 2, "cannot be used with"),
        (&["--query", "=1"], 2, "--query"),
        (&["-H", "nothing"], 2, "expected NAME: VALUE"),
        (&["-H", "Authorization: Bearer x"], 2, "authorization is set by the client itself"),
        (&["-H", "Host: example.com"], 2, "host is set by the client itself"),
        (&["-H", "Content-Length: 1"], 2, "content-length is set"),
        (&["-H", "a b: c"], 2, "cannot be sent"),
        (&["-X", "A B"], 2, "not an HTTP method"),
        (&["-X", "CONNECT"], 2, "CONNECT"),
        (&["--paginate", "-d", "1"], 2, "the rows of a list are asked for with GET"),
        (&["--limit", "1"], 2, "--paginate"),
        (&["--format", "csv"], 2, "--paginate"),
        (&["--columns", "id"], 2, "--paginate"),
        (&["--bom"], 2, "--paginate"),
        (&["--paginate", "-i"], 2, "cannot be used with"),
    ] {
        call(&case, &[&["/x"], args].concat()).assert_says(code, &[words]);
    }
    for (path, words) in [
        ("/x/{WorkspaceId}", "{workspaceId} alone"),
        ("/{workspaceId}/x\ny", "control character"),
        ("/x\u{7f}", "control character"),
        ("/x#y", "%23"),
        ("/x?a=b\\c", "%5C"),
        ("", "the path \"\" is empty: name one such as /iam"),
        (" ", "is empty"),
        ("C:/Program Files/Git/v4/people", "Git Bash"),
    ] {
        call(&case, &[path]).assert_says(2, &[words]);
    }
    for (args, words) in [
        (&["GET", "/x"][..], "raw_call -X GET PATH"),
        (&["post", "/x", "-f", "a=b"], "raw_call -X POST PATH"),
        (&["DELETE"], "raw_call -X DELETE PATH"),
        (&["'/x'"], "cmd.exe"),
    ] {
        call(&case, args).assert_says(2, &[words]);
    }
    call(&case, &["/x?limit=1", "--paginate"]).assert_says(2, &["has a limit"]);
    // Though AAC_DIR is set, --dir is no part of what is missing.
    call(&case, &[]).assert_says(2, &["Usage: raw_call [OPTIONS] <PATH>\n"]);
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn nothing_goes_to_any_other_host() {
    let case = fresh();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let other = trap.local_addr().unwrap();
    for path in [
        &*format!("http://{other}/x"),
        &format!("//{other}/x"),
        &format!("http://{}@{other}/x", case.sandbox.url().trim_start_matches("http://")),
        &format!("@{other}/x"),
        &format!("\\\\{other}\\x"),
        &format!("/\\{other}/x"),
        &format!("http:{other}"),
        "https://example.com/",
        "file:///etc/passwd",
    ] {
        assert_eq!(call(&case, &[path]).code, Some(2), "{path}");
    }
    assert_eq!(case.sandbox.counters().connections, 0);

    // Redirects are not followed, and headers and the environment lead nowhere else.
    case.sandbox.add_fault(Fault::api(FaultKind::Redirect(format!("http://{other}/x"))).times(2));
    assert_eq!(call(&case, &[PERSON]).code, Some(3));
    assert_eq!(call(&case, &["/v4/people", "--paginate"]).code, Some(3));
    let mut command = case.program("raw_call");
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"] {
        command.env(name, format!("http://{other}"));
    }
    let location = format!("Location: http://{other}/");
    command.args([ECHO, "-H", &format!("X-Forwarded-Host: {other}"), "-H", &location]);
    assert_eq!(Run::of(&mut command).code, Some(0));
    assert_eq!(trap.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// The request as the sandbox saw it, without what differs from call to call.
#[cfg(unix)]
fn normal(mut echo: Value) -> Value {
    let mut boundary = String::new();
    if let Some(headers) = echo["headers"].as_array_mut() {
        for header in headers.iter_mut() {
            if let Some((kind, mark)) = header[1].as_str().unwrap().split_once("; boundary=") {
                boundary = mark.to_owned();
                header[1] = json!(kind.to_owned());
            }
        }
        // The length of a form depends on the boundary that each program makes up.
        headers.retain(|header| boundary.is_empty() || header[0] != "content-length");
        headers.sort_by_key(Value::to_string);
    }
    if !boundary.is_empty() {
        echo["body"] = json!(echo["body"].as_str().unwrap().replace(&boundary, "BOUNDARY"));
        echo["length"] = json!(0);
    }
    echo
}

/// Runs a line of `--curl`. Returns what curl printed, and what any user of the machine could read: its
/// arguments.
#[cfg(unix)]
fn run_line(case: &Case, line: &str) -> (String, String) {
    let watched = "curl() { printf '%s\n' \"$@\" >&2; command curl -s \"$@\"; };";
    let mut bash = acceptance::clean("bash");
    let bash = bash.args(["-c", &format!("{watched} {line}")]).env("WORKSPACE_ID", "31429");
    let run = Run::of(bash.env("ACCESS_TOKEN", &case.tokens.access_token));
    (run.stdout, run.stderr)
}

#[test]
#[cfg(unix)]
fn the_curl_line_sends_what_the_program_sends() {
    if !acceptance::have("curl") {
        return;
    }
    let case = fresh();
    let file = case.path("it's a \"file\".bin");
    fs::write(&file, b"PK\x03\x04\x00binary").unwrap();
    let (data, part) = (at(&file), format!("data={}", at(&file)));
    let quotes = ["-H", "X-Empty:", "-H", "X-Quote: it's \"so\"", "-H", "User-Agent: mine"];
    for args in [
        &[ECHO][..],
        &["/sandbox/echo?a[b]={c}&d=/../e", "--query", "it's=$HOME `x` \"y\" \\ !"],
        &["/sandbox/echo/a/../b"],
        &["/sandbox/echo/./c"],
        &[ECHO, "-f", "a=it's", "-F", "b=[1, 2]", "-f", "c=$ACCESS_TOKEN `date` \\n"],
        &[ECHO, "-d", "line one\nline two\r\n", "-H", "Content-Type: text/plain"],
        &[ECHO, "-d", &data, "-X", "PUT"],
        &[ECHO, "-d", "", "-X", "POST"],
        &[ECHO, "-X", "POST"],
        &[ECHO, "-X", "PUT", "-H", "content-type: text/plain"],
        &[&[ECHO, "-X", "DELETE"], &quotes[..]].concat(),
        &[ECHO, "--part", &part, "--part", "mapping={\"a\": \"b;c\"}"],
        &["sandbox/echo/{workspaceId}"],
    ] {
        let sent = echo(&case, args);
        let line = printed(&case, &[args, &["--curl"]].concat());
        let (output, arguments) = run_line(&case, &line);
        let by_curl: Value = serde_json::from_str(&output)
            .unwrap_or_else(|error| panic!("{error}: {line} {output} {arguments}"));
        assert_eq!(normal(by_curl), normal(sent.clone()), "{line}");
        assert!(arguments.contains("--header\n@/dev/fd/"), "{arguments}");
        assert!(!arguments.contains(&case.tokens.access_token), "{arguments}");

        // And the dry run shows it.
        let shown = printed(&case, &[args, &["--dry-run"]].concat());
        let (head, body) = shown.split_once("\n\n").unwrap_or((shown.trim_end(), ""));
        let mut lines = head.lines();
        let query = sent["query"].as_str().map_or(String::new(), |query| format!("?{query}"));
        let url = format!("{}{}{query}", case.sandbox.url(), sent["path"].as_str().unwrap());
        let first = lines.next().unwrap().replace("{workspaceId}", "31429");
        assert_eq!(first, format!("{} {url}", sent["method"].as_str().unwrap()));
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            let value = value.replace("$ACCESS_TOKEN", "(redacted)");
            if name != "content-type" || !value.starts_with("multipart") {
                assert_eq!(header(&sent, name), Some(value.as_str()), "{name}");
            }
        }
        if args.contains(&"-f") {
            assert_eq!(body.trim_end(), sent["body"].as_str().unwrap());
        }
    }
    for (flags, has_head, has_body) in [
        (&["--no-body"][..], false, false),
        (&["--no-body", "-i"], true, false),
        (&["-i"], true, true),
    ] {
        let line = printed(&case, &[&[PERSON, "--curl"], flags].concat());
        let shown = run_line(&case, &line).0;
        assert_eq!(shown.starts_with("HTTP/1.1 200 OK"), has_head, "{flags:?}: {shown}");
        assert_eq!(shown.contains("lastLoginTime"), has_body, "{flags:?}: {shown}");
    }
}

#[test]
fn a_dry_run_contacts_nobody() {
    let case = Case::expired(Options::default());
    let url = case.sandbox.url();
    let people = "iam/v1/workspaces/{workspaceId}/people";
    let pages = format!("GET {url}/x?a=b&limit=7&offset=0&includeCount=true\n");
    // As in a line that was used without --paginate before.
    let counted = format!("GET {url}/x?includeCount=true&limit=100&offset=0\n");
    for (args, first) in [
        (&["/x", "--dry-run"][..], &*format!("GET {url}/x\n")),
        (&["/x", "-d", "1", "--dry-run"], "POST "),
        (&[people, "--paginate", "--dry-run"], "GET "),
        (&["/x?a=b", "--paginate", "--page-size", "7", "--dry-run"], &pages),
        (&["/x?includeCount=true", "--paginate", "--dry-run"], &counted),
        (&[people, "--curl"], "curl "),
    ] {
        let shown = printed(&case, args);
        assert!(shown.starts_with(first), "{shown}");
        let token = match args.contains(&"--curl") {
            true => r#"--header @<(printf 'authorization: Bearer %s\n' "$ACCESS_TOKEN")"#,
            false => "authorization: Bearer $ACCESS_TOKEN\n",
        };
        assert!(shown.contains(token), "{shown}");
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    assert_eq!(case.refresh_token(), case.tokens.refresh_token);
}
