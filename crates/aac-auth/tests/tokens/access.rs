//! Who may use creds.json may use what comes after it and stands beside it, and nobody else: access
//! control lists, other users of the machine, and disks that copy on write.
//!
//! Where it takes root, or a tool, the test is a command of its own:
//!
//! ```text
//! cargo test -p aac-auth --test tokens access -- --ignored --nocapture
//! ```

use crate::{NONE, SOON, start_until};
use aac_sandbox::Options;
use acceptance::{Case, Run};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

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
    let child = start_until(&case, &hold);
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
    acceptance::copy_program(programs.path());
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

/// The owner, the group and the mode of a file.
fn whose(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o777)
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn tokens_of_another_user_are_used_and_not_refreshed() {
    let group = GROUP.to_string();
    let acl = list(&[(1, 6, ID), (2, 6, OTHER), (4, 0, ID), (16, 6, ID), (32, 0, ID)]);
    // Shared by the group, to read or to write, or by an access control list.
    for (mode, acl) in [(0o660, None), (0o640, None), (0o600, Some(&acl))] {
        let case = Case::fresh(Options::default());
        let Some(programs) = shared(&case, mode) else { return };
        if acl.is_some_and(|acl| !set(&case.creds(), ACL, acl)) {
            return;
        }
        let run = |user| Run::of(&mut command_as(user, &group, &programs, &case));
        run(OTHER).assert_ok();
        run(OWNER).assert_ok();
        let before = (whose(&case.creds()), fs::read(case.creds()).unwrap());
        for has_lock_file in [false, true] {
            case.sandbox.revoke_access_tokens();
            let words =
                ["creds.json: it is another user's", "uid 12001", "unchanged", "Run this as"];
            run(OTHER).assert_fails(1, &words);
            if !has_lock_file {
                assert_eq!(case.names(), ["aac_url.txt", "client_id.txt", "creds.json"]);
                assert_eq!((whose(&case.creds()), fs::read(case.creds()).unwrap()), before);
                assert_eq!(case.sandbox.counters().token_requests, 0);
            }
            // Its owner is not shut out by anything, and nothing has changed hands.
            run(OWNER).assert_ok();
            for name in ["creds.json", "creds.json.lock", "creds.json.spent"] {
                assert_eq!(whose(&case.path(name)), before.0, "{name}");
                assert_eq!(attribute(&case.path(name), ACL).as_ref(), acl, "{name}");
            }
            // They use what its owner has refreshed.
            run(OTHER).assert_ok();
        }
        // Also where the folder is not for them to write.
        fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        case.sandbox.revoke_access_tokens();
        run(OTHER).assert_fails(1, &["creds.json: it is another user's", "uid 12001", "unchanged"]);
        fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o2770)).unwrap();
        // Root refreshes anybody's, and gives it back.
        case.sandbox.revoke_access_tokens();
        case.run(NONE).assert_ok();
        assert_eq!(whose(&case.creds()), before.0);
        case.sandbox.revoke_access_tokens();
        run(OWNER).assert_ok();
        assert_eq!(case.sandbox.counters().refreshes, 4);
    }
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn what_root_has_made_for_a_user_becomes_the_user_s() {
    let group = GROUP.to_string();
    // An image or an init container; a volume with fsGroup; one that is not for this user.
    for (gid, mode, after) in [
        (0, 0o666, Some((OTHER, 0, 0o600))),
        (GROUP, 0o660, Some((OTHER, GROUP, 0o660))),
        (GROUP, 0o640, None),
    ] {
        let case = Case::expired(Options::default());
        let Some(programs) = shared(&case, mode) else { return };
        chown(case.creds(), Some(0), Some(gid)).unwrap();
        let run = Run::of(&mut command_as(OTHER, &group, &programs, &case));
        match after {
            Some(after) => {
                run.assert_ok();
                // Where the folder does not hand its group down, that of root is lost.
                let (uid, found, mode) = whose(&case.creds());
                assert_eq!((uid, mode), (after.0, after.2));
                assert!(found == after.1 || after.1 == 0);
            }
            None => {
                run.assert_fails(1, &["creds.json: it is another user's", "root", "unchanged"]);
                assert_eq!(case.sandbox.counters().token_requests, 0);
                assert_eq!(whose(&case.creds()), (0, gid, mode));
            }
        }
    }
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn links_to_a_file_of_one_s_own_are_not_followed_whoever_refreshes() {
    let group = GROUP.to_string();
    for user in [0, OWNER] {
        for name in ["creds.json.lock", "creds.json.new", "creds.json.rotation", "creds.json.spent"]
        {
            for is_hard in [false, true] {
                let case = Case::expired(Options::default());
                let Some(programs) = shared(&case, 0o660) else { return };
                let secret = case.path("id_ed25519");
                fs::write(&secret, "a private key").unwrap();
                fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
                chown(&secret, Some(user), Some(user)).unwrap();
                let link = if is_hard { fs::hard_link } else { std::os::unix::fs::symlink };
                link(&secret, &case.path(name)).unwrap();
                let before = (whose(&secret), attribute(&secret, ACL), fs::read(&secret).unwrap());
                let run = match user {
                    0 => case.run(NONE),
                    user => Run::of(&mut command_as(user, &group, &programs, &case)),
                };
                // The lock file is only locked, and is born with two names.
                if !is_hard || name != "creds.json.lock" {
                    run.assert_fails(1, &[name, "belongs to"]);
                    assert_eq!(case.sandbox.counters().token_requests, 0, "{name}");
                }
                let after = (whose(&secret), attribute(&secret, ACL), fs::read(&secret).unwrap());
                assert_eq!(after, before, "{name}");
            }
        }
    }
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn a_pair_that_another_user_has_put_there_is_not_used_until_it_is_ones_own() {
    let group = GROUP.to_string();
    let case = Case::interrupted(Options::default());
    let Some(programs) = shared(&case, 0o660) else { return };
    let journal = case.path("creds.json.rotation");
    let give = |path: &Path, user| {
        chown(path, Some(user), Some(GROUP)).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o660)).unwrap();
    };
    give(&journal, OTHER);
    give(&case.path("creds.json.lock"), OTHER);
    let run = || Run::of(&mut command_as(OWNER, &group, &programs, &case));
    let before = fs::read(&journal).unwrap();
    fs::set_permissions(&journal, PermissionsExt::from_mode(0o600)).unwrap();
    run().assert_fails(1, &["creds.json.rotation: it is another user's", "uid 12002", "mv "]);
    give(&journal, OTHER);
    let refused = run();
    refused.assert_fails(1, &["creds.json.rotation: it is another user's", "uid 12002", "install"]);
    assert_eq!(fs::read(&journal).unwrap(), before);
    // The command in the error, as its owner.
    let command = &refused.stderr[refused.stderr.find("install ").unwrap()..];
    let command = command.lines().next().unwrap();
    let mut shell = acceptance::clean("setpriv");
    shell.args(["--reuid", "12001", "--regid", "12001", "--groups", &group]);
    assert!(shell.args(["sh", "-c", command.trim()]).status().unwrap().success());
    run().assert_ok();
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().token_requests, 1);
}

