//! What the compiler refuses: a refresh token that was not read under the lock, or is sent twice.
//!
//! The types are private, so a copy of the crate is given a function that breaks the rule.

use std::fs;
use std::path::Path;

const SENT_ONCE: &str = "
fn once(current: crate::rotation::spendable::Current<'_>, transport: &Transport, deadline: Instant) {
    current.to_spend().send(transport, deadline, || true, |_| None);
}";
const SENT_TWICE: &str = "
fn twice(spendable: Spendable<'_>, transport: &Transport, deadline: Instant) {
    spendable.send(transport, deadline, || true, |_| None);
    spendable.send(transport, deadline, || true, |_| None);
}";
const SENT_ONCE_TOO_OFTEN: &str = "
fn thrice(again: SendAgain<'_>) {
    again.once_more();
    again.once_more();
}";
const KEPT_AFTER_THE_LOCK: &str = "
fn kept(lock: Box<crate::store::home::Locked<'static>>, credentials: crate::tokens::credentials::Credentials) -> Spendable<'static> {
    crate::rotation::spendable::Current::of(credentials, &*lock).to_spend()
}";
const MADE_UP: &str = "
fn made_up(refresh_token: crate::tokens::secret::RefreshToken) -> Spendable<'static> {
    Spendable {
        refresh_token,
        client_id: String::new(),
        token_endpoint: String::new(),
        lock: std::marker::PhantomData,
    }
}";

/// A copy of the crate below `folder`, in a workspace of its own.
fn copy(folder: &Path) {
    let repository = acceptance::repository();
    for file in ["Cargo.toml", "Cargo.lock", "crates/aac-auth/Cargo.toml"] {
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::copy(repository.join(file), folder.join(file)).unwrap();
    }
    // Without the parts that are for tests, the library stands alone.
    let manifest = folder.join("crates/aac-auth/Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let (library, rest) = text.split_once("[dev-dependencies]").unwrap();
    let lints = rest.find("[lints]").unwrap();
    fs::write(manifest, format!("{library}{}", &rest[lints..])).unwrap();
    // The documentation shows the examples.
    for part in ["crates/aac-auth/src", "crates/aac-auth/examples"] {
        acceptance::copy(&repository.join(part), &folder.join(part));
    }
}

/// The code of the compiler's error for the crate with this function in refresh.rs, if it has one.
fn check(folder: &Path, function: &str) -> Result<(), String> {
    let original = fs::read_to_string(
        acceptance::repository().join("crates/aac-auth/src/rotation/refresh.rs"),
    )
    .unwrap();
    fs::write(
        folder.join("crates/aac-auth/src/rotation/refresh.rs"),
        format!("{original}{function}"),
    )
    .unwrap();
    // Where these tests are built, so that no other crate is compiled for it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = acceptance::cargo()
        .args(["rustc", "--offline", "--lib", "--target-dir"])
        .arg(target)
        .args(["--package", "aac-auth", "--", "--emit=metadata"])
        .current_dir(folder)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn a_refresh_token_is_sent_once_and_from_under_the_lock() {
    // Always the same, so that no run leaves more behind than the one before.
    let folder = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("types");
    let _ = fs::remove_dir_all(folder);
    copy(folder);
    check(folder, SENT_ONCE).unwrap();
    for (function, code) in [
        (SENT_TWICE, "error[E0382]: use of moved value: `spendable`"),
        (SENT_ONCE_TOO_OFTEN, "error[E0382]: use of moved value: `again`"),
        (KEPT_AFTER_THE_LOCK, "error[E0515]"),
        (MADE_UP, "error[E0451]: field `lock` of struct"),
    ] {
        let error = check(folder, function).unwrap_err();
        assert!(error.contains(code), "{error}");
        assert_eq!(error.matches("error[").count(), 1, "{error}");
    }
}
