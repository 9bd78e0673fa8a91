//! Bad and odd files: each is refused in words that help, before anything is sent, and loses nothing.

use crate::{NONE, fresh};
use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Fault, FaultKind, Options, Sandbox, Tokens};
use acceptance::{Case, PLACEHOLDERS, Run, Running, command, creds_with, names};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

const FILES: [&str; 3] = ["aac_url.txt", "client_id.txt", "creds.json"];
const TOKEN_PAGE: &str = "/cloud-portal/preferences/oauth2-api-tokens";
const PROJECT_PAGE: &str = "/cloud-portal/library/alteryx-io";
const SANDBOX: &str = "in the project's folder: cargo sandbox cargo run -p get_workspace";

/// What may end up in one of the files by mistake, and is somebody's secret; and what it is called in
/// client_id.txt, if that is known.
const SECRETS: [(&str, &str); 14] = [
    ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "a token (a JWT)"),
    ("hvs.thisIsNoTokenOfAVault0123", "a token of a vault"),
    ("hvb.thisIsNoTokenOfAVault0123", "a token of a vault"),
    ("s.thisIsNoTokenOfAVault0123", "a token of a vault"),
    ("ghp_thisIsNoTokenOfGitHub0123", "a token of GitHub"),
    ("sk-thisIsNoSecretKey0123", "a secret key (sk-)"),
    ("AKIAIOSFODNN7EXAMPLE", "an access key of AWS"),
    (
        "-----BEGIN CERTIFICATE-----\ndGhpcyBpcyBubyBjZXJ0aWZpY2F0ZQ\n-----END CERTIFICATE-----",
        "a key or a certificate (PEM)",
    ),
    ("https://hooks.example.com/services/T0ZXCVBNM/B0ASDFGHJ/q1w2e3r4t5y6u7i8o9p0", ""),
    ("https://q1w2e3r4t5y6u7i8o9p0asdfgh", ""),
    ("https://q1w2e3r4t5y6u7i8o9p0.alteryxcloud.com", ""),
    ("https://ada:q1w2e3r4t5y6u7i8o9p0@api.us1.alteryxcloud.com", ""),
    ("https://api.us1.alteryxcloud.com/?token=q1w2e3r4t5y6u7i8o9p0", ""),
    ("q1w2e3r4t5y6.u7i8o9p0asdfgh.zxcvbnmqwerty", ""),
];

/// What get_workspace says of the folder. It is called here without a process of its own.
fn said(case: &Case) -> Run {
    let options = ConnectionOptions::default().dir(case.folder.path());
    let called = Client::open(&options, "get_workspace/0.1.0")
        .and_then(|client| client.get("/iam/v1/workspaces/current"));
    let error = called.expect_err("it is refused");
    let lines = [format!("get_workspace: {error}\n")].into_iter();
    let help = error.help();
    let lines = lines.chain(help.lines().map(|line| format!("  {line}\n")));
    Run { code: Some(error.exit_code().into()), stdout: String::new(), stderr: lines.collect() }
}

/// Puts content into one file of a good folder, and expects it to be refused.
#[track_caller]
fn refused(case: &Case, file: &str, content: &[u8], words: &[&str]) {
    let good = fs::read(case.path(file)).ok();
    fs::write(case.path(file), content).unwrap();
    let before = fs::read(case.creds()).unwrap();
    let names = case.names();
    let run = said(case);
    run.assert_fails(1, words);
    assert!(run.stderr.lines().next().unwrap().contains(file), "the file is named: {}", run.stderr);
    assert!(run.stderr.lines().count() > 1, "there is help: {}", run.stderr);
    run.assert_hides(&[&case.tokens.access_token, &case.tokens.refresh_token]);
    if let Some((secret, _)) = SECRETS.into_iter().find(|(secret, _)| content == secret.as_bytes())
    {
        // The address around it is no secret.
        let is_address = secret.contains("alteryxcloud.com");
        run.assert_hides(&[if is_address { "q1w2e3r4t5y6u7i8o9p0" } else { secret }]);
    }
    assert_eq!(fs::read(case.creds()).unwrap(), before, "creds.json is untouched");
    assert_eq!(case.names(), names, "nothing is left behind");
    assert_eq!(case.sandbox.counters().connections, 0, "nothing was sent");
    match good {
        Some(good) => fs::write(case.path(file), good).unwrap(),
        None => fs::remove_file(case.path(file)).unwrap(),
    }
}

/// Checks that a terminal would only show what was said, and that no name begins a line of its own.
#[cfg(unix)]
#[track_caller]
fn assert_shown(said: &str, name: &str) {
    assert!(said.contains(r"a\u{1b}[31m\nget_workspace: all is well"), "{said}");
    for line in said.lines() {
        assert!(!line.contains(char::is_control), "{said:?}");
        assert!(!line.starts_with("get_workspace: all is well"), "{said:?}");
        let is_ours = [name, ": ", "  "].iter().any(|start| line.starts_with(start));
        assert!(is_ours, "{said:?}");
    }
}

#[test]
#[cfg(unix)]
fn names_that_a_terminal_would_act_on_are_shown_escaped() {
    let name = "a\u{1b}[31m\nget_workspace: all is well";
    let case = Case::interrupted(Options::default());
    let folder = case.path(name);
    let run = |program: &str, args: &[&str]| {
        let mut command = case.program(program);
        // Where a secret in a vault is named.
        command.envs([("VAULT_ADDR", "http://127.0.0.1:9"), ("VAULT_TOKEN", "token")]);
        Run::of(command.env("AAC_DIR", &folder).args(args))
    };
    let fails = |words: &[&str]| {
        let run = run("get_workspace", &[]);
        run.assert_fails(1, words);
        assert_shown(&run.stderr, "get_workspace: ");
    };
    fails(&[": no such folder", "--dir or AAC_DIR"]);
    fs::write(&folder, "").unwrap();
    fails(&[": it is a file, not a folder", "Name its folder instead: --dir "]);
    fs::remove_file(&folder).unwrap();

    fs::create_dir(&folder).unwrap();
    for file in FILES.iter().chain(&["creds.json.rotation"]) {
        fs::rename(case.path(file), folder.join(file)).unwrap();
    }
    let status = run("token_status", &[]);
    assert_eq!((status.code, status.stderr.as_str()), (Some(0), ""));
    assert_eq!(status.stdout.lines().count(), 11, "{}", status.stdout);
    assert_shown(&status.stdout, "");
    let json: Value = serde_json::from_str(&run("token_status", &["--json"]).stdout).unwrap();
    assert_eq!(json["place"]["name"], json!(folder.join("creds.json")), "a program gets the name");
    let steps = run("get_workspace", &["-v"]);
    steps.assert_ok();
    assert_shown(&steps.stderr, "get_workspace: ");
    fs::write(folder.join("creds.json"), "{").unwrap();
    fails(&["creds.json: not JSON"]);
    let pointer = json!({ "vault": format!("secret/data/{name}") });
    fs::write(folder.join("creds.json"), pointer.to_string()).unwrap();
    fails(&["not the path of a secret's data"]);
}

#[test]
fn the_bare_checkout_shows_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in PLACEHOLDERS {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let below = folder.path().join("crates").join("some_program");
    fs::create_dir_all(&below).unwrap();
    let region = "https://us1.alteryxcloud.com";
    let pages = [TOKEN_PAGE, PROJECT_PAGE].map(|page| format!("{region}{page}"));
    let words = ["client_id.txt", "creds.json", &pages[0], &pages[1], SANDBOX];
    Run::of(command().current_dir(&below)).assert_fails(1, &words);
    assert_eq!(names(folder.path()), ["aac_url.txt", "client_id.txt", "crates", "creds.json"]);
}

