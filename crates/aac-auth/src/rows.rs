//! Lists of the API, however many pages they have: `{"data": […], "count": n}`, asked for with
//! `limit` and `offset`.
//!
//! Pages are cut by position, so a row that is added or removed while a list is read moves those
//! behind it: rows may come twice, and are then given once. A server that sends one page for ever is
//! an error. The page after the one that the program works on is fetched in the meantime.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::request::{Preview, Request};
use crate::response::not_json;
use serde_core::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor,
};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use ureq::http::{HeaderMap, Method};

/// Rows on a page where the program does not say. More would be fewer calls, but a row of a user with
/// privileges is some 14 KB.
const PAGE_SIZE: u64 = 100;

/// The rows of a list, each as a JSON value; an error is the last item.
///
/// Holds two pages in memory, and 20 to 40 bytes for each row that it has given.
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
    query: Query,
    page_size: u64,
    start: u64,
    limit: Option<u64>,
    noun: &'static str,
    fetching: Option<Fetching>,
    page: Page,
    /// The next row of the page.
    next: usize,
    given: u64,
    seen: Seen,
    /// Where the next page begins in the list.
    offset: u64,
    /// How many rows the list has, as far as the server has said.
    count: Option<u64>,
    is_done: bool,
}

/// What each page is asked for with.
#[derive(Clone, Debug)]
struct Query {
    client: Client,
    gate: Gate,
    path: String,
    headers: HeaderMap,
    invalid: Option<String>,
}

/// A page, of which only the rows that are new are given.
#[derive(Debug, Default)]
struct Page {
    url: String,
    text: String,
    rows: Vec<Range<usize>>,
    /// How many rows the server sent.
    received: u64,
}

/// The thread that fetches pages, one at a time.
#[derive(Debug)]
struct Fetching {
    orders: Sender<Order>,
    pages: Receiver<(Order, Result<Page>)>,
    /// The offset of the page that is on its way.
    ordered: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    offset: u64,
    limit: u64,
}

impl Rows {
    pub(crate) fn new(
        client: Client,
        path: String,
        headers: HeaderMap,
        invalid: Option<String>,
    ) -> Self {
        Self {
            query: Query { client, gate: Gate::open(), path, headers, invalid },
            page_size: PAGE_SIZE,
            start: 0,
            limit: None,
            noun: "rows",
            fetching: None,
            page: Page::default(),
            next: 0,
            given: 0,
            seen: Seen::default(),
            offset: 0,
            count: None,
            is_done: false,
        }
    }

    /// So many rows at the most.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// So many rows on each page, 100 if not said. A server may send fewer.
    #[must_use]
    pub fn page_size(mut self, rows: u64) -> Self {
        self.page_size = rows.max(1);
        self
    }

