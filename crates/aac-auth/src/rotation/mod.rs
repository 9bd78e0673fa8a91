//! Keeping the tokens fresh, and never losing one: the steps of a refresh.
//!
//! A refresh token is good for one use. Its response holds the next one, and the server forgets the
//! old. So one program at a time may refresh (the lock), it must send the token that is in creds.json
//! *now* (read under the lock), and the response must be on the disk before anything else happens (the
//! journal). What the files say at each moment, what is promised and how it is tested: ROTATION.md,
//! beside this crate's Cargo.toml. What is decided from what is found stands in `recovery` and
//! `attempts`; here it is carried out.

pub(crate) mod attempts;
pub(crate) mod cancellation;
#[cfg(test)]
mod exploration;
pub(crate) mod lock;
pub(crate) mod recovery;
pub(crate) mod refresh;

use crate::config::settings::Settings;
use crate::config::text;
use crate::error::notices::Notices;
use crate::error::{Cause, Error, FileProblem, Result};
use crate::http::retry::jittered;
use crate::http::transport::Transport;
use crate::platform;
use crate::platform::signals::SignalGuard;
use crate::rotation::attempts::{Attempts, Next};
use crate::rotation::cancellation::Cancellation;
use crate::rotation::lock::{Current, Lock};
use crate::rotation::recovery::{Commit, JournalState, Now, PriorAttempt, Recovery, Saved, State};
use crate::rotation::refresh::Outcome;
use crate::store::folder::{DiskError, Files, Obstacle, Replaced, is_in_use};
use crate::store::journal::{Found, Journal};
use crate::store::spent::{Link, SpentTokens};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::{Credentials, Document, TokenResponse, lone_refresh_token};
use crate::tokens::secret::{AccessToken, Digest, RefreshToken};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a call waits for other threads and programs that refresh: longer than one may take for two
/// tokens, that of creds.json and one that was set aside.
const PATIENCE: Duration = Duration::from_secs(300);
/// When a person is told that the server takes its time.
const SLOW: Duration = Duration::from_secs(3);
/// How often the files may turn out to have changed before a call gives up: programs that take no lock
/// may change them under our feet, but not for ever.
const ROUNDS: u32 = 10;

/// The tokens in creds.json, kept fresh. Shared by the threads of a client.
#[derive(Debug)]
pub(crate) struct Rotation {
    settings: Settings,
    notices: Notices,
    holds_signals: bool,
    turns: Turns,
    /// Whether it has been said that other users can read creds.json.
    has_told_of_others: AtomicBool,
}

/// An access token to make a call with.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) token: AccessToken,
    /// Whether this very call obtained it: then there is no better one to be had.
    pub(crate) is_new: bool,
}

impl Fresh {
    fn old(credentials: Credentials) -> Self {
        Self { token: credentials.access_token, is_new: false }
    }
}

