//! Keeping the tokens fresh, and never losing one: the steps of an exchange.
//!
//! A refresh token is good for one exchange. Its answer holds the next one, and the server forgets
//! the old. So one program at a time may exchange (the lock), it must send the token that is in
//! creds.json *now* (read under the lock), and the answer must be on the disk before anything else
//! happens (the journal). What the files say at each moment, what is promised and how it is tested:
//! ROTATION.md, beside this crate's Cargo.toml.

use crate::claims::LocalTime;
use crate::credentials::{Answer, Credentials, Document, lone_refresh_token};
use crate::disk::{DiskError, Files, Replaced};
use crate::error::{Error, Problem, Result};
use crate::exchange::Outcome;
use crate::gate::Gate;
use crate::journal::{Found, Journal, Record};
use crate::lock::{Current, Lock};
use crate::notices::Notices;
use crate::platform;
use crate::retry::jittered;
use crate::secret::AccessToken;
use crate::settings::Settings;
use crate::signals::Held;
use crate::text;
use crate::wire::Wire;
use std::io;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Longer than any holder may take: it has [`EXCHANGE`] for the server, and the rest for the disk.
const LOCK_WAIT: Duration = Duration::from_secs(150);
/// For all tries of an exchange together.
const EXCHANGE: Duration = Duration::from_secs(100);
/// The longest wait that a server may ask for and get.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a failure counts for those who waited behind it, in milliseconds.
const NOTE_COUNTS: i64 = 60_000;

