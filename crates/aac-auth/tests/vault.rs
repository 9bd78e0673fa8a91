//! Tokens in a vault, with real processes on several machines: each is a folder whose creds.json names
//! the same secret.

use aac_sandbox::{Fault, FaultKind, Operation, Options, Sandbox, Tokens, VaultOptions};
use acceptance::{Run, Running, in_other_times, names, program};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PAGE: &str = "/cloud-portal/preferences/oauth2-api-tokens";
const SOON: Duration = Duration::from_secs(30);
/// Shortens the time until a holder counts as dead, for [`acceptance::in_other_times`].
const TAKEOVER: &str = "AAC_TEST_TAKEOVER_SECONDS";
/// Bounds how long the vault is tried, for the same.
const PATIENCE: &str = "AAC_TEST_PATIENCE_SECONDS";

/// Machines that share the tokens of one secret.
struct Fleet {
    sandbox: Sandbox,
    /// Those that the secret held first.
    tokens: Tokens,
    machines: Vec<TempDir>,
    environment: Vec<(&'static str, String)>,
}

impl Fleet {
    fn new(options: Options, is_expired: bool, machines: usize) -> Self {
        let vault = Some(options.vault.clone().unwrap_or_default());
        let sandbox = Sandbox::start(Options { vault, ..options }).unwrap();
        let tokens = if is_expired { sandbox.issue_expired() } else { sandbox.issue() };
        sandbox.vault().put_tokens(&tokens);
        let mut fleet = Self { sandbox, tokens, machines: Vec::new(), environment: Vec::new() };
        for _ in 0..machines {
            let folder = tempfile::tempdir().unwrap();
            fleet.sandbox.write_files(folder.path(), &fleet.tokens).unwrap();
            fleet.machines.push(folder);
            let pointer = json!({ "vault": fleet.sandbox.vault().path() });
            fs::write(fleet.path(fleet.machines.len() - 1, "creds.json"), pointer.to_string())
                .unwrap();
        }
        fleet
    }

    /// With a fresh access token.
    fn fresh(machines: usize) -> Self {
        Self::new(Options::default(), false, machines)
    }

    /// With an expired access token.
    fn expired(machines: usize) -> Self {
        Self::new(Options::default(), true, machines)
    }

    /// With an access token that is to be renewed, and still valid for a while.
    fn old(machines: usize) -> Self {
        let options = Options { token_lifetime: 300, clock_offset: -250, ..Options::default() };
        Self::new(options, false, machines)
    }

    /// With this variable for all programs.
    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// With a machine whose folder cannot have a lock, as if it were read-only: root may write there.
    fn without_lock_on(self, machine: usize) -> Self {
        let lock = self.path(machine, "creds.json.lock");
        #[cfg(unix)]
        std::os::unix::fs::symlink("missing/lock", lock).unwrap();
        #[cfg(not(unix))]
        fs::create_dir(lock).unwrap();
        self
    }

    fn path(&self, machine: usize, name: &str) -> PathBuf {
        self.machines[machine].path().join(name)
    }

    fn has_journal(&self, machine: usize) -> bool {
        self.path(machine, "creds.json.rotation").is_file()
    }

    fn program(&self, machine: usize, name: &str) -> Command {
        let is_in_other_times =
            self.environment.iter().any(|(name, _)| [TAKEOVER, PATIENCE].contains(name));
        self.start_of(machine, if is_in_other_times { in_other_times() } else { program(name) })
    }

