//! Tokens in a real vault: a cluster of three OpenBao servers, with real processes on several machines, and
//! the sandbox as Alteryx Cloud. What must hold when programs and servers are killed, stopped and cut off.
//!
//! It takes a quarter of an hour, and less with fewer rounds (default 20) and kills (default 200, and half as
//! many with a grace period). `AAC_TEST_ROWS` names the rows to take, such as `races,kills`:
//!
//! ```text
//! cargo test -p aac-auth --test vault cluster -- --ignored --nocapture --test-threads 1
//! AAC_TEST_ROUNDS=2 AAC_TEST_KILLS=12 cargo test -p aac-auth --test vault rows -- --ignored --nocapture
//! ```

use crate::{PAGE, PATIENCE, SOON, TAKEOVER, WAITS};
use aac_sandbox::{Hold, Options, Sandbox, Tokens};
use acceptance::cluster::{Cluster, SECRET};
use acceptance::{Run, Running, answered, in_other_times, program, repository};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than a new leader takes to be elected, on a machine that does much else.
const FAILOVER: Duration = Duration::from_secs(90);

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn random(below: usize) -> usize {
    RandomState::new().build_hasher().finish() as usize % below
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cluster, and what is to be searched for tokens.
struct Lab {
    cluster: Arc<Cluster>,
    outputs: Mutex<Vec<String>>,
    tokens: Mutex<HashSet<String>>,
}

impl Lab {
    fn start() -> Option<Self> {
        let start = Instant::now();
        let cluster = Arc::new(Cluster::start(3)?);
        println!("three voters after {:.0?}", start.elapsed());
        let tokens = HashSet::from([cluster.root_token().to_owned()]);
        Some(Self { cluster, outputs: Mutex::default(), tokens: Mutex::new(tokens) })
    }

    /// All nodes serve again.
    fn mend(&self) {
        self.cluster.heal();
        for node in 0..self.cluster.size() {
            if !self.cluster.serves(node) {
                self.cluster.restart(node);
            }
        }
        self.cluster.wait_for_leader();
    }

    /// The requests about the secret that programs have made so far, by the audit log.
    fn requests(&self) -> usize {
        let audit = self.cluster.audit_log();
        let is_ours = |line: &&str| {
            line.contains(r#""type":"request""#)
                && line.contains(&format!(r#""path":"{SECRET}""#))
                && !line.contains(r#""display_name":"root""#)
        };
        audit.lines().filter(is_ours).count()
    }

    /// Checks that no output and no log has twelve characters in a row of a token.
    fn assert_no_token_shows(&self) {
        let tokens = lock(&self.tokens);
        let parts: HashSet<_> =
            tokens.iter().flat_map(|token| token.as_bytes().windows(12)).collect();
        let outputs = lock(&self.outputs);
        let servers: Vec<_> = (0..self.cluster.size()).map(|node| self.cluster.log(node)).collect();
        let audit = self.cluster.audit_log();
        assert!(audit.contains("hmac-sha256:") && audit.contains(SECRET));
        let texts = outputs.iter().chain(&servers).chain([&audit]);
        let (mut words, mut size) = (HashSet::new(), 0);
        for text in texts {
            size += text.len();
            let split = |character: char| {
                !character.is_ascii_alphanumeric() && !['.', '_', '-'].contains(&character)
            };
            words.extend(text.split(split).filter(|word| word.len() >= 12));
        }
        for word in &words {
            let shows = word.as_bytes().windows(12).any(|part| parts.contains(part));
            assert!(!shows, "a token shows: {}…", &word[..12]);
        }
        println!(
            "{} tokens; {} outputs, server logs and audit logs of {} MB, {} words: no token",
            tokens.len(),
            outputs.len(),
            size / 1_000_000,
            words.len()
        );
    }
}

/// The way to the vault: a proxy for TCP, as a load balancer is one.
struct Way {
    address: String,
    shared: Arc<WayState>,
    watch: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct WayState {
    state: Mutex<Ways>,
    changed: Condvar,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Ways {
    /// `127.0.0.1:PORT` of a node; none where no node serves.
    target: Option<String>,
    /// Those of the programs, by the order in which they came.
    connections: HashMap<usize, TcpStream>,
}

impl Way {
    fn new(target: Option<&str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let shared = Arc::<WayState>::default();
        lock(&shared.state).target = target.map(host_and_port);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if accepting.is_closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    carry(&shared, number, client.unwrap());
                    lock(&shared.state).connections.remove(&number);
                });
            }
        });
        Self { address, shared, watch: None }
    }

    /// To a node.
    fn to(address: &str) -> Self {
        Self::new(Some(address))
    }

    /// To the node that leads, as a load balancer finds it: by asking each node for its health.
    fn to_the_leader(cluster: &Arc<Cluster>) -> Self {
        let mut way = Self::new(None);
        let (cluster, shared) = (Arc::clone(cluster), Arc::clone(&way.shared));
        let watch = move || {
            while !shared.is_closed.load(Ordering::SeqCst) {
                let is_active = |node: &usize| {
                    let second = Duration::from_secs(1);
                    let answer = cluster.send_within(second, *node, "GET", "sys/health", &[], "");
                    answer.is_ok_and(|answer| answer.status == 200)
                };
                let active = (0..cluster.size()).find(is_active);
                let target = active.map(|node| host_and_port(cluster.address(node)));
                let mut state = lock(&shared.state);
                if state.target != target {
                    state.target = target;
                    shared.changed.notify_all();
                    for (_, connection) in state.connections.drain() {
                        // It may be gone already.
                        let _ = connection.shutdown(Shutdown::Both);
                    }
                }
                drop(state);
                thread::sleep(Duration::from_millis(250));
            }
        };
        way.watch = Some(thread::spawn(watch));
        way
    }

    fn wait_for_target(&self) {
        let state = lock(&self.shared.state);
        let waited =
            self.shared.changed.wait_timeout_while(state, SOON, |state| state.target.is_none());
        assert!(!waited.unwrap_or_else(PoisonError::into_inner).1.timed_out(), "no leader");
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(host_and_port(&self.address));
    }
}

fn host_and_port(url: &str) -> String {
    url.strip_prefix("https://").unwrap().to_owned()
}

/// Carries a connection to where the way leads now.
fn carry(shared: &WayState, number: usize, client: TcpStream) {
    let Some(target) = lock(&shared.state).target.clone() else { return };
    let Ok(server) = TcpStream::connect(&target) else { return };
    {
        let mut state = lock(&shared.state);
        if state.target.as_ref() != Some(&target) {
            return;
        }
        state.connections.insert(number, client.try_clone().unwrap());
    }
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut &client, &mut &server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
}

/// Machines that share the tokens of the secret: each is a folder, and a way to the vault.
struct Fleet<'a> {
    lab: &'a Lab,
    sandbox: Sandbox,
    /// Those that the secret held first.
    tokens: Tokens,
    machines: Vec<(TempDir, Way)>,
    environment: Vec<(&'static str, String)>,
}

impl<'a> Fleet<'a> {
    /// With an expired access token. Each machine asks another node.
    fn new(lab: &'a Lab, options: Options, machines: usize) -> Self {
        let sandbox = Sandbox::start(options).unwrap();
        let tokens = sandbox.issue_expired();
        let mut fleet =
            Self { lab, sandbox, tokens, machines: Vec::new(), environment: Vec::new() };
        for machine in 0..machines {
            let folder = tempfile::tempdir().unwrap();
            fleet.sandbox.write_files(folder.path(), &fleet.tokens).unwrap();
            let pointer = json!({ "vault": SECRET }).to_string();
            fs::write(folder.path().join("creds.json"), pointer).unwrap();
            let way = Way::to(lab.cluster.address(machine % lab.cluster.size()));
            fleet.machines.push((folder, way));
        }
        fleet.put(&fleet.tokens);
        fleet
    }

    fn expired(lab: &'a Lab, machines: usize) -> Self {
        Self::new(lab, Options::default(), machines)
    }

    /// With this variable for all programs.
    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// All machines ask whoever leads.
    fn behind_a_balancer(mut self) -> Self {
        for (_, way) in &mut self.machines {
            *way = Way::to_the_leader(&self.lab.cluster);
        }
        for (_, way) in &self.machines {
            way.wait_for_target();
        }
        self
    }

    /// With a machine whose folder cannot have a lock, as if it were read-only: root may write there.
    fn without_lock_on(self, machine: usize) -> Self {
        let lock = self.path(machine, "creds.json.lock");
        symlink("missing/lock", lock).unwrap();
        self
    }

    /// Pastes tokens into the secret, and waits until every node has them.
    fn put(&self, tokens: &Tokens) {
        let Tokens { access_token, refresh_token } = tokens;
        let document = json!({ "access_token": access_token, "refresh_token": refresh_token });
        self.lab.cluster.put(&document);
        self.lab.cluster.wait_for_all();
        self.secret();
    }

    fn path(&self, machine: usize, name: &str) -> PathBuf {
        self.machines[machine].0.path().join(name)
    }

    fn has_journal(&self, machine: usize) -> bool {
        self.path(machine, "creds.json.rotation").is_file()
    }

    /// Whether a response is in the machine's journal.
    fn has_response(&self, machine: usize) -> bool {
        let journal = fs::read(self.path(machine, "creds.json.rotation"));
        journal.is_ok_and(|journal| answered(&journal).is_some())
    }

    fn program(&self, machine: usize, name: &str) -> Command {
        let (folder, way) = &self.machines[machine];
        let cluster = &self.lab.cluster;
        let is_in_other_times =
            self.environment.iter().any(|(name, _)| [TAKEOVER, PATIENCE].contains(name));
        let program = if is_in_other_times { in_other_times() } else { program(name) };
        let mut command = acceptance::clean(program);
        command
            .arg("-v")
            .env("AAC_DIR", folder.path())
            .env("VAULT_ADDR", &way.address)
            .env("VAULT_TOKEN", cluster.token())
            .env("VAULT_CACERT", cluster.ca())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        lock(&self.lab.tokens).insert(cluster.token());
        command
    }

    /// Runs get_workspace on a machine.
    fn run(&self, machine: usize) -> Run {
        self.end(self.start(machine))
    }

    /// Starts it.
    fn start(&self, machine: usize) -> Running {
        Running::of(&mut self.program(machine, "get_workspace"))
    }

    /// Starts one, and waits until its refresh is with the authorization server.
    #[track_caller]
    fn start_until(&self, machine: usize, hold: &Hold) -> Running {
        let running = self.start(machine);
        if !hold.wait_for_request(SOON) {
            panic!("it does not send: {}", self.end(running).stderr);
        }
        running
    }

    /// Waits for its end.
    fn end(&self, running: Running) -> Run {
        let run = running.end();
        let mut outputs = lock(&self.lab.outputs);
        outputs.push(run.stdout.clone());
        outputs.push(run.stderr.clone());
        run
    }

    /// The document in the secret.
    fn secret(&self) -> Value {
        let (_, document) = self.lab.cluster.get().expect("a secret");
        for name in ["access_token", "refresh_token"] {
            lock(&self.lab.tokens).extend(document[name].as_str().map(str::to_owned));
        }
        document
    }

    fn refresh_token(&self) -> String {
        self.secret()["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Checks that the secret holds one live pair and no note, after so many uses of a token.
    #[track_caller]
    fn assert_settled(&self, sends: u64) {
        let counters = self.sandbox.counters();
        assert_eq!((counters.token_requests, counters.reused), (sends, 0));
        self.assert_live();
    }

    /// Checks that the secret holds a live pair and no note.
    #[track_caller]
    fn assert_live(&self) {
        let mut secret = self.secret();
        let is_live =
            |secret: &Value| self.sandbox.is_live(secret["refresh_token"].as_str().unwrap());
        // A leader that has lost its place may serve a read before it notices.
        let start = Instant::now();
        while !is_live(&secret) && start.elapsed() < SOON {
            thread::sleep(Duration::from_millis(200));
            secret = self.secret();
        }
        assert!(is_live(&secret));
        let fields: Vec<_> = secret.as_object().unwrap().keys().collect();
        for note in ["aac_claim", "aac_failed", "aac_refused"] {
            assert!(secret[note].is_null(), "{fields:?}");
        }
    }
}

impl Drop for Fleet<'_> {
    /// Keeps what was sent, to search for it.
    fn drop(&mut self) {
        let mut tokens = lock(&self.lab.tokens);
        for request in self.sandbox.requests() {
            let bearer =
                request.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
            tokens.extend(bearer.map(str::to_owned));
            let form = form_urlencoded::parse(&request.body);
            let sent = form.filter(|(name, _)| name == "refresh_token");
            tokens.extend(sent.map(|(_, token)| token.into_owned()));
        }
    }
}

type Row = fn(&Lab);

/// The rows of the table of what must hold, in the order in which they are taken.
const ROWS: [(&str, Row); 7] = [
    ("races", races),
    ("then", while_a_response_is_on_its_way),
    ("readme", what_the_readme_says),
    ("leader", leaders_that_go),
    ("standbys", standbys_without_a_leader),
    ("away", a_vault_that_is_of_no_use),
    ("kills", kills),
];

#[test]
#[ignore = "needs bao; a quarter of an hour: see the head of this file"]
fn rows_of_the_table_hold() {
    let named = env::var("AAC_TEST_ROWS").unwrap_or_default();
    let named: Vec<_> = named.split(',').filter(|name| !name.is_empty()).collect();
    for name in &named {
        assert!(ROWS.iter().any(|(row, _)| row == name), "AAC_TEST_ROWS: there is no {name}");
    }
    let Some(lab) = Lab::start() else { return };
    let mut failures = Vec::new();
    for (name, row) in ROWS {
        if !named.is_empty() && !named.contains(&name) {
            continue;
        }
        println!("\n{name}");
        let start = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| row(&lab))) {
            println!("FAILED: {name}");
            failures.push(panic);
        }
        lab.mend();
        println!("{name}: {:.0?}", start.elapsed());
    }
    println!();
    lab.assert_no_token_shows();
    if let Some(panic) = failures.pop() {
        resume_unwind(panic);
    }
}

/// 64 programs on 4 machines at an expired token; every other round with folders that cannot be written.
fn races(lab: &Lab) {
    let (mut requests, mut times) = (Vec::new(), Vec::new());
    for round in 0..number("AAC_TEST_ROUNDS", 20) {
        let options = Options { latency: Duration::from_millis(150), ..Options::default() };
        let mut fleet = Fleet::new(lab, options, 4);
        if round % 2 == 1 {
            fleet = (0..4).fold(fleet, Fleet::without_lock_on);
        }
        let before = lab.requests();
        let start = Instant::now();
        let programs: Vec<_> = (0..60).map(|number| fleet.start(number % 4)).collect();
        let start_shell = |machine| Running::of(&mut fleet.program(machine, "access_token"));
        let shells: Vec<_> = (0..4).map(start_shell).collect();
        for running in programs {
            fleet.end(running).assert_ok();
        }
        // It prints the token, and nothing of it to standard error.
        let token = |shell: Running| {
            let run = shell.end();
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            lock(&lab.outputs).push(run.stderr);
            run.stdout.trim().to_owned()
        };
        let printed: HashSet<_> = shells.into_iter().map(token).collect();
        times.push(start.elapsed());
        let access_token = fleet.secret()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(printed, HashSet::from([access_token]));
        assert_eq!(fleet.sandbox.counters().api_calls, 60);
        fleet.assert_settled(1);
        requests.push(lab.requests() - before);
    }
    println!("64 programs, one refresh, {} rounds: {times:.1?}", times.len());
    println!("requests to the vault by all 64: {requests:?}");
    for is_read_only in [false, true] {
        let mut fleet = Fleet::expired(lab, 3);
        if is_read_only {
            fleet = (0..3).fold(fleet, Fleet::without_lock_on);
        }
        let count = |machine| {
            let before = lab.requests();
            fleet.run(machine).assert_ok();
            lab.requests() - before
        };
        let rotation = count(0);
        lab.cluster.wait_for_all();
        let calls = [0, 1, 2].map(count);
        println!("read-only {is_read_only}: a rotation {rotation} requests, later calls {calls:?}");
        assert!(rotation <= 6);
        assert_eq!(calls, [1, 1, 1]);
        fleet.assert_settled(1);
    }
}

/// What happens to the secret and to the vault's token while a response is on its way.
fn while_a_response_is_on_its_way(lab: &Lab) {
    for is_read_only in [false, true] {
        let fleet = |count| {
            let fleet = Fleet::expired(lab, count);
            if is_read_only { fleet.without_lock_on(0) } else { fleet }
        };
        let what = if is_read_only { "without a journal" } else { "with a journal" };

        let pasted = fleet(2);
        let hold = pasted.sandbox.hold_token_responses();
        let first = pasted.start_until(0, &hold);
        let tokens = pasted.sandbox.issue();
        pasted.put(&tokens);
        hold.release();
        pasted.end(first).assert_ok();
        assert_eq!(pasted.refresh_token(), tokens.refresh_token);
        assert_eq!(pasted.path(0, "creds.json.rotation.old").is_file(), !is_read_only);
        pasted.run(1).assert_ok();
        pasted.assert_settled(1);
        println!("new tokens pasted, {what}: they stay");

        let deleted = fleet(2);
        let hold = deleted.sandbox.hold_token_responses();
        let first = deleted.start_until(0, &hold);
        lab.cluster.delete();
        hold.release();
        deleted.end(first).assert_ok();
        deleted.assert_settled(1);
        lab.cluster.wait_for_all();
        deleted.run(1).assert_ok();
        deleted.assert_settled(1);
        println!("secret deleted, {what}: restored");

        // A token that an agent replaces in its file.
        let renewed = fleet(2);
        let home = renewed.path(0, "home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join(".vault-token"), lab.cluster.token()).unwrap();
        let hold = renewed.sandbox.hold_token_responses();
        let mut command = renewed.program(0, "get_workspace");
        let mut first = Running::of(command.env_remove("VAULT_TOKEN").env("HOME", &home));
        assert!(hold.wait_for_request(SOON));
        lab.cluster.revoke_token();
        hold.release();
        first.says("permission denied (HTTP 403); trying again");
        lab.cluster.renew_token();
        fs::write(home.join(".vault-token"), lab.cluster.token()).unwrap();
        renewed.end(first).assert_ok();
        renewed.assert_settled(1);
        println!("vault token revoked, renewed by an agent, {what}: committed");
    }

    let fleet = Fleet::expired(lab, 2).with(PATIENCE, 3);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start_until(0, &hold);
    lab.cluster.revoke_token();
    hold.release();
    let run = fleet.end(first);
    run.assert_ok();
    assert!(run.stderr.contains("saved in") && run.stderr.contains("HTTP 403"), "{}", run.stderr);
    assert!(fleet.has_response(0));
    fleet.run(1).assert_fails(1, &["HTTP 403", "capabilities = [\"read\", \"update\"]"]);
    lab.cluster.renew_token();
    fleet.run(0).assert_ok();
    assert!(!fleet.has_journal(0));
    fleet.assert_settled(1);
    println!("vault token revoked for good: journal, and committed by the next run there");
}

/// A fence of bash in VAULT.md, the first below a heading.
fn block(heading: &str) -> String {
    let readme = acceptance::read("crates/aac-auth/VAULT.md");
    let (_, section) = readme.split_once(&format!("# {heading}\n")).unwrap();
    let (_, block) = section.split_once("```bash\n").unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn what_the_readme_says(lab: &Lab) {
    let fleet = Fleet::expired(lab, 2);
    lab.cluster.delete_metadata();
    let (bin, folder) = (fleet.path(0, "bin"), fleet.path(0, "work"));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fleet.sandbox.write_files(&folder, &fleet.tokens).unwrap();
    // As if the folder were the repository: nothing is compiled twice, and its creds.json is left alone.
    let manifest = repository().join("Cargo.toml");
    let cargo = format!(
        "#!/bin/sh\nverb=$1; shift\nexec '{}' \"$verb\" --quiet --manifest-path '{}' \"$@\"\n",
        env!("CARGO"),
        manifest.display()
    );
    fs::write(bin.join("cargo"), cargo).unwrap();
    symlink(acceptance::cluster::bao().unwrap(), bin.join("bao")).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = vec![bin];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let bash = |script: &str| {
        let mut command = acceptance::clean("bash");
        let leader = lab.cluster.wait_for_leader();
        command
            .args(["-ec", script])
            .current_dir(&folder)
            .env("PATH", env::join_paths(&path).unwrap())
            .env("BAO_ADDR", lab.cluster.address(leader))
            .env("BAO_CACERT", lab.cluster.ca())
            .env("BAO_TOKEN", lab.cluster.root_token());
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, Some(0), "{script}{}{}", run.stdout, run.stderr);
        lock(&lab.outputs).extend([run.stdout.clone(), run.stderr.clone()]);
        run
    };
    let run = bash(&block("Many machines, one pair in a vault"));
    // Below what `bao kv put` prints.
    assert!(run.stdout.contains("\"name\": \"lukes-test-workspace\""), "{}", run.stdout);
    fleet.assert_settled(1);
    // Another machine, and the policy that the README shows.
    lab.cluster.wait_for_all();
    fleet.run(1).assert_ok();
    fleet.sandbox.revoke_access_tokens();
    fleet.run(1).assert_ok();
    fleet.assert_settled(2);

    bash(&block("Back to a file"));
    assert!(lab.cluster.get().is_none());
    let creds = fs::read_to_string(folder.join("creds.json")).unwrap();
    let creds: Value = serde_json::from_str(&creds).unwrap();
    assert!(fleet.sandbox.is_live(creds["refresh_token"].as_str().unwrap()));
    for refreshes in [2, 3] {
        let workspace = bash("cargo run -p get_workspace");
        workspace.assert_ok();
        assert_eq!(fleet.sandbox.counters().refreshes, refreshes);
        fleet.sandbox.revoke_access_tokens();
    }
    assert_eq!(fleet.sandbox.counters().reused, 0);
    println!("into the vault, on two machines, and back to a file");
}

/// The leader goes while a refresh is under way.
fn leaders_that_go(lab: &Lab) {
    let cluster = &lab.cluster;
    for how in ["killed", "stopped", "isolated"] {
        for is_read_only in [false, true] {
            let mut fleet = Fleet::expired(lab, 4).behind_a_balancer();
            if is_read_only {
                fleet = (0..4).fold(fleet, Fleet::without_lock_on);
            }
            let hold = fleet.sandbox.hold_token_responses();
            let first = fleet.start_until(0, &hold);
            let mut others: Vec<_> = (1..12).map(|number| fleet.start(number % 4)).collect();
            others.iter_mut().for_each(|other| other.says(WAITS));
            let leader = cluster.wait_for_leader();
            match how {
                "killed" => cluster.kill(leader),
                "stopped" => cluster.stop(leader),
                _ => {
                    if let Err(why) = cluster.isolate(leader) {
                        println!("isolation skipped: {why}");
                        return;
                    }
                }
            }
            let start = Instant::now();
            hold.release();
            for running in others.into_iter().chain([first]) {
                fleet.end(running).assert_ok();
            }
            let elapsed = start.elapsed();
            fleet.assert_settled(1);
            assert!((0..4).all(|machine| !fleet.has_journal(machine)));
            println!(
                "leader {how}, read-only {is_read_only}: 12 served within {elapsed:.1?}, 1 send"
            );
            assert!(elapsed < FAILOVER);
            if how == "stopped" {
                cluster.resume(leader);
            }
            lab.mend();
            // One that was cut off may hang for good.
            cluster.restart(leader);
            cluster.wait_for_all();
        }
    }
}

/// Whoever asks a standby is told for a while to ask the leader that is gone.
fn standbys_without_a_leader(lab: &Lab) {
    let cluster = &lab.cluster;
    let leader = cluster.wait_for_leader();
    let fleet = Fleet::expired(lab, 3);
    cluster.kill(leader);
    let start = Instant::now();
    let standbys: Vec<_> = (0..3).filter(|node| *node != leader).collect();
    let programs: Vec<_> = (0..8).map(|number| fleet.start(standbys[number % 2])).collect();
    for running in programs {
        fleet.end(running).assert_ok();
    }
    let elapsed = start.elapsed();
    println!("leader killed before the claim, by standbys: 8 served within {elapsed:.1?}, 1 send");
    fleet.assert_settled(1);
    assert!(elapsed < FAILOVER);
}

/// The vault does not respond, has no quorum, or is sealed.
fn a_vault_that_is_of_no_use(lab: &Lab) {
    let cluster = &lab.cluster;
    let nodes = 0..cluster.size();
    for is_read_only in [false, true] {
        let mut fleet = Fleet::expired(lab, 2);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let hold = fleet.sandbox.hold_token_responses();
        let mut first = fleet.start_until(0, &hold);
        let leader = cluster.wait_for_leader();
        nodes.clone().for_each(|node| cluster.stop(node));
        hold.release();
        first.says("trying again");
        assert_eq!(fleet.has_response(0), !is_read_only, "it is on the disk before");
        nodes.clone().for_each(|node| cluster.resume(node));
        let start = Instant::now();
        fleet.end(first).assert_ok();
        let elapsed = start.elapsed();
        fleet.assert_settled(1);
        // It may hang for good, as one that was cut off.
        cluster.restart(leader);
        cluster.wait_for_all();
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
        println!(
            "vault silent after the send, read-only {is_read_only}: committed {elapsed:.1?} after its return"
        );
    }

    // Reads go on, writes do not.
    let fleet = Fleet::expired(lab, 3).with(PATIENCE, 5);
    let alone = cluster.standby();
    nodes.clone().filter(|node| *node != alone).for_each(|node| cluster.kill(node));
    let run = fleet.run(alone);
    run.assert_fails(1, &["your tokens are unchanged", "secret/data/aac"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
    assert!(!fleet.has_journal(alone));
    println!("no quorum: 0 sends; {}", first_line(&run));
    lab.mend();
    cluster.wait_for_all();
    fleet.run(alone).assert_ok();
    fleet.assert_settled(1);

    let fleet = Fleet::expired(lab, 3).with(PATIENCE, 3);
    let standby = cluster.standby();
    cluster.seal(standby);
    let run = fleet.run(standby);
    run.assert_fails(1, &["sealed", "HTTP 503", "your tokens are unchanged", "secret/data/aac"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
    println!("sealed: 0 sends; {}", first_line(&run));
    cluster.unseal(standby);
    // It is right after this that it has no secret.
    fleet.run(standby).assert_ok();
    fleet.assert_settled(1);
}

fn first_line(run: &Run) -> String {
    let line = run.stderr.lines().find(|line| line.contains("unchanged"));
    line.unwrap_or_default().to_owned()
}

/// How far a program has come that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    NoClaim,
    Claimed,
    Sent,
    InTheJournal,
    Committed,
}

/// Kills at random moments; the next run is on the same machine or on another.
fn kills(lab: &Lab) {
    let kills = number("AAC_TEST_KILLS", 200);
    kill(lab, kills, false);
    kill(lab, kills.div_ceil(2), true);
}

fn kill(lab: &Lab, kills: usize, has_grace: bool) {
    let latency = Duration::from_millis(40);
    let grace = Duration::from_secs(if has_grace { 600 } else { 0 });
    let fleet = Fleet::new(lab, Options { latency, grace, ..Options::default() }, 3);
    let fleet = fleet.with(TAKEOVER, 2);
    // The first is slower than the others.
    let rotation = |_| {
        fleet.put(&fleet.sandbox.issue_expired());
        let start = Instant::now();
        fleet.run(0).assert_ok();
        start.elapsed()
    };
    let usual = (0..5).map(rotation).min().unwrap();
    let mut stages = BTreeMap::<_, [usize; 2]>::new();
    let mut longest = Duration::ZERO;
    for _ in 0..kills {
        // What an earlier round has left on a machine is not to help this one.
        for machine in 0..3 {
            let folder = fleet.machines[machine].0.path();
            let names = acceptance::names(folder).into_iter();
            for name in names.filter(|name| name.starts_with("creds.json.")) {
                fs::remove_file(folder.join(name)).unwrap();
            }
        }
        fleet.put(&fleet.sandbox.issue_expired());
        let before = fleet.sandbox.counters();
        let (machine, next) = (random(3), random(2));
        let next = if next == 0 { machine } else { (machine + 1) % 3 };
        let token = fleet.refresh_token();
        let first = fleet.start(machine);
        // It is the moment that is random.
        thread::sleep(usual.mul_f64(random(1200) as f64 / 1000.0));
        let code = first.kill().code();
        let has_response = fleet.has_response(machine);
        let secret = fleet.secret();
        let start = Instant::now();
        let run = fleet.run(next);
        longest = longest.max(start.elapsed());
        let counters = fleet.sandbox.counters();
        let sends = counters.token_requests - before.token_requests;
        let is_committed = secret["refresh_token"] != token;
        let progress = match () {
            () if is_committed => Progress::Committed,
            () if has_response => Progress::InTheJournal,
            () if secret["aac_claim"].is_null() => Progress::NoClaim,
            () if sends > 1 => Progress::Sent,
            () => Progress::Claimed,
        };
        let is_lost = run.code == Some(4);
        let counts = stages.entry((progress, next == machine)).or_default();
        counts[usize::from(is_lost)] += 1;
        // On another machine nobody sees the journal.
        let may_be_lost = !has_grace
            && (progress == Progress::Sent
                || progress == Progress::InTheJournal && next != machine);
        if is_lost {
            assert!(may_be_lost, "{progress:?}, exit {code:?}: {}", run.stderr);
            run.assert_fails(4, &["is refused", "It was sent before", PAGE]);
            assert_eq!(counters.reused - before.reused, 1);
        } else {
            run.assert_ok();
            assert_eq!(counters.reused, before.reused);
            fleet.assert_live();
        }
        // What the killed one has left behind is no obstacle to whatever comes next.
        assert!(sends <= 2, "{progress:?}");
    }
    println!(
        "{kills} kills, grace {has_grace}, within {usual:.2?}; the next run took {longest:.1?} at most"
    );
    for ((progress, is_same), [kept, lost]) in stages {
        let next = if is_same { "the same machine" } else { "another machine" };
        println!("  {progress:?}, next on {next}: {kept} kept, {lost} lost");
    }
}
