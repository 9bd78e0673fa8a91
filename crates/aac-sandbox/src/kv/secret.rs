//! A secret and its versions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Nanos;

/// A secret of a version 2 engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secret {
    versions: BTreeMap<u64, Version>,
}

/// One version of a secret.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    data: Value,
    pub(crate) created: Nanos,
    /// When it was or will be deleted.
    pub(crate) deletion: Option<Nanos>,
    pub(crate) destroyed: bool,
}

/// Why a write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The current version is not the expected one.
    Mismatch,
    /// The write names no version, but must.
    Required,
}

impl Secret {
    /// How many versions are kept unless the engine's settings say otherwise.
    const MAX_VERSIONS: usize = 10;

    pub(crate) fn current_version(&self) -> u64 {
        self.versions.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// A version and its number. Zero means the current one.
    pub(crate) fn version(&self, number: u64) -> Option<(u64, &Version)> {
        let number = if number == 0 { self.current_version() } else { number };
        Some((number, self.versions.get(&number)?))
    }

    /// Adds a version, and returns its number.
    pub(crate) fn put(
        &mut self,
        data: Value,
        now: Nanos,
        delete_after: Option<Duration>,
        max: usize,
    ) -> u64 {
        let number = self.current_version() + 1;
        let deletion = delete_after.map(|after| now.plus(after));
        let version = Version { data, created: now, deletion, destroyed: false };
        self.versions.insert(number, version);
        let max = if max == 0 { Self::MAX_VERSIONS } else { max };
        while self.versions.len() > max {
            self.versions.pop_first();
        }
        number
    }

    /// Deletes the current version. It can be undeleted.
    pub(crate) fn delete(&mut self, now: Nanos) {
        if let Some(mut version) = self.versions.last_entry()
            && version.get().is_readable(now)
        {
            version.get_mut().deletion = Some(now);
        }
    }

    pub(crate) fn undelete(&mut self, number: u64) {
        if let Some(version) = self.versions.get_mut(&number) {
            version.deletion = None;
        }
    }

    /// Removes the document of a version for good.
    pub(crate) fn destroy(&mut self, number: u64) {
        if let Some(version) = self.versions.get_mut(&number) {
            version.data = Value::Null;
            version.destroyed = true;
        }
    }

    /// All versions that are kept, oldest first.
    pub(crate) fn versions(&self, now: Nanos) -> Vec<SecretVersion> {
        self.versions.iter().map(|(number, version)| version.show(*number, now)).collect()
    }
}

impl Version {
    /// The document, unless it was deleted or destroyed.
    pub(crate) fn data(&self, now: Nanos) -> Option<&Value> {
        self.is_readable(now).then_some(&self.data)
    }

    fn is_readable(&self, now: Nanos) -> bool {
        !self.destroyed && self.deletion.is_none_or(|deletion| deletion > now)
    }

    pub(crate) fn show(&self, number: u64, now: Nanos) -> SecretVersion {
        SecretVersion {
            version: number,
            data: self.data(now).cloned(),
            created_time: self.created.to_string(),
            deletion_time: self.deletion.map(|time| time.to_string()).unwrap_or_default(),
            destroyed: self.destroyed,
        }
    }
}

/// A version of a secret, as a read shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// Counts from 1.
    pub version: u64,
    /// The document; `None` if it was deleted or destroyed.
    pub data: Option<Value>,
    /// When it was written (RFC 3339).
    pub created_time: String,
    /// When it was or will be deleted; empty if never.
    pub deletion_time: String,
    /// Whether the document is gone for good.
    pub destroyed: bool,
}
