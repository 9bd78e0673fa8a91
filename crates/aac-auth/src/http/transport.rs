//! HTTP on top of ureq: one agent, no redirects, bounded waits, proxies as curl reads them, the
//! system's certificates, and errors that say how far a request got.

use crate::error::NetworkError;
use crate::http::tcp::{self, Progress, SLACK};
use crate::loopback::is_loopback;
use crate::platform::{self, SystemProxy};
use rustls::CertificateError;
use std::io;
use std::time::Duration;
use std::{env, error};
use ureq::config::AutoHeaderValue;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, Proxy, Timeout};

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
    proxy: Result<Option<Proxy>, String>,
    no_proxy: String,
    /// The hosts that the system's settings exempt from its proxy.
    exempt: String,
}

impl Transport {
    pub(crate) fn new(user_agent: &str) -> Self {
        Self::with_roots(user_agent, RootCerts::PlatformVerifier)
    }

    /// One that trusts these certificates.
    pub(crate) fn with_roots(user_agent: &str, roots: RootCerts) -> Self {
        let tls = TlsConfig::builder().root_certs(roots).build();
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
        let (proxy, exempt) = match proxy_from_env() {
            Ok(None) => proxy_from_system(platform::system_proxy().unwrap_or_default()),
            proxy => (proxy, String::new()),
        };
        let (_, no_proxy) = first_var(&["no_proxy", "NO_PROXY"]);
        Self { agent: tcp::agent(config), proxy, no_proxy, exempt }
    }

    /// Sends a request and waits for the headers of the response, whatever its status.
    pub(crate) fn send<B: AsSendBody>(
        &self,
        request: Request<B>,
        limits: &Limits,
    ) -> Result<Response<Body>, NetworkError> {
        let proxy = self.proxy_for(request.uri())?;
        // Bounding a lookup takes a thread each time. Loopback does not need one.
        let is_here = is_loopback(request.uri().host().unwrap_or_default());
        let connect = limits.total.unwrap_or(limits.connect).min(limits.connect);
        let is_safe = request.method().is_safe();
        let start = if proxy.is_some() { Progress::ToProxy } else { Progress::Connecting };
        start.set();
        // What is looked up and connected to here is the proxy, unless it wants to be given addresses.
        let by_way_of = proxy.as_ref().map(|proxy| (proxy.resolve_target(), address(proxy)));
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
        self.agent.run(request.build()).map_err(|error| match (network_error(&error), by_way_of) {
            (NetworkError::Lookup(what), Some((false, proxy)))
            | (NetworkError::Connect(what), Some((_, proxy))) => {
                NetworkError::ProxyUnreachable(format!("{proxy}: {what}"))
            }
            (reason, _) if Progress::get().is_sent() => reason,
            // In the middle of the TLS handshake, for example.
            (NetworkError::Timeout(_), _) => NetworkError::Connect("timed out".to_owned()),
            (NetworkError::Broken(what), _) => NetworkError::Connect(what),
            (reason, _) => reason,
        })
    }

    fn proxy_for(&self, uri: &Uri) -> Result<Option<Proxy>, NetworkError> {
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(443);
        if is_loopback(&host)
            || is_exempt(&host, &self.no_proxy)
            || is_exempt_by_system(&host, port, &self.exempt)
        {
            return Ok(None);
        }
        self.proxy.clone().map_err(NetworkError::Proxy)
    }
}

/// The host and port of a proxy, without its user and password.
fn address(proxy: &Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

/// The proxy for https, found as curl finds it: `https_proxy` before `all_proxy`, the lower-case name
/// before the upper-case one; an empty value counts as unset.
fn proxy_from_env() -> Result<Option<Proxy>, String> {
    match first_var(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]) {
        (name, _) if name.is_empty() => Ok(None),
        (name, value) => match Proxy::new(&value) {
            Ok(proxy) => Ok(Some(proxy)),
            // The value may contain a password.
            Err(_) => Err(format!("{name} is not a proxy URL such as http://host:port")),
        },
    }
}

/// The system's proxy for https, and the hosts that it is not for.
fn proxy_from_system(system: SystemProxy) -> (Result<Option<Proxy>, String>, String) {
    let proxy = match https_server(&system.servers).map(|url| Proxy::new(&url)) {
        None => Ok(None),
        Some(Ok(proxy)) => Ok(Some(proxy)),
        Some(Err(_)) => Err("the one in this system's settings has no usable address".to_owned()),
    };
    (proxy, system.exempt)
}