#[test]
fn a_folder_is_found_or_asked_for() {
    let case = fresh();
    let empty = tempfile::tempdir().unwrap();
    let run = Run::of(command().current_dir(&empty).env(CONFIG, empty.path()));
    run.assert_fails(1, &["no creds.json in", "--dir or AAC_DIR", SANDBOX]);
    // Into the user's own folder: nothing leads to this one.
    assert!(run.stderr.ends_with("run: cargo run -p login\n"), "{}", run.stderr);
    Run::of(command().args(["--dir", "/no/such/folder"]))
        .assert_fails(1, &["/no/such/folder: no such folder"]);
    Run::of(command().env("AAC_DIR", case.creds()))
        .assert_fails(1, &["creds.json: it is a file", &case.folder.path().display().to_string()]);
    Run::of(command().current_dir(case.folder.path()).args(["--dir", "creds.json"]))
        .assert_fails(1, &["creds.json: it is a file", "--dir \".\"\n"]);
    // What a shell or an editor has left in the name.
    for (name, words) in [
        ("~/aac", "The ~ was not replaced"),
        ("$HOME/aac", "a variable in it that no shell has replaced"),
        ("%USERPROFILE%\\aac", "a variable in it that no shell has replaced"),
        ("'/srv/aac'", "without them"),
        ("/srv/aac\r", "dos2unix"),
        ("/srv/aac\r\n", "dos2unix"),
        // As Windows puts one before a path that is copied from a dialog.
        ("\u{202A}/srv/aac", "character 1 is a control character (U+202A). Write the name again."),
        ("/srv/aac ", "begins or ends with a blank"),
        ("/srv/aac\n", "begins or ends with a blank or a line break"),
        ("/srv/a\u{200b}ac", "character 7 is a zero-width space (U+200B)"),
    ] {
        for run in [
            Run::of(command().env("AAC_DIR", name)),
            Run::of(command().args([&format!("--dir={name}")])),
        ] {
            run.assert_fails(1, &["no such folder\n", words]);
        }
    }
    // As cmd passes on `set AAC_DIR="C:\x"`.
    let quoted = format!("\"{}\"", case.folder.path().display());
    Run::of(command().env("AAC_DIR", quoted))
        .assert_fails(1, &["no such folder", "set AAC_DIR=C:\\folder), write it without them"]);
    let below = case.path("a").join("b");
    fs::create_dir_all(&below).unwrap();
    Run::of(command().current_dir(&below)).assert_ok();
    Run::of(command().current_dir(&below).env("AAC_DIR", "")).assert_ok();
    // The flag counts before the variable.
    Run::of(command().env("AAC_DIR", empty.path()).arg("--dir").arg(case.folder.path()))
        .assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 0);
}

/// The variable that leads to the user's own folder.
const CONFIG: &str = if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_CONFIG_HOME" };

#[test]
fn placeholders_are_passed_over_for_the_user_s_own_folder() {
    let case = Case::expired(Options::default());
    let (tree, config) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = config.path().join("aac");
    acceptance::copy(case.folder.path(), &own);
    for (name, text) in PLACEHOLDERS {
        fs::write(tree.path().join(name), text).unwrap();
    }
    let program = |name: &str| {
        let mut program = acceptance::clean(acceptance::program(name));
        program.env(CONFIG, config.path()).current_dir(&tree);
        program
    };
    let run = Run::of(&mut program("get_workspace"));
    run.assert_ok();
    assert_eq!(run.stderr, "", "a script's log is not for this");
    assert!(own.join("creds.json.spent").is_file(), "it was refreshed there");
    assert_eq!(names(tree.path()), FILES);
    let tree = tree.path().canonicalize().unwrap();
    let passed = "your own folder; passed over: ";
    let place = own.join("creds.json").display().to_string();
    let steps = Run::of(program("get_workspace").arg("-v")).stderr;
    assert!(steps.contains(&format!("the tokens are in {place}, chosen as {passed}")), "{steps}");
    let status = Run::of(program("token_status").arg("--json")).stdout;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert!(status["place"]["chosen_as"].as_str().unwrap().starts_with(passed), "{status}");
    #[cfg(target_os = "linux")]
    {
        let shown = acceptance::on_terminal(&mut program("get_workspace"), 80);
        assert_eq!(shown.matches(passed).count(), 1, "{shown}");
        assert!(shown.contains(&*tree.to_string_lossy()), "{shown}");
        // The three files come from one folder: once one is filled in, it is this one.
        fs::write(tree.join("client_id.txt"), "project-1").unwrap();
        let run = Run::of(&mut program("get_workspace"));
        run.assert_fails(1, &["creds.json: \"access_token\" and \"refresh_token\" are still"]);
    }
}

#[test]
fn an_access_token_in_the_environment_is_used_as_it_is() {
    let case = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    let token = &case.tokens.access_token;
    let id = fs::read_to_string(case.path("client_id.txt")).unwrap();
    let run = |token: &str, name: &str, args: &[&str]| {
        let mut program = acceptance::clean(acceptance::program(name));
        program.env("AAC_URL", case.sandbox.url()).env("AAC_CLIENT_ID", &id);
        program.env("AAC_ACCESS_TOKEN", format!(" {token}\n")).current_dir(&elsewhere);
        let run = Run::of(program.env(CONFIG, elsewhere.path()).args(args));
        if name != "access_token" {
            run.assert_hides(&[token]);
        }
        run
    };
    let program = |name: &str, args: &[&str]| run(token, name, args);
    program("get_workspace", &["-v"]).assert_ok();
    program("access_token", &["--min-life", "60"]).assert_ends(0, &format!("{token}\n"), "");
    let status = program("token_status", &["--fail-within", "1"]);
    assert_eq!(status.code, Some(10), "{}", status.stderr);
    for line in
        ["place                AAC_ACCESS_TOKEN (variable)\n", "a variable of the environment\n"]
    {
        assert!(status.stdout.contains(line), "{}", status.stdout);
    }
    case.sandbox.revoke_access_tokens();
    let words = ["HTTP 401", "AAC_ACCESS_TOKEN is used as it is, and never refreshed"];
    program("get_workspace", &[]).assert_fails(4, &words);
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.unauthorized), (0, 1));
    assert_eq!(names(elsewhere.path()), [""; 0]);
    // None of these needs the server.
    let expired = &case.sandbox.issue_expired().access_token;
    run(expired, "access_token", &["--min-life", "60"])
        .assert_says(4, &["AAC_ACCESS_TOKEN does not live that long", words[1]]);
    let status = run(expired, "token_status", &[]);
    assert_eq!((status.code, &status.stdout[..30]), (Some(4), "state                expired\np"));
    assert!(status.stderr.contains("AAC_ACCESS_TOKEN has expired"), "{}", status.stderr);
    let mut opaque = acceptance::clean(acceptance::program("token_status"));
    opaque.env("AAC_URL", "https://api.us1.alteryxcloud.com").env("AAC_CLIENT_ID", &id);
    let status = Run::of(opaque.env("AAC_ACCESS_TOKEN", "opaque").args(["--fail-within", "1"]));
    assert_eq!(status.code, Some(1), "{}", status.stderr);
    assert!(status.stderr.contains("AAC_ACCESS_TOKEN does not say when"), "{}", status.stderr);
}

