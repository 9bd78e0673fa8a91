use super::*;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

const WORDS: &str = "0123456789abcdef";
/// Long enough for a program to start and to answer.
const LONG: Duration = Duration::from_secs(20);
/// Too short for one that does not answer.
const SHORT: Duration = Duration::from_millis(300);

fn by_command(command: &str, patience: Duration) -> Result<String, String> {
    let start = Instant::now();
    let key = given::by_command(OsStr::new(command), patience);
    assert!(start.elapsed() < LONG / 2, "{command}: {:?}", start.elapsed());
    assert!(!key.as_ref().is_err_and(KeyProblem::is_not_found), "{command}");
    key.map(|key| key.print()).map_err(|problem| problem.to_string())
}

#[test]
fn a_command_that_does_not_print_a_key_is_told_in_time() {
    const ENDED: &str = "AAC_KEY_COMMAND ended with exit code 3";
    let key = by_command(&format!("echo {WORDS}"), LONG).unwrap();
    let cases: &[(&str, &str)] = if cfg!(windows) {
        &[
            ("exit 3", ENDED),
            ("echo 0123456789abcdef& exit 3", ENDED),
            ("rem", "AAC_KEY_COMMAND leads to a key of 0 bytes"),
            ("no-such-program-at-all", "AAC_KEY_COMMAND ended with exit code"),
        ]
    } else {
        &[
            ("printf 0123456789abcdef", ""),
            ("printf '0123456789abcdef\\r\\n\\n'", ""),
            // What a shell starts and leaves alone holds its output open.
            ("echo 0123456789abcdef; sleep 60 >/dev/null &", ""),
            ("echo 0123456789abcdef; sleep 60 &", "has started holds its output open"),
            ("head -c 4096 /dev/zero | tr '\\0' a", "another"),
            ("exit 3", ENDED),
            ("echo 0123456789abcdef; exit 3", ENDED),
            ("echo 0123456789abcdef; kill -9 $$", "AAC_KEY_COMMAND ended with signal: 9"),
            ("no-such-program-at-all 2>&-", "AAC_KEY_COMMAND ended with exit code 127"),
            ("true", "AAC_KEY_COMMAND leads to a key of 0 bytes"),
            // Its standard input is closed.
            ("cat", "AAC_KEY_COMMAND leads to a key of 0 bytes"),
            ("echo 0123456789abcde", "AAC_KEY_COMMAND leads to a key of 15 bytes"),
            ("head -c 4097 /dev/zero", "AAC_KEY_COMMAND leads to more than 4 KiB"),
            ("yes", "AAC_KEY_COMMAND leads to more than 4 KiB"),
            ("trap '' TERM PIPE; yes; sleep 60", "AAC_KEY_COMMAND leads to more than 4 KiB"),
            ("sleep 60", "AAC_KEY_COMMAND did not give the key within"),
            ("exec >&-; sleep 60", "AAC_KEY_COMMAND did not give the key within"),
            ("trap '' TERM; sleep 60; sleep 60", "AAC_KEY_COMMAND did not give the key within"),
        ]
    };
    for (command, words) in cases {
        let patience = if command.contains("sleep") { SHORT } else { LONG };
        let found = by_command(command, patience);
        match *words {
            "" => assert_eq!(found, Ok(key.clone()), "{command}"),
            "another" => assert!(found.is_ok_and(|other| other != key), "{command}"),
            words => {
                let problem = found.unwrap_err();
                assert!(problem.contains(words), "{command}: {problem}");
                assert!(!problem.contains(command), "{problem}");
            }
        }
    }
}

#[test]
fn a_file_is_read_like_the_output_of_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let read = || given::in_file(path.as_os_str()).map(|key| key.print());
    let problem = || read().unwrap_err().to_string();
    let named = |what| format!("AAC_KEY_FILE names {}: {what}", path.display());
    assert!(problem().starts_with(&named("")), "{}", problem());
    fs::create_dir(&path).unwrap();
    assert!(problem().starts_with(&named("")), "{}", problem());
    fs::remove_dir(&path).unwrap();
    for (text, words) in [
        (WORDS.to_owned(), ""),
        (format!("{WORDS}\r\n"), ""),
        (WORDS[1..].to_owned(), "AAC_KEY_FILE leads to a key of 15 bytes"),
        ("\n".repeat(64), "AAC_KEY_FILE leads to a key of 0 bytes"),
        ("a".repeat(4097), "AAC_KEY_FILE leads to more than 4 KiB"),
    ] {
        fs::write(&path, &text).unwrap();
        match words {
            "" => assert_eq!(read().ok(), by_command(&format!("echo {WORDS}"), LONG).ok()),
            words => assert_eq!(problem(), words),
        }
    }
}

