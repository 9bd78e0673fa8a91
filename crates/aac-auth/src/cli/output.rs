//! Where results go: standard output, or a file that takes its name when it is whole.

use crate::api::client::Client;
use crate::api::json_text::JsonText;
use crate::cli::atomic_file::AtomicFile;
use crate::error::display::{is_unsafe_on_terminal, visible};
use crate::error::notices;
use crate::error::{Error, Result};
use crate::platform;
use crate::store::folder;
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::mem;
use std::path::{self, Path, PathBuf};

/// Prints a value as indented JSON: keys in the order they came, numbers digit for digit.
///
/// On a terminal, characters that it would act on (U+009B, bidirectional marks …) are shown as JSON
/// escapes, which mean the same to a parser. A reader that has had enough (`| head`) is an error
/// that [`Error::report`] passes over in silence.
///
/// # Errors
///
/// [`Error::Output`] if standard output cannot be written, for example to a full disk.
///
/// ```
/// aac_auth::print_json(&serde_json::json!({ "id": 31429 }))?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
pub fn print_json(value: &Value) -> Result<()> {
    let mut output = Output::stdout();
    output.write_json(&indented(value))?;
    output.write(b"\n")?;
    output.finish()
}

/// Prints a line of text as it is.
///
/// # Errors
///
/// [`Error::Output`] if standard output cannot be written.
///
/// ```
/// aac_auth::print_line("a result")?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
pub fn print_line(text: &str) -> Result<()> {
    let mut output = Output::stdout();
    output.write(text.as_bytes())?;
    output.write(b"\n")?;
    output.finish()
}

/// What is gathered before it is written, in bytes.
const BUFFER: usize = 64 * 1024;

/// Where a program's result goes. Dropped without [`finish`](Self::finish), it leaves what it has
/// written on standard output, and a file as it was before.
///
/// ```
/// use aac_auth::Output;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("result.txt");
///
/// let mut output = Output::file(&path)?;
/// output.write_text("a result\n")?;
/// output.finish()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    is_terminal: bool,
    /// Whether the last line that was written has not ended.
    is_in_line: bool,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<StdoutLock<'static>>),
    /// Standard output, which was closed when the program started.
    Closed,
    /// What has no end to be waited for: a device, a pipe, a file that is open already.
    Special {
        path: PathBuf,
        file: File,
    },
    File(AtomicFile),
}

