//! Lists the users of the current workspace, however many there are. Run it in the folder of
//! creds.json, or below:
//!
//!     cargo run -p list_users
//!     cargo run -p list_users -- --format csv > users.csv
//!
//! Or without an account: `cargo sandbox --users 1234 cargo run -p list_users`.
//!
//! What to learn here: the pages of a list (`Rows`), and results that are printed as they come.

mod columns;
mod csv;
mod json;
mod progress;
mod table;

use aac_auth::{Client, ConnectionOptions, Error, Method};
use clap::{Parser, ValueEnum};
use progress::Users;
use std::process::ExitCode;

/// List the users of a workspace
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// table, json, jsonl or csv
    #[arg(long, value_enum, default_value_t = Format::Table, hide_possible_values = true)]
    format: Format,

    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Fields to print, such as id,email (table, csv)
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    columns: Vec<String>,

    /// Leave out the line with the names of the columns
    #[arg(long)]
    no_headers: bool,

    /// Users whose name or email has this in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// With what each user may do (json, jsonl, csv)
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
    let mut cli = Cli::parse();
    if cli.json {
        cli.format = Format::Json;
    }
    cli.columns = cli.columns.iter().map(|name| name.trim().to_owned()).collect();
    cli.columns.retain(|name| !name.is_empty());
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let has_columns = matches!(cli.format, Format::Table | Format::Csv);
    if !has_columns && (cli.no_headers || !cli.columns.is_empty()) {
        let what = "--columns and --no-headers go with --format table or csv".to_owned();
        return Err(Error::Request { what });
    }
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let path = match cli.workspace {
        Some(id) => format!("/iam/v1/workspaces/{id}/people"),
        None => "/iam/v1/workspaces/{workspaceId}/people".to_owned(),
    };
    let mut request = client.request(Method::GET, &path);
    if let Some(text) = &cli.filter {
        request = request.query("filter", text);
    }
    if cli.include_privileges {
        request = request.query("includePrivileges", "true");
    }
    let mut rows = request.rows().named("users").page_size(cli.page_size).offset(cli.offset);
    if let Some(limit) = cli.limit {
        rows = rows.limit(limit);
    }
    let mut users = Users::new(rows, cli.format == Format::Table);
    match cli.format {
        Format::Table => table::print(&mut users, &cli.columns, !cli.no_headers),
        Format::Csv => csv::print(&mut users, &cli.columns, !cli.no_headers),
        Format::Json => json::print_array(&mut users),
        Format::Jsonl => json::print_lines(&mut users),
    }
}

/// The number of a workspace: what else names one does not fit into a path.
fn workspace(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a number: the id that get_workspace prints, not the gid".to_owned())
}
