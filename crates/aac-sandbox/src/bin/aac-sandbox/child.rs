//! The command that runs inside of the sandbox.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;

use tokio::process::Command;

use aac_sandbox::is_cargos_own;

use crate::platform::{Signals, exit_code};

/// Runs a command with `AAC_DIR` set; its exit code, or what a shell has where it cannot start.
pub(crate) async fn run(
    program: &OsStr,
    arguments: &[OsString],
    folder: &Path,
    signals: &mut Signals,
) -> i32 {
    let mut command = Command::new(program);
    command.args(arguments).env("AAC_DIR", folder);
    for (name, _) in std::env::vars_os() {
        if is_cargos_own(&name) {
            command.env_remove(name);
        }
    }

    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let name = program.display();
            let (code, text) = match error.kind() {
                io::ErrorKind::NotFound => (127, format!("there is no command {name}")),
                _ => (126, format!("cannot run {name}: {error}")),
            };
            let _ = writeln!(io::stderr(), "aac-sandbox: {text}");
            return code;
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => return status.map_or(1, exit_code),
            signal = signals.next() => signal.pass_on(&child),
        }
    }
}
