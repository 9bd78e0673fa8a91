//! Sets up your account on this machine: the region, the API project ID and the tokens. Also for new tokens in place
//! of dead ones, and with `--dir` for another workspace:
//!
//!     cargo run -p login
//!     cargo run -p login -- --tokens
//!
//! Without a terminal, the tokens come from standard input, and every question is answered with no.
//!
//! What to learn here: nothing that is shown only once is asked for before the place for it was tried.

mod terminal;

use aac_auth::login::{Checked, Login};
use aac_auth::{Client, ConnectionOptions, Error, Form, Value, output, text_of};
use clap::Parser;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use zeroize::Zeroizing;

const NOTES: &str = "\
Without a terminal, the tokens are read from standard input: creds.json as it
is, or one token a line. No token is taken from the command line, and none is
shown. Nothing is written before the server has accepted the access token; a
pair that is replaced is kept in a folder replaced-DATE.";

/// Set up your account: region, API project and tokens
#[derive(Parser)]
#[command(version, after_help = NOTES)]
struct Cli {
    /// Region (us1), or the address of any page in it
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// API project ID, called Client ID on its page
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,

    /// Ask for new tokens alone, and keep the rest
    #[arg(long)]
    tokens: bool,

    /// Put the tokens into this secret of a vault
    #[arg(long, value_name = "PATH")]
    vault: Option<String>,

    /// Seal the tokens, with a key that the system keeps
    #[arg(long, conflicts_with_all = ["plain", "vault"])]
    seal: bool,

    /// Keep the tokens as plain text
    #[arg(long, conflicts_with = "vault")]
    plain: bool,

    /// Answer every question with yes
    #[arg(short, long)]
    yes: bool,

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
    let mut login = Login::open(&cli.connection, program, cli.vault.as_deref())?;
    let has_terminal = io::stdin().is_terminal();
    let mut agrees = |question: &str| agrees(question, cli.yes, has_terminal);

    let form = match (cli.seal, cli.plain) {
        (true, _) => Some(Form::Sealed),
        (_, true) => Some(Form::Plain),
        _ => None,
    };
    if let Some(form) = form {
        let is_alone = !cli.tokens && cli.url.is_none() && cli.client_id.is_none();
        if is_alone && login.has_pair() {
            let client = Client::open(&cli.connection, program)?;
            let turned = client.turn_over(form, &mut agrees)?;
            return output::print_text(&format!("{turned}\n"));
        }
        login.set_form(form);
    }
    match &cli.url {
        Some(url) => login.set_region(url, "--url")?,
        None if has_terminal && !(cli.tokens && login.url().is_some()) => ask_region(&mut login)?,
        None => {}
    }
    match &cli.client_id {
        Some(id) => login.set_project_id(id, "--client-id")?,
        None if has_terminal && !(cli.tokens && login.project_id().is_some()) => {
            ask_project(&mut login)?;
        }
        None => {}
    }
    // The tokens are shown once: what may keep them from being saved comes first.
    login.prepare(&mut agrees)?;
    if let Err(error) = login.prepare_key(&mut agrees) {
        // Nothing but an answer at a terminal makes them plain: no --yes.
        let question = Login::plain_question(&error);
        if form.is_some() || !has_terminal || !self::agrees(&question, false, true)? {
            return Err(error);
        }
        login.set_form(Form::Plain);
        login.prepare_key(&mut agrees)?;
    }
    match has_terminal {
        true => ask_tokens(&mut login)?,
        false => read_tokens(&mut login)?,
    }
    let workspace = check(&mut login, has_terminal)?;

    let page = login.token_page()?;
    let saved = login.save(&mut agrees)?;
    let sealed = saved.keeper.map(|keeper| format!(", sealed; {keeper} keeps the key"));
    let mut said = format!("the tokens are in {}{}\n", saved.place, sealed.unwrap_or_default());
    for old in &saved.replaced {
        let issued = old.issued.map_or_else(String::new, |time| format!(", issued {time}"));
        said += &format!(
            "the older pair ({}{issued}) is now in {}; disable it: {page}\n",
            old.account,
            old.folder.display()
        );
    }
    output::print_text(&said)?;
    // An access token that has expired is refreshed now, by which the pair is checked.
    let workspace = match workspace {
        Some(workspace) => workspace,
        None => saved.client.get("/iam/v1/workspaces/current")?,
    };
    let name = workspace["name"].as_str().unwrap_or("without a name");
    output::print_text(&format!("they are good for the workspace {}\n", output::one_line(name)))
}

