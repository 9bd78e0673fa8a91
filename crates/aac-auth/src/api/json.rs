//! The JSON of a response as a type, or an error that says what does not fit.

use crate::api::raw::{LEVELS, elements, members, string};
use crate::error::{Error, Result};
use crate::tokens::secret::redact;
use serde_core::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

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

/// An id of the platform: a number, or a string of its digits. Its specification allows both.
///
/// ```
/// use aac_auth::{id, json};
///
/// let run = json!({ "planSnapshotRunId": "701" });
/// assert_eq!(id(&run["planSnapshotRunId"]), Some(701));
/// assert_eq!(id(&json!(701)), Some(701));
/// assert_eq!(id(&json!("01JKBMKPZ94N0GG5F8N9HY2FJA")), None);
/// ```
pub fn id(value: &Value) -> Option<u64> {
    match value {
        // `parse` takes a sign.
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        value => value.as_u64(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::collections::HashMap;

    fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
        super::read(text, "GET", "https://x/y")
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
