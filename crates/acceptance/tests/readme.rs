//! The documents, held to what is: their commands are run, their outputs compared, their words looked
//! for in what the programs say.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

use aac_sandbox::{Fault, FaultKind, Options, Sandbox, Tokens};
use acceptance::user::User;
use acceptance::{
    Case, DOCUMENTED, PROGRAMS, Run, blocks, clean, creds_with, documents, fences, have, names,
    read, repository,
};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The part of a document below a heading, as one line.
fn section(document: &str, heading: &str) -> String {
    let text = read(document).replace('\n', " ");
    let (_, section) = text.split_once(&format!("## {heading} ")).unwrap();
    section.split(" ## ").next().unwrap().to_owned()
}

#[test]
fn nothing_is_shown_that_is_not_tested() {
    let mut shown = BTreeMap::new();
    for document in documents() {
        let languages = fences(&document).into_iter().map(|(language, _)| language);
        let languages: Vec<_> = languages.collect();
        if !languages.is_empty() {
            let path = document.to_str().unwrap().replace('\\', "/");
            shown.insert(path, languages.join(" "));
        }
    }
    let tested = [
        // The tests of this file.
        ("README.md", "console bash rust"),
        ("crates/aac-auth/README.md", "mermaid console bash toml"),
        ("crates/aac-auth/VAULT.md", "bash hcl yaml bash bash"),
        ("crates/aac-auth/RECIPES.md", "bash"),
        ("crates/aac-sandbox/README.md", "console console console toml rust text"),
        (
            "crates/access_token/README.md",
            "python javascript powershell python javascript powershell bash text",
        ),
        ("crates/get_workspace/README.md", "console bash text"),
        ("crates/invite_users/README.md", "console text"),
        ("crates/list_users/README.md", "console text"),
        ("crates/login/README.md", "bash console bash bash text"),
        ("crates/raw_call/README.md", "console text"),
        ("crates/run_plan/README.md", "console text text text console text text bash text"),
        ("crates/suspend_users/README.md", "console text"),
        ("crates/token_status/README.md", "console console console text"),
        // repository.rs: what is named is there.
        (".github/CONTRIBUTING.md", "text bash bash bash bash bash"),
        (".github/RELEASING.md", "bash"),
        ("crates/aac-auth/ROTATION.md", "mermaid console console console mermaid console"),
    ];
    let tested = tested.map(|(path, languages)| (path.to_owned(), languages.to_owned()));
    assert_eq!(shown, BTreeMap::from(tested));
}

