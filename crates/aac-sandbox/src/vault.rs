//! The vault of a running sandbox.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kv::{self, Operation, Secret, SecretVersion, VaultCounters, Write, document};
use crate::state::{Hold, Shared, VaultRequest};
use crate::tokens::Tokens;

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

    /// `http://127.0.0.1:PORT`, or `https:`, for `VAULT_ADDR`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of the pair's secret, for creds.json.
    pub fn path(&self) -> &'static str {
        self.shared.state().vault.path()
    }

    /// A token that may read and update the pair's secret, for `VAULT_TOKEN`.
    pub fn token(&self) -> String {
        self.shared.state().vault.token.clone()
    }

    /// A token that may do everything.
    pub fn root_token(&self) -> String {
        self.shared.state().vault.root_token.clone()
    }

    /// The variables that lead a client to it: `VAULT_ADDR`, `VAULT_TOKEN`.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("VAULT_ADDR", self.url.clone()), ("VAULT_TOKEN", self.token())]
    }

    /// Writes a document, as `bao kv put` does when a user pastes new tokens. Returns its version;
    /// 0 if the engine is version 1.
    pub fn put(&self, document: &Value) -> u64 {
        let vault = &mut self.shared.state().vault;
        if vault.is_kv_v1 {
            let document = document::sorted(document);
            vault.change(|store, _| store.plain.insert(kv::NAME.to_owned(), document));
            return 0;
        }
        let data = document::stored(document).expect("numbers in the range of a double");
        // Of one's own version, so that it also works where a check-and-set is required.
        let current = vault.store().current_version(kv::NAME);
        let cas = Some(i64::try_from(current).expect("a version"));
        vault.write(Write { name: kv::NAME.to_owned(), data, cas }).expect("it is current")
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
        let vault = &self.shared.state().vault;
        let secret = vault.store().secret(kv::NAME);
        secret.map(|secret| secret.versions(vault.now())).unwrap_or_default()
    }

    /// Deletes the current version. It can be undeleted.
    pub fn delete(&self) {
        self.shared.state().vault.change_secret(Secret::delete);
    }

    /// Makes a deleted version readable again.
    pub fn undelete(&self, version: u64) {
        self.shared.state().vault.change_secret(|secret, _| secret.undelete(version));
    }

    /// Removes the document of a version for good.
    pub fn destroy(&self, version: u64) {
        self.shared.state().vault.change_secret(|secret, _| secret.destroy(version));
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
        self.shared.state().vault.change(|store, _| store.secrets.remove(kv::NAME));
    }

    /// Makes each later version delete itself after that time.
    pub fn set_delete_version_after(&self, after: Option<Duration>) {
        self.shared.state().vault.set_delete_version_after(after);
    }

    /// Changes [`VaultOptions::cas_required`](crate::VaultOptions::cas_required).
    pub fn set_cas_required(&self, required: bool) {
        self.shared.state().vault.set_cas_required(required);
    }

    /// Changes [`VaultOptions::clock_offset`](crate::VaultOptions::clock_offset).
    pub fn set_clock_offset(&self, clock_offset: i64) {
        self.shared.state().vault.clock_offset = clock_offset;
    }

    /// Makes the vault refuse [`Vault::token`].
    pub fn revoke_token(&self) {
        self.shared.state().vault.token_revoked = true;
    }

    /// Makes the vault accept [`Vault::token`] again.
    pub fn restore_token(&self) {
        self.shared.state().vault.token_revoked = false;
    }

    /// Seals the vault.
    pub fn seal(&self) {
        self.shared.state().vault.sealed = true;
    }

    /// Unseals the vault.
    pub fn unseal(&self) {
        self.shared.state().vault.sealed = false;
    }

    /// Lets a standby that lags behind serve all requests: reads find what there is now, and a
    /// check-and-set is compared with that first. See also
    /// [`FaultKind::Stale`](crate::FaultKind::Stale).
    pub fn lag(&self) -> Lag {
        self.shared.state().vault.set_lagging(true);
        Lag { shared: Arc::clone(&self.shared) }
    }

    /// Applies the writes that met [`FaultKind::AppliedLater`](crate::FaultKind::AppliedLater) and
    /// are still to come.
    pub fn apply_late_writes(&self) {
        self.shared.state().vault.apply_late(true);
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
        self.shared.state().vault.counters
    }

    /// The last 10,000 requests, oldest first, without their secrets.
    pub fn requests(&self) -> Vec<VaultRequest> {
        self.shared.state().vault_log.iter().cloned().collect()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A standby lags behind until this is dropped.
#[must_use = "dropping it lets the standby catch up"]
pub struct Lag {
    shared: Arc<Shared>,
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.shared.state().vault.set_lagging(false);
    }
}

impl fmt::Debug for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lag").finish_non_exhaustive()
    }
}
