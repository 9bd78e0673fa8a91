//! HTTP as this crate wants it from ureq: one agent, no redirects, bounded waits, proxies as curl
//! reads them, the system's certificates, and errors that say how far a request got.

use crate::error::NetworkError;
use crate::http::is_loopback;
use crate::http::tcp::{self, LookupFailed, Progress, SLACK};
use crate::platform;
use std::io;
use std::time::Duration;
use std::{env, error};
use ureq::http::{Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, Proxy, Timeout};

/// How long each part of a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The name lookup, and then the connection with its TLS handshake, each.
    pub(crate) connect: Duration,
    /// From the request being sent until the answer's status and headers are there.
    pub(crate) first_byte: Duration,
    /// The longest pause within a body, either way.
    pub(crate) idle: Duration,
    /// All of it.
    pub(crate) total: Option<Duration>,
}

/// The connections of a client, kept alive and shared by its threads.
#[derive(Debug)]
pub(crate) struct Transport {
    agent: Agent,
    proxy: Result<Option<Proxy>, String>,
    no_proxy: String,
}

impl Transport {
    pub(crate) fn new(user_agent: &str) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .user_agent(user_agent)
            // Some proxies add cookies without end.
            .max_response_header_size(256 * 1024)
            // Decided for each request: loopback hosts and those of NO_PROXY do without.
            .proxy(None)
            .tls_config(tls)
            .build();
        Self {
            agent: tcp::agent(config),
            proxy: proxy_from_env(),
            no_proxy: first_var(&["no_proxy", "NO_PROXY"]).1,
        }
    }

    /// Sends a request and waits for the headers of the answer, whatever its status.
    pub(crate) fn send<B: AsSendBody>(
        &self,
        request: Request<B>,
        limits: &Limits,
    ) -> Result<Response<Body>, NetworkError> {
        let proxy = self.proxy_for(request.uri())?;
        // To bound a lookup takes a thread, every time. This machine is found without one.
        let is_here = is_loopback(request.uri().host().unwrap_or_default());
        let connect = limits.total.unwrap_or(limits.connect).min(limits.connect);
        // A server may close an idle connection at the very moment at which a request goes out on it.
        // Nobody knows then whether it was carried out, and it cannot be sent again if it does more than
        // ask.
        let is_new = !request.method().is_safe();
        match (is_new, &proxy) {
            (true, Some(_)) => Progress::ToProxy,
            (true, None) => Progress::Connecting,
            // There may be a connection already.
            (false, _) => Progress::Sending,
        }
        .set();
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
        let request = if is_new { request.max_idle_age(Duration::ZERO) } else { request };
        self.agent.run(request.build()).map_err(|error| match trouble(&error) {
            trouble if Progress::get().is_sent() => trouble,
            // In the middle of TLS, for example.
            NetworkError::Timeout(_) => NetworkError::Connect("timed out".to_owned()),
            NetworkError::Broken(what) => NetworkError::Connect(what),
            trouble => trouble,
        })
    }

    fn proxy_for(&self, uri: &Uri) -> Result<Option<Proxy>, NetworkError> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if is_loopback(&host) || is_exempt(&host, &self.no_proxy) {
            return Ok(None);
        }
        self.proxy.clone().map_err(NetworkError::Proxy)
    }
}

/// The proxy for https, looked for where curl looks: `https_proxy` before `all_proxy`, the lower-case
/// name before the upper-case one, and an empty value counts as none.
fn proxy_from_env() -> Result<Option<Proxy>, String> {
    match first_var(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]) {
        ("", _) => Ok(platform::system_proxy()),
        (name, value) => match Proxy::new(&value) {
            Ok(proxy) => Ok(Some(proxy)),
            // The value may have a password in it.
            Err(_) => Err(format!("{name} is not a proxy URL such as http://host:port")),
        },
    }
}

