//! Carries out the steps of a refresh on a home: it decides nothing.
//!
//! What to do, the machine says ([`Refresh`]). There are three scopes, since the right to send and the
//! journal borrow from the lock: the call, the lock and the journal. Each hands back what is not its own.

use crate::error::notices::Notices;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result, after_colon};
use crate::http::retry::jittered;
use crate::http::transport::Transport;
use crate::platform::signals::SignalGuard;
use crate::rotation::attempts::{self, Outcome};
use crate::rotation::findings;
use crate::rotation::machine::{
    Access, Bounds, Came, Deadline, Do, End, HomeKind, Kept, Pair, Refresh, Seen, Told, Until,
};
use crate::rotation::recovery::{Now, Saved, is_kept, may_replace};
use crate::rotation::refresh::{self, Instead};
use crate::rotation::spendable::{Current, Spendable};
use crate::rotation::{Fresh, PATIENCE, Rotation};
use crate::store::file_store::{is_open_to_others, not_writable};
use crate::store::folder::Files;
use crate::store::home::{Home, Locked, Rehearsed};
use crate::store::journal::Journal;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::Claimed;
use crate::store::{Content, Replaced, StoreError};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use crate::tokens::journal_format::Failure;
use crate::tokens::secret::{AccessToken, Digest};
use std::cell::RefCell;
use std::io;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How often the files may turn out to have changed before a call gives up: programs that take no lock
/// may change them under our feet, but not for ever.
const fn bounds(home: HomeKind) -> Bounds {
    Bounds { home, rounds: Some(10), looks: Some(100) }
}
/// How long a program without the lock may take to save what it got for a token that is refused now.
const CHANGING: Duration = Duration::from_secs(2);
/// When a person is told that the server takes its time.
const SLOW: Duration = Duration::from_secs(3);
const WAITING: &str = "waiting for the authorization server, for up to two minutes";
/// The same where signals are held: only then does anyone wonder about Ctrl-C.
const HELD: &str = "waiting for the authorization server, for up to two minutes; Ctrl-C waits until the new tokens are saved";

type Run = Refresh<Digest>;

/// One call's way to a fresh token, once the one in the home will not do.
pub(super) struct Call<'a> {
    pub(super) rotation: &'a Rotation,
    pub(super) home: &'a Home<'a>,
    pub(super) transport: &'a Transport,
    /// The token that will not do, though it looks fresh.
    pub(super) rejected: Option<&'a AccessToken>,
    pub(super) since: LocalTime,
    /// For all waiting for others together.
    pub(super) deadline: Instant,
}

/// What a call has met, to be told at its end.
#[derive(Default)]
struct Met {
    /// The last error.
    last: Option<Error>,
    /// That the response was lost.
    lost: Option<Error>,
    /// That the token in the home is dead.
    refused: Option<Error>,
    /// The token to make the call with.
    fresh: Option<Fresh>,
}

impl Met {
    fn failed(&mut self, error: Error) -> Came<'static, Digest> {
        self.last = Some(error);
        Came::Failed
    }
}

