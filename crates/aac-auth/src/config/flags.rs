//! The values of the flags that [`ConnectionOptions`](crate::ConnectionOptions) has in a program that uses clap.

use crate::config::TIMEOUTS;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::path::PathBuf;
use std::time::Duration;

/// A path that may be empty: in a shell, `AAC_DIR=` unsets it for one command.
pub(crate) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Parses a positive number of seconds, with or without a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds =
        text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| TIMEOUTS.contains(time))
        .ok_or_else(|| "a number of seconds, more than 0 and at most 86400".to_owned())
}
