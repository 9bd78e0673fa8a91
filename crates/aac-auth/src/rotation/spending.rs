//! Makes a refresh: from the rehearsal to the commit of its response.

use crate::error::place::Place;
use crate::error::{Cause, Error, Result, after_colon};
use crate::platform::signals::SignalGuard;
use crate::rotation::attempts::{self, Attempts, Next};
use crate::rotation::commit::{Committed, Received};
use crate::rotation::recovery::{self, PriorAttempt};
use crate::rotation::refresh::{Instead, Outcome};
use crate::rotation::spendable::{Current, Spendable};
use crate::rotation::{Fresh, Renewal};
use crate::store::StoreError;
use crate::store::saved::SavedPairs;
use crate::store::vault::{Claimant, Preparation, Refresh};
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// When a person is told that the server takes its time.
const SLOW: Duration = Duration::from_secs(3);
const WAITING: &str = "waiting for the authorization server, for up to two minutes";
/// The same where signals are held: only then does anyone wonder about Ctrl-C.
const HELD: &str = "waiting for the authorization server, for up to two minutes; Ctrl-C waits until the new tokens are saved";

/// What came of using a token.
pub(super) enum Spent {
    Saved(Fresh),
    /// Someone else put other tokens into the store: they are to be used.
    Superseded,
    /// Another program has the lock by now. Nothing was sent.
    LockLost,
}

/// What an attempt has led to.
enum Attempted<'lock> {
    Received(Box<Received>),
    /// The token was not sent, because it may not be any more.
    Withheld(Spendable<'lock>),
    Failed {
        outcome: attempts::Outcome,
        /// Where it is sent again, what this means is told by `--verbose` alone.
        error: Error,
        /// The right to send it again.
        again: Option<Spendable<'lock>>,
    },
}

