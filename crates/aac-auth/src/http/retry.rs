//! When to retry: as the server asks, or with a backoff if it does not say.

use crate::random;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, HeaderValue, header};

/// Whether a server with this status may succeed at the next try: those of curl's `--retry`, 425 (RFC 8470
/// §5.2), and those of Cloudflare for a server that it cannot reach.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 520..=524)
}

/// How long the server asks to wait: the longer of `Retry-After` (RFC 9110 §10.2.3: seconds or a date) and
/// Alteryx Cloud's `x-retry-after` (seconds).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let wait = |text: &str| {
        let date = || Some(until(httpdate::parse_http_date(text).ok()?, headers));
        seconds(text).or_else(date)
    };
    let named = ["retry-after", "x-retry-after"].into_iter().flat_map(|name| headers.get_all(name));
    named.filter_map(|value| wait(value.to_str().ok()?.trim())).max()
}

/// How long a quota lasts that is used up: `x-rate-limit-user-reset` and `-workspace-reset`. The
/// documentation calls them seconds; its examples are milliseconds since 1970. Other services count seconds
/// from now.
pub(crate) fn quota_reset(headers: &HeaderMap) -> Option<Duration> {
    let resets = headers.iter().filter_map(|(name, value)| {
        let quota =
            name.as_str().strip_suffix("-reset").filter(|name| name.starts_with("x-rate"))?;
        let is_left = |left: &HeaderValue| left.to_str().is_ok_and(|left| left.trim() != "0");
        if headers.get(format!("{quota}-remaining")).is_some_and(is_left) {
            return None;
        }
        let reset = seconds(value.to_str().ok()?.trim())?;
        let since_1970 = match reset.as_secs() {
            ..1_000_000_000 => return Some(reset),
            1_000_000_000..100_000_000_000 => reset,
            _ => reset / 1000,
        };
        Some(until(SystemTime::UNIX_EPOCH.checked_add(since_1970)?, headers))
    });
    resets.max()
}

/// A number of seconds, rounded up.
fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_sign_positive())?;
    Duration::try_from_secs_f64(seconds.ceil()).ok()
}

/// How long it is until then, by the server's own clock if it sends the time: the local clock may be hours
/// off.
fn until(then: SystemTime, headers: &HeaderMap) -> Duration {
    let now = server_time(headers).unwrap_or_else(SystemTime::now);
    then.duration_since(now).unwrap_or_default()
}

/// The time by the server's clock, in whole seconds, if it sends that (`Date`, RFC 9110 §6.6.1).
pub(crate) fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

/// The least pause before the next try: it doubles from half a second. Jitter of half its length keeps many
/// programs from coming back at the same moment.
pub(crate) fn backoff(tries_before: u32) -> Duration {
    let whole = Duration::from_millis(500 << tries_before.min(6));
    jittered(whole)
}

/// A random time between half of it and all of it.
pub(crate) fn jittered(whole: Duration) -> Duration {
    let random = random::number() % 1024;
    whole / 2 + whole * u32::try_from(random).unwrap_or(0) / 2048
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_every_form() {
        for (headers, seconds) in [
            (vec![("retry-after", "3")], Some(3)),
            (vec![("retry-after", " 0 ")], Some(0)),
            (vec![("x-retry-after", "57")], Some(57)),
            (vec![("retry-after", "soon"), ("x-retry-after", "1.2")], Some(2)),
            (vec![("retry-after", "3"), ("x-retry-after", "57")], Some(57)),
            (vec![("retry-after", "57"), ("x-retry-after", "3")], Some(57)),
            (vec![("retry-after", "3"), ("retry-after", "9")], Some(9)),
            (vec![("retry-after", "0"), ("x-retry-after", "0")], Some(0)),
            (
                vec![
                    ("date", "Mon, 23 Nov 2026 10:00:00 GMT"),
                    ("retry-after", "Mon, 23 Nov 2026 10:00:09 GMT"),
                ],
                Some(9),
            ),
            (
                vec![
                    ("date", "Mon, 23 Nov 2026 10:00:00 GMT"),
                    ("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT"),
                ],
                Some(0),
            ),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "1e300")], None),
            (vec![], None),
        ] {
            let map = headers_of(&headers);
            assert_eq!(retry_after(&map).map(|wait| wait.as_secs()), seconds, "{map:?}");
        }
    }

    fn headers_of(headers: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_quota_that_is_used_up_is_waited_for() {
        // 10:00:00 on 2026-11-23, by the server's clock.
        const DATE: (&str, &str) = ("date", "Mon, 23 Nov 2026 10:00:00 GMT");
        const USER: &str = "x-rate-limit-user-reset";
        const WORKSPACE: &str = "x-rate-limit-workspace-reset";
        for (headers, seconds) in [
            (vec![(USER, "1795428009000")], Some(9)),
            (vec![(USER, "1795428009")], Some(9)),
            (vec![(USER, "9")], Some(9)),
            (vec![(USER, "8.2")], Some(9)),
            (vec![(USER, "1795427000000")], Some(0)),
            (vec![(USER, "9"), (WORKSPACE, "1795428030000")], Some(30)),
            // Only one of them is used up.
            (
                vec![
                    (USER, "9"),
                    ("x-rate-limit-user-remaining", "0"),
                    (WORKSPACE, "30"),
                    ("x-rate-limit-workspace-remaining", "12"),
                ],
                Some(9),
            ),
            (vec![(USER, "9"), ("x-rate-limit-user-remaining", "1")], None),
            (vec![("x-rate-limit-reset", "9"), ("x-ratelimit-reset", "7")], Some(9)),
            (vec![(USER, "soon"), (WORKSPACE, "-1")], None),
            (vec![(USER, "1e300")], None),
            (vec![("reset", "9")], None),
            (vec![], None),
        ] {
            let map = headers_of(&[&[DATE], &headers[..]].concat());
            assert_eq!(quota_reset(&map).map(|wait| wait.as_secs()), seconds, "{headers:?}");
        }
    }

    #[test]
    fn pauses_grow_and_vary() {
        for tries in [0, 1, 5, u32::MAX] {
            let whole = Duration::from_millis(500 << tries.min(6));
            let pauses: Vec<_> = (0..64).map(|_| backoff(tries)).collect();
            assert!(pauses.iter().all(|pause| (whole / 2..=whole).contains(pause)));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
