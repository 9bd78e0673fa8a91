//! Suspends a list of people from the current workspace, or ends that. Run it in the folder of creds.json, or below:
//!
//!     cargo run -p suspend_users -- leavers.csv --report suspended.csv
//!
//! Or without an account: `cargo sandbox cargo run -p suspend_users -- leavers.csv --yes`.
//!
//! What to learn here: checks of a whole batch before any of it is sent. `invite_users` is the simpler one to begin with.

mod people;

use aac_auth::batch::{self, Action, Batch, BatchOptions, Entry};
use aac_auth::{Client, ConnectionOptions, Error, Method, StatusCode, json};
use clap::Parser;
use people::{Me, People, Person};
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

const NOTES: &str = "\
FILE has a column \"email\" or \"id\"; \"id\" wins. Standard output has a line for
each outcome. Exit codes: 0 all are done, 4 the server refused some, 12 it is
unknown whether some are; 1 to 5 as for every program.";

const SUSPEND: Action = Action { verb: "suspend", done: "suspended", note: "" };
const UNSUSPEND: Action = Action { verb: "unsuspend", done: "unsuspended", note: "" };

/// Suspend a list of people from the workspace
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    /// CSV file with a column "email" or "id"
    file: PathBuf,

    /// Give them their access back instead
    #[arg(long)]
    unsuspend: bool,

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
    let rows = batch::rows(&cli.file, &["id", "email"])?;
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let action = if cli.unsuspend { UNSUSPEND } else { SUSPEND };
    let mut batch = Batch::new(&client, &cli.batch, &cli.file, action)?;
    let path = format!("/iam/v1/workspaces/{}", batch.workspace());

    let mut people = People::ask(&client, &path)?;
    let is_missing = |row| people.find(row).is_err();
    if cli.unsuspend || rows.iter().any(is_missing) {
        people.add_suspended(&client, &path)?;
    }
    let found: Vec<_> = rows.iter().map(|row| (row, people.find(row))).collect();
    let me = Me::ask(&client);
    let named: HashSet<_> = found.iter().filter_map(|(_, it)| Some(it.as_ref().ok()?.id)).collect();
    // Whoever runs this stays.
    let goes = |admin: &Person| named.contains(&admin.id) && !me.is(admin);
    let admins = if cli.unsuspend { Vec::new() } else { people.admins(&client, &path)? };
    let is_last = !admins.is_empty() && admins.iter().all(goes);

    for (row, person) in &found {
        let person = match person {
            Ok(person) => person,
            // It gives back what was taken from a person whom no list shows any more.
            Err(_) if cli.unsuspend && row.get("id").parse::<u64>().is_ok() => {
                let id = row.get("id").parse().unwrap_or_default();
                &Person { id, name: "(in no list of people)".to_owned(), ..Person::default() }
            }
            Err(why) => {
                batch.refuse(row.line, why);
                continue;
            }
        };
        let Person { id, email, name, has_access } = person.clone();
        if !cli.unsuspend && me.is(person) {
            batch.refuse(row.line, format!("{email} is you"));
        } else if is_last && admins.iter().any(|admin| admin.id == id) {
            batch.refuse(row.line, format!("{email}: no admin would be left"));
        } else {
            // To give access back does no harm to those who have it, and not every list may tell who has.
            let is_done = !cli.unsuspend && !has_access;
            let already = is_done.then(|| "has no access already".to_owned());
            batch.add(Entry {
                line: row.line,
                id: id.to_string(),
                email,
                name,
                already,
                ..Entry::default()
            });
        }
    }

    let path = format!("{path}/people/{}", action.verb);
    batch.run(|entry| {
        let ids = [entry.id.parse::<u64>().unwrap_or_default()];
        let response =
            client.request(Method::POST, &path).json(&json!({ "personIds": ids })).send()?;
        let length = response.headers().get("content-length");
        // What it contains is not documented; a sign-in page it must not be.
        if response.status() != StatusCode::NO_CONTENT && length.is_none_or(|it| it != "0") {
            response.json()?;
        }
        Ok(String::new())
    })
}
