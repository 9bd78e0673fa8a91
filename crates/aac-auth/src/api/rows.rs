//! Lists of the API with any number of pages, requested with `limit` and `offset`.
//!
//! Pages are cut by position, so adding or removing a row while a list is read moves the rows behind it:
//! a row may arrive twice, and is then given once. `paging` decides where a list ends.
//!
//! While the program works on a page, a thread asks for the next one: once, and with a token that needs no
//! refresh. If that fails, the page is asked for when it is needed. So nothing in the background has to be
//! finished when a program ends.

use crate::api::client::Client;
use crate::api::list::{List, NO_LIST};
use crate::api::paging::{Arrival, Fault, Paging, Span, Step};
use crate::api::request::{Preview, Request, add_to_query};
use crate::api::{json, raw};
use crate::error::notices::warn;
use crate::error::{Error, Result};
use serde_core::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{Receiver, sync_channel};
use std::{iter, thread, vec};
use ureq::http::{HeaderMap, Method};

/// The rows of a list, each as a JSON value; an error is the last item.
///
/// Holds two pages in memory, each within the limits of [`Response::json`](crate::Response::json), and 10
/// to 20 bytes for each row given so far.
///
/// ```no_run
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
/// for plan in client.rows("/plans/v1/plans").query("sort", "-id").limit(10) {
///     println!("{}", plan?["name"]);
/// }
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Rows {
    query: Query,
    paging: Paging,
    /// The next page, on its way.
    ahead: Option<(Span, Receiver<Ahead>)>,
    /// The rest of the current page, and its URL.
    rows: vec::IntoIter<Box<RawValue>>,
    url: String,
    /// A hash of each row so far. Nobody can choose two rows with the same one, since its key is random; of
    /// a million rows, two have it once in 30 million lists, and then `count` tells.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The member with the rows, once a page has arrived.
    member: Option<Option<String>>,
    is_done: bool,
}

/// The request for each page.
#[derive(Clone, Debug)]
struct Query {
    client: Client,
    path: String,
    /// The field by which the rows are sorted, as long as the server has not refused to.
    sort: Option<String>,
    headers: HeaderMap,
    retry: u32,
    invalid: Option<String>,
}

/// A URL, and the text of its response.
type Body = (String, String);

/// A page that was asked for ahead, and the one that is asked for when this one is taken.
type Ahead = (Result<Body>, Option<Span>);

impl Client {
    /// The rows of a list of any number of pages. The endpoint must take `limit` and `offset`, and return
    /// `{"data": […]}`, an object with one array of another name, or an array.
    ///
    /// A list that lacks rows ends with an error, such as one with fewer rows than its `count`. If rows may be
    /// missing, there is a warning on standard error. Without a fixed order, pages overlap and leave gaps: ask
    /// for one with [`sorted_by`](Rows::sorted_by).
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// for user in client.rows("/iam/v1/workspaces/{workspaceId}/people").sorted_by("id") {
    ///     println!("{}", user?["email"]);
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn rows(&self, path: &str) -> Rows {
        self.request(Method::GET, path).rows()
    }
}

impl Request<'_> {
    /// The rows of a list, page by page: see [`Client::rows`](crate::Client::rows).
    pub fn rows(mut self) -> Rows {
        if self.method != Method::GET || self.body.is_some() {
            let what = "the rows of a list are asked for with GET, without a body".to_owned();
            self.invalid.get_or_insert(what);
        }
        Rows {
            query: Query {
                client: self.client.clone(),
                path: self.path,
                sort: None,
                headers: self.headers,
                retry: self.retry,
                invalid: self.invalid,
            },
            paging: Paging::new(Rows::PAGE_SIZE),
            ahead: None,
            rows: Vec::new().into_iter(),
            url: String::new(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            member: None,
            is_done: false,
        }
    }
}

impl Rows {
    /// Rows per page by default. More would mean fewer calls, but a row of a user with privileges is
    /// about 14 KB.
    pub const PAGE_SIZE: u64 = 100;

