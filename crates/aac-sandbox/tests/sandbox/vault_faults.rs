//! What each fault of the vault does to the request and to the secret.

use std::thread;

use aac_sandbox::{Fault, FaultKind, Operation, Sandbox, VaultOptions};

use crate::client::LONG;
use crate::vault::{Client, errors, start_with};

/// A sandbox whose vault meets a fault.
fn with_fault(fault: &str) -> Sandbox {
    let sandbox = start_with(VaultOptions::default());
    sandbox.add_fault(fault.parse().unwrap_or_else(|error| panic!("{error}")));
    sandbox
}

/// What the secret contains, as the vault itself has it.
fn stored(sandbox: &Sandbox) -> (u64, String) {
    let read = sandbox.vault().read().expect("a version");
    let text = read.data.expect("a document")["text"].as_str().expect("text").to_owned();
    (read.version, text)
}

#[test]
fn responses_to_a_read() {
    for (fault, status, text) in [
        ("400", 400, r#"{"errors":["#),
        ("403", 403, r#"{"errors":["permission denied"]}"#),
        ("404", 404, r#"{"errors":[]}"#),
        (
            "429=7",
            429,
            r#"{"errors":["request path \"secret/data/aac\": rate limit quota exceeded"]}"#,
        ),
        ("500", 500, r#"{"errors":["#),
        ("502", 502, "<title>502"),
        ("503", 503, "<title>503"),
        ("504", 504, "<title>504"),
        ("sealed", 503, r#"{"errors":["Vault is sealed"]}"#),
        ("redirect", 307, ""),
        ("html-200", 200, "<title>Sign in"),
        ("garbled", 200, ""),
        ("empty", 200, ""),
        ("slow=0", 200, "first"),
        ("slow-body=0", 200, "first"),
    ] {
        for target in ["vault", "vault-read"] {
            let sandbox = with_fault(&format!("{target}:{fault}"));
            let client = Client::new(&sandbox);
            let response = client.read();
            assert_eq!(response.status, status, "{fault}: {response:?}");
            assert!(response.body.contains(text), "{fault}: {response:?}");
            assert_ne!(response.header("date"), "", "{fault}");
            if fault == "429=7" {
                assert_eq!(response.header("retry-after"), "", "the vault sends none");
            }
            assert_eq!(client.read().status, 200, "{fault}: afterwards");
            let requests = sandbox.vault().requests();
            let seen = requests[0].fault.as_ref().map(FaultKind::name);
            assert_eq!(seen, fault.split('=').next(), "{fault}");
        }
    }
}

#[test]
fn responses_to_a_write_that_is_not_applied() {
    for (fault, status, text) in [
        ("403", 403, "permission denied"),
        ("429", 429, "rate limit quota exceeded"),
        ("500", 500, "errors"),
        ("cas-mismatch", 400, "check-and-set parameter did not match the current version"),
        ("no-quorum", 500, "local node not active but active cluster node not found"),
        ("redirect=http://127.0.0.1:9/v1/x", 307, ""),
    ] {
        let sandbox = with_fault(&format!("vault-write:{fault}"));
        let client = Client::new(&sandbox);
        assert_eq!(client.read().status, 200, "{fault}: a read does not meet it");
        let response = client.write("second", 1);
        assert_eq!(response.status, status, "{fault}: {response:?}");
        assert!(response.body.contains(text), "{fault}: {response:?}");
        assert_eq!(stored(&sandbox), (1, "first".to_owned()), "{fault}");
        assert_eq!(client.write("second", 1).status, 200, "{fault}: afterwards");
    }
}

#[test]
fn a_cut_response_is_that_of_an_applied_write() {
    for fault in ["cut", "reset-after"] {
        let sandbox = with_fault(&format!("vault-write:{fault}"));
        let client = Client::new(&sandbox);
        let token = sandbox.vault().token();
        let body = r#"{"data":{"text":"second"},"options":{"cas":1}}"#;
        let headers = [("X-Vault-Token", token.as_str())];
        let result = client.try_send("POST", crate::vault::AAC, &headers, body);
        assert!(result.is_err(), "{fault}: {result:?}");
        assert_eq!(stored(&sandbox), (2, "second".to_owned()), "{fault}");
        assert_eq!(client.write("second", 1).status, 400, "{fault}: once more");
    }
}

#[test]
fn a_stale_read_misses_the_last_change() {
    let sandbox = start_with(VaultOptions::default());
    let client = Client::new(&sandbox);
    let index = client.write("second", 1).header("x-vault-index").to_owned();
    sandbox.add_fault(Fault::vault_read(FaultKind::Stale).times(3));
    sandbox.add_fault(Fault::vault_write(FaultKind::Stale));

    let read = |headers: &[(&str, &str)]| {
        client.send("GET", crate::vault::AAC, headers, "").json()["data"]["data"]["text"].clone()
    };
    assert_eq!(read(&[]), "first");
    assert_eq!(client.write("third", 2).status, 400, "a standby refuses what is valid");
    assert_eq!(read(&[]), "first");
    let forward = ("X-Vault-Inconsistent", "forward-active-node");
    assert_eq!(read(&[("X-Vault-Index", &index), forward]), "second");
    assert_eq!(read(&[]), "second");
    assert_eq!(client.write("third", 2).status, 200);
}

#[test]
fn a_write_can_be_applied_after_its_500() {
    // How many reads still find the first version.
    for (late, reads) in [("late=0", 0), ("late", 0), ("late=3", 2)] {
        let sandbox = with_fault(&format!("vault-write:{late}"));
        let client = Client::new(&sandbox);
        let response = client.write("second", 1);
        assert_eq!(response.status, 500, "{late}");
        let error = "1 error occurred:\n\t* leadership lost while committing log\n\n";
        assert_eq!(errors(&response), [error]);
        for _ in 0..reads {
            assert_eq!(client.read().json()["data"]["metadata"]["version"], 1, "{late}");
        }
        assert_eq!(client.read().json()["data"]["metadata"]["version"], 2, "{late}");
        assert_eq!(stored(&sandbox), (2, "second".to_owned()), "{late}");
    }
}

#[test]
fn a_late_write_and_its_repetition_are_never_both_applied() {
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
            assert_eq!(writer.join().expect("no panic"), 200);
        });
    }
}

#[test]
fn a_hanging_write_is_not_applied_unless_it_hangs_after() {
    for (fault, version) in [("hang", 1), ("hang-after", 2)] {
        let sandbox = with_fault(&format!("vault-write:{fault}"));
        // It ends with the client.
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_recv_response(Some(std::time::Duration::from_millis(300)))
            .build()
            .new_agent();
        let request = agent
            .post(format!("{}{}", sandbox.vault().url(), crate::vault::AAC))
            .header("X-Vault-Token", sandbox.vault().token());
        let result = request.send(r#"{"data":{"text":"second"}}"#);
        assert!(matches!(result, Err(ureq::Error::Timeout(_))), "{fault}: {result:?}");
        assert_eq!(stored(&sandbox).0, version, "{fault}");
    }
}
