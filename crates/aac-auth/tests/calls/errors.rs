//! What is sent, and what is said of what comes back.

use crate::{NONE, head, response, server};
use aac_auth::{Client, ConnectionOptions, Error, Method};
use aac_sandbox::{Fault, FaultKind, Options, RefreshTokens};
use acceptance::{Case, DOCUMENTED, Run};
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_fresh_token_makes_one_call_and_touches_nothing() {
    let case = Case::fresh(Options::default());
    let before = fs::metadata(case.creds()).unwrap().modified().unwrap();
    case.run(NONE).assert_ok();
    let counters = case.sandbox.counters();
    assert_eq!((counters.connections, counters.token_requests, counters.api_calls), (1, 0, 1));
    assert_eq!(case.names(), ["aac_url.txt", "client_id.txt", "creds.json"]);
    assert_eq!(fs::metadata(case.creds()).unwrap().modified().unwrap(), before);
}

#[test]
fn an_expired_token_makes_one_exchange_and_one_call_over_one_connection() {
    for refresh_tokens in [RefreshTokens::Jwt, RefreshTokens::Opaque] {
        let case = Case::expired(Options { refresh_tokens, ..Options::default() });
        case.run(NONE).assert_ok();
        let counters = case.sandbox.counters();
        assert_eq!(
            (counters.connections, counters.token_requests, counters.refreshes, counters.api_calls),
            (1, 1, 1, 1)
        );
        assert_ne!(case.refresh_token(), case.tokens.refresh_token);
        assert!(case.sandbox.is_live(&case.refresh_token()));
        case.run(NONE).assert_ok();
        assert_eq!(case.sandbox.counters().refreshes, 1);
        assert_eq!(
            case.names(),
            ["aac_url.txt", "client_id.txt", "creds.json", "creds.json.lock", "creds.json.spent"]
        );
    }
}

#[test]
fn what_is_sent_is_what_the_vendor_documents() {
    let case = Case::expired(Options::default());
    case.run(NONE).assert_ok();
    let [exchange, call] = &case.sandbox.requests()[..] else { panic!("two requests") };
    assert_eq!((exchange.method.as_str(), exchange.path.as_str()), ("POST", "/as/token"));
    assert_eq!(exchange.header("content-type"), Some("application/x-www-form-urlencoded"));
    for name in ["authorization", "x-api-project-id", "x-client-id"] {
        assert_eq!(exchange.header(name), None);
    }
    let body = String::from_utf8(exchange.body.clone()).unwrap();
    let expected = format!(
        "grant_type=refresh_token&refresh_token={}&client_id={}",
        case.tokens.refresh_token,
        case.sandbox.client_id()
    );
    assert_eq!(body, expected);

    assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/iam/v1/workspaces/current"));
    assert_eq!(call.header("x-api-project-id"), Some(case.sandbox.project_id()));
    assert_eq!(call.header("x-client-id"), Some(case.sandbox.project_id()));
    assert_eq!(call.header("accept"), Some("application/json"));
    let agent = call.header("user-agent").unwrap();
    assert!(agent.starts_with(concat!("get_workspace/", env!("CARGO_PKG_VERSION"))), "{agent}");
    assert!(call.header("authorization").unwrap().starts_with("Bearer eyJ"));
    assert_eq!(call.header("content-length"), None);
    assert!(call.body.is_empty());
}

