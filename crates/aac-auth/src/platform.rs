//! The one place where systems differ: owners and modes, what makes a rename last, signals, proxies.

use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
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

/// Has the system ask an idle peer whether it is there, and break the connection some 20 s after it is
/// gone.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(3))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}
