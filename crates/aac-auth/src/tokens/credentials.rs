//! creds.json: the validated pair of tokens, and the document that contains them.

use crate::config::settings::{Hosts, Issuer, has_placeholder, is_placeholder, is_untouched};
use crate::config::text;
use crate::error::FileProblem;
use crate::error::display::{stray, unquoted};
use crate::platform;
use crate::tokens::claims::{Arrival, Claims, LocalTime, sign_of_a_cut};
use crate::tokens::journal_format::{CREDS, LARGEST};
use crate::tokens::sealed::{Kind, Opener, SEALED, Stored};
use crate::tokens::secret::{AccessToken, Digest, RefreshToken, redact};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::mem;
use std::path::Path;
use std::thread;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

const ACCESS: &str = "access_token";
const REFRESH: &str = "refresh_token";
/// Stands in place of both where the tokens are in a vault.
const VAULT: &str = "vault";
/// This crate's own field in creds.json: when the access token arrived, by the local clock.
const ARRIVAL: &str = "aac_auth";

/// The error codes of a token endpoint (RFC 6749 §5.2).
const OAUTH_ERRORS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// What creds.json holds, and the pair in it, or why that gives none.
pub(crate) type Found = (Stored, Result<Credentials, FileProblem>);

/// A matching pair of tokens, as held by creds.json or the journal.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) access_token: AccessToken,
    pub(crate) refresh_token: RefreshToken,
    pub(crate) claims: Claims,
    pub(crate) arrival: Option<Arrival>,
    /// Where the refresh token is sent: `iss`, then `/token`.
    pub(crate) token_endpoint: String,
    pub(crate) is_issuer_familiar: bool,
    /// The OAuth client that the tokens were issued to.
    pub(crate) client_id: String,
    /// What the file holds, to rehearse its replacement.
    pub(crate) stored: Stored,
}

impl Credentials {
    /// Reads creds.json. What this accepts is not rejected later.
    fn read(path: &Path, hosts: &Hosts, opener: Opener<'_>) -> Found {
        let raw = match text::read(path) {
            Ok(raw) => raw,
            Err(problem) => return (Stored::default(), Err(problem)),
        };
        match opener.open(&raw, Kind::Creds) {
            Ok(stored) => (stored.clone(), Self::parse(stored, hosts)),
            Err(problem) => (Stored::plain(raw), Err(problem)),
        }
    }

    /// Reads creds.json once it has settled. The vendor's examples write it in place, so a file that
    /// looks damaged may be half written, and is read again: there is no event to wait for.
    pub(crate) fn read_settled(path: &Path, hosts: &Hosts, opener: Opener<'_>) -> Found {
        let may_settle = |problem: &FileProblem| match problem {
            FileProblem::Empty | FileProblem::NotJson(_) => true,
            FileProblem::Unreadable(error) => platform::is_sharing_violation(error),
            _ => false,
        };
        for _ in 0..5 {
            match Self::read(path, hosts, opener) {
                (_, Err(problem)) if may_settle(&problem) => {
                    thread::sleep(Duration::from_millis(20))
                }
                settled => return settled,
            }
        }
        Self::read(path, hosts, opener)
    }

    pub(crate) fn parse(stored: Stored, hosts: &Hosts) -> Result<Self, FileProblem> {
        let document = Document::parse(stored.bytes())?;
        document.check(hosts)?;
        let access = document.token(ACCESS)?;
        let claims = Claims::of(access);
        let arrival = document.arrival();
        // Content written by this crate is exactly as the server sent it; pasted content is trimmed.
        let iat = claims.as_ref().and_then(|claims| claims.iat);
        let is_verbatim = arrival.is_some_and(|arrival| iat == Some(arrival.iat));
        let refresh =
            if is_verbatim { document.text(REFRESH)? } else { document.token(REFRESH)? };
        if access == refresh {
            return Err(FileProblem::same_twice());
        }
        // Only access tokens contain the client id.
        let is_access = |claims: &Claims| claims.client_id.is_some();
        if !claims.as_ref().is_some_and(is_access)
            && Claims::of(refresh).is_some_and(|it| is_access(&it))
        {
            return Err(FileProblem::swapped());
        }
        let (claims, client_id, issuer) = usable(claims, &[access, refresh], hosts)?;
        let iss = claims.iss.as_deref().unwrap_or_default();
        Ok(Self {
            token_endpoint: format!("{}/token", iss.trim_end_matches('/')),
            is_issuer_familiar: issuer.is_familiar(),
            client_id,
            arrival,
            access_token: AccessToken::new(access.to_owned()),
            refresh_token: RefreshToken::new(refresh.to_owned()),
            claims,
            stored,
        })
    }

