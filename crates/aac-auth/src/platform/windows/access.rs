//! Who may use a file: its access list (DACL), and the attributes that protect it.
//!
//! ReplaceFileW would carry both over to a new creds.json. But for a moment there would be no file of
//! that name, and the tokens would be on the disk before their protection is.

use crate::platform::patiently;
use crate::platform::windows::descriptor::Descriptor;
use crate::platform::windows::{names, succeeded};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use windows_sys::Win32::Foundation::{
    GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, SetKernelObjectSecurity};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_ENCRYPTED, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_NOT_CONTENT_INDEXED,
    FILE_ATTRIBUTE_SYSTEM, FILE_READ_DATA, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    READ_CONTROL, ReOpenFile, WRITE_DAC,
};

/// The attributes that the successor of creds.json gets.
const KEPT: u32 = FILE_ATTRIBUTE_HIDDEN
    | FILE_ATTRIBUTE_SYSTEM
    | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED
    | FILE_ATTRIBUTE_ENCRYPTED;

/// Creates a file for those who may use creds.json: nobody else can open it at any moment.
pub(crate) fn create_new(path: &Path, access: Option<&Access>) -> io::Result<File> {
    let Some(access) = access else {
        return File::options().read(true).write(true).create_new(true).open(path);
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).share_mode(0).attributes(access.attributes());
    let mut create = |more| options.access_mode(GENERIC_READ | GENERIC_WRITE | more).open(path);
    let file = match create(WRITE_DAC) {
        // A network share may let nobody change access lists. Usually the folder's will do.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => create(0)?,
        created => created?,
    };
    let protected = access.protect(&file);
    drop(file);
    // Whoever opens it in between is one who may.
    let open = || File::options().read(true).write(true).open(path);
    let created = protected.and_then(|()| patiently(open));
    if created.is_err() {
        // Best effort: it is empty.
        let _ = patiently(|| fs::remove_file(path));
    }
    created
}

/// Who may use creds.json, and the attributes that protect it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(in crate::platform) metadata: Metadata,
    pub(in crate::platform) links: u64,
    list: AccessList,
}

impl Access {
    /// Reads who may use a file.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        let list = AccessList::of(&file)?;
        Ok(Self { metadata: file.metadata()?, links: names(&file)?, list })
    }

    /// There is no such user.
    pub(crate) fn is_of_root(&self) -> bool {
        false
    }

    fn attributes(&self) -> u32 {
        self.metadata.file_attributes() & KEPT
    }

    fn protect(&self, file: &File) -> io::Result<()> {
        let missing = self.attributes() & !file.metadata()?.file_attributes();
        if missing & FILE_ATTRIBUTE_ENCRYPTED != 0 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "creds.json is encrypted, and a new file beside it cannot be",
            ));
        }
        self.list.give_to(file)
    }

    /// Gives a file, which may be older, such as the lock, the access list that creds.json has by now. Its
    /// owner need not be the same.
    pub(crate) fn give_to(&self, file: &File, _may_inherit: bool) -> io::Result<()> {
        // The list itself may forbid even the owner to change it (OWNER RIGHTS).
        if self.list.lets_in_the_same(&AccessList::of(file)?) {
            return Ok(());
        }
        self.list.give_to(&reopen(file, READ_CONTROL | WRITE_DAC)?)
    }
}

/// Opens the same file again with other rights.
#[expect(unsafe_code, reason = "no safe interface opens an open file again")]
fn reopen(file: &File, rights: u32) -> io::Result<File> {
    let shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: the handle is open for the whole call. The result is INVALID_HANDLE_VALUE, or a new handle
    // that belongs to nobody else.
    unsafe {
        match ReOpenFile(file.as_raw_handle(), rights, shared, 0) {
            INVALID_HANDLE_VALUE => Err(io::Error::last_os_error()),
            handle => Ok(OwnedHandle::from_raw_handle(handle).into()),
        }
    }
}

/// Who may do what with a file, and whether the folder hands nothing down to it, as the system writes it
/// (SDDL): `D:PAI(A;;FA;;;SY)(A;ID;0x1200a9;;;BU)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AccessList(String);

impl AccessList {
    fn of(file: &File) -> io::Result<Self> {
        Descriptor::of(file, DACL_SECURITY_INFORMATION)?.list().map(Self)
    }

    /// Gives the file this list, unless it has it already, as is usual within a folder. Nobody needs what
    /// everyone may do: then the folder's rights will do.
    fn give_to(&self, file: &File) -> io::Result<()> {
        if *self == Self::of(file)? || self.is_for_everyone() {
            return Ok(());
        }
        self.set(file)?;
        match self.lets_in_the_same(&Self::of(file)?) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it cannot have the access list (ACL) of creds.json",
            )),
        }
    }

    /// Sets the list as it is. SetSecurityInfo would add what this folder hands down, which creds.json may
    /// not have if it was moved here.
    #[expect(unsafe_code, reason = "no safe interface sets access lists")]
    fn set(&self, file: &File) -> io::Result<()> {
        // The system keeps the mark that entries have been handed down (AI) only if asked to (AR).
        let text = self.0.replacen("AI(", "ARAI(", 1);
        let descriptor = Descriptor::of_list(&text)?;
        let handle = file.as_raw_handle();
        // SAFETY: the handle is open, and the descriptor exists for the whole call.
        succeeded(unsafe {
            SetKernelObjectSecurity(handle, DACL_SECURITY_INFORMATION, descriptor.as_ptr())
        })
    }

    /// Whether there is no list, so that everyone may do everything. File systems without lists say so, too.
    fn is_for_everyone(&self) -> bool {
        self.0.is_empty() || self.0.contains("NO_ACCESS_CONTROL")
    }

    /// Whether both let in the same users, whatever the system has noted of where entries come from.
    fn lets_in_the_same(&self, other: &Self) -> bool {
        let parts = |list: &Self| {
            let (flags, entries) = list.0.split_at(list.0.find('(').unwrap_or(list.0.len()));
            (flags.contains('P'), entries.replace(";ID;", ";;"))
        };
        let [(is_protected, entries), (is_other_protected, others)] = [self, other].map(parts);
        entries == others && (is_other_protected || !is_protected)
    }

    /// Whether an entry allows this group to read the file.
    fn lets_read(&self, group: &str) -> bool {
        self.0.split(['(', ')']).any(|entry| {
            let ["A", _, rights, _, _, sid] = entry.split(';').collect::<Vec<_>>()[..] else {
                return false;
            };
            let reads = match rights.strip_prefix("0x") {
                Some(number) => u32::from_str_radix(number, 16).is_ok_and(|rights| {
                    rights & (FILE_READ_DATA | GENERIC_READ | GENERIC_ALL) != 0
                }),
                // Two letters for each right; CC is that of the first bit, FILE_READ_DATA.
                None => rights.as_bytes().chunks(2).any(|right| {
                    [b"FA", b"FR", b"GA", b"GR", b"CC"].iter().any(|reads| *reads == right)
                }),
            };
            sid == group && reads
        })
    }
}

