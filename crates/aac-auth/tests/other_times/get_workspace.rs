//! get_workspace for the tests of a vault: the real times would take minutes.

use aac_auth::{Client, ConnectionOptions, Error, output};
use clap::Parser;
use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

#[derive(Parser)]
struct Cli {
    /// From so many threads at once
    #[arg(long, default_value_t = 1)]
    threads: usize,

    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    let seconds = |name| env::var(name).ok().map(|value| value.parse().expect("seconds"));
    let time = |name| seconds(name).map(Duration::from_secs);
    aac_auth::set_times_of_tests(
        time("AAC_TEST_TAKEOVER_SECONDS"),
        time("AAC_TEST_PATIENCE_SECONDS"),
    );
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let client = Client::open(&cli.connection, "other_times/1.0")?;
    let call = || output::print_json(&client.get("/iam/v1/workspaces/current")?);
    thread::scope(|scope| {
        let started: Vec<_> = (0..cli.threads).map(|_| scope.spawn(call)).collect();
        started.into_iter().try_for_each(|thread| thread.join().expect("no call panics"))
    })
}
