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

use crate::faults::Fault;
use crate::options::Options;
use crate::platform;
use crate::server::gateway::PROJECT_ID;
use crate::server::listener::listen;
use crate::server::pipeline::Server;
use crate::state::{Counters, Hold, Request, Shared};
use crate::tokens::Tokens;
use crate::tokens::jwt::{CLIENT_ID, Mint};
use crate::vault::Vault;

/// A running sandbox. It listens on 127.0.0.1 only and stops when it is dropped.
///
/// It runs in its own thread, so its users need not be asynchronous.
pub struct Sandbox {
    url: String,
    port: u16,
    shared: Arc<Shared>,
    vault: Option<Vault>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    #[cfg(feature = "tls")]
    ca_pem: String,
}

impl Sandbox {
    /// Starts a sandbox. It accepts connections when this returns.
    ///
    /// # Errors
    ///
    /// If the port is in use, or the system lacks a resource such as threads or file descriptors.
    pub fn start(options: Options) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        let (tls, ca_pem) = options.tls.then(crate::server::tls::acceptor).transpose()?.unzip();
        #[cfg(not(feature = "tls"))]
        let tls: crate::server::listener::Tls = None;
        let scheme = if tls.is_some() { "https" } else { "http" };

        let (listener, port) = bind(options.port)?;
        let vault_listener = options.vault.as_ref().map(|vault| bind(vault.port)).transpose()?;
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mint = Mint {
            issuer: options.issuer.clone().unwrap_or_else(|| format!("{url}/as")),
            lifetime: options.token_lifetime,
            pair_lifetime: options.pair_lifetime,
            at_jwt: options.at_jwt,
            refresh_tokens: options.refresh_tokens,
        };
        let shared = Arc::new(Shared::new(&options, mint));
        let vault = vault_listener.as_ref().map(|(_, port)| {
            Vault::new(format!("{scheme}://127.0.0.1:{port}"), Arc::clone(&shared))
        });
        let server = Server::new(&options, Arc::clone(&shared));

        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listen = |listener, is_vaults| {
            let _context = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            io::Result::Ok(listen(listener, Arc::clone(&server), is_vaults, tls.clone()))
        };
        let connections = listen(listener, false)?;
        let vaults = vault_listener.map(|(listener, _)| listen(listener, true)).transpose()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name("aac-sandbox".to_owned()).spawn(move || {
                runtime.spawn(connections);
                vaults.map(|vaults| runtime.spawn(vaults));
                // An error is how it shows that the sender was dropped.
                let _ = runtime.block_on(stopped);
                // Dropping the runtime closes all connections.
            })?;
        Ok(Self {
            url,
            port,
            shared,
            vault,
            stop: Some(stop),
            thread: Some(thread),
            #[cfg(feature = "tls")]
            ca_pem: ca_pem.unwrap_or_default(),
        })
    }

    /// `http://127.0.0.1:PORT`, or `https:`, for aac_url.txt.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `iss` of the tokens. The token endpoint is this followed by `/token`.
    pub fn issuer(&self) -> &str {
        &self.shared.mint.issuer
    }

    /// The OAuth client ID, a UUID: the one published for us1.
    pub fn client_id(&self) -> &str {
        CLIENT_ID
    }

    /// The API project ID, 48 letters and digits, for client_id.txt.
    pub fn project_id(&self) -> &str {
        PROJECT_ID
    }

    /// The certificate of the authority that signed the server's, in PEM; empty without
    /// [`Options::tls`]. The server's is valid for 127.0.0.1, localhost, ::1 and the cloud's host
    /// names.
    #[cfg(feature = "tls")]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a pair of tokens, as the web page does. The access token is fresh.
    pub fn issue(&self) -> Tokens {
        self.issue_aged(0)
    }

    /// Issues a pair whose access token expired a minute ago by the server's clock.
    pub fn issue_expired(&self) -> Tokens {
        self.issue_aged(self.shared.mint.lifetime + 60)
    }

    fn issue_aged(&self, age: i64) -> Tokens {
        let mut state = self.shared.state();
        let now = state.now().seconds();
        state.ledger.issue(&self.shared.mint, now, age)
    }

    /// Writes aac_url.txt, client_id.txt, api_project_id.txt, which is the same under the name that
    /// the vendor's programs read today, and creds.json, which only its owner can read.
    ///
    /// # Errors
    ///
    /// If the folder does not exist or cannot be written to.
    pub fn write_files(&self, dir: &Path, tokens: &Tokens) -> io::Result<()> {
        let Tokens { access_token, refresh_token } = tokens;
        // Laid out like the vendor's file, into which people paste their tokens.
        let creds = format!(
            "{{\n    \"access_token\": \"{access_token}\",\n    \
             \"refresh_token\": \"{refresh_token}\"\n}}\n"
        );
        self.write_settings(dir)?;
        platform::write_private(&dir.join("creds.json"), &creds)
    }

    /// The same with a creds.json that names the secret in the vault, and writes the tokens to that
    /// secret.
    ///
    /// # Errors
    ///
    /// If the folder does not exist or cannot be written to.
    ///
    /// # Panics
    ///
    /// Without [`Options::vault`].
    pub fn write_vault_files(&self, dir: &Path, tokens: &Tokens) -> io::Result<()> {
        let vault = self.vault();
        vault.put_tokens(tokens);
        self.write_settings(dir)?;
        let creds = format!("{{\n    \"vault\": \"{}\"\n}}\n", vault.path());
        platform::write_private(&dir.join("creds.json"), &creds)
    }

    fn write_settings(&self, dir: &Path) -> io::Result<()> {
        std::fs::write(dir.join("aac_url.txt"), format!("{}\n", self.url))?;
        for name in ["client_id.txt", "api_project_id.txt"] {
            std::fs::write(dir.join(name), format!("{PROJECT_ID}\n"))?;
        }
        Ok(())
    }

    /// The vault beside the cloud.
    ///
    /// # Panics
    ///
    /// Without [`Options::vault`].
    pub fn vault(&self) -> &Vault {
        self.vault.as_ref().expect("Options::vault is set")
    }

    /// Whether a refresh token would be accepted now.
    pub fn is_live(&self, refresh_token: &str) -> bool {
        let state = self.shared.state();
        state.ledger.check(refresh_token, state.policy()).is_ok()
    }

    /// Revokes all access tokens issued so far, even those whose `exp` is in the future.
    pub fn revoke_access_tokens(&self) {
        self.shared.state().ledger.revoke_access_tokens();
    }

    /// Disables all pairs issued so far, as a user can on the web page. Access tokens stay valid
    /// until they expire.
    pub fn disable_pairs(&self) {
        self.shared.state().ledger.disable();
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.state().counters
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().log.requests()
    }

    /// Adds a fault, to happen after those already added.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.state().faults.0.push(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.state().faults.0.clear();
    }

    /// Changes [`Options::grace`], also for tokens that are already spent.
    pub fn set_grace(&self, grace: Duration) {
        self.shared.state().grace = grace;
    }

    /// Changes [`Options::clock_offset`].
    pub fn set_clock_offset(&self, clock_offset: i64) {
        self.shared.state().clock_offset = clock_offset;
    }

    /// Holds requests to the token endpoint before they are handled. Nothing is spent yet.
    pub fn hold_token_endpoint(&self) -> Hold {
        self.shared.arrivals.hold()
    }

    /// Holds responses of the token endpoint before they are sent. The old token is spent.
    pub fn hold_token_responses(&self) -> Hold {
        self.shared.responses.hold()
    }
}

/// Listens on a loopback port. Returns which, as 0 is any.
fn bind(port: u16) -> io::Result<(std::net::TcpListener, u16)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If the server panicked, its own thread has reported it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url).finish_non_exhaustive()
    }
}
