//! TCP connections for HTTP, instead of ureq's own. ureq's proxies and TLS run on top of them.
//!
//! Differences from ureq's:
//! - A response that has arrived is read even after its deadline, for example when the process was
//!   stopped (SIGSTOP, `docker pause`).
//! - If a server refuses an upload and closes the connection, its response is still read: a failed
//!   write is not the end. (Windows drops what has arrived when the connection is reset, so there the
//!   broken connection may be all that is told.)
//! - A body delimited by the end of the connection is complete only if the connection ends properly.
//! - A record of TLS that comes byte by byte has no more time than one that comes at once.
//! - TCP keepalive detects a dead peer.
//! - A name lookup that cannot be started is an error, not a panic.
//!
//! ureq works on the thread that sends the request and has no other way to report progress, so progress
//! is kept per thread.

use crate::platform;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, SocksConnector, Transport,
};
use ureq::{Agent, Error, Timeout};
use zeroize::Zeroizing;

/// ureq neither reads nor writes after a deadline. Its deadlines are extended by this much, and the
/// real ones are kept here.
pub(crate) const SLACK: Duration = Duration::from_secs(365 * 86_400);

/// How far a thread's request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No connection yet, or only one to a proxy.
    ToProxy,
    /// No connection to the server yet.
    Connecting,
    /// Connected to the server itself; part of the request may have left.
    Sending,
    /// The server accepts no more of it.
    Refused,
}

/// How much of a response [`Kept`] keeps, in bytes.
const KEPT: usize = 256 * 1024;

/// Keeps the raw bytes that this thread receives, until dropped: the head of a response may be invalid
/// HTTP, or wrong about the body.
pub(crate) struct Kept(());

impl Kept {
    pub(crate) fn start() -> Self {
        KEPT_BYTES.set(Some(Zeroizing::new(Vec::with_capacity(16 * 1024))));
        Self(())
    }

    /// The bytes received so far.
    pub(crate) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        KEPT_BYTES.take().unwrap_or_default()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT_BYTES.set(None);
    }
}

fn keep(bytes: &[u8]) {
    KEPT_BYTES.with_borrow_mut(|kept| {
        if let Some(kept) = kept {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    });
}

thread_local! {
    static KEPT_BYTES: RefCell<Option<Zeroizing<Vec<u8>>>> = const { RefCell::new(None) };
    static PROGRESS: Cell<Progress> = const { Cell::new(Progress::Connecting) };
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Has the time between reads counted from here on. TLS reads from the socket until it has a whole record, and
/// each of these reads would have the whole time again.
fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    WAITING_SINCE.set(Some(Instant::now()));
    let came = wait();
    WAITING_SINCE.set(None);
    came
}

impl Progress {
    pub(crate) fn get() -> Self {
        PROGRESS.get()
    }

    pub(crate) fn set(self) {
        PROGRESS.set(self);
    }

    /// Whether the server may have received part of the request.
    pub(crate) fn is_sent(self) -> bool {
        matches!(self, Self::Sending | Self::Refused)
    }
}

/// Creates an agent that connects as described above.
pub(crate) fn agent(config: Config) -> Agent {
    let connector =
        ().chain(SocksConnector::default())
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector)
            .chain(LastConnector(RustlsConnector::default()));
    Agent::with_parts(config, connector, ThreadResolver)
}

/// The time left of a timeout, and its reason, capped by the limit on each read or write.
fn time_left(
    timeout: &NextTimeout,
    each: Option<ureq::unversioned::transport::time::Duration>,
    each_reason: Timeout,
) -> (Option<Duration>, Timeout) {
    use ureq::unversioned::transport::time::Duration as D;
    let after = match timeout.after {
        D::NotHappening => None,
        D::Exact(after) if has_slack(timeout.reason) => Some(after.saturating_sub(SLACK)),
        D::Exact(after) => Some(after),
    };
    match (after, each) {
        (after, Some(D::Exact(each))) if after.is_none_or(|after| each < after) => {
            (Some(each), each_reason)
        }
        (after, _) => (after, timeout.reason),
    }
}

fn has_slack(reason: Timeout) -> bool {
    matches!(reason, Timeout::RecvResponse | Timeout::Global)
}

