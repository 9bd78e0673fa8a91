//! The proxy of a request: that of the environment, as curl reads it, or the system's.

use crate::error::NetworkError;
use crate::loopback::is_loopback;
use crate::platform::{self, SystemProxy};
use std::env;
use ureq::Proxy;
use ureq::http::Uri;

/// The proxy for https, and what it is not for.
#[derive(Debug)]
pub(super) struct Proxies {
    /// The proxy, if there is one, or why it cannot be used.
    proxy: Result<Option<Proxy>, String>,
    no_proxy: String,
    /// The hosts that the system's settings exempt from its proxy.
    exempt: String,
}

impl Proxies {
    /// Reads the environment, `https_proxy` before `all_proxy`, or the system's settings.
    pub(super) fn find() -> Self {
        let no_proxy = variable("no_proxy").map_or_else(String::new, |(_, value)| value);
        match variable("https_proxy").or_else(|| variable("all_proxy")) {
            None => Self { no_proxy, ..Self::of_system(platform::system_proxy()) },
            Some((name, value)) => {
                // The value may contain a password.
                let unusable = |_| format!("{name} is not a proxy URL such as http://host:port");
                let proxy = Proxy::new(&value).map(Some).map_err(unusable);
                Self { proxy, no_proxy, exempt: String::new() }
            }
        }
    }

    fn of_system(system: SystemProxy) -> Self {
        let unusable = |_| "the one in this system's settings has no usable address".to_owned();
        let proxy = https_server(&system.servers).map(|url| Proxy::new(&url)).transpose();
        Self { proxy: proxy.map_err(unusable), no_proxy: String::new(), exempt: system.exempt }
    }

    /// The proxy for this URL.
    pub(super) fn of(&self, uri: &Uri) -> Result<Option<Proxy>, NetworkError> {
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

/// A variable that is not empty, and the name under which it was set: this one, or the same in upper case.
fn variable(name: &str) -> Option<(String, String)> {
    let is_it = |set: &str| match platform::VARIABLES_IGNORE_CASE {
        true => set.eq_ignore_ascii_case(name),
        false => set == name || set == name.to_ascii_uppercase(),
    };
    let set = env::vars_os().filter_map(|(set, value)| {
        let (set, value) = (set.into_string().ok()?, value.into_string().ok()?);
        let value = value.trim();
        (is_it(&set) && !value.is_empty()).then(|| (set, value.to_owned()))
    });
    // The lower-case name goes first.
    set.max_by_key(|(set, _)| set == name)
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
            let proxy = Proxies::of_system(system).proxy;
            assert_eq!(proxy.unwrap().is_some(), expected.is_some(), "{servers}");
        }
        let system = SystemProxy { servers: "no address".to_owned(), ..SystemProxy::default() };
        assert!(Proxies::of_system(system).proxy.is_ok(), "a name without a port is a server");
        let system = SystemProxy { servers: "http://".to_owned(), ..SystemProxy::default() };
        let error = Proxies::of_system(system).proxy.unwrap_err();
        assert!(error.contains("this system's settings"), "{error}");
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
    fn a_host_that_needs_no_proxy_gets_none() {
        let proxies = Proxies {
            proxy: Err("used".to_owned()),
            no_proxy: "eu1.alteryxcloud.com".to_owned(),
            exempt: "*.us1.alteryxcloud.com".to_owned(),
        };
        for (host, has_proxy) in [
            ("api.eu1.alteryxcloud.com", false),
            ("api.us1.alteryxcloud.com", false),
            ("127.0.0.1:8080", false),
            ("api.au1.alteryxcloud.com", true),
        ] {
            let uri = format!("https://{host}/").parse().unwrap();
            assert_eq!(proxies.of(&uri).is_err(), has_proxy, "{host}");
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
