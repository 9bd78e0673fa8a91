//! The decisions of a refresh, explored exhaustively in a small world: every interleaving of a few
//! programs, with crashes, lost responses, writes that fail, and people who take no lock.
//!
//! The world is made of small numbers: a store, an authorization server, and programs that take the
//! steps of `rotation` in their order. What they decide, the product's own functions decide. A step
//! that breaks a promise ends the exploration, with the shortest way to it. See "Explored" in
//! ROTATION.md, beside this crate's Cargo.toml.
//!
//! A last look and the system call behind it are one step here.

use crate::rotation::attempts::{Attempts, Next, Outcome};
use crate::rotation::recovery::{self, Commit, JournalState, Note, Now, Recovery, Saved, State};
use crate::rotation::walk::{self, Hashing, Model, NOBODY, PROGRAMS, Walked, walk};
use crate::store::spent::{Link, SpentTokens};
use crate::tokens::claims::{Claims, LocalTime};
use crate::tokens::secret::Digest;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem::{self, Discriminant, discriminant};
use std::time::Instant;

/// A refresh token, by its number; none is 0.
type Token = u8;
const NONE: Token = 0;
/// What a write in place that was cut off in the middle of a token leaves.
const GARBLED: Token = 15;
/// The last token that the server may make.
const LAST: Token = 14;
/// A set of tokens.
type Tokens = u16;

fn set(token: Token) -> Tokens {
    if token == NONE { 0 } else { 1 << token }
}

fn has(tokens: Tokens, token: Token) -> bool {
    tokens & set(token) != 0
}

/// A rule of the product that can be taken out, to see what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// One program at a time holds the lock.
    Lock,
    /// The token that is sent was read under the lock.
    ReadUnderLock,
    /// What an earlier run left comes before a refresh.
    Recovery,
    /// The response is in the journal before anything else happens.
    Journal,
    /// The lock still has its name right before the journal begins, and before the token leaves.
    LockConfirmed,
    /// The journal is locked as long as its run goes on.
    JournalLocked,
    /// A token that someone else put into creds.json stays.
    GivingWay,
    /// creds.json is looked at once more right before it is replaced.
    LastLook,
    /// The record tells which tokens were used.
    Record,
    /// The record is written before the journal goes.
    RecordFirst,
    /// A pair that creds.json has no place for is set aside.
    SettingAside,
    /// A pair that is set aside is kept as long as it may be good.
    KeepingAside,
    /// The journal stays where the commit failed.
    KeepingJournal,
    /// That an earlier run may have used the token is remembered.
    Doubt,
    /// A token whose response was lost is sent once more, and no third time.
    TwiceAtMost,
    /// A response that neither the journal nor creds.json takes has a file of its own.
    SavedElsewhere,
    /// A torn write of our own is no token.
    TornKnown,
    /// A failure says nothing of the tokens where the lock is lost.
    LockConfirmedOnFailure,
    /// A run that sends nothing leaves the doubt of an earlier one as it is.
    DoubtKept,
    /// The lock still has its name before recovery changes anything.
    LockConfirmedInRecovery,
    /// What became of a pair that is set aside is in doubt from the start.
    DoubtOfSubstitutes,
}

/// What the world is like.
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// How many programs run at once.
    programs: usize,
    /// How many faults, and acts of others, a trace has.
    faults: u8,
    /// How many runs start.
    runs: u8,
    /// Whether the server takes a used token once more.
    has_grace: bool,
    /// Whether a used token that is sent ends its family.
    has_replay_protection: bool,
    /// Whether creds.json is written in place: it is a mount, or another user's.
    is_in_place: bool,
    /// Whether pasted tokens are of the same account.
    is_same_account: bool,
    /// Whether a pair is set aside at first, and the tokens in creds.json are dead.
    is_set_aside: bool,
    without: Option<Without>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Creds {
    #[default]
    Unusable,
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
            Self::Unusable => NONE,
        }
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

/// Whether a file that a program has locked still has its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Held {
    #[default]
    No,
    Named,
    Unnamed,
}

/// Where a program is: what it does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    #[default]
    Idle,
    Waiting,
    Look,
    DropRecord,
    DropRemove,
    AsideRename,
    AsideRecord,
    FinishWrite,
    FinishTorn,
    FinishRecord,
    FinishRemove,
    Rehearse,
    Begin,
    Connect,
    Send,
    Sent,
    Arriving,
    Save,
    CommitLook,
    CommitWrite,
    CommitTorn,
    CommitRecord,
    CommitRemove,
    GiveWay,
    GiveWayRecord,
    Refused,
    Substitute,
}

/// A program, with all that it has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Program {
    at: At,
    lock: Held,
    journal: Held,
    /// What it saw in creds.json under the lock.
    in_file: Creds,
    /// What it expects there at the commit.
    expected: Creds,
    /// The pair that it is about: the token it uses, and what has come of it.
    pair: Pair,
    /// Which of the pairs set aside it tries next, counted from the end.
    tried: u8,
    /// Whether `pair` is of one that was set aside.
    is_substitute: bool,
    /// An earlier run may have used the token.
    doubt: bool,
    has_waited: bool,
    /// A failure was noted since it began.
    has_news: bool,
    is_saved: bool,
    has_been_busy: bool,
    is_lost: bool,
    uses: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    programs: [Program; PROGRAMS],
    creds: Creds,
    journal: Option<JournalFile>,
    aside: [Pair; 4],
    record: [Pair; 7],
    /// The server: how many tokens it has made, of which families, which are used and which are dead.
    made: Token,
    families: [u8; LAST as usize + 1],
    used: Tokens,
    dead: Tokens,
    /// Access tokens that are still good, by their refresh token.
    fresh: Tokens,
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
    /// An older copy was restored that no record tells of, or the record could not be written.
    has_excuse: bool,
    /// Something that ROTATION.md says cannot be promised has happened to the pair on its way.
    is_pair_lost: bool,
}

