//! Access control lists as Linux stores them, in the extended attribute of acl(5).

use super::is_refused;
use crate::platform::Access;
use rustix::buffer::spare_capacity;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

pub(super) const ACL: &CStr = c"system.posix_acl_access";
/// The largest attribute, or list of attribute names, in bytes (xattr(7)).
const MOST: usize = 64 * 1024;
/// The rights of a user or group, and whom the entry is about (linux/posix_acl_xattr.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    rights: u16,
}
const VERSION: [u8; 4] = 2u32.to_le_bytes();
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const FILE_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// Reads an attribute of a file; `None` if the file does not have it, or its file system lets nobody read it:
/// no right to the file is needed for that (getxattr(2)).
pub(super) fn attribute(file: &File, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(MOST);
    match fgetxattr(file, name, spare_capacity(&mut value)) {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(error) if is_refused(&error.into()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the attributes other than the access control list, as far as they are readable.
pub(super) fn other_attributes(file: &File) -> Vec<(CString, Vec<u8>)> {
    let mut names = Vec::with_capacity(MOST);
    if flistxattr(file, spare_capacity(&mut names)).is_err() {
        return Vec::new();
    }
    let names = names.split_inclusive(|&byte| byte == 0);
    let names = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok());
    let others = names.filter(|name| !name.to_bytes().starts_with(b"system."));
    others.filter_map(|name| Some((name.to_owned(), attribute(file, name).ok()??))).collect()
}

pub(super) fn give(file: &File, access: &Access, has_group: bool, mode: u32) -> io::Result<()> {
    for (name, value) in &access.attributes {
        // As far as this user may set them: none of them grants access.
        let _ = fsetxattr(file, name.as_c_str(), value, XattrFlags::empty());
    }
    if access.acl.is_none() && (has_group || mode & 0o070 == 0) {
        // The folder's default list for new files does not apply to creds.json.
        match fremovexattr(file, ACL) {
            Err(error) if attribute(file, ACL)?.is_some() => return Err(error.into()),
            // It has none, whatever the file system says to that.
            _ => {}
        }
        return file.set_permissions(PermissionsExt::from_mode(mode));
    }
    let foreign_group = (!has_group).then_some(access.metadata.gid());
    let list = list(entries(access.acl.as_deref(), mode), foreign_group);
    Ok(fsetxattr(file, ACL, &list, XattrFlags::empty())?)
}

/// The entries of a list, or those that the mode stands for.
fn entries(acl: Option<&[u8]>, mode: u32) -> Vec<Entry> {
    let entry = |bytes: &[u8; 8]| {
        let [t0, t1, r0, r1, id @ ..] = *bytes;
        Entry {
            tag: u16::from_le_bytes([t0, t1]),
            rights: u16::from_le_bytes([r0, r1]),
            id: u32::from_le_bytes(id),
        }
    };
    match acl {
        Some(acl) => acl.get(4..).unwrap_or_default().as_chunks().0.iter().map(entry).collect(),
        None => [(OWNER, mode >> 6), (FILE_GROUP, mode >> 3), (OTHERS, mode)]
            .map(|(tag, rights)| Entry { tag, id: NO_ID, rights: (rights & 7) as u16 })
            .to_vec(),
    }
}

/// The list without rights for others. If the file belongs to another group than creds.json, that of
/// creds.json gets an entry.
fn list(mut entries: Vec<Entry>, group: Option<u32>) -> Vec<u8> {
    if let Some(id) = group {
        let of_group = entries.iter().find(|entry| entry.tag == FILE_GROUP);
        let rights = of_group.map_or(0, |entry| entry.rights);
        entries.retain(|entry| (entry.tag, entry.id) != (GROUP, id));
        entries.push(Entry { tag: GROUP, id, rights });
    }
    for entry in &mut entries {
        match entry.tag {
            OTHERS => entry.rights = 0,
            // The file's actual group has no right to creds.json.
            FILE_GROUP if group.is_some() => entry.rights = 0,
            _ => {}
        }
    }
    if group.is_some() && !entries.iter().any(|entry| entry.tag == MASK) {
        let named = entries.iter().filter(|entry| [USER, FILE_GROUP, GROUP].contains(&entry.tag));
        let rights = named.fold(0, |rights, entry| rights | entry.rights);
        entries.push(Entry { tag: MASK, id: NO_ID, rights });
    }
    entries.sort_unstable();
    let mut list = VERSION.to_vec();
    for Entry { tag, rights, id } in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}
