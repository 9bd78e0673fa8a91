//! The machine of a refresh with one of its rules broken, for the explorations: an effect is left out, two
//! that follow one another are exchanged, or a last look is not made.
//!
//! A wrapper round [`Refresh::next`] does that while the worlds are walked, so nothing is built anew, and what
//! is shown to be needed is the product's own code.

use crate::rotation::file_world::{self, in_parallel};
use crate::rotation::machine::{Came, Do, End, Kept, Refresh, Until};
use crate::rotation::recovery::Now;
use crate::rotation::vault_world;
use crate::rotation::walk::Hashing;
use crate::store::vault::protocol::Holder;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::Hash;
use std::sync::Mutex;

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
    /// The world does not ask the product's function, or takes its answer for another.
    Without(&'static str),
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(before, kind) => write!(f, "{kind}, after {before}, left out"),
            Self::Exchanged(first, second) => write!(f, "{second} before {first}"),
            Self::Unguarded(before, kind) => {
                write!(f, "{kind}, after {before}, without its last look")
            }
            Self::Without(rule) => write!(f, "without: {rule}"),
        }
    }
}

/// What follows what.
#[derive(Default)]
pub(super) struct Sites {
    known: HashSet<(Kind, Kind, bool), Hashing>,
}

impl Sites {
    pub(super) fn add(&mut self, other: Self) {
        self.known.extend(other.known);
    }

    /// All effects are among them, but for these.
    #[track_caller]
    pub(super) fn assert_all_but(&self, missing: &[Kind]) {
        for kind in KINDS {
            let is_known =
                self.known.iter().any(|(before, doing, _)| [before, doing].contains(&&kind));
            assert!(is_known != missing.contains(&kind), "{kind}");
        }
    }

    pub(super) fn note<N: Copy>(&mut self, before: Do<N>, doing: Do<N>) {
        self.known.insert((kind(&before), kind(&doing), is_guarded(&doing)));
    }
}

/// All that [`kind`] says.
const KINDS: [Kind; 33] = [
    "Read",
    "Lock",
    "Wait for a turn",
    "Wait before a send",
    "Wait for a change",
    "Look",
    "Record",
    "Remove the journal",
    "Remove a pair set aside",
    "SetAside",
    "KeepDamaged",
    "Replace by what is saved",
    "Replace by what came",
    "Rehearse",
    "Begin",
    "Send",
    "HoldSignals",
    "Go",
    "FreeSignals",
    "Save",
    "Parse",
    "LookAgain",
    "SaveAside",
    "Note",
    "NoteUnused",
    "Claim",
    "Prove",
    "Withdraw",
    "Refuse",
    "Close",
    "LetGo",
    "FetchKeys",
    "End",
];

fn kind<N>(doing: &Do<N>) -> Kind {
    match doing {
        Do::Read => "Read",
        Do::Lock { .. } => "Lock",
        Do::Wait(Until::Turn) => "Wait for a turn",
        Do::Wait(Until::Paused(..)) => "Wait before a send",
        Do::Wait(Until::Changed) => "Wait for a change",
        Do::Look => "Look",
        Do::Record(_) => "Record",
        Do::Remove { what: Kept::Journal(_), .. } => "Remove the journal",
        Do::Remove { what: Kept::Aside(_), .. } => "Remove a pair set aside",
        Do::SetAside { .. } => "SetAside",
        Do::KeepDamaged(_) => "KeepDamaged",
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
        Do::Claim(_) => "Claim",
        Do::Prove => "Prove",
        Do::Withdraw { .. } => "Withdraw",
        Do::Refuse => "Refuse",
        Do::Close => "Close",
        Do::LetGo => "LetGo",
        Do::FetchKeys => "FetchKeys",
        Do::End(_) => "End",
    }
}

fn is_guarded<N>(doing: &Do<N>) -> bool {
    match doing {
        Do::Lock { if_unused } => *if_unused,
        Do::Remove { if_held, .. } | Do::SetAside { if_held } | Do::Begin { if_held, .. } => {
            *if_held
        }
        Do::Replace { if_held, if_same, .. } => *if_held || *if_same,
        Do::Rehearse { if_same, .. } => *if_same,
        Do::End(end) => end.if_held,
        _ => false,
    }
}

/// A machine, and what is made of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Driven<N: 'static> {
    refresh: Refresh<N>,
    is_unguarded: bool,
    exchange: Option<Exchange<N>>,
}

