//! The second home of a pair: a secret in a vault, for many machines.
//!
//! In place of the kernel's lock there is a claim in the secret: a write with check-and-set, which only one
//! program can make. The journal stays on the machine, beside the creds.json that names the secret, if
//! that folder can be written. The steps are in ROTATION.md, beside this crate's Cargo.toml.

mod client;
mod document;
mod environment;
pub(crate) mod protocol;

use crate::config::settings::Hosts;
use crate::error::notices::Notices;
use crate::error::place::Place;
use crate::error::vault::VaultProblem;
use crate::error::{self, Cause, Error, FileProblem, Result};
use crate::http::retry::jittered;
use crate::platform;
use crate::platform::signals::SignalGuard;
use crate::random;
use crate::store::file_store::not_writable;
use crate::store::folder::Files;
use crate::store::journal::{Found, Journal};
use crate::store::lock::Lock;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::vault::client::{Client, Seen};
use crate::store::vault::document::{Claim, Note, Notes, Secret};
use crate::store::vault::environment::Environment;
use crate::store::vault::protocol::{
    Holder, Settled, TAKEOVER, Told, holder, is_in_doubt, is_made_anew, is_newer, may_recover,
    may_send, settle, told,
};
use crate::store::{Content, Exclusive, Replaced, StoreError, Unusable};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::Credentials;
use crate::tokens::secret::RefreshToken;
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long a read is tried: a new leader takes up to 22 s.
const READING: Duration = Duration::from_secs(30);
/// How long a missing secret may be that of a node that was just unsealed.
const UNSEALING: Duration = Duration::from_secs(3);
/// How long a claim is tried.
const CLAIMING: Duration = Duration::from_secs(300);
/// How long a claim or a note of ours is taken away. It ends by itself.
const LETTING_GO: Duration = Duration::from_secs(10);
/// How often in a row a token is claimed again because it could not be sent soon enough.
const MOST_LATE: u32 = 2;
/// How long a commit is tried: with a journal on this machine, and without.
const COMMITTING: Duration = Duration::from_secs(100);
const COMMITTING_ONLY_COPY: Duration = Duration::from_secs(600);

/// A connection to a vault, kept by a client for all its calls.
#[derive(Debug)]
pub(crate) struct Vault {
    client: Client,
    hosts: Hosts,
    notices: Notices,
    holds_signals: bool,
}

impl Vault {
    /// Reads the environment. Sends nothing.
    pub(crate) fn connect(
        hosts: &Hosts,
        notices: Notices,
        holds_signals: bool,
        user_agent: &str,
    ) -> Result<Self, VaultProblem> {
        let client = Client::new(Environment::read()?, user_agent);
        Ok(Self { client, hosts: hosts.clone(), notices, holds_signals })
    }

    fn place(&self, path: &str) -> Place {
        Place::Secret { path: path.to_owned(), vault: Some(self.client.address().to_owned()) }
    }
}

/// The secret that creds.json names, as one call sees it.
#[derive(Debug)]
pub(crate) struct VaultStore<'a> {
    vault: &'a Vault,
    /// The path of its API, such as `secret/data/aac`.
    path: &'a str,
    /// Beside the creds.json that names it.
    files: Files,
    /// The newest version that was seen.
    seen: RefCell<Secret>,
    /// The claim of another program, and since when it has not changed.
    watched: RefCell<Option<(u64, Claim, Instant)>>,
    /// Whether a write has just shown what there is.
    is_current: Cell<bool>,
    /// Whether the pair in this machine's journal was tried in spite of a claim.
    has_tried_journal: Cell<bool>,
    has_warned: Cell<bool>,
    /// Why a claim could not be written again.
    failure: RefCell<Option<VaultProblem>>,
    /// When this call began to use the vault.
    began: Instant,
}

/// What a write is for: how long it is tried, and what ends it early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Nothing is sent yet: a problem that stays ends it, and so does a signal.
    Claim,
    /// A claim ends by itself.
    LetGo,
    /// A pair is to be saved, whatever happens.
    Commit,
}

