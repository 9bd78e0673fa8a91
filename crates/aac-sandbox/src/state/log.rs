//! The requests that have arrived.

use std::collections::VecDeque;

use hyper::http::request::Parts;

use crate::vault::engine::Operation;

/// How many requests are kept.
const MAX_REQUESTS: usize = 10_000;
/// How much of each body is kept, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of its connection, from 1.
    pub connection: u64,
    /// What it does in the vault; `None` if it came to the cloud.
    pub operation: Option<Operation>,
    /// GET, POST …
    pub method: String,
    /// The path with the query, as sent.
    pub path: String,
    /// Names in lower case, and values, in the order received. Bytes that are not UTF-8 are
    /// replaced, and so are the tokens for the vault: by `(redacted)`.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body; none of it if it came to the vault, since it holds tokens.
    pub body: Vec<u8>,
}

impl Request {
    fn new(connection: u64, operation: Option<Operation>, head: &Parts, body: &[u8]) -> Self {
        let is_vaults = operation.is_some();
        let text = |name: &str, bytes: &[u8]| match name {
            "authorization" | "x-vault-token" if is_vaults => "(redacted)".to_owned(),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        let headers = head.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), text(name.as_str(), value.as_bytes())))
            .collect();
        Self {
            connection,
            operation,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers,
            body: if is_vaults { Vec::new() } else { body[..body.len().min(MAX_BODY)].to_vec() },
        }
    }

    /// The first header of that name. The name must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// The connections to one server, and the last requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    connections: u64,
    kept: VecDeque<Request>,
}

impl Log {
    /// Counts a connection and returns its number.
    pub(crate) fn count_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Records a request.
    pub(crate) fn record(
        &mut self,
        connection: u64,
        operation: Option<Operation>,
        head: &Parts,
        body: &[u8],
    ) {
        if self.kept.len() == MAX_REQUESTS {
            self.kept.pop_front();
        }
        self.kept.push_back(Request::new(connection, operation, head, body));
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.kept.iter().cloned().collect()
    }
}
