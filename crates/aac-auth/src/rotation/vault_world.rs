//! The steps of a refresh with a vault, explored exhaustively in a small world: every interleaving of a few
//! programs on as many machines, with crashes, pauses, lost responses, stale reads, and writes that end in an
//! error and are applied later, or never.
//!
//! What the programs do, the product's own machine says ([`Refresh`]). The world only knows what an effect
//! does to it: to the versions of a secret, to a folder for each machine, and to an authorization server. A
//! step that breaks a promise ends the exploration, with the shortest way to it. What cannot be promised is
//! collected. See "The vault, explored" in ROTATION.md, beside this crate's Cargo.toml.
//!
//! Time is what a program can tell of it: whether its claim is younger than the gate, and whether a
//! claim has been watched for the time of a takeover.

use crate::rotation::attempts::Outcome;
use crate::rotation::file_world::{grouped, in_parallel};
use crate::rotation::machine::{Access, Bounds, Came, Do, Kept, Pair, Refresh, Seen, Told, Until};
use crate::rotation::mutants::{Driven, Explored, Mutation, Sites};
use crate::rotation::recovery::{JournalState, Note, Now, Saved, State};
use crate::rotation::server::{NONE, Server, Token, Tokens, has, set};
use crate::rotation::walk::{self, Fold, Model, NOBODY, PROGRAMS, Walked, walk};
use crate::store::home::HomeKind;
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::protocol;
use crate::store::vault::protocol::{
    GATE, Holder, Settled, TAKEOVER, holder, is_in_doubt, is_newer, settle, told,
};
use crate::tokens::claims::LocalTime;
use std::cmp::Reverse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const ROTATION: &str = include_str!("../../ROTATION.md");

/// A claim's nonce, by its number.
type Nonce = u8;
/// The number of a version.
type Number = u8;
/// How many versions there is room for. Those that nobody needs are forgotten.
const VERSIONS: usize = 9;
/// How many versions a standby may lag behind.
const LAG: Number = 2;
// What cannot be promised: "What cannot be promised with a vault" in ROTATION.md.
const NO_COPY: &str = "cut off between the server's spending and the first copy";
const NO_VAULT: &str = "the vault is gone for too long, and there is no journal";
const COPY_ELSEWHERE: &str = "the only copy is in another machine's journal";
const STOPPED_AFTER_SEND: &str = "stopped for longer than a takeover takes, after sending";
const STOPPED_AT_SEND: &str = "stopped between the last check and the kernel's write";

/// What the world is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) programs: usize,
    pub(super) faults: u8,
    pub(super) runs: u8,
    pub(super) expiries: u8,
    pub(super) has_grace: bool,
    pub(super) has_replay_protection: bool,
    /// Whether all programs are on one machine.
    pub(super) is_one_machine: bool,
    /// The machines whose folder can be written.
    pub(super) has_folder: [bool; PROGRAMS],
    /// Whether the tokens in the vault are dead from the start.
    pub(super) is_dead: bool,
    pub(super) mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    token: Token,
    claim: Nonce,
    /// The token that a note says is dead.
    refused: Token,
    /// The token that a note says may have been used, and by whom.
    failed: Token,
    failed_by: Nonce,
    is_failure_old: bool,
}

/// In one piece: a world has many.
impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let &Self { token, claim, refused, failed, failed_by, is_failure_old } = self;
        let bytes = [token, claim, refused, failed, failed_by, u8::from(is_failure_old), 0, 0];
        state.write_u64(u64::from_le_bytes(bytes));
    }
}

const NO_PAIR: Pair<Token> = Pair { spent: NONE, next: NONE };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct JournalFile {
    pair: Pair<Token>,
    /// The doubt that a note on a failure tells of.
    failure: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Machine {
    journal: Option<JournalFile>,
    aside: [Pair<Token>; 2],
}

impl Machine {
    fn pairs(&self) -> impl Iterator<Item = Pair<Token>> {
        let journal = self.journal.map(|journal| journal.pair).filter(|pair| pair.next != NONE);
        journal.into_iter().chain(self.aside.into_iter().filter(|pair| pair.spent != NONE))
    }

    /// Whether it has what came of using this token.
    fn has_pair_for(&self, token: Token) -> bool {
        self.pairs().any(|pair| pair.spent == token)
    }

    fn set_aside(&mut self, pair: Pair<Token>) {
        let free = self.aside.iter().position(|pair| pair.spent == NONE);
        self.aside[free.expect("room for what is set aside")] = pair;
    }

    fn remove(&mut self, what: Kept<Token>) {
        match what {
            Kept::Journal(_) => self.journal = None,
            Kept::Aside(pair) => {
                if let Some(place) = self.aside.iter().position(|aside| *aside == pair) {
                    self.aside.copy_within(place + 1.., place);
                    self.aside[1] = NO_PAIR;
                }
            }
        }
    }
}

/// A write that ended in an error, and may be applied yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Late {
    base: Number,
    version: Version,
}

/// What a program writes to the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writing {
    Claim,
    Pair(Pair<Token>),
    Same,
    LetGo,
    LetGoRefused,
    LetGoFailed,
}

/// Where a program is within an effect that takes several steps of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Within {
    Whole,
    /// It is about to send a write.
    Write(Writing),
    /// A write was not acknowledged.
    Settle(Writing),
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
    has_lock: bool,
    seen: Number,
    /// What a standby must have before it responds: the number of one's own last write.
    index: Number,
    /// What is written follows this version.
    base: Number,
    /// A write has just shown what there is.
    is_current: bool,
    /// The claim of another program, and whether it has been seen unchanged for long enough.
    watched: Number,
    watched_nonce: Nonce,
    is_unchanged: bool,
    /// What is saved on this machine was tried in spite of a claim.
    has_tried: bool,
    claim: Nonce,
    /// It has claimed the token in use before.
    has_claimed: bool,
    /// The nonce of the claim that is being written, or of one that turned out not to be there.
    new_claim: Nonce,
    is_young: bool,
    pair: Pair<Token>,
    is_lost: bool,
    uses: u8,
    has_journal: bool,
    is_saved: bool,
    /// For longer than a takeover takes, with a claim.
    was_stopped: bool,
}

impl Program {
    fn holds_claim(&self, world: &World) -> bool {
        self.claim != NONE && world.version(self.seen).claim == self.claim
    }