/// Opens a connection unless a proxy already has.
#[derive(Debug)]
struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // ureq runs this chain for the connection to a proxy as well, as if there were none.
        if chained.is_some() || details.config.proxy().is_some() {
            Progress::Connecting.set();
        }
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let (left, reason) = time_left(&details.timeout, None, details.timeout.reason);
        let stream = connect(&details.addrs, left, reason)?;
        stream.set_nodelay(true)?;
        // If the system cannot do it, go without.
        let _ = platform::keep_alive(&stream);
        let config = details.config;
        let buffers = AlignedBuffers {
            // Its own output is not used.
            input: LazyBuffers::new(config.input_buffer_size(), 1),
            output: Vec::new(),
            output_size: config.output_buffer_size(),
        };
        Ok(Some(Either::B(Tcp {
            stream,
            buffers,
            read_timeout: None,
            write_timeout: None,
            refusal: None,
        })))
    }
}

/// Connects to the first address that responds. Each address but the last gets half of the remaining
/// time, so that a dead one does not use it up.
fn connect(
    addresses: &[SocketAddr],
    left: Option<Duration>,
    reason: Timeout,
) -> Result<TcpStream, Error> {
    let start = Instant::now();
    let mut failure = Error::HostNotFound;
    for (index, address) in addresses.iter().enumerate() {
        let Some(left) = left else {
            match TcpStream::connect(address) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error.into(),
            }
            continue;
        };
        let left = left.saturating_sub(start.elapsed());
        let time = if index + 1 == addresses.len() { left } else { left / 2 };
        if time.is_zero() {
            return Err(Error::Timeout(reason));
        }
        match TcpStream::connect_timeout(address, time) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                failure = Error::Timeout(reason);
            }
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// A TCP connection.
struct Tcp {
    stream: TcpStream,
    buffers: AlignedBuffers,
    /// The socket's current timeouts.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Why the peer stopped accepting data.
    refusal: Option<Refusal>,
}

struct Refusal {
    kind: io::ErrorKind,
    text: String,
    timeout: Option<Timeout>,
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.refusal.is_none() {
            let (left, reason) = time_left(&timeout, timeout.per_write, Timeout::PerWrite);
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(reason));
            }
            if left != self.write_timeout {
                self.stream.set_write_timeout(left)?;
                self.write_timeout = left;
            }
            let Err(error) = (&self.stream).write_all(&self.buffers.output()[..amount]) else {
                return Ok(());
            };
            self.refusal = Some(Refusal {
                kind: error.kind(),
                text: error.to_string(),
                timeout: is_timeout(&error).then_some(reason),
            });
        }
        // A response may say why: ureq looks for one once it has sent everything, or believes it has.
        if Progress::get() == Progress::Sending {
            Progress::Refused.set();
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let waited = WAITING_SINCE.get().map_or(Duration::ZERO, |since| since.elapsed());
        let each = timeout.per_read.map(|each| (*each).saturating_sub(waited).into());
        let (left, reason) = time_left(&timeout, each, Timeout::PerRead);
        let start = Instant::now();
        let mut remaining = left;
        let read = loop {
            // After a refusal, everything that the peer sent is already here.
            if self.refusal.is_some() || remaining.is_some_and(|time| time.is_zero()) {
                break self.read_now();
            }
            if remaining != self.read_timeout {
                self.stream.set_read_timeout(remaining)?;
                self.read_timeout = remaining;
            }
            match self.stream.read(self.buffers.input_append_buf()) {
                // A signal or a timeout: in both cases the clock decides.
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {
                    remaining = left.map(|left| left.saturating_sub(start.elapsed()));
                }
                read => break read,
            }
        };
        match (read, &self.refusal) {
            (Ok(length @ 1..), _) => {
                self.buffers.input_appended(length);
                Ok(true)
            }
            (_, Some(refusal)) => Err(refusal.error()),
            (Ok(_), None) => Ok(false),
            (Err(error), None) if is_timeout(&error) => Err(Error::Timeout(reason)),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn is_open(&mut self) -> bool {
        // A server that sends data unasked cannot be trusted with the next request.
        self.refusal.is_none()
            && self.buffers.input().is_empty()
            && self.read_now().is_err_and(|error| is_timeout(&error))
    }
}

impl Tcp {
    /// Reads what is available without waiting; `WouldBlock` if that is nothing.
    fn read_now(&mut self) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let buffer = self.buffers.input_append_buf();
        let read = loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.stream.set_nonblocking(false)?;
        read
    }
}

