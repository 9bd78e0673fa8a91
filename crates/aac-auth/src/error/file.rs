//! What can be wrong with one of the three files or a file beside creds.json, and what to do about it.

use crate::error::http::after_colon;
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::vault::VaultProblem;
use crate::error::{Details, Error, make_new};
use crate::platform::{self, Unfit, quoted};
use std::path::Path;
use std::{error, fmt, io};

/// What is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    message: String,
    help: Cure,
}

#[derive(Clone, Debug)]
enum Cure {
    Text(String),
    /// It depends on where the problem is.
    At(fn(&Place) -> String),
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Cure::Text(help.into()) }
    }

    pub(crate) fn at(message: impl Into<String>, help: fn(&Place) -> String) -> Self {
        Self { message: message.into(), help: Cure::At(help) }
    }

    pub(crate) fn help(&self, place: &Place) -> String {
        match &self.help {
            Cure::Text(help) => help.clone(),
            Cure::At(help) => help(place),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What can be wrong with a file of ours. A variant is what some code tells apart; all else is
/// [`Content`](Self::Content) or [`Kept`](Self::Kept).
#[derive(Debug)]
pub(crate) enum FileProblem {
    /// It does not exist.
    Missing,
    /// It contains nothing but whitespace.
    Empty,
    /// The operating system could not read it.
    Unreadable(io::Error),
    /// It stands where others may put theirs, and may not be used.
    Unfit(Unfit),
    /// It holds the placeholder it was shipped with; the page is where its content is created.
    Placeholder(String),
    /// creds.json holds placeholders instead of tokens.
    PlaceholderTokens {
        /// The placeholder fields.
        fields: Vec<&'static str>,
        /// The page where tokens are created.
        page: String,
    },
    /// aac_url.txt holds another address than the API's.
    OtherAddress {
        /// What it holds instead.
        what: &'static str,
        /// The API's address.
        api: String,
    },
    /// creds.json is not JSON. It may be half written.
    NotJson(Problem),
    /// The file holds an error of the authorization server instead of tokens.
    OAuthError {
        /// The error code and description, without secrets; empty if they are not of a server.
        message: String,
        /// The page where new tokens are created.
        page: String,
    },
    /// creds.json names this secret in a vault, which has the tokens.
    InVault(String),
    /// The secret is gone, or the vault cannot be found.
    Vault(VaultProblem),
    /// creds.json was being written when the machine or the program stopped; the journal has the rest.
    Torn,
    /// The journal is from another version of this crate, and may hold the only copy of a pair.
    UnknownJournal,
    /// Its content is of no use.
    Content(Problem),
    /// The same, but it may be of use elsewhere: nobody may replace it by other tokens.
    Kept(Problem),
}

impl FileProblem {
    pub(crate) fn not_text() -> Self {
        Self::Content(Problem::at("not a text file", content))
    }

    /// It is a folder, a device or the like.
    pub(crate) fn not_a_file() -> Self {
        Self::Kept(Problem::at("not a file", content))
    }

    pub(crate) fn too_large() -> Self {
        Self::Kept(Problem::at("larger than 1 MiB", content))
    }

    fn content(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Content(Problem::new(message, help))
    }

    // The folder was found, not named.

    /// It belongs to another user; the command names its folder.
    pub(crate) fn of_another(owner: &str, command: &str) -> Self {
        Self::content(format!("it belongs to another user, {owner}"), trust(command))
    }

    /// It is a link to a file of another user than the link's.
    pub(crate) fn link_to_another(link: &str, owner: &str, command: &str) -> Self {
        Self::content(format!("a link of {link} to a file of {owner}"), trust(command))
    }

    // aac_url.txt.

    pub(crate) fn several_lines() -> Self {
        Self::content("more than one line", put_url())
    }

    pub(crate) fn not_a_url() -> Self {
        Self::content("not a URL", put_url())
    }

    /// Only loopback addresses may use plain http.
    pub(crate) fn not_https() -> Self {
        Self::content("not https", put_url())
    }

    pub(crate) fn user_info() -> Self {
        Self::content("a user name before the host", put_url())
    }

    pub(crate) fn outside_cloud() -> Self {
        Self::content("not a host of Alteryx Cloud's API", put_url())
    }

    /// With `https://`, this is the URL.
    pub(crate) fn no_scheme(url: &str) -> Self {
        Self::content("no https:// at the beginning", format!("Put {url} in it."))
    }

    /// This is the URL without what follows the host.
    pub(crate) fn not_just_host(url: &str) -> Self {
        Self::content("more than a scheme and a host", format!("Put {url} in it."))
    }

    pub(crate) fn web_address(api: String) -> Self {
        Self::OtherAddress { what: "the address of the web pages, not of the API", api }
    }

    pub(crate) fn workspace_address(api: String) -> Self {
        Self::OtherAddress { what: "the address of one workspace, not of the API", api }
    }

    // client_id.txt.

    pub(crate) fn id_with_blanks() -> Self {
        Self::content("spaces inside the ID", COPY_ID)
    }

    /// It has other characters than letters, digits, `-` and `_`.
    pub(crate) fn id_not_plain() -> Self {
        Self::content("invalid characters in the ID", COPY_ID)
    }

    pub(crate) fn id_length() -> Self {
        Self::content("too short or too long for an ID", COPY_ID)
    }

    /// In place of the ID there is a secret of this kind.
    pub(crate) fn id_is_secret(what: &str) -> Self {
        Self::Content(Problem::at(format!("{what}, not the ID of an API project"), |place| {
            format!(
                "The ID is sent with each call, so this was not. If {place} is a link, see where it leads. \
                 Put the Client ID of your API project in it: one line of letters and digits."
            )
        }))
    }

    /// The page is where the API project's ID is found.
    pub(crate) fn oauth_client_id(page: &str) -> Self {
        Self::content(
            "a UUID, which is the OAuth client ID, not the ID of the API project",
            format!(
                "Copy the Client ID of your API project from {page} (letters and digits, no dashes)."
            ),
        )
    }

    // creds.json.

    /// The place in it counts from 1.
    pub(crate) fn not_json(line: usize, column: usize, reason: &str, curly_quotes: bool) -> Self {
        let what = format!("not JSON, line {line}, column {column}: {reason}");
        Self::NotJson(match curly_quotes {
            true => Problem::new(
                what + " (it has curly quotes “ ”)",
                "Replace the curly quotes with straight ones (\"), as a plain text editor writes them.",
            ),
            false => Problem::new(what, BOTH_TOKENS),
        })
    }

    pub(crate) fn not_an_object() -> Self {
        Self::content("JSON, but not an object { … }", BOTH_TOKENS)
    }

    /// A string continues on the next line, which JSON does not allow. It begins on this one, from 1.
    pub(crate) fn token_on_several_lines(line: usize) -> Self {
        Self::content(
            format!(
                "line {line}: the text in quotation marks goes on in the next line, or a quotation mark is missing"
            ),
            "A token is one long line in quotation marks: paste it again without line breaks, and see that both marks are there.",
        )
    }

    pub(crate) fn no_token(field: &str) -> Self {
        let help = match field {
            "refresh_token" => "Add it as \"refresh_token\": \"…\", as shown when you generated the tokens.\n\
                 Without it, the programs cannot refresh the access token, and do not use it. It is good until it \
                 expires, a few minutes after it was issued: send it yourself, as Authorization: Bearer.\n\
                 To hand on a token that is good for a while: access_token --min-life SECS"
                .to_owned(),
            field => add_token(field),
        };
        Self::content(format!("no \"{field}\""), help)
    }

    pub(crate) fn token_not_text(field: &str) -> Self {
        Self::content(format!("\"{field}\" is not a string"), add_token(field))
    }

    pub(crate) fn token_empty(field: &str) -> Self {
        Self::content(format!("\"{field}\" is empty"), add_token(field))
    }

    pub(crate) fn token_unclean(field: &str) -> Self {
        Self::content(
            format!("\"{field}\" has spaces or invalid characters inside"),
            format!("Paste \"{field}\" again, on one line and without \"Bearer\"."),
        )
    }

    pub(crate) fn token_has_line_break(field: &str) -> Self {
        Self::content(
            format!("\"{field}\" has a line break inside"),
            "A token is one long line: paste it again without line breaks.",
        )
    }

    pub(crate) fn swapped() -> Self {
        Self::content("the two tokens are swapped", "Swap them.")
    }

    pub(crate) fn same_twice() -> Self {
        Self::content("the same token in both places", "Paste each token into its own field.")
    }

    pub(crate) fn not_a_jwt() -> Self {
        Self::content("the access token is not a JWT (three parts with dots between)", PASTE_WHOLE)
    }

    pub(crate) fn no_claim(claim: &str) -> Self {
        Self::content(format!("the access token has no \"{claim}\" claim"), PASTE_WHOLE)
    }

    pub(crate) fn issuer(iss: &str) -> Self {
        Self::content(
            format!("the access token was issued by {iss}, which is not Alteryx Cloud"),
            NOT_SENT_THERE,
        )
    }

    pub(crate) fn issuer_not_https(iss: &str) -> Self {
        Self::content(
            format!("the access token was issued by {iss}, which is not https"),
            NOT_SENT_THERE,
        )
    }

    /// The issuer does not go with the address in aac_url.txt: one is on this machine and the other is not,
    /// or they are of two regions. `right` is the address for this issuer, if it is known.
    pub(crate) fn issuer_elsewhere(iss: &str, api: &str, right: Option<String>) -> Self {
        let help = match right {
            Some(api) => format!(
                "Nothing was sent. If these tokens are the right ones, put {api} in aac_url.txt. If the address is, paste tokens made there."
            ),
            None => "Nothing was sent. Tokens of Alteryx Cloud do not go to this machine, and those of a sandbox do \
                 not leave it. Name the folder of the right files with --dir or AAC_DIR."
                .to_owned(),
        };
        // A good pair, which only aac_url.txt is wrong for.
        Self::Kept(Problem::new(
            format!("the access token was issued by {iss}, but aac_url.txt names {api}"),
            help,
        ))
    }

    pub(crate) fn not_a_vault_path() -> Self {
        Self::Kept(Problem::new(
            "\"vault\" is not the path of a secret",
            "Put the path of the API in it: {\"vault\": \"secret/data/aac\"} is bao kv put secret/aac.",
        ))
    }

    pub(crate) fn tokens_and_vault() -> Self {
        Self::content(
            "both tokens and a \"vault\"",
            "Keep one of the two: the tokens, or {\"vault\": \"secret/data/aac\"} once they are in the vault.",
        )
    }

    /// creds.json names this secret in a vault that cannot be asked.
    pub(crate) fn vault_unusable(path: &str, problem: &VaultProblem) -> Self {
        let secret = Place::Secret { path: path.to_owned(), vault: None };
        Self::content(
            format!("it names the secret {path} in a vault, and {problem}"),
            problem.help(&secret),
        )
    }

    /// What is wrong with what is in this place, and what to do about it.
    fn texts(&self, place: &Place) -> (String, String) {
        let (message, help) = match self {
            Self::Missing => ("no such file", content(place)),
            Self::Empty => ("empty", content(place)),
            Self::Unreadable(source) => {
                let help = match platform::is_sharing_violation(source) {
                    true => "Another program has it open, and does not share it. Close that program, and run this again.",
                    false => "Give yourself permission to read it.",
                };
                return (format!("cannot be read: {source}"), help.to_owned());
            }
            Self::Unfit(unfit) => return (unfit.to_string(), help_of(unfit, place)),
            Self::Placeholder(page) => (
                "a placeholder instead of your own value",
                format!("{}\n{TRY_IT}", fill_in(place, page)),
            ),
            Self::PlaceholderTokens { fields, page } => {
                let what = match fields[..] {
                    [field] => format!("\"{field}\" is still a placeholder"),
                    _ => format!("\"{}\" are still placeholders", fields.join("\" and \"")),
                };
                return (what, format!("{}\n{TRY_IT}", fill_in(place, page)));
            }
            Self::OtherAddress { what, api } => (*what, format!("Put {api} in it.")),
            Self::OAuthError { message, page } => {
                let message = after_colon(message);
                return (
                    format!("an error of the authorization server instead of tokens{message}"),
                    format!(
                        "The vendor's JavaScript and bash examples write that over the tokens when a refresh fails.\n{}",
                        make_new(page, place)
                    ),
                );
            }
            Self::InVault(path) => {
                return (
                    format!("it now names the secret {path} in a vault"),
                    "Run this again: the tokens are in the vault.".to_owned(),
                );
            }
            Self::Vault(problem) => return (problem.to_string(), problem.help(place)),
            Self::Torn => (
                "only partly written",
                "Run this again: the rest is in the journal beside it.".to_owned(),
            ),
            Self::UnknownJournal => (
                "written by another version of this program",
                "It may hold the only copy of your tokens: run the newer version of this program, which can read it.".to_owned(),
            ),
            Self::NotJson(problem) | Self::Content(problem) | Self::Kept(problem) => {
                return (problem.to_string(), problem.help(place));
            }
        };
        (message.to_owned(), help)
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is wrong does not depend on the place.
        f.write_str(&self.texts(&Place::from(Path::new(""))).0)
    }
}

impl error::Error for FileProblem {}

impl Error {
    /// No creds.json in the current folder or above it, or the folder that `--dir` or `AAC_DIR` names is
    /// none.
    pub(crate) fn no_folder(folder: &Path, named: bool) -> Self {
        let shown = folder.display();
        let (message, help) = match named {
            true if shown.to_string().contains('"') => (
                format!("{shown}: no such folder"),
                "The name has a quotation mark in it. In cmd: set AAC_DIR=C:\\folder, without quotation marks, or --dir \"C:\\folder\", without a \\ at the end.".to_owned(),
            ),
            true => (
                format!("{shown}: no such folder"),
                "Name the folder that holds aac_url.txt, client_id.txt and creds.json with --dir or AAC_DIR.".to_owned(),
            ),
            false => (
                format!("no creds.json in {shown} or any folder above it"),
                format!(
                    "Run this in the folder that holds aac_url.txt, client_id.txt and creds.json, or below it, \
                     or name the folder with --dir or AAC_DIR.\n{TRY_IT}"
                ),
            ),
        };
        Details::of(ErrorKind::Config, message, help).into()
    }

    /// `--dir` or `AAC_DIR` names a file.
    pub(crate) fn not_a_folder(file: &Path) -> Self {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Details::of(
            ErrorKind::Config,
            format!("{}: it is a file, not a folder", file.display()),
            format!("Name its folder instead: --dir {}", quoted(folder.unwrap_or(Path::new(".")))),
        )
        .into()
    }

    /// Files still contain the placeholders that the repository ships: each with the page where its content
    /// is created, and the placeholder fields of creds.json.
    pub(crate) fn placeholders(files: &[(Place, String)], fields: &[&str]) -> Self {
        let names: Vec<_> = files.iter().map(|(place, _)| place.to_string()).collect();
        let mut message = format!("placeholders instead of your own values: {}", names.join(", "));
        if !fields.is_empty() {
            message.push_str(&format!(" ({})", fields.join(", ")));
        }
        let mut lines: Vec<_> = files.iter().map(|(path, page)| fill_in(path, page)).collect();
        lines.push(TRY_IT.to_owned());
        Details {
            needs_new_tokens: !fields.is_empty(),
            ..Details::of(ErrorKind::Config, message, lines.join("\n"))
        }
        .into()
    }

    /// One of the three files, or a file beside creds.json, cannot be used. Nothing was sent.
    pub(crate) fn unusable(place: impl Into<Place>, problem: FileProblem) -> Self {
        let place = place.into();
        let (what, help) = problem.texts(&place);
        let kind = match problem {
            FileProblem::Torn | FileProblem::UnknownJournal | FileProblem::Unfit(_) => {
                ErrorKind::Storage
            }
            _ => ErrorKind::Config,
        };
        Details {
            needs_new_tokens: matches!(
                problem,
                FileProblem::PlaceholderTokens { .. } | FileProblem::OAuthError { .. }
            ),
            source: match problem {
                FileProblem::Unreadable(source) => Some(source),
                _ => None,
            },
            ..Details::of(kind, format!("{place}: {what}"), help)
        }
        .into()
    }

    /// The error of a file that the user named, which could not be read or written.
    ///
    /// ```no_run
    /// use aac_auth::Error;
    ///
    /// let path = "body.json";
    /// let body = std::fs::read(path).map_err(|source| Error::file(path, source))?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn file(path: impl AsRef<Path>, source: io::Error) -> Self {
        let message = format!("{}: {source}", path.as_ref().display());
        let details = Details::of(ErrorKind::Io, message, limit_of_files(&source));
        details.with(source)
    }
}

/// What to do if the system limits the size of files.
pub(super) fn limit_of_files(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::FileTooLarge => {
            "Raise the limit of the size of files (ulimit -f), or use a file system without one."
        }
        _ => "",
    }
}

