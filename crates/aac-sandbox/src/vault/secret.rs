//! The secret of the pair, and its versions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;

/// A secret of a version 2 engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secret {
    versions: BTreeMap<u64, Version>,
}

#[derive(Clone, Debug)]
struct Version {
    data: Value,
    created: Timestamp,
    /// When it was or will be deleted.
    deletion: Option<Timestamp>,
    destroyed: bool,
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

impl Secret {
    /// How many versions are kept unless the engine's settings say otherwise.
    const MAX_VERSIONS: usize = 10;

    pub(crate) fn current_version(&self) -> u64 {
        self.versions.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// A version as it is now. Zero means the current one.
    pub(crate) fn version(&self, number: u64, now: Timestamp) -> Option<SecretVersion> {
        let number = if number == 0 { self.current_version() } else { number };
        let version = self.versions.get(&number)?;
        Some(SecretVersion {
            version: number,
            data: version.is_readable(now).then(|| version.data.clone()),
            created_time: version.created.to_string(),
            deletion_time: version.deletion.map(|time| time.to_string()).unwrap_or_default(),
            destroyed: version.destroyed,
        })
    }

    /// All versions that are kept, oldest first.
    pub(crate) fn versions(&self, now: Timestamp) -> Vec<SecretVersion> {
        self.versions.keys().filter_map(|number| self.version(*number, now)).collect()
    }

    /// Adds a version, and returns its number.
    pub(crate) fn put(
        &mut self,
        data: Value,
        now: Timestamp,
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
    pub(crate) fn delete(&mut self, now: Timestamp) {
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
}

impl Version {
    fn is_readable(&self, now: Timestamp) -> bool {
        !self.destroyed && self.deletion.is_none_or(|deletion| deletion > now)
    }
}
