//! JSON as text, passed on exactly as the server wrote it: every digit, every escape, members in their
//! order, at any nesting. Nothing here recurses.
//!
//! JavaScript writes half of a surrogate pair as an escape, `"\ud83d"`, and a server may nest deeper than
//! serde_json parses. As text both are fine; where a [`Value`] is needed, [`parse`] works around them.

use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::{iter, mem};

/// The nesting depth that serde_json parses. Deeper JSON stays text, and is not indented either: each
/// line would be as long as its depth.
const LEVELS: usize = 127;

/// A JSON value as text. `{}` displays it as it is, `{:#}` indented.
///
/// ```
/// use aac_auth::JsonText;
///
/// let user = JsonText::new(r#"{"id":1.10,"name":"Ada \ud83d"}"#).unwrap();
/// for (name, value) in user.members() {
///     println!("{name}: {}", value.text());
/// }
/// assert_eq!(format!("{user:#}"), "{\n  \"id\": 1.10,\n  \"name\": \"Ada \\ud83d\"\n}");
/// assert!(JsonText::new("{").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonText<'text>(&'text str);

impl<'text> JsonText<'text> {
    /// The text without surrounding whitespace; `None` if it is not JSON.
    pub fn new(text: &'text str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value().ok()?;
        scanner.end().ok()?;
        Some(Self(&text[value]))
    }

    /// Text that a [`Scanner`] has already checked.
    pub(crate) fn trusted(text: &'text str) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(self) -> &'text str {
        self.0
    }

    /// The members of an object, in order; none for other values.
    pub fn members(self) -> impl Iterator<Item = (Cow<'text, str>, JsonText<'text>)> {
        let mut scanner = Scanner::new(self.0);
        let mut is_inside = scanner.enter(b'{');
        iter::from_fn(move || {
            is_inside = is_inside && scanner.advance(b'}').ok()?;
            if !is_inside {
                return None;
            }
            Some((unquoted(scanner.name().ok()?), scanner.value_text().ok()?))
        })
    }

    /// The values of the members with these names, in the order of the names, and the name of the first
    /// other member.
    ///
    /// ```
    /// let user = aac_auth::JsonText::new(r#"{"id":1,"state":"active","name":"Ada"}"#).unwrap();
    /// let (values, other) = user.pick(&["name", "id", "email"]);
    /// assert_eq!(values[0].unwrap().text(), "Ada");
    /// assert_eq!(values[1].unwrap().text(), "1");
    /// assert!(values[2].is_none());
    /// assert_eq!(other.unwrap(), "state");
    /// ```
    pub fn pick(self, names: &[impl AsRef<str>]) -> (Vec<Option<Self>>, Option<Cow<'text, str>>) {
        let (mut values, mut other, mut likely) = (vec![None; names.len()], None, 0);
        for (name, value) in self.members() {
            // Usually they come in the same order.
            let is_likely = names.get(likely).is_some_and(|wanted| wanted.as_ref() == name);
            let search = || names.iter().position(|wanted| wanted.as_ref() == name);
            match is_likely.then_some(likely).or_else(search) {
                Some(index) => {
                    values[index] = Some(value);
                    likely = index + 1;
                }
                None => {
                    other.get_or_insert(name);
                }
            }
        }
        (values, other)
    }

    /// The value for people: a string without quotes, nothing for `null`, and JSON for everything else.
    pub fn text(self) -> Cow<'text, str> {
        match self.0 {
            "null" => Cow::Borrowed(""),
            json => self.string().unwrap_or(Cow::Borrowed(json)),
        }
    }

    /// The content of a string, unescaped. Half of a surrogate pair becomes U+FFFD.
    pub fn string(self) -> Option<Cow<'text, str>> {
        self.0.starts_with('"').then(|| unquoted(self.0))
    }
}

impl Deref for JsonText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => indent(self.0, f),
            false => f.write_str(self.0),
        }
    }
}

/// Parses JSON that serde_json may reject: half of a surrogate pair becomes U+FFFD, and a value nested
/// too deeply becomes a string that contains its JSON.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|error| match JsonText::new(text) {
        Some(JsonText(text)) => serde_json::from_str(&mend(text)),
        None => Err(error),
    })
}

/// Writes JSON text on one line, without whitespace between tokens.
pub(crate) fn compact(text: &str, into: &mut String) {
    for token in tokens(text) {
        into.push_str(token);
    }
}

