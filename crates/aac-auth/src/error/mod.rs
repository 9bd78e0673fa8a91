//! Every error: what happened, what to do about it, and its exit code.
//!
//! All the text of error messages is here. [`Display`](fmt::Display) is one line that says what happened
//! and names the file or URL; [`Error::help`] says what to do.

pub(crate) mod display;
pub(crate) mod notices;

use crate::platform;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fmt};
use ureq::http::{HeaderMap, Version};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call could not be made, or how it failed.
///
/// ```no_run
/// use aac_auth::Error;
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let plan = match client.get("/plans/v1/plans/7") {
///     // Deleted, or never there.
///     Err(Error::Http(error)) if matches!(error.status, 404 | 410) => None,
///     plan => Some(plan?),
/// };
/// # Ok::<(), Error>(())
/// ```
///
/// No message and no `Debug` output contains a token or part of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No creds.json in the current folder or above it, or the named path is not a folder.
    NoFolder {
        /// Where the search began, or the named folder.
        folder: PathBuf,
        /// Whether `--dir` or `AAC_DIR` named it.
        named: bool,
    },
    /// Files still contain the placeholders that the repository ships.
    Placeholders {
        /// The files, each with the page where its content is created.
        files: Vec<(PathBuf, String)>,
        /// The placeholder fields of creds.json.
        fields: Vec<&'static str>,
    },
    /// One of the three files cannot be used. Nothing was sent.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// Another program held the lock beside creds.json for too long.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long this program waited.
        waited: Duration,
    },
    /// The disk cannot store a new pair of tokens. This was detected before anything was sent.
    NotWritable {
        /// The file that could not be written, or the folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// creds.json has a second name, a hard link, which would keep the old tokens. Nothing was sent.
    HardLink {
        /// The file.
        creds: PathBuf,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// creds.json was replaced by an older copy: its refresh token has been used and must not be sent
    /// again. The newer pair is not on this machine.
    OlderCopy {
        /// The file.
        creds: PathBuf,
        /// When its refresh token was used.
        used: String,
        /// The page where new tokens are created.
        page: String,
    },
    /// creds.json holds no tokens, and pairs of several accounts are set aside.
    SeveralPairs {
        /// creds.json.
        creds: PathBuf,
        /// The files with the pairs, each with its account.
        pairs: Vec<(PathBuf, String)>,
    },
    /// An earlier run's pair of tokens is in the journal and cannot be moved to creds.json.
    /// Nothing is lost.
    SavedInJournal {
        /// The journal.
        journal: PathBuf,
        /// The file that could not be written.
        creds: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The authorization server could not be reached. The refresh token was not sent.
    AuthServerUnreachable {
        /// The token endpoint.
        url: String,
        /// The network error.
        trouble: NetworkError,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// The authorization server is rate limiting (HTTP 429). The refresh token is not used up.
    AuthServerBusy {
        /// The token endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it asked to wait, if it said.
        wait: Option<Duration>,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// The authorization server refused the request, not the token. The token is not used up.
    RefreshRefused {
        /// The token endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its message, without secrets.
        message: String,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// The refresh token is dead (`invalid_grant`, RFC 6749 §5.2): new tokens are needed.
    TokensRefused {
        /// The token endpoint.
        url: String,
        /// Its message, without secrets.
        message: Box<str>,
        /// The file with the dead tokens.
        creds: PathBuf,
        /// The page where new tokens are created.
        page: Box<str>,
        /// What happened to the response when this token was sent before, if it was.
        lost: Option<Box<str>>,
        /// The files with pairs that are set aside and were not tried, each with its account.
        set_aside: Box<[(PathBuf, String)]>,
    },
    /// The response to a refresh was lost or incomplete twice: the token may be used up.
    ResponseLost {
        /// The token endpoint.
        url: String,
        /// What happened to the response.
        what: String,
        /// The HTTP status, if one arrived.
        status: Option<u16>,
        /// The file with the tokens, unchanged.
        creds: PathBuf,
        /// The page where new tokens are created.
        page: String,
    },
    /// The server sent a new refresh token without an access token. It is saved.
    NoAccessToken {
        /// The token endpoint.
        url: String,
        /// The file that holds the refresh token.
        place: PathBuf,
    },
    /// A new pair arrived and no disk could store it: it is lost when this program ends.
    NotSaved {
        /// The file that could not be written.
        creds: PathBuf,
        /// The operating system's error.
        source: io::Error,
        /// The page where new tokens are created.
        page: String,
    },
    /// The error of a run that held the lock before this one and failed moments ago with the same token.
    FailedElsewhere {
        /// Its one line that says what happened.
        message: String,
        /// Its help text.
        help: String,
        /// Its exit code.
        exit_code: u8,
    },
    /// The API responded with a status other than 2xx.
    Http(Box<HttpError>),
    /// The API could not be reached, or the connection broke.
    Transport {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What went wrong.
        trouble: NetworkError,
    },
    /// The API's response is cut off, not JSON, or too large.
    BadResponse {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What is wrong with the response.
        what: String,
    },
    /// Rows were requested, and the response is not a list, or not one that can be read page by page.
    NoList {
        /// The request's URL.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The thread that fetches the pages of a list could not be started, or has ended.
    Thread(io::Error),
    /// The program's request cannot be sent.
    Request {
        /// The path, header or query that cannot be sent, and why.
        what: String,
    },
    /// A list was interrupted after some of its rows.
    ListInterrupted {
        /// How many rows were returned.
        after: u64,
        /// How many there are, if the server has said.
        total: Option<u64>,
        /// What the rows are.
        noun: &'static str,
        /// Why it was interrupted.
        source: Box<Error>,
    },
    /// A file named by the user, other than the three, could not be read or written.
    UserFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Standard output could not be written. This includes a reader that stopped reading
    /// ([`io::ErrorKind::BrokenPipe`]), for which [`Error::report`] prints nothing.
    Output(io::Error),
}

/// A response of the API with a status other than 2xx.
pub struct HttpError {
    /// The request's method.
    pub method: String,
    /// The request's URL.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// The server's message, without secrets; empty if it sent none.
    pub message: String,
    /// The HTTP version of the response.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as received, up to 1 MiB; [`read`](Self::read) returns the rest.
    pub body: Vec<u8>,
    pub(crate) rest: Option<Box<dyn Read + Send>>,
    /// The body on one line without secrets, up to 2000 characters, for messages.
    pub shown: String,
    /// The ID that support asks for (`x-trifacta-request-id` or `x-request-id`).
    pub request_id: Option<String>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// What it means to the user.
    pub kind: HttpErrorKind,
    /// Whether a retry was due, but the request's body could not be sent again.
    pub body_consumed: bool,
}

/// What an error response means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The gateway does not know the API project ID, or got none (401).
    ApiKey,
    /// The API project may not use this API (401).
    ApiKeyForResource,
    /// The access token is not accepted (401).
    Unauthorized,
    /// The user lacks a privilege (403).
    Forbidden,
    /// No such route: a wrong path, method or host (404).
    NoRoute,
    /// Too many requests (429, or 500 from an older gateway).
    Throttled,
    /// A redirect, which is not followed (3xx).
    Redirect,
    /// Any other 4xx.
    Refused,
    /// Any other 5xx.
    ServerError,
}

/// Why the server could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The host name could not be resolved.
    Lookup(String),
    /// No connection could be made.
    Connect(String),
    /// The server's certificate is not trusted.
    Certificate(String),
    /// The system's certificate store is empty.
    NoRoots,
    /// The proxy could not be used.
    Proxy(String),
    /// A wait timed out; the text says which.
    Timeout(String),
    /// The connection broke, or the data received was not HTTP.
    Broken(String),
}

/// What can be wrong with one of the three files.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileProblem {
    /// It does not exist.
    Missing,
    /// It is a folder, a device or the like.
    NotAFile,
    /// The operating system could not read it.
    Unreadable(io::Error),
    /// It is larger than 1 MiB.
    TooLarge,
    /// It is not text: neither UTF-8, nor UTF-16 with a byte order mark.
    NotText,
    /// It contains nothing but whitespace.
    Empty,
    /// It holds the placeholder it was shipped with; the page is where its content is created.
    Placeholder(String),
    /// creds.json holds placeholders instead of tokens.
    PlaceholderTokens {
        /// The placeholder fields.
        fields: Vec<&'static str>,
        /// The page where tokens are created.
        page: String,
    },

    /// aac_url.txt has more than one line.
    SeveralLines,
    /// aac_url.txt holds no URL.
    NotAUrl,
    /// aac_url.txt has no `https://`; with it, this is the URL.
    NoScheme(String),
    /// aac_url.txt names plain http, which only loopback addresses may use.
    NotHttps,
    /// aac_url.txt has a user or password before the host.
    UserInfo,
    /// aac_url.txt has text after the host; this is the URL without it.
    NotJustHost(String),
    /// aac_url.txt holds the address of the web page; this is the API's.
    WebAddress(String),
    /// aac_url.txt holds the address of one workspace; this is the API's.
    WorkspaceAddress(String),
    /// aac_url.txt names this host, which is not part of Alteryx Cloud.
    OutsideCloud(String),

    /// The API project ID contains whitespace.
    IdWithBlanks,
    /// The API project ID contains characters that no header can carry.
    IdNotAscii,
    /// The ID is the OAuth client's; the page is where the API project's is found.
    OAuthClientId(String),

    /// creds.json is not JSON.
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The parser's message.
        reason: String,
        /// Whether the file has the curly quotes of a word processor.
        curly_quotes: bool,
    },
    /// creds.json is JSON, but not an object.
    NotAnObject,
    /// creds.json lacks this field.
    NoToken(&'static str),
    /// This field is not a string.
    TokenNotText(&'static str),
    /// This field is empty.
    TokenEmpty(&'static str),
    /// This field has spaces or invalid characters.
    TokenUnclean(&'static str),
    /// This field contains a line break.
    TokenHasLineBreak(&'static str),
    /// A string continues on the next line, which JSON does not allow.
    TokenOnSeveralLines {
        /// The line on which it begins, from 1.
        line: usize,
    },
    /// The refresh token and the access token are swapped.
    Swapped,
    /// Both fields hold the same token.
    SameTwice,
    /// The access token is not a JWT.
    NotAJwt,
    /// The access token lacks this claim.
    NoClaim(&'static str),
    /// The access token names this issuer, which is not part of Alteryx Cloud.
    Issuer(String),
    /// The access token names this issuer, with plain http.
    IssuerNotHttps(String),
    /// The file holds an error of the authorization server instead of tokens.
    OAuthError {
        /// The error code and description, without secrets.
        message: String,
        /// The page where new tokens are created.
        page: String,
    },

    /// creds.json was being written when the machine or the program stopped; the journal has the rest.
    Torn,
    /// The journal is from another version of this crate, and may hold the only copy of a pair.
    UnknownJournal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder { folder, named: true } => {
                write!(f, "{}: no such folder", folder.display())
            }
            Self::NoFolder { folder, named: false } => {
                write!(f, "no creds.json in {} or any folder above it", folder.display())
            }
            Self::Placeholders { files, fields } => {
                let names: Vec<_> =
                    files.iter().map(|(path, _)| path.display().to_string()).collect();
                write!(f, "placeholders instead of your own values: {}", names.join(", "))?;
                match fields[..] {
                    [] => Ok(()),
                    _ => write!(f, " ({})", fields.join(", ")),
                }
            }
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Locked { path, waited } => {
                write!(f, "{}: held by another program for {} s", path.display(), waited.as_secs())
            }
            Self::NotWritable { path, source, in_doubt } => {
                write!(f, "{}: {source}; {}", path.display(), tokens(*in_doubt))
            }
            Self::HardLink { creds, in_doubt } => write!(
                f,
                "{}: it has another name (a hard link); {}",
                creds.display(),
                tokens(*in_doubt)
            ),
            Self::OlderCopy { creds, used, .. } => write!(
                f,
                "{}: it was replaced by an older copy, whose refresh token was used on {used}",
                creds.display()
            ),
            Self::SeveralPairs { creds, .. } => write!(
                f,
                "{}: it holds no usable tokens; tokens that are set aside are of several accounts, or of another",
                creds.display()
            ),
            Self::SavedInJournal { journal, creds, source } => write!(
                f,
                "{}: {source}; the new tokens are saved in {}",
                creds.display(),
                journal.display()
            ),
            Self::AuthServerUnreachable { url, trouble, in_doubt } => write!(
                f,
                "the tokens could not be renewed: {trouble} (POST {url}); {}",
                tokens(*in_doubt)
            ),
            Self::AuthServerBusy { url, status, wait, in_doubt } => {
                write!(
                    f,
                    "the tokens could not be renewed yet: {} (POST {url}); {}",
                    status_line(*status),
                    tokens(*in_doubt)
                )?;
                match wait {
                    Some(wait) => write!(f, ", try again in {} s", wait.as_secs()),
                    None => Ok(()),
                }
            }
            Self::RefreshRefused { url, status, message, in_doubt } => write!(
                f,
                "the tokens could not be renewed: {}{} (POST {url}); {}",
                status_line(*status),
                after_colon(message),
                tokens(*in_doubt)
            ),
            Self::TokensRefused { url, message, creds, .. } => write!(
                f,
                "the refresh token in {} is refused{} (POST {url})",
                creds.display(),
                after_colon(message)
            ),
            Self::ResponseLost { url, what, creds, .. } => write!(
                f,
                "the response with the new tokens was lost: {what} (POST {url}); the refresh token in {} may have been used",
                creds.display()
            ),
            Self::NoAccessToken { url, place } => write!(
                f,
                "the server renewed the refresh token without a usable access token (POST {url}); it is saved in {}",
                place.display()
            ),
            Self::NotSaved { creds, source, .. } => {
                write!(
                    f,
                    "{}: {source}; the new tokens could not be saved anywhere",
                    creds.display()
                )
            }
            Self::FailedElsewhere { message, .. } => f.write_str(message),
            Self::Http(error) => error.fmt(f),
            Self::Transport { method, url, trouble } => write!(f, "{trouble} ({method} {url})"),
            Self::BadResponse { method, url, what } => write!(f, "{what} ({method} {url})"),
            Self::NoList { url, what } => write!(f, "{what} (GET {url})"),
            Self::Thread(source) => write!(f, "the thread that fetches pages: {source}"),
            Self::Request { what } => f.write_str(what),
            Self::ListInterrupted { after, total, noun, source } => {
                write!(f, "{source}; stopped after {after} ")?;
                match total {
                    Some(total) => write!(f, "of {total} {noun}"),
                    None => f.write_str(noun),
                }
            }
            Self::UserFile { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Output(source) => write!(f, "standard output: {source}"),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, status, message, .. } = self;
        write!(f, "{}{} ({method} {url})", status_line(*status), after_colon(message))
    }
}

/// Shows the message: a body may contain anything.
impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpError({self})")
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(what) => write!(f, "the host's name could not be looked up: {what}"),
            Self::Connect(what) => write!(f, "no connection could be made: {what}"),
            Self::Certificate(what) => write!(f, "the server's certificate is not trusted: {what}"),
            Self::NoRoots => f.write_str("this system has no certificates to trust"),
            Self::Proxy(what) => write!(f, "the proxy could not be used: {what}"),
            Self::Timeout(what) => write!(f, "timed out {what}"),
            Self::Broken(what) => write!(f, "the connection broke: {what}"),
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::NotAFile => f.write_str("not a file"),
            Self::Unreadable(source) => write!(f, "cannot be read: {source}"),
            Self::TooLarge => f.write_str("larger than 1 MiB"),
            Self::NotText => f.write_str("not a text file"),
            Self::Empty => f.write_str("empty"),
            Self::Placeholder(_) => f.write_str("a placeholder instead of your own value"),
            Self::PlaceholderTokens { fields, .. } => match fields[..] {
                [field] => write!(f, "\"{field}\" is still a placeholder"),
                _ => write!(f, "\"{}\" are still placeholders", fields.join("\" and \"")),
            },
            Self::SeveralLines => f.write_str("more than one line"),
            Self::NotAUrl => f.write_str("not a URL"),
            Self::NoScheme(_) => f.write_str("no https:// at the beginning"),
            Self::NotHttps => f.write_str("not https"),
            Self::UserInfo => f.write_str("a user name before the host"),
            Self::NotJustHost(_) => f.write_str("more than a scheme and a host"),
            Self::WebAddress(_) => f.write_str("the address of the web pages, not of the API"),
            Self::WorkspaceAddress(_) => {
                f.write_str("the address of one workspace, not of the API")
            }
            Self::OutsideCloud(host) => write!(f, "{host} is not a host of Alteryx Cloud's API"),
            Self::IdWithBlanks => f.write_str("blanks inside the id"),
            Self::IdNotAscii => f.write_str("characters that no id has"),
            Self::OAuthClientId(_) => {
                f.write_str("a uuid, which is the OAuth client id, not the API project's id")
            }
            Self::NotJson { line, column, reason, curly_quotes } => {
                write!(f, "not JSON, line {line}, column {column}: {reason}")?;
                match curly_quotes {
                    true => f.write_str(" (it has curly quotes “ ”)"),
                    false => Ok(()),
                }
            }
            Self::NotAnObject => f.write_str("JSON, but not an object { … }"),
            Self::NoToken(field) => write!(f, "no \"{field}\""),
            Self::TokenNotText(field) => write!(f, "\"{field}\" is not a string"),
            Self::TokenEmpty(field) => write!(f, "\"{field}\" is empty"),
            Self::TokenUnclean(field) => {
                write!(f, "\"{field}\" has spaces or invalid characters inside")
            }
            Self::TokenHasLineBreak(field) => write!(f, "\"{field}\" has a line break inside"),
            Self::TokenOnSeveralLines { line } => {
                write!(f, "line {line}: the text in quotation marks goes on in the next line")
            }
            Self::Swapped => f.write_str("the two tokens are swapped"),
            Self::SameTwice => f.write_str("the same token in both places"),
            Self::NotAJwt => {
                f.write_str("the access token is not a JWT (three parts with dots between)")
            }
            Self::NoClaim(claim) => write!(f, "the access token has no \"{claim}\" in it"),
            Self::Issuer(iss) => {
                write!(f, "the access token was issued by {iss}, which is not Alteryx Cloud")
            }
            Self::IssuerNotHttps(iss) => {
                write!(f, "the access token was issued by {iss}, which is not https")
            }
            Self::Torn => f.write_str("written in part"),
            Self::UnknownJournal => f.write_str("written by another version of this program"),
            Self::OAuthError { message, .. } => {
                write!(f, "an error of the authorization server instead of tokens: {message}")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotWritable { source, .. }
            | Self::SavedInJournal { source, .. }
            | Self::NotSaved { source, .. }
            | Self::UserFile { source, .. }
            | Self::Thread(source)
            | Self::Output(source)
            | Self::File { problem: FileProblem::Unreadable(source), .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) fn file(path: &Path, problem: FileProblem) -> Self {
        Self::File { path: path.to_owned(), problem }
    }

    /// The error of a run that held the lock before this one.
    pub(crate) fn noted(message: &str, help: &str, exit_code: u8) -> Self {
        Self::FailedElsewhere { message: message.to_owned(), help: help.to_owned(), exit_code }
    }

    /// Whether the refresh token may have been used and its response lost.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::ResponseLost { .. } | Self::TokensRefused { lost: Some(_), .. })
    }

    /// Whether the request may have taken effect although no response says so: after a timeout, a broken
    /// connection, a server failure, or an unreadable 2xx response, for any method but GET, HEAD and
    /// OPTIONS. Check before sending it again.
    ///
    /// ```no_run
    /// use aac_auth::{Method, json};
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let request = client.request(Method::POST, "/plans/v1/plans").json(&json!({ "name": "nightly" }));
    /// match request.send() {
    ///     Err(error) if error.may_have_taken_effect() => println!("is there a plan \"nightly\" now?"),
    ///     response => println!("{}", response?.json()?["id"]),
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Transport { method, trouble, .. } => !is_safe(method) && trouble.is_sent(),
            Self::BadResponse { method, .. } => !is_safe(method),
            Self::Http(error) => error.may_have_taken_effect(),
            _ => false,
        }
    }

    /// Whether the same request may well succeed later: after trouble with the network, a server failure,
    /// an unreadable response, or too many requests. A program that waits for something can go on.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// match client.get("/plans/v1/planSnapshotRuns/701") {
    ///     Err(error) if error.is_temporary() => aac_auth::warn(error),
    ///     run => println!("{}", run?["status"]),
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. }
            | Self::BadResponse { .. }
            | Self::AuthServerUnreachable { .. }
            | Self::AuthServerBusy { .. }
            | Self::ResponseLost { .. } => true,
            Self::Http(error) if error.kind == HttpErrorKind::Throttled => true,
            Self::FailedElsewhere { exit_code, .. } => matches!(exit_code, 1 | 5),
            _ => self.exit_code() == 5,
        }
    }

    /// What to do about it: whole sentences, one per line; empty if there is nothing to add.
    pub fn help(&self) -> String {
        match self {
            Self::NoFolder { named: true, .. } => {
                "Name the folder that holds aac_url.txt, client_id.txt and creds.json with --dir or AAC_DIR.".to_owned()
            }
            Self::NoFolder { named: false, .. } => format!(
                "Run this in the folder that holds aac_url.txt, client_id.txt and creds.json, or below it, \
                 or name the folder with --dir or AAC_DIR.\n{}",
                try_it()
            ),
            Self::Placeholders { files, .. } => {
                let mut lines: Vec<_> = files.iter().map(|(path, page)| fill_in(path, page)).collect();
                lines.push(try_it());
                lines.join("\n")
            }
            Self::File { path, problem } => problem.help(path),
            Self::Locked { path, .. } => format!(
                "See what still runs and has {} open. Do not delete the file: the lock ends with the program that holds it.",
                path.display()
            ),
            Self::NotWritable { path, .. } => format!(
                "Tokens are renewed only where the new ones can be saved. Make {} and its folder writable for you, and free space on the disk.",
                path.display()
            ),
            Self::HardLink { .. } => "Each name of a file has a lock of its own, and keeps its own tokens. Keep one of them, and make the others symbolic links to it.".to_owned(),
            Self::OlderCopy { creds, page, .. } => format!(
                "Restore the newer file if you have it. Otherwise:\n{}",
                make_new(page, creds)
            ),
            Self::SeveralPairs { creds, pairs } => {
                let lines = pairs.iter().map(|pair| put_back(pair, creds));
                lines.collect::<Vec<_>>().join("\n")
            }
            Self::SavedInJournal { creds, .. } => {
                format!("Make {} and its folder writable, and run this again: it moves them there.", creds.display())
            }
            // The host comes from the access token, not from aac_url.txt.
            Self::AuthServerUnreachable { trouble, .. } => trouble.help().replace(ADDRESS, ""),
            Self::Transport { method, trouble, .. } if !is_safe(method) => match trouble.is_sent() {
                true if matches!(trouble, NetworkError::Timeout(_)) => {
                    format!("{CHECK_FIRST}\nGive it more time with --timeout SECS.")
                }
                true => CHECK_FIRST.to_owned(),
                false => format!("The request was not sent.\n{}", trouble.help()),
            },
            Self::Transport { trouble, .. } => trouble.help(),
            Self::AuthServerBusy { .. } => "Wait, and run this again.".to_owned(),
            Self::RefreshRefused { status, .. } => match status {
                300..=399 => "The token endpoint sends to another address, which is not followed. Is a proxy or a login page in between?".to_owned(),
                407 => "Your proxy wants a user name and password: HTTPS_PROXY=http://user:password@host:port.".to_owned(),
                500.. => "Run this again later.".to_owned(),
                _ => "If it stays so, make new tokens: the access token in creds.json names the OAuth client that is refused.".to_owned(),
            },
            Self::TokensRefused { creds, page, lost, set_aside, .. } => {
                let why = match lost {
                    Some(what) => format!("It was sent before, and the response was lost: {what}."),
                    None => "It was used before, revoked or disabled, or it has expired.".to_owned(),
                };
                let mut lines = vec![why, make_new(page, creds)];
                lines.extend(set_aside.iter().map(|pair| put_back(pair, creds)));
                lines.join("\n")
            }
            Self::ResponseLost { creds, page, .. } => format!(
                "Run this again: if the server did not take the token, or has a grace period, that mends it.\nIf it is refused then: {}",
                make_new(page, creds)
            ),
            Self::NoAccessToken { .. } => "Run this again.".to_owned(),
            Self::NotSaved { creds, page, .. } => {
                format!("The tokens in the file are spent. When the disk works again: {}", make_new(page, creds))
            }
            Self::FailedElsewhere { help, .. } => help.clone(),
            Self::Http(error) => error.help(),
            Self::BadResponse { method, .. } if !is_safe(method) => CHECK_FIRST.to_owned(),
            Self::BadResponse { .. } => "Run this again. If it stays so, a proxy or a login page may be in between.".to_owned(),
            Self::ListInterrupted { source, .. } => source.help(),
            Self::NoList { .. } => "Call this endpoint without asking for pages (raw_call: without --paginate).".to_owned(),
            Self::Thread(_) | Self::Request { .. } | Self::UserFile { .. } | Self::Output(_) => {
                String::new()
            }
        }
    }

    /// The exit code of a program that ends with this error: 1 local, network, timeout, bad file or
    /// response; 2 a request that cannot be sent; 3 redirect; 4 HTTP 4xx, or the tokens are refused;
    /// 5 HTTP 5xx.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Http(error) => status_code(error.status),
            Self::AuthServerBusy { status, .. } | Self::RefreshRefused { status, .. } => {
                status_code(*status)
            }
            Self::ResponseLost { status: Some(status), .. } => status_code(*status),
            Self::TokensRefused { .. } | Self::OlderCopy { .. } => 4,
            Self::Request { .. } => 2,
            Self::ListInterrupted { source, .. } => source.exit_code(),
            Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::FailedElsewhere { exit_code, .. } => *exit_code,
            _ => 1,
        }
    }

    /// Prints on standard error what happened and what to do, and returns the exit code for `main`.
    /// Prints nothing if a reader of standard output stopped reading (`| head`).
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    ///
    /// fn run() -> aac_auth::Result<()> {
    ///     // …
    ///     # Ok(())
    /// }
    ///
    /// fn main() -> ExitCode {
    ///     match run() {
    ///         Ok(()) => ExitCode::SUCCESS,
    ///         Err(error) => error.report(),
    ///     }
    /// }
    /// ```
    pub fn report(&self) -> ExitCode {
        if matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        let mut text = format!("{}: {self}\n", program());
        for line in self.help().lines() {
            text.push_str(&format!("  {line}\n"));
        }
        // If standard error is closed, the exit code still tells.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit_code())
    }
}

