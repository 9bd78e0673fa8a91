//! Decides which page of a list to request next, and where the list ends. Sends nothing: the caller
//! reports each page, and gets the next [`Step`].
//!
//! Servers differ. Some send fewer rows than requested, some have no total, or a `count` that is the
//! page's own; some ignore `offset`, or have no pages. And a list may change while it is read.
//! These rules hold for all of them: every list ends, and one that may lack rows does not end silently.
//!
//! | the page | then |
//! |---|---|
//! | no rows | the end |
//! | all the rows that the program wants | the end |
//! | new rows, and with them all rows of the total | the end, but see below |
//! | new rows, in a bare array of another length than requested | the end: it has no pages |
//! | new rows | the next page |
//! | nothing new, and the server is not known to respect the offset | a probe |
//! | nothing new | the next page; an error if it is long and repeats the last one, or if this goes on |
//! | the twentieth, of a list that has no end yet | a probe |
//!
//! If the total is larger than the rows given, or there is a member such as `nextPageToken`, the list
//! ends with a warning. A total smaller than the rows given is ignored. On the first page it may be the
//! page's own count, if as many rows came as requested, or as many as a usual page bound (10, 25, 50 …):
//! then the next page is requested anyway.
//!
//! The probe requests one row from far beyond the end of any list:
//!
//! | the response | means | then |
//! |---|---|---|
//! | no rows, no list, an HTTP error | the server respects the offset | continue as above |
//! | rows, and more are announced or some should have been skipped | the offset is ignored | an error |
//! | rows, where rows without ids are all alike | the number of rows is unknowable | an error |
//! | all rows of the page again | no pages: that was the whole list | the end |
//! | fewer, and the page was full | there may well be more | an error |
//! | fewer, and the page was not full | there may be more | the end, with a warning |

use crate::api::list::Announced;
use std::mem;

/// The probe's offset: beyond the end of any list, and still a number for servers that count in 32 bits.
const FAR: u64 = 1_000_000_000;

/// This many rows may repeat on one page, because others were inserted before them.
const MOVED: u64 = 3;

/// How many rows may bring nothing new before the list is given up, if they span at least two pages.
const STALE_ROWS: u64 = 100;

/// The usual page bounds of servers.
const BOUNDS: [u64; 9] = [10, 20, 25, 50, 100, 200, 250, 500, 1000];

/// The number of pages after which a list without an end is probed.
const ENDLESS: u64 = 20;

/// What to do after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give the rows, then request the next page.
    Go,
    /// Give the rows, which are the last, with a reason if some may be missing.
    End(Option<String>),
    /// The rows of this page were given before; the list ends as with [`End`](Self::End).
    EndBefore(Option<String>),
    /// Request [`Paging::probe`], and report the result.
    Probe,
    /// Give up, since the missing rows are unknown.
    Fail(String),
}

/// A page as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrival {
    /// The number of rows requested.
    pub(crate) asked: u64,
    /// The number of rows received.
    pub(crate) received: u64,
    /// How many of them to give: new ones, and no more than the program wants.
    pub(crate) new: u64,
    /// Equal for pages of the same rows.
    pub(crate) likeness: u64,
    /// Whether no row has an id, and all are alike.
    pub(crate) is_uniform: bool,
    /// Whether the body was only the array.
    pub(crate) is_bare: bool,
    pub(crate) announced: Announced,
}

/// How far a list has been read.
#[derive(Debug)]
pub(crate) struct Paging {
    pub(crate) noun: &'static str,
    pub(crate) page_size: u64,
    /// The number of rows skipped at the beginning.
    start: u64,
    limit: Option<u64>,
    /// Where the next page begins.
    offset: u64,
    given: u64,
    pages: u64,
    total: Option<(u64, String)>,
    first_total: u64,
    /// More rows arrived than the total: it means something else.
    is_total_wrong: bool,
    more: Option<String>,
    last: Option<u64>,
    heeds_offset: bool,
    stale_pages: u64,
    stale_rows: u64,
    /// The page that caused the probe, and whether it repeats the one before.
    pending: (Arrival, bool),
    warning: Option<String>,
}

