//! What can be wrong with one of the three files or a file beside creds.json, and what to do about it.

use crate::error::display::{one_line, stray, unquoted};
use crate::error::http::after_colon;
use crate::error::kind::ErrorKind;
use crate::error::login::login_command;
use crate::error::place::Place;
use crate::error::table::{Problem, errors, problems};
use crate::error::vault::VaultProblem;
use crate::error::{Error, make_new};
use crate::keys::KeyPlace;
use crate::platform::{self, Flaw, MOVE_COMMAND, Unfit, folder_of, is_unsafe_on_terminal, quoted};
use crate::tokens::sealed::Closed;
use std::path::Path;
use std::{error, fmt, fs, io};

/// What can be wrong with a file of ours. A variant is what some code tells apart; all else is
/// [`Content`](Self::Content) or [`Kept`](Self::Kept).
#[derive(Debug)]
pub(crate) enum FileProblem {
    /// It does not exist.
    Missing,
    /// It contains nothing but whitespace.
    Empty,
    /// The operating system could not read it.
    Unreadable(io::Error),
    /// It stands where others may put theirs, and may not be used.
    Unfit(Unfit),
    /// creds.json holds placeholders instead of tokens.
    PlaceholderTokens(Problem),
    /// aac_url.txt holds something else than the API's address.
    OtherAddress { what: &'static str, api: String },
    /// creds.json is not JSON, or not as it was sealed. It may be half written.
    NotJson(Problem),
    /// The file holds an error of the authorization server instead of tokens. The message is without
    /// secrets, and empty if it is not of a server; the page is where tokens are created.
    OAuthError { message: String, page: String },
    /// creds.json names this secret in a vault, which has the tokens.
    InVault(String),
    /// The secret is gone, or the vault cannot be found.
    Vault(VaultProblem),
    /// creds.json was being written when the machine or the program stopped; the journal has the rest.
    Torn,
    /// It is a journal of another version of this crate, and may hold the only copy of a pair.
    OtherVersion { is_older: bool },
    /// It is sealed with this key, and stays closed: nobody may replace it.
    Sealed { key: KeyPlace, why: Closed },
    /// Its content is of no use.
    Content(Problem),
    /// The same, but it may be of use elsewhere: nobody may replace it by other tokens.
    Kept(Problem),
}

impl FileProblem {
    problems! {
        not_text() => Content: "not a text file in UTF-8 or UTF-16", CONTENT;
        /// It is a device or the like.
        not_a_file() => Kept: "not a file", CONTENT;
        a_folder() => Kept:
            "not a file, but a folder",
            format!(
                "Docker makes a folder where the file that it is to mount does not exist: remove the folder, and put the file there.\n{CONTENT}"
            );
        too_large() => Kept: "larger than 1 MiB", CONTENT;

        // The folder was found, not named. The command names it.
        exchanged() => Kept: "another file has taken its name", "Run this again.";
        of_another(owner: &str, command: &str) => Content:
            "it belongs to another user, {owner}", trust(command);
        link_to_another(link: &str, owner: &str, command: &str) => Content:
            "a link of {link} to a file of {owner}", trust(command);

        /// aac_url.txt holds no address of the API, nor one that tells it.
        not_the_api(what: &str) => Content: "{what}", format!("Put {API_URL} in it, on one line, and nothing else.");

        // client_id.txt. The page is where the API project's ID is found.
        not_an_id(what: &str) => Content:
            "{what}", "Copy the Client ID of your API project again: one line of 8 to 128 letters and digits.";
        id_is_secret(what: &str) => Content:
            "{what}, not the ID of an API project",
            "The ID is sent with each call, so this was not. If the file is a link, see where it leads. \
             Put the Client ID of your API project in it: one line of letters and digits.";
        oauth_client_id(page: &str) => Content:
            "a UUID, which is the OAuth client ID, not the ID of the API project",
            format!("Copy the Client ID of your API project from {page} (letters and digits, no dashes).");

        // creds.json. Lines and columns count from 1.
        not_json(flaw: &str, is_curly: bool) => NotJson:
            "not JSON, {flaw}",
            match is_curly {
                // Those of a word processor.
                true => "It has curly quotes (“ ”): replace them with straight ones (\"), as a plain text editor writes them.",
                false => BOTH_TOKENS,
            };
        not_an_object() => Content: "JSON, but not an object {{ … }}", BOTH_TOKENS;
        /// A string continues on the next line, which JSON does not allow. It begins on this one.
        token_on_several_lines(line: usize) => Content:
            "line {line}: the text in quotation marks continues in the next line, or a quotation mark is missing",
            "A token is one long line in quotation marks: paste it again without line breaks, and see that both marks are there.";
        no_token(field: &str) => Content: "no \"{field}\"", add(field);
        token_not_text(field: &str) => Content: "\"{field}\" is not a string", add(field);
        token_empty(field: &str) => Content: "\"{field}\" is empty", add(field);
        /// `stray` is the first character that does not belong there.
        token_unclean(field: &str, what: &str, stray: &str) => Content:
            "\"{field}\" has {what} inside: {stray}",
            format!("Paste \"{field}\" again: one long line, without spaces and without \"Bearer\".");
        /// The token was pasted before or behind it.
        placeholder_left(field: &str) => Content:
            "\"{field}\" still has the placeholder inside, beside the token",
            format!("Paste \"{field}\" again, in the place of all that is between the quotation marks.");
        swapped() => Content: "the two tokens are swapped", "Swap them.";
        same_twice() => Content: "the same token in both places", "Paste each token into its own field.";
        not_a_jwt() => Content:
            "the access token is not a JWT (three parts with dots between)", PASTE_WHOLE;
        no_claim(claim: &str) => Content: "the access token has no \"{claim}\" claim", PASTE_WHOLE;
        issuer(iss: &str, what: &str) => Content:
            "the access token was issued by {iss}, which is not {what}",
            "The refresh token would be sent there, so it is not. Paste tokens made in Alteryx Cloud \
             (those of a local sandbox work with its own aac_url.txt only).";
        /// The issuer does not go with the address in aac_url.txt: one is on this machine and the other is
        /// not, or they are of two regions. It is a good pair, which only aac_url.txt is wrong for. `right`
        /// is the address for this issuer, if it is known.
        issuer_elsewhere(iss: &str, api: &str, right: Option<String>) => Kept:
            "the access token was issued by {iss}, but aac_url.txt names {api}",
            match right {
                Some(api) => format!(
                    "Nothing was sent. If these tokens are the right ones, put {api} in aac_url.txt (or AAC_URL). If the address is, paste tokens made there."
                ),
                None => "Nothing was sent. Tokens of Alteryx Cloud do not go to this machine, and those of a sandbox do \
                         not leave it. Name the folder of the right files with --dir or AAC_DIR.".to_owned(),
            };
        /// The token of a variable.
        issuer_of_variable(iss: &str, api: &str) => Content:
            "the access token was issued by {iss}, and does not go to {api}",
            "Nothing was sent. Set AAC_URL to the address of the region that has issued it. A token of a sandbox \
             goes to that sandbox alone, and no other goes to this machine.";
        not_a_path_of_variable() => Content:
            "not the path of a secret",
            "Set it to the path of the API: AAC_VAULT=secret/data/aac is bao kv put secret/aac.";
        not_a_vault_path() => Kept:
            "\"vault\" is not the path of a secret",
            "Put the path of the API in it: {\"vault\": \"secret/data/aac\"} is bao kv put secret/aac.";
        tokens_and_vault() => Content:
            "both tokens and a \"vault\"",
            "Keep one of the two: the tokens, or {\"vault\": \"secret/data/aac\"} once they are in the vault.";
        tokens_and_sealed() => Content:
            "both tokens and a \"sealed\"",
            "Keep one of the two: the tokens are plain, and replace what was sealed.";
        /// In a vault, or in an encoding of an editor.
        sealed_elsewhere() => Kept:
            "sealed, and not as a creds.json in UTF-8",
            "A sealed creds.json is opened as it was written. Put it back, or create new tokens.";
        broken_seal() => NotJson:
            "sealed, and damaged",
            "It is not as it was sealed: it was cut off or changed. Restore it if you have a copy, or create new tokens.";
        sealed_by_a_later_version() => Kept:
            "sealed by a newer version of this program",
            "It may hold the only copy of your tokens: run the newer version, which can open it.";
        no_name_of_a_key() => Kept:
            "sealed, with a key by a name that no program has made",
            "Its key is not asked for. Restore the file if you have a copy, or create new tokens.";
        /// creds.json names this secret in a vault that cannot be asked.
        vault_unusable(path: &str, problem: &VaultProblem) => Content:
            "it names the secret {path} in a vault, and {problem}",
            problem.help(&Place::Secret { path: path.to_owned(), vault: None });
    }

