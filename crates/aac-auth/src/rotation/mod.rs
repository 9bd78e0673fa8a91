//! Keeping the tokens fresh, and never losing one: the steps of a refresh.
//!
//! A refresh token is good for one use. Its response holds the next one, and the server forgets the
//! old. So one program at a time may refresh (the lock), it must send the token that is in the store
//! *now* (read under the lock), and the response must be durable before anything else happens (the
//! journal). What the files say at each moment, what is promised and how it is tested: ROTATION.md,
//! beside this crate's Cargo.toml.
//!
//! The steps are in `machine`, in their order: a value without I/O. `drive` carries them out on either home. What
//! is found is judged in `recovery`, how often a token is sent in `attempts`; `refresh` is one request.

pub(crate) mod attempts;
mod drive;
#[cfg(test)]
mod file_world;
pub(crate) mod findings;
mod machine;
#[cfg(test)]
mod mutants;
pub(crate) mod recovery;
pub(crate) mod refresh;
#[cfg(test)]
mod server;
pub(crate) mod spendable;
#[cfg(test)]
mod tables;
mod told;
mod turns;
#[cfg(test)]
mod vault_world;
#[cfg(test)]
mod walk;

use crate::config::options::{ACCESS_TOKEN, VAULT};
use crate::config::settings::Settings;
use crate::config::trust;
use crate::error::notices::{Notices, warn};
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::http::transport::Transport;
use crate::platform::{self, folder_of, quoted};
use crate::rotation::drive::Call;
use crate::rotation::turns::Turns;
use crate::store::Unusable;
use crate::store::file_store::{FileStore, is_open_to_others};
use crate::store::home::Home;
use crate::store::saved::leaves_doubt;
use crate::store::vault::{self, Vault, VaultStore};
use crate::tokens::claims::{Arrival, Claims, LocalTime};
use crate::tokens::credentials::Credentials;
use crate::tokens::sealed::{Keys, Opener};
use crate::tokens::secret::AccessToken;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a call waits for other threads and programs that refresh: longer than one may take for two
/// tokens, that of creds.json and one that was set aside.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// What a client is to take its access tokens from.
#[derive(Debug)]
pub(crate) enum Pair {
    /// The pair in creds.json, or in a vault if that says so.
    File,
    /// The pair in this secret of a vault.
    Secret(String),
    /// No pair: this access token, as it is.
    Token(AccessToken),
}

impl Pair {
    /// Its name, for messages.
    pub(crate) fn place(&self, creds: &Path) -> Place {
        match self {
            Self::File => creds.into(),
            Self::Secret(_) => Place::Variable(VAULT),
            Self::Token(_) => Place::Variable(ACCESS_TOKEN),
        }
    }
}

/// What creds.json holds.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum Creds {
    /// The pair, or something of no use.
    Pair(Result<Credentials, FileProblem>),
    /// The path of the secret in a vault that has the pair.
    Pointer(String),
}

/// The tokens in creds.json, kept fresh. Shared by the threads of a client.
#[derive(Debug)]
pub(crate) struct Rotation {
    settings: Settings,
    pair: Pair,
    notices: Notices,
    holds_signals: bool,
    turns: Turns,
    keys: Keys,
    /// Whether it has been said that other users can read creds.json.
    has_told_of_others: AtomicBool,
    /// Whether it has been said that a token seems not to be whole.
    has_told_of_cut: AtomicBool,
    user_agent: String,
    /// Where creds.json names a secret in one.
    vault: OnceLock<Vault>,
    /// The access token that was read from it, of which secret, and until when it is fresh.
    remembered: Mutex<Option<(String, AccessToken, Instant)>>,
}

/// An access token to make a call with.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) token: AccessToken,
    /// Whether this very call obtained it: then there is no better one to be had.
    pub(crate) is_new: bool,
}

impl Fresh {
    fn old(credentials: Credentials) -> Self {
        Self { token: credentials.access_token, is_new: false }
    }
}

