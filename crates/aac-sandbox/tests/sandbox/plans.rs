//! Plans, from creation to deletion, and their packages.

use aac_sandbox::{Options, Sandbox};
use serde_json::json;

use crate::client::{Client, Response, keys, start};

const PLANS: &str = "/plans/v1/plans";
const IMPORT: &str = "/plans/v1/plans/package";
const EXPORT: &str = "/plans/v1/plans/8/package";

#[test]
fn a_plan_from_its_creation_to_its_end() {
    let sandbox = start(Options { clock_offset: 1000, ..Options::default() });
    let client = Client::new(&sandbox);
    let created = client.json("POST", PLANS, r#"{"name":"Mine","description":"d"}"#);
    assert_eq!(created.status, 201);
    let plan = created.json();
    let path = format!("{PLANS}/{}", plan["id"]);
    assert_eq!((&plan["name"], &plan["description"]), (&json!("Mine"), &json!("d")));
    assert_eq!(client.get(&path).json(), plan);

    sandbox.set_clock_offset(1010);
    let updated = client.json("PATCH", &path, r#"{"description":null,"x":1}"#);
    let update = updated.json();
    assert_eq!((updated.status, &*keys(&update)), (200, "id updatedAt"));
    let changed = client.get(&path).json();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Mine"), &json!(null)));
    assert_eq!(changed["createdAt"], plan["createdAt"]);
    assert_eq!(changed["updatedAt"], update["updatedAt"]);
    // Both are ISO 8601 in UTC, whose order is that of the text.
    assert!(update["updatedAt"].as_str() > plan["updatedAt"].as_str(), "{update} {plan}");

    let deleted = client.send("DELETE", &path, "", "");
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    for (method, after) in
        [("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/package"), ("POST", "/run")]
    {
        let response = client.json(method, &format!("{path}{after}"), "");
        assert_eq!(response.error(), (410, "Gone".to_owned()), "{method} {after}");
    }
    assert_eq!(client.get(&format!("{PLANS}/count")).json()["count"], 2);
    let next = client.json("POST", PLANS, r#"{"name":"Next"}"#).json();
    assert!(next["id"].as_u64() > plan["id"].as_u64(), "an id is used once");
}

#[test]
fn invalid_requests_are_rejected() {
    let sandbox = start(Options::default());
    let client = Client::new(&sandbox);
    for (method, path, body, status, exception) in [
        ("POST", PLANS, "", 400, "ApiValidationFailed"),
        ("POST", PLANS, "{", 400, "ApiValidationFailed"),
        ("POST", PLANS, "[]", 400, "ApiValidationFailed"),
        ("POST", PLANS, "{}", 400, "ApiValidationFailed"),
        ("POST", PLANS, r#"{"name":""}"#, 400, "ApiValidationFailed"),
        ("POST", PLANS, r#"{"name":7}"#, 400, "ApiValidationFailed"),
        ("PATCH", "/plans/v1/plans/7", r#"{"name":""}"#, 400, "ApiValidationFailed"),
        ("PATCH", "/plans/v1/plans/1", r#"{"name":"x"}"#, 404, "NotFoundException"),
        ("DELETE", "/plans/v1/plans/1", "{}", 404, "NotFoundException"),
        ("POST", "/plans/v1/plans/1/run", "{}", 404, "NotFoundException"),
        ("POST", "/plans/v1/plans/x/run", "{}", 404, "RouteNotFoundException"),
        ("PUT", "/plans/v1/plans/7", "{}", 404, "RouteNotFoundException"),
        ("POST", IMPORT, "{}", 415, "UnsupportedMediaTypeException"),
    ] {
        let response = client.json(method, path, body);
        assert_eq!(response.error(), (status, exception.to_owned()), "{method} {path} {body}");
    }
    for (content_type, status) in
        [("", 415), ("text/plain", 415), ("Application/JSON; charset=utf-8", 201)]
    {
        let response = client.send("POST", PLANS, content_type, r#"{"name":"x"}"#);
        assert_eq!(response.status, status, "{content_type}");
    }
}

/// Sends a form: the parameters in the header of each part, and its content.
fn import(sandbox: &Sandbox, parts: &[(&str, &[u8])]) -> Response {
    let mut body = Vec::new();
    for (header, content) in parts {
        body.extend(b"--limit\r\nContent-Disposition: form-data; ");
        body.extend([header.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat());
    }
    body.extend(b"--limit--\r\n");
    Client::new(sandbox).send("POST", IMPORT, "multipart/form-data; boundary=limit", body)
}

#[test]
fn a_package_is_an_archive_of_the_requested_size_that_can_be_imported() {
    for size in [2000, 3 * 1024 * 1024 + 17] {
        let sandbox = start(Options { package_size: size, ..Options::default() });
        let client = Client::new(&sandbox);
        let response = client.get(EXPORT);
        assert_eq!((response.status, response.bytes.len()), (200, size));
        assert_eq!(response.header("content-type"), "application/zip");
        assert_eq!(response.header("content-length"), size.to_string());
        let disposition = r#"attachment; filename="plan-8.zip""#;
        assert_eq!(response.header("content-disposition"), disposition);

        for (id, name) in [(9, "data"), (10, "File")] {
            let file = format!("name={name:?}; filename=\"x.zip\"");
            let other = ("name=\"comment\"", &b"skipped"[..]);
            let imported = import(&sandbox, &[other, (&file, &response.bytes)]);
            let created = json!({ "id": id, "name": "Przegląd tygodnia 週報", "size": size });
            assert_eq!((imported.status, imported.json()), (201, json!({ "data": [created] })));
            assert_eq!(client.get(&format!("{PLANS}/{id}")).status, 200);
        }

        if !acceptance::have("python3") {
            continue;
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &response.bytes).unwrap();
        let script = "import json, sys, zipfile\n\
                      archive = zipfile.ZipFile(sys.argv[1])\n\
                      assert archive.testzip() is None\n\
                      print(*archive.namelist(), json.loads(archive.read('plan.json'))['id'])\n";
        let mut python = acceptance::clean("python3");
        let output = python.arg("-c").arg(script).arg(file.path()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(stdout.trim_end(), "plan.json padding.bin 8", "{output:?}");
    }
}

#[test]
fn an_import_needs_one_archive() {
    let sandbox = start(Options { package_size: 0, ..Options::default() });
    let client = Client::new(&sandbox);
    let archive = client.get(EXPORT).bytes;
    let zip = ("name=\"data\"", &archive[..]);
    for (parts, text) in [
        (&[][..], "One file is required: a part with the name data or File"),
        (&[("name=\"file\"", &archive[..])], "One file is required"),
        (&[zip, zip], "One file is required"),
        (&[("name=\"data\"", b"")], "not a ZIP archive"),
        (&[("name=\"data\"", b"PK")], "not a ZIP archive"),
        (&[("name=\"data\"", &archive[..archive.len() - 1])], "not a ZIP archive"),
    ] {
        let response = import(&sandbox, parts);
        assert_eq!(response.error(), (400, "ApiValidationFailed".to_owned()), "{text}");
        assert!(response.body.contains(text), "{text}: {response:?}");
    }
    for (content_type, body) in [
        ("multipart/form-data", "--limit--\r\n"),
        ("multipart/form-data; boundary=limit", "--limit\r\ncut off"),
    ] {
        assert_eq!(client.send("POST", IMPORT, content_type, body).status, 400, "{body}");
    }
    // An archive from elsewhere is named after its file.
    let empty = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let imported = import(&sandbox, &[("name=\"data\"; filename=\"Other.zip\"", empty)]);
    assert_eq!(imported.json()["data"][0]["name"], "Other");
}