type Step = walk::Step<World, What>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Does(At),
    Fails(At),
    Crashes(At),
    Happens(&'static str),
}

const STARTS: &str = "starts";

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Does(at) => write!(f, "{at:?}"),
            Self::Fails(at) => write!(f, "{at:?} fails"),
            Self::Crashes(at) => write!(f, "is killed before {at:?}"),
            Self::Happens(what) => f.write_str(what),
        }
    }
}

impl World {
    fn new(rules: &Rules) -> Self {
        let mut world =
            Self { runs: rules.runs, faults: rules.faults, expiries: 1, ..Self::default() };
        let token = world.make(0);
        world.fresh = 0;
        world.creds = Creds::Has(token);
        if rules.is_set_aside {
            // Tokens of another family were pasted while a response was on its way, and are dead.
            let next = world.make(0);
            world.used |= set(token);
            world.answered |= set(token);
            world.aside[0] = Pair { spent: token, next };
            world.record[0] = world.aside[0];
            let pasted = world.make(1);
            world.dead |= set(pasted);
            world.fresh = 0;
            world.creds = Creds::Has(pasted);
            world.is_pair_lost = true;
        }
        world.copies = set(world.creds.token());
        world
    }

    /// A new pair of a family.
    fn make(&mut self, family: u8) -> Token {
        self.made += 1;
        assert!(self.made <= LAST, "more tokens than the world has room for");
        self.families[usize::from(self.made)] = family;
        self.fresh |= set(self.made);
        self.made
    }

    /// The family of a token, as a set of its tokens.
    fn family(&self, token: Token) -> Tokens {
        let family = self.families[usize::from(token)];
        (1..=self.made).filter(|&other| self.families[usize::from(other)] == family).map(set).sum()
    }

    /// The server is sent a token: a new one, or none if it is refused.
    fn refresh(&mut self, rules: &Rules, token: Token) -> Token {
        if token > self.made || has(self.dead, token) {
            return NONE;
        }
        if has(self.used, token) && !rules.has_grace {
            if rules.has_replay_protection {
                self.dead |= self.family(token);
            }
            return NONE;
        }
        self.used |= set(token);
        self.make(self.families[usize::from(token)])
    }

    /// The tokens that the server would take.
    fn living(&self) -> Tokens {
        let all = ((1_u32 << (self.made + 1)) - 2) as Tokens;
        all & !self.used & !self.dead
    }

    fn aside(&self) -> impl DoubleEndedIterator<Item = Pair> + ExactSizeIterator + '_ {
        let count = self.aside.iter().position(|pair| pair.spent == NONE);
        self.aside[..count.unwrap_or(self.aside.len())].iter().copied()
    }

    fn set_aside(&mut self, pair: Pair) {
        let free = self.aside().len();
        self.aside[free] = pair;
    }

    fn remove_aside(&mut self, index: usize) {
        self.aside.copy_within(index + 1.., index);
        self.aside[self.aside.len() - 1] = Pair::default();
    }

    fn remove_aside_of(&mut self, next: Token) {
        let index = self.aside().position(|pair| pair.next == next);
        if let Some(index) = index {
            self.remove_aside(index);
        }
    }

    fn record(&mut self, pair: Pair) {
        if self.record.contains(&pair) {
            return;
        }
        let free = self.record.iter().position(|pair| pair.spent == NONE);
        self.record[free.expect("the record has room")] = pair;
    }

    /// Whether the store tells that the token was used.
    fn is_known_as_used(&self, token: Token) -> bool {
        let journal = self.journal.iter().map(|journal| journal.pair);
        let mut pairs = self.record.iter().copied().chain(self.aside()).chain(journal);
        pairs.any(|pair| pair.spent == token && pair.next != NONE)
    }

    /// The tokens that are in the store or in a living program.
    fn held(&self) -> Tokens {
        let mut held = set(self.creds.token());
        held |= self.journal.map_or(0, |journal| set(journal.pair.next));
        held |= self.aside().fold(0, |held, pair| held | set(pair.next));
        for program in &self.programs {
            if (At::Save..=At::GiveWayRecord).contains(&program.at) {
                held |= set(program.pair.next);
            }
        }
        held
    }

    fn is_locked(&self) -> bool {
        self.programs.iter().any(|program| program.lock == Held::Named)
    }

    fn is_journal_in_use(&self) -> bool {
        self.programs.iter().any(|program| program.journal == Held::Named)
    }

    /// The journal has another name, or none: whoever has it open goes on writing to it.
    fn unname_journal(&mut self) {
        for program in &mut self.programs {
            if program.journal == Held::Named {
                program.journal = Held::Unnamed;
            }
        }
    }
}

/// What is decided under the lock, in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Nothing { doubt: bool },
    DropJournal,
    SetJournalAside,
    CommitJournal,
    Restore(usize),
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Found {
    creds: Token,
    is_torn_of: Token,
    journal: Option<JournalFile>,
    aside: [Pair; 4],
    record: [Pair; 7],
}

struct Explorer {
    rules: Rules,
    digests: Vec<Digest>,
    accounts: [Claims; 2],
    /// What the product's functions said of what was found: which of the pairs are kept, and the rest.
    decided: HashMap<Found, ([bool; 4], Decision), Hashing>,
    /// Where programs were, as bits.
    places: u64,
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
        let mut order = [0, 1, 2];
        let programs = world.programs;
        order.sort_by(|&one, &other| programs[other].cmp(&programs[one]));
        world.programs = order.map(|index| programs[index]);
        order
    }

    fn visit(&mut self, world: &World) {
        for program in &world.programs {
            self.places |= 1 << program.at as u8;
        }
    }
}

