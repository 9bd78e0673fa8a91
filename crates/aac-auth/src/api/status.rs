//! What there is to tell of a pair of tokens without showing a token; of one in creds.json, without the
//! network.
//!
//! Nothing is locked or changed here. The same files are read under the lock in `rotation`, which acts on
//! what it finds; this only describes it.

use crate::api::client::Client;
use crate::config::settings::Settings;
use crate::config::text;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result, make_new};
use crate::platform;
use crate::rotation::findings::note;
use crate::rotation::recovery::{self, JournalState, PriorAttempt, Recovery, Saved, State};
use crate::store::Unusable;
use crate::store::file_store;
use crate::store::folder::Files;
use crate::store::journal::{Failure, Found};
use crate::store::saved::{SavedPair, SavedPairs};
use crate::store::spent::SpentTokens;
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::credentials::{Credentials, lone_refresh_token};
use crate::tokens::secret::{AccessToken, Digest, redact};
use crate::tokens::timestamp::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// What can be said of a pair of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairState {
    /// Nothing speaks against it. Only the server knows whether it is still in force.
    Usable,
    /// It is in a vault, which was not asked or could not be read.
    NotRead,
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
    /// The refresh token has expired, as it says itself.
    Expired,
}

impl PairState {
    /// The state in one word, which stays the same in later versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::NotRead => "not_read",
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
    /// What can be said of it.
    pub state: PairState,
    /// Why it cannot be used, and what to do, if that is so.
    pub problem: Option<Error>,
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

    /// An access token that is valid for `min_life` at least, refreshed first if it is not: for a program
    /// that cannot refresh it.
    ///
    /// # Errors
    ///
    /// As for [`access_token`](Self::access_token), and [`ErrorKind::Usage`](crate::ErrorKind::Usage) if no
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
        let longest = Claims::of(token.expose()).and_then(|claims| claims.life());
        if let Some(longest) = longest.filter(|longest| *longest <= min_life) {
            return Err(Error::usage(format!(
                "access tokens live {} s, so none can be good for {} s",
                longest.as_secs(),
                min_life.as_secs()
            )));
        }
        let (_, pair, _) = pair(self, true);
        let is_long_enough = pair.is_ok_and(|pair| {
            pair.access_token == token
                && pair.claims.life_left(pair.arrival, LocalTime::now()) >= min_life
        });
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
    asks_vault: bool,
) -> (Place, Result<Credentials, Verdict>, Option<Verdict>) {
    let Settings { creds, hosts, .. } = client.settings();
    let path = match file_store::read(creds, hosts) {
        Err(FileProblem::InVault(path)) => path,
        pair => {
            let place = Place::from(creds);
            let pair = pair.map_err(|problem| without_pair(&place, Unusable::of(creds, problem)));
            return (place, pair, None);
        }
    };
    match client.vault_store(&path) {
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
        let settings = client.settings();
        let files = Files::of(&settings.creds);
        let (place, pair, noted) = pair(client, asks_vault);
        // What else the file tells of its owner, if it cannot be used.
        let bytes = match &pair {
            Ok(_) => Zeroizing::default(),
            Err(_) => text::read(&settings.creds).unwrap_or_default(),
        };
        let claims = match &pair {
            Ok(pair) => Some(pair.claims.clone()),
            Err(_) => Claims::within(&String::from_utf8_lossy(&bytes)),
        };
        let token = pair.as_ref().ok().map(|pair| pair.refresh_token.digest());
        // A journal that cannot be read is among what is left.
        let saved = SavedPairs::read(&files, &settings.hosts);

        let refresh_token_until = pair
            .as_ref()
            .ok()
            .and_then(|pair| Timestamp::of(Claims::of(pair.refresh_token.expose())?.exp?));
        let (arrival, left) = match &pair {
            Ok(pair) => (pair.arrival, pair.claims.life_left(pair.arrival, LocalTime::now())),
            Err(_) => (None, Duration::ZERO),
        };
        let is_expired = refresh_token_until.is_some_and(|until| until <= now);
        let leftovers = leftovers(settings, &files, &saved.spent, &place, token.as_ref());
        let (state, problem) = match pair {
            _ if files.are_in_use() => (PairState::Refreshing, None),
            Err((PairState::NotRead, problem)) => (PairState::NotRead, problem),
            Ok(pair) => judge(settings, &place, &saved, Some(&pair), token.as_ref(), None)
                .or(noted)
                .or_else(|| is_expired.then(|| expired(settings, &place)))
                .unwrap_or((PairState::Usable, None)),
            Err(unusable) => {
                let token = lone_refresh_token(&bytes).map(|token| token.digest());
                match judge(settings, &place, &saved, None, token.as_ref(), claims.as_ref()) {
                    Some((PairState::Interrupted, _)) => (PairState::Interrupted, None),
                    _ => unusable,
                }
            }
        };
        let refreshed = arrival
            .filter(|arrival| claims.as_ref().is_some_and(|claims| claims.iat == Some(arrival.iat)))
            .map(|arrival| arrival.clock.into());
        let claims = claims.unwrap_or_default();
        let shown = |text: Option<String>| text.map(|text| redact(&text, &[], 200));
        let readers = place.file().map(platform::other_readers).unwrap_or_default();
        Self {
            readers,
            renewal: make_new(&settings.hosts.token_page(), &place),
            place,
            state,
            problem,
            workspace_gid: shown(
                claims
                    .scope
                    .map(|scope| scope.strip_prefix("w:").map_or(scope.clone(), str::to_owned)),
            ),
            person: shown(claims.email),
            workspace: shown(claims.audience),
            session: shown(claims.sid),
            issued: claims.iat.and_then(Timestamp::of),
            access_token_until: claims.exp.and_then(Timestamp::of),
            access_token_left: left,
            refreshed,
            refresh_token_until,
            leftovers,
        }
    }
}