/// A command in a folder, with the cargo that runs this test, and what it has built.
fn command(program: &str, folder: &Path) -> Command {
    let cargo = Path::new(env!("CARGO"));
    let mut path = vec![folder.join("bin"), cargo.parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let mut command = clean(program);
    command
        .current_dir(folder)
        .env("PATH", env::join_paths(path).unwrap())
        .env("CARGO_TARGET_DIR", acceptance::target());
    command
}

#[track_caller]
fn stdout(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Compares the help with the one in the README of a crate.
///
/// With UPDATE_README set, it is written there instead.
#[track_caller]
fn assert_shows_help(name: &str, help: &str) {
    const BEGIN: &str = "## Help\n\n```text\n";
    let path = format!("crates/{name}/README.md");
    let text = read(&path);
    let (before, shown) = text.split_once(BEGIN).unwrap();
    let (shown, after) = shown.split_once("\n```\n").unwrap();
    if shown != help && env::var_os("UPDATE_README").is_some() {
        let text = format!("{before}{BEGIN}{help}\n```\n{after}");
        return fs::write(repository().join(path), text).unwrap();
    }
    assert_eq!(shown, help, "{path} shows another help: UPDATE_README=1 writes it there");
}

#[test]
fn the_help_of_each_program_fits_a_screen_and_is_shown() {
    let help = |command: &mut Command| {
        stdout(command.arg("--help").output().unwrap()).trim_end().to_owned()
    };
    let programs = PROGRAMS.map(|name| (name, help(&mut clean(acceptance::program(name)))));
    let sandbox = ("aac-sandbox", help(acceptance::cargo().arg("sandbox")));
    for (program, help) in programs.iter().chain([&sandbox]) {
        assert!(help.lines().count() <= 48, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert_shows_help(program, help);
    }
    // The table has each program, and what its help says of it.
    let readme = read("README.md");
    let (_, section) = readme.split_once("## The programs\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines();
    let listed = rows.filter(|row| row.starts_with("| [")).map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (name, link) = cells[1].trim_start_matches('[').split_once("](").unwrap();
        assert_eq!(link, format!("crates/{name})"));
        (name.to_owned(), cells[2].to_owned())
    });
    let said = programs
        .iter()
        .map(|(name, help)| (name.to_string(), help.lines().next().unwrap().to_owned()));
    assert_eq!(listed.collect::<Vec<_>>(), said.collect::<Vec<_>>());
}

#[test]
fn the_code_is_that_of_get_workspace() {
    let code = blocks("README.md", "rust").remove(0);
    assert!(read("crates/get_workspace/src/main.rs").contains(&code));
}

/// Makes the changes that a text describes, each as "In `file`, change `old` to `new`.". Returns how many.
fn make_the_changes(text: &str, folder: &Path) -> usize {
    let changes: Vec<_> = text.split("In `").skip(1).collect();
    for change in &changes {
        let [file, old, new] = [0, 2, 4].map(|place| change.split('`').nth(place).unwrap());
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
        fs::write(&path, text.replace(old, new)).unwrap();
    }
    changes.len()
}

/// A block that is pasted as a whole is read by whatever runs then, and that is the editor, unless the
/// shell has to read on first.
#[test]
fn no_line_follows_an_editor() {
    let mut found = 0;
    for document in documents() {
        for block in blocks(&document, "bash") {
            let mut lines = block.lines();
            while let Some(line) = lines.find(|line| line.starts_with("nano ")) {
                let is_safe = line.ends_with(" &&") || lines.clone().next().is_none();
                assert!(is_safe, "{}: {block}", document.display());
                found += 1;
            }
        }
    }
    assert_eq!(found, 1);
}

/// Whether a text is as shown, with … for what differs.
fn is_shown_as(text: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    for (text, shown) in [("abc", "abc"), ("abc", "a…c"), ("abc", "…"), ("abcde", "a…c…e")]
    {
        assert!(is_shown_as(text, shown), "{text} {shown}");
    }
    for (text, shown) in [("abc", "ab"), ("abc", "b…"), ("abc", "…b"), ("abc", "a…d…c"), ("a", "")]
    {
        assert!(!is_shown_as(text, shown), "{text} {shown}");
    }
}

/// As a user runs it who has followed README to its end before.
#[test]
#[cfg(unix)]
fn every_command_works_word_for_word() {
    if have("bash") && have("git") {
        User::default().run_these_tests(["--exact", "walk", "--ignored", "--nocapture"]);
    }
}

#[test]
#[cfg(unix)]
#[ignore = "a part of every_command_works_word_for_word"]
fn walk() {
    // One copy for all of them, which is compiled once.
    let workspace = tempfile::tempdir().unwrap();
    let folder = workspace.path();
    acceptance::copy_of_the_repository(folder);
    stdout(bash(folder, "git init -q; git add -A"));
    sessions(folder);
    template(folder);
    everyday_tasks(folder);
    account(folder);
    let ci = read(".ci/run");
    assert!(read(".github/CONTRIBUTING.md").contains("`cargo test --workspace`"));
    assert!(ci.contains("cargo test --workspace"), "what README gives for the tests is what runs");
}

fn bash(folder: &Path, script: &str) -> Output {
    // What is installed for good is optimized, which takes minutes more.
    let script = script.replace("cargo install ", "cargo install --debug --offline ");
    command("bash", folder).args(["-ec", &script]).output().unwrap()
}

/// Commands and what they print: the sandbox on standard error, the program on standard output.
fn sessions(folder: &Path) {
    for document in documents().iter().filter(|path| path.ends_with("README.md")) {
        for block in blocks(document, "console") {
            for session in block.strip_prefix("$ ").unwrap().split("\n$ ") {
                let (line, shown) = session.split_once('\n').unwrap_or((session, ""));
                let (log, shown): (Vec<_>, Vec<_>) =
                    shown.lines().partition(|line| line.starts_with("sandbox: "));
                let output = bash(folder, line);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let logged = said.lines().filter(|line| line.starts_with("sandbox: "));
                let logged: Vec<_> = logged.collect();
                assert!(log.is_empty() || log == logged, "{line}: {logged:?}");
                let printed = stdout(output);
                let is_shown = is_shown_as(printed.trim_end(), &shown.join("\n"));
                assert!(is_shown, "{}: {line} printed {printed}", document.display());
            }
        }
    }
}

/// "Copy it".
fn template(folder: &Path) {
    let section = section("README.md", "Copy it");
    let copy = "cp -r crates/get_workspace crates/my_call";
    assert!(section.contains(&format!("`{copy}`")));
    stdout(bash(folder, copy));
    // The copy is the user's own, and the tests do not mind it.
    let tests = env::current_exe().unwrap();
    let mut tests = command(tests.to_str().unwrap(), folder);
    tests.env("CARGO_MANIFEST_DIR", folder.join("crates").join("acceptance"));
    stdout(tests.args(["--exact", "nothing_is_shown_that_is_not_tested"]).output().unwrap());
    assert_eq!(make_the_changes(&section, folder), 2, "no other file");
    let run = "cargo sandbox cargo run -p my_call";
    assert!(section.contains(&format!("`{run}`")));
    let person: Value = serde_json::from_str(&stdout(bash(folder, run))).unwrap();
    assert_eq!(person["email"], "ada.lovelace@example.com");
    let recipes = &blocks("crates/aac-auth/RECIPES.md", "bash")[0];
    let examples = names(&repository().join("crates/aac-auth/examples"));
    assert_eq!(recipes.matches(" --example ").count(), examples.len());
    stdout(bash(folder, recipes));
    // A recipe in place of the template's main.rs needs no other edit, and what is less documented than
    // that is no reason for a warning.
    let recipe = read("crates/aac-auth/examples/all_pages.rs");
    let lines = recipe.lines().filter(|line| !line.starts_with("//!"));
    let plain: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("crates/my_call/src/main.rs"), plain).unwrap();
    let case = Case::fresh(Options::default());
    let mut program = command(env!("CARGO"), folder);
    program.args(["run", "-qp", "my_call", "--", "--dir"]).arg(case.folder.path());
    let run = Run::of(&mut program);
    assert_eq!((run.code, run.stdout.lines().count(), &*run.stderr), (Some(0), 3, ""));
    let request = case.sandbox.requests().remove(0);
    let program = request.header("user-agent").unwrap().split(' ').next().unwrap();
    assert_eq!(program, "my_call/0.1.0");
    assert_eq!(stdout(bash(folder, "cargo run -qp my_call -- --version")), "my_call 0.1.0\n");
}

/// The commands in the tables of "The programs" and "Everyday tasks", and the script of run_plan.
fn everyday_tasks(folder: &Path) {
    for (heading, begin, sandbox, count) in [
        ("The programs", "cargo sandbox ", "", PROGRAMS.len() - 1),
        ("Everyday tasks", "cargo run ", "cargo sandbox ", 3),
    ] {
        let section = section("README.md", heading);
        let commands = section.split('`').filter(|word| word.starts_with(begin));
        let commands: Vec<_> = commands.collect();
        assert_eq!(commands.len(), count, "{heading}");
        for command in commands {
            stdout(bash(folder, &format!("{sandbox}{command}")));
        }
    }
    let users = fs::read_to_string(folder.join("users.csv")).unwrap();
    assert!(users.starts_with('\u{feff}') && users.contains("Ada Lovelace"), "{users}");
    let plans = fs::read_to_string(folder.join("plans.csv")).unwrap();
    assert!(plans.starts_with("\u{feff}id,") && plans.contains("Monthly report"), "{plans}");
    let script = blocks("crates/run_plan/README.md", "bash").remove(0);
    let script = format!("cargo sandbox bash -c 'PATH=$PWD/installed/bin:$PATH; {script}'");
    assert_eq!(stdout(bash(folder, &script)), "run 701 is complete\n");
    let installed = folder.join("installed").join("bin");
    for name in names(&installed) {
        assert!(!acceptance::names_a_variable_of_tests(&installed.join(&name)), "{name}");
    }
}

/// "Use your account", and other languages after it. The account is the sandbox's, and the editor is
/// one that knows what to type.
fn account(folder: &Path) {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    // As a script answers what `login` asks.
    let home = tempfile::tempdir().unwrap();
    let pasted = home.path().join("pasted");
    let settings = [sandbox.url(), sandbox.project_id(), pasted.to_str().unwrap()];
    let answers = format!("--url {} --client-id {} < {}", settings[0], settings[1], settings[2]);
    fs::write(&pasted, creds_with(&sandbox.issue())).unwrap();
    let login = &blocks("README.md", "bash")[0];
    assert_eq!(*login, blocks("crates/login/README.md", "bash")[0]);
    assert!(section("README.md", "Use your account").contains("`cargo run -p get_workspace`"));
    let login = format!(
        "export XDG_CONFIG_HOME={}\n{login} -- --plain {answers}\ncargo run -p get_workspace",
        home.path().display()
    );
    let with_login = stdout(bash(folder, &login));

    let tokens = sandbox.issue_expired();
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let paste = |tokens: &Tokens| {
        let editor = format!(
            "#!/bin/sh\nsed -i.bak -e 's/Your access token here/{}/' -e 's/Your refresh token here/{}/' \
             -e 's/Your client id here/{}/' -e 's#https://api.us1.alteryxcloud.com#{}#' \"$@\"\n",
            tokens.access_token,
            tokens.refresh_token,
            sandbox.project_id(),
            sandbox.url()
        );
        fs::write(bin.join("nano"), editor).unwrap();
    };
    paste(&tokens);
    stdout(bash(folder, "chmod +x bin/nano"));
    let run = "cargo run -p get_workspace";
    assert!(section("crates/login/README.md", "By hand").contains(&format!("`{run}`")));
    let setup = [&blocks("crates/login/README.md", "bash")[1..3].join("\n"), run].join("\n");
    let printed = stdout(bash(folder, &setup));
    // Run once more, the commands undo nothing.
    assert_eq!(stdout(bash(folder, &setup)), printed);
    assert!(with_login.ends_with(&printed), "{with_login}");
    let workspace = blocks("crates/get_workspace/README.md", "console").remove(0);
    assert!(workspace.ends_with(&format!("\n{}", printed.trim_end())), "{printed}");
    assert_eq!(
        stdout(bash(folder, "git status --porcelain -uno"))
            .lines()
            .filter(|line| !line.starts_with('A'))
            .count(),
        0
    );

    // Another workspace, in a folder of its own.
    let elsewhere = blocks("crates/aac-auth/README.md", "bash")[0]
        .replace('~', folder.to_str().unwrap())
        .replacen(" &&", &format!(" {answers} &&"), 1);
    fs::write(&pasted, creds_with(&sandbox.issue())).unwrap();
    assert!(stdout(bash(folder, &elsewhere)).ends_with(&printed));

    let script_of = |program: &str, script: &str| {
        let flags: &[_] = if program == "node" { &["--input-type=module", "-e"] } else { &["-c"] };
        command(program, folder).args(flags).arg(script).output().unwrap()
    };
    // What curl is called with, any user of the machine can read.
    let watch = "curl() { printf '%s\n' \"$@\" >> arguments; command curl \"$@\"; };";
    let document = "crates/access_token/README.md";
    let curl = &blocks(document, "bash")[0];
    let (python, node) = (blocks(document, "python"), blocks(document, "javascript"));
    for (program, script) in [("curl", curl), ("python3", &python[1]), ("node", &node[1])] {
        if !have(program) {
            continue;
        }
        let output = match program {
            "curl" => bash(folder, &format!("{watch} {script}")),
            program => script_of(program, script),
        };
        let printed: Value = serde_json::from_str(&stdout(output)).unwrap();
        assert_eq!(printed, serde_json::from_str::<Value>(DOCUMENTED).unwrap(), "{program}");
    }
    for (program, script) in [("python3", &python[0]), ("node", &node[0])] {
        if have(program) {
            assert_eq!(stdout(script_of(program, script)), "lukes-test-workspace\n", "{program}");
        }
    }
    assert_eq!(sandbox.counters().refreshes, 1, "one token served all of them");
    if have("curl") {
        let arguments = fs::read_to_string(folder.join("arguments")).unwrap();
        assert!(arguments.contains("\n@-\n") && !arguments.contains("Bearer"), "{arguments}");
        // Without a token there is nothing to call with.
        let connections = sandbox.counters().connections;
        fs::write(folder.join("creds.json"), "{}").unwrap();
        let output = bash(folder, curl);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert_eq!(sandbox.counters().connections, connections);
    }
}

#[test]
#[cfg(unix)]
fn the_examples_at_the_end_of_raw_calls_help_work_in_the_sandbox() {
    if !have("bash") {
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
        let mut command = clean(acceptance::example(name));
        let run = Run::of(command.args(args).env("AAC_DIR", case.folder.path()));
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        run.stdout
    };
    let plain = Case::expired(Options::default());
    let plans = |case: &Case| case.call("raw_call", ["/plans/v1/plans"]).stdout;
    let renamed = run(&plain, "rename_plan", &["7", "Monthly sales"]);
    assert!(
        renamed.contains("\"name\": \"Monthly sales\"") && plans(&plain).contains("Monthly sales")
    );
    let created = run(&plain, "create_and_delete", &["nightly"]);
    assert!(created.contains("\"name\": \"nightly\"") && !plans(&plain).contains("nightly"));
    run(&plain, "create_and_delete", &["=nightly, \"sales\"", "--keep"]);
    let path = |name: &str| plain.path(name).to_str().unwrap().to_owned();
    let copied = run(&plain, "copy_plan", &["7", &path("plan.zip")]);
    assert!(copied.contains("\"name\": \"Monthly sales\""), "{copied}");
    assert_eq!(fs::metadata(plain.path("plan.zip")).unwrap().len(), 2000);
    run(&plain, "spreadsheet", &[&path("plans.csv")]);
    let sheet = fs::read_to_string(plain.path("plans.csv")).unwrap();
    let lines: Vec<_> = sheet.lines().collect();
    assert_eq!(lines[0], "\u{feff}id,name,description,updatedAt");
    assert!(lines[1].starts_with("7,Monthly sales,Sales by region,20"), "{sheet}");
    assert!(
        sheet.contains("\"'=nightly, \"\"sales\"\"\",,20"),
        "a spreadsheet runs nothing: {sheet}"
    );
    assert!(sheet.ends_with("Z\r\n") && lines.len() == 5, "{sheet}");
    assert_eq!(run(&plain, "all_pages", &[]).lines().count(), 3);
    assert_eq!(run(&plain, "failed_runs", &[]), "699  2025-03-01T06:01:02.000Z\n");
    let found = run(&plain, "find_plans", &["7", "99"]);
    assert_eq!(found, "7  \"Monthly sales\"\n99  not there\n");
    fs::write(plain.path("names.csv"), "name\nMonthly sales\nweekly\n").unwrap();
    let names = path("names.csv");
    let create = || run(&plain, "create_plans", &[&names, "--yes"]);
    assert!(create().contains("weekly  plan ") && plans(&plain).contains("weekly"));
    assert!(create().lines().all(|line| line.ends_with("  is there already")), "nothing twice");
    // A filter that is not known, an error that concerns one plan, and one that concerns all.
    let fails = |name: &str, args: &[&str], fault: &str| {
        plain.sandbox.add_fault(fault.parse().unwrap());
        let mut command = clean(acceptance::example(name));
        let run = Run::of(command.args(args).env("AAC_DIR", plain.folder.path()));
        plain.sandbox.clear_faults();
        run
    };
    let run = fails("find_plans", &["7", "8"], "api:403");
    assert!(run.stdout.starts_with("7  unknown: HTTP 403 ") && run.code == Some(0), "{run:?}");
    let run = fails("find_plans", &["7", "8", "--retry", "0"], "api:503");
    assert!(run.stdout.starts_with("7  unknown for now: HTTP 503 "), "{run:?}");
}

#[test]
fn the_manifests_say_what_the_programs_need() {
    let yaml = blocks("crates/aac-auth/VAULT.md", "yaml").remove(0);
    let manifests = Yaml::load_from_str(&yaml).unwrap();
    let kind = |name: &str| manifests.iter().find(|item| item["kind"].as_str() == Some(name));
    let (config, job) = (kind("ConfigMap").unwrap(), kind("CronJob").unwrap());
    assert_eq!(manifests.len(), 2);
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"].as_integer(), Some(150));
    let container = &pod["containers"][0];
    // What a container mounts is there, and the variables are those of the table.
    let names = |list: &Yaml<'_>| -> Vec<String> {
        let items = list.as_vec().unwrap().iter();
        items.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]));
    let guide = read("crates/aac-auth/VAULT.md");
    for variable in names(&container["env"]).iter().filter(|name| *name != "AAC_DIR") {
        assert!(guide.contains(&format!("| `{variable}` |")), "{variable}");
    }
    let pointer = config["data"]["creds.json"].as_str().unwrap();
    assert!(blocks("crates/aac-auth/VAULT.md", "bash")[0].contains(&format!("echo '{pointer}'")));
}

