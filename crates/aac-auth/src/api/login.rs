//! Puts a new pair of tokens in place, with the address and the API project ID that belong to it: what the program
//! `login` does.
//!
//! ```no_run
//! use aac_auth::login::{Checked, Login};
//! use aac_auth::ConnectionOptions;
//!
//! let mut login = Login::open(&ConnectionOptions::default(), "demo/1.0", None)?;
//! login.set_region("us1", "--url")?;
//! login.set_project_id("AbCdEfGh12345678", "--client-id")?;
//! // Before the tokens are asked for, which the web page shows once.
//! login.prepare(&mut |_question| Ok(false))?;
//! login.prepare_key(&mut |_question| Ok(false))?;
//! println!("{}", login.paste(&std::io::read_to_string(std::io::stdin()).unwrap())?);
//! if let Checked::WrongProject(error) = login.check()? {
//!     return Err(error);
//! }
//! let saved = login.save(&mut |_question| Ok(false))?;
//! println!("the tokens are in {}", saved.place);
//! # Ok::<(), aac_auth::Error>(())
//! ```
//!
//! First the old files are copied into a folder of their own, then the settings are written, and last creds.json, by
//! one rename. So creds.json has the old pair or the new one at any moment. Between those writes an old pair may be
//! beside the new address. It is not sent there: a token's `iss` must fit the address.

use crate::api::client::{CURRENT_WORKSPACE, Client, user_agent};
use crate::api::git::{self, InGit};
use crate::api::lock::{self, ROUNDS, wait_for};
use crate::api::places;
use crate::api::sealing::{Form, is_own, sealing};
use crate::config::options::{ACCESS_TOKEN, ConnectionOptions, VAULT};
use crate::config::settings::{Folder, Hosts, Settings, check_project_id, is_untouched};
use crate::config::text;
use crate::config::trust::Trust;
use crate::error::notices::{Notices, warn};
use crate::error::place::Place;
use crate::error::{Cause, Error, FileProblem, HttpErrorKind, Result};
use crate::platform::{self, folder_of};
use crate::rotation::Pair;
use crate::store::file_store::not_writable;
use crate::store::folder::{Files, Written, at, make_folder, real_path};
use crate::store::lock::Lock;
use crate::store::saved::SavedPairs;
use crate::store::spent::SpentTokens;
use crate::store::vault::{Vault, VaultStore};
use crate::store::{Replaced as Put, StoreError, Unusable};
use crate::tokens::claims::Claims;
use crate::tokens::credentials::{self, Credentials, Document, lone_refresh_token};
use crate::tokens::journal_format::Found;
use crate::tokens::pasted::Pasted;
use crate::tokens::sealed::{Closed, Keeping, Keys, Kind, Opener, Stored, seal_of};
use crate::tokens::secret::Digest;
use crate::tokens::timestamp::Timestamp;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io, iter, mem, path};
use zeroize::Zeroizing;

/// What the vendor's repository has in the place of an ID, and of tokens.
const NO_ID: &[u8] = b"Your client id here\n";
const NO_TOKENS: &[u8] = b"{\n    \"access_token\": \"Your access token here\",\n    \"refresh_token\": \"Your refresh token here\"\n}\n";

/// Asks a question. Yes is `true`; an error ends the login.
pub type Ask<'a> = dyn FnMut(&str) -> Result<bool> + 'a;

/// A login, from the choice of the place to the new pair in it. Nothing is changed before [`save`](Self::save).
#[derive(Debug)]
pub struct Login {
    options: ConnectionOptions,
    program: String,
    notices: Notices,
    /// Where the three files are to be, and whether the user has named it.
    folder: PathBuf,
    is_named: bool,
    /// The folder that is found first and must not keep a pair: git tracks its creds.json.
    left: Option<PathBuf>,
    own: Option<PathBuf>,
    /// git's list of what to ignore, if a line is to be added.
    exclude: Option<PathBuf>,
    /// The path of the secret that is to have the pair.
    vault: Option<String>,
    hosts: Option<Hosts>,
    project_id: Option<String>,
    pasted: Pasted,
    /// How the new pair is to be kept, if the user has said so.
    form: Option<Form>,
    keeping: Option<Keeping>,
    keys: Keys,
    /// The fingerprints of keys that their keepers do not have any more.
    lost: Vec<String>,
}

/// What the server says of the new pair.
#[derive(Debug)]
pub enum Checked {
    /// It is good. This is the workspace.
    Workspace(Value),
    /// The access token has expired. Once the pair is saved, any call of [`Saved::client`] refreshes it, and
    /// so tells whether it is good.
    Expired,
    /// The server does not know the API project ID.
    WrongProject(Error),
}

/// A pair that is in place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Saved {
    /// Where it is.
    pub place: Place,
    /// Who keeps the key, for people, if it is sealed.
    pub keeper: Option<String>,
    /// The pairs that it replaces.
    pub replaced: Vec<Replaced>,
    /// A client of the new pair.
    pub client: Client,
}

/// A pair that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// Whose it is, for people: "user …, workspace …".
    pub account: String,
    /// When its access token was issued.
    pub issued: Option<Timestamp>,
    /// The folder that has it now, with the files that were beside it. No program looks there.
    pub folder: PathBuf,
}