#[test]
#[ignore = "needs to be root: see the head of this file"]
fn what_others_left_when_they_could_refresh_locks_nobody_out() {
    let group = GROUP.to_string();
    let case = Case::expired(Options::default());
    let Some(programs) = shared(&case, 0o660) else { return };
    // A lock file, a record, a file that was being written and a pair that was set aside, all of the other
    // user's, with the rights that the owner had then.
    let record = format!("{} {} 7\n", "a".repeat(64), "b".repeat(64));
    for (name, content) in [
        ("creds.json.lock", ""),
        ("creds.json.spent", &*record),
        ("creds.json.new", "half of"),
        ("creds.json.rotation.old", "not whole"),
    ] {
        fs::write(case.path(name), content).unwrap();
        fs::set_permissions(case.path(name), PermissionsExt::from_mode(0o660)).unwrap();
        chown(case.path(name), Some(OTHER), Some(GROUP)).unwrap();
    }
    for _ in 0..2 {
        Run::of(&mut command_as(OWNER, &group, &programs, &case)).assert_ok();
        case.sandbox.revoke_access_tokens();
    }
    assert_eq!(case.sandbox.counters().refreshes, 2);
    assert_eq!(whose(&case.path("creds.json.lock")).0, OTHER);
    // What it says still counts; it is its reader's now.
    let kept = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert!(kept.starts_with(&record) && kept.lines().count() == 3, "{kept}");
    assert_eq!(whose(&case.path("creds.json.spent")), (OWNER, GROUP, 0o660));
}

/// What is injected into a run, on a creds.json of this mode.
fn injected(case: &Case, inject: &str) -> Option<Command> {
    let mut command = acceptance::injecting(inject, acceptance::get_workspace())?;
    command.env("AAC_DIR", case.folder.path());
    Some(command)
}

