//! Lists the users of the current workspace, however many there are. Run it in the folder of
//! creds.json, or below:
//!
//!     cargo run -p list_users
//!     cargo run -p list_users -- --format csv -o users.csv
//!
//! Or without an account: `cargo sandbox --users 1234 cargo run -p list_users`.
//!
//! What to learn here: the pages of a list (`Rows`), and results printed as they arrive (`Table`).

use aac_auth::output::Output;
use aac_auth::raw::{self, RawValue};
use aac_auth::table::{Fields, TableOptions};
use aac_auth::{Client, ConnectionOptions, Error, Rows, number};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// The documented fields of a user, in the order in which the API sends them.
const FIELDS: Fields = Fields {
    table: "name,email,state,lastLoginTime,id",
    csv: "lastLoginTime,id,agreementAcceptedAt,email,name,ssoPrincipal,hadoopPrincipal,cpPrincipal,isAdmin,\
        isDisabled,forcePasswordChange,deleted_at,state,lastStateChange,gid,exportStatusUpdatedAt,\
        lastDeletedTenantAt,createdAt,updatedAt,peopleworkspaces,validateExportCompliance,outputHomeDir,uploadDir",
    other: PRIVILEGES,
};

/// The fields that are sent only on request.
const PRIVILEGES: &str = "maximalPrivileges,maximalCapabilities,authorizationRoles";

const NOTES: &str = "\
CSV has a column for each field that the API documents, or each of --columns.
Nested values are JSON; text that a spreadsheet would run gets a ' in front.";

/// List the users of a workspace
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    #[command(flatten)]
    table: TableOptions,

    /// Write to FILE once complete; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Only users whose name or email contains TEXT
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// At most N users [default: all]
    #[arg(long, value_name = "N", value_parser = number(1_u64.., "a number of users, such as 100"))]
    limit: Option<u64>,

    /// Users per call
    #[arg(long, value_name = "N", default_value_t = Rows::PAGE_SIZE, value_parser = number(1_u64.., "a number of users, such as 100"))]
    page_size: u64,

    /// Number of the workspace [default: the current one]
    #[arg(long, value_name = "ID", value_parser = number(0_u64.., "a number, such as 12345: the id that get_workspace prints, not the gid"))]
    workspace: Option<u64>,

    #[command(flatten)]
    connection: ConnectionOptions,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let columns = cli.table.columns()?;
    let has_privileges = PRIVILEGES.split(',').any(|name| columns.iter().any(|it| it == name));

    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let path = match cli.workspace {
        Some(id) => format!("/iam/v1/workspaces/{id}/people"),
        None => "/iam/v1/workspaces/{workspaceId}/people".to_owned(),
    };
    // Without a fixed order, a user may be on two pages, or on none.
    let list = |is_filtered: bool| {
        let mut users = client.rows(&path).named("users").sorted_by("id").page_size(cli.page_size);
        if let Some(text) = cli.filter.as_ref().filter(|_| is_filtered) {
            // By itself, a filter is matched loosely, and against names alone.
            users = users.query("filter", text).query("filterType", "contains");
            users = users.query("filterFields", "name,email");
        }
        if has_privileges {
            users = users.query("includePrivileges", "true");
        }
        match cli.limit.filter(|_| cli.filter.is_none()) {
            Some(limit) => users.limit(limit),
            None => users,
        }
    };

    // Before anything is sent: without a place for the result, there is no point in asking.
    let output = match &cli.output {
        Some(path) if path.as_os_str() != "-" => client.output_file(path)?,
        _ => Output::stdout(),
    };
    let mut users = list(true);
    if let Err(error) = users.first_page() {
        // Not every server knows how to filter. Then it sends everyone.
        let status = error.http().map(|http| http.status().as_u16());
        if cli.filter.is_none() || !matches!(status, Some(400 | 422)) {
            return Err(error);
        }
        users = list(false);
    }
    let mut table = cli.table.start(&mut users, &FIELDS, output)?;
    let mut left = cli.limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(user) = users.next_raw()
    {
        let user = user?;
        if cli.filter.as_ref().is_none_or(|text| is_match(&user, text)) {
            table.push(&user)?;
            left -= 1;
        }
        if users.is_page_done() {
            table.flush(&users)?;
        }
    }
    table.finish()
}

/// Whether the user's name or email contains the text. Some servers ignore filters, some match loosely.
fn is_match(user: &RawValue, text: &str) -> bool {
    raw::members(user).into_iter().any(|(name, value)| {
        matches!(&*name, "name" | "email")
            && value.get().starts_with('"')
            && raw::string(value).to_lowercase().contains(&text.to_lowercase())
    })
}