#[test]
fn only_names_that_are_made_here_reach_a_program() {
    let made = random::name();
    let [longest, too_long] = [40, 41].map(|length| "a".repeat(length));
    for by in [Keeper::Keychain, Keeper::SecretService] {
        for name in [&*made, "abcd-123", &longest] {
            assert!(is_name(by, name), "{name:?}");
        }
        for name in ["", "abcdefg", "-abcdefgh", "abcdefgh\n", "abcdefg h", "abcdefgé", &too_long]
        {
            assert!(!is_name(by, name), "{name:?}");
        }
    }
    assert!(is_name(Keeper::File, "") && !is_name(Keeper::Command, &made));
    assert!(is_name(Keeper::Windows, "AQ+/==") && !is_name(Keeper::Windows, "AQ\n"));
}

/// It may be had with another account, or at another logon.
#[test]
fn what_windows_refuses_to_open_is_not_lost() {
    // No such system refuses in another way.
    let mut blobs = vec![b"no such blob".to_vec()];
    if platform::KEEPER == "windows" {
        let mut changed = platform::protect_data(WORDS.as_bytes()).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        blobs.push(changed);
    }
    for blob in blobs {
        let problem = unprotect(&BASE64.encode(&blob)).unwrap_err();
        assert!(problem.to_string().starts_with("this Windows account cannot open"), "{problem}");
        assert!(!problem.is_not_found(), "{problem}");
    }
}

#[test]
fn variables_win_over_the_system_s_store() {
    let of = |set: &[&str]| {
        let variable = |name: &str| set.contains(&name).then(|| "x".into());
        of_system(variable, LONG).map_err(|problem| problem.to_string())
    };
    assert_eq!(of(&[KEY_FILE]), Ok(Keeper::File));
    assert_eq!(of(&[KEY_COMMAND]), Ok(Keeper::Command));
    let both = of(&[KEY_FILE, KEY_COMMAND]).unwrap_err();
    assert_eq!(both, "both AAC_KEY_FILE and AAC_KEY_COMMAND are set");
    if platform::KEEPER == "windows" {
        assert_eq!(of(&[]), Ok(Keeper::Windows));
        let (place, key) = make(Keeper::Windows, LONG).unwrap();
        assert_eq!(fetch(&place, LONG).unwrap().print(), key.print());
    }
}

#[test]
#[cfg(target_os = "macos")]
#[ignore = "puts a key into the default keychain, and deletes it"]
fn the_keychain_keeps_a_key() {
    let by = of_system(|_| None, LONG).unwrap();
    assert_eq!(by, Keeper::Keychain);
    let (place, key) = make(by, LONG).unwrap();
    assert_eq!(fetch(&place, LONG).unwrap().print(), key.print());
    let item = ["-s", SERVICE, "-a", &place.name];
    let mut delete = acceptance::clean("/usr/bin/security");
    delete.arg("delete-generic-password").args(item).env("HOME", env::home_dir().unwrap());
    assert_passes(&mut delete);
    let problem = fetch(&place, LONG).unwrap_err();
    assert!(problem.is_not_found(), "{problem}");
}

/// Runs this test's own program again, as [`inside`] says.
fn again(before: &[&str], part: &str) -> Command {
    again_as(before, "keys::tests::inside", part)
}

