//! Describes a pair of tokens without showing a token, and one in creds.json without the network.
//!
//! Nothing is locked or changed here. A run decides in the same way under the lock, and acts on it.

use crate::api::client::Client;
use crate::api::sealing::Form;
use crate::config::options::ACCESS_TOKEN;
use crate::config::settings::Settings;
use crate::config::text;
use crate::error::place::Place;
use crate::error::{Error, ErrorKind, FileProblem, Result, make_new};
use crate::platform;
use crate::rotation::recovery::{self, PriorAttempt, Recovery, Saved};
use crate::rotation::{Creds, findings};
use crate::store::Unusable;
use crate::store::folder::Files;
use crate::store::saved::SavedPairs;
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::{Credentials, lone_refresh_token};
use crate::tokens::sealed::{Kind, Opener, Stored, seal_of};
use crate::tokens::secret::{AccessToken, Digest, redact_known};
use crate::tokens::timestamp::Timestamp;
use std::path::PathBuf;
use std::time::Duration;

/// What can be said of a pair of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairState {
    /// No problem with the pair itself is known. Only the server knows whether it is still in force.
    Usable,
    /// It is in a vault, which was not asked or could not be read.
    NotRead,
    /// The key of it, or of a newer one that is saved beside it, is not available.
    Sealed,
    /// Another program of this machine is refreshing it at this moment.
    Refreshing,
    /// A refresh was cut off after its response was saved: the next run puts the new tokens in place.
    Interrupted,
    /// A refresh was cut off before a response arrived: the refresh token may be used up.
    InDoubt,
    /// There is no pair.
    Missing,
    /// There are placeholders in its place.
    Placeholders,
    /// There is something in its place that is not a pair.
    Broken,
    /// It is an older copy, whose refresh token has been used.
    OlderCopy,
    /// The server has refused the refresh token.
    Refused,
    /// The refresh token says that it has expired; or an access token without one has expired.
    Expired,
}

impl PairState {
    /// The state in one word, which stays the same in later versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::NotRead => "not_read",
            Self::Sealed => "sealed",
            Self::Refreshing => "refreshing",
            Self::Interrupted => "interrupted",
            Self::InDoubt => "in_doubt",
            Self::Missing => "missing",
            Self::Placeholders => "placeholders",
            Self::Broken => "broken",
            Self::OlderCopy => "older_copy",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// What an earlier run has left beside the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// The file.
    pub path: PathBuf,
    /// What it is, and what becomes of it.
    pub meaning: String,
}

/// A description of a pair of tokens. It contains no token.
///
/// ```no_run
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
/// let status = client.token_status();
/// println!("{}: {}", status.place, status.state.as_str());
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenStatus {
    /// Where it lives.
    pub place: Place,
    /// Why it is looked for there, for people: "the current folder".
    pub chosen_as: String,
    /// What can be said of it.
    pub state: PairState,
    /// Why it cannot be used or refreshed, and what to do; none if it can.
    pub problem: Option<Error>,
    /// How it is kept, if it is in a file and can be told.
    pub form: Option<Form>,
    /// Who keeps the key of a sealed pair, in one word that stays the same in later versions.
    pub keeper: Option<&'static str>,
    /// The person: the email address.
    pub person: Option<String>,
    /// The name of the workspace.
    pub workspace: Option<String>,
    /// The ULID of the workspace.
    pub workspace_gid: Option<String>,
    /// The session, by which the platform knows the pair: `/v4/oAuth2ApiTokens/{sid}`.
    pub session: Option<String>,
    /// When the access token was issued, by the server's clock.
    pub issued: Option<Timestamp>,
    /// When the access token expires, by the server's clock.
    pub access_token_until: Option<Timestamp>,
    /// How long the access token will live, whatever the local clock says; zero if it has expired.
    pub access_token_left: Duration,
    /// When the pair was last refreshed, by the local clock.
    pub refreshed: Option<Timestamp>,
    /// When the refresh token expires, as it says itself; none if it does not. The lifetime that was
    /// chosen when the pair was created may end earlier.
    pub refresh_token_until: Option<Timestamp>,
    /// What earlier runs have left.
    pub leftovers: Vec<Leftover>,
    /// Who can read the file of the pair beside its owner and the administrators, for people.
    pub readers: Vec<String>,
    /// How to get another pair before this one ends: where to create it, and where to put it.
    pub renewal: String,
}

