//! creds.json.rotation: what is known of one refresh, written before creds.json is touched.
//!
//! All its places (`tokens::journal_format`) are on the disk before anything is sent, so that to save a
//! response needs no new space. The response takes the place of the line that says that the token may be on
//! its way.
//!
//! It never shrinks, and no token that has arrived is overwritten.

use crate::error::{Error, FileProblem};
use crate::platform;
use crate::store::StoreError;
use crate::store::folder::{Files, at, is_in_use, is_named};
use crate::store::lock::Lock;
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::{Credentials, has_refresh_token};
use crate::tokens::journal_format::{CREDS, Found, LINE, NOTE, Place, RESPONSE, VERSION};
use crate::tokens::sealed::{Keeping, Kind};
use crate::tokens::secret::Digest;
use serde_json::json;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

impl Found {
    /// Reads a journal, or a pair that is set aside; `None` where there is none. A damaged one tells of
    /// nothing, but one that only cannot be read, or understood, may hold the only copy of a pair.
    pub(crate) fn read(files: &Files, path: &Path) -> Result<Option<Self>, FileProblem> {
        match files.read(path) {
            Ok(bytes) => Self::parse(&bytes).map(|found| Some(found.unwrap_or_default())),
            Err(FileProblem::Missing) => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// The journal of the refresh that this run is about to make.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    spent: Digest,
    pub(crate) time: LocalTime,
    /// creds.json as it was, for the pair that may have to be set aside.
    creds: Zeroizing<Vec<u8>>,
    /// How a response is kept: like the tokens that were sent for it.
    keeping: Keeping,
    has_tokens: Cell<bool>,
}

impl Journal {
    /// Whether there is room for what the home holds, beside the pair.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn check(sent: &Credentials) -> io::Result<()> {
        check_room(&CREDS, &before(sent))
    }

    /// Begins the journal of a refresh token, in place of one that is of no more use: that one stays until
    /// this one is on the disk. None if another program is at work: its journal may hold a pair.
    pub(crate) fn begin(lock: &Lock<'_>, sent: &Credentials) -> Result<Option<Self>, StoreError> {
        let file = lock.files.create(lock.files.next());
        let begun = file.and_then(|file| Self::of(file, lock.files, sent).put_in_place(lock));
        match begun {
            Err(error) if error.is_taken() || !lock.is_named()? => Ok(None),
            begun => begun,
        }
    }

    fn of(file: File, files: &Files, sent: &Credentials) -> Self {
        platform::keep_in_place(&file);
        Self {
            file,
            path: files.journal.clone(),
            spent: sent.refresh_token.digest(),
            time: LocalTime::now(),
            creds: before(sent),
            keeping: sent.stored.keeping().clone(),
            has_tokens: Cell::new(false),
        }
    }

    fn put_in_place(self, lock: &Lock<'_>) -> Result<Option<Self>, StoreError> {
        let (path, files) = (&self.path, lock.files);
        let written = self.write_whole("begun", b"").map_err(at(path));
        // Asked at the last moment.
        let begun = written.and_then(|()| match lock.is_named()? && !is_in_use(path)? {
            true => files.put_in_place(&self.file, path).map(|()| true),
            false => Ok(false),
        });
        let is_others = begun.as_ref().is_err_and(StoreError::is_taken);
        if !matches!(begun, Ok(true)) && !is_others {
            // Best effort: it says nothing that is true.
            let _ = files.remove(files.next());
        }
        begun.map(|is_begun| is_begun.then_some(self))
    }

    /// A pair that is set aside without a journal to rename, because that one could not be written.
    pub(crate) fn save_aside(&self, files: &Files, response: &[u8]) -> Result<PathBuf, StoreError> {
        let path = files.free_set_aside_path()?;
        let aside = Self {
            file: files.create(&path)?,
            path,
            creds: self.creds.clone(),
            keeping: self.keeping.clone(),
            has_tokens: Cell::new(true),
            ..*self
        };
        let kept = self.keeping.keep(Kind::Response, response);
        aside.write_whole("received", &kept.raw).map_err(at(&aside.path))?;
        files.sync_folder()?;
        Ok(aside.path)
    }

    /// Saves a response as it came, before it is looked at. It may take the place of one that held no tokens,
    /// after which the token was sent once more.
    pub(crate) fn record(&self, response: &[u8]) -> io::Result<()> {
        if self.has_tokens.get() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let kept = self.keeping.keep(Kind::Response, response);
        self.write_at(RESPONSE.start, &self.entry(&RESPONSE, "received", &kept.raw)?)?;
        self.has_tokens.set(has_refresh_token(response));
        Ok(())
    }

    /// Notes a failure, for those that wait for the lock. `unused`: the refresh token that has come, and is
    /// not to be sent for a while because of it.
    pub(crate) fn note(
        &self,
        error: &Error,
        was_in_doubt: bool,
        unused: Option<Digest>,
    ) -> io::Result<()> {
        let note = json!({
            "kind": error.kind().name(),
            "message": error.to_string(),
            "help": error.help(),
            "exit_code": error.exit_code(),
            "in_doubt": was_in_doubt || error.leaves_doubt(),
            "time_ms": LocalTime::now().0,
            "unused": unused.map(|token| token.to_string()),
        });
        let entry = self.entry(&NOTE, "failed", note.to_string().as_bytes())?;
        self.write_at(NOTE.start, &entry)
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

    /// The line of a place, and its content.
    fn entry(&self, place: &Place, state: &str, content: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
        let line = json!({
            "version": VERSION,
            "spent": self.spent.to_string(),
            "time_ms": self.time.0,
            "state": state,
            "length": content.len(),
            "sha256": Digest::of(content).to_string(),
        });
        let line = format!("{line:<width$}\n", line = line.to_string(), width = LINE - 1);
        check_room(place, content)?;
        // With room for the whole journal: nothing is copied while it grows.
        let mut entry = Zeroizing::new(Vec::with_capacity(CREDS.start + LINE + CREDS.room));
        entry.extend_from_slice(line.as_bytes());
        entry.extend_from_slice(content);
        Ok(entry)
    }

    /// Writes all places. Real bytes, not a hole: the disk must not be found full when the response is there.
    fn write_whole(&self, state: &str, response: &[u8]) -> io::Result<()> {
        let creds = self.entry(&CREDS, "before", &self.creds)?;
        let mut bytes = self.entry(&RESPONSE, state, response)?;
        bytes.resize(CREDS.start, b' ');
        bytes.extend_from_slice(&creds);
        self.write_at(0, &bytes)
    }

    /// In one piece, as a kill between two would lose the response. The checksum tells a whole one from
    /// one that was cut off, in whatever order its blocks reach the disk.
    fn write_at(&self, start: usize, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start as u64))?;
        file.write_all(bytes)?;
        platform::sync(&self.file)
    }
}

