//! What holds for the whole process, and is therefore done only where a program asks for it.

use crate::platform::unix::is_ignored;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Once;

/// From now on, the process leaves no copy of its memory when it crashes, and a limit of the size of files
/// (`ulimit -f`) is an error instead of its end.
pub(crate) fn protect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        refuse_cores();
        outlive_file_limits();
    });
}

/// Best effort.
fn refuse_cores() {
    let maximum = getrlimit(Resource::Core).maximum;
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    // The limit is not one of cores that are piped to a program (core(5)).
    #[cfg(target_os = "linux")]
    if !is_traced() {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Whether the process was started by strace or a debugger. That sees the memory anyway, and where it is not
/// root's, it would no longer see the names in system calls.
#[cfg(target_os = "linux")]
fn is_traced() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// A handler, and not SIG_IGN: a program that this one starts then has the default again (execve(2)).
#[expect(unsafe_code, reason = "what a signal handler may do is not for the compiler to check")]
fn outlive_file_limits() {
    if !is_ignored(libc::SIGXFSZ) {
        // SAFETY: the handler does nothing.
        let handled = unsafe { signal_hook::low_level::register(libc::SIGXFSZ, || ()) };
        // Without it, the first write beyond the limit ends the program, before anything is sent.
        let _ = handled;
    }
}
