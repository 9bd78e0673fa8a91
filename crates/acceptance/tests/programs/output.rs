//! Where results go: files that are whole or as they were, devices, and standard output.

use crate::fresh;
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PERSON: &str = "/v4/people/current";
const PACKAGE: &str = "/plans/v1/plans/7/package";
const SOON: Duration = Duration::from_secs(20);

#[track_caller]
fn output_to(case: &Case, path: &Path) -> Run {
    case.call("raw_call", [PERSON, "-o", path.to_str().unwrap()])
}

#[track_caller]
fn assert_written(case: &Case, path: &Path) {
    output_to(case, path).assert_ends(0, "", "");
    assert!(fs::read_to_string(path).unwrap().starts_with("{\"lastLoginTime\""));
}

/// Waits until the API has got more requests than these, so that what it answers is about to be written.
fn wait_for_call(case: &Case, calls: u64) {
    let deadline = Instant::now() + SOON;
    while case.sandbox.counters().api_calls == calls {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every way in which the programs write to standard output, and every end that can come to.
#[test]
#[cfg(unix)]
fn a_reader_that_has_had_enough_is_no_error_and_an_output_that_cannot_be_written_is_one() {
    let options = Options { users: 1234, package_size: 3_000_000, ..Options::default() };
    let case = Case::fresh(options);
    let mut redirects = vec![
        ("1</dev/null", Some("it is not open for writing\n")),
        // Nowhere, be it open for reading as well, and a reader that has had enough.
        (">/dev/null", None),
        ("1<>/dev/null", None),
        ("| true; exit ${PIPESTATUS[0]}", None),
        ("| head -1 > /dev/null; exit ${PIPESTATUS[0]}", None),
    ];
    match Path::new("/dev/full").exists() {
        true => redirects.push((">/dev/full", Some(""))),
        false => eprintln!("skipped: no /dev/full here"),
    }
    for (program, arguments) in [
        ("get_workspace", ""),
        ("list_users", ""),
        ("list_users", "--format json"),
        ("list_users", "--format jsonl"),
        ("list_users", "--format csv"),
        ("raw_call", PERSON),
        ("raw_call", PACKAGE),
        ("raw_call", "/v4/people/current -o -"),
        ("raw_call", "/v4/people/current -o /dev/stdout"),
        ("raw_call", "/plans/v1/plans --paginate"),
        ("raw_call", "/x --dry-run"),
        ("token_status", ""),
        ("access_token", ""),
    ] {
        for (redirect, error) in &redirects {
            let mut bash = acceptance::clean("bash");
            bash.args(["-c", &format!("\"$0\" {arguments} {redirect}")]);
            bash.arg(acceptance::program(program)).env("AAC_DIR", case.folder.path());
            let run = Run::of(&mut bash);
            let (code, begin) = match error {
                Some(error) => (1, format!("{program}: standard output: {error}")),
                None => (0, String::new()),
            };
            assert_eq!(run.code, Some(code), "{program} {arguments} {redirect}: {}", run.stderr);
            assert!(run.stderr.starts_with(&begin), "{redirect}: {}", run.stderr);
            assert_eq!(run.stderr.is_empty(), error.is_none(), "{program} {redirect}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_below_dev_is_a_file_like_any_other() {
    let case = fresh();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = folder.path().join("person.json");
    assert_written(&case, &file);
    fs::write(&file, "x".repeat(100_000)).unwrap();
    assert_written(&case, &file);
    assert!(fs::metadata(&file).unwrap().len() < 10_000, "nothing is left of the longer one");
    assert_eq!(acceptance::names(folder.path()), ["person.json"]);
    assert_eq!(output_to(&case, Path::new("/dev/null")).code, Some(0));
}

#[test]
#[cfg(unix)]
fn a_file_that_is_open_already_is_written_where_it_is() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let case = fresh();
    let log = case.path("log");
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    symlink("/dev/stdout", case.path("link")).unwrap();
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
        let mut bash = acceptance::clean("bash");
        bash.args(["-c", &format!("\"$0\" {PERSON} -o {output} {redirect}")]);
        bash.arg(acceptance::program("raw_call")).env("AAC_DIR", case.folder.path());
        assert!(bash.current_dir(case.folder.path()).status().unwrap().success());
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

    // A link to a file stays one. The file is made first, then replaced.
    symlink("file", case.path("to_file")).unwrap();
    for _ in 0..2 {
        assert_written(&case, &case.path("to_file"));
        assert!(case.path("to_file").symlink_metadata().unwrap().is_symlink());
        assert!(case.path("file").is_file());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_download_that_a_signal_cuts_off_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    for (signal, number, old) in
        [("INT", 2, None), ("TERM", 15, Some("old")), ("HUP", 1, None), ("KILL", 9, Some("old"))]
    {
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
        let mut child = command.args([PACKAGE, "-o"]).arg(&file).spawn().unwrap();
        wait_for_call(&case, 0);
        acceptance::kill(signal, child.id());
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        assert_eq!(case.names(), names, "{signal}");
        assert_eq!(fs::read_to_string(&file).ok().as_deref(), old, "{signal}");
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
    let case = fresh();
    let start = || {
        let mut command = without_unnamed_files(&case, downloads.path())?;
        command.args([PACKAGE, "-o"]).arg(&file);
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
        Run::of(start().unwrap().stdout(Stdio::null())).assert_ends(0, "", "");
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
    let case = fresh();
    let file = case.path(&"n".repeat(255));
    for _ in 0..2 {
        assert_written(&case, &file);
    }
    output_to(&case, &case.path(&"n".repeat(256))).assert_says(1, &["nnn: "]);
}

#[test]
#[cfg(unix)]
fn a_file_that_may_be_written_in_a_folder_that_may_not_is_written_in_place() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let case = fresh();
    let folder = case.path("closed");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("person.json");
    fs::write(&file, "x".repeat(100_000)).unwrap();
    let is_root = chown(&file, Some(65534), Some(65534)).is_ok();
    let call = |path: &str, file: &Path| {
        let mut command = case.program("raw_call");
        command.args([path, "--retry", "0", "-o"]).arg(file);
        if is_root {
            // Root may write anywhere, so this is done as nobody.
            command.uid(65534).gid(65534);
        }
        Run::of(&mut command)
    };
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    if is_root {
        for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
            mode(&case.path(name), 0o644);
        }
        mode(case.folder.path(), 0o755);
    }
    mode(&file, 0o640);
    mode(&folder, 0o555);
    // An error comes before the first byte, and leaves it as it was.
    call("/nowhere", &file).assert_says(4, &[]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_000);
    let run = call(PERSON, &file);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("cannot be replaced"));
    assert!(fs::read_to_string(&file).unwrap().starts_with("{\"lastLoginTime\""));
    assert!(fs::metadata(&file).unwrap().len() < 10_000);
    call(PERSON, &folder.join("new")).assert_says(1, &[]);
    mode(&folder, 0o755);
    assert_eq!(acceptance::names(&folder), ["person.json"]);

    // What is replaced keeps its permissions.
    let case = fresh();
    let file = case.path("person.json");
    fs::write(&file, "").unwrap();
    for kept in [0o600, 0o644, 0o751] {
        mode(&file, kept);
        assert_written(&case, &file);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, kept);
    }
}

#[test]
fn credentials_are_not_overwritten_by_any_of_their_names() {
    let case = fresh();
    let creds = fs::read(case.creds()).unwrap();
    let words = ["is part of your credentials and is not overwritten"];
    let refused = |path: &str| {
        let path = case.path(path);
        let before = fs::read(&path).ok();
        output_to(&case, &path).assert_says(2, &words);
        assert_eq!(fs::read(&path).ok(), before);
    };
    fs::create_dir(case.path("sub")).unwrap();
    fs::hard_link(case.creds(), case.path("sub/other")).unwrap();
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
        "sub/../creds.json",
        "sub/../creds.json.new",
        "sub/other",
    ] {
        refused(name);
    }
    let mut list = case.program("list_users");
    Run::of(list.arg("-o").arg(case.creds())).assert_says(2, &words);
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        for (to, link, name) in [
            ("creds.json", "link", "link"),
            ("creds.json.rotation", "dangling", "dangling"),
            (".", "alias", "alias/creds.json.spent"),
        ] {
            symlink(to, case.path(link)).unwrap();
            refused(name);
        }
        // creds.json itself can be a link, and what is beside it is then where it leads.
        fs::rename(case.creds(), case.path("sub/tokens.json")).unwrap();
        symlink("sub/tokens.json", case.creds()).unwrap();
        refused("sub/tokens.json");
        refused("sub/tokens.json.rotation");
        fs::remove_file(case.creds()).unwrap();
        fs::rename(case.path("sub/tokens.json"), case.creds()).unwrap();
    }
    assert_eq!(fs::read(case.creds()).unwrap(), creds);
    assert_eq!(case.sandbox.counters().connections, 0);
    // A name that only looks alike, and the same name elsewhere, are nobody's.
    for path in [case.path("creds.jsonl"), case.path("sub/creds.json")] {
        assert_written(&case, &path);
    }
}

#[test]
fn the_credentials_of_another_folder_are_not_overwritten_either() {
    let case = fresh();
    let other = case.path("other");
    fs::create_dir(&other).unwrap();
    fs::copy(case.creds(), other.join("creds.json")).unwrap();
    fs::write(other.join("creds.json.spent"), "old").unwrap();
    let refused = |name: &str| {
        let before = fs::read(other.join(name)).ok();
        // As with `cargo sandbox`: AAC_DIR leads away from the folder in which the program runs.
        let mut program = case.program("raw_call");
        Run::of(program.current_dir(&other).args([PERSON, "-o", name]))
            .assert_says(2, &["is part of your credentials"]);
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
    Run::from(child).assert_ends(0, "", "");
}

#[test]
fn a_folder_is_said_to_be_one() {
    let case = fresh();
    for path in [case.folder.path().to_owned(), case.path("none/"), ".".into()] {
        let words = format!("raw_call: {}: is a folder: name a file in it\n", path.display());
        output_to(&case, &path).assert_ends(1, "", &words);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}
