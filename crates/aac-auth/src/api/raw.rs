//! JSON as the server wrote it, for programs that pass it on with every digit and escape. Others use
//! [`Value`](crate::Value), or types of their own.
//!
//! JavaScript writes half of a surrogate pair as an escape, `"\ud83d"`, and a server may nest deeper than
//! serde_json parses. A [`RawValue`] has both.

use serde_core::Deserialize;
use serde_core::de::{Deserializer, Error, MapAccess, Visitor};
pub use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::iter;

/// The nesting depth that serde_json parses. Deeper JSON stays text, and is not indented either: each
/// line would be as long as its depth.
pub(crate) const LEVELS: usize = 127;

/// The members of an object, in their order; none for other values.
///
/// ```
/// use aac_auth::raw::{self, RawValue};
///
/// let user: &RawValue = serde_json::from_str(r#"{"id":1.10,"name":"Ada \ud83d"}"#)?;
/// for (name, value) in raw::members(user) {
///     println!("{name}: {value}");
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn members(json: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    let mut members = Vec::new();
    visit_members(json, |name, value| {
        members.push((name, value));
        true
    });
    members
}

/// The value of an object's member.
pub(crate) fn member<'a>(json: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    let mut found = None;
    visit_members(json, |name, value| {
        found = (name == wanted).then_some(value);
        found.is_none()
    });
    found
}

/// Visits the members of an object, until the function returns false.
fn visit_members<'a>(json: &'a RawValue, visit: impl FnMut(Cow<'a, str>, &'a RawValue) -> bool) {
    if json.get().starts_with('{') {
        // The error is that not all of them were visited.
        let _ = serde_json::Deserializer::from_str(json.get()).deserialize_map(Members(visit));
    }
}

pub(crate) fn elements(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// A value for people: a string without quotes and escapes, and JSON for everything else. Half of a
/// surrogate pair becomes U+FFFD.
pub fn string(json: &RawValue) -> Cow<'_, str> {
    let text = json.get();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        None => text.into(),
        Some(plain) if !plain.contains('\\') => plain.into(),
        Some(_) => serde_json::from_str(text).map_or(text.into(), |Text(text)| text),
    }
}

/// Indents JSON as serde_json does, and otherwise leaves it as it is.
///
/// ```
/// use aac_auth::raw::{self, RawValue};
///
/// let json: &RawValue = serde_json::from_str(r#"{"id":1.10,"name":"\ud83d"}"#)?;
/// assert_eq!(raw::indented(json), "{\n  \"id\": 1.10,\n  \"name\": \"\\ud83d\"\n}");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn indented(json: &RawValue) -> String {
    let mut shown = String::new();
    let mut level = 0;
    let mut last = "";
    for token in tokens(json.get()) {
        let inside = level;
        let starts_line = match (last, token) {
            ("{" | "[", "}" | "]") => false,
            ("{" | "[" | ",", _) | (_, "}" | "]") => true,
            _ => false,
        };
        match token {
            "{" | "[" => level += 1,
            "}" | "]" => level -= 1,
            _ => {}
        }
        if starts_line && inside <= LEVELS {
            let _ = write!(shown, "\n{:1$}", "", 2 * inside.min(level));
        }
        shown.push_str(token);
        if token == ":" && inside <= LEVELS {
            shown.push(' ');
        }
        last = token;
    }
    shown
}

/// JSON on one line, without blanks between tokens.
pub(crate) fn compact(json: &RawValue) -> Box<RawValue> {
    let compact = RawValue::from_string(tokens(json.get()).collect());
    compact.unwrap_or_else(|_| json.to_owned())
}

/// The tokens of valid JSON.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    const BLANKS: [char; 4] = [' ', '\n', '\r', '\t'];
    let mut rest = text;
    iter::from_fn(move || {
        rest = rest.trim_start_matches(BLANKS);
        let end = match rest.chars().next()? {
            '"' => {
                let mut is_escaped = false;
                let is_end = |character| {
                    let is_end = character == '"' && !is_escaped;
                    is_escaped = character == '\\' && !is_escaped;
                    is_end
                };
                rest[1..].find(is_end)? + 2
            }
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest.find([' ', '\n', '\r', '\t', ',', ':', ']', '}']).unwrap_or(rest.len()),
        };
        let token;
        (token, rest) = rest.split_at(end);
        Some(token)
    })
}

