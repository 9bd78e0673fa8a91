//! JSON of a response: as a type, or as text that goes on exactly as the server wrote it.
//!
//! JavaScript writes half of a surrogate pair as an escape, `"\ud83d"`, and a server may nest deeper than
//! serde_json parses. A [`RawValue`] has both.

use crate::error::{Error, Result};
use crate::tokens::secret::redact;
use serde_core::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_core::{Deserialize, de};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::iter;

/// The nesting depth that serde_json parses. Deeper JSON stays text, and is not indented either: each
/// line would be as long as its depth.
const LEVELS: usize = 127;

/// A byte order mark, which is not part of JSON.
pub(crate) const MARK: &str = "\u{feff}";

/// Reads a response as a type. In a [`Value`], half of a surrogate pair becomes U+FFFD, and a value nested
/// too deeply becomes a string that contains its JSON.
pub(crate) fn read<T: DeserializeOwned>(text: &str, method: &str, url: &str) -> Result<T> {
    let direct = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let json = serde_json::from_str(text).map_err(|error| not_json(method, url, &error))?;
    let mut value = value_of(json, LEVELS);
    // Numbers that keep their digits are none to `#[serde(flatten)]` and to untagged enums.
    let read = T::deserialize(&value).or_else(|_| {
        round(&mut value);
        T::deserialize(&value)
    });
    read.map_err(|error| {
        // A value that does not fit is in it, and may be a token.
        let what = redact(&misfit(json, text, &direct, &error), &[], SHOWN);
        Error::unexpected(method, url, &what)
    })
}

/// JSON that does not fit the program's type, as [`Error::response`].
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::response(redact(&error.to_string(), &[], SHOWN))
    }
}

/// How much is shown of what does not fit, in characters.
const SHOWN: usize = 300;

/// What does not fit, and where. The first error knows the place, unless only the second one is true.
fn misfit(
    json: &RawValue,
    text: &str,
    first: &serde_json::Error,
    second: &serde_json::Error,
) -> String {
    let (place, second) = ((first.line(), first.column()), second.to_string());
    let first = first.to_string();
    let first = first.trim_end_matches(&format!(" at line {} column {}", place.0, place.1));
    // That is all a `Value` says of a number.
    if first != second && second != "invalid number" {
        return second;
    }
    match path(json, text, place) {
        path if path.is_empty() => first.to_owned(),
        path => format!("{path}: {first}"),
    }
}

/// The error for a response that does not parse.
pub(crate) fn not_json(method: &str, url: &str, error: &serde_json::Error) -> Error {
    let what = match error.is_eof() {
        true => "the response is truncated".to_owned(),
        false => format!("the response is not JSON: {error}"),
    };
    Error::bad_response(method, url, &what)
}

