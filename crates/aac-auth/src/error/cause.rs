//! What happened, in detail: the text of error messages, what to do about each, and its exit code.

use crate::error::http::{CHECK_FIRST, HttpError, after_colon, is_safe, status_line};
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::vault::{VaultProblem, put_command};
use crate::loopback::is_loopback;
use crate::platform::{self, Unfit, quoted};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{error, fmt};
use ureq::http::Uri;

/// Why a call could not be made, or how it failed.
#[derive(Debug)]
pub(crate) enum Cause {
    /// No creds.json in the current folder or above it, or the named path is not a folder.
    NoFolder {
        /// Where the search began, or the named folder.
        folder: PathBuf,
        /// Whether `--dir` or `AAC_DIR` named it.
        named: bool,
    },
    /// `--dir` or `AAC_DIR` names a file.
    NotAFolder { file: PathBuf },
    /// Files still contain the placeholders that the repository ships.
    Placeholders {
        /// The files, each with the page where its content is created.
        files: Vec<(Place, String)>,
        /// The placeholder fields of creds.json.
        fields: Vec<&'static str>,
    },
    /// One of the three files cannot be used. Nothing was sent.
    File {
        /// The file.
        path: Place,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// The vault that has the tokens cannot be used. Nothing was sent.
    Vault {
        secret: Place,
        problem: VaultProblem,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// A program on this machine or another has claimed the tokens in a vault for too long.
    Claimed {
        secret: Place,
        /// The host and process of the program.
        holder: String,
        /// When it claimed them.
        since: String,
    },
    /// Another program held the lock beside creds.json for too long.
    Locked {
        /// The lock file.
        path: Place,
        /// How long this program waited.
        waited: Duration,
    },
    /// The disk cannot store a new pair of tokens. This was detected before anything was sent.
    NotWritable {
        /// The file that could not be written, or the folder.
        path: Place,
        /// The operating system's error.
        source: io::Error,
        /// Whether an earlier run may have used the refresh token.
        in_doubt: bool,
    },
    /// creds.json was replaced by an older copy: its refresh token has been used and must not be sent
    /// again. The newer pair is not on this machine.
    OlderCopy {
        /// The file.
        creds: Place,
        /// When its refresh token was used.
        used: String,
        /// The page where new tokens are created.
        page: String,
    },
    /// creds.json holds no tokens, and pairs of several accounts are set aside.
    SeveralPairs {
        /// creds.json.
        creds: Place,
        /// The files with the pairs, each with its account.
        pairs: Vec<(PathBuf, String)>,
    },
    /// An earlier run's pair of tokens is in the journal and cannot be moved to creds.json.
    /// Nothing is lost.
    SavedInJournal {
        /// The journal.
        journal: Place,
        /// The file that could not be written.
        creds: Place,
        /// The operating system's error.
        source: io::Error,
    },
    /// The authorization server could not be reached. The refresh token was not sent.
    AuthServerUnreachable {
        /// The token endpoint.
        url: String,
        /// The network error.
        reason: NetworkError,
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
        /// Who refused it.
        by: Refuser,
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
        creds: Place,
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
        creds: Place,
        /// The page where new tokens are created.
        page: String,
    },
    /// The server sent a new refresh token without an access token that is of use. It is saved.
    NoAccessToken {
        /// The token endpoint.
        url: String,
        /// What is wrong with the access token.
        what: String,
        /// Whose tokens these are.
        account: String,
        /// The file that holds the refresh token.
        place: Place,
        /// The page where new tokens are created, if the refresh token is not sent for a while.
        page: Option<String>,
    },
    /// A new pair arrived and no disk could store it: it is lost when this program ends.
    NotSaved {
        /// The file that could not be written.
        creds: Place,
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
    Http(HttpError),
    /// The API could not be reached, or the connection broke.
    Transport {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What went wrong.
        reason: NetworkError,
    },
    /// The API's response is cut off, or not JSON.
    BadResponse {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What is wrong with the response.
        what: String,
    },
    /// The API's response does not fit into what is held in memory of one.
    OverLimit {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// The limit.
        limit: Limit,
    },
    /// Rows were requested, and the response is not a list, or not one that can be read page by page.
    NoList {
        /// The request's URL.
        url: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        help: &'static str,
    },
    /// The API's response is JSON, and not of the form that the program expects.
    Unexpected {
        /// The request's method and URL; `None` if the program itself said so.
        request: Option<(String, String)>,
        /// The field that is not as expected, and how.
        what: String,
    },
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
        source: Box<Self>,
    },
    /// A file named by the user, other than the three, could not be read or written.
    UserFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Standard output could not be written. This includes a reader that stopped reading
    /// ([`io::ErrorKind::BrokenPipe`]), for which [`Error::report`](crate::Error::report) prints nothing.
    Output(io::Error),
}

/// Who refused a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refuser {
    /// The authorization server refused the OAuth client (`invalid_client`).
    Client,
    /// The authorization server, for another reason.
    Server,
    /// Not the authorization server: what came is not JSON.
    Between,
}

/// Why the server could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkError {
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
    /// The proxy could not be reached; the text names it.
    ProxyUnreachable(String),
    /// A wait timed out; the text says which.
    Timeout(String),
    /// The head of the response is over a limit; the text says which.
    LargeHead(String),
    /// The connection broke, or the data received was not HTTP.
    Broken(String),
}

