//! The requests that have arrived.

use std::collections::VecDeque;

use axum::http::request::Parts;

/// How many requests are kept.
const MAX_REQUESTS: usize = 10_000;
/// How much of each body is kept, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of its connection, from 1.
    pub connection: u64,
    /// GET, POST …
    pub method: String,
    /// The path with the query, as sent.
    pub path: String,
    /// Names in lower case, and values, in the order received. Bytes that are not UTF-8 are
    /// replaced.
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body.
    pub body: Vec<u8>,
    /// The length of the body in bytes; while it is being sent, how much has arrived.
    pub body_length: u64,
}

impl Request {
    /// A request without its body.
    fn new(connection: u64, head: &Parts) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter();
        Self {
            connection,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: Vec::new(),
            body_length: 0,
        }
    }

    fn extend_body(&mut self, data: &[u8]) {
        let room = MAX_BODY - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.body_length += data.len() as u64;
    }

    /// The first header of that name. The name must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    kept: VecDeque<Request>,
    /// How many older requests were dropped.
    dropped: u64,
}

impl Requests {
    /// Records a request and what has arrived of its body. Returns its number.
    pub(crate) fn record(&mut self, connection: u64, head: &Parts, body: &[u8]) -> u64 {
        if self.kept.len() == MAX_REQUESTS {
            self.kept.pop_front();
            self.dropped += 1;
        }
        let mut request = Request::new(connection, head);
        request.extend_body(body);
        self.kept.push_back(request);
        self.dropped + self.kept.len() as u64 - 1
    }

    /// Records that more of the body of a request has arrived.
    pub(crate) fn extend_body(&mut self, number: u64, data: &[u8]) {
        let index = number.checked_sub(self.dropped);
        if let Some(request) = index.and_then(|index| self.kept.get_mut(index as usize)) {
            request.extend_body(data);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.kept.iter()
    }
}
