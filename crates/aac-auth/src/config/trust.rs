//! Whose the three files may be.
//!
//! A folder that is found by walking up may be one that others can write to: a shared temporary folder, a
//! drive. Files that somebody else has put there would choose the host and the account, and a link among
//! them would have a secret of the caller sent as a header (compare git's `safe.directory`, CVE-2022-24765).

use crate::config::text::unreadable;
use crate::error::FileProblem;
use crate::platform::{self, FileOwner};
use crate::random;
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Why the files of a folder are used.
pub(crate) enum Trust {
    /// The folder was named, or is the user's own: its files may be anybody's.
    ByHand,
    /// The folder was found: its files must be the user's or the administrators'.
    ByOwner,
}

impl Trust {
    /// Checks one of the three files: by its name, and once it is `open`, since its name may have led
    /// elsewhere in the meantime.
    pub(crate) fn check(&self, path: &Path, open: Option<&File>) -> Result<(), FileProblem> {
        if matches!(self, Self::ByHand) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let named = match open {
            None => FileOwner::of_name(path).map_err(unreadable)?,
            Some(file) => {
                owner_of_name(path, file).map_err(unreadable)?.ok_or_else(FileProblem::exchanged)?
            }
        };
        if !is_trusted(&named, folder) {
            return Err(FileProblem::of_another(&named.to_string(), &by_hand(folder)));
        }
        let owner = open.map_or_else(|| FileOwner::of(path), FileOwner::of_open);
        let owner = owner.map_err(unreadable)?;
        // The link of someone who cannot read a file must not have it read, and sent, by someone who can.
        // Users who make links themselves can, and so can administrators.
        if owner == named || (named.is_ours() && (owner.is_ours() || owner.stands_for_us())) {
            return Ok(());
        }
        let (link, owner) = (named.to_string(), owner.to_string());
        Err(FileProblem::link_to_another(&link, &owner, &by_hand(folder)))
    }
}

/// The owner of the name that leads to this open file: of a link, or of the file itself. None if the name
/// is another file's by now.
fn owner_of_name(path: &Path, file: &File) -> io::Result<Option<FileOwner>> {
    match FileOwner::of_link(path)? {
        None if platform::is_named(file, path)? => FileOwner::of_open(file).map(Some),
        link => Ok(link),
    }
}

fn is_trusted(owner: &FileOwner, folder: &Path) -> bool {
    owner.is_ours()
        || owner.stands_for_us()
        // Mounts that have one owner for all files, or other numbers than this system.
        || of_a_new_file(folder).is_ok_and(|own| own == *owner)
}

/// The owner that a file of this user gets in the folder.
pub(crate) fn of_a_new_file(folder: &Path) -> io::Result<FileOwner> {
    with_a_new_file(folder, FileOwner::of_open)
}

/// Whether users can change who may use the files of this folder; true where that cannot be tried.
pub(crate) fn takes_modes(folder: &Path) -> bool {
    match with_a_new_file(folder, platform::takes_modes) {
        Err(error) => error.kind() != io::ErrorKind::ReadOnlyFilesystem,
        Ok(takes_modes) => takes_modes,
    }
}

fn with_a_new_file<T>(folder: &Path, look: impl Fn(&File) -> io::Result<T>) -> io::Result<T> {
    if let Some(file) = platform::unnamed_file(folder) {
        return look(&file);
    }
    // Safe to delete if left behind, as others of such a name.
    let path = folder.join(format!("creds.json.lock.{}", random::name()));
    let seen = platform::create_new(&path, None).and_then(|file| look(&file));
    if seen.is_ok() {
        platform::patiently(|| fs::remove_file(&path))?;
    }
    seen
}

/// The flag that names the folder, and so says that its files may be used.
fn by_hand(folder: &Path) -> String {
    let path = folder.display().to_string();
    match path.contains(' ') {
        _ if env::current_dir().is_ok_and(|current| current == folder) => "--dir .".to_owned(),
        true => format!("--dir \"{path}\""),
        // cmd takes a \ before a quotation mark, as in that of a drive, for part of the name.
        false => format!("--dir {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_new_file_is_found_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let own = of_a_new_file(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = File::create_new(folder.path().join("creds.json")).unwrap();
        assert_eq!(FileOwner::of_open(&file).unwrap(), own);
        // Nothing can be made there.
        assert!(of_a_new_file(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn an_open_file_whose_name_has_gone_to_another_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client_id.txt");
        let secret = File::create_new(folder.path().join("secret")).unwrap();
        // It was opened through somebody's link, which an own file has replaced.
        let own = File::create_new(&path).unwrap();
        assert!(Trust::ByOwner.check(&path, Some(&secret)).is_err());
        assert!(Trust::ByOwner.check(&path, Some(&own)).is_ok());
    }

    #[test]
    fn an_open_file_whose_name_is_gone_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client_id.txt");
        let file = File::create_new(&path).unwrap();
        assert!(Trust::ByOwner.check(&path, Some(&file)).is_ok());
        // Whoever may remove it may have put a link in its place before.
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(matches!(Trust::ByOwner.check(&path, Some(&file)), Err(FileProblem::Missing)));
        assert!(Trust::ByHand.check(&path, Some(&file)).is_ok());
    }
}
