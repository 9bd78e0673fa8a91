//! One request's way through the sandbox.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{self, Method, Response};
use hyper::body::{Body as _, Incoming};
use tower_service::Service as _;

use crate::clock::Moment;
use crate::fault::{FaultKind, Faults, Target};
use crate::hold::Gate;
use crate::jwt::Mint;
use crate::ledger::{Ledger, Terms};
use crate::listener::Connection;
use crate::log::{self, Note};
use crate::options::Options;
use crate::sabotage::{self, Ending};
use crate::stream::{Arriving, Received};
use crate::{Counters, Request};
use crate::{authorization, envelope, gateway, routes};

/// Bodies that are larger, in bytes, or of unknown length, are read as the work needs them.
const MAX_WHOLE: u64 = 1024 * 1024;
/// The largest body where it is always read as a whole, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// How much of a body is kept for [`Request`], in bytes.
const MAX_RECORDED_BODY: usize = 64 * 1024;
/// How many requests are kept.
const MAX_RECORDED: usize = 10_000;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) mint: Mint,
    /// Where requests to the token endpoint wait before they are handled.
    pub(crate) arrivals: Arc<Gate>,
    /// Where the answers of the token endpoint wait before they are sent.
    pub(crate) answers: Arc<Gate>,
    quiet: bool,
    api: Router,
    state: Mutex<State>,
}

/// What requests change, and what tests change under way.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) requests: VecDeque<Request>,
    /// How many requests there have been before these.
    forgotten: u64,
}

/// What of the [`Options`] can be changed under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) grace: Duration,
    pub(crate) replay_protection: bool,
    pub(crate) latency: Duration,
    pub(crate) project_id_check: bool,
    pub(crate) clock_offset: i64,
}

impl Settings {
    /// The server's time, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.moment().millis.div_euclid(1000)
    }

    /// The server's time.
    pub(crate) fn moment(&self) -> Moment {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { millis: since_1970.as_millis() as i64 + 1000 * self.clock_offset }
    }

    /// What an exchange is judged by now.
    pub(crate) fn terms(&self) -> Terms {
        Terms { now: self.now(), grace: self.grace, replay_protection: self.replay_protection }
    }
}

