//! Who owns a file.

use crate::platform::windows::descriptor::{Descriptor, take};
use crate::platform::windows::succeeded;
use std::fs::{File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::null_mut;
use std::{fmt, io};
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
use windows_sys::Win32::Security::{
    GetSecurityDescriptorOwner, GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, TOKEN_USER,
    TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, READ_CONTROL,
};

/// The owner of a file: a security identifier as Windows writes it, such as `S-1-5-32-544`; empty where a
/// file system has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOwner(String);

impl FileOwner {
    /// Of the file that this path leads to.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Self::of_open(&open(path, 0)?)
    }

    /// Of what has this name, which may be a link.
    pub(crate) fn of_name(path: &Path) -> io::Result<Self> {
        Self::of_open(&open(path, FILE_FLAG_OPEN_REPARSE_POINT)?)
    }

    /// Of the link that has this name; none if it is no link.
    pub(crate) fn of_link(path: &Path) -> io::Result<Option<Self>> {
        let named = open(path, FILE_FLAG_OPEN_REPARSE_POINT)?;
        named.metadata()?.is_symlink().then(|| Self::of_open(&named)).transpose()
    }

    /// Of an open file.
    #[expect(unsafe_code, reason = "no safe interface reads the owner")]
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        let descriptor = Descriptor::of(file, OWNER_SECURITY_INFORMATION)?;
        let (mut owner, mut is_default) = (null_mut(), 0);
        // SAFETY: the descriptor is valid, and each pointer leads to a variable of its type. On success
        // `owner` is null or leads to an identifier within the descriptor.
        unsafe {
            let read = GetSecurityDescriptorOwner(descriptor.as_ptr(), &mut owner, &mut is_default);
            succeeded(read)?;
            text(owner).map(Self)
        }
    }

    /// Whether it is this process's user, or the administrators or the system, who may do everything anyway.
    pub(crate) fn is_ours(&self) -> bool {
        ["S-1-5-32-544", "S-1-5-18"].contains(&&*self.0)
            || !self.0.is_empty() && user().is_ok_and(|user| user == self.0)
    }

    /// An administrator here is no other user.
    pub(crate) fn stands_for_us(&self) -> bool {
        false
    }
}

/// This process's user.
#[expect(unsafe_code, reason = "no safe interface tells the user of a process")]
fn user() -> io::Result<String> {
    // What GetCurrentProcessToken, an inline function, returns.
    let token = -4_isize as HANDLE;
    // Room for a TOKEN_USER, aligned as one, and the identifier behind it, which has 68 bytes at the most.
    let mut room = [0_u64; 16];
    let (size, mut length) = (size_of_val(&room) as u32, 0);
    // SAFETY: the room is writable and as long as it says. On success it begins with a TOKEN_USER, whose
    // identifier is within the room.
    unsafe {
        let room = room.as_mut_ptr();
        succeeded(GetTokenInformation(token, TokenUser, room.cast(), size, &mut length))?;
        text((*room.cast::<TOKEN_USER>()).User.Sid)
    }
}

/// An identifier as Windows writes it.
///
/// # Safety
///
/// The pointer is null or leads to a valid identifier.
#[expect(unsafe_code, reason = "no safe interface writes identifiers")]
unsafe fn text(id: PSID) -> io::Result<String> {
    if id.is_null() {
        return Ok(String::new());
    }
    let mut text = null_mut();
    // SAFETY: the identifier is valid. On success `text` belongs to `take`.
    unsafe {
        succeeded(ConvertSidToStringSidW(id, &mut text))?;
        Ok(take(text))
    }
}

fn open(path: &Path, flags: u32) -> io::Result<File> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | flags;
    OpenOptions::new()
        .access_mode(READ_CONTROL | FILE_READ_ATTRIBUTES)
        .custom_flags(flags)
        .open(path)
}

impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "nobody" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds.json");
        let file = File::create(&path).unwrap();
        let owner = FileOwner::of_open(&file).unwrap();
        assert_eq!(
            (&FileOwner::of(&path).unwrap(), &FileOwner::of_name(&path).unwrap()),
            (&owner, &owner)
        );
        assert!(owner.is_ours() && owner.to_string().starts_with("S-1-5-"), "{owner}");
        assert!(FileOwner("S-1-5-32-544".to_owned()).is_ours());
        for other in ["S-1-5-32-545", ""] {
            assert!(!FileOwner(other.to_owned()).is_ours());
        }
    }
}