    /// What of a pair that someone has pasted seems not to be whole: the field, and why.
    pub(crate) fn cut(&self) -> Option<(&'static str, String)> {
        let is_pasted = self.arrival.is_none_or(|arrival| self.claims.iat != Some(arrival.iat));
        let tokens = [(ACCESS, self.access_token.expose()), (REFRESH, self.refresh_token.expose())];
        let cut = |(field, token)| Some((field, sign_of_a_cut(token)?));
        tokens.into_iter().filter(|_| is_pasted).find_map(cut)
    }

    /// Whether the access token is good enough for a call without a refresh.
    pub(crate) fn is_fresh(&self) -> bool {
        self.claims.is_fresh(self.arrival, LocalTime::now())
    }

    /// How long the access token stays [fresh](Self::is_fresh).
    pub(crate) fn fresh_for(&self) -> Duration {
        self.claims.fresh_for(self.arrival, LocalTime::now())
    }

    /// Whether the access token may still be good.
    pub(crate) fn is_alive(&self) -> bool {
        self.claims.is_alive(self.arrival, LocalTime::now())
    }
}

/// The claims of an access token that says where it can be refreshed, with the client and the issuer.
fn usable(
    claims: Option<Claims>,
    secrets: &[&str],
    hosts: &Hosts,
) -> Result<(Claims, String, Issuer), FileProblem> {
    let claims = claims.ok_or_else(FileProblem::not_a_jwt)?;
    let iss = claims.iss.as_deref().ok_or_else(|| FileProblem::no_claim("iss"))?;
    let client_id = claims.client_id.clone().ok_or_else(|| FileProblem::no_claim("client_id"))?;
    let shown = || redact(iss, secrets, 100);
    let Some(issuer) = Issuer::of(iss) else {
        let secure = iss.strip_prefix("http://").map(|rest| format!("https://{rest}"));
        let is_http = secure.is_some_and(|secure| Issuer::of(&secure).is_some());
        let what = if is_http { "https" } else { "Alteryx Cloud" };
        return Err(FileProblem::issuer(&shown(), what));
    };
    match hosts.go_with(&issuer) && !hosts.are_elsewhere(&issuer) {
        true => Ok((claims, client_id, issuer)),
        false => Err(FileProblem::issuer_elsewhere(&shown(), hosts.api(), Hosts::api_of(&issuer))),
    }
}

/// The refresh token of a file that is otherwise unusable: it may be the only copy of one that someone
/// has pasted.
pub(crate) fn lone_refresh_token(bytes: &[u8]) -> Option<RefreshToken> {
    let document = Document::parse(bytes).ok()?;
    let token = document.0.get(REFRESH)?.as_str()?.trim();
    (!token.is_empty() && !is_placeholder(token)).then(|| RefreshToken::new(token.to_owned()))
}

/// The path of the secret in a vault, if a creds.json names one.
pub(crate) fn pointer(bytes: &[u8]) -> Option<String> {
    let document = Document::parse(bytes).ok()?;
    let has_tokens = [ACCESS, REFRESH].iter().any(|field| document.0.contains_key(*field));
    let path = document.0.get(VAULT)?.as_str()?.trim();
    (!has_tokens && is_secret_path(path)).then(|| path.to_owned())
}

/// Whether this can be the path of a secret in a vault, which is shown: what else stands here may be a secret.
pub(crate) fn is_secret_path(path: &str) -> bool {
    path.contains('/') && !path.contains("://") && text::likely_secret(path).is_none()
}

