//! Decodes the content coding of a response (RFC 9110 §8.4) as it is read.

use crate::error::Limit;
use crate::http::transport::io_network_error;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, Instant};
use ureq::http::response::Parts;
use ureq::http::{HeaderMap, Method, StatusCode, header};
use ureq::{Body, BodyReader};

/// The decoded body of a response.
///
/// An error of the connection holds a [`NetworkError`](crate::error::NetworkError), and one of
/// [`hold`](Self::hold) may hold a [`Limit`]. Any other error means that the body cannot be decoded.
pub(crate) enum Decoder {
    Identity(Raw),
    /// Compressed, and not yet decoded: creating the decoder below already reads.
    Compressed(Option<BufReader<Raw>>),
    Gzip(Box<MultiGzDecoder<BufReader<Raw>>>),
    /// A coding that was not requested.
    Unknown {
        raw: Raw,
        name: String,
    },
}

impl Decoder {
    /// Removes headers that are only true of the encoded body.
    pub(crate) fn new(method: &Method, head: &mut Parts, body: Body) -> Self {
        let raw = Raw { reader: body.into_reader(), limit: None };
        let is_empty = *method == Method::HEAD
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let codings = codings(&head.headers);
        match codings.as_slice() {
            [one] if one == "gzip" && !is_empty => {
                head.headers.remove(header::CONTENT_ENCODING);
                head.headers.remove(header::CONTENT_LENGTH);
                Self::Compressed(Some(BufReader::new(raw)))
            }
            names if names.is_empty() || is_empty => Self::Identity(raw),
            names => Self::Unknown { raw, name: names.join(", ") },
        }
    }

    /// Reads a body that cannot be decoded as it is.
    pub(crate) fn or_raw(self) -> Self {
        match self {
            Self::Unknown { raw, .. } => Self::Identity(raw),
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
        // It counts below the decoder, which may read for ever without a byte to return.
        self.set_limit(Some((Instant::now() + time, time)));
        let read = self.by_ref().take(most).read_to_end(body);
        // Whoever reads on keeps nothing.
        self.set_limit(None);
        read
    }

    fn set_limit(&mut self, limit: Option<(Instant, Duration)>) {
        let raw = match self {
            Self::Identity(raw) | Self::Unknown { raw, .. } => raw,
            Self::Compressed(Some(reader)) => reader.get_mut(),
            Self::Compressed(None) => return,
            Self::Gzip(decoder) => decoder.get_mut().get_mut(),
        };
        raw.limit = limit;
    }
}

/// The codings in the order of application, without those that change nothing.
fn codings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let names = values.iter().flat_map(|value| value.split(','));
    names
        .map(|name| match name.trim().to_ascii_lowercase() {
            name if name == "x-gzip" => "gzip".to_owned(),
            name => name,
        })
        .filter(|name| !name.is_empty() && name != "identity")
        .collect()
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Identity(raw) => raw.read(buffer),
            Self::Compressed(raw) => {
                // Servers name a coding even if there is nothing to encode.
                let Some(mut raw) = raw.take() else { return Ok(0) };
                if raw.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                *self = Self::Gzip(Box::new(MultiGzDecoder::new(raw)));
                self.read(buffer)
            }
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Unknown { raw, name } => match raw.read(buffer)? {
                0 => Ok(0),
                _ => Err(io::Error::other(format!("its content-encoding is {name:?}"))),
            },
        }
    }
}

/// The bytes as received.
pub(crate) struct Raw {
    reader: BodyReader<'static>,
    /// When reading ends, and how long that was from its start.
    limit: Option<(Instant, Duration)>,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((end, time)) = self.limit
            && Instant::now() >= end
        {
            return Err(io::Error::other(Limit::Time(time)));
        }
        let read = self.reader.read(buffer);
        read.map_err(|error| io::Error::new(error.kind(), io_network_error(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_named_in_many_ways() {
        for (values, names) in [
            (&[][..], &[][..]),
            (&["gzip"], &["gzip"]),
            (&["GZip"], &["gzip"]),
            (&["X-GZIP"], &["gzip"]),
            (&["identity"], &[]),
            (&[""], &[]),
            (&["Identity, gzip ,"], &["gzip"]),
            (&["br"], &["br"]),
            (&["deflate", "gzip"], &["deflate", "gzip"]),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(codings(&headers), names, "{values:?}");
        }
    }
}
