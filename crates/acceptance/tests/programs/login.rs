//! `login`: a new pair in place of none, of a dead one, or of another's; and never one in a commit.

use crate::{NONE, in_vault};
use aac_sandbox::{Fault, FaultKind, Options, Sandbox, Tokens, VaultOptions};
use acceptance::sealed::Key;
use acceptance::{Case, KEY, PLACEHOLDERS, Run, Running, clean, creds_with, have, names, program};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const CONFIG: &str = if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_CONFIG_HOME" };
const DECLINED: &str = "To answer yes to every question of this kind: --yes";

/// A user with an account, a current folder and a home.
struct User {
    sandbox: Sandbox,
    current: TempDir,
    home: TempDir,
}

impl User {
    fn new(options: Options) -> Self {
        let [current, home] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Self { sandbox: Sandbox::start(options).unwrap(), current, home }
    }

    fn own(&self) -> PathBuf {
        self.home.path().join("aac")
    }

    fn current(&self, name: &str) -> PathBuf {
        self.current.path().join(name)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = clean(program(name));
        command.env(CONFIG, self.home.path()).current_dir(&self.current);
        command
    }

    /// Logs in without a terminal.
    #[track_caller]
    fn login(&self, args: &[&str], pasted: &str) -> Run {
        login(self.program("login").args(args), pasted)
    }

    /// The flags for the address and the ID.
    fn settings(&self) -> [&str; 4] {
        ["--url", self.sandbox.url(), "--client-id", self.sandbox.project_id()]
    }

    /// With the address and the ID, and with plain text if the place is up to that.
    #[track_caller]
    fn set_up(&self, args: &[&str], pasted: &str) -> Run {
        let form: &[_] = if args.contains(&"--vault") { &[] } else { &["--plain"] };
        self.login(&[&self.settings(), form, args].concat(), pasted)
    }

    /// A key in a file, for a program.
    fn with_key<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let file = self.current("key");
        fs::write(&file, KEY).unwrap();
        command.env("AAC_KEY_FILE", file)
    }

    /// Checks that programs that are started here use this pair, which is fresh.
    #[track_caller]
    fn assert_uses(&self, tokens: &Tokens) {
        Run::of(&mut self.program("get_workspace")).assert_ok();
        let used = Run::of(&mut self.program("access_token"));
        assert!(used.stdout.trim_end() == tokens.access_token, "another pair is used");
    }

    fn git(&self, args: &[&str]) -> String {
        let output = clean("git").args(args).current_dir(&self.current).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A clone of the repository whose files were filled in, with a dead pair and what is saved beside it.
    fn in_a_clone(&self) -> Tokens {
        for (name, text) in PLACEHOLDERS {
            fs::write(self.current(name), text).unwrap();
        }
        fs::write(self.current(".gitignore"), "creds.json.*\nreplaced-*/\n").unwrap();
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        let dead = self.sandbox.issue_expired();
        self.sandbox.write_files(self.current.path(), &dead).unwrap();
        fs::remove_file(self.current("api_project_id.txt")).unwrap();
        self.sandbox.disable_pairs();
        Run::of(&mut self.program("get_workspace")).assert_fails(4, &["is refused"]);
        assert!(self.current("creds.json.rotation").is_file());
        dead
    }
}

/// Logs in with these tokens on standard input, and checks that it shows none.
#[track_caller]
fn login(command: &mut Command, pasted: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it reads them.
    let _ = child.stdin.take().unwrap().write_all(pasted.as_bytes());
    let run = Run::from(child);
    let words = pasted.split(|it: char| it.is_whitespace() || "{}\",:".contains(it));
    run.assert_hides(&words.filter(|word| word.len() > 100).collect::<Vec<_>>());
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run
}

#[track_caller]
fn assert_in(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said = "they are good for the workspace lukes-test-workspace\n";
    assert!(run.stdout.ends_with(said), "{}", run.stdout);
}

/// The only folder of a replaced pair.
#[track_caller]
fn replaced(folder: &Path) -> PathBuf {
    let names = names(folder);
    let mut found = names.iter().filter(|name| name.starts_with("replaced-"));
    let (name, None) = (found.next().unwrap(), found.next()) else { panic!("{names:?}") };
    folder.join(name)
}

fn refresh_token(creds: &Path) -> String {
    let creds: Value = serde_json::from_slice(&fs::read(creds).unwrap()).unwrap();
    creds["refresh_token"].as_str().unwrap_or_default().to_owned()
}

/// The same token with another claim.
fn with_claim(token: &str, name: &str, value: Value) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let mut payload: Value = serde_json::from_slice(&BASE64URL.decode(parts[1]).unwrap()).unwrap();
    payload[name] = value;
    [parts[0], &BASE64URL.encode(payload.to_string()), parts[2]].join(".")
}

