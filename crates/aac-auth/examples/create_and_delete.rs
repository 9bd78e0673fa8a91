//! Creates a plan, and deletes it again: a POST with a JSON body, and a DELETE.
//!
//!     cargo sandbox cargo run -p aac-auth --example create_and_delete -- nightly

use aac_auth::{Client, ConnectionOptions, Error, Method, id, json, output};
use clap::Parser;
use std::process::ExitCode;

/// Create a plan, and delete it again
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// Its name
    name: String,

    /// Do not delete it
    #[arg(long)]
    keep: bool,

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
    // Not retried after a network error, because a POST is not safe to repeat: the error says to check.
    let plan = client
        .request(Method::POST, "/plans/v1/plans")
        .json(&json!({ "name": cli.name }))
        .send()?
        .json()?;
    output::print_json(&plan)?;
    if !cli.keep {
        let id = id(&plan["id"]).ok_or_else(|| Error::response("the plan has no id"))?;
        // The response has no body.
        client.request(Method::DELETE, &format!("/plans/v1/plans/{id}")).send()?;
    }
    Ok(())
}
