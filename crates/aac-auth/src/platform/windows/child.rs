//! Programs that this one starts and waits for, and their end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::process::CommandExt;
use std::process::{Child, Command};

pub(crate) const SHELL: &str = "cmd";

/// Has cmd run this text: it takes off the outer quotation marks (`/S`), and runs nothing of the registry first
/// (`/D`).
pub(crate) fn hand_to_shell(shell: &mut Command, text: &OsStr) {
    let mut line = OsString::from("/D /S /C \"");
    line.push(text);
    line.push("\"");
    shell.raw_arg(line);
}

/// Starts a program. Ctrl-C reaches all that share the console.
pub(crate) fn start(mut command: Command) -> io::Result<Child> {
    command.spawn()
}

/// Whether a program has ended.
pub(crate) fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Ends a program. What it has started goes on, and fails when it writes.
pub(crate) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
