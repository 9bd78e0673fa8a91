//! What others can put beside creds.json, where they may write the folder: links, pipes, files of their own. None
//! of it is followed, used or waited for.

use crate::NONE;
use aac_sandbox::Options;
use acceptance::{Case, Run, program};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The names beside creds.json that a run opens.
const NAMES: [&str; 5] = [
    "creds.json.lock",
    "creds.json.new",
    "creds.json.rotation",
    "creds.json.rotation.old",
    "creds.json.spent",
];

/// What a run may not change of a file.
fn state(path: &Path) -> (Vec<u8>, u32, u32, u32, u64) {
    let found = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), found.uid(), found.gid(), found.mode(), found.nlink())
}

/// The command that an error names, without the words before it.
fn command_in<'a>(help: &'a str, first: &str) -> &'a str {
    let start = help.find(first).unwrap_or_else(|| panic!("no {first} in {help}"));
    help[start..].lines().next().unwrap()
}

#[track_caller]
fn shell(command: &str) {
    assert!(acceptance::clean("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

#[test]
fn what_is_no_file_of_ours_is_an_error_at_once_and_the_command_in_it_helps() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 5] = [
        ("it is a symbolic link", |path, target| symlink(target, path).unwrap()),
        ("it is a symbolic link", |path, target| {
            symlink(target.with_file_name("nothing"), path).unwrap();
        }),
        ("it is not a file", |path, _| {
            assert!(acceptance::clean("mkfifo").arg(path).status().unwrap().success());
        }),
        ("it is not a file", |path, _| drop(UnixListener::bind(path).unwrap())),
        ("it is not a file", |path, _| fs::create_dir(path).unwrap()),
    ];
    for name in NAMES {
        for (words, plant) in plants {
            let case = Case::expired(Options::default());
            let target = case.path("target");
            fs::write(&target, "a key of one's own").unwrap();
            let before = state(&target);
            plant(&case.path(name), &target);

            let run = case.run(NONE);
            run.assert_fails(1, &[name, words, "and belongs to"]);
            assert!(!run.stderr.contains("waiting"), "{name}: {}", run.stderr);
            assert_eq!(case.sandbox.counters().token_requests, 0, "{name}");
            assert_eq!(state(&target), before, "{name}");
            assert!(!case.path("nothing").exists(), "{name}");

            shell(command_in(&run.stderr, "mv "));
            case.run(NONE).assert_ok();
            assert_eq!(state(&target), before, "{name}");
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_creds_json_is_not_waited_for() {
    let case = Case::expired(Options::default());
    fs::remove_file(case.creds()).unwrap();
    assert!(acceptance::clean("mkfifo").arg(case.creds()).status().unwrap().success());
    case.run(NONE).assert_fails(1, &["creds.json: not a file"]);
    let status = case.call("token_status", ["--json"]);
    assert_eq!(status.code, Some(1), "{}", status.stderr);
    assert!(status.stdout.contains("\"broken\""), "{}", status.stdout);
}

#[test]
fn a_file_with_another_name_is_not_written_and_can_be_made_ones_own() {
    // Not the lock file: it is born with two names, is empty, and is only locked.
    for name in &NAMES[1..] {
        let case = Case::expired(Options::default());
        let target = case.path("target");
        fs::write(&target, "a key of one's own").unwrap();
        fs::hard_link(&target, case.path(name)).unwrap();
        let before = state(&target);

        let run = case.run(NONE);
        run.assert_fails(1, &[name, "it has another name (a hard link), and belongs to"]);
        assert_eq!(case.sandbox.counters().token_requests, 0, "{name}");
        assert_eq!(state(&target), before, "{name}");

        shell(command_in(&run.stderr, "install "));
        case.run(NONE).assert_ok();
        assert_eq!(state(&target).0, before.0, "{name}");
    }
}

#[test]
fn links_to_one_file_are_not_taken_for_a_lock_that_others_hold() {
    let case = Case::expired(Options::default());
    fs::write(case.path("target"), "").unwrap();
    for name in &NAMES[..3] {
        symlink(case.path("target"), case.path(name)).unwrap();
    }
    let run = case.run(NONE);
    run.assert_fails(1, &["creds.json.lock: it is a symbolic link"]);
    assert!(!run.stderr.contains("waiting"), "{}", run.stderr);
}

#[test]
fn too_few_files_are_told_as_such_and_lose_nothing() {
    let case = Case::expired(Options::default());
    for limit in 4..12 {
        case.sandbox.revoke_access_tokens();
        let before = case.sandbox.counters().token_requests;
        let mut limited = acceptance::clean("sh");
        limited.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\""));
        limited.arg(program("get_workspace")).env("AAC_DIR", case.folder.path());
        let run = Run::of(&mut limited);
        assert!(!run.stderr.contains("another program"), "{limit}: {}", run.stderr);
        if run.code != Some(0) {
            run.assert_fails(1, &["Too many open files"]);
        }
        let is_unchanged = run.stderr.contains("your tokens are unchanged");
        assert!(!is_unchanged || case.sandbox.counters().token_requests == before, "{limit}");
        case.run(NONE).assert_ok();
        assert_eq!(case.sandbox.counters().reused, 0, "{limit}");
    }
    assert!(case.sandbox.is_live(&case.refresh_token()));
}
