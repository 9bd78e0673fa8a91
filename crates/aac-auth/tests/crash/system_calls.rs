//! A rotating run, killed at each of its system calls, with each disk call failing in turn, and on
//! disks that are full, read-only or mounted in odd ways.
//!
//! A minute of work, for which strace and the right to mount are needed, so it is a command of its own:
//!
//! ```text
//! cargo test -p aac-auth --test crash system_calls -- --ignored --nocapture --test-threads 1
//! ```

use aac_sandbox::{Fault, FaultKind, Options, Tokens};
use acceptance::sealed::Key;
use acceptance::{Case, JOURNAL_LINE, KEY, Run, Running};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A system call of the main thread: its name, its number among those of its name, its line.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    nth: usize,
    line: String,
}

fn strace(case: &Case, output: &Path, inject: Option<&str>) -> Command {
    strace_at(case, output, &[], inject.as_slice())
}

/// The same, for calls on some of the files alone.
fn strace_at(case: &Case, output: &Path, files: &[&str], inject: &[&str]) -> Command {
    strace_of(acceptance::get_workspace(), case, output, files, inject)
}

fn strace_of(
    program: &Path,
    case: &Case,
    output: &Path,
    files: &[&str],
    inject: &[&str],
) -> Command {
    let mut command = acceptance::clean("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(output);
    for file in files {
        command.arg("-P").arg(case.path(file));
    }
    for inject in inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    case.connect(command.arg(program));
    command
}

/// Starts a program that such a thing happens to.
fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a program to have come so far.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come so far");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A program that stands still behind one of its system calls.
struct Stopped {
    program: Option<Running>,
    id: u32,
    trace: PathBuf,
}

/// The process that has stopped, once for each time.
fn halts(trace: &Path) -> Vec<u32> {
    let trace = fs::read_to_string(trace).unwrap_or_default();
    let halts = trace.lines().filter(|line| line.contains("stopped by SIGSTOP"));
    halts.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

impl Stopped {
    /// Waits until the program stands behind the first of these calls on this file.
    #[track_caller]
    fn at(case: &Case, trace: &str, file: &str, calls: &[&str]) -> Self {
        Self::program(acceptance::get_workspace(), case, trace, file, calls)
    }

    /// The same for another program.
    #[track_caller]
    fn program(program: &Path, case: &Case, trace: &str, file: &str, calls: &[&str]) -> Self {
        let calls = calls.iter().map(|call| call.replacen(':', ":signal=STOP:when=", 1));
        let calls: Vec<_> = calls.collect();
        let calls: Vec<_> = calls.iter().map(String::as_str).collect();
        let trace = case.path(trace);
        let program = Running::of(strace_of(program, case, &trace, &[file], &calls).arg("-v"));
        wait_until(|| !halts(&trace).is_empty());
        let id = halts(&trace)[0];
        Self { program: Some(program), id, trace }
    }

    /// Lets it go on as far as the next of the calls.
    #[track_caller]
    fn go_further(&self) {
        let before = halts(&self.trace).len();
        acceptance::kill("CONT", self.id);
        wait_until(|| halts(&self.trace).len() > before);
    }

    fn go_on(mut self) -> Running {
        acceptance::kill("CONT", self.id);
        self.program.take().unwrap()
    }
}

impl Drop for Stopped {
    /// Without strace it would stand still for ever.
    fn drop(&mut self) {
        if self.program.is_some() {
            acceptance::kill("KILL", self.id);
        }
    }
}

/// Another program has its response in a journal of its own, for this token. The first goes on, as one who has lost
/// the lock, and leaves that journal alone.
#[track_caller]
fn assert_journal_stays(case: &Case, first: Stopped, used: &str) {
    let second = Stopped::at(case, "second", "creds.json.rotation", &["fsync:1"]);
    let journal = || fs::read(case.path("creds.json.rotation")).unwrap_or_default();
    let saved = journal();
    assert_eq!(acceptance::answered(&saved), Some(acceptance::sha256(used.as_bytes())));

    let mut first = first.go_on();
    first.says("waiting for another program");
    assert!(journal() == saved, "the journal of the second stays: {:?}", case.names());
    second.go_on().end().assert_ok();
    first.end().assert_ok();
}

/// The calls of a run that nothing happens to; `None` where there is no strace, or it may not trace.
fn trace(case: &Case) -> Option<Vec<Call>> {
    let output = case.path("trace");
    let run = match strace(case, &output, None).output() {
        Ok(run) if run.status.success() => run,
        Ok(run) => {
            eprintln!("skipped: strace: {}", String::from_utf8_lossy(&run.stderr));
            return None;
        }
        Err(error) => {
            eprintln!("skipped: strace: {error}");
            return None;
        }
    };
    Run::from(run).assert_ok();
    Some(main_thread(&output))
}

/// The calls of the main thread in a file of strace's.
fn main_thread(output: &Path) -> Vec<Call> {
    let text = fs::read_to_string(output).unwrap();
    let main = text.split_whitespace().next().unwrap();
    let mut counts = HashMap::<String, usize>::new();
    let lines = text.lines().filter_map(|line| line.strip_prefix(main));
    let calls = lines
        .map(str::trim)
        .filter(|line| line.contains('(') && !line.starts_with(['<', '+', '-']));
    let calls = calls.map(|line| {
        let name = line.split('(').next().unwrap().to_owned();
        let nth = counts.entry(name.clone()).or_default();
        *nth += 1;
        Call { name, nth: *nth, line: line.to_owned() }
    });
    calls.collect()
}

/// The place of the call that sends the token, and that of the one after which the response is safe in
/// the journal, as far as a run came.
fn sent_and_saved(calls: &[Call]) -> (Option<usize>, Option<usize>) {
    let sent = calls.iter().position(|call| call.line.contains("grant_type="));
    let saved = sent.and_then(|sent| {
        let fsync = calls[sent..].iter().position(|call| call.name == "fsync")?;
        Some(sent + fsync)
    });
    (sent, saved)
}

/// Works off the indexes with as many threads as there are cores.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::SeqCst) {
                        index if index < count => work(index),
                        _ => break,
                    }
                }
            });
        }
    });
}

