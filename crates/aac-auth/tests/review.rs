//! Review: suspicions.
mod support;
use aac_sandbox::{Fault, FaultKind, Options};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use support::{Case, Run, TokenServer, plain};

const NONE: [&str; 0] = [];
const SOON: Duration = Duration::from_secs(20);

fn creds_text(tokens: &aac_sandbox::Tokens) -> String {
    format!(
        "{{\n    \"access_token\": \"{}\",\n    \"refresh_token\": \"{}\"\n}}\n",
        tokens.access_token, tokens.refresh_token
    )
}

fn set_aside(case: &Case, pasted: &aac_sandbox::Tokens) {
    let hold = case.sandbox.hold_token_answers();
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    case.sandbox.write_files(case.folder.path(), pasted).unwrap();
    hold.release();
    Run::from(child).assert_ok();
}

/// 1: an editor empties creds.json (open(O_TRUNC)) while the answer is on its way, and writes the paste 0.7 s later.
#[test]
fn r01_editor_empties_during_the_exchange() {
    let case = Case::expired(Options::default());
    let pasted = case.sandbox.issue();
    let hold = case.sandbox.hold_token_answers();
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    let mut editor = File::create(case.creds()).unwrap();
    hold.release();
    thread::sleep(Duration::from_millis(700));
    editor.write_all(creds_text(&pasted).as_bytes()).unwrap();
    drop(editor);
    Run::from(child).assert_ok();
    assert_eq!(
        case.refresh_token(),
        pasted.refresh_token,
        "what was pasted stays; {:?}",
        case.names()
    );
}

/// 2: the same with a pair set aside and no journal, before any exchange.
#[test]
fn r02_editor_empties_with_a_pair_set_aside() {
    let case = Case::interrupted(Options::default());
    fs::rename(case.path("creds.json.rotation"), case.path("creds.json.rotation.old")).unwrap();
    let pasted = case.sandbox.issue();
    let mut editor = File::create(case.creds()).unwrap();
    let child = case.start(1).pop().unwrap();
    thread::sleep(Duration::from_millis(900));
    editor.write_all(creds_text(&pasted).as_bytes()).unwrap();
    drop(editor);
    let run = Run::from(child);
    assert_eq!(
        case.refresh_token(),
        pasted.refresh_token,
        "what was pasted stays; {} {:?}",
        run.stderr,
        case.names()
    );
}

/// 3: an answer without a refresh token keeps S in force; X is pasted meanwhile; X is refused later: S must be tried.
#[test]
fn r03_access_only_pair_set_aside() {
    let case = Case::expired(Options::default());
    let s = case.refresh_token();
    case.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
    let x = case.sandbox.issue();
    set_aside(&case, &x);
    assert!(case.sandbox.is_live(&s), "S is in force");
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant).times(2));
    let run = case.run(NONE);
    let sent: Vec<_> = case
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.path == "/as/token")
        .map(|r| {
            form_urlencoded::parse(&r.body).into_owned().find(|f| f.0 == "refresh_token").unwrap().1
                == x.refresh_token
        })
        .collect();
    let kept =
        case.names().iter().any(|n| fs::read_to_string(case.path(n)).is_ok_and(|t| t.contains(&s)));
    assert!(
        kept || run.code == Some(0),
        "S exists nowhere; X sent: {sent:?}; code {:?} {} {:?}",
        run.code,
        run.stderr,
        case.names()
    );
}

/// 4: an answer without a refresh token in the journal, creds.json without a refresh token.
#[test]
fn r04_access_only_journal_and_damage() {
    for damage in ["{}", "{\"error\": \"invalid_grant\"}"] {
        let case = Case::expired(Options::default());
        let s = case.refresh_token();
        case.sandbox.add_fault(Fault::token(FaultKind::NoRefreshToken));
        let hold = case.sandbox.hold_token_answers();
        let child = case.start(1).pop().unwrap();
        assert!(hold.wait_for_request(SOON));
        fs::create_dir(case.path("creds.json.new")).unwrap();
        hold.release();
        Run::from(child).assert_ok();
        fs::remove_dir(case.path("creds.json.new")).unwrap();
        fs::write(case.creds(), damage).unwrap();
        let run = case.run(NONE);
        assert_eq!(run.code, Some(0), "{damage}: {}", run.stderr);
        assert_eq!(case.refresh_token(), s);
    }
}

