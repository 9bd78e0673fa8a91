//! Runs a command against a local imitation of Alteryx Cloud.
//!
//! ```text
//! cargo sandbox cargo run -p get_workspace          run a command
//! cargo sandbox get_workspace                       the same, in short
//! cargo sandbox bash                                run a shell
//! cargo sandbox --fault token:reset-after list_users
//! cargo sandbox --vault get_workspace               with the tokens in a vault
//! cargo sandbox                                     serve until Ctrl-C
//! ```

mod child;
mod folder;
mod platform;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use aac_sandbox::{Fault, FaultKind, Options, Sandbox, VaultOptions};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::folder::Folder;
use crate::platform::Signals;

/// Run a command with AAC_DIR set to a local imitation of Alteryx Cloud
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Port to listen on [default: any free port]
    #[arg(long, default_value_t = 0, hide_default_value = true,
        value_parser = number(0_u16.., "a number up to 65535, such as 8080"))]
    port: u16,

    /// Folder for the files [default: temporary]
    #[arg(long)]
    dir: Option<PathBuf>,

    /// Lifetime of access tokens
    #[arg(long, value_name = "SECS", default_value_t = Options::default().token_lifetime,
        value_parser = number(1_i64..=86_400, "a number of seconds from 1 to 86400, such as 300"))]
    token_lifetime: i64,

    /// Grace period for spent refresh tokens
    #[arg(long, value_name = "SECS", default_value_t = 0, hide_default_value = true,
        value_parser = number(0_u64..=86_400, "a number of seconds up to 86400, such as 60"))]
    grace: u64,

    /// Number of people in the workspace
    #[arg(long, value_name = "N", default_value_t = Options::default().users,
        value_parser = number(0_usize.., "a number of people, such as 300"))]
    users: usize,

    /// Size of an exported package
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().package_size,
        value_parser = number(0_usize..=1 << 30, "a number of bytes up to 1073741824, such as 1000000"))]
    package_size: usize,

    /// Time that a run of a plan or job takes
    #[arg(long, value_name = "SECS", default_value_t = Options::default().run_time.as_secs(), hide_default_value = true,
        value_parser = number(0_u64..=86_400, "a number of seconds up to 86400, such as 60"))]
    run_time: u64,

    /// Delay before each response
    #[arg(long, value_name = "MS", default_value_t = 0, hide_default_value = true,
        value_parser = number(0_u64..=3_600_000, "a number of milliseconds up to 3600000, such as 500"))]
    latency: u64,

    /// Keep the tokens in a vault, at VAULT_ADDR
    #[arg(long)]
    vault: bool,

    /// Inject a fault, such as api:503x2; repeatable
    #[arg(long)]
    fault: Vec<Fault>,

    /// List the common faults, or all
    #[arg(long, exclusive = true, num_args = 0..=1, value_name = "all",
        default_missing_value = "common", value_parser = ["common", "all"],
        hide_possible_values = true)]
    list_faults: Option<String>,

    /// Command to run; without one, serve until Ctrl-C
    #[arg(trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Parses a number in this range. `wanted` says what it must be, which the standard library's error does not.
fn number<T: FromStr + PartialOrd>(
    range: impl RangeBounds<T> + Clone,
    wanted: &'static str,
) -> impl Fn(&str) -> Result<T, &'static str> + Clone {
    move |text| text.parse().ok().filter(|number| range.contains(number)).ok_or(wanted)
}

fn main() {
    // Cargo names itself to what it runs; an installed sandbox is a program of its own.
    let is_by_cargo = env::var_os("CARGO").is_some();
    let name = if is_by_cargo { "cargo sandbox" } else { "aac-sandbox" };
    let program = if is_by_cargo { "get_workspace" } else { "bash" };
    let notes = format!(
        "Example: {name} --fault api:503x2 {program}\n\
         Each start is a new cloud, which knows no tokens of an earlier one."
    );
    let matches = Cli::command().bin_name(name).after_help(notes).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Some(which) = &cli.list_faults {
        // The reader may have left early, as head does.
        let _ = io::stdout().write_all(list_of_faults(which == "all").as_bytes());
        return;
    }
    let fail = |kind, text: String| -> ! { Cli::command().bin_name(name).error(kind, text).exit() };
    if let Some(fault) = cli.fault.iter().find(|fault| fault.target.is_vault() && !cli.vault) {
        let text = format!("--fault {fault} needs --vault");
        fail(ErrorKind::MissingRequiredArgument, text);
    }
    if let Some((never, always)) = shadowed(&cli.fault) {
        let text = format!("--fault {never} never happens, because {always} always does");
        fail(ErrorKind::ArgumentConflict, text);
    }
    // Not an ExitCode, which cannot hold the exit codes of Windows.
    let code = run(&cli).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "aac-sandbox: {error}");
        1
    });
    std::process::exit(code);
}