    /// These fields of creds.json hold placeholders. The page is where tokens are created.
    pub(crate) fn placeholder_tokens(fields: &[&str], page: &str) -> Self {
        let message = match fields {
            [field] => format!("\"{field}\" is still a placeholder"),
            _ => format!("\"{}\" are still placeholders", fields.join("\" and \"")),
        };
        let help = format!("Put your own value in it. You find it at {page}\n{TRY_IT}");
        Self::PlaceholderTokens(Problem { message, help })
    }

    /// What is wrong with what is in this place, and what to do about it.
    fn texts(&self, place: &Place) -> (String, String) {
        match self {
            Self::Missing => {
                let renaming = place.file().and_then(renaming);
                ("no such file".into(), renaming.unwrap_or_else(|| content(place)))
            }
            Self::Empty => {
                let is_creds = place.file().is_some_and(|path| path.ends_with("creds.json"));
                ("empty".into(), content(place) + if is_creds { EMPTIED } else { "" })
            }
            Self::Unreadable(source) => {
                let help = match source.kind() {
                    _ if platform::is_sharing_violation(source) => HELD,
                    io::ErrorKind::PermissionDenied => "Give yourself permission to read it.",
                    _ => "It is there, and the system failed to read it. See what is wrong with the disk or the share, and run this again.",
                };
                (format!("cannot be read: {source}"), help.into())
            }
            Self::Unfit(unfit) => (unfit.to_string(), help_of(unfit, place)),
            Self::OtherAddress { what, api } => (what.to_string(), format!("Put {api} in it.")),
            Self::OAuthError { message, page } => (
                format!("an error of the authorization server instead of tokens{}", after_colon(message)),
                format!(
                    "The vendor's JavaScript and bash examples write that over the tokens when a refresh fails.\n{}",
                    make_new(page, place)
                ),
            ),
            Self::InVault(path) => (
                format!("it now names the secret {path} in a vault"),
                "Run this again: the tokens are in the vault.".into(),
            ),
            Self::Vault(problem) => (problem.to_string(), problem.help(place)),
            Self::Sealed { key, why: Closed::NotAsked } => {
                (format!("sealed ({})", key.by.as_str()), "Run this again.".into())
            }
            Self::Sealed { why: Closed::NoKey(problem), .. } => {
                (format!("sealed, and {problem}"), problem.help().into())
            }
            Self::Torn => (
                "only partly written".into(),
                "Run this again: the rest is in the journal beside it.".into(),
            ),
            Self::OtherVersion { is_older: true } => (
                "written by an earlier version of this program, in a form that is no longer read".into(),
                finish(place),
            ),
            Self::OtherVersion { is_older: false } => (
                "written by a newer version of this program".into(),
                "It may hold the only copy of your tokens: run the newer version, which can read it.".into(),
            ),
            Self::PlaceholderTokens(Problem { message, help }) => {
                let renaming = place.file().and_then(renaming);
                let help = || format!("{help}\n{}", ask_for(place));
                (message.clone(), renaming.unwrap_or_else(help))
            }
            Self::NotJson(Problem { message, help })
            | Self::Content(Problem { message, help })
            | Self::Kept(Problem { message, help }) => {
                (message.clone(), help.replace(CONTENT, &content(place)))
            }
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is wrong does not depend on the place.
        f.write_str(&self.texts(&Place::from("")).0)
    }
}

impl error::Error for FileProblem {}

impl Error {
    errors! {
        /// No creds.json in this folder or above it, nor in the user's own.
        no_creds(folder: &Path, own: Option<&Path>) => Config:
            {
                let own = own.map(|own| format!(", nor in {}", own.display())).unwrap_or_default();
                format!("no creds.json in {} or any folder above it{own}", folder.display())
            },
            {
                let creds = own.unwrap_or(folder).join("creds.json");
                let mut places = folder.ancestors().chain(own);
                let renaming = places.find_map(|folder| renaming(&folder.join("creds.json")));
                renaming.unwrap_or_else(|| format!(
                    "Run this in the folder that holds aac_url.txt, client_id.txt and creds.json, or below it, \
                     or name the folder with --dir or AAC_DIR.\n{TRY_IT}\n{}",
                    ask_for(&Place::from(&creds))
                ))
            };

        /// This variable is of use only beside one that names a pair.
        lone_variable(name: &str) => Config:
            format!("{name} is set, and neither AAC_VAULT nor AAC_ACCESS_TOKEN is"),
            format!("Set one of the two, which say where the tokens are, or unset {name}: the files of a folder are \
                     used all three. {WITH_DIR}");

        /// This variable names a pair, and another is missing.
        variable_needed(pair: &str, name: &str, file: &str) => Config:
            format!("{pair} is set, and {name} is not"),
            format!("Set {name}, or put {file} into the folder that AAC_DIR names. {WITH_DIR}");

        /// A variable names a pair, and so does another, or the folder of `AAC_DIR`.
        two_pairs(variable: &str, other: &str) => Config:
            format!("both {variable} and {other} say where the tokens are"),
            format!("They may be of two accounts, so neither is used. Unset {variable}, or take the other away. {WITH_DIR}");

        /// With a pair in a vault, no place on this machine for its journal.
        no_own_folder() => Config:
            "AAC_VAULT is set, and your home folder is unknown",
            "Name a folder with AAC_DIR, in which a refresh that is cut off can be kept. It may be empty.";

        /// The current folder cannot be told: it was removed.
        no_current_folder(source: &io::Error) => Config:
            match source.kind() {
                io::ErrorKind::NotFound => "the current folder was removed".to_owned(),
                _ => format!("the current folder: {source}"),
            },
            "Go to another folder (cd), or name that of creds.json by its whole path, with --dir or AAC_DIR.";

        /// The current folder, or that which `--dir` or `AAC_DIR` names, is none, or may not be entered.
        no_folder(folder: &Path, source: &io::Error) => Config:
            match source.kind() {
                // Windows has no such names.
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => format!("{}: no such folder", folder.display()),
                io::ErrorKind::PermissionDenied => format!("{}: permission denied", folder.display()),
                _ => format!("{}: {source}", folder.display()),
            },
            match source.kind() {
                io::ErrorKind::PermissionDenied => "Give yourself permission to enter it, and the folders above it.".to_owned(),
                _ => wrong_name(&folder.to_string_lossy()),
            };

        /// `--dir` or `AAC_DIR` names a file.
        not_a_folder(file: &Path) => Config:
            format!("{}: it is a file, not a folder", file.display()),
            format!("Name its folder instead: --dir {}", quoted(folder_of(file)));
    }

