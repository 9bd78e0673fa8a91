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
const REFUSAL_COUNTS: u64 = 600;
/// How long a token is not sent that came without an access token of use, in seconds.
const UNUSED_COUNTS: u64 = 600;
/// How long a failure counts for programs that waited behind it, in seconds.
const FAILURE_COUNTS: u64 = 60;

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

/// Whether a read tells more than what is known: a standby that lags behind shows an older version. 0 is
/// no secret.
pub(crate) fn is_newer(known: u64, read: u64) -> bool {
    read == 0 || read >= known
}

/// Whether a read shows a secret that was deleted with all its versions, and made anew: its numbers begin
/// again, but it was written later. Each version is given by its number, and when it was written.
pub(crate) fn is_made_anew(known: (u64, Option<f64>), read: (u64, Option<f64>)) -> bool {
    let is_later = known.1.zip(read.1).is_some_and(|(known, read)| read > known);
    read.0 > 0 && read.0 <= known.0 && is_later
}

/// What a claim in the secret means to another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// Whether a run goes on to recovery. What an earlier run of this machine has saved is committed whoever
/// claims the token: the claim may be that very run's, and nobody else has its pair.
pub(crate) fn may_recover(holder: Holder, is_known_as_used: bool) -> bool {
    holder != Holder::Alive || is_known_as_used
}

/// Whether another program may have used the token: one that claims it, or one that has failed with it.
pub(crate) fn is_in_doubt<C: PartialEq>(
    claim: Option<&C>,
    ours: Option<&C>,
    has_failed: bool,
) -> bool {
    has_failed || claim.is_some() && claim != ours
}

/// What others have said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    /// It is dead.
    Refused,
    /// It came without an access token of use.
    Unused,
    /// The program that this one has waited for has failed with it.
    Failed,
}

/// What to report instead of sending a token. Each note about it is so many seconds old, by the vault's
/// clock; `failed` only if this run has waited for the program that wrote it.
pub(crate) fn told(refused: Option<u64>, unused: Option<u64>, failed: Option<u64>) -> Told {
    let counts = |age: Option<u64>, seconds| age.is_some_and(|age| age < seconds);
    if counts(refused, REFUSAL_COUNTS) {
        Told::Refused
    } else if counts(unused, UNUSED_COUNTS) {
        Told::Unused
    } else if counts(failed, FAILURE_COUNTS) {
        Told::Failed
    } else {
        Told::Nothing
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
    fn a_standby_that_lags_behind_tells_nothing() {
        assert!(is_newer(0, 7) && is_newer(7, 7) && is_newer(7, 8) && is_newer(7, 0));
        assert!(!is_newer(7, 6));
    }

    #[test]
    fn a_secret_that_is_made_anew_counts_from_one() {
        let known = (7, Some(1000.5));
        assert!(is_made_anew(known, (1, Some(1000.6))) && is_made_anew(known, (7, Some(1000.6))));
        for read in [(0, None), (1, None), (7, Some(1000.5)), (6, Some(1000.4)), (8, Some(1000.6))]
        {
            assert!(!is_made_anew(known, read), "{read:?}");
        }
        assert!(!is_made_anew((7, None), (1, Some(1000.6))), "nobody knows");
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
    fn what_is_saved_here_does_not_wait_for_a_claim() {
        for (holder, is_known, expected) in [
            (Holder::None, false, true),
            (Holder::Dead, false, true),
            (Holder::Alive, false, false),
            (Holder::Alive, true, true),
        ] {
            assert_eq!(may_recover(holder, is_known), expected, "{holder:?} {is_known}");
        }
    }

    #[test]
    fn a_claim_of_another_program_is_a_doubt() {
        assert!(!is_in_doubt(None::<&u8>, None, false));
        assert!(!is_in_doubt(Some(&1), Some(&1), false), "our own");
        assert!(is_in_doubt(Some(&1), Some(&2), false));
        assert!(is_in_doubt(Some(&1), None, false));
        assert!(is_in_doubt(None::<&u8>, None, true));
    }

    #[test]
    fn notes_count_for_a_while() {
        for (refused, unused, failed, expected) in [
            (None, None, None, Told::Nothing),
            (Some(0), None, None, Told::Refused),
            (Some(599), Some(0), Some(0), Told::Refused),
            (Some(600), Some(599), Some(0), Told::Unused),
            (Some(600), Some(600), Some(59), Told::Failed),
            (Some(600), None, Some(60), Told::Nothing),
        ] {
            let found = told(refused, unused, failed);
            assert_eq!(found, expected, "{refused:?} {unused:?} {failed:?}");
        }
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
