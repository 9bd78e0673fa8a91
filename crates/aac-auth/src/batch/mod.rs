//! A batch of changes from a CSV file, which may fail half-way (feature `batch`): `invite_users` and
//! `suspend_users` are made of it.
//!
//! - [`rows`] reads the file. The program says of each row what to send ([`Batch::add`]), or why it cannot be sent
//!   ([`Batch::refuse`]).
//! - [`Batch::run`] shows that, asks, sends row by row, and prints each outcome. If a response is lost, its row is
//!   `unknown`, and the batch continues.
//! - The report (`--report`) remembers the outcomes: the same command continues where the last run ended, even if it
//!   was killed.

mod report;
mod table;

use crate::api::client::{CURRENT_WORKSPACE, Client};
use crate::api::json;
use crate::error::notices::say;
use crate::error::{Error, ErrorKind, Result};
use crate::output::{Output, one_line};
use crate::platform::signals::SignalGuard;
use report::{Report, key};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
pub use table::{Row, rows};

/// The exit code if it is unknown whether a row took effect.
const UNKNOWN: u8 = 12;
/// The exit code if the server has refused rows: as for HTTP 4xx.
const REFUSED: u8 = 4;
/// What is said of rows that need not be sent.
const ALREADY: &str = "done already";
/// How many rows are shown before the question.
const SHOWN: usize = 10;
/// So many in a row without a response, or refused as if all would be, end the batch.
const IN_A_ROW: usize = 3;

/// The flags of a batch: `--yes`, `--dry-run`, `--skip-refused`, `--report`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BatchOptions {
    /// Do not ask; needed without a terminal
    #[arg(long)]
    yes: bool,

    /// Show what would be sent, and send nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Leave out the rows that are refused
    #[arg(long)]
    skip_refused: bool,

    /// Note each outcome in FILE, and continue from there
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What a batch does with each row, in words.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// What is to be done: `invite`.
    pub verb: &'static str,
    /// The outcome of a row that is done: `invited`.
    pub done: &'static str,
    /// What a person should know before agreeing; it may be empty.
    pub note: &'static str,
}

/// A row that can be sent.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The number of its line.
    pub line: usize,
    /// The ID of the person, plan … by which a report knows it; empty if there is none.
    pub id: String,
    /// The email address, by which a report knows it without an ID.
    pub email: String,
    /// A name, for people.
    pub name: String,
    /// Why it need not be sent: the platform shows that it is done.
    pub already: Option<String>,
    /// Whether an earlier run has sent it without learning the outcome. [`Batch::add`] sets that.
    pub is_in_doubt: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.id, &self.email, &self.name].into_iter().filter(|part| !part.is_empty());
        f.write_str(&parts.map(|part| one_line(part)).collect::<Vec<_>>().join("  "))
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The server has refused it.
    Failed,
    /// No response says whether it took effect.
    Unknown,
    NotSent,
}

/// A batch that is being put together.
///
/// ```no_run
/// use aac_auth::batch::{self, Action, Batch, BatchOptions, Entry};
/// use aac_auth::{Method, json};
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
/// # let options = BatchOptions::default();
///
/// let file = "names.csv".as_ref();
/// let action = Action { verb: "create", done: "created", note: "" };
/// let mut batch = Batch::new(&client, &options, file, action)?;
/// for row in batch::rows(file, &["name"])? {
///     match row.get("name") {
///         "" => batch.refuse(row.line, "it has no name"),
///         name => batch.add(Entry { line: row.line, id: name.to_owned(), ..Entry::default() }),
///     }
/// }
/// let code = batch.run(|entry| {
///     let body = json!({ "name": entry.id });
///     let plan = client.request(Method::POST, "/plans/v1/plans").json(&body).send()?.json()?;
///     Ok(format!("plan {}", plan["id"]))
/// })?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    options: &'a BatchOptions,
    file: &'a Path,
    action: Action,
    workspace: String,
    workspace_name: String,
    report: Option<Report>,
    entries: Vec<Entry>,
    /// The line on which each came first.
    lines: HashMap<String, usize>,
    refused: Vec<(usize, String)>,
    /// How many are done, as the report says.
    before: usize,
}

impl<'a> Batch<'a> {
    /// Asks for the current workspace, and reads the report, if there is one.
    ///
    /// # Errors
    ///
    /// Those of a call; [`ErrorKind::Io`] if the report is in use, or is none.
    pub fn new(
        client: &Client,
        options: &'a BatchOptions,
        file: &'a Path,
        action: Action,
    ) -> Result<Self> {
        let found = client.get(CURRENT_WORKSPACE)?;
        let workspace = json::id(&found["id"])
            .ok_or_else(|| Error::response("the workspace has no number for an id"))?
            .to_string();
        let open = |path: &PathBuf| Report::open(client, path, &workspace);
        Ok(Self {
            report: options.report.as_ref().map(open).transpose()?,
            options,
            file,
            action,
            workspace,
            workspace_name: found["name"].as_str().unwrap_or_default().to_owned(),
            entries: Vec::new(),
            lines: HashMap::new(),
            refused: Vec::new(),
            before: 0,
        })
    }