    /// Files still contain the placeholders that the repository ships: each with the page where its content
    /// is created, and the placeholder fields of creds.json.
    pub(crate) fn placeholders(files: &[(Place, String)], fields: &[&str]) -> Self {
        let names: Vec<_> = files.iter().map(|(place, _)| place.to_string()).collect();
        let mut message = format!("placeholders instead of your own values: {}", names.join(", "));
        if !fields.is_empty() {
            message.push_str(&format!(" ({})", fields.join(", ")));
        }
        let fill_in = |(place, page): &(Place, String)| {
            let renaming = place.file().and_then(renaming);
            let fill_in = || format!("Put your own value in {place}. You find it at {page}");
            renaming.unwrap_or_else(fill_in) + "\n"
        };
        let mut help = files.iter().map(fill_in).collect::<String>() + TRY_IT;
        if let Some((place, _)) = files.last() {
            help.push_str(&format!("\n{}", ask_for(place)));
        }
        Self::new(ErrorKind::Config, message, help)
            .with(|error| error.needs_new_tokens = !fields.is_empty())
    }

    /// One of the three files, or a file beside creds.json, cannot be used. Nothing was sent.
    pub(crate) fn unusable(place: impl Into<Place>, problem: FileProblem) -> Self {
        let place = place.into();
        let (what, help) = problem.texts(&place);
        Self::new(ErrorKind::Config, format!("{place}: {what}"), help).with(|error| match problem {
            FileProblem::Torn | FileProblem::OtherVersion { .. } | FileProblem::Unfit(_) => {
                error.kind = ErrorKind::Storage;
            }
            FileProblem::PlaceholderTokens(_) | FileProblem::OAuthError { .. } => {
                error.needs_new_tokens = true;
            }
            FileProblem::Sealed { .. } => error.in_doubt = Some(false),
            FileProblem::Unreadable(source) => error.source = Some(source),
            _ => {}
        })
    }