/// 5: the refresh token of creds.json is the journal's new one, its access token is broken.
#[test]
fn r05_new_refresh_token_with_a_broken_access_token() {
    let case = Case::interrupted(Options::default());
    let journal = fs::read_to_string(case.path("creds.json.rotation")).unwrap();
    let start = journal.find("\n{").unwrap() + 1;
    let response: Value =
        serde_json::Deserializer::from_str(&journal[start..]).into_iter().next().unwrap().unwrap();
    let torn = json!({"access_token": "eyJ.torn.x", "refresh_token": response["refresh_token"]});
    fs::write(case.creds(), torn.to_string()).unwrap();
    let run = case.run(NONE);
    let again = case.run(NONE);
    assert_eq!(
        (run.code, again.code),
        (Some(0), Some(0)),
        "{} then {} {:?}",
        run.stderr,
        again.stderr,
        case.names()
    );
}

/// 6: a torn write in place that happens to parse: half of the refresh token is the old one's.
#[test]
fn r06_torn_within_the_refresh_token() {
    let case = Case::interrupted(Options::default());
    let old = fs::read(case.creds()).unwrap();
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    let asked = case.sandbox.counters().token_requests;
    case.run(NONE).assert_ok();
    let new = fs::read(case.creds()).unwrap();
    // in the middle of the refresh token
    let at = String::from_utf8(new.clone()).unwrap().find("refresh_token").unwrap() + 300;
    let torn = [&new[..at], &old[at.min(old.len())..]].concat();
    eprintln!("torn parses: {}", serde_json::from_slice::<Value>(&torn).is_ok());
    fs::write(case.creds(), torn).unwrap();
    fs::write(case.path("creds.json.rotation"), &journal).unwrap();
    case.sandbox.revoke_access_tokens();
    let run = case.run(NONE);
    eprintln!("{:?} {} {:?} {:?}", run.code, run.stderr, case.names(), case.sandbox.counters());
    let forms: Vec<_> = case
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.path == "/as/token")
        .map(|r| {
            form_urlencoded::parse(&r.body).into_owned().find(|f| f.0 == "refresh_token").unwrap().1
        })
        .collect();
    assert_eq!(
        case.sandbox.counters().refused,
        0,
        "a token that never was is sent; asked before {asked}, now {}",
        forms.len()
    );
}

/// 7: false words after a run in doubt.
#[test]
fn r07_unchanged_after_doubt_hard_link() {
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    case.run(NONE).assert_fails(1, &["may have been used"]);
    fs::hard_link(case.creds(), case.path("second.json")).unwrap();
    let run = case.run(NONE);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
}

#[test]
fn r08_unchanged_after_doubt_lock() {
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    case.run(NONE).assert_fails(1, &["may have been used"]);
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    std::os::unix::fs::symlink("creds.json.lock", case.path("creds.json.lock")).unwrap();
    let run = case.run(NONE);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
}

/// 9: the set-aside pair's token was sent and lost; the next run is turned away with 429.
#[test]
fn r09_unchanged_after_doubt_set_aside() {
    let case = Case::expired(Options::default());
    let x = case.sandbox.issue();
    set_aside(&case, &x);
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.sandbox.add_fault(Fault::token(FaultKind::ResetAfter));
    case.sandbox.add_fault(Fault::token(FaultKind::ResetBefore));
    let first = case.run(NONE);
    assert!(first.stderr.contains("may have been used"), "{}", first.stderr);
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    case.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    let run = case.run(NONE);
    assert!(!run.stderr.contains("unchanged"), "first: {}\nsecond: {}", first.stderr, run.stderr);
}

/// 10: only a pair of another account is set aside, and creds.json has a missing comma.
#[test]
fn r10_damage_switches_the_account() {
    let case = Case::interrupted(Options::default());
    let other = of_another_user(&case);
    case.run(NONE).assert_ok();
    fs::write(case.path("creds.json.rotation.old"), &other).unwrap();
    let own = fs::read_to_string(case.creds()).unwrap().replacen("\",", "\"", 1);
    fs::write(case.creds(), &own).unwrap();
    let run = case.run(NONE);
    let now = fs::read_to_string(case.creds()).unwrap();
    assert_eq!(now, own, "creds.json is another account's now: {} {:?}", run.stderr, case.names());
}

