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
use crate::rotation::file_world::{assert_listed, grouped, in_parallel};
use crate::rotation::machine::{
    Access, Bounds, Came, Do, End, Kept, Pair, Refresh, Seen, Told, Until,
};
use crate::rotation::mutants::{Driven, Explored, Mutation, Sites};
use crate::rotation::recovery::{JournalState, Note, Now, Saved, State};
use crate::rotation::server::{NONE, Server, Token, Tokens, has, set};
use crate::rotation::walk::{self, Model, NOBODY, PROGRAMS, Walked, hash, walk};
use crate::store::home::HomeKind;
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::protocol;
use crate::store::vault::protocol::{
    GATE, Holder, Settled, TAKEOVER, holder, is_in_doubt, is_made_anew, is_newer, settle, told,
};
use crate::tokens::claims::LocalTime;
use std::cell::Cell;
use std::cmp::Reverse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A claim's nonce, by its number.
type Nonce = u8;
/// The place of a version among all that were written.
type Place = u8;
/// How many versions there is room for. Those that nobody needs are forgotten.
const VERSIONS: usize = 12;
const TOKENS: usize = 12;
/// How many versions a standby may lag behind.
const LAG: Place = 2;
// What cannot be promised: "What cannot be promised with a vault" in ROTATION.md.
const NO_COPY: &str = "cut off between the server's spending and the first copy";
const NO_VAULT: &str = "the vault is gone for too long, and there is no journal";
const COPY_ELSEWHERE: &str = "the only copy is in another machine's journal";
const STOPPED_AFTER_SEND: &str = "stopped for longer than a takeover takes, after sending";
const STOPPED_AT_SEND: &str = "stopped between the last check and the kernel's write";
const BROUGHT_BACK: &str = "an older version is brought back";
const DELETED: &str = "the secret is deleted under a run";
const USED_ELSEWHERE: &str = "a pair that is set aside was used on another machine";

// What the world asks the product's own functions, or does in their place. Each of these rules can be broken.
const CHECK_AND_SET: &str = "a write names the version that it follows";
const NONCE: &str = "a claim is one's own by its nonce";
const ACKNOWLEDGED: &str = "a write that is not acknowledged is not taken as applied";
const REFUSAL: &str = "a refusal proves nothing";
const ANEW: &str = "a secret that is made anew is another";
const TAKEN_OVER: &str = "a claim counts for T";
const ENDS: &str = "and no longer";
const AT_ONCE: &str = "the token leaves within G of its claim";
const AGAIN_AT_ONCE: &str = "the second attempt does so too";
const WHOEVER: &str = "a response is committed over its own token, whoever claims that";
const OTHERS_STAY: &str = "other tokens in the secret stay";
const SAVED_FIRST: &str = "what is saved here comes before waiting";
const DEAD_DOUBT: &str = "a dead claim is a doubt for whoever takes over";
const DOUBT_NOTED: &str = "it is noted for those who come later";
const LOSS_NOTED: &str = "so is a lost response, as the claim is taken away";
const REFUSAL_COUNTS: &str = "a token that was refused is not sent";
const TWICE: &str = "a token is sent once more, and no third time";
const RECORD: &str = "the record tells of used tokens";
pub(super) const RULES: [&str; 18] = [
    CHECK_AND_SET,
    NONCE,
    ACKNOWLEDGED,
    REFUSAL,
    ANEW,
    TAKEN_OVER,
    ENDS,
    AT_ONCE,
    AGAIN_AT_ONCE,
    WHOEVER,
    OTHERS_STAY,
    SAVED_FIRST,
    DEAD_DOUBT,
    DOUBT_NOTED,
    LOSS_NOTED,
    REFUSAL_COUNTS,
    TWICE,
    RECORD,
];

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
    /// Whether the tokens in the vault are dead from the start, and whether a machine has a pair that is set aside.
    pub(super) is_dead: bool,
    pub(super) is_set_aside: bool,
    /// Whether pasted tokens are of the same account.
    pub(super) is_same_account: bool,
    /// Whether someone brings an older version back.
    pub(super) is_brought_back: bool,
    /// Whether the secret may be deleted, and made anew.
    pub(super) is_deleted: bool,
    pub(super) mutation: Option<Mutation>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    /// 0 if there is no secret.
    number: u8,
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
        let &Self { number, token, claim, refused, failed, failed_by, is_failure_old } = self;
        let is_old = u8::from(is_failure_old);
        let bytes = [number, token, claim, refused, failed, failed_by, is_old, 0];
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
    aside: [Pair<Token>; 3],
    record: [Pair<Token>; 4],
    /// The tokens whose response was saved by a program here: the record is to know them.
    answered: Tokens,
}

const EMPTY: Machine =
    Machine { journal: None, aside: [NO_PAIR; 3], record: [NO_PAIR; 4], answered: 0 };