    /// The error of a file that the user named, which could not be read or written.
    ///
    /// ```no_run
    /// use aac_auth::Error;
    ///
    /// let path = "body.json";
    /// let body = std::fs::read(path).map_err(|source| Error::file(path, source))?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn file(path: impl AsRef<Path>, source: io::Error) -> Self {
        let message = format!("{}: {source}", path.as_ref().display());
        Self::new(ErrorKind::Io, message, limit_of_files(&source))
            .with(|error| error.source = Some(source))
    }

    /// Standard output could not be written. If its reader stopped reading ([`io::ErrorKind::BrokenPipe`]),
    /// that is no failure, and [`Error::report`] prints nothing.
    pub(crate) fn output(source: io::Error) -> Self {
        let code = if source.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 };
        Self::file("standard output", source).with(|error| error.exit_code = code)
    }
}

/// What to do if the system limits the size of files.
pub(super) fn limit_of_files(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::FileTooLarge => {
            "Raise the limit of the size of files (ulimit -f), or use a file system without one."
        }
        _ => "",
    }
}

/// What to do about what has the name of this file.
pub(super) fn help_of(unfit: &Unfit, place: &Place) -> String {
    place.file().map(|path| unfit.help(path)).unwrap_or_default()
}

pub(super) const HELD: &str =
    "Another program has it open, and does not share it. Close that program, and run this again.";
