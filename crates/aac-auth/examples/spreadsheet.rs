//! Writes a list into a CSV file for a spreadsheet: one line for each plan.
//!
//!     cargo sandbox cargo run -p aac-auth --example spreadsheet -- plans.csv

use aac_auth::output::not_a_formula;
use aac_auth::{Client, ConnectionOptions, Error, Value};
use clap::Parser;
use std::borrow::Cow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the plans into a CSV file
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// The file
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
    const COLUMNS: [&str; 4] = ["id", "name", "description", "updatedAt"];
    let program = concat!(env!("CARGO_CRATE_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    // The file has its name once it is complete.
    let mut file = client.output_file(&cli.file)?;
    // Excel reads a file as UTF-8 if it begins with a byte order mark.
    file.write("\u{feff}".as_bytes())?;
    file.write_csv(COLUMNS)?;
    for plan in client.rows("/plans/v1/plans").named("plans") {
        let plan = plan?;
        file.write_csv(COLUMNS.map(|column| cell(&plan[column])))?;
    }
    file.finish()
}

fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::default(),
        // Someone else wrote this.
        Value::String(text) => not_a_formula(text),
        value => value.to_string().into(),
    }
}