#[test]
#[cfg(unix)]
fn a_shell_sees_the_line_that_the_vendor_shows() {
    let case = Case::fresh(Options::default());
    let output = acceptance::clean("sh")
        .args(["-c", "echo $(\"$0\")"])
        .arg(acceptance::get_workspace())
        .env("AAC_DIR", case.folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{DOCUMENTED}\n"));
}

#[test]
fn every_error_of_the_api_is_told_in_words_that_help() {
    use FaultKind as K;
    let case = Case::fresh(Options::default());
    let url = format!("(GET {}/iam/v1/workspaces/current)", case.sandbox.url());
    let redirect = K::Redirect("https://example.com/login".to_owned());
    let forbidden = "403 Forbidden: User is not authorised to access this API. | lacks a privilege | request ID";
    for (kind, code, words) in [
        (K::BadRequest, 4, "HTTP 400 Bad Request | request ID"),
        (K::Forbidden, 4, forbidden),
        (
            K::MessageForbidden,
            4,
            "HTTP 403 Forbidden: User \"51\" does not have | lacks a privilege",
        ),
        (K::NotFound, 4, "HTTP 404 Not Found | Check the path"),
        (K::ServiceNotFound, 4, "HTTP 404 Not Found: Asset with ID"),
        (K::Gone, 4, "HTTP 410 Gone"),
        (K::InvalidKey, 4, "HTTP 401 Unauthorized: Invalid ApiKey | client_id.txt | aac_url.txt"),
        (K::ServerError, 5, "HTTP 500 Internal Server Error"),
        (K::BadGateway, 5, "HTTP 502 Bad Gateway | Try again later"),
        (K::GatewayTimeout, 5, "HTTP 504 Gateway Timeout"),
        (K::Unavailable(1), 5, "HTTP 503 Service Unavailable"),
        (
            K::TooManyRequests(1),
            4,
            "HTTP 429 Too Many Requests: Too Many Requests: API quota | in 1 s",
        ),
        (K::SpikeArrest, 4, "HTTP 429 Too Many Requests | Too many requests"),
        (K::QuotaAs500, 5, "HTTP 500 Internal Server Error | Too many requests"),
        (redirect, 3, "HTTP 302 Found | not followed"),
        (K::HtmlPage, 1, "the response is not JSON"),
        (K::Garbled, 1, "the response is not JSON"),
        (K::Empty, 1, "the response is empty"),
        (K::Cut, 1, "the connection broke"),
        (K::CutClose, 1, "the response is truncated"),
        (K::ResetBefore, 1, "the connection broke"),
        (K::ResetAfter, 1, "the connection broke"),
    ] {
        case.sandbox.add_fault(Fault::api(kind.clone()).always());
        let run = case.run(["--retry", "0"]);
        case.sandbox.clear_faults();
        run.assert_fails(code, &words.split(" | ").collect::<Vec<_>>());
        assert!(run.stderr.lines().next().unwrap().contains(&url), "{kind:?}: {}", run.stderr);
        let has_help = run.stderr.lines().count() > 1;
        assert!(has_help || words.contains(" 404 ") || words.contains(" 410 "), "{}", run.stderr);
        run.assert_hides(&[case.sandbox.project_id()]);
    }
    assert_eq!(case.sandbox.counters().token_requests, 0, "none of these is the token's fault");
    let requests = case.sandbox.requests();
    assert!(
        requests.iter().all(|request| request.path == "/iam/v1/workspaces/current"),
        "no redirect is followed"
    );
}

#[test]
fn trouble_that_passes_is_waited_out() {
    use FaultKind as K;
    thread::scope(|scope| {
        for kind in [
            K::TooManyRequests(1),
            K::TooManyRequests(0),
            K::SpikeArrest,
            K::QuotaAs500,
            K::ServerError,
            K::BadGateway,
            K::Unavailable(1),
            K::Unavailable(0),
            K::GatewayTimeout,
            K::ResetBefore,
            K::ResetAfter,
        ] {
            scope.spawn(move || {
                let fault = Fault::api(kind.clone());
                let case = Case::fresh(Options {
                    faults: vec![fault.clone().times(2)],
                    ..Options::default()
                });
                let start = Instant::now();
                case.run(NONE).assert_ok();
                assert_eq!(case.sandbox.counters().api_calls, 3, "{kind:?}");
                // A server that asks for no wait, or for none at all, is not hurried either.
                let has_asked = matches!(kind, K::TooManyRequests(1) | K::Unavailable(1));
                let least = Duration::from_millis(if has_asked { 2000 } else { 750 });
                assert!(start.elapsed() >= least, "{kind:?}: {:?}", start.elapsed());
                case.sandbox.add_fault(fault.times(2));
                assert_ne!(case.run(["--retry", "1"]).code, Some(0), "{kind:?}");
                assert_eq!(case.sandbox.counters().api_calls, 5, "{kind:?}");
            });
        }
    });
}

/// A server that responds with a status to the first request, and with `{}` to those after it. Counts them.
fn recovers(status: &'static str) -> (Case, Arc<AtomicU32>) {
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    let case = server(move |mut stream| {
        while !head(&stream).is_empty() {
            let status = if count.fetch_add(1, Relaxed) == 0 { status } else { "200 OK" };
            stream.write_all(&response(status, "", b"{}")).unwrap();
        }
    });
    (case, requests)
}

#[test]
fn a_status_that_passes_is_waited_out_and_no_write_is_repeated() {
    thread::scope(|scope| {
        for (status, passes) in [
            ("400 Bad Request", false),
            ("408 Request Timeout", true),
            ("409 Conflict", false),
            ("425 Too Early", true),
            ("500 Internal Server Error", true),
            ("501 Not Implemented", false),
            ("502 Bad Gateway", true),
            ("503 Service Unavailable", true),
            ("504 Gateway Timeout", true),
            ("505 HTTP Version Not Supported", false),
            ("511 Network Authentication Required", false),
            ("520 Web Server Returned an Unknown Error", true),
            ("522 Connection Timed Out", true),
            ("524 A Timeout Occurred", true),
            ("525 SSL Handshake Failed", false),
        ] {
            scope.spawn(move || {
                for (method, may_repeat) in [
                    ("GET", true),
                    ("HEAD", true),
                    ("OPTIONS", true),
                    ("POST", false),
                    ("DELETE", false),
                ] {
                    let (case, requests) = recovers(status);
                    let run = case.call("raw_call", ["/x", "-X", method]);
                    let is_repeated = passes && may_repeat;
                    assert_eq!(run.code == Some(0), is_repeated, "{method} {status}");
                    let expected = 1 + u32::from(is_repeated);
                    assert_eq!(requests.load(Relaxed), expected, "{method} {status}");
                }
                if passes {
                    let run = recovers(status).0.call("raw_call", ["/x", "--retry", "0"]);
                    assert!(run.stderr.contains("again"), "{}", run.stderr);
                }
            });
        }
    });
}

#[test]
fn a_list_goes_on_after_a_server_error() {
    for skip in 0..4 {
        let faults = vec![Fault::api(FaultKind::ServerError).after(skip).times(2)];
        let case = Case::fresh(Options { users: 300, faults, ..Options::default() });
        let run = case.call("list_users", ["--format", "jsonl"]);
        assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 300), "{}", run.stderr);
    }
}

