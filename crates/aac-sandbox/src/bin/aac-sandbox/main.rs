//! A local Alteryx Cloud for trying, learning and testing.
//!
//! ```text
//! cargo sandbox cargo run -p get_workspace          around one command
//! cargo sandbox bash                                around a shell
//! cargo sandbox --fault token:reset-after list_users
//! cargo sandbox                                     until Ctrl-C
//! ```

mod child;
mod folder;
mod platform;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aac_sandbox::{Fault, FaultKind, Options, Sandbox};
use clap::{Parser, value_parser};

use crate::folder::Folder;
use crate::platform::Signals;

/// A local Alteryx Cloud on 127.0.0.1, for trying, learning and testing.
///
/// With a COMMAND, runs it against the sandbox: AAC_DIR names a temporary folder with
/// aac_url.txt, client_id.txt and a creds.json whose access token has just expired. Ends with
/// the exit status of the command. Without one, serves until Ctrl-C and prints the folder.
#[derive(Debug, Parser)]
#[command(version, after_long_help = kinds_of_faults())]
struct Cli {
    /// Listen on this port; any free one by default
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Write the three files into this folder, and leave them there
    #[arg(long)]
    dir: Option<PathBuf>,

    /// How long an access token lives
    #[arg(long, value_name = "SECS", default_value_t = 300,
        value_parser = value_parser!(i64).range(1..=86_400))]
    token_lifetime: i64,

    /// How long a spent refresh token may be sent once more; later, its whole family is revoked
    #[arg(long, value_name = "SECS", default_value_t = 0,
        value_parser = value_parser!(u64).range(..=86_400))]
    grace: u64,

    /// How many people the workspace has
    #[arg(long, value_name = "N", default_value_t = 3)]
    users: usize,

    /// How large an exported package is
    #[arg(long, value_name = "BYTES", default_value_t = 2000)]
    package_size: u64,

    /// Wait so long before each answer
    #[arg(long, value_name = "MS", default_value_t = 0,
        value_parser = value_parser!(u64).range(..=3_600_000))]
    latency: u64,

    /// Let TARGET:KIND[=VALUE][+SKIP][xTIMES] go wrong; repeatable (--help lists the kinds)
    #[arg(long)]
    fault: Vec<Fault>,

    /// The command to run, and its arguments
    #[arg(trailing_var_arg = true)]
    command: Vec<OsString>,
}

fn main() {
    let cli = Cli::parse();
    // Not by way of ExitCode, which has no room for the exit codes of Windows.
    let code = run(&cli).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "aac-sandbox: {error}");
        1
    });
    std::process::exit(code);
}

fn run(cli: &Cli) -> io::Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    // Before there is anything to clean up.
    let mut signals = Signals::listen()?;

    let sandbox = Sandbox::start(Options {
        port: cli.port,
        token_lifetime: cli.token_lifetime,
        grace: Duration::from_secs(cli.grace),
        users: cli.users,
        package_size: cli.package_size,
        latency: Duration::from_millis(cli.latency),
        faults: cli.fault.clone(),
        quiet: false,
        ..Options::default()
    })
    .map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = cli.port;
            io::Error::other(format!(
                "port {port} is in use: name another with --port, or leave it out for any free one"
            ))
        }
        _ => error,
    })?;
    let folder = Folder::open(cli.dir.as_deref())?;
    // Expired, so that the first call shows a rotation.
    sandbox.write_files(folder.path(), &sandbox.issue_expired())?;

    let code = match cli.command.split_first() {
        Some((program, arguments)) => {
            runtime.block_on(child::run(program, arguments, folder.path(), &mut signals))
        }
        None => {
            announce(&sandbox, folder.path());
            runtime.block_on(signals.next());
            0
        }
    };
    folder.close();
    Ok(code)
}

/// Says where the files are: the folder alone on stdout, for scripts; the rest on stderr.
fn announce(sandbox: &Sandbox, folder: &Path) {
    let path = folder.display().to_string();
    let text = format!(
        "sandbox: {} until Ctrl-C. In another terminal:\n\
         sandbox:   bash, zsh    export AAC_DIR='{}'\n\
         sandbox:   PowerShell   $env:AAC_DIR = '{}'\n",
        sandbox.url(),
        path.replace('\'', r"'\''"),
        path.replace('\'', "''"),
    );
    // Whoever closed the one or the other does not want to know.
    let _ = io::stderr().write_all(text.as_bytes());
    let _ = writeln!(io::stdout(), "{path}");
}

fn kinds_of_faults() -> String {
    let mut text = "Faults:\n  \
        --fault token:503=2       the next token request is answered 503, Retry-After 2 s\n  \
        --fault api:429x2         the next two calls of the API are throttled\n  \
        --fault api:500+1xall     all calls of the API fail, the first excepted\n\n  \
        TARGET is token or api; VALUE are seconds (503, 429, slow, slow-body; default 1) or the\n  \
        address of redirect; +SKIP lets so many requests pass first; xall is always. KIND:\n"
        .to_owned();
    let mut kinds = FaultKind::all();
    kinds.sort_by_key(FaultKind::name);
    for kind in kinds {
        let _ = writeln!(text, "  {:<18}{}", kind.name(), kind.description());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
