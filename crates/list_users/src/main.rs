//! Lists the users of the current workspace, however many there are. Run it in the folder of
//! creds.json, or below:
//!
//!     cargo run -p list_users
//!     cargo run -p list_users -- --format csv -o users.csv
//!
//! Or without an account: `cargo sandbox --users 1234 cargo run -p list_users`.
//!
//! What to learn here: the pages of a list (`Rows`), and results printed as they arrive.

mod columns;
mod csv;
mod json;
mod table;
mod users;

use aac_auth::output::Output;
use aac_auth::{Client, ConnectionOptions, Error};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use users::Users;

const NOTES: &str = "\
CSV has a column for each field that the API documents, or each of --columns.
Nested values are JSON; text that a spreadsheet would run gets a ' in front.";

/// List the users of a workspace
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    /// table, json, jsonl or csv
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    format: Format,

    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Fields to print, such as id,email
    #[arg(long, value_name = "NAMES")]
    columns: Vec<String>,

    /// Leave out the header line (table, csv)
    #[arg(long)]
    no_headers: bool,

    /// Begin with a byte order mark, for Excel (csv)
    #[arg(long)]
    bom: bool,

    /// Write to FILE once complete; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Only users whose name or email contains TEXT
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Include what each user may do (json, jsonl, csv)
    #[arg(long)]
    include_privileges: bool,

    /// At most N users [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// Users per call
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    page_size: u64,

    /// Skip the first N users
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,

    /// Number of the workspace [default: the current one]
    #[arg(long, value_name = "ID", value_parser = workspace)]
    workspace: Option<u64>,

    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let format = if cli.json { Format::Json } else { cli.format };
    let chosen = columns::of(&cli.columns.join(","));
    let has_privileges = columns::are_among(&chosen, columns::PRIVILEGES);
    let conflict = match format {
        Format::Json | Format::Jsonl if cli.no_headers => {
            "--no-headers goes with --format table or csv"
        }
        Format::Table | Format::Json | Format::Jsonl if cli.bom => "--bom goes with --format csv",
        Format::Table if cli.include_privileges && !has_privileges => {
            "--include-privileges goes with another --format, or with --columns authorizationRoles"
        }
        _ if cli.include_privileges && !has_privileges && columns::are_plain(&chosen) => {
            "--include-privileges goes with --columns authorizationRoles, or without --columns"
        }
        _ if chosen.is_empty() && !cli.columns.is_empty() => "--columns names no column",
        _ => "",
    };
    if !conflict.is_empty() {
        return Err(Error::usage(conflict));
    }

    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let path = match cli.workspace {
        Some(id) => format!("/iam/v1/workspaces/{id}/people"),
        None => "/iam/v1/workspaces/{workspaceId}/people".to_owned(),
    };
    let list = |order: &str| {
        let mut users =
            client.rows(&path).named("users").page_size(cli.page_size).offset(cli.offset);
        if let Some(text) = &cli.filter {
            users = users.query("filter", text);
        }
        if cli.include_privileges || has_privileges {
            users = users.query("includePrivileges", "true");
        }
        if !order.is_empty() {
            users = users.query("sort", order);
        }
        Users::of(match cli.limit {
            Some(limit) => users.limit(limit),
            None => users,
        })
    };

    // Before anything is sent: without a place for the result, there is no point in asking.
    let mut output = match &cli.output {
        Some(path) if path.as_os_str() != "-" => client.output_file(path)?,
        _ => Output::stdout(),
    };
    // Without a fixed order, a user may be on two pages, or on none. Not every server knows one.
    let is_refused = |error: &Error| {
        error.http().is_some_and(|http| matches!(http.status().as_u16(), 400 | 422))
    };
    let mut users = match list("id") {
        Err(error) if is_refused(&error) => list("")?,
        users => users?,
    };
    columns::check(&chosen, users.first_page())?;
    let or_else = |names: &str| if chosen.is_empty() { columns::of(names) } else { chosen.clone() };
    match format {
        Format::Table => {
            table::print(&mut users, &or_else(columns::DEFAULT), !cli.no_headers, output)
        }
        Format::Json => json::print(&mut users, &chosen, true, output),
        Format::Jsonl => json::print(&mut users, &chosen, false, output),
        Format::Csv => {
            if cli.bom {
                output.write("\u{feff}".as_bytes())?;
            }
            let privileges = if cli.include_privileges { columns::PRIVILEGES } else { "" };
            let columns = or_else(&[columns::ALL, privileges].join(","));
            csv::print(&mut users, &columns, chosen.is_empty(), !cli.no_headers, output)
        }
    }
}

/// Parses a workspace number: other names do not fit into the path.
fn workspace(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a number: the id that get_workspace prints, not the gid".to_owned())
}