impl Client {
    /// Describes the pair of tokens, without the network and without showing a token. A pair that is
    /// missing, broken or dead is described as well. For a pair in a vault, only the place and what earlier
    /// runs have left on this machine are known.
    pub fn token_status(&self) -> TokenStatus {
        TokenStatus::read(self, false, Timestamp::now())
    }

    /// The same, and reads the vault if the pair is in one. `now` is the server's time, if it is known
    /// ([`Timestamp::of_response`]): the local clock may be wrong.
    pub fn token_status_online(&self, now: Timestamp) -> TokenStatus {
        TokenStatus::read(self, true, now)
    }

    /// An access token that is valid for at least `min_life`, refreshed first if it is not: for a program
    /// that cannot refresh it.
    ///
    /// # Errors
    ///
    /// As for [`access_token`](Self::access_token), and [`ErrorKind::Usage`] if no
    /// access token lives that long.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let token = client.access_token_for(std::time::Duration::from_secs(240))?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn access_token_for(&self, min_life: Duration) -> Result<AccessToken> {
        let token = self.access_token()?;
        if min_life.is_zero() {
            return Ok(token);
        }
        // Before a refresh that could not help.
        let (claims, now) = (Claims::of(token.expose()), LocalTime::now());
        let longest = claims.as_ref().and_then(Claims::life);
        if let Some(longest) = longest.filter(|longest| *longest <= min_life) {
            return Err(Error::usage(format!(
                "access tokens live {} s, so none can be good for {} s",
                longest.as_secs(),
                min_life.as_secs()
            )));
        }
        let is_long_enough = match self.inner.rotation.lone_token() {
            Some(_) => claims.is_some_and(|claims| claims.life_left(None, now) >= min_life),
            None => pair(self, self.inner.rotation.opener(), true).1.is_ok_and(|pair| {
                pair.access_token == token && pair.claims.life_left(pair.arrival, now) >= min_life
            }),
        };
        match is_long_enough {
            true => Ok(token),
            false => Ok(self.fresh(Some(&token))?.token),
        }
    }
}

/// A state, and why the pair cannot be used if that is so.
type Verdict = (PairState, Option<Error>);

/// The pair as it is now, and where that is; and what a vault says of it. If there is none to tell of: its
/// state, and why.
fn pair(
    client: &Client,
    opener: Opener<'_>,
    asks_vault: bool,
) -> (Place, Result<Credentials, Verdict>, Option<Verdict>) {
    let creds = &client.settings().creds;
    let path = match client.inner.rotation.read(opener) {
        Creds::Pointer(path) => path,
        Creds::Pair(pair) => {
            let place = Place::from(creds);
            let is_closed = matches!(pair, Err(FileProblem::Sealed { .. }));
            let pair = pair.map_err(|problem| {
                let (state, error) = without_pair(&place, Unusable::of(creds, problem));
                (if is_closed { PairState::Sealed } else { state }, error)
            });
            return (place, pair, None);
        }
    };
    match client.inner.rotation.vault_store(&path, opener) {
        Ok(store) if asks_vault => {
            let place = store.place();
            let pair = store.read().map_err(|unusable| without_pair(&place, unusable));
            let noted = pair.as_ref().ok().and_then(|pair| match store.noted(pair) {
                Some(error) if error.is_refusal() => Some((PairState::Refused, Some(error))),
                _ => store.is_in_doubt(pair).then_some((PairState::InDoubt, None)),
            });
            (place, pair, noted)
        }
        Ok(store) => (store.place(), Err((PairState::NotRead, None)), None),
        // The environment does not lead to a vault.
        Err(error) => {
            (Place::Secret { path, vault: None }, Err((PairState::NotRead, Some(error))), None)
        }
    }
}

fn without_pair(place: &Place, unusable: Unusable) -> Verdict {
    let state = match &unusable {
        Unusable::Damaged(FileProblem::Missing | FileProblem::Empty | FileProblem::Vault(_)) => {
            PairState::Missing
        }
        Unusable::Damaged(FileProblem::PlaceholderTokens { .. }) => PairState::Placeholders,
        Unusable::Unreadable(_) if place.secret().is_some() => PairState::NotRead,
        _ => PairState::Broken,
    };
    (state, Some(unusable.into_error(place.clone())))
}