fn of_another_user(case: &Case) -> Vec<u8> {
    let journal = fs::read(case.path("creds.json.rotation")).unwrap();
    let text = String::from_utf8(journal).unwrap();
    let start = text.find("eyJ").unwrap();
    let token = text[start..].split('"').next().unwrap();
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    let mut claims: Value = serde_json::from_slice(&BASE64URL.decode(claims).unwrap()).unwrap();
    claims["sub"] = json!("somebody-else");
    claims["email"] = json!("else@example.com");
    let other = format!("{head}.{}.{signature}", BASE64URL.encode(claims.to_string()));
    let content_start = text.find("\n{").unwrap() + 1;
    let mut line: Value = serde_json::from_str(text[..content_start].trim()).unwrap();
    let length = usize::try_from(line["length"].as_u64().unwrap()).unwrap();
    let content = text[content_start..content_start + length].replace(token, &other);
    line["length"] = json!(content.len());
    line["sha256"] = json!(support::sha256(content.as_bytes()));
    line["spent"] = json!(support::sha256(b"another"));
    format!("{:<511}\n{content}", line.to_string()).into_bytes()
}

fn body(case: &Case) -> Vec<u8> {
    let tokens = case.sandbox.issue();
    json!({"access_token": tokens.access_token, "token_type": "Bearer", "expires_in": 300, "refresh_token": tokens.refresh_token}).to_string().into_bytes()
}
fn with_head(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()
}

