//! Tells this machine from others.

use std::net::IpAddr;

/// Whether the host is this machine: the one exception to "Alteryx Cloud alone, and https".
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
