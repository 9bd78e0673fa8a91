//! The repository itself: a top level for users, and documents that name what is there.

use acceptance::user::User;
use acceptance::{
    PLACEHOLDERS, PROGRAMS, Run, clean, crates, documents, example, have, names,
    names_a_variable_of_tests, program, read, repository, tracked,
};
use saphyr::{LoadableYamlNode, Yaml};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_top_level_stays_bare() {
    let Some(files) = tracked() else { return };
    let mut top: Vec<_> = files.iter().map(|path| path.split('/').next().unwrap()).collect();
    // A licence is looked for there.
    top.retain(|name| ![".", "LICENSE", "NOTICE"].iter().any(|begin| name.starts_with(begin)));
    top.dedup();
    let bare = [
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "aac_url.txt",
        "client_id.txt",
        "crates",
        "creds.json",
    ];
    assert_eq!(top, bare, "what is for contributors goes into a crate or a hidden folder");
}

#[test]
fn the_three_files_hold_placeholders_alone() {
    if tracked().is_none() {
        return;
    }
    for (name, text) in PLACEHOLDERS {
        // Not the file that is there, which may hold tokens, and is not to be committed.
        let mut git = clean("git");
        let output = git.args(["show", &format!(":{name}")]).current_dir(repository()).output();
        let is_placeholder = output.unwrap().stdout == text.as_bytes();
        assert!(is_placeholder, "{name}: git has something else, which is not shown here");
    }
}

#[test]
fn every_folder_in_the_map_is_there() {
    let document = read(".github/CONTRIBUTING.md");
    let (_, map) = document.split_once("## The map\n\n```text\n").unwrap();
    let (map, _) = map.split_once("\n```").unwrap();
    let mut listed = Vec::new();
    for line in map.lines() {
        let mut words = line.split([' ', ';']);
        let folder = PathBuf::from(words.next().unwrap());
        assert!(repository().join(&folder).exists(), "{line}");
        for document in words.filter(|word| word.ends_with(".md") || word.ends_with(".toml")) {
            assert!(repository().join(&folder).join(document).is_file(), "{line}");
        }
        listed.push(folder);
    }
    for name in crates() {
        let folder = Path::new("crates").join(name);
        assert!(listed.contains(&folder), "{} is not in the map", folder.display());
    }
}

#[test]
fn a_users_own_copy_and_a_licence_break_no_rule() {
    if !have("git") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path();
    acceptance::copy_of_the_repository(tree);
    for name in ["LICENSE", "LICENSE-MIT", "NOTICE"] {
        fs::write(tree.join(name), "").unwrap();
    }
    for args in [&["init", "--quiet"][..], &["add", "--all"]] {
        let run = Run::of(clean("git").args(args).current_dir(tree));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    let crates = tree.join("crates");
    acceptance::copy(&crates.join("get_workspace"), &crates.join("my_call"));
    let mut tests = clean(env::current_exe().unwrap());
    // Not that which builds.
    tests.args(["--skip", "a_users_own", "--skip", "no_program"]);
    tests.env("CARGO_MANIFEST_DIR", crates.join("acceptance"));
    let run = Run::of(&mut tests);
    assert_eq!(run.code, Some(0), "{}", run.stdout);
}

/// What starts a program: `aac-auth` one that keeps a key, a login git, the sandbox its command, and `acceptance::clean`
/// all that a test starts.
const STARTS: [&str; 4] = [
    "crates/aac-auth/src/api/git.rs",
    "crates/aac-auth/src/keys/program.rs",
    "crates/aac-sandbox/src/bin/aac-sandbox/child.rs",
    "crates/acceptance/src/lib.rs",
];

#[test]
fn all_that_a_test_starts_is_started_by_one_function() {
    // In two parts, so that this file has none of them.
    let start = ["Command", "::new("].concat();
    let clients = ["get(", "post("].map(|end| ["ureq::", end].concat());
    let mut started = Vec::new();
    let mut paths: Vec<_> =
        crates().into_iter().map(|name| Path::new("crates").join(name)).collect();
    while let Some(path) = paths.pop() {
        let here = repository().join(&path);
        if here.is_dir() {
            paths.extend(names(&here).into_iter().map(|name| path.join(name)));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(here).unwrap();
            started.extend(text.matches(&start).map(|_| path.clone()));
            let has_client = clients.iter().any(|client| text.contains(client));
            assert!(!has_client, "{}: take acceptance::agent", path.display());
        }
    }
    started.sort();
    assert_eq!(started, STARTS.map(PathBuf::from), "take acceptance::clean");
}

#[test]
fn no_program_obeys_a_variable_of_the_tests() {
    let recipes = names(&repository().join("crates/aac-auth/examples"));
    let recipes = recipes.iter().map(|name| example(name.strip_suffix(".rs").unwrap()));
    let made: Vec<_> = PROGRAMS.into_iter().map(program).chain(recipes).collect();
    assert_eq!(made.len(), 17);
    for path in made {
        assert!(!names_a_variable_of_tests(path), "{}", path.display());
    }
    assert!(names_a_variable_of_tests(acceptance::in_other_times()), "it would be seen");
}

#[test]
#[ignore = "takes as long as all tests: cargo test -p acceptance --test repository -- --ignored"]
fn all_tests_leave_a_users_own_tokens_alone() {
    User::default().run_all_tests();
}

/// What follows a word in the text, up to a blank: `after("x --test crash", "--test")` is crash.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{word} "))?;
    rest.split([' ', '`', '\n']).next()
}