/// 11: heads as bad servers send them.
#[test]
fn r11_heads() {
    type F = fn(&[u8]) -> Vec<u8>;
    let heads: Vec<(&str, F)> = vec![
        ("100 continue first", |b| {
            [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), plain(200, b)].concat()
        }),
        ("103 early hints first", |b| {
            [b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n".to_vec(), plain(200, b)]
                .concat()
        }),
        ("102 processing first", |b| {
            [b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), plain(200, b)].concat()
        }),
        ("bad content-length", |b| with_head("content-length: abc\r\n", b)),
        ("content-length twice, differing", |b| {
            with_head(
                &format!("content-length: {}\r\ncontent-length: {}\r\n", b.len(), b.len() + 1),
                b,
            )
        }),
        ("content-length twice, same", |b| {
            with_head(&format!("content-length: {}\r\ncontent-length: {}\r\n", b.len(), b.len()), b)
        }),
        ("negative content-length", |b| with_head("content-length: -1\r\n", b)),
        ("labelled chunked, and not", |b| with_head("transfer-encoding: chunked\r\n", b)),
        ("labelled chunked, with content-length, and not", |b| {
            with_head(&format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("chunked and content-length", |b| {
            with_head(
                &format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", b.len()),
                &[format!("{:x}\r\n", b.len()).as_bytes(), b, b"\r\n0\r\n\r\n"].concat(),
            )
        }),
        ("identity transfer-encoding", |b| {
            with_head(&format!("transfer-encoding: identity\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("content-length too small", |b| {
            with_head(&format!("content-length: {}\r\n", b.len() - 7), b)
        }),
        ("content-length 0", |b| with_head("content-length: 0\r\n", b)),
        ("150 headers", |b| {
            let h: String = (0..150).map(|i| format!("x-h{i}: v\r\n")).collect();
            with_head(&format!("{h}content-length: {}\r\n", b.len()), b)
        }),
        ("a header of 70 KB", |b| {
            with_head(
                &format!("set-cookie: {}\r\ncontent-length: {}\r\n", "a".repeat(70_000), b.len()),
                b,
            )
        }),
        ("a header of 200 KB", |b| {
            with_head(
                &format!("set-cookie: {}\r\ncontent-length: {}\r\n", "a".repeat(200_000), b.len()),
                b,
            )
        }),
        ("latin-1 in a header", |b| {
            [
                b"HTTP/1.1 200 OK\r\nx-name: J\xfcrgen\r\n".to_vec(),
                format!("content-length: {}\r\n\r\n", b.len()).into_bytes(),
                b.to_vec(),
            ]
            .concat()
        }),
        ("latin-1 in the reason", |b| {
            [
                b"HTTP/1.1 200 Erf\xfcllt\r\n".to_vec(),
                format!("content-length: {}\r\n\r\n", b.len()).into_bytes(),
                b.to_vec(),
            ]
            .concat()
        }),
        ("no reason", |b| {
            [
                b"HTTP/1.1 200\r\n".to_vec(),
                format!("content-length: {}\r\n\r\n", b.len()).into_bytes(),
                b.to_vec(),
            ]
            .concat()
        }),
        ("line feeds alone", |b| {
            [format!("HTTP/1.1 200 OK\ncontent-length: {}\n\n", b.len()).into_bytes(), b.to_vec()]
                .concat()
        }),
        ("a folded header", |b| {
            with_head(&format!("x-a: b\r\n c\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("a blank in a header name", |b| {
            with_head(&format!("x a: b\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("a line that is no header", |b| {
            with_head(&format!("nonsense\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("a control in a value", |b| {
            with_head(&format!("x-a: b\x01c\r\ncontent-length: {}\r\n", b.len()), b)
        }),
        ("HTTP/1.0", |b| {
            [
                format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", b.len()).into_bytes(),
                b.to_vec(),
            ]
            .concat()
        }),
        ("blank lines first", |b| [b"\r\n".to_vec(), plain(200, b)].concat()),
        ("raw deflate", |b| {
            let mut c =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            c.write_all(b).unwrap();
            let z = c.finish().unwrap();
            with_head(&format!("content-encoding: deflate\r\ncontent-length: {}\r\n", z.len()), &z)
        }),
        ("text behind", |b| plain(200, &[b, b"\n<!-- cached -->\n"].concat())),
        ("a NUL behind", |b| plain(200, &[b, b"\0"].concat())),
        ("204 with a body", |b| plain(204, b)),
        ("205 with a body", |b| plain(205, b)),
        ("206 with a body", |b| plain(206, b)),
    ];
    let mut lost = Vec::new();
    for (name, frame) in heads {
        let server = TokenServer::start(move |case| frame(&body(case)));
        let case = server.case();
        let run = case.run(NONE);
        let n = server.forms().len();
        if run.code != Some(0) || n != 1 || !case.sandbox.is_live(&case.refresh_token()) {
            lost.push(format!(
                "{name}: sent {n} times, {:?} {}",
                run.code,
                run.stderr.lines().next().unwrap_or_default().chars().take(160).collect::<String>()
            ));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// 12: creds.json becomes shared later: the lock of an earlier run shuts the other out.
#[test]
fn r12_a_lock_from_before_the_file_was_shared() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let (owner, other, group) = (12_001u32, 12_002u32, 12_100u32);
    let case = Case::expired(Options::default());
    for n in ["aac_url.txt", "client_id.txt", "creds.json"] {
        chown(case.path(n), Some(owner), Some(group)).unwrap();
    }
    chown(case.folder.path(), Some(owner), Some(group)).unwrap();
    fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(support::get_workspace(), programs.path().join("get_workspace")).unwrap();
    let run = |user: u32| {
        let mut c = std::process::Command::new("setpriv");
        c.args([
            "--reuid",
            &user.to_string(),
            "--regid",
            &user.to_string(),
            "--groups",
            &group.to_string(),
        ]);
        c.arg(programs.path().join("get_workspace")).env("AAC_DIR", case.folder.path());
        c.stdin(Stdio::null());
        Run::of(&mut c)
    };
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o600)).unwrap();
    run(owner).assert_ok();
    // The owner shares it.
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o660)).unwrap();
    case.sandbox.revoke_access_tokens();
    run(owner).assert_ok();
    case.sandbox.revoke_access_tokens();
    let second = run(other);
    let mode =
        |n: &str| fs::metadata(case.path(n)).map(|m| format!("{:o}", m.permissions().mode()));
    assert_eq!(
        second.code,
        Some(0),
        "{} lock {:?} spent {:?}",
        second.stderr,
        mode("creds.json.lock"),
        mode("creds.json.spent")
    );
}

/// 13: killed between the creation of the lock and its rights.
#[test]
fn r13_a_lock_killed_before_its_rights() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let (owner, other, group) = (12_001u32, 12_002u32, 12_100u32);
    let case = Case::expired(Options::default());
    for n in ["aac_url.txt", "client_id.txt", "creds.json"] {
        chown(case.path(n), Some(owner), Some(group)).unwrap();
    }
    chown(case.folder.path(), Some(owner), Some(group)).unwrap();
    fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o660)).unwrap();
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(support::get_workspace(), programs.path().join("get_workspace")).unwrap();
    let user = |user: u32, kill: bool| {
        let mut c = std::process::Command::new("setpriv");
        c.args([
            "--reuid",
            &user.to_string(),
            "--regid",
            &user.to_string(),
            "--groups",
            &group.to_string(),
        ]);
        if kill {
            c.args([
                "strace",
                "-f",
                "-o",
                "/dev/null",
                "-e",
                "inject=fsetxattr,fchown,fchmod:signal=KILL:when=1",
            ]);
        }
        c.arg(programs.path().join("get_workspace")).env("AAC_DIR", case.folder.path());
        c.stdin(Stdio::null());
        Run::of(&mut c)
    };
    let killed = user(other, true);
    eprintln!("{:?} {} {:?}", killed.code, killed.stderr, case.names());
    let owners = user(owner, false);
    assert_eq!(
        owners.code,
        Some(0),
        "{} {:o}",
        owners.stderr,
        fs::metadata(case.path("creds.json.lock")).unwrap().permissions().mode()
    );
}

/// 14: two programs share the name creds.json.new once the lock file is deleted.
#[test]
fn r14_two_holders_share_the_new_file() {
    let case = Case::expired(Options::default());
    // P1 is slow between its copy and the rename (a slow disk, Ctrl-Z, docker pause).
    let traced = |inject: &str, wait: u64| {
        let mut c = std::process::Command::new("strace");
        c.args(["-f", "-o", "/dev/null", "-e", &format!("inject={inject}:delay_enter={wait}")]);
        c.arg(support::get_workspace())
            .env("AAC_DIR", case.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        c.spawn().unwrap()
    };
    let first = traced("rename:when=1", 6_000_000);
    thread::sleep(Duration::from_millis(1500));
    assert!(case.path("creds.json.new").exists(), "P1 is before its rename: {:?}", case.names());
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    // P2 is slow before the journal, at creds.json.new, gets its name (its second rename).
    let second = traced("rename:when=2", 8_000_000);
    let first = Run::from(first);
    let mid = fs::read(case.creds()).unwrap();
    let is_journal = mid.starts_with(b"{\"") && mid.windows(9).any(|w| w == b"\"sending\"");
    let second = Run::from(second);
    let now = fs::read(case.creds()).unwrap();
    let whole = serde_json::from_slice::<Value>(&now).is_ok();
    let again = case.run(NONE);
    assert!(
        whole && again.code == Some(0),
        "creds.json is a journal: {is_journal}, whole at the end: {whole}\nfirst {:?} {}\nsecond {:?} {}\nagain {:?} {}\n{:?}",
        first.code,
        first.stderr,
        second.code,
        second.stderr,
        again.code,
        again.stderr,
        case.names()
    );
}

/// 15: creds.json becomes something that cannot be read during the exchange (too large).
#[test]
fn r15_unreadable_during_the_exchange() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_answers();
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    let big = "x".repeat(1_100_000);
    fs::write(case.creds(), &big).unwrap();
    hold.release();
    let run = Run::from(child);
    let kept =
        case.names().iter().any(|n| fs::read_to_string(case.path(n)).is_ok_and(|t| t == big));
    assert!(kept, "{:?} {} {:?}", run.code, run.stderr, case.names());
}

/// 16: an access token only pair, put back by the command of the message.
#[test]
fn r16_record_that_cannot_be_opened_is_not_deleted() {
    let case = Case::expired(Options::default());
    case.run(NONE).assert_ok();
    case.sandbox.revoke_access_tokens();
    case.run(NONE).assert_ok();
    let before = fs::read_to_string(case.path("creds.json.spent")).unwrap();
    assert_eq!(before.lines().count(), 2);
    case.sandbox.revoke_access_tokens();
    // ENFILE for a moment when the record is opened to be added to.
    let mut c = std::process::Command::new("strace");
    let spent = case.path("creds.json.spent");
    c.args([
        "-f",
        "-o",
        "/dev/null",
        "-P",
        spent.to_str().unwrap(),
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:error=ENFILE:when=3",
    ]);
    c.arg(support::get_workspace()).env("AAC_DIR", case.folder.path());
    let run = Run::of(&mut c);
    let after = fs::read_to_string(&spent).unwrap();
    assert!(
        after.starts_with(&before),
        "{:?} {}: {} lines of {}",
        run.code,
        run.stderr,
        after.lines().count(),
        before.lines().count()
    );
}

fn forms(case: &Case) -> Vec<String> {
    case.sandbox
        .requests()
        .iter()
        .filter(|r| r.path == "/as/token")
        .map(|r| {
            form_urlencoded::parse(&r.body).into_owned().find(|f| f.0 == "refresh_token").unwrap().1
        })
        .collect()
}

/// 17: a pair without an access token, set aside, of the same account: it is tried when X is refused.
#[test]
fn r17_refresh_only_pair_set_aside() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::NoAccessToken));
    let x = case.sandbox.issue();
    set_aside(&case, &x);
    case.sandbox.revoke_access_tokens();
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let run = case.run(NONE);
    eprintln!("{:?} {}", run.code, run.stderr);
    // What the message says.
    fs::rename(case.path("creds.json.rotation.old"), case.creds()).unwrap();
    let back = case.run(NONE);
    assert_eq!((run.code, back.code), (Some(0), Some(0)), "{} then {}", run.stderr, back.stderr);
}

/// 19: killed between the renaming of the journal and the record; later its pair is used, and the older copy comes back.
#[test]
fn r19_link_of_a_set_aside_pair_is_forgotten() {
    let case = Case::interrupted(Options::default());
    let copy = format!(
        "{{\"access_token\": \"{}\", \"refresh_token\": \"{}\"}}",
        case.tokens.access_token, case.tokens.refresh_token
    );
    // X is pasted over the journal T -> N.
    let x = case.sandbox.issue_expired();
    case.sandbox.write_files(case.folder.path(), &x).unwrap();
    let spent = case.path("creds.json.spent");
    let mut c = std::process::Command::new("strace");
    c.args([
        "-f",
        "-o",
        "/dev/null",
        "-P",
        spent.to_str().unwrap(),
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:signal=KILL:when=1",
    ]);
    c.arg(support::get_workspace()).env("AAC_DIR", case.folder.path());
    let killed = Run::of(&mut c);
    eprintln!("{:?} {:?}", killed.code, case.names());
    assert!(case.path("creds.json.rotation.old").exists() && !spent.exists());
    // X is refused; N is used.
    case.sandbox.add_fault(Fault::token(FaultKind::InvalidGrant));
    let run = case.run(NONE);
    run.assert_ok();
    eprintln!("{} {:?}", run.stderr, case.names());
    // The oldest copy is restored.
    fs::write(case.creds(), copy).unwrap();
    let run = case.run(NONE);
    let counters = case.sandbox.counters();
    assert_eq!(counters.reused, 0, "T was sent again: {:?} {} {counters:?}", run.code, run.stderr);
}

/// 21: a refresh token with a character that is not allowed beside a good access token.
#[test]
fn r21_odd_characters_in_the_new_refresh_token() {
    let mut lost = Vec::new();
    for token in ["new-token\n", "t\u{f6}k\u{e9}n", "a\tb"] {
        let server = TokenServer::start(move |case| {
            let body =
                json!({"access_token": case.sandbox.issue().access_token, "refresh_token": token});
            plain(200, body.to_string().as_bytes())
        });
        let case = server.case();
        let run = case.run(NONE);
        let kept = case.names().iter().any(|n| {
            fs::read_to_string(case.path(n)).is_ok_and(|t| {
                t.contains(token)
                    || t.contains(serde_json::to_string(token).unwrap().trim_matches('"'))
            })
        });
        if !kept {
            lost.push(format!(
                "{token:?}: {:?} {} creds has the spent token: {}",
                run.code,
                run.stderr,
                case.refresh_token() == case.tokens.refresh_token
            ));
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// 22: as the first process of a container.
#[test]
fn r22_a_signal_to_process_1() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_answers();
    let mut child = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(support::get_workspace())
        .env("AAC_DIR", case.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(hold.wait_for_request(SOON));
    let inner = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let inner = inner.trim().to_owned();
    std::process::Command::new("kill").args(["-s", "TERM", &inner]).status().unwrap();
    thread::sleep(Duration::from_millis(200));
    hold.release();
    let start = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(15) {
        thread::sleep(Duration::from_millis(50));
    }
    let ended = child.try_wait().unwrap();
    if ended.is_none() {
        eprintln!(
            "still running: {}",
            fs::read_to_string(format!("/proc/{inner}/status")).unwrap_or_default()
        );
        let _ = child.kill();
    }
    let out = child.wait_with_output().unwrap();
    eprintln!(
        "ended {ended:?} after {:?}: {}",
        start.elapsed(),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert!(ended.is_some());
}

/// 23: the doubt of an earlier run is forgotten when the next one withdraws its journal.
#[test]
fn r23_doubt_forgotten_by_a_withdrawn_journal() {
    let fault = Fault::token(FaultKind::ResetAfter).times(2);
    let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
    case.run(NONE).assert_fails(1, &["may have been used"]);
    case.sandbox.add_fault(Fault::token(FaultKind::TooManyRequests(60)));
    // Slow in connect(2), and the lock file is deleted meanwhile.
    let mut c = std::process::Command::new("strace");
    c.args(["-f", "-o", "/dev/null", "-e", "inject=connect:delay_enter=2000000:when=1"]);
    c.arg(support::get_workspace())
        .env("AAC_DIR", case.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = c.spawn().unwrap();
    thread::sleep(Duration::from_millis(1200));
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    let run = Run::from(child);
    assert!(run.stderr.contains("429"), "{}", run.stderr);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
}

/// 24: two users; one leaves a whole journal; creds.json is gone; the owner comes.
#[test]
fn r24_creds_gone_and_a_journal_of_the_other_user() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let (owner, other, group) = (12_001u32, 12_002u32, 12_100u32);
    let case = Case::expired(Options::default());
    for n in ["aac_url.txt", "client_id.txt", "creds.json"] {
        chown(case.path(n), Some(owner), Some(group)).unwrap();
    }
    chown(case.folder.path(), Some(owner), Some(group)).unwrap();
    fs::set_permissions(case.folder.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    fs::set_permissions(case.creds(), PermissionsExt::from_mode(0o660)).unwrap();
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(support::get_workspace(), programs.path().join("get_workspace")).unwrap();
    let command = |user: u32| {
        let mut c = std::process::Command::new("setpriv");
        c.args([
            "--reuid",
            &user.to_string(),
            "--regid",
            &user.to_string(),
            "--groups",
            &group.to_string(),
        ]);
        c.arg(programs.path().join("get_workspace")).env("AAC_DIR", case.folder.path());
        c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        c
    };
    let hold = case.sandbox.hold_token_answers();
    let child = command(other).spawn().unwrap();
    assert!(hold.wait_for_request(SOON));
    fs::create_dir(case.path("creds.json.new")).unwrap();
    hold.release();
    Run::from(child).assert_ok();
    fs::remove_dir(case.path("creds.json.new")).unwrap();
    assert!(case.path("creds.json.rotation").is_file());
    fs::remove_file(case.creds()).unwrap();
    let run = Run::of(&mut command(owner));
    assert!(case.creds().exists(), "{:?} {} {:?}", run.code, run.stderr, case.names());
    run.assert_ok();
}

/// 25: everything beside creds.json is deleted during a refresh ("rm creds.json.*").
#[test]
fn r25_all_files_beside_are_deleted_during_a_refresh() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_endpoint();
    let first = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    fs::remove_file(case.path("creds.json.lock")).unwrap();
    fs::remove_file(case.path("creds.json.rotation")).unwrap();
    let second = case.start(1).pop().unwrap();
    thread::sleep(Duration::from_millis(1000));
    hold.release();
    let (first, second) = (Run::from(first), Run::from(second));
    let counters = case.sandbox.counters();
    assert_eq!(
        (counters.token_requests, counters.reused),
        (1, 0),
        "{:?} {} / {:?} {}",
        first.code,
        first.stderr,
        second.code,
        second.stderr
    );
}
