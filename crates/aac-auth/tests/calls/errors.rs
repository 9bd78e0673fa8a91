//! What is sent, and what is said of what comes back.

use crate::{NONE, head, response, server};
use aac_auth::{Client, ConnectionOptions, Error, Method};
use aac_sandbox::{Fault, FaultKind, Options, RefreshTokens};
use acceptance::{Case, DOCUMENTED};
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
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
            K::SpikeArrest,
            K::QuotaAs500,
            K::BadGateway,
            K::Unavailable(1),
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
                let has_asked = matches!(kind, K::TooManyRequests(_) | K::Unavailable(_));
                assert!(!has_asked || start.elapsed() >= Duration::from_secs(2), "{kind:?}");
                case.sandbox.add_fault(fault.times(2));
                assert_ne!(case.run(["--retry", "1"]).code, Some(0), "{kind:?}");
                assert_eq!(case.sandbox.counters().api_calls, 5, "{kind:?}");
            });
        }
    });
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