impl Rotation {
    pub(crate) fn new(settings: Settings, notices: Notices, holds_signals: bool) -> Self {
        Self {
            settings,
            notices,
            holds_signals,
            turns: Turns::default(),
            has_told_of_others: AtomicBool::new(false),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An access token that is good for a call: the one in creds.json, as long as it is fresh. This
    /// fast path takes no lock and writes nothing, so it works on a read-only disk.
    pub(crate) fn token(
        &self,
        transport: &Transport,
        cancellation: &Cancellation,
    ) -> Result<Fresh> {
        match self.read() {
            Ok(credentials) if credentials.is_fresh() => {
                self.tell_of_others();
                return Ok(Fresh::old(credentials));
            }
            Ok(_) => {}
            // Nothing can be recovered where nothing is saved, so nothing is touched.
            Err(problem)
                if !is_damage(&problem) || !Files::of(&self.settings.creds).have_saved_pair() =>
            {
                return Err(self.unusable(problem));
            }
            Err(_) => {}
        }
        self.renew(transport, None, cancellation)
    }

    /// Another access token, after the API has rejected this one though it looked fresh.
    pub(crate) fn token_instead_of(
        &self,
        rejected: &AccessToken,
        transport: &Transport,
        cancellation: &Cancellation,
    ) -> Result<Fresh> {
        self.renew(transport, Some(rejected), cancellation)
    }

    fn renew(
        &self,
        transport: &Transport,
        rejected: Option<&AccessToken>,
        cancellation: &Cancellation,
    ) -> Result<Fresh> {
        let renewal = Renewal {
            rotation: self,
            // Anew each time: a link may lead elsewhere since the last one.
            files: Files::of(&self.settings.creds),
            transport,
            rejected,
            cancellation,
            since: LocalTime::now(),
            deadline: Instant::now() + PATIENCE,
        };
        renewal.run().or_else(|error| match self.read() {
            // Renewed early, there is time left: the call need not fail for it.
            Ok(credentials)
                if credentials.is_alive() && rejected != Some(&credentials.access_token) =>
            {
                self.notices
                    .warn(format_args!("{error}; the access token is still good for a while"));
                Ok(Fresh::old(credentials))
            }
            _ => Err(error),
        })
    }

    fn unusable(&self, problem: FileProblem) -> Error {
        Error::unusable(&self.settings.creds, problem)
    }

    fn read(&self) -> Result<Credentials, FileProblem> {
        Credentials::read_settled(&self.settings.creds, &self.settings.hosts)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Credentials, FileProblem> {
        Credentials::parse(Zeroizing::new(bytes.to_vec()), &self.settings.hosts)
    }

    /// Says once that other users of this machine can use the tokens.
    fn tell_of_others(&self) {
        let creds = &self.settings.creds;
        if is_open_to_others(creds) && !self.has_told_of_others.swap(true, Ordering::Relaxed) {
            self.notices.warn(format_args!(
                "every user of this machine can read or write {creds}; make it private: chmod o-rwx {creds}",
                creds = creds.display()
            ));
        }
    }
}

/// One call's way to a fresh token, once the one in creds.json will not do.
struct Renewal<'a> {
    rotation: &'a Rotation,
    files: Files,
    transport: &'a Transport,
    /// The token that will not do, though it looks fresh.
    rejected: Option<&'a AccessToken>,
    cancellation: &'a Cancellation,
    since: LocalTime,
    /// For all waiting for others together.
    deadline: Instant,
}

/// What came of asking for the lock.
enum Turn {
    Acquired(Lock),
    /// Another run made the refresh in the meantime.
    Adopted(Fresh),
}

/// What was found under the lock.
struct Findings<'lock> {
    creds: Result<Current<'lock>, FileProblem>,
    /// The refresh token of creds.json, whether the rest of the file is usable or not; none where it is
    /// a torn write of our own.
    token: Option<RefreshToken>,
    /// What is in creds.json.
    bytes: Zeroizing<Vec<u8>>,
    journal: Option<Found>,
    /// What the journal has received, if it is of use.
    received: Option<SavedPair>,
    /// The pairs that are set aside and may be good, oldest first.
    set_aside: Vec<SavedPair>,
    /// Pairs that are set aside, and cannot be read.
    unreadable: Vec<(PathBuf, FileProblem)>,
    spent: SpentTokens,
}

/// A pair in a journal, or in one that was set aside.
struct SavedPair {
    path: PathBuf,
    spent: Digest,
    next: Digest,
    time: LocalTime,
    response: TokenResponse,
    /// creds.json as it was before.
    creds: Option<Zeroizing<Vec<u8>>>,
    /// The pair that was used for it, if that is in there.
    before: Option<Credentials>,
}

impl SavedPair {
    fn of(path: &Path, found: &Found, settings: &Settings) -> Option<Self> {
        let responses = found.responses.iter();
        let response = TokenResponse::of_any(responses, found.time, &settings.hosts)?;
        let spent = found.spent.clone()?;
        let before = found.creds.clone();
        let before = before.and_then(|creds| Credentials::parse(creds, &settings.hosts).ok());
        Some(Self {
            path: path.to_owned(),
            before: before.filter(|before| before.refresh_token.digest() == spent),
            next: response.next(&spent),
            spent,
            time: found.time,
            response,
            creds: found.creds.clone(),
        })
    }

    fn link(&self) -> Link {
        Link { spent: self.spent.clone(), next: self.next.clone(), time: self.time }
    }

    fn as_saved(&self) -> Saved<'_> {
        Saved { spent: &self.spent, next: &self.next, claims: self.claims() }
    }

    /// Whose it is: a refresh changes nothing about that.
    fn claims(&self) -> Option<&Claims> {
        let before = self.before.as_ref().map(|before| &before.claims);
        self.response.claims().or(before)
    }

    fn account(&self) -> String {
        self.claims().map_or_else(|| "unknown user".to_owned(), Claims::account)
    }

    /// Whether these bytes are a write of this pair in place that was cut off.
    fn is_torn(&self, found: &[u8]) -> bool {
        let Some(old) = &self.creds else { return false };
        let Ok(base) = Document::parse(old) else { return false };
        let new = self.merge_into(base).to_bytes();
        *found != **old && *found != **new && recovery::is_torn(found, old, &new)
    }

    /// The pair in place of the one in this document. What the response lacks is as it was before.
    fn merge_into(&self, base: Document) -> Document {
        let before = self.before.as_ref();
        let base = base.with_tokens(
            before.map(|before| &before.access_token),
            before.map(|before| &before.refresh_token),
        );
        self.response.merge_into(base, None)
    }
}

/// What came of using a token.
enum Spent {
    Saved(Fresh),
    /// Someone else put other tokens into creds.json: they are to be used.
    Superseded,
    /// The lock file was deleted before anything was sent: others do not see the lock.
    LockLost,
}

/// A response that is of use.
struct Received {
    response: TokenResponse,
    /// As it came.
    body: Zeroizing<Vec<u8>>,
    /// Whether the journal has it.
    saved: io::Result<()>,
}

