//! What `login` asks for on a console of Windows, and how the console is afterwards.

#![cfg(windows)]

use aac_sandbox::{Options, Tokens};
use acceptance::platform::{OWN_CONSOLE, console_mode, send_event_here, types};
use acceptance::{Case, Run, clean};
use std::env;
use std::fs::{self, File};
use std::os::windows::fs::MetadataExt;
use std::os::windows::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const HIDDEN: u32 = 2;
/// `STATUS_CONTROL_C_EXIT`.
const ENDED_BY_CONSOLE: i32 = 0xC000_013A_u32 as i32;

#[test]
fn a_paste_arrives_whole_and_ctrl_c_leaves_all_as_it_was() {
    let mut inside = clean(env::current_exe().unwrap());
    inside.args(["--exact", "login_console::inside", "--ignored", "--nocapture"]);
    let run = Run::of(inside.env("ON_A_CONSOLE", "1").creation_flags(OWN_CONSOLE));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

/// Starts `login`, and waits until it has turned the echo off.
fn ask(case: &Case, console: &File, before: u32) -> Child {
    let mut login = case.program("login");
    login.arg("--tokens").stdin(console.try_clone().unwrap());
    let child = login.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while console_mode(console).unwrap() == before {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
#[ignore = "is run by another test, on a console of its own"]
fn inside() {
    if env::var_os("ON_A_CONSOLE").is_none() {
        return;
    }
    let console = File::options().read(true).write(true).open("CONIN$").unwrap();
    let before = console_mode(&console).unwrap();

    let case = Case::fresh(Options::default());
    let hide = clean("attrib").arg("+h").arg(case.creds()).status().unwrap();
    assert!(hide.success());
    let child = ask(&case, &console, before);
    let Tokens { access_token, refresh_token, .. } = case.sandbox.issue();
    let long = "w ".repeat(9000);
    types(
        &console,
        &format!("{{\r \"access_token\": \"{access_token}\",\r \"x\": \"{long}\",\r\r"),
    )
    .unwrap();
    types(&console, &format!(" \"refresh_token\": \"{refresh_token}\"\r}}\r")).unwrap();
    let run = Run::from(child);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.assert_hides(&[&access_token, &refresh_token, "w w w"]);
    assert_eq!(case.refresh_token(), refresh_token);
    assert_eq!(console_mode(&console).unwrap(), before);
    // The older pair has the protection of the new one.
    let names = case.names();
    let replaced = names.iter().find(|name| name.starts_with("replaced-")).unwrap();
    let kept = fs::metadata(case.path(replaced).join("creds.json")).unwrap();
    assert_eq!(kept.file_attributes() & HIDDEN, HIDDEN);

    let case = Case::fresh(Options::default());
    let child = ask(&case, &console, before);
    types(&console, &case.sandbox.issue().access_token[..50]).unwrap();
    send_event_here(false).unwrap();
    let run = Run::from(child);
    assert_eq!(run.code, Some(ENDED_BY_CONSOLE), "{}", run.stderr);
    assert_eq!(console_mode(&console).unwrap(), before);
    assert_eq!(case.refresh_token(), case.tokens.refresh_token);
}
