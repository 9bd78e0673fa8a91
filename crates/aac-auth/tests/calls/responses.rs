//! Responses of the token endpoint as bad servers and proxies frame them: a pair that has arrived counts,
//! whatever ended it.

use crate::{NONE, SOON, gzip};
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run, TokenServer, plain};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// A new pair of the sandbox, as the body of a response.
fn body(case: &Case) -> Vec<u8> {
    let tokens = case.sandbox.issue();
    let pair = json!({
        "access_token": tokens.access_token, "token_type": "Bearer", "expires_in": 300,
        "refresh_token": tokens.refresh_token,
    });
    pair.to_string().into_bytes()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut coder = ZlibEncoder::new(Vec::new(), Compression::default());
    coder.write_all(bytes).unwrap();
    coder.finish().unwrap()
}

fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// How the body of a response is framed, and what that is.
type Framing = (&'static str, fn(&[u8]) -> Vec<u8>);

const FRAMINGS: [Framing; 13] = [
    ("the last chunk is missing", |body| with_head("transfer-encoding: chunked\r\n", &chunk(body))),
    ("the last chunk is cut off", |body| {
        with_head("transfer-encoding: chunked\r\n", &[&chunk(body)[..], b"0\r"].concat())
    }),
    ("a chunk is longer than said", |body| {
        let text = [b"fff\r\n", body].concat();
        with_head("transfer-encoding: chunked\r\n", &text)
    }),
    ("more is announced than comes", |body| {
        with_head(&format!("content-length: {}\r\n", body.len() + 7), body)
    }),
    ("nothing is announced", |body| with_head("", body)),
    ("coded, though nobody asked", |body| {
        let coded = gzip(body);
        with_head(&format!("content-encoding: gzip\r\ncontent-length: {}\r\n", coded.len()), &coded)
    }),
    ("coded, and the trailer is wrong", |body| {
        let mut coded = gzip(body);
        let end = coded.len() - 8;
        coded[end..].fill(7);
        with_head(&format!("content-encoding: gzip\r\ncontent-length: {}\r\n", coded.len()), &coded)
    }),
    ("coded, and the trailer is missing", |body| {
        let mut coded = gzip(body);
        coded.truncate(coded.len() - 8);
        with_head("content-encoding: x-gzip\r\n", &coded)
    }),
    ("coded, and not labelled", |body| plain(200, &gzip(body))),
    ("labelled, and not coded", |body| {
        with_head(&format!("content-encoding: gzip\r\ncontent-length: {}\r\n", body.len()), body)
    }),
    ("labelled as something unknown", |body| {
        with_head(&format!("content-encoding: br\r\ncontent-length: {}\r\n", body.len()), body)
    }),
    ("deflate", |body| with_head("content-encoding: deflate\r\n", &zlib(body))),
    ("with a byte order mark, and text around", |body| {
        plain(201, &[b"\xEF\xBB\xBF\r\n ", body, b" \r\n\r\n"].concat())
    }),
];

fn with_line(line: &[u8], body: &[u8]) -> Vec<u8> {
    let length = format!("\r\ncontent-length: {}\r\n\r\n", body.len());
    [line, length.as_bytes(), body].concat()
}

/// A head with another field before the length of the body.
fn with_field(field: &str, body: &[u8]) -> Vec<u8> {
    with_line(format!("HTTP/1.1 200 OK\r\n{field}").as_bytes(), body)
}

/// What stands before the body, or around it.
const HEADS: [Framing; 33] = [
    ("100 first", |body| [b"HTTP/1.1 100 Continue\r\n\r\n", &plain(200, body)[..]].concat()),
    ("102 first", |body| [b"HTTP/1.1 102 Processing\r\n\r\n", &plain(200, body)[..]].concat()),
    ("103 first", |body| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n";
        [hints, &plain(200, body)[..]].concat()
    }),
    ("a blank line first", |body| [b"\r\n", &plain(200, body)[..]].concat()),
    ("a length that is no number", |body| with_head("content-length: abc\r\n", body)),
    ("a length below zero", |body| with_head("content-length: -1\r\n", body)),
    ("a length of zero", |body| with_head("content-length: 0\r\n", body)),
    ("a length that is too small", |body| {
        with_head(&format!("content-length: {}\r\n", body.len() - 7), body)
    }),
    ("the length twice", |body| with_field(&format!("content-length: {}", body.len()), body)),
    ("two lengths", |body| with_field(&format!("content-length: {}", body.len() + 1), body)),
    ("labelled as chunked, and not", |body| with_head("transfer-encoding: chunked\r\n", body)),
    ("labelled as chunked, with its length, and not", |body| {
        with_field("transfer-encoding: chunked", body)
    }),
    ("chunked, with its length", |body| {
        let head = format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", body.len());
        with_head(&head, &[&chunk(body)[..], b"0\r\n\r\n"].concat())
    }),
    ("transfer-encoding: identity", |body| with_field("transfer-encoding: identity", body)),
    ("150 fields", |body| {
        let fields: Vec<_> = (0..150).map(|number| format!("x-{number}: v")).collect();
        with_field(&fields.join("\r\n"), body)
    }),
    ("a field of 70 KB", |body| with_field(&format!("set-cookie: {}", "a".repeat(70_000)), body)),
    ("Latin-1 in a field", |body| with_line(b"HTTP/1.1 200 OK\r\nx-name: J\xfcrgen", body)),
    ("Latin-1 in the reason", |body| with_line(b"HTTP/1.1 200 Erf\xfcllt", body)),
    ("no reason", |body| with_line(b"HTTP/1.1 200", body)),
    ("HTTP/1.0", |body| with_line(b"HTTP/1.0 200 OK", body)),
    ("line feeds alone", |body| {
        let head = format!("HTTP/1.1 200 OK\ncontent-length: {}\n\n", body.len());
        [head.as_bytes(), body].concat()
    }),
    ("a field on two lines", |body| with_field("x-a: b\r\n c", body)),
    ("a space in the name of a field", |body| with_field("x a: b", body)),
    ("a line that is no field", |body| with_field("nonsense", body)),
    ("a control character in a field", |body| with_field("x-a: b\x01c", body)),
    ("raw deflate", |body| {
        let mut coder = DeflateEncoder::new(Vec::new(), Compression::default());
        coder.write_all(body).unwrap();
        with_head("content-encoding: deflate\r\n", &coder.finish().unwrap())
    }),
    ("text behind", |body| plain(200, &[body, b"\n<!-- cached -->\n"].concat())),
    ("a NUL behind", |body| plain(200, &[body, b"\0"].concat())),
    ("201", |body| plain(201, body)),
    ("203", |body| plain(203, body)),
    ("204 with a body", |body| plain(204, body)),
    ("205 with a body", |body| plain(205, body)),
    ("206 with a body", |body| plain(206, body)),
];