#[test]
fn a_part_of_a_response_is_not_taken_for_the_whole() {
    let case = server(|mut stream| {
        while !head(&stream).is_empty() {
            let range = "Content-Range: bytes 0-1/5000\r\n";
            stream.write_all(&response("206 Partial Content", range, b"{}")).unwrap();
        }
    });
    let file = case.path("out");
    let path = file.to_str().unwrap();
    let words = ["206", "only a part"];
    case.run(NONE).assert_fails(1, &words);
    for args in [&["/x"][..], &["/x", "-o", path], &["/x", "--paginate"]] {
        case.call("raw_call", args).assert_says(1, &words);
    }
    case.call("list_users", ["--workspace", "1", "-o", path]).assert_says(1, &words);
    assert!(!file.exists());
    let run = case.call("raw_call", ["/x", "-f", "a=b"]);
    run.assert_says(1, &["206", "check before you run this again"]);
    // Whoever asks for a part gets one.
    let run = case.call("raw_call", ["/x", "-H", "Range: bytes=0-1", "-o", path]);
    assert_eq!((run.code, fs::read(&file).unwrap()), (Some(0), b"{}".to_vec()), "{}", run.stderr);
}

#[test]
fn a_file_that_is_not_ready_is_not_saved() {
    const HEADERS: &str = "Retry-After: 7\r\nLocation: /exports/7?key=a\r\n";
    let case = server(|mut stream| {
        while !head(&stream).is_empty() {
            let body = br#"{"message":"the export is queued"}"#;
            stream.write_all(&response("202 Accepted", HEADERS, body)).unwrap();
        }
    });
    let file = case.path("out");
    let path = file.to_str().unwrap();
    let words = [
        "HTTP 202 Accepted: the export is queued",
        "not ready yet",
        "in 7 s. The server points to /exports/7?(",
    ];
    case.call("raw_call", ["/x", "-o", path]).assert_says(1, &words);
    assert!(!file.exists());
    let run = case.call("raw_call", ["/x", "-o", "-"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("not ready yet"), "{}", run.stderr);
    // Without a file it is a response like any other, and to a POST it is a success.
    for (args, shown) in [(&["/x"][..], true), (&["/x", "-f", "a=b", "-o", path], false)] {
        let run = case.call("raw_call", args);
        assert_eq!((run.code, run.stdout.contains("queued")), (Some(0), shown), "{}", run.stderr);
    }
    assert!(fs::read_to_string(&file).unwrap().contains("queued"));
}

#[test]
fn a_redirect_is_told_with_its_target_and_304_is_none() {
    for (status, location, words) in [
        (
            "302 Found",
            "https://ada:pass@login.example/sign/in?token=secret#part",
            &["to https://login.example/sign/in?(redacted). Redirects are not followed"][..],
        ),
        ("301 Moved Permanently", "/elsewhere#secret", &["to /elsewhere. ", "not followed"]),
        ("307 Temporary Redirect", "//other.example?a=secret", &["to //other.example?(redacted)."]),
        ("308 Permanent Redirect", "", &["HTTP 308 Permanent Redirect (", "not followed"]),
        ("300 Multiple Choices", "", &["HTTP 300 Multiple Choices (", "not followed"]),
        ("304 Not Modified", "", &["HTTP 304 Not Modified (", "Nothing has changed"]),
        ("304 Not Modified", "https://secret.example/", &["Nothing has changed"]),
    ] {
        let case = server(move |mut stream| {
            while !head(&stream).is_empty() {
                let line = format!("Location: {location}\r\n");
                let headers = if location.is_empty() { "" } else { &line };
                stream.write_all(&response(status, headers, b"")).unwrap();
            }
        });
        let run = case.run(NONE);
        run.assert_fails(3, words);
        for hidden in ["secret", "ada:pass"] {
            assert!(!run.stderr.contains(hidden), "{}", run.stderr);
        }
        let is_redirect = !status.starts_with("304");
        assert_eq!(run.stderr.contains("edirects are"), is_redirect, "{}", run.stderr);
    }
    // The token endpoint, too.
    let case = Case::expired(Options::default());
    let target = format!("https://login.example/?token={}", case.tokens.refresh_token);
    case.sandbox.add_fault(Fault::token(FaultKind::Redirect(target)));
    case.run(NONE).assert_fails(3, &["HTTP 302 Found: to https://login.example/?(redacted) (POST"]);
}

/// A download of 5,000 bytes that breaks off so many times.
fn breaking(times: u32) -> (Case, Arc<AtomicU32>) {
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    let case = server(move |mut stream| {
        while !head(&stream).is_empty() {
            let number = count.fetch_add(1, Relaxed);
            // Each one has other bytes, so that none can be part of another.
            let body = [b'a' + u8::try_from(number).unwrap(); 5000];
            let whole = response("200 OK", "", &body);
            match number < times {
                true => return stream.write_all(&whole[..whole.len() - 100]).unwrap(),
                false => stream.write_all(&whole).unwrap(),
            }
        }
    });
    (case, requests)
}

#[test]
fn a_download_that_breaks_is_asked_for_again_from_its_start() {
    let (case, requests) = breaking(2);
    let file = case.path("out");
    let path = file.to_str().unwrap();
    let run = case.call("raw_call", ["/x", "-i", "-o", path]);
    assert_eq!((run.code, requests.load(Relaxed)), (Some(0), 3), "{}", run.stderr);
    assert_eq!(fs::read(&file).unwrap(), vec![b'c'; 5000]);
    assert_eq!(run.stdout.matches("HTTP/1.1 200 OK").count(), 1, "{}", run.stdout);

    // As often as --retry says, and never for a write. Then the file is as it was.
    for args in [&["--retry", "1"][..], &["-f", "a=b"], &["--retry", "0"]] {
        let (case, requests) = breaking(9);
        let file = case.path("out");
        fs::write(&file, "old").unwrap();
        let args = [&["/x", "-o", file.to_str().unwrap()], args].concat();
        assert_eq!(case.call("raw_call", &args).code, Some(1));
        let expected = if args.contains(&"1") { 2 } else { 1 };
        assert_eq!(requests.load(Relaxed), expected, "{args:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }
    // Nor where somebody has read the start of it already.
    let (case, requests) = breaking(9);
    let run = case.call("raw_call", ["/x", "-o", "-"]);
    assert_eq!((run.code, requests.load(Relaxed)), (Some(1), 1));
    assert_eq!(run.stdout, "a".repeat(4900));
    #[cfg(unix)]
    {
        let (case, requests) = breaking(9);
        let mut shell = acceptance::clean("sh");
        shell.args(["-c", "\"$0\" /x -o /dev/fd/3 3>out"]).arg(acceptance::program("raw_call"));
        shell.current_dir(case.folder.path()).env("AAC_DIR", case.folder.path());
        assert_eq!((Run::of(&mut shell).code, requests.load(Relaxed)), (Some(1), 1));
        assert_eq!(fs::read(case.path("out")).unwrap(), vec![b'a'; 4900]);
    }
}

#[test]
fn an_id_may_be_a_string_of_digits() {
    for (id, path) in [
        ("31429", Some("/x/31429/y")),
        ("\"31429\"", Some("/x/31429/y")),
        ("\"01JKBMKPZ94N0GG5F8N9HY2FJA\"", None),
        ("\"../31429\"", None),
        ("\"\"", None),
        ("-1", None),
        ("1.5", None),
        ("null", None),
    ] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let case = server(move |mut stream| {
            loop {
                let request = head(&stream);
                let Some(target) = request.split(' ').nth(1) else { return };
                seen.lock().unwrap().push(target.to_owned());
                let body = format!("{{\"id\":{id}}}");
                stream.write_all(&response("200 OK", "", body.as_bytes())).unwrap();
            }
        });
        let run = case.call("raw_call", ["/x/{workspaceId}/y"]);
        let current = "/iam/v1/workspaces/current".to_owned();
        match path {
            Some(path) => {
                assert_eq!(run.code, Some(0), "{id}: {}", run.stderr);
                assert_eq!(*asked.lock().unwrap(), [current, path.to_owned()]);
            }
            None => {
                run.assert_says(1, &["the workspace has no number for an id"]);
                assert_eq!(*asked.lock().unwrap(), [current], "{id}");
            }
        }
    }
}

#[test]
fn the_path_of_the_request_is_shown_and_a_token_in_it_is_not() {
    let case = Case::fresh(Options::default());
    let name = format!("/sandbox/{}7", "QuarterlyRevenueForecast".repeat(2));
    case.call("raw_call", [&*name, "--no-body"]).assert_says(4, &[&format!("{name})")]);
    let url = format!("{name}?key={}7", "QuarterlyRevenueForecast".repeat(2));
    let words = format!("{name}?key=(redacted))");
    case.call("raw_call", [&*url, "--no-body"]).assert_says(4, &[&words]);
    let token = &case.tokens.access_token;
    let path = format!("/x/{token}/y/{}", case.sandbox.project_id());
    let run = case.call("raw_call", [&*path, "--no-body"]);
    run.assert_says(4, &["/x/(redacted)/y/(redacted))"]);
    run.assert_hides(&[token, case.sandbox.project_id()]);
}

/// Unlike those of today.
#[test]
fn an_access_token_may_need_base64url() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::Base64Url));
    for _ in 0..2 {
        case.run(NONE).assert_ok();
    }
    assert_eq!(case.sandbox.counters().refreshes, 1, "its times are read");
}

