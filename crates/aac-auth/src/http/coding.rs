//! The body of a response as it is read. ureq undoes its content coding (RFC 9110 §8.4).

use crate::error::Limit;
use crate::http::tcp::{has_no_body, within};
use crate::http::transport::io_network_error;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::response::Parts;
use ureq::http::{HeaderMap, header};
use ureq::{Body, BodyReader};

/// What ureq says of a connection that ended early.
const DISCONNECTED: &str = "Peer disconnected";

/// The decoded body of a response.
///
/// An error of the connection holds a [`NetworkError`](crate::error::NetworkError), and one of
/// [`hold`](Self::hold) may hold a [`Limit`]. Any other error means that the body cannot be decoded.
pub(crate) struct Decoder {
    /// Until it is read: creating the reader already reads.
    body: Option<Body>,
    reader: Option<BodyReader<'static>>,
    /// A coding that was not requested.
    unknown: Option<String>,
}

impl Decoder {
    pub(crate) fn new(head: &Parts, body: Body) -> Self {
        Self { body: Some(body), reader: None, unknown: unknown_coding(&head.headers) }
    }

    /// Reads a body that cannot be decoded as it is.
    pub(crate) fn or_raw(self) -> Self {
        Self { unknown: None, ..self }
    }

    /// Reads the body into memory: up to so many decoded bytes, and for so long.
    pub(crate) fn hold(
        &mut self,
        body: &mut Vec<u8>,
        most: u64,
        time: Duration,
    ) -> io::Result<usize> {
        within(time, || self.take(most).read_to_end(body))
    }
}

/// The codings of a body that ureq has not decoded. Otherwise it removes the header.
fn unknown_coding(headers: &HeaderMap) -> Option<String> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = codings.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let codings = codings.collect::<Vec<_>>().join(", ");
    (!codings.is_empty() && !codings.eq_ignore_ascii_case("identity")).then_some(codings)
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_first = self.body.is_some();
        if let Some(body) = self.body.take() {
            self.reader = Some(body.into_reader());
        }
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let error = match (reader.read(buffer), &self.unknown) {
            (Ok(1..), Some(name)) => {
                return Err(io::Error::other(format!("its content-encoding is {name:?}")));
            }
            (Ok(length), _) => return Ok(length),
            (Err(error), _) => error,
        };
        let network = || io::Error::new(error.kind(), io_network_error(&error));
        Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            // The early end of a connection comes through the decoder as well.
            Some(ureq::Error::Decompress(_, cause)) if cause.to_string() != DISCONNECTED => {
                // Servers name a coding even if there is nothing to encode.
                if is_first && has_no_body() {
                    return Ok(0);
                }
                io::Error::other(cause.to_string())
            }
            Some(ureq::Error::Other(cause)) => {
                cause.downcast_ref::<Limit>().map_or_else(network, |limit| io::Error::other(*limit))
            }
            _ => network(),
        })
    }
}
