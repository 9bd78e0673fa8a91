//! A running sandbox.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::gateway::PROJECT_ID;
use crate::hold::Hold;
use crate::jwt::{CLIENT_ID, Mint};
use crate::listener::listen;
use crate::options::Options;
use crate::platform;
use crate::server::Server;

/// A running sandbox. It listens on 127.0.0.1 alone, and stops when it is dropped.
///
/// It runs in a thread of its own: tests and programs that use it need not be asynchronous.
pub struct Sandbox {
    url: String,
    port: u16,
    server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    #[cfg(feature = "tls")]
    ca_pem: String,
}

impl Sandbox {
    /// Starts a sandbox; once this returns, it accepts connections.
    ///
    /// # Errors
    ///
    /// The port is taken, or the system is out of something (threads, file descriptors).
    pub fn start(options: Options) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        let (scheme, acceptor, ca_pem) = if options.tls {
            let (acceptor, ca_pem) = crate::tls::acceptor()?;
            ("https", Some(acceptor), ca_pem)
        } else {
            ("http", None, String::new())
        };
        #[cfg(not(feature = "tls"))]
        let scheme = "http";

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mint = Mint {
            issuer: options.issuer.clone().unwrap_or_else(|| format!("{url}/as")),
            lifetime: options.token_lifetime,
            at_jwt: options.at_jwt,
            refresh_tokens: options.refresh_tokens,
        };
        let server = Server::new(&options, mint);

        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let connections = listen(
            listener,
            Arc::clone(&server),
            #[cfg(feature = "tls")]
            acceptor,
        );
        let thread =
            std::thread::Builder::new().name("aac-sandbox".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = connections => {}
                        // An error is the sender being dropped, which says the same.
                        _ = stopped => {}
                    }
                });
                // With the runtime go all connections.
            })?;
        Ok(Self {
            url,
            port,
            server,
            stop: Some(stop),
            thread: Some(thread),
            #[cfg(feature = "tls")]
            ca_pem,
        })
    }

    /// `http://127.0.0.1:PORT`, or https: what belongs into aac_url.txt.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `iss` of the tokens. The token endpoint is `/token` below it.
    pub fn issuer(&self) -> &str {
        &self.server.mint.issuer
    }

    /// The OAuth client id, a UUID: the one published for us1.
    pub fn client_id(&self) -> &str {
        CLIENT_ID
    }

    /// The API project id, 48 letters and digits: what belongs into client_id.txt.
    pub fn project_id(&self) -> &str {
        PROJECT_ID
    }

    /// The certificate, in PEM, of the authority that signed the server's; empty without
    /// [`Options::tls`]. The server's is good for 127.0.0.1, localhost, ::1, and the names of
    /// the cloud.
    #[cfg(feature = "tls")]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A new family of tokens, as the web page generates one. Its access token is fresh.
    pub fn issue(&self) -> Tokens {
        self.issue_aged(0)
    }

    /// A new family whose access token expired a minute ago by the server's clock.
    pub fn issue_expired(&self) -> Tokens {
        self.issue_aged(self.server.mint.lifetime + 60)
    }

    fn issue_aged(&self, age: i64) -> Tokens {
        let mut state = self.server.state();
        let now = state.settings.now();
        state.ledger.issue(&self.server.mint, now, age)
    }

    /// Writes aac_url.txt, client_id.txt and creds.json, the last for its owner's eyes only.
    ///
    /// # Errors
    ///
    /// The folder does not exist, or cannot be written to.
    pub fn write_files(&self, dir: &Path, tokens: &Tokens) -> io::Result<()> {
        let Tokens { access_token, refresh_token } = tokens;
        // The layout of the vendor's file, into which people paste their tokens.
        let creds = format!(
            "{{\n    \"access_token\": \"{access_token}\",\n    \
             \"refresh_token\": \"{refresh_token}\"\n}}\n"
        );
        std::fs::write(dir.join("aac_url.txt"), format!("{}\n", self.url))?;
        std::fs::write(dir.join("client_id.txt"), format!("{PROJECT_ID}\n"))?;
        platform::write_private(&dir.join("creds.json"), &creds)
    }

    /// Whether a refresh token would be exchanged now.
    pub fn is_live(&self, refresh_token: &str) -> bool {
        let state = self.server.state();
        state.ledger.judge(refresh_token, state.settings.terms()).is_ok()
    }

    /// From now on no access token issued until now is accepted, though its `exp` lies ahead.
    pub fn revoke_access_tokens(&self) {
        self.server.state().ledger.reject_access_tokens();
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.server.state().counters
    }

    /// The requests that have arrived, oldest first; the last 10 000 of them.
    pub fn requests(&self) -> Vec<Request> {
        self.server.state().requests.iter().cloned().collect()
    }

    /// Adds a fault after those that are still to come.
    pub fn add_fault(&self, fault: Fault) {
        self.server.state().faults.add(fault);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.server.state().faults.clear();
    }

    /// Changes [`Options::grace`]; tokens spent before are judged by it too.
    pub fn set_grace(&self, grace: Duration) {
        self.server.state().settings.grace = grace;
    }

    /// Changes [`Options::latency`].
    pub fn set_latency(&self, latency: Duration) {
        self.server.state().settings.latency = latency;
    }

    /// Changes [`Options::clock_offset`], in seconds.
    pub fn set_clock_offset(&self, clock_offset: i64) {
        self.server.state().settings.clock_offset = clock_offset;
    }

    /// Changes [`Options::project_id_check`].
    pub fn set_project_id_check(&self, check: bool) {
        self.server.state().settings.project_id_check = check;
    }

    /// Holds the requests to the token endpoint after they have arrived and before they are
    /// handled: nothing is spent yet.
    pub fn hold_token_endpoint(&self) -> Hold {
        self.server.arrivals.hold()
    }

    /// Holds the answers of the token endpoint before they are sent: the old token is spent.
    pub fn hold_token_answers(&self) -> Hold {
        self.server.answers.hold()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The two tokens that the web page shows, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// A JWT; it opens the API until it expires.
    pub access_token: String,
    /// Good for one exchange.
    pub refresh_token: String,
}

/// What has happened in a sandbox so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests to anything below `/as`.
    pub token_requests: u64,
    /// Exchanges that succeeded, whether or not the answer arrived.
    pub exchanges: u64,
    /// Refresh tokens refused with invalid_grant.
    pub refused: u64,
    /// Refresh tokens, of those refused, that had been spent before.
    pub reused: u64,
    /// Families revoked for such a reuse.
    pub revoked: u64,
    /// Requests to anything else than `/as`.
    pub api_calls: u64,
    /// Requests, of those, that had no access token, or none that is accepted.
    pub unauthorized: u64,
    /// Requests that a fault befell.
    pub faults: u64,
}

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number of its connection, from 1.
    pub connection: u64,
    /// GET, POST …
    pub method: String,
    /// The path, with the query, as it was sent.
    pub path: String,
    /// Names in lower case, values, in the order received; values that are not UTF-8 are
    /// approximated.
    pub headers: Vec<(String, String)>,
    /// The body; its first 64 KiB.
    pub body: Vec<u8>,
    /// How long the body is, in bytes; of one that is still on its way, how much has arrived.
    pub body_length: u64,
}

impl Request {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}
