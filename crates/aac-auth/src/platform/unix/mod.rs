//! What Unix does in its own way.

mod access;
#[cfg(target_os = "linux")]
mod acl;
mod child;
mod owner;
mod process;
mod terminal;

pub(crate) use access::{
    Access, closing_mode, create_new, is_open_to_others, other_readers, takes_modes,
};
pub(crate) use child::{SHELL, end, hand_to_shell, has_ended, start};
pub(crate) use owner::FileOwner;
pub(crate) use process::protect;
pub use terminal::RawInput;

use crate::platform::plain::unfit;
use crate::platform::{SystemProxy, signals};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};
use zeroize::Zeroizing;

/// Opens what a name leads to, links included, to read it. A pipe is not waited for.
pub(crate) fn open_at_once(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Opens what has this name, unless that is a link. A pipe is not waited for.
pub(super) fn open_itself(path: &Path, mut options: OpenOptions) -> io::Result<File> {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path).map_err(|error| unfit(path).map_or(error, io::Error::from))
}

/// How a file is opened that is to be locked.
pub(super) fn for_lock() -> OpenOptions {
    File::options().read(true).clone()
}

/// How a file is opened that is to be synced.
pub(crate) fn for_sync() -> OpenOptions {
    File::options().read(true).clone()
}

/// Whether this name leads to this open file.
pub(super) fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let [own, named] = [file.metadata()?, path.symlink_metadata()?];
    Ok((own.dev(), own.ino()) == (named.dev(), named.ino()))
}

/// How many names a file has.
pub(crate) fn names(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.nlink())
}

/// Makes renames and removals in the folder survive a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match sync(&File::open(folder)?) {
        // Some file systems cannot do this, and say so.
        Err(error) if cannot_sync(&error) => Ok(()),
        synced => synced,
    }
}

/// Writes what the system holds of a file to the disk.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    let synced = file.sync_all();
    #[cfg(target_os = "macos")]
    if synced.as_ref().is_err_and(cannot_sync) {
        // std asks for F_FULLFSYNC, which shares and FUSE may refuse (fcntl(2)).
        return Ok(rustix::fs::fsync(file)?);
    }
    synced
}

/// Whether a file system refuses to sync something, rather than having failed at it. std has no kind for
/// ENOTSUP on macOS.
fn cannot_sync(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported)
        || matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::ENOTTY))
}

/// Whether a file system refuses to change who may use a file, rather than having failed at it.
fn is_refused(error: &io::Error) -> bool {
    cannot_sync(error) || error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether another program has the file open, and does not share it. Only Windows has such an error.
pub(crate) fn is_sharing_violation(_error: &io::Error) -> bool {
    false
}

/// Whether the failure may pass by itself, as soon as another program closes the file.
pub(super) fn may_pass(_error: &io::Error) -> bool {
    false
}

/// Whether a name lookup has failed: std has no kind for it.
pub(crate) fn is_lookup_failure(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address")
}

/// The user's own folder for the three files (XDG Base Directory Specification), if there is a home.
pub(crate) fn own_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let at_home = || Some(set("HOME").or_else(env::home_dir)?.join(".config"));
    Some(set("XDG_CONFIG_HOME").or_else(at_home)?.join("aac")).filter(|path| path.is_absolute())
}

/// Makes a folder for this user alone.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// The path as people write it.
pub(crate) fn plain(path: PathBuf) -> PathBuf {
    path
}

/// This machine's name.
pub(super) fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The proxy settings of the system: there are none that can be read.
pub(crate) fn system_proxy() -> SystemProxy {
    SystemProxy::default()
}

/// Only Windows encrypts for a user.
pub(crate) fn protect_data(_secret: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The same.
pub(crate) fn unprotect_data(_encrypted: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether standard output is open for writing. The standard library ignores one that is not.
pub(crate) fn has_stdout() -> bool {
    use rustix::fs::OFlags;
    let flags = rustix::fs::fcntl_getfl(rustix::stdio::stdout());
    flags.is_ok_and(|flags| (flags & OFlags::ACCMODE) != OFlags::RDONLY)
}

/// Handles the signals that end a program, from now on. Those that the process was started to ignore
/// (`nohup`, a shell's `&`) stay ignored.
#[expect(unsafe_code, reason = "what a signal handler may do is not for the compiler to check")]
pub(crate) fn handle_signals() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if !is_ignored(signal) {
            let handle = move || {
                if signals::ends_program(signal) {
                    end_by(signal);
                }
            };
            // SAFETY: a handler may not allocate, lock or print (signal-safety(7)). This one reads and
            // writes atomics, asks for the time, sets the terminal's attributes, writes to it, and calls
            // `exit` or `emulate_default_handler`, all of which are allowed.
            let handled = unsafe { low_level::register(signal, handle) };
            // A signal that cannot be handled cannot be held.
            let _ = handled;
        }
    }
}

/// Whether a person asks for the program's end.
pub(crate) fn is_interrupt(signal: i32) -> bool {
    signal == SIGINT
}

/// Ends the program as the signal would have, so that the shell can tell.
pub(crate) fn end_by(signal: i32) {
    terminal::restore();
    if std::process::id() == 1 {
        // A container's first process is not ended by its own signals. Use the shell's exit code.
        low_level::exit(128 + signal);
    }
    let _ = low_level::emulate_default_handler(signal);
}

/// Whether the process was started with the signal ignored.
#[expect(unsafe_code, reason = "no safe interface asks for the disposition of a signal")]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction(2) only writes the present one to a place that is valid
    // for writes of its type. Zeroes are a valid value of that type, in case the call fails.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}