fn run(cli: &Cli) -> io::Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    // First, so that no signal can end the program with files left behind.
    let mut signals = Signals::listen()?;

    let sandbox = Sandbox::start(Options {
        port: cli.port,
        token_lifetime: cli.token_lifetime,
        grace: Duration::from_secs(cli.grace),
        users: cli.users,
        package_size: cli.package_size,
        run_time: Duration::from_secs(cli.run_time),
        latency: Duration::from_millis(cli.latency),
        faults: cli.fault.clone(),
        quiet: false,
        vault: cli.vault.then(VaultOptions::default),
        ..Options::default()
    })
    .map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = cli.port;
            io::Error::other(format!(
                "port {port} is in use. Choose another with --port, or omit it for any free port"
            ))
        }
        _ => error,
    })?;
    let folder = Folder::open(cli.dir.as_deref())?;
    // The access token is expired, so that the first call shows a rotation.
    let tokens = sandbox.issue_expired();
    let mut environment = vec![("AAC_DIR", folder.path().as_os_str().to_owned())];
    if cli.vault {
        sandbox.write_vault_files(folder.path(), &tokens)?;
        environment.extend(sandbox.vault().environment().map(|(name, value)| (name, value.into())));
    } else {
        sandbox.write_files(folder.path(), &tokens)?;
    }

    let code = match cli.command.split_first() {
        Some((program, arguments)) => {
            runtime.block_on(child::run(program, arguments, &environment, &mut signals))
        }
        None => {
            announce(&sandbox, folder.path(), &environment);
            runtime.block_on(poll_fn(|context| signals.poll_next(context)));
            0
        }
    };
    folder.close();
    Ok(code)
}

/// A fault that can never happen, and the one before it that always does.
fn shadowed(faults: &[Fault]) -> Option<(&Fault, &Fault)> {
    let always =
        |later: &Fault, fault: &Fault| fault.times.is_none() && fault.target.covers(later.target);
    let mut pairs = faults.iter().enumerate();
    pairs.find_map(|(index, later)| {
        let earlier = faults[..index].iter().find(|fault| always(later, fault))?;
        Some((later, earlier))
    })
}

/// Prints the folder of the files: alone on stdout, for scripts, and with instructions on stderr.
fn announce(sandbox: &Sandbox, folder: &Path, environment: &[(&str, OsString)]) {
    let mut text =
        format!("sandbox: serving {} until Ctrl-C. In another terminal:\n", sandbox.url());
    for (name, value) in environment {
        let value = value.display().to_string();
        let (posix, power_shell) = (value.replace('\'', r"'\''"), value.replace('\'', "''"));
        let _ = writeln!(text, "sandbox:   bash, zsh    export {name}='{posix}'");
        let _ = writeln!(text, "sandbox:   PowerShell   $env:{name} = '{power_shell}'");
    }
    // Either may be closed.
    let _ = io::stderr().write_all(text.as_bytes());
    let _ = writeln!(io::stdout(), "{}", folder.display());
}

/// The faults that are common, or all.
fn list_of_faults(all: bool) -> String {
    let mut text = "\
--fault TARGET:KIND[=VALUE][+SKIP][xTIMES]

  --fault token:503=2     next token request: 503 with Retry-After: 2
  --fault api:429x2       next two API requests: 429
  --fault api:500+1xall   all API requests but the first: 500
  --fault run:fail        next run: fails in the end

TARGET  token, api, run (the requests of the API that start a run) or people
        (those that invite, suspend and unsuspend); with --vault also vault,
        vault-read or vault-write
VALUE   seconds for 429, 503, slow, slow-body and hidden [default: 1]; URL for
        redirect; number of requests for late [default: 1]
SKIP    number of requests that pass first [default: 0]
TIMES   number of requests that meet the fault, or all [default: 1]
KIND    see below. With an error status, redirect, hang or reset-before, no
        token is spent and nothing written. With the others, the request is
        processed first.

"
    .to_owned();
    let mut kinds = FaultKind::all();
    kinds.retain(|kind| all || kind.is_common());
    kinds.sort_by_key(FaultKind::name);
    for kind in kinds {
        let _ = writeln!(text, "  {:<18}{}", kind.name(), kind.description());
    }
    if !all {
        text += "\n--list-faults all lists the others as well.\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_valid() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_fault_behind_one_that_always_happens_never_does() {
        let shadowed = |faults: [&str; 2]| {
            let faults = faults.map(|fault| fault.parse().expect(fault));
            super::shadowed(&faults).is_some()
        };
        assert!(shadowed(["api:500xall", "api:503"]));
        assert!(shadowed(["api:500+3xall", "run:fail"]));
        assert!(shadowed(["vault:sealedxall", "vault-write:late"]));
        assert!(!shadowed(["api:503", "api:500xall"]));
        assert!(!shadowed(["run:failxall", "api:503"]));
        assert!(!shadowed(["token:500xall", "api:503"]));
    }
}