    /// Whether it has a token on its way, or its response.
    fn is_at_work(&self) -> bool {
        matches!(self.within, Within::Out | Within::Back(_)) || self.pair.next != NONE
    }

    /// Whether it is past the first step that leaves something behind.
    fn is_busy(&self) -> bool {
        self.within != Within::Whole || self.has_journal || self.claim != NONE || self.is_at_work()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    programs: [Option<Program>; PROGRAMS],
    machines: [Machine; PROGRAMS],
    versions: [Version; VERSIONS],
    newest: Number,
    late: [Late; 2],
    server: Server<12>,
    /// Tokens whose response is nowhere, or that were sent twice, by what cannot be promised.
    lost: Tokens,
    /// Pairs that other tokens in the secret count for.
    overwritten: Tokens,
    /// Tokens whose sender was stopped for longer than a takeover takes: right before, and after.
    stopped_at_send: Tokens,
    stopped_after_send: Tokens,
    /// Tokens that nobody was heard of for so long, with their response in a journal.
    answered_in_journal: Tokens,
    /// Tokens that a note has said are dead.
    refused: Tokens,
    runs: u8,
    faults: u8,
    expiries: u8,
}

type Step = walk::Step<World, What>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Starts,
    Does(Do<Token>, &'static str),
    Reads(Do<Token>, Number),
    Writes(Writing, &'static str),
    Crashes(Do<Token>, Within),
    Happens(&'static str),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts => f.write_str("starts"),
            Self::Does(doing, "") => write!(f, "{doing:?}"),
            Self::Does(doing, how) => write!(f, "{doing:?}: {how}"),
            Self::Reads(doing, 0) => write!(f, "{doing:?}"),
            Self::Reads(doing, lag) => write!(f, "{doing:?} (-{lag})"),
            Self::Writes(writing, outcome) => write!(f, "{writing:?}: {outcome}"),
            Self::Crashes(doing, within) => write!(f, "is killed in {doing:?} ({within:?})"),
            Self::Happens(what) => f.write_str(what),
        }
    }
}

impl World {
    fn new(rules: &Rules) -> Self {
        let mut world = Self {
            programs: [None; PROGRAMS],
            machines: [Machine { journal: None, aside: [NO_PAIR; 2] }; PROGRAMS],
            versions: [Version::default(); VERSIONS],
            newest: 1,
            late: [Late::default(); 2],
            server: Server::default(),
            lost: 0,
            overwritten: 0,
            stopped_at_send: 0,
            stopped_after_send: 0,
            answered_in_journal: 0,
            refused: 0,
            runs: rules.runs,
            faults: rules.faults,
            expiries: rules.expiries,
        };
        let token = world.server.make(0);
        world.server.fresh = 0;
        if rules.is_dead {
            world.server.dead = set(token);
            world.lost = set(token);
        }
        world.versions[1] = Version { token, ..Version::default() };
        world
    }

    fn version(&self, number: Number) -> &Version {
        &self.versions[usize::from(number)]
    }

    fn in_vault(&self) -> &Version {
        self.version(self.newest)
    }

    fn append(&mut self, version: Version) {
        self.newest += 1;
        self.versions[usize::from(self.newest)] = version;
    }

    fn program(&mut self, index: usize) -> &mut Program {
        self.programs[index].as_mut().expect("it runs")
    }

    /// The tokens that are in the vault, in a journal, or in a living program.
    fn held(&self) -> Tokens {
        let mut held = set(self.in_vault().token);
        for pair in self.machines.iter().flat_map(Machine::pairs) {
            held |= set(pair.next);
        }
        self.programs.iter().flatten().fold(held, |held, program| held | set(program.pair.next))
    }

    /// A nonce that nobody knows.
    fn nonce(&self) -> Nonce {
        let mut known = 0_u64;
        let versions = self.versions[..=usize::from(self.newest)].iter();
        for version in versions.chain(self.late.iter().map(|late| &late.version)) {
            known |= 1 << version.claim | 1 << version.failed_by;
        }
        for program in self.programs.iter().flatten() {
            known |= 1 << program.claim | 1 << program.new_claim | 1 << program.watched_nonce;
        }
        (1..64).find(|nonce| known & 1 << nonce == 0).expect("few nonces")
    }

    /// Forgets the versions that nobody can see any more, and counts from those that are left.
    fn forget(&mut self) {
        for late in &mut self.late {
            if late.base != self.newest {
                *late = Late::default();
            }
        }
        self.late.sort_unstable();
        let lag = if self.faults > 0 { LAG } else { 0 };
        let mut oldest = self.newest.saturating_sub(lag).max(1);
        for program in self.programs.iter_mut().flatten() {
            if !matches!(program.within, Within::Write(_) | Within::Settle(_)) {
                program.base = NONE;
            }
            for number in [program.seen, program.base] {
                if number != NONE {
                    oldest = oldest.min(number);
                }
            }
        }
        let shift = oldest - 1;
        if shift > 0 {
            self.versions.copy_within(usize::from(oldest).., 1);
            self.newest -= shift;
            for program in self.programs.iter_mut().flatten() {
                for number in
                    [&mut program.seen, &mut program.index, &mut program.base, &mut program.watched]
                {
                    *number = number.saturating_sub(shift);
                }
            }
            for late in &mut self.late {
                late.base = late.base.saturating_sub(shift);
            }
        }
        self.versions[usize::from(self.newest) + 1..].fill(Version::default());
        let mut known = 0;
        for version in self.versions.iter().chain(self.late.iter().map(|late| &late.version)) {
            known |= set(version.token) | set(version.refused) | set(version.failed);
        }
        let programs = self.programs.iter().flatten().map(|program| program.pair);
        let journals = self.machines.iter().filter_map(|machine| machine.journal);
        let aside = self.machines.iter().flat_map(|machine| machine.aside);
        for pair in programs.chain(journals.map(|journal| journal.pair)).chain(aside) {
            known |= set(pair.spent) | set(pair.next);
        }
        for tokens in [
            &mut self.server.used,
            &mut self.server.dead,
            &mut self.server.fresh,
            &mut self.lost,
            &mut self.overwritten,
            &mut self.stopped_at_send,
            &mut self.stopped_after_send,
            &mut self.answered_in_journal,
            &mut self.refused,
        ] {
            *tokens &= known;
        }
    }
}

struct Explorer {
    rules: Rules,
    sites: Sites,
    has_acted: bool,
    steps: Vec<Step>,
}

impl Model for Explorer {
    type World = World;
    type What = What;