/// Two effects that are done the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Exchange<N: 'static> {
    second: Do<N>,
    /// What has come of the second; then the first is done.
    came: Option<Came<'static, N>>,
}

impl<N: Copy + Eq> Driven<N> {
    pub(super) fn new(refresh: Refresh<N>) -> Self {
        Self { refresh, is_unguarded: false, exchange: None }
    }

    pub(super) fn doing(&self) -> Do<N> {
        match self.exchange {
            Some(Exchange { second, came: None }) => second,
            _ if self.is_unguarded => unguarded(self.refresh.doing()),
            _ => self.refresh.doing(),
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.refresh.is_in_doubt()
    }

    /// Goes on as the machine says, but for the rule that is broken; gives whether it was. `in_home`: the token
    /// that was seen last in the home.
    pub(super) fn next(
        &mut self,
        came: Came<'_, N>,
        mutation: Option<Mutation>,
        in_home: N,
    ) -> bool {
        let mut is_broken = false;
        let mut before = kind(&self.doing());
        self.is_unguarded = false;
        let mut doing = match self.exchange.take() {
            None => self.refresh.next(came),
            Some(Exchange { second, came: None }) => {
                self.exchange = Some(Exchange { second, came: lasting(came) });
                return true;
            }
            Some(Exchange { second, came: Some(known) }) => {
                let doing = self.refresh.next(came);
                match kind(&doing) == kind(&second) {
                    true => self.refresh.next(known),
                    false => doing,
                }
            }
        };
        match mutation {
            None | Some(Mutation::Without(_)) => {}
            Some(Mutation::LeftOut(first, second)) => {
                while (before, kind(&doing)) == (first, second)
                    && let Some(came) = well(&doing, in_home)
                {
                    is_broken = true;
                    before = kind(&doing);
                    doing = self.refresh.next(came);
                }
            }
            Some(Mutation::Exchanged(first, second)) => {
                if kind(&doing) == first
                    && let Some(came) = well(&doing, in_home)
                {
                    let next = self.refresh.clone().next(came);
                    if kind(&next) == second && well(&next, in_home).is_some() {
                        is_broken = true;
                        self.exchange = Some(Exchange { second: next, came: None });
                    }
                }
            }
            Some(Mutation::Unguarded(first, second)) => {
                self.is_unguarded = (before, kind(&doing)) == (first, second);
                is_broken = self.is_unguarded;
            }
        }
        is_broken
    }
}

/// What comes of an effect that goes well, though it was not done; none if nobody can know that.
fn well<N: Copy>(doing: &Do<N>, in_home: N) -> Option<Came<'static, N>> {
    match doing {
        Do::Look | Do::Go | Do::Parse | Do::End(_) => None,
        Do::Read => Some(Came::Read { will_do: false, holder: Holder::None, is_saved_here: false }),
        Do::Send(_) => Some(Came::Connected { claimed: None, is_ending: false }),
        Do::LookAgain => Some(Came::Now(Now::Token(in_home))),
        Do::Wait(Until::Changed) => Some(Came::TimeIsUp),
        _ => Some(Came::Done),
    }
}

