//! README, held to what is: its commands are run, its outputs compared, its words looked for in what the
//! programs say.

use aac_sandbox::{Fault, FaultKind, Options, Sandbox};
use acceptance::{Case, DOCUMENTED, PROGRAMS, Run, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).unwrap()
}

/// The texts in fences of a language, such as ```bash.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            blocks.push(
                lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"),
            );
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    blocks
}

/// The workspace, copied as a person would copy it, so that nothing here is touched.
fn copy_of_the_workspace() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo",
        "crates",
        "aac_url.txt",
        "client_id.txt",
        "creds.json",
    ] {
        acceptance::copy(&repository().join(name), &folder.path().join(name));
    }
    folder
}

/// A command in a folder, with the cargo that runs this test, and what it has built.
fn command(program: &str, folder: &Path) -> Command {
    let cargo = Path::new(env!("CARGO"));
    let mut path = vec![folder.join("bin"), cargo.parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    // …/debug/deps/readme-0123
    let target = env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| aac_sandbox::is_cargos_own(name)) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .env("PATH", env::join_paths(path).unwrap())
        .env("CARGO_TARGET_DIR", target)
        .env_remove("AAC_DIR");
    command
}

#[track_caller]
fn stdout(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: no {program} here");
    }
    is_there
}

#[test]
fn the_help_of_each_program_fits_a_screen_and_is_shown() {
    let readme = readme();
    for program in PROGRAMS {
        let output = Command::new(acceptance::program(program)).arg("--help").output().unwrap();
        let help = stdout(output);
        assert!(help.lines().count() <= 48, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        let shown = format!(
            "<code>{program} --help</code></summary>\n\n```text\n{}\n```\n",
            help.trim_end()
        );
        assert!(
            readme.contains(&shown),
            "README shows another help of {program} than this:\n{help}"
        );
    }
}

#[test]
fn the_flags_in_the_table_are_those_of_the_programs() {
    let readme = readme();
    for program in PROGRAMS {
        let row =
            readme.lines().find(|line| line.starts_with(&format!("| `{program}` |"))).unwrap();
        let flags = row.split('|').nth(3).unwrap();
        let help =
            stdout(Command::new(acceptance::program(program)).arg("--help").output().unwrap());
        let own = help.lines().filter_map(|line| {
            let line = line.trim_start();
            let flag = line.split([' ', ',']).next().filter(|flag| flag.starts_with('-'))?;
            let is_common = ["--dir", "--timeout", "--retry", "-v", "-h", "-V"].contains(&flag);
            (!is_common).then(|| format!("`{flag}`"))
        });
        let own: Vec<_> = own.collect();
        let listed: Vec<_> =
            flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()).collect();
        assert_eq!(listed, own, "{program}");
    }
}

#[test]
fn what_it_prints_is_what_it_prints() {
    let case = Case::fresh(Options::default());
    let printed = case.run(["-v"; 0]).stdout;
    assert!(blocks("json").contains(&printed.trim_end().to_owned()));
}

/// What stands in backquotes around the word "into", for instance: what to change, file by file.
fn edits() -> Vec<(String, String, String)> {
    let readme = readme().replace('\n', " ");
    let quoted = |text: &str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (_, section) = readme.split_once("## Add your own call").unwrap();
    let (section, _) = section.split_once(" ## ").unwrap();
    let edits = section.split(". In ").skip(1).map(|edit| {
        let (what, _) = edit.split_once(". ").unwrap_or((edit, ""));
        let words = quoted(if what.matches('`').count() >= 6 { what } else { edit });
        (words[0].clone(), words[1].clone(), words[2].clone())
    });
    edits.collect()
}

