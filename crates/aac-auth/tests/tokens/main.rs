//! The tokens in creds.json: no pair is lost, and no used token is sent, whatever happens to the programs,
//! to the files, and by whom.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

#[cfg(target_os = "linux")]
mod access;
#[cfg(unix)]
mod planted;
mod recovery;
mod rotation;
mod sealed;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod stopped;
mod types;
#[cfg(windows)]
mod windows;

use aac_sandbox::Hold;
use acceptance::Case;
use std::process::Child;
use std::time::Duration;

const NONE: [&str; 0] = [];
const PAGE: &str = "/cloud-portal/preferences/oauth2-api-tokens";
const SOON: Duration = Duration::from_secs(20);

/// Starts a program, and waits until what is held gets its request.
#[track_caller]
fn start_until(case: &Case, hold: &Hold) -> Child {
    let child = case.start(1).pop().unwrap();
    assert!(hold.wait_for_request(SOON));
    child
}