#[test]
fn a_secret_that_a_variable_names_has_its_journal_in_a_folder_of_its_own() {
    let case = crate::in_vault(Options::default(), Sandbox::issue_expired);
    let config = tempfile::tempdir().unwrap();
    let own = config.path().join("aac");
    // Another pair, which is not to be touched.
    let other = fresh();
    acceptance::copy(other.folder.path(), &own);
    let before = names(&own);
    let vault = case.sandbox.vault();
    let id = fs::read_to_string(case.path("client_id.txt")).unwrap();
    let program = |name: &str| {
        let mut program = acceptance::clean(acceptance::program(name));
        program.env("AAC_URL", case.sandbox.url()).env("AAC_CLIENT_ID", &id);
        program.env("AAC_VAULT", vault.path()).env(CONFIG, config.path());
        program
    };
    // Without a way to the vault.
    let words = ["AAC_VAULT: it names the secret secret/data/aac in a vault", "VAULT_ADDR is not"];
    Run::of(&mut program("get_workspace")).assert_fails(1, &words);
    let program = |name: &str| {
        let mut program = program(name);
        program.envs(vault.environment());
        program
    };
    let words = ["the path lacks data/", "creds.json (or AAC_VAULT)"];
    Run::of(program("get_workspace").env("AAC_VAULT", "secret/aac")).assert_fails(1, &words);
    let status = Run::of(&mut program("token_status"));
    assert!(status.stdout.starts_with("state                not read"), "{}", status.stdout);
    assert!(status.stdout.contains("what AAC_VAULT names\n"), "{}", status.stdout);
    assert_eq!(names(&own), before, "who only looks makes nothing");
    // A run that is killed while it saves the new pair.
    let token = case.sandbox.hold_token_responses();
    let mut run = Running::of(program("get_workspace").arg("-v"));
    assert!(token.wait_for_request(Duration::from_secs(20)));
    case.sandbox.add_fault(Fault::vault(FaultKind::Sealed).always());
    token.release();
    run.says("the vault is sealed or has no leader (HTTP 503); trying again");
    run.kill();
    case.sandbox.clear_faults();
    let made: Vec<_> = names(&own).into_iter().filter(|name| !before.contains(name)).collect();
    let [folder] = &made[..] else { panic!("{made:?}") };
    assert!(folder.starts_with("vault-"), "{folder}");
    let folder = own.join(folder);
    assert!(folder.join("creds.json.rotation").is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    Run::of(&mut program("get_workspace")).assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1, "the journal had the pair");
    assert_eq!(names(&folder), ["creds.json.lock", "creds.json.spent"]);
    assert_eq!(other.sandbox.counters().connections, 0);
    // Where nothing can be made, as for a file that names the secret.
    case.sandbox.revoke_access_tokens();
    let file = config.path().join("file");
    fs::write(&file, "").unwrap();
    let run = Run::of(program("get_workspace").arg("-v").env(CONFIG, &file));
    run.assert_ok();
    assert!(run.stderr.contains("without a journal"), "{}", run.stderr);
}

#[test]
#[cfg(unix)]
fn a_current_folder_that_was_removed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for args in ["", " --dir .", " --dir below"] {
        let script = format!("mkdir gone && cd gone && rmdir ../gone && exec \"$0\"{args}");
        let mut shell = acceptance::clean("sh");
        shell.args(["-c", &script]).arg(acceptance::get_workspace()).current_dir(&folder);
        Run::of(&mut shell)
            .assert_fails(1, &["the current folder was removed", "--dir or AAC_DIR"]);
    }
}

#[test]
#[cfg(unix)]
fn a_folder_that_may_not_be_entered_is_told() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    let programs = tempfile::tempdir().unwrap();
    acceptance::copy_program(programs.path());
    let case = fresh();
    let below = case.path("below");
    fs::create_dir(&below).unwrap();
    // Root may enter any folder, so this is done as nobody.
    let is_root = chown(&below, Some(65534), None).is_ok();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let run = |folder: &Path, script: &str| {
        let mut shell = acceptance::clean("sh");
        shell.args(["-c", script]).arg(programs.path().join("get_workspace")).current_dir(folder);
        // Only "not found" leads there.
        shell.env("XDG_CONFIG_HOME", programs.path());
        if is_root {
            shell.uid(65534).gid(65534);
        }
        Run::of(&mut shell)
    };
    acceptance::copy(case.folder.path(), &programs.path().join("aac"));
    mode(programs.path(), 0o755);
    mode(case.folder.path(), 0o755);
    mode(&below, 0o600);
    let words = ["below: permission denied", "permission to enter it"];
    let named = format!("exec \"$0\" --dir {}", below.display());
    run(programs.path(), &named).assert_fails(1, &words);
    mode(&below, 0o700);
    // Others may not even be told its name.
    if cfg!(target_os = "linux") {
        fs::rename(case.creds(), case.path("elsewhere")).unwrap();
        run(&below, "chmod 000 . && exec \"$0\"").assert_fails(1, &words);
    }
}

#[test]
fn a_file_whose_name_is_not_quite_right_is_to_be_renamed() {
    let case = fresh();
    for (file, names) in [
        ("aac_url.txt", "aac_url.txt.txt, AAC_URL.txt, aac-url.txt, aac_url"),
        (
            "client_id.txt",
            "client_id.txt.txt, Client_ID.txt, client id.TXT, API_Project_ID.txt.txt",
        ),
        ("creds.json", "creds.json.txt, Creds.json, creds.JSON.txt, creds.txt"),
    ] {
        for name in names.split(", ") {
            fs::rename(case.path(file), case.path(name)).unwrap();
            // Some systems take both names for one.
            if !case.path(file).exists() {
                let words = [
                    &format!("{file}: no such file"),
                    name,
                    "There is a file called ",
                    ". Rename it: ",
                ];
                said(&case).assert_fails(1, &words);
                if file == "creds.json" {
                    let run = Run::of(command().current_dir(case.folder.path()));
                    run.assert_fails(1, &["no creds.json in", name, "Rename it: "]);
                }
            }
            fs::rename(case.path(name), case.path(file)).unwrap();
        }
        // What is another file.
        let good = fs::read(case.path(file)).unwrap();
        fs::remove_file(case.path(file)).unwrap();
        fs::write(case.path("creds.json.bak"), &good).unwrap();
        fs::write(case.path("creds.json.old.txt"), &good).unwrap();
        fs::write(case.path("api_project_id.txt"), "Your api project id here").unwrap();
        fs::create_dir(case.path(&format!("{file}.txt"))).unwrap();
        let run = said(&case);
        run.assert_fails(1, &["no such file", "must be a text file"]);
        fs::remove_dir(case.path(&format!("{file}.txt"))).unwrap();
        fs::write(case.path(file), good).unwrap();
    }
    // The repository has placeholders under the right names.
    for (file, text) in &PLACEHOLDERS[1..] {
        let name = format!("{file}.txt");
        fs::rename(case.path(file), case.path(&name)).unwrap();
        fs::write(case.path(file), text).unwrap();
        said(&case)
            .assert_fails(1, &["placeholder", &format!("a file called {name}. Rename it: ")]);
        fs::rename(case.path(&name), case.path(file)).unwrap();
        // Where both names are of one file, there is no other.
        let good = fs::read(case.path(file)).unwrap();
        let name = file.to_uppercase();
        fs::remove_file(case.path(file)).unwrap();
        fs::write(case.path(&name), text).unwrap();
        if case.path(file).exists() {
            let run = said(&case);
            run.assert_fails(1, &["placeholder", "Put your own value in"]);
            assert!(!run.stderr.contains("Rename it"), "{}", run.stderr);
        }
        fs::remove_file(case.path(&name)).unwrap();
        fs::write(case.path(file), good).unwrap();
    }
    case.run(NONE).assert_ok();
}