impl Explorer {
    fn new(rules: Rules) -> Self {
        let claims = |user: &str| Claims {
            iss: Some("iss".to_owned()),
            client_id: Some("id".to_owned()),
            sub: Some(user.to_owned()),
            scope: Some("w:1".to_owned()),
            ..Claims::default()
        };
        let other = if rules.is_same_account { "me" } else { "you" };
        Self {
            rules,
            digests: (0..=GARBLED).map(|token| Digest::of(&[token])).collect(),
            accounts: [claims("me"), claims(other)],
            decided: HashMap::default(),
            places: 0,
            steps: Vec::new(),
        }
    }

    fn is_without(&self, rule: Without) -> bool {
        self.rules.without == Some(rule)
    }

    fn digest(&self, token: Token) -> &Digest {
        &self.digests[usize::from(token)]
    }

    fn saved(&self, world: &World, pair: &Pair) -> Saved<Digest> {
        let family = world.families[usize::from(pair.next)];
        Saved {
            spent: *self.digest(pair.spent),
            next: *self.digest(pair.next),
            account: self.accounts[usize::from(family.min(1))].account_digest(),
        }
    }

    fn link(&self, pair: Pair) -> Link {
        let (spent, next) = (self.digest(pair.spent).clone(), self.digest(pair.next).clone());
        Link { spent, next, time: LocalTime(0) }
    }

    /// As `Renewal::look` and `Findings::decide` do.
    fn decide(&mut self, world: &World, creds: Creds) -> ([bool; 4], Decision) {
        let found = Found {
            creds: creds.token(),
            is_torn_of: if let Creds::Torn { to, .. } = creds { to } else { NONE },
            journal: world.journal,
            aside: world.aside,
            record: world.record,
        };
        if let Some(decided) = self.decided.get(&found) {
            return *decided;
        }
        let received = world.journal.map(|journal| journal.pair).filter(|pair| pair.next != NONE);
        let mut spent = SpentTokens::default();
        let record = world.record.iter().copied().filter(|pair| pair.spent != NONE);
        for pair in record.chain(received).chain(world.aside()) {
            spent.add(self.link(pair));
        }
        let token = (found.creds != NONE).then(|| *self.digest(found.creds));
        let mut kept = [false; 4];
        for (kept, pair) in kept.iter_mut().zip(world.aside()) {
            *kept = recovery::is_kept(&self.saved(world, &pair), token, &spent)
                && !self.is_without(Without::KeepingAside);
        }
        let aside: Vec<_> = (world.aside().zip(kept))
            .filter(|(_, is_kept)| *is_kept)
            .map(|(pair, _)| self.saved(world, &pair))
            .collect();
        // A write of the journal's pair that was cut off is no token of anyone's.
        let is_torn = received.is_some_and(|pair| pair.next == found.is_torn_of);
        let token = token.filter(|_| !is_torn || self.is_without(Without::TornKnown));
        let failure = world.journal.and_then(|journal| journal.failure).map(|in_doubt| Note {
            in_doubt,
            unused: None,
            age: 0,
        });
        let journal = match (world.journal, received) {
            (None, _) => JournalState::None,
            (Some(_), Some(pair)) => JournalState::Received {
                pair: self.saved(world, &pair),
                is_in_creds: token == Some(*self.digest(pair.next)),
                note: None,
            },
            (Some(journal), None) => JournalState::Unanswered {
                spent: Some(*self.digest(journal.pair.spent)),
                note: failure,
            },
        };
        let state = State { creds: token, owner: None, journal, set_aside: &aside, spent: &spent };
        let decision = match recovery::decide(&state) {
            Recovery::Nothing(prior) => Decision::Nothing { doubt: prior.in_doubt },
            Recovery::DropJournal => Decision::DropJournal,
            Recovery::SetJournalAside => Decision::SetJournalAside,
            Recovery::CommitJournal { .. } => Decision::CommitJournal,
            Recovery::Restore { pair, .. } => {
                let index = aside.iter().rposition(|it| *it == pair).expect("it is set aside");
                Decision::Restore(index)
            }
            Recovery::Report
            | Recovery::OlderCopy
            | Recovery::SeveralAccounts
            | Recovery::NoTokens => Decision::Fail,
        };
        self.decided.insert(found, (kept, decision));
        (kept, decision)
    }

    /// What the product makes of an outcome: whether the token is sent again.
    fn is_sent_again(&self, program: &Program, outcome: Outcome) -> bool {
        let mut attempts = Attempts::default();
        if program.has_been_busy {
            attempts.next(Outcome::Busy { wait: None });
        }
        if program.is_lost && !self.is_without(Without::TwiceAtMost) {
            attempts.next(Outcome::InDoubt { wait: None });
        }
        matches!(attempts.next(outcome), Next::SendAfter(_))
    }

