//! The options that every program has.

use clap::builder::{OsStringValueParser, TypedValueParser};
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// The connection options. Add them to a program's `Cli` with `#[command(flatten)]`.
///
/// [`timeout`](Self::timeout) applies to API calls. A refresh has its own limits.
///
/// ```
/// use clap::Parser;
///
/// /// What the program does.
/// #[derive(Parser)]
/// struct Cli {
///     #[command(flatten)]
///     connection: aac_auth::ConnectionOptions,
/// }
///
/// let cli = Cli::parse_from(["demo", "--timeout", "5"]);
/// assert_eq!(cli.connection.timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
#[non_exhaustive]
pub struct ConnectionOptions {
    /// Folder of creds.json [env AAC_DIR; else here or above]
    #[arg(long, value_name = "DIR", env = "AAC_DIR", hide_env = true, value_parser = folder())]
    pub dir: Option<PathBuf>,

    /// Seconds for a response, and between reads
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = seconds)]
    pub timeout: Duration,

    /// Tries after 429; GET: 502-504, network
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub retry: u32,

    /// Say on standard error what is being done
    #[arg(short, long)]
    pub verbose: bool,

    /// Whether Ctrl-C, TERM and HUP wait until a refreshed pair of tokens is saved. Programs that
    /// parse their options want this. Other callers decide for themselves, since it sets signal
    /// handlers for the whole process.
    #[arg(skip = true)]
    pub hold_signals: bool,
}

impl Default for ConnectionOptions {
    /// The options of a program that is given none. The folder comes from `AAC_DIR`, as for every
    /// program; an empty value counts as unset.
    fn default() -> Self {
        Self {
            dir: env::var_os("AAC_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            timeout: Duration::from_secs(60),
            retry: 2,
            verbose: false,
            hold_signals: false,
        }
    }
}

/// A path that may be empty: in a shell, `AAC_DIR=` unsets it for one command.
fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Parses a positive number of seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds =
        text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // No server waits longer than a day; a year would overflow some systems' timers.
    seconds
        .filter(|time| (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(time))
        .ok_or_else(|| "a number of seconds, more than 0 and at most 86400".to_owned())
}