/// Files that are plain, and such that are sealed.
const EITHER: [bool; 2] = [false, true];

#[test]
#[ignore = "needs strace: see the head of this file"]
fn killed_at_every_system_call() {
    EITHER.into_iter().for_each(kill_at_every_system_call);
}

fn kill_at_every_system_call(is_sealed: bool) {
    let expired = |options| Case::expired(options).sealed(is_sealed);
    let Some(calls) = trace(&expired(Options::default())) else { return };
    let (sent, saved) = sent_and_saved(&calls);
    let (sent, saved) = (sent.expect("the request"), saved.expect("the journal's fsync"));
    eprintln!("{} system calls; sent at {sent}, the answer in the journal at {saved}", calls.len());
    for grace in [Duration::ZERO, Duration::from_secs(600)] {
        let [torn, dead, lost, passed] = <[Mutex<Vec<_>>; 4]>::default();
        // The first is the execve of the program, which is strace's own work.
        in_parallel(calls.len() - 1, |index| {
            let index = index + 1;
            let Call { name, nth, line } = &calls[index];
            let case = expired(Options { grace, ..Options::default() });
            let inject = format!("{name}:signal=KILL:when={nth}");
            let mut command = strace(&case, &case.path("trace"), Some(&inject));
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            let note = |list: &Mutex<Vec<_>>| {
                let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                list.push((index, line.clone()));
            };
            if status.success() && name != "exit_group" {
                note(&passed);
            }
            if !case.is_whole() {
                note(&torn);
            }
            case.assert_hidden();
            if case.run([""; 0]).code != Some(0) {
                // How far this run came, and not how far the first one had come with as many calls of
                // that name. The last call is where it was killed, and was not carried out.
                let own = main_thread(&case.path("trace"));
                let (sent, saved) = sent_and_saved(&own[..own.len() - 1]);
                let may_die = grace.is_zero() && sent.is_some() && saved.is_none();
                note(if may_die { &dead } else { &lost });
            }
        });
        let [torn, dead, lost, passed] =
            [torn, dead, lost, passed].map(|list| list.into_inner().unwrap());
        eprintln!(
            "sealed: {is_sealed}, grace {} s: {} points, {} torn, {} dead, {} not reached",
            grace.as_secs(),
            calls.len(),
            torn.len(),
            dead.len() + lost.len(),
            passed.len()
        );
        assert_eq!((torn, lost), (vec![], vec![]));
        // Where its memory happens to lie decides how often a program asks for more or gives some back,
        // and how its threads meet decides whether one wakes another.
        const VARY: [&str; 7] = ["brk", "futex", "madvise", "mmap", "mprotect", "mremap", "munmap"];
        let varies = |index: usize| VARY.contains(&&*calls[index].name);
        assert!(passed.iter().all(|(index, _)| varies(*index)), "{passed:?}");
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_copy_from_before_is_not_sent_wherever_the_refresh_was_killed() {
    EITHER.into_iter().for_each(kill_and_restore);
}

fn kill_and_restore(is_sealed: bool) {
    let Some(calls) = trace(&Case::expired(Options::default()).sealed(is_sealed)) else { return };
    let saved = sent_and_saved(&calls).1.expect("the journal's fsync");
    let calls = &calls[saved + 1..];
    let sent = Mutex::new(Vec::new());
    in_parallel(calls.len(), |index| {
        let Call { name, nth, line } = &calls[index];
        let case = Case::expired(Options::default()).sealed(is_sealed);
        let copy = fs::read(case.creds()).unwrap();
        let inject = format!("{name}:signal=KILL:when={nth}");
        Run::of(&mut strace(&case, &case.path("trace"), Some(&inject)));
        fs::write(case.creds(), copy).unwrap();
        let run = case.run([""; 0]);
        case.assert_hidden();
        // The newer pair is in the journal, or was in the file that the copy has replaced.
        let is_told = run.stderr.contains("it was replaced by an older copy");
        if case.sandbox.counters().token_requests != 1 || !(run.code == Some(0) || is_told) {
            sent.lock().unwrap().push((line.clone(), run));
        }
    });
    eprintln!("killed at {} calls after the journal's sync", calls.len());
    let sent = sent.into_inner().unwrap();
    assert!(sent.is_empty(), "{sent:#?}");
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn everything_is_on_the_disk_before_the_next_step() {
    EITHER.into_iter().for_each(see_what_is_on_the_disk);
}

fn see_what_is_on_the_disk(is_sealed: bool) {
    let refresh = || Case::expired(Options::default()).sealed(is_sealed);
    let Some(_) = trace(&refresh()) else { return };
    assert_synced("a refresh", &refresh(), &[]);
    assert_synced("a refresh in place", &in_place(refresh()), &[]);
    let case = refresh();
    let links = (0..4096).map(|number: u32| {
        let [used, next] =
            [number, number + 1].map(|number| acceptance::sha256(&number.to_le_bytes()));
        format!("{used} {next} 7\n")
    });
    fs::write(case.path("creds.json.spent"), links.collect::<String>()).unwrap();
    assert_synced("a refresh with a full record", &case, &[]);
    let case = refresh().cut_off();
    fs::write(case.creds(), "damaged").unwrap();
    assert_synced("a recovery over damage", &case, &[]);
    let case = refresh().cut_off();
    fs::write(case.creds(), "damaged").unwrap();
    fs::write(case.path("creds.json.damaged"), "damaged").unwrap();
    assert_synced("a recovery over damage that was kept", &case, &["/creds.json.damaged"]);
    let case = refresh().cut_off();
    fs::write(case.creds(), acceptance::creds_with(&case.sandbox.issue_expired())).unwrap();
    fs::write(case.path("creds.json.spent"), "").unwrap();
    assert_synced("a journal that is set aside", &case, &["/creds.json.rotation"]);
    // What another run has written, and was killed before it was on the disk: creds.json has the pair.
    for (saved, has_record) in [
        ("creds.json.rotation", false),
        ("creds.json.rotation", true),
        ("creds.json.rotation.old", false),
    ] {
        let case = refresh().cut_off();
        let journal = fs::read(case.path("creds.json.rotation")).unwrap();
        case.run([""; 0]).assert_ok();
        fs::write(case.path(saved), journal).unwrap();
        let mut unsynced = vec!["/creds.json", ""];
        match has_record {
            true => unsynced.push("/creds.json.spent"),
            false => fs::write(case.path("creds.json.spent"), "").unwrap(),
        }
        case.sandbox.revoke_access_tokens();
        assert_synced(&format!("a pair in {saved} and creds.json"), &case, &unsynced);
    }
    let before = if is_sealed { Before::Sealed } else { Before::Plain };
    let login = Login::over(before);
    let run = Run::of(&mut login.command(Some(&["-y"])));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_trace_is_synced("a login", &login.case, &login.trace(), &[]);
}

/// Checks that nothing is sent, no file gets its name and no saved pair goes before all that was written,
/// and all names, are on the disk. `unsynced`: what another run has written, and not synced.
#[track_caller]
fn assert_synced(what: &str, case: &Case, unsynced: &[&str]) {
    let output = case.path("trace");
    let mut command = acceptance::clean("strace");
    command.args(["-f", "-y", "-s", "64", "-o"]).arg(&output).arg(acceptance::get_workspace());
    Run::of(case.connect(&mut command)).assert_ok();
    assert_trace_is_synced(what, case, &output, unsynced);
}

#[track_caller]
fn assert_trace_is_synced(what: &str, case: &Case, trace: &Path, unsynced: &[&str]) {
    let trace = fs::read_to_string(trace).unwrap();
    let main = trace.split_whitespace().next().unwrap();
    let folder = case.folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    let (mut unsynced, mut steps) = (unsynced.iter().copied().collect::<HashSet<_>>(), 0);
    for line in trace.lines().filter_map(|line| line.strip_prefix(main)).map(str::trim) {
        let failed = line.contains(" = -1 ");
        let Some((call, args)) = line.split_once('(').filter(|_| !failed) else { continue };
        // The files of the call, by their names in the folder; the folder has none. What is written may
        // name one as well.
        let files = if call == "write" { args.split(',').next().unwrap() } else { args };
        let names = files.match_indices(&folder).map(|(at, folder)| &files[at + folder.len()..]);
        let names: Vec<_> = names.map(|name| name.split(['>', '"']).next().unwrap()).collect();
        let is_step = match call {
            "rename" => true,
            "unlink" => names[0].contains(".rotation"),
            _ => args.contains("grant_type="),
        };
        if is_step {
            assert!(unsynced.is_empty(), "{what}: {unsynced:?} before {line}");
            steps += 1;
        }
        match (call, &names[..]) {
            ("write" | "ftruncate", [name]) => drop(unsynced.insert(*name)),
            ("fsync", [name]) => drop(unsynced.remove(name)),
            ("rename", _) => drop(unsynced.insert("")),
            ("unlink", [name]) => drop(unsynced.remove(name)),
            // The lock file is empty, and one that gets another name does not need this one.
            ("openat", [name, ..]) if args.contains("O_CREAT") && !name.contains(".lock") => {
                unsynced.extend([*name, if name.contains(".new") { *name } else { "" }]);
            }
            _ => {}
        }
    }
    assert!(steps > 1, "{what}: {trace}");
    assert!(unsynced.is_empty(), "{what}: {unsynced:?} at the end");
}

/// Also to a file that is gone again, wherever that was.
#[test]
#[ignore = "needs strace: see the head of this file"]
fn nothing_that_is_written_has_a_part_of_a_token_if_all_is_sealed() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    for is_sealed in EITHER {
        let expired = || Case::expired(Options::default()).sealed(is_sealed);
        let (damaged, aside) = (expired().cut_off(), expired().cut_off());
        fs::write(damaged.creds(), "damaged").unwrap();
        fs::rename(aside.path("creds.json.rotation"), aside.path("creds.json.rotation.old"))
            .unwrap();
        fs::remove_file(aside.creds()).unwrap();
        let refused = Fault::token(FaultKind::BadAccessToken);
        let unused = Case::expired(Options { faults: vec![refused], ..Options::default() });
        let (unused, mounted) = (unused.sealed(is_sealed), in_place(expired()));
        for case in [&expired(), &*mounted, &damaged, &aside, &unused] {
            let output = case.path("trace");
            let mut command = acceptance::clean("strace");
            command.args([
                "-f",
                "-y",
                "-s",
                "300000",
                "-e",
                "trace=/write|sendfile|splice|copy_file",
            ]);
            command.arg("-o").arg(&output).arg(acceptance::get_workspace());
            Run::of(case.connect(&mut command));
            let (traced, has_part) = (fs::read_to_string(output).unwrap(), case.parts());
            let to_files = traced.lines().filter(|line| !line.contains("<socket:"));
            let written: Vec<_> = to_files.filter(|line| has_part(line.as_bytes())).collect();
            assert!(
                traced.contains("creds.json.new>") && written.is_empty() == is_sealed,
                "{written:?}"
            );
        }
    }
}

/// A refresh comes between two looks of token_status.
#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_status_takes_no_refresh_for_an_older_copy() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    for is_sealed in EITHER {
        for read in ["read:1", "read:2"] {
            let case = Case::expired(Options::default()).sealed(is_sealed);
            let program = acceptance::program("token_status");
            let status = Stopped::program(program, &case, "trace", "creds.json", &[read]);
            case.run([""; 0]).assert_ok();
            let run = status.go_on().end();
            assert!(run.stdout.starts_with("state                usable\n"), "{read}: {run:?}");
        }
    }
}