impl<'a> VaultStore<'a> {
    pub(crate) fn of(vault: &'a Vault, path: &'a str, creds: &Path) -> Self {
        Self {
            vault,
            path,
            files: Files::of_pointer(creds),
            seen: RefCell::default(),
            watched: RefCell::default(),
            is_current: Cell::default(),
            has_tried_journal: Cell::default(),
            has_warned: Cell::default(),
            failure: RefCell::default(),
            began: Instant::now(),
        }
    }

    fn error(&self, problem: VaultProblem) -> Error {
        Error::vault(&self.place(), &problem, false)
    }

    /// The same, with what an earlier run of this machine has left.
    fn as_an_earlier_run_left_it(&self, problem: VaultProblem) -> Error {
        let journal = &self.files.journal;
        let found = Found::read(&self.files, journal);
        if let Ok(Some(found)) = &found
            && SavedPair::of(journal, found, &self.vault.hosts).is_some()
        {
            let StoreError { place, source } = self.store_error(problem);
            return Error::saved_in_journal(&journal.into(), &place, source);
        }
        let in_doubt = leaves_doubt(&found);
        Error::vault(&self.place(), &problem, in_doubt)
    }

    fn store_error(&self, problem: VaultProblem) -> StoreError {
        StoreError { place: self.place(), source: io::Error::other(problem) }
    }