    /// The number of the workspace.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// Adds a row, unless the report says that it is done. If it was added before, it is refused.
    pub fn add(&mut self, mut entry: Entry) {
        let key = key(&entry.id, &entry.email);
        if let Some(first) = self.lines.get(&key) {
            return self.refuse(entry.line, format!("{entry} is on line {first} already"));
        }
        self.lines.insert(key.clone(), entry.line);
        match self.report.as_ref().and_then(|report| report.last(&key)) {
            Some(outcome) if outcome == self.action.done => self.before += 1,
            outcome => {
                // Without an outcome, the run ended while it was under way.
                entry.is_in_doubt = matches!(outcome, Some("unknown" | ""));
                self.entries.push(entry);
            }
        }
    }

    /// Refuses a row: nothing is sent then, unless `--skip-refused` leaves it out.
    pub fn refuse(&mut self, line: usize, why: impl Into<String>) {
        self.refused.push((line, why.into()));
    }

    /// Shows the batch, asks, and sends it row by row. The function sends a row, and returns a detail for its line on
    /// standard output.
    ///
    /// Ctrl-C is held until the current row is done; the program then ends as if it had not been held.
    ///
    /// Returns the exit code: 0 if all rows are done; 1 if the user says no; 4 if the server has refused some; 12 if it
    /// is unknown whether some took effect; otherwise that of the error that ended the batch.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if rows are refused; [`ErrorKind::Usage`] if nobody can be asked.
    pub fn run(mut self, send: impl FnMut(&Entry) -> Result<String>) -> Result<ExitCode> {
        let mut output = Output::stdout();
        if let Some(code) = self.show_and_ask(&mut output)? {
            return Ok(code);
        }
        SignalGuard::prepare();
        let held = SignalGuard::new();
        let sent = self.send_all(send, &mut output);
        let code = self.tell(&sent);
        // A signal that came meanwhile ends the program here.
        drop(held);
        Ok(code.into())
    }

    /// Shows what is refused and what is to be sent, and asks. Returns an exit code if nothing is to be sent.
    fn show_and_ask(&self, output: &mut Output) -> Result<Option<ExitCode>> {
        let BatchOptions { yes, dry_run, skip_refused, .. } = *self.options;
        for (line, why) in &self.refused {
            say(format_args!("{}, line {line}: {why}", self.file.display()));
        }
        if dry_run {
            for entry in &self.entries {
                output.write_text(&self.plan(entry))?;
            }
            output.flush()?;
        }
        if !self.refused.is_empty() && !skip_refused {
            let count = self.refused.len();
            let rows = if count == 1 { "1 row is" } else { &format!("{count} rows are") };
            let what = format!(
                "{rows} refused, so nothing was sent. --skip-refused leaves out what is refused"
            );
            return Err(Error::file(self.file, io::Error::other(what)));
        }
        say(self.summary());
        if !self.action.note.is_empty() && !self.entries.is_empty() {
            say(self.action.note);
        }
        if dry_run || self.entries.is_empty() {
            return Ok(Some(ExitCode::SUCCESS));
        }
        if yes || self.ask()? {
            return Ok(None);
        }
        say("nothing was sent");
        Ok(Some(ExitCode::FAILURE))
    }

    /// Sends row by row, notes each outcome, and prints it.
    fn send_all(
        &mut self,
        mut send: impl FnMut(&Entry) -> Result<String>,
        output: &mut Output,
    ) -> Sent {
        let mut report = self.report.take();
        let mut sent = Sent::default();
        for entry in &self.entries {
            if SignalGuard::is_pending() || sent.suspicious == IN_A_ROW || sent.end.is_some() {
                break;
            }
            if let Some(Err(error)) = report.as_mut().map(|report| report.begin(entry)) {
                sent.end = Some(error);
                break;
            }
            let result = entry.already.clone().map_or_else(|| send(entry), Ok);
            let outcome = result.as_ref().map_or_else(Outcome::of, |_| Outcome::Done);
            let is_suspicious = result.as_ref().is_err_and(|error| outcome.is_suspicious(error));
            let detail = result.as_ref().map_or_else(ToString::to_string, String::clone);
            sent.suspicious = if is_suspicious { sent.suspicious + 1 } else { 0 };
            match entry.already {
                Some(_) => sent.already += 1,
                None => sent.counts[outcome as usize] += 1,
            }
            // First where it is remembered.
            let word = outcome.word(self.action);
            let noted = report.as_mut().map_or(Ok(()), |report| report.end(word, &detail));
            let told = output.write_text(&self.line(word, entry, &detail));
            let told = noted.and(told.and_then(|()| output.flush()));
            sent.end = result.err().filter(|_| outcome == Outcome::NotSent).or(told.err());
        }
        let begun = sent.already + sent.counts.iter().sum::<usize>();
        sent.counts[Outcome::NotSent as usize] += self.entries.len() - begun;
        self.report = report;
        sent
    }

