//! The secrets engine that the vault serves: key/value secrets, version 2 with versions and
//! check-and-set, or version 1 without. There is no HTTP in here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::secret::Secret;
use crate::clock::Timestamp;
use crate::options::VaultOptions;
use crate::tokens::random;

/// The path of the pair's secret in the API, below `/v1/`.
pub(crate) const PATH: &str = "secret/data/aac";
/// The same in a version 1 engine.
pub(crate) const PATH_V1: &str = "secret/aac";

/// What a cluster has stored. A copy is what a node that lags behind has of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    /// The secret of the pair; `None` if there is none.
    pub(crate) secret: Option<Secret>,
    /// The documents of a version 1 engine, by path.
    pub(crate) plain: BTreeMap<String, Value>,
    /// Counts the changes, as the index of a Raft log does.
    pub(crate) index: u64,
}

impl Store {
    /// The version that a check-and-set compares with.
    fn current_version(&self) -> u64 {
        self.secret.as_ref().map_or(0, Secret::current_version)
    }
}

/// A store, and how requests find it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: VaultOptions,
    pub(crate) delete_version_after: Option<Duration>,
    /// Its token for the pair's secret, which may read and update it.
    pub(crate) token: String,
    /// Its token that may do everything.
    pub(crate) root_token: String,
    pub(crate) token_revoked: bool,
    pub(crate) sealed: bool,
    pub(crate) store: Store,
    /// The store before its last change.
    before: Store,
    /// What a lagging standby shows instead of the store.
    lagging: Option<Store>,
    /// Writes that were answered with an error, and how many requests later each is applied.
    late: Vec<(u64, Write)>,
    pub(crate) counters: VaultCounters,
}

/// A write to the secret.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) data: Value,
    pub(crate) cas: Option<i64>,
}

/// Why a write is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// The current version is not the expected one.
    Mismatch,
    /// The write names no version, but must.
    Required,
}

/// What a request to the vault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading a document: GET.
    Read,
    /// Writing a document: POST or PUT.
    Write,
    /// Anything else, such as DELETE.
    Other,
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
}

impl Engine {
    pub(crate) fn new(options: VaultOptions) -> Self {
        Self {
            options,
            delete_version_after: None,
            token: format!("s.{}", random::base64url::<18>()),
            root_token: format!("s.{}", random::base64url::<18>()),
            token_revoked: false,
            sealed: false,
            store: Store::default(),
            before: Store::default(),
            lagging: None,
            late: Vec::new(),
            counters: VaultCounters::default(),
        }
    }

    /// The path of the pair's secret.
    pub(crate) fn path(&self) -> &'static str {
        if self.options.kv_v1 { PATH_V1 } else { PATH }
    }

    /// The time by the vault's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now(self.options.clock_offset)
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
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Store) -> T) -> T {
        self.before = self.store.clone();
        self.store.index += 1;
        change(&mut self.store)
    }

    /// Changes the secret, if there is one.
    pub(crate) fn change_secret(&mut self, change: impl FnOnce(&mut Secret, Timestamp)) {
        let now = self.now();
        self.change(|store| {
            if let Some(secret) = &mut store.secret {
                change(secret, now);
            }
        });
    }

    /// Writes a document whatever the current version is. Returns its version.
    pub(crate) fn put(&mut self, data: Value) -> u64 {
        let (now, after) = (self.now(), self.delete_version_after);
        let max = self.options.max_versions;
        self.counters.applied += 1;
        self.change(|store| store.secret.get_or_insert_default().put(data, now, after, max))
    }

    /// Writes a document. Returns its version.
    pub(crate) fn write(&mut self, write: Write) -> Result<u64, Refusal> {
        self.check(&write, &self.store)?;
        Ok(self.put(write.data))
    }

    /// Compares the version that a write expects with the current one of a store.
    pub(crate) fn check(&self, write: &Write, store: &Store) -> Result<(), Refusal> {
        match write.cas {
            None if self.options.cas_required => Err(Refusal::Required),
            Some(cas) if u64::try_from(cas) != Ok(store.current_version()) => {
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
        let is_due = |(requests, _): &mut (u64, Write)| all || *requests == 0;
        for (_, write) in self.late.extract_if(.., is_due).collect::<Vec<_>>() {
            let _ = self.write(write);
        }
    }
}
