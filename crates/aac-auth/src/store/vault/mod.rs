//! The second home of a pair: a secret in a vault, for many machines.
//!
//! In place of the kernel's lock there is a claim in the secret: a write with check-and-set, which only one
//! program can make. The journal stays on the machine, beside the creds.json that names the secret or, with
//! `AAC_VAULT`, in a folder of its own, if that can be written. The steps are in ROTATION.md, beside this crate's Cargo.toml.

mod client;
mod document;
mod environment;
pub(crate) mod protocol;

pub(crate) use environment::NAMESPACE;

use crate::config::settings::Hosts;
use crate::error::notices::{Notices, warn};
use crate::error::place::Place;
use crate::error::vault::VaultProblem;
use crate::error::{self, Cause, Error, ErrorKind, FileProblem, Result};
use crate::http::retry::jittered;
use crate::platform;
use crate::platform::signals::SignalGuard;
use crate::random;
use crate::store::file_store::not_writable;
use crate::store::folder::{Files, at, make_folder};
use crate::store::home::Ending;
use crate::store::lock::Lock;
use crate::store::saved::{self, SavedPairs};
use crate::store::vault::client::{Client, Seen};
use crate::store::vault::document::{Claim, Note, Notes, Secret};
use crate::store::vault::environment::Environment;
use crate::store::vault::protocol::{
    Holder, Settled, TAKEOVER, Told, holder, is_in_doubt, is_made_anew, is_newer, settle, told,
};
use crate::store::{Content, Replaced, StoreError, Unusable};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::Credentials;
use crate::tokens::sealed::{Opener, Stored};
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
/// How long a commit is tried: with a journal on this machine, and without.
const COMMITTING: Duration = Duration::from_secs(100);
const COMMITTING_ONLY_COPY: Duration = Duration::from_secs(600);

/// A connection to a vault, kept by a client for all its calls.
#[derive(Debug)]
pub(crate) struct Vault {
    client: Client,
    hosts: Hosts,
    notices: Notices,
}

impl Vault {
    /// Reads the environment. Sends nothing.
    pub(crate) fn connect(
        hosts: &Hosts,
        notices: Notices,
        user_agent: &str,
    ) -> Result<Self, VaultProblem> {
        let client = Client::new(Environment::read()?, user_agent);
        Ok(Self { client, hosts: hosts.clone(), notices })
    }

    fn place(&self, path: &str) -> Place {
        Place::Secret { path: path.to_owned(), vault: Some(self.client.address().to_owned()) }
    }
}

