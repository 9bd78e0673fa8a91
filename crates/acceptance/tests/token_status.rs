//! token_status: what there is to tell of a pair of tokens, whatever has become of it, and never a token.

use aac_sandbox::{Fault, FaultKind, Options, RefreshTokens, Sandbox, Tokens, VaultOptions};
use acceptance::{Case, Run, creds_with};
use serde_json::{Value, json};
use std::fs;

const DAY: i64 = 86_400;

/// Runs it, and checks that it shows no token: not of the pair in creds.json, nor of one beside it.
#[track_caller]
fn call(case: &Case, args: &[&str]) -> Run {
    let run = case.call("token_status", args);
    for name in case.names().iter().filter(|name| name.starts_with("creds.json")) {
        let text = String::from_utf8_lossy(&fs::read(case.path(name)).unwrap()).into_owned();
        let is_long = |word: &&str| word.len() > 100;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        // The places of a journal are filled with blanks.
        run.assert_hides(&words.filter(is_long).collect::<Vec<_>>());
    }
    run
}

/// The description as JSON, and the exit code.
#[track_caller]
fn status(case: &Case, args: &[&str]) -> (Value, Option<i32>) {
    let run = call(case, &[&["--json"], args].concat());
    (serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr)), run.code)
}

fn state(case: &Case) -> (String, Option<i32>) {
    let (status, code) = status(case, &[]);
    (status["state"].as_str().unwrap().to_owned(), code)
}

#[test]
#[cfg(unix)]
fn whoever_else_can_read_the_file_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::fresh(Options::default());
    for (mode, expected) in [
        (0o644, "every user of this machine"),
        (0o640, "the members of "),
        (0o600, ""),
        (0o620, ""),
    ] {
        fs::set_permissions(case.creds(), PermissionsExt::from_mode(mode)).unwrap();
        let (status, code) = status(&case, &[]);
        assert_eq!(code, Some(0));
        let readers = status["readers"].as_array().unwrap();
        let first = readers.first().and_then(Value::as_str).unwrap_or_default();
        assert!(first.starts_with(expected) && first.is_empty() == expected.is_empty(), "{status}");
        let text = call(&case, &[]).stdout;
        assert_eq!(text.contains("readable by "), !expected.is_empty(), "{text}");
    }
}

/// An access token issued days ago, and a refresh token that says it lasts 365 days from then.
fn issued(days_ago: i64) -> Case {
    let sandbox = Sandbox::start(Options { clock_offset: -days_ago * DAY, ..Options::default() });
    let sandbox = sandbox.unwrap();
    let tokens = sandbox.issue();
    sandbox.set_clock_offset(0);
    Case::with(sandbox, tokens)
}

#[test]
fn a_fresh_pair_is_described_without_the_network() {
    let case = Case::fresh(Options::default());
    let (status, code) = status(&case, &[]);
    assert_eq!(code, Some(0));
    let keys: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.join(" "),
        "state problem help place person workspace workspace_gid issued access_token_until \
         access_token_seconds_left last_refresh refresh_token_until readers leftovers platform"
    );
    assert_eq!(status["state"], "usable");
    assert_eq!(status["place"], json!({ "kind": "file", "name": case.creds() }));
    assert!(status["person"].as_str().unwrap().ends_with("@example.com"));
    assert_eq!(status["workspace"], "lukes-test-workspace");
    assert_eq!(status["workspace_gid"], "01JKBMKPZ94N0GG5F8N9HY2FJA");
    assert!((290..=300).contains(&status["access_token_seconds_left"].as_i64().unwrap()));
    for field in ["issued", "access_token_until", "refresh_token_until"] {
        let time = status[field].as_str().unwrap();
        assert!(time.parse::<aac_auth::Timestamp>().is_ok(), "{field}: {time}");
    }
    for field in ["problem", "help", "last_refresh", "platform"] {
        assert_eq!(status[field], Value::Null, "{field}");
    }
    assert_eq!(status["leftovers"], json!([]));

    let text = call(&case, &[]);
    assert_eq!((text.code, &*text.stderr), (Some(0), ""));
    for (name, value) in [
        ("state", "usable".to_owned()),
        ("place", format!("{} (file)", case.creds().display())),
        ("person", status["person"].as_str().unwrap().to_owned()),
        ("workspace", "lukes-test-workspace (01JKBMKPZ94N0GG5F8N9HY2FJA)".to_owned()),
    ] {
        assert!(text.stdout.contains(&format!("{name:<20} {value}\n")), "{}", text.stdout);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    assert_eq!(case.names(), ["aac_url.txt", "client_id.txt", "creds.json"], "nothing is left");
}

