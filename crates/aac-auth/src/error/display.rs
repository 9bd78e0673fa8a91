//! Makes text from elsewhere safe for a terminal.

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
            '\n' | '\r' | '\t' if !is_harmless(character) => {
                shown.extend(character.escape_default())
            }
            character if is_unsafe_on_terminal(character) && !is_harmless(character) => {
                shown.extend(character.escape_unicode());
            }
            character => shown.push(character),
        }
    }
    shown
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