#[test]
fn files_beside_creds_json_that_are_none_get_their_own_advice() {
    for name in ["creds.json.rotation", "creds.json.rotation.old"] {
        let case = Case::expired(Options::default());
        // Without it, what is set aside is needed.
        fs::remove_file(case.creds()).unwrap();
        fs::write(case.path(name), vec![0; 1024 * 1024 + 1]).unwrap();
        let run = case.run(NONE);
        run.assert_fails(1, &[&format!("{name}: larger than 1 MiB"), "Move it away: "]);
        assert!(!run.stderr.contains("Client ID"), "{}", run.stderr);
        fs::remove_file(case.path(name)).unwrap();
        fs::create_dir(case.path(name)).unwrap();
        case.run(NONE).assert_fails(1, &[&format!("{name}: it is not a file"), "Move it away: "]);
    }
}

#[test]
fn files_are_read_as_people_leave_them() {
    let case = fresh();
    let state = |name: &str| {
        let modified = fs::metadata(case.path(name)).unwrap().modified().unwrap();
        (fs::read(case.path(name)).unwrap(), modified)
    };
    let before = FILES.map(state);
    case.run(["-v"]).assert_ok();
    assert_eq!(FILES.map(state), before);
    assert_eq!(case.names(), FILES, "a run leaves a good folder as it is");
    for name in FILES {
        let good = fs::read_to_string(case.path(name)).unwrap();
        let lines = good.trim().replace('\n', "\r\n");
        let units = format!("\u{FEFF}{lines}");
        for content in [
            format!("\u{FEFF}{good}").into_bytes(),
            units.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            units.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            format!("\r\n  \t{lines}  \r\n\r\n").into_bytes(),
        ] {
            fs::write(case.path(name), content).unwrap();
            case.run(NONE).assert_ok();
        }
        fs::write(case.path(name), good).unwrap();
    }
    fs::write(case.path("aac_url.txt"), format!("{}/\n", case.sandbox.url())).unwrap();
    // Blanks around a token, pasted with it; fields that someone has added.
    let (access, refresh) = (&case.tokens.access_token, &case.tokens.refresh_token);
    let creds = json!({ "note": [1.10], "access_token": format!("\n {access}\t"), "refresh_token": format!(" {refresh} ") });
    fs::write(case.creds(), creds.to_string()).unwrap();
    case.run(NONE).assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 0);
}

#[test]
fn the_newer_name_of_client_id_txt_serves() {
    let case = fresh();
    let id = fs::read(case.path("client_id.txt")).unwrap();
    let newer = case.path("api_project_id.txt");
    for is_there in [true, false] {
        match is_there {
            true => fs::write(case.path("client_id.txt"), "Your client id here").unwrap(),
            false => fs::remove_file(case.path("client_id.txt")).unwrap(),
        }
        fs::write(&newer, &id).unwrap();
        case.run(NONE).assert_ok();
        fs::write(&newer, "Your api project id here").unwrap();
        said(&case).assert_fails(1, &["client_id.txt"]);
    }
    fs::remove_file(&newer).unwrap();
    said(&case).assert_fails(1, &["client_id.txt: no such file", "Client ID of your API project"]);
    fs::write(&newer, "two words").unwrap();
    said(&case).assert_fails(1, &["api_project_id.txt: spaces inside"]);
}

#[test]
fn files_that_are_none() {
    let case = fresh();
    for name in FILES {
        for empty in ["", " \r\n\t ", "\u{feff}"] {
            refused(&case, name, empty.as_bytes(), &[": empty"]);
        }
        refused(&case, name, b"\x7fELF\x02\x01\xff\0\0", &["not a text file"]);
        refused(&case, name, b"\xFF\xFEa", &["not a text file"]);
        refused(&case, name, &vec![b'x'; 1024 * 1024 + 1], &["larger than 1 MiB"]);
        let good = fs::read(case.path(name)).unwrap();
        fs::remove_file(case.path(name)).unwrap();
        let run = case.run(NONE);
        run.assert_fails(1, &[&format!("{name}: no such file"), "must be a text file"]);
        assert_eq!(run.stderr, said(&case).stderr, "the program says the same");
        fs::create_dir(case.path(name)).unwrap();
        let words = [&format!("{name}: not a file, but a folder"), "Docker", "remove the folder"];
        said(&case).assert_fails(1, &words);
        fs::remove_dir(case.path(name)).unwrap();
        fs::write(case.path(name), good).unwrap();
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    case.run(NONE).assert_ok();
}

#[test]
#[cfg(unix)]
fn files_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let case = fresh();
    for name in FILES {
        let mode =
            |mode| fs::set_permissions(case.path(name), PermissionsExt::from_mode(mode)).unwrap();
        mode(0o000);
        // Root may read anything; there a named pipe stands in for what cannot be read.
        if fs::read(case.path(name)).is_err() {
            let words = [name, "cannot be read", "Give yourself permission to read it."];
            said(&case).assert_fails(1, &words);
        } else {
            eprintln!("skipped: root reads {name} whatever its mode");
        }
        mode(0o600);
        let good = fs::read(case.path(name)).unwrap();
        fs::remove_file(case.path(name)).unwrap();
        assert!(acceptance::clean("mkfifo").arg(case.path(name)).status().unwrap().success());
        said(&case).assert_fails(1, &[name, "not a file"]);
        fs::remove_file(case.path(name)).unwrap();
        fs::write(case.path(name), good).unwrap();
    }
}

#[test]
fn aac_url_txt() {
    let case = fresh();
    let put = "Put https://api.us1.alteryxcloud.com in it";
    let api = "https://api.us1.alteryxcloud.com";
    for (what, cure, contents) in [
        ("web pages", put, "https://us1.alteryxcloud.com, https://www.us1.alteryxcloud.com"),
        (
            "web pages",
            "Put https://api.eu1.alteryxcloud.com in it",
            "https://eu1.alteryxcloud.com/cloud-portal/?x=1#y",
        ),
        (
            "one workspace",
            put,
            "https://my-ws.us1.alteryxcloud.com, https://api.my-ws.us1.alteryxcloud.com",
        ),
        (
            "one workspace",
            "Put https://api.au1.alteryxcloud.com in it",
            "https://a.b.au1.alteryxcloud.com/",
        ),
        (
            "not a host of Alteryx Cloud",
            api,
            "https://example.com, https://192.168.1.1, https://api.us1.alteryxcloud.com.example.com, \
             https://evilalteryxcloud.com, https://alteryxcloud.com, https://api..alteryxcloud.com, \
             https://pingauth.alteryxcloud.com, https://pingauth-eu1.alteryxcloud.com, \
             https://designer-us1.alteryxcloud.com, https://www.alteryxcloud.com",
        ),
        (
            "more than a scheme and a host",
            put,
            "https://api.us1.alteryxcloud.com/iam/v1, https://api.us1.alteryxcloud.com/?a=b, \
             https://api.us1.alteryxcloud.com#x, https://api.us1.alteryxcloud.com:443, \
             https://api.us1.alteryxcloud.com:8443/",
        ),
        ("no https://", put, "api.us1.alteryxcloud.com, us1.alteryxcloud.com/"),
        ("no https://", api, "us1, https:/api.us1.alteryxcloud.com"),
        (
            "not https",
            "Put https://api.eu1.alteryxcloud.com in it.",
            "http://api.eu1.alteryxcloud.com",
        ),
        ("not https", put, "ftp://api.us1.alteryxcloud.com"),
        (
            "a user name",
            api,
            "https://me@api.us1.alteryxcloud.com, https://api.us1.alteryxcloud.com@example.com",
        ),
        ("more than one line", api, "https://api.us1.alteryxcloud.com\nhttps://example.com"),
        (
            "quotation marks or < > around the address",
            put,
            "\"https://api.us1.alteryxcloud.com\", 'api.us1.alteryxcloud.com', \
             “https://us1.alteryxcloud.com/”, <https://api.us1.alteryxcloud.com>, \
             \"https://api.us1.alteryxcloud.com",
        ),
        (
            "the placeholder is still there, beside the address",
            api,
            "Your URL herehttps://api.us1.alteryxcloud.com, \
             https://api.us1.alteryxcloud.com Your URL here",
        ),
        ("not a URL\n", api, "Your URL here, \"Your URL here\""),
        (
            "not a URL: character 33 is a zero-width space (U+200B)",
            api,
            "https://api.us1.alteryxcloud.com\u{200b}",
        ),
        (
            "not a URL: character 12 is a soft hyphen (U+00AD)",
            api,
            "https://api\u{ad}.us1.alteryxcloud.com",
        ),
        (
            "not a URL",
            api,
            "https://, https://api us1, https://api.us1.alteryxcloud.com\\, \
             https://ápi.us1.alteryxcloud.com",
        ),
    ] {
        for content in contents.split(", ") {
            refused(&case, "aac_url.txt", content.as_bytes(), &[what, cure]);
        }
    }
    for (secret, _) in SECRETS {
        refused(&case, "aac_url.txt", secret.as_bytes(), &[]);
    }
}