#[test]
fn an_expired_access_token_is_refreshed_only_to_ask_the_platform() {
    let case = Case::expired(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    let (before, code) = status(&case, &[]);
    assert_eq!((code, &before["access_token_seconds_left"]), (Some(0), &json!(0)));
    assert_eq!(case.sandbox.counters().connections, 0);

    let (after, code) = status(&case, &["--online"]);
    assert_eq!((code, case.sandbox.counters().refreshes), (Some(0), 1));
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
    let text = call(&case, &["--online"]).stdout;
    assert!(text.contains("platform: status     Enabled\n"), "{text}");
}

#[test]
fn less_time_than_asked_for_has_an_exit_code_of_its_own() {
    let case = Case::fresh(Options { pair_lifetime: 30 * DAY, ..Options::default() });
    for (args, code) in [
        (&["--fail-within", "364"][..], 0),
        (&["--fail-within", "366"], 10),
        (&["--fail-within", "29", "--online"], 0),
        (&["--fail-within", "31", "--online"], 10),
    ] {
        let run = call(&case, args);
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.stderr);
        assert!(run.stdout.starts_with("state "), "it is told all the same");
        assert_eq!(run.stderr.contains(" days are left: "), code == 10, "{}", run.stderr);
        let cure = format!(
            "\n  Create new tokens at {}/cloud-portal/preferences/oauth2-api-tokens and paste both into {}.\n",
            case.sandbox.url(),
            case.creds().display()
        );
        assert_eq!(run.stderr.ends_with(&cure), code == 10, "{}", run.stderr);
    }
    case.sandbox.disable_pairs();
    for days in ["0", "1", "9999"] {
        let disabled = call(&case, &["--fail-within", days, "--online"]);
        assert_eq!(disabled.code, Some(10), "{days}");
        assert!(disabled.stdout.contains("Disabled by User\n"), "{}", disabled.stdout);
        let said =
            "token_status: the platform no longer accepts the tokens: Disabled by User\n  Create";
        assert!(disabled.stderr.starts_with(said), "{}", disabled.stderr);
    }
    // The network is no reason to say that the tokens end.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).always());
    let unknown = call(&case, &["--fail-within", "1", "--online"]);
    assert_eq!(unknown.code, Some(5));
    assert!(unknown.stdout.starts_with("state                usable\n"), "{}", unknown.stdout);
}

