//! Everything that differs between systems: owners and modes, durable renames, signals, proxies.

pub(crate) use signal_hook::consts::SIGINT;
pub(crate) mod cleanup;
pub(crate) mod farewell;
pub(crate) mod signals;

use signal_hook::consts::SIGTERM;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use ureq::Proxy;

/// Options that create a file only its owner may read, from the start.
pub(crate) fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Who may use creds.json: its owner, group, mode and access control list. Its replacement and the
/// files beside it get the same access. Other extended attributes are copied too.
///
/// On Windows a new file takes its access from the folder, so there is nothing to keep.
#[derive(Debug)]
pub(crate) struct Access {
    metadata: Metadata,
    /// As the system stores it (acl(5)); `None` if the mode says everything.
    #[cfg(target_os = "linux")]
    acl: Option<Vec<u8>>,
    #[cfg(target_os = "linux")]
    attributes: Vec<(std::ffi::CString, Vec<u8>)>,
    #[cfg(target_os = "macos")]
    file: Option<File>,
}

/// The owner of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The owner of creds.json.
    Same,
    /// This process's user, since only root may give a file away. The owner of creds.json has access.
    Ours,
}

impl Access {
    /// Reads who may use the file at this path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            metadata: std::fs::metadata(path)?,
            #[cfg(target_os = "linux")]
            acl: linux::attribute(path, linux::ACL)?,
            #[cfg(target_os = "linux")]
            attributes: linux::other_attributes(path),
            #[cfg(target_os = "macos")]
            file: File::open(path).ok(),
        })
    }

    /// Whether the file's owner has made it read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.metadata.permissions().readonly()
    }

    /// How many names the file has: a rename would leave the others behind.
    pub(crate) fn links(&self) -> u64 {
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::nlink(&self.metadata);
        #[cfg(not(unix))]
        1
    }

    /// Gives the new, empty file the access of creds.json, without access for users who are neither its
    /// owner nor in its group.
    ///
    /// Fails if that would shut out a permitted user or let anyone else in.
    pub(crate) fn give_to(&self, file: &File) -> io::Result<Owner> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
            let (wanted, own) = (&self.metadata, file.metadata()?);
            let has_group =
                own.gid() == wanted.gid() || fchown(file, None, Some(wanted.gid())).is_ok();
            let owner =
                match own.uid() == wanted.uid() || fchown(file, Some(wanted.uid()), None).is_ok() {
                    true => Owner::Same,
                    false => Owner::Ours,
                };
            let mode = PermissionsExt::from_mode(wanted.mode() & 0o770);
            #[cfg(target_os = "linux")]
            linux::give(file, self, owner, has_group, mode)?;
            #[cfg(not(target_os = "linux"))]
            {
                // The group bits let the owner in only if the file has that group.
                let is_open = has_group && (owner == Owner::Same || wanted.mode() & 0o060 == 0o060);
                if !is_open {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                file.set_permissions(mode)?;
                #[cfg(target_os = "macos")]
                copy_access_list(self.file.as_ref(), file)?;
            }
            Ok(owner)
        }
        #[cfg(not(unix))]
        {
            let _ = file;
            Ok(Owner::Same)
        }
    }
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
fn copy_access_list(from: Option<&File>, to: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let Some(from) = from else { return Ok(()) };
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
    use super::{Access, Owner};
    use rustix::buffer::spare_capacity;
    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, getxattr, listxattr};
    use rustix::io::Errno;
    use std::ffi::{CStr, CString};
    use std::fs::{File, Permissions};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

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
    pub(super) fn attribute(path: &Path, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let mut value = Vec::with_capacity(MOST);
        match getxattr(path, name, spare_capacity(&mut value)) {
            Ok(_) => Ok(Some(value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the attributes other than the access control list, as far as they are readable.
    pub(super) fn other_attributes(path: &Path) -> Vec<(CString, Vec<u8>)> {
        let mut names = Vec::with_capacity(MOST);
        if listxattr(path, spare_capacity(&mut names)).is_err() {
            return Vec::new();
        }
        let names = names.split_inclusive(|&byte| byte == 0);
        let names = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
        let others = names.filter(|name| !name.to_bytes().starts_with(b"system."));
        others.filter_map(|name| Some((name.to_owned(), attribute(path, name).ok()??))).collect()
    }

    pub(super) fn give(
        file: &File,
        access: &Access,
        owner: Owner,
        has_group: bool,
        mode: Permissions,
    ) -> io::Result<()> {
        for (name, value) in &access.attributes {
            // As far as this user may set them: none of them grants access.
            let _ = fsetxattr(file, name.as_c_str(), value, XattrFlags::empty());
        }
        let is_plain = access.acl.is_none() && owner == Owner::Same && has_group;
        if is_plain {
            // The folder's default list for new files does not apply to creds.json.
            match fremovexattr(file, ACL) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
            return file.set_permissions(mode);
        }
        let (uid, gid) = (access.metadata.uid(), access.metadata.gid());
        let foreign_owner = (owner == Owner::Ours).then_some(uid);
        let foreign_group = (!has_group).then_some(gid);
        let entries = entries(access.acl.as_deref(), access.metadata.mode());
        let list = list(entries, foreign_owner, foreign_group);
        match fsetxattr(file, ACL, &list, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            // The group bits let the owner in if the file system has no lists.
            Err(Errno::OPNOTSUPP)
                if has_group && access.metadata.mode() & 0o060 == 0o060 && access.acl.is_none() =>
            {
                file.set_permissions(mode)
            }
            Err(error) => Err(error.into()),
        }
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

    /// The list without rights for others. If the file belongs to this process's user or group instead of
    /// those of creds.json, the latter get their own entries.
    fn list(mut entries: Vec<Entry>, owner: Option<u32>, group: Option<u32>) -> Vec<u8> {
        let rights = |entries: &[Entry], tag| {
            entries.iter().find(|entry| entry.tag == tag).map_or(0, |entry| entry.rights)
        };
        if let Some(id) = owner {
            let rights = rights(&entries, OWNER);
            entries.retain(|entry| (entry.tag, entry.id) != (USER, id));
            entries.push(Entry { tag: USER, id, rights });
        }
        if let Some(id) = group {
            let rights = rights(&entries, FILE_GROUP);
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
        if (owner.is_some() || group.is_some()) && !entries.iter().any(|entry| entry.tag == MASK) {
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
    match File::open(folder)?.sync_all() {
        // Some file systems cannot do this, and say so.
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

/// Whether another program has the file open without sharing it, as virus scanners do for a moment.
/// std has no kind for it; other systems have no such error.
pub(crate) fn is_sharing_violation(error: &io::Error) -> bool {
    const ERROR_SHARING_VIOLATION: i32 = 32;
    cfg!(windows)
        && (error.kind() == io::ErrorKind::PermissionDenied
            || error.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
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

/// Whether a locked file stays readable, and an open file can be deleted. On Windows neither is
/// possible.
pub(crate) const LOCKS_ARE_ADVISORY: bool = cfg!(unix);

/// The shell command that moves a file over another.
pub(crate) const MOVE_COMMAND: &str = if cfg!(windows) { "Move-Item -Force" } else { "mv" };

/// The signals that end a program and can be handled.
#[cfg(unix)]
pub(crate) const ENDING_SIGNALS: &[i32] = &[SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
pub(crate) const ENDING_SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// Makes a signal call `handler`, which must be signal-safe (signal-safety(7)): no allocation, no lock,
/// no buffered output.
#[expect(unsafe_code, reason = "what a signal handler may do is not for the compiler to check")]
pub(crate) fn on_signal(signal: i32, handler: fn(i32)) -> io::Result<()> {
    // SAFETY: the one handler, `signals::act`, reads and writes atomics, asks for the time, removes
    // files with `unlink`, writes with `write`, and calls `emulate_default_handler`, all of which are
    // allowed.
    unsafe { signal_hook::low_level::register(signal, move || handler(signal)) }.map(drop)
}

/// Whether the process was started with the signal ignored.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no safe interface asks for the disposition of a signal")]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction(2) only writes the present one to a place that is valid
    // for writes of its type. Zeroes are a valid value of that type, in case the call fails.
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

/// The system-wide proxy, if the system has such a setting.
pub(crate) fn system_proxy() -> Option<Proxy> {
    if cfg!(windows) { Proxy::try_from_env() } else { None }
}

/// Makes the system probe an idle peer, and break the connection some 20 s after the peer is gone.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(3))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

/// Removes a file in a signal handler, without allocating or locking. The path ends with a zero
/// byte.
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

/// Writes to standard error in a signal handler, without allocating or locking.
#[cfg(unix)]
pub(crate) fn write_stderr(bytes: &[u8]) {
    // Best effort: it may be closed.
    let _ = rustix::io::write(rustix::stdio::stderr(), bytes);
}

/// Windows runs the handler in a thread of its own, which may wait for a lock.
#[cfg(not(unix))]
pub(crate) fn write_stderr(bytes: &[u8]) {
    let _ = io::Write::write_all(&mut io::stderr(), bytes);
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
fn descriptor(file: &File) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)).into()
}

/// Whether the process was started with a writable standard output. The standard library ignores one
/// that is not.
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

/// A closed standard output must be detected before `main`: the runtime replaces it with /dev/null,
/// which then looks deliberate.
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
