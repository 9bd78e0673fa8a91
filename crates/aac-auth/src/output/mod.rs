//! What a program prints: its result, to standard output or to a file that appears once it is complete,
//! and warnings, to standard error.
//!
//! [`print_json`], [`Output::write_json`] and [`Output::write_text`] escape what a terminal would act on,
//! whatever the server sent, and so do errors and warnings. A reader that stops reading (`| head`) is no
//! failure: [`Error::report`] says nothing then.

mod atomic_file;
mod file;
mod json_array;

use crate::error::display::visible;
use crate::error::{Error, Result};
use crate::platform::{self, is_unsafe_on_terminal};
use atomic_file::AtomicFile;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::mem;
use std::path::{Path, PathBuf};

pub use crate::error::display::one_line;
pub use crate::error::notices::warn;
pub use json_array::JsonArray;

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
    print(|output| output.write_json(&format!("{value:#}\n")))
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
    print(|output| output.write(format!("{text}\n").as_bytes()))
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
    print(|output| output.write_text(text))
}

fn print(write: impl FnOnce(&mut Output) -> Result<()>) -> Result<()> {
    let mut output = Output::stdout();
    write(&mut output)?;
    output.finish()
}

/// How much is buffered before it is written, in bytes.
const BUFFER: usize = 64 * 1024;

/// Where a program's result goes. If it is dropped without [`finish`](Self::finish), output already
/// written to standard output stays, and a file is unchanged.
///
/// [`Client::output_file`](crate::Client::output_file) gives one for a file.
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

    /// Whether a person sees the output as it is written.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether it is a file that gets its content only with [`finish`](Self::finish), so that a second
    /// attempt can begin anew.
    pub fn is_file(&self) -> bool {
        matches!(self.sink.get_ref(), Sink::File(file) if !file.is_in_place())
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
        let mut line = match self.is_terminal {
            true => csv_line(cells.into_iter().map(|cell| one_line(cell.as_ref()))),
            false => csv_line(cells),
        };
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

/// A record of CSV, without its end.
pub(crate) fn csv_line(cells: impl IntoIterator<Item: AsRef<str>>) -> String {
    let mut line = String::new();
    for (column, cell) in cells.into_iter().enumerate() {
        let cell = cell.as_ref();
        line.push_str(if column == 0 { "" } else { "," });
        match cell.contains([',', '"', '\r', '\n']) {
            true => line.extend(["\"", &cell.replace('"', "\"\""), "\""]),
            false => line.push_str(cell),
        }
    }
    line
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
        let shown = escape_unsafe(&format!("{value:#}"));
        assert_eq!(shown, r#""a\u009b31m\u202eé😀\udb40\udc41\u007f""#);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