#[test]
fn client_id_txt() {
    let case = fresh();
    for (content, words) in [
        ("Your client id here", &["placeholder", PROJECT_PAGE, SANDBOX][..]),
        ("two words", &["spaces inside the ID", "Client ID of your API project"]),
        ("one\r\ntwo", &["spaces inside the ID: it is on more than one line"]),
        ("two words", &["spaces inside the ID: character 4 is a space (U+0020)"]),
        ("two\u{a0}words", &["spaces inside the ID: character 4 is a no-break space (U+00A0)"]),
        ("abc\u{7}def", &["invalid characters in the ID: character 4 is a control character"]),
        ("abcdéf", &["invalid characters in the ID: character 5 is"]),
        ("abc\u{ad}def", &["invalid characters in the ID: character 4 is a soft hyphen (U+00AD)"]),
        ("abcdef\u{200b}", &["character 7 is a zero-width space (U+200B)"]),
        ("\"AbCdEfGh12345678\"", &["quotation marks or < > around the ID"]),
        ("'AbCdEfGh12345678'", &["quotation marks or < > around the ID"]),
        ("“AbCdEfGh12345678”", &["quotation marks or < > around the ID"]),
        ("AbCdEfGh12345678'", &["quotation marks or < > around the ID"]),
        ("<AbCdEfGh12345678>", &["quotation marks or < > around the ID"]),
        ("\"Your client id here\"", &["placeholders instead of your own values"]),
        ("<Your client id here>", &["placeholders instead of your own values"]),
        ("Client ID: AbCdEfGh12345678", &["a label or an address, not the ID alone"]),
        ("Client ID:\nAbCdEfGh12345678", &["a label or an address, not the ID alone"]),
        ("client_id=AbCdEfGh12345678", &["a label or an address, not the ID alone"]),
        ("{\"client_id\": \"AbCdEfGh12345678\"}", &["a label or an address, not the ID alone"]),
        (
            "https://us1.alteryxcloud.com/cloud-portal/library/alteryx-io",
            &["a label or an address, not the ID alone"],
        ),
        ("us1.alteryxcloud.com", &["invalid characters in the ID: character 4 is . (U+002E)"]),
        ("AbCdEfGh12345678,", &["invalid characters in the ID: character 17 is , (U+002C)"]),
        ("Your client id hereAbCdEfGh12345678", &["the placeholder is still there"]),
        ("AbCdEfGh12345678 Your client id here", &["the placeholder is still there"]),
        ("af1b5321-afe0-48c2-966a-c77d74e98085", &["OAuth client ID", PROJECT_PAGE]),
        ("AF1B5321-AFE0-48C2-966A-C77D74E98085", &["OAuth client ID"]),
        ("abc", &["8 to 128 letters and digits"]),
        (&"x".repeat(129), &["8 to 128 letters and digits"]),
        ("abcdef/ghijkl", &["invalid characters in the ID"]),
    ] {
        refused(&case, "client_id.txt", content.as_bytes(), words);
    }
    for name in ["client_id.txt", "api_project_id.txt"] {
        for (secret, what) in SECRETS {
            let words = [what, "not the ID of an API project", "Client ID of your API project"];
            let known = if what.is_empty() { &[][..] } else { &words };
            refused(&case, name, secret.as_bytes(), known);
        }
        fs::write(case.path("client_id.txt"), "Your client id here").unwrap();
    }
    fs::write(case.path("client_id.txt"), "not-the-usual_form-8").unwrap();
    case.run(NONE).assert_fails(4, &["Invalid ApiKey"]);
}

