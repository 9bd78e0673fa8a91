//! The vault: what a KV secrets engine responds, and what each of its faults does.
//! `crates/acceptance/tests/vault_cluster.rs` asks a real one the same.

use std::thread;
use std::time::{Duration, SystemTime};

use aac_sandbox::{Fault, FaultKind, Operation, Options, Sandbox, VaultOptions};
use serde_json::{Value, json};

use crate::client::{self, LONG, Response, start};

const AAC: &str = "/v1/secret/data/aac";
const MISMATCH: &str = "check-and-set parameter did not match the current version";
const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

/// A client of the vault.
struct Client<'a> {
    sandbox: &'a Sandbox,
    http: client::Client<'a>,
}

impl<'a> Client<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, http: client::Client::new(sandbox) }
    }

    fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response, ureq::Error> {
        let url = format!("{}{path}", self.sandbox.vault().url());
        self.http.try_send(method, &url, headers, body)
    }

    /// With the token for the pair's secret.
    fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let token = self.sandbox.vault().token();
        self.try_send(method, path, &[("X-Vault-Token", &token)], body).unwrap()
    }

    /// With the token that may do everything.
    fn root(&self, method: &str, path: &str, body: &str) -> Response {
        let token = self.sandbox.vault().root_token();
        self.try_send(method, path, &[("X-Vault-Token", &token)], body).unwrap()
    }

    fn read(&self) -> Response {
        self.send("GET", AAC, "")
    }

    /// Writes a document that has one member.
    fn write(&self, text: &str, cas: u64) -> Response {
        let body = json!({ "data": { "text": text }, "options": { "cas": cas } });
        self.send("POST", AAC, &body.to_string())
    }
}

/// A sandbox with a vault, whose secret has one version.
fn start_with(options: VaultOptions) -> Sandbox {
    let sandbox = start(Options { vault: Some(options), ..Options::default() });
    sandbox.vault().put(&json!({ "text": "first" }));
    sandbox
}

/// A sandbox whose vault meets a fault.
fn with_fault(fault: &str) -> Sandbox {
    let sandbox = start_with(VaultOptions::default());
    sandbox.add_fault(fault.parse().unwrap_or_else(|error| panic!("{error}")));
    sandbox
}

/// The status and the errors of a response.
fn refusal(response: &Response) -> (u16, Vec<String>) {
    (response.status, serde_json::from_value(response.json()["errors"].clone()).unwrap())
}

/// What the secret contains, as the vault itself has it.
fn stored(sandbox: &Sandbox) -> (u64, String) {
    let read = sandbox.vault().read().unwrap();
    (read.version, read.data.unwrap()["text"].as_str().unwrap().to_owned())
}

#[test]
fn a_write_makes_a_version_and_a_read_gives_it_back() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let body = r#"{"data":{"text":"second","b":1.50,"a":[{"z":1,"y":2}]},"options":{"cas":1}}"#;
    let written = client.send("PUT", AAC, body);
    assert_eq!((written.status, &written.json()["data"]["version"]), (200, &json!(2)));
    assert_eq!(written.header("content-type"), "application/json");

    let read = client.read().json();
    assert_eq!(read["data"]["metadata"], written.json()["data"]);
    let document = read["data"]["data"].to_string();
    assert_eq!(document, r#"{"a":[{"y":2,"z":1}],"b":1.50,"text":"second"}"#, "in order");
    let created = read["data"]["metadata"]["created_time"].as_str().unwrap().to_owned();
    assert!(created.ends_with('Z') && created.len() > "2026-11-24T22:05:49Z".len(), "{created}");
    for (query, status) in [("1", 200), ("2", 200), ("0", 200), ("-1", 200), ("3", 404), ("x", 400)]
    {
        let read = client.send("GET", &format!("{AAC}?version={query}"), "");
        assert_eq!(read.status, status, "{query}");
        if query == "1" {
            assert_eq!(read.json()["data"]["data"], json!({ "text": "first" }));
        }
    }
    for version in 2..=10 {
        assert_eq!(client.write("next", version).status, 200);
    }
    let kept: Vec<_> = sandbox.vault().versions().iter().map(|version| version.version).collect();
    assert_eq!(kept, (2..=11).collect::<Vec<_>>(), "ten are kept");
}

