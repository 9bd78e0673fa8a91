//! Opens files that stand where others can put theirs: a link is not followed, and nothing is waited for.

use crate::platform::{AND, COPY_COMMAND, FileOwner, MOVE_COMMAND, quoted};
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

/// Who can read this file beside its owner, root and the administrators, as far as it says so itself.
pub(crate) fn other_readers(path: &Path) -> Vec<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let opened = open_at_once(path).and_then(|file| Ok((file.metadata()?, file)));
        let Ok((metadata, file)) = opened else { return Vec::new() };
        let access = super::Access::of(file);
        if metadata.mode() & 0o004 != 0 {
            vec!["every user of this machine".to_owned()]
        } else if access.is_ok_and(|access| access.has_list()) {
            vec!["those whom its access control list names (getfacl)".to_owned()]
        } else if metadata.mode() & 0o040 != 0 {
            vec![format!("the members of {}", super::owner::GroupName(metadata.gid()))]
        } else {
            Vec::new()
        }
    }
    #[cfg(windows)]
    super::windows::access::wide_readers(path)
}

/// Whether this name leads to this open file.
pub(crate) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    let named = || -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let [own, named] = [file.metadata()?, path.symlink_metadata()?];
        Ok((own.dev(), own.ino()) == (named.dev(), named.ino()))
    };
    #[cfg(not(unix))]
    let named = || -> io::Result<bool> {
        let named = crate::platform::patiently(|| same_file::Handle::from_path(path))?;
        Ok(same_file::Handle::from_file(file.try_clone()?)? == named)
    };
    match named() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        named => named,
    }
}

/// How many names a file has.
pub(crate) fn names(file: &File) -> io::Result<u64> {
    #[cfg(unix)]
    return Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?));
    #[cfg(windows)]
    Ok(winapi_util::file::information(file)?.number_of_links())
}

/// Opens the file of this name. What is opened is judged, not what had the name before.
///
/// # Errors
///
/// An [`Unfit`] if it is a link, or no file.
pub(crate) fn open_plain(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let file = open(path, options.clone())?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(Unfit::new(Flaw::NotAFile, FileOwner::of_open(&file)).into()),
    }
}

/// Opens what a name leads to, links included, to read it. A pipe is not waited for.
pub(crate) fn open_at_once(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    options.open(path)
}

#[cfg(unix)]
fn open(path: &Path, mut options: OpenOptions) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path).map_err(|error| unfit(path).map_or(error, io::Error::from))
}

/// What has this name and cannot be opened: a link, or a socket, or a pipe without a reader.
fn unfit(path: &Path) -> Option<Unfit> {
    let found = path.symlink_metadata().ok()?;
    let flaw = if found.is_symlink() { Flaw::Link } else { Flaw::NotAFile };
    (!found.is_file()).then(|| Unfit::new(flaw, FileOwner::of_name(path)))
}

#[cfg(windows)]
fn open(path: &Path, options: OpenOptions) -> io::Result<File> {
    use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
    use windows_sys::Win32::Storage::FileSystem::{
        FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_OPEN_REPARSE_POINT,
    };
    let mut itself = options.clone();
    itself.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    let file = itself.open(path).map_err(|error| unfit(path).map_or(error, io::Error::from))?;
    let metadata = file.metadata()?;
    if metadata.is_symlink() {
        return Err(Unfit::new(Flaw::Link, FileOwner::of_open(&file)).into());
    }
    match metadata.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT {
        0 => Ok(file),
        // A file that is compressed, or in OneDrive, is an ordinary one.
        _ => options.open(path),
    }
}