    fn steps(&mut self, world: &World) -> Vec<Step> {
        self.all_steps(world);
        mem::take(&mut self.steps)
    }

    fn sort(&self, world: &mut World) -> [usize; PROGRAMS] {
        world.forget();
        let hash = |program: &Option<Program>| {
            let mut hasher = Fold::default();
            program.hash(&mut hasher);
            hasher.finish()
        };
        let mut order = [0, 1, 2];
        let World { programs, machines, .. } = *world;
        let keys = programs.map(|program| hash(&program));
        if self.rules.is_one_machine {
            order.sort_by_key(|&index| Reverse(keys[index]));
        } else {
            let folders = self.rules.has_folder;
            order.sort_by_key(|&index| Reverse((folders[index], keys[index], machines[index])));
            world.machines = order.map(|index| machines[index]);
        }
        world.programs = order.map(|index| programs[index]);
        order
    }
}

fn lasts(is_unchanged: bool) -> Duration {
    if is_unchanged { TAKEOVER } else { Duration::ZERO }
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        Self { rules, sites: Sites::default(), has_acted: false, steps: Vec::new() }
    }

    fn machine(&self, index: usize) -> usize {
        if self.rules.is_one_machine { 0 } else { index }
    }

    fn has_folder(&self, index: usize) -> bool {
        self.rules.has_folder[self.machine(index)]
    }

    /// What the claim means that this program has seen.
    fn holder(&self, world: &World, program: &Program) -> Holder {
        let claim = world.version(program.seen).claim;
        let is_unchanged = program.is_unchanged && program.watched == program.seen;
        holder(claim != NONE, lasts(is_unchanged), TAKEOVER)
    }

    fn is_locked(&self, world: &World, index: usize) -> bool {
        self.has_folder(index)
            && (0..PROGRAMS).any(|other| {
                self.machine(other) == self.machine(index)
                    && world.programs[other].is_some_and(|program| program.has_lock)
            })
    }

    fn is_saved_here(&self, world: &World, index: usize, program: &Program) -> bool {
        let token = world.version(program.seen).token;
        !program.has_tried
            && self.has_folder(index)
            && world.machines[self.machine(index)].has_pair_for(token)
    }

    fn push(&mut self, what: What, by: usize, world: World) -> &mut Step {
        let (breach, remains, is_excused) = (None, None, false);
        self.steps.push(Step { what, by, world, breach, remains, is_excused });
        self.steps.last_mut().expect("it was just pushed")
    }

    /// All steps from a world.
    fn all_steps(&mut self, world: &World) {
        let running = world.programs.iter().flatten().count();
        for index in 0..PROGRAMS {
            match world.programs[index] {
                None => self.start(world, index, running),
                Some(program) => {
                    self.advance(world, index, &program);
                    if world.faults > 0 && program.is_busy() {
                        self.crash(world, index, &program);
                    }
                }
            }
        }
        self.pass_time(world);
        for place in 0..world.late.len() {
            let Late { base, version } = world.late[place];
            if base != NONE && base == world.newest {
                let mut next = *world;
                next.append(version);
                self.push(What::Happens("a late write is applied"), NOBODY, next);
            }
        }
        let goes_on = |step: &Step| step.what != What::Starts && step.world.faults == world.faults;
        if running > 0 && !self.steps.iter().any(goes_on) {
            let step = self.push(What::Happens("waits for ever"), NOBODY, *world);
            step.breach = Some("a run has no end");
        }
        if world.expiries > 0 && world.server.fresh != 0 {
            let mut next = World { expiries: world.expiries - 1, ..*world };
            next.server.fresh = 0;
            self.push(What::Happens("the access tokens expire"), NOBODY, next);
        }
        if world.faults > 0 {
            let mut next = *world;
            next.faults -= 1;
            next.overwritten |= set(world.in_vault().token);
            let token = next.server.make_stale();
            next.append(Version { token, ..Version::default() });
            self.push(What::Happens("a new pair is pasted"), NOBODY, next);
        }
        let (held, living) = (world.held(), world.server.living());
        for step in &mut self.steps {
            let lost = held & living & step.world.server.living() & !step.world.held();
            let lost = lost & !step.world.overwritten;
            if lost != 0 && step.breach.is_none() && !step.is_excused {
                step.breach = Some("a living pair is lost");
            }
        }
    }

    fn start(&mut self, world: &World, index: usize, running: usize) {
        let key = |index: usize| (self.has_folder(index), world.machines[self.machine(index)]);
        let is_like = |other: usize| world.programs[other].is_none() && key(other) == key(index);
        if (0..index).any(is_like)
            || running >= self.rules.programs
            || world.runs == 0
            || has(world.server.fresh, world.in_vault().token)
        {
            return;
        }
        let bounds = Bounds { home: HomeKind::Vault, rounds: None, looks: None };
        let mut next = *world;
        next.runs -= 1;
        next.programs[index] = Some(Program {
            driven: Driven::new(Refresh::new(bounds, false)),
            within: Within::Whole,
            has_lock: false,
            seen: NONE,
            index: NONE,
            base: NONE,
            is_current: false,
            watched: NONE,
            watched_nonce: NONE,
            is_unchanged: false,
            has_tried: false,
            claim: NONE,
            has_claimed: false,
            new_claim: NONE,
            is_young: false,
            pair: NO_PAIR,
            is_lost: false,
            uses: 0,
            has_journal: false,
            is_saved: false,
            was_stopped: false,
        });
        self.push(What::Starts, index, next);
    }

