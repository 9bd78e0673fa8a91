//! Programs of this workspace, as tests and the sandbox run them.

use std::ffi::OsStr;

/// Whether cargo has set a variable for the one program that it runs. Build scripts that look at
/// these (that of ring, for one) would run again for a `cargo` that this program starts, and again
/// for the next one outside. Settings of the user's, such as `CARGO_TARGET_DIR`, stay.
pub fn is_cargos_own(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_BIN_")
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"]
            .contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_stay() {
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_BIN_NAME", "OUT_DIR"] {
            assert!(is_cargos_own(name.as_ref()), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_cargos_own(name.as_ref()), "{name}");
        }
    }
}
