//! The steps of a refresh, explored exhaustively in a small world of files: every interleaving of a few
//! programs, with kills, signals, lost responses, writes that fail, and people who take no lock.
//!
//! What the programs do, the product's own machine says ([`Refresh`]). The world only knows what an effect
//! does to it: to creds.json, to what stands beside it, and to an authorization server. A step that breaks
//! a promise ends the exploration, with the shortest way to it. See "Explored" in ROTATION.md, beside this
//! crate's Cargo.toml.
//!
//! An effect does here what it does without its last look; with one, the look and the effect are one step.

use crate::rotation::attempts::Outcome;
use crate::rotation::machine::{
    Access, Bounds, Came, Do, End, Kept, Pair, Refresh, Says, Seen, Told, Until,
};
use crate::rotation::mutants::{Driven, Explored, Mutation, Sites};
use crate::rotation::recovery::{JournalState, Note, Now, Saved, State};
use crate::rotation::server::{NONE, Server, Token, Tokens, has, set};
use crate::rotation::walk::{self, Model, NOBODY, PROGRAMS, Walked, hash, walk};
use crate::store::home::HomeKind;
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::protocol::Holder;
use crate::tokens::claims::LocalTime;
use std::fmt;
use std::mem;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

const ROTATION: &str = include_str!("../../ROTATION.md");

/// What a write in place that was cut off in the middle of a token leaves.
const GARBLED: Token = 15;
/// What the world is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many programs run at once.
    pub(super) programs: usize,
    /// How many faults, and acts of others, a trace has.
    pub(super) faults: u8,
    /// How many runs start.
    pub(super) runs: u8,
    /// Whether the server takes a used token once more.
    pub(super) has_grace: bool,
    /// Whether a used token that is sent ends its family.
    pub(super) has_replay_protection: bool,
    /// Whether creds.json is written in place: it is a mount, or another user's.
    pub(super) is_in_place: bool,
    /// Whether pasted tokens are of the same account.
    pub(super) is_same_account: bool,
    /// Whether a pair is set aside at first, and the tokens in creds.json are dead.
    pub(super) is_set_aside: bool,
    /// Whether someone may write text without tokens into creds.json.
    pub(super) has_text: bool,
    /// Whether signals come, which end a program that does not hold them.
    pub(super) has_signals: bool,
    /// Whether creds.json can be read, and not be replaced.
    pub(super) is_immutable: bool,
    /// Whether all is sealed at first, with a key that may be gone for a while, and a refresh was cut off.
    pub(super) is_sealed: bool,
    pub(super) bounds: Bounds,
    pub(super) mutation: Option<Mutation>,
}

impl Rules {
    pub(super) fn with(self, faults: u8, mutation: Option<Mutation>) -> Self {
        Self { faults, mutation, ..self }
    }
}

pub(super) const PLAIN: Rules = Rules {
    programs: 2,
    faults: 2,
    runs: 3,
    has_grace: false,
    has_replay_protection: true,
    is_in_place: false,
    is_same_account: true,
    is_set_aside: false,
    has_text: false,
    has_signals: false,
    is_immutable: false,
    is_sealed: false,
    bounds: Bounds { home: HomeKind::File, rounds: None, looks: None },
    mutation: None,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Creds {
    #[default]
    Nothing,
    /// Without a token; and whether a copy of it is kept.
    Text {
        is_kept: bool,
    },
    Has(Token),
    /// A write of our own is under way, or was cut off. It reads as one of these tokens.
    Torn {
        reads: Token,
        to: Token,
    },
}

impl Creds {
    fn token(self) -> Token {
        match self {
            Self::Has(token) | Self::Torn { reads: token, .. } => token,
            Self::Nothing | Self::Text { .. } => NONE,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// Whether both have the same content.
    fn is_same(self, other: Self) -> bool {
        self == other || self.is_text() && other.is_text()
    }
}

const NO_PAIR: Pair<Token> = Pair { spent: NONE, next: NONE };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct JournalFile {
    pair: Pair<Token>,
    is_sealed: bool,
    /// The doubt that a note on a failure tells of.
    failure: Option<bool>,
}

/// Whether a file that a program has locked still has its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Held {
    #[default]
    No,
    Named,
    Unnamed,
}

/// What a program knows of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Key {
    #[default]
    NotAsked,
    Here,
    Missing,
}

/// Where a program is within an effect that takes several steps of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Within {
    #[default]
    Whole,
    /// creds.json is half written.
    Torn,
    /// The token is on its way.
    Out,
    /// The server has used it, and this one comes back.
    Back(Token),
}

/// A program: its machine, and what else it has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Program {
    driven: Driven<Token>,
    within: Within,
    lock: Held,
    journal: Held,
    /// What it saw last in creds.json, and whether that is sealed.
    seen: Creds,
    is_seen_sealed: bool,
    key: Key,
    /// Whether what comes of its token is sealed.
    seals: bool,
    /// The token that it sends, and what has come of it.
    pair: Pair<Token>,
    /// Whether what has come is in a file.
    is_saved: bool,
    holds_signals: bool,
    /// A failure was noted since it began.
    has_news: bool,
    /// The token that another run has failed with, which this one has waited for.
    news: Token,
    /// How often it has sent its token, and whether a response was lost.
    uses: u8,
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    programs: [Option<Program>; PROGRAMS],
    creds: Creds,
    is_creds_sealed: bool,
    journal: Option<JournalFile>,
    aside: [Pair<Token>; 4],
    /// The tokens of those that are sealed.
    sealed_aside: Tokens,
    is_key_gone: bool,
    record: [Pair<Token>; 7],
    server: Server<15>,
    /// What creds.json has held.
    copies: Tokens,
    /// Tokens that were used by a program without the lock.
    used_by_others: Tokens,
    /// What someone has written something else over, in creds.json: theirs to lose.
    overwritten: Tokens,
    /// Tokens whose response was saved.
    answered: Tokens,
    runs: u8,
    faults: u8,
    expiries: u8,
    excuses: Excuses,
    /// Something has happened after which a token may be in doubt.
    may_doubt: bool,
}