/// What the next run would do about this token, in short, if there is anything to tell of it.
fn judge(
    settings: &Settings,
    place: &Place,
    saved: &SavedPairs,
    pair: Option<&Credentials>,
    token: Option<&Digest>,
    owner: Option<&Claims>,
) -> Option<Verdict> {
    let page = settings.hosts.token_page();
    let set_aside: Vec<_> = saved.set_aside.iter().map(Saved::from).collect();
    let failure = saved.journal.as_ref().and_then(|found| found.failure.as_ref());
    let journal = match (&saved.journal, &saved.received) {
        (_, Some(received)) => {
            let is_in_creds = pair.is_some_and(|pair| received.response.is_in(pair));
            JournalState::Received { pair: received.into(), is_in_creds, note: failure.map(note) }
        }
        // One that is not of this token says nothing about it.
        (Some(found), None) if found.spent.is_none() || found.spent.as_ref() == token => {
            JournalState::Unanswered { spent: found.spent, note: failure.map(note) }
        }
        _ => JournalState::None,
    };
    let state = State {
        creds: token.copied(),
        owner: owner.filter(|_| token.is_none()).map(Claims::account_digest),
        journal,
        set_aside: &set_aside,
        spent: &saved.spent,
    };
    match recovery::decide(&state) {
        Recovery::CommitJournal { .. } | Recovery::Restore { .. } => {
            Some((PairState::Interrupted, None))
        }
        Recovery::OlderCopy => {
            let since = token.and_then(|token| saved.spent.newest(*token));
            let since = since.map(|(_, time)| time).unwrap_or_default();
            let error = Error::older_copy(place, &since.to_string(), &page);
            Some((PairState::OlderCopy, Some(error)))
        }
        Recovery::Nothing(PriorAttempt { in_doubt, is_noted }) => match failure {
            Some(failure) if is_noted && failure.is_refusal => {
                let error = Error::noted(&failure.message, &failure.help, failure.exit_code);
                Some((PairState::Refused, Some(error)))
            }
            _ => in_doubt.then_some((PairState::InDoubt, None)),
        },
        Recovery::Report
        | Recovery::DropJournal
        | Recovery::SetJournalAside
        | Recovery::SeveralAccounts
        | Recovery::NoTokens => None,
    }
}