impl HttpError {
    fn may_have_taken_effect(&self) -> bool {
        self.kind == HttpErrorKind::ServerError && !is_safe(&self.method)
    }

    fn help(&self) -> String {
        let mut help = match self.kind {
            HttpErrorKind::ApiKey => {
                "client_id.txt is wrong: put the Client ID of your API project in it.".to_owned()
            }
            HttpErrorKind::ApiKeyForResource => {
                "The API project in client_id.txt may not use this API: choose another, or have it added.".to_owned()
            }
            HttpErrorKind::Unauthorized => {
                "The server does not accept the access token. Is aac_url.txt of the region that the tokens were made in?".to_owned()
            }
            HttpErrorKind::Forbidden => {
                "Your user lacks a privilege for this, or the id is another workspace's. Ask an admin of the workspace.".to_owned()
            }
            HttpErrorKind::NoRoute => {
                "Check the path and the method; ids in a path are numbers.".to_owned()
            }
            HttpErrorKind::Throttled => match self.retry_after {
                Some(wait) => format!("Too many requests: run this again in {} s.", wait.as_secs().max(1)),
                None => "Too many requests: run this again in a minute.".to_owned(),
            },
            HttpErrorKind::Redirect => {
                "Redirects are not followed, so that the token goes nowhere else. Is aac_url.txt right?".to_owned()
            }
            HttpErrorKind::ServerError if self.may_have_taken_effect() => CHECK_FIRST.to_owned(),
            HttpErrorKind::ServerError => "The server's own trouble: run this again later.".to_owned(),
            HttpErrorKind::Refused => String::new(),
        };
        if self.body_consumed {
            let again =
                "The body came from a stream, and cannot be sent a second time: run this again.";
            help = match self.kind {
                HttpErrorKind::Throttled => format!("{help}\n{again}"),
                _ => again.to_owned(),
            };
        }
        if let Some(id) = &self.request_id {
            if !help.is_empty() {
                help.push('\n');
            }
            help.push_str(&format!("Quote request id {id} when you ask Alteryx support."));
        }
        help
    }
}

