//! Machines that share the tokens of one secret, in the sandbox's vault.

use crate::{PATIENCE, SOON, TAKEOVER};
use aac_sandbox::{Hold, Options, Sandbox, Tokens};
use acceptance::{Run, Running, in_other_times, program};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How a message names the secret.
pub(crate) const NAMED: &str = "the secret secret/data/aac in the vault at http://127.0.0.1";
/// Past the age up to which a claim is a permission to send.
pub(crate) const PAST_THE_GATE: Duration = Duration::from_millis(5500);

/// Machines that share the tokens of one secret.
pub(crate) struct Fleet {
    pub(crate) sandbox: Sandbox,
    /// Those that the secret held first.
    pub(crate) tokens: Tokens,
    pub(crate) machines: Vec<TempDir>,
    environment: Vec<(&'static str, String)>,
}

impl Fleet {
    pub(crate) fn new(options: Options, is_expired: bool, machines: usize) -> Self {
        let vault = Some(options.vault.clone().unwrap_or_default());
        let sandbox = Sandbox::start(Options { vault, ..options }).unwrap();
        let tokens = if is_expired { sandbox.issue_expired() } else { sandbox.issue() };
        sandbox.vault().put_tokens(&tokens);
        let mut fleet = Self { sandbox, tokens, machines: Vec::new(), environment: Vec::new() };
        for _ in 0..machines {
            let folder = tempfile::tempdir().unwrap();
            fleet.sandbox.write_files(folder.path(), &fleet.tokens).unwrap();
            fleet.machines.push(folder);
            fleet.point(fleet.machines.len() - 1, fleet.sandbox.vault().path());
        }
        fleet
    }

    /// With a fresh access token.
    pub(crate) fn fresh(machines: usize) -> Self {
        Self::new(Options::default(), false, machines)
    }

    /// With an expired access token.
    pub(crate) fn expired(machines: usize) -> Self {
        Self::new(Options::default(), true, machines)
    }

    /// With an expired access token, on a server that takes a used refresh token once more.
    pub(crate) fn with_grace(machines: usize) -> Self {
        let grace = Duration::from_secs(60);
        Self::new(Options { grace, ..Options::default() }, true, machines)
    }

    /// With an access token that is to be renewed, and still valid for a while.
    pub(crate) fn old(machines: usize) -> Self {
        let options = Options { token_lifetime: 300, clock_offset: -250, ..Options::default() };
        Self::new(options, false, machines)
    }

    /// With this variable for all programs.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// With a machine whose folder cannot have a lock, as if it were read-only: root may write there.
    pub(crate) fn without_lock_on(self, machine: usize) -> Self {
        let lock = self.path(machine, "creds.json.lock");
        #[cfg(unix)]
        std::os::unix::fs::symlink("missing/lock", lock).unwrap();
        #[cfg(not(unix))]
        fs::create_dir(lock).unwrap();
        self
    }

    pub(crate) fn path(&self, machine: usize, name: &str) -> PathBuf {
        self.machines[machine].path().join(name)
    }

    /// Writes which secret has the tokens.
    pub(crate) fn point(&self, machine: usize, secret: &str) {
        let pointer = json!({ "vault": secret }).to_string();
        fs::write(self.path(machine, "creds.json"), pointer).unwrap();
    }

    pub(crate) fn has_journal(&self, machine: usize) -> bool {
        self.path(machine, "creds.json.rotation").is_file()
    }

    pub(crate) fn program(&self, machine: usize, name: &str) -> Command {
        let is_in_other_times =
            self.environment.iter().any(|(name, _)| [TAKEOVER, PATIENCE].contains(name));
        self.start_of(machine, if is_in_other_times { in_other_times() } else { program(name) })
    }

    pub(crate) fn start_of(&self, machine: usize, program: &Path) -> Command {
        let mut command = acceptance::clean(program);
        command.env("AAC_DIR", self.machines[machine].path());
        command.envs(self.sandbox.vault().environment());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn command(&self, machine: usize) -> Command {
        let mut command = self.program(machine, "get_workspace");
        command.arg("-v");
        command
    }

    /// Runs get_workspace on a machine.
    #[track_caller]
    pub(crate) fn run(&self, machine: usize) -> Run {
        self.check(Run::of(&mut self.command(machine)))
    }

    /// Starts it.
    pub(crate) fn start(&self, machine: usize) -> Running {
        Running::of(&mut self.command(machine))
    }

    /// Starts it, and waits until what is held gets its request.
    #[track_caller]
    pub(crate) fn start_until(&self, machine: usize, hold: &Hold) -> Running {
        let running = self.start(machine);
        assert!(hold.wait_for_request(SOON));
        running
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&self, running: Running) -> Run {
        self.check(running.end())
    }

    /// Checks that an output shows no token that the secret has ever held, nor the vault's own.
    #[track_caller]
    pub(crate) fn check(&self, run: Run) -> Run {
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
    pub(crate) fn secret(&self) -> Value {
        self.sandbox.vault().read().unwrap().data.unwrap()
    }

    pub(crate) fn refresh_token(&self) -> String {
        self.secret()["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Checks that the secret holds one live pair and no note.
    #[track_caller]
    pub(crate) fn assert_settled(&self, refreshes: u64) {
        let counters = self.sandbox.counters();
        assert_eq!((counters.refreshes, counters.reused), (refreshes, 0));
        assert!(self.sandbox.is_live(&self.refresh_token()));
        let secret = self.secret();
        for note in ["aac_claim", "aac_failed", "aac_refused"] {
            assert!(secret[note].is_null(), "{:?}", fields(&secret));
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        let counters = self.sandbox.vault().counters();
        counters.reads + counters.writes + counters.others
    }
}

pub(crate) fn fields(document: &Value) -> Vec<String> {
    document.as_object().unwrap().keys().cloned().collect()
}

/// Runs all these cases at the same time: most of it is waiting.
pub(crate) fn each<T: Copy + Send + Sync>(cases: &[T], run: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for &case in cases {
            let run = &run;
            scope.spawn(move || run(case));
        }
    });
}