    fn start_of(&self, machine: usize, program: &Path) -> Command {
        let mut command = acceptance::clean(program);
        command.env("AAC_DIR", self.machines[machine].path());
        command.envs(self.sandbox.vault().environment());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn command(&self, machine: usize) -> Command {
        let mut command = self.program(machine, "get_workspace");
        command.arg("-v");
        command
    }

    /// Runs get_workspace on a machine.
    #[track_caller]
    fn run(&self, machine: usize) -> Run {
        self.check(Run::of(&mut self.command(machine)))
    }

    /// Starts it.
    fn start(&self, machine: usize) -> Running {
        Running::of(&mut self.command(machine))
    }

    /// Waits for its end.
    #[track_caller]
    fn end(&self, running: Running) -> Run {
        self.check(running.end())
    }

    /// Checks that an output shows no token that the secret has ever held, nor the vault's own.
    #[track_caller]
    fn check(&self, run: Run) -> Run {
        let vault = self.sandbox.vault();
        let documents = vault.versions().into_iter().filter_map(|version| version.data);
        let mut tokens = vec![vault.token(), vault.root_token()];
        tokens.extend([self.tokens.access_token.clone(), self.tokens.refresh_token.clone()]);
        for document in documents {
            let token = |name: &str| document[name].as_str().map(str::to_owned);
            tokens.extend([token("access_token"), token("refresh_token")].into_iter().flatten());
        }
        run.assert_hides(&tokens.iter().map(String::as_str).collect::<Vec<_>>());
        run
    }

    /// The document in the secret.
    fn secret(&self) -> Value {
        self.sandbox.vault().read().unwrap().data.unwrap()
    }

    fn refresh_token(&self) -> String {
        self.secret()["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Checks that the secret holds one live pair and no note.
    #[track_caller]
    fn assert_settled(&self, refreshes: u64) {
        let counters = self.sandbox.counters();
        assert_eq!((counters.refreshes, counters.reused), (refreshes, 0));
        assert!(self.sandbox.is_live(&self.refresh_token()));
        let notes = ["aac_claim", "aac_failed", "aac_refused"];
        let fields = fields(&self.secret());
        assert!(notes.iter().all(|note| !fields.iter().any(|field| field == note)), "{fields:?}");
    }

    fn requests(&self) -> u64 {
        let counters = self.sandbox.vault().counters();
        counters.reads + counters.writes + counters.others
    }
}

fn fields(document: &Value) -> Vec<String> {
    document.as_object().unwrap().keys().cloned().collect()
}

/// Past the age up to which a claim is a permission to send.
const PAST_THE_GATE: Duration = Duration::from_millis(5500);
const WAITS: &str = "waiting for another program";

#[test]
fn a_fresh_token_costs_one_request_and_writes_nothing() {
    let fleet = Fleet::fresh(1);
    let before = names(fleet.machines[0].path());
    fleet.run(0).assert_ok();
    assert_eq!(fleet.requests(), 1);
    assert_eq!(fleet.sandbox.vault().counters().applied, 1, "the user's own");
    assert_eq!(names(fleet.machines[0].path()), before);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_client_with_many_calls_asks_the_vault_once() {
    let fleet = Fleet::new(Options { users: 50, ..Options::default() }, false, 1);
    let run = fleet.check(Run::of(fleet.program(0, "list_users").args(["--page-size", "5"])));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(fleet.sandbox.counters().api_calls >= 10);
    assert_eq!(fleet.requests(), 1);
}

#[test]
fn threads_that_wait_for_a_vault_do_not_wait_for_one_another() {
    let fleet = Fleet::fresh(1).with(PATIENCE, 2);
    fleet.sandbox.add_fault(Fault::vault(FaultKind::Sealed).always());
    let mut command = fleet.command(0);
    command.args(["--threads", "8"]);
    let start = Instant::now();
    let run = fleet.check(Run::of(&mut command));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("the vault is sealed"), "{}", run.stderr);
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[test]
fn a_client_follows_creds_json_to_another_secret() {
    let fleet = Fleet::new(Options { users: 50, ..Options::default() }, false, 1);
    let hold = fleet.sandbox.vault().hold(Operation::Read);
    let mut list = fleet.program(0, "list_users");
    let list = Running::of(list.args(["-v", "--page-size", "5"]));
    assert!(hold.wait_for_request(SOON));
    // From now on it names a secret that is not there.
    let pointer = json!({ "vault": "secret/data/other" }).to_string();
    fs::write(fleet.path(0, "creds.json"), pointer).unwrap();
    hold.release();
    let run = fleet.check(list.end());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("secret/data/other"), "{}", run.stderr);
}

#[test]
fn a_refresh_takes_at_most_six_requests_which_follow_its_own_writes() {
    for is_read_only in [false, true] {
        let mut fleet = Fleet::expired(1);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        fleet.run(0).assert_ok();
        assert!(fleet.requests() <= 6, "{}", fleet.requests());
        fleet.assert_settled(1);
        assert!(!fleet.has_journal(0));
        let requests = fleet.sandbox.vault().requests();
        let first = requests.iter().position(|request| request.operation == Some(Operation::Write));
        for (number, request) in requests.iter().enumerate() {
            assert_eq!(request.header("x-vault-request"), Some("true"));
            let is_later = number > first.unwrap();
            assert_eq!(request.header("x-vault-index").is_some(), is_later, "{number}");
            let forward = is_later.then_some("forward-active-node");
            assert_eq!(request.header("x-vault-inconsistent"), forward, "{number}");
        }
        // The next run finds it, on whatever machine.
        let before = fleet.requests();
        fleet.run(0).assert_ok();
        assert_eq!(fleet.requests(), before + 1);
    }
}

#[test]
fn sixty_four_programs_on_four_machines_make_one_refresh() {
    for is_read_only in [false, true] {
        let options = Options { latency: Duration::from_millis(150), ..Options::default() };
        let mut fleet = Fleet::new(options, true, 4);
        if is_read_only {
            fleet = (0..4).fold(fleet, Fleet::without_lock_on);
        }
        let programs: Vec<_> = (0..64).map(|number| fleet.start(number % 4)).collect();
        for running in programs {
            fleet.end(running).assert_ok();
        }
        let counters = fleet.sandbox.counters();
        assert_eq!((counters.token_requests, counters.api_calls), (1, 64));
        fleet.assert_settled(1);
    }
}

/// Runs all these cases at the same time: most of it is waiting.
fn each<T: Copy + Send + Sync>(cases: &[T], run: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for &case in cases {
            let run = &run;
            scope.spawn(move || run(case));
        }
    });
}

/// The fault, the exit code, the words.
type FaultCase = (FaultKind, i32, &'static [&'static str]);

/// Runs each, with an expired token, at the same time.
fn with_each(cases: &[FaultCase], fault: impl Fn(&FaultKind) -> Fault + Sync, refreshes: u64) {
    thread::scope(|scope| {
        for (kind, code, words) in cases {
            let fault = &fault;
            scope.spawn(move || {
                let fleet = Fleet::expired(2);
                fleet.sandbox.add_fault(fault(kind));
                let run = fleet.run(0);
                assert_eq!(run.code, Some(*code), "{kind:?}: {}", run.stderr);
                for word in *words {
                    assert!(run.stderr.contains(word), "{kind:?}: {word:?}: {}", run.stderr);
                }
                if *code == 0 {
                    run.assert_ok();
                    assert_eq!(fleet.sandbox.counters().refreshes, refreshes, "{kind:?}");
                } else {
                    let named = "the secret secret/data/aac in the vault at http://127.0.0.1";
                    assert!(run.stderr.contains(named), "{kind:?}: {}", run.stderr);
                    assert_eq!(fleet.sandbox.counters().token_requests, 0, "{kind:?}");
                }
                // Nothing stays that keeps another machine waiting.
                fleet.sandbox.clear_faults();
                let start = Instant::now();
                fleet.run(1).assert_ok();
                assert!(start.elapsed() < SOON, "{kind:?}: it had to wait");
                fleet.assert_settled(1);
            });
        }
    });
}

#[test]
fn every_fault_of_a_read_is_overcome_or_told() {
    use FaultKind as K;
    const PROXY: &[&str] =
        &["not a response of a vault", "VAULT_ADDR", "your tokens are unchanged"];
    let cases: [FaultCase; 25] = [
        (K::Stale, 0, &[]),
        (K::NotFound, 0, &[]),
        (K::Sealed, 0, &["sealed"]),
        (K::TooManyRequests(1), 0, &["limits the rate"]),
        (K::ServerError, 0, &["HTTP 500"]),
        (K::BadGateway, 0, &["HTTP 502"]),
        (K::Unavailable(1), 0, &["HTTP 503"]),
        (K::GatewayTimeout, 0, &["HTTP 504"]),
        (K::ResetBefore, 0, &["cannot be reached"]),
        (K::ResetAfter, 0, &["cannot be reached"]),
        (K::Cut, 0, &["cannot be reached"]),
        (K::Hang, 0, &["timed out"]),
        (K::HangAfter, 0, &["timed out"]),
        (K::Slow(1), 0, &[]),
        (K::SlowBody(1), 0, &[]),
        (K::CutClose, 1, PROXY),
        (K::Garbled, 1, PROXY),
        (K::HtmlPage, 1, PROXY),
        (K::Empty, 1, PROXY),
        (K::Huge, 1, PROXY),
        (K::Redirect("http://127.0.0.1:9/v1/x".to_owned()), 0, &["HTTP 307"]),
        (K::BadRequest, 0, &["HTTP 400"]),
        (
            K::Forbidden,
            1,
            &["permission denied (HTTP 403)", "capabilities = [\"read\", \"update\"]"],
        ),
        (K::Gone, 1, &["HTTP 410"]),
        (K::TooLarge, 1, &["HTTP 413"]),
    ];
    with_each(&cases, |kind| Fault::vault_read(kind.clone()), 1);
}

#[test]
fn every_fault_of_a_claim_is_overcome_or_told() {
    use FaultKind as K;
    let cases: [FaultCase; 22] = [
        (K::Stale, 0, &[]),
        (K::CasMismatch, 0, &["HTTP 400"]),
        (K::AppliedLater(0), 0, &[]),
        (K::AppliedLater(1), 0, &[]),
        (K::AppliedLater(2), 0, &[]),
        (K::NoQuorum, 0, &["active cluster node not found"]),
        (K::Sealed, 0, &["sealed"]),
        (K::TooManyRequests(1), 0, &["limits the rate"]),
        (K::ServerError, 0, &["HTTP 500"]),
        (K::BadGateway, 0, &["HTTP 502"]),
        (K::Unavailable(1), 0, &["HTTP 503"]),
        (K::GatewayTimeout, 0, &["HTTP 504"]),
        (K::ResetBefore, 0, &["cannot be reached"]),
        (K::ResetAfter, 0, &[]),
        (K::Cut, 0, &[]),
        (K::CutClose, 0, &[]),
        (K::Garbled, 0, &[]),
        (K::Empty, 0, &[]),
        (K::Hang, 0, &["timed out"]),
        (K::HangAfter, 0, &[]),
        (
            K::Forbidden,
            1,
            &[
                "permission denied (HTTP 403); your tokens are unchanged",
                "path \"secret/data/aac\" { capabilities = [\"read\", \"update\"] }",
            ],
        ),
        (K::Redirect("http://127.0.0.1:9/v1/x".to_owned()), 0, &["HTTP 307"]),
    ];
    with_each(&cases, |kind| Fault::vault_write(kind.clone()), 1);
}

#[test]
fn every_fault_of_a_commit_is_overcome() {
    use FaultKind as K;
    let cases = [
        K::Stale,
        K::CasMismatch,
        K::AppliedLater(0),
        K::AppliedLater(1),
        K::AppliedLater(2),
        K::AppliedLater(3),
        K::NoQuorum,
        K::Sealed,
        K::TooManyRequests(1),
        K::ServerError,
        K::BadGateway,
        K::Unavailable(1),
        K::ResetBefore,
        K::ResetAfter,
        K::Cut,
        K::CutClose,
        K::Garbled,
        K::HtmlPage,
        K::Empty,
        K::Huge,
        K::Hang,
        K::HangAfter,
        K::Forbidden,
        K::Redirect("http://127.0.0.1:9/v1/x".to_owned()),
    ];
    let cases: Vec<FaultCase> = cases.into_iter().map(|kind| (kind, 0, &[][..])).collect();
    with_each(&cases, |kind| Fault::vault_write(kind.clone()).after(1), 1);
}

#[test]
fn a_standby_that_lags_behind_delays_a_refresh_and_no_more() {
    let fleet = Fleet::expired(3);
    let lag = fleet.sandbox.vault().lag();
    // What it writes it then sees, by the index of its own write.
    fleet.run(0).assert_ok();
    let mut others: Vec<_> = [1, 2].into_iter().map(|machine| fleet.start(machine)).collect();
    // They see the old version, and their claims are refused.
    others[0].says("HTTP 400");
    others[1].says("HTTP 400");
    drop(lag);
    for other in others {
        fleet.end(other).assert_ok();
    }
    fleet.assert_settled(1);
}

#[test]
fn a_standby_that_lags_behind_shows_no_older_copy() {
    let fleet = Fleet::expired(1);
    let lag = fleet.sandbox.vault().lag();
    fleet.run(0).assert_ok();
    // This machine knows that the token it sees has been used.
    let mut again = fleet.start(0);
    again.says("HTTP 400");
    drop(lag);
    fleet.end(again).assert_ok();
    fleet.assert_settled(1);
    // A rollback is one.
    fleet.sandbox.vault().rollback(1);
    fleet.run(0).assert_fails(4, &["older copy", "secret/data/aac", PAGE, "bao kv put secret/aac"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn a_node_that_was_just_unsealed_hides_a_secret_for_a_while() {
    let fleet = Fleet::expired(1);
    // Sealed for longer than that while.
    fleet.sandbox.add_fault(Fault::vault_read(FaultKind::Sealed).times(9));
    fleet.sandbox.add_fault(Fault::vault_read(FaultKind::NotFound));
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_secret_or_an_engine_of_no_use_is_told_with_its_cure() {
    let named = "the secret secret/data/aac in the vault at http://127.0.0.1";
    thread::scope(|scope| {
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            fleet.sandbox.vault().delete();
            let put = "bao kv put secret/aac \"@tokens.json\"";
            fleet.run(0).assert_fails(1, &[named, "it was deleted at 20", put, "Do not undelete"]);
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            fleet.sandbox.vault().destroy(1);
            fleet.run(0).assert_fails(1, &[named, "it was destroyed", "bao kv put secret/aac"]);
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            fleet.sandbox.vault().delete_metadata();
            let words =
                [named, "no such secret (HTTP 404)", "bao kv put secret/aac \"@tokens.json\""];
            fleet.run(0).assert_fails(1, &words);
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            fleet.sandbox.vault().set_delete_version_after(Some(Duration::from_secs(3600)));
            fleet.sandbox.vault().put_tokens(&fleet.sandbox.issue());
            let run = fleet.run(0);
            run.assert_ok();
            let warning = format!("warning: {named}");
            for words in [warning.as_str(), "is deleted at 20", "delete_version_after"] {
                assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
            }
        });
        scope.spawn(|| {
            let vault = Some(VaultOptions { kv_v1: true, ..VaultOptions::default() });
            let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 1);
            let words =
                ["the secret secret/aac in", "version 1", "bao kv enable-versioning secret."];
            fleet.run(0).assert_fails(1, &words);
            // Where someone has adapted the path alone.
            let vault = fleet.sandbox.vault();
            let secret = format!("{}/v1/secret/data/aac", vault.url());
            let tokens = acceptance::creds_with(&fleet.tokens);
            let token = vault.root_token();
            acceptance::agent()
                .post(&secret)
                .header("x-vault-token", &token)
                .send(&tokens)
                .unwrap();
            let fleet = fleet.with("VAULT_TOKEN", token);
            let pointer = json!({ "vault": "secret/data/aac" }).to_string();
            fs::write(fleet.path(0, "creds.json"), pointer).unwrap();
            let words = [named, "the engine is KV version 1", "bao kv enable-versioning secret."];
            fleet.run(0).assert_fails(1, &words);
            assert_eq!(fleet.sandbox.vault().counters().applied, 1, "that of the test");
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            let token = fleet.sandbox.vault().root_token();
            let fleet = fleet.with("VAULT_TOKEN", token);
            for (path, words) in [
                ("secret/aac", &["data/", "\"secret/aac\""][..]),
                ("/secret/data/aac", &["secret/data/aac"]),
                ("v1/secret/data/aac", &["secret/data/aac"]),
                ("secret/data/aac?version=1", &["secret/data/aac"]),
                ("secret/data/../data/aac", &["secret/data/aac"]),
                ("kv/data/aac", &["no handler for route", "kv/data/aac"]),
            ] {
                let pointer = json!({ "vault": path }).to_string();
                fs::write(fleet.path(0, "creds.json"), pointer).unwrap();
                let start = Instant::now();
                fleet.run(0).assert_fails(1, words);
                assert!(start.elapsed() < Duration::from_secs(10), "{path}");
            }
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(1);
            let document = json!({ "access_token": fleet.tokens.access_token });
            fleet.sandbox.vault().put(&document);
            fleet.run(0).assert_fails(1, &[named, "no \"refresh_token\""]);
        });
    });
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
        (&[("VAULT_ADDR", "https://me@vault.invalid")], &["VAULT_ADDR is not the URL"]),
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
fn a_path_without_data_is_told_before_anything_is_sent() {
    let fleet = Fleet::expired(1);
    for path in ["secret/aac", "data/aac", "secret/data"] {
        fs::write(fleet.path(0, "creds.json"), json!({ "vault": path }).to_string()).unwrap();
        let cure = "{\"vault\": \"secret/data/aac\"}";
        fleet.run(0).assert_fails(1, &["the path lacks data/", &format!("{path:?}"), cure]);
    }
    assert_eq!(fleet.sandbox.vault().requests().len(), 0);
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
    // A pipe would be waited for.
    assert!(acceptance::clean("mkfifo").arg(&token).status().unwrap().success());
    run().assert_fails(1, &["no token for the vault"]);
    fs::remove_file(&token).unwrap();
    fs::File::create(&token).unwrap().set_len(1 << 40).unwrap();
    run().assert_fails(1, &["no token for the vault"]);
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

#[test]
fn a_vault_without_a_quorum_is_told_and_nothing_is_sent() {
    let redirect = FaultKind::Redirect("http://127.0.0.1:9/v1/x".to_owned());
    thread::scope(|scope| {
        for (fault, words) in [
            (Fault::vault_write(FaultKind::NoQuorum), "active cluster node not found"),
            (Fault::vault_write(FaultKind::CasMismatch), "HTTP 400"),
            (Fault::vault_write(redirect.clone()), "HTTP 307"),
            (Fault::vault(redirect), "HTTP 307"),
            (Fault::vault(FaultKind::Sealed), "the vault is sealed or has no leader (HTTP 503)"),
            (Fault::vault(FaultKind::TooManyRequests(1)), "limits the rate of requests (HTTP 429)"),
            (Fault::vault(FaultKind::ResetBefore), "the vault cannot be reached"),
        ] {
            scope.spawn(move || {
                let fleet = Fleet::expired(2).with(PATIENCE, 2);
                fleet.sandbox.add_fault(fault.clone().always());
                fleet
                    .run(0)
                    .assert_fails(1, &[words, "your tokens are unchanged", "secret/data/aac"]);
                assert_eq!(fleet.sandbox.counters().token_requests, 0);
                assert!(!fleet.has_journal(0));
                // It is over.
                fleet.sandbox.clear_faults();
                fleet.run(1).assert_ok();
                fleet.assert_settled(1);
                // A token that is good for a while yet is used where none can be had.
                if fault.target == aac_sandbox::Target::VaultWrite {
                    let fleet = Fleet::old(1).with(PATIENCE, 2);
                    fleet.sandbox.add_fault(fault.always());
                    let run = fleet.run(0);
                    run.assert_ok();
                    assert!(run.stderr.contains("still valid for a while"), "{}", run.stderr);
                    assert_eq!(fleet.sandbox.counters().token_requests, 0);
                }
            });
        }
    });
}

#[test]
fn a_claim_that_may_be_applied_later_is_taken_away_by_whoever_gave_up() {
    // Never, or right before the write that takes its place.
    for requests in [1000, 2] {
        let fleet = Fleet::expired(2);
        fleet.sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(requests)));
        let mut command = fleet.start_of(0, in_other_times());
        let run = fleet.check(Run::of(command.env(PATIENCE, "0")));
        run.assert_fails(1, &["HTTP 500", "your tokens are unchanged"]);
        fleet.sandbox.vault().apply_late_writes();
        assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"], "{requests}");
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }
}

#[test]
fn a_claim_that_took_too_long_is_claimed_anew_before_the_send() {
    let fleet = Fleet::expired(1);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)));
    fleet.run(0).assert_ok();
    assert_eq!(fleet.sandbox.vault().counters().writes, 3, "two claims and a commit");
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn a_vault_that_is_always_too_slow_is_told() {
    let fleet = Fleet::expired(1).with(PATIENCE, 5);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)).always());
    let words = ["secret/data/aac", "within 5 s of its claim", "your tokens are unchanged"];
    fleet.run(0).assert_fails(1, &words);
    assert_eq!(fleet.sandbox.vault().counters().applied, 1 + 4, "three claims, and their end");
    assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_vault_that_takes_no_claim_any_more_is_told() {
    let fleet = Fleet::expired(1).with(PATIENCE, 2);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Slow(6)));
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    let words = ["secret/data/aac", "active cluster node not found", "your tokens are unchanged"];
    fleet.run(0).assert_fails(1, &words);
    assert_eq!(fleet.sandbox.counters().token_requests, 0);
}

