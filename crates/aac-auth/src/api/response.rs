//! The response to a request.

use crate::api::json;
use crate::error::{Error, HttpError, HttpErrorKind, Limit, NetworkError, Result};
use crate::http::coding::Decoder;
use crate::http::envelope;
use crate::http::retry::{quota_reset, retry_after};
use crate::tokens::secret::{redact, redact_known};
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use ureq::Body;
use ureq::http::response::Parts;
use ureq::http::{self, HeaderMap, StatusCode, Version, header};

/// The largest response that is held in memory, in bytes once decompressed. A hostile server can make a
/// thousand times as many of what it sends.
const JSON_BODY: u64 = 64 * 1024 * 1024;

/// The most values in it. One takes a hundred bytes of memory or more, and two bytes of the body.
const JSON_VALUES: usize = 4_000_000;

/// How much of an error body is kept, in bytes.
const ERROR_BODY: u64 = 1024 * 1024;

/// How much of an error body is shown with the error, in characters.
const SHOWN_BODY: usize = 2000;

/// The most memory reserved for a response before any of it has arrived, in bytes.
const ROOM: usize = 16 * 1024 * 1024;

/// A response of the API: its status is 2xx, and its body has not been read.
pub struct Response {
    method: String,
    /// As it is shown in messages.
    url: String,
    head: Parts,
    reader: Decoder,
    /// How long it may take to read a body that is held in memory.
    time: Duration,
}

impl Response {
    pub(crate) fn new(
        method: String,
        url: String,
        response: http::Response<Body>,
        time: Duration,
    ) -> Self {
        let (head, reader) = Decoder::of(response);
        Self { method, url, head, reader, time }
    }

    /// The status, 2xx.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The HTTP version of the response.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The body as one JSON value: keys in their order, numbers digit for digit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Response`] if the body is cut off, is not JSON, is larger than 64 MiB or has more than
    /// some four million values, or takes longer than ten times [`ConnectionOptions::timeout`](crate::ConnectionOptions::timeout);
    /// [`ErrorKind::Network`] if the connection breaks. [`read`](Self::read) has neither limit.
    ///
    /// [`ErrorKind::Network`]: crate::ErrorKind::Network
    /// [`ErrorKind::Response`]: crate::ErrorKind::Response
    pub fn json(self) -> Result<Value> {
        self.json_as()
    }

