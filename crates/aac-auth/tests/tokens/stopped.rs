//! Programs that come to a halt at the worst moment, while others go on: Ctrl-Z, an output that nobody
//! reads. And what is before what, should they come to their end there.

#![cfg_attr(not(target_os = "linux"), allow(unused, reason = "some of it is for Linux"))]

use crate::{NONE, SOON};
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run, Running};
use rustix::fs::{OFlags, fcntl_setfl};
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come so far");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A pipe that nobody reads: whoever has something to say waits.
struct FullPipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl FullPipe {
    fn new() -> Self {
        let pipe = Self::empty();
        pipe.fill();
        pipe
    }

    /// One that has room until it is filled.
    fn empty() -> Self {
        let (reader, writer) = pipe().unwrap();
        Self { reader, writer }
    }

    fn fill(&self) {
        fcntl_setfl(&self.writer, OFlags::NONBLOCK).unwrap();
        for length in [4096, 1] {
            while (&self.writer).write(&vec![b'-'; length]).is_ok() {}
        }
        fcntl_setfl(&self.writer, OFlags::empty()).unwrap();
    }

    /// The end for a program.
    fn end(&self) -> PipeWriter {
        self.writer.try_clone().unwrap()
    }

    /// Reads what the program has said, until it has ended.
    fn read(self) -> String {
        let Self { mut reader, writer } = self;
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        said
    }
}

/// What happens to the files of a folder, in its order.
#[cfg(target_os = "linux")]
mod events {
    use super::SOON;
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    pub(super) use rustix::fs::inotify::ReadFlags;
    pub(super) const READ: ReadFlags = ReadFlags::ACCESS;
    pub(super) const WRITTEN: ReadFlags = ReadFlags::MODIFY.union(ReadFlags::MOVED_TO);
    pub(super) const GONE: ReadFlags = ReadFlags::DELETE.union(ReadFlags::MOVED_FROM);

    pub(super) struct Events(OwnedFd);

    impl Events {
        pub(super) fn of(folder: &Path) -> Self {
            let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
            inotify::add_watch(&events, folder, WatchFlags::ALL_EVENTS).unwrap();
            Self(events)
        }

        /// Waits until this happens to a file, and returns all that has happened before.
        #[track_caller]
        pub(super) fn wait_for(&self, name: &str, event: ReadFlags) -> Vec<(String, ReadFlags)> {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&self.0, &mut buffer);
            let mut before = Vec::new();
            let deadline = Instant::now() + SOON;
            loop {
                let Ok(next) = reader.next() else {
                    assert!(Instant::now() < deadline, "{before:?}");
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let file = next.file_name().unwrap_or_default().to_str().unwrap().to_owned();
                if file == name && next.events().intersects(event) {
                    return before;
                }
                before.push((file, next.events()));
            }
        }
    }
}
#[cfg(target_os = "linux")]
use events::{Events, GONE, READ, WRITTEN};

/// Stops a program, and waits until it stands still.
#[track_caller]
#[cfg(target_os = "linux")]
fn stop(program: &Running) {
    program.signal("STOP");
    // The state is behind the name.
    let stat = || fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap();
    wait_until(|| stat().rsplit(')').next().unwrap().starts_with(" T"));
}

#[test]
fn tokens_that_are_pasted_right_before_the_commit_stay() {
    for is_recovery in [false, true] {
        let case = match is_recovery {
            true => Case::interrupted(Options::default()),
            false => Case::expired(Options::default()),
        };
        let hold = case.sandbox.hold_token_responses();
        let damage = || fs::write(case.creds(), "damaged").unwrap();
        if is_recovery {
            damage();
        }
        let stderr = FullPipe::new();
        let child = case.command().stdout(Stdio::piped()).stderr(stderr.end()).spawn().unwrap();
        if !is_recovery {
            assert!(hold.wait_for_request(SOON));
            damage();
        }
        hold.release();
        // What it has found there is kept before it is replaced. It says so, and nobody listens.
        let kept = || fs::read(case.path("creds.json.damaged")).unwrap_or_default();
        wait_until(|| kept() == b"damaged");
        let pasted = case.sandbox.issue();
        fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
        let said = stderr.read();
        Run::from(child).assert_ok();
        assert!(said.contains("creds.json.damaged"), "{said}");
        assert_eq!(case.refresh_token(), pasted.refresh_token, "what was pasted stays");
        assert!(case.path("creds.json.rotation.old").is_file(), "so does the response");
        assert_eq!(case.sandbox.counters().token_requests, 1);
    }
}

