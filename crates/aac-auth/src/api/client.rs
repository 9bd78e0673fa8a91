//! The client: what all calls of a program share.

use crate::api::json_text;
use crate::api::request::Request;
use crate::api::response::not_json;
use crate::api::rows::Rows;
use crate::config::options::ConnectionOptions;
use crate::config::settings::Settings;
use crate::error::notices::Notices;
use crate::error::{Error, Result};
use crate::http::retry::backoff;
use crate::http::transport::{Limits, Wire};
use crate::rotation::cancellation::Gate;
use crate::rotation::{Fresh, Rotation};
use crate::tokens::secret::AccessToken;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use ureq::http::{HeaderValue, Method};

/// Stands for the current workspace's number in a path.
pub(crate) const WORKSPACE: &str = "{workspaceId}";

/// A connection to Alteryx Cloud. Threads may share it; a clone is the same connection.
///
/// Each call uses the access token in creds.json, renewed first if it is about to end.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rotation: Rotation,
    wire: Wire,
    limits: Limits,
    retry: u32,
    holds_signals: bool,
    notices: Notices,
    user_agent: HeaderValue,
    workspace: OnceLock<String>,
}

impl Client {
    /// Finds and checks aac_url.txt and client_id.txt. Nothing is sent yet; creds.json is read by
    /// each call.
    ///
    /// `program` names the caller in the `User-Agent` header, for example `get_workspace/0.1.0`.
    ///
    /// # Errors
    ///
    /// [`Error::NoFolder`], [`Error::Placeholders`] and [`Error::File`], each with the file's name.
    ///
    /// ```no_run
    /// use aac_auth::{Client, ConnectionOptions};
    ///
    /// let client = Client::open(&ConnectionOptions::default(), "demo/1.0")?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn open(options: &ConnectionOptions, program: &str) -> Result<Self> {
        let dir = options.dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        let settings = Settings::load(dir)?;
        let user_agent = format!("{program} aac-auth/{}", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&user_agent).map_err(|_| Error::Request {
            what: format!("{program:?} cannot be the name of a program"),
        })?;
        let notices = Notices { verbose: options.verbose };
        notices.step(format_args!("the tokens are in {}", settings.creds.display()));
        let inner = Inner {
            rotation: Rotation::new(settings, notices, options.hold_signals),
            wire: Wire::new(&user_agent),
            limits: Limits {
                connect: options.timeout,
                first_byte: options.timeout,
                pause: options.timeout,
                total: None,
            },
            retry: options.retry,
            holds_signals: options.hold_signals,
            notices,
            user_agent: agent,
            workspace: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a request for a path such as `/iam/v1/workspaces/current`, with or without a query.
    ///
    /// The path also picks the host: `/v4/…` and `/svc-workflow/…` are served by the platform host,
    /// all else by the API host. A whole URL is taken if it is of one of these two. `{workspaceId}`
    /// in it stands for the number of the current workspace. Spaces and characters outside ASCII are
    /// percent-encoded; what is encoded already stays.
    ///
    /// ```no_run
    /// use aac_auth::Method;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// let plan = client
    ///     .request(Method::POST, "/plans/v1/plans")
    ///     .json(&serde_json::json!({ "name": "nightly" }))
    ///     .send()?
    ///     .json()?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        Request::new(self, method, path)
    }

    /// `GET` of a path, and the JSON of the answer.
    ///
    /// # Errors
    ///
    /// Every [`Error`]; [`Error::Http`] for an answer other than 2xx.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let workspace = client.get("/iam/v1/workspaces/current")?;
    /// println!("{}", workspace["name"]);
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn get(&self, path: &str) -> Result<Value> {
        let (url, text) = self.request(Method::GET, path).text()?;
        json_text::parse(&text).map_err(|error| not_json(Method::GET.to_string(), url, &error))
    }

    /// The rows of a list, however many pages it has: of any endpoint that answers `{"data": […]}`, an
    /// object with one array of another name, or an array, and takes `limit` and `offset`.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// for user in client.rows("/iam/v1/workspaces/{workspaceId}/people") {
    ///     println!("{}", user?["email"]);
    /// }
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn rows(&self, path: &str) -> Rows {
        self.request(Method::GET, path).rows()
    }

    /// The number of the workspace that the tokens are for, asked for once.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let path = format!("/iam/v1/workspaces/{}/admins", client.workspace_id()?);
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn workspace_id(&self) -> Result<&str> {
        const CURRENT: &str = "/iam/v1/workspaces/current";
        if let Some(id) = self.inner.workspace.get() {
            return Ok(id);
        }
        let id = match &self.get(CURRENT)?["id"] {
            Value::Number(id) => id.to_string(),
            _ => {
                let url = self.settings().hosts.url(CURRENT).unwrap_or_default();
                let what = "the workspace in the answer has no number for an id".to_owned();
                return Err(Error::Answer { method: Method::GET.to_string(), url, what });
            }
        };
        Ok(self.inner.workspace.get_or_init(|| id))
    }

    /// An access token that is good for a call, renewed first if it is about to end.
    ///
    /// # Errors
    ///
    /// What is wrong with creds.json, or why the tokens could not be renewed.
    ///
    /// ```no_run
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    /// let token = client.access_token()?;
    /// aac_auth::print_line(token.expose())?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn access_token(&self) -> Result<AccessToken> {
        Ok(self.fresh(&Gate::default(), None)?.token)
    }

    pub(crate) fn settings(&self) -> &Settings {
        self.inner.rotation.settings()
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.inner.wire
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(crate) fn retry(&self) -> u32 {
        self.inner.retry
    }

    pub(crate) fn holds_signals(&self) -> bool {
        self.inner.holds_signals
    }

    pub(crate) fn notices(&self) -> Notices {
        self.inner.notices
    }

    pub(crate) fn user_agent(&self) -> HeaderValue {
        self.inner.user_agent.clone()
    }

    /// A token to make a call with: any that is fresh, or another than the one that was rejected.
    pub(crate) fn fresh(&self, gate: &Gate, rejected: Option<&AccessToken>) -> Result<Fresh> {
        let Inner { rotation, wire, .. } = &*self.inner;
        match rejected {
            None => rotation.token(wire, gate),
            Some(token) => rotation.token_instead_of(token, wire, gate),
        }
    }

    /// Waits before another try: as long as the server asks for, or longer each time.
    pub(crate) fn pause(&self, tries: &mut u32, wait: Option<Duration>, why: &str) {
        let pause = wait.unwrap_or_else(|| backoff(*tries));
        *tries += 1;
        let seconds = pause.as_secs_f64();
        let text = format_args!("{why}; trying again in {seconds:.1} s");
        // Someone at a terminal wonders after a second.
        match pause > Duration::from_secs(1) {
            true => self.inner.notices.remark(text),
            false => self.inner.notices.step(text),
        }
        thread::sleep(pause);
    }

    /// The path with the number of the current workspace in it.
    pub(crate) fn fill_in(&self, path: &str) -> Result<String> {
        match path.contains(WORKSPACE) {
            true => Ok(path.replace(WORKSPACE, self.workspace_id()?)),
            false => Ok(path.to_owned()),
        }
    }
}
