//! A twin of the machine with a vault, whose rules can be taken out one by one, explored exhaustively in a small
//! world: every interleaving of a few programs on as many machines, with crashes, pauses, lost responses, stale reads, and writes that end in an error
//! and are applied later, or never.
//!
//! The world is made of small numbers: the versions of a secret, an authorization server, a journal for
//! each machine, and programs that take the steps of `machine` in their order. They are a twin of it, and not
//! yet the machine itself. What they decide, the product's own functions decide. A step that breaks a promise ends the exploration,
//! with the shortest way to it. What cannot be promised is collected. See "The vault, explored" in
//! ROTATION.md, beside this crate's Cargo.toml.
//!
//! Time is what a program can tell of it: whether its claim is younger than the gate, and whether a
//! claim has been watched for the time of a takeover.

use crate::rotation::attempts::{Attempts, Next, Outcome};
use crate::rotation::recovery::{self, Commit, JournalState, Note, Now, Recovery, Saved, State};
use crate::rotation::server::{NONE, Server, Token, Tokens, has, set};
use crate::rotation::walk::{self, Hashing, Model, NOBODY, PROGRAMS, Walked, walk};
use crate::store::spent::{Link, SpentTokens};
use crate::store::vault::protocol::{
    GATE, Holder, Settled, TAKEOVER, Told, holder, is_in_doubt, is_newer, may_recover, may_send,
    settle, told,
};
use crate::tokens::claims::LocalTime;
use crate::tokens::secret::Digest;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::time::Duration;

/// A claim's nonce, by its number.
type Nonce = u8;
/// The number of a version.
type Number = u8;
/// How many tokens there is room for, with none.
const ROOM: usize = 12;
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

/// A rule of the product that can be taken out, to see what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// A claim comes before the token is sent.
    Claim,
    /// A write names the version that it follows (version 1 of the engine ignores that).
    CheckAndSet,
    /// A claim is one's own by its nonce.
    Nonce,
    /// A write that was not acknowledged is not applied until a read shows it.
    OnlyAcknowledged,
    /// A refusal proves nothing.
    RefusalProvesNothing,
    /// A claim counts until its holder must have ended.
    Takeover,
    /// The token leaves right after its claim.
    Gate,
    /// So it does the second time.
    SecondGate,
    /// A response is committed over the token that was used for it, whoever has claimed that meanwhile.
    CommitWhoeverClaims,
    /// Other tokens in the secret stay.
    GivingWay,
    /// The response is in the journal before it is in the vault.
    Journal,
    /// What was saved on this machine is committed before a claim is waited for.
    RecoveryFirst,
    /// A claim whose holder is not heard of any more is a doubt, for whoever takes over.
    DoubtOfClaim,
    /// It is noted for those who come later.
    DoubtNoted,
    /// So is a response that was lost, as the claim is taken away.
    FailureNoted,
    /// So is a token that was refused.
    RefusalNoted,
    /// A token whose response was lost is sent once more, and no third time.
    TwiceAtMost,
}

/// What the world is like.
#[derive(Clone, Copy, Debug)]
struct Rules {
    programs: usize,
    faults: u8,
    runs: u8,
    expiries: u8,
    has_grace: bool,
    has_replay_protection: bool,
    /// Whether all programs are on one machine.
    is_one_machine: bool,
    /// The machines whose folder can be written.
    has_folder: [bool; PROGRAMS],
    /// Whether the tokens in the vault are dead from the start.
    is_dead: bool,
    without: Option<Without>,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Pair {
    spent: Token,
    next: Token,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct JournalFile {
    pair: Pair,
    /// The doubt that a note on a failure tells of.
    failure: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Machine {
    journal: Option<JournalFile>,
    aside: [Pair; 2],
}

impl Machine {
    /// Whether it has what came of using this token.
    fn has_pair_for(&self, token: Token) -> bool {
        let journal = self.journal.map(|journal| journal.pair);
        let mut pairs = journal.into_iter().chain(self.aside);
        pairs.any(|pair| pair.spent == token && pair.next != NONE)
    }
}

/// A write that ended in an error, and may be applied yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Late {
    base: Number,
    version: Version,
}

/// Where a program is: what it does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    #[default]
    Idle,
    Read,
    Recover,
    Prepare,
    Write,
    Settle,
    Confirm,
    Send,
    Sent,
    Arriving,
    Refused,
    Save,
    CommitLook,
}

/// What a program writes to the vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Writing {
    #[default]
    Nothing,
    Claim,
    ClaimAnew,
    Commit,
    /// A pair that an earlier run has saved.
    Recovered,
    LetGo,
    LetGoRefused,
    LetGoFailed,
}

