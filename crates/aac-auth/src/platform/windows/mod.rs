//! What Windows does in its own way.
//!
//! What Wine cannot show is in `access`, `owner` and `console`: each calls the system in few places.

pub(crate) mod access;
pub(crate) mod console;
pub(crate) mod owner;

use crate::platform::{SystemProxy, Unfit, open_plain};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION,
    ERROR_USER_MAPPED_FILE,
};
use windows_sys::Win32::Networking::WinSock::{WSAHOST_NOT_FOUND, WSANO_DATA};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
    FILE_SHARE_READ, FILE_SHARE_WRITE,
};
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

/// Whether the failure has several causes, which only another look at the file tells apart.
pub(crate) fn is_unclear(error: &io::Error) -> bool {
    is(error, ERROR_ACCESS_DENIED)
}

/// Whether the failure of an operation on these files may be due to another program that has one of them
/// open. A rename has two files: `to` is the one that is replaced.
///
/// "Access denied" has several causes. A file that was removed while others have it open cannot be opened
/// even for its attributes. A file that cannot be replaced because others have it open can be opened for
/// deletion. Everything else is a matter of rights, which do not change by themselves.
pub(crate) fn may_pass(error: &io::Error, path: &Path, to: Option<&Path>) -> bool {
    if is_sharing_violation(error) {
        return true;
    }
    let is_held = |found: io::Result<File>| {
        found.is_err_and(|error| is_sharing_violation(&error) || is_unclear(&error))
    };
    let is_going = |path| is_held(probe(path, FILE_READ_ATTRIBUTES));
    let is_replaceable = |path: &Path| {
        let is_plain = path
            .symlink_metadata()
            .is_ok_and(|found| found.is_file() && !found.permissions().readonly());
        is_plain && probe(path, DELETE).map_or_else(|error| is_sharing_violation(&error), |_| true)
    };
    is_unclear(error) && (is_going(path) || to.is_some_and(|to| is_going(to) || is_replaceable(to)))
}

/// Opens what has this path for these rights alone, and only for a moment: as long as it is open for
/// deletion, those who do not share that cannot open it.
fn probe(path: &Path, rights: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(rights);
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    options.open(path)
}

/// Whether a name lookup has failed: std has no kind for it. The four codes follow one another.
pub(crate) fn is_lookup_failure(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| (WSAHOST_NOT_FOUND..=WSANO_DATA).contains(&code))
}

/// Opens a file so that nobody can remove or rename it meanwhile.
pub(crate) fn open_to_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
    open_plain(path, options.clone().write(true)).or_else(|error| match Unfit::of(&error) {
        Some(_) => Err(error),
        None => open_plain(path, &options),
    })
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
pub(crate) fn system_proxy() -> Option<SystemProxy> {
    const SETTINGS: &str = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    const POLICY: &str = r"Software\Policies\Microsoft\Windows\CurrentVersion\Internet Settings";
    let [user, machine] = [HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE].map(RegKey::predef);
    let policy = machine.open_subkey(POLICY);
    let is_per_user = policy.and_then(|policy| policy.get_value("ProxySettingsPerUser"));
    let hive = if matches!(is_per_user, Ok(0_u32)) { machine } else { user };
    let settings = hive.open_subkey(SETTINGS).ok()?;
    let text = |name: &str| settings.get_value::<String, _>(name).unwrap_or_default();
    let is_enabled = settings.get_value::<u32, _>("ProxyEnable").is_ok_and(|value| value != 0);
    Some(SystemProxy {
        servers: if is_enabled { text("ProxyServer") } else { String::new() },
        exempt: text("ProxyOverride"),
        has_script: !text("AutoConfigURL").is_empty(),
    })
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
    fn a_failed_lookup_is_known() {
        for code in 11001..=11004 {
            assert!(is_lookup_failure(&io::Error::from_raw_os_error(code)));
        }
        assert!(!is_lookup_failure(&io::Error::from_raw_os_error(10054)));
        let error = "no-such-host.invalid:1".to_socket_addrs().unwrap_err();
        assert!(is_lookup_failure(&error), "{error:?}");
    }

    #[test]
    fn a_refusal_that_stays_is_told_from_one_that_passes() {
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
            assert!(may_pass(&error, &from, Some(&to)), "{error}");
        }
        drop(held);
        // Removed, and still open: some systems keep the name until it is closed.
        let open = File::open(&to).unwrap();
        fs::remove_file(&to).unwrap();
        let again = [File::open(&to), OpenOptions::new().write(true).open(&to)];
        for error in again.into_iter().filter_map(Result::err) {
            let is_gone = error.kind() == io::ErrorKind::NotFound;
            assert!(is_gone || may_pass(&error, &to, None), "{error}");
        }
        drop(open);
        // A folder in the way.
        fs::create_dir(&other).unwrap();
        for error in [fs::rename(&from, &other).unwrap_err(), File::open(&other).unwrap_err()] {
            assert!(!may_pass(&error, &from, Some(&other)), "{error}");
        }
        assert!(!may_pass(&io::ErrorKind::NotFound.into(), &from, None));
    }
}
