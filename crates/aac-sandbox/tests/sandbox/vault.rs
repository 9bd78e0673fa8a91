//! The vault: what a KV secrets engine responds. `crates/acceptance/tests/vault_cluster.rs` asks a
//! real one the same.

use std::thread;
use std::time::{Duration, SystemTime};

use aac_sandbox::{Operation, Options, Sandbox, VaultOptions};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use ureq::Agent;

use crate::client::{LONG, Response, response, start};

/// A client of the vault.
pub(crate) struct Client<'a> {
    pub(crate) sandbox: &'a Sandbox,
    agent: Agent,
}

pub(crate) const AAC: &str = "/v1/secret/data/aac";

impl<'a> Client<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(LONG));
        Self { sandbox, agent: config.build().into() }
    }

    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.sandbox.vault().url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        response(self.agent.run(request.body(body).expect("a request")))
    }

    /// With the token for the pair's secret, and these headers.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let token = self.sandbox.vault().token();
        let headers = [&[("X-Vault-Token", token.as_str())], headers].concat();
        self.try_send(method, path, &headers, body).expect("a response")
    }

    /// With the token that may do everything.
    pub(crate) fn root(&self, method: &str, path: &str, body: &str) -> Response {
        let token = self.sandbox.vault().root_token();
        self.try_send(method, path, &[("X-Vault-Token", &token)], body).expect("a response")
    }

    pub(crate) fn read(&self) -> Response {
        self.send("GET", AAC, &[], "")
    }

    /// Writes a document that has one member.
    pub(crate) fn write(&self, text: &str, cas: u64) -> Response {
        let body = json!({ "data": { "text": text }, "options": { "cas": cas } });
        self.send("POST", AAC, &[], &body.to_string())
    }
}

/// A sandbox with a vault, whose secret has one version.
pub(crate) fn start_with(options: VaultOptions) -> Sandbox {
    let sandbox = start(Options { vault: Some(options), ..Options::default() });
    sandbox.vault().put(&json!({ "text": "first" }));
    sandbox
}

pub(crate) fn errors(response: &Response) -> Vec<String> {
    serde_json::from_value(response.json()["errors"].clone()).expect("a list of errors")
}

const MISMATCH: &str = "check-and-set parameter did not match the current version";
const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

#[test]
fn a_write_makes_a_version_and_a_read_gives_it_back() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let body = r#"{"data":{"text":"second","b":1.50,"a":[{"z":1,"y":2}]},"options":{"cas":1}}"#;
    let written = client.send("PUT", AAC, &[], body);
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(written.header("content-type"), "application/json");
    assert_eq!(written.json()["data"]["version"], 2);

    let read = client.read();
    assert_eq!(read.status, 200);
    let data = &read.json()["data"];
    assert_eq!(data["data"].to_string(), r#"{"a":[{"y":2,"z":1}],"b":1.5,"text":"second"}"#);
    assert_eq!(data["metadata"], written.json()["data"]);
    let created = data["metadata"]["created_time"].as_str().expect("a time");
    assert!(created.ends_with('Z') && created.len() > "2026-11-24T22:05:49Z".len(), "{created}");
    for (name, value) in [("deletion_time", json!("")), ("destroyed", json!(false))] {
        assert_eq!(data["metadata"][name], value);
    }
    let first = client.send("GET", "/v1/secret/data/aac?version=1", &[], "");
    assert_eq!(first.json()["data"]["data"], json!({ "text": "first" }));
    for version in ["3", "99"] {
        let path = format!("{AAC}?version={version}");
        let response = client.send("GET", &path, &[], "");
        assert_eq!((response.status, errors(&response)), (404, vec![]));
    }
    let response = client.send("GET", "/v1/secret/data/aac?version=x", &[], "");
    assert_eq!(response.status, 400);
}

