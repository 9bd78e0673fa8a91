//! Runs a recipe and waits for it to finish, which may take hours. An access token lives five minutes;
//! each call makes sure that it has a valid one.
//!
//!     cargo sandbox cargo run -p aac-auth --example run_job -- 7

use aac_auth::{Client, ConnectionOptions, Error, Method, json, output};
use clap::Parser;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Run a recipe, and wait for its end
#[derive(Parser)]
struct Cli {
    /// Number of the recipe (wrangled dataset)
    recipe: u64,

    /// Milliseconds between two looks at the job
    #[arg(long, default_value_t = 5000)]
    every: u64,

    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(status) if status == "Complete" => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<String, Error> {
    let client = Client::open(&cli.connection, "run_job/1.0")?;
    let job = client
        .request(Method::POST, "/v4/jobGroups")
        .json(&json!({ "wrangledDataset": { "id": cli.recipe } }))
        .send()?
        .json()?;
    loop {
        // The status is a bare JSON string, such as "InProgress".
        let status = client.get(&format!("/v4/jobGroups/{}/status", job["id"]))?;
        let status = status.as_str().unwrap_or("unknown");
        output::print_line(status)?;
        if !matches!(status, "Created" | "Pending" | "InProgress") {
            return Ok(status.to_owned());
        }
        thread::sleep(Duration::from_millis(cli.every));
    }
}
