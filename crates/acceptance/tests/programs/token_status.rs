//! token_status: what there is to tell of a pair of tokens, whatever has become of it, and never a token.

use crate::{NONE, call_with, fresh, in_vault};
use aac_sandbox::{Fault, FaultKind, Options, RefreshTokens, Sandbox, Tokens};
use acceptance::{Case, Run, creds_with};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

const DAY: i64 = 86_400;

/// Runs it with these flags, in one line. Checks the exit code, and that it shows no token: not of the pair
/// in creds.json, nor of one beside it.
#[track_caller]
fn call(case: &Case, flags: &str, code: i32) -> Run {
    let run = case.call("token_status", flags.split_terminator(' '));
    for name in case.names().iter().filter(|name| name.starts_with("creds.json")) {
        let text = String::from_utf8_lossy(&fs::read(case.path(name)).unwrap()).into_owned();
        let is_long = |word: &&str| word.len() > 100;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        // The places of a journal are filled with blanks.
        run.assert_hides(&words.filter(is_long).collect::<Vec<_>>());
    }
    assert_eq!(run.code, Some(code), "{flags}: {}", run.stderr);
    run
}

/// The description as JSON, with the state that it must have.
#[track_caller]
fn described(case: &Case, flags: &str, state: &str, code: i32) -> Value {
    let flags = format!("--json {flags}");
    let status: Value = serde_json::from_str(&call(case, flags.trim_end(), code).stdout).unwrap();
    assert_eq!(status["state"], state, "{status}");
    status
}

#[test]
#[cfg(unix)]
fn whoever_else_can_read_the_file_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let case = fresh();
    for (mode, expected) in [
        (0o644, "every user of this machine"),
        (0o640, "the members of "),
        (0o600, ""),
        (0o620, ""),
    ] {
        fs::set_permissions(case.creds(), PermissionsExt::from_mode(mode)).unwrap();
        let status = described(&case, "", "usable", 0);
        let readers = status["readers"].as_array().unwrap();
        let first = readers.first().and_then(Value::as_str).unwrap_or_default();
        assert!(first.starts_with(expected) && first.is_empty() == expected.is_empty(), "{status}");
        let text = call(&case, "", 0).stdout;
        assert_eq!(text.contains("readable by "), !expected.is_empty(), "{text}");
    }
}

#[test]
fn a_fresh_pair_is_described_without_the_network() {
    let case = fresh();
    let status = described(&case, "", "usable", 0);
    let keys: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.join(" "),
        "state problem help form keeper key_available place person workspace workspace_gid issued access_token_until \
         access_token_seconds_left last_refresh refresh_token_until readers leftovers platform"
    );
    let chosen_as = "the folder that AAC_DIR names";
    let place = json!({ "kind": "file", "name": case.creds(), "chosen_as": chosen_as });
    assert_eq!(status["place"], place);
    assert!(status["person"].as_str().unwrap().ends_with("@example.com"));
    assert_eq!(status["workspace"], "lukes-test-workspace");
    assert_eq!(status["workspace_gid"], "01JKBMKPZ94N0GG5F8N9HY2FJA");
    assert!((290..=300).contains(&status["access_token_seconds_left"].as_i64().unwrap()));
    for field in ["issued", "access_token_until", "refresh_token_until"] {
        let time = status[field].as_str().unwrap();
        assert!(time.parse::<aac_auth::Timestamp>().is_ok(), "{field}: {time}");
    }
    for field in ["problem", "help", "keeper", "key_available", "last_refresh", "platform"] {
        assert_eq!(status[field], Value::Null, "{field}");
    }
    assert_eq!((&status["form"], &status["leftovers"]), (&json!("plain"), &json!([])));

    let text = call(&case, "", 0);
    assert_eq!(text.stderr, "");
    for (name, value) in [
        ("state", "usable"),
        ("place", &*format!("{} (file)", case.creds().display())),
        ("chosen as", chosen_as),
        ("form", "plain"),
        ("person", status["person"].as_str().unwrap()),
        ("workspace", "lukes-test-workspace (01JKBMKPZ94N0GG5F8N9HY2FJA)"),
    ] {
        assert!(text.stdout.contains(&format!("{name:<20} {value}\n")), "{}", text.stdout);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    assert_eq!(case.names(), ["aac_url.txt", "client_id.txt", "creds.json"], "nothing is left");
}