#[test]
fn a_new_user_gets_in_however_the_tokens_come() {
    for form in ["json", "lines", "swapped"] {
        let user = User::new(Options::default());
        let tokens = user.sandbox.issue();
        let Tokens { access_token, refresh_token: refresh } = &tokens;
        let pasted = match form {
            "json" => creds_with(&tokens),
            "lines" => format!("{access_token}\n{refresh}\n"),
            _ => format!("{refresh}\r\n{access_token}\r\n"),
        };
        // Not the region in the address of the page.
        let id = ["--client-id", user.sandbox.project_id()];
        let url = ["--url", &format!("{}/cloud-portal/library?x=1", user.sandbox.url())];
        let run = user.login(&[&url[..], &id, &["--plain"]].concat(), &pasted);
        assert_in(&run);
        assert!(run.stdout.contains(&user.own().join("creds.json").display().to_string()));
        let files = ["aac_url.txt", "client_id.txt", "creds.json", "creds.json.lock"];
        assert_eq!(names(&user.own()), files);
        assert_eq!(names(user.current.path()), NONE);
        let text = |name| fs::read_to_string(user.own().join(name)).unwrap();
        assert_eq!(text("aac_url.txt"), format!("{}\n", user.sandbox.url()));
        assert_eq!(text("client_id.txt"), format!("{}\n", user.sandbox.project_id()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&user.own()), 0o700);
            assert_eq!(mode(&user.own().join("creds.json")), 0o600);
        }
        let requests = user.sandbox.requests();
        let paths: Vec<_> = requests.iter().map(|request| &*request.path).collect();
        assert_eq!(paths, ["/iam/v1/workspaces/current"], "one call, and no refresh");
        user.assert_uses(&tokens);
        assert_eq!(user.sandbox.counters().token_requests, 0);
    }
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_written() {
    let elsewhere = Sandbox::start(Options::default()).unwrap();
    let elsewhere = (elsewhere.issue(), elsewhere.url().to_owned());
    // What was done to the pair, the flags, the exit code, and what is said.
    for (what, flags, code, words) in [
        ("", &["--client-id", "AnotherProjectId"][..], 4, "the API project ID is wrong: Invalid"),
        ("", &["--client-id", "af1b5321-afe0-48c2-966a-c77d74e98085"], 1, "the OAuth client ID"),
        ("", &["--client-id", "abc"], 1, "--client-id: too short"),
        (
            "",
            &["--client-id", "Your client id here"],
            2,
            "--client-id: the API project ID is needed",
        ),
        ("", &["--url", "eu1"], 1, "the access token was issued by http://127.0.0.1:"),
        ("", &["--url", "https://example.com"], 1, "--url: not a host of Alteryx Cloud's API"),
        ("", &["--vault", "https://vault/v1"], 1, "--vault: not the path of a secret"),
        ("elsewhere", &[], 1, "the access token was issued by http://127.0.0.1:"),
        ("cut", &[], 1, "the access token was not pasted whole: its signature"),
        ("half", &[], 1, "the refresh token was not pasted whole: "),
        ("one", &[], 2, "standard input has no refresh token"),
        ("none", &[], 1, "no tokens on standard input\n  Run this in a terminal, or "),
        ("revoked", &[], 4, "the server does not accept the access token that was pasted"),
        ("down", &["--retry", "0"], 5, "HTTP 500"),
    ] {
        let user = User::new(Options::default());
        let mut tokens = user.sandbox.issue();
        let length = tokens.access_token.len();
        match what {
            // It stands on another port of this machine, which may be the same sandbox's.
            "elsewhere" => tokens = elsewhere.0.clone(),
            "cut" => tokens.access_token.truncate(length - 100),
            "half" => tokens.refresh_token.truncate(100),
            "revoked" => user.sandbox.revoke_access_tokens(),
            "down" => user.sandbox.add_fault(Fault::api(FaultKind::ServerError).always()),
            _ => {}
        }
        let pasted = match what {
            "one" => tokens.access_token.clone(),
            "none" => String::new(),
            _ => creds_with(&tokens),
        };
        let url = if what == "elsewhere" { "us1" } else { user.sandbox.url() };
        let mut args = vec![("--url", url), ("--client-id", user.sandbox.project_id())];
        args.retain(|(name, _)| flags.first() != Some(name));
        let args: Vec<_> = args.into_iter().flat_map(|(name, value)| [name, value]).collect();
        let form: &[_] = if flags.first() == Some(&"--vault") { &[] } else { &["--plain"] };
        let run = user.login(&[&args[..], form, flags].concat(), &pasted);
        run.assert_says(code, &[words]);
        let made = [names(user.home.path()), names(user.current.path())];
        assert_eq!(made, [NONE; 2], "{what} {flags:?}");
        assert_eq!(user.sandbox.counters().token_requests, 0);
    }
}

