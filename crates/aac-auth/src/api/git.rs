//! Whether git could take tokens into a commit.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The line that keeps creds.json and all beside it out of commits, in every folder below: pairs that were
/// replaced are in one.
const LINE: &str = "creds.json*";

/// What git knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InGit {
    /// It is in no work tree.
    No,
    Untracked,
    /// `is_skipped`: changes to it are not committed (skip-worktree).
    Tracked {
        is_skipped: bool,
    },
    /// There is a work tree, and git cannot be asked.
    Unknown,
}

/// Looks for the file of this real path.
pub(super) fn look_for(path: &Path) -> InGit {
    let folder = existing(path);
    // In a work tree of its own or a submodule, it is a file.
    if !folder.ancestors().any(|above| above.join(".git").symlink_metadata().is_ok()) {
        return InGit::No;
    }
    match git(folder, &[OsStr::new("ls-files"), "-v".as_ref(), "--".as_ref(), path.as_ref()]) {
        None => InGit::Unknown,
        Some(listed) if listed.is_empty() => InGit::Untracked,
        // In lower case, it is assumed to be unchanged as well.
        Some(listed) => InGit::Tracked { is_skipped: listed[0].eq_ignore_ascii_case(&b'S') },
    }
}

/// Whether git ignores what the programs keep beside this creds.json, and that itself unless it is tracked.
pub(super) fn is_ignored(creds: &Path, is_tracked: bool) -> bool {
    let beside = creds.with_file_name("creds.json.rotation");
    let replaced = creds.with_file_name("replaced-2000-01-01").join("creds.json");
    let paths = [&beside, &replaced, creds];
    let paths = if is_tracked { &paths[..2] } else { &paths };
    let is_ignored = |path: &&Path| {
        let args = ["check-ignore", "--quiet", "--no-index", "--"].map(OsStr::new);
        git(existing(creds), &[&args[..], &[path.as_os_str()]].concat()).is_some()
    };
    paths.iter().all(is_ignored)
}

/// The file of this machine's own rules, for the work tree of this creds.json.
pub(super) fn exclude_file(creds: &Path) -> Option<PathBuf> {
    let folder = existing(creds);
    let path = git(folder, &["rev-parse", "--git-path", "info/exclude"].map(OsStr::new))?;
    Some(folder.join(String::from_utf8(path).ok()?.trim_end_matches(['\n', '\r'])))
}

/// Adds the line to that file.
pub(super) fn exclude(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let text = fs::read(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })?;
    let end = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(format!("{end}{LINE}\n").as_bytes())
}

/// What git has of a file, as it was added last.
pub(super) fn added(path: &Path) -> Option<Vec<u8>> {
    let mut object = OsStr::new(":./").to_owned();
    object.push(path.file_name()?);
    git(path.parent()?, &["cat-file".as_ref(), "blob".as_ref(), &object])
}

/// The folder of a file that is to be, or the nearest above it that is there.
fn existing(path: &Path) -> &Path {
    let above = path.ancestors().skip(1);
    above.into_iter().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}

/// What a git command prints; none if it fails. It starts nothing that the configuration of somebody else's
/// repository names, and sees no variable with a token.
fn git(folder: &Path, args: &[&OsStr]) -> Option<Vec<u8>> {
    let mut git = Command::new("git");
    git.args(["-c", "core.fsmonitor=false", "--no-optional-locks"]).args(args).current_dir(folder);
    for (name, _) in env::vars_os() {
        // Another repository than that of the folder.
        let name_in_capitals = name.to_string_lossy().to_ascii_uppercase();
        if ["AAC_", "GIT_"].iter().any(|beginning| name_in_capitals.starts_with(beginning)) {
            git.env_remove(name);
        }
    }
    let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}
