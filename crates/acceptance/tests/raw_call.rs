//! raw_call: every flag, every kind of body and answer, and nothing for any other host.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;

const ECHO: &str = "/sandbox/echo";

fn case() -> Case {
    Case::fresh(Options::default())
}

fn call(case: &Case, args: &[&str]) -> Run {
    case.call("raw_call", args)
}

/// What the sandbox says it was sent.
#[track_caller]
fn echo(case: &Case, args: &[&str]) -> Value {
    let run = call(case, args);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

fn header<'a>(echo: &'a Value, name: &str) -> Option<&'a str> {
    let headers = echo["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name)?[1].as_str()
}

#[test]
fn an_answer_is_printed_as_it_came() {
    let case = case();
    let run = call(&case, &["/iam/v1/workspaces/current"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout.starts_with(r#"{"id":31429,"name":"lukes-test-workspace""#),
        "{}",
        run.stdout
    );
    for path in
        ["iam/v1/workspaces/current", &format!("{}/iam/v1/workspaces/current", case.sandbox.url())]
    {
        assert_eq!(call(&case, &[path]).stdout, run.stdout, "{path}");
    }
    let people = call(&case, &["iam/v1/workspaces/{workspaceId}/people?limit=1"]);
    assert!(people.stdout.contains("Ada Lovelace"), "{}", people.stdout);
    // A job's status is a bare JSON string.
    let job = call(&case, &["/v4/jobGroups", "-F", r#"wrangledDataset={"id":7}"#]);
    let job: Value = serde_json::from_str(&job.stdout).unwrap();
    let status = call(&case, &[&format!("/v4/jobGroups/{}/status", job["id"])]);
    assert_eq!((status.code, status.stdout.as_str()), (Some(0), "\"Created\""));
}

#[test]
fn the_flags_of_a_request_make_it() {
    let case = case();
    let plain = echo(&case, &[ECHO]);
    assert_eq!((&plain["method"], &plain["length"]), (&json!("GET"), &json!(0)));
    assert_eq!(header(&plain, "accept"), Some("application/json"));
    assert_eq!(header(&plain, "content-type"), None);

    let queried =
        echo(&case, &[ECHO, "--query", "a=b c", "--query", "dateFilter[createdAt][gte]=1&2"]);
    assert_eq!(queried["query"], "a=b%20c&dateFilter[createdAt][gte]=1%262");
    let queried = echo(&case, &["/sandbox/echo?x=1", "--query", "y="]);
    assert_eq!(queried["query"], "x=1&y=");

    // A package comes as it is, wherever it goes.
    for output in ["-", "package.zip"] {
        let shown = call(&case, &[ECHO, "-o", output, "--dry-run"]).stdout;
        assert!(shown.contains("\naccept: */*\n"), "-o {output}: {shown}");
    }

    let fields = echo(
        &case,
        &[
            ECHO,
            "-f",
            "a=1",
            "-F",
            "b=1",
            "-F",
            "c=[true]",
            "-F",
            "d=x",
            "--raw-field",
            "e==",
            "--field",
            "f=1.10",
        ],
    );
    assert_eq!(
        (&fields["method"], header(&fields, "content-type")),
        (&json!("POST"), Some("application/json"))
    );
    assert_eq!(fields["body"], r#"{"a":"1","e":"=","b":1,"c":[true],"d":"x","f":1.10}"#);

    let data = echo(&case, &[ECHO, "-d", "{ \"a\" : 1 }", "-X", "patch"]);
    assert_eq!((&data["method"], &data["body"]), (&json!("PATCH"), &json!("{ \"a\" : 1 }")));
    let data = echo(
        &case,
        &[
            ECHO,
            "--data",
            "-1",
            "--method",
            "PUT",
            "-H",
            "Content-Type: text/plain",
            "-H",
            "X-Mine:b",
            "--header",
            "x-mine: c",
        ],
    );
    assert_eq!((&data["body"], header(&data, "content-type")), (&json!("-1"), Some("text/plain")));
    assert_eq!(data["headers"].to_string().matches("x-mine").count(), 2);
    let text = echo(&case, &[ECHO, "-d", "{no json", "-H", "content-type: text/plain"]);
    assert_eq!(text["body"], "{no json");
    assert_eq!(echo(&case, &[ECHO, "-d", ""])["length"], 0);
    assert_eq!(echo(&case, &[ECHO, "-X", "DELETE"])["method"], "DELETE");
    // A POST without a body has a length all the same; anything else has no business with one.
    let bare = echo(&case, &[ECHO, "-X", "POST"]);
    assert_eq!((header(&bare, "content-length"), header(&bare, "content-type")), (Some("0"), None));
    assert_eq!(header(&bare, "transfer-encoding"), None);
    assert_eq!(header(&echo(&case, &[ECHO, "-X", "DELETE"]), "content-length"), None);
    assert_eq!(header(&echo(&case, &[ECHO, "-H", "accept: */*"]), "accept"), Some("*/*"));

    let file = case.path("body.json");
    fs::write(&file, "{\"from\":\"a file\"}\n").unwrap();
    let from_file = echo(&case, &[ECHO, "-d", &format!("@{}", file.display())]);
    assert_eq!(from_file["body"], "{\"from\":\"a file\"}\n");
}

#[test]
fn fields_make_a_body_that_keeps_every_digit_and_key() {
    let case = case();
    let file = case.path("note.txt");
    fs::write(&file, "7 \"ü\"\n").unwrap();
    let note = format!("note=@{}", file.display());
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
        (&["-f", "a=@x", "-f", "b=true"], r#"{"a":"@x","b":"true"}"#),
        (&["-F", "a={\"b\": [1, 2]}", "-F", "a\"b=x"], r#"{"a":{"b": [1, 2]},"a\"b":"x"}"#),
    ] {
        assert_eq!(echo(&case, &[&[ECHO], args].concat())["body"], body, "{args:?}");
        let shown = call(&case, &[&[ECHO, "--dry-run"], args].concat()).stdout;
        assert!(shown.ends_with(&format!("\n\n{body}\n")), "{shown}");
    }
}

#[test]
fn a_url_is_encoded_where_it_must_be_and_as_long_as_can_be_sent() {
    let case = case();
    for (path, sent) in [
        ("sandbox/echo/Łukasz/a b", "/sandbox/echo/%C5%81ukasz/a%20b"),
        ("sandbox/echo/%C5%81/100%/%2f%zz", "/sandbox/echo/%C5%81/100%25/%2f%25zz"),
        ("sandbox/echo/\"<>^`|", "/sandbox/echo/%22%3C%3E%5E%60%7C"),
    ] {
        assert_eq!(echo(&case, &[path])["path"], sent);
        let whole = format!("{}/{path}", case.sandbox.url());
        assert_eq!(echo(&case, &[&whole])["path"], sent);
        let shown = call(&case, &[path, "--dry-run"]).stdout;
        assert!(shown.starts_with(&format!("GET {}{sent}\n", case.sandbox.url())), "{shown}");
    }
    assert_eq!(
        echo(&case, &["/sandbox/echo?name=é ü&x=%20"])["query"],
        "name=%C3%A9%20%C3%BC&x=%20"
    );

    let long = format!("a={}", "x".repeat(30_000));
    assert_eq!(echo(&case, &[ECHO, "--query", &long])["query"], long);
    let calls = case.sandbox.counters().api_calls;
    if cfg!(windows) {
        // A command line there is 32,767 characters long at most.
        return;
    }
    // Longer than one argument can be on Linux.
    let too_long = call(&case, &[ECHO, "--query", &long, "--query", &long, "--query", &long]);
    assert_eq!(too_long.code, Some(2));
    let length = case.sandbox.url().len() + ECHO.len() + 3 * (1 + long.len());
    let words =
        format!("raw_call: the URL is too long: {length} characters, at most 65534 can be sent\n");
    assert_eq!(too_long.stderr, words);
    assert_eq!(case.sandbox.counters().api_calls, calls);
}

/// A server that gives this response to each of so many requests.
fn serve(case: &Case, times: usize, head: &str, body: Vec<u8>) -> thread::JoinHandle<()> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(case.path("aac_url.txt"), format!("http://{}", listener.local_addr().unwrap()))
        .unwrap();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
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
    let case = case();
    let body: Vec<u8> = (0..3_000_000u32).map(|number| b'a' + (number % 23) as u8).collect();
    let server = serve(&case, 2, "422 Unprocessable Content", body.clone());
    let run = call(&case, &["/x"]);
    assert_eq!(run.code, Some(4));
    assert!(run.stdout.as_bytes() == body, "{} bytes", run.stdout.len());
    assert!(run.stderr.starts_with("raw_call: HTTP 422 "), "{}", run.stderr);
    // And a reader that has had enough of it does not hide the error.
    let mut command = case.program("raw_call");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.arg("/x").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    server.join().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_an_error_begins_on_a_line_of_its_own() {
    let case = case();
    let server = serve(&case, 2, "400 Bad Request", b"no newline".to_vec());
    for args in [&["/x"][..], &["/x", "-o", "-"]] {
        let shown = acceptance::on_terminal(case.program("raw_call").args(args), 80);
        assert!(shown.starts_with("no newline\r\nraw_call: HTTP 400 Bad Request"), "{shown}");
    }
    server.join().unwrap();
}

#[test]
fn standard_input_is_read_where_it_is_asked_for_and_nowhere_else() {
    let case = case();
    let with = |args: &[&str], input: &[u8]| {
        let mut child = case
            .program("raw_call")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read it closes it.
        let _ = child.stdin.take().unwrap().write_all(input);
        Run::from(child)
    };
    let echoed = |run: &Run| serde_json::from_str::<Value>(&run.stdout).unwrap();
    let small = with(&[ECHO, "-d", "@-"], b"[1,2]");
    assert_eq!(echoed(&small)["body"], "[1,2]");
    assert_eq!(header(&echoed(&small), "content-length"), Some("5"));
    // More than is held in memory goes on in chunks.
    let large = vec![b'x'; 3_000_000];
    let run = with(&[ECHO, "-d", "@-"], &large);
    assert_eq!(echoed(&run)["length"], 3_000_000);
    assert_eq!(header(&echoed(&run), "transfer-encoding"), Some("chunked"));
    let part = with(&[ECHO, "--part", "data=@-"], b"PK");
    assert!(echoed(&part)["body"].as_str().unwrap().contains("filename=\"data\"\r\n"));
    assert_eq!(with(&[ECHO, "-d", "@-"], b"{a").code, Some(2));
    let latin1 = with(&[ECHO, "-d", "@-"], b"\"Andr\xe9\"");
    assert_eq!(latin1.code, Some(2));
    assert!(latin1.stderr.contains("standard input is not UTF-8"), "{}", latin1.stderr);
    let field = with(&[ECHO, "-F", "text=@-"], "line 1\nline \"2\"".as_bytes());
    assert_eq!(echoed(&field)["body"], r#"{"text":"line 1\nline \"2\""}"#);

    // A pipe that nobody writes to and nobody closes: reading it would wait for ever.
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut command = case.program("raw_call");
    assert_eq!(Run::of(command.arg(ECHO).stdin(reader)).code, Some(0));
}

#[test]
fn a_body_that_was_a_stream_is_not_sent_twice() {
    let case = case();
    case.sandbox.revoke_access_tokens();
    let mut child = case
        .program("raw_call")
        .args([ECHO, "-d", "@-", "-H", "Expect:"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 3_000_000]);
    let run = Run::from(child);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("cannot be sent a second time: run this again"), "{}", run.stderr);
    // The tokens are new, so that the second run will do.
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));

    // A file can be.
    let file = case.path("upload");
    fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    case.sandbox.revoke_access_tokens();
    let echoed = echo(&case, &[ECHO, "-d", &format!("@{}", file.display())]);
    assert_eq!(echoed["length"], 3_000_000);
    assert_eq!(case.sandbox.counters().refreshes, 2);
}

#[test]
fn an_upload_and_a_download_are_the_same_bytes() {
    let case = Case::fresh(Options { package_size: 3_000_000, ..Options::default() });
    let package = case.path("plan.zip");
    let path = package.to_str().unwrap();
    let run = call(&case, &["/plans/v1/plans/7/package", "-o", path]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    let length = fs::metadata(&package).unwrap().len();
    assert!(length >= 3_000_000);
    assert_eq!(case.sandbox.requests().last().unwrap().header("accept"), Some("*/*"));
    // The same on a pipe, and as -o -.
    for args in [&["/plans/v1/plans/7/package"][..], &["/plans/v1/plans/7/package", "-o", "-"]] {
        let output = case.program("raw_call").args(args).output().unwrap();
        assert_eq!(output.stdout, fs::read(&package).unwrap());
    }
    for name in ["data", "File"] {
        let part = format!("{name}=@{path}");
        let mapping = "environmentParameterMapping={}";
        let run = call(&case, &["/plans/v1/plans/package", "--part", &part, "--part", mapping]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let imported: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(imported["data"][0]["size"], length);
    }
}

#[test]
fn a_file_is_untouched_on_error_and_whole_otherwise() {
    let case = case();
    let file = case.path("out");
    let path = file.to_str().unwrap();
    let names = case.names();
    for (kind, code) in
        [(FaultKind::ServerError, 5), (FaultKind::Cut, 1), (FaultKind::ResetAfter, 1)]
    {
        case.sandbox.add_fault(Fault::api(kind).always());
        let run = call(&case, &["/v4/people/current", "-o", path, "--retry", "0"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{}", run.stderr);
        case.sandbox.clear_faults();
        assert_eq!(case.names(), names);
    }
    fs::write(&file, "old").unwrap();
    let run = call(&case, &["/nowhere", "-o", path]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), ""));
    assert!(run.stderr.starts_with("{\"exception\""), "the body is on stderr: {}", run.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(call(&case, &["/v4/people/current", "-o", path]).code, Some(0));
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"lastLoginTime\""));

    let calls = case.sandbox.counters().api_calls;
    for (path, words) in [
        (case.folder.path().to_str().unwrap(), "is a folder"),
        ("/no/such/folder/x", "/no/such/folder/x: "),
    ] {
        let run = call(&case, &["/v4/people/current", "-o", path]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert_eq!(case.sandbox.counters().api_calls, calls, "what cannot be kept is not asked for");
    if Path::new("/dev/full").exists() {
        let run = call(&case, &["/v4/people/current", "-o", "/dev/full"]);
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.starts_with("raw_call: /dev/full: "), "{}", run.stderr);
    }
}

#[test]
#[cfg(unix)]
fn a_link_stays_one_and_standard_output_is_not_replaced() {
    let case = case();
    let (link, file) = (case.path("link"), case.path("file"));
    std::os::unix::fs::symlink("file", &link).unwrap();
    // The file is made first, then replaced.
    for _ in 0..2 {
        let run = call(&case, &["/v4/people/current", "-o", link.to_str().unwrap()]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(fs::read_to_string(&file).unwrap().starts_with("{\"lastLoginTime\""));
    }
    let log = case.path("log");
    fs::write(&log, "before\n").unwrap();
    let append = File::options().append(true).open(&log).unwrap();
    let mut command = case.program("raw_call");
    command.args(["/v4/people/current", "-o", "/dev/stdout"]).stdout(append);
    assert_eq!(Run::of(&mut command).code, Some(0));
    assert!(fs::read_to_string(&log).unwrap().starts_with("before\n{"));
}

#[test]
fn a_server_that_quotes_the_token_does_not_get_it_printed() {
    let case = case();
    let body = format!("{{\"message\":\"bad header Bearer {}\"}}", case.tokens.access_token);
    let server = serve(&case, 2, "400 Bad Request", body.into_bytes());
    let file = case.path("out");
    let run = call(&case, &["/x", "-o", file.to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), ""));
    assert!(run.stderr.matches("(redacted)").count() > 1, "{}", run.stderr);
    let run = call(&case, &["/x", "--paginate"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), ""));
    server.join().unwrap();
}

#[test]
fn all_pages_are_one_array() {
    let case = Case::fresh(Options { users: 250, ..Options::default() });
    let people = "iam/v1/workspaces/{workspaceId}/people";
    let array = |run: &Run| serde_json::from_str::<Vec<Value>>(&run.stdout).unwrap().len();
    let run = call(&case, &[people, "--paginate"]);
    assert_eq!((run.code, array(&run), run.stderr.as_str()), (Some(0), 250, ""));
    assert_eq!(case.sandbox.counters().api_calls, 4);
    let run = call(
        &case,
        &[people, "--paginate", "--limit", "120", "--page-size", "50", "--query", "sort=-id"],
    );
    assert_eq!(array(&run), 120);
    let last = case.sandbox.requests().pop().unwrap().path;
    assert_eq!(
        last,
        "/iam/v1/workspaces/31429/people?sort=-id&limit=20&offset=100&includeCount=true"
    );
    let file = case.path("people.json");
    let run = call(&case, &[people, "--paginate", "-o", file.to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&fs::read(&file).unwrap()).unwrap().len(), 250);
    assert_eq!(
        array(&call(&case, &["plans/v1/plans", "--paginate", "--query", "filter=nothing"])),
        0
    );

    // Cut short: no array, and the body of the error is no part of it.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(2).always());
    let run = call(&case, &[people, "--paginate"]);
    assert_eq!(run.code, Some(5));
    assert!(serde_json::from_str::<Value>(&run.stdout).is_err());
    assert_eq!(run.stdout.matches("@example.com").count(), 100);
    assert!(run.stderr.starts_with("{\"exception\""), "{}", run.stderr);
    assert!(run.stderr.contains("; stopped after 100 of 250 rows\n"), "{}", run.stderr);
    case.sandbox.clear_faults();
    let run = call(&case, &["/v4/people/current", "--paginate"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("is not a list"), "{}", run.stderr);
}

#[test]
fn one_page_of_a_list_is_said_to_be_one() {
    let case = Case::fresh(Options { users: 250, ..Options::default() });
    let people = "iam/v1/workspaces/31429/people";
    for (path, hint) in [
        ("?includeCount=true", "this is 25 of 250 rows"),
        ("?includeCount=true&limit=3", "this is 3 of 250 rows"),
        ("?includeCount=true&limit=100&offset=100", "this is 100 of 250 rows"),
        ("", "this may be 25 rows of a longer list"),
        // All, or none, or as many as were asked for.
        ("?includeCount=true&limit=1000", ""),
        ("?limit=26", ""),
        ("?limit=25", ""),
        ("?includeCount=true&limit=50&offset=200", ""),
        ("?filter=nothing&includeCount=true", ""),
    ] {
        let run = call(&case, &[&format!("{people}{path}")]);
        let hint = match hint {
            "" => String::new(),
            hint => format!("raw_call: {hint}; --paginate prints all\n"),
        };
        assert_eq!((run.code, run.stderr), (Some(0), hint), "{path}");
        assert!(run.stdout.starts_with("{\"data\":["));
    }
    let count = format!("{people}?includeCount=true");
    let file = case.path("page.json");
    let run = call(&case, &[&count, "-o", file.to_str().unwrap()]);
    assert!(run.stderr.contains("this is 25 of 250 rows"), "{}", run.stderr);
    for args in [
        &[&*count, "--no-body"][..],
        &["/v4/people/current"],
        &["plans/v1/plans"],
        &["plans/v1/plans/7/package"],
    ] {
        let mut command = case.program("raw_call");
        let output = command.args(args).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn errors_have_their_body_on_stdout_and_one_line_of_what_happened() {
    let case = case();
    let url = case.sandbox.url();
    for (kind, code, line, hint) in [
        (FaultKind::Unauthorized, 4, "HTTP 401 Unauthorized", "does not accept the access token"),
        (FaultKind::InvalidKey, 4, "HTTP 401 Unauthorized: Invalid ApiKey", "client_id.txt"),
        (
            FaultKind::Forbidden,
            4,
            "HTTP 403 Forbidden: User is not authorised to access this API.",
            "lacks a privilege",
        ),
        (FaultKind::NotFound, 4, "HTTP 404 Not Found", "Check the path"),
        (FaultKind::TooManyRequests(9), 4, "HTTP 429 Too Many Requests", "again in 9 s"),
        (FaultKind::ServerError, 5, "HTTP 500 Internal Server Error", "Try again later"),
        (
            FaultKind::Redirect("https://example.com/".to_owned()),
            3,
            "HTTP 302 Found",
            "not followed",
        ),
    ] {
        case.sandbox.add_fault(Fault::api(kind.clone()).always());
        let run = call(&case, &["/x", "--retry", "0"]);
        assert_eq!(run.code, Some(code), "{kind:?}");
        let first = run.stderr.lines().next().unwrap();
        assert!(first.starts_with(&format!("raw_call: {line}")), "{first}");
        assert!(first.ends_with(&format!(" (GET {url}/x)")), "{first}");
        assert!(run.stderr.contains(hint), "{}", run.stderr);
        let silent = call(&case, &["/x", "--retry", "0", "--no-body"]);
        assert_eq!((silent.code, silent.stdout.as_str()), (Some(code), ""));
        let included = call(&case, &["/x", "--retry", "0", "-i"]);
        assert!(included.stdout.starts_with("HTTP/1.1 "), "{}", included.stdout);
        assert!(
            included.stdout.ends_with(&format!("\n\n{}", run.stdout))
                || kind == FaultKind::Unauthorized,
            "{}",
            included.stdout
        );
        case.sandbox.clear_faults();
    }
}

#[test]
fn what_is_shown_of_an_answer() {
    let case = case();
    let run = call(&case, &["-i", "/v4/people/current"]);
    let (head, body) = run.stdout.split_once("\n\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\n") && head.contains("\ncontent-type: application/json"),
        "{head}"
    );
    assert!(body.starts_with("{\"lastLoginTime\""), "{body}");
    let run = call(&case, &["--no-body", "--include", "/v4/people/current"]);
    assert!(
        run.stdout.starts_with("HTTP/1.1 200 OK\n") && run.stdout.ends_with("\n\n"),
        "{}",
        run.stdout
    );
    assert_eq!(call(&case, &["--no-body", "/v4/people/current"]).stdout, "");
    let run = call(&case, &["-X", "HEAD", "-i", "/v4/people/current"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("HTTP/1.1 200 OK\n") && run.stdout.ends_with("\n\n"),
        "{}",
        run.stdout
    );
    let run = call(&case, &["-X", "DELETE", "/plans/v1/plans/7"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));

    let run = call(&case, &["-v", "/v4/people/current", "-H", "X-Mine: yes"]);
    for line in [
        "> GET http://",
        "> x-mine: yes",
        "> authorization: Bearer (redacted)",
        "< HTTP 200 OK",
        "< content-type: ",
    ] {
        assert!(
            run.stderr.contains(&format!("raw_call: {line}")),
            "{line} is not in {}",
            run.stderr
        );
    }
    assert!(run.stdout.starts_with("{\"lastLoginTime\""), "the result, and nothing else");
    assert!(!run.stderr.contains(case.sandbox.project_id()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_upload_is_counted_on_a_terminal() {
    let case = case();
    let file = case.path("package.zip");
    File::create(&file).unwrap().set_len(4 << 20).unwrap();
    let part = format!("data=@{}", file.display());
    let mut command = case.program("raw_call");
    let shown = acceptance::on_terminal(command.args([ECHO, "--part", &part]), 80);
    assert!(shown.contains(" of 4.00 MiB, "), "{shown}");
    let mut command = case.program("raw_call");
    let shown = acceptance::on_terminal(command.args([ECHO, "-f", "name=x"]), 80);
    assert!(!shown.contains(" of "), "{shown}");
}

#[test]
#[cfg(unix)]
fn files_that_are_not_plain_ones_are_bodies_too() {
    let case = case();
    let pipe = case.path("pipe");
    assert!(acceptance::clean("mkfifo").arg(&pipe).status().unwrap().success());
    let data = format!("@{}", pipe.display());
    for (text, words) in [("{\"a\": 1", Some("looks like JSON, but")), ("{\"a\": 1}", None)] {
        let to = pipe.clone();
        let writer = thread::spawn(move || fs::write(to, text).unwrap());
        let run = call(&case, &[ECHO, "-d", &data]);
        writer.join().unwrap();
        match words {
            Some(words) => {
                assert_eq!(run.code, Some(2));
                assert!(run.stderr.contains(words), "{}", run.stderr);
            }
            None => {
                let echo: Value = serde_json::from_str(&run.stdout).unwrap();
                assert_eq!(
                    (echo["body"].as_str(), header(&echo, "content-length")),
                    (Some(text), Some("8"))
                );
            }
        }
    }
    // More than is held in memory is a stream.
    let to = pipe.clone();
    let writer = thread::spawn(move || fs::write(to, vec![b'a'; 3 << 20]).unwrap());
    let long = echo(&case, &[ECHO, "-d", &data]);
    writer.join().unwrap();
    assert_eq!((long["length"].as_u64(), header(&long, "content-length")), (Some(3 << 20), None));

    let empty = case.path("empty");
    fs::write(&empty, "").unwrap();
    let sent = echo(&case, &[ECHO, "-d", &format!("@{}", empty.display())]);
    assert_eq!(header(&sent, "content-length"), Some("0"));
    assert_eq!(header(&sent, "transfer-encoding"), None);

    if let Ok(version) = fs::read_to_string("/proc/version") {
        let sent = echo(&case, &[ECHO, "-d", "@/proc/version"]);
        assert_eq!(sent["body"].as_str(), Some(version.as_str()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_what_a_person_can_read() {
    let case = Case::fresh(Options { users: 34, ..Options::default() });
    let shown = |args: &[&str]| acceptance::on_terminal(case.program("raw_call").args(args), 80);
    let person = shown(&["/v4/people/current"]);
    assert!(person.starts_with("{\r\n  \"lastLoginTime\": \"2025-"), "{person}");
    let strangers = shown(&["iam/v1/workspaces/31429/people?limit=34"]);
    let raw = |character: char| {
        character.is_control() && !"\r\n".contains(character)
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!strangers.contains(raw) && strangers.contains("\\u009b31mC1"), "{strangers}");
    let pages = shown(&["iam/v1/workspaces/31429/people", "--paginate", "--limit", "2"]);
    assert!(
        pages.starts_with("[\r\n  {\r\n    \"last") && pages.ends_with("\r\n  }\r\n]\r\n"),
        "{pages}"
    );
    let binary = shown(&["/plans/v1/plans/7/package"]);
    assert_eq!(
        binary,
        "raw_call: the response is binary and is not shown: save it with -o FILE\r\n"
    );
    assert!(shown(&["/plans/v1/plans/7/package", "-o", "-"]).contains("PK"), "asked for");
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).after(1).always());
    let cut = shown(&[
        "iam/v1/workspaces/31429/people",
        "--paginate",
        "--page-size",
        "2",
        "--retry",
        "0",
    ]);
    assert!(cut.contains("  }\r\n{\"exception\""), "the error begins on a line of its own: {cut}");
    case.sandbox.clear_faults();
    case.sandbox.add_fault(Fault::api(FaultKind::HtmlPage));
    assert!(shown(&["/v4/people/current"]).contains("<html"), "text as it is");
    // A download is counted, and the count is gone at the end, however that comes.
    let file = case.path("plan.zip");
    let download = shown(&["/plans/v1/plans/7/package", "-o", file.to_str().unwrap()]);
    assert!(download.is_empty() || download.ends_with("\r\u{1b}[2K"), "{download:?}");
    case.sandbox.add_fault(Fault::api(FaultKind::Cut));
    let cut = shown(&["/plans/v1/plans/7/package", "-o", file.to_str().unwrap(), "--retry", "0"]);
    assert!(cut.starts_with("raw_call: ") || cut.contains("\r\u{1b}[2Kraw_call: "), "{cut:?}");
}

#[test]
fn what_is_not_a_request_is_told_before_anything_is_sent() {
    let case = case();
    let utf16 = case.path("utf16.json");
    fs::write(&utf16, b"\xff\xfe{\0}\0").unwrap();
    let marked = case.path("bom.json");
    fs::write(&marked, "\u{feff}{}").unwrap();
    let latin1 = case.path("latin1.json");
    fs::write(&latin1, b"{\n\"name\": \"Andr\xe9\"}").unwrap();
    let large = case.path("large");
    File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    let at = |path: &Path| format!("@{}", path.display());
    for (args, code, words) in [
        (
            &["/x", "-F", &format!("a={}", at(&large))][..],
            2,
            "large is larger than 64 MiB, the most",
        ),
        (&["/x", "-d", "{a:1}"], 2, "--data looks like JSON, but is not: "),
        (&["/x", "-d", "[1,]"], 2, "--data looks like JSON"),
        (&["/x", "-F", "a={b:1}"], 2, "the field \"a\" looks like JSON, but"),
        (&["/x", "-d", utf16.to_str().unwrap()], 2, "that is a file; its content is --data \"@"),
        (&["/x", "--part", &format!("a={}", utf16.display())], 2, "its content is --part \"a=@"),
        (&["/x", "-d", "      {a:1}"], 2, "--data looks like JSON"),
        (&["/x", "--part", "a=@-", "--part", "b=@-"], 2, "one part alone"),
        (&["/x", "-F", "a=@-", "-F", "b=@-"], 2, "standard input can be one field alone"),
        // As of "@$file" where that is not set.
        (&["/x", "-d", "@"], 2, "--data: no file is named after the @"),
        (&["/x", "-F", "a=@"], 2, "the field \"a\": no file is named after the @"),
        (&["/x", "--part", "a=@"], 2, "--part a=: no file is named after the @"),
        (&["/x", "--part", "a=1", "-H", "Content-Type: x/y"], 2, "set by the client itself"),
        (&["/x/{WorkspaceId}"], 2, "{workspaceId} alone"),
        (&["/{workspaceId}/x\ny"], 2, "control character"),
        (&["/x", "--no-body", "-o", "y"], 2, "cannot be used with"),
        // To curl it means no progress, to gh no body.
        (&["/x", "-s"], 2, "unexpected argument '-s'"),
        (&["/x", "-X", "DELETE", "--paginate"], 2, "asked for with GET"),
        (&["/x", "-d", &at(&utf16)], 2, "utf16.json is UTF-16: save it as UTF-8"),
        (&["/x", "-d", &at(&marked)], 2, "byte order mark"),
        (&["/x", "-d", &at(&latin1)], 2, "latin1.json is not UTF-8, as JSON must be: see line 2"),
        (&["/x", "-d", "@no-such-file"], 1, "no-such-file: "),
        (&["/x", "--part", "data=@no-such-file"], 1, "no-such-file: "),
        (&["/x", "-d", "1", "-X", "GET"], 2, "a GET request with a body is refused"),
        (&["/x", "-f", "a"], 2, "expected NAME=VALUE"),
        (&["/x", "-F", "a=@no-such-file"], 1, "no-such-file: "),
        (&["/x", "-F", &format!("a={}", at(&utf16))], 2, "utf16.json is UTF-16: save it as UTF-8"),
        (&["/x", "-F", &format!("a={}", at(&marked))], 2, "byte order mark"),
        (&["/x", "-F", &format!("a={}", at(&latin1))], 2, "latin1.json is not UTF-8"),
        (&["/x", "-F", "a[b]=1"], 2, "the field \"a[b]\" has brackets: give its value as JSON"),
        (&["/x", "-f", "a[]=1"], 2, "has brackets"),
        (&["/x", "-f", "a=1", "-F", "a=2"], 2, "\"a\" is given twice"),
        (&["/x", "-f", "a=1", "-d", "x"], 2, "cannot be used with"),
        (&["/x", "--query", "=1"], 2, "--query"),
        (&["/x", "-H", "nothing"], 2, "expected NAME: VALUE"),
        (&["/x", "-H", "Authorization: Bearer x"], 2, "authorization is set by the client itself"),
        (&["/x", "-H", "Host: example.com"], 2, "host is set by the client itself"),
        (&["/x", "-H", "Content-Length: 1"], 2, "content-length is set"),
        (&["/x", "-H", "a b: c"], 2, "cannot be sent"),
        (&["/x", "-X", "A B"], 2, "not an HTTP method"),
        (&["/x", "-X", "CONNECT"], 2, "CONNECT"),
        (&["/x\u{7f}"], 2, "control character"),
        (&["/x#y"], 2, "%23"),
        (&["C:/Program Files/Git/v4/people"], 2, "Git Bash"),
        (&["/x", "--paginate", "-d", "1"], 2, "the rows of a list are asked for with GET"),
        (&["/x?limit=1", "--paginate"], 2, "has a limit"),
        (&["/x", "--limit", "1"], 2, "--paginate"),
        (&["/x", "--paginate", "-i"], 2, "cannot be used with"),
        // Though AAC_DIR is set, --dir is no part of what is missing.
        (&[], 2, "Usage: raw_call [OPTIONS] <PATH>\n"),
    ] {
        let run = call(&case, args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn nothing_goes_to_any_other_host() {
    let case = case();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let other = trap.local_addr().unwrap();
    let before = case.sandbox.counters().connections;
    for path in [
        format!("http://{other}/x"),
        format!("//{other}/x"),
        format!("http://{}@{other}/x", case.sandbox.url().trim_start_matches("http://")),
        format!("@{other}/x"),
        format!("\\\\{other}\\x"),
        format!("/\\{other}/x"),
        format!("http:{other}"),
        "https://example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let run = call(&case, &[&path]);
        assert_eq!(run.code, Some(2), "{path}: {}", run.stderr);
    }
    assert_eq!(case.sandbox.counters().connections, before);

    // Redirects are not followed, and headers and the environment lead nowhere else.
    case.sandbox.add_fault(Fault::api(FaultKind::Redirect(format!("http://{other}/x"))).times(2));
    assert_eq!(call(&case, &["/v4/people/current"]).code, Some(3));
    assert_eq!(call(&case, &["/v4/people", "--paginate"]).code, Some(3));
    let mut command = case.program("raw_call");
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"] {
        command.env(name, format!("http://{other}"));
    }
    command.args([
        ECHO,
        "-H",
        &format!("X-Forwarded-Host: {other}"),
        "-H",
        &format!("Location: http://{other}/"),
    ]);
    assert_eq!(Run::of(&mut command).code, Some(0));
    let nobody = trap.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

/// The request as the sandbox saw it, without what differs from call to call.
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

#[test]
#[cfg(unix)]
fn the_curl_line_sends_what_the_program_sends() {
    if !acceptance::have("curl") {
        return;
    }
    let case = case();
    let file = case.path("it's a \"file\".bin");
    fs::write(&file, b"PK\x03\x04\x00binary").unwrap();
    let data = format!("@{}", file.display());
    let part = format!("data=@{}", file.display());
    for args in [
        &[ECHO][..],
        &["/sandbox/echo?a[b]={c}&d=/../e", "--query", "it's=$HOME `x` \"y\" \\ !"],
        &["/sandbox/echo/a/../b/./c"],
        &[ECHO, "-f", "a=it's", "-F", "b=[1, 2]", "-f", "c=$ACCESS_TOKEN `date` \\n"],
        &[ECHO, "-d", "line one\nline two\r\n", "-H", "Content-Type: text/plain"],
        &[ECHO, "-d", &data, "-X", "PUT"],
        &[ECHO, "-d", "", "-X", "POST"],
        &[ECHO, "-X", "POST"],
        &[ECHO, "-X", "PUT", "-H", "content-type: text/plain"],
        &[
            ECHO,
            "-X",
            "DELETE",
            "-H",
            "X-Empty:",
            "-H",
            "X-Quote: it's \"so\"",
            "-H",
            "User-Agent: mine",
        ],
        &[ECHO, "--part", &part, "--part", "mapping={\"a\": \"b;c\"}"],
        &["sandbox/echo/{workspaceId}"],
    ] {
        let sent = echo(&case, args);
        let line = call(&case, &[args, &["--curl"]].concat());
        assert_eq!((line.code, line.stderr.as_str()), (Some(0), ""));
        // What any user of the machine could read.
        let watched = format!(
            "curl() {{ printf '%s\n' \"$@\" >&2; command curl -s \"$@\"; }}; {}",
            line.stdout
        );
        let output = acceptance::clean("bash")
            .args(["-c", &watched])
            .env("ACCESS_TOKEN", &case.tokens.access_token)
            .env("WORKSPACE_ID", "31429")
            .output()
            .unwrap();
        let by_curl: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {output:?}", line.stdout));
        assert_eq!(normal(by_curl), normal(sent.clone()), "{}", line.stdout);
        let arguments = String::from_utf8(output.stderr).unwrap();
        assert!(arguments.contains("--header\n@/dev/fd/"), "{arguments}");
        assert!(!arguments.contains(&case.tokens.access_token), "{arguments}");

        // And the dry run shows it.
        let shown = call(&case, &[args, &["--dry-run"]].concat()).stdout;
        let (head, body) = shown.split_once("\n\n").unwrap_or((shown.trim_end(), ""));
        let mut lines = head.lines();
        let query = sent["query"].as_str().map_or(String::new(), |query| format!("?{query}"));
        let url = format!("{}{}{query}", case.sandbox.url(), sent["path"].as_str().unwrap());
        let first = lines.next().unwrap().replace("{workspaceId}", "31429");
        assert_eq!(first, format!("{} {url}", sent["method"].as_str().unwrap()));
        let shown: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")))
            .collect();
        for (name, value) in shown {
            let value = value.replace("$ACCESS_TOKEN", "(redacted)");
            match name {
                "content-type" if value.starts_with("multipart") => {}
                _ => assert_eq!(header(&sent, name), Some(value.as_str()), "{name}"),
            }
        }
        if args.contains(&"-f") {
            assert_eq!(body.trim_end(), sent["body"].as_str().unwrap());
        }
    }
}

#[test]
#[cfg(unix)]
fn the_curl_line_prints_what_the_program_prints() {
    if !acceptance::have("curl") {
        return;
    }
    let case = case();
    for (flags, has_head, has_body) in [
        (&["--no-body"][..], false, false),
        (&["--no-body", "-i"], true, false),
        (&["-i"], true, true),
    ] {
        let line = call(&case, &[&["v4/people/current", "--curl"], flags].concat()).stdout;
        let by_curl = acceptance::clean("bash")
            .args(["-c", &line])
            .env("ACCESS_TOKEN", &case.tokens.access_token)
            .output()
            .unwrap();
        let by_curl = String::from_utf8(by_curl.stdout).unwrap();
        let own = call(&case, &[&["v4/people/current"], flags].concat()).stdout;
        for shown in [by_curl, own] {
            assert_eq!(shown.starts_with("HTTP/1.1 200 OK"), has_head, "{flags:?}: {shown}");
            assert_eq!(shown.contains("lastLoginTime"), has_body, "{flags:?}: {shown}");
        }
    }
}

#[test]
fn a_dry_run_contacts_nobody() {
    let case = Case::expired(Options::default());
    for args in [
        &["/x", "--dry-run"][..],
        &["iam/v1/workspaces/{workspaceId}/people", "--curl"],
        &["/x", "-d", "1", "--dry-run"],
        &["iam/v1/workspaces/{workspaceId}/people", "--paginate", "--dry-run"],
    ] {
        let run = call(&case, args);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
        let token = match args.contains(&"--curl") {
            true => r#"--header @<(printf 'authorization: Bearer %s\n' "$ACCESS_TOKEN")"#,
            false => "authorization: Bearer $ACCESS_TOKEN\n",
        };
        assert!(run.stdout.contains(token), "{}", run.stdout);
    }
    let pages = call(&case, &["/x?a=b", "--paginate", "--page-size", "7", "--dry-run"]);
    let first = format!("GET {}/x?a=b&limit=7&offset=0&includeCount=true\n", case.sandbox.url());
    assert!(pages.stdout.starts_with(&first), "{}", pages.stdout);
    // As in a line that was used without --paginate before.
    let counted = call(&case, &["/x?includeCount=true", "--paginate", "--dry-run"]);
    let once = format!("GET {}/x?includeCount=true&limit=100&offset=0\n", case.sandbox.url());
    assert!(counted.stdout.starts_with(&once), "{}", counted.stdout);
    assert_eq!(case.sandbox.counters().connections, 0);
    assert_eq!(case.refresh_token(), case.tokens.refresh_token);
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let case = Case::fresh(Options { package_size: 3_000_000, ..Options::default() });
    let mut child = case
        .program("raw_call")
        .arg("/plans/v1/plans/7/package")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = Run::from(child);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    for args in
        [&["/v4/people/current"][..], &["/plans/v1/plans", "--paginate"], &["/x", "--dry-run"]]
    {
        let run = Run::of(case.program("raw_call").args(args).stdout(full.try_clone().unwrap()));
        assert_eq!(run.code, Some(1), "{args:?}");
        assert!(run.stderr.starts_with("raw_call: standard output: "), "{}", run.stderr);
    }
}
