//! Makes text from elsewhere safe for a terminal.

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