#[test]
fn commands_name_what_is_there() {
    let mut found = 0;
    for document in documents() {
        for line in read(&document).lines() {
            let target = [("--test", "tests"), ("--example", "examples"), ("--bench", "benches")];
            let named =
                target.iter().filter_map(|(flag, folder)| Some((after(line, flag)?, folder)));
            for (name, folder) in named {
                let package = after(line, "-p").unwrap_or_else(|| panic!("no -p in {line}"));
                let path = format!("crates/{package}/{folder}/{name}");
                let is_there = [".rs", "/main.rs"]
                    .iter()
                    .any(|end| repository().join(path.clone() + end).is_file());
                assert!(is_there, "{}: {line}", document.display());
                found += 1;
            }
            if let Some(script) = line.starts_with("python3 ").then(|| after(line, "python3")) {
                assert!(repository().join(script.unwrap()).is_file(), "{line}");
                found += 1;
            }
        }
    }
    assert!(found >= 12, "{found}");
}

#[test]
fn what_is_to_be_changed_is_where_it_says() {
    let document = read(".github/CONTRIBUTING.md");
    let (_, table) = document.split_once("| what | where |\n|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let code: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let file = code.iter().find(|it| it.starts_with("crates/")).unwrap();
        let path = repository().join(file);
        assert!(path.exists(), "{row}");
        for name in code.iter().take_while(|it| *it != file).filter(|_| path.is_file()) {
            assert!(read(file).contains(name), "{row}: {name}");
        }
    }
}

#[test]
fn every_source_file_that_is_named_is_there() {
    let mut found = 0;
    for document in documents() {
        let folder = document.parent().unwrap();
        for path in
            read(&document).split('`').filter(|word| word.contains('/') && word.ends_with(".rs"))
        {
            // Of a program that is to be copied first, there is the original.
            let path = path.replace("crates/my_call/", "crates/get_workspace/");
            let is_there = [folder, Path::new("")]
                .iter()
                .any(|base| repository().join(base).join(&path).is_file());
            assert!(is_there, "{}: {path}", document.display());
            found += 1;
        }
    }
    assert!(found >= 20, "{found}");
}

/// The headings of a document, as GitHub makes anchors of them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = 0;
    for document in documents() {
        let text = read(&document);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            assert!(repository().join(&target).exists(), "{}: {link}", document.display());
            let has_anchor = || anchors(&read(&target)).iter().any(|name| name == anchor);
            assert!(anchor.is_empty() || has_anchor(), "{}: {link}", document.display());
            found += 1;
        }
    }
    assert!(found >= 20, "{found}");
}

