//! A refresh as a value: its steps in their order, without files, network, threads or a clock.
//!
//! What came of one step is put in, and what to do next comes out: [`Refresh::next`]. The program carries
//! it out, and the exploration walks the very same value through every state of a small world. What is
//! found is judged in `recovery`, how often a token is sent in `attempts`. What the files are, and what is
//! promised: ROTATION.md, beside this crate's Cargo.toml.
//!
//! A token has a name `N`: its digest, or a number in the worlds. The machine knows names alone; bytes,
//! errors, the journal and the right to send are with whoever carries out its effects.
//!
//! A last look is never an effect of its own, since everything may change between two effects: it is a flag
//! of the effect that it guards.

use crate::rotation::attempts::{Attempts, Next, Outcome};
use crate::rotation::recovery::{
    Commit, JournalState, Now, PriorAttempt, Recovery, Saved, State, commit, decide, is_kept,
    is_news, may_replace,
};
use crate::store::home::HomeKind;
use crate::store::vault::protocol::{Holder, may_recover, may_send};
use std::time::Duration;

/// How often in a row a token is claimed again because it could not be sent soon enough.
const MOST_LATE: u8 = 2;

/// What to do. `if_held`: only while the lock file still has its name. `if_same`: only while the home holds
/// what was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Do<N> {
    /// Read the home without a lock: another run may have saved what this one wants.
    Read,
    /// Take the lock. `if_unused`: only if no journal is in use, whose run has lost the lock file.
    Lock {
        if_unused: bool,
    },
    Wait(Until),
    /// Read all that stands beside the home, and then the home.
    Look,
    /// Note in the record that a token was used, and what came of it.
    Record(Pair<N>),
    Remove {
        what: Kept<N>,
        if_held: bool,
    },
    /// Keep the journal as a pair that is set aside.
    SetAside {
        if_held: bool,
    },
    /// Keep a copy of what the home holds, and is of no use, before this pair replaces it.
    KeepDamaged(Kept<N>),
    /// Put a pair into the home. `is_only_copy`: no other place has it.
    Replace {
        what: Kept<N>,
        if_held: bool,
        if_same: bool,
        is_only_copy: bool,
    },
    /// Replace the home by itself, to see whether that is possible.
    Rehearse {
        token: N,
        if_same: bool,
    },
    /// Begin the journal of this token, in place of one that is of no more use.
    Begin {
        token: N,
        if_held: bool,
    },
    /// Claim the token, for all machines; or once more, because it could not be sent soon enough.
    Claim(Deadline),
    /// Write what was read, to see whether that is the newest version.
    Prove,
    /// Connect, for the first time with this token on its way or once more.
    Send(Deadline),
    /// From within the send, once connected: hold signals.
    HoldSignals,
    /// From within the send: let the token leave. Anything else keeps it.
    Go,
    FreeSignals,
    /// Save the response as it came.
    Save,
    /// See what the response holds.
    Parse,
    /// Read the home before the response is committed.
    LookAgain,
    /// Save the response in a file of its own.
    SaveAside,
    /// Note a failure in the journal, for those that wait.
    Note {
        told: Told,
        in_doubt: bool,
    },
    /// Note in the journal that the token which came is not to be sent for a while.
    NoteUnused {
        token: N,
    },
    /// Leave no trace of a token that was not sent; the journal may tell of an earlier one.
    Withdraw {
        keeps_journal: bool,
    },
    /// Note that the token in the home is dead, for all machines.
    Refuse,
    /// Let go of the journal, and of signals.
    Close,
    /// Let go of the lock, and of all that is held under it.
    LetGo,
    /// The same, and ask for the keys of what stays closed without them: no keeper is asked under the lock.
    FetchKeys,
    End(End<N>),
}

/// A token that was used, and the one that came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Pair<N> {
    pub(crate) spent: N,
    pub(crate) next: N,
}

impl<N: Copy> From<&Saved<N>> for Pair<N> {
    fn from(pair: &Saved<N>) -> Self {
        Self { spent: pair.spent, next: pair.next }
    }
}

/// Where a pair is kept beside the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kept<N> {
    Journal(Pair<N>),
    Aside(Pair<N>),
}

