//! A simple HTTP client for the sandbox.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aac_sandbox::{Options, Sandbox, Tokens};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::Value;
use ureq::Agent;
use ureq::http::HeaderMap;

/// Longer than any request takes that is meant to succeed.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) const CURRENT: &str = "/iam/v1/workspaces/current";

pub(crate) struct Client<'a> {
    sandbox: &'a Sandbox,
    agent: Agent,
    /// What it calls the API with.
    pub(crate) token: String,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The raw body.
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status, and the name in an error of the platform.
    pub(crate) fn error(&self) -> (u16, String) {
        let name = &self.json()["exception"]["name"];
        (self.status, name.as_str().unwrap_or_default().to_owned())
    }

    /// The pair in a response of the token endpoint.
    pub(crate) fn tokens(&self) -> Tokens {
        let text = |name: &str| self.json()[name].as_str().unwrap().to_owned();
        Tokens { access_token: text("access_token"), refresh_token: text("refresh_token") }
    }
}

impl<'a> Client<'a> {
    /// With a fresh pair.
    pub(crate) fn new(sandbox: &'a Sandbox) -> Self {
        let agent = agent(Some(LONG));
        Self { sandbox, agent, token: sandbox.issue().access_token }
    }

    pub(crate) fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Response, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body.as_ref()).unwrap())?;
        let bytes = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
        Ok(Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        })
    }

    /// A request to the cloud with these headers and no others.
    pub(crate) fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("{}{path}", self.sandbox.url());
        self.try_send(method, &url, headers, "").unwrap()
    }

    /// A request with what the gateway requires, and this content type unless it is empty.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Response {
        let url = format!("{}{path}", self.sandbox.url());
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("x-api-project-id", self.sandbox.project_id()),
            ("Content-Type", content_type),
        ];
        let sent = if content_type.is_empty() { &headers[..2] } else { &headers };
        self.try_send(method, &url, sent, body).unwrap()
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Response {
        self.send(method, path, "application/json", body)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, "", "")
    }

    /// A valid refresh.
    pub(crate) fn refresh(&self, refresh_token: &str) -> Response {
        self.try_refresh(refresh_token).unwrap()
    }

    pub(crate) fn try_refresh(&self, refresh_token: &str) -> Result<Response, ureq::Error> {
        let url = format!("{}/token", self.sandbox.issuer());
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        self.try_send("POST", &url, &headers, form(self.sandbox, refresh_token))
    }
}

pub(crate) fn agent(timeout: Option<Duration>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .max_redirects(0)
        .timeout_global(timeout);
    config.build().into()
}

pub(crate) fn start(options: Options) -> Sandbox {
    Sandbox::start(options).unwrap()
}

/// The body of a request for a refresh.
pub(crate) fn form(sandbox: &Sandbox, refresh_token: &str) -> String {
    let id = sandbox.client_id();
    format!("grant_type=refresh_token&refresh_token={refresh_token}&client_id={id}")
}

/// Sends a request for a refresh over a new connection, which this returns.
pub(crate) fn begin_refresh(sandbox: &Sandbox, refresh_token: &str) -> TcpStream {
    let body = form(sandbox, refresh_token);
    begin(
        sandbox,
        &format!(
            "POST /as/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// Sends bytes over a new connection.
pub(crate) fn begin(sandbox: &Sandbox, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", sandbox.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Everything until the connection ends.
pub(crate) fn read(mut stream: TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One part of a JWT, decoded.
pub(crate) fn jwt_part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The names of an object's members, in their order.
pub(crate) fn keys(object: &Value) -> String {
    let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.join(" ")
}