/// What a login finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// A pair beside the journal of a refresh that was cut off.
    Plain,
    Sealed,
    /// A pair in a clone, whose creds.json git tracks: the new one goes home.
    Tracked,
}

/// A login over a pair that is good.
struct Login {
    before: Before,
    case: Case,
    home: TempDir,
    new: Tokens,
    /// The refresh token of the good pair.
    old: String,
}

impl Login {
    fn over(before: Before) -> Self {
        let case = Case::expired(Options::default()).sealed(before == Before::Sealed);
        let mut case = case.cut_off();
        let journal = fs::read(case.path("creds.json.rotation")).unwrap();
        let sealed = Key::of(KEY).open_all(&journal).into_iter();
        let contents = sealed.chain([journal[JOURNAL_LINE..].to_vec()]);
        let mut responses = contents.filter_map(|content| {
            let mut values = serde_json::Deserializer::from_slice(&content).into_iter::<Value>();
            Some(values.next()?.ok()?["refresh_token"].as_str()?.to_owned())
        });
        let mut old = responses.find(|it| case.sandbox.is_live(it)).unwrap();
        if before == Before::Tracked {
            // Another pair is good; the first is saved beside it.
            case.tokens = case.sandbox.issue();
            old = case.tokens.refresh_token.clone();
            let aside = case.path("creds.json.rotation.old");
            fs::rename(case.path("creds.json.rotation"), aside).unwrap();
            for (name, text) in acceptance::PLACEHOLDERS {
                fs::write(case.path(name), text).unwrap();
            }
            for args in [&["init", "--quiet"][..], &["add", "creds.json", "client_id.txt"]] {
                let mut git = acceptance::clean("git");
                assert!(git.args(args).current_dir(&case.folder).status().unwrap().success());
            }
            case.sandbox.write_files(case.folder.path(), &case.tokens).unwrap();
        }
        let new = case.sandbox.issue();
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("pasted"), acceptance::creds_with(&new)).unwrap();
        Self { before, case, home, new, old }
    }

    fn in_place<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let command = self.case.connect(command);
        command.env("XDG_CONFIG_HOME", self.home.path());
        match self.before {
            // It is found.
            Before::Tracked => command.env_remove("AAC_DIR").current_dir(&self.case.folder),
            Before::Plain | Before::Sealed => command,
        }
    }

    /// The program, with strace and these flags of it, or without.
    fn command(&self, strace: Option<&[&str]>) -> Command {
        let login = acceptance::program("login");
        let mut command = match strace {
            Some(flags) => {
                let mut strace = acceptance::clean("strace");
                strace.args(["-f", "-s", "64", "-o"]).arg(self.trace()).args(flags).arg(login);
                strace
            }
            None => acceptance::clean(login),
        };
        command.args(["--tokens", "--yes"]);
        // Nothing keeps a key there.
        command.args((self.before == Before::Tracked).then_some("--plain"));
        let pasted = File::open(self.home.path().join("pasted")).unwrap();
        self.in_place(&mut command).stdin(pasted);
        command
    }

    fn trace(&self) -> PathBuf {
        self.home.path().join("trace")
    }

    fn calls(&self) -> Option<Vec<Call>> {
        match self.command(Some(&[])).output() {
            Ok(run) if run.status.success() => Some(main_thread(&self.trace())),
            run => {
                eprintln!("skipped: strace: {run:?}");
                None
            }
        }
    }

    /// Whether some file of a pair has this token, sealed or not.
    fn keeps(&self, token: &str) -> bool {
        let has_it = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(token);
        let mut paths = vec![self.case.folder.path().to_owned(), self.home.path().to_owned()];
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.file_name().unwrap().to_string_lossy().starts_with("creds.json") {
                let bytes = fs::read(path).unwrap();
                let opened = Key::of(KEY).open_all(&bytes);
                if has_it(&bytes) || opened.iter().any(|opened| has_it(opened)) {
                    return true;
                }
            }
        }
        false
    }

    /// What is wrong after it was cut off: the old pair or the new one is in use, and none is lost.
    fn flaw(&self) -> Option<String> {
        let use_it = || {
            let mut used = acceptance::clean(acceptance::program("access_token"));
            Run::of(self.in_place(&mut used))
        };
        let used = use_it();
        // In a clone, the placeholders are back but for the last.
        let is_between = self.before == Before::Tracked && self.keeps(&self.new.refresh_token);
        if used.code != Some(0) && !is_between {
            return Some(format!("no pair: {}", used.stderr));
        }
        if !self.keeps(&self.old) && (is_between || used.stdout.trim_end() == self.new.access_token)
        {
            return Some("the old pair is gone".to_owned());
        }
        // Between the two, the ID is gone.
        let sandbox = &self.case.sandbox;
        let settings = ["--url", sandbox.url(), "--client-id", sandbox.project_id()];
        let again = Run::of(self.command(None).args(settings));
        let is_in = again.code == Some(0) && use_it().stdout.trim_end() == self.new.access_token;
        self.case.assert_hidden();
        let counters = sandbox.counters();
        (!is_in || counters.reused > 0).then(|| format!("{counters:?}: {}", again.stderr))
    }
}

