//! The tokens in whatever a person has pasted: with quotation marks, `Bearer`, the JSON around them, and line
//! breaks in the middle.

use crate::config::settings::{Hosts, Issuer, has_placeholder};
use crate::error::{Error, Result};
use crate::platform::is_unsafe_on_terminal;
use crate::tokens::claims::{Claims, LocalTime, sign_of_a_cut};
use crate::tokens::secret::{AccessToken, RefreshToken, is_uuid, redact};
use std::ops::Range;
use zeroize::Zeroizing;

const ACCESS: &str = "access token";
const REFRESH: &str = "refresh token";
/// The fields of a token response (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
const FIELDS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

/// A pair, as far as it was pasted. The access token is asked for first.
#[derive(Debug, Default)]
pub(crate) struct Pasted {
    pub(crate) access: Option<AccessToken>,
    pub(crate) refresh: Option<RefreshToken>,
}

impl Pasted {
    /// What is asked for next, in words; none if both are there.
    pub(crate) fn asks_for(&self) -> Option<&'static str> {
        match (&self.access, &self.refresh) {
            (None, _) => Some(ACCESS),
            (_, None) => Some(REFRESH),
            _ => None,
        }
    }

    /// Whether a text may answer what is asked for next: it has a whole JWT, or what may be an opaque refresh
    /// token. If not, more of it may be on its way.
    pub(crate) fn is_answered_by(&self, text: &str) -> bool {
        let found = found(text);
        let is_whole = |it: &Found| matches!(it, Found::Jwt(..)) || self.access.is_some();
        !found.iter().any(|it| matches!(it, Found::Cut { .. })) && found.iter().any(is_whole)
    }

    /// Takes the tokens of a text, whatever surrounds them and whichever was asked for. Returns the receipt: a
    /// line for each, without any part of it.
    ///
    /// # Errors
    ///
    /// It has no token that is missing, or one that cannot be used. Then nothing is taken.
    pub(crate) fn add(&mut self, text: &str, hosts: &Hosts, project_id: &str) -> Result<String> {
        let asked = self.asks_for().unwrap_or(REFRESH);
        let found = found(text);
        for (index, it) in found.iter().enumerate() {
            if let Found::Cut { which, why } = it {
                let named = match label(&found, index) {
                    "access_token" => ACCESS,
                    "refresh_token" => REFRESH,
                    _ => asked,
                };
                return Err(Error::pasted_cut(which.unwrap_or(named), why));
            }
        }
        let access = only(ACCESS, jwts(&found).filter(Jwt::is_access), |jwt| jwt.text)?;
        let refresh = only(REFRESH, jwts(&found).filter(Jwt::may_refresh), |jwt| jwt.text)?;
        for (which, jwt) in [(ACCESS, access), (REFRESH, refresh)] {
            jwt.map_or(Ok(()), |jwt| jwt.check(which, hosts))?;
        }
        let refresh = match refresh {
            Some(jwt) => Some(jwt.text),
            // The question tells what it is, or the other token beside it.
            None if asked == REFRESH || access.is_some() || has_label(&found, "refresh_token") => {
                opaque(&found, project_id)?
            }
            None => None,
        };
        if access.is_none() && refresh.is_none() {
            return Err(mistaken(text, &found, asked, hosts, project_id));
        }
        let own = (self.access.as_ref(), self.refresh.as_ref());
        let own = (own.0.map(AccessToken::expose), own.1.map(RefreshToken::expose));
        let is_new_access = access.is_some_and(|jwt| own.0 != Some(jwt.text));
        let is_new_refresh = refresh.is_some() && own.1 != refresh;
        if !is_new_access && !is_new_refresh {
            return Err(Error::pasted_again(
                if access.is_some() { ACCESS } else { REFRESH },
                asked,
            ));
        }
        let mut receipt = Vec::new();
        if let Some(jwt) = access {
            receipt.push(format!("Access token: {}", jwt.receipt(LocalTime::now())));
            self.access = Some(AccessToken::new(jwt.text.to_owned()));
        }
        if let Some(token) = refresh {
            receipt.push(format!("Refresh token: {} characters", token.len()));
            self.refresh = Some(RefreshToken::new(token.to_owned()));
        }
        Ok(receipt.join("\n"))
    }
}

