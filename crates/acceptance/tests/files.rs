//! Bad and odd files: each is refused in words that help, before anything is sent, and loses nothing.

use aac_sandbox::Options;
use acceptance::user::User;
use acceptance::{Case, PLACEHOLDERS, Run, command, names, repository, tracked};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const TOKEN_PAGE: &str = "/cloud-portal/preferences/oauth2-api-tokens";
const PROJECT_PAGE: &str = "/cloud-portal/library/alteryx-io";
const SANDBOX: &str = "in the project's folder: cargo sandbox cargo run -p get_workspace";

/// Puts content into one file of a good folder, runs the program, and expects it to be refused.
#[track_caller]
fn refused(case: &Case, file: &str, content: &[u8], words: &[&str]) {
    let good = fs::read(case.path(file)).ok();
    fs::write(case.path(file), content).unwrap();
    let before = fs::read(case.creds()).unwrap();
    let names = case.names();
    let run = case.run(["-v"]);
    run.assert_fails(1, words);
    assert!(run.stderr.lines().next().unwrap().contains(file), "the file is named: {}", run.stderr);
    assert!(run.stderr.lines().count() > 1, "there is help: {}", run.stderr);
    run.assert_hides(&[&case.tokens.access_token, &case.tokens.refresh_token]);
    assert_eq!(fs::read(case.creds()).unwrap(), before, "creds.json is untouched");
    assert_eq!(case.names(), names, "nothing is left behind");
    assert_eq!(case.sandbox.counters().connections, 0, "nothing was sent");
    match good {
        Some(good) => fs::write(case.path(file), good).unwrap(),
        None => fs::remove_file(case.path(file)).unwrap(),
    }
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("\u{FEFF}{text}").encode_utf16().flat_map(unit).collect()
}

#[test]
fn the_bare_checkout_shows_the_way_on() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in PLACEHOLDERS {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let below = folder.path().join("crates").join("some_program");
    fs::create_dir_all(&below).unwrap();
    let run = Run::of(command().current_dir(&below));
    run.assert_fails(
        1,
        &[
            "client_id.txt",
            "creds.json",
            "https://us1.alteryxcloud.com/cloud-portal/preferences/oauth2-api-tokens",
            "https://us1.alteryxcloud.com/cloud-portal/library/alteryx-io",
            SANDBOX,
        ],
    );
    assert_eq!(names(folder.path()), ["aac_url.txt", "client_id.txt", "crates", "creds.json"]);
}

#[test]
fn the_repository_holds_placeholders_alone() {
    if tracked().is_none() {
        return;
    }
    for (name, text) in PLACEHOLDERS {
        // Not the file that is there, which may hold tokens, and is not to be committed.
        let mut git = acceptance::clean("git");
        let output = git.args(["show", &format!(":{name}")]).current_dir(repository()).output();
        let is_placeholder = output.unwrap().stdout == text.as_bytes();
        assert!(is_placeholder, "{name}: git has something else, which is not shown here");
    }
}

#[test]
fn tests_leave_a_users_own_tokens_alone() {
    User::default().run_these_tests(["--skip", "tests_leave_a_users_own_tokens_alone"]);
}

