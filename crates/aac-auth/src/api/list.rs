//! Reads a list from a body: its rows, how many there are in all, whether there are more.
//!
//! The platform's own form is `{"data": […], "count": n}`. Other services choose their own names for the
//! list, the total and the next page; the members beside the rows are matched against the usual names.

use crate::api::json_text::{JsonText, Malformed, Scanner};
use crate::error::display::one_line;
use std::borrow::Cow;
use std::ops::Range;

/// Names for the total number of rows, normalized by [`plain`].
const TOTALS: [&str; 12] = [
    "count",
    "total",
    "totalcount",
    "totalelements",
    "totalitems",
    "totalrecords",
    "totalresults",
    "totalrows",
    "totalsize",
    "recordcount",
    "resultcount",
    "rowcount",
];

/// Names for members that are only present, or only true, if there are more rows.
const MORE: [&str; 23] = [
    "next",
    "nextcursor",
    "nexthref",
    "nextkey",
    "nextlink",
    "nextmarker",
    "nextoffset",
    "nextpage",
    "nextpagelink",
    "nextpagetoken",
    "nextpageurl",
    "nexttoken",
    "nexturi",
    "nexturl",
    "odatanextlink",
    "hasmore",
    "hasnext",
    "hasnextpage",
    "more",
    "moreavailable",
    "istruncated",
    "truncated",
    "continuationtoken",
];

/// Names for an object that may contain such members.
const HOLDERS: [&str; 8] =
    ["links", "meta", "metadata", "page", "pageinfo", "pagination", "paging", "pages"];

/// How many member names a message shows.
const SHOWN_NAMES: usize = 10;

/// A list, or a page of one.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// The ranges of the rows in the text.
    pub(crate) rows: Vec<Range<usize>>,
    /// The member with the rows; `None` if the body is the array itself.
    pub(crate) member: Option<String>,
    pub(crate) announced: Announced,
}

/// The members beside the rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announced {
    /// The total number of rows, and the member with it; the largest if there are several.
    pub(crate) total: Option<(u64, String)>,
    /// The member that says there are more.
    pub(crate) more: Option<String>,
}

/// Why a body is not a list.
#[derive(Debug)]
pub(crate) enum NoList {
    Malformed,
    Other(String),
}

impl From<Malformed> for NoList {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl List {
    /// Finds the list in a body: the body itself, its `data`, or its only array. An object with an `id`
    /// is a single item, not a page, even if it has one array.
    pub(crate) fn read(text: &str) -> Result<Self, NoList> {
        let mut scanner = Scanner::new(text);
        let mut list = Self::default();
        match scanner.peek() {
            Some(b'[') => list.rows = rows(&mut scanner)?,
            Some(b'{') => list.read_object(&mut scanner)?,
            _ => {
                scanner.value()?;
                scanner.end()?;
                return Err(NoList::Other("it is neither an object nor an array".to_owned()));
            }
        }
        scanner.end()?;
        Ok(list)
    }

    fn read_object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), NoList> {
        let mut lists = Vec::new();
        let mut others = Vec::new();
        scanner.enter(b'{');
        while scanner.advance(b'}')? {
            let name = JsonText::trusted(scanner.name()?).string().unwrap_or_default();
            match scanner.peek() {
                Some(b'[') => lists.push((name, rows(scanner)?)),
                _ => {
                    let value = scanner.value_text()?;
                    self.announced.note(&name, value);
                    others.push(name);
                }
            }
        }
        let is_data = |(name, _): &(Cow<'_, str>, _)| name == "data";
        if let Some(data) = lists.iter().rposition(is_data) {
            lists.swap(0, data);
        } else if others.iter().any(|name| name == "data") {
            return Err(NoList::Other("its \"data\" is no array".to_owned()));
        } else if others.iter().any(|name| name == "id") {
            return Err(NoList::Other("it is one object, which has an \"id\"".to_owned()));
        } else if lists.len() != 1 {
            let names = |names: &mut dyn Iterator<Item = &Cow<'_, str>>| {
                let names: Vec<_> =
                    names.take(SHOWN_NAMES).map(|name| format!("\"{name}\"")).collect();
                one_line(&names.join(", "))
            };
            return Err(NoList::Other(match (lists.len(), others.len()) {
                (0, 0) => "it is an empty object".to_owned(),
                (0, _) => format!("it has no array, only {}", names(&mut others.iter())),
                (count, _) => {
                    let lists = names(&mut lists.iter().map(|(name, _)| name));
                    format!("it has {count} arrays, none of them named \"data\": {lists}")
                }
            }));
        }
        let (name, rows) = lists.swap_remove(0);
        self.member = Some(name.into_owned());
        self.rows = rows;
        Ok(())
    }
}

