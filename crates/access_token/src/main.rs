//! Prints an access token that is valid now, for curl and programs in other languages:
//!
//! ```bash
//! token=$(cargo run -qp access_token) &&
//! printf 'Authorization: Bearer %s\n' "$token" | curl -H @- URL
//! ```
//!
//! The pipe keeps the token off the command line, which any user of the machine can read.
//!
//! Or without an account: `cargo sandbox cargo run -p access_token`.

use aac_auth::{Client, ConnectionOptions, Error, Method, Value, json, number, output};
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;

/// Print an access token that is valid now, refreshed first if needed
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Refresh a token that would end sooner
    #[arg(long, value_name = "SECS", default_value_t = 0, hide_default_value = true,
        value_parser = number(0_u32.., "a whole number of seconds, such as 120"))]
    min_life: u32,

    /// Print JSON: token, expiry, addresses, headers to send
    #[arg(long)]
    json: bool,

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
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let min_life = Duration::from_secs(cli.min_life.into());
    let token = client.access_token_for(min_life)?;
    if !cli.json {
        return output::print_line(token.expose());
    }
    let [api_url, platform_url] = client.hosts();
    let mut headers = json!({ "authorization": format!("Bearer {}", token.expose()) });
    for (name, value) in client.request(Method::GET, "/v4").preview()?.headers {
        // A program names itself, and decodes what it asks for. `x-client-id` is an old name.
        if ["accept", "x-api-project-id"].contains(&&*name) {
            headers[name] = Value::from(value);
        }
    }
    output::print_json(&json!({
        "access_token": token.expose(),
        "expires_at": token.expires_at().map(|time| time.to_string()),
        "api_url": api_url,
        "platform_url": platform_url,
        "headers": headers,
    }))
}
