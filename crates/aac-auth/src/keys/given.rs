//! The keys that the user has made: in a file, or printed by a command.

use crate::config::text;
use crate::error::display::one_line;
use crate::keys::program::{self, LONGEST, Silence};
use crate::keys::{KEY_COMMAND, KEY_FILE, Key, KeyProblem};
use crate::platform;
use ring::digest::{SHA256, digest};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

const SHORTEST: usize = 16;

/// Reads the key in this file.
pub(super) fn in_file(path: &OsStr) -> Result<Key, KeyProblem> {
    let path = Path::new(path);
    let text = text::read(path).map_err(|problem| {
        let path = one_line(&path.to_string_lossy());
        KeyProblem::unreadable(KEY_FILE, &path, &problem.to_string())
    })?;
    key(KEY_FILE, &text)
}

/// Reads the key that this command prints.
pub(super) fn by_command(command: &OsStr, patience: Duration) -> Result<Key, KeyProblem> {
    let mut shell = program::command(platform::SHELL);
    platform::hand_to_shell(&mut shell, command);
    let answer = program::ask(shell, KEY_COMMAND, None, false, patience);
    let answer = answer.map_err(|silence| match silence {
        Silence::NotStarted(error) => KeyProblem::not_started("the shell", &error.to_string()),
        Silence::TooLong => KeyProblem::too_long(KEY_COMMAND),
        Silence::Problem(problem) => problem,
    })?;
    match (answer.status.success(), answer.status.code()) {
        (true, _) => key(KEY_COMMAND, &answer.output),
        (false, Some(code)) => Err(KeyProblem::ended(&format!("exit code {code}"))),
        (false, None) => Err(KeyProblem::ended(&answer.status.to_string())),
    }
}

/// The key that a text stands for.
fn key(variable: &str, text: &[u8]) -> Result<Key, KeyProblem> {
    if text.len() > LONGEST {
        return Err(KeyProblem::too_long(variable));
    }
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let length = text.iter().rposition(|byte| !is_line_end(byte)).map_or(0, |last| last + 1);
    if length < SHORTEST {
        return Err(KeyProblem::too_short(variable, length));
    }
    let mut key = Key::new([0; 32]);
    key.0.copy_from_slice(digest(&SHA256, &text[..length]).as_ref());
    Ok(key)
}
