//! Each program as a user runs it, and what all of them have in common: their files, and where their
//! results go.

#![cfg_attr(
    not(target_os = "linux"),
    allow(unused, reason = "some is about signals, descriptors and terminals")
)]

mod access_token;
mod batch;
mod files;
mod list_users;
mod login;
mod login_console;
mod login_terminal;
mod output;
mod raw_call;
mod run_plan;
mod token_status;

use aac_sandbox::{Options, Sandbox, Tokens, VaultOptions};
use acceptance::user::User;
use acceptance::{Case, PROGRAMS, Run};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// For no flags.
const NONE: [&str; 0] = [];

/// A folder with fresh tokens.
fn fresh() -> Case {
    Case::fresh(Options::default())
}

/// A pair in a vault. creds.json names it.
fn in_vault(options: Options, issue: fn(&Sandbox) -> Tokens) -> Case {
    let vault = Some(VaultOptions::default());
    let sandbox = Sandbox::start(Options { vault, ..options }).unwrap();
    let tokens = issue(&sandbox);
    let case = Case::with(sandbox, tokens);
    case.sandbox.write_vault_files(case.folder.path(), &case.tokens).unwrap();
    case
}

/// Runs a program in such a folder, with or without an environment that leads to the vault.
#[track_caller]
fn call_with(case: &Case, program: &str, leads: &[(&str, String)], args: &[&str]) -> Run {
    let mut command = case.program(program);
    let run = Run::of(command.args(args).envs(leads.iter().map(|(name, value)| (name, value))));
    run.assert_hides(&[&case.sandbox.vault().token()]);
    if program != "access_token" {
        run.assert_hides(&[&case.tokens.access_token, &case.tokens.refresh_token]);
    }
    run
}

/// A request to a platform that a test makes.
struct Asked {
    method: String,
    path: String,
    query: String,
}

/// A platform that answers each request as the test says, until that is a status of 0. Returns what has been asked: method, path and
/// execution ID.
fn platform(
    case: &Case,
    answer: impl Fn(&Asked) -> (u16, String) + Send + 'static,
) -> Receiver<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    fs::write(case.path("aac_url.txt"), url).unwrap();
    let (asked, requests) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let lines = reader.by_ref().lines();
            let head: Vec<_> =
                lines.map_while(|line| line.ok().filter(|l| !l.is_empty())).collect();
            let Some(line) = head.first() else { continue };
            let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name));
            let length = header("content-length: ").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let mut words = line.split(' ').map(str::to_owned);
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let id = header("x-execution-id: ").unwrap_or("-").to_owned();
            let (path, query) = (path.to_owned(), query.to_owned());
            let request = Asked { method, path, query };
            let (status, body) = answer(&request);
            if status == 0 {
                break;
            }
            let _ = asked.send(format!("{} {} {id}", request.method, request.path));
            // A program that is killed does not wait for it.
            let length = body.len();
            let _ = write!(
                client,
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    requests
}

#[test]
fn a_number_that_is_none_is_told_with_an_example() {
    let mut numbers = 0;
    let elsewhere = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        let run = |args: &[&str]| {
            Run::of(acceptance::clean(acceptance::program(name)).args(args).current_dir(&elsewhere))
        };
        let help = run(&["--help"]).stdout;
        for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
            let run = run(&[flag, "14d"]);
            // No words of the standard library or of clap.
            assert!(!run.stderr.contains("in string"), "{}", run.stderr);
            if let Some((_, wanted)) = run.stderr.split_once("invalid value '14d' for ") {
                let is_number = wanted.lines().next().unwrap().contains(" number");
                numbers += usize::from(is_number);
                let has_example = ["such as ", "lists both"].iter().any(|it| wanted.contains(it));
                assert!(!is_number || has_example, "{wanted}");
            }
        }
    }
    assert!(numbers >= 20, "{numbers}");
}

/// Some that a user's variables and folders would lead astray. All tests beside a user's tokens: repository.rs.
#[test]
fn tests_leave_a_users_own_tokens_alone() {
    let tests = ["files::a_folder", "access_token::it", "token_status::a_vault_is", "run_plan::it"];
    User::default().run_these_tests(tests);
}