    /// Tells how it ended, and returns the exit code.
    fn tell(&self, Sent { counts, already, suspicious, end }: &Sent) -> u8 {
        let [_, failed, unknown, not_sent] = *counts;
        if *suspicious == IN_A_ROW && not_sent > 0 {
            say("three in a row were refused, or got no response: the others are not sent");
        }
        if let Some(error) = end {
            error.report();
        }
        let words = Outcome::ALL.map(|outcome| outcome.word(self.action));
        let told = counts.iter().zip(words).chain([(already, ALREADY)]);
        let told = told.filter(|(count, _)| **count > 0);
        say(told.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", "));
        if unknown > 0 {
            let memory = match self.report {
                Some(_) => "",
                None => {
                    ". Without --report, it sends again what is done, unless the platform shows that"
                }
            };
            say(format_args!(
                "it is unknown whether {unknown} took effect: the same command again finds out, or sends that again{memory}"
            ));
        }
        match end {
            _ if unknown > 0 => UNKNOWN,
            // A reader of standard output that stops reading is a failure here: rows were not sent.
            Some(error) => error.exit_code().max(1),
            None if failed > 0 => REFUSED,
            None => 0,
        }
    }

    /// What is to be done with a row.
    fn plan(&self, entry: &Entry) -> String {
        match &entry.already {
            Some(why) => self.line("done", entry, why),
            None if entry.is_in_doubt => {
                self.line(self.action.verb, entry, "again: its outcome is unknown")
            }
            None => self.line(self.action.verb, entry, ""),
        }
    }

    fn line(&self, word: &str, entry: &Entry, detail: &str) -> String {
        let width = self.action.done.len().max("not sent".len());
        format!("{word:<width$}  {entry}  {}", one_line(detail)).trim_end().to_owned() + "\n"
    }

    fn summary(&self) -> String {
        let Action { verb, done, .. } = self.action;
        let Self { workspace, workspace_name, before, .. } = self;
        let already = self.entries.iter().filter(|entry| entry.already.is_some()).count();
        let mut parts = vec![format!("{} to {verb}", self.entries.len() - already)];
        for (count, what) in [
            (already, ALREADY),
            (*before, &format!("{done} before, as the report says")),
            (self.refused.len(), "refused and left out"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        format!("workspace {workspace_name} ({workspace}): {}", parts.join(", "))
    }

    /// Shows what is to be done, and whether a person agrees.
    fn ask(&self) -> Result<bool> {
        let (stdin, mut stderr) = (io::stdin(), io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() {
            let what = "nobody can be asked here: --yes sends without asking, --dry-run shows what would be sent";
            return Err(Error::usage(what));
        }
        let mut text = String::new();
        for entry in self.entries.iter().take(SHOWN) {
            text += &format!("  {}", self.plan(entry));
        }
        if let more @ 1.. = self.entries.len().saturating_sub(SHOWN) {
            text += &format!("  and {more} more, which --dry-run shows\n");
        }
        let _ = write!(stderr, "{text}Continue? (y/n) [n]: ");
        let mut answer = String::new();
        stdin.read_line(&mut answer).map_err(|error| Error::file("standard input", error))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

/// How far a batch has come.
#[derive(Debug, Default)]
struct Sent {
    /// How many rows have each outcome, without those that were done already.
    counts: [usize; 4],
    already: usize,
    /// How many of the last rows were suspicious.
    suspicious: usize,
    /// What has ended it.
    end: Option<Error>,
}

impl Outcome {
    /// In their order.
    const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Unknown, Self::NotSent];

    /// What became of a row whose request ended so. If it was not sent, none of the others can be.
    fn of(error: &Error) -> Self {
        match error.http().map(|http| http.status().as_u16()) {
            // The program may have found so itself, of a response that says less than it should.
            _ if error.may_have_taken_effect() || error.kind() == ErrorKind::Response => {
                Self::Unknown
            }
            Some(401 | 407) => Self::NotSent,
            Some(400..=499) if !error.is_retryable() => Self::Failed,
            _ => Self::NotSent,
        }
    }

    /// Whether the other rows may well end so, too: the user lacks the privilege, the path is wrong, the server hangs.
    fn is_suspicious(self, error: &Error) -> bool {
        let status = error.http().map(|http| http.status().as_u16());
        self == Self::Unknown || matches!(status, Some(403..=405))
    }

    fn word(self, action: Action) -> &'static str {
        match self {
            Self::Done => action.done,
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::NotSent => "not sent",
        }
    }
}