/// A folder with the three files, and creds.json by its real path.
struct Spot {
    folder: PathBuf,
    files: Files,
}

/// What is left to do before a pair can be replaced.
enum Next {
    Done(Vec<Replaced>),
    Ask(String),
    Finish(PathBuf),
    /// A program without the lock was faster, or has sealed the pair with another key.
    Again,
}

impl Login {
    /// Chooses the place: the folder that `--dir` or `AAC_DIR` names; else that of the creds.json that programs
    /// find; else the user's own. `vault` is the path of the secret for the pair; without one, creds.json decides.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such place, or programs would not look there.
    pub fn open(options: &ConnectionOptions, program: &str, vault: Option<&str>) -> Result<Self> {
        if options.hold_signals {
            platform::protect();
        }
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let own = platform::own_folder(set);
        let dir = options.dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        let named = match dir {
            Some(dir) => Some(dir.to_owned()),
            None => {
                if let Some(name) =
                    [ACCESS_TOKEN, VAULT].into_iter().find(|name| set(name).is_some())
                {
                    return Err(Error::variable_wins(name));
                }
                if let Some(name) =
                    [places::URL, places::ID].into_iter().find(|name| set(name).is_some())
                {
                    return Err(Error::lone_variable(name));
                }
                set("AAC_DIR").map(PathBuf::from)
            }
        };
        let is_named = named.is_some();
        let folder = match named {
            Some(path) => to_be(path)?,
            None => {
                let current =
                    env::current_dir().map_err(|error| Error::no_current_folder(&error))?;
                let (found, _) = places::nearest(&current, own.as_deref())?;
                match (found, &own) {
                    (Some((folder, _)), _) => folder,
                    (None, Some(own)) => Folder { path: own.clone(), trust: Trust::ByHand },
                    (None, None) => return Err(Error::no_home()),
                }
            }
        };
        let creds = folder.path.join("creds.json");
        match folder.trust.check(&creds, None) {
            Ok(()) | Err(FileProblem::Missing) => {}
            Err(problem) => return Err(Error::unusable(&creds, problem)),
        }
        // Settings that cannot be used are asked for.
        let hosts = folder.hosts().ok().flatten();
        let id = hosts.as_ref().and_then(|hosts| folder.project_id(hosts).ok().flatten());
        let vault = match vault {
            Some(path) if credentials::is_secret_path(path) => Some(path.to_owned()),
            Some(_) => {
                let problem = FileProblem::not_a_path_of_variable();
                return Err(Error::unusable(Place::Variable("--vault"), problem));
            }
            None => text::read(&creds).ok().and_then(|bytes| credentials::pointer(&bytes)),
        };
        Ok(Self {
            options: options.clone(),
            program: program.to_owned(),
            notices: Notices { verbose: options.verbose },
            folder: folder.path,
            is_named,
            left: None,
            own,
            exclude: None,
            vault,
            hosts,
            project_id: id.filter(|id| !id.is_empty()),
            pasted: Pasted::default(),
            form: None,
            keeping: None,
            keys: Keys::default(),
            lost: Vec::new(),
        })
    }

    /// The address of the API, if it is known.
    pub fn url(&self) -> Option<&str> {
        self.hosts.as_ref().map(Hosts::api)
    }

    /// The API project ID, if it is known.
    pub fn project_id(&self) -> Option<&str> {
        self.project_id.as_deref()
    }

    /// Sets the region: `us1`, or the address of any page or API of Alteryx Cloud. Errors call it by the name of
    /// what it was given to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is another address.
    pub fn set_region(&mut self, text: &str, name: &'static str) -> Result<()> {
        let hosts = Hosts::of_page(text.trim());
        self.hosts = Some(hosts.map_err(|it| Error::unusable(Place::Variable(name), it))?);
        Ok(())
    }

    /// Sets the API project ID; `name` as for the region.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it cannot be one.
    pub fn set_project_id(&mut self, text: &str, name: &'static str) -> Result<()> {
        if let Some(what) = text::likely_secret(text.trim()) {
            return Err(Error::secret_as_id(name, what));
        }
        let id = check_project_id(text.trim().to_owned(), self.hosts()?);
        let id = id.map_err(|it| Error::unusable(Place::Variable(name), it))?;
        self.project_id = Some(id).filter(|id| !id.is_empty());
        let needed = || Error::usage(format!("{name}: the API project ID is needed"));
        self.project_id.as_ref().map(drop).ok_or_else(needed)
    }

    /// Sets how the new pair is kept. By default it is kept like the pair before it; the first one is sealed in the
    /// user's own folder, and plain elsewhere.
    pub fn set_form(&mut self, form: Form) {
        self.form = Some(form);
    }

    /// Whether there is a pair in this place, or something that may have been one.
    pub fn has_pair(&self) -> bool {
        let files = Files::of(&self.creds());
        let is_filled = |bytes: Zeroizing<Vec<u8>>| {
            !bytes.trim_ascii().is_empty() && !credentials::is_unfilled(&bytes)
        };
        read(&files.creds).map_or(true, is_filled) || files.have_saved_pair()
    }

