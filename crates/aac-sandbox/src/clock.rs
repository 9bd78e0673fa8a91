//! Points in time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    /// Milliseconds since 1970.
    pub(crate) millis: i64,
}

impl Timestamp {
    /// The time by a clock that is that many seconds ahead of this machine's.
    pub(crate) fn now(clock_offset: i64) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { millis: since_1970.as_millis() as i64 }.plus_seconds(clock_offset)
    }

    pub(crate) fn of_seconds(seconds: i64) -> Self {
        Self { millis: seconds * 1000 }
    }

    /// Whole seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.millis.div_euclid(1000)
    }

    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        Self { millis: self.millis.saturating_add(seconds.saturating_mul(1000)) }
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// As the `Date` header has it (RFC 9110 §5.6.7).
    pub(crate) fn http_date(self) -> String {
        // That is the end of the year 9998; later dates cannot be written.
        const LAST: u64 = 253_370_764_799;
        let seconds = u64::try_from(self.seconds()).unwrap_or(0).min(LAST);
        fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

impl fmt::Display for Timestamp {
    /// As the platform and the vault write it: ISO 8601 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let date = self.http_date();
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(month).unwrap_or(0) / 3 + 1;
        write!(f, "{year}-{month:02}-{day}T{time}.{:03}Z", self.millis.rem_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_time() {
        for (millis, text, header) in [
            (0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_005, "1994-11-06T08:49:37.005Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 GMT"),
            (i64::MAX, "9998-12-31T23:59:59.807Z", "Thu, 31 Dec 9998 23:59:59 GMT"),
        ] {
            let time = Timestamp { millis };
            assert_eq!((time.to_string(), time.http_date()), (text.to_owned(), header.to_owned()));
        }
    }
}