/// An access token without a pair. It goes where a pair with it would.
pub(crate) fn lone_access_token(text: &str, hosts: &Hosts) -> Result<AccessToken, FileProblem> {
    let document = Document(Map::from_iter([(ACCESS.to_owned(), text.into())]));
    let token = document.token(ACCESS)?;
    let iss = Claims::of(token).and_then(|claims| claims.iss);
    let goes_there = match (&iss, iss.as_deref().and_then(Issuer::of)) {
        (None, _) => hosts.go_with_unknown(),
        (Some(_), issuer) => {
            issuer.is_some_and(|it| hosts.go_with(&it) && !hosts.are_elsewhere(&it))
        }
    };
    let iss = iss.map_or("nobody it names".to_owned(), |iss| redact(&iss, &[token], 100));
    match goes_there {
        true => Ok(AccessToken::new(token.to_owned())),
        false => Err(FileProblem::issuer_of_variable(&iss, hosts.api())),
    }
}

/// Whether this creds.json is as it is shipped: two placeholders, and nothing else.
pub(crate) fn is_unfilled(bytes: &[u8]) -> bool {
    let Ok(text) = text::decode(bytes) else { return false };
    let Ok(document) = Document::parse(text.as_bytes()) else { return false };
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let is_untouched = |field| document.text(field).is_ok_and(is_untouched);
    // A field may be there twice: then JSON has the last one alone.
    document.0.len() == 2
        && [ACCESS, REFRESH].into_iter().all(is_untouched)
        && serde_json::to_string(&document.0).is_ok_and(|own| squeezed(&own) == squeezed(&text))
}

/// The fields of creds.json that still hold placeholders.
pub(crate) fn placeholders(path: &Path) -> Vec<&'static str> {
    let document = text::read(path).and_then(|bytes| Document::parse(&bytes));
    document.map_or_else(|_| Vec::new(), |document| document.placeholders())
}

/// A JSON object with tokens: its strings are wiped on drop.
#[derive(Default)]
pub(crate) struct Document(Map<String, Value>);

impl Drop for Document {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// Wipes every string of a value.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

impl Document {
    pub(crate) fn of(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    pub(crate) fn into_fields(mut self) -> Map<String, Value> {
        mem::take(&mut self.0)
    }

    /// The document without some of its fields.
    pub(crate) fn without(mut self, is_unwanted: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| !is_unwanted(name));
        self
    }

    /// Puts a value in the place of another, which is wiped.
    fn put(&mut self, field: &str, value: Value) {
        if let Some(mut old) = self.0.insert(field.to_owned(), value) {
            wipe(&mut old);
        }
    }

    /// Checks that this is not something else in the place of tokens.
    fn check(&self, hosts: &Hosts) -> Result<(), FileProblem> {
        let placeholders = self.placeholders();
        if !placeholders.is_empty() {
            return Err(FileProblem::placeholder_tokens(&placeholders, &hosts.token_page()));
        }
        let has_tokens = [ACCESS, REFRESH].iter().any(|field| self.0.contains_key(*field));
        if self.has_sealed() {
            // One that can be opened is opened before.
            return Err(match has_tokens {
                true => FileProblem::tokens_and_sealed(),
                false => FileProblem::sealed_elsewhere(),
            });
        }
        if let Some(OAuthError { code, message }) = self.error()
            && !has_tokens
            && !code.is_empty()
        {
            // Another one was not written by such a server, and may be a secret.
            let is_known = OAUTH_ERRORS.contains(&&*code);
            let message = if is_known { redact(&message, &[], 200) } else { String::new() };
            return Err(FileProblem::OAuthError { message, page: hosts.token_page() });
        }
        let Some(path) = self.0.get(VAULT).and_then(Value::as_str).map(str::trim) else {
            return Ok(());
        };
        Err(match has_tokens {
            true => FileProblem::tokens_and_vault(),
            false if is_secret_path(path) => FileProblem::InVault(path.to_owned()),
            false => FileProblem::not_a_vault_path(),
        })
    }

