//! What keeps tokens from being refreshed or kept safe.

use crate::config::options::ACCESS_TOKEN;
use crate::error::file::{HELD, help_of, limit_of_files};
use crate::error::http::{NEVER_REFRESHED, after_colon, status_code, status_line};
use crate::error::kind::ErrorKind;
use crate::error::login::login_command;
use crate::error::place::Place;
use crate::error::table::errors;
use crate::error::vault::VaultProblem;
use crate::error::{Cause, Error, NetworkError};
use crate::platform::{self, MOVE_COMMAND, Unfit, quoted};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Who refused a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refuser {
    /// The authorization server refused the OAuth client (`invalid_client`).
    Client,
    /// The authorization server, for another reason.
    Server,
    /// Not the authorization server: what came is not JSON.
    Between,
}

impl Error {
    errors! {
        // The tokens cannot be kept safe.

        /// Another program held the lock beside creds.json for too long.
        locked(path: &Place, waited: Duration) => Storage:
            format!("{path}: held by another program for {} s", waited.as_secs()),
            format!("Find the program that has {path} open. Do not delete the file: the lock ends with the program that holds it."),
            is_retryable: true;

        /// The tokens were other ones at each look.
        changing(home: &Place) => Storage:
            format!("{home}: other programs keep changing it"),
            "Stop the programs that write it, and run this again.",
            is_retryable: true;

        /// The disk cannot store a new pair of tokens. This was detected before anything was sent.
        not_writable(path: &Place, source: io::Error, in_doubt: bool) => Storage:
            format!("{path}: {source}"),
            match (Unfit::of(&source), source.kind()) {
                (Some(unfit), _) => help_of(unfit, path),
                _ if platform::is_sharing_violation(&source) => HELD.to_owned(),
                // Network shares and the folders of WSL, as Windows sees them, may have no locks.
                (_, io::ErrorKind::Unsupported) => "Move aac_url.txt, client_id.txt and creds.json to a folder on a local disk, and name that with --dir or AAC_DIR.".to_owned(),
                (_, io::ErrorKind::FileTooLarge) => limit_of_files(&source).to_owned(),
                (_, io::ErrorKind::InvalidData) => format!("Take out of {path} what the programs do not need: all but the two tokens."),
                _ => format!("Tokens are refreshed only where the new ones can be saved. Give yourself permission to write {path} and its folder, and free up disk space."),
            },
            in_doubt: Some(in_doubt), source: Some(source);

        /// creds.json was replaced by an older copy: its refresh token was used then, and must not be sent
        /// again. The newer pair is not on this machine.
        older_copy(creds: &Place, used: &str, page: &str) => Tokens:
            format!("{creds}: it was replaced by an older copy, whose refresh token was used on {used}"),
            format!("Restore the newer file if you have it. Otherwise:\n{}", make_new(page, creds)),
            needs_new_tokens: true, exit_code: 4;

        /// creds.json holds no tokens, and pairs of several accounts are set aside: in these files, each with
        /// its account.
        several_pairs(creds: &Place, pairs: &[(PathBuf, String)]) => Storage:
            format!("{creds}: it holds no usable tokens, and the tokens that are set aside belong to several accounts, or to another one"),
            put_back(pairs, creds).join("\n");

        /// An earlier run's pair of tokens is in the journal and cannot be moved to creds.json. Nothing is lost.
        saved_in_journal(journal: &Place, creds: &Place, source: io::Error) => Storage:
            format!("{creds}: {source}; the new tokens are saved in {journal}{}", creds.secret().map_or("", |_| " on this machine")),
            match (creds.secret(), Unfit::of(&source)) {
                (Some(_), _) => {
                    let problem = source.get_ref().and_then(|it| it.downcast_ref::<VaultProblem>());
                    let cure = problem.map(|problem| problem.help(creds) + "\n").unwrap_or_default();
                    cure + "Run this again on this machine: it moves them there."
                }
                (None, Some(unfit)) => help_of(unfit, creds),
                (None, None) => format!("Give yourself permission to write {creds} and its folder, and run this again: it moves them there."),
            },
            source: Some(source);

        /// A new pair arrived and no disk could store it: it is lost when this program ends.
        not_saved(creds: &Place, source: io::Error, page: &str) => Storage:
            format!("{creds}: {source}; the new tokens could not be saved anywhere"),
            match creds.secret() {
                Some(_) => "The refresh token in it has been used. When the vault works again:\n",
                None => "The tokens in the file have been used. When the disk works again: ",
            }.to_owned() + &make_new(page, creds),
            needs_new_tokens: true, source: Some(source);

        // A refresh failed.

        /// The authorization server could not be reached. The refresh token was not sent.
        auth_server_unreachable(url: &str, reason: &NetworkError, in_doubt: bool) => AuthServer:
            format!("the tokens could not be refreshed: {reason} (POST {url})"),
            // The host comes from the access token, not from aac_url.txt.
            reason.help_for(url, ""),
            is_retryable: !reason.is_lasting(), in_doubt: Some(in_doubt);

        /// The authorization server is rate limiting (HTTP 429), and may have said how long to wait. The
        /// refresh token is not used up.
        auth_server_busy(url: &str, status: u16, wait: Option<Duration>, in_doubt: bool) => AuthServer:
            match (status_line(status), wait.map(|wait| wait.as_secs())) {
                (line, None) => format!("the tokens could not be refreshed yet: {line} (POST {url})"),
                (line, Some(wait)) => format!("the tokens could not be refreshed yet: {line} (POST {url}), try again in {wait} s"),
            },
            "Wait, and run this again.",
            exit_code: status_code(status), is_retryable: true, retry_after: wait, in_doubt: Some(in_doubt);

        /// The authorization server refused the request, not the token. The token is not used up. The message
        /// is the server's, without secrets.
        refresh_refused(url: &str, status: u16, message: &str, by: Refuser, in_doubt: bool) => AuthServer:
            format!("the tokens could not be refreshed: {}{} (POST {url})", status_line(status), after_colon(message)),
            match (status, by) {
                (300..=399, _) => "The token endpoint redirects, which is not followed. There may be a proxy or a login page in between.".to_owned(),
                (407, _) => "Your proxy requires a user name and password: HTTPS_PROXY=http://user:password@host:port.".to_owned(),
                (511, _) => "Sign in to the network: open any web page in a browser. Then run this again.".to_owned(),
                (_, Refuser::Client) => "If the problem persists, create new tokens: the access token in creds.json names the OAuth client that is refused.".to_owned(),
                (_, Refuser::Server) => "Run this again later. If the problem persists, mention this message if you contact Alteryx support.".to_owned(),
                (_, Refuser::Between) => format!(
                    "Something between you and the server answered, such as a proxy, a firewall or a login page: the server itself answers in JSON.\n\
                     Ask whoever runs your network to let requests to {url} pass."
                ),
            },
            exit_code: status_code(status), is_retryable: status >= 500, in_doubt: Some(in_doubt);

        /// The refresh token in `creds` is dead (`invalid_grant`, RFC 6749 §5.2): new tokens are needed. The
        /// message is the server's, without secrets. `lost` is what happened to the response when this token
        /// was sent before, if it was.
        tokens_refused(url: &str, message: String, creds: &Place, page: &str, lost: Option<&str>) => Tokens:
            format!("the refresh token in {creds} is refused{} (POST {url})", after_colon(&message)),
            match (lost, make_new(page, creds)) {
                (Some(what), new) => format!("It was sent before, and the response was lost: {what}.\n{new}"),
                (None, new) => format!("It was used before, revoked or disabled, or it has expired. If you have just pasted it, it may not be whole.\n{new}"),
            },
            cause: Cause::TokensRefused { message, was_lost: lost.is_some() },
            needs_new_tokens: true, exit_code: 4;

        /// The refresh token in `creds` says itself that it is dead.
        expired(creds: &Place, page: &str) => Tokens:
            format!("the refresh token in {creds} has expired"),
            make_new(page, creds),
            needs_new_tokens: true, exit_code: 4;

        /// The access token in the environment will not do, and no other is to be had.
        never_refreshed(what: &str) => Tokens:
            format!("AAC_ACCESS_TOKEN {what}"), NEVER_REFRESHED, exit_code: 4;

        /// The response to a refresh was lost or incomplete twice, or came with this status: the token in
        /// `creds` may be used up.
        response_lost(url: &str, what: &str, status: Option<u16>, creds: &Place, page: &str) => AuthServer:
            format!("the response with the new tokens was lost: {what} (POST {url}); the refresh token in {creds} may have been used"),
            format!(
                "Run this again: that works if the server did not process the request, or has a grace period.\n\
                 If the token is refused then: {}", make_new(page, creds)
            ),
            cause: Cause::ResponseLost,
            exit_code: status.map_or(1, status_code), is_retryable: true;

        /// The server sent a new refresh token without an access token that is of use. It is saved in `place`.
        /// `page` is where new tokens are created, if the refresh token is not sent for a while.
        no_access_token(url: &str, what: &str, account: &str, place: &Place, page: Option<&str>) => AuthServer:
            format!("the server sent a new refresh token without a usable access token: {what} (POST {url}); it is saved in {place} ({account})"),
            page.map_or_else(|| "Run this again.".to_owned(), |page| unused(page, place)),
            is_retryable: true;

        /// The error of a run that held the lock before this one and failed moments ago with the same token, or
        /// of a program on another machine. Unless the token is dead, what it met may have passed.
        noted(kind: ErrorKind, message: &str, help: &str, exit_code: u8) => AuthServer:
            message, help,
            kind: kind, exit_code: exit_code,
            needs_new_tokens: kind == ErrorKind::Tokens, is_retryable: kind != ErrorKind::Tokens;
    }

