//! Says whose tokens these are and how long they last, without the network and without printing a token.
//! Tokens in a vault are read with `--online`.
//! Run it in the folder of creds.json, or below:
//!
//!     cargo run -p token_status
//!     cargo run -p token_status -- --online --fail-within 14
//!
//! Or without an account: `cargo sandbox cargo run -p token_status -- --online`.

mod show;

use aac_auth::{
    Client, ConnectionOptions, Error, Method, PairState, Place, Timestamp, TokenStatus, Value,
    number, output,
};
use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

/// The pair ends within the time of `--fail-within`, or has ended.
const ENDS_SOON: u8 = 10;

const NOTES: &str = "\
A refresh token may say when it expires. The lifetime that you chose when you
created it counts, and only --online knows it. Exit codes: 10 with --fail-within
if less is left, or the tokens cannot be used; without it, 1 if they are missing
or broken or cannot be refreshed, and 4 if they are used up or have expired. 1
if the vault or the key of a sealed file cannot be had.";

/// Say whose tokens these are, and how long they last
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    /// Ask the platform, and the vault; may refresh tokens
    #[arg(long)]
    online: bool,

    /// Print JSON, for programs
    #[arg(long)]
    json: bool,

    /// Exit with 10 if less than this is left
    #[arg(long, value_name = "DAYS", value_parser = number(0_u32.., "a whole number of days, such as 14"))]
    fail_within: Option<u32>,

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
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let (record, failure) = match cli.online.then(|| ask(&client)) {
        None => (None, None),
        Some(Ok(record)) => (record, None),
        Some(Err(error)) => (None, Some(error)),
    };
    // The server's clock counts: the local one may be wrong.
    let refused = || Timestamp::of_response(failure.as_ref()?.http()?.headers());
    let now = record.as_ref().and_then(|(_, date)| *date).or_else(refused);
    let now = now.unwrap_or_else(Timestamp::now);
    let record = record.map(|(record, _)| record);
    // Asking may have refreshed the tokens, or found that they cannot be.
    let status = match cli.online {
        true => client.token_status_online(now),
        false => client.token_status(),
    };
    // What can be told is told first.
    match cli.json {
        true => output::print_json(&show::json(&status, record.as_ref()))?,
        false => output::print_text(&show::text(&status, record.as_ref(), now))?,
    }
    let reported = failure.as_ref().or(status.problem.as_ref()).map(Error::report);
    let Some(days) = cli.fail_within else { return Ok(reported.unwrap_or(ExitCode::SUCCESS)) };
    let is_dead = failure.as_ref().is_some_and(Error::needs_new_tokens)
        || status.problem.is_some()
            && !matches!(status.state, PairState::NotRead | PairState::Sealed);
    if is_dead {
        return Ok(ENDS_SOON.into());
    }
    // A vault that cannot be reached is no reason to say that the tokens end, nor is a key that cannot be had, nor
    // the network.
    if let Some(code) = reported {
        return Ok(code);
    }
    if let Some(refused) = record.as_ref().and_then(refusal) {
        say(&format!("the platform no longer accepts the tokens: {refused}\n  {}", status.renewal));
        return Ok(ENDS_SOON.into());
    }
    Ok(match end(&status, record.as_ref()) {
        Some(end) if end.seconds_since(now) < 86_400 * i64::from(days) => {
            let renewal = &status.renewal;
            say(&format!(
                "less than {days} days are left: the tokens are good until {end}\n  {renewal}"
            ));
            ENDS_SOON.into()
        }
        Some(_) => ExitCode::SUCCESS,
        None => {
            say(match (&record, status.state, cli.online) {
                (Some(_), ..) => "the platform does not say when the tokens expire",
                (None, PairState::NotRead, _) => "the tokens are in a vault: ask with --online",
                (None, _, false) if matches!(status.place, Place::Variable(_)) => {
                    "AAC_ACCESS_TOKEN does not say when it expires"
                }
                (None, _, false) => {
                    "the refresh token does not say when it expires: ask with --online"
                }
                (None, _, true) => {
                    "it is unknown when the tokens expire: the access token names no session to ask the platform about"
                }
            });
            ExitCode::FAILURE
        }
    })
}

/// What the platform knows of the pair, and its time; none if no access token names a session.
fn ask(client: &Client) -> Result<Option<(Value, Option<Timestamp>)>, Error> {
    let mut status = client.token_status_online(Timestamp::now());
    if status.session.is_none() && status.state == PairState::Interrupted {
        // Whose tokens these are is known once they are in place.
        client.access_token()?;
        status = client.token_status_online(Timestamp::now());
    }
    let record = |session| {
        let path = format!("/v4/oAuth2ApiTokens/{session}?tokenType=Workspace");
        let response = client.request(Method::GET, &path).send()?;
        let date = Timestamp::of_response(response.headers());
        Ok((response.json()?, date))
    };
    status.session.map(record).transpose()
}

/// The platform's word for a pair that it does not accept any more.
fn refusal(record: &Value) -> Option<String> {
    let status = record["status"].as_str()?;
    (status != "Enabled").then(|| output::one_line(status))
}

/// When the pair ends, as far as is known.
fn end(status: &TokenStatus, record: Option<&Value>) -> Option<Timestamp> {
    match record {
        // It ends before its pair does.
        _ if matches!(status.place, Place::Variable(_)) => status.access_token_until,
        Some(record) => record["expiredAt"].as_str().and_then(|time| time.parse().ok()),
        None => status.refresh_token_until,
    }
}

/// Prints a message on standard error, which may be closed.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "token_status: {text}");
}
