//! The folder of aac_url.txt, client_id.txt and creds.json.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::platform;

/// The folder of the three files.
#[derive(Debug)]
pub(crate) enum Folder {
    /// Goes with the sandbox.
    Temporary(TempDir),
    /// The user's, which stays.
    Given(PathBuf),
}

impl Folder {
    /// The given folder, made if need be, or else a new temporary one.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let Some(dir) = dir else {
            let mut builder = tempfile::Builder::new();
            builder.prefix("aac-sandbox-");
            platform::make_private(&mut builder);
            return Ok(Self::Temporary(builder.tempdir()?));
        };
        // The command may have another working directory by the time it reads AAC_DIR.
        let dir = std::path::absolute(dir)?;
        let named = |error| io::Error::other(format!("{}: {error}", dir.display()));
        std::fs::create_dir_all(&dir).map_err(named)?;
        let taken = ["aac_url.txt", "client_id.txt", "creds.json"]
            .into_iter()
            .find(|name| dir.join(name).symlink_metadata().is_ok());
        match taken {
            Some(name) if !is_a_sandboxs(&dir) => Err(io::Error::other(format!(
                "{} is not a sandbox's, and is left alone: name another folder with --dir",
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

/// Whether the files in a folder are those of a sandbox, this one or an earlier one.
fn is_a_sandboxs(dir: &Path) -> bool {
    let url = std::fs::read_to_string(dir.join("aac_url.txt")).unwrap_or_default();
    url.starts_with("http://127.0.0.1:") || url.starts_with("https://127.0.0.1:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_real_cloud_are_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = dir.path().join("aac_url.txt");
        assert!(Folder::open(Some(dir.path())).is_ok());
        std::fs::write(&url, "http://127.0.0.1:8080\n").expect("written");
        assert!(Folder::open(Some(dir.path())).is_ok());
        std::fs::write(&url, "https://api.us1.alteryxcloud.com\n").expect("written");
        let error = Folder::open(Some(dir.path())).expect_err("refused").to_string();
        assert!(error.contains("aac_url.txt") && error.contains("--dir"), "{error}");
    }
}
