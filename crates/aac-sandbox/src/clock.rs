//! Points in time.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp {
    /// Milliseconds since 1970.
    pub(crate) millis: i64,
}

impl Timestamp {
    /// The time of this machine.
    pub(crate) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { millis: since_1970.as_millis() as i64 }
    }

    /// Whole seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.millis.div_euclid(1000)
    }

    /// As the `Date` header has it (RFC 9110 §5.6.7).
    pub(crate) fn http_date(self) -> String {
        http_date(self.seconds())
    }
}

impl fmt::Display for Timestamp {
    /// As the platform writes it: ISO 8601 in UTC, with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds().div_euclid(DAY));
        let (hour, minute, second) = time(self.seconds());
        let millis = self.millis.rem_euclid(1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// A point in time to the nanosecond, as the vault dates its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(i64);

impl Nanos {
    const SECOND: i64 = 1_000_000_000;

    /// The time of this machine.
    pub(crate) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since_1970.as_nanos() as i64)
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as i64))
    }

    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(Self::SECOND)))
    }

    /// Whole seconds since 1970.
    pub(crate) fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }

    pub(crate) fn http_date(self) -> String {
        http_date(self.seconds())
    }
}

fn http_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = seconds.div_euclid(DAY);
    let (year, month, of_month) = date(day);
    let (hour, minute, second) = time(seconds);
    let weekday = DAYS[day.rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {of_month:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

impl fmt::Display for Nanos {
    /// As Go writes it: RFC 3339 in UTC, without zeros at the end of the fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = date(seconds.div_euclid(DAY));
        let (hour, minute, second) = time(seconds);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let fraction = format!("{:09}", self.0.rem_euclid(Self::SECOND));
        match fraction.trim_end_matches('0') {
            "" => f.write_str("Z"),
            fraction => write!(f, ".{fraction}Z"),
        }
    }
}

/// A day in seconds.
const DAY: i64 = 24 * 60 * 60;

/// Hour, minute and second of a time in seconds.
fn time(seconds: i64) -> (i64, i64, i64) {
    let of_day = seconds.rem_euclid(DAY);
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that a leap
/// day is the last of its year and the length of months follows a linear formula.
fn date(day: i64) -> (i64, i64, i64) {
    const FOUR_CENTURIES: i64 = 400 * 365 + 97;
    // From 0000-03-01, the start of a cycle of four centuries.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(FOUR_CENTURIES), day.rem_euclid(FOUR_CENTURIES));
    let leap_days = day / 1460 - day / 36_524 + day / (FOUR_CENTURIES - 1);
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year + i64::from(month >= 10);
    (year, (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_the_platform_writes_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_738_778_729, "2025-02-05T18:05:29.007Z"),
            (1_772_323_199, "2026-02-28T23:59:59.007Z"),
            (1_772_323_200, "2026-03-01T00:00:00.007Z"),
            (4_107_542_399, "2100-02-28T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
            (-1, "1969-12-31T23:59:59.007Z"),
        ] {
            assert_eq!(Timestamp { millis: seconds * 1000 + 7 }.to_string(), text);
        }
    }

    #[test]
    fn the_vault_writes_times_as_go_does() {
        for (nanos, text, header) in [
            (0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1, "1970-01-01T00:00:00.000000001Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_500_000_000, "1994-11-06T08:49:37.5Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert_eq!(
                (Nanos(nanos).to_string(), Nanos(nanos).http_date()),
                (text.to_owned(), header.to_owned())
            );
        }
    }
}
