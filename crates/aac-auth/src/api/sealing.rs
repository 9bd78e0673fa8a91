//! Changes how the tokens in a folder are kept: plain, or sealed with a key that the system keeps.
//!
//! Each file changes by one rename, and has the name of its own key: wherever this is stopped, all files can be
//! read, and the next try converts the rest.

use crate::api::client::Client;
use crate::api::lock::{ROUNDS, lock};
use crate::api::login::{Ask, agree};
use crate::api::status::{Leftover, PairState};
use crate::config::settings::Hosts;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::keys;
use crate::platform;
use crate::rotation::Creds;
use crate::store::Unusable;
use crate::store::file_store::not_writable;
use crate::store::folder::{Files, Written, real_path};
use crate::store::lock::Lock;
use crate::tokens::credentials::Credentials;
use crate::tokens::journal_format::{self, Content};
use crate::tokens::sealed::{Keeping, Kind, Opener, Sealer};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};
use zeroize::Zeroizing;

/// How tokens are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As text.
    Plain,
    /// Encrypted, with a key that the system keeps.
    Sealed,
}

impl Form {
    /// The form in one word, which stays the same in later versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
        }
    }
}

/// What was converted. It displays itself, for people.
#[derive(Debug)]
#[non_exhaustive]
pub struct TurnedOver {
    /// Where the pair is.
    pub place: Place,
    /// How it is kept now.
    pub form: Form,
    /// Who keeps the key, for people, if it is sealed.
    pub keeper: Option<String>,
    /// The files that are new.
    pub files: Vec<PathBuf>,
    /// What was left unchanged, and may hold tokens.
    pub left: Vec<Leftover>,
}

impl fmt::Display for TurnedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, form, keeper, files, left } = self;
        let verb = if files.is_empty() { "is already" } else { "is now" };
        write!(f, "{place} {verb} {}", form.as_str())?;
        if let Some(keeper) = keeper {
            write!(f, "; {keeper} keeps the key")?;
        }
        for path in files.iter().filter(|path| Place::from(*path) != *place) {
            write!(f, "\n{} as well", Place::from(path))?;
        }
        for Leftover { path, meaning } in left {
            write!(f, "\n{} stays as it is: {meaning}", Place::from(path))?;
        }
        if *form == Form::Sealed {
            f.write_str(
                "\nCopies in backups, and what the disk still holds of older files, stay plain.",
            )?;
        }
        Ok(())
    }
}

impl Client {
    /// Seals the pair in creds.json and all that earlier runs have left beside it, or makes it plain. The server is
    /// asked only if there is a refresh to finish. `ask` asks a question; yes is `true`.
    ///
    /// # Errors
    ///
    /// The pair is not in creds.json, or cannot be read; there is no key; or something cannot be written. The files
    /// that were converted by then can be read like the rest.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let turned = client.turn_over(aac_auth::Form::Sealed, &mut |_question| Ok(true))?;
    /// println!("{turned}");
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn turn_over(&self, form: Form, ask: &mut Ask<'_>) -> Result<TurnedOver> {
        let creds = &self.settings().creds;
        let opener = self.inner.rotation.opener();
        self.finish()?;
        let pair = match self.inner.rotation.read(opener) {
            _ if self.inner.rotation.lone_token().is_some() => return Err(Error::not_in_a_file()),
            Creds::Pointer(_) => return Err(Error::not_in_a_file()),
            Creds::Pair(pair) => pair,
        };
        let unusable = |problem| Unusable::of(creds, problem).into_error(creds);
        let pair = pair.map_err(unusable)?;
        let files = Files::of(creds);
        let hosts = &self.settings().hosts;
        let mut turn = Turn { files: &files, hosts, opener, keeping: Keeping::PLAIN };
        // A place that cannot be turned over is known before there is a key for it.
        turn.rehearse(&pair.stored.raw)?;
        if form == Form::Sealed {
            turn.keeping = sealing(&files, pair.stored.keeping(), ask)?;
        }
        let mut turned = Vec::new();
        for _ in 0..ROUNDS {
            // For the keys of all that lies beside. No keeper is asked under the lock.
            turn.beside().for_each(|path| drop(turn.journal(&path)));
            opener.fetch();
            let lock = lock(&files)?;
            if let Some(left) = turn.all(&lock, &mut turned)? {
                let keeper = turn.keeping.sealer().map(|sealer| sealer.place().by.to_string());
                let place = Place::from(&files.creds);
                return Ok(TurnedOver { place, form, keeper, files: turned, left });
            }
        }
        Err(Error::changing(&Place::from(creds)))
    }

    /// Finishes a refresh that was cut off, as any run does.
    fn finish(&self) -> Result<()> {
        let is_unfinished = || {
            let state = self.token_status().state;
            matches!(state, PairState::Interrupted | PairState::InDoubt)
        };
        if is_unfinished()
            && let Err(error) = self.access_token()
            && is_unfinished()
        {
            return Err(error);
        }
        Ok(())
    }
}

/// The files of a pair, and how they are to be kept.
struct Turn<'a> {
    files: &'a Files,
    hosts: &'a Hosts,
    opener: Opener<'a>,
    keeping: Keeping,
}