    /// So much time passes that claims which are watched are dead, and failures old.
    fn pass_time(&mut self, world: &World) {
        let mut next = *world;
        let mut cost = 0;
        for program in next.programs.iter_mut().flatten() {
            if program.is_busy() {
                cost += 1;
                program.is_young = false;
                program.was_stopped = true;
                let token = set(program.pair.spent);
                match program.driven.doing() {
                    Do::Go if program.within == Within::Whole => next.stopped_at_send |= token,
                    _ if program.uses > 0 => next.stopped_after_send |= token,
                    _ => {}
                }
            } else {
                program.is_unchanged |= program.watched != NONE;
            }
        }
        if next.programs == world.programs || cost > world.faults {
            return;
        }
        for version in &mut next.versions {
            version.is_failure_old |= version.failed != NONE;
        }
        next.faults -= cost;
        let token = world.in_vault().token;
        if world.machines.iter().any(|machine| machine.has_pair_for(token)) {
            next.answered_in_journal |= set(token);
        }
        // A program that waits, though its own machine has what everyone waits for.
        let waits = (0..PROGRAMS).any(|index| {
            let goes_on = |step: &Step| step.by == index && step.world.faults == world.faults;
            world.programs[index].is_some_and(|program| {
                program.driven.doing() == Do::Wait(Until::Turn)
                    && !program.has_tried
                    && !self.steps.iter().any(goes_on)
                    && !self.is_locked(world, index)
                    && self.has_folder(index)
                    && world.machines[self.machine(index)].has_pair_for(token)
            })
        });
        let step = self.push(What::Happens("the time of a takeover passes"), NOBODY, next);
        step.breach = waits.then_some("a pair that is saved here waits for a claim");
    }

    fn crash(&mut self, world: &World, index: usize, program: &Program) {
        let mut next = *world;
        next.faults -= 1;
        next.programs[index] = None;
        // Where the journal is to have it and has not, it is lost for no good reason.
        let is_dropped = program.pair.next != NONE && !program.is_saved;
        let dropped = match program.within {
            Within::Back(made) => Pair { next: made, ..program.pair },
            _ if is_dropped => program.pair,
            _ => NO_PAIR,
        };
        let what = What::Crashes(program.driven.doing(), program.within);
        self.drop_pair(next, index, what, dropped, NO_COPY);
    }

    /// A program has no copy of this pair any more: if no other is left, that cannot be helped.
    fn drop_pair(
        &mut self,
        mut next: World,
        index: usize,
        what: What,
        dropped: Pair<Token>,
        remains: &'static str,
    ) {
        let is_lost = has(next.server.living() & !next.held() & !next.overwritten, dropped.next);
        if is_lost {
            next.lost |= set(dropped.spent);
        }
        // With a grace period whoever comes next gets another pair, as long as the token that was used
        // for it is there, or a living one.
        let in_vault = next.in_vault().token;
        let is_served = in_vault == dropped.spent
            || has(next.server.living(), in_vault)
            || has(next.overwritten, dropped.spent);
        let has_grace = self.rules.has_grace;
        let step = self.push(what, index, next);
        if is_lost {
            step.is_excused = !has_grace || is_served;
            step.remains = Some(remains).filter(|_| !has_grace);
        }
    }

    /// What a program writes after its base.
    fn content(&self, world: &World, program: &Program, writing: Writing) -> Version {
        let base = *world.version(program.base);
        let spent = program.pair.spent;
        match writing {
            Writing::Same => base,
            Writing::Claim => {
                let dead = base.claim;
                let ours = if program.claim == dead { program.claim } else { NONE };
                let version = Version { claim: program.new_claim, ..base };
                if dead != ours {
                    Version { failed: spent, failed_by: dead, is_failure_old: false, ..version }
                } else {
                    version
                }
            }
            Writing::Pair(pair) => Version { token: pair.next, ..Version::default() },
            Writing::LetGo => Version { claim: NONE, ..base },
            Writing::LetGoRefused => Version { claim: NONE, refused: base.token, ..base },
            Writing::LetGoFailed => Version {
                claim: NONE,
                failed: spent,
                failed_by: base.claim,
                is_failure_old: false,
                ..base
            },
        }
    }

    fn is_ours(
        &self,
        base: &Version,
        program: &Program,
        writing: Writing,
        version: &Version,
    ) -> bool {
        match writing {
            Writing::Same => *version == *base,
            Writing::Claim => version.claim == program.new_claim,
            Writing::Pair(pair) => version.token == pair.next,
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => version.claim == NONE,
        }
    }

    /// The worlds in which a program has read the secret: of the leader, or of a standby behind it.
    fn read(&self, world: &World, index: usize) -> Vec<(Number, World)> {
        let mut worlds = Vec::new();
        let Some(known) = world.programs[index] else { return worlds };
        for lag in 0..=LAG {
            let number = world.newest.saturating_sub(lag);
            let is_stale = lag > 0;
            if number == NONE || is_stale && (world.faults == 0 || number < known.index) {
                break;
            }
            let mut next = *world;
            next.faults -= u8::from(is_stale);
            let claim = world.version(number).claim;
            let me = next.program(index);
            if is_newer(u64::from(known.seen), u64::from(number)) {
                me.seen = number;
                if claim != NONE && known.watched != number {
                    (me.watched, me.watched_nonce, me.is_unchanged) = (number, claim, false);
                }
            }
            worlds.push((lag, next));
        }
        worlds
    }

    /// This came of what a program does, and it goes on.
    fn goes_on(
        &mut self,
        mut next: World,
        index: usize,
        what: What,
        came: Came<'_, Token>,
    ) -> &mut Step {
        let mutation = self.rules.mutation;
        let program = next.programs[index].expect("it runs");
        let in_home = next.version(program.seen).token;
        let program = next.program(index);
        let mut doing = program.driven.doing();
        program.within = Within::Whole;
        let mut came = came;
        loop {
            self.has_acted |= program.driven.next(came, mutation, in_home);
            self.sites.note(doing, program.driven.doing());
            doing = program.driven.doing();
            // Nobody else sees these, nor do they see anybody: they are no steps of their own.
            came = match doing {
                Do::Record(_) | Do::KeepDamaged(_) | Do::HoldSignals | Do::FreeSignals => {
                    Came::Done
                }
                Do::Wait(Until::Paused(..)) => Came::Done,
                Do::Parse => Came::Parsed { next: program.pair.next, is_usable: true },
                Do::Close => {
                    program.has_journal = false;
                    Came::Done
                }
                _ => break,
            };
        }
        match program.driven.doing() {
            Do::Look | Do::LetGo | Do::Wait(Until::Changed) => {
                program.pair = NO_PAIR;
                (program.is_saved, program.uses, program.is_lost) = (false, 0, false);
                program.has_journal = false;
            }
            Do::Rehearse { token, .. } => {
                program.pair = Pair { spent: token, next: NONE };
                (program.is_saved, program.uses, program.is_lost) = (false, 0, false);
                program.has_claimed = false;
            }
            _ => {}
        }
        self.push(what, index, next)
    }

