//! creds.json.rotation: what is known of one refresh, written before creds.json is touched.
//!
//! It has places of a fixed size: for the first response, for a second one, for a note on a failure,
//! and for creds.json as it was. All are on the disk before anything is sent, so that to save a response
//! needs no new space. Each place has a line of a fixed length, which tells what follows it; the first
//! response takes the place of the line that says that the token may be on its way.
//!
//! It never shrinks, and nothing that has arrived is overwritten.

use crate::error::{Error, FileProblem};
use crate::platform;
use crate::store::StoreError;
use crate::store::folder::{Files, at, is_in_use, is_named};
use crate::store::lock::Lock;
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::Credentials;
use crate::tokens::journal_format::{CREDS, Entry, LARGEST, LARGEST_NOTE, LINE, NOTE, PLACES};
use crate::tokens::secret::{Digest, RefreshToken};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;
use zeroize::Zeroizing;

/// What a journal found on the disk tells.
#[derive(Debug)]
pub(crate) struct Found {
    /// The refresh token that was sent; none where the journal is damaged.
    pub(crate) spent: Option<Digest>,
    /// When the refresh began, by the local clock.
    pub(crate) time: LocalTime,
    /// The bodies of the responses, as they came, oldest first.
    pub(crate) responses: Vec<Zeroizing<Vec<u8>>>,
    pub(crate) failure: Option<Failure>,
    /// creds.json as it was before.
    pub(crate) creds: Option<Zeroizing<Vec<u8>>>,
}

/// What a run that failed said of it, for those that waited behind it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) exit_code: u8,
    /// Whether the server refused the token itself.
    pub(crate) is_refusal: bool,
    /// Whether the token may have been used all the same.
    pub(crate) in_doubt: bool,
    /// When it was given up, by the local clock.
    pub(crate) time: LocalTime,
    /// The refresh token that came, without an access token of use: it is not to be sent for a while.
    pub(crate) unused: Option<Digest>,
}

impl Found {
    /// Reads a journal; `None` where there is none. A damaged one tells of nothing, but one that only
    /// cannot be read, or understood, may hold the only copy of a pair.
    pub(crate) fn read(files: &Files, path: &Path) -> Result<Option<Self>, FileProblem> {
        match files.read(path) {
            Ok(bytes) => Self::parse(&bytes).map(Some),
            Err(FileProblem::Missing) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// Whether its run was cut off, or lost the response, with nothing received.
    pub(crate) fn leaves_doubt(&self) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.in_doubt)
    }

    fn parse(bytes: &[u8]) -> Result<Self, FileProblem> {
        let mut found = Self {
            spent: None,
            time: LocalTime::default(),
            responses: Vec::new(),
            failure: None,
            creds: None,
        };
        for place in PLACES {
            let Some(entry) = bytes.get(place..).and_then(Entry::read) else { continue };
            let text = |name: &str| entry.line.get(name).and_then(Value::as_str);
            if let Some(spent) = text("spent").and_then(Digest::parse) {
                found.spent = Some(spent);
                found.time = LocalTime(entry.line["time_ms"].as_i64().unwrap_or_default());
            }
            match (text("state"), entry.content) {
                (Some("answered"), Some(content)) => {
                    found.responses.push(Zeroizing::new(content.to_vec()));
                }
                (Some("failed"), Some(content)) => found.failure = Failure::parse(content),
                (Some("creds"), Some(content)) => {
                    found.creds = Some(Zeroizing::new(content.to_vec()));
                }
                (Some("sending" | "answered" | "failed" | "creds") | None, _) => {}
                (Some(_), _) => return Err(FileProblem::UnknownJournal),
            }
        }
        Ok(found)
    }
}

impl Failure {
    fn parse(content: &[u8]) -> Option<Self> {
        let note: Value = serde_json::from_slice(content).ok()?;
        let text = |name: &str| note.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            message: text("message")?,
            help: text("help")?,
            exit_code: u8::try_from(note.get("exit_code")?.as_u64()?).ok()?,
            is_refusal: note.get("refused").and_then(Value::as_bool).unwrap_or_default(),
            in_doubt: note.get("in_doubt")?.as_bool()?,
            time: LocalTime(note.get("time_ms")?.as_i64()?),
            unused: text("unused").as_deref().and_then(Digest::parse),
        })
    }
}

/// The journal of the refresh that this run is about to make.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    spent: Digest,
    pub(crate) time: LocalTime,
    /// How many responses it holds.
    responses: Cell<usize>,
    /// creds.json as it was, for the pair that may have to be set aside.
    creds: Zeroizing<Vec<u8>>,
}