#[test]
fn a_folder_is_found_or_asked_for() {
    let case = Case::fresh(Options::default());
    let empty = tempfile::tempdir().unwrap();
    Run::of(command().current_dir(&empty))
        .assert_fails(1, &["no creds.json in", "--dir or AAC_DIR", SANDBOX]);
    Run::of(command().args(["--dir", "/no/such/folder"]))
        .assert_fails(1, &["/no/such/folder: no such folder"]);
    Run::of(command().env("AAC_DIR", case.creds()))
        .assert_fails(1, &["creds.json: it is a file", &case.folder.path().display().to_string()]);
    Run::of(command().current_dir(case.folder.path()).args(["--dir", "creds.json"]))
        .assert_fails(1, &["creds.json: it is a file", "--dir .\n"]);
    // As cmd passes on `set AAC_DIR="C:\x"`.
    let quoted = format!("\"{}\"", case.folder.path().display());
    Run::of(command().env("AAC_DIR", quoted))
        .assert_fails(1, &["no such folder", "without quotation marks"]);
    let below = case.path("a").join("b");
    fs::create_dir_all(&below).unwrap();
    Run::of(command().current_dir(&below)).assert_ok();
    Run::of(command().current_dir(&below).env("AAC_DIR", "")).assert_ok();
    Run::of(command().current_dir(&empty).arg("--dir").arg(case.folder.path())).assert_ok();
    // The flag counts before the variable.
    Run::of(command().env("AAC_DIR", empty.path()).arg("--dir").arg(case.folder.path()))
        .assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 0);
}

#[test]
fn files_are_read_as_people_leave_them() {
    let case = Case::fresh(Options::default());
    for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
        let good = fs::read_to_string(case.path(name)).unwrap();
        let lines = good.trim().replace('\n', "\r\n");
        for content in [
            format!("\u{FEFF}{good}").into_bytes(),
            utf16(&lines, u16::to_le_bytes),
            utf16(&lines, u16::to_be_bytes),
            format!("\r\n  \t{lines}  \r\n\r\n").into_bytes(),
            good.trim().into(),
        ] {
            fs::write(case.path(name), content).unwrap();
            case.run([""; 0]).assert_ok();
        }
        fs::write(case.path(name), good).unwrap();
    }
    fs::write(case.path("aac_url.txt"), format!("{}/\n", case.sandbox.url())).unwrap();
    case.run([""; 0]).assert_ok();
    // Blanks around a token, pasted with it; fields that someone has added.
    let (access, refresh) = (&case.tokens.access_token, &case.tokens.refresh_token);
    let creds = json!({ "note": [1.10], "access_token": format!("\n {access}\t"), "refresh_token": format!(" {refresh} ") });
    fs::write(case.creds(), creds.to_string()).unwrap();
    case.run([""; 0]).assert_ok();
    assert_eq!(case.sandbox.counters().refreshes, 0);
}

#[test]
fn the_newer_name_of_client_id_txt_serves() {
    let case = Case::fresh(Options::default());
    let id = fs::read(case.path("client_id.txt")).unwrap();
    for placeholder in [Some("Your client id here"), None] {
        match placeholder {
            Some(text) => fs::write(case.path("client_id.txt"), text).unwrap(),
            None => fs::remove_file(case.path("client_id.txt")).unwrap(),
        }
        fs::write(case.path("api_project_id.txt"), &id).unwrap();
        case.run([""; 0]).assert_ok();
        fs::write(case.path("api_project_id.txt"), "Your api project id here").unwrap();
        case.run([""; 0]).assert_fails(1, &["client_id.txt"]);
    }
    fs::remove_file(case.path("api_project_id.txt")).unwrap();
    case.run([""; 0])
        .assert_fails(1, &["client_id.txt: no such file", "Client ID of your API project"]);
    fs::write(case.path("api_project_id.txt"), "two words").unwrap();
    case.run([""; 0]).assert_fails(1, &["api_project_id.txt: spaces inside"]);
}

#[test]
fn files_that_are_none() {
    let case = Case::fresh(Options::default());
    for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
        refused(&case, name, b"", &[": empty"]);
        refused(&case, name, b" \r\n\t ", &[": empty"]);
        refused(&case, name, b"\xEF\xBB\xBF", &[": empty"]);
        refused(&case, name, b"\x7fELF\x02\x01\xff\0\0", &["not a text file"]);
        refused(&case, name, b"\xFF\xFEa", &["not a text file"]);
        refused(&case, name, &vec![b'x'; 1024 * 1024 + 1], &["larger than 1 MiB"]);
        let good = fs::read(case.path(name)).unwrap();
        fs::remove_file(case.path(name)).unwrap();
        case.run([""; 0])
            .assert_fails(1, &[&format!("{name}: no such file"), "must be a text file"]);
        fs::create_dir(case.path(name)).unwrap();
        case.run([""; 0]).assert_fails(1, &[&format!("{name}: not a file")]);
        fs::remove_dir(case.path(name)).unwrap();
        fs::write(case.path(name), good).unwrap();
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    case.run([""; 0]).assert_ok();
}