#[test]
#[cfg(unix)]
fn the_template_and_the_set_up_work_word_for_word() {
    if !has("bash") || !has("git") {
        return;
    }
    let workspace = copy_of_the_workspace();
    let folder = workspace.path();
    let bash = |script: &str| command("bash", folder).args(["-ec", script]).output().unwrap();

    // "Add your own call".
    stdout(bash("cp -r crates/get_workspace crates/my_call"));
    assert!(readme().contains("`cp -r crates/get_workspace crates/my_call`"));
    let edits = edits();
    assert_eq!(edits.len(), 2, "two edits, no other file: {edits:?}");
    for (file, old, new) in edits {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(&old).count(), 1, "{old} in {text}");
        fs::write(&path, text.replace(&old, &new)).unwrap();
    }
    assert!(readme().contains("`cargo sandbox cargo run -p my_call`"));
    let person = stdout(bash("cargo sandbox cargo run -p my_call"));
    let person: Value = serde_json::from_str(&person).unwrap();
    assert_eq!(person["email"], "person00001@example.com");

    // "The programs": commands and what they print, with … for what differs.
    for block in blocks("console").iter().filter(|block| block.starts_with("$ ")) {
        for session in block.strip_prefix("$ ").unwrap().split("\n$ ") {
            let (line, expected) = session.split_once('\n').unwrap();
            let printed = stdout(bash(line));
            let mut rest = printed.trim_end();
            for part in expected.split('…') {
                let at = rest.find(part).unwrap_or_else(|| panic!("{line} printed {printed}"));
                rest = &rest[at + part.len()..];
            }
            assert_eq!(rest, "", "{line}");
        }
    }
    let first = &blocks("console")[0];
    let (run, test) = first.split_once('\n').unwrap();
    let output = bash(run);
    let log = String::from_utf8(output.stderr.clone()).unwrap();
    let printed: Value = serde_json::from_str(&stdout(output)).unwrap();
    assert_eq!(printed, serde_json::from_str::<Value>(DOCUMENTED).unwrap());
    let shown = blocks("text").into_iter().find(|block| block.starts_with("sandbox: ")).unwrap();
    assert!(log.contains(&shown), "{log}");
    let piped = "cargo sandbox bash -c 'cargo run -p get_workspace | head -3'";
    assert!(readme().contains(piped));
    assert_eq!(stdout(bash(piped)).lines().count(), 3);
    let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
    assert!(ci.contains(test), "what README gives for the tests is what runs");

    // The way up from there.
    let recipes = &blocks("bash")[1];
    assert_eq!(recipes.lines().count(), 4);
    stdout(bash(recipes));

    // "With an account": the account is the sandbox's, and the editor is one that knows what to type.
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let tokens = sandbox.issue_expired();
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let editor = format!(
        "#!/bin/sh\nsed -i.bak -e 's/Your access token here/{}/' -e 's/Your refresh token here/{}/' \"$1\"\n",
        tokens.access_token, tokens.refresh_token
    );
    fs::write(bin.join("nano"), editor).unwrap();
    stdout(bash("chmod +x bin/nano; git init -q; git add -A"));
    let setup = blocks("bash")[0]
        .replace("https://api.us1.alteryxcloud.com", sandbox.url())
        .replace("Your client id here", sandbox.project_id());
    let printed = stdout(bash(&setup));
    assert!(blocks("json").contains(&printed.trim_end().to_owned()), "{printed}");
    assert_eq!(
        stdout(bash("git status --porcelain -uno"))
            .lines()
            .filter(|line| !line.starts_with('A'))
            .count(),
        0
    );

    // "curl, Python and others". What curl is called with, any user of the machine can read.
    let watch = "curl() { printf '%s\n' \"$@\" >> arguments; command curl \"$@\"; };";
    for (program, argument, script) in
        [("curl", "-c", &blocks("bash")[2]), ("python3", "-c", &blocks("python")[0])]
    {
        if !has(program) {
            continue;
        }
        let output = match program {
            "curl" => bash(&format!("{watch} {script}")),
            _ => command(program, folder).args([argument, script]).output().unwrap(),
        };
        let printed: Value = serde_json::from_str(&stdout(output)).unwrap();
        assert_eq!(printed, serde_json::from_str::<Value>(DOCUMENTED).unwrap(), "{program}");
    }
    assert_eq!(sandbox.counters().exchanges, 1, "one token served all of them");
    if has("curl") {
        let arguments = fs::read_to_string(folder.join("arguments")).unwrap();
        assert!(arguments.contains("\n@-\n") && !arguments.contains("Bearer"), "{arguments}");
        // Without a token there is nothing to call with.
        let connections = sandbox.counters().connections;
        fs::write(folder.join("creds.json"), "{}").unwrap();
        let output = bash(&blocks("bash")[2]);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert_eq!(sandbox.counters().connections, connections);
    }
}

