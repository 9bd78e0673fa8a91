//! HTTP on top of ureq, and when to retry.

use std::net::IpAddr;

pub(crate) mod coding;
pub(crate) mod retry;
pub(crate) mod tcp;
pub(crate) mod transport;

/// Whether the host is this machine: the one exception to "Alteryx Cloud alone, and https".
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
