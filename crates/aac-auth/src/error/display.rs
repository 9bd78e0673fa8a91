//! Makes text from elsewhere safe for a terminal, and names the characters in it that nobody sees.

use crate::platform::is_unsafe_on_terminal;

/// The text on one line, with every character escaped that a terminal would act on.
///
/// ```
/// assert_eq!(aac_auth::output::one_line("two\nlines\u{202e}"), r"two\nlines\u{202e}");
/// ```
pub fn one_line(text: &str) -> String {
    visible(text, |_| false)
}

pub(crate) fn visible(text: &str, is_harmless: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if is_harmless(character) => shown.push(character),
            '\n' | '\r' | '\t' => shown.extend(character.escape_default()),
            _ if is_unsafe_on_terminal(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown
}

/// The first character that does not belong in the text, and where it is, counted from 1. People see no
/// difference between many of them and the right one, or none at all.
pub(crate) fn stray(text: &str, belongs: impl Fn(char) -> bool) -> Option<String> {
    // What surrounds it is no harm, and counts all the same: the user sees it, too.
    let start = text.len() - text.trim_start().len();
    let (place, character) =
        text.trim_end().char_indices().enumerate().find_map(|(place, (index, character))| {
            (index >= start && !belongs(character)).then_some((place + 1, character))
        })?;
    Some(format!("character {place} is {}", name_of(character)))
}

/// A character in words, with its code point.
pub(crate) fn name_of(character: char) -> String {
    let name = match character {
        ' ' => "a space",
        '\t' => "a tab",
        '\n' | '\r' => "a line break",
        '\u{A0}' | '\u{2007}' | '\u{202F}' => "a no-break space",
        '\u{AD}' => "a soft hyphen",
        '\u{200B}' => "a zero-width space",
        '\u{200C}' | '\u{200D}' => "a zero-width joiner",
        '\u{2060}' => "a word joiner, which is invisible",
        '\u{FEFF}' => "a byte order mark, which is invisible",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "a dash",
        '\u{2026}' => "an ellipsis: the text was shortened",
        _ if MARKS.contains(&character) => "a quotation mark",
        _ if character.is_whitespace() => "a space",
        _ if is_unsafe_on_terminal(character) => "a control character",
        _ if character.is_ascii_punctuation() => &character.to_string(),
        _ => "a character that does not belong there",
    };
    format!("{name} (U+{:04X})", u32::from(character))
}

/// What people and word processors put around a text to quote it.
const MARKS: [char; 14] = ['"', '\'', '`', '«', '»', '‹', '›', '“', '”', '„', '‟', '‘', '’', '‚'];

/// The text within quotation marks or < >; none if it has none at its ends.
pub(crate) fn unquoted(text: &str) -> Option<&str> {
    let inner = text.trim_matches(|it| MARKS.contains(&it) || "<>".contains(it));
    (inner != text).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_character_is_named_with_its_place() {
        let is_plain = |character: char| character.is_ascii_alphanumeric();
        for (text, words) in [
            ("ab\u{AD}c", "character 3 is a soft hyphen (U+00AD)"),
            ("\u{200B}abc", "character 1 is a zero-width space (U+200B)"),
            ("é\u{200C}abc", "character 1 is a character that does not belong there (U+00E9)"),
            ("a\u{200D}c", "character 2 is a zero-width joiner (U+200D)"),
            ("abc\u{2060}", "character 4 is a word joiner, which is invisible (U+2060)"),
            ("abc\u{FEFF}\n", "character 4 is a byte order mark, which is invisible (U+FEFF)"),
            // Counted with what surrounds the text.
            ("  a\u{A0}c ", "character 4 is a no-break space (U+00A0)"),
            ("a\u{202F}c", "character 2 is a no-break space (U+202F)"),
            ("a\u{3000}c", "character 2 is a space (U+3000)"),
            ("a\r\nc", "character 2 is a line break (U+000D)"),
            ("a”c", "character 2 is a quotation mark (U+201D)"),
            ("a–c", "character 2 is a dash (U+2013)"),
            ("a…", "character 2 is an ellipsis: the text was shortened (U+2026)"),
            ("a\u{7}c", "character 2 is a control character (U+0007)"),
            ("a\u{202e}c", "character 2 is a control character (U+202E)"),
            ("a<c", "character 2 is < (U+003C)"),
        ] {
            assert_eq!(stray(text, is_plain).as_deref(), Some(words), "{text:?}");
        }
        assert_eq!(stray(" \u{A0}abc\t", is_plain), None, "what surrounds it is no harm");
    }
}