    /// Reads the secret, with patience for a new leader.
    fn look(&self) -> Result<(), VaultProblem> {
        let (start, patience) = (Instant::now(), bounded(READING));
        let mut pause = Duration::from_millis(50);
        let mut missing = Missing::default();
        loop {
            let problem = match self.look_once() {
                Ok(()) if self.seen.borrow().number > 0 => return Ok(()),
                Ok(()) if missing.is_certain() => return Ok(()),
                Ok(()) => VaultProblem::no_secret(),
                Err(problem) if may_pass(&problem, start) && start.elapsed() < patience => problem,
                Err(problem) => return Err(problem),
            };
            self.vault.notices.step(format_args!("{}: {problem}; trying again", self.place()));
            thread::sleep(jittered(pause));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Reads the secret once, and remembers it. A standby may show an older version than before: a write
    /// to that fails.
    fn look_once(&self) -> Result<(), VaultProblem> {
        let secret = match self.vault.client.read(self.path, None)? {
            Seen::Version(version) => Secret::of(version),
            Seen::Nothing => Secret::default(),
        };
        if let Some(time) = &secret.expires
            && secret.fields.is_ok()
            && !self.has_warned.replace(true)
        {
            self.vault.notices.warn(format_args!(
                "{} is deleted at {time}; its engine or its metadata has a delete_version_after, which must be 0",
                self.place()
            ));
        }
        let known = self.seen.borrow().version();
        if is_newer(known.0, secret.number) || is_made_anew(known, secret.version()) {
            self.watch(&secret);
            self.seen.replace(secret);
        }
        Ok(())
    }

    /// Keeps the time since when another program's claim has not changed.
    fn watch(&self, secret: &Secret) {
        let mut watched = self.watched.borrow_mut();
        let claim = secret.notes.claim.clone();
        match (&*watched, claim) {
            (Some((number, old, _)), Some(new)) if *number == secret.number && *old == new => {}
            (_, Some(new)) => *watched = Some((secret.number, new, Instant::now())),
            // Whoever waited for it may find what its holder has noted.
            (_, None) => {}
        }
    }

    fn holder(&self) -> Holder {
        let seen = self.seen.borrow();
        let watched = self.watched.borrow();
        let unchanged = watched.as_ref().map_or(Duration::ZERO, |(.., since)| since.elapsed());
        holder(seen.notes.claim.is_some(), unchanged, takeover())
    }

    /// Writes the version after the one that was seen, until it is known whether it is applied.
    fn settle(
        &self,
        fields: &Map<String, Value>,
        is_ours: impl Fn(&Secret) -> bool,
        patience: Duration,
        purpose: Purpose,
    ) -> Result<Settled, VaultProblem> {
        let (before, patience) = (self.seen.borrow().version(), bounded(patience));
        let base = before.0;
        let start = Instant::now();
        let mut pause = Duration::from_millis(20);
        let mut missing = Missing::default();
        loop {
            let problem = match self.vault.client.write(self.path, base, fields) {
                Ok(written) => {
                    let now = self.seen.borrow().now();
                    self.seen.replace(Secret::written(written, fields, now));
                    return Ok(Settled::Applied);
                }
                Err(problem @ VaultProblem::Version1(_)) => return Err(problem),
                Err(problem) => problem,
            };
            let problem = match self.look_once() {
                Ok(()) => {
                    let seen = self.seen.borrow().version();
                    let newest = seen.0;
                    if newest > 0 {
                        missing = Missing::default();
                    }
                    // To go on with another secret would be to wait until it happens to have as many versions.
                    let is_another = is_made_anew(before, seen)
                        || newest == 0 && base > 0 && missing.is_certain();
                    let settled = match is_another {
                        true => Settled::Superseded,
                        false => settle(base, Some(newest), || self.is_ours(base + 1, &is_ours)),
                    };
                    if settled != Settled::Unknown {
                        self.is_current.set(true);
                        return Ok(settled);
                    }
                    problem
                }
                Err(problem) => problem,
            };
            let is_over = match purpose {
                Purpose::Claim => !may_pass(&problem, start) || SignalGuard::is_pending(),
                Purpose::LetGo => !may_pass(&problem, start),
                Purpose::Commit => false,
            };
            if is_over || start.elapsed() >= patience {
                return Err(problem);
            }
            self.vault.notices.step(format_args!("{}: {problem}; trying again", self.place()));
            thread::sleep(jittered(pause));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether this version is the one that was written; none if that cannot be told.
    fn is_ours(&self, number: u64, is_ours: impl Fn(&Secret) -> bool) -> Option<bool> {
        let seen = self.seen.borrow();
        if seen.number == number || is_ours(&seen) {
            return Some(is_ours(&seen));
        }
        match self.vault.client.read(self.path, Some(number)) {
            Ok(Seen::Version(version)) => Some(is_ours(&Secret::of(version))),
            Ok(Seen::Nothing) => Some(false),
            Err(_) => None,
        }
    }

    /// Whether this machine has saved a pair for the token in the secret. It is tried once: if that does
    /// not mend it, the claim is waited for.
    fn may_commit_journal(&self) -> bool {
        if !self.files.have_saved_pair() || self.has_tried_journal.get() {
            return false;
        }
        let Some(token) = self.content(None).digest() else { return false };
        let saved = SavedPairs::read(&self.files, &self.vault.hosts);
        let mut pairs = saved.received.iter().chain(&saved.set_aside);
        pairs.any(|pair| pair.spent == token && pair.next != token)
    }

    /// The version that was seen, for a program with this claim.
    fn content(&self, ours: Option<&Claim>) -> Content {
        let seen = self.seen.borrow();
        match &seen.fields {
            Ok(_) => {
                let bytes = seen.bytes();
                let pair = Credentials::parse(bytes.clone(), &self.vault.hosts);
                let pair = match pair {
                    Ok(mut pair) => {
                        pair.arrival = seen.arrival(&pair.claims);
                        Ok(pair)
                    }
                    // There is but one step from creds.json to a secret.
                    Err(FileProblem::InVault(_)) => Err(FileProblem::no_token("refresh_token")),
                    Err(problem) => Err(problem),
                };
                let mut content = Content::of(bytes, pair);
                let has_failed = content.digest().is_some_and(|token| seen.has_failed(&token));
                content.in_doubt = is_in_doubt(seen.notes.claim.as_ref(), ours, has_failed);
                content
            }
            Err(problem) => {
                Content::of(Default::default(), Err(FileProblem::Vault(problem.clone())))
            }
        }
    }

    /// What another program has noted about this token, if that still counts.
    pub(crate) fn noted(&self, sent: &Credentials) -> Option<Error> {
        let seen = self.seen.borrow();
        let watched = self.watched.borrow();
        let token = sent.refresh_token.digest();
        let about = |note: &Option<Note>| note.clone().filter(|note| note.token == token);
        let (refused, failed) = (about(&seen.notes.refused), about(&seen.notes.failed));
        let (unused, doubt) = match failed {
            Some(note) if note.is_of_unused() => (Some(note), None),
            doubt => (None, doubt),
        };
        let failed = doubt.as_ref().filter(|note| {
            watched.as_ref().is_some_and(|(_, claim, _)| claim.is_of_refresh(&note.nonce))
        });
        let page = || self.vault.hosts.token_page();
        // The clocks of the vault's nodes may differ.
        let age = |note: &Note| seen.now().abs_diff(note.time);
        match told(refused.as_ref().map(age), unused.as_ref().map(age), failed.map(age)) {
            Told::Nothing => None,
            Told::Refused => Some(
                // Whoever sent it last knew why.
                Error::tokens_refused(
                    &sent.token_endpoint,
                    refused?.message,
                    &self.place(),
                    &page(),
                    doubt.as_ref().map(|note| &*note.message),
                ),
            ),
            Told::Unused => {
                Some(Error::noted(&unused?.message, &error::unused(&page(), &self.place()), 1))
            }
            Told::Failed => Some(Error::noted(&failed?.message, "Run this again.", 1)),
        }
    }

    /// Whether a program has noted that it may have used the refresh token of this pair.
    pub(crate) fn is_in_doubt(&self, pair: &Credentials) -> bool {
        self.seen.borrow().has_failed(&pair.refresh_token.digest())
    }
}

impl VaultStore<'_> {
    /// Its name, for messages.
    pub(crate) fn place(&self) -> Place {
        self.vault.place(self.path)
    }

    /// The pair as it is now. Writes nothing.
    pub(crate) fn read(&self) -> Result<Credentials, Unusable> {
        self.look()
            .map_err(|problem| Unusable::Unreadable(self.as_an_earlier_run_left_it(problem)))?;
        self.content(None).pair.map_err(|problem| Unusable::of(self.place(), problem))
    }

    /// The files of this machine in which earlier runs may have saved a pair.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Takes the right to go on, if no other program has it.
    pub(crate) fn try_lock(&self) -> Result<Option<Claimant<'_>>> {
        let holder = self.holder();
        if !may_recover(holder, holder == Holder::Alive && self.may_commit_journal()) {
            return Ok(None);
        }
        // Programs of one machine need not ask the vault who is first. Where the folder cannot be
        // written, the claim alone is enough.
        let lock = match Lock::try_acquire(&self.files) {
            Ok(None) => return Ok(None),
            Ok(lock) => {
                lock.filter(|_| self.files.can_be_made() && !self.files.is_journal_foreign())
            }
            Err(_) => None,
        };
        if holder == Holder::Alive {
            self.has_tried_journal.set(true);
        }
        if let Some((_, claim, _)) = &*self.watched.borrow()
            && holder == Holder::Dead
        {
            self.vault.notices.warn(format_args!(
                "{}: {} claimed the tokens and has not been heard of for {} s; trying in its place",
                self.place(),
                claim.holder,
                takeover().as_secs()
            ));
        }
        let refresh = format!("{}{}", random::name(), random::name());
        let (claims, claim, doubtful) = Default::default();
        Ok(Some(Claimant { store: self, lock, refresh, claims, claim, doubtful }))
    }

    /// The first and the longest pause between two tries to take it.
    pub(crate) fn pauses(&self) -> (Duration, Duration) {
        (Duration::from_millis(50), Duration::from_secs(1))
    }

    /// How long that is waited for, all in all; `usual`, unless a test has less.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        bounded(usual)
    }

    /// The error of a run that has waited in vain.
    pub(crate) fn locked(&self, waited: Duration) -> Error {
        let seen = self.seen.borrow();
        // One of ours that could not be taken away names nobody else.
        let claim = seen.notes.claim.as_ref().filter(|claim| claim.holder != this_program());
        match (claim, self.failure.take()) {
            (Some(claim), _) => {
                let (holder, since) = (claim.holder.clone(), seen.written_at().to_string());
                Error::claimed(&self.place(), &holder, &since)
            }
            (None, Some(problem)) => self.error(problem),
            // It is about to claim them, or fails to.
            (None, None) => Error::locked(&(&self.files.lock).into(), waited),
        }
    }
}

/// One program of this machine, which may claim the tokens.
pub(crate) struct Claimant<'a> {
    store: &'a VaultStore<'a>,
    /// None where the folder cannot be written.
    lock: Option<Lock>,
    /// What its claims have in common, and nobody else's have.
    refresh: String,
    /// How many it has written.
    claims: Cell<u32>,
    /// Our claim, since it was written.
    claim: RefCell<Option<Claim>>,
    /// One of ours that may or may not be written.
    doubtful: RefCell<Option<Claim>>,
}