#[test]
fn the_place_is_tried_before_the_tokens_are_asked_for() {
    let user = User::new(Options::default());
    let file = user.current("file");
    fs::write(&file, "").unwrap();
    let pasted = creds_with(&user.sandbox.issue());
    let run = |variable: &str, value: &str, args: &[&str]| {
        let mut command = user.program("login");
        login(command.env(variable, value).args(user.settings()).args(args), &pasted)
    };
    let below = file.join("below").display().to_string();
    // Windows has one error for what is not there and for what is below a file.
    let words = if cfg!(windows) { "it is a file, not a folder" } else { "no such folder" };
    run(CONFIG, &below, &[]).assert_says(1, &[words]);
    #[cfg(target_os = "linux")]
    run("X", "", &["--dir", "/proc/new"]).assert_says(1, &["/proc/", "your tokens are unchanged"]);
    run("X", "", &["--dir", "file"]).assert_says(1, &["file: it is a file, not a folder"]);
    run("AAC_DIR", "gone/folder", &[]).assert_says(1, &["gone/folder: no such folder"]);
    run("X", "", &["--dir", "~/aac"]).assert_says(1, &["The ~ was not replaced"]);
    for variable in ["AAC_ACCESS_TOKEN", "AAC_VAULT"] {
        let words =
            [&format!("{variable} is set, and programs take the tokens from there"), "--dir"];
        run(variable, "secret/data/aac", &[]).assert_says(1, &words);
    }
    run("AAC_URL", "https://api.us1.alteryxcloud.com", &[]).assert_says(1, &["AAC_URL is set"]);
    fs::create_dir(user.current("creds.json")).unwrap();
    run("X", "", &["--dir", "."]).assert_says(1, &["creds.json: not a file, but a folder"]);
    assert_eq!(user.sandbox.counters().connections, 0);
    assert_eq!(names(user.home.path()), NONE);
    // A folder that is named is made.
    fs::remove_dir(user.current("creds.json")).unwrap();
    assert_in(&run("AAC_ACCESS_TOKEN", "x", &["--dir", "new"]));
    assert!(user.current("new").join("creds.json").is_file());
}

#[test]
fn an_access_token_that_expired_meanwhile_is_refreshed_once_it_is_saved() {
    for is_dead in [false, true] {
        let user = User::new(Options::default());
        let tokens = user.sandbox.issue_expired();
        if is_dead {
            user.sandbox.disable_pairs();
        }
        let run = user.set_up(&[], &creds_with(&tokens));
        assert!(run.stderr.contains("it will be refreshed"), "{}", run.stderr);
        let creds = user.own().join("creds.json");
        match is_dead {
            false => {
                assert_in(&run);
                assert_ne!(refresh_token(&creds), tokens.refresh_token);
            }
            true => {
                assert_eq!(run.code, Some(4), "{}", run.stderr);
                assert!(run.stderr.ends_with(", and run: cargo run -p login -- --tokens\n"));
                assert_eq!(refresh_token(&creds), tokens.refresh_token);
            }
        }
        assert_eq!(user.sandbox.counters().token_requests, 1);
    }
}

#[test]
fn a_dead_pair_makes_room_with_all_that_is_saved_beside_it() {
    let case = Case::expired(Options::default());
    case.sandbox.disable_pairs();
    fs::write(case.path("api_project_id.txt"), "AnOlderProjectId").unwrap();
    // A folder that the command would not find in the project's folder is named. That is where `cargo run` was.
    let cure = "run: cargo run -p login -- --tokens\n";
    let with_dir = format!("-- --tokens --dir \"{}\"\n", case.folder.path().display());
    // As in a mail of cron: whoever reads it has no such variable.
    let run = case.run(NONE);
    run.assert_fails(4, &["is refused"]);
    assert!(run.stderr.ends_with(&with_dir), "{}", run.stderr);
    let folder = case.folder.path();
    for (here, dir, by_cargo, ending) in [
        (folder, "", true, cure),
        (folder, "", false, &with_dir),
        (folder, ".", false, &with_dir),
        (&env::temp_dir(), folder.to_str().unwrap(), true, &with_dir),
    ] {
        let mut command = acceptance::command();
        command.current_dir(here).args((!dir.is_empty()).then(|| format!("--dir={dir}")));
        if by_cargo {
            command.env("CARGO_MANIFEST_DIR", case.folder.path());
        }
        let run = Run::of(&mut command);
        assert!(run.stderr.ends_with(ending), "{}", run.stderr);
    }
    let sent = case.sandbox.counters().token_requests;
    let saved = fs::read(case.path("creds.json.rotation")).unwrap();
    let mut pairs = vec![case.tokens.clone()];
    for number in 1..=2 {
        let tokens = case.sandbox.issue();
        let run = login(case.program("login").arg("--tokens"), &creds_with(&tokens));
        assert_in(&run);
        let account =
            "the older pair (user ada.lovelace@example.com, workspace lukes-test-workspace";
        assert!(run.stdout.contains(account), "{}", run.stdout);
        assert!(run.stdout.contains("disable it: http://127.0.0.1:"), "{}", run.stdout);
        let names = case.names();
        let folders: Vec<_> = names.iter().filter(|it| it.starts_with("replaced-")).collect();
        assert_eq!(folders.len(), number, "{names:?}");
        let old = case.path(folders.last().unwrap()).join("creds.json");
        assert_eq!(refresh_token(&old), pairs.last().unwrap().refresh_token);
        assert!(!case.path("creds.json.rotation").exists());
        case.run(NONE).assert_ok();
        pairs.push(tokens);
    }
    let first =
        names(case.folder.path()).into_iter().find(|it| it.starts_with("replaced-")).unwrap();
    assert!(fs::read(case.path(&first).join("creds.json.rotation")).unwrap() == saved);
    let id = |name| fs::read_to_string(case.path(name)).unwrap();
    assert_eq!(id("api_project_id.txt"), id("client_id.txt"), "the vendor's programs read it");
    assert_eq!(case.sandbox.counters().token_requests, sent);
    // A pair that was used is not put back.
    let run =
        login(case.program("login").arg("--tokens"), &creds_with(&case.sandbox.issue_expired()));
    assert_in(&run);
    let used = case.sent_tokens().pop().unwrap();
    let old = json!({ "access_token": pairs[2].access_token, "refresh_token": used }).to_string();
    let run = login(case.program("login").arg("--tokens"), &old);
    run.assert_says(4, &["the refresh token that was pasted was used on"]);
}

