//! The command that runs against the sandbox.

use std::env;
use std::ffi::{OsStr, OsString};
use std::future::{Future as _, poll_fn};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

use tokio::process::{Child, Command};

use aac_sandbox::is_set_by_cargo;

use crate::platform::{Signals, exit_code};

/// The variables of a command.
pub(crate) type Environment = [(&'static str, OsString)];

/// Runs a command with these variables. Returns its exit code, or that of a shell if it cannot start:
/// 127 if there is no such command, else 126.
pub(crate) async fn run(
    program: &OsStr,
    arguments: &[OsString],
    environment: &Environment,
    signals: &mut Signals,
) -> i32 {
    let mut child = match spawn(program, arguments, environment) {
        Ok(child) => child,
        Err(error) => {
            let name = program.display();
            let (code, text) = match error.kind() {
                io::ErrorKind::NotFound => (127, format!("command not found: {name}")),
                _ => (126, format!("cannot run {name}: {error}")),
            };
            let _ = writeln!(io::stderr(), "aac-sandbox: {text}");
            return code;
        }
    };
    let id = child.id();
    let mut end = pin!(child.wait());
    let end = poll_fn(|context| {
        while let Poll::Ready(signal) = signals.poll_next(context) {
            signal.pass_on(id);
        }
        end.as_mut().poll(context)
    });
    end.await.map_or(1, exit_code)
}

/// Starts a command. If there is none of that name but a program of this workspace has it, cargo
/// builds and starts that.
fn spawn(program: &OsStr, arguments: &[OsString], environment: &Environment) -> io::Result<Child> {
    match command(program, environment).args(arguments).spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some((cargo, manifest)) = workspace_program(program) else {
                return Err(error);
            };
            let mut command = command(&cargo, environment);
            command.arg("run").arg("--manifest-path").arg(manifest).arg("--").args(arguments);
            command.spawn()
        }
        result => result,
    }
}

fn command(program: &OsStr, environment: &Environment) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if is_set_by_cargo(&name) || leads_elsewhere(&name) {
            command.env_remove(name);
        }
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Whether a variable could lead the command past the folder, to the real cloud or another vault.
fn leads_elsewhere(name: &OsStr) -> bool {
    // Names have no case on Windows.
    let name = name.to_string_lossy().to_ascii_uppercase();
    ["AAC_", "BAO_", "VAULT_"].iter().any(|beginning| name.starts_with(beginning))
}

/// Cargo, and the manifest of a program of this workspace. Cargo names both to what it runs, so
/// there is neither when the sandbox was started without it.
fn workspace_program(name: &OsStr) -> Option<(OsString, PathBuf)> {
    let mut components = Path::new(name).components();
    let (Some(Component::Normal(_)), None) = (components.next(), components.next()) else {
        return None;
    };
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let program = own.with_file_name(name);
    let manifest = program.join("Cargo.toml");
    let is_program = manifest.is_file() && program.join("src").join("main.rs").is_file();
    is_program.then_some((env::var_os("CARGO")?, manifest))
}