/// An answer that borrows nothing.
fn lasting<N: Copy>(came: Came<'_, N>) -> Option<Came<'static, N>> {
    Some(match came {
        Came::Looked(_) => return None,
        Came::KeysWanted => Came::KeysWanted,
        Came::Done => Came::Done,
        Came::Failed => Came::Failed,
        Came::Taken => Came::Taken,
        Came::LockLost => Came::LockLost,
        Came::NotAsExpected => Came::NotAsExpected,
        Came::NotThere => Came::NotThere,
        Came::TimeIsUp => Came::TimeIsUp,
        Came::Read { will_do, holder, is_saved_here } => {
            Came::Read { will_do, holder, is_saved_here }
        }
        Came::Connected { claimed, is_ending } => Came::Connected { claimed, is_ending },
        Came::Arrived => Came::Arrived,
        Came::InvalidGrant => Came::InvalidGrant,
        Came::Outcome(outcome) => Came::Outcome(outcome),
        Came::Parsed { next, is_usable } => Came::Parsed { next, is_usable },
        Came::Now(now) => Came::Now(now),
    })
}

fn unguarded<N>(doing: Do<N>) -> Do<N> {
    match doing {
        Do::Lock { .. } => Do::Lock { if_unused: false },
        Do::Remove { what, .. } => Do::Remove { what, if_held: false },
        Do::SetAside { .. } => Do::SetAside { if_held: false },
        Do::Begin { token, .. } => Do::Begin { token, if_held: false },
        Do::Replace { what, is_only_copy, if_held: true, .. } => {
            Do::Replace { what, is_only_copy, if_held: false, if_same: true }
        }
        Do::Replace { what, is_only_copy, .. } => {
            Do::Replace { what, is_only_copy, if_held: false, if_same: false }
        }
        Do::Rehearse { token, .. } => Do::Rehearse { token, if_same: false },
        Do::End(end) => Do::End(End { if_held: false, ..end }),
        doing => doing,
    }
}

/// All mutations of what follows what in these worlds.
fn mutations(sites: &Sites) -> Vec<Mutation> {
    let mut all = BTreeSet::new();
    for &(before, doing, is_guarded) in &sites.known {
        if !["Look", "Go", "Parse", "End"].contains(&doing) {
            all.insert(Mutation::LeftOut(before, doing));
        }
        if is_guarded {
            all.insert(Mutation::Unguarded(before, doing));
        }
        let is_exchangeable = |kind| !["Look", "Go", "Parse", "End", "Read"].contains(&kind);
        if is_exchangeable(before) && is_exchangeable(doing) {
            all.insert(Mutation::Exchanged(before, doing));
        }
    }
    all.into_iter().collect()
}

/// Why no promise is broken, where none is.
fn harmless(mutation: Mutation) -> Option<&'static str> {
    const TIME: &str = "only time passes";
    const MORE: &str = "it would take a third fault beside a second program";
    const TRUE: &str = "the link is true once the response is saved";
    const KNOWN: &str =
        "the pair that is set aside says so itself, and was recorded when it got there";
    Some(match mutation {
        Mutation::LeftOut(_, "LetGo") | Mutation::Exchanged("LetGo", _) => {
            "nobody sees the lock that is let go of"
        }
        Mutation::LeftOut(_, "Wait before a send" | "Wait for a change") => TIME,
        Mutation::LeftOut("LetGo", "Wait for a turn") => TIME,
        Mutation::Exchanged("Wait before a send", "Send") => TIME,
        Mutation::LeftOut("FetchKeys", "Read") | Mutation::Exchanged("FetchKeys", "Read") => {
            "what is fresh is seen under the lock as well"
        }
        Mutation::LeftOut(_, "Send") | Mutation::Exchanged("Begin", "Send") => {
            "nothing leaves before Go"
        }
        Mutation::LeftOut("LookAgain", "SetAside") => "the next look leads to it",
        Mutation::LeftOut("Parse", "LookAgain")
        | Mutation::Exchanged("LookAgain", "Replace by what came") => {
            "the last look of Replace finds the same"
        }
        Mutation::Exchanged("LookAgain", "SaveAside" | "SetAside") => {
            "the pair is kept all the same"
        }
        Mutation::LeftOut("SaveAside", "Close") => "the next journal takes its place",
        Mutation::LeftOut("Close" | "Remove the journal", "Record") => KNOWN,
        Mutation::LeftOut("SaveAside" | "SetAside", "Record") => KNOWN,
        Mutation::Exchanged("Record", "Close" | "Remove a pair set aside") => KNOWN,
        Mutation::Exchanged("Close" | "Remove the journal", "Record") => KNOWN,
        Mutation::Exchanged(first, "Record") if first.starts_with("Replace") => TRUE,
        Mutation::Exchanged("SaveAside" | "SetAside", "Record") => TRUE,
        Mutation::Unguarded(_, "Remove a pair set aside") => {
            "no pair gets the name of another here; on a disk its file may: tests/crash.rs"
        }
        Mutation::Unguarded("KeepDamaged", "Replace by what is saved") => MORE,
        Mutation::Unguarded(before, "End") if before.starts_with("Remove") => MORE,
        Mutation::Unguarded("SetAside", "End") => MORE,
        _ => return None,
    })
}