#[test]
fn another_account_is_replaced_only_after_a_question() {
    // Of another workspace, and of another region.
    for is_elsewhere in [false, true] {
        let user = User::new(Options::default());
        let other = Sandbox::start(Options::default()).unwrap();
        let mut old = if is_elsewhere { other.issue() } else { user.sandbox.issue() };
        if !is_elsewhere {
            old.access_token = with_claim(&old.access_token, "scope", json!("w:another"));
        }
        let of = if is_elsewhere { &other } else { &user.sandbox };
        fs::create_dir(user.own()).unwrap();
        of.write_files(&user.own(), &old).unwrap();
        let before = fs::read(user.own().join("creds.json")).unwrap();
        let tokens = user.sandbox.issue();
        let run = user.set_up(&[], &creds_with(&tokens));
        run.assert_says(1, &["has the tokens of user ada", "Replace them?", DECLINED]);
        assert!(fs::read(user.own().join("creds.json")).unwrap() == before);
        let url = fs::read_to_string(user.own().join("aac_url.txt")).unwrap();
        assert_eq!(url.trim_end(), of.url());
        assert_in(&user.set_up(&["--yes"], &creds_with(&tokens)));
        user.assert_uses(&tokens);
        assert!(fs::read(replaced(&user.own()).join("creds.json")).unwrap() == before);
        assert_eq!(other.counters().connections, 0);
        assert_eq!(user.sandbox.counters().token_requests, 0);
    }
}

#[test]
fn git_gets_the_placeholders_back_and_the_tokens_go_home() {
    if !have("git") {
        return;
    }
    let user = User::new(Options::default());
    let dead = user.in_a_clone();
    // An older one is at home.
    let older = user.sandbox.issue_expired();
    fs::create_dir(user.own()).unwrap();
    user.sandbox.write_files(&user.own(), &older).unwrap();
    let tokens = user.sandbox.issue();
    let run = user.login(&["--tokens"], &creds_with(&tokens));
    run.assert_says(1, &["git tracks ", "Put the placeholders back there", DECLINED]);
    assert_eq!(refresh_token(&user.current("creds.json")), dead.refresh_token);
    let run = user.login(&["--tokens", "--yes"], &creds_with(&tokens));
    assert_in(&run);
    assert_eq!(run.stdout.matches("the older pair (").count(), 2, "{}", run.stdout);
    assert_eq!(user.git(&["diff", "--name-only"]), "aac_url.txt\n");
    user.assert_uses(&tokens);
    let own = names(&user.own());
    let folders: Vec<_> = own.iter().filter(|name| name.starts_with("replaced-")).collect();
    let kept = folders.iter().map(|name| user.own().join(name));
    let kept: HashSet<_> = kept.map(|folder| refresh_token(&folder.join("creds.json"))).collect();
    assert_eq!(kept, HashSet::from([dead.refresh_token, older.refresh_token]));
    let journals =
        folders.iter().filter(|it| user.own().join(it).join("creds.json.rotation").is_file());
    assert_eq!(journals.count(), 1);
    assert!(!user.current("creds.json.rotation").exists());
}