    /// Parses what creds.json says.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FileProblem> {
        let text = text::decode(bytes)?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(FileProblem::not_an_object()),
            Err(error) => Err(not_json(&text, &error)),
        }
    }

    /// Whether it has something sealed.
    pub(crate) fn has_sealed(&self) -> bool {
        self.0.contains_key(SEALED)
    }

    /// What is sealed in it, if that stands alone.
    pub(crate) fn sealed(&self) -> Option<&Map<String, Value>> {
        let is_alone = [ACCESS, REFRESH, VAULT].iter().all(|field| !self.0.contains_key(*field));
        self.0.get(SEALED)?.as_object().filter(|_| is_alone)
    }

    /// The pair of a journal: its response, with missing fields taken from the pair that was used for it.
    pub(crate) fn of_journal(
        response: &[u8],
        before: Option<&[u8]>,
        spent: Option<Digest>,
    ) -> Result<Self, FileProblem> {
        let before = before.and_then(Self::within).filter(|it| it.has_refresh_token(spent));
        let mut document = Self::within(response).ok_or_else(FileProblem::not_an_object)?;
        for field in [ACCESS, REFRESH] {
            if document.token(field).is_err()
                && let Some(value) = before.as_ref().and_then(|before| before.0.get(field))
            {
                document.put(field, value.clone());
            }
        }
        Ok(document)
    }

    /// Whether it has this refresh token.
    fn has_refresh_token(&self, digest: Option<Digest>) -> bool {
        let token = self.text(REFRESH).unwrap_or_default();
        [token, token.trim()].iter().any(|token| Some(Digest::of(token.as_bytes())) == digest)
    }

    /// The first JSON object in these bytes, whatever surrounds it.
    fn within(bytes: &[u8]) -> Option<Self> {
        Self::within_text(&text_of(bytes))
    }

    fn within_text(text: &str) -> Option<Self> {
        let object = &text[text.find('{')?..];
        serde_json::Deserializer::from_str(object).into_iter().next()?.ok().map(Self)
    }

    /// Replaces the tokens in the document.
    pub(crate) fn with_tokens(
        mut self,
        access: Option<&AccessToken>,
        refresh: Option<&RefreshToken>,
    ) -> Self {
        let tokens = [
            access.map(|token| (ACCESS, token.expose())),
            refresh.map(|token| (REFRESH, token.expose())),
        ];
        tokens.into_iter().flatten().for_each(|(field, token)| self.put(field, token.into()));
        self
    }

    /// A token, every character of it: what a server sends is sent back.
    fn text(&self, field: &'static str) -> Result<&str, FileProblem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Err(FileProblem::no_token(field)),
            Some(Value::String(token)) if token.trim().is_empty() => {
                Err(FileProblem::token_empty(field))
            }
            Some(Value::String(token)) => Ok(token),
            Some(_) => Err(FileProblem::token_not_text(field)),
        }
    }

    /// A token that someone may have pasted, without the surrounding whitespace that this leaves.
    fn token(&self, field: &'static str) -> Result<&str, FileProblem> {
        let text = self.text(field)?;
        let token = text.trim();
        if has_placeholder(token) {
            return Err(FileProblem::placeholder_left(field));
        }
        let is_bearer = token.get(..7).is_some_and(|it| it.eq_ignore_ascii_case("bearer "));
        let is_jwt = token.contains("eyJ");
        let belongs = |character: char| match field {
            // A refresh token may have any visible ASCII character and spaces (RFC 6749 §A.17).
            REFRESH if !is_jwt && !is_bearer && unquoted(token).is_none() => {
                (' '..='~').contains(&character)
            }
            // An access token goes into a header, and has no spaces and quotation marks (RFC 6750 §2.1).
            _ => character.is_ascii_alphanumeric() || "-._~+/=".contains(character),
        };
        let what = match token.contains(['\n', '\r']) {
            true => "a line break",
            false => "spaces or invalid characters",
        };
        match stray(text, belongs) {
            Some(stray) => Err(FileProblem::token_unclean(field, what, &stray)),
            None => Ok(token),
        }
    }

    fn placeholders(&self) -> Vec<&'static str> {
        let is_shipped =
            |field: &&str| self.0.get(*field).and_then(Value::as_str).is_some_and(is_placeholder);
        [ACCESS, REFRESH].into_iter().filter(is_shipped).collect()
    }

    /// The error of an authorization server in the place of tokens.
    fn error(&self) -> Option<OAuthError> {
        let text = |value: Option<&Value>| Some(value?.as_str()?.to_owned());
        let error = self.0.get("error");
        let code = text(error).or_else(|| text(error?.get("message")))?;
        let description = text(self.0.get("error_description")).filter(|text| !text.is_empty());
        let message = description.map_or_else(|| code.clone(), |text| format!("{code}: {text}"));
        Some(OAuthError { code, message })
    }

    pub(crate) fn arrival(&self) -> Option<Arrival> {
        let field = self.0.get(ARRIVAL)?;
        Some(Arrival {
            iat: field.get("iat")?.as_i64()?,
            clock: LocalTime(field.get("local_clock_ms")?.as_i64()?),
        })
    }

    /// The document as a file: indented, with a line end, wiped on drop.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for all that is refreshed, with its response: nothing is copied as it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(CREDS.room + 2 * LARGEST));
        // Writing to memory cannot fail: the values hold no floats that JSON lacks, and only string keys.
        let _ = serde_json::to_writer_pretty(&mut *bytes, &self.0);
        bytes.push(b'\n');
        bytes
    }
}