impl Turn<'_> {
    /// Replaces creds.json by itself, to see whether it can be replaced. A mount cannot be: what was written in it
    /// would be neither the one nor the other for a moment, and there is no journal of it.
    fn rehearse(&self, raw: &[u8]) -> Result<()> {
        let _lock = lock(self.files)?;
        self.files.check().map_err(not_writable)?;
        match self.files.replace(raw, raw).map_err(not_writable)? {
            Written::OverMount => Err(Error::is_a_mount(&Place::from(&self.files.creds))),
            Written::ByRename | Written::NotAsExpected => Ok(()),
        }
    }

    /// Turns all over, and returns what stays. None if a key is wanted, or another program is at work.
    fn all(&self, lock: &Lock<'_>, turned: &mut Vec<PathBuf>) -> Result<Option<Vec<Leftover>>> {
        let (files, mut left) = (self.files, Vec::new());
        let creds = &files.creds;
        let unusable = |problem| Error::unusable(creds, problem);
        let (old, pair) = Credentials::read_settled(creds, self.hosts, self.opener);
        let journals: Vec<_> = self.beside().map(|path| (self.journal(&path), path)).collect();
        if self.opener.wants_keys() || !lock.is_named().map_err(not_writable)? {
            return Ok(None);
        }
        // One that a program is about to write is left alone.
        pair.map_err(unusable)?;
        let new = self.content(Kind::Creds, &old.raw).map_err(unusable)?;
        for (journal, path) in journals {
            match journal {
                Ok(Some(content)) => {
                    files.replace_beside(&path, &content).map_err(not_writable)?;
                    turned.push(path);
                }
                Ok(None) => {}
                Err(meaning) => left.push(Leftover { path, meaning }),
            }
        }
        // The last one: if it is in its new form, all is.
        if let Some(new) = new {
            match files.replace(&old.raw, &new).map_err(not_writable)? {
                Written::NotAsExpected => return Ok(None),
                Written::ByRename | Written::OverMount => turned.push(creds.clone()),
            }
        }
        // One that was left behind holds tokens, and is of no use.
        files.remove(files.next()).map_err(not_writable)?;
        left.extend(copies(creds));
        Ok(Some(left))
    }

    /// The journal and the pairs that are set aside.
    fn beside(&self) -> impl Iterator<Item = PathBuf> {
        let journal =
            Some(self.files.journal.clone()).filter(|path| path.symlink_metadata().is_ok());
        let set_aside = self.files.set_aside().unwrap_or_default();
        journal.into_iter().chain(set_aside.into_values())
    }

    /// A content in its new form; none if it is in that already.
    fn content(&self, kind: Kind, raw: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, FileProblem> {
        let stored = self.opener.open(raw, kind)?;
        let key = |keeping: &Keeping| {
            keeping.sealer().map(|it| (it.place().clone(), it.print().to_owned()))
        };
        let is_kept_so = key(stored.keeping()) == key(&self.keeping);
        Ok((!is_kept_so).then(|| self.keeping.keep(kind, stored.bytes()).raw))
    }

    /// A journal in its new form; none if it is in that already. Or why it stays as it is.
    fn journal(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let raw = self.files.read(path).map_err(|problem| problem.to_string())?;
        let mut is_new = false;
        let turned = journal_format::turned(&raw, |content, old| {
            let kind = match content {
                Content::Creds => Kind::Creds,
                Content::Response => Kind::Response,
            };
            let new = self.content(kind, old)?;
            is_new |= new.is_some();
            Ok::<_, FileProblem>(new.unwrap_or_else(|| Zeroizing::new(old.to_vec())))
        });
        match turned.map_err(|problem| problem.to_string())? {
            Some(turned) => Ok(is_new.then_some(turned)),
            None => Err("it is damaged, and may hold part of a token".to_owned()),
        }
    }
}

/// What else may hold tokens beside creds.json, as the names tell.
fn copies(creds: &Path) -> Vec<Leftover> {
    let own = creds.file_name().unwrap_or_default().to_string_lossy();
    let entries = creds.parent().into_iter().flat_map(fs::read_dir).flatten().flatten();
    let describe = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let meaning = match name.strip_prefix(&*own) {
            Some(rest) if rest.starts_with(".damaged") => {
                "what a run found in creds.json and could not use; delete it when you do not need it"
            }
            None if name.starts_with("replaced-") => {
                "tokens that were replaced; delete them when they are disabled"
            }
            _ => return None,
        };
        Some(Leftover { path, meaning: meaning.to_owned() })
    };
    let mut copies: Vec<_> = entries.filter_map(|entry| describe(entry.path())).collect();
    copies.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    copies
}

/// How a pair in this place is to be sealed: with the key that it has, or that of another keeper. No lock may be held.
///
/// # Errors
///
/// There is no key, or the question was answered with no.
pub(super) fn sealing(files: &Files, present: &Keeping, ask: &mut Ask<'_>) -> Result<Keeping> {
    let no_key = |problem| Error::no_key(&problem);
    let by = keys::of_system(|name| env::var_os(name), keys::patience()).map_err(no_key)?;
    match present.sealer() {
        Some(sealer) if sealer.place().by == by => return Ok(present.clone()),
        // Other programs may use the files.
        None if !is_own(files) => {
            let place = Place::from(&files.creds);
            agree(
                ask,
                &format!(
                    "The vendor's programs cannot read a sealed creds.json, and the one for bash empties it. Seal {place}?"
                ),
            )?;
        }
        _ => {}
    }
    let made = keys::make(by, keys::patience());
    let sealer = made.and_then(|(place, key)| Sealer::new(place, key)).map_err(no_key)?;
    Ok(Keeping::sealed(sealer))
}

/// Whether these are in the user's own folder, which nobody else looks into.
pub(super) fn is_own(files: &Files) -> bool {
    let own = platform::own_folder(|name| env::var_os(name));
    own.is_some_and(|own| real_path(&own) == files.folder)
}

#[cfg(test)]
mod tests;
