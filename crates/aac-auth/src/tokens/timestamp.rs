//! Points in time, as RFC 3339 writes them.

use crate::tokens::claims::LocalTime;
use std::fmt;
use std::str::FromStr;
use ureq::http::{HeaderMap, header};

const DAY: i64 = 86_400;

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
        let (day, second) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let mut year = 1970 + day / 366;
        while days_before(year + 1) <= day {
            year += 1;
        }
        let in_year = day - days_before(year);
        let month = (1..=12).rev().find(|month| days_before_month(year, *month) <= in_year);
        let month = month.unwrap_or(1);
        let day = in_year - days_before_month(year, month) + 1;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    /// Reads a time in UTC, such as `2025-02-05T18:05:29.000Z`. Fractions of a second are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time in UTC such as 2025-02-05T18:05:29Z";
        let read = || {
            let time = text.strip_suffix('Z')?;
            let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
            let is_shaped = time.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                10 => byte == b'T',
                13 | 16 => byte == b':',
                _ => byte.is_ascii_digit(),
            });
            let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            if time.len() != 19 || !is_shaped || !is_fraction {
                return None;
            }
            let number = |from: usize, to: usize| time[from..to].parse::<i64>().ok();
            let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
            let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
            let is_month = (1..=12).contains(&month);
            let days =
                days_before(year) + days_before_month(year, is_month.then_some(month)?) + day - 1;
            Self::of(DAY * days + 3600 * hour + 60 * minute + second)
        };
        read().ok_or(WRONG)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 1970-01-01 to the first day of a year.
fn days_before(year: i64) -> i64 {
    let leap_days = |years: i64| years / 4 - years / 100 + years / 400;
    365 * (year - 1970) + leap_days(year - 1) - leap_days(1969)
}

/// Days of a year before a month.
fn days_before_month(year: i64, month: i64) -> i64 {
    const DAYS: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    DAYS[month as usize - 1] + i64::from(month > 2 && is_leap(year))
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
            let time = Timestamp(DAY * day + 1);
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
            "+025-02-05T18:05:29Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
