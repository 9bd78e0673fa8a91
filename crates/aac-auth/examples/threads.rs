//! Calls from several threads at once, which share one client. However many threads find the access
//! token stale, one refreshes it.
//!
//!     cargo sandbox cargo run -p aac-auth --example threads -- 51000 51001 51002

use aac_auth::{Client, ConnectionOptions, Error, Value, output};
use clap::Parser;
use std::process::ExitCode;
use std::thread;

/// Print people by their numbers
#[derive(Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
struct Cli {
    /// The numbers
    #[arg(required = true)]
    people: Vec<u64>,

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
    let person = &|id: &u64| client.get(&format!("/iam/v1/people/{id}"));
    let people = thread::scope(|scope| {
        let started = cli.people.iter().map(|id| scope.spawn(move || person(id)));
        // Start all of them before waiting for the first.
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|thread| thread.join().expect("no call panics"));
        ended.collect::<Result<Vec<Value>, Error>>()
    })?;
    output::print_json(&Value::from(people))
}
