//! The client that all calls of a program share.

use crate::api::json;
use crate::config::options::ConnectionOptions;
use crate::config::settings::{Folder, Settings};
use crate::config::trust::Trust;
use crate::error::notices::Notices;
use crate::error::place::Place;
use crate::error::{Error, Result};
use crate::http::retry::backoff;
use crate::http::transport::{Limits, Transport};
use crate::platform;
use crate::rotation::{Fresh, Rotation};
use crate::store;
use crate::tokens::credentials;
use crate::tokens::secret::AccessToken;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use std::{env, fs};
use ureq::http::{HeaderValue, Method};

/// Stands for the current workspace's number in a path.
pub(super) const WORKSPACE: &str = "{workspaceId}";

/// A connection to Alteryx Cloud. Threads may share it; a clone is the same connection.
///
/// Each call uses the access token in creds.json, refreshed first if it is about to expire.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) rotation: Rotation,
    pub(super) transport: Transport,
    pub(super) limits: Limits,
    pub(super) retry: u32,
    pub(super) notices: Notices,
    pub(super) user_agent: HeaderValue,
    /// The number of the current workspace, once it has been asked for.
    workspace: OnceLock<String>,
}

impl Client {
    /// Finds and checks aac_url.txt and client_id.txt. Sends nothing; each call reads creds.json.
    ///
    /// `program` names the caller in the `User-Agent` header, for example `get_workspace/0.1.0`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), with the file's name.
    ///
    /// ```no_run
    /// use aac_auth::{Client, ConnectionOptions};
    ///
    /// let client = Client::open(&ConnectionOptions::default(), "demo/1.0")?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn open(options: &ConnectionOptions, program: &str) -> Result<Self> {
        if options.hold_signals {
            // Before creds.json is read.
            platform::protect();
        }
        let settings = settings(options.named_dir())?;
        let user_agent = format!("{program} aac-auth/{}", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&user_agent)
            .map_err(|_| Error::usage(format!("{program:?} cannot be the name of a program")))?;
        let notices = Notices { verbose: options.verbose };
        notices.step(format_args!("the tokens are in {}", settings.creds.display()));
        let inner = Inner {
            rotation: Rotation::new(settings, notices, options.hold_signals, &user_agent),
            transport: Transport::new(&user_agent),
            limits: Limits {
                connect: options.timeout,
                first_byte: options.timeout,
                idle: options.timeout,
                total: None,
            },
            retry: options.retry,
            notices,
            user_agent: agent,
            workspace: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A valid access token, refreshed first if it is about to expire.
    ///
    /// # Errors
    ///
    /// If creds.json or the vault cannot be used, or the tokens cannot be refreshed.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let token = client.access_token()?;
    /// aac_auth::output::print_line(token.expose())?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn access_token(&self) -> Result<AccessToken> {
        Ok(self.fresh(None)?.token)
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.inner.rotation.settings()
    }

    /// A token for a call: any fresh one, or one other than the rejected one.
    pub(crate) fn fresh(&self, rejected: Option<&AccessToken>) -> Result<Fresh> {
        let Inner { rotation, transport, .. } = &*self.inner;
        match rejected {
            None => rotation.token(transport),
            Some(token) => rotation.token_instead_of(token, transport),
        }
    }

    /// Waits before a retry: as long as the server asks, and longer each time in any case.
    pub(crate) fn pause(&self, tries: &mut u32, why: &Error) {
        let pause = why.retry_after().unwrap_or_default().max(backoff(*tries));
        *tries += 1;
        let seconds = pause.as_secs_f64();
        let text = format_args!("{why}; trying again in {seconds:.1} s");
        // A person at a terminal starts to wonder after a second.
        match pause > Duration::from_secs(1) {
            true => self.inner.notices.remark(text),
            false => self.inner.notices.step(text),
        }
        thread::sleep(pause);
    }

    /// The path with the number of the current workspace in it.
    pub(crate) fn fill_in(&self, path: &str) -> Result<String> {
        if !path.contains(WORKSPACE) {
            return Ok(path.to_owned());
        }
        let id = match self.inner.workspace.get() {
            Some(id) => id,
            None => {
                let (url, text) = self.request(Method::GET, "/iam/v1/workspaces/current").text()?;
                let workspace: Value = json::read(&text, "GET", &url)?;
                let id = json::id(&workspace["id"]).ok_or_else(|| {
                    Error::unexpected("GET", &url, "the workspace has no number for an id")
                })?;
                self.inner.workspace.get_or_init(|| id.to_string())
            }
        };
        Ok(path.replace(WORKSPACE, id))
    }
}

/// Finds the folder, and reads the settings in it.
fn settings(named: Option<PathBuf>) -> Result<Settings> {
    let settings = Settings::load(&folder(named)?)?;
    if !settings.project_id.is_empty() {
        return Ok(settings);
    }
    // Whoever left one file unfilled probably left both: report them at once.
    let unfilled = settings.creds.with_file_name("client_id.txt");
    let mut files = vec![(Place::File(unfilled), settings.hosts.project_page())];
    let fields = credentials::placeholders(&settings.creds);
    if !fields.is_empty() {
        files.push((Place::File(settings.creds), settings.hosts.token_page()));
    }
    Err(Error::placeholders(&files, &fields))
}

/// The named folder, or the nearest one with tokens, from the current folder upwards.
fn folder(named: Option<PathBuf>) -> Result<Folder> {
    // Nothing can be found in one that was removed, though it is still there for this process.
    let start = match env::current_dir() {
        Err(error) if named.as_ref().is_none_or(|named| named.is_relative()) => {
            return Err(Error::no_current_folder(&error));
        }
        start => start.unwrap_or_default(),
    };
    // What may be seen from above may not be entered: its own entry tells.
    let enter = |folder: &Path| fs::metadata(folder.join("."));
    if let Some(path) = named {
        return match enter(&path) {
            Ok(entry) if entry.is_dir() => Ok(Folder { path, trust: Trust::ByHand }),
            Err(error) if !path.is_file() => Err(Error::no_folder(&path, &error)),
            // Windows takes file\. for the file.
            _ => Err(Error::not_a_folder(&path)),
        };
    }
    let has_tokens = |folder: &&Path| store::folder::has_tokens(&folder.join("creds.json"));
    match (start.ancestors().find(has_tokens), enter(&start)) {
        (Some(path), _) => Ok(Folder { path: path.to_owned(), trust: Trust::ByOwner }),
        (None, Ok(_)) => Err(Error::no_creds(&start)),
        (None, Err(error)) => Err(Error::no_folder(&start, &error)),
    }
}
