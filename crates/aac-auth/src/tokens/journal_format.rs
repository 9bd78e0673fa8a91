//! How a pair is written so that it is not lost, and how that is read. See `store::journal`.
//!
//! A journal has places of a fixed size: for the response, for a note on a failure, and for creds.json as it
//! was. Each begins with a line of JSON of a fixed length, which tells what follows it.

use crate::error::{Error, ErrorKind, FileProblem};
use crate::keys::LONGEST_NAME;
use crate::tokens::claims::LocalTime;
use crate::tokens::secret::Digest;
use serde_json::Value;
use zeroize::Zeroizing;

/// The version of the format. The first one, of lines that name none, had other places.
pub(crate) const VERSION: u64 = 2;
/// The length of a line, in bytes, with its line end.
pub(crate) const LINE: usize = 2 * 1024;
/// The largest response of a token endpoint that is accepted, in bytes.
pub(crate) const LARGEST: usize = 64 * 1024;

/// Where a place begins, and the most that it holds behind its line, in bytes.
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) room: usize,
}

pub(crate) const RESPONSE: Place = Place { start: 0, room: 96 * 1024 };
pub(crate) const NOTE: Place = RESPONSE.followed_by(4 * 1024);
pub(crate) const CREDS: Place = NOTE.followed_by(96 * 1024);
/// Where the places of the first format began, beside the first.
const FIRST_FORMAT: [usize; 3] = [66_048, 132_096, 136_704];

// What is read of a response always fits, sealed as well: in Base64, with the longest name of a key.
const _: () = assert!((LARGEST + 28).div_ceil(3) * 4 + LONGEST_NAME + 256 <= RESPONSE.room);

impl Place {
    const fn followed_by(&self, room: usize) -> Self {
        Self { start: self.start + LINE + self.room, room }
    }

    /// What is in this place, if it is in this state, and complete.
    fn content(&self, journal: &[u8], state: &str) -> Option<Zeroizing<Vec<u8>>> {
        let line = line(journal, self.start)?;
        let length = usize::try_from(line.get("length")?.as_u64()?).ok()?;
        let content = journal.get(self.start + LINE..)?.get(..length)?;
        let is_whole = line.get("sha256")?.as_str()? == Digest::of(content).to_string();
        (is_whole && line.get("state")? == state).then(|| Zeroizing::new(content.to_vec()))
    }
}

/// The line that begins here, in whatever version.
fn line(journal: &[u8], start: usize) -> Option<Value> {
    let bytes = journal.get(start..)?;
    // What begins otherwise may be tokens. Parsed, they would stay in memory.
    let is_line = bytes.starts_with(b"{\"version\":") || bytes.starts_with(b"{\"spent\":");
    let line = is_line.then(|| serde_json::Deserializer::from_slice(bytes).into_iter().next());
    line??.ok().filter(|line: &Value| ["spent", "state"].iter().all(|it| line.get(it).is_some()))
}

/// What a journal tells. Nothing where it is damaged.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The refresh token that was sent.
    pub(crate) spent: Option<Digest>,
    /// When the refresh began, by the local clock.
    pub(crate) time: LocalTime,
    /// The body of the response, as it came.
    pub(crate) response: Option<Zeroizing<Vec<u8>>>,
    pub(crate) failure: Option<Failure>,
    /// creds.json as it was before.
    pub(crate) creds: Option<Zeroizing<Vec<u8>>>,
}

/// What a run that failed said of it, for those that waited behind it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) exit_code: u8,
    /// Whether the token may have been used all the same.
    pub(crate) in_doubt: bool,
    /// When it was given up, by the local clock.
    pub(crate) time: LocalTime,
    /// The refresh token that came, without an access token of use: it is not to be sent for a while.
    pub(crate) unused: Option<Digest>,
}

impl Found {
    /// Reads a journal, as far as it is complete; none if these bytes have no line of one.
    ///
    /// # Errors
    ///
    /// It is of another version, and may hold the only copy of a pair.
    pub(crate) fn parse(journal: &[u8]) -> Result<Option<Self>, FileProblem> {
        let starts = [RESPONSE.start, NOTE.start, CREDS.start].into_iter().chain(FIRST_FORMAT);
        let Some(line) = starts.into_iter().find_map(|start| line(journal, start)) else {
            return Ok(None);
        };
        match line.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            version => {
                return Err(FileProblem::OtherVersion { is_older: version.is_none() });
            }
        }
        let time = line.get("time_ms").and_then(Value::as_i64).unwrap_or_default();
        Ok(Some(Self {
            spent: line["spent"].as_str().and_then(Digest::parse),
            time: LocalTime(time),
            response: RESPONSE.content(journal, "received"),
            failure: NOTE.content(journal, "failed").and_then(|note| Failure::parse(&note)),
            creds: CREDS.content(journal, "before"),
        }))
    }

    /// Whether its run was cut off, or lost the response, with nothing received.
    pub(crate) fn leaves_doubt(&self) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.in_doubt)
    }
}

/// The same journal with other contents for its response and for creds.json as it was: `turn` gives the one that is
/// to take the place of what is there, and is told which it is. None if a place is not whole, and may hold part of a
/// token.
pub(crate) fn turned<E>(
    journal: &[u8],
    mut turn: impl FnMut(Content, &[u8]) -> Result<Zeroizing<Vec<u8>>, E>,
) -> Result<Option<Zeroizing<Vec<u8>>>, E> {
    let mut new = Zeroizing::new(Vec::with_capacity(CREDS.start + LINE + CREDS.room));
    for (place, states, content) in [
        (RESPONSE, ["received", "begun"], Some(Content::Response)),
        (NOTE, ["failed", "failed"], None),
        (CREDS, ["before", "before"], Some(Content::Creds)),
    ] {
        new.resize(place.start, b' ');
        let Some(mut line) = line(journal, place.start) else {
            let end = (place.start + LINE + place.room).min(journal.len());
            let is_empty =
                journal.get(place.start..end).is_none_or(|it| it.trim_ascii().is_empty());
            if is_empty {
                continue;
            }
            return Ok(None);
        };
        let found = states.into_iter().find_map(|state| place.content(journal, state));
        let Some(found) = found else { return Ok(None) };
        let found = match content {
            Some(content) if !found.is_empty() => turn(content, &found)?,
            _ => found,
        };
        if found.len() > place.room {
            return Ok(None);
        }
        line["length"] = found.len().into();
        line["sha256"] = Digest::of(&found).to_string().into();
        new.extend_from_slice(
            format!("{:<width$}\n", line.to_string(), width = LINE - 1).as_bytes(),
        );
        new.extend_from_slice(&found);
    }
    Ok(Some(new))
}

/// What a place of a journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Response,
    Creds,
}

impl Failure {
    /// The same error, for one that waited.
    pub(crate) fn told(&self) -> Error {
        Error::noted(self.kind, &self.message, &self.help, self.exit_code)
    }

    fn parse(note: &[u8]) -> Option<Self> {
        let note: Value = serde_json::from_slice(note).ok()?;
        let text = |name: &str| note.get(name)?.as_str();
        Some(Self {
            kind: ErrorKind::parse(text("kind")?)?,
            message: text("message")?.to_owned(),
            help: text("help")?.to_owned(),
            exit_code: u8::try_from(note.get("exit_code")?.as_u64()?).ok()?,
            in_doubt: note.get("in_doubt")?.as_bool()?,
            time: LocalTime(note.get("time_ms")?.as_i64()?),
            unused: text("unused").and_then(Digest::parse),
        })
    }
}
