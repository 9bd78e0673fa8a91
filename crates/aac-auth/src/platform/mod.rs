//! Everything that differs between systems: owners and modes, durable renames, signals, proxies. `unix` and
//! `windows` offer the same, and so do `linux` and `not_linux`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod not_linux;
mod patience;
mod plain;
mod shell;
pub(crate) mod signals;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux::descendants;
#[cfg(target_os = "linux")]
pub(crate) use linux::{file_system, keep_in_place, name_file, unnamed_file};
#[cfg(all(unix, not(target_os = "linux")))]
use not_linux::descendants;
#[cfg(not(target_os = "linux"))]
pub(crate) use not_linux::{file_system, keep_in_place, name_file, unnamed_file};
pub(crate) use patience::{Patience, patiently};
pub(crate) use plain::{Flaw, Unfit, is_named, open_plain, open_to_lock};
pub(crate) use shell::{MOVE_COMMAND, is_unsafe_on_terminal, quoted};
pub(crate) use system::{
    Access, FileOwner, SHELL, closing_mode, create_folder, create_new, end, end_by, for_sync,
    hand_to_shell, handle_signals, has_ended, has_stdout, is_interrupt, is_lookup_failure,
    is_open_to_others, is_sharing_violation, names, open_at_once, other_readers, own_folder, plain,
    protect, protect_data, start, sync, sync_folder, system_proxy, takes_modes, unprotect_data,
};

pub use system::RawInput;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use std::fs::File;
use std::path::{Component, Path, Prefix};

/// This machine's name, for people.
pub(crate) fn host_name() -> String {
    let name = system::node_name();
    let name: String = name.chars().filter(|character| character.is_ascii_graphic()).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Who keeps keys on this system, as a sealed file names it.
pub(crate) const KEEPER: &str = match () {
    () if cfg!(windows) => "windows",
    () if cfg!(target_vendor = "apple") => "keychain",
    () => "secret-service",
};

/// How to make a key, for people.
pub(crate) const MAKE_KEY: &str = match cfg!(windows) {
    true => {
        "To make a key in PowerShell: $key = [byte[]]::new(32); [Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($key); [Convert]::ToBase64String($key)"
    }
    false => "To make a key: openssl rand -base64 32",
};

/// The folder that a file is in. An empty path is the current folder to some systems, and to others it is nothing.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The kind of file system that a folder is on, if other machines may use it at the same time.
pub(crate) fn network_file_system(folder: &Path) -> Option<String> {
    const KINDS: [&str; 13] = [
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "smb",
    ];
    // Only Windows has such prefixes.
    if let Some(Component::Prefix(prefix)) = folder.components().next()
        && matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..))
    {
        return Some("a share".to_owned());
    }
    let system = file_system(&File::open(folder).ok()?)?;
    KINDS.iter().any(|kind| system.starts_with(kind)).then_some(system)
}

/// Whether a locked file stays readable, and the lock file can be deleted while it is locked. On Windows
/// neither is possible: see `open_to_lock`.
pub(crate) const LOCKS_ARE_ADVISORY: bool = cfg!(unix);

/// Whether a file beside creds.json counts only if it belongs to somebody who has a say there. On Windows, the
/// access list of creds.json lets users share it, and each owns what they make.
pub(crate) const OWNERS_COUNT: bool = cfg!(unix);

/// Whether `HTTPS_PROXY` and `Https_Proxy` are the same variable.
pub(crate) const VARIABLES_IGNORE_CASE: bool = cfg!(windows);

/// Whether the system's certificates are those that `SSL_CERT_FILE` or `SSL_CERT_DIR` names, if one is set.
pub(crate) const READS_SSL_CERT_FILE: bool = cfg!(all(unix, not(target_vendor = "apple")));

/// The proxy settings of the system, as they are written there.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemProxy {
    /// `host:port` for every protocol, or `http=host:port;https=host:port`; empty if there is none.
    pub(crate) servers: String,
    /// The hosts that need no proxy: `*.example.com;<local>`.
    pub(crate) exempt: String,
    /// Whether a script chooses the proxy (PAC).
    pub(crate) has_script: bool,
}

/// Whether a write to a socket that times out says how much it has sent. On Windows, it is the end of the
/// connection (SO_SNDTIMEO).
pub(crate) const RESUMES_WRITES: bool = cfg!(unix);
