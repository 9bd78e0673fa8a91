//! Holds the tables of ROTATION.md to the machine: their last column is what it does.

use crate::rotation::attempts::Outcome;
use crate::rotation::machine::{Access, Bounds, Came, Do, Refresh, Seen, Until};
use crate::rotation::recovery::{JournalState, Note, Saved, State};
use crate::store::home::HomeKind;
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::protocol::Holder;
use crate::tokens::claims::LocalTime;

type Name = &'static str;

const ROTATION: &str = include_str!("../../ROTATION.md");
const BOUNDS: Bounds = Bounds { home: HomeKind::File, rounds: Some(10), looks: Some(100) };

/// What is found: the home's token, the journal, the pairs set aside, and the record.
#[derive(Clone, Copy)]
struct Found {
    creds: Option<Name>,
    is_damaged: bool,
    owner: Option<Option<Name>>,
    access: Access,
    journal: JournalState<Name>,
    aside: &'static [(Name, Name, Name)],
    record: &'static [(Name, Name)],
    /// Tokens that were used for pairs which stay closed.
    unopened: &'static [Name],
    wants_keys: bool,
    has_waited: bool,
}

const T: Found = Found {
    creds: Some("T"),
    is_damaged: false,
    owner: None,
    access: Access::Stale,
    journal: JournalState::None,
    aside: &[],
    record: &[],
    unopened: &[],
    wants_keys: false,
    has_waited: false,
};
const GONE: Found = Found { creds: None, ..T };
const DAMAGED: Found = Found { is_damaged: true, ..GONE };

fn saved((spent, next, account): (Name, Name, Name)) -> Saved<Name> {
    Saved { spent, next, account: Some(account) }
}

fn pair(spent: Name, next: Name, is_in_creds: bool) -> JournalState<Name> {
    JournalState::Received { pair: saved((spent, next, "me")), is_in_creds, note: None }
}

fn unanswered(note: Option<Note<Name>>) -> JournalState<Name> {
    JournalState::Unanswered { spent: Some("T"), note }
}

fn note(unused: Option<Name>, age: i64) -> Option<Note<Name>> {
    Some(Note { in_doubt: false, unused, age })
}

