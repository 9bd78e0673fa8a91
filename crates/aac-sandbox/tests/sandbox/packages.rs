//! Packages, and other large bodies.

use std::io::Read as _;

use aac_sandbox::{Options, Sandbox};
use serde_json::json;

use crate::client::{Client, LONG, Response, read_raw, send_raw, start};

const IMPORT: &str = "/plans/v1/plans/package";
const EXPORT: &str = "/plans/v1/plans/8/package";

/// Too large to be read first, and not a round number.
const LARGE: usize = 3 * 1024 * 1024 + 17;

/// A multipart body: the parameters in the header of each part, and its content.
fn multipart(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (header, content) in parts {
        body.extend(b"--limit\r\nContent-Disposition: form-data; ");
        body.extend(header.as_bytes());
        body.extend(b"\r\n\r\n");
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--limit--\r\n");
    body
}

fn import(sandbox: &Sandbox, body: &[u8]) -> Response {
    let token = sandbox.issue().access_token;
    let headers = [("Content-Type", "multipart/form-data; boundary=limit")];
    Client::new(sandbox).send("POST", IMPORT, &token, &headers, body)
}

#[test]
fn a_package_is_an_archive_of_the_requested_size() {
    for size in [2000, LARGE] {
        let sandbox = start(Options { package_size: size as u64, ..Options::default() });
        let response = Client::new(&sandbox).get(EXPORT, &sandbox.issue().access_token);
        assert_eq!((response.status, response.bytes.len()), (200, size));
        assert_eq!(response.header("content-type"), "application/zip");
        assert_eq!(response.header("content-length"), size.to_string());
        let disposition = r#"attachment; filename="plan-8.zip""#;
        assert_eq!(response.header("content-disposition"), disposition);
        assert_eq!(response.header("x-trifacta-request-id").len(), 36);

        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("package.zip");
        std::fs::write(&file, &response.bytes).expect("written");
        let script = "import json, sys, zipfile\n\
                      archive = zipfile.ZipFile(sys.argv[1])\n\
                      assert archive.testzip() is None\n\
                      print(*archive.namelist())\n\
                      print(ascii(json.loads(archive.read('plan.json'))['name']))\n";
        if !acceptance::have("python3") {
            return;
        }
        let mut python = acceptance::clean("python3");
        let output = python.arg("-c").arg(script).arg(&file).output().expect("started");
        assert!(output.status.success(), "{output:?}");
        let expected = r"plan.json padding.bin 'Przegl\u0105d tygodnia \u9031\u5831'";
        let stdout = String::from_utf8(output.stdout).expect("text");
        assert_eq!(stdout.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    }
}

#[test]
fn what_was_exported_can_be_imported() {
    let sandbox = start(Options { package_size: LARGE as u64, ..Options::default() });
    let client = Client::new(&sandbox);
    let token = sandbox.issue().access_token;
    let package = client.get(EXPORT, &token).bytes;
    let mapping = ("name=\"connectionIdMapping\"", &b"[]"[..]);
    let other = ("name=\"comment\"", &b"skipped"[..]);
    for (number, name) in ["data", "File"].iter().enumerate() {
        let file = format!("name={name:?}; filename=\"x.zip\"");
        let body = multipart(&[other, (&file, &package), mapping]);
        let response = import(&sandbox, &body);
        assert_eq!(response.status, 201, "{response:?}");
        let id = 9 + number;
        let created = json!({ "id": id, "name": "Przegląd tygodnia 週報", "size": LARGE });
        assert_eq!(response.json(), json!({ "data": [created] }));
        assert_eq!(client.get(&format!("/plans/v1/plans/{id}"), &token).status, 200);
        let request = sandbox.requests().into_iter().rfind(|request| request.path == IMPORT);
        let request = request.expect("recorded");
        assert_eq!(request.body_length, body.len() as u64);
        assert_eq!(request.body, body[..64 * 1024]);
    }
    // An archive from elsewhere is named after its file.
    let file = ("name=\"data\"; filename=\"Other.zip\"", &b"PK\x03\x04..."[..]);
    assert_eq!(import(&sandbox, &multipart(&[file])).json()["data"][0]["name"], "Other");
}

#[test]
fn invalid_imports_are_rejected() {
    let sandbox = start(Options::default());
    let zip = ("name=\"data\"", &b"PK\x03\x04"[..]);
    let large = vec![b'x'; LARGE];
    for (parts, text) in [
        (&[][..], "There is no file: a part with the name data or File is required"),
        (&[("name=\"file\"", &b"PK\x03\x04"[..])], "There is no file"),
        (&[("name=\"data\"", b"")], "not a ZIP archive"),
        (&[("name=\"data\"", b"PK")], "not a ZIP archive"),
        (&[("name=\"data\"", large.as_slice())], "not a ZIP archive"),
        (&[zip, zip], "more than one file"),
        (&[zip, ("name=\"environmentParameterMapping\"", b"{")], "is not JSON"),
        (&[("name=\"connectionIdMapping\"", large.as_slice()), zip], "is too large"),
    ] {
        let response = import(&sandbox, &multipart(parts));
        assert_eq!(response.status, 400, "{text}: {response:?}");
        let exception = &response.json()["exception"];
        assert_eq!(exception["name"], "ApiValidationFailed", "{text}");
        let details = exception["details"].as_str().unwrap_or_default();
        assert!(details.contains(text), "{text}: {response:?}");
    }
    let whole = multipart(&[zip]);
    assert_eq!(import(&sandbox, &whole[..whole.len() - 10]).status, 400, "cut off");
    let token = sandbox.issue().access_token;
    let client = Client::new(&sandbox);
    let headers = [("Content-Type", "application/zip")];
    assert_eq!(client.send("POST", IMPORT, &token, &headers, b"PK\x03\x04").status, 415);
    let headers = [("Content-Type", "multipart/form-data")];
    assert_eq!(client.send("POST", IMPORT, &token, &headers, &whole).status, 400, "no boundary");
    assert_eq!(client.get("/plans/v1/plans/count", &token).json()["count"], 2);
}

#[test]
fn echo_describes_a_large_body_and_shows_a_small_one() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    let token = sandbox.issue().access_token;
    for (length, shown) in [(0, true), (1 << 20, true), ((1 << 20) + 1, false), (LARGE, false)] {
        let body = vec![b'a'; length];
        let echo = client.post("/sandbox/echo", &token, &body).json();
        assert_eq!(echo["length"], length);
        assert_eq!(echo["crc32"], format!("{:08x}", crc32fast::hash(&body)));
        assert_eq!(echo["body"].as_str().map(str::len), shown.then_some(length));
        assert_eq!(echo.get("base64"), None);
        let recorded = sandbox.requests().pop().expect("recorded");
        assert_eq!(recorded.body_length, length as u64);
        assert_eq!(recorded.body.len(), length.min(64 * 1024));
    }
    // The standard check value of CRC-32.
    let echo = client.post("/sandbox/echo", &token, b"123456789").json();
    assert_eq!(echo["crc32"], "cbf43926");
}

#[test]
fn a_body_of_unknown_length_is_read_as_it_arrives() {
    let sandbox = start(Options::default());
    let request = |token: &str, path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nx-api-project-id: {}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             8\r\n{{\"name\":\r\n4\r\n\"x\"}}\r\n0\r\n\r\n",
            sandbox.project_id()
        )
    };
    let token = sandbox.issue().access_token;
    for (path, status) in [("/plans/v1/plans", 201), ("/sandbox/echo", 200), ("/nowhere", 404)] {
        let response = read_raw(send_raw(&sandbox, &request(&token, path))).expect("a response");
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {response}");
        let recorded = sandbox.requests().pop().expect("recorded");
        assert_eq!((recorded.body.as_slice(), recorded.body_length), (&br#"{"name":"x"}"#[..], 12));
    }
}

#[test]
fn the_large_body_of_a_rejected_request_is_read_to_its_end() {
    for fault in [None, Some("api:503"), Some("api:unauthorized")] {
        let sandbox = start(Options::default());
        if let Some(fault) = fault {
            sandbox.add_fault(fault.parse().expect("a fault"));
        }
        let client = Client::new(&sandbox);
        let body = vec![0; 10 * LARGE];
        let status = client.post("/sandbox/echo", "wrong", &body).status;
        assert_eq!(status, if fault == Some("api:503") { 503 } else { 401 });
        let recorded = sandbox.requests().pop().expect("recorded");
        assert_eq!(recorded.body_length, body.len() as u64);
        // The connection stays open.
        client.post("/sandbox/echo", "wrong", b"");
        assert_eq!(sandbox.counters().connections, 1);
    }
}

#[test]
fn faults_apply_to_large_responses_too() {
    let options = Options { package_size: LARGE as u64, ..Options::default() };
    let whole = {
        let sandbox = start(options.clone());
        Client::new(&sandbox).get(EXPORT, &sandbox.issue().access_token).bytes
    };
    for (fault, length) in
        [("cut", LARGE / 2), ("cut-close", LARGE / 2), ("slow-body=0", LARGE), ("slow=0", LARGE)]
    {
        let sandbox = start(options.clone());
        sandbox.add_fault(format!("api:{fault}").parse().expect("a fault"));
        let request = format!(
            "GET {EXPORT} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             x-api-project-id: {}\r\n\r\n",
            sandbox.issue().access_token,
            sandbox.project_id()
        );
        let mut stream = send_raw(&sandbox, &request);
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("the end of the connection");
        let head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let body = &response[head + 4..];
        // What hyper has not written when the body fails is lost.
        let is_cut = fault == "cut" && !body.is_empty() && body.len() <= length;
        assert!(is_cut || body.len() == length, "{fault}: {}", body.len());
        assert!(whole.starts_with(body), "{fault}");
    }
}