fn value_of(json: &RawValue, levels: usize) -> Value {
    let text = json.get();
    match text.as_bytes()[0] {
        b'"' => string(json).into(),
        b'{' | b'[' if levels == 0 => text.into(),
        b'[' => elements(json).into_iter().map(|value| value_of(value, levels - 1)).collect(),
        b'{' => {
            let value =
                |(name, value): (Cow<'_, str>, _)| (name.into(), value_of(value, levels - 1));
            members(json).into_iter().map(value).collect::<Map<_, _>>().into()
        }
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// Turns numbers into those that Rust has: `1.50` into `1.5`.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_u64() && !number.is_i64() => {
            if let Some(rounded) = number.as_f64().and_then(Number::from_f64) {
                *number = rounded;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(members) => members.values_mut().for_each(round),
        _ => {}
    }
}

/// The path to the value at a line and column, such as `data[3].name`; empty for the whole, and for line 0,
/// which is no place.
fn path(json: &RawValue, text: &str, (line, column): (usize, usize)) -> String {
    let start = text.split_inclusive('\n').take(line.wrapping_sub(1)).map(str::len).sum::<usize>();
    let at = text.as_ptr() as usize + start + column;
    let is_there = |(_, value): &(String, &RawValue)| {
        let bytes = value.get().as_bytes().as_ptr_range();
        (bytes.start as usize..=bytes.end as usize).contains(&at)
    };
    let mut path = String::new();
    let mut outer = json;
    loop {
        let members = members(outer).into_iter().map(|(name, value)| (format!(".{name}"), value));
        let elements =
            (0..).zip(elements(outer)).map(|(index, value)| (format!("[{index}]"), value));
        let Some((step, inner)) = members.chain(elements).find(is_there) else {
            return path.trim_start_matches('.').to_owned();
        };
        path.push_str(&step);
        outer = inner;
    }
}

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

fn elements(json: &RawValue) -> Vec<&RawValue> {
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

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        str::from_utf8(bytes).map_or_else(|_| self.visit_bytes(bytes), |text| Ok(Text(text.into())))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        let mut bytes = bytes.to_vec();
        if str::from_utf8(&bytes).is_err() {
            for at in 2..bytes.len() {
                // Half a pair takes three bytes, as U+FFFD does.
                if let [0xED, 0xA0..=0xBF, _] = bytes[at - 2..=at] {
                    bytes[at - 2..=at].copy_from_slice("\u{fffd}".as_bytes());
                }
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
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::HashMap;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
        super::read(text, "GET", "https://x/y")
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
            prop_assert_eq!(read::<Value>(&blank).unwrap(), read::<Value>(&shown).unwrap());
        }
    }

    #[test]
    fn half_a_surrogate_pair_does_not_take_the_rest_with_it() {
        let text = r#"{"a\udc00":["x\ud83d","\ud83d\ude00","\ud83d\ud83d\ude00","\\ud83d","\ud83dA"],"n":1.10}"#;
        let value: Value = read(text).unwrap();
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
            let value: Value = read(&text).unwrap();
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
        assert_eq!(indented(raw(text)), format!("{:#}", read::<Value>(text).unwrap()));
        // Details that a `Value` would not keep.
        let kept = "{\n  \"a\": 1E400,\n  \"a\": \"\\u0041\"\n}";
        assert_eq!(indented(raw(r#"{"a":1E400,"a":"\u0041"}"#)), kept);
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Text(String),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind")]
    enum Step {
        Wait { seconds: f64 },
        Run { id: Id },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Plan {
        id: Id,
        #[serde(default)]
        steps: Vec<Step>,
        #[serde(flatten)]
        cost: Cost,
        #[serde(flatten)]
        rest: HashMap<String, Value>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Cost {
        cost: f64,
    }

    #[test]
    fn types_may_be_flattened_untagged_and_tagged() {
        for (cost, expected) in [("1.5", 1.5), ("1.50", 1.5), ("2", 2.0), ("1E3", 1000.0)] {
            let text = format!(
                r#"{{"id":7,"name":"a \ud83d","cost":{cost},
                "steps":[{{"kind":"Wait","seconds":0.5}},{{"id":"01J","kind":"Run"}}]}}"#
            );
            let steps = vec![Step::Wait { seconds: 0.5 }, Step::Run { id: Id::Text("01J".into()) }];
            let rest = [("name".to_owned(), json!("a \u{fffd}"))].into();
            let plan = Plan { id: Id::Number(7), steps, cost: Cost { cost: expected }, rest };
            assert_eq!(read::<Plan>(&text).unwrap(), plan, "{cost}");
        }
        let ids: Vec<Id> = read(r#"[7,"7"]"#).unwrap();
        assert_eq!(ids, [Id::Number(7), Id::Text("7".into())]);
    }

    #[test]
    fn a_token_that_does_not_fit_is_not_shown() {
        let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", "a1B2".repeat(100), "c3D4".repeat(80));
        let text = format!("{{\"id\":\"{token}\"}}");
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its form counts")]
        struct Row {
            id: u64,
        }
        let of_response = super::read::<Row>(&text, "GET", "https://x").unwrap_err();
        let of_program = Error::from(serde_json::from_str::<Row>(&text).unwrap_err());
        for error in [of_response, of_program] {
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("expected u64") || shown.contains("not as expected"), "{shown}");
            assert!(
                !token
                    .as_bytes()
                    .windows(12)
                    .any(|part| { shown.contains(str::from_utf8(part).unwrap()) })
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_path() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its form counts")]
        struct Page {
            data: Vec<Owner>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its form counts")]
        struct Owner {
            id: u64,
            name: Option<String>,
            #[serde(default)]
            state: State,
        }
        #[derive(Debug, Default, Deserialize)]
        #[serde(try_from = "String")]
        struct State;
        impl TryFrom<String> for State {
            type Error = String;

            fn try_from(state: String) -> Result<Self, String> {
                Err(format!("not a state: {state}"))
            }
        }
        for (text, what) in [
            (
                r#"{"data":[{"id":1},{"id":"2"}]}"#,
                "data[1].id: invalid type: string \"2\", expected u64",
            ),
            (
                "{\"data\":[\n{\"id\":1},\n {\"id\":\n -2 }]}",
                "data[1].id: invalid value: integer `-2`, expected u64",
            ),
            (r#"{"data":[{"name":"x"}]}"#, "data[0]: missing field `id`"),
            (r#"{"data":{"id":1}}"#, "data: invalid type: map, expected a sequence"),
            (r#"{"rows":[]}"#, "missing field `data`"),
            (r#"{"data":[{"id":1,"state":"odd"}]}"#, "data[0]: not a state: odd"),
            (
                r#"{"data":[{"id":1,"name":[2]}]}"#,
                "data[0].name: invalid type: sequence, expected a string",
            ),
            (r#"{"x":"\ud83d","data":[{}]}"#, "data[0]: missing field `id`"),
            (r#"{"data":[{"name":"\ud83d"}]}"#, "missing field `id`"),
        ] {
            let error = read::<Page>(text).unwrap_err();
            let expected = format!("the response is not as expected: {what} (GET https://x/y)");
            assert_eq!(error.to_string(), expected);
            assert_eq!((error.kind(), error.exit_code()), (crate::ErrorKind::Response, 1));
        }
        let error = read::<State>(r#""odd""#).unwrap_err();
        assert!(error.to_string().contains("expected: not a state: odd (GET"), "{error}");
        let error = read::<Page>("<html>").unwrap_err();
        assert!(error.to_string().starts_with("the response is not JSON: "), "{error}");
        let error = read::<Page>("{").unwrap_err();
        assert!(error.to_string().starts_with("the response is truncated"), "{error}");
    }
}
