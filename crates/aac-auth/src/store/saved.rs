//! The pairs that earlier runs have saved: in the journal, or in one that was set aside.

use crate::config::settings::Hosts;
use crate::error::{Error, FileProblem};
use crate::platform::Flaw;
use crate::store::StoreError;
use crate::store::folder::Files;
use crate::store::spent::{Link, Newest, SpentTokens};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::{Credentials, Document, TokenResponse};
use crate::tokens::journal_format::Found;
use crate::tokens::sealed::{Keeping, Kind, Opener, Stored};
use crate::tokens::secret::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All that earlier runs have saved.
#[derive(Default)]
pub(crate) struct SavedPairs {
    pub(crate) journal: Option<Found>,
    /// What the journal has received, if it is of use.
    pub(crate) received: Option<SavedPair>,
    /// The pairs that are set aside and may be good, oldest first.
    pub(crate) set_aside: Vec<SavedPair>,
    /// Why the journal's response stays closed: it counts as a pair.
    pub(crate) closed: Option<FileProblem>,
    /// Pairs that are set aside, and cannot be read or opened.
    pub(crate) unreadable: Vec<(PathBuf, FileProblem)>,
    /// Which tokens have been used, according to the record and to these pairs.
    pub(crate) spent: SpentTokens,
    /// Why the record could not be read.
    pub(crate) record_problem: Option<FileProblem>,
    /// Why nothing may be begun beside them: a file cannot be read, or is another version's, and may hold the only
    /// copy of a pair. Or something else has the name of a file of ours.
    obstacles: Vec<(PathBuf, FileProblem)>,
}

impl SavedPairs {
    /// Reads them all, or as many as can be read.
    pub(crate) fn read(files: &Files, hosts: &Hosts, opener: Opener<'_>) -> Self {
        let mut saved = Self::default();
        let mut unopened = Vec::new();
        saved.journal = Found::read(files, &files.journal).unwrap_or_else(|problem| {
            saved.obstacles.push((files.journal.clone(), problem));
            None
        });
        let journal = saved.journal.as_ref();
        match journal.map(|found| (SavedPair::of(&files.journal, found, hosts, opener), found)) {
            Some((Ok(pair), _)) => saved.received = pair,
            Some((Err(problem), Found { spent: Some(spent), time, .. })) => {
                unopened.push((*spent, *time));
                saved.closed = Some(problem);
            }
            Some((Err(problem), _)) => saved.obstacles.push((files.journal.clone(), problem)),
            None => {}
        }
        let paths = files.set_aside().unwrap_or_else(|StoreError { source, .. }| {
            saved.obstacles.push((files.folder.clone(), FileProblem::Unreadable(source)));
            BTreeMap::new()
        });
        for path in paths.into_values() {
            match Found::read(files, &path) {
                Ok(Some(found)) => match SavedPair::of(&path, &found, hosts, opener) {
                    Ok(pair) => saved.set_aside.extend(pair),
                    Err(problem) => {
                        unopened.extend(found.spent.map(|spent| (spent, found.time)));
                        saved.unreadable.push((path, problem));
                    }
                },
                Ok(None) => {}
                Err(problem) if is_obstacle(&problem) => saved.obstacles.push((path, problem)),
                Err(problem) => saved.unreadable.push((path, problem)),
            }
        }
        match SpentTokens::read(files) {
            Ok(spent) => saved.spent = spent,
            Err(problem) if is_obstacle(&problem) => {
                saved.obstacles.push((files.spent.clone(), problem))
            }
            Err(problem) => saved.record_problem = Some(problem),
        }
        saved.received.iter().chain(&saved.set_aside).for_each(|pair| saved.spent.add(pair.link()));
        unopened.into_iter().for_each(|(spent, time)| saved.spent.add_unopened(spent, time));
        saved
    }

    /// Why nothing may be begun. Where the files cannot be written, only what can be read counts, of whatever
    /// version.
    pub(crate) fn obstacle(&mut self, can_be_written: bool) -> Option<Error> {
        let counts = |problem: &FileProblem| {
            can_be_written || matches!(problem, FileProblem::OtherVersion { .. })
        };
        let obstacle = self.obstacles.drain(..).find(|(_, problem)| counts(problem));
        obstacle.map(|(path, problem)| Error::unusable(&path, problem))
    }

    /// Whether a pair that is set aside stays closed.
    pub(crate) fn has_closed(&self) -> bool {
        self.unreadable.iter().any(|(_, problem)| is_closed(problem))
    }

    /// The error of a pair that stays closed: in this journal, or else the newest that is set aside.
    pub(crate) fn into_closed(self, journal: &Path) -> Option<Error> {
        let Self { closed, unreadable, .. } = self;
        let at = unreadable.iter().rposition(|(_, problem)| is_closed(problem)).unwrap_or_default();
        let set_aside = unreadable.into_iter().nth(at);
        let closed = closed.map(|problem| (journal.to_owned(), problem)).or(set_aside);
        closed.map(|(path, problem)| Error::unusable(&path, problem))
    }