impl TokenStatus {
    fn read(client: &Client, asks_vault: bool, now: Timestamp) -> Self {
        if let Some(token) = client.inner.rotation.lone_token() {
            let claims = Claims::of(token.expose()).unwrap_or_default();
            let is_over = claims.exp.and_then(Timestamp::of).is_some_and(|until| until <= now);
            let verdict = match is_over {
                true => (PairState::Expired, Some(Error::never_refreshed("has expired"))),
                false => (PairState::Usable, None),
            };
            return Self {
                access_token_left: claims.life_left(None, LocalTime::now()),
                ..Self::of(client, &claims, verdict, Place::Variable(ACCESS_TOKEN))
            };
        }
        let settings = client.settings();
        let opener = client.inner.rotation.opener();
        let files = Files::of(&settings.creds);
        let mut saved = SavedPairs::read(&files, &settings.hosts, opener);
        if opener.wants_keys() {
            opener.fetch();
            saved = SavedPairs::read(&files, &settings.hosts, opener);
        }
        // After the record: it would call a pair used that a refresh replaces meanwhile.
        let (place, pair, noted) = pair(client, opener, asks_vault);
        if let Ok(pair) = &pair {
            client.inner.rotation.tell_of_cut(pair, &place);
        }
        let obstacle = saved.obstacle(place.secret().is_none());
        let token = pair.as_ref().ok().map(|pair| pair.refresh_token.digest());
        let evidence =
            Evidence { settings, opener, files: &files, saved: &saved, place: &place, token };

        let ends = |pair: &Credentials| Claims::of(pair.refresh_token.expose())?.exp;
        let refresh_token_until = pair.as_ref().ok().and_then(ends).and_then(Timestamp::of);
        let (claims, pair, verdict) = match pair {
            Ok(pair) => {
                let is_over = refresh_token_until.is_some_and(|until| until <= now);
                let verdict = evidence.of_pair(&pair, noted, is_over);
                (pair.claims.clone(), Some(pair), verdict)
            }
            Err(unusable) => {
                let (claims, verdict) = evidence.without_pair(unusable);
                (claims, None, verdict)
            }
        };
        let leftovers = evidence.leftovers();
        let is_closed = verdict.0 == PairState::Sealed;
        let closed = || saved.into_closed(&files.journal).filter(|_| is_closed);
        let is_in_use = files.are_in_use();
        let (state, problem) = match is_in_use {
            true => (PairState::Refreshing, None),
            // The next refresh stops there.
            false => (verdict.0, verdict.1.or(obstacle).or_else(closed)),
        };

        let raw = text::read(&settings.creds).ok().filter(|_| place.file().is_some());
        let seal = raw.as_ref().and_then(|raw| seal_of(raw));
        let arrival = pair.as_ref().and_then(|pair| pair.arrival);
        let refreshed = arrival.filter(|arrival| claims.iat == Some(arrival.iat));
        let plain = pair.as_ref().map(|_| Form::Plain);
        let left = |pair: &Credentials| pair.claims.life_left(pair.arrival, LocalTime::now());
        Self {
            access_token_left: pair.as_ref().map(left).unwrap_or_default(),
            refreshed: refreshed.map(|arrival| arrival.clock.into()),
            refresh_token_until,
            // What is no pair is neither.
            form: if seal.is_some() { Some(Form::Sealed) } else { raw.and(plain) },
            keeper: seal.map(|(key, _)| key.by.as_str()),
            leftovers,
            ..Self::of(client, &claims, (state, problem), place.clone())
        }
    }

    /// What the claims of an access token say, whatever else there is.
    fn of(client: &Client, claims: &Claims, (state, problem): Verdict, place: Place) -> Self {
        let gid = claims.scope.as_ref().map(|scope| scope.strip_prefix("w:").unwrap_or(scope));
        let shown = |text: Option<&str>| text.map(|text| redact_known(text, &[], 200));
        Self {
            state,
            problem,
            form: None,
            keeper: None,
            person: shown(claims.email.as_deref()),
            workspace: shown(claims.audience.as_deref()),
            workspace_gid: shown(gid),
            session: shown(claims.sid.as_deref()),
            issued: claims.iat.and_then(Timestamp::of),
            access_token_until: claims.exp.and_then(Timestamp::of),
            access_token_left: Duration::ZERO,
            refreshed: None,
            refresh_token_until: None,
            leftovers: Vec::new(),
            readers: place.file().map(platform::other_readers).unwrap_or_default(),
            renewal: make_new(&client.settings().hosts.token_page(), &place),
            chosen_as: client.inner.chosen_as.clone(),
            place,
        }
    }
}