/// The tokens in creds.json, kept fresh. Shared by the threads of a client.
#[derive(Debug)]
pub(crate) struct Rotation {
    files: Files,
    settings: Settings,
    notices: Notices,
    holds_signals: bool,
    turn: Mutex<()>,
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

/// What came of asking for the lock.
enum Turn {
    Mine {
        lock: Lock,
        /// Since when this run has waited for it, if it had to.
        waited_since: Option<LocalTime>,
    },
    /// Another run made the exchange in the meantime.
    Adopted(Fresh),
}

/// What an earlier run left in the journal about the token that is to be spent.
#[derive(Default)]
struct Left {
    /// It was cut off when it may have been sending, or the answer was lost.
    in_doubt: bool,
    /// It failed, and said this.
    failed: Option<(LocalTime, Error)>,
}

/// What came of spending a token.
enum Spent {
    Saved(Fresh),
    /// Someone else put other tokens into creds.json: they are to be used.
    Overtaken,
}

impl Rotation {
    pub(crate) fn new(settings: Settings, notices: Notices, holds_signals: bool) -> Self {
        let files = Files::of(&settings.creds);
        Self { files, settings, notices, holds_signals, turn: Mutex::default() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An access token that is good for a call: the one in creds.json, as long as it is fresh. This
    /// fast path takes no lock and writes nothing, so it works on a read-only disk.
    pub(crate) fn token(&self, wire: &Wire, gate: &Gate) -> Result<Fresh> {
        match self.read() {
            Ok(credentials) if credentials.is_fresh() => return Ok(Fresh::old(credentials)),
            Ok(_) => {}
            // Nothing can be recovered where there is no journal, so nothing is touched.
            Err(problem) if !is_damage(&problem) || !self.files.have_journal() => {
                return Err(self.unusable(problem));
            }
            Err(_) => {}
        }
        self.renew(wire, None, gate)
    }

    /// Another access token, after the API has rejected this one though it looked fresh.
    pub(crate) fn token_instead_of(
        &self,
        rejected: &AccessToken,
        wire: &Wire,
        gate: &Gate,
    ) -> Result<Fresh> {
        self.renew(wire, Some(rejected), gate)
    }

    fn unusable(&self, problem: Problem) -> Error {
        Error::file(&self.settings.creds, problem)
    }

    fn read(&self) -> Result<Credentials, Problem> {
        Credentials::read_settled(&self.files.creds, &self.settings.hosts)
    }

    /// What creds.json holds, if it is fresh and not the token that was rejected.
    fn adopt(&self, rejected: Option<&AccessToken>) -> Option<Fresh> {
        let credentials = Credentials::read(&self.files.creds, &self.settings.hosts).ok()?;
        is_acceptable(&credentials, rejected).then(|| Fresh::old(credentials))
    }

    fn renew(&self, wire: &Wire, rejected: Option<&AccessToken>, gate: &Gate) -> Result<Fresh> {
        // A thread that panicked in here left files behind that any run can go on from.
        let since = LocalTime::now();
        let (_turn, has_waited) = match self.turn.try_lock() {
            Ok(turn) => (turn, false),
            Err(TryLockError::Poisoned(poisoned)) => (poisoned.into_inner(), false),
            Err(TryLockError::WouldBlock) => {
                (self.turn.lock().unwrap_or_else(PoisonError::into_inner), true)
            }
        };
        let renewed = match self.take_turn(rejected, since, has_waited) {
            Ok(Turn::Adopted(fresh)) => Ok(fresh),
            Ok(Turn::Mine { lock, waited_since }) => gate
                .enter()
                .and_then(|_inside| self.renew_locked(wire, &lock, rejected, waited_since)),
            Err(error) => Err(error),
        };
        renewed.or_else(|error| match self.read() {
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

    /// Waits for the lock, or for the token that its holder is about to save.
    fn take_turn(
        &self,
        rejected: Option<&AccessToken>,
        since: LocalTime,
        mut has_waited: bool,
    ) -> Result<Turn> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(5);
        let mut has_said_so = false;
        loop {
            if let Some(fresh) = self.adopt(rejected) {
                return Ok(Turn::Adopted(fresh));
            }
            if let Some(lock) = Lock::try_acquire(&self.files).map_err(nothing_spent)? {
                return Ok(Turn::Mine { lock, waited_since: has_waited.then_some(since) });
            }
            has_waited = true;
            if !has_said_so {
                self.notices.step("waiting for another program that is renewing the tokens");
                has_said_so = true;
            }
            if start.elapsed() > LOCK_WAIT {
                return Err(Error::Locked {
                    path: self.files.lock.clone(),
                    waited: start.elapsed(),
                });
            }
            // std can only poll for a lock with a bound.
            thread::sleep(jittered(pause));
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }

    fn renew_locked(
        &self,
        wire: &Wire,
        lock: &Lock,
        rejected: Option<&AccessToken>,
        waited_since: Option<LocalTime>,
    ) -> Result<Fresh> {
        // Programs that take no lock may change the file under our feet, but not for ever.
        const ROUNDS: u32 = 5;
        let deadline = Instant::now() + EXCHANGE;
        for _ in 0..ROUNDS {
            let left = match self.recover(lock, rejected)? {
                Recovered::Usable(fresh) => return Ok(fresh),
                Recovered::Left(left) => left,
                Recovered::Again => continue,
            };
            let current = lock
                .read(&self.files, &self.settings.hosts)
                .map_err(|problem| self.unusable(problem))?;
            if is_acceptable(&current.credentials, rejected) {
                return Ok(Fresh::old(current.credentials));
            }
            // Whoever waited behind a failure reports it, instead of asking the server again.
            if let (Some((time, error)), Some(since)) = (left.failed, waited_since)
                && time >= since
                && LocalTime::now().0.saturating_sub(time.0) < NOTE_COUNTS
            {
                return Err(error);
            }
            match self.spend(wire, &current, &current.credentials, left.in_doubt, deadline) {
                Ok(Spent::Saved(fresh)) => return Ok(fresh),
                Ok(Spent::Overtaken) => {}
                Err(error @ Error::TokensRefused { .. }) => {
                    if self.has_changed(&current.credentials) {
                        continue;
                    }
                    match self.spend_old(wire, lock, &current.credentials, error, deadline)? {
                        Spent::Saved(fresh) => return Ok(fresh),
                        Spent::Overtaken => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(self
            .unusable(Problem::Unreadable(io::Error::other("another program keeps changing it"))))
    }

    /// Finishes what an earlier run left unfinished, without the network.
    fn recover(&self, lock: &Lock, rejected: Option<&AccessToken>) -> Result<Recovered> {
        let nothing = Recovered::Left(Left::default());
        let journal = &self.files.journal;
        let found = Found::read(journal).map_err(|problem| Error::file(journal, problem))?;
        let current = match lock.read(&self.files, &self.settings.hosts) {
            // It may hold anything, so nothing can be judged.
            Err(problem) if !is_damage(&problem) => return Err(self.unusable(problem)),
            current => current,
        };
        let in_file = match &current {
            Ok(current) => Some(current.credentials.refresh_token.clone()),
            Err(_) => lone_refresh_token(&self.files.creds),
        };
        let Some(found) = found else {
            if in_file.is_none() && self.files.have_journal() {
                // creds.json is destroyed, and what it had overtaken is all there is.
                self.files.take_up_old_journal().map_err(nothing_spent)?;
                return Ok(Recovered::Again);
            }
            return Ok(nothing);
        };
        let is_about_current = in_file.as_ref().is_none_or(|token| found.is_about(token));
        let answer = match found.record {
            Record::Answered(ref body) => Answer::parse(body, found.time, &self.settings.hosts),
            Record::CutOff => None,
            Record::Failed { message, help, exit_code, in_doubt, time } => {
                let failed = Some((time, Error::Noted { message, help, exit_code }));
                return Ok(match is_about_current {
                    true => Recovered::Left(Left { in_doubt, failed }),
                    false => nothing,
                });
            }
        };
        let Some(answer) = answer else {
            return Ok(Recovered::Left(Left { in_doubt: is_about_current, failed: None }));
        };
        match &current {
            // Cut off after the commit.
            Ok(current) if answer.is_in(&current.credentials) => {
                self.files.remove(journal).map_err(nothing_spent)?;
                // Best effort: left by a commit in place that was cut off at its end.
                let _ = self.files.remove(self.files.unfinished());
                Ok(nothing)
            }
            // Someone pasted new tokens, rotated without the lock, or restored an old copy.
            _ if !is_about_current => {
                self.files.set_journal_aside().map_err(nothing_spent)?;
                self.notices.step(
                    "creds.json has other tokens than the journal of an earlier run; they are used",
                );
                Ok(nothing)
            }
            current => {
                let (old, base) = match current {
                    Ok(Current { credentials: Credentials { bytes, .. }, .. }) => {
                        (Some(bytes.clone()), Document::parse(bytes).unwrap_or_default())
                    }
                    Err(_) => {
                        (text::read(&self.files.creds).ok(), self.unfinished_document(&answer))
                    }
                };
                self.finish(answer, old, base, rejected)
            }
        }
    }

    /// The document of a commit in place that was cut off, if it is this one's.
    fn unfinished_document(&self, answer: &Answer) -> Document {
        let Ok(bytes) = text::read(self.files.unfinished()) else {
            return Document::default();
        };
        let document = Document::parse(&bytes).unwrap_or_default();
        match Credentials::parse(bytes, &self.settings.hosts) {
            Ok(credentials) if answer.is_in(&credentials) => document,
            _ => Document::default(),
        }
    }

    /// Commits what an earlier run has left in the journal.
    fn finish(
        &self,
        answer: Answer,
        old: Option<Zeroizing<Vec<u8>>>,
        base: Document,
        rejected: Option<&AccessToken>,
    ) -> Result<Recovered> {
        let bytes = answer.merge_into(base, None).to_bytes();
        let pair = Credentials::parse(Zeroizing::clone(&bytes), &self.settings.hosts)
            .map_err(|problem| self.unusable(problem))?;
        let old = old.as_ref().map(|bytes| bytes.as_slice());
        let committed = match self.files.replace(old, &bytes) {
            Ok(Replaced::NotAsExpected) => return Ok(Recovered::Again),
            Ok(_) => self.files.remove(&self.files.journal),
            Err(error) => Err(error),
        };
        match committed {
            Ok(()) => {
                self.notices.step(
                    "an earlier run was cut off; the tokens that it had saved are in place now",
                );
                Ok(Recovered::Again)
            }
            Err(DiskError { path, source }) => {
                let error = Error::SavedInJournal {
                    journal: self.files.journal.clone(),
                    creds: path,
                    source,
                };
                if pair.is_alive() && rejected != Some(&pair.access_token) {
                    self.notices.warn(&error);
                    return Ok(Recovered::Usable(Fresh::old(pair)));
                }
                Err(error)
            }
        }
    }

    /// Makes the exchange, and commits its answer to creds.json, which holds `in_file` now.
    fn spend(
        &self,
        wire: &Wire,
        pair: &Current<'_>,
        in_file: &Credentials,
        in_doubt: bool,
        deadline: Instant,
    ) -> Result<Spent> {
        match self.rehearse(in_file).map_err(nothing_spent)? {
            Replaced::NotAsExpected => return Ok(Spent::Overtaken),
            Replaced::InPlace => self.notices.warn(format_args!(
                "{} is mounted by itself: programs that see it through another mount do not see its lock; mount its folder",
                self.files.creds.display()
            )),
            Replaced::ByRename => {}
        }
        let mut journal =
            Journal::begin(&self.files, &pair.credentials.refresh_token).map_err(nothing_spent)?;
        let endpoint = &pair.credentials.token_endpoint;
        self.notices.step(format_args!("renewing the tokens at {endpoint}"));
        let held = self.holds_signals.then(|| {
            self.notices
                .remark("Ctrl-C waits until the new tokens are saved; a second one does not");
            Held::begin()
        });
        let (answer, saved) =
            match self.ask(wire, pair, &mut journal, in_doubt, held.as_ref(), deadline) {
                Ok(answered) => answered,
                Err(error) => {
                    // Best effort: the note spares others the question, no more.
                    let _ = journal.failed(&error, in_doubt);
                    return Err(error);
                }
            };
        self.notices.step("the new tokens are there");
        let has_access_token = answer.has_access_token;
        let spent = match self.commit(answer, pair, in_file, saved.is_ok()) {
            Ok(spent) => spent,
            Err((DiskError { path, source }, fresh)) => {
                let creds = self.files.creds.clone();
                if let Err(source) = saved {
                    return Err(Error::NotSaved {
                        creds,
                        source,
                        page: self.settings.hosts.token_page(),
                    });
                }
                let journal = self.files.journal.clone();
                self.notices.warn(Error::SavedInJournal { journal, creds: path, source });
                Spent::Saved(fresh)
            }
        };
        if !has_access_token && matches!(spent, Spent::Saved(_)) {
            let url = pair.credentials.token_endpoint.clone();
            return Err(Error::NoAccessToken { url, creds: self.files.creds.clone() });
        }
        Ok(spent)
    }

    /// Replaces creds.json by a copy of itself while nothing is spent: a read-only folder, a full
    /// disk, an immutable file or a wrong owner shows up here, and not when the answer is there.
    fn rehearse(&self, in_file: &Credentials) -> Result<Replaced, DiskError> {
        if let Some(model) = self.files.model() {
            if model.permissions().readonly() {
                let source = io::Error::new(io::ErrorKind::PermissionDenied, "read-only");
                return Err(DiskError { path: self.files.creds.clone(), source });
            }
            if platform::links(&model) > 1 {
                self.notices.warn(format_args!(
                    "{} has another name (a hard link), which keeps the old tokens",
                    self.files.creds.display()
                ));
            }
        }
        self.files.replace(Some(&in_file.bytes), &in_file.bytes)
    }

    /// Sends the token until there is an answer, or none is to be had. Gives the answer, and whether
    /// the journal has it.
    fn ask(
        &self,
        wire: &Wire,
        pair: &Current<'_>,
        journal: &mut Journal,
        was_in_doubt: bool,
        held: Option<&Held>,
        deadline: Instant,
    ) -> Result<(Answer, io::Result<()>)> {
        let url = || pair.credentials.token_endpoint.clone();
        let mut connect_pauses = [500, 1000, 2000].into_iter().map(Duration::from_millis);
        let mut may_wait = true;
        let mut doubt: Option<(String, Option<u16>)> = None;
        let mut spendable = pair.to_spend();
        // Who wants to stop need not wait for another try, as long as nothing is spent.
        let is_to_stop = |doubt: &Option<_>| doubt.is_none() && held.is_some_and(Held::is_pending);
        loop {
            let (lost, again) = match spendable.send(wire, deadline) {
                Outcome::NotSent { trouble, spendable: unsent } => {
                    match connect_pauses.next() {
                        Some(pause)
                            if !trouble.is_lasting()
                                && !is_to_stop(&doubt)
                                && Instant::now() + pause < deadline =>
                        {
                            self.notices.step(format_args!(
                                "{trouble}; trying again in {:.1} s",
                                pause.as_secs_f64()
                            ));
                            thread::sleep(pause)
                        }
                        _ => {
                            return Err(self.unless_in_doubt(
                                doubt,
                                pair,
                                Error::NotAsked { url: url(), trouble },
                            ));
                        }
                    }
                    spendable = unsent;
                    continue;
                }
                Outcome::Busy { status, wait, spendable: unspent } => {
                    let pause = wait.unwrap_or(Duration::from_secs(1));
                    if !may_wait
                        || is_to_stop(&doubt)
                        || pause > PATIENCE
                        || Instant::now() + pause >= deadline
                    {
                        let error = Error::AskLater { url: url(), status, wait };
                        return Err(self.unless_in_doubt(doubt, pair, error));
                    }
                    may_wait = false;
                    self.notices.step(format_args!(
                        "the server is busy; trying again in {:.1} s",
                        pause.as_secs_f64()
                    ));
                    thread::sleep(pause);
                    spendable = unspent;
                    continue;
                }
                Outcome::InvalidGrant { message } => {
                    let earlier = || "an earlier run was cut off, or told so".to_owned();
                    let lost = doubt.map(|(what, _)| what).or_else(|| was_in_doubt.then(earlier));
                    let (creds, page) =
                        (self.settings.creds.clone(), self.settings.hosts.token_page());
                    return Err(Error::TokensRefused { url: url(), message, creds, page, lost });
                }
                Outcome::Refused { status, message } => {
                    let error = Error::ExchangeRefused { url: url(), status, message };
                    return Err(self.unless_in_doubt(doubt, pair, error));
                }
                Outcome::Answered { body, again } => {
                    let saved = journal.answered(&body);
                    if let Some(answer) = Answer::parse(&body, journal.time, &self.settings.hosts) {
                        return Ok((answer, saved));
                    }
                    (("the answer holds no usable tokens".to_owned(), None), again)
                }
                Outcome::InDoubt { what, status, again } => ((what, status), again),
            };
            if doubt.is_some() {
                return Err(self.lost(lost, pair));
            }
            doubt = Some(lost);
            thread::sleep(Duration::from_secs(1));
            spendable = again.once_more();
        }
    }

    /// The error, unless an earlier try may have spent the token: that is the graver news.
    fn unless_in_doubt(
        &self,
        doubt: Option<(String, Option<u16>)>,
        pair: &Current<'_>,
        error: Error,
    ) -> Error {
        match doubt {
            Some(lost) => self.lost(lost, pair),
            None => error,
        }
    }

    fn lost(&self, (what, status): (String, Option<u16>), pair: &Current<'_>) -> Error {
        Error::AnswerLost {
            url: pair.credentials.token_endpoint.clone(),
            what,
            status,
            creds: self.settings.creds.clone(),
            page: self.settings.hosts.token_page(),
        }
    }

    /// Puts the answer into creds.json, unless someone put other tokens there meanwhile: those stay.
    fn commit(
        &self,
        answer: Answer,
        pair: &Current<'_>,
        in_file: &Credentials,
        is_saved: bool,
    ) -> Result<Spent, (DiskError, Fresh)> {
        // Whoever writes between two lines of ours is heard, but not for ever: as long as the file
        // has the token that is spent, or none, there is nothing to lose in it.
        let mut patience = 5;
        loop {
            patience -= 1;
            let now = self.read();
            let (old, base) = match &now {
                Ok(now) if now.refresh_token != in_file.refresh_token => return Ok(self.give_way()),
                Ok(now) => (Some(now.bytes.as_slice()).filter(|_| patience > 0), &now.bytes),
                // Someone put tokens there that can't be used as they are: not ours to throw away.
                Err(_)
                    if lone_refresh_token(&self.files.creds)
                        .is_some_and(|token| token != in_file.refresh_token) =>
                {
                    return Ok(self.give_way());
                }
                // Someone destroyed the file while we held its next content.
                Err(_) => (None, &in_file.bytes),
            };
            let base = Document::parse(base).unwrap_or_default();
            let sent = &pair.credentials.refresh_token;
            let bytes = answer.merge_into(base, Some(sent)).to_bytes();
            let mut replaced = self.files.replace(old, &bytes);
            if replaced.is_err() && !is_saved {
                // Torn or not, it is the last place left.
                replaced = self.files.overwrite(&bytes);
            }
            if matches!(replaced, Ok(Replaced::NotAsExpected)) {
                continue;
            }
            let token = match Credentials::parse(bytes, &self.settings.hosts) {
                Ok(pair) => pair.access_token,
                // It was made of parts that were checked.
                Err(_) => in_file.access_token.clone(),
            };
            let fresh = Fresh { token, is_new: true };
            return match replaced {
                Ok(_) => {
                    // Best effort, both: what stays is recognised as done with by the next run.
                    let _ = self.files.remove(&self.files.journal);
                    let _ = self.files.remove(&self.files.old_journal);
                    let creds = self.files.creds.display();
                    self.notices.step(format_args!("the new tokens are saved in {creds}"));
                    Ok(Spent::Saved(fresh))
                }
                Err(error) => Err((error, fresh)),
            };
        }
    }

    /// Leaves creds.json to whoever has written it, and keeps the answer beside it.
    fn give_way(&self) -> Spent {
        // Best effort: a journal that stays is judged by the next run.
        let _ = self.files.set_journal_aside();
        Spent::Overtaken
    }

    /// Whether creds.json gets another refresh token within two seconds: a program that takes no lock
    /// may have spent ours, and be about to save what it got for it.
    fn has_changed(&self, refused: &Credentials) -> bool {
        let start = Instant::now();
        loop {
            let now = Credentials::read(&self.files.creds, &self.settings.hosts);
            if now.is_ok_and(|now| now.refresh_token != refused.refresh_token) {
                return true;
            }
            if start.elapsed() > Duration::from_secs(2) {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tries the pair of a journal that creds.json had overtaken, once creds.json's own is dead.
    fn spend_old(
        &self,
        wire: &Wire,
        lock: &Lock,
        in_file: &Credentials,
        refused: Error,
        deadline: Instant,
    ) -> Result<Spent> {
        let Some(pair) = self.old_pair(in_file) else { return Err(refused) };
        self.notices.step(
            "creds.json's own tokens are refused; trying those that an earlier run had set aside",
        );
        self.spend(wire, &lock.current(pair), in_file, false, deadline).map_err(|error| {
            if !matches!(error, Error::TokensRefused { .. }) {
                return error;
            }
            // Dead as well, so there is nothing to keep.
            let _ = self.files.remove(&self.files.old_journal);
            refused
        })
    }

    fn old_pair(&self, in_file: &Credentials) -> Option<Credentials> {
        let found = Found::read(&self.files.old_journal).ok()??;
        let Record::Answered(body) = found.record else { return None };
        let answer = Answer::parse(&body, found.time, &self.settings.hosts)?;
        let merged = answer.merge_into(Document::parse(&in_file.bytes).ok()?, None).to_bytes();
        Credentials::parse(merged, &self.settings.hosts).ok()
    }
}

/// What was found, and done, about the journal of an earlier run.
enum Recovered {
    /// Its pair could not be committed, but its access token will do for now.
    Usable(Fresh),
    /// Nothing that stands in the way of going on.
    Left(Left),
    /// The files are others now: look at them again.
    Again,
}

fn is_acceptable(credentials: &Credentials, rejected: Option<&AccessToken>) -> bool {
    credentials.is_fresh() && rejected != Some(&credentials.access_token)
}

/// Whether what is wrong with creds.json may be the work of a crash or of another program, so that
/// the journal counts.
fn is_damage(problem: &Problem) -> bool {
    !matches!(problem, Problem::Unreadable(_) | Problem::NotAFile)
}

fn nothing_spent(DiskError { path, source }: DiskError) -> Error {
    Error::NotWritable { path, source }
}
