//! Who may use a file: its access list (DACL), and the attributes that protect it.
//!
//! ReplaceFileW would carry both over to a new creds.json. But for a moment there would be no file of
//! that name, and the tokens would be on the disk before their protection is.

use crate::platform::patience::patiently;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::slice;
use windows_sys::Win32::Foundation::{
    GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    GetSecurityInfo, SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, GetSecurityDescriptorControl, INHERITED_ACE,
    PROTECTED_DACL_SECURITY_INFORMATION, SE_DACL_PROTECTED, UNPROTECTED_DACL_SECURITY_INFORMATION,
};
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

/// What protects creds.json.
#[derive(Debug)]
pub(crate) struct Protection {
    attributes: u32,
    list: AccessList,
}

impl Protection {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let attributes = file.metadata()?.file_attributes() & KEPT;
        Ok(Self { attributes, list: AccessList::of(file)? })
    }

    /// Creates a file that nobody else can open before it is protected like creds.json.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).share_mode(0).attributes(self.attributes);
        let mut create = |more| options.access_mode(GENERIC_READ | GENERIC_WRITE | more).open(path);
        let file = match create(WRITE_DAC) {
            // A network share may let nobody change access lists. Usually the folder's will do.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => create(0)?,
            created => created?,
        };
        let protected = self.protect(&file);
        drop(file);
        // Whoever opens it in between is one who may.
        let open = || File::options().read(true).write(true).open(path);
        let created = protected.and_then(|()| patiently(path, open));
        if created.is_err() {
            // Best effort: it is empty.
            let _ = patiently(path, || fs::remove_file(path));
        }
        created
    }

    fn protect(&self, file: &File) -> io::Result<()> {
        let missing = self.attributes & !file.metadata()?.file_attributes();
        if missing & FILE_ATTRIBUTE_ENCRYPTED != 0 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "creds.json is encrypted, and a new file beside it cannot be",
            ));
        }
        self.list.give_to(file)
    }

    /// Gives an older file, such as the lock, the access list that creds.json has by now.
    pub(crate) fn give_to(&self, file: &File) -> io::Result<()> {
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

/// Who may do what with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AccessList {
    /// The entries in their order; `None` if everyone may do everything.
    entries: Option<Vec<Entry>>,
    /// Whether the folder hands nothing down to it.
    is_protected: bool,
    revision: u8,
}

/// An entry (an ACE): its kind, its flags, and then the rights and the user, as the system has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    flags: u8,
    rest: Vec<u8>,
}

impl Entry {
    const INHERITED: u8 = INHERITED_ACE as u8;

    fn is_inherited(&self) -> bool {
        self.flags & Self::INHERITED != 0
    }

    /// Whether it allows this user or group to read the file: an ACCESS_ALLOWED_ACE, whose rights come first.
    fn lets_read(&self, sid: &[u8]) -> bool {
        const ALLOWED: u8 = 0;
        let Some((rights, of)) = self.rest.split_first_chunk() else { return false };
        let reads = FILE_READ_DATA | GENERIC_READ | GENERIC_ALL;
        self.kind == ALLOWED && of == sid && u32::from_ne_bytes(*rights) & reads != 0
    }
}

impl AccessList {
    #[expect(unsafe_code, reason = "no safe interface reads access lists")]
    fn of(file: &File) -> io::Result<Self> {
        let (mut acl, mut descriptor) = (null_mut::<ACL>(), null_mut());
        let (mut control, mut revision) = (0, 0);
        // SAFETY: the handle is open for the whole call, and each pointer is null or leads to a variable of
        // its type.
        let code = unsafe {
            GetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION,
                null_mut(),
                null_mut(),
                &mut acl,
                null_mut(),
                &mut descriptor,
            )
        };
        succeeded(code)?;
        // SAFETY: on success `descriptor` is memory to be freed with LocalFree, once, and `acl` is null or
        // leads to a list within it, which is AclSize bytes long. Nothing refers to it afterwards.
        let (bytes, has_control) = unsafe {
            let bytes = acl.as_ref().map(|list| {
                slice::from_raw_parts(acl.cast::<u8>(), usize::from(list.AclSize)).to_vec()
            });
            let has_control =
                GetSecurityDescriptorControl(descriptor, &mut control, &mut revision) != 0;
            LocalFree(descriptor);
            (bytes, has_control)
        };
        if !has_control {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let is_protected = control & SE_DACL_PROTECTED != 0;
        match bytes {
            None => Ok(Self { entries: None, is_protected, revision: 0 }),
            Some(bytes) => {
                let entries = parse(&bytes).ok_or(io::ErrorKind::InvalidData)?;
                Ok(Self { entries: Some(entries), is_protected, revision: bytes[0] })
            }
        }
    }

