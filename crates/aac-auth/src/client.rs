//! The client: one call to the API with a token that is fresh, tried again where that is safe.

use crate::envelope;
use crate::error::{Error, HttpError, Meaning, Result, Trouble, status_line};
use crate::notices::Notices;
use crate::options::ConnectionOptions;
use crate::retry::{backoff, retry_after};
use crate::rotation::{Fresh, Rotation};
use crate::secret::{AccessToken, presentable};
use crate::settings::Settings;
use crate::wire::{Limits, Wire, io_trouble};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Read;
use std::thread;
use std::time::Duration;
use ureq::Body;
use ureq::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// The most of an error body that is kept, in bytes.
const ERROR_BODY: u64 = 1024 * 1024;
/// The most of an answer that is taken as one value, in bytes.
const JSON_BODY: u64 = 256 * 1024 * 1024;
/// The longest wait that is obeyed between two tries; for a longer one the user is told.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to Alteryx Cloud. Threads may share it (`&Client`).
///
/// Each call uses the access token in creds.json, renewed first if it is about to end.
#[derive(Debug)]
pub struct Client {
    rotation: Rotation,
    wire: Wire,
    limits: Limits,
    retry: u32,
    notices: Notices,
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
        if HeaderValue::from_str(&user_agent).is_err() {
            return Err(Error::Request {
                what: format!("{program:?} cannot be the name of a program"),
            });
        }
        let notices = Notices { verbose: options.verbose };
        notices.step(format_args!("the tokens are in {}", settings.creds.display()));
        Ok(Self {
            rotation: Rotation::new(settings, notices, options.hold_signals),
            wire: Wire::new(&user_agent),
            limits: Limits {
                connect: options.timeout,
                first_byte: options.timeout,
                pause: options.timeout,
                total: None,
            },
            retry: options.retry,
            notices,
        })
    }

    /// Starts a request for a path such as `/iam/v1/workspaces/current`, with or without a query.
    ///
    /// The path also picks the host: `/v4/…` and `/svc-workflow/…` are served by the platform host,
    /// all else by the API host.
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
        Request {
            client: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            invalid: None,
        }
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
        self.request(Method::GET, path).send()?.json()
    }

    /// An access token that is good for a call, renewed first if it is about to end.
    ///
    /// # Errors
    ///
    /// What is wrong with creds.json, or why the tokens could not be renewed.
    pub fn access_token(&self) -> Result<AccessToken> {
        Ok(self.rotation.token(&self.wire)?.token)
    }

    fn project_id(&self) -> &str {
        &self.rotation.settings().project_id
    }
}

/// A request that is being put together.
#[derive(Debug)]
pub struct Request<'client> {
    client: &'client Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    /// The first thing that cannot be sent, told by [`send`](Self::send).
    invalid: Option<String>,
}

impl Request<'_> {
    /// Adds a parameter to the query of the URL, encoded as in a form; brackets stay as they are.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        for (separator, text) in [("", name), ("=", value)] {
            self.path.push_str(separator);
            for byte in text.bytes() {
                match byte {
                    // The platform wants `dateFilter[createdAt][gte]` as it is.
                    b'[' | b']' | b'-' | b'.' | b'_' | b'~' => self.path.push(char::from(byte)),
                    byte if byte.is_ascii_alphanumeric() => self.path.push(char::from(byte)),
                    byte => {
                        let _ = write!(self.path, "%{byte:02X}");
                    }
                }
            }
        }
        self
    }

    /// Adds a header, in place of one that the client would send. `Authorization` is the client's own.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(header::AUTHORIZATION), _) => {
                self.invalid.get_or_insert_with(|| {
                    "the Authorization header is the client's own".to_owned()
                });
            }
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => {
                let name = presentable(name, &[], 40);
                self.invalid.get_or_insert_with(|| {
                    format!("the header {name:?} or its value cannot be sent")
                });
            }
        }
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    /// Sets a body of any media type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// Sends the request, and waits for the headers of the answer.
    ///
    /// Tried again: any request after 429, and GET and HEAD after 502, 503, 504 or a connection that
    /// could not be made or broke. After a 401 the tokens are renewed, once.
    ///
    /// # Errors
    ///
    /// Every [`Error`]; [`Error::Http`] for an answer other than 2xx, which has its body.
    pub fn send(self) -> Result<Response> {
        if let Some(what) = self.invalid {
            return Err(Error::Request { what });
        }
        let client = self.client;
        let uri = uri(client, &self.path)?;
        let mut fresh = client.rotation.token(&client.wire)?;
        let url = presentable_url(&uri, &[fresh.token.expose(), client.project_id()]);
        let call = format!("{} {url}", self.method);
        let is_safe = matches!(self.method, Method::GET | Method::HEAD);
        let mut tries = 0;
        loop {
            let mut builder = http::Request::builder().method(self.method.clone()).uri(uri.clone());
            if let Some(headers) = builder.headers_mut() {
                *headers = headers_of(client, &fresh.token, &self.headers)?;
            }
            client.notices.step(&call);
            let sent = match &self.body {
                Some(body) => {
                    builder.body(&body[..]).map(|request| client.wire.send(request, &client.limits))
                }
                None => builder.body(()).map(|request| client.wire.send(request, &client.limits)),
            };
            let answer = sent.unwrap_or_else(|error| Err(Trouble::Broken(error.to_string())));
            let response = match answer {
                Ok(response) if response.status().is_success() => {
                    client.notices.step(status_line(response.status().as_u16()));
                    return Ok(Response { method: self.method, url, response });
                }
                Ok(response) => response,
                Err(trouble) => {
                    // A server that did not answer in time has had its chance.
                    let is_final = trouble.is_lasting() || matches!(trouble, Trouble::Timeout(_));
                    if !is_safe || is_final || tries == client.retry {
                        return Err(Error::Transport {
                            method: self.method.to_string(),
                            url,
                            trouble,
                        });
                    }
                    client.pause(&mut tries, None, &trouble.to_string());
                    fresh = fresh.or_newer(client)?;
                    continue;
                }
            };
            let error = http_error(&self.method, &uri, response, &fresh.token, client.project_id());
            if error.meaning == Meaning::Unauthorized && !fresh.is_new {
                client.notices.step("the API does not accept the access token; renewing it");
                fresh = client.rotation.token_instead_of(&fresh.token, &client.wire)?;
                // Whatever comes now, there is no better token.
                fresh.is_new = true;
                continue;
            }
            let may_retry = match error.meaning {
                Meaning::Throttled => true,
                _ => is_safe && matches!(error.status, 502..=504),
            };
            if !may_retry
                || tries == client.retry
                || error.retry_after.is_some_and(|wait| wait > PATIENCE)
            {
                return Err(Error::Http(Box::new(error)));
            }
            client.pause(&mut tries, error.retry_after, &error.to_string());
            fresh = fresh.or_newer(client)?;
        }
    }
}

