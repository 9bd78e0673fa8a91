//! The proxy of a request: that of the environment, as curl reads it, or the system's.

use crate::error::NetworkError;
use crate::loopback::is_loopback;
use crate::platform::{self, SystemProxy};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::env;
use std::net::IpAddr;
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
                let proxy = Proxy::new(&with_plain_credentials(&value));
                let proxy = proxy.map(Some).map_err(unusable);
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

/// The URL of a proxy as curl takes it, in a form that a URL has: its user name and password may hold what no
/// URL does, such as the `\` of a Windows domain.
fn with_plain_credentials(url: &str) -> Cow<'_, str> {
    // What is escaped already stays so.
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'%').remove(b':');
    let start = url.find("://").map_or(0, |at| at + "://".len());
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[start..end].rfind('@') {
        Some(at) => {
            let (credentials, rest) = url[start..].split_at(at);
            let credentials = utf8_percent_encode(credentials, &ESCAPED);
            format!("{}{credentials}{rest}", &url[..start]).into()
        }
        None => url.into(),
    }
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

/// Whether NO_PROXY covers the host, read as curl reads it: commas or spaces separate names, a leading or
/// trailing dot changes nothing, a domain covers its subdomains, and `*` is everything. An address is covered by
/// itself and by its network (`10.0.0.0/8`).
fn is_exempt(host: &str, no_proxy: &str) -> bool {
    let mut entries = no_proxy.split([',', ' ', '\t']);
    if let Ok(address) = unbracketed(host).parse() {
        return entries.any(|entry| entry == "*" || covers(entry, address));
    }
    let host = host.trim_end_matches('.');
    entries.any(|entry| {
        let entry = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        entry == "*"
            || (!entry.is_empty()
                && host
                    .strip_suffix(&entry)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    })
}

/// Whether an entry is this address, or a network with it. As in curl, a network of 0 bits is its address alone.
fn covers(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = entry
        .split_once('/')
        .map_or((entry, Some(0)), |(network, bits)| (network, bits.parse::<u32>().ok()));
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let (Ok(network), Some(bits)) = (unbracketed(network).parse().map(number), bits) else {
        return false;
    };
    let address = number(address);
    let others = network.1 - if bits == 0 { network.1 } else { bits.min(network.1) };
    network.1 == address.1 && bits <= network.1 && (network.0 ^ address.0) >> others == 0
}

/// An IPv6 address without the brackets that it has in a URL.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
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
        assert!(is_exempt("vault.example.", "example") && is_exempt("vault.example.", "example."));
    }

    #[test]
    fn no_proxy_covers_addresses_and_their_networks() {
        let [v4, v6] = ["10.0.3.1", "[fd00:12::a1]"];
        for (host, entry, expected) in [
            (v4, "*", true),
            (v4, "10.0.3.1", true),
            (v4, "x, 10.0.0.0/8", true),
            (v4, "10.0.2.0/23", true),
            (v4, "10.0.2.0/24", false),
            (v4, "10.0.3.1/32", true),
            (v4, "10.0.3.0/32", false),
            (v4, "0.0.0.0/1", true),
            (v4, "10.0.3.0/31", true),
            // As curl has it.
            (v4, "0.0.0.0/0", false),
            (v4, "10.0.3.1/0", true),
            (v4, "10.0.3.1/33", false),
            (v4, "10.0.3.1/x", false),
            (v4, "10.0.3.1/", false),
            (v4, "10.0.3.1/-1", false),
            (v4, "10.0.3.1:8200", false),
            // No domain has it.
            (v4, "3.1", false),
            (v4, ".3.1", false),
            (v4, "1", false),
            (v4, "::/1", false),
            (v4, "10.0.3", false),
            (v6, "fd00:12::a1", true),
            (v6, "[fd00:12::a1]", true),
            (v6, "FD00:0012:0::A1", true),
            (v6, "fd00::/8", true),
            (v6, "[fd00::]/8", true),
            (v6, "fd00:12::a0/127", true),
            (v6, "fd00:12::a2/127", false),
            (v6, "fd00:12::a1/129", false),
            (v6, "fc00::/8", false),
            (v6, "::/0", false),
            (v6, "10.0.0.0/8", false),
            (v6, ":a1", false),
            ("10.example", "10.0.0.0/8", false),
            ("10.example", "example", true),
        ] {
            assert_eq!(is_exempt(host, entry), expected, "{host} {entry}");
        }
    }

    #[test]
    fn a_proxy_s_credentials_are_read_as_curl_reads_them() {
        for (url, user, password) in [
            ("http://CORP\\user:pass@proxy:8080", "CORP\\user", "pass"),
            ("CORP\\user:pass@proxy:8080", "CORP\\user", "pass"),
            ("http://CORP%5Cuser:p%40ss%25@proxy:8080/", "CORP\\user", "p@ss%"),
            ("http://us er:p@ss|^{}[1]`\"<>@proxy:8080", "us er", "p@ss|^{}[1]`\"<>"),
            ("socks5h://ü:é:%zz@proxy:8080", "ü", "é:%zz"),
            ("http://user@proxy:8080", "user", ""),
        ] {
            let proxy = Proxy::new(&with_plain_credentials(url)).expect(url);
            let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let found = (of(proxy.username()), of(proxy.password()));
            assert_eq!(found, (user.to_owned(), password.to_owned()), "{url}");
            assert_eq!((proxy.host(), proxy.port()), ("proxy", 8080), "{url}");
        }
        for url in ["http://proxy:8080", "proxy:8080/a@b", "proxy", "http://proxy\\x:8080"] {
            assert_eq!(with_plain_credentials(url), url);
        }
    }
}
