//! Lists of the API, however many pages they have, asked for with `limit` and `offset`.
//!
//! Pages are cut by position, so a row that is added or removed while a list is read moves those
//! behind it: rows may come twice, and are then given once. The page after the one that the program
//! works on is fetched in the meantime. Where a list ends is decided in `paging`.

use crate::api::connection::Connection;
use crate::api::json_text::{self, JsonText};
use crate::api::list::{List, NoList};
use crate::api::paging::{Arrival, Paging, Step};
use crate::api::request::{Preview, Request};
use crate::api::response::not_json;
use crate::error::{Error, Result};
use crate::rotation::cancellation::Cancellation;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
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
    paging: Paging,
    fetching: Option<Fetching>,
    page: Page,
    /// The next row of the page.
    next: usize,
    given: u64,
    ids: HashSet<u128>,
    /// The member that has the rows, once a page has come.
    member: Option<Option<String>>,
    is_done: bool,
}

/// What each page is asked for with.
#[derive(Clone, Debug)]
struct Query {
    connection: Connection,
    cancellation: Cancellation,
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

impl Request<'_> {
    /// The rows of a list, page by page: see [`Client::rows`](crate::Client::rows).
    pub fn rows(mut self) -> Rows {
        if self.method != Method::GET || self.body.is_some() {
            let what = "the rows of a list are asked for with GET, without a body".to_owned();
            self.invalid.get_or_insert(what);
        }
        Rows::new(self.connection.clone(), self.path, self.headers, self.invalid)
    }
}

impl Rows {
    pub(crate) fn new(
        connection: Connection,
        path: String,
        headers: HeaderMap,
        invalid: Option<String>,
    ) -> Self {
        Self {
            query: Query { connection, cancellation: Cancellation::new(), path, headers, invalid },
            paging: Paging::new(PAGE_SIZE),
            fetching: None,
            page: Page::default(),
            next: 0,
            given: 0,
            ids: HashSet::new(),
            member: None,
            is_done: false,
        }
    }

