//! What all requests share. Every part of the server may use it; it uses none of them.

mod hold;
mod log;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use hold::Hold;
pub use log::Request;

use crate::clock::Timestamp;
use crate::faults::Queue;
use crate::options::Options;
use crate::tokens::jwt::Mint;
use crate::tokens::ledger::{Ledger, Policy};
use crate::vault::engine::{Engine, Operation};
use hold::Gate;
use log::Log;

/// What all requests share, and the [`Sandbox`](crate::Sandbox) with them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mint: Mint,
    /// Where requests to the token endpoint wait before they are handled.
    pub(crate) arrivals: Arc<Gate>,
    /// Where responses of the token endpoint wait before they are sent.
    pub(crate) responses: Arc<Gate>,
    /// The same for the operations of the vault.
    vault_gates: [(Arc<Gate>, Arc<Gate>); 3],
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(options: &Options, mint: Mint) -> Self {
        Self {
            mint,
            arrivals: Gate::new(),
            responses: Gate::new(),
            vault_gates: std::array::from_fn(|_| (Gate::new(), Gate::new())),
            state: Mutex::new(State {
                grace: options.grace,
                replay_protection: options.replay_protection,
                clock_offset: options.clock_offset,
                ledger: Ledger::default(),
                faults: Queue(options.faults.clone()),
                counters: Counters::default(),
                log: Log::default(),
                vault: Engine::new(options.vault.clone().unwrap_or_default()),
                vault_log: Log::default(),
            }),
        }
    }

    /// Where requests to the vault wait before they are handled.
    pub(crate) fn vault_arrivals(&self, operation: Operation) -> &Arc<Gate> {
        &self.vault_gates[operation as usize].0
    }

    /// Where responses of the vault wait before they are sent.
    pub(crate) fn vault_responses(&self, operation: Operation) -> &Arc<Gate> {
        &self.vault_gates[operation as usize].1
    }

    /// What changes while the server runs.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What changes while the server runs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) grace: Duration,
    replay_protection: bool,
    pub(crate) clock_offset: i64,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Queue,
    pub(crate) counters: Counters,
    pub(crate) log: Log,
    pub(crate) vault: Engine,
    pub(crate) vault_log: Log,
}

impl State {
    /// The time by the server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now(self.clock_offset)
    }

    /// The rules for a refresh now.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            now: self.now().seconds(),
            grace: self.grace,
            replay_protection: self.replay_protection,
        }
    }
}

/// What has happened in a sandbox so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests to anything below `/as`.
    pub token_requests: u64,
    /// Successful refreshes, whether or not the response arrived.
    pub refreshes: u64,
    /// Refresh tokens refused with `invalid_grant`.
    pub refused: u64,
    /// Refused refresh tokens that had been spent before.
    pub reused: u64,
    /// Families revoked because of such a reuse.
    pub revoked: u64,
    /// Requests to anything but `/as`.
    pub api_calls: u64,
    /// API requests without a valid access token.
    pub unauthorized: u64,
    /// Requests that met a fault.
    pub faults: u64,
}