/// What to do about what has the name of this file.
pub(super) fn help_of(unfit: &Unfit, place: &Place) -> String {
    place.file().map(|path| unfit.help(path)).unwrap_or_default()
}

const TRY_IT: &str = "To try it without an account, in the project's folder: cargo sandbox cargo run -p get_workspace";
const API_URL: &str = "https://api.us1.alteryxcloud.com (or eu1, au1: your region)";
const COPY_ID: &str =
    "Copy the Client ID of your API project again: one line of 8 to 128 letters and digits.";
const BOTH_TOKENS: &str = "It must look like {\"access_token\": \"…\", \"refresh_token\": \"…\"}, both in straight quotation marks.";
const PASTE_WHOLE: &str = "Paste the access token again, whole: it begins with eyJ and is about a thousand characters long.";
const NOT_SENT_THERE: &str = "The refresh token would be sent there, so it is not. Paste tokens made in Alteryx Cloud \
     (those of a local sandbox work with its own aac_url.txt only).";

/// What must be in this file.
fn content(place: &Place) -> String {
    let file = place.file().and_then(Path::file_name).unwrap_or_default();
    match &*file.to_string_lossy() {
        "aac_url.txt" => format!("It must be a text file with {API_URL} on a single line."),
        "creds.json" => "It must be a text file with both tokens: {\"access_token\": \"…\", \"refresh_token\": \"…\"}, \
             created in User Preferences > OAuth 2.0 API Tokens."
            .to_owned(),
        _ => "It must be a text file with the Client ID of your API project on a single line.".to_owned(),
    }
}

fn fill_in(place: &Place, page: &str) -> String {
    format!("Put your own value in {place}. You find it at {page}")
}

fn put_url() -> String {
    format!("Put {API_URL} in it, on one line, and nothing else.")
}

fn add_token(field: &str) -> String {
    format!("Add it as \"{field}\": \"…\", as shown when you generated the tokens.")
}

fn trust(command: &str) -> String {
    format!(
        "Another user's files are used only in a folder that you name. If you trust that user, run \
         this again with {command}"
    )
}