/// What an effect is called in the tables.
fn name(doing: &Do<Name>) -> String {
    match doing {
        Do::End(end) => format!("End ({:?})", end.told),
        Do::Wait(Until::Changed) => "Wait (2 s)".to_owned(),
        Do::Wait(Until::Paused(pause, _)) => format!("Wait ({} s)", pause.as_secs_f32()),
        doing => format!("{doing:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    }
}

/// What follows on what came, if all goes well then, up to the next look, rehearsal or end.
fn steps(run: &mut Refresh<Name>, came: Came<'_, Name>) -> String {
    let mut doing = run.next(came);
    let mut steps = vec![name(&doing)];
    while !matches!(doing, Do::Look | Do::Read | Do::Rehearse { .. } | Do::Send(_) | Do::End(_)) {
        doing = run.next(match doing {
            Do::Wait(Until::Changed) => Came::TimeIsUp,
            _ => Came::Done,
        });
        steps.push(name(&doing));
    }
    steps.join(", ")
}

fn run(has_waited: bool) -> Refresh<Name> {
    let mut run = Refresh::new(BOUNDS, has_waited);
    run.next(Came::Read { will_do: false, holder: Holder::None, is_saved_here: false });
    run.next(Came::Done);
    assert_eq!(run.doing(), Do::Look);
    run
}

fn steps_after_look(found: Found) -> String {
    let mut spent = SpentTokens::default();
    let aside: Vec<_> = found.aside.iter().copied().map(saved).collect();
    let received = match found.journal {
        JournalState::Received { pair, .. } => Some(pair),
        _ => None,
    };
    let pairs = aside.iter().chain(&received).map(|pair| (pair.spent, pair.next));
    for (token, next) in found.record.iter().copied().chain(pairs) {
        spent.add(Link { spent: token, next, time: LocalTime(0) });
    }
    found.unopened.iter().for_each(|token| spent.add_unopened(*token, LocalTime(0)));
    let state = State {
        creds: found.creds,
        owner: found.owner,
        journal: found.journal,
        set_aside: &aside,
        spent: &spent,
    };
    let access = found.creds.map(|_| found.access);
    let (account, is_damaged) = (Some("me"), found.is_damaged);
    let seen = Seen { state, access, account, in_doubt: false, is_damaged, running_for: 1000 };
    let came = if found.wants_keys { Came::KeysWanted } else { Came::Looked(seen) };
    steps(&mut run(found.has_waited), came)
}

/// The rows of the table below this heading.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = ROTATION.split_once(heading).expect(heading);
    let lines = rest.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn what_a_run_does_with_what_it_finds() {
    let mut rows = rows("## What a run does with what it finds").into_iter();
    for found in [
        T,
        Found { journal: unanswered(None), ..T },
        Found { journal: unanswered(note(None, 5)), has_waited: true, ..T },
        Found { journal: pair("S", "T", true), ..T },
        Found {
            journal: JournalState::Received {
                pair: saved(("S", "T", "me")),
                is_in_creds: true,
                note: note(Some("T"), 5),
            },
            ..T
        },
        Found { journal: pair("S", "T", false), ..T },
        Found { journal: pair("T", "N", false), ..T },
        Found { aside: &[("N", "O", "me")], record: &[("T", "N")], ..T },
        Found { record: &[("T", "N")], ..T },
        Found { journal: pair("A", "B", false), ..T },
        Found { journal: pair("T", "N", false), ..GONE },
        Found { journal: pair("T", "N", false), ..DAMAGED },
        Found { aside: &[("A", "B", "me"), ("T", "N", "me")], ..GONE },
        Found { aside: &[("A", "B", "you"), ("T", "N", "me")], ..GONE },
        Found { aside: &[("T", "N", "me")], owner: Some(Some("you")), ..DAMAGED },
        GONE,
        Found { aside: &[("S", "T", "me")], ..T },
        Found { access: Access::WillDo, ..T },
        Found { wants_keys: true, ..T },
        Found { journal: JournalState::Closed, unopened: &["S"], ..T },
        Found { journal: JournalState::Closed, unopened: &["T"], ..T },
        Found { journal: JournalState::Closed, unopened: &["S"], record: &[("T", "S")], ..T },
        Found { journal: JournalState::Closed, unopened: &["S"], ..DAMAGED },
        Found { unopened: &["S"], record: &[("T", "S")], ..T },
    ] {
        let row = rows.next().unwrap_or_default();
        let steps = steps_after_look(found);
        assert_eq!(row.last().copied(), Some(&*steps), "{row:?}");
    }
    assert_eq!(rows.next(), None, "a row that nothing is held to");
}

#[test]
fn how_often_a_token_is_sent() {
    let mut rows = rows("## How often a token is sent").into_iter();
    const UNREACHED: Outcome = Outcome::NotSent { is_lasting: false };
    const LOST: Outcome = Outcome::InDoubt { wait: None };
    let parsed = Came::Parsed { next: "N", is_usable: true };
    let of = |outcome| Came::Outcome(outcome);
    for came in [
        &[of(UNREACHED); 4][..],
        &[of(Outcome::NotSent { is_lasting: true })],
        &[of(Outcome::Busy { wait: None }); 2],
        &[Came::InvalidGrant],
        &[of(Outcome::Refused)],
        &[Came::Arrived, parsed],
        &[Came::Arrived, Came::Parsed { next: "N", is_usable: false }],
        &[Came::Arrived, of(Outcome::Error)],
        &[of(LOST); 2],
    ] {
        let row = rows.next().unwrap_or_default();
        let mut run = run(false);
        let spent = SpentTokens::default();
        let (owner, journal) = (None, JournalState::None);
        let state = State { creds: Some("T"), owner, journal, set_aside: &[], spent: &spent };
        let (access, account) = (Some(Access::Stale), None);
        let seen =
            Seen { state, access, account, in_doubt: false, is_damaged: false, running_for: 0 };
        run.next(Came::Looked(seen));
        let mut steps = Vec::new();
        let mut came = came.iter().copied();
        // Up to the send, from the rehearsal on.
        while !matches!(run.doing(), Do::End(_) | Do::Look) {
            let doing = run.doing();
            let comes = match doing {
                Do::Send(_) if steps.is_empty() => {
                    steps.push(name(&doing));
                    match came.clone().next() {
                        Some(Came::Outcome(Outcome::NotSent { .. })) => came.next(),
                        _ => Some(Came::Connected { claimed: None, is_ending: false }),
                    }
                }
                Do::Send(_) => match came.clone().next() {
                    Some(Came::Outcome(Outcome::NotSent { .. })) => came.next(),
                    _ => Some(Came::Connected { claimed: None, is_ending: false }),
                },
                Do::Go | Do::Parse => came.next(),
                Do::LookAgain => Some(Came::Now(crate::rotation::recovery::Now::Token("T"))),
                Do::Wait(Until::Changed) => Some(Came::TimeIsUp),
                _ => Some(Came::Done),
            };
            let next = run.next(comes.expect("it ends"));
            if !steps.is_empty() && !matches!(next, Do::HoldSignals | Do::FreeSignals) {
                steps.push(name(&next));
            }
        }
        assert_eq!(row.last().copied(), Some(&*steps.join(", ")), "{row:?}");
    }
    assert_eq!(rows.next(), None, "a row that nothing is held to");
}
