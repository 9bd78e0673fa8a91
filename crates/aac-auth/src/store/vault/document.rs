//! A version of the secret: the vendor's document, and what this crate's programs tell one another in it.
//!
//! Their own fields are strings: the vault turns numbers into floats, and writes them to its audit log in
//! clear. A paste by the user replaces the document, and so ends claims and refusals.

use crate::error::display::one_line;
use crate::error::vault::VaultProblem;
use crate::store::vault::client::Version;
use crate::tokens::claims::{Arrival, Claims, LocalTime};
use crate::tokens::credentials::{Document, lone_refresh_token, wipe};
use crate::tokens::secret::{Digest, RefreshToken};
use serde_json::{Map, Value};
use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Who refreshes: `NONCE HOST:PID`. A nonce is `REFRESH.NUMBER`: each attempt needs a claim of its own.
const CLAIM: &str = "aac_claim";
/// A token that is dead: `SHA256 TIME MESSAGE`.
const REFUSED: &str = "aac_refused";
/// A token that may have been used: `SHA256 TIME NONCE MESSAGE`; or, with [`UNUSED`] as the nonce, one that
/// came without an access token of use, and is not to be sent for a while.
const FAILED: &str = "aac_failed";
const UNUSED: &str = "unused";
/// How old the access token was when this version was written, in seconds, its `iat`, and the number of
/// the version, since others may keep what they do not know: `SECONDS IAT VERSION`.
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

impl Claim {
    /// Whether a note with this nonce tells of the refresh that the claim was made for.
    pub(super) fn is_of_refresh(&self, nonce: &str) -> bool {
        let refresh = |nonce: &str| nonce.split('.').next().map(str::to_owned);
        refresh(&self.nonce) == refresh(nonce)
    }
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

impl Note {
    /// Whether the token has not been used, and is not to be sent for a while.
    pub(super) fn is_of_unused(&self) -> bool {
        self.nonce == UNUSED
    }
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
    /// When it was written, by the vault's clock, in seconds since the epoch.
    created: Option<f64>,
    /// How long ago it was written, by the vault's clock.
    age: Option<Duration>,
    /// The vault's clock when it was read, in seconds since the epoch.
    now: i64,
    /// When it was read.
    read: Instant,
}

/// The fields of a version that is to be written: their strings are wiped on drop.
pub(super) struct Fields(Map<String, Value>);

impl Deref for Fields {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self {
            number: 0,
            fields: Err(VaultProblem::no_secret()),
            notes: Notes::default(),
            expires: None,
            created: None,
            age: None,
            now: 0,
            read: Instant::now(),
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
        let Version { number, fields, expires, created, age, now } = version;
        let notes = fields.as_ref().map(notes).unwrap_or_default();
        Self { number, fields, notes, expires, created, age, now, read: Instant::now() }
    }

    /// The version that was just written with these fields, at this time of the vault's clock.
    pub(super) fn written(
        (number, created): (u64, Option<f64>),
        fields: &Map<String, Value>,
        now: i64,
    ) -> Self {
        let (fields, age) = (Ok(fields.clone()), Some(Duration::ZERO));
        Self::of(Version { number, fields, expires: None, created, age, now })
    }

    /// Whether a program has noted that it may have used this token.
    pub(super) fn has_failed(&self, token: &Digest) -> bool {
        let failed = self.notes.failed.as_ref();
        failed.is_some_and(|note| note.token == *token && !note.is_of_unused())
    }

    /// Its number, and when it was written.
    pub(super) fn version(&self) -> (u64, Option<f64>) {
        (self.number, self.created)
    }

    /// The vault's clock, in seconds since the epoch.
    pub(super) fn now(&self) -> i64 {
        let since = i64::try_from(self.read.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.now.saturating_add(since)
    }

    /// How long ago it was written.
    fn age(&self) -> Option<Duration> {
        self.age?.checked_add(self.read.elapsed())
    }

    /// When it was written, by this machine's clock.
    pub(super) fn written_at(&self) -> LocalTime {
        let age = self.age().and_then(|age| i64::try_from(age.as_millis()).ok());
        LocalTime(LocalTime::now().0.saturating_sub(age.unwrap_or(0)))
    }

    /// The document as creds.json would hold it, without our own fields; empty if there is none.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let Ok(fields) = self.fields.clone() else { return Zeroizing::default() };
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
        let mut parts = self.fields.as_ref().ok()?.get(AGE)?.as_str()?.split(' ');
        let (seconds, iat, number) = (parts.next()?, parts.next()?, parts.next()?);
        if number.parse() != Ok(self.number) {
            return None;
        }
        let when_written = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
        Some((when_written.checked_add(self.age()?)?, iat.parse().ok()?))
    }

