//! Where results go: standard output, or a file that takes its name when it is whole.

use crate::disk;
use crate::error::{Error, Result};
use crate::json_text::JsonText;
use crate::secret::is_deceptive;
use serde_json::Value;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};

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
/// written on standard output, and a file as it was before. A signal that ends the program leaves what
/// has come so far beside the file, in one whose name ends in `.part`.
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
    /// What has no end to be waited for: a device, a pipe.
    Special {
        path: PathBuf,
        file: File,
    },
    File {
        path: PathBuf,
        /// Beside it, so that a rename will do; removed where that does not come about.
        part: PathBuf,
        /// `None` once it has its name.
        file: Option<BufWriter<File>>,
    },
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let sink = Sink::Stdout(BufWriter::with_capacity(BUFFER, stdout.lock()));
        Self { sink, is_terminal, is_in_line: false }
    }

    /// A file: written beside it, and renamed over it by [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// [`Error::UserFile`] if it cannot be written there.
    pub fn file(path: &Path) -> Result<Self> {
        let failed = |source| Error::UserFile { path: path.to_owned(), source };
        if path == Path::new("/dev/stdout") {
            // It may lead to a file, which must not be replaced.
            return Ok(Self::stdout());
        }
        let old = fs::metadata(path);
        let is_special = match &old {
            Ok(old) => !old.is_file(),
            // Such as NUL on Windows.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if is_special || path.starts_with("/dev") {
            // Says what is wrong with a folder, too.
            let file = File::options().write(true).open(path).map_err(failed)?;
            let is_terminal = file.is_terminal();
            let sink = Sink::Special { path: path.to_owned(), file };
            return Ok(Self { sink, is_terminal, is_in_line: false });
        }
        // A link stays one: what it leads to is replaced.
        let path = disk::real_path(path);
        let Some(name) = path.file_name() else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        let mut part = name.to_owned();
        // Nobody else's, whoever else writes here.
        part.push(format!(".{:016x}.part", RandomState::new().hash_one(0)));
        let part = path.with_file_name(part);
        if old.is_ok() {
            // A rename would not ask whether the old file may be written.
            File::options().write(true).open(&path).map_err(failed)?;
        }
        let file = File::create_new(&part).map_err(failed)?;
        let permissions =
            old.map_or_else(|_| Ok(()), |old| file.set_permissions(old.permissions()));
        let file = Some(BufWriter::with_capacity(BUFFER, file));
        let sink = Sink::File { path, part, file };
        let output = Self { sink, is_terminal: false, is_in_line: false };
        permissions.map(|()| output).map_err(failed)
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
            true => self.write(escape_deceptive(json).as_bytes()),
            false => self.write(json.as_bytes()),
        }
    }

    /// Hands on what has been written so far.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::File { file: Some(file), .. } => file.flush(),
            Sink::Special { .. } | Sink::File { file: None, .. } => Ok(()),
        }
        .map_err(|error| self.error(error))
    }

    /// Ends a result that is whole: a file takes its name now.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        if let Sink::File { path, part, file } = &mut self.sink {
            // Closed first: Windows does not rename what is open.
            drop(file.take());
            if let Err(error) = disk::rename(part, path) {
                // It is whole, so it is kept.
                let source = io::Error::other(format!("{error}; it is in {}", part.display()));
                return Err(Error::UserFile { path: path.clone(), source });
            }
        }
        Ok(())
    }

    /// The error for what another library says of writing here.
    pub fn error(&self, source: io::Error) -> Error {
        match &self.sink {
            Sink::Stdout(_) => Error::Output(source),
            Sink::Special { path, .. } | Sink::File { path, .. } => {
                Error::UserFile { path: path.clone(), source }
            }
        }
    }
}

/// For libraries that write by themselves; [`Output::error`] makes an [`Error`] of theirs.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.sink {
            Sink::Stdout(stdout) => stdout.write(bytes),
            Sink::Special { file, .. } => file.write(bytes),
            Sink::File { file: Some(file), .. } => file.write(bytes),
            Sink::File { file: None, .. } => Ok(bytes.len()),
        }?;
        if let Some(last) = bytes[..written].last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Stdout(stdout) => stdout.flush(),
            Sink::File { file: Some(file), .. } => file.flush(),
            Sink::Special { .. } | Sink::File { file: None, .. } => Ok(()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_terminal && self.is_in_line {
            // What comes next, an error or the shell's prompt, begins on a line of its own.
            let _ = Write::write_all(self, b"\n");
        }
        if let Sink::File { part, file: file @ Some(_), .. } = &mut self.sink {
            drop(file.take());
            // Best effort: it is of no use to anyone.
            let _ = fs::remove_file(&*part);
        }
    }
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

/// Text on one line, with every character escaped that a terminal would act on.
///
/// ```
/// assert_eq!(aac_auth::one_line("two\nlines\u{202e}"), r"two\nlines\u{202e}");
/// ```
pub fn one_line(text: &str) -> String {
    visible(text, |_| false)
}

fn visible(text: &str, is_harmless: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' if !is_harmless(character) => {
                shown.extend(character.escape_default())
            }
            character if is_deceptive(character) && !is_harmless(character) => {
                shown.extend(character.escape_unicode());
            }
            character => shown.push(character),
        }
    }
    shown
}

/// Escapes what stands in JSON strings raw and is not fit for a terminal. Outside of strings JSON has
/// no such characters but line ends.
fn escape_deceptive(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_deceptive(character) {
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
        let shown = escape_deceptive(&indented(&value));
        assert_eq!(shown, r#""a\u009b31m\u202eé😀\udb40\udc41\u007f""#);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }

    #[test]
    fn a_file_is_replaced_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        fs::write(&path, "old").unwrap();
        let mut output = Output::file(&path).unwrap();
        output.write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut output = Output::file(&path).unwrap();
        output.write(b"new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = Output::file(&folder.path().join("no/such")).unwrap_err();
        assert!(missing.to_string().contains("such"), "{missing}");
        assert!(Output::file(folder.path()).is_err());
    }
}