#[test]
fn a_write_names_the_version_that_it_follows() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    for (cas, error) in [
        ("0", MISMATCH),
        ("2", MISMATCH),
        ("-1", MISMATCH),
        ("null", MISMATCH),
        ("1.0", "error parsing check-and-set parameter"),
        (r#""x""#, "error parsing check-and-set parameter"),
    ] {
        let body = format!(r#"{{"data":{{}},"options":{{"cas":{cas}}}}}"#);
        let response = client.send("POST", AAC, &body);
        assert_eq!(refusal(&response), (400, vec![error.to_owned()]), "{cas}");
    }
    assert_eq!(client.write("second", 1).status, 200);
    assert_eq!(client.send("POST", AAC, r#"{"data":{}}"#).status, 200, "none is needed");

    sandbox.vault().set_cas_required(true);
    let required = "check-and-set parameter required for this call";
    let response = client.send("POST", AAC, r#"{"data":{}}"#);
    assert_eq!(refusal(&response), (400, vec![required.to_owned()]));
    assert_eq!(client.write("fourth", 3).status, 200);
    assert_eq!(sandbox.vault().counters().applied, 4);

    let sandbox = start_with(VaultOptions::default());
    let statuses = thread::scope(|scope| {
        let write = |n: u64| Client::new(&sandbox).write(&n.to_string(), 1).status;
        let writers: Vec<_> = (0..16).map(|n| scope.spawn(move || write(n))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 15, "{statuses:?}");
}

#[test]
fn a_deleted_secret_keeps_its_metadata() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let vault = sandbox.vault();
    vault.delete();
    let read = client.read();
    assert_eq!((read.status, &read.json()["data"]["data"]), (404, &Value::Null));
    assert_ne!(read.json()["data"]["metadata"]["deletion_time"], "");
    assert_eq!(vault.read().unwrap().data, None);

    vault.undelete(1);
    assert_eq!(client.read().status, 200);
    assert_eq!(client.root("DELETE", AAC, "").status, 405, "its methods stand for it");
    vault.delete();
    assert_eq!(client.write("second", 0).status, 400);
    assert_eq!(client.write("second", 1).status, 200, "deleting makes no version");

    vault.destroy(2);
    let read = client.read();
    assert_eq!((read.status, &read.json()["data"]["metadata"]["destroyed"]), (404, &json!(true)));
    vault.undelete(1);
    assert_eq!(vault.rollback(1), 3);
    assert_eq!(stored(&sandbox), (3, "first".to_owned()));

    vault.set_delete_version_after(Some(Duration::from_secs(3600)));
    let written = client.write("fourth", 3).json();
    assert!(written["data"]["deletion_time"].as_str() > written["data"]["created_time"].as_str());
    assert_eq!(client.read().status, 200);
    vault.set_clock_offset(3601);
    assert_eq!(client.read().status, 404, "it has deleted itself");

    vault.delete_metadata();
    assert_eq!(refusal(&client.read()), (404, vec![]));
    assert_eq!(refusal(&client.write("x", 0)), (403, vec![DENIED.to_owned()]), "update alone");
    let body = r#"{"data":{},"options":{"cas":0}}"#;
    assert_eq!(client.root("POST", AAC, body).json()["data"]["version"], 1);
}

#[test]
fn only_the_secret_can_be_read_and_updated_and_only_with_the_token() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let vault = sandbox.vault();
    for headers in [&[][..], &[("X-Vault-Token", "wrong")], &[("Authorization", "Bearer wrong")]] {
        for method in ["GET", "POST"] {
            let response = client.try_send(method, AAC, headers, "").unwrap();
            assert_eq!(refusal(&response), (403, vec!["permission denied".to_owned()]));
        }
    }
    let bearer = format!("Bearer {}", vault.token());
    let response = client.try_send("GET", AAC, &[("Authorization", &bearer)], "");
    assert_eq!(response.unwrap().status, 200);
    for (method, path) in [
        ("GET", "/v1/secret/data/other"),
        ("GET", "/v1/secret/aac"),
        ("DELETE", AAC),
        ("LIST", AAC),
    ] {
        let response = client.send(method, path, "");
        assert_eq!(refusal(&response), (403, vec![DENIED.to_owned()]), "{method} {path}");
    }
    vault.revoke_token();
    assert_eq!(client.read().status, 403);
    vault.restore_token();
    assert_eq!(client.read().status, 200);
    vault.seal();
    for response in [client.read(), client.write("second", 1)] {
        assert_eq!(refusal(&response), (503, vec!["Vault is sealed".to_owned()]));
    }
    vault.unseal();
    assert_eq!(client.read().status, 200);

    for (method, path, status) in [
        ("GET", "/v1/secret/data/never", 404),
        ("GET", "/v2/secret/data/aac", 404),
        ("GET", "/v1/other/data/aac", 404),
        ("LIST", AAC, 405),
        // The cloud has no vault, nor the vault a cloud.
        ("GET", "/iam/v1/workspaces/current", 404),
    ] {
        assert_eq!(client.root(method, path, "").status, status, "{method} {path}");
    }
    assert_eq!(client.http.bare("GET", AAC, &[]).status, 401);
    let response = client.root("GET", "/v1/secret/aac", "");
    assert_eq!((response.status, &response.json()["data"]), (404, &Value::Null));
    assert!(response.body.contains("Invalid path for a versioned K/V secrets engine"));
}

#[test]
fn a_namespace_must_be_named() {
    for (own, cases) in [
        (Some("team/a"), &[("team/a", 200), ("team/a/", 200), ("", 403), ("other", 404)][..]),
        (None, &[("root", 200), ("/", 200), ("other", 404)]),
    ] {
        let namespace = own.map(str::to_owned);
        let sandbox = start_with(VaultOptions { namespace, ..VaultOptions::default() });
        let client = Client::new(&sandbox);
        let token = sandbox.vault().token();
        for (name, status) in cases {
            let headers = [("X-Vault-Token", token.as_str()), ("X-Vault-Namespace", name)];
            let response = client.try_send("GET", AAC, &headers, "").unwrap();
            assert_eq!(response.status, *status, "{own:?} {name:?}");
        }
    }
}

#[test]
fn the_clock_of_the_vault_dates_versions_and_responses() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let clock_offset = DAY.as_secs().cast_signed();
    let sandbox = start_with(VaultOptions { clock_offset, ..VaultOptions::default() });
    let response = Client::new(&sandbox).read();
    let date = httpdate::parse_http_date(response.header("date")).unwrap();
    let ahead = date.duration_since(SystemTime::now()).unwrap();
    assert!(ahead <= DAY && ahead > DAY - LONG, "{ahead:?}");
    let created = response.json()["data"]["metadata"]["created_time"].to_string();
    // Both are of tomorrow, unless midnight has passed between them.
    let near_midnight = response.header("date").contains(" 00:00:");
    assert!(near_midnight || created[9..11] == response.header("date")[5..7], "{created}");
}

#[test]
fn requests_are_counted_and_recorded_without_their_secrets() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let token = sandbox.vault().token();
    client.read();
    let headers = [("X-Vault-Token", &*token), ("X-Vault-Request", "true"), ("Authorization", "x")];
    client.try_send("PUT", AAC, &headers, r#"{"data":{"refresh_token":"r-e-f"}}"#).unwrap();
    client.send("DELETE", AAC, "");
    let counters = sandbox.vault().counters();
    assert_eq!((counters.reads, counters.writes, counters.others), (1, 1, 1));
    assert_eq!(counters.applied, 2, "the first is the test's own");
    let requests = sandbox.vault().requests();
    let seen: Vec<_> = requests.iter().filter_map(|request| request.operation).collect();
    assert_eq!(seen, [Operation::Read, Operation::Write, Operation::Other]);
    assert_eq!(requests[1].header("x-vault-request"), Some("true"));
    for name in ["authorization", "x-vault-token"] {
        assert_eq!(requests[1].header(name), Some("(redacted)"));
    }
    assert!(requests[1].body.is_empty() && !format!("{requests:?}").contains(&token));
    assert!(sandbox.requests().is_empty(), "they are none of the cloud's");
}

#[test]
fn a_standby_that_lags_behind() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let text = || client.read().json()["data"]["data"]["text"].clone();
    client.write("second", 1);
    sandbox.add_fault(Fault::vault_read(FaultKind::Stale).times(2));
    sandbox.add_fault(Fault::vault_write(FaultKind::Stale));
    assert_eq!(text(), "first");
    assert_eq!(client.write("third", 2).status, 400, "a standby refuses what is valid");
    assert_eq!((text(), text()), ("first".into(), "second".into()));

    let lag = sandbox.vault().lag();
    assert_eq!(sandbox.vault().put(&json!({ "text": "third" })), 3);
    assert_eq!(text(), "second");
    for cas in [2, 3] {
        // The active node knows better than what a standby would forward.
        assert_eq!(refusal(&client.write("fourth", cas)), (400, vec![MISMATCH.to_owned()]));
    }
    // A node that has not reached an index forwards what requires it.
    let token = sandbox.vault().token();
    let write = |index: &str, cas| {
        let headers = [
            ("X-Vault-Token", token.as_str()),
            ("X-Vault-Index", index),
            ("X-Vault-Inconsistent", "forward-active-node"),
        ];
        let body = format!(r#"{{"data":{{"text":"fourth"}},"options":{{"cas":{cas}}}}}"#);
        client.try_send("POST", AAC, &headers, &body).unwrap()
    };
    let stale = client.read().header("x-vault-index").to_owned();
    assert_eq!(write(&stale, 3).status, 400);
    let newer = (stale.parse::<u64>().unwrap() + 1).to_string();
    let written = write(&newer, 3);
    assert_eq!(written.status, 200);
    assert_ne!(written.header("x-vault-index"), newer);
    drop(lag);
    assert_eq!(text(), "fourth");
}

#[test]
fn a_write_can_be_applied_after_its_500() {
    // How many reads still find the first version.
    for (late, reads) in [("late=0", 0), ("late", 0), ("late=3", 2)] {
        let sandbox = with_fault(&format!("vault-write:{late}"));
        let client = Client::new(&sandbox);
        let error = "1 error occurred:\n\t* leadership lost while committing log\n\n";
        assert_eq!(refusal(&client.write("second", 1)), (500, vec![error.to_owned()]));
        for version in std::iter::repeat_n(1, reads).chain([2]) {
            assert_eq!(client.read().json()["data"]["metadata"]["version"], version, "{late}");
        }
    }
    // It and its repetition are never both applied.
    let sandbox = with_fault("vault-write:late=100");
    let client = Client::new(&sandbox);
    assert_eq!(client.write("once", 1).status, 500);
    sandbox.vault().apply_late_writes();
    assert_eq!(stored(&sandbox), (2, "once".to_owned()));
    assert_eq!(client.write("once", 1).status, 400);

    sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(100)));
    assert_eq!(client.write("twice", 2).status, 500);
    assert_eq!(client.write("twice", 2).status, 200);
    sandbox.vault().apply_late_writes();
    assert_eq!(stored(&sandbox).0, 3);
    sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(1)));
    assert_eq!(client.write("refused", 9).status, 400, "a wrong version is refused at once");
}

#[test]
fn an_operation_can_be_held_before_and_after_it_is_handled() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let vault = sandbox.vault();
    for is_applied in [false, true] {
        let hold = match is_applied {
            false => vault.hold(Operation::Write),
            true => vault.hold_responses(Operation::Write),
        };
        let version = stored(&sandbox).0;
        thread::scope(|scope| {
            let writer = scope.spawn(|| Client::new(&sandbox).write("held", version).status);
            assert!(hold.wait_for_request(LONG));
            assert_eq!(stored(&sandbox).0, version + u64::from(is_applied));
            assert_eq!(client.read().status, 200, "reads pass");
            hold.release();
            assert_eq!(writer.join().unwrap(), 200);
        });
    }
}
