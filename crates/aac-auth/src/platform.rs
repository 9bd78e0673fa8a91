//! The one place where systems differ: owners and modes, what makes a rename last, signals, proxies.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;
use ureq::Proxy;

/// Options that create a file only its owner may read, from the first byte on.
pub(crate) fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Gives the file the owner, group and mode of `like`; mode 0600 if that is wider than 0640.
///
/// Fails where the process may not: a file that belongs to someone else must not change hands.
/// Windows takes the rights of a new file from its folder, so there is nothing to do.
pub(crate) fn hand_over(file: &File, like: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(file, Some(like.uid()), Some(like.gid()))?;
        }
        let mode = like.mode() & 0o7777;
        let mode = if mode & !0o640 == 0 { mode } else { 0o600 };
        if own.mode() & 0o7777 != mode {
            file.set_permissions(PermissionsExt::from_mode(mode))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, like);
    Ok(())
}

/// Makes renames and removals in the folder last through a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        // Some file systems cannot, and say so.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            return Err(error);
        }
        _ => {}
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// How many names the file has: a rename would leave the others behind.
pub(crate) fn links(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(metadata);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        1
    }
}

/// Whether the file cannot be had because another program has it open without sharing it, as virus
/// scanners do for a moment. std has no kind for it; other systems have no such thing.
pub(crate) fn is_shared_too_little(error: &io::Error) -> bool {
    const ERROR_SHARING_VIOLATION: i32 = 32;
    cfg!(windows)
        && (error.kind() == io::ErrorKind::PermissionDenied
            || error.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
}

/// The signals by which people and systems end a program, and which it can act on.
#[cfg(unix)]
pub(crate) const ENDING_SIGNALS: &[i32] = &[SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
pub(crate) const ENDING_SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// Whether the process was started with the signal ignored.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no safe interface asks for the disposition of a signal")]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action given, sigaction(2) only writes the present one to a place that is
    // valid for writes of its type. Zeroes are a valid value of that type, should it fail.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
pub(crate) fn is_ignored(_signal: i32) -> bool {
    false
}

/// The proxy that is set for the whole system, where the system has such a setting.
pub(crate) fn system_proxy() -> Option<Proxy> {
    if cfg!(windows) { Proxy::try_from_env() } else { None }
}

/// Registers what a signal does before anything that is registered later. It is for
/// [`cleanup::remove_files`](crate::cleanup::remove_files) alone.
#[expect(unsafe_code, reason = "signal-hook cannot know what an action does")]
pub(crate) fn on_signal(signal: i32, action: fn()) -> io::Result<()> {
    // SAFETY: the action reads atomics and removes files with `unlink`, both async-signal-safe. Windows
    // runs handlers on threads of their own.
    unsafe { signal_hook::low_level::register(signal, action) }.map(drop)
}

/// Removes a file in a signal handler: no memory is allocated, no lock is taken. The path ends with a
/// zero byte.
#[cfg(unix)]
pub(crate) fn unlink(path: &[u8]) {
    if let Ok(path) = std::ffi::CStr::from_bytes_until_nul(path) {
        let _ = rustix::fs::unlink(path);
    }
}

#[cfg(not(unix))]
pub(crate) fn unlink(path: &[u8]) {
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    if let Ok(path) = str::from_utf8(path) {
        let _ = std::fs::remove_file(path);
    }
}

/// A file without a name in this folder, which ends with the program however that ends. `None` where
/// the file system has no such thing, or it could not be given a name later.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file(folder: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let file = options.write(true).custom_flags(libc::O_TMPFILE).open(folder).ok()?;
    descriptor(&file).exists().then_some(file)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file(_folder: &Path) -> Option<File> {
    None
}

/// Gives an unnamed file a name that is not taken.
#[cfg(target_os = "linux")]
pub(crate) fn name_file(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn name_file(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// See open(2): how a process without privileges names the file.
#[cfg(target_os = "linux")]
fn descriptor(file: &File) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)).into()
}

/// Whether the process was started with a standard output that can be written. The standard library
/// passes over one that cannot.
#[cfg(unix)]
pub(crate) fn has_stdout() -> bool {
    let flags = rustix::fs::fcntl_getfl(rustix::stdio::stdout());
    !stdout::WAS_CLOSED.load(std::sync::atomic::Ordering::Relaxed)
        && flags
            .is_ok_and(|flags| (flags & rustix::fs::OFlags::ACCMODE) != rustix::fs::OFlags::RDONLY)
}

#[cfg(not(unix))]
pub(crate) fn has_stdout() -> bool {
    !std::os::windows::io::AsRawHandle::as_raw_handle(&io::stdout()).is_null()
}

/// Whether standard output is closed must be seen before `main`: the runtime opens /dev/null in its
/// place, which then looks like one that was asked for.
#[cfg(unix)]
mod stdout {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    pub(super) static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

    #[used]
    #[expect(unsafe_code, reason = "the loader runs what stands in this section before `main`")]
    // SAFETY: the section holds pointers to functions of this type. This one makes a single system call.
    #[cfg_attr(
        target_vendor = "apple",
        unsafe(link_section = "__DATA,__mod_init_func,mod_init_funcs")
    )]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err();
        WAS_CLOSED.store(is_closed, Relaxed);
    }
}