    /// The page where an API project ID is found.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) without a region; the same for `token_page`.
    pub fn project_page(&self) -> Result<String> {
        Ok(self.hosts()?.project_page())
    }

    /// The page where tokens are created, and disabled.
    pub fn token_page(&self) -> Result<String> {
        Ok(self.hosts()?.token_page())
    }

    fn hosts(&self) -> Result<&Hosts> {
        self.hosts.as_ref().ok_or_else(|| Error::usage("the region is needed: --url us1"))
    }

    fn known_project_id(&self) -> Result<&str> {
        let needed = || Error::usage("the API project ID is needed: --client-id ID");
        self.project_id.as_deref().ok_or_else(needed)
    }

    /// Tries the place, as far as that is possible without a change: the tokens are shown only once. Asks if git could
    /// commit them, before a secret in a vault is replaced, and before tokens whose key is lost are replaced.
    ///
    /// # Errors
    ///
    /// It cannot be written, or a question was answered with no.
    pub fn prepare(&mut self, ask: &mut Ask<'_>) -> Result<()> {
        self.keep_out_of_git(ask)?;
        let opener = self.keys.opener();
        self.fetch_keys(opener);
        for Spot { folder, files } in self.spots() {
            for name in SETTINGS {
                read(&folder.join(name))?;
            }
            let raw = read(&files.creds)?;
            if let Err(FileProblem::Sealed { why: Closed::NoKey(problem), .. }) =
                opener.open(&raw, Kind::Creds)
                && problem.is_not_found()
            {
                let creds = Place::from(&files.creds);
                agree(ask, &format!("{creds}: {problem}. Its tokens are lost. Replace them?"))?;
                self.lost.extend(seal_of(&raw).map(|(_, print)| print));
            }
            self.stored(&files, opener)?;
            try_place(&files)?;
            for path in saved_beside(&files).map_err(not_writable)? {
                read_saved(&files, &path).map_err(not_writable)?;
            }
            if files.creds.exists() {
                let _lock = self.lock(&files)?;
                let now = read(&files.creds)?;
                // As before each refresh.
                files.replace(&now, &now).map_err(not_writable)?;
            }
        }
        if let Some(path) = &self.vault {
            let vault = self.vault(path)?;
            let store = VaultStore::of(&vault, path, &self.creds(), self.keys.opener());
            let account = match store.read() {
                Ok(pair) => Some(pair.claims.account()),
                Err(Unusable::Damaged(FileProblem::Vault(_))) => None,
                Err(Unusable::Damaged(_)) => Some("unknown account".to_owned()),
                Err(Unusable::Unreadable(error)) => return Err(error),
            };
            if let Some(account) = account {
                let place = store.place();
                agree(ask, &format!("{place} has the tokens of {account}. Replace them?"))?;
                // Writes what is there once more.
                wait_for(&self.creds(), || Ok(store.lock()))?.is_current()?;
            }
        }
        if self.vault.is_none()
            && let Some(what) = is_shared(&self.folder)
        {
            warn(format_args!(
                "{} is {what}: use these tokens on this machine alone, and create others for each further one",
                self.folder.display()
            ));
        }
        Ok(())
    }

    /// Fetches the key of the new pair, or makes one. Asks before tokens are sealed in a folder that is not the user's
    /// own. Call it after [`prepare`](Self::prepare), and again after [`set_form`](Self::set_form).
    ///
    /// # Errors
    ///
    /// There is no key, a question was answered with no, or a form was set and the tokens go into a vault.
    pub fn prepare_key(&mut self, ask: &mut Ask<'_>) -> Result<()> {
        if self.vault.is_some() {
            return self.form.map_or(Ok(()), |_| Err(Error::not_in_a_file()));
        }
        let (spots, opener) = (self.spots(), self.keys.opener());
        let stored = spots.iter().map(|spot| self.stored(&spot.files, opener));
        let stored = stored.collect::<Result<Vec<_>>>()?;
        let (files, present) = (&spots[0].files, keeping_of(&stored));
        let is_plain = lone_refresh_token(stored[0].bytes()).is_some();
        self.keeping = Some(match self.form {
            Some(Form::Plain) => Keeping::PLAIN,
            None if present.sealer().is_some() => present,
            None if self.lost.is_empty() && (is_plain || !is_own(files)) => Keeping::PLAIN,
            Some(Form::Sealed) | None => sealing(files, &present, ask)?,
        });
        Ok(())
    }

    /// What to ask after an error of [`prepare_key`](Self::prepare_key): whether to keep the tokens as plain text.
    pub fn plain_question(error: &Error) -> String {
        match error.cause() {
            Cause::NoStore(why) => format!(
                "This machine has no store for keys ({why}). Keep the tokens as plain text, which only you can read?"
            ),
            _ => format!("{error}. Keep them as plain text?"),
        }
    }

