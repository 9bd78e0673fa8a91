//! Everything that differs between systems: owners and modes, durable renames, signals, proxies.

#[cfg(unix)]
mod owner;
mod patience;
mod plain;
pub(crate) mod process;
mod shell;
pub(crate) mod signals;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use owner::FileOwner;
pub(crate) use patience::{Patience, patiently};
pub(crate) use plain::{Flaw, Unfit, is_named, names, open_at_once, open_plain, other_readers};
pub(crate) use shell::{is_unsafe_on_terminal, quoted};
#[cfg(windows)]
use windows::access::Protection;
#[cfg(windows)]
pub(crate) use windows::console::{end_by, handle_signals, is_interrupt};
#[cfg(windows)]
pub(crate) use windows::owner::FileOwner;
#[cfg(windows)]
pub(crate) use windows::{
    is_lookup_failure, is_sharing_violation, may_pass, open_to_lock, plain, system_proxy,
};

use std::fs::{File, Metadata};
use std::io;
use std::net::TcpStream;
use std::path::Path;
#[cfg(not(windows))]
use std::path::PathBuf;
use std::time::Duration;

/// Creates a file for those who may use creds.json. Nobody else can open it at any moment.
pub(crate) fn create_new(path: &Path, access: Option<&Access>) -> io::Result<File> {
    #[cfg(windows)]
    if let Some(access) = access {
        return access.protection.create(path);
    }
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        // Only its owner, until `give_to` lets in the others.
        let _ = access;
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)
}

/// Who may use creds.json: its owner, group, mode and access control list. Its replacement and the
/// files beside it get the same access. Other extended attributes are copied too.
#[derive(Debug)]
pub(crate) struct Access {
    metadata: Metadata,
    links: u64,
    /// As the system stores it (acl(5)); `None` if the mode says everything.
    #[cfg(target_os = "linux")]
    acl: Option<Vec<u8>>,
    #[cfg(target_os = "linux")]
    attributes: Vec<(std::ffi::CString, Vec<u8>)>,
    #[cfg(target_os = "macos")]
    file: File,
    #[cfg(windows)]
    protection: Protection,
}

impl Access {
    /// Reads who may use a file.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        Ok(Self {
            metadata: file.metadata()?,
            links: names(&file)?,
            #[cfg(target_os = "linux")]
            acl: linux::attribute(&file, linux::ACL)?,
            #[cfg(target_os = "linux")]
            attributes: linux::other_attributes(&file),
            #[cfg(windows)]
            protection: Protection::of(&file)?,
            #[cfg(target_os = "macos")]
            file,
        })
    }

    /// What of creds.json keeps its tokens from being refreshed.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.metadata.permissions().readonly() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "read-only"));
        }
        // A rename would leave the other names behind.
        if self.links > 1 {
            return Err(Unfit { flaw: Flaw::PairHardLink, owner: None }.into());
        }
        Ok(())
    }

    /// Whether it belongs to root.
    pub(crate) fn is_of_root(&self) -> bool {
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::uid(&self.metadata) == 0;
        #[cfg(not(unix))]
        false
    }

    /// Gives a new file the access of creds.json, without access for users who are neither its owner nor in
    /// its group, and for a group that only shared what everyone had.
    ///
    /// # Errors
    ///
    /// Some user would be shut out, or let in. A [`Flaw::PairForeign`] if the owner cannot be the same, unless
    /// `may_inherit`: whether this process's user may have it in the owner's place.
    pub(crate) fn give_to(&self, file: &File, may_inherit: bool) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            let (wanted, own) = (&self.metadata, file.metadata()?);
            let has_group =
                own.gid() == wanted.gid() || fchown(file, None, Some(wanted.gid())).is_ok();
            let has_owner =
                own.uid() == wanted.uid() || fchown(file, Some(wanted.uid()), None).is_ok();
            if !has_owner && !may_inherit {
                return Err(
                    Unfit::new(Flaw::PairForeign, Ok(FileOwner::of_metadata(wanted))).into()
                );
            }
            let mode = kept_mode(wanted.mode(), self.has_list());
            // Who inherits it need not let in a group that it is not in.
            let mode = if has_owner || has_group { mode } else { mode & 0o700 };
            #[cfg(target_os = "linux")]
            return linux::give(file, self, has_group, mode);
            #[cfg(not(target_os = "linux"))]
            {
                if !has_group && mode & 0o070 != 0 {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
                #[cfg(target_os = "macos")]
                copy_access_list(&self.file, file)?;
                Ok(())
            }
        }
        #[cfg(windows)]
        {
            let _ = may_inherit;
            self.protection.give_to(file)
        }
    }

    /// Whether an access control list says more than the mode. (That of macOS does not change what the mode
    /// means.)
    #[cfg(unix)]
    fn has_list(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.acl.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }
}