#[test]
#[cfg(unix)]
fn the_examples_at_the_end_of_raw_calls_help_work_in_the_sandbox() {
    if !has("bash") {
        return;
    }
    let case = Case::fresh(Options::default());
    let help = case.call("raw_call", ["--help"]).stdout;
    let (_, examples) = help.split_once("Examples").unwrap();
    let lines: Vec<_> = examples.lines().skip(1).collect();
    assert_eq!(lines.len(), 6);
    for line in lines {
        let (cargo, arguments) = line.split_once(" -- ").unwrap();
        assert_eq!(cargo.trim(), "cargo run -qp raw_call");
        let output = command("bash", case.folder.path())
            .args(["-c", &format!("\"$0\" {arguments}")])
            .arg(acceptance::program("raw_call"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert!(output.status.success());
    }
}

#[test]
fn the_recipes_run() {
    let run = |case: &Case, name: &str, args: &[&str]| {
        let mut command = Command::new(acceptance::example(name));
        let run = Run::of(command.args(args).env("AAC_DIR", case.folder.path()));
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        run.stdout
    };
    let plain = Case::expired(Options::default());
    assert!(run(&plain, "post_json", &["nightly"]).contains("\"name\": \"nightly\""));
    assert_eq!(run(&plain, "all_pages", &[]).lines().count(), 3);
    let people = run(&plain, "threads", &["51000", "51001", "51002"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&people).unwrap().len(), 3);
    // A job that outlives its first token, which lives three seconds here.
    let options = Options { job_polls: 8, token_lifetime: 3, ..Options::default() };
    let job = Case::expired(options);
    let printed = run(&job, "run_job", &["7", "--every", "500"]);
    assert_eq!(printed, format!("Created\n{}Complete\n", "InProgress\n".repeat(8)));
    assert!(job.sandbox.counters().exchanges >= 2);
    assert_eq!(job.sandbox.counters().unauthorized, 0);
}

#[test]
fn another_project_uses_the_library() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    let docs = fs::read_to_string(repository().join("crates/aac-auth/src/lib.rs")).unwrap();
    let (_, snippet) = docs.split_once("//! ```toml\n").unwrap();
    let (snippet, _) = snippet.split_once("//! ```").unwrap();
    let here = format!("path = {:?}", repository().join("crates/aac-auth"));
    let dependencies: Vec<_> = snippet
        .lines()
        .map(|line| line.trim_start_matches("//! "))
        .map(|line| match line.split_once("git = \"") {
            Some((before, url)) => format!("{before}{here}{}", url.split_once('"').unwrap().1),
            None => line.to_owned(),
        })
        .collect();
    let manifest = "[package]\nname = \"elsewhere\"\nedition = \"2024\"\n";
    fs::write(folder.join("Cargo.toml"), format!("{manifest}{}\n", dependencies.join("\n")))
        .unwrap();
    // The same versions as here, which are built already.
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    let example = repository().join("crates/aac-auth/examples/threads.rs");
    fs::copy(example, folder.join("src/main.rs")).unwrap();
    let output = command(env!("CARGO"), folder).arg("check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a program says of each trouble, by the words that README lists it under.
fn troubles() -> BTreeMap<&'static str, String> {
    let call = |options: Options, set: &dyn Fn(&Case)| {
        let case = Case::expired(options);
        set(&case);
        case.run(["--retry", "0"]).stderr
    };
    let api = |kind: FaultKind| {
        let fault = Fault::api(kind).always();
        call(Options::default(), &|case| case.sandbox.add_fault(fault.clone()))
    };
    let token = |kind: FaultKind| {
        let fault = Fault::token(kind).always();
        call(Options::default(), &|case| case.sandbox.add_fault(fault.clone()))
    };
    let with = |file: &'static str, text: &'static str| {
        call(Options::default(), &|case| fs::write(case.path(file), text).unwrap())
    };
    let raw = |args: &[&str]| Case::fresh(Options::default()).call("raw_call", args).stderr;
    let elsewhere = tempfile::tempdir().unwrap();
    let nowhere = Run::of(acceptance::command().current_dir(elsewhere.path())).stderr;
    let tls = {
        let case = Case::fresh(Options { tls: true, ..Options::default() });
        Run::of(&mut case.command()).stderr
    };
    let proxy = {
        let issuer = Some("https://pingauth.alteryxcloud.com/as".to_owned());
        let case = Case::fresh(Options { issuer, ..Options::default() });
        fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
        Run::of(case.command().env("HTTPS_PROXY", "no proxy")).stderr
    };
    let older_copy = {
        let case = Case::expired(Options::default());
        let copy = fs::read(case.creds()).unwrap();
        case.run(["-v"; 0]).assert_ok();
        fs::write(case.creds(), copy).unwrap();
        case.run(["-v"; 0]).stderr
    };
    let locked = {
        // The wait itself takes minutes, and is tested where the turns are.
        let path = PathBuf::from("creds.json.lock");
        aac_auth::Error::Locked { path, waited: Duration::from_secs(300) }.to_string()
    };
    let placeholders = "{\"access_token\":\"Your access token here\",\"refresh_token\":\"Your refresh token here\"}";
    let uuid = "af1b5321-afe0-48c2-966a-c77d74e98085";
    let oauth_error = "{\"error\":\"invalid_grant\",\"error_description\":\"no\"}";
    BTreeMap::from([
        ("placeholders instead of your own values", {
            let case = Case::expired(Options::default());
            fs::write(case.creds(), placeholders).unwrap();
            fs::write(case.path("client_id.txt"), "Your client id here").unwrap();
            case.run(["-v"; 0]).stderr
        }),
        ("no creds.json in", nowhere),
        ("Invalid ApiKey", api(FaultKind::InvalidKey)),
        ("Failed to resolve API Key", {
            // Said by a gateway that got none, which cannot happen here but through a proxy that drops it.
            let case = Case::fresh(Options::default());
            let url = format!("{}/v4/people/current", case.sandbox.url());
            let token = &case.tokens.access_token;
            let bare = ureq::get(url).header("authorization", format!("Bearer {token}"));
            let bare = bare.config().http_status_as_error(false).build().call();
            bare.unwrap().into_body().read_to_string().unwrap()
        }),
        ("a uuid, which is the OAuth client id", with("client_id.txt", uuid)),
        ("not JSON, line", with("creds.json", "{\"access_token\": “x”}")),
        ("an error of the authorization server instead of tokens", with("creds.json", oauth_error)),
        ("the refresh token in", token(FaultKind::InvalidGrant)),
        ("is refused", token(FaultKind::InvalidGrant)),
        ("your tokens are unchanged", token(FaultKind::TooManyRequests(60))),
        ("the server's certificate is not trusted", tls),
        ("the proxy could not be used", proxy),
        ("HTTP 403 Forbidden", api(FaultKind::Forbidden)),
        ("HTTP 404 Not Found: This route does not exist", raw(&["/nowhere"])),
        ("is a Windows path", raw(&["C:/Program Files/Git/v4/people"])),
        ("looks like JSON, but", raw(&["/x", "-d", "{a:1}"])),
        ("replaced by an older copy", older_copy),
        ("held by another program", locked),
    ])
}

#[test]
fn troubleshooting_lists_what_the_programs_say() {
    let readme = readme();
    let (_, section) = readme.split_once("## Troubleshooting").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut listed: Vec<_> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    listed.sort_unstable();
    let troubles = troubles();
    assert_eq!(listed, troubles.keys().copied().collect::<Vec<_>>());
    for (words, said) in troubles {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}

#[test]
fn every_folder_in_the_map_is_there() {
    let readme = readme();
    let (_, map) = readme.split_once("## For whoever carries on").unwrap();
    let mut listed = Vec::new();
    for line in map.lines().filter(|line| line.starts_with("crates/") || line.starts_with(".ci/")) {
        let mut words = line.split([' ', ';']);
        let folder = PathBuf::from(words.next().unwrap());
        assert!(repository().join(&folder).exists(), "{line}");
        for document in words.filter(|word| word.ends_with(".md")) {
            assert!(repository().join(&folder).join(document).is_file(), "{line}");
        }
        listed.push(folder);
    }
    assert!(map.contains("FIGURES.md") && map.contains("ROTATION.md"));
    for entry in fs::read_dir(repository().join("crates")).unwrap() {
        let name = Path::new("crates").join(entry.unwrap().file_name());
        assert!(listed.contains(&name), "{} is not in the map", name.display());
    }
}