impl NetworkError {
    /// Whether another try would fail the same way.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::NoRoots | Self::Proxy(_))
    }

    /// Whether part of the request may have reached the server.
    fn is_sent(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Broken(_))
    }

    fn help(&self) -> String {
        match self {
            Self::Lookup(_) | Self::Connect(_) => {
                return format!("Check the network, {ADDRESS}and whether you need a proxy (HTTPS_PROXY=http://host:port).");
            }
            Self::Certificate(_) => {
                "If your company inspects TLS, its CA must be in this system's certificate store; \
                 on Linux, SSL_CERT_FILE=/path/to/ca.pem names it for one run. Check the clock, too."
            }
            Self::NoRoots => {
                "Install the package ca-certificates, or name a file of certificates: SSL_CERT_FILE=/path/to/ca.pem."
            }
            Self::Proxy(_) => {
                "Check HTTPS_PROXY and ALL_PROXY (http://user:password@host:port), and NO_PROXY for hosts that need none."
            }
            Self::Timeout(_) => "Run this again, or give it more time with --timeout SECS.",
            Self::Broken(_) => "Run this again. If it stays so, a proxy or a firewall may be in between.",
        }
        .to_owned()
    }
}

impl FileProblem {
    /// What to do about it, in whole sentences.
    fn help(&self, path: &Path) -> String {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Missing | Self::Empty | Self::NotAFile | Self::TooLarge | Self::NotText => match &*file {
                "aac_url.txt" => format!("Make it a text file with {API_URL} as its one line."),
                "creds.json" => "Make it a text file with both tokens: {\"access_token\": \"…\", \"refresh_token\": \"…\"}, \
                     made in User Preferences > OAuth 2.0 API Tokens."
                    .to_owned(),
                _ => "Make it a text file with the Client ID of your API project as its one line.".to_owned(),
            },
            Self::Unreadable(_) => "Make it readable for you.".to_owned(),
            Self::Placeholder(page) | Self::PlaceholderTokens { page, .. } => {
                format!("{}\n{}", fill_in(path, page), try_it())
            }
            Self::SeveralLines | Self::NotAUrl | Self::NotHttps | Self::UserInfo | Self::OutsideCloud(_) => {
                format!("Put {API_URL} in it, on one line and nothing else.")
            }
            Self::NoScheme(url)
            | Self::NotJustHost(url)
            | Self::WebAddress(url)
            | Self::WorkspaceAddress(url) => format!("Put {url} in it."),
            Self::IdWithBlanks | Self::IdNotAscii => {
                "Copy the Client ID of your API project again: one line of letters and digits.".to_owned()
            }
            Self::OAuthClientId(page) => {
                format!("Copy the Client ID of your API project from {page} (letters and digits, no dashes).")
            }
            Self::NotJson { curly_quotes: true, .. } => {
                "Replace the curly quotes by plain ones (\"), as a plain text editor writes them.".to_owned()
            }
            Self::NotJson { .. } | Self::NotAnObject => {
                "It must look like {\"access_token\": \"…\", \"refresh_token\": \"…\"}, both in plain quotation marks.".to_owned()
            }
            Self::NoToken("refresh_token") => "Add it as \"refresh_token\": \"…\", as shown when you generated the tokens.\n\
                 Without it, the programs cannot renew the access token, and do not use it. It is good until it \
                 expires, a few minutes after it was issued: send it yourself, as Authorization: Bearer.\n\
                 To hand on a token that is good for a while: access_token --min-life SECS"
                .to_owned(),
            Self::NoToken(field) | Self::TokenNotText(field) | Self::TokenEmpty(field) => {
                format!("Add it as \"{field}\": \"…\", as shown when you generated the tokens.")
            }
            Self::TokenUnclean(field) => {
                format!("Paste \"{field}\" again, on one line and without \"Bearer\".")
            }
            Self::TokenHasLineBreak(_) | Self::TokenOnSeveralLines { .. } => {
                "A token is one long line: paste it again without line breaks.".to_owned()
            }
            Self::Torn => "Run this again: the rest is in the journal beside it.".to_owned(),
            Self::UnknownJournal => {
                "It may hold the only copy of your tokens: run the newer version of this program, which can read it.".to_owned()
            }
            Self::Swapped => "Put each in the other's place.".to_owned(),
            Self::SameTwice => "Paste the access token and the refresh token each in its own place.".to_owned(),
            Self::NotAJwt | Self::NoClaim(_) => {
                "Paste the access token again, whole: it begins with eyJ and is about a thousand characters long.".to_owned()
            }
            Self::Issuer(_) | Self::IssuerNotHttps(_) => {
                "The refresh token would be sent there, so it is not. Paste tokens made in Alteryx Cloud \
                 (those of a local sandbox work with its own aac_url.txt only)."
                    .to_owned()
            }
            Self::OAuthError { page, .. } => format!(
                "The vendor's JavaScript and bash examples write that over the tokens when an exchange fails.\n{}",
                make_new(page, path)
            ),
        }
    }
}