#[test]
fn a_token_is_sent_again_with_a_new_claim() {
    let grace = Duration::from_secs(60);
    let fleet = Fleet::new(Options { grace, ..Options::default() }, true, 1);
    fleet.sandbox.add_fault(Fault::token(FaultKind::Cut));
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let claim = fleet.secret()["aac_claim"].clone();
    thread::sleep(PAST_THE_GATE);
    let again = fleet.sandbox.hold_token_endpoint();
    hold.release();
    assert!(again.wait_for_request(SOON));
    assert_ne!(fleet.secret()["aac_claim"], claim);
    again.release();
    fleet.end(first).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
}

#[test]
fn a_response_is_committed_whoever_has_claimed_the_token_meanwhile() {
    let grace = Duration::from_secs(60);
    let fleet = Fleet::new(Options { grace, ..Options::default() }, true, 2).with(TAKEOVER, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let second = fleet.start(1);
    assert!(hold.wait_for_requests(2, SOON));
    let claim = fleet.secret()["aac_claim"].as_str().unwrap().to_owned();
    assert!(claim.ends_with(&format!(":{}", second.id())), "{claim}");
    hold.release();
    fleet.end(first).assert_ok();
    fleet.end(second).assert_ok();
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
    assert!(fleet.secret()["aac_claim"].is_null() && fleet.secret()["aac_failed"].is_null());
}

#[test]
fn a_pair_in_the_journal_counts_more_than_a_refusal_that_another_machine_has_met() {
    let options = Options { replay_protection: false, ..Options::default() };
    let fleet = Fleet::new(options, true, 2).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    fleet.sandbox.vault().revoke_token();
    hold.release();
    fleet.end(first).assert_ok();
    fleet.sandbox.vault().restore_token();
    let mut command = fleet.command(1);
    command.env(TAKEOVER, "1").env_remove(PATIENCE);
    fleet.check(Run::of(&mut command)).assert_fails(4, &["is refused", "interrupted"]);
    fleet.run(1).assert_fails(4, &["is refused", " was told on "]);
    fleet.run(0).assert_ok();
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
    assert!(fleet.secret()["aac_refused"].is_null() && fleet.secret()["aac_failed"].is_null());
}

#[test]
fn a_doubt_of_the_folders_days_outlives_a_claim_that_failed() {
    let vault = Some(VaultOptions::default());
    let case = acceptance::Case::expired(Options { vault, ..Options::default() });
    let hold = case.sandbox.hold_token_responses();
    let mut first = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    first.kill().unwrap();
    first.wait().unwrap();
    hold.release();
    let vault = case.sandbox.vault();
    vault.put_tokens(&case.tokens);
    fs::write(case.creds(), json!({ "vault": vault.path() }).to_string()).unwrap();
    let run = |patience: &str| {
        let mut command = acceptance::clean(in_other_times());
        command.env("AAC_DIR", case.folder.path()).envs(vault.environment());
        Run::of(command.env(PATIENCE, patience))
    };
    case.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    run("0").assert_fails(1, &["an earlier run may have used the refresh token"]);
    case.sandbox.clear_faults();
    run("10").assert_fails(4, &["is refused", "It was sent before"]);
}

/// After a commit that failed: the pair is in the journal of machine 0.
fn with_pair_in_journal(machines: usize) -> (Fleet, Run) {
    let fleet = Fleet::expired(machines).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    fleet.sandbox.vault().revoke_token();
    hold.release();
    let run = fleet.end(first);
    fleet.sandbox.vault().restore_token();
    (fleet, run)
}

#[test]
fn a_pair_that_the_vault_does_not_take_stays_in_the_journal_until_the_next_run_there() {
    let (fleet, run) = with_pair_in_journal(2);
    run.assert_ok();
    let journal = fleet.path(0, "creds.json.rotation").display().to_string();
    for words in ["warning: ", "permission denied (HTTP 403)", "saved in", &journal, "this machine"]
    {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    assert!(fleet.has_journal(0));
    // Another machine waits for it, since the token has been used.
    let mut other = fleet.start(1);
    other.says(WAITS);
    let start = Instant::now();
    fleet.run(0).assert_ok();
    assert!(start.elapsed() < SOON, "the claim that stayed is its own");
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1, "without the authorization server");
    assert!(!fleet.has_journal(0));
    fleet.assert_settled(1);
}

#[test]
fn a_vault_that_cannot_be_read_hides_nothing_that_this_machine_knows() {
    let (fleet, _) = with_pair_in_journal(1);
    fleet.sandbox.vault().seal();
    let journal = fleet.path(0, "creds.json.rotation").display().to_string();
    let words =
        ["the vault is sealed", "the new tokens are saved in", &journal, "Unseal the vault"];
    let run = fleet.run(0);
    run.assert_fails(1, &words);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
    // A run that was cut off after it sent the token has left no pair.
    let fleet = Fleet::expired(1).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    first.kill();
    hold.release();
    fleet.sandbox.vault().seal();
    let words = ["the vault is sealed", "an earlier run may have used the refresh token"];
    fleet.run(0).assert_fails(1, &words);
}

#[test]
fn a_pair_in_the_journal_counts_where_the_folder_cannot_be_written_any_more() {
    let (fleet, _) = with_pair_in_journal(2);
    fs::remove_file(fleet.path(0, "creds.json.lock")).unwrap();
    let fleet = fleet.without_lock_on(0);
    let start = Instant::now();
    let run = fleet.run(0);
    run.assert_ok();
    assert!(start.elapsed() < SOON, "without a wait for the claim to end");
    assert!(!run.stderr.contains("warning: "), "{}", run.stderr);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    assert!(fleet.has_journal(0), "it cannot be removed");
    // Nor is it in the way.
    for machine in [0, 1, 0] {
        fleet.sandbox.revoke_access_tokens();
        fleet.run(machine).assert_ok();
    }
    fleet.assert_settled(4);
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_will_do_though_it_has_a_lock_file() {
    let able = acceptance::clean("unshare").args(["-rm", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: unshare -rm does not work here");
    }
    let (fleet, _) = with_pair_in_journal(1);
    let run = || {
        let original = fleet.command(0);
        let mut command = acceptance::clean("unshare");
        let script =
            "mount --bind $AAC_DIR $AAC_DIR && mount -o remount,ro,bind $AAC_DIR && exec \"$0\" -v";
        command.args(["-rm", "sh", "-c", script]).arg(original.get_program());
        let set = original.get_envs().filter_map(|(name, value)| Some((name, value?)));
        fleet.check(Run::of(command.envs(set)))
    };
    for refreshes in 1..=3 {
        let run = run();
        run.assert_ok();
        assert!(!run.stderr.contains("warning: "), "{}", run.stderr);
        fleet.assert_settled(refreshes);
        fleet.sandbox.revoke_access_tokens();
    }
}

#[test]
fn a_pair_in_the_journal_that_still_cannot_be_committed_is_told() {
    let (fleet, run) = with_pair_in_journal(1);
    run.assert_ok();
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::Forbidden).always());
    // The token in hand will do for now.
    let run = fleet.run(0);
    run.assert_ok();
    assert!(run.stderr.contains("saved in"), "{}", run.stderr);
    // Once the API does not take it, nothing else will do.
    fleet.sandbox.revoke_access_tokens();
    let run = fleet.run(0);
    let words = ["HTTP 403", "saved in", "Run this again on this machine", "\"read\", \"update\""];
    run.assert_fails(1, &words);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.sandbox.clear_faults();
    fleet.run(0).assert_ok();
    assert_eq!(fleet.sandbox.counters().reused, 0);
}

#[test]
fn a_pair_without_a_journal_waits_for_the_vault() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let fleet = Fleet::expired(2).without_lock_on(0);
            fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).after(1).times(8));
            fleet.run(0).assert_ok();
            fleet.assert_settled(1);
        });
        scope.spawn(|| {
            let fleet = Fleet::expired(2).without_lock_on(0).with(PATIENCE, 2);
            fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).after(1).always());
            let named = "the secret secret/data/aac in the vault at";
            let words = [named, "could not be saved anywhere", PAGE, "bao kv put secret/aac"];
            fleet.run(0).assert_fails(1, &words);
        });
    });
}

