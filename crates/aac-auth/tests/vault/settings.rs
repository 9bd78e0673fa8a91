//! The way to a vault, its engine and its secret: what of them is of use, and what is said otherwise.

use crate::fleet::{Fleet, NAMED};
use aac_sandbox::{Options, Sandbox, VaultOptions};
use acceptance::Run;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

#[test]
fn a_secret_of_no_use_is_told_with_its_cure() {
    let put = "run: cargo run -p login -- --vault secret/data/aac";
    type Spoil = fn(&Fleet);
    let cases: [(Spoil, &[&str]); 4] = [
        (|fleet| fleet.sandbox.vault().delete(), &["it was deleted at 20", put, "Do not undelete"]),
        (|fleet| fleet.sandbox.vault().destroy(1), &["it was destroyed", put]),
        (|fleet| fleet.sandbox.vault().delete_metadata(), &["no such secret (HTTP 404)", put]),
        (
            |fleet| {
                let document = json!({ "access_token": fleet.tokens.access_token });
                fleet.sandbox.vault().put(&document);
            },
            &["no \"refresh_token\""],
        ),
    ];
    thread::scope(|scope| {
        for (spoil, words) in cases {
            scope.spawn(move || {
                let fleet = Fleet::expired(1);
                spoil(&fleet);
                let run = fleet.run(0);
                run.assert_fails(1, words);
                run.assert_fails(1, &[NAMED]);
            });
        }
    });
    // One that will be of no use is a warning.
    let fleet = Fleet::expired(1);
    fleet.sandbox.vault().set_delete_version_after(Some(Duration::from_secs(3600)));
    fleet.sandbox.vault().put_tokens(&fleet.sandbox.issue());
    let run = fleet.run(0);
    run.assert_ok();
    for words in [&format!("warning: {NAMED}"), "is deleted at 20", "delete_version_after"] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
}

#[test]
fn an_engine_of_version_1_is_told_with_its_cure() {
    let vault = Some(VaultOptions { kv_v1: true, ..VaultOptions::default() });
    let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 1);
    let cure = "bao kv enable-versioning secret.";
    fleet.run(0).assert_fails(1, &["the secret secret/aac in", "version 1", cure]);
    // Where someone has adapted the path alone.
    let vault = fleet.sandbox.vault();
    let secret = format!("{}/v1/secret/data/aac", vault.url());
    let tokens = acceptance::creds_with(&fleet.tokens);
    let token = vault.root_token();
    acceptance::agent().post(&secret).header("x-vault-token", &token).send(&tokens).unwrap();
    let fleet = fleet.with("VAULT_TOKEN", token);
    fleet.point(0, "secret/data/aac");
    fleet.run(0).assert_fails(1, &[NAMED, "the engine is KV version 1", cure]);
    assert_eq!(fleet.sandbox.vault().counters().applied, 1, "that of the test");
}

#[test]
fn a_path_of_no_use_is_told_with_its_cure() {
    let fleet = Fleet::expired(1);
    let token = fleet.sandbox.vault().root_token();
    let fleet = fleet.with("VAULT_TOKEN", token);
    for path in ["secret/aac", "data/aac", "secret/data"] {
        fleet.point(0, path);
        let cure = "{\"vault\": \"secret/data/aac\"}";
        fleet.run(0).assert_fails(1, &["the path lacks data/", &format!("{path:?}"), cure]);
    }
    assert_eq!(fleet.sandbox.vault().requests().len(), 0);
    for path in [
        "/secret/data/aac",
        "v1/secret/data/aac",
        "secret/data/aac?version=1",
        "secret/data/../data/aac",
    ] {
        fleet.point(0, path);
        fleet.run(0).assert_fails(1, &["secret/data/aac"]);
    }
    fleet.point(0, "kv/data/aac");
    fleet.run(0).assert_fails(1, &["no handler for route", "kv/data/aac"]);
}