impl Renewal<'_> {
    /// The steps, until there is a token.
    fn run(&self) -> Result<Fresh> {
        // One thread of this process at a time, then one program of this machine.
        let turn = self.rotation.turns.take(self.deadline).ok_or_else(|| self.waited_too_long())?;
        let mut has_waited = turn.has_waited;
        loop {
            let lock = match self.take_turn(&mut has_waited)? {
                Turn::Adopted(fresh) => return Ok(fresh),
                Turn::Acquired(lock) => lock,
            };
            let _inside = self.cancellation.enter()?;
            match self.renew_locked(&lock, has_waited) {
                Ok(Some(fresh)) => return Ok(fresh),
                Ok(None) => {}
                // Another program is at work: the lock file was deleted.
                Err(error)
                    if matches!(error.cause(), Cause::NotWritable { source, .. }
                        if source.kind() == io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
            has_waited = true;
            if Instant::now() >= self.deadline {
                return Err(self.waited_too_long());
            }
        }
    }

    /// Waits for the lock, or for the token that its holder is about to save.
    fn take_turn(&self, has_waited: &mut bool) -> Result<Turn> {
        let mut pause = Duration::from_millis(5);
        let mut has_said_so = false;
        loop {
            if let Some(fresh) = self.adopt() {
                return Ok(Turn::Adopted(fresh));
            }
            let lock = Lock::try_acquire(&self.files).map_err(not_writable);
            if let Some(lock) = lock.map_err(|error| self.as_an_earlier_run_left_it(error))? {
                return Ok(Turn::Acquired(lock));
            }
            *has_waited = true;
            if !has_said_so {
                let text = "waiting for another program that is renewing the tokens";
                self.rotation.notices.step(text);
                has_said_so = true;
            }
            if Instant::now() >= self.deadline {
                return Err(self.waited_too_long());
            }
            // std can only poll for a lock with a bound.
            thread::sleep(jittered(pause));
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    /// The error, without a claim that an earlier run may have made false.
    fn as_an_earlier_run_left_it(&self, error: Error) -> Error {
        let journal = &self.files.journal;
        match (Found::read(journal), error.into_cause()) {
            (Ok(None), cause) => cause.into(),
            (Ok(Some(found)), Cause::NotWritable { path, source, .. })
                if SavedPair::of(journal, &found, &self.rotation.settings).is_some() =>
            {
                Cause::SavedInJournal { journal: journal.clone(), creds: path, source }.into()
            }
            (_, cause) => in_doubt(cause.into()),
        }
    }

    fn waited_too_long(&self) -> Error {
        Cause::Locked { path: self.files.lock.clone(), waited: PATIENCE }.into()
    }

    /// What creds.json holds, if it is fresh and not the token that was rejected.
    fn adopt(&self) -> Option<Fresh> {
        let hosts = &self.rotation.settings.hosts;
        let credentials = Credentials::read(&self.files.creds, hosts).ok()?;
        self.is_acceptable(&credentials).then(|| Fresh::old(credentials))
    }

    fn is_acceptable(&self, credentials: &Credentials) -> bool {
        credentials.is_fresh() && self.rejected != Some(&credentials.access_token)
    }

    /// Recovers what an earlier run left, and then refreshes; none if the lock was lost.
    fn renew_locked(&self, lock: &Lock, has_waited: bool) -> Result<Option<Fresh>> {
        for _ in 0..ROUNDS {
            if !lock.is_named() {
                return Ok(None);
            }
            let found = self.look(lock)?;
            let prior = match found.decide() {
                Recovery::Nothing(prior) => prior,
                recovery => match self.recover(lock, recovery, found)? {
                    Some(fresh) => return Ok(Some(fresh)),
                    None => continue,
                },
            };
            let current = found.creds.map_err(|problem| self.rotation.unusable(problem))?;
            if self.is_acceptable(&current.credentials) {
                return Ok(Some(Fresh::old(current.credentials)));
            }
            if let Some(failure) = &prior.failure
                && recovery::is_news(failure, has_waited, self.since, LocalTime::now())
            {
                return Err(Error::noted(&failure.message, &failure.help, failure.exit_code));
            }
            let in_file = &current.credentials;
            let spent = match self.spend(lock, &current, in_file, &prior) {
                Err(error) if matches!(error.cause(), Cause::TokensRefused { .. }) => {
                    match self.has_changed(in_file) {
                        true => continue,
                        false => self.spend_set_aside(
                            lock,
                            in_file,
                            error,
                            &found.set_aside,
                            &found.unreadable,
                        )?,
                    }
                }
                spent => spent?,
            };
            match spent {
                Spent::Saved(fresh) => return Ok(Some(fresh)),
                Spent::Superseded => {}
                Spent::LockLost => return Ok(None),
            }
        }
        let changing = io::Error::other("another program keeps changing it");
        Err(self.rotation.unusable(FileProblem::Unreadable(changing)))
    }

    /// Reads all that an earlier run, or someone else, may have left.
    fn look<'lock>(&self, lock: &'lock Lock) -> Result<Findings<'lock>> {
        let Self { rotation, files, .. } = self;
        let settings = &rotation.settings;
        let journal = Found::read(&files.journal)
            .map_err(|problem| Error::unusable(&files.journal, problem))?;
        let mut creds = lock.read(files, &settings.hosts);
        if files.have_saved_pair() && matches!(creds, Err(FileProblem::Empty)) {
            // An editor empties a file before it writes what was pasted.
            creds = settled(|| lock.read(files, &settings.hosts));
        }
        let creds = match creds {
            // It may hold anything, so nothing can be judged.
            Err(problem) if !is_damage(&problem) => return Err(rotation.unusable(problem)),
            creds => creds,
        };
        let bytes = match &creds {
            Ok(current) => current.credentials.bytes.clone(),
            Err(_) => text::read(&files.creds).unwrap_or_default(),
        };
        let received =
            journal.as_ref().and_then(|found| SavedPair::of(&files.journal, found, settings));
        let creds = match received.as_ref().is_some_and(|pair| pair.is_torn(&bytes)) {
            // What a torn file seems to say is nobody's.
            true => Err(FileProblem::Torn),
            false => creds,
        };
        let token = match &creds {
            Ok(current) => Some(current.credentials.refresh_token.clone()),
            Err(FileProblem::Torn) => None,
            Err(_) => lone_refresh_token(&bytes),
        };
        let mut spent = SpentTokens::read(files).unwrap_or_else(|problem| {
            rotation.notices.warn(format_args!("{}: {problem}", files.spent.display()));
            SpentTokens::default()
        });
        let (mut set_aside, mut unreadable) = (Vec::new(), Vec::new());
        for path in files.set_aside() {
            match Found::read(&path) {
                Ok(found) => {
                    set_aside.extend(found.and_then(|found| SavedPair::of(&path, &found, settings)))
                }
                Err(problem) => unreadable.push((path, problem)),
            }
        }
        received.iter().chain(&set_aside).for_each(|pair| spent.add(pair.link()));
        // Those that were used since are of no use to anyone, nor is one that is in creds.json as well.
        let in_file = creds.as_ref().ok().map(|current| current.credentials.refresh_token.digest());
        set_aside.retain(|pair| {
            let is_kept = recovery::is_kept(&pair.as_saved(), in_file.as_ref(), &spent);
            if !is_kept {
                self.record(&pair.link());
                let _ = files.remove(&pair.path);
            }
            is_kept
        });
        Ok(Findings { creds, token, bytes, journal, received, set_aside, unreadable, spent })
    }

    /// Finishes what an earlier run left unfinished, without the network. Gives a token if its pair
    /// cannot be committed, and will do for now.
    fn recover(
        &self,
        lock: &Lock,
        recovery: Recovery,
        mut found: Findings<'_>,
    ) -> Result<Option<Fresh>> {
        let Self { rotation, files, .. } = self;
        let notices = rotation.notices;
        if !lock.is_named() {
            // The journal may be that of another run by now, whose response is on its way.
            return Ok(None);
        }
        match recovery {
            Recovery::Nothing(_) => Ok(None),
            Recovery::DropJournal => {
                if let Some(pair) = &found.received {
                    self.record(&pair.link());
                }
                if !lock.is_named() {
                    return Ok(None);
                }
                files.remove(&files.journal).map_err(not_writable)?;
                // Best effort: left by a write in place that was cut off at its end.
                let _ = files.remove(files.next());
                Ok(None)
            }
            Recovery::SetJournalAside => {
                let path = match files.set_journal_aside() {
                    // Another run was faster: the lock file was deleted.
                    Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                        return Ok(None);
                    }
                    kept => kept.map_err(not_writable)?,
                };
                if let Some(pair) = &found.received {
                    self.record(&pair.link());
                }
                notices.step(format_args!(
                    "creds.json has other tokens than the journal of an earlier run, which is kept as {}",
                    path.display()
                ));
                Ok(None)
            }
            Recovery::CommitJournal { older_copy } => {
                let Some(pair) = found.received.take() else { return Ok(None) };
                self.finish(lock, &pair, older_copy, &found)
            }
            Recovery::Restore { index, older_copy } => {
                let pair = found.set_aside.swap_remove(index);
                self.finish(lock, &pair, older_copy, &found)
            }
            Recovery::OlderCopy { since } => Err(Cause::OlderCopy {
                creds: rotation.settings.creds.clone(),
                used: since.to_string(),
                page: rotation.settings.hosts.token_page(),
            }
            .into()),
            Recovery::SeveralAccounts => {
                let pairs = found.set_aside.iter();
                Err(Cause::SeveralPairs {
                    creds: rotation.settings.creds.clone(),
                    pairs: pairs.map(|pair| (pair.path.clone(), pair.account())).collect(),
                }
                .into())
            }
            Recovery::NoTokens => match found.unreadable.pop() {
                // It may hold the only copy of a pair.
                Some((path, problem)) => Err(Error::unusable(&path, problem)),
                None => match found.creds {
                    Err(problem) => Err(rotation.unusable(problem)),
                    Ok(_) => Ok(None),
                },
            },
        }
    }

    /// Commits a pair that an earlier run has saved.
    fn finish(
        &self,
        lock: &Lock,
        pair: &SavedPair,
        older_copy: Option<LocalTime>,
        found: &Findings<'_>,
    ) -> Result<Option<Fresh>> {
        let Self { rotation, files, .. } = self;
        let notices = rotation.notices;
        let base = self.base_for(pair, found);
        let bytes = pair.merge_into(base).to_bytes();
        let restored = rotation.parse(&bytes).map_err(|problem| rotation.unusable(problem))?;
        let is_damaged = found.token.is_none()
            && !matches!(found.creds, Err(FileProblem::Torn))
            && !found.bytes.trim_ascii().is_empty();
        let committed = self
            .keep_damaged(Some(&found.bytes).filter(|_| is_damaged))
            .and_then(|()| files.replace(Some(&found.bytes), &bytes));
        match committed {
            Ok(Replaced::NotAsExpected) => return Ok(None),
            Ok(_) => {
                self.record(&pair.link());
                if !lock.is_named() {
                    return Ok(None);
                }
                // What stays is recognised by the next run as committed.
                files.remove(&pair.path).map_err(not_writable)?;
            }
            Err(DiskError { path, source }) => {
                let error =
                    Cause::SavedInJournal { journal: pair.path.clone(), creds: path, source };
                if restored.is_alive() && self.rejected != Some(&restored.access_token) {
                    notices.warn(&error);
                    return Ok(Some(Fresh::old(restored)));
                }
                return Err(error.into());
            }
        }
        let creds = rotation.settings.creds.display();
        match older_copy {
            Some(since) => notices.warn(format_args!(
                "{creds} was an older copy, whose refresh token was used on {since}; it has the newer tokens again, which were saved in {}",
                pair.path.display()
            )),
            None if pair.path != files.journal => notices.warn(format_args!(
                "{creds} held no tokens; those of {} are back in place, which were saved in {}",
                pair.account(),
                pair.path.display()
            )),
            None => notices
                .step("an earlier run was cut off; the tokens that it had saved are in place now"),
        }
        Ok(None)
    }

    /// The document that a saved pair is merged into: with as many of the other fields as are left.
    fn base_for(&self, pair: &SavedPair, found: &Findings<'_>) -> Document {
        let whole = Document::parse(&found.bytes).ok().filter(|_| !pair.is_torn(&found.bytes));
        whole.or_else(|| Document::parse(pair.creds.as_ref()?).ok()).unwrap_or_default()
    }

    /// Keeps a copy of what is of no use in creds.json, before it is replaced.
    fn keep_damaged(&self, bytes: Option<&Zeroizing<Vec<u8>>>) -> Result<(), DiskError> {
        let Some(bytes) = bytes else { return Ok(()) };
        let kept = self.files.keep_damaged(bytes)?;
        self.rotation.notices.warn(format_args!(
            "{} was damaged; what was in it is kept as {}",
            self.rotation.settings.creds.display(),
            kept.display()
        ));
        Ok(())
    }

    /// Writes to the record that a token was used. The response counts all the same.
    fn record(&self, link: &Link) {
        if let Err(DiskError { path, source }) = SpentTokens::record(&self.files, link) {
            self.rotation.notices.warn(format_args!(
                "{}: {source}; an older copy of creds.json will not be recognized",
                path.display()
            ));
        }
    }

    /// Makes the refresh, and commits its response to creds.json, which holds `in_file` now.
    fn spend(
        &self,
        lock: &Lock,
        pair: &Current<'_>,
        in_file: &Credentials,
        prior: &PriorAttempt,
    ) -> Result<Spent> {
        let Self { rotation, files, .. } = self;
        let (settings, notices) = (&rotation.settings, rotation.notices);
        let unchanged = |error| if prior.in_doubt { in_doubt(error) } else { error };
        let was_open = is_open_to_others(&files.creds);
        let rehearsed = match self.rehearse(in_file) {
            // Another run may be using the token by now.
            Err(_) if !lock.is_named() => return Ok(Spent::LockLost),
            rehearsed => rehearsed.map_err(unchanged)?,
        };
        match rehearsed {
            Replaced::NotAsExpected => return Ok(Spent::Superseded),
            Replaced::OverMount => notices.warn(format_args!(
                "{} is mounted by itself: programs that see it through another mount do not see its lock; mount its folder",
                files.creds.display()
            )),
            Replaced::ByRename | Replaced::OfAnotherUser => {}
        }
        lock.share(files);
        let spent = &pair.credentials;
        let is_held = || lock.is_named() && !is_in_use(&files.journal);
        let mut journal = match Journal::begin(files, &spent.refresh_token, &spent.bytes, is_held) {
            Ok(Some(journal)) => journal,
            Ok(None) => return Ok(Spent::LockLost),
            Err(_) if !lock.is_named() => return Ok(Spent::LockLost),
            Err(error) => return Err(unchanged(not_writable(error))),
        };
        let endpoint = &pair.credentials.token_endpoint;
        notices.step(format_args!("renewing the tokens at {endpoint}"));
        let mut guard = None;
        let asked = match self.ask(lock, pair, &mut journal, prior, &mut guard) {
            Ok(asked) => asked,
            Err(error)
                if matches!(error.cause(), Cause::AuthServerUnreachable { .. })
                    && !lock.is_named() =>
            {
                None
            }
            Err(error) => {
                // Best effort: the note spares others the question, no more.
                let _ = journal.note(&error, prior.in_doubt);
                return Err(error);
            }
        };
        let Some(Received { response, body, saved }) = asked else {
            // That an earlier run may have used the token is told by nothing else.
            if !prior.in_doubt {
                journal.withdraw(files);
            }
            return Ok(Spent::LockLost);
        };
        notices.step("the new tokens are there");
        let (spent, place) = match self.commit(&response, pair, in_file, &journal, &saved, &body) {
            Ok(spent) => (spent, settings.creds.clone()),
            Err((DiskError { path, source }, fresh)) => {
                let place = match &saved {
                    Ok(()) => files.journal.clone(),
                    Err(_) => {
                        self.save_elsewhere(&journal, &body).map_err(|_| Cause::NotSaved {
                            creds: settings.creds.clone(),
                            source: io::Error::new(source.kind(), source.to_string()),
                            page: settings.hosts.token_page(),
                        })?
                    }
                };
                notices.warn(Cause::SavedInJournal { journal: place.clone(), creds: path, source });
                (Spent::Saved(fresh), place)
            }
        };
        drop(guard);
        if was_open && !is_open_to_others(&files.creds) {
            notices.warn(format_args!(
                "other users of this machine could read or write {}; they no longer can",
                settings.creds.display()
            ));
        }
        if !response.has_access_token() && matches!(spent, Spent::Saved(_)) {
            return Err(Cause::NoAccessToken { url: endpoint.clone(), place }.into());
        }
        Ok(spent)
    }

    /// Replaces creds.json by a copy of itself while nothing is sent: a read-only folder, a full
    /// disk, an immutable file or a wrong owner shows up here, and not when the response is there.
    fn rehearse(&self, in_file: &Credentials) -> Result<Replaced> {
        let files = &self.files;
        match files.check() {
            Ok(()) => {}
            Err(Obstacle::ReadOnly) => {
                let source = io::Error::new(io::ErrorKind::PermissionDenied, "read-only");
                return Err(not_writable(DiskError { path: files.creds.clone(), source }));
            }
            Err(Obstacle::HardLink) => {
                let creds = self.rotation.settings.creds.clone();
                return Err(Cause::HardLink { creds, in_doubt: false }.into());
            }
        }
        files.replace(Some(&in_file.bytes), &in_file.bytes).map_err(not_writable)
    }

    /// Sends the token until there is a response, or none is to be had; nothing if the lock was lost
    /// before that.
    fn ask(
        &self,
        lock: &Lock,
        pair: &Current<'_>,
        journal: &mut Journal,
        prior: &PriorAttempt,
        guard: &mut Option<SignalGuard>,
    ) -> Result<Option<Received>> {
        let Self { rotation, transport, .. } = self;
        let (settings, notices) = (&rotation.settings, rotation.notices);
        let url = || pair.credentials.token_endpoint.clone();
        if rotation.holds_signals {
            notices.remark("Ctrl-C waits until the new tokens are saved");
            SignalGuard::prepare();
        }
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let mut lost: Option<(String, Option<u16>)> = None;
        let mut spendable = pair.to_spend();
        loop {
            let is_first = !attempts.is_in_doubt();
            let before = || {
                // Until now a signal ends the run, and the lock with it.
                if rotation.holds_signals && guard.is_none() {
                    *guard = Some(SignalGuard::new());
                }
                // Once the token is out, the journal's own lock keeps others away.
                !is_first || lock.is_named()
            };
            let patience =
                notices.after(SLOW, "waiting for the authorization server, for up to two minutes");
            let deadline = start + attempts.deadline();
            let outcome = spendable.send(transport, deadline, before, |body| journal.record(body));
            drop(patience);
            // What follows if the token can be sent again, and the error if it cannot.
            let (outcome, error, unsent, again) = match outcome {
                Outcome::Withheld => return Ok(None),
                Outcome::NotSent { trouble, spendable } => {
                    let outcome = attempts::Outcome::NotSent { is_lasting: trouble.is_lasting() };
                    let in_doubt = prior.in_doubt;
                    let error = Cause::AuthServerUnreachable { url: url(), trouble, in_doubt };
                    (outcome, error, Some(spendable), None)
                }
                Outcome::Busy { status, wait, spendable } => {
                    let error = Cause::AuthServerBusy {
                        url: url(),
                        status,
                        wait,
                        in_doubt: prior.in_doubt,
                    };
                    (attempts::Outcome::Busy { wait }, error, Some(spendable), None)
                }
                Outcome::InvalidGrant { message } => {
                    let earlier = || "an earlier run was cut off, or lost the response".into();
                    let lost = lost.map(|(what, _)| what.into_boxed_str());
                    let lost = lost.or_else(|| prior.in_doubt.then(earlier));
                    return Err(Cause::TokensRefused {
                        url: url(),
                        message: message.into(),
                        creds: settings.creds.clone(),
                        page: settings.hosts.token_page().into(),
                        lost,
                        set_aside: Box::default(),
                    }
                    .into());
                }
                Outcome::Refused { status, message } => {
                    let error = Cause::RefreshRefused {
                        url: url(),
                        status,
                        message,
                        in_doubt: prior.in_doubt,
                    };
                    (attempts::Outcome::Refused, error, None, None)
                }
                Outcome::Received { body, saved, what, again } => {
                    let hosts = &settings.hosts;
                    if let Some(response) = TokenResponse::parse(&body, journal.time, hosts) {
                        return Ok(Some(Received { response, body, saved }));
                    }
                    let error = self.lost((what, None), pair);
                    (attempts::Outcome::InDoubt { wait: None }, error, None, Some(again))
                }
                Outcome::InDoubt { what, status, wait, again } => {
                    let error = self.lost((what, status), pair);
                    (attempts::Outcome::InDoubt { wait }, error, None, Some(again))
                }
            };
            let next = attempts.next(outcome, start.elapsed());
            if !attempts.is_in_doubt() {
                // Nothing is on its way: a signal that came meanwhile ends the run now.
                *guard = None;
            }
            if let Cause::ResponseLost { what, status, .. } = &error {
                lost = Some((what.clone(), *status));
            }
            let error = match &lost {
                // That an earlier attempt may have used the token is the graver news.
                Some(lost) if !matches!(error, Cause::ResponseLost { .. }) => {
                    self.lost(lost.clone(), pair)
                }
                _ => error,
            };
            let (Next::SendAfter(pause), Some(unsent)) =
                (next, unsent.or_else(|| again.map(|again| again.once_more())))
            else {
                return Err(error.into());
            };
            notices.step(format_args!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
            thread::sleep(pause);
            spendable = unsent;
        }
    }

    fn lost(&self, (what, status): (String, Option<u16>), pair: &Current<'_>) -> Cause {
        let settings = &self.rotation.settings;
        Cause::ResponseLost {
            url: pair.credentials.token_endpoint.clone(),
            what,
            status,
            creds: settings.creds.clone(),
            page: settings.hosts.token_page(),
        }
    }

    /// Puts the response into creds.json, unless someone put other tokens there meanwhile: those stay.
    fn commit(
        &self,
        response: &TokenResponse,
        pair: &Current<'_>,
        in_file: &Credentials,
        journal: &Journal,
        saved: &io::Result<()>,
        body: &[u8],
    ) -> Result<Spent, (DiskError, Fresh)> {
        let Self { rotation, files, .. } = self;
        let sent = &pair.credentials.refresh_token;
        let spent = sent.digest();
        let link = Link { next: response.next(&spent), spent, time: journal.time };
        let before = in_file.refresh_token.digest();
        // Whoever writes between two looks of ours is heard, but not for ever: as long as the file
        // has the token that is used up, or none, there is nothing to lose in it.
        let mut patience = 5;
        loop {
            patience -= 1;
            let now = match rotation.read() {
                Err(FileProblem::Empty) if saved.is_ok() => settled(|| rotation.read()),
                now => now,
            };
            let found = match &now {
                Ok(now) => now.bytes.clone(),
                Err(problem) if !is_damage(problem) => {
                    // It may hold anything, so it is not ours to overwrite.
                    self.give_way(journal, saved, body, &link);
                    return Ok(Spent::Superseded);
                }
                Err(_) => text::read(&files.creds).unwrap_or_default(),
            };
            let token = match &now {
                Ok(now) => Some(now.refresh_token.digest()),
                Err(_) => lone_refresh_token(&found).map(|token| token.digest()),
            };
            let state = match &token {
                Some(token) => Now::Token(token),
                None if found.trim_ascii().is_empty() => Now::Nothing,
                None => Now::Damaged,
            };
            let decided = recovery::commit(state, &before);
            if decided == Commit::GiveWay {
                self.give_way(journal, saved, body, &link);
                return Ok(Spent::Superseded);
            }
            let base = match &now {
                Ok(now) => &now.bytes,
                Err(_) => &in_file.bytes,
            };
            let base = Document::parse(base).unwrap_or_default();
            let bytes = response.merge_into(base, Some(sent)).to_bytes();
            let damaged = Some(&found).filter(|_| decided == Commit::KeepDamagedAndWrite);
            let expected = Some(found.as_slice()).filter(|_| patience > 0);
            let mut replaced =
                self.keep_damaged(damaged).and_then(|()| files.replace(expected, &bytes));
            if replaced.is_err() && saved.is_err() && damaged.is_none() {
                // Torn or not, it is one of the last places left.
                if files.overwrite(&bytes).is_ok() {
                    replaced = Ok(Replaced::OverMount);
                }
            }
            if matches!(replaced, Ok(Replaced::NotAsExpected)) {
                continue;
            }
            let token = match rotation.parse(&bytes) {
                Ok(pair) => pair.access_token,
                // It was made of parts that were checked.
                Err(_) => in_file.access_token.clone(),
            };
            let fresh = Fresh { token, is_new: true };
            return match replaced {
                Ok(_) => {
                    self.record(&link);
                    // Best effort: what stays is recognised as done with by the next run.
                    let _ = files.remove(&files.journal);
                    let creds = rotation.settings.creds.display();
                    rotation.notices.step(format_args!("the new tokens are saved in {creds}"));
                    Ok(Spent::Saved(fresh))
                }
                Err(error) => Err((error, fresh)),
            };
        }
    }

    /// Leaves creds.json to whoever has written it, and keeps the response beside it.
    fn give_way(&self, journal: &Journal, saved: &io::Result<()>, body: &[u8], link: &Link) {
        let kept = match saved {
            // A journal that stays is judged by the next run.
            Ok(()) => self.files.set_journal_aside(),
            Err(_) => self.save_elsewhere(journal, body),
        };
        match kept {
            Ok(_) => self.record(link),
            Err(_) if saved.is_ok() => {}
            Err(DiskError { path, source }) => self.rotation.notices.warn(format_args!(
                "{}: {source}; the tokens that were renewed are lost, but creds.json has other ones by now",
                path.display()
            )),
        }
    }

    /// Saves a response that the journal did not take, in a file of its own.
    fn save_elsewhere(&self, journal: &Journal, body: &[u8]) -> Result<PathBuf, DiskError> {
        let path = self.files.free_set_aside_path();
        journal.write_aside(&path, &self.files, body)?;
        Ok(path)
    }

    /// Whether creds.json gets another refresh token within two seconds: a program that takes no lock
    /// may have used ours, and be about to save what it got for it.
    fn has_changed(&self, refused: &Credentials) -> bool {
        let start = Instant::now();
        loop {
            let now = Credentials::read(&self.files.creds, &self.rotation.settings.hosts);
            if now.is_ok_and(|now| now.refresh_token != refused.refresh_token) {
                return true;
            }
            if start.elapsed() > Duration::from_secs(2) {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tries the pairs of the same account that were set aside, newest first, once creds.json's own is
    /// dead. Those of other accounts are named: to switch is for the user to decide.
    fn spend_set_aside(
        &self,
        lock: &Lock,
        in_file: &Credentials,
        mut refused: Error,
        pairs: &[SavedPair],
        unreadable: &[(PathBuf, FileProblem)],
    ) -> Result<Spent> {
        let Self { rotation, files, .. } = self;
        let mut others = Vec::new();
        for pair in pairs.iter().rev() {
            if !recovery::may_replace(&pair.as_saved(), &in_file.claims) {
                others.push((pair.path.clone(), pair.account()));
                continue;
            }
            let merged = Document::parse(&in_file.bytes)
                .map(|base| pair.merge_into(base).to_bytes())
                .and_then(|bytes| rotation.parse(&bytes));
            let Ok(credentials) = merged else { continue };
            rotation.notices.warn(format_args!(
                "the refresh token in {} is refused; trying the one that was set aside in {}",
                rotation.settings.creds.display(),
                pair.path.display()
            ));
            let current = lock.current(credentials);
            // No journal is left that would tell whether an earlier run has used it.
            let prior = PriorAttempt { in_doubt: true, failure: None };
            match self.spend(lock, &current, in_file, &prior) {
                // Dead as well, so there is nothing to keep.
                Err(error) if matches!(error.cause(), Cause::TokensRefused { .. }) => {
                    self.record(&pair.link());
                    let _ = files.remove(&pair.path);
                }
                Ok(Spent::Saved(fresh)) => {
                    self.record(&pair.link());
                    let _ = files.remove(&pair.path);
                    return Ok(Spent::Saved(fresh));
                }
                other => return other,
            }
        }
        others.extend(unreadable.iter().map(|(path, problem)| (path.clone(), problem.to_string())));
        if let Cause::TokensRefused { set_aside, .. } = refused.cause_mut() {
            *set_aside = others.into();
        }
        Err(refused)
    }
}

impl Findings<'_> {
    fn decide(&self) -> Recovery {
        let creds = self.token.as_ref().map(RefreshToken::digest);
        let set_aside: Vec<_> = self.set_aside.iter().map(SavedPair::as_saved).collect();
        let journal = match (&self.journal, &self.received) {
            (None, _) => JournalState::None,
            (Some(_), Some(pair)) => JournalState::Received {
                pair: pair.as_saved(),
                is_in_creds: (self.creds.as_ref())
                    .is_ok_and(|current| pair.response.is_in(&current.credentials)),
            },
            (Some(found), None) => JournalState::Unanswered {
                spent: found.spent.as_ref(),
                failure: found.failure.as_ref(),
            },
        };
        let owner = match self.token {
            Some(_) => None,
            None => Claims::within(&String::from_utf8_lossy(&self.bytes)),
        };
        recovery::decide(&State {
            creds: creds.as_ref(),
            owner: owner.as_ref(),
            journal,
            set_aside: &set_aside,
            spent: &self.spent,
        })
    }
}

/// One thread at a time.
#[derive(Debug, Default)]
struct Turns {
    is_taken: Mutex<bool>,
    free: Condvar,
}

/// A thread's turn, which ends when this is dropped, be it by a panic.
struct TurnGuard<'a> {
    turns: &'a Turns,
    /// Whether another thread had to end first.
    has_waited: bool,
}

impl Turns {
    /// Waits for this thread's turn; none if it does not come until the deadline.
    fn take(&self, deadline: Instant) -> Option<TurnGuard<'_>> {
        let mut is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has_waited = *is_taken;
        while *is_taken {
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.free.wait_timeout(is_taken, left);
            is_taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Some(TurnGuard { turns: self, has_waited })
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        *self.turns.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.turns.free.notify_one();
    }
}

/// Reads creds.json until it is no longer empty, for two seconds: there is no event to wait for.
fn settled<T>(read: impl Fn() -> Result<T, FileProblem>) -> Result<T, FileProblem> {
    let start = Instant::now();
    loop {
        match read() {
            Err(FileProblem::Empty) if start.elapsed() < Duration::from_secs(2) => {}
            result => return result,
        }
    }
}

fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| platform::is_open_to_others(&metadata))
}

