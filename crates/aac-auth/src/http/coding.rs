//! The body of a response as it is read: its content coding (RFC 9110 §8.4) is undone.

use crate::error::Limit;
use crate::http::connection::within;
use crate::http::transport::io_network_error;
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::response::Parts;
use ureq::http::{HeaderMap, Response, header};
use ureq::{Body, BodyReader};

/// The decoded body of a response.
///
/// An error of the connection holds a [`NetworkError`](crate::error::NetworkError), and one of
/// [`hold`](Self::hold) may hold a [`Limit`]. Any other error means that the body cannot be decoded.
pub(crate) enum Decoder {
    Plain(Raw),
    Gzip(Box<MultiGzDecoder<Raw>>),
    /// A coding that was not requested.
    Unknown(String, Raw),
}

impl Decoder {
    /// Takes a response apart. Its headers no longer tell of a coding that is undone.
    pub(crate) fn of(response: Response<Body>) -> (Parts, Self) {
        let (mut head, body) = response.into_parts();
        let raw = Raw { body: body.into_reader(), is_wanted: false, has_come: false };
        let coding = coding(&head.headers);
        let decoder = match &*coding {
            "" | "identity" => Self::Plain(raw),
            "gzip" => {
                head.headers.remove(header::CONTENT_ENCODING);
                head.headers.remove(header::CONTENT_LENGTH);
                Self::Gzip(Box::new(MultiGzDecoder::new(raw)))
            }
            _ => Self::Unknown(coding, raw),
        };
        (head, decoder)
    }

    /// Reads a body that cannot be decoded as it is.
    pub(crate) fn or_raw(self) -> Self {
        match self {
            Self::Unknown(_, raw) => Self::Plain(raw),
            known => known,
        }
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

    fn raw(&mut self) -> &mut Raw {
        match self {
            Self::Plain(raw) | Self::Unknown(_, raw) => raw,
            Self::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

/// The codings in lower case, in the order in which they were applied.
fn coding(headers: &HeaderMap) -> String {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = codings.map(|value| String::from_utf8_lossy(value.as_bytes()));
    codings.collect::<Vec<_>>().join(", ").to_ascii_lowercase()
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.raw().is_wanted = true;
        match self {
            Self::Plain(raw) => raw.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer).or_else(|error| match error.kind() {
                // Servers name a coding even if there is nothing to encode.
                io::ErrorKind::UnexpectedEof if !decoder.get_ref().has_come => Ok(0),
                _ => Err(error),
            }),
            Self::Unknown(name, raw) => match raw.read(buffer)? {
                0 => Ok(0),
                _ => Err(io::Error::other(format!("its content-encoding is {name:?}"))),
            },
        }
    }
}

/// The body as it comes.
pub(crate) struct Raw {
    body: BodyReader<'static>,
    /// Whether it is to be read: a decoder of gzip would do that as soon as it is made.
    is_wanted: bool,
    has_come: bool,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_wanted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.body.read(buffer).map_err(|error| match limit(&error) {
            Some(limit) => io::Error::other(limit),
            None => io::Error::other(io_network_error(&error)),
        })?;
        self.has_come |= length > 0;
        Ok(length)
    }
}

/// The limit that ended a read, if one did.
fn limit(error: &io::Error) -> Option<Limit> {
    match error.get_ref()?.downcast_ref()? {
        ureq::Error::Other(cause) => cause.downcast_ref().copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NetworkError;

    struct Breaks;

    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn a_broken_connection_is_told_from_a_broken_coding() {
        const START: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01";
        for length in [0, 5, START.len()] {
            let start = &START[..length];
            let broken = Body::builder().reader(start.chain(Breaks));
            let short = Body::builder().reader(start);
            for (body, is_broken) in [(broken, true), (short, false)] {
                let response = Response::builder().header("content-encoding", "GZIP").body(body);
                let (head, mut decoder) = Decoder::of(response.unwrap());
                assert!(head.headers.is_empty());
                match decoder.read(&mut [0; 9]) {
                    Ok(read) => assert_eq!((read, length, is_broken), (0, 0, false)),
                    Err(error) => {
                        let inner = error.get_ref();
                        let is_network = inner.is_some_and(|inner| inner.is::<NetworkError>());
                        assert_eq!(is_network, is_broken, "{length}: {error:?}");
                    }
                }
            }
        }
    }
}