    fn all_steps(&mut self, world: &World) {
        let running = world.programs.iter().filter(|program| program.at != At::Idle).count();
        for index in 0..world.programs.len() {
            match world.programs[index].at {
                At::Idle => {
                    let idle = world.programs[..index].iter().any(|program| program.at == At::Idle);
                    if running < self.rules.programs && !idle && world.runs > 0 {
                        self.start(world, index);
                    }
                }
                at => {
                    self.advance(world, index);
                    if world.faults > 0 {
                        self.crash(world, index, at);
                    }
                }
            }
        }
        let goes_on =
            |step: &Step| step.what != What::Happens(STARTS) && step.world.faults == world.faults;
        if running > 0 && !self.steps.iter().any(goes_on) {
            self.push(What::Happens("waits for ever"), NOBODY, *world, Some("a run has no end"));
        }
        if world.expiries > 0 && world.fresh != 0 {
            let mut next = *world;
            next.expiries -= 1;
            next.fresh = 0;
            self.push(What::Happens("the access tokens expire"), NOBODY, next, None);
        }
        if world.faults > 0 {
            self.others(world);
        }
        let (held, living) = (world.held(), world.living());
        for step in &mut self.steps {
            let lost = held & living & step.world.living() & !step.world.held();
            let lost = lost & !step.world.overwritten;
            if lost != 0 && !step.is_excused && step.breach.is_none() {
                step.breach = Some("a living pair is lost");
            }
            let world = &step.world;
            if let Creds::Torn { reads, to } = world.creds
                && reads != to
                && step.breach.is_none()
            {
                let is_written = world.programs.iter().any(|program| {
                    matches!(program.at, At::FinishTorn | At::CommitTorn) && program.pair.next == to
                });
                let is_saved = world.journal.is_some_and(|journal| journal.pair.next == to)
                    || world.aside().any(|pair| pair.next == to);
                if !is_written && !is_saved && !step.is_excused && !world.is_pair_lost {
                    step.breach = Some("creds.json is torn for good");
                }
            }
        }
    }

    fn push(&mut self, what: What, by: usize, world: World, breach: Option<&'static str>) {
        self.steps.push(Step { what, by, world, breach, remains: None, is_excused: false });
    }