impl Machine {
    fn pairs(&self) -> impl Iterator<Item = Pair<Token>> {
        let journal = self.journal.map(|journal| journal.pair).filter(|pair| pair.next != NONE);
        journal.into_iter().chain(self.aside.into_iter().filter(|pair| pair.spent != NONE))
    }

    /// Whether it has what came of using this token.
    fn has_pair_for(&self, token: Token) -> bool {
        self.pairs().any(|pair| pair.spent == token)
    }

    /// What it knows of used tokens.
    fn links(&self) -> impl Iterator<Item = Pair<Token>> {
        self.record.into_iter().take_while(|pair| pair.spent != NONE).chain(self.pairs())
    }

    fn record(&mut self, pair: Pair<Token>) {
        if !self.record.contains(&pair) {
            let free = self.record.iter().position(|pair| pair.spent == NONE);
            self.record[free.expect("the record has room")] = pair;
        }
    }

    /// Forgets what does not lead on from these tokens.
    fn forget_links(&mut self, mut known: Tokens) {
        let mut kept = EMPTY.record;
        let links = self.record.into_iter().filter(|link| {
            let is_known = has(known, link.spent);
            known |= if is_known { set(link.next) } else { 0 };
            is_known
        });
        links.zip(&mut kept).for_each(|(link, kept)| *kept = link);
        self.record = kept;
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
                    self.aside[2] = NO_PAIR;
                }
            }
        }
    }
}

/// A write that ended in an error, and may be applied yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Late {
    base: Place,
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
    seen: Place,
    /// What a standby must have before it responds: the number of one's own last write.
    index: Place,
    /// What is written follows this version.
    base: Place,
    /// A write has just shown what there is.
    is_current: bool,
    /// The claim of another program, and whether it has been seen unchanged for long enough.
    watched: Place,
    watched_nonce: Nonce,
    is_unchanged: bool,
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
    newest: Place,
    late: [Late; 2],
    server: Server<TOKENS>,
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
    /// Tokens that someone has brought back.
    brought_back: Tokens,
    /// Something has happened after which a token may be in doubt.
    may_doubt: bool,
    runs: u8,
    faults: u8,
    expiries: u8,
}

type Step = walk::Step<World, What>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Starts,
    Does(Do<Token>, &'static str),
    Reads(Do<Token>, Place),
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
            machines: [EMPTY; PROGRAMS],
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
            brought_back: 0,
            may_doubt: false,
            runs: rules.runs,
            faults: rules.faults,
            expiries: rules.expiries,
        };
        let mut token = world.server.make(0);
        if rules.is_set_aside {
            // Others were pasted while a response was on its way.
            let next = world.server.make(0);
            world.server.used = set(token);
            world.machines[0].set_aside(Pair { spent: token, next });
            token = world.server.make(1);
        }
        if rules.is_dead {
            world.server.dead = set(token);
            world.lost = set(token);
        }
        world.server.fresh = 0;
        world.versions[1] = Version { number: 1, token, ..Version::default() };
        world
    }

    fn version(&self, place: Place) -> &Version {
        &self.versions[usize::from(place)]
    }

    /// Its number, and when it was written.
    fn stamp(&self, place: Place) -> (u64, Option<f64>) {
        let number = self.version(place).number;
        (u64::from(number), (number > 0).then_some(f64::from(place)))
    }

    fn in_vault(&self) -> &Version {
        self.version(self.newest)
    }

    fn append(&mut self, version: Version) {
        let number = self.in_vault().number + 1;
        self.newest += 1;
        self.versions[usize::from(self.newest)] = Version { number, ..version };
    }

    /// With all its versions.
    fn delete(&mut self) {
        self.newest += 1;
        self.versions[usize::from(self.newest)] = Version::default();
    }

    fn program(&mut self, index: usize) -> &mut Program {
        self.programs[index].as_mut().expect("it runs")
    }

    /// The tokens that are in the vault, in a journal, or in a living program.
    fn held(&self) -> Tokens {
        let mut held = set(self.in_vault().token);
        for Machine { journal, aside, .. } in &self.machines {
            held |= journal.map_or(0, |journal| set(journal.pair.next));
            held |= set(aside[0].next) | set(aside[1].next) | set(aside[2].next);
        }
        for program in &self.programs {
            held |= program.map_or(0, |program| set(program.pair.next));
        }
        held
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
    fn forget(&mut self, is_deleted: bool) {
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
            for place in [program.seen, program.base] {
                oldest = if place == NONE { oldest } else { oldest.min(place) };
            }
        }
        let shift = oldest - 1;
        if shift > 0 {
            self.versions.copy_within(usize::from(oldest).., 1);
            self.newest -= shift;
            let (kept, rest) = self.versions.split_at_mut(usize::from(self.newest) + 1);
            rest.fill(Version::default());
            if !is_deleted {
                kept[1..].iter_mut().for_each(|version| version.number -= shift);
            }
            let places = self.late.iter_mut().map(|late| &mut late.base);
            let programs = self.programs.iter_mut().flatten();
            let seen = programs.flat_map(|Program { seen, index, base, watched, .. }| {
                [seen, index, base, watched]
            });
            places.chain(seen).for_each(|place| *place = place.saturating_sub(shift));
        }
        // Every state comes by here: no set() for what may be none.
        let mut known: Tokens = 0;
        let late = self.late.iter().map(|late| &late.version);
        for version in self.versions[1..=usize::from(self.newest)].iter().chain(late) {
            known |= 1 << version.token | 1 << version.refused | 1 << version.failed;
        }
        for Pair { spent, next } in self.programs.iter().flatten().map(|program| program.pair) {
            known |= 1 << spent | 1 << next;
        }
        for Machine { journal, aside, .. } in &self.machines {
            for &Pair { spent, next } in journal.iter().map(|journal| &journal.pair).chain(aside) {
                known |= 1 << spent | 1 << next;
            }
        }
        for machine in &mut self.machines {
            machine.answered &= known;
            if machine.record[0] != NO_PAIR {
                machine.forget_links(known);
            }
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
            &mut self.brought_back,
        ] {
            *tokens &= known;
        }
    }
}

