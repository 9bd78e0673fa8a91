//! The way of a request through the server: record it, apply a fault, handle it, log it.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{self, Method, Response};
use hyper::body::{Body as _, Incoming};
use tower_service::Service as _;

use super::body::{RequestBody, Streaming};
use super::connection::Connection;
use super::inject::{self, Outcome};
use super::{authorization, gateway, vault};
use crate::faults::{FaultKind, Target};
use crate::http::body::MAX_BUFFERED;
use crate::http::responses::with_request_id;
use crate::kv::Operation;
use crate::log::{self, Note};
use crate::options::Options;
use crate::routes;
use crate::state::Shared;
use crate::workspace::Workspace;
use crate::workspace::runs::Fate;

/// A larger body, in bytes, or one of unknown length, is read as its handler needs it.
const MAX_READ_FIRST: u64 = 1024 * 1024;

/// Serves requests.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    api: Router,
    quiet: bool,
}

impl Server {
    pub(crate) fn new(options: &Options, shared: Arc<Shared>) -> Arc<Self> {
        let api = routes::router(Workspace::new(options));
        Arc::new(Self { shared, api, quiet: options.quiet })
    }

    /// Counts a connection and returns its number.
    pub(super) fn count_connection(&self, is_vaults: bool) -> u64 {
        let mut state = self.shared.state();
        if is_vaults {
            return state.vault_log.count_connection();
        }
        state.counters.connections += 1;
        state.counters.connections
    }