#[test]
fn tokens_stay_in_a_git_work_tree_only_after_a_question() {
    if !have("git") {
        return;
    }
    let add = |user: &User, args: &[&str], words: &str| {
        let tokens = user.sandbox.issue();
        let run = user.set_up(args, &creds_with(&tokens));
        run.assert_says(1, &[words, DECLINED]);
        let run = user.set_up(&[args, &["--yes"]].concat(), &creds_with(&tokens));
        assert_in(&run);
        let folder = user.current.path().canonicalize().unwrap();
        assert!(run.stdout.contains("creds.json"), "{}", run.stdout);
        assert_eq!(refresh_token(&folder.join("creds.json")), tokens.refresh_token);
        assert_eq!(names(user.home.path()), NONE);
    };
    // It is skipped.
    let user = User::new(Options::default());
    user.in_a_clone();
    user.git(&["update-index", "--skip-worktree", "creds.json", "client_id.txt", "aac_url.txt"]);
    add(&user, &[], "(skip-worktree). Keep the tokens there?");
    assert_eq!(user.git(&["status", "--porcelain"]).matches("??").count(), 0);
    // It is named.
    let user = User::new(Options::default());
    user.in_a_clone();
    add(&user, &["--dir", "."], "a commit could publish the tokens");
    // It is not tracked, and could be.
    let main = User::new(Options::default());
    main.git(&["init", "--quiet"]);
    let name = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
    main.git(&[&name[..], &["commit", "--quiet", "--allow-empty", "-m", "x"]].concat());
    let linked = User::new(Options::default());
    main.git(&[
        "worktree",
        "add",
        "--quiet",
        "-b",
        "linked",
        linked.current.path().to_str().unwrap(),
    ]);
    assert!(linked.current(".git").is_file());
    for user in [&linked, &main] {
        user.sandbox.write_files(user.current.path(), &user.sandbox.issue_expired()).unwrap();
        add(user, &[], "git does not ignore ");
        let status = user.git(&["status", "--porcelain", "--untracked-files=all"]);
        assert!(!status.contains("creds.json"), "{status}");
        // It is asked once: the two have one list.
        assert_in(&user.set_up(&[], &creds_with(&user.sandbox.issue())));
        fs::write(main.current(".git").join("info").join("exclude"), "").unwrap();
    }
    // git is not there.
    let user = User::new(Options::default());
    user.sandbox.write_files(user.current.path(), &user.sandbox.issue_expired()).unwrap();
    fs::write(user.current(".git"), "gitdir: elsewhere").unwrap();
    let mut command = user.program("login");
    let pasted = creds_with(&user.sandbox.issue());
    let run = login(command.env("PATH", "").arg("--tokens"), &pasted);
    run.assert_says(1, &["git does not say whether it tracks that file", DECLINED]);
    add(&user, &[], "git does not say whether it tracks that file");
}

#[test]
fn an_unfinished_refresh_is_finished_first() {
    let case = Case::interrupted(Options::default());
    let sent = case.sandbox.counters().token_requests;
    let tokens = case.sandbox.issue();
    assert_in(&login(case.program("login").arg("--tokens"), &creds_with(&tokens)));
    assert_eq!(case.sandbox.counters().token_requests, sent, "the journal had the pair");
    let old = refresh_token(&replaced(case.folder.path()).join("creds.json"));
    assert!(old != case.tokens.refresh_token && case.sandbox.is_live(&old));
    assert_eq!(case.refresh_token(), tokens.refresh_token);
    assert!(!case.path("creds.json.rotation").exists());
}

#[test]
fn a_refresh_that_goes_on_is_waited_for() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let refresh = Running::of(&mut case.command());
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    let tokens = case.sandbox.issue();
    let pasted = case.path("pasted");
    fs::write(&pasted, creds_with(&tokens)).unwrap();
    let mut command = case.program("login");
    let mut run = Running::of(command.arg("--tokens").stdin(fs::File::open(&pasted).unwrap()));
    run.says("waiting for a program that is refreshing the tokens");
    hold.release();
    assert_in(&run.end());
    refresh.end().assert_ok();
    let old = refresh_token(&replaced(case.folder.path()).join("creds.json"));
    assert!(case.sandbox.is_live(&old), "what it got is not lost");
    assert_eq!(case.refresh_token(), tokens.refresh_token);
}

#[test]
fn programs_that_run_meanwhile_end_well_and_use_no_token_twice() {
    for is_dead in [false, true] {
        let case = Case::expired(Options::default());
        if is_dead {
            case.sandbox.disable_pairs();
        }
        let tokens = case.sandbox.issue_expired();
        let programs = case.start(10);
        let run = login(case.program("login").arg("--tokens"), &creds_with(&tokens));
        assert_in(&run);
        let late = case.start(10);
        for (index, child) in programs.into_iter().chain(late).enumerate() {
            let run = Run::from(child);
            if is_dead && index < 10 && run.code == Some(4) {
                run.assert_fails(4, &["is refused"]);
            } else {
                run.assert_ok();
            }
        }
        let sent = case.sent_tokens();
        let dead = sent.iter().filter(|token| **token == case.tokens.refresh_token).count();
        let others: Vec<_> = sent.iter().filter(|it| **it != case.tokens.refresh_token).collect();
        assert_eq!(others.len(), others.iter().collect::<HashSet<_>>().len());
        assert!(dead <= 1 || is_dead, "{dead}");
        case.run(NONE).assert_ok();
    }
}