impl<N: Copy> Kept<N> {
    pub(crate) fn pair(&self) -> Pair<N> {
        match *self {
            Self::Journal(pair) | Self::Aside(pair) => pair,
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Until {
    /// That another program lets go of the lock, or has saved a token.
    Turn,
    /// This pause before the token is sent.
    Paused(Duration, Deadline),
    /// That the home has another token: a program without the lock may be about to save it.
    Changed,
}

/// By when an attempt must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Deadline {
    /// [`attempts::FIRST`](crate::rotation::attempts::FIRST) after the first connection.
    First,
    /// [`attempts::SECOND`](crate::rotation::attempts::SECOND) after the response was lost.
    Second,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct End<N> {
    pub(crate) told: Told,
    /// What is said of which token.
    pub(crate) says: Option<Says<N>>,
    pub(crate) if_held: bool,
}

/// "Your tokens are unchanged", or, in doubt, "an earlier run may have used the refresh token".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Says<N> {
    pub(crate) token: N,
    pub(crate) in_doubt: bool,
}

/// What a run ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// The token that the home holds.
    Found,
    /// The token that came.
    New,
    /// The token that came, which is still in the journal, or in a file of its own.
    NotCommitted,
    /// The token of a saved pair that could not be put into the home; it may do for now.
    NotRestored,
    /// A token came, and no place took it.
    NotSaved,
    /// A refresh token came, without an access token of use.
    Unused,
    /// Others have had the lock for too long.
    Late,
    /// The pair in the home is not whole.
    Unusable,
    /// What another run has noted.
    Noted,
    OlderCopy,
    SeveralAccounts,
    NoTokens,
    /// A pair beside the home stays closed.
    Closed,
    /// Someone keeps changing the home.
    Changing,
    /// The token is dead, and so are those that were set aside.
    Dead,
    /// The token could not be sent soon enough after its claim.
    TooSlow,
    /// The response was lost: graver than what came later.
    Lost,
    /// The error of the last effect; that of a lock which cannot be taken says what the journal does, which was
    /// read then.
    Failed,
}

/// What came of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Came<'a, N> {
    Done,
    Failed,
    /// Another program has the lock.
    Taken,
    /// Nothing was done, because others do not see the lock any more.
    LockLost,
    /// Nothing was done, because the home holds something else by now.
    NotAsExpected,
    NotThere,
    TimeIsUp,
    /// Whether the token in the home will do; who claims it; and whether this machine has saved what came of
    /// it.
    Read {
        will_do: bool,
        holder: Holder,
        is_saved_here: bool,
    },
    Looked(Seen<'a, N>),
    /// What was seen is not judged: keys are wanted that were not asked for yet.
    KeysWanted,
    /// How long ago the claim was about to be written, if there is one, by the clock that stops while the machine
    /// sleeps, and by the one that is set; and whether a signal ends the run.
    Connected {
        claimed: Option<(Duration, Option<Duration>)>,
        is_ending: bool,
    },
    Arrived,
    InvalidGrant,
    /// An attempt without a response of use.
    Outcome(Outcome),
    /// The token that came, and whether the access token beside it is of use.
    Parsed {
        next: N,
        is_usable: bool,
    },
    Now(Now<N>),
}

/// What was seen under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen<'a, N> {
    pub(crate) state: State<'a, N>,
    /// The access token in the home; none if its pair is not whole.
    pub(crate) access: Option<Access>,
    pub(crate) account: Option<N>,
    /// Whether another program may have used the token, as the home says.
    pub(crate) in_doubt: bool,
    /// Whether the home holds text without a token, which is not a torn write of ours.
    pub(crate) is_damaged: bool,
    /// For how long this call has been running, in milliseconds.
    pub(crate) running_for: i64,
}

impl<N: Copy + PartialEq> Seen<'_, N> {
    /// Whether a pair that is set aside may be of use.
    fn is_kept(&self, pair: &Saved<N>) -> bool {
        let in_pair = self.state.creds.filter(|_| self.access.is_some());
        is_kept(pair, in_pair, self.state.spent)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// It will do for a call.
    WillDo,
    Stale,
}

/// How often something may change under the run before it gives up; none counts in most of the worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    pub(crate) home: HomeKind,
    /// Looks under one lock.
    pub(crate) rounds: Option<u8>,
    /// Looks at the home before a commit.
    pub(crate) looks: Option<u8>,
}

/// A run, from its first look at the home to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refresh<N> {
    bounds: Bounds,
    /// What is being done.
    doing: Do<N>,
    /// What follows without a decision.
    tail: Option<Tail<N>>,
    has_waited: bool,
    rounds: u8,
    /// A pair that is of no more use could not be removed.
    is_untidy: bool,
    /// The server has refused the token in the home.
    refused: Option<Refused<N>>,
    using: Option<Using<N>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Refused<N> {
    token: N,
    /// How many of the pairs set aside are older than the one that was tried last in its place.
    left: Option<u32>,
}

/// A token in use, from the rehearsal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Using<N> {
    token: N,
    /// The token that the home holds.
    in_home: N,
    /// The pair set aside that the token is of, if it is not the home's.
    aside: Option<Pair<N>>,
    /// An earlier run may have used it.
    was_in_doubt: bool,
    /// Nothing but the journal that is there tells so.
    keeps_journal: bool,
    /// What came, and whether its access token is of use.
    next: Option<(N, bool)>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Progress {
    attempts: Attempts,
    /// How often in a row its claim was too old.
    late: u8,
    pause: Duration,
    holds_signals: bool,
    is_saved: bool,
    looks: u8,
}

impl<N: Copy> Using<N> {
    /// Whether its response was lost.
    fn is_lost(&self) -> bool {
        self.progress.attempts.is_in_doubt()
    }

    fn says(&self) -> Says<N> {
        Says { token: self.token, in_doubt: self.was_in_doubt || self.is_lost() }
    }

    fn deadline(&self) -> Deadline {
        if self.is_lost() { Deadline::Second } else { Deadline::First }
    }

    fn wait(&self) -> Do<N> {
        Do::Wait(Until::Paused(self.progress.pause, self.deadline()))
    }
}

/// Effects that follow one another, each with what its failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tail<N> {
    steps: &'static [(Step, Or)],
    then: Then,
    /// The pair that it is about.
    about: Option<Kept<N>>,
    says: Option<Says<N>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Record,
    Remove,
    SetAside,
    KeepDamaged,
    Restore,
    Commit,
    /// Remove the journal; or note in it that the token which came is not to be sent.
    Forget,
    SaveAside,
    /// Set the journal aside, or save what it has not taken.
    Keep,
    /// About the pair set aside whose token was used.
    RecordUsed,
    RemoveUsed,
    Note,
    Refuse,
    Withdraw,
    Close,
}

/// What a failure means. A lock that is lost ends all but what goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Or {
    GoOn,
    /// Leave out the next step as well.
    Skip,
    /// Look again, and do not try to tidy up any more.
    Untidy,
    SaveElsewhere,
    End(Told),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Then {
    /// A new round.
    Look,
    /// The same round.
    GoOnLooking,
    Change,
    LetGo,
    End(Told),
}