impl Claimant<'_> {
    /// Whether the newest version that was seen has our claim.
    fn holds_claim(&self) -> bool {
        let claim = self.claim.borrow();
        claim.is_some() && *claim == self.store.seen.borrow().notes.claim
    }

    /// Claims the tokens of the version that was seen: the permission to send the refresh token.
    fn claim(
        &self,
        sent: &RefreshToken,
        patience: Duration,
    ) -> Result<Option<Instants>, VaultProblem> {
        let store = self.store;
        let number = self.claims.get() + 1;
        self.claims.set(number);
        let claim = Claim { nonce: format!("{}.{number}", self.refresh), holder: this_program() };
        let start = Instants::now();
        let fields = {
            let seen = store.seen.borrow();
            let mut notes = seen.notes.clone();
            if let Some(dead) = notes.claim.replace(claim.clone())
                && !self.holds_claim()
            {
                // It may have sent the token. Nobody is to report that in place of trying.
                let nobody = Claim { nonce: "-".to_owned(), holder: dead.holder };
                notes.fail(
                    sent,
                    seen.now(),
                    &nobody,
                    &format!("{} was interrupted", nobody.holder),
                );
            }
            seen.with_notes(&notes)
        };
        let is_ours = |secret: &Secret| secret.notes.claim.as_ref() == Some(&claim);
        let settled = store.settle(&fields, is_ours, patience, Purpose::Claim);
        match settled {
            Ok(Settled::Applied) => {
                self.claim.replace(Some(claim));
                Ok(Some(start))
            }
            Ok(_) => Ok(None),
            Err(problem) => {
                if !matches!(problem, VaultProblem::Denied(_)) {
                    // It may be applied yet.
                    self.doubtful.replace(Some(claim));
                }
                Err(problem)
            }
        }
    }

    /// Writes these notes and no claim. Best effort: a claim ends by itself.
    fn let_go(&self, change: impl Fn(&mut Notes, &Claim, i64)) {
        let doubtful = self.doubtful.take();
        let own: Vec<_> = self.claim.take().into_iter().chain(doubtful.clone()).collect();
        // Where a claim of ours may be applied yet, a write in its place keeps it from being so. If it was
        // faster, or a person has changed another field, that is seen then, and written over.
        for _ in 0..2 {
            let fields = {
                let seen = self.store.seen.borrow();
                let claim = match &seen.notes.claim {
                    Some(claim) if own.contains(claim) => claim,
                    None if doubtful.is_some() && seen.fields.is_ok() => &own[0],
                    _ => return,
                };
                let mut notes = seen.notes.clone();
                notes.claim = None;
                change(&mut notes, claim, seen.now());
                seen.with_notes(&notes)
            };
            let is_ours = |secret: &Secret| secret.notes.claim.is_none();
            match self.store.settle(&fields, is_ours, LETTING_GO, Purpose::LetGo) {
                Ok(Settled::Applied) => return,
                Ok(_) => {}
                Err(problem) => {
                    let place = self.store.place();
                    let text = format_args!("{place}: {problem}; the claim stays");
                    return self.store.vault.notices.step(text);
                }
            }
        }
    }
}