#[test]
fn tokens_that_are_pasted_while_a_response_is_on_its_way_stay() {
    each(&[false, true], |is_read_only| {
        let mut fleet = Fleet::expired(2);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let hold = fleet.sandbox.hold_token_responses();
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        let pasted = fleet.sandbox.issue();
        fleet.sandbox.vault().put_tokens(&pasted);
        hold.release();
        fleet.end(first).assert_ok();
        assert_eq!(fleet.refresh_token(), pasted.refresh_token);
        assert_eq!(fleet.path(0, "creds.json.rotation.old").is_file(), !is_read_only);
        fleet.run(1).assert_ok();
        assert_eq!(fleet.sandbox.counters().token_requests, 1);
        if is_read_only {
            return;
        }
        // Should the paste turn out to be dead, this machine has another pair.
        fleet.sandbox.revoke_access_tokens();
        fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
        let run = fleet.run(0);
        run.assert_ok();
        assert!(run.stderr.contains("trying the one that was set aside"), "{}", run.stderr);
        assert_ne!(fleet.refresh_token(), pasted.refresh_token);
        fleet.assert_settled(2);
        assert!(!fleet.path(0, "creds.json.rotation.old").exists());
    });
}

#[test]
fn a_secret_that_is_deleted_while_a_response_is_on_its_way_is_restored() {
    each(
        &[(false, false), (true, false), (false, true), (true, true)],
        |(is_read_only, is_gone)| {
            let mut fleet = Fleet::expired(2);
            if is_read_only {
                fleet = fleet.without_lock_on(0);
            }
            if is_gone {
                let token = fleet.sandbox.vault().root_token();
                fleet = fleet.with("VAULT_TOKEN", token);
            }
            let hold = fleet.sandbox.hold_token_responses();
            let first = fleet.start(0);
            assert!(hold.wait_for_request(SOON));
            match is_gone {
                false => fleet.sandbox.vault().delete(),
                true => fleet.sandbox.vault().delete_metadata(),
            }
            hold.release();
            fleet.end(first).assert_ok();
            fleet.assert_settled(1);
            fleet.run(1).assert_ok();
            assert_eq!(fleet.sandbox.counters().token_requests, 1);
        },
    );
}