/// vault_cluster.rs runs their scripts.
#[test]
fn the_files_for_ci_say_what_the_programs_need() {
    let [github, gitlab] =
        ["github", "gitlab"].map(|name| read(format!("crates/aac-auth/ci/{name}.yml")));
    let [github, gitlab] =
        [&github, &gitlab].map(|text| Yaml::load_from_str(text).unwrap().remove(0));
    let variables = &github["env"];
    assert_eq!(variables, &gitlab["variables"]);
    let documents = ["README", "VAULT"].map(|name| read(format!("crates/aac-auth/{name}.md")));
    for name in variables.as_mapping().unwrap().keys() {
        let name = format!("`{}", name.as_str().unwrap());
        assert!(documents.iter().any(|text| text.contains(&name)), "{name}");
    }
    let job = &github["jobs"]["workspace"];
    assert_eq!(job["permissions"]["id-token"].as_str(), Some("write"));
    let address = &variables["VAULT_ADDR"];
    assert_eq!(&gitlab["workspace"]["id_tokens"]["VAULT_ID_TOKEN"]["aud"], address);
    assert!(documents[1].contains(&format!("[\"{}\"]", address.as_str().unwrap())));
    let install = "cargo install --locked --path crates/get_workspace";
    assert_eq!(job["steps"][1]["run"].as_str(), Some(install));
    assert_eq!(gitlab["workspace"]["before_script"][1].as_str(), Some(install));
}

