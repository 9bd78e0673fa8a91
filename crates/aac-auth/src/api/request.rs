//! One request: built, sent with a fresh token, retried where that is safe.

use crate::api::body::Body;
use crate::api::client::Client;
use crate::api::json;
use crate::api::response::Response;
use crate::error::{
    self, Cause, Error, HttpError, HttpErrorKind, NetworkError, Result, status_line,
};
use crate::http::coding::Decoder;
use crate::http::connection::Progress;
use crate::http::envelope;
use crate::http::retry::retry_after;
use crate::rotation::Fresh;
use crate::tokens::secret::{AccessToken, redact};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use ureq::{Body as AnswerBody, SendBody};

/// How much of an error body is kept, in bytes.
const ERROR_BODY: u64 = 1024 * 1024;
/// How much of an error body is shown with the error, in characters.
const SHOWN_BODY: usize = 2000;
/// The longest wait between two tries that is obeyed; a longer one is reported to the user.
const PATIENCE: Duration = Duration::from_secs(120);
/// When a person is told what a request waits for.
const SLOW: Duration = Duration::from_secs(3);
/// A longer body, in bytes, is sent only after the server has accepted the headers.
const LONG_BODY: u64 = 1024 * 1024;
/// The longest URL that the `http` crate accepts, in characters.
const LONGEST_URL: usize = 65_534;
/// Stands for the current workspace's number in a path.
const WORKSPACE: &str = "{workspaceId}";
/// Replaces `{workspaceId}` while a URL is checked, since URLs cannot contain braces.
const PLACE: &str = "0workspaceId0";
/// What is encoded in a query. The platform expects `dateFilter[createdAt][gte]` unencoded.
const IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'[').remove(b']').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded in a URL.
const IN_URL: &AsciiSet =
    &AsciiSet::EMPTY.add(b' ').add(b'"').add(b'<').add(b'>').add(b'^').add(b'`').add(b'|');
/// Headers that callers may not set: the target, the sender, the framing.
const OWN_HEADERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

impl Client {
    /// Starts a request for a path such as `/iam/v1/workspaces/current`, with or without a query.
    ///
    /// The path also selects the host: the platform host serves `/v4/…` and `/svc-workflow/…`, the API
    /// host everything else. A whole URL is accepted if it is on one of these two. `{workspaceId}` is
    /// replaced by the number of the current workspace. Spaces and characters outside ASCII are
    /// percent-encoded; existing percent-encoding is kept.
    ///
    /// ```no_run
    /// use aac_auth::Method;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let plan = client
    ///     .request(Method::POST, "/plans/v1/plans")
    ///     .json(&serde_json::json!({ "name": "nightly" }))
    ///     .send()?
    ///     .json()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        Request::new(self, method, path)
    }

    /// Sends a `GET` and returns the JSON of the response.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind); [`Http`](crate::ErrorKind::Http) for a response other than 2xx.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let workspace = client.get("/iam/v1/workspaces/current")?;
    /// println!("{}", workspace["name"]);
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn get(&self, path: &str) -> Result<Value> {
        self.get_as(path)
    }

    /// The same, as a type of the program.
    ///
    /// # Errors
    ///
    /// Also [`ErrorKind::Response`](crate::ErrorKind::Response), with the path to the value, if the response
    /// does not fit the type.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// # type Workspace = aac_auth::Value;
    /// // #[derive(serde::Deserialize)]
    /// // struct Workspace { id: u64, name: String }
    /// let workspace: Workspace = client.get_as("/iam/v1/workspaces/current")?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn get_as<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let (url, text) = self.request(Method::GET, path).text()?;
        json::read(&text, Method::GET.as_str(), &url)
    }

    /// The number of the workspace that the tokens are for, requested once.
    fn workspace_id(&self) -> Result<&str> {
        const CURRENT: &str = "/iam/v1/workspaces/current";
        if let Some(id) = self.workspace().get() {
            return Ok(id);
        }
        let (url, text) = Request::new(self, Method::GET, CURRENT).text()?;
        let workspace: Value = json::read(&text, Method::GET.as_str(), &url)?;
        match &workspace["id"] {
            Value::Number(id) => Ok(self.workspace().get_or_init(|| id.to_string())),
            _ => {
                let what = "the workspace has no number for an id";
                Err(Error::unexpected("GET", &url, what))
            }
        }
    }

    /// Puts the number of the current workspace into the path.
    pub(crate) fn fill_in(&self, path: &str) -> Result<String> {
        match path.contains(WORKSPACE) {
            true => Ok(path.replace(WORKSPACE, self.workspace_id()?)),
            false => Ok(path.to_owned()),
        }
    }
}