/// The content of a quoted string.
fn unquoted(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(&text[1..text.len() - 1]);
    }
    let content = serde_json::from_str(text).or_else(|_| serde_json::from_str(&mend(text)));
    Cow::Owned(content.unwrap_or_else(|_| text.to_owned()))
}

/// Replaces the parts of valid JSON that serde_json does not parse.
fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut level = 0;
    let mut rest = text;
    while let Some(token) = tokens(rest).next() {
        let at = token.as_ptr() as usize - rest.as_ptr() as usize;
        let mut end = at + token.len();
        match token.as_bytes()[0] {
            b'"' => mend_surrogates(token, &mut mended),
            b'{' | b'[' if level == LEVELS => {
                let value = Scanner { text: rest, at, is_first: false }.value();
                end = value.map_or(rest.len(), |value| value.end);
                mended.push_str(&Value::from(&rest[at..end]).to_string());
            }
            byte => {
                match byte {
                    b'{' | b'[' => level += 1,
                    b'}' | b']' => level -= 1,
                    _ => {}
                }
                mended.push_str(token);
            }
        }
        rest = &rest[end..];
    }
    mended
}

/// Copies JSON text, with `\ufffd` for each escape that is half of a surrogate pair.
fn mend_surrogates(text: &str, mended: &mut String) {
    let unit = |text: &str| -> Option<u16> {
        u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
    };
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            _ => 2,
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended.push_str(rest);
}

/// Writes JSON text indented as serde_json does.
fn indent(text: &str, into: &mut impl fmt::Write) -> fmt::Result {
    let mut level = 0;
    let mut last = "";
    for token in tokens(text) {
        let inside = level;
        let starts_line = match (last, token) {
            ("{" | "[", "}" | "]") => false,
            ("{" | "[" | ",", _) | (_, "}" | "]") => true,
            _ => false,
        };
        if matches!(token, "}" | "]") {
            level -= 1;
        }
        if starts_line && inside <= LEVELS {
            write!(into, "\n{:1$}", "", 2 * level)?;
        }
        into.write_str(token)?;
        match token {
            "{" | "[" => level += 1,
            ":" if inside <= LEVELS => into.write_char(' ')?,
            _ => {}
        }
        last = token;
    }
    Ok(())
}

/// The tokens of JSON text.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    iter::from_fn(move || {
        let bytes = text.as_bytes();
        let start = blanks(bytes, at);
        at = match bytes.get(start)? {
            b'"' => string(bytes, start).unwrap_or(bytes.len()),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => start + 1,
            _ => {
                let is_end =
                    |byte: &u8| matches!(byte, b' ' | b'\n'..=b'\r' | b',' | b':' | b']' | b'}');
                let length = bytes[start..].iter().position(is_end);
                length.map_or(bytes.len(), |length| start + length)
            }
        };
        Some(&text[start..at])
    })
}

/// The text is not JSON. serde_json describes the error better.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Scans text that should be JSON, only as far as needed.
#[derive(Debug)]
pub(crate) struct Scanner<'text> {
    text: &'text str,
    at: usize,
    /// Whether an object or array has just been entered.
    is_first: bool,
}