fn expired(settings: &Settings, place: &Place) -> Verdict {
    let error = Error::expired(place, &settings.hosts.token_page());
    (PairState::Expired, Some(error))
}

/// What stands beside creds.json, and is not always there.
fn leftovers(
    settings: &Settings,
    files: &Files,
    spent: &SpentTokens,
    place: &Place,
    token: Option<&Digest>,
) -> Vec<Leftover> {
    let folder = files.creds.parent().into_iter().flat_map(fs::read_dir).flatten().flatten();
    let own = files.creds.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names: Vec<_> =
        folder.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let describe = |name: String| {
        let path = files.creds.with_file_name(&name);
        let meaning = match name.strip_prefix(&own)? {
            ".rotation" => of_journal(settings, files, &path, place, token),
            rest if rest.starts_with(".rotation.old") => {
                of_set_aside(settings, files, &path, spent)
            }
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
    names.into_iter().filter_map(describe).collect()
}

fn of_journal(
    settings: &Settings,
    files: &Files,
    path: &Path,
    place: &Place,
    token: Option<&Digest>,
) -> String {
    if files.are_in_use() {
        return "another program is refreshing the tokens".to_owned();
    }
    match Found::read(files, path) {
        Err(problem) => format!("the journal of a refresh, which cannot be used: {problem}"),
        Ok(None) => "the journal of a refresh that has just ended".to_owned(),
        Ok(Some(found)) => {
            let began = Timestamp::from(found.time);
            let next = SavedPair::of(path, &found, &settings.hosts).map(|pair| pair.next);
            let of_failure = |failure: &Failure| {
                let (time, message) = (Timestamp::from(failure.time), &failure.message);
                format!("the note of a refresh that failed ({time}): {message}")
            };
            match (&found.failure, next.is_none()) {
                (Some(failure), _)
                    if failure.unused.is_some() && failure.unused.as_ref() == token =>
                {
                    of_failure(failure)
                }
                (_, false) if next.as_ref() == token => {
                    format!(
                        "the journal of a refresh that is complete ({began}); the next refresh removes it"
                    )
                }
                (_, false) if place.secret().is_some() && token.is_none() => format!(
                    "the journal of a refresh ({began}); the next run puts its tokens in the vault, if they are not there yet"
                ),
                (_, false) if found.spent.as_ref() == token || token.is_none() => format!(
                    "the new tokens of a refresh that was cut off ({began}); the next run puts them in place"
                ),
                (_, false) => format!(
                    "the new tokens of a refresh ({began}); {place} has other ones, so the next run sets them aside"
                ),
                (Some(failure), true) => of_failure(failure),
                (None, true) => format!(
                    "a refresh was cut off before a response arrived ({began}); the next run tries the refresh token once more"
                ),
            }
        }
    }
}

fn of_set_aside(settings: &Settings, files: &Files, path: &Path, spent: &SpentTokens) -> String {
    let found = match Found::read(files, path) {
        Err(problem) => {
            return format!("tokens that were set aside, and cannot be read: {problem}");
        }
        Ok(found) => found,
    };
    let pair = found.as_ref().and_then(|found| SavedPair::of(path, found, &settings.hosts));
    match pair {
        None => "set aside, and holds no tokens".to_owned(),
        Some(pair) if spent.newest(pair.next).is_some() => {
            "tokens that were set aside and have been used since; the next refresh removes them"
                .to_owned()
        }
        Some(pair) => format!(
            "tokens that were set aside, because creds.json had others ({}); they are used if those are refused",
            pair.account()
        ),
    }
}
