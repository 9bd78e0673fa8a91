//! A real vault: OpenBao servers on loopback, which form a cluster.
//!
//! The server's binary is `bao`: the one that the variable `BAO` names, or that on the `PATH`. Tests
//! say "skipped: why" without it.
//!
//! ```no_run
//! use acceptance::cluster::Cluster;
//! use serde_json::json;
//!
//! let Some(cluster) = Cluster::start(3) else { return };
//! cluster.put(&json!({ "refresh_token": "…" }));
//! let leader = cluster.wait_for_leader();
//! cluster.kill(leader);
//! assert_ne!(cluster.wait_for_leader(), leader);
//! ```

mod links;

use aac_sandbox::Certificate;
use links::Links;
use serde_json::{Value, json};
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// The path of the pair's secret.
pub const SECRET: &str = "secret/data/aac";

/// What a token needs, and no more.
const POLICY: &str = r#"path "secret/data/aac" { capabilities = ["read", "update"] }"#;

/// Longer than an election takes, also on a machine that does much else.
const LONG: Duration = Duration::from_secs(60);

/// The server's binary; `None` if there is none, which it says.
pub fn bao() -> Option<PathBuf> {
    let named = env::var_os("BAO").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let name = format!("bao{}", env::consts::EXE_SUFFIX);
    let found = named.or_else(|| {
        env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
    });
    let Some(bao) = found else {
        eprintln!("skipped: no bao is on the PATH, and BAO names none");
        return None;
    };
    // Signals to a script would not reach the server that it starts.
    let mut start = [0; 2];
    let read = File::open(&bao).and_then(|mut file| file.read_exact(&mut start));
    read.unwrap_or_else(|error| panic!("{}: {error}", bao.display()));
    if start == *b"#!" {
        eprintln!("skipped: {} is a script. Set BAO to the server's binary", bao.display());
        return None;
    }
    // The servers start in folders of their own.
    Some(bao.canonicalize().unwrap_or(bao))
}

/// A cluster. Its servers end when it is dropped.
pub struct Cluster {
    bao: PathBuf,
    folder: TempDir,
    nodes: Vec<Node>,
    links: Links,
    agent: Agent,
    unseal_key: String,
    root_token: String,
    token: Mutex<String>,
}

struct Node {
    address: String,
    process: Mutex<Process>,
}

/// A server's process. It ends when this is dropped.
#[derive(Default)]
struct Process {
    child: Option<Child>,
    is_stopped: bool,
}

