//! Prints the email address of every user: all pages of a list, one row at a time.
//!
//!     cargo sandbox --users 1234 cargo run -p aac-auth --example all_pages

use aac_auth::output::Output;
use aac_auth::{Client, ConnectionOptions, Error};
use clap::Parser;
use std::process::ExitCode;

/// Print the email address of every user
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
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
    let program = concat!(env!("CARGO_CRATE_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let mut output = Output::stdout();
    for user in client.rows("/iam/v1/workspaces/{workspaceId}/people").named("users") {
        // Users choose their own names and addresses: on a terminal, unsafe characters are escaped.
        output.write_text(user?["email"].as_str().unwrap_or("(none)"))?;
        output.write(b"\n")?;
    }
    output.finish()
}