/// What a text has, in order, without what separates it.
enum Found {
    Jwt(Zeroizing<String>, Claims),
    /// A JWT that is not whole.
    Cut {
        which: Option<&'static str>,
        why: String,
    },
    /// Anything else, without spaces.
    Text(Zeroizing<String>),
}

/// A whole JWT, and the name of its field, if it has one.
#[derive(Clone, Copy)]
struct Jwt<'a> {
    text: &'a str,
    claims: &'a Claims,
    label: &'a str,
}

impl Jwt<'_> {
    /// Only access tokens contain the client id.
    fn is_access(&self) -> bool {
        self.claims.client_id.is_some()
    }

    /// A refresh token has no audience, unlike an ID token (OpenID Connect Core §2).
    fn may_refresh(&self) -> bool {
        let is_named = self.label == "refresh_token";
        !self.is_access()
            && (is_named || self.claims.audience.is_none() && self.label != "id_token")
    }

    /// Checks that it belongs to the region of this address.
    fn check(&self, which: &'static str, hosts: &Hosts) -> Result<()> {
        let Some(iss) = self.claims.iss.as_deref() else {
            // A refresh token is sent where the access token says.
            return match self.is_access() {
                true => Err(Error::pasted_without_issuer(which)),
                false => Ok(()),
            };
        };
        let shown = redact(iss, &[self.text], 100);
        match Issuer::of(iss) {
            None => Err(Error::pasted_of_nobody(which, &shown, &hosts.token_page())),
            Some(issuer) if hosts.go_with(&issuer) && !hosts.are_elsewhere(&issuer) => Ok(()),
            Some(issuer) => {
                let right = Hosts::api_of(&issuer);
                Err(Error::pasted_of_elsewhere(which, &shown, hosts.api(), right))
            }
        }
    }

    /// How long it is, whose, and how long it lives.
    fn receipt(&self, now: LocalTime) -> String {
        let account = self.claims.account();
        let account = account.strip_prefix("user ").unwrap_or(&account);
        let left = self.claims.life_left(None, now).as_secs();
        let expired = self.claims.exp.unwrap_or_default().saturating_mul(1000);
        let life = match now.0.saturating_sub(expired) / 1000 {
            _ if left > 0 => format!("valid for {}", in_words(left, 2)),
            ago @ 0.. => {
                format!("expired {} ago; it will be refreshed", in_words(ago.unsigned_abs(), 1))
            }
            _ => "not valid by this machine's clock; it will be refreshed".to_owned(),
        };
        format!("{} characters, {account}, {life}", self.text.len())
    }
}

/// A time in its largest units, and no more than so many of them.
fn in_words(seconds: u64, units: usize) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts = parts.into_iter().skip_while(|(number, unit)| *number == 0 && *unit != "s");
    let parts: Vec<_> =
        parts.take(units).map(|(number, unit)| format!("{number} {unit}")).collect();
    parts.join(" ")
}

fn jwts(found: &[Found]) -> impl Iterator<Item = Jwt<'_>> {
    found.iter().enumerate().filter_map(|(index, it)| match it {
        Found::Jwt(text, claims) => Some(Jwt { text, claims, label: label(found, index) }),
        _ => None,
    })
}

/// The name of the field whose value this is; empty if it has none.
fn label(found: &[Found], index: usize) -> &'static str {
    let before = index.checked_sub(1).map(|before| &found[before]);
    let Some(Found::Text(before)) = before else { return "" };
    FIELDS.into_iter().find(|field| before.eq_ignore_ascii_case(field)).unwrap_or_default()
}

fn has_label(found: &[Found], name: &str) -> bool {
    (0..found.len()).any(|index| label(found, index) == name)
}

/// The only one of these, which may have been pasted twice.
fn only<T>(
    which: &'static str,
    found: impl Iterator<Item = T>,
    text: impl Fn(&T) -> &str,
) -> Result<Option<T>> {
    let mut first = None;
    for it in found {
        match &first {
            None => first = Some(it),
            Some(first) if text(first) == text(&it) => {}
            Some(_) => return Err(Error::pasted_several(which)),
        }
    }
    Ok(first)
}

