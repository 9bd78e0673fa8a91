//! What keeps tokens from being refreshed or kept safe.

use crate::error::file::{help_of, limit_of_files};
use crate::error::http::{after_colon, status_code, status_line};
use crate::error::kind::ErrorKind;
use crate::error::place::Place;
use crate::error::vault::{VaultProblem, put_command};
use crate::error::{Cause, Details, Error, NetworkError};
use crate::platform::{self, Unfit, quoted};
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

/// The tokens cannot be kept safe.
impl Error {
    /// Another program held the lock beside creds.json for too long.
    pub(crate) fn locked(path: &Place, waited: Duration) -> Self {
        let message = format!("{path}: held by another program for {} s", waited.as_secs());
        let help = format!(
            "Find the program that has {path} open. Do not delete the file: the lock ends with the program that holds it."
        );
        Details { is_retryable: true, ..Details::of(ErrorKind::Storage, message, help) }.into()
    }

    /// The disk cannot store a new pair of tokens. This was detected before anything was sent.
    pub(crate) fn not_writable(path: &Place, source: io::Error, in_doubt: bool) -> Self {
        let message = format!("{path}: {source}");
        let help = match (Unfit::of(&source), source.kind()) {
            _ if platform::is_sharing_violation(&source) => format!(
                "Another program has {path} open, and does not share it. Close that program, and run this again."
            ),
            (Some(unfit), _) => help_of(unfit, path),
            // Network shares and the folders of WSL, as Windows sees them, may have no locks.
            (None, io::ErrorKind::Unsupported) => "Move aac_url.txt, client_id.txt and creds.json to a folder on a local disk, and name that with --dir or AAC_DIR.".to_owned(),
            (None, io::ErrorKind::FileTooLarge) => limit_of_files(&source).to_owned(),
            _ => format!(
                "Tokens are refreshed only where the new ones can be saved. Give yourself permission to write {path} and its folder, and free up disk space."
            ),
        };
        let details = Details::of(ErrorKind::Storage, message, help);
        Details { in_doubt: Some(in_doubt), ..details }.with(source)
    }

    /// creds.json was replaced by an older copy: its refresh token was used then, and must not be sent again.
    /// The newer pair is not on this machine.
    pub(crate) fn older_copy(creds: &Place, used: &str, page: &str) -> Self {
        let message = format!(
            "{creds}: it was replaced by an older copy, whose refresh token was used on {used}"
        );
        let new = make_new(page, creds);
        let help = format!("Restore the newer file if you have it. Otherwise:\n{new}");
        let details = Details::of(ErrorKind::Tokens, message, help);
        Details { exit_code: 4, needs_new_tokens: true, ..details }.into()
    }

    /// creds.json holds no tokens, and pairs of several accounts are set aside: in these files, each with its
    /// account.
    pub(crate) fn several_pairs(creds: &Place, pairs: &[(PathBuf, String)]) -> Self {
        let message = format!(
            "{creds}: it holds no usable tokens, and the tokens that are set aside belong to several accounts, or to another one"
        );
        let lines: Vec<_> = pairs.iter().map(|pair| put_back(pair, creds)).collect();
        Details::of(ErrorKind::Storage, message, lines.join("\n")).into()
    }

    /// An earlier run's pair of tokens is in the journal and cannot be moved to creds.json.
    /// Nothing is lost.
    pub(crate) fn saved_in_journal(journal: &Place, creds: &Place, source: io::Error) -> Self {
        let on = if creds.secret().is_some() { " on this machine" } else { "" };
        let message = format!("{creds}: {source}; the new tokens are saved in {journal}{on}");
        let help = match (creds.secret(), Unfit::of(&source)) {
            (Some(_), _) => {
                let problem = source.get_ref().and_then(|it| it.downcast_ref::<VaultProblem>());
                let cure = problem.map(|problem| problem.help(creds) + "\n").unwrap_or_default();
                format!("{cure}Run this again on this machine: it moves them there.")
            }
            (None, Some(unfit)) => help_of(unfit, creds),
            (None, None) => format!(
                "Give yourself permission to write {creds} and its folder, and run this again: it moves them there."
            ),
        };
        Details::of(ErrorKind::Storage, message, help).with(source)
    }

