//! Programs that this one starts and waits for, and their end.

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group, waitid,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) const SHELL: &str = "sh";

/// Has the shell run this text.
pub(crate) fn hand_to_shell(shell: &mut Command, text: &OsStr) {
    shell.arg("-c").arg(text);
}

/// How a program is ended with what it has started: its number tells.
pub(crate) struct Job;

/// Starts a program; in a group of its own if there is no terminal, so that all of it can be ended. At a
/// terminal, only this program's group may ask for a password, and Ctrl-C reaches all of the group anyway.
pub(crate) fn start(mut command: Command) -> io::Result<(Child, Job)> {
    let mut terminal = File::options();
    let terminal = terminal.read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    if terminal.open("/dev/tty").is_err() {
        command.process_group(0);
    }
    Ok((command.spawn()?, Job))
}

/// Whether a program has ended. Its number is not given to another as long as nobody waits for it.
pub(crate) fn has_ended(child: &mut Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
}

/// Ends a program, and what it has started as far as that can be found.
pub(crate) fn end(child: &mut Child, _job: &Job) {
    let id = Pid::from_child(child);
    let has_group = getpgid(Some(id)) == Ok(id);
    let send = |signal| match has_group {
        // One that has ended by itself is no failure.
        true => drop(kill_process_group(id, signal)),
        false => drop(kill_process(id, signal)),
    };
    if !has_group {
        for id in crate::platform::descendants(child.id()) {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            let _ = id.map(|id| kill_process(id, Signal::TERM));
        }
    }
    // One that has changed the terminal puts that in order.
    send(Signal::TERM);
    let end = Instant::now() + GRACE;
    while !has_ended(child) && Instant::now() < end {
        thread::sleep(PAUSE);
    }
    send(Signal::KILL);
    let _ = child.wait();
}
