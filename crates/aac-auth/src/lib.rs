//! Calls the Alteryx Cloud REST API with tokens that stay fresh and are never lost.
//!
//! An Alteryx Cloud access token lives five minutes. It is refreshed with a refresh token that works once
//! and returns the next one: losing that response locks you out. This crate shares one `creds.json`
//! among any number of programs, even at once, and loses no response that arrives.
//!
//! # Quick start
//!
//! Three files in one folder, as in the vendor's examples, hold the account: `aac_url.txt`, `client_id.txt` and
//! `creds.json`. The program `login` writes them. The folder is the one that the variable `AAC_DIR` names, else the
//! current one or the nearest above it, where files of another user are refused, else the user's own
//! (`~/.config/aac`). In CI and pods, variables may replace the files: "What wins" in README.md, beside this crate's
//! Cargo.toml. Then:
//!
//! ```no_run
//! use aac_auth::{Client, ConnectionOptions, Error, output};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     match run() {
//!         Ok(()) => ExitCode::SUCCESS,
//!         // Says what happened and what to do.
//!         Err(error) => error.report(),
//!     }
//! }
//!
//! fn run() -> Result<(), Error> {
//!     let client = Client::open(&ConnectionOptions::default(), "demo/1.0")?;
//!     let workspace = client.get("/iam/v1/workspaces/current")?;
//!     output::print_json(&workspace)
//! }
//! ```
//!
//! # What a call does
//!
//! 1. It reads creds.json. If more than a fifth of the access token's life is left, it uses that token,
//!    without a lock and without writing anything.
//! 2. Otherwise it takes the kernel's lock on `creds.json.lock` and reads creds.json again (another
//!    program may have been faster). It refreshes the tokens and saves the response, first in a
//!    journal, then in creds.json.
//! 3. It sends the request, with the headers that the gateway requires, to the host that serves the
//!    path. After a 401 it refreshes once; after 429 and the like it waits and retries.
//!
//! If creds.json names a secret in a vault, the tokens are there, and a claim in that secret takes the
//! place of the lock.
//!
//! # Responses
//!
//! [`Client::get`], [`Response::json`] and [`Rows`] return a [`Value`]. [`Client::get_as`],
//! [`Response::json_as`] and [`Rows::of`] return a type of the program, which derives serde's
//! `Deserialize`. If a response does not fit, the error names the field. A program makes such an error itself
//! with [`Error::response`], or with `?` on a `serde_json::Error`.
//!
//! # Errors
//!
//! An [`Error`] says in one line what happened, [`Error::help`] what to do about it, and
//! [`Error::exit_code`] how a program should end; [`Error::report`] does all three. A program that
//! continues instead ([`recipes::find_plans`]) asks [`Error::is_retryable`], [`Error::may_have_taken_effect`] and
//! [`Error::needs_new_tokens`], and reads the response from [`Error::http`].
//!
//! # Threads
//!
//! A [`Client`] can be shared by reference, or cloned: a clone is the same connection. However many
//! threads find the token stale, one refreshes it.
//!
//! ```no_run
//! # use aac_auth::{Client, ConnectionOptions, Value};
//! # let client = Client::open(&ConnectionOptions::default(), "demo/1.0")?;
//! let person = &|id| client.get(&format!("/iam/v1/people/{id}"));
//! let people: Vec<aac_auth::Result<Value>> = std::thread::scope(|scope| {
//!     // All of them are started before the first is waited for.
//!     let threads = [51000, 51001].map(|id| scope.spawn(move || person(id)));
//!     threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
//! });
//! # Ok::<(), aac_auth::Error>(())
//! ```
//!
//! # What is promised
//!
//! - A response with new tokens is never lost once it has arrived: it is in a journal on disk before
//!   anything else happens, and the next run completes an interrupted one.
//! - A refresh token is sent once, or once more if the response was lost: by one program at a time, only
//!   a token that was read under the lock, and only if a new one can be saved.
//! - The refresh token goes only to the authorization server that the access token names, below
//!   `alteryxcloud.com`; the access token only to the two hosts of the region. No redirect is followed.
//! - No message, error or `Debug` output contains a token or part of one.
//! - What no client can promise: if a response never arrives, the next run succeeds only if the server
//!   accepts the old token once more. Otherwise you have to create new tokens by hand.
//!
//! How this works and how it is tested: ROTATION.md, beside this crate's Cargo.toml.
//!
//! # From another project
//!
//! ```toml
//! [dependencies]
//! aac-auth = { path = "/home/me/aac-rust/crates/aac-auth" }
//! clap = { version = "4.6", features = ["derive"] }
//! ```
//!
//! The programs of [`recipes`] work there unchanged; two need a change to Cargo.toml, which they name. The
//! feature `clap`, which is on by default, makes [`ConnectionOptions`] part of a program's flags. A program
//! that does not use clap turns it off:
//!
//! ```toml
//! [dependencies]
//! aac-auth = { path = "/home/me/aac-rust/crates/aac-auth", default-features = false }
//! ```
//!
//! It starts from [`ConnectionOptions::default`], which looks at the environment too.
//!
//! Two features add modules: `batch` sends the rows of a CSV file one by one, and `table` prints lists as tables, CSV
//! and JSON.

mod api;
#[cfg(feature = "batch")]
pub mod batch;
mod config;
mod error;
mod http;
mod keys;
mod loopback;
mod platform;
mod random;
mod rotation;
mod store;
#[cfg(feature = "table")]
pub mod table;
mod tokens;

pub mod input;
pub mod output;
pub mod recipes;

// The client.
pub use api::client::Client;
pub use config::options::{ConnectionOptions, number};
pub use config::text::{json_flaw, text_of};
pub use tokens::secret::AccessToken;

// What is known of the tokens, and how they are kept.
pub use api::sealing::{Form, TurnedOver};
pub use api::status::{Leftover, PairState, TokenStatus};
pub use error::place::Place;
pub use tokens::timestamp::Timestamp;

// A request and its response.
pub use api::body::Body;
pub use api::request::{Preview, Request};
pub use api::response::Response;

// The rows of a list, and JSON as the server wrote it.
pub use api::json::id;
pub use api::login;
pub use api::raw;
pub use api::rows::Rows;

// What goes wrong.
pub use error::{Error, ErrorKind, HttpError, Result};

#[doc(hidden)]
pub use store::vault::set_times_of_tests;

// The types of `http` and `serde_json` that are part of the above.
pub use serde_json::{Value, json};
pub use ureq::http::{HeaderMap, Method, StatusCode, Version};
