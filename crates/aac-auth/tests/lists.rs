//! Lists as other servers may send them: without ids, without a count, all at once, on their heads.

use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// A server that answers every request for a page with what the function says, as a folder in front
/// of it. Exceptions are answers as well.
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
        let status = if body.starts_with("{\"exception\"") { "400 Bad Request" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
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
    for (body, words) in [
        ("\"Complete\"", "it is neither an object nor an array"),
        ("{}", "it is an empty object"),
        (r#"{"data":null}"#, "its \"data\" is no array"),
        (r#"{"data":{}}"#, "its \"data\" is no array"),
        (r#"{"count":1,"msg":"no"}"#, "it has no array, only \"count\", \"msg\""),
        (
            r#"{"groups":[],"flows":[]}"#,
            "it has 2 arrays, none of them named \"data\": \"groups\", \"flows\"",
        ),
        (r#"{"id":7,"tags":[]}"#, "it is one object, which has an \"id\""),
    ] {
        let case = server(move |_, _| body.to_owned());
        let (run, _) = all(&case, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{body}");
        let line = format!("raw_call: the response is not a list: {words} (GET ");
        assert!(run.stderr.starts_with(&line), "{}", run.stderr);
    }
}

#[test]
fn a_list_may_have_any_name_or_none() {
    let rows: Vec<_> = (0..250).map(|id| json!({ "id": id })).collect();
    let expected = rows.clone();
    let case = server(move |offset, limit| {
        let page: Value = serde_json::from_str(&part(&rows, offset, limit)).unwrap();
        json!({ "groups": page["data"], "count": page["count"] }).to_string()
    });
    let (run, printed) = all(&case, &[]);
    assert_eq!((run.code, run.stderr.as_str(), &printed), (Some(0), "", &expected));
    // Beside other arrays, data is the list.
    let case = server(|_, _| r#"{"errors":[],"data":[1,7],"links":[2,3]}"#.to_owned());
    let (run, printed) = all(&case, &[]);
    assert_eq!((run.code, run.stderr.as_str(), printed), (Some(0), "", vec![json!(1), json!(7)]));
    let case = server(|_, _| " [1, {}]\n".to_owned());
    let (run, _) = all(&case, &[]);
    assert_eq!((run.code, run.stderr.as_str(), &*run.stdout), (Some(0), "", "[\n1,\n{}\n]\n"));
    // Where pages differ, nothing is mixed.
    let case = server(|offset, _| {
        let name = if offset == 0 { "groups" } else { "errors" };
        format!("{{\"{name}\":[{{\"id\":{offset}}}]}}")
    });
    let (run, _) = all(&case, &[]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("its rows are not where those of the first page were"));
}

#[test]
fn every_list_ends() {
    let requests = Arc::new(AtomicU64::new(0));
    let now = Arc::new(AtomicU64::new(0));
    let servers: [fn(u64, u64, u64) -> String; 5] = [
        |_, _, _| r#"{"data":[{"x":1}]}"#.to_owned(),
        |_, _, _| r#"{"data":[{"x":1},{"x":1}]}"#.to_owned(),
        |_, limit, _| json!({ "data": vec![json!({ "x": 1 }); limit as usize] }).to_string(),
        |_, _, now| format!("{{\"data\":[{{\"now\":{now}}}]}}"),
        |_, _, now| format!("{{\"data\":[{{\"id\":{now}}}]}}"),
    ];
    for (index, page) in servers.into_iter().enumerate() {
        let (requests, now) = (requests.clone(), now.clone());
        requests.store(0, Relaxed);
        let counter = requests.clone();
        let case = server(move |offset, limit| {
            counter.fetch_add(1, Relaxed);
            page(offset, limit, now.fetch_add(1, Relaxed))
        });
        let (run, _) = all(&case, &[]);
        assert_eq!(run.code, Some(1), "{index} {}", run.stderr);
        assert!(run.stderr.contains("; stopped after "), "{}", run.stderr);
        assert!(run.stderr.contains("Call this endpoint without asking for pages"));
        assert!(requests.load(Relaxed) < 30, "{index}");
    }
}

#[test]
fn a_list_that_ends_early_is_told() {
    let rows = |count: u64| (0..count).map(|id| json!({ "id": id })).collect::<Vec<_>>();
    // The offset is ignored, on pages shorter than asked for.
    for beside in
        ["\"total\":1234", "\"totalCount\":1234", "\"nextPageToken\":\"a\"", "\"hasMore\":true"]
    {
        let body = format!("{{\"data\":{},{beside}}}", json!(rows(50)));
        let case = server(move |_, _| body.clone());
        let (run, _) = all(&case, &[]);
        assert_eq!((run.code, run.stdout.lines().count()), (Some(1), 51), "{}", run.stderr);
        assert!(
            run.stderr.contains("the server ignores the offset; it announces "),
            "{}",
            run.stderr
        );
    }
    // By offset no more comes.
    for (beside, words) in [
        ("\"total\":1234", "the server announces 1234 rows (\"total\"), and has sent 50\n"),
        ("\"meta\":{\"total\":1234}", "announces 1234 rows (\"meta.total\"), and has sent 50\n"),
        ("\"next\":\"/x?page=2\"", "announces more rows (\"next\"), and has sent 50\n"),
    ] {
        let case = server(move |offset, _| {
            let data = if offset == 0 { rows(50) } else { vec![] };
            format!("{{\"data\":{},{beside}}}", json!(data))
        });
        let (run, printed) = all(&case, &[]);
        assert_eq!((run.code, printed.len()), (Some(0), 50), "{}", run.stderr);
        assert!(
            run.stderr.starts_with("raw_call: warning: the server announces "),
            "{}",
            run.stderr
        );
        assert!(run.stderr.ends_with(words), "{}", run.stderr);
    }
    // Without a count: it could be all.
    let case = server(move |_, limit| json!({ "data": rows(limit.min(50)) }).to_string());
    let (run, printed) = all(&case, &[]);
    assert_eq!((run.code, printed.len()), (Some(0), 50));
    assert!(run.stderr.contains("rows beyond the first 50, if there are any, are missing"));
    // A count of something else: all there is comes.
    for count in [25_u64, 100, 0] {
        let case = server(move |offset, limit| {
            let mut page: Value = serde_json::from_str(&part(&rows(250), offset, limit)).unwrap();
            page["count"] = json!(count);
            page.to_string()
        });
        let (run, printed) = all(&case, &[]);
        assert_eq!((run.code, run.stderr.as_str(), printed.len()), (Some(0), "", 250), "{count}");
    }
}

#[test]
fn a_server_that_refuses_an_offset_beyond_the_end_heeds_it() {
    let rows = vec![json!({ "x": 1 }); 5];
    let case = server(move |offset, _| match offset {
        0..10 => json!({ "data": rows }).to_string(),
        10..1000 => r#"{"data":[]}"#.to_owned(),
        _ => r#"{"exception":{"message":"offset is too large"}}"#.to_owned(),
    });
    let (run, printed) = all(&case, &[]);
    assert_eq!((run.code, run.stderr.as_str(), printed.len()), (Some(0), "", 10));
}

#[test]
fn json_is_taken_as_servers_send_it() {
    // Half of a surrogate pair, as JavaScript writes it; a row too deep for a parser; numbers that no
    // machine has.
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let rows = [
        r#"{"id":1,"name":"half \ud83d","email":"a@example.com"}"#.to_owned(),
        format!(r#"{{"id":2,"name":"deep","email":{deep}}}"#),
        r#"{"id":3,"name":1E400,"email":-5}"#.to_owned(),
    ];
    let body = format!("{{\"data\":[{}],\"count\":3}}", rows.join(","));
    let case = server(move |_, _| body.clone());
    let list = |format| {
        let run = case.call(
            "list_users",
            ["--workspace", "1", "--format", format, "--columns", "id,name,email"],
        );
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{format}");
        run.stdout
    };
    assert_eq!(list("jsonl"), rows.join("\n") + "\n");
    assert_eq!(list("json"), format!("[\n{}\n]\n", rows.join(",\n")));
    let csv = format!(
        "id,name,email\r\n1,half \u{fffd},a@example.com\r\n2,deep,{deep}\r\n3,1E400,-5\r\n"
    );
    assert_eq!(list("csv"), csv);
    let table = list("table");
    assert!(
        table.contains("\n1   half \u{fffd}  a@example.com\n") && table.contains(&deep),
        "{table}"
    );
    let whole = case.call("list_users", ["--workspace", "1", "--format", "json"]);
    assert_eq!(whole.stdout, format!("[\n{}\n]\n", rows.join(",\n")));
    assert_eq!(all(&case, &[]).0.stdout, whole.stdout);

    let deep = format!("{{\"half\":\"\\udc00\",\"deep\":{deep},\"n\":1E400}}");
    let case = server(move |_, _| deep.clone());
    let run = case.run::<&str>([]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout.starts_with("{\n  \"half\": \"\u{fffd}\",\n  \"deep\": [\n"),
        "{}",
        run.stdout
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_table_fits_the_terminal() {
    let rows: Vec<_> = (0..3)
        .map(|id| {
            json!({
                "name": if id == 0 { "Hildegard von Bingen-Rüdesheim".to_owned() } else { format!("Ada {id}") },
                "email": format!("firstname.lastname.{id}@department.example.com"),
                "state": "active",
                "lastLoginTime": if id == 1 { json!(null) } else { json!("2025-05-17T04:40:40.000Z") },
                "id": 51_000 + id,
                "uploadDir": "/a/folder/with/a/long/path/51000",
                "createdAt": "2025-02-02T01:07:13.000Z",
            })
        })
        .collect();
    let case = server(move |offset, limit| part(&rows, offset, limit));
    let table = |columns: u16, args: &[&str]| {
        let mut command = case.program("list_users");
        let shown = acceptance::on_terminal(command.args(["--workspace", "1"]).args(args), columns);
        // The bar that counted is gone before the table begins.
        let shown = shown
            .rsplit("\r\u{1b}[2K")
            .find(|part| !part.is_empty())
            .unwrap()
            .replace("\r\n", "\n");
        let (warnings, lines): (Vec<_>, Vec<_>) =
            shown.lines().map(str::to_owned).partition(|line| line.starts_with("list_users: "));
        for line in &lines {
            assert!(line.chars().count() <= columns.into(), "{columns}: {shown}");
        }
        assert_eq!(lines.len(), 4, "{shown}");
        (lines.join("\n"), warnings.join("\n"))
    };
    // Times to the day, then the widest columns: a name stays one.
    let expected = "\
NAME                        EMAIL                      STATE   LAST LOGIN  ID
Hildegard von Bingen-Rüde…  firstname.lastname.0@dep…  active  2025-05-17  51000
Ada 1                       firstname.lastname.1@dep…  active              51001
Ada 2                       firstname.lastname.2@dep…  active  2025-05-17  51002";
    assert_eq!(table(80, &[]), (expected.to_owned(), String::new()));
    // With room, nothing is cut.
    let (wide, _) = table(130, &[]);
    assert!(wide.contains("2025-05-17T04:40:40.000Z") && !wide.contains('…'), "{wide}");
    // Without room, the last columns go.
    let (narrow, warning) = table(40, &[]);
    assert!(
        narrow.starts_with("NAME             EMAIL            STATE\nHildegard von …  first"),
        "{narrow}"
    );
    assert_eq!(
        warning,
        "list_users: warning: no room for lastLoginTime, id: use --columns, or another --format"
    );
    let (one, warning) = table(20, &["--columns", "email,name"]);
    assert!(one.starts_with("EMAIL\nfirstname.lastname.…\n"), "{one}");
    assert!(warning.contains("no room for name: "), "{warning}");
    let (many, warning) = table(80, &["--columns", "name,email,uploadDir,createdAt,state,gid,id"]);
    assert!(many.contains("/a/folder/with…") || many.contains("/a/folder/wi"), "{many}");
    assert_eq!(warning, "");
}

#[test]
#[cfg(target_os = "linux")]
fn json_is_shown_as_servers_send_it() {
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let body =
        format!(r#"{{"data":[{{"half":"\ud83d","n":1E400,"n":1.10,"deep":{deep}}}],"count":1}}"#);
    let case = server(move |_, _| body.clone());
    for args in [&["/x"][..], &["/x", "--paginate"]] {
        let shown = acceptance::on_terminal(case.program("raw_call").args(args), 80);
        assert!(shown.contains("\"half\": \"\\ud83d\",\r\n"), "{shown}");
        assert!(
            shown.contains("\"n\": 1E400,\r\n") && shown.contains("\"n\": 1.10,\r\n"),
            "{shown}"
        );
        assert!(shown.contains("[[[[1]]]]") && shown.contains("\"deep\": [\r\n"), "{shown}");
    }
}

#[test]
fn an_offset_beyond_all_numbers_is_the_end() {
    let case = server(|_, _| r#"{"data":[{"id":1}]}"#.to_owned());
    let options = ConnectionOptions::default().dir(case.folder.path());
    let client = Client::open(&options, "test/1.0").unwrap();
    // A row or an error, and no panic.
    assert!(client.rows("/x").offset(u64::MAX).take(10).count() > 0);
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
        "list_users: warning: users have \"late\" as well, which is left out: --columns can name it\n"
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