#[test]
#[cfg(unix)]
fn files_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::fresh(Options::default());
    for name in ["aac_url.txt", "client_id.txt", "creds.json"] {
        let mode =
            |mode| fs::set_permissions(case.path(name), PermissionsExt::from_mode(mode)).unwrap();
        mode(0o000);
        // Root may read anything; there a named pipe stands in for what cannot be read.
        if fs::read(case.path(name)).is_err() {
            case.run([""; 0])
                .assert_fails(1, &[name, "cannot be read", "Give yourself permission to read it."]);
        } else {
            eprintln!("skipped: root reads {name} whatever its mode");
        }
        mode(0o600);
        let good = fs::read(case.path(name)).unwrap();
        fs::remove_file(case.path(name)).unwrap();
        assert!(acceptance::clean("mkfifo").arg(case.path(name)).status().unwrap().success());
        case.run([""; 0]).assert_fails(1, &[name, "not a file"]);
        fs::remove_file(case.path(name)).unwrap();
        fs::write(case.path(name), good).unwrap();
    }
}

#[test]
fn aac_url_txt() {
    let case = Case::fresh(Options::default());
    let api = "https://api.us1.alteryxcloud.com";
    for (content, words) in [
        (
            "https://us1.alteryxcloud.com",
            &["web pages", "Put https://api.us1.alteryxcloud.com in it"][..],
        ),
        (
            "https://eu1.alteryxcloud.com/cloud-portal/?x=1#y",
            &["web pages", "Put https://api.eu1.alteryxcloud.com in it"],
        ),
        (
            "https://my-ws.us1.alteryxcloud.com",
            &["one workspace", "Put https://api.us1.alteryxcloud.com in it"],
        ),
        (
            "https://a.b.au1.alteryxcloud.com/",
            &["one workspace", "Put https://api.au1.alteryxcloud.com in it"],
        ),
        ("https://example.com", &["example.com is not a host of Alteryx Cloud", api]),
        ("https://api.us1.alteryxcloud.com.example.com", &["not a host of Alteryx Cloud", api]),
        ("https://evilalteryxcloud.com", &["not a host of Alteryx Cloud", api]),
        ("https://alteryxcloud.com", &["not a host of Alteryx Cloud", api]),
        ("https://pingauth.alteryxcloud.com", &["not a host of Alteryx Cloud", api]),
        ("https://192.168.1.1", &["not a host of Alteryx Cloud", api]),
        (
            "https://api.us1.alteryxcloud.com/iam/v1",
            &["more than a scheme and a host", "Put https://api.us1.alteryxcloud.com in it"],
        ),
        ("https://api.us1.alteryxcloud.com/?a=b", &["more than a scheme and a host"]),
        ("https://api.us1.alteryxcloud.com#x", &["more than a scheme and a host"]),
        (
            "api.us1.alteryxcloud.com",
            &["no https://", "Put https://api.us1.alteryxcloud.com in it"],
        ),
        ("us1.alteryxcloud.com/", &["no https://", "Put https://api.us1.alteryxcloud.com in it"]),
        ("http://api.us1.alteryxcloud.com", &["not https", api]),
        ("ftp://api.us1.alteryxcloud.com", &["not https", api]),
        ("https://me@api.us1.alteryxcloud.com", &["a user name", api]),
        ("https://api.us1.alteryxcloud.com@example.com", &["a user name", api]),
        (
            "https://api.us1.alteryxcloud.com\nhttps://api.eu1.alteryxcloud.com",
            &["more than one line", api],
        ),
        ("Your URL here", &["not a URL", api]),
        ("https://", &["not a URL", api]),
        ("https://api.us1.alteryxcloud.com\\", &["not a URL", api]),
        ("https://api us1", &["not a URL", api]),
        ("https://ápi.us1.alteryxcloud.com", &["not a URL", api]),
    ] {
        refused(&case, "aac_url.txt", content.as_bytes(), words);
    }
}

