//! Lists of the API, however many pages they have: `{"data": […], "count": n}`, asked for with
//! `limit` and `offset`.
//!
//! Pages are cut by position, so a row that is added or removed while a list is read moves those
//! behind it: rows may come twice, and are then given once. A server that sends one page for ever is
//! an error. The page after the one that the program works on is fetched in the meantime.

use crate::client::{Client, Gate};
use crate::error::{Error, Result};
use crate::request::{Preview, Request};
use crate::response::not_json;
use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use ureq::http::{HeaderMap, Method};

/// Rows on a page where the program does not say. More would be fewer calls, but a row of a user with
/// privileges is some 14 KB.
const PAGE_SIZE: u64 = 100;

/// The rows of a list, each as a JSON value; an error is the last item.
///
/// Holds two pages in memory, and some 20 bytes for each row that it has given.
///
/// ```no_run
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
/// for plan in client.rows("/plans/v1/plans").limit(10) {
///     println!("{}", plan?["name"]);
/// }
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Rows {
    client: Client,
    gate: Gate,
    /// What the thread that fetches will need; `None` once it runs.
    start: Option<Start>,
    pages: Option<Receiver<Result<Page>>>,
    page: Page,
    /// The next row of the page.
    next: usize,
    given: u64,
    noun: &'static str,
}

#[derive(Debug, Default)]
struct Start {
    path: String,
    headers: HeaderMap,
    invalid: Option<String>,
    page_size: u64,
    offset: u64,
    limit: Option<u64>,
}

/// A page, of which only the rows that are new are given.
#[derive(Debug, Default)]
struct Page {
    url: String,
    text: String,
    rows: Vec<Range<usize>>,
    /// How many rows there are to be given in all, as far as this page knows.
    total: Option<u64>,
}

impl Rows {
    pub(crate) fn new(
        client: Client,
        path: String,
        headers: HeaderMap,
        invalid: Option<String>,
    ) -> Self {
        let start = Start { path, headers, invalid, page_size: PAGE_SIZE, offset: 0, limit: None };
        Self {
            client,
            gate: Gate::open(),
            start: Some(start),
            pages: None,
            page: Page::default(),
            next: 0,
            given: 0,
            noun: "rows",
        }
    }

    /// So many rows at the most.
    #[must_use]
    pub fn limit(self, rows: u64) -> Self {
        self.with(|start| start.limit = Some(rows))
    }

    /// So many rows on each page, 100 if not said. A server may send fewer.
    #[must_use]
    pub fn page_size(self, rows: u64) -> Self {
        self.with(|start| start.page_size = rows.max(1))
    }

    /// Without so many rows at the beginning of the list.
    #[must_use]
    pub fn offset(self, rows: u64) -> Self {
        self.with(|start| start.offset = rows)
    }

    /// What the rows are, for the message "stopped after 200 of 1234 users".
    #[must_use]
    pub fn named(mut self, noun: &'static str) -> Self {
        self.noun = noun;
        self
    }

    /// The request for the first page, as it would be sent. Nothing is.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] if it cannot be sent.
    pub fn preview(mut self) -> Result<Preview> {
        let start = self.start.take().unwrap_or_default();
        let fetcher = self.fetcher(start)?;
        fetcher.request(fetcher.asked()).preview()
    }

    fn with(mut self, set: impl FnOnce(&mut Start)) -> Self {
        if let Some(start) = &mut self.start {
            set(start);
        }
        self
    }

    /// How many rows there are to be given in all, as far as the server has said.
    pub fn total(&self) -> Option<u64> {
        self.page.total
    }

    /// The rows of the page at hand that are still to be given, each as the JSON that the server
    /// wrote. None at the end of the list.
    ///
    /// # Errors
    ///
    /// As for [`next_text`](Self::next_text).
    pub fn page(&mut self) -> Result<impl Iterator<Item = &str>> {
        self.have_row()?;
        let (text, rows) = (&self.page.text, &self.page.rows[self.next..]);
        Ok(rows.iter().map(|row| &text[row.clone()]))
    }

    /// The next row as JSON text on one line, as the server wrote it.
    ///
    /// # Errors
    ///
    /// Every [`Error`]; [`Error::Stopped`] after the first row.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut plans = client.rows("/plans/v1/plans");
    /// while let Some(plan) = plans.next_text()? {
    ///     aac_auth::print_line(&plan)?;
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn next_text(&mut self) -> Result<Option<String>> {
        if !self.have_row()? {
            return Ok(None);
        }
        let row = &self.page.text[self.page.rows[self.next].clone()];
        self.next += 1;
        self.given += 1;
        if row.contains(|character: char| character.is_ascii_control()) {
            // Indented by the server.
            return self.parse(row).map(|value| Some(value.to_string()));
        }
        Ok(Some(row.to_owned()))
    }

    /// Whether the page at hand is used up, so that the next row may have to be waited for: the moment
    /// to hand on what has been printed.
    pub fn is_page_done(&self) -> bool {
        self.next == self.page.rows.len()
    }