impl Server {
    pub(crate) fn new(options: &Options, mint: Mint) -> Arc<Self> {
        let mut faults = Faults::default();
        for fault in &options.faults {
            faults.add(fault.clone());
        }
        Arc::new(Self {
            mint,
            arrivals: Gate::new(),
            answers: Gate::new(),
            quiet: options.quiet,
            api: routes::router(routes::Tenant::new(options)),
            state: Mutex::new(State {
                settings: Settings {
                    grace: options.grace,
                    replay_protection: options.replay_protection,
                    latency: options.latency,
                    project_id_check: options.project_id_check,
                    clock_offset: options.clock_offset,
                },
                ledger: Ledger::default(),
                faults,
                counters: Counters::default(),
                requests: VecDeque::new(),
                forgotten: 0,
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request. An error makes hyper drop the connection without an answer.
    pub(crate) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: http::Request<Incoming>,
    ) -> Result<Response<Body>, NoAnswer> {
        let (head, body) = request.into_parts();
        let target = Target::of(head.uri.path());
        let small = body.size_hint().upper().is_some_and(|length| length <= MAX_WHOLE);
        // Whether a GET has a body has to be known before anything else.
        let whole =
            small || target == Target::Token || matches!(head.method, Method::GET | Method::HEAD);
        let (body, fault) = if whole {
            let body = to_bytes(Body::new(body), MAX_BODY).await.map_err(|_| NoAnswer)?;
            let (_, fault) = self.record(&connection, target, &head, &body);
            (Received::Whole(body), fault)
        } else {
            let (number, fault) = self.record(&connection, target, &head, &[]);
            (Received::Arriving(Arriving::new(body, Arc::clone(&self), number)), fault)
        };

        // A task of its own: hyper drops this future when the client leaves, but a server that
        // has begun to spend a token finishes, whether or not anyone waits for the answer.
        let work = tokio::spawn(Arc::clone(&self).work(target, head, body, fault));
        let ending = work.await.map_err(|_| NoAnswer)?;

        if target == Target::Token {
            self.answers.pass().await;
        }
        match ending {
            Ending::Answer(response) => Ok(response),
            Ending::Late(delay, response) => {
                tokio::time::sleep(delay).await;
                Ok(response)
            }
            Ending::Reset => {
                connection.reset.store(true, Ordering::Relaxed);
                Err(NoAnswer)
            }
            Ending::Hang => std::future::pending().await,
        }
    }

    /// Notes that a request has arrived: its number, and the fault that befalls it.
    fn record(
        &self,
        connection: &Connection,
        target: Target,
        head: &Parts,
        body: &[u8],
    ) -> (u64, Option<FaultKind>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter();
        let request = Request {
            connection: connection.number,
            method: head.method.to_string(),
            path: head.uri.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
            body: body[..body.len().min(MAX_RECORDED_BODY)].to_vec(),
            body_length: body.len() as u64,
        };

        let mut state = self.state();
        match target {
            Target::Token => state.counters.token_requests += 1,
            Target::Api => state.counters.api_calls += 1,
        }
        if state.requests.len() == MAX_RECORDED {
            state.requests.pop_front();
            state.forgotten += 1;
        }
        let number = state.forgotten + state.requests.len() as u64;
        state.requests.push_back(request);
        let fault = state.faults.next(target);
        state.counters.faults += u64::from(fault.is_some());
        (number, fault)
    }

    /// Notes that more of the body of a request has arrived.
    pub(crate) fn note_body(&self, number: u64, data: &[u8]) {
        let mut state = self.state();
        let index = number.checked_sub(state.forgotten);
        if let Some(request) = index.and_then(|index| state.requests.get_mut(index as usize)) {
            let room = MAX_RECORDED_BODY - request.body.len();
            request.body.extend_from_slice(&data[..data.len().min(room)]);
            request.body_length += data.len() as u64;
        }
    }

    async fn work(
        self: Arc<Self>,
        target: Target,
        head: Parts,
        body: Received,
        fault: Option<FaultKind>,
    ) -> Ending {
        let latency = self.state().settings.latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if target == Target::Token {
            self.arrivals.pass().await;
        }

        let line = format!("{} {}", head.method, log::target(&head.uri));
        if let Some(ending) = fault.as_ref().and_then(|fault| sabotage::instead(fault, target)) {
            if let Received::Arriving(mut body) = body
                && fault != Some(FaultKind::TooLarge)
            {
                body.drain().await;
            }
            self.log(&line, &ending, None, fault.as_ref());
            return ending;
        }
        let response = match target {
            Target::Token => authorization::serve(&self, &head, body.bytes(), fault.as_ref()),
            Target::Api => self.call_api(head, body).await,
        };
        let note = response.extensions().get::<Note>().cloned();
        let ending = match &fault {
            Some(fault) => sabotage::upon(fault, response),
            None => Ending::Answer(response),
        };
        self.log(&line, &ending, note, fault.as_ref());
        ending
    }

    async fn call_api(&self, mut head: Parts, body: Received) -> Response<Body> {
        let turned_away = gateway::turn_away(self, &head, &body);
        let (body, mut rest) = body.split();
        let response = match turned_away {
            Some(response) => response,
            None => {
                head.extensions.insert(self.state().settings.moment());
                let request = http::Request::from_parts(head, body);
                let Ok(response) = self.api.clone().call(request).await;
                envelope::platform(response)
            }
        };
        if let Some(rest) = &mut rest {
            rest.drain().await;
        }
        response
    }

    fn log(&self, line: &str, ending: &Ending, note: Option<Note>, fault: Option<&FaultKind>) {
        if self.quiet {
            return;
        }
        let mut line = match ending {
            Ending::Answer(response) | Ending::Late(_, response) => {
                format!("{line} → {}", response.status().as_u16())
            }
            Ending::Reset => format!("{line} → connection reset"),
            Ending::Hang => format!("{line} → no answer"),
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

/// There is no answer; the connection ends.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer")
    }
}

impl std::error::Error for NoAnswer {}