    /// Sees to it that the tokens are in no commit.
    fn keep_out_of_git(&mut self, ask: &mut Ask<'_>) -> Result<()> {
        let creds = real_path(&self.creds());
        let (state, shown) = (git::look_for(&creds), Place::from(&creds));
        let is_tracked = matches!(state, InGit::Tracked { .. });
        let question = match (state, &self.own) {
            (InGit::No, _) => return Ok(()),
            // It has no token.
            _ if self.vault.is_some() => None,
            (InGit::Tracked { is_skipped: false }, Some(own))
                if !self.is_named && real_path(&own.join("creds.json")) != creds =>
            {
                let own = own.clone();
                agree(
                    ask,
                    &format!(
                        "git tracks {shown}. Put the placeholders back there, and keep the tokens in {}?",
                        own.display()
                    ),
                )?;
                self.left = Some(mem::replace(&mut self.folder, own));
                return self.keep_out_of_git(ask);
            }
            (InGit::Tracked { is_skipped: true }, _) => Some(format!(
                "git tracks {shown}, and leaves changes to it out of commits (skip-worktree). Keep the tokens there?"
            )),
            (InGit::Tracked { .. }, _) => Some(format!(
                "git tracks {shown}: a commit could publish the tokens. Keep them there?"
            )),
            (InGit::Unknown, _) => Some(format!(
                "{shown} is in a git work tree, and git does not say whether it tracks that file. Keep the tokens there?"
            )),
            (InGit::Untracked, _) => None,
        };
        question.map_or(Ok(()), |question| agree(ask, &question))?;
        if !git::is_ignored(&creds, is_tracked)
            && let Some(file) = git::exclude_file(&creds)
        {
            agree(
                ask,
                &format!(
                    "git does not ignore {shown} and what is kept beside it. Add a line to {}?",
                    Place::from(&file)
                ),
            )?;
            self.exclude = Some(file);
        }
        Ok(())
    }