/// The wide groups that may read a file, by entries of its own or by those that its folder hands down. A
/// group that is also denied it is named all the same.
pub(crate) fn other_readers(path: &Path) -> Vec<String> {
    /// Groups that most users of a machine are in.
    const GROUPS: [(&str, &str); 4] =
        [("WD", "Everyone"), ("AU", "Authenticated Users"), ("IU", "Interactive"), ("BU", "Users")];
    let list = File::open(path).and_then(|file| AccessList::of(&file));
    let Ok(list) = list else { return Vec::new() };
    if list.is_for_everyone() {
        return vec!["Everyone".to_owned()];
    }
    let groups = GROUPS.into_iter().filter(|(sid, _)| list.lets_read(sid));
    groups.map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::FileOwner;

    fn list(text: &str) -> AccessList {
        AccessList(text.to_owned())
    }

    #[test]
    fn lists_are_the_same_if_they_let_in_the_same_users() {
        let of_folder = list("D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)");
        let tightened = list("D:PAI(A;;FA;;;SY)");
        assert!(tightened.lets_in_the_same(&list("D:P(A;;FA;;;SY)")));
        assert!(of_folder.lets_in_the_same(&list("D:P(A;;FA;;;SY)(A;;FA;;;BA)")));
        for other in [&of_folder.0, "D:(A;;FA;;;SY)", "D:P", "D:P(D;;FA;;;SY)", "D:P(A;;FR;;;SY)"] {
            assert!(!tightened.lets_in_the_same(&list(other)), "{other:?}");
        }
        for everyone in ["", "D:NO_ACCESS_CONTROL"] {
            assert!(list(everyone).is_for_everyone());
            assert!(!tightened.lets_in_the_same(&list(everyone)));
        }
    }

    #[test]
    fn a_wide_group_that_may_read_is_known() {
        for entry in ["A;;FA;;;BU", "A;ID;0x1200a9;;;BU", "A;;0x80000000;;;BU", "A;;DCCC;;;BU"] {
            assert!(list(&format!("D:AI(D;;FA;;;BU)({entry})")).lets_read("BU"), "{entry}");
        }
        for entry in ["A;;FA;;;WD", "A;;0x100116;;;BU", "D;;FA;;;BU", "A;;FW;;;BU", "A;;FA"] {
            assert!(!list(&format!("D:AI({entry})")).lets_read("BU"), "{entry}");
        }
    }

    #[test]
    fn a_file_gets_the_list_and_the_attributes_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let [model, next] = ["creds.json", "creds.json.new"].map(|name| folder.path().join(name));
        let mut options = OpenOptions::new();
        options.write(true).read(true).create_new(true).attributes(FILE_ATTRIBUTE_HIDDEN);
        let model = options.open(model).unwrap();
        let access = Access::of(model.try_clone().unwrap()).unwrap();
        assert!(access.list.0.starts_with("D:"), "{access:?}");
        let file = create_new(&next, Some(&access)).unwrap();
        assert!(access.list.lets_in_the_same(&AccessList::of(&file).unwrap()));
        assert_ne!(file.metadata().unwrap().file_attributes() & FILE_ATTRIBUTE_HIDDEN, 0);
        access.give_to(&file, false).unwrap();
        // Open for others now, as any file.
        assert!(File::open(&next).is_ok());
    }

    #[test]
    fn a_list_is_kept_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds.json");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).access_mode(GENERIC_READ | GENERIC_WRITE | WRITE_DAC);
        let model = options.open(&path).unwrap();
        let owner = FileOwner::of_open(&model).unwrap();
        // Tightened, and moved here from a folder that lets in one user.
        for (number, flags) in [("1", "D:PAI(A;;FA;;;"), ("2", "D:AI(A;ID;FA;;;")] {
            let kept = list(&format!("{flags}{owner})"));
            kept.set(&model).unwrap();
            let access = Access::of(model.try_clone().unwrap()).unwrap();
            if !kept.lets_in_the_same(&access.list) {
                eprintln!("skipped: this system does not keep access lists");
                return;
            }
            let new = |name: &str| folder.path().join(name.to_owned() + number);
            let file = create_new(&new("creds.json.new"), Some(&access)).unwrap();
            assert_eq!(AccessList::of(&file).unwrap(), access.list);
            // An older file as well.
            let older = File::create_new(new("creds.json.lock")).unwrap();
            access.give_to(&older, false).unwrap();
            assert_eq!(AccessList::of(&older).unwrap(), access.list);
        }
    }
}
