//! Renames a plan: a PATCH with a JSON body.
//!
//!     cargo sandbox cargo run -p aac-auth --example rename_plan -- 7 "Monthly sales"

use aac_auth::{Client, ConnectionOptions, Error, Method, json, output};
use clap::Parser;
use std::process::ExitCode;

/// Rename a plan
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// Its number
    plan: u64,

    /// Its new name
    name: String,

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
    let path = format!("/plans/v1/plans/{}", cli.plan);
    // The response to a change has little more than the number, so the plan is read afterwards.
    client.request(Method::PATCH, &path).json(&json!({ "name": cli.name })).send()?;
    output::print_json(&client.get(&path)?)
}
