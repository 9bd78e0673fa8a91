//! Lists of the API with any number of pages, requested with `limit` and `offset`.
//!
//! Pages are cut by position, so adding or removing a row while a list is read moves the rows behind it:
//! a row may arrive twice, and is then given once. While the program works on a page, the next one is
//! fetched. `paging` decides where a list ends.

use crate::api::connection::Connection;
use crate::api::json_text::{self, JsonText};
use crate::api::list::{List, NoList};
use crate::api::paging::{Arrival, Paging, Step};
use crate::api::request::{Preview, Request};
use crate::api::response::not_json;
use crate::error::{Error, Result};
use crate::rotation::cancellation::Cancellation;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use ureq::http::{HeaderMap, Method};

/// Rows per page by default. More would mean fewer calls, but a row of a user with privileges is
/// about 14 KB.
const PAGE_SIZE: u64 = 100;

/// The rows of a list, each as a JSON value; an error is the last item.
///
/// Holds two pages in memory, each within the limits of [`Response::json`](crate::Response::json), and 20
/// to 40 bytes for each row given so far.
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
    /// The member with the rows, once a page has arrived.
    member: Option<Option<String>>,
    is_done: bool,
}

/// The request for each page.
#[derive(Clone, Debug)]
struct Query {
    connection: Connection,
    cancellation: Cancellation,
    path: String,
    headers: HeaderMap,
    retry: u32,
    invalid: Option<String>,
}

/// A page, of which only new rows are given.
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
    /// The offset of the page being fetched.
    ordered: Option<u64>,
    thread: Option<JoinHandle<()>>,
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
        Rows::new(self.connection.clone(), self.path, self.headers, self.retry, self.invalid)
    }
}

impl Rows {
    pub(crate) fn new(
        connection: Connection,
        path: String,
        headers: HeaderMap,
        retry: u32,
        invalid: Option<String>,
    ) -> Self {
        let cancellation = Cancellation::new();
        Self {
            query: Query { connection, cancellation, path, headers, retry, invalid },
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

    /// Limits the number of rows.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.paging.limit(rows);
        self
    }

    /// Sets the number of rows per page, 100 by default. A server may send fewer.
    #[must_use]
    pub fn page_size(mut self, rows: u64) -> Self {
        self.paging.page_size = rows.max(1);
        self
    }

    /// Skips this many rows at the beginning of the list.
    #[must_use]
    pub fn offset(mut self, rows: u64) -> Self {
        self.paging.skip(rows);
        self
    }

    /// Names the rows, for the message "stopped after 200 of 1234 users".
    #[must_use]
    pub fn named(mut self, noun: &'static str) -> Self {
        self.paging.noun = noun;
        self
    }

    /// The request for the first page. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if it cannot be sent.
    pub fn preview(self) -> Result<Preview> {
        self.query.check()?;
        self.query.request(self.paging.next().into()).preview()
    }

    /// The total number of rows to give, if the server has said.
    pub fn total(&self) -> Option<u64> {
        self.paging.total()
    }

    /// The remaining rows of the current page; none at the end of the list.
    ///
    /// # Errors
    ///
    /// As for [`next_text`](Self::next_text).
    pub fn page(&mut self) -> Result<impl Iterator<Item = JsonText<'_>>> {
        self.have_row()?;
        let (text, rows) = (&self.page.text, &self.page.rows[self.next..]);
        Ok(rows.iter().map(|row| JsonText::trusted(&text[row.clone()])))
    }

    /// Whether the current page is used up and the next row may take a while: the moment to flush what
    /// has been printed.
    pub fn is_page_done(&self) -> bool {
        self.next == self.page.rows.len()
    }

    /// The next row, on one line and otherwise as the server wrote it.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind). After the first row, the message says how many there were.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut plans = client.rows("/plans/v1/plans");
    /// while let Some(plan) = plans.next_text()? {
    ///     aac_auth::output::print_line(&plan)?;
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

    /// Moves to the next page if this one is used up; false at the end of the list.
    fn have_row(&mut self) -> Result<bool> {
        while self.is_page_done() {
            if self.is_done || self.paging.left() == 0 {
                return Ok(false);
            }
            if let Err(source) = self.turn_page() {
                self.is_done = true;
                return Err(match self.given {
                    0 => source,
                    after => Error::list_interrupted(after, self.total(), self.paging.noun, source),
                });
            }
        }
        Ok(true)
    }

    fn turn_page(&mut self) -> Result<()> {
        // Frees the old page before the new one arrives.
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
        // While the program works on this page, fetch only the next one.
        let next = Order::from(self.paging.next());
        if let Some(fetching) = &mut self.fetching
            && !self.is_done
            && next.limit > 0
        {
            fetching.order(next);
        }
        Ok(())
    }

    /// Picks the rows to give.
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
        // Indented by the server: each row must be one line.
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