    /// So many rows at the most.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.paging.limit(rows);
        self
    }

    /// So many rows on each page, 100 if not said. A server may send fewer.
    #[must_use]
    pub fn page_size(mut self, rows: u64) -> Self {
        self.paging.page_size = rows.max(1);
        self
    }

    /// Without so many rows at the beginning of the list.
    #[must_use]
    pub fn offset(mut self, rows: u64) -> Self {
        self.paging.skip(rows);
        self
    }

    /// What the rows are, for the message "stopped after 200 of 1234 users".
    #[must_use]
    pub fn named(mut self, noun: &'static str) -> Self {
        self.paging.noun = noun;
        self
    }

    /// The request for the first page, as it would be sent. Nothing is.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] if it cannot be sent.
    pub fn preview(self) -> Result<Preview> {
        self.query.check()?;
        self.query.request(self.paging.next().into()).preview()
    }

    /// How many rows there are to be given in all, as far as the server has said.
    pub fn total(&self) -> Option<u64> {
        self.paging.total()
    }

    /// The rows of the page at hand that are still to be given. None at the end of the list.
    ///
    /// # Errors
    ///
    /// As for [`next_text`](Self::next_text).
    pub fn page(&mut self) -> Result<impl Iterator<Item = JsonText<'_>>> {
        self.have_row()?;
        let (text, rows) = (&self.page.text, &self.page.rows[self.next..]);
        Ok(rows.iter().map(|row| JsonText::trusted(&text[row.clone()])))
    }

    /// Whether the page at hand is used up, so that the next row may have to be waited for: the moment
    /// to hand on what has been printed.
    pub fn is_page_done(&self) -> bool {
        self.next == self.page.rows.len()
    }

    /// The next row, on one line and otherwise as the server wrote it.
    ///
    /// # Errors
    ///
    /// Every [`Error`]; [`Error::ListInterrupted`] after the first row.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut plans = client.rows("/plans/v1/plans");
    /// while let Some(plan) = plans.next_text()? {
    ///     aac_auth::print_line(&plan)?;
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn next_text(&mut self) -> Result<Option<JsonText<'_>>> {
        if !self.have_row()? {
            return Ok(None);
        }
        let row = self.page.rows[self.next].clone();
        self.next += 1;
        self.given += 1;
        Ok(Some(JsonText::trusted(&self.page.text[row])))
    }

    /// Turns the page if this one is used up; false at the end of the list.
    fn have_row(&mut self) -> Result<bool> {
        while self.is_page_done() {
            if self.is_done || self.paging.left() == 0 {
                return Ok(false);
            }
            if let Err(source) = self.turn_page() {
                self.is_done = true;
                return Err(match self.given {
                    0 => source,
                    after => Error::ListInterrupted {
                        after,
                        total: self.total(),
                        noun: self.paging.noun,
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
        let (asked, mut page) = self.fetch(step)?;
        let list = page.list()?;
        if let Some(member) = &self.member
            && *member != list.member
        {
            return Err(page.unusable("its rows are not where those of the first page were"));
        }
        self.member.get_or_insert(list.member.clone());
        let arrival = self.look_through(&mut page, list, asked);
        let step = match self.paging.arrived(arrival) {
            Step::Probe => self.probe()?,
            step => step,
        };
        let warning = match step {
            Step::Fail(why) => return Err(page.unusable(&why)),
            Step::Go | Step::Probe => self.paging.warning(),
            Step::End(warning) => {
                self.is_done = true;
                warning.or_else(|| self.paging.warning())
            }
            Step::EndBefore(warning) => {
                self.is_done = true;
                page.rows.clear();
                warning
            }
        };
        if let Some(warning) = warning {
            self.query.connection.notices().warn(warning);
        }
        self.page = page;
        // While the program works on this page, the next one is fetched, and that is all.
        let next = Order::from(self.paging.next());
        if let Some(fetching) = &mut self.fetching
            && !self.is_done
            && next.limit > 0
        {
            fetching.order(next);
        }
        Ok(())
    }

    /// Picks the rows that are to be given.
    fn look_through(&mut self, page: &mut Page, list: List, asked: u64) -> Arrival {
        let mut arrival = Arrival {
            asked,
            received: list.rows.len() as u64,
            is_uniform: true,
            is_bare: list.member.is_none(),
            announced: list.announced,
            ..Arrival::default()
        };
        let left = self.paging.left();
        let mut likeness = DefaultHasher::new();
        let mut first = None;
        for row in list.rows {
            let text = &page.text[row.clone()];
            let id = id_of(text);
            let mut hasher = DefaultHasher::new();
            match id {
                Some(id) => id.hash(&mut hasher),
                None => text.hash(&mut hasher),
            }
            let hash = hasher.finish();
            hash.hash(&mut likeness);
            arrival.is_uniform &= id.is_none() && *first.get_or_insert(hash) == hash;
            if arrival.new < left && id.is_none_or(|id| self.ids.insert(id)) {
                arrival.new += 1;
                page.rows.push(row);
            }
        }
        arrival.likeness = likeness.finish();
        page.received = arrival.received;
        // Indented by the server: each row is to be one line.
        if page.text.bytes().fold(false, |found, byte| found | (byte < b' ')) {
            let mut lines = String::with_capacity(page.text.len());
            for row in &mut page.rows {
                let start = lines.len();
                json_text::compact(&page.text[row.clone()], &mut lines);
                *row = start..lines.len();
            }
            page.text = lines;
        }
        arrival
    }

    /// Finds out whether the server heeds the offset.
    fn probe(&mut self) -> Result<Step> {
        let fetching = Fetching::of(&mut self.fetching, &self.query)?;
        let order = Order::from(self.paging.probe());
        fetching.order(order);
        let rows = match fetching.wait_for(order.offset) {
            Ok((_, page)) => page.list().map_or(0, |list| list.rows.len() as u64),
            // It is too far for the server, which has therefore looked at it.
            Err(Error::Http(_)) => 0,
            Err(error) => return Err(error),
        };
        Ok(self.paging.probed(rows))
    }

    /// The next page, and how many rows it was asked for. The one that is likely to come after it is
    /// ordered before this one is looked into, so that the server does not wait for this program. `step`
    /// is how many rows the page before had: a server may send fewer than it is asked for.
    fn fetch(&mut self, step: u64) -> Result<(u64, Page)> {
        let fetching = Fetching::of(&mut self.fetching, &self.query)?;
        let this = Order::from(self.paging.next());
        fetching.order(this);
        let (order, page) = fetching.wait_for(this.offset)?;
        if let Some(likely) = self.paging.after_next(step) {
            fetching.order(likely.into());
        }
        Ok((order.limit, page))
    }
}

impl Iterator for Rows {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.next_text() {
            Ok(row) => row.map(|row| json_text::parse(&row)),
            Err(error) => return Some(Err(error)),
        };
        let wrong = |error| not_json(Method::GET.to_string(), self.page.url.clone(), &error);
        row.map(|value| value.map_err(wrong))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // The program may end now, with a page on its way; not with tokens on their way.
        self.query.cancellation.cancel();
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
        let query = Self { path: self.connection.fill_in(&self.path)?, ..self.clone() };
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
        Request::new(&self.connection, Method::GET, &self.path)
            .with_headers(&self.headers)
            .query("limit", &order.limit.to_string())
            .query("offset", &order.offset.to_string())
            .query("includeCount", "true")
    }

    fn fetch(&self, order: Order) -> Result<Page> {
        let (url, text) = self.request(order).cancelled_by(&self.cancellation).text()?;
        Ok(Page { url, text, ..Page::default() })
    }
}

impl Fetching {
    /// The thread, started if it is not running yet.
    fn of<'a>(fetching: &'a mut Option<Self>, query: &Query) -> Result<&'a mut Self> {
        Ok(match fetching {
            Some(fetching) => fetching,
            fetching => fetching.insert(query.start()?),
        })
    }

    /// Has the page fetched, if it is not on its way already.
    fn order(&mut self, order: Order) {
        if self.ordered != Some(order.offset) {
            // A thread that is gone is noticed by who waits for the page.
            let _ = self.orders.send(order);
            self.ordered = Some(order.offset);
        }
    }

    /// The page at the offset, and its order. One that was ordered on a wrong guess is passed over.
    fn wait_for(&mut self, offset: u64) -> Result<(Order, Page)> {
        loop {
            let ended = |_| Error::Thread(io::Error::other("it has ended"));
            let (order, page) = self.pages.recv().map_err(ended)?;
            if order.offset == offset {
                self.ordered = None;
                return page.map(|page| (order, page));
            }
        }
    }
}

impl From<(u64, u64)> for Order {
    fn from((offset, limit): (u64, u64)) -> Self {
        Self { offset, limit }
    }
}

impl Page {
    fn list(&self) -> Result<List> {
        List::read(&self.text).map_err(|why| match why {
            NoList::Other(what) => self.unusable(&format!("the answer is no list: {what}")),
            NoList::Malformed => match serde_json::from_str::<&RawValue>(&self.text) {
                Err(error) => not_json(Method::GET.to_string(), self.url.clone(), &error),
                Ok(_) => self.unusable("the answer is not JSON"),
            },
        })
    }

    fn unusable(&self, what: &str) -> Error {
        Error::NoList { url: self.url.clone(), what: what.to_owned() }
    }
}

/// A number for the row's `id`; none where it has none.
fn id_of(row: &str) -> Option<u128> {
    let (_, id) = JsonText::trusted(row).members().find(|(name, _)| name == "id")?;
    // A whole number is its own; of anything else, as much of a hash as a row is ever mixed up by.
    let of_text = |_| {
        let digest = Sha256::digest(id.as_bytes());
        digest[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    };
    (&*id != "null").then(|| id.parse::<u64>().map_or_else(of_text, u128::from))
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
}
