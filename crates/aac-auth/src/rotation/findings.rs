//! What is found under the lock, by names.

use crate::rotation::recovery::{JournalState, Note, Now, Saved, State};
use crate::store::Content;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::Credentials;
use crate::tokens::journal_format::Failure;
use crate::tokens::secret::Digest;

/// What is decided by of what was found.
pub(super) fn state<'a>(
    content: &Content,
    saved: &'a SavedPairs,
    set_aside: &'a [Saved<Digest>],
) -> State<'a, Digest> {
    let owner = match content.token {
        Some(_) => None,
        None => Claims::within(&String::from_utf8_lossy(content.stored.bytes())),
    };
    beside(saved, set_aside, content.pair.as_ref().ok(), content.digest(), owner.as_ref())
}

/// The same for what earlier runs have saved beside this pair, or this token alone, or the tokens of this
/// owner that cannot be used.
pub(crate) fn beside<'a>(
    saved: &'a SavedPairs,
    set_aside: &'a [Saved<Digest>],
    pair: Option<&Credentials>,
    token: Option<Digest>,
    owner: Option<&Claims>,
) -> State<'a, Digest> {
    let journal = match (&saved.journal, &saved.received) {
        (None, _) => JournalState::None,
        (Some(_), None) if saved.closed.is_some() => JournalState::Closed,
        (Some(found), Some(received)) => JournalState::Received {
            pair: received.into(),
            is_in_creds: pair.is_some_and(|pair| received.response.is_in(pair)),
            note: found.failure.as_ref().map(note),
        },
        (Some(found), None) => {
            JournalState::Unanswered { spent: found.spent, note: found.failure.as_ref().map(note) }
        }
    };
    let owner = owner.map(Claims::account_digest);
    State { creds: token, owner, journal, set_aside, spent: &saved.spent }
}

/// What the home holds, by the name of its token.
pub(super) fn now(content: &Content) -> Now<Digest> {
    match content.digest() {
        Some(token) => Now::Token(token),
        None if content.stored.bytes().trim_ascii().is_empty() => Now::Nothing,
        None => Now::Damaged,
    }
}

impl From<&SavedPair> for Saved<Digest> {
    fn from(pair: &SavedPair) -> Self {
        let account = pair.claims().and_then(Claims::account_digest);
        Self { spent: pair.spent, next: pair.next, account }
    }
}

/// What is decided by of a note on a failure.
fn note(failure: &Failure) -> Note<Digest> {
    let Failure { in_doubt, unused, time, .. } = *failure;
    Note { in_doubt, unused, age: LocalTime::now().0.saturating_sub(time.0) }
}