    fn excuse(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.is_excused = true;
        }
    }

    fn start(&mut self, world: &World, index: usize) {
        let token = world.creds.token();
        let have_saved_pair = world.journal.is_some() || world.aside().len() > 0;
        // The fast path takes no lock, and changes nothing; so does an error.
        if has(world.fresh, token) || token == NONE && !have_saved_pair {
            return;
        }
        let mut next = *world;
        next.runs -= 1;
        let mut program = Program { at: At::Waiting, ..Program::default() };
        if self.is_without(Without::ReadUnderLock) {
            program.in_file = world.creds;
        }
        next.programs[index] = program;
        self.push(What::Happens(STARTS), index, next, None);
    }

    fn crash(&mut self, world: &World, index: usize, at: At) {
        let program = world.programs[index];
        let mut next = *world;
        next.faults -= 1;
        next.programs[index] = Program::default();
        let is_on_its_way = matches!(at, At::Sent | At::Arriving | At::Save)
            || (At::CommitLook..=At::GiveWay).contains(&at) && !program.is_saved;
        if is_on_its_way {
            // With a grace period the next run gets another; but not over a creds.json that is torn.
            next.is_pair_lost |= !self.rules.has_grace || at == At::CommitTorn;
        }
        // What was there before is not kept: the torn text is sent, and refused.
        next.is_pair_lost |= at == At::FinishTorn && program.is_substitute;
        self.push(What::Crashes(at), index, next, None);
        if is_on_its_way {
            self.excuse();
        }
    }

    /// What people and programs without the lock do.
    fn others(&mut self, world: &World) {
        let mut base = *world;
        base.faults -= 1;
        base.overwritten |= set(world.creds.token());

        let mut next = base;
        let family = world.families.iter().max().map_or(1, |last| last + 1);
        let token = next.make(family);
        next.fresh &= !set(token);
        next.creds = Creds::Has(token);
        next.copies |= set(token);
        self.push(What::Happens("a new pair is pasted"), NOBODY, next, None);
        self.excuse();

        for token in 1..=world.made {
            if has(world.copies, token) && world.creds != Creds::Has(token) {
                let mut next = base;
                next.creds = Creds::Has(token);
                next.overwritten &= !set(token);
                next.has_excuse |= has(world.used, token) && !world.is_known_as_used(token);
                self.push(What::Happens("an older copy is restored"), NOBODY, next, None);
                self.excuse();
            }
        }

        if let Creds::Has(token) = world.creds
            && token != GARBLED
        {
            let mut next = base;
            let made = next.refresh(&self.rules, token);
            if made != NONE {
                next.used_by_others |= set(token);
                next.has_excuse = true;
                next.creds = Creds::Has(made);
                next.copies |= set(made);
                self.push(
                    What::Happens("a program without the lock refreshes"),
                    NOBODY,
                    next,
                    None,
                );
                self.excuse();
            }
        }

        if world.creds != Creds::Unusable {
            let next = World { creds: Creds::Unusable, ..base };
            self.push(What::Happens("creds.json is deleted"), NOBODY, next, None);
            self.excuse();
        }

        if world.is_locked() {
            let mut next = base;
            for program in &mut next.programs {
                if program.lock == Held::Named {
                    program.lock = Held::Unnamed;
                    // As after a kill at this moment: others see what is half written.
                    next.is_pair_lost |= program.at == At::FinishTorn && program.is_substitute;
                }
            }
            self.push(What::Happens("the lock file is deleted"), NOBODY, next, None);
        }
    }

    /// The steps of one program, and those that fail.
    fn advance(&mut self, world: &World, index: usize) {
        let program = world.programs[index];
        let at = program.at;
        let can_fail = world.faults > 0;
        let Program { pair, .. } = program;
        // What follows: the program's next step, in a world that has changed.
        let mut next = *world;
        macro_rules! me {
            () => {
                next.programs[index]
            };
        }
        macro_rules! does {
            ($then:expr) => {{
                me!().at = $then;
                if $then == At::Look && at != At::Waiting {
                    // Of no more use. Without reading under the lock, it is from now on.
                    me!().in_file = world.creds;
                }
                self.push(What::Does(at), index, next, None)
            }};
        }
        // A run ends. What it says of the tokens is held against the truth.
        macro_rules! ends {
            ($what:expr, $says_unchanged:expr) => {{
                let says_unchanged: bool = $says_unchanged;
                // A run that has finished an earlier one speaks of the new tokens.
                let token = if at < At::Rehearse { pair.next } else { pair.spent };
                let is_wrong = says_unchanged
                    && has(next.used & !next.used_by_others, token)
                    && !next.has_excuse;
                next.programs[index] = Program::default();
                self.push(
                    $what,
                    index,
                    next,
                    is_wrong.then_some("\"unchanged\" is said of used tokens"),
                )
            }};
        }
        macro_rules! fails {
            () => {{
                next = *world;
                next.faults -= 1;
            }};
        }
        // Without the lock a failure says nothing of the tokens: the run begins again.
        macro_rules! fails_before_sending {
            ($in_doubt:expr) => {{
                if program.lock == Held::Named || self.is_without(Without::LockConfirmedOnFailure) {
                    self.note(&mut next, index, $in_doubt);
                    ends!(What::Fails(at), !$in_doubt);
                } else {
                    self.let_go(next, index, What::Fails(at));
                }
            }};
        }
        let in_doubt = program.doubt || program.is_lost;
        let changes =
            matches!(at, At::DropRemove | At::AsideRename | At::FinishWrite | At::FinishRemove);
        if changes
            && program.lock != Held::Named
            && !self.is_without(Without::LockConfirmedInRecovery)
        {
            self.let_go(next, index, What::Happens("has lost the lock"));
            return;
        }
        match at {
            At::Idle => {}
            At::Waiting => {
                if has(world.fresh, world.creds.token()) {
                    ends!(What::Happens("adopts a token"), false);
                    next = *world;
                }
                let is_free = !world.is_locked() || self.is_without(Without::Lock);
                let is_in_use =
                    world.is_journal_in_use() && !self.is_without(Without::JournalLocked);
                if is_free && (!is_in_use || self.is_without(Without::Lock)) {
                    me!().lock = Held::Named;
                    does!(At::Look);
                } else if !program.has_waited {
                    me!().has_waited = true;
                    self.push(What::Happens("waits"), index, next, None);
                }
            }
            At::Look => self.look(world, index),
            At::DropRecord => {
                self.recorded(&mut next, pair);
                does!(At::DropRemove);
                if can_fail {
                    fails!();
                    next.has_excuse = true;
                    me!().at = At::DropRemove;
                    self.push(What::Fails(at), index, next, None);
                }
            }
            At::DropRemove => {
                next.journal = None;
                next.unname_journal();
                does!(At::Look);
                if can_fail {
                    fails!();
                    ends!(What::Fails(at), true);
                }
            }
            At::AsideRename => {
                if let Some(journal) = next.journal.take() {
                    if journal.pair.next != NONE && !self.is_without(Without::SettingAside) {
                        next.set_aside(journal.pair);
                    }
                    next.unname_journal();
                }
                does!(At::AsideRecord);
                if can_fail {
                    fails!();
                    ends!(What::Fails(at), false);
                }
            }
            At::AsideRecord | At::GiveWayRecord => {
                self.recorded(&mut next, pair);
                me!().journal = Held::No;
                does!(At::Look);
                if can_fail {
                    fails!();
                    next.has_excuse = true;
                    me!().journal = Held::No;
                    me!().at = At::Look;
                    self.push(What::Fails(at), index, next, None);
                }
            }
            At::FinishWrite | At::CommitWrite => {
                let is_finish = at == At::FinishWrite;
                let expected = if is_finish { program.in_file } else { program.expected };
                if world.creds != expected && !self.is_without(Without::LastLook) {
                    does!(if is_finish { At::Look } else { At::CommitLook });
                    return;
                }
                let then = match (self.rules.is_in_place, is_finish) {
                    (true, true) => At::FinishTorn,
                    (true, false) => At::CommitTorn,
                    (false, true) => At::FinishRecord,
                    (false, false) => At::CommitRecord,
                };
                let torn = [NONE, world.creds.token(), pair.next, GARBLED];
                let texts = if self.rules.is_in_place { &torn[..] } else { &torn[..1] };
                for &reads in texts {
                    next.creds = match self.rules.is_in_place {
                        true => Creds::Torn { reads, to: pair.next },
                        false => Creds::Has(pair.next),
                    };
                    next.copies |= set(pair.next);
                    does!(then);
                }
                if can_fail {
                    fails!();
                    if !is_finish && !program.is_saved && !self.is_without(Without::SavedElsewhere)
                    {
                        next.set_aside(pair);
                    }
                    if self.is_without(Without::KeepingJournal) {
                        next.journal = None;
                    }
                    ends!(What::Fails(at), false);
                }
            }
            At::FinishTorn | At::CommitTorn => {
                next.creds = Creds::Has(pair.next);
                if !matches!(world.creds, Creds::Torn { .. }) {
                    next.overwritten |= set(world.creds.token());
                }
                does!(if at == At::FinishTorn { At::FinishRecord } else { At::CommitRecord });
            }
            At::FinishRecord | At::CommitRecord => {
                let is_removed_first = self.is_without(Without::RecordFirst);
                if is_removed_first {
                    next.journal = None;
                    next.unname_journal();
                } else {
                    self.recorded(&mut next, pair);
                }
                let then = if at == At::FinishRecord { At::FinishRemove } else { At::CommitRemove };
                does!(then);
                if can_fail && !is_removed_first {
                    fails!();
                    next.has_excuse = true;
                    me!().at = then;
                    self.push(What::Fails(at), index, next, None);
                }
            }
            At::FinishRemove => {
                if self.is_without(Without::RecordFirst) {
                    self.recorded(&mut next, pair);
                }
                if program.is_substitute {
                    next.remove_aside_of(pair.next);
                    // It is not remembered that a run may have used it in vain.
                    next.has_excuse |= has(world.used, pair.next);
                } else {
                    next.journal = None;
                    next.unname_journal();
                }
                does!(At::Look);
                if can_fail {
                    fails!();
                    ends!(What::Fails(at), true);
                }
            }
            At::Rehearse => {
                let is_expected =
                    world.creds == program.in_file || self.is_without(Without::ReadUnderLock);
                does!(if is_expected { At::Begin } else { At::Look });
                if can_fail && is_expected {
                    fails!();
                    fails_before_sending!(in_doubt);
                }
            }
            At::Begin => {
                if !self.is_held(world, &program) {
                    self.let_go(next, index, What::Happens("has lost the lock"));
                    return;
                }
                next.unname_journal();
                let begun = Pair { spent: pair.spent, next: NONE };
                next.journal = Some(JournalFile { pair: begun, failure: None });
                me!().journal = Held::Named;
                does!(At::Connect);
                if can_fail {
                    fails!();
                    fails_before_sending!(in_doubt);
                }
            }
            At::Connect => {
                let is_held = program.is_lost
                    || program.lock == Held::Named
                    || self.is_without(Without::LockConfirmed)
                    || self.is_without(Without::Lock);
                if is_held {
                    does!(At::Send);
                } else {
                    self.let_go(next, index, What::Happens("withholds the token"));
                }
                if can_fail {
                    fails!();
                    fails_before_sending!(in_doubt);
                }
            }
            At::Send => {
                let sends = |other: &Program| (At::Sent..=At::Save).contains(&other.at);
                let breach = if world.programs.iter().any(sends) {
                    Some("two programs send at once")
                } else if pair.spent == GARBLED && !world.is_pair_lost {
                    Some("a torn token is sent")
                } else if world.is_known_as_used(pair.spent)
                    || has(world.answered, pair.spent) && !world.has_excuse
                {
                    Some("a used token is sent")
                } else if program.uses >= 2 || program.uses == 1 && !program.is_lost {
                    Some("a token is sent a third time")
                } else {
                    None
                };
                me!().uses += 1;
                me!().at = At::Sent;
                self.push(What::Does(at), index, next, breach);
            }
            At::Sent => {
                me!().pair.next = next.refresh(&self.rules, pair.spent);
                let is_dead = has(world.dead, pair.spent);
                let is_refused = me!().pair.next == NONE && !is_dead;
                let breach = (is_refused && !world.is_pair_lost && !world.has_excuse)
                    .then_some("a family is lost");
                me!().at = At::Arriving;
                self.push(What::Does(at), index, next, breach);
                if !can_fail {
                    return;
                }
                fails!();
                self.lose(next, index, "the request is lost");
                fails!();
                if self.is_sent_again(&program, Outcome::Busy { wait: None }) {
                    me!().has_been_busy = true;
                    me!().uses -= 1;
                    me!().at = At::Connect;
                    self.push(What::Happens("is told to wait"), index, next, None);
                } else {
                    self.note(&mut next, index, in_doubt);
                    ends!(What::Happens("is told to wait"), !in_doubt);
                }
                fails!();
                self.note(&mut next, index, in_doubt);
                ends!(What::Happens("is refused"), !in_doubt);
            }
            At::Arriving => {
                does!(if pair.next == NONE { At::Refused } else { At::Save });
                if can_fail {
                    fails!();
                    me!().pair.next = NONE;
                    next.is_pair_lost |= !self.rules.has_grace;
                    self.lose(next, index, "the response is lost");
                }
            }
            At::Save => {
                me!().is_saved = true;
                if let (Held::Named, Some(journal), false) =
                    (program.journal, &mut next.journal, self.is_without(Without::Journal))
                {
                    journal.pair = pair;
                }
                next.answered |= set(pair.spent);
                does!(At::CommitLook);
                if can_fail {
                    fails!();
                    me!().at = At::CommitLook;
                    self.push(What::Fails(at), index, next, None);
                }
            }
            At::CommitLook => {
                let now = match world.creds.token() {
                    NONE if matches!(world.creds, Creds::Torn { .. }) => Now::Damaged,
                    NONE => Now::Nothing,
                    token => Now::Token(*self.digest(token)),
                };
                let before = *self.digest(program.in_file.token());
                let gives_way = recovery::commit(now, before) == Commit::GiveWay
                    && !self.is_without(Without::GivingWay);
                me!().expected = world.creds;
                does!(if gives_way { At::GiveWay } else { At::CommitWrite });
            }
            At::CommitRemove => {
                if self.is_without(Without::RecordFirst) {
                    self.recorded(&mut next, pair);
                }
                next.journal = None;
                next.unname_journal();
                if program.is_substitute {
                    next.remove_aside_of(pair.spent);
                }
                ends!(What::Does(at), false);
                if can_fail {
                    fails!();
                    ends!(What::Fails(at), false);
                }
            }
            At::GiveWay => {
                if program.is_saved {
                    if let Some(journal) = next.journal.take() {
                        if journal.pair.next != NONE && !self.is_without(Without::SettingAside) {
                            next.set_aside(journal.pair);
                        }
                        next.unname_journal();
                    }
                } else {
                    next.set_aside(pair);
                }
                does!(At::GiveWayRecord);
                if can_fail {
                    fails!();
                    // It is lost if the journal did not take it, either: no disk takes anything.
                    me!().journal = Held::No;
                    me!().at = At::Look;
                    self.push(What::Fails(at), index, next, None);
                    if !program.is_saved {
                        self.excuse();
                    }
                }
            }
            At::Refused => {
                self.note(&mut next, index, in_doubt);
                if program.is_substitute {
                    next.remove_aside_of(pair.spent);
                    does!(At::Substitute);
                } else if world.creds != program.in_file {
                    me!().journal = Held::No;
                    does!(At::Look);
                } else {
                    does!(At::Substitute);
                }
            }
            At::Substitute => {
                me!().journal = Held::No;
                let account = world.families[usize::from(program.in_file.token() % GARBLED)];
                let account = self.accounts[usize::from(account.min(1))].account_digest();
                let substitute = world.aside().rev().enumerate().find(|(place, pair)| {
                    *place >= usize::from(program.tried)
                        && recovery::may_replace(&self.saved(world, pair), account)
                });
                let Some((place, substitute)) = substitute else {
                    ends!(What::Does(at), false);
                    return;
                };
                next.programs[index] = Program {
                    at: At::Rehearse,
                    lock: program.lock,
                    in_file: program.in_file,
                    pair: Pair { spent: substitute.next, next: NONE },
                    // A dead one is removed, so that the next is in its place.
                    tried: u8::try_from(place).unwrap_or(u8::MAX),
                    is_substitute: true,
                    doubt: !self.is_without(Without::DoubtOfSubstitutes),
                    has_waited: program.has_waited,
                    has_news: program.has_news,
                    ..Program::default()
                };
                self.push(What::Does(at), index, next, None);
            }
        }
    }

    fn look(&mut self, world: &World, index: usize) {
        let program = world.programs[index];
        let creds =
            if self.is_without(Without::ReadUnderLock) { program.in_file } else { world.creds };
        let (kept, decision) = self.decide(world, creds);
        let mut next = *world;
        for place in (0..world.aside().len()).rev() {
            if !kept[place] {
                next.remove_aside(place);
            }
        }
        let me = &mut next.programs[index];
        *me = Program {
            lock: program.lock,
            has_waited: program.has_waited,
            has_news: program.has_news,
            in_file: creds,
            ..Program::default()
        };
        let journal = world.journal.map(|journal| journal.pair).unwrap_or_default();
        let decision = match decision {
            Decision::Fail | Decision::Nothing { .. } => decision,
            _ if self.is_without(Without::Recovery) => Decision::Nothing { doubt: false },
            decision => decision,
        };
        let mut breach = None;
        match decision {
            Decision::Nothing { .. } if has(world.fresh, creds.token()) => *me = Program::default(),
            Decision::Nothing { doubt } => {
                let doubt = doubt && !self.is_without(Without::Doubt);
                let failure = world
                    .journal
                    .filter(|found| found.failure.is_some() && found.pair.spent == creds.token());
                if let Some(JournalFile { failure: Some(in_doubt), .. }) = failure
                    && recovery::is_news(
                        &Note::<Digest> { in_doubt, unused: None, age: 1 },
                        program.has_waited,
                        if program.has_news { 2 } else { 0 },
                    )
                {
                    *me = Program::default();
                } else {
                    me.at = At::Rehearse;
                    me.pair = Pair { spent: creds.token(), next: NONE };
                    me.doubt = doubt;
                    let is_used = has(world.used & !world.used_by_others, creds.token())
                        && !has(world.answered, creds.token());
                    if is_used && !doubt && !world.has_excuse && !self.is_without(Without::Doubt) {
                        breach = Some("it is forgotten that the token may be used");
                    }
                }
            }
            Decision::DropJournal => (me.at, me.pair) = (At::DropRecord, journal),
            Decision::SetJournalAside => (me.at, me.pair) = (At::AsideRename, journal),
            Decision::CommitJournal => (me.at, me.pair) = (At::FinishWrite, journal),
            Decision::Restore(place) => {
                me.at = At::FinishWrite;
                let pair = next.aside().nth(place).unwrap_or_default();
                let me = &mut next.programs[index];
                (me.pair, me.is_substitute) = (pair, true);
            }
            Decision::Fail => *me = Program::default(),
        }
        self.push(What::Does(At::Look), index, next, breach);
    }

    /// Whether a program still is the only one, right before it begins its journal.
    fn is_held(&self, world: &World, program: &Program) -> bool {
        let is_in_use = world.is_journal_in_use() && !self.is_without(Without::JournalLocked);
        program.lock == Held::Named && !is_in_use
            || self.is_without(Without::LockConfirmed)
            || self.is_without(Without::Lock)
    }

    fn recorded(&self, world: &mut World, pair: Pair) {
        if !self.is_without(Without::Record) {
            world.record(pair);
        }
    }

    /// Notes a failure in the journal, for those that wait.
    fn note(&self, world: &mut World, index: usize, in_doubt: bool) {
        if let (Held::Named, Some(journal)) = (world.programs[index].journal, &mut world.journal) {
            journal.failure = Some(in_doubt);
            for program in world.programs.iter_mut().filter(|program| program.at != At::Idle) {
                program.has_news = true;
            }
        }
    }

    /// A run that has lost the lock begins again; the journal of a token that was not sent goes.
    fn let_go(&mut self, mut world: World, index: usize, what: What) {
        let program = world.programs[index];
        let is_kept = program.doubt && !self.is_without(Without::DoubtKept);
        if program.journal == Held::Named && !is_kept {
            world.journal = None;
            world.unname_journal();
        }
        world.programs[index] = Program { at: At::Waiting, has_waited: true, ..Program::default() };
        self.push(what, index, world, None);
    }

    /// The request or the response is lost: the token is in doubt.
    fn lose(&mut self, mut world: World, index: usize, what: &'static str) {
        let program = world.programs[index];
        if self.is_sent_again(&program, Outcome::InDoubt { wait: None }) {
            world.programs[index].is_lost = true;
            world.programs[index].at = At::Connect;
        } else {
            self.note(&mut world, index, true);
            world.programs[index] = Program::default();
        }
        self.push(What::Happens(what), index, world, None);
    }
}

