//! Every error: what happened, what to do about it, and its exit code.
//!
//! [`Display`](fmt::Display) is one line that says what happened and names the file or URL;
//! [`Error::help`] says what to do. Each error is a row of a table that has all of that side by side: in
//! [`mod@file`], [`vault`], [`refresh`] and [`network`], or for a response with a status in [`http`].

pub(crate) mod display;
mod file;
mod http;
pub(crate) mod key;
mod kind;
mod login;
mod network;
pub(crate) mod notices;
mod pasted;
pub(crate) mod place;
mod refresh;
mod table;
pub(crate) mod vault;

use crate::error::display::{one_line, visible};
pub(crate) use file::FileProblem;
pub use http::HttpError;
pub(crate) use http::{HttpErrorKind, after_colon, status_line};
pub use kind::ErrorKind;
use network::ADAPT;
pub(crate) use network::{Limit, NetworkError};
pub(crate) use refresh::{Refuser, make_new, unused};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, error, fmt};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call could not be made, or how it failed.
///
/// Most programs end with [`report`](Self::report). One that continues decides by
/// [`kind`](Self::kind), the status in [`http`](Self::http), and three questions:
///
/// - May the call be made again? [`is_retryable`](Self::is_retryable)
/// - Has the server perhaps done it? [`may_have_taken_effect`](Self::may_have_taken_effect)
/// - Does a person have to create new tokens? [`needs_new_tokens`](Self::needs_new_tokens)
///
/// ```no_run
/// use aac_auth::Error;
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let plan = match client.get("/plans/v1/plans/7") {
///     // Deleted, or never there.
///     Err(error) if error.http().is_some_and(|http| matches!(http.status().as_u16(), 404 | 410)) => None,
///     plan => Some(plan?),
/// };
/// # Ok::<(), Error>(())
/// ```
///
/// No message and no `Debug` output contains a token or part of one.
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    cause: Cause,
    /// What happened.
    message: String,
    help: String,
    exit_code: u8,
    needs_new_tokens: bool,
    is_retryable: bool,
    may_have_taken_effect: bool,
    retry_after: Option<Duration>,
    /// If this run did not use the refresh token: whether an earlier one may have.
    in_doubt: Option<bool>,
    source: Option<io::Error>,
    http: Option<HttpError>,
}

/// What this crate tells errors apart by.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The server has refused the refresh token itself.
    TokensRefused {
        /// Its message, without secrets.
        message: String,
        /// Whether the token was sent before, and the response lost.
        was_lost: bool,
    },
    /// The refresh token may have been used and its response lost.
    ResponseLost,
    /// The API could not be reached, or the connection broke.
    Transport(NetworkError),
    /// The system has no store for the key of new tokens, as this says.
    NoStore(String),
    Other,
}

/// An error is a message and what to do about it; what else a program asks of it is added.
impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            cause: Cause::Other,
            message: message.into(),
            help: help.into(),
            exit_code: 1,
            needs_new_tokens: false,
            is_retryable: false,
            may_have_taken_effect: false,
            retry_after: None,
            in_doubt: None,
            source: None,
            http: None,
        }))
    }

    fn with(mut self, set: impl FnOnce(&mut Details)) -> Self {
        set(&mut self.0);
        self
    }
}

