//! Results on standard output.

use crate::error::{Error, Result};
use crate::secret::is_deceptive;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Prints a value as indented JSON: keys in the order they came, numbers digit for digit.
///
/// On a terminal, characters that it would act on (U+009B, bidirectional marks …) are shown as JSON
/// escapes, which mean the same to a parser. A reader that has had enough (`| head`) is no error.
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
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    if io::stdout().is_terminal() {
        text = escape_deceptive(&text);
    }
    text.push('\n');
    print(text.as_bytes())
}

/// Writes bytes to standard output, all of them or an error; a closed pipe is none.
fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
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
        let shown = escape_deceptive(&serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(shown, r#""a\u009b31m\u202eé😀\udb40\udc41\u007f""#);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