/// The mode of the files that come after one with this mode. Others have no access. The group keeps its own
/// if that was meant: where it may write, where a list says so, or where others had none. In a clone
/// (0644) the group merely comes with the others.
#[cfg(unix)]
fn kept_mode(mode: u32, has_list: bool) -> u32 {
    let is_meant = has_list || mode & 0o020 != 0 || mode & 0o007 == 0;
    mode & if is_meant { 0o770 } else { 0o700 }
}

/// What makes a file private by chmod(1), as the next refresh does.
pub(crate) fn closing_mode(path: &Path) -> &'static str {
    #[cfg(unix)]
    if let Ok(access) = open_at_once(path).and_then(Access::of) {
        let mode = std::os::unix::fs::MetadataExt::mode(&access.metadata);
        if kept_mode(mode, access.has_list()) & 0o070 == 0 {
            return "go-rwx";
        }
    }
    let _ = path;
    "o-rwx"
}

/// Whether users other than the file's owner and group may read or write it.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::mode(metadata) & 0o006 != 0;
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Copies the access control list and extended attributes, which macOS keeps apart from the mode.
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "no safe interface copies access control lists")]
fn copy_access_list(from: &File, to: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let flags = libc::COPYFILE_ACL | libc::COPYFILE_XATTR;
    // SAFETY: both descriptors are open for the whole call, and a null state is allowed
    // (copyfile(3)).
    match unsafe { libc::fcopyfile(from.as_raw_fd(), to.as_raw_fd(), std::ptr::null_mut(), flags) }
    {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Access control lists as Linux stores them, in the extended attribute of acl(5).
#[cfg(target_os = "linux")]
mod linux {
    use super::Access;
    use rustix::buffer::spare_capacity;
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;
    use std::ffi::{CStr, CString};
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    pub(super) const ACL: &CStr = c"system.posix_acl_access";
    /// The largest attribute, or list of attribute names, in bytes (xattr(7)).
    const MOST: usize = 64 * 1024;
    /// The rights of a user or group, and whom the entry is about (linux/posix_acl_xattr.h).
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Entry {
        tag: u16,
        id: u32,
        rights: u16,
    }
    const VERSION: [u8; 4] = 2u32.to_le_bytes();
    const OWNER: u16 = 0x01;
    const USER: u16 = 0x02;
    const FILE_GROUP: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHERS: u16 = 0x20;
    const NO_ID: u32 = u32::MAX;

    /// Reads an attribute of a file; `None` if the file or file system does not have it.
    pub(super) fn attribute(file: &File, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let mut value = Vec::with_capacity(MOST);
        match fgetxattr(file, name, spare_capacity(&mut value)) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the attributes other than the access control list, as far as they are readable.
    pub(super) fn other_attributes(file: &File) -> Vec<(CString, Vec<u8>)> {
        let mut names = Vec::with_capacity(MOST);
        if flistxattr(file, spare_capacity(&mut names)).is_err() {
            return Vec::new();
        }
        let names = names.split_inclusive(|&byte| byte == 0);
        let names = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
        let others = names.filter(|name| !name.to_bytes().starts_with(b"system."));
        others.filter_map(|name| Some((name.to_owned(), attribute(file, name).ok()??))).collect()
    }

    pub(super) fn give(file: &File, access: &Access, has_group: bool, mode: u32) -> io::Result<()> {
        for (name, value) in &access.attributes {
            // As far as this user may set them: none of them grants access.
            let _ = fsetxattr(file, name.as_c_str(), value, XattrFlags::empty());
        }
        if access.acl.is_none() && (has_group || mode & 0o070 == 0) {
            // The folder's default list for new files does not apply to creds.json.
            match fremovexattr(file, ACL) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
            return file.set_permissions(PermissionsExt::from_mode(mode));
        }
        let foreign_group = (!has_group).then_some(access.metadata.gid());
        let list = list(entries(access.acl.as_deref(), mode), foreign_group);
        Ok(fsetxattr(file, ACL, &list, XattrFlags::empty())?)
    }

    /// The entries of a list, or those that the mode stands for.
    fn entries(acl: Option<&[u8]>, mode: u32) -> Vec<Entry> {
        let entry = |bytes: &[u8; 8]| {
            let [t0, t1, r0, r1, id @ ..] = *bytes;
            Entry {
                tag: u16::from_le_bytes([t0, t1]),
                rights: u16::from_le_bytes([r0, r1]),
                id: u32::from_le_bytes(id),
            }
        };
        match acl {
            Some(acl) => acl.get(4..).unwrap_or_default().as_chunks().0.iter().map(entry).collect(),
            None => [(OWNER, mode >> 6), (FILE_GROUP, mode >> 3), (OTHERS, mode)]
                .map(|(tag, rights)| Entry { tag, id: NO_ID, rights: (rights & 7) as u16 })
                .to_vec(),
        }
    }

    /// The list without rights for others. If the file belongs to another group than creds.json, that of
    /// creds.json gets an entry.
    fn list(mut entries: Vec<Entry>, group: Option<u32>) -> Vec<u8> {
        if let Some(id) = group {
            let of_group = entries.iter().find(|entry| entry.tag == FILE_GROUP);
            let rights = of_group.map_or(0, |entry| entry.rights);
            entries.retain(|entry| (entry.tag, entry.id) != (GROUP, id));
            entries.push(Entry { tag: GROUP, id, rights });
        }
        for entry in &mut entries {
            match entry.tag {
                OTHERS => entry.rights = 0,
                // The file's actual group has no right to creds.json.
                FILE_GROUP if group.is_some() => entry.rights = 0,
                _ => {}
            }
        }
        if group.is_some() && !entries.iter().any(|entry| entry.tag == MASK) {
            let named =
                entries.iter().filter(|entry| [USER, FILE_GROUP, GROUP].contains(&entry.tag));
            let rights = named.fold(0, |rights, entry| rights | entry.rights);
            entries.push(Entry { tag: MASK, id: NO_ID, rights });
        }
        entries.sort_unstable();
        let mut list = VERSION.to_vec();
        for Entry { tag, rights, id } in entries {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }
}

/// Makes renames and removals in the folder survive a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match sync(&File::open(folder)?) {
        // Some file systems cannot do this, and say so.
        Err(error) if !cannot_sync(&error) => return Err(error),
        _ => {}
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Whether another program has the file open, and does not share it. Other systems have no such error.
#[cfg(not(windows))]
pub(crate) fn is_sharing_violation(_error: &io::Error) -> bool {
    false
}

/// Whether the failure may pass by itself, as soon as another program closes the file.
#[cfg(not(windows))]
pub(crate) fn may_pass(_error: &io::Error) -> bool {
    false
}

/// Opens a file that is to be locked. Most systems do not want to write it for that.
#[cfg(not(windows))]
pub(crate) fn open_to_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    open_plain(path, options.clone().write(true)).or_else(|error| match Unfit::of(&error) {
        Some(_) => Err(error),
        None => open_plain(path, &options),
    })
}

/// Whether this is what the system says of a name lookup that has failed, and std has no words for.
#[cfg(not(windows))]
pub(crate) fn is_lookup_failure(_error: &io::Error) -> bool {
    false
}

/// The path as people write it.
#[cfg(not(windows))]
pub(crate) fn plain(path: PathBuf) -> PathBuf {
    path
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
#[cfg(unix)]
fn cannot_sync(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported)
        || matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::ENOTTY))
}

/// Has an empty file written in place on file systems that copy on write (btrfs): its space then stays
/// reserved even if the disk fills up.
pub(crate) fn keep_in_place(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
        // Other file systems refuse, and do not need it.
        if let Ok(flags) = ioctl_getflags(file) {
            let _ = ioctl_setflags(file, flags | IFlags::NOCOW);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// This machine's name, for people.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name: String = name.chars().filter(|character| character.is_ascii_graphic()).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Whether a locked file stays readable, and the lock file can be deleted while it is locked. On Windows
/// neither is possible: see `open_to_lock`.
pub(crate) const LOCKS_ARE_ADVISORY: bool = cfg!(unix);

/// Whether a file beside creds.json counts only if it belongs to somebody who has a say there. On Windows, the
/// access list of creds.json lets users share it, and each owns what they make.
pub(crate) const OWNERS_COUNT: bool = cfg!(unix);

/// The shell command that moves a file over another.
pub(crate) const MOVE_COMMAND: &str = if cfg!(windows) { "Move-Item -Force" } else { "mv" };
/// The one that makes a private copy of a file.
const COPY_COMMAND: &str = if cfg!(windows) { "Copy-Item" } else { "install -m 600" };
/// What stands between two commands.
const AND: &str = if cfg!(windows) { ";" } else { "&&" };

/// Handles the signals that end a program, from now on. Those that the process was started to ignore
/// (`nohup`, a shell's `&`) stay ignored.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what a signal handler may do is not for the compiler to check")]
pub(crate) fn handle_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if !is_ignored(signal) {
            let handle = move || {
                if signals::ends_program(signal) {
                    end_by(signal);
                }
            };
            // SAFETY: a handler may not allocate, lock or print (signal-safety(7)). This one reads and
            // writes atomics, asks for the time, and calls `exit` or `emulate_default_handler`, all of
            // which are allowed.
            let handled = unsafe { signal_hook::low_level::register(signal, handle) };
            // A signal that cannot be handled cannot be held.
            let _ = handled;
        }
    }
}

/// Whether a person asks for the program's end.
#[cfg(unix)]
pub(crate) fn is_interrupt(signal: i32) -> bool {
    signal == signal_hook::consts::SIGINT
}

/// Ends the program as the signal would have, so that the shell can tell.
#[cfg(unix)]
pub(crate) fn end_by(signal: i32) {
    use signal_hook::low_level;
    if std::process::id() == 1 {
        // A container's first process is not ended by its own signals. Use the shell's exit code.
        low_level::exit(128 + signal);
    }
    let _ = low_level::emulate_default_handler(signal);
}

/// Whether the process was started with the signal ignored.
#[cfg(unix)]
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

/// The proxy settings of the system, where there are any that can be read.
#[cfg(not(windows))]
pub(crate) fn system_proxy() -> SystemProxy {
    SystemProxy::default()
}

/// Whether a write to a socket that times out says how much it has sent. On Windows, it is the end of the
/// connection (SO_SNDTIMEO).
pub(crate) const RESUMES_WRITES: bool = cfg!(unix);

/// Makes the system probe an idle peer, and break the connection some 20 s after the peer is gone.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(3))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

/// A file without a name in this folder; it ends with the program, however that ends. `None` if the
/// file system does not support it, or the file could not be named later.
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

/// Gives an unnamed file a name that is not in use.
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
fn descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)).into()
}

/// Whether standard output is open for writing. The standard library ignores one that is not.
#[cfg(unix)]
pub(crate) fn has_stdout() -> bool {
    use rustix::fs::OFlags;
    let flags = rustix::fs::fcntl_getfl(rustix::stdio::stdout());
    flags.is_ok_and(|flags| (flags & OFlags::ACCMODE) != OFlags::RDONLY)
}

#[cfg(not(unix))]
pub(crate) fn has_stdout() -> bool {
    !std::os::windows::io::AsRawHandle::as_raw_handle(&io::stdout()).is_null()
}
