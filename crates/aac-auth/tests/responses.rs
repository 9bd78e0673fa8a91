//! Responses of the token endpoint as bad servers and proxies frame them: a pair that has arrived counts,
//! whatever ended it.

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, TokenServer, plain};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

const NONE: [&str; 0] = [];

/// A new pair of the sandbox, as the body of a response.
fn body(case: &Case) -> Vec<u8> {
    let tokens = case.sandbox.issue();
    let pair = json!({
        "access_token": tokens.access_token, "token_type": "Bearer", "expires_in": 300,
        "refresh_token": tokens.refresh_token,
    });
    pair.to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::default());
    coder.write_all(bytes).unwrap();
    coder.finish().unwrap()
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
fn a_second_response_and_a_note_overwrite_nothing() {
    // What came first, though of no use, is there for who looks into it.
    let server = TokenServer::start(|_| plain(200, b"{\"first\": \"response\"}"));
    let case = server.case();
    case.run(NONE).assert_fails(1, &["holds no usable tokens", "may have been used"]);
    assert_eq!(server.forms().len(), 2);
    let journal = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    assert_eq!(journal.matches("{\"first\": \"response\"}").count(), 2);
    assert!(journal.contains("\"state\":\"failed\"") && journal.contains("\"state\":\"creds\""));
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

#[test]
fn a_server_that_a_test_starts_leaves_no_folder_behind() {
    let server = TokenServer::start(|_| plain(503, b""));
    let folder = server.case().folder.path().to_owned();
    server.case().run(["--retry", "0"]).assert_fails(5, &["may have been used"]);
    drop(server);
    assert!(!folder.exists());
}