/// All that is found around the pair.
pub(super) struct Evidence<'a> {
    pub(super) settings: &'a Settings,
    pub(super) opener: Opener<'a>,
    pub(super) files: &'a Files,
    pub(super) saved: &'a SavedPairs,
    pub(super) place: &'a Place,
    /// The refresh token of the pair.
    pub(super) token: Option<Digest>,
}

impl Evidence<'_> {
    fn of_pair(&self, pair: &Credentials, noted: Option<Verdict>, is_over: bool) -> Verdict {
        let expired = || {
            let error = Error::expired(self.place, &self.settings.hosts.token_page());
            (PairState::Expired, Some(error))
        };
        let judged = self.judge(Some(pair), self.token.as_ref(), None).or(noted);
        judged.or_else(|| is_over.then(expired)).unwrap_or((PairState::Usable, None))
    }

    /// Whose the tokens are that cannot be used, as far as the file tells, and what becomes of them.
    fn without_pair(&self, unusable: Verdict) -> (Claims, Verdict) {
        let raw = text::read(&self.settings.creds).unwrap_or_default();
        let stored = self.opener.open(&raw, Kind::Creds).unwrap_or_else(|_| Stored::plain(raw));
        let owner = Claims::within(&String::from_utf8_lossy(stored.bytes()));
        let token = lone_refresh_token(stored.bytes()).map(|token| token.digest());
        let verdict = match self.judge(None, token.as_ref(), owner.as_ref()) {
            Some((state @ (PairState::Interrupted | PairState::Sealed), _))
                if !matches!(unusable.0, PairState::NotRead | PairState::Sealed) =>
            {
                (state, None)
            }
            _ => unusable,
        };
        (owner.unwrap_or_default(), verdict)
    }

    /// What the next run would do about this token, in short, if there is anything to tell of it.
    fn judge(
        &self,
        pair: Option<&Credentials>,
        token: Option<&Digest>,
        owner: Option<&Claims>,
    ) -> Option<Verdict> {
        let journal = self.saved.journal.as_ref().and_then(|journal| journal.spent.as_ref());
        let is_of_another = journal.is_some() && journal != token;
        let set_aside: Vec<_> = self.saved.set_aside.iter().map(Saved::from).collect();
        let owner = owner.filter(|_| token.is_none());
        let state = findings::beside(self.saved, &set_aside, pair, token.copied(), owner);
        match recovery::decide(&state) {
            Recovery::CommitJournal { .. } | Recovery::Restore { .. } => {
                Some((PairState::Interrupted, None))
            }
            Recovery::OlderCopy => {
                let since = token.and_then(|token| self.saved.spent.used_since(*token));
                let since = since.unwrap_or_default();
                let page = self.settings.hosts.token_page();
                let error = Error::older_copy(self.place, &since.to_string(), &page);
                Some((PairState::OlderCopy, Some(error)))
            }
            // A journal of another token says nothing about this one.
            Recovery::Nothing(_) if is_of_another => None,
            Recovery::Nothing(PriorAttempt { in_doubt, is_noted }) => {
                let journal = self.saved.journal.as_ref().filter(|_| is_noted);
                match journal.and_then(|journal| journal.failure.as_ref()) {
                    Some(failure) if failure.kind == ErrorKind::Tokens => {
                        Some((PairState::Refused, Some(failure.told())))
                    }
                    _ => in_doubt.then_some((PairState::InDoubt, None)),
                }
            }
            // The error is that of what stays closed.
            Recovery::Closed => Some((PairState::Sealed, None)),
            Recovery::NoTokens if self.saved.has_closed() => Some((PairState::Sealed, None)),
            Recovery::Report
            | Recovery::DropJournal
            | Recovery::SetJournalAside
            | Recovery::SeveralAccounts
            | Recovery::NoTokens => None,
        }
    }
}
