//! The connections between the nodes of a cluster. They pass through here, so that a node can be cut
//! off from the others without privileges on the machine's network.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// Where Linux lists the connections of the machine.
const CONNECTIONS: &str = "/proc/net/tcp";

/// The links to each node.
pub(super) struct Links {
    ports: Vec<u16>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    isolated: Vec<usize>,
    /// The process of each node.
    processes: HashMap<usize, u32>,
    is_closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until neither end is cut off. Returns false at the end.
    fn pass(&self, ends: &[Option<usize>; 2]) -> bool {
        let is_cut = |state: &mut State| {
            !state.is_closed && ends.iter().flatten().any(|end| state.isolated.contains(end))
        };
        let state = self.changed.wait_while(self.state(), is_cut);
        !state.unwrap_or_else(|poisoned| poisoned.into_inner()).is_closed
    }

    /// The node whose process has the connection from this port to that one.
    fn owner(&self, from: u16, to: u16) -> Option<usize> {
        let connections = fs::read_to_string(CONNECTIONS).ok()?;
        let ends = [format!("0100007F:{from:04X}"), format!("0100007F:{to:04X}")];
        let inode = connections.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(1..3)? == ends).then(|| fields.get(9).copied())?
        })?;
        let socket = format!("socket:[{inode}]");
        let processes = self.state().processes.clone();
        processes.into_iter().find_map(|(node, process)| {
            let mut files = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
            let is_it = files.any(|file| {
                let link = file.and_then(|file| fs::read_link(file.path()));
                link.is_ok_and(|link| link.as_os_str() == socket.as_str())
            });
            is_it.then_some(node)
        })
    }
}

impl Links {
    /// Carries connections to the nodes, which listen on these ports.
    pub(super) fn listen(nodes: &[u16]) -> Self {
        let shared = Arc::<Shared>::default();
        let listen = |(node, to): (usize, &u16)| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (shared, to) = (Arc::clone(&shared), *to);
            thread::spawn(move || {
                for client in listener.incoming() {
                    if shared.state().is_closed {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    if let Ok(client) = client {
                        thread::spawn(move || carry(&shared, client, port, node, to));
                    }
                }
            });
            port
        };
        let ports = nodes.iter().enumerate().map(listen).collect();
        Self { ports, shared }
    }

    /// The port at which the others reach a node.
    pub(super) fn port(&self, node: usize) -> u16 {
        self.ports[node]
    }

    pub(super) fn set_process(&self, node: usize, process: u32) {
        self.shared.state().processes.insert(node, process);
    }

    pub(super) fn is_isolated(&self, node: usize) -> bool {
        self.shared.state().isolated.contains(&node)
    }

    pub(super) fn isolate(&self, node: usize) -> Result<(), String> {
        fs::metadata(CONNECTIONS).map_err(|error| format!("{CONNECTIONS}: {error}"))?;
        self.shared.state().isolated.push(node);
        Ok(())
    }

    pub(super) fn heal(&self) {
        self.shared.state().isolated.clear();
        self.shared.changed.notify_all();
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.changed.notify_all();
        for port in &self.ports {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
        }
    }
}

/// Carries a connection to a node.
fn carry(shared: &Arc<Shared>, client: TcpStream, port: u16, node: usize, to: u16) {
    let from = client.peer_addr().ok().and_then(|peer| shared.owner(peer.port(), port));
    let ends = [from, Some(node)];
    // A connection that is made across a cut gets nowhere until the cut heals.
    if !shared.pass(&ends) {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
        return;
    };
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let shared_too = Arc::clone(shared);
    let back = thread::spawn(move || copy(&shared_too, &ends, server_too, client_too));
    copy(shared, &ends, client, server);
    let _ = back.join();
}

/// Copies one direction of a connection, as long as nothing is cut.
fn copy(shared: &Shared, ends: &[Option<usize>; 2], mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !shared.pass(ends) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Either end may be gone.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
