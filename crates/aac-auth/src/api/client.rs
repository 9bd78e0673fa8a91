//! The client that all calls of a program share.

use crate::api::json;
use crate::api::places::{self, Found};
use crate::config::options::ConnectionOptions;
use crate::config::settings::Settings;
use crate::error::notices::Notices;
use crate::error::{Error, Result};
use crate::http::retry::backoff;
use crate::http::transport::{Limits, Transport};
use crate::platform::{self, signals::SignalGuard};
use crate::rotation::{Fresh, Rotation};
use crate::tokens::secret::AccessToken;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{env, thread};
use ureq::http::{HeaderValue, Method};
use ureq::tls::RootCerts;

/// The workspace that the tokens are for.
pub(crate) const CURRENT_WORKSPACE: &str = "/iam/v1/workspaces/current";
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
    /// Why the tokens are looked for where they are.
    pub(super) chosen_as: String,
    /// The number of the current workspace, once it has been asked for.
    workspace: OnceLock<String>,
}

impl Client {
    /// Finds and checks aac_url.txt and client_id.txt, or the variables in their place. Sends nothing; each call
    /// reads creds.json.
    ///
    /// `program` names the caller in the `User-Agent` header, for example `get_workspace/0.1.0`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), with the name of the file or the variable.
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
        let found =
            places::find(options.dir.as_deref(), env::current_dir(), |name| env::var_os(name))?;
        Self::of(found, options, program)
    }

    /// A client of this pair, wherever it is.
    pub(super) fn of(found: Found, options: &ConnectionOptions, program: &str) -> Result<Self> {
        let Found { settings, pair, chosen_as, has_passed_over } = found;
        let user_agent = user_agent(program);
        let agent = HeaderValue::from_str(&user_agent)
            .map_err(|_| Error::usage(format!("{program:?} cannot be the name of a program")))?;
        let notices = Notices { verbose: options.verbose };
        let place = pair.place(&settings.creds);
        let text = format_args!("the tokens are in {place}, chosen as {chosen_as}");
        // Whose files these are may surprise.
        notices.remark(has_passed_over, text);
        let inner = Inner {
            rotation: Rotation::new(settings, pair, notices, options.hold_signals, &user_agent),
            transport: Transport::new(&user_agent, RootCerts::PlatformVerifier, None),
            limits: Limits {
                connect: options.timeout,
                first_byte: options.timeout,
                idle: options.timeout,
                total: None,
            },
            retry: options.retry,
            notices,
            user_agent: agent,
            chosen_as,
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

    /// The address of the API, such as `https://api.us1.alteryxcloud.com`, and that of the platform, which
    /// serves `/v4/…`, `/svc-workflow/…` and the pages for a browser. [`request`](Self::request) picks one by
    /// the path.
    pub fn hosts(&self) -> [&str; 2] {
        let hosts = &self.settings().hosts;
        [hosts.api(), hosts.platform()]
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
        self.inner.notices.remark(pause > Duration::from_secs(1), text);
        // A signal that is held ends the wait.
        let start = Instant::now();
        while let Some(left) = pause.checked_sub(start.elapsed())
            && !SignalGuard::is_pending()
        {
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    /// The path with the number of the current workspace in it.
    pub(crate) fn fill_in(&self, path: &str) -> Result<String> {
        if !path.contains(WORKSPACE) {
            return Ok(path.to_owned());
        }
        let id = match self.inner.workspace.get() {
            Some(id) => id,
            None => {
                let (url, text) = self.request(Method::GET, CURRENT_WORKSPACE).text()?;
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

/// What the program and this library are called in `User-Agent`; `program` is `name/version`.
pub(super) fn user_agent(program: &str) -> String {
    format!("{program} aac-auth/{}", env!("CARGO_PKG_VERSION"))
}