#[test]
fn a_write_names_the_version_that_it_follows() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for cas in ["0", "2", "-1", "null"] {
        let body = format!(r#"{{"data":{{}},"options":{{"cas":{cas}}}}}"#);
        let response = client.send("POST", AAC, &[], &body);
        assert_eq!((response.status, errors(&response)), (400, vec![MISMATCH.to_owned()]), "{cas}");
    }
    for cas in ["1.0", r#""x""#] {
        let body = format!(r#"{{"data":{{}},"options":{{"cas":{cas}}}}}"#);
        let response = client.send("POST", AAC, &[], &body);
        assert_eq!(errors(&response), ["error parsing check-and-set parameter"], "{cas}");
    }
    assert_eq!(client.write("second", 1).status, 200);
    assert_eq!(client.send("POST", AAC, &[], r#"{"data":{}}"#).status, 200, "none is needed");

    sandbox.vault().set_cas_required(true);
    let response = client.send("POST", AAC, &[], r#"{"data":{}}"#);
    assert_eq!(errors(&response), ["check-and-set parameter required for this call"]);
    assert_eq!(client.write("fourth", 3).status, 200);
    assert_eq!(sandbox.vault().counters().applied, 4);
}

#[test]
fn of_many_writers_one_wins() {
    let sandbox = start_with(VaultOptions::default());
    let statuses = thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|n| {
                let sandbox = &sandbox;
                scope.spawn(move || Client::new(sandbox).write(&n.to_string(), 1).status)
            })
            .collect();
        let joined = writers.into_iter().map(|writer| writer.join().expect("no panic"));
        joined.collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 15, "{statuses:?}");
    assert_eq!(sandbox.vault().counters().mismatched, 15);
}

#[test]
fn a_body_that_is_no_document_is_refused() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for (body, error) in [
        ("", "no data provided"),
        ("null", "no data provided"),
        (r#"{"a":"b"}"#, "no data provided"),
        (r#"{"data":"#, "failed to decode JSON input: unexpected EOF"),
        ("hello", "failed to decode JSON input: invalid character"),
        ("[1]", "failed to decode JSON input: json: cannot unmarshal array into Go value"),
        (r#"{"data":"x"}"#, "error converting input for field \"data\": ''"),
        (r#"{"data":{},"options":"x"}"#, "error converting input for field \"options\": ''"),
        (r#"{"data":{"a":1e400}}"#, "failed to decode JSON input: json: cannot unmarshal number"),
    ] {
        let response = client.send("POST", AAC, &[], body);
        assert_eq!(response.status, 400, "{body}: {response:?}");
        assert!(errors(&response)[0].starts_with(error), "{body}: {response:?}");
    }
    assert_eq!(sandbox.vault().versions().len(), 1);
}

#[test]
fn a_deleted_secret_keeps_its_metadata() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let vault = sandbox.vault();
    vault.delete();
    let read = client.read();
    assert_eq!(read.status, 404);
    assert_eq!(read.json()["data"]["data"], Value::Null);
    assert_ne!(read.json()["data"]["metadata"]["deletion_time"], "");
    assert_eq!(vault.read().expect("metadata").data, None);

    vault.undelete(1);
    assert_eq!(client.read().status, 200);
    vault.delete();
    assert_eq!(client.write("second", 0).status, 400);
    assert_eq!(client.write("second", 1).status, 200, "deleting makes no version");

    vault.destroy(2);
    let read = client.read();
    assert_eq!((read.status, &read.json()["data"]["metadata"]["destroyed"]), (404, &json!(true)));
    vault.undelete(1);
    assert_eq!(vault.rollback(1), 3);
    assert_eq!(client.read().json()["data"]["data"], json!({ "text": "first" }));

    vault.delete_metadata();
    let read = client.read();
    assert_eq!((read.status, errors(&read)), (404, vec![]));
    let write = client.write("again", 0);
    assert_eq!((write.status, errors(&write)), (403, vec![DENIED.to_owned()]), "update alone");
    let body = r#"{"data":{},"options":{"cas":0}}"#;
    assert_eq!(client.root("POST", AAC, body).json()["data"]["version"], 1);
}

#[test]
fn a_version_can_delete_itself_later() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    sandbox.vault().set_delete_version_after(Some(Duration::from_secs(3600)));
    let written = client.write("second", 1).json();
    assert!(written["data"]["deletion_time"].as_str() > written["data"]["created_time"].as_str());
    assert_eq!(client.read().status, 200);
    sandbox.vault().set_clock_offset(3601);
    assert_eq!(client.read().status, 404);
}

#[test]
fn ten_versions_are_kept() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for version in 1..=10 {
        assert_eq!(client.write("next", version).status, 200);
    }
    assert_eq!(client.send("GET", "/v1/secret/data/aac?version=1", &[], "").status, 404);
    assert_eq!(client.send("GET", "/v1/secret/data/aac?version=2", &[], "").status, 200);
    let kept: Vec<_> = sandbox.vault().versions().iter().map(|version| version.version).collect();
    assert_eq!(kept, (2..=11).collect::<Vec<_>>());
}

#[test]
fn only_the_secret_can_be_read_and_updated_and_only_with_the_token() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let vault = sandbox.vault();
    for headers in [&[][..], &[("X-Vault-Token", "wrong")], &[("Authorization", "Bearer wrong")]] {
        for method in ["GET", "POST"] {
            let response = client.try_send(method, AAC, headers, "").expect("a response");
            assert_eq!(
                (response.status, errors(&response)),
                (403, vec!["permission denied".into()])
            );
        }
    }
    let bearer = format!("Bearer {}", vault.token());
    let response = client.try_send("GET", AAC, &[("Authorization", &bearer)], "");
    assert_eq!(response.expect("a response").status, 200);
    for (method, path) in [
        ("GET", "/v1/secret/data/other"),
        ("GET", "/v1/secret/aac"),
        ("DELETE", AAC),
        ("LIST", AAC),
    ] {
        let response = client.send(method, path, &[], "");
        assert_eq!((response.status, errors(&response)), (403, vec![DENIED.to_owned()]), "{path}");
    }
    vault.revoke_token();
    assert_eq!(errors(&client.read()), ["permission denied"]);
    vault.restore_token();
    assert_eq!(client.read().status, 200);
}

#[test]
fn paths_and_methods_that_do_not_exist() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for (method, command) in [("GET", "get"), ("PUT", "put")] {
        let response = client.root(method, "/v1/secret/aac", "{}");
        assert_eq!((response.status, &response.json()["data"]), (404, &Value::Null));
        let warning = response.json()["warnings"][0].as_str().expect("a warning").to_owned();
        let start = "Invalid path for a versioned K/V secrets engine.";
        assert!(warning.starts_with(start), "{warning}");
        assert!(warning.contains(&format!("'bao kv {command}'")), "{warning}");
    }
    let response = client.root("GET", "/v1/other/data/aac", "");
    let error = "no handler for route \"other/data/aac\". route entry not found.";
    assert_eq!((response.status, errors(&response)), (404, vec![error.to_owned()]));
    for (method, path, status) in [
        ("GET", "/v1/secret/data/never", 404),
        ("GET", "/v2/secret/data/aac", 404),
        ("LIST", AAC, 405),
        ("HEAD", AAC, 405),
        ("OPTIONS", AAC, 400),
        ("DELETE", AAC, 204),
    ] {
        assert_eq!(client.root(method, path, "").status, status, "{method} {path}");
    }
    // The cloud has no vault, nor the vault a cloud.
    assert_eq!(crate::client::Client::new(&sandbox).get_with(AAC, &[]).status, 401);
    assert_eq!(client.root("GET", "/iam/v1/workspaces/current", "").status, 404);
}

#[test]
fn a_sealed_vault_says_so_and_its_health_too() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let health = || client.try_send("GET", "/v1/sys/health", &[], "").expect("a response");
    assert_eq!((health().status, &health().json()["sealed"]), (200, &json!(false)));
    sandbox.vault().seal();
    for response in [client.read(), client.write("second", 1)] {
        assert_eq!((response.status, errors(&response)), (503, vec!["Vault is sealed".to_owned()]));
    }
    assert_eq!((health().status, &health().json()["sealed"]), (503, &json!(true)));
    sandbox.vault().unseal();
    assert_eq!(client.write("second", 1).status, 200);
}