const CHECK_FIRST: &str =
    "The server may have carried it out all the same: check before you run this again.";
const ADDRESS: &str = "the address in aac_url.txt, ";
const API_URL: &str = "https://api.us1.alteryxcloud.com (or eu1, au1: your region)";

fn try_it() -> String {
    "To try it without an account, in the project's folder: cargo sandbox cargo run -p get_workspace"
        .to_owned()
}

fn fill_in(path: &Path, page: &str) -> String {
    let path = path.display();
    format!("Put your own value in {path}: made or found at {page}")
}

const UNCHANGED: &str = "your tokens are unchanged";

/// What is known about the tokens after a run that did not use them.
fn tokens(in_doubt: bool) -> &'static str {
    match in_doubt {
        false => UNCHANGED,
        true => "an earlier run may have used the refresh token",
    }
}

/// How to move a pair that is set aside back to creds.json.
fn put_back((path, account): &(PathBuf, String), creds: &Path) -> String {
    format!(
        "Other tokens are set aside ({account}). To use them: {} \"{}\" \"{}\"",
        platform::MOVE_COMMAND,
        path.display(),
        creds.display()
    )
}

fn make_new(page: &str, creds: &Path) -> String {
    format!("Make new tokens at {page} and paste both into {}.", creds.display())
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// Whether a method is safe (RFC 9110 §9.2.1).
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// `HTTP 404 Not Found`, with RFC 9110's reason phrase whatever the server sent.
pub(crate) fn status_line(status: u16) -> String {
    let reason =
        ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("HTTP {status} {}", reason.unwrap_or_default()).trim_end().to_owned()
}

fn status_code(status: u16) -> u8 {
    match status {
        300..=399 => 3,
        400..=499 => 4,
        500..=599 => 5,
        _ => 1,
    }
}

/// The name under which this program was started, for messages.
pub(crate) fn program() -> String {
    let name = env::args_os().next().map(PathBuf::from);
    let stem = name.as_deref().and_then(Path::file_stem);
    stem.map_or_else(|| "aac".to_owned(), |stem| stem.to_string_lossy().into_owned())
}
