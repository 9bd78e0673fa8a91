//! Invites a list of people to the current workspace. Run it in the folder of creds.json, or below:
//!
//!     cargo run -p invite_users -- people.csv --report invited.csv
//!
//! Or without an account: `cargo sandbox cargo run -p invite_users -- people.csv --yes`.
//!
//! What to learn here: a batch from a CSV file that may fail half-way. `Batch` shows what is to be sent, asks, sends
//! row by row, and remembers; the rest is here. To send something else for each row, change the last lines of `run`.

use aac_auth::batch::{self, Action, Batch, BatchOptions, Entry};
use aac_auth::{Client, ConnectionOptions, Error, Method, StatusCode, Value, json};
use clap::Parser;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

const NOTES: &str = "\
FILE has a column \"email\". Standard output has a line for each outcome. Exit
codes: 0 all are invited, 4 the server refused some, 12 it is unknown whether
some are; 1 to 5 as for every program.";

const INVITE: Action = Action {
    verb: "invite",
    done: "invited",
    note: "Pending invitations cannot be listed: anyone who has one, and is in no report, is invited again",
};

/// Invite a list of people to the workspace
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    /// CSV file with a column "email"
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
    let rows = batch::rows(&cli.file, &["email"])?;
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let mut batch = Batch::new(&client, &cli.batch, &cli.file, INVITE)?;
    let path = format!("/iam/v1/workspaces/{}/people", batch.workspace());
    let people = client.rows(&path).named("users").sorted_by("id");
    let people = people.collect::<Result<Vec<_>, _>>()?;
    let members = people
        .iter()
        .filter_map(|person| Some((person["email"].as_str()?.to_lowercase(), person)))
        .collect::<HashMap<_, _>>();

    for row in rows {
        let email = row.get("email");
        let member = members.get(&email.to_lowercase());
        if !is_address(email) {
            batch.refuse(row.line, format!("{email:?} is not an email address"));
        } else if member.is_some_and(|person| !has_access(person)) {
            let cure = "is a member without access, which suspend_users --unsuspend gives back";
            batch.refuse(row.line, format!("{email} {cure}"));
        } else {
            // Whoever makes such a list means that all of them are to be members in the end.
            let already = member.map(|_| "is a member already".to_owned());
            let email = email.to_owned();
            batch.add(Entry { line: row.line, email, already, ..Entry::default() });
        }
    }

    let path = path + "/batch";
    batch.run(|entry| {
        // One each: a response to many would not say which of them the platform does not take.
        let request = client.request(Method::POST, &path).json(&json!({ "emails": [entry.email] }));
        let response = match request.send() {
            // The lost response was to an invitation that took effect.
            Err(error) if entry.is_in_doubt && has_status(&error, StatusCode::CONFLICT) => {
                return Ok(format!("by an earlier run, since now: {error}"));
            }
            response => response?.json()?,
        };
        match response["data"].as_array().map(Vec::as_slice) {
            Some([]) => Err(Error::response("it names nobody who was invited")),
            Some([person, ..]) => {
                Ok(aac_auth::id(person).map_or(String::new(), |id| format!("person {id}")))
            }
            // The form of the response is documented, and was not seen. 2xx counts.
            None => Ok(String::new()),
        }
    })
}

fn has_status(error: &Error, status: StatusCode) -> bool {
    error.http().is_some_and(|http| http.status() == status)
}

fn has_access(person: &Value) -> bool {
    person["isDisabled"] != true && person["state"] != "hidden"
}

/// Whether a text may be an email address. Whether it is one, the server decides.
fn is_address(text: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"@".contains(c);
    text.rsplit_once('@').is_some_and(|(name, domain)| {
        !name.is_empty()
            && domain.contains('.')
            && domain.split('.').all(|part| !part.is_empty())
            && !name.contains(is_odd)
            && !domain.contains(is_odd)
            && text.len() <= 254
    })
}
