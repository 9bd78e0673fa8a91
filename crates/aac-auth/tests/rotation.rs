//! Rotation, with real processes against a server that revokes the family on reuse.

mod support;

use aac_sandbox::Options;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use support::{Case, Run};

const NONE: [&str; 0] = [];

#[test]
fn forty_eight_programs_at_an_expired_token_make_one_exchange() {
    let case = Case::expired(Options { latency: Duration::from_millis(150), ..Options::default() });
    for child in case.start(48) {
        Run::from(child).assert_ok();
    }
    let counters = case.sandbox.counters();
    assert_eq!((counters.token_requests, counters.exchanges, counters.api_calls), (1, 1, 48));
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
fn a_clock_that_is_an_hour_off_costs_one_exchange_at_most() {
    for clock_offset in [-3600, 3600] {
        let options = Options { clock_offset, ..Options::default() };
        for case in [Case::fresh(options.clone()), Case::expired(options)] {
            for _ in 0..6 {
                case.run(NONE).assert_ok();
            }
            assert!(case.sandbox.counters().exchanges <= 1, "{clock_offset}");
            assert!(case.sandbox.is_live(&case.refresh_token()));
        }
    }
}

#[test]
fn other_fields_keep_their_place_and_their_digits() {
    let case = Case::expired(Options::default());
    let creds = format!(
        "{{\"note\": 1.10, \"access_token\": \"{}\", \"z\": {{\"b\": 12345678901234567890.10, \"a\": [null]}}, \"refresh_token\": \"{}\", \"expires_in\": 1}}",
        case.tokens.access_token, case.tokens.refresh_token
    );
    fs::write(case.creds(), creds).unwrap();
    case.run(NONE).assert_ok();
    let creds = fs::read_to_string(case.creds()).unwrap();
    let document: Value = serde_json::from_str(&creds).unwrap();
    let names: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "note",
            "access_token",
            "z",
            "refresh_token",
            "expires_in",
            "token_type",
            "scope",
            "aac_auth"
        ]
    );
    assert!(creds.contains("\"note\": 1.10,") && creds.contains("\"b\": 12345678901234567890.10"));
    assert_eq!(document["z"]["a"], json!([null]));
    assert_eq!(document["expires_in"], 300, "a field of the answer");
}

#[test]
#[cfg(unix)]
fn the_files_are_as_private_as_creds_json() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for (mode, expected) in [(0o600, 0o600), (0o640, 0o640), (0o644, 0o600), (0o660, 0o600)] {
        let case = Case::expired(Options::default());
        fs::set_permissions(case.creds(), PermissionsExt::from_mode(mode)).unwrap();
        let owner = |name: &str| {
            let metadata = fs::metadata(case.path(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        let before = owner("creds.json");
        case.run(NONE).assert_ok();
        for name in ["creds.json", "creds.json.lock"] {
            let now = fs::metadata(case.path(name)).unwrap().mode() & 0o7777;
            assert_eq!(now, expected, "{name} from {mode:o}");
            assert_eq!(owner(name), before);
        }
    }
}

#[test]
#[cfg(unix)]
fn a_chain_of_links_leads_to_one_file_and_one_lock() {
    use std::os::unix::fs::symlink;
    let case = Case::expired(Options::default());
    let real = tempfile::tempdir().unwrap();
    fs::rename(case.creds(), real.path().join("tokens")).unwrap();
    symlink(real.path().join("tokens"), case.path("second")).unwrap();
    symlink("second", case.creds()).unwrap();
    case.run(NONE).assert_ok();
    assert!(fs::symlink_metadata(case.creds()).unwrap().is_symlink());
    assert_eq!(support::names(real.path()), ["tokens", "tokens.lock"]);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.sandbox.counters().exchanges, 1);
}
