//! What only Linux can do.

use rustix::fs::{AtFlags, CWD, IFlags, ioctl_getflags, ioctl_setflags, linkat};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Has an empty file written in place on file systems that copy on write (btrfs): its space then stays
/// reserved even if the disk fills up.
pub(crate) fn keep_in_place(file: &File) {
    // Other file systems refuse, and do not need it.
    if let Ok(flags) = ioctl_getflags(file) {
        let _ = ioctl_setflags(file, flags | IFlags::NOCOW);
    }
}

/// A file without a name in this folder; it ends with the program, however that ends. `None` if the
/// file system does not support it, or the file could not be named later.
pub(crate) fn unnamed_file(folder: &Path) -> Option<File> {
    let mut options = File::options();
    let file = options.write(true).custom_flags(libc::O_TMPFILE).open(folder).ok()?;
    descriptor(&file).exists().then_some(file)
}

/// Gives an unnamed file a name that is not in use.
pub(crate) fn name_file(file: &File, path: &Path) -> io::Result<()> {
    Ok(linkat(CWD, descriptor(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// The type of a file's file system, and where it is mounted (proc_pid_mountinfo(5)).
pub(crate) fn file_system(file: &File) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').next() == Some(id))?;
    let (place, kind) = mount.split_once(" - ")?;
    Some(format!("{} on {}", kind.split(' ').next()?, place.split(' ').nth(4)?))
}

/// See open(2): how a process without privileges names the file.
fn descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// What a process has started, and what that has started (`/proc/PID/task/TID/children`, proc(5)).
pub(crate) fn descendants(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|id| id.parse().ok());
    children.flat_map(|id| [vec![id], descendants(id)].concat()).collect()
}