/// A program, with all that it has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Program {
    at: At,
    writing: Writing,
    has_lock: bool,
    seen: Number,
    /// What a standby must have before it responds: the number of one's own last write.
    index: Number,
    /// What is written follows this version.
    base: Number,
    /// The claim of another program, and whether it has been seen unchanged for long enough.
    watched: Number,
    watched_nonce: Nonce,
    is_unchanged: bool,
    claim: Nonce,
    /// The nonce of the claim that is being written, or of one that turned out not to be there.
    new_claim: Nonce,
    is_young: bool,
    pair: Pair,
    doubt: bool,
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

    /// The same run, which goes back to this step with what it has seen.
    fn anew(&self, at: At) -> Self {
        let &Self { seen, index, watched, watched_nonce, is_unchanged, new_claim, .. } = self;
        let has_lock = self.has_lock && at != At::Read;
        let begun = Self { at, has_lock, seen, index, ..Self::default() };
        Self { watched, watched_nonce, is_unchanged, new_claim, ..begun }
    }

    /// Whether it has a token on its way, or its response.
    fn is_at_work(&self) -> bool {
        matches!(self.at, At::Sent | At::Arriving | At::Save | At::CommitLook)
            || self.writing == Writing::Commit
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    programs: [Program; PROGRAMS],
    machines: [Machine; PROGRAMS],
    versions: [Version; VERSIONS],
    newest: Number,
    late: [Late; 2],
    server: Server<ROOM>,
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
    Does(At),
    Reads(At, Number),
    Writes(Writing, &'static str),
    Crashes(At, Writing),
    Happens(&'static str),
}

const STARTS: &str = "starts";

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Does(at) => write!(f, "{at:?}"),
            Self::Reads(at, 0) => write!(f, "{at:?}"),
            Self::Reads(at, lag) => write!(f, "{at:?} (-{lag})"),
            Self::Writes(writing, "") => write!(f, "{writing:?}"),
            Self::Writes(writing, outcome) => write!(f, "{writing:?}: {outcome}"),
            Self::Crashes(at, Writing::Nothing) => write!(f, "is killed before {at:?}"),
            Self::Crashes(at, writing) => write!(f, "is killed before {at:?} of {writing:?}"),
            Self::Happens(what) => f.write_str(what),
        }
    }
}

