//! Carries out the steps of a refresh on a home: it decides nothing.
//!
//! What to do, the machine says ([`Refresh`]). There are three scopes, since the right to send borrows from
//! the lock: the call, the lock and the token in use. Each hands back what is not its own.

use crate::error::notices::{Notices, warn};
use crate::error::vault::VaultProblem;
use crate::error::{Error, FileProblem, Result};
use crate::http::retry::jittered;
use crate::http::transport::Transport;
use crate::platform::signals::SignalGuard;
use crate::rotation::attempts::{self, Outcome};
use crate::rotation::findings;
use crate::rotation::machine::{
    self, Access, Bounds, Deadline, Do, End, Kept, Pair, Refresh, Seen, Told, Until,
};
use crate::rotation::recovery::{Now, Saved};
use crate::rotation::refresh;
use crate::rotation::spendable::{Current, Spendable};
use crate::rotation::told::{Findings, Met, Received};
use crate::rotation::{Fresh, Rotation};
use crate::store::file_store::not_writable;
use crate::store::folder::Files;
use crate::store::home::{Ending, Home, HomeKind, Locked};
use crate::store::journal::Journal;
use crate::store::lock::Lock;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::Claimed;
use crate::store::{Content, Replaced, StoreError};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use crate::tokens::sealed::{Keeping, Kind, Opener, Stored};
use crate::tokens::secret::{AccessToken, Digest};
use std::cell::Cell;
use std::io;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a program without the lock may take to save what it got for a token that is refused now.
const CHANGING: Duration = Duration::from_secs(2);
/// When a person is told that the server takes its time.
const SLOW: Duration = Duration::from_secs(3);
const WAITING: &str = "waiting for the authorization server, for up to two minutes";
/// The same where signals are held: only then does anyone wonder about Ctrl-C.
const HELD: &str = "waiting for the authorization server, for up to two minutes; Ctrl-C waits until the new tokens are saved";

type Run = Refresh<Digest>;
pub(super) type Came = machine::Came<'static, Digest>;

/// One call's way to a fresh token, once the one in the home will not do.
pub(super) struct Call<'a> {
    pub(super) rotation: &'a Rotation,
    pub(super) home: &'a Home<'a>,
    pub(super) opener: Opener<'a>,
    pub(super) transport: &'a Transport,
    /// The token that will not do, though it looks fresh.
    pub(super) rejected: Option<&'a AccessToken>,
    pub(super) since: LocalTime,
    /// For all waiting for others together.
    pub(super) deadline: Instant,
}

/// An effect that is not this one's to carry out, or an answer without what it takes. Nothing more is done.
fn unexpected() -> Came {
    debug_assert!(false, "a step that cannot be carried out here");
    Came::Failed
}

impl Call<'_> {
    /// From the first look to the end.
    pub(super) fn run(&self, has_waited: bool) -> Result<Fresh> {
        // Programs that take no lock may change the files under our feet, but not for ever.
        let bounds = Bounds { home: self.home.kind(), rounds: Some(10), looks: Some(100) };
        let mut run = Run::new(bounds, has_waited);
        let (mut met, mut found) = (Met::default(), Findings::default());
        let (first, longest) = self.home.pauses();
        let mut pause = first;
        let mut has_said_so = false;
        loop {
            let came = match run.doing() {
                Do::Read => {
                    let mut now = self.home.read();
                    if self.opener.wants_keys() {
                        self.opener.fetch();
                        now = self.home.read();
                    }
                    let now = now.ok().filter(|now| self.will_do(now));
                    met.fresh = now.map(Fresh::old);
                    let (holder, is_saved_here) = self.home.holder();
                    Came::Read { will_do: met.fresh.is_some(), holder, is_saved_here }
                }
                Do::Lock { .. } => match self.home.lock() {
                    Ok(Some(locked)) => {
                        pause = first;
                        run.next(Came::Done);
                        let (run, met) = (&mut run, &mut met);
                        found = Held { call: self, locked: &locked, run, met }.drive();
                        continue;
                    }
                    Ok(None) => Came::Taken,
                    Err(error) => met.failed(error),
                },
                Do::Wait(Until::Turn) => {
                    if !mem::replace(&mut has_said_so, true) {
                        self.notices()
                            .step("waiting for another program that is refreshing the tokens");
                    }
                    if Instant::now() >= self.deadline {
                        Came::TimeIsUp
                    } else {
                        // std can only poll for a lock with a bound.
                        thread::sleep(jittered(pause));
                        pause = (pause * 2).min(longest);
                        Came::Done
                    }
                }
                // All else that was held is dropped by now.
                Do::LetGo => {
                    met.guard = None;
                    Came::Done
                }
                Do::FetchKeys => {
                    met.guard = None;
                    self.opener.fetch();
                    Came::Done
                }
                Do::End(end) => return self.end(end, found, met),
                _ => unexpected(),
            };
            run.next(came);
        }
    }

    pub(super) fn notices(&self) -> Notices {
        self.rotation.notices
    }

    /// Whether a token is fresh, and not the one that was rejected.
    fn will_do(&self, credentials: &Credentials) -> bool {
        credentials.is_fresh() && self.rejected != Some(&credentials.access_token)
    }

    pub(super) fn page(&self) -> String {
        self.rotation.settings.hosts.token_page()
    }
}

