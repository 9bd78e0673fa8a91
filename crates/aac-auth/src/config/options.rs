//! The options of a connection.

#[cfg(feature = "clap")]
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ops::{RangeBounds, RangeInclusive};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What a timeout may be. No server waits longer than a day; a year would overflow some systems' timers.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// The timeout by default, in seconds, as `--help` shows it.
const TIMEOUT: &str = "60";
/// The retries by default.
const RETRY: u32 = 2;

/// Names a secret in a vault in the place of creds.json.
pub(crate) const VAULT: &str = "AAC_VAULT";
/// Holds an access token in the place of creds.json.
pub(crate) const ACCESS_TOKEN: &str = "AAC_ACCESS_TOKEN";

/// How a [`Client`](crate::Client) connects.
///
/// A program that parses its flags with clap adds these to its `Cli` with `#[command(flatten)]`, as
/// `--dir`, `--timeout`, `--retry` and `--verbose`:
///
#[cfg_attr(feature = "clap", doc = "```")]
#[cfg_attr(not(feature = "clap"), doc = "```ignore")]
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
/// ```
///
/// Any other starts from the default:
///
/// ```no_run
/// use aac_auth::{Client, ConnectionOptions};
///
/// let options = ConnectionOptions::default().dir("/srv/aac").retry(5);
/// let client = Client::open(&options, "demo/1.0")?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Connection"))]
#[must_use]
pub struct ConnectionOptions {
    // The flags' help. `--help` has one line for each.
    /// Folder of creds.json [env AAC_DIR; else here or above]
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR", value_parser = folder()))]
    pub(crate) dir: Option<PathBuf>,

    /// Seconds for a response, and between reads
    #[cfg_attr(feature = "clap", arg(long, value_name = "SECS", default_value = TIMEOUT, value_parser = seconds))]
    pub(crate) timeout: Duration,

    /// Retries after 429; GET: 408, 5xx, network
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", default_value_t = RETRY, value_parser = number(0_u32.., "a whole number, such as 2")))]
    pub(crate) retry: u32,

    /// Say on standard error what is being done
    #[cfg_attr(feature = "clap", arg(short, long))]
    pub(crate) verbose: bool,

    #[cfg_attr(feature = "clap", arg(skip = true))]
    pub(crate) hold_signals: bool,
}

impl Default for ConnectionOptions {
    /// The options of a program that is given none. The folder comes from `AAC_DIR`, as for every
    /// program; an empty value counts as unset. The variable is read when the client is opened: clap could
    /// read it as well, but would then show `--dir` in its usage as if it were required.
    fn default() -> Self {
        Self {
            dir: None,
            timeout: const {
                match u64::from_str_radix(TIMEOUT, 10) {
                    Ok(seconds) => Duration::from_secs(seconds),
                    Err(_) => panic!(),
                }
            },
            retry: RETRY,
            verbose: false,
            hold_signals: false,
        }
    }
}

impl ConnectionOptions {
    /// The folder of creds.json; an empty one counts as none. By default the environment counts, and then the
    /// current folder and those above it, where files of another user are refused.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// How long a call waits for the response, and then between reads: 60 seconds by default, from a
    /// millisecond to a day. A refresh has its own limits.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(*TIMEOUTS.start(), *TIMEOUTS.end());
        self
    }

    /// How often a call is sent again: after 429, and for GET, HEAD and OPTIONS also after 408, 425, 500,
    /// 502, 503, 504, 520 to 524 and failed or broken connections. 2 by default.
    pub fn retry(mut self, times: u32) -> Self {
        self.retry = times;
        self
    }

    /// Whether each step is reported on standard error.
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Whether Ctrl-C, TERM and HUP (on Windows, console events) wait until a refreshed pair of tokens is
    /// saved. This is on for programs that parse their flags with clap. It is off by default, since it sets
    /// signal handlers for the whole process.
    ///
    /// On Unix, two more settings of the whole process come with it when a client is opened:
    ///
    /// - A crash leaves no core dump, which would hold tokens. On Linux, a debugger of the same user can
    ///   still start the process, but no longer attach to it.
    /// - A file that reaches the limit of its size (`ulimit -f`) is an error, and not the end of the process
    ///   (SIGXFSZ).
    pub fn hold_signals(mut self, hold: bool) -> Self {
        self.hold_signals = hold;
        self
    }
}

/// Parses the value of a flag: a number in this range. `wanted` says what it must be, with an example.
///
/// clap's own parsers show the words of the standard library instead: "invalid digit found in string".
///
#[cfg_attr(feature = "clap", doc = "```")]
#[cfg_attr(not(feature = "clap"), doc = "```ignore")]
/// use aac_auth::number;
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Cli {
///     /// At most N plans
///     #[arg(long, value_parser = number(1_u64.., "a whole number from 1 on, such as 100"))]
///     limit: Option<u64>,
/// }
///
/// assert_eq!(Cli::parse_from(["demo", "--limit", "20"]).limit, Some(20));
/// let error = Cli::try_parse_from(["demo", "--limit", "20x"]).err().unwrap();
/// assert!(error.to_string().contains("a whole number from 1 on, such as 100"));
/// ```
pub fn number<T: FromStr + PartialOrd>(
    range: impl RangeBounds<T> + Clone,
    wanted: &'static str,
) -> impl Fn(&str) -> Result<T, &'static str> + Clone {
    move |text| text.parse().ok().filter(|number| range.contains(number)).ok_or(wanted)
}

/// A path that may be empty: in a shell, `AAC_DIR=` unsets it for one command.
#[cfg(feature = "clap")]
fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Parses a positive number of seconds, with or without a fraction.
#[cfg(feature = "clap")]
fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|time| TIMEOUTS.contains(time));
    seconds.ok_or("a number of seconds, more than 0 and at most 86400, such as 60 or 0.5")
}
