//! Sealed contents: a pair of tokens as it is kept where its key is kept by the system.
//!
//! `{"sealed": {"v": 1, "by": "…", "key": "…", "print": "…", "data": "…"}}`: who keeps the key and by what name,
//! a fingerprint of it, and AES-256-GCM's nonce, ciphertext and tag in Base64. The version, both names and the kind
//! of place are authenticated. The places of a journal hold the same, so that a pair which was set aside brings the
//! name of its key along, and its checksum tells a torn one without the key.
//!
//! A key is fetched while no lock is held ([`Opener::fetch`]), and a nonce is drawn with it. From then on nothing
//! can fail: sealing asks neither the system nor a keeper.

use crate::error::FileProblem;
use crate::keys::{self, Keeper, Key, KeyPlace, KeyProblem};
use crate::platform::signals::SignalGuard;
use crate::tokens::credentials::Document;
use crate::tokens::journal_format::Found;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// The field of a document that is sealed.
pub(crate) const SEALED: &str = "sealed";
const VERSION: u64 = 1;

/// What kind of place a content is made for: it opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// creds.json, its replacement, and the journal's copy of it.
    Creds,
    /// A response in a journal.
    Response,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Creds => "creds",
            Self::Response => "response",
        }
    }
}

/// A content: as it is written, and what it says.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    /// What is written: it is this that is compared, and copied.
    pub(crate) raw: Zeroizing<Vec<u8>>,
    /// What it says, if that is something else.
    opened: Option<Zeroizing<Vec<u8>>>,
    keeping: Keeping,
}

impl Stored {
    /// A content that says what is written.
    pub(crate) fn plain(raw: Zeroizing<Vec<u8>>) -> Self {
        Self { raw, ..Self::default() }
    }

    /// What it says.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.opened.as_ref().unwrap_or(&self.raw)
    }

    /// How to keep what takes its place.
    pub(crate) fn keeping(&self) -> &Keeping {
        &self.keeping
    }
}

/// Shows no token.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("keeping", &self.keeping).finish_non_exhaustive()
    }
}

/// How contents are kept: plain, or sealed with a key that is at hand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeping(Option<Arc<Sealer>>);

impl Keeping {
    pub(crate) const PLAIN: Self = Self(None);

    pub(crate) fn sealed(sealer: Sealer) -> Self {
        Self(Some(Arc::new(sealer)))
    }

    pub(crate) fn sealer(&self) -> Option<&Sealer> {
        self.0.as_deref()
    }

    /// This, unless it is plain: what was sealed once is not written otherwise.
    pub(crate) fn or(&self, other: &Self) -> Self {
        if self.0.is_some() { self.clone() } else { other.clone() }
    }

    /// This content as it is to be written. It cannot fail.
    pub(crate) fn keep(&self, kind: Kind, content: &[u8]) -> Stored {
        let opened = Zeroizing::new(content.to_vec());
        match &self.0 {
            None => Stored::plain(opened),
            Some(sealer) => Stored {
                raw: Zeroizing::new(sealer.seal(kind, content)),
                opened: Some(opened),
                keeping: self.clone(),
            },
        }
    }
}

/// A key, with all that sealing takes. Shared by threads.
pub(crate) struct Sealer {
    place: KeyPlace,
    key: Key,
    print: String,
    /// The first nonce, as a number of 96 bits.
    start: u128,
    /// How many were used.
    used: AtomicU64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Takes a key into use, and draws the first nonce.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn new(place: KeyPlace, key: Key) -> Result<Self, KeyProblem> {
        let mut start = [0; 16];
        SystemRandom::new()
            .fill(&mut start[16 - NONCE_LEN..])
            .map_err(|_| KeyProblem::no_random_numbers())?;
        let (print, used) = (key.print(), AtomicU64::new(0));
        Ok(Self { place, key, print, start: u128::from_be_bytes(start), used })
    }

    pub(crate) fn place(&self) -> &KeyPlace {
        &self.place
    }

    /// The fingerprint of its key.
    pub(crate) fn print(&self) -> &str {
        &self.print
    }

    fn envelope(&self, data: &str) -> String {
        let (KeyPlace { by, name }, print) = (&self.place, &self.print);
        let by = by.as_str();
        format!(
            "{{\"{SEALED}\": {{\"v\": {VERSION}, \"by\": \"{by}\", \"key\": \"{name}\", \"print\": \"{print}\", \"data\": \"{data}\"}}}}\n"
        )
    }

