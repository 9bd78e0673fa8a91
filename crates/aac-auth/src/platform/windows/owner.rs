//! Who owns a file.

use std::fs::{File, OpenOptions};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::null_mut;
use std::{fmt, io, slice};
use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    GetLengthSid, GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION, TOKEN_USER,
    TokenUser, WinBuiltinAdministratorsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, READ_CONTROL,
};

/// The owner of a file: a security identifier as the system has it, empty where a file system has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOwner(Vec<u8>);

impl FileOwner {
    /// Of the file that this path leads to.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Self::at(path, FILE_FLAG_BACKUP_SEMANTICS)
    }

    /// Of what has this name, which may be a link.
    pub(crate) fn of_name(path: &Path) -> io::Result<Self> {
        Self::at(path, FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
    }

    fn at(path: &Path, flags: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        Self::of_open(&options.access_mode(READ_CONTROL).custom_flags(flags).open(path)?)
    }

    /// Of an open file.
    #[expect(unsafe_code, reason = "no safe interface reads the owner")]
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        let (mut owner, mut descriptor) = (null_mut(), null_mut());
        // SAFETY: the handle is open for the whole call, and each pointer is null or leads to a variable of
        // its type. On success `descriptor` is memory to be freed with LocalFree, once, and `owner` is null
        // or leads to an identifier within it. Nothing refers to it afterwards.
        unsafe {
            let code = GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                OWNER_SECURITY_INFORMATION,
                &mut owner,
                null_mut(),
                null_mut(),
                null_mut(),
                &mut descriptor,
            );
            if code != 0 {
                return Err(io::Error::from_raw_os_error(code.cast_signed()));
            }
            let id = copy(owner);
            LocalFree(descriptor);
            Ok(Self(id))
        }
    }

    /// Whether it is this process's user, or the administrators, who may do everything anyway.
    #[expect(unsafe_code, reason = "no safe interface compares identifiers")]
    pub(crate) fn is_ours(&self) -> bool {
        let is_known = |kind| {
            // SAFETY: the bytes are an identifier, which the call only reads.
            let known = unsafe { IsWellKnownSid(self.0.as_ptr().cast_mut().cast(), kind) };
            known != 0
        };
        !self.0.is_empty()
            && (is_known(WinBuiltinAdministratorsSid)
                || is_known(WinLocalSystemSid)
                || user().is_some_and(|user| user == self.0))
    }

    /// An administrator here is no other user.
    pub(crate) fn stands_for_us(&self) -> bool {
        false
    }
}

/// This process's user.
#[expect(unsafe_code, reason = "no safe interface tells the user of a process")]
fn user() -> Option<Vec<u8>> {
    // What GetCurrentProcessToken, an inline function, returns.
    let token = -4_isize as HANDLE;
    // Room for a TOKEN_USER, aligned as one, and the identifier behind it, which has 68 bytes at the most.
    let mut room = [0_u64; 16];
    let (size, mut length) = (size_of_val(&room) as u32, 0);
    // SAFETY: the room is writable and as long as it says. On success it begins with a TOKEN_USER, whose
    // identifier is within the room.
    unsafe {
        match GetTokenInformation(token, TokenUser, room.as_mut_ptr().cast(), size, &mut length) {
            0 => None,
            _ => Some(copy((*room.as_ptr().cast::<TOKEN_USER>()).User.Sid)),
        }
    }
}

/// The bytes of an identifier.
///
/// # Safety
///
/// The pointer is null or leads to a valid identifier.
#[expect(unsafe_code, reason = "the length of an identifier is within it")]
unsafe fn copy(id: *mut std::ffi::c_void) -> Vec<u8> {
    if id.is_null() {
        return Vec::new();
    }
    // SAFETY: a valid identifier is as long as GetLengthSid says.
    unsafe { slice::from_raw_parts(id.cast::<u8>(), GetLengthSid(id) as usize).to_vec() }
}

/// As Windows writes it: `S-1-5-32-544`.
impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [revision, _, authority @ .., a, b, c, d] = &self.0[..self.0.len().min(8)] else {
            return f.write_str("nobody");
        };
        let authority = authority.iter().chain([a, b, c, d]);
        let authority = authority.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        write!(f, "S-{revision}-{authority}")?;
        for part in self.0[8..].as_chunks().0 {
            write!(f, "-{}", u32::from_le_bytes(*part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_ours_and_an_identifier_is_shown_as_windows_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds.json");
        let file = File::create(&path).unwrap();
        let owner = FileOwner::of_open(&file).unwrap();
        assert_eq!(
            (&FileOwner::of(&path).unwrap(), &FileOwner::of_name(&path).unwrap()),
            (&owner, &owner)
        );
        assert!(owner.is_ours(), "{owner}");
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
        let administrators = FileOwner(administrators.to_vec());
        assert_eq!(administrators.to_string(), "S-1-5-32-544");
        assert!(administrators.is_ours());
        let users = FileOwner([1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 33, 2, 0, 0].to_vec());
        assert!(!users.is_ours());
    }
}
