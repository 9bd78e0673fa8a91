//! How a pair is written so that it is not lost: places of a fixed size, each with a fixed-length line of
//! JSON that describes what follows. See `store::journal`.

use crate::tokens::secret::Digest;
use serde_json::Value;

/// The largest response of a token endpoint that is accepted, in bytes; also the largest creds.json that
/// is kept.
pub(crate) const LARGEST: usize = 64 * 1024;
/// The length of a line, in bytes, with its line end.
pub(crate) const LINE: usize = 512;
/// The largest note on a failure, in bytes.
pub(crate) const LARGEST_NOTE: usize = 4 * 1024;
/// The offsets of the places: the first response, the second, the note, the previous creds.json.
pub(crate) const PLACES: [usize; 4] =
    [0, LINE + LARGEST, 2 * (LINE + LARGEST), 2 * (LINE + LARGEST) + LINE + LARGEST_NOTE];
pub(crate) const NOTE: usize = 2;
pub(crate) const CREDS: usize = 3;

/// A place of the journal, as read.
pub(crate) struct Entry<'bytes> {
    pub(crate) line: Value,
    /// `None` if it is incomplete.
    pub(crate) content: Option<&'bytes [u8]>,
}

impl<'bytes> Entry<'bytes> {
    pub(crate) fn read(bytes: &'bytes [u8]) -> Option<Self> {
        let (line, rest) = bytes.split_at_checked(LINE)?;
        let line: Value = serde_json::from_slice(line).ok()?;
        let length = line.get("length").and_then(Value::as_u64).unwrap_or_default();
        let content = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let digest = line.get("sha256").and_then(Value::as_str);
        let is_whole = |content: &&[u8]| digest == Some(&*Digest::of(content).to_string());
        Some(Self { content: content.filter(is_whole), line })
    }
}

/// The pair that a journal holds.
pub(crate) struct PairWithin<'bytes> {
    pub(crate) spent: Digest,
    pub(crate) response: &'bytes [u8],
    pub(crate) creds: Option<&'bytes [u8]>,
}

/// The pair in these bytes, if they are a journal with a response: someone may have moved a pair that was
/// set aside over creds.json.
pub(crate) fn pair_within(bytes: &[u8]) -> Option<PairWithin<'_>> {
    let content = |place: usize, state: &str| {
        let entry = Entry::read(bytes.get(place..)?)?;
        let text = |name: &str| entry.line.get(name).and_then(Value::as_str);
        let spent = text("spent").and_then(Digest::parse)?;
        let content = entry.content.filter(|_| text("state") == Some(state))?;
        Some((spent, content))
    };
    let (spent, response) =
        PLACES[..NOTE].iter().rev().find_map(|&place| content(place, "answered"))?;
    Some(PairWithin { spent, response, creds: content(PLACES[CREDS], "creds").map(|(_, it)| it) })
}