#[test]
fn a_whole_pair_counts_whatever_ended_it() {
    assert_counts(FRAMINGS);
}

#[test]
fn a_whole_pair_counts_whatever_stands_before_it() {
    assert_counts(HEADS);
}

#[track_caller]
fn assert_counts(framings: impl IntoIterator<Item = Framing>) {
    for (name, frame) in framings {
        let server = TokenServer::start(move |case| frame(&body(case)));
        let case = server.case();
        let run = case.run(NONE);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        assert!(case.sandbox.is_live(&case.refresh_token()), "{name}");
        assert_eq!(server.forms().len(), 1, "{name}: sent once");
        assert!(!case.path("creds.json.rotation").exists(), "{name}");
    }
}

/// The same response, with another status.
fn with_status(status: &str, response: Vec<u8>) -> Vec<u8> {
    let is_success = |part: &[u8]| part.starts_with(b"HTTP/1.") && part[9] == b'2';
    let start = response.windows(12).position(is_success).unwrap() + 9;
    [&response[..start], status.as_bytes(), &response[start + 3..]].concat()
}

#[test]
fn a_refusal_is_known_in_every_form_of_a_response() {
    let body = json!({ "error": "invalid_grant", "error_description": "it was revoked" });
    let body = body.to_string().into_bytes();
    let body = &body;
    for status in ["400", "2xx"] {
        // Each run waits for a while for others to save tokens.
        thread::scope(|scope| {
            for (name, frame) in FRAMINGS.into_iter().chain(HEADS) {
                scope.spawn(move || {
                    let framed = match status {
                        "2xx" => frame(body),
                        status => with_status(status, frame(body)),
                    };
                    let server = TokenServer::start(move |_| framed.clone());
                    let run = server.case().run(NONE);
                    let words = "is refused: invalid_grant: it was revoked (POST ";
                    assert_eq!(run.code, Some(4), "{name}, {status}: {}", run.stderr);
                    assert!(run.stderr.contains(words), "{name}, {status}: {}", run.stderr);
                    let help = "used before, revoked or disabled";
                    assert!(run.stderr.contains(help), "{name}, {status}: {}", run.stderr);
                    assert_eq!(server.forms().len(), 1, "{name}, {status}: sent once");
                });
            }
        });
    }
}

