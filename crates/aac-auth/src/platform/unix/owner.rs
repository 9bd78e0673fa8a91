//! Who owns a file.

use rustix::process::geteuid;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{env, fmt, io};

/// The owner of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOwner(u32);

impl FileOwner {
    /// Of the file that this path leads to.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::metadata(path)?.uid()))
    }

    /// Of what has this name, which may be a link.
    pub(crate) fn of_name(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::symlink_metadata(path)?.uid()))
    }

    /// Of the link that has this name; none if it is no link.
    pub(crate) fn of_link(path: &Path) -> io::Result<Option<Self>> {
        let named = fs::symlink_metadata(path)?;
        Ok(named.is_symlink().then(|| Self(named.uid())))
    }

    /// Of what the system says of a file.
    pub(super) fn of_metadata(metadata: &Metadata) -> Self {
        Self(metadata.uid())
    }

    /// Of an open file.
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self(file.metadata()?.uid()))
    }

    /// Whether it is this process's user, or root, who may do everything anyway.
    pub(crate) fn is_ours(&self) -> bool {
        self.0 == 0 || self.0 == geteuid().as_raw()
    }

    /// Whether root works for this user: by sudo, or in the user's folder, as in containers.
    pub(crate) fn stands_for_us(&self) -> bool {
        let by_sudo = || env::var("SUDO_UID").is_ok_and(|id| id.parse() == Ok(self.0));
        let is_here = || Self::of(Path::new(".")).is_ok_and(|owner| owner == *self);
        geteuid().is_root() && (by_sudo() || is_here())
    }
}

/// For people: the name, where it is at hand, and the number.
impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "uid", self.0, "/etc/passwd")
    }
}

/// A group, for people.
pub(super) struct GroupName(pub(super) u32);

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "gid", self.0, "/etc/group")
    }
}

/// The number, and the name that the file has for it: a directory service may take its time.
fn named(f: &mut fmt::Formatter<'_>, what: &str, number: u32, file: &str) -> fmt::Result {
    let names = fs::read_to_string(file).unwrap_or_default();
    let name = names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then_some(name)
    });
    match name {
        Some(name) => write!(f, "{name} ({what} {number})"),
        None => write!(f, "{what} {number}"),
    }
}
