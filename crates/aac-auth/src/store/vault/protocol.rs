//! What follows from what a vault says: decisions, apart from the requests.
//!
//! A read may be old, and a refusal proves nothing: a standby that lags behind refuses valid writes, and a
//! write that ended in an error may be applied later. Only a write that was acknowledged is a fact, or a
//! version newer than the one that was written to.

use std::time::Duration;

/// How long a claim counts though nothing is heard of its holder: longer than a holder may take from its
/// claim to the end of its attempts (130 s), and a new leader to be elected (22 s).
pub(crate) const TAKEOVER: Duration = Duration::from_secs(180);
/// How old a claim may be when the token is sent.
pub(crate) const GATE: Duration = Duration::from_secs(5);
/// How long a refusal of a token counts, in seconds: tokens can be disabled, and enabled again.
pub(crate) const REFUSAL_COUNTS: u64 = 600;
/// How long a failure counts for programs that waited behind it, in seconds.
pub(crate) const FAILURE_COUNTS: u64 = 60;

/// What became of a write with check-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is applied.
    Applied,
    /// Another write was applied in its place.
    Superseded,
    /// Nobody knows. To send the same write again is safe: it can be applied only once.
    Unknown,
}

/// Decides after a write to the version `base` that was not acknowledged. `newest` is the newest version
/// that a read has shown; `is_ours` tells whether the version after `base` is the one that was written.
pub(crate) fn settle(
    base: u64,
    newest: Option<u64>,
    is_ours: impl FnOnce() -> Option<bool>,
) -> Settled {
    match newest {
        Some(newest) if newest > base => match is_ours() {
            Some(true) => Settled::Applied,
            Some(false) => Settled::Superseded,
            None => Settled::Unknown,
        },
        _ => Settled::Unknown,
    }
}

/// What a claim in the secret means to another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody claims the token.
    None,
    /// A program is refreshing it.
    Alive,
    /// That program has not been heard of for too long.
    Dead,
}

/// Judges a claim that has been seen unchanged for so long, by this machine's own clock.
pub(crate) fn holder(is_claimed: bool, unchanged: Duration, takeover: Duration) -> Holder {
    match is_claimed {
        false => Holder::None,
        true if unchanged >= takeover => Holder::Dead,
        true => Holder::Alive,
    }
}

/// Whether the token may be sent so long after its claim was written, by each clock.
pub(crate) fn may_send(monotonic: Duration, wall: Option<Duration>) -> bool {
    monotonic <= GATE && wall.is_some_and(|wall| wall <= GATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_version_settles_a_write() {
        for (newest, is_ours, expected) in [
            (None, Some(true), Settled::Unknown),
            (Some(6), Some(true), Settled::Unknown),
            (Some(7), Some(false), Settled::Unknown),
            (Some(8), Some(true), Settled::Applied),
            (Some(9), Some(true), Settled::Applied),
            (Some(8), Some(false), Settled::Superseded),
            (Some(8), None, Settled::Unknown),
        ] {
            assert_eq!(settle(7, newest, || is_ours), expected, "{newest:?} {is_ours:?}");
        }
    }

    #[test]
    fn a_claim_counts_until_its_holder_must_have_ended() {
        let holder =
            |is_claimed, unchanged| holder(is_claimed, Duration::from_secs(unchanged), TAKEOVER);
        assert_eq!(holder(false, 500), Holder::None);
        assert_eq!(holder(true, 0), Holder::Alive);
        assert_eq!(holder(true, 179), Holder::Alive);
        assert_eq!(holder(true, 180), Holder::Dead);
    }

    #[test]
    fn a_token_is_sent_right_after_its_claim_by_every_clock() {
        let seconds = Duration::from_secs;
        assert!(may_send(seconds(5), Some(seconds(5))));
        assert!(!may_send(seconds(6), Some(seconds(0))), "the machine was busy");
        assert!(!may_send(seconds(0), Some(seconds(6))), "the machine was suspended");
        assert!(!may_send(seconds(0), None), "the clock was set back");
    }
}
