//! When to retry: as the server asks, or with a backoff if it does not say.

use crate::random;
use std::time::{Duration, SystemTime};
use ureq::http::{HeaderMap, header};

/// How long the server asks to wait: `Retry-After` (RFC 9110 §10.2.3: seconds or a date), or Alteryx
/// Cloud's `x-retry-after` (seconds).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| {
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_sign_positive())?;
        Duration::try_from_secs_f64(seconds.ceil()).ok()
    };
    let date = |text: &str| {
        // By the server's own clock if it sends the time: the local clock may be hours off.
        let date = |name: header::HeaderName| {
            httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
        };
        let now = date(header::DATE).unwrap_or_else(SystemTime::now);
        Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
    };
    let standard = text("retry-after").and_then(|text| seconds(text).or_else(|| date(text)));
    standard.or_else(|| text("x-retry-after").and_then(seconds))
}

/// The pause before the next try if the server names none: it doubles from half a second. Jitter of
/// half its length keeps many programs from coming back at the same moment.
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
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(name, value.parse().unwrap());
            }
            assert_eq!(retry_after(&map).map(|wait| wait.as_secs()), seconds, "{map:?}");
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
