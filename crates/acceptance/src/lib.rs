//! Shared by the tests: a folder with the three files, a sandbox for it, and the real programs.
//!
//! The tests of this crate cover the programs and the documentation as a user sees them. The tests of
//! `aac-auth` and `aac-sandbox` use this library as well.
//!
//! ```no_run
//! use acceptance::Case;
//!
//! let case = Case::expired(Default::default());
//! case.run(["-v"]).assert_ok();
//! assert_eq!(case.sandbox.counters().refreshes, 1);
//! ```

pub mod cluster;
#[cfg(windows)]
pub mod platform;
pub mod sealed;
pub mod user;

use crate::sealed::Key;
use aac_sandbox::{Options, Sandbox, Tokens, is_set_by_cargo};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::collections::{HashMap, HashSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The documented workspace, as the vendor's bash example prints it.
pub const DOCUMENTED: &str = r#"{ "id": 31429, "name": "lukes-test-workspace", "state": "active", "lastStateChange": null, "custom_url": "lukes-test-workspace.us1.alteryxcloud.com", "max_user_number": 5000, "gid": "01JKBMKPZ94N0GG5F8N9HY2FJA", "createdAt": "2025-02-05T18:05:29.000Z", "updatedAt": "2025-02-05T18:05:29.000Z", "workspacetiers": { "data": [ { "isSingleUser": false, "id": 31428, "name": "enterprise_cloud22", "startsAt": "2025-02-05T18:05:29.000Z", "trialState": "None", "workspace": { "id": 31429 } } ] }, "workspace_member_count": 2, "workspace_tier": "enterprise_cloud22", "emrCluster": null }"#;

/// The three files as the repository has them. No test reads those that are there: they may hold a user's
/// tokens, and a run of a program with these would spend one.
pub const PLACEHOLDERS: [(&str, &str); 3] = [
    ("aac_url.txt", "https://api.us1.alteryxcloud.com\n"),
    ("client_id.txt", "Your client id here\n"),
    (
        "creds.json",
        "{\n    \"access_token\": \"Your access token here\",\n    \
         \"refresh_token\": \"Your refresh token here\"\n}\n",
    ),
];

/// The repository's root.
///
/// Unknown at compile time: copies of the repository may share the target folder, and cargo reuses what
/// it has built there.
pub fn repository() -> &'static Path {
    static TOP: LazyLock<PathBuf> = LazyLock::new(|| {
        // A test binary that is started without cargo runs in its package's folder, as with cargo.
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let package = package.unwrap_or_else(|| env::current_dir().unwrap());
        package.ancestors().nth(2).unwrap().to_owned()
    });
    &TOP
}

/// What git has of the repository; `None` where it is no repository of git's.
pub fn tracked() -> Option<Vec<String>> {
    let mut git = clean("git");
    let output = git.args(["ls-files", "-z"]).current_dir(repository()).output();
    let output = output.ok().filter(|output| output.status.success());
    let files = output.map(|output| String::from_utf8(output.stdout).unwrap());
    // The repository may be ignored by another one, around it.
    let files = files.filter(|files| !files.is_empty());
    if files.is_none() {
        eprintln!("skipped: no git here, or no repository");
    }
    Some(files?.split_terminator('\0').map(str::to_owned).collect())
}

/// The crates: those that git has, for a user's own copies are not held to the rules here.
pub fn crates() -> Vec<String> {
    let Some(files) = tracked() else { return names(&repository().join("crates")) };
    let folders = files.iter().filter_map(|path| path.strip_prefix("crates/")?.split('/').next());
    let mut crates: Vec<_> = folders.map(str::to_owned).collect();
    crates.dedup();
    crates
}

/// The documents: each README, and those for contributors.
pub fn documents() -> Vec<PathBuf> {
    let mut documents = vec![PathBuf::from("README.md")];
    let folders = crates().into_iter().map(|name| Path::new("crates").join(name));
    for folder in folders.chain([".github".into()]) {
        let names = names(&repository().join(&folder));
        documents.extend(
            names.iter().filter(|name| name.ends_with(".md")).map(|name| folder.join(name)),
        );
    }
    documents
}