#[test]
fn an_opaque_refresh_token_does_not_say_when_it_ends() {
    let options = Options { refresh_tokens: RefreshTokens::Opaque, ..Options::default() };
    let case = Case::fresh(options);
    let (described, code) = status(&case, &[]);
    assert_eq!((code, &described["state"]), (Some(0), &json!("usable")));
    assert_eq!(described["refresh_token_until"], Value::Null);
    let text = call(&case, &[]).stdout;
    let words = "not stated; the lifetime chosen when it was created counts (--online)\n";
    assert!(text.contains(words), "{text}");
    let unknown = call(&case, &["--fail-within", "1"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("ask with --online"), "{}", unknown.stderr);
    assert_eq!(call(&case, &["--fail-within", "1", "--online"]).code, Some(0));
}

#[test]
fn who_has_asked_online_is_not_told_to() {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    let options = Options { refresh_tokens: RefreshTokens::Opaque, ..Options::default() };
    let case = Case::fresh(options);
    let mut parts: Vec<_> = case.tokens.access_token.split('.').map(str::to_owned).collect();
    let mut claims: Value = serde_json::from_slice(&BASE64URL.decode(&parts[1]).unwrap()).unwrap();
    claims.as_object_mut().unwrap().remove("sid").unwrap();
    parts[1] = BASE64URL.encode(claims.to_string());
    let access_token = parts.join(".");
    fs::write(case.creds(), creds_with(&Tokens { access_token, ..case.tokens.clone() })).unwrap();
    let run = call(&case, &["--online", "--fail-within", "1"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("names no session"), "{}", run.stderr);
    assert!(!run.stderr.contains("--online"), "{}", run.stderr);
}

#[test]
fn a_refresh_that_was_cut_off_is_completed_to_ask_the_platform() {
    let case = Case::interrupted(Options::default());
    // As after a power failure on some file systems.
    fs::write(case.creds(), "").unwrap();
    assert_eq!(state(&case), ("interrupted".to_owned(), Some(0)));
    let (described, code) = status(&case, &["--online", "--fail-within", "1"]);
    assert_eq!((&described["state"], code), (&json!("usable"), Some(0)));
    assert_eq!(described["platform"]["status"], "Enabled");
}

#[test]
fn dead_tokens_are_told_from_broken_ones() {
    let refused = Case::expired(Options::default());
    refused.sandbox.disable_pairs();
    assert_eq!(state(&refused), ("usable".to_owned(), Some(0)), "nobody knows yet");
    let online = call(&refused, &["--online"]);
    assert_eq!(online.code, Some(4));
    assert!(online.stdout.starts_with("state                refused\n"), "{}", online.stdout);
    assert!(online.stderr.contains("is refused"), "{}", online.stderr);
    assert_eq!(state(&refused), ("refused".to_owned(), Some(4)), "it is known now");
    for args in [&["--fail-within", "1"][..], &["--fail-within", "1", "--online"]] {
        assert_eq!(call(&refused, args).code, Some(10), "{args:?}");
    }
    let refused = Case::expired(Options::default());
    refused.sandbox.disable_pairs();
    let first = call(&refused, &["--fail-within", "1", "--online"]);
    assert_eq!(first.code, Some(10), "and it is found out now: {}", first.stderr);
    assert!(first.stderr.contains("Create new tokens at "), "{}", first.stderr);

    let expired = issued(366);
    assert_eq!(state(&expired), ("expired".to_owned(), Some(4)));
    let run = call(&expired, &[]);
    assert!(run.stderr.contains("has expired\n  Create new tokens at "), "{}", run.stderr);

    let copy = Case::expired(Options::default());
    let old = fs::read(copy.creds()).unwrap();
    copy.run([""; 0]).assert_ok();
    fs::write(copy.creds(), old).unwrap();
    assert_eq!(state(&copy), ("older_copy".to_owned(), Some(4)));
    for args in [&["--fail-within", "1"][..], &["--fail-within", "1", "--online"]] {
        assert_eq!(call(&copy, args).code, Some(10), "{args:?}");
    }
    assert_eq!(call(&copy, &["--online"]).code, Some(4));

    // The newer pair is in the journal, and the next run puts it in place.
    let copy = Case::expired(Options::default());
    let old = fs::read(copy.creds()).unwrap();
    copy.run([""; 0]).assert_ok();
    copy.sandbox.revoke_access_tokens();
    copy.interrupt(&mut copy.command()).assert_ok();
    fs::write(copy.creds(), old).unwrap();
    assert_eq!(state(&copy), ("interrupted".to_owned(), Some(0)));
    // What is pasted over it badly is not replaced by it.
    let pasted = creds_with(&copy.sandbox.issue()).replace("eyJ", "Bearer eyJ");
    fs::write(copy.creds(), pasted).unwrap();
    assert_eq!(state(&copy), ("broken".to_owned(), Some(1)));
}

#[test]
fn trouble_with_a_refresh_is_no_reason_to_say_that_the_tokens_end() {
    let case = Case::expired(Options::default());
    case.sandbox.add_fault("token:503xall".parse().unwrap());
    let run = call(&case, &["--fail-within", "1", "--online"]);
    assert_eq!(run.code, Some(5), "{}", run.stderr);
}

#[test]
fn a_broken_pair_is_described_as_far_as_it_goes() {
    let case = Case::fresh(Options::default());
    let person = status(&case, &[]).0["person"].clone();
    let good = creds_with(&case.tokens);
    let swapped = good.replace("access_token", "x").replace("refresh_token", "access_token");
    let swapped = swapped.replace("\"x\"", "\"refresh_token\"");
    for (creds, state, problem, knows) in [
        (swapped, "broken", "the two tokens are swapped", true),
        (good[..good.len() - 2].to_owned(), "broken", "not JSON", true),
        (good.replace('"', "\u{201c}"), "broken", "curly quotes", true),
        ("[]".to_owned(), "broken", "not an object", false),
        (String::new(), "missing", "empty", false),
        (
            r#"{"access_token":"Your access token here"}"#.to_owned(),
            "placeholders",
            "placeholder",
            false,
        ),
    ] {
        fs::write(case.creds(), &creds).unwrap();
        let (status, code) = status(&case, &[]);
        assert_eq!((&status["state"], code), (&json!(state), Some(1)), "{problem}");
        let (said, help) = (status["problem"].as_str().unwrap(), status["help"].as_str().unwrap());
        let all = format!("{said} {help}").to_lowercase();
        assert!(all.contains(&problem.to_lowercase()), "{problem}: {all}");
        assert_eq!(status["person"] == person, knows, "{problem}");
        let text = call(&case, &[]);
        assert!(text.stdout.starts_with(&format!("state                {state}\n")));
        assert!(text.stderr.starts_with("token_status: "), "{}", text.stderr);
        assert_eq!(call(&case, &["--fail-within", "1"]).code, Some(10), "{problem}");
    }
    fs::remove_file(case.creds()).unwrap();
    assert_eq!(state(&case), ("missing".to_owned(), Some(1)));
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn what_a_failed_run_has_left_is_explained() {
    let case = Case::interrupted(Options::default());
    let leftovers = |case: &Case| -> Vec<(String, String)> {
        let (status, _) = status(case, &[]);
        let leftovers = status["leftovers"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = |path: &str| path.rsplit(['/', '\\']).next().unwrap().to_owned();
        leftovers.map(|left| (name(&text(&left["path"])), text(&left["meaning"]))).collect()
    };
    assert_eq!(state(&case), ("interrupted".to_owned(), Some(0)));
    let (name, meaning) = leftovers(&case).remove(0);
    assert_eq!(name, "creds.json.rotation");
    assert!(meaning.ends_with("the next run puts them in place"), "{meaning}");
    // Other tokens were pasted over it: the next run sets those of the journal aside.
    let tokens = case.sandbox.issue_expired();
    fs::write(case.creds(), creds_with(&tokens)).unwrap();
    assert_eq!(state(&case), ("usable".to_owned(), Some(0)));
    assert!(leftovers(&case)[0].1.ends_with("the next run sets them aside"));
    case.run([""; 0]).assert_ok();
    let (name, meaning) = leftovers(&case).remove(0);
    assert_eq!(name, "creds.json.rotation.old");
    assert!(meaning.contains("set aside") && meaning.contains("lukes-test-workspace"), "{meaning}");

    // What a run could not use.
    let case = Case::interrupted(Options::default());
    fs::write(case.creds(), "{ no json").unwrap();
    assert_eq!(state(&case), ("interrupted".to_owned(), Some(0)), "the next run mends it");
    case.run([""; 0]).assert_ok();
    let (name, meaning) = leftovers(&case).remove(0);
    assert_eq!(name, "creds.json.damaged");
    assert!(meaning.contains("could not use"), "{meaning}");

    // A lost response.
    let case = Case::expired(Options::default());
    case.sandbox.add_fault(Fault::token(FaultKind::ResetBefore).always());
    assert_eq!(case.run([""; 0]).code, Some(1));
    assert_eq!(state(&case), ("in_doubt".to_owned(), Some(0)));
    let (name, meaning) = leftovers(&case).remove(0);
    assert_eq!(name, "creds.json.rotation");
    assert!(meaning.starts_with("the note of a refresh that failed ("), "{meaning}");
}

#[test]
fn a_response_without_tokens_is_no_interrupted_refresh() {
    for (fault, said) in [
        // Half of a response, and then a refusal: the pair is dead.
        (Fault::token(FaultKind::Cut), ("refused", Some(4), Some(10))),
        // No more is known of a page than of nothing at all.
        (Fault::token(FaultKind::HtmlPage).times(2), ("in_doubt", Some(0), Some(0))),
    ] {
        let case = Case::expired(Options::default());
        case.sandbox.add_fault(fault);
        assert_ne!(case.run([""; 0]).code, Some(0));
        assert!(fs::read(case.path("creds.json.rotation")).unwrap().len() > 512);
        let (name, code, ends) = said;
        assert_eq!(state(&case), (name.to_owned(), code));
        assert_eq!(call(&case, &["--fail-within", "14"]).code, ends, "{name}");
        let meaning = status(&case, &[]).0["leftovers"][0]["meaning"].clone();
        let meaning = meaning.as_str().unwrap();
        assert!(meaning.starts_with("the note of a refresh that failed ("), "{meaning}");
        // Nor is there anything to put in place of what is damaged.
        fs::write(case.creds(), "{ no json").unwrap();
        assert_eq!(state(&case), ("broken".to_owned(), Some(1)));
        assert_eq!(call(&case, &["--fail-within", "14"]).code, Some(10), "{name}");
    }
    // In a vault.
    let case = in_vault(Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    case.sandbox.add_fault(Fault::token(FaultKind::Cut));
    let mut program = case.program("get_workspace");
    assert_eq!(Run::of(program.envs(leads.clone())).code, Some(4));
    let offline = call_with(&case, &leads, &[]);
    assert!(offline.stdout.contains("the note of a refresh that failed ("), "{}", offline.stdout);
    assert!(!offline.stdout.contains("puts its tokens in the vault"), "{}", offline.stdout);
    let machines: [fn(&Case); 2] = [
        |_| {},
        // As on another machine: the secret tells it.
        |case| fs::remove_file(case.path("creds.json.rotation")).unwrap(),
    ];
    for machine in machines {
        machine(&case);
        for (args, code) in [(&["--online"][..], 4), (&["--online", "--fail-within", "1"], 10)] {
            let run = call_with(&case, &leads, args);
            assert_eq!(run.code, Some(code), "{}", run.stderr);
            assert!(run.stdout.starts_with("state                refused\n"), "{}", run.stdout);
        }
    }
}

#[test]
fn who_asks_online_is_told_by_the_servers_clock() {
    // By the local clock, the pair of a year ago has expired.
    let options = Options { clock_offset: -400 * DAY, ..Options::default() };
    let case = Case::fresh(options.clone());
    assert_eq!(state(&case), ("expired".to_owned(), Some(4)));
    let (described, code) = status(&case, &["--online"]);
    assert_eq!((&described["state"], code), (&json!("usable"), Some(0)));
    let text = call(&case, &["--online"]).stdout;
    let line = text.lines().find(|line| line.starts_with("refresh token until")).unwrap();
    assert!(line.contains(", in 36"), "{text}");
    for (days, code) in [("364", 0), ("366", 10)] {
        let run = call(&case, &["--online", "--fail-within", days]);
        assert_eq!(run.code, Some(code), "{days}: {}", run.stderr);
    }
    // So is who gets no more than an error.
    case.sandbox.add_fault(Fault::api(FaultKind::ServerError).always());
    let run = call(&case, &["--online", "--fail-within", "1"]);
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    assert!(run.stdout.starts_with("state                usable\n"), "{}", run.stdout);
    // And the reverse.
    let case = Case::fresh(Options { clock_offset: 0, ..options });
    case.sandbox.set_clock_offset(364 * DAY);
    let run = call(&case, &["--online", "--fail-within", "2"]);
    assert_eq!(run.code, Some(10), "{}", run.stderr);
}

#[test]
fn a_refresh_that_is_going_on_is_no_leftover() {
    let case = Case::expired(Options::default());
    let hold = case.sandbox.hold_token_responses();
    let children = case.start(1);
    assert!(hold.wait_for_request(std::time::Duration::from_secs(20)));
    let (described, code) = status(&case, &[]);
    assert_eq!((&described["state"], code), (&json!("refreshing"), Some(0)));
    assert_eq!(described["leftovers"][0]["meaning"], "another program is refreshing the tokens");
    hold.release();
    for child in children {
        Run::from(child).assert_ok();
    }
    assert_eq!(state(&case), ("usable".to_owned(), Some(0)));
}

/// A pair in a vault. creds.json names it.
fn in_vault(issue: fn(&Sandbox) -> Tokens) -> Case {
    let vault = Some(VaultOptions::default());
    let sandbox = Sandbox::start(Options { vault, ..Options::default() }).unwrap();
    let tokens = issue(&sandbox);
    let case = Case::with(sandbox, tokens);
    case.sandbox.write_vault_files(case.folder.path(), &case.tokens).unwrap();
    case
}

/// Runs it with, or without, an environment that leads to the vault.
#[track_caller]
fn call_with(case: &Case, environment: &[(&str, String)], args: &[&str]) -> Run {
    let mut command = case.program("token_status");
    for name in ["ADDR", "TOKEN", "CACERT", "NAMESPACE", "SKIP_VERIFY"] {
        command.env_remove(format!("BAO_{name}")).env_remove(format!("VAULT_{name}"));
    }
    command.args(args).envs(environment.iter().map(|(name, value)| (name, value)));
    let run = Run::of(&mut command);
    let pair = &case.tokens;
    run.assert_hides(&[&pair.access_token, &pair.refresh_token, &case.sandbox.vault().token()]);
    run
}

#[test]
fn a_vault_is_asked_only_with_online() {
    let case = in_vault(Sandbox::issue_expired);
    let vault = case.sandbox.vault();
    let leads = vault.environment();
    let place = format!("the secret secret/data/aac in the vault at {}", vault.url());
    let described = |args: &[&str]| -> Value {
        let run = call_with(&case, &leads, args);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{args:?}");
        serde_json::from_str(&run.stdout).unwrap()
    };

    let offline = described(&["--json"]);
    assert_eq!(offline["state"], "not_read");
    assert_eq!(offline["place"], json!({ "kind": "vault", "name": place }));
    for field in ["person", "workspace", "access_token_until", "refresh_token_until", "problem"] {
        assert_eq!(offline[field], Value::Null, "{field}");
    }
    let text = call_with(&case, &leads, &[]).stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("only the vault knows (--online)"), "{text}");
    assert_eq!(lines[1..], [format!("place                {place} (vault)")]);
    let unknown = call_with(&case, &leads, &["--fail-within", "1"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("in a vault: ask with --online"), "{}", unknown.stderr);
    assert_eq!((vault.requests().len(), case.sandbox.counters().connections), (0, 0));

    let online = described(&["--json", "--online"]);
    assert_eq!(online["state"], "usable");
    assert_eq!(online["place"], offline["place"]);
    assert!(online["person"].as_str().unwrap().ends_with("@example.com"));
    assert_eq!(online["platform"]["status"], "Enabled");
    assert!(online["last_refresh"].is_string());
    assert_eq!(case.sandbox.counters().refreshes, 1);
    assert_eq!(call_with(&case, &leads, &["--online", "--fail-within", "1"]).code, Some(0));
}

#[test]
fn a_vault_that_cannot_be_read_is_no_reason_to_say_that_the_tokens_end() {
    let case = in_vault(Sandbox::issue);
    case.sandbox.vault().revoke_token();
    for (environment, place, problem) in [
        (
            &case.sandbox.vault().environment()[..],
            "in the vault at http",
            "path \"secret/data/aac\"",
        ),
        (&[], "in a vault", "Set VAULT_ADDR"),
    ] {
        for args in [&["--online"][..], &["--online", "--fail-within", "1"]] {
            let run = call_with(&case, environment, args);
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            assert!(run.stdout.starts_with("state                not read\n"), "{}", run.stdout);
            assert!(run.stdout.contains(place) && run.stderr.contains(problem), "{}", run.stderr);
        }
    }
}

#[test]
fn a_pair_in_a_vault_that_is_dead_or_ends_soon_is_to_be_replaced_there() {
    let case = in_vault(Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    let cure = "put them into the vault: bao kv put secret/aac \"@tokens.json\".";
    let soon = call_with(&case, &leads, &["--online", "--fail-within", "9999"]);
    assert_eq!(soon.code, Some(10), "{}", soon.stderr);
    assert!(soon.stderr.contains("days are left") && soon.stderr.contains(cure), "{}", soon.stderr);

    let case = in_vault(Sandbox::issue_expired);
    let leads = case.sandbox.vault().environment();
    case.sandbox.disable_pairs();
    for _ in 0..2 {
        let run = call_with(&case, &leads, &["--online", "--fail-within", "1"]);
        assert_eq!(run.code, Some(10), "{}", run.stderr);
        assert!(run.stderr.contains(cure), "{}", run.stderr);
    }
}

#[test]
fn a_secret_without_tokens_is_told_from_a_vault_that_cannot_be_read() {
    let case = in_vault(Sandbox::issue);
    case.sandbox.vault().delete();
    let leads = case.sandbox.vault().environment();
    for (args, code) in [(&["--online"][..], 1), (&["--online", "--fail-within", "1"], 10)] {
        let run = call_with(&case, &leads, args);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stdout.starts_with("state                missing\n"), "{}", run.stdout);
    }
}
