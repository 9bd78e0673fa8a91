//! The user's settings: the three files as editors leave them, the hosts, the options.

#[cfg(feature = "clap")]
mod flags;
pub(crate) mod options;
pub(crate) mod settings;
pub(crate) mod text;
pub(crate) mod trust;

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a timeout may be. No server waits longer than a day; a year would overflow some systems' timers.
pub(crate) const TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
