//! Where results go: files that are whole or as they were, devices, and standard output.

#![cfg_attr(
    not(target_os = "linux"),
    allow(unused, reason = "most is about signals and descriptors")
)]

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PERSON: &str = "/v4/people/current";
const SOON: Duration = Duration::from_secs(20);

fn case() -> Case {
    Case::fresh(Options::default())
}

#[track_caller]
fn output_to(case: &Case, path: &Path) -> Run {
    case.call("raw_call", [PERSON, "-o", path.to_str().unwrap()])
}

#[track_caller]
fn assert_written(run: &Run, path: &Path) {
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    assert!(fs::read_to_string(path).unwrap().starts_with("{\"lastLoginTime\""));
}

/// Waits until the API has got more requests than these, so that what it answers is about to be written.
fn wait_for_call(case: &Case, calls: u64) {
    let deadline = Instant::now() + SOON;
    while case.sandbox.counters().api_calls == calls {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_below_dev_is_a_file_like_any_other() {
    let case = case();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("person.json");
    assert_written(&output_to(&case, &file), &file);
    fs::write(&file, "x".repeat(100_000)).unwrap();
    assert_written(&output_to(&case, &file), &file);
    assert!(fs::metadata(&file).unwrap().len() < 10_000, "nothing is left of the longer one");
    assert_eq!(acceptance::names(folder.path()), ["person.json"]);
    assert_eq!(output_to(&case, Path::new("/dev/null")).code, Some(0));
}

#[test]
#[cfg(unix)]
fn a_file_that_is_open_already_is_written_where_it_is() {
    let case = case();
    let log = case.path("log");
    let inode = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        std::os::unix::fs::MetadataExt::ino(&metadata)
    };
    std::os::unix::fs::symlink("/dev/stdout", case.path("link")).unwrap();
    for (output, redirect) in [
        ("/dev/stdout", ">>log"),
        ("/dev/fd/1", ">>log"),
        ("/proc/self/fd/1", ">>log"),
        ("link", ">>log"),
        ("/dev/fd/3", "3>>log"),
        ("/proc/self/fd/3", "3>>log"),
    ] {
        if output.starts_with("/proc") && !Path::new("/proc/self/fd").exists() {
            continue;
        }
        fs::write(&log, "before\n").unwrap();
        let before = inode(&log);
        let status = acceptance::clean("bash")
            .args(["-c", &format!("\"$0\" {PERSON} -o {output} {redirect}")])
            .arg(acceptance::program("raw_call"))
            .env("AAC_DIR", case.folder.path())
            .current_dir(case.folder.path())
            .status()
            .unwrap();
        assert!(status.success());
        assert!(fs::read_to_string(&log).unwrap().starts_with("before\n{\"last"), "{output}");
        assert_eq!(inode(&log), before, "{output}");
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = case.program("raw_call");
    command.args([PERSON, "-o", "/dev/fd/1"]).stdout(writer);
    assert!(command.status().unwrap().success());
    drop(command);
    let mut piped = String::new();
    reader.read_to_string(&mut piped).unwrap();
    assert!(piped.starts_with("{\"lastLoginTime\""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_download_that_a_signal_cuts_off_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    for old in [None, Some("old")] {
        for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
            if acceptance::is_ignored(signal) {
                continue;
            }
            let case = Case::fresh(Options { package_size: 3_000_000, ..Options::default() });
            let file = case.path("plan.zip");
            if let Some(old) = old {
                fs::write(&file, old).unwrap();
            }
            let names = case.names();
            case.sandbox.add_fault(Fault::api(FaultKind::SlowBody(600)));
            let mut command = case.program("raw_call");
            command.args(["/plans/v1/plans/7/package", "-o"]).arg(&file);
            let mut child = command.spawn().unwrap();
            wait_for_call(&case, 0);
            acceptance::kill(signal, child.id());
            assert_eq!(child.wait().unwrap().signal(), Some(number));
            assert_eq!(case.names(), names, "{signal}");
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), old, "{signal}");
        }
    }
}

/// As on a file system without `O_TMPFILE`, which strace plays: it fails what opens the folder before it is
/// searched for leftovers.
#[cfg(target_os = "linux")]
fn without_unnamed_files(case: &Case, folder: &Path) -> Option<Command> {
    let traced = |program: &Path| {
        // With -D, strace is no parent of the program, which is then this child.
        let mut command = acceptance::clean("strace");
        command.args(["-D", "-f", "-o"]).arg(case.path("trace")).arg("-P").arg(folder);
        command.args(["-e", "inject=openat:error=EOPNOTSUPP:when=1..3"]).arg(program);
        command
    };
    if !traced(Path::new("true")).output().is_ok_and(|run| run.status.success()) {
        eprintln!("skipped: strace may not trace here");
        return None;
    }
    let mut command = traced(acceptance::program("raw_call"));
    command.env("AAC_DIR", case.folder.path());
    Some(command)
}

#[test]
#[cfg(target_os = "linux")]
fn where_the_file_system_has_no_unnamed_files_the_next_download_removes_what_is_left() {
    use std::os::unix::process::ExitStatusExt;
    let downloads = tempfile::tempdir().unwrap();
    let file = downloads.path().join("plan.zip");
    fs::write(&file, "old").unwrap();
    let case = case();
    let start = || {
        let mut command = without_unnamed_files(&case, downloads.path())?;
        command.args(["/plans/v1/plans/7/package", "-o"]).arg(&file);
        Some(command)
    };
    let start_slow = || {
        let mut command = start()?;
        case.sandbox.add_fault(Fault::api(FaultKind::SlowBody(600)));
        let calls = case.sandbox.counters().api_calls;
        let child = command.spawn().unwrap();
        wait_for_call(&case, calls);
        Some(child)
    };
    let download = || {
        let run = Run::of(&mut start().unwrap());
        assert_eq!((run.code, &*run.stderr), (Some(0), ""));
        assert!(fs::read(&file).unwrap().starts_with(b"PK"));
    };
    let names = || acceptance::names(downloads.path());
    let Some(mut child) = start_slow() else { return };
    let left = names();
    assert!(matches!(&left[..], [part, _] if part.ends_with(".part")), "{left:?}");
    acceptance::kill("KILL", child.id());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!((names(), &*fs::read(&file).unwrap()), (left.clone(), &b"old"[..]));

    // Two at once leave each other alone.
    let mut child = start_slow().unwrap();
    let part = names();
    assert!(part.len() == 2 && part != left, "{part:?}");
    download();
    assert_eq!(names(), part);
    acceptance::kill("TERM", child.id());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    download();
    assert_eq!(names(), ["plan.zip"]);
}

#[test]
fn a_name_may_be_as_long_as_a_name_can_be() {
    let case = case();
    let file = case.path(&"n".repeat(255));
    for _ in 0..2 {
        assert_written(&output_to(&case, &file), &file);
    }
    let too_long = output_to(&case, &case.path(&"n".repeat(256)));
    assert_eq!((too_long.code, too_long.stdout.as_str()), (Some(1), ""));
    assert!(too_long.stderr.contains("nnn: "), "{}", too_long.stderr);
}

#[test]
#[cfg(unix)]
fn a_file_that_may_be_written_in_a_folder_that_may_not_is_written_in_place() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let case = case();
    let folder = case.path("closed");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("person.json");
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let call = |path: &str, file: &Path| {
        let mut command = case.program("raw_call");
        command.args([path, "--retry", "0", "-o"]).arg(file);
        // Opened to everyone below, if this is root.
        if fs::metadata(case.folder.path()).unwrap().permissions().mode() & 0o1 != 0 {
            // Root may write anywhere, so this is done as nobody.
            command.uid(65534).gid(65534);
        }
        Run::of(&mut command)
    };
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    if chown(&file, Some(65534), Some(65534)).is_ok() {
        for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
            mode(&case.path(name), 0o644);
        }
        mode(case.folder.path(), 0o755);
    }
    mode(&file, 0o640);
    mode(&folder, 0o555);
    // An error comes before the first byte, and leaves it as it was.
    let refused = call("/nowhere", &file);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_000);
    let run = call(PERSON, &file);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("written in place"));
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"lastLoginTime\""));
    assert!(fs::metadata(&file).unwrap().len() < 10_000);
    let new = call(PERSON, &folder.join("new"));
    assert_eq!(new.code, Some(1), "{}", new.stderr);
    mode(&folder, 0o755);
    assert_eq!(acceptance::names(&folder), ["person.json"]);
}