    /// What of it counts where the files cannot be written: they stay as they are, so only the newest that came of
    /// this token is news. `None`: there is no token in the store.
    pub(crate) fn about(mut self, token: Option<&Digest>) -> Self {
        let is_news = |pair: &SavedPair| {
            pair.next != pair.spent
                && match token.map(|token| self.spent.newest(*token)) {
                    Some(newest) => newest.is_some_and(|it| it.0 == Newest::Token(pair.next)),
                    None => self.spent.newest(pair.next).is_none(),
                }
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

fn is_closed(problem: &FileProblem) -> bool {
    matches!(problem, FileProblem::Sealed { .. })
}

/// Whether no program of this version has made what is there.
fn is_obstacle(problem: &FileProblem) -> bool {
    match problem {
        // One of another user's may be left from the time when others could refresh this pair.
        FileProblem::Unfit(unfit) => unfit.flaw != Flaw::Foreign,
        FileProblem::OtherVersion { .. } => true,
        _ => false,
    }
}

/// The error of a run that could do nothing, without a claim that an earlier run may have made false: the pair is
/// saved in the journal, or whether that leaves a doubt about its token.
pub(crate) fn as_left(
    files: &Files,
    hosts: &Hosts,
    opener: Opener<'_>,
    error: StoreError,
    otherwise: impl FnOnce(StoreError, bool) -> Error,
) -> Error {
    let journal = &files.journal;
    match Found::read(files, journal) {
        Ok(Some(found)) if !matches!(SavedPair::of(journal, &found, hosts, opener), Ok(None)) => {
            Error::saved_in_journal(&journal.into(), &error.place, error.source)
        }
        Ok(found) => otherwise(error, found.is_some_and(|found| found.leaves_doubt())),
        Err(_) => otherwise(error, true),
    }
}

/// Whether an earlier run may have used the token in the home, as its journal says.
pub(crate) fn leaves_doubt(files: &Files) -> bool {
    let found = Found::read(files, &files.journal);
    matches!(found, Ok(Some(found)) if found.response.is_none() && found.leaves_doubt())
}

/// A pair in a journal, or in one that was set aside.
pub(crate) struct SavedPair {
    pub(crate) path: PathBuf,
    pub(crate) spent: Digest,
    pub(crate) next: Digest,
    time: LocalTime,
    pub(crate) response: TokenResponse,
    /// The document as it was before.
    pub(crate) creds: Option<Stored>,
    /// How the response is kept.
    pub(crate) keeping: Keeping,
    /// The pair that was used for it, if that is in there.
    before: Option<Credentials>,
}

impl SavedPair {
    /// The pair of what was found; none if that has no response of use.
    ///
    /// # Errors
    ///
    /// Its response stays closed.
    pub(crate) fn of(
        path: &Path,
        found: &Found,
        hosts: &Hosts,
        opener: Opener<'_>,
    ) -> Result<Option<Self>, FileProblem> {
        let Some(response) = &found.response else { return Ok(None) };
        let response = opener.open(response, Kind::Response)?;
        let creds = found.creds.as_ref().and_then(|raw| opener.open(raw, Kind::Creds).ok());
        Ok(Self::of_opened(path, found, &response, creds, hosts))
    }

    fn of_opened(
        path: &Path,
        found: &Found,
        stored: &Stored,
        creds: Option<Stored>,
        hosts: &Hosts,
    ) -> Option<Self> {
        let response = TokenResponse::parse(stored.bytes(), found.time, hosts)?;
        let spent = found.spent?;
        let before = creds.clone().and_then(|creds| Credentials::parse(creds, hosts).ok());
        Some(Self {
            path: path.to_owned(),
            before: before.filter(|before| before.refresh_token.digest() == spent),
            next: response.next(&spent),
            spent,
            time: found.time,
            response,
            creds,
            keeping: stored.keeping().clone(),
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

    /// Whether this content is a write of this pair in place that was cut off.
    pub(crate) fn is_torn(&self, found: &Stored) -> bool {
        let Some(old) = &self.creds else { return false };
        let Ok(base) = Document::parse(old.bytes()) else { return false };
        let new = old.keeping().keep(Kind::Creds, &self.merge_into(base).to_bytes());
        let [found, old, new] = [found, old, &new];
        match (found.keeping().sealer(), old.keeping().sealer()) {
            // What could be opened is whole.
            (Some(_), _) => false,
            (None, Some(sealer)) => sealer.is_torn(&found.raw, &old.raw, &new.raw),
            (None, None) => {
                *found.raw != *old.raw
                    && *found.raw != *new.raw
                    && is_torn(&found.raw, &old.raw, &new.raw)
            }
        }
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
