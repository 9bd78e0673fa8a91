//! What a program prints: its result, to standard output or to a file that appears once it is complete,
//! and warnings, to standard error.
//!
//! [`print_json`], [`Output::write_json`] and [`Output::write_text`] escape what a terminal would act on,
//! whatever the server sent, and so do errors and warnings. A reader that stops reading (`| head`) is no
//! failure: [`Error::report`] says nothing then.

mod atomic_file;

use crate::api::client::Client;
use crate::api::raw;
use crate::error::display::visible;
use crate::error::{Error, Result};
use crate::platform;
use crate::platform::is_unsafe_on_terminal;
use crate::store::folder;
use atomic_file::AtomicFile;
use serde_json::Value;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::mem;
use std::path::{self, Path, PathBuf};

pub use crate::error::display::one_line;
pub use crate::error::notices::warn;

/// Prints a value as indented JSON: keys in the order they came, numbers digit for digit.
///
/// On a terminal, characters that it would act on (U+009B, bidirectional marks …) are shown as JSON
/// escapes, which mean the same to a parser. If the reader stops reading (`| head`), the error is one
/// that [`Error::report`] does not print.
///
/// # Errors
///
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if standard output cannot be written, for example to a full disk.
///
/// ```
/// aac_auth::output::print_json(&serde_json::json!({ "id": 31429 }))?;
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
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if standard output cannot be written.
///
/// ```
/// aac_auth::output::print_line("a result")?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
pub fn print_line(text: &str) -> Result<()> {
    let mut output = Output::stdout();
    output.write(text.as_bytes())?;
    output.write(b"\n")?;
    output.finish()
}

/// Puts a `'` in front of text that a spreadsheet would run because it begins like a formula.
///
/// ```
/// use aac_auth::output::not_a_formula;
///
/// assert_eq!(not_a_formula("=1+1"), "'=1+1");
/// // As full-width characters, and behind what a spreadsheet skips.
/// assert_eq!(not_a_formula("\u{ff1d}1+1"), "'\u{ff1d}1+1");
/// assert_eq!(not_a_formula("\0=1+1"), "'\0=1+1");
/// ```
pub fn not_a_formula<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    // Those of OWASP ("CSV Injection"), and NUL.
    const STARTS: [char; 12] = [
        '=', '+', '-', '@', '\t', '\r', '\n', '\0', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ];
    match text.starts_with(STARTS) {
        true => format!("'{text}").into(),
        false => text,
    }
}

/// Prints text. On a terminal, characters that it would act on are escaped.
///
/// # Errors
///
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if standard output cannot be written.
///
/// ```
/// aac_auth::output::print_text("one line\nand another\n")?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
pub fn print_text(text: &str) -> Result<()> {
    let mut output = Output::stdout();
    output.write_text(text)?;
    output.finish()
}

/// How much is buffered before it is written, in bytes.
const BUFFER: usize = 64 * 1024;

/// Where a program's result goes. If it is dropped without [`finish`](Self::finish), output already
/// written to standard output stays, and a file is unchanged.
///
/// [`Client::output_file`] gives one for a file.
///
/// ```
/// use aac_auth::output::Output;
///
/// let mut output = Output::stdout();
/// output.write_text("a result\n")?;
/// output.finish()?;
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct Output {
    sink: BufWriter<Sink>,
    /// The file that it is written to; none for standard output.
    path: Option<PathBuf>,
    is_terminal: bool,
    /// Whether the last line written is incomplete.
    is_in_line: bool,
}

#[derive(Debug)]
enum Sink {
    Stdout(StdoutLock<'static>),
    /// Standard output that is not open for writing. The standard library ignores that.
    Closed,
    /// Written directly: a device, a pipe, a file that is already open.
    Special(File),
    File(AtomicFile),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Closed => Err(io::Error::other("it is not open for writing")),
            Self::Special(file) => file.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            // Nothing is held back.
            _ => Ok(()),
        }
    }
}

impl Output {
    fn new(sink: Sink, path: Option<&Path>, is_terminal: bool) -> Self {
        // A reader at the other end of a pipe waits for what is there.
        let is_direct = matches!(sink, Sink::Special(_) | Sink::Closed);
        let sink = BufWriter::with_capacity(if is_direct { 0 } else { BUFFER }, sink);
        Self { sink, path: path.map(Path::to_owned), is_terminal, is_in_line: false }
    }

