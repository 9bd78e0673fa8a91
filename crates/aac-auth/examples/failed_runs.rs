//! Prints the runs of plans that failed, newest first: a query on a list, rows as a type of the program, and a
//! response that is not as expected.
//!
//!     cargo sandbox cargo run -p aac-auth --example failed_runs
//!
//! A copy needs one more line in its Cargo.toml: `serde = { version = "1", features = ["derive"] }`.

use aac_auth::{Client, ConnectionOptions, Error, output};
use clap::Parser;
use serde::Deserialize;
use std::process::ExitCode;

/// Print the runs of plans that failed, newest first
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// At most so many
    #[arg(long, default_value_t = 10)]
    limit: u64,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// What is needed of a row. Other members are skipped; one that is missing, or of another type, is an error that
/// names it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    id: u64,
    status: String,
    /// It may be null, or missing.
    finished_at: Option<String>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let program = concat!(env!("CARGO_CRATE_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let runs = client.rows("/plans/v1/planSnapshotRuns").named("runs").limit(cli.limit);
    for run in runs.query("status", "Failed").query("sort", "-id").of::<Run>() {
        let Run { id, status, finished_at } = run?;
        // A server may not know a filter, and return everything.
        if status != "Failed" {
            return Err(Error::response(format!("run {id} is {status}, and not Failed")));
        }
        output::print_line(&format!("{id}  {}", finished_at.as_deref().unwrap_or("-")))?;
    }
    Ok(())
}
