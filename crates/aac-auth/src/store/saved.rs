//! The pairs that earlier runs have saved: in the journal, or in one that was set aside.

use crate::config::settings::Hosts;
use crate::error::{Error, FileProblem};
use crate::platform::Flaw;
use crate::store::StoreError;
use crate::store::folder::Files;
use crate::store::spent::{Link, SpentTokens};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use crate::tokens::journal_format::Found;
use crate::tokens::secret::Digest;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// All that earlier runs have saved.
#[derive(Default)]
pub(crate) struct SavedPairs {
    pub(crate) journal: Option<Found>,
    /// What the journal has received, if it is of use.
    pub(crate) received: Option<SavedPair>,
    /// The pairs that are set aside and may be good, oldest first.
    pub(crate) set_aside: Vec<SavedPair>,
    /// Pairs that are set aside, and cannot be read.
    pub(crate) unreadable: Vec<(PathBuf, FileProblem)>,
    /// Which tokens have been used, according to the record and to these pairs.
    pub(crate) spent: SpentTokens,
    /// Why the record could not be read.
    pub(crate) record_problem: Option<FileProblem>,
    /// What is another version's, and may hold the only copy of a pair: nothing may be begun.
    pub(crate) of_other_version: Option<Error>,
    /// Why nothing may be begun beside them: the journal cannot be read, and may hold the only copy of a pair. Or
    /// something else has the name of a file of ours.
    pub(crate) obstacle: Option<Error>,
}

impl SavedPairs {
    /// Reads them all, or as many as can be read.
    pub(crate) fn read(files: &Files, hosts: &Hosts) -> Self {
        let (mut obstacle, mut of_other_version) = (None, None);
        let mut hinders = |path: &Path, problem| {
            let hindrance = match problem {
                FileProblem::OtherVersion { .. } => &mut of_other_version,
                _ => &mut obstacle,
            };
            hindrance.get_or_insert_with(|| Error::unusable(path, problem));
        };
        let journal = match Found::read(files, &files.journal) {
            Ok(found) => found,
            Err(problem) => {
                hinders(&files.journal, problem);
                None
            }
        };
        let received =
            journal.as_ref().and_then(|found| SavedPair::of(&files.journal, found, hosts));
        let (mut set_aside, mut unreadable) = (Vec::new(), Vec::new());
        let paths = files.set_aside().unwrap_or_else(|StoreError { place, source }| {
            let place = place.file().unwrap_or(&files.creds);
            hinders(place, FileProblem::Unreadable(source));
            Vec::new()
        });
        for path in paths {
            match Found::read(files, &path) {
                Ok(found) => {
                    set_aside.extend(found.and_then(|found| SavedPair::of(&path, &found, hosts)));
                }
                Err(problem @ FileProblem::OtherVersion { .. }) => hinders(&path, problem),
                Err(problem) if is_planted(&problem) => hinders(&path, problem),
                Err(problem) => unreadable.push((path, problem)),
            }
        }
        let (mut spent, mut record_problem) = (SpentTokens::default(), None);
        match SpentTokens::read(files) {
            Ok(found) => spent = found,
            Err(problem) if is_planted(&problem) => hinders(&files.spent, problem),
            Err(problem) => record_problem = Some(problem),
        }
        received.iter().chain(&set_aside).for_each(|pair| spent.add(pair.link()));
        Self {
            journal,
            received,
            set_aside,
            unreadable,
            spent,
            record_problem,
            of_other_version,
            obstacle,
        }
    }

    /// What of it counts where the files cannot be written: they stay as they are, so only what came of this
    /// token is news. `None`: there is no token in the store.
    pub(crate) fn about(mut self, token: Option<&Digest>) -> Self {
        let is_news = |pair: &SavedPair| {
            pair.next != pair.spent && token.is_none_or(|token| pair.spent == *token)
        };
        let was_answered = self.received.is_some();
        self.received = self.received.filter(is_news);
        self.set_aside.retain(is_news);
        self.journal = self.journal.filter(|found| match was_answered {
            true => self.received.is_some(),
            false => found.spent.as_ref() == token,
        });
        self
    }
}