impl Fresh {
    /// The same token, unless the pause before another try was longer than it had left.
    fn or_newer(self, client: &Client) -> Result<Self> {
        let now = client.rotation.token(&client.wire)?;
        Ok(if now.token == self.token { self } else { now })
    }
}

impl Client {
    fn pause(&self, tries: &mut u32, wait: Option<Duration>, why: &str) {
        let pause = wait.unwrap_or_else(|| backoff(*tries));
        *tries += 1;
        self.notices.step(format_args!("{why}; trying again in {:.1} s", pause.as_secs_f64()));
        thread::sleep(pause);
    }
}

/// The URL of a path, which can lead to no other host.
fn uri(client: &Client, path: &str) -> Result<Uri> {
    let refused = |why: &str| Error::Request {
        what: format!("the path {:?} {why}", presentable(path, &[], 100)),
    };
    if !path.starts_with('/') {
        return Err(refused("does not begin with /"));
    }
    if path.contains('#') {
        return Err(refused("has a # in it, which must be written %23"));
    }
    let url = client.rotation.settings().hosts.url(path);
    url.parse().map_err(|_| refused("has blanks or characters in it that must be percent-encoded"))
}

fn headers_of(client: &Client, token: &AccessToken, own: &HeaderMap) -> Result<HeaderMap> {
    let unusable = |_| Error::Request { what: "a header cannot be sent".to_owned() };
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let project_id = HeaderValue::from_str(client.project_id()).map_err(unusable)?;
    headers.insert("x-api-project-id", project_id.clone());
    // Its name until April 2025.
    headers.insert("x-client-id", project_id);
    for name in own.keys() {
        headers.remove(name);
    }
    for (name, value) in own {
        headers.append(name, value.clone());
    }
    let mut bearer =
        HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(unusable)?;
    bearer.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, bearer);
    Ok(headers)
}

fn http_error(
    method: &Method,
    uri: &Uri,
    mut response: http::Response<Body>,
    token: &AccessToken,
    project_id: &str,
) -> HttpError {
    let status = response.status().as_u16();
    let mut body = Vec::new();
    // A body that is cut off still says something; the status counts.
    let _ = response.body_mut().as_reader().take(ERROR_BODY).read_to_end(&mut body);
    let headers = response.headers();
    let secrets = [token.expose(), project_id];
    let (message, meaning) = envelope::read(status, &body, &secrets);
    let request_id = ["x-trifacta-request-id", "x-request-id"]
        .into_iter()
        .find_map(|name| headers.get(name)?.to_str().ok())
        .map(|id| presentable(id, &secrets, 100));
    HttpError {
        method: method.to_string(),
        url: presentable_url(uri, &secrets),
        status,
        message,
        body,
        request_id,
        retry_after: retry_after(headers),
        meaning,
    }
}

/// A URL for a message. A query may hold anything.
fn presentable_url(uri: &Uri, secrets: &[&str]) -> String {
    presentable(&uri.to_string(), secrets, 500)
}

/// An answer of the API: its status is 2xx, its body is still to be read.
#[derive(Debug)]
pub struct Response {
    method: Method,
    url: String,
    response: http::Response<Body>,
}

impl Response {
    /// The status, 2xx.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body as one JSON value: keys in their order, numbers digit for digit.
    ///
    /// # Errors
    ///
    /// [`Error::Answer`] if the body is cut off, is not JSON, or is larger than 256 MiB;
    /// [`Error::Transport`] if the connection breaks.
    pub fn json(self) -> Result<Value> {
        let Self { method, url, response } = self;
        let mut body = Vec::new();
        let read = response.into_body().into_reader().take(JSON_BODY + 1).read_to_end(&mut body);
        let answer =
            |what: String| Error::Answer { method: method.to_string(), url: url.clone(), what };
        match read {
            Err(error) => Err(Error::Transport {
                method: method.to_string(),
                url,
                trouble: io_trouble(&error),
            }),
            Ok(length) if length as u64 > JSON_BODY => {
                Err(answer("the answer is larger than 256 MiB".to_owned()))
            }
            Ok(0) => Err(answer("the answer is empty, not JSON".to_owned())),
            Ok(_) => serde_json::from_slice(&body).map_err(|error| match error.is_eof() {
                true => answer("the answer is cut off".to_owned()),
                false => answer(format!("the answer is not JSON: {error}")),
            }),
        }
    }

    /// The body as it comes, of any size.
    pub fn into_reader(self) -> impl Read {
        self.response.into_body().into_reader()
    }
}
