//! Calls the Alteryx Cloud REST API with tokens that stay fresh and are never lost.
//!
//! An Alteryx Cloud access token lives five minutes. It is renewed with a refresh token that works once
//! and returns the next one: losing that response locks you out. This crate shares one `creds.json`
//! among any number of programs, at once or one after the other, and loses none.
//!
//! # Quick start
//!
//! Put three files into one folder, as in the vendor's examples: `aac_url.txt`, `client_id.txt` and
//! `creds.json`. The folder is the one that the environment variable `AAC_DIR` names, or else the
//! current folder or the nearest one above it. Then:
//!
//! ```no_run
//! use aac_auth::{Client, ConnectionOptions, Error};
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
//!     aac_auth::print_json(&workspace)
//! }
//! ```
//!
//! # What a call does
//!
//! 1. It reads creds.json. If more than a fifth of the access token's life is left, that is all: no
//!    lock, no write.
//! 2. Otherwise it takes the kernel's lock on `creds.json.lock` and reads creds.json again (another
//!    program may have been faster). It refreshes the tokens and saves the response, first in a
//!    journal, then in creds.json.
//! 3. It sends the request, with the headers that the gateway requires, to the host that serves the
//!    path. After a 401 it refreshes once; after 429 and the like it waits and retries.
//!
//! # Errors
//!
//! An [`Error`] says in one line what happened, [`Error::help`] what to do about it, and
//! [`Error::exit_code`] how a program should end; [`Error::report`] does all three.
//!
//! # Threads
//!
//! A [`Client`] can be shared by reference, or cloned: a clone is the same connection. However many
//! threads find the token stale, one refreshes it ([`recipes::threads`]).
//!
//! # What is promised
//!
//! - A response with new tokens is never lost once it has arrived: it is in a journal on disk before
//!   anything else happens, and the next run completes an interrupted one.
//! - A refresh token is sent once, or once more if the response was lost: by one program at a time, only
//!   the token in creds.json at that moment, and only if a new one can be saved.
//! - The refresh token goes only to the authorization server that the access token names, below
//!   `alteryxcloud.com`; the access token only to the two hosts of the region. No redirect is followed.
//! - No message, error or `Debug` output contains a token or part of one.
//! - No client can fix a response that never arrives. Then the next run succeeds if the server accepts
//!   the old token once more; otherwise new tokens must be created by hand.
//!
//! How this works and how it is tested: ROTATION.md, beside this crate's Cargo.toml.
//!
//! # From another project
//!
//! ```toml
//! [dependencies]
//! aac-auth = { git = "https://example.com/the/address/you/cloned.git" }
//! clap = { version = "4.6", features = ["derive"] }
//! ```
//!
//! The programs of [`recipes`] work there unchanged. Without clap, use [`ConnectionOptions::default`] and
//! set its fields as needed; it reads `AAC_DIR` too. Set [`ConnectionOptions::hold_signals`] as you need.

mod api;
mod cli;
mod config;
mod error;
mod http;
mod platform;
mod rotation;
mod store;
mod tokens;

pub mod recipes;

pub use api::body::Body;
pub use api::client::{Client, Farewell};
pub use api::json_text::JsonText;
pub use api::page_hint::PageHint;
pub use api::request::{Preview, Request};
pub use api::response::Response;
pub use api::rows::Rows;
pub use api::status::{Leftover, PairState, TokenPlace, TokenStatus};
pub use cli::output::{JsonArray, Output, print_json, print_line, print_text};
pub use config::options::ConnectionOptions;
pub use error::display::one_line;
pub use error::notices::warn;
pub use error::{Error, FileProblem, HttpError, HttpErrorKind, NetworkError, Result};
pub use serde_json::{Value, json};
pub use tokens::secret::AccessToken;
pub use tokens::timestamp::Timestamp;
pub use ureq::http::{HeaderMap, Method, StatusCode, Version};