#[test]
fn a_vault_that_cannot_be_used_is_told_with_its_cure() {
    let fleet = Fleet::expired(1);
    let variables = |set: &[(&str, &str)]| {
        let mut command = fleet.command(0);
        for (name, value) in set {
            match *value {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        fleet.check(Run::of(&mut command))
    };
    let missing = fleet.path(0, "missing.pem").display().to_string();
    let empty = fleet.path(0, "aac_url.txt").display().to_string();
    for (set, words) in [
        (&[("VAULT_ADDR", "")][..], &["VAULT_ADDR is not set", "https://host:8200"][..]),
        (&[("VAULT_ADDR", "vault")], &["VAULT_ADDR is not the URL", "https://host:8200"]),
        (&[("VAULT_ADDR", "https://vault.invalid/v1")], &["VAULT_ADDR is not the URL"]),
        (&[("VAULT_ADDR", "https://vault.invalid/ui/vault/secrets")], &["without /v1 and /ui"]),
        (&[("VAULT_ADDR", "https://me@vault.invalid")], &["VAULT_ADDR is not the URL"]),
        (&[("BAO_ADDR", "unix:///run/agent.sock")], &["BAO_ADDR names a unix socket", "over TCP"]),
        (&[("VAULT_AGENT_ADDR", "http://127.0.0.1:1")], &["VAULT_AGENT_ADDR is set", "VAULT_ADDR"]),
        (&[("BAO_TLS_SERVER_NAME", "x")], &["BAO_TLS_SERVER_NAME is set", "not supported"]),
        (&[("VAULT_PROXY_ADDR", "http://x:1")], &["VAULT_PROXY_ADDR is set", "HTTPS_PROXY"]),
        (&[("VAULT_ADDR", "http://vault.invalid")], &["VAULT_ADDR is not https", "Use https://"]),
        (&[("BAO_ADDR", "http://vault.invalid")], &["BAO_ADDR is not https", "Use https://"]),
        (
            &[("VAULT_ADDR", "https://vault.invalid"), ("VAULT_TOKEN", "")],
            &["no token for the vault", "VAULT_TOKEN", "bao login"],
        ),
        (&[("VAULT_TOKEN", "a b")], &["VAULT_TOKEN has spaces", "one line"]),
        (&[("VAULT_TOKEN", "s.0123456789abcdefghijklm")], &["HTTP 403", "\"read\", \"update\""]),
        (&[("VAULT_SKIP_VERIFY", "1")], &["VAULT_SKIP_VERIFY turns off", "VAULT_CACERT="]),
        (&[("VAULT_CACERT", &missing)], &["VAULT_CACERT: ", "missing.pem", "PEM file"]),
        (&[("BAO_CACERT", &empty)], &["BAO_CACERT: ", "no certificate", "PEM file"]),
        (&[("VAULT_NAMESPACE", "elsewhere")], &["namespace not found", "VAULT_NAMESPACE"]),
        (
            &[("BAO_NAMESPACE", "a\u{1}b")],
            &["BAO_NAMESPACE has invalid characters", "Set BAO_NAMESPACE to the name"],
        ),
    ] {
        let run = variables(set);
        run.assert_fails(1, words);
        assert!(run.stderr.contains("secret/data/aac"), "{set:?}: {}", run.stderr);
        assert!(!run.stderr.contains("0123456789ab"), "{}", run.stderr);
    }
    let run = variables(&[("VAULT_ADDR", &endless())]);
    run.assert_fails(1, &["not a response of a vault: larger than 4 MiB", "VAULT_ADDR"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
    // Not in force, and so no obstacle.
    let run = variables(&[("VAULT_SKIP_VERIFY", "false"), ("VAULT_NAMESPACE", "root")]);
    run.assert_ok();
}

/// A server whose responses do not end.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"data\": \"");
            while client.write_all(&[b'a'; 4096]).is_ok() {}
        }
    });
    url
}

