//! creds.json.rotation: what is known of one exchange, written before creds.json is touched.
//!
//! It has a first line of a fixed length, and room for an answer of the largest size that is read.
//! Both are on the disk before anything is sent, so that to save the answer needs no new space.

use crate::claims::LocalTime;
use crate::disk::{DiskError, Files, at};
use crate::error::{Error, Problem};
use crate::secret::RefreshToken;
use crate::text;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use zeroize::Zeroizing;

/// The largest answer of a token endpoint that is taken, in bytes.
pub(crate) const ROOM: usize = 64 * 1024;
/// The length of the first line, in bytes, with its line end.
const FIRST_LINE: usize = 512;

/// What a journal found on the disk tells.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// SHA-256 of the refresh token that it is about, in hexadecimal.
    spent: String,
    /// When the exchange began, by the local clock.
    pub(crate) time: LocalTime,
    pub(crate) record: Record,
}

/// How far the exchange came.
#[derive(Debug, Default)]
pub(crate) enum Record {
    /// The run was cut off when it may have been sending, or the journal is damaged.
    #[default]
    CutOff,
    /// The answer, as it came.
    Answered(Zeroizing<Vec<u8>>),
    /// The exchange failed; what the run said of it, for those that waited behind it.
    Failed {
        message: String,
        help: String,
        exit_code: u8,
        /// Whether the token may be spent all the same.
        in_doubt: bool,
        /// When it was given up, by the local clock.
        time: LocalTime,
    },
}

impl Found {
    /// Reads a journal; `None` where there is none. A damaged one tells of nothing, but one that only
    /// cannot be read may hold the only copy of a pair.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Problem> {
        match text::read(path) {
            Ok(bytes) => Ok(Some(Self::parse(&bytes).unwrap_or_default())),
            Err(Problem::Missing) => Ok(None),
            Err(problem @ Problem::Unreadable(_)) => Err(problem),
            Err(_) => Ok(Some(Self::default())),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (line, rest) = bytes.split_at_checked(FIRST_LINE)?;
        let line: Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let length = usize::try_from(line.get("length")?.as_u64()?).ok()?;
        let content = rest.get(..length)?;
        let is_whole = text("sha256")? == digest(content);
        let record = match text("state")? {
            "answered" if is_whole => Record::Answered(Zeroizing::new(content.to_vec())),
            "failed" if is_whole => {
                let note: Value = serde_json::from_slice(content).ok()?;
                let text = |name: &str| note.get(name)?.as_str().map(str::to_owned);
                Record::Failed {
                    message: text("message")?,
                    help: text("help")?,
                    exit_code: u8::try_from(note.get("exit_code")?.as_u64()?).ok()?,
                    in_doubt: note.get("in_doubt")?.as_bool()?,
                    time: LocalTime(note.get("time_ms")?.as_i64()?),
                }
            }
            _ => Record::CutOff,
        };
        Some(Self {
            spent: text("spent")?.to_owned(),
            time: LocalTime(line.get("time_ms")?.as_i64()?),
            record,
        })
    }

    /// Whether it is about this refresh token.
    pub(crate) fn is_about(&self, token: &RefreshToken) -> bool {
        self.spent == digest(token.expose().as_bytes())
    }
}

/// The journal of the exchange that this run is about to make.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    spent: String,
    pub(crate) time: LocalTime,
}

impl Journal {
    /// Begins a journal, in place of one that is of no more use.
    pub(crate) fn begin(files: &Files, token: &RefreshToken) -> Result<Self, DiskError> {
        let path = &files.journal;
        let mut journal = Self {
            file: files.create(path)?,
            path: path.clone(),
            spent: digest(token.expose().as_bytes()),
            time: LocalTime::now(),
        };
        // Real bytes, not a hole: the disk must not be found full when the answer is there.
        journal.write("sending", &[b' '; ROOM]).map_err(at(path))?;
        files.sync_folder()?;
        Ok(journal)
    }

    /// Saves an answer as it came, before it is looked at.
    pub(crate) fn answered(&mut self, answer: &[u8]) -> io::Result<()> {
        self.write("answered", answer)
    }

    /// Notes a failure, for those that wait for the lock.
    pub(crate) fn failed(&mut self, error: &Error, was_in_doubt: bool) -> Result<(), DiskError> {
        let note = json!({
            "message": error.to_string(),
            "help": error.help(),
            "exit_code": error.exit_code(),
            "in_doubt": was_in_doubt || error.leaves_doubt(),
            "time_ms": LocalTime::now().0,
        });
        let note = note.to_string();
        self.write("failed", note.as_bytes()).map_err(at(&self.path))
    }

    fn write(&mut self, state: &str, content: &[u8]) -> io::Result<()> {
        let line = json!({
            "spent": self.spent,
            "time_ms": self.time.0,
            "pid": process::id(),
            "state": state,
            "length": content.len(),
            "sha256": digest(content),
        });
        let line = format!("{line:<width$}\n", line = line.to_string(), width = FIRST_LINE - 1);
        // In one piece, as a kill between two would lose the answer. The checksum tells a whole journal
        // from one that was cut off, in whatever order its blocks reach the disk.
        let mut record = Zeroizing::new(Vec::with_capacity(FIRST_LINE + content.len()));
        record.extend_from_slice(line.as_bytes());
        record.extend_from_slice(content);
        self.file.rewind()?;
        self.file.write_all(&record)?;
        self.file.sync_all()
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_journal_or_none(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = Found::parse(&bytes);
            bytes.resize(FIRST_LINE + ROOM, b' ');
            let _ = Found::parse(&bytes);
        }
    }

    fn journal() -> (tempfile::TempDir, Files, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        let journal = Journal::begin(&files, &RefreshToken::new("spent".to_owned())).unwrap();
        (folder, files, journal)
    }

    #[test]
    fn an_answer_is_whole_or_it_is_not_there() {
        let (_folder, files, mut journal) = journal();
        let answer = [b'x'; 1000];
        journal.answered(&answer).unwrap();
        let whole = fs::read(&files.journal).unwrap();
        assert_eq!(whole.len(), FIRST_LINE + ROOM, "the room is kept");
        for cut in 0..FIRST_LINE + answer.len() {
            let found = Found::parse(&whole[..cut]);
            assert!(found.is_none_or(|found| matches!(found.record, Record::CutOff)), "{cut}");
        }
        let Record::Answered(content) = Found::parse(&whole).unwrap().record else {
            panic!("not whole")
        };
        assert_eq!(*content, answer);
    }

    #[test]
    fn a_failure_is_noted_for_its_token_alone() {
        let (_folder, files, mut journal) = journal();
        journal.answered(&[b'x'; ROOM]).unwrap();
        let error = Error::Request { what: "what happened".to_owned() };
        journal.failed(&error, false).unwrap();
        let found = Found::read(&files.journal).unwrap().unwrap();
        assert!(found.is_about(&RefreshToken::new("spent".to_owned())));
        assert!(!found.is_about(&RefreshToken::new("other".to_owned())));
        assert!(
            matches!(found.record, Record::Failed { message, exit_code: 2, in_doubt: false, .. } if message == "what happened")
        );
    }
}