impl Error {
    /// An error in how the program was called, such as two flags that exclude each other. Its exit code
    /// is 2.
    ///
    /// ```
    /// use aac_auth::Error;
    ///
    /// let error = Error::usage("--bom goes with --format csv");
    /// assert_eq!((error.to_string().as_str(), error.exit_code()), ("--bom goes with --format csv", 2));
    /// ```
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what, "").with(|error| error.exit_code = 2)
    }

    /// The error of a response that is not as the program expects it. Its exit code is 1, and its kind is
    /// [`ErrorKind::Response`].
    ///
    /// ```no_run
    /// use aac_auth::Error;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let plan = client.get("/plans/v1/plans/7")?;
    /// let name = plan["name"].as_str().ok_or_else(|| Error::response("plan 7 has no name"))?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn response(what: impl Into<String>) -> Self {
        let message = format!("the response is not as expected: {}", what.into());
        Self::new(ErrorKind::Response, message, ADAPT)
    }

    pub(crate) fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The same error where the request was to be sent again, and its body cannot be.
    pub(crate) fn with_body_consumed(self) -> Self {
        match self.0.http {
            Some(http) => Self::status(HttpError { body_consumed: true, ..http }),
            None => self,
        }
    }

    /// Whether the server did not respond in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self.0.cause, Cause::Transport(NetworkError::Timeout(_)))
    }

    /// The error of a run that has sent nothing, after one that may have.
    pub(crate) fn after_doubt(mut self) -> Self {
        self.0.in_doubt = self.0.in_doubt.map(|_| true);
        self
    }

    /// Whether the server has refused the refresh token itself.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.0.cause, Cause::TokensRefused { .. })
    }

    /// Whether the refresh token may have been used and its response lost.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self.0.cause, Cause::ResponseLost | Cause::TokensRefused { was_lost: true, .. })
    }

    /// Roughly what went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The API's response, if its status is the error; for a list too.
    pub fn http(&self) -> Option<&HttpError> {
        self.0.http.as_ref()
    }

    /// The same, to [`read`](HttpError::read) a long body to its end.
    pub fn http_mut(&mut self) -> Option<&mut HttpError> {
        self.0.http.as_mut()
    }

    /// Whether a person has to create new tokens before any call can succeed.
    pub fn needs_new_tokens(&self) -> bool {
        self.0.needs_new_tokens
    }

    /// Whether the same call may succeed later, and does no harm if the server has done it already: after
    /// 429, if no connection could be made, after a failed refresh that may yet work, while another program
    /// holds the lock or the vault has no leader, and for GET, HEAD and OPTIONS also after 408, 425, 5xx and
    /// broken connections. The retries of this crate
    /// ([`ConnectionOptions::retry`](crate::ConnectionOptions::retry)) are over by then: wait a while.
    ///
    /// ```no_run
    /// use std::thread;
    /// use std::time::Duration;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let plans = match client.get("/plans/v1/plans") {
    ///     Err(error) if error.is_retryable() => {
    ///         thread::sleep(error.retry_after().unwrap_or(Duration::from_secs(60)));
    ///         client.get("/plans/v1/plans")?
    ///     }
    ///     plans => plans?,
    /// };
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable
    }

    /// How long the server asks to wait, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
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
        self.0.may_have_taken_effect
    }

    /// What to do about it: whole sentences, one per line; empty if there is nothing to add.
    pub fn help(&self) -> String {
        visible(&self.0.help, |character| character == '\n')
    }

    /// The exit code of a program that ends with this error: 1 for a file, the network or a response; 2 for
    /// the command line or a request that cannot be sent; 3 for HTTP 3xx; 4 for HTTP 4xx, or if the
    /// tokens are refused; 5 for HTTP 5xx. It is 0 if a reader of standard output stopped reading.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
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
        if self.0.kind == ErrorKind::Io && self.0.exit_code == 0 {
            return ExitCode::SUCCESS;
        }
        let help = self.help().lines().map(|line| format!("  {line}\n")).collect::<String>();
        let text = format!("{}: {self}\n{help}", program());
        // If standard error is closed, the exit code still tells.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit_code())
    }
}