impl Journal {
    /// Begins a journal, in place of one that is of no more use: that one stays until this one is on
    /// the disk. None if this run turns out not to be the only one, which is asked at the last moment: a
    /// journal of another run may hold a pair.
    pub(crate) fn begin(
        files: &Files,
        token: &RefreshToken,
        creds: &[u8],
        is_only: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<Option<Self>, StoreError> {
        let path = &files.journal;
        let file = files.create(files.next())?;
        platform::keep_in_place(&file);
        let journal = Self {
            file,
            path: path.clone(),
            spent: token.digest(),
            time: LocalTime::now(),
            responses: Cell::new(0),
            creds: Zeroizing::new(creds.to_vec()),
        };
        // Real bytes, not a hole: the disk must not be found full when the response is there.
        let mut bytes = journal.entry("sending", b"");
        bytes.resize(PLACES[CREDS], b' ');
        if creds.len() <= LARGEST {
            bytes.extend_from_slice(&journal.entry("creds", creds));
        }
        let written = journal.write_at(0, &bytes).map_err(at(path));
        let begun = written.and_then(|()| match is_only()? {
            true => files.put_in_place(&journal.file, path).map(|()| Some(journal)),
            false => Ok(None),
        });
        let is_others = begun.as_ref().is_err_and(StoreError::is_taken);
        if !matches!(begun, Ok(Some(_))) && !is_others {
            // Best effort: it says nothing that is true.
            let _ = files.remove(files.next());
        }
        begun
    }

    /// Begins a journal for the refresh token of `sent`, unless another program has the lock by now.
    pub(crate) fn begin_under(
        lock: &Lock,
        files: &Files,
        sent: &Credentials,
    ) -> Result<Option<Self>, StoreError> {
        let is_only = || Ok(lock.is_named()? && !is_in_use(&files.journal)?);
        match Self::begin(files, &sent.refresh_token, &sent.bytes, is_only) {
            Err(_) if !lock.is_named()? => Ok(None),
            begun => begun,
        }
    }

    /// A pair that is set aside without a journal to rename, because that one could not be written.
    pub(crate) fn save_aside(&self, files: &Files, response: &[u8]) -> Result<PathBuf, StoreError> {
        let path = files.free_set_aside_path()?;
        let file = files.create(&path)?;
        let Self { spent, time, creds, .. } = self;
        let aside = Self {
            file,
            path,
            spent: *spent,
            time: *time,
            responses: Cell::new(0),
            creds: creds.clone(),
        };
        if creds.len() <= LARGEST {
            let before = aside.entry("creds", creds);
            aside.write_at(PLACES[CREDS], &before).map_err(at(&aside.path))?;
        }
        aside.record(response).map_err(at(&aside.path))?;
        files.sync_folder()?;
        Ok(aside.path)
    }

    /// Saves a response as it came, before it is looked at.
    pub(crate) fn record(&self, response: &[u8]) -> io::Result<()> {
        let place = self.responses.get().min(NOTE - 1);
        let bytes = self.entry("answered", response);
        self.write_at(PLACES[place], &bytes)?;
        self.responses.set(self.responses.get() + 1);
        Ok(())
    }

    /// Notes a failure, for those that wait for the lock.
    pub(crate) fn note(&self, error: &Error, was_in_doubt: bool) -> Result<(), StoreError> {
        self.write_note(error, was_in_doubt || error.leaves_doubt(), None)
    }

    /// Notes why this refresh token, which has come, is not to be sent for a while.
    pub(crate) fn note_unused(&self, error: &Error, token: &Digest) -> Result<(), StoreError> {
        self.write_note(error, false, Some(token.to_string()))
    }

    fn write_note(
        &self,
        error: &Error,
        in_doubt: bool,
        unused: Option<String>,
    ) -> Result<(), StoreError> {
        let note = json!({
            "message": error.to_string(),
            "help": error.help(),
            "exit_code": error.exit_code(),
            "refused": error.is_refusal(),
            "in_doubt": in_doubt,
            "time_ms": LocalTime::now().0,
            "unused": unused,
        });
        let note = note.to_string();
        if note.len() > LARGEST_NOTE {
            return Ok(());
        }
        let bytes = self.entry("failed", note.as_bytes());
        self.write_at(PLACES[NOTE], &bytes).map_err(at(&self.path))
    }

    /// Removes the journal of a token that was not sent, unless it is another program's by now.
    pub(crate) fn withdraw(self, files: &Files) {
        if is_named(&self.file, &self.path).unwrap_or(false) {
            // Some systems keep the name of a file that is open. Elsewhere its lock keeps others away.
            let open = platform::LOCKS_ARE_ADVISORY.then_some(self.file);
            // Best effort: what stays is told as a run that was cut off.
            let _ = files.remove(&self.path);
            drop(open);
        }
    }

    fn entry(&self, state: &str, content: &[u8]) -> Zeroizing<Vec<u8>> {
        let line = json!({
            "spent": self.spent.to_string(),
            "time_ms": self.time.0,
            "pid": process::id(),
            "state": state,
            "length": content.len(),
            "sha256": Digest::of(content).to_string(),
        });
        let line = format!("{line:<width$}\n", line = line.to_string(), width = LINE - 1);
        // With room for the whole journal: nothing is copied while it grows.
        let mut entry = Zeroizing::new(Vec::with_capacity(PLACES[CREDS] + 2 * LINE + LARGEST));
        entry.extend_from_slice(line.as_bytes());
        entry.extend_from_slice(content);
        entry
    }

    /// In one piece, as a kill between two would lose the response. The checksum tells a whole one from
    /// one that was cut off, in whatever order its blocks reach the disk.
    fn write_at(&self, place: usize, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(place as u64))?;
        file.write_all(bytes)?;
        platform::sync(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::journal_format::pair_within;
    use std::fs;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_journal_or_none(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = Found::parse(&bytes);
            bytes.resize(LINE + LARGEST, b' ');
            let _ = Found::parse(&bytes);
        }
    }

    fn journal() -> (tempfile::TempDir, Files, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        let token = RefreshToken::new("spent".to_owned());
        let journal = Journal::begin(&files, &token, b"{\"as\": \"it was\"}", || Ok(true));
        let journal = journal.unwrap().unwrap();
        (folder, files, journal)
    }

    #[test]
    fn a_response_is_whole_or_it_is_not_there() {
        let (_folder, files, journal) = journal();
        let length = fs::metadata(&files.journal).unwrap().len();
        let answer = [b'x'; 1000];
        journal.record(&answer).unwrap();
        let whole = fs::read(&files.journal).unwrap();
        assert_eq!(whole.len() as u64, length, "it never shrinks or grows");
        for cut in 0..LINE + answer.len() {
            let found = Found::parse(&whole[..cut]).unwrap();
            assert!(found.responses.is_empty(), "{cut}");
        }
        let found = Found::parse(&whole).unwrap();
        assert_eq!(*found.responses[0], answer);
        assert_eq!(found.creds.unwrap().as_slice(), b"{\"as\": \"it was\"}");
        assert_eq!(pair_within(&whole).unwrap().response, answer);
    }

    #[test]
    fn nothing_that_has_arrived_is_overwritten() {
        let (_folder, files, journal) = journal();
        journal.record(&[b'1'; LARGEST]).unwrap();
        journal.record(&[b'2'; LARGEST]).unwrap();
        let error = Error::usage("what happened");
        journal.note(&error, false).unwrap();
        let found = Found::read(&files, &files.journal).unwrap().unwrap();
        assert_eq!(found.responses.len(), 2);
        for (response, byte) in found.responses.iter().zip(*b"12") {
            assert_eq!(**response, [byte; LARGEST]);
        }
        assert_eq!(found.spent, Some(Digest::of(b"spent")));
        let failure = found.failure.unwrap();
        assert_eq!(
            (failure.message.as_str(), failure.exit_code, failure.in_doubt),
            ("what happened", 2, false)
        );
        assert!(found.creds.is_some());
    }

    #[test]
    fn a_journal_that_is_withdrawn_is_gone() {
        let (_folder, files, journal) = journal();
        journal.withdraw(&files);
        assert!(!files.journal.exists());
    }

    #[test]
    fn a_journal_of_an_unknown_state_is_not_taken_for_damage() {
        let (_folder, files, _) = journal();
        let bytes = fs::read(&files.journal).unwrap();
        let text = String::from_utf8(bytes).unwrap().replacen("\"sending\"", "\"claimed\"", 1);
        fs::write(&files.journal, text).unwrap();
        assert!(matches!(Found::read(&files, &files.journal), Err(FileProblem::UnknownJournal)));
    }

    #[test]
    fn a_journal_in_use_is_told_until_its_program_has_ended() {
        let (_folder, files, journal) = journal();
        assert_eq!(is_in_use(&files.journal).unwrap(), platform::LOCKS_ARE_ADVISORY);
        drop(journal);
        assert!(!is_in_use(&files.journal).unwrap());
        assert!(!is_in_use(&files.creds).unwrap(), "no such file");
    }
}