#[test]
fn versions_are_the_same_everywhere() {
    let manifest = read("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    let release = after(&manifest, "\nversion =").unwrap();
    for (path, words) in [
        ("crates/get_workspace/Cargo.toml", format!("\nversion = {release}\n")),
        ("README.md", format!("[Rust](https://rustup.rs) {version} or newer")),
        (".github/CONTRIBUTING.md", format!("Rust {version}")),
        (".github/workflows/ci.yml", format!("rustup toolchain install {version} ")),
        (".github/workflows/ci.yml", format!("cargo +{version} test --workspace --locked")),
        // Which takes nothing from the workspace, so that it can leave it.
        ("crates/get_workspace/Cargo.toml", format!("rust-version = \"{version}\"")),
    ] {
        assert!(read(path).contains(&words), "{words:?} is not in {path}");
    }
}

#[test]
fn the_workflow_runs_what_a_contributor_runs() {
    let workflow = read(".github/workflows/ci.yml");
    let guide = read(".github/CONTRIBUTING.md");
    for command in [".ci/run", "cargo test --workspace --locked"] {
        assert!(workflow.contains(&format!("run: {command}\n")), "{command}");
    }
    assert!(workflow.contains("os: [windows-latest, macos-latest]"));
    let deny = after(&workflow, "install --locked").unwrap();
    assert!(deny.starts_with("cargo-deny@"));
    assert!(guide.contains(&format!("cargo install --locked {deny}\n")), "{deny}");
    let rust = after(&workflow, "RUST:").unwrap();
    let image = format!("image: rust:{rust}\n");
    assert!(read("crates/aac-auth/ci/gitlab.yml").contains(&image), "{image}");
    for (path, words) in [
        (".ci/build", format!("export RUSTUP_TOOLCHAIN={rust}\n")),
        (".github/Dockerfile", format!("FROM rust:{rust}-slim-bookworm@sha256:")),
    ] {
        assert!(read(path).contains(&words), "{words:?} is not in {path}");
    }
}

/// Whoever moves a tag of an action must not run here, nor at who copies a file.
#[test]
fn workflows_name_what_they_run_and_may_do_no_more_than_they_need() {
    let folder = ".github/workflows";
    let mut workflows: Vec<_> =
        names(&repository().join(folder)).iter().map(|name| format!("{folder}/{name}")).collect();
    workflows.push("crates/aac-auth/ci/github.yml".to_owned());
    let mut checkouts = 0;
    for path in &workflows {
        let text = read(path);
        for line in text.lines().filter(|line| line.contains("uses:")) {
            let (_, named) = line.split_once('@').unwrap_or_else(|| panic!("{path}: {line}"));
            let (commit, version) = named.split_once(" # v").unwrap_or((named, ""));
            let is_commit = commit.len() == 40 && commit.bytes().all(|c| c.is_ascii_hexdigit());
            let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
            let is_version = numbers.len() == 3 && numbers.iter().all(Result::is_ok);
            assert!(is_commit && is_version, "{path}: {line}: want a commit, and # vX.Y.Z");
        }
        let workflow = &Yaml::load_from_str(&text).unwrap()[0];
        let all = workflow.as_mapping_get("permissions").and_then(Yaml::as_mapping);
        let all = all.unwrap_or_else(|| panic!("{path}: no permissions at the top"));
        assert!(all.values().all(|it| matches!(it.as_str(), Some("read" | "none"))), "{path}");
        for job in workflow["jobs"].as_mapping().unwrap().values() {
            let steps = job.as_mapping_get("steps").and_then(Yaml::as_vec);
            for step in steps.into_iter().flatten() {
                let action = step.as_mapping_get("uses").and_then(Yaml::as_str);
                if action.is_some_and(|action| action.starts_with("actions/checkout@")) {
                    let with = step.as_mapping_get("with");
                    let is_kept = with.and_then(|with| with.as_mapping_get("persist-credentials"));
                    let is_kept = is_kept.and_then(Yaml::as_bool);
                    assert_eq!(is_kept, Some(false), "{path}: a checkout keeps the token");
                    checkouts += 1;
                }
            }
        }
    }
    assert!(checkouts > 5, "{checkouts}");
}
