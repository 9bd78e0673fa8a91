//! Programs that are killed at any moment, beside people who restore older copies, paste new tokens and
//! delete lock files: after each step the promises of ROTATION.md hold.
//!
//! It takes as long as it is given, in seconds, so it is a command of its own. The seed gives the same
//! steps again, though not the same moments within the programs:
//!
//! ```text
//! CHAOS=300 SEED=7 cargo test -p aac-auth --test crash chaos -- --ignored --nocapture
//! ```

use aac_sandbox::{Options, Tokens};
use acceptance::{Case, Run, sha256};
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Longer than any step takes where nothing hangs.
const SLOW: Duration = Duration::from_secs(60);

/// What the programs and the people did, and what came of it.
#[derive(Debug, Default)]
struct Figures {
    rounds: usize,
    runs: usize,
    kills: usize,
    restores: usize,
    pastes: usize,
    deletions: usize,
    /// How the runs ended that were not killed.
    outcomes: HashMap<Outcome, usize>,
    /// How the rounds ended.
    ends: HashMap<Outcome, usize>,
    /// Pastes between the last look at creds.json and its replacement: see ROTATION.md, what cannot be
    /// promised.
    overwritten_pastes: usize,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Outcome {
    Ok,
    /// The newer pair is not on this machine.
    OlderCopy,
    /// The token was used by a program that was killed, on a server without a grace period.
    Refused,
    /// The API turned an access token down that looked fresh, for a second time: one that was revoked came
    /// back with a restored copy or a saved pair.
    Rejected,
}

impl Outcome {
    /// `None`: nothing here explains it.
    fn of(run: &Run) -> Option<Self> {
        match run.code {
            Some(0) => Some(Self::Ok),
            Some(4) if run.stderr.contains("it was replaced by an older copy") => {
                Some(Self::OlderCopy)
            }
            Some(4) if run.stderr.contains("is refused") => Some(Self::Refused),
            Some(4) if run.stderr.contains(" 401 ") => Some(Self::Rejected),
            _ => None,
        }
    }
}

/// A sandbox and a folder, for as many steps as they live.
struct Round {
    case: Case,
    has_grace: bool,
    /// creds.json as it was before each step.
    copies: Vec<Vec<u8>>,
    has_pasted: bool,
    has_restored: bool,
    has_revoked: bool,
    has_killed: bool,
    /// Sent while programs were killed, so that their responses may be lost.
    cut_off: HashSet<String>,
    trace: Vec<String>,
}

impl Round {
    fn new(random: &mut TestRng) -> Self {
        let (is_sealed, has_grace) = (random.random(), random.random_ratio(3, 4));
        let grace = Duration::from_secs(if has_grace { 600 } else { 0 });
        let latency = Duration::from_millis(random.random_range(0..25));
        let options = Options { grace, latency, token_lifetime: 2, ..Options::default() };
        Self {
            case: Case::expired(options).sealed(is_sealed),
            has_grace,
            copies: Vec::new(),
            has_pasted: false,
            has_restored: false,
            has_revoked: false,
            has_killed: false,
            cut_off: HashSet::new(),
            trace: vec![format!("sealed: {is_sealed}, grace: {has_grace}, latency: {latency:?}")],
        }
    }

