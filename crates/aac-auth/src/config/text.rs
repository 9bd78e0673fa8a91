//! Reads text files as people leave them: with a byte order mark, in UTF-16, with surrounding whitespace.

use crate::error::FileProblem;
use crate::error::display::name_of;
use crate::platform::{self, Unfit};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use zeroize::Zeroizing;

/// The largest file to read, in bytes.
const LIMIT: u64 = 1024 * 1024;

/// Reads the bytes of a settings or token file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    read_if(path, |_| Ok(()))
}

/// The same, if the file that is then open `may_be_read`: its name may lead elsewhere by now.
pub(crate) fn read_if(
    path: &Path,
    may_be_read: impl Fn(&File) -> Result<(), FileProblem>,
) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    // Windows has no right to open a folder, and would say so.
    let metadata = platform::patiently(|| fs::metadata(path)).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(FileProblem::a_folder());
    }
    if !metadata.is_file() {
        return Err(FileProblem::not_a_file());
    }
    let file = platform::patiently(|| platform::open_at_once(path)).map_err(unreadable)?;
    may_be_read(&file)?;
    read_open(&file)
}

/// Reads the bytes of this open file.
pub(crate) fn read_open(mut file: &File) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileProblem::not_a_file());
    }
    // Room for the whole file: a growing buffer would leave copies behind.
    let room = metadata.len().min(LIMIT) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0)));
    let read = || {
        bytes.clear();
        file.rewind()?;
        file.take(LIMIT + 1).read_to_end(&mut bytes)
    };
    platform::patiently(read).map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT {
        return Err(FileProblem::too_large());
    }
    Ok(bytes)
}

/// Why a file cannot be looked at.
pub(crate) fn unreadable(error: io::Error) -> FileProblem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileProblem::Missing,
        _ => match Unfit::of(&error) {
            Some(unfit) => FileProblem::Unfit(unfit.clone()),
            None => FileProblem::Unreadable(error),
        },
    }
}

/// The text of a file as people leave it: UTF-8 or UTF-16, with or without a byte order mark, which is not
/// part of the text. PowerShell's `>` writes UTF-16. `None` if it is neither.
///
/// ```
/// use aac_auth::text_of;
///
/// assert_eq!(text_of(b"\xff\xfe{\0}\0").as_deref(), Some("{}"));
/// assert_eq!(text_of(b"\xe9"), None);
/// ```
pub fn text_of(bytes: &[u8]) -> Option<String> {
    Some(decoded(bytes)?.to_string())
}

/// The same for text that may be secret.
fn decoded(bytes: &[u8]) -> Option<Zeroizing<String>> {
    const MARK: char = '\u{feff}';
    // Behind a mark, the first character is one of ASCII, in JSON and in what we read otherwise.
    let mut text = match bytes {
        [0xFF, 0xFE, ..] | [_, 0, ..] => utf16(bytes, u16::from_le_bytes)?,
        [0xFE, 0xFF, ..] | [0, _, ..] => utf16(bytes, u16::from_be_bytes)?,
        bytes => Zeroizing::new(str::from_utf8(bytes).ok()?.to_owned()),
    };
    // A pipe of PowerShell's adds one to that of a file.
    while text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Some(text)
}

/// Where and why a text is not JSON, in plain words, from the error that serde_json has made of it.
///
/// ```
/// use aac_auth::{Value, json_flaw};
///
/// let text = "{\"a\": 1,}";
/// let error = serde_json::from_str::<Value>(text).unwrap_err();
/// assert_eq!(json_flaw(text, &error), "line 1, column 9: there is a comma too many before this");
/// ```
pub fn json_flaw(text: &str, error: &serde_json::Error) -> String {
    let (line, column, reason) = (error.line(), error.column(), error.to_string());
    let reason = reason.split(" at line ").next().unwrap_or_default();
    // What the parser did not expect.
    let at = text.split_inclusive('\n').nth(line.wrapping_sub(1)).unwrap_or_default();
    let at = at.char_indices().take_while(|(index, _)| *index < column).last();
    let plain = match (reason, at.map(|(_, character)| character)) {
        ("EOF while parsing a string", _) => "the last quotation mark is missing",
        ("EOF while parsing a list", _) => "the closing ] is missing",
        (reason, _) if reason.starts_with("EOF") => "the closing } is missing",
        (_, Some('\'')) => "there are single quotation marks (')",
        (_, Some('#' | '/')) => "there is a comment, which JSON does not have",
        (_, Some(character)) if !character.is_ascii() => {
            &format!("there is {}", name_of(character))
        }
        _ if !text.trim_start().starts_with(['{', '[']) => {
            let start = &text[..text.len() - text.trim_start().len()];
            let (line, column) = (1 + start.matches('\n').count(), start.lines().last());
            let column = 1 + column.filter(|_| !start.ends_with('\n')).map_or(0, str::len);
            return format!("line {line}, column {column}: it does not begin with {{");
        }
        ("expected `,` or `}`" | "expected `,` or `]`", Some('"')) => {
            "a comma is missing before this"
        }
        ("expected `,` or `}`" | "expected `,` or `]`", _) => {
            "a quotation mark or a comma is missing"
        }
        ("expected `:`", _) => "a quotation mark or a colon is missing",
        ("key must be a string", Some(it)) if it.is_alphanumeric() => {
            "a quotation mark is missing before this"
        }
        ("expected value" | "expected ident", Some(it)) if it.is_alphanumeric() => {
            "a quotation mark is missing before this, unless it is to be true, false or null"
        }
        ("key must be a string", _) => "a name in quotation marks is missing",
        ("expected value", _) => "a value is missing",
        ("trailing comma", _) => "there is a comma too many before this",
        ("trailing characters", _) => "there is something after the end",
        ("invalid escape", _) => "there is a \\ in a string, which must be written \\\\",
        (reason, _) if reason.starts_with("control character") => {
            "there is a line break, a tab or another control character in a string"
        }
        (reason, _) => reason,
    };
    format!("line {line}, column {column}: {plain}")
}

