//! A real vault: a cluster of three nodes, and what its responses are beside those of the sandbox.

use aac_sandbox::{Options, Sandbox, VaultOptions};
use acceptance::cluster::{Answer, Cluster, SECRET};
use acceptance::{Run, blocks, clean, creds_with, have, program};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD as BASE64, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};
use ureq::Agent;

/// How long a write may take that must not succeed.
const SOON: Duration = Duration::from_secs(3);

/// Writes a document of one member through a node, with the pair's token.
fn write(cluster: &Cluster, node: usize, text: &str, cas: u64) -> Option<Answer> {
    let body = json!({ "data": { "refresh_token": text }, "options": { "cas": cas } });
    let token = cluster.token();
    let headers = [("X-Vault-Token", token.as_str())];
    cluster.send_within(SOON, node, "POST", SECRET, &headers, &body.to_string()).ok()
}

/// Reads through a node, with the pair's token.
fn read(cluster: &Cluster, node: usize) -> Option<Answer> {
    let token = cluster.token();
    cluster.send_within(SOON, node, "GET", SECRET, &[("X-Vault-Token", &token)], "").ok()
}

/// Writes until a write is acknowledged, through each node that serves in turn. Returns the version.
#[track_caller]
fn write_in_the_end(cluster: &Cluster, text: &str) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(150);
    let mut answers = Vec::new();
    for node in (0..cluster.size()).cycle().filter(|node| cluster.serves(*node)) {
        let (current, document) = cluster.get().unwrap();
        if document["refresh_token"] == text {
            return current;
        }
        let answer = write(cluster, node, text, current);
        if let Some(answer) = &answer
            && answer.status == 200
        {
            return answer.json()["data"]["version"].as_u64().unwrap();
        }
        answers.push((node, answer.map(|answer| (answer.status, answer.body))));
        assert!(Instant::now() < deadline, "{text} was not written: {answers:?}");
    }
    unreachable!("the nodes never end")
}