#[test]
fn a_namespace_must_be_named() {
    let namespace = Some("team/a".to_owned());
    let sandbox = start_with(VaultOptions { namespace, ..VaultOptions::default() });
    let client = Client::new(&sandbox);
    for (namespace, status) in [("team/a", 200), ("team/a/", 200), ("", 403), ("other", 404)] {
        let response = client.send("GET", AAC, &[("X-Vault-Namespace", namespace)], "");
        assert_eq!(response.status, status, "{namespace:?}: {response:?}");
    }
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for (namespace, status) in [("root", 200), ("/", 200), ("other", 404)] {
        let response = client.send("GET", AAC, &[("X-Vault-Namespace", namespace)], "");
        assert_eq!(response.status, status, "{namespace:?}: {response:?}");
    }
}

#[test]
fn version_1_ignores_check_and_set() {
    let sandbox = start_with(VaultOptions { kv_v1: true, ..VaultOptions::default() });
    let client = Client::new(&sandbox);
    assert_eq!(sandbox.vault().path(), "secret/aac");
    let read = client.send("GET", "/v1/secret/aac", &[], "");
    assert_eq!((read.status, &read.json()["data"]), (200, &json!({ "text": "first" })));

    let body = r#"{"options":{"cas":7},"data":{"b":1.50,"a":"x"}}"#;
    let written = client.send("POST", "/v1/secret/aac", &[], body);
    assert_eq!((written.status, written.body.as_str()), (204, ""));
    let read = client.send("GET", "/v1/secret/aac", &[], "");
    let document = r#"{"data":{"a":"x","b":1.50},"options":{"cas":7}}"#;
    assert_eq!(read.json()["data"].to_string(), document);
    let read = client.root("GET", AAC, "");
    assert_eq!((read.status, errors(&read)), (404, vec![]));
}