/// A limit of what is held in memory of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// So many bytes, decompressed.
    Size(u64),
    /// So many values.
    Values(usize),
    /// So long from its first byte to its last.
    Time(Duration),
}

/// What can be wrong with one of the three files.
#[derive(Debug)]
pub(crate) enum FileProblem {
    /// It does not exist.
    Missing,
    /// It is a folder, a device or the like.
    NotAFile,
    /// The operating system could not read it.
    Unreadable(io::Error),
    /// It stands where others may put theirs, and may not be used.
    Unfit(Unfit),
    /// It was found, not named, and belongs to another user.
    OfAnother {
        /// The owner.
        owner: String,
        /// The flag that names its folder.
        command: String,
    },
    /// It was found, not named, and is a link to a file of another user than the link's.
    LinkToAnother {
        /// The owner of the link.
        link: String,
        /// The owner of the file.
        owner: String,
        /// The flag that names its folder.
        command: String,
    },
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
    /// aac_url.txt names a host that is not one of Alteryx Cloud's API.
    OutsideCloud,

    /// The API project ID contains whitespace.
    IdWithBlanks,
    /// The API project ID contains other characters than letters, digits, `-` and `_`.
    IdNotPlain,
    /// The API project ID is too short or too long for one.
    IdLength,
    /// In place of the ID there is a secret of this kind.
    IdIsSecret(&'static str),
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
    /// The access token names an issuer that this API does not belong to: one is on this machine and the
    /// other is not, or they are of two regions.
    IssuerElsewhere {
        /// The issuer.
        iss: String,
        /// The address in aac_url.txt.
        api: String,
        /// The address for this issuer, if it is known.
        right: Option<String>,
    },
    /// The file holds an error of the authorization server instead of tokens.
    OAuthError {
        /// The error code and description, without secrets; empty if they are not of a server.
        message: String,
        /// The page where new tokens are created.
        page: String,
    },

    /// creds.json names this secret in a vault, which has the tokens.
    InVault(String),
    /// creds.json has something else in the place of the path of a secret in a vault.
    NotAVaultPath,
    /// creds.json has tokens and names a secret in a vault as well.
    TokensAndVault,
    /// The secret is gone, or the vault cannot be found.
    Vault(VaultProblem),
    /// creds.json names this secret in a vault that cannot be asked.
    VaultUnusable { path: String, problem: VaultProblem },

    /// creds.json was being written when the machine or the program stopped; the journal has the rest.
    Torn,
    /// The journal is from another version of this crate, and may hold the only copy of a pair.
    UnknownJournal,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder { folder, named: true } => {
                write!(f, "{}: no such folder", folder.display())
            }
            Self::NotAFolder { file } => {
                write!(f, "{}: it is a file, not a folder", file.display())
            }
            Self::NoFolder { folder, named: false } => {
                write!(f, "no creds.json in {} or any folder above it", folder.display())
            }
            Self::Placeholders { files, fields } => {
                let names: Vec<_> = files.iter().map(|(place, _)| place.to_string()).collect();
                write!(f, "placeholders instead of your own values: {}", names.join(", "))?;
                match fields[..] {
                    [] => Ok(()),
                    _ => write!(f, " ({})", fields.join(", ")),
                }
            }
            Self::File { path, problem } => write!(f, "{path}: {problem}"),
            Self::Vault { secret, problem, in_doubt } => {
                write!(f, "{secret}: {problem}; {}", tokens(*in_doubt))
            }
            Self::Claimed { secret, holder, since } => {
                write!(f, "{secret}: claimed by {holder} since {since}")
            }
            Self::Locked { path, waited } => {
                write!(f, "{path}: held by another program for {} s", waited.as_secs())
            }
            Self::NotWritable { path, source, in_doubt } => {
                write!(f, "{path}: {source}; {}", tokens(*in_doubt))
            }
            Self::OlderCopy { creds, used, .. } => write!(
                f,
                "{creds}: it was replaced by an older copy, whose refresh token was used on {used}"
            ),
            Self::SeveralPairs { creds, .. } => write!(
                f,
                "{creds}: it holds no usable tokens, and the tokens that are set aside belong to several accounts, or to another one"
            ),
            Self::SavedInJournal { journal, creds, source } => {
                let on = if creds.secret().is_some() { " on this machine" } else { "" };
                write!(f, "{creds}: {source}; the new tokens are saved in {journal}{on}")
            }
            Self::AuthServerUnreachable { url, reason, in_doubt } => write!(
                f,
                "the tokens could not be refreshed: {reason} (POST {url}); {}",
                tokens(*in_doubt)
            ),
            Self::AuthServerBusy { url, status, wait, in_doubt } => {
                write!(
                    f,
                    "the tokens could not be refreshed yet: {} (POST {url}); {}",
                    status_line(*status),
                    tokens(*in_doubt)
                )?;
                match wait {
                    Some(wait) => write!(f, ", try again in {} s", wait.as_secs()),
                    None => Ok(()),
                }
            }
            Self::RefreshRefused { url, status, message, in_doubt, .. } => write!(
                f,
                "the tokens could not be refreshed: {}{} (POST {url}); {}",
                status_line(*status),
                after_colon(message),
                tokens(*in_doubt)
            ),
            Self::TokensRefused { url, message, creds, .. } => write!(
                f,
                "the refresh token in {creds} is refused{} (POST {url})",
                after_colon(message)
            ),
            Self::ResponseLost { url, what, creds, .. } => write!(
                f,
                "the response with the new tokens was lost: {what} (POST {url}); the refresh token in {creds} may have been used"
            ),
            Self::NoAccessToken { url, what, account, place, .. } => write!(
                f,
                "the server sent a new refresh token without a usable access token: {what} (POST {url}); it is saved in {place} ({account})"
            ),
            Self::NotSaved { creds, source, .. } => {
                write!(f, "{creds}: {source}; the new tokens could not be saved anywhere")
            }
            Self::FailedElsewhere { message, .. } => f.write_str(message),
            Self::Http(error) => error.fmt(f),
            Self::Transport { method, url, reason } => write!(f, "{reason} ({method} {url})"),
            Self::BadResponse { method, url, what } => write!(f, "{what} ({method} {url})"),
            Self::OverLimit { method, url, limit } => write!(f, "{limit} ({method} {url})"),
            Self::NoList { url, what, .. } => write!(f, "{what} (GET {url})"),
            Self::Unexpected { request, what } => {
                write!(f, "the response is not as expected: {what}")?;
                request.iter().try_for_each(|(method, url)| write!(f, " ({method} {url})"))
            }
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

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(what) => write!(f, "the host's name could not be looked up: {what}"),
            Self::Connect(what) => write!(f, "no connection could be made: {what}"),
            Self::Certificate(what) => write!(f, "the server's certificate is not trusted: {what}"),
            Self::NoRoots => f.write_str("this system has no certificates to trust"),
            Self::Proxy(what) | Self::ProxyUnreachable(what) => {
                write!(f, "the proxy could not be used: {what}")
            }
            Self::Timeout(what) => write!(f, "timed out {what}"),
            Self::LargeHead(what) => f.write_str(what),
            Self::Broken(what) => write!(f, "the connection broke: {what}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(bytes) => write!(f, "the response is larger than {} MiB", bytes >> 20),
            Self::Values(values) => {
                write!(f, "the response has more than {} million values", values / 1_000_000)
            }
            Self::Time(time) => write!(
                f,
                "the response is not complete after {} s, ten times --timeout",
                time.as_secs_f64()
            ),
        }
    }
}