/// Has this happen at each of these calls of a login, from the first on one of its files.
fn in_turn_of_a_login(what: &[&str], names: &[&str]) {
    for before in [Before::Plain, Before::Sealed, Before::Tracked] {
        let Some(calls) = Login::over(before).calls() else { return };
        let start = calls.iter().position(|call| call.line.contains("creds.json")).unwrap();
        let is_wanted = |call: &&Call| names.is_empty() || names.contains(&&*call.name);
        let calls: Vec<_> = calls[start..].iter().filter(is_wanted).collect();
        let flaws = Mutex::new(Vec::new());
        in_parallel(calls.len() * what.len(), |index| {
            let (Call { name, nth, line }, what) =
                (calls[index / what.len()], what[index % what.len()]);
            let login = Login::over(before);
            let inject = format!("inject={name}:{what}:when={nth}");
            let run = Run::of(&mut login.command(Some(&["-e", &inject])));
            run.assert_hides(&[&login.new.access_token, &login.new.refresh_token]);
            if let Some(flaw) = login.flaw() {
                flaws.lock().unwrap().push(format!("{what} at {line}: {flaw}\n{}", run.stderr));
            }
        });
        let flaws = flaws.into_inner().unwrap();
        eprintln!("{before:?}: {} points, {} flaws", calls.len() * what.len(), flaws.len());
        assert!(flaws.is_empty(), "{flaws:#?}");
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_login_killed_at_every_system_call() {
    in_turn_of_a_login(&["signal=KILL"], &[]);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn every_disk_call_of_a_login_fails_in_turn() {
    let disk = ["openat", "write", "fsync", "rename", "unlink", "mkdir", "flock"];
    in_turn_of_a_login(&["error=ENOSPC", "error=EACCES"], &disk);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn every_disk_call_fails_in_turn() {
    for is_sealed in EITHER {
        fail_in_turn(|| Case::expired(Options::default()).sealed(is_sealed));
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn every_disk_call_of_a_recovery_fails_in_turn() {
    for is_sealed in EITHER {
        fail_in_turn(|| Case::expired(Options::default()).sealed(is_sealed).cut_off());
    }
}

fn fail_in_turn(prepare: impl Fn() -> Case + Sync) {
    const DISK: [&str; 15] = [
        "openat",
        "write",
        "fsync",
        "rename",
        "unlink",
        "flock",
        "ftruncate",
        "fchown",
        "fchmod",
        "read",
        "statx",
        "lseek",
        "fcntl",
        "readlink",
        "fstat",
    ];
    let Some(calls) = trace(&prepare()) else { return };
    // What comes before is the loading of the program.
    let start = calls.iter().position(|call| call.line.contains("creds.json")).unwrap();
    let calls: Vec<_> =
        calls[start..].iter().filter(|call| DISK.contains(&call.name.as_str())).collect();
    let errors = ["EIO", "ENOSPC", "EACCES", "EBUSY", "EDQUOT", "EROFS"];
    let (lost, outcomes) = (Mutex::new(Vec::new()), Mutex::new(HashMap::<String, usize>::new()));
    in_parallel(calls.len() * errors.len(), |index| {
        let (call, error) = (calls[index / errors.len()], errors[index % errors.len()]);
        let case = prepare();
        let inject = format!("{}:error={error}:when={}", call.name, call.nth);
        let run = Run::of(&mut strace(&case, &case.path("trace"), Some(&inject)));
        let outcome = match run.code {
            Some(0) if run.stderr.contains("saved in") => "went on, saved in the journal",
            Some(0) => "went on",
            _ if run.stderr.contains("saved in") => "failed, saved in the journal",
            _ if run.stderr.contains("your tokens are unchanged") => "your tokens are unchanged",
            _ if run.stderr.contains("cannot be read") => "a file could not be read",
            _ if run.stderr.contains("could not be saved anywhere") => "lost",
            _ if run.stderr.contains("may have been used") => "may have been used",
            _ if case.sandbox.is_live(&case.refresh_token()) => "failed, with the tokens alive",
            _ => "unexplained",
        };
        *outcomes.lock().unwrap().entry(outcome.to_owned()).or_default() += 1;
        run.assert_hides(&[&case.tokens.access_token, &case.tokens.refresh_token]);
        case.assert_hidden();
        let again = case.run([""; 0]);
        let spent_in_vain =
            outcome == "your tokens are unchanged" && case.sandbox.counters().refreshes > 1;
        let spent_twice = case.sandbox.counters().reused > 0;
        if !case.is_whole()
            || again.code != Some(0)
            || spent_in_vain
            || spent_twice
            || ["lost", "unexplained", "may have been used"].contains(&outcome)
        {
            let entry = format!(
                "{error} at {}\n  {outcome}: {:?} {}  then {:?} {}",
                call.line, run.code, run.stderr, again.code, again.stderr
            );
            lost.lock().unwrap().push(entry);
        }
    });
    eprintln!(
        "{} failures of {} disk calls: {:?}",
        calls.len() * errors.len(),
        calls.len(),
        outcomes.into_inner().unwrap()
    );
    let lost = lost.into_inner().unwrap();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_commit_that_fails_again_and_again_loses_nothing() {
    EITHER.into_iter().for_each(fail_to_commit);
}

fn fail_to_commit(is_sealed: bool) {
    let case = Case::expired(Options { token_lifetime: 2, ..Options::default() }).sealed(is_sealed);
    let Some(calls) = trace(&Case::expired(Options::default())) else { return };
    // The rehearsal is the first rename, the journal takes its name with the second, and the commit is
    // the third.
    let renames = calls.iter().filter(|call| call.name == "rename").count();
    assert_eq!(renames, 3);
    let inject = |inject: &str| Run::of(&mut strace(&case, &case.path("trace"), Some(inject)));
    let first = inject("rename:error=EIO:when=3+");
    first.assert_ok();
    assert!(first.stderr.contains("saved in"), "{}", first.stderr);
    for _ in 0..3 {
        let run = inject("rename:error=EIO");
        assert!(run.stderr.contains("saved in"), "{}", run.stderr);
    }
    case.run([""; 0]).assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_file_system_without_locks_is_told_and_nothing_is_sent() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let case = Case::expired(Options::default());
        let inject = format!("flock:error={error}");
        let run = Run::of(&mut strace(&case, &case.path("trace"), Some(&inject)));
        let words = ["creds.json.lock: it cannot be locked: ", "your tokens are unchanged"];
        run.assert_fails(1, &[&words[..], &["to a folder on a local disk"]].concat());
        assert_eq!(case.sandbox.counters().token_requests, 0);
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn two_that_hold_the_lock_share_no_file() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    let inject =
        |file: &str, inject: &str| start(&mut strace(&case, &case.path(file), Some(inject)));
    // The first is slow to rename what it has written, as on a slow disk, or stopped by Ctrl-Z.
    let first = inject("first", "rename:delay_enter=4000000:when=1");
    let is_written = || fs::read(case.path("creds.json.new")).ok() == fs::read(case.creds()).ok();
    wait_until(is_written);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    // The second would be slow to give the journal its name, which is its second rename.
    let second = inject("second", "rename:delay_enter=8000000:when=2");
    for child in [first, second] {
        Run::from(child).assert_ok();
        assert!(case.is_whole());
    }
    assert!(case.sandbox.is_live(&case.refresh_token()));
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (1, 0));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_journal_of_another_run_is_not_removed_once_the_lock_is_lost() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    for is_committed in [false, true] {
        let case = Case::interrupted(Options::default());
        if is_committed {
            let journal = fs::read(case.path("creds.json.rotation")).unwrap();
            case.run([""; 0]).assert_ok();
            fs::write(case.path("creds.json.rotation"), journal).unwrap();
            fs::remove_file(case.path("creds.json.spent")).unwrap();
            case.sandbox.revoke_access_tokens();
        }
        // The first has seen to it that the journal's pair is in creds.json, and has recorded that.
        let first = Stopped::at(&case, "first", "creds.json.spent", &["fsync:1"]);
        fs::remove_file(case.path("creds.json.lock")).unwrap();
        case.sandbox.revoke_access_tokens();
        assert_journal_stays(&case, first, &case.refresh_token());
        assert_eq!(case.sandbox.counters().reused, 0);
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_pair_that_another_run_sets_aside_is_not_removed_once_the_lock_is_lost() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::interrupted(Options::default());
    let pair = fs::read(case.path("creds.json.rotation")).unwrap();
    case.run([""; 0]).assert_ok();
    let aside = case.path("creds.json.rotation.old");
    fs::write(&aside, pair).unwrap();
    fs::remove_file(case.path("creds.json.spent")).unwrap();
    case.sandbox.revoke_access_tokens();
    // The first is about to remove the pair, since creds.json has it, and has recorded that.
    let first = Stopped::at(&case, "first", "creds.json.spent", &["fsync:1"]);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    // The second has done so. For what it gets then, creds.json has no place.
    let hold = case.sandbox.hold_token_responses();
    let second = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    fs::write(case.creds(), acceptance::creds_with(&case.sandbox.issue())).unwrap();
    hold.release();
    Run::from(second).assert_ok();
    let living = fs::read(&aside).unwrap();
    first.go_on().end().assert_ok();
    assert!(fs::read(&aside).ok() == Some(living), "it stays: {:?}", case.names());
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn tokens_that_are_pasted_while_the_next_creds_json_is_synced_stay() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    // That of the rehearsal, and that of the commit. The second of this name becomes the journal.
    for (nth, is_commit) in [("fsync:1", false), ("fsync:3", true)] {
        let case = Case::expired(Options::default());
        let program = Stopped::at(&case, "trace", "creds.json.new", &[nth]);
        let pasted = case.sandbox.issue();
        fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
        program.go_on().end().assert_ok();
        assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");
        let is_kept = case.path("creds.json.rotation.old").is_file();
        assert_eq!(is_kept, is_commit, "so does the response");
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_creds_json_that_is_changed_again_and_again_is_given_up() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    let paste =
        || fs::write(case.creds(), acceptance::creds_with(&case.sandbox.issue_expired())).unwrap();
    let program = Stopped::at(&case, "trace", "creds.json.new", &["fsync:1+"]);
    for _ in 1..10 {
        paste();
        program.go_further();
    }
    paste();
    let words = ["creds.json: other programs keep changing it", "Stop the programs that write it"];
    program.go_on().end().assert_fails(1, &words);
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn what_neither_the_journal_nor_creds_json_takes_is_saved_aside() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    // The journal is written under another name. Under its own it is to take the response.
    let inject = ["write:error=EIO:when=1"];
    let files = ["creds.json.rotation", "creds.json.rotation.old", ""];
    let mut command = strace_at(&case, &case.path("trace"), &files, &inject);
    // There is a record, so that its name needs no sync.
    fs::write(case.path("creds.json.spent"), "").unwrap();
    let child = start(&mut command);
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    let pasted = case.sandbox.issue();
    fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
    hold.release();
    Run::from(child).assert_ok();
    assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");
    let aside = fs::read(case.path("creds.json.rotation.old")).unwrap();
    let used = acceptance::sha256(case.tokens.refresh_token.as_bytes());
    assert_eq!(acceptance::answered(&aside), Some(used), "so does the response");
    let trace = fs::read_to_string(case.path("trace")).unwrap();
    let (_, behind) = trace.split_once("creds.json.rotation.old\", O_RDWR|O_CREAT").unwrap();
    assert_eq!(behind.matches("fsync(").count(), 2, "the file, and its name: {behind}");
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn no_file_gets_the_name_of_creds_json_before_it_is_written() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    // The first has found no creds.json.new: it is about to clear the way for its own.
    let first = Stopped::at(&case, "first", "creds.json.new", &["openat:2..3"]);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    // The second has written its own. The first removes that, and has made another one.
    let second = Stopped::at(&case, "second", "creds.json.new", &["fsync:1", "rename:1"]);
    first.go_further();
    assert_eq!(fs::read(case.path("creds.json.new")).unwrap(), b"");
    second.go_further();
    assert!(case.is_whole(), "{:?}", case.names());
    second.go_on().end().assert_ok();
    first.go_on().end().assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (1, 0));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_file_that_another_program_makes_at_the_same_moment_is_waited_for() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    // It has cleared the way for its own.
    let program = Stopped::at(&case, "trace", "creds.json.new", &["unlink:1"]);
    fs::write(case.path("creds.json.new"), "").unwrap();
    program.go_on().end().assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn no_file_gets_the_name_of_the_journal_before_it_is_written() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    // As above, but the second has rehearsed, and has written its journal.
    let first = Stopped::at(&case, "first", "creds.json.new", &["openat:2..3"]);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    let second = Stopped::at(&case, "second", "creds.json.new", &["fsync:2"]);
    first.go_further();
    assert_eq!(fs::read(case.path("creds.json.new")).unwrap(), b"");
    let hold = case.sandbox.hold_token_responses();
    let second = second.go_on();
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    let journal = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    let sent = acceptance::sha256(case.tokens.refresh_token.as_bytes());
    assert!(journal.contains(&sent), "there is room for the response");
    hold.release();
    second.end().assert_ok();
    first.go_on().end().assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_journal_of_another_run_is_not_replaced_once_the_lock_is_lost() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::expired(Options::default());
    // The first has rehearsed, and is about to write its journal.
    let first = Stopped::at(&case, "first", "creds.json.new", &["rename:1"]);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    assert_journal_stays(&case, first, &case.tokens.refresh_token);
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (1, 0));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_program_killed_while_it_makes_the_lock_file_shuts_nobody_out() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    // Before the file gets the name of the lock file, and before it loses its other one.
    for call in ["link,linkat:signal=KILL:when=1", "unlink,unlinkat:signal=KILL:when=1"] {
        let case = Case::expired(Options::default());
        Run::of(&mut strace(&case, &case.path("trace"), Some(call)));
        let is_made = |name: &String| name.starts_with("creds.json.lock.");
        assert!(case.names().iter().any(is_made), "{:?}", case.names());
        case.run([""; 0]).assert_ok();
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_record_that_cannot_be_opened_for_a_moment_is_kept() {
    let case = Case::expired(Options::default());
    if trace(&case).is_none() {
        return;
    }
    case.sandbox.revoke_access_tokens();
    case.run([""; 0]).assert_ok();
    let before = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert_eq!(before.lines().count(), 2);
    case.sandbox.revoke_access_tokens();
    // It is opened twice to be read, and then to be added to.
    let inject = ["openat:error=ENFILE:when=3"];
    let run = Run::of(&mut strace_at(&case, &case.path("trace"), &["creds.json.spent"], &inject));
    run.assert_ok();
    assert!(run.stderr.contains("Too many open files"), "{}", run.stderr);
    let after = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert!(after.starts_with(&before), "{after}");
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_pair_that_is_set_aside_is_recorded_before_it_goes() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let case = Case::interrupted(Options::default());
    let oldest = fs::read(case.creds()).unwrap();
    let pasted = case.sandbox.issue_expired();
    fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
    // Killed when the journal is set aside, and the record does not say so yet: it was read once.
    let inject = ["openat:signal=KILL:when=2"];
    let mut command = strace_at(&case, &case.path("trace"), &["creds.json.spent"], &inject);
    assert_eq!(Run::of(&mut command).code, None);
    assert!(case.path("creds.json.rotation.old").exists());
    assert!(!case.path("creds.json.spent").exists());
    // What was pasted is refused, and the pair that was set aside is used.
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.run([""; 0]).assert_ok();
    assert!(!case.path("creds.json.rotation.old").exists());
    // And still it is known that the oldest token was used.
    fs::write(case.creds(), oldest).unwrap();
    case.run([""; 0]).assert_fails(4, &["it was replaced by an older copy"]);
    assert_eq!(case.sandbox.counters().reused, 0);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn an_earlier_doubt_is_remembered_when_the_lock_is_lost() {
    let Some(_) = trace(&Case::expired(Options::default())) else { return };
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    case.run([""; 0]).assert_fails(1, &["may have been used"]);
    case.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    let journal = || fs::read(case.path("creds.json.rotation")).ok();
    let earlier = journal();
    // Its own journal is there, and it has yet to connect.
    let inject = "connect:delay_enter=2000000:when=1";
    let child = start(&mut strace(&case, &case.path("trace"), Some(inject)));
    wait_until(|| journal() != earlier);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    let run = Run::from(child);
    run.assert_fails(4, &["429", "an earlier run may have used the refresh token"]);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
}

/// A mount that is undone when this is dropped; `None` where this user may not mount.
struct Mount(PathBuf);

impl Mount {
    fn new(args: &[&str], target: &Path) -> Option<Self> {
        let output = acceptance::clean("mount").args(args).arg(target).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(target.to_owned())),
            Ok(output) => {
                eprintln!("skipped: mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                eprintln!("skipped: mount: {error}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = acceptance::clean("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs to mount: see the head of this file"]
fn a_disk_that_is_full_spends_nothing() {
    let case = Case::expired(Options::default());
    let full = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"], full.path()) else {
        return;
    };
    for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
        fs::copy(case.path(name), full.path().join(name)).unwrap();
    }
    let run = |words: &[&str]| {
        let run = Run::of(acceptance::command().env("AAC_DIR", full.path()));
        match words {
            [] => run.assert_ok(),
            words => run.assert_fails(1, words),
        }
    };
    let before = fs::read(full.path().join("creds.json")).unwrap();
    // Fill it: for the copy of the rehearsal there is room or not, for the journal there is none.
    for room in [0, 4096, 16 * 1024] {
        let filler = full.path().join("filler");
        let _ = fs::write(&filler, vec![0; 512 * 1024]);
        let size = fs::metadata(&filler).unwrap().len();
        File::options().write(true).open(&filler).unwrap().set_len(size - room).unwrap();
        run(&["No space left on device", "your tokens are unchanged"]);
        assert_eq!(fs::read(full.path().join("creds.json")).unwrap(), before);
        assert!(!full.path().join("creds.json.new").exists(), "it holds tokens");
        fs::remove_file(filler).unwrap();
    }
    assert_eq!(case.sandbox.counters().token_requests, 0);
    run(&[]);
    assert_eq!(case.sandbox.counters().refreshes, 1);
}

#[test]
#[ignore = "needs to mount: see the head of this file"]
fn a_file_that_is_itself_a_mount_is_written_in_place() {
    let case = Case::expired(Options::default());
    let source = tempfile::tempdir().unwrap();
    let real = source.path().join("real.json");
    fs::copy(case.creds(), &real).unwrap();
    let Some(_mount) = Mount::new(&["--bind", real.to_str().unwrap()], &case.creds()) else {
        return;
    };
    let run = case.run([""; 0]);
    run.assert_ok();
    assert!(
        run.stderr.contains("is a mount of its own") && run.stderr.contains("mount its folder"),
        "{}",
        run.stderr
    );
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(fs::read(&real).unwrap(), fs::read(case.creds()).unwrap());
    assert!(!case.path("creds.json.new").exists() && !case.path("creds.json.rotation").exists());

    EITHER.into_iter().for_each(tear);
}

/// Torn in the middle of the write: finished from what stands beside it.
fn tear(is_sealed: bool) {
    let case_in_place = || in_place(Case::expired(Options::default()).sealed(is_sealed));
    let Some(calls) = trace(&case_in_place()) else { return };
    let written = calls.iter().rposition(|call| call.name == "ftruncate").unwrap();
    for call in &calls[written - 3..written + 4] {
        let case = case_in_place();
        let inject = format!("{}:signal=KILL:when={}", call.name, call.nth);
        let mut command = strace(&case, &case.path("trace"), Some(&inject));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        case.run([""; 0]).assert_ok();
        assert!(case.sandbox.is_live(&case.refresh_token()), "{}", call.line);
        assert_eq!(case.sandbox.counters().refreshes, 1, "{}", call.line);
    }
}

/// A case whose creds.json is a mount of itself.
struct InPlace {
    _mount: Option<Mount>,
    case: Case,
}

impl std::ops::Deref for InPlace {
    type Target = Case;

    fn deref(&self) -> &Case {
        &self.case
    }
}

fn in_place(case: Case) -> InPlace {
    let creds = case.creds();
    let mount = Mount::new(&["--bind", creds.to_str().unwrap()], &creds);
    InPlace { _mount: mount, case }
}

#[test]
#[ignore = "needs to mount: see the head of this file"]
fn a_folder_that_is_read_only_spends_nothing() {
    let case = Case::expired(Options::default());
    let view = tempfile::tempdir().unwrap();
    let folder = case.folder.path().to_str().unwrap();
    let Some(_mount) = Mount::new(&["-o", "bind,ro", folder], view.path()) else { return };
    let run = || Run::of(acceptance::command().env("AAC_DIR", view.path()));
    run().assert_fails(1, &["creds.json.lock: Read-only file system", "your tokens are unchanged"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
    // A token that is fresh needs no writing.
    case.run([""; 0]).assert_ok();
    run().assert_ok();
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn a_first_run_by_another_user_shuts_nobody_out() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    const NOBODY: u32 = 65534;
    let case = Case::expired(Options::default());
    for path in [
        case.folder.path().to_owned(),
        case.creds(),
        case.path("aac_url.txt"),
        case.path("client_id.txt"),
    ] {
        if let Err(error) = chown(&path, Some(NOBODY), Some(NOBODY)) {
            eprintln!("skipped: chown: {error}");
            return;
        }
    }
    // The program where anyone may run it.
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = shared.path().join("get_workspace");
    acceptance::copy_program(shared.path());
    case.run([""; 0]).assert_ok();
    for name in ["creds.json", "creds.json.lock"] {
        let metadata = fs::metadata(case.path(name)).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid(), metadata.mode() & 0o777),
            (NOBODY, NOBODY, 0o600),
            "{name}"
        );
    }
    case.sandbox.revoke_access_tokens();
    let mut command = acceptance::clean("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
    Run::of(command.env("AAC_DIR", case.folder.path())).assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 2);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn the_fast_path_reads_once_and_writes_nothing() {
    let Some(calls) = trace(&Case::fresh(Options::default())) else { return };
    let opened: Vec<_> = calls
        .iter()
        .filter(|call| call.line.contains("creds.json") && call.name == "openat")
        .collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
    let of_disks = ["flock", "fsync", "rename", "unlink", "ftruncate", "mkdir"];
    assert!(
        !calls
            .iter()
            .any(|call| of_disks.contains(&call.name.as_str()) || call.line.contains("O_CREAT"))
    );
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn killed_at_every_call_on_a_file_after_an_access_token_of_no_use() {
    if !acceptance::have("strace") {
        return;
    }
    let killed = AtomicUsize::new(0);
    let files = ["creds.json", "creds.json.new", "creds.json.rotation", "creds.json.spent"];
    let names = ["openat", "write", "fsync", "rename", "lseek", "fchmod", "flock"];
    in_parallel(files.len() * names.len(), |index| {
        let (file, name) = (files[index / names.len()], names[index % names.len()]);
        for nth in 1.. {
            let faults = vec![Fault::token(FaultKind::BadAccessToken)];
            let case = Case::expired(Options { faults, ..Options::default() });
            let inject = format!("{name}:signal=KILL:when={nth}");
            let mut run = strace_at(&case, &case.path("trace"), &[file], &[&inject]);
            let run = run.output().unwrap();
            if run.status.code() == Some(1) {
                break;
            }
            killed.fetch_add(1, Ordering::SeqCst);
            assert!(case.is_whole(), "{file} {inject}");
            let is_sent = case.sandbox.counters().token_requests > 0;
            let is_saved =
                case.keeps(br#""state":"received""#) || !case.path("creds.json.rotation").exists();
            // It reports the same, puts what was saved in place and uses that, or begins anew.
            let next = case.run([""; 0]);
            if is_sent && !is_saved {
                continue;
            }
            assert!(
                case.sandbox.is_live(&case.refresh_token()),
                "{file} {inject}: {}",
                next.stderr
            );
            let counters = case.sandbox.counters();
            let is_told = next.code == Some(1) && counters.token_requests == 1;
            assert!(is_told || next.code == Some(0), "{file} {inject}: {}", next.stderr);
            assert_eq!(counters.reused, 0, "{file} {inject}");
        }
    });
    eprintln!("{} kills", killed.into_inner());
}