/// Whoever is stopped while it looks (Ctrl-Z) goes on as one who has lost the lock.
#[test]
#[cfg(target_os = "linux")]
fn a_journal_that_was_read_is_not_set_aside_once_the_lock_is_lost() {
    let case = Case::interrupted(Options::default());
    let editor = File::create(case.creds()).unwrap();
    // The first reads the journal, and waits for what comes into creds.json.
    let events = Events::of(case.folder.path());
    let mut first = Running::of(case.command().arg("-v"));
    events.wait_for("creds.json.rotation", READ);
    stop(&first);
    let pasted = case.sandbox.issue_expired();
    drop(editor);
    fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
    assert!(case.delete_lock());
    // The second sets that journal aside, and has the response of its own when it stops: nobody listens.
    let hold = case.sandbox.hold_token_responses();
    let stderr = FullPipe::empty();
    let second = case.command().arg("-v").stdout(Stdio::piped()).stderr(stderr.end()).spawn();
    let second = second.unwrap();
    assert!(hold.wait_for_request(SOON));
    stderr.fill();
    hold.release();
    let journal = || fs::read(case.path("creds.json.rotation")).unwrap_or_default();
    let used = acceptance::sha256(pasted.refresh_token.as_bytes());
    wait_until(|| acceptance::answered(&journal()) == Some(used.clone()));
    let saved = journal();

    first.signal("CONT");
    first.says("waiting for another program");
    assert!(journal() == saved, "the journal of the second stays: {:?}", case.names());
    assert_eq!(case.refresh_token(), pasted.refresh_token);
    stderr.read();
    Run::from(second).assert_ok();
    first.end().assert_ok();
    assert_eq!(case.names().iter().filter(|name| name.contains(".rotation")).count(), 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.reused), (2, 0));
}

/// It neither restores a pair then, nor says what is true only under the lock.
#[test]
#[cfg(target_os = "linux")]
fn whoever_has_lost_the_lock_looks_again() {
    for is_recovery in [true, false] {
        let (case, name, event) = match is_recovery {
            true => (Case::interrupted(Options::default()), "creds.json.damaged", WRITTEN),
            false => (Case::expired(Options::default()), "creds.json.spent", READ),
        };
        match is_recovery {
            true => fs::write(case.creds(), "damaged").unwrap(),
            false => fs::write(case.path(name), vec![b'-'; 2 << 20]).unwrap(),
        }
        let (events, stderr) = (Events::of(case.folder.path()), FullPipe::new());
        let child = case.command().stdout(Stdio::piped()).stderr(stderr.end()).spawn().unwrap();
        // It is about to warn of that file, and nobody listens. Behind that comes the pair, or a rehearsal that fails.
        events.wait_for(name, event);
        let mode = if is_recovery { 0o600 } else { 0o400 };
        fs::set_permissions(case.creds(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(case.delete_lock());
        let said = stderr.read();
        let run = Run::from(child);
        assert_eq!(run.code, Some(i32::from(!is_recovery)), "{said}");
        assert_eq!(said.matches(name).count(), 2, "it has warned once for each look: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_used_token_is_recorded_before_its_pair_goes() {
    const JOURNAL: &str = "creds.json.rotation";
    const ASIDE: &str = "creds.json.rotation.old";
    let recorded_before_it_goes = |what: &str, case: &Case, name: &str, expected: usize| {
        let events = Events::of(case.folder.path());
        case.run(NONE).assert_ok();
        let before = events.wait_for(name, GONE).into_iter();
        let records =
            before.filter(|(name, event)| name == "creds.json.spent" && event.intersects(WRITTEN));
        assert_eq!(records.count(), expected, "{what}");
    };
    recorded_before_it_goes("a refresh", &Case::expired(Options::default()), JOURNAL, 1);
    for name in [JOURNAL, ASIDE] {
        let case = Case::interrupted(Options::default());
        let pair = fs::read(case.path(JOURNAL)).unwrap();
        recorded_before_it_goes("its recovery", &case, JOURNAL, 1);
        // What a run has left that was killed in between: the pair is in creds.json.
        fs::write(case.path(name), &pair).unwrap();
        fs::remove_file(case.path("creds.json.spent")).unwrap();
        case.sandbox.revoke_access_tokens();
        recorded_before_it_goes(name, &case, name, 1);
    }
    // What is recorded already is not recorded again, but what the refresh behind it uses.
    let case = Case::interrupted(Options::default());
    let pair = fs::read(case.path(JOURNAL)).unwrap();
    case.run(NONE).assert_ok();
    fs::write(case.path(JOURNAL), pair).unwrap();
    case.sandbox.revoke_access_tokens();
    recorded_before_it_goes("a pair that is known", &case, JOURNAL, 0);
    let record = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert_eq!(record.lines().count(), 2, "{record}");
    // The pair is used because that of creds.json is refused. Its own token is recorded first.
    let case = Case::interrupted(Options::default());
    fs::rename(case.path(JOURNAL), case.path(ASIDE)).unwrap();
    let pasted = case.sandbox.issue_expired();
    fs::write(case.creds(), acceptance::creds_with(&pasted)).unwrap();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    recorded_before_it_goes("a pair that was set aside", &case, ASIDE, 2);
}
