//! What stands beside creds.json, and is not always there.

use crate::api::status::{Evidence, Leftover};
use crate::store::saved::SavedPair;
use crate::tokens::journal_format::Found;
use crate::tokens::timestamp::Timestamp;
use std::fs;
use std::path::Path;

impl Evidence<'_> {
    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        let creds = &self.files.creds;
        let own = creds.file_name().unwrap_or_default().to_string_lossy();
        let folder = creds.parent().into_iter().flat_map(fs::read_dir).flatten().flatten();
        let names = folder.filter_map(|entry| entry.file_name().into_string().ok());
        let describe = |name: String| {
            let path = creds.with_file_name(&name);
            let meaning = match name.strip_prefix(&*own)? {
                ".rotation" => self.of_journal(&path),
                rest if rest.starts_with(".rotation.old") => self.of_set_aside(&path),
                rest if rest.starts_with(".damaged") => {
                    "what a run found in creds.json and could not use; delete it when you do not need it"
                        .to_owned()
                }
                rest if rest == ".new" || rest.starts_with(".lock.") => {
                    "unfinished; safe to delete when no program is running".to_owned()
                }
                _ => return None,
            };
            Some(Leftover { path, meaning })
        };
        let mut leftovers: Vec<_> = names.filter_map(describe).collect();
        leftovers.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        leftovers
    }

    fn of_journal(&self, path: &Path) -> String {
        if self.files.are_in_use() {
            return "another program is refreshing the tokens".to_owned();
        }
        let journal = match Found::read(self.files, path) {
            Ok(Some(journal)) => journal,
            Ok(None) => return "the journal of a refresh that has just ended".to_owned(),
            Err(problem) => {
                return format!("the journal of a refresh, which cannot be used: {problem}");
            }
        };
        let began = Timestamp::from(journal.time);
        let (token, place) = (self.token.as_ref(), self.place);
        let received = match SavedPair::of(path, &journal, &self.settings.hosts, self.opener) {
            Ok(pair) => pair.map(|pair| pair.next),
            Err(problem) => return format!("the new tokens of a refresh ({began}): {problem}"),
        };
        let note = journal.failure.as_ref().filter(|failure| {
            received.is_none() || failure.unused.is_some() && failure.unused.as_ref() == token
        });
        if let Some(failure) = note {
            let (time, message) = (Timestamp::from(failure.time), &failure.message);
            return format!("the note of a refresh that failed ({time}): {message}");
        }
        match received {
            None => format!(
                "a refresh was cut off before a response arrived ({began}); the next run tries the refresh token once more"
            ),
            Some(next) if token == Some(&next) => format!(
                "the journal of a refresh that is complete ({began}); the next refresh removes it"
            ),
            Some(_) if place.secret().is_some() && token.is_none() => format!(
                "the journal of a refresh ({began}); the next run puts its tokens in the vault, if they are not there yet"
            ),
            Some(_) if token.is_none() || journal.spent.as_ref() == token => format!(
                "the new tokens of a refresh that was cut off ({began}); the next run puts them in place"
            ),
            Some(_) => format!(
                "the new tokens of a refresh ({began}); {place} has other ones, so the next run sets them aside"
            ),
        }
    }

    fn of_set_aside(&self, path: &Path) -> String {
        let journal = match Found::read(self.files, path) {
            Ok(journal) => journal,
            Err(problem) => {
                return format!("tokens that were set aside, and cannot be read: {problem}");
            }
        };
        let hosts = &self.settings.hosts;
        let pair = journal.map_or(Ok(None), |it| SavedPair::of(path, &it, hosts, self.opener));
        let pair = match pair {
            Ok(pair) => pair,
            Err(problem) => return format!("tokens that were set aside: {problem}"),
        };
        match pair {
            None => "set aside, and holds no tokens".to_owned(),
            Some(pair) if self.saved.spent.newest(pair.next).is_some() => {
                "tokens that were set aside and have been used since; the next refresh removes them"
                    .to_owned()
            }
            Some(pair) => format!(
                "tokens that were set aside, because creds.json had others ({}); they are used if those are refused",
                pair.account()
            ),
        }
    }
}
