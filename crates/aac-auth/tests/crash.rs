//! A rotating run, killed at each of its system calls, with each disk call failing in turn, and on
//! disks that are full, read-only or mounted in odd ways.
//!
//! A minute of work, for which strace and the right to mount are needed, so it is a command of its own:
//!
//! ```text
//! cargo test -p aac-auth --test crash -- --ignored --nocapture
//! ```

#![cfg(target_os = "linux")]

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A system call of the main thread: its name, its number among those of its name, its line.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    nth: usize,
    line: String,
}

fn strace(case: &Case, output: &Path, inject: Option<&str>) -> Command {
    strace_at(case, output, None, inject.as_slice())
}

/// The same, for calls on one of the files alone.
fn strace_at(case: &Case, output: &Path, file: Option<&str>, inject: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(output);
    if let Some(file) = file {
        command.arg("-P").arg(case.path(file));
    }
    for inject in inject {
        command.args(["-e", &format!("inject={inject}")]);
    }
    command.arg(acceptance::get_workspace()).env("AAC_DIR", case.folder.path());
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
    Some(calls.collect())
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

fn is_whole(creds: &Path) -> bool {
    let creds: Option<Value> =
        fs::read(creds).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    creds.is_some_and(|creds| {
        ["access_token", "refresh_token"]
            .iter()
            .all(|name| creds[name].as_str().is_some_and(|token| token.len() > 100))
    })
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn killed_at_every_system_call() {
    let Some(calls) = trace(&Case::expired(Options::default())) else { return };
    let is_send = |call: &Call| call.line.contains("grant_type=");
    let sent = calls.iter().position(is_send).expect("the request is in the trace");
    let saved = sent
        + calls[sent..].iter().position(|call| call.name == "fsync").expect("the journal's fsync");
    eprintln!("{} system calls; sent at {sent}, the answer in the journal at {saved}", calls.len());
    for grace in [Duration::ZERO, Duration::from_secs(600)] {
        let (torn, dead, passed) = <(Mutex<Vec<_>>, Mutex<Vec<_>>, Mutex<Vec<_>>)>::default();
        // The first is the execve of the program, which is strace's own work.
        in_parallel(calls.len() - 1, |index| {
            let index = index + 1;
            let Call { name, nth, line } = &calls[index];
            let case = Case::expired(Options { grace, ..Options::default() });
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
            if !is_whole(&case.creds()) {
                note(&torn);
            }
            if case.run([""; 0]).code != Some(0) {
                note(&dead);
            }
        });
        let [torn, mut dead, passed] = [torn, dead, passed].map(|list| list.into_inner().unwrap());
        dead.sort();
        eprintln!(
            "grace {} s: {} points, {} torn, {} dead, {} not reached",
            grace.as_secs(),
            calls.len(),
            torn.len(),
            dead.len(),
            passed.len()
        );
        for (index, line) in &dead {
            eprintln!("  dead at {index}: {line}");
        }
        assert_eq!(torn, []);
        // Where its memory happens to lie decides whether a program gives some of it back, and how its
        // threads meet decides whether one wakes another.
        let varies = |line: &String| line.starts_with("munmap") || line.starts_with("futex");
        assert!(passed.iter().all(|(_, line)| varies(line)), "{passed:?}");
        let may_die = |index| grace.is_zero() && index > sent && index <= saved;
        assert!(dead.iter().all(|(index, _)| may_die(*index)));
    }
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn every_disk_call_fails_in_turn() {
    fail_in_turn(|| Case::expired(Options::default()));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn every_disk_call_of_a_recovery_fails_in_turn() {
    fail_in_turn(|| Case::interrupted(Options::default()));
}

fn fail_in_turn(prepare: fn() -> Case) {
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
        let again = case.run([""; 0]);
        let spent_in_vain =
            outcome == "your tokens are unchanged" && case.sandbox.counters().refreshes > 1;
        let spent_twice = case.sandbox.counters().reused > 0;
        if !is_whole(&case.creds())
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
    let case = Case::expired(Options { token_lifetime: 2, ..Options::default() });
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
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
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
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
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
        assert!(is_whole(&case.creds()));
    }
    assert!(case.sandbox.is_live(&case.refresh_token()));
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (1, 0));
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn programs_that_make_the_lock_file_at_once_keep_creds_json_whole() {
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
    let case = Case::expired(Options::default());
    // The first has found no lock file, nor anyone at work: it is slow to clear creds.json.new away, and to
    // give its own the name of the lock file.
    let inject =
        ["unlink,unlinkat:delay_enter=2000000:when=1", "link,linkat:delay_enter=4000000:when=1"];
    let mut command = strace_at(&case, &case.path("first"), Some("creds.json.new"), &inject);
    let mut first = start(&mut command);
    // There is nothing to be seen of it until then.
    thread::sleep(Duration::from_millis(1000));
    // The second refreshes meanwhile, and is slow to rename what it has written.
    let rename = "rename:delay_enter=3000000:when=1";
    let mut second = start(&mut strace(&case, &case.path("second"), Some(rename)));
    while first.try_wait().unwrap().is_none() || second.try_wait().unwrap().is_none() {
        assert!(is_whole(&case.creds()), "{:?}", case.names());
        thread::sleep(Duration::from_millis(5));
    }
    for child in [first, second] {
        Run::from(child).assert_ok();
    }
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_program_killed_while_it_makes_the_lock_file_shuts_nobody_out() {
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
    // At each of its calls on the file that becomes the lock file.
    for call in ["unlink,unlinkat:signal=KILL:when=1", "unlink,unlinkat:signal=KILL:when=2"] {
        let case = Case::expired(Options::default());
        let mut command = strace_at(&case, &case.path("trace"), Some("creds.json.new"), &[call]);
        Run::of(&mut command);
        let mut next = case.start(1).pop().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while next.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                next.kill().unwrap();
                panic!("{call}: the next program waits: {:?}", case.names());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Run::from(next).assert_ok();
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
    let run =
        Run::of(&mut strace_at(&case, &case.path("trace"), Some("creds.json.spent"), &inject));
    run.assert_ok();
    assert!(run.stderr.contains("Too many open files"), "{}", run.stderr);
    let after = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert!(after.starts_with(&before), "{after}");
}

#[test]
#[ignore = "needs strace: see the head of this file"]
fn a_pair_that_is_set_aside_is_recorded_before_it_goes() {
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
    let case = Case::interrupted(Options::default());
    let oldest = fs::read(case.creds()).unwrap();
    let pasted = case.sandbox.issue_expired();
    fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
    // Killed when the journal is set aside, and the record does not say so yet.
    let inject = ["openat:signal=KILL:when=1"];
    let mut command = strace_at(&case, &case.path("trace"), Some("creds.json.spent"), &inject);
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
    if trace(&Case::expired(Options::default())).is_none() {
        return;
    }
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
        let output = Command::new("mount").args(args).arg(target).output();
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
        let _ = Command::new("umount").arg(&self.0).status();
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
        fs::File::options().write(true).open(&filler).unwrap().set_len(size - room).unwrap();
        run(&["No space left on device", "your tokens are unchanged"]);
        assert_eq!(fs::read(full.path().join("creds.json")).unwrap(), before);
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

    // Torn in the middle of the write: finished from what stands beside it.
    let Some(calls) = trace(&case_in_place()) else { return };
    let in_place = calls.iter().rposition(|call| call.name == "ftruncate").unwrap();
    for call in &calls[in_place - 3..in_place + 4] {
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

fn case_in_place() -> InPlace {
    let case = Case::expired(Options::default());
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
    fs::copy(acceptance::get_workspace(), &program).unwrap();
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
    let mut command = Command::new("setpriv");
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
            let mut run = strace_at(&case, &case.path("trace"), Some(file), &[&inject]);
            let run = run.output().unwrap();
            if run.status.code() == Some(1) {
                break;
            }
            killed.fetch_add(1, Ordering::SeqCst);
            assert!(is_whole(&case.creds()), "{file} {inject}");
            let is_sent = case.sandbox.counters().token_requests > 0;
            let is_saved =
                case.keeps(br#""state":"answered""#) || !case.path("creds.json.rotation").exists();
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