/// A string or a name, in which half of a surrogate pair becomes U+FFFD.
pub(crate) struct Text<'text>(pub(crate) Cow<'text, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        // serde_json takes such halves in bytes alone.
        source.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        str::from_utf8(bytes).map_or_else(|_| self.visit_bytes(bytes), |text| Ok(Text(text.into())))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        let mut bytes = bytes.to_vec();
        for at in 2..bytes.len() {
            // Half a pair takes three bytes, as U+FFFD does.
            if let [0xED, 0xA0..=0xBF, _] = bytes[at - 2..=at] {
                bytes[at - 2..=at].copy_from_slice("\u{fffd}".as_bytes());
            }
        }
        Ok(Text(String::from_utf8(bytes).map_err(E::custom)?.into()))
    }
}

struct Members<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue) -> bool> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(name), value)) = map.next_entry()? {
            if !(self.0)(name, value) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn read(text: &str) -> Value {
        json::read(text, "GET", "https://x/y").unwrap()
    }

    /// JSON with blanks, and the same without.
    fn json() -> impl Strategy<Value = (String, String)> {
        const LEAVES: [&str; 9] = [
            "null",
            "true",
            "-1.50e+7",
            "\"\"",
            "\"a\\\"\\\\]}\"",
            "\"\\udfff\"",
            "\"é\u{9b}\"",
            "[]",
            "{}",
        ];
        let leaf = proptest::sample::select(LEAVES.as_slice());
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
        fn blanks_come_and_go_and_all_else_stays((blank, bare) in json()) {
            let shown = indented(raw(&blank));
            for text in [&blank, &shown] {
                let compact = compact(raw(text));
                prop_assert_eq!(compact.get(), &bare);
            }
            prop_assert_eq!(read(&blank), read(&shown));
        }
    }

    #[test]
    fn half_a_surrogate_pair_does_not_take_the_rest_with_it() {
        let text = r#"{"a\udc00":["x\ud83d","\ud83d\ude00","\ud83d\ud83d\ude00","\\ud83d","\ud83dA"],"n":1.10}"#;
        let value = read(text);
        assert_eq!(
            value["a\u{fffd}"],
            json!(["x\u{fffd}", "😀", "\u{fffd}😀", "\\ud83d", "\u{fffd}A"])
        );
        assert_eq!(value["n"].to_string(), "1.10");
        assert_eq!(members(raw(text))[0].0, "a\u{fffd}");
        assert_eq!(string(raw(r#""\ud83d\n""#)), "\u{fffd}\n");
        assert_eq!(string(raw("{}")), "{}");
        assert_eq!(member(raw(r#"{"a":1,"b":[2],"b":3}"#), "b").unwrap().get(), "[2]");
        assert!(member(raw("[1]"), "b").is_none() && member(raw("{}"), "b").is_none());
    }

    #[test]
    fn no_nesting_is_too_deep() {
        for levels in [1, 126, 127, 128, 129, 1000, 10_000] {
            let text = format!("{}{}{}", "[".repeat(levels), r#""\ud83d""#, "]".repeat(levels));
            let shown = indented(raw(&text));
            assert_eq!(compact(raw(&shown)).get(), text);
            assert!(shown.len() < 3 * text.len() + 100_000, "{levels}");
            let value = read(&text);
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
    }

    #[test]
    fn text_is_indented_as_a_value_is() {
        let text = r#" {"a":[],"b":{ },"c":[1,{"d":[[2]],"e":"{[,:\"]}"}],"f":1.10,"g":-0} "#;
        assert_eq!(indented(raw(text)), format!("{:#}", read(text)));
        // Details that a `Value` would not keep.
        let kept = "{\n  \"a\": 1E400,\n  \"a\": \"\\u0041\"\n}";
        assert_eq!(indented(raw(r#"{"a":1E400,"a":"\u0041"}"#)), kept);
    }
}
