//! The vault beside the cloud: what it has stored, what it responds, and what tests do to it.

pub(crate) mod engine;
pub(crate) mod respond;
mod secret;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::state::{Hold, Request, Shared};
use crate::tokens::Tokens;
use engine::Engine;
pub use engine::{Operation, VaultCounters};
pub use secret::SecretVersion;

/// The vault of a running [`Sandbox`](crate::Sandbox): a KV secrets engine at `secret/`, behind the
/// HTTP API of HashiCorp Vault and OpenBao. Its secret `aac` holds the pair of tokens.
///
/// ```
/// use aac_sandbox::{Fault, FaultKind, Options, Sandbox, VaultOptions};
///
/// let vault = Some(VaultOptions::default());
/// let sandbox = Sandbox::start(Options { vault, ..Options::default() })?;
/// let vault = sandbox.vault();
/// let version = vault.put_tokens(&sandbox.issue_expired());
/// sandbox.add_fault(Fault::vault_write(FaultKind::AppliedLater(2)));
///
/// // … run a client with these variables, and then:
/// let [(_, _addr), (_, _token)] = vault.environment();
/// assert_eq!(vault.read().map(|read| read.version), Some(version));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Vault {
    url: String,
    shared: Arc<Shared>,
}

impl Vault {
    pub(crate) fn new(url: String, shared: Arc<Shared>) -> Self {
        Self { url, shared }
    }

    /// Has the engine to itself.
    fn with<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        act(&mut self.shared.state().vault)
    }

    /// `http://127.0.0.1:PORT`, or `https:`, for `VAULT_ADDR`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of the pair's secret, for creds.json.
    pub fn path(&self) -> &'static str {
        self.with(|engine| engine.path())
    }

    /// A token that may read and update the pair's secret, for `VAULT_TOKEN`.
    pub fn token(&self) -> String {
        self.with(|engine| engine.token.clone())
    }

    /// A token that may do everything.
    pub fn root_token(&self) -> String {
        self.with(|engine| engine.root_token.clone())
    }

    /// The variables that lead a client to it: `VAULT_ADDR`, `VAULT_TOKEN`.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("VAULT_ADDR", self.url.clone()), ("VAULT_TOKEN", self.token())]
    }

    /// Writes a document, as `bao kv put` does when a user pastes new tokens. Returns its version;
    /// 0 if the engine is version 1.
    pub fn put(&self, document: &Value) -> u64 {
        let document = respond::sorted(document.clone());
        self.with(|engine| match engine.options.kv_v1 {
            false => engine.put(document),
            true => {
                let path = engine.path().to_owned();
                engine.change(|store| store.plain.insert(path, document));
                0
            }
        })
    }

    /// Writes the document of a creds.json with these tokens. Returns its version.
    pub fn put_tokens(&self, tokens: &Tokens) -> u64 {
        let Tokens { access_token, refresh_token } = tokens;
        self.put(&json!({ "access_token": access_token, "refresh_token": refresh_token }))
    }

    /// The current version; `None` if the secret does not exist.
    pub fn read(&self) -> Option<SecretVersion> {
        self.versions().pop()
    }

    /// All versions that are kept, oldest first.
    pub fn versions(&self) -> Vec<SecretVersion> {
        self.with(|engine| {
            let secret = engine.store.secret.as_ref();
            secret.map(|secret| secret.versions(engine.now())).unwrap_or_default()
        })
    }

    /// Deletes the current version. It can be undeleted.
    pub fn delete(&self) {
        self.with(|engine| engine.change_secret(|secret, now| secret.delete(now)));
    }

    /// Makes a deleted version readable again.
    pub fn undelete(&self, version: u64) {
        self.with(|engine| engine.change_secret(|secret, _| secret.undelete(version)));
    }

    /// Removes the document of a version for good.
    pub fn destroy(&self, version: u64) {
        self.with(|engine| engine.change_secret(|secret, _| secret.destroy(version)));
    }

    /// Writes the document of an earlier version again, as `bao kv rollback` does. Returns the
    /// number of the new version.
    ///
    /// # Panics
    ///
    /// If there is no such version or it was deleted.
    pub fn rollback(&self, version: u64) -> u64 {
        let earlier = self.versions().into_iter().find(|kept| kept.version == version);
        self.put(&earlier.and_then(|kept| kept.data).expect("a version that can be read"))
    }

    /// Removes the secret with all its versions.
    pub fn delete_metadata(&self) {
        self.with(|engine| engine.change(|store| store.secret = None));
    }

    /// Makes each later version delete itself after that time.
    pub fn set_delete_version_after(&self, after: Option<Duration>) {
        self.with(|engine| engine.delete_version_after = after);
    }

    /// Changes [`VaultOptions::cas_required`](crate::VaultOptions::cas_required).
    pub fn set_cas_required(&self, required: bool) {
        self.with(|engine| engine.options.cas_required = required);
    }

    /// Changes [`VaultOptions::clock_offset`](crate::VaultOptions::clock_offset).
    pub fn set_clock_offset(&self, clock_offset: i64) {
        self.with(|engine| engine.options.clock_offset = clock_offset);
    }

    /// Makes the vault refuse [`Vault::token`].
    pub fn revoke_token(&self) {
        self.with(|engine| engine.token_revoked = true);
    }

    /// Makes the vault accept [`Vault::token`] again.
    pub fn restore_token(&self) {
        self.with(|engine| engine.token_revoked = false);
    }

    /// Seals the vault.
    pub fn seal(&self) {
        self.with(|engine| engine.sealed = true);
    }

    /// Unseals the vault.
    pub fn unseal(&self) {
        self.with(|engine| engine.sealed = false);
    }

    /// Lets a standby that lags behind serve all requests: reads find what there is now, and a
    /// check-and-set is compared with that first. See also
    /// [`FaultKind::Stale`](crate::FaultKind::Stale).
    pub fn lag(&self) -> Lag {
        self.with(|engine| engine.set_lagging(true));
        Lag { shared: Arc::clone(&self.shared) }
    }

    /// Applies the writes that met [`FaultKind::AppliedLater`](crate::FaultKind::AppliedLater) and
    /// are still to come.
    pub fn apply_late_writes(&self) {
        self.with(|engine| engine.apply_late(true));
    }

    /// Holds requests before they are handled.
    pub fn hold(&self, operation: Operation) -> Hold {
        self.shared.vault_arrivals(operation).hold()
    }

    /// Holds responses before they are sent. Writes are applied.
    pub fn hold_responses(&self, operation: Operation) -> Hold {
        self.shared.vault_responses(operation).hold()
    }

    /// What has happened so far.
    pub fn counters(&self) -> VaultCounters {
        self.with(|engine| engine.counters)
    }

    /// The last 10,000 requests, oldest first, without their secrets.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().vault_log.requests()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A standby lags behind until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it lets the standby catch up"]
pub struct Lag {
    shared: Arc<Shared>,
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.shared.state().vault.set_lagging(false);
    }
}
