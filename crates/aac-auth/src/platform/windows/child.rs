//! Programs that this one starts and waits for, and their end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::process::{Child, Command};
use std::ptr::null;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, TerminateJobObject,
};

pub(crate) const SHELL: &str = "cmd";

/// Has cmd run this text: it takes off the outer quotation marks (`/S`), and runs nothing of the registry first
/// (`/D`).
pub(crate) fn hand_to_shell(shell: &mut Command, text: &OsStr) {
    let mut line = OsString::from("/D /S /C \"");
    line.push(text);
    line.push("\"");
    shell.raw_arg(line);
}

/// What a program has started with it, itself included: a job object. Without one, the program alone can be ended.
pub(crate) struct Job(Option<OwnedHandle>);

/// Starts a program. Ctrl-C reaches all that share the console.
#[expect(unsafe_code, reason = "no crate in the tree has job objects")]
pub(crate) fn start(mut command: Command) -> io::Result<(Child, Job)> {
    let child = command.spawn()?;
    // SAFETY: the job has no name and no attributes, and its handle belongs to nobody else. That of the program is
    // open as long as `child` is there.
    let job = unsafe {
        let job = CreateJobObjectW(null(), null());
        (!job.is_null()).then(|| {
            AssignProcessToJobObject(job, child.as_raw_handle());
            OwnedHandle::from_raw_handle(job)
        })
    };
    Ok((child, Job(job)))
}

/// Whether a program has ended.
pub(crate) fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Ends a program, and what it has started.
#[expect(unsafe_code, reason = "no crate in the tree has job objects")]
pub(crate) fn end(child: &mut Child, Job(job): &Job) {
    if let Some(job) = job {
        // SAFETY: the handle is open.
        unsafe { TerminateJobObject(job.as_raw_handle(), 1) };
    }
    let _ = child.kill();
    let _ = child.wait();
}
