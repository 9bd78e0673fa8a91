//! What is a user's own, and whether tests leave it alone.

use crate::{Run, cargo, clean, copy_of_the_repository, creds_with, names};
use aac_sandbox::{Options, Sandbox, VaultOptions};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A user who has followed README to its end, and has set all that a program could find: tokens in the
/// three files of a copy of the repository, others in the home folder, a vault, a proxy.
///
/// The tokens are a sandbox's, which sees whether they are used.
#[derive(Debug)]
pub struct User {
    sandbox: Sandbox,
    folder: TempDir,
    /// For temporary files.
    temporary: TempDir,
    proxy: TcpListener,
    tokens: Vec<String>,
}

impl Default for User {
    fn default() -> Self {
        let vault = Some(VaultOptions::default());
        let sandbox = Sandbox::start(Options { vault, ..Options::default() }).unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tokens = vec![sandbox.vault().token()];
        let mut issue = || {
            let issued = sandbox.issue_expired();
            tokens.extend([issued.access_token.clone(), issued.refresh_token.clone()]);
            issued
        };
        let folder = tempfile::tempdir().unwrap();
        let (tree, home) = (folder.path().join("tree"), folder.path().join("home"));
        copy_of_the_repository(&tree);
        sandbox.write_files(&tree, &issue()).unwrap();
        let settings = home.join(".config").join("aac");
        fs::create_dir_all(&settings).unwrap();
        sandbox.write_files(&settings, &issue()).unwrap();
        fs::write(home.join(".vault-token"), sandbox.vault().token()).unwrap();
        fs::write(home.join("key"), "a key of 16 bytes and more").unwrap();
        sandbox.vault().put_tokens(&issue());
        // In folders that a program could find by walking up.
        fs::write(folder.path().join("creds.json"), creds_with(&issue())).unwrap();
        let temporary = tempfile::tempdir().unwrap();
        Self { sandbox, folder, temporary, proxy, tokens }
    }
}

impl User {
    /// The copy of the repository.
    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Everything of the user's that a test must not change.
    fn own(&self) -> Vec<(PathBuf, Vec<String>, Vec<u8>)> {
        let home = self.folder.path().join("home");
        let settings = home.join(".config").join("aac");
        let folders = [self.folder.path().to_owned(), self.tree(), home, settings];
        let read = |folder: PathBuf| {
            let creds = fs::read(folder.join("creds.json")).unwrap_or_default();
            let mut names = names(&folder);
            // Tests may build there.
            names.retain(|name| name != "target" && name != "Cargo.lock");
            (folder, names, creds)
        };
        folders.map(read).into()
    }

    /// Runs tests of the program that runs already, as this user would.
    #[track_caller]
    pub fn run_these_tests<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.check(clean(env::current_exe().unwrap()).args(args))
    }

    /// Runs all tests.
    #[track_caller]
    pub fn run_all_tests(&self) -> Run {
        self.check(cargo().args(["test", "--workspace", "--no-fail-fast", "--", "--nocapture"]))
    }

    /// Checks that tests succeed, and that they neither use, change nor show what is the user's.
    #[track_caller]
    fn check(&self, tests: &mut Command) -> Run {
        let before = self.own();
        let (home, tree) = (self.folder.path().join("home"), self.tree());
        let package = tree.join("crates").join("acceptance");
        let vault = self.sandbox.vault();
        let proxy = self.proxy.local_addr().unwrap();
        let bus = format!("tcp:host=127.0.0.1,port={}", proxy.port());
        let proxy = format!("http://{proxy}");
        tests
            .current_dir(&package)
            .env("CARGO_MANIFEST_DIR", &package)
            .env("HOME", &home)
            .env("USERPROFILE", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("LOCALAPPDATA", home.join(".config"))
            .env("AAC_DIR", &tree)
            .env("AAC_URL", self.sandbox.url())
            .env("AAC_CLIENT_ID", "user-project")
            .env("AAC_VAULT", vault.path())
            .env("AAC_ACCESS_TOKEN", &self.tokens[1])
            // Who asks for a key leaves a file, or asks the proxy.
            .env("AAC_KEY_FILE", home.join("key"))
            .env(
                "AAC_KEY_COMMAND",
                format!("touch {}", self.temporary.path().join("asked").display()),
            )
            .env("DBUS_SESSION_BUS_ADDRESS", bus)
            .env("GIT_DIR", home.join("no-repository"));
        for name in ["TMPDIR", "TMP", "TEMP"] {
            tests.env(name, self.temporary.path());
        }
        for name in ["VAULT", "BAO"] {
            tests.env(format!("{name}_ADDR"), vault.url());
            tests.env(format!("{name}_TOKEN"), vault.token());
        }
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            tests.env(name, &proxy).env(name.to_lowercase(), &proxy);
        }
        let run = Run::of(tests);
        run.assert_hides(&self.tokens.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(self.sandbox.counters().connections, 0, "{:?}", self.sandbox.requests());
        assert_eq!(vault.requests().len(), 0, "{:?}", vault.requests());
        self.proxy.set_nonblocking(true).unwrap();
        assert!(self.proxy.accept().is_err(), "a test asks the user's proxy");
        assert!(self.own() == before, "a test changes what is the user's");
        assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
        assert_eq!(names(self.temporary.path()), [""; 0], "temporary files stay");
        run
    }
}