impl Output {
    /// Standard output. If it is closed, the first byte is an error.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let sink = match platform::has_stdout() {
            true => Sink::Stdout(BufWriter::with_capacity(BUFFER, stdout.lock())),
            false => Sink::Closed,
        };
        Self { sink, is_terminal, is_in_line: false }
    }

    /// A file, which gets its content when [`finish`](Self::finish) is called, and not before. Its
    /// permissions stay.
    ///
    /// - A device, a pipe and a file that is open already (`/dev/stdout`, `/dev/fd/3`) are written as
    ///   they are.
    /// - Where the folder cannot be written, but the file can, it is written in place, with a warning:
    ///   an interruption leaves a part of it.
    /// - On Linux, what a signal cuts off leaves nothing behind. Elsewhere, and on file systems without
    ///   `O_TMPFILE`, it leaves `aac-….part` in the folder; [`Client::output_file`] sees to that.
    ///
    /// # Errors
    ///
    /// [`Error::UserFile`] if it cannot be written there.
    pub fn file(path: &Path) -> Result<Self> {
        Self::open(path, false)
    }

    fn open(path: &Path, handles_signals: bool) -> Result<Self> {
        let failed = |source| Error::UserFile { path: path.to_owned(), source };
        let is_folder = || {
            failed(io::Error::new(io::ErrorKind::IsADirectory, "is a folder: name a file in it"))
        };
        let special = |mut options: fs::OpenOptions| {
            let file = options.write(true).open(path).map_err(failed)?;
            let is_terminal = file.is_terminal();
            let sink = Sink::Special { path: path.to_owned(), file };
            Ok(Self { sink, is_terminal, is_in_line: false })
        };
        match descriptor(path) {
            Some(Descriptor::Stdout) => return Ok(Self::stdout()),
            Some(Descriptor::Other) => {
                // What another program has written there stays.
                let mut options = File::options();
                options.append(true);
                return special(options);
            }
            None => {}
        }
        match fs::metadata(path) {
            Ok(old) if old.is_dir() => return Err(is_folder()),
            Ok(old) if old.is_file() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = path.to_string_lossy();
                if text.ends_with(path::is_separator) {
                    return Err(is_folder());
                }
            }
            // A device, a pipe, or what Windows tells nothing about, such as NUL.
            Ok(_) | Err(_) => return special(File::options()),
        }
        // A link stays one: what it leads to is replaced.
        let file = AtomicFile::create(folder::real_path(path), BUFFER, handles_signals);
        let file = file.map_err(failed)?;
        if file.is_in_place() {
            notices::warn(format_args!(
                "{}: its folder cannot be written, so the file is written in place; an interruption leaves a part of it",
                path.display()
            ));
        }
        Ok(Self { sink: Sink::File(file), is_terminal: false, is_in_line: false })
    }

    /// Whether a person sees what is written, as it is written.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Output`] for standard output, [`Error::UserFile`] for a file; for `flush` and
    /// `finish` as well.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Write::write_all(self, bytes).map_err(|error| self.error(error))
    }

    /// Writes text; on a terminal, with what it would act on escaped.
    pub fn write_text(&mut self, text: &str) -> Result<()> {
        match self.is_terminal {
            true => {
                let text = text.replace("\r\n", "\n");
                self.write(visible(&text, |character| matches!(character, '\n' | '\t')).as_bytes())
            }
            false => self.write(text.as_bytes()),
        }
    }

    /// Writes JSON; on a terminal, with what it would act on as JSON escapes.
    pub fn write_json(&mut self, json: &str) -> Result<()> {
        match self.is_terminal {
            true => self.write(escape_unsafe(json).as_bytes()),
            false => self.write(json.as_bytes()),
        }
    }

    /// Hands on what has been written so far.
    pub fn flush(&mut self) -> Result<()> {
        Write::flush(self).map_err(|error| self.error(error))
    }

    /// Ends a result that is whole: a file takes its name now.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match mem::replace(&mut self.sink, Sink::Closed) {
            Sink::File(file) => {
                let path = file.path().to_owned();
                file.commit().map_err(|source| Error::UserFile { path, source })
            }
            sink => {
                self.sink = sink;
                Ok(())
            }
        }
    }

    /// The error for what another library says of writing here.
    pub fn error(&self, source: io::Error) -> Error {
        let path = match &self.sink {
            Sink::Stdout(_) | Sink::Closed => return Error::Output(source),
            Sink::Special { path, .. } => path,
            Sink::File(file) => file.path(),
        };
        Error::UserFile { path: path.to_owned(), source }
    }

    fn writer(&mut self) -> io::Result<&mut dyn Write> {
        match &mut self.sink {
            Sink::Stdout(stdout) => Ok(stdout),
            Sink::Closed => Err(io::Error::other("it is not open for writing")),
            Sink::Special { file, .. } => Ok(file),
            Sink::File(file) => Ok(file),
        }
    }
}

/// For libraries that write by themselves; [`Output::error`] makes an [`Error`] of theirs.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer()?.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(written)
    }

    /// Nothing has been written to what is closed.
    fn flush(&mut self) -> io::Result<()> {
        self.writer().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_terminal && self.is_in_line {
            // What comes next, an error or the shell's prompt, begins on a line of its own.
            let _ = Write::write_all(self, b"\n");
        }
    }
}