impl Rotation {
    pub(crate) fn new(
        settings: Settings,
        pair: Pair,
        notices: Notices,
        holds_signals: bool,
        user_agent: &str,
    ) -> Self {
        Self {
            settings,
            pair,
            notices,
            holds_signals,
            turns: Turns::default(),
            keys: Keys::new(holds_signals),
            has_told_of_others: AtomicBool::new(false),
            has_told_of_cut: AtomicBool::new(false),
            user_agent: user_agent.to_owned(),
            vault: OnceLock::new(),
            remembered: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The access token that stands in the place of a pair.
    pub(crate) fn lone_token(&self) -> Option<&AccessToken> {
        match &self.pair {
            Pair::Token(token) => Some(token),
            Pair::File | Pair::Secret(_) => None,
        }
    }

    /// What opens sealed files, for a call that begins now.
    pub(crate) fn opener(&self) -> Opener<'_> {
        self.keys.opener()
    }

    /// What creds.json, or a variable in its place, holds at this moment. Where that is sealed, its key is asked for.
    pub(crate) fn read(&self, opener: Opener<'_>) -> Creds {
        if let Pair::Secret(path) = &self.pair {
            return Creds::Pointer(path.clone());
        }
        let Settings { creds, hosts, .. } = &self.settings;
        let mut read = Credentials::read_settled(creds, hosts, opener);
        if opener.wants_keys() {
            opener.fetch();
            read = Credentials::read_settled(creds, hosts, opener);
        }
        match read.1 {
            Err(FileProblem::InVault(path)) => Creds::Pointer(path),
            pair => Creds::Pair(pair),
        }
    }

    /// An access token that is good for a call: the one in the store, as long as it is fresh. This
    /// fast path takes no lock and writes nothing, so it works on a read-only disk.
    pub(crate) fn token(&self, transport: &Transport) -> Result<Fresh> {
        if let Some(token) = self.lone_token() {
            return Ok(Fresh { token: token.clone(), is_new: true });
        }
        let (creds, opener) = (&self.settings.creds, self.opener());
        let unusable = match self.read(opener) {
            Creds::Pair(Ok(credentials)) => {
                self.tell_of_cut(&credentials, &creds.into());
                if credentials.is_fresh() {
                    self.tell_of_others();
                    return Ok(Fresh::old(credentials));
                }
                None
            }
            Creds::Pair(Err(problem)) => Some(Unusable::of(creds, problem)),
            Creds::Pointer(path) => return self.token_in_vault(&path, opener, transport),
        };
        let home = self.home(None, opener)?;
        may_renew(unusable, &home)?;
        self.renew(&home, opener, transport, None)
    }

    /// The same, from a vault. It is asked once, and again only when its token is no longer fresh.
    fn token_in_vault(
        &self,
        path: &str,
        opener: Opener<'_>,
        transport: &Transport,
    ) -> Result<Fresh> {
        if let Some(token) = self.remembered_of(path) {
            return Ok(Fresh { token, is_new: false });
        }
        let home = self.home(Some(path), opener)?;
        let unusable = match home.read() {
            Ok(credentials) => {
                self.tell_of_cut(&credentials, &home.place());
                if credentials.is_fresh() {
                    let until = Instant::now() + credentials.fresh_for();
                    let token = credentials.access_token.clone();
                    *self.remembered() = Some((path.to_owned(), token, until));
                    return Ok(Fresh::old(credentials));
                }
                None
            }
            Err(unusable) => Some(unusable),
        };
        may_renew(unusable, &home)?;
        self.renew(&home, opener, transport, None)
    }

    /// Where the pair lives: beside creds.json, or in this secret.
    fn home<'a>(&'a self, secret: Option<&'a str>, opener: Opener<'a>) -> Result<Home<'a>> {
        let Settings { creds, hosts, .. } = &self.settings;
        Ok(match secret {
            // Anew each time: a link may lead elsewhere since the last one.
            None => Home::File(Box::new(FileStore::of(creds, hosts, opener))),
            Some(path) => Home::Vault(Box::new(self.vault_store(path, opener)?)),
        })
    }

    /// A fresh token, if there is one without a refresh and without asking a vault.
    pub(crate) fn token_at_hand(&self) -> Option<AccessToken> {
        if let Some(token) = self.lone_token() {
            return Some(token.clone());
        }
        match self.read(self.opener()) {
            Creds::Pair(pair) => pair.ok().filter(Credentials::is_fresh).map(|it| it.access_token),
            Creds::Pointer(path) => self.remembered_of(&path),
        }
    }

    /// The token that was read from this secret, while it is fresh.
    fn remembered_of(&self, path: &str) -> Option<AccessToken> {
        // Not locked while the vault is asked: threads that wait for it do not wait for one another.
        let remembered = self.remembered();
        let (secret, token, until) = remembered.as_ref()?;
        (secret == path && Instant::now() < *until).then(|| token.clone())
    }

    fn remembered(&self) -> MutexGuard<'_, Option<(String, AccessToken, Instant)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a token that a call obtained since then. Read from the vault it may look old, where the
    /// clocks of its nodes differ, or a proxy has its own; then each call would refresh it.
    fn remember_new(&self, path: &str, fresh: &Fresh, since: Instant) {
        let Some(claims) = Claims::of(fresh.token.expose()).filter(|_| fresh.is_new) else {
            return;
        };
        let now = LocalTime::now();
        let arrival = claims.iat.map(|iat| Arrival { iat, clock: now });
        let until = since + claims.fresh_for(arrival, now);
        *self.remembered() = Some((path.to_owned(), fresh.token.clone(), until));
    }

    /// Another access token, after the API has rejected this one though it looked fresh.
    pub(crate) fn token_instead_of(
        &self,
        rejected: &AccessToken,
        transport: &Transport,
    ) -> Result<Fresh> {
        if self.lone_token().is_some() {
            return Err(Error::never_refreshed("does not live that long"));
        }
        let opener = self.opener();
        let secret = match self.read(opener) {
            Creds::Pair(_) => None,
            Creds::Pointer(path) => Some(path),
        };
        self.remembered().take_if(|(_, token, _)| token == rejected);
        let home = self.home(secret.as_deref(), opener)?;
        self.renew(&home, opener, transport, Some(rejected))
    }

    pub(crate) fn vault_store<'a>(
        &'a self,
        path: &'a str,
        opener: Opener<'a>,
    ) -> Result<VaultStore<'a>> {
        let vault = match self.vault.get() {
            Some(vault) => vault,
            None => {
                let Settings { creds, hosts, .. } = &self.settings;
                let vault =
                    Vault::connect(hosts, self.notices, &self.user_agent).map_err(|problem| {
                        let problem = FileProblem::vault_unusable(path, &problem);
                        Error::unusable(self.pair.place(creds), problem)
                    })?;
                self.vault.get_or_init(|| vault)
            }
        };
        Ok(VaultStore::of(vault, path, &self.settings.creds, opener))
    }

    fn renew(
        &self,
        home: &Home<'_>,
        opener: Opener<'_>,
        transport: &Transport,
        rejected: Option<&AccessToken>,
    ) -> Result<Fresh> {
        let (since, deadline) = (LocalTime::now(), Instant::now() + vault::bounded(PATIENCE));
        let call = Call { rotation: self, home, opener, transport, rejected, since, deadline };
        // One thread of this process at a time, then one program of all.
        let turn = self.turns.take(deadline).ok_or_else(|| home.waited_too_long(PATIENCE));
        let place = home.place();
        let renewed = turn.and_then(|turn| match place.secret() {
            None => call.run(turn.has_waited),
            Some(secret) => {
                // The thread whose turn it was before may have asked the vault.
                if let Some(token) = self.remembered_of(secret)
                    && rejected != Some(&token)
                {
                    return Ok(Fresh { token, is_new: false });
                }
                let start = Instant::now();
                let fresh = call.run(turn.has_waited)?;
                self.remember_new(secret, &fresh, start);
                Ok(fresh)
            }
        });
        renewed.or_else(|error| self.still_valid(home.read(), error, rejected))
    }

    /// The token in the home, if it will do in spite of an error: renewed early, there is time left.
    fn still_valid(
        &self,
        home: Result<Credentials, Unusable>,
        error: Error,
        rejected: Option<&AccessToken>,
    ) -> Result<Fresh> {
        match home {
            Ok(credentials)
                if credentials.is_alive() && rejected != Some(&credentials.access_token) =>
            {
                warn(format_args!("{error}; the access token is still valid for a while"));
                Ok(Fresh::old(credentials))
            }
            _ => Err(error),
        }
    }

    /// Says once that a token seems not to have been pasted whole. The server has the last word.
    pub(crate) fn tell_of_cut(&self, credentials: &Credentials, place: &Place) {
        if let Some((field, why)) = credentials.cut()
            && !self.has_told_of_cut.swap(true, Ordering::Relaxed)
        {
            warn(format_args!(
                "\"{field}\" in {place} was probably not pasted whole: {why}. Paste it again"
            ));
        }
    }

    /// Says once that other users of this machine can use the tokens.
    fn tell_of_others(&self) {
        let creds = &self.settings.creds;
        if is_open_to_others(creds) && !self.has_told_of_others.swap(true, Ordering::Relaxed) {
            let cure = match trust::takes_modes(folder_of(creds)) {
                true => {
                    format!(
                        "make it private: chmod {} {}",
                        platform::closing_mode(creds),
                        quoted(creds)
                    )
                }
                false => {
                    "its file system does not let that be changed: a folder on a local disk does"
                        .to_owned()
                }
            };
            warn(format_args!(
                "every user of this machine can read or write {}; {cure}",
                creds.display()
            ));
        }
    }
}

/// Whether there may be something to recover, if the home holds no pair. Where nothing is saved, nothing is
/// touched.
fn may_renew(unusable: Option<Unusable>, home: &Home<'_>) -> Result<()> {
    match unusable {
        Some(Unusable::Damaged(_)) if home.files().have_saved_pair() => Ok(()),
        Some(unusable) => {
            let error = unusable.into_error(home.place());
            Err(if leaves_doubt(home.files()) { error.after_doubt() } else { error })
        }
        None => Ok(()),
    }
}