impl error::Error for Limit {}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::NotAFile => f.write_str("not a file"),
            Self::Unreadable(source) => write!(f, "cannot be read: {source}"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::OfAnother { owner, .. } => write!(f, "it belongs to another user, {owner}"),
            Self::LinkToAnother { link, owner, .. } => {
                write!(f, "a link of {link} to a file of {owner}")
            }
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
            Self::OutsideCloud => f.write_str("not a host of Alteryx Cloud's API"),
            Self::IdWithBlanks => f.write_str("spaces inside the ID"),
            Self::IdNotPlain => f.write_str("invalid characters in the ID"),
            Self::IdLength => f.write_str("too short or too long for an ID"),
            Self::IdIsSecret(what) => write!(f, "{what}, not the ID of an API project"),
            Self::OAuthClientId(_) => {
                f.write_str("a UUID, which is the OAuth client ID, not the ID of the API project")
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
                write!(
                    f,
                    "line {line}: the text in quotation marks goes on in the next line, or a quotation mark is missing"
                )
            }
            Self::Swapped => f.write_str("the two tokens are swapped"),
            Self::SameTwice => f.write_str("the same token in both places"),
            Self::NotAJwt => {
                f.write_str("the access token is not a JWT (three parts with dots between)")
            }
            Self::NoClaim(claim) => write!(f, "the access token has no \"{claim}\" claim"),
            Self::Issuer(iss) => {
                write!(f, "the access token was issued by {iss}, which is not Alteryx Cloud")
            }
            Self::IssuerNotHttps(iss) => {
                write!(f, "the access token was issued by {iss}, which is not https")
            }
            Self::IssuerElsewhere { iss, api, .. } => {
                write!(f, "the access token was issued by {iss}, but aac_url.txt names {api}")
            }
            Self::NotAVaultPath => f.write_str("\"vault\" is not the path of a secret"),
            Self::InVault(path) => write!(f, "it now names the secret {path} in a vault"),
            Self::TokensAndVault => f.write_str("both tokens and a \"vault\""),
            Self::Vault(problem) => problem.fmt(f),
            Self::VaultUnusable { path, problem } => {
                write!(f, "it names the secret {path} in a vault, and {problem}")
            }
            Self::Torn => f.write_str("only partly written"),
            Self::UnknownJournal => f.write_str("written by another version of this program"),
            Self::OAuthError { message, .. } => {
                let message = after_colon(message);
                write!(f, "an error of the authorization server instead of tokens{message}")
            }
        }
    }
}

