//! What depends on the system, and on the cargo that has started a program.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tokio::net::TcpStream;

/// Writes a file that only its owner can read, on systems that have such permissions.
pub(crate) fn write_private(path: &Path, contents: &str) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(contents.as_bytes())
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<File> {
    use std::fs::Permissions;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode above applies to new files only.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)
}

/// Keeps an accepted connection from the programs that this process starts: it would last as long as
/// the last of them.
pub(crate) fn keep_to_this_process(stream: &TcpStream) {
    // Windows lets them inherit it. Elsewhere accepting it has seen to this.
    #[cfg(windows)]
    // If this fails, the connection is already gone.
    let _ = socket2::SockRef::from(stream).set_no_inherit(true);
    #[cfg(not(windows))]
    let _ = stream;
}

/// Whether cargo sets this variable for the program it runs. Remove these variables before you
/// start another `cargo`: build scripts that depend on them (ring's, for one) would run again, and
/// once more for the next `cargo` outside. Settings of the user, such as `CARGO_TARGET_DIR`, stay.
pub fn is_set_by_cargo(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|start| name.starts_with(start))
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"]
            .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_stay() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_BIN_NAME", "OUT_DIR"] {
            assert!(is_set_by_cargo(name.as_ref()), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_set_by_cargo(name.as_ref()), "{name}");
        }
    }
}
