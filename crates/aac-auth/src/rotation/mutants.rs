//! The machine of a refresh with one of its rules broken, for the explorations: an effect is left out, two
//! that follow one another are exchanged, or a last look is not made.
//!
//! A wrapper round [`Refresh::next`] does that while the worlds are walked, so nothing is built anew, and what
//! is shown to be needed is the product's own code.

use crate::rotation::machine::{Came, Do, Kept, Refresh, Until};
use crate::rotation::recovery::{JournalState, Now};
use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;

/// What an effect is called here.
type Kind = &'static str;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mutation {
    /// The second is not done where it follows the first.
    LeftOut(Kind, Kind),
    /// The second is done before the first.
    Exchanged(Kind, Kind),
    /// The second makes no last look where it follows the first.
    Unguarded(Kind, Kind),
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(before, kind) => write!(f, "{kind}, after {before}, left out"),
            Self::Exchanged(first, second) => write!(f, "{second} before {first}"),
            Self::Unguarded(before, kind) => write!(f, "{kind}, after {before}, without its last look"),
        }
    }
}

/// What follows what.
#[derive(Default)]
pub(super) struct Sites {
    known: BTreeSet<(Kind, Kind, bool)>,
}

impl Sites {
    pub(super) fn note<N: Copy>(&mut self, before: Do<N>, doing: Do<N>) {
        self.known.insert((kind(&before), kind(&doing), is_guarded(&doing)));
    }
}

fn kind<N>(doing: &Do<N>) -> Kind {
    match doing {
        Do::Read => "Read",
        Do::Lock { .. } => "Lock",
        Do::Wait(Until::Turn) => "Wait for a turn",
        Do::Wait(Until::Paused(..)) => "Wait before a send",
        Do::Wait(Until::Changed) => "Wait for a change",
        Do::Peek => "Peek",
        Do::Look => "Look",
        Do::Record(_) => "Record",
        Do::Remove { what: Kept::Journal(_), .. } => "Remove the journal",
        Do::Remove { what: Kept::Aside(_), .. } => "Remove a pair set aside",
        Do::SetAside { .. } => "SetAside",
        Do::KeepDamaged => "KeepDamaged",
        Do::Replace { if_held: true, .. } => "Replace by what is saved",
        Do::Replace { if_held: false, .. } => "Replace by what came",
        Do::Rehearse { .. } => "Rehearse",
        Do::Begin { .. } => "Begin",
        Do::Send(_) => "Send",
        Do::HoldSignals => "HoldSignals",
        Do::Go => "Go",
        Do::FreeSignals => "FreeSignals",
        Do::Save => "Save",
        Do::Parse => "Parse",
        Do::LookAgain => "LookAgain",
        Do::SaveAside => "SaveAside",
        Do::Note { .. } => "Note",
        Do::NoteUnused { .. } => "NoteUnused",
        Do::Close => "Close",
        Do::LetGo => "LetGo",
        Do::End(_) => "End",
    }
}

fn is_guarded<N>(doing: &Do<N>) -> bool {
    match doing {
        Do::Lock { if_unused } => *if_unused,
        Do::Remove { if_held, .. } | Do::SetAside { if_held } | Do::Begin { if_held, .. } => *if_held,
        Do::Replace { if_held, if_same, .. } => *if_held || *if_same,
        Do::Rehearse { if_same, .. } => *if_same,
        Do::End(end) => end.if_held,
        _ => false,
    }
}

/// A machine, and what was made of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Driven<N> {
    refresh: Refresh<N>,
}

impl<N: Copy + Eq> Driven<N> {
    pub(super) fn new(refresh: Refresh<N>) -> Self {
        Self { refresh }
    }

    pub(super) fn doing(&self) -> Do<N> {
        self.refresh.doing()
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.refresh.is_in_doubt()
    }

    pub(super) fn next(&mut self, came: Came<'_, N>, _: Option<Mutation>, _: N) -> Do<N> {
        self.refresh.next(came)
    }
}
