//! Says of each plan whether it exists: an error by its kind, and a program that continues after one.
//!
//!     cargo sandbox cargo run -p aac-auth --example find_plans -- 7 99

use aac_auth::{Client, ConnectionOptions, Error, ErrorKind, StatusCode, output};
use clap::Parser;
use std::process::ExitCode;

/// Say of each plan whether it is there
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// Their numbers
    #[arg(required = true)]
    plans: Vec<u64>,

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
    let program = concat!(env!("CARGO_CRATE_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    for id in &cli.plans {
        let found = match client.get(&format!("/plans/v1/plans/{id}")) {
            Ok(plan) => plan["name"].to_string(),
            // One status, among all that the server responds with.
            Err(error) if error.http().is_some_and(|it| it.status() == StatusCode::NOT_FOUND) => {
                "not there".to_owned()
            }
            // It may succeed later; the retries of this run are over.
            Err(error) if error.is_retryable() => format!("unknown for now: {error}"),
            // What concerns this one alone.
            Err(error) if matches!(error.kind(), ErrorKind::Http | ErrorKind::Response) => {
                format!("unknown: {error}")
            }
            // Files, tokens, the network: the next would fail in the same way.
            Err(error) => return Err(error),
        };
        output::print_line(&format!("{id}  {found}"))?;
    }
    Ok(())
}