    /// A new pair arrived and no disk could store it: it is lost when this program ends.
    pub(crate) fn not_saved(creds: &Place, source: io::Error, page: &str) -> Self {
        let message = format!("{creds}: {source}; the new tokens could not be saved anywhere");
        let used = match creds.secret() {
            Some(_) => "The refresh token in it has been used. When the vault works again:\n",
            None => "The tokens in the file have been used. When the disk works again: ",
        };
        let help = used.to_owned() + &make_new(page, creds);
        let details = Details::of(ErrorKind::Storage, message, help);
        Details { needs_new_tokens: true, ..details }.with(source)
    }
}

/// A refresh failed.
impl Error {
    /// The authorization server could not be reached. The refresh token was not sent.
    pub(crate) fn auth_server_unreachable(
        url: &str,
        reason: &NetworkError,
        in_doubt: bool,
    ) -> Self {
        let message = format!("the tokens could not be refreshed: {reason} (POST {url})");
        // The host comes from the access token, not from aac_url.txt.
        let help = reason.help_for(url, "");
        Details {
            is_retryable: !reason.is_lasting(),
            in_doubt: Some(in_doubt),
            ..Details::of(ErrorKind::AuthServer, message, help)
        }
        .into()
    }

    /// The authorization server is rate limiting (HTTP 429), and may have said how long to wait. The refresh
    /// token is not used up.
    pub(crate) fn auth_server_busy(
        url: &str,
        status: u16,
        wait: Option<Duration>,
        in_doubt: bool,
    ) -> Self {
        let line = status_line(status);
        let message = format!("the tokens could not be refreshed yet: {line} (POST {url})");
        Details {
            exit_code: status_code(status),
            is_retryable: true,
            retry_after: wait,
            in_doubt: Some(in_doubt),
            ..Details::of(ErrorKind::AuthServer, message, "Wait, and run this again.")
        }
        .into()
    }

    /// The authorization server refused the request, not the token. The token is not used up. The message is
    /// the server's, without secrets.
    pub(crate) fn refresh_refused(
        url: &str,
        status: u16,
        message: &str,
        by: Refuser,
        in_doubt: bool,
    ) -> Self {
        let help = match (status, by) {
            (300..=399, _) => "The token endpoint redirects, which is not followed. There may be a proxy or a login page in between.".to_owned(),
            (407, _) => "Your proxy requires a user name and password: HTTPS_PROXY=http://user:password@host:port.".to_owned(),
            (511, _) => "Sign in to the network: open any web page in a browser. Then run this again.".to_owned(),
            (_, Refuser::Client) => "If the problem persists, create new tokens: the access token in creds.json names the OAuth client that is refused.".to_owned(),
            (_, Refuser::Server) => "Run this again later. If the problem persists, mention this message if you contact Alteryx support.".to_owned(),
            (_, Refuser::Between) => format!(
                "Something between you and the server answered, such as a proxy, a firewall or a login page: the server itself answers in JSON.\n\
                 Ask whoever runs your network to let requests to {url} pass."
            ),
        };
        let said = status_line(status) + &after_colon(message);
        let message = format!("the tokens could not be refreshed: {said} (POST {url})");
        Details {
            exit_code: status_code(status),
            is_retryable: status >= 500,
            in_doubt: Some(in_doubt),
            ..Details::of(ErrorKind::AuthServer, message, help)
        }
        .into()
    }

    /// The refresh token in `creds` is dead (`invalid_grant`, RFC 6749 §5.2): new tokens are needed. The
    /// message is the server's, without secrets. `lost` is what happened to the response when this token was
    /// sent before, if it was.
    pub(crate) fn tokens_refused(
        url: &str,
        message: String,
        creds: &Place,
        page: &str,
        lost: Option<&str>,
    ) -> Self {
        let said = after_colon(&message);
        let what = format!("the refresh token in {creds} is refused{said} (POST {url})");
        let why = match lost {
            Some(what) => format!("It was sent before, and the response was lost: {what}."),
            None => "It was used before, revoked or disabled, or it has expired.".to_owned(),
        };
        let help = format!("{why}\n{}", make_new(page, creds));
        let details = Details::of(ErrorKind::Tokens, what, help);
        let cause = Cause::TokensRefused { message, was_lost: lost.is_some() };
        Details { cause, exit_code: 4, needs_new_tokens: true, ..details }.into()
    }