#[test]
fn a_longer_wait_is_told_on_a_terminal_and_too_long_a_one_is_an_error() {
    let case = Case::fresh(Options::default());
    case.sandbox.add_fault(Fault::api(FaultKind::TooManyRequests(3600)));
    case.run(NONE).assert_fails(4, &["run this again in 3600 s"]);
    assert_eq!(case.sandbox.counters().api_calls, 1);
    case.sandbox.add_fault(Fault::api(FaultKind::TooManyRequests(2)));
    assert_eq!(case.run(NONE).stderr, "");
    #[cfg(target_os = "linux")]
    {
        case.sandbox.add_fault(Fault::api(FaultKind::TooManyRequests(2)));
        let shown = acceptance::on_terminal(&mut case.command(), 80);
        assert!(shown.contains("API quota reached"), "{shown}");
        assert!(shown.contains("trying again in 2.0 s"), "{shown}");
    }
}

#[test]
fn one_request_may_be_sent_again_less_often_than_others() {
    let case = Case::fresh(Options::default());
    case.sandbox.add_fault(Fault::api(FaultKind::BadGateway).always());
    let options = ConnectionOptions::default().dir(case.folder.path()).retry(1);
    let client = Client::open(&options, "test/1.0").unwrap();
    let request = || client.request(Method::GET, "/plans/v1/plans");
    let calls = |error: Option<Error>| {
        assert!(error.is_some_and(|error| error.is_retryable()));
        case.sandbox.counters().api_calls
    };
    assert_eq!(calls(request().send().err()), 2);
    assert_eq!(calls(request().retry(0).send().err()), 3);
    assert_eq!(calls(request().retry(0).rows().next().and_then(Result::err)), 4);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    // Once, unless it has begun to answer.
    for (kind, retry) in
        [(FaultKind::Hang, "3"), (FaultKind::HangAfter, "3"), (FaultKind::SlowBody(30), "0")]
    {
        let faults = vec![Fault::api(kind).always()];
        let case = Case::fresh(Options { faults, ..Options::default() });
        let run = case.run(["--timeout", "0.5", "--retry", retry]);
        run.assert_fails(1, &["timed out", "--timeout"]);
        assert_eq!(case.sandbox.counters().api_calls, 1);
    }
    // Slow, but with no pause longer than the limit.
    let slow = Fault::api(FaultKind::SlowBody(2));
    let case = Case::fresh(Options { faults: vec![slow], ..Options::default() });
    case.run(["--timeout", "1.5"]).assert_ok();
}

