//! TCP connections for HTTP, instead of ureq's own. ureq's proxies and TLS run on top of them.
//!
//! Differences from ureq's:
//! - Addresses are raced, so that a dead one costs a quarter of a second.
//! - A response that has arrived is read even after its deadline, for example when the process was
//!   stopped (SIGSTOP, `docker pause`).
//! - A refusal of an upload is noticed while it is being sent, whether the server reads on, stops reading,
//!   or closes the connection: a failed write is not the end. (On Windows, a server that stops reading is
//!   heard at the deadline of the write; and what has arrived is dropped when the connection is reset, so the
//!   broken connection may be all that is told.)
//! - A body delimited by the end of the connection is complete only if the connection ends properly.
//! - A record of TLS that comes byte by byte has no more time than one that comes at once.
//! - TCP keepalive detects a dead peer.
//! - A name lookup that cannot be started is an error, not a panic.
//!
//! ureq works on the thread that sends the request and has no other way to report progress, so progress
//! is kept per thread.

use crate::error::{Limit, NetworkError};
use crate::platform;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, SocksConnector, Transport, time::Duration as Time,
};
use ureq::{Agent, Error, Timeout};
use zeroize::Zeroizing;

/// ureq neither reads nor writes after a deadline. Its deadlines are extended by this much, and the
/// real ones are kept here.
pub(crate) const SLACK: Duration = Duration::from_secs(365 * 86_400);

/// How long an address is waited for before the next one is tried as well (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a write may block before the server is heard, where a write can be resumed.
const MOMENT: Duration = Duration::from_millis(100);
/// How often a server that accepts an upload is heard.
const LOOK: Duration = Duration::from_millis(250);

/// How far a thread's request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No connection yet, or only one to a proxy.
    ToProxy,
    /// No connection to the server yet, or one on which nothing was sent.
    Connecting,
    /// Part of the request may have left for the server itself.
    Sending,
    /// The same, and the server accepts no more of it at present.
    Stuck,
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
    let tail = bytes[bytes.len().saturating_sub(16)..].iter();
    TAIL.set(tail.fold(TAIL.get(), |tail, byte| tail << 8 | u128::from(*byte)));
    KEPT_BYTES.with_borrow_mut(|kept| {
        if let Some(kept) = kept {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    });
}

/// Whether what came last was the head of a response, or a chunk that ends a body before it begins.
pub(crate) fn has_no_body() -> bool {
    let tail = TAIL.get().to_be_bytes();
    tail.ends_with(b"\r\n\r\n0\r\n\r\n")
        || (tail.ends_with(b"\r\n\r\n") && !tail.ends_with(b"\r\n0\r\n\r\n"))
}

thread_local! {
    static KEPT_BYTES: RefCell<Option<Zeroizing<Vec<u8>>>> = const { RefCell::new(None) };
    static TAIL: Cell<u128> = const { Cell::new(0) };
    static PROGRESS: Arc<Mutex<Progress>> = Arc::new(Mutex::new(Progress::Connecting));
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    static BODY_ENDS: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Calls what reads a body, which ends with [`Limit::Time`] after this time. This counts below a decoder,
/// which may read for ever without a byte to return.
pub(crate) fn within<T>(time: Duration, read: impl FnOnce() -> T) -> T {
    BODY_ENDS.set(Some((Instant::now() + time, time)));
    let came = read();
    BODY_ENDS.set(None);
    came
}

impl Progress {
    pub(crate) fn get() -> Self {
        PROGRESS.with(Self::of)
    }

    pub(crate) fn set(self) {
        PROGRESS.with(|progress| *progress.lock().unwrap_or_else(PoisonError::into_inner) = self);
    }

    /// This thread's progress, for another thread.
    pub(crate) fn watch() -> Arc<Mutex<Self>> {
        PROGRESS.with(Arc::clone)
    }

    pub(crate) fn of(watched: &Arc<Mutex<Self>>) -> Self {
        *watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server may have received part of the request.
    pub(crate) fn is_sent(self) -> bool {
        matches!(self, Self::Sending | Self::Stuck | Self::Refused)
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
    each: Option<Time>,
    each_reason: Timeout,
) -> (Option<Duration>, Timeout) {
    let has_slack = matches!(timeout.reason, Timeout::RecvResponse | Timeout::Global);
    let after = match timeout.after {
        Time::NotHappening => None,
        Time::Exact(after) if has_slack => Some(after.saturating_sub(SLACK)),
        Time::Exact(after) => Some(after),
    };
    match (after, each) {
        (after, Some(Time::Exact(each))) if after.is_none_or(|after| each < after) => {
            (Some(each), each_reason)
        }
        (after, _) => (after, timeout.reason),
    }
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
        let stream = race(&details.addrs, left.unwrap_or(SLACK), reason)?;
        stream.set_nodelay(true)?;
        // If the system cannot do it, go without.
        let _ = platform::keep_alive(&stream);
        let config = details.config;
        Ok(Some(Either::B(Tcp {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            unsent: Vec::new(),
            moved: Instant::now(),
            refusal: None,
        })))
    }
}

/// The addresses as they are tried: the two families take turns (RFC 8305 §4).
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut seen = [0; 2];
    let turn = |address: &SocketAddr| {
        let turn = &mut seen[usize::from(address.is_ipv6())];
        *turn += 1;
        (*turn, *address)
    };
    let mut turns: Vec<_> = addresses.iter().map(turn).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, address)| address).collect()
}