    /// Serves a request. An error makes hyper drop the connection without a response.
    pub(super) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: http::Request<Incoming>,
    ) -> Result<Response<Body>, NoResponse> {
        let (head, body) = request.into_parts();
        let operation =
            connection.is_vaults.then(|| vault::operation(&head.method, head.uri.path()));
        let target = match operation {
            Some(operation) => vault::target(operation),
            None => Target::of(&head.method, head.uri.path()),
        };
        let is_small = body.size_hint().upper().is_some_and(|length| length <= MAX_READ_FIRST);
        // The gateway must know whether a GET has a body.
        let reads_first = is_small
            || !Target::Api.covers(target)
            || matches!(head.method, Method::GET | Method::HEAD);
        let (body, number, fault) = if reads_first {
            let body = to_bytes(Body::new(body), MAX_BUFFERED).await.map_err(|_| NoResponse)?;
            let (number, fault) = match operation {
                Some(operation) => self.record_vault(&connection, operation, &head, &body),
                None => self.record(&connection, target, &head, &body),
            };
            (RequestBody::Buffered(body), number, fault)
        } else {
            let (number, fault) = self.record(&connection, target, &head, &[]);
            let body = Streaming::new(body, Arc::clone(&self.shared), number);
            (RequestBody::Streaming(body), number, fault)
        };

        // hyper drops this future when the client leaves. A separate task goes on: a server that
        // has begun to rotate a token finishes, whether or not the client waits.
        let handled = tokio::spawn(Arc::clone(&self).handle(target, head, body, fault));
        let mut outcome = handled.await.map_err(|_| NoResponse)?;

        if target == Target::Token {
            self.shared.responses.pass().await;
        }
        match operation {
            Some(operation) => {
                outcome = self.finish_vault(number, outcome);
                self.shared.vault_responses(operation).pass().await;
            }
            None => outcome = outcome.dated(self.shared.state().settings.now().http_date()),
        }
        match outcome {
            Outcome::Respond(response) => Ok(response),
            Outcome::RespondLate(delay, response) => {
                tokio::time::sleep(delay).await;
                Ok(response)
            }
            Outcome::Reset => {
                connection.reset();
                Err(NoResponse)
            }
            Outcome::Hang => std::future::pending().await,
        }
    }

    /// Records a request. Returns its number, and the fault that applies to it.
    fn record(
        &self,
        connection: &Connection,
        target: Target,
        head: &Parts,
        body: &[u8],
    ) -> (u64, Option<FaultKind>) {
        let mut state = self.shared.state();
        match target {
            Target::Token => state.counters.token_requests += 1,
            _ => state.counters.api_calls += 1,
        }
        let number = state.requests.record(connection.number, head, body);
        let fault = state.faults.next(target);
        state.counters.faults += u64::from(fault.is_some());
        (number, fault)
    }

    /// Records a request to the vault. Returns its number, and the fault that applies to it.
    fn record_vault(
        &self,
        connection: &Connection,
        operation: Operation,
        head: &Parts,
        body: &[u8],
    ) -> (u64, Option<FaultKind>) {
        let mut state = self.shared.state();
        state.vault.count(operation);
        let fault = state.faults.next(vault::target(operation));
        state.counters.faults += u64::from(fault.is_some());
        let number =
            state.vault_log.record(connection.number, operation, head, body, fault.clone());
        (number, fault)
    }

    /// Records how the vault responds, and dates its response by its clock.
    fn finish_vault(&self, number: u64, outcome: Outcome) -> Outcome {
        let mut state = self.shared.state();
        let outcome = outcome.dated(state.vault.now().http_date());
        if let Outcome::Respond(response) | Outcome::RespondLate(_, response) = &outcome {
            state.vault_log.finish(number, response.status().as_u16());
        }
        outcome
    }

    async fn handle(
        self: Arc<Self>,
        target: Target,
        head: Parts,
        body: RequestBody,
        fault: Option<FaultKind>,
    ) -> Outcome {
        let latency = self.shared.state().settings.latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if target == Target::Token {
            self.shared.arrivals.pass().await;
        }
        if target.is_vault() {
            let operation = vault::operation(&head.method, head.uri.path());
            self.shared.vault_arrivals(operation).pass().await;
        }

        let line = format!("{} {}", head.method, log::target(&head.uri));
        let now = self.shared.state().settings.now();
        if let Some(outcome) = fault.as_ref().and_then(|fault| inject::before(fault, target, now)) {
            if let RequestBody::Streaming(mut body) = body
                && fault != Some(FaultKind::TooLarge)
            {
                body.drain().await;
            }
            self.log(&line, &outcome, None, fault.as_ref());
            return outcome;
        }
        let response = match target {
            Target::Token => {
                authorization::serve(&self.shared, &head, body.bytes(), fault.as_ref())
            }
            Target::Api | Target::Run => self.call_api(head, body, fault.as_ref()).await,
            _ => vault::serve(&self.shared, &head, body.bytes(), fault.as_ref()),
        };
        let note = response.extensions().get::<Note>().cloned();
        let outcome = match &fault {
            Some(fault) => inject::after(fault, response),
            None => Outcome::Respond(response),
        };
        self.log(&line, &outcome, note, fault.as_ref());
        outcome
    }

    async fn call_api(
        &self,
        mut head: Parts,
        body: RequestBody,
        fault: Option<&FaultKind>,
    ) -> Response<Body> {
        let rejection = gateway::reject(&self.shared, &head, &body);
        let (body, mut rest) = body.split();
        let response = match rejection {
            Some(response) => response,
            None => {
                head.extensions.insert(self.shared.state().settings.now());
                head.extensions.insert(Arc::clone(&self.shared));
                head.extensions.insert(Fate::of(fault));
                let request = http::Request::from_parts(head, body);
                let Ok(response) = self.api.clone().call(request).await;
                with_request_id(response)
            }
        };
        if let Some(rest) = &mut rest {
            rest.drain().await;
        }
        response
    }

    fn log(&self, line: &str, outcome: &Outcome, note: Option<Note>, fault: Option<&FaultKind>) {
        if self.quiet {
            return;
        }
        let mut line = match outcome {
            Outcome::Respond(response) | Outcome::RespondLate(_, response) => {
                format!("{line} → {}", response.status().as_u16())
            }
            Outcome::Reset => format!("{line} → connection reset"),
            Outcome::Hang => format!("{line} → no response"),
        };
        if let Some(Note(note)) = note {
            line = format!("{line} {note}");
        }
        if let Some(fault) = fault {
            line = format!("{line} [fault {fault}]");
        }
        log::line(&line);
    }
}

/// The connection ends without a response.
#[derive(Debug)]
pub(super) struct NoResponse;

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no response")
    }
}

impl std::error::Error for NoResponse {}