impl Announced {
    /// Records a member beside the rows.
    fn note(&mut self, name: &str, value: JsonText<'_>) {
        let plain_name = plain(name);
        if HOLDERS.contains(&&*plain_name) {
            for (inner, value) in value.members() {
                self.note_plain(&plain(&inner), || format!("{name}.{inner}"), value);
            }
        }
        self.note_plain(&plain_name, || name.to_owned(), value);
    }

    fn note_plain(&mut self, plain_name: &str, name: impl Fn() -> String, value: JsonText<'_>) {
        if TOTALS.contains(&plain_name)
            && let Ok(rows) = value.trim_matches('"').parse()
            && self.total.as_ref().is_none_or(|(most, _)| rows > *most)
        {
            self.total = Some((rows, name()));
        }
        let is_nothing = ["null", "false", "\"false\"", "\"\"", "0", "-1"].contains(&&*value)
            || (value.starts_with('{') && value.members().next().is_none());
        if MORE.contains(&plain_name) && !is_nothing {
            self.more = Some(name());
        }
    }
}

/// The ranges of the elements of the next array.
fn rows(scanner: &mut Scanner<'_>) -> Result<Vec<Range<usize>>, Malformed> {
    let mut rows = Vec::new();
    scanner.enter(b'[');
    while scanner.advance(b']')? {
        rows.push(scanner.value()?);
    }
    Ok(rows)
}

/// `total_count` and `totalCount` as `totalcount`, `@odata.nextLink` as `odatanextlink`.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (usize, Option<u64>, bool) {
        let list = List::read(text).unwrap();
        let Announced { total, more } = list.announced;
        (list.rows.len(), total.map(|(total, _)| total), more.is_some())
    }

    #[test]
    fn what_a_list_may_look_like() {
        for (text, expected) in [
            (r#"{"data":[]}"#, (0, None, false)),
            (r#" {"x":{"data":[1]},"count":3,"data":[ {}, 1 ]} "#, (2, Some(3), false)),
            (r#"{"errors":[],"data":[1]}"#, (1, None, false)),
            (r#"{"groups":[1,2],"count":2}"#, (2, Some(2), false)),
            ("[]", (0, None, false)),
            ("[1,[2],{}]", (3, None, false)),
            (r#"{"data":[1],"count":1,"total":"1234"}"#, (1, Some(1234), false)),
            (r#"{"data":[1],"total_count":-1}"#, (1, None, false)),
            (r#"{"data":[1],"meta":{"totalCount":7,"data":[2]}}"#, (1, Some(7), false)),
            (r#"{"data":[1],"next":null,"hasMore":false}"#, (1, None, false)),
            (r#"{"data":[1],"nextPageToken":""}"#, (1, None, false)),
            (r#"{"data":[1],"nextPageToken":"a"}"#, (1, None, true)),
            (r#"{"data":[1],"@odata.nextLink":"https://x"}"#, (1, None, true)),
            (r#"{"data":[1],"has_more":true}"#, (1, None, true)),
            (r#"{"data":[1],"_links":{"self":{},"next":{"href":"/x"}}}"#, (1, None, true)),
            (r#"{"data":[1],"links":{"next":null}}"#, (1, None, false)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_says_what_it_is() {
        for (text, expected) in [
            ("null", "it is neither an object nor an array"),
            ("7", "it is neither an object nor an array"),
            ("{}", "it is an empty object"),
            (r#"{"data":{}}"#, "its \"data\" is no array"),
            (r#"{"data":null,"groups":[]}"#, "its \"data\" is no array"),
            (r#"{"id":1,"tags":[]}"#, "it is one object, which has an \"id\""),
            (r#"{"count":3,"x\n":1}"#, "it has no array, only \"count\", \"x\\n\""),
            (
                r#"{"groups":[],"count":1,"flows":[]}"#,
                "it has 2 arrays, none of them named \"data\": \"groups\", \"flows\"",
            ),
        ] {
            match List::read(text) {
                Err(NoList::Other(what)) => assert_eq!(what, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in
            ["", "{", r#"{"data":[}"#, r#"{"data":[1,]}"#, r#"{"data":[]}}"#, "[1", "[1]]", "nul"]
        {
            assert!(matches!(List::read(text), Err(NoList::Malformed)), "{text}");
        }
    }
}