/// Connects to the address that responds first.
fn race(addresses: &[SocketAddr], left: Duration, reason: Timeout) -> Result<TcpStream, Error> {
    let start = Instant::now();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => error.into(),
    };
    if let [only] = addresses {
        return TcpStream::connect_timeout(only, left).map_err(failed);
    }
    let mut next = in_turns(addresses).into_iter().peekable();
    let (sender, receiver) = mpsc::channel();
    let (mut open, mut failure) = (0, Error::HostNotFound);
    loop {
        match next.next() {
            Some(address) => {
                let sender = sender.clone();
                // Whoever comes late is dropped with the channel.
                let dial = move || drop(sender.send(TcpStream::connect_timeout(&address, left)));
                match thread::Builder::new().spawn(dial) {
                    Ok(_) => open += 1,
                    Err(error) => {
                        failure = error.into();
                        continue;
                    }
                }
            }
            None if open == 0 => return Err(failure),
            None => {}
        }
        let left = left.saturating_sub(start.elapsed());
        let wait = if next.peek().is_some() { HEAD_START.min(left) } else { left };
        match receiver.recv_timeout(wait) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                open -= 1;
                failure = failed(error);
            }
            Err(_) if wait == left => return Err(Error::Timeout(reason)),
            Err(_) => {}
        }
    }
}