    /// What a program does begins with a write.
    fn begins(&mut self, mut next: World, index: usize, writing: Writing) {
        let nonce = next.nonce();
        let me = next.program(index);
        (me.within, me.base) = (Within::Write(writing), me.seen);
        if writing == Writing::Claim {
            (me.new_claim, me.is_young) = (nonce, true);
        }
        let program = *me;
        self.write(&next, index, &program, writing);
    }

    /// The steps of one program, and those that fail.
    fn advance(&mut self, world: &World, index: usize, program: &Program) {
        let doing = program.driven.doing();
        let machine = self.machine(index);
        let can_fail = world.faults > 0;
        let failed = World { faults: world.faults.saturating_sub(1), ..*world };
        match program.within {
            Within::Write(writing) => return self.write(world, index, program, writing),
            Within::Settle(writing) => {
                for (lag, next) in self.read(world, index) {
                    self.settle(next, index, lag, writing);
                }
                if can_fail {
                    self.give_up(failed, index, writing);
                }
                return;
            }
            Within::Whole | Within::Out | Within::Back(_) => {}
        }
        let does = What::Does(doing, "");
        let fails = What::Does(doing, "fails");
        let mut next = *world;
        match doing {
            Do::Read => {
                for (lag, next) in self.read(world, index) {
                    let me = next.programs[index].expect("it runs");
                    let will_do = has(next.server.fresh, next.version(me.seen).token);
                    let holder = self.holder(&next, &me);
                    let is_saved_here =
                        holder == Holder::Alive && self.is_saved_here(&next, index, &me);
                    let waits_for_itself =
                        holder == Holder::Alive && next.version(me.seen).claim == me.new_claim;
                    let came = Came::Read { will_do, holder, is_saved_here };
                    let step = self.goes_on(next, index, What::Reads(doing, lag), came);
                    step.breach = waits_for_itself.then_some("a run waits for its own claim");
                }
            }
            Do::Lock { .. } => {
                if self.is_locked(world, index) {
                    self.goes_on(next, index, What::Does(doing, "taken"), Came::Taken);
                } else {
                    let is_alive = self.holder(world, program) == Holder::Alive;
                    let has_folder = self.has_folder(index);
                    let me = next.program(index);
                    me.has_lock = has_folder;
                    me.has_tried |= is_alive;
                    self.goes_on(next, index, does, Came::Done);
                }
            }
            Do::Wait(Until::Turn) => {
                let may_go_on = self.holder(world, program) != Holder::Alive
                    || self.is_saved_here(world, index, program);
                let is_over =
                    world.newest != program.seen || may_go_on && !self.is_locked(world, index);
                if is_over {
                    self.goes_on(next, index, does, Came::Done);
                }
            }
            Do::Wait(Until::Changed) => {
                for (lag, next) in self.read(world, index) {
                    let me = next.programs[index].expect("it runs");
                    let is_same = next.version(me.seen).token == world.version(program.seen).token;
                    let came = if is_same { Came::TimeIsUp } else { Came::NotAsExpected };
                    self.goes_on(next, index, What::Reads(doing, lag), came);
                }
            }
            Do::Look => {
                if program.holds_claim(world) || program.is_current {
                    next.program(index).is_current = false;
                    self.look(next, index, 0);
                } else {
                    for (lag, next) in self.read(world, index) {
                        self.look(next, index, lag);
                    }
                }
            }
            Do::Record(_)
            | Do::KeepDamaged(_)
            | Do::HoldSignals
            | Do::FreeSignals
            | Do::Wait(Until::Paused(..))
            | Do::Parse
            | Do::Close => {
                // With a mutant they may come first.
                self.goes_on(next, index, does, Came::Done);
            }
            Do::Remove { what, .. } => {
                if self.has_folder(index) {
                    next.machines[machine].remove(what);
                }
                self.goes_on(next, index, does, Came::Done);
            }
            Do::SetAside { .. } => {
                let journal = match self.has_folder(index) {
                    true => next.machines[machine].journal.take(),
                    false => None,
                };
                let came = match journal {
                    Some(JournalFile { pair, .. }) if pair.next != NONE => {
                        next.machines[machine].set_aside(pair);
                        Came::Done
                    }
                    Some(_) => Came::Done,
                    None => Came::NotThere,
                };
                self.goes_on(next, index, does, came);
            }
            Do::Replace { what, .. } => self.begins(next, index, Writing::Pair(what.pair())),
            Do::Prove => self.begins(next, index, Writing::Same),
            Do::Rehearse { token, .. } => {
                let seen = world.version(program.seen);
                let is_about = seen.failed == token
                    && seen.failed_by == program.watched_nonce
                    && program.watched_nonce != NONE;
                let failure = is_about.then_some(if seen.is_failure_old { 180 } else { 0 });
                let refusal = (seen.refused == token).then_some(0);
                let came = match told(refusal, None, failure) {
                    _ if program.holds_claim(world) => Came::Done,
                    _ if self.holder(world, program) == Holder::Alive => Came::LockLost,
                    protocol::Told::Nothing => Came::Done,
                    protocol::Told::Refused => {
                        // What comes next is judged by what was just seen.
                        next.program(index).is_current = true;
                        Came::InvalidGrant
                    }
                    _ => Came::Failed,
                };
                self.goes_on(next, index, does, came);
            }
            Do::Begin { token, .. } => {
                if self.has_folder(index) {
                    let pair = Pair { spent: token, next: NONE };
                    next.machines[machine].journal = Some(JournalFile { pair, failure: None });
                    next.program(index).has_journal = true;
                    self.goes_on(next, index, does, Came::Done);
                }
                if !self.has_folder(index) {
                    self.goes_on(next, index, fails, Came::Failed);
                } else if can_fail {
                    self.goes_on(failed, index, fails, Came::Failed);
                }
            }
            Do::Claim(_) if program.has_claimed && !program.holds_claim(world) => {
                self.goes_on(next, index, What::Does(doing, "is another's"), Came::LockLost);
            }
            Do::Claim(_) => self.begins(next, index, Writing::Claim),
            Do::Send(_) => {
                let age =
                    if program.is_young { Duration::ZERO } else { GATE + Duration::from_secs(1) };
                let claimed = Some((age, Some(age)));
                let connected = Came::Connected { claimed, is_ending: false };
                self.goes_on(next, index, What::Does(doing, "connected"), connected);
                if can_fail {
                    let outcome = Came::Outcome(Outcome::NotSent { is_lasting: true });
                    self.goes_on(failed, index, What::Does(doing, "not sent"), outcome);
                    self.slow(failed, index);
                }
            }
            Do::Go => self.go(world, index, program),
            Do::Save => {
                let pair = program.pair;
                if program.has_journal {
                    next.machines[machine].journal = Some(JournalFile { pair, failure: None });
                    next.program(index).is_saved = true;
                    self.goes_on(next, index, does, Came::Done);
                }
                if !program.has_journal {
                    self.goes_on(next, index, fails, Came::Failed);
                } else if can_fail {
                    self.goes_on(failed, index, fails, Came::Failed);
                }
            }
            Do::LookAgain => {
                let now = |next: &World| {
                    let me = next.programs[index].expect("it runs");
                    Came::Now(Now::Token(next.version(me.seen).token))
                };
                if program.holds_claim(world) || program.is_current {
                    next.program(index).is_current = false;
                    self.goes_on(next, index, does, now(&next));
                    return;
                }
                for (lag, next) in self.read(world, index) {
                    self.goes_on(next, index, What::Reads(doing, lag), now(&next));
                }
                if can_fail {
                    self.goes_on(failed, index, fails, Came::Failed);
                }
            }
            Do::SaveAside => {
                if self.has_folder(index) && program.has_journal {
                    next.machines[machine].set_aside(program.pair);
                    next.program(index).is_saved = true;
                    self.goes_on(next, index, does, Came::Done);
                } else {
                    if next.in_vault().token != program.pair.spent {
                        // Other tokens count.
                        next.overwritten |= set(program.pair.next);
                    }
                    self.goes_on(next, index, fails, Came::Failed);
                }
            }
            Do::Note { told, in_doubt } => {
                if program.has_journal
                    && let Some(journal) = &mut next.machines[machine].journal
                {
                    journal.failure = Some(in_doubt);
                }
                let writing = match told {
                    Told::Dead => None,
                    Told::Lost => Some(Writing::LetGoFailed),
                    _ => Some(Writing::LetGo),
                };
                match writing {
                    Some(writing) => self.let_go(next, index, writing),
                    None => drop(self.goes_on(next, index, does, Came::Done)),
                }
                // It is said once the claim is gone, and true as long as it is there. One that was stopped for so
                // long cannot know what was done in its place.
                let is_unchanged = !in_doubt && told != Told::Dead;
                if is_unchanged
                    && has(world.server.used, program.pair.spent)
                    && !program.was_stopped
                {
                    self.steps.last_mut().expect("it goes on").breach =
                        Some("\"unchanged\" is said of used tokens");
                }
            }
            Do::Withdraw { keeps_journal } => {
                if program.has_journal && !keeps_journal {
                    next.machines[machine].journal = None;
                }
                self.let_go(next, index, Writing::LetGo);
            }
            Do::Refuse => self.let_go(next, index, Writing::LetGoRefused),
            Do::NoteUnused { .. } => unreachable!("{doing:?} is for files"),
            Do::LetGo | Do::End(_) => self.let_go(next, index, Writing::LetGo),
        }
    }

