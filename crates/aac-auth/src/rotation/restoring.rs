//! Carries out what recovery has decided, without the network.

use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::rotation::findings::Findings;
use crate::rotation::recovery::Recovery;
use crate::rotation::{Fresh, Renewal};
use crate::store::file_store::not_writable;
use crate::store::saved::SavedPair;
use crate::store::vault::Claimant;
use crate::store::{Replaced, StoreError};
use crate::tokens::claims::LocalTime;
use crate::tokens::credentials::{Credentials, Document};
use crate::tokens::secret::Digest;
use std::io;
use zeroize::Zeroizing;

impl Renewal<'_> {
    /// Finishes what an earlier run left unfinished. Gives a token if its pair cannot be committed, and
    /// will do for now.
    pub(super) fn restore(
        &self,
        lock: &Claimant<'_>,
        recovery: Recovery<Digest>,
        mut found: Findings,
    ) -> Result<Option<Fresh>> {
        if !lock.is_held()? {
            // The journal may be that of another run by now, whose response is on its way.
            return Ok(None);
        }
        let page = || self.rotation.settings.hosts.token_page();
        let creds = found.content.digest();
        let since = creds.and_then(|creds| found.saved.spent.newest(creds)).map(|(_, time)| time);
        let used = |older_copy: bool| since.filter(|_| older_copy);
        match recovery {
            Recovery::Nothing(_) | Recovery::Report => Ok(None),
            Recovery::DropJournal => self.drop_journal(lock, &found).map(|()| None),
            Recovery::SetJournalAside => self.set_journal_aside(lock, &found).map(|()| None),
            Recovery::CommitJournal { older_copy } => match found.saved.received.take() {
                Some(pair) => self.finish(lock, &pair, used(older_copy), &found),
                None => Ok(None),
            },
            Recovery::Restore { pair, older_copy } => {
                let named = |it: &SavedPair| it.spent == pair.spent && it.next == pair.next;
                match found.saved.set_aside.iter().rposition(named) {
                    Some(index) => {
                        let pair = found.saved.set_aside.remove(index);
                        self.finish(lock, &pair, used(older_copy), &found)
                    }
                    None => Ok(None),
                }
            }
            // The newer pair may be there by now.
            Recovery::OlderCopy if !lock.is_current()? => Ok(None),
            Recovery::OlderCopy => {
                let since = since.unwrap_or_default().to_string();
                Err(Error::older_copy(&self.store.place(), &since, &page()))
            }
            Recovery::SeveralAccounts => {
                let pairs = found.saved.set_aside.iter();
                let pairs: Vec<_> = pairs.map(|pair| (pair.path.clone(), pair.account())).collect();
                Err(Error::several_pairs(&self.store.place(), &pairs))
            }
            Recovery::NoTokens => match (found.saved.unreadable.pop(), found.content.pair) {
                // It may hold the only copy of a pair.
                (Some((path, problem)), _) => Err(Error::unusable(&path, problem)),
                (None, Err(problem)) => Err(self.unusable(problem)),
                (None, Ok(_)) => Ok(None),
            },
        }
    }

    fn drop_journal(&self, lock: &Claimant<'_>, found: &Findings) -> Result<()> {
        if let Some(pair) = &found.saved.received {
            self.record(lock, &pair.link());
        }
        if let Some(files) = lock.files()
            && lock.is_held()?
        {
            files.remove(&files.journal).map_err(not_writable)?;
            // Best effort: left by a write in place that was cut off at its end.
            let _ = files.remove(files.next());
        }
        Ok(())
    }

    fn set_journal_aside(&self, lock: &Claimant<'_>, found: &Findings) -> Result<()> {
        let Some(files) = lock.files() else { return Ok(()) };
        let path = match files.set_journal_aside() {
            // Another run was faster: the lock file was deleted.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(()),
            kept => kept.map_err(not_writable)?,
        };
        if let Some(pair) = &found.saved.received {
            self.record(lock, &pair.link());
        }
        self.rotation.notices.step(format_args!(
            "creds.json has other tokens than the journal of an earlier run, which is kept as {}",
            path.display()
        ));
        Ok(())
    }

    /// Commits a pair that an earlier run has saved.
    fn finish(
        &self,
        lock: &Claimant<'_>,
        pair: &SavedPair,
        older_copy: Option<LocalTime>,
        found: &Findings,
    ) -> Result<Option<Fresh>> {
        let content = &found.content;
        let is_torn = matches!(content.pair, Err(FileProblem::Torn));
        let base = base_for(pair, Some(&content.bytes).filter(|bytes| !pair.is_torn(bytes)));
        let bytes = pair.merge_into(base).to_bytes();
        let restored = Credentials::parse(bytes.clone(), &self.rotation.settings.hosts)
            .map_err(|problem| self.unusable(problem))?;
        let is_damaged =
            content.token.is_none() && !is_torn && !content.bytes.trim_ascii().is_empty();
        let committed = self
            .keep_damaged(lock, Some(&content.bytes).filter(|_| is_damaged))
            .and_then(|()| lock.replace(&content.bytes, &bytes, false, None));
        match committed {
            Ok(Replaced::NotAsExpected) => return Ok(None),
            Ok(Replaced::Done) => {
                self.record(lock, &pair.link());
                if !lock.is_held().unwrap_or(false) {
                    return Ok(None);
                }
                // What stays is recognised by the next run as committed. A note on the token that is in it
                // counts first.
                let failure = found.saved.journal.as_ref().and_then(|found| found.failure.as_ref());
                let is_noted = failure.is_some_and(|it| it.unused.as_ref() == Some(&pair.next));
                if let Some(files) = lock.files().filter(|_| !is_noted) {
                    files.remove(&pair.path).map_err(not_writable)?;
                }
            }
            Err(StoreError { place, source }) => {
                let journal = Place::from(&pair.path);
                let error = Error::saved_in_journal(&journal, &place, source);
                if restored.is_alive() && self.rejected != Some(&restored.access_token) {
                    self.rotation.notices.warn(&error);
                    return Ok(Some(Fresh::old(restored)));
                }
                return Err(error);
            }
        }
        self.tell_of_restored(pair, older_copy);
        Ok(None)
    }

    fn tell_of_restored(&self, pair: &SavedPair, older_copy: Option<LocalTime>) {
        let (notices, creds, path) = (self.rotation.notices, self.store.place(), &pair.path);
        let is_journal = self.store.files().journal == *path;
        match older_copy {
            Some(since) => notices.warn(format_args!(
                "{creds} was an older copy, whose refresh token was used on {since}; the newer tokens, which were saved in {}, have been restored",
                path.display()
            )),
            None if !is_journal => notices.warn(format_args!(
                "{creds} held no tokens; those of {}, which were saved in {}, have been restored",
                pair.account(),
                path.display()
            )),
            None => notices
                .step("an earlier run was interrupted; the tokens that it saved have been restored"),
        }
    }

    /// Keeps a copy of what is of no use in the store, before it is replaced.
    pub(super) fn keep_damaged(
        &self,
        lock: &Claimant<'_>,
        bytes: Option<&Zeroizing<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        let (Some(bytes), Some(files)) = (bytes, lock.files()) else { return Ok(()) };
        let kept = files.keep_damaged(bytes)?;
        self.rotation.notices.warn(format_args!(
            "{} was damaged; what was in it is kept as {}",
            self.store.place(),
            kept.display()
        ));
        Ok(())
    }
}

/// The document that a saved pair is merged into: with as many of the other fields as are left.
fn base_for(pair: &SavedPair, found: Option<&Zeroizing<Vec<u8>>>) -> Document {
    let whole = found.and_then(|found| Document::parse(found).ok());
    whole.or_else(|| Document::parse(pair.creds.as_ref()?).ok()).unwrap_or_default()
}