impl Call<'_> {
    /// From the first look to the end.
    pub(super) fn run(&self, has_waited: bool) -> Result<Fresh> {
        let kind = match self.home {
            Home::File(_) => HomeKind::File,
            Home::Vault(_) => HomeKind::Vault,
        };
        let mut run = Run::new(bounds(kind), has_waited);
        let mut met = Met::default();
        let (first, longest) = self.home.pauses();
        let mut pause = first;
        let mut has_said_so = false;
        loop {
            match run.doing() {
                Do::Read => {
                    let now = self.home.read().ok().filter(|now| self.will_do(now));
                    met.fresh = now.map(Fresh::old);
                    let (holder, is_saved_here) = self.home.holder();
                    let will_do = met.fresh.is_some();
                    if run.next(Came::Read { will_do, holder, is_saved_here })
                        == Do::Wait(Until::Turn)
                    {
                        self.tell_of_waiting(&mut has_said_so);
                    }
                }
                Do::Lock { .. } => match self.home.lock() {
                    Ok(Some(locked)) => {
                        pause = first;
                        run.next(Came::Done);
                        Held { call: self, locked: &locked }.drive(&mut run, &mut met);
                    }
                    Ok(None) => {
                        run.next(Came::Taken);
                        self.tell_of_waiting(&mut has_said_so);
                    }
                    Err(error) => {
                        // It says what the journal does.
                        met.last = Some(error);
                        run.next(Came::Failed);
                    }
                },
                Do::Peek => {
                    run.next(Came::Done);
                }
                // std can only poll for a lock with a bound.
                Do::Wait(_) if Instant::now() >= self.deadline => {
                    run.next(Came::TimeIsUp);
                }
                Do::Wait(_) => {
                    thread::sleep(jittered(pause));
                    pause = (pause * 2).min(longest);
                    run.next(Came::Done);
                }
                // All that was held is dropped by now.
                Do::LetGo => {
                    run.next(Came::Done);
                }
                Do::End(end) => return self.end(end, met),
                _ => return Err(self.changing()),
            }
        }
    }

    fn tell_of_waiting(&self, has_said_so: &mut bool) {
        if !mem::replace(has_said_so, true) {
            self.notices().step("waiting for another program that is refreshing the tokens");
        }
    }

    fn notices(&self) -> Notices {
        self.rotation.notices
    }

    /// Whether a token is fresh, and not the one that was rejected.
    fn will_do(&self, credentials: &Credentials) -> bool {
        credentials.is_fresh() && self.rejected != Some(&credentials.access_token)
    }

    fn unusable(&self, problem: FileProblem) -> Error {
        Error::unusable(self.home.place(), problem)
    }

    fn page(&self) -> String {
        self.rotation.settings.hosts.token_page()
    }

    fn changing(&self) -> Error {
        let changing = io::Error::other("another program keeps changing it");
        self.unusable(FileProblem::Unreadable(changing))
    }

    fn end(&self, End { told, says, .. }: End<Digest>, met: Met) -> Result<Fresh> {
        let Met { last, lost, refused, fresh } = met;
        let error = match told {
            Told::Found | Told::New | Told::NotCommitted | Told::NotRestored => {
                // What was met on the way to it has been said.
                return match (fresh, last) {
                    (Some(fresh), _) => Ok(fresh),
                    (None, error) => Err(error.unwrap_or_else(|| self.changing())),
                };
            }
            Told::Late => Some(self.home.waited_too_long(PATIENCE)),
            Told::Changing => Some(self.changing()),
            Told::Dead => refused,
            Told::Lost => lost,
            Told::Failed | Told::NotSaved | Told::Unused | Told::TooSlow => last,
            Told::NoLock | Told::Unreadable | Told::Unusable | Told::Noted => last,
            Told::OlderCopy | Told::SeveralAccounts | Told::NoTokens => last,
        };
        let error = error.unwrap_or_else(|| self.changing());
        match says {
            Some(says) if says.in_doubt => Err(error.after_doubt()),
            _ => Err(error),
        }
    }
}

/// What was found under the lock.
struct Found {
    content: Content,
    saved: SavedPairs,
}

impl Found {
    fn pair(&self, kept: Kept<Digest>) -> Option<&SavedPair> {
        let is_named =
            |it: &&SavedPair| it.spent == kept.pair().spent && it.next == kept.pair().next;
        match kept {
            Kept::Journal(_) => self.saved.received.as_ref(),
            Kept::Aside(_) => self.saved.set_aside.iter().rfind(is_named),
        }
    }
}

/// What is done under the lock.
struct Held<'a> {
    call: &'a Call<'a>,
    locked: &'a Locked<'a>,
}