    /// A claim of one's own is taken away, if there is one.
    fn let_go(&mut self, next: World, index: usize, writing: Writing) {
        let program = next.programs[index].expect("it runs");
        match program.holds_claim(&next) {
            true => self.begins(next, index, writing),
            false => self.has_let_go(next, index, What::Does(program.driven.doing(), "")),
        }
    }

    fn has_let_go(&mut self, mut next: World, index: usize, what: What) {
        let me = next.program(index);
        (me.claim, me.within) = (NONE, Within::Whole);
        let program = *me;
        match program.driven.doing() {
            Do::End(_) => self.end(next, index, &program, what),
            Do::LetGo => {
                let me = next.program(index);
                (me.has_lock, me.has_journal, me.was_stopped) = (false, false, false);
                self.goes_on(next, index, what, Came::Done);
            }
            _ => {
                self.goes_on(next, index, what, Came::Done);
            }
        }
    }

    fn end(&mut self, mut next: World, index: usize, program: &Program, what: What) {
        next.programs[index] = None;
        let is_dropped = program.pair.next != NONE && !program.is_saved;
        let dropped = if is_dropped { program.pair } else { NO_PAIR };
        self.drop_pair(next, index, what, dropped, NO_VAULT);
    }

    fn slow(&mut self, mut slow: World, index: usize) {
        if slow.programs[index].is_some_and(|program| program.is_young) {
            slow.program(index).is_young = false;
            self.push(What::Happens("is stopped for longer than the gate"), index, slow);
        }
    }

    fn look(&mut self, next: World, index: usize, lag: Number) {
        let program = next.programs[index].expect("it runs");
        let seen = *next.version(program.seen);
        let mut found = Machine { journal: None, aside: [NO_PAIR; 2] };
        if self.has_folder(index) {
            found = next.machines[self.machine(index)];
        }
        let saved = |Pair { spent, next }: Pair<Token>| Saved { spent, next, account: Some(1) };
        let mut spent = SpentTokens::default();
        for Pair { spent: token, next } in found.pairs() {
            spent.add(Link { spent: token, next, time: LocalTime(0) });
        }
        let aside: Vec<_> =
            found.aside.into_iter().filter(|pair| pair.spent != NONE).map(saved).collect();
        let journal = match found.journal {
            None => JournalState::None,
            Some(JournalFile { pair, .. }) if pair.next != NONE => {
                let is_in_creds = pair.next == seen.token;
                JournalState::Received { pair: saved(pair), is_in_creds, note: None }
            }
            Some(JournalFile { pair, failure }) => JournalState::Unanswered {
                spent: Some(pair.spent),
                note: failure.map(|in_doubt| Note { in_doubt, unused: None, age: 1 }),
            },
        };
        let (creds, owner) = (Some(seen.token), None);
        let state = State { creds, owner, journal, set_aside: &aside, spent: &spent };
        let claim = Some(seen.claim).filter(|claim| *claim != NONE);
        let will_do = has(next.server.fresh, seen.token);
        let access = if will_do { Access::WillDo } else { Access::Stale };
        let seen = Seen {
            state,
            access: Some(access),
            account: Some(1),
            in_doubt: is_in_doubt(claim.as_ref(), Some(&program.claim), seen.failed == seen.token),
            is_damaged: false,
            running_for: 0,
        };
        let what = What::Reads(program.driven.doing(), lag);
        self.goes_on(next, index, what, Came::Looked(seen));
    }