/// A TCP connection.
struct Tcp {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// What the peer does not accept yet, and since when it accepts nothing.
    unsent: Vec<u8>,
    moved: Instant,
    /// Why the peer stopped accepting data.
    refusal: Option<Error>,
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    /// Of a request, this leaves unsent what the server does not accept at once.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.refusal.is_some() {
            return Ok(());
        }
        let is_first = self.unsent.is_empty();
        if is_first {
            self.moved = Instant::now();
        }
        let time = self.time_to_send(&timeout);
        let output = &self.buffers.output()[..amount];
        let sent = match is_first {
            true => time.and_then(|time| send(&self.stream, output, time)),
            false => Ok(0),
        };
        match sent {
            Ok(sent) => self.unsent.extend_from_slice(&output[sent..]),
            Err(error) => self.refuse(error),
        }
        while !self.unsent.is_empty() && !Progress::get().is_sent() {
            self.push(&timeout);
        }
        self.tell();
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let is_stuck = Progress::get() == Progress::Stuck;
        if is_stuck {
            self.push(&timeout);
            self.tell();
        }
        let waited = WAITING_SINCE.get().map_or(Duration::ZERO, |since| since.elapsed());
        let each = timeout.per_read.map(|each| (*each).saturating_sub(waited).into());
        let (left, reason) = time_left(&timeout, each, Timeout::PerRead);
        let start = Instant::now();
        let read = loop {
            let left = left.map(|left| left.saturating_sub(start.elapsed()));
            // After a refusal, everything that the peer sent is already here.
            let is_last =
                is_stuck || self.refusal.is_some() || left.is_some_and(|left| left.is_zero());
            if is_last {
                break self.read_now();
            }
            // macOS refuses it once the peer is gone; then there is nothing to wait for.
            let _ = self.stream.set_read_timeout(left);
            match self.stream.read(self.buffers.input_append_buf()) {
                // A signal or a timeout: in both cases the clock decides.
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match (read, self.refusal.take()) {
            (Ok(length @ 1..), refusal) => {
                self.refusal = refusal;
                self.buffers.input_appended(length);
                Ok(true)
            }
            (_, Some(refusal)) => Err(refusal),
            (Ok(_), None) => Ok(false),
            (Err(error), None) if is_timeout(&error) => Err(Error::Timeout(reason)),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn is_open(&mut self) -> bool {
        // A server that sends data unasked cannot be trusted with the next request.
        self.refusal.is_none()
            && self.unsent.is_empty()
            && self.buffers.input().is_empty()
            && self.read_now().is_err_and(|error| is_timeout(&error))
    }
}

impl Tcp {
    /// Goes on to send what is unsent, for a moment.
    fn push(&mut self, timeout: &NextTimeout) {
        let time = self.time_to_send(timeout);
        match time.and_then(|time| send(&self.stream, &self.unsent, time)) {
            Ok(0) => {}
            Ok(sent) => {
                self.unsent.drain(..sent);
                self.moved = Instant::now();
            }
            Err(error) => self.refuse(error),
        }
    }

    /// How long the peer has to accept something.
    fn time_to_send(&self, timeout: &NextTimeout) -> Result<Option<Duration>, Error> {
        let stuck = self.moved.elapsed();
        let each = timeout.per_write.map(|each| (*each).saturating_sub(stuck).into());
        match time_left(timeout, each, Timeout::PerWrite) {
            (Some(Duration::ZERO), reason) => Err(Error::Timeout(reason)),
            (left, _) if platform::RESUMES_WRITES => {
                Ok(Some(left.map_or(MOMENT, |left| left.min(MOMENT))))
            }
            (left, _) => Ok(left),
        }
    }

    /// A response may say why: ureq looks for one once it has sent everything, or believes it has.
    fn refuse(&mut self, why: Error) {
        self.unsent.clear();
        self.refusal = Some(why);
    }

    fn tell(&self) {
        if Progress::get().is_sent() {
            match self.refusal {
                Some(_) => Progress::Refused,
                None if self.unsent.is_empty() => Progress::Sending,
                None => Progress::Stuck,
            }
            .set();
        }
    }

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

/// Sends what the peer accepts within this time.
fn send(mut stream: &TcpStream, bytes: &[u8], time: Option<Duration>) -> Result<usize, Error> {
    // As for reads.
    let _ = stream.set_write_timeout(time);
    match stream.write(bytes) {
        Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => Ok(0),
        sent => Ok(sent?),
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("peer", &self.stream.peer_addr().ok()).finish()
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
        let is_last = Progress::get() == Progress::Connecting;
        let last = |transport| Last {
            transport,
            is_last,
            looked: Instant::now(),
            has_unseen: false,
            is_refused: false,
        };
        Ok(self.0.connect(&details, chained)?.map(last))
    }
}

/// The connection to the server itself.
#[derive(Debug)]
struct Last<T> {
    transport: T,
    /// Whether it leads to the server itself. If not, it leads to a proxy, and such a connection runs on top.
    is_last: bool,
    /// When the server was last heard while it was sent something.
    looked: Instant,
    /// Whether ureq has yet to look at what came then.
    has_unseen: bool,
    /// Whether part of a request was not sent.
    is_refused: bool,
}

impl<T: Transport> Transport for Last<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        match Progress::get() {
            _ if !self.is_last => return self.transport.transmit_output(amount, timeout),
            Progress::Refused => return Ok(()),
            progress if !progress.is_sent() => Progress::Sending.set(),
            _ => {}
        }
        self.transport.transmit_output(amount, timeout)?;
        let start = Instant::now();
        loop {
            let after = match Progress::get() {
                Progress::Stuck => timeout.after,
                Progress::Sending if self.looked.elapsed() >= LOOK => Time::from_secs(0),
                _ => return Ok(()),
            };
            let known = self.buffers().input().len();
            let heard = self.hear(NextTimeout { after, ..timeout });
            self.looked = Instant::now();
            self.has_unseen = true;
            let is_over = match heard {
                _ if Progress::get() != Progress::Stuck => false,
                // The server sends nothing more, and so no reason.
                Ok(false) => true,
                // What has come and is no refusal may keep TLS from asking the connection.
                Ok(true) if self.buffers().input().len() == known => {
                    thread::sleep(Duration::from_millis(10));
                    timeout.per_write.is_some_and(|time| start.elapsed() >= 10 * *time)
                }
                _ => false,
            };
            if is_over || refuses(self.buffers().input()) {
                Progress::Refused.set();
            }
            if Progress::get() == Progress::Refused {
                self.is_refused = true;
                return match heard {
                    // There is nothing that says why.
                    Err(error) if self.buffers().input().is_empty() => Err(error),
                    _ if self.buffers().input().is_empty() => Err(Error::ConnectionFailed),
                    _ => Ok(()),
                };
            }
        }
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if !self.is_last {
            return self.transport.await_input(timeout);
        }
        let is_early = timeout.reason == Timeout::Await100;
        // ureq leaves a response that comes before the body where it is, and would wait for more of it.
        if !is_early && mem::take(&mut self.has_unseen) && !self.buffers().input().is_empty() {
            return Ok(true);
        }
        if is_early {
            self.has_unseen = true;
            // Nothing need come.
            timeout.per_read = None;
        }
        self.hear(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.is_refused && self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

impl<T: Transport> Last<T> {
    fn hear(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if let Some((end, time)) = BODY_ENDS.get()
            && Instant::now() >= end
        {
            return Err(Error::Other(Box::new(Limit::Time(time))));
        }
        let before = self.buffers().input().len();
        // The time between reads counts from here on: TLS reads from the socket until it has a whole record.
        WAITING_SINCE.set(Some(Instant::now()));
        let came = self.transport.await_input(timeout);
        WAITING_SINCE.set(None);
        // ureq accepts some errors as the proper end of a body without a length. They are not: with TLS they
        // mean a truncated body (RFC 9112 §9.8), and so does a reset. And gzip would take them for its own.
        let came = came.map_err(|error| match error {
            Error::Io(error) => Error::Other(Box::new(error)),
            error => error,
        })?;
        keep(self.buffers().input().get(before..).unwrap_or_default());
        Ok(came)
    }
}

/// Whether these bytes begin with a response that refuses the request, perhaps after interim ones.
fn refuses(mut bytes: &[u8]) -> bool {
    loop {
        match bytes.strip_prefix(b"HTTP/1.").and_then(|line| line.get(2)) {
            Some(b'3'..=b'5') => return true,
            Some(b'1') => {}
            _ => return false,
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else { return false };
        bytes = &bytes[end + 4..];
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
        let failed = |text| Error::Other(Box::new(NetworkError::Lookup(text)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// An address at which nothing answers: whoever listens there has room for no more connections. The
    /// streams keep it so.
    #[cfg(target_os = "linux")]
    fn dead() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200));
        let held = std::iter::from_fn(|| connect().ok()).collect();
        (address, listener, held)
    }

    fn live() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    fn closed() -> SocketAddr {
        live().0
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dead_address_costs_a_quarter_of_a_second() {
        let (dead, _full, _held) = dead();
        let (live, _listener) = live();
        for (addresses, heads) in [
            (&[dead, live][..], 1),
            (&[dead, dead, dead, dead, live], 4),
            (&[live, dead], 0),
            // The next one need not be waited for.
            (&[closed(), live], 0),
            (&[dead, closed(), live], 1),
        ] {
            let start = Instant::now();
            let stream = race(addresses, Duration::from_secs(50), Timeout::Connect).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), live);
            let time = start.elapsed();
            assert!(time >= heads * HEAD_START, "{addresses:?}: {time:?}");
            assert!(time < heads * HEAD_START + Duration::from_secs(9), "{addresses:?}: {time:?}");
        }
        let start = Instant::now();
        for addresses in [&[dead][..], &[dead, dead], &[dead, closed()]] {
            let failure = race(addresses, Duration::from_millis(400), Timeout::Connect);
            assert!(matches!(failure, Err(Error::Timeout(Timeout::Connect))), "{failure:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_last_failure_is_told() {
        for addresses in [&[closed()][..], &[closed(), closed()]] {
            let failure = race(addresses, Duration::from_secs(50), Timeout::Connect);
            let Err(Error::Io(error)) = failure else { panic!("{failure:?}") };
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn families_take_turns() {
        let [a, b, c, d] = ["[::1]:1", "[::1]:2", "127.0.0.1:3", "127.0.0.1:4"]
            .map(|address| address.parse::<SocketAddr>().unwrap());
        assert_eq!(in_turns(&[a, b, c, d]), [a, c, b, d]);
        assert_eq!(in_turns(&[c, a, b]), [c, a, b]);
        assert_eq!(in_turns(&[c, d]), [c, d]);
    }

    #[test]
    fn a_refusal_is_told_from_what_else_may_come() {
        for (bytes, expected) in [
            ("HTTP/1.1 413 X\r\n", true),
            ("HTTP/1.0 302", true),
            ("HTTP/1.1 102 X\r\n\r\nHTTP/1.1 500 X", true),
            ("HTTP/1.1 100 Continue\r\n\r\n", false),
            ("HTTP/1.1 103 X\r\nA: b\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 ", false),
            ("", false),
        ] {
            assert_eq!(refuses(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