impl Held<'_> {
    fn drive(&self, run: &mut Run, met: &mut Met) {
        let mut found = None;
        let mut sent = None;
        loop {
            let came = match (run.doing(), &mut found) {
                (Do::Look, _) => match self.look() {
                    Ok(new) => {
                        met.fresh = None;
                        self.judge(run, &new);
                        found = Some(new);
                        continue;
                    }
                    Err(error) => met.failed(error),
                },
                (Do::Wait(Until::Changed), Some(found)) => match self.has_changed(found) {
                    true => Came::NotAsExpected,
                    false => Came::TimeIsUp,
                },
                (Do::KeepDamaged(kept), Some(found)) => match self.restored(kept, found) {
                    Ok((pair, restored)) => match self.keep_damaged(&found.content) {
                        Ok(()) => Came::Done,
                        Err(error) => self.not_restored(pair, restored, error, met),
                    },
                    Err(error) => met.failed(error),
                },
                (Do::Replace { what, .. }, Some(found)) => self.restore(what, found, met),
                (Do::Rehearse { token, .. }, Some(found)) => {
                    sent = self.credentials(token, found);
                    match (&found.content.pair, &sent) {
                        (Ok(in_home), Some(sent)) => self.rehearse(in_home, sent, met),
                        _ => Came::NotThere,
                    }
                }
                (Do::Begin { .. }, Some(found)) => {
                    let Some(sent) = sent.take() else { return };
                    let (journal, came) = match self.locked.begin(&sent) {
                        Ok(Some(journal)) => (Some(journal), Came::Done),
                        Ok(None) => (None, Came::LockLost),
                        Err(error) => (None, met.failed(not_writable(error))),
                    };
                    run.next(came);
                    if let Do::Send(_) | Do::HoldSignals = run.doing() {
                        let current = Current::of(sent, self.locked);
                        Using::of(self, journal, &current, found).drive(run, met);
                    }
                    continue;
                }
                (Do::Prove, _) => match self.locked.is_current() {
                    Ok(true) => Came::Done,
                    Ok(false) => Came::NotAsExpected,
                    Err(error) => met.failed(error),
                },
                (Do::Refuse, Some(found)) => {
                    if let (Ok(in_home), Some(refused)) = (&found.content.pair, &met.refused) {
                        self.locked.refuse(&in_home.refresh_token, refused);
                    }
                    Came::Done
                }
                (Do::End(End { told, if_held, .. }), Some(found)) => {
                    match if_held.then(|| self.without_lock(met)).flatten() {
                        None => return self.end(told, found, met),
                        Some(Came::LockLost) => Came::LockLost,
                        Some(_) => return,
                    }
                }
                (doing, Some(found)) => match self.beside(doing, found, None, met) {
                    Some(came) => came,
                    None => return,
                },
                (_, None) => return,
            };
            run.next(came);
        }
    }

    /// The files beside the home, where they can be written.
    fn files(&self) -> Option<&Files> {
        self.locked.files().map(|(files, _)| files)
    }

    /// What comes of an effect that wants the lock, if others do not see it any more.
    fn without_lock(&self, met: &mut Met) -> Option<Came<'static, Digest>> {
        match self.locked.is_held() {
            Ok(true) => None,
            Ok(false) => Some(Came::LockLost),
            Err(error) => Some(met.failed(error)),
        }
    }

    /// What changes something beside the home alone. `own`: when the refresh began whose pair is meant.
    fn beside(
        &self,
        doing: Do<Digest>,
        found: &Found,
        own: Option<LocalTime>,
        met: &mut Met,
    ) -> Option<Came<'static, Digest>> {
        let Some(files) = self.files() else {
            let is_own = matches!(doing, Do::Record(_) | Do::Remove { .. } | Do::SetAside { .. });
            return is_own.then_some(Came::Done);
        };
        if let Do::Remove { if_held: true, .. } | Do::SetAside { if_held: true } = doing
            && let Some(came) = self.without_lock(met)
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
                    self.call.notices().warn(format_args!(
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
                    self.call.notices().step(format_args!(
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
            Err(error) => met.failed(not_writable(error)),
        })
    }

    /// Reads all that an earlier run, or someone else, may have left.
    fn look(&self) -> Result<Found> {
        let (files, notices) = (self.files(), self.call.notices());
        let hosts = &self.call.rotation.settings.hosts;
        let mut saved = SavedPairs::read(files.unwrap_or(self.call.home.files()), hosts);
        if let Some(obstacle) = saved.obstacle(files.is_some()) {
            return Err(obstacle);
        }
        if let (Some(files), Some(problem)) = (files, &saved.record_problem) {
            notices.warn(format_args!("{}: {problem}", files.spent.display()));
        }
        // An editor empties a file before it writes what was pasted.
        let is_patient = files.is_some_and(|files| files.have_saved_pair());
        let mut content = self.locked.read(is_patient)?;
        if files.is_none() {
            saved = saved.about(content.digest().as_ref());
            let (in_home, spent) = (content.digest(), &saved.spent);
            saved.set_aside.retain(|pair| is_kept(&pair.into(), in_home, spent));
        }
        if saved.received.as_ref().is_some_and(|pair| pair.is_torn(&content.bytes)) {
            // What a torn file seems to say is nobody's.
            content.pair = Err(FileProblem::Torn);
            content.token = None;
        }
        Ok(Found { content, saved })
    }

    /// Has the machine judge what was found.
    fn judge(&self, run: &mut Run, found: &Found) {
        let Found { content, saved } = found;
        let set_aside: Vec<_> = saved.set_aside.iter().map(Saved::from).collect();
        let state = findings::state(content, saved, &set_aside);
        let access = content.pair.as_ref().ok().map(|pair| match self.call.will_do(pair) {
            true => Access::WillDo,
            false => Access::Stale,
        });
        let is_torn = matches!(content.pair, Err(FileProblem::Torn));
        let account = content.pair.as_ref().ok().and_then(|pair| pair.claims.account_digest());
        run.next(Came::Looked(Seen {
            state,
            access,
            account,
            in_doubt: content.in_doubt,
            is_damaged: !is_torn && matches!(findings::now(content), Now::Damaged),
            running_for: LocalTime::now().0.saturating_sub(self.call.since.0),
        }));
    }

    /// Puts the end into words that follows from what was found.
    fn end(&self, told: Told, Found { content, saved }: &mut Found, met: &mut Met) {
        let place = self.call.home.place();
        let token = content.digest();
        // Nothing more is done with it.
        let pair = mem::replace(&mut content.pair, Err(FileProblem::Torn));
        let account = pair.as_ref().ok().and_then(|pair| pair.claims.account_digest());
        let named = |pair: &SavedPair| (pair.path.clone(), pair.account());
        let unusable = |pair: Result<Credentials, FileProblem>| match pair {
            Err(problem) => self.call.unusable(problem),
            Ok(_) => self.call.changing(),
        };
        met.last = match told {
            Told::Found => {
                met.fresh = pair.ok().map(Fresh::old);
                None
            }
            Told::Unusable => Some(unusable(pair)),
            // It may hold the only copy of a pair.
            Told::NoTokens => Some(match saved.unreadable.pop() {
                Some((path, problem)) => Error::unusable(&path, problem),
                None => unusable(pair),
            }),
            Told::Noted => {
                let failure = saved.journal.as_ref().and_then(|found| found.failure.as_ref());
                failure.map(Failure::told)
            }
            Told::OlderCopy => {
                let since = token.and_then(|token| saved.spent.used_since(token));
                let since = since.unwrap_or_default().to_string();
                Some(Error::older_copy(&place, &since, &self.call.page()))
            }
            Told::SeveralAccounts => {
                let pairs: Vec<_> = saved.set_aside.iter().map(named).collect();
                Some(Error::several_pairs(&place, &pairs))
            }
            Told::Dead => {
                let is_other = |pair: &&SavedPair| !may_replace(&(*pair).into(), account);
                let others = saved.set_aside.iter().rev().filter(is_other);
                let mut others: Vec<_> = others.map(named).collect();
                let unreadable = saved.unreadable.iter();
                others
                    .extend(unreadable.map(|(path, problem)| (path.clone(), problem.to_string())));
                if let Some(refused) = &mut met.refused {
                    refused.name_set_aside(&place, &others);
                }
                None
            }
            _ => return,
        };
    }

    /// Whether the home gets another refresh token: a program that takes no lock may have used ours, and be
    /// about to save what it got for it.
    fn has_changed(&self, found: &Found) -> bool {
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
        let kept = files.keep_damaged(&content.bytes)?;
        self.call.notices().warn(format_args!(
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
        found: &'f Found,
    ) -> Result<(&'f SavedPair, Credentials)> {
        let pair = found.pair(kept).ok_or_else(|| self.call.changing())?;
        let bytes = &found.content.bytes;
        let whole = Document::parse(bytes).ok().filter(|_| !pair.is_torn(bytes));
        let before = || Document::parse(pair.creds.as_ref()?).ok();
        let merged = pair.merge_into(whole.or_else(before).unwrap_or_default()).to_bytes();
        let restored = Credentials::parse(merged, &self.call.rotation.settings.hosts);
        restored.map(|it| (pair, it)).map_err(|problem| self.call.unusable(problem))
    }

    /// Puts a pair that an earlier run has saved into the home.
    fn restore(&self, kept: Kept<Digest>, found: &Found, met: &mut Met) -> Came<'static, Digest> {
        let (pair, restored) = match self.restored(kept, found) {
            Ok(restored) => restored,
            Err(error) => return met.failed(error),
        };
        if let Some(came) = self.without_lock(met) {
            return came;
        }
        let content = &found.content;
        match self.locked.replace(&content.bytes, &restored.bytes, false, None) {
            Ok(Replaced::Done) => {}
            Ok(Replaced::NotAsExpected) => return Came::NotAsExpected,
            Err(error) => return self.not_restored(pair, restored, error, met),
        }
        let (notices, creds, path) = (self.call.notices(), self.call.home.place(), &pair.path);
        let older = content.digest().filter(|token| *token != pair.spent);
        let older = older.or(content.digest().filter(|_| matches!(kept, Kept::Aside(_))));
        match older.and_then(|token| found.saved.spent.used_since(token)) {
            Some(since) => notices.warn(format_args!(
                "{creds} was an older copy, whose refresh token was used on {since}; the newer tokens, which were saved in {}, have been restored",
                path.display()
            )),
            None if matches!(kept, Kept::Aside(_)) => notices.warn(format_args!(
                "{creds} held no tokens; those of {}, which were saved in {}, have been restored",
                pair.account(),
                path.display()
            )),
            None => notices
                .step("an earlier run was interrupted; the tokens that it saved have been restored"),
        }
        Came::Done
    }

    /// The pair stays where it is saved; its token may do for now.
    fn not_restored(
        &self,
        pair: &SavedPair,
        restored: Credentials,
        StoreError { place, source }: StoreError,
        met: &mut Met,
    ) -> Came<'static, Digest> {
        let error = Error::saved_in_journal(&(&pair.path).into(), &place, source);
        if !restored.is_alive() || self.call.rejected == Some(&restored.access_token) {
            return met.failed(error);
        }
        self.call.notices().warn(&error);
        met.fresh = Some(Fresh::old(restored));
        Came::Failed
    }

    /// The pair of this token: the home's, or one that was set aside.
    fn credentials(&self, token: Digest, found: &Found) -> Option<Credentials> {
        let hosts = &self.call.rotation.settings.hosts;
        let bytes = &found.content.bytes;
        if found.content.digest() == Some(token) {
            return Credentials::parse(bytes.clone(), hosts).ok();
        }
        let pair = found.saved.set_aside.iter().rfind(|pair| pair.next == token)?;
        let merged = pair.merge_into(Document::parse(bytes).ok()?).to_bytes();
        let credentials = Credentials::parse(merged, hosts).ok()?;
        self.call.notices().warn(format_args!(
            "the refresh token in {} is refused; trying the one that was set aside in {}",
            self.call.home.place(),
            pair.path.display()
        ));
        Some(credentials)
    }

    fn rehearse(
        &self,
        in_home: &Credentials,
        sent: &Credentials,
        met: &mut Met,
    ) -> Came<'static, Digest> {
        let creds = &self.call.home.files().creds;
        let was_open = is_open_to_others(creds);
        match self.locked.rehearse(in_home, sent) {
            Ok(Rehearsed::Done) => {}
            Ok(Rehearsed::NotAsExpected) => return Came::NotAsExpected,
            Ok(Rehearsed::LockLost) => return Came::LockLost,
            Ok(Rehearsed::OverMount) => self.call.notices().warn(format_args!(
                "{} is a mount of its own: programs that use another mount do not see its lock; mount its folder instead",
                creds.display()
            )),
            Err(error) if error.is_refusal() => {
                if in_home.refresh_token == sent.refresh_token {
                    met.refused = Some(error);
                }
                return Came::InvalidGrant;
            }
            Err(error) => return met.failed(error),
        }
        if was_open && !is_open_to_others(creds) {
            // In a clone every file is open to others: nobody meant that.
            self.call.notices().inform(format_args!(
                "other users of this machine could read {}; they no longer can",
                self.call.home.place()
            ));
        }
        Came::Done
    }
}

