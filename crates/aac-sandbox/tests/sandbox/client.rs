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

pub(crate) struct Client<'a> {
    sandbox: &'a Sandbox,
    agent: Agent,
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
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The pair in a response of the token endpoint.
    pub(crate) fn tokens(&self) -> Tokens {
        assert_eq!(self.status, 200, "{self:?}");
        let json = self.json();
        let text = |name: &str| json[name].as_str().expect("a token").to_owned();
        Tokens { access_token: text("access_token"), refresh_token: text("refresh_token") }
    }
}

impl<'a> Client<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(LONG));
        Self { sandbox, agent: config.build().into() }
    }

    /// GET with all headers that the gateway requires.
    pub(crate) fn get(&self, path: &str, access_token: &str) -> Response {
        let request = self
            .agent
            .get(format!("{}{path}", self.sandbox.url()))
            .header("Authorization", format!("Bearer {access_token}"))
            .header("x-api-project-id", self.sandbox.project_id());
        response(request.call()).expect("a response")
    }

    /// GET with these headers and no others.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.agent.get(format!("{}{path}", self.sandbox.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        response(request.call()).expect("a response")
    }

    pub(crate) fn post(&self, path: &str, access_token: &str, body: &[u8]) -> Response {
        let request = self
            .agent
            .post(format!("{}{path}", self.sandbox.url()))
            .header("Authorization", format!("Bearer {access_token}"))
            .header("x-api-project-id", self.sandbox.project_id());
        response(request.send(body)).expect("a response")
    }

    /// Any method, with all headers that the gateway requires and these.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        access_token: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.sandbox.url()))
            .header("Authorization", format!("Bearer {access_token}"))
            .header("x-api-project-id", self.sandbox.project_id());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        response(self.agent.run(request.body(body).expect("a request"))).expect("a response")
    }

    /// The same with JSON.
    pub(crate) fn send_json(
        &self,
        method: &str,
        path: &str,
        access_token: &str,
        body: &str,
    ) -> Response {
        let headers = [("Content-Type", "application/json")];
        self.send(method, path, access_token, &headers, body.as_bytes())
    }

    /// A valid refresh.
    pub(crate) fn refresh(&self, refresh_token: &str) -> Response {
        self.try_refresh(refresh_token).expect("a response")
    }

    pub(crate) fn try_refresh(&self, refresh_token: &str) -> Result<Response, ureq::Error> {
        let url = format!("{}/token", self.sandbox.issuer());
        response(self.agent.post(url).send_form([
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", self.sandbox.client_id()),
        ]))
    }

    /// A request to the token endpoint with these headers and this body.
    pub(crate) fn token(&self, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = self.agent.post(format!("{}/as/token", self.sandbox.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        response(request.send(body)).expect("a response")
    }
}

pub(crate) fn response(
    result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Response, ureq::Error> {
    let mut response = result?;
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
    Ok(Response {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
        bytes: body,
    })
}

pub(crate) fn start(options: Options) -> Sandbox {
    Sandbox::start(options).expect("a sandbox")
}

/// The bytes of a request for a refresh.
pub(crate) fn raw_refresh(sandbox: &Sandbox, refresh_token: &str) -> String {
    let body = format!(
        "grant_type=refresh_token&refresh_token={refresh_token}&client_id={}",
        sandbox.client_id()
    );
    format!(
        "POST /as/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    )
}

/// The bytes of a request for the workspace.
pub(crate) fn raw_get(sandbox: &Sandbox, access_token: &str) -> String {
    format!(
        "GET /iam/v1/workspaces/current HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {access_token}\r\nx-api-project-id: {}\r\n\r\n",
        sandbox.project_id()
    )
}

/// Sends bytes over a new connection.
pub(crate) fn send_raw(sandbox: &Sandbox, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", sandbox.port())).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// Everything until the connection ends.
pub(crate) fn read_raw(mut stream: TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One part of a JWT, decoded.
pub(crate) fn jwt_part(token: &str, index: usize) -> String {
    let part = token.split('.').nth(index).expect("a part");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
    String::from_utf8(bytes).expect("UTF-8")
}
