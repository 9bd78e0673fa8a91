//! Creates a plan for each row of a CSV file with a column "name": a batch that may fail half-way, and continues where
//! it ended.
//!
//!     cargo sandbox cargo run -p aac-auth --features batch --example create_plans -- plans.csv --yes
//!
//! A copy needs the feature in its Cargo.toml: `aac-auth = { path = "../aac-auth", features = ["batch"] }`. For checks
//! of a whole batch before any of it is sent, see `invite_users` and `suspend_users`.

use aac_auth::batch::{self, Action, Batch, BatchOptions, Entry};
use aac_auth::{Client, ConnectionOptions, Error, Method, json};
use clap::Parser;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

/// Create the plans that a CSV file names
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// CSV file with a column "name"
    file: PathBuf,

    #[command(flatten)]
    batch: BatchOptions,

    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let rows = batch::rows(&cli.file, &["name"])?;
    let program = concat!(env!("CARGO_CRATE_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let action = Action { verb: "create", done: "created", note: "" };
    let mut batch = Batch::new(&client, &cli.batch, &cli.file, action)?;
    // A second run, or one after a lost response, creates nothing twice.
    let plans = client.rows("/plans/v1/plans").named("plans").collect::<Result<Vec<_>, _>>()?;
    let names: HashSet<_> = plans.iter().filter_map(|plan| plan["name"].as_str()).collect();
    for row in &rows {
        let name = row.get("name").to_owned();
        if name.is_empty() {
            batch.refuse(row.line, "it has no name");
            continue;
        }
        let already = names.contains(&*name).then(|| "is there already".to_owned());
        batch.add(Entry { line: row.line, id: name, already, ..Entry::default() });
    }
    batch.run(|entry| {
        let plan = json!({ "name": entry.id });
        let plan = client.request(Method::POST, "/plans/v1/plans").json(&plan).send()?.json()?;
        Ok(format!("plan {}", plan["id"]))
    })
}