#[test]
fn a_certificate_is_checked_with_the_vaults_own_authority() {
    let fleet = Fleet::new(Options { tls: true, ..Options::default() }, true, 1);
    let (ca, other) = (fleet.path(0, "ca.pem"), fleet.path(0, "other.pem"));
    fs::write(&ca, fleet.sandbox.ca_pem()).unwrap();
    let stranger = Sandbox::start(Options { tls: true, ..Options::default() }).unwrap();
    fs::write(&other, stranger.ca_pem()).unwrap();
    let with = |authority: &PathBuf| {
        // That of the cloud is trusted by the system.
        let mut command = fleet.command(0);
        command.env("SSL_CERT_FILE", &ca).env("VAULT_CACERT", authority);
        fleet.check(Run::of(&mut command))
    };
    with(&other).assert_fails(1, &["certificate is not trusted", "VAULT_CACERT=/path/to/ca.pem"]);
    if cfg!(target_os = "linux") {
        with(&ca).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_namespace_and_a_token_from_the_file_of_a_login_are_used() {
    let vault =
        Some(VaultOptions { namespace: Some("team/a".to_owned()), ..VaultOptions::default() });
    let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 1);
    let home = fleet.path(0, "home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join(".vault-token"), format!("{}\n", fleet.sandbox.vault().token())).unwrap();
    let mut command = fleet.command(0);
    command.env_remove("VAULT_TOKEN").env("HOME", &home).env("USERPROFILE", &home);
    fleet.check(Run::of(command.env("BAO_NAMESPACE", "team/a/"))).assert_ok();
    fleet.assert_settled(1);
}

#[test]
#[cfg(unix)]
fn what_cannot_be_the_file_of_a_login_is_not_read_to_its_end() {
    let fleet = Fleet::expired(1);
    let token = fleet.path(0, ".vault-token");
    let run = || {
        let mut command = fleet.command(0);
        command.env_remove("VAULT_TOKEN").env("HOME", fleet.machines[0].path());
        fleet.check(Run::of(command.env("VAULT_ADDR", "https://vault.invalid")))
    };
    let told = |what: &str| {
        let named = format!("{} cannot be used: {what}", token.display());
        run().assert_fails(1, &[&named, "permission to read that file", "bao login"]);
    };
    // A pipe would be waited for.
    assert!(acceptance::clean("mkfifo").arg(&token).status().unwrap().success());
    told("not a file");
    fs::remove_file(&token).unwrap();
    fs::File::create(&token).unwrap().set_len(1 << 40).unwrap();
    told("larger than 1 MiB");
    fs::write(&token, b"\xff\xfe\xff").unwrap();
    told("not a text file");
    fs::remove_file(&token).unwrap();
    std::os::unix::fs::symlink(&token, &token).unwrap();
    told("cannot be read: ");
    fs::remove_file(&token).unwrap();
    run().assert_fails(1, &["there is no token for the vault"]);
}

#[test]
fn a_proxy_may_be_what_keeps_the_vault_away() {
    let fleet = Fleet::expired(1).with("VAULT_ADDR", "https://vault.invalid");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test process.
    thread::spawn(move || {
        // What may pass is tried again.
        let answers = ["HTTP/1.1 502 Bad Gateway\r\n\r\n", "", "HTTP/1.1 403 Forbidden\r\n\r\n"];
        for (client, answer) in listener.incoming().zip(answers) {
            let mut client = BufReader::new(client.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && client.read_line(&mut head).unwrap() > 0 {}
            client.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    let run = |name: &str, value: &str| {
        let mut command = fleet.command(0);
        fleet.check(Run::of(command.env("HTTPS_PROXY", &proxy).env(name, value)))
    };
    let what = "has made no connection to vault.invalid:443: HTTP 403 Forbidden";
    run("NO_PROXY", "").assert_fails(1, &["the vault cannot be reached", what, "NO_PROXY"]);
    // A port that nothing listens on.
    let fleet =
        Fleet::expired(1).with(crate::PATIENCE, 1).with("VAULT_ADDR", "https://127.0.0.1:9");
    let cure = &["cannot be reached", "VAULT_ADDR, and whether you need a proxy", "NO_PROXY"];
    fleet.run(0).assert_fails(1, cure);
}

/// An agent on this machine, which adds its token to what it passes on to the vault, and perhaps its own date
/// to what comes back.
fn agent(fleet: &Fleet, date: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vault = fleet.sandbox.vault().url().strip_prefix("http://").unwrap().to_owned();
    let token = fleet.sandbox.vault().token();
    // It ends with the test process.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&vault).unwrap());
            let (mut head, mut length) = (String::new(), 0);
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {
                let line = head.lines().last().unwrap().to_lowercase();
                assert!(!line.starts_with("x-vault-token"), "the program has none");
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let ours = format!("X-Vault-Token: {token}\r\nConnection: close\r\n\r\n");
            server.write_all(head.trim_end().as_bytes()).unwrap();
            server.write_all(&[b"\r\n", ours.as_bytes(), &body].concat()).unwrap();
            let mut response = Vec::new();
            server.read_to_end(&mut response).unwrap();
            if let Some(date) = date {
                let text = String::from_utf8(response).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                let is_kept = |line: &&str| !line.to_lowercase().starts_with("date: ");
                let head: Vec<_> = head.lines().filter(is_kept).collect();
                let head = head.join("\r\n");
                response = format!("{head}\r\nDate: {date}\r\n\r\n{body}").into_bytes();
            }
            client.write_all(&response).unwrap();
        }
    });
    url
}

#[test]
fn an_agent_on_this_machine_needs_no_token() {
    let fleet = Fleet::expired(1);
    let mut command = fleet.command(0);
    command.env_remove("VAULT_TOKEN").env("VAULT_ADDR", agent(&fleet, None));
    fleet.check(Run::of(&mut command)).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_proxy_whose_clock_is_wrong_costs_a_client_one_refresh() {
    let fleet = Fleet::new(Options { users: 50, ..Options::default() }, true, 1);
    let mut list = fleet.program(0, "list_users");
    list.args(["--page-size", "5"]).env_remove("VAULT_TOKEN");
    list.env("VAULT_ADDR", agent(&fleet, Some("Tue, 01 Jan 2036 00:00:00 GMT")));
    let run = fleet.check(Run::of(&mut list));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(fleet.sandbox.counters().api_calls >= 10);
    fleet.assert_settled(1);
}
