//! Token types that cannot be printed and are wiped on drop.
//!
//! Only the memory that this crate holds is wiped. It cannot wipe the copies that the HTTP and TLS
//! layers make while writing a request.

use crate::platform::is_unsafe_on_terminal;
use ring::digest::{SHA256, digest};
use std::fmt;
use zeroize::Zeroizing;

macro_rules! secret {
    ($(#[$docs:meta])* $visibility:vis $name:ident) => {
        $(#[$docs])*
        #[derive(Clone, PartialEq, Eq)]
        $visibility struct $name(Zeroizing<String>);

        impl $name {
            pub(crate) fn new(text: String) -> Self {
                Self(Zeroizing::new(text))
            }

            /// The text of the token. Anyone who has it has the token's rights.
            $visibility fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("(redacted)")
            }
        }
    };
}

secret! {
    /// An access token (RFC 6749 §1.4): sent as `Authorization: Bearer …`, valid for a few minutes.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), aac_auth::Error> {
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let token = client.access_token()?;
    /// assert_eq!(token.to_string(), "(redacted)");
    /// # Ok(()) }
    /// ```
    pub AccessToken
}

secret! {
    /// A refresh token (RFC 6749 §1.5). Alteryx Cloud accepts each one once, and returns the next.
    pub(crate) RefreshToken
}

impl RefreshToken {
    /// Identifies a refresh token where the token itself must not be kept.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.expose().as_bytes())
    }
}

/// A SHA-256, which is written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(own)
    }

    /// Parses a digest; `None` if the text is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(is_hex) {
            return None;
        }
        let mut own = [0; 32];
        for (place, byte) in own.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self(own))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The shortest run of a token's characters that must not be shown.
const TELLING: usize = 12;
/// A run of token characters this long counts as a secret, known or not, if it has letters and digits.
const TOKEN_LIKE: usize = 32;

/// Makes `text` fit to show: one line, at most `limit` characters, and without anything that is or
/// may be a token. A server may quote what it was sent.
pub(crate) fn redact(text: &str, secrets: &[&str], limit: usize) -> String {
    hide(text, secrets, limit, looks_random)
}

/// The same for text that has a known origin, such as a path or the ID of a request: only known secrets and
/// JWTs are hidden.
pub(crate) fn redact_known(text: &str, secrets: &[&str], limit: usize) -> String {
    hide(text, secrets, limit, |_| false)
}

/// Whether a run of token characters may be a token: names have letters alone, and a UUID is an ID.
fn looks_random(run: &[u8]) -> bool {
    run.len() >= TOKEN_LIKE
        && run.iter().any(u8::is_ascii_alphabetic)
        && run.iter().any(u8::is_ascii_digit)
        && !is_uuid(run)
}

pub(crate) fn is_uuid(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'-').map(<[u8]>::len).eq([8, 4, 4, 4, 12])
        && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

fn hide(text: &str, secrets: &[&str], limit: usize, is_secret: fn(&[u8]) -> bool) -> String {
    // Text beyond this is not shown, so it need not be searched.
    let text = text.char_indices().nth(8 * limit).map_or(text, |(end, _)| &text[..end]);
    let mut hidden = vec![false; text.len()];
    for start in 0..text.len().saturating_sub(TELLING - 1) {
        // Tokens are ASCII, so none begins or ends within a character.
        if let Some(part) = text.get(start..start + TELLING)
            && secrets.iter().any(|secret| secret.contains(part))
        {
            hidden[start..start + TELLING].fill(true);
        }
    }
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let (mut start, mut is_jwt) = (0, false);
    for run in text.as_bytes().split(|&byte| !is_token_char(byte)) {
        // A JWT's parts follow one another with a dot between them.
        let goes_on = is_jwt && !run.is_empty() && text.as_bytes()[start - 1] == b'.';
        is_jwt = goes_on || (run.starts_with(b"eyJ") && run.len() >= TELLING);
        if is_jwt || is_secret(run) {
            hidden[start - usize::from(goes_on)..start + run.len()].fill(true);
        }
        start += run.len() + 1;
    }

    let mut shown = String::new();
    let mut length = 0;
    for (at, character) in text.char_indices() {
        if length == limit {
            shown.push('…');
            break;
        }
        match character {
            _ if hidden[at] && at > 0 && hidden[at - 1] => continue,
            _ if hidden[at] => shown.push_str("(redacted)"),
            character if character.is_whitespace() => match shown.chars().last() {
                None | Some(' ') => continue,
                Some(_) => shown.push(' '),
            },
            character if is_unsafe_on_terminal(character) => {
                shown.extend(character.escape_unicode())
            }
            character => shown.push(character),
        }
        length += 1;
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "dGhpcyBpcyBub3QgYSByZWFsIHRva2Vu";

    #[test]
    fn a_token_cannot_be_printed() {
        let token = RefreshToken::new(TOKEN.to_owned());
        assert_eq!(format!("{token} {token:?} {token:#?}").matches("(redacted)").count(), 3);
        assert!(!format!("{token} {token:?}").contains("dGhp"));
    }

    #[test]
    fn known_tokens_and_what_looks_like_one_are_hidden() {
        let cases = [
            (format!("bad token {TOKEN}!"), "bad token (redacted)!"),
            (format!("part {}.", &TOKEN[3..20]), "part (redacted)."),
            ("a eyJhbGciOiJSUzI1NiJ9.e30.c2ln. b".to_owned(), "a (redacted). b"),
            ("eyJhbGciOiJSUzI1NiJ9 x.y".to_owned(), "(redacted) x.y"),
            ("eyJhbGciOiJSUzI1NiJ9..c2ln".to_owned(), "(redacted)..c2ln"),
            (
                "(Correlation ID: 0f2b7c1e-5b1c-4a0e-9d27-3c8f0e6f4d11)".to_owned(),
                "(Correlation ID: 0f2b7c1e-5b1c-4a0e-9d27-3c8f0e6f4d11)",
            ),
            // A name, a number, and what is neither.
            ("x".repeat(50), &"x".repeat(50)),
            (format!("{}-_", "Name".repeat(12)), &format!("{}-_", "Name".repeat(12))),
            ("7".repeat(50), &"7".repeat(50)),
            (format!("key {}7.", "x".repeat(31)), "key (redacted)."),
            (format!("{}7", "x".repeat(30)), &format!("{}7", "x".repeat(30))),
            (format!("{}-_", "a7".repeat(15)), "(redacted)"),
            (format!("{}-", "0f2b7c1e-5b1c-4a0e-9d27-3c8f0e6f4d1"), "(redacted)"),
            ("é\u{1b}[31m\r\n  two\u{202e}".to_owned(), "é\\u{1b}[31m two\\u{202e}"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(&text, &[TOKEN], 300), expected);
        }
    }

    #[test]
    fn of_a_path_only_known_tokens_are_hidden() {
        let path = format!("/plans/{}", "name-7-".repeat(9));
        for (text, expected) in [
            (path.clone(), path),
            (format!("/x/{TOKEN}/y"), "/x/(redacted)/y".to_owned()),
            ("/x/eyJhbGciOiJSUzI1NiJ9.e30.c2ln/y".to_owned(), "/x/(redacted)/y".to_owned()),
        ] {
            assert_eq!(redact_known(&text, &[TOKEN], 300), expected);
        }
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert_eq!(redact("one two three", &[], 7), "one two…");
    }
}