/// What has happened that ROTATION.md names among what cannot be promised, or what the exploration excuses.
type Excuses = u8;
/// The record could not be written.
const UNRECORDED: Excuses = 1;
/// An older copy was restored, from before the record.
const OLDER: Excuses = 2;
/// A program without the lock has refreshed.
const WITHOUT_LOCK: Excuses = 4;
/// A pair that a run has used in vain was put back, because creds.json was gone.
const PUT_BACK: Excuses = 8;
/// A response exists nowhere: a kill, or a lost response.
const NOWHERE: Excuses = 16;
/// A write in place that puts back a pair that was set aside was cut off within the token.
const MIXED: Excuses = 32;
/// No disk takes anything: neither the journal nor a file of its own.
const NO_DISK: Excuses = 64;
const ALL_EXCUSES: Excuses = 127;
const KNOWN_WRONGLY: Excuses = UNRECORDED | OLDER | WITHOUT_LOCK | PUT_BACK;

type Step = walk::Step<World, What>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Starts,
    Does(Do<Token>, &'static str),
    Crashes(Do<Token>, Within),
    Happens(&'static str),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts => f.write_str("starts"),
            Self::Does(doing, "") => write!(f, "{doing:?}"),
            Self::Does(doing, how) => write!(f, "{doing:?}: {how}"),
            Self::Crashes(doing, Within::Whole) => write!(f, "is killed before {doing:?}"),
            Self::Crashes(doing, within) => write!(f, "is killed in {doing:?} ({within:?})"),
            Self::Happens(what) => f.write_str(what),
        }
    }
}

impl World {
    fn new(rules: &Rules) -> Self {
        let mut world = Self {
            programs: [None; PROGRAMS],
            creds: Creds::Nothing,
            is_creds_sealed: rules.is_sealed,
            journal: None,
            aside: [NO_PAIR; 4],
            sealed_aside: 0,
            is_key_gone: false,
            record: [NO_PAIR; 7],
            server: Server::default(),
            copies: 0,
            used_by_others: 0,
            overwritten: 0,
            answered: 0,
            runs: rules.runs,
            faults: rules.faults,
            expiries: 1,
            excuses: 0,
            may_doubt: false,
        };
        let token = world.server.make(0);
        world.creds = Creds::Has(token);
        if rules.is_set_aside {
            // Tokens of another family were pasted while a response was on its way, and are dead.
            let next = world.server.make(0);
            world.server.used |= set(token);
            world.answered |= set(token);
            world.aside[0] = Pair { spent: token, next };
            world.record[0] = world.aside[0];
            let pasted = world.server.make(1);
            world.server.dead |= set(pasted);
            world.creds = Creds::Has(pasted);
            world.excuses = NOWHERE;
        }
        if rules.is_sealed {
            let next = world.server.make(0);
            world.server.used |= set(token);
            world.answered |= set(token);
            let pair = Pair { spent: token, next };
            world.journal = Some(JournalFile { pair, is_sealed: true, failure: None });
        }
        world.server.fresh = 0;
        world.copies = set(world.creds.token());
        world
    }

    fn program(&mut self, index: usize) -> &mut Program {
        self.programs[index].as_mut().expect("it runs")
    }

    fn aside(&self) -> impl DoubleEndedIterator<Item = Pair<Token>> + ExactSizeIterator + '_ {
        let count = self.aside.iter().position(|pair| pair.spent == NONE);
        self.aside[..count.unwrap_or(self.aside.len())].iter().copied()
    }

    fn set_aside(&mut self, pair: Pair<Token>, is_sealed: bool) {
        let free = self.aside().len();
        self.aside[free] = pair;
        if is_sealed {
            self.sealed_aside |= set(pair.next);
        }
    }

    /// What someone puts into creds.json, without a key.
    fn put(&mut self, creds: Creds) {
        (self.creds, self.is_creds_sealed) = (creds, false);
    }

    /// A program asks for the key.
    fn ask(&mut self, index: usize) {
        self.program(index).key = if self.is_key_gone { Key::Missing } else { Key::Here };
    }

    /// Whether a pair in a file is sealed.
    fn is_sealed(&self, what: Kept<Token>) -> bool {
        match what {
            Kept::Journal(_) => self.journal.is_some_and(|journal| journal.is_sealed),
            Kept::Aside(pair) => has(self.sealed_aside, pair.next),
        }
    }

    fn record(&mut self, pair: Pair<Token>) {
        if !self.record.contains(&pair) {
            let free = self.record.iter().position(|pair| pair.spent == NONE);
            self.record[free.expect("the record has room")] = pair;
        }
    }

    fn remove(&mut self, what: Kept<Token>) {
        match what {
            Kept::Journal(_) => {
                self.journal = None;
                self.unname_journal();
            }
            Kept::Aside(pair) => {
                let place = self.aside().position(|aside| aside == pair);
                if let Some(index) = place {
                    self.sealed_aside &= !set(pair.next);
                    self.aside.copy_within(index + 1.., index);
                    self.aside[self.aside.len() - 1] = NO_PAIR;
                }
            }
        }
    }

    /// What stands beside creds.json that tells of used tokens.
    fn links(&self) -> impl Iterator<Item = Pair<Token>> {
        let record = self.record.iter().copied().take_while(|pair| pair.spent != NONE);
        let received = self.journal.iter().map(|journal| journal.pair);
        record.chain(received.filter(|pair| pair.next != NONE)).chain(self.aside())
    }

    fn is_known_as_used(&self, token: Token) -> bool {
        self.links().any(|pair| pair.spent == token)
    }

    /// The tokens that are in a file or in a living program.
    fn held(&self) -> Tokens {
        let mut held = set(self.creds.token());
        held |= self.journal.map_or(0, |journal| set(journal.pair.next));
        held |= self.aside().fold(0, |held, pair| held | set(pair.next));
        self.programs.iter().flatten().fold(held, |held, program| held | set(program.pair.next))
    }

    fn is_locked(&self) -> bool {
        self.programs.iter().flatten().any(|program| program.lock == Held::Named)
    }

    fn is_journal_in_use(&self) -> bool {
        self.programs.iter().flatten().any(|program| program.journal == Held::Named)
    }

    fn forget_news(&mut self) {
        self.programs.iter_mut().flatten().for_each(|program| program.news = NONE);
    }

    /// The journal has another name, or none: whoever has it open goes on writing to it.
    fn unname_journal(&mut self) {
        self.forget_news();
        for program in self.programs.iter_mut().flatten() {
            if program.journal == Held::Named {
                program.journal = Held::Unnamed;
            }
        }
    }

    fn journal_state(
        &self,
        creds: Token,
        saved: impl Fn(Pair<Token>) -> Saved<Token>,
    ) -> JournalState<Token> {
        let Some(JournalFile { pair, failure, .. }) = self.journal else {
            return JournalState::None;
        };
        let note = failure.map(|in_doubt| Note { in_doubt, unused: None, age: 1 });
        match pair.next {
            NONE => JournalState::Unanswered { spent: Some(pair.spent), note },
            next => {
                JournalState::Received { pair: saved(pair), is_in_creds: creds == next, note: None }
            }
        }
    }
}