#[test]
fn a_secret_that_is_made_anew_meanwhile_is_read_as_the_new_one() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_responses();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let mut other = fleet.start(1);
    other.says(WAITS);
    // Its versions are counted from one again.
    fleet.sandbox.vault().delete_metadata();
    let pasted = fleet.sandbox.issue();
    fleet.sandbox.vault().put_tokens(&pasted);
    let start = Instant::now();
    fleet.end(other).assert_ok();
    hold.release();
    fleet.end(first).assert_ok();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(fleet.refresh_token(), pasted.refresh_token);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    assert!(fleet.path(0, "creds.json.rotation.old").is_file());
}

#[test]
fn a_deleted_secret_is_restored_from_the_journal() {
    let (fleet, _) = with_pair_in_journal(1);
    fleet.sandbox.vault().delete();
    fleet.run(0).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_holder_that_is_killed_before_the_send_is_replaced() {
    each(&[(0, false), (1, false), (0, true)], |(next, is_read_only)| {
        let mut fleet = Fleet::expired(2).with(TAKEOVER, 2);
        if is_read_only {
            fleet = fleet.without_lock_on(0);
        }
        let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.kill();
        hold.release();
        assert!(fleet.secret()["aac_claim"].is_string());
        let run = fleet.run(next);
        run.assert_ok();
        assert!(run.stderr.contains("has not been heard of for 2 s"), "{}", run.stderr);
        assert_eq!(run.stderr.matches("has not been heard of").count(), 1, "{}", run.stderr);
        fleet.assert_settled(1);
    });
}

#[test]
fn a_holder_that_is_killed_after_the_send_takes_the_pair_with_it() {
    each(&[(0, 0), (1, 0), (0, 60), (1, 60)], |(next, grace)| {
        let grace = Duration::from_secs(grace);
        let fleet = Fleet::new(Options { grace, ..Options::default() }, true, 2).with(TAKEOVER, 2);
        let hold = fleet.sandbox.hold_token_responses();
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.kill();
        hold.release();
        let run = fleet.run(next);
        if grace.is_zero() {
            // It says why, on whatever machine.
            let words =
                ["is refused", "It was sent before", "interrupted", PAGE, "bao kv put secret/aac"];
            run.assert_fails(4, &words);
            let pasted = fleet.sandbox.issue_expired();
            fleet.sandbox.vault().put_tokens(&pasted);
        } else {
            run.assert_ok();
        }
        fleet.run(1 - next).assert_ok();
        assert!(fleet.sandbox.is_live(&fleet.refresh_token()));
        assert!(fleet.secret()["aac_refused"].is_null() && fleet.secret()["aac_failed"].is_null());
    });
}

#[test]
fn a_holder_that_is_killed_with_the_pair_in_its_journal_loses_nothing() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_responses();
    let mut first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
    hold.release();
    first.says("active cluster node not found");
    first.kill();
    fleet.sandbox.clear_faults();
    let mut other = fleet.start(1);
    other.says(WAITS);
    let start = Instant::now();
    fleet.run(0).assert_ok();
    assert!(start.elapsed() < SOON, "without a wait for the claim to end");
    fleet.end(other).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    fleet.assert_settled(1);
}