/// What an exploration has seen.
struct Explored {
    states: usize,
    steps: usize,
    /// Where programs were, as bits, and what was decided under the lock.
    places: u64,
    decided: HashSet<Discriminant<Decision>>,
    /// What went wrong, and the shortest way to it.
    breach: Option<(&'static str, Vec<String>)>,
}

/// Walks through every state, the nearest first, until a promise is broken.
fn explore(rules: Rules) -> Explored {
    let mut explorer = Explorer::new(rules);
    let Walked { states, steps, breach, .. } = walk(&mut explorer, World::new(&rules));
    let decided = explorer.decided.values().map(|(_, decision)| discriminant(decision)).collect();
    Explored { states, steps, places: explorer.places, decided, breach }
}

const PLAIN: Rules = Rules {
    programs: 2,
    faults: 2,
    runs: 4,
    has_grace: false,
    has_replay_protection: true,
    is_in_place: false,
    is_same_account: true,
    is_set_aside: false,
    without: None,
};

fn assert_kept(world: &str, rules: Rules) -> Explored {
    let start = Instant::now();
    let explored = explore(rules);
    let Explored { states, steps, breach, .. } = &explored;
    let seconds = start.elapsed().as_secs_f32();
    println!("{world}: {states} states, {steps} steps, {seconds:.1} s");
    if let Some((what, trace)) = breach {
        panic!("{world}: {what}:\n{}", trace.join("\n"));
    }
    explored
}

#[test]
fn two_programs_keep_the_promises_with_two_faults() {
    assert_kept("two programs", PLAIN);
    assert_kept("with a grace period", Rules { has_grace: true, ..PLAIN });
    let rules = Rules { has_replay_protection: false, ..PLAIN };
    assert_kept("without replay protection", rules);
}

#[test]
fn two_programs_keep_the_promises_with_pairs_set_aside() {
    let rules = Rules { is_set_aside: true, ..PLAIN };
    assert_kept("a pair set aside", rules);
    assert_kept("of another account", Rules { is_same_account: false, ..rules });
    assert_kept("pasted of another account", Rules { is_same_account: false, ..PLAIN });
}

#[test]
fn two_programs_keep_the_promises_where_creds_json_is_written_in_place() {
    let explored = assert_kept("written in place", Rules { is_in_place: true, ..PLAIN });
    // Nothing is kept because nothing happens.
    let everywhere = (1 << (At::Substitute as u8 + 1)) - 1;
    assert_eq!(explored.places, everywhere, "{:b}", explored.places);
    for decision in [
        Decision::Nothing { doubt: true },
        Decision::DropJournal,
        Decision::SetJournalAside,
        Decision::CommitJournal,
        Decision::Restore(0),
        Decision::Fail,
    ] {
        assert!(explored.decided.contains(&discriminant(&decision)), "{decision:?}");
    }
}

#[test]
fn three_programs_keep_the_promises_with_one_fault() {
    let rules = Rules { programs: 3, faults: 1, runs: 5, ..PLAIN };
    assert_kept("three programs", rules);
    assert_kept("three programs, with a grace period", Rules { has_grace: true, ..rules });
}

#[test]
fn each_rule_is_needed() {
    const LOST: &str = "a living pair is lost";
    const TWO: &str = "two programs send at once";
    const USED: &str = "a used token is sent";
    const FORGOTTEN: &str = "it is forgotten that the token may be used";
    const UNTRUE: &str = "\"unchanged\" is said of used tokens";
    for (rule, expected) in [
        (Without::Lock, TWO),
        (Without::ReadUnderLock, FORGOTTEN),
        (Without::Recovery, LOST),
        (Without::Journal, LOST),
        (Without::LockConfirmed, TWO),
        (Without::LockConfirmedInRecovery, FORGOTTEN),
        (Without::LockConfirmedOnFailure, UNTRUE),
        (Without::JournalLocked, TWO),
        (Without::GivingWay, LOST),
        (Without::LastLook, LOST),
        (Without::Record, USED),
        (Without::RecordFirst, USED),
        (Without::SettingAside, LOST),
        (Without::KeepingAside, LOST),
        (Without::KeepingJournal, LOST),
        (Without::SavedElsewhere, LOST),
        (Without::Doubt, UNTRUE),
        (Without::DoubtKept, FORGOTTEN),
        (Without::DoubtOfSubstitutes, UNTRUE),
        (Without::TwiceAtMost, "a token is sent a third time"),
        (Without::TornKnown, "a torn token is sent"),
    ] {
        let rules = Rules {
            is_set_aside: rule == Without::DoubtOfSubstitutes,
            is_in_place: rule == Without::TornKnown,
            without: Some(rule),
            ..PLAIN
        };
        // With as few faults as it takes.
        let breach = (0..=2).find_map(|faults| explore(Rules { faults, ..rules }).breach);
        let (what, trace) = breach.unwrap_or_else(|| panic!("nothing is wrong without {rule:?}"));
        println!("{rule:?}: {what}, {} steps: {}", trace.len(), trace.join(", "));
        assert_eq!(what, expected, "{rule:?}");
    }
}