// What an earlier run has left.
const TIDY: &[(Step, Or)] = &[(Step::Record, Or::GoOn), (Step::Remove, Or::Untidy)];
const DROP_JOURNAL: &[(Step, Or)] =
    &[(Step::Record, Or::GoOn), (Step::Remove, Or::End(Told::Failed))];
const SET_JOURNAL_ASIDE: &[(Step, Or)] =
    &[(Step::SetAside, Or::End(Told::Failed)), (Step::Record, Or::GoOn)];
const RESTORE: &[(Step, Or)] = &[
    (Step::KeepDamaged, Or::End(Told::NotRestored)),
    (Step::Restore, Or::End(Told::NotRestored)),
    (Step::Record, Or::GoOn),
    (Step::Remove, Or::End(Told::Failed)),
];

// What this run has got.
const COMMIT: &[(Step, Or)] = &[
    (Step::KeepDamaged, Or::SaveElsewhere),
    (Step::Commit, Or::SaveElsewhere),
    (Step::Record, Or::GoOn),
    (Step::Forget, Or::GoOn),
    (Step::RecordUsed, Or::GoOn),
    (Step::RemoveUsed, Or::GoOn),
];
const SAVE_ASIDE: &[(Step, Or)] = &[
    (Step::SaveAside, Or::End(Told::NotSaved)),
    (Step::RecordUsed, Or::GoOn),
    (Step::RemoveUsed, Or::GoOn),
];
const GIVE_WAY: &[(Step, Or)] =
    &[(Step::Keep, Or::Skip), (Step::Record, Or::GoOn), (Step::Close, Or::GoOn)];
const LEAVE: &[(Step, Or)] =
    &[(Step::Keep, Or::End(Told::NotSaved)), (Step::Record, Or::GoOn), (Step::Close, Or::GoOn)];

// What this run has not got.
const FAIL: &[(Step, Or)] = &[(Step::Note, Or::GoOn)];
const REFUSE: &[(Step, Or)] = &[(Step::Refuse, Or::GoOn)];
const WITHDRAW: &[(Step, Or)] = &[(Step::Withdraw, Or::GoOn)];
const REFUSED: &[(Step, Or)] = &[
    (Step::Note, Or::GoOn),
    (Step::Close, Or::GoOn),
    (Step::RecordUsed, Or::GoOn),
    (Step::RemoveUsed, Or::GoOn),
];

impl<N: Copy + Eq> Refresh<N> {
    /// A run that begins with a look at the home. `has_waited`: for another thread.
    pub(crate) fn new(bounds: Bounds, has_waited: bool) -> Self {
        let (tail, refused, using) = (None, None, None);
        let (doing, rounds, is_untidy) = (Do::Read, 0, false);
        Self { bounds, doing, tail, has_waited, rounds, is_untidy, refused, using }
    }

    pub(crate) fn doing(&self) -> Do<N> {
        self.doing
    }

