//! A tunnel through an HTTP proxy (RFC 9110 §9.3.6). ureq's own tells only the status of a refusal, as text, and
//! takes no more than 20 headers.

use crate::error::NetworkError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};
use ureq::config::{AutoHeaderValue, Config};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};
use ureq::{Error, Proxy, ProxyProtocol};

/// The largest head of an answer that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// Asks the proxy for a connection to the server, if there is one for HTTP. It holds the agent's options, which
/// name no proxy: those for the connection to the proxy itself.
#[derive(Debug)]
pub(super) struct TunnelConnector(pub(super) Config);

impl<In: Transport> Connector<In> for TunnelConnector {
    type Out = Either<In, Tunnel>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let speaks_http =
            |proxy: &&Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        let proxy = details.config.proxy().filter(speaks_http);
        let Some(proxy) = proxy.filter(|_| chained.is_none()) else {
            return Ok(chained.map(Either::A));
        };
        let start = Instant::now();
        // Each step has what the ones before it have left, and no socket takes a time of 0.
        let left = || {
            let after = details.timeout.after.saturating_sub(start.elapsed());
            NextTimeout { after: after.max(Duration::from_millis(1)).into(), ..details.timeout }
        };
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), details.config, left())?,
            config: &self.0,
            timeout: left(),
            now: (details.current_time)(),
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
            ..*details
        };
        let transport = (details.run_connector)(&to_proxy)?;
        let mut stream = TransportAdapter::new(transport, details.current_time.clone());
        stream.set_timeout(left());

        let port = details.uri.port_u16().unwrap_or(443);
        let target = format!("{}:{port}", details.uri.host().unwrap_or_default());
        let mut ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let AutoHeaderValue::Provided(agent) = self.0.user_agent() {
            ask += &format!("User-Agent: {agent}\r\n");
        }
        if let Some(user) = proxy.username() {
            let credentials = format!("{user}:{}", proxy.password().unwrap_or_default());
            let credentials = BASE64_STANDARD.encode(credentials);
            ask += &format!("Proxy-Authorization: Basic {credentials}\r\n");
        }
        // For proxies that speak HTTP/1.0.
        ask += "Proxy-Connection: Keep-Alive\r\n\r\n";
        stream.write_all(ask.as_bytes())?;
        let head = read_head(&mut stream)?;

        let proxy = format!("{}:{}", proxy.host(), proxy.port());
        let reason = match status(&head) {
            Some(200..300) if is_whole(&head) => {
                return Ok(Some(Either::B(Tunnel(stream.into_inner()))));
            }
            Some(status @ 300..) => {
                NetworkError::ProxyRefusal { proxy, target, status, schemes: schemes(&head) }
            }
            None if !is_start(&head) || is_whole(&head) => {
                NetworkError::Proxy(format!("{proxy} does not answer as an HTTP proxy does"))
            }
            _ => NetworkError::ProxyUnreachable(format!("{proxy}: it closed the connection")),
        };
        Err(Error::Other(Box::new(reason)))
    }
}

/// Reads the head of the answer, without interim ones before it (RFC 9110 §15.2), and nothing behind it: that is
/// the server's.
fn read_head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !is_whole(&head) && is_start(&head) && head.len() < LARGEST && stream.read(&mut byte)? > 0
    {
        head.push(byte[0]);
        if is_whole(&head) && matches!(status(&head), Some(100..200)) {
            head.clear();
        }
    }
    Ok(head)
}

fn is_whole(head: &[u8]) -> bool {
    head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")
}

/// Whether HTTP may begin so.
fn is_start(head: &[u8]) -> bool {
    head.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected)
}

fn status(head: &[u8]) -> Option<u16> {
    str::from_utf8(head.strip_prefix(b"HTTP/")?.get(4..7)?).ok()?.parse().ok()
}

/// The schemes by which the proxy lets a client say who it is (RFC 9110 §11.7.1), each once.
fn schemes(head: &[u8]) -> Vec<String> {
    let head = String::from_utf8_lossy(head);
    let mut schemes = Vec::new();
    for line in head.lines() {
        let Some((name, challenges)) = line.split_once(':') else { continue };
        if !name.eq_ignore_ascii_case("proxy-authenticate") {
            continue;
        }
        // A comma stands between two challenges, between the parameters of one, and in quotes.
        let unquoted: String = challenges.split('"').step_by(2).collect();
        for part in unquoted.split(',') {
            let scheme = part.split_whitespace().next().unwrap_or_default();
            let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if is_scheme && !scheme.is_empty() && !schemes.iter().any(|known| known == scheme) {
                schemes.push(scheme.to_owned());
            }
        }
    }
    schemes
}

/// The connection through the proxy, which has yet to speak TLS with the server whatever it speaks with the
/// proxy.
#[derive(Debug)]
pub(super) struct Tunnel(Box<dyn Transport>);

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_of_a_proxy_are_read_in_every_form() {
        for (headers, expected) in [
            ("", &[][..]),
            ("Proxy-Authenticate: NTLM", &["NTLM"]),
            ("proxy-authenticate: Negotiate\r\nPROXY-AUTHENTICATE: NTLM", &["Negotiate", "NTLM"]),
            (
                "Proxy-Authenticate: Digest realm=\"a\", qop=\"auth\", Basic realm=\"b\"",
                &["Digest", "Basic"],
            ),
            ("Proxy-Authenticate: Negotiate, NTLM ,NTLM,", &["Negotiate", "NTLM"]),
            (
                "Proxy-Authenticate: Basic realm=\"A, B, C\", Digest realm=\"D\"",
                &["Basic", "Digest"],
            ),
            ("WWW-Authenticate: Basic", &[]),
            ("Proxy-Authenticate: \u{1b}[31m x", &[]),
        ] {
            let head = format!("HTTP/1.1 407 X\r\n{headers}\r\n\r\n");
            assert_eq!(schemes(head.as_bytes()), expected, "{headers}");
        }
    }

    #[test]
    fn an_answer_is_told_from_what_is_none() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\nmore", (Some(200), true)),
            ("HTTP/1.0 502 Bad Gateway\nA: b\n\n", (Some(502), true)),
            ("HTTP/1.1 407", (Some(407), true)),
            ("HTTP/1.1 4", (None, true)),
            // An interim one.
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nmore", (Some(200), true)),
            (
                "HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 X\r\n\r\nHTTP/1.1 407 X\r\n\r\n",
                (Some(407), true),
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", (None, true)),
            ("", (None, true)),
            ("\u{15}\u{3}\u{1}", (None, false)),
            ("SSH-2.0-OpenSSH\r\n", (None, false)),
        ] {
            let head = read_head(&mut bytes.as_bytes()).unwrap();
            assert_eq!((status(&head), is_start(&head)), expected, "{bytes:?}");
            assert!(!head.ends_with(b"more"));
        }
    }
}