#[test]
fn another_status_makes_no_token_dead() {
    let body = json!({ "error": "invalid_grant" }).to_string();
    let server = TokenServer::start(move |_| plain(403, body.as_bytes()));
    let run = server.case().run(NONE);
    assert!(run.stderr.contains("your tokens are unchanged"), "{}", run.stderr);
}

#[test]
fn an_error_in_place_of_tokens_is_told_and_the_token_is_sent_once_in_each_run() {
    for (error, said) in [
        (
            json!({ "error": "server_error", "error_description": "try later" }),
            ": server_error: try later (POST ",
        ),
        (json!({ "error": "server_error" }), ": server_error (POST "),
        (json!({ "error": { "code": 7, "message": "no luck" } }), ": no luck (POST "),
        (json!({ "error": "x", "access_token": "opaque" }), ": x (POST "),
    ] {
        let body = error.to_string();
        let server = TokenServer::start(move |_| plain(200, body.as_bytes()));
        let case = server.case();
        for runs in 1..=2 {
            case.run(NONE).assert_fails(1, &[said, "may have been used", "Run this again"]);
            assert_eq!(server.forms().len(), runs, "{error}");
        }
    }
    // With tokens, an error is only a word.
    let server = TokenServer::start(|case| {
        let mut pair: Value = serde_json::from_slice(&body(case)).unwrap();
        pair["error"] = json!("none");
        plain(200, pair.to_string().as_bytes())
    });
    server.case().run(NONE).assert_ok();
    assert!(server.case().sandbox.is_live(&server.case().refresh_token()));
}

#[test]
fn a_page_that_something_in_between_has_sent_is_told_by_its_title() {
    let page = b"<!DOCTYPE html>\n<html><head><TITLE>Blocked by\n policy</TITLE></head></html>";
    let json = br#"{"error":"invalid_client","error_description":"Unsupported method"}"#;
    let odd = br#"{"error":"unauthorized_client"}"#;
    let between = "Something between you and the server answered";
    let client = "names the OAuth client";
    for (status, body, code, said, cure) in [
        (403, &page[..], 4, "Forbidden: Blocked by policy (POST ", between),
        (404, page, 4, "Not Found: Blocked by policy", between),
        (418, page, 4, "I'm a teapot: Blocked by policy", between),
        (451, page, 4, "", between),
        (403, b"Access denied", 4, "Forbidden: Access denied (", between),
        (404, b"", 4, "Not Found (POST ", between),
        (401, json, 4, "Unauthorized: invalid_client: Uns", client),
        (400, odd, 4, "Bad Request: unauthorized_client (", "Alteryx support"),
        // It does not come from the server (RFC 6585 §6), whatever its body.
        (511, page, 5, "Network Authentication Required: Blocked", "Sign in"),
        (511, json, 5, "Network Authentication Required: ", "Sign in"),
    ] {
        let server = TokenServer::start(move |_| plain(status, body));
        let run = server.case().run(NONE);
        run.assert_fails(code, &[&format!("HTTP {status} {said}"), "are unchanged", cure]);
        for other in [between, client] {
            assert_eq!(run.stderr.contains(other), other == cure, "{status}: {}", run.stderr);
        }
        assert!(!run.stderr.contains("Create new tokens"), "{}", run.stderr);
        assert_eq!(server.forms().len(), 1, "{status}: sent once");
    }
    // Nobody knows what the server behind a gateway has done.
    for (status, body) in [(500, &page[..]), (502, json), (503, page), (504, odd), (599, page)] {
        let server = TokenServer::start(move |_| plain(status, body));
        let status = format!("HTTP {status}");
        server.case().run(NONE).assert_fails(5, &[&status, "may have been used"]);
        assert_eq!(server.forms().len(), 2, "{status}");
    }
    // Nor what a page with 200 stands for.
    let server = TokenServer::start(move |_| plain(200, page));
    let words = [
        "between you and the server answered with a web page: Blocked by policy",
        "may have been used",
    ];
    server.case().run(NONE).assert_fails(1, &words);
    assert_eq!(server.forms().len(), 2);
}

