//! Calls the Alteryx Cloud REST API with tokens that are kept fresh and never lost.
//!
//! An access token of Alteryx Cloud lives five minutes. It is renewed with a refresh token that is
//! good for one use, and answers the next one: whoever loses that answer is locked out. This crate
//! shares one `creds.json` among any number of programs, started at once or one after the other, and
//! loses none.
//!
//! # Quick start
//!
//! Three files in one folder, as the vendor's examples use them: `aac_url.txt`, `client_id.txt` and
//! `creds.json`. They are found in the folder that the environment variable `AAC_DIR` names, or else in
//! the current folder or one above it. Then:
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
//! 1. It reads creds.json. If the access token has more than a fifth of its life before it, that is
//!    all: no lock, no write.
//! 2. Otherwise it takes the kernel's lock on `creds.json.lock`, reads creds.json again (another
//!    program may have been faster), refreshes the refresh token, and saves the answer, first in a
//!    journal, then in creds.json.
//! 3. It sends the request, with the headers that the gateway asks for, to the host that serves the
//!    path. After a 401 the tokens are renewed once; after 429 and the like it waits and tries again.
//!
//! # Errors
//!
//! An [`Error`] says what happened in one line, [`Error::help`] what to do about it, and
//! [`Error::exit_code`] how a program should end; [`Error::report`] does all three.
//!
//! # Threads
//!
//! A [`Client`] can be shared by reference, or cloned: a clone is the same connection. However many
//! threads find the token old, one renews it ([`recipes::threads`]).
//!
//! # What is promised
//!
//! - An answer with new tokens, once it has arrived, is never lost: it is in a journal on the disk before
//!   anything else happens, and a run that is cut off is finished by the next one.
//! - A refresh token is sent once, or once more where the answer was lost: by one program at a time, the
//!   one that is in creds.json at that moment, and only if a new one could be saved.
//! - The refresh token goes to the authorization server that the access token names, below
//!   `alteryxcloud.com`; the access token to the two hosts of the region. No redirect is followed.
//! - No message, no error and no `Debug` output holds a token or a part of one.
//! - What no client can mend: an answer that never arrives. Then the next run succeeds if the server takes
//!   the old token once more, and otherwise new ones must be made by hand.
//!
//! How that comes about, and how it is tested: ROTATION.md, beside this crate's Cargo.toml.
//!
//! # From another project
//!
//! ```toml
//! [dependencies]
//! aac-auth = { git = "https://example.com/the/address/you/cloned.git" }
//! clap = { version = "4.6", features = ["derive"] }
//! ```
//!
//! The programs of [`recipes`] work there as they stand. Without clap, [`ConnectionOptions::default`]
//! does, with its fields set as needed; it reads `AAC_DIR` as the programs do; [`ConnectionOptions::hold_signals`] is for the program to decide.

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
pub use api::client::Client;
pub use api::json_text::JsonText;
pub use api::page_hint::PageHint;
pub use api::request::{Preview, Request};
pub use api::response::Response;
pub use api::rows::Rows;
pub use cli::output::{JsonArray, Output, print_json, print_line};
pub use config::options::ConnectionOptions;
pub use error::display::one_line;
pub use error::notices::warn;
pub use error::{Error, FileProblem, HttpError, HttpErrorKind, NetworkError, Result};
pub use serde_json::{Value, json};
pub use tokens::secret::AccessToken;
pub use ureq::http::{HeaderMap, Method, StatusCode, Version};
