//! Starts a plan, or a job of a recipe, and watches it to its end. Run it in the folder of creds.json, or
//! below:
//!
//!     cargo run -p run_plan -- 7
//!
//! Or without an account: `cargo sandbox cargo run -p run_plan -- 7`.
//!
//! What to learn here: a POST that must not be repeated, and watching for longer than a token lives.

mod execution;
mod start;
mod told;
mod watch;

use aac_auth::{Client, ConnectionOptions, Error, number, output};
use clap::{ArgGroup, Parser};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use execution::ExecutionId;
use start::{Parameter, Started};
use watch::{End, Run};

/// The run has failed, or was canceled, or could not be started.
const FAILED: u8 = 10;
/// The run continues; `--max-wait` is over.
const RUNNING: u8 = 11;
/// A run may have started, or not.
const UNKNOWN: u8 = 12;
/// The run was there, and no longer exists.
const GONE: u8 = 13;

const NOTES: &str = "\
The number of the run is the only line of standard output. Exit codes:
0 it is complete, 10 it failed or was canceled, 11 it is still running,
12 it is unknown whether it has started, 13 it no longer exists;
1 to 5 as for every program.";

const PLAN: &str =
    "the number of the plan is needed, not its name: raw_call plans/v1/plans lists both";
const RECIPE: &str = "the number of the recipe is needed, such as 7, not its name";
const RUN: &str = "the number that was printed when it started is needed, such as 12345";

/// Start a plan, and watch it to its end
#[derive(Parser)]
#[command(version, after_help = NOTES, group(ArgGroup::new("what").required(true)))]
struct Cli {
    /// Number of the plan
    #[arg(group = "what", value_parser = number(0_u64.., PLAN))]
    plan: Option<u64>,

    /// Start a job of this recipe (wrangled dataset) instead
    #[arg(long, value_name = "ID", group = "what", value_parser = number(0_u64.., RECIPE))]
    recipe: Option<u64>,

    /// Watch this run of a plan, which has started already
    #[arg(long, value_name = "RUN", group = "what", value_parser = number(0_u64.., RUN))]
    resume: Option<u64>,

    /// Watch this job of a recipe, which has started already
    #[arg(long, value_name = "JOB", group = "what", value_parser = number(0_u64.., RUN))]
    resume_job: Option<u64>,

    /// Set a parameter, such as region=APAC; repeatable
    #[arg(short, long = "param", value_name = "K=V", conflicts_with_all = ["resume", "resume_job"])]
    parameters: Vec<Parameter>,

    /// Continue a start whose outcome is unknown
    #[arg(long, value_name = "ID", conflicts_with_all = ["resume", "resume_job"])]
    execution_id: Option<ExecutionId>,

    /// Stop watching after this time [default: never]
    #[arg(long, value_name = "SECS", value_parser = number(0_u32.., "a whole number of seconds, such as 600"))]
    max_wait: Option<u32>,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// What can be run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plan,
    Recipe,
}

impl Kind {
    fn noun(self) -> &'static str {
        if self == Self::Plan { "plan" } else { "recipe" }
    }

    /// The path of the list of its runs.
    fn runs(self) -> &'static str {
        if self == Self::Plan { "plans/v1/planSnapshotRuns" } else { "v4/jobLibrary" }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let of = |plan: Option<u64>, recipe: Option<u64>| {
        plan.map(|id| (Kind::Plan, id)).or(recipe.map(|id| (Kind::Recipe, id)))
    };
    let run = match (of(cli.plan, cli.recipe), of(cli.resume, cli.resume_job)) {
        (Some((kind, id)), _) => {
            match start::start(&client, kind, id, &cli.parameters, cli.execution_id)? {
                Started::Run(run) => run,
                Started::Not(code) => return Ok(code.into()),
            }
        }
        (None, Some((kind, id))) => Run { kind, id, of: None },
        (None, None) => unreachable!("clap requires one of them"),
    };
    let resume = format!("continues without this program. To watch it: {}", run.resume());

    // First of all: what follows may fail, and the number must not be lost then.
    if let Err(error) = output::print_line(&run.id.to_string()) {
        error.report();
        say(format_args!("{run} {resume}"));
        return Ok(ExitCode::FAILURE);
    }
    // Ctrl-C ends this program as it ends any other: a person is told now what that means.
    if io::stderr().is_terminal() {
        say(format_args!("if you press Ctrl-C, {run} {resume}"));
    }
    if let Some(page) = run.page(&client) {
        say(format_args!("{run} in the browser: {page}"));
    }
    let max_wait = cli.max_wait.map(|seconds| Duration::from_secs(seconds.into()));
    match watch::watch(&client, &run, max_wait) {
        Ok(end @ End::Complete) => {
            told::tell(&client, &run, &end);
            say(format_args!("{run} is complete"));
            Ok(ExitCode::SUCCESS)
        }
        Ok(ref end @ End::Failed(ref status)) => {
            told::tell(&client, &run, end);
            say(format_args!("{run} ended as {status}"));
            Ok(FAILED.into())
        }
        Ok(End::Running(seen)) => {
            say(format_args!("{run} {seen} and {resume}"));
            Ok(RUNNING.into())
        }
        Ok(End::Gone(reason)) => {
            say(format_args!("{run} no longer exists: {reason}"));
            Ok(GONE.into())
        }
        Err(error) if is_missing(&error) => {
            match run.of.is_some() {
                true => say(format_args!(
                    "{error}\n  It has not appeared since its start. To look again: {}",
                    run.resume()
                )),
                false => say_missing(&error, run.noun(), run.kind.runs()),
            }
            Ok(error.exit_code().into())
        }
        Err(error) => {
            let code = error.report();
            say(format_args!("{run} {resume}"));
            Ok(code)
        }
    }
}

/// Whether the platform does not know the number, or no longer.
fn is_missing(error: &Error) -> bool {
    error.http().is_some_and(|http| matches!(http.status().as_u16(), 404 | 410))
}

/// Reports that, with a way to find the right one. Support could not help.
fn say_missing(error: &Error, noun: &str, path: &str) {
    say(format_args!(
        "{error}\n  Check the number of the {noun}; it may belong to another workspace. To list those of yours: raw_call {path}"
    ));
}

/// Prints a message on standard error, which may be closed.
fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "run_plan: {text}");
}