    /// Standard output. If it is not open for writing, the first byte is an error.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let sink = match platform::has_stdout() {
            true => Sink::Stdout(stdout.lock()),
            false => Sink::Closed,
        };
        Self::new(sink, None, is_terminal)
    }

    fn open(path: &Path) -> Result<Self> {
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
                "{}: its folder cannot be written, so the file is written in place; an interruption leaves a part of it",
                path.display()
            ));
        }
        Ok(Self::new(Sink::File(file), Some(&real), false))
    }

    /// Whether a person sees the output as it is written.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); the same for `flush` and `finish`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Write::write_all(self, bytes).map_err(|error| self.error(error))
    }

    /// Writes text; on a terminal, escapes what it would act on.
    pub fn write_text(&mut self, text: &str) -> Result<()> {
        match self.is_terminal {
            true => {
                let text = text.replace("\r\n", "\n");
                self.write(visible(&text, |character| matches!(character, '\n' | '\t')).as_bytes())
            }
            false => self.write(text.as_bytes()),
        }
    }

    /// Writes JSON; on a terminal, writes what it would act on as JSON escapes.
    pub fn write_json(&mut self, json: &str) -> Result<()> {
        match self.is_terminal {
            true => self.write(escape_unsafe(json).as_bytes()),
            false => self.write(json.as_bytes()),
        }
    }

    /// Writes a record of CSV (RFC 4180); on a terminal, escapes what it would act on. Text that someone else
    /// chose goes through [`not_a_formula`] first.
    ///
    /// ```
    /// use aac_auth::output::Output;
    ///
    /// let mut output = Output::stdout();
    /// // 7,"Lovelace, Ada","the ""first"""
    /// output.write_csv(["7", "Lovelace, Ada", "the \"first\""])?;
    /// output.finish()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn write_csv(&mut self, cells: impl IntoIterator<Item: AsRef<str>>) -> Result<()> {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let cell = match self.is_terminal {
                true => Cow::from(one_line(cell.as_ref())),
                false => Cow::from(cell.as_ref()),
            };
            line.push_str(if column == 0 { "" } else { "," });
            match cell.contains([',', '"', '\r', '\n']) {
                true => line.extend(["\"", &cell.replace('"', "\"\""), "\""]),
                false => line.push_str(&cell),
            }
        }
        // An empty line would not count as a record.
        line.push_str(if line.is_empty() { "\"\"\r\n" } else { "\r\n" });
        self.write(line.as_bytes())
    }

    /// Flushes what has been written so far.
    pub fn flush(&mut self) -> Result<()> {
        Write::flush(self).map_err(|error| self.error(error))
    }

    /// Completes the result: a file now gets its name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        match mem::replace(self.sink.get_mut(), Sink::Closed) {
            Sink::File(file) => file.commit().map_err(|error| self.error(error)),
            sink => {
                *self.sink.get_mut() = sink;
                Ok(())
            }
        }
    }

    /// Converts another library's error from writing here.
    pub fn error(&self, source: io::Error) -> Error {
        match &self.path {
            // `-o >(head)` is a reader that stops reading, as `| head` is.
            Some(path)
                if source.kind() != io::ErrorKind::BrokenPipe
                    || matches!(self.sink.get_ref(), Sink::File(_)) =>
            {
                Error::file(path, source)
            }
            _ => Error::output(source),
        }
    }
}

/// For libraries that write by themselves; [`Output::error`] converts their errors to an [`Error`].
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_terminal && self.is_in_line {
            // The next output, an error or the shell's prompt, begins on its own line.
            let _ = self.sink.write_all(b"\n");
        }
    }
}

impl Client {
    /// A file, which gets its content only when [`Output::finish`] is called. Its permissions stay.
    ///
    /// - A device, a pipe or a file that is already open (`/dev/stdout`, `/dev/fd/3`) is written
    ///   directly.
    /// - If the file can be written but its folder cannot, it is written in place, with a warning: an
    ///   interruption leaves it incomplete.
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
        if holds_credentials(path, &self.settings().creds) {
            let what = format!(
                "{} is part of your credentials and is not overwritten: name another file",
                path.display()
            );
            return Err(Error::usage(what));
        }
        Output::open(path)
    }
}

/// Whether the path leads to creds.json, a file that belongs to it, or one of the two other files. Those of
/// another folder count if it has a creds.json: with `AAC_DIR` set, the tokens in the current folder are easy
/// to forget.
fn holds_credentials(path: &Path, creds: &Path) -> bool {
    let real = folder::real_path(creds);
    let names = [creds, &real].map(|creds| creds.file_name().unwrap_or_default());
    // As seen by a file system that ignores case.
    let names = names.map(|name| name.to_string_lossy().to_lowercase());
    let is_one = |name: Option<&OsStr>| {
        let name = name.unwrap_or_default().to_string_lossy().to_lowercase();
        let mut creds = names.iter().filter_map(|creds| name.strip_prefix(creds.as_str()));
        creds.any(|suffix| suffix.is_empty() || suffix.starts_with('.'))
            || ["aac_url.txt", "client_id.txt", "api_project_id.txt"].contains(&&*name)
    };
    let named = path::absolute(path).unwrap_or_default();
    let path = folder::real_path(&named);
    let is_same = |a: &Path, b: &Path| same_file::is_same_file(a, b).unwrap_or(false);
    let is_in_another = [&named, &path].into_iter().any(|path| {
        is_one(path.file_name()) && folder::has_tokens(&path.with_file_name("creds.json"))
    });
    is_in_another
        || [creds, &real].into_iter().filter_map(Path::parent).any(|folder| {
            let is_inside = path.parent().is_some_and(|parent| is_same(parent, folder));
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut own = entries.filter(|entry| is_one(Some(&entry.file_name())));
            // Through a hard link, whatever its name.
            is_inside && is_one(path.file_name())
                || path.is_file()
                    && own.any(|entry| entry.path().is_file() && is_same(&entry.path(), &path))
        })
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

/// A JSON array that is written row by row. [`end`](Self::end) writes the `]`, so a truncated list
/// cannot pass for a complete one.
///
/// One row per line for programs, indented for people.
///
/// ```
/// use aac_auth::output::{JsonArray, Output};
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
    /// As [`Output::write`]; the same for `end`.
    pub fn push(&mut self, row: &str, output: &mut Output) -> Result<()> {
        output.write(if self.rows == 0 { b"[\n" } else { b",\n" })?;
        self.rows += 1;
        if output.is_terminal()
            && let Ok(row) = serde_json::from_str(row)
        {
            let text = raw::indented(row).replace('\n', "\n  ");
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

/// Escapes raw characters in JSON strings that are unsafe for a terminal. Outside strings, JSON's only
/// such characters are line ends.
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