#[test]
fn sixteen_programs_with_a_dead_token_ask_once() {
    let fleet = Fleet::expired(4);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    let programs: Vec<_> = (0..16).map(|number| fleet.start(number % 4)).collect();
    for running in programs {
        let words =
            ["is refused: invalid_grant", "Create new tokens", PAGE, "bao kv put secret/aac"];
        fleet.end(running).assert_fails(4, &words);
    }
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    // Later runs are told who said so, and when.
    let start = Instant::now();
    fleet.run(2).assert_fails(4, &["is refused: invalid_grant", " was told on ", " GMT"]);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "whoever asked has looked at the secret again"
    );
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    let fields = fields(&fleet.secret());
    assert!(fields.contains(&"aac_refused".to_owned()), "{fields:?}");
    assert!(!fields.contains(&"aac_claim".to_owned()), "{fields:?}");
    // Ten minutes later one asks anew: tokens can be disabled and enabled again.
    fleet.sandbox.vault().set_clock_offset(601);
    fleet.run(1).assert_fails(4, &["is refused: invalid_grant"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    fleet.sandbox.clear_faults();
    fleet.sandbox.vault().set_clock_offset(1202);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_refusal_ends_with_a_paste() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    fleet.run(0).assert_fails(4, &["is refused"]);
    fleet.sandbox.vault().put_tokens(&fleet.sandbox.issue_expired());
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
    // So it does where only the tokens are replaced, and the notes stay.
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    fleet.run(0).assert_fails(4, &["is refused"]);
    let (mut document, new) = (fleet.secret(), fleet.sandbox.issue_expired());
    document["access_token"] = json!(new.access_token);
    document["refresh_token"] = json!(new.refresh_token);
    fleet.sandbox.vault().put(&document);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_refusal_counts_though_the_clocks_of_the_vaults_nodes_differ() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    fleet.run(0).assert_fails(4, &["is refused"]);
    fleet.sandbox.vault().set_clock_offset(-5);
    fleet.run(1).assert_fails(4, &["is refused", " was told on "]);
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn whoever_waited_behind_a_lost_response_is_told_and_sends_nothing() {
    let fleet = Fleet::expired(3);
    let hold = fleet.sandbox.hold_token_endpoint();
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let mut others: Vec<_> = [0, 1, 1, 2].map(|machine| fleet.start(machine)).into();
    others.iter_mut().for_each(|other| other.says(WAITS));
    hold.release();
    fleet.end(first).assert_fails(1, &["may have been used", "secret/data/aac"]);
    for other in others {
        fleet.end(other).assert_fails(1, &["may have been used", "secret/data/aac"]);
    }
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
    // The next run tries it, and knows what was before.
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    fleet.run(2).assert_fails(4, &["is refused", "It was sent before"]);
    fleet.sandbox.vault().set_clock_offset(800);
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn an_access_token_of_no_use_is_told_on_every_machine_and_spends_no_more() {
    let fleet = Fleet::expired(3).without_lock_on(2);
    let hold = fleet.sandbox.hold_token_responses();
    fleet.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let mut others: Vec<_> = [0, 1, 1, 2].map(|machine| fleet.start(machine)).into();
    others.iter_mut().for_each(|other| other.says(WAITS));
    hold.release();
    let words = ["not a JWT", "it is saved in the secret secret/data/aac", "(user ", "ten minutes"];
    fleet.end(first).assert_fails(1, &words);
    for other in others {
        fleet.end(other).assert_fails(1, &words);
    }
    for machine in 0..3 {
        fleet.run(machine).assert_fails(1, &words);
        assert!(!fleet.has_journal(machine));
    }
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
    let new = fleet.refresh_token();
    assert!(fleet.sandbox.is_live(&new));
    // The token has not been used, and nobody says so.
    fleet.sandbox.vault().set_clock_offset(601);
    fleet.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    fleet.run(1).assert_fails(4, &["your tokens are unchanged"]);
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 3);
    fleet.assert_settled(2);

    // New tokens end it, too.
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::BadAccessToken));
    fleet.run(0).assert_fails(1, &words);
    fleet.run(1).assert_fails(1, &words);
    fleet.sandbox.vault().put_tokens(&fleet.sandbox.issue_expired());
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
}