/// What a walk of a world has seen.
pub(super) struct Explored {
    pub(super) sites: Sites,
    /// Whether the rule that is broken was come across.
    pub(super) has_acted: bool,
    pub(super) breach: Option<(&'static str, usize)>,
}

/// Prints what goes wrong with each mutant, with as few faults as it takes; gives those with which nothing does.
/// `worlds`: the most faults of each, and its walk.
fn print_table(
    worlds: &[(u8, impl Fn(u8, Option<Mutation>) -> Explored + Sync)],
    rules: &[&'static str],
    has_locks: bool,
    harmless: impl Fn(Mutation) -> Option<&'static str> + Sync,
) -> Vec<String> {
    let mut sites = Sites::default();
    for (faults, explore) in worlds {
        sites.add(explore(*faults, None).sites);
    }
    let mut all = mutations(&sites);
    if !has_locks {
        // A vault's last look is the number that a write names: one of the rules. A lost lock is for files.
        all.retain(|mutation| !matches!(mutation, Mutation::Unguarded(..)));
    }
    all.extend(rules.iter().map(|rule| Mutation::Without(rule)));
    let missed = Mutex::new(Vec::new());
    println!("| step | what goes wrong | faults | steps |\n|---|---|---|---|");
    in_parallel(&all, |&mutation| {
        let mut has_acted = false;
        let found = (0..=3).find_map(|faults| {
            let worlds = worlds.iter().filter(|(most, _)| faults <= *most);
            worlds.into_iter().find_map(|(_, explore)| {
                let explored = explore(faults, Some(mutation));
                has_acted |= explored.has_acted;
                explored.breach.map(|(what, steps)| (what, faults, steps))
            })
        });
        match (found, harmless(mutation)) {
            (Some((what, faults, steps)), _) => {
                println!("| {mutation} | {what} | {faults} | {steps} |");
            }
            // On the way of a failure, what follows looks like a neighbour and is none.
            (None, _) if !has_acted => {}
            (None, Some(why)) => println!("| {mutation} | nothing: {why} | | |"),
            (None, None) => {
                println!("| {mutation} | **nothing** | | |");
                missed.lock().unwrap().push(mutation.to_string());
            }
        }
    });
    missed.into_inner().unwrap()
}

#[test]
#[ignore = "takes minutes: prints the table of mutants"]
fn the_table_of_mutants() {
    // The others differ in what the server or a person does.
    let is_needed = |name: &str| {
        !["grace", "another account", "replay"].iter().any(|other| name.contains(other))
    };
    let worlds = file_world::worlds(3).into_iter().filter(|(name, _)| is_needed(name));
    let worlds: Vec<_> = worlds
        .map(|(_, rules)| {
            let explore =
                move |faults, mutation| file_world::explored(rules.with(faults, mutation));
            (rules.faults, explore)
        })
        .collect();
    let missed = print_table(&worlds, &file_world::RULES, true, harmless);
    assert!(missed.is_empty(), "steps that nothing shows to be needed: {missed:#?}");
}

/// The same with a vault.
fn harmless_with_a_vault(mutation: Mutation) -> Option<&'static str> {
    const HELD: &str = "a kill may come at any step here, and the next look lets go of all";
    const NOTHING: &str = "without a claim there is nothing to note in the vault";
    Some(match mutation {
        Mutation::LeftOut(_, "HoldSignals" | "Close") => HELD,
        Mutation::Exchanged("HoldSignals", _) | Mutation::Exchanged(_, "HoldSignals") => HELD,
        Mutation::Exchanged("Close", "Wait for a change") | Mutation::Exchanged(_, "Close") => HELD,
        Mutation::LeftOut("Claim", "Note") => NOTHING,
        Mutation::LeftOut("Send", "Claim") => "it is kept until the run gives up",
        Mutation::Exchanged(_, "Send") => "nothing leaves before Go",
        Mutation::LeftOut("Replace by what came", "LookAgain") => "the write has shown the same",
        Mutation::LeftOut("Replace by what came", "SaveAside") => "it would take a third fault",
        mutation => return harmless(mutation),
    })
}

#[test]
#[ignore = "takes minutes: prints the table of mutants with a vault"]
fn the_table_of_mutants_with_a_vault() {
    // Others have more runs of the same.
    let is_needed = |name: &str| {
        !["grace", "three runs", "replay", "one with"].iter().any(|other| name.contains(other))
    };
    let worlds = vault_world::worlds().into_iter().filter(|(name, ..)| is_needed(name));
    let mut worlds: Vec<_> = worlds.collect();
    // The small ones first.
    worlds.sort_by_key(|(_, rules, _)| (rules.programs, rules.faults));
    let worlds: Vec<_> = worlds
        .into_iter()
        .map(|(_, rules, expected)| {
            let explore = move |faults, mutation| {
                vault_world::explored(rules.with(faults, mutation), expected)
            };
            (rules.faults, explore)
        })
        .collect();
    let missed = print_table(&worlds, &vault_world::RULES, false, harmless_with_a_vault);
    assert!(missed.is_empty(), "steps and rules that nothing shows to be needed: {missed:#?}");
}