    /// The same document with these notes, as the next version.
    pub(super) fn with_notes(&self, notes: &Notes) -> Fields {
        let mut fields = self.fields.as_ref().ok().cloned().unwrap_or_default();
        let age = self.token_age().map(|(age, iat)| self.next_age(age, iat));
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
        Fields(fields)
    }

    /// The fields of a document that is committed as the next version: with the age of its access token, and
    /// no notes but this one on its refresh token, which is not to be sent for a while.
    pub(super) fn fields_of_file(&self, bytes: &[u8], unused: Option<String>) -> Fields {
        let document = Document::parse(bytes).unwrap_or_default();
        let arrival = document.arrival();
        let mut fields = document.without(|name| name == ARRIVAL).into_fields();
        if let (Some(message), Some(token)) = (unused, lone_refresh_token(bytes)) {
            let note = format!("{} {} {UNUSED} {message}", token.digest(), self.now());
            fields.insert(FAILED.to_owned(), Value::from(note));
        }
        if let Some(Arrival { iat, clock }) = arrival {
            let age = LocalTime::now().0.saturating_sub(clock.0).max(0).unsigned_abs();
            fields.insert(
                AGE.to_owned(),
                Value::from(self.next_age(Duration::from_millis(age), iat)),
            );
        }
        Fields(fields)
    }

    fn next_age(&self, age: Duration, iat: i64) -> String {
        format!("{:.3} {iat} {}", age.as_secs_f64(), self.number + 1)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(number: u64, fields: &Value) -> Secret {
        let fields = Ok(fields.as_object().unwrap().clone());
        let age = Some(Duration::from_secs(2));
        Secret::of(Version { number, fields, expires: None, created: None, age, now: 1000 })
    }

    #[test]
    fn the_vaults_clock_goes_on_after_a_read() {
        let mut secret = secret(7, &json!({ "aac_age": "3.000 42 7" }));
        // A refresh may take two minutes, in which the vault is not asked.
        let Some(read) = Instant::now().checked_sub(Duration::from_secs(120)) else { return };
        secret.read = read;
        assert_eq!(secret.now(), 1120);
        let (age, iat) = secret.token_age().unwrap();
        assert_eq!((age.as_secs(), iat), (125, 42));
        assert_eq!(secret.with_notes(&Notes::default())["aac_age"], json!("125.000 42 8"));
    }

    #[test]
    fn an_age_counts_for_its_own_version_alone() {
        for (text, number, is_known) in [
            ("3.000 42 7", 7, true),
            ("3.000 42 7", 8, false),
            ("3.000 42", 7, false),
            ("-3.000 42 7", 7, false),
            ("NaN 42 7", 7, false),
            ("1e300 42 7", 7, false),
        ] {
            let found = secret(number, &json!({ "aac_age": text })).token_age();
            assert_eq!(found.is_some(), is_known, "{text} {number}");
        }
    }

    #[test]
    fn a_note_is_of_a_refresh_whatever_the_attempt() {
        let claim = Claim { nonce: "ab.1".to_owned(), holder: "host:7".to_owned() };
        assert!(claim.is_of_refresh("ab.1") && claim.is_of_refresh("ab.2"));
        assert!(!claim.is_of_refresh("abc.1") && !claim.is_of_refresh("-"));
    }

    #[test]
    fn notes_are_read_as_they_are_written_and_never_panic() {
        let token = RefreshToken::new("token".to_owned());
        let claim = Claim { nonce: "n1".to_owned(), holder: "host:7".to_owned() };
        let mut notes = Notes { claim: Some(claim.clone()), ..Notes::default() };
        notes.refuse(&token, i64::MIN, "invalid_grant: it is dead");
        notes.fail(&token, i64::MAX, &claim, "the connection broke");
        let written = secret(7, &json!({ "refresh_token": "token" })).with_notes(&notes);
        assert!(written.values().all(Value::is_string));
        let read = secret(8, &Value::Object(written.clone()));
        assert_eq!(read.notes, notes);
        assert_eq!(*read.bytes(), *b"{\n  \"refresh_token\": \"token\"\n}\n");
        for text in ["", " ", "a", "a b", "a b c", "a b c d"] {
            let fields = json!({ "aac_claim": text, "aac_refused": text, "aac_failed": text });
            assert_eq!(secret(1, &fields).notes.refused, None);
        }
    }
}
