//! Tokens in a vault, with real processes on several machines: each is a folder whose creds.json names
//! the same secret.
//!
//! The vault is the sandbox's. That of `cluster` is a real one, and a command of its own.

#[cfg(unix)]
mod cluster;
mod fleet;
mod refreshes;
mod settings;
#[cfg(unix)]
mod signals;
mod tls;

use std::time::Duration;

const PAGE: &str = "/cloud-portal/preferences/oauth2-api-tokens";
const SOON: Duration = Duration::from_secs(30);
/// Shortens the time until a holder counts as dead, for [`acceptance::in_other_times`].
const TAKEOVER: &str = "AAC_TEST_TAKEOVER_SECONDS";
/// Bounds how long the vault is tried, for the same.
const PATIENCE: &str = "AAC_TEST_PATIENCE_SECONDS";
const WAITS: &str = "waiting for another program";
