//! Copies a plan: downloads its package to a file, and uploads that again.
//!
//!     cargo sandbox cargo run -p aac-auth --example copy_plan -- 7 plan.zip

use aac_auth::{Body, Client, ConnectionOptions, Error, Method, output};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy a plan by its package
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// Its number
    plan: u64,

    /// The file for the package
    file: PathBuf,

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

    // A package may be larger than memory. The file has its name once it is complete. If the connection
    // breaks, the package is requested again, and goes into a new file.
    let path = format!("/plans/v1/plans/{}/package", cli.plan);
    client.request(Method::GET, &path).download().send_and(|mut package| {
        let mut file = client.output_file(&cli.file)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match package.read(&mut buffer)? {
                0 => return file.finish(),
                length => file.write(&buffer[..length])?,
            }
        }
    })?;

    let imported = client
        .request(Method::POST, "/plans/v1/plans/package")
        .multipart([("data", Body::file(&cli.file)?)])
        .send()?
        .json()?;
    output::print_json(&imported)
}
