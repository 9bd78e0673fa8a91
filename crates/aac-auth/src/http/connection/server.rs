//! The connection to the server itself, on top of TCP, proxies and TLS.

use crate::http::connection::kept::keep;
use crate::http::connection::{Progress, SLACK, time};
use std::io;
use std::mem;
use std::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, Transport,
    time::Duration as Time,
};
use ureq::{Error, Timeout};

/// How often a server that accepts an upload is heard.
const LOOK: Duration = Duration::from_millis(250);

type Tls<In> = <RustlsConnector as Connector<In>>::Out;

/// Adds TLS if the URL asks for it, and ends the chain.
#[derive(Debug)]
pub(super) struct ServerConnector(pub(super) RustlsConnector);

impl<In: Transport> Connector<In> for ServerConnector {
    type Out = Either<Tls<In>, Server<Tls<In>>>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // ureq reads the system's certificates again for each connection of a request with options of its
        // own. No request has its own TLS options.
        let details = ConnectionDetails {
            request_level: false,
            addrs: details.addrs.clone(),
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
            ..*details
        };
        let transport = self.0.connect(&details, chained)?;
        Ok(transport.map(|transport| match Progress::get() {
            Progress::Connecting => Either::B(Server {
                transport,
                heard: Instant::now(),
                has_unseen: false,
                is_refused: false,
            }),
            // ureq runs the chain for a proxy, too. The connection to the server then runs on top.
            _ => Either::A(transport),
        }))
    }
}

#[derive(Debug)]
pub(super) struct Server<T> {
    transport: T,
    /// When the server was last heard while it was sent something.
    heard: Instant,
    /// Whether ureq has yet to look at what came then.
    has_unseen: bool,
    /// Whether part of a request was not sent.
    is_refused: bool,
}

impl<T: Transport> Transport for Server<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        match Progress::get() {
            Progress::Refused => return Ok(()),
            progress if !progress.is_sent() => Progress::Sending.set(),
            _ => {}
        }
        let timeout = without_slack(timeout);
        self.transport.transmit_output(amount, timeout)?;
        loop {
            let after = match Progress::get() {
                Progress::Stuck => timeout.after,
                Progress::Sending if self.heard.elapsed() >= LOOK => Time::from_secs(0),
                _ => return Ok(()),
            };
            let heard = self.hear(NextTimeout { after, ..timeout });
            self.heard = Instant::now();
            self.has_unseen = true;
            self.is_refused = match Progress::get() {
                Progress::Refused => true,
                // It sends nothing more, and so no reason.
                Progress::Stuck if matches!(heard, Ok(false)) => true,
                _ => refuses(self.buffers().input()),
            };
            if self.is_refused {
                Progress::Refused.set();
                return match heard {
                    _ if !self.buffers().input().is_empty() => Ok(()),
                    Err(error) => Err(error),
                    Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, Error> {
        if timeout.reason == Timeout::Await100 {
            // Nothing need come. What comes and is a response, ureq leaves where it is, and would then wait
            // for more of it.
            timeout.per_read = None;
            self.has_unseen = true;
        } else if mem::take(&mut self.has_unseen) && !self.buffers().input().is_empty() {
            return Ok(true);
        }
        self.hear(without_slack(timeout))
    }

    fn is_open(&mut self) -> bool {
        !self.is_refused && self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

impl<T: Transport> Server<T> {
    /// Waits for what the server sends.
    fn hear(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if let Some(limit) = time::reached() {
            return Err(Error::Other(Box::new(limit)));
        }
        let before = self.buffers().input().len();
        // TLS reads until it has a whole record, however often, so the time of a read is that of all of them.
        let timeout = NextTimeout { per_read: None, ..timeout.for_read() };
        let came = self.transport.await_input(timeout).map_err(|error| match error {
            // ureq accepts some errors as the proper end of a body without a length. They are not: with TLS
            // they mean a truncated body (RFC 9112 §9.8), and so does a reset.
            Error::Io(error) => Error::Other(Box::new(error)),
            error => error,
        })?;
        keep(self.buffers().input().get(before..).unwrap_or_default());
        Ok(came)
    }
}

/// The time that there really is: see [`SLACK`].
fn without_slack(mut timeout: NextTimeout) -> NextTimeout {
    if let (Timeout::RecvResponse | Timeout::Global, Time::Exact(after)) =
        (timeout.reason, timeout.after)
    {
        timeout.after = after.saturating_sub(SLACK).into();
    }
    timeout
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

#[cfg(test)]
mod tests {
    use super::*;

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
