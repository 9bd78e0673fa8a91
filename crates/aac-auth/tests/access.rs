//! Who may use creds.json may use what comes after it and stands beside it, and nobody else: access
//! control lists, users who share a folder, and disks that copy on write.
//!
//! Where it takes root, or a tool, the test is a command of its own:
//!
//! ```text
//! cargo test -p aac-auth --test access -- --ignored --nocapture
//! ```

#![cfg(target_os = "linux")]

use aac_sandbox::Options;
use acceptance::{Case, Run};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const NONE: [&str; 0] = [];
const SOON: Duration = Duration::from_secs(20);
const ACL: &str = "system.posix_acl_access";

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 1024];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

/// An access control list as acl(5) stores it: tag, rights, id.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Sets an attribute; false where the file system has none.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    match setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP) => {
            eprintln!("skipped: no {name} on {}", path.display());
            false
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

const ID: u32 = u32::MAX;

#[test]
fn an_access_control_list_is_kept_and_given_to_the_files_beside_it() {
    let case = Case::expired(Options::default());
    // The owner and user 12345 may read and write, the group nothing; the mode shows the mask.
    let acl = list(&[(1, 6, ID), (2, 6, 12345), (4, 0, ID), (16, 6, ID), (32, 0, ID)]);
    if !set(&case.creds(), ACL, &acl) || !set(&case.creds(), "user.note", b"mine") {
        return;
    }
    let hold = case.sandbox.hold_token_responses();
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    assert_eq!(attribute(&case.path("creds.json.rotation"), ACL), Some(acl.clone()));
    hold.release();
    Run::from(child).assert_ok();
    for name in ["creds.json", "creds.json.lock", "creds.json.spent"] {
        assert_eq!(attribute(&case.path(name), ACL), Some(acl.clone()), "{name}");
    }
    assert_eq!(attribute(&case.creds(), "user.note").unwrap(), b"mine");
    // Rights of everyone are no part of it.
    let open = list(&[(1, 6, ID), (2, 6, 12345), (4, 0, ID), (16, 6, ID), (32, 4, ID)]);
    set(&case.creds(), ACL, &open);
    case.sandbox.revoke_access_tokens();
    let run = case.run(NONE);
    run.assert_ok();
    assert!(run.stderr.contains("they no longer can"), "{}", run.stderr);
    assert_eq!(attribute(&case.creds(), ACL), Some(acl));
}