impl<'text> Scanner<'text> {
    pub(crate) fn new(text: &'text str) -> Self {
        Self { text, at: 0, is_first: false }
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.at = blanks(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    /// Enters an object or an array if one comes next.
    pub(crate) fn enter(&mut self, opening: u8) -> bool {
        let is_one = self.peek() == Some(opening);
        if is_one {
            self.at += 1;
            self.is_first = true;
        }
        is_one
    }

    /// Moves to the next member or element; false after the last one.
    pub(crate) fn advance(&mut self, closing: u8) -> Result<bool, Malformed> {
        let next = self.peek();
        let is_first = mem::take(&mut self.is_first);
        match next {
            Some(byte) if byte == closing => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.peek();
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// The name of a member, in its quotes.
    pub(crate) fn name(&mut self) -> Result<&'text str, Malformed> {
        let start = self.at;
        let end = string(self.text.as_bytes(), start).ok_or(Malformed)?;
        self.at = colon(self.text.as_bytes(), end).ok_or(Malformed)?;
        Ok(&self.text[start..end])
    }

    /// The range of the next value.
    pub(crate) fn value(&mut self) -> Result<Range<usize>, Malformed> {
        let start = blanks(self.text.as_bytes(), self.at);
        self.at = value(self.text.as_bytes(), start).ok_or(Malformed)?;
        Ok(start..self.at)
    }

    /// The next value.
    pub(crate) fn value_text(&mut self) -> Result<JsonText<'text>, Malformed> {
        let text = self.text;
        self.value().map(|value| JsonText(&text[value]))
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.peek().map_or(Ok(()), |_| Err(Malformed))
    }
}

/// The end of the value that begins there; `None` if there is none.
fn value(text: &[u8], mut at: usize) -> Option<usize> {
    // The closing byte of each open object or array.
    let mut open = Vec::new();
    loop {
        at = match text.get(at)? {
            b'"' => string(text, at)?,
            b'{' => {
                at = blanks(text, at + 1);
                if text.get(at) != Some(&b'}') {
                    open.push(b'}');
                    at = colon(text, string(text, at)?)?;
                    continue;
                }
                at + 1
            }
            b'[' => {
                at = blanks(text, at + 1);
                if text.get(at) != Some(&b']') {
                    open.push(b']');
                    continue;
                }
                at + 1
            }
            b't' => word(text, at, b"true")?,
            b'f' => word(text, at, b"false")?,
            b'n' => word(text, at, b"null")?,
            _ => number(text, at)?,
        };
        // A value has ended, and perhaps the values around it.
        loop {
            let Some(&closing) = open.last() else {
                return Some(at);
            };
            at = blanks(text, at);
            match *text.get(at)? {
                b',' => {
                    at = blanks(text, at + 1);
                    if closing == b'}' {
                        at = colon(text, string(text, at)?)?;
                    }
                    break;
                }
                byte if byte == closing => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

fn blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The end of the string that begins there.
fn string(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += plain_length(&text[at..]);
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// The number of bytes before a quote, a backslash or a control character. Checks eight at once, since
/// most of JSON is strings.
fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Each marks matching bytes with their highest bit; bits above the lowest mark may be wrong.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = (below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & (ONES << 7);
        if marks != 0 {
            return 8 * index + marks.trailing_zeros() as usize / 8;
        }
    }
    let rest = &text[8 * words.len()..];
    let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
    8 * words.len() + length.unwrap_or(rest.len())
}

/// The beginning of a member's value, after its name.
fn colon(text: &[u8], at: usize) -> Option<usize> {
    let at = blanks(text, at);
    (text.get(at) == Some(&b':')).then(|| blanks(text, at + 1))
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

/// The end of the number that begins there (RFC 8259 §6).
fn number(text: &[u8], mut at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let count = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(at + count)
    };
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits(at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(at)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn is_json(text: &str) -> bool {
        JsonText::new(text).is_some()
    }

    /// Text that is JSON, or almost.
    fn nearly_json() -> impl Strategy<Value = String> {
        const TOKENS: [&str; 40] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\t",
            "0",
            "-0",
            "01",
            "-",
            "1.",
            "1.5",
            "1e5",
            "1E+400",
            "1e",
            ".5",
            "+1",
            "true",
            "false",
            "null",
            "nul",
            "\"",
            "\"\"",
            "\"a\"",
            "\"é😀\"",
            "\"\\ud83d\"",
            "\"\\ud83d\\ude00\"",
            "\"\\uD83\"",
            "\"\\x\"",
            "\"\\n\\\\\"",
            "\"\\",
            "\u{7f}",
            "\"\u{1}\"",
            "[1,2]",
            "{\"a\":1}",
            "[]",
            "{}",
        ];
        let tokens = vec(proptest::sample::select(TOKENS.as_slice()), 0..12);
        prop_oneof![tokens.prop_map(|tokens| tokens.concat()), json().prop_map(|(text, _)| text)]
    }

    /// JSON with whitespace, and the same without.
    fn json() -> impl Strategy<Value = (String, String)> {
        let leaf = proptest::sample::select(
            [
                "null",
                "true",
                "-1.50e+7",
                "\"\"",
                "\"a\\\"\\\\]}\"",
                "\"\\udfff\"",
                "\"é\u{9b}\"",
                "[]",
                "{}",
            ]
            .as_slice(),
        );
        let leaf = leaf.prop_map(|text| (text.to_owned(), text.to_owned()));
        leaf.prop_recursive(5, 40, 5, |inner| {
            let join = |open: &str, name: &str, items: Vec<(String, String)>, close: &str| {
                let one = |text: &str, colon: &str| match name {
                    "" => text.to_owned(),
                    name => format!("{name}{colon}{text}"),
                };
                let blank: Vec<_> = items.iter().map(|(item, _)| one(item, "\t: ")).collect();
                let bare: Vec<_> = items.iter().map(|(_, item)| one(item, ":")).collect();
                (
                    format!("{open} {}\r\n {close}", blank.join(" ,\n")),
                    format!("{open}{}{close}", bare.join(",")),
                )
            };
            (vec(inner, 0..5), any::<bool>()).prop_map(move |(items, is_array)| match is_array {
                true => join("[", "", items, "]"),
                false => join("{", "\"n\\u0061\"", items, "}"),
            })
        })
    }

    proptest! {
        #[test]
        fn what_is_json_is_what_serde_json_takes_for_it(text in nearly_json()) {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<&RawValue>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn blanks_come_and_go_and_all_else_stays((blank, bare) in json()) {
            let mut compacted = String::new();
            compact(&blank, &mut compacted);
            prop_assert_eq!(&compacted, &bare);
            let indented = format!("{:#}", JsonText::new(&blank).unwrap());
            compacted.clear();
            compact(&indented, &mut compacted);
            prop_assert_eq!(&compacted, &bare);
            prop_assert_eq!(parse(&blank).unwrap(), parse(&indented).unwrap());
        }

        #[test]
        fn every_prefix_of_json_is_cut_off((text, _) in json()) {
            let trimmed = text.trim_end();
            for (at, _) in trimmed.char_indices().filter(|_| trimmed.starts_with(['{', '['])) {
                prop_assert!(!is_json(&trimmed[..at]));
            }
        }
    }

    #[test]
    fn every_byte_in_every_place_is_seen() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let is_plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
                    let expected = if is_plain { length } else { at };
                    assert_eq!(plain_length(&text), expected, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn half_a_surrogate_pair_does_not_take_the_rest_with_it() {
        let text = r#"{"a\udc00":["x\ud83d","\ud83d\ude00","\ud83d\ud83d\ude00","\\ud83d","\ud83dA"],"n":1E400}"#;
        let value = parse(text).unwrap();
        assert_eq!(value["a\u{fffd}"][0], "x\u{fffd}");
        assert_eq!(value["a\u{fffd}"][1], "😀");
        assert_eq!(value["a\u{fffd}"][2], "\u{fffd}😀");
        assert_eq!(value["a\u{fffd}"][3], "\\ud83d");
        assert_eq!(value["a\u{fffd}"][4], "\u{fffd}A");
        let row = JsonText::new(text).unwrap();
        assert_eq!(row.members().next().unwrap().0, "a\u{fffd}");
        assert_eq!(JsonText::new(r#""x\ud83d""#).unwrap().string().unwrap(), "x\u{fffd}");
    }

    #[test]
    fn no_nesting_is_too_deep() {
        for levels in [1, 126, 127, 128, 129, 1000, 1_000_000] {
            let text = format!("{}{}{}", "[".repeat(levels), r#""\ud83d""#, "]".repeat(levels));
            let value = parse(&text).unwrap();
            let shown = format!("{:#}", JsonText::new(&text).unwrap());
            let mut compacted = String::new();
            compact(&shown, &mut compacted);
            assert_eq!(compacted, text);
            assert!(shown.len() < 3 * text.len() + 100_000, "{levels}");
            let mut inner = &value;
            while let Value::Array(rows) = inner {
                inner = &rows[0];
            }
            match levels > LEVELS {
                true => {
                    let deep = levels - LEVELS;
                    let kept = format!("{}{}{}", "[".repeat(deep), r#""\ud83d""#, "]".repeat(deep));
                    assert_eq!(inner, &kept);
                }
                false => assert_eq!(inner, "\u{fffd}"),
            }
        }
        let wide = format!("{}{{\"a\":[1,2]}}{}", "[".repeat(200), "]".repeat(200));
        assert!(format!("{:#}", JsonText::new(&wide).unwrap()).contains("[[{\"a\":[1,2]}]]"));
    }

    #[test]
    fn text_is_indented_as_a_value_is() {
        let text = r#" {"a":[],"b":{ },"c":[1,{"d":[[2]],"e":"{[,:\"]}"}],"f":1.10,"g":-0} "#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(format!("{:#}", JsonText::new(text).unwrap()), format!("{value:#}"));
        // Details that a `Value` would not keep.
        let kept = "{\n  \"a\": 1E400,\n  \"a\": \"\\u0041\"\n}";
        assert_eq!(format!("{:#}", JsonText::new(r#"{"a":1E400,"a":"\u0041"}"#).unwrap()), kept);
    }
}