/// Whether something was put there that no program of ours makes.
fn is_planted(problem: &FileProblem) -> bool {
    // One of another user's may be left from the time when others could refresh this pair.
    matches!(problem, FileProblem::Unfit(unfit) if unfit.flaw != Flaw::Foreign)
}

/// A pair in a journal, or in one that was set aside.
pub(crate) struct SavedPair {
    pub(crate) path: PathBuf,
    pub(crate) spent: Digest,
    pub(crate) next: Digest,
    time: LocalTime,
    pub(crate) response: TokenResponse,
    /// The document as it was before.
    pub(crate) creds: Option<Zeroizing<Vec<u8>>>,
    /// The pair that was used for it, if that is in there.
    before: Option<Credentials>,
}

impl SavedPair {
    pub(crate) fn of(path: &Path, found: &Found, hosts: &Hosts) -> Option<Self> {
        let response = TokenResponse::parse(found.response.as_ref()?, found.time, hosts)?;
        let spent = found.spent?;
        let before = found.creds.clone();
        let before = before.and_then(|creds| Credentials::parse(creds, hosts).ok());
        Some(Self {
            path: path.to_owned(),
            before: before.filter(|before| before.refresh_token.digest() == spent),
            next: response.next(&spent),
            spent,
            time: found.time,
            response,
            creds: found.creds.clone(),
        })
    }

    pub(crate) fn link(&self) -> Link {
        Link { spent: self.spent, next: self.next, time: self.time }
    }

    /// Whose it is: a refresh changes nothing about that.
    pub(crate) fn claims(&self) -> Option<&Claims> {
        let before = self.before.as_ref().map(|before| &before.claims);
        self.response.claims().ok().or(before)
    }

    pub(crate) fn account(&self) -> String {
        self.claims().map_or_else(|| "unknown user".to_owned(), Claims::account)
    }

    /// Whether these bytes are a write of this pair in place that was cut off.
    pub(crate) fn is_torn(&self, found: &[u8]) -> bool {
        let Some(old) = &self.creds else { return false };
        let Ok(base) = Document::parse(old) else { return false };
        let new = self.merge_into(base).to_bytes();
        *found != **old && *found != **new && is_torn(found, old, &new)
    }

    /// The pair in place of the one in this document. What the response lacks is as it was before.
    pub(crate) fn merge_into(&self, base: Document) -> Document {
        let before = self.before.as_ref();
        let base = base.with_tokens(
            before.map(|before| &before.access_token),
            before.map(|before| &before.refresh_token),
        );
        self.response.merge_into(base, None)
    }
}

/// Whether `found` can result from an interrupted write of `new` over `old`: each place holds one or the
/// other, in whatever order they reached the disk.
fn is_torn(found: &[u8], old: &[u8], new: &[u8]) -> bool {
    let lengths = old.len().min(new.len())..=old.len().max(new.len());
    let is_of = |text: &[u8], at: usize, byte: u8| text.get(at) == Some(&byte);
    lengths.contains(&found.len())
        && found.iter().enumerate().all(|(at, &byte)| is_of(old, at, byte) || is_of(new, at, byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_is_known() {
        let (old, new) = (b"aaaaaa".as_slice(), b"bbbb".as_slice());
        for torn in ["aaaaaa", "bbbb", "bbaaaa", "abbaaa", "bbbbaa", "bbbba"] {
            assert!(is_torn(torn.as_bytes(), old, new), "{torn}");
        }
        for other in ["", "bb", "bbaaab", "aaaaaaa", "caaaaa"] {
            assert!(!is_torn(other.as_bytes(), old, new), "{other}");
        }
    }
}
