//! Reads text files as people leave them: with a byte order mark, in UTF-16, with surrounding whitespace.

use crate::error::FileProblem;
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
fn read_if(
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

/// Decodes the bytes of a file that must not be empty.
pub(crate) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, FileProblem> {
    let text = decoded(bytes).filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(FileProblem::not_text)?;
    if text.trim().is_empty() {
        return Err(FileProblem::Empty);
    }
    Ok(text)
}

/// Reads the text of a file, without surrounding whitespace, if the open file `may_be_read`.
pub(crate) fn read_trimmed(
    path: &Path,
    may_be_read: impl Fn(&File) -> Result<(), FileProblem>,
) -> Result<String, FileProblem> {
    Ok(decode(&read_if(path, may_be_read)?)?.trim().to_owned())
}

/// What a text is that looks like a secret: for one that ought to be none.
pub(crate) fn likely_secret(text: &str) -> Option<&'static str> {
    const BEGINNINGS: [(&str, &str); 7] = [
        ("hvs.", "a token of a vault"),
        ("hvb.", "a token of a vault"),
        ("s.", "a token of a vault"),
        ("ghp_", "a token of GitHub"),
        ("sk-", "a secret key (sk-)"),
        ("AKIA", "an access key of AWS"),
        ("-----BEGIN ", "a key or a certificate (PEM)"),
    ];
    let known = BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning));
    let parts: Vec<_> = text.split('.').collect();
    let is_jwt = parts.len() == 3
        && parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
    known.map(|(_, what)| *what).or(is_jwt.then_some("a token (a JWT)"))
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
