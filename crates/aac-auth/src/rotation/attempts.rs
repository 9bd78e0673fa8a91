//! How often a refresh token is sent: the decisions, separate from the sending. The table is in
//! ROTATION.md, beside this crate's Cargo.toml.

use std::time::Duration;

/// The time limit for the first send, from the first connection on. While a connection is alive, its
/// response may still come.
pub(crate) const FIRST: Duration = Duration::from_secs(100);
/// The time limit for the second send, from the end of the first, so that a grace period can still help.
pub(crate) const SECOND: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The pauses before retrying a connection.
const CONNECT_PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The pause before the token is sent the second time.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// The outcome of a request that was to carry the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// The token never left this machine.
    NotSent { is_lasting: bool },
    /// 429: rejected before anything was done.
    Busy { wait: Option<Duration> },
    /// Rejected; the token is not used up.
    Refused,
    /// Sent, and the response was lost or unusable: the token may be used up. This includes 503, because
    /// the server behind a gateway may have done its work.
    InDoubt { wait: Option<Duration> },
    /// Sent, and an error came in place of tokens, with a status of success: the token may be used up, but
    /// the server has said all that it says.
    Error,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    SendAfter(Duration),
    Fail,
}

/// The attempts at one refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempts {
    connects: u8,
    has_waited: bool,
    /// Whether the response to the first request with the token was lost.
    is_lost: bool,
}

impl Attempts {
    /// Whether the token may be used up, after its outcomes so far.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_lost
    }

    /// What to do after this outcome, if there is time.
    pub(crate) fn next(&mut self, outcome: Outcome) -> Next {
        let pause = match outcome {
            Outcome::Refused | Outcome::NotSent { is_lasting: true } => None,
            Outcome::NotSent { is_lasting: false } => {
                let pause = CONNECT_PAUSES.get(usize::from(self.connects)).copied();
                self.connects = self.connects.saturating_add(1);
                pause
            }
            Outcome::Busy { wait } => {
                let pause = wait.unwrap_or(DOUBT_PAUSE);
                let may_wait = !std::mem::replace(&mut self.has_waited, true);
                (may_wait && pause <= LONGEST_WAIT).then_some(pause)
            }
            Outcome::Error => {
                self.is_lost = true;
                None
            }
            // Sending again can only help: see `SendAgain`.
            Outcome::InDoubt { wait } => {
                let pause = wait.unwrap_or(DOUBT_PAUSE).max(DOUBT_PAUSE);
                let is_first = !std::mem::replace(&mut self.is_lost, true);
                (is_first && pause <= LONGEST_WAIT).then_some(pause)
            }
        };
        pause.map_or(Next::Fail, Next::SendAfter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Outcome = Outcome::InDoubt { wait: None };
    const UNREACHED: Outcome = Outcome::NotSent { is_lasting: false };

    fn after(seconds: f32) -> Next {
        Next::SendAfter(Duration::from_secs_f32(seconds))
    }

    fn busy(seconds: u64) -> Outcome {
        Outcome::Busy { wait: Some(Duration::from_secs(seconds)) }
    }

    fn unavailable(seconds: u64) -> Outcome {
        Outcome::InDoubt { wait: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn each_row_of_the_table() {
        for (outcomes, expected) in [
            (&[Outcome::Refused][..], &[Next::Fail][..]),
            (&[Outcome::NotSent { is_lasting: true }], &[Next::Fail]),
            (&[UNREACHED; 4], &[after(0.5), after(1.0), after(2.0), Next::Fail]),
            (&[busy(3), busy(3)], &[after(3.0), Next::Fail]),
            (&[busy(11)], &[Next::Fail]),
            (&[LOST, LOST], &[after(1.0), Next::Fail]),
            (&[LOST, UNREACHED, LOST], &[after(1.0), after(0.5), Next::Fail]),
            (&[unavailable(9), LOST], &[after(9.0), Next::Fail]),
            (&[unavailable(0), LOST], &[after(1.0), Next::Fail]),
            (&[unavailable(11)], &[Next::Fail]),
            (&[Outcome::Error], &[Next::Fail]),
            (&[LOST, Outcome::Error], &[after(1.0), Next::Fail]),
            (&[busy(3), LOST, busy(3)], &[after(3.0), after(1.0), Next::Fail]),
        ] {
            let mut attempts = Attempts::default();
            let next: Vec<_> = outcomes.iter().map(|&outcome| attempts.next(outcome)).collect();
            assert_eq!(next, expected, "{outcomes:?}");
            let is_lost =
                |outcome: &Outcome| matches!(outcome, Outcome::InDoubt { .. } | Outcome::Error);
            assert_eq!(attempts.is_in_doubt(), outcomes.iter().any(is_lost));
        }
    }
}
