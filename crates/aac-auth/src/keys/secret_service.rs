//! The Secret Service of a desktop, by secret-tool.

use crate::keys::program::{self, Answer, Silence};
use crate::keys::{Keeper, Key, KeyProblem, SERVICE};
use std::io;
use std::process::Command;
use std::time::Duration;

const SECRET_TOOL: &str = "secret-tool";

pub(super) fn fetch(name: &str, patience: Duration) -> Result<Key, KeyProblem> {
    let answer = ask("lookup", name, None, patience)?;
    let keeper = Keeper::SecretService.to_string();
    if answer.status.success() && !answer.output.is_empty() {
        return Key::parse(&answer.output).ok_or_else(|| KeyProblem::not_ours(&keeper, name));
    }
    if !answer.said.is_empty() {
        return Err(KeyProblem::no_service(&answer.said));
    }
    // Missing or locked. GNOME Keyring shows the names of what is locked; KeePassXC shows nothing until its
    // database is open.
    let is_shown = !ask("search", name, None, patience)?.output.is_empty();
    Err(match is_locked(patience) {
        Some(false) if !is_shown => KeyProblem::not_found(&keeper, name),
        None if !is_shown => KeyProblem::not_shown(name),
        _ => KeyProblem::service_locked(),
    })
}

pub(super) fn store(name: &str, key: &Key, patience: Duration) -> Result<(), KeyProblem> {
    look(patience)?;
    let answer = ask("store", name, Some(key.text().as_bytes()), patience)?;
    match answer.status.success() {
        true => Ok(()),
        false if is_locked(patience) == Some(true) => Err(KeyProblem::service_locked()),
        false => Err(KeyProblem::failed(&Keeper::SecretService.to_string(), &answer.said)),
    }
}

/// Whether it answers.
pub(super) fn look(patience: Duration) -> Result<(), KeyProblem> {
    let answer = ask("lookup", "none", None, patience)?;
    match answer.said.is_empty() {
        true => Ok(()),
        false => Err(KeyProblem::no_service(&answer.said)),
    }
}

fn ask(
    action: &str,
    name: &str,
    input: Option<&[u8]>,
    patience: Duration,
) -> Result<Answer, KeyProblem> {
    let mut command = program::command(SECRET_TOOL);
    command.arg(action);
    if action == "store" {
        command.arg("--label=key of sealed tokens");
    }
    command.args(["service", SERVICE, "key", name]);
    run(command, input, patience).map_err(|silence| match silence {
        Silence::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => {
            KeyProblem::not_installed(SECRET_TOOL)
        }
        Silence::NotStarted(error) => KeyProblem::not_started(SECRET_TOOL, &error.to_string()),
        Silence::TooLong => {
            KeyProblem::failed(&Keeper::SecretService.to_string(), "its answer is too long")
        }
        Silence::Problem(problem) => problem,
    })
}

/// Whether the collection for new items is locked, if that can be told.
fn is_locked(patience: Duration) -> Option<bool> {
    let mut command = program::command("busctl");
    command.args([
        "--user",
        "get-property",
        "org.freedesktop.secrets",
        "/org/freedesktop/secrets/aliases/default",
        "org.freedesktop.Secret.Collection",
        "Locked",
    ]);
    match run(command, None, patience).ok()?.output.trim_ascii() {
        b"b false" => Some(false),
        b"b true" => Some(true),
        _ => None,
    }
}

fn run(command: Command, input: Option<&[u8]>, patience: Duration) -> Result<Answer, Silence> {
    program::ask(command, &Keeper::SecretService.to_string(), input, true, patience)
}
