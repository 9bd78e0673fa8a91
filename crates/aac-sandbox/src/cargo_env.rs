//! The environment of a `cargo` that runs inside another `cargo run` or `cargo test`.

use std::ffi::OsStr;

/// Whether cargo sets this variable for the program it runs. Remove these variables before you
/// start another `cargo`: build scripts that depend on them (ring's, for one) would run again, and
/// once more for the next `cargo` outside. Settings of the user, such as `CARGO_TARGET_DIR`, stay.
pub fn is_set_by_cargo(name: &OsStr) -> bool {
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
            assert!(is_set_by_cargo(name.as_ref()), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "PATH"] {
            assert!(!is_set_by_cargo(name.as_ref()), "{name}");
        }
    }
}