struct Explorer {
    rules: Rules,
    sites: Sites,
    /// Whether the rule that is broken was come across.
    has_acted: Cell<bool>,
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
        world.forget(self.rules.is_deleted);
        let programs = mem::take(&mut world.programs);
        let machines = world.machines;
        let keys = programs.each_ref().map(hash);
        let mut order = [0, 1, 2];
        if self.rules.is_one_machine {
            order.sort_by_key(|&index| Reverse(keys[index]));
        } else {
            let folders = self.rules.has_folder;
            order.sort_by_key(|&index| Reverse((folders[index], keys[index], machines[index])));
            world.machines = order.map(|index| machines[index]);
        }
        let hash = hash(&(order.map(|index| keys[index]), &*world));
        world.programs = order.map(|index| programs[index]);
        (order, hash)
    }
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        Self { rules, sites: Sites::default(), has_acted: Cell::new(false), steps: Vec::new() }
    }

    /// Whether this rule is broken.
    fn is_without(&self, rule: &'static str) -> bool {
        let is_broken = self.rules.mutation == Some(Mutation::Without(rule));
        self.has_acted.set(self.has_acted.get() || is_broken);
        is_broken
    }

    fn account(&self, world: &World, token: Token) -> u8 {
        let family = world.server.families[usize::from(token)];
        if self.rules.is_same_account { 1 } else { 1 + family.min(1) }
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
        let unchanged = match is_unchanged && !self.is_without(ENDS) {
            true => TAKEOVER,
            false => Duration::ZERO,
        };
        let takeover = if self.is_without(TAKEN_OVER) { Duration::ZERO } else { TAKEOVER };
        holder(claim != NONE, unchanged, takeover)
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
        !self.is_without(SAVED_FIRST)
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
        // There is room for all that so many runs can do.
        if usize::from(world.newest) + 1 == VERSIONS || usize::from(world.server.made) + 1 == TOKENS
        {
            let step = self.push(What::Happens("goes on and on"), NOBODY, *world);
            step.breach = Some("a run has no end");
            return;
        }
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
        self.others(world);
        let (held, living) = (world.held(), world.server.living());
        for step in &mut self.steps {
            let lost = held & living & step.world.server.living() & !step.world.held();
            let lost = lost & !step.world.overwritten;
            if lost != 0 && step.breach.is_none() && !step.is_excused {
                step.breach = Some("a living pair is lost");
            }
        }
    }

    /// What people do.
    fn others(&mut self, world: &World) {
        let is_there = world.in_vault().number > 0;
        let mut base = World { faults: world.faults.saturating_sub(1), ..*world };
        base.overwritten |= set(world.in_vault().token);
        if world.faults > 0 || !is_there {
            // Who has deleted it means to make it anew.
            let mut next = if is_there { base } else { *world };
            let token = next.server.make_stale();
            next.append(Version { token, ..Version::default() });
            self.push(What::Happens("a new pair is pasted"), NOBODY, next);
        }
        if world.faults == 0 || !is_there {
            return;
        }
        if self.rules.is_deleted {
            let mut next = base;
            next.delete();
            self.push(What::Happens("the secret is deleted"), NOBODY, next);
        }
        for older in (1..world.newest).rev().take(LAG.into()) {
            let version = *world.version(older);
            if self.rules.is_brought_back && version.number > 0 {
                let mut next = base;
                next.overwritten &= !set(version.token);
                next.brought_back |= set(version.token);
                next.append(version);
                self.push(What::Happens("an older version is brought back"), NOBODY, next);
            }
        }
    }

    fn start(&mut self, world: &World, index: usize, running: usize) {
        let key = |index: usize| (self.has_folder(index), world.machines[self.machine(index)]);
        let is_like = |other: usize| world.programs[other].is_none() && key(other) == key(index);
        let token = world.in_vault().token;
        let machine = &world.machines[self.machine(index)];
        // Without tokens there is something to do only where something is saved.
        let is_idle = token == NONE && machine.journal.is_none() && machine.aside[0] == NO_PAIR;
        if (0..index).any(is_like)
            || running >= self.rules.programs
            || world.runs == 0
            || has(world.server.fresh, token)
            || is_idle
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
        next.may_doubt |= cost > 0;
        let token = world.in_vault().token;
        if world.machines.iter().any(|machine| machine.has_pair_for(token)) {
            next.answered_in_journal |= set(token);
        }
        // A program that waits, though its own machine has what everyone waits for.
        let waits = (0..PROGRAMS).any(|index| {
            let goes_on = |step: &Step| step.by == index && step.world.faults == world.faults;
            world.programs[index].is_some_and(|program| {
                program.driven.doing() == Do::Wait(Until::Turn)
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
        let mut next = World { faults: world.faults - 1, may_doubt: true, ..*world };
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
        let is_gone = dropped.next != NONE && !has(next.held() | next.overwritten, dropped.next);
        let is_lost = is_gone && has(next.server.living(), dropped.next);
        if is_gone {
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
                if dead != ours && !self.is_without(DOUBT_NOTED) {
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
            Writing::Same => Version { number: base.number, ..*version } == *base,
            Writing::Claim if self.is_without(NONCE) => version.claim != NONE,
            Writing::Claim => version.claim == program.new_claim,
            Writing::Pair(pair) => version.token == pair.next,
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => version.claim == NONE,
        }
    }

    /// The worlds in which a program has read the secret: of the leader, or of a standby behind it.
    fn read(&self, world: &World, index: usize) -> Vec<(Place, World)> {
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
            let (before, read) = (world.stamp(known.seen), world.stamp(number));
            if is_newer(before.0, read.0) || is_made_anew(before, read) {
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
        let mut came = came;
        loop {
            let me = next.programs[index].expect("it runs");
            let in_home = next.version(me.seen).token;
            let me = next.program(index);
            let before = me.driven.doing();
            me.within = Within::Whole;
            if me.driven.next(came, self.rules.mutation, in_home) {
                self.has_acted.set(true);
            }
            let doing = me.driven.doing();
            self.sites.note(before, doing);
            match doing {
                Do::Look | Do::LetGo | Do::Wait(Until::Changed) => me.pair = NO_PAIR,
                Do::Rehearse { token, .. } => me.pair = Pair { spent: token, next: NONE },
                _ => {}
            }
            // Nothing tells whether a pair that was set aside has been used.
            let may_doubt = matches!(doing, Do::Rehearse { token, .. } if token != in_home);
            if let Do::Look | Do::LetGo | Do::Wait(Until::Changed) | Do::Rehearse { .. } = doing {
                (me.is_saved, me.uses, me.is_lost) = (false, 0, false);
                me.has_journal &= matches!(doing, Do::Rehearse { .. });
                me.has_claimed &= !matches!(doing, Do::Rehearse { .. });
            }
            next.may_doubt |= may_doubt;
            // Where nothing can fail any more, nobody sees when a program does what is its machine's alone.
            let is_quiet = match doing {
                Do::Record(_) | Do::Remove { .. } | Do::SetAside { .. } => next.faults == 0,
                Do::Begin { .. } | Do::Send(_) | Do::Save | Do::SaveAside => next.faults == 0,
                _ => true,
            };
            match is_quiet.then(|| self.alone(&mut next, index)).flatten() {
                Some(then) => came = then,
                None => break,
            }
        }
        self.push(what, index, next)
    }

    /// What comes of an effect that concerns this program and its machine alone.
    fn alone(&self, next: &mut World, index: usize) -> Option<Came<'static, Token>> {
        let program = next.programs[index].expect("it runs");
        let (machine, has_folder) = (self.machine(index), self.has_folder(index));
        let mut files = next.machines[machine];
        Some(match program.driven.doing() {
            Do::KeepDamaged(_) | Do::HoldSignals | Do::FreeSignals => Came::Done,
            Do::Wait(Until::Paused(..)) => Came::Done,
            Do::Parse => Came::Parsed { next: program.pair.next, is_usable: true },
            Do::Close => {
                next.program(index).has_journal = false;
                Came::Done
            }
            Do::LetGo if !program.holds_claim(next) => {
                let me = next.program(index);
                (me.claim, me.has_lock) = (NONE, false);
                (me.has_journal, me.was_stopped) = (false, false);
                Came::Done
            }
            Do::Rehearse { token, .. } => {
                let came = self.rehearse(next, &program, token);
                // What comes next is judged by what was just seen.
                next.program(index).is_current |= came == Came::InvalidGrant;
                came
            }
            Do::Send(_) => {
                let rule = if program.is_lost { AGAIN_AT_ONCE } else { AT_ONCE };
                let age = match program.is_young || self.is_without(rule) {
                    true => Duration::ZERO,
                    false => GATE + Duration::from_secs(1),
                };
                Came::Connected { claimed: Some((age, Some(age))), is_ending: false }
            }
            Do::SaveAside if !program.has_journal => {
                if next.version(program.seen).token != program.pair.spent {
                    // Other tokens count.
                    next.overwritten |= set(program.pair.next);
                }
                Came::Failed
            }
            Do::Begin { .. } if !has_folder => Came::Failed,
            Do::Save if !program.has_journal => Came::Failed,
            Do::Record(_) | Do::Remove { .. } | Do::SetAside { .. } if !has_folder => Came::Done,
            doing @ (Do::Begin { .. } | Do::Save | Do::SaveAside) => {
                match doing {
                    Do::SaveAside => files.set_aside(program.pair),
                    _ => {
                        let Pair { spent, next } = program.pair;
                        let pair = Pair { spent, next };
                        files.journal = Some(JournalFile { pair, failure: None });
                    }
                }
                let me = next.program(index);
                me.has_journal = true;
                me.is_saved = me.pair.next != NONE;
                files.answered |= if me.is_saved { set(program.pair.spent) } else { 0 };
                next.machines[machine] = files;
                Came::Done
            }
            Do::Record(pair) => {
                next.machines[machine].record(pair);
                Came::Done
            }
            Do::Remove { what, .. } => {
                next.machines[machine].remove(what);
                Came::Done
            }
            Do::SetAside { .. } => match files.journal.take() {
                Some(JournalFile { pair, .. }) => {
                    if pair.next != NONE {
                        files.set_aside(pair);
                    }
                    next.machines[machine] = files;
                    Came::Done
                }
                None => Came::NotThere,
            },
            _ => return None,
        })
    }

    /// What others have noted counts.
    fn rehearse(&self, world: &World, program: &Program, token: Token) -> Came<'static, Token> {
        let seen = world.version(program.seen);
        let is_about = seen.failed == token
            && seen.failed_by == program.watched_nonce
            && program.watched_nonce != NONE;
        let failure = is_about.then_some(if seen.is_failure_old { 180 } else { 0 });
        let is_refused = seen.refused == token && !self.is_without(REFUSAL_COUNTS);
        match told(is_refused.then_some(0), None, failure) {
            _ if program.holds_claim(world) => Came::Done,
            _ if self.holder(world, program) == Holder::Alive => Came::LockLost,
            protocol::Told::Nothing => Came::Done,
            protocol::Told::Refused => Came::InvalidGrant,
            _ => Came::Failed,
        }
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
                    let has_folder = self.has_folder(index);
                    let me = next.program(index);
                    me.has_lock = has_folder;
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
            Do::Replace { what, .. } => self.begins(next, index, Writing::Pair(what.pair())),
            Do::Prove => self.begins(next, index, Writing::Same),
            Do::Claim(_) if program.has_claimed && !program.holds_claim(world) => {
                self.goes_on(next, index, What::Does(doing, "is another's"), Came::LockLost);
            }
            Do::Claim(_) => self.begins(next, index, Writing::Claim),
            Do::Go => self.go(world, index, program),
            Do::LookAgain => {
                let aside = &world.machines[self.machine(index)].aside;
                let is_aside = aside.iter().any(|pair| pair.next == program.pair.spent);
                let (is_without_others, is_ours_alone) =
                    (self.is_without(OTHERS_STAY), self.is_without(WHOEVER));
                let now = |next: &World| {
                    let me = next.programs[index].expect("it runs");
                    let seen = next.version(me.seen);
                    Came::Now(match seen.token {
                        // Of a pair that was set aside, another token is in the home.
                        _ if is_without_others && !is_aside => Now::Token(me.pair.spent),
                        _ if is_ours_alone && seen.claim != me.claim => Now::Token(Token::MAX),
                        NONE => Now::Nothing,
                        token => Now::Token(token),
                    })
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
            Do::Note { told, in_doubt } => {
                if program.has_journal
                    && let Some(journal) = &mut next.machines[self.machine(index)].journal
                {
                    journal.failure = Some(in_doubt);
                }
                let writing = match told {
                    Told::Dead => None,
                    Told::Lost if !self.is_without(LOSS_NOTED) => Some(Writing::LetGoFailed),
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
                    && has(world.server.used & !world.brought_back, program.pair.spent)
                    && !program.was_stopped
                {
                    self.steps.last_mut().expect("it goes on").breach =
                        Some("\"unchanged\" is said of used tokens");
                }
            }
            Do::Withdraw { keeps_journal } => {
                if program.has_journal && !keeps_journal {
                    next.machines[self.machine(index)].journal = None;
                }
                self.let_go(next, index, Writing::LetGo);
            }
            Do::Refuse => self.let_go(next, index, Writing::LetGoRefused),
            Do::LetGo | Do::End(_) => self.let_go(next, index, Writing::LetGo),
            _ => {
                let came = self.alone(&mut next, index).expect("an effect of this home");
                let is_done = came != Came::Failed;
                self.goes_on(next, index, does, came);
                if can_fail && is_done && matches!(doing, Do::Begin { .. } | Do::Save) {
                    let failed = World { may_doubt: true, ..failed };
                    self.goes_on(failed, index, fails, Came::Failed);
                }
                if can_fail && matches!(doing, Do::Send(_)) {
                    let outcome = Came::Outcome(Outcome::NotSent { is_lasting: true });
                    self.goes_on(failed, index, What::Does(doing, "not sent"), outcome);
                    self.slow(failed, index);
                }
            }
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
                let came = self.alone(&mut next, index).expect("it has no claim");
                self.goes_on(next, index, what, came);
            }
            _ => {
                self.goes_on(next, index, what, Came::Done);
            }
        }
    }

    fn end(&mut self, mut next: World, index: usize, program: &Program, what: What) {
        next.programs[index] = None;
        let is_false = matches!(program.driven.doing(), Do::End(End { says: Some(says), .. })
            if says.in_doubt && !has(next.server.used, says.token) && !next.may_doubt);
        let is_dropped = program.pair.next != NONE && !program.is_saved;
        let dropped = if is_dropped { program.pair } else { NO_PAIR };
        self.drop_pair(next, index, what, dropped, NO_VAULT);
        if is_false {
            self.steps.last_mut().expect("it ends").breach =
                Some("a doubt about a token that nobody has sent");
        }
    }

    fn slow(&mut self, mut slow: World, index: usize) {
        if slow.programs[index].is_some_and(|program| program.is_young) {
            slow.program(index).is_young = false;
            self.push(What::Happens("is stopped for longer than the gate"), index, slow);
        }
    }

    fn look(&mut self, next: World, index: usize, lag: Place) {
        let program = next.programs[index].expect("it runs");
        let seen = *next.version(program.seen);
        let mut found = EMPTY;
        if self.has_folder(index) {
            found = next.machines[self.machine(index)];
        }
        if self.is_without(RECORD) {
            found.record = EMPTY.record;
        }
        let account = |token| Some(self.account(&next, token));
        let saved =
            |Pair { spent, next }: Pair<Token>| Saved { spent, next, account: account(next) };
        let mut spent = SpentTokens::default();
        for Pair { spent: token, next } in found.links() {
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
        let has_token = seen.token != NONE;
        let (creds, owner) = (has_token.then_some(seen.token), None);
        let state = State { creds, owner, journal, set_aside: &aside, spent: &spent };
        let claim = Some(seen.claim).filter(|claim| *claim != NONE);
        let claim = claim.filter(|_| !self.is_without(DEAD_DOUBT));
        let will_do = has(next.server.fresh, seen.token);
        let access = if will_do { Access::WillDo } else { Access::Stale };
        let has_failed = has_token && seen.failed == seen.token;
        let seen = Seen {
            state,
            access: has_token.then_some(access),
            account: has_token.then(|| account(seen.token)).flatten(),
            in_doubt: is_in_doubt(claim.as_ref(), Some(&program.claim), has_failed),
            is_damaged: false,
            running_for: 0,
        };
        let what = What::Reads(program.driven.doing(), lag);
        let is_old = next.version(program.seen).token != next.in_vault().token;
        let step = self.goes_on(next, index, what, Came::Looked(seen));
        let driven = step.world.programs[index].map(|program| program.driven.doing());
        if let Some(Do::End(End { told: Told::OlderCopy, .. })) = driven
            && is_old
        {
            step.breach = Some("a read that is old is taken for an older copy");
        }
    }

    fn write(&mut self, world: &World, index: usize, program: &Program, writing: Writing) {
        let mut next = *world;
        let version = self.content(world, program, writing);
        let is_newest = program.base == world.newest;
        // The number says no more.
        let has_number = world.version(program.base).number == world.in_vault().number;
        if has_number || self.is_without(CHECK_AND_SET) {
            let in_vault = world.in_vault();
            let is_another = has_number && !is_newest;
            let mut others = world.programs.iter().flatten().map(|other| other.pair.spent);
            if is_another
                || in_vault.number == 0
                    && (has(world.server.used, version.token)
                        || others.any(|token| token == version.token))
            {
                next.overwritten |= set(in_vault.token);
                next.overwritten &= !set(version.token);
                next.brought_back |= set(version.token);
            }
            next.append(version);
            let number = next.newest;
            let me = next.program(index);
            (me.seen, me.index) = (number, number);
            self.applied(next, index, What::Writes(writing, "done"), writing);
            if is_another {
                self.steps.last_mut().expect("it is applied").remains = Some(DELETED);
            }
        } else {
            self.unsettled(next, index, What::Writes(writing, "400"), writing);
        }
        if world.faults == 0 {
            return;
        }
        let mut failed = *world;
        failed.faults -= 1;
        self.slow(failed, index);
        if is_newest {
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

    fn settle(&mut self, mut next: World, index: usize, lag: Place, writing: Writing) {
        let me = next.programs[index].expect("it runs");
        let (base, seen) = (next.stamp(me.base), next.stamp(me.seen));
        let is_ours = || {
            let is_ours =
                |place| self.is_ours(next.version(me.base), &me, writing, next.version(place));
            // The one that follows is asked for by its number.
            let mut places = (1..=next.newest).rev().take_while(|place| next.stamp(*place).0 > 0);
            let place = places.find(|place| next.stamp(*place).0 == base.0 + 1);
            Some(is_ours(me.seen) || place.is_some_and(is_ours))
        };
        let is_another = is_made_anew(base, seen) || seen.0 == 0 && base.0 > 0;
        let settled = match is_another && !self.is_without(ANEW) {
            true => Settled::Superseded,
            false => settle(base.0, Some(seen.0), is_ours),
        };
        let settled = match settled {
            Settled::Unknown if self.is_without(ACKNOWLEDGED) => Settled::Applied,
            Settled::Unknown if self.is_without(REFUSAL) => Settled::Superseded,
            settled => settled,
        };
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
            Writing::Pair(pair) => {
                me.is_saved |= pair == me.pair;
                if self.has_folder(index) {
                    next.machines[self.machine(index)].answered |= set(pair.spent);
                }
            }
            Writing::Same => {}
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
        next.may_doubt = true;
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
        let lost = Came::Outcome(match program.is_lost && self.is_without(TWICE) {
            true => Outcome::Busy { wait: None },
            false => Outcome::InDoubt { wait: None },
        });
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
                let mut next = World { may_doubt: true, ..failed };
                next.program(index).is_lost = true;
                self.goes_on(next, index, What::Does(doing, "the request is lost"), lost);
            }
            Within::Back(made) => {
                next.program(index).pair.next = made;
                let came = if made == NONE { Came::InvalidGrant } else { Came::Arrived };
                self.goes_on(next, index, What::Does(doing, "comes back"), came);
                if world.faults == 0 {
                    return;
                }
                let mut next = World { may_doubt: true, ..failed };
                if made != NONE {
                    next.lost |= set(token);
                }
                next.program(index).is_lost = true;
                let is_lost = has(next.server.living(), made);
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
        let machine = &world.machines[self.machine(index)];
        let is_answered = has(machine.answered, token);
        let is_aside = machine.aside.iter().any(|pair| pair.next == token);
        let in_home = world.version(program.seen).token;
        let (mut breach, mut remains) = (None, None);
        if is_answered {
            breach = Some("a used token is sent");
        } else if in_home != NONE && self.account(world, in_home) != self.account(world, token) {
            breach = Some("a token of another account is sent");
        } else if !is_holder || is_used || is_sent_by_another {
            if is_aside && is_used {
                remains = Some(USED_ELSEWHERE);
            } else if has(world.brought_back, token) {
                remains = Some(if self.rules.is_deleted { DELETED } else { BROUGHT_BACK });
            } else if has(world.stopped_at_send, token) {
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
        } else if has(world.refused, token) && !has(world.brought_back, token) {
            breach = Some("a refused token is sent again");
        }
        if breach.is_none()
            && remains.is_none()
            && (has(world.server.used, token) || is_sent_by_another)
            && !has(world.brought_back, token)
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
    is_set_aside: false,
    is_same_account: true,
    is_brought_back: false,
    is_deleted: false,
    mutation: None,
};

fn explore(rules: Rules) -> (Explorer, Walked) {
    let mut explorer = Explorer::new(rules);
    let walked = walk(&mut explorer, World::new(&rules));
    (explorer, walked)
}

/// The same in short, for the mutants.
pub(super) fn explored(rules: Rules, expected: &[&str]) -> Explored {
    let (Explorer { sites, has_acted, .. }, Walked { breach, remains, .. }) = explore(rules);
    let more = remains.into_iter().find(|(what, _)| !expected.contains(what));
    let breach = breach.or(more).map(|(what, trace)| (what, trace.len()));
    Explored { sites, has_acted: has_acted.get(), breach }
}

/// What can happen to a program that has a journal, and to one that has none.
const WITH_JOURNAL: &[&str] = &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, COPY_ELSEWHERE];
/// What people add to the first; and what takes three runs.
const WITH_PEOPLE: &[&str] =
    &[BROUGHT_BACK, NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, COPY_ELSEWHERE, USED_ELSEWHERE];
const DELETED_TOO: &[&str] =
    &[DELETED, NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, COPY_ELSEWHERE];
const WITHOUT_JOURNAL: &[&str] = &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND, NO_VAULT];
const NO_FOLDER: [bool; PROGRAMS] = [false; PROGRAMS];

/// All worlds, each with its name, and with exactly what cannot be promised in it.
pub(super) fn worlds() -> Vec<(&'static str, Rules, &'static [&'static str])> {
    let one = Rules { faults: 1, ..PLAIN };
    let three_runs = Rules { runs: 3, ..one };
    let alone = Rules { programs: 1, is_one_machine: true, faults: 2, ..three_runs };
    let grace = Rules { has_grace: true, ..one };
    let no_protection = Rules { has_replay_protection: false, expiries: 1, ..three_runs };
    let set_aside = Rules { is_dead: true, is_set_aside: true, ..one };
    let brought_back = Rules { is_brought_back: true, ..one };
    const STOPPED: &[&str] = &[STOPPED_AT_SEND, STOPPED_AFTER_SEND];
    vec![
        ("two machines", PLAIN, WITH_JOURNAL),
        ("no folder can be written", Rules { has_folder: NO_FOLDER, ..PLAIN }, WITHOUT_JOURNAL),
        (
            "one with a folder, others without",
            Rules { has_folder: [true, false, false], ..one },
            WITH_JOURNAL,
        ),
        ("without replay protection; access tokens expire once", no_protection, WITH_JOURNAL),
        ("with a grace period", grace, &[]),
        ("with a grace period, no folder", Rules { has_folder: NO_FOLDER, ..grace }, &[]),
        ("one machine", Rules { is_one_machine: true, ..three_runs }, &[NO_COPY]),
        (
            "one program at a time, no folder",
            Rules { has_folder: NO_FOLDER, ..alone },
            &[NO_COPY, NO_VAULT],
        ),
        ("tokens that are dead", Rules { is_dead: true, ..three_runs }, STOPPED),
        (
            "a pair is set aside, and the vault's is dead",
            set_aside,
            &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND],
        ),
        ("that pair is of another account", Rules { is_same_account: false, ..set_aside }, STOPPED),
        ("an older version is brought back", brought_back, &WITH_PEOPLE[..5]),
        (
            "the same, one program at a time",
            Rules { is_brought_back: true, ..alone },
            &[NO_COPY, BROUGHT_BACK],
        ),
        ("the secret is deleted, and made anew", Rules { is_deleted: true, ..one }, DELETED_TOO),
    ]
}

/// Those that take longer.
fn larger_worlds() -> Vec<(&'static str, Rules, &'static [&'static str])> {
    let three_runs = Rules { runs: 3, ..PLAIN };
    let three = Rules { programs: 3, faults: 1, has_folder: NO_FOLDER, ..three_runs };
    let brought_back = Rules { is_brought_back: true, ..PLAIN };
    let deleted = Rules { is_deleted: true, ..PLAIN };
    vec![
        ("three runs", Rules { faults: 1, ..three_runs }, WITH_JOURNAL),
        ("two machines", three_runs, &WITH_PEOPLE[1..6]),
        ("three programs, no folder", three, &[NO_COPY, STOPPED_AT_SEND, STOPPED_AFTER_SEND]),
        ("an older version is brought back", brought_back, &WITH_PEOPLE[..5]),
        ("the secret is deleted, and made anew", deleted, DELETED_TOO),
    ]
}

/// Returns the row of what was walked, too.
fn assert_exactly(name: &str, rules: Rules, expected: &[&str]) -> (Explorer, String) {
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
    (explorer, row)
}

#[test]
fn exactly_what_cannot_be_promised_happens_with_a_vault() {
    let (kinds, rows) = (Mutex::new(Sites::default()), Mutex::new(Vec::new()));
    in_parallel(&worlds(), |&(name, rules, expected)| {
        let (explorer, row) = assert_exactly(name, rules, expected);
        rows.lock().unwrap().push(row);
        kinds.lock().unwrap().add(explorer.sites);
    });
    assert_listed(rows.into_inner().unwrap());
    // Nothing is kept because nothing happens.
    kinds.into_inner().unwrap().assert_all_but(&[
        "NoteUnused",
        "KeepDamaged",
        "FreeSignals",
        "FetchKeys",
    ]);
}

#[test]
#[ignore = "takes minutes"]
fn the_same_holds_in_larger_worlds() {
    in_parallel(&larger_worlds(), |&(name, rules, expected)| {
        assert_exactly(name, rules, expected);
    });
}
