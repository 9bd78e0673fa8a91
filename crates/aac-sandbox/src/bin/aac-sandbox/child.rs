//! The command that runs inside of the sandbox.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;

use tokio::process::Command;

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

/// Whether `cargo run` has set a variable for the sandbox alone. Build scripts that look at
/// these (that of ring, for one) would run again for a `cargo` inside of the sandbox, and again
/// for the next one outside. Settings of the user's, such as `CARGO_TARGET_DIR`, stay.
fn is_cargos_own(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_BIN_")
        || [
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "CARGO_TARGET_TMPDIR",
            "OUT_DIR",
        ]
        .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_stay() {
        for name in [
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_BIN_NAME",
            "OUT_DIR",
        ] {
            assert!(is_cargos_own(name.as_ref()), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_JOBS",
            "PATH",
        ] {
            assert!(!is_cargos_own(name.as_ref()), "{name}");
        }
    }
}