impl Exclusive for Claimant<'_> {}

impl Claimant<'_> {
    /// Whether other programs of this machine still see the lock.
    ///
    /// # Errors
    ///
    /// That cannot be told.
    pub(crate) fn is_held(&self) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), Lock::is_named).map_err(not_writable)
    }

    /// The files beside the pointer, where they can be written.
    pub(crate) fn files(&self) -> Option<&Files> {
        self.lock.as_ref().map(|_| &self.store.files)
    }

    /// What the secret holds.
    ///
    /// # Errors
    ///
    /// It cannot be read. It may hold anything, so nothing can be judged.
    pub(crate) fn read(&self) -> Result<Content> {
        // With a claim, what was seen last is what is there, or a write finds out. A write that has found
        // out need not be asked again.
        if !self.store.is_current.take() && !self.holds_claim() {
            let store = self.store;
            store.look().map_err(|problem| store.as_an_earlier_run_left_it(problem))?;
        }
        Ok(self.store.content(self.claim.borrow().as_ref()))
    }

    /// Whether what was read last is what there is. Only a write can tell: a standby may lag behind. This
    /// one changes nothing.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let store = self.store;
        let (fields, bytes, notes) = {
            let seen = store.seen.borrow();
            (seen.with_notes(&seen.notes), seen.bytes(), seen.notes.clone())
        };
        let is_same = |secret: &Secret| *secret.bytes() == *bytes && secret.notes == notes;
        match store.settle(&fields, is_same, READING, Purpose::Claim) {
            Ok(settled) => Ok(settled == Settled::Applied),
            Err(problem) => Err(store.error(problem)),
        }
    }

    /// Makes sure that a response can be saved, while nothing is sent: makes room, and claims the token.
    /// `current` is what the secret holds.
    pub(crate) fn prepare<'a>(
        &'a self,
        current: &Credentials,
        sent: &Credentials,
    ) -> Result<Preparation<'a>> {
        let (store, token) = (self.store, &sent.refresh_token);
        if *store.seen.borrow().bytes() != *current.bytes {
            return Ok(Preparation::Superseded);
        }
        if !self.holds_claim() {
            if store.holder() == Holder::Alive {
                return Ok(Preparation::LockLost);
            }
            if let Some(error) = store.noted(sent) {
                return Err(error);
            }
        }
        let was_in_doubt =
            self.lock.is_some() && leaves_doubt(&Found::read(&store.files, &store.files.journal));
        let journal = match &self.lock {
            Some(lock) => match Journal::begin_under(lock, &store.files, sent) {
                Ok(Some(journal)) => Some(journal),
                Ok(None) => return Ok(Preparation::LockLost),
                Err(StoreError { place, source }) => {
                    // The vault is to have the pair, and a journal only helps it along.
                    store.vault.notices.step(format_args!("{place}: {source}; going on"));
                    None
                }
            },
            None => None,
        };
        let guard = store.vault.holds_signals.then(|| {
            SignalGuard::prepare();
            SignalGuard::new()
        });
        store.vault.notices.step(format_args!("claiming the tokens in {}", store.place()));
        // A token that still does for a while is not waited for longer than a new leader takes.
        let left = CLAIMING.saturating_sub(store.began.elapsed());
        let patience = if current.is_alive() { READING.min(left) } else { left };
        let claimed = self.claim(token, patience).map_err(|problem| store.error(problem));
        let refresh = |claimed| Refresh {
            claimant: self,
            token: token.clone(),
            journal,
            was_in_doubt,
            claimed: Cell::new(claimed),
            late: Cell::default(),
            began: SystemTime::now(),
            _guard: guard,
        };
        match claimed {
            Ok(Some(claimed)) => Ok(Preparation::Ready(Box::new(refresh(claimed)))),
            Ok(None) => {
                refresh(Instants::now()).withdraw();
                Ok(Preparation::LockLost)
            }
            Err(error) => {
                refresh(Instants::now()).withdraw();
                Err(error)
            }
        }
    }

    /// Replaces what the secret holds, if that still is `old`. `is_only_copy`: no other place has what is
    /// written. `unused`: why its refresh token is not to be sent for a while.
    pub(crate) fn replace(
        &self,
        old: &[u8],
        new: &[u8],
        is_only_copy: bool,
        unused: Option<&Error>,
    ) -> Result<Replaced, StoreError> {
        let store = self.store;
        let fields = {
            let seen = store.seen.borrow();
            if *seen.bytes() != *old {
                return Ok(Replaced::NotAsExpected);
            }
            seen.fields_of_file(new, unused.map(Error::to_string))
        };
        // A server may keep the refresh token in force.
        let is_ours = |secret: &Secret| {
            let is_same = |found: &Map<String, Value>, name| found.get(name) == fields.get(name);
            let found = secret.fields.as_ref();
            found.is_ok_and(|found| {
                ["access_token", "refresh_token"].iter().all(|&name| is_same(found, name))
            })
        };
        let patience = if is_only_copy { COMMITTING_ONLY_COPY } else { COMMITTING };
        match store.settle(&fields, is_ours, patience, Purpose::Commit) {
            Ok(Settled::Applied) => Ok(Replaced::Done),
            Ok(_) => Ok(Replaced::NotAsExpected),
            Err(problem) => {
                // Nobody is to try once more to take it away.
                self.claim.take();
                Err(store.store_error(problem))
            }
        }
    }

    /// Tells all programs that would send this token that it is dead.
    pub(crate) fn refuse(&self, token: &RefreshToken, error: &Error) {
        let Cause::TokensRefused { message, .. } = error.cause() else { return };
        let (host, time) = (platform::host_name(), LocalTime::now());
        let message = format!("{message}, as {host} was told on {time}");
        self.let_go(|notes, _, now| notes.refuse(token, now, &message));
    }
}

