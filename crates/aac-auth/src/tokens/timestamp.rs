//! Points in time, as RFC 3339 writes them.

use crate::tokens::claims::LocalTime;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};
use ureq::http::{HeaderMap, header};

/// As HTTP writes them: between `Wed, 05 ` and ` 2025 18:05:29 GMT`.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time, to the second. Its text form is that of RFC 3339, in UTC.
///
/// ```
/// use aac_auth::Timestamp;
///
/// let time: Timestamp = "2025-02-05T18:05:29.000Z".parse().unwrap();
/// assert_eq!(time.to_string(), "2025-02-05T18:05:29Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Now, by the local clock.
    pub fn now() -> Self {
        LocalTime::now().into()
    }

    /// When a response was sent, by the server's clock (`Date`): the local clock may be wrong.
    pub fn of_response(headers: &HeaderMap) -> Option<Self> {
        let date = headers.get(header::DATE)?.to_str().ok()?;
        Some(LocalTime::of(httpdate::parse_http_date(date).ok()?).into())
    }

    /// From seconds since 1970; none before 1970 or after the year 9999, which no token means.
    pub(crate) fn of(seconds: i64) -> Option<Self> {
        (0..=253_402_300_799).contains(&seconds).then_some(Self(seconds))
    }

    /// How many seconds later this is than `other`; negative if it is earlier.
    pub fn seconds_since(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

impl From<LocalTime> for Timestamp {
    fn from(LocalTime(millis): LocalTime) -> Self {
        Self(millis.div_euclid(1000).clamp(0, 253_402_300_799))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.0.unsigned_abs()));
        let (day, month, year, time) = (&http[5..7], &http[8..11], &http[12..16], &http[17..25]);
        let month = MONTHS.iter().position(|name| *name == month).map_or(0, |month| month + 1);
        write!(f, "{year}-{month:02}-{day}T{time}Z")
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    /// Reads a time in UTC, such as `2025-02-05T18:05:29.000Z`. Fractions of a second are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let time = text.strip_suffix('Z')?;
            let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
            let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            let number = |from, to| time.get(from..to)?.parse::<i64>().ok();
            let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
            let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
            // Counted from March on, a leap day is the last of its year.
            let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
            let leap_days = year / 4 - year / 100 + year / 400;
            let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 719_469;
            let read = Self::of(86_400 * days + 3600 * hour + 60 * minute + second)?;
            // What is written in another way is no such time, nor is the 30th of February.
            (is_fraction && read.to_string().strip_suffix('Z') == Some(time)).then_some(read)
        };
        read().ok_or("a time in UTC such as 2025-02-05T18:05:29Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_738_778_729, "2025-02-05T18:05:29Z"),
            (1_772_323_199, "2026-02-28T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(seconds)));
        }
        // Every day of four centuries.
        for day in 0..146_097 {
            let time = Timestamp(86_400 * day + 1);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2025-02-05",
            "2025-02-05T18:05:29",
            "2025-13-05T18:05:29Z",
            "1969-12-31T23:59:59Z",
            "2025-02-05T18:05:29.Z",
            "2025-02-05T18:05:29+01:00",
            "2025-00-05T18:05:29Z",
            "2025-02-29T18:05:29Z",
            "2025-02-05 18:05:29Z",
            "2025-02-05T18:05:60Z",
            "2025-02-05T24:00:00Z",
            "+025-02-05T18:05:29Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