    /// Without so many rows at the beginning of the list.
    #[must_use]
    pub fn offset(mut self, rows: u64) -> Self {
        (self.start, self.offset) = (rows, rows);
        self
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
    pub fn preview(self) -> Result<Preview> {
        self.query.check()?;
        self.query.request(self.order(self.offset, 0)).preview()
    }

    /// How many rows there are to be given in all, as far as the server has said.
    pub fn total(&self) -> Option<u64> {
        let total = self.count?.saturating_sub(self.start);
        Some(self.limit.map_or(total, |limit| total.min(limit)))
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

    /// Whether the page at hand is used up, so that the next row may have to be waited for: the moment
    /// to hand on what has been printed.
    pub fn is_page_done(&self) -> bool {
        self.next == self.page.rows.len()
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
        if row.bytes().any(|byte| byte.is_ascii_control()) {
            // Indented by the server.
            return self.parse(row).map(|value| Some(value.to_string()));
        }
        Ok(Some(row.to_owned()))
    }

    /// A row as a value. What fails is nested too deeply.
    fn parse(&self, row: &str) -> Result<Value> {
        serde_json::from_str(row)
            .map_err(|error| not_json(Method::GET.to_string(), self.page.url.clone(), &error))
    }

    /// Turns the page if this one is used up; false at the end of the list.
    fn have_row(&mut self) -> Result<bool> {
        while self.is_page_done() {
            if self.is_done || self.limit == Some(self.seen.rows) {
                return Ok(false);
            }
            if let Err(source) = self.turn_page() {
                self.is_done = true;
                return Err(match self.given {
                    0 => source,
                    after => Error::Stopped {
                        after,
                        total: self.total(),
                        noun: self.noun,
                        source: Box::new(source),
                    },
                });
            }
        }
        Ok(true)
    }

    fn turn_page(&mut self) -> Result<()> {
        // The old page goes before the new one comes.
        let step = mem::take(&mut self.page).received;
        self.next = 0;
        let mut page = self.fetch(step)?;
        let list = page.list()?;
        let mut rows = Vec::with_capacity(list.data.len());
        for row in &list.data {
            if self.limit == Some(self.seen.rows) {
                break;
            }
            if self.seen.is_new(row.get()) {
                // Where the row stands in the text that it is borrowed from.
                let from = row.get().as_ptr() as usize - page.text.as_ptr() as usize;
                rows.push(from..from + row.get().len());
            }
        }
        let old_count = mem::replace(&mut self.count, list.count);
        page.received = list.data.len() as u64;
        page.rows = rows;
        if page.received > 0 && self.seen.has_gone_nowhere() {
            // A list that is not cut into pages is the same whatever the offset. Where it has no count
            // and fewer rows than were asked for, that is all there is.
            self.is_done = self.count.is_none() && page.received < self.page_size;
            return match self.is_done {
                true => Ok(()),
                false => Err(page.wrong(format!(
                    "the server sends {} again that it has sent before, whatever the offset",
                    self.noun
                ))),
            };
        }
        if self.count.is_some() && self.count < old_count {
            self.query.client.notices().warn(format_args!(
                "the list became shorter while it was read; some {} may be missing",
                self.noun
            ));
        }
        self.offset = self.offset.saturating_add(page.received);
        self.is_done = page.received == 0 || self.count.is_some_and(|count| self.offset >= count);
        let all = self.count.map(|count| count.saturating_sub(self.start));
        if self.is_done
            && self.limit != Some(self.seen.rows)
            && let Some(all) = all.filter(|all| *all > self.seen.rows)
        {
            self.query.client.notices().warn(format_args!(
                "the server counts {all} {}, and has sent {}",
                self.noun, self.seen.rows
            ));
        }
        self.page = page;
        // While the program works on this page, the next one is fetched, and that is all.
        let next = self.order(self.offset, 0);
        if let Some(fetching) = &mut self.fetching
            && !self.is_done
            && next.limit > 0
        {
            fetching.order(next);
        }
        Ok(())
    }

    /// The page at the offset. The one that is likely to come after it is ordered before this one is
    /// looked into, so that the server does not wait for this program. `step` is how many rows the page
    /// before had: a server may send fewer than it is asked for.
    fn fetch(&mut self, step: u64) -> Result<Page> {
        let this = self.order(self.offset, 0);
        let next = self.order(self.offset.saturating_add(step), step);
        let is_likely =
            step > 0 && next.limit > 0 && self.count.is_some_and(|count| next.offset < count);
        let fetching = match &mut self.fetching {
            Some(fetching) => fetching,
            fetching => fetching.insert(self.query.start()?),
        };
        fetching.order(this);
        let page = fetching.wait_for(this.offset)?;
        if is_likely {
            fetching.order(next);
        }
        Ok(page)
    }

    /// An order for the page at an offset, when so many more rows will have been given.
    fn order(&self, offset: u64, more: u64) -> Order {
        let left =
            self.limit.map(|limit| limit.saturating_sub(self.seen.rows.saturating_add(more)));
        Order { offset, limit: left.map_or(self.page_size, |left| left.min(self.page_size)) }
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
        self.query.gate.close();
    }
}

impl Query {
    fn check(&self) -> Result<()> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        let is_taken =
            |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
        let invalid = self.invalid.clone().or_else(|| {
            let name = ["limit", "offset"].into_iter().find(|name| is_taken(name))?;
            Some(format!("the query has a {name}, by which the pages of a list are asked for"))
        });
        invalid.map_or(Ok(()), |what| Err(Error::Request { what }))
    }

    fn start(&self) -> Result<Fetching> {
        self.check()?;
        let query = Self { path: self.client.fill_in(&self.path)?, ..self.clone() };
        let (orders, ordered) = channel();
        let (sender, pages) = channel();
        let fetch = move || {
            // Until nobody orders any more, or waits for what comes.
            while let Ok(order) = ordered.recv()
                && sender.send((order, query.fetch(order))).is_ok()
            {}
        };
        let thread = thread::Builder::new().name("pages".to_owned()).spawn(fetch);
        thread.map_err(Error::Thread)?;
        Ok(Fetching { orders, pages, ordered: None })
    }

    fn request(&self, order: Order) -> Request<'_> {
        self.client
            .request(Method::GET, &self.path)
            .with_headers(&self.headers)
            .query("limit", &order.limit.to_string())
            .query("offset", &order.offset.to_string())
            .query("includeCount", "true")
    }