#[test]
fn creds_json_is_not_shown_either() {
    let case = fresh();
    for (secret, _) in SECRETS {
        refused(&case, "creds.json", secret.as_bytes(), &[]);
        for document in [
            json!(secret),
            json!({ secret: secret }),
            json!({ "error": secret }),
            json!({ "access_token": secret, "refresh_token": secret }),
        ] {
            let good = fs::read(case.creds()).unwrap();
            fs::write(case.creds(), document.to_string()).unwrap();
            said(&case).assert_hides(&[secret]);
            fs::write(case.creds(), good).unwrap();
        }
        // What leads to a vault is read from the environment of a program.
        let pointer = json!({ "vault": secret }).to_string();
        let good = fs::read(case.creds()).unwrap();
        fs::write(case.creds(), pointer).unwrap();
        for program in ["get_workspace", "token_status"] {
            let run = case.call(program, ["-v"]);
            assert_ne!(run.code, Some(0), "{secret}");
            run.assert_hides(&[secret]);
        }
        fs::write(case.creds(), good).unwrap();
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn creds_json() {
    let case = Case::expired(Options::default());
    let (access, refresh) = (&case.tokens.access_token, &case.tokens.refresh_token);
    let of = |access: Value, refresh: Value| {
        json!({ "access_token": access, "refresh_token": refresh }).to_string()
    };
    let pair = |access: &str, refresh: &str| of(json!(access), json!(refresh));
    // An access token with these claims.
    let with = |claims: Value| {
        let payload = BASE64URL.encode(claims.to_string());
        pair(&format!("eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"), refresh)
    };
    let issued_by = |issuer: &str| with(json!({ "iss": issuer, "client_id": "x" }));
    let on_lines = |access: &str| {
        format!("{{\n  \"access_token\": \"{access},\n  \"refresh_token\": \"{refresh}\"\n}}")
    };
    let (here, there) = ("Your access token here", "Your refresh token here");
    let elsewhere = "https://pingauth.alteryxcloud.com.example.com/as";
    let plain = "http://pingauth.alteryxcloud.com/as";
    let told = "The token is bad (Correlation ID: 1-2)";
    let error = json!({ "error": "invalid_grant", "error_description": told });
    for (content, words) in [
        (
            format!("{{\n  \"access_token\": \"{access}\",\n  refresh_token: \"{refresh}\"\n}}"),
            "not JSON, line 3, column 3",
        ),
        (
            format!("{{“access_token”: “{access}”}}"),
            "not JSON, line 1, column 2 | curly quotes | plain text editor",
        ),
        (format!("{{\"access_token\": \"{access}\","), "not JSON | the closing } is missing"),
        (
            format!("{{\"access_token\": \"{access}\", \"refresh_token\": \"{refresh}\"\n"),
            "not JSON, line 2 | the closing } is missing | double quotation marks",
        ),
        (
            format!("{{\"access_token\": \"{access}\", \"refresh_token\": \"{refresh}"),
            "the last quotation mark is missing",
        ),
        (
            format!("{{\"access_token\": \"{access}, \"refresh_token\": \"{refresh}\"}}"),
            "a quotation mark or a comma is missing",
        ),
        (format!("{{\"access_token\": {access}\"}}"), "a quotation mark is missing before this"),
        (format!("{{access_token\": \"{access}\"}}"), "a quotation mark is missing before this"),
        (format!("{{\"access_token: \"{access}\"}}"), "a quotation mark or a colon is missing"),
        (
            format!("{{\n\"access_token\": \"{access}\"\n\"refresh_token\": \"{refresh}\"\n}}"),
            "not JSON, line 3, column 1: a comma is missing before this",
        ),
        (
            format!("{{\"access_token\": \"{access}\", \"refresh_token\": \"{refresh}\",}}"),
            "there is a comma too many before this",
        ),
        (
            format!("{{'access_token': '{access}', 'refresh_token': '{refresh}'}}"),
            "not JSON, line 1, column 2: there are single quotation marks (') | double quotation",
        ),
        (format!("{{\"access_token\": '{access}'}}"), "there are single quotation marks (')"),
        (format!("{{‘access_token’: ‘{access}’}}"), "curly quotes"),
        (
            format!("{{\u{a0}\"access_token\": \"{access}\"}}"),
            "column 2: there is a no-break space (U+00A0)",
        ),
        (
            format!("// mine\n{{\"access_token\": \"{access}\"}}"),
            "not JSON, line 1, column 1: there is a comment",
        ),
        (
            format!("\n\u{200b}{{\"access_token\": \"{access}\"}}"),
            "not JSON, line 2, column 1: there is a zero-width space",
        ),
        (
            format!("\n  \"access_token\": \"{access}\"}}"),
            "not JSON, line 2, column 3: it does not begin with {",
        ),
        (
            format!("'{{\"access_token\": \"{access}\"}}'"),
            "not JSON, line 1, column 1: there are single quotation marks",
        ),
        (format!("{{\"access_token\": \"{access}\"}} trailing"), "something after the end"),
        (format!("export TOKEN={access}"), "not JSON | it does not begin with {"),
        (format!("\"access_token\": \"{access}\"}}"), "not JSON | it does not begin with {"),
        (format!("{{\"access_token\":{}", "[".repeat(300_000)), "not JSON"),
        (
            on_lines(&(access.replacen('.', ".\n", 2) + "\"")),
            "line 2: the text in quotation marks continues in the next line | one long line",
        ),
        (on_lines(access), "line 2: | or a quotation mark is missing | in quotation marks"),
        // As a terminal pastes it.
        (on_lines(&(access.replacen('.', ".\r", 2) + "\"")), "line 2: the text in quotation marks"),
        ("[]".into(), "not an object"),
        (format!("\"{access}\""), "not an object"),
        ("null".into(), "not an object"),
        ("{}".into(), "no \"access_token\""),
        (of(json!(null), json!(refresh)), "no \"access_token\""),
        (json!({ "access_token": access }).to_string(), "no \"refresh_token\""),
        (json!({ "refresh_token": refresh }).to_string(), "no \"access_token\""),
        (of(json!(7), json!(refresh)), "\"access_token\" is not a string"),
        (of(json!(access), json!([refresh])), "\"refresh_token\" is not a string"),
        (pair("", refresh), "\"access_token\" is empty"),
        (pair(access, "  "), "\"refresh_token\" is empty"),
        (pair(&format!("Bearer {access}"), refresh), "token\" has spaces | without \"Bearer\""),
        (pair(access, &refresh.replacen('.', ".\r\n", 1)), "has a line break | one long line"),
        (
            pair(&format!("{}\u{ad}{}", &access[..99], &access[99..]), refresh),
            "\"access_token\" has | character 100 is a soft hyphen (U+00AD)",
        ),
        (
            pair(access, &format!(" {}\u{200b}{}", &refresh[..9], &refresh[9..])),
            "\"refresh_token\" has | character 11 is a zero-width space (U+200B)",
        ),
        (
            pair(access, &format!("{}\u{a0}{}", &refresh[..9], &refresh[9..])),
            "\"refresh_token\" has | character 10 is a no-break space (U+00A0)",
        ),
        (pair(&format!("“{access}”"), refresh), "character 1 is a quotation mark (U+201C)"),
        (pair(&format!("'{access}'"), refresh), "character 1 is a quotation mark (U+0027)"),
        (pair(access, &format!("\"{refresh}\"")), "character 1 is a quotation mark (U+0022)"),
        (pair(access, &format!("Bearer {refresh}")), "character 7 is a space (U+0020)"),
        (pair(access, &format!("bearer {refresh}")), "character 7 is a space (U+0020)"),
        (pair(access, &format!("<{refresh}>")), "character 1 is < (U+003C)"),
        (pair(access, &format!("[{refresh}]")), "character 1 is [ (U+005B)"),
        (pair(access, &format!("{refresh},")), " is , (U+002C)"),
        (pair(&format!("{access}\u{202c}"), refresh), " is a control character (U+202C)"),
        // Another kind of refresh token.
        (pair(access, "'anOpaqueRefreshToken'"), "character 1 is a quotation mark (U+0027)"),
        (pair(access, "BEARER anOpaqueRefreshToken"), "character 7 is a space (U+0020)"),
        (pair("\"Your access token here\"", "<Your refresh token here>"), "still placeholders"),
        (
            pair(&format!("{here}{access}"), refresh),
            "\"access_token\" still has the placeholder inside | in the place of all",
        ),
        (
            pair(access, &format!("{there} {refresh}")),
            "\"refresh_token\" still has the placeholder",
        ),
        (pair(access, &format!("{refresh}{there}")), "\"refresh_token\" still has the placeholder"),
        (pair(access, &format!("{refresh}\u{7f}")), "_token\" has spaces or invalid characters"),
        (pair(access, &format!("{refresh}é")), "\"refresh_token\" has spaces or invalid"),
        (pair(refresh, access), "swapped | Swap them"),
        (pair("anOpaqueRefreshToken", access), "swapped"),
        (pair(access, access), "the same token in both places"),
        (pair(here, refresh), &format!("\"access_token\" is still a placeholder | {SANDBOX}")),
        (pair(access, there), &format!("\"refresh_token\" is still a placeholder | {TOKEN_PAGE}")),
        (pair(here, there), "\"access_token\" and \"refresh_token\" are still placeholders"),
        (pair("not.a.jwt", refresh), "not a JWT"),
        (pair("opaque", refresh), "not a JWT"),
        (pair(&"x".repeat(1_000_000), refresh), "not a JWT"),
        (with(json!([])), "not a JWT"),
        (with(json!({ "client_id": "x" })), "no \"iss\" claim"),
        (with(json!({ "iss": 1, "client_id": "x" })), "no \"iss\" claim"),
        (with(json!({ "iss": case.sandbox.issuer() })), "no \"client_id\" claim"),
        (issued_by(elsewhere), &format!("issued by {elsewhere}, which is not Alteryx Cloud")),
        (issued_by(plain), &format!("issued by {plain}, which is not https")),
        (issued_by("https://pingauth.alteryxcloud.com@a.com/as"), "which is not Alteryx Cloud"),
        (
            error.to_string(),
            &format!(
                "an error of the authorization server instead of tokens: invalid_grant: {told} | \
                 vendor's JavaScript and bash examples | {TOKEN_PAGE}"
            ),
        ),
    ] {
        let words: Vec<_> = words.split(" | ").collect();
        refused(&case, "creds.json", content.as_bytes(), &words);
    }
    // The same folder with its own tokens works, so it was the content that was refused.
    case.run(NONE).assert_ok();
}

#[test]
fn a_token_that_was_not_pasted_whole_is_told() {
    let cut = |token: &str| token[..token.len() - 42].to_owned();
    let warning = |field| {
        format!(
            "warning: \"{field}\" in {{}} was probably not pasted whole: its signature (RS256) has \
             300 characters, not 342, 512 or 683. Paste it again\n"
        )
    };
    for field in ["access_token", "refresh_token"] {
        let case = fresh();
        let Tokens { mut access_token, mut refresh_token } = case.tokens.clone();
        let token = if field == "access_token" { &mut access_token } else { &mut refresh_token };
        *token = cut(token);
        fs::write(case.creds(), creds_with(&Tokens { access_token, refresh_token })).unwrap();
        let words = warning(field).replace("{}", &case.creds().display().to_string());
        for program in ["token_status", "access_token"] {
            let run = Run::of(&mut case.program(program));
            assert_eq!(
                (run.code, run.stderr.matches(&words).count()),
                (Some(0), 1),
                "{}",
                run.stderr
            );
        }
    }
    // The server has the last word, and what it sends is whole.
    let case = Case::expired(Options::default());
    let Tokens { access_token, refresh_token } = case.tokens.clone();
    let tokens = Tokens { access_token, refresh_token: cut(&refresh_token) };
    fs::write(case.creds(), creds_with(&tokens)).unwrap();
    case.run(NONE).assert_fails(4, &["was probably not pasted whole", "it may not be whole"]);
    let tokens = Tokens { refresh_token, access_token: cut(&tokens.access_token) };
    fs::write(case.creds(), creds_with(&tokens)).unwrap();
    assert!(case.run(NONE).stderr.contains("was probably not pasted whole"));
    assert_eq!(case.run(NONE).stderr, "");
}

const CLOUD: &str = "https://pingauth.alteryxcloud.com/as";

/// Expects every program that sends a token, or gives one away, to refuse before anything is sent.
#[track_caller]
fn nobody_sends(case: &Case, program: impl Fn(&str) -> Command, words: &[&str]) {
    for (name, args) in [
        ("get_workspace", &[][..]),
        ("list_users", &[]),
        ("raw_call", &["/iam/v1/workspaces/{workspaceId}/people"]),
        ("run_plan", &["7"]),
        ("access_token", &[]),
        ("access_token", &["--min-life", "60"]),
    ] {
        let run = Run::of(program(name).args(args));
        run.assert_says(1, words);
        run.assert_hides(&[&case.tokens.access_token, &case.tokens.refresh_token]);
    }
    let run = Run::of(program("token_status").arg("--online"));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(case.sandbox.counters().connections, 0, "nothing was sent");
}

#[test]
fn a_token_of_a_sandbox_does_not_go_to_the_cloud() {
    for case in [fresh(), Case::expired(Options::default())] {
        fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
        let words = [
            "creds.json: the access token was issued by http://127.0.0.1",
            "but aac_url.txt names https://api.us1.alteryxcloud.com",
        ];
        nobody_sends(&case, |name| case.program(name), &words);
    }
}

#[test]
fn a_token_of_the_cloud_does_not_go_to_this_machine() {
    let options = || Options { issuer: Some(CLOUD.to_owned()), ..Options::default() };
    let words = [
        "the access token was issued by https://pingauth.alteryxcloud.com/as",
        "but aac_url.txt names http://127.0.0.1",
        "put https://api.us1.alteryxcloud.com in aac_url.txt",
    ];
    for case in [Case::fresh(options()), Case::expired(options())] {
        nobody_sends(&case, |name| case.program(name), &words);
    }
    // From a vault, which is one on this machine, as an agent is.
    let vault = Case::fresh(Options { vault: Some(Default::default()), ..Options::default() });
    let case = Case::fresh(options());
    vault.sandbox.vault().put_tokens(&case.tokens);
    let pointer = json!({ "vault": vault.sandbox.vault().path() });
    fs::write(case.creds(), pointer.to_string()).unwrap();
    let program = |name: &str| {
        let mut program = case.program(name);
        program.envs(vault.sandbox.vault().environment());
        program
    };
    nobody_sends(&case, program, &words);
}

#[test]
fn a_saved_pair_stays_as_it_is_while_aac_url_txt_is_wrong_for_it() {
    let case = Case::interrupted(Options::default());
    let asked = case.sandbox.counters().connections;
    let saved = fs::read(case.path("creds.json.rotation")).unwrap();
    fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
    for is_there in [true, false] {
        if !is_there {
            fs::remove_file(case.creds()).unwrap();
        }
        case.run(NONE).assert_fails(1, &["issued by http://127.0.0.1", "aac_url.txt names"]);
        assert_eq!(fs::read(case.path("creds.json.rotation")).unwrap(), saved, "it stays");
    }
    assert_eq!(case.sandbox.counters().connections, asked);
    fs::write(case.path("aac_url.txt"), case.sandbox.url()).unwrap();
    case.run(NONE).assert_ok();
}

#[test]
fn another_region_is_told() {
    for (issuer, api, right) in [
        ("pingauth-eu1", "us1", Some("eu1")),
        ("pingauth", "eu1", Some("us1")),
        ("pingauth-au1", "us1", Some("au1")),
        // Nobody has told whose servers these are.
        ("pingauth", "au1", None),
        ("pingauth-us1", "us1", None),
        ("pingauth-eu1", "eu2", None),
        ("pingauth2", "eu1", None),
    ] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        proxy.set_nonblocking(true).unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let issuer = format!("https://{issuer}.alteryxcloud.com/as");
        let case = Case::fresh(Options { issuer: Some(issuer.clone()), ..Options::default() });
        let api = format!("https://api.{api}.alteryxcloud.com");
        fs::write(case.path("aac_url.txt"), &api).unwrap();
        let run = Run::of(case.program("access_token").env("HTTPS_PROXY", &url));
        match right {
            Some(right) => run.assert_says(
                1,
                &[
                    &format!("issued by {issuer}, but aac_url.txt names {api}"),
                    &format!("put https://api.{right}.alteryxcloud.com in aac_url.txt"),
                ],
            ),
            None => assert_eq!(run.code, Some(0), "{}", run.stderr),
        }
        assert!(proxy.accept().is_err(), "nothing was sent");
    }
}

#[test]
fn an_unfamiliar_issuer_is_told() {
    for (issuer, is_familiar) in
        [("login", false), ("api", false), ("pingauth", true), ("pingauth-ca1", true)]
    {
        let url = format!("https://{issuer}.alteryxcloud.com/as");
        let case = Case::expired(Options { issuer: Some(url.clone()), ..Options::default() });
        fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
        let run = Run::of(case.command().env("HTTPS_PROXY", "no proxy"));
        run.assert_fails(1, &["the proxy could not be used", "your tokens are unchanged"]);
        let warning = format!("warning: the refresh token goes to {url}/token, which is not");
        assert_eq!(run.stderr.contains(&warning), !is_familiar, "{}", run.stderr);
    }
}

/// Folders that were found, not named, and the users who may have put files there.
#[cfg(unix)]
mod trust {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use tempfile::TempDir;

    const ROOT: u32 = 0;
    const USER: u32 = 12_001;
    const OTHER: u32 = 12_002;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// A folder with the three files, and one below it.
    struct Shared {
        case: Case,
        /// Where every user may run the program.
        programs: TempDir,
    }

    impl Shared {
        /// None where files cannot be given away.
        fn new() -> Option<Self> {
            let case = fresh();
            if chown(case.creds(), Some(OTHER), None).is_err() {
                eprintln!("skipped: only root may give files away");
                return None;
            }
            let programs = tempfile::tempdir().unwrap();
            acceptance::copy_program(programs.path());
            fs::create_dir(case.path("below")).unwrap();
            // As /tmp, or a drive of WSL.
            for folder in [programs.path(), case.folder.path(), &case.path("below")] {
                mode(folder, 0o777);
            }
            for name in FILES {
                mode(&case.path(name), 0o644);
            }
            let shared = Self { case, programs };
            shared.give_all(USER);
            Some(shared)
        }

        fn give(&self, name: &str, owner: u32) {
            lchown(self.case.path(name), Some(owner), Some(owner)).unwrap();
        }

        fn give_all(&self, owner: u32) {
            FILES.iter().for_each(|name| self.give(name, owner));
        }

        /// The program in this folder, as this user.
        fn command(&self, folder: impl AsRef<Path>, user: u32) -> Command {
            let mut command = acceptance::clean(self.programs.path().join("get_workspace"));
            command.env_remove("SUDO_UID").uid(user).gid(user).current_dir(folder);
            command
        }

        /// Runs the program in the folder, or in the one below it.
        fn run_in(&self, below: &str, user: u32) -> Run {
            Run::of(&mut self.command(self.case.path(below), user))
        }

        #[track_caller]
        fn refuses(&self, user: u32, words: &str) {
            let (names, counters) = (self.case.names(), self.case.sandbox.counters());
            let folder = self.case.folder.path().canonicalize().unwrap();
            let elsewhere = format!("--dir {}", folder.display());
            for (below, command) in [("", "--dir ."), ("below", &elsewhere)] {
                let run = self.run_in(below, user);
                run.assert_fails(1, &[words, "If you trust that user", command]);
            }
            assert_eq!(self.case.sandbox.counters(), counters, "nothing was sent");
            assert_eq!(self.case.names(), names, "nothing is left behind");
        }

        #[track_caller]
        fn accepts(&self, user: u32) {
            self.run_in("", user).assert_ok();
            self.run_in("below", user).assert_ok();
        }
    }

    #[test]
    fn files_of_another_user_are_used_only_where_their_folder_is_named() {
        let Some(shared) = Shared::new() else { return };
        for planted in FILES {
            shared.give_all(USER);
            shared.give(planted, OTHER);
            shared.refuses(USER, &format!("{planted}: it belongs to another user, uid {OTHER}"));
            shared.refuses(ROOT, "it belongs to another user, uid 1200");
        }
        // Not even readable: the owner is what counts.
        mode(&shared.case.creds(), 0o600);
        shared.refuses(USER, "creds.json: it belongs to another user");
        mode(&shared.case.creds(), 0o644);
        // By hand.
        let folder = shared.case.folder.path();
        Run::of(shared.command(folder, USER).args(["--dir", "."])).assert_ok();
        Run::of(shared.command("/", USER).env("AAC_DIR", folder)).assert_ok();
        // One's own, and root's.
        for owner in [USER, ROOT] {
            shared.give_all(owner);
            shared.accepts(USER);
            shared.give("creds.json", USER);
            shared.accepts(USER);
        }
        // The newer name of client_id.txt is judged as well.
        shared.give_all(USER);
        let newer = shared.case.path("api_project_id.txt");
        fs::rename(shared.case.path("client_id.txt"), &newer).unwrap();
        shared.give("api_project_id.txt", OTHER);
        shared.refuses(USER, "api_project_id.txt: it belongs to another user");
        shared.give("api_project_id.txt", USER);
        shared.accepts(USER);
        // A pair that was saved beside creds.json leads there, too.
        fs::rename(newer, shared.case.path("client_id.txt")).unwrap();
        shared.give_all(OTHER);
        fs::rename(shared.case.creds(), shared.case.path("creds.json.rotation")).unwrap();
        let run = shared.run_in("below", USER);
        run.assert_fails(1, &["it belongs to another user, uid 12002", "--dir /"]);
    }

    #[test]
    fn the_user_s_own_folder_counts_as_named() {
        let Some(shared) = Shared::new() else { return };
        let config = shared.programs.path();
        symlink(shared.case.folder.path(), config.join("aac")).unwrap();
        // Nobody is led to another account, or kept from this one, by another's placeholders.
        let current = tempfile::tempdir().unwrap();
        mode(current.path(), 0o755);
        for (name, text) in PLACEHOLDERS {
            fs::write(current.path().join(name), text).unwrap();
            chown(current.path().join(name), Some(OTHER), None).unwrap();
        }
        for owner in [USER, OTHER] {
            shared.give_all(owner);
            Run::of(shared.command(&current, USER).env("XDG_CONFIG_HOME", config)).assert_ok();
        }
        // What cannot be listed may hold a pair that was set aside.
        mode(current.path(), 0o711);
        Run::of(shared.command(&current, USER).env("XDG_CONFIG_HOME", config))
            .assert_fails(1, &["creds.json: it belongs to another user, uid 12002"]);
        mode(current.path(), 0o755);
        // Of files that are filled in, it has to be said whose they may be.
        fs::copy(shared.case.creds(), current.path().join("creds.json")).unwrap();
        Run::of(shared.command(&current, USER).env("XDG_CONFIG_HOME", config))
            .assert_fails(1, &["creds.json: it belongs to another user, uid 12002", "--dir ."]);
    }

    #[test]
    fn root_works_for_the_owner_of_the_current_folder_and_for_who_called_sudo() {
        let Some(shared) = Shared::new() else { return };
        shared.refuses(ROOT, "it belongs to another user, uid 12001");
        let sudo = |by: &str, user| {
            let folder = shared.case.path("below");
            Run::of(shared.command(folder, user).env("SUDO_UID", by))
        };
        sudo("12001", ROOT).assert_ok();
        sudo("12002", ROOT).assert_fails(1, &["it belongs to another user"]);
        sudo("", ROOT).assert_fails(1, &["it belongs to another user"]);
        // As a container does with a folder of the host.
        shared.give("", USER);
        shared.give("below", USER);
        shared.accepts(ROOT);
        // Nobody else can say so.
        shared.give_all(OTHER);
        sudo("12002", USER).assert_fails(1, &["it belongs to another user"]);
    }

    #[test]
    fn a_link_leads_only_to_a_file_of_its_owner() {
        let Some(shared) = Shared::new() else { return };
        let elsewhere = tempfile::tempdir().unwrap();
        mode(elsewhere.path(), 0o755);
        for folder in ["", "below"] {
            shared.give(folder, USER);
        }
        for name in FILES {
            let (link, target) = (shared.case.path(name), elsewhere.path().join(name));
            let own = fs::read(&link).unwrap();
            fs::copy(&link, &target).unwrap();
            fs::remove_file(&link).unwrap();
            symlink(&target, &link).unwrap();
            let give_target = |owner| chown(&target, Some(owner), Some(owner)).unwrap();
            // Root, in the user's folder, has what the user may not read.
            shared.give(name, USER);
            give_target(ROOT);
            let link_of =
                |owner: &str, to: &str| format!("{name}: a link of {owner} to a file of {to}");
            shared.refuses(ROOT, &link_of("uid 12001", "root (uid 0)"));
            // The user's own link to root's file tells nobody anything.
            shared.accepts(USER);
            give_target(USER);
            shared.accepts(ROOT);
            shared.accepts(USER);
            // A link to what somebody else may change.
            give_target(OTHER);
            shared.refuses(USER, &link_of("uid 12001", "uid 12002"));
            shared.give(name, ROOT);
            shared.refuses(USER, &link_of("root (uid 0)", "uid 12002"));
            fs::remove_file(&link).unwrap();
            fs::write(&link, own).unwrap();
            shared.give(name, USER);
        }
    }
}