/// The refresh token that is no JWT.
fn opaque<'a>(found: &'a [Found], project_id: &str) -> Result<Option<&'a str>> {
    let is_named = has_label(found, "refresh_token");
    let texts = found.iter().enumerate().filter_map(|(index, it)| match it {
        Found::Text(text) => Some((&***text, label(found, index))),
        _ => None,
    });
    let texts = texts.filter(|(text, label)| match *label {
        "refresh_token" => true,
        _ => !is_named && label.is_empty() && may_be_opaque(text, project_id),
    });
    // Nobody sees that it is there already, and pastes it again behind itself.
    let once = |text: &'a str| match text.split_at_checked(text.len() / 2) {
        Some((half, other)) if half == other => half,
        _ => text,
    };
    only(REFRESH, texts.map(|(text, _)| once(text)), |text| text)
}

/// Whether this is no word, name or ID.
fn may_be_opaque(text: &str, project_id: &str) -> bool {
    const SHORTEST: usize = 16;
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    text.len() >= SHORTEST
        && has(u8::is_ascii_alphabetic)
        && has(u8::is_ascii_digit)
        && text != project_id
        && !is_uuid(text.as_bytes())
        && !is_address(text)
}

fn is_address(text: &str) -> bool {
    text.contains("//") || text.contains('@') || text.contains("alteryxcloud.com")
}

/// The error for a text without a token that could be taken.
fn mistaken(
    text: &str,
    found: &[Found],
    asked: &'static str,
    hosts: &Hosts,
    project_id: &str,
) -> Error {
    let has = |is: &dyn Fn(&str) -> bool| {
        found.iter().any(|it| matches!(it, Found::Text(text) if is(text)))
    };
    let what = if found.is_empty() {
        return Error::nothing_pasted(asked);
    } else if has_placeholder(text) {
        "a placeholder"
    } else if jwts(found).next().is_some() {
        "a JWT that is neither an access token nor a refresh token"
    } else if has(&|text| is_uuid(text.as_bytes())) {
        "a UUID, which is an ID"
    } else if has(&|text| text == project_id) {
        "the ID of the API project"
    } else if has(&is_address) {
        "an address"
    } else if asked == ACCESS {
        return Error::not_an_access_token();
    } else {
        "something else"
    };
    Error::pasted_other(what, asked, &hosts.token_page())
}

/// What a text has. Tokens are joined over line breaks, indentation and the marks of a quoted mail.
fn found(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut piece = Piece::default();
    for character in text.chars() {
        match character {
            '\n' | '\r' => piece.gap = Some(Gap::Line),
            '>' | '|' if piece.gap == Some(Gap::Line) => {}
            it if it.is_whitespace() => piece.gap = piece.gap.or(Some(Gap::Space)),
            // Nobody sees these, and copies them with the rest.
            '\u{AD}' | '\u{200C}' | '\u{200D}' => {}
            it if is_unsafe_on_terminal(it) => {}
            it if it.is_ascii_graphic() && !"\"'`,;:{}[]()<>|\\".contains(it) => piece.push(it),
            _ => piece.end(&mut found),
        }
    }
    piece.end(&mut found);
    found
}

/// What may be between two characters of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    Space,
    /// A line break, with whatever indents the next line.
    Line,
}

/// A text that only spaces and line breaks interrupt.
#[derive(Default)]
struct Piece {
    text: Zeroizing<String>,
    /// Before which characters.
    gaps: Vec<(usize, Gap)>,
    /// What has come behind the last character.
    gap: Option<Gap>,
}

impl Piece {
    fn push(&mut self, character: char) {
        if let Some(gap) = self.gap.take() {
            self.gaps.push((self.text.len(), gap));
        }
        self.text.push(character);
    }

    fn has_gap(&self, at: usize) -> bool {
        at == self.text.len() || self.gaps.binary_search_by_key(&at, |(at, _)| *at).is_ok()
    }

