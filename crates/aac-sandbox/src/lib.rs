//! A local Alteryx Cloud: the authorization server and the API behind its gateway, both on
//! loopback, for trying, learning and testing without an account and without risk to its tokens.
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
//! assert_eq!(sandbox.counters().exchanges, 0);
//! assert!(sandbox.is_live(&tokens.refresh_token));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The program `aac-sandbox` (`cargo sandbox COMMAND…`) is the same around a command.
//!
//! # What is faithful
//!
//! - Refresh tokens are good for one exchange; a spent one revokes its family, unless it comes
//!   within [`Options::grace`]. Both are settings of PingOne, the product behind the service.
//!   Neither is known for Alteryx, so the defaults are the ones that forgive nothing.
//! - An exchange that has begun is finished though the client has left.
//! - The claims of the tokens, their order, their types, their lifetimes.
//! - The order in which the layers look at a request, and the dialect in which each complains:
//!   the Google front end, the Apigee gateway, the platform, the authorization server.
//! - The body of `/iam/v1/workspaces/current` as documented, byte for byte; the fields of
//!   people as seen, in that order; those of admins and of a job that is started, as documented.
//! - The parameters and the envelope of lists. Plans: what is created, changed, deleted, run,
//!   exported and imported by which call, and the status of each answer but that of a run.
//! - The quotas per minute of the calls that have one, their headers, and the text of a refusal.
//!   They are documented for `/v4`, and taken to be the same for `/plans/v1`.
//! - The status of a run: created, in progress, complete. `…/status` is a bare JSON string.
//!
//! # What is invented
//!
//! - Signatures are random bytes, as only the server could check them.
//! - The people, the plans and their fields; `/sandbox/echo`, which shows a request to who sent
//!   it, and of a large one its length and checksum.
//! - What is in a package: a plan, and padding up to [`Options::package_size`]. An import looks
//!   at the beginning of its file, and keeps its name alone.
//! - Runs go on when someone asks how they are, not as time passes, and none fails. A minute of
//!   a quota begins with the first call in it; the names of all quotas but that of jobs.
//! - The texts of `invalid_grant` and of a few faults, which nobody has published. A client
//!   should not depend on any text.
//! - A body that is refused is read to its end first, so that the refusal arrives for certain.
//! - One address serves what the cloud spreads over three hosts: API, platform, tokens.
//!
//! # How to add to it
//!
//! An endpoint: a function in a module below `routes`, and a line in `paths!` of `routes/mod.rs`;
//! see `routes/workspaces.rs`. The gateway is in front of it already.
//!
//! A fault: a line in `kinds!` of `fault.rs`; the compiler then leads to the two functions of
//! `sabotage.rs`, one for faults instead of the work, one for faults of the answer.

mod authorization;
mod clock;
mod envelope;
mod fault;
mod gateway;
mod hold;
mod jwt;
mod ledger;
mod listener;
mod log;
mod options;
mod package;
mod platform;
mod programs;
mod quota;
mod random;
mod routes;
mod sabotage;
mod sandbox;
mod server;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod workspace;

pub use fault::{Fault, FaultError, FaultKind, Target};
pub use hold::Hold;
pub use options::{Options, Paging, RefreshTokens};
pub use programs::is_cargos_own;
pub use sandbox::{Counters, Request, Sandbox, Tokens};
