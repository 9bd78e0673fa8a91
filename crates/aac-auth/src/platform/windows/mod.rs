//! What Windows does in its own way.
//!
//! What Wine cannot show is in `access`, `owner` and `console`: each calls the system in few places.

mod access;
mod child;
mod console;
mod data;
mod descriptor;
mod owner;
mod terminal;

pub(crate) use access::{Access, create_new, other_readers};
pub(crate) use child::{SHELL, end, hand_to_shell, has_ended, start};
pub(crate) use console::{end_by, handle_signals, is_interrupt};
pub(crate) use data::{protect_data, unprotect_data};
pub(crate) use owner::FileOwner;
pub use terminal::RawInput;

use crate::platform::plain::unfit;
use crate::platform::{Flaw, SystemProxy, Unfit, patiently};
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::{self, Path, PathBuf};
use std::{env, io};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION,
    ERROR_USER_MAPPED_FILE,
};
use windows_sys::Win32::Networking::WinSock::{WSAHOST_NOT_FOUND, WSANO_DATA};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_READ, FILE_SHARE_WRITE,
};
use windows_sys::core::BOOL;
use winreg::RegKey;
use winreg::enums::{HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE};

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error().map(i32::cast_unsigned) == Some(code)
}

/// Whether another program has the file open, and does not share it.
pub(crate) fn is_sharing_violation(error: &io::Error) -> bool {
    [ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION, ERROR_DELETE_PENDING, ERROR_USER_MAPPED_FILE]
        .into_iter()
        .any(|code| is(error, code))
}

/// Whether another program may have the file open: to replace a file that others have open, or to open one
/// that was removed while they have it open, is denied. So is what this user has no right to; only time tells
/// the two apart.
pub(super) fn may_pass(error: &io::Error) -> bool {
    is_sharing_violation(error) || is(error, ERROR_ACCESS_DENIED)
}

/// The result of a system call that returns zero where it has failed.
fn succeeded(result: BOOL) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether a name lookup has failed: std has no kind for it. The four codes follow one another.
pub(crate) fn is_lookup_failure(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| (WSAHOST_NOT_FOUND..=WSANO_DATA).contains(&code))
}

/// Opens what a name leads to, links included, to read it.
pub(crate) fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens what has this name, unless that is a link.
pub(super) fn open_itself(path: &Path, options: OpenOptions) -> io::Result<File> {
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

/// How a file is opened that is to be locked: nobody can remove or rename it meanwhile.
pub(super) fn for_lock() -> OpenOptions {
    File::options().read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE).clone()
}

/// How a file is opened that is to be synced, which wants the right to write it (FlushFileBuffers).
pub(crate) fn for_sync() -> OpenOptions {
    File::options().read(true).write(true).clone()
}

/// Whether this name leads to this open file.
pub(super) fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let named = patiently(|| same_file::Handle::from_path(path))?;
    Ok(same_file::Handle::from_file(file.try_clone()?)? == named)
}

/// How many names a file has.
pub(crate) fn names(file: &File) -> io::Result<u64> {
    Ok(winapi_util::file::information(file)?.number_of_links())
}

/// Renames and removals are in the file system's log.
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Writes what the system holds of a file to the disk.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Access lists are judged by [`other_readers`] alone.
pub(crate) fn is_open_to_others(_metadata: &Metadata) -> bool {
    false
}

/// Nothing asks, as nothing is open to others.
pub(crate) fn takes_modes(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// The user's own folder for the three files: not in the roaming half of a profile, where an old copy would come
/// back.
pub(crate) fn own_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let local = variable("LOCALAPPDATA").map(PathBuf::from).filter(|path| path.is_absolute());
    Some(local?.join("aac"))
}

/// Makes a folder, for those whom the one above it lets in.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// There are no modes.
pub(crate) fn closing_mode(_path: &Path) -> &'static str {
    "o-rwx"
}

/// A crash leaves no copy of the memory, and files have no limit of their own.
pub(crate) fn protect() {}

/// This machine's name.
pub(super) fn node_name() -> String {
    env::var("COMPUTERNAME").unwrap_or_default()
}

/// Whether standard output is open for writing. The standard library ignores one that is not.
pub(crate) fn has_stdout() -> bool {
    !io::stdout().as_raw_handle().is_null()
}

