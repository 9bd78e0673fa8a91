//! How a pair that `login` puts in place is sealed, and what becomes of files whose key is lost.
#![cfg_attr(not(test), expect(dead_code, reason = "the program that calls it comes with `login`"))]

use crate::api::sealing::{agree_to_share, keeper, make, sealer};
use crate::error::{Error, Result};
use crate::keys;
use crate::store::StoreError;
use crate::store::folder::{Files, at, rename};
use crate::tokens::journal_format::Found;
use crate::tokens::sealed::{Keeping, seal_of};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How a new pair is to be kept.
pub(crate) struct NewKey {
    pub(crate) keeping: Keeping,
    /// The fingerprint of a key that is lost: what is sealed with it is to be
    /// [moved away](set_lost_aside) first.
    pub(crate) lost: Option<String>,
}

/// How a new pair is to be sealed in this place: with the key of what is there, or a new one. Asks before that where
/// the old one is lost. Takes no lock, and none may be held.
///
/// # Errors
///
/// There is no key, or a question was answered with no.
pub(crate) fn key_of_new(
    files: &Files,
    ask: &mut dyn FnMut(&str) -> Result<bool>,
) -> Result<NewKey> {
    let by = keeper()?;
    let old = all_beside(files).find_map(|path| {
        contents(files, &path).iter().find_map(|raw| seal_of(raw)).filter(|(key, _)| key.by == by)
    });
    let Some((place, print)) = old else {
        agree_to_share(files, ask)?;
        return Ok(NewKey { keeping: make(by)?, lost: None });
    };
    match keys::fetch(&place, keys::patience()) {
        Ok(key) if key.print() == print => Ok(NewKey { keeping: sealer(place, key)?, lost: None }),
        Ok(_) => Ok(NewKey { keeping: make(by)?, lost: None }),
        Err(problem) if problem.is_not_found() => {
            let question = format!(
                "{problem}. Tokens that are sealed with it are lost. Move them away, and make a new key?"
            );
            match ask(&question)? {
                true => Ok(NewKey { keeping: make(by)?, lost: Some(print) }),
                false => Err(Error::no_key(&problem)),
            }
        }
        Err(problem) => Err(Error::no_key(&problem)),
    }
}

/// Moves what is sealed with a lost key to names that no program reads. The lock must be held.
pub(crate) fn set_lost_aside(files: &Files, print: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut moved = Vec::new();
    for path in all_beside(files) {
        let seals = contents(files, &path);
        if seals.iter().filter_map(|raw| seal_of(raw)).any(|(_, of)| of == print) {
            let lost = |number: u32| match number {
                1 => with_suffix(&path, ".lost"),
                number => with_suffix(&path, &format!(".lost.{number}")),
            };
            let free = (1..).map(lost).find(|to| to.symlink_metadata().is_err());
            let to = free.unwrap_or_else(|| lost(u32::MAX));
            rename(&path, &to).map_err(at(&to))?;
            moved.push(to);
        }
    }
    files.sync_folder()?;
    Ok(moved)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn all_beside(files: &Files) -> impl Iterator<Item = PathBuf> {
    let set_aside = files.set_aside().unwrap_or_default().into_values();
    [files.creds.clone(), files.journal.clone()].into_iter().chain(set_aside)
}

/// What may be sealed in a file: all of it, or the places of a journal.
pub(super) fn contents(files: &Files, path: &Path) -> Vec<Zeroizing<Vec<u8>>> {
    let Ok(raw) = files.read(path) else { return Vec::new() };
    match Found::parse(&raw) {
        Ok(Some(found)) => found.response.into_iter().chain(found.creds).collect(),
        _ => vec![raw],
    }
}