/// What the home holds, to be kept in the journal.
fn before(sent: &Credentials) -> Zeroizing<Vec<u8>> {
    let stored = &sent.stored;
    match Found::parse(&stored.raw) {
        // Someone has moved a pair over creds.json: it is a journal itself, which is too large.
        Ok(Some(_)) => stored.keeping().keep(Kind::Creds, stored.bytes()).raw,
        _ => stored.raw.clone(),
    }
}

fn check_room(place: &Place, content: &[u8]) -> io::Result<()> {
    let text =
        || format!("larger than {} KiB, so the journal has no room for it", place.room >> 10);
    match content.len() > place.room {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, text())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Hosts;
    use crate::tokens::journal_format::LARGEST;
    use crate::tokens::sealed::tests::keeping;
    use std::fs;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_journal_or_none(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = Found::parse(&bytes);
            bytes.resize(LINE + LARGEST, b' ');
            let _ = Found::parse(&bytes);
        }
    }

    /// A journal, and creds.json as it was.
    fn journal() -> (tempfile::TempDir, Files, Journal, Vec<u8>) {
        journal_as(&Keeping::PLAIN)
    }

    fn journal_as(keeping: &Keeping) -> (tempfile::TempDir, Files, Journal, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(&folder.path().join("creds.json"));
        // {"iss": "https://pingauth.alteryxcloud.com/as", "client_id": "id"}
        let access = "e.eyJpc3MiOiJodHRwczovL3BpbmdhdXRoLmFsdGVyeXhjbG91ZC5jb20vYXMiLCJjbGllbnRfaWQiOiJpZCJ9.s";
        let creds = json!({ "access_token": access, "refresh_token": "spent" }).to_string();
        let hosts = Hosts::parse("https://api.us1.alteryxcloud.com").unwrap();
        let stored = keeping.keep(Kind::Creds, creds.as_bytes());
        let sent = Credentials::parse(stored, &hosts).unwrap();
        Journal::check(&sent).unwrap();
        let lock = Lock::try_acquire(&files).unwrap().unwrap();
        let journal = Journal::begin(&lock, &sent).unwrap().unwrap();
        (folder, files, journal, creds.into_bytes())
    }

    fn found(files: &Files) -> Found {
        Found::read(files, &files.journal).unwrap().unwrap()
    }

    #[test]
    fn a_response_is_whole_or_it_is_not_there() {
        let (_folder, files, journal, creds) = journal();
        let length = fs::metadata(&files.journal).unwrap().len();
        assert!(found(&files).response.is_none(), "it is about to be sent");
        let answer = [b'x'; 1000];
        journal.record(&answer).unwrap();
        let whole = fs::read(&files.journal).unwrap();
        assert_eq!(whole.len() as u64, length, "it never shrinks or grows");
        for cut in 0..LINE + answer.len() {
            let found = Found::parse(&whole[..cut]).unwrap();
            assert!(found.is_none_or(|found| found.response.is_none()), "{cut}");
        }
        // Its blocks reach the disk in whatever order.
        for torn in [LINE, LINE + answer.len() - 1] {
            let mut bytes = whole.clone();
            bytes[torn] = 0;
            assert!(Found::parse(&bytes).unwrap().unwrap().response.is_none(), "{torn}");
        }
        let found = Found::parse(&whole).unwrap().unwrap();
        assert_eq!(found.response.unwrap().as_slice(), answer);
        assert_eq!(found.creds.unwrap().as_slice(), creds);
    }

    #[test]
    fn no_token_that_has_arrived_is_overwritten() {
        let (sealed, keys) = keeping();
        for keeping in [&Keeping::PLAIN, &sealed] {
            let said = |kind, raw: Option<Zeroizing<Vec<u8>>>| {
                let raw = raw.unwrap();
                let stored = keys.opener().open(&raw, kind).unwrap();
                assert_eq!(stored.keeping().sealer().is_some(), keeping.sealer().is_some());
                stored.bytes().to_vec()
            };
            assert_nothing_is_overwritten(journal_as(keeping), said);
        }
    }

    fn assert_nothing_is_overwritten(
        (_folder, files, journal, creds): (tempfile::TempDir, Files, Journal, Vec<u8>),
        said: impl Fn(Kind, Option<Zeroizing<Vec<u8>>>) -> Vec<u8>,
    ) {
        let pair = br#" {"refresh_token": "next"}"#;
        let largest = [b'x'; LARGEST];
        for (response, expected) in [
            (&b"<html>"[..], &b"<html>"[..]),
            // Nothing is lost with what holds no tokens.
            (&largest, &largest),
            (br#"{"error": "server_error"}"#, br#"{"error": "server_error"}"#),
            (pair, pair),
            (b"<html>", pair),
            (br#"{"refresh_token": "other"}"#, pair),
        ] {
            assert_eq!(journal.record(response).is_ok(), response == expected);
            assert!(said(Kind::Response, found(&files).response) == expected);
        }
        journal.note(&Error::usage("what happened"), false, None).unwrap();
        let found = found(&files);
        assert_eq!(said(Kind::Response, found.response), pair);
        assert_eq!(found.spent, Some(Digest::of(b"spent")));
        assert_eq!(said(Kind::Creds, found.creds), creds);
        // What no journal takes is saved aside.
        let path = journal.save_aside(&files, pair).unwrap();
        let aside = Found::read(&files, &path).unwrap().unwrap();
        assert_eq!(said(Kind::Response, aside.response), pair);
        assert_eq!((aside.spent, aside.time), (Some(Digest::of(b"spent")), journal.time));
        assert_eq!(said(Kind::Creds, aside.creds), creds);
        assert!(files.set_aside().unwrap().into_values().eq([path]));
    }

    #[test]
    fn a_note_tells_what_programs_decide_by() {
        let (_folder, files, journal, _) = journal();
        let place = crate::Place::from("creds.json");
        for error in [
            Error::usage("what happened"),
            Error::tokens_refused("", "no".to_owned(), &place, "", None),
            Error::auth_server_busy("", 429, None, false),
            Error::not_writable(&place, io::ErrorKind::StorageFull.into(), false),
        ] {
            journal.note(&error, true, Some(Digest::of(b"next"))).unwrap();
            let failure = found(&files).failure.unwrap();
            assert_eq!((failure.in_doubt, failure.unused), (true, Some(Digest::of(b"next"))));
            let told = failure.told();
            assert_eq!((told.kind(), told.exit_code()), (error.kind(), error.exit_code()));
            assert_eq!((told.to_string(), told.help()), (error.to_string(), error.help()));
            assert_eq!(told.needs_new_tokens(), error.needs_new_tokens());
        }
    }

    #[test]
    fn a_line_that_is_torn_hides_neither_the_token_nor_the_version() {
        let (_folder, files, journal, _) = journal();
        journal.record(br#"{"refresh_token": "next"}"#).unwrap();
        let mut bytes = fs::read(&files.journal).unwrap();
        bytes[..100].fill(0);
        let found = Found::parse(&bytes).unwrap().unwrap();
        assert_eq!((found.spent, found.response), (Some(Digest::of(b"spent")), None));
        for (version, is_older) in [("", true), ("\"version\":3,", false)] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let other = text.replace("\"version\":2,", version);
            let problem = Found::parse(other.as_bytes()).unwrap_err();
            assert!(
                matches!(problem, FileProblem::OtherVersion { is_older: it } if it == is_older)
            );
        }
    }

    #[test]
    fn a_journal_that_is_withdrawn_is_gone_but_not_that_of_another_program() {
        for is_others in [false, true] {
            let (_folder, files, journal, _) = journal();
            if is_others {
                fs::write(files.next(), "of another program").unwrap();
                // Windows does not replace what is open.
                let Ok(()) = fs::rename(files.next(), &files.journal) else { return };
            }
            journal.withdraw(&files);
            assert_eq!(files.journal.exists(), is_others);
        }
    }

    #[test]
    fn a_journal_in_use_is_told_until_its_program_has_ended() {
        let (_folder, files, journal, _) = journal();
        assert_eq!(is_in_use(&files.journal).unwrap(), platform::LOCKS_ARE_ADVISORY);
        drop(journal);
        assert!(!is_in_use(&files.journal).unwrap());
        assert!(!is_in_use(&files.creds).unwrap(), "no such file");
    }
}
