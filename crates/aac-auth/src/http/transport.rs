//! HTTP on top of ureq: one agent, no redirects, bounded waits, proxies as curl reads them, the
//! system's certificates, and errors that say how far a request got.

use crate::error::NetworkError;
use crate::http::certificate;
use crate::http::connection::{self, Progress, SLACK};
use crate::http::proxy::Proxies;
use crate::loopback::is_loopback;
use crate::platform;
use rustls::AlertDescription as Alert;
use std::time::Duration;
use std::{error, io};
use ureq::config::AutoHeaderValue;
use ureq::http::{Request, Response};
use ureq::tls::{ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, Timeout};

/// The largest head of a response that is read, in bytes.
const LARGEST_HEAD: usize = 256 * 1024;

/// Time limits for the parts of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The name lookup, and then the connection with its TLS handshake, each.
    pub(crate) connect: Duration,
    /// From sending the request until the response's status and headers arrive.
    pub(crate) first_byte: Duration,
    /// The longest pause within a body, in either direction.
    pub(crate) idle: Duration,
    /// The whole request.
    pub(crate) total: Option<Duration>,
}

/// A client's connections, kept alive and shared by its threads.
#[derive(Debug)]
pub(crate) struct Transport {
    agent: Agent,
    proxies: Proxies,
    /// Whether the system's certificates are trusted.
    trusts_system: bool,
}

impl Transport {
    /// One that trusts these certificates, and may have one of its own.
    pub(crate) fn new(user_agent: &str, roots: RootCerts, own: Option<ClientCert>) -> Self {
        let trusts_system = matches!(roots, RootCerts::PlatformVerifier);
        let tls = TlsConfig::builder().root_certs(roots).client_cert(own).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .user_agent(user_agent)
            // Some proxies add any number of cookies.
            .max_response_header_size(LARGEST_HEAD)
            .input_buffer_size(LARGEST_HEAD + 16 * 1024)
            // Calls ask for it themselves; a refresh and a vault do not.
            .accept_encoding(AutoHeaderValue::None)
            // Decided per request: loopback hosts and those in NO_PROXY bypass it.
            .proxy(None)
            .tls_config(tls)
            .build();
        Self { agent: connection::agent(config), proxies: Proxies::find(), trusts_system }
    }

    /// Sends a request and waits for the headers of the response, whatever its status.
    pub(crate) fn send<B: AsSendBody>(
        &self,
        request: Request<B>,
        limits: &Limits,
    ) -> Result<Response<Body>, NetworkError> {
        let proxy = self.proxies.of(request.uri())?;
        // Bounding a lookup takes a thread each time. Loopback does not need one.
        let is_here = is_loopback(request.uri().host().unwrap_or_default());
        let connect = limits.total.unwrap_or(limits.connect).min(limits.connect);
        let is_safe = request.method().is_safe();
        let start = if proxy.is_some() { Progress::ToProxy } else { Progress::Connecting };
        start.set();
        // What is looked up and connected to here is the proxy, unless it wants to be given addresses.
        let by_way_of = proxy.as_ref().map(|proxy| {
            let address = format!("{}:{}", proxy.host(), proxy.port());
            (proxy.resolve_target(), address)
        });
        let request = self
            .agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_resolve((!is_here).then_some(connect))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(limits.first_byte + SLACK))
            .timeout_per_read(Some(limits.idle.max(limits.first_byte)))
            .timeout_per_write(Some(limits.idle))
            .timeout_global(limits.total.map(|total| total + SLACK));
        // A server may close an idle connection just as a request goes out on it. Then nobody knows
        // whether the request was carried out, and an unsafe one cannot be sent again.
        let request = if is_safe { request } else { request.max_idle_age(Duration::ZERO) };
        self.agent.run(request.build()).map_err(|error| {
            let reason = network_error(&error);
            let reason = if self.trusts_system { certificate::blamed(reason) } else { reason };
            let reason = match reason {
                NetworkError::Tls(what) if Progress::get().is_sent() => NetworkError::Broken(what),
                reason if Progress::get().is_sent() => return reason,
                // In the middle of the TLS handshake, for example.
                NetworkError::Timeout(_) => NetworkError::Connect("timed out".to_owned()),
                NetworkError::Broken(what) => NetworkError::Connect(what),
                reason => reason,
            };
            let is_at_proxy = Progress::get() == Progress::ToProxy;
            match (reason, by_way_of) {
                (NetworkError::Lookup(what), Some((false, proxy))) => {
                    NetworkError::ProxyUnreachable(format!("{proxy}: {what}"))
                }
                (NetworkError::Connect(what), Some((_, proxy))) if is_at_proxy => {
                    NetworkError::ProxyUnreachable(format!("{proxy}: {what}"))
                }
                // As with https:// before a proxy that is asked in clear.
                (NetworkError::Tls(what), Some((_, proxy))) if is_at_proxy => {
                    NetworkError::Proxy(format!("{proxy}: {what}"))
                }
                (reason, _) => reason,
            }
        })
    }
}