/// A token in use, with its journal.
struct Using<'a> {
    held: &'a Held<'a>,
    /// None where the folder of a vault's pointer cannot be written.
    journal: Option<Journal>,
    /// When the refresh began, by the local clock.
    time: LocalTime,
    /// When the token was about to be claimed.
    claimed: Option<Claimed>,
    current: &'a Current<'a>,
    found: &'a Found,
    start: Instant,
    /// When the response was lost, and what happened to it.
    lost: Option<(Instant, String)>,
    guard: Option<SignalGuard>,
    received: Option<Received>,
    /// What the home held before the commit.
    now: Option<Content>,
    /// Why the home did not take the response.
    refusal: Option<StoreError>,
    /// Where the response is, if not in the home.
    place: Place,
}

/// A response of use.
struct Received {
    response: TokenResponse,
    body: Zeroizing<Vec<u8>>,
    is_saved: bool,
    /// Why its access token is of no use, if that is so.
    unused: Option<Error>,
}

impl<'a> Using<'a> {
    fn of(
        held: &'a Held<'a>,
        journal: Option<Journal>,
        current: &'a Current<'a>,
        found: &'a Found,
    ) -> Self {
        let time = journal.as_ref().map_or_else(LocalTime::now, |journal| journal.time);
        let (start, place) = (Instant::now(), (&held.call.home.files().journal).into());
        Self {
            held,
            journal,
            time,
            claimed: None,
            current,
            found,
            start,
            lost: None,
            guard: None,
            received: None,
            now: None,
            refusal: None,
            place,
        }
    }

