//! Request bodies: bytes, files and streams in sequence, never whole in memory.

use crate::error::{Error, Result};
use crate::random;
use serde_core::de::IgnoredAny;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

/// The body of a request, of any size.
///
/// ```no_run
/// use aac_auth::{Body, Method};
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let part = Body::file("plan.zip".as_ref())?;
/// let imported = client
///     .request(Method::POST, "/plans/v1/plans/package")
///     .multipart([("data", part)])
///     .send()?
///     .json()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
pub struct Body {
    pieces: Vec<Piece>,
    /// The piece being read.
    at: usize,
    failure: Option<Error>,
}

struct Piece {
    source: Source,
    /// For messages; a file's is its path.
    name: PathBuf,
    /// The number of bytes, if known before reading.
    length: Option<u64>,
    sent: u64,
}

enum Source {
    Bytes(Cursor<Vec<u8>>),
    File(File),
    /// Readable only once.
    Stream(Box<dyn Read + Send>),
}

impl Body {
    /// The bytes of a file, at its present length. A pipe, a device or anything else that is not a
    /// regular file is read as a stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be opened.
    pub fn file(path: &Path) -> Result<Self> {
        let failed = |source| Error::file(path, source);
        // Windows does not open folders, and says of the attempt that access is denied.
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let name = path.display().to_string();
        if !metadata.is_file() {
            return Ok(Self::stream(&name, file));
        }
        if metadata.len() == 0 {
            // Files whose content the system generates report no length, and still have content.
            let mut start = Vec::new();
            (&file).take(1).read_to_end(&mut start).map_err(failed)?;
            if !start.is_empty() {
                return Ok(Self::stream(&name, Cursor::new(start).chain(file)));
            }
        }
        Ok(Self::of(vec![Piece::new(Source::File(file), path, Some(metadata.len()))]))
    }

    /// Everything that a reader returns. It is sent in chunks, since its length is unknown, and cannot
    /// be sent again. `name` is for messages.
    pub fn stream(name: &str, reader: impl Read + Send + 'static) -> Self {
        Self::of(vec![Piece::new(Source::Stream(Box::new(reader)), name, None)])
    }

    /// The parts of a form (RFC 7578), and the media type with their boundary.
    pub(crate) fn multipart<'a>(
        parts: impl IntoIterator<Item = (&'a str, Self)>,
    ) -> (String, Self) {
        // A part contains it with a probability of one in 2^128.
        let boundary = format!("aac-{}{}", random::name(), random::name());
        let mut pieces = Vec::new();
        for (name, body) in parts {
            let name = quoted(name);
            let about = match body.file_name() {
                Some(file) => {
                    let file = quoted(&file);
                    format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream")
                }
                None if body.is_json() => "\r\nContent-Type: application/json".to_owned(),
                // Text, as in any form (RFC 7578 §4.4).
                None => String::new(),
            };
            let disposition = format!("Content-Disposition: form-data; name=\"{name}\"{about}");
            pieces.push(Piece::bytes(format!("--{boundary}\r\n{disposition}\r\n\r\n")));
            pieces.extend(body.pieces);
            pieces.push(Piece::bytes("\r\n"));
        }
        pieces.push(Piece::bytes(format!("--{boundary}--\r\n")));
        (format!("multipart/form-data; boundary={boundary}"), Self::of(pieces))
    }

    fn of(pieces: Vec<Piece>) -> Self {
        Self { pieces, at: 0, failure: None }
    }

    /// The file name of a form part; `None` if the part was built in memory.
    fn file_name(&self) -> Option<String> {
        let piece = self.pieces.first()?;
        match piece.source {
            Source::Bytes(_) => None,
            Source::File(_) => Some(piece.name.file_name()?.to_string_lossy().into_owned()),
            Source::Stream(_) => Some("data".to_owned()),
        }
    }

    /// Whether it is JSON, if it was built in memory.
    fn is_json(&self) -> bool {
        self.pieces.iter().all(|piece| match &piece.source {
            Source::Bytes(bytes) => serde_json::from_slice::<IgnoredAny>(bytes.get_ref()).is_ok(),
            _ => false,
        })
    }

    /// The length in bytes, if known before reading.
    pub(crate) fn length(&self) -> Option<u64> {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Rewinds to the beginning. Returns false if a stream has already been read from.
    pub(crate) fn rewind(&mut self) -> Result<bool> {
        self.at = 0;
        for piece in &mut self.pieces {
            match &mut piece.source {
                Source::Bytes(bytes) => bytes.set_position(0),
                Source::File(file) => {
                    file.rewind().map_err(|source| Error::file(&piece.name, source))?;
                }
                Source::Stream(_) if piece.sent > 0 => return Ok(false),
                Source::Stream(_) => {}
            }
            piece.sent = 0;
        }
        Ok(true)
    }

    /// Skips up to this many bytes, whose number was announced, and returns how many it skipped. A stream
    /// ends.
    pub(crate) fn skip(&mut self, most: usize) -> usize {
        while let Some(piece) = self.pieces.get_mut(self.at) {
            // Nobody waits for the rest of a stream.
            let skipped = if piece.length.is_some() { piece.most(most) } else { 0 };
            piece.sent += skipped as u64;
            if skipped > 0 {
                return skipped;
            }
            self.at += 1;
        }
        0
    }

    /// Why reading failed, if it did.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of(vec![Piece::bytes(bytes)])
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.get_mut(self.at) {
            match piece.read(buffer) {
                Ok(0) if !buffer.is_empty() => self.at += 1,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    let text = error.to_string();
                    self.failure = Some(Error::file(&piece.name, error));
                    return Err(io::Error::other(text));
                }
                read => return read,
            }
        }
        Ok(0)
    }
}

/// For people: text as it is, and a description of everything else.
impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Piece { source, name, length, .. } in &self.pieces {
            match source {
                Source::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes.get_ref()))?,
                _ => match length {
                    Some(length) => write!(f, "({length} bytes of {})", name.display())?,
                    None => write!(f, "({})", name.display())?,
                },
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length()).finish_non_exhaustive()
    }
}

impl Piece {
    fn new(source: Source, name: impl Into<PathBuf>, length: Option<u64>) -> Self {
        Self { source, name: name.into(), length, sent: 0 }
    }

    fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self::new(Source::Bytes(Cursor::new(bytes)), "", Some(length))
    }

    /// How many of so many bytes there are at most.
    fn most(&self, wanted: usize) -> usize {
        let left = self.length.map_or(u64::MAX, |length| length - self.sent);
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.most(buffer.len());
        let read = match &mut self.source {
            Source::Bytes(bytes) => bytes.read(&mut buffer[..most]),
            Source::File(file) => file.read(&mut buffer[..most]),
            Source::Stream(reader) => reader.read(buffer),
        }?;
        if read == 0 && most > 0 && self.length.is_some() {
            // The length has been announced.
            return Err(io::Error::other("it became shorter while it was sent"));
        }
        self.sent += read as u64;
        Ok(read)
    }
}

/// Quotes a name in a part's header, as browsers do (WHATWG, "multipart/form-data").
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