    /// Gives the file this list, unless it has it already, as is usual within a folder. Nobody needs what
    /// everyone may do: then the folder's rights will do.
    fn give_to(&self, file: &File) -> io::Result<()> {
        let own = Self::of(file)?;
        if *self == own || self.entries.is_none() {
            return Ok(());
        }
        let next = self.over(&own);
        next.set(file)?;
        match next.lets_in_the_same(&Self::of(file)?) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it cannot have the access list (ACL) of creds.json",
            )),
        }
    }

    /// The list to set on a new file, which has this `own` list from its folder.
    fn over(&self, own: &Self) -> Self {
        let mut next = self.clone();
        let inherited = |list: &Self| -> Vec<Entry> {
            list.entries.iter().flatten().filter(|entry| entry.is_inherited()).cloned().collect()
        };
        // creds.json may have been moved here, and still have what another folder had handed down to it.
        // From now on it has that by itself.
        next.is_protected |= inherited(self) != inherited(own);
        if next.is_protected {
            for entry in next.entries.iter_mut().flatten() {
                entry.flags &= !Entry::INHERITED;
            }
        }
        next
    }

    #[expect(unsafe_code, reason = "no safe interface sets access lists")]
    fn set(&self, file: &File) -> io::Result<()> {
        let words = self.entries.as_ref().map(|entries| to_words(entries, self.revision));
        let protection = match self.is_protected {
            true => PROTECTED_DACL_SECURITY_INFORMATION,
            false => UNPROTECTED_DACL_SECURITY_INFORMATION,
        };
        let acl: *const u32 = words.as_ref().map_or(null(), |words| words.as_ptr());
        // SAFETY: the handle is open, and the list exists, for the whole call. The list is null or laid out
        // as an ACL, with its length in it, and aligned as one.
        succeeded(unsafe {
            SetSecurityInfo(
                file.as_raw_handle(),
                SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION | protection,
                null_mut(),
                null_mut(),
                acl.cast(),
                null(),
            )
        })
    }

    /// Whether both let in the same users, whatever the system has noted of where entries come from.
    fn lets_in_the_same(&self, other: &Self) -> bool {
        let rights = |list: &Self| -> Option<Vec<(u8, Vec<u8>)>> {
            let entries = list.entries.as_ref()?.iter();
            Some(entries.map(|entry| (entry.kind, entry.rest.clone())).collect())
        };
        rights(self) == rights(other) && (other.is_protected || !self.is_protected)
    }
}

/// The wide groups that may read a file, by entries of its own or by those that its folder hands down. A
/// group that is also denied it is named all the same.
pub(crate) fn wide_readers(path: &Path) -> Vec<String> {
    let list = File::open(path).and_then(|file| AccessList::of(&file));
    let Ok(list) = list else { return Vec::new() };
    let everyone = || vec!["Everyone".to_owned()];
    let Some(entries) = list.entries else { return everyone() };
    let groups =
        WIDE_GROUPS.iter().filter(|(sid, _)| entries.iter().any(|entry| entry.lets_read(sid)));
    groups.map(|(_, name)| (*name).to_owned()).collect()
}

/// Groups that most users of a machine are in, by their security identifiers (SID): revision, number of
/// parts, authority, parts.
const WIDE_GROUPS: [(&[u8], &str); 4] = [
    (&[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], "Everyone"),
    (&[1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0], "Authenticated Users"),
    (&[1, 1, 0, 0, 0, 0, 0, 5, 4, 0, 0, 0], "Interactive"),
    (&[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 33, 2, 0, 0], "Users"),
];

fn succeeded(code: u32) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
    }
}

/// An `ACL` begins with its revision, a byte without meaning, its length, the number of its entries, and
/// two more bytes without meaning. An entry begins with its kind, its flags and its length.
const HEADER: usize = size_of::<ACL>();
const ENTRY_HEADER: usize = 4;

fn parse(acl: &[u8]) -> Option<Vec<Entry>> {
    let number =
        |bytes: &[u8], at: usize| Some(u16::from_ne_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let count = number(acl, 4)?;
    let mut bytes = acl.get(HEADER..)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let length = usize::from(number(bytes, 2)?);
        let entry = bytes.get(..length)?;
        let rest = entry.get(ENTRY_HEADER..)?.to_vec();
        entries.push(Entry { kind: entry[0], flags: entry[1], rest });
        bytes = &bytes[length..];
    }
    Some(entries)
}