/// The secret that creds.json or `AAC_VAULT` names, as one call sees it.
#[derive(Debug)]
pub(crate) struct VaultStore<'a> {
    vault: &'a Vault,
    /// The path of its API, such as `secret/data/aac`.
    path: &'a str,
    /// Beside the creds.json that names it, or in a folder of its own.
    files: Files,
    /// For what this machine has saved. The secret itself is never sealed.
    opener: Opener<'a>,
    /// The newest version that was seen.
    seen: RefCell<Secret>,
    /// The claim of another program, and since when it has not changed.
    watched: RefCell<Option<(u64, Claim, Instant)>>,
    /// Whether what was seen is not to be read again: a write has just shown it, or a note in it ends the use.
    is_current: Cell<bool>,
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
    pub(crate) fn of(vault: &'a Vault, path: &'a str, creds: &Path, opener: Opener<'a>) -> Self {
        Self {
            vault,
            path,
            files: Files::of_pointer(creds),
            opener,
            seen: RefCell::default(),
            watched: RefCell::default(),
            is_current: Cell::default(),
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
        let error = self.store_error(problem.clone());
        saved::as_left(&self.files, &self.vault.hosts, self.opener, error, |error, in_doubt| {
            Error::vault(&error.place, &problem, in_doubt)
        })
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
            warn(format_args!(
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

    /// What the claim in the version that was seen means.
    pub(crate) fn holder(&self) -> Holder {
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

    /// Whether this machine has saved a pair for the token in the secret.
    pub(crate) fn may_commit_journal(&self) -> bool {
        if !self.files.have_saved_pair() {
            return false;
        }
        let Some(token) = self.content(None).digest() else { return false };
        let saved = SavedPairs::read(&self.files, &self.vault.hosts, self.opener);
        let mut pairs = saved.received.iter().chain(&saved.set_aside);
        pairs.any(|pair| pair.spent == token && pair.next != token)
    }

    /// The version that was seen, for a program with this claim.
    fn content(&self, ours: Option<&Claim>) -> Content {
        let seen = self.seen.borrow();
        match &seen.fields {
            Ok(_) => {
                let stored = Stored::plain(seen.bytes());
                let pair = Credentials::parse(stored.clone(), &self.vault.hosts);
                let pair = match pair {
                    Ok(mut pair) => {
                        pair.arrival = seen.arrival(&pair.claims);
                        Ok(pair)
                    }
                    // There is but one step from creds.json to a secret.
                    Err(FileProblem::InVault(_)) => Err(FileProblem::no_token("refresh_token")),
                    Err(problem) => Err(problem),
                };
                let mut content = Content::of(stored, pair);
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
                let help = error::unused(&page(), &self.place());
                Some(Error::noted(ErrorKind::AuthServer, &unused?.message, &help, 1))
            }
            Told::Failed => {
                let help = "Run this again.";
                Some(Error::noted(ErrorKind::AuthServer, &failed?.message, help, 1))
            }
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

    /// Takes the machine's lock; none if another program of this machine has it. Where the folder cannot be
    /// written, the claim alone is enough.
    pub(crate) fn lock(&self) -> Option<Claimant<'_>> {
        if !self.files.folder.exists() {
            // Where that fails, no lock can be taken either.
            let _ = make_folder(&self.files.folder);
        }
        // Programs of one machine need not ask the vault who is first.
        let lock = match Lock::try_acquire(&self.files) {
            Ok(None) => return None,
            Ok(lock) => {
                lock.filter(|_| self.files.can_be_made() && !self.files.is_journal_foreign())
            }
            Err(_) => None,
        };
        if let Some((_, claim, _)) = &*self.watched.borrow()
            && self.holder() == Holder::Dead
        {
            warn(format_args!(
                "{}: {} claimed the tokens and has not been heard of for {} s; trying in its place",
                self.place(),
                claim.holder,
                takeover().as_secs()
            ));
        }
        let refresh = format!("{}{}", random::name(), random::name());
        let (claims, claim, doubtful) = Default::default();
        Some(Claimant { store: self, lock, refresh, claims, claim, doubtful })
    }

    /// The error of a run that has waited in vain.
    pub(crate) fn waited_too_long(&self, waited: Duration) -> Error {
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
    lock: Option<Lock<'a>>,
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

    /// Claims the tokens of the version that was seen: the permission to send the refresh token. A token that
    /// still does for a while is not waited for longer than a new leader takes.
    pub(crate) fn claim(
        &self,
        sent: &RefreshToken,
        is_first: bool,
        can_wait: bool,
    ) -> Result<Option<Claimed>> {
        let store = self.store;
        if !is_first && !self.holds_claim() {
            return Ok(None);
        }
        store.vault.notices.step(format_args!("claiming the tokens in {}", store.place()));
        let left = CLAIMING.saturating_sub(store.began.elapsed());
        let patience = match (is_first, can_wait) {
            (true, true) => READING.min(left),
            (true, false) => left,
            (false, _) => READING,
        };
        self.try_claim(sent, patience).map_err(|problem| {
            let error = store.error(problem.clone());
            store.failure.replace(Some(problem).filter(|_| !is_first));
            error
        })
    }

    fn try_claim(
        &self,
        sent: &RefreshToken,
        patience: Duration,
    ) -> Result<Option<Claimed>, VaultProblem> {
        let store = self.store;
        let number = self.claims.get() + 1;
        self.claims.set(number);
        let claim = Claim { nonce: format!("{}.{number}", self.refresh), holder: this_program() };
        let start = Claimed::now();
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

impl Claimant<'_> {
    /// Whether other programs of this machine still see the lock.
    ///
    /// # Errors
    ///
    /// That cannot be told.
    pub(crate) fn is_held(&self) -> Result<bool> {
        self.lock.as_ref().map_or(Ok(true), Lock::is_named).map_err(not_writable)
    }

    /// The lock, with the files beside the pointer.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub(crate) fn lock(&self) -> Result<&Lock<'_>, StoreError> {
        let none = || at(&self.store.files.creds)(io::Error::other("the folder cannot be written"));
        self.lock.as_ref().ok_or_else(none)
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

    /// Sees whether the secret is as it was seen, and what others have noted on the token that is to be sent.
    ///
    /// # Errors
    ///
    /// What is noted.
    pub(crate) fn rehearse(&self, in_home: &Credentials, sent: &Credentials) -> Result<Replaced> {
        let store = self.store;
        if *store.seen.borrow().bytes() != *in_home.stored.raw {
            return Ok(Replaced::NotAsExpected);
        }
        if self.holds_claim() {
            return Ok(Replaced::Done);
        }
        if store.holder() == Holder::Alive {
            return Ok(Replaced::LockLost);
        }
        let noted = store.noted(sent);
        // What comes next is judged by what was just seen.
        store.is_current.set(noted.is_some());
        noted.map_or(Ok(Replaced::Done), Err)
    }

    /// Ends the claim, with a note if the token may have been used, or is dead.
    pub(crate) fn end_claim(&self, token: &RefreshToken, ending: Ending<'_>) {
        match ending {
            // A pair that is set aside may do.
            Ending::Failed(error) if error.is_refusal() => {}
            Ending::Failed(error) if error.leaves_doubt() => {
                let message = error.to_string();
                self.let_go(|notes, claim, now| notes.fail(token, now, claim, &message));
            }
            Ending::Unsent | Ending::Failed(_) => self.let_go(|_, _, _| {}),
            Ending::Dead(error) => {
                let Cause::TokensRefused { message, .. } = error.cause() else { return };
                let (host, time) = (platform::host_name(), LocalTime::now());
                let message = format!("{message}, as {host} was told on {time}");
                self.let_go(|notes, _, now| notes.refuse(token, now, &message));
            }
        }
    }

    /// Puts a pair that a person has made in place of the version that was seen. That ends claims and notes of others.
    ///
    /// # Errors
    ///
    /// A problem that stays: nothing is lost then.
    pub(crate) fn put(&self, new: &[u8]) -> Result<Replaced> {
        let store = self.store;
        let fields = store.seen.borrow().fields_of_file(new, None);
        let is_ours = |secret: &Secret| has_tokens_of(secret, &fields);
        match store.settle(&fields, is_ours, READING, Purpose::Claim) {
            Ok(Settled::Applied) => Ok(Replaced::Done),
            Ok(_) => Ok(Replaced::NotAsExpected),
            Err(VaultProblem::Denied(_)) if store.seen.borrow().number == 0 => {
                Err(store.error(VaultProblem::denied_new()))
            }
            Err(problem) => Err(store.error(problem)),
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
        let is_ours = |secret: &Secret| has_tokens_of(secret, &fields);
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
}

impl Drop for Claimant<'_> {
    fn drop(&mut self) {
        self.let_go(|_, _, _| {});
    }
}

/// Whether a secret has the tokens of these fields. A server may keep the refresh token in force.
fn has_tokens_of(secret: &Secret, fields: &Map<String, Value>) -> bool {
    let found = secret.fields.as_ref();
    found.is_ok_and(|found| {
        ["access_token", "refresh_token"].iter().all(|&name| found.get(name) == fields.get(name))
    })
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

/// When a claim was about to be written, by the clock that stops while the machine sleeps, and by the one that
/// is set.
#[derive(Clone, Copy)]
pub(crate) struct Claimed {
    monotonic: Instant,
    wall: SystemTime,
}

impl Claimed {
    fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// How long ago that was, by each clock; none where it was set back.
    pub(crate) fn elapsed(&self) -> (Duration, Option<Duration>) {
        (self.monotonic.elapsed(), self.wall.elapsed().ok())
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
pub(crate) fn bounded(patience: Duration) -> Duration {
    TIMES_OF_TESTS.get().map_or(patience, |[_, most]| patience.min(*most))
}