    /// All before the data: the same for every content.
    fn head(&self) -> String {
        let mut head = self.envelope("");
        head.truncate(head.len() - "\"}}\n".len());
        head
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.key.bytes());
        LessSafeKey::new(key.expect("a key of AES-256 has 32 bytes"))
    }

    fn associated(&self, kind: Kind) -> Aad<String> {
        let KeyPlace { by, name } = &self.place;
        // Neither name has a line end.
        let (by, kind) = (by.as_str(), kind.as_str());
        Aad::from(format!("aac-auth sealed\n{VERSION}\n{by}\n{name}\n{kind}"))
    }

    fn seal(&self, kind: Kind, content: &[u8]) -> Vec<u8> {
        let number = self.start.wrapping_add(self.used.fetch_add(1, Ordering::Relaxed).into());
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&number.to_be_bytes()[16 - NONCE_LEN..]);
        let mut data = Vec::with_capacity(NONCE_LEN + content.len() + MAX_TAG_LEN);
        data.extend_from_slice(&nonce);
        data.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.cipher().seal_in_place_separate_tag(
            nonce,
            self.associated(kind),
            &mut data[NONCE_LEN..],
        );
        data.extend_from_slice(sealed.expect("it has less than 64 GiB").as_ref());
        self.envelope(&BASE64.encode(data)).into_bytes()
    }

    /// None if it is damaged.
    fn open(&self, kind: Kind, data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = data.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length =
            self.cipher().open_in_place(nonce, self.associated(kind), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }

    /// Whether `found` can result from an interrupted write of a content that is sealed with this key, over another
    /// one: none that is whole, but begun like both. Their lengths are the bounds.
    pub(crate) fn is_torn(&self, found: &[u8], old: &[u8], new: &[u8]) -> bool {
        let lengths = old.len().min(new.len())..=old.len().max(new.len());
        let head = self.head();
        let starts = |content: &[u8]| content.starts_with(head.as_bytes());
        lengths.contains(&found.len()) && starts(found) && starts(old)
    }
}

/// Why a sealed content stays closed.
#[derive(Clone, Debug)]
pub(crate) enum Closed {
    /// Its key was not asked for yet.
    NotAsked,
    NoKey(KeyProblem),
}

/// What is sealed, before it is opened.
struct Envelope {
    key: KeyPlace,
    print: String,
    data: Vec<u8>,
}

impl Envelope {
    /// None if this is no sealed content.
    fn find(raw: &[u8]) -> Option<Result<Self, FileProblem>> {
        // Most are plain, and are parsed but once.
        let name = format!("\"{SEALED}\"");
        raw.windows(name.len()).find(|window| *window == name.as_bytes())?;
        let document = Document::parse(raw).ok()?;
        Some(Self::parse(document.sealed()?))
    }

    /// What is missing or no such value is damage; what a later version has written is not.
    fn parse(fields: &serde_json::Map<String, Value>) -> Result<Self, FileProblem> {
        let text = |field| fields.get(field).and_then(Value::as_str);
        let text = |field| text(field).ok_or_else(FileProblem::broken_seal);
        match fields.get("v").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(VERSION..) => return Err(FileProblem::sealed_by_a_later_version()),
            _ => return Err(FileProblem::broken_seal()),
        }
        let (by, name) = (text("by")?, text("key")?);
        let by = Keeper::parse(by).ok_or_else(FileProblem::sealed_by_a_later_version)?;
        if !keys::is_name(by, name) {
            return Err(FileProblem::no_name_of_a_key());
        }
        let data = BASE64.decode(text("data")?).map_err(|_| FileProblem::broken_seal())?;
        let key = KeyPlace { by, name: name.to_owned() };
        Ok(Self { key, print: text("print")?.to_owned(), data })
    }
}

/// The key that a content was sealed with, and its fingerprint; none if it is plain, or damaged.
pub(crate) fn seal_of(raw: &[u8]) -> Option<(KeyPlace, String)> {
    let Envelope { key, print, .. } = Envelope::find(raw)?.ok()?;
    Some((key, print))
}

/// The keys that a client has fetched.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// By place and fingerprint: a file may have another key by now.
    known: Mutex<Vec<Entry>>,
    /// Held by the thread that asks for keys.
    asking: Mutex<()>,
    /// Whether a signal waits until a keeper that was asked has ended.
    holds_signals: bool,
}

type Entry = (KeyPlace, String, Known);