#[test]
fn the_library_needs_no_clap() {
    let tree = |features: &[&str]| {
        let tree = ["tree", "--offline", "-p", "aac-auth", "-e", "normal", "--prefix", "none"];
        let output = acceptance::cargo().args(tree).args(features).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let has_clap = |tree: String| tree.lines().any(|line| line.starts_with("clap"));
    assert!(has_clap(tree(&[])));
    assert!(!has_clap(tree(&["--no-default-features"])));
}

/// A folder for projects outside of the repository. What they need of the registry is compiled as in the
/// repository, and so for the tests already.
fn outside() -> TempDir {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join(".cargo")).unwrap();
    let profile =
        "[profile.dev]\ndebug = 0\n\n[profile.dev.package.rustls-pki-types]\nopt-level = 3\n";
    fs::write(outside.path().join(".cargo/config.toml"), profile).unwrap();
    outside
}

/// How the documents name the folder in which a reader has the repository.
const CLONE: &str = "/home/me/aac-rust";

#[test]
#[cfg(unix)]
fn a_copy_outside_of_the_repository_builds_and_does_not_warn() {
    if !have("bash") {
        return;
    }
    let outside = outside();
    let project = outside.path().join("my_call");
    let document = "crates/get_workspace/README.md";
    let script = &blocks(document, "bash")[0];
    let mut copy = command("bash", repository());
    stdout(copy.args(["-ec", script]).env("HOME", outside.path()).output().unwrap());
    let section = section(document, "In a project of its own");
    let section = section.replace(CLONE, repository().to_str().unwrap());
    assert_eq!(make_the_changes(&section, &project), 2);
    let line = "cargo run -q -- --dir ~/aac";
    assert!(section.contains(&format!("`{line}`")));
    let case = Case::fresh(Options::default());
    let line = line.replace("~/aac", case.folder.path().to_str().unwrap());
    let run = || {
        let run = Run::of(command("bash", &project).args(["-c", &line]));
        run.assert_ok();
        assert_eq!(run.stderr, "");
    };
    run();

    // With the library taken along, and nothing else.
    for name in ["Cargo.toml", "crates/aac-auth"] {
        assert!(section.contains(&format!("`{name}`")));
        let copy = project.join("vendor").join(name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        acceptance::copy(&repository().join(name), &copy);
    }
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace(repository().to_str().unwrap(), "vendor");
    assert!(manifest.contains("path = \"vendor/crates/aac-auth\""), "{manifest}");
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    run();

    // The other documents name the library in the same way.
    let snippet = blocks("crates/aac-auth/README.md", "toml").remove(0);
    assert!(snippet.contains(&format!("aac-auth = {{ path = \"{CLONE}/crates/aac-auth\" }}\n")));
    let in_docs: String = snippet.lines().map(|line| format!("//! {line}\n")).collect();
    assert!(read("crates/aac-auth/src/lib.rs").contains(&in_docs), "the guide has the same");
}

#[test]
fn the_tests_of_another_project_use_the_sandbox() {
    let outside = outside();
    let project = outside.path().join("elsewhere");
    let snippet = blocks("crates/aac-sandbox/README.md", "toml").remove(0);
    let snippet = snippet.replace(CLONE, &repository().display().to_string().replace('\\', "/"));
    let manifest = "[package]\nname = \"my_call\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    let library = blocks("crates/aac-auth/README.md", "toml").remove(0);
    let library = library.replace(CLONE, &repository().display().to_string().replace('\\', "/"));
    fs::create_dir_all(project.join("src")).unwrap();
    fs::create_dir(project.join("tests")).unwrap();
    fs::write(project.join("Cargo.toml"), format!("{manifest}{library}\n{snippet}\n")).unwrap();
    // The same versions as here, which are built already.
    fs::copy(repository().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    fs::write(project.join("src/main.rs"), read("crates/get_workspace/src/main.rs")).unwrap();
    let test = blocks("crates/aac-sandbox/README.md", "rust").remove(0);
    fs::write(project.join("tests/my_call.rs"), test).unwrap();
    let tests = ["test", "-q", "--test", "my_call"];
    let printed = stdout(command(env!("CARGO"), &project).args(tests).output().unwrap());
    assert!(printed.contains("1 passed"), "{printed}");
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
    let forgotten = ["run", "-p", "list_users", "--format", "csv"];
    let forgotten = acceptance::cargo().args(forgotten).output().unwrap().stderr;
    let forgotten = String::from_utf8(forgotten).unwrap();
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
    BTreeMap::from([
        ("unexpected argument", forgotten.clone()),
        ("Usage: cargo run", forgotten),
        ("Invalid ApiKey", api(FaultKind::InvalidKey)),
        ("Failed to resolve API Key", {
            // Said by a gateway that got none, which cannot happen here but through a proxy that drops it.
            let case = Case::fresh(Options::default());
            let url = format!("{}/v4/people/current", case.sandbox.url());
            let token = &case.tokens.access_token;
            let bearer = format!("Bearer {token}");
            let bare = acceptance::agent().get(url).header("authorization", bearer).call();
            bare.unwrap().into_body().read_to_string().unwrap()
        }),
        ("the refresh token in", token(FaultKind::InvalidGrant)),
        ("is refused", token(FaultKind::InvalidGrant)),
        ("your tokens are unchanged", token(FaultKind::TooManyRequests(60))),
        ("the server's certificate is not trusted", tls),
        ("the proxy could not be used", proxy),
    ])
}

#[test]
fn troubleshooting_lists_what_the_programs_say() {
    let readme = read("README.md");
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
