//! Reads a list from a body: `{"data": […], "count": n}`, an object with one array of another name, or an
//! array. Whatever else is in the object is skipped unread.

use crate::api::json;
use crate::api::raw::Text;
use crate::error::{Error, Result};
use serde_core::Deserialize;
use serde_core::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// How many member names a message shows.
const SHOWN_NAMES: usize = 10;

/// What to do about a response that is no list, or is not cut into pages as ours are.
pub(crate) const NO_LIST: &str =
    "Call this endpoint without asking for pages (raw_call: without --paginate).";

/// A list, or a page of one.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) rows: Vec<Box<RawValue>>,
    /// The member with the rows; `None` if the body is the array itself.
    pub(crate) member: Option<String>,
    /// The total number of rows, if `count` is a number.
    pub(crate) count: Option<u64>,
}

impl List {
    /// Finds the list in a body. An object with an `id` is a single item, not a page, even if it has one
    /// array.
    pub(crate) fn read(text: &str, url: &str) -> Result<Self> {
        let what = match Self::find(text) {
            Ok(Ok(list)) => return Ok(list),
            Ok(Err(what)) => what,
            Err(error) if error.is_data() => "its \"data\" is no array".to_owned(),
            Err(error) => return Err(json::not_json("GET", url, &error)),
        };
        Err(Error::no_list(url, &format!("the response is not a list: {what}"), NO_LIST))
    }

    /// The list, or what the body is instead.
    fn find(text: &str) -> Result<Result<Self, String>, serde_json::Error> {
        let mut source = serde_json::Deserializer::from_str(text);
        let list = match text.trim_ascii_start().as_bytes().first() {
            Some(b'[') => Ok(Self { rows: Vec::deserialize(&mut source)?, ..Self::default() }),
            Some(b'{') => source.deserialize_map(ObjectVisitor)?.list()?,
            _ => {
                IgnoredAny::deserialize(&mut source)?;
                Err("it is neither an object nor an array".to_owned())
            }
        };
        source.end()?;
        Ok(list)
    }
}

/// An object that should have a list in it.
#[derive(Default)]
struct Object<'text> {
    data: Option<Vec<Box<RawValue>>>,
    count: Option<u64>,
    arrays: Vec<(Cow<'text, str>, &'text RawValue)>,
    others: Vec<Cow<'text, str>>,
}

impl Object<'_> {
    fn list(self) -> Result<Result<List, String>, serde_json::Error> {
        let Self { data, count, arrays, others } = self;
        let (name, rows) = match (data, &arrays[..]) {
            (Some(rows), _) => ("data".to_owned(), rows),
            _ if others.iter().any(|name| name == "id") => {
                return Ok(Err("it is one object, which has an \"id\"".to_owned()));
            }
            (None, [(name, array)]) => (name.to_string(), serde_json::from_str(array.get())?),
            (None, []) if others.is_empty() => return Ok(Err("it is an empty object".to_owned())),
            (None, []) => {
                return Ok(Err(format!("it has no array, only {}", names(others.iter()))));
            }
            (None, arrays) => {
                let (count, names) = (arrays.len(), names(arrays.iter().map(|(name, _)| name)));
                let what = format!("it has {count} arrays, none of them named \"data\": {names}");
                return Ok(Err(what));
            }
        };
        Ok(Ok(List { rows, member: Some(name), count }))
    }
}

fn names<'a>(names: impl Iterator<Item = &'a Cow<'a, str>>) -> String {
    let names: Vec<_> = names.take(SHOWN_NAMES).map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(Text(name)) = map.next_key()? {
            if name == "data" {
                // The last one counts.
                object.data = Some(map.next_value()?);
                continue;
            }
            let value: &RawValue = map.next_value()?;
            if name == "count" {
                object.count = value.get().parse().ok();
            }
            match value.get().starts_with('[') {
                true => object.arrays.push((name, value)),
                false => object.others.push(name),
            }
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://x/y";

    #[test]
    fn what_a_list_may_look_like() {
        for (text, rows, count) in [
            (r#"{"data":[]}"#, 0, None),
            (r#" {"x":{"data":[1]},"count":3,"data":[ {}, 1 ]} "#, 2, Some(3)),
            (r#"{"data":[1],"errors":[],"data":[1,2],"count":9,"count":2}"#, 2, Some(2)),
            (r#"{"groups":[1,2],"count":2}"#, 2, Some(2)),
            ("[]", 0, None),
            ("[1,[2],{}]", 3, None),
            // Only a number counts, and only under this name.
            (r#"{"data":[1],"count":{"flows":7}}"#, 1, None),
            (r#"{"data":[1],"count":"7"}"#, 1, None),
            (r#"{"data":[1],"count":-1}"#, 1, None),
            (r#"{"data":[1],"total":1234,"nextPageToken":"a"}"#, 1, None),
            // What is not known is not decoded.
            (r#"{"\ud83d":"\ud83d","n":1E400,"data":["\udc00"],"d\u0061ta":[1,2]}"#, 2, None),
        ] {
            let list = List::read(text, URL).unwrap();
            assert_eq!((list.rows.len(), list.count), (rows, count), "{text}");
        }
        let deep =
            format!("{{\"x\":{0},\"data\":[{0}]}}", "[".repeat(10_000) + &"]".repeat(10_000));
        assert_eq!(List::read(&deep, URL).unwrap().rows[0].get().len(), 20_000);
    }

    #[test]
    fn what_is_no_list_says_what_it_is() {
        for (text, expected) in [
            ("null", "it is neither an object nor an array"),
            ("7", "it is neither an object nor an array"),
            ("{}", "it is an empty object"),
            (r#"{"data":{}}"#, "its \"data\" is no array"),
            (r#"{"data":7}"#, "its \"data\" is no array"),
            (r#"{"data":null,"groups":[]}"#, "its \"data\" is no array"),
            (r#"{"id":1,"tags":[]}"#, "it is one object, which has an \"id\""),
            (r#"{"count":3,"x\n":1}"#, "it has no array, only \"count\", \"x\\n\""),
            (
                r#"{"groups":[],"count":1,"flows":[]}"#,
                "it has 2 arrays, none of them named \"data\": \"groups\", \"flows\"",
            ),
        ] {
            let error = List::read(text, URL).unwrap_err().to_string();
            assert_eq!(error, format!("the response is not a list: {expected} (GET {URL})"));
        }
        for text in
            ["", "{", r#"{"data":[}"#, r#"{"data":[1,]}"#, r#"{"data":[]}}"#, "[1", "[1]]", "nul"]
        {
            let error = List::read(text, URL).unwrap_err().to_string();
            let is_told = error.contains(" is not JSON: ") || error.contains(" is truncated");
            assert!(is_told, "{text}: {error}");
        }
    }
}