impl error::Error for NetworkError {}

impl Cause {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::File {
                problem: FileProblem::Torn | FileProblem::UnknownJournal | FileProblem::Unfit(_),
                ..
            } => ErrorKind::Storage,
            Self::NoFolder { .. }
            | Self::NotAFolder { .. }
            | Self::Placeholders { .. }
            | Self::File { .. } => ErrorKind::Config,
            Self::TokensRefused { .. } | Self::OlderCopy { .. } => ErrorKind::Tokens,
            Self::Vault { .. }
            | Self::Claimed { .. }
            | Self::Locked { .. }
            | Self::NotWritable { .. }
            | Self::SeveralPairs { .. }
            | Self::SavedInJournal { .. }
            | Self::NotSaved { .. } => ErrorKind::Storage,
            Self::AuthServerUnreachable { .. }
            | Self::AuthServerBusy { .. }
            | Self::RefreshRefused { .. }
            | Self::ResponseLost { .. }
            | Self::NoAccessToken { .. }
            | Self::FailedElsewhere { .. } => ErrorKind::AuthServer,
            Self::Http(_) => ErrorKind::Http,
            Self::Transport { .. } => ErrorKind::Network,
            Self::BadResponse { .. }
            | Self::OverLimit { .. }
            | Self::NoList { .. }
            | Self::Unexpected { .. } => ErrorKind::Response,
            Self::Request { .. } => ErrorKind::Usage,
            Self::ListInterrupted { source, .. } => source.kind(),
            Self::UserFile { .. } | Self::Output(_) => ErrorKind::Io,
        }
    }

    pub(crate) fn needs_new_tokens(&self) -> bool {
        match self {
            Self::TokensRefused { .. } | Self::OlderCopy { .. } | Self::NotSaved { .. } => true,
            Self::Placeholders { fields, .. } => !fields.is_empty(),
            Self::File { problem, .. } => matches!(
                problem,
                FileProblem::PlaceholderTokens { .. } | FileProblem::OAuthError { .. }
            ),
            Self::ListInterrupted { source, .. } => source.needs_new_tokens(),
            _ => false,
        }
    }

    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Vault { problem, .. } => problem.is_passing(),
            Self::Claimed { .. }
            | Self::Locked { .. }
            | Self::AuthServerBusy { .. }
            | Self::ResponseLost { .. }
            | Self::NoAccessToken { .. }
            // What the other run met may have passed. If not, this run gets the server's own word.
            | Self::FailedElsewhere { .. } => true,
            Self::AuthServerUnreachable { reason, .. } => !reason.is_lasting(),
            Self::RefreshRefused { status, .. } => *status >= 500,
            Self::Transport { method, reason, .. } => {
                !reason.is_lasting() && (is_safe(method) || !reason.is_sent())
            }
            Self::Http(error) => error.is_retryable(),
            Self::ListInterrupted { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    pub(crate) fn http(&self) -> Option<&HttpError> {
        match self {
            Self::Http(error) => Some(error),
            Self::ListInterrupted { source, .. } => source.http(),
            _ => None,
        }
    }

    pub(crate) fn http_mut(&mut self) -> Option<&mut HttpError> {
        match self {
            Self::Http(error) => Some(error),
            Self::ListInterrupted { source, .. } => source.http_mut(),
            _ => None,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::AuthServerBusy { wait, .. } => *wait,
            Self::Http(error) => error.retry_after,
            Self::ListInterrupted { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    pub(crate) fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Transport { method, reason, .. } => !is_safe(method) && reason.is_sent(),
            Self::BadResponse { method, .. }
            | Self::OverLimit { method, .. }
            | Self::Unexpected { request: Some((method, _)), .. } => !is_safe(method),
            Self::Http(error) => error.may_have_taken_effect(),
            _ => false,
        }
    }

    pub(crate) fn help(&self) -> String {
        match self {
            Self::NoFolder { folder, named: true } if folder.to_string_lossy().contains('"') => {
                "The name has a quotation mark in it. In cmd: set AAC_DIR=C:\\folder, without quotation marks, or --dir \"C:\\folder\", without a \\ at the end.".to_owned()
            }
            Self::NotAFolder { file } => {
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
                format!("Name its folder instead: --dir {}", quoted(folder.unwrap_or(Path::new("."))))
            }
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
            Self::Vault { secret, problem, .. } => problem.help(secret.secret().unwrap_or_default()),
            Self::Claimed { holder, .. } => format!(
                "See whether {holder} (host and process) still runs. Three minutes after it has ended, another program takes over."
            ),
            Self::Locked { path, .. } => format!(
                "Find the program that has {path} open. Do not delete the file: the lock ends with the program that holds it."
            ),
            Self::NotWritable { path, source, .. } if platform::is_sharing_violation(source) => format!(
                "Another program has {path} open, and does not share it. Close that program, and run this again."
            ),
            Self::NotWritable { path, source, .. } if Unfit::of(source).is_some() => {
                Unfit::of(source).map(|unfit| help_of(unfit, path)).unwrap_or_default()
            }
            // Network shares and the folders of WSL, as Windows sees them, may have no locks.
            Self::NotWritable { source, .. } if source.kind() == io::ErrorKind::Unsupported => {
                "Move aac_url.txt, client_id.txt and creds.json to a folder on a local disk, and name that with --dir or AAC_DIR.".to_owned()
            }
            Self::NotWritable { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
                FILE_LIMIT.to_owned()
            }
            Self::NotWritable { path, .. } => format!(
                "Tokens are refreshed only where the new ones can be saved. Give yourself permission to write {path} and its folder, and free up disk space."
            ),
            Self::OlderCopy { creds, page, .. } => format!(
                "Restore the newer file if you have it. Otherwise:\n{}",
                make_new(page, creds)
            ),
            Self::SeveralPairs { creds, pairs } => {
                let lines = pairs.iter().map(|pair| put_back(pair, creds));
                lines.collect::<Vec<_>>().join("\n")
            }
            Self::SavedInJournal { creds, source, .. } => match creds.secret() {
                Some(path) => {
                    let problem = source.get_ref().and_then(|source| source.downcast_ref::<VaultProblem>());
                    let cure = problem.map(|problem| problem.help(path) + "\n").unwrap_or_default();
                    format!("{cure}Run this again on this machine: it moves them there.")
                }
                None => match Unfit::of(source) {
                    Some(unfit) => help_of(unfit, creds),
                    None => format!(
                        "Give yourself permission to write {creds} and its folder, and run this again: it moves them there."
                    ),
                },
            },
            Self::Transport { method, url, reason: NetworkError::Connect(_) } if is_local(url) => {
                match is_safe(method) {
                    true => NO_SANDBOX.to_owned(),
                    false => format!("The request was not sent.\n{NO_SANDBOX}"),
                }
            }
            Self::AuthServerUnreachable { url, reason: NetworkError::Connect(_), .. } if is_local(url) => {
                NO_SANDBOX.to_owned()
            }
            // The host comes from the access token, not from aac_url.txt.
            Self::AuthServerUnreachable { reason, .. } => reason.help().replace(ADDRESS, ""),
            Self::Transport { method, reason, .. } if !is_safe(method) => match reason.is_sent() {
                true if matches!(reason, NetworkError::Timeout(_)) => {
                    format!("{CHECK_FIRST}\nGive it more time with --timeout SECS.")
                }
                true => CHECK_FIRST.to_owned(),
                false => format!("The request was not sent.\n{}", reason.help()),
            },
            Self::Transport { reason, .. } => reason.help(),
            Self::AuthServerBusy { .. } => "Wait, and run this again.".to_owned(),
            Self::RefreshRefused { url, status, by, .. } => match (status, by) {
                (300..=399, _) => "The token endpoint redirects, which is not followed. There may be a proxy or a login page in between.".to_owned(),
                (407, _) => "Your proxy requires a user name and password: HTTPS_PROXY=http://user:password@host:port.".to_owned(),
                (511, _) => "Sign in to the network: open any web page in a browser. Then run this again.".to_owned(),
                (_, Refuser::Client) => "If the problem persists, create new tokens: the access token in creds.json names the OAuth client that is refused.".to_owned(),
                (_, Refuser::Server) => "Run this again later. If the problem persists, mention this message if you contact Alteryx support.".to_owned(),
                (_, Refuser::Between) => format!(
                    "Something between you and the server answered, such as a proxy, a firewall or a login page: the server itself answers in JSON.\n\
                     Ask whoever runs your network to let requests to {url} pass."
                ),
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
                "Run this again: that works if the server did not process the request, or has a grace period.\nIf the token is refused then: {}",
                make_new(page, creds)
            ),
            Self::NoAccessToken { page: None, .. } => "Run this again.".to_owned(),
            Self::NoAccessToken { page: Some(page), place, .. } => unused(page, place),
            Self::NotSaved { creds, page, .. } if creds.secret().is_some() => {
                format!("The refresh token in it has been used. When the vault works again:\n{}", make_new(page, creds))
            }
            Self::NotSaved { creds, page, .. } => {
                format!("The tokens in the file have been used. When the disk works again: {}", make_new(page, creds))
            }
            Self::FailedElsewhere { help, .. } => help.clone(),
            Self::Http(error) => error.help(),
            Self::BadResponse { method, .. } if !is_safe(method) => CHECK_FIRST.to_owned(),
            Self::BadResponse { .. } => "Run this again. If the problem persists, a proxy or a login page may be in between.".to_owned(),
            Self::OverLimit { method, limit, .. } => {
                let check = match is_safe(method) {
                    true => String::new(),
                    false => format!("{CHECK_FIRST}\n"),
                };
                let time = match limit {
                    Limit::Size(_) | Limit::Values(_) => "",
                    Limit::Time(_) => ", or give it more time with --timeout SECS",
                };
                format!("{check}Ask for fewer rows at a time (--page-size N){time}. A file has no such limit (raw_call: -o FILE).")
            }
            Self::ListInterrupted { source, .. } => source.help(),
            Self::NoList { help, .. } => (*help).to_owned(),
            Self::Unexpected { request, .. } => {
                let check = request.as_ref().filter(|(method, _)| !is_safe(method));
                let check = check.map_or(String::new(), |_| format!("{CHECK_FIRST}\n"));
                format!("{check}The API may have changed: look at the response (raw_call PATH), and adapt the program.")
            }
            Self::UserFile { source, .. } | Self::Output(source)
                if source.kind() == io::ErrorKind::FileTooLarge =>
            {
                FILE_LIMIT.to_owned()
            }
            Self::Request { .. } | Self::UserFile { .. } | Self::Output(_) => String::new(),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Http(error) => status_code(error.status.as_u16()),
            Self::AuthServerBusy { status, .. } | Self::RefreshRefused { status, .. } => {
                status_code(*status)
            }
            Self::ResponseLost { status: Some(status), .. } => status_code(*status),
            Self::TokensRefused { .. } | Self::OlderCopy { .. } => 4,
            Self::Request { .. } => 2,
            Self::ListInterrupted { source, .. } => source.exit_code(),
            Self::Output(_) if self.is_broken_pipe() => 0,
            Self::FailedElsewhere { exit_code, .. } => *exit_code,
            _ => 1,
        }
    }

    /// Whether a reader of standard output has stopped reading (`| head`), which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the refresh token may have been used and its response lost.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::ResponseLost { .. } | Self::TokensRefused { lost: Some(_), .. })
    }

    pub(crate) fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NotWritable { source, .. }
            | Self::SavedInJournal { source, .. }
            | Self::NotSaved { source, .. }
            | Self::UserFile { source, .. }
            | Self::Output(source)
            | Self::File { problem: FileProblem::Unreadable(source), .. } => Some(source),
            _ => None,
        }
    }
}