    /// Finds out whether the server respects the offset.
    fn probe(&mut self) -> Result<Step> {
        let fetching = Fetching::of(&mut self.fetching, &self.query)?;
        let order = Order::from(self.paging.probe());
        fetching.order(order);
        let rows = match fetching.wait_for(order.offset) {
            Ok((_, page)) => page.list().map_or(0, |list| list.rows.len() as u64),
            // The offset is too large for the server, so it has looked at it.
            Err(error) if error.http().is_some() => 0,
            Err(error) => return Err(error),
        };
        Ok(self.paging.probed(rows))
    }

    /// The next page, and how many rows were requested. The page likely to follow is ordered before this
    /// one is examined, so that the server does not wait for this program. `step` is the number of rows
    /// on the page before: a server may send fewer than requested.
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
        // The program may now end during a page, but not during a refresh.
        self.query.cancellation.cancel();
    }
}

impl Query {
    fn check(&self) -> Result<()> {
        let invalid = self.invalid.clone().or_else(|| {
            let name = ["limit", "offset"].into_iter().find(|name| self.has(name))?;
            Some(format!("the query has a {name}, by which the pages of a list are asked for"))
        });
        invalid.map_or(Ok(()), |what| Err(Error::usage(what)))
    }

    /// Whether the query has a parameter already.
    fn has(&self, name: &str) -> bool {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|part| part.split('=').next() == Some(name))
    }

    fn start(&self) -> Result<Fetching> {
        self.check()?;
        let query = Self { path: self.connection.fill_in(&self.path)?, ..self.clone() };
        let (orders, ordered) = channel();
        let (sender, pages) = channel();
        let fetch = move || {
            // Until nobody orders or waits for pages any more.
            while let Ok(order) = ordered.recv()
                && sender.send((order, query.fetch(order))).is_ok()
            {}
        };
        let thread = thread::Builder::new().name("pages".to_owned()).spawn(fetch);
        let thread = Some(thread.map_err(Error::thread)?);
        Ok(Fetching { orders, pages, ordered: None, thread })
    }

    fn request(&self, order: Order) -> Request<'_> {
        let request = Request::new(&self.connection, Method::GET, &self.path)
            .with_headers(&self.headers)
            .retry(self.retry)
            .query("limit", &order.limit.to_string())
            .query("offset", &order.offset.to_string());
        // Given twice, it would be a list to the server, and no boolean.
        match self.has("includeCount") {
            true => request,
            false => request.query("includeCount", "true"),
        }
    }

    fn fetch(&self, order: Order) -> Result<Page> {
        let (url, text) = self.request(order).cancelled_by(&self.cancellation).text()?;
        Ok(Page { url, text, ..Page::default() })
    }
}

impl Fetching {
    /// Returns the thread, starting it if needed.
    fn of<'a>(fetching: &'a mut Option<Self>, query: &Query) -> Result<&'a mut Self> {
        Ok(match fetching {
            Some(fetching) => fetching,
            fetching => fetching.insert(query.start()?),
        })
    }

    /// Orders the page, unless it is already on its way.
    fn order(&mut self, order: Order) {
        if self.ordered != Some(order.offset) {
            // If the thread is gone, waiting for the page reports it.
            let _ = self.orders.send(order);
            self.ordered = Some(order.offset);
        }
    }

    /// The page at the offset, and its order. Pages ordered on a wrong guess are discarded.
    fn wait_for(&mut self, offset: u64) -> Result<(Order, Page)> {
        loop {
            let ended = |_| Error::thread(io::Error::other("it has ended"));
            let (order, page) = self.pages.recv().map_err(ended)?;
            if order.offset == offset {
                self.ordered = None;
                return page.map(|page| (order, page));
            }
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        // Windows ends the threads that are left when a program ends, and one that is ending itself may
        // leave a lock behind. A page that is on its way is not waited for.
        if self.ordered.is_none() {
            drop(mem::replace(&mut self.orders, channel().0));
            self.thread.take().map(JoinHandle::join);
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
            NoList::Other(what) => self.unusable(&format!("the response is not a list: {what}")),
            NoList::Malformed => match serde_json::from_str::<&RawValue>(&self.text) {
                Err(error) => not_json(Method::GET.to_string(), self.url.clone(), &error),
                Ok(_) => self.unusable("the response is not JSON"),
            },
        })
    }

    fn unusable(&self, what: &str) -> Error {
        Error::no_list(&self.url, what)
    }
}

/// A number for the row's `id`; `None` if it has none.
fn id_of(row: &str) -> Option<u128> {
    let (_, id) = JsonText::trusted(row).members().find(|(name, _)| name == "id")?;
    // A whole number stands for itself; anything else gets a hash long enough to rule out collisions.
    let of_text = |_| {
        let digest = digest(&SHA256, id.as_bytes());
        digest.as_ref()[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
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
