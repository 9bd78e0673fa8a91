//! A request being built: its URL, its headers, its body.

use crate::api::body::Body;
use crate::api::client::{Client, WORKSPACE};
use crate::api::json;
use crate::error::{Error, Result};
use crate::tokens::secret::{redact, redact_known};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// A longer body, in bytes, is sent only after the server has accepted the headers.
const LONG_BODY: u64 = 1024 * 1024;
/// The longest URL that the `http` crate accepts, in characters.
const LONGEST_URL: usize = 65_534;
/// Replaces [`WORKSPACE`] while a URL is checked: a path has no other braces.
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
        // Some front ends insist on a length, even 0 (RFC 9110 §8.6).
        let has_length = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        Request {
            client: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: has_length.then(|| Vec::new().into()),
            on_upload: None,
            is_download: false,
            retry: self.inner.retry,
            invalid: None,
        }
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
    pub(super) client: &'client Client,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Body>,
    pub(super) on_upload: Option<OnUpload>,
    pub(super) is_download: bool,
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

impl Request<'_> {
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
        let what = match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(name), _) if OWN_HEADERS.contains(&name) => {
                format!("the header {name} is set by the client itself")
            }
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
                return self;
            }
            _ => format!("the header {:?} or its value cannot be sent", redact(name, &[], 40)),
        };
        self.invalid.get_or_insert(what);
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

    /// Sets a body of several named parts, as for an upload. Files are sent as files, JSON as JSON, anything
    /// else as text.
    #[must_use]
    pub fn multipart<'a>(mut self, parts: impl IntoIterator<Item = (&'a str, Body)>) -> Self {
        if self.headers.contains_key(header::CONTENT_TYPE) {
            let what = "the content-type of an upload in parts is set by the client itself";
            self.invalid.get_or_insert(what.to_owned());
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

    /// Asks for a file of whatever type: `Accept` is `*/*` unless it is set, and 202 in response to GET is an
    /// error, since the file is not ready yet.
    #[must_use]
    pub fn download(mut self) -> Self {
        self.is_download = true;
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

    /// Checks what needs no network; returns the URL with a placeholder for the workspace.
    pub(super) fn check(&self) -> Result<Uri> {
        let is_refused = matches!(self.method, Method::GET | Method::HEAD) && self.body.is_some();
        let what = match &self.invalid {
            Some(what) => what.clone(),
            None if self.method == Method::CONNECT => "CONNECT is for proxies".to_owned(),
            None if is_refused => {
                format!("a {} request with a body is refused by Alteryx Cloud", self.method)
            }
            None => return self.uri(&self.path.replace(WORKSPACE, PLACE)),
        };
        Err(Error::usage(what))
    }

    /// The URL of a path; it cannot lead to another host.
    pub(super) fn uri(&self, path: &str) -> Result<Uri> {
        let refused =
            |why: &str| Error::usage(format!("the path {:?} {why}", redact_known(path, &[], 100)));
        let hosts = &self.client.settings().hosts;
        let url = hosts.url(&encoded(path)).map_err(|why| refused(&why))?;
        let length = url.len();
        if length > LONGEST_URL {
            return Err(Error::usage(format!(
                "the URL is too long: {length} characters, at most {LONGEST_URL} can be sent"
            )));
        }
        url.parse().map_err(|_| refused("cannot be sent"))
    }

    pub(super) fn is_upload(&self) -> bool {
        let length = self.body.as_ref().map(Body::length);
        length.is_some_and(|length| length.is_none_or(|length| length > LONG_BODY))
    }

    /// All headers except Host and those that frame a body of unknown length.
    pub(super) fn headers_with(&self, token: &str) -> Result<HeaderMap> {
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| Error::usage("a header cannot be sent"))
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, self.client.inner.user_agent.clone());
        let accept = if self.is_download { "*/*" } else { "application/json" };
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let project_id = value(&self.client.settings().project_id)?;
        headers.insert("x-api-project-id", project_id.clone());
        // Its name until April 2025.
        headers.insert("x-client-id", project_id);
        if let Some(length) = self.body.as_ref().and_then(Body::length) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.is_upload() {
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        // Those of the same names are replaced.
        headers.extend(self.headers.clone());
        let mut bearer = value(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, bearer);
        Ok(headers)
    }
}

pub(super) struct OnUpload(pub(super) Box<dyn FnMut(u64, Option<u64>) + Send>);

impl fmt::Debug for OnUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnUpload")
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
