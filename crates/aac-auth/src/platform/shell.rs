//! Commands that a user is told to copy, and what a terminal does not show.

use std::path::Path;

/// The shell command that moves a file over another.
pub(crate) const MOVE_COMMAND: &str = if cfg!(windows) { "Move-Item -Force" } else { "mv" };
/// The one that makes a private copy of a file.
pub(super) const COPY_COMMAND: &str = if cfg!(windows) { "Copy-Item" } else { "install -m 600" };
/// What stands between two commands.
pub(super) const AND: &str = if cfg!(windows) { ";" } else { "&&" };

/// The path as one word of the shell: of bash and zsh, or of PowerShell. It begins nothing else, and is the
/// path itself though a terminal shows it.
pub(crate) fn quoted(path: &Path) -> String {
    let is_plain = |character: char| {
        !"\"$`\\!".contains(character) || cfg!(windows) && matches!(character, '\\' | '!')
    };
    let is_plain = |character| is_plain(character) && !is_unsafe_on_terminal(character);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => format!("\"{text}\""),
        _ => escaped(path),
    }
}

#[cfg(unix)]
fn escaped(path: &Path) -> String {
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    let escape = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    format!("$'{}'", bytes.iter().map(escape).collect::<String>())
}

/// No name has a control character there.
#[cfg(not(unix))]
fn escaped(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "''"))
}

/// Whether a terminal would act on the character instead of showing it: controls, and marks that
/// reorder or hide text (Unicode TR 36, "bidirectional text spoofing"). The two joiners, U+200C and
/// U+200D, are allowed: Persian and Indic names need them, and so do emoji.
pub(crate) fn is_unsafe_on_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_shell_reads_the_path_itself() {
        for bytes in [
            &b"/srv/a b/creds.json"[..],
            "/srv/J\u{fc}rgen's".as_bytes(),
            b"/srv/$(touch x)`touch y`\"; touch z #",
            b"/srv/a\x1b[31m\nb\\n!!\xff\x9b1",
            "/srv/\u{202e}abc".as_bytes(),
        ] {
            let word = quoted(Path::new(OsStr::from_bytes(bytes)));
            assert!(!word.chars().any(is_unsafe_on_terminal), "{word:?}");
            let command = format!("printf %s {word}");
            let Ok(output) = acceptance::clean("bash").args(["-c", &command]).output() else {
                eprintln!("skipped: bash is not on the PATH");
                return;
            };
            assert_eq!(output.stdout, bytes, "{word}");
        }
    }
}