#[test]
fn a_secret_in_a_vault_gets_the_pair_and_creds_json_its_name() {
    let vault = Some(VaultOptions::default());
    let user = User::new(Options { vault, ..Options::default() });
    let of_user = |user: &User, args: &[&str], tokens: &Tokens| {
        let mut command = user.program("login");
        command.args(user.settings()).args(args).envs(user.sandbox.vault().environment());
        login(&mut command, &creds_with(tokens))
    };
    let path = user.sandbox.vault().path().to_owned();
    let run = |args: &[&str], tokens: &Tokens| of_user(&user, args, tokens);
    let first = user.sandbox.issue();
    // Without a way to the vault, before anything is asked.
    let said = user.set_up(&["--vault", &path], &creds_with(&first));
    said.assert_says(1, &["VAULT_ADDR is not set"]);
    // The sandbox's token may not make a secret.
    let denied = run(&["--vault", &path], &first);
    denied.assert_says(1, &["permission denied (HTTP 403)", "[\"create\", \"read\", \"update\"]"]);
    assert!(!user.own().join("creds.json").exists());
    user.sandbox.vault().put_tokens(&user.sandbox.issue_expired());
    assert_in(&run(&["--vault", &path, "--yes"], &first));
    let pointer: Value =
        serde_json::from_slice(&fs::read(user.own().join("creds.json")).unwrap()).unwrap();
    assert_eq!(pointer, json!({ "vault": path }));
    let uses = |tokens: &Tokens| {
        let mut command = user.program("access_token");
        let used = Run::of(command.envs(user.sandbox.vault().environment()));
        assert!(used.stdout.trim_end() == tokens.access_token, "{}", used.stderr);
    };
    uses(&first);
    // The name is there: the next pair goes to the same secret, after a question.
    let second = user.sandbox.issue();
    let words = "has the tokens of user ada.lovelace@example.com";
    run(&[], &second).assert_says(1, &[words, "Replace them?", DECLINED]);
    uses(&first);
    assert_in(&run(&["--yes"], &second));
    uses(&second);
    // A pair that is dead.
    let case = in_vault(Options::default(), Sandbox::issue_expired);
    case.sandbox.disable_pairs();
    let environment = case.sandbox.vault().environment();
    let failed = Run::of(case.command().envs(environment.clone()));
    failed
        .assert_fails(4, &["is refused", &format!("run: cargo run -p login -- --vault {path}\n")]);
    let mut command = case.program("login");
    command.args(["--tokens", "--yes"]).envs(environment.clone());
    assert_in(&login(&mut command, &creds_with(&case.sandbox.issue())));
    Run::of(case.command().envs(environment)).assert_ok();
}

#[test]
fn a_sealed_pair_makes_room_for_one_that_is_sealed() {
    let case = Case::expired(Options::default()).sealed(true);
    let before = fs::read(case.creds()).unwrap();
    let tokens = case.sandbox.issue();
    let run = || login(case.program("login").arg("--tokens"), &creds_with(&tokens));
    assert_in(&run());
    case.assert_hidden();
    case.run(NONE).assert_ok();
    let used = case.program("access_token").output().unwrap().stdout;
    assert!(String::from_utf8(used).unwrap().trim_end() == tokens.access_token);
    assert!(fs::read(replaced(case.folder.path()).join("creds.json")).unwrap() == before);
    // Without the key it is not replaced, and no tokens are asked for.
    case.write_key(None);
    let calls = case.sandbox.counters().api_calls;
    run().assert_says(1, &["sealed, and AAC_KEY_FILE names ", "your tokens are unchanged"]);
    assert_eq!(case.sandbox.counters().api_calls, calls);
}

/// What a file that is sealed with the key of the tests says; none if it is not.
fn opened(creds: &Path) -> Option<Value> {
    let opened = Key::of(KEY).open("creds", &fs::read(creds).unwrap())?;
    Some(serde_json::from_slice(&opened).unwrap())
}

