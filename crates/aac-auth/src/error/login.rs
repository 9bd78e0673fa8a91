//! What keeps new tokens from being put in place.

use crate::error::Error;
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::table::errors;
use crate::platform::{self, folder_of, quoted};
use std::path;
use std::{env, io};

impl Error {
    errors! {
        /// A question was answered with no, as without a terminal.
        declined(question: &str) => Config:
            format!("nothing was changed: {question}"),
            "To answer yes to every question of this kind: --yes";

        /// A secret, where the API project ID is asked for.
        secret_as_id(name: &str, what: &str) => Config:
            format!("{name}: {what}, not the ID of an API project"),
            "It was not sent. The tokens come later. Give the Client ID of your API project: one line of letters and digits.";

        /// Programs would not look into the files that are to be written.
        variable_wins(name: &str) => Config:
            format!("{name} is set, and programs take the tokens from there"),
            format!("Nothing was changed. Unset {name}, or name the folder for new tokens with --dir.");

        no_home() => Config:
            "your home folder is unknown",
            "Name a folder for the tokens with --dir or AAC_DIR.";

        /// The pair is there, and programs use another.
        not_used(written: &Place, used: &str) => Config:
            format!("the new tokens are in {written}, but programs that are started here use {used}"),
            "Name their folder with --dir or AAC_DIR, or move away what comes first. --verbose says why a place is chosen.";

        /// This machine has used the refresh token before.
        pasted_is_used(since: &str, page: &str) => Tokens:
            format!("the refresh token that was pasted was used on {since}, on this machine"),
            format!("Nothing was changed. Each refresh token works once. Create new tokens at {page}"),
            needs_new_tokens: true, exit_code: 4;

        /// The server refuses the access token, which has not expired.
        pasted_is_refused(url: &str, page: &str) => Tokens:
            format!("the server does not accept the access token that was pasted (GET {url})"),
            format!("Nothing was changed. It may have been disabled, or not pasted whole. Create new tokens at {page}"),
            needs_new_tokens: true, exit_code: 4;

        /// No such API project.
        wrong_project(message: &str, page: &str) => Config:
            format!("the API project ID is wrong: {message}"),
            format!("Nothing was changed. Copy the Client ID of your API project again, in the region of the tokens: {page}"),
            exit_code: 4;

        /// The new pair could not be written.
        not_written(place: &Place, source: io::Error, page: &str) => Storage:
            format!("{place}: {source}; the new tokens are not saved"),
            format!("What was there before is unchanged. If the page still shows the new tokens, run this again and paste \
                     them again. Otherwise disable them, and create others, at {page}"),
            source: Some(source);

        /// Other programs keep writing it.
        keeps_changing(place: &Place, page: &str) => Storage:
            format!("{place}: other programs keep changing it; the new tokens are not saved"),
            format!("Stop the programs that write it. Then run this again, with the same tokens or others from {page}");
    }
}

/// The command that puts new tokens into this place, in the project's folder; `--tokens`: and leaves the settings
/// alone. It names the folder where the command would not find it by itself.
pub(super) fn login_command(creds: &Place, flag: Option<&str>) -> String {
    let place = match creds {
        Place::Secret { path, .. } => return format!("cargo run -p login -- --vault {path}"),
        Place::Variable(_) => None,
        Place::File(path) => {
            // The command is for another shell, and another current folder.
            let folder = folder_of(path);
            let folder = path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
            // The current folder is the project's: cargo has started the program there.
            let is_above = set("CARGO_MANIFEST_DIR").is_some()
                && env::current_dir().is_ok_and(|here| here.starts_with(&folder));
            let is_found = is_above || platform::own_folder(set).is_some_and(|own| own == folder);
            (!is_found).then(|| format!("--dir {}", quoted(&folder)))
        }
    };
    let flags: Vec<_> = flag.into_iter().chain(place.as_deref()).collect();
    let separator = if flags.is_empty() { "" } else { " -- " };
    format!("cargo run -p login{separator}{}", flags.join(" "))
}