/// The server for https in the system's proxy settings, as a URL. They hold one server for every protocol,
/// or one for each (`http=host:port;https=host:port;socks=host:port`); with or without a scheme.
fn https_server(servers: &str) -> Option<String> {
    let entries = || servers.split([';', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let of = |protocol: &str| {
        entries().find_map(|entry| {
            let (name, server) = entry.split_once('=')?;
            name.eq_ignore_ascii_case(protocol).then_some(server)
        })
    };
    let with_scheme = |server: &str, scheme: &str| match server.contains("://") {
        true => server.to_owned(),
        false => format!("{scheme}://{server}"),
    };
    let for_all = || entries().find(|entry| !entry.contains('='));
    match of("https").or_else(for_all) {
        Some(server) => Some(with_scheme(server, "http")),
        // Windows itself speaks version 4.
        None => of("socks").map(|server| with_scheme(server, "socks4")),
    }
}

/// The first variable that is not empty, by the name under which it was set, and its value; two empty
/// strings if there is none.
fn first_var(names: &[&str]) -> (String, String) {
    let value = |name: &str| env::var(name).ok().map(|value| value.trim().to_owned());
    let set = |name: &&str| {
        let value = value(name).filter(|value| !value.is_empty())?;
        Some((as_set(name), value))
    };
    names.iter().find_map(set).unwrap_or_default()
}

/// The variable's name as it was set: Windows ignores the case.
fn as_set(name: &str) -> String {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let alike = names.filter(|set| set.eq_ignore_ascii_case(name));
    alike.max_by_key(|set| set == name).unwrap_or_default()
}

/// Whether the system's settings exempt the host from its proxy for https: names with `*` for any text,
/// perhaps with a protocol or port, separated by semicolons. `<local>` stands for names without a dot, which
/// none of ours is.
fn is_exempt_by_system(host: &str, port: u16, exempt: &str) -> bool {
    let port = format!(":{port}");
    exempt.split([';', ' ']).any(|entry| {
        let entry = entry.trim().to_ascii_lowercase();
        let (scheme, pattern) = entry.split_once("://").unwrap_or(("https", &entry));
        let pattern = pattern.strip_suffix(&port).unwrap_or(pattern);
        scheme == "https" && !pattern.is_empty() && matches_wildcard(pattern, host)
    })
}

fn matches_wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches_wildcard(rest, &text[at..]))
        }),
    }
}

/// Whether NO_PROXY covers the host, read as curl reads it: commas or spaces separate names, a leading
/// dot changes nothing, a domain covers its subdomains, and `*` is everything.
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
fn network_error(error: &ureq::Error) -> NetworkError {
    use ureq::Error as E;
    match error {
        E::HostNotFound => NetworkError::Lookup("no address".to_owned()),
        E::Timeout(Timeout::Resolve) => NetworkError::Lookup("timed out".to_owned()),
        E::Timeout(Timeout::Connect) => NetworkError::Connect("timed out".to_owned()),
        E::Timeout(Timeout::RecvResponse) => {
            NetworkError::Timeout("waiting for the response".to_owned())
        }
        E::Timeout(Timeout::PerRead | Timeout::RecvBody) => {
            NetworkError::Timeout("while receiving the response".to_owned())
        }
        E::Timeout(Timeout::Global) => NetworkError::Timeout("overall".to_owned()),
        E::Timeout(_) => NetworkError::Timeout("sending the request".to_owned()),
        E::ConnectionFailed => NetworkError::Connect("the host did not respond".to_owned()),
        E::ConnectProxyFailed(what) => NetworkError::Proxy(what.clone()),
        E::InvalidProxyUrl => NetworkError::Proxy("its URL is not valid".to_owned()),
        E::LargeResponseHeader(..) => NetworkError::LargeHead(format!(
            "the headers of the response are larger than {} KiB",
            LARGEST_HEAD >> 10
        )),
        E::Protocol(error) if error.to_string().contains("too many headers") => {
            NetworkError::LargeHead("the response has more than 128 headers".to_owned())
        }
        E::Rustls(error) => tls_network_error(error),
        E::Io(error) | E::Decompress(_, error) => io_network_error(error),
        // Ours.
        E::Other(error) => match (error.downcast_ref(), error.downcast_ref()) {
            (Some(reason), _) => NetworkError::clone(reason),
            (_, Some(error)) => io_network_error(error),
            _ => NetworkError::Broken(error.to_string()),
        },
        other => NetworkError::Broken(other.to_string()),
    }
}