/// What is done under the lock.
struct Held<'a> {
    call: &'a Call<'a>,
    locked: &'a Locked<'a>,
    run: &'a mut Run,
    met: &'a mut Met,
}

impl Held<'_> {
    fn drive(mut self) -> Findings {
        let mut found = Findings::default();
        let mut sent = None;
        loop {
            let came = match self.run.doing() {
                Do::Look => match self.look() {
                    _ if self.call.opener.wants_keys() => Came::KeysWanted,
                    Ok(new) => {
                        self.met.fresh = None;
                        self.judge(&new);
                        found = new;
                        continue;
                    }
                    Err(error) => self.met.failed(error),
                },
                Do::Wait(Until::Changed) => match self.has_changed(&found) {
                    true => Came::NotAsExpected,
                    false => Came::TimeIsUp,
                },
                Do::KeepDamaged(kept) => match self.restored(kept, &found) {
                    Ok((pair, restored)) => match self.keep_damaged(&found.content) {
                        Ok(()) => Came::Done,
                        Err(error) => self.not_restored(pair, restored, error),
                    },
                    Err(error) => self.met.failed(error),
                },
                Do::Replace { what, .. } => self.restore(what, &found),
                Do::Rehearse { token, .. } => {
                    sent = self.credentials(token, &found);
                    self.rehearse(sent.as_ref(), &found)
                }
                Do::Begin { .. } => match sent.take() {
                    Some(sent) => {
                        self.begin(sent, &found);
                        continue;
                    }
                    None => unexpected(),
                },
                Do::Prove => match self.locked.is_current() {
                    Ok(true) => Came::Done,
                    Ok(false) => Came::NotAsExpected,
                    Err(error) => self.met.failed(error),
                },
                Do::Refuse => {
                    if let (Ok(in_home), Some(refused)) = (&found.content.pair, &self.met.refused) {
                        self.locked.end_claim(&in_home.refresh_token, Ending::Dead(refused));
                    }
                    Came::Done
                }
                Do::End(End { if_held: true, .. }) => match self.without_lock() {
                    Some(came) => came,
                    None => return found,
                },
                doing => match self.beside(doing, &found, None) {
                    Some(came) => came,
                    None => return found,
                },
            };
            self.run.next(came);
        }
    }

    /// The files beside the home, where they can be written.
    fn files(&self) -> Option<&Files> {
        self.locked.lock().ok().map(|lock| lock.files)
    }

    /// What comes of an effect that wants the lock, if others do not see it any more.
    fn without_lock(&mut self) -> Option<Came> {
        match self.locked.is_held() {
            Ok(true) => None,
            Ok(false) => Some(Came::LockLost),
            Err(error) => Some(self.met.failed(error)),
        }
    }

    /// What changes something beside the home alone. `own`: when the refresh began whose pair is meant.
    fn beside(
        &mut self,
        doing: Do<Digest>,
        found: &Findings,
        own: Option<LocalTime>,
    ) -> Option<Came> {
        let notices = self.call.notices();
        let Ok(&Lock { files, .. }) = self.locked.lock() else {
            let is_own = matches!(doing, Do::Record(_) | Do::Remove { .. } | Do::SetAside { .. });
            return is_own.then_some(Came::Done);
        };
        // The pair of an earlier run goes because the home has it, by whatever run.
        if let Do::Remove { if_held: true, .. } = doing
            && let Err(error) = self.locked.sync()
        {
            return Some(self.met.failed(not_writable(error)));
        }
        if let Do::Remove { if_held: true, .. } | Do::SetAside { if_held: true } = doing
            && let Some(came) = self.without_lock()
        {
            return Some(came);
        }
        let done = match doing {
            Do::Record(Pair { spent, next }) => {
                let saved = found.saved.received.iter().chain(&found.saved.set_aside);
                let mut links = saved.map(SavedPair::link);
                let known = links.find(|link| link.spent == spent && link.next == next);
                let time = known.map(|link| link.time).or(own).unwrap_or_else(LocalTime::now);
                let recorded = SpentTokens::record(files, &Link { spent, next, time });
                recorded.inspect_err(|StoreError { place, source }| {
                    warn(format_args!(
                        "{place}: {source}; an older copy of creds.json will not be recognized"
                    ));
                })
            }
            Do::Remove { what: Kept::Journal(_), if_held } => {
                let removed = files.remove(&files.journal);
                if if_held && removed.is_ok() {
                    // Best effort: left by a write in place that was cut off at its end.
                    let _ = files.remove(files.next());
                }
                removed
            }
            Do::Remove { what, .. } => match found.pair(what) {
                Some(pair) => files.remove(&pair.path),
                None => return Some(Came::NotThere),
            },
            Do::SetAside { if_held } => match files.set_journal_aside() {
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                    return Some(Came::NotThere);
                }
                Ok(path) if if_held => {
                    notices.step(format_args!(
                        "creds.json has other tokens than the journal of an earlier run, which is kept as {}",
                        path.display()
                    ));
                    Ok(())
                }
                kept => kept.map(drop),
            },
            _ => return None,
        };
        Some(match done {
            Ok(()) => Came::Done,
            Err(error) => self.met.failed(not_writable(error)),
        })
    }

    /// Reads all that an earlier run, or someone else, may have left.
    fn look(&self) -> Result<Findings> {
        let files = self.files();
        let hosts = &self.call.rotation.settings.hosts;
        let in_files = files.unwrap_or(self.call.home.files());
        let mut saved = SavedPairs::read(in_files, hosts, self.call.opener);
        if let Some(obstacle) = saved.obstacle(files.is_some()) {
            return Err(obstacle);
        }
        if let (Some(files), Some(problem)) = (files, &saved.record_problem) {
            warn(format_args!("{}: {problem}", files.spent.display()));
        }
        // An editor empties a file before it writes what was pasted.
        let is_patient = files.is_some_and(|files| files.have_saved_pair());
        let mut content = self.locked.read(is_patient)?;
        if files.is_none() {
            saved = saved.about(content.digest().as_ref());
        }
        if saved.received.as_ref().is_some_and(|pair| pair.is_torn(&content.stored)) {
            // What a torn file seems to say is nobody's.
            content.pair = Err(FileProblem::Torn);
            content.token = None;
        }
        Ok(Findings { content, saved })
    }

    /// Has the machine judge what was found.
    fn judge(&mut self, Findings { content, saved }: &Findings) {
        let set_aside: Vec<_> = saved.set_aside.iter().map(Saved::from).collect();
        let pair = content.pair.as_ref();
        let access = pair.ok().map(|pair| match self.call.will_do(pair) {
            true => Access::WillDo,
            false => Access::Stale,
        });
        let is_torn = matches!(pair, Err(FileProblem::Torn));
        self.run.next(machine::Came::Looked(Seen {
            state: findings::state(content, saved, &set_aside),
            access,
            account: pair.ok().and_then(|pair| pair.claims.account_digest()),
            in_doubt: content.in_doubt,
            is_damaged: !is_torn && matches!(findings::now(content), Now::Damaged),
            running_for: LocalTime::now().0.saturating_sub(self.call.since.0),
        }));
    }

    /// Whether the home gets another refresh token: a program that takes no lock may have used ours, and be
    /// about to save what it got for it.
    fn has_changed(&self, found: &Findings) -> bool {
        let start = Instant::now();
        let (mut pause, longest) = self.call.home.pauses();
        loop {
            let now = self.call.home.read().ok().map(|now| now.refresh_token.digest());
            if now.is_some() && now != found.content.digest() {
                return true;
            }
            if start.elapsed() > CHANGING {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    fn keep_damaged(&self, content: &Content) -> Result<(), StoreError> {
        let Some(files) = self.files() else { return Ok(()) };
        let kept = files.keep_damaged(&content.stored.raw)?;
        warn(format_args!(
            "{} was damaged; what was in it is kept as {}",
            self.call.home.place(),
            kept.display()
        ));
        Ok(())
    }

    /// A saved pair with as many of the other fields as are left. One that is of no use stays where it is:
    /// other settings may do it justice.
    fn restored<'f>(
        &self,
        kept: Kept<Digest>,
        found: &'f Findings,
    ) -> Result<(&'f SavedPair, Credentials)> {
        let pair = found.pair(kept).ok_or_else(|| self.call.changing())?;
        let stored = &found.content.stored;
        let whole = Document::parse(stored.bytes()).ok();
        let whole = whole.filter(|it| !it.has_sealed() && !pair.is_torn(stored));
        let before = || Document::parse(pair.creds.as_ref()?.bytes()).ok();
        let merged = pair.merge_into(whole.or_else(before).unwrap_or_default());
        let restored = self.parse(merged, stored, &pair.keeping);
        restored.map(|it| (pair, it)).map_err(|problem| self.call.unusable(problem))
    }

    /// A document that is to be in the home, or to be sent, as it is kept there: sealed if what the home holds is, or
    /// the pair in it was.
    fn parse(
        &self,
        document: Document,
        in_home: &Stored,
        keeping: &Keeping,
    ) -> Result<Credentials, FileProblem> {
        let keeping = match self.call.home.kind() {
            HomeKind::File => in_home.keeping().or(keeping),
            HomeKind::Vault => Keeping::PLAIN,
        };
        let stored = keeping.keep(Kind::Creds, &document.to_bytes());
        Credentials::parse(stored, &self.call.rotation.settings.hosts)
    }

    /// Puts a pair that an earlier run has saved into the home.
    fn restore(&mut self, kept: Kept<Digest>, found: &Findings) -> Came {
        let (pair, restored) = match self.restored(kept, found) {
            Ok(restored) => restored,
            Err(error) => return self.met.failed(error),
        };
        if let Some(came) = self.without_lock() {
            return came;
        }
        let content = &found.content;
        match self.locked.replace(&content.stored.raw, &restored.stored.raw, false, None) {
            Ok(Replaced::Done) => {}
            Ok(replaced) => return came_of(replaced),
            Err(error) => return self.not_restored(pair, restored, error),
        }
        let (notices, creds, path) = (self.call.notices(), self.call.home.place(), &pair.path);
        let is_aside = matches!(kept, Kept::Aside(_));
        let older = content.digest().filter(|token| *token != pair.spent || is_aside);
        match older.and_then(|token| found.saved.spent.used_since(token)) {
            Some(since) => warn(format_args!(
                "{creds} was an older copy, whose refresh token was used on {since}; the newer tokens, which were saved in {}, have been restored",
                path.display()
            )),
            None if is_aside => warn(format_args!(
                "{creds} held no tokens; those of {}, which were saved in {}, have been restored",
                pair.account(),
                path.display()
            )),
            None => notices.step(
                "an earlier run was interrupted; the tokens that it saved have been restored",
            ),
        }
        Came::Done
    }

    /// The pair stays where it is saved; its token may do for now.
    fn not_restored(
        &mut self,
        pair: &SavedPair,
        restored: Credentials,
        StoreError { place, source }: StoreError,
    ) -> Came {
        let error = Error::saved_in_journal(&(&pair.path).into(), &place, source);
        if !restored.is_alive() || self.call.rejected == Some(&restored.access_token) {
            return self.met.failed(error);
        }
        warn(&error);
        self.met.fresh = Some(Fresh::old(restored));
        Came::Failed
    }

    /// The pair of this token: the home's, or one that was set aside.
    fn credentials(&self, token: Digest, found: &Findings) -> Option<Credentials> {
        let hosts = &self.call.rotation.settings.hosts;
        let stored = &found.content.stored;
        if found.content.digest() == Some(token) {
            return Credentials::parse(stored.clone(), hosts).ok();
        }
        let pair = found.saved.set_aside.iter().rfind(|pair| pair.next == token)?;
        let merged = pair.merge_into(Document::parse(stored.bytes()).ok()?);
        let credentials = self.parse(merged, stored, &pair.keeping).ok()?;
        warn(format_args!(
            "the refresh token in {} is refused; trying the one that was set aside in {}",
            self.call.home.place(),
            pair.path.display()
        ));
        Some(credentials)
    }

    fn rehearse(&mut self, sent: Option<&Credentials>, found: &Findings) -> Came {
        let (Some(sent), Ok(in_home)) = (sent, &found.content.pair) else { return Came::NotThere };
        let rehearsed = match Journal::check(sent) {
            Ok(()) => self.locked.rehearse(in_home, sent),
            Err(source) => Err(not_writable(StoreError { place: self.call.home.place(), source })),
        };
        match rehearsed {
            Ok(replaced) => came_of(replaced),
            Err(error) if error.is_refusal() => {
                if in_home.refresh_token == sent.refresh_token {
                    self.met.refused = Some(error);
                }
                Came::InvalidGrant
            }
            Err(error) => self.met.failed(error),
        }
    }

    /// Begins the journal, and uses the token.
    fn begin(&mut self, sent: Credentials, found: &Findings) {
        let begun = self.locked.lock().and_then(|lock| Journal::begin(lock, &sent));
        let (journal, came, problem) = match begun {
            Ok(Some(journal)) => (Some(journal), Came::Done, None),
            Ok(None) => (None, Came::LockLost, None),
            Err(error) => {
                let problem = format!("{}: {}", error.place, error.source);
                (None, self.met.failed(not_writable(error)), Some(problem))
            }
        };
        if let Do::Send(_) | Do::HoldSignals = self.run.next(came) {
            if let Some(problem) = problem {
                let text = format_args!("{problem}; the tokens are refreshed without a journal");
                self.call.notices().step(text);
            }
            let time = journal.as_ref().map_or_else(LocalTime::now, |journal| journal.time);
            let current = Current::of(sent, self.locked);
            let spendable = Some(current.to_spend());
            let (call, locked, run, met) = (self.call, self.locked, &mut *self.run, &mut *self.met);
            let held = Held { call, locked, run, met };
            let (claimed, start, lost, now) = Default::default();
            Using { held, found, journal, time, current, spendable, claimed, start, lost, now }
                .drive();
        }
    }
}

fn came_of(replaced: Replaced) -> Came {
    match replaced {
        Replaced::Done => Came::Done,
        Replaced::NotAsExpected => Came::NotAsExpected,
        Replaced::LockLost => Came::LockLost,
    }
}

/// A token in use.
struct Using<'a> {
    held: Held<'a>,
    found: &'a Findings,
    /// None where the folder of a vault's pointer cannot be written.
    journal: Option<Journal>,
    /// When the refresh began, by the local clock.
    time: LocalTime,
    current: Current<'a>,
    spendable: Option<Spendable<'a>>,
    /// When the token was about to be claimed.
    claimed: Option<Claimed>,
    /// When it was first connected for it.
    start: Option<Instant>,
    /// When the response was lost, and what happened to it.
    lost: Option<(Instant, String)>,
    /// What the home held before the commit.
    now: Option<Content>,
}

