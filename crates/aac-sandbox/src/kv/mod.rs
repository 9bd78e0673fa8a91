//! The secrets engine that the vault serves: key/value secrets, version 2 with versions and
//! check-and-set, or version 1 without. There is no HTTP in here.

pub(crate) mod document;
mod secret;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Nanos;
use crate::options::VaultOptions;
use crate::random;
pub use secret::SecretVersion;
pub(crate) use secret::{Refusal, Secret};

/// The name of the secret that holds the pair.
pub(crate) const NAME: &str = "aac";
/// The path of that secret in the API, below `/v1/`.
pub(crate) const PATH: &str = "secret/data/aac";
/// The same in a version 1 engine.
const PATH_V1: &str = "secret/aac";

/// What a cluster has stored. A copy is what a node that lags behind has of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// The documents of a version 1 engine, by path.
    pub(crate) plain: BTreeMap<String, Value>,
    /// Counts the changes, as the index of a Raft log does.
    pub(crate) index: u64,
}

impl Store {
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// The version that a check-and-set compares with.
    pub(crate) fn current_version(&self, name: &str) -> u64 {
        self.secrets.get(name).map_or(0, Secret::current_version)
    }
}

/// A vault: a store, and how requests find it.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) is_kv_v1: bool,
    pub(crate) namespace: Option<String>,
    /// Its token for the pair's secret, which may read and update it.
    pub(crate) token: String,
    /// Its token that may do everything.
    pub(crate) root_token: String,
    pub(crate) token_revoked: bool,
    pub(crate) sealed: bool,
    pub(crate) cluster_id: String,
    pub(crate) clock_offset: i64,
    max_versions: usize,
    cas_required: bool,
    delete_version_after: Option<Duration>,
    store: Store,
    /// The store before its last change.
    before: Store,
    /// What a lagging standby shows instead of the store.
    lagging: Option<Store>,
    /// Writes that were answered with an error, and how many requests later each is applied.
    late: Vec<(u64, Write)>,
    pub(crate) counters: VaultCounters,
}

/// A write to a secret.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) cas: Option<i64>,
}

/// What has happened in a vault so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VaultCounters {
    /// Requests that read a document.
    pub reads: u64,
    /// Requests that write a document.
    pub writes: u64,
    /// All other requests.
    pub others: u64,
    /// Writes that made a version, whether or not the response said so.
    pub applied: u64,
    /// Writes whose check-and-set failed.
    pub mismatched: u64,
}

impl Vault {
    pub(crate) fn new(options: &VaultOptions) -> Self {
        Self {
            is_kv_v1: options.kv_v1,
            namespace: options.namespace.clone(),
            token: format!("s.{}", random::base64url::<18>()),
            root_token: format!("s.{}", random::base64url::<18>()),
            token_revoked: false,
            sealed: false,
            cluster_id: random::uuid(),
            clock_offset: options.clock_offset,
            max_versions: options.max_versions,
            cas_required: options.cas_required,
            delete_version_after: None,
            // A new cluster has stored its own settings already.
            store: Store { index: 40, ..Store::default() },
            before: Store::default(),
            lagging: None,
            late: Vec::new(),
            counters: VaultCounters::default(),
        }
    }

    /// The path of the pair's secret.
    pub(crate) fn path(&self) -> &'static str {
        if self.is_kv_v1 { PATH_V1 } else { PATH }
    }

    /// The time by the vault's clock.
    pub(crate) fn now(&self) -> Nanos {
        Nanos::now().plus_seconds(self.clock_offset)
    }

    /// What the active node has stored.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// What the node that serves a request has stored, if it lags behind the active node.
    /// `misses_last`: it has not seen the last change.
    pub(crate) fn standby(&self, misses_last: bool) -> Option<&Store> {
        if misses_last { Some(&self.before) } else { self.lagging.as_ref() }
    }

    /// Makes the node that serves requests keep what there is now, or follow again.
    pub(crate) fn set_lagging(&mut self, lags: bool) {
        self.lagging = lags.then(|| self.store.clone());
    }

    /// Changes the store. Returns what the change returns.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Store, Nanos) -> T) -> T {
        let now = self.now();
        self.before = self.store.clone();
        self.store.index += 1;
        change(&mut self.store, now)
    }

    /// Changes the pair's secret, if there is one.
    pub(crate) fn change_secret(&mut self, change: impl FnOnce(&mut Secret, Nanos)) {
        self.change(|store, now| {
            if let Some(secret) = store.secrets.get_mut(NAME) {
                change(secret, now);
            }
        });
    }

    /// Writes a document. Returns its version.
    pub(crate) fn write(&mut self, write: Write) -> Result<u64, Refusal> {
        let current = self.store.current_version(&write.name);
        self.check(current, write.cas)?;
        let (max, delete_after) = (self.max_versions, self.delete_version_after);
        self.counters.applied += 1;
        let Write { name, data, .. } = write;
        Ok(self.change(|store, now| {
            store.secrets.entry(name).or_default().put(data, now, delete_after, max)
        }))
    }

    /// Compares the version that a write expects with the current one.
    pub(crate) fn check(&mut self, current: u64, cas: Option<i64>) -> Result<(), Refusal> {
        match cas {
            None if self.cas_required => Err(Refusal::Required),
            Some(cas) if u64::try_from(cas).ok() != Some(current) => {
                self.counters.mismatched += 1;
                Err(Refusal::Mismatch)
            }
            _ => Ok(()),
        }
    }

    /// Makes a write happen after that many further requests.
    pub(crate) fn write_later(&mut self, requests: u64, write: Write) {
        self.late.push((requests, write));
        self.apply_late(false);
    }

    /// Counts a request, which the late writes that are due precede.
    pub(crate) fn count(&mut self, operation: Operation) {
        match operation {
            Operation::Read => self.counters.reads += 1,
            Operation::Write => self.counters.writes += 1,
            Operation::Other => self.counters.others += 1,
        }
        for (requests, _) in &mut self.late {
            *requests -= 1;
        }
        self.apply_late(false);
    }

    /// Applies the late writes that are due, or all of them. One whose check-and-set no longer
    /// holds is lost, like an entry of a Raft log that another leader has replaced.
    pub(crate) fn apply_late(&mut self, all: bool) {
        let late = std::mem::take(&mut self.late);
        let (due, late) = late.into_iter().partition(|(requests, _)| all || *requests == 0);
        self.late = late;
        let due: Vec<(u64, Write)> = due;
        for (_, write) in due {
            let _ = self.write(write);
        }
    }

    pub(crate) fn set_cas_required(&mut self, required: bool) {
        self.cas_required = required;
    }

    pub(crate) fn set_delete_version_after(&mut self, after: Option<Duration>) {
        self.delete_version_after = after;
    }
}

/// What a request to the vault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading a document: GET.
    Read,
    /// Writing a document: POST or PUT.
    Write,
    /// Anything else, such as DELETE or `sys/health`.
    Other,
}