#[test]
#[cfg(unix)]
fn a_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let case = case();
    let file = case.path("person.json");
    fs::write(&file, "").unwrap();
    for mode in [0o600, 0o644, 0o751] {
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        assert_written(&output_to(&case, &file), &file);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn credentials_are_not_overwritten_by_any_of_their_names() {
    let case = case();
    let creds = fs::read(case.creds()).unwrap();
    let refused = |path: &Path| {
        let before = fs::read(path).ok();
        let run = output_to(&case, path);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", path.display());
        assert!(
            run.stderr.contains("is part of your credentials and is not overwritten"),
            "{}",
            run.stderr
        );
        assert_eq!(fs::read(path).ok(), before);
    };
    for name in [
        "creds.json",
        "creds.json.lock",
        "creds.json.new",
        "creds.json.rotation",
        "creds.json.rotation.old",
        "creds.json.spent",
        "aac_url.txt",
        "client_id.txt",
        "api_project_id.txt",
        "CREDS.JSON",
        "Creds.json.Lock",
        "./creds.json",
    ] {
        refused(&case.path(name));
    }
    fs::create_dir(case.path("sub")).unwrap();
    refused(&case.path("sub/../creds.json"));
    refused(&case.path("sub/../creds.json.new"));
    fs::hard_link(case.creds(), case.path("sub/other")).unwrap();
    refused(&case.path("sub/other"));
    let mut relative = case.program("raw_call");
    relative.current_dir(case.folder.path()).args([PERSON, "-o", "creds.json.new"]);
    assert_eq!(Run::of(&mut relative).code, Some(2));
    let mut list = case.program("list_users");
    assert_eq!(Run::of(list.arg("-o").arg(case.creds())).code, Some(2));
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("creds.json", case.path("link")).unwrap();
        refused(&case.path("link"));
        symlink("creds.json.rotation", case.path("dangling")).unwrap();
        refused(&case.path("dangling"));
        symlink(".", case.path("alias")).unwrap();
        refused(&case.path("alias/creds.json.spent"));
        // creds.json itself can be a link, and what is beside it is then where it leads.
        fs::rename(case.creds(), case.path("sub/tokens.json")).unwrap();
        symlink("sub/tokens.json", case.creds()).unwrap();
        refused(&case.path("sub/tokens.json"));
        refused(&case.path("sub/tokens.json.rotation"));
        fs::remove_file(case.creds()).unwrap();
        fs::rename(case.path("sub/tokens.json"), case.creds()).unwrap();
    }
    assert_eq!(fs::read(case.creds()).unwrap(), creds);
    assert_eq!(case.sandbox.counters().connections, 0);
    // A name that only looks alike, and the same name elsewhere, are nobody's.
    for path in [case.path("creds.jsonl"), case.path("sub/creds.json")] {
        assert_written(&output_to(&case, &path), &path);
    }
}