#[test]
fn a_new_pair_is_sealed_in_the_users_own_folder_and_elsewhere_if_asked() {
    const BASH: &str = "and the one for bash empties it. Seal ";
    // The flags, whether that is sealed, and whether a later pair without flags is.
    for (flags, is_sealed) in [
        (&[][..], true),
        (&["--seal"], true),
        (&["--plain"], false),
        (&["--dir", "named"], false),
        (&["--dir", "named", "--seal", "--yes"], true),
    ] {
        for is_expired in [false, true] {
            let user = User::new(Options::default());
            let issue = || match is_expired {
                true => user.sandbox.issue_expired(),
                false => user.sandbox.issue(),
            };
            let run = |args: &[&str], tokens: &Tokens| {
                let mut command = user.program("login");
                login(user.with_key(command.args(args)), &creds_with(tokens))
            };
            let is_named = flags.contains(&"named");
            let dir: &[_] = if is_named { &["--dir", "named"] } else { &[] };
            let folder = if is_named { user.current("named") } else { user.own() };
            let creds = folder.join("creds.json");
            if flags.contains(&"--yes") {
                let args = [&user.settings()[..], &flags[..3]].concat();
                run(&args, &user.sandbox.issue()).assert_says(1, &[BASH, DECLINED]);
                assert!(!folder.exists(), "it was declined");
            }
            let first = issue();
            assert_in(&run(&[&user.settings()[..], flags].concat(), &first));
            // Later ones are kept alike.
            for (number, tokens) in [first, issue(), issue()].into_iter().enumerate() {
                if number > 0 {
                    let before = fs::read(&creds).unwrap();
                    assert_in(&run(&[dir, &["--tokens"]].concat(), &tokens));
                    let kept = names(&folder).into_iter().filter(|it| it.starts_with("replaced-"));
                    let mut kept =
                        kept.map(|it| fs::read(folder.join(it).join("creds.json")).unwrap());
                    assert!(kept.any(|kept| kept == before), "{flags:?}: as it was kept");
                }
                assert_eq!(opened(&creds).is_some(), is_sealed, "{flags:?}");
                let mut command = user.program("access_token");
                let used = Run::of(user.with_key(command.args(dir))).stdout;
                match is_expired {
                    false => assert!(used.trim_end() == tokens.access_token),
                    true => assert!(user.sandbox.counters().refreshes > number as u64),
                }
                let raw = fs::read(&creds).unwrap();
                let has_token = raw.windows(15).any(|part| part == b"\"refresh_token\"");
                assert_eq!(has_token, !is_sealed, "{flags:?}");
            }
            assert_eq!(user.sandbox.counters().reused, 0);
        }
    }
}

/// Other systems have a store in any session.
#[cfg(target_os = "linux")]
#[test]
fn where_nothing_keeps_a_key_the_ways_out_are_told_before_tokens_are_asked_for() {
    let ways = ["--plain", "AAC_KEY_FILE", "AAC_KEY_COMMAND"];
    for flags in [&[][..], &["--yes"], &["--seal"]] {
        let user = User::new(Options::default());
        let mut command = user.program("login");
        let mut child = command.args(user.settings()).args(flags).stdin(Stdio::piped());
        child = child.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // It ends though nothing comes.
        let input = child.stdin.take();
        let run = Run::from(child);
        run.assert_says(1, &[&["the tokens cannot be sealed: "], &ways[..]].concat());
        drop(input);
        assert_eq!([names(user.home.path()), names(user.current.path())], [NONE; 2]);
        assert_eq!(user.sandbox.counters().connections, 0);
    }
}

#[test]
fn a_pair_is_turned_over_with_all_that_lies_beside() {
    let case = Case::expired(Options::default()).sealed(true);
    case.sandbox.disable_pairs();
    case.run(NONE).assert_fails(4, &["is refused"]);
    fs::write(case.path("creds.json.damaged"), "may hold a token").unwrap();
    let journal = "creds.json.rotation";
    let calls = case.sandbox.counters();
    let login = |args: &[&str]| case.call("login", args);
    let turned = |args: &[&str], words: &[&str]| {
        let run = login(args);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        for words in words {
            assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
        }
    };
    let is_sealed =
        |name: &str| !Key::of(KEY).open_all(&fs::read(case.path(name)).unwrap()).is_empty();
    let damaged = "creds.json.damaged stays as it is: ";
    turned(&["--plain"], &["creds.json is now plain\n", "creds.json.rotation as well\n", damaged]);
    assert!(!is_sealed("creds.json") && !is_sealed(journal));
    assert_eq!(refresh_token(&case.creds()), case.tokens.refresh_token);
    login(&["--seal"]).assert_says(1, &["the one for bash empties it. Seal ", DECLINED]);
    assert!(!is_sealed("creds.json"));
    let words = ["creds.json is now sealed; AAC_KEY_FILE keeps the key\n", damaged, "backups"];
    turned(&["--seal", "--yes"], &words);
    assert!(is_sealed("creds.json") && is_sealed(journal));
    case.assert_hidden();
    turned(&["--seal"], &["creds.json is already sealed"]);
    assert_eq!(case.sandbox.counters(), calls, "the server is not asked");
    // Not two at once, and not in a vault.
    for flags in [&["--plain"][..], &["--vault", "secret/data/aac"]] {
        login(&[&["--seal"], flags].concat()).assert_says(2, &["cannot be used with"]);
    }
    let case = in_vault(Options::default(), Sandbox::issue);
    for flags in [&["--seal"][..], &["--plain", "--tokens"]] {
        let mut command = case.program("login");
        let run =
            Run::of(command.args(flags).arg("--yes").envs(case.sandbox.vault().environment()));
        run.assert_says(1, &["the tokens are not in creds.json"]);
    }
}

