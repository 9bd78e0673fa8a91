//! The folder of the files.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::platform;

/// The folder of the files that lead to a cloud.
#[derive(Debug)]
pub(crate) enum Folder {
    /// Removed at the end.
    Temporary(TempDir),
    /// The user's, which stays.
    Given(PathBuf),
}

impl Folder {
    /// The given folder, which is created if need be, or else a new temporary one.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let Some(dir) = dir else {
            let mut builder = tempfile::Builder::new();
            builder.prefix("aac-sandbox-");
            platform::make_private(&mut builder);
            return Ok(Self::Temporary(builder.tempdir()?));
        };
        // Absolute, since the command may change its working directory before it reads AAC_DIR.
        let dir = std::path::absolute(dir)?;
        std::fs::create_dir_all(&dir).map_err(|error| {
            io::Error::other(format!("--dir: cannot create {}: {error}", dir.display()))
        })?;
        let existing = ["aac_url.txt", "client_id.txt", "api_project_id.txt", "creds.json"]
            .into_iter()
            .find(|name| dir.join(name).symlink_metadata().is_ok());
        match existing {
            Some(name) if !is_a_sandboxs(&dir) => Err(io::Error::other(format!(
                "{} is not from a sandbox and is left unchanged. Choose another folder with --dir",
                dir.join(name).display()
            ))),
            _ => Ok(Self::Given(dir)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }

    /// Removes it if it is temporary.
    pub(crate) fn close(self) {
        if let Self::Temporary(dir) = self {
            let path = dir.path().to_owned();
            if let Err(error) = dir.close() {
                let path = path.display();
                let _ = writeln!(io::stderr(), "aac-sandbox: cannot remove {path}: {error}");
            }
        }
    }
}

/// Whether the files in a folder are from a sandbox, be it this one or an earlier one.
fn is_a_sandboxs(dir: &Path) -> bool {
    let url = std::fs::read_to_string(dir.join("aac_url.txt")).unwrap_or_default();
    url.starts_with("http://127.0.0.1:") || url.starts_with("https://127.0.0.1:")
}