#[test]
fn the_credentials_of_another_folder_are_not_overwritten_either() {
    let case = case();
    let other = case.path("other");
    fs::create_dir(&other).unwrap();
    fs::copy(case.creds(), other.join("creds.json")).unwrap();
    fs::write(other.join("creds.json.spent"), "old").unwrap();
    let refused = |name: &str| {
        let before = fs::read(other.join(name)).ok();
        // As with `cargo sandbox`: AAC_DIR leads away from the folder in which the program runs.
        let mut program = case.program("raw_call");
        let run = Run::of(program.current_dir(&other).args([PERSON, "-o", name]));
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
        assert!(run.stderr.contains("is part of your credentials"), "{}", run.stderr);
        assert_eq!(fs::read(other.join(name)).ok(), before, "{name}");
    };
    for name in ["creds.json", "creds.json.spent", "creds.json.rotation", "client_id.txt"] {
        refused(name);
    }
    #[cfg(unix)]
    {
        fs::rename(other.join("creds.json"), case.path("tokens.json")).unwrap();
        std::os::unix::fs::symlink("../tokens.json", other.join("creds.json")).unwrap();
        refused("creds.json");
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
#[cfg(unix)]
fn a_reader_of_another_pipe_that_stops_reading_is_no_error() {
    let case = Case::expired(Options::default());
    let pipe = case.path("pipe");
    assert!(acceptance::clean("mkfifo").arg(&pipe).status().unwrap().success());
    let mut list = case.program("list_users");
    list.args(["--format", "csv", "-o"]).arg(&pipe);
    // Without a reader, opening the pipe would wait.
    let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let hold = case.sandbox.hold_token_responses();
    let child = list.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(hold.wait_for_request(SOON));
    drop(reader);
    hold.release();
    let run = Run::from(child);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
}

#[test]
fn a_folder_is_said_to_be_one() {
    let case = case();
    for path in [case.folder.path().to_owned(), case.path("none/"), ".".into()] {
        let run = output_to(&case, &path);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        let words = format!("raw_call: {}: is a folder: name a file in it\n", path.display());
        assert_eq!(run.stderr, words);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
#[cfg(unix)]
fn a_standard_output_that_is_not_open_for_writing_is_an_error() {
    let case = case();
    for (program, arguments) in [
        ("get_workspace", ""),
        ("list_users", ""),
        ("list_users", "--format json"),
        ("list_users", "--format jsonl"),
        ("list_users", "--format csv"),
        ("raw_call", PERSON),
        ("raw_call", "/v4/people/current -o -"),
        ("raw_call", "/v4/people/current -o /dev/stdout"),
        ("raw_call", "/plans/v1/plans --paginate"),
        ("raw_call", "/x --dry-run"),
        ("access_token", ""),
    ] {
        let run = |redirect: &str| {
            let mut command = acceptance::clean("bash");
            command
                .args(["-c", &format!("\"$0\" {arguments} {redirect}")])
                .arg(acceptance::program(program))
                .env("AAC_DIR", case.folder.path());
            Run::of(&mut command)
        };
        let closed = run("1</dev/null");
        assert_eq!(closed.code, Some(1), "{program} {arguments}");
        assert_eq!(
            closed.stderr,
            format!("{program}: standard output: it is not open for writing\n")
        );
        // What is no error: nowhere, be it open for reading as well, and a reader that has had enough.
        for redirect in [">/dev/null", "1<>/dev/null", "| true; exit ${PIPESTATUS[0]}"] {
            let quiet = run(redirect);
            assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{program} {redirect}");
        }
    }
}
