//! Decides which page of a list to ask for next, and where the list ends. Sends nothing: the caller reports
//! each page, and gets the next [`Step`].
//!
//! | the page | then |
//! |---|---|
//! | has no rows | the end |
//! | completes what the program wants, or reaches `count` | the end |
//! | is the second, and the first again | the list has no pages: it is whole, or may be cut off |
//! | is a later one, and the one before again | an error |
//! | any other | the next page, which begins behind its last row |
//!
//! A page is another one again if it has the same ids in the same order, or the same text where a row has
//! no id. `count` is the total number of rows, as the latest page states it. A list that is read to its end
//! and has fewer different rows than the same `count` of all pages is an error: rows are missing. If `count`
//! differs between pages, the list changed while it was read, which is a warning.
//!
//! A list without pages may be cut off if it does not reach its `count`, or has as many rows as were asked
//! for. That is an error. Without a `count`, a number of rows that servers often take for a limit is a
//! warning.

use std::mem;

/// The numbers of rows at which servers often end a page.
const USUAL_LIMITS: [u64; 7] = [10, 25, 50, 100, 250, 500, 1000];

/// The offset and limit of a page.
pub(crate) type Span = (u64, u64);

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give the rows, then ask for the next page.
    Next,
    /// Give the rows, which are the last.
    End,
    /// The rows were given before; the list ends.
    EndBefore,
}

/// Why a list cannot be read, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) help: &'static str,
}

/// A page as it arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of rows asked for.
    pub(crate) asked: u64,
    /// The number of rows received.
    pub(crate) received: u64,
    /// How many of them to give: those of no earlier page, and no more than the program wants.
    pub(crate) new: u64,
    /// Equal for pages that are the same.
    pub(crate) mark: u64,
    pub(crate) count: Option<u64>,
}

/// How far a list has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paging {
    pub(crate) noun: &'static str,
    pub(crate) page_size: u64,
    /// How many rows the program wants.
    pub(crate) limit: u64,
    /// Where the next page begins.
    offset: u64,
    pub(crate) given: u64,
    count: Option<u64>,
    has_changed: bool,
    /// The mark of the latest page, and how many rows it had.
    mark: Option<u64>,
    received: u64,
    warning: Option<String>,
}

impl Paging {
    pub(crate) fn new(page_size: u64) -> Self {
        Self { noun: "rows", page_size, limit: u64::MAX, ..Self::default() }
    }

    /// The next page.
    pub(crate) fn next(&self) -> Span {
        (self.offset, self.left().min(self.page_size))
    }

    /// The page behind one that is on its way, if each has as many rows as the latest, and there are as
    /// many as the server says.
    pub(crate) fn likely_after(&self, (offset, _): Span) -> Option<Span> {
        let offset = offset + self.received;
        let left = self.left().saturating_sub(offset - self.offset);
        let is_likely = self.received > 0 && left > 0 && offset < self.count?;
        is_likely.then(|| (offset, left.min(self.page_size)))
    }