    /// Whether the token in use may have been used before.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.says().is_some_and(|says| says.in_doubt)
    }

    /// Whether what came is saved.
    pub(crate) fn is_saved(&self) -> bool {
        self.using.is_some_and(|using| using.progress.is_saved)
    }

    /// What to do after this came of what was done.
    pub(crate) fn next(&mut self, came: Came<'_, N>) -> Do<N> {
        self.doing = match (self.tail.take(), self.doing, came) {
            (Some(tail), ..) => self.after_step(tail, came),
            (_, Do::End(_), Came::LockLost) => self.let_go(),
            (_, Do::End(_), Came::Failed) => end(Told::Failed),
            _ if self.using.is_some() => self.after_use(came),
            _ => self.after(came),
        };
        self.doing
    }

    /// Its turn, and what is found then.
    fn after(&mut self, came: Came<'_, N>) -> Do<N> {
        match (self.doing, came) {
            (Do::Read, Came::Read { will_do: true, .. }) => end(Told::Found),
            (Do::Read, Came::Read { holder, is_saved_here, .. })
                if may_recover(holder, is_saved_here) =>
            {
                Do::Lock { if_unused: true }
            }
            (Do::Lock { .. }, Came::Done) => self.look(),
            (Do::Read, Came::Read { .. }) | (Do::Lock { .. }, Came::Taken) | (Do::LetGo, _) => {
                self.has_waited = true;
                Do::Wait(Until::Turn)
            }
            (Do::Wait(Until::Turn), Came::Done) | (Do::FetchKeys, _) => Do::Read,
            (Do::Wait(Until::Turn), Came::TimeIsUp) => end(Told::Late),
            (Do::Look, Came::Looked(seen)) => self.judge(&seen),
            (Do::Look, Came::KeysWanted) => match self.look() {
                Do::Look => Do::FetchKeys,
                too_often => too_often,
            },
            // Another program is at work on the home.
            (Do::Wait(Until::Changed), Came::NotAsExpected) => self.look(),
            (Do::Wait(Until::Changed), Came::TimeIsUp) => Do::Look,
            (Do::Prove, Came::Done) => end(Told::OlderCopy),
            (Do::Prove, Came::NotAsExpected) => self.look(),
            (Do::Lock { .. } | Do::Look | Do::Prove, Came::Failed) => end(Told::Failed),
            _ => unexpected(),
        }
    }

    /// What an earlier run has left comes first; then the token in the home is used.
    fn judge(&mut self, seen: &Seen<'_, N>) -> Do<N> {
        let state = &seen.state;
        if !self.is_untidy
            && let Some(dead) = state.set_aside.iter().find(|pair| !seen.is_kept(pair))
        {
            return self.tail(TIDY, Then::GoOnLooking, Some(Kept::Aside(dead.into())), None);
        }
        let journal = match state.journal {
            JournalState::Received { pair, .. } => Some(Kept::Journal(Pair::from(&pair))),
            _ => None,
        };
        // An error speaks of the token that the home holds then.
        let of_creds =
            state.creds.map(|token| Says { token, in_doubt: state.spent.newest(token).is_some() });
        let of = |kept: Kept<N>| Some(Says { token: kept.pair().next, in_doubt: false });
        let restore = if seen.is_damaged { RESTORE } else { &RESTORE[1..] };
        match (decide(state), journal) {
            (Recovery::DropJournal, Some(kept)) => {
                self.tail(DROP_JOURNAL, Then::Look, journal, of(kept))
            }
            (Recovery::SetJournalAside, _) => {
                self.tail(SET_JOURNAL_ASIDE, Then::Look, journal, of_creds)
            }
            (Recovery::CommitJournal { .. }, Some(kept)) => {
                // A note on the token that is in it counts first.
                let is_noted = matches!(state.journal, JournalState::Received { note: Some(note), pair, .. }
                    if note.unused == Some(pair.next));
                let restore = if is_noted { &restore[..restore.len() - 1] } else { restore };
                self.tail(restore, Then::Look, journal, of(kept))
            }
            (Recovery::Restore { pair, .. }, _) => {
                let kept = Kept::Aside(Pair::from(&pair));
                self.tail(restore, Then::Look, Some(kept), of(kept))
            }
            // The newer pair may be there by now.
            (Recovery::OlderCopy, _) if self.bounds.home == HomeKind::Vault => Do::Prove,
            (Recovery::OlderCopy, _) => end(Told::OlderCopy),
            (Recovery::SeveralAccounts, _) => end(Told::SeveralAccounts),
            (Recovery::NoTokens, _) => end(Told::NoTokens),
            (Recovery::Closed, _) => end(Told::Closed),
            (Recovery::Nothing(prior), _) => self.use_home(seen, Some(prior)),
            (Recovery::Report, _) => self.use_home(seen, None),
            _ => unexpected(),
        }
    }

    /// Uses the token in the home, unless it need not be. `prior`: none if it is not to be sent for a while.
    fn use_home(&mut self, seen: &Seen<'_, N>, prior: Option<PriorAttempt>) -> Do<N> {
        let Some(token) = seen.state.creds else { return end(Told::NoTokens) };
        if let Some(refused) = self.refused
            && refused.token == token
        {
            return self.use_in_place_of(refused, seen);
        }
        match (seen.access, prior) {
            (None, _) => end(Told::Unusable),
            (Some(Access::WillDo), _) => end(Told::Found),
            (_, None) => end(Told::Noted),
            (_, Some(prior)) => {
                if let JournalState::Unanswered { note: Some(note), .. } = seen.state.journal
                    && prior.is_noted
                    && is_news(&note, self.has_waited, seen.running_for)
                {
                    let says = Says { token, in_doubt: note.in_doubt };
                    return end_saying(Told::Noted, Some(says));
                }
                self.refused = None;
                let in_doubt = prior.in_doubt || seen.in_doubt;
                self.use_token(token, token, None, in_doubt, prior.in_doubt)
            }
        }
    }

    /// The token in the home is dead: a pair of the same account that was set aside may do.
    fn use_in_place_of(&mut self, refused: Refused<N>, seen: &Seen<'_, N>) -> Do<N> {
        let kept = seen.state.set_aside.iter().filter(|pair| seen.is_kept(pair));
        let kept = kept.filter(|pair| may_replace(pair, seen.account));
        // Newest first, and none twice, though one may be there still.
        let Some((pair, older)) = kept.zip(0..refused.left.unwrap_or(u32::MAX)).last() else {
            let steps = if self.bounds.home == HomeKind::Vault { REFUSE } else { &[] };
            return self.tail(steps, Then::End(Told::Dead), None, None);
        };
        self.refused = Some(Refused { left: Some(older), ..refused });
        // No journal is left that would tell whether an earlier run has used it.
        self.use_token(pair.next, refused.token, Some(pair.into()), true, true)
    }

    fn use_token(
        &mut self,
        token: N,
        in_home: N,
        aside: Option<Pair<N>>,
        was_in_doubt: bool,
        keeps_journal: bool,
    ) -> Do<N> {
        let (next, progress) = (None, Progress::default());
        let using = Using { token, in_home, aside, was_in_doubt, keeps_journal, next, progress };
        self.using = Some(using);
        Do::Rehearse { token, if_same: true }
    }

    /// A token is used: from the rehearsal to the response.
    fn after_use(&mut self, came: Came<'_, N>) -> Do<N> {
        let is_file = self.bounds.home == HomeKind::File;
        let Some(using) = &mut self.using else { return unexpected() };
        let &mut Using { token, aside, .. } = using;
        let (says, deadline) = (Some(using.says()), using.deadline());
        let Progress { attempts, late, holds_signals, .. } = &mut using.progress;
        match (self.doing, came) {
            (Do::Rehearse { .. }, Came::Done) => Do::Begin { token, if_held: true },
            (Do::Rehearse { .. }, Came::NotAsExpected) => self.look(),
            // Of no use after all. The next one may be.
            (Do::Rehearse { .. }, Came::NotThere) => self.tail(&[], Then::GoOnLooking, None, None),
            (Do::Rehearse { .. } | Do::Begin { .. }, Came::LockLost) => self.let_go(),
            (Do::Rehearse { .. }, Came::Failed) => end_saying(Told::Failed, says),
            (Do::Begin { .. }, Came::Failed) if is_file => end_saying(Told::Failed, says),
            (Do::Begin { .. }, Came::Done) if is_file => Do::Send(deadline),
            // A claim that its holder leaves behind lets all others wait.
            (Do::Begin { .. }, _) => Do::HoldSignals,
            (Do::HoldSignals, _) => {
                *holds_signals = true;
                if is_file { Do::Go } else { Do::Claim(deadline) }
            }
            (Do::Claim(_), Came::Done) => Do::Send(deadline),
            (Do::Claim(_), Came::Failed) if *late == 0 => self.leave(Then::End(Told::Failed)),
            (Do::Claim(_), Came::LockLost | Came::Failed) => self.stop(),
            (Do::Claim(_), Came::TimeIsUp) => self.fail(Told::TooSlow),
            (Do::Send(_), Came::Connected { claimed, is_ending }) => match claimed {
                // Until now a signal ends the run, and the lock with it.
                None if !*holds_signals => Do::HoldSignals,
                Some(_) if is_ending => self.stop(),
                // It is too old, so that another may be about to take over.
                Some((monotonic, wall)) if !may_send(monotonic, wall) => {
                    *late += 1;
                    if *late > MOST_LATE { self.fail(Told::TooSlow) } else { Do::Claim(deadline) }
                }
                _ => {
                    *late = 0;
                    Do::Go
                }
            },
            (Do::Send(_) | Do::Go | Do::Parse, Came::Outcome(outcome)) => {
                let Next::SendAfter(pause) = attempts.next(outcome) else {
                    return self.fail(Told::Failed);
                };
                using.progress.pause = pause;
                // Nothing is on its way: a signal that came meanwhile ends the run now.
                match is_file && using.progress.holds_signals && !using.is_lost() {
                    true => Do::FreeSignals,
                    false => using.wait(),
                }
            }
            (Do::FreeSignals, _) => {
                *holds_signals = false;
                using.wait()
            }
            (Do::Wait(Until::Paused(..)), Came::Done) => Do::Send(deadline),
            (Do::Wait(Until::Paused(..)), Came::TimeIsUp) => self.fail(Told::Failed),
            (Do::Rehearse { .. } | Do::Go | Do::Parse, Came::InvalidGrant) => {
                let (steps, then) = match (self.doing, aside) {
                    // Another program was told so, and nothing was sent.
                    (Do::Rehearse { .. }, _) => (&REFUSED[2..], Then::GoOnLooking),
                    (_, Some(_)) => (REFUSED, Then::GoOnLooking),
                    (_, None) => (REFUSED, Then::Change),
                };
                if aside.is_none() {
                    self.refused = Some(Refused { token, left: None });
                }
                self.tail(steps, then, None, says)
            }
            (Do::Go, Came::Arrived) => Do::Save,
            (Do::Save, came) => {
                using.progress.is_saved = came == Came::Done;
                Do::Parse
            }
            (Do::Parse, Came::Parsed { next, is_usable }) => {
                using.next = Some((next, is_usable));
                Do::LookAgain
            }
            (Do::LookAgain, Came::Now(now)) => match commit(now, using.in_home) {
                Commit::Write => self.commit(&COMMIT[1..]),
                Commit::KeepDamagedAndWrite => self.commit(COMMIT),
                Commit::GiveWay => self.tail(GIVE_WAY, Then::Look, self.received(), None),
            },
            // It may hold anything, so it is not ours to overwrite.
            (Do::LookAgain, Came::Failed) => {
                let steps = if using.progress.is_saved { GIVE_WAY } else { LEAVE };
                self.tail(steps, Then::Look, self.received(), None)
            }
            _ => unexpected(),
        }
    }

    /// Puts what came into the home. A pair set aside whose token was used goes as well.
    fn commit(&mut self, steps: &'static [(Step, Or)]) -> Do<N> {
        let is_usable = self.using.and_then(|using| using.next).is_some_and(|(_, usable)| usable);
        let told = if is_usable { Told::New } else { Told::Unused };
        self.tail(steps, Then::End(told), self.received(), None)
    }

    /// The home does not take what came.
    fn save_elsewhere(&mut self) -> Do<N> {
        self.tail(SAVE_ASIDE, Then::End(Told::NotCommitted), self.received(), None)
    }

    /// The token may have been used, or not; whoever waits is told.
    fn fail(&mut self, told: Told) -> Do<N> {
        let told = if self.is_lost() { Told::Lost } else { told };
        self.tail(FAIL, Then::End(told), None, self.says())
    }

    /// Leaves no trace of a token that was not sent.
    fn leave(&mut self, then: Then) -> Do<N> {
        self.tail(WITHDRAW, then, None, self.says())
    }

    /// The token is not sent, or not once more.
    fn stop(&mut self) -> Do<N> {
        if self.is_lost() { self.fail(Told::Lost) } else { self.leave(Then::LetGo) }
    }

    fn is_lost(&self) -> bool {
        self.using.is_some_and(|using| using.is_lost())
    }

    fn says(&self) -> Option<Says<N>> {
        self.using.map(|using| using.says())
    }

    fn received(&self) -> Option<Kept<N>> {
        let using = self.using?;
        let (next, _) = using.next?;
        Some(Kept::Journal(Pair { spent: using.token, next }))
    }

    fn tail(
        &mut self,
        mut steps: &'static [(Step, Or)],
        then: Then,
        about: Option<Kept<N>>,
        says: Option<Says<N>>,
    ) -> Do<N> {
        while let Some((&(step, _), rest)) = steps.split_first() {
            let tail = Tail { steps, then, about, says };
            if let Some(effect) = self.effect(step, &tail) {
                self.tail = Some(tail);
                return effect;
            }
            steps = rest;
        }
        match then {
            Then::Look => self.look(),
            Then::GoOnLooking => {
                self.using = None;
                Do::Look
            }
            Then::LetGo => self.let_go(),
            Then::Change => {
                self.using = None;
                Do::Wait(Until::Changed)
            }
            Then::End(told) => Do::End(End { told, says, if_held: false }),
        }
    }

    /// None where there is nothing to be done.
    fn effect(&self, step: Step, tail: &Tail<N>) -> Option<Do<N>> {
        let aside = self.using.and_then(|using| using.aside);
        Some(match step {
            Step::Record => Do::Record(tail.about?.pair()),
            Step::Remove => Do::Remove { what: tail.about?, if_held: true },
            Step::SetAside => Do::SetAside { if_held: true },
            // A journal of one's own is locked.
            Step::Keep if self.is_saved() => Do::SetAside { if_held: false },
            Step::Keep => Do::SaveAside,
            Step::KeepDamaged => Do::KeepDamaged(tail.about?),
            Step::Restore => {
                let (if_held, if_same) = (true, true);
                Do::Replace { what: tail.about?, if_held, if_same, is_only_copy: false }
            }
            Step::Commit => {
                let is_only_copy = !self.is_saved();
                Do::Replace { what: tail.about?, if_held: false, if_same: true, is_only_copy }
            }
            Step::Forget => match self.using?.next? {
                // In a vault the commit has told it, to all machines.
                (token, false) if self.bounds.home == HomeKind::File => Do::NoteUnused { token },
                _ => Do::Remove { what: tail.about?, if_held: false },
            },
            Step::SaveAside if self.is_saved() => return None,
            Step::SaveAside => Do::SaveAside,
            Step::RecordUsed => Do::Record(aside?),
            Step::RemoveUsed => Do::Remove { what: Kept::Aside(aside?), if_held: true },
            Step::Note => {
                let told = if let Then::End(told) = tail.then { told } else { Told::Dead };
                Do::Note { told, in_doubt: tail.says?.in_doubt }
            }
            Step::Refuse => Do::Refuse,
            Step::Withdraw => Do::Withdraw { keeps_journal: self.using?.keeps_journal },
            Step::Close => Do::Close,
        })
    }

    fn after_step(&mut self, tail: Tail<N>, came: Came<'_, N>) -> Do<N> {
        let Tail { steps, then, about, says } = tail;
        let Some((&(_, or), rest)) = steps.split_first() else {
            return unexpected();
        };
        match (came, or, &mut self.using) {
            (Came::Done, ..) | (_, Or::GoOn, _) => self.tail(rest, then, about, says),
            // Someone else's home by now, or someone else's journal.
            (Came::NotAsExpected, _, Some(Using { progress, .. })) => match self.bounds.looks {
                Some(most) if progress.looks + 1 >= most => self.save_elsewhere(),
                counts => {
                    progress.looks += u8::from(counts.is_some());
                    Do::LookAgain
                }
            },
            (Came::NotAsExpected | Came::NotThere, _, None) => self.look(),
            // A response is never let go of.
            (Came::LockLost, _, None) => self.let_go(),
            (_, Or::Skip, _) => self.tail(rest.get(1..).unwrap_or_default(), then, about, says),
            (_, Or::Untidy, _) => {
                self.is_untidy = true;
                Do::Look
            }
            (_, Or::SaveElsewhere, _) => self.save_elsewhere(),
            (_, Or::End(told @ Told::Failed), _) => end_saying(told, says),
            (_, Or::End(told), _) => end(told),
        }
    }

    /// A new round, with new eyes.
    fn look(&mut self) -> Do<N> {
        let Self { bounds, has_waited, rounds, refused, .. } = *self;
        match bounds.rounds {
            Some(most) if rounds >= most => end(Told::Changing),
            counts => {
                *self = Self::new(bounds, has_waited);
                self.rounds = rounds + u8::from(counts.is_some());
                // It stays so.
                self.refused = refused.map(|refused| Refused { left: None, ..refused });
                Do::Look
            }
        }
    }

    /// Others may have the lock by now, and nothing was sent: its turn comes again.
    fn let_go(&mut self) -> Do<N> {
        *self = Self::new(self.bounds, true);
        Do::LetGo
    }
}

