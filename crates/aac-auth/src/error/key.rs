//! What keeps the key of a sealed file from being had, and what to do about it.

use crate::error::display::one_line;
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::table::{Problem, errors, problems};
use crate::error::{Cause, Error};
use crate::platform::MAKE_KEY;
use std::fmt;

/// Why a key cannot be had. A variant is what it means for what is sealed with it.
#[derive(Clone, Debug)]
pub(crate) enum KeyProblem {
    /// Its keeper was asked, and does not have it: what is sealed with it is lost.
    NotFound(Problem),
    /// The system has no store for keys, or not in this session.
    NoStore(Problem),
    /// It may be had another time, or by another user, or nobody can tell.
    Other(Problem),
}

impl KeyProblem {
    problems! {
        // The keeper is named as a `Keeper` displays itself.
        other_system(keeper: &str) => Other:
            "its key is kept by {keeper}, which this system does not have",
            "Use these files on the machine where they were sealed. Each machine needs a pair of its own: create new tokens for this one.";
        not_installed(program: &str) => Other:
            "{program} is not installed, with which the Secret Service is asked for the key",
            format!("Install it: apt install libsecret-tools, dnf install libsecret, pacman -S libsecret.\n{OTHERWISE} {MAKE_KEY}");
        no_service(said: &str) => NoStore:
            "there is no Secret Service: {said}",
            format!("Run this in a desktop session, or start one of gnome-keyring, KWallet and KeePassXC. DBUS_SESSION_BUS_ADDRESS must name its bus.\n{OTHERWISE} {MAKE_KEY}");
        no_keychain(said: &str) => NoStore:
            "there is no keychain: {said}",
            "Run this as the user who is logged in, or unlock the keychain first: security unlock-keychain.";
        service_locked() => Other:
            "the Secret Service is locked",
            "Unlock it: log in to the desktop, or open its password manager. Then run this again.";
        not_shown(name: &str) => Other:
            "the Secret Service shows no key called {name}, and busctl does not tell whether it is locked",
            "Unlock it: log in to the desktop, or open its password manager. Then run this again.";
        keychain_locked() => Other:
            "the keychain is locked, and cannot ask for its password here",
            "Unlock it, and run this again: security unlock-keychain.";
        denied(keeper: &str) => Other:
            "{keeper} was told not to give the key",
            "Run this again, and allow it.";
        not_found(keeper: &str, name: &str) => NotFound:
            "{keeper} has no key called {name}",
            "If it was deleted, what is sealed with it is lost. If these files come from another machine or user, use them there.";
        /// No code of DPAPI says that there is no such key: NTE_BAD_KEY_STATE, for one, stands for another account,
        /// a password that was reset, and a logon without one.
        refused_by_windows(said: &str) => Other:
            "this Windows account cannot open its key: {said}",
            "Use these files with the account that has sealed them, on that machine. Over SSH, log in with the password instead of a key; a scheduled task must store the password. If an administrator has reset that password, what is sealed is lost: move creds.json, and the files whose names begin with it, to another folder, then run login.";
        timed_out(keeper: &str, seconds: u64) => Other:
            "{keeper} did not give the key within {seconds} s",
            "See whether it waits for an answer (a password, a fingerprint), and run this again.";
        /// The command has ended, and what it has started holds its output.
        left_open(keeper: &str) => Other:
            "{keeper} has ended, and a program that it has started holds its output open",
            "Redirect the output of that program: >/dev/null, or on Windows >NUL.";
        stopped(keeper: &str) => Other: "{keeper} was asked for the key, and this was stopped", "";

        not_set(variable: &str) => Other:
            "{variable} is not set, which leads to the key",
            format!("Set {variable} as it was when these tokens were sealed.");
        both_set() => Other:
            "both AAC_KEY_FILE and AAC_KEY_COMMAND are set",
            "Unset one of them: new tokens are sealed with one key.";
        too_short(variable: &str, length: usize) => Other:
            "{variable} leads to a key of {length} bytes",
            format!("A key has 16 bytes at least. {MAKE_KEY}");
        too_long(variable: &str) => Other:
            "{variable} leads to more than 4 KiB",
            format!("That is no key. {MAKE_KEY}");
        never_the_same(variable: &str) => Other:
            "{variable} gives another key each time",
            format!("Nothing could open what is sealed with it. Store one key, and have that printed. {MAKE_KEY}");
        unreadable(variable: &str, path: &str, what: &str) => Other:
            "{variable} names {path}: {what}",
            format!("Set {variable} to the file with the key, which you may read.");
        ended(how: &str) => Other:
            "AAC_KEY_COMMAND ended with {how}",
            "Run the command yourself: it must print the key, and end with 0.";
        not_started(program: &str, what: &str) => Other:
            "{program} cannot be started: {what}",
            "See whether it is installed, and whether this machine has too many processes or too little memory.";
        /// A keeper has said this.
        failed(keeper: &str, said: &str) => Other:
            "{keeper} has failed: {said}",
            format!("{OTHERWISE} {MAKE_KEY}");
        no_random_numbers() => Other: "the system has no random numbers", format!("{OTHERWISE} {MAKE_KEY}");
        not_ours(keeper: &str, name: &str) => Other:
            "what {keeper} has as {name} is not a key of these programs",
            "See what has changed it. If you have a copy of the key, put it back.";
        bad_name() => Other:
            "the name of its key is damaged",
            "See what has changed the file. If you have a copy of it, put that back.";
        other_key(keeper: &str) => Other:
            "{keeper} has another key",
            "Use the key with which it was sealed.";
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> &str {
        let (Self::NotFound(problem) | Self::NoStore(problem) | Self::Other(problem)) = self;
        &problem.help
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

/// On one line.
impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotFound(problem) | Self::NoStore(problem) | Self::Other(problem)) = self;
        f.write_str(&one_line(&problem.message))
    }
}

impl Error {
    errors! {
        /// Only files are sealed.
        not_in_a_file() => Config:
            "the tokens are not in creds.json, so there is nothing to seal or to make plain",
            "Tokens in a vault and in AAC_ACCESS_TOKEN are kept by whoever put them there. Name a folder with --dir to turn over its creds.json.";

        /// creds.json cannot be renamed over.
        is_a_mount(creds: &Place) => Storage:
            format!("{creds}: it is a mount of its own, and cannot be replaced in one step"),
            "Do this where its folder is mounted, or on the machine that it comes from.",
            in_doubt: Some(false);

        /// New tokens cannot be sealed.
        no_key(problem: &KeyProblem) => Config:
            format!("the tokens cannot be sealed: {problem}"),
            format!("{}\nOr keep them as plain text: --plain.", problem.help()),
            cause: match problem {
                KeyProblem::NoStore(_) => Cause::NoStore(problem.to_string()),
                _ => Cause::Other,
            };
    }
}

const OTHERWISE: &str =
    "Without such a store, set AAC_KEY_FILE or AAC_KEY_COMMAND before you seal tokens.";
