//! HTTP as this crate wants it from ureq: one agent, no redirects, bounded waits, proxies as curl
//! reads them, the system's certificates, and errors that say how far a request got.

use crate::error::Trouble;
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
    pub(crate) pause: Duration,
    /// All of it.
    pub(crate) total: Option<Duration>,
}

/// The connections of a client, kept alive and shared by its threads.
#[derive(Debug)]
pub(crate) struct Wire {
    agent: Agent,
    proxy: Result<Option<Proxy>, String>,
    no_proxy: String,
}

impl Wire {
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
    ) -> Result<Response<Body>, Trouble> {
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
            .timeout_per_read(Some(limits.pause.max(limits.first_byte)))
            .timeout_per_write(Some(limits.pause))
            .timeout_global(limits.total.map(|total| total + SLACK));
        let request = if is_new { request.max_idle_age(Duration::ZERO) } else { request };
        self.agent.run(request.build()).map_err(|error| match trouble(&error) {
            trouble if Progress::get().is_sent() => trouble,
            // In the middle of TLS, for example.
            Trouble::Timeout(_) => Trouble::Connect("timed out".to_owned()),
            Trouble::Broken(what) => Trouble::Connect(what),
            trouble => trouble,
        })
    }

    fn proxy_for(&self, uri: &Uri) -> Result<Option<Proxy>, Trouble> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if is_loopback(&host) || is_exempt(&host, &self.no_proxy) {
            return Ok(None);
        }
        self.proxy.clone().map_err(Trouble::Proxy)
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
fn trouble(error: &ureq::Error) -> Trouble {
    use ureq::Error as E;
    match error {
        E::HostNotFound => Trouble::Lookup("no address".to_owned()),
        E::Timeout(Timeout::Resolve) => Trouble::Lookup("timed out".to_owned()),
        E::Timeout(Timeout::Connect) => Trouble::Connect("timed out".to_owned()),
        E::Timeout(Timeout::RecvResponse) => Trouble::Timeout("waiting for the answer".to_owned()),
        E::Timeout(Timeout::PerRead | Timeout::RecvBody) => {
            Trouble::Timeout("in the middle of the answer".to_owned())
        }
        E::Timeout(Timeout::Global) => Trouble::Timeout("on the whole".to_owned()),
        E::Timeout(_) => Trouble::Timeout("sending the request".to_owned()),
        E::ConnectionFailed => Trouble::Connect("the host did not answer".to_owned()),
        E::ConnectProxyFailed(what) => Trouble::Proxy(what.clone()),
        E::InvalidProxyUrl => Trouble::Proxy("its URL is not valid".to_owned()),
        E::Rustls(error) => tls_trouble(error),
        E::Io(error) => io_trouble(error),
        other => Trouble::Broken(other.to_string()),
    }
}

/// What an error of the socket, or while a body is read, means to a user.
pub(crate) fn io_trouble(error: &io::Error) -> Trouble {
    let inner = error.get_ref().map(|inner| inner as &(dyn error::Error + 'static));
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return trouble(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_trouble(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<io::Error>()) {
        return io_trouble(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<LookupFailed>()) {
        return Trouble::Lookup(inner.to_string());
    }
    let text = error.to_string();
    match error.kind() {
        // std has no kind for a failed lookup.
        _ if text.starts_with("failed to lookup address") => Trouble::Lookup(text),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Trouble::Connect(text),
        // Of TLS, or of HTTP that was not whole.
        io::ErrorKind::UnexpectedEof => Trouble::Broken("the server closed it early".to_owned()),
        _ => Trouble::Broken(text),
    }
}

fn tls_trouble(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(reason) => Trouble::Certificate(reason.to_string()),
        // The words of rustls-platform-verifier; rustls has no kind for it.
        rustls::Error::General(text) if text.contains("No CA certificates") => Trouble::NoRoots,
        other => Trouble::Broken(format!("TLS: {other}")),
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
