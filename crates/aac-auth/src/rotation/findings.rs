//! What is found under the lock.

use crate::error::FileProblem;
use crate::error::Result;
use crate::rotation::Renewal;
use crate::rotation::recovery::{self, JournalState, Note, Recovery, Saved, State};
use crate::store::Content;
use crate::store::journal::Failure;
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::vault::Claimant;
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::secret::Digest;

/// What the store holds, and what earlier runs have saved.
pub(super) struct Findings {
    /// With no token where it is a torn write of our own.
    pub(super) content: Content,
    pub(super) saved: SavedPairs,
}

impl Renewal<'_> {
    /// Reads all that an earlier run, or someone else, may have left.
    pub(super) fn look(&self, lock: &Claimant<'_>) -> Result<Findings> {
        let (settings, notices) = (&self.rotation.settings, self.rotation.notices);
        let files = lock.files();
        let mut saved = SavedPairs::read(files.unwrap_or(self.store.files()), &settings.hosts);
        // Where nothing can be written, only what can be read counts.
        if let Some(obstacle) = saved.obstacle.take().filter(|_| files.is_some()) {
            return Err(obstacle);
        }
        if let (Some(files), Some(problem)) = (files, &saved.record_problem) {
            notices.warn(format_args!("{}: {problem}", files.spent.display()));
        }
        let mut content = lock.read()?;
        if files.is_none() {
            saved = saved.about(content.digest().as_ref());
        }
        if saved.received.as_ref().is_some_and(|pair| pair.is_torn(&content.bytes)) {
            // What a torn file seems to say is nobody's.
            content.pair = Err(FileProblem::Torn);
            content.token = None;
        }
        // Those that were used since are of no use to anyone, nor is one that is in the store as well.
        let current = content.pair.as_ref().ok().map(|pair| pair.refresh_token.digest());
        saved.set_aside.retain(|pair| {
            let is_kept = recovery::is_kept(&pair.into(), current, &saved.spent);
            if !is_kept {
                self.record(lock, &pair.link());
                // Another run may have given its name to a pair of its own by now.
                if let Some(files) = files.filter(|_| lock.is_held().unwrap_or(false)) {
                    let _ = files.remove(&pair.path);
                }
            }
            is_kept
        });
        Ok(Findings { content, saved })
    }
}

impl Findings {
    pub(super) fn decide(&self) -> Recovery<Digest> {
        let Self { content, saved } = self;
        let set_aside: Vec<_> = saved.set_aside.iter().map(Saved::from).collect();
        match recovery::decide(&state(content, saved, &set_aside)) {
            // What another machine says of the token counts as well.
            Recovery::Nothing(mut prior) => {
                prior.in_doubt |= content.in_doubt;
                Recovery::Nothing(prior)
            }
            decided => decided,
        }
    }
}

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