    fn drive(mut self, run: &mut Run, met: &mut Met) {
        let call = self.held.call;
        if call.rotation.holds_signals {
            SignalGuard::prepare();
        }
        met.lost = None;
        let mut spendable = Some(self.current.to_spend());
        let mut has_said_so = false;
        loop {
            let came = match run.doing() {
                // Of a token that is claimed: else it is held from within the send.
                Do::HoldSignals => {
                    self.guard = call.rotation.holds_signals.then(SignalGuard::new);
                    Came::Done
                }
                Do::Claim => self.claim(met),
                Do::Withhold => {
                    let may_claim = self.held.locked.holds_claim() && !SignalGuard::is_pending();
                    if may_claim { Came::Done } else { Came::LockLost }
                }
                Do::Withdraw { keeps_journal } => {
                    let journal = self.journal.take().filter(|_| !keeps_journal);
                    if let (Some(journal), Some(files)) = (journal, self.held.files()) {
                        journal.withdraw(files);
                    }
                    self.held.locked.let_go();
                    Came::Done
                }
                Do::Send(deadline) => {
                    if !mem::replace(&mut has_said_so, true) {
                        self.tell_of_sending();
                        self.start = Instant::now();
                    }
                    let sent = spendable.take();
                    match sent.map(|token| self.send(token, deadline, run, &mut spendable, met)) {
                        Some(Some(came)) => came,
                        // It was withheld.
                        Some(None) => continue,
                        None => Came::Outcome(Outcome::Refused),
                    }
                }
                Do::FreeSignals => {
                    self.guard = None;
                    Came::Done
                }
                Do::Wait(Until::Paused(pause, deadline)) => {
                    // A signal ends the run once what is prepared is undone.
                    let is_ending = self.lost.is_none() && SignalGuard::is_pending();
                    if is_ending || Instant::now() + pause >= self.until(deadline) {
                        Came::TimeIsUp
                    } else {
                        if let Some(error) = met.lost.as_ref().or(met.last.as_ref()) {
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
                    let is_saved = self.received.as_ref().is_some_and(|it| it.is_saved);
                    self.look_again(is_saved)
                }
                Do::KeepDamaged(_) => match &self.now {
                    Some(now) => match self.held.keep_damaged(now) {
                        Ok(()) => Came::Done,
                        Err(error) => {
                            self.refusal = Some(error);
                            Came::Failed
                        }
                    },
                    None => Came::Failed,
                },
                Do::Replace { is_only_copy, .. } => self.commit(is_only_copy, met),
                Do::SaveAside => self.save_aside(),
                Do::Note { told, in_doubt } => {
                    if told == Told::TooSlow {
                        met.last = call.home.too_slow();
                    }
                    let error = if told == Told::Lost { &met.lost } else { &met.last };
                    if let Some(error) = error {
                        // Best effort: the note spares others the question, no more.
                        drop(self.journal.as_ref().map(|it| it.note(error, in_doubt, None)));
                        let token = &self.current.credentials.refresh_token;
                        self.held.locked.note(error, token);
                    }
                    Came::Done
                }
                Do::NoteUnused { token } => {
                    let unused = self.received.as_ref().and_then(|it| it.unused.as_ref());
                    if let (Some(error), Some(journal)) = (unused, &self.journal) {
                        let _ = journal.note(error, false, Some(token));
                    }
                    Came::Done
                }
                Do::Close => {
                    run.next(Came::Done);
                    return;
                }
                Do::End(end) => return self.end(end, met),
                doing => match self.held.beside(doing, self.found, Some(self.time), met) {
                    Some(came) => came,
                    None => return,
                },
            };
            run.next(came);
        }
    }

    fn tell_of_sending(&self) {
        let (notices, sent) = (self.held.call.notices(), &self.current.credentials);
        let endpoint = &sent.token_endpoint;
        if !sent.is_issuer_familiar {
            notices.warn(format_args!(
                "the refresh token goes to {endpoint}, which is not a known authorization server"
            ));
        }
        notices.step(format_args!("refreshing the tokens at {endpoint}"));
    }

    fn claim(&mut self, met: &mut Met) -> Came<'static, Digest> {
        let token = &self.current.credentials.refresh_token;
        let can_wait = self.found.content.pair.as_ref().is_ok_and(Credentials::is_alive);
        match self.held.locked.claim(token, self.claimed.is_none(), can_wait) {
            Ok(Some(claimed)) => {
                if self.claimed.is_none() && self.journal.is_none() {
                    self.time = LocalTime::now();
                }
                self.claimed = Some(claimed);
                Came::Done
            }
            Ok(None) => Came::LockLost,
            Err(error) => met.failed(error),
        }
    }

    fn until(&self, deadline: Deadline) -> Instant {
        match (deadline, &self.lost) {
            (Deadline::Second, Some((at, _))) => *at + attempts::SECOND,
            _ => self.start + attempts::FIRST,
        }
    }

    /// Sends the token, and has its response saved. From within, the machine is asked for what comes before
    /// the first byte leaves, and once the response is there.
    fn send<'lock>(
        &mut self,
        token: Spendable<'lock>,
        deadline: Deadline,
        run: &mut Run,
        again: &mut Option<Spendable<'lock>>,
        met: &mut Met,
    ) -> Option<Came<'static, Digest>> {
        let (call, journal, time) = (self.held.call, self.journal.as_ref(), self.time);
        let claimed = self.claimed;
        let text = if call.rotation.holds_signals { HELD } else { WAITING };
        let patience = call.notices().after(SLOW, || Some(text.to_owned()));
        let until = self.until(deadline);
        let in_doubt = run.is_in_doubt();
        let guard = &mut self.guard;
        let run = RefCell::new(run);
        let outcome = token.send(
            call.transport,
            until,
            || {
                let mut run = run.borrow_mut();
                let claimed = claimed.map(|claimed| claimed.elapsed());
                let is_ending = SignalGuard::is_pending();
                if run.next(Came::Connected { claimed, is_ending }) == Do::HoldSignals {
                    *guard = call.rotation.holds_signals.then(SignalGuard::new);
                    run.next(Came::Done);
                }
                run.doing() == Do::Go
            },
            |body| {
                let mut run = run.borrow_mut();
                run.next(Came::Arrived);
                let no_journal = || Err(io::Error::other("there is no journal here"));
                let saved = journal.map_or_else(no_journal, |journal| journal.record(body));
                run.next(if saved.is_ok() { Came::Done } else { Came::Failed });
                saved
            },
        );
        drop(patience);
        let pair = &self.current.credentials;
        let url = &pair.token_endpoint;
        let came = match outcome {
            refresh::Outcome::Withheld(spendable) => {
                *again = Some(spendable);
                return None;
            }
            refresh::Outcome::NotSent { reason, spendable } => {
                met.last = Some(Error::auth_server_unreachable(url, &reason, in_doubt));
                *again = Some(spendable);
                Outcome::NotSent { is_lasting: reason.is_lasting() }
            }
            refresh::Outcome::Busy { status, wait, spendable } => {
                met.last = Some(Error::auth_server_busy(url, status, wait, in_doubt));
                *again = Some(spendable);
                Outcome::Busy { wait }
            }
            refresh::Outcome::InvalidGrant { message } => {
                return Some(self.refused(message, in_doubt, met));
            }
            refresh::Outcome::Refused { status, message, by } => {
                let error = Error::refresh_refused(url, status, &message, by, in_doubt);
                met.last = Some(error);
                Outcome::Refused
            }
            refresh::Outcome::Received { body, saved, instead, again: once_more } => {
                let hosts = &call.rotation.settings.hosts;
                if let Some(response) = TokenResponse::parse(&body, time, hosts) {
                    return Some(self.parsed(response, body, saved.is_ok()));
                }
                match instead {
                    Instead::InvalidGrant { message } => {
                        return Some(self.refused(message, in_doubt, met));
                    }
                    Instead::Error { message } => {
                        let what = format!("an error came in its place{}", after_colon(&message));
                        self.lose(what, None, met);
                        Outcome::Error
                    }
                    Instead::Nothing { what } => {
                        self.lose(what, None, met);
                        *again = Some(once_more.once_more());
                        Outcome::InDoubt { wait: None }
                    }
                }
            }
            refresh::Outcome::InDoubt { what, status, wait, again: once_more } => {
                self.lose(what, status, met);
                *again = Some(once_more.once_more());
                Outcome::InDoubt { wait }
            }
        };
        Some(Came::Outcome(came))
    }

    fn lose(&mut self, what: String, status: Option<u16>, met: &mut Met) {
        let call = self.held.call;
        let url = &self.current.credentials.token_endpoint;
        let place = call.home.place();
        met.lost = Some(Error::response_lost(url, &what, status, &place, &call.page()));
        let at = self.lost.take().map_or_else(Instant::now, |(at, _)| at);
        self.lost = Some((at, what));
    }

    fn refused(&self, message: String, in_doubt: bool, met: &mut Met) -> Came<'static, Digest> {
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
            met.refused = Some(error());
        }
        met.last = Some(error());
        Came::InvalidGrant
    }

    fn parsed(
        &mut self,
        response: TokenResponse,
        body: Zeroizing<Vec<u8>>,
        is_saved: bool,
    ) -> Came<'static, Digest> {
        let call = self.held.call;
        let next = response.next(&self.current.credentials.refresh_token.digest());
        let is_usable = response.claims().is_ok();
        let unused = self.unused(&response, &call.home.place(), Some(&call.page()));
        self.received = Some(Received { response, body, is_saved, unused });
        Came::Parsed { next, is_usable }
    }

    /// The error of a response whose access token is of no use, if it is one.
    fn unused(&self, response: &TokenResponse, place: &Place, page: Option<&str>) -> Option<Error> {
        let problem = response.claims().err()?.to_string();
        let Credentials { token_endpoint, claims, .. } = &self.current.credentials;
        Some(Error::no_access_token(token_endpoint, &problem, &claims.account(), place, page))
    }

    fn look_again(&mut self, is_patient: bool) -> Came<'static, Digest> {
        self.now = self.held.locked.read(is_patient).ok();
        let Some(now) = &self.now else { return Came::Failed };
        Came::Now(findings::now(now))
    }

    /// Puts the response into the home.
    fn commit(&mut self, is_only_copy: bool, met: &mut Met) -> Came<'static, Digest> {
        let (call, in_home) = (self.held.call, &self.found.content);
        let (Some(now), Some(received)) = (&self.now, &self.received) else { return Came::Failed };
        let base = if now.pair.is_ok() { &now.bytes } else { &in_home.bytes };
        let base = Document::parse(base).unwrap_or_default();
        let sent = &self.current.credentials.refresh_token;
        let bytes = received.response.merge_into(base, Some(sent)).to_bytes();
        let unused = received.unused.as_ref();
        let replaced = self.held.locked.replace(&now.bytes, &bytes, is_only_copy, unused);
        let token = match Credentials::parse(bytes, &call.rotation.settings.hosts) {
            Ok(pair) => pair.access_token,
            // It was made of parts that were checked.
            Err(_) => self.current.credentials.access_token.clone(),
        };
        met.fresh = Some(Fresh { token, is_new: true });
        match replaced {
            Ok(Replaced::Done) => {
                let place = call.home.place();
                call.notices().step(format_args!("the new tokens are saved in {place}"));
                Came::Done
            }
            Ok(Replaced::NotAsExpected) => Came::NotAsExpected,
            Err(error) => {
                self.refusal = Some(error);
                Came::Failed
            }
        }
    }

    /// Saves the response in a file of its own.
    fn save_aside(&mut self) -> Came<'static, Digest> {
        let Some(received) = &self.received else { return Came::Failed };
        match self.held.locked.save_aside(self.journal.as_ref(), &received.body) {
            Ok(place) => {
                self.place = place;
                Came::Done
            }
            Err(StoreError { place, source }) => {
                if self.refusal.is_none() && self.now.is_some() {
                    self.held.call.notices().warn(format_args!(
                        "{place}: {source}; the refreshed tokens are lost, but creds.json has others now"
                    ));
                }
                Came::Failed
            }
        }
    }

    /// Puts the end into words.
    fn end(mut self, End { told, .. }: End<Digest>, met: &mut Met) {
        let call = self.held.call;
        let place = call.home.place();
        let changing = || StoreError {
            place: call.home.place(),
            source: io::Error::other("another program keeps changing it"),
        };
        let unused = self.received.as_mut().and_then(|received| received.unused.take());
        match told {
            Told::Unused => met.last = unused,
            Told::NotCommitted => {
                let StoreError { place, source } = self.refusal.take().unwrap_or_else(changing);
                call.notices().warn(Error::saved_in_journal(&self.place, &place, source));
                if unused.is_some() {
                    // The next run puts it in place, and tries it.
                    let response = self.received.as_ref().map(|received| &received.response);
                    met.last = response.and_then(|it| self.unused(it, &self.place, None));
                    met.fresh = None;
                }
            }
            Told::NotSaved => {
                let source = self.refusal.take().unwrap_or_else(changing).source;
                met.last = Some(Error::not_saved(&place, source, &call.page()));
            }
            _ => {}
        }
    }
}
