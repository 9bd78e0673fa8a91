//! The program as people run it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aac-sandbox");

fn run(arguments: &[&str]) -> Output {
    acceptance::clean(PROGRAM)
        .args(arguments)
        .env("CARGO", env!("CARGO"))
        .output()
        .expect("started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it as cargo does, which names itself and the manifest of the sandbox to what it runs.
fn run_by_cargo(cargo: &str, arguments: &[&str]) -> Output {
    let mut command = acceptance::clean(PROGRAM);
    command.args(arguments).env("CARGO", cargo);
    command.env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).output().expect("started")
}

#[test]
fn the_exit_status_is_that_of_the_command_or_a_shells() {
    for (arguments, code, words) in [
        (&[PROGRAM, "--version"][..], 0, ""),
        (&[PROGRAM, "--no-such-option"], 2, "--no-such-option"),
        (&["no-such-command"], 127, "aac-sandbox: command not found: no-such-command\n"),
        (&["--no-such-option"], 2, "--no-such-option"),
        (&["--fault"], 2, "--fault"),
        (&["--fault", "token:501"], 2, "unknown KIND\n\n\"token:501\" is not a valid fault."),
        (&["--fault", "api:no-refresh-token"], 2, "only the token endpoint has this kind"),
        (&["--fault", "vault-write:late=2"], 2, "--fault vault-write:late=2 needs --vault"),
        (
            &["--fault", "api:500xall", "--fault", "run:fail"],
            2,
            "--fault run:fail never happens, because api:500xall always does",
        ),
        (&["--token-lifetime", "0"], 2, "a number of seconds from 1 to 86400, such as 300"),
        (&["--port", "65536"], 2, "for '--port <PORT>': a number up to 65535, such as 8080"),
        (&["--users", "abc"], 2, "for '--users <N>': a number of people, such as 300"),
        (&["--grace", "1m"], 2, "a number of seconds up to 86400, such as 60"),
        (&["--run-time", ""], 2, "a number of seconds up to 86400, such as 60"),
        (&["--latency", "0.5"], 2, "a number of milliseconds up to 3600000, such as 500"),
        (&["--package-size", "1k"], 2, "a number of bytes up to 1073741824, such as 1000000"),
        (&["--list-faults", PROGRAM], 2, "--list-faults"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert!(stderr.lines().skip(1).all(|line| line.chars().count() <= 80), "{stderr}");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let output = run(&["--port", &port.to_string(), PROGRAM, "--version"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Choose another with --port"), "{output:?}");
}

/// What a terminal of 80 columns and 25 lines shows, with a prompt below.
#[test]
fn help_fits_on_a_screen_and_its_example_works() {
    let help = text(&run(&["--help"]).stdout);
    assert_eq!(help, text(&run(&["-h"]).stdout));
    assert!(help.lines().count() < 25, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    assert!(help.contains("Usage: cargo sandbox [OPTIONS]"), "{help}");
    assert!(help.contains("Each start is a new cloud"), "{help}");
    let arguments = |help: &str, begin: &str| {
        let example = help.lines().find_map(|line| line.strip_prefix(begin)).expect("an example");
        example.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let example = arguments(&help, "Example: cargo sandbox ");
    let example: Vec<_> = example.iter().map(String::as_str).collect();
    let output = run_by_cargo(env!("CARGO"), &example);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("\"id\": 31429"), "{output:?}");
    assert_eq!(text(&output.stderr).matches("[fault 503=1]").count(), 2, "{output:?}");

    let installed =
        acceptance::clean(PROGRAM).arg("--help").env_remove("CARGO").output().expect("it starts");
    let help = text(&installed.stdout);
    assert!(help.contains("Usage: aac-sandbox [OPTIONS]"), "{help}");
    if acceptance::have("bash") {
        let mut command = acceptance::clean(PROGRAM);
        command.args(arguments(&help, "Example: aac-sandbox ")).env_remove("CARGO");
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn eight_faults_are_listed_and_all_on_request() {
    for (arguments, count) in [
        (&["--list-faults"][..], 8),
        (&["--list-faults", "all"], aac_sandbox::FaultKind::all().len()),
    ] {
        let list = text(&run(arguments).stdout);
        let is_listed = |kind: &aac_sandbox::FaultKind| {
            let line = format!("  {:<18}{}", kind.name(), kind.description());
            list.lines().any(|listed| listed == line)
        };
        let kinds = aac_sandbox::FaultKind::all();
        assert_eq!(kinds.iter().filter(|kind| is_listed(kind)).count(), count, "{list}");
        assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");
        assert_eq!(list.contains("--list-faults all"), count == 8, "{list}");
        for example in list.lines().filter_map(|line| line.trim().strip_prefix("--fault ")) {
            let fault = example.split(' ').next().expect("a fault");
            assert!(
                fault.starts_with("TARGET") || fault.parse::<aac_sandbox::Fault>().is_ok(),
                "{example}"
            );
        }
    }
}

#[test]
fn a_given_folder_is_created_and_kept_and_one_of_the_real_cloud_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let given = dir.path().join("a").join("b");
    let given_text = given.to_str().expect("UTF-8");
    let command = ["--dir", given_text, PROGRAM, "--version"];
    assert_eq!(run(&command).status.code(), Some(0));
    assert!(given.join("creds.json").is_file());
    assert_eq!(run(&command).status.code(), Some(0), "its own files are replaced");

    let file = given.join("creds.json");
    let output = run(&["--dir", file.to_str().expect("UTF-8"), PROGRAM, "--version"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--dir: cannot create"), "{output:?}");

    let url = "https://api.us1.alteryxcloud.com\n";
    std::fs::write(given.join("aac_url.txt"), url).expect("written");
    let output = run(&command);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).contains("Choose another folder with --dir"), "{output:?}");
    assert_eq!(std::fs::read_to_string(given.join("aac_url.txt")).expect("read"), url);
}

/// With the real cloud's, or another vault's, in each variable that outranks the folder or mixes with it.
#[test]
fn no_variable_leads_a_command_elsewhere() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let wrong = [
        ("AAC_DIR", elsewhere.path().to_str().expect("UTF-8")),
        ("AAC_VAULT", "secret/data/other"),
        ("AAC_URL", "https://api.us1.alteryxcloud.com"),
        ("AAC_ACCESS_TOKEN", "other"),
        ("VAULT_ADDR", "https://vault.invalid"),
        ("VAULT_TOKEN", "other"),
        ("VAULT_NAMESPACE", "other"),
        ("VAULT_CACERT", "/nowhere/ca.pem"),
        ("VAULT_SKIP_VERIFY", "1"),
        ("VAULT_CLIENT_CERT", "/nowhere/cert.pem"),
        ("BAO_ADDR", "https://vault.invalid"),
        ("BAO_TOKEN", "other"),
        ("BAO_NAMESPACE", "other"),
        ("BAO_CACERT", "/nowhere/ca.pem"),
        ("BAO_SKIP_VERIFY", "1"),
    ];
    let get_workspace = acceptance::get_workspace().to_str().expect("UTF-8");
    for options in [&[][..], &["--vault"]] {
        let mut one_by_one: Vec<_> = wrong.iter().map(std::slice::from_ref).collect();
        one_by_one.push(&wrong);
        for set in one_by_one {
            let mut command = acceptance::clean(PROGRAM);
            command.args(options).arg(get_workspace).envs(set.iter().copied());
            let output = command.output().expect("started");
            assert_eq!(output.status.code(), Some(0), "{options:?} {set:?}: {output:?}");
            assert!(text(&output.stdout).contains("31429"), "{options:?} {set:?}: {output:?}");
            assert!(text(&output.stderr).contains("rotated"), "{options:?} {set:?}: {output:?}");
        }
    }
}

/// With a shell and with signals.
#[cfg(unix)]
mod unix {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Child, ChildStdout, ExitStatus, Stdio};

    use super::{PROGRAM, run_by_cargo, text};

    #[test]
    fn with_a_vault_the_tokens_are_there() {
        let script = r#"
            tr -d ' \n' < "$AAC_DIR/creds.json"; echo
            ls -l "$AAC_DIR/creds.json" | cut -c 1-10
            echo "${BAO_ADDR-none} ${VAULT_NAMESPACE-none}"
        "#;
        let mut command = acceptance::clean(PROGRAM);
        command.args(["--vault", "sh", "-c", script]);
        command.envs([("BAO_ADDR", "other"), ("VAULT_NAMESPACE", "other")]);
        let output = command.output().expect("started");
        let expected = "{\"vault\":\"secret/data/aac\"}\n-rw-------\nnone none\n";
        assert_eq!(text(&output.stdout), expected, "{output:?}");
    }

    /// A sandbox in a process group of its own, as a shell starts it.
    struct Running {
        child: Child,
        stdout: BufReader<ChildStdout>,
    }

    impl Running {
        fn start(arguments: &[&str]) -> Self {
            let mut child = acceptance::clean(PROGRAM)
                .args(arguments)
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("started");
            let stdout = BufReader::new(child.stdout.take().expect("piped"));
            Self { child, stdout }
        }

        /// The next line of stdout, which shows that what precedes it has happened.
        fn line(&mut self) -> String {
            let mut line = String::new();
            self.stdout.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        }

        /// Signals the sandbox alone.
        fn signal(&self, name: &str) {
            kill(name, &self.child.id().to_string());
        }

        /// Signals everyone in the group, as a terminal does.
        fn signal_all(&self, name: &str) {
            kill(name, &format!("-{}", self.child.id()));
        }

        /// How it ended, and its stderr. The pipe to its stdin stays open, so that only the signal
        /// can end the command.
        fn end(mut self) -> (ExitStatus, String) {
            let stdin = self.child.stdin.take();
            let mut stderr = String::new();
            let mut pipe = self.child.stderr.take().expect("piped");
            pipe.read_to_string(&mut stderr).expect("text");
            let status = self.child.wait().expect("waited");
            drop(stdin);
            (status, stderr)
        }
    }

    fn kill(signal: &str, whom: &str) {
        let status = acceptance::clean("kill").args(["-s", signal, "--", whom]).status();
        assert!(status.expect("kill runs").success());
    }

    #[test]
    fn the_command_finds_the_files_and_not_what_cargo_set() {
        let script = r#"
            set -e
            cd "$AAC_DIR"; cmp client_id.txt api_project_id.txt; test -f aac_url.txt
            ls -ld "$AAC_DIR" | cut -c 1-10
            ls -l "$AAC_DIR/creds.json" | cut -c 1-10
            echo "${CARGO_PKG_NAME-unset} ${CARGO_MANIFEST_DIR-unset} ${CARGO_HOME-unset}"
            echo "$AAC_DIR"
            exit 7"#;
        let output = acceptance::clean(PROGRAM)
            .args(["sh", "-c", script, "--", "--help"])
            .env("CARGO_PKG_NAME", "set")
            .env("CARGO_MANIFEST_DIR", "set")
            .env("CARGO_HOME", "kept")
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let stdout = text(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines[..3], ["drwx------", "-rw-------", "unset unset kept"]);
        assert!(!Path::new(lines[3]).exists(), "the folder is gone");
    }

    #[test]
    fn a_program_of_the_workspace_is_run_by_cargo() {
        let output = run_by_cargo("echo", &["list_users", "--columns", "name"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates");
        let manifest = crates.join("list_users").join("Cargo.toml");
        let expected = format!("run --manifest-path {} -- --columns name\n", manifest.display());
        assert_eq!(text(&output.stdout), expected);
    }

    #[test]
    fn other_names_are_not_looked_for_in_the_workspace() {
        for name in ["no-such-program", "aac-auth", "./list_users", "../aac-auth/list_users"] {
            let output = run_by_cargo("echo", &[name]);
            assert_eq!(output.status.code(), Some(127), "{name}: {output:?}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        let output = run_by_cargo("echo", &[file.path().to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(126), "no program: {output:?}");
        let mut without_cargo = acceptance::clean(PROGRAM);
        let output = without_cargo.arg("list_users").env_remove("CARGO").output();
        assert_eq!(output.expect("started").status.code(), Some(127), "without cargo");
    }

    #[test]
    fn ctrl_c_is_the_commands_to_answer() {
        // The process to be interrupted prints the line. If its parent did, the signal could arrive
        // before the child is cat, and be lost.
        let script = r#"
            trap 'test -f "$AAC_DIR/creds.json" && exit 5' INT
            (echo "$AAC_DIR"; exec cat)"#;
        let mut running = Running::start(&["sh", "-c", script]);
        let dir = PathBuf::from(running.line());
        running.signal_all("INT");
        let (status, stderr) = running.end();
        assert_eq!(status.code(), Some(5), "{stderr}");
        assert!(!dir.exists());
    }

    #[test]
    fn a_command_that_a_signal_ends() {
        for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let mut running = Running::start(&["sh", "-c", r#"echo "$AAC_DIR"; exec cat"#]);
            let dir = PathBuf::from(running.line());
            match signal {
                "INT" => running.signal_all(signal),
                _ => running.signal(signal),
            }
            let (status, stderr) = running.end();
            assert_eq!(status.code(), Some(code), "{signal}: {stderr}");
            assert!(!dir.exists(), "{signal}");
        }
    }

    #[test]
    fn without_a_command_it_serves_until_it_is_told_to_end_and_logs_each_request() {
        for signal in ["INT", "TERM"] {
            let mut running = Running::start(&["--token-lifetime", "60"]);
            let dir = PathBuf::from(running.line());
            let program = |name, arguments: &[&str]| {
                let mut command = acceptance::clean(acceptance::program(name));
                command.args(arguments).args(["--dir".as_ref(), dir.as_os_str()]);
                command.output().expect("started")
            };
            let token = text(&program("access_token", &[]).stdout).trim_end().to_owned();
            assert!(token.len() > 500, "{token}");
            let long = "x".repeat(300);
            for (method, path) in [
                ("GET", format!("/nowhere?{long}").as_str()),
                ("DELETE", "/plans/v1/plans"),
                ("GET", "/plans/v1/plans/current"),
                ("GET", "/plans/v1/plans/7/permissions"),
                ("PUT", "/scheduling/v1/schedules/7"),
                ("PATCH", "/iam/v1/workspaces/31429/people/batch"),
            ] {
                let output = program("raw_call", &[path, "-X", method]);
                assert_eq!(output.status.code(), Some(4), "{method} {path}: {output:?}");
            }

            running.signal(signal);
            let (status, stderr) = running.end();
            assert_eq!(status.code(), Some(0), "{signal}: {stderr}");
            for line in [
                &format!("export AAC_DIR='{}'", dir.display()),
                "POST /as/token → 200 rotated: refresh token #1 → #2 (access token lives 60 s)\n",
                &format!(
                    "GET /nowhere?{}… → 404 the platform is not known to have this; the sandbox has /as/token, /",
                    &long[..191]
                ),
                ", /iam/v1/people/{id}, /plans/v1/plans, ",
                "DELETE /plans/v1/plans → 404 this path accepts GET, POST\n",
                "GET /plans/v1/plans/current → 404 the ID in this path is a number\n",
                "GET /plans/v1/plans/7/permissions → 404 the platform has this (documented), the sandbox does not\n",
                "PUT /scheduling/v1/schedules/7 → 404 the platform has this (documented), the",
                "people/batch → 404 the platform has this (believed), the sandbox does not\n",
            ] {
                assert!(stderr.contains(line), "{line}: {stderr}");
            }
            assert!(!stderr.contains(&token));
            assert!(!dir.exists(), "{signal}");
        }
    }
}
