//! Differences between operating systems, for the library.

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
