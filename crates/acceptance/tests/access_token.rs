//! access_token: the token and a newline, for whatever program comes next.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, Run};
use std::fs::File;
use std::process::Command;

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
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("skipped: no {program} here");
            continue;
        }
        let mut shell = Command::new("sh");
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
