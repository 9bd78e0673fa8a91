//! Connects to the address that responds first (RFC 8305).

use crate::error::NetworkError;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long an address is waited for before the next one is tried as well (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to one of these addresses within this time. If none responds, the error is that of the last one
/// that failed, or `TimedOut`.
pub(super) fn connect(addresses: &[SocketAddr], time: Duration) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect_timeout(only, time);
    }
    let start = Instant::now();
    let mut next = in_turns(addresses).into_iter().peekable();
    let (sender, receiver) = mpsc::channel();
    let (mut open, mut failure) = (0, io::ErrorKind::AddrNotAvailable.into());
    loop {
        if let Some(address) = next.next() {
            let sender = sender.clone();
            // Whoever comes late is dropped with the channel.
            let dial = move || drop(sender.send(TcpStream::connect_timeout(&address, time)));
            match thread::Builder::new().spawn(dial) {
                Ok(_) => open += 1,
                Err(error) => {
                    failure = io::Error::other(NetworkError::NoThread(error.to_string()));
                    continue;
                }
            }
        } else if open == 0 {
            return Err(failure);
        }
        let left = time.saturating_sub(start.elapsed());
        let wait = if next.peek().is_some() { HEAD_START.min(left) } else { left };
        match receiver.recv_timeout(wait) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                open -= 1;
                failure = error;
            }
            Err(_) if wait == left => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

/// The addresses as they are tried: the two families take turns (RFC 8305 §4).
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut seen = [0; 2];
    let turn = |address: &SocketAddr| {
        let turn = &mut seen[usize::from(address.is_ipv6())];
        *turn += 1;
        (*turn, *address)
    };
    let mut turns: Vec<_> = addresses.iter().map(turn).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, address)| address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// An address at which nothing answers: whoever listens there has room for no more connections. The
    /// streams keep it so.
    #[cfg(target_os = "linux")]
    fn dead() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200));
        let held = std::iter::from_fn(|| connect().ok()).collect();
        (address, listener, held)
    }

    fn live() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    }

    fn closed() -> SocketAddr {
        live().0
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dead_address_costs_a_quarter_of_a_second() {
        let (dead, _full, _held) = dead();
        let (live, _listener) = live();
        for (addresses, heads) in [
            (&[dead, live][..], 1),
            (&[dead, dead, dead, dead, live], 4),
            (&[live, dead], 0),
            // The next one need not be waited for.
            (&[closed(), live], 0),
            (&[dead, closed(), live], 1),
        ] {
            let start = Instant::now();
            let stream = connect(addresses, Duration::from_secs(50)).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), live);
            let time = start.elapsed();
            assert!(time >= heads * HEAD_START, "{addresses:?}: {time:?}");
            assert!(time < heads * HEAD_START + Duration::from_secs(9), "{addresses:?}: {time:?}");
        }
        let start = Instant::now();
        for addresses in [&[dead][..], &[dead, dead], &[dead, closed()]] {
            let failure = connect(addresses, Duration::from_millis(400)).unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::TimedOut, "{failure:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn the_last_failure_is_told() {
        for addresses in [&[closed()][..], &[closed(), closed()]] {
            let failure = connect(addresses, Duration::from_secs(50)).unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn families_take_turns() {
        let [a, b, c, d] = ["[::1]:1", "[::1]:2", "127.0.0.1:3", "127.0.0.1:4"]
            .map(|address| address.parse::<SocketAddr>().unwrap());
        assert_eq!(in_turns(&[a, b, c, d]), [a, c, b, d]);
        assert_eq!(in_turns(&[c, a, b]), [c, a, b]);
        assert_eq!(in_turns(&[c, d]), [c, d]);
    }
}
