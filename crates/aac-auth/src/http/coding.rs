//! The body of a response as it is read: its content coding (RFC 9110 §8.4) is undone.

use crate::error::Limit;
use crate::http::transport::io_network_error;
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::http::response::Parts;
use ureq::http::{HeaderMap, Response, header};
use ureq::{Body, BodyReader};

/// The decoded body of a response.
///
/// An error of the connection holds a [`NetworkError`](crate::error::NetworkError), and one of
/// [`hold`](Self::hold) may hold a [`Limit`]. Any other error means that the body cannot be decoded.
pub(crate) struct Decoder {
    coded: Coded,
    /// A coding that was not requested.
    unknown: Option<String>,
}

enum Coded {
    No(Raw),
    Gzip(Box<MultiGzDecoder<Raw>>),
}

impl Decoder {
    /// Takes a response apart. The headers no longer tell of a coding that is undone.
    pub(crate) fn of(response: Response<Body>) -> (Parts, Self) {
        let (mut head, body) = response.into_parts();
        let raw = Raw { body: body.into_reader(), is_wanted: false, has_come: false, end: None };
        let (coded, unknown) = match codings(&head.headers) {
            codings if codings.eq_ignore_ascii_case("gzip") => {
                head.headers.remove(header::CONTENT_ENCODING);
                head.headers.remove(header::CONTENT_LENGTH);
                (Coded::Gzip(Box::new(MultiGzDecoder::new(raw))), None)
            }
            codings => {
                let is_known = codings.is_empty() || codings.eq_ignore_ascii_case("identity");
                (Coded::No(raw), (!is_known).then_some(codings))
            }
        };
        (head, Self { coded, unknown })
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
        self.raw().end = Some((Instant::now() + time, time));
        let read = self.take(most).read_to_end(body);
        self.raw().end = None;
        read
    }

    fn raw(&mut self) -> &mut Raw {
        match &mut self.coded {
            Coded::No(raw) => raw,
            Coded::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

fn codings(headers: &HeaderMap) -> String {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = codings.map(|value| String::from_utf8_lossy(value.as_bytes()));
    codings.collect::<Vec<_>>().join(", ")
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.raw().is_wanted = true;
        let read = match &mut self.coded {
            Coded::No(raw) => raw.read(buffer),
            Coded::Gzip(decoder) => decoder.read(buffer),
        };
        let has_come = self.raw().has_come;
        match (read, &self.unknown) {
            (Ok(1..), Some(name)) => {
                Err(io::Error::other(format!("its content-encoding is {name:?}")))
            }
            // Servers name a coding even if there is nothing to encode.
            (Err(error), _) if error.kind() == io::ErrorKind::UnexpectedEof && !has_come => Ok(0),
            (read, _) => read,
        }
    }
}

/// The body as it comes.
struct Raw {
    body: BodyReader<'static>,
    /// A decoder of gzip reads its header as soon as it is made, and that may take its time.
    is_wanted: bool,
    has_come: bool,
    /// When the body must have come, and how long it may take. This counts below a decoder, which may read
    /// for ever without a byte to return.
    end: Option<(Instant, Duration)>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_wanted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some((end, time)) = self.end
            && Instant::now() >= end
        {
            return Err(io::Error::other(Limit::Time(time)));
        }
        let read = self.body.read(buffer);
        let length = read.map_err(|error| io::Error::other(io_network_error(&error)))?;
        self.has_come |= length > 0;
        Ok(length)
    }
}
