//! access_token: the token and a newline, for whatever program comes next.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

use aac_sandbox::{Fault, FaultKind, Options, Sandbox, VaultOptions};
use acceptance::{Case, Run};
use std::fs::File;

fn print(case: &Case) -> Run {
    Run::of(&mut case.program("access_token"))
}

#[test]
fn it_prints_the_token_in_the_file_while_that_is_fresh() {
    let case = Case::fresh(Options::default());
    let run = print(&case);
    let expected = format!("{}\n", case.tokens.access_token);
    assert_eq!((run.code, run.stdout, run.stderr.as_str()), (Some(0), expected, ""));
    assert_eq!(case.sandbox.counters().connections, 0, "nothing needs to be asked");
}

#[test]
fn it_prints_a_new_token_when_it_must() {
    let case = Case::expired(Options::default());
    let run = print(&case);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    let creds = std::fs::read_to_string(case.creds()).unwrap();
    assert!(run.stdout.len() > 100 && creds.contains(run.stdout.trim_end()));
    assert_eq!(print(&case).stdout, run.stdout, "the same one for the next");
    assert!(!run.stdout.contains(&case.refresh_token()));
}

#[test]
fn without_a_token_it_prints_nothing() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    let run = print(&case);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), ""));
    assert!(run.stderr.starts_with("access_token: the refresh token in "), "{}", run.stderr);
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return eprintln!("skipped: no /dev/full here");
    };
    let case = Case::fresh(Options::default());
    let run = Run::of(case.program("access_token").stdout(full));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("access_token: standard output: "), "{}", run.stderr);
}

#[test]
#[cfg(unix)]
fn curl_and_python_call_with_it() {
    let case = Case::expired(Options::default());
    for (program, script) in [
        (
            "curl",
            r#"curl -fsS -H "Authorization: Bearer $("$0")" -H "x-api-project-id: $PROJECT" "$URL/iam/v1/workspaces/current""#,
        ),
        (
            "python3",
            r#"python3 -c '
import os, subprocess, sys, urllib.request
token = subprocess.check_output([sys.argv[1]], text=True).strip()
headers = {"Authorization": "Bearer " + token, "x-api-project-id": os.environ["PROJECT"]}
request = urllib.request.Request(os.environ["URL"] + "/iam/v1/workspaces/current", headers=headers)
print(urllib.request.urlopen(request).read().decode())' "$0""#,
        ),
    ] {
        if !acceptance::have(program) {
            continue;
        }
        let mut shell = acceptance::clean("sh");
        shell
            .args(["-c", script])
            .arg(acceptance::program("access_token"))
            .env("AAC_DIR", case.folder.path())
            .env("PROJECT", case.sandbox.project_id())
            .env("URL", case.sandbox.url());
        Run::of(&mut shell).assert_ok();
    }
    assert_eq!(case.sandbox.counters().refreshes, 1, "one token serves both");
}

#[test]
fn a_token_to_hand_on_is_valid_for_as_long_as_asked() {
    // The server's clock is behind, so its first token looks 100 s old.
    let case = Case::fresh(Options { clock_offset: -100, ..Options::default() });
    let call = |seconds: &str| Run::of(case.program("access_token").args(["--min-life", seconds]));
    let same = call("150");
    assert_eq!((same.code, same.stdout.trim_end()), (Some(0), &*case.tokens.access_token));
    assert_eq!(case.sandbox.counters().refreshes, 0);
    let refreshed = call("250");
    assert_eq!((refreshed.code, &*refreshed.stderr), (Some(0), ""));
    assert_ne!(refreshed.stdout, same.stdout);
    assert_eq!(call("250").stdout, refreshed.stdout, "this one lives long enough");
    assert_eq!(case.sandbox.counters().refreshes, 1);
    let impossible = call("300");
    assert_eq!((impossible.code, &*impossible.stdout), (Some(2), ""));
    let words = "access tokens live 300 s, so none can be good for 300 s";
    assert!(impossible.stderr.contains(words), "{}", impossible.stderr);
    assert_eq!(case.sandbox.counters().refreshes, 1, "nothing is refreshed in vain");
    // A shorter one is not handed on in its place.
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).always());
    let refused = call("299");
    assert_eq!((refused.code, &*refused.stdout), (Some(4), ""), "{}", refused.stderr);
    assert_eq!(call("250").code, Some(0));
}

#[test]
fn a_token_from_a_vault_is_not_refreshed_if_it_is_valid_long_enough() {
    let vault = Some(VaultOptions::default());
    // The server's clock is behind, so its first token looks 100 s old.
    let options = Options { clock_offset: -100, vault, ..Options::default() };
    acceptance::program("access_token");
    let sandbox = Sandbox::start(options).unwrap();
    let tokens = sandbox.issue();
    let case = Case::with(sandbox, tokens);
    case.sandbox.write_vault_files(case.folder.path(), &case.tokens).unwrap();
    let call = |seconds: &str| {
        let mut command = case.program("access_token");
        for name in ["BAO_ADDR", "BAO_TOKEN", "BAO_CACERT", "BAO_NAMESPACE"] {
            command.env_remove(name);
        }
        command.args(["--min-life", seconds]).envs(case.sandbox.vault().environment());
        let run = Run::of(&mut command);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""));
        run.stdout.trim_end().to_owned()
    };
    assert_eq!(call("150"), case.tokens.access_token);
    assert_eq!(case.sandbox.counters().refreshes, 0);
    let next = call("250");
    assert_ne!(next, case.tokens.access_token);
    assert_eq!(call("250"), next, "this one lives long enough");
    assert_eq!(case.sandbox.counters().refreshes, 1);
}

#[test]
fn who_has_only_an_access_token_is_told_what_it_is_good_for() {
    let case = Case::fresh(Options::default());
    let only = serde_json::json!({ "access_token": case.tokens.access_token }).to_string();
    std::fs::write(case.creds(), only).unwrap();
    for program in ["access_token", "get_workspace", "token_status"] {
        let run = case.call(program, [""; 0]);
        assert_eq!(run.code, Some(1), "{program}");
        for words in [
            "no \"refresh_token\"",
            "cannot refresh the access token",
            "Authorization: Bearer",
            "--min-life",
        ] {
            assert!(run.stderr.contains(words), "{program}: {words}: {}", run.stderr);
        }
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}