    /// Some programs at once, and something happens to each.
    fn step(&mut self, random: &mut TestRng, figures: &mut Figures) {
        self.copies.extend(fs::read(self.case.creds()));
        let mut what = String::new();
        if random.random_ratio(2, 3) {
            self.revoke();
            what += "revoke ";
        }
        let used = self.used_tokens();
        let already_sent = self.case.sent_tokens().len();
        let start = Instant::now();
        let programs = self.case.start(random.random_range(1..5));
        let (mut running, mut pasted, mut kills) = (Vec::new(), None, 0);
        for mut program in programs {
            // Any moment will do, so there is none to be awaited.
            thread::sleep(Duration::from_millis(random.random_range(0..30)));
            what += &format!("{:?} ", start.elapsed());
            match random.random_range(0..12) {
                0..4 => {
                    program.kill().unwrap();
                    let was_killed = program.wait().unwrap().code().is_none();
                    kills += usize::from(was_killed);
                    self.has_killed |= was_killed;
                    what += "kill; ";
                    continue;
                }
                4 if !self.copies.is_empty() => {
                    let copy = random.random_range(0..self.copies.len());
                    fs::write(self.case.creds(), &self.copies[copy]).unwrap();
                    (self.has_restored, pasted) = (true, None);
                    figures.restores += 1;
                    what += &format!("restore {copy}; ");
                }
                5 => {
                    let is_fresh = random.random();
                    pasted = Some(self.paste(is_fresh));
                    self.has_pasted = true;
                    figures.pastes += 1;
                    what += &format!("paste, fresh: {is_fresh}; ");
                }
                6 | 7 => {
                    // There may be none yet.
                    let deleted = fs::remove_file(self.case.path("creds.json.lock"));
                    figures.deletions += usize::from(deleted.is_ok());
                    what += "delete the lock; ";
                }
                _ => what += "nothing; ",
            }
            running.push(program);
        }
        self.trace.push(what);
        figures.kills += kills;
        for program in running {
            let outcome = self.end(program);
            figures.runs += 1;
            *figures.outcomes.entry(outcome).or_default() += 1;
        }
        self.check(start.elapsed() < SLOW, "a step took too long");
        let sent = self.check_sent(&used, already_sent);
        if kills > 0 {
            self.cut_off.extend(sent);
        }
        self.check(self.token().is_some(), "creds.json is not whole");
        if !self.has_pasted {
            self.case.assert_hidden();
        }
        if let Some(pasted) = pasted
            && !self.is_kept(&pasted)
        {
            figures.overwritten_pastes += 1;
            eprintln!("a paste was overwritten: {:#?}", self.trace);
        }
    }

    fn revoke(&mut self) {
        self.case.sandbox.revoke_access_tokens();
        self.has_revoked = true;
    }

    fn paste(&self, is_fresh: bool) -> Tokens {
        let sandbox = &self.case.sandbox;
        let tokens = if is_fresh { sandbox.issue() } else { sandbox.issue_expired() };
        fs::write(self.case.creds(), acceptance::creds_with(&tokens)).unwrap();
        tokens
    }

    /// Waits for a program, and judges what came of it.
    fn end(&mut self, program: Child) -> Outcome {
        let run = Run::from(program);
        self.trace.push(format!("  {:?} {}", run.code, run.stderr.trim()));
        let outcome = Outcome::of(&run);
        let is_explained = outcome.is_some_and(|outcome| match outcome {
            Outcome::Ok => true,
            Outcome::OlderCopy => self.has_restored,
            Outcome::Refused => !self.has_grace && self.has_killed,
            Outcome::Rejected => self.has_revoked && (self.has_restored || self.has_killed),
        });
        self.check(is_explained, "a program failed in a way that nothing explains");
        outcome.unwrap()
    }

    /// The last run of a round, with nobody else around: what is there is of use.
    fn finish(&mut self) -> Outcome {
        self.revoke();
        self.trace.push("the last run: revoke".to_owned());
        let mut outcome = self.run_alone();
        if outcome == Outcome::Rejected {
            // A saved pair came first, whose access token has just been revoked.
            self.trace.push("once more".to_owned());
            outcome = self.run_alone();
        }
        match outcome {
            Outcome::Ok => {
                let is_live = self.token().is_some_and(|token| self.case.sandbox.is_live(&token));
                self.check(is_live, "creds.json is of no use, though a run succeeded");
            }
            Outcome::OlderCopy => {}
            Outcome::Refused => {
                let is_cut_off = self.token().is_some_and(|token| self.cut_off.contains(&token));
                self.check(is_cut_off, "a pair was lost");
                let at_hand = self.live_tokens();
                self.check(at_hand.is_empty(), "a living pair was not used");
            }
            Outcome::Rejected => self.check(false, "rejected twice"),
        }
        let counters = self.case.sandbox.counters();
        let may_reuse = !self.has_grace && !self.cut_off.is_empty();
        self.check(counters.reused == 0 || may_reuse, "a used token was sent");
        let damaged = self.case.names().iter().any(|name| name.contains(".damaged"));
        self.check(!damaged, "whole files were taken for damaged ones");
        outcome
    }

