//! Lists as other servers may send them: without ids, without a count, all at once, on their heads.

use crate::{NONE, client, head, response, server as server_of_connections};
use aac_auth::{Error, ErrorKind, Method};
use acceptance::{Case, Run};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A server that answers every request for a page with what the function says, as a folder in front
/// of it. Exceptions are answers as well.
fn server(page: impl Fn(u64, u64) -> String + Send + Sync + 'static) -> Case {
    server_of(move |target| {
        let number = |name: &str| {
            let (_, query) = target.split_once('?').unwrap_or_default();
            let value = query.split('&').find_map(|part| part.strip_prefix(name));
            value.map_or(0, |value| value.trim_start_matches('=').parse().unwrap())
        };
        page(number("offset"), number("limit"))
    })
}

/// The same for every target.
fn server_of(body: impl Fn(&str) -> String + Send + Sync + 'static) -> Case {
    server_of_connections(move |stream| answer(&body, stream))
}

/// Answers the requests of a connection until it ends.
fn answer(body: &impl Fn(&str) -> String, mut stream: TcpStream) {
    loop {
        let request = head(&stream);
        let Some(target) = request.split(' ').nth(1) else { return };
        let body = body(target);
        let status = if body.starts_with("{\"exception\"") { "400 Bad Request" } else { "200 OK" };
        // Pages are asked for by offset, whatever a link says.
        let link = "Link: </x?page=2>; rel=\"next\"\r\n";
        if stream.write_all(&response(status, link, body.as_bytes())).is_err() {
            return;
        }
    }
}

