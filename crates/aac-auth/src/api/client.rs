//! The client that all calls of a program share.

use crate::api::connection::Connection;
use crate::api::json_text;
use crate::api::request::Request;
use crate::api::response::not_json;
use crate::api::rows::Rows;
use crate::config::options::ConnectionOptions;
use crate::error::Result;
use crate::rotation::cancellation::Cancellation;
use crate::tokens::secret::AccessToken;
use serde_json::Value;
use ureq::http::Method;

/// A connection to Alteryx Cloud. Threads may share it; a clone is the same connection.
///
/// Each call uses the access token in creds.json, refreshed first if it is about to expire.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
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
        Ok(Self { connection: Connection::open(options, program)? })
    }

    /// Starts a request for a path such as `/iam/v1/workspaces/current`, with or without a query.
    ///
    /// The path also selects the host: the platform host serves `/v4/…` and `/svc-workflow/…`, the API
    /// host everything else. A whole URL is accepted if it is on one of these two. `{workspaceId}` is
    /// replaced by the number of the current workspace. Spaces and characters outside ASCII are
    /// percent-encoded; existing percent-encoding is kept.
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
        Request::new(&self.connection, method, path)
    }

    /// Sends a `GET` and returns the JSON of the response.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`](crate::ErrorKind); [`Http`](crate::ErrorKind::Http) for a response other than 2xx.
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

    /// The rows of a list of any number of pages. The endpoint must take `limit` and `offset`, and return
    /// `{"data": […]}`, an object with one array of another name, or an array.
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
        Ok(self.connection.fresh(&Cancellation::default(), None)?.token)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}
