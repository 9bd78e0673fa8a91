//! Calls any endpoint, with any method and body. Run it in the folder of creds.json, or below:
//!
//!     cargo run -p raw_call -- /v4/people/current
//!
//! Or without an account: `cargo sandbox cargo run -p raw_call -- /v4/people/current`.
//!
//! What to learn here: bodies of every kind, responses of any size, errors in detail.

mod body;
mod curl;
mod request;
mod show;

use aac_auth::output::{self, Output};
use aac_auth::table::{Fields, TableOptions};
use aac_auth::{Client, ConnectionOptions, Error, Method, Preview, Rows, number};
use aac_endpoints::Endpoint;
use clap::{Args, Parser};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples, which also work in `cargo sandbox bash`:
  cargo run -qp raw_call -- /v4/people/current
  cargo run -qp raw_call -- 'iam/v1/workspaces/{workspaceId}/people' --paginate
  cargo run -qp raw_call -- plans/v1/plans --query sort=-id --query limit=3
  cargo run -qp raw_call -- plans/v1/plans -f name=nightly -F shared=true
  cargo run -qp raw_call -- plans/v1/plans/7/package -o plan.zip
  cargo run -qp raw_call -- plans/v1/plans/package --part data=@plan.zip";

const TO_CALL: &str = "raw_call: to call one: cargo run -p raw_call -- PATH; for a list, add --paginate --format table";

const USAGE: &str = "raw_call [OPTIONS] <PATH>\n       raw_call --list <WORD>";

/// Call any endpoint of the API
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, override_usage = USAGE)]
struct Cli {
    /// Such as /v4/people/current; {workspaceId} is filled in
    #[arg(value_parser = request::path, required_unless_present = "list")]
    path: Option<String>,

    /// For its message alone
    #[arg(hide = true, value_name = "PATH", value_parser = request::second_path)]
    _second: Option<String>,

    /// Search the known endpoints; / lists all
    #[arg(long, value_name = "WORD", exclusive = true)]
    list: Option<String>,

    #[command(flatten)]
    request: request::Options,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Args)]
#[command(
    next_help_heading = "Response",
    mut_arg("format", |format| format.default_value("json")),
    mut_group("TableOptions", |table| table.requires("paginate"))
)]
struct Answer {
    /// Print the status and headers as well
    #[arg(short, long)]
    include: bool,

    /// Do not print the body
    #[arg(long, conflicts_with = "output")]
    no_body: bool,

    /// Write to FILE once complete; - is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// All pages of a list
    #[arg(long, conflicts_with_all = ["include", "no_body"])]
    paginate: bool,

    #[command(flatten)]
    table: TableOptions,

    /// At most N rows
    #[arg(long, value_name = "N", requires = "paginate", value_parser = number(1_u64.., "a number of rows, such as 100"))]
    limit: Option<u64>,

    /// Rows per call
    #[arg(long, value_name = "N", requires = "paginate", default_value_t = Rows::PAGE_SIZE, value_parser = number(1_u64.., "a number of rows, such as 100"))]
    page_size: u64,

    /// Print the request, send nothing
    #[arg(long)]
    dry_run: bool,

    /// Print it as a curl line for bash, using $ACCESS_TOKEN
    #[arg(long, conflicts_with = "dry_run")]
    curl: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => show::report(error, &cli.answer),
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    if let Some(words) = &cli.list {
        return list(words);
    }
    let path = cli.path.as_deref().unwrap_or_default();
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let request = cli.request.build(&client, path, &cli.answer)?;
    if cli.answer.paginate {
        let mut rows = request.rows().page_size(cli.answer.page_size);
        if let Some(limit) = cli.answer.limit {
            rows = rows.limit(limit);
        }
        return match cli.answer.dry_run || cli.answer.curl {
            true => preview(cli, rows.preview()?),
            false => print_rows(rows, &cli.answer.table, cli.answer.to(&client)?),
        };
    }
    if cli.answer.dry_run || cli.answer.curl {
        return preview(cli, request.preview()?);
    }
    // Before anything is sent: without a place for the result, there is no point in asking.
    let output = cli.answer.to(&client)?;
    let asked = |name| cli.request.asked(path, name);
    let page = (cli.request.method() == Method::GET).then(|| show::Page {
        offset: asked("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0),
        has_limit: asked("limit").is_some(),
    });
    let (request, bar) = show::with_bar(request);
    // A file has its content once that is complete. What was written elsewhere has been read by now.
    let may_repeat = output.is_file();
    let mut first = Some(output);
    let answer = |response| {
        bar.finish_and_clear();
        let output = first.take().map_or_else(|| cli.answer.to(&client), Ok)?;
        show::answer(response, output, &cli.answer, page)
    };
    let result =
        if may_repeat { request.send_and(answer) } else { request.send().and_then(answer) };
    bar.finish_and_clear();
    result
}

fn preview(cli: &Cli, preview: Preview) -> Result<(), Error> {
    match cli.answer.curl {
        true => output::print_line(&curl::line(&preview, &cli.request, &cli.answer)),
        false => show::request(&preview),
    }
}

fn print_rows(mut rows: Rows, options: &TableOptions, output: Output) -> Result<(), Error> {
    let mut table = options.start(&mut rows, &Fields::default(), output)?;
    while let Some(row) = rows.next_raw() {
        table.push(&row?)?;
        if rows.is_page_done() {
            table.flush(&rows)?;
        }
    }
    table.finish()
}

/// Prints the endpoints that have all of these words in them.
fn list(words: &str) -> Result<(), Error> {
    let words: Vec<_> = words.split_whitespace().map(str::to_lowercase).collect();
    let has = |endpoint: &Endpoint| {
        let Endpoint { method, path, purpose, sure, .. } = endpoint;
        let text = format!("{method} {path} {purpose} {sure}").to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    let found: Vec<_> = aac_endpoints::all().filter(has).collect();
    let Some(width) = found.iter().map(|endpoint| endpoint.path.len()).max() else {
        return Err(Error::usage(format!(
            "--list: no endpoint has {:?} in it; / lists all",
            output::one_line(&words.join(" "))
        )));
    };
    let mut text = String::new();
    for Endpoint { method, path, purpose, quota, sure, .. } in found {
        text += &format!("{method:<6}  {path:<width$}  {sure:<10}  {purpose}");
        text += &if quota.is_empty() { "\n".to_owned() } else { format!(" ({quota} a minute)\n") };
    }
    output::print_text(&text)?;
    let _ = writeln!(io::stderr(), "{TO_CALL}");
    Ok(())
}

impl Answer {
    /// The file of `--output`, unless it means standard output.
    fn file(&self) -> Option<&PathBuf> {
        self.output.as_ref().filter(|path| path.as_os_str() != "-")
    }

    fn to(&self, client: &Client) -> Result<Output, Error> {
        self.file().map_or_else(|| Ok(Output::stdout()), |path| client.output_file(path))
    }
}