/// Why a text is not JSON, as far as it can be told.
fn not_json(text: &str, error: &serde_json::Error) -> FileProblem {
    // The last line may only be half written.
    let is_broken = |line: &str| {
        let mut is_open = false;
        line.chars().any(|character| {
            is_open ^= character == '"';
            is_open && ['\n', '\r'].contains(&character)
        })
    };
    if let Some(index) = text.split_inclusive('\n').position(is_broken) {
        return FileProblem::token_on_several_lines(index + 1);
    }
    let is_curly = text.contains(['“', '”', '„', '‟', '‘', '’', '‚', '«', '»']);
    FileProblem::not_json(&text::json_flaw(text, error), is_curly)
}

/// An error of the authorization server (RFC 6749 §5.2). It may quote what it was sent.
pub(crate) struct OAuthError {
    pub(crate) code: String,
    /// The code and the description.
    pub(crate) message: String,
}

/// What the body of a response says in place of tokens. It is read as tokens are, whatever its coding and
/// framing.
pub(crate) struct Said {
    pub(crate) error: Option<OAuthError>,
    /// Whether it is a JSON object, as all that an authorization server says.
    pub(crate) is_object: bool,
    pub(crate) text: Zeroizing<String>,
}

impl Said {
    pub(crate) fn in_body(body: &[u8]) -> Self {
        let text = text_of(body);
        let document = Document::within_text(&text);
        let is_object = document.is_some();
        Self { error: document.and_then(|document| document.error()), is_object, text }
    }
}

/// Whether a body has a refresh token: then nothing may take its place.
pub(crate) fn has_refresh_token(body: &[u8]) -> bool {
    Document::within(body).is_some_and(|document| document.text(REFRESH).is_ok())
}

/// A usable successful response of the token endpoint (RFC 6749 §5.1).
pub(crate) struct TokenResponse {
    document: Document,
    /// Those of the access token, if that is of use.
    claims: Result<Claims, FileProblem>,
    arrival: Option<Arrival>,
    has_refresh_token: bool,
}

impl TokenResponse {
    /// Parses the body of a 2xx response to a request sent at `sent`, whatever its headers said about it;
    /// `None` if it is unusable.
    ///
    /// It is usable with a new refresh token, or an access token that says where it can be refreshed.
    /// Without a new refresh token, the old one stays in force (RFC 6749 §6).
    pub(crate) fn parse(body: &[u8], sent: LocalTime, hosts: &Hosts) -> Option<Self> {
        let document = Document::within(body)?;
        let claims = document
            .token(ACCESS)
            .and_then(|access| usable(Claims::of(access), &[access], hosts))
            .map(|(claims, ..)| claims);
        let has_refresh_token = document.text(REFRESH).is_ok();
        if claims.is_err() && !has_refresh_token {
            return None;
        }
        let iat = claims.as_ref().ok().and_then(|claims| claims.iat);
        let arrival = iat.map(|iat| Arrival { iat, clock: sent });
        Some(Self { document, claims, arrival, has_refresh_token })
    }

    pub(crate) fn has_access_token(&self) -> bool {
        self.claims.is_ok()
    }

    /// The access token, if it is of use.
    pub(crate) fn access_token(&self) -> Option<AccessToken> {
        let token = self.document.token(ACCESS).ok().filter(|_| self.has_access_token())?;
        Some(AccessToken::new(token.to_owned()))
    }

    /// The claims of the access token, or why it is of no use.
    pub(crate) fn claims(&self) -> Result<&Claims, &FileProblem> {
        self.claims.as_ref()
    }