    /// Which token is asked for next, in words; none if both were pasted.
    pub fn asks_for(&self) -> Option<&'static str> {
        self.pasted.asks_for()
    }

    /// Whether this text has the whole of what is asked for next.
    pub fn is_answered_by(&self, text: &str) -> bool {
        self.pasted.is_answered_by(text)
    }

    /// Whether this text has a whole token that is not the rest of another.
    pub fn is_whole(text: &str) -> bool {
        Pasted::default().is_answered_by(text)
    }

    /// Takes the tokens from a text that was pasted, whatever surrounds them. Returns a receipt that has no part of
    /// them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it has none, or one that was cut or is of another region.
    pub fn paste(&mut self, text: &str) -> Result<String> {
        let hosts = self.hosts()?.clone();
        let id = self.known_project_id()?.to_owned();
        self.pasted.add(text, &hosts, &id)
    }

    /// The same for a text that comes from standard input, without a terminal.
    ///
    /// # Errors
    ///
    /// As those of [`paste`](Self::paste), and [`ErrorKind::Config`](crate::ErrorKind::Config) if it is empty.
    pub fn paste_input(&mut self, text: &str) -> Result<String> {
        match text.trim() {
            "" => Err(Error::no_tokens_on_input()),
            text => self.paste(text),
        }
    }

    fn pair(&self) -> Result<Credentials> {
        let (access, refresh) = (self.pasted.access.as_ref(), self.pasted.refresh.as_ref());
        let bytes = Document::default().with_tokens(access, refresh).to_bytes();
        let pair = Credentials::parse(Stored::plain(bytes), self.hosts()?);
        pair.map_err(|problem| Error::unusable(Place::Variable("the new tokens"), problem))
    }

    /// What creds.json is to hold, in place of these. It is decided here alone.
    fn content(&self, pair: &Credentials, before: &[Stored]) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(path) = &self.vault {
            return Ok(Zeroizing::new(format!("{}\n", json!({ "vault": path })).into()));
        }
        let keeping = self.keeping.as_ref();
        let keeping = keeping.ok_or_else(|| Error::usage("prepare_key was not called"))?;
        // Another program may have sealed it since.
        let keeping = match self.form {
            None => keeping.or(&keeping_of(before)),
            Some(_) => keeping.clone(),
        };
        Ok(keeping.keep(Kind::Creds, pair.stored.bytes()).raw)
    }

    /// creds.json, opened with its key. One that stays closed is not replaced, unless its key is lost.
    fn stored(&self, files: &Files, opener: Opener<'_>) -> Result<Stored> {
        let raw = read(&files.creds)?;
        let is_lost = || seal_of(&raw).is_some_and(|(_, print)| self.lost.contains(&print));
        match opener.open(&raw, Kind::Creds) {
            Err(problem @ FileProblem::Sealed { .. }) if !is_lost() => {
                Err(Error::unusable(&files.creds, problem))
            }
            opened => Ok(opened.unwrap_or_else(|_| Stored::plain(raw))),
        }
    }

    /// Asks for the keys of all that is there. No lock may be held.
    fn fetch_keys(&self, opener: Opener<'_>) {
        for Spot { folder, files } in self.spots() {
            let stored = self.stored(&files, opener).unwrap_or_default();
            is_unfinished(&folder, &files, &stored, opener);
        }
        opener.fetch();
    }

    /// Asks the server about the current workspace, with the access token that was pasted, as long as that is valid.
    /// The refresh token is not used.
    ///
    /// # Errors
    ///
    /// The server cannot be asked, or does not accept the token.
    pub fn check(&self) -> Result<Checked> {
        let pair = self.pair()?;
        if !pair.is_alive() {
            return Ok(Checked::Expired);
        }
        let (hosts, project_id) = (self.hosts()?.clone(), self.known_project_id()?.to_owned());
        let settings = Settings { hosts, project_id, creds: self.creds() };
        let found = places::Found {
            settings,
            pair: Pair::Token(pair.access_token.clone()),
            chosen_as: "what was pasted".to_owned(),
            has_passed_over: false,
        };
        // It tells whether the tokens and the API project ID are good.
        let checked = Client::of(found, &self.options, &self.program)?.get(CURRENT_WORKSPACE);
        let error = match checked {
            Ok(workspace) => return Ok(Checked::Workspace(workspace)),
            Err(error) => error,
        };
        let Some(http) = error.http() else { return Err(error) };
        // The server's clock counts.
        let has_expired = || {
            let until = pair.claims.exp.and_then(Timestamp::of)?;
            Some(until <= Timestamp::of_response(http.headers())?)
        };
        match http.kind {
            HttpErrorKind::ApiKey | HttpErrorKind::ApiKeyForResource => {
                let page = self.project_page()?;
                Ok(Checked::WrongProject(Error::wrong_project(http.message(), &page)))
            }
            HttpErrorKind::LoneToken if has_expired() == Some(true) => Ok(Checked::Expired),
            HttpErrorKind::LoneToken => {
                Err(Error::pasted_is_refused(&http.url, &self.token_page()?))
            }
            _ => Err(error),
        }
    }

    /// Puts the pair in place of what is there. Asks before a pair of another account is replaced.
    ///
    /// # Errors
    ///
    /// A question was answered with no, or something cannot be written. Then what was there is unchanged.
    pub fn save(self, ask: &mut Ask<'_>) -> Result<Saved> {
        let pair = self.pair()?;
        let (spots, opener) = (self.spots(), self.keys.opener());
        let (mut agreed, mut finished) = (Vec::new(), Vec::new());
        self.fetch_keys(opener);
        for Spot { files, .. } in &spots {
            if let Some(question) = self.question(files, self.stored(files, opener)?.bytes(), &pair)
            {
                agree(ask, &question)?;
                agreed.push(question);
            }
        }
        if let Some(path) = &self.vault {
            self.put_into_vault(path, &pair)?;
        }
        if let Some(file) = &self.exclude {
            git::exclude(file).map_err(|error| Error::file(file, error))?;
        }
        for _ in 0..ROUNDS {
            let locks = spots.iter().map(|spot| self.lock(&spot.files));
            let locks = locks.collect::<Result<Vec<_>>>()?;
            let next = self.replace(&spots, opener, &pair, &agreed, &finished)?;
            drop(locks);
            match next {
                Next::Done(replaced) => {
                    let client = Client::open(&self.options, &self.program)?;
                    let (place, sealer) = (Place::from(&self.creds()), self.keeping.as_ref());
                    let sealer = sealer.and_then(Keeping::sealer);
                    let keeper = sealer.map(|sealer| sealer.place().by.to_string());
                    return Ok(Saved { place, keeper, replaced, client });
                }
                Next::Ask(question) => {
                    agree(ask, &question)?;
                    agreed.push(question);
                }
                Next::Finish(folder) => {
                    self.finish(&folder);
                    finished.push(folder);
                }
                Next::Again => self.fetch_keys(opener),
            }
        }
        Err(Error::keeps_changing(&Place::from(&self.creds()), &self.token_page()?))
    }

    /// One try, under the locks.
    fn replace(
        &self,
        spots: &[Spot],
        opener: Opener<'_>,
        pair: &Credentials,
        agreed: &[String],
        finished: &[PathBuf],
    ) -> Result<Next> {
        let mut before = Vec::new();
        for Spot { folder, files } in spots {
            let stored = self.stored(files, opener);
            let is_unfinished =
                stored.as_ref().is_ok_and(|stored| is_unfinished(folder, files, stored, opener));
            if opener.wants_keys() {
                return Ok(Next::Again);
            }
            if is_unfinished && !finished.contains(folder) {
                return Ok(Next::Finish(folder.clone()));
            }
            let stored = stored?;
            if let Some(question) = self.question(files, stored.bytes(), pair)
                && !agreed.contains(&question)
            {
                return Ok(Next::Ask(question));
            }
            before.push(stored);
        }
        let (page, token) = (self.token_page()?, pair.refresh_token.digest());
        let used = |spot: &Spot| SpentTokens::read(&spot.files).ok()?.used_since(token);
        if let Some(since) = spots.iter().find_map(used) {
            return Err(Error::pasted_is_used(&since.to_string(), &page));
        }
        let content = self.content(pair, &before)?;
        let mut replaced = Vec::new();
        match self.put_in_place(spots, &before, &content, token, &mut replaced) {
            Ok(true) => {}
            not_done => {
                // The pairs are where they were.
                replaced.iter().for_each(|it: &Replaced| {
                    drop(platform::patiently(|| fs::remove_dir_all(&it.folder)))
                });
                return not_done.map(|_| Next::Again).map_err(|StoreError { place, source }| {
                    Error::not_written(&place, source, &page)
                });
            }
        }
        // The new pair is in place. What comes of the rest shows in what is used.
        let mut done = forget(&spots[0].files);
        for (Spot { folder, files }, old) in spots.iter().zip(&before).skip(1) {
            done = done.and_then(|()| forget(files)).and_then(|()| empty(folder, files, &old.raw));
        }
        if let Err(StoreError { place, source }) = done {
            warn(format_args!("{place}: {source}"));
        }
        self.is_what_is_used(&spots[0].files, &content)?;
        Ok(Next::Done(replaced))
    }

    /// Keeps what is there, and writes the settings and then the pair; false if a program without the lock was
    /// faster.
    fn put_in_place(
        &self,
        spots: &[Spot],
        before: &[Stored],
        content: &[u8],
        token: Digest,
        replaced: &mut Vec<Replaced>,
    ) -> Result<bool, StoreError> {
        let files = &spots[0].files;
        for (old, stored) in spots.iter().zip(before) {
            let known = lone_refresh_token(stored.bytes());
            let is_same = known.is_some_and(|known| known.digest() == token);
            let pair = (!is_same).then_some(stored);
            replaced.extend(keep(&old.files, pair, files)?);
        }
        let text = |text: Option<&str>| format!("{}\n", text.unwrap_or_default());
        let (url, id) = (text(self.url()), text(self.project_id()));
        for (name, text) in SETTINGS.into_iter().zip([url, id.clone(), id]) {
            let path = self.folder.join(name);
            let old = text::read(&path).unwrap_or_default();
            let is_wanted = name != NEW_NAME || path.exists();
            if is_wanted
                && old.trim_ascii() != text.trim().as_bytes()
                && Files::of(&path).replace(&old, text.as_bytes())? == Written::NotAsExpected
            {
                return Ok(false);
            }
        }
        match files.replace(&before[0].raw, content) {
            // It has its name, and its folder could not be synced.
            Err(StoreError { place, source })
                if text::read(&files.creds).is_ok_and(|now| *now == content) =>
            {
                warn(format_args!("{place}: {source}"));
                Ok(true)
            }
            written => Ok(written? != Written::NotAsExpected),
        }
    }

    /// Has any run's work done: what an earlier one has left. Where that fails, it is kept as it is.
    fn finish(&self, folder: &Path) {
        let folder = Folder { path: folder.to_owned(), trust: Trust::ByHand };
        let found =
            places::in_folder(&folder, "a folder with an unfinished refresh".to_owned(), false);
        let client = found.and_then(|found| Client::of(found, &self.options, &self.program));
        if let Err(error) = client.and_then(|client| client.access_token()) {
            self.notices.step(format_args!("an earlier refresh cannot be finished: {error}"));
        }
    }

    /// What to ask before this content is replaced, if anything.
    fn question(&self, files: &Files, bytes: &[u8], pair: &Credentials) -> Option<String> {
        let creds = Place::from(&files.creds);
        if let Some(path) = credentials::pointer(bytes) {
            let is_same = self.vault.as_ref() == Some(&path);
            return (!is_same).then(|| {
                format!("{creds} names the secret {path} in a vault. Replace that name?")
            });
        }
        let old = owner(bytes);
        let is_same =
            old.account_digest().is_some_and(|it| Some(it) == pair.claims.account_digest());
        let has_tokens = lone_refresh_token(bytes).is_some();
        (has_tokens && !is_same).then(|| {
            let (old, new) = (old.account(), pair.claims.account());
            format!("{creds} has the tokens of {old}, and the new ones are of {new}. Replace them?")
        })
    }

    /// Whether the next program that is started here uses what was written.
    fn is_what_is_used(&self, files: &Files, content: &[u8]) -> Result<()> {
        let dir = self.options.dir.as_deref();
        let found = places::find(dir, env::current_dir(), |name| env::var_os(name));
        let used = match found {
            Ok(found) => {
                let Settings { hosts, project_id, creds } = &found.settings;
                if real_path(creds) == files.creds
                    && Some(hosts) == self.hosts.as_ref()
                    && Some(project_id) == self.project_id.as_ref()
                    && *read(creds)? == *content
                {
                    return Ok(());
                }
                creds.display().to_string()
            }
            Err(error) => format!("none: {error}"),
        };
        Err(Error::not_used(&Place::from(&files.creds), &used))
    }

    fn vault(&self, path: &str) -> Result<Vault> {
        Vault::connect(self.hosts()?, self.notices, &user_agent(&self.program)).map_err(|problem| {
            let place = Place::Secret { path: path.to_owned(), vault: None };
            Error::vault(&place, &problem, false)
        })
    }

    /// Puts the pair into the secret, whatever version that has by now.
    fn put_into_vault(&self, path: &str, pair: &Credentials) -> Result<()> {
        let opener = self.keys.opener();
        for Spot { folder, files } in self.spots() {
            if is_unfinished(&folder, &files, &self.stored(&files, opener)?, opener) {
                self.finish(&folder);
            }
        }
        let vault = self.vault(path)?;
        let store = VaultStore::of(&vault, path, &self.creds(), opener);
        for _ in 0..ROUNDS {
            let claimant = wait_for(&self.creds(), || Ok(store.lock()))?;
            claimant.read()?;
            if claimant.put(pair.stored.bytes())? == Put::Done {
                return Ok(());
            }
        }
        Err(Error::keeps_changing(&store.place(), &self.token_page()?))
    }

    fn creds(&self) -> PathBuf {
        self.folder.join("creds.json")
    }

    /// That of the new pair, and then the one that is to be left.
    fn spots(&self) -> Vec<Spot> {
        let folders = [Some(&self.folder), self.left.as_ref()].into_iter().flatten().cloned();
        let files = |folder: &Path| Files::of(&folder.join("creds.json"));
        folders.map(|folder| Spot { files: files(&folder), folder }).collect()
    }

    fn lock<'f>(&self, files: &'f Files) -> Result<Lock<'f>> {
        make_folder(&files.folder).map_err(|error| not_writable(at(&files.folder)(error)))?;
        lock::lock(files)
    }
}