/// An access token of the sandbox with other claims.
fn with_claims(token: &str, change: impl Fn(&mut Value)) -> String {
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let mut claims: Value = serde_json::from_slice(&BASE64URL.decode(claims).unwrap()).unwrap();
    change(&mut claims);
    format!("{head}.{}.{signature}", BASE64URL.encode(claims.to_string()))
}

/// Makes the note in the journal so many seconds older.
fn age_note(case: &Case, by: i64) {
    const LINE: usize = acceptance::JOURNAL_LINE;
    const NOTE: usize = acceptance::JOURNAL_NOTE;
    let mut journal = fs::read(case.path("creds.json.rotation")).unwrap();
    let mut line: Value = serde_json::from_slice(&journal[NOTE..NOTE + LINE]).unwrap();
    let length = usize::try_from(line["length"].as_u64().unwrap()).unwrap();
    let note = &mut journal[NOTE + LINE..][..length];
    let mut content: Value = serde_json::from_slice(note).unwrap();
    content["time_ms"] = json!(content["time_ms"].as_i64().unwrap() - 1000 * by);
    note.copy_from_slice(content.to_string().as_bytes());
    line["sha256"] = json!(acceptance::sha256(note));
    let line = format!("{:<width$}\n", line.to_string(), width = LINE - 1);
    journal[NOTE..NOTE + LINE].copy_from_slice(line.as_bytes());
    fs::write(case.path("creds.json.rotation"), journal).unwrap();
}

#[test]
fn an_access_token_of_no_use_is_told_and_no_run_spends_a_token_for_it_again() {
    type Change = fn(&str) -> Option<String>;
    let cases: [(Change, &str); 5] = [
        (
            |token| {
                Some(with_claims(token, |claims| claims["iss"] = json!("https://x.example/as")))
            },
            "the access token was issued by https://x.example/as, which is not Alteryx Cloud (POST ",
        ),
        (
            |token| {
                let change =
                    |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("client_id"));
                Some(with_claims(token, change))
            },
            "the access token has no \"client_id\" claim (POST ",
        ),
        (
            |token| Some(with_claims(token, |claims| claims["iss"] = json!(7))),
            "the access token has no \"iss\" claim (POST ",
        ),
        (|_| Some("opaque".to_owned()), "the access token is not a JWT"),
        (|_| None, "no \"access_token\" (POST "),
    ];
    for (change, said) in cases {
        let server = TokenServer::start(move |case| {
            let mut pair: Value = serde_json::from_slice(&body(case)).unwrap();
            pair["access_token"] = change(pair["access_token"].as_str().unwrap()).into();
            plain(200, pair.to_string().as_bytes())
        });
        let case = server.case();
        let run = case.run(NONE);
        let saved = format!("it is saved in {} (user ada", case.creds().display());
        run.assert_fails(
            1,
            &["without a usable access token", said, &saved, "ten minutes", "Create new tokens"],
        );
        let new = case.refresh_token();
        assert!(new != case.tokens.refresh_token && case.sandbox.is_live(&new), "{said}");
        for _ in 0..2 {
            assert_eq!(case.run(NONE).stderr, run.stderr);
            assert_eq!((server.forms().len(), case.refresh_token()), (1, new.clone()), "{said}");
        }
        let status = Run::of(case.program("token_status").arg("--json"));
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        assert_eq!(status["state"], "usable", "{status}");
        let leftover = status["leftovers"][0]["meaning"].as_str().unwrap();
        assert!(leftover.contains("failed") && leftover.contains(said), "{leftover}");
        // An older copy leads to it as well, and so does damage.
        for damage in [acceptance::creds_with(&case.tokens), "{}".to_owned()] {
            fs::write(case.creds(), damage).unwrap();
            case.run(NONE).assert_fails(1, &["without a usable access token"]);
            assert_eq!((server.forms().len(), case.refresh_token()), (1, new.clone()), "{said}");
        }
        // The minutes end that, and so does a clock that is set back.
        for (times, by) in [(2, 601), (3, -60)] {
            let sent = case.refresh_token();
            age_note(case, by);
            case.run(NONE).assert_fails(1, &["without a usable access token"]);
            let forms = server.forms();
            assert_eq!(forms.len(), times, "{said}");
            assert!(forms[times - 1].contains(&("refresh_token".to_owned(), sent)), "{said}");
        }
    }
}

