//! Puts a response into the store, unless someone put other tokens there meanwhile: those stay.

use crate::error::Error;
use crate::rotation::recovery::{self, Commit, Now};
use crate::rotation::spendable::Current;
use crate::rotation::{Fresh, Renewal};
use crate::store::spent::Link;
use crate::store::vault::{Claimant, Refresh};
use crate::store::{Replaced, StoreError};
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use std::io;
use zeroize::Zeroizing;

/// How often the store may turn out to have changed between two looks at it: nobody means to do that so often.
const LOOKS: u32 = 100;

/// A response that is of use.
pub(super) struct Received {
    pub(super) response: TokenResponse,
    /// As it came.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Whether the journal has it.
    pub(super) saved: io::Result<()>,
    /// Why its access token is of no use, if that is so.
    pub(super) unused: Option<Error>,
}

/// What became of a response.
pub(super) enum Committed {
    Saved(Fresh),
    /// The store has someone else's tokens.
    GaveWay,
    /// The store could not be written. The token will do for now.
    Failed(StoreError, Fresh),
}

impl Renewal<'_> {
    /// Commits a response for `pair` to the store, which held `in_store` when the token was sent.
    pub(super) fn commit(
        &self,
        lock: &Claimant<'_>,
        prepared: &Refresh<'_>,
        received: &Received,
        pair: &Current<'_>,
        in_store: &Credentials,
    ) -> Committed {
        let Received { response, saved, unused, .. } = received;
        let sent = &pair.credentials.refresh_token;
        let spent = sent.digest();
        let link = Link { next: response.next(&spent), spent, time: prepared.time() };
        let before = in_store.refresh_token.digest();
        let mut looks = 0;
        loop {
            looks += 1;
            let Ok(now) = lock.read() else {
                // It may hold anything, so it is not ours to overwrite.
                return self.give_way(lock, prepared, received, &link);
            };
            let token = now.digest();
            let state = match token {
                Some(token) => Now::Token(token),
                None if now.bytes.trim_ascii().is_empty() => Now::Nothing,
                None => Now::Damaged,
            };
            let decided = recovery::commit(state, before);
            if decided == Commit::GiveWay {
                return self.give_way(lock, prepared, received, &link);
            }
            let base = if now.pair.is_ok() { &now.bytes } else { &in_store.bytes };
            let base = Document::parse(base).unwrap_or_default();
            let bytes = response.merge_into(base, Some(sent)).to_bytes();
            let damaged = Some(&now.bytes).filter(|_| decided == Commit::KeepDamagedAndWrite);
            let is_only_copy = saved.is_err() && damaged.is_none();
            let replaced = self
                .keep_damaged(lock, damaged)
                .and_then(|()| lock.replace(&now.bytes, &bytes, is_only_copy, unused.as_ref()));
            let replaced = match replaced {
                Ok(Replaced::NotAsExpected) if looks < LOOKS => continue,
                Ok(Replaced::NotAsExpected) => Err(StoreError {
                    place: self.store.place(),
                    source: io::Error::other("another program keeps changing it"),
                }),
                replaced => replaced,
            };
            let token = match Credentials::parse(bytes, &self.rotation.settings.hosts) {
                Ok(pair) => pair.access_token,
                // It was made of parts that were checked.
                Err(_) => in_store.access_token.clone(),
            };
            let fresh = Fresh { token, is_new: true };
            if let Err(error) = replaced {
                return Committed::Failed(error, fresh);
            }
            self.record(lock, &link);
            prepared.forget();
            let place = self.store.place();
            self.rotation.notices.step(format_args!("the new tokens are saved in {place}"));
            return Committed::Saved(fresh);
        }
    }

    /// Leaves the store to whoever has written it, and keeps the response beside it.
    fn give_way(
        &self,
        lock: &Claimant<'_>,
        prepared: &Refresh<'_>,
        received: &Received,
        link: &Link,
    ) -> Committed {
        let is_saved = received.saved.is_ok();
        let kept = match lock.files() {
            // A journal that stays is judged by the next run.
            Some(files) if is_saved => files.set_journal_aside().map(drop),
            _ => prepared.save_aside(&received.body).map(drop),
        };
        match kept {
            Ok(()) => self.record(lock, link),
            Err(_) if is_saved => {}
            Err(StoreError { place, source }) => self.rotation.notices.warn(format_args!(
                "{place}: {source}; the refreshed tokens are lost, but creds.json has others now"
            )),
        }
        Committed::GaveWay
    }
}