/// Reads a file of the repository.
pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The fences of a document, such as ```bash: the language and the text.
pub fn fences(document: impl AsRef<Path>) -> Vec<(String, String)> {
    let text = read(document);
    let mut fences = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            fences.push((language.to_owned(), block.join("\n")));
        }
    }
    fences
}

/// The texts in a document's fences of a language.
pub fn blocks(document: impl AsRef<Path>, language: &str) -> Vec<String> {
    let of_language = fences(document).into_iter().filter(|(name, _)| name == language);
    of_language.map(|(_, block)| block).collect()
}

/// Cargo, in the repository.
pub fn cargo() -> Command {
    let mut cargo = clean(env!("CARGO"));
    cargo.current_dir(repository()).env("CARGO_TARGET_DIR", target());
    cargo
}

/// The target folder of the test that runs, which is `debug/deps/NAME` in it. All that a test builds goes
/// there, wherever the sources are: it is built already, or will be for the next time.
pub fn target() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The programs that a user runs.
pub const PROGRAMS: [&str; 9] = [
    "login",
    "get_workspace",
    "list_users",
    "invite_users",
    "suspend_users",
    "raw_call",
    "run_plan",
    "token_status",
    "access_token",
];

/// A program, built as `cargo run` builds it.
///
/// The programs have no tests of their own that would run them, so that a folder can be copied as it is, and
/// cargo tells the path of a binary only to tests of its own package.
pub fn program(name: &str) -> &'static Path {
    static PATHS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let packages = PROGRAMS.iter().flat_map(|name| ["--package", name]);
    &PATHS.get_or_init(|| build(["--bins"].into_iter().chain(packages)))[name]
}

/// One of the recipes, which are examples of `aac-auth`.
pub fn example(name: &str) -> &'static Path {
    static PATHS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    // As the tests are built: nothing is compiled for another set of features.
    &PATHS.get_or_init(|| build(["--workspace", "--examples"]))[name]
}

/// get_workspace, which takes the times of a vault from variables of a test. No other program does.
pub fn in_other_times() -> &'static Path {
    example("get_workspace")
}

/// The smallest program.
pub fn get_workspace() -> &'static Path {
    program("get_workspace")
}

/// Builds the packages, and returns the path of each binary.
fn build<'a>(what: impl IntoIterator<Item = &'a str>) -> HashMap<String, PathBuf> {
    let output = cargo()
        .args(["build", "--message-format", "json"])
        .args(what)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let messages = String::from_utf8(output.stdout).unwrap();
    let programs = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).unwrap();
        let path = message["executable"].as_str()?;
        Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
    });
    programs.collect()
}

/// Whether a program contains the name of a variable that is for tests.
pub fn names_a_variable_of_tests(program: &Path) -> bool {
    String::from_utf8_lossy(&fs::read(program).unwrap()).contains("AAC_TEST_")
}

/// A folder with the three files, connected to a sandbox.
#[derive(Debug)]
pub struct Case {
    /// The server.
    pub sandbox: Sandbox,
    /// The folder of the three files.
    pub folder: TempDir,
    /// The initial tokens of creds.json.
    pub tokens: Tokens,
    /// The file of the key that creds.json is sealed with, in a folder of its own, if it is.
    pub key: Option<TempDir>,
}

impl Case {
    /// With a fresh access token.
    pub fn fresh(options: Options) -> Self {
        // Built before the token is issued: that may take longer than it lives.
        get_workspace();
        let sandbox = Sandbox::start(options).unwrap();
        let tokens = sandbox.issue();
        Self::with(sandbox, tokens)
    }

    /// With an expired access token.
    pub fn expired(options: Options) -> Self {
        let sandbox = Sandbox::start(options).unwrap();
        let tokens = sandbox.issue_expired();
        Self::with(sandbox, tokens)
    }

    /// After a run that saved its response in the journal, but not in creds.json.
    pub fn interrupted(options: Options) -> Self {
        Self::expired(options).cut_off()
    }

    /// After such a run.
    #[must_use]
    pub fn cut_off(self) -> Self {
        self.interrupt(&mut self.command()).assert_ok();
        assert!(self.path("creds.json.rotation").is_file());
        self
    }

    /// Runs this program, whose response gets only as far as the journal.
    pub fn interrupt(&self, program: &mut Command) -> Run {
        let hold = self.sandbox.hold_token_responses();
        let child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(hold.wait_for_request(Duration::from_secs(20)));
        // A folder in its place keeps the next creds.json from being written.
        fs::create_dir(self.path("creds.json.new")).unwrap();
        hold.release();
        let run = Run::from(child);
        fs::remove_dir(self.path("creds.json.new")).unwrap();
        run
    }

    /// With these tokens.
    pub fn with(sandbox: Sandbox, tokens: Tokens) -> Self {
        let folder = tempfile::tempdir().unwrap();
        sandbox.write_files(folder.path(), &tokens).unwrap();
        // The repository has the three.
        fs::remove_file(folder.path().join("api_project_id.txt")).unwrap();
        Self { sandbox, folder, tokens, key: None }
    }

    /// The same with creds.json sealed, if so.
    #[must_use]
    pub fn sealed(mut self, is_sealed: bool) -> Self {
        if is_sealed {
            self.key = Some(tempfile::tempdir().unwrap());
            self.write_key(KEY);
            let creds = Key::of(KEY).seal("creds", &fs::read(self.creds()).unwrap());
            fs::write(self.creds(), creds).unwrap();
        }
        self
    }

    /// Where the key is.
    fn key_file(&self) -> Option<PathBuf> {
        Some(self.key.as_ref()?.path().join("key"))
    }

    /// Gives the file of the key another content; none if it is to be gone.
    pub fn write_key<'k>(&self, key: impl Into<Option<&'k str>>) {
        let file = self.key_file().unwrap();
        match key.into() {
            Some(key) => fs::write(file, format!("{key}\n")).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
    }

    /// Names the folder, and the key, to a program.
    pub fn connect<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("AAC_DIR", self.folder.path());
        command.envs(self.key_file().map(|file| ("AAC_KEY_FILE", file)))
    }

    /// What creds.json says, whether it is sealed or not; empty if it is not there.
    pub fn said(&self) -> Vec<u8> {
        let raw = fs::read(self.creds()).unwrap_or_default();
        let opened = self.key.as_ref().and_then(|_| Key::of(KEY).open("creds", &raw));
        opened.unwrap_or(raw)
    }

    /// Checks that no file in the folder has a part of a token, if all is sealed.
    #[track_caller]
    pub fn assert_hidden(&self) {
        if self.key.is_none() {
            return;
        }
        let has_part = self.parts();
        for name in self.names().into_iter().filter(|name| name.starts_with("creds.json")) {
            let bytes = fs::read(self.path(&name)).unwrap_or_default();
            assert!(!has_part(&bytes), "{name} has a part of a token");
        }
    }

    /// What tells whether something has a part of a token: of the first pair, of one that was sent, or of that in
    /// creds.json.
    pub fn parts(&self) -> impl Fn(&[u8]) -> bool {
        let now: Value = serde_json::from_slice(&self.said()).unwrap_or_default();
        let now =
            ["access_token", "refresh_token"].map(|name| now[name].as_str().map(str::to_owned));
        let first = [&self.tokens.access_token, &self.tokens.refresh_token].map(String::clone);
        let tokens = first.into_iter().chain(self.sent_tokens()).chain(now.into_iter().flatten());
        // Each token begins as all do, and twelve characters are too many to come by chance.
        let parts = tokens
            .flat_map(|it| it.into_bytes().chunks(16).map(<[u8]>::to_vec).collect::<Vec<_>>());
        let mut parts: HashSet<_> = parts.filter(|part| part.len() == 16).collect();
        parts.insert(b"\"refresh_token\":".to_vec());
        move |bytes| bytes.windows(16).any(|part| parts.contains(part))
    }

    /// Whether creds.json has two tokens.
    pub fn is_whole(&self) -> bool {
        let creds: Value = serde_json::from_slice(&self.said()).unwrap_or_default();
        ["access_token", "refresh_token"]
            .iter()
            .all(|name| creds[name].as_str().is_some_and(|token| token.len() > 100))
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of creds.json.
    pub fn creds(&self) -> PathBuf {
        self.path("creds.json")
    }

    /// The refresh token in creds.json.
    pub fn refresh_token(&self) -> String {
        let creds: Value = serde_json::from_slice(&self.said()).unwrap();
        creds["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Deletes the lock file while a program has it locked; false where the system does not let it.
    #[track_caller]
    pub fn delete_lock(&self) -> bool {
        let deleted = fs::remove_file(self.path("creds.json.lock"));
        assert!(deleted.is_ok() || cfg!(windows), "{deleted:?}");
        if deleted.is_err() {
            eprintln!("skipped: Windows does not delete a lock file that is in use");
        }
        deleted.is_ok()
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// Whether a file in the folder contains these bytes, sealed or not.
    pub fn keeps(&self, bytes: &[u8]) -> bool {
        let has = |file: Vec<u8>| file.windows(bytes.len()).any(|part| part == bytes);
        self.contents().into_iter().any(has)
    }

    /// What is in the files of the folder: all bytes of each, and what is sealed in them.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        // A folder may stand in the place of a file.
        let files = self.names().into_iter().filter_map(|name| fs::read(self.path(&name)).ok());
        let mut all: Vec<_> = files.collect();
        if self.key.is_some() {
            let opened: Vec<_> = all.iter().flat_map(|file| Key::of(KEY).open_all(file)).collect();
            all.extend(opened);
        }
        all
    }

    /// The refresh tokens that the sandbox has received, oldest first.
    pub fn sent_tokens(&self) -> Vec<String> {
        let requests = self.sandbox.requests().into_iter();
        let forms = requests.filter(|request| request.path == "/as/token").map(|request| {
            let mut fields = form_urlencoded::parse(&request.body).into_owned();
            fields.find(|(name, _)| name == "refresh_token").unwrap().1
        });
        forms.collect()
    }

    /// get_workspace, connected to this sandbox.
    pub fn command(&self) -> Command {
        self.program("get_workspace")
    }

    /// A program, connected to this sandbox.
    pub fn program(&self, name: &str) -> Command {
        let mut command = clean(program(name));
        self.connect(&mut command);
        command
    }

    /// Runs get_workspace, and checks that it shows no token.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.check(Run::of(self.command().args(args)))
    }

    /// Runs any of the programs, with the same check.
    #[track_caller]
    pub fn call<S: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = S>) -> Run {
        self.check(Run::of(self.program(name).args(args)))
    }

    #[track_caller]
    fn check(&self, run: Run) -> Run {
        run.assert_hides(&[&self.tokens.access_token, &self.tokens.refresh_token]);
        // It may be a pipe, and reading one would wait.
        let file = Some(self.creds()).filter(|path| path.is_file());
        let bytes = file.map(|_| self.said()).unwrap_or_default();
        let now: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        for name in ["access_token", "refresh_token"] {
            run.assert_hides(
                now[name].as_str().filter(|token| (100..10_000).contains(&token.len())).as_slice(),
            );
        }
        run
    }

    /// Starts this many programs at once.
    pub fn start(&self, count: usize) -> Vec<Child> {
        (0..count)
            .map(|_| self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            .collect()
    }
}

/// creds.json with these tokens, as people paste them.
pub fn creds_with(tokens: &Tokens) -> String {
    let Tokens { access_token, refresh_token } = tokens;
    json!({ "access_token": access_token, "refresh_token": refresh_token }).to_string()
}

/// Copies a file, or a folder with everything in it. The times stay, so that cargo finds a copy built that
/// shares its target folder with the original.
pub fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        let modified = fs::metadata(from).unwrap().modified().unwrap();
        File::options().write(true).open(to).unwrap().set_modified(modified).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        copy(&from.join(&name), &to.join(&name));
    }
}

/// Copies the repository as a person would copy it, with the three files that git has.
pub fn copy_of_the_repository(folder: &Path) {
    let parts = ["Cargo.toml", "Cargo.lock", "README.md", ".cargo", ".ci", ".github", ".gitignore"];
    let crates = crates().into_iter().map(|name| format!("crates/{name}"));
    for part in parts.map(str::to_owned).into_iter().chain(crates) {
        let to = folder.join(&part);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy(&repository().join(part), &to);
    }
    for (name, text) in PLACEHOLDERS {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Copies get_workspace into a folder, where another user may run it.
///
/// By another process: what this one has written cannot be started as long as a program that another test has
/// just forked still has it open (ETXTBSY).
pub fn copy_program(folder: &Path) {
    assert!(clean("cp").arg(get_workspace()).arg(folder).status().unwrap().success());
}

/// get_workspace, without environment variables that could affect it.
pub fn command() -> Command {
    clean(get_workspace())
}

/// A program that has no way to anything of the user's: no variable, no home folder, and no current
/// folder in or below that of the user's tokens.
///
/// All that a test starts is started by this: a test with a token of the user's would spend it.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // Not by removing some: Windows would remember how they were spelled.
    command.env_clear().envs(env::vars_os().filter(|(name, _)| !is_of_the_user(name)));
    let nobody = nobody();
    for home in ["HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"] {
        command.env(home, nobody);
    }
    // Without a variable, D-Bus finds a session of the user's by other ways.
    command.env("DBUS_SESSION_BUS_ADDRESS", "disabled:");
    command.envs(of_cargo());
    command.current_dir(env::temp_dir());
    command
}

/// Whether a variable leads to something of the user's, or is one of a cargo around the tests.
fn is_of_the_user(name: &OsStr) -> bool {
    const BEGINNINGS: [&str; 7] = ["AAC_", "BAO_", "CURL_", "GIT_", "SSL_CERT_", "VAULT_", "XDG_"];
    const NAMES: [&str; 8] = [
        "BAO",
        "BASH_ENV",
        // The keychain is there.
        "DBUS_SESSION_BUS_ADDRESS",
        "ENV",
        "HOMEDRIVE",
        "HOMEPATH",
        "NETRC",
        // With it, HTTP_PROXY does not count.
        "REQUEST_METHOD",
    ];
    let upper = name.to_string_lossy().to_uppercase();
    is_set_by_cargo(name)
        || BEGINNINGS.iter().any(|beginning| upper.starts_with(beginning))
        || NAMES.contains(&&*upper)
        || upper.ends_with("_PROXY")
}

/// A home folder that is not there, so that nothing is found in it, and nothing left behind.
fn nobody() -> &'static Path {
    static NOBODY: LazyLock<PathBuf> =
        LazyLock::new(|| env::current_exe().unwrap().with_file_name("nobody"));
    &NOBODY
}

/// What cargo needs of the user's: its own folders, and the way to the registry.
fn of_cargo() -> Vec<(&'static str, OsString)> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let at_home = |name| env::home_dir().map(|home| home.join(name).into_os_string());
    let proxies = ["HTTPS_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"];
    let variables = [
        ("CARGO_HOME", set("CARGO_HOME").or_else(|| at_home(".cargo"))),
        ("RUSTUP_HOME", set("RUSTUP_HOME").or_else(|| at_home(".rustup"))),
        ("CARGO_HTTP_PROXY", set("CARGO_HTTP_PROXY").or_else(|| proxies.into_iter().find_map(set))),
        ("CARGO_HTTP_CAINFO", set("CARGO_HTTP_CAINFO").or_else(|| set("SSL_CERT_FILE"))),
    ];
    variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// An address of loopback at which nobody listens, as long as the socket is kept: no server of another test gets
/// its port.
pub fn nobody_listens() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// An HTTP client for the servers of a test, which no proxy is asked for.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().proxy(None).http_status_as_error(false).build().into()
}

/// Whether a program trusts the certificates of the file that SSL_CERT_FILE names. Elsewhere the system
/// alone says what to trust, and no test changes that.
pub fn can_trust_a_file() -> bool {
    let is_linux = cfg!(target_os = "linux");
    if !is_linux {
        eprintln!("skipped: this system does not read SSL_CERT_FILE");
    }
    is_linux
}

/// Whether a tool that a test needs is available.
pub fn have(tool: &str) -> bool {
    let is_there = ["-V", "--version"]
        .iter()
        .any(|arg| clean(tool).arg(arg).output().is_ok_and(|run| run.status.success()));
    if !is_there {
        eprintln!("skipped: {tool} is not on the PATH");
    }
    is_there
}

/// A command for a program, with system calls that fail as `inject` says (strace(1)); `None` where they cannot.
#[cfg(target_os = "linux")]
pub fn injecting(inject: &str, program: &Path) -> Option<Command> {
    let strace = |inject: &str| {
        let mut strace = clean("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
        strace
    };
    // It may be there, and not be allowed to trace.
    let run = strace(inject).arg("true").output();
    if !run.as_ref().is_ok_and(|run| run.status.success()) {
        eprintln!("skipped: strace: {run:?}");
        return None;
    }
    let mut command = strace(inject);
    command.arg(program);
    Some(command)
}

/// Sends a signal, such as TERM.
#[cfg(unix)]
#[track_caller]
pub fn kill(signal: &str, id: u32) {
    let status = clean("kill").args(["-s", signal, &id.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Whether the tests themselves were started with a signal ignored (`nohup`, a script's `&`): a program
/// that they start ignores it, too, as it should.
#[cfg(unix)]
pub fn is_ignored(signal: &str) -> bool {
    let number = [("HUP", 1), ("INT", 2), ("TERM", 15)].into_iter();
    let Some((_, number)) = number.into_iter().find(|(name, _)| *name == signal) else {
        return false;
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let is_ignored = ignored.is_some_and(|bits| bits >> (number - 1) & 1 == 1);
    if is_ignored {
        eprintln!("skipped: {signal} is ignored here");
    }
    is_ignored
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it has said so far.
    said: String,
}

impl Running {
    /// Starts a command.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said this on standard error.
    #[track_caller]
    pub fn says(&mut self, words: &str) {
        while !self.said.contains(words) {
            assert_ne!(self.stderr.read_line(&mut self.said).unwrap(), 0, "{}", self.said);
        }
    }

    /// Sends it a signal, such as TERM.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        kill(name, self.id());
    }

    /// Ends it at once. It may have ended by itself.
    pub fn kill(mut self) -> ExitStatus {
        let _ = self.child.kill();
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub fn end(self) -> Run {
        self.end_with_status().0
    }

    /// Waits for its end, which a signal may be.
    pub fn end_with_status(mut self) -> (Run, ExitStatus) {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        (Run { code: status.code(), stdout, stderr: mem::take(&mut self.said) }, status)
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing behind that is stopped, or waits.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The result of running a program.
#[derive(Debug)]
pub struct Run {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    /// Checks that it succeeded and printed the documented workspace.
    #[track_caller]
    pub fn assert_ok(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        let printed: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(printed, serde_json::from_str::<Value>(DOCUMENTED).unwrap());
    }

    /// Checks that it ended with this code, and printed exactly this.
    #[track_caller]
    pub fn assert_ends(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!((self.code, &*self.stdout, &*self.stderr), (Some(code), stdout, stderr));
    }

    /// Checks that it failed with this code, printed no result, and said all of these.
    #[track_caller]
    pub fn assert_says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    /// The same for get_workspace.
    #[track_caller]
    pub fn assert_fails(&self, code: i32, words: &[&str]) {
        self.assert_says(code, words);
        assert!(self.stderr.starts_with("get_workspace: "), "{}", self.stderr);
    }

    /// Checks that it shows no twelve consecutive characters of these.
    #[track_caller]
    pub fn assert_hides(&self, tokens: &[&str]) {
        let parts: HashSet<_> =
            tokens.iter().flat_map(|token| token.as_bytes().windows(12)).collect();
        for output in [&self.stdout, &self.stderr] {
            // Skips most of a long output quickly: its words are shorter.
            let words = output.split(|character: char| " \",:\r\n".contains(character));
            for part in words.flat_map(|word| word.as_bytes().windows(12)) {
                assert!(!parts.contains(part), "{}", self.stderr);
            }
        }
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl From<Child> for Run {
    fn from(child: Child) -> Self {
        child.wait_with_output().unwrap().into()
    }
}

/// A terminal, like a window on the screen; dropping it closes it.
#[derive(Debug)]
#[cfg(target_os = "linux")]
pub struct Terminal {
    ours: File,
    theirs: PathBuf,
    shown: Vec<u8>,
    /// How much of it was waited for.
    awaited: usize,
}

#[cfg(target_os = "linux")]
impl Terminal {
    /// Opens a terminal of this many columns.
    pub fn open(columns: u16) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{Winsize, tcsetwinsize};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = PathBuf::from(ptsname(&ours, Vec::new()).unwrap().into_string().unwrap());
        let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        Self { ours: File::from(ours), theirs, shown: Vec::new(), awaited: 0 }
    }

    /// Starts a program with its three streams on the terminal.
    pub fn start(&self, command: &mut Command) -> Child {
        let theirs = || File::options().read(true).write(true).open(&self.theirs).unwrap();
        let child = command
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .env("TERM", "xterm")
            .spawn()
            .unwrap();
        // The command holds the other end, too.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        child
    }

    /// Types this.
    pub fn type_in(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    /// Reads the output until nobody has the terminal open any more.
    pub fn read_to_end(&mut self) -> String {
        while self.read() {}
        self.shown()
    }

    /// What has been shown so far, and read by one of these.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Waits until this is shown, behind all that was waited for before.
    #[track_caller]
    pub fn says(&mut self, words: &str) {
        loop {
            let rest = &self.shown[self.awaited..];
            let found = rest.windows(words.len()).position(|part| part == words.as_bytes());
            if let Some(place) = found {
                self.awaited += place + words.len();
                return;
            }
            assert!(self.read(), "{words:?} is not in {}", self.shown());
        }
    }

    /// Types or pastes this.
    pub fn types(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).unwrap();
    }

    /// How the terminal is set, in words: echo, lines and the rest (termios(3)).
    pub fn settings(&self) -> String {
        format!("{:?}", rustix::termios::tcgetattr(&self.ours).unwrap())
    }

    /// On Linux, reading fails once nobody has the terminal open.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let length = self.ours.read(&mut buffer).unwrap_or(0);
        self.shown.extend_from_slice(&buffer[..length]);
        length > 0
    }
}

/// Runs a program on a terminal of this many columns, and returns its standard output and standard
/// error.
#[cfg(target_os = "linux")]
pub fn on_terminal(command: &mut Command, columns: u16) -> String {
    let mut terminal = Terminal::open(columns);
    let mut child = terminal.start(command);
    let shown = terminal.read_to_end();
    child.wait().unwrap();
    shown
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use ring::digest::{SHA256, digest};
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of the key that a case is sealed with.
pub const KEY: &str = "kX3vZ0oXhJ7mT9bq2wE5rY8uI1pA4sD6fG0hJ2kL5zQ=";

/// The length of a line in a journal.
pub const JOURNAL_LINE: usize = 2 * 1024;
/// Where the note begins in a journal: behind the response.
pub const JOURNAL_NOTE: usize = JOURNAL_LINE + 96 * 1024;

/// The hash of the token for which a journal, or a pair that was set aside, holds a response.
pub fn answered(journal: &[u8]) -> Option<String> {
    let (line, rest) = journal.split_at_checked(JOURNAL_LINE)?;
    let line: Value = serde_json::from_slice(line).ok()?;
    let length = usize::try_from(line["length"].as_u64()?).ok()?;
    let is_whole = line["sha256"] == sha256(rest.get(..length)?);
    (is_whole && line["state"] == "received").then(|| line["spent"].as_str().map(str::to_owned))?
}

/// A response with a status and a body, as raw bytes.
pub fn plain(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A token endpoint whose responses a test defines, byte for byte.
#[derive(Debug)]
pub struct TokenServer {
    case: Arc<Case>,
    forms: Arc<Mutex<Vec<Form>>>,
}

/// The fields of a form, decoded.
pub type Form = Vec<(String, String)>;

impl TokenServer {
    /// `respond` returns the bytes of the response. The connection is then closed, unless it is to be
    /// [left open](Self::start_open).
    pub fn start(respond: impl Fn(&Case) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(respond, false)
    }

    /// The same, but connections stay open.
    pub fn start_open(respond: impl Fn(&Case) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(respond, true)
    }

    fn serve(respond: impl Fn(&Case) -> Vec<u8> + Send + Sync + 'static, stays_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = Some(format!("http://{}/as", listener.local_addr().unwrap()));
        let case = Arc::new(Case::expired(Options { issuer, ..Options::default() }));
        let forms = Arc::<Mutex<Vec<Form>>>::default();
        // It ends with the test process, and nothing drops what it keeps.
        let (server, received) = (Arc::downgrade(&case), Arc::clone(&forms));
        thread::spawn(move || {
            let mut open = Vec::new();
            for client in listener.incoming() {
                let mut client = client.unwrap();
                if let Some(form) = read_form(&client) {
                    received.lock().unwrap().push(form);
                    let Some(response) = server.upgrade().map(|case| respond(&case)) else {
                        return;
                    };
                    // The client may have stopped reading.
                    let _ = client.write_all(&response);
                }
                if stays_open {
                    open.push(client);
                }
            }
        });
        Self { case, forms }
    }

    /// The folder connected to it, with an expired access token.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The forms of the requests so far.
    pub fn forms(&self) -> Vec<Form> {
        self.forms.lock().unwrap().clone()
    }
}

fn read_form(client: &TcpStream) -> Option<Form> {
    let mut reader = BufReader::new(client);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().to_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(form_urlencoded::parse(&body).into_owned().collect())
}