#[test]
fn where_no_mode_can_be_set_tokens_are_refreshed_time_and_again() {
    for (mode, inject) in [
        (0o600, "fchmod:error=EPERM"),
        (0o600, "fchmod:error=EOPNOTSUPP"),
        (0o600, "fchmod:error=EINVAL"),
        (0o600, "fchmod:error=ENOSYS"),
        (0o644, "fchmod:error=EPERM"),
        (0o700, "fchmod:retval=0"),
        (0o600, "fremovexattr:error=EPERM"),
        (0o600, "fchmod,fchown,fremovexattr,fsetxattr,flistxattr:error=EINVAL"),
        // Nor read who else may use a file.
        (0o600, "fgetxattr:error=EINVAL"),
        (0o644, "fgetxattr:error=EACCES"),
        (0o600, "fchmod,fchown,fgetxattr,fremovexattr,fsetxattr,flistxattr:error=EPERM"),
    ] {
        let case = Case::expired(Options::default());
        fs::set_permissions(case.creds(), fs::Permissions::from_mode(mode)).unwrap();
        let Some(mut command) = injected(&case, inject) else { return };
        for refreshes in 1..=2 {
            Run::of(&mut command).assert_ok();
            assert_eq!(case.sandbox.counters().refreshes, refreshes, "{mode:o} {inject}");
            let names = ["creds.json", "creds.json.lock", "creds.json.spent"];
            let is_private = |name: &&str| whose(&case.path(name)).2 == 0o600;
            assert!(names.iter().all(is_private), "{mode:o} {inject}");
            case.sandbox.revoke_access_tokens();
        }
    }
}

#[test]
fn where_no_mode_can_be_set_nobody_is_shut_out_and_the_file_system_is_named() {
    let case = Case::expired(Options::default());
    // New files have no rights for the group.
    for (mode, inject) in [(0o640, "fchmod:error=EPERM"), (0o660, "fchmod:error=EOPNOTSUPP")] {
        fs::set_permissions(case.creds(), fs::Permissions::from_mode(mode)).unwrap();
        let Some(mut command) = injected(&case, inject) else { return };
        let run = Run::of(&mut command);
        run.assert_fails(1, &["its file system (", " on /", "does not let", "on a local disk"]);
        run.assert_fails(1, &["creds.json.lock: ", "your tokens are unchanged"]);
        assert!(!run.stderr.contains("Give yourself permission"), "{}", run.stderr);
    }
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn advice_on_a_mode_is_given_only_where_modes_can_be_set() {
    let case = Case::fresh(Options::default());
    fs::set_permissions(case.creds(), fs::Permissions::from_mode(0o644)).unwrap();
    let run = case.run(NONE);
    assert!(run.stderr.contains("chmod go-rwx"), "{}", run.stderr);
    for inject in ["fchmod:retval=0", "fchmod:error=EPERM"] {
        let Some(mut command) = injected(&case, inject) else { return };
        let run = Run::of(&mut command);
        run.assert_ok();
        assert!(!run.stderr.contains("chmod"), "{}", run.stderr);
        assert!(run.stderr.contains("its file system does not let"), "{}", run.stderr);
    }
}

#[test]
fn where_no_mode_can_be_set_an_output_is_replaced_time_and_again() {
    let case = Case::fresh(Options::default());
    let file = case.path("result.json");
    let raw_call = acceptance::program("raw_call");
    // As new files are made, and in another way.
    for mode in [None, Some(0o644), Some(0o600), Some(0o666)] {
        if let Some(mode) = mode {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        for round in 0..2 {
            fs::write(&file, "old").unwrap();
            let Some(mut command) = acceptance::injecting("fchmod:error=EPERM", raw_call) else {
                return;
            };
            command.env("AAC_DIR", case.folder.path()).args(["/iam/v1/workspaces/current", "-o"]);
            let run = Run::of(command.arg(&file));
            assert_eq!(run.code, Some(0), "{mode:?} {round}: {}", run.stderr);
            assert!(fs::read_to_string(&file).unwrap().contains("lukes"), "{mode:?} {round}");
            assert!(mode.is_none_or(|mode| whose(&file).2 == mode), "{mode:?} {round}");
        }
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
    let killed = Run::of(&mut started_as(OWNER, &group, &strace, &programs, &case));
    assert_eq!(killed.code, None, "{}", killed.stderr);
    assert!(!case.path("creds.json.lock").exists());
    Run::of(&mut command_as(OWNER, &group, &programs, &case)).assert_ok();
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
