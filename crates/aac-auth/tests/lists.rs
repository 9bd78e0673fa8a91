//! Lists as other servers may send them: without ids, without a count, all at once, on their heads.

mod support;

use aac_sandbox::{Fault, FaultKind, Options};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};
use support::{Case, Run};

/// A server that answers every request for a page with what the function says, as a folder in front
/// of it.
fn server(page: impl Fn(u64, u64) -> String + Send + Sync + 'static) -> Case {
    let case = Case::fresh(Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    fs::write(case.path("aac_url.txt"), url).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&page, stream.unwrap());
        }
    });
    case
}

/// Answers the requests of a connection until it ends.
fn answer(page: &impl Fn(u64, u64) -> String, stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(first)) = lines.next() {
        let target = first.split(' ').nth(1).unwrap().to_owned();
        let number = |name: &str| {
            let (_, query) = target.split_once('?').unwrap_or_default();
            let value = query.split('&').find_map(|part| part.strip_prefix(name));
            value.map_or(0, |value| value.trim_start_matches('=').parse().unwrap())
        };
        // The rest of the head.
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let body = page(number("offset"), number("limit"));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&stream).write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// Some of the rows, with a count.
fn part(rows: &[Value], offset: u64, limit: u64) -> String {
    let part: Vec<_> = rows.iter().skip(offset as usize).take(limit as usize).collect();
    json!({ "data": part, "count": rows.len() }).to_string()
}

fn all(case: &Case, more: &[&str]) -> (Run, Vec<Value>) {
    let run = case.call("raw_call", [&["/x", "--paginate"], more].concat());
    let rows = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run, rows)
}

#[test]
fn a_list_that_is_not_cut_into_pages_is_whole_at_once() {
    // With a count, and without one; with more rows than asked for, and with none.
    for (rows, count) in [(3, Some(3)), (3, None), (250, Some(250)), (0, None), (0, Some(0))] {
        let rows: Vec<_> = (0..rows).map(|id| json!({ "id": id })).collect();
        let mut list = json!({ "data": rows });
        if let Some(count) = count {
            list["count"] = json!(count);
        }
        let case = server(move |_, _| list.to_string());
        let (run, printed) = all(&case, &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{count:?}");
        assert_eq!(printed, rows);
    }
}

#[test]
fn rows_may_be_anything() {
    let rows = vec![
        json!({ "x": 1 }),
        json!({ "x": 1 }),
        json!({ "x": 1 }),
        json!({ "x": 1 }),
        json!({ "id": null }),
        json!({ "id": "01JKBMKPZ94N0GG5F8N9HY2FJA" }),
        json!({ "id": 51 }),
        json!({ "id": "51" }),
        serde_json::from_str(r#"{"id":184467440737095516150,"x":1.10}"#).unwrap(),
        json!([1]),
        json!("text"),
        json!(null),
        json!({ "id": { "a": 1 } }),
    ];
    let expected = rows.clone();
    let case = server(move |offset, limit| part(&rows, offset, limit));
    for size in ["1", "2", "3", "100"] {
        let (run, printed) = all(&case, &["--page-size", size]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{size}");
        assert_eq!(printed, expected, "{size}");
    }
}

#[test]
fn rows_that_the_server_indents_are_printed_on_one_line_each() {
    let case = server(|_, _| {
        "{\n\t\"data\": [\n\t\t{ \"a\":\r\n 1.10 },\n\t\t\"b\"\n\t],\n\t\"count\": 2\n}".to_owned()
    });
    let (run, _) = all(&case, &[]);
    assert_eq!(run.stdout, "[\n{\"a\":1.10},\n\"b\"\n]\n");
}

#[test]
fn a_list_that_becomes_shorter_is_told() {
    // After the first page its first row is gone: what was the fourth is now the third.
    let rows: Vec<_> = (0..10).map(|id| json!({ "id": id })).collect();
    let case = server(move |offset, limit| {
        part(if offset == 0 { &rows } else { &rows[1..] }, offset, limit)
    });
    let (run, printed) = all(&case, &["--page-size", "3"]);
    assert_eq!((run.code, printed.len()), (Some(0), 9));
    assert!(
        run.stderr.contains(
            "warning: the list became shorter while it was read; some rows may be missing"
        ),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_no_list_is_said_to_be_none() {
    for body in [
        "[1]",
        "\"Complete\"",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":{}}"#,
        r#"{"groups":[],"count":1}"#,
    ] {
        let case = server(move |_, _| body.to_owned());
        let (run, _) = all(&case, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{body}");
        assert!(run.stderr.starts_with("raw_call: the answer is no list: "), "{}", run.stderr);
    }
}

#[test]
fn an_offset_beyond_all_numbers_is_the_end() {
    let case = server(|_, _| r#"{"data":[{"id":1}]}"#.to_owned());
    let run =
        case.call("list_users", ["--workspace", "1", "--offset", &u64::MAX.to_string(), "--json"]);
    assert!(run.code == Some(0) || run.code == Some(1), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

#[test]
fn csv_says_what_it_leaves_out() {
    let rows: Vec<_> = (0..150)
        .map(|id| if id < 120 { json!({ "id": id }) } else { json!({ "id": id, "late": 1 }) })
        .collect();
    let case = server(move |offset, limit| part(&rows, offset, limit));
    let run = case.call("list_users", ["--workspace", "1", "--format", "csv"]);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 151));
    assert_eq!(
        run.stderr,
        "list_users: warning: users after the first page have \"late\" as well, which is left out\n"
    );
}

#[test]
fn a_program_does_not_wait_for_a_lock_that_it_needs_no_more() {
    let fault = Fault::api(FaultKind::Unauthorized).after(1);
    let case = Case::fresh(Options { users: 1234, faults: vec![fault], ..Options::default() });
    let lock = File::create(case.path("creds.json.lock")).unwrap();
    lock.lock().unwrap();
    let mut child = case
        .program("list_users")
        .args(["--format", "jsonl", "--page-size", "500", "--workspace", "31429", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut steps = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(steps.any(|step| step.unwrap().contains("waiting for another program")));
    let start = Instant::now();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    // It would have waited 150 s.
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(case.sandbox.counters().token_requests, 0);
}