/// One line, with nothing that a terminal would act on: names of files and messages of servers are in it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = match self.0.in_doubt {
            Some(false) => "; your tokens are unchanged",
            Some(true) => "; an earlier run may have used the refresh token",
            None => "",
        };
        write!(f, "{}{tokens}", one_line(&self.0.message))
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// The name under which this program was started, for messages.
pub(crate) fn program() -> String {
    let name = env::args_os().next().map(PathBuf::from);
    let stem = name.as_deref().and_then(Path::file_stem);
    stem.map_or_else(|| "aac".to_owned(), |stem| one_line(&stem.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::place::Place;
    use crate::error::vault::VaultProblem;
    use crate::platform::is_unsafe_on_terminal;
    use ErrorKind::*;
    use std::error::Error as _;
    use ureq::http::{HeaderMap, StatusCode, Version};

    fn place() -> Place {
        Place::File(PathBuf::new())
    }

    fn refused() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    fn broken() -> NetworkError {
        NetworkError::Broken(text())
    }

    fn text() -> String {
        String::new()
    }

    fn file(problem: FileProblem) -> Error {
        Error::unusable(place(), problem)
    }

    fn transport(method: &str, reason: NetworkError) -> Error {
        Error::transport(method, "", reason)
    }

    fn refused_by_proxy(status: u16) -> NetworkError {
        let (proxy, target) = (text(), text());
        NetworkError::ProxyRefusal { proxy, target, status, schemes: Vec::new() }
    }

    fn bad_response(method: &str) -> Error {
        Error::bad_response(method, "", "")
    }

    fn http(method: &str, status: u16, kind: HttpErrorKind) -> Error {
        Error::status(HttpError {
            method: method.to_owned(),
            url: text(),
            status: StatusCode::from_u16(status).unwrap(),
            message: text(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: Vec::new(),
            rest: None,
            redacted_body: text(),
            location: None,
            request_id: None,
            retry_after: Some(Duration::from_secs(7)),
            kind,
            body_consumed: false,
        })
    }

    fn tokens_refused() -> Error {
        Error::tokens_refused("", text(), &place(), "", None)
    }

    fn interrupted(source: Error) -> Error {
        Error::list_interrupted(1, None, "rows", source)
    }

    #[test]
    fn what_a_program_can_decide_by() {
        let creds = &place();
        let refresh_refused =
            |status| Error::refresh_refused("", status, "", Refuser::Server, false);
        let unreachable = |reason| Error::auth_server_unreachable("", reason, false);
        let over_limit = |method| Error::over_limit(method, "", Limit::Size(1 << 20));
        let unexpected = |method| Error::unexpected(method, "", "");
        let wait = Some(Duration::from_secs(7));
        let server_error = HttpErrorKind::ServerError;
        let broken_pipe = io::ErrorKind::BrokenPipe.into();
        // The kind, whether new tokens are needed, whether the call may be made again, whether it may
        // have taken effect, the exit code.
        for (error, expected) in [
            (Error::no_creds(Path::new(""), None), (Config, false, false, false, 1)),
            (Error::no_current_folder(&refused()), (Config, false, false, false, 1)),
            (Error::no_folder(Path::new(""), &refused()), (Config, false, false, false, 1)),
            (Error::not_a_folder(Path::new("")), (Config, false, false, false, 1)),
            (Error::placeholders(&[], &[]), (Config, false, false, false, 1)),
            (Error::placeholders(&[], &["access_token"]), (Config, true, false, false, 1)),
            (file(FileProblem::Missing), (Config, false, false, false, 1)),
            (file(FileProblem::placeholder_tokens(&[], "")), (Config, true, false, false, 1)),
            (
                file(FileProblem::OAuthError { message: text(), page: text() }),
                (Config, true, false, false, 1),
            ),
            (file(FileProblem::Torn), (Storage, false, false, false, 1)),
            (file(FileProblem::OtherVersion { is_older: true }), (Storage, false, false, false, 1)),
            (Error::locked(creds, Duration::ZERO), (Storage, false, true, false, 1)),
            (Error::changing(creds), (Storage, false, true, false, 1)),
            (Error::not_writable(creds, refused(), false), (Storage, false, false, false, 1)),
            (Error::several_pairs(creds, &[]), (Storage, false, false, false, 1)),
            (Error::saved_in_journal(creds, creds, refused()), (Storage, false, false, false, 1)),
            (Error::not_saved(creds, refused(), ""), (Storage, true, false, false, 1)),
            (Error::older_copy(creds, "", ""), (Tokens, true, false, false, 4)),
            (Error::never_refreshed(""), (Tokens, false, false, false, 4)),
            (Error::expired(creds, ""), (Tokens, true, false, false, 4)),
            (tokens_refused(), (Tokens, true, false, false, 4)),
            (
                Error::vault(creds, &VaultProblem::denied(), false),
                (Storage, false, false, false, 1),
            ),
            (Error::vault(creds, &VaultProblem::sealed(), false), (Storage, false, true, false, 1)),
            (
                Error::vault(creds, &VaultProblem::status(412, ""), false),
                (Storage, false, true, false, 1),
            ),
            (Error::claimed(creds, "", ""), (Storage, false, true, false, 1)),
            (unreachable(&broken()), (AuthServer, false, true, false, 1)),
            (unreachable(&NetworkError::NoRoots), (AuthServer, false, false, false, 1)),
            (Error::auth_server_busy("", 429, wait, false), (AuthServer, false, true, false, 4)),
            (refresh_refused(400), (AuthServer, false, false, false, 4)),
            (refresh_refused(511), (AuthServer, false, true, false, 5)),
            (Error::response_lost("", "", None, creds, ""), (AuthServer, false, true, false, 1)),
            (Error::no_access_token("", "", "", creds, None), (AuthServer, false, true, false, 1)),
            (Error::noted(AuthServer, "", "", 4), (AuthServer, false, true, false, 4)),
            (Error::noted(Tokens, "", "", 4), (Tokens, true, false, false, 4)),
            (transport("GET", broken()), (Network, false, true, false, 1)),
            (transport("POST", broken()), (Network, false, false, true, 1)),
            (transport("POST", NetworkError::Timeout(text())), (Network, false, false, true, 1)),
            (transport("POST", NetworkError::Connect(text())), (Network, false, true, false, 1)),
            (transport("POST", NetworkError::NoThread(text())), (Network, false, true, false, 1)),
            (transport("GET", NetworkError::Tls(text())), (Network, false, false, false, 1)),
            (transport("GET", refused_by_proxy(502)), (Network, false, true, false, 1)),
            (transport("POST", refused_by_proxy(429)), (Network, false, true, false, 1)),
            (transport("GET", refused_by_proxy(403)), (Network, false, false, false, 1)),
            (transport("POST", refused_by_proxy(407)), (Network, false, false, false, 1)),
            (
                transport("GET", NetworkError::Certificate(text())),
                (Network, false, false, false, 1),
            ),
            (http("GET", 503, server_error), (Http, false, true, false, 5)),
            (http("POST", 503, server_error), (Http, false, false, true, 5)),
            (http("POST", 429, HttpErrorKind::Throttled), (Http, false, true, false, 4)),
            (
                http("POST", 401, HttpErrorKind::Unauthorized).with_body_consumed(),
                (Http, false, true, false, 4),
            ),
            (http("GET", 404, HttpErrorKind::Refused), (Http, false, false, false, 4)),
            (http("GET", 408, HttpErrorKind::Refused), (Http, false, true, false, 4)),
            (http("POST", 408, HttpErrorKind::Refused), (Http, false, false, false, 4)),
            (http("GET", 202, HttpErrorKind::NotReady), (Http, false, true, false, 1)),
            (http("GET", 302, HttpErrorKind::Redirect), (Http, false, false, false, 3)),
            (http("GET", 304, HttpErrorKind::NotModified), (Http, false, false, false, 3)),
            (bad_response("GET"), (Response, false, false, false, 1)),
            (bad_response("PUT"), (Response, false, false, true, 1)),
            (over_limit("GET"), (Response, false, false, false, 1)),
            (over_limit("POST"), (Response, false, false, true, 1)),
            (Error::no_list("", "", ""), (Response, false, false, false, 1)),
            (Error::response(""), (Response, false, false, false, 1)),
            (unexpected("GET"), (Response, false, false, false, 1)),
            (unexpected("POST"), (Response, false, false, true, 1)),
            (interrupted(http("GET", 500, server_error)), (Http, false, true, false, 5)),
            (interrupted(tokens_refused()), (Tokens, true, false, false, 4)),
            (Error::usage(""), (Usage, false, false, false, 2)),
            (Error::file("", refused()), (Io, false, false, false, 1)),
            (Error::output(refused()), (Io, false, false, false, 1)),
            (Error::output(broken_pipe), (Io, false, false, false, 0)),
        ] {
            let decided = (
                error.kind(),
                error.needs_new_tokens(),
                error.is_retryable(),
                error.may_have_taken_effect(),
                error.exit_code(),
            );
            assert_eq!(decided, expected, "{error:?}");
            assert!(!(error.is_retryable() && error.may_have_taken_effect()), "{error:?}");
        }
    }

    #[test]
    fn the_response_and_the_wait_are_those_of_an_interrupted_list_too() {
        let mut error = interrupted(http("GET", 429, HttpErrorKind::Throttled));
        assert_eq!(error.http().map(HttpError::status), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(error.http_mut().unwrap().read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(Error::usage("x").http().is_none());
    }

    #[test]
    fn the_system_s_error_is_the_source() {
        let error = Error::file("users.txt", refused());
        assert_eq!(error.to_string(), "users.txt: permission denied");
        let source = error.source().unwrap().downcast_ref::<io::Error>();
        assert_eq!(source.unwrap().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_wherever_it_comes_from() {
        let text = "a\u{1b}[31m\u{9b}1m\r\u{202e}";
        let path = PathBuf::from(text);
        let (creds, set_aside) = (Place::from(&path), [(path.clone(), "a person".to_owned())]);
        let secret = Place::Secret { path: text.into(), vault: None };
        for error in [
            // As a journal, or the note in a vault, may have it.
            Error::noted(AuthServer, text, text, 1),
            Error::several_pairs(&creds, &set_aside),
            Error::not_a_folder(&path.join("file")),
            Error::vault(&secret, &VaultProblem::deleted(text), false),
            Error::file(&path, io::Error::other(text)),
        ] {
            let shown = format!("{error}\n{}", error.help());
            let is_unsafe = |character| character != '\n' && is_unsafe_on_terminal(character);
            assert!(!shown.chars().any(is_unsafe), "{shown:?}");
            assert!(shown.contains("a\\u{1b}[31m") || shown.contains("a\\x1b[31m"), "{shown}");
        }
    }

    #[test]
    fn a_held_lock_is_named_with_the_wait() {
        let path = Place::from(Path::new("creds.json.lock"));
        let error = Error::locked(&path, Duration::from_secs(300));
        let text = "creds.json.lock: held by another program for 300 s";
        assert_eq!(error.to_string(), text);
    }
}