#[test]
fn a_401_renews_the_tokens_once() {
    let case = Case::fresh(Options::default());
    case.sandbox.revoke_access_tokens();
    case.run(NONE).assert_ok();
    let counters = case.sandbox.counters();
    assert_eq!((counters.refreshes, counters.api_calls, counters.unauthorized), (1, 2, 1));

    let case = Case::fresh(Options {
        faults: vec![Fault::api(FaultKind::Unauthorized).always()],
        ..Options::default()
    });
    case.run(NONE).assert_fails(4, &["HTTP 401 Unauthorized", "does not accept the access token"]);
    let counters = case.sandbox.counters();
    assert_eq!((counters.refreshes, counters.api_calls), (1, 2));

    // Not for a token that this very call has obtained.
    let case = Case::expired(Options {
        faults: vec![Fault::api(FaultKind::Unauthorized).always()],
        ..Options::default()
    });
    case.run(NONE).assert_fails(4, &["HTTP 401 Unauthorized"]);
    let counters = case.sandbox.counters();
    assert_eq!((counters.refreshes, counters.api_calls), (1, 1));

    // Nor after one that another program has saved meanwhile.
    let saved = Arc::new(OnceLock::new());
    let meanwhile = Arc::clone(&saved);
    let case = server(move |mut stream| {
        while !head(&stream).is_empty() {
            let (path, text): &(PathBuf, String) = meanwhile.get().unwrap();
            fs::write(path, text).unwrap();
            stream.write_all(&response("401 Unauthorized", "", b"")).unwrap();
        }
    });
    saved.set((case.creds(), acceptance::creds_with(&case.sandbox.issue()))).unwrap();
    case.run(NONE).assert_fails(4, &["HTTP 401 Unauthorized"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);

    // Nor for a fault of the API key.
    let case = Case::fresh(Options::default());
    fs::write(case.path("client_id.txt"), "x".repeat(48)).unwrap();
    case.run(NONE).assert_fails(4, &["Invalid ApiKey", "client_id.txt"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2() {
    let case = Case::fresh(Options::default());
    for args in [
        &["--no-such-flag"][..],
        &["extra"],
        &["--timeout", "0"],
        &["--timeout", "x"],
        &["--retry", "-1"],
    ] {
        assert_eq!(case.run(args).code, Some(2), "{args:?}");
    }
    let version = case.run(["--version"]);
    assert_eq!(version.code, Some(0));
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout);
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
#[cfg(unix)]
fn closed_standard_streams_do_no_harm() {
    let case = Case::expired(Options::default());
    let status = acceptance::clean("sh")
        .args(["-c", "\"$0\" -v 2>&- <&-"])
        .arg(acceptance::get_workspace())
        .env("AAC_DIR", case.folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_wait_that_outlives_the_token_ends_with_a_new_one() {
    let faults = vec![Fault::api(FaultKind::TooManyRequests(3))];
    let case = Case::expired(Options { token_lifetime: 2, faults, ..Options::default() });
    case.run(NONE).assert_ok();
    let counters = case.sandbox.counters();
    assert_eq!((counters.refreshes, counters.api_calls, counters.unauthorized), (2, 2, 0));
}

/// What the test below runs, in a process of its own: the environment is one for all tests.
#[test]
#[ignore = "a part of default_options_look_at_the_environment"]
fn open_with_default_options() {
    let opened = Client::open(&ConnectionOptions::default(), "test/1.0");
    println!("opened: {}", opened.map_or_else(|error| error.to_string(), |_| "yes".to_owned()));
}

#[test]
fn default_options_look_at_the_environment() {
    let case = Case::fresh(Options::default());
    let elsewhere = tempfile::tempdir().unwrap();
    let open = |dir: &str, current: &Path| {
        let output = acceptance::clean(env::current_exe().unwrap())
            .args(["--exact", "errors::open_with_default_options", "--ignored", "--nocapture"])
            .env("AAC_DIR", dir)
            .current_dir(current)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = case.folder.path();
    assert!(open(folder.to_str().unwrap(), elsewhere.path()).contains("opened: yes"));
    // An empty value counts as none: the search begins in the current folder.
    assert!(open("", folder).contains("opened: yes"));
    assert!(open("", elsewhere.path()).contains("opened: no creds.json in"));
    assert!(open("no-such", folder).contains("opened: no-such: no such folder"));
}