#[test]
fn the_clock_of_the_vault_dates_versions_and_responses() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let clock_offset = DAY.as_secs().cast_signed();
    let sandbox = start_with(VaultOptions { clock_offset, ..VaultOptions::default() });
    let response = Client::new(&sandbox).read();
    let date = httpdate::parse_http_date(response.header("date")).expect("a date");
    let ahead = date.duration_since(SystemTime::now()).expect("in the future");
    assert!(ahead <= DAY && ahead > DAY - LONG, "{ahead:?}");
    let created = response.json()["data"]["metadata"]["created_time"].to_string();
    // Both are of tomorrow, unless midnight has passed between them.
    let day_of_month = &response.header("date")[5..7];
    let near_midnight = response.header("date").contains(" 00:00:");
    assert!(near_midnight || created[9..11] == *day_of_month, "{created}");
}

#[test]
fn responses_carry_an_index_that_a_lagging_standby_honours() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let lag = sandbox.vault().lag();
    let root = sandbox.vault().root_token();
    // Through the active node.
    assert_eq!(sandbox.vault().put(&json!({ "text": "second" })), 2);

    let text = |response: &Response| response.json()["data"]["data"]["text"].clone();
    let stale = client.read();
    assert_eq!(text(&stale), "first");
    let refused = client.write("third", 2);
    assert_eq!(errors(&refused), [MISMATCH], "although 2 is current");
    let forwarded = client.write("third", 1);
    assert_eq!(errors(&forwarded), [MISMATCH], "the active node knows better");

    let index: Value = serde_json::from_slice(
        &BASE64_STANDARD.decode(stale.header("x-vault-index")).expect("base64"),
    )
    .expect("JSON");
    let value: u64 = index["value"].as_str().expect("text").parse().expect("a number");
    let newer = json!({ "cluster": index["cluster"], "value": (value + 1).to_string() });
    let newer = BASE64_STANDARD.encode(newer.to_string());
    let read = |headers: &[(&str, &str)]| client.send("GET", AAC, headers, "");
    let forward = ("X-Vault-Inconsistent", "forward-active-node");
    assert_eq!(text(&read(&[forward])), "first", "without an index the header does nothing");
    let response = read(&[("X-Vault-Index", &newer)]);
    assert_eq!((response.status, response.header("retry-after")), (429, "1"));
    let response = read(&[("X-Vault-Index", &newer), forward]);
    assert_eq!(text(&response), "second");
    assert_eq!(response.header("x-vault-index"), newer);
    let body = r#"{"data":{"text":"third"},"options":{"cas":2}}"#;
    let headers = [("X-Vault-Token", root.as_str()), ("X-Vault-Index", &newer), forward];
    let written = client.try_send("POST", AAC, &headers, body).expect("a response");
    assert_eq!(written.json()["data"]["version"], 3);
    assert_ne!(written.header("x-vault-index"), newer);

    for headers in [[("X-Vault-Index", "junk")], [("X-Vault-Inconsistent", "junk")]] {
        assert_eq!(read(&headers).status, 400, "{headers:?}");
    }
    let elsewhere = BASE64_STANDARD.encode(r#"{"cluster":"other","value":"99999"}"#);
    assert_eq!(text(&read(&[("X-Vault-Index", &elsewhere)])), "first");
    drop(lag);
    assert_eq!(text(&client.read()), "third");
}

#[test]
fn requests_are_counted_and_recorded_without_their_tokens() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    client.read();
    client.send("GET", AAC, &[("X-Vault-Request", "true"), ("Authorization", "Bearer x")], "");
    let body = r#"{"data":{"refresh_token":"r","aac_claim":"c"},"options":{"cas":1}}"#;
    client.send("PUT", AAC, &[], body);
    client.write("late", 1);
    client.try_send("GET", "/v1/sys/health", &[], "").expect("a response");

    let counters = sandbox.vault().counters();
    assert_eq!((counters.reads, counters.writes, counters.others), (2, 2, 1));
    assert_eq!((counters.applied, counters.mismatched), (2, 1), "the first is the test's own");
    let requests = sandbox.vault().requests();
    let seen: Vec<_> = requests.iter().map(|r| (r.operation, r.status)).collect();
    assert_eq!(
        seen,
        [
            (Operation::Read, Some(200)),
            (Operation::Read, Some(200)),
            (Operation::Write, Some(200)),
            (Operation::Write, Some(400)),
            (Operation::Other, Some(200)),
        ]
    );
    assert_eq!(requests[1].header("x-vault-request"), Some("true"));
    for name in ["authorization", "x-vault-token"] {
        assert_eq!(requests[1].header(name), Some("(redacted)"));
    }
    assert!(!format!("{requests:?}").contains(&sandbox.vault().token()));
    assert_eq!(
        (requests[2].cas, requests[2].keys.join(" ")),
        (Some(1), "refresh_token aac_claim".into())
    );
    assert_eq!(sandbox.counters().api_calls, 0, "they are none of the cloud's");
    assert!(sandbox.requests().is_empty());
}