impl Paging {
    pub(crate) fn new(page_size: u64) -> Self {
        Self {
            noun: "rows",
            page_size,
            start: 0,
            limit: None,
            offset: 0,
            given: 0,
            pages: 0,
            total: None,
            first_total: 0,
            is_total_wrong: false,
            more: None,
            last: None,
            heeds_offset: false,
            stale_pages: 0,
            stale_rows: 0,
            pending: (Arrival::default(), false),
            warning: None,
        }
    }

    pub(crate) fn limit(&mut self, rows: u64) {
        self.limit = Some(rows);
    }

    pub(crate) fn skip(&mut self, rows: u64) {
        (self.start, self.offset) = (rows, rows);
    }

    /// The offset and limit of the next page.
    pub(crate) fn next(&self) -> (u64, u64) {
        (self.offset, self.left().min(self.page_size))
    }

    /// The same for the page after it, if the next one brings this many rows and is not the last.
    pub(crate) fn after_next(&self, rows: u64) -> Option<(u64, u64)> {
        let offset = self.offset.saturating_add(rows);
        let left = self.left().saturating_sub(rows);
        let is_likely =
            rows > 0 && left > 0 && self.total.as_ref().is_some_and(|(all, _)| offset < *all);
        is_likely.then(|| (offset, left.min(self.page_size)))
    }

    /// The offset and limit of a probe.
    pub(crate) fn probe(&self) -> (u64, u64) {
        (self.offset.saturating_add(FAR), 1)
    }

    /// How many more rows the program wants.
    pub(crate) fn left(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.given))
    }

    /// The total number of rows to give, if the server has said.
    pub(crate) fn total(&self) -> Option<u64> {
        let total = self.total.as_ref()?.0.saturating_sub(self.start);
        Some(self.limit.map_or(total, |limit| total.min(limit)))
    }

    /// A warning for the user, though the list goes on.
    pub(crate) fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// What to do after a page.
    pub(crate) fn arrived(&mut self, page: Arrival) -> Step {
        self.pages += 1;
        if page.received == 0 {
            self.note(&page, 0);
            let missing = self.missing();
            return Step::End(missing.map(|missing| format!("the server {missing}")));
        }
        let is_again = self.last.replace(page.likeness) == Some(page.likeness);
        let is_endless = self.pages >= ENDLESS && self.offset >= self.first_total;
        if !self.heeds_offset && (is_again || page.new == 0 || is_endless) {
            self.pending = (page, is_again);
            return Step::Probe;
        }
        self.go_on(page, is_again)
    }

    /// What to do after a probe that returned this many rows.
    pub(crate) fn probed(&mut self, rows: u64) -> Step {
        let (page, is_again) = mem::take(&mut self.pending);
        if rows == 0 {
            self.heeds_offset = true;
            return self.go_on(page, is_again);
        }
        self.note(&page, 0);
        let noun = self.noun;
        if let Some(missing) = self.missing() {
            return Step::Fail(format!("the server ignores the offset; it {missing}"));
        }
        if self.start > 0 || (page.new > 0 && !is_again) {
            return Step::Fail(format!("the server sends {noun} whatever the offset"));
        }
        if page.is_uniform {
            return Step::Fail(format!("the server sends the same {noun} without an id for ever"));
        }
        if page.received > 1 && rows >= page.received {
            return Step::EndBefore(None);
        }
        if page.received >= page.asked {
            return Step::Fail(again(noun));
        }
        Step::EndBefore(Some(format!(
            "the server ignores the offset: {noun} beyond the first {}, if there are any, are missing",
            self.given
        )))
    }

    /// Handles a page from a server that respects the offset, or a page with new rows.
    fn go_on(&mut self, page: Arrival, is_again: bool) -> Step {
        if page.new > 0 {
            (self.stale_pages, self.stale_rows) = (0, 0);
        } else {
            self.stale_pages += 1;
            self.stale_rows = self.stale_rows.saturating_add(page.received);
            let is_stuck = self.stale_pages > 1 && self.stale_rows > STALE_ROWS;
            if is_stuck || (is_again && page.received > MOVED) {
                return Step::Fail(again(self.noun));
            }
        }
        self.note(&page, page.new);
        self.offset = self.offset.saturating_add(page.received);
        self.given += page.new;
        if self.left() == 0 || (page.is_bare && page.received != page.asked) {
            return Step::End(None);
        }
        let all = self.total.as_ref().map(|(all, _)| all.saturating_sub(self.start));
        let may_be_pages_own = self.pages == 1
            && (page.received == page.asked
                || (page.received < page.asked && BOUNDS.contains(&page.received)));
        match all == Some(self.given) && !may_be_pages_own {
            true => Step::End(None),
            false => Step::Go,
        }
    }

    /// Records what a page announces; the page brings this many rows to give.
    fn note(&mut self, page: &Arrival, new: u64) {
        let Announced { total, more } = page.announced.clone();
        if page.received > 0 || more.is_some() {
            self.more = more;
        }
        let Some((total, name)) = total.filter(|_| !self.is_total_wrong) else {
            return;
        };
        if self.pages == 1 {
            self.first_total = total;
        }
        let old = self.total.as_ref().map(|(old, _)| *old);
        let is_shorter = old.is_some_and(|old| total < old);
        let is_pages_own = is_shorter && total == page.received;
        let has_too_many = new > 0 && total.saturating_sub(self.start) < self.given + new;
        if is_pages_own || has_too_many {
            self.is_total_wrong = true;
            self.total = None;
            return;
        }
        if is_shorter {
            let noun = self.noun;
            self.warning = Some(format!(
                "the list became shorter while it was read; some {noun} may be missing"
            ));
        }
        self.total = Some((total, name));
    }

    /// What the server announces and has not sent.
    fn missing(&self) -> Option<String> {
        let (noun, given) = (self.noun, self.given);
        let all = self.total.as_ref().map(|(all, name)| (all.saturating_sub(self.start), name));
        match (all, &self.more) {
            (Some((all, name)), _) if all > given => {
                Some(format!("announces {all} {noun} (\"{name}\"), and has sent {given}"))
            }
            (_, Some(name)) => {
                Some(format!("announces more {noun} (\"{name}\"), and has sent {given}"))
            }
            _ => None,
        }
    }
}

