//! Who may use a file: its owner, group and mode, and what some systems add to them.

#[cfg(target_os = "linux")]
use super::acl;
use super::is_refused;
use super::owner::{FileOwner, GroupName};
use crate::platform::{Flaw, Unfit, file_system, open_at_once};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Creates a file for its owner only. [`Access::give_to`] lets in those who may use creds.json.
pub(crate) fn create_new(path: &Path, _access: Option<&Access>) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Who may use creds.json: its owner, group, mode and access control list. Its replacement and the
/// files beside it get the same access. Other extended attributes are copied too.
#[derive(Debug)]
pub(crate) struct Access {
    pub(in crate::platform) metadata: Metadata,
    pub(in crate::platform) links: u64,
    /// As the system stores it (acl(5)); `None` if the mode says everything.
    #[cfg(target_os = "linux")]
    pub(super) acl: Option<Vec<u8>>,
    #[cfg(target_os = "linux")]
    pub(super) attributes: Vec<(std::ffi::CString, Vec<u8>)>,
    #[cfg(target_os = "macos")]
    file: File,
}

impl Access {
    /// Reads who may use a file.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            links: metadata.nlink(),
            metadata,
            #[cfg(target_os = "linux")]
            acl: acl::attribute(&file, acl::ACL)?,
            #[cfg(target_os = "linux")]
            attributes: acl::other_attributes(&file),
            #[cfg(target_os = "macos")]
            file,
        })
    }

    /// Whether it belongs to root.
    pub(crate) fn is_of_root(&self) -> bool {
        self.metadata.uid() == 0
    }

    /// Gives a new file the access of creds.json, without access for users who are neither its owner nor in
    /// its group, and for a group that only shared what everyone had.
    ///
    /// # Errors
    ///
    /// Some user would be shut out, or let in. A [`Flaw::PairForeign`] if the owner cannot be the same, unless
    /// `may_inherit`: whether this process's user may have it in the owner's place. `Unsupported` if the file
    /// system does not let programs say who may use a file.
    pub(crate) fn give_to(&self, file: &File, may_inherit: bool) -> io::Result<()> {
        let (wanted, own) = (&self.metadata, file.metadata()?);
        let has_group = own.gid() == wanted.gid() || fchown(file, None, Some(wanted.gid())).is_ok();
        let has_owner = own.uid() == wanted.uid() || fchown(file, Some(wanted.uid()), None).is_ok();
        if !has_owner && !may_inherit {
            return Err(Unfit::new(Flaw::PairForeign, Ok(FileOwner::of_metadata(wanted))).into());
        }
        // Who inherits it need not let in a group that it is not in.
        let mode = self.kept_mode() & if has_owner || has_group { 0o770 } else { 0o700 };
        match self.let_in(file, has_group, mode) {
            Err(error) if !self.is_met_by(file, mode)? => Err(match is_refused(&error) {
                true => cannot_let_in(file, &error),
                false => error,
            }),
            _ => {
                // It holds beside the mode.
                #[cfg(target_os = "macos")]
                copy_access_list(&self.file, file)?;
                Ok(())
            }
        }
    }

    fn let_in(&self, file: &File, has_group: bool, mode: u32) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        return acl::give(file, self, has_group, mode);
        #[cfg(not(target_os = "linux"))]
        {
            if !has_group && mode & 0o070 != 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            file.set_permissions(PermissionsExt::from_mode(mode))
        }
    }

    /// Whether a new file has this mode or that of creds.json already, and the group to go with it. On some
    /// mounts no mode can be set, and all files have the same (WSL's, CIFS, FAT, folders that a virtual machine
    /// shares).
    fn is_met_by(&self, file: &File, mode: u32) -> io::Result<bool> {
        let (now, old) = (Self::of(file.try_clone()?)?, self.metadata.mode());
        let is_same = |mode: u32| (now.metadata.mode() ^ mode) & 0o666 == 0;
        let has_group = now.metadata.gid() == self.metadata.gid() || mode & 0o070 == 0;
        Ok(has_group && !self.has_list() && !now.has_list() && (is_same(mode) || is_same(old)))
    }

    /// Whether an access control list says more than the mode. (That of macOS does not change what the mode
    /// means.)
    fn has_list(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.acl.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// The mode of the files that come after this one. Others have no access. The group keeps its own if that
    /// was meant: where it may write, where a list says so, or where others had none. In a clone (0644) the
    /// group merely comes with the others.
    fn kept_mode(&self) -> u32 {
        let mode = self.metadata.mode();
        let is_meant = self.has_list() || mode & 0o020 != 0 || mode & 0o007 == 0;
        mode & if is_meant { 0o770 } else { 0o700 }
    }
}

fn cannot_let_in(file: &File, error: &io::Error) -> io::Error {
    let name = file_system(file).map_or_else(String::new, |name| format!(" ({name})"));
    let what = format!("its file system{name} does not let programs set who may use it: {error}");
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// Whether chmod(1) has an effect on files like this new one of the user's.
pub(crate) fn takes_modes(file: &File) -> io::Result<bool> {
    // The mode that it was made with may be kept where a later one is not.
    const OTHER: u32 = 0o700;
    let _ = file.set_permissions(PermissionsExt::from_mode(OTHER));
    Ok(file.metadata()?.mode() & 0o777 == OTHER)
}

/// What makes a file private by chmod(1), as the next refresh does.
pub(crate) fn closing_mode(path: &Path) -> &'static str {
    match open_at_once(path).and_then(Access::of) {
        Ok(access) if access.kept_mode() & 0o070 == 0 => "go-rwx",
        _ => "o-rwx",
    }
}

/// Whether users other than the file's owner and group may read or write it.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o006 != 0
}

/// Who can read this file beside its owner, root and the administrators, as far as it says so itself.
pub(crate) fn other_readers(path: &Path) -> Vec<String> {
    let Ok(access) = open_at_once(path).and_then(Access::of) else { return Vec::new() };
    let mode = access.metadata.mode();
    if mode & 0o004 != 0 {
        vec!["every user of this machine".to_owned()]
    } else if access.has_list() {
        vec!["those whom its access control list names (getfacl)".to_owned()]
    } else if mode & 0o040 != 0 {
        vec![format!("the members of {}", GroupName(access.metadata.gid()))]
    } else {
        Vec::new()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_new_file_that_cannot_be_changed_will_do_if_it_is_like_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            let file = File::options().write(true).create(true).truncate(true).open(path).unwrap();
            file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        for (old, new, expected) in [
            // Mounts that have one mode for all files.
            (0o777, 0o777, true),
            (0o755, 0o755, true),
            (0o644, 0o644, true),
            (0o700, 0o700, true),
            (0o600, 0o600, true),
            // As the next file is to be anyway.
            (0o644, 0o600, true),
            (0o770, 0o660, true),
            // Some user would be shut out, or let in.
            (0o640, 0o600, false),
            (0o660, 0o600, false),
            (0o600, 0o644, false),
            (0o600, 0o660, false),
            (0o640, 0o644, false),
        ] {
            let access = Access::of(made("creds.json", old)).unwrap();
            let is_met = access.is_met_by(&made("new", new), access.kept_mode()).unwrap();
            assert_eq!(is_met, expected, "{old:o} {new:o}");
        }
    }
}