    fn write(&mut self, world: &World, index: usize, program: &Program, writing: Writing) {
        let mut next = *world;
        let version = self.content(world, program, writing);
        if program.base == world.newest {
            next.append(version);
            let number = next.newest;
            let me = next.program(index);
            (me.seen, me.index) = (number, number);
            self.applied(next, index, What::Writes(writing, "done"), writing);
        } else {
            self.unsettled(next, index, What::Writes(writing, "400"), writing);
        }
        if world.faults == 0 {
            return;
        }
        let mut failed = *world;
        failed.faults -= 1;
        self.slow(failed, index);
        if program.base == world.newest {
            self.unsettled(failed, index, What::Writes(writing, "400, wrongly"), writing);
            if let Some(place) = failed.late.iter().position(|late| late.base == NONE) {
                failed.late[place] = Late { base: program.base, version };
            }
        }
        self.unsettled(failed, index, What::Writes(writing, "500"), writing);
    }

    /// A write was not acknowledged.
    fn unsettled(&mut self, mut next: World, index: usize, what: What, writing: Writing) {
        next.program(index).within = Within::Settle(writing);
        self.push(what, index, next);
    }

    fn settle(&mut self, mut next: World, index: usize, lag: Number, writing: Writing) {
        let me = next.programs[index].expect("it runs");
        let is_ours = || {
            let base = next.version(me.base);
            let is_ours = |number| self.is_ours(base, &me, writing, next.version(number));
            Some(is_ours(me.seen) || is_ours(me.base + 1))
        };
        let settled = settle(u64::from(me.base), Some(u64::from(me.seen)), is_ours);
        let what = What::Reads(me.driven.doing(), lag);
        match settled {
            Settled::Unknown => {
                next.program(index).within = Within::Write(writing);
                self.push(what, index, next);
            }
            settled => {
                next.program(index).is_current = true;
                match settled {
                    Settled::Applied => self.applied(next, index, what, writing),
                    _ => self.superseded(next, index, what, writing),
                }
            }
        }
    }

    fn applied(&mut self, mut next: World, index: usize, what: What, writing: Writing) {
        let Program { base, driven, .. } = next.programs[index].expect("it runs");
        let (token, doing) = (next.version(base).token, driven.doing());
        let me = next.program(index);
        match writing {
            Writing::Claim => {
                let is_late = mem::replace(&mut me.has_claimed, true);
                (me.claim, me.new_claim) = (me.new_claim, NONE);
                if is_late && next.faults > 0 {
                    let failed = World { faults: next.faults - 1, ..next };
                    self.goes_on(failed, index, What::Does(doing, "time is up"), Came::TimeIsUp);
                }
            }
            Writing::Pair(pair) if pair == me.pair => me.is_saved = true,
            Writing::Pair(_) | Writing::Same => {}
            Writing::LetGoRefused => {
                next.refused |= set(token);
                return self.has_let_go(next, index, what);
            }
            Writing::LetGo | Writing::LetGoFailed => return self.has_let_go(next, index, what),
        }
        self.goes_on(next, index, what, Came::Done);
    }

    fn superseded(&mut self, next: World, index: usize, what: What, writing: Writing) {
        let came = match writing {
            Writing::Claim => Came::LockLost,
            Writing::Pair(_) | Writing::Same => Came::NotAsExpected,
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => {
                return self.has_let_go(next, index, what);
            }
        };
        self.goes_on(next, index, what, came);
    }

    /// The patience with a write has ended.
    fn give_up(&mut self, mut next: World, index: usize, writing: Writing) {
        let what = What::Writes(writing, "given up");
        match writing {
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => {
                return self.has_let_go(next, index, what);
            }
            // Nobody is to try once more to take it away.
            Writing::Pair(_) => next.program(index).claim = NONE,
            Writing::Claim | Writing::Same => {}
        }
        self.goes_on(next, index, what, Came::Failed);
    }

    /// The token leaves, is used, and its response comes back.
    fn go(&mut self, world: &World, index: usize, program: &Program) {
        let token = program.pair.spent;
        let doing = program.driven.doing();
        let failed = World { faults: world.faults.saturating_sub(1), ..*world };
        let mut next = *world;
        match program.within {
            Within::Out => {
                let made = next.server.refresh(
                    token,
                    self.rules.has_grace,
                    self.rules.has_replay_protection,
                );
                next.program(index).within = Within::Back(made);
                let is_lost =
                    made == NONE && !has(world.server.dead, token) && !has(world.lost, token);
                let step = self.push(What::Does(doing, "is used"), index, next);
                step.breach = is_lost.then_some("a family is lost");
                if world.faults == 0 {
                    return;
                }
                let mut next = failed;
                next.program(index).uses -= 1;
                let refused = Came::Outcome(Outcome::Refused);
                self.goes_on(next, index, What::Does(doing, "is refused"), refused);
                let mut next = failed;
                next.program(index).is_lost = true;
                let lost = Came::Outcome(Outcome::InDoubt { wait: None });
                self.goes_on(next, index, What::Does(doing, "the request is lost"), lost);
            }
            Within::Back(made) => {
                next.program(index).pair.next = made;
                let came = if made == NONE { Came::InvalidGrant } else { Came::Arrived };
                self.goes_on(next, index, What::Does(doing, "comes back"), came);
                if world.faults == 0 {
                    return;
                }
                let mut next = failed;
                if made != NONE {
                    next.lost |= set(token);
                }
                next.program(index).is_lost = true;
                let is_lost = has(next.server.living(), made);
                let lost = Came::Outcome(Outcome::InDoubt { wait: None });
                let has_grace = self.rules.has_grace;
                let step =
                    self.goes_on(next, index, What::Does(doing, "the response is lost"), lost);
                step.is_excused = is_lost;
                step.remains = (is_lost && !has_grace).then_some(NO_COPY);
            }
            _ => self.leave(world, index, program),
        }
    }