/// What client_id.txt is called since April 2025.
const NEW_NAME: &str = "api_project_id.txt";
const SETTINGS: [&str; 3] = ["aac_url.txt", "client_id.txt", NEW_NAME];

/// A folder that was named, and may not be there yet.
fn to_be(path: PathBuf) -> Result<Folder> {
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Error::not_a_folder(&path)),
        // One alone is made: what is above it may be mistyped.
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound || !folder_of(&path).is_dir() {
                return Err(Error::no_folder(&path, &error));
            }
        }
    }
    let path = path::absolute(&path).map_err(|error| Error::no_folder(&path, &error))?;
    Ok(Folder { path, trust: Trust::ByHand })
}

/// Asks, and ends with an error unless the answer is yes.
pub(super) fn agree(ask: &mut Ask<'_>, question: &str) -> Result<()> {
    match ask(question)? {
        true => Ok(()),
        false => Err(Error::declined(question)),
    }
}

/// How what takes the place of these is to be kept: what was sealed is not written otherwise.
fn keeping_of(before: &[Stored]) -> Keeping {
    before.iter().fold(Keeping::PLAIN, |it, old| it.or(old.keeping()))
}

/// Whose tokens are in these bytes, as far as they say.
fn owner(bytes: &[u8]) -> Claims {
    Claims::within(&String::from_utf8_lossy(bytes)).unwrap_or_default()
}