#[test]
fn a_note_outlives_what_a_person_has_written_meanwhile() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_endpoint();
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    // As `bao kv patch` does.
    let mut document = fleet.secret();
    document["note"] = json!("of a person");
    fleet.sandbox.vault().put(&document);
    hold.release();
    fleet.end(first).assert_fails(1, &["may have been used"]);
    let expected = ["aac_failed", "access_token", "note", "refresh_token"];
    assert_eq!(fields(&fleet.secret()), expected);
    // The next run, on whatever machine, knows what was before.
    fleet.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    fleet.run(1).assert_fails(4, &["is refused", "It was sent before"]);
}

#[test]
fn whoever_waited_behind_the_first_claim_of_a_refresh_is_told_of_its_end() {
    let fleet = Fleet::expired(2);
    let hold = fleet.sandbox.hold_token_endpoint();
    fleet.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).times(2));
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let mut other = fleet.start(1);
    other.says(WAITS);
    // The second attempt needs a claim of its own, which is too short to be seen.
    thread::sleep(PAST_THE_GATE);
    hold.release();
    fleet.end(first).assert_fails(1, &["may have been used"]);
    fleet.end(other).assert_fails(1, &["may have been used"]);
    assert_eq!(fleet.sandbox.counters().token_requests, 2);
}

#[test]
fn a_claim_is_let_go_where_nothing_was_sent() {
    let fleet = Fleet::expired(2);
    for fault in [
        FaultKind::InvalidClient,
        FaultKind::OAuthError,
        FaultKind::TooManyRequests(60),
        FaultKind::Redirect("https://example.com/".to_owned()),
    ] {
        fleet.sandbox.add_fault(Fault::token(fault));
        let run = fleet.run(0);
        assert!(run.stderr.contains("your tokens are unchanged"), "{}", run.stderr);
        let fields = fields(&fleet.secret());
        assert_eq!(fields, ["access_token", "refresh_token"]);
    }
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_server_that_keeps_a_refresh_token_in_force_is_no_obstacle() {
    let fleet = Fleet::expired(2);
    fleet.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    fleet.run(0).assert_ok();
    assert_eq!(fleet.refresh_token(), fleet.tokens.refresh_token);
    assert_ne!(fleet.secret()["access_token"], fleet.tokens.access_token);
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().token_requests, 1);
}

#[test]
fn a_move_into_the_vault_finishes_what_the_folder_began() {
    let case = acceptance::Case::interrupted(Options {
        vault: Some(VaultOptions::default()),
        ..Options::default()
    });
    let (vault, creds) = (case.sandbox.vault(), case.creds());
    vault.put(&serde_json::from_slice(&fs::read(&creds).unwrap()).unwrap());
    let file = fs::read(&creds).unwrap();
    fs::write(&creds, json!({ "vault": vault.path() }).to_string()).unwrap();
    let run = |program: &str| Run::of(case.program(program).envs(vault.environment()));
    run("get_workspace").assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1, "from the journal");
    assert!(!case.path("creds.json.rotation").exists());
    let document = vault.read().unwrap().data.unwrap();
    assert!(case.sandbox.is_live(document["refresh_token"].as_str().unwrap()));
    assert!(document["aac_auth"].is_null(), "numbers of the clock of one machine");
    // Once more, by the vault alone.
    case.sandbox.revoke_access_tokens();
    run("get_workspace").assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 2);
    // And back: the document becomes the file.
    let document = vault.read().unwrap().data.unwrap();
    fs::write(&creds, document.to_string()).unwrap();
    case.run(["-v"]).assert_ok();
    case.sandbox.revoke_access_tokens();
    case.run(["-v"]).assert_ok();
    assert_eq!(case.sandbox.counters().reused, 0);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    // The file of the days before is told to be an older copy.
    fs::write(&creds, &file).unwrap();
    case.sandbox.revoke_access_tokens();
    case.run(["-v"]).assert_fails(4, &["older copy"]);
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
fn a_move_into_the_vault_while_a_response_is_on_its_way_stays() {
    let vault = Some(VaultOptions::default());
    let case = acceptance::Case::expired(Options { vault, ..Options::default() });
    let vault = case.sandbox.vault();
    let hold = case.sandbox.hold_token_responses();
    let first = Running::of(&mut case.command());
    assert!(hold.wait_for_request(SOON));
    vault.put_tokens(&case.tokens);
    let pointer = json!({ "vault": vault.path() }).to_string();
    fs::write(case.creds(), &pointer).unwrap();
    hold.release();
    first.end().assert_fails(1, &["it now names the secret secret/data/aac in a vault"]);
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), pointer);
    // What it got for the token that is in the vault now goes there.
    Run::of(case.command().envs(vault.environment())).assert_ok();
    assert_eq!(fs::read_to_string(case.creds()).unwrap(), pointer);
    let token = vault.read().unwrap().data.unwrap()["refresh_token"].clone();
    assert!(case.sandbox.is_live(token.as_str().unwrap()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
fn clocks_that_are_an_hour_off_cost_one_refresh_at_most() {
    for (cloud, vault) in [(3600, 3600), (-3600, -3600), (3600, -3600), (0, 3600), (0, -3600)] {
        for is_expired in [false, true] {
            let options = Options { clock_offset: cloud, ..Options::default() };
            let vault = Some(VaultOptions { clock_offset: vault, ..VaultOptions::default() });
            let fleet = Fleet::new(Options { vault, ..options }, is_expired, 2);
            for machine in [0, 1, 0, 1] {
                fleet.run(machine).assert_ok();
            }
            assert!(fleet.sandbox.counters().refreshes <= 1, "{cloud}");
            assert_eq!(fleet.sandbox.counters().reused, 0);
        }
    }
}

#[test]
fn an_age_counts_for_the_write_that_brought_the_token_alone() {
    let options = Options { clock_offset: -240, ..Options::default() };
    let fleet = Fleet::new(options, true, 2);
    fleet.run(0).assert_ok();
    // Someone changes another field, long after: the token is not younger for that.
    let mut document = fleet.secret();
    document["note"] = json!("of a person");
    fleet.sandbox.vault().put(&document);
    fleet.run(1).assert_ok();
    assert_eq!(fleet.sandbox.counters().refreshes, 2, "by the local clock, it is old");
    assert_eq!(fleet.secret()["note"], "of a person");
}

#[test]
fn other_fields_stay_and_our_own_are_strings() {
    let fleet = Fleet::expired(1);
    let Tokens { access_token, refresh_token } = &fleet.tokens;
    let document = json!({
        "access_token": access_token,
        "refresh_token": refresh_token,
        "note": 1.50,
        "nested": { "b": [null, true, "<&>"], "a": 12345678901234567890_u64 },
    });
    fleet.sandbox.vault().put(&document);
    let before = fleet.secret();
    fleet.run(0).assert_ok();
    let now = fleet.secret();
    for field in ["note", "nested"] {
        assert_eq!(now[field], before[field]);
    }
    let ours: Vec<_> = fields(&now).into_iter().filter(|field| field.starts_with("aac_")).collect();
    assert!(!ours.is_empty());
    assert!(ours.iter().all(|field| now[field].is_string()), "{ours:?}");
    fleet.assert_settled(1);
}

#[test]
fn a_vault_whose_writes_must_name_a_version_will_do() {
    let vault = Some(VaultOptions { cas_required: true, max_versions: 1, ..Default::default() });
    let fleet = Fleet::new(Options { vault, ..Options::default() }, true, 2);
    fleet.sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(1)).after(1));
    fleet.run(0).assert_ok();
    fleet.run(1).assert_ok();
    fleet.assert_settled(1);
}