fn numbered(rows: u64) -> Vec<Value> {
    (0..rows).map(|id| json!({ "id": id })).collect()
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
fn rows_may_be_anything() {
    let rows = vec![
        json!({ "x": 1 }),
        json!({ "x": 2 }),
        json!({ "id": null }),
        json!({ "id": null, "x": 3 }),
        json!({ "id": "01JKBMKPZ94N0GG5F8N9HY2FJA" }),
        json!({ "id": 51 }),
        json!({ "id": "51" }),
        serde_json::from_str(r#"{"id":184467440737095516150,"x":1.10}"#).unwrap(),
        json!([1]),
        json!("text"),
        json!(null),
        json!({ "id": { "a": 1 } }),
        // A folder and a flow with one number.
        json!({ "id": 51, "type": "folder" }),
    ];
    let expected = rows.clone();
    let case = server(move |offset, limit| part(&rows, offset, limit));
    for size in ["1", "2", "3", "100"] {
        let (run, printed) = all(&case, &["--page-size", size]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{size}");
        assert_eq!(printed, expected, "{size}");
    }
    // On one page, rows may be the same.
    let rows = vec![json!({ "x": 1 }); 4];
    let case = server(move |offset, limit| part(&rows, offset, limit));
    assert_eq!(all(&case, &[]).1.len(), 4);
}

#[test]
fn a_list_may_have_any_name_or_none() {
    for (body, printed) in [
        (
            "{\n\t\"groups\": [\n\t\t{ \"a\":\r\n 1.10 },\n\t\t\"b\"\n\t],\n\t\"count\": 2\n}",
            "[\n{\"a\":1.10},\n\"b\"\n]\n",
        ),
        (r#"{"errors":[],"data":[1,7],"links":[2,3],"count":2}"#, "[\n1,\n7\n]\n"),
        (" [1, {}]\n", "[\n1,\n{}\n]\n"),
    ] {
        let (run, _) = all(&server(|_, _| body.to_owned()), &[]);
        assert_eq!((run.code, run.stderr.as_str(), &*run.stdout), (Some(0), "", printed));
    }
    // Where pages differ, nothing is mixed.
    let case = server(|offset, _| {
        let name = if offset == 0 { "groups" } else { "errors" };
        format!("{{\"{name}\":[{{\"id\":{offset}}}]}}")
    });
    let (run, _) = all(&case, &[]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("its rows are not where those of the first page were"));
}

/// What a list may be like is decided in `src/api/list.rs` and `src/api/paging.rs`. This is how it is told.
#[test]
fn a_list_that_may_be_cut_off_is_told() {
    let rows = |offset: u64, most: u64| {
        let rows = numbered(1000).into_iter().skip(offset as usize);
        json!(rows.take(most as usize).collect::<Vec<_>>()).to_string()
    };
    // Pages of 25, whatever is asked for.
    let (run, printed) = all(&server(move |offset, _| rows(offset, 25)), &[]);
    assert_eq!((run.code, run.stderr.as_str(), printed), (Some(0), "", numbered(1000)));
    // The first page, whatever is asked for.
    let (run, printed) = all(&server(move |_, _| rows(0, 25)), &[]);
    assert_eq!((run.code, printed.len()), (Some(0), 25));
    assert_eq!(
        run.stderr,
        "raw_call: warning: the server ignores the offset: rows beyond the first 25, if there are any, are missing\n"
    );
    // A page is the same again if its ids are. Otherwise this would go on for ever.
    let time = AtomicU64::new(0);
    let page = move |_, _| json!([{ "id": 1, "seen": time.fetch_add(1, Relaxed) }]).to_string();
    assert_eq!(all(&server(page), &["--limit", "5"]).1.len(), 1);
    // As much as is asked for.
    let (run, printed) = all(&server(move |_, limit| rows(0, limit)), &[]);
    assert_eq!((run.code, run.stdout.lines().count(), printed.len()), (Some(1), 101, 0));
    for words in ["rows beyond the first 100 may be missing (GET ", "with another --page-size"] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

/// 250 users, of whom each page has others unless they are sorted.
fn unstable(refuses_to_sort: bool) -> Case {
    server_of(move |target| {
        let number = |name: &str| -> usize {
            let value = target.split(['?', '&']).find_map(|part| part.strip_prefix(name));
            value.unwrap().parse().unwrap()
        };
        let is_sorted = target.contains("sort=id&");
        if is_sorted && refuses_to_sort {
            return r#"{"exception":{"name":"ValidationFailed","message":"sort"}}"#.to_owned();
        }
        let (offset, limit) = (number("offset="), number("limit="));
        let mut rows = numbered(250);
        if !is_sorted {
            rows.rotate_right(offset * 36 / 100);
        }
        part(&rows, offset as u64, limit as u64)
    })
}

#[test]
fn users_are_read_in_a_fixed_order() {
    let case = unstable(false);
    let run = case.call("list_users", ["--workspace", "1", "--format", "jsonl"]);
    assert_eq!((run.code, run.stderr.as_str(), run.stdout.lines().count()), (Some(0), "", 250));
    // Not every server knows one. Then rows may be missing, and a file is as it was.
    let case = unstable(true);
    let file = case.path("users");
    fs::write(&file, "old").unwrap();
    for (program, args) in [
        ("list_users", &["--workspace", "1", "--format", "jsonl"][..]),
        ("raw_call", &["/x", "--paginate"]),
    ] {
        let run = case.call(program, args);
        assert_eq!(run.code, Some(1));
        for words in [" (\"count\"), and has sent 178 different ones (GET ", "--query sort=id"] {
            assert!(run.stderr.contains(words), "{}", run.stderr);
        }
        let args = [args, &["-o", file.to_str().unwrap()]].concat();
        assert_eq!(case.call(program, args).code, Some(1));
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }
    // Another refusal is not one of the order.
    let case = server_of(|_| r#"{"exception":{"message":"no such filter"}}"#.to_owned());
    let run = case.call("list_users", ["--workspace", "1"]);
    assert_eq!(run.code, Some(4));
    assert!(run.stderr.contains("no such filter"), "{}", run.stderr);
}

/// Four users, and a server that treats a filter so: the query and the index of a user tell whether it sends them.
fn filtering(treat: fn(&str, usize) -> Result<bool, &'static str>) -> Case {
    let rows = [
        ("Amanda Diaz", "amanda.diaz@example.com"),
        ("Grace Hopper", "GRACE@ADA.example"),
        ("Ada Lovelace", "lovelace@example.com"),
        ("null", "nobody@example.com"),
    ];
    let people = move || {
        rows.into_iter().enumerate().map(|(id, (name, email))| {
            let name = if name == "null" { Value::Null } else { name.into() };
            json!({ "id": id, "name": name, "email": email, "state": "ada" })
        })
    };
    server_of(move |target| {
        let number = |name: &str| -> usize {
            let value = target.split(['?', '&']).find_map(|part| part.strip_prefix(name));
            value.unwrap().parse().unwrap()
        };
        let mut sent = Vec::new();
        for (index, row) in people().enumerate() {
            match treat(target, index) {
                Ok(true) => sent.push(row),
                Ok(false) => {}
                Err(refused) => return json!({ "exception": { "message": refused } }).to_string(),
            }
        }
        part(&sent, number("offset=") as u64, number("limit=") as u64)
    })
}

#[test]
fn a_filter_finds_the_same_users_whatever_the_server_makes_of_it() {
    const NARROW: &str = "filterType=contains&filterFields=name%2Cemail";
    for treat in [
        // As asked, and with pages of whoever is there.
        (|target, index| {
            assert!(target.contains(NARROW), "{target}");
            Ok(matches!(index, 1 | 2))
        }) as fn(&str, usize) -> _,
        // Everyone.
        |_, _| Ok(true),
        // Fuzzily.
        |_, index| Ok(index < 3),
        // By the name alone, where it refuses the rest.
        |target, index| match target {
            _ if target.contains("filterType") || target.contains("filterFields") => {
                Err("no such parameter")
            }
            _ => Ok(!target.contains("filter=") || index == 2),
        },
        |target, index| match target {
            _ if target.contains("filterType") || target.contains("sort=") => {
                Err("no such parameter")
            }
            _ => Ok(!target.contains("filter=") || index == 2),
        },
        |target, index| match target.contains("sort=") {
            true => Err("no order"),
            false => Ok(!target.contains("filter=") || matches!(index, 1 | 2)),
        },
    ] {
        let case = filtering(treat);
        let ids = |args: &[&str]| {
            let common = ["--workspace", "1", "--format", "csv", "--columns", "id"];
            let run = case.call("list_users", [&common, args].concat());
            assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
            run.stdout.lines().skip(1).map(|id| id.parse().unwrap()).collect::<Vec<u64>>()
        };
        for size in ["1", "3", "100"] {
            assert_eq!(ids(&["--filter", "aDa", "--page-size", size]), [1, 2]);
            assert_eq!(ids(&["--filter", "ada", "--page-size", size, "--limit", "1"]), [1]);
            assert_eq!(ids(&["--filter", "ada", "--page-size", size, "--limit", "2"]), [1, 2]);
        }
        assert_eq!(ids(&["--filter", "null"]), [0; 0], "no name is no text");
        assert_eq!(ids(&["--filter", "lovelace@"]), [2], "in the address");
    }
}

#[test]
fn a_response_is_read_as_a_type_of_the_program() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Plan {
        id: u64,
        name: String,
    }
    let plan = |id: u64| json!({ "id": id, "name": format!("plan {id}") });
    let case = server_of(move |target| match target.split_once('?') {
        // With a byte order mark.
        None => format!("\u{feff}{}", plan(7)),
        Some((path, query)) => {
            assert_eq!((path, query.contains("sort=-id&")), ("/plans", true));
            let first = json!({ "id": "1", "name": null });
            format!("\u{feff}{}", json!({ "data": [plan(1), first, plan(2)], "count": 3 }))
        }
    });
    let client = client(&case);
    let seventh = || Plan { id: 7, name: "plan 7".to_owned() };
    assert_eq!(client.get("/plan").unwrap(), plan(7));
    assert_eq!(client.get_as::<Plan>("/plan").unwrap(), seventh());
    let request = client.request(Method::POST, "/plan").json(&json!({}));
    assert_eq!(request.send().unwrap().json_as::<Plan>().unwrap(), seventh());

    let mut plans = client.rows("/plans").query("sort", "-id").of::<Plan>();
    assert_eq!(plans.next().unwrap().unwrap().id, 1);
    let error = plans.next().unwrap().unwrap_err();
    assert!(
        error.to_string().starts_with(
            "the response is not as expected: id: invalid type: string \"1\", expected u64 (GET http://127.0.0.1:"
        ),
        "{error}"
    );
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Response, 1));
    assert!(!error.help().contains("proxy"), "{}", error.help());
    assert_eq!(plans.next().unwrap().unwrap().id, 2);
    assert!(plans.next().is_none());

    let error = client.get_as::<Vec<Plan>>("/plan").unwrap_err();
    assert!(error.to_string().contains("expected: invalid type: map, expected a sequence (GET "));
    let error = client.request(Method::POST, "/plan").send().unwrap().json_as::<u8>().unwrap_err();
    assert!(
        error.may_have_taken_effect() && error.help().contains("check before"),
        "{}",
        error.help()
    );
}

#[test]
fn the_first_page_is_seen_before_its_rows_are_given() {
    let asked = AtomicU64::new(0);
    let case = server(move |offset, limit| match asked.fetch_add(1, Relaxed) {
        0 => json!({ "exception": {} }).to_string(),
        _ => part(&numbered(5), offset, limit),
    });
    let client = client(&case);
    let mut rows = client.rows("/x").page_size(2);
    // That is no empty list.
    assert_eq!(rows.first_page().unwrap_err().http().unwrap().status(), 400);
    assert_eq!(rows.first_page().unwrap().len(), 2);
    assert_eq!(rows.next().unwrap().unwrap()["id"], 0);
    assert_eq!(rows.first_page().unwrap()[0].get(), r#"{"id":1}"#);
    assert_eq!(rows.count(), 4);
}

#[test]
fn a_program_says_that_a_response_is_not_as_expected() {
    fn id(plan: Value) -> Result<u64, Error> {
        match &plan["id"] {
            Value::Null => Err(Error::response("the plan has no id")),
            id => Ok(serde_json::from_value(id.clone())?),
        }
    }
    assert_eq!(id(json!({ "id": 7 })).unwrap(), 7);
    for (plan, words) in [
        (json!({}), "the response is not as expected: the plan has no id"),
        (
            json!({ "id": "7" }),
            "the response is not as expected: invalid type: string \"7\", expected u64",
        ),
    ] {
        let error = id(plan).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Response, 1));
    }
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
    let run = case.run(NONE);
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
