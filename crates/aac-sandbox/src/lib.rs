//! A local imitation of Alteryx Cloud, for trying, learning and testing without an account and without risk to
//! its tokens. The authorization server and the API behind its gateway run on loopback.
//!
//! ```
//! use aac_sandbox::{Fault, FaultKind, Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options::default())?;
//! let tokens = sandbox.issue_expired();
//! let dir = tempfile::tempdir()?;
//! sandbox.write_files(dir.path(), &tokens)?;
//! sandbox.add_fault(Fault::token(FaultKind::ResetAfter));
//!
//! // … run a client in that folder, and then:
//! assert_eq!(sandbox.counters().refreshes, 0);
//! assert!(sandbox.is_live(&tokens.refresh_token));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! With [`Options::vault`], a vault runs beside it, on a port of its own: the HTTP API of HashiCorp
//! Vault and OpenBao, as far as a pair of tokens in a KV secret needs it. See [`Vault`].
//!
//! The program `aac-sandbox` (`cargo sandbox COMMAND…`) runs a sandbox around a command.
//!
//! # What is faithful
//!
//! - A refresh token is good for one refresh. Reuse of a spent one revokes its family, unless it
//!   comes within [`Options::grace`]. Both are settings of PingOne, the product behind the service.
//!   How Alteryx has set them is unknown, so the defaults are the strictest.
//! - A refresh that has begun is finished even if the client has left.
//! - The claims of the tokens, their order, types, lifetimes and encoding, which plain base64 decodes
//!   once it is padded. The vendor's example programs rely on that.
//! - The order in which the layers check a request, and the format of each layer's errors: the
//!   Google front end, the Apigee gateway, the platform, the authorization server.
//! - The body of `/iam/v1/workspaces/current`, byte for byte as documented; the fields of people as
//!   observed, in that order; the fields of started jobs as documented.
//! - The parameters and the envelope of lists. For plans: the calls that create, change, delete,
//!   run, export and import them, and the status of each response except that of a run.
//! - The paths and bodies by which people are invited and suspended, the IDs in the response to an
//!   invitation, and the fields of admins.
//! - The status of a run: created, in progress; complete, failed or canceled. `…/status` is a bare
//!   JSON string. A start with the `x-execution-id` of an earlier one is a 304.
//! - The fields of a job group's jobs and outputs, and those that set the parameters of a run. The nodes of a
//!   plan name their job groups as in older releases.
//! - The fields of the record of a pair of tokens, and its states except that of an administrator.
//! - The vault: versions, check-and-set, `?version=`, deletion, the policy of `read` and `update`,
//!   sealing, the statuses and the order of the checks; also an engine of version 1.
//!   `crates/acceptance/tests/vault_cluster.rs` sends a real OpenBao the same requests.
//! - A standby that lags behind: its reads are old, and it refuses a check-and-set that is valid.
//!
//! # What is invented
//!
//! - Signatures are random bytes, since only the server could verify them.
//! - The people, the plans and their past runs; the fields of plans; `/sandbox/echo`, which shows a client its
//!   own request, or the length of a large one.
//! - The contents of a package: a plan, and padding up to [`Options::package_size`]. An import keeps
//!   only the name of the plan.
//! - How long a run takes ([`Options::run_time`]). Only a fault makes it fail, canceled, invisible at first or
//!   deleted, or gives it another status or a string for its ID. The other fields of runs, and of their lists.
//!   Each plan has one node with two parameters; where `runParameters` has them is not documented. A job that
//!   fails lacks a column.
//! - Where the people are who were invited or suspended: only in the list with `status=new` or
//!   `status=suspended`, or with the others if a fault says so (`people:listed`). A suspended person has
//!   `isDisabled`. A second invitation, or one of a member, is a 409; an unknown ID is a 404.
//! - There are no quotas: only a fault sends 429.
//! - The texts of `invalid_grant` and of a few faults, which are not published. A client should not
//!   depend on any text.
//! - The body of a request is read to its end before anything is rejected, so that the response
//!   always arrives. (The fault `413` is the exception.)
//! - The vault has one address; [`Vault::lag`] and the faults decide whether an active node or a standby serves
//!   a request. It has one secret, and no other endpoints; the methods of [`Vault`] replace them. Numbers stay
//!   as they were sent; a real vault turns them into doubles. Nothing is stored or encrypted.
//! - One address serves what the cloud spreads over three hosts: API, platform, tokens.
//!
//! # How to add to it
//!
//! To add an endpoint, write a function in a module of `routes` and add a line to `PATHS` in
//! `routes/mod.rs`. `people::workspace` is an example. The gateway is already in front of it.
//!
//! The responses of the vault are in `vault/respond.rs`, what it stores is in `vault/engine.rs`.
//!
//! To add a fault, add a line to `kinds!` in `faults/kind.rs`, and its effect to `server/inject.rs`:
//! `before` is for faults that replace the handling of a request, `after` for faults of its response.

mod clock;
mod faults;
mod http;
mod options;
mod platform;
mod routes;
mod sandbox;
mod server;
mod state;
mod tokens;
mod vault;
mod workspace;

pub use faults::{Fault, FaultError, FaultKind, Target};
pub use options::{Options, Paging, RefreshTokens, VaultOptions};
pub use platform::is_set_by_cargo;
pub use sandbox::Sandbox;
#[cfg(feature = "tls")]
pub use server::tls::Certificate;
pub use state::{Counters, Hold, Request};
pub use tokens::Tokens;
pub use vault::{Lag, Operation, SecretVersion, Vault, VaultCounters};