fn to_words(entries: &[Entry], revision: u8) -> Vec<u32> {
    let lengths = entries.iter().map(|entry| ENTRY_HEADER + entry.rest.len());
    let length = HEADER + lengths.sum::<usize>();
    // They come from a list whose length was a u16.
    let [l0, l1] = (length as u16).to_ne_bytes();
    let [c0, c1] = (entries.len() as u16).to_ne_bytes();
    let mut bytes = vec![revision, 0, l0, l1, c0, c1, 0, 0];
    for Entry { kind, flags, rest } in entries {
        let [l0, l1] = ((ENTRY_HEADER + rest.len()) as u16).to_ne_bytes();
        bytes.extend([*kind, *flags, l0, l1]);
        bytes.extend(rest);
    }
    // The system wants it aligned; entries are multiples of four bytes long.
    bytes
        .chunks(4)
        .map(|word| {
            let mut padded = [0; 4];
            padded[..word.len()].copy_from_slice(word);
            u32::from_ne_bytes(padded)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: u8, is_inherited: bool) -> Entry {
        let flags = if is_inherited { Entry::INHERITED } else { 0 };
        Entry { kind: 0, flags, rest: vec![user; 16] }
    }

    fn list(entries: &[Entry], is_protected: bool) -> AccessList {
        AccessList { entries: Some(entries.to_vec()), is_protected, revision: 2 }
    }

    #[test]
    fn a_list_is_written_as_it_was_read() {
        let entries = [entry(1, false), entry(2, true), entry(3, false)];
        let words = to_words(&entries, 2);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes[0], 2);
        assert_eq!(parse(&bytes).unwrap(), entries);
        assert_eq!(usize::from(u16::from_ne_bytes([bytes[2], bytes[3]])), bytes.len());
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_creds_json_has_of_its_own_is_kept_and_what_its_folder_hands_down_stays_so() {
        let folder = list(&[entry(1, true), entry(2, true)], false);
        // One more user, or one less.
        let more = list(&[entry(9, false), entry(1, true), entry(2, true)], false);
        assert_eq!(more.over(&folder), more);
        let tightened = list(&[entry(1, false)], true);
        assert_eq!(tightened.over(&folder), tightened);
        // Moved here from a folder that let in fewer users.
        let moved = list(&[entry(1, true)], false);
        assert_eq!(moved.over(&folder), tightened);
    }

    #[test]
    fn a_new_file_lets_in_whom_creds_json_lets_in() {
        let folder = list(&[entry(1, true), entry(2, true)], false);
        let tightened = list(&[entry(1, false)], true);
        assert!(tightened.lets_in_the_same(&tightened));
        assert!(folder.lets_in_the_same(&list(&[entry(1, false), entry(2, false)], true)));
        for other in [&folder, &list(&[entry(1, false)], false), &list(&[], true)] {
            assert!(!tightened.lets_in_the_same(other), "{other:?}");
        }
        let everyone = AccessList { entries: None, is_protected: true, revision: 0 };
        assert!(!tightened.lets_in_the_same(&everyone));
    }

    #[test]
    fn a_wide_group_that_may_read_is_known_by_its_identifier() {
        let (everyone, users) = (WIDE_GROUPS[0].0, WIDE_GROUPS[3].0);
        let allowed = |rights: u32, sid: &[u8], kind, flags| {
            let rest = [&rights.to_ne_bytes(), sid].concat();
            Entry { kind, flags, rest }
        };
        assert!(allowed(GENERIC_ALL, everyone, 0, 0).lets_read(everyone));
        // FILE_ALL_ACCESS, handed down by the folder.
        assert!(allowed(0x001F_01FF, users, 0, Entry::INHERITED).lets_read(users));
        for other in [
            allowed(GENERIC_WRITE, everyone, 0, 0),
            allowed(GENERIC_READ, users, 0, 0),
            allowed(GENERIC_READ, everyone, 1, 0),
            Entry { kind: 0, flags: 0, rest: vec![1] },
        ] {
            assert!(!other.lets_read(everyone), "{other:?}");
        }
    }

    #[test]
    fn a_file_gets_the_list_and_the_attributes_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let [model, next] = ["creds.json", "creds.json.new"].map(|name| folder.path().join(name));
        let mut options = OpenOptions::new();
        options.write(true).read(true).create_new(true).attributes(FILE_ATTRIBUTE_HIDDEN);
        let model = options.open(model).unwrap();
        let protection = Protection::of(&model).unwrap();
        assert!(!protection.list.entries.as_ref().unwrap().is_empty());
        let file = protection.create(&next).unwrap();
        assert!(protection.list.lets_in_the_same(&AccessList::of(&file).unwrap()));
        assert_ne!(file.metadata().unwrap().file_attributes() & FILE_ATTRIBUTE_HIDDEN, 0);
        protection.give_to(&file).unwrap();
        // Open for others now, as any file.
        assert!(File::open(&next).is_ok());
    }

    #[test]
    fn a_tightened_list_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [path, next] = ["creds.json", "creds.json.new"].map(|name| folder.path().join(name));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).access_mode(GENERIC_READ | GENERIC_WRITE | WRITE_DAC);
        let model = options.open(&path).unwrap();
        let open = AccessList::of(&model).unwrap();
        // One entry, which lets in this user: the first of a folder's is often for the system alone.
        let alone = |entry: &Entry| {
            let alone = list(slice::from_ref(entry), true);
            alone.over(&alone)
        };
        let is_for_us = |tightened: &AccessList| {
            tightened.set(&model).unwrap();
            File::options().read(true).write(true).open(&path).is_ok()
        };
        let tightened = open.entries.iter().flatten().map(alone).find(is_for_us).unwrap();
        if AccessList::of(&model).unwrap() != tightened {
            eprintln!("skipped: this system does not keep access lists");
            return;
        }
        let protection = Protection::of(&model).unwrap();
        let file = protection.create(&next).unwrap();
        assert_eq!(AccessList::of(&file).unwrap(), tightened);
        // An older file as well.
        let older = File::create_new(folder.path().join("creds.json.lock")).unwrap();
        protection.give_to(&older).unwrap();
        assert_eq!(AccessList::of(&older).unwrap(), tightened);
    }
}