/// A request being built.
///
/// ```no_run
/// use aac_auth::Method;
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let jobs = client
///     .request(Method::GET, "/v4/jobLibrary")
///     .query("dateFilter[createdAt][gte]", "1764000000000")
///     .header("accept-language", "en")
///     .send()?
///     .json()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Request<'client> {
    pub(super) connection: &'client Client,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    on_upload: Option<OnUpload>,
    pub(super) retry: u32,
    /// The first thing that cannot be sent, reported by [`send`](Self::send).
    pub(super) invalid: Option<String>,
}

/// A request as it would be sent, without its token.
///
/// ```no_run
/// use aac_auth::{Method, json};
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let request = client.request(Method::POST, "/plans/v1/plans").json(&json!({ "name": "nightly" }));
/// let preview = request.preview()?;
/// println!("{} {}", preview.method, preview.url);
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Preview {
    /// The method.
    pub method: Method,
    /// The URL. `{workspaceId}` is left as it is: filling it in takes a call.
    pub url: String,
    /// The headers, with `Bearer $ACCESS_TOKEN` for the token.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Body>,
}

impl<'client> Request<'client> {
    pub(crate) fn new(connection: &'client Client, method: Method, path: &str) -> Self {
        // Some front ends insist on a length, even 0 (RFC 9110 §8.6).
        let has_length = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        Self {
            connection,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: has_length.then(|| Vec::new().into()),
            on_upload: None,
            retry: connection.retry(),
            invalid: None,
        }
    }