impl Renewal<'_> {
    /// Makes the refresh, and commits its response to the store, which holds `in_store` now.
    pub(super) fn spend(
        &self,
        lock: &Claimant<'_>,
        pair: &Current<'_>,
        in_store: &Credentials,
        prior: &PriorAttempt,
    ) -> Result<Spent> {
        let notices = self.rotation.notices;
        let prepared = match lock.prepare(in_store, &pair.credentials) {
            Ok(Preparation::Ready(prepared)) => *prepared,
            Ok(Preparation::Superseded) => return Ok(Spent::Superseded),
            Ok(Preparation::LockLost) => return Ok(Spent::LockLost),
            Err(error) if prior.in_doubt => return Err(error.after_doubt()),
            Err(error) => return Err(error),
        };
        let endpoint = &pair.credentials.token_endpoint;
        if !pair.credentials.is_issuer_familiar {
            notices.warn(format_args!(
                "the refresh token goes to {endpoint}, which is not a known authorization server"
            ));
        }
        notices.step(format_args!("refreshing the tokens at {endpoint}"));
        let mut guard = None;
        let received = match self.ask(pair, &prepared, prior, &mut guard) {
            Ok(received) => received,
            Err(error) if error.is_unsent() && !lock.is_held().unwrap_or(true) => None,
            Err(error) => {
                prepared.note(&error, prior.in_doubt);
                drop((prepared, guard));
                let is_in_store = pair.credentials.refresh_token == in_store.refresh_token;
                // Whoever is told by the store that its token is dead comes after one that has looked.
                return match error.is_refusal() && is_in_store && self.has_changed(in_store) {
                    true => Ok(Spent::Superseded),
                    false => Err(error),
                };
            }
        };
        let Some(received) = received else {
            // That an earlier run may have used the token is told by nothing else.
            if !prior.in_doubt {
                prepared.withdraw();
            }
            return Ok(Spent::LockLost);
        };
        notices.step("received the new tokens");
        let (spent, place) = match self.commit(lock, &prepared, &received, pair, in_store) {
            Committed::Saved(fresh) => (Spent::Saved(fresh), self.store.place()),
            Committed::GaveWay => (Spent::Superseded, self.store.place()),
            Committed::Failed(error, fresh) => {
                let place = self.save_elsewhere(&prepared, &received, error)?;
                (Spent::Saved(fresh), place)
            }
        };
        drop(guard);
        match (received.unused, &spent) {
            (Some(mut error), Spent::Saved(_)) => {
                if place != self.store.place() {
                    // The next run puts it in place, and tries it.
                    error = self.unused(&received.response, pair, &place, None).unwrap_or(error);
                }
                Err(error)
            }
            _ => Ok(spent),
        }
    }

    /// Sees to it that a response is saved that the store has not taken, and says where it is.
    fn save_elsewhere(
        &self,
        prepared: &Refresh<'_>,
        received: &Received,
        StoreError { place, source }: StoreError,
    ) -> Result<Place> {
        let saved = match &received.saved {
            Ok(()) => Ok(prepared.place()),
            Err(_) => prepared.save_aside(&received.body),
        };
        match saved {
            Ok(journal) => {
                self.rotation.notices.warn(Error::saved_in_journal(&journal, &place, source));
                Ok(journal)
            }
            Err(_) => {
                let page = self.rotation.settings.hosts.token_page();
                Err(Error::not_saved(&self.store.place(), source, &page))
            }
        }
    }

    /// Sends the token until there is a response, or none is to be had; nothing if another program has
    /// the lock before that.
    fn ask(
        &self,
        pair: &Current<'_>,
        prepared: &Refresh<'_>,
        prior: &PriorAttempt,
        guard: &mut Option<SignalGuard>,
    ) -> Result<Option<Received>> {
        let (rotation, notices) = (self.rotation, self.rotation.notices);
        if rotation.holds_signals {
            SignalGuard::prepare();
        }
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let mut lost_at = None;
        let mut lost: Option<(String, Option<u16>)> = None;
        let mut spendable = pair.to_spend();
        loop {
            let before = || {
                // Until now a signal ends the run, and the lock with it.
                if rotation.holds_signals && guard.is_none() {
                    *guard = Some(SignalGuard::new());
                }
                prepared.confirm()
            };
            let text = if rotation.holds_signals { HELD } else { WAITING };
            let patience = notices.after(SLOW, || Some(text.to_owned()));
            let deadline =
                lost_at.map_or(start + attempts::FIRST, |at: Instant| at + attempts::SECOND);
            let outcome =
                spendable.send(self.transport, deadline, before, |body| prepared.record(body));
            drop(patience);
            let (outcome, error, again) =
                match self.judge(outcome, pair, prepared, prior, lost.as_ref())? {
                    Attempted::Received(received) => return Ok(Some(*received)),
                    Attempted::Withheld(again) => match (prepared.confirm_anew(), &lost) {
                        (Ok(true), _) if Instant::now() < deadline => {
                            spendable = again;
                            continue;
                        }
                        (_, Some(lost)) => return Err(self.lost(lost, pair)),
                        (Err(error), None) if prior.in_doubt => return Err(error.after_doubt()),
                        (Err(error), None) => return Err(error),
                        (Ok(_), None) => return Ok(None),
                    },
                    Attempted::Failed { outcome, error, again } => (outcome, error, again),
                };
            let next = attempts.next(outcome);
            if attempts.is_in_doubt() {
                lost_at.get_or_insert_with(Instant::now);
            }
            let deadline = lost_at.map_or(start + attempts::FIRST, |at| at + attempts::SECOND);
            if !attempts.is_in_doubt() {
                // Nothing is on its way: a signal that came meanwhile ends the run now.
                *guard = None;
            }
            let error = match (error.cause(), &lost) {
                (Cause::ResponseLost { what, status }, _) => {
                    lost = Some((what.clone(), *status));
                    error
                }
                // That an earlier attempt may have used the token is the graver news.
                (_, Some(lost)) => self.lost(lost, pair),
                (_, None) => error,
            };
            let (Next::SendAfter(pause), Some(again)) = (next, again) else {
                return Err(error);
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            if !attempts.is_in_doubt() && SignalGuard::is_pending() {
                // It ends the run once what is prepared is undone.
                return Err(error);
            }
            notices.step(format_args!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
            thread::sleep(pause);
            spendable = again;
        }
    }

    /// What an outcome means. `lost` is what happened to the response of an earlier attempt.
    fn judge<'lock>(
        &self,
        outcome: Outcome<'lock>,
        pair: &Current<'_>,
        prepared: &Refresh<'_>,
        prior: &PriorAttempt,
        lost: Option<&(String, Option<u16>)>,
    ) -> Result<Attempted<'lock>> {
        let url = &pair.credentials.token_endpoint;
        let (hosts, in_doubt) = (&self.rotation.settings.hosts, prior.in_doubt);
        let refused = |message: String| {
            let earlier = || "an earlier run was interrupted, or lost the response".to_owned();
            let lost = lost.map(|(what, _)| what.clone());
            let lost = lost.or_else(|| in_doubt.then(earlier));
            let (creds, page) = (self.store.place(), hosts.token_page());
            Error::tokens_refused(url, message, &creds, &page, lost.as_deref())
        };
        let (outcome, error, again) = match outcome {
            Outcome::Withheld(spendable) => return Ok(Attempted::Withheld(spendable)),
            Outcome::NotSent { reason, spendable } => {
                let outcome = attempts::Outcome::NotSent { is_lasting: reason.is_lasting() };
                let error = Error::auth_server_unreachable(url, &reason, in_doubt);
                (outcome, error, Some(spendable))
            }
            Outcome::Busy { status, wait, spendable } => {
                let error = Error::auth_server_busy(url, status, wait, in_doubt);
                (attempts::Outcome::Busy { wait }, error, Some(spendable))
            }
            Outcome::InvalidGrant { message } => return Err(refused(message)),
            Outcome::Refused { status, message, by } => {
                let error = Error::refresh_refused(url, status, &message, by, in_doubt);
                (attempts::Outcome::Refused, error, None)
            }
            Outcome::Received { body, saved, instead, again } => {
                if let Some(response) = TokenResponse::parse(&body, prepared.time(), hosts) {
                    let (place, page) = (self.store.place(), hosts.token_page());
                    let unused = self.unused(&response, pair, &place, Some(&page));
                    let received = Received { response, body, saved, unused };
                    return Ok(Attempted::Received(Box::new(received)));
                }
                match instead {
                    Instead::InvalidGrant { message } => return Err(refused(message)),
                    Instead::Error { message } => {
                        let what = format!("an error came in its place{}", after_colon(&message));
                        (attempts::Outcome::Error, self.lost(&(what, None), pair), None)
                    }
                    Instead::Nothing { what } => {
                        let error = self.lost(&(what, None), pair);
                        let again = Some(again.once_more());
                        (attempts::Outcome::InDoubt { wait: None }, error, again)
                    }
                }
            }
            Outcome::InDoubt { what, status, wait, again } => {
                let error = self.lost(&(what, status), pair);
                (attempts::Outcome::InDoubt { wait }, error, Some(again.once_more()))
            }
        };
        Ok(Attempted::Failed { outcome, error, again })
    }

    fn lost(&self, (what, status): &(String, Option<u16>), pair: &Current<'_>) -> Error {
        let url = &pair.credentials.token_endpoint;
        let page = self.rotation.settings.hosts.token_page();
        Error::response_lost(url, what, *status, &self.store.place(), &page)
    }

    /// The error of a response whose access token is of no use, if it is one.
    fn unused(
        &self,
        response: &TokenResponse,
        pair: &Current<'_>,
        place: &Place,
        page: Option<&str>,
    ) -> Option<Error> {
        let problem = response.claims().err()?.to_string();
        let Credentials { token_endpoint, claims, .. } = &pair.credentials;
        Some(Error::no_access_token(token_endpoint, &problem, &claims.account(), place, page))
    }

    /// Whether the store gets another refresh token within two seconds: a program that takes no lock
    /// may have used ours, and be about to save what it got for it.
    fn has_changed(&self, refused: &Credentials) -> bool {
        let start = Instant::now();
        let (mut pause, longest) = self.store.pauses();
        loop {
            let now = self.store.read();
            if now.is_ok_and(|now| now.refresh_token != refused.refresh_token) {
                return true;
            }
            if start.elapsed() > Duration::from_secs(2) {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Tries the pairs of the same account that were set aside, newest first, once the store's own is
    /// dead. Those of other accounts are named: to switch is for the user to decide.
    pub(super) fn spend_set_aside(
        &self,
        lock: &Claimant<'_>,
        current: &Current<'_>,
        mut refused: Error,
        saved: &SavedPairs,
    ) -> Result<Spent> {
        let (rotation, in_store) = (self.rotation, &current.credentials);
        let account = in_store.claims.account_digest();
        let mut others: Vec<(PathBuf, String)> = Vec::new();
        for pair in saved.set_aside.iter().rev() {
            if !recovery::may_replace(&pair.into(), account) {
                others.push((pair.path.clone(), pair.account()));
                continue;
            }
            let merged = Document::parse(&in_store.bytes)
                .map(|base| pair.merge_into(base).to_bytes())
                .and_then(|bytes| Credentials::parse(bytes, &rotation.settings.hosts));
            let Ok(credentials) = merged else { continue };
            rotation.notices.warn(format_args!(
                "the refresh token in {} is refused; trying the one that was set aside in {}",
                self.store.place(),
                pair.path.display()
            ));
            // No journal is left that would tell whether an earlier run has used it.
            let prior = PriorAttempt { in_doubt: true, is_noted: false };
            let spent = self.spend(lock, &Current::of(credentials, lock), in_store, &prior);
            let is_refused = spent.as_ref().is_err_and(Error::is_refusal);
            if is_refused || matches!(spent, Ok(Spent::Saved(_))) {
                // Used, or dead as well, so there is nothing to keep.
                self.record(lock, &pair.link());
                // Another run may have given its name to a pair of its own by now.
                if let Some(files) = lock.files().filter(|_| lock.is_held().unwrap_or(false)) {
                    let _ = files.remove(&pair.path);
                }
            }
            if !is_refused {
                return spent;
            }
        }
        let unreadable = saved.unreadable.iter();
        others.extend(unreadable.map(|(path, problem)| (path.clone(), problem.to_string())));
        refused.name_set_aside(&self.store.place(), &others);
        lock.refuse(&in_store.refresh_token, &refused);
        Err(refused)
    }
}