    /// The digest of the refresh token that is valid after this response.
    pub(crate) fn next(&self, spent: &Digest) -> Digest {
        match self.document.0.get(REFRESH).and_then(Value::as_str) {
            Some(token) if self.has_refresh_token => Digest::of(token.as_bytes()),
            _ => *spent,
        }
    }

    /// Whether creds.json already holds these tokens.
    pub(crate) fn is_in(&self, credentials: &Credentials) -> bool {
        let holds = |field, token: &str| {
            let received = self.document.0.get(field).and_then(Value::as_str);
            received.is_some_and(|received| received.trim() == token.trim())
        };
        match self.has_refresh_token {
            true => holds(REFRESH, credentials.refresh_token.expose()),
            false => holds(ACCESS, credentials.access_token.expose()),
        }
    }

    /// The new content of creds.json: each field of the response replaces the old one; all others are
    /// kept in order. The vendor's programs store the whole response, so this does too.
    ///
    /// Without a new refresh token, the one that was `sent` stays in force; `None` if that is the one in
    /// the document.
    pub(crate) fn merge_into(
        &self,
        mut document: Document,
        sent: Option<&RefreshToken>,
    ) -> Document {
        // The access token says where its refresh token is sent. Beside none, or one that someone has pasted,
        // what came stays together.
        let has_pair = document.placeholders().is_empty()
            && [ACCESS, REFRESH].iter().all(|field| document.token(field).is_ok());
        if let (false, Some(sent)) = (self.has_refresh_token, sent) {
            document.put(REFRESH, sent.expose().into());
        }
        for (name, value) in &self.document.0 {
            let is_usable = match name.as_str() {
                ACCESS => self.has_access_token() || !has_pair,
                REFRESH => self.has_refresh_token,
                name => name != ARRIVAL,
            };
            if is_usable {
                document.put(name, value.clone());
            }
        }
        if let Some(Arrival { iat, clock }) = self.arrival {
            document.put(ARRIVAL, json!({ "iat": iat, "local_clock_ms": clock.0 }));
        } else if self.has_access_token() {
            document.0.shift_remove(ARRIVAL);
        }
        document
    }
}

/// The text of a body, whatever its coding.
fn text_of(body: &[u8]) -> Zeroizing<String> {
    let bytes = decompressed(body);
    let lossy = || Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    text::decode(&bytes).unwrap_or_else(|_| lossy())
}

/// Decodes the body's content coding, recognized by its first bytes: a header may be missing or wrong.
/// Returns as much as possible of a truncated body, or one with a bad trailer, but no more than 64 KiB.
pub(crate) fn decompressed(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
    let reader: &mut dyn Read = match body {
        [0x1f, 0x8b, ..] => &mut MultiGzDecoder::new(body),
        // HTTP's deflate has a zlib header (RFC 9110 §8.4.1.2); some servers omit it.
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => &mut ZlibDecoder::new(body),
        body if !body.contains(&b'{') || str::from_utf8(body).is_err() => {
            let mut bytes = Vec::new();
            let read = DeflateDecoder::new(body).take(LARGEST as u64).read_to_end(&mut bytes);
            if read.is_ok() && bytes.contains(&b'{') {
                return Zeroizing::new(bytes);
            }
            &mut &body[..]
        }
        body => &mut &body[..],
    };
    // An error is the end: the bytes before it count.
    let _ = reader.take(LARGEST as u64).read_to_end(&mut bytes);
    bytes
}

