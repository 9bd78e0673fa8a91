//! The response to a request.

use crate::api::json;
use crate::error::{Error, HttpError, Limit, NetworkError, Result};
use crate::http::coding::Decoder;
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use ureq::Body;
use ureq::http::response::Parts;
use ureq::http::{self, HeaderMap, Method, StatusCode, Version, header};

/// The largest response that is held in memory, in bytes once decompressed. A hostile server can make a
/// thousand times as many of what it sends.
const JSON_BODY: u64 = 64 * 1024 * 1024;

/// The most values in it. One takes a hundred bytes of memory or more, and two bytes of the body.
const JSON_VALUES: usize = 4_000_000;

/// The most memory reserved for a response before any of it has arrived, in bytes.
const ROOM: usize = 16 * 1024 * 1024;

/// A response of the API: its status is 2xx, and its body has not been read.
pub struct Response {
    method: Method,
    url: String,
    head: Parts,
    reader: Decoder,
    /// How long it may take to read a body that is held in memory.
    time: Duration,
}

impl Response {
    pub(crate) fn new(
        method: Method,
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

    /// The URL as shown in messages.
    pub(crate) fn url(&self) -> &str {
        &self.url
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
        let (method, url) = (self.method.to_string(), self.url.clone());
        json::read(&self.text()?, &method, &url)
    }

    /// The body as text that should be JSON, without a byte order mark.
    pub(crate) fn text(mut self) -> Result<String> {
        // Reserves the announced length: a growing buffer is copied, and fragments memory.
        let announced = self.headers().get(header::CONTENT_LENGTH);
        let announced: Option<usize> =
            announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let room = announced.filter(|room| *room <= ROOM).unwrap_or_default();
        let mut body = Vec::with_capacity(room + 1);
        let read = self.reader.hold(&mut body, JSON_BODY + 1, self.time);
        let length = read.map_err(|error| self.error(&error))?;
        // Counted in bytes, sixteen and more at once.
        let begins_value = |byte: &u8| u8::from(matches!(byte, b',' | b'[' | b'{'));
        let values = |chunk: &[u8]| usize::from(chunk.iter().map(begins_value).sum::<u8>());
        let limit = match length as u64 > JSON_BODY {
            true => Some(Limit::Size(JSON_BODY)),
            false if body.chunks(128).map(values).sum::<usize>() > JSON_VALUES => {
                Some(Limit::Values(JSON_VALUES))
            }
            false => None,
        };
        if let Some(limit) = limit {
            return Err(self.error(&io::Error::other(limit)));
        }
        let what = match length {
            0 => "the response is empty, not JSON",
            _ => match String::from_utf8(body) {
                Ok(mut body) => {
                    if body.starts_with(json::MARK) {
                        body.drain(..json::MARK.len());
                    }
                    return Ok(body);
                }
                Err(_) => "the response is not JSON: it is not UTF-8",
            },
        };
        let (method, url) = (self.method.to_string(), self.url);
        Err(Error::bad_response(&method, &url, what))
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
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| self.error(&error)),
            }
        }
    }

    fn error(&self, error: &io::Error) -> Error {
        body_error(self.method.to_string(), self.url.clone(), error)
    }
}

/// The error for a failed read of the body.
fn body_error(method: String, url: String, error: &io::Error) -> Error {
    let inner = error.get_ref();
    if let Some(reason) = inner.and_then(|inner| inner.downcast_ref::<NetworkError>()) {
        return Error::transport(&method, &url, reason.clone());
    }
    if let Some(limit) = inner.and_then(|inner| inner.downcast_ref::<Limit>()) {
        return Error::over_limit(&method, &url, *limit);
    }
    let what = format!("the response cannot be decompressed: {error}");
    Error::bad_response(&method, &url, &what)
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
        loop {
            match rest.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    return read.map_err(|error| {
                        body_error(self.method.clone(), self.url.clone(), &error)
                    });
                }
            }
        }
    }
}