    fn may_begin(&self, at: usize) -> bool {
        at == 0 || self.has_gap(at) || !is_of_jwt(self.text.as_bytes()[at - 1])
    }

    /// Takes it apart, and begins anew.
    fn end(&mut self, found: &mut Vec<Found>) {
        let (mut at, mut rest) = (0, 0);
        while at < self.text.len() {
            let is_start = at == rest || self.may_begin(at);
            match is_start.then(|| self.jwt(at)).flatten() {
                Some((length, jwt)) => {
                    self.texts(rest..at, found);
                    found.push(jwt);
                    at += length;
                    rest = at;
                }
                None => at += 1,
            }
        }
        self.texts(rest..at, found);
        *self = Self::default();
    }

    /// What is no JWT, as texts without spaces. A line goes on in the next one, unless it names a token.
    fn texts(&self, range: Range<usize>, found: &mut Vec<Found>) {
        let is_name = |text: &str| {
            let mut names = FIELDS.into_iter().chain(["token", "bearer", "authorization"]);
            names.any(|name| text.eq_ignore_ascii_case(name))
        };
        let (mut start, mut word) = (range.start, range.start);
        for (at, gap) in self.gaps.iter().copied().chain([(range.end, Gap::Space)]) {
            if (range.start + 1..=range.end).contains(&at) {
                if gap == Gap::Space || is_name(&self.text[word..at]) {
                    // As a form has them, or a file of variables.
                    let parts = self.text[start..at].split(['=', '&']);
                    let parts = parts.filter(|part| !part.is_empty());
                    found.extend(parts.map(|part| Found::Text(Zeroizing::new(part.to_owned()))));
                    start = at;
                }
                word = at;
            }
        }
    }

    /// The JWT that begins here, whole or not, with its length.
    fn jwt(&self, at: usize) -> Option<(usize, Found)> {
        let text = &self.text[at..];
        let begins = |at: usize| text[at..].starts_with("eyJ");
        // A header is short. Not all of a long text is looked at for each of its words.
        if !begins(0) && !text.bytes().take(300).any(|byte| byte == b'.') {
            return None;
        }
        let run = text.bytes().take_while(|byte| is_of_jwt(*byte) || *byte == b'=').count();
        let mut dots = text[..run].match_indices('.').map(|(dot, _)| dot);
        let (first, second) = (dots.next(), dots.next());
        let end = dots.next().unwrap_or(run);
        let claims = second.and_then(|second| Claims::of(&text[..=second]));
        let (Some(second), Some(claims)) = (second, claims) else {
            // One that is encrypted has five parts (RFC 7516 §3.1), and is as good as any text.
            let is_encrypted = text[..run].matches('.').count() == 4;
            let is_cut = begins(0) && !is_encrypted;
            let why = format!(
                "{} characters, which are no JWT (three parts with dots between)",
                text.len()
            );
            return is_cut.then_some((text.len(), Found::Cut { which: None, why }));
        };
        // Words may stand before the one that is meant, and a header cannot be empty.
        let first = first.filter(|first| *first > 0)?;
        if !begins(0) && (1..first).any(|place| begins(place) && self.may_begin(at + place)) {
            return None;
        }
        let which = Some(if claims.client_id.is_some() { ACCESS } else { REFRESH });
        let mut why = "its signature is missing".to_owned();
        let ends = |end: &usize| *end == run || self.has_gap(at + end) || begins(*end);
        for end in
            (second + 2..end).filter(ends).chain([end].into_iter().filter(|end| *end > second + 1))
        {
            match sign_of_a_cut(&text[..end]) {
                None => {
                    return Some((end, Found::Jwt(Zeroizing::new(text[..end].to_owned()), claims)));
                }
                Some(sign) => why = sign,
            }
        }
        Some((text.len(), Found::Cut { which, why }))
    }
}