impl Refusal {
    fn error(&self) -> Error {
        match self.timeout {
            Some(reason) => Error::Timeout(reason),
            None => Error::Io(io::Error::new(self.kind, self.text.clone())),
        }
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("peer", &self.stream.peer_addr().ok()).finish()
    }
}

/// ureq's buffers, with an output aligned to a cache line. Large vectors begin 16 bytes into a page,
/// and then the system takes twice as long to copy a file into one and on to the socket.
#[derive(Debug)]
struct AlignedBuffers {
    input: LazyBuffers,
    output: Vec<u8>,
    output_size: usize,
}

impl AlignedBuffers {
    const CACHE_LINE: usize = 64;

    /// Allocates the output if needed, and returns where it is.
    fn output_range(&mut self) -> Range<usize> {
        if self.output.is_empty() {
            self.output = vec![0; self.output_size + Self::CACHE_LINE];
        }
        // The vector does not grow, so it stays in place.
        let start = self.output.as_ptr().align_offset(Self::CACHE_LINE).min(Self::CACHE_LINE);
        start..start + self.output_size
    }
}

impl Buffers for AlignedBuffers {
    fn output(&mut self) -> &mut [u8] {
        let range = self.output_range();
        &mut self.output[range]
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let range = self.output_range();
        let (tmp, _) = self.input.tmp_and_output();
        (tmp, &mut self.output[range])
    }

    fn input(&self) -> &[u8] {
        self.input.input()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.input.input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.input.input_consume(amount);
    }

    fn can_use_input(&self) -> bool {
        self.input.can_use_input()
    }
}

/// Whether a socket timed out. Systems differ in which of the two errors they use.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Adds TLS if the URL asks for it, and ends the chain: from here on the connection is the server's.
#[derive(Debug)]
struct LastConnector(RustlsConnector);

impl<In: Transport> Connector<In> for LastConnector {
    type Out = Last<<RustlsConnector as Connector<In>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // ureq reads the system's certificates again for each connection of a request with options of its
        // own. No request has its own TLS options.
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: details.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let connection = self.0.connect(&details, chained)?;
        if Progress::get() == Progress::Connecting {
            Progress::Sending.set();
        }
        Ok(connection.map(Last))
    }
}

/// The connection to the server itself.
#[derive(Debug)]
struct Last<T>(T);

impl<T: Transport> Transport for Last<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        let before = self.0.buffers().input().len();
        // ureq accepts these three as the proper end of a body without a length. They are not: with TLS
        // they mean a truncated body (RFC 9112 §9.8), and so does a reset.
        let came = waiting(|| self.0.await_input(timeout)).map_err(|error| match error {
            Error::Io(error)
                if matches!(error.kind(), ConnectionAborted | ConnectionReset | UnexpectedEof) =>
            {
                Error::Io(io::Error::other(error))
            }
            error => error,
        })?;
        keep(self.0.buffers().input().get(before..).unwrap_or_default());
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Looks up names on a separate thread if there is a time limit: the system's lookup has none.
#[derive(Debug)]
struct ThreadResolver;

impl Resolver for ThreadResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let (left, reason) = time_left(&timeout, None, timeout.reason);
        let Some(left) = left else {
            return DefaultResolver::default().resolve(uri, config, timeout);
        };
        let (uri, config) = (uri.clone(), config.clone());
        let (sender, receiver) = mpsc::sync_channel(1);
        let failed = |text: String| Error::Io(io::Error::other(LookupFailed(text)));
        thread::Builder::new()
            .spawn(move || {
                let found =
                    DefaultResolver::default().resolve(&uri, &config, NextTimeout::default());
                // The caller may have given up.
                let _ = sender.send(found);
            })
            .map_err(|error| failed(format!("no thread can be started: {error}")))?;
        receiver.recv_timeout(left).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(Error::Timeout(reason)),
            RecvTimeoutError::Disconnected => Err(failed("the lookup ended early".to_owned())),
        })
    }
}

/// A lookup that failed on this machine.
#[derive(Debug)]
pub(crate) struct LookupFailed(String);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookupFailed {}