/// What an error of the socket, or while reading a body, means to a user.
pub(crate) fn io_network_error(error: &io::Error) -> NetworkError {
    let inner = error.get_ref().map(|inner| inner as &(dyn error::Error + 'static));
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return network_error(inner);
    }
    if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_network_error(inner);
    }
    let text = error.to_string();
    match error.kind() {
        // std has no kind for a failed lookup.
        _ if text.starts_with("failed to lookup address") || platform::is_lookup_failure(error) => {
            NetworkError::Lookup(text)
        }
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
        // rustls shows a cause of the platform's as code.
        rustls::Error::InvalidCertificate(CertificateError::Other(cause)) => {
            NetworkError::Certificate(cause.to_string())
        }
        rustls::Error::InvalidCertificate(reason) => NetworkError::Certificate(reason.to_string()),
        // The wording of rustls-platform-verifier; rustls has no kind for it.
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
    fn the_proxy_is_read_from_every_form_that_the_system_writes() {
        for (servers, expected) in [
            ("proxy:8080", Some("http://proxy:8080")),
            ("http://proxy:8080", Some("http://proxy:8080")),
            ("http=a:1;https=b:2;ftp=c:3", Some("http://b:2")),
            ("http=a:1; HTTPS=http://b:2 ", Some("http://b:2")),
            ("https=https://b:2", Some("https://b:2")),
            ("http=a:1;socks=d:4", Some("socks4://d:4")),
            ("http=a:1 c:3", Some("http://c:3")),
            ("http=a:1", None),
            ("", None),
            (" ; ", None),
        ] {
            assert_eq!(https_server(servers).as_deref(), expected, "{servers}");
            let system = SystemProxy { servers: servers.to_owned(), ..SystemProxy::default() };
            let (proxy, _) = proxy_from_system(system);
            assert_eq!(proxy.unwrap().is_some(), expected.is_some(), "{servers}");
        }
        let system = SystemProxy { servers: "no address".to_owned(), ..SystemProxy::default() };
        assert!(proxy_from_system(system).0.is_ok(), "a name without a port is a server");
        let system = SystemProxy { servers: "http://".to_owned(), ..SystemProxy::default() };
        assert!(proxy_from_system(system).0.unwrap_err().contains("this system's settings"));
    }

    #[test]
    fn what_the_system_exempts_from_its_proxy_needs_none() {
        let host = "api.us1.alteryxcloud.com";
        for covering in [
            "*",
            "<local>;*.alteryxcloud.com",
            "API.*.com",
            "https://api.us1*",
            "*.alteryxcloud.com:443",
            host,
        ] {
            assert!(is_exempt_by_system(host, 443, covering), "{covering}");
        }
        for other in [
            "",
            ";",
            "<local>",
            "alteryxcloud.com",
            "*.us1",
            "us1*",
            "a*x",
            "http://*",
            "*.alteryxcloud.com:8443",
        ] {
            assert!(!is_exempt_by_system(host, 443, other), "{other}");
        }
    }

    #[test]
    fn the_system_tells_of_a_certificate_in_its_own_words() {
        let cause = rustls::OtherError(std::sync::Arc::new(io::Error::other("no chain of trust")));
        let error = rustls::Error::InvalidCertificate(CertificateError::Other(cause));
        let expected = NetworkError::Certificate("no chain of trust".to_owned());
        assert_eq!(tls_network_error(&error), expected);
    }

    #[test]
    fn a_host_that_needs_no_proxy_gets_none() {
        let transport = Transport {
            proxy: Err("used".to_owned()),
            no_proxy: "eu1.alteryxcloud.com".to_owned(),
            exempt: "*.us1.alteryxcloud.com".to_owned(),
            ..Transport::new("test/1.0")
        };
        for (host, has_proxy) in [
            ("api.eu1.alteryxcloud.com", false),
            ("api.us1.alteryxcloud.com", false),
            ("127.0.0.1:8080", false),
            ("api.au1.alteryxcloud.com", true),
        ] {
            let uri = format!("https://{host}/").parse().unwrap();
            assert_eq!(transport.proxy_for(&uri).is_err(), has_proxy, "{host}");
        }
    }

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
