//! Request bodies: bytes, files and streams in sequence, never whole in memory.

use crate::error::{Error, Result};
use crate::random;
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

enum Piece {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    File {
        path: PathBuf,
        file: File,
        length: u64,
        sent: u64,
    },
    /// Readable only once.
    Stream {
        name: String,
        reader: Box<dyn Read + Send>,
        is_touched: bool,
    },
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
        let path = path.to_owned();
        Ok(Self::of(vec![Piece::File { path, file, length: metadata.len(), sent: 0 }]))
    }

    /// Everything that a reader returns. It is sent in chunks, since its length is unknown, and cannot
    /// be sent again. `name` is for messages.
    pub fn stream(name: &str, reader: impl Read + Send + 'static) -> Self {
        let (name, reader) = (name.to_owned(), Box::new(reader));
        Self::of(vec![Piece::Stream { name, reader, is_touched: false }])
    }

    /// The parts of a form (RFC 7578), and the media type with their boundary.
    pub(crate) fn multipart<'a>(
        parts: impl IntoIterator<Item = (&'a str, Self)>,
    ) -> (String, Self) {
        // A part contains it with a probability of one in 2^128.
        let boundary = format!("aac-{}{}", random::name(), random::name());
        let mut pieces = Vec::new();
        for (name, body) in parts {
            let mut head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
                quoted(name)
            );
            match body.file_name() {
                Some(file) => {
                    head += &format!(
                        "; filename=\"{}\"\r\nContent-Type: application/octet-stream",
                        quoted(&file)
                    );
                }
                None => head += "\r\nContent-Type: application/json",
            }
            pieces.push(Piece::bytes(format!("{head}\r\n\r\n")));
            pieces.extend(body.pieces);
            pieces.push(Piece::bytes("\r\n".to_owned()));
        }
        pieces.push(Piece::bytes(format!("--{boundary}--\r\n")));
        (format!("multipart/form-data; boundary={boundary}"), Self::of(pieces))
    }

    fn of(pieces: Vec<Piece>) -> Self {
        Self { pieces, at: 0, failure: None }
    }

    /// The file name of a form part; `None` if the part was built in memory.
    fn file_name(&self) -> Option<String> {
        match self.pieces.first()? {
            Piece::Bytes { .. } => None,
            Piece::File { path, .. } => Some(path.file_name()?.to_string_lossy().into_owned()),
            Piece::Stream { .. } => Some("data".to_owned()),
        }
    }

    /// The length in bytes, if known before reading.
    pub(crate) fn length(&self) -> Option<u64> {
        self.pieces.iter().try_fold(0, |sum, piece| match piece {
            Piece::Bytes { bytes, .. } => Some(sum + bytes.len() as u64),
            Piece::File { length, .. } => Some(sum + length),
            Piece::Stream { .. } => None,
        })
    }

    /// Rewinds to the beginning. Returns false if a stream has already been read from.
    pub(crate) fn rewind(&mut self) -> Result<bool> {
        self.at = 0;
        for piece in &mut self.pieces {
            match piece {
                Piece::Bytes { sent, .. } => *sent = 0,
                Piece::File { path, file, sent, .. } => {
                    file.rewind().map_err(|source| Error::file(path, source))?;
                    *sent = 0;
                }
                Piece::Stream { is_touched: true, .. } => return Ok(false),
                Piece::Stream { .. } => {}
            }
        }
        Ok(true)
    }

    /// Skips up to this many bytes, whose number was announced, and returns how many it skipped. A stream
    /// ends.
    pub(crate) fn skip(&mut self, most: usize) -> usize {
        while let Some(piece) = self.pieces.get_mut(self.at) {
            match piece.skip(most) {
                0 => self.at += 1,
                skipped => return skipped,
            }
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
        Self::of(vec![Piece::Bytes { bytes, sent: 0 }])
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
                    self.failure = Some(Error::file(piece.path(), error));
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
        for piece in &self.pieces {
            match piece {
                Piece::Bytes { bytes, .. } => f.write_str(&String::from_utf8_lossy(bytes))?,
                Piece::File { path, length, .. } => {
                    write!(f, "({length} bytes of {})", path.display())?;
                }
                Piece::Stream { name, .. } => write!(f, "({name})")?,
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
    fn bytes(text: String) -> Self {
        Self::Bytes { bytes: text.into_bytes(), sent: 0 }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Bytes { .. } => PathBuf::new(),
            Self::File { path, .. } => path.clone(),
            Self::Stream { name, .. } => PathBuf::from(name),
        }
    }

    fn skip(&mut self, most: usize) -> usize {
        match self {
            Self::Bytes { bytes, sent } => {
                let skipped = most.min(bytes.len() - *sent);
                *sent += skipped;
                skipped
            }
            Self::File { length, sent, .. } => {
                let skipped = (*length - *sent).min(most as u64);
                *sent += skipped;
                // At most `most`, which is a usize.
                skipped as usize
            }
            Self::Stream { .. } => 0,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes { bytes, sent } => {
                let read = (&bytes[*sent..]).read(buffer)?;
                *sent += read;
                Ok(read)
            }
            Self::File { file, length, sent, .. } => {
                let left = *length - *sent;
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let read = file.read(&mut buffer[..most])?;
                if read == 0 && most > 0 {
                    // The length has been announced.
                    return Err(io::Error::other("it became shorter while it was sent"));
                }
                *sent += read as u64;
                Ok(read)
            }
            Self::Stream { reader, is_touched, .. } => {
                *is_touched = true;
                reader.read(buffer)
            }
        }
    }
}

/// Quotes a name in a part's header, as browsers do (WHATWG, "multipart/form-data").
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
