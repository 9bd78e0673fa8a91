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
        for it in &found {
            if let Found::Cut { which, why } = it {
                return Err(Error::pasted_cut(which.unwrap_or(asked), why));
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
        !self.is_access() && (is_named || self.claims.audience.is_none() && self.label.is_empty())
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
                format!("expired {} ago; it is refreshed at once", in_words(ago.unsigned_abs(), 1))
            }
            _ => "not valid by this machine's clock; it is refreshed at once".to_owned(),
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
    only(REFRESH, texts.map(|(text, _)| text), |text| text)
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

    /// Takes it apart, and begins anew.
    fn end(&mut self, found: &mut Vec<Found>) {
        let (mut at, mut rest) = (0, 0);
        while at < self.text.len() {
            let is_start =
                at == rest || self.has_gap(at) || !is_of_jwt(self.text.as_bytes()[at - 1]);
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
        // A header cannot be empty.
        first.filter(|first| *first > 0)?;
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
