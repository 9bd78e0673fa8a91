//! What is found under the lock, by names.

use crate::rotation::recovery::{JournalState, Note, Saved, State};
use crate::store::Content;
use crate::store::journal::Failure;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::secret::Digest;

/// What is decided by of what was found.
pub(super) fn state<'a>(
    content: &Content,
    saved: &'a SavedPairs,
    set_aside: &'a [Saved<Digest>],
) -> State<'a, Digest> {
    let journal = match (&saved.journal, &saved.received) {
        (None, _) => JournalState::None,
        (Some(found), Some(received)) => JournalState::Received {
            pair: received.into(),
            is_in_creds: (content.pair.as_ref()).is_ok_and(|pair| received.response.is_in(pair)),
            note: found.failure.as_ref().map(note),
        },
        (Some(found), None) => {
            JournalState::Unanswered { spent: found.spent, note: found.failure.as_ref().map(note) }
        }
    };
    let owner = match content.token {
        Some(_) => None,
        None => Claims::within(&String::from_utf8_lossy(&content.bytes)),
    };
    State {
        creds: content.digest(),
        owner: owner.map(|owner| owner.account_digest()),
        journal,
        set_aside,
        spent: &saved.spent,
    }
}

impl From<&SavedPair> for Saved<Digest> {
    fn from(pair: &SavedPair) -> Self {
        let account = pair.claims().and_then(Claims::account_digest);
        Self { spent: pair.spent, next: pair.next, account }
    }
}

/// What is decided by of a note on a failure.
pub(crate) fn note(failure: &Failure) -> Note<Digest> {
    let Failure { in_doubt, unused, time, .. } = *failure;
    Note { in_doubt, unused, age: LocalTime::now().0.saturating_sub(time.0) }
}
