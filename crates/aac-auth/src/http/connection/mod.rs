//! Connections for HTTP, instead of ureq's own. ureq's SOCKS and TLS run on top of them.
//!
//! Differences from ureq's:
//! - Addresses are raced, so that a dead one costs a quarter of a second.
//! - A response that has arrived is read even after its deadline, for example when the process was
//!   stopped (SIGSTOP, `docker pause`).
//! - A refusal of an upload is noticed while it is being sent, whether the server reads on, stops reading,
//!   or closes the connection: a failed write is not the end. (On Windows, a server that stops reading is
//!   heard at the deadline of the write; and what has arrived is dropped when the connection is reset, so the
//!   broken connection may be all that is told.)
//! - A body delimited by the end of the connection is complete only if the connection ends properly.
//! - A record of TLS that comes byte by byte has no more time than one that comes at once.
//! - A body may be given a time, which no way of sending it can stretch.
//! - TCP keepalive detects a dead peer.
//! - A name lookup that cannot be started is an error, not a panic.
//! - What a proxy answers is told in full.

mod kept;
mod lookup;
mod progress;
mod race;
mod server;
mod tcp;
mod time;
mod tunnel;

pub(crate) use kept::Kept;
pub(crate) use progress::Progress;
pub(crate) use time::within;

use std::time::Duration;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{Connector, RustlsConnector, SocksConnector};

/// ureq neither reads nor writes after a deadline. Those of a response are extended by this much, and
/// [`server`] takes it off again.
pub(crate) const SLACK: Duration = Duration::from_secs(365 * 86_400);

/// Creates an agent that connects as described above.
pub(crate) fn agent(config: Config) -> Agent {
    let connector =
        ().chain(SocksConnector::default())
            .chain(tunnel::TunnelConnector(config.clone()))
            .chain(tcp::TcpConnector)
            .chain(server::ServerConnector(RustlsConnector::default()));
    Agent::with_parts(config, connector, lookup::ThreadResolver)
}