/// What ureq's error means to a user.
fn network_error(error: &ureq::Error) -> NetworkError {
    use ureq::Error as E;
    match error {
        E::HostNotFound => NetworkError::Lookup("no address".to_owned()),
        E::Timeout(Timeout::Resolve) => NetworkError::Lookup("timed out".to_owned()),
        E::Timeout(Timeout::Connect) => NetworkError::Connect("timed out".to_owned()),
        E::Timeout(Timeout::RecvResponse) => {
            NetworkError::Timeout("waiting for the response".to_owned())
        }
        E::Timeout(Timeout::PerRead) => {
            NetworkError::Timeout("while receiving the response".to_owned())
        }
        E::Timeout(Timeout::Global) => NetworkError::Timeout("overall".to_owned()),
        E::Timeout(_) => NetworkError::Timeout("sending the request".to_owned()),
        E::LargeResponseHeader(..) => NetworkError::LargeHead(format!(
            "the headers of the response are larger than {} KiB",
            LARGEST_HEAD >> 10
        )),
        E::Protocol(error) if error.to_string().contains("too many headers") => {
            NetworkError::LargeHead("the response has more than 128 headers".to_owned())
        }
        E::Rustls(error) => tls_network_error(error),
        E::Io(error) => of_io(error),
        // Ours.
        E::Other(error) => match (error.downcast_ref(), error.downcast_ref()) {
            (Some(reason), _) => NetworkError::clone(reason),
            (_, Some(error)) => of_io(error),
            _ => NetworkError::Broken(error.to_string()),
        },
        other => NetworkError::Broken(other.to_string()),
    }
}

/// What an error while reading a body means to a user.
pub(crate) fn io_network_error(error: &io::Error) -> NetworkError {
    match of_io(error) {
        NetworkError::Tls(what) => NetworkError::Broken(what),
        reason => reason,
    }
}

/// What an error of the socket means to a user.
fn of_io(error: &io::Error) -> NetworkError {
    let inner = error.get_ref().map(|inner| inner as &(dyn error::Error + 'static));
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return network_error(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_network_error(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<NetworkError>()) {
        return inner.clone();
    }
    let text = error.to_string();
    match error.kind() {
        _ if platform::is_lookup_failure(error) => NetworkError::Lookup(text),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => NetworkError::Connect(text),
        // From TLS, or from incomplete HTTP.
        io::ErrorKind::UnexpectedEof => {
            NetworkError::Broken("the server closed it early".to_owned())
        }
        _ => NetworkError::Broken(text),
    }
}

fn tls_network_error(error: &rustls::Error) -> NetworkError {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate::problem(reason),
        // The wording of rustls-platform-verifier; rustls has no kind for it.
        rustls::Error::General(text) if text.contains("No CA certificates") => {
            NetworkError::NoRoots
        }
        // With TLS 1.3, a server says so only when it is waited for.
        rustls::Error::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => NetworkError::ClientCertificate(format!("{alert:?}")),
        other => NetworkError::Tls(format!("TLS: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_refuses_lasts_and_a_certificate_of_a_client_s_is_told() {
        for (error, expected) in [
            (rustls::Error::AlertReceived(Alert::CertificateRequired), "demands a certificate"),
            (rustls::Error::AlertReceived(Alert::UnknownCA), "demands a certificate"),
            (rustls::Error::AlertReceived(Alert::HandshakeFailure), "no secure connection"),
            (rustls::InvalidMessage::InvalidContentType.into(), "no secure connection"),
            (rustls::PeerIncompatible::NoCipherSuitesInCommon.into(), "no secure connection"),
        ] {
            let error = tls_network_error(&error);
            assert!(error.is_lasting() && error.to_string().contains(expected), "{error}");
        }
    }
}
