//! What is different on Windows: files that another program holds open, console events, and programs
//! that are ended.

use aac_sandbox::Options;
use acceptance::{Case, Run, creds_with};
use std::env;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// As long as a scanner may hold a file.
const MOMENT: Duration = Duration::from_millis(500);
const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
/// `STATUS_CONTROL_C_EXIT`.
const ENDED_BY_CONSOLE: i32 = 0xC000_013A_u32 as i32;

/// Opens a file so that nobody else can, as a virus scanner may do.
fn hold(path: &Path) -> File {
    File::options().read(true).share_mode(0).open(path).unwrap()
}

/// Opens a file so that others can read and write it, but neither remove nor replace it.
fn hold_name(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
    options.open(path).unwrap()
}

fn start(case: &Case) -> Child {
    case.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for what happens in another program.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_file_that_is_held_for_a_moment_is_waited_for() {
    for name in [".lock", ".rotation", ".new", ".spent", ""] {
        let name = format!("creds.json{name}");
        let case = Case::expired(Options::default());
        if !case.path(&name).exists() {
            fs::write(case.path(&name), "").unwrap();
        }
        let held = hold(&case.path(&name));
        let child = start(&case);
        thread::sleep(MOMENT);
        drop(held);
        Run::from(child).assert_ok();
        assert_eq!(case.sandbox.counters().refreshes, 1, "{name}");
        assert!(case.sandbox.is_live(&case.refresh_token()), "{name}");
    }
}

#[test]
fn a_file_that_is_held_when_the_response_is_there_is_waited_for() {
    for name in ["creds.json", "creds.json.lock", "creds.json.spent"] {
        let case = Case::expired(Options::default());
        if !case.path(name).exists() {
            fs::write(case.path(name), "").unwrap();
        }
        let response = case.sandbox.hold_token_responses();
        let child = start(&case);
        assert!(response.wait_for_request(SOON));
        let held = match name {
            // The program has it open.
            "creds.json.lock" => hold_name(&case.path(name)),
            _ => hold(&case.path(name)),
        };
        response.release();
        thread::sleep(MOMENT);
        drop(held);
        let run = Run::from(child);
        run.assert_ok();
        assert_eq!(run.stderr, "", "{name}");
        assert!(case.sandbox.is_live(&case.refresh_token()), "{name}");
        let left = case.names();
        assert!(!left.iter().any(|name| name.contains(".rotation")), "{left:?}");
    }
}

#[test]
fn tokens_that_are_pasted_while_a_rename_is_waited_for_stay() {
    let case = Case::expired(Options::default());
    let response = case.sandbox.hold_token_responses();
    let child = start(&case);
    assert!(response.wait_for_request(SOON));
    let mut editor = hold_name(&case.creds());
    response.release();
    // The next creds.json is whole, so the program is about to rename it.
    let is_whole = |next: String| next.trim_end().ends_with('}');
    wait_until(|| fs::read_to_string(case.path("creds.json.new")).is_ok_and(is_whole));
    thread::sleep(MOMENT);
    let pasted = case.sandbox.issue();
    editor.set_len(0).unwrap();
    editor.rewind().unwrap();
    editor.write_all(creds_with(&pasted).as_bytes()).unwrap();
    drop(editor);
    Run::from(child).assert_ok();
    assert_eq!(case.refresh_token(), pasted.refresh_token);
    // The response is kept beside it.
    assert!(case.path("creds.json.rotation.old").is_file(), "{:?}", case.names());
}

#[test]
fn a_real_refusal_is_told_and_nothing_is_sent() {
    let case = Case::expired(Options::default());
    let mut permissions = fs::metadata(case.creds()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(case.creds(), permissions.clone()).unwrap();
    let start = Instant::now();
    case.run([""; 0]).assert_fails(1, &["creds.json", "your tokens are unchanged"]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    #[expect(clippy::permissions_set_readonly_false, reason = "Windows has no other bits")]
    permissions.set_readonly(false);
    fs::set_permissions(case.creds(), permissions).unwrap();
    // A folder where a file is to be. If that is denied, it is tried again for four seconds.
    fs::create_dir(case.path("creds.json.new")).unwrap();
    let start = Instant::now();
    case.run([""; 0]).assert_fails(1, &["creds.json.new", "your tokens are unchanged"]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn four_hundred_and_eighty_programs_make_ten_refreshes() {
    for round in 0..10 {
        let options = Options { latency: Duration::from_millis(150), ..Options::default() };
        let case = Case::expired(options);
        for child in case.start(48) {
            let run = Run::from(child);
            assert_eq!(run.code, Some(0), "round {round}: {}", run.stderr);
        }
        let counters = case.sandbox.counters();
        assert_eq!((counters.token_requests, counters.api_calls), (1, 48), "round {round}");
        assert!(case.sandbox.is_live(&case.refresh_token()));
    }
}

#[test]
fn a_program_that_is_ended_at_any_moment_leaves_a_pair_that_works() {
    let mut in_a_refresh = 0;
    for round in 0..40 {
        // With a grace period the response that was on its way is not lost either.
        let grace = Duration::from_secs(60);
        let case = Case::expired(Options { grace, ..Options::default() });
        let mut child = start(&case);
        thread::sleep(Duration::from_millis(round * 5));
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        in_a_refresh += u32::from(case.path("creds.json.rotation").exists());
        let run = case.run([""; 0]);
        assert_eq!(run.code, Some(0), "round {round}: {}", run.stderr);
        assert!(case.sandbox.is_live(&case.refresh_token()), "round {round}");
    }
    eprintln!("{in_a_refresh} of 40 ended within a refresh; nothing lost");
}

#[test]
fn a_program_that_is_ended_with_its_response_saved_loses_nothing() {
    let case = Case::expired(Options::default());
    let response = case.sandbox.hold_token_responses();
    let mut child = start(&case);
    assert!(response.wait_for_request(SOON));
    // It is kept from replacing creds.json, until it is ended.
    let held = hold_name(&case.creds());
    response.release();
    let is_saved = |journal: Vec<u8>| acceptance::answered(&journal).is_some();
    wait_until(|| fs::read(case.path("creds.json.rotation")).is_ok_and(is_saved));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(held);
    assert_eq!(case.refresh_token(), case.tokens.refresh_token);
    case.run([""; 0]).assert_ok();
    assert_eq!(case.sandbox.counters().token_requests, 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

/// Starts the program on a console of its own.
fn start_on_console(case: &Case) -> Child {
    let mut command = case.command();
    command.creation_flags(acceptance::platform::OWN_CONSOLE);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Sends an event to the programs of a console, from a process that moves there.
fn send(event: &str, child: &Child) {
    let mut sender = acceptance::clean(env::current_exe().unwrap());
    sender.args(["--exact", "sender", "--ignored", "--nocapture"]);
    sender.env("SEND_EVENT", event).env("SEND_EVENT_TO", child.id().to_string());
    let sent = sender.creation_flags(acceptance::platform::OWN_CONSOLE).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stdout));
}

#[test]
#[ignore = "sends console events for other tests, in a process of its own"]
fn sender() {
    let Some(event) = env::var_os("SEND_EVENT") else { return };
    let id = env::var("SEND_EVENT_TO").unwrap().parse().unwrap();
    acceptance::platform::send_event(event == "break", id).unwrap();
}

#[test]
fn ctrl_c_is_held_until_the_pair_is_saved() {
    for moment in
        [aac_sandbox::Sandbox::hold_token_endpoint, aac_sandbox::Sandbox::hold_token_responses]
    {
        let case = Case::expired(Options::default());
        let hold = moment(&case.sandbox);
        let mut child = start_on_console(&case);
        assert!(hold.wait_for_request(SOON));
        send("c", &child);
        assert!(child.try_wait().unwrap().is_none(), "it is held");
        hold.release();
        assert_eq!(child.wait().unwrap().code(), Some(ENDED_BY_CONSOLE));
        assert!(case.sandbox.is_live(&case.refresh_token()), "the new pair is saved");
        assert_eq!(case.sandbox.counters().api_calls, 0, "and nothing else is done");
        case.run([""; 0]).assert_ok();
        assert_eq!(case.sandbox.counters().refreshes, 1);
    }
}

#[test]
fn ctrl_c_after_a_second_ends_at_once() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let mut child = start_on_console(&case);
    assert!(hold.wait_for_request(SOON));
    send("c", &child);
    thread::sleep(Duration::from_millis(1100));
    send("c", &child);
    assert_eq!(child.wait().unwrap().code(), Some(ENDED_BY_CONSOLE));
    assert_eq!(case.sandbox.counters().refreshes, 0, "the server still holds the request");
    hold.release();
}

#[test]
fn outside_a_refresh_ctrl_c_ends_the_program_at_once() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(aac_sandbox::Fault::api(aac_sandbox::FaultKind::Hang));
    let mut child = start_on_console(&case);
    wait_until(|| case.sandbox.counters().api_calls > 0);
    send("c", &child);
    assert_eq!(child.wait().unwrap().code(), Some(ENDED_BY_CONSOLE));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_device_is_written_as_one_and_a_folder_is_told() {
    let case = Case::fresh(Options::default());
    let path = "/iam/v1/workspaces/current";
    let run = case.call("raw_call", [path, "-o", "NUL"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{}", run.stderr);
    let folder = case.folder.path().display().to_string();
    let data = format!("@{folder}");
    let field = format!("name=@{folder}");
    for (args, words) in [
        ([path, "-o", &folder], "is a folder"),
        ([path, "-d", &data], "is a directory"),
        ([path, "-F", &field], "is a directory"),
    ] {
        let run = case.call("raw_call", args);
        assert_eq!(run.code, Some(1), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert!(!run.stderr.contains(r"\\?\"), "{}", run.stderr);
    }
}

#[test]
fn messages_name_files_as_people_do() {
    let case = Case::expired(Options::default());
    fs::create_dir(case.path("creds.json.new")).unwrap();
    let run = case.run([""; 0]);
    run.assert_fails(1, &[&case.path("creds.json.new").display().to_string()]);
    assert!(!run.stderr.contains(r"\\?\"), "{}", run.stderr);
}

#[test]
fn a_file_with_a_second_name_is_not_replaced() {
    let case = Case::expired(Options::default());
    fs::hard_link(case.creds(), case.path("copy.json")).unwrap();
    case.run([""; 0]).assert_fails(1, &["hard link", "your tokens are unchanged"]);
    assert_eq!(case.sandbox.counters().token_requests, 0);
}

#[test]
fn a_variable_is_named_as_it_was_set() {
    let issuer = Some("https://pingauth.alteryxcloud.com/as".to_owned());
    let case = Case::expired(Options { issuer, ..Options::default() });
    fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
    for name in ["HTTPS_PROXY", "https_proxy", "Https_Proxy"] {
        // A command keeps the case of what it had before, even of what was removed from it.
        let mut command = acceptance::clean(acceptance::get_workspace());
        let run = Run::of(command.env("AAC_DIR", case.folder.path()).env(name, "http://"));
        assert!(run.stderr.contains(&format!("{name} is not a proxy URL")), "{}", run.stderr);
    }
}