impl NetworkError {
    /// Whether another try would fail the same way.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Certificate(_) | Self::NoRoots | Self::Proxy(_) | Self::LargeHead(_))
    }

    /// Whether part of the request may have reached the server.
    fn is_sent(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::LargeHead(_) | Self::Broken(_))
    }

    fn help(&self) -> String {
        match self {
            Self::Lookup(_) | Self::Connect(_) => {
                let mut help = format!("Check the network, {ADDRESS}and whether you need a proxy (HTTPS_PROXY=http://host:port).");
                if platform::system_proxy().is_some_and(|proxy| proxy.has_script) {
                    help.push_str("\nThe system's settings choose the proxy by a script (PAC), which is not supported: name the proxy in HTTPS_PROXY.");
                }
                return help;
            }
            Self::Certificate(_) => {
                "If your company inspects TLS, its CA must be in this system's certificate store; \
                 on Linux, SSL_CERT_FILE=/path/to/ca.pem names it for one run. Also check the system clock."
            }
            Self::NoRoots => {
                "Install the package ca-certificates, or name a file of certificates: SSL_CERT_FILE=/path/to/ca.pem."
            }
            Self::Proxy(_) | Self::ProxyUnreachable(_) => {
                let mut help = "Check HTTPS_PROXY and ALL_PROXY (http://user:password@host:port), and NO_PROXY for hosts that need none.".to_owned();
                if platform::system_proxy().is_some_and(|proxy| !proxy.servers.is_empty()) {
                    help.push_str("\nIf neither of the first two is set, the proxy is that of the system's settings.");
                }
                return help;
            }
            Self::Timeout(_) => "Run this again, or give it more time with --timeout SECS.",
            Self::LargeHead(_) => "A proxy in between may have added to them: ask whoever runs your network.",
            Self::Broken(_) => "Run this again. If the problem persists, a proxy or a firewall may be in between.",
        }
        .to_owned()
    }
}