/// creds.json; nothing if it is not there.
fn read(creds: &Path) -> Result<Zeroizing<Vec<u8>>> {
    match text::read(creds) {
        Err(FileProblem::Missing) => Ok(Zeroizing::default()),
        read => read.map_err(|problem| Error::unusable(creds, problem)),
    }
}

/// Whether an earlier run was cut off, and any run would finish its work.
fn is_unfinished(folder: &Path, files: &Files, stored: &Stored, opener: Opener<'_>) -> bool {
    let folder = Folder { path: folder.to_owned(), trust: Trust::ByHand };
    let Ok(Some(hosts)) = folder.hosts() else { return false };
    let token = lone_refresh_token(stored.bytes()).map(|token| token.digest());
    let saved = SavedPairs::read(files, &hosts, opener);
    let SavedPairs { journal, received, set_aside, spent, .. } = saved;
    let is_of_this = |journal: Found| journal.failure.is_none() && journal.spent == token;
    match received {
        Some(pair) => Some(pair.next) != token && spent.newest(pair.next).is_none(),
        None if token.is_none() => {
            credentials::pointer(stored.bytes()).is_none() && !set_aside.is_empty()
        }
        None => journal.is_some_and(is_of_this),
    }
}

/// Makes a file as large as any that will be, and removes it.
fn try_place(files: &Files) -> Result<()> {
    let above = files.folder.ancestors().find(|folder| folder.exists());
    let files = match above {
        Some(above) if !above.is_dir() => return Err(Error::not_a_folder(above)),
        Some(above) if above != files.folder => &Files::of(&above.join("creds.json")),
        _ => files,
    };
    files.check().map_err(not_writable)?;
    let path = files.new_lock();
    let tried = files.create_new(&path).and_then(|mut file| {
        let written = file.write_all(&[b' '; 128 * 1024]);
        written.and_then(|()| platform::sync(&file)).map_err(at(&path))
    });
    let removed = files.remove(&path);
    tried.and(removed).map_err(not_writable)
}

/// What is saved beside this creds.json: pairs, and what may have been some.
fn saved_beside(files: &Files) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(&files.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let own = files.creds.file_name().unwrap_or_default().to_string_lossy();
    let is_saved = |name: &OsString| {
        let rest = name.to_str().and_then(|name| name.strip_prefix(&*own));
        rest.is_some_and(|rest| rest.starts_with(".rotation") || rest.starts_with(".damaged"))
    };
    let names = entries.map_err(at(&files.folder))?.into_iter().map(|entry| entry.file_name());
    Ok(names.filter(is_saved).map(|name| files.folder.join(name)).collect())
}

fn read_saved(files: &Files, path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    files.read(path).map_err(|problem| at(path)(io::Error::other(problem.to_string())))
}

