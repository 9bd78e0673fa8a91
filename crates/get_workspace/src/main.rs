//! Prints the current workspace as JSON. Run it in the folder of creds.json, or below:
//!
//!     cargo run -p get_workspace
//!
//! Or without an account: `cargo sandbox cargo run -p get_workspace`.
//!
//! To call another endpoint, copy this folder, change `name` in its Cargo.toml, and the path below.

use aac_auth::{Client, ConnectionOptions, Error, output};
use clap::Parser;
use std::process::ExitCode;

/// Print the current workspace as JSON
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Says what happened and what to do; the exit code gives the kind of error.
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let workspace = client.get("/iam/v1/workspaces/current")?;
    output::print_json(&workspace)
}