/// The first of the variables that is set to something, and its value; two empty strings where none is.
fn first_var<'a>(names: &[&'a str]) -> (&'a str, String) {
    let value = |name: &str| env::var(name).ok().map(|value| value.trim().to_owned());
    let set =
        names.iter().find_map(|name| Some((*name, value(name).filter(|value| !value.is_empty())?)));
    set.unwrap_or_default()
}

/// Whether NO_PROXY covers the host, read as curl reads it: names apart by commas or blanks, a leading
/// dot changes nothing, a domain covers all below it, and `*` is everything.
fn is_exempt(host: &str, no_proxy: &str) -> bool {
    no_proxy.split([',', ' ', '\t']).any(|entry| {
        let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        entry == "*"
            || (!entry.is_empty()
                && host
                    .strip_suffix(&entry)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    })
}

/// What ureq's error means to a user.
fn trouble(error: &ureq::Error) -> NetworkError {
    use ureq::Error as E;
    match error {
        E::HostNotFound => NetworkError::Lookup("no address".to_owned()),
        E::Timeout(Timeout::Resolve) => NetworkError::Lookup("timed out".to_owned()),
        E::Timeout(Timeout::Connect) => NetworkError::Connect("timed out".to_owned()),
        E::Timeout(Timeout::RecvResponse) => {
            NetworkError::Timeout("waiting for the answer".to_owned())
        }
        E::Timeout(Timeout::PerRead | Timeout::RecvBody) => {
            NetworkError::Timeout("in the middle of the answer".to_owned())
        }
        E::Timeout(Timeout::Global) => NetworkError::Timeout("on the whole".to_owned()),
        E::Timeout(_) => NetworkError::Timeout("sending the request".to_owned()),
        E::ConnectionFailed => NetworkError::Connect("the host did not answer".to_owned()),
        E::ConnectProxyFailed(what) => NetworkError::Proxy(what.clone()),
        E::InvalidProxyUrl => NetworkError::Proxy("its URL is not valid".to_owned()),
        E::Rustls(error) => tls_network_error(error),
        E::Io(error) => io_network_error(error),
        other => NetworkError::Broken(other.to_string()),
    }
}

/// What an error of the socket, or while a body is read, means to a user.
pub(crate) fn io_network_error(error: &io::Error) -> NetworkError {
    let inner = error.get_ref().map(|inner| inner as &(dyn error::Error + 'static));
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return trouble(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_network_error(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<io::Error>()) {
        return io_network_error(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<LookupFailed>()) {
        return NetworkError::Lookup(inner.to_string());
    }
    let text = error.to_string();
    match error.kind() {
        // std has no kind for a failed lookup.
        _ if text.starts_with("failed to lookup address") => NetworkError::Lookup(text),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => NetworkError::Connect(text),
        // Of TLS, or of HTTP that was not whole.
        io::ErrorKind::UnexpectedEof => {
            NetworkError::Broken("the server closed it early".to_owned())
        }
        _ => NetworkError::Broken(text),
    }
}

fn tls_network_error(error: &rustls::Error) -> NetworkError {
    match error {
        rustls::Error::InvalidCertificate(reason) => NetworkError::Certificate(reason.to_string()),
        // The words of rustls-platform-verifier; rustls has no kind for it.
        rustls::Error::General(text) if text.contains("No CA certificates") => {
            NetworkError::NoRoots
        }
        other => NetworkError::Broken(format!("TLS: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let host = "pingauth.alteryxcloud.com";
        for covering in [
            "*",
            host,
            "alteryxcloud.com",
            ".alteryxcloud.com",
            "a.example, AlteryxCloud.COM",
            "x  alteryxcloud.com.",
        ] {
            assert!(is_exempt(host, covering), "{covering}");
        }
        for other in [
            "",
            ",",
            ".",
            "api.alteryxcloud.com",
            "yxcloud.com",
            "auth.alteryxcloud.com",
            "*.alteryxcloud.com",
        ] {
            assert!(!is_exempt(host, other), "{other}");
        }
    }
}