#[test]
fn a_shell_gets_a_token_on_every_machine() {
    let fleet = Fleet::expired(2);
    for machine in 0..2 {
        let run = Run::of(&mut fleet.program(machine, "access_token"));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(fleet.secret()["access_token"], run.stdout.trim());
    }
    fleet.assert_settled(1);
}

#[test]
fn a_holder_that_waits_is_named() {
    let fleet = Fleet::expired(2).with(PATIENCE, 2);
    let hold = fleet.sandbox.hold_token_endpoint();
    let first = fleet.start(0);
    assert!(hold.wait_for_request(SOON));
    let id = first.id();
    // The other waits, here for two seconds.
    let words = ["the secret secret/data/aac in the vault", &format!(":{id} since "), "still runs"];
    fleet.run(1).assert_fails(1, &words);
    hold.release();
    fleet.end(first).assert_ok();
    fleet.assert_settled(1);
}

#[cfg(unix)]
mod signals {
    use super::*;
    use acceptance::is_ignored;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_holder_that_stops_before_the_send_claims_anew() {
        let fleet = Fleet::expired(2);
        let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.signal("STOP");
        hold.release();
        let claim = fleet.secret()["aac_claim"].clone();
        thread::sleep(PAST_THE_GATE);
        let hold = fleet.sandbox.hold_token_endpoint();
        first.signal("CONT");
        assert!(hold.wait_for_request(SOON));
        assert_ne!(fleet.secret()["aac_claim"], claim);
        hold.release();
        fleet.end(first).assert_ok();
        assert_eq!(fleet.sandbox.counters().token_requests, 1);
        fleet.assert_settled(1);
    }

    #[test]
    fn a_holder_that_stops_too_long_before_the_send_sends_nothing() {
        let fleet = Fleet::expired(2).with(TAKEOVER, 6);
        let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.signal("STOP");
        hold.release();
        fleet.run(1).assert_ok();
        first.signal("CONT");
        fleet.end(first).assert_ok();
        assert_eq!(fleet.sandbox.counters().token_requests, 1);
        fleet.assert_settled(1);
    }

    #[test]
    fn a_holder_that_stops_after_the_send_is_waited_for() {
        let fleet = Fleet::expired(2);
        let hold = fleet.sandbox.hold_token_endpoint();
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.signal("STOP");
        hold.release();
        let mut other = fleet.start(1);
        other.says(WAITS);
        thread::sleep(PAST_THE_GATE);
        first.signal("CONT");
        fleet.end(first).assert_ok();
        fleet.end(other).assert_ok();
        assert_eq!(fleet.sandbox.counters().token_requests, 1);
        fleet.assert_settled(1);
    }

    #[test]
    fn a_holder_that_stops_too_long_after_the_send_gives_way() {
        let grace = Duration::from_secs(60);
        let fleet = Fleet::new(Options { grace, ..Options::default() }, true, 2).with(TAKEOVER, 2);
        let hold = fleet.sandbox.hold_token_endpoint();
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.signal("STOP");
        hold.release();
        fleet.run(1).assert_ok();
        let token = fleet.refresh_token();
        first.signal("CONT");
        fleet.end(first).assert_ok();
        assert_eq!(fleet.refresh_token(), token, "what the other has saved");
        assert!(fleet.sandbox.is_live(&token));
    }

    #[test]
    fn a_signal_before_the_send_takes_the_claim_away() {
        for signal in ["TERM", "INT", "HUP"].into_iter().filter(|signal| !is_ignored(signal)) {
            let fleet = Fleet::expired(2);
            let hold = fleet.sandbox.vault().hold_responses(Operation::Write);
            let first = fleet.start(0);
            assert!(hold.wait_for_request(SOON));
            first.signal(signal);
            hold.release();
            assert!(first.end_with_status().1.signal().is_some(), "{signal}");
            assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
            assert_eq!(fleet.sandbox.counters().token_requests, 0);
            assert!(!fleet.has_journal(0));
            fleet.run(1).assert_ok();
            fleet.assert_settled(1);
        }
    }

    #[test]
    fn a_signal_after_the_send_waits_until_the_pair_is_saved() {
        let fleet = Fleet::expired(2);
        let hold = fleet.sandbox.hold_token_responses();
        let first = fleet.start(0);
        assert!(hold.wait_for_request(SOON));
        first.signal("TERM");
        hold.release();
        assert_eq!(first.end_with_status().1.signal(), Some(15));
        fleet.assert_settled(1);
        fleet.run(1).assert_ok();
        fleet.assert_settled(1);
    }

    #[test]
    fn a_signal_ends_a_claim_that_fails() {
        let fleet = Fleet::expired(2);
        fleet.sandbox.add_fault(Fault::vault_write(FaultKind::NoQuorum).always());
        let mut first = fleet.start(0);
        first.says("trying again");
        first.signal("TERM");
        let start = Instant::now();
        assert_eq!(first.end_with_status().1.signal(), Some(15));
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        assert!(!fleet.has_journal(0));
    }

    #[test]
    fn a_signal_ends_a_run_whose_authorization_server_is_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = Some(format!("http://{}/as", listener.local_addr().unwrap()));
        drop(listener);
        let fleet = Fleet::new(Options { issuer, ..Options::default() }, true, 2);
        let mut first = fleet.start(0);
        first.says("trying again in 0.5 s");
        first.signal("TERM");
        let (run, status) = first.end_with_status();
        assert!(!run.stderr.contains("trying again in 2.0 s"), "{}", run.stderr);
        assert_eq!(status.signal(), Some(15));
        assert_eq!(fields(&fleet.secret()), ["access_token", "refresh_token"]);
    }
}
