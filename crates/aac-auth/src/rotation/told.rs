//! What a call has met, and its end in words.

use crate::error::notices::warn;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::platform::signals::SignalGuard;
use crate::rotation::drive::{Call, Came};
use crate::rotation::machine::{End, Kept, Pair, Told};
use crate::rotation::recovery::{Saved, is_kept, may_replace};
use crate::rotation::{Fresh, PATIENCE};
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::{Content, StoreError};
use crate::tokens::credentials::TokenResponse;
use crate::tokens::journal_format::Failure;
use crate::tokens::sealed::Stored;
use crate::tokens::secret::Digest;
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What a call has met, to be told at its end.
#[derive(Default)]
pub(super) struct Met {
    /// The last error.
    pub(super) last: Option<Error>,
    /// That the response was lost.
    pub(super) lost: Option<Error>,
    /// That the token in the home is dead.
    pub(super) refused: Option<Error>,
    /// The token to make the call with.
    pub(super) fresh: Option<Fresh>,
    pub(super) received: Option<Received>,
    /// Why the home did not take it.
    pub(super) refusal: Option<StoreError>,
    /// Signals are held as long as this is there.
    pub(super) guard: Option<SignalGuard>,
}

impl Met {
    pub(super) fn failed(&mut self, error: Error) -> Came {
        self.last = Some(error);
        Came::Failed
    }

    pub(super) fn not_taken(&mut self, error: StoreError) -> Came {
        self.refusal = Some(error);
        Came::Failed
    }
}

/// A response of use.
pub(super) struct Received {
    pub(super) response: TokenResponse,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Where it is, if not in the home.
    pub(super) place: Place,
    /// Of the pair that was used for it.
    pub(super) token_endpoint: String,
    pub(super) account: String,
}

impl Received {
    /// The error of a response whose access token is of no use, if it is one.
    pub(super) fn unused(&self, place: &Place, page: Option<&str>) -> Option<Error> {
        let problem = self.response.claims().err()?.to_string();
        Some(Error::no_access_token(&self.token_endpoint, &problem, &self.account, place, page))
    }
}

/// What was found under the lock.
pub(super) struct Findings {
    pub(super) content: Content,
    pub(super) saved: SavedPairs,
}

impl Default for Findings {
    fn default() -> Self {
        let content = Content::of(Stored::default(), Err(FileProblem::Missing));
        Self { content, saved: SavedPairs::default() }
    }
}

impl Findings {
    pub(super) fn pair(&self, kept: Kept<Digest>) -> Option<&SavedPair> {
        let Pair { spent, next } = kept.pair();
        match kept {
            Kept::Journal(_) => self.saved.received.as_ref(),
            Kept::Aside(_) => {
                self.saved.set_aside.iter().rfind(|it| (it.spent, it.next) == (spent, next))
            }
        }
    }

    /// The pairs set aside that may be good, newest last, each with its account.
    fn usable(&self, is_meant: impl Fn(&Saved<Digest>) -> bool) -> Vec<(PathBuf, String)> {
        let SavedPairs { set_aside, spent, .. } = &self.saved;
        let in_home = self.content.digest();
        let usable = set_aside.iter().filter(|pair| {
            let saved = Saved::from(*pair);
            // One that could not be removed is still there.
            is_kept(&saved, in_home, spent) && is_meant(&saved)
        });
        usable.map(|pair| (pair.path.clone(), pair.account())).collect()
    }
}

impl Call<'_> {
    pub(super) fn unusable(&self, problem: FileProblem) -> Error {
        Error::unusable(self.home.place(), problem)
    }

    /// The error of a home that others keep changing.
    pub(super) fn changing(&self) -> Error {
        Error::changing(&self.home.place())
    }

    /// Puts the end into words. What was met on the way to a token has been said.
    pub(super) fn end(
        &self,
        End { told, says, .. }: End<Digest>,
        mut found: Findings,
        met: Met,
    ) -> Result<Fresh> {
        let place = self.home.place();
        let source = || io::Error::other("other programs keep changing it");
        let unchanging = || StoreError { place: self.home.place(), source: source() };
        let error = match told {
            Told::Found | Told::New | Told::NotRestored => {
                let in_home = found.content.pair.ok().filter(|_| told == Told::Found);
                match met.fresh.or(in_home.map(Fresh::old)) {
                    Some(fresh) => return Ok(fresh),
                    None => met.last,
                }
            }
            Told::NotCommitted => {
                let StoreError { place: at, source } = met.refusal.unwrap_or_else(unchanging);
                let received = met.received.as_ref();
                let saved = received.map_or(&place, |received| &received.place);
                warn(Error::saved_in_journal(saved, &at, source));
                // The next run puts it in place, and tries it.
                match (received.and_then(|it| it.unused(&it.place, None)), met.fresh) {
                    (None, Some(fresh)) => return Ok(fresh),
                    (unused, _) => unused,
                }
            }
            Told::NotSaved => {
                let source = met.refusal.unwrap_or_else(unchanging).source;
                Some(Error::not_saved(&place, source, &self.page()))
            }
            Told::Unused => met.received.and_then(|it| it.unused(&place, Some(&self.page()))),
            Told::Late => Some(self.home.waited_too_long(PATIENCE)),
            Told::Changing => None,
            Told::Lost => met.lost,
            Told::Unusable => found.content.pair.err().map(|problem| self.unusable(problem)),
            // It may hold the only copy of a pair.
            Told::NoTokens => match (found.saved.unreadable.pop(), found.content.pair) {
                (Some((path, problem)), _) => Some(Error::unusable(&path, problem)),
                (None, pair) => pair.err().map(|problem| self.unusable(problem)),
            },
            Told::Closed => found.saved.into_closed(&self.home.files().journal),
            Told::Noted => {
                let failure = found.saved.journal.as_ref().and_then(|found| found.failure.as_ref());
                failure.map(Failure::told)
            }
            Told::OlderCopy => {
                let used = |token| found.saved.spent.used_since(token);
                let since = found.content.digest().and_then(used).unwrap_or_default();
                Some(Error::older_copy(&place, &since.to_string(), &self.page()))
            }
            Told::SeveralAccounts => Some(Error::several_pairs(&place, &found.usable(|_| true))),
            Told::Dead => met.refused.map(|mut refused| {
                let pair = found.content.pair.as_ref().ok();
                let account = pair.and_then(|pair| pair.claims.account_digest());
                let mut others = found.usable(|pair| !may_replace(pair, account));
                others.reverse();
                let unreadable = found.saved.unreadable.iter();
                others
                    .extend(unreadable.map(|(path, problem)| (path.clone(), problem.to_string())));
                refused.name_set_aside(&place, &others);
                refused
            }),
            Told::Failed | Told::TooSlow => met.last,
        };
        let error = error.unwrap_or_else(|| self.changing());
        match says {
            Some(says) if says.in_doubt => Err(error.after_doubt()),
            _ => Err(error),
        }
    }
}
