//! Output to a file: its content appears as a whole where that is possible, and nowhere in place of the
//! credentials.

use crate::api::client::Client;
use crate::error::notices::warn;
use crate::error::{Error, Result};
use crate::output::atomic_file::AtomicFile;
use crate::output::{Output, Sink};
use crate::store::folder;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{self, Path};

impl Client {
    /// A file, which gets its content only when [`Output::finish`] is called. Its permissions stay.
    ///
    /// - A device, a pipe or a file that is already open (`/dev/stdout`, `/dev/fd/3`) is written
    ///   directly.
    /// - If the file can be written but its folder cannot, or none with its permissions can be made, it is
    ///   written in place, with a warning: an interruption leaves it incomplete.
    /// - A signal that ends the program leaves nothing behind on Linux. Elsewhere, and on file systems
    ///   without `O_TMPFILE`, it leaves `aac-….part` in the folder. The next output to the same file
    ///   removes that, unless a program is writing it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be written there;
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for creds.json and the files that belong to it, also of
    /// another folder than this client's.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut output = client.output_file("users.txt".as_ref())?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn output_file(&self, path: &Path) -> Result<Output> {
        self.may_write(path)?;
        Output::open(path)
    }

    /// Refuses creds.json and the files that belong to it.
    pub(crate) fn may_write(&self, path: &Path) -> Result<()> {
        if holds_credentials(path, &self.settings().creds) {
            let what = format!(
                "{} is part of your credentials and is not overwritten: name another file",
                path.display()
            );
            return Err(Error::usage(what));
        }
        Ok(())
    }
}

impl Output {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::file(path, source);
        let special = |options: &mut fs::OpenOptions| {
            let file = options.open(path).map_err(failed)?;
            let is_terminal = file.is_terminal();
            Ok(Self::new(Sink::Special(file), Some(path), is_terminal))
        };
        match descriptor(path) {
            Some(Descriptor::Stdout) => return Ok(Self::stdout()),
            // Keep what another program has written there.
            Some(Descriptor::Other) => return special(File::options().append(true)),
            None => {}
        }
        let is_folder = match fs::metadata(path) {
            Ok(old) if old.is_file() => false,
            Ok(old) if old.is_dir() => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.to_string_lossy().ends_with(path::is_separator)
            }
            // A device, a pipe, or something Windows reports nothing about, such as NUL.
            _ => return special(File::options().write(true)),
        };
        if is_folder {
            let what = "is a folder: name a file in it";
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, what)));
        }
        // A link stays a link: its target is replaced.
        let real = folder::real_path(path);
        let file = AtomicFile::create(real.clone()).map_err(failed)?;
        if file.is_in_place() {
            warn(format_args!(
                "{}: it cannot be replaced, so it is written in place; an interruption leaves a part of it",
                path.display()
            ));
        }
        Ok(Self::new(Sink::File(file), Some(&real), false))
    }
}

enum Descriptor {
    Stdout,
    Other,
}

/// Whether the path leads to a file that is already open. Following the last link would lead to the
/// file's name and lose the position of the next byte.
fn descriptor(path: &Path) -> Option<Descriptor> {
    let mut path = path::absolute(path).ok()?;
    // As many links as Linux follows.
    for _ in 0..40 {
        let folder = path.parent()?.canonicalize().ok()?;
        if folder == Path::new("/dev/fd") || folder.starts_with("/proc") && folder.ends_with("fd") {
            let is_own = Path::new("/dev/fd").canonicalize().is_ok_and(|own| own == folder);
            return Some(match path.file_name() {
                Some(name) if is_own && name == "1" => Descriptor::Stdout,
                _ => Descriptor::Other,
            });
        }
        path = folder.join(fs::read_link(&path).ok()?);
    }
    None
}

/// Whether the path leads to creds.json, a file that belongs to it, or one of the two other files. Those of
/// another folder count if it has a creds.json: with `AAC_DIR` set, the tokens in the current folder are easy
/// to forget.
fn holds_credentials(path: &Path, creds: &Path) -> bool {
    let real = folder::real_path(creds);
    // As seen by a file system that ignores case.
    let name_of =
        |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let names = [creds, &real].map(name_of);
    let is_one = |path: &Path| {
        let name = name_of(path);
        let mut suffixes = names.iter().filter_map(|creds| name.strip_prefix(&**creds));
        suffixes.any(|suffix| suffix.is_empty() || suffix.starts_with('.'))
            || ["aac_url.txt", "client_id.txt", "api_project_id.txt"].contains(&&*name)
    };
    let named = path::absolute(path).unwrap_or_default();
    let path = folder::real_path(&named);
    let is_same = |a: &Path, b: &Path| same_file::is_same_file(a, b).unwrap_or(false);
    let is_in_another = [&named, &path].into_iter().any(|path| {
        is_one(path) && folder::has_tokens(&path.with_file_name("creds.json")).unwrap_or(true)
    });
    is_in_another
        || [creds, &real].into_iter().filter_map(Path::parent).any(|folder| {
            let is_inside = path.parent().is_some_and(|parent| is_same(parent, folder));
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut own = entries.map(|entry| entry.path()).filter(|own| is_one(own));
            // Through a hard link, whatever its name.
            is_inside && is_one(&path)
                || path.is_file() && own.any(|own| own.is_file() && is_same(&own, &path))
        })
}
