//! Opens files that stand where others can put theirs: a link is not followed, and nothing is waited for.

use crate::platform::shell::{AND, COPY_COMMAND, MOVE_COMMAND, quoted};
use crate::platform::{Access, FileOwner, system};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::{error, fmt, io};

/// Something that has the name of one of our files, and is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) flaw: Flaw,
    /// Its owner, where that can be told.
    pub(super) owner: Option<FileOwner>,
}

/// Why it is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A symbolic link, or on Windows a mount point. It may lead to a file of somebody else's.
    Link,
    /// A folder, a pipe, a socket or a device.
    NotAFile,
    /// A file that has another name: it may be somebody else's file.
    HardLink,
    /// A file of another user's.
    Foreign,
    /// creds.json itself has another name, which would keep the old tokens and has a lock of its own.
    PairHardLink,
    /// creds.json itself is another user's, and its successor could not be.
    PairForeign,
}

impl Unfit {
    pub(crate) fn new(flaw: Flaw, owner: io::Result<FileOwner>) -> Self {
        Self { flaw, owner: owner.ok() }
    }

    /// The reason behind an error, if it is one of these.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What to do about it.
    pub(crate) fn help(&self, path: &Path) -> String {
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            quoted(Path::new(&name))
        };
        let (path, other, mine) = (quoted(path), beside(".other"), beside(".mine"));
        match self.flaw {
            Flaw::Link | Flaw::NotAFile => format!(
                "Programs that share these tokens never put that there, so it is not used. Move it away: {MOVE_COMMAND} {path} {other}"
            ),
            Flaw::HardLink | Flaw::Foreign => format!(
                "It may hold tokens, and nobody else may choose yours. If you trust it, make it yours: {COPY_COMMAND} {path} {mine} {AND} {MOVE_COMMAND} {mine} {path}\nIf not, move it away: {MOVE_COMMAND} {path} {other}"
            ),
            Flaw::PairHardLink => "Each name of a file has a lock of its own, and keeps its own tokens. Keep one of them, and make the others symbolic links to it.".to_owned(),
            Flaw::PairForeign => format!(
                "The new tokens would not be theirs. Run this as {}, or create a pair of your own in another folder, and name that with --dir or AAC_DIR.",
                self.owner.as_ref().map_or_else(|| "its owner".to_owned(), ToString::to_string)
            ),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.flaw {
            Flaw::Link => "it is a symbolic link",
            Flaw::NotAFile => "it is not a file",
            Flaw::HardLink | Flaw::PairHardLink => "it has another name (a hard link)",
            Flaw::Foreign | Flaw::PairForeign => "it is another user's",
        })?;
        match &self.owner {
            Some(owner) => write!(f, ", and belongs to {owner}"),
            None => Ok(()),
        }
    }
}

impl error::Error for Unfit {}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::other(unfit)
    }
}

impl Access {
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
}

/// Whether this name leads to this open file.
pub(crate) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    match system::is_same(file, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        named => named,
    }
}

/// Opens the file of this name. What is opened is judged, not what had the name before.
///
/// # Errors
///
/// An [`Unfit`] if it is a link, or no file.
pub(crate) fn open_plain(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = system::open_itself(path, options.clone())?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(Unfit::new(Flaw::NotAFile, FileOwner::of_open(&file)).into()),
    }
}

/// Opens a file that is to be locked, to write it if that is allowed.
pub(crate) fn open_to_lock(path: &Path) -> io::Result<File> {
    let options = system::for_lock();
    open_plain(path, options.clone().write(true)).or_else(|error| match Unfit::of(&error) {
        Some(_) => Err(error),
        None => open_plain(path, &options),
    })
}

/// What has this name and cannot be opened: a link, or a socket, or a pipe without a reader.
pub(super) fn unfit(path: &Path) -> Option<Unfit> {
    let found = path.symlink_metadata().ok()?;
    let flaw = if found.is_symlink() { Flaw::Link } else { Flaw::NotAFile };
    (!found.is_file()).then(|| Unfit::new(flaw, FileOwner::of_name(path)))
}