/// The path without the `\\?\` that `canonicalize` puts before it, which many programs and most people do
/// not know; as it is, where it would mean something else without.
pub(crate) fn plain(path: PathBuf) -> PathBuf {
    let Some(text) = path.to_str().and_then(|text| text.strip_prefix(r"\\?\")) else {
        return path;
    };
    let plain = match text.strip_prefix(r"UNC\") {
        Some(share) => PathBuf::from(format!(r"\\{share}")),
        None => PathBuf::from(text),
    };
    // It resolves to something else if a name in it is that of a device, or ends with a dot or space.
    match path::absolute(&plain) {
        Ok(resolved) if resolved == plain && plain.is_absolute() => plain,
        _ => path,
    }
}

/// The proxy in the settings of the current user, or in those of the machine where its administrator has
/// made them count for all users (the policy "Make proxy settings per-machine").
pub(crate) fn system_proxy() -> SystemProxy {
    const SETTINGS: &str = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    const POLICY: &str = r"Software\Policies\Microsoft\Windows\CurrentVersion\Internet Settings";
    let [user, machine] = [HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE].map(RegKey::predef);
    let policy = machine.open_subkey(POLICY);
    let is_per_user = policy.and_then(|policy| policy.get_value("ProxySettingsPerUser"));
    let hive = if matches!(is_per_user, Ok(0_u32)) { machine } else { user };
    let Ok(settings) = hive.open_subkey(SETTINGS) else { return SystemProxy::default() };
    let text = |name: &str| settings.get_value::<String, _>(name).unwrap_or_default();
    let is_enabled = settings.get_value::<u32, _>("ProxyEnable").is_ok_and(|value| value != 0);
    SystemProxy {
        servers: if is_enabled { text("ProxyServer") } else { String::new() },
        exempt: text("ProxyOverride"),
        has_script: !text("AutoConfigURL").is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::ToSocketAddrs;

    #[test]
    fn a_path_is_shown_as_people_write_it_if_it_means_the_same() {
        for (path, expected) in [
            (r"\\?\C:\work\creds.json", r"C:\work\creds.json"),
            (r"\\?\UNC\server\share\creds.json", r"\\server\share\creds.json"),
            (r"C:\work\creds.json", r"C:\work\creds.json"),
            // The plain form of each would lead elsewhere.
            (r"\\?\C:\work\nul", r"\\?\C:\work\nul"),
            (r"\\?\C:\work.\creds.json", r"\\?\C:\work.\creds.json"),
            (r"\\?\Volume{1}\creds.json", r"\\?\Volume{1}\creds.json"),
        ] {
            assert_eq!(plain(PathBuf::from(path)), Path::new(expected));
        }
    }

    #[test]
    fn a_share_is_known_by_its_path() {
        for (path, is_share) in [
            (r"\\server\share\aac", true),
            (r"\\?\UNC\server\share\aac.", true),
            (r"C:\aac", false),
            (r"\\?\C:\aac.", false),
            (r"\\?\Volume{1}\aac", false),
        ] {
            let system = crate::platform::network_file_system(Path::new(path));
            assert_eq!(system.is_some(), is_share, "{path}");
        }
    }

    #[test]
    fn a_failed_lookup_is_known() {
        for code in 11001..=11004 {
            assert!(is_lookup_failure(&io::Error::from_raw_os_error(code)));
        }
        assert!(!is_lookup_failure(&io::Error::from_raw_os_error(10054)));
        let error = "no-such-host.invalid:1".to_socket_addrs().unwrap_err();
        assert!(is_lookup_failure(&error), "{error:?}");
    }

    #[test]
    fn what_another_program_may_be_the_cause_of_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to, other] = ["from", "to", "other"].map(|name| folder.path().join(name));
        for path in [&from, &to] {
            fs::write(path, "").unwrap();
        }
        let held = OpenOptions::new().read(true).share_mode(0).open(&to).unwrap();
        for error in [
            File::open(&to).unwrap_err(),
            fs::rename(&from, &to).unwrap_err(),
            fs::remove_file(&to).unwrap_err(),
        ] {
            assert!(may_pass(&error), "{error}");
        }
        drop(held);
        // Removed, and still open: some systems keep the name until it is closed.
        let open = File::open(&to).unwrap();
        fs::remove_file(&to).unwrap();
        let again = [File::open(&to), OpenOptions::new().write(true).open(&to)];
        for error in again.into_iter().filter_map(Result::err) {
            assert!(error.kind() == io::ErrorKind::NotFound || may_pass(&error), "{error}");
        }
        drop(open);
        // Neither of these passes by itself.
        for error in [File::open(&other).unwrap_err(), File::create_new(&from).unwrap_err()] {
            assert!(!may_pass(&error), "{error}");
        }
    }
}