const EMPTIED: &str = "\nThe vendor's bash program empties a creds.json that it does not understand, such as a sealed one.";
const TRY_IT: &str = "To try it without an account, in the project's folder: cargo sandbox cargo run -p get_workspace";
const API_URL: &str = "https://api.us1.alteryxcloud.com (or eu1, au1: your region)";
const BOTH_TOKENS: &str = "It must look like {\"access_token\": \"…\", \"refresh_token\": \"…\"}, both in straight double quotation marks.";
const PASTE_WHOLE: &str = "Paste the access token again, whole: it begins with eyJ and is about a thousand characters long.";

/// Stands for what must be [in the file](content).
const CONTENT: &str = "{content}";

fn content(place: &Place) -> String {
    const TOKENS: &str = "with both tokens: {\"access_token\": \"…\", \"refresh_token\": \"…\"}";
    let Some(path) = place.file() else { return format!("It must be a secret {TOKENS}.") };
    match &*path.file_name().unwrap_or_default().to_string_lossy() {
        "aac_url.txt" => format!("It must be a text file with {API_URL} on a single line."),
        "creds.json" => format!(
            "It must be a text file {TOKENS}, created in User Preferences > OAuth 2.0 API Tokens.\n{}",
            ask_for(place)
        ),
        "client_id.txt" | "api_project_id.txt" => {
            "It must be a text file with the Client ID of your API project on a single line."
                .to_owned()
        }
        // Beside creds.json.
        _ => Unfit::new(Flaw::NotAFile, Err(io::ErrorKind::Other.into())).help(path),
    }
}

/// How to have the three files written.
fn ask_for(creds: &Place) -> String {
    format!("To be asked for all that it takes, run: {}", login_command(creds, None))
}

/// What to do with what an earlier version has left here.
fn finish(place: &Place) -> String {
    let name = place.to_string();
    let (how, otherwise) = match () {
        () if name.ends_with(".rotation") => (
            ", run the earlier version until this file is gone",
            "If not (creds.json has newer ones, or is to have them), delete this file.",
        ),
        () if name.contains(".rotation.old") => (
            " in place of those in creds.json, move this file over it, and run the earlier version",
            "If not, delete this file.",
        ),
        () => (
            ", run the earlier version: its next refresh writes them as usual",
            "If not, create new tokens, and paste both into a new creds.json.",
        ),
    };
    format!(
        "It may hold the only copy of your tokens, so it is left as it is.\nIf you need them{how}.\n{otherwise}"
    )
}

