//! The way of a request through the server: record it, apply a fault, handle it, log it.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Uri;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;

use super::inject::{self, Outcome};
use super::{authorization, gateway};
use crate::faults::{FaultKind, Target};
use crate::http::body::{self, Body};
use crate::http::responses::with_request_id;
use crate::http::{Note, Response};
use crate::options::Options;
use crate::routes;
use crate::state::Shared;
use crate::vault::{Operation, respond};
use crate::workspace::Workspace;

/// The largest body of a request, in bytes: a package of 1 GiB, the largest, and the form around it.
const MAX_BODY: usize = (1 << 30) + (1 << 20);

/// What the requests of a connection share.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts from 1.
    pub(super) number: u64,
    /// Whether it leads to the vault.
    pub(super) is_vaults: bool,
    /// Whether it is to end with a reset (RST) instead of an orderly close (FIN).
    pub(super) reset: AtomicBool,
}

/// Serves requests.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    workspace: Workspace,
    latency: Duration,
    project_id_check: bool,
    quiet: bool,
}

impl Server {
    pub(crate) fn new(options: &Options, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            workspace: Workspace::new(options),
            latency: options.latency,
            project_id_check: options.project_id_check,
            quiet: options.quiet,
        })
    }

    /// Counts a connection and returns its number.
    pub(super) fn count_connection(&self, is_vaults: bool) -> u64 {
        let mut state = self.shared.state();
        if is_vaults {
            return state.vault_log.count_connection();
        }
        state.counters.connections += 1;
        state.log.count_connection()
    }

    /// Serves a request. An error makes hyper drop the connection without a response.
    pub(super) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: hyper::Request<Incoming>,
    ) -> io::Result<hyper::Response<Body>> {
        let (head, body) = request.into_parts();
        let operation =
            connection.is_vaults.then(|| respond::operation(&head.method, head.uri.path()));
        let target = match operation {
            Some(operation) => respond::target(operation),
            None => Target::of(&head.method, head.uri.path()),
        };
        // Of a request that is too large, the body is not read.
        let refused = self.shared.state().faults.peek(target) == Some(&FaultKind::TooLarge);
        let body = match refused {
            true => Bytes::new(),
            false => body::read(body, MAX_BODY).await?,
        };
        let fault = self.record(&connection, operation, target, &head, &body);

        // hyper drops this future when the client leaves. A separate task goes on: a server that
        // has begun to rotate a token finishes, whether or not the client waits.
        let handled = Arc::clone(&self).handle(target, operation, head, body, fault);
        let outcome = tokio::spawn(handled).await?;

        if target == Target::Token {
            self.shared.responses.pass().await;
        }
        if let Some(operation) = operation {
            self.shared.vault_responses(operation).pass().await;
        }
        match outcome {
            Outcome::Respond(response) => Ok(response),
            Outcome::RespondLate(delay, response) => {
                tokio::time::sleep(delay).await;
                Ok(response)
            }
            Outcome::Reset => {
                connection.reset.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Outcome::Hang => std::future::pending().await,
        }
    }

    /// Counts and records a request. Returns the fault that applies to it.
    fn record(
        &self,
        connection: &Connection,
        operation: Option<Operation>,
        target: Target,
        head: &Parts,
        body: &[u8],
    ) -> Option<FaultKind> {
        let mut state = self.shared.state();
        match (operation, target) {
            (Some(operation), _) => state.vault.count(operation),
            (None, Target::Token) => state.counters.token_requests += 1,
            (None, _) => state.counters.api_calls += 1,
        }
        let log = if connection.is_vaults { &mut state.vault_log } else { &mut state.log };
        log.record(connection.number, operation, head, body);
        let fault = state.faults.next(target);
        state.counters.faults += u64::from(fault.is_some());
        fault
    }

    async fn handle(
        self: Arc<Self>,
        target: Target,
        operation: Option<Operation>,
        head: Parts,
        body: Bytes,
        fault: Option<FaultKind>,
    ) -> Outcome {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if target == Target::Token {
            self.shared.arrivals.pass().await;
        }
        if let Some(operation) = operation {
            self.shared.vault_arrivals(operation).pass().await;
        }

        let line = format!("{} {}", head.method, shown(&head.uri));
        let mut note = None;
        let now = self.shared.state().now();
        let outcome = match fault.as_ref().and_then(|fault| inject::before(fault, target, now)) {
            Some(outcome) => outcome,
            None => {
                let fault = fault.as_ref();
                let response = match target {
                    Target::Token => authorization::serve(&self.shared, &head, &body, fault),
                    Target::Api | Target::Run | Target::People => {
                        self.call_api(&head, &body, fault)
                    }
                    _ => respond::serve(&self.shared, &head, &body, fault),
                };
                note = response.extensions().get::<Note>().cloned();
                match fault {
                    Some(fault) => inject::after(fault, response),
                    None => Outcome::whole(response),
                }
            }
        };
        self.log(line, &outcome, note, fault.as_ref());
        let state = self.shared.state();
        let now = if target.is_vault() { state.vault.now() } else { state.now() };
        outcome.dated(now.http_date())
    }

    fn call_api(&self, head: &Parts, body: &[u8], fault: Option<&FaultKind>) -> Response {
        let shared = &self.shared;
        let rejected = gateway::reject(shared, self.project_id_check, head, body);
        rejected.unwrap_or_else(|| {
            with_request_id(routes::serve(shared, &self.workspace, head, body, fault))
        })
    }

    /// One line on stderr for each request, so that people can watch a rotation.
    fn log(
        &self,
        mut line: String,
        outcome: &Outcome,
        note: Option<Note>,
        fault: Option<&FaultKind>,
    ) {
        if self.quiet {
            return;
        }
        line += &match outcome {
            Outcome::Respond(response) | Outcome::RespondLate(_, response) => {
                format!(" → {}", response.status().as_u16())
            }
            Outcome::Reset => " → connection reset".to_owned(),
            Outcome::Hang => " → no response".to_owned(),
        };
        if let Some(Note(note)) = note {
            line = format!("{line} {note}");
        }
        if let Some(fault) = fault {
            line = format!("{line} [fault {fault}]");
        }
        // The server goes on if stderr is closed.
        let _ = writeln!(io::stderr().lock(), "sandbox: {line}");
    }
}

/// The path and query of a request, shortened, with control characters escaped.
fn shown(uri: &Uri) -> String {
    const WIDTH: usize = 200;
    let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
    let mut shown = String::new();
    for c in target.chars() {
        let plain = c.is_ascii_graphic();
        let text = if plain { c.to_string() } else { c.escape_unicode().to_string() };
        if shown.len() + text.len() > WIDTH {
            return shown + "…";
        }
        shown += &text;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_as_received_but_shortened() {
        let shown = |text: &str| shown(&text.parse().expect(text));
        assert_eq!(shown("/a%20b?c=%1b%5B31m&d"), "/a%20b?c=%1b%5B31m&d");
        assert_eq!(shown("http://localhost/a?b"), "/a?b");
        assert_eq!(shown("/ž\u{9b}31m"), r"/\u{17e}\u{9b}31m");
        let long = format!("/{}", "x".repeat(199));
        assert_eq!(shown(&long), long);
        assert_eq!(shown(&format!("{long}y")), format!("{long}…"));
    }
}