impl FileProblem {
    /// What to do about it, in whole sentences.
    fn help(&self, place: &Place) -> String {
        let file = place.file().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        match self {
            Self::Missing | Self::Empty | Self::NotAFile | Self::TooLarge | Self::NotText => match &*file {
                "aac_url.txt" => format!("It must be a text file with {API_URL} on a single line."),
                "creds.json" => "It must be a text file with both tokens: {\"access_token\": \"…\", \"refresh_token\": \"…\"}, \
                     created in User Preferences > OAuth 2.0 API Tokens."
                    .to_owned(),
                _ => "It must be a text file with the Client ID of your API project on a single line.".to_owned(),
            },
            Self::Unreadable(source) if platform::is_sharing_violation(source) => {
                "Another program has it open, and does not share it. Close that program, and run this again.".to_owned()
            }
            Self::Unreadable(_) => "Give yourself permission to read it.".to_owned(),
            Self::Unfit(unfit) => help_of(unfit, place),
            Self::Placeholder(page) | Self::PlaceholderTokens { page, .. } => {
                format!("{}\n{}", fill_in(place, page), try_it())
            }
            Self::SeveralLines | Self::NotAUrl | Self::NotHttps | Self::UserInfo | Self::OutsideCloud => {
                format!("Put {API_URL} in it, on one line, and nothing else.")
            }
            Self::NoScheme(url)
            | Self::NotJustHost(url)
            | Self::WebAddress(url)
            | Self::WorkspaceAddress(url) => format!("Put {url} in it."),
            Self::IdWithBlanks | Self::IdNotPlain | Self::IdLength => {
                "Copy the Client ID of your API project again: one line of 8 to 128 letters and digits.".to_owned()
            }
            Self::IdIsSecret(_) => format!(
                "The ID is sent with each call, so this was not. If {place} is a link, see where it leads. \
                 Put the Client ID of your API project in it: one line of letters and digits."
            ),
            Self::OAuthClientId(page) => {
                format!("Copy the Client ID of your API project from {page} (letters and digits, no dashes).")
            }
            Self::NotJson { curly_quotes: true, .. } => {
                "Replace the curly quotes with straight ones (\"), as a plain text editor writes them.".to_owned()
            }
            Self::NotJson { .. } | Self::NotAnObject => {
                "It must look like {\"access_token\": \"…\", \"refresh_token\": \"…\"}, both in straight quotation marks.".to_owned()
            }
            Self::NoToken("refresh_token") => "Add it as \"refresh_token\": \"…\", as shown when you generated the tokens.\n\
                 Without it, the programs cannot refresh the access token, and do not use it. It is good until it \
                 expires, a few minutes after it was issued: send it yourself, as Authorization: Bearer.\n\
                 To hand on a token that is good for a while: access_token --min-life SECS"
                .to_owned(),
            Self::NoToken(field) | Self::TokenNotText(field) | Self::TokenEmpty(field) => {
                format!("Add it as \"{field}\": \"…\", as shown when you generated the tokens.")
            }
            Self::TokenUnclean(field) => {
                format!("Paste \"{field}\" again, on one line and without \"Bearer\".")
            }
            Self::TokenHasLineBreak(_) => {
                "A token is one long line: paste it again without line breaks.".to_owned()
            }
            Self::TokenOnSeveralLines { .. } => {
                "A token is one long line in quotation marks: paste it again without line breaks, and see that both marks are there.".to_owned()
            }
            Self::InVault(_) => "Run this again: the tokens are in the vault.".to_owned(),
            Self::TokensAndVault => {
                "Keep one of the two: the tokens, or {\"vault\": \"secret/data/aac\"} once they are in the vault.".to_owned()
            }
            Self::Vault(problem) => problem.help(place.secret().unwrap_or_default()),
            Self::VaultUnusable { path, problem } => problem.help(path),
            Self::Torn => "Run this again: the rest is in the journal beside it.".to_owned(),
            Self::UnknownJournal => {
                "It may hold the only copy of your tokens: run the newer version of this program, which can read it.".to_owned()
            }
            Self::Swapped => "Swap them.".to_owned(),
            Self::SameTwice => "Paste each token into its own field.".to_owned(),
            Self::NotAJwt | Self::NoClaim(_) => {
                "Paste the access token again, whole: it begins with eyJ and is about a thousand characters long.".to_owned()
            }
            Self::Issuer(_) | Self::IssuerNotHttps(_) => {
                "The refresh token would be sent there, so it is not. Paste tokens made in Alteryx Cloud \
                 (those of a local sandbox work with its own aac_url.txt only)."
                    .to_owned()
            }
            Self::IssuerElsewhere { right: Some(api), .. } => format!(
                "Nothing was sent. If these tokens are the right ones, put {api} in aac_url.txt. If the address is, paste tokens made there."
            ),
            Self::IssuerElsewhere { right: None, .. } => {
                "Nothing was sent. Tokens of Alteryx Cloud do not go to this machine, and those of a sandbox do \
                 not leave it. Name the folder of the right files with --dir or AAC_DIR."
                    .to_owned()
            }
            Self::OfAnother { command, .. } | Self::LinkToAnother { command, .. } => format!(
                "Another user's files are used only in a folder that you name. If you trust that user, run \
                 this again with {command}"
            ),
            Self::NotAVaultPath => {
                "Put the path of the API in it: {\"vault\": \"secret/data/aac\"} is bao kv put secret/aac.".to_owned()
            }
            Self::OAuthError { page, .. } => format!(
                "The vendor's JavaScript and bash examples write that over the tokens when a refresh fails.\n{}",
                make_new(page, place)
            ),
        }
    }
}