    /// A row as a value. What fails is too deep.
    fn parse(&self, row: &str) -> Result<Value> {
        serde_json::from_str(row)
            .map_err(|error| not_json(Method::GET.to_string(), self.page.url.clone(), &error))
    }

    /// Waits for the next page if this one is used up; false at the end of the list.
    fn have_row(&mut self) -> Result<bool> {
        while self.is_page_done() {
            if let Some(start) = self.start.take() {
                self.pages = Some(self.start_fetching(start)?);
            }
            let page = self.pages.as_ref().and_then(|pages| pages.recv().ok());
            match page {
                None => return Ok(false),
                Some(Ok(page)) => (self.page, self.next) = (page, 0),
                Some(Err(source)) => {
                    self.pages = None;
                    return Err(match self.given {
                        0 => source,
                        after => Error::Stopped {
                            after,
                            total: self.page.total,
                            noun: self.noun,
                            source: Box::new(source),
                        },
                    });
                }
            }
        }
        Ok(true)
    }

    fn start_fetching(&self, start: Start) -> Result<Receiver<Result<Page>>> {
        let mut fetcher = self.fetcher(start)?;
        fetcher.path = self.client.fill_in(&fetcher.path)?;
        // No room in the channel: while the program works on one page, one more is fetched, and that
        // is all.
        let (sender, receiver) = sync_channel(0);
        thread::Builder::new()
            .name("pages".to_owned())
            .spawn(move || fetcher.run(&sender))
            .map_err(|error| Error::Request {
                what: format!("no thread could be started: {error}"),
            })?;
        Ok(receiver)
    }

    fn fetcher(&self, start: Start) -> Result<Fetcher> {
        let query = start.path.split_once('?').map_or("", |(_, query)| query);
        let is_taken =
            |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
        let invalid = start.invalid.or_else(|| {
            let name = ["limit", "offset"].into_iter().find(|name| is_taken(name))?;
            Some(format!("the query has a {name}, by which the pages of a list are asked for"))
        });
        if let Some(what) = invalid {
            return Err(Error::Request { what });
        }
        Ok(Fetcher {
            client: self.client.clone(),
            gate: self.gate.clone(),
            path: start.path,
            headers: start.headers,
            page_size: start.page_size,
            start: start.offset,
            offset: start.offset,
            limit: start.limit,
            seen: Seen::default(),
            noun: self.noun,
        })
    }
}

impl Iterator for Rows {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_text().transpose().map(|text| self.parse(&text?))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // The program may end now, with a page on its way; not with tokens on their way.
        self.gate.close();
    }
}

/// The thread that fetches.
struct Fetcher {
    client: Client,
    gate: Gate,
    path: String,
    headers: HeaderMap,
    page_size: u64,
    start: u64,
    offset: u64,
    limit: Option<u64>,
    seen: Seen,
    noun: &'static str,
}

impl Fetcher {
    fn run(mut self, pages: &SyncSender<Result<Page>>) {
        let mut is_last = self.limit == Some(0);
        while !is_last {
            let page = self.fetch();
            let page = page.map(|(page, last)| {
                is_last = last;
                page
            });
            is_last |= page.is_err();
            // Nobody waits for it any more.
            is_last |= pages.send(page).is_err();
        }
    }

    fn request(&self, limit: u64) -> Request<'_> {
        self.client
            .request(Method::GET, &self.path)
            .with_headers(&self.headers)
            .query("limit", &limit.to_string())
            .query("offset", &self.offset.to_string())
            .query("includeCount", "true")
    }

    /// How many rows the next page is to have.
    fn asked(&self) -> u64 {
        let left = self.limit.map(|limit| limit - self.seen.rows);
        left.map_or(self.page_size, |left| left.min(self.page_size))
    }

    /// The next page, and whether it is the last.
    fn fetch(&mut self) -> Result<(Page, bool)> {
        let response = self.request(self.asked()).behind(&self.gate).send()?;
        let (method, url) = (Method::GET.to_string(), response.url().to_owned());
        let text = response.text()?;
        let answer: List<'_> = serde_json::from_str(&text)
            .map_err(|error| not_json(method.clone(), url.clone(), &error))?;
        let wrong = |what: String| Error::Answer { method: method.clone(), url: url.clone(), what };
        let data = answer.data.ok_or_else(|| {
            wrong("the answer is no list: it has no \"data\" with rows in it".to_owned())
        })?;

        let received = data.len() as u64;
        let mut rows = Vec::new();
        for row in data {
            if self.limit == Some(self.seen.rows) {
                break;
            }
            if self.seen.is_new(row.get()) {
                // Where the row stands in the text that it is borrowed from.
                let from = row.get().as_ptr() as usize - text.as_ptr() as usize;
                rows.push(from..from + row.get().len());
            }
        }
        if received > 0 && self.seen.has_gone_nowhere() {
            return Err(wrong(format!(
                "the server sends {} again that it has sent before, whatever the offset",
                self.noun
            )));
        }
        self.offset += received;
        let total = answer.count.map(|count| count.saturating_sub(self.start));
        let is_last = received == 0
            || total.is_some_and(|total| self.seen.rows >= total)
            || self.limit == Some(self.seen.rows);
        if received == 0
            && let Some(total) = total.filter(|total| *total > self.seen.rows)
        {
            self.client.notices().warn(format_args!(
                "the server counts {total} {}, and has sent {}",
                self.noun, self.seen.rows
            ));
        }
        let total = total.map(|total| self.limit.map_or(total, |limit| total.min(limit)));
        Ok((Page { url, text, rows, total }, is_last))
    }
}