/// Runs a test of this program in a process of its own.
pub(crate) fn again_as(before: &[&str], test: &str, part: &str) -> Command {
    let own = env::current_exe().unwrap();
    let words = [before, &[own.to_str().unwrap(), "--exact", test, "--nocapture"]].concat();
    let mut command = acceptance::clean(words[0]);
    command.args(&words[1..]).env("AAC_TESTED_PART", part);
    // Nobody is asked for a password here.
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

pub(crate) fn assert_passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What is run in a process of its own, with variables of its own.
#[test]
fn inside() {
    let fetch = |by, name: &str| fetch(&KeyPlace { by, name: name.to_owned() }, LONG);
    let problem = |by, name| fetch(by, name).unwrap_err();
    let service = Keeper::SecretService;
    match &*env::var("AAC_TESTED_PART").unwrap_or_default() {
        "unset" => {
            for (by, variable) in [(Keeper::File, KEY_FILE), (Keeper::Command, KEY_COMMAND)] {
                let words = format!("{variable} is not set, which leads to the key");
                assert_eq!(problem(by, "").to_string(), words);
            }
        }
        // Started by a command that does not answer.
        #[cfg(windows)]
        "hang" => {
            let mut alone = fs::File::options();
            std::os::windows::fs::OpenOptionsExt::share_mode(&mut alone, 0);
            let _held =
                alone.write(true).create(true).open(env::var_os("AAC_TESTED_FILE").unwrap());
            loop {
                std::thread::park();
            }
        }
        "command" => {
            platform::signals::SignalGuard::prepare();
            fetch(Keeper::Command, "").unwrap();
        }
        "another each time" => {
            let problem = make(Keeper::Command, LONG).err().unwrap();
            assert_eq!(problem.to_string(), "AAC_KEY_COMMAND gives another key each time");
        }
        "absent" => {
            for problem in [
                problem(service, "abcd-1234"),
                of_system(|_| None, LONG).unwrap_err(),
                make(service, LONG).err().unwrap(),
            ] {
                assert!(!problem.is_not_found(), "{problem}");
                let said = problem.to_string();
                assert!(said.contains("there is no Secret Service: secret-tool: "), "{said}");
            }
        }
        "service" => {
            assert_eq!(of_system(|_| None, LONG).unwrap(), service);
            let (place, key) = make(service, LONG).unwrap();
            assert_eq!(fetch(service, &place.name).unwrap().print(), key.print());
            let other = problem(service, "abcd-1234");
            assert!(other.is_not_found(), "{other}");
            let mut lock = acceptance::clean("sh");
            let bus = env::var_os("DBUS_SESSION_BUS_ADDRESS").unwrap();
            assert_passes(lock.env("DBUS_SESSION_BUS_ADDRESS", bus).args(["-c", LOCK]));
            for problem in [
                problem(service, &place.name),
                problem(service, "abcd-1234"),
                make(service, LONG).err().unwrap(),
            ] {
                assert!(!problem.is_not_found(), "{problem}");
                assert_eq!(problem.to_string(), "the Secret Service is locked");
            }
        }
        "without busctl" => {
            let [shown, other] = ["abcd-1234", "abcd-1235"].map(|name| problem(service, name));
            assert_eq!(shown.to_string(), "the Secret Service is locked");
            assert!(other.to_string().contains("busctl does not tell"), "{other}");
            assert!(!other.is_not_found());
        }
        _ => {}
    }
}

/// Locks the keyring.
const LOCK: &str = "busctl --user call org.freedesktop.secrets /org/freedesktop/secrets \
                    org.freedesktop.Secret.Service Lock ao 1 \
                    /org/freedesktop/secrets/collection/login";

#[test]
fn a_variable_that_is_not_set_is_named() {
    assert_passes(&mut again(&[], "unset"));
}

#[test]
fn a_command_does_not_get_the_token() {
    let mut command = again(&[], "command");
    let check = match cfg!(windows) {
        true => "if defined AAC_ACCESS_TOKEN (exit 3) else (echo %AAC_TESTED%)",
        false => "test -z \"${AAC_ACCESS_TOKEN+x}\" && echo \"$AAC_TESTED\"",
    };
    command.env("AAC_ACCESS_TOKEN", "x").env(KEY_COMMAND, check).env("AAC_TESTED", WORDS);
    assert_passes(&mut command);
}

/// Nothing would open what is sealed with it.
#[test]
fn a_command_that_makes_a_key_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked").display().to_string();
    let command = match cfg!(windows) {
        true => format!("echo {WORDS}>> \"{asked}\" & type \"{asked}\""),
        false => format!("echo {WORDS}$$"),
    };
    assert_passes(again(&[], "another each time").env(KEY_COMMAND, command));
}