/// The rules that the world can take away.
pub(super) const RULES: [&str; 2] = [COUNTS, USED];
const COUNTS: &str = "a journal that stays closed counts as a pair";
const USED: &str = "a token is known as used by a pair that stays closed";

struct Explorer {
    rules: Rules,
    sites: Sites,
    /// Whether the rule that is broken was come across.
    has_acted: bool,
    /// Which excuses were needed.
    excused: Excuses,
    steps: Vec<Step>,
}

impl Model for Explorer {
    type World = World;
    type What = What;

    fn steps(&mut self, world: &World) -> Vec<Step> {
        self.all_steps(world);
        mem::take(&mut self.steps)
    }

    fn sort(&self, world: &mut World) -> ([usize; PROGRAMS], u64) {
        let programs = mem::take(&mut world.programs);
        let keys = programs.each_ref().map(hash);
        let mut order = [0, 1, 2];
        order.sort_by_key(|&index| keys[index]);
        let hash = hash(&(order.map(|index| keys[index]), &*world));
        world.programs = order.map(|index| programs[index]);
        (order, hash)
    }
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        Self { rules, sites: Sites::default(), has_acted: false, excused: 0, steps: Vec::new() }
    }

    fn is_without(&mut self, rule: &'static str) -> bool {
        let is_without = self.rules.mutation == Some(Mutation::Without(rule));
        self.has_acted |= is_without;
        is_without
    }

    fn all_steps(&mut self, world: &World) {
        let running = world.programs.iter().flatten().count();
        for index in 0..PROGRAMS {
            match world.programs[index] {
                None => {
                    let is_first = world.programs[..index].iter().all(Option::is_some);
                    if running < self.rules.programs && is_first && world.runs > 0 {
                        self.start(world, index);
                    }
                }
                Some(program) => {
                    self.advance(world, index, &program);
                    if world.faults > 0 {
                        self.crash(world, index, &program);
                    }
                }
            }
        }
        let goes_on = |step: &Step| step.what != What::Starts && step.world.faults == world.faults;
        if running > 0 && !self.steps.iter().any(goes_on) {
            self.push(What::Happens("waits for ever"), NOBODY, *world).breach =
                Some("a run has no end");
        }
        if world.expiries > 0 && world.server.fresh != 0 {
            let mut next = World { expiries: world.expiries - 1, ..*world };
            next.server.fresh = 0;
            self.push(What::Happens("the access tokens expire"), NOBODY, next);
        }
        if world.is_key_gone {
            let next = World { is_key_gone: false, ..*world };
            self.push(What::Happens("the key comes back"), NOBODY, next);
        }
        if world.faults > 0 {
            self.others(world);
        }
        let mut steps = mem::take(&mut self.steps);
        for step in &mut steps {
            self.judge(world, step);
        }
        self.steps = steps;
    }

    /// What must be true after each step.
    fn judge(&mut self, before: &World, step: &mut Step) {
        let world = &step.world;
        let lost = before.held() & before.server.living() & world.server.living() & !world.held();
        if lost & !world.overwritten != 0 && step.breach.is_none() && !step.is_excused {
            step.breach = Some("a living pair is lost");
        }
        if let Creds::Torn { reads, to } = world.creds
            && reads != to
        {
            let programs = world.programs.iter().flatten();
            let is_written = programs.clone().any(|program| program.within == Within::Torn);
            let is_saved = world.journal.is_some_and(|journal| journal.pair.next == to)
                || world.aside().any(|pair| pair.next == to);
            if !is_written && !is_saved && !step.is_excused && step.breach.is_none() {
                self.breach(step, "creds.json is torn for good", NOWHERE | MIXED);
            }
        }
        if before.creds == (Creds::Text { is_kept: false })
            && !step.world.creds.is_text()
            && step.by != NOBODY
            && step.breach.is_none()
        {
            step.breach = Some("what was found in creds.json is gone");
        }
    }

    /// A promise is broken, unless one of these things has happened.
    fn breach(&mut self, step: &mut Step, what: &'static str, unless: Excuses) {
        match step.world.excuses & unless {
            0 => step.breach = Some(what),
            excuses => self.excused |= excuses,
        }
    }

    fn push(&mut self, what: What, by: usize, world: World) -> &mut Step {
        let (breach, remains, is_excused) = (None, None, false);
        self.steps.push(Step { what, by, world, breach, remains, is_excused });
        self.steps.last_mut().expect("it was just pushed")
    }

    fn start(&mut self, world: &World, index: usize) {
        let token = world.creds.token();
        let have_saved_pair = world.journal.is_some() || world.aside().len() > 0;
        if world.is_creds_sealed && world.is_key_gone {
            return;
        }
        // The fast path takes no lock, and changes nothing; so does an error.
        if has(world.server.fresh, token) || token == NONE && !have_saved_pair {
            return;
        }
        let mut next = *world;
        next.runs -= 1;
        next.programs[index] = Some(Program {
            driven: Driven::new(Refresh::new(self.rules.bounds, false)),
            within: Within::Whole,
            lock: Held::No,
            journal: Held::No,
            seen: Creds::Nothing,
            is_seen_sealed: false,
            key: if world.is_creds_sealed { Key::Here } else { Key::NotAsked },
            seals: false,
            pair: NO_PAIR,
            is_saved: false,
            holds_signals: false,
            has_news: false,
            news: NONE,
            uses: 0,
            is_lost: false,
        });
        self.push(What::Starts, index, next);
    }

    fn crash(&mut self, world: &World, index: usize, program: &Program) {
        let doing = program.driven.doing();
        let mut next = *world;
        next.faults -= 1;
        next.programs[index] = None;
        next.forget_news();
        next.may_doubt |= program.journal != Held::No;
        let is_out = matches!(program.within, Within::Out | Within::Back(_));
        let is_on_its_way = is_out || program.pair.next != NONE && !program.is_saved;
        // With a grace period the next run gets another; but not over a creds.json that is torn.
        let is_torn = program.within == Within::Torn;
        if is_on_its_way && (!self.rules.has_grace || is_torn) {
            next.excuses |= NOWHERE;
        }
        if is_torn && matches!(doing, Do::Replace { what: Kept::Aside(_), .. }) {
            next.excuses |= MIXED;
        }
        self.push(What::Crashes(doing, program.within), index, next).is_excused = is_on_its_way;
        if self.rules.has_signals && !program.holds_signals {
            let next = World { excuses: world.excuses, ..next };
            self.push(What::Happens("a signal ends it"), index, next);
        }
    }

    /// What people and programs without the lock do.
    fn others(&mut self, world: &World) {
        let rules = self.rules;
        let mut base = *world;
        base.faults -= 1;
        base.overwritten |= set(world.creds.token());
        let mut happens = |what, next: World| {
            self.push(What::Happens(what), NOBODY, next).is_excused = true;
        };

        let mut next = base;
        let token = next.server.make_stale();
        next.put(Creds::Has(token));
        next.copies |= set(token);
        happens("a new pair is pasted", next);

        for token in 1..=world.server.made {
            // Copies are from before the tokens were sealed.
            let is_there = world.creds == Creds::Has(token) && !world.is_creds_sealed;
            if has(world.copies, token) && !is_there {
                let mut next = base;
                next.put(Creds::Has(token));
                next.overwritten &= !set(token);
                if has(world.server.used, token) && !world.is_known_as_used(token) {
                    next.excuses |= OLDER;
                }
                happens("an older copy is restored", next);
            }
        }

        if let Creds::Has(token) = world.creds
            && token != GARBLED
            && !world.is_creds_sealed
        {
            let mut next = base;
            let made = next.server.refresh(token, rules.has_grace, rules.has_replay_protection);
            if made != NONE {
                next.used_by_others |= set(token);
                next.excuses |= WITHOUT_LOCK;
                next.creds = Creds::Has(made);
                next.copies |= set(made);
                happens("a program without the lock refreshes", next);
            }
        }

        if world.creds != Creds::Nothing {
            let mut next = base;
            next.put(Creds::Nothing);
            happens("creds.json is deleted", next);
        }
        if rules.has_text && !world.creds.is_text() {
            let creds = Creds::Text { is_kept: false };
            happens("creds.json is damaged", World { creds, ..base });
        }

        if rules.is_sealed && !world.is_key_gone {
            let overwritten = world.overwritten;
            happens("the key is gone", World { is_key_gone: true, overwritten, ..base });
        }

        if world.is_locked() {
            let mut next = World { overwritten: world.overwritten, ..base };
            for program in next.programs.iter_mut().flatten() {
                if program.lock == Held::Named {
                    program.lock = Held::Unnamed;
                    // As after a kill at this moment: others see what is half written.
                    if program.within == Within::Torn
                        && let Do::Replace { what: Kept::Aside(_), .. } = program.driven.doing()
                    {
                        next.excuses |= MIXED;
                    }
                }
            }
            self.push(What::Happens("the lock file is deleted"), NOBODY, next);
        }
    }

    /// This came of what a program does, and it goes on.
    fn goes_on(
        &mut self,
        mut next: World,
        index: usize,
        how: &'static str,
        came: Came<'_, Token>,
    ) -> &mut Step {
        let mutation = self.rules.mutation;
        let sealed_aside = next.sealed_aside;
        let program = next.program(index);
        let doing = program.driven.doing();
        let seen = program.seen.token();
        self.has_acted |= program.driven.next(came, mutation, seen);
        let then = program.driven.doing();
        self.sites.note(doing, then);
        let has_failed = match doing {
            Do::Send(_) | Do::Go | Do::Wait(Until::Paused(..)) => !matches!(
                then,
                Do::Wait(_) | Do::FreeSignals | Do::Send(_) | Do::Go | Do::HoldSignals | Do::Save
            ),
            _ => false,
        };
        // Of no more use.
        if let Do::Look | Do::LetGo | Do::Wait(Until::Changed) = program.driven.doing() {
            program.pair = NO_PAIR;
            (program.is_saved, program.uses, program.is_lost) = (false, 0, false);
        }
        let mut may_doubt = false;
        if let Do::Rehearse { token, .. } = program.driven.doing() {
            // Nothing tells whether a pair that was set aside has been used.
            may_doubt = token != seen;
            program.seals = program.is_seen_sealed || token != seen && has(sealed_aside, token);
            program.pair = Pair { spent: token, next: NONE };
            (program.is_saved, program.uses, program.is_lost) = (false, 0, false);
        }
        next.may_doubt |= may_doubt;
        let program = next.program(index);
        if has_failed && program.journal == Held::Named {
            // Those that wait for it are to know what it knows.
            let token = program.pair.spent;
            for program in next.programs.iter_mut().flatten() {
                if program.driven.doing() == Do::Wait(Until::Turn) {
                    program.news = token;
                }
            }
        }
        self.push(What::Does(doing, how), index, next)
    }

    /// The steps of one program, and those that fail.
    fn advance(&mut self, world: &World, index: usize, program: &Program) {
        let &Program { lock, journal, seen, is_seen_sealed, key, seals, pair, .. } = program;
        let doing = program.driven.doing();
        let is_held = lock == Held::Named;
        let can_fail = world.faults > 0;
        let can_read = !world.is_creds_sealed || key == Key::Here;
        let is_same = || world.creds.is_same(seen) && world.is_creds_sealed == is_seen_sealed;
        let failed = World { faults: world.faults.saturating_sub(1), ..*world };
        let mut next = *world;
        // It does, or it fails and nothing has changed.
        macro_rules! does_or_fails {
            () => {{
                self.goes_on(next, index, "", Came::Done);
                if can_fail {
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
            }};
        }
        let is_lock_missing = match doing {
            Do::Remove { if_held, .. }
            | Do::SetAside { if_held }
            | Do::Begin { if_held, .. }
            | Do::Replace { if_held, .. }
            | Do::End(End { if_held, .. }) => if_held && !is_held,
            _ => false,
        };
        if is_lock_missing && program.within == Within::Whole {
            self.goes_on(next, index, "has lost the lock", Came::LockLost);
            return;
        }
        match doing {
            Do::Read => {
                if world.is_creds_sealed && key == Key::NotAsked {
                    next.ask(index);
                }
                let can_read = !world.is_creds_sealed || next.program(index).key == Key::Here;
                let will_do = can_read && has(world.server.fresh, world.creds.token());
                self.goes_on(
                    next,
                    index,
                    "",
                    Came::Read { will_do, holder: Holder::None, is_saved_here: false },
                );
            }
            Do::Lock { if_unused } => {
                if world.is_locked() || if_unused && world.is_journal_in_use() {
                    self.goes_on(next, index, "taken", Came::Taken);
                } else {
                    next.program(index).lock = Held::Named;
                    self.goes_on(next, index, "", Came::Done);
                }
                if can_fail {
                    self.goes_on(failed, index, "fails", Came::Failed);
                    // What the journal says is read with that, and told.
                    let token = world.creds.token();
                    let is_used = has(world.server.used & !world.used_by_others, token);
                    if world.journal.is_none() && is_used && !world.is_known_as_used(token) {
                        self.last_breach(
                            "\"unchanged\" is said of used tokens",
                            KNOWN_WRONGLY | NOWHERE,
                        );
                    }
                }
            }
            Do::Wait(until) => {
                if program.holds_signals && !program.is_lost {
                    // Until a token is on its way, a signal ends the run.
                    self.push(What::Happens("is sent a signal"), index, *world).breach =
                        Some("a signal is held in vain");
                    return;
                }
                let is_over = match until {
                    Until::Turn => {
                        !world.is_locked() && !world.is_journal_in_use()
                            || (can_read || key == Key::NotAsked)
                                && has(world.server.fresh, world.creds.token())
                    }
                    Until::Paused(..) => true,
                    Until::Changed => {
                        let is_same = !can_read || world.creds.token() == seen.token();
                        let came = if is_same { Came::TimeIsUp } else { Came::NotAsExpected };
                        self.goes_on(next, index, "", came);
                        return;
                    }
                };
                if is_over {
                    self.goes_on(next, index, "", Came::Done);
                }
                if can_fail {
                    self.goes_on(failed, index, "time is up", Came::TimeIsUp);
                }
            }
            Do::Look => self.look(world, index),
            Do::Record(pair) => {
                next.record(pair);
                self.goes_on(next, index, "", Came::Done);
                if can_fail {
                    let excuses = failed.excuses | UNRECORDED;
                    self.goes_on(World { excuses, ..failed }, index, "fails", Came::Failed);
                }
            }
            Do::Remove { what, .. } => {
                next.remove(what);
                // It is not remembered that a run may have used it in vain.
                if matches!(what, Kept::Aside(pair) if has(world.server.used, pair.next))
                    && world.creds.token() == what.pair().next
                {
                    next.excuses |= PUT_BACK;
                }
                does_or_fails!();
            }
            Do::SetAside { .. } => {
                let came = match next.journal.take() {
                    Some(file) => {
                        if file.pair.next != NONE {
                            next.set_aside(file.pair, file.is_sealed);
                        }
                        next.unname_journal();
                        Came::Done
                    }
                    None => Came::NotThere,
                };
                self.goes_on(next, index, "", came);
                if can_fail {
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
            }
            Do::KeepDamaged(_) => {
                if seen.is_text() && world.creds.is_text() {
                    next.creds = Creds::Text { is_kept: true };
                }
                does_or_fails!();
            }
            Do::Replace { what, if_held, if_same, .. } => {
                let to = what.pair().next;
                if program.within == Within::Torn {
                    next.creds = Creds::Has(to);
                    if !matches!(world.creds, Creds::Torn { .. }) {
                        next.overwritten |= set(world.creds.token());
                    }
                    next.program(index).within = Within::Whole;
                    next.program(index).is_saved = true;
                    self.goes_on(next, index, "ends", Came::Done);
                    return;
                }
                if if_same && !is_same() {
                    self.goes_on(next, index, "not as expected", Came::NotAsExpected);
                    return;
                }
                next.is_creds_sealed =
                    is_seen_sealed || if if_held { world.is_sealed(what) } else { seals };
                if can_fail && !self.rules.is_immutable {
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
                next.copies |= set(to);
                if self.rules.is_immutable {
                    self.goes_on(*world, index, "fails", Came::Failed);
                } else if self.rules.is_in_place {
                    next.program(index).within = Within::Torn;
                    // A mix that is sealed does not open.
                    let count = if next.is_creds_sealed { 3 } else { 4 };
                    for reads in [NONE, world.creds.token(), to, GARBLED].into_iter().take(count) {
                        next.creds = Creds::Torn { reads, to };
                        self.push(What::Does(doing, "begins"), index, next);
                    }
                } else {
                    next.creds = Creds::Has(to);
                    next.program(index).is_saved = true;
                    self.goes_on(next, index, "", Came::Done);
                }
            }
            Do::Rehearse { if_same, .. } => {
                if if_same && !is_same() {
                    self.goes_on(next, index, "not as expected", Came::NotAsExpected);
                } else if self.rules.is_immutable {
                    self.goes_on(next, index, "fails", Came::Failed);
                } else {
                    (next.creds, next.is_creds_sealed) = (seen, is_seen_sealed);
                    does_or_fails!();
                }
            }
            Do::Begin { token, .. } => {
                next.unname_journal();
                let pair = Pair { spent: token, next: NONE };
                next.journal = Some(JournalFile { pair, is_sealed: seals, failure: None });
                next.program(index).journal = Held::Named;
                self.goes_on(next, index, "", Came::Done);
                if program.news == token {
                    self.last_breach("a run asks again what another was told", 0);
                }
                if can_fail {
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
            }
            Do::Send(_) => {
                self.goes_on(
                    next,
                    index,
                    "connected",
                    Came::Connected { claimed: None, is_ending: false },
                );
                if can_fail {
                    let outcome = Outcome::NotSent { is_lasting: true };
                    self.goes_on(failed, index, "not sent, for good", Came::Outcome(outcome));
                    let outcome = Outcome::NotSent { is_lasting: false };
                    self.goes_on(failed, index, "not sent", Came::Outcome(outcome));
                }
            }
            Do::HoldSignals => {
                next.program(index).holds_signals = true;
                self.goes_on(next, index, "", Came::Done);
            }
            Do::FreeSignals => {
                next.program(index).holds_signals = false;
                self.goes_on(next, index, "", Came::Done);
            }
            Do::Go => self.go(world, index, program),
            Do::Save => {
                next.answered |= set(pair.spent);
                next.program(index).is_saved = true;
                if let (Held::Named, Some(file)) = (journal, &mut next.journal) {
                    file.pair = pair;
                }
                self.goes_on(next, index, "", Came::Done);
                if can_fail {
                    let failed = World { may_doubt: true, ..failed };
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
            }
            Do::Parse => {
                let came = Came::Parsed { next: pair.next, is_usable: true };
                self.goes_on(next, index, "", came);
            }
            Do::LookAgain => {
                if !can_read {
                    self.goes_on(next, index, "cannot be opened", Came::Failed);
                    return;
                }
                next.program(index).seen = world.creds;
                next.program(index).is_seen_sealed = world.is_creds_sealed;
                let now = match (world.creds, world.creds.token()) {
                    (Creds::Nothing, _) => Now::Nothing,
                    (_, NONE) => Now::Damaged,
                    (_, token) => Now::Token(token),
                };
                self.goes_on(next, index, "", Came::Now(now));
                if can_fail {
                    self.goes_on(failed, index, "fails", Came::Failed);
                }
            }
            Do::SaveAside => {
                next.set_aside(pair, seals);
                next.program(index).is_saved = true;
                self.goes_on(next, index, "", Came::Done);
                if can_fail {
                    // Neither the journal nor this.
                    let mut next = failed;
                    next.excuses |= NO_DISK;
                    next.program(index).is_saved = true;
                    next.program(index).pair.next = NONE;
                    self.goes_on(next, index, "fails", Came::Failed).is_excused = true;
                }
            }
            Do::Note { in_doubt, .. } => {
                if let (Held::Named, Some(file)) = (journal, &mut next.journal) {
                    file.failure = Some(in_doubt);
                    for (other, program) in next.programs.iter_mut().enumerate() {
                        if let Some(program) = program
                            && other != index
                        {
                            program.has_news = true;
                        }
                    }
                }
                self.goes_on(next, index, "", Came::Done);
                if can_fail {
                    let mut next = failed;
                    next.forget_news();
                    next.may_doubt = true;
                    self.goes_on(next, index, "fails", Came::Failed);
                }
            }
            Do::NoteUnused { .. } => does_or_fails!(),
            Do::Claim(_) | Do::Prove | Do::Withdraw { .. } | Do::Refuse => {
                unreachable!("{doing:?} is for a vault")
            }
            Do::Close => {
                next.program(index).journal = Held::No;
                next.program(index).holds_signals = false;
                self.goes_on(next, index, "", Came::Done);
            }
            Do::LetGo => {
                next.program(index).lock = Held::No;
                next.program(index).journal = Held::No;
                next.program(index).holds_signals = false;
                self.goes_on(next, index, "", Came::Done);
            }
            Do::FetchKeys => {
                let program = next.program(index);
                (program.lock, program.journal, program.holds_signals) =
                    (Held::No, Held::No, false);
                next.ask(index);
                self.goes_on(next, index, "", Came::Done);
            }
            Do::End(End { told, says, .. }) => {
                next.programs[index] = None;
                self.push(What::Does(doing, ""), index, next);
                let is_used = |token| has(world.server.used & !world.used_by_others, token);
                if let Some(Says { token, in_doubt: false }) = says
                    && is_used(token)
                {
                    self.last_breach("\"unchanged\" is said of used tokens", KNOWN_WRONGLY);
                }
                if let Some(Says { token, in_doubt: true }) = says
                    && !has(world.server.used, token)
                    && !world.may_doubt
                {
                    self.last_breach("a doubt about a token that nobody has sent", KNOWN_WRONGLY);
                }
                if told == Told::NotSaved {
                    self.steps.last_mut().expect("it ends").is_excused = true;
                }
            }
        }
    }

    /// The last step breaks a promise, unless one of these things has happened.
    fn last_breach(&mut self, what: &'static str, unless: Excuses) {
        let mut step = self.steps.pop().expect("there is one");
        if step.breach.is_none() {
            self.breach(&mut step, what, unless);
        }
        self.steps.push(step);
    }

    fn look(&mut self, world: &World, index: usize) {
        let mut next = *world;
        let program = next.program(index);
        program.seen = world.creds;
        program.is_seen_sealed = world.is_creds_sealed;
        let key = program.key;
        let is_closed = |what| world.is_sealed(what) && key != Key::Here;
        let journal = world.journal.filter(|file| file.pair.next != NONE);
        let is_journal_closed = journal.is_some_and(|file| is_closed(Kept::Journal(file.pair)));
        let is_creds_closed = world.is_creds_sealed && key != Key::Here;
        let is_one_closed = world.aside().any(|pair| is_closed(Kept::Aside(pair)));
        if key == Key::NotAsked && (is_creds_closed || is_journal_closed || is_one_closed) {
            self.goes_on(next, index, "", Came::KeysWanted);
            return;
        }
        if is_creds_closed {
            self.goes_on(next, index, "cannot be opened", Came::Failed);
            return;
        }
        let received = world.journal.map_or(NONE, |journal| journal.pair.next);
        // A write of the journal's pair that was cut off is no token of anyone's.
        let (is_torn, token) = match world.creds {
            Creds::Torn { to, .. } if to == received => (true, NONE),
            creds => (false, creds.token()),
        };
        let family = |token: Token| world.server.families[usize::from(token % GARBLED)];
        let rules = self.rules;
        let saved = |pair| saved(&rules, world, pair);
        let mut spent = SpentTokens::default();
        let is_open = |pair: &Pair<Token>| !is_closed(Kept::Aside(*pair));
        let record = world.record.iter().copied().take_while(|pair| pair.spent != NONE);
        let of_journal = journal.filter(|_| !is_journal_closed).map(|file| file.pair);
        let links = record.chain(of_journal).chain(world.aside().filter(is_open));
        links.for_each(|Pair { spent: token, next }| {
            spent.add(Link { spent: token, next, time: LocalTime(0) })
        });
        let closed = world.aside().filter(|pair| !is_open(pair));
        let closed = closed.chain(journal.filter(|_| is_journal_closed).map(|file| file.pair));
        if !self.is_without(USED) {
            closed.for_each(|pair| spent.add_unopened(pair.spent, LocalTime(0)));
        }
        let mut aside = [saved(NO_PAIR); 4];
        let count = world.aside().filter(is_open).count();
        let open = world.aside().filter(is_open);
        open.zip(&mut aside).for_each(|(pair, aside)| *aside = saved(pair));
        let state = State {
            creds: (token != NONE).then_some(token),
            owner: None,
            journal: match is_journal_closed {
                true if self.is_without(COUNTS) => JournalState::None,
                true => JournalState::Closed,
                false => world.journal_state(token, saved),
            },
            set_aside: &aside[..count],
            spent: &spent,
        };
        let will_do = has(world.server.fresh, token);
        let access = if will_do { Access::WillDo } else { Access::Stale };
        let seen = Seen {
            state,
            access: (token != NONE).then_some(access),
            account: Some(account(&self.rules, family(token))),
            in_doubt: false,
            is_damaged: token == NONE && !is_torn && world.creds != Creds::Nothing,
            running_for: if program.has_news { 2 } else { 0 },
        };
        let step = self.goes_on(next, index, "", Came::Looked(seen));
        let driven = step.world.programs[index].expect("it runs").driven;
        let forgets = match driven.doing() {
            Do::Rehearse { token, .. } => {
                // Of one that is dead there is nothing to forget: the server says so again.
                let is_used =
                    has(world.server.used & !world.used_by_others & !world.server.dead, token);
                is_used && !has(world.answered, token) && !driven.is_in_doubt()
            }
            _ => false,
        };
        if forgets {
            self.last_breach("it is forgotten that the token may be used", KNOWN_WRONGLY);
        }
        if world.faults > 0 {
            let failed = World { faults: world.faults - 1, ..*world };
            self.goes_on(failed, index, "fails", Came::Failed);
        }
    }

    /// The token leaves, is used, and its response comes back.
    fn go(&mut self, world: &World, index: usize, program: &Program) {
        let token = program.pair.spent;
        let doing = program.driven.doing();
        let failed = World { faults: world.faults.saturating_sub(1), ..*world };
        let mut next = *world;
        match program.within {
            Within::Whole | Within::Torn => {
                next.program(index).within = Within::Out;
                next.program(index).uses += 1;
                self.push(What::Does(doing, "leaves"), index, next);
                let is_sending = |other: &Program| {
                    matches!(other.within, Within::Out | Within::Back(_))
                        || other.pair.next != NONE && !other.is_saved
                };
                if world.programs.iter().flatten().any(is_sending) {
                    self.last_breach("two programs send at once", 0);
                } else if token == GARBLED {
                    self.last_breach("a torn token is sent", NOWHERE | MIXED);
                } else if world.is_known_as_used(token) {
                    self.last_breach("a used token is sent", 0);
                } else if has(world.answered, token) {
                    self.last_breach("a used token is sent", KNOWN_WRONGLY);
                } else if program.uses >= 2 || program.uses == 1 && !program.is_lost {
                    self.last_breach("a token is sent a third time", 0);
                } else if self.rules.is_immutable {
                    self.last_breach("a token is sent in vain", 0);
                }
            }
            Within::Out => {
                let made = next.server.refresh(
                    token,
                    self.rules.has_grace,
                    self.rules.has_replay_protection,
                );
                next.program(index).within = Within::Back(made);
                self.push(What::Does(doing, "is used"), index, next);
                if made == NONE && !has(world.server.dead, token) {
                    self.last_breach("a family is lost", NOWHERE | KNOWN_WRONGLY | MIXED | NO_DISK);
                }
                if world.faults == 0 {
                    return;
                }
                let mut next = failed;
                next.program(index).within = Within::Whole;
                let unused = next;
                next.program(index).uses -= 1;
                let busy = Came::Outcome(Outcome::Busy { wait: None });
                self.goes_on(next, index, "is told to wait", busy);
                self.goes_on(unused, index, "is refused", Came::Outcome(Outcome::Refused));
                let mut next = World { may_doubt: true, ..unused };
                next.program(index).is_lost = true;
                let lost = Came::Outcome(Outcome::InDoubt { wait: None });
                self.goes_on(next, index, "the request is lost", lost);
            }
            Within::Back(made) => {
                next.program(index).within = Within::Whole;
                next.program(index).pair.next = made;
                let came = if made == NONE { Came::InvalidGrant } else { Came::Arrived };
                self.goes_on(next, index, "comes back", came);
                if world.faults == 0 {
                    return;
                }
                let mut next = World { may_doubt: true, ..failed };
                if !self.rules.has_grace {
                    next.excuses |= NOWHERE;
                }
                next.program(index).within = Within::Whole;
                next.program(index).is_lost = true;
                let outcome = Outcome::InDoubt { wait: None };
                self.goes_on(next, index, "the response is lost", Came::Outcome(outcome));
            }
        }
    }
}

fn account(rules: &Rules, family: u8) -> u8 {
    if rules.is_same_account { 1 } else { 1 + family.min(1) }
}

fn saved(rules: &Rules, world: &World, Pair { spent, next }: Pair<Token>) -> Saved<Token> {
    let family = world.server.families[usize::from(next)];
    Saved { spent, next, account: Some(account(rules, family)) }
}

/// Walks through every state, the nearest first, until a promise is broken.
fn explore(rules: Rules) -> (Explorer, Walked) {
    let mut explorer = Explorer::new(rules);
    let walked = walk(&mut explorer, World::new(&rules));
    (explorer, walked)
}

/// The same in short, for the mutants.
pub(super) fn explored(rules: Rules) -> Explored {
    let (Explorer { sites, has_acted, .. }, Walked { breach, .. }) = explore(rules);
    let breach = breach.map(|(what, trace)| (what, trace.len()));
    Explored { sites, has_acted, breach }
}

/// All worlds, each with its name, and with so many runs of two programs.
pub(super) fn worlds(runs: u8) -> Vec<(&'static str, Rules)> {
    let two = Rules { runs, ..PLAIN };
    let set_aside = Rules { is_set_aside: true, ..two };
    let three = Rules { programs: 3, faults: 1, runs: 4, ..PLAIN };
    let bounds = Bounds { home: HomeKind::File, rounds: Some(2), looks: Some(2) };
    vec![
        ("two programs", two),
        ("two, with a grace period", Rules { has_grace: true, ..two }),
        ("two, without replay protection", Rules { has_replay_protection: false, ..two }),
        ("three, written in place", Rules { is_in_place: true, ..three }),
        ("two, creds.json is written in place", Rules { is_in_place: true, ..two }),
        ("two, a pair is set aside and creds.json's is dead", set_aside),
        ("two, that pair is of another account", Rules { is_same_account: false, ..set_aside }),
        ("two, what is pasted is of another account", Rules { is_same_account: false, ..two }),
        ("two, creds.json may be damaged", Rules { has_text: true, ..two }),
        ("two, with signals", Rules { has_signals: true, ..two }),
        ("two, creds.json cannot be replaced", Rules { is_immutable: true, ..two }),
        ("two, two rounds at the most", Rules { bounds, ..two }),
        ("two, sealed, and the key may be gone", Rules { is_sealed: true, ..two }),
        ("three programs", three),
        ("three, with a grace period", Rules { has_grace: true, ..three }),
        ("one program at a time, three faults", Rules { programs: 1, faults: 3, ..two }),
    ]
}

/// A number, with a comma for each thousand.
pub(super) fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

/// Does this with each of them, on all cores.
pub(super) fn in_parallel<T: Sync>(all: &[T], walk: impl Fn(&T) + Sync) {
    let taken = AtomicUsize::new(0);
    let walk_some = || {
        while let Some(next) = all.get(taken.fetch_add(1, Relaxed)) {
            walk(next);
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(walk_some)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// ROTATION.md has these rows, of what was walked.
#[track_caller]
pub(super) fn assert_listed(mut rows: Vec<String>) {
    rows.retain(|row| !ROTATION.contains(row));
    assert!(rows.is_empty(), "ROTATION.md lacks:\n{}", rows.join("\n"));
}

/// Returns a row for each world.
fn assert_kept(runs: u8) -> Vec<String> {
    let rows = Mutex::new(Vec::new());
    let (excused, kinds) = (AtomicU8::new(0), Mutex::new(Sites::default()));
    in_parallel(&worlds(runs), |&(name, rules)| {
        let start = Instant::now();
        let (explorer, Walked { states, steps, breach, .. }) = explore(rules);
        if let Some((what, trace)) = breach {
            panic!("{name}: {what}:\n{}", trace.join("\n"));
        }
        let Rules { faults, runs, .. } = rules;
        let (states, steps) = (grouped(states), grouped(steps));
        let row = format!("| {name} | {faults} | {runs} | {states} | {steps} |");
        println!("{row} {:.1} s", start.elapsed().as_secs_f32());
        rows.lock().unwrap().push(row);
        excused.fetch_or(explorer.excused, Relaxed);
        kinds.lock().unwrap().add(explorer.sites);
    });
    // Nothing is kept because nothing happens, and nothing is excused that need not be.
    assert_eq!(excused.into_inner(), ALL_EXCUSES, "an excuse that nothing needs");
    // What a token without an access token of use comes to, the worlds do not model; the rest is for a vault.
    let missing = ["NoteUnused", "Claim", "Prove", "Withdraw", "Refuse"];
    kinds.into_inner().unwrap().assert_all_but(&missing);
    rows.into_inner().unwrap()
}

#[test]
fn every_run_keeps_the_promises() {
    assert_listed(assert_kept(2));
}

#[test]
#[ignore = "takes minutes"]
fn every_run_keeps_the_promises_in_larger_worlds() {
    assert_kept(3);
}