/// Whether what is wrong with creds.json may be the work of a crash or of another program, so that
/// the journal counts.
fn is_damage(problem: &FileProblem) -> bool {
    !matches!(problem, FileProblem::Unreadable(_) | FileProblem::NotAFile | FileProblem::TooLarge)
}

fn not_writable(DiskError { path, source }: DiskError) -> Error {
    Cause::NotWritable { path, source, in_doubt: false }.into()
}

/// The error of a run that has sent nothing, after one that may have.
fn in_doubt(error: Error) -> Error {
    match error.into_cause() {
        Cause::NotWritable { path, source, .. } => {
            Cause::NotWritable { path, source, in_doubt: true }.into()
        }
        Cause::HardLink { creds, .. } => Cause::HardLink { creds, in_doubt: true }.into(),
        cause => cause.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_wait_for_one_another_do_not_add_up_their_patience() {
        let turns = Turns::default();
        let holder = turns.take(Instant::now()).unwrap();
        assert!(!holder.has_waited);
        let patience = Duration::from_millis(200);
        let deadline = Instant::now() + patience;
        let waited: Vec<_> = thread::scope(|scope| {
            let wait = || turns.take(deadline).map(|guard| guard.has_waited);
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(waited, [None; 8], "all of them gave up");
        assert!(Instant::now() < deadline + 8 * patience, "and not one after the other");
        drop(holder);
        assert!(turns.take(Instant::now()).is_some(), "the turn is free again");
    }

    #[test]
    fn a_turn_ends_with_a_panic() {
        let turns = Turns::default();
        let ended = thread::scope(|scope| {
            let panic = || {
                let _turn = turns.take(Instant::now());
                panic!("on purpose")
            };
            scope.spawn(panic).join()
        });
        assert!(ended.is_err());
        assert!(turns.take(Instant::now()).is_some());
    }
}