fn end<N>(told: Told) -> Do<N> {
    Do::End(End { told, says: None, if_held: false })
}

/// Ends with what is true only as long as nobody else has the lock.
fn end_saying<N>(told: Told, says: Option<Says<N>>) -> Do<N> {
    Do::End(End { told, if_held: says.is_some(), says })
}

/// No effect ends so. Nothing more is done.
fn unexpected<N>() -> Do<N> {
    debug_assert!(false, "an answer that does not fit what was done");
    end(Told::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::recovery::Note;
    use crate::store::spent::{Link, SpentTokens};
    use crate::tokens::claims::LocalTime;

    /// How old a claim is, by each clock.
    const NEW: Option<(Duration, Option<Duration>)> = Some((Duration::ZERO, Some(Duration::ZERO)));
    const OLD: Option<(Duration, Option<Duration>)> = Some((Duration::from_secs(6), None));

    /// A run whose token in the home is about to be claimed, or sent.
    fn at_its_use(home: HomeKind) -> Refresh<u8> {
        let mut run = Refresh::new(Bounds { home, rounds: None, looks: None }, false);
        run.next(Came::Read { will_do: false, holder: Holder::None, is_saved_here: false });
        run.next(Came::Done);
        let spent = SpentTokens::default();
        let journal = JournalState::None;
        let state = State { creds: Some(1), owner: None, journal, set_aside: &[], spent: &spent };
        let (access, account) = (Some(Access::Stale), None);
        let (in_doubt, is_damaged, running_for) = (false, false, 0);
        run.next(Came::Looked(Seen { state, access, account, in_doubt, is_damaged, running_for }));
        run.next(Came::Done);
        // A vault's folder need not take a journal.
        run.next(if home == HomeKind::File { Came::Done } else { Came::Failed });
        run
    }

    #[test]
    fn a_claim_that_is_late_looks_at_the_signals_its_age_and_the_deadline() {
        let connected = |is_ending| Came::Connected { claimed: OLD, is_ending };
        let note = |told| Do::Note { told, in_doubt: told == Told::Lost };
        let claim = Do::Claim(Deadline::First);
        let lost = Came::Outcome(Outcome::InDoubt { wait: None });
        let young = Came::Connected { claimed: NEW, is_ending: false };
        let again = &[young, lost, Came::Done, connected(false)];
        let late = connected(false);
        for (came, expected) in [
            (&[connected(false)][..], claim),
            (&[connected(false), Came::Done, connected(false)], claim),
            (
                &[connected(false), Came::Done, connected(false), Came::Done, connected(false)],
                note(Told::TooSlow),
            ),
            (&[connected(false), Came::TimeIsUp], note(Told::TooSlow)),
            (&[connected(true)], Do::Withdraw { keeps_journal: false }),
            (&[connected(false), Came::LockLost], Do::Withdraw { keeps_journal: false }),
            (&[late, Came::Failed, Came::Done], Do::LetGo),
            (again, Do::Claim(Deadline::Second)),
            (&[young, lost, Came::Done, late, Came::Failed], note(Told::Lost)),
            (&[young, lost, Came::Done, connected(true)], note(Told::Lost)),
            // A claim that was good in between ends the row.
            (
                &[late, Came::Done, young, lost, Came::Done, late, Came::Done, late],
                Do::Claim(Deadline::Second),
            ),
            (
                &[young, lost, Came::Done, late, Came::Done, late, Came::Done, late],
                note(Told::Lost),
            ),
        ] {
            let mut run = at_its_use(HomeKind::Vault);
            assert_eq!(run.next(Came::Done), claim);
            assert_eq!(run.next(Came::Done), Do::Send(Deadline::First));
            for &came in came {
                run.next(came);
            }
            assert_eq!(run.doing(), expected, "{came:?}");
        }
    }

    #[test]
    fn what_no_file_of_this_machine_has_taken_is_the_only_copy() {
        for home in [HomeKind::File, HomeKind::Vault] {
            for (saved, is_only_copy) in [(Came::Done, false), (Came::Failed, true)] {
                for now in [Now::Token(1), Now::Nothing, Now::Damaged] {
                    let mut run = at_its_use(home);
                    while run.doing() != Do::Go {
                        run.next(match run.doing() {
                            Do::Send(_) => {
                                let claimed = NEW.filter(|_| home == HomeKind::Vault);
                                Came::Connected { claimed, is_ending: false }
                            }
                            _ => Came::Done,
                        });
                    }
                    run.next(Came::Arrived);
                    run.next(saved);
                    run.next(Came::Parsed { next: 2, is_usable: true });
                    if let Do::KeepDamaged(_) = run.next(Came::Now(now)) {
                        run.next(Came::Done);
                    }
                    let Do::Replace { is_only_copy: told, .. } = run.doing() else {
                        panic!("{:?}", run.doing())
                    };
                    assert_eq!(told, is_only_copy, "{home:?} {saved:?} {now:?}");
                }
            }
        }
    }

    /// What is found: this token in the home, beside what is set aside.
    #[derive(Clone)]
    struct World {
        creds: u8,
        journal: JournalState<u8>,
        set_aside: Vec<Saved<u8>>,
        used: Vec<(u8, u8)>,
        /// Whether the home has an access token beside it.
        is_whole: bool,
    }

    fn saved(spent: u8, next: u8) -> Saved<u8> {
        Saved { spent, next, account: Some(0) }
    }

    fn with(creds: u8) -> World {
        let (journal, set_aside, used) = (JournalState::None, Vec::new(), Vec::new());
        World { creds, journal, set_aside, used, is_whole: true }
    }

    /// Carries out a run on files that has waited, and gives what was done in it. `came` says what comes of an
    /// effect; of the others all goes well, and the response that comes has the token 9.
    fn carry_out(
        mut world: World,
        mut came: impl FnMut(&mut World, Do<u8>) -> Option<Came<'static, u8>>,
    ) -> Vec<Do<u8>> {
        let bounds = Bounds { home: HomeKind::File, rounds: Some(3), looks: Some(3) };
        let mut run = Refresh::new(bounds, true);
        let mut done = Vec::new();
        loop {
            assert!(done.len() < 100, "it goes round in a circle: {done:?}");
            let doing = run.doing();
            done.push(doing);
            if let Do::End(_) = doing {
                return done;
            }
            let came = came(&mut world, doing).unwrap_or(match doing {
                Do::Read => {
                    Came::Read { will_do: false, holder: Holder::None, is_saved_here: false }
                }
                Do::Look => {
                    let World { creds, journal, set_aside, used, is_whole } = &world;
                    let mut spent = SpentTokens::default();
                    for &(spent_token, next) in used {
                        spent.add(Link { spent: spent_token, next, time: LocalTime(0) });
                    }
                    let (creds, journal) = (Some(*creds), *journal);
                    run.next(Came::Looked(Seen {
                        state: State { creds, owner: None, journal, set_aside, spent: &spent },
                        access: is_whole.then_some(Access::Stale),
                        account: Some(0),
                        in_doubt: false,
                        is_damaged: false,
                        running_for: 1000,
                    }));
                    continue;
                }
                Do::Send(_) => Came::Connected { claimed: None, is_ending: false },
                Do::Go => Came::Arrived,
                Do::Parse => Came::Parsed { next: 9, is_usable: true },
                Do::LookAgain => Came::Now(Now::Token(world.creds)),
                Do::Wait(Until::Changed) => Came::TimeIsUp,
                _ => Came::Done,
            });
            run.next(came);
        }
    }

    /// The tokens whose journal was begun.
    fn begun(done: &[Do<u8>]) -> Vec<u8> {
        let begun = done.iter().filter_map(|doing| match doing {
            Do::Begin { token, .. } => Some(*token),
            _ => None,
        });
        begun.collect()
    }

    #[track_caller]
    fn assert_ends(done: &[Do<u8>], told: Told) {
        assert!(matches!(done.last(), Some(Do::End(end)) if end.told == told), "{done:?}");
    }

    #[test]
    fn each_pair_that_was_set_aside_is_tried_once() {
        let world = World { set_aside: vec![saved(2, 3), saved(4, 5)], ..with(1) };
        let done = carry_out(world, |world, doing| match doing {
            Do::Go => Some(Came::InvalidGrant),
            // Of the newer one, that is not possible.
            Do::Remove { what, .. } if what.pair().next == 5 => Some(Came::Failed),
            Do::Remove { what, .. } => {
                world.set_aside.retain(|pair| pair.next != what.pair().next);
                None
            }
            _ => None,
        });
        assert_eq!(begun(&done), [1, 5, 3]);
        assert_ends(&done, Told::Dead);
    }

    #[test]
    fn a_refusal_is_of_one_token() {
        // Another program saves another token, or the same one again.
        for (other, expected) in [(7, &[1, 7][..]), (1, &[1])] {
            let done = carry_out(with(1), |world, doing| match doing {
                Do::Go if world.creds == 1 => Some(Came::InvalidGrant),
                Do::Wait(Until::Changed) => {
                    world.creds = other;
                    Some(Came::NotAsExpected)
                }
                _ => None,
            });
            assert_eq!(begun(&done), expected);
            assert_ends(&done, if other == 7 { Told::New } else { Told::Dead });
        }
    }

    #[test]
    fn a_note_counts_for_the_token_that_it_is_about() {
        for (spent, told) in [(Some(1), Told::Noted), (None, Told::Noted), (Some(2), Told::New)] {
            let note = Some(Note { in_doubt: false, unused: None, age: 0 });
            let journal = JournalState::Unanswered { spent, note };
            assert_ends(&carry_out(World { journal, ..with(1) }, |_, _| None), told);
        }
    }

    #[test]
    fn what_cannot_be_tidied_up_is_no_obstacle() {
        // The pair is in the home as well.
        let world = World { set_aside: vec![saved(2, 1)], ..with(1) };
        let done = carry_out(world, |_, doing| match doing {
            Do::Remove { what: Kept::Aside(_), .. } => Some(Came::Failed),
            _ => None,
        });
        assert_ends(&done, Told::New);
        // Where the home's is not whole, it stays.
        let world = World { set_aside: vec![saved(2, 1)], is_whole: false, ..with(1) };
        let done = carry_out(world, |_, _| None);
        assert!(!done.iter().any(|doing| matches!(doing, Do::Remove { .. })), "{done:?}");
        assert_ends(&done, Told::Unusable);
        // The journal is of other tokens, and cannot be set aside: it says what is known of the home's.
        for (used, in_doubt) in [(vec![], false), (vec![(1, 2)], true)] {
            let journal =
                JournalState::Received { pair: saved(5, 6), is_in_creds: false, note: None };
            let done = carry_out(World { journal, used, ..with(1) }, |_, doing| {
                matches!(doing, Do::SetAside { .. }).then_some(Came::Failed)
            });
            let says = Some(Says { token: 1, in_doubt });
            assert_eq!(
                done.last(),
                Some(&Do::End(End { told: Told::Failed, says, if_held: true }))
            );
        }
    }

    #[test]
    fn a_note_on_the_token_that_is_restored_stays() {
        for (unused, is_removed) in [(None, true), (Some(2), false)] {
            let note = Some(Note { in_doubt: false, unused, age: 0 });
            let pair = saved(1, 2);
            let journal = JournalState::Received { pair, is_in_creds: false, note };
            let done = carry_out(World { journal, ..with(1) }, |world, doing| {
                if let Do::Replace { .. } = doing {
                    world.creds = 2;
                    world.journal = match note {
                        Some(Note { unused: None, .. }) => JournalState::None,
                        _ => JournalState::Received { pair, is_in_creds: true, note },
                    };
                }
                None
            });
            let removes = |doing: &Do<u8>| matches!(doing, Do::Remove { .. });
            assert_eq!(
                done.iter().take_while(|it| !matches!(it, Do::End(_))).any(removes),
                is_removed
            );
            assert_ends(&done, if is_removed { Told::New } else { Told::Noted });
        }
    }

    #[test]
    fn a_home_that_is_changed_again_and_again_is_given_up() {
        let done = carry_out(with(1), |_, doing| {
            matches!(doing, Do::Rehearse { .. }).then_some(Came::NotAsExpected)
        });
        assert_ends(&done, Told::Changing);
        let done = carry_out(with(1), |_, doing| {
            matches!(doing, Do::Replace { .. }).then_some(Came::NotAsExpected)
        });
        assert_ends(&done, Told::NotCommitted);
    }

    #[test]
    fn what_no_place_takes_is_told_where_the_home_cannot_be_read() {
        for (saved, told) in [(Came::Done, Told::Changing), (Came::Failed, Told::NotSaved)] {
            let done = carry_out(with(1), |_, doing| match doing {
                Do::Save => Some(saved),
                Do::LookAgain | Do::SaveAside => Some(Came::Failed),
                _ => None,
            });
            assert_ends(&done, told);
        }
    }
}