impl Using<'_> {
    fn drive(mut self) {
        let call = self.held.call;
        if call.rotation.holds_signals {
            SignalGuard::prepare();
        }
        self.held.met.lost = None;
        loop {
            let came = match self.held.run.doing() {
                // Of a token that is claimed: else it is held from within the send.
                Do::HoldSignals => {
                    self.held.met.guard = call.rotation.holds_signals.then(SignalGuard::new);
                    Came::Done
                }
                Do::FreeSignals => {
                    self.held.met.guard = None;
                    Came::Done
                }
                Do::Claim(deadline) => self.claim(deadline),
                Do::Withdraw { keeps_journal } => {
                    let journal = self.journal.take().filter(|_| !keeps_journal);
                    if let (Some(journal), Some(files)) = (journal, self.held.files()) {
                        journal.withdraw(files);
                    }
                    self.end_claim(Ending::Unsent);
                    Came::Done
                }
                Do::Send(deadline) => match self.send(deadline) {
                    Some(came) => came,
                    // It was withheld.
                    None => continue,
                },
                Do::Wait(Until::Paused(pause, deadline)) => {
                    // A signal ends the run once what is prepared is undone.
                    let is_ending = self.lost.is_none() && SignalGuard::is_pending();
                    if is_ending || Instant::now() + pause >= self.until(deadline) {
                        Came::TimeIsUp
                    } else {
                        let Met { lost, last, .. } = &*self.held.met;
                        if let Some(error) = lost.as_ref().or(last.as_ref()) {
                            let seconds = pause.as_secs_f64();
                            let text = format_args!("{error}; trying again in {seconds:.1} s");
                            call.notices().step(text);
                        }
                        thread::sleep(pause);
                        Came::Done
                    }
                }
                Do::LookAgain => {
                    call.notices().step("received the new tokens");
                    self.now = self.held.locked.read(self.held.run.is_saved()).ok();
                    self.now.as_ref().map_or(Came::Failed, |now| Came::Now(findings::now(now)))
                }
                Do::KeepDamaged(_) => {
                    match self.now.as_ref().map(|it| self.held.keep_damaged(it)) {
                        Some(Ok(())) => Came::Done,
                        Some(Err(error)) => self.held.met.not_taken(error),
                        None => unexpected(),
                    }
                }
                Do::Replace { is_only_copy, .. } => self.commit(is_only_copy),
                Do::SaveAside => self.save_aside(),
                Do::Note { told, in_doubt } => {
                    if told == Told::TooSlow {
                        let (place, problem) = (call.home.place(), VaultProblem::too_slow());
                        self.held.met.last = Some(Error::vault(&place, &problem, false));
                    }
                    let Met { lost, last, .. } = &*self.held.met;
                    if let Some(error) = if told == Told::Lost { lost } else { last } {
                        // Best effort: the note spares others the question, no more.
                        drop(self.journal.as_ref().map(|it| it.note(error, in_doubt, None)));
                        self.end_claim(Ending::Failed(error));
                    }
                    Came::Done
                }
                Do::NoteUnused { token } => {
                    let unused = self.unused();
                    if let (Some(error), Some(journal)) = (unused, &self.journal) {
                        let _ = journal.note(&error, false, Some(token));
                    }
                    Came::Done
                }
                Do::Close => {
                    self.held.met.guard = None;
                    self.held.run.next(Came::Done);
                    return;
                }
                doing => match self.held.beside(doing, self.found, Some(self.time)) {
                    Some(came) => came,
                    None => return,
                },
            };
            self.held.run.next(came);
        }
    }

    fn claim(&mut self, deadline: Deadline) -> Came {
        let token = &self.current.credentials.refresh_token;
        let can_wait = self.found.content.pair.as_ref().is_ok_and(Credentials::is_alive);
        match self.held.locked.claim(token, self.claimed.is_none(), can_wait) {
            Ok(Some(claimed)) => {
                if self.claimed.is_none() && self.journal.is_none() {
                    self.time = LocalTime::now();
                }
                self.claimed = Some(claimed);
                if Instant::now() < self.until(deadline) { Came::Done } else { Came::TimeIsUp }
            }
            Ok(None) => Came::LockLost,
            Err(error) => self.held.met.failed(error),
        }
    }

    fn end_claim(&self, ending: Ending<'_>) {
        self.held.locked.end_claim(&self.current.credentials.refresh_token, ending);
    }

    /// A first deadline counts from the first connection.
    fn until(&self, deadline: Deadline) -> Instant {
        match (deadline, &self.lost) {
            (Deadline::Second, Some((at, _))) => *at + attempts::SECOND,
            _ => self.start.unwrap_or_else(Instant::now) + attempts::FIRST,
        }
    }

    fn tell_of_sending(&self) {
        let (notices, sent) = (self.held.call.notices(), &self.current.credentials);
        let endpoint = &sent.token_endpoint;
        if !sent.is_issuer_familiar {
            warn(format_args!(
                "the refresh token goes to {endpoint}, which is not a known authorization server"
            ));
        }
        notices.step(format_args!("refreshing the tokens at {endpoint}"));
    }

    /// Sends the token, and has its response saved; none if it was withheld. From within, the machine is asked
    /// for what comes before the first byte leaves, and once the response is there.
    fn send(&mut self, deadline: Deadline) -> Option<Came> {
        let Some(token) = self.spendable.take() else { return Some(unexpected()) };
        if self.start.is_none() {
            self.tell_of_sending();
            self.start = Some(Instant::now());
        }
        let until = self.until(deadline);
        let (call, journal, time) = (self.held.call, self.journal.as_ref(), self.time);
        let Rotation { holds_signals, settings, .. } = call.rotation;
        let text = if *holds_signals { HELD } else { WAITING };
        let patience = call.notices().after(SLOW, || Some(text.to_owned()));
        let in_doubt = self.held.run.is_in_doubt();
        let (guard, run) = (&mut self.held.met.guard, Cell::from_mut(&mut *self.held.run));
        let next = |came| {
            let mut now = run.get();
            let doing = now.next(came);
            run.set(now);
            doing
        };
        let may_leave = || {
            let claimed = self.claimed.map(|claimed| claimed.elapsed());
            let is_ending = SignalGuard::is_pending();
            let mut doing = next(Came::Connected { claimed, is_ending });
            if doing == Do::HoldSignals {
                *guard = holds_signals.then(SignalGuard::new);
                doing = next(Came::Done);
            }
            doing == Do::Go
        };
        let receive = |body: &[u8]| {
            next(Came::Arrived);
            let is_saved = journal.is_some_and(|journal| journal.record(body).is_ok());
            next(if is_saved { Came::Done } else { Came::Failed });
            TokenResponse::parse(body, time, &settings.hosts)
        };
        let outcome = token.send(call.transport, until, may_leave, receive);
        drop(patience);
        let url = &self.current.credentials.token_endpoint;
        let (came, error) = match outcome {
            refresh::Outcome::Withheld(spendable) => {
                self.spendable = Some(spendable);
                return None;
            }
            refresh::Outcome::NotSent { reason, spendable } => {
                self.spendable = Some(spendable);
                let came = Outcome::NotSent { is_lasting: reason.is_lasting() };
                (came, Error::auth_server_unreachable(url, &reason, in_doubt))
            }
            refresh::Outcome::Busy { status, wait, spendable } => {
                self.spendable = Some(spendable);
                (Outcome::Busy { wait }, Error::auth_server_busy(url, status, wait, in_doubt))
            }
            refresh::Outcome::InvalidGrant { message } => {
                return Some(self.refused(message, in_doubt));
            }
            refresh::Outcome::Refused { status, message, by } => {
                (Outcome::Refused, Error::refresh_refused(url, status, &message, by, in_doubt))
            }
            refresh::Outcome::Received { response, body } => {
                return Some(self.received(*response, body));
            }
            refresh::Outcome::Error { what } => {
                return Some(self.lose(what, None, Outcome::Error));
            }
            refresh::Outcome::InDoubt { what, status, wait, again } => {
                self.spendable = Some(again.once_more());
                return Some(self.lose(what, status, Outcome::InDoubt { wait }));
            }
        };
        self.held.met.last = Some(error);
        Some(Came::Outcome(came))
    }

    fn lose(&mut self, what: String, status: Option<u16>, outcome: Outcome) -> Came {
        let call = self.held.call;
        let url = &self.current.credentials.token_endpoint;
        let error = Error::response_lost(url, &what, status, &call.home.place(), &call.page());
        self.held.met.lost = Some(error);
        let at = self.lost.take().map_or_else(Instant::now, |(at, _)| at);
        self.lost = Some((at, what));
        Came::Outcome(outcome)
    }

    fn refused(&mut self, message: String, in_doubt: bool) -> Came {
        let call = self.held.call;
        let pair = &self.current.credentials;
        let lost = match &self.lost {
            Some((_, what)) => Some(what.as_str()),
            None => in_doubt.then_some("an earlier run was interrupted, or lost the response"),
        };
        let (creds, page) = (call.home.place(), call.page());
        let error =
            || Error::tokens_refused(&pair.token_endpoint, message.clone(), &creds, &page, lost);
        if self.found.content.digest() == Some(pair.refresh_token.digest()) {
            self.held.met.refused = Some(error());
        }
        self.held.met.last = Some(error());
        Came::InvalidGrant
    }

    fn received(&mut self, response: TokenResponse, body: Zeroizing<Vec<u8>>) -> Came {
        let Credentials { refresh_token, token_endpoint, claims, .. } = &self.current.credentials;
        let next = response.next(&refresh_token.digest());
        let is_usable = response.claims().is_ok();
        let place = (&self.held.call.home.files().journal).into();
        let (token_endpoint, account) = (token_endpoint.clone(), claims.account());
        let token = response.access_token();
        self.held.met.fresh = token.map(|token| Fresh { token, is_new: true });
        let received = Received { response, body, place, token_endpoint, account };
        self.held.met.received = Some(received);
        Came::Parsed { next, is_usable }
    }

    /// The error of a response whose access token is of no use, if it is one.
    fn unused(&self) -> Option<Error> {
        let call = self.held.call;
        self.held.met.received.as_ref()?.unused(&call.home.place(), Some(&call.page()))
    }

    /// Puts the response into the home.
    fn commit(&mut self, is_only_copy: bool) -> Came {
        let (call, unused) = (self.held.call, self.unused());
        let (Some(now), Some(received)) = (&self.now, &self.held.met.received) else {
            return unexpected();
        };
        let base = if now.pair.is_ok() { now } else { &self.found.content };
        let document = Document::parse(base.stored.bytes()).unwrap_or_default();
        let Credentials { refresh_token, stored, .. } = &self.current.credentials;
        let new = received.response.merge_into(document, Some(refresh_token)).to_bytes();
        let keeping = base.stored.keeping().or(stored.keeping());
        let new = keeping.keep(Kind::Creds, &new).raw;
        match self.held.locked.replace(&now.stored.raw, &new, is_only_copy, unused.as_ref()) {
            Ok(Replaced::Done) => {
                let place = call.home.place();
                call.notices().step(format_args!("the new tokens are saved in {place}"));
                Came::Done
            }
            Ok(replaced) => came_of(replaced),
            Err(error) => self.held.met.not_taken(error),
        }
    }

    /// Saves the response in a file of its own.
    fn save_aside(&mut self) -> Came {
        let Held { locked, met, .. } = &mut self.held;
        let Some(received) = &mut met.received else { return unexpected() };
        match locked.save_aside(self.journal.as_ref(), &received.body) {
            Ok(place) => {
                received.place = place;
                Came::Done
            }
            Err(StoreError { place, source }) => {
                if met.refusal.is_none() && self.now.is_some() {
                    warn(format_args!(
                        "{place}: {source}; the refreshed tokens are lost, but creds.json has others now"
                    ));
                }
                Came::Failed
            }
        }
    }
}