/// Decodes the bytes of a file that must not be empty.
pub(crate) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, FileProblem> {
    let text = decoded(bytes).filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(FileProblem::not_text)?;
    if text.trim().is_empty() {
        return Err(FileProblem::Empty);
    }
    Ok(text)
}

/// What a text is that looks like a secret: for one that ought to be none.
pub(crate) fn likely_secret(text: &str) -> Option<&'static str> {
    const BEGINNINGS: [(&str, &str); 8] = [
        ("eyJ", "a token (a JWT)"),
        ("hvs.", "a token of a vault"),
        ("hvb.", "a token of a vault"),
        ("s.", "a token of a vault"),
        ("ghp_", "a token of GitHub"),
        ("sk-", "a secret key (sk-)"),
        ("AKIA", "an access key of AWS"),
        ("-----BEGIN ", "a key or a certificate (PEM)"),
    ];
    let is_known = |(beginning, _): &&(&str, _)| text.starts_with(beginning);
    BEGINNINGS.iter().find(is_known).map(|(_, what)| *what)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Zeroizing<String>> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = Zeroizing::new(String::with_capacity(3 * units.len()));
    for character in char::decode_utf16(units.iter().map(|&pair| unit(pair))) {
        text.push(character.ok()?);
    }
    // In UTF-32, every other unit is a NUL.
    (rest.is_empty() && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_that_an_editor_writes_is_read() {
        let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{FEFF}a€😀".encode_utf16().flat_map(unit).collect()
        };
        for bytes in [
            "a€😀".as_bytes().to_vec(),
            "\u{FEFF}a€😀".into(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
            utf16(u16::to_le_bytes)[2..].to_vec(),
            utf16(u16::to_be_bytes)[2..].to_vec(),
        ] {
            assert_eq!(*decode(&bytes).unwrap(), "a€😀");
        }
    }

    #[test]
    fn no_mark_is_part_of_a_text() {
        for (bytes, expected) in [
            (&b"\xEF\xBB\xBF\xEF\xBB\xBF{}"[..], Some("{}")),
            (b"\xFF\xFE\xFF\xFE{\0}\0", Some("{}")),
            (b"\xFF\xFE", Some("")),
            (b"{\0}\0\n", None),
            (b"\0{\0}\0", None),
            (b"\0", Some("\0")),
        ] {
            assert_eq!(text_of(bytes).as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_in_plain_words() {
        for (text, flaw) in [
            ("{\"a\":1", "line 1, column 6: the closing } is missing"),
            ("[1,\n2", "line 2, column 1: the closing ] is missing"),
            ("{\"a\":\"b", "line 1, column 7: the last quotation mark is missing"),
            ("{a:1}", "line 1, column 2: a quotation mark is missing before this"),
            (
                "{\"a\":True}",
                "line 1, column 6: a quotation mark is missing before this, unless it is",
            ),
            ("{\"a\":,}", "line 1, column 6: a value is missing"),
            ("{,}", "line 1, column 2: a name in quotation marks is missing"),
            ("{'a':1}", "line 1, column 2: there are single quotation marks (')"),
            ("[1,]", "line 1, column 4: there is a comma too many before this"),
            ("[1 2]", "line 1, column 4: a quotation mark or a comma is missing"),
            ("[1 \"2\"]", "line 1, column 4: a comma is missing before this"),
            ("{\"a\" 1}", "line 1, column 6: a quotation mark or a colon is missing"),
            ("{} {}", "line 1, column 4: there is something after the end"),
            ("\n // x\n{}", "line 2, column 2: there is a comment, which JSON does not have"),
            ("\n \"a\":1}", "line 2, column 2: it does not begin with {"),
            ("a", "line 1, column 1: it does not begin with {"),
            ("{\"a\":\"C:\\x\"}", "line 1, column 10: there is a \\ in a string, which must be"),
            ("[\"a\nb\"]", "line 2, column 0: there is a line break, a tab or another"),
            ("[01]", "line 1, column 3: invalid number"),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            let said = json_flaw(text, &error);
            assert!(said.starts_with(flaw), "{text:?}: {said}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bytes in
            [&b"\xFF\xFEa"[..], b"\xFF\xFE\x00\xD8", b"a\0b", b"\x80", b"\x7fELF\x02\x01\xff"]
        {
            assert!(matches!(decode(bytes), Err(FileProblem::Content(_))), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\xEF\xBB\xBF", b"\xFF\xFE", b" \r\n\t\n"] {
            assert!(matches!(decode(bytes), Err(FileProblem::Empty)), "{bytes:?}");
        }
    }
}