#[test]
#[ignore = "needs bao; two minutes"]
fn a_cluster_goes_on_without_one_of_its_nodes() {
    let begin = Instant::now();
    let Some(cluster) = Cluster::start(3) else { return };
    println!("three voters after {:.1?}", begin.elapsed());
    let lap = |what: &str, since: Instant| println!("{what}: {:.1?}", since.elapsed());

    assert_eq!(cluster.put(&json!({ "refresh_token": "token-of-the-beginning" })), 1);
    cluster.wait_for_all();
    for node in 0..cluster.size() {
        assert_eq!(read(&cluster, node).unwrap().status, 200);
    }
    let leader = cluster.wait_for_leader();
    assert_eq!(write(&cluster, leader, "token-of-the-leader", 1).unwrap().status, 200);

    let begin = Instant::now();
    cluster.kill(leader);
    let version = write_in_the_end(&cluster, "token-after-the-kill");
    lap("leader killed, next write", begin);
    assert_eq!(version, 3);
    cluster.restart(leader);
    cluster.wait_for_all();

    #[cfg(unix)]
    {
        let leader = cluster.wait_for_leader();
        let begin = Instant::now();
        cluster.stop(leader);
        assert!(read(&cluster, leader).is_none(), "it is stopped");
        write_in_the_end(&cluster, "token-after-the-stop");
        lap("leader stopped, next write", begin);
        cluster.resume(leader);
        cluster.wait_for_all();
    }

    let leader = cluster.wait_for_leader();
    let (before, _) = cluster.get().unwrap();
    let begin = Instant::now();
    match cluster.isolate(leader) {
        Err(why) => println!("partition skipped: {why}"),
        Ok(()) => {
            let lost = write(&cluster, leader, "token-into-the-void", before);
            let answer = lost.as_ref().map(|answer| (answer.status, answer.body.trim()));
            println!("a write to the node that is cut off: {answer:?}");
            assert_ne!(lost.map(|answer| answer.status), Some(200), "without a quorum");
            let version = write_in_the_end(&cluster, "token-after-the-partition");
            lap("leader cut off, next write", begin);
            cluster.heal();
            // It may hang for good after it has lost its quorum.
            cluster.restart(leader);
            cluster.wait_for_all();
            assert_eq!(version, before + 1, "of two writes with one version, one is applied");
        }
    }

    let standby = cluster.standby();
    cluster.seal(standby);
    assert_eq!(read(&cluster, standby).unwrap().status, 503);
    cluster.unseal(standby);

    cluster.revoke_token();
    let refused = read(&cluster, cluster.wait_for_leader()).unwrap();
    assert_eq!((refused.status, refused.body.trim()), (403, r#"{"errors":["permission denied"]}"#));
    cluster.renew_token();
    assert_eq!(read(&cluster, cluster.wait_for_leader()).unwrap().status, 200);

    let audit = cluster.audit_log();
    assert!(audit.lines().count() > 20, "{audit}");
    assert!(audit.contains(SECRET));
    for secret in ["token-of-the-", "token-after-the-", &cluster.token(), cluster.root_token()] {
        assert!(!audit.contains(secret), "{secret} is in the audit log");
    }
}

/// Whose token a request has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    /// That may read and update the secret.
    Pair,
    Root,
    Wrong,
    None,
}

/// What happens to both vaults.
#[derive(Debug)]
enum Step {
    /// Method, path below `/v1/`, body.
    Send(Token, &'static str, &'static str, &'static str),
    /// The same with a header.
    With((&'static str, &'static str), &'static str, &'static str, &'static str),
    Put(&'static str),
    Delete,
    Undelete(u64),
    Destroy(u64),
    DeleteMetadata,
    DeleteAfter(u64),
    RequireCas(bool),
    RevokeToken,
    RenewToken,
    Seal,
    Unseal,
}

const DATA: &str = "secret/data/aac";

/// All that a client of the pair's secret can meet.
const STEPS: &[Step] = {
    use Step::*;
    use Token::*;
    &[
        Send(Pair, "GET", DATA, ""),
        Send(Root, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"b"},"options":{"cas":0}}"#),
        Send(Root, "POST", DATA, r#"{"data":{"a":"b"},"options":{"cas":1}}"#),
        Send(
            Root,
            "POST",
            DATA,
            r#"{"data":{"b":1.50,"a":"<&>\u2028","c":[12345678901234567890,1e3,null,true],"o":{"z":1,"y":2.0}},"options":{"cas":0}}"#,
        ),
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "PUT", DATA, r#"{"data":{"a":"2"},"options":{"cas":1}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"3"},"options":{"cas":1}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"3"},"options":{"cas":-1}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"3"},"options":{"cas":"2"}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"4"},"options":{"cas":"x"}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"4"},"options":{"cas":3.0}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"4"},"options":{"cas":null}}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"4"},"options":null}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"4"},"options":"x"}"#),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"k","a":"l"}}"#),
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":null}"#),
        Send(Pair, "POST", DATA, r#"{"data":"x"}"#),
        Send(Pair, "POST", DATA, r#"{"data":7}"#),
        Send(Pair, "POST", DATA, r#"{"a":"b"}"#),
        Send(Pair, "POST", DATA, r#"{"data":"#),
        Send(Pair, "POST", DATA, "hello"),
        Send(Pair, "POST", DATA, "[1]"),
        Send(Pair, "POST", DATA, "null"),
        Send(Pair, "POST", DATA, "5"),
        Send(Pair, "POST", DATA, ""),
        Send(Wrong, "POST", DATA, r#"{"data":"#),
        Send(Pair, "GET", "secret/data/aac?version=1", ""),
        Send(Pair, "GET", "secret/data/aac?version=99", ""),
        Send(Pair, "GET", "secret/data/aac?version=0", ""),
        Send(Pair, "GET", "secret/data/aac?version=-1", ""),
        Send(Pair, "GET", "secret/data/aac?version=x", ""),
        Send(Wrong, "GET", DATA, ""),
        Send(None, "GET", DATA, ""),
        Send(Wrong, "POST", DATA, "{}"),
        Send(Pair, "GET", "secret/aac", ""),
        Send(Root, "GET", "secret/aac", ""),
        Send(Root, "PUT", "secret/aac", "{}"),
        Send(Root, "GET", "secret/data/other", ""),
        Send(Pair, "GET", "secret/data/other", ""),
        Send(Root, "GET", "secret/data/", ""),
        Send(Root, "GET", "other/data/aac", ""),
        Send(Pair, "GET", "other/data/aac", ""),
        Send(Root, "PUT", "other/data/aac", "{}"),
        Send(Pair, "DELETE", DATA, ""),
        Send(Pair, "LIST", DATA, ""),
        Send(Root, "LIST", DATA, ""),
        With(("X-Vault-Request", "true"), "GET", DATA, ""),
        With(("X-Vault-Namespace", "nowhere"), "GET", DATA, ""),
        With(("X-Vault-Namespace", "root"), "GET", DATA, ""),
        With(("X-Vault-Namespace", "/"), "GET", DATA, ""),
        // Soft deletion.
        Delete,
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "GET", "secret/data/aac?version=1", ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"x"},"options":{"cas":0}}"#),
        Put(r#"{"a":"after the deletion"}"#),
        Send(Pair, "GET", DATA, ""),
        Delete,
        Undelete(6),
        Send(Pair, "GET", DATA, ""),
        Delete,
        Send(Pair, "POST", DATA, r#"{"data":{"a":"over the deleted one"}}"#),
        Send(Pair, "GET", DATA, ""),
        Destroy(8),
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"over the destroyed one"}}"#),
        // The oldest of more than ten versions goes.
        Put(r#"{"n":10}"#),
        Put(r#"{"n":11}"#),
        Put(r#"{"n":12}"#),
        Send(Pair, "GET", "secret/data/aac?version=1", ""),
        Send(Pair, "GET", "secret/data/aac?version=3", ""),
        RequireCas(true),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"b"}}"#),
        RequireCas(false),
        DeleteAfter(3600),
        Put(r#"{"a":"for an hour"}"#),
        Send(Pair, "GET", DATA, ""),
        DeleteAfter(0),
        DeleteMetadata,
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"b"}}"#),
        Put(r#"{"a":"again"}"#),
        RevokeToken,
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"b"}}"#),
        RenewToken,
        Send(Pair, "GET", DATA, ""),
        Seal,
        Send(Pair, "GET", DATA, ""),
        Send(Pair, "POST", DATA, r#"{"data":{"a":"b"}}"#),
        Unseal,
        Send(Pair, "GET", DATA, ""),
    ]
};

/// The same for an engine of version 1.
const STEPS_V1: &[Step] = {
    use Step::*;
    use Token::*;
    &[
        Send(Root, "GET", "secret/aac", ""),
        Send(Root, "POST", "secret/aac", r#"{"b":1.50,"a":"x"}"#),
        Send(Root, "GET", "secret/aac", ""),
        Send(Root, "GET", DATA, ""),
        Send(Root, "PUT", DATA, r#"{"data":{"b":1.50,"a":"x"},"options":{"cas":7}}"#),
        Send(Root, "GET", DATA, ""),
        Send(Root, "GET", "secret/data/aac?version=3", ""),
        Send(Root, "PUT", DATA, ""),
        Send(Pair, "GET", "secret/other", ""),
    ]
};

/// The sandbox's vault, or a real one.
enum Vault<'a> {
    Sandbox(&'a Sandbox, Agent),
    Real(&'a Cluster),
}

impl Vault<'_> {
    /// Takes a step. Returns the response to it in a form that can be compared.
    fn take(&self, step: &Step) -> Option<String> {
        match (self, step) {
            (_, Step::Send(token, method, path, body)) => {
                return Some(self.send(*token, &[], method, path, body));
            }
            (_, Step::With(header, method, path, body)) => {
                return Some(self.send(Token::Pair, &[*header], method, path, body));
            }
            (Self::Sandbox(sandbox, _), step) => {
                let vault = sandbox.vault();
                match step {
                    Step::Put(document) => {
                        vault.put(&serde_json::from_str(document).unwrap());
                    }
                    Step::Delete => vault.delete(),
                    Step::Undelete(version) => vault.undelete(*version),
                    Step::Destroy(version) => vault.destroy(*version),
                    Step::DeleteMetadata => vault.delete_metadata(),
                    Step::DeleteAfter(0) => vault.set_delete_version_after(None),
                    Step::DeleteAfter(seconds) => {
                        vault.set_delete_version_after(Some(Duration::from_secs(*seconds)));
                    }
                    Step::RequireCas(required) => vault.set_cas_required(*required),
                    Step::RevokeToken => vault.revoke_token(),
                    Step::RenewToken => vault.restore_token(),
                    Step::Seal => vault.seal(),
                    Step::Unseal => vault.unseal(),
                    Step::Send(..) | Step::With(..) => unreachable!("above"),
                }
            }
            (Self::Real(cluster), step) => match step {
                Step::Put(document) => {
                    cluster.put(&serde_json::from_str(document).unwrap());
                }
                Step::Delete => cluster.delete(),
                Step::Undelete(version) => cluster.undelete(*version),
                Step::Destroy(version) => cluster.destroy(*version),
                Step::DeleteMetadata => cluster.delete_metadata(),
                Step::DeleteAfter(seconds) => {
                    let after = format!("{seconds}s");
                    cluster.set_metadata(&json!({ "delete_version_after": after }));
                }
                Step::RequireCas(required) => {
                    cluster.set_metadata(&json!({ "cas_required": required }));
                }
                Step::RevokeToken => cluster.revoke_token(),
                Step::RenewToken => cluster.renew_token(),
                Step::Seal => cluster.seal(0),
                Step::Unseal => {
                    cluster.unseal(0);
                    // It loads its secrets engines first.
                    cluster.wait_for_leader();
                    while cluster.get().is_none() {}
                }
                Step::Send(..) | Step::With(..) => unreachable!("above"),
            },
        }
        None
    }

    fn send(
        &self,
        token: Token,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: &str,
    ) -> String {
        let (pair, root) = match self {
            Self::Sandbox(sandbox, _) => (sandbox.vault().token(), sandbox.vault().root_token()),
            Self::Real(cluster) => (cluster.token(), cluster.root_token().to_owned()),
        };
        let token = match token {
            Token::Pair => Some(pair.as_str()),
            Token::Root => Some(root.as_str()),
            Token::Wrong => Some("wrong"),
            Token::None => None,
        };
        let token = token.map(|token| ("X-Vault-Token", token));
        // Otherwise a server takes the body for a form.
        let json = ("Content-Type", "application/json");
        let headers = [token.as_slice(), &[json], headers].concat();
        let answer = match self {
            Self::Real(cluster) => cluster.send(0, method, path, &headers, body).unwrap(),
            Self::Sandbox(sandbox, agent) => {
                let mut request = ureq::http::Request::builder()
                    .method(method)
                    .uri(format!("{}/v1/{path}", sandbox.vault().url()));
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let mut response = agent.run(request.body(body).unwrap()).unwrap();
                let body = response.body_mut().read_to_string().unwrap();
                let (head, _) = response.into_parts();
                Answer { status: head.status.as_u16(), headers: head.headers, body }
            }
        };
        comparable(&answer)
    }
}

/// A response without what differs from one request to the next, and what no client should read: the
/// spelling of numbers, and what is wrong with a request that cannot be understood.
fn comparable(answer: &Answer) -> String {
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
    let mut body = answer.json();
    let errors = body["errors"].as_array().into_iter().flatten();
    if answer.status == 400 && !errors.into_iter().any(|e| e.to_string().contains("check-and-set"))
    {
        body = Value::Null;
    }
    mask(&mut body);
    format!(
        "{} {:?} retry-after {:?} cache {:?} dated {} index {} {body}",
        answer.status,
        header("content-type"),
        header("retry-after"),
        header("cache-control"),
        header("date").is_some(),
        // A client has one from what it has read or written.
        answer.status == 200 && header("x-vault-index").is_none(),
    )
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), &*value) {
                    ("request_id" | "created_time" | "deletion_time", Value::String(text))
                        if !text.is_empty() =>
                    {
                        *value = json!("(masked)");
                    }
                    ("lease_duration" | "warnings", _) => *value = json!("(masked)"),
                    _ => mask(value),
                }
            }
        }
        Value::Number(number) => *value = json!(number.as_f64()),
        _ => {}
    }
}

#[test]
#[ignore = "needs bao; ten seconds"]
fn the_sandbox_responds_as_a_real_vault_does() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut differences = Vec::new();
    for (kv_v1, steps) in [(false, STEPS), (true, STEPS_V1)] {
        let vault = Some(VaultOptions { kv_v1, ..VaultOptions::default() });
        let sandbox = Sandbox::start(Options { vault, ..Options::default() }).unwrap();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build()
            .new_agent();
        if kv_v1 {
            cluster.mount(1);
        }
        let ours = Vault::Sandbox(&sandbox, agent);
        let real = Vault::Real(&cluster);
        for step in steps {
            let (ours, real) = (ours.take(step), real.take(step));
            if ours != real {
                let texts = (ours.unwrap_or_default(), real.unwrap_or_default());
                differences.push(format!("{step:?}\n  sandbox {}\n  real    {}", texts.0, texts.1));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// Who signs the identities of jobs.
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ES256, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ES256, key.as_ref(), &random).unwrap())
    }

    /// The public key, as a file of PEM has it.
    fn pem(&self) -> String {
        // SubjectPublicKeyInfo, up to the point on the curve (RFC 5480).
        const BEGINNING: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let key = BASE64.encode([&BEGINNING, self.0.public_key().as_ref()].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    }

    /// A token for five minutes, with these claims.
    fn token(&self, audience: &str, claims: &Value) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut all =
            json!({ "iss": ISSUER, "aud": audience, "sub": "job", "nbf": now, "exp": now + 300 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let head = BASE64URL.encode(json!({ "alg": "ES256", "typ": "JWT" }).to_string());
        let signed = format!("{head}.{}", BASE64URL.encode(all.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    /// Answers one job of GitHub as GitHub does: for the audience that it asks for.
    fn answer(&self, listener: &TcpListener, claims: &Value) {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        assert!(head.iter().any(|line| line == "Authorization: bearer of-the-runner"), "{head:?}");
        let (_, query) = head[0].split_once("?api-version=2.0&").unwrap();
        let query = query.split(' ').next().unwrap();
        let (name, audience) = form_urlencoded::parse(query.as_bytes()).next().unwrap();
        assert_eq!(name, "audience");
        let body = json!({ "value": self.token(&audience, claims) }).to_string();
        stream.write_all(&acceptance::plain(200, body.as_bytes())).unwrap();
    }
}

/// Whose tokens VAULT.md has the vault accept.
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The files to copy, and what VAULT.md tells the vault, but for the keys of the issuer, which are given here.
#[test]
#[ignore = "needs bao, curl and jq"]
fn a_job_logs_in_by_what_it_is() {
    if !have("curl") || !have("jq") {
        return;
    }
    let Some(cluster) = Cluster::start(1) else { return };
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let tokens = sandbox.issue();
    cluster.put(&serde_json::from_str(&creds_with(&tokens)).unwrap());
    let issuer = Issuer::new();
    let folder = tempfile::tempdir().unwrap();
    let mut path = vec![program("get_workspace").parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let bash = |script: &str| {
        let mut bash = clean("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]);
        bash.current_dir(folder.path()).env("PATH", env::join_paths(&path).unwrap());
        bash
    };

    let document = "crates/aac-auth/VAULT.md";
    let guide = acceptance::read(document);
    let (_, section) = guide.split_once("## In CI\n").unwrap();
    fs::write(folder.path().join("aac.hcl"), &blocks(document, "hcl")[0]).unwrap();
    fs::write(folder.path().join("key.pem"), issuer.pem()).unwrap();
    let given = "jwt_supported_algs=ES256 jwt_validation_pubkeys=@key.pem";
    // The first block moves the pair into the vault.
    let role = blocks(document, "bash")[1]
        .replace(&format!("oidc_discovery_url={ISSUER}"), given)
        .replace("https://vault.example.com:8200", cluster.address(0));
    let set_up = |script: &str| {
        let bao = acceptance::cluster::bao().unwrap();
        let mut bash = bash(&format!("bao() {{ '{}' \"$@\"; }}\n{script}", bao.display()));
        bash.env("BAO_ADDR", cluster.address(0)).env("BAO_CACERT", cluster.ca());
        let run = Run::of(bash.env("BAO_TOKEN", cluster.root_token()));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    };
    set_up(&role);

    let github = acceptance::read("crates/aac-auth/ci/github.yml");
    let github = &Yaml::load_from_str(&github).unwrap()[0];
    let gitlab = acceptance::read("crates/aac-auth/ci/gitlab.yml");
    let gitlab = &Yaml::load_from_str(&gitlab).unwrap()[0];
    // With the values that a user changes.
    let run = |script: &Yaml<'_>, variables: &Yaml<'_>, own: &[(&str, &str)]| {
        let mut bash = bash(script.as_str().unwrap());
        for (name, value) in variables.as_mapping().unwrap() {
            bash.env(name.as_str().unwrap(), value.as_str().unwrap());
        }
        bash.env("AAC_URL", sandbox.url()).env("AAC_CLIENT_ID", sandbox.project_id());
        bash.env("VAULT_ADDR", cluster.address(0));
        bash.env("VAULT_CACERT", cluster.ca()).env("CURL_CA_BUNDLE", cluster.ca());
        Run::of(bash.envs(own.iter().copied()))
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?api-version=2.0", listener.local_addr().unwrap());
    let own = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-runner"),
    ];
    let script = &github["jobs"]["workspace"]["steps"].as_vec().unwrap().last().unwrap()["run"];
    let on_github = |repository: &str, branch: &str| {
        let claims = json!({ "repository": repository, "ref": format!("refs/heads/{branch}") });
        thread::scope(|scope| {
            scope.spawn(|| issuer.answer(&listener, &claims));
            run(script, &github["env"], &own)
        })
    };
    for refreshes in [0, 1] {
        let mut job = on_github("my-org/aac-rust", "main");
        assert_eq!(job.code, Some(0), "{}", job.stderr);
        // What GitHub is told to hide; it does not show the line.
        let masked = job.stdout.split_off(job.stdout.find('\n').unwrap() + 1);
        let line = std::mem::replace(&mut job.stdout, masked);
        let token = line.trim_end().strip_prefix("::add-mask::").unwrap().to_owned();
        job.assert_ok();
        assert_eq!(job.stderr, "");
        job.assert_hides(&[&token]);
        let lookup =
            cluster.root("POST", "auth/token/lookup", Some(&json!({ "token": token }))).json();
        assert_eq!(lookup["data"]["policies"], json!(["aac", "default"]));
        assert_eq!(lookup["data"]["creation_ttl"], 3600);
        assert_eq!(sandbox.counters().refreshes, refreshes, "it may write, too");
        sandbox.revoke_access_tokens();
    }
    for (repository, branch, claim) in
        [("my-org/other", "main", "repository"), ("my-org/aac-rust", "other", "ref")]
    {
        let told = format!("claim \\\"{claim}\\\" does not match");
        let job = on_github(repository, branch);
        assert_ne!(job.code, Some(0));
        assert_eq!(job.stdout, "");
        assert!(job.stderr.contains(&told), "{}", job.stderr);
    }

    let (_, bound) = section.split_once("`{\"project_path\"").unwrap();
    let bound = format!("{{\"project_path\"{}", bound.split('`').next().unwrap());
    let of_github = r#"{"repository": "my-org/aac-rust", "ref": "refs/heads/main"}"#;
    let (_, role) = role.split_once("bao write auth/jwt/role").unwrap();
    let role = role.replace(of_github, &bound).replace("\"repository\"", "\"project_path\"");
    set_up(&format!("bao write auth/jwt/role{role}"));
    let mut claims: Value = serde_json::from_str(&bound).unwrap();
    let script = &gitlab["workspace"]["script"][0];
    let token = issuer.token(cluster.address(0), &claims);
    let elsewhere = [("VAULT_ID_TOKEN", &*token), ("VAULT_NAMESPACE", "other")];
    run(script, &gitlab["variables"], &elsewhere)
        .assert_says(5, &["jq: error", "namespace not found"]);
    for is_ours in [true, false] {
        let token = issuer.token(cluster.address(0), &claims);
        let job = run(script, &gitlab["variables"], &[("VAULT_ID_TOKEN", &token)]);
        if is_ours {
            job.assert_ok();
        } else {
            job.assert_says(5, &["claim \\\"ref_protected\\\" does not match"]);
        }
        claims["ref_protected"] = "false".into();
    }
}