    /// Adds the files with pairs that are set aside and were not tried, each with its account.
    pub(crate) fn name_set_aside(&mut self, creds: &Place, pairs: &[(PathBuf, String)]) {
        // Before the last line: that of the command for new tokens.
        let last = self.0.help.rfind('\n').map_or(0, |end| end + 1);
        for line in put_back(pairs, creds).iter().rev() {
            self.0.help.insert_str(last, &format!("{line}\n"));
        }
    }
}

/// How to move each of the pairs that are set aside back to creds.json.
fn put_back(pairs: &[(PathBuf, String)], creds: &Place) -> Vec<String> {
    let line = |(path, account): &(PathBuf, String)| match creds.file() {
        None => {
            let path = Place::from(path);
            format!(
                "Other tokens are set aside in {path} ({account}). To use them, copy both into {creds}."
            )
        }
        Some(creds) => {
            let (path, creds) = (quoted(path), quoted(creds));
            format!(
                "Other tokens are set aside ({account}). To use them: {MOVE_COMMAND} {path} {creds}"
            )
        }
    };
    pairs.iter().map(line).collect()
}

/// How to replace the tokens in this place.
pub(crate) fn make_new(page: &str, creds: &Place) -> String {
    match creds {
        Place::Variable(ACCESS_TOKEN) => NEVER_REFRESHED.to_owned(),
        _ => format!(
            "Create new tokens at {page}, and run: {}",
            login_command(creds, Some("--tokens"))
        ),
    }
}

/// What to do where a refresh token is not sent for a while.
pub(crate) fn unused(page: &str, creds: &Place) -> String {
    format!(
        "For ten minutes, all programs report this and send nothing. After that, the next one tries again.\n\
         If the problem persists, mention this message if you contact Alteryx support. New tokens end the wait:\n{}",
        make_new(page, creds)
    )
}