fn again(noun: &str) -> String {
    format!("the server sends {noun} again that it has sent before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::hash::{DefaultHasher, Hash, Hasher};

    /// A server with a list of this many rows.
    #[derive(Clone, Debug)]
    struct Server {
        rows: u64,
        /// The most rows on a page.
        bound: u64,
        has_ids: bool,
        /// Rows without ids differ.
        is_mixed: bool,
        heeds_offset: bool,
        heeds_limit: bool,
        count: Count,
        has_more: bool,
        is_bare: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Count {
        Absent,
        Total,
        First,
        Pages,
        TooHigh,
        TooLow,
    }

    const PLAIN: Server = Server {
        rows: 234,
        bound: 1000,
        has_ids: true,
        is_mixed: true,
        heeds_offset: true,
        heeds_limit: true,
        count: Count::Total,
        has_more: false,
        is_bare: false,
    };

    impl Server {
        /// The rows of a page, each with its id, and what is announced.
        fn page(&self, offset: u64, limit: u64) -> (Vec<u64>, Announced) {
            let offset = if self.heeds_offset { offset } else { 0 };
            let limit = if self.heeds_limit { limit.min(self.bound) } else { self.bound };
            let rows: Vec<u64> = (offset..self.rows).take(limit as usize).collect();
            let total = match self.count {
                Count::Absent => None,
                Count::First => (offset == 0).then_some(self.rows),
                Count::Total => Some(self.rows),
                Count::Pages => Some(rows.len() as u64),
                Count::TooHigh => Some(self.rows + 5),
                Count::TooLow => Some((rows.len() as u64).saturating_sub(1)),
            };
            let has_more = self.has_more && offset + (rows.len() as u64) < self.rows;
            let announced = Announced {
                total: total.map(|total| (total, "count".to_owned())),
                more: has_more.then(|| "next".to_owned()),
            };
            (rows, if self.is_bare { Announced::default() } else { announced })
        }
    }

    /// How reading a list went: the rows given, the requests, and the end.
    #[derive(Debug)]
    struct Outcome {
        given: Vec<u64>,
        requests: u64,
        end: Result<Option<String>, String>,
        warning: Option<String>,
    }

    impl Outcome {
        fn is_silent(&self) -> bool {
            self.end == Ok(None) && self.warning.is_none()
        }
    }

    /// Reads a list as `Rows` does. `page` is the server.
    fn read(
        mut paging: Paging,
        has_ids: bool,
        is_bare: bool,
        mut page: impl FnMut(u64, u64) -> (Vec<u64>, Announced),
    ) -> Outcome {
        let (mut given, mut ids, mut requests, mut warning) = (vec![], HashSet::new(), 0, None);
        loop {
            let (offset, asked) = paging.next();
            let (rows, announced) = page(offset, asked);
            requests += 1;
            assert!(requests < 3000, "no end: {paging:?}");
            let mut hasher = DefaultHasher::new();
            rows.hash(&mut hasher);
            let is_new = |row: &&u64| !has_ids || ids.insert(**row);
            let left = usize::try_from(paging.left()).unwrap_or(usize::MAX);
            let new: Vec<u64> = rows.iter().filter(is_new).take(left).copied().collect();
            let arrival = Arrival {
                asked,
                received: rows.len() as u64,
                new: new.len() as u64,
                likeness: hasher.finish(),
                is_uniform: !has_ids && rows.iter().all(|row| *row == rows[0]),
                is_bare,
                announced,
            };
            let mut step = paging.arrived(arrival);
            if step == Step::Probe {
                let (offset, limit) = paging.probe();
                requests += 1;
                step = paging.probed(page(offset, limit).0.len() as u64);
            }
            warning = warning.or(paging.warning());
            let end = match step {
                Step::Go => {
                    given.extend(new);
                    continue;
                }
                Step::End(why) => {
                    given.extend(new);
                    Ok(why)
                }
                Step::EndBefore(why) => Ok(why),
                Step::Fail(why) => Err(why),
                Step::Probe => unreachable!(),
            };
            return Outcome { given, requests, end, warning };
        }
    }

    fn read_from(server: &Server, page_size: u64) -> Outcome {
        let row = |row| if server.is_mixed { row } else { 0 };
        read(Paging::new(page_size), server.has_ids, server.is_bare, |offset, limit| {
            let (rows, announced) = server.page(offset, limit);
            (rows.into_iter().map(row).collect(), announced)
        })
    }

    #[test]
    fn many_servers() {
        use Count::*;
        const IGNORES: Server = Server { heeds_offset: false, ..PLAIN };
        const UNPAGED: Server = Server { heeds_limit: false, ..IGNORES };
        let whole = Ok(None);
        let warned = |words: &'static str| Ok(Some(words));
        for (server, requests, given, end) in [
            // As the platform does it.
            (PLAIN, 3, 234, whole),
            (Server { rows: 0, ..PLAIN }, 1, 0, whole),
            (Server { rows: 99, ..PLAIN }, 1, 99, whole),
            (Server { rows: 200, ..PLAIN }, 2, 200, whole),
            (Server { count: Absent, ..PLAIN }, 4, 234, whole),
            (Server { count: First, ..PLAIN }, 3, 234, whole),
            (Server { bound: 7, count: Absent, ..PLAIN }, 36, 234, whole),
            (Server { has_more: true, ..PLAIN }, 3, 234, whole),
            (Server { has_ids: false, is_mixed: false, ..PLAIN }, 4, 234, whole),
            // A count that means something else.
            (Server { count: Pages, ..PLAIN }, 4, 234, whole),
            (Server { count: Pages, rows: 100, ..PLAIN }, 2, 100, whole),
            (Server { count: Pages, bound: 25, ..PLAIN }, 11, 234, whole),
            (Server { count: TooLow, ..PLAIN }, 4, 234, whole),
            (
                Server { count: TooHigh, ..PLAIN },
                4,
                234,
                warned("announces 239 rows (\"count\"), and has sent 234"),
            ),
            // No pages.
            (Server { rows: 3, count: Absent, ..UNPAGED }, 3, 3, whole),
            (Server { rows: 3, ..UNPAGED }, 1, 3, whole),
            (Server { count: Absent, ..UNPAGED }, 3, 234, whole),
            (UNPAGED, 1, 234, whole),
            (Server { is_bare: true, ..UNPAGED }, 1, 234, whole),
            (Server { is_bare: true, rows: 3, ..PLAIN }, 1, 3, whole),
            (Server { is_bare: true, ..PLAIN }, 3, 234, whole),
            // The offset is ignored.
            (IGNORES, 3, 100, Err("ignores the offset; it announces 234 rows")),
            (
                Server { bound: 50, ..IGNORES },
                3,
                50,
                Err("ignores the offset; it announces 234 rows"),
            ),
            (
                Server { count: Absent, has_more: true, bound: 50, ..IGNORES },
                3,
                50,
                Err("ignores the offset; it announces more rows (\"next\")"),
            ),
            (
                Server { count: Absent, ..IGNORES },
                3,
                100,
                Err("sends rows again that it has sent before"),
            ),
            (
                Server { count: Absent, bound: 50, ..IGNORES },
                3,
                50,
                warned("rows beyond the first 50"),
            ),
            (
                Server { count: Pages, bound: 50, ..IGNORES },
                3,
                50,
                warned("rows beyond the first 50"),
            ),
            (
                Server { count: Absent, has_ids: false, is_mixed: false, ..IGNORES },
                3,
                100,
                Err("the same rows without an id for ever"),
            ),
            (
                Server { count: Absent, has_ids: false, is_mixed: false, rows: 1, ..UNPAGED },
                3,
                1,
                Err("the same rows without an id for ever"),
            ),
        ] {
            let outcome = read_from(&server, 100);
            assert_eq!(
                (outcome.requests, outcome.given.len()),
                (requests, given),
                "{server:?} {outcome:?}"
            );
            match (&outcome.end, end) {
                (Ok(None), Ok(None)) => {}
                (Ok(Some(why)), Ok(Some(words))) | (Err(why), Err(words)) => {
                    assert!(why.contains(words), "{why}");
                }
                (_, end) => panic!("{outcome:?}, not {end:?} of {server:?}"),
            }
        }
    }

    #[test]
    fn lists_without_an_end_end() {
        let none = || Announced::default();
        // A different row each time, with and without an id; the announced total keeps growing.
        let mut now = 0;
        let mut ever_new = |has_total: bool, has_ids| {
            read(Paging::new(10), has_ids, false, |offset, _| {
                now += 1;
                let total = has_total.then(|| (offset + 2, "total".to_owned()));
                (vec![now], Announced { total, more: None })
            })
        };
        for (has_total, has_ids) in [(false, false), (false, true), (true, true)] {
            let outcome = ever_new(has_total, has_ids);
            assert!(outcome.end.is_err() && outcome.requests < 30, "{outcome:?}");
        }
        // The first rows again and again, in another order.
        let outcome = read(Paging::new(10), true, false, |offset, _| {
            (if offset < FAR { vec![offset % 3, offset % 2, 7] } else { vec![] }, none())
        });
        assert!(outcome.end.is_err() && outcome.requests < 100, "{outcome:?}");
    }

    #[test]
    fn rows_that_come_twice_on_small_pages_do_not_end_a_list() {
        // A user is added at the beginning of the list with every page.
        for (page_size, added) in [(1, 1), (1, 0), (2, 1), (3, 2), (3, 3), (100, 60)] {
            for has_total in [true, false] {
                let (mut rows, mut newest): (Vec<u64>, _) = ((0..40).collect(), 1000);
                let outcome = read(Paging::new(page_size), true, false, |offset, limit| {
                    let page = rows.iter().skip(offset as usize).take(limit as usize);
                    let page = page.copied().collect();
                    let total = has_total.then(|| (rows.len() as u64, "count".to_owned()));
                    for _ in 0..added.min(1100 - newest) {
                        newest += 1;
                        rows.insert(0, newest);
                    }
                    (page, Announced { total, more: None })
                });
                assert!(outcome.end.is_ok(), "{page_size} {added} {outcome:?}");
                assert!(
                    (0..40).all(|row| outcome.given.contains(&row)),
                    "{page_size} {added} {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn a_page_that_comes_twice_is_an_error_if_it_is_long() {
        for (page_size, is_error) in [(100, true), (4, true), (3, false), (1, false)] {
            let mut pages = 0;
            let outcome = read(Paging::new(page_size), true, false, |offset, limit| {
                pages += u64::from(offset < FAR);
                let offset = if pages == 2 && offset < FAR { 0 } else { offset };
                PLAIN.page(offset, limit)
            });
            assert_eq!(outcome.end.is_err(), is_error, "{outcome:?}");
            assert!(!outcome.is_silent(), "{outcome:?}");
        }
    }

    #[test]
    fn limits_and_beginnings() {
        let read = |server: &Server, start, limit| {
            let mut paging = Paging::new(100);
            paging.skip(start);
            paging.limit(limit);
            read(paging, true, false, |offset, limit| server.page(offset, limit))
        };
        for (start, limit, given, requests) in [
            (0, 1, 1, 1),
            (0, 100, 100, 1),
            (0, 101, 101, 2),
            (200, 1000, 34, 1),
            (230, 2, 2, 1),
            (500, 9, 0, 1),
        ] {
            let outcome = read(&PLAIN, start, limit);
            assert!(outcome.is_silent(), "{outcome:?}");
            assert_eq!(
                (outcome.given.len(), outcome.requests),
                (given, requests),
                "{start} {limit}"
            );
        }
        let ignores = Server { heeds_offset: false, heeds_limit: false, rows: 3, ..PLAIN };
        assert!(read(&ignores, 50, 1000).end.is_err(), "what was to be skipped came");
    }

    fn servers() -> impl Strategy<Value = Server> {
        use Count::*;
        let counts = vec![Absent, Total, First, Pages, TooHigh, TooLow];
        let bounds = vec![10, 25, 50, 100, 1000];
        let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (
            0..300_u64,
            proptest::sample::select(bounds),
            proptest::sample::select(counts),
            flags,
            any::<bool>(),
        )
            .prop_map(
                |(
                    rows,
                    bound,
                    count,
                    (has_ids, is_mixed, heeds_offset, heeds_limit, has_more),
                    is_bare,
                )| Server {
                    rows,
                    // A server that ignores the limit sends everything: one that does not looks the same.
                    bound: if heeds_limit { bound } else { rows },
                    has_ids,
                    is_mixed: is_mixed || has_ids,
                    heeds_offset,
                    heeds_limit,
                    count,
                    has_more,
                    // A bounded bare array looks the same as a whole one.
                    is_bare: is_bare && (!heeds_limit || bound == 1000),
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_list_ends_and_none_loses_rows_in_silence(
            server in servers(),
            page_size in proptest::sample::select(vec![1, 2, 3, 10, 100, 1000]),
        ) {
            let outcome = read_from(&server, page_size);
            let pages = server.rows / page_size.min(server.bound).max(1);
            prop_assert!(outcome.requests <= pages + 6, "{:?}", outcome);
            if outcome.is_silent() {
                prop_assert_eq!(outcome.given.len() as u64, server.rows);
            }
            if server.heeds_offset && server.heeds_limit {
                // Nothing prevents success.
                prop_assert!(outcome.end.is_ok());
                prop_assert_eq!(outcome.given.len() as u64, server.rows);
            }
        }
    }
}