#[derive(Debug)]
enum Known {
    Here(Arc<Sealer>),
    /// When it was not to be had, if it was asked for.
    Missing {
        is_wanted: bool,
        last: Option<(Instant, Closed)>,
    },
}

impl Known {
    fn is_wanted(&self) -> bool {
        matches!(self, Self::Missing { is_wanted: true, .. })
    }

    /// Why it is missing for a call that began then.
    fn missing(&self, since: Instant) -> Option<&Closed> {
        let Self::Missing { last: Some((at, why)), .. } = self else { return None };
        (*at >= since).then_some(why)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens contents for one call, with the keys that are at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opener<'a> {
    keys: &'a Keys,
    /// When the call began: what was not to be had since then, is not asked for again.
    since: Instant,
}

impl Keys {
    pub(crate) fn new(holds_signals: bool) -> Self {
        Self { holds_signals, ..Self::default() }
    }

    /// For a call that begins now.
    pub(crate) fn opener(&self) -> Opener<'_> {
        Opener { keys: self, since: Instant::now() }
    }
}

impl Opener<'_> {
    /// Opens what is kept in a place, if that is sealed; also a journal in the place of creds.json. Asks no keeper:
    /// a key that is not at hand is [wanted](Self::wants_keys) then.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is damaged.
    pub(crate) fn open(self, raw: &[u8], kind: Kind) -> Result<Stored, FileProblem> {
        if kind == Kind::Creds
            && let Some(Found { spent, response: Some(response), creds, .. }) = Found::parse(raw)?
        {
            // Someone has put a saved pair back.
            let response = self.open_content(&response, Kind::Response)?;
            let before = creds.and_then(|creds| self.open_content(&creds, Kind::Creds).ok());
            let before = before.as_ref().map(Stored::bytes);
            let opened = Document::of_journal(response.bytes(), before, spent)?.to_bytes();
            let raw = Zeroizing::new(raw.to_vec());
            return Ok(Stored { raw, opened: Some(opened), keeping: response.keeping });
        }
        self.open_content(raw, kind)
    }

    fn open_content(self, raw: &[u8], kind: Kind) -> Result<Stored, FileProblem> {
        let stored = Stored::plain(Zeroizing::new(raw.to_vec()));
        let Some(envelope) = Envelope::find(raw) else { return Ok(stored) };
        let Envelope { key, print, data } = envelope?;
        let sealer = match self.known(&key, &print) {
            Ok(sealer) => sealer,
            Err(why) => return Err(FileProblem::Sealed { key, why }),
        };
        let opened = sealer.open(kind, &data).ok_or_else(FileProblem::broken_seal)?;
        Ok(Stored { opened: Some(opened), keeping: Keeping(Some(sealer)), ..stored })
    }

    /// The key with this fingerprint, if it is at hand.
    fn known(self, key: &KeyPlace, print: &str) -> Result<Arc<Sealer>, Closed> {
        let mut all = locked(&self.keys.known);
        let Some((.., known)) = all.iter_mut().find(|(place, of, _)| place == key && of == print)
        else {
            let known = Known::Missing { is_wanted: true, last: None };
            all.push((key.clone(), print.to_owned(), known));
            return Err(Closed::NotAsked);
        };
        if let Some(why) = known.missing(self.since) {
            return Err(why.clone());
        }
        match known {
            Known::Here(sealer) => Ok(Arc::clone(sealer)),
            Known::Missing { is_wanted, .. } => {
                *is_wanted = true;
                Err(Closed::NotAsked)
            }
        }
    }

    /// Whether a content stays closed because its key was not asked for. What this call was told of a key counts for
    /// it, though a later one wants that key again.
    pub(crate) fn wants_keys(self) -> bool {
        let is_wanted = |known: &Known| known.is_wanted() && known.missing(self.since).is_none();
        locked(&self.keys.known).iter().any(|(.., known)| is_wanted(known))
    }

    /// Asks for each key that is wanted, once. No lock may be held.
    pub(crate) fn fetch(self) {
        if !self.wants_keys() {
            return;
        }
        // Threads that want the same one wait for it here.
        let _asking = locked(&self.keys.asking);
        if self.keys.holds_signals {
            SignalGuard::prepare();
        }
        let wanted = || {
            let mut all = locked(&self.keys.known);
            all.iter_mut().find(|it| it.2.is_wanted()).map(|(key, ..)| key.clone())
        };
        while let Some(key) = wanted() {
            let fetched = keys::fetch(&key, keys::patience());
            let fetched = fetched.and_then(|it| Sealer::new(key.clone(), it)).map(Arc::new);
            let of_key = |it: &&mut Entry| it.0 == key && it.2.is_wanted();
            for (_, print, known) in locked(&self.keys.known).iter_mut().filter(of_key) {
                let problem = match &fetched {
                    Ok(sealer) if sealer.print == *print => {
                        *known = Known::Here(Arc::clone(sealer));
                        continue;
                    }
                    Ok(_) => KeyProblem::other_key(&key.by.to_string()),
                    Err(problem) => problem.clone(),
                };
                let last = Some((Instant::now(), Closed::NoKey(problem)));
                *known = Known::Missing { is_wanted: false, last };
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tokens::credentials::Credentials;
    use std::collections::HashSet;
    use std::thread;

    const PLACE: KeyPlace = KeyPlace { by: Keeper::File, name: String::new() };
    const PAIR: &[u8] = br#"{"access_token": "one", "refresh_token": "other"}"#;

    fn sealer(key: u8) -> Sealer {
        Sealer::new(PLACE, Key::new([key; 32])).unwrap()
    }

    /// A key, and what opens with it.
    pub(crate) fn keeping() -> (Keeping, Keys) {
        let keeping = Keeping::sealed(sealer(7));
        let known = Known::Here(Arc::clone(keeping.0.as_ref().unwrap()));
        let entry = (PLACE, sealer(7).print, known);
        (keeping, Keys { known: Mutex::new(vec![entry]), ..Keys::default() })
    }

    /// What becomes of a content: what is sealed in it, or what kind of problem it is.
    fn told(keys: &Keys, raw: &[u8], kind: Kind) -> Result<Vec<u8>, String> {
        let stored = keys.opener().open(raw, kind).map_err(|problem| {
            let problem = format!("{problem:?}");
            problem.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        })?;
        match &stored.keeping.0 {
            Some(_) => Ok(stored.bytes().to_vec()),
            None => Err("Plain".to_owned()),
        }
    }

    #[test]
    fn what_is_sealed_opens_as_it_was_and_as_nothing_else() {
        let (keeping, keys) = keeping();
        for kind in [Kind::Creds, Kind::Response] {
            let Stored { raw, .. } = keeping.keep(kind, PAIR);
            let head = raw.windows(4).position(|part| part == b"data").unwrap();
            assert!(raw != keeping.keep(kind, PAIR).raw, "a nonce for each");
            assert_eq!(told(&keys, &raw, kind).unwrap(), PAIR);
            assert_eq!(told(&keys, &[b"\xEF\xBB\xBF", &raw[..]].concat(), kind).unwrap(), PAIR);
            let other = if kind == Kind::Creds { Kind::Response } else { Kind::Creds };
            assert_eq!(told(&keys, &raw, other).unwrap_err(), "NotJson");
            for place in 0..raw.len() {
                for bit in 0..8 {
                    let mut raw = raw.clone();
                    raw[place] ^= 1 << bit;
                    let problem = told(&keys, &raw, kind).unwrap_err();
                    // Of another version, or key; or no JSON any more.
                    let is_damage = ["NotJson", "Plain"].contains(&&*problem);
                    assert!(is_damage || place < head, "{place} {bit}: {problem}");
                    // It is not taken for a pair either.
                    let hosts =
                        crate::config::settings::Hosts::parse("https://api.us1.alteryxcloud.com");
                    assert!(Credentials::parse(Stored::plain(raw), &hosts.unwrap()).is_err());
                }
            }
            for length in 0..raw.len() - 1 {
                let problem = told(&keys, &raw[..length], kind).unwrap_err();
                assert!(["NotJson", "Plain"].contains(&&*problem), "{length}: {problem}");
            }
        }
    }

    #[test]
    fn a_write_that_was_cut_off_is_damage_and_is_known() {
        let (keeping, keys) = keeping();
        let sealer = keeping.sealer().unwrap();
        for (old, new) in [(PAIR, &PAIR[..20]), (&PAIR[..20], PAIR), (PAIR, PAIR)] {
            let [old, new] = [old, new].map(|content| keeping.keep(Kind::Creds, content).raw);
            let is_same = |place: &usize| old.get(*place) == new.get(*place);
            let first = (0..).find(|place| !is_same(place)).unwrap();
            // As many bytes of the new one, whatever the length is by then.
            for written in first + 1..new.len() {
                let rest = old.get(written..).unwrap_or_default();
                let found = [&new[..written], rest].concat();
                if found == *new {
                    continue;
                }
                match told(&keys, &found, Kind::Creds) {
                    Ok(_) => assert_eq!(written, new.len() - 1, "whole, but for its line end"),
                    Err(problem) => {
                        assert!(["NotJson", "Plain"].contains(&&*problem), "{written}: {problem}");
                    }
                }
                assert!(sealer.is_torn(&found, &old, &new), "{written}");
            }
        }
        let [old, new] = [PAIR, PAIR].map(|content| keeping.keep(Kind::Creds, content).raw);
        for other in
            [PAIR, b"", &sealer_of(8).keep(Kind::Creds, PAIR).raw, &[&old[..], b" "].concat()]
        {
            assert!(!sealer.is_torn(other, &old, &new));
        }
    }

    fn sealer_of(key: u8) -> Keeping {
        Keeping::sealed(sealer(key))
    }

    #[test]
    fn what_is_missing_is_damage_and_what_another_has_written_is_left_alone() {
        let (keeping, keys) = keeping();
        let raw = String::from_utf8(keeping.keep(Kind::Creds, PAIR).raw.to_vec()).unwrap();
        let without = |field: &str| raw.replace(&format!("\"{field}\""), "\"other\"");
        for (raw, expected) in [
            (without("v"), "NotJson"),
            (without("by"), "NotJson"),
            (without("key"), "NotJson"),
            (without("print"), "NotJson"),
            (without("data"), "NotJson"),
            (raw.replace("\"v\": 1", "\"v\": 0"), "NotJson"),
            (raw.replace("\"v\": 1", "\"v\": \"1\""), "NotJson"),
            (raw.replace("\"v\": 1", "\"v\": 2"), "Kept"),
            (raw.replace("\"file\"", "\"tpm\""), "Kept"),
            (raw.replace("\"file\"", "\"keychain\""), "Kept"),
            (raw.replace("\"file\"", "\"command\""), "Sealed"),
            (raw.replace("\"key\": \"\"", "\"key\": \"-s\""), "Kept"),
            (raw.replace("\"data\": \"", "\"data\": \"A"), "NotJson"),
            (raw.replace("\"data\": \"", "\"data\": \"\", \"other\": \""), "NotJson"),
            (
                String::from_utf8(sealer_of(8).keep(Kind::Creds, PAIR).raw.to_vec()).unwrap(),
                "Sealed",
            ),
            // What stands beside tokens is not opened.
            (raw.replacen('{', "{\"refresh_token\": \"other\", ", 1), "Plain"),
            ("{\"sealed\": \"text\"}".to_owned(), "Plain"),
            ("{\"sealed\": {}}".to_owned(), "NotJson"),
        ] {
            assert_eq!(told(&keys, raw.as_bytes(), Kind::Creds).unwrap_err(), expected, "{raw}");
        }
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let keeping = Keeping::sealed(Sealer { start: (1 << 96) - 50, ..sealer(7) });
        let nonces = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Stored { raw, .. } = keeping.keep(Kind::Creds, b"");
                        let envelope = Envelope::find(&raw).unwrap().unwrap();
                        nonces.lock().unwrap().insert(envelope.data[..NONCE_LEN].to_vec());
                    }
                });
            }
        });
        let nonces = nonces.into_inner().unwrap();
        assert_eq!(nonces.len(), 200);
        assert!(nonces.contains(&vec![0; NONCE_LEN]), "they go on from the first");
    }

    #[test]
    fn a_key_that_is_not_to_be_had_is_asked_for_once_in_a_call() {
        let keys = Keys::default();
        let Stored { raw, .. } = sealer_of(7).keep(Kind::Creds, PAIR);
        let asked = |opener: Opener<'_>| match opener.open(&raw, Kind::Creds) {
            Err(FileProblem::Sealed { why: Closed::NotAsked, .. }) => false,
            Err(FileProblem::Sealed { .. }) => true,
            other => panic!("{other:?}"),
        };
        let first = keys.opener();
        assert!(!first.wants_keys() && !asked(first) && first.wants_keys());
        // No variable names a file here; should one, its key is another.
        first.fetch();
        assert!(asked(first) && !first.wants_keys());
        let second = keys.opener();
        assert!(!asked(second) && second.wants_keys());
        // The first call goes on with what it was told.
        assert!(asked(first) && !first.wants_keys());
    }
}