impl Drop for Claimant<'_> {
    fn drop(&mut self) {
        self.let_go(|_, _, _| {});
    }
}

/// Since when a secret is not found: destroyed with all its versions, or hidden by a node that was just
/// unsealed.
#[derive(Default)]
struct Missing(Option<Instant>);

impl Missing {
    /// Whether no node hides it for so long. Counts from the first call.
    fn is_certain(&mut self) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() >= UNSEALING
    }
}

/// A moment, by the clock that stops while the machine sleeps, and by the one that is set.
#[derive(Clone, Copy)]
struct Instants {
    monotonic: Instant,
    wall: SystemTime,
}

impl Instants {
    fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

/// What came of [`Claimant::prepare`].
pub(crate) enum Preparation<'a> {
    Ready(Box<Refresh<'a>>),
    /// The secret holds something else by now.
    Superseded,
    /// Another program has the right by now.
    LockLost,
}

/// A refresh whose token is claimed.
pub(crate) struct Refresh<'a> {
    claimant: &'a Claimant<'a>,
    token: RefreshToken,
    /// None where the folder cannot be written: the vault has the only copy then.
    journal: Option<Journal>,
    /// Whether an earlier journal, in whose place this one is, said that a token may have been used.
    was_in_doubt: bool,
    /// When the claim was about to be written.
    claimed: Cell<Instants>,
    /// How often in a row the token was not sent because its claim was too old.
    late: Cell<u32>,
    /// By the local clock.
    began: SystemTime,
    /// A claim that its holder leaves behind lets all others wait.
    _guard: Option<SignalGuard>,
}