const NO_SANDBOX: &str = "The folder is that of a sandbox that no longer runs. Start a sandbox (cargo sandbox), or name another folder with --dir or AAC_DIR.";

/// Whether a URL is on this machine, where nothing but a sandbox can be.
fn is_local(url: &str) -> bool {
    let uri = url.parse::<Uri>();
    uri.is_ok_and(|uri| uri.host().is_some_and(is_loopback))
}

const FILE_LIMIT: &str =
    "Raise the limit of the size of files (ulimit -f), or use a file system without one.";
const ADDRESS: &str = "the address in aac_url.txt, ";
const API_URL: &str = "https://api.us1.alteryxcloud.com (or eu1, au1: your region)";

fn try_it() -> String {
    "To try it without an account, in the project's folder: cargo sandbox cargo run -p get_workspace"
        .to_owned()
}

fn fill_in(place: &Place, page: &str) -> String {
    format!("Put your own value in {place}. You find it at {page}")
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
fn put_back((path, account): &(PathBuf, String), creds: &Place) -> String {
    match creds.file() {
        None => format!(
            "Other tokens are set aside in {} ({account}). To use them, copy both into {creds}.",
            Place::from(path)
        ),
        Some(creds) => format!(
            "Other tokens are set aside ({account}). To use them: {} {} {}",
            platform::MOVE_COMMAND,
            quoted(path),
            quoted(creds)
        ),
    }
}

/// What to do about what has the name of this file.
fn help_of(unfit: &Unfit, place: &Place) -> String {
    place.file().map(|path| unfit.help(path)).unwrap_or_default()
}

/// How to replace the tokens in this place.
pub(crate) fn make_new(page: &str, creds: &Place) -> String {
    if let Some(path) = creds.secret() {
        return format!(
            "Create new tokens at {page}, paste both into a file as creds.json has them, and put them into the vault: {}.",
            put_command(path)
        );
    }
    format!("Create new tokens at {page} and paste both into {creds}.")
}

/// What to do where a refresh token is not sent for a while.
pub(crate) fn unused(page: &str, creds: &Place) -> String {
    format!(
        "For ten minutes, all programs report this and send nothing. After that, the next one tries again.\n\
         If the problem persists, mention this message if you contact Alteryx support. New tokens end the wait:\n{}",
        make_new(page, creds)
    )
}

fn status_code(status: u16) -> u8 {
    match status {
        300..=399 => 3,
        400..=499 => 4,
        500..=599 => 5,
        _ => 1,
    }
}
