//! A version of the secret: the vendor's document, and what this crate's programs tell one another in it.
//!
//! Their own fields are strings: the vault turns numbers into floats, and writes them to its audit log in
//! clear. A paste by the user replaces the document, and so ends claims and refusals.

use crate::error::display::one_line;
use crate::error::vault::VaultProblem;
use crate::store::vault::client::Version;
use crate::tokens::claims::{Arrival, Claims, LocalTime};
use crate::tokens::credentials::{Document, wipe};
use crate::tokens::secret::{Digest, RefreshToken};
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// Who refreshes: `NONCE HOST:PID`.
const CLAIM: &str = "aac_claim";
/// A token that is dead: `SHA256 TIME MESSAGE`.
const REFUSED: &str = "aac_refused";
/// A token that may have been used: `SHA256 TIME NONCE MESSAGE`.
const FAILED: &str = "aac_failed";
/// How old the access token was when it was committed, in seconds, and its `iat`: `SECONDS IAT`.
const AGE: &str = "aac_age";
/// What creds.json has for the same purpose, by the clock of one machine.
const ARRIVAL: &str = "aac_auth";

/// A claim of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) nonce: String,
    /// Its host and process.
    pub(super) holder: String,
}

/// A note about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) token: Digest,
    /// By the vault's clock, in seconds since the epoch.
    pub(super) time: i64,
    /// Of the claim of the program that failed.
    pub(super) nonce: String,
    pub(super) message: String,
}

/// What programs tell one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) claim: Option<Claim>,
    pub(super) refused: Option<Note>,
    pub(super) failed: Option<Note>,
}

impl Notes {
    /// Notes that this token is dead.
    pub(super) fn refuse(&mut self, token: &RefreshToken, time: i64, message: &str) {
        let (token, message) = (token.digest(), message.to_owned());
        self.refused = Some(Note { token, time, nonce: String::new(), message });
    }

    /// Notes that this token may have been used, by the program with this claim.
    pub(super) fn fail(&mut self, token: &RefreshToken, time: i64, claim: &Claim, message: &str) {
        let (token, nonce) = (token.digest(), claim.nonce.clone());
        self.failed = Some(Note { token, time, nonce, message: message.to_owned() });
    }
}

/// What one version of the secret holds.
#[derive(Clone)]
pub(super) struct Secret {
    /// 0 if there is none.
    pub(super) number: u64,
    /// All fields, ours included.
    pub(super) fields: Result<Map<String, Value>, VaultProblem>,
    pub(super) notes: Notes,
    /// When it is deleted by itself.
    pub(super) expires: Option<String>,
    /// How long ago it was written, by the vault's clock.
    age: Option<Duration>,
    /// The vault's clock when it was read, in seconds since the epoch.
    pub(super) now: i64,
}

impl Default for Secret {
    fn default() -> Self {
        Self {
            number: 0,
            fields: Err(VaultProblem::NoSecret),
            notes: Notes::default(),
            expires: None,
            age: None,
            now: 0,
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if let Ok(fields) = &mut self.fields {
            fields.values_mut().for_each(wipe);
        }
    }
}

/// Shows no token.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Secret {
    pub(super) fn of(version: Version) -> Self {
        let Version { number, fields, expires, age, now } = version;
        let notes = fields.as_ref().map(notes).unwrap_or_default();
        Self { number, fields, notes, expires, age, now }
    }

    /// The version that was just written with these fields, at this time of the vault's clock.
    pub(super) fn written(number: u64, fields: &Map<String, Value>, now: i64) -> Self {
        let (fields, age) = (Ok(fields.clone()), Some(Duration::ZERO));
        Self::of(Version { number, fields, expires: None, age, now })
    }

    /// The document as creds.json would hold it, without our own fields.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let fields = self.fields.as_ref().ok().cloned().unwrap_or_default();
        let is_own = |name: &str| [CLAIM, REFUSED, FAILED, AGE, ARRIVAL].contains(&name);
        Document::of(fields).without(is_own).to_bytes()
    }

    /// When its access token arrived, on this machine's clock but measured on others: on that of the
    /// machine that refreshed, until the commit, and on the vault's since then.
    pub(super) fn arrival(&self, claims: &Claims) -> Option<Arrival> {
        let iat = claims.iat?;
        let (age, _) = self.token_age().filter(|(_, of)| *of == iat)?;
        let age = i64::try_from(age.as_millis()).ok()?;
        Some(Arrival { iat, clock: LocalTime(LocalTime::now().0.saturating_sub(age)) })
    }

    /// How old the access token is, and its `iat`.
    fn token_age(&self) -> Option<(Duration, i64)> {
        let (seconds, iat) = self.fields.as_ref().ok()?.get(AGE)?.as_str()?.split_once(' ')?;
        let at_commit = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
        Some((at_commit.checked_add(self.age?)?, iat.parse().ok()?))
    }

    /// The same document with these notes.
    pub(super) fn with_notes(&self, notes: &Notes) -> Map<String, Value> {
        let mut fields = self.fields.as_ref().ok().cloned().unwrap_or_default();
        let age = self.token_age().map(|(age, iat)| age_text(age, iat));
        let note = |note: &Option<Note>, with_nonce: bool| {
            note.as_ref().map(|Note { token, time, nonce, message }| match with_nonce {
                true => format!("{token} {time} {nonce} {message}"),
                false => format!("{token} {time} {message}"),
            })
        };
        let claim = notes.claim.as_ref().map(|Claim { nonce, holder }| format!("{nonce} {holder}"));
        for (name, text) in [
            (CLAIM, claim),
            (REFUSED, note(&notes.refused, false)),
            (FAILED, note(&notes.failed, true)),
            (AGE, age),
        ] {
            match text {
                Some(text) => fields.insert(name.to_owned(), Value::from(text)),
                None => fields.shift_remove(name),
            };
        }
        fields
    }

    /// The fields of a document that is committed: with no notes, and the age of its access token.
    pub(super) fn fields_of_file(bytes: &[u8]) -> Map<String, Value> {
        let document = Document::parse(bytes).unwrap_or_default();
        let arrival = document.arrival();
        let mut fields = document.without(|name| name == ARRIVAL).into_fields();
        if let Some(Arrival { iat, clock }) = arrival {
            let age = LocalTime::now().0.saturating_sub(clock.0).max(0).unsigned_abs();
            fields.insert(AGE.to_owned(), Value::from(age_text(Duration::from_millis(age), iat)));
        }
        fields
    }
}

fn age_text(age: Duration, iat: i64) -> String {
    format!("{:.3} {iat}", age.as_secs_f64())
}

fn notes(fields: &Map<String, Value>) -> Notes {
    let text = |name: &str| fields.get(name)?.as_str();
    let note = |name: &str, with_nonce: bool| {
        let (token, rest) = text(name)?.split_once(' ')?;
        let (time, rest) = rest.split_once(' ')?;
        let (nonce, message) = if with_nonce { rest.split_once(' ')? } else { ("", rest) };
        Some(Note {
            token: Digest::parse(token)?,
            time: time.parse().ok()?,
            nonce: nonce.to_owned(),
            message: one_line(message),
        })
    };
    let claim = text(CLAIM).and_then(|claim| claim.split_once(' '));
    Notes {
        claim: claim
            .map(|(nonce, holder)| Claim { nonce: nonce.to_owned(), holder: one_line(holder) }),
        refused: note(REFUSED, false),
        failed: note(FAILED, true),
    }
}