impl Refresh<'_> {
    /// Whether the token may be sent now: asked right before its first byte leaves.
    pub(crate) fn confirm(&self) -> bool {
        let Instants { monotonic, wall } = self.claimed.get();
        let may = may_send(monotonic.elapsed(), wall.elapsed().ok()) && !SignalGuard::is_pending();
        if may {
            // The second attempt is as patient.
            self.late.set(0);
        }
        may
    }

    /// Obtains anew the right to send a token that [`confirm`](Self::confirm) has withheld; false if another
    /// program may have it.
    ///
    /// # Errors
    ///
    /// It ends too soon, time and again.
    pub(crate) fn confirm_anew(&self) -> Result<bool> {
        let store = self.claimant.store;
        if SignalGuard::is_pending() || !self.claimant.holds_claim() {
            return Ok(false);
        }
        if self.late.replace(self.late.get() + 1) >= MOST_LATE {
            return Err(store.error(VaultProblem::too_slow()));
        }
        match self.claimant.claim(&self.token, READING) {
            Ok(Some(claimed)) => {
                self.claimed.set(claimed);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(problem) => {
                store.failure.replace(Some(problem));
                Ok(false)
            }
        }
    }

    /// Saves a response as it came, before it is looked at.
    pub(crate) fn record(&self, response: &[u8]) -> io::Result<()> {
        match &self.journal {
            Some(journal) => journal.record(response),
            None => Err(io::Error::other("there is no journal here")),
        }
    }

    /// Leaves a note on a failure, for the programs that waited for this one.
    pub(crate) fn note(&self, error: &Error, was_in_doubt: bool) {
        if let Some(journal) = &self.journal {
            let _ = journal.note(error, was_in_doubt);
        }
        match error {
            // A pair that is set aside may do. If none does, `refuse` tells it.
            error if error.is_refusal() => {}
            error if error.leaves_doubt() => {
                let (message, token) = (error.to_string(), &self.token);
                self.claimant.let_go(|notes, claim, now| notes.fail(token, now, claim, &message));
            }
            _ => self.claimant.let_go(|_, _, _| {}),
        }
    }

    /// Removes the journal of what is committed.
    pub(crate) fn forget(&self) {
        // The commit has told it, to all machines.
        if let Some(files) = self.claimant.files() {
            let _ = files.remove(&files.journal);
        }
    }

    /// Leaves no trace of a refresh whose token was not sent.
    pub(crate) fn withdraw(self) {
        let claimant = self.claimant;
        if let Some(journal) = self.journal
            && !self.was_in_doubt
        {
            journal.withdraw(&claimant.store.files);
        }
        claimant.let_go(|_, _, _| {});
    }

    /// Saves a response in a file of its own.
    pub(crate) fn save_aside(&self, response: &[u8]) -> Result<Place, StoreError> {
        match &self.journal {
            Some(journal) => {
                journal.save_aside(&self.claimant.store.files, response).map(Place::File)
            }
            None => {
                let source = io::Error::other("the folder cannot be written");
                Err(StoreError { place: (&self.claimant.store.files.creds).into(), source })
            }
        }
    }

    /// Where [`record`](Self::record) saves a response.
    pub(crate) fn place(&self) -> Place {
        (&self.claimant.store.files.journal).into()
    }

    /// When this refresh began, by the local clock.
    pub(crate) fn time(&self) -> LocalTime {
        LocalTime::of(self.began)
    }
}

