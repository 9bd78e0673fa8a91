//! Mutants by source of what stands round the machine: each sync, each last look and each lock check left out,
//! and conditions turned over, each with the test that finds it. (Mutants of the machine itself are made at run
//! time, by `src/rotation/mutants.rs`.)
//!
//! All of them are built into one copy of the repository, and a variable says which one is in force:
//!
//! ```text
//! cargo test -p aac-auth --test crash mutants -- --ignored --nocapture
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// An expression of the product, and what takes its place.
struct Mutant {
    /// Below `src`.
    file: &'static str,
    /// It occurs once in the file.
    was: &'static str,
    now: &'static str,
    /// The binary and the test that fails.
    found_by: (&'static str, &'static str),
}

const fn mutant(
    file: &'static str,
    was: &'static str,
    now: &'static str,
    found_by: (&'static str, &'static str),
) -> Mutant {
    Mutant { file, was, now, found_by }
}

const SYNCS: (&str, &str) =
    ("crash", "system_calls::everything_is_on_the_disk_before_the_next_step");

const MUTANTS: &[Mutant] = &[mutant(
    "store/folder.rs",
    "file.write_all(new).and_then(|()| platform::sync(&file)).map_err(at(&self.new))?",
    "file.write_all(new).map_err(at(&self.new))?",
    SYNCS,
)];

/// Decides which mutant is in force; in the copy alone.
const SWITCH: &str = r#"
pub(crate) fn is_mutant(number: &str) -> bool {
    std::env::var("MUTANT").is_ok_and(|it| it == number)
}
"#;

/// Builds all mutants into the sources below `src`.
fn mutate(src: &Path) {
    for (number, Mutant { file, was, now, .. }) in MUTANTS.iter().enumerate() {
        let path = src.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(was).count(), 1, "{file}: {was}");
        let both = format!("(if crate::is_mutant(\"{number}\") {{ {now} }} else {{ {was} }})");
        fs::write(&path, text.replacen(was, &both, 1)).unwrap();
    }
    let path = src.join("lib.rs");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text + SWITCH).unwrap();
}

/// `cargo test` in the copy, for so many seconds at the most: a mutant may run for ever.
fn cargo_test(copy: &Path, seconds: &str) -> Command {
    let mut command = acceptance::clean("timeout");
    command.args(["--kill-after", "5", seconds, env!("CARGO"), "test", "--package", "aac-auth"]);
    command.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
    command
}

/// A test in the copy.
fn test_in(copy: &Path, (binary, name): (&str, &str)) -> Command {
    let mut command = cargo_test(copy, "300");
    match binary {
        "lib" => command.arg("--lib"),
        binary => command.args(["--test", binary]),
    };
    command.args([name, "--", "--include-ignored", "--nocapture", "--test-threads", "2"]);
    command
}

#[test]
#[ignore = "builds a copy of the repository: see above"]
fn each_is_found_by_its_test() {
    if !acceptance::have("timeout") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path();
    acceptance::copy_of_the_repository(copy);
    mutate(&copy.join("crates/aac-auth/src"));
    let built = cargo_test(copy, "1200").arg("--no-run").status().unwrap();
    assert!(built.success());

    let tests: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.found_by).collect();
    let mut skipped = BTreeSet::new();
    for test in tests {
        let run = test_in(copy, test).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "without a mutant: {test:?}\n{said}");
        assert!(!said.contains("running 0 tests"), "there is no {test:?}");
        if said.contains("skipped: ") {
            skipped.insert(test);
        }
    }
    let mut missed = Vec::new();
    for (number, Mutant { file, was, now, found_by }) in MUTANTS.iter().enumerate() {
        if skipped.contains(found_by) {
            eprintln!("skipped: {file}: {was}");
            continue;
        }
        let run = test_in(copy, *found_by).env("MUTANT", number.to_string()).output().unwrap();
        let is_found = !run.status.success();
        let by = found_by.1;
        eprintln!(
            "{}: {file}: {was} -> {now} ({by})",
            if is_found { "found" } else { "NOT FOUND" }
        );
        if !is_found {
            missed.push(was);
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