#[test]
fn client_id_txt() {
    let case = Case::fresh(Options::default());
    for (content, words) in [
        ("Your client id here", &["placeholder", PROJECT_PAGE, SANDBOX][..]),
        ("two words", &["spaces inside the ID", "Client ID of your API project"]),
        ("one\r\ntwo", &["spaces inside the ID"]),
        ("abc\u{7}def", &["invalid characters in the ID"]),
        ("abcdéf", &["invalid characters in the ID"]),
        ("af1b5321-afe0-48c2-966a-c77d74e98085", &["OAuth client ID", PROJECT_PAGE]),
        ("AF1B5321-AFE0-48C2-966A-C77D74E98085", &["OAuth client ID"]),
    ] {
        refused(&case, "client_id.txt", content.as_bytes(), words);
    }
}

fn jwt(payload: &Value) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    format!("eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJl", BASE64URL.encode(payload.to_string()))
}

#[test]
fn creds_json() {
    let case = Case::expired(Options::default());
    let (access, refresh) = (&case.tokens.access_token, &case.tokens.refresh_token);
    let pair = |access: &str, refresh: &str| {
        json!({ "access_token": access, "refresh_token": refresh }).to_string()
    };
    let broken =
        format!("{{\n  \"access_token\": \"{access}\",\n  refresh_token: \"{refresh}\"\n}}");
    let deep = format!("{{\"access_token\":{}", "[".repeat(300_000));
    let huge = pair(&"x".repeat(1_000_000), refresh);
    for (content, words) in [
        (broken, &["not JSON, line 3, column 3"][..]),
        (format!("{{“access_token”: “{access}”}}"), &["not JSON, line 1, column 2", "curly quotes", "plain text editor"]),
        (format!("{{\"access_token\": \"{access}\","), &["not JSON"]),
        (format!("{{\"access_token\": \"{access}\"}} trailing"), &["not JSON"]),
        (format!("export TOKEN={access}"), &["not JSON"]),
        (deep, &["not JSON"]),
        (huge, &["not a JWT"]),
        ("[]".into(), &["not an object"]),
        (format!("\"{access}\""), &["not an object"]),
        ("null".into(), &["not an object"]),
        ("{}".into(), &["no \"access_token\""]),
        (json!({ "access_token": access }).to_string(), &["no \"refresh_token\""]),
        (json!({ "refresh_token": refresh }).to_string(), &["no \"access_token\""]),
        (json!({ "access_token": null, "refresh_token": refresh }).to_string(), &["no \"access_token\""]),
        (json!({ "access_token": 7, "refresh_token": refresh }).to_string(), &["\"access_token\" is not a string"]),
        (json!({ "access_token": access, "refresh_token": [refresh] }).to_string(), &["\"refresh_token\" is not a string"]),
        (pair("", refresh), &["\"access_token\" is empty"]),
        (pair(access, "  "), &["\"refresh_token\" is empty"]),
        (pair(&format!("Bearer {access}"), refresh), &["\"access_token\" has spaces", "without \"Bearer\""]),
        (pair(access, &refresh.replacen('.', ".\r\n", 1)), &["\"refresh_token\" has a line break", "one long line"]),
        (
            format!("{{\n  \"access_token\": \"{}\",\n  \"refresh_token\": \"{refresh}\"\n}}", access.replacen('.', ".\n", 2)),
            &["line 2: the text in quotation marks goes on in the next line", "one long line"],
        ),
        (
            format!("{{\n  \"access_token\": \"{access},\n  \"refresh_token\": \"{refresh}\"\n}}"),
            &["line 2: ", "or a quotation mark is missing", "in quotation marks"],
        ),
        (pair(access, &format!("{refresh}\u{7f}")), &["\"refresh_token\" has spaces or invalid characters"]),
        (pair(access, &format!("{refresh}é")), &["\"refresh_token\" has spaces or invalid characters"]),
        (pair(refresh, access), &["swapped", "Swap them"]),
        (pair("anOpaqueRefreshToken", access), &["swapped"]),
        (pair(access, access), &["the same token in both places"]),
        (pair("Your access token here", refresh), &["\"access_token\" is still a placeholder", TOKEN_PAGE, SANDBOX]),
        (pair(access, "Your refresh token here"), &["\"refresh_token\" is still a placeholder", TOKEN_PAGE]),
        (
            pair("Your access token here", "Your refresh token here"),
            &["\"access_token\" and \"refresh_token\" are still placeholders", TOKEN_PAGE],
        ),
        (pair("not.a.jwt", refresh), &["not a JWT"]),
        (pair("opaque", refresh), &["not a JWT"]),
        (pair(&jwt(&json!({ "client_id": "x" })), refresh), &["no \"iss\" claim"]),
        (pair(&jwt(&json!({ "iss": case.sandbox.issuer() })), refresh), &["no \"client_id\" claim"]),
        (pair(&jwt(&json!({ "iss": 1, "client_id": "x" })), refresh), &["no \"iss\" claim"]),
        (pair(&jwt(&json!([])), refresh), &["not a JWT"]),
        (
            pair(&jwt(&json!({ "iss": "https://pingauth.alteryxcloud.com.example.com/as", "client_id": "x" })), refresh),
            &["issued by https://pingauth.alteryxcloud.com.example.com/as, which is not Alteryx Cloud"],
        ),
        (
            pair(&jwt(&json!({ "iss": "http://pingauth.alteryxcloud.com/as", "client_id": "x" })), refresh),
            &["issued by http://pingauth.alteryxcloud.com/as, which is not https"],
        ),
        (
            pair(&jwt(&json!({ "iss": "https://pingauth.alteryxcloud.com@example.com/as", "client_id": "x" })), refresh),
            &["which is not Alteryx Cloud"],
        ),
        (
            json!({ "error": "invalid_grant", "error_description": "The token is bad (Correlation ID: 1-2)" }).to_string(),
            &["an error of the authorization server instead of tokens: invalid_grant: The token is bad (Correlation ID: 1-2)",
              "vendor's JavaScript and bash examples", TOKEN_PAGE],
        ),
    ] {
        refused(&case, "creds.json", content.as_bytes(), words);
    }
    // The same folder with its own tokens works, so it was the content that was refused.
    case.run([""; 0]).assert_ok();
}

#[test]
fn a_loopback_issuer_needs_a_loopback_address() {
    let case = Case::fresh(Options::default());
    fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
    let run = case.run([""; 0]);
    run.assert_fails(
        1,
        &["creds.json", "issued by http://127.0.0.1", "which is not Alteryx Cloud"],
    );
    assert_eq!(case.sandbox.counters().connections, 0);
}

#[test]
fn every_run_leaves_a_good_folder_as_it_is() {
    let case = Case::fresh(Options::default());
    let state = |name: &str| {
        let metadata = fs::metadata(case.path(name)).unwrap();
        (fs::read(case.path(name)).unwrap(), metadata.modified().unwrap())
    };
    let before = ["aac_url.txt", "client_id.txt", "creds.json"].map(state);
    case.run(["-v"]).assert_ok();
    assert_eq!(["aac_url.txt", "client_id.txt", "creds.json"].map(state), before);
    assert_eq!(case.names(), ["aac_url.txt", "client_id.txt", "creds.json"]);
    assert!(Path::new(&case.creds()).is_file());
}