/// The host and process, as a claim names them.
fn this_program() -> String {
    format!("{}:{}", platform::host_name(), process::id())
}

/// Whether a problem may pass by itself: that of a request which was first made at `start`. A node whose
/// leader is gone leads there until it knows the next one.
fn may_pass(problem: &VaultProblem, start: Instant) -> bool {
    match problem {
        VaultProblem::Passing(_) => true,
        VaultProblem::RedirectToLeader(_) => start.elapsed() < bounded(READING),
        _ => false,
    }
}

/// Whether a journal says that a token may have been used, or cannot be read.
fn leaves_doubt(found: &Result<Option<Found>, FileProblem>) -> bool {
    found.as_ref().map_or(true, |found| found.as_ref().is_some_and(Found::leaves_doubt))
}

/// What a test has in place of [`TAKEOVER`], and the most that it has of each patience.
static TIMES_OF_TESTS: OnceLock<[Duration; 2]> = OnceLock::new();

/// Sets them, once for the process. No program does: a claim that is taken over too early is a token that
/// is sent twice.
#[doc(hidden)]
pub fn set_times_of_tests(takeover: Option<Duration>, patience: Option<Duration>) {
    let times = [takeover.unwrap_or(TAKEOVER), patience.unwrap_or(Duration::MAX)];
    TIMES_OF_TESTS.set(times).expect("they are set once");
}

/// [`TAKEOVER`], unless a test has another.
fn takeover() -> Duration {
    TIMES_OF_TESTS.get().map_or(TAKEOVER, |[takeover, _]| *takeover)
}

/// A patience, unless a test has less.
fn bounded(patience: Duration) -> Duration {
    TIMES_OF_TESTS.get().map_or(patience, |[_, most]| patience.min(*most))
}