/// Whether the body of a response is already a complete JSON object, though more may come: its framing
/// may be wrong.
pub(crate) fn is_whole_object(body: &[u8]) -> bool {
    Document::within(body).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::sealed::Keys;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    use proptest::collection::{hash_map, vec};
    use proptest::prelude::*;

    fn hosts() -> Hosts {
        Hosts::parse("https://api.us1.alteryxcloud.com").unwrap()
    }

    fn jwt(iat: i64) -> String {
        let claims = json!({
            "iss": "https://pingauth.alteryxcloud.com/as", "client_id": "id", "iat": iat, "exp": iat + 300,
        });
        format!("eyJ9.{}.c2ln", BASE64URL.encode(claims.to_string()))
    }

    #[test]
    fn an_access_token_of_another_region_is_not_put_into_creds_json() {
        let hosts = Hosts::parse("https://api.eu1.alteryxcloud.com").unwrap();
        let body = json!({ ACCESS: jwt(2000), REFRESH: "next" }).to_string();
        let response = TokenResponse::parse(body.as_bytes(), LocalTime(5), &hosts).unwrap();
        let before = json!({ ACCESS: "own", REFRESH: "spent" }).to_string();
        let before = Document::parse(before.as_bytes()).unwrap();
        let after = response.merge_into(before, None);
        assert_eq!(
            (after.token(ACCESS).ok(), after.token(REFRESH).ok()),
            (Some("own"), Some("next"))
        );
    }

    #[test]
    fn a_saved_pair_of_another_region_stays_together() {
        let hosts = Hosts::parse("https://api.eu1.alteryxcloud.com").unwrap();
        let access = jwt(2000);
        let body = json!({ ACCESS: access, REFRESH: "next" }).to_string();
        let response = TokenResponse::parse(body.as_bytes(), LocalTime(5), &hosts).unwrap();
        for before in [
            json!({}),
            json!({ ACCESS: "of.another.account" }),
            json!({ ACCESS: "of.another.account", REFRESH: "Your refresh token here" }),
            json!({ ACCESS: "Your access token here", REFRESH: "Your refresh token here" }),
        ] {
            let document = Document::parse(before.to_string().as_bytes()).unwrap();
            let after = response.merge_into(document, None);
            assert_eq!(
                (after.token(ACCESS).ok(), after.token(REFRESH).ok()),
                (Some(&*access), Some("next")),
                "{before}"
            );
        }
    }

    /// Any JSON text of a value, with numbers of any length.
    fn json_text() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?",
            any::<String>().prop_map(|text| Value::from(text).to_string()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
                hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| object(fields.into_iter())),
            ]
        })
    }

    fn object(fields: impl Iterator<Item = (String, String)>) -> String {
        let fields: Vec<_> =
            fields.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// The fields other than those of the response, each with its text, in order.
    fn others(document: &Document) -> Vec<(String, String)> {
        let is_other = |name: &str| ![ACCESS, REFRESH, ARRIVAL].contains(&name);
        let fields = document.0.iter().filter(|(name, _)| is_other(name));
        fields.map(|(name, value)| (name.clone(), value.to_string())).collect()
    }

    proptest! {
        #[test]
        fn a_merge_keeps_every_other_field_its_place_and_its_digits(
            fields in hash_map(any::<String>(), json_text(), 0..8),
            place in any::<prop::sample::Index>(),
        ) {
            let mut fields: Vec<_> = fields.into_iter().collect();
            let tokens = [(ACCESS, jwt(1000)), (REFRESH, "spent".to_owned())];
            for (name, token) in tokens {
                let index = place.index(fields.len() + 1);
                fields.insert(index, (name.to_owned(), Value::from(token).to_string()));
            }
            let before = Document::parse(object(fields.clone().into_iter()).as_bytes()).unwrap();
            let kept = others(&before);
            let body = json!({ ACCESS: jwt(2000), REFRESH: "next" }).to_string();
            let response = TokenResponse::parse(body.as_bytes(), LocalTime(5), &hosts()).unwrap();
            let after = Document::parse(&response.merge_into(before, None).to_bytes()).unwrap();
            prop_assert_eq!(others(&after), kept);
            let pair = Credentials::parse(Stored::plain(after.to_bytes()), &hosts()).unwrap();
            prop_assert_eq!(pair.refresh_token.expose(), "next");
            prop_assert_eq!(pair.arrival, Some(Arrival { iat: 2000, clock: LocalTime(5) }));
        }

        #[test]
        fn any_bytes_end_in_an_error_or_a_pair(bytes in vec(any::<u8>(), 0..400), text in json_text()) {
            for bytes in [bytes, text.clone().into_bytes(), format!("{{\"access_token\":{text}}}").into_bytes()] {
                let _ = Credentials::parse(Stored::plain(Zeroizing::new(bytes.clone())), &hosts());
                let _ = Keys::default().opener().open(&bytes, Kind::Creds);
                let _ = TokenResponse::parse(&bytes, LocalTime(0), &hosts());
                let _ = Claims::of(&String::from_utf8_lossy(&bytes));
                let _ = Claims::of(&format!("e.{}.s", BASE64URL.encode(&bytes)));
            }
        }
    }
}