/// Copies the pair, and what is saved beside it, into a folder of its own beside the new one, for those who may use
/// that. None if there is nothing to keep.
fn keep(files: &Files, pair: Option<&Stored>, new: &Files) -> Result<Option<Replaced>, StoreError> {
    let mut copies = Vec::new();
    for path in saved_beside(files)? {
        copies.push((path.clone(), read_saved(files, &path)?));
    }
    let is_pair = |stored: &&Stored| {
        let bytes = stored.bytes();
        !bytes.trim_ascii().is_empty()
            && !credentials::is_unfilled(bytes)
            && credentials::pointer(bytes).is_none()
    };
    let pair = pair.filter(is_pair);
    copies.extend(pair.map(|pair| (files.creds.clone(), pair.raw.clone())));
    if copies.is_empty() {
        return Ok(None);
    }
    let contents = pair.map(Stored::bytes).into_iter();
    let mut contents = contents.chain(copies.iter().map(|(_, bytes)| &***bytes));
    let claims = contents.find_map(|bytes| Claims::within(&String::from_utf8_lossy(bytes)));
    let claims = claims.unwrap_or_default();
    let date = Timestamp::now().to_string();
    let date = date.split('T').next().unwrap_or_default();
    let mut names = iter::once(format!("replaced-{date}"))
        .chain((2..).map(|number| format!("replaced-{date}-{number}")));
    let folder = loop {
        let folder = new.folder.join(names.next().unwrap_or_default());
        match platform::create_folder(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => break made.map(|()| folder.clone()).map_err(at(&folder))?,
        }
    };
    for (path, bytes) in copies {
        let copy = folder.join(path.file_name().unwrap_or_default());
        let mut file = new.create_new(&copy)?;
        file.write_all(&bytes).and_then(|()| platform::sync(&file)).map_err(at(&copy))?;
    }
    platform::sync_folder(&folder).map_err(at(&folder))?;
    new.sync_folder()?;
    let (account, issued) = (claims.account(), claims.iat.and_then(Timestamp::of));
    Ok(Some(Replaced { account, issued, folder }))
}

/// Removes what is saved beside a creds.json whose pair was replaced.
fn forget(files: &Files) -> Result<(), StoreError> {
    for path in saved_beside(files)? {
        files.remove(&path)?;
    }
    files.sync_folder()
}

/// Puts the placeholders back, so that programs pass the folder over. Tokens go last: until then they count.
fn empty(folder: &Path, files: &Files, bytes: &[u8]) -> Result<(), StoreError> {
    let is_placeholder = |text: &[u8]| text::decode(text).is_ok_and(|it| is_untouched(&it));
    let no_tokens = git::added(&files.creds).filter(|bytes| credentials::is_unfilled(bytes));
    let ids = SETTINGS[1..].iter().filter_map(|name| {
        let path = folder.join(name);
        let old = text::read(&path).ok()?;
        let added = git::added(&path).filter(|text| is_placeholder(text));
        let new = added.unwrap_or_else(|| NO_ID.to_vec());
        (!is_placeholder(&old)).then_some((path, old, new))
    });
    // In between, programs find half of the files filled in: git is asked before.
    for (path, old, new) in ids.collect::<Vec<_>>() {
        Files::of(&path).replace(&old, &new)?;
    }
    files.replace(bytes, no_tokens.as_deref().unwrap_or(NO_TOKENS)).map(drop)
}

/// How other machines may see this folder, if that is to be expected.
fn is_shared(folder: &Path) -> Option<String> {
    let folder = folder.ancestors().find(|folder| folder.is_dir())?.canonicalize().ok()?;
    let folder = platform::plain(folder);
    let names = folder.iter().map(|name| name.to_string_lossy().to_lowercase());
    const FOLDERS: [(&str, &str); 5] = [
        ("onedrive", "OneDrive"),
        ("dropbox", "Dropbox"),
        ("iclouddrive", "iCloud"),
        ("com~apple~clouddocs", "iCloud"),
        ("mobile documents", "iCloud"),
    ];
    let service = |name: String| FOLDERS.into_iter().find(|(start, _)| name.starts_with(start));
    if let Some((_, service)) = names.into_iter().find_map(service) {
        return Some(format!("in a folder of {service}, which copies it to other machines"));
    }
    let system = platform::network_file_system(&folder)?;
    Some(format!("on a network file system ({system})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyProblem;

    #[test]
    fn only_where_there_is_no_store_a_person_is_told_so() {
        let asks = |problem| Login::plain_question(&Error::no_key(&problem));
        assert_eq!(
            asks(KeyProblem::no_keychain("x")),
            "This machine has no store for keys (there is no keychain: x). Keep the tokens as plain text, which only you can read?"
        );
        let locked =
            "the tokens cannot be sealed: the Secret Service is locked. Keep them as plain text?";
        assert_eq!(asks(KeyProblem::service_locked()), locked);
    }

    #[test]
    fn a_folder_that_other_machines_get_is_known_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        for (folder, service) in [
            ("OneDrive - Example/aac", Some("OneDrive")),
            ("Dropbox/a/b", Some("Dropbox")),
            ("Library/Mobile Documents/com~apple~CloudDocs/aac", Some("iCloud")),
            ("iCloudDrive", Some("iCloud")),
            ("drive/aac", None),
        ] {
            let folder = home.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            // As for one that is to be made.
            let what = is_shared(&folder.join("new"));
            let words =
                service.map(|it| format!("in a folder of {it}, which copies it to other machines"));
            assert_eq!(what, words, "{}", folder.display());
        }
    }
}
