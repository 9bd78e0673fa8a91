//! Prints an access token that is valid now, for curl and programs in other languages:
//!
//! ```bash
//! token=$(cargo run -qp access_token) &&
//! printf 'Authorization: Bearer %s\n' "$token" | curl -H @- URL
//! ```
//!
//! The pipe keeps the token off the command line, which any user of the machine can read.
//!
//! Or without an account: `cargo sandbox cargo run -p access_token`.

use aac_auth::{Client, ConnectionOptions, Error, output};
use clap::Parser;
use std::process::ExitCode;

/// Print an access token that is valid now, refreshed first if needed
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    output::print_line(client.access_token()?.expose())
}