#[test]
fn a_sealed_pair_is_described_like_a_plain_one() {
    let case = Case::fresh(Options::default()).sealed(true);
    let status = described(&case, "", "usable", 0);
    let told = ["form", "keeper", "key_available", "workspace"].map(|field| &status[field]);
    assert_eq!(json!(told), json!(["sealed", "file", true, "lukes-test-workspace"]));
    let text = call(&case, "", 0).stdout;
    assert!(text.contains("\nform                 sealed (file); its key can be had\n"), "{text}");
}

#[test]
fn a_sealed_pair_without_its_key_is_no_dead_one() {
    let case = fresh();
    let key = case.path("key");
    fs::write(&key, "0123456789abcdef").unwrap();
    let leads = [("AAC_KEY_FILE", key.as_os_str())];
    let call = |leads: &[(&str, &OsStr)], flags: &[&str]| {
        Run::of(case.program("token_status").args(flags).envs(leads.iter().copied()))
    };
    let sealed = |by: &str| {
        let seal = json!({ "v": 1, "by": by, "key": "", "print": "0".repeat(16), "data": "AAAA" });
        fs::write(case.creds(), json!({ "sealed": seal }).to_string()).unwrap();
    };
    for (by, leads, words) in [
        ("file", &[][..], "AAC_KEY_FILE is not set, which leads to the key"),
        ("file", &leads, "AAC_KEY_FILE has another key"),
        ("command", &leads, "AAC_KEY_COMMAND is not set, which leads to the key"),
    ] {
        sealed(by);
        let words = format!("creds.json: sealed, and {words}; your tokens are unchanged");
        for flags in [&[][..], &["--online"], &["--fail-within", "1"]] {
            let run = call(leads, flags);
            assert!(run.code == Some(1) && run.stderr.contains(&words), "{}", run.stderr);
            let lines = format!("form                 sealed ({by}); its key cannot be had\n");
            assert!(run.stdout.starts_with("state                sealed\n"), "{}", run.stdout);
            assert!(run.stdout.contains(&lines), "{}", run.stdout);
        }
        let status = call(leads, &["--json"]).stdout;
        let status: Value = serde_json::from_str(&status).unwrap();
        let told = ["state", "form", "keeper", "key_available", "person"];
        let expected = json!(["sealed", "sealed", by, false, null]);
        assert_eq!(json!(told.map(|field| &status[field])), expected);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn an_expired_access_token_is_refreshed_only_to_ask_the_platform() {
    let case = Case::expired(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    let before = described(&case, "", "usable", 0);
    assert_eq!(before["access_token_seconds_left"], 0);
    assert_eq!(case.sandbox.counters().connections, 0);

    let after = described(&case, "--online", "usable", 0);
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert!(after["access_token_seconds_left"].as_i64().unwrap() > 290);
    assert!(after["last_refresh"].is_string());
    let platform = &after["platform"];
    assert_eq!(
        (&platform["name"], &platform["status"]),
        (&json!("sandbox token 1"), &json!("Enabled"))
    );
    // The token says 365 days; the person chose 30.
    let until = |text: &Value| text.as_str().unwrap().parse::<aac_auth::Timestamp>().unwrap();
    let (says, counts) = (until(&after["refresh_token_until"]), until(&platform["until"]));
    assert_eq!(says.seconds_since(counts), (365 - 30) * DAY);
    let text = call(&case, "--online", 0).stdout;
    assert!(text.contains("platform: status     Enabled\n"), "{text}");
}

#[test]
fn less_time_than_asked_for_has_an_exit_code_of_its_own() {
    let case = Case::fresh(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    let page = "/cloud-portal/preferences/oauth2-api-tokens";
    let folder = case.folder.path().display();
    let command = format!("and run: cargo run -p login -- --tokens --dir \"{folder}\"");
    let cure = format!("\n  Create new tokens at {}{page}, {command}\n", case.sandbox.url());
    for (flags, code) in [
        ("--fail-within 364", 0),
        ("--fail-within 366", 10),
        ("--fail-within 29 --online", 0),
        ("--fail-within 31 --online", 10),
    ] {
        let run = call(&case, flags, code);
        assert!(run.stdout.starts_with("state "), "it is told all the same");
        assert_eq!(run.stderr.contains(" days are left: "), code == 10, "{}", run.stderr);
        assert_eq!(run.stderr.ends_with(&cure), code == 10, "{}", run.stderr);
    }
    case.sandbox.disable_pairs();
    for days in ["0", "9999"] {
        let disabled = call(&case, &format!("--fail-within {days} --online"), 10);
        assert!(disabled.stdout.contains("Disabled by User\n"), "{}", disabled.stdout);
        let said =
            "token_status: the platform no longer accepts the tokens: Disabled by User\n  Create";
        assert!(disabled.stderr.starts_with(said), "{}", disabled.stderr);
    }
    // The network is no reason to say that the tokens end.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).always());
    let unknown = call(&case, "--fail-within 1 --online", 5);
    assert!(unknown.stdout.starts_with("state                usable\n"), "{}", unknown.stdout);
    let case = Case::expired(Options::default());
    case.sandbox.add_fault("token:503xall".parse().unwrap());
    call(&case, "--fail-within 1 --online", 5);
}

#[test]
fn an_opaque_refresh_token_does_not_say_when_it_ends() {
    let options = Options { refresh_tokens: RefreshTokens::Opaque, ..Options::default() };
    let case = Case::fresh(options);
    assert_eq!(described(&case, "", "usable", 0)["refresh_token_until"], Value::Null);
    let text = call(&case, "", 0).stdout;
    let words = "not stated; the lifetime that you chose counts (--online)\n";
    assert!(text.contains(words), "{text}");
    let unknown = call(&case, "--fail-within 1", 1);
    assert!(unknown.stderr.contains("ask with --online"), "{}", unknown.stderr);
    call(&case, "--fail-within 1 --online", 0);

    // Who has asked online is not told to.
    let mut parts: Vec<_> = case.tokens.access_token.split('.').map(str::to_owned).collect();
    let mut claims: Value = serde_json::from_slice(&BASE64URL.decode(&parts[1]).unwrap()).unwrap();
    claims.as_object_mut().unwrap().remove("sid").unwrap();
    parts[1] = BASE64URL.encode(claims.to_string());
    let access_token = parts.join(".");
    fs::write(case.creds(), creds_with(&Tokens { access_token, ..case.tokens.clone() })).unwrap();
    let run = call(&case, "--online --fail-within 1", 1);
    assert!(run.stderr.contains("names no session"), "{}", run.stderr);
    assert!(!run.stderr.contains("--online"), "{}", run.stderr);
}

#[test]
fn a_refresh_that_was_cut_off_is_completed_to_ask_the_platform() {
    let case = Case::interrupted(Options::default());
    // As after a power failure on some file systems.
    fs::write(case.creds(), "").unwrap();
    described(&case, "", "interrupted", 0);
    let after = described(&case, "--online --fail-within 1", "usable", 0);
    assert_eq!(after["platform"]["status"], "Enabled");
}

#[test]
fn dead_tokens_are_told_from_broken_ones() {
    let refused = || {
        let case = Case::expired(Options::default());
        case.sandbox.disable_pairs();
        case
    };
    let case = refused();
    described(&case, "", "usable", 0); // Nobody knows yet.
    let online = call(&case, "--online", 4);
    assert!(online.stdout.starts_with("state                refused\n"), "{}", online.stdout);
    assert!(online.stderr.contains("is refused"), "{}", online.stderr);
    described(&case, "", "refused", 4); // It is known now.
    for flags in ["--fail-within 1", "--fail-within 1 --online"] {
        call(&case, flags, 10);
    }
    let first = call(&refused(), "--fail-within 1 --online", 10);
    assert!(first.stderr.contains("Create new tokens at "), "{}", first.stderr);

    // Issued a year ago, with a refresh token that says it lasts 365 days from then.
    let options = Options { clock_offset: -366 * DAY, ..Options::default() };
    let sandbox = Sandbox::start(options).unwrap();
    let tokens = sandbox.issue();
    sandbox.set_clock_offset(0);
    let expired = Case::with(sandbox, tokens);
    described(&expired, "", "expired", 4);
    let run = call(&expired, "", 4);
    assert!(run.stderr.contains("has expired\n  Create new tokens at "), "{}", run.stderr);

    let copied = || {
        let case = Case::expired(Options::default());
        let old = fs::read(case.creds()).unwrap();
        case.run(NONE).assert_ok();
        (case, old)
    };
    let (copy, old) = copied();
    fs::write(copy.creds(), old).unwrap();
    described(&copy, "", "older_copy", 4);
    for flags in ["--fail-within 1", "--fail-within 1 --online"] {
        call(&copy, flags, 10);
    }
    call(&copy, "--online", 4);

    // The newer pair is in the journal, and the next run puts it in place.
    let (copy, old) = copied();
    copy.sandbox.revoke_access_tokens();
    copy.interrupt(&mut copy.command()).assert_ok();
    fs::write(copy.creds(), old).unwrap();
    described(&copy, "", "interrupted", 0);
    // What is pasted over it badly is not replaced by it.
    let pasted = creds_with(&copy.sandbox.issue()).replace("eyJ", "Bearer eyJ");
    fs::write(copy.creds(), pasted).unwrap();
    described(&copy, "", "broken", 1);
}

#[test]
fn a_broken_pair_is_described_as_far_as_it_goes() {
    let case = fresh();
    let person = described(&case, "", "usable", 0)["person"].clone();
    let good = creds_with(&case.tokens);
    let swapped = good.replace("access_token", "x").replace("refresh_token", "access_token");
    let swapped = swapped.replace("\"x\"", "\"refresh_token\"");
    for (creds, state, problem, knows) in [
        (&*swapped, "broken", "the two tokens are swapped", true),
        (&good[..good.len() - 2], "broken", "not JSON", true),
        (&good.replace('"', "\u{201c}"), "broken", "curly quotes", true),
        ("[]", "broken", "not an object", false),
        ("", "missing", "empty", false),
        (r#"{"access_token":"Your access token here"}"#, "placeholders", "placeholder", false),
    ] {
        fs::write(case.creds(), creds).unwrap();
        let status = described(&case, "", state, 1);
        let (said, help) = (status["problem"].as_str().unwrap(), status["help"].as_str().unwrap());
        let all = format!("{said} {help}").to_lowercase();
        assert!(all.contains(&problem.to_lowercase()), "{problem}: {all}");
        assert_eq!(status["person"] == person, knows, "{problem}");
        assert_eq!(status["form"], json!(null), "{problem}");
        let text = call(&case, "", 1);
        assert!(text.stdout.starts_with(&format!("state                {state}\n")));
        assert!(text.stderr.starts_with("token_status: "), "{}", text.stderr);
        call(&case, "--fail-within 1", 10);
    }
    fs::remove_file(case.creds()).unwrap();
    described(&case, "", "missing", 1);
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn what_a_failed_run_has_left_is_explained() {
    // The name of what is left, and what it means.
    let leftover = |case: &Case, state: &str, code| -> (String, String) {
        let left = described(case, "", state, code)["leftovers"][0].clone();
        let path = left["path"].as_str().unwrap();
        let name = path.rsplit(['/', '\\']).next().unwrap().to_owned();
        (name, left["meaning"].as_str().unwrap().to_owned())
    };
    let case = Case::interrupted(Options::default());
    let (name, meaning) = leftover(&case, "interrupted", 0);
    assert_eq!(name, "creds.json.rotation");
    assert!(meaning.ends_with("the next run puts them in place"), "{meaning}");
    // Other tokens were pasted over it: the next run sets those of the journal aside.
    fs::write(case.creds(), creds_with(&case.sandbox.issue_expired())).unwrap();
    assert!(leftover(&case, "usable", 0).1.ends_with("the next run sets them aside"));
    case.run(NONE).assert_ok();
    let (name, meaning) = leftover(&case, "usable", 0);
    assert_eq!(name, "creds.json.rotation.old");
    assert!(meaning.contains("set aside") && meaning.contains("lukes-test-workspace"), "{meaning}");

    // What a run could not use. The next one mends it.
    let case = Case::interrupted(Options::default());
    fs::write(case.creds(), "{ no json").unwrap();
    described(&case, "", "interrupted", 0);
    case.run(NONE).assert_ok();
    let (name, meaning) = leftover(&case, "usable", 0);
    assert_eq!(name, "creds.json.damaged");
    assert!(meaning.contains("could not use"), "{meaning}");

    // A response without tokens is no interrupted refresh, nor is one that was lost.
    for (fault, state, code, ends) in [
        (Fault::token(FaultKind::ResetBefore).always(), "in_doubt", 0, 0),
        // Half of a response, and then a refusal: the pair is dead.
        (Fault::token(FaultKind::Cut), "refused", 4, 10),
        // No more is known of a page than of nothing at all.
        (Fault::token(FaultKind::HtmlPage).times(2), "in_doubt", 0, 0),
    ] {
        let case = Case::expired(Options::default());
        case.sandbox.add_fault(fault);
        assert_ne!(case.run(NONE).code, Some(0));
        let (name, meaning) = leftover(&case, state, code);
        assert_eq!(name, "creds.json.rotation");
        assert!(meaning.starts_with("the note of a refresh that failed ("), "{meaning}");
        call(&case, "--fail-within 14", ends);
        // Nor is there anything to put in place of what is damaged.
        fs::write(case.creds(), "{ no json").unwrap();
        described(&case, "", "broken", 1);
        call(&case, "--fail-within 14", 10);
        // Of other tokens it says nothing.
        fs::write(case.creds(), creds_with(&case.sandbox.issue_expired())).unwrap();
        described(&case, "", "usable", 0);
    }
}

#[test]
fn who_asks_online_is_told_by_the_servers_clock() {
    // By the local clock, the pair of a year ago has expired.
    let options = Options { clock_offset: -400 * DAY, ..Options::default() };
    let case = Case::fresh(options.clone());
    described(&case, "", "expired", 4);
    described(&case, "--online", "usable", 0);
    let text = call(&case, "--online", 0).stdout;
    let line = text.lines().find(|line| line.starts_with("refresh token until")).unwrap();
    assert!(line.contains(", in 36"), "{text}");
    call(&case, "--online --fail-within 364", 0);
    call(&case, "--online --fail-within 366", 10);
    // So is who gets no more than an error.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).always());
    let run = call(&case, "--online --fail-within 1", 5);
    assert!(run.stdout.starts_with("state                usable\n"), "{}", run.stdout);
    // And the reverse.
    let case = Case::fresh(Options { clock_offset: 0, ..options });
    case.sandbox.set_clock_offset(364 * DAY);
    call(&case, "--online --fail-within 2", 10);
}

#[test]
fn a_refresh_that_is_going_on_is_no_leftover() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let children = case.start(1);
    assert!(hold.wait_for_request(Duration::from_secs(20)));
    let status = described(&case, "", "refreshing", 0);
    assert_eq!(status["leftovers"][0]["meaning"], "another program is refreshing the tokens");
    hold.release();
    for child in children {
        Run::from(child).assert_ok();
    }
    described(&case, "", "usable", 0);
}

/// Runs it with, or without, an environment that leads to the vault. Checks the exit code, the state, and
/// what it says.
#[track_caller]
fn of_vault(
    case: &Case,
    leads: &[(&str, String)],
    flags: &str,
    code: i32,
    state: &str,
    words: &[&str],
) {
    let run =
        call_with(case, "token_status", leads, &flags.split_terminator(' ').collect::<Vec<_>>());
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    assert!(run.stdout.starts_with(&format!("{:<20} {state}", "state")), "{}", run.stdout);
    for word in words {
        let is_said = run.stderr.contains(word) || run.stdout.contains(word);
        assert!(is_said, "{word:?} is not in {} {}", run.stdout, run.stderr);
    }
}

#[test]
fn a_vault_is_asked_only_with_online() {
    let case = in_vault(Options::default(), Sandbox::issue_expired);
    let vault = case.sandbox.vault();
    let leads = vault.environment();
    let place = format!("the secret secret/data/aac in the vault at {}", vault.url());
    let described = |args: &[&str]| -> Value {
        let run = call_with(&case, "token_status", &leads, args);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{args:?}");
        serde_json::from_str(&run.stdout).unwrap()
    };
    let offline = described(&["--json"]);
    assert_eq!(offline["state"], "not_read");
    let chosen_as = "the folder that AAC_DIR names";
    let in_json = json!({ "kind": "vault", "name": place, "chosen_as": chosen_as });
    assert_eq!(offline["place"], in_json);
    for field in ["person", "workspace", "access_token_until", "refresh_token_until", "problem"] {
        assert_eq!(offline[field], Value::Null, "{field}");
    }
    let text = call_with(&case, "token_status", &leads, &[]).stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("only the vault knows (--online)"), "{text}");
    let lines_of = [("place", format!("{place} (vault)")), ("chosen as", chosen_as.to_owned())];
    assert_eq!(lines[1..], lines_of.map(|(name, value)| format!("{name:<20} {value}")));
    of_vault(&case, &leads, "--fail-within 1", 1, "not read", &["in a vault: ask with --online"]);
    assert_eq!((vault.requests().len(), case.sandbox.counters().connections), (0, 0));

    let online = described(&["--json", "--online"]);
    assert_eq!((&online["state"], &online["place"]), (&json!("usable"), &offline["place"]));
    assert!(online["person"].as_str().unwrap().ends_with("@example.com"));
    assert_eq!(online["platform"]["status"], "Enabled");
    assert!(online["last_refresh"].is_string());
    assert_eq!(case.sandbox.counters().refreshes, 1);
    of_vault(&case, &leads, "--online --fail-within 1", 0, "usable", &[]);
}

#[test]
fn a_vault_that_cannot_be_read_is_told_from_tokens_that_are_dead() {
    let case = in_vault(Options::default(), Sandbox::issue);
    let leads = case.sandbox.vault().environment();
    case.sandbox.vault().revoke_token();
    for flags in ["--online", "--online --fail-within 1"] {
        let denied = ["in the vault at http", "path \"secret/data/aac\""];
        of_vault(&case, &leads, flags, 1, "not read", &denied);
        of_vault(&case, &[], flags, 1, "not read", &["in a vault", "Set VAULT_ADDR"]);
    }
    // A secret without tokens.
    let case = in_vault(Options::default(), Sandbox::issue);
    let leads = case.sandbox.vault().environment();
    case.sandbox.vault().delete();
    of_vault(&case, &leads, "--online", 1, "missing", &[]);
    of_vault(&case, &leads, "--online --fail-within 1", 10, "missing", &[]);

    // What is dead or ends soon is to be replaced there.
    let cure = "and run: cargo run -p login -- --vault secret/data/aac\n";
    let case = in_vault(Options::default(), Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    let soon = "--online --fail-within 9999";
    of_vault(&case, &leads, soon, 10, "usable", &["days are left", cure]);
    let case = in_vault(Options::default(), Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    case.sandbox.disable_pairs();
    for _ in 0..2 {
        of_vault(&case, &leads, "--online --fail-within 1", 10, "refused", &[cure]);
    }

    // Half of a response, and then a refusal.
    let case = in_vault(Options::default(), Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    case.sandbox.add_fault(Fault::token(FaultKind::Cut));
    assert_eq!(call_with(&case, "get_workspace", &leads, &[]).code, Some(4));
    of_vault(&case, &leads, "", 0, "not read", &["the note of a refresh that failed ("]);
    for is_same_machine in [true, false] {
        if !is_same_machine {
            // The secret tells it.
            fs::remove_file(case.path("creds.json.rotation")).unwrap();
        }
        of_vault(&case, &leads, "--online", 4, "refused", &[]);
        of_vault(&case, &leads, "--online --fail-within 1", 10, "refused", &[]);
    }
}
