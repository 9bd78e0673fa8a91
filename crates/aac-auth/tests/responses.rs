//! Responses of the token endpoint as bad servers and proxies frame them: a pair that has arrived counts,
//! whatever ended it.

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, TokenServer, plain};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
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

#[test]
fn a_whole_pair_counts_whatever_ended_it() {
    for (name, frame) in FRAMINGS {
        let server = TokenServer::start(move |case| frame(&body(case)));
        let case = server.case();
        case.run(NONE).assert_ok();
        assert!(case.sandbox.is_live(&case.refresh_token()), "{name}");
        assert_eq!(server.forms().len(), 1, "{name}: sent once");
        assert!(!case.path("creds.json.rotation").exists(), "{name}");
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
    let hold = case.sandbox.hold_token_answers();
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    fs::create_dir(case.path("creds.json.new")).unwrap();
    hold.release();
    let run = acceptance::Run::from(child);
    run.assert_fails(1, &["it is saved in ", "creds.json.rotation\n"]);
    fs::remove_dir(case.path("creds.json.new")).unwrap();
    case.run(NONE).assert_ok();
}