    /// The refresh token in `creds` says itself that it is dead.
    pub(crate) fn expired(creds: &Place, page: &str) -> Self {
        let message = format!("the refresh token in {creds} has expired");
        let details = Details::of(ErrorKind::Tokens, message, make_new(page, creds));
        Details { exit_code: 4, needs_new_tokens: true, ..details }.into()
    }

    /// Adds the files with pairs that are set aside and were not tried, each with its account.
    pub(crate) fn name_set_aside(&mut self, creds: &Place, pairs: &[(PathBuf, String)]) {
        for pair in pairs {
            self.0.help.push_str(&format!("\n{}", put_back(pair, creds)));
        }
    }

    /// The response to a refresh was lost or incomplete twice, or came with this status: the token in `creds`
    /// may be used up.
    pub(crate) fn response_lost(
        url: &str,
        what: &str,
        status: Option<u16>,
        creds: &Place,
        page: &str,
    ) -> Self {
        let message = format!(
            "the response with the new tokens was lost: {what} (POST {url}); the refresh token in {creds} may have been used"
        );
        let help = format!(
            "Run this again: that works if the server did not process the request, or has a grace period.\nIf the token is refused then: {}",
            make_new(page, creds)
        );
        Details {
            cause: Cause::ResponseLost,
            exit_code: status.map_or(1, status_code),
            is_retryable: true,
            ..Details::of(ErrorKind::AuthServer, message, help)
        }
        .into()
    }

    /// The server sent a new refresh token without an access token that is of use. It is saved in `place`.
    /// `page` is where new tokens are created, if the refresh token is not sent for a while.
    pub(crate) fn no_access_token(
        url: &str,
        what: &str,
        account: &str,
        place: &Place,
        page: Option<&str>,
    ) -> Self {
        let message = format!(
            "the server sent a new refresh token without a usable access token: {what} (POST {url}); it is saved in {place} ({account})"
        );
        let help = page.map_or_else(|| "Run this again.".to_owned(), |page| unused(page, place));
        Details { is_retryable: true, ..Details::of(ErrorKind::AuthServer, message, help) }.into()
    }

    /// The error of a run that held the lock before this one and failed moments ago with the same token, or
    /// of a program on another machine.
    pub(crate) fn noted(message: &str, help: &str, exit_code: u8) -> Self {
        let details = Details::of(ErrorKind::AuthServer, message, help);
        // What the other run met may have passed. If not, this run gets the server's own word.
        Details { exit_code, is_retryable: true, ..details }.into()
    }
}

/// How to move a pair that is set aside back to creds.json.
fn put_back((path, account): &(PathBuf, String), creds: &Place) -> String {
    match creds.file() {
        None => format!(
            "Other tokens are set aside in {} ({account}). To use them, copy both into {creds}.",
            Place::from(path)
        ),
        Some(creds) => format!(
            "Other tokens are set aside ({account}). To use them: {} {} {}",
            platform::MOVE_COMMAND,
            quoted(path),
            quoted(creds)
        ),
    }
}

/// How to replace the tokens in this place.
pub(crate) fn make_new(page: &str, creds: &Place) -> String {
    if let Some(path) = creds.secret() {
        return format!(
            "Create new tokens at {page}, paste both into a file as creds.json has them, and put them into the vault: {}.",
            put_command(path)
        );
    }
    format!("Create new tokens at {page} and paste both into {creds}.")
}

/// What to do where a refresh token is not sent for a while.
pub(crate) fn unused(page: &str, creds: &Place) -> String {
    format!(
        "For ten minutes, all programs report this and send nothing. After that, the next one tries again.\n\
         If the problem persists, mention this message if you contact Alteryx support. New tokens end the wait:\n{}",
        make_new(page, creds)
    )
}