impl Process {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.is_stopped = false;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A response of a server.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: ureq::http::HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Shows no token.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts a cluster of that many nodes, unsealed, all of them voters, with an engine of version 2
    /// at `secret/` and a token that may read and update the pair's secret. `None` without a binary.
    pub fn start(nodes: usize) -> Option<Self> {
        let bao = bao()?;
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::issue().unwrap();
        for (name, text) in [
            ("ca.pem", &certificate.authority),
            ("server.pem", &certificate.certificate),
            ("server.key", &certificate.key),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        // Held until all are known, so that no two are the same.
        let held: Vec<_> =
            (0..2 * nodes).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let ports: Vec<_> = held.iter().map(|port| port.local_addr().unwrap().port()).collect();
        let (api, peers) = ports.split_at(nodes);
        let links = Links::listen(peers);
        let addresses: Vec<_> =
            api.iter().map(|port| format!("https://127.0.0.1:{port}")).collect();
        for (node, peer_port) in peers.iter().enumerate() {
            let own = folder.path().join(format!("node{node}"));
            fs::create_dir_all(own.join("data")).unwrap();
            let text = config(folder.path(), node, &addresses, *peer_port, links.port(node));
            fs::write(own.join("server.hcl"), text).unwrap();
        }
        drop(held);

        let roots = ureq::tls::Certificate::from_pem(certificate.authority.as_bytes()).unwrap();
        let tls = TlsConfig::builder().root_certs(RootCerts::from(vec![roots])).build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .new_agent();
        let nodes =
            addresses.into_iter().map(|address| Node { address, process: Mutex::default() });
        let mut cluster = Self {
            bao,
            folder,
            nodes: nodes.collect(),
            links,
            agent,
            unseal_key: String::new(),
            root_token: String::new(),
            token: Mutex::default(),
        };
        cluster.set_up();
        Some(cluster)
    }

    fn set_up(&mut self) {
        for node in 0..self.nodes.len() {
            self.spawn(node);
        }
        let init = json!({ "secret_shares": 1, "secret_threshold": 1 });
        self.until("the first node to answer", || self.is_sealed(0));
        // It answers when it has elected itself, after ten seconds.
        let init = self.send_within(LONG, 0, "PUT", "sys/init", &[], &init.to_string());
        let init = init.unwrap().json();
        self.unseal_key = init["keys"][0].as_str().unwrap().to_owned();
        self.root_token = init["root_token"].as_str().unwrap().to_owned();
        for node in 0..self.nodes.len() {
            self.unseal(node);
        }
        self.wait_for_leader();
        // Otherwise a node votes only after ten seconds without an error.
        let autopilot = json!({ "server_stabilization_time": "1s" });
        self.root("POST", "sys/storage/raft/autopilot/configuration", Some(&autopilot));
        self.until("all nodes to vote", || {
            let configuration = self.root("GET", "sys/storage/raft/configuration", None).json();
            let servers = configuration["data"]["config"]["servers"].as_array()?.clone();
            let voters = servers.iter().filter(|server| server["voter"] == true).count();
            (voters == self.nodes.len()).then_some(())
        });
        self.mount(2);
        self.root("PUT", "sys/policies/acl/aac", Some(&json!({ "policy": POLICY })));
        self.renew_token();
    }

    fn spawn(&self, node: usize) {
        let log =
            File::options().create(true).append(true).open(self.path(node, "server.log")).unwrap();
        let child = crate::clean(&self.bao)
            .arg("server")
            .arg("-config=server.hcl")
            .current_dir(self.path(node, ""))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.bao.display()));
        self.links.set_process(node, child.id());
        self.process(node).child = Some(child);
    }

    /// A file of a node.
    fn path(&self, node: usize, name: &str) -> PathBuf {
        self.folder.path().join(format!("node{node}")).join(name)
    }

    fn process(&self, node: usize) -> MutexGuard<'_, Process> {
        self.nodes[node].process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Asks again and again, until there is an answer.
    #[track_caller]
    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let ended = (0..self.nodes.len()).any(|node| {
                let child = &mut self.process(node).child;
                child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
            });
            if ended || Instant::now() > deadline {
                let end = |node| {
                    let log = self.log(node);
                    let lines: Vec<_> = log.lines().collect();
                    lines[lines.len().saturating_sub(20)..].join("\n")
                };
                let logs: Vec<_> = (0..self.nodes.len()).map(end).collect();
                panic!("waited for {what} in vain:\n{}", logs.join("\n\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// `https://127.0.0.1:PORT`, for `VAULT_ADDR`.
    pub fn address(&self, node: usize) -> &str {
        &self.nodes[node].address
    }

    /// The certificate of the authority, for `VAULT_CACERT`.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The token that may read and update the pair's secret, for `VAULT_TOKEN`.
    pub fn token(&self) -> String {
        self.token.lock().unwrap().clone()
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The variables that lead a client to a node: `VAULT_ADDR`, `VAULT_TOKEN`, `VAULT_CACERT`.
    pub fn environment(&self, node: usize) -> [(&'static str, String); 3] {
        [
            ("VAULT_ADDR", self.address(node).to_owned()),
            ("VAULT_TOKEN", self.token()),
            ("VAULT_CACERT", self.ca().into_os_string().into_string().unwrap()),
        ]
    }

    /// What a server has logged.
    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.path(node, "server.log")).unwrap_or_default()
    }

    /// The audit logs of all nodes: one JSON object a line, for each request and each response.
    pub fn audit_log(&self) -> String {
        let read = |node| fs::read_to_string(self.path(node, "audit.log")).unwrap_or_default();
        (0..self.nodes.len()).map(read).collect()
    }

    /// Sends a request. `path` is what follows `/v1/`.
    ///
    /// # Errors
    ///
    /// If there is no response.
    pub fn send(
        &self,
        node: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        self.send_within(Duration::from_secs(30), node, method, path, headers, body)
    }

    /// The same, with the longest time that it may take.
    ///
    /// # Errors
    ///
    /// If there is no response in time.
    pub fn send_within(
        &self,
        timeout: Duration,
        node: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.address(node)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        let mut response = self.agent.run(request)?;
        let body = response.body_mut().read_to_string()?;
        let (head, ()) = response.map(|_| ()).into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// A node's answer to the root token, if it answers soon.
    fn ask(&self, node: usize, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let token = [("X-Vault-Token", self.root_token.as_str())];
        let headers = if self.root_token.is_empty() { &[][..] } else { &token };
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send_within(Duration::from_secs(5), node, method, path, headers, &body).ok()
    }

    /// What the leader answers to the root token. Waits for a leader, and for success.
    #[track_caller]
    pub fn root(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.until(&format!("{method} {path}"), || {
            let answer = self.ask(self.leader()?, method, path, body)?;
            matches!(answer.status, 200..=204 | 404).then_some(answer)
        })
    }

    /// The node that leads, as far as the nodes know that run and are not cut off.
    pub fn leader(&self) -> Option<usize> {
        (0..self.nodes.len()).filter(|node| self.serves(*node)).find(|node| {
            let answer = self.ask(*node, "GET", "sys/leader", None);
            answer.is_some_and(|answer| answer.json()["is_self"] == true)
        })
    }

    /// Waits until a node leads.
    pub fn wait_for_leader(&self) -> usize {
        self.until("a leader", || self.leader())
    }

    /// Waits until each node that runs has what the leader has.
    pub fn wait_for_all(&self) {
        let leaders = self.root("GET", SECRET, None);
        for node in (0..self.nodes.len()).filter(|node| self.serves(*node)) {
            self.until("a node to follow the leader", || {
                let answer = self.ask(node, "GET", SECRET, None)?;
                let is_current = answer.status == leaders.status
                    && answer.json()["data"] == leaders.json()["data"];
                is_current.then_some(())
            });
        }
    }

    /// Whether a node runs and is not cut off.
    pub fn serves(&self, node: usize) -> bool {
        let process = self.process(node);
        process.child.is_some() && !process.is_stopped && !self.links.is_isolated(node)
    }

    /// A node that runs but does not lead.
    pub fn standby(&self) -> usize {
        let leader = self.wait_for_leader();
        let mut others = (0..self.nodes.len()).filter(|node| *node != leader);
        others.find(|node| self.serves(*node)).expect("another node")
    }

    /// Kills a server (SIGKILL).
    pub fn kill(&self, node: usize) {
        self.process(node).kill();
    }

    /// Stops a server (SIGSTOP): its connections stay, but nothing answers.
    #[cfg(unix)]
    pub fn stop(&self, node: usize) {
        let mut process = self.process(node);
        crate::kill("STOP", process.child.as_ref().expect("a process").id());
        process.is_stopped = true;
    }

    /// Lets a stopped server go on (SIGCONT).
    #[cfg(unix)]
    pub fn resume(&self, node: usize) {
        let mut process = self.process(node);
        crate::kill("CONT", process.child.as_ref().expect("a process").id());
        process.is_stopped = false;
    }

    /// Starts a killed server again, and unseals it.
    pub fn restart(&self, node: usize) {
        self.process(node).kill();
        self.spawn(node);
        self.unseal(node);
    }

    /// Seals a node. Its other nodes go on; a leader hands over.
    pub fn seal(&self, node: usize) {
        // A standby does not forward it, and a leader leaves before it answers.
        self.until("a node to be sealed", || {
            self.ask(node, "PUT", "sys/seal", None);
            self.is_sealed(node).filter(|sealed| *sealed)
        });
    }

    /// Unseals a node.
    pub fn unseal(&self, node: usize) {
        let key = json!({ "key": self.unseal_key });
        self.until("a node to be unsealed", || {
            self.ask(node, "PUT", "sys/unseal", Some(&key));
            self.is_sealed(node).filter(|sealed| !sealed)
        });
    }

    fn is_sealed(&self, node: usize) -> Option<bool> {
        self.ask(node, "GET", "sys/seal-status", None)?.json()["sealed"].as_bool()
    }

    /// Cuts a node off from the others, but not from clients: what is sent between them is kept until
    /// [`Cluster::heal`], as a network does whose packets are lost.
    ///
    /// # Errors
    ///
    /// If the system does not tell which process a connection belongs to.
    pub fn isolate(&self, node: usize) -> Result<(), String> {
        self.links.isolate(node)
    }

    /// Ends all isolation. A leader that was cut off may then hang for good, as OpenBao 2.7.2 does
    /// in about half of the cases: [`Cluster::restart`] it.
    pub fn heal(&self) {
        self.links.heal();
    }

    /// Replaces the secrets engine by an empty one of this version. Waits until each node that runs
    /// has it.
    pub fn mount(&self, version: u8) {
        self.root("DELETE", "sys/mounts/secret", None);
        let options = json!({ "type": "kv", "options": { "version": version.to_string() } });
        self.root("POST", "sys/mounts/secret", Some(&options));
        for node in (0..self.nodes.len()).filter(|node| self.serves(*node)) {
            // Until then it has no route, or is upgrading.
            self.until("a node to have the secrets engine", || {
                let answer = self.ask(node, "GET", SECRET, None)?;
                (answer.body.trim() == r#"{"errors":[]}"#).then_some(())
            });
        }
    }

    /// Revokes the token that may read and update the secret.
    pub fn revoke_token(&self) {
        let token = json!({ "token": self.token() });
        self.root("POST", "auth/token/revoke", Some(&token));
    }

    /// Issues a new token that may read and update the secret. Waits until each node that runs knows
    /// it.
    pub fn renew_token(&self) {
        let body = json!({ "policies": ["aac"], "no_default_policy": true });
        let answer = self.root("POST", "auth/token/create", Some(&body));
        let token = answer.json()["auth"]["client_token"].as_str().unwrap().to_owned();
        for node in (0..self.nodes.len()).filter(|node| self.serves(*node)) {
            self.until("a node to know the token", || {
                let headers = [("X-Vault-Token", token.as_str())];
                let answer = self.send(node, "GET", SECRET, &headers, "").ok()?;
                matches!(answer.status, 200 | 404).then_some(())
            });
        }
        *self.token.lock().unwrap() = token;
    }

    /// Writes a document, as `bao kv put` does. Returns its version.
    pub fn put(&self, document: &Value) -> u64 {
        let answer = self.root("POST", SECRET, Some(&json!({ "data": document })));
        answer.json()["data"]["version"].as_u64().unwrap()
    }

    /// The current version and its document, from the leader.
    pub fn get(&self) -> Option<(u64, Value)> {
        let data = self.root("GET", SECRET, None).json()["data"].take();
        Some((data["metadata"]["version"].as_u64()?, data["data"].clone()))
    }

    /// Deletes the current version. It can be undeleted.
    pub fn delete(&self) {
        self.root("DELETE", SECRET, None);
    }

    /// Makes a deleted version readable again.
    pub fn undelete(&self, version: u64) {
        self.root("POST", "secret/undelete/aac", Some(&json!({ "versions": [version] })));
    }

    /// Removes the document of a version for good.
    pub fn destroy(&self, version: u64) {
        self.root("POST", "secret/destroy/aac", Some(&json!({ "versions": [version] })));
    }

    /// Removes the secret with all its versions.
    pub fn delete_metadata(&self) {
        self.root("DELETE", "secret/metadata/aac", None);
    }

    /// Changes settings of the secret, such as `delete_version_after`.
    pub fn set_metadata(&self, settings: &Value) {
        self.root("POST", "secret/metadata/aac", Some(settings));
    }
}

/// The configuration of a node. `peers` is where it listens for the others, who reach it at `link`.
fn config(folder: &Path, node: usize, addresses: &[String], peers: u16, link: u16) -> String {
    // HCL's strings are written like those of JSON.
    let path = |name: &str| json!(folder.join(name).to_str().unwrap());
    let ca = path("ca.pem");
    let others = addresses.iter().enumerate().filter(|(other, _)| *other != node);
    let join: String = others
        .map(|(_, address)| {
            format!(
                "  retry_join {{\n    leader_api_addr = {address:?}\n    \
                 leader_ca_cert_file = {ca}\n  }}\n"
            )
        })
        .collect();
    let api = addresses[node].trim_start_matches("https://");
    let address = &addresses[node];
    let (certificate, key) = (path("server.pem"), path("server.key"));
    // The paths below are in the node's folder: the options of an audit log must be the same at all
    // nodes.
    format!(
        r#"
ui = false
api_addr = "{address}"
cluster_addr = "https://127.0.0.1:{link}"
storage "raft" {{
  path = "data"
  node_id = "node{node}"
{join}}}
listener "tcp" {{
  address = "{api}"
  cluster_address = "127.0.0.1:{peers}"
  tls_cert_file = {certificate}
  tls_key_file = {key}
}}
audit "file" "to-file" {{
  options {{
    file_path = "audit.log"
  }}
}}
"#
    )
}