    /// Adds a query parameter, such as a filter, encoded as [`Request::query`] does.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        add_to_query(&mut self.query.path, name, value);
        self
    }

    /// Asks for the rows in the order of this field; `-id` reverses it. A server that refuses that (HTTP 400 or
    /// 422) is asked without an order.
    #[must_use]
    pub fn sorted_by(mut self, field: &str) -> Self {
        self.query.sort = Some(field.to_owned());
        self
    }

    /// Limits the number of rows.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.paging.limit = rows;
        self
    }

    /// Sets the number of rows per page, [`PAGE_SIZE`](Self::PAGE_SIZE) by default. A server may send fewer.
    #[must_use]
    pub fn page_size(mut self, rows: u64) -> Self {
        self.paging.page_size = rows.max(1);
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
        self.query.request(self.paging.next()).preview()
    }

    /// The total number of rows to give, if the server has said.
    pub fn total(&self) -> Option<u64> {
        self.paging.total()
    }

    /// What the rows are called.
    #[cfg(feature = "table")]
    pub(crate) fn noun(&self) -> &'static str {
        self.paging.noun
    }

    /// How far the list has been read: "200 of 1234 users".
    #[cfg(feature = "table")]
    pub(crate) fn progress(&self) -> String {
        let total = self.total().map_or(String::new(), |total| format!(" of {total}"));
        format!("{}{total} {}", self.paging.given, self.paging.noun)
    }

    /// Asks for the first page, unless it has arrived, and returns the rows of the current page that have not been
    /// given yet.
    ///
    /// # Errors
    ///
    /// As for the first row. The next call asks again.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut plans = client.rows("/plans/v1/plans");
    /// for (name, _) in plans.first_page()?.first().map_or(Vec::new(), |plan| aac_auth::raw::members(plan)) {
    ///     println!("a plan has {name}");
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn first_page(&mut self) -> Result<&[Box<RawValue>]> {
        if self.member.is_none() && !self.is_done {
            self.turn_page()?;
        }
        Ok(self.rows.as_slice())
    }

    /// Whether the current page is used up and the next row may take a while: the moment to flush what
    /// has been printed.
    pub fn is_page_done(&self) -> bool {
        self.rows.len() == 0
    }

    /// The rows, each as a type of the program. A row that does not fit is an error, and does not end the
    /// list.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// # type Plan = aac_auth::Value;
    /// // #[derive(serde::Deserialize)]
    /// // struct Plan { id: u64, name: String }
    /// for plan in client.rows("/plans/v1/plans").of::<Plan>() {
    ///     let plan = plan?;
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn of<T: DeserializeOwned>(mut self) -> impl Iterator<Item = Result<T>> {
        iter::from_fn(move || self.next_as())
    }

    /// The next row, on one line and otherwise as the server wrote it, for programs that pass it on.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut plans = client.rows("/plans/v1/plans");
    /// while let Some(plan) = plans.next_raw() {
    ///     aac_auth::output::print_line(plan?.get())?;
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn next_raw(&mut self) -> Option<Result<Box<RawValue>>> {
        while self.is_page_done() && !self.is_done && self.paging.left() > 0 {
            let given = self.paging.given;
            if let Err(source) = self.turn_page() {
                self.is_done = true;
                return Some(Err(match given {
                    0 => source,
                    after => Error::list_interrupted(after, self.total(), self.paging.noun, source),
                }));
            }
        }
        let row = self.rows.next()?;
        // Only blanks between tokens are control characters.
        let is_on_lines = row.get().bytes().fold(false, |found, byte| found | (byte < b' '));
        Some(Ok(if is_on_lines { raw::compact(&row) } else { row }))
    }

    fn next_as<T: DeserializeOwned>(&mut self) -> Option<Result<T>> {
        let row = self.next_raw()?;
        Some(row.and_then(|row| json::read(row.get(), Method::GET.as_str(), &self.url)))
    }

    fn turn_page(&mut self) -> Result<()> {
        let span = self.paging.next();
        let mut page = self.fetch(span);
        if page.as_ref().is_err_and(is_refused)
            && self.member.is_none()
            && self.query.sort.take().is_some()
        {
            page = self.fetch(span);
        }
        let (url, text) = page?;
        let list = List::read(&text, &url)?;
        drop(text);
        let fail = |Fault { what, help }| Error::no_list(&url, &what, help);
        if self.member.get_or_insert_with(|| list.member.clone()) != &list.member {
            let what = "its rows are not where those of the first page were".to_owned();
            return Err(fail(Fault { what, help: NO_LIST }));
        }
        let (arrival, rows) = self.look_through(list, span.1);
        let step = self.paging.arrived(arrival).map_err(fail)?;
        if let Some(warning) = self.paging.warning() {
            warn(warning);
        }
        self.is_done = step != Step::Next;
        if step != Step::EndBefore {
            self.rows = rows.into_iter();
        }
        self.url = url;
        if !self.is_done {
            self.ask_ahead();
        }
        Ok(())
    }

    fn fetch(&mut self, span: Span) -> Result<Body> {
        if let Some((asked, pages)) = self.ahead.take()
            && asked == span
            && let Ok((page, next)) = pages.recv()
        {
            self.ahead = next.map(|next| (next, pages));
            return page;
        }
        self.query.check()?;
        self.query.path = self.query.client.fill_in(&self.query.path)?;
        self.query.request(span).text()
    }

    /// Asks for the next page in a thread, unless one does. It goes on to the page behind it as soon as that
    /// is taken, so that the server need not wait for this thread.
    fn ask_ahead(&mut self) {
        let first = self.paging.next();
        if self.ahead.as_ref().is_some_and(|(asked, _)| *asked == first) {
            return;
        }
        // Holds none back: the thread waits until a page is taken.
        let (sender, pages) = sync_channel(0);
        let (query, paging) = (self.query.clone(), self.paging.clone());
        let ask = move || {
            let mut next = Some(first);
            while let Some(span) = next
                && let Some(page) = query.request(span).text_at_once()
            {
                next = paging.likely_after(span).filter(|_| page.is_ok());
                if sender.send((page, next)).is_err() {
                    // Nobody wants it any more.
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("next pages".to_owned()).spawn(ask);
        self.ahead = thread.ok().map(|_| (first, pages));
    }

    /// Picks the rows to give.
    fn look_through(&mut self, list: List, asked: u64) -> (Arrival, Vec<Box<RawValue>>) {
        let List { mut rows, count, .. } = list;
        let received = rows.len() as u64;
        let hashes: Vec<_> = rows.iter().map(|row| self.hasher.hash_one(row.get())).collect();
        let ids: Option<Vec<_>> = rows.iter().map(|row| id_of(row)).collect();
        let mark = match ids {
            Some(ids) => self.hasher.hash_one(ids),
            None => self.hasher.hash_one(&hashes),
        };
        // Only a row of an earlier page has come before: on one page, rows may well be the same.
        let mut of_rows = hashes.iter();
        rows.retain(|_| of_rows.next().is_none_or(|hash| !self.seen.contains(hash)));
        rows.truncate(usize::try_from(self.paging.left()).unwrap_or(usize::MAX));
        self.seen.extend(hashes);
        (Arrival { asked, received, new: rows.len() as u64, mark, count }, rows)
    }
}

impl Iterator for Rows {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_as()
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

    fn request(&self, (offset, limit): Span) -> Request<'_> {
        let mut request = self.client.request(Method::GET, &self.path).retry(self.retry);
        request.headers = self.headers.clone();
        if let Some(field) = &self.sort {
            request = request.query("sort", field);
        }
        request = request.query("limit", &limit.to_string()).query("offset", &offset.to_string());
        // Given twice, it would be a list to the server, and no boolean.
        match self.has("includeCount") {
            true => request,
            false => request.query("includeCount", "true"),
        }
    }
}

/// Whether the server knows the path, and not what is asked there.
fn is_refused(error: &Error) -> bool {
    error.http().is_some_and(|http| matches!(http.status().as_u16(), 400 | 422))
}

/// The row's `id`; `None` if it has none.
fn id_of(row: &RawValue) -> Option<&str> {
    raw::member(row, "id").map(RawValue::get).filter(|id| *id != "null")
}