    /// How many more rows the program wants.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.given)
    }

    /// The total number of rows to give, if the server has said.
    pub(crate) fn total(&self) -> Option<u64> {
        self.count.map(|count| count.min(self.limit))
    }

    /// A warning for the user, if there is a new one.
    pub(crate) fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// What to do after a page.
    pub(crate) fn arrived(&mut self, page: Arrival) -> Result<Step, Fault> {
        if let Some(count) = page.count
            && let Some(old) = self.count.replace(count)
            && old != count
            && !mem::replace(&mut self.has_changed, true)
        {
            let noun = self.noun;
            self.warning =
                Some(format!("the list changed while it was read; some {noun} may be missing"));
        }
        if page.received == 0 {
            return self.end();
        }
        if self.mark.replace(page.mark) == Some(page.mark) {
            return self.again(page);
        }
        self.received = page.received;
        self.offset += page.received;
        self.given += page.new;
        match self.count {
            _ if self.left() == 0 => Ok(Step::End),
            Some(count) if count <= self.offset => self.end(),
            _ => Ok(Step::Next),
        }
    }

    /// The list has been read to its end.
    fn end(&self) -> Result<Step, Fault> {
        let (noun, given) = (self.noun, self.given);
        match self.count {
            Some(count) if count > given && !self.has_changed => Err(Fault {
                what: format!(
                    "the server announces {count} {noun} (\"count\"), and has sent {given} different ones"
                ),
                help: "Run this again. If the problem persists, ask for a fixed order (raw_call: --query sort=id).",
            }),
            _ => Ok(Step::End),
        }
    }

    /// The page is the one before again.
    fn again(&mut self, page: Arrival) -> Result<Step, Fault> {
        let (noun, offset, rows) = (self.noun, self.offset, page.received);
        let is_second = self.offset == self.received;
        let what = match self.count {
            _ if !is_second => {
                format!("at offset {offset}, the server sends the same {noun} again")
            }
            Some(count) if count > offset => format!(
                "the server ignores the offset; it announces {count} {noun} (\"count\"), and has sent {offset}"
            ),
            _ if rows == page.asked => format!(
                "the server ignores the offset; {noun} beyond the first {rows} may be missing"
            ),
            count => {
                if count.is_none() && USUAL_LIMITS.contains(&rows) {
                    self.warning = Some(format!(
                        "the server ignores the offset: {noun} beyond the first {rows}, if there are any, are missing"
                    ));
                }
                return Ok(Step::EndBefore);
            }
        };
        let help = "Run this again with another --page-size, such as one larger than the list.";
        Err(Fault { what, help })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::hash::{DefaultHasher, Hash, Hasher};

    /// A server with a list of this many rows, of which no two are the same.
    #[derive(Clone, Debug)]
    struct Server {
        rows: u64,
        /// The most rows on a page.
        bound: u64,
        heeds_offset: bool,
        heeds_limit: bool,
        count: Count,
        /// Each page is cut from the list in another order.
        is_unstable: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Count {
        Absent,
        Total,
        /// On the first page alone.
        First,
        TooHigh,
    }

    const PLAIN: Server = Server {
        rows: 234,
        bound: 1000,
        heeds_offset: true,
        heeds_limit: true,
        count: Count::Total,
        is_unstable: false,
    };

    impl Server {
        fn page(&self, offset: u64, limit: u64) -> (Vec<u64>, Option<u64>) {
            let turned = if self.is_unstable { offset / 3 } else { 0 };
            let start = if self.heeds_offset { offset } else { 0 };
            let limit = if self.heeds_limit { limit.min(self.bound) } else { self.bound };
            let rows = (start..self.rows).map(|row| (row + turned) % self.rows);
            let count = match self.count {
                Count::Absent => None,
                Count::Total => Some(self.rows),
                Count::First => (offset == 0).then_some(self.rows),
                Count::TooHigh => Some(self.rows + 5),
            };
            (rows.take(limit as usize).collect(), count)
        }
    }

    /// How reading a list went: the rows given, the requests, and the end.
    #[derive(Debug)]
    struct Outcome {
        given: Vec<u64>,
        requests: u64,
        end: Result<Option<String>, String>,
    }

    /// Reads a list as `Rows` does. `page` is the server.
    fn read(
        mut paging: Paging,
        mut page: impl FnMut(u64, u64) -> (Vec<u64>, Option<u64>),
    ) -> Outcome {
        let (mut given, mut seen, mut requests, mut warning) = (vec![], HashSet::new(), 0, None);
        loop {
            let (offset, asked) = paging.next();
            let (rows, count) = page(offset, asked);
            requests += 1;
            assert!(requests < 3000, "no end: {paging:?}");
            let mut hasher = DefaultHasher::new();
            rows.hash(&mut hasher);
            let left = usize::try_from(paging.left()).unwrap_or(usize::MAX);
            let is_new = |row: &&u64| !seen.contains(*row);
            let new: Vec<u64> = rows.iter().filter(is_new).take(left).copied().collect();
            let step = paging.arrived(Arrival {
                asked,
                received: rows.len() as u64,
                new: new.len() as u64,
                mark: hasher.finish(),
                count,
            });
            seen.extend(rows);
            warning = warning.or(paging.warning());
            let end = match step {
                Ok(Step::EndBefore) => Ok(warning),
                Ok(step) => {
                    given.extend(new);
                    if step == Step::Next {
                        continue;
                    }
                    Ok(warning)
                }
                Err(fault) => Err(fault.what),
            };
            return Outcome { given, requests, end };
        }
    }

    #[test]
    fn many_servers() {
        use Count::*;
        const IGNORES: Server = Server { heeds_offset: false, ..PLAIN };
        const UNPAGED: Server = Server { heeds_limit: false, ..IGNORES };
        const WHOLE: Result<Option<&str>, &str> = Ok(None);
        for (server, requests, given, end) in [
            // As the platform does it.
            (PLAIN, 3, 234, WHOLE),
            (Server { rows: 0, ..PLAIN }, 1, 0, WHOLE),
            (Server { rows: 100, ..PLAIN }, 1, 100, WHOLE),
            (Server { count: Absent, ..PLAIN }, 4, 234, WHOLE),
            (Server { count: First, ..PLAIN }, 3, 234, WHOLE),
            (Server { bound: 7, count: Absent, ..PLAIN }, 35, 234, WHOLE),
            // No pages.
            (UNPAGED, 1, 234, WHOLE),
            (Server { count: Absent, ..UNPAGED }, 2, 234, WHOLE),
            (Server { rows: 3, count: Absent, ..UNPAGED }, 2, 3, WHOLE),
            (Server { rows: 25, count: Absent, ..UNPAGED }, 2, 25, Ok(Some("beyond the first 25"))),
            (
                Server { bound: 25, count: Absent, ..IGNORES },
                2,
                25,
                Ok(Some("beyond the first 25")),
            ),
            (
                Server { count: Absent, ..IGNORES },
                2,
                100,
                Err("beyond the first 100 may be missing"),
            ),
            (IGNORES, 2, 100, Err("announces 234 rows (\"count\"), and has sent 100")),
            (Server { bound: 50, ..IGNORES }, 2, 50, Err("announces 234 rows")),
            // Rows are missing.
            (Server { count: TooHigh, ..PLAIN }, 4, 234, Err("announces 239 rows (\"count\")")),
            (Server { is_unstable: true, ..PLAIN }, 3, 200, Err("announces 234 rows")),
        ] {
            let outcome = read(Paging::new(100), |offset, limit| server.page(offset, limit));
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
    fn a_list_that_changes_ends_with_a_warning() {
        for (added, removed) in [(1, 0), (7, 0), (0, 3)] {
            let mut rows: Vec<u64> = (0..40).collect();
            let outcome = read(Paging::new(10), |offset, limit| {
                let page =
                    rows.iter().skip(offset as usize).take(limit as usize).copied().collect();
                let count = rows.len() as u64;
                if count < 60 {
                    rows.splice(0..removed, 1000 * count..1000 * count + added);
                }
                (page, Some(count))
            });
            let warning = outcome.end.as_ref().unwrap().as_ref().unwrap();
            assert!(warning.starts_with("the list changed while it was read"), "{outcome:?}");
            assert!(removed > 0 || (0..40).all(|row| outcome.given.contains(&row)), "{outcome:?}");
        }
    }

    #[test]
    fn a_later_page_that_comes_again_is_an_error_with_its_offset() {
        let outcome = read(Paging::new(10), |offset, limit| PLAIN.page(offset.min(30), limit));
        assert_eq!((outcome.requests, outcome.given.len()), (5, 40));
        assert_eq!(outcome.end.unwrap_err(), "at offset 40, the server sends the same rows again");
    }

    #[test]
    fn a_program_may_want_fewer_rows() {
        for (limit, given, requests) in [(1, 1, 1), (100, 100, 1), (101, 101, 2), (1000, 234, 3)] {
            let paging = Paging { limit, ..Paging::new(100) };
            let outcome = read(paging, |offset, limit| PLAIN.page(offset, limit));
            assert_eq!(outcome.end, Ok(None));
            assert_eq!((outcome.given.len(), outcome.requests), (given, requests), "{limit}");
        }
    }

    fn servers() -> impl Strategy<Value = Server> {
        use Count::*;
        let bounds = proptest::sample::select(vec![10, 25, 50, 100, 1000]);
        let counts = proptest::sample::select(vec![Absent, Total, First, TooHigh]);
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        (0..300_u64, bounds, counts, flags).prop_map(
            |(rows, bound, count, (heeds_offset, heeds_limit, is_unstable))| Server {
                rows,
                // A server that ignores the limit sends everything.
                bound: if heeds_limit { bound } else { rows },
                heeds_offset,
                heeds_limit,
                count,
                // Without a count, nobody can tell.
                is_unstable: is_unstable && count != Absent && rows > 0,
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
            let outcome = read(Paging::new(page_size), |offset, limit| server.page(offset, limit));
            // Whatever the offset, a page has no more rows than there are.
            let most = page_size.min(server.bound).min(server.rows).max(1);
            let pages = (server.rows + 5) / most;
            prop_assert!(outcome.requests <= pages + 2, "{:?}", outcome);
            if outcome.end == Ok(None) {
                prop_assert_eq!(outcome.given.len() as u64, server.rows);
            }
            let is_exact = server.count != Count::TooHigh && !server.is_unstable;
            if server.heeds_offset && server.heeds_limit && is_exact {
                prop_assert_eq!(outcome.end, Ok(None));
            }
        }
    }
}