#[test]
fn tokens_that_are_pasted_end_the_wait_for_an_access_token_of_use() {
    for is_expired in [false, true] {
        let case = Case::expired(Options::default());
        case.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
        case.run(NONE).assert_fails(1, &["without a usable access token"]);
        case.run(NONE).assert_fails(1, &["without a usable access token"]);
        assert_eq!(case.sandbox.counters().token_requests, 1);
        let new = case.refresh_token();
        let pasted = if is_expired { case.sandbox.issue_expired() } else { case.sandbox.issue() };
        fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
        case.run(NONE).assert_ok();
        assert_eq!(case.sandbox.counters().token_requests, 1 + u64::from(is_expired));
        assert!(case.keeps(new.as_bytes()), "what has come is kept beside it");
        assert!(case.sandbox.is_live(&new) && case.sandbox.is_live(&case.refresh_token()));
    }
}

#[test]
fn whoever_waited_for_an_access_token_of_no_use_spends_nothing() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    let hold = case.sandbox.hold_token_responses();
    let first = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    let others = case.start(8);
    hold.release();
    for child in others.into_iter().chain([first]) {
        Run::from(child).assert_fails(1, &["without a usable access token"]);
    }
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn an_access_token_that_is_still_good_is_used_meanwhile() {
    let options = Options { token_lifetime: 300, clock_offset: -250, ..Options::default() };
    let case = Case::fresh(options);
    case.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    for _ in 0..2 {
        let run = case.run(NONE);
        run.assert_ok();
        assert!(
            run.stderr.contains("the access token is still valid for a while"),
            "{}",
            run.stderr
        );
    }
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn a_refresh_token_may_have_any_character() {
    for token in [
        " a token with spaces ",
        "~!@#$%^&*()_+{}|:<>?\\/';[]=-`\"",
        "x",
        "a line end\n",
        "a\ttab",
        "t\u{f6}k\u{e9}n",
    ] {
        let server = TokenServer::start(move |case| {
            let access_token = case.sandbox.issue().access_token;
            let body = json!({ "access_token": access_token, "refresh_token": token });
            plain(200, body.to_string().as_bytes())
        });
        let case = server.case();
        case.run(NONE).assert_ok();
        assert_eq!(case.refresh_token(), token);
        // It is sent as it came.
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
        let sent = server.forms().pop().unwrap();
        let sent = sent.iter().find(|(name, _)| name == "refresh_token").unwrap();
        assert_eq!(sent.1, token);
    }
}

#[test]
fn a_connection_that_stays_open_is_not_waited_for() {
    for (name, frame) in &FRAMINGS[..5] {
        let frame = *frame;
        let server = TokenServer::start_open(move |case| frame(&body(case)));
        let start = Instant::now();
        server.case().run(NONE).assert_ok();
        assert!(start.elapsed() < Duration::from_secs(50), "{name}");
        assert_eq!(server.forms().len(), 1, "{name}: sent once");
    }
}

#[test]
fn the_last_response_of_no_use_and_the_note_are_there_for_who_looks_into_it() {
    let server = TokenServer::start(|_| plain(200, b"{\"of\": \"no use\"}"));
    let case = server.case();
    case.run(NONE).assert_fails(1, &["holds no usable tokens", "may have been used"]);
    assert_eq!(server.forms().len(), 2);
    let journal = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    assert_eq!(journal.matches("{\"of\": \"no use\"}").count(), 1);
    assert!(journal.contains("\"state\":\"failed\"") && journal.contains("\"state\":\"before\""));
}

#[test]
fn a_response_that_is_too_large_is_told() {
    let large = [b"{\"a\": \"", &[b'a'; 64 * 1024][..], b"\"}"].concat();
    for response in [plain(200, &large), with_head("content-encoding: gzip\r\n", &gzip(&large))] {
        let server = TokenServer::start(move |_| response.clone());
        let run = server.case().run(NONE);
        run.assert_fails(
            1,
            &["was lost: it is larger than 64 KiB (POST http", "may have been used"],
        );
        assert_eq!(server.forms().len(), 2);
    }
}

#[test]
fn no_content_coding_is_asked_for() {
    let case = Case::expired(Options::default());
    case.run(NONE).assert_ok();
    let requests = case.sandbox.requests();
    let refresh = requests.iter().find(|request| request.path == "/as/token").unwrap();
    let coding = refresh.header("accept-encoding");
    assert!(coding.is_none_or(|coding| coding == "identity"), "{coding:?}");
}

#[test]
fn tokens_are_said_to_be_saved_where_they_are() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::NoAccessToken));
    let run = case.interrupt(&mut case.command());
    run.assert_fails(1, &["it is saved in ", "creds.json.rotation\n"]);
    case.run(NONE).assert_ok();
}