impl Client {
    /// As [`Output::file`], but creds.json and what belongs to it cannot be overwritten, and with
    /// [`ConnectionOptions::hold_signals`](crate::ConnectionOptions::hold_signals) a signal that ends
    /// the program leaves no `.part` on any file system.
    ///
    /// # Errors
    ///
    /// As [`Output::file`]; [`Error::Request`] for a file of the folder that the tokens are in.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let mut output = client.output_file("users.txt".as_ref())?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn output_file(&self, path: &Path) -> Result<Output> {
        if holds_credentials(path, &self.connection().settings().creds) {
            let what = format!(
                "{} is part of your credentials and is not overwritten: name another file",
                path.display()
            );
            return Err(Error::Request { what });
        }
        Output::open(path, self.connection().holds_signals())
    }
}

/// Whether the path leads to creds.json, to what stands beside it, or to the two other files.
fn holds_credentials(path: &Path, creds: &Path) -> bool {
    let real = folder::real_path(creds);
    let names = [creds, &real].map(|creds| creds.file_name().unwrap_or_default());
    // As a file system would see it that does not tell upper case from lower.
    let names = names.map(|name| name.to_string_lossy().to_lowercase());
    let is_one = |name: Option<&OsStr>| {
        let name = name.unwrap_or_default().to_string_lossy().to_lowercase();
        let mut creds = names.iter().filter_map(|creds| name.strip_prefix(creds.as_str()));
        creds.any(|suffix| suffix.is_empty() || suffix.starts_with('.'))
            || ["aac_url.txt", "client_id.txt", "api_project_id.txt"].contains(&&*name)
    };
    let path = folder::real_path(&path::absolute(path).unwrap_or_default());
    let is_same = |a: &Path, b: &Path| same_file::is_same_file(a, b).unwrap_or(false);
    [creds, &real].into_iter().filter_map(Path::parent).any(|folder| {
        let is_inside = path.parent().is_some_and(|parent| is_same(parent, folder));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut own = entries.filter(|entry| is_one(Some(&entry.file_name())));
        // By a hard link, whatever the name.
        is_inside && is_one(path.file_name())
            || path.is_file()
                && own.any(|entry| entry.path().is_file() && is_same(&entry.path(), &path))
    })
}

enum Descriptor {
    Stdout,
    Other,
}

/// Whether the path leads to a file that is open already. To follow the last link would lead to the
/// file's name, and lose where in it the next byte belongs.
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

/// A JSON array that is written row by row. Its `]` comes with [`end`](Self::end), so that a list
/// that was cut short is not taken for a whole one.
///
/// One row a line where a program reads it, indented where a person does.
///
/// ```
/// use aac_auth::{JsonArray, Output};
///
/// let mut output = Output::stdout();
/// let mut array = JsonArray::default();
/// for row in [r#"{"id":1}"#, r#"{"id":2}"#] {
///     array.push(row, &mut output)?;
/// }
/// array.end(&mut output)?;
/// output.finish()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct JsonArray {
    rows: u64,
}

impl JsonArray {
    /// Writes a row, which is JSON.
    ///
    /// # Errors
    ///
    /// As [`Output::write`]; for `end` as well.
    pub fn push(&mut self, row: &str, output: &mut Output) -> Result<()> {
        output.write(if self.rows == 0 { b"[\n" } else { b",\n" })?;
        self.rows += 1;
        if output.is_terminal()
            && let Some(row) = JsonText::new(row)
        {
            let text = format!("{row:#}").replace('\n', "\n  ");
            return output.write_json(&format!("  {text}"));
        }
        output.write_json(row)
    }

    /// Ends the array.
    pub fn end(self, output: &mut Output) -> Result<()> {
        output.write(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })
    }
}

/// A value as indented JSON.
fn indented(value: &Value) -> String {
    format!("{value:#}")
}

/// Escapes what stands in JSON strings raw and is not fit for a terminal. Outside of strings JSON has
/// no such characters but line ends.
fn escape_unsafe(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_unsafe_on_terminal(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_means_the_same() {
        let value = Value::from("a\u{9b}31m\u{202e}é😀\u{e0041}\u{7f}");
        let shown = escape_unsafe(&indented(&value));
        assert_eq!(shown, r#""a\u009b31m\u202eé😀\udb40\udc41\u007f""#);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