impl World {
    fn new(rules: &Rules) -> Self {
        let mut world = Self {
            runs: rules.runs,
            faults: rules.faults,
            expiries: rules.expiries,
            newest: 1,
            ..Self::default()
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

    /// The tokens that are in the vault, in a journal, or in a living program.
    fn held(&self) -> Tokens {
        let mut held = set(self.in_vault().token);
        for machine in &self.machines {
            held |= machine.journal.map_or(0, |journal| set(journal.pair.next));
            held |= machine.aside.iter().fold(0, |held, pair| held | set(pair.next));
        }
        for program in self.programs.iter().filter(|program| program.at >= At::Arriving) {
            held |= set(program.pair.next);
        }
        for program in self.programs.iter().filter(|program| program.writing == Writing::Commit) {
            held |= set(program.pair.next);
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
        for program in &self.programs {
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
        for program in &mut self.programs {
            if !matches!(program.at, At::Write | At::Settle) {
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
            for program in &mut self.programs {
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
        let programs = self.programs.iter().map(|program| program.pair);
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

/// What is decided on one machine, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Nothing { doubt: bool },
    DropJournal,
    SetJournalAside,
    CommitJournal,
    Restore(usize),
    Fail,
}

struct Explorer {
    rules: Rules,
    digests: Vec<Digest>,
    decided: HashMap<(Token, Machine), Decision, Hashing>,
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
        let mut order = [0, 1, 2];
        let World { programs, machines, .. } = *world;
        if self.rules.is_one_machine {
            order.sort_by(|&one, &other| programs[other].cmp(&programs[one]));
        } else {
            let folders = self.rules.has_folder;
            let key = |index: usize| (folders[index], programs[index], machines[index]);
            order.sort_by_key(|&index| Reverse(key(index)));
            world.machines = order.map(|index| machines[index]);
        }
        world.programs = order.map(|index| programs[index]);
        order
    }
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            digests: (0..ROOM as Token).map(|token| Digest::of(&[token])).collect(),
            decided: HashMap::default(),
            steps: Vec::new(),
        }
    }

    fn is_without(&self, rule: Without) -> bool {
        self.rules.without == Some(rule)
    }

    fn machine(&self, index: usize) -> usize {
        if self.rules.is_one_machine { 0 } else { index }
    }

    fn has_folder(&self, index: usize) -> bool {
        self.rules.has_folder[self.machine(index)]
    }

    fn digest(&self, token: Token) -> &Digest {
        &self.digests[usize::from(token)]
    }

    /// As `Renewal::look` and `Findings::decide` do.
    fn decide(&mut self, token: Token, machine: Machine) -> Decision {
        if let Some(decided) = self.decided.get(&(token, machine)) {
            return *decided;
        }
        let saved = |pair: &Pair| Saved {
            spent: *self.digest(pair.spent),
            next: *self.digest(pair.next),
            account: None,
        };
        let received = machine.journal.map(|journal| journal.pair).filter(|pair| pair.next != NONE);
        let aside = machine.aside.iter().filter(|pair| pair.spent != NONE);
        let mut spent = SpentTokens::default();
        for pair in received.iter().chain(aside.clone()) {
            let (spent_token, next) = (self.digest(pair.spent), self.digest(pair.next));
            spent.add(Link { spent: *spent_token, next: *next, time: LocalTime(0) });
        }
        let failure = machine.journal.and_then(|journal| journal.failure).map(|in_doubt| Note {
            in_doubt,
            unused: None,
            age: 0,
        });
        let journal = match (machine.journal, &received) {
            (None, _) => JournalState::None,
            (Some(_), Some(pair)) => {
                let is_in_creds = pair.next == token;
                JournalState::Received { pair: saved(pair), is_in_creds, note: None }
            }
            (Some(journal), None) => JournalState::Unanswered {
                spent: Some(*self.digest(journal.pair.spent)),
                note: failure,
            },
        };
        let set_aside: Vec<_> = aside.map(saved).collect();
        let state = State {
            creds: Some(*self.digest(token)),
            owner: None,
            journal,
            set_aside: &set_aside,
            spent: &spent,
        };
        let decision = match recovery::decide(&state) {
            Recovery::Nothing(prior) => Decision::Nothing { doubt: prior.in_doubt },
            Recovery::DropJournal => Decision::DropJournal,
            Recovery::SetJournalAside => Decision::SetJournalAside,
            Recovery::CommitJournal { .. } => Decision::CommitJournal,
            Recovery::Restore { pair, .. } => {
                let index = set_aside.iter().rposition(|it| *it == pair).expect("it is set aside");
                Decision::Restore(index)
            }
            Recovery::Report
            | Recovery::OlderCopy
            | Recovery::SeveralAccounts
            | Recovery::NoTokens => Decision::Fail,
        };
        self.decided.insert((token, machine), decision);
        decision
    }

    fn holder(&self, claim: Nonce, is_unchanged: bool) -> Holder {
        let takeover = if self.is_without(Without::Takeover) { Duration::ZERO } else { TAKEOVER };
        let unchanged = if is_unchanged { TAKEOVER } else { Duration::ZERO };
        holder(claim != NONE, unchanged, takeover)
    }

    fn push(&mut self, what: What, by: usize, world: World) -> &mut Step {
        let (breach, remains, is_excused) = (None, None, false);
        self.steps.push(Step { what, by, world, breach, remains, is_excused });
        self.steps.last_mut().expect("it was just pushed")
    }

    /// All steps from a world.
    fn all_steps(&mut self, world: &World) {
        let running = world.programs.iter().filter(|program| program.at != At::Idle).count();
        for index in 0..PROGRAMS {
            match world.programs[index].at {
                At::Idle => {
                    let is_like = |other: usize| {
                        let key =
                            |index| (self.has_folder(index), world.machines[self.machine(index)]);
                        world.programs[other].at == At::Idle && key(other) == key(index)
                    };
                    if !(0..index).any(is_like)
                        && running < self.rules.programs
                        && world.runs > 0
                        && !has(world.server.fresh, world.in_vault().token)
                    {
                        let mut next = *world;
                        next.runs -= 1;
                        next.programs[index].at = At::Read;
                        self.push(What::Happens(STARTS), index, next);
                    }
                }
                _ => {
                    self.advance(world, index);
                    if world.faults > 0 {
                        self.crash(world, index);
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
        let goes_on =
            |step: &Step| step.what != What::Happens(STARTS) && step.world.faults == world.faults;
        if running > 0 && !self.steps.iter().any(goes_on) {
            let step = self.push(What::Happens("waits for ever"), NOBODY, *world);
            step.breach = Some("a run has no end");
        }
        if world.expiries > 0 && world.server.fresh != 0 {
            let mut next = *world;
            next.expiries -= 1;
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

    /// So much time passes that claims which are watched are dead, and failures old.
    fn pass_time(&mut self, world: &World) {
        let mut next = *world;
        let mut cost = 0;
        for program in &mut next.programs {
            if program.at >= At::Write {
                cost += 1;
                program.is_young = false;
                program.was_stopped = true;
                let token = set(program.pair.spent);
                match program.at {
                    At::Send => next.stopped_at_send |= token,
                    _ if program.uses > 0 => next.stopped_after_send |= token,
                    _ => {}
                }
            }
            program.is_unchanged |= program.at == At::Read && program.watched != NONE;
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
            let program = &world.programs[index];
            let machine = self.machine(index);
            let is_in_use = (0..PROGRAMS)
                .any(|other| self.machine(other) == machine && world.programs[other].has_lock);
            let goes_on = |step: &Step| step.by == index && step.world.faults == world.faults;
            program.at == At::Read
                && !self.steps.iter().any(goes_on)
                && !is_in_use
                && world.machines[machine].has_pair_for(world.in_vault().token)
        });
        let step = self.push(What::Happens("the time of a takeover passes"), NOBODY, next);
        step.breach = waits.then_some("a pair that is saved here waits for a claim");
    }

    fn crash(&mut self, world: &World, index: usize) {
        let program = world.programs[index];
        if program.at < At::Write {
            // Nothing is there of it.
            return;
        }
        let mut next = *world;
        next.faults -= 1;
        next.programs[index] = Program::default();
        // Where the journal is to have it and has not, it is lost for no good reason.
        let is_dropped = program.pair.next != NONE && !program.is_saved;
        let dropped = if is_dropped { program.pair } else { Pair::default() };
        self.drop_pair(next, index, What::Crashes(program.at, program.writing), dropped, NO_COPY);
    }

    /// A program has no copy of this pair any more: if no other is left, that cannot be helped.
    fn drop_pair(
        &mut self,
        mut next: World,
        index: usize,
        what: What,
        dropped: Pair,
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
    fn content(&self, world: &World, program: &Program) -> Version {
        let base = *world.version(program.base);
        let Pair { spent, next } = program.pair;
        match program.writing {
            Writing::Nothing => base,
            Writing::Claim | Writing::ClaimAnew => {
                let dead = base.claim;
                let ours = if program.claim == dead { program.claim } else { NONE };
                let version = Version { claim: program.new_claim, ..base };
                if dead != ours && !self.is_without(Without::DoubtNoted) {
                    Version { failed: spent, failed_by: dead, is_failure_old: false, ..version }
                } else {
                    version
                }
            }
            Writing::Commit | Writing::Recovered => Version { token: next, ..Version::default() },
            Writing::LetGo => Version { claim: NONE, ..base },
            Writing::LetGoRefused => {
                let refused = if self.is_without(Without::RefusalNoted) { NONE } else { spent };
                Version { claim: NONE, refused, ..base }
            }
            Writing::LetGoFailed if self.is_without(Without::FailureNoted) => {
                Version { claim: NONE, ..base }
            }
            Writing::LetGoFailed => Version {
                claim: NONE,
                failed: spent,
                failed_by: base.claim,
                is_failure_old: false,
                ..base
            },
        }
    }

    fn is_ours(&self, program: &Program, version: &Version) -> bool {
        match program.writing {
            Writing::Nothing => false,
            Writing::Claim | Writing::ClaimAnew if self.is_without(Without::Nonce) => {
                version.claim != NONE
            }
            Writing::Claim | Writing::ClaimAnew => version.claim == program.new_claim,
            Writing::Commit | Writing::Recovered => version.token == program.pair.next,
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => version.claim == NONE,
        }
    }

    /// The worlds in which a program has read the secret: of the leader, or of a standby behind it.
    fn read(&self, world: &World, index: usize) -> Vec<(What, World)> {
        let mut worlds = Vec::new();
        let known = world.programs[index];
        for lag in 0..=LAG {
            let number = world.newest.saturating_sub(lag);
            let is_stale = lag > 0;
            if number == NONE || is_stale && (world.faults == 0 || number < known.index) {
                break;
            }
            let mut next = *world;
            next.faults -= u8::from(is_stale);
            let me = &mut next.programs[index];
            if is_newer(u64::from(known.seen), u64::from(number)) {
                me.seen = number;
                let claim = world.version(number).claim;
                if claim != NONE && known.watched != number {
                    (me.watched, me.watched_nonce, me.is_unchanged) = (number, claim, false);
                }
            }
            worlds.push((What::Reads(known.at, lag), next));
        }
        worlds
    }

    /// The steps of one program, and those that fail.
    fn advance(&mut self, world: &World, index: usize) {
        let at = world.programs[index].at;
        match at {
            At::Idle => {}
            At::Read => {
                for (what, next) in self.read(world, index) {
                    self.take_turn(world, next, index, what);
                }
            }
            At::Recover => {
                if world.programs[index].holds_claim(world) {
                    self.recover(*world, index, What::Does(at));
                } else {
                    for (what, next) in self.read(world, index) {
                        self.recover(next, index, what);
                    }
                }
            }
            At::Prepare => self.prepare(world, index),
            At::Write => self.write(world, index),
            At::Settle => {
                for (what, next) in self.read(world, index) {
                    self.settle(next, index, what);
                }
                if world.faults > 0 {
                    let mut next = *world;
                    next.faults -= 1;
                    self.give_up(next, index);
                }
            }
            At::Confirm => self.confirm(world, index),
            At::Send => self.send(world, index),
            At::Sent => self.refresh(world, index),
            At::Arriving => {
                let mut next = *world;
                let pair = next.programs[index].pair;
                next.programs[index].at = if pair.next == NONE { At::Refused } else { At::Save };
                self.push(What::Does(at), index, next);
                if world.faults > 0 {
                    let mut next = *world;
                    next.faults -= 1;
                    next.programs[index].pair.next = NONE;
                    self.lose(next, index, "the response is lost", pair);
                }
            }
            At::Refused => {
                // Someone may have put other tokens there.
                for (what, mut next) in self.read(world, index) {
                    let me = next.programs[index];
                    if next.version(me.seen).token != me.pair.spent {
                        next.programs[index] = me.anew(At::Recover);
                        self.push(what, index, next);
                    } else {
                        self.let_go(next, index, what, Writing::LetGoRefused);
                    }
                }
            }
            At::Save => {
                let machine = self.machine(index);
                let mut next = *world;
                let me = &mut next.programs[index];
                me.at = At::CommitLook;
                if me.has_journal {
                    me.is_saved = true;
                    if !self.is_without(Without::Journal) {
                        next.machines[machine].journal =
                            Some(JournalFile { pair: me.pair, failure: None });
                    }
                }
                self.push(What::Does(at), index, next);
                if world.faults > 0 && world.programs[index].has_journal {
                    let mut next = *world;
                    next.faults -= 1;
                    next.programs[index].at = At::CommitLook;
                    self.push(What::Happens("cannot write its journal"), index, next);
                }
            }
            At::CommitLook => {
                if world.programs[index].holds_claim(world) {
                    self.commit(*world, index, What::Does(at));
                    return;
                }
                for (what, next) in self.read(world, index) {
                    self.commit(next, index, what);
                }
                if world.faults > 0 {
                    let mut next = *world;
                    next.faults -= 1;
                    self.give_way(next, index, What::Happens("cannot read"), NO_VAULT);
                }
            }
        }
    }

    /// As `Renewal::take_turn` and `VaultStore::try_lock` do.
    fn take_turn(&mut self, world: &World, mut next: World, index: usize, what: What) {
        let machine = self.machine(index);
        let me = next.programs[index];
        let seen = *next.version(me.seen);
        if has(next.server.fresh, seen.token) {
            next.programs[index] = Program::default();
            self.push(what, index, next);
            return;
        }
        let holder = self.holder(seen.claim, me.is_unchanged && me.watched == me.seen);
        let is_known = self.has_folder(index)
            && next.machines[machine].has_pair_for(seen.token)
            && !self.is_without(Without::RecoveryFirst);
        let is_locked = (0..PROGRAMS)
            .any(|other| self.machine(other) == machine && next.programs[other].has_lock);
        if !may_recover(holder, is_known) || is_locked && self.has_folder(index) {
            if next != *world {
                let waits_for_itself = seen.claim != NONE && seen.claim == me.new_claim;
                let step = self.push(what, index, next);
                step.breach = waits_for_itself.then_some("a run waits for its own claim");
            }
            return;
        }
        let me = &mut next.programs[index];
        (me.at, me.has_lock) = (At::Recover, self.has_folder(index));
        self.push(what, index, next);
    }

    fn recover(&mut self, mut next: World, index: usize, what: What) {
        let machine = self.machine(index);
        let me = next.programs[index];
        let seen = *next.version(me.seen);
        let found =
            if self.has_folder(index) { next.machines[machine] } else { Machine::default() };
        let journal = found.journal.map(|journal| journal.pair).unwrap_or_default();
        match self.decide(seen.token, found) {
            Decision::Nothing { .. } if has(next.server.fresh, seen.token) => {
                next.programs[index] = Program::default();
            }
            Decision::Nothing { doubt } => {
                let has_failed = seen.failed == seen.token;
                let (claim, ours) = (Some(seen.claim).filter(|claim| *claim != NONE), me.claim);
                let claim = claim.filter(|_| !self.is_without(Without::DoubtOfClaim));
                let me = &mut next.programs[index];
                me.doubt = doubt || is_in_doubt(claim.as_ref(), Some(&ours), has_failed);
                me.pair = Pair { spent: seen.token, next: NONE };
                me.at = At::Prepare;
            }
            Decision::DropJournal => next.machines[machine].journal = None,
            Decision::SetJournalAside => {
                next.machines[machine].journal = None;
                set_aside(&mut next.machines[machine], journal);
            }
            Decision::CommitJournal => write_recovered(&mut next.programs[index], journal),
            Decision::Restore(place) => {
                write_recovered(&mut next.programs[index], found.aside[place]);
            }
            Decision::Fail => next.programs[index] = Program::default(),
        }
        self.push(what, index, next);
    }

    /// As `Claimant::prepare` does.
    fn prepare(&mut self, world: &World, index: usize) {
        let at = At::Prepare;
        let mut next = *world;
        let me = world.programs[index];
        let seen = *world.version(me.seen);
        if self.holder(seen.claim, me.is_unchanged && me.watched == me.seen) == Holder::Alive {
            next.programs[index] = me.anew(At::Read);
            self.push(What::Happens("leaves it to another"), index, next);
            return;
        }
        let refused = (seen.refused == me.pair.spent).then_some(0);
        // Whoever has watched an earlier claim of the same refresh is told, too. That it ends here is no more
        // than what a kill does.
        let is_about = seen.failed == me.pair.spent
            && seen.failed_by == me.watched_nonce
            && me.watched_nonce != NONE;
        let failed = is_about.then_some(if seen.is_failure_old { 180 } else { 0 });
        if told(refused, None, failed) != Told::Nothing {
            next.programs[index] = Program::default();
            self.push(What::Happens("reports what it was told"), index, next);
            return;
        }
        if self.has_folder(index) {
            let begun = Pair { spent: me.pair.spent, next: NONE };
            next.machines[self.machine(index)].journal =
                Some(JournalFile { pair: begun, failure: None });
            next.programs[index].has_journal = true;
        }
        let nonce = next.nonce();
        let me = &mut next.programs[index];
        (me.writing, me.new_claim, me.is_young) = (Writing::Claim, nonce, true);
        (me.base, me.at) = (me.seen, At::Write);
        if self.is_without(Without::Claim) {
            (me.writing, me.claim, me.at) = (Writing::Nothing, nonce, At::Confirm);
        }
        self.push(What::Does(at), index, next);
    }

    fn write(&mut self, world: &World, index: usize) {
        let me = world.programs[index];
        let writing = me.writing;
        let mut next = *world;
        let version = self.content(world, &me);
        if me.base == world.newest || self.is_without(Without::CheckAndSet) {
            next.append(version);
            let number = next.newest;
            let me = &mut next.programs[index];
            (me.seen, me.index) = (number, number);
            self.applied(next, index, What::Writes(writing, ""));
        } else {
            self.unsettled(next, index, What::Writes(writing, "400"), true);
        }
        if world.faults == 0 {
            return;
        }
        let mut failed = *world;
        failed.faults -= 1;
        if me.base == world.newest {
            self.unsettled(failed, index, What::Writes(writing, "400, wrongly"), true);
            let late = failed.late.iter().position(|late| late.base == NONE);
            if let Some(place) = late {
                failed.late[place] = Late { base: me.base, version };
            }
        }
        self.unsettled(failed, index, What::Writes(writing, "500"), false);
        if me.is_young {
            let mut slow = *world;
            slow.faults -= 1;
            slow.programs[index].is_young = false;
            self.push(What::Happens("is stopped for longer than the gate"), index, slow);
        }
    }

    /// A write was not acknowledged.
    fn unsettled(&mut self, mut next: World, index: usize, what: What, is_refused: bool) {
        if is_refused && self.is_without(Without::RefusalProvesNothing) {
            self.superseded(next, index, what);
        } else if !is_refused && self.is_without(Without::OnlyAcknowledged) {
            self.applied(next, index, what);
        } else {
            next.programs[index].at = At::Settle;
            self.push(what, index, next);
        }
    }

    fn settle(&mut self, mut next: World, index: usize, what: What) {
        let me = next.programs[index];
        let is_ours = || {
            let seen = next.version(me.seen);
            Some(self.is_ours(&me, seen) || self.is_ours(&me, next.version(me.base + 1)))
        };
        match settle(u64::from(me.base), Some(u64::from(me.seen)), is_ours) {
            Settled::Applied => self.applied(next, index, what),
            Settled::Superseded => self.superseded(next, index, what),
            Settled::Unknown => {
                next.programs[index].at = At::Write;
                self.push(what, index, next);
            }
        }
    }

    fn applied(&mut self, mut next: World, index: usize, what: What) {
        let machine = self.machine(index);
        let me = &mut next.programs[index];
        let (writing, pair) = (mem::take(&mut me.writing), me.pair);
        match writing {
            Writing::Nothing => {}
            Writing::Claim | Writing::ClaimAnew => {
                (me.claim, me.new_claim, me.at) = (me.new_claim, NONE, At::Confirm);
            }
            Writing::Commit => {
                if me.has_journal {
                    next.machines[machine].journal = None;
                }
                next.programs[index] = Program::default();
            }
            Writing::Recovered => {
                (me.at, me.pair) = (At::Recover, Pair::default());
                remove_saved(&mut next.machines[machine], pair);
            }
            Writing::LetGo | Writing::LetGoFailed => next.programs[index] = Program::default(),
            Writing::LetGoRefused => {
                next.refused |= set(pair.spent);
                next.programs[index] = Program::default();
            }
        }
        self.push(what, index, next);
    }

    fn superseded(&mut self, mut next: World, index: usize, what: What) {
        match mem::take(&mut next.programs[index].writing) {
            Writing::Nothing => {}
            Writing::Claim => self.withdraw(&mut next, index),
            Writing::ClaimAnew if next.programs[index].is_lost => {
                self.note(&mut next, index, true);
                next.programs[index] = Program::default();
            }
            Writing::ClaimAnew => self.withdraw(&mut next, index),
            Writing::Commit => next.programs[index].at = At::CommitLook,
            Writing::Recovered => next.programs[index].at = At::Recover,
            Writing::LetGo | Writing::LetGoRefused | Writing::LetGoFailed => {
                next.programs[index] = Program::default();
            }
        }
        self.push(what, index, next);
    }

    /// The patience with a write has ended.
    fn give_up(&mut self, mut next: World, index: usize) {
        let me = next.programs[index];
        let what = What::Writes(me.writing, "given up");
        let mut dropped = Pair::default();
        match me.writing {
            Writing::Claim => self.withdraw(&mut next, index),
            Writing::ClaimAnew if me.is_lost => {
                self.note(&mut next, index, true);
                self.let_go(next, index, what, Writing::LetGoFailed);
                return;
            }
            Writing::ClaimAnew => {
                self.withdraw_journal(&mut next, index);
                self.let_go(next, index, what, Writing::LetGo);
                return;
            }
            Writing::Commit if !me.is_saved => dropped = me.pair,
            _ => {}
        }
        next.programs[index] = Program::default();
        self.drop_pair(next, index, what, dropped, NO_VAULT);
    }

    /// The journal of a token that was not sent goes.
    fn withdraw_journal(&self, next: &mut World, index: usize) {
        if mem::take(&mut next.programs[index].has_journal) {
            next.machines[self.machine(index)].journal = None;
        }
    }

    /// Nothing was sent, and another program has the claim: the run begins again.
    fn withdraw(&self, next: &mut World, index: usize) {
        self.withdraw_journal(next, index);
        next.programs[index] = next.programs[index].anew(At::Read);
    }

    fn note(&self, next: &mut World, index: usize, in_doubt: bool) {
        if next.programs[index].has_journal
            && let Some(journal) = &mut next.machines[self.machine(index)].journal
        {
            journal.failure = Some(in_doubt);
        }
    }

    /// A run ends, and takes its claim away.
    fn let_go(&mut self, mut next: World, index: usize, what: What, writing: Writing) -> &mut Step {
        let holds_claim = next.programs[index].holds_claim(&next);
        let me = &mut next.programs[index];
        if holds_claim {
            (me.at, me.writing, me.base) = (At::Write, writing, me.seen);
            // Nobody else's by mistake, but this run's own.
            me.new_claim = NONE;
        } else {
            *me = Program::default();
        }
        self.push(what, index, next)
    }

    /// As `Refresh::confirm` and `confirm_anew` do.
    fn confirm(&mut self, world: &World, index: usize) {
        let me = world.programs[index];
        let mut next = *world;
        let age = if me.is_young { Duration::ZERO } else { GATE + Duration::from_secs(1) };
        let may_send = may_send(age, Some(age))
            || self.is_without(Without::Gate)
            || me.is_lost && self.is_without(Without::SecondGate);
        let what = What::Does(At::Confirm);
        if may_send {
            let token = me.pair.spent;
            let has_sent = |other: &Program| other.is_at_work() && other.pair.spent == token;
            let is_used = has(world.server.used, token) || world.programs.iter().any(has_sent);
            let is_known = me.doubt || me.is_lost || world.in_vault().token != token;
            next.programs[index].at = At::Send;
            let step = self.push(what, index, next);
            step.breach =
                (is_used && !is_known).then_some("it is forgotten that the token may be used");
        } else if me.holds_claim(world) {
            let nonce = world.nonce();
            let me = &mut next.programs[index];
            (me.writing, me.new_claim, me.is_young) = (Writing::ClaimAnew, nonce, true);
            (me.base, me.at) = (me.seen, At::Write);
            self.push(What::Happens("withholds the token"), index, next);
        } else {
            match me.is_lost {
                true => next.programs[index] = Program::default(),
                false => self.withdraw(&mut next, index),
            }
            self.push(What::Happens("withholds the token"), index, next);
        }
        if world.faults == 0 {
            return;
        }
        if me.is_young {
            let mut slow = *world;
            slow.faults -= 1;
            slow.programs[index].is_young = false;
            self.push(What::Happens("is stopped for longer than the gate"), index, slow);
        }
        let mut next = *world;
        next.faults -= 1;
        let what = What::Happens("cannot reach the server");
        self.fail_unsent(next, index, what);
    }

    /// The token was not used by this attempt. What the run says of it is held against the truth.
    fn fail_unsent(&mut self, mut next: World, index: usize, what: What) {
        let me = next.programs[index];
        let in_doubt = me.doubt || me.is_lost;
        // One that was stopped for so long cannot know what was done in its place.
        let is_untrue = !in_doubt && !me.was_stopped && has(next.server.used, me.pair.spent);
        self.note(&mut next, index, in_doubt);
        let writing = if me.is_lost { Writing::LetGoFailed } else { Writing::LetGo };
        let step = self.let_go(next, index, what, writing);
        step.breach = is_untrue.then_some("\"unchanged\" is said of used tokens");
    }

    fn send(&mut self, world: &World, index: usize) {
        let me = world.programs[index];
        let token = me.pair.spent;
        let in_vault = world.in_vault();
        let others = || {
            let others =
                world.programs.iter().enumerate().filter(move |(other, _)| *other != index);
            others
                .map(|(_, other)| other)
                .filter(move |other| other.pair.spent == token && other.is_at_work())
        };
        let is_holder = in_vault.token != token || in_vault.claim == me.claim;
        // Its own first attempt may have used it.
        let is_retry =
            me.is_lost && is_holder && (in_vault.token == token || has(world.overwritten, token));
        let is_used = has(world.server.used, token) && !has(world.lost, token) && !is_retry;
        let is_double = !is_holder || is_used || others().next().is_some();
        let (mut breach, mut remains) = (None, None);
        if is_double {
            if has(world.stopped_at_send, token) {
                remains = Some(STOPPED_AT_SEND);
            } else if !is_holder {
                breach = Some("a token is sent without its claim");
            } else if has(world.stopped_after_send, token) {
                remains = Some(STOPPED_AFTER_SEND);
            } else if has(world.answered_in_journal, token) {
                remains = Some(COPY_ELSEWHERE);
            } else if others().next().is_some() {
                breach = Some("two programs send at once");
            } else {
                breach = Some("a used token is sent");
            }
        } else if me.uses >= 2 || me.uses == 1 && !me.is_lost {
            breach = Some("a token is sent a third time");
        } else if has(world.refused, token) {
            breach = Some("a refused token is sent again");
        }
        let mut next = *world;
        if remains.is_some() {
            next.lost |= set(token);
        }
        let me = &mut next.programs[index];
        me.uses += 1;
        me.at = At::Sent;
        (me.watched, me.watched_nonce, me.is_unchanged) = (NONE, NONE, false);
        let has_grace = self.rules.has_grace;
        let step = self.push(What::Does(At::Send), index, next);
        step.breach = breach;
        step.remains = remains.filter(|_| !has_grace);
    }

    fn refresh(&mut self, world: &World, index: usize) {
        let token = world.programs[index].pair.spent;
        let mut next = *world;
        let made =
            next.server.refresh(token, self.rules.has_grace, self.rules.has_replay_protection);
        let me = &mut next.programs[index];
        (me.pair.next, me.at) = (made, At::Arriving);
        let is_lost = made == NONE && !has(world.server.dead, token) && !has(world.lost, token);
        let step = self.push(What::Does(At::Sent), index, next);
        step.breach = is_lost.then_some("a family is lost");
        if world.faults > 0 {
            let mut next = *world;
            next.faults -= 1;
            self.lose(next, index, "the request is lost", Pair::default());
            self.fail_unsent(next, index, What::Happens("is refused"));
        }
    }

    /// The request or the response is lost: the token is in doubt.
    fn lose(&mut self, mut next: World, index: usize, what: &'static str, dropped: Pair) {
        let me = next.programs[index];
        let mut attempts = Attempts::default();
        if me.is_lost && !self.is_without(Without::TwiceAtMost) {
            attempts.next(Outcome::InDoubt { wait: None });
        }
        let again = attempts.next(Outcome::InDoubt { wait: None });
        if dropped.next != NONE {
            next.lost |= set(dropped.spent);
        }
        let is_lost = has(next.server.living(), dropped.next);
        let is_remaining = is_lost && !self.rules.has_grace;
        let what = What::Happens(what);
        let step = if matches!(again, Next::SendAfter(_)) {
            let me = &mut next.programs[index];
            (me.is_lost, me.at) = (true, At::Confirm);
            self.push(what, index, next)
        } else {
            self.note(&mut next, index, true);
            self.let_go(next, index, what, Writing::LetGoFailed)
        };
        step.is_excused = is_lost;
        step.remains = is_remaining.then_some(NO_COPY);
    }

    /// As `Renewal::commit` does.
    fn commit(&mut self, mut next: World, index: usize, what: What) {
        let me = next.programs[index];
        let seen = next.version(me.seen);
        let now = Now::Token(*self.digest(seen.token));
        let gives_way = match recovery::commit(now, *self.digest(me.pair.spent)) {
            Commit::GiveWay => !self.is_without(Without::GivingWay),
            _ => seen.claim != me.claim && self.is_without(Without::CommitWhoeverClaims),
        };
        if gives_way {
            self.give_way(next, index, what, "");
            return;
        }
        let me = &mut next.programs[index];
        (me.at, me.writing, me.base) = (At::Write, Writing::Commit, me.seen);
        self.push(what, index, next);
    }

    /// Leaves the vault to whoever has written to it, and keeps the response beside creds.json.
    fn give_way(&mut self, mut next: World, index: usize, what: What, remains: &'static str) {
        let machine = self.machine(index);
        let me = next.programs[index];
        if self.has_folder(index) {
            let journal = next.machines[machine].journal.take_if(|_| me.has_journal);
            if journal.is_some_and(|journal| journal.pair.next != NONE) || !me.is_saved {
                set_aside(&mut next.machines[machine], me.pair);
            }
        }
        next.programs[index] = me.anew(At::Recover);
        let is_kept = self.has_folder(index);
        if !is_kept && next.in_vault().token != me.pair.spent {
            // Other tokens count.
            next.overwritten |= set(me.pair.next);
        }
        if remains.is_empty() || is_kept {
            self.push(what, index, next);
        } else {
            self.drop_pair(next, index, what, me.pair, remains);
        }
    }
}

fn set_aside(machine: &mut Machine, pair: Pair) {
    let free = machine.aside.iter().position(|pair| pair.spent == NONE);
    machine.aside[free.expect("room for what is set aside")] = pair;
}

fn remove_saved(machine: &mut Machine, pair: Pair) {
    machine.journal.take_if(|journal| journal.pair == pair);
    if let Some(place) = machine.aside.iter().position(|aside| *aside == pair) {
        machine.aside.copy_within(place + 1.., place);
        machine.aside[1] = Pair::default();
    }
}

fn write_recovered(program: &mut Program, pair: Pair) {
    (program.at, program.writing) = (At::Write, Writing::Recovered);
    (program.base, program.pair) = (program.seen, pair);
}

const PLAIN: Rules = Rules {
    programs: 2,
    faults: 2,
    runs: 2,
    expiries: 0,
    has_grace: false,
    has_replay_protection: true,
    is_one_machine: false,
    has_folder: [true; PROGRAMS],
    is_dead: false,
    without: None,
};

fn explore(rules: Rules) -> Walked {
    walk(&mut Explorer::new(rules), World::new(&rules))
}

const NO_FOLDER: [bool; PROGRAMS] = [false; PROGRAMS];

#[test]
fn each_rule_is_needed_with_a_vault() {
    const LOST: &str = "a living pair is lost";
    const UNCLAIMED: &str = "a token is sent without its claim";
    const FORGOTTEN: &str = "it is forgotten that the token may be used";
    for (rule, expected) in [
        (Without::Claim, UNCLAIMED),
        (Without::CheckAndSet, UNCLAIMED),
        (Without::Nonce, UNCLAIMED),
        (Without::OnlyAcknowledged, UNCLAIMED),
        (Without::Takeover, UNCLAIMED),
        (Without::Gate, UNCLAIMED),
        (Without::SecondGate, UNCLAIMED),
        (Without::RefusalProvesNothing, "a run waits for its own claim"),
        (Without::CommitWhoeverClaims, LOST),
        (Without::GivingWay, LOST),
        (Without::Journal, LOST),
        (Without::RecoveryFirst, "a pair that is saved here waits for a claim"),
        (Without::DoubtOfClaim, FORGOTTEN),
        (Without::DoubtNoted, FORGOTTEN),
        (Without::FailureNoted, FORGOTTEN),
        (Without::RefusalNoted, "a refused token is sent again"),
        (Without::TwiceAtMost, "a token is sent a third time"),
    ] {
        let is_without_folder = rule == Without::CommitWhoeverClaims;
        let rules = Rules {
            runs: 3,
            is_dead: rule == Without::RefusalNoted,
            has_folder: if is_without_folder { NO_FOLDER } else { PLAIN.has_folder },
            without: Some(rule),
            ..PLAIN
        };
        let mut breach = None;
        for faults in 0..=2 {
            // With as few faults as it takes.
            let found = explore(Rules { faults, ..rules }).breach;
            breach = breach.or(found.map(|found| (faults, found)));
            if breach.is_some() {
                break;
            }
        }
        let (faults, (what, trace)) =
            breach.unwrap_or_else(|| panic!("nothing is wrong without {rule:?}"));
        let (steps, trace) = (trace.len(), trace.join(", "));
        println!("{rule:?}: {what}, {faults} faults, {steps} steps: {trace}");
        assert_eq!(what, expected, "{rule:?}");
    }
}