    /// Adds a query parameter, encoded as in a form; brackets stay as they are.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        add_to_query(&mut self.path, name, value);
        self
    }

    /// Adds a header, replacing one that the client would send. `Authorization`, `Host` and the headers
    /// for message framing are reserved for the client.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(name), _) if OWN_HEADERS.contains(&name) => {
                let what = format!("the header {name} is set by the client itself");
                self.invalid.get_or_insert(what);
            }
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => {
                let name = redact(name, &[], 40);
                let what = format!("the header {name:?} or its value cannot be sent");
                self.invalid.get_or_insert(what);
            }
        }
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// Sets a body of any media type and size.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        if self.headers.contains_key(header::CONTENT_TYPE) {
            return self;
        }
        self.header("content-type", content_type)
    }

    /// Sets a body of several named parts, as for an upload. Files are sent as files, anything else as
    /// JSON.
    #[must_use]
    pub fn multipart<'a>(mut self, parts: impl IntoIterator<Item = (&'a str, Body)>) -> Self {
        if self.headers.contains_key(header::CONTENT_TYPE) {
            let what = "the content-type of an upload in parts is set by the client itself";
            self.invalid.get_or_insert_with(|| what.to_owned());
        }
        let (content_type, body) = Body::multipart(parts);
        self.body(&content_type, body)
    }

    /// Calls a function while the body is sent, with the bytes sent so far and the total, if known. The
    /// count restarts from 0 if the body is sent again.
    ///
    /// ```no_run
    /// use aac_auth::{Body, Method};
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// client
    ///     .request(Method::POST, "/plans/v1/plans/package")
    ///     .multipart([("data", Body::file("plan.zip".as_ref())?)])
    ///     .on_upload(|sent, _| eprintln!("{sent} bytes"))
    ///     .send()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    #[must_use]
    pub fn on_upload(mut self, watch: impl FnMut(u64, Option<u64>) + Send + 'static) -> Self {
        self.on_upload = Some(OnUpload(Box::new(watch)));
        self
    }

    /// Sets how often this request is sent again, instead of
    /// [`ConnectionOptions::retry`](crate::ConnectionOptions::retry). 0 is for a program that asks again by
    /// itself, and does not want to wait in here.
    #[must_use]
    pub fn retry(mut self, times: u32) -> Self {
        self.retry = times;
        self
    }

    /// The request as it would be sent. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it cannot be sent.
    pub fn preview(self) -> Result<Preview> {
        let url = self.check()?.to_string().replace(PLACE, WORKSPACE);
        let headers = self.headers_with("$ACCESS_TOKEN")?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Preview { method: self.method, url, headers, body: self.body })
    }

    /// Sends the request, and waits for the headers of the response.
    ///
    /// Retries any request after 429, and GET, HEAD and OPTIONS also after 502, 503, 504 and failed or
    /// broken connections. After a 401 it refreshes the tokens, once.
    ///
    /// The caller reads the body of the response, which is not requested again if it is interrupted.
    /// [`Client::get`](crate::Client::get) and [`rows`](Self::rows) do request it again.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind). [`Error::http`] has the response if it is other than 2xx.
    pub fn send(self) -> Result<Response> {
        self.run(Ok)
    }

    /// Sends the request and reads the whole response as text that should be JSON; returns it with its
    /// URL. An interrupted response is requested again, like one that did not arrive.
    pub(crate) fn text(self) -> Result<(String, String)> {
        self.run(|response| Ok((response.url().to_owned(), response.text()?)))
    }

    /// The same, once and without a refresh; none where there is no fresh token, or the status is not 2xx.
    pub(crate) fn text_at_once(mut self) -> Result<Option<(String, String)>> {
        let connection = self.connection;
        let Some(token) = connection.token_at_hand() else { return Ok(None) };
        let uri = self.uri(&self.path)?;
        let url = self.redacted_url(&uri, &token);
        match self.send_once(&uri, &token)? {
            Ok(response) if response.status().is_success() => {
                let time = 10 * connection.limits().idle;
                let response = Response::new(self.method, url.clone(), response, time);
                match response.text() {
                    Ok(text) => Ok(Some((url, text))),
                    // It would be the same again.
                    Err(error) if error.kind() == error::ErrorKind::Response => Err(error),
                    Err(_) => Ok(None),
                }
            }
            Ok(_) => Ok(None),
            Err(reason) => Err(Error::transport(self.method.as_str(), &url, reason)),
        }
    }

    /// Sends the request, retries where that is safe, and calls `finish` with a 2xx response.
    fn run<T>(mut self, finish: impl Fn(Response) -> Result<T>) -> Result<T> {
        self.check()?;
        let connection = self.connection;
        let uri = self.uri(&connection.fill_in(&self.path)?)?;
        let mut fresh = connection.fresh(None)?;
        let url = self.redacted_url(&uri, &fresh.token);
        let is_safe = self.method.is_safe();
        let mut tries = 0;
        loop {
            let reason = match self.send_once(&uri, &fresh.token)? {
                Ok(response) if response.status().is_success() => {
                    let time = 10 * connection.limits().idle;
                    let response = Response::new(self.method.clone(), url.clone(), response, time);
                    let finished = finish(response);
                    match finished.as_ref().map_err(Error::cause) {
                        Err(Cause::Transport(reason)) if is_safe && tries < self.retry => {
                            connection.pause(&mut tries, None, &reason.to_string());
                            fresh = self.latest_token(fresh)?;
                            continue;
                        }
                        _ => return finished,
                    }
                }
                Ok(response) => {
                    let mut error = self.http_error(&url, response, &fresh.token);
                    let may_retry = match error.kind {
                        HttpErrorKind::Unauthorized => !fresh.is_new,
                        HttpErrorKind::Throttled => true,
                        _ => is_safe && matches!(error.status.as_u16(), 502..=504),
                    };
                    let is_too_long = error.retry_after.is_some_and(|wait| wait > PATIENCE);
                    let is_rejected = error.kind == HttpErrorKind::Unauthorized;
                    if !may_retry || (!is_rejected && (tries == self.retry || is_too_long)) {
                        return Err(Error::status(error));
                    }
                    error.body_consumed = !self.body.as_mut().map_or(Ok(true), Body::rewind)?;
                    if is_rejected {
                        connection
                            .notices()
                            .step("the API rejects the access token; refreshing it");
                        fresh = connection.fresh(Some(&fresh.token))?;
                        // Whatever follows, there is no better token.
                        fresh.is_new = true;
                    }
                    if error.body_consumed {
                        return Err(Error::status(error));
                    }
                    if !is_rejected {
                        connection.pause(&mut tries, error.retry_after, &error.to_string());
                        fresh = self.latest_token(fresh)?;
                    }
                    continue;
                }
                Err(reason) => reason,
            };
            // A server that did not respond in time gets no second chance.
            let is_final = reason.is_lasting() || matches!(reason, NetworkError::Timeout(_));
            if !is_safe || is_final || tries == self.retry {
                return Err(Error::transport(self.method.as_str(), &url, reason));
            }
            connection.pause(&mut tries, None, &reason.to_string());
            fresh = self.latest_token(fresh)?;
        }
    }

    pub(crate) fn with_headers(mut self, headers: &HeaderMap) -> Self {
        self.headers = headers.clone();
        self
    }

    /// Checks that need no network; returns the URL with a placeholder for the workspace.
    fn check(&self) -> Result<Uri> {
        let what = match &self.invalid {
            Some(what) => what.clone(),
            None if self.method == Method::CONNECT => "CONNECT is for proxies".to_owned(),
            None if self.body.is_some() && matches!(self.method, Method::GET | Method::HEAD) => {
                format!("a {} request with a body is refused by Alteryx Cloud", self.method)
            }
            None => return self.uri(&self.path.replace(WORKSPACE, PLACE)),
        };
        Err(Error::usage(what))
    }

    /// The same token, unless it went stale during the pause before a retry.
    fn latest_token(&self, fresh: Fresh) -> Result<Fresh> {
        let now = self.connection.fresh(None)?;
        Ok(if now.token == fresh.token { fresh } else { now })
    }

    /// One try. The outer error is local, the inner one from the network.
    fn send_once(
        &mut self,
        uri: &Uri,
        token: &AccessToken,
    ) -> Result<Result<http::Response<AnswerBody>, NetworkError>> {
        let connection = self.connection;
        let mut builder = http::Request::builder().method(self.method.clone()).uri(uri.clone());
        if let Some(headers) = builder.headers_mut() {
            *headers = self.headers_with(token.expose())?;
            self.log_request(uri, headers, token);
        }
        let patience = connection.notices().after(SLOW, self.waiting_for(uri));
        let sent = match &mut self.body {
            Some(body) => builder
                .body(SendBody::from_reader(&mut Sending {
                    length: body.length(),
                    sent: 0,
                    body,
                    on_upload: self.on_upload.as_mut(),
                }))
                .map(|request| connection.transport().send(request, connection.limits())),
            None => builder
                .body(())
                .map(|request| connection.transport().send(request, connection.limits())),
        };
        drop(patience);
        if let Some(failure) = self.body.as_mut().and_then(Body::failure) {
            return Err(failure);
        }
        let answer = sent.unwrap_or_else(|error| Err(NetworkError::Broken(error.to_string())));
        if let Ok(response) = &answer {
            self.log_response(response, token);
        }
        Ok(answer)
    }

    /// Tells what this thread waits for, from another one.
    fn waiting_for(&self, uri: &Uri) -> impl FnOnce() -> Option<String> + Send + 'static {
        let progress = Progress::watch();
        let host = uri.host().unwrap_or_default().to_owned();
        let seconds = self.connection.limits().first_byte.as_secs_f64();
        let is_upload = self.is_upload();
        move || {
            let what = match progress() {
                Progress::ToProxy => "the proxy".to_owned(),
                Progress::Connecting => format!("a connection to {host}"),
                // It may take as long as it takes.
                _ if is_upload => return None,
                _ => format!("the response of {host}"),
            };
            Some(format!("waiting for {what}, for up to {seconds} s"))
        }
    }

    /// The URL of a path; it cannot lead to another host.
    fn uri(&self, path: &str) -> Result<Uri> {
        let refused =
            |why: &str| Error::usage(format!("the path {:?} {why}", redact(path, &[], 100)));
        let url =
            self.connection.settings().hosts.url(&encoded(path)).map_err(|why| refused(&why))?;
        if url.len() > LONGEST_URL {
            let what = format!(
                "the URL is too long: {} characters, at most {LONGEST_URL} can be sent",
                url.len()
            );
            return Err(Error::usage(what));
        }
        url.parse().map_err(|_| refused("has a control character in it"))
    }

    fn is_upload(&self) -> bool {
        let length = self.body.as_ref().map(Body::length);
        length.is_some_and(|length| length.is_none_or(|length| length > LONG_BODY))
    }

    /// All headers except Host and those that frame a body of unknown length.
    fn headers_with(&self, token: &str) -> Result<HeaderMap> {
        let unusable = |_| Error::usage("a header cannot be sent");
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, self.connection.user_agent());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let project_id =
            HeaderValue::from_str(&self.connection.settings().project_id).map_err(unusable)?;
        headers.insert("x-api-project-id", project_id.clone());
        // Its name until April 2025.
        headers.insert("x-client-id", project_id);
        if let Some(length) = self.body.as_ref().and_then(Body::length) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.is_upload() {
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        for name in self.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        Ok(headers)
    }

    fn http_error(
        &self,
        url: &str,
        response: http::Response<AnswerBody>,
        token: &AccessToken,
    ) -> HttpError {
        let (head, reader) = Decoder::of(response);
        let mut reader = reader.or_raw();
        let mut bytes = Vec::new();
        // A truncated body may still be informative; the status counts.
        let _ = reader.hold(&mut bytes, ERROR_BODY, 10 * self.connection.limits().idle);
        let secrets = self.secrets(token);
        let json = bytes.strip_prefix(json::MARK.as_bytes()).unwrap_or(&bytes);
        let (message, kind) = envelope::read(head.status.as_u16(), json, &secrets);
        let redacted_body = redact(&String::from_utf8_lossy(&bytes), &secrets, SHOWN_BODY);
        let request_id = ["x-trifacta-request-id", "x-request-id"]
            .into_iter()
            .find_map(|name| head.headers.get(name)?.to_str().ok())
            .map(|id| redact(id, &secrets, 100));
        HttpError {
            method: self.method.to_string(),
            url: url.to_owned(),
            status: head.status,
            message,
            rest: (bytes.len() as u64 == ERROR_BODY)
                .then(|| Box::new(reader) as Box<dyn Read + Send>),
            body: bytes,
            redacted_body,
            request_id,
            retry_after: retry_after(&head.headers),
            version: head.version,
            headers: head.headers,
            kind,
            body_consumed: false,
        }
    }

    fn secrets<'a>(&'a self, token: &'a AccessToken) -> [&'a str; 2] {
        [token.expose(), &self.connection.settings().project_id]
    }

    /// A URL for a message. A query may contain anything.
    fn redacted_url(&self, uri: &Uri, token: &AccessToken) -> String {
        redact(&uri.to_string(), &self.secrets(token), 500)
    }

    fn log_request(&self, uri: &Uri, headers: &HeaderMap, token: &AccessToken) {
        if !self.connection.notices().verbose {
            return;
        }
        let url = self.redacted_url(uri, token);
        self.connection.notices().step(format_args!("> {} {url}", self.method));
        self.log_headers('>', headers, token);
    }

    fn log_response(&self, response: &http::Response<AnswerBody>, token: &AccessToken) {
        if !self.connection.notices().verbose {
            return;
        }
        let status = status_line(response.status().as_u16());
        self.connection.notices().step(format_args!("< {status}"));
        self.log_headers('<', response.headers(), token);
    }

    fn log_headers(&self, mark: char, headers: &HeaderMap, token: &AccessToken) {
        for (name, value) in headers {
            let value = match value.is_sensitive() {
                true => "Bearer (redacted)".to_owned(),
                false => {
                    let text = String::from_utf8_lossy(value.as_bytes());
                    redact(&text, &self.secrets(token), 200)
                }
            };
            self.connection.notices().step(format_args!("{mark} {name}: {value}"));
        }
    }
}

