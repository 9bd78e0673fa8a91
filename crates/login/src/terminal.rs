//! Asks questions at a terminal: plain ones, and ones for what nobody is to see.

use aac_auth::input::RawInput;
use std::env;
use std::io::{self, IsTerminal};
use zeroize::Zeroizing;

const ENTER: [u8; 2] = [b'\r', b'\n'];
const ESCAPE: u8 = 0x1b;
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// Asks for one line. Enter alone takes what is offered. `None` if the input has ended (Ctrl-D).
///
/// # Errors
///
/// The terminal cannot be read or written.
pub(crate) fn ask(question: &str, offered: Option<&str>) -> io::Result<Option<String>> {
    let offer = offered.map_or_else(String::new, |offered| format!(" [{offered}]"));
    eprint!("{question}{offer}: ");
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        eprintln!();
        return Ok(None);
    }
    let line = line.trim();
    Ok(Some(if line.is_empty() { offered.unwrap_or_default() } else { line }.to_owned()))
}

/// Asks for what is not shown: nothing that is typed or pasted is echoed. It is complete with Enter once it
/// `is_answer` and nothing more comes for a moment; with an empty line in any case. An empty answer is one. What
/// came since the last Enter replaces what was before it, if it `is_whole`. `None` if the input has ended (Ctrl-D).
///
/// # Errors
///
/// The terminal cannot be read or written.
pub(crate) fn ask_secret(
    question: &str,
    is_answer: impl Fn(&str) -> bool,
    is_whole: impl Fn(&str) -> bool,
) -> io::Result<Option<Zeroizing<String>>> {
    // Nothing that comes from now on is echoed.
    let mut input = RawInput::open(takes_brackets())?;
    eprint!("{question}: ");
    let mut keys = Keys::default();
    let mut is_told = false;
    let answer = loop {
        let mut bytes = Zeroizing::new(Vec::new());
        if input.read(&mut bytes)? > 0 {
            bytes.iter().for_each(|byte| keys.add(*byte));
            continue;
        }
        // Nothing more has come for a moment. A lone Escape was a key.
        keys.escape.clear();
        if keys.is_entered {
            let (text, last) = (keys.text(0), keys.text(keys.entered));
            if keys.is_line_empty() || is_answer(&text) {
                break Some(text);
            }
            if is_whole(&last) {
                break Some(last);
            }
            keys.entered = keys.bytes.len();
        }
        if keys.has_ended {
            break None;
        }
        if keys.is_entered && !is_told {
            eprint!("\nThat is not a whole token. Paste the rest, or press Enter again: ");
            is_told = true;
        }
    };
    drop(input);
    eprintln!();
    Ok(answer)
}

/// Whether the terminal can be asked to say where a paste begins and ends.
fn takes_brackets() -> bool {
    let is_named = env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
    is_named && io::stderr().is_terminal()
}

/// What was typed or pasted, without what was taken back.
#[derive(Default)]
struct Keys {
    bytes: Zeroizing<Vec<u8>>,
    /// An escape sequence that is not complete: an arrow, or a mark around a paste.
    escape: Vec<u8>,
    is_pasting: bool,
    /// How many bytes were there at the last Enter that was no end.
    entered: usize,
    /// Whether Enter was the last key.
    is_entered: bool,
    has_ended: bool,
}

impl Keys {
    fn add(&mut self, byte: u8) {
        if !self.escape.is_empty() || byte == ESCAPE {
            return self.escape(byte);
        }
        match byte {
            b'\n' if self.bytes.last() == Some(&b'\r') => return,
            b'\x7f' | b'\x08' if !self.is_pasting => self.remove_last(),
            b'\x15' if !self.is_pasting => {
                self.bytes.clear();
                self.entered = 0;
            }
            b'\x04'
                if !self.is_pasting && self.bytes.last().is_none_or(|it| ENTER.contains(it)) =>
            {
                self.has_ended = true;
                return;
            }
            // Ctrl-Z and others do nothing.
            0..=31 if !ENTER.contains(&byte) && byte != b'\t' => return,
            byte => self.bytes.push(byte),
        }
        self.is_entered = ENTER.contains(&byte) && !self.is_pasting;
    }

    fn escape(&mut self, byte: u8) {
        self.escape.push(byte);
        // ECMA-48 §5.4, and the function keys of a VT100.
        let is_open = match *self.escape {
            [_] | [_, b'[' | b'O'] => true,
            [_, b'[', .., last] => !(b'@'..=b'~').contains(&last),
            _ => false,
        };
        if is_open {
            return;
        }
        match &*self.escape {
            PASTE_BEGINS => (self.is_pasting, self.is_entered) = (true, false),
            PASTE_ENDS => self.is_pasting = false,
            _ => {}
        }
        self.escape.clear();
    }

    /// Removes a character, of however many bytes.
    fn remove_last(&mut self) {
        let is_inner = |byte: u8| (0x80..0xc0).contains(&byte);
        while self.bytes.pop().is_some_and(is_inner) {}
    }

    /// Whether Enter has come behind an empty line.
    fn is_line_empty(&self) -> bool {
        let [before @ .., _] = &**self.bytes else { return false };
        before.last().is_none_or(|byte| ENTER.contains(byte))
    }

    /// What came behind so many bytes.
    fn text(&self, start: usize) -> Zeroizing<String> {
        let bytes = self.bytes.get(start..).unwrap_or_default();
        Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())
    }
}