/// The rows that have been given.
#[derive(Default)]
struct Seen {
    ids: HashSet<u128>,
    rows: u64,
    page: DefaultHasher,
    last_page: Option<u64>,
    has_new: bool,
    had_new: bool,
}

impl Seen {
    /// Whether the row is one that has not come yet. One without an id always is.
    fn is_new(&mut self, row: &str) -> bool {
        let id = id_of(row);
        match id {
            Some(id) => id.hash(&mut self.page),
            None => row.hash(&mut self.page),
        }
        let is_new = id.is_none_or(|id| self.ids.insert(id));
        self.has_new |= is_new;
        self.rows += u64::from(is_new);
        is_new
    }

    /// At the end of a page: whether it is the one before once more, or the second in a row without
    /// anything new. One may happen where rows were added in the meantime.
    fn has_gone_nowhere(&mut self) -> bool {
        let page = Some(mem::take(&mut self.page).finish());
        let had_new = self.last_page.is_none() || self.had_new;
        self.had_new = mem::take(&mut self.has_new);
        let is_same = mem::replace(&mut self.last_page, page) == page;
        is_same || !(self.had_new || had_new)
    }
}

/// A number for the row's `id`; none where it has none.
fn id_of(row: &str) -> Option<u128> {
    let Id(id) = serde_json::from_str(row).ok()?;
    let id = id?.get();
    // A whole number is its own; of anything else, as much of a hash as a row is ever mixed up by.
    Some(id.parse::<u64>().map_or_else(
        |_| {
            let digest = Sha256::digest(id.as_bytes());
            digest[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
        },
        u128::from,
    ))
}

/// A page of a list, as little of it parsed as is needed.
#[derive(Default)]
struct List<'text> {
    data: Option<Vec<&'text RawValue>>,
    count: Option<u64>,
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<'de>, A::Error> {
                let mut list = List::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "data" => list.data = Some(map.next_value()?),
                        "count" => list.count = map.next_value::<Value>()?.as_u64(),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(list)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The `id` of a row, unless it is null.
struct Id<'text>(Option<&'text RawValue>);

impl<'de> Deserialize<'de> for Id<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Id<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id<'de>, A::Error> {
                let mut id = None;
                while let Some(is_id) = map.next_key_seed(IsId)? {
                    match is_id {
                        true => id = map.next_value()?,
                        false => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Id(id))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Looks at a name without keeping it.
struct IsId;

impl<'de> DeserializeSeed<'de> for IsId {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsId {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == "id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_its_id() {
        assert_eq!(id_of(r#"{"id":7,"x":[{"id":8}]}"#), Some(7));
        assert_eq!(id_of(r#"{"x":{"id":8},"id":18446744073709551615}"#), Some(u64::MAX.into()));
        assert!(id_of(r#"{"id":"7"}"#) > Some(u64::MAX.into()));
        assert_ne!(id_of(r#"{"id":"a"}"#), id_of(r#"{"id":"b"}"#));
        for row in [r#"{"id":null}"#, "{}", "[1]", "7", "null", r#""id""#] {
            assert_eq!(id_of(row), None, "{row}");
        }
    }

    #[test]
    fn a_page_that_brings_nothing_may_come_once_if_it_is_another() {
        let mut seen = Seen::default();
        let mut page = |ids: &[u32]| {
            for id in ids {
                seen.is_new(&format!("{{\"id\":{id}}}"));
            }
            seen.has_gone_nowhere()
        };
        assert!(!page(&[1, 2]));
        assert!(!page(&[2, 3]));
        assert!(!page(&[3]));
        assert!(!page(&[3, 4]));
        assert!(!page(&[4]));
        assert!(page(&[3]));
        assert!(!page(&[5]));
        assert!(page(&[5]));
    }

    #[test]
    fn what_a_list_may_look_like() {
        let list = |text| {
            serde_json::from_str::<List<'_>>(text)
                .map(|list| (list.data.map(|data| data.len()), list.count))
        };
        assert_eq!(list(r#"{"data":[]}"#).unwrap(), (Some(0), None));
        assert_eq!(
            list(r#" {"x":{"data":[1]},"count":3,"data":[ {}, 1 ]} "#).unwrap(),
            (Some(2), Some(3))
        );
        assert_eq!(list(r#"{"count":"3"}"#).unwrap(), (None, None));
        for other in ["[]", "{", r#"{"data":{}}"#, r#"{"data":[}"#, "null", r#"{"data":null}"#] {
            assert!(list(other).is_err(), "{other}");
        }
    }
}