fn is_of_jwt(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde_json::{Value, json};

    const PROJECT: &str = "Zx81Kq0PdT7wVbN3mLs9RfYcGh2JuXeA4iOk6QzWnB5vCtMy";
    const OPAQUE: &str = "kJ7-vQ2mXz_9sLpR4tYwB1nC8dFgH3uE6iOaK5xMqZ0rTyVbN.Ws~+/";
    const ISS: &str = "https://pingauth.alteryxcloud.com/as";

    fn hosts() -> Hosts {
        Hosts::parse("https://api.us1.alteryxcloud.com").unwrap()
    }

    /// With a signature of 2048-bit RSA.
    fn jwt(payload: &Value) -> String {
        let signature = "qU-7_zB4".repeat(43);
        let [header, payload] = [json!({ "kid": "k", "alg": "RS256" }), payload.clone()]
            .map(|part| BASE64URL.encode(part.to_string()));
        format!("{header}.{payload}.{}", &signature[..342])
    }

    fn access_of(iss: &str) -> String {
        jwt(&json!({
            "client_id": "af1b5321", "iss": iss, "iat": 1000, "exp": 1300, "aud": ["sales"], "scope": "w:1",
            "sub": "u:1", "email": "ada@example.com", "sid": "s",
        }))
    }

    fn access() -> String {
        access_of(ISS)
    }

    fn refresh() -> String {
        jwt(&json!({ "sub": "u:1", "exp": 9, "sid": "s", "scope": "w:1", "iss": ISS }))
    }

    /// What is taken of a text: both, or the error.
    fn taken(text: &str) -> Result<(Option<String>, Option<String>)> {
        let mut pasted = Pasted::default();
        pasted.add(text, &hosts(), PROJECT)?;
        let Pasted { access, refresh } = pasted;
        Ok((access.map(|it| it.expose().to_owned()), refresh.map(|it| it.expose().to_owned())))
    }

    /// A pair as people copy it.
    const LAYOUTS: [fn(&str, &str) -> String; 20] = [
        |a, r| format!("{a}\n{r}\n"),
        |a, r| format!("{r}\r\n\r\n{a}"),
        |a, r| format!("{a} {r}"),
        |a, r| format!("{r}\t{a}"),
        |a, r| format!("\"{a}\"\n'{r}'"),
        |a, r| format!("“{a}”, „{r}‟ «x» ‹y›"),
        |a, r| format!("`{r}` `{a}`"),
        |a, r| format!("Authorization: Bearer {a}\n{r}"),
        |a, r| format!("Bearer\n{a}\n{r}"),
        |a, r| format!("{{\"access_token\":\"{a}\",\"refresh_token\":\"{r}\"}}"),
        |a, r| format!("{{\n    \"refresh_token\": \"{r}\",\n    \"access_token\": \"{a}\",\n}},"),
        |a, r| format!("{{\"access_token\":\"{a}\",\"refresh_token\":\"{r}\"}}").repeat(2),
        |a, r| {
            let id = jwt(&json!({ "iss": ISS, "aud": "af1b5321", "sub": "u:1", "iat": 1000 }));
            let all = json!({
                "access_token": "A", "id_token": id, "token_type": "Bearer", "expires_in": 299, "refresh_token": "R",
                "refresh_token_expires_in": 31536000, "scope": "openid w:01JKBMKPZ94N0GG5F8N9HY2FJA",
                "aac_auth": { "iat": 1, "local_clock_ms": 1764490000000_i64 },
            });
            format!("{all:#}")
                .replace("\"A\"", &format!("\"{a}\""))
                .replace("\"R\"", &format!("\"{r}\""))
        },
        |a, r| format!("access_token={a}&refresh_token={r}"),
        |a, r| format!("export ACCESS_TOKEN=\"{a}\"\nexport REFRESH_TOKEN=\"{r}\""),
        |a, r| format!("Access token:\n{a}\nRefresh token:\n{r}\n"),
        |a, r| format!("Access Token\n{a}\nRefresh Token\n{r}\n"),
        |a, r| format!("| {a} |\n| {r} |"),
        |a, r| format!("\u{FEFF}\u{A0}{a}\u{A0}\n\u{A0}{r}\u{202F}"),
        |a, r| format!("{a}{a}\n{r}{r}"),
    ];

    #[test]
    fn a_pair_is_found_in_whatever_surrounds_it() {
        let access = access();
        for refresh in [refresh(), OPAQUE.to_owned()] {
            for (place, layout) in LAYOUTS.into_iter().enumerate() {
                let found = taken(&layout(&access, &refresh)).map_err(|error| error.to_string());
                let pair = (Some(access.clone()), Some(refresh.clone()));
                assert_eq!(found, Ok(pair), "{place}: {}", layout("A", "R"));
            }
        }
        // The claims tell them apart, not the fields.
        let swapped = LAYOUTS[9](&refresh(), &access);
        assert_eq!(taken(&swapped).unwrap(), (Some(access), Some(refresh())));
    }

    #[test]
    fn one_token_after_the_other_in_either_order() {
        let (access, refresh) = (access(), refresh());
        for (first, second, asks) in [
            (&*access, &*refresh, REFRESH),
            (&access, OPAQUE, REFRESH),
            (&refresh, &access, ACCESS),
        ] {
            for wrap in [|text: &str| text.to_owned(), |text: &str| format!(" “{text}”\r\n")] {
                let mut pasted = Pasted::default();
                assert!(pasted.is_answered_by(first));
                pasted.add(&wrap(first), &hosts(), PROJECT).unwrap();
                assert_eq!(pasted.asks_for(), Some(asks));
                let again = pasted.add(first, &hosts(), PROJECT).unwrap_err().to_string();
                assert!(again.starts_with("the same "), "{again}");
                assert!(pasted.is_answered_by(second));
                pasted.add(&wrap(second), &hosts(), PROJECT).unwrap();
                assert_eq!(pasted.asks_for(), None);
            }
        }
        // The access token where the refresh token is asked for: a newer one.
        let mut pasted = Pasted::default();
        pasted.add(&access, &hosts(), PROJECT).unwrap();
        let newer = access_of("https://pingauth.alteryxcloud.com/as/");
        pasted.add(&newer, &hosts(), PROJECT).unwrap();
        assert_eq!(pasted.access.as_ref().unwrap().expose(), newer);
        assert_eq!(pasted.asks_for(), Some(REFRESH));
    }

    #[test]
    fn what_was_cut_is_told_and_taken_for_nothing() {
        let (access, refresh) = (access(), refresh());
        for (token, which) in [(&access, ACCESS), (&refresh, REFRESH)] {
            let length = token.len();
            for (text, why) in [
                (
                    &token[..length - 1],
                    "its signature (RS256) has 341 characters, not 342, 512 or 683",
                ),
                (&token[..length - 100], "its signature (RS256) has 242 characters"),
                (&token[..length - 342], "its signature is missing"),
                (&token[..80], "characters, which are no JWT"),
                (&token[1..], "its beginning cannot be read"),
                (&token[4..], "its beginning cannot be read"),
            ] {
                let wrapped = format!("{}\n  {}", &text[..50], &text[50..]);
                for text in [
                    text.to_owned(),
                    format!("Bearer “{text}”"),
                    wrapped,
                    format!("{text}\n{OPAQUE}\n"),
                ] {
                    let error = taken(&text).unwrap_err().to_string();
                    let is_joined = text.contains(OPAQUE) && why.contains("signature");
                    let why = if is_joined { "its signature (RS256) has " } else { why };
                    assert!(
                        error.contains("was not pasted whole: ") && error.contains(why),
                        "{error} {text}"
                    );
                    // Whichever is asked for, if it cannot be told.
                    let which = if why.contains("no JWT") { ACCESS } else { which };
                    assert!(error.starts_with(&format!("the {which} ")), "{error}");
                    assert!(!Pasted::default().is_answered_by(&text), "{text}");
                }
            }
        }
        // Inside the JSON, with the other token whole.
        for length in [refresh.len() - 1, refresh.len() / 2, 80] {
            let pair = json!({ "access_token": &access, "refresh_token": &refresh[..length] });
            let error = taken(&pair.to_string()).unwrap_err().to_string();
            assert!(error.contains("the refresh token was not pasted whole"), "{error}");
        }
        let mut pasted = Pasted::default();
        pasted.add(&access, &hosts(), PROJECT).unwrap();
        let half = json!({ "access_token": &access[..80], "refresh_token": &refresh });
        let error = pasted.add(&half.to_string(), &hosts(), PROJECT).unwrap_err().to_string();
        assert!(error.contains("the access token was not pasted whole"), "{error}");
    }

    #[test]
    fn what_is_no_token_or_none_for_here_is_named() {
        let jwt_of = |iss: &str| jwt(&json!({ "client_id": "c", "iss": iss }));
        let cases: [(&str, &str, &[&str]); 17] = [
            (ACCESS, "", &["nothing was pasted where the access token is asked for"]),
            (REFRESH, " \u{200B}\"\"\r\n", &["nothing was pasted where the refresh token"]),
            (
                ACCESS,
                "Your access token here",
                &["a placeholder, not the access token", "/oauth2-api-tokens"],
            ),
            (REFRESH, "\"Your refresh token here\"", &["a placeholder, not the refresh token"]),
            (
                REFRESH,
                "0f2b7c1e-5b1c-4a0e-9d27-3c8f0e6f4d11",
                &["a UUID, which is an ID, not the refresh token"],
            ),
            (REFRESH, PROJECT, &["the ID of the API project, not the refresh token"]),
            (ACCESS, PROJECT, &["the ID of the API project, not the access token"]),
            (
                REFRESH,
                "https://us1.alteryxcloud.com/cloud-portal/preferences/oauth2-api-tokens",
                &["an address, not"],
            ),
            (ACCESS, "api.us1.alteryxcloud.com", &["an address, not the access token"]),
            (REFRESH, "yes", &["something else, not the refresh token"]),
            (ACCESS, OPAQUE, &["no access token", "begins with eyJ", "asked for next"]),
            (
                REFRESH,
                &format!("{OPAQUE}1 {OPAQUE}2"),
                &["several different texts", "Paste the refresh token alone"],
            ),
            (
                ACCESS,
                &format!("{}\n{}", access(), jwt_of(ISS)),
                &["several different texts that may be the access"],
            ),
            (
                ACCESS,
                &jwt(&json!({ "sub": "x", "aud": "y" })),
                &["a JWT that is neither", "not the access token"],
            ),
            (
                ACCESS,
                &jwt(&json!({ "client_id": "c" })),
                &["the access token has no \"iss\" claim"],
            ),
            (
                ACCESS,
                &jwt_of("https://login.example.com/as"),
                &["issued by https://login.example.com/as, which is not"],
            ),
            (
                ACCESS,
                &jwt_of("https://pingauth-eu1.alteryxcloud.com/as"),
                &[
                    "issued by https://pingauth-eu1.alteryxcloud.com/as, but the address is https://api.us1.alteryx",
                    "give the address https://api.eu1.alteryxcloud.com.",
                ],
            ),
        ];
        for (asked, text, words) in cases {
            let mut pasted = Pasted::default();
            if asked == REFRESH {
                pasted.add(&access(), &hosts(), PROJECT).unwrap();
            }
            let error = pasted.add(text, &hosts(), PROJECT).unwrap_err();
            let told = format!("{error} {}", error.help());
            words.iter().for_each(|word| assert!(told.contains(word), "{word}: {told}"));
            assert!(!told.contains(&OPAQUE[..12]) && !told.contains("qU-7_zB4"), "{told}");
            assert_eq!(pasted.asks_for(), Some(asked), "{text}");
        }
        let local = access_of("http://127.0.0.1:8000/as");
        let error = Pasted::default().add(&local, &hosts(), PROJECT).unwrap_err();
        assert!(
            error.help().contains("those of a sandbox go to that sandbox alone"),
            "{}",
            error.help()
        );
    }

    #[test]
    fn more_is_waited_for_until_a_token_is_whole() {
        let (access, refresh) = (access(), refresh());
        let mut pasted = Pasted::default();
        for (text, is_answer) in [
            ("", false),
            ("hello\n", false),
            (OPAQUE, false),
            (&access[..500], false),
            (&*format!("{}\n{}", &access[..80], &access[80..]), true),
            (&format!("{{\"access_token\": \"{access}\",\n"), true),
        ] {
            assert_eq!(pasted.is_answered_by(text), is_answer, "{text}");
        }
        pasted.add(&access, &hosts(), PROJECT).unwrap();
        for (text, is_answer) in [
            ("\n", false),
            ("\"\n", false),
            (OPAQUE, true),
            (&refresh[..300], false),
            (&refresh, true),
        ] {
            assert_eq!(pasted.is_answered_by(text), is_answer, "{text}");
        }
    }

    #[test]
    fn a_receipt_has_no_part_of_a_token() {
        let claims = Claims::of(&access()).unwrap();
        let text = access();
        let jwt = Jwt { text: &text, claims: &claims, label: "" };
        let length = text.len();
        for (second, life) in [
            (1000, "valid for 5 min 0 s"),
            (1048, "valid for 4 min 12 s"),
            (1290, "valid for 10 s"),
            (1300, "expired 0 s ago; it will be refreshed"),
            (1480, "expired 3 min ago; it will be refreshed"),
            (1300 + 7500, "expired 2 h ago; it will be refreshed"),
            (1300 + 3 * 86_400, "expired 3 d ago; it will be refreshed"),
            (500, "not valid by this machine's clock; it will be refreshed"),
        ] {
            let receipt = jwt.receipt(LocalTime(second * 1000));
            assert_eq!(
                receipt,
                format!("{length} characters, ada@example.com, workspace sales, {life}")
            );
        }
        let receipt =
            Pasted::default().add(&format!("{text} {OPAQUE}"), &hosts(), PROJECT).unwrap();
        let lines: Vec<_> = receipt.lines().collect();
        assert!(
            lines[0].starts_with(&format!("Access token: {length} characters, ada@")),
            "{receipt}"
        );
        assert_eq!(lines[1], format!("Refresh token: {} characters", OPAQUE.len()));
    }

    proptest! {
        #[test]
        fn a_pair_survives_whatever_stands_in_the_middle_of_it(
            layout in select(&LAYOUTS[..]),
            is_opaque in any::<bool>(),
            breaks in vec((any::<Index>(), select(vec![
                "\n", "\r\n", "\r", "\n    ", "\n> ", "\r\n>> ", "\n\t| ", "\u{200B}", "\u{AD}", "\u{FEFF}", "\u{2028}\n",
            ])), 0..12),
        ) {
            let pair = [access(), if is_opaque { OPAQUE.to_owned() } else { refresh() }];
            let [access, refresh] = pair.clone().map(|token| {
                let mut broken = token;
                for (place, text) in &breaks {
                    // Between characters that others have not yet come between.
                    let place = place.index(broken.len());
                    if broken.is_char_boundary(place) && broken.as_bytes()[..place].last().is_some_and(u8::is_ascii_graphic)
                        && broken.as_bytes()[place].is_ascii_graphic() && !broken[..place].ends_with(['>', '|'])
                        && !broken[place..].starts_with(['>', '|']) {
                        broken.insert_str(place, text);
                    }
                }
                broken
            });
            let found = taken(&layout(&access, &refresh)).map_err(|error| error.to_string());
            let [access, refresh] = pair;
            prop_assert_eq!(found, Ok((Some(access), Some(refresh))), "{}", layout("A", "R"));
        }

        #[test]
        fn any_text_ends_in_an_error_or_in_tokens(
            bytes in vec(any::<u8>(), 0..400),
            parts in vec(select(vec!["eyJ", ".", "e30", " ", "\n", "\"", "=", "_token", ">", "eyJhbGciOiJSUzI1NiJ9", "é"]), 0..40),
        ) {
            for text in [String::from_utf8_lossy(&bytes).into_owned(), parts.concat()] {
                let mut pasted = Pasted::default();
                for _ in 0..2 {
                    pasted.is_answered_by(&text);
                    let _ = pasted.add(&text, &hosts(), PROJECT);
                    pasted.access = Some(AccessToken::new("x".to_owned()));
                }
            }
        }
    }
}
