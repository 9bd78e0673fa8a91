//! The login keychain of macOS, by its own program: that is what the keychain lets in, so a program of this
//! project that was built anew is not asked about again.

use crate::keys::program::{self, Answer, Silence};
use crate::keys::{Keeper, Key, KeyProblem, SERVICE};
use std::io;
use std::time::Duration;
use zeroize::Zeroizing;

const SECURITY: &str = "/usr/bin/security";

pub(super) fn fetch(name: &str, patience: Duration) -> Result<Key, KeyProblem> {
    let arguments = ["find-generic-password", "-s", SERVICE, "-a", name, "-w"];
    let answer = ask(&arguments, None, patience)?;
    let keeper = Keeper::Keychain.to_string();
    match answer.status.code() {
        Some(0) => Key::parse(&answer.output).ok_or_else(|| KeyProblem::not_ours(&keeper, name)),
        code => Err(problem(code, name, &answer.said)),
    }
}

pub(super) fn store(name: &str, key: &Key, patience: Duration) -> Result<(), KeyProblem> {
    // By standard input: other users see the arguments of a program.
    // With room for all of it: no copy is left in memory.
    let (mut line, text) = (Zeroizing::new(String::with_capacity(256)), key.text());
    let words = "add-generic-password -l 'key of sealed tokens' -s ";
    for word in [words, SERVICE, " -a ", name, " -w ", &text, "\n"] {
        line.push_str(word);
    }
    let answer = ask(&["-i"], Some(line.as_bytes()), patience)?;
    match answer.status.code() {
        Some(0) => Ok(()),
        code => Err(problem(code, name, &answer.said)),
    }
}

fn ask(arguments: &[&str], input: Option<&[u8]>, patience: Duration) -> Result<Answer, KeyProblem> {
    let mut command = program::command(SECURITY);
    command.args(arguments);
    let keeper = Keeper::Keychain.to_string();
    program::ask(command, &keeper, input, true, patience).map_err(|silence| match silence {
        Silence::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => {
            KeyProblem::no_keychain(&format!("{SECURITY} is missing"))
        }
        Silence::NotStarted(error) => KeyProblem::not_started(SECURITY, &error.to_string()),
        Silence::TooLong => KeyProblem::failed(&keeper, "its answer is too long"),
        Silence::Problem(problem) => problem,
    })
}

/// What the exit code means: it is the last byte of an OSStatus (SecBase.h).
fn problem(code: Option<i32>, name: &str, said: &str) -> KeyProblem {
    let keeper = Keeper::Keychain.to_string();
    match code {
        // errSecItemNotFound
        Some(44) => KeyProblem::not_found(&keeper, name),
        // errSecInteractionNotAllowed
        Some(36) => KeyProblem::keychain_locked(),
        // errSecUserCanceled, errSecAuthFailed
        Some(128 | 51) => KeyProblem::denied(&keeper),
        // errSecNoDefaultKeychain, errSecNoSuchKeychain, errSecNotAvailable
        Some(37 | 50 | 53) => KeyProblem::no_keychain(said),
        _ => KeyProblem::failed(&keeper, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last byte of an OSStatus, as exit(3) hands it on.
    fn code(status: i32) -> Option<i32> {
        Some(status & 0xff)
    }

    #[test]
    fn a_key_is_not_found_by_one_code_alone() {
        for (status, words) in [
            (-25300, "the keychain of macOS has no key called name"),
            (-25308, "the keychain is locked"),
            (-128, "told not to give the key"),
            (-25293, "told not to give the key"),
            (-25307, "there is no keychain: said"),
            (-25294, "there is no keychain: said"),
            (-25291, "there is no keychain: said"),
            (-34, "the keychain of macOS has failed: said"),
        ] {
            let problem = problem(code(status), "name", "said");
            assert!(problem.to_string().contains(words), "{status}: {problem}");
            assert_eq!(problem.is_not_found(), status == -25300, "{status}");
        }
    }
}
