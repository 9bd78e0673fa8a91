//! Creates a plan: a POST with a JSON body.
//!
//!     cargo sandbox cargo run -p aac-auth --example post_json -- nightly

use aac_auth::{Client, ConnectionOptions, Error, Method, json, output};
use clap::Parser;
use std::process::ExitCode;

/// Create a plan
#[derive(Parser)]
struct Cli {
    /// Its name
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
    let client = Client::open(&cli.connection, "post_json/1.0")?;
    // Not retried after a network error, because a POST is not safe to repeat.
    let plan = client
        .request(Method::POST, "/plans/v1/plans")
        .json(&json!({ "name": cli.name }))
        .send()?
        .json()?;
    output::print_json(&plan)
}