    fn fetch(&self, order: Order) -> Result<Page> {
        let (url, text) = self.request(order).behind(&self.gate).text()?;
        Ok(Page { url, text, ..Page::default() })
    }
}

impl Fetching {
    /// Has the page fetched, if it is not on its way already.
    fn order(&mut self, order: Order) {
        if self.ordered != Some(order.offset) {
            // A thread that is gone is noticed by who waits for the page.
            let _ = self.orders.send(order);
            self.ordered = Some(order.offset);
        }
    }

    /// The page at the offset. One that was ordered on a wrong guess is passed over.
    fn wait_for(&mut self, offset: u64) -> Result<Page> {
        loop {
            let ended = |_| Error::Thread(io::Error::other("it has ended"));
            let (order, page) = self.pages.recv().map_err(ended)?;
            if order.offset == offset {
                self.ordered = None;
                return page;
            }
        }
    }
}

impl Page {
    fn list(&self) -> Result<List<'_>> {
        serde_json::from_str(&self.text).map_err(|error| match error.is_data() {
            true => Error::NoList { url: self.url.clone(), what: error.to_string() },
            false => not_json(Method::GET.to_string(), self.url.clone(), &error),
        })
    }

    fn wrong(&self, what: String) -> Error {
        Error::Answer { method: Method::GET.to_string(), url: self.url.clone(), what }
    }
}

/// The rows that have been given.
#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<u128>,
    rows: u64,
    page: DefaultHasher,
    last_row: Option<u64>,
    /// Whether the page has rows that differ: if not, one like it may well come next.
    is_mixed: bool,
    last_page: Option<u64>,
    has_new: bool,
    had_new: bool,
}

impl Seen {
    /// Whether the row is one that has not come yet. One without an id always is.
    fn is_new(&mut self, row: &str) -> bool {
        let id = id_of(row);
        let mut hasher = DefaultHasher::new();
        match id {
            Some(id) => id.hash(&mut hasher),
            None => row.hash(&mut hasher),
        }
        let hash = hasher.finish();
        hash.hash(&mut self.page);
        let last_row = self.last_row.replace(hash);
        self.is_mixed |= id.is_some() || last_row.is_some_and(|last_row| last_row != hash);
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
        self.last_row = None;
        let is_mixed = mem::take(&mut self.is_mixed);
        (is_same && is_mixed) || !(self.had_new || had_new)
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
struct List<'text> {
    data: Vec<&'text RawValue>,
    count: Option<u64>,
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with rows in \"data\"")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<'de>, A::Error> {
                let (mut data, mut count) = (None, None);
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "data" => data = Some(map.next_value()?),
                        "count" => count = map.next_value::<Value>()?.as_u64(),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let data = data.ok_or_else(|| de::Error::missing_field("data"))?;
                Ok(List { data, count })
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
        let list =
            |text| serde_json::from_str::<List<'_>>(text).map(|list| (list.data.len(), list.count));
        assert_eq!(list(r#"{"data":[]}"#).unwrap(), (0, None));
        assert_eq!(
            list(r#" {"x":{"data":[1]},"count":3,"data":[ {}, 1 ]} "#).unwrap(),
            (2, Some(3))
        );
        for other in [
            r#"{"count":3}"#,
            "[]",
            "{",
            r#"{"data":{}}"#,
            r#"{"data":[}"#,
            "null",
            r#"{"data":null}"#,
        ] {
            assert!(list(other).is_err(), "{other}");
        }
    }
}
