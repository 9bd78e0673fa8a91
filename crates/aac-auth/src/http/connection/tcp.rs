//! A TCP connection.

use crate::http::connection::{Progress, race};
use crate::platform;
use rustix::net::sockopt;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// How long a write may block before the server is heard, where a write can be resumed.
const MOMENT: Duration = Duration::from_millis(100);

/// Opens a connection unless a proxy already has.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, Tcp>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            // From here on it is the server that is waited for.
            Progress::Connecting.set();
            return Ok(Some(Either::A(chained)));
        }
        let timeout = details.timeout;
        let stream =
            race::connect(&details.addrs, *timeout.after).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
                _ => error.into(),
            })?;
        stream.set_nodelay(true)?;
        // If the system cannot do it, go without.
        let _ = keep_alive(&stream);
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

/// Makes the system probe an idle peer, and break the connection some 20 s after the peer is gone.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(3))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

pub(super) struct Tcp {
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
        let is_stuck = !self.unsent.is_empty();
        self.unsent.extend_from_slice(&self.buffers.output()[..amount]);
        if !is_stuck {
            self.moved = Instant::now();
            self.push(timeout);
        }
        while !self.unsent.is_empty() && !Progress::get().is_sent() {
            self.push(timeout);
        }
        self.tell();
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let is_stuck = !self.unsent.is_empty();
        if is_stuck {
            self.push(timeout);
            self.tell();
        }
        let timeout = timeout.for_read();
        // After a refusal, everything that the peer sent is already here.
        let is_here = is_stuck || self.refusal.is_some();
        let time = if is_here { Duration::ZERO } else { *timeout.after };
        match (self.read(time), self.refusal.take()) {
            (Ok(length @ 1..), refusal) => {
                self.refusal = refusal;
                self.buffers.input_appended(length);
                Ok(true)
            }
            (_, Some(refusal)) => Err(refusal),
            (Ok(_), None) => Ok(false),
            (Err(error), None) if is_timeout(&error) => Err(Error::Timeout(timeout.reason)),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn is_open(&mut self) -> bool {
        // A server that sends data unasked cannot be trusted with the next request.
        self.refusal.is_none()
            && self.unsent.is_empty()
            && self.buffers.input().is_empty()
            && self.read(Duration::ZERO).is_err_and(|error| is_timeout(&error))
    }
}

impl Tcp {
    /// Sends what the peer accepts of what is unsent, which may be nothing.
    fn push(&mut self, mut timeout: NextTimeout) {
        let stuck = self.moved.elapsed();
        timeout.per_write = timeout.per_write.map(|each| each.saturating_sub(stuck).into());
        let timeout = timeout.for_write();
        let time = match *timeout.after {
            Duration::ZERO => return self.refuse(Error::Timeout(timeout.reason)),
            time if platform::RESUMES_WRITES => time.min(MOMENT),
            time => time,
        };
        // macOS refuses it once the peer is gone; then there is nothing to wait for.
        let _ = self.stream.set_write_timeout(Some(time));
        match self.stream.write(&self.unsent) {
            Ok(0) => {}
            Ok(sent) => {
                self.unsent.drain(..sent);
                self.moved = Instant::now();
            }
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.refuse(error.into()),
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

    /// Reads what comes within this time, or is already here.
    fn read(&mut self, time: Duration) -> io::Result<usize> {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                self.stream.set_nonblocking(true)?;
            } else {
                // As for writes.
                let _ = self.stream.set_read_timeout(Some(left));
            }
            let read = self.stream.read(self.buffers.input_append_buf());
            if left.is_zero() {
                self.stream.set_nonblocking(false)?;
            }
            match read {
                // A signal or a timeout: in both cases the clock decides.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && !left.is_zero() => {}
                read => return read,
            }
        }
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
