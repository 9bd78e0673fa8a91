//! Points in time.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

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
}

impl fmt::Display for Timestamp {
    /// As the platform writes it: ISO 8601 in UTC, with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let (year, month, day) = date(self.millis.div_euclid(DAY));
        let millis = self.millis.rem_euclid(DAY);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, millis) = (millis / 1000 % 60, millis % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
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
}
