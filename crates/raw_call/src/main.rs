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

use aac_auth::output::{self, JsonArray, Output};
use aac_auth::{Client, ConnectionOptions, Error, Method, Preview, Rows, number};
use clap::{Args, Parser};
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

/// Call any endpoint of the API
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, override_usage = "raw_call [OPTIONS] <PATH>")]
struct Cli {
    /// Such as /v4/people/current; {workspaceId} is filled in
    #[arg(value_parser = request::path)]
    path: String,

    /// For its message alone
    #[arg(hide = true, value_name = "PATH", value_parser = request::second_path)]
    _second: Option<String>,

    #[command(flatten)]
    request: request::Options,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Args)]
#[command(next_help_heading = "Response")]
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

    /// All pages of a list, as one array
    #[arg(long, conflicts_with_all = ["include", "no_body"])]
    paginate: bool,

    /// At most N rows
    #[arg(long, value_name = "N", requires = "paginate", value_parser = number(1_u64.., "a number of rows, such as 100"))]
    limit: Option<u64>,

    /// Rows per call
    #[arg(long, value_name = "N", requires = "paginate", default_value_t = 100, value_parser = number(1_u64.., "a number of rows, such as 100"))]
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
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let client = Client::open(&cli.connection, program)?;
    let request = cli.request.build(&client, &cli.path, &cli.answer)?;
    if cli.answer.paginate {
        let mut rows = request.rows().page_size(cli.answer.page_size);
        if let Some(limit) = cli.answer.limit {
            rows = rows.limit(limit);
        }
        return match cli.answer.dry_run || cli.answer.curl {
            true => preview(cli, rows.preview()?),
            false => print_rows(rows, cli.answer.to(&client)?),
        };
    }
    if cli.answer.dry_run || cli.answer.curl {
        return preview(cli, request.preview()?);
    }
    // Before anything is sent: without a place for the result, there is no point in asking.
    let output = cli.answer.to(&client)?;
    let asked = |name| cli.request.asked(&cli.path, name);
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

fn print_rows(mut rows: Rows, mut output: Output) -> Result<(), Error> {
    let mut array = JsonArray::default();
    while let Some(row) = rows.next_raw() {
        array.push(row?.get(), &mut output)?;
        if rows.is_page_done() {
            output.flush()?;
        }
    }
    array.end(&mut output)?;
    output.finish()
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