    fn run_alone(&mut self) -> Outcome {
        let used = self.used_tokens();
        let already_sent = self.case.sent_tokens().len();
        let program = self.case.start(1).pop().unwrap();
        let outcome = self.end(program);
        self.check_sent(&used, already_sent);
        outcome
    }

    /// Of what was known as used before a step, nothing was sent in it. Gives what was.
    fn check_sent(&mut self, used: &HashSet<String>, already_sent: usize) -> Vec<String> {
        let sent = self.case.sent_tokens().split_off(already_sent);
        let is_used = sent.iter().any(|token| used.contains(&sha256(token.as_bytes())));
        self.check(!is_used, "a token was sent that is known to have been used");
        sent
    }

    /// The hashes of the tokens that the record and the journals name a successor for.
    fn used_tokens(&self) -> HashSet<String> {
        let record = fs::read_to_string(self.case.path("creds.json.spent")).unwrap_or_default();
        let recorded = record.lines().filter_map(|line| line.split(' ').next());
        let mut used: HashSet<_> = recorded.map(str::to_owned).collect();
        let names = self.case.names().into_iter();
        for name in names.filter(|name| name.starts_with("creds.json.rotation")) {
            let journal = fs::read(self.case.path(&name)).unwrap();
            used.extend(acceptance::answered(&journal));
        }
        used
    }

    /// The refresh token in creds.json.
    fn token(&self) -> Option<String> {
        let creds: Value = serde_json::from_slice(&self.case.said()).ok()?;
        Some(creds["refresh_token"].as_str()?.to_owned())
    }

    /// Whether pasted tokens are in use, beside creds.json, or used up.
    fn is_kept(&self, pasted: &Tokens) -> bool {
        let token = &pasted.refresh_token;
        self.used_tokens().contains(&sha256(token.as_bytes())) || self.case.keeps(token.as_bytes())
    }

    /// The refresh tokens in the folder, wherever they are, that the server would take.
    fn live_tokens(&self) -> Vec<String> {
        let mut live = Vec::new();
        for content in self.case.contents() {
            let text = String::from_utf8_lossy(&content);
            let strings = text.split('"').filter(|part| self.case.sandbox.is_live(part));
            live.extend(strings.map(str::to_owned));
        }
        live
    }

    /// Fails the test, unless it holds, with all that happened in this round; its folder stays.
    #[track_caller]
    fn check(&mut self, holds: bool, what: &str) {
        if !holds {
            self.case.folder.disable_cleanup(true);
            panic!(
                "{what}\n{:#?}\n{:?}\n{:?}",
                self.trace,
                self.case.sandbox.counters(),
                self.case.folder.path()
            );
        }
    }
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect(name))
}

#[test]
#[ignore = "takes a minute, or what CHAOS says: see the head of this file"]
fn chaos() {
    let end = Instant::now() + Duration::from_secs(number("CHAOS").unwrap_or(60));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = number("SEED").unwrap_or(now.as_secs());
    eprintln!("SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut figures = Figures::default();
    while Instant::now() < end {
        let mut round = Round::new(&mut random);
        for _ in 0..random.random_range(6..16) {
            round.step(&mut random, &mut figures);
        }
        let outcome = round.finish();
        *figures.ends.entry(outcome).or_default() += 1;
        figures.rounds += 1;
    }
    eprintln!("{figures:#?}");
    let few = figures.pastes / 100 + 1;
    assert!(figures.overwritten_pastes <= few, "pastes are overwritten too often");
}