/// A body being sent. Once the server accepts no more, the rest is not read: nobody would receive it,
/// and a stream may never end.
struct Sending<'a> {
    body: &'a mut Body,
    length: Option<u64>,
    sent: u64,
    on_upload: Option<&'a mut OnUpload>,
}

struct OnUpload(Box<dyn FnMut(u64, Option<u64>) + Send>);

impl fmt::Debug for OnUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnUpload")
    }
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Progress::get() == Progress::Refused {
            return Ok(self.body.skip(buffer.len()));
        }
        let read = self.body.read(buffer)?;
        self.sent += read as u64;
        if let Some(OnUpload(watch)) = &mut self.on_upload {
            watch(self.sent, self.length);
        }
        Ok(read)
    }
}

/// Adds a query parameter to a path, encoded as in a form; brackets stay as they are.
pub(super) fn add_to_query(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    for (separator, text) in [("", name), ("=", value)] {
        path.push_str(separator);
        path.extend(utf8_percent_encode(text, IN_QUERY));
    }
}

/// Percent-encodes characters that a URL cannot contain (RFC 3986 §2.1); existing encoding stays. A
/// control character is probably a mistake, so it stays too and is then rejected.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for (number, part) in path.split('%').enumerate() {
        let is_code =
            part.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
        text.push_str(match number {
            0 => "",
            _ if is_code => "%",
            _ => "%25",
        });
        text.extend(utf8_percent_encode(part, IN_URL));
    }
    text
}
