//! The requests to the vault that have arrived, without their secrets.

use std::collections::VecDeque;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde_json::Value;

use crate::faults::FaultKind;
use crate::kv::Operation;

/// How many requests are kept.
const MAX_REQUESTS: usize = 10_000;

/// A request to the vault. It contains no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRequest {
    /// The number of its connection, from 1.
    pub connection: u64,
    /// What it is about.
    pub operation: Operation,
    /// GET, POST …
    pub method: String,
    /// The path with the query, as sent.
    pub path: String,
    /// Names in lower case, and values, in the order received. The value of a header with a token
    /// is `(redacted)`.
    pub headers: Vec<(String, String)>,
    /// The version that a write expects.
    pub cas: Option<i64>,
    /// The keys of the document that it writes, in the order sent.
    pub keys: Vec<String>,
    /// The fault that it met.
    pub fault: Option<FaultKind>,
    /// The status of the response; `None` if there is none yet, or none at all.
    pub status: Option<u16>,
}

impl VaultRequest {
    /// The first header of that name. The name must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct VaultLog {
    connections: u64,
    kept: VecDeque<VaultRequest>,
    /// How many older requests were dropped.
    dropped: u64,
}

impl VaultLog {
    /// Counts a connection and returns its number.
    pub(crate) fn count_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Records a request, and returns its number.
    pub(crate) fn record(
        &mut self,
        connection: u64,
        operation: Operation,
        head: &Parts,
        body: &[u8],
        fault: Option<FaultKind>,
    ) -> u64 {
        if self.kept.len() == MAX_REQUESTS {
            self.kept.pop_front();
            self.dropped += 1;
        }
        let headers = head.headers.iter().map(|(name, value)| {
            let is_secret = name == AUTHORIZATION || name == "x-vault-token";
            let value = match is_secret {
                true => "(redacted)".to_owned(),
                false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            };
            (name.to_string(), value)
        });
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let document = body["data"].as_object();
        self.kept.push_back(VaultRequest {
            connection,
            operation,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: headers.collect(),
            cas: body["options"]["cas"].as_i64(),
            keys: document.map(|data| data.keys().cloned().collect()).unwrap_or_default(),
            fault,
            status: None,
        });
        self.dropped + self.kept.len() as u64 - 1
    }

    /// Records the status of the response to a request.
    pub(crate) fn finish(&mut self, number: u64, status: u16) {
        let index = number.checked_sub(self.dropped);
        if let Some(request) = index.and_then(|index| self.kept.get_mut(index as usize)) {
            request.status = Some(status);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &VaultRequest> {
        self.kept.iter()
    }
}