#[test]
fn what_a_folder_gives_to_new_files_lets_nobody_in() {
    let case = Case::expired(Options::default());
    let default = list(&[(1, 6, ID), (2, 6, 12345), (4, 6, ID), (16, 6, ID), (32, 4, ID)]);
    if !set(case.folder.path(), "system.posix_acl_default", &default) {
        return;
    }
    case.run(NONE).assert_ok();
    for name in ["creds.json", "creds.json.lock", "creds.json.spent"] {
        assert_eq!(attribute(&case.path(name), ACL), None, "{name}");
        assert_eq!(fs::metadata(case.path(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

/// Two users of one group share a folder.
const OWNER: u32 = 12_001;
const OTHER: u32 = 12_002;
const GROUP: u32 = 12_100;

/// The case with everything in the owner's hands, and the program where both may run it; none where
/// this user may not do so.
fn shared(case: &Case, mode: u32) -> Option<tempfile::TempDir> {
    let is_ours = |path: &Path| chown(path, Some(OWNER), Some(GROUP)).is_ok();
    let names = ["aac_url.txt", "client_id.txt", "creds.json"];
    if !is_ours(case.folder.path()) || !names.iter().all(|name| is_ours(&case.path(name))) {
        eprintln!("skipped: only root may give files away");
        return None;
    }
    fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(mode)).unwrap();
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(acceptance::get_workspace(), programs.path().join("get_workspace")).unwrap();
    Some(programs)
}

fn command_as(user: u32, groups: &str, programs: &tempfile::TempDir, case: &Case) -> Command {
    started_as(user, groups, &[], programs, case)
}

/// The same, started by another program.
fn started_as(
    user: u32,
    groups: &str,
    by: &[&str],
    programs: &tempfile::TempDir,
    case: &Case,
) -> Command {
    let mut command = acceptance::clean("setpriv");
    let user = user.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--groups", groups]).args(by);
    command.arg(programs.path().join("get_workspace"));
    command.env("AAC_DIR", case.folder.path());
    command
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn two_users_of_a_group_share_a_folder() {
    let group = GROUP.to_string();
    for mode in [0o660, 0o640] {
        let case = Case::expired(Options::default());
        let Some(programs) = shared(&case, mode) else { return };
        let run = |user| {
            let mut command = command_as(user, &group, &programs, &case);
            Run::of(&mut command)
        };
        if mode == 0o640 {
            // Who may only read cannot renew, and leaves nothing that shuts the owner out.
            run(OTHER).assert_fails(1, &["your tokens are unchanged"]);
            assert_eq!(case.sandbox.counters().token_requests, 0);
        } else {
            run(OTHER).assert_ok();
            assert!(case.sandbox.is_live(&case.refresh_token()));
        }
        let state = fs::metadata(case.creds()).unwrap();
        assert_eq!((state.uid(), state.gid(), state.mode() & 0o777), (OWNER, GROUP, mode));
        case.sandbox.revoke_access_tokens();
        run(OWNER).assert_ok();
        assert!(case.sandbox.is_live(&case.refresh_token()));
        assert_eq!(fs::metadata(case.creds()).unwrap().uid(), OWNER);

        // Killed in the middle, with everything lying about.
        if mode == 0o660 {
            case.sandbox.revoke_access_tokens();
            case.sandbox.set_grace(Duration::from_secs(60));
            let hold = case.sandbox.hold_token_responses();
            let mut command = command_as(OTHER, &group, &programs, &case);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            assert!(hold.wait_for_request(SOON));
            child.kill().unwrap();
            child.wait().unwrap();
            hold.release();
            run(OWNER).assert_ok();
            run(OTHER).assert_ok();
        }
        // A stranger gets nowhere.
        case.sandbox.revoke_access_tokens();
        let mut stranger = command_as(12_003, "12003", &programs, &case);
        assert_eq!(Run::of(&mut stranger).code, Some(1));
    }
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn a_user_named_in_the_list_may_renew_and_the_owner_is_not_shut_out() {
    let case = Case::expired(Options::default());
    let Some(programs) = shared(&case, 0o600) else { return };
    let acl = list(&[(1, 6, ID), (2, 6, OTHER), (4, 0, ID), (16, 6, ID), (32, 0, ID)]);
    if !set(&case.creds(), ACL, &acl) {
        return;
    }
    for user in [OTHER, OWNER, OTHER] {
        let mut command = command_as(user, &GROUP.to_string(), &programs, &case);
        Run::of(&mut command).assert_ok();
        case.sandbox.revoke_access_tokens();
        assert_eq!(attribute(&case.creds(), ACL), Some(acl.clone()));
        assert_eq!(fs::metadata(case.creds()).unwrap().uid(), OWNER);
    }
    assert_eq!(case.sandbox.counters().refreshes, 3);
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn a_file_that_is_shared_later_is_shared_with_all_that_is_beside_it() {
    let group = GROUP.to_string();
    let case = Case::expired(Options::default());
    let Some(programs) = shared(&case, 0o600) else { return };
    let run = |user| Run::of(&mut command_as(user, &group, &programs, &case));
    run(OWNER).assert_ok();
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o660)).unwrap();
    for user in [OWNER, OTHER] {
        case.sandbox.revoke_access_tokens();
        run(user).assert_ok();
    }
    for name in ["creds.json.lock", "creds.json.spent"] {
        assert_eq!(fs::metadata(case.path(name)).unwrap().mode() & 0o777, 0o660, "{name}");
    }
}

#[test]
#[ignore = "needs to be root, and strace: see the head of this file"]
fn a_lock_file_has_its_rights_before_anyone_sees_it() {
    if !acceptance::have("strace") {
        return;
    }
    let group = GROUP.to_string();
    let case = Case::expired(Options::default());
    let Some(programs) = shared(&case, 0o660) else { return };
    // Killed before it gives the new file to those who may use creds.json, in whatever way that is.
    let inject = "inject=fsetxattr,fchown,fchmod:signal=KILL:when=1";
    let strace = ["strace", "-f", "-o", "/dev/null", "-e", inject];
    let killed = Run::of(&mut started_as(OTHER, &group, &strace, &programs, &case));
    assert_eq!(killed.code, None, "{}", killed.stderr);
    assert!(!case.path("creds.json.lock").exists());
    Run::of(&mut command_as(OWNER, &group, &programs, &case)).assert_ok();
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn a_pair_that_another_user_has_saved_is_found_when_creds_json_is_gone() {
    let group = GROUP.to_string();
    let case = Case::expired(Options::default());
    let Some(programs) = shared(&case, 0o660) else { return };
    case.interrupt(&mut command_as(OTHER, &group, &programs, &case)).assert_ok();
    assert!(case.path("creds.json.rotation").is_file());
    fs::remove_file(case.creds()).unwrap();
    Run::of(&mut command_as(OWNER, &group, &programs, &case)).assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
#[ignore = "needs to be root, and mkfs.btrfs: see the head of this file"]
fn a_copy_on_write_disk_that_fills_up_loses_nothing() {
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(120 * 1024 * 1024).unwrap();
    let made = acceptance::clean("mkfs.btrfs").args(["-q", "-M"]).arg(image.path()).output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: mkfs.btrfs: {made:?}");
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mount =
        acceptance::clean("mount").args(["-o", "loop"]).arg(image.path()).arg(disk.path()).output();
    if !mount.as_ref().is_ok_and(|mount| mount.status.success()) {
        eprintln!("skipped: mount: {mount:?}");
        return;
    }
    let rounds = 5;
    let mut saved = Vec::new();
    for round in 0..rounds {
        let case = Case::expired(Options::default());
        let folder = disk.path().join(round.to_string());
        acceptance::copy(case.folder.path(), &folder);
        let hold = case.sandbox.hold_token_responses();
        let mut command = acceptance::command();
        command.env("AAC_DIR", &folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        assert!(hold.wait_for_request(SOON));
        // Another program takes all that is left.
        let mut filler = fs::File::create(disk.path().join("filler")).unwrap();
        while filler.write_all(&[7; 1024 * 1024]).is_ok() {}
        while filler.write_all(&[7; 4096]).is_ok() {}
        let _ = filler.sync_all();
        hold.release();
        let run = Run::from(child);
        fs::remove_file(disk.path().join("filler")).unwrap();
        rustix::fs::syncfs(fs::File::open(disk.path()).unwrap()).unwrap();
        let again = Run::of(acceptance::command().env("AAC_DIR", &folder));
        saved.push((
            run.code,
            again.code,
            case.sandbox.counters().refreshes,
            run.stderr,
            again.stderr,
        ));
    }
    let unmounted = acceptance::clean("umount").arg(disk.path()).status().unwrap();
    assert!(unmounted.success());
    for (code, again, refreshes, stderr, later) in &saved {
        assert_eq!((*code, *again, *refreshes), (Some(0), Some(0), 1), "{stderr} then {later}");
    }
    eprintln!("{rounds} of {rounds} saved: {}", saved[0].3);
}