    /// The same, as a type of the program.
    ///
    /// # Errors
    ///
    /// Also [`ErrorKind::Response`](crate::ErrorKind::Response), with the path to the value, if the body does
    /// not fit the type.
    ///
    /// ```no_run
    /// use aac_auth::{Method, json};
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// # type Plan = aac_auth::Value;
    ///
    /// // #[derive(serde::Deserialize)]
    /// // struct Plan { id: u64 }
    /// let request = client.request(Method::POST, "/plans/v1/plans").json(&json!({ "name": "nightly" }));
    /// let plan: Plan = request.send()?.json_as()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn json_as<T: DeserializeOwned>(self) -> Result<T> {
        let method = self.method.clone();
        let (url, text) = self.text()?;
        json::read(&text, &method, &url)
    }

    /// The URL, and the body as text that should be JSON, without a byte order mark.
    pub(crate) fn text(mut self) -> Result<(String, String)> {
        // Reserves the announced length: a growing buffer is copied, and fragments memory.
        let announced = self.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let room = announced.filter(|room| *room <= ROOM).unwrap_or_default();
        let mut body = Vec::with_capacity(room + 1);
        let read = self.reader.hold(&mut body, JSON_BODY + 1, self.time);
        let length = read.map_err(|error| self.error(&error))?;
        // Counted in bytes, sixteen and more at once.
        let begins_value = |byte: &u8| u8::from(matches!(byte, b',' | b'[' | b'{'));
        let values = |chunk: &[u8]| usize::from(chunk.iter().map(begins_value).sum::<u8>());
        let limit = match length as u64 > JSON_BODY {
            true => Some(Limit::Size(JSON_BODY)),
            false => (body.chunks(128).map(values).sum::<usize>() > JSON_VALUES)
                .then_some(Limit::Values(JSON_VALUES)),
        };
        if let Some(limit) = limit {
            return Err(Error::over_limit(&self.method, &self.url, limit));
        }
        let what = match String::from_utf8(body) {
            Ok(text) if text.is_empty() => "the response is empty, not JSON",
            Ok(mut text) => {
                if text.starts_with(json::MARK) {
                    text.drain(..json::MARK.len());
                }
                return Ok((self.url, text));
            }
            Err(_) => "the response is not JSON: it is not UTF-8",
        };
        Err(Error::bad_response(&self.method, &self.url, what))
    }

    /// What a response other than 2xx means.
    pub(crate) fn into_error(self, secrets: &[&str]) -> HttpError {
        let Self { method, url, head, reader, time } = self;
        let mut reader = reader.or_raw();
        let mut body = Vec::new();
        // A truncated body may still be informative; the status counts.
        let _ = reader.hold(&mut body, ERROR_BODY, time);
        let json = body.strip_prefix(json::MARK.as_bytes()).unwrap_or(&body);
        let (message, kind) = envelope::read(head.status.as_u16(), json, secrets);
        let id = |name| head.headers.get(name)?.to_str().ok();
        let id = id("x-trifacta-request-id").or_else(|| id("x-request-id"));
        let is_longer = body.len() as u64 == ERROR_BODY;
        HttpError {
            method,
            url,
            status: head.status,
            message,
            rest: is_longer.then(|| Box::new(reader) as Box<dyn Read + Send>),
            redacted_body: redact(&String::from_utf8_lossy(&body), secrets, SHOWN_BODY),
            body,
            location: envelope::location(&head.headers, secrets),
            request_id: id.map(|id| redact_known(id, secrets, 100)),
            retry_after: retry_after(&head.headers).or_else(|| {
                // A server may send these with every response.
                (kind == HttpErrorKind::Throttled).then(|| quota_reset(&head.headers)).flatten()
            }),
            version: head.version,
            headers: head.headers,
            kind,
            body_consumed: false,
        }
    }

    /// Reads the next part of the body; 0 at its end. For bodies of any size.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Network`] if the connection breaks, or the body is incomplete;
    /// [`ErrorKind::Response`] if it cannot be decompressed.
    ///
    /// [`ErrorKind::Network`]: crate::ErrorKind::Network
    /// [`ErrorKind::Response`]: crate::ErrorKind::Response
    ///
    /// ```no_run
    /// use aac_auth::Method;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let mut file = client.output_file("plan.zip".as_ref())?;
    /// let mut response = client.request(Method::GET, "/plans/v1/plans/7/package").send()?;
    /// let mut buffer = vec![0; 128 * 1024];
    /// loop {
    ///     match response.read(&mut buffer)? {
    ///         0 => break,
    ///         length => file.write(&buffer[..length])?,
    ///     }
    /// }
    /// file.finish()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reader.read(buffer).map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> Error {
        body_error(&self.method, &self.url, error)
    }
}

/// The error for a failed read of the body.
fn body_error(method: &str, url: &str, error: &io::Error) -> Error {
    let inner = error.get_ref();
    if let Some(reason) = inner.and_then(|inner| inner.downcast_ref::<NetworkError>()) {
        return Error::transport(method, url, reason.clone());
    }
    if let Some(limit) = inner.and_then(|inner| inner.downcast_ref::<Limit>()) {
        return Error::over_limit(method, url, *limit);
    }
    Error::bad_response(method, url, &format!("the response cannot be decompressed: {error}"))
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("url", &self.url)
            .field("status", &self.head.status)
            .finish()
    }
}

impl HttpError {
    /// Reads what follows [`body`](Self::body); 0 at its end. For bodies of any size.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Network`](crate::ErrorKind::Network) if the connection breaks, or the body is
    /// incomplete.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(rest) = &mut self.rest else { return Ok(0) };
        rest.read(buffer).map_err(|error| body_error(&self.method, &self.url, &error))
    }
}