/// How to give one of the three files its name, if a file beside it differs in case, punctuation and endings
/// alone: Notepad adds a second ending, which Explorer hides.
fn renaming(path: &Path) -> Option<String> {
    let key = |name: &str| {
        let name = name.to_lowercase();
        let mut parts = name.split('.');
        let stem: String = parts.next()?.chars().filter(|it| it.is_alphanumeric()).collect();
        parts.all(|ending| ["txt", "json"].contains(&ending)).then_some(stem)
    };
    const NEWER: &str = "api_project_id.txt";
    let own = path.file_name()?.to_str()?;
    let wanted = [key(own)?, key(if own == "client_id.txt" { NEWER } else { own })?];
    let beside = fs::read_dir(path.parent()?).ok()?;
    let names = beside.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let itself = path.canonicalize().ok();
    let is_meant = |name: &String| {
        let other = path.with_file_name(name);
        ![own, NEWER].contains(&&**name)
            && key(name).is_some_and(|key| wanted.contains(&key))
            && other.is_file()
            // Some systems take names for one that differ in case alone.
            && other.canonicalize().ok() != itself
    };
    let name = names.filter(is_meant).min()?;
    let (from, to) = (quoted(&path.with_file_name(&name)), quoted(path));
    let name = one_line(&name);
    Some(format!("There is a file called {name}. Rename it: {MOVE_COMMAND} {from} {to}"))
}

const WITH_DIR: &str = "With --dir, these variables are not read.";

/// What to do about the name of a folder that is not there. A shell or an editor may have left something in it.
fn wrong_name(name: &str) -> String {
    let is_hidden = |character| {
        is_unsafe_on_terminal(character) && !character.is_control()
            || matches!(character, '\u{A0}' | '\u{AD}' | '\u{200C}' | '\u{200D}' | '\u{202F}')
    };
    match name {
        _ if name.contains('"') || unquoted(name).is_some() => "The name has quotation marks in it. In files of variables (.env), and in cmd (set AAC_DIR=C:\\folder), write it without them; in --dir \"C:\\folder\", without a \\ at the end.".to_owned(),
        _ if name.starts_with('~') => "The ~ was not replaced by your home folder: a shell does that only at the beginning of a word without quotation marks. Write the whole path, or $HOME instead of the ~.".to_owned(),
        _ if name.contains('$') || name.matches('%').count() > 1 => "The name has a variable in it that no shell has replaced: $HOME is for bash, %USERPROFILE% for cmd, $env:USERPROFILE for PowerShell, and within single quotation marks none is replaced. Write the whole path.".to_owned(),
        _ if name.contains('\r') => "The name has a line break in it, as in a file with Windows line ends. Save that file with Unix line ends (dos2unix).".to_owned(),
        _ if name.trim() != name => "The name begins or ends with a blank or a line break. Leave it out. In cmd: set \"AAC_DIR=C:\\folder\" && …, with the quotation marks there.".to_owned(),
        _ => match stray(name, |character| !is_hidden(character)) {
            Some(stray) => format!("In the name, {stray}. Write the name again."),
            None => "Name the folder that holds aac_url.txt, client_id.txt and creds.json with --dir or AAC_DIR.".to_owned(),
        },
    }
}

fn add(field: &str) -> String {
    let add = format!("Add it as \"{field}\": \"…\", as shown when you generated the tokens.");
    match field {
        "refresh_token" => {
            add + "\nWithout it, the programs cannot refresh the access token, and do not use it. It is good until it \
             expires, a few minutes after it was issued: send it yourself, as Authorization: Bearer.\n\
             To hand on a token that is good for a while: access_token --min-life SECS"
        }
        _ => add,
    }
}

fn trust(command: &str) -> String {
    format!(
        "Another user's files are used only in a folder that you name. If you trust that user, run \
         this again with {command}"
    )
}