#[test]
fn the_secret_service_is_told_apart_in_its_states() {
    let folder = tempfile::tempdir().unwrap();
    let no_bus = format!("unix:path={}", folder.path().join("none").display());
    let inside =
        |before: &str, part| in_session(folder.path(), before, "keys::tests::inside", part);
    let Some(mut service) = inside("", "service") else { return };
    assert_passes(&mut service);
    assert_passes(again(&[], "absent").env("DBUS_SESSION_BUS_ADDRESS", no_bus));
    // Where nobody tells whether it is locked, the names of what is locked are shown.
    let before = format!(
        "printf x | secret-tool store --label=x service {SERVICE} key abcd-1234
         {LOCK} >/dev/null
         mkdir \"$HOME/bin\" && ln -s \"$(command -v secret-tool)\" \"$HOME/bin\" && PATH=$HOME/bin"
    );
    assert_passes(&mut inside(&before, "without busctl").unwrap());
}

/// Runs a test of this program in a session of its own, with a Secret Service that is unlocked.
/// These lines of a shell come first.
pub(crate) fn in_session(folder: &Path, before: &str, test: &str, part: &str) -> Option<Command> {
    let tools = ["secret-tool", "gnome-keyring-daemon", "dbus-run-session", "busctl"];
    let is_there = |tool: &&str| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).any(|folder| folder.join(tool).is_file())
    };
    if let Some(tool) = tools.iter().find(|tool| !is_there(tool)) {
        eprintln!("skipped: {tool} is not installed");
        return None;
    }
    let unlock = "printf password | gnome-keyring-daemon --unlock --components=secrets";
    let start = format!("{unlock}\n{before}\nexec \"$@\"");
    let mut service = again_as(&["dbus-run-session", "--", "sh", "-c", &start, "sh"], test, part);
    for home in ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        service.env(home, folder);
    }
    Some(service)
}

#[test]
#[cfg(windows)]
fn what_a_command_has_started_is_ended_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let own = env::current_exe().unwrap();
    let (held, own) = (held.display(), own.display());
    let hang = format!(
        "set AAC_TESTED_FILE={held}&& set AAC_TESTED_PART=hang&& \"{own}\" --exact keys::tests::inside"
    );
    let problem = by_command(&hang, LONG / 4).unwrap_err();
    assert_eq!(problem, "AAC_KEY_COMMAND did not give the key within 5 s");
    platform::patiently(|| fs::read(folder.path().join("held"))).unwrap();
}

/// What hangs, and has started others that hang.
#[cfg(unix)]
mod hanging {
    use super::*;
    use rustix::process::{Pid, Signal, kill_process};
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::thread;

    /// Waits until no process is left that has this pipe open.
    fn assert_ended(mut pipe: impl Read) {
        let start = Instant::now();
        pipe.read_to_end(&mut Vec::new()).unwrap();
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    }

    #[test]
    fn it_is_ended_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(acceptance::clean("mkfifo").arg(&path).status().unwrap().success());
        let open = || BufReader::new(File::open(&path).unwrap());
        let pipe = path.to_str().unwrap();
        let hang = format!("exec 3>'{pipe}'; echo started >&3; sleep 60 & sleep 60 | cat; true");
        // By the time.
        thread::scope(|scope| {
            scope.spawn(|| assert_ended(open()));
            let problem = by_command(&hang, Duration::from_secs(1)).unwrap_err();
            assert_eq!(problem, "AAC_KEY_COMMAND did not give the key within 1 s");
        });
        // By a signal to this program alone.
        let signals = [("INT", Signal::INT), ("TERM", Signal::TERM)];
        let acting = signals.into_iter().filter(|(name, _)| !acceptance::is_ignored(name));
        for (_, signal) in acting {
            let mut child = again(&[], "command").env(KEY_COMMAND, &hang).spawn().unwrap();
            let (mut pipe, mut line) = (open(), String::new());
            pipe.read_line(&mut line).unwrap();
            assert_eq!(line, "started\n");
            kill_process(Pid::from_child(&child), signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
            assert_ended(pipe);
        }
    }
}