fn ask_region(login: &mut Login) -> Result<(), Error> {
    until_right(|| {
        let offered = login.url().unwrap_or("us1").to_owned();
        let region = ask("Region, or the address of any page in it", Some(&offered))?;
        login.set_region(&region, "Region")
    })
}

fn ask_project(login: &mut Login) -> Result<(), Error> {
    eprintln!("Open your API project, or make one with + New: {}", login.project_page()?);
    until_right(|| {
        let offered = login.project_id().map(str::to_owned);
        login.set_project_id(&ask("Its Client ID", offered.as_deref())?, "Client ID")
    })
}

/// Asks for both tokens. They are found in whatever is pasted.
fn ask_tokens(login: &mut Login) -> Result<(), Error> {
    eprintln!("Create tokens with + Generate: {}", login.token_page()?);
    eprintln!("Paste both here, at once or one after the other.");
    while let Some(which) = login.asks_for() {
        let question = format!("The {which} (not shown)");
        let is_answer = |text: &str| login.is_answered_by(text);
        let text = terminal::ask_secret(&question, is_answer, Login::is_whole);
        let text = text.map_err(unreadable)?.ok_or_else(end_of_input)?;
        match login.paste(&text) {
            Ok(receipt) => eprintln!("{receipt}"),
            Err(error) => {
                error.report();
            }
        }
    }
    Ok(())
}

fn read_tokens(login: &mut Login) -> Result<(), Error> {
    // Room for both: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    io::stdin().take(64 * 1024 - 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = text_of(&bytes).map(Zeroizing::new).unwrap_or_default();
    eprintln!("{}", login.paste_input(&text)?);
    match login.asks_for() {
        Some(which) => Err(Error::usage(format!("standard input has no {which}"))),
        None => Ok(()),
    }
}

/// The workspace, if the access token lives long enough to be told of it.
fn check(login: &mut Login, has_terminal: bool) -> Result<Option<Value>, Error> {
    loop {
        match login.check() {
            Ok(Checked::Workspace(workspace)) => return Ok(Some(workspace)),
            Ok(Checked::WrongProject(error)) if has_terminal => {
                error.report();
                ask_project(login)?;
            }
            Ok(Checked::WrongProject(error)) => return Err(error),
            Ok(Checked::Expired) => return Ok(None),
            Err(error) if has_terminal && error.is_retryable() => {
                error.report();
                if ask("Try again? (y/n)", Some("y"))? == "n" {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Asks a question for yes or no.
fn agrees(question: &str, yes: bool, has_terminal: bool) -> Result<bool, Error> {
    if yes {
        eprintln!("{} yes", output::one_line(question));
        return Ok(true);
    }
    if !has_terminal {
        return Ok(false);
    }
    loop {
        let answer = ask(&format!("{} (y/n)", output::one_line(question)), Some("n"))?;
        match &*answer.to_lowercase() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => eprintln!("Answer with y or n."),
        }
    }
}

/// Asks until the answer is right; says what is wrong with others.
fn until_right(mut ask: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    loop {
        match ask() {
            Err(error) if error.kind() == aac_auth::ErrorKind::Io => return Err(error),
            Err(error) => {
                error.report();
            }
            right => return right,
        }
    }
}

fn ask(question: &str, offered: Option<&str>) -> Result<String, Error> {
    terminal::ask(question, offered).map_err(unreadable)?.ok_or_else(end_of_input)
}

fn unreadable(source: io::Error) -> Error {
    Error::file("standard input", source)
}

fn end_of_input() -> Error {
    unreadable(io::ErrorKind::UnexpectedEof.into())
}