    fn leave(&mut self, world: &World, index: usize, program: &Program) {
        let token = program.pair.spent;
        let in_vault = world.in_vault();
        let mut others = (0..PROGRAMS).filter(|other| *other != index);
        let is_sent = |other: usize| {
            world.programs[other].is_some_and(|it| it.pair.spent == token && it.is_at_work())
        };
        let is_sent_by_another = others.any(is_sent);
        let is_holder = in_vault.token != token || in_vault.claim == program.claim;
        // Its own first attempt may have used it.
        let is_retry = program.is_lost
            && is_holder
            && (in_vault.token == token || has(world.overwritten, token));
        let is_used = has(world.server.used, token) && !has(world.lost, token) && !is_retry;
        let is_known = program.driven.is_in_doubt() || in_vault.token != token;
        let (mut breach, mut remains) = (None, None);
        if !is_holder || is_used || is_sent_by_another {
            if has(world.stopped_at_send, token) {
                remains = Some(STOPPED_AT_SEND);
            } else if !is_holder {
                breach = Some("a token is sent without its claim");
            } else if has(world.stopped_after_send, token) {
                remains = Some(STOPPED_AFTER_SEND);
            } else if has(world.answered_in_journal, token) {
                remains = Some(COPY_ELSEWHERE);
            } else if is_sent_by_another {
                breach = Some("two programs send at once");
            } else {
                breach = Some("a used token is sent");
            }
        } else if program.uses >= 2 || program.uses == 1 && !program.is_lost {
            breach = Some("a token is sent a third time");
        } else if has(world.refused, token) {
            breach = Some("a refused token is sent again");
        }
        if breach.is_none()
            && remains.is_none()
            && (has(world.server.used, token) || is_sent_by_another)
            && !is_known
        {
            breach = Some("it is forgotten that the token may be used");
        }
        let mut next = *world;
        if remains.is_some() {
            next.lost |= set(token);
        }
        let me = next.program(index);
        me.uses += 1;
        me.within = Within::Out;
        (me.watched, me.watched_nonce, me.is_unchanged) = (NONE, NONE, false);
        let has_grace = self.rules.has_grace;
        let step = self.push(What::Does(Do::Go, "leaves"), index, next);
        step.breach = breach;
        step.remains = remains.filter(|_| !has_grace);
    }
}

impl Rules {
    pub(super) fn with(self, faults: u8, mutation: Option<Mutation>) -> Self {
        Self { faults, mutation, ..self }
    }
}

pub(super) const PLAIN: Rules = Rules {
    programs: 2,
    faults: 2,
    runs: 2,
    expiries: 0,
    has_grace: false,
    has_replay_protection: true,
    is_one_machine: false,
    has_folder: [true; PROGRAMS],
    is_dead: false,
    mutation: None,
};

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

/// What can happen to a program that has a journal, and to one that has none.
const WITH_JOURNAL: &[&str] = &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, COPY_ELSEWHERE];
const WITHOUT_JOURNAL: &[&str] = &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, NO_VAULT];
const NO_FOLDER: [bool; PROGRAMS] = [false; PROGRAMS];

/// All worlds, each with its name, and with exactly what cannot be promised in it.
pub(super) fn worlds() -> Vec<(&'static str, Rules, &'static [&'static str])> {
    let one = Rules { faults: 1, runs: 3, ..PLAIN };
    let grace = Rules { has_grace: true, ..one };
    let no_protection = Rules { has_replay_protection: false, expiries: 1, ..one };
    vec![
        ("two machines", PLAIN, WITH_JOURNAL),
        ("no folder can be written", Rules { has_folder: NO_FOLDER, ..PLAIN }, WITHOUT_JOURNAL),
        (
            "one with a folder, others without",
            Rules { has_folder: [true, false, false], runs: 2, ..one },
            WITH_JOURNAL,
        ),
        ("three runs", one, WITH_JOURNAL),
        ("without replay protection; access tokens expire once", no_protection, WITH_JOURNAL),
        ("with a grace period", grace, &[]),
        ("with a grace period, no folder", Rules { has_folder: NO_FOLDER, ..grace }, &[]),
        ("one machine", Rules { is_one_machine: true, ..one }, &[NO_COPY]),
        (
            "tokens that are dead",
            Rules { is_dead: true, ..one },
            &[STOPPED_AT_SEND, STOPPED_AFTER_SEND],
        ),
    ]
}

fn assert_exactly(name: &str, rules: Rules, expected: &[&str]) -> Explorer {
    let start = Instant::now();
    let (explorer, Walked { states, steps, breach, remains }) = explore(rules);
    if let Some((what, trace)) = breach {
        panic!("{name}: {what}:\n{}", trace.join("\n"));
    }
    let Rules { faults, runs, .. } = rules;
    let (states, steps) = (grouped(states), grouped(steps));
    let row = format!("| {name} | {faults} | {runs} | {states} | {steps} |");
    let mut text = format!("{row} {:.1} s", start.elapsed().as_secs_f32());
    for (what, trace) in &remains {
        text += &format!("\n  {what}, {} steps: {}", trace.len(), trace.join(", "));
    }
    println!("{text}");
    let mut remains: Vec<_> = remains.into_iter().map(|(what, _)| what).collect();
    remains.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(remains, expected, "{name}");
    assert!(ROTATION.contains(&row), "ROTATION.md lacks: {row}");
    explorer
}

#[test]
fn exactly_what_cannot_be_promised_happens_with_a_vault() {
    let kinds = Mutex::new(Sites::default());
    in_parallel(&worlds(), |&(name, rules, expected)| {
        let explorer = assert_exactly(name, rules, expected);
        kinds.lock().unwrap().add(explorer.sites);
    });
    // Nothing is kept because nothing happens.
    let missing = ["NoteUnused", "KeepDamaged", "FreeSignals", "Prove"];
    kinds.into_inner().unwrap().assert_all_but(&missing);
}

#[test]
#[ignore = "takes minutes"]
fn the_same_holds_in_larger_worlds() {
    let three_runs = Rules { runs: 3, ..PLAIN };
    let no_folder = Rules { has_folder: NO_FOLDER, ..three_runs };
    let three = Rules { programs: 3, faults: 1, ..no_folder };
    for (name, rules, expected) in [
        ("two machines, a larger world", three_runs, WITH_JOURNAL),
        ("no folder, a larger world", no_folder, WITHOUT_JOURNAL),
        ("three programs, no folder", three, &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND]),
    ] {
        assert_exactly(name, rules, expected);
    }
}