#[test]
fn programs_that_run_while_a_pair_is_turned_over_use_no_token_twice() {
    let case = Case::expired(Options { token_lifetime: 2, ..Options::default() }).sealed(true);
    let mut programs = case.start(10);
    // Until some of them had to refresh; it is sealed in the end.
    for turn in 0.. {
        programs.extend(case.start(2));
        let (flag, form) = [("--plain", "plain"), ("--seal", "sealed")][turn % 2];
        let run = case.call("login", [flag, "--yes"]);
        assert!(run.stdout.contains(&format!("creds.json is now {form}")), "{}", run.stderr);
        if turn >= 5 && turn % 2 == 1 && case.sandbox.counters().refreshes > 2 {
            break;
        }
        assert!(turn < 200, "{:?}", case.sandbox.counters());
    }
    programs.into_iter().for_each(|child| Run::from(child).assert_ok());
    assert_eq!(case.sandbox.counters().reused, 0);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    case.run(NONE).assert_ok();
    case.assert_hidden();
}

#[cfg(unix)]
#[test]
fn a_pair_that_is_sealed_while_another_is_pasted_makes_room_for_a_sealed_one() {
    use std::os::unix::fs::MetadataExt;
    let case = Case::fresh(Options::default()).sealed(true);
    assert_eq!(case.call("login", ["--plain"]).code, Some(0));
    let inode = || fs::metadata(case.creds()).unwrap().ino();
    let before = inode();
    let tokens = case.sandbox.issue();
    let mut command = case.program("login");
    let mut child = command.arg("--tokens").stdin(Stdio::piped());
    child = child.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // The place has been tried.
    while inode() == before {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(case.call("login", ["--seal", "--yes"]).code, Some(0));
    child.stdin.take().unwrap().write_all(creds_with(&tokens).as_bytes()).unwrap();
    assert_in(&Run::from(child));
    assert_eq!(case.refresh_token(), tokens.refresh_token);
    case.assert_hidden();
}

/// A program in a session of its own, with a Secret Service that keeps its keys in this home folder.
#[cfg(target_os = "linux")]
fn in_session(home: &Path, program: &Path) -> Option<Command> {
    let tools = ["secret-tool", "gnome-keyring-daemon", "dbus-run-session", "busctl"];
    let is_there =
        |tool: &&str| clean("which").arg(tool).output().is_ok_and(|it| it.status.success());
    if let Some(tool) = tools.iter().find(|tool| !is_there(tool)) {
        eprintln!("skipped: {tool} is not installed");
        return None;
    }
    let unlock = "printf password | gnome-keyring-daemon --unlock --components=secrets >/dev/null\nexec \"$@\"";
    let mut command = clean("dbus-run-session");
    command.args(["--", "sh", "-c", unlock, "sh"]).arg(program);
    // Nobody is asked for a password here.
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", CONFIG] {
        command.env(name, home);
    }
    Some(command)
}

#[cfg(target_os = "linux")]
#[test]
fn the_secret_service_keeps_the_key_of_a_new_pair() {
    let user = User::new(Options::default());
    let home = user.home.path();
    let run = |name: &str, args: &[&str], pasted: &str| {
        let mut command = in_session(home, program(name))?;
        Some(login(command.args(args).current_dir(&user.current), pasted))
    };
    let creds = user.own().join("creds.json");
    let sealed = || {
        let creds: Value = serde_json::from_slice(&fs::read(&creds).unwrap()).unwrap();
        assert_eq!(creds["sealed"]["by"], "secret-service");
        creds["sealed"]["print"].as_str().unwrap().to_owned()
    };
    let first = user.sandbox.issue();
    let Some(said) = run("login", &user.settings(), &creds_with(&first)) else { return };
    assert_in(&said);
    assert!(said.stdout.contains("creds.json, sealed; the Secret Service keeps the key\n"));
    let print = sealed();
    run("get_workspace", &[], "").unwrap().assert_ok();
    let second = user.sandbox.issue();
    assert_in(&run("login", &["--tokens"], &creds_with(&second)).unwrap());
    assert_eq!(sealed(), print, "one key for all");
    // Without the service it is not replaced, and nothing is asked for.
    let third = creds_with(&user.sandbox.issue());
    let locked = user.login(&["--tokens", "--yes"], &third);
    locked.assert_says(1, &["there is no Secret Service: ", "your tokens are unchanged"]);
    // The key is lost.
    let mut clear = in_session(home, Path::new("secret-tool")).unwrap();
    assert!(clear.args(["clear", "service", "aac-auth"]).status().unwrap().success());
    let before = fs::read(&creds).unwrap();
    let words = ["the Secret Service has no key called ", "Its tokens are lost. Replace them?"];
    run("login", &["--tokens"], &third).unwrap().assert_says(1, &words);
    assert!(fs::read(&creds).unwrap() == before);
    assert_in(&run("login", &["--tokens", "--yes"], &third).unwrap());
    assert_ne!(sealed(), print);
    run("get_workspace", &[], "").unwrap().assert_ok();
    let kept = names(&user.own()).into_iter().filter(|it| it.starts_with("replaced-"));
    let mut kept = kept.map(|it| fs::read(user.own().join(it).join("creds.json")).unwrap());
    assert!(kept.any(|kept| kept == before), "{:?}", names(&user.own()));
}
