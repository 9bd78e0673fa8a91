//! A connection, which a fault can reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::platform;

/// What the requests of a connection share.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts from 1.
    pub(super) number: u64,
    /// Whether it leads to the vault.
    pub(super) is_vaults: bool,
    reset: AtomicBool,
}

impl Connection {
    pub(super) fn new(number: u64, is_vaults: bool) -> Arc<Self> {
        Arc::new(Self { number, is_vaults, reset: AtomicBool::new(false) })
    }

    /// Makes it end with a reset (RST) instead of an orderly close (FIN).
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }
}

/// The TCP stream of a connection.
pub(super) struct Stream {
    tcp: TcpStream,
    connection: Arc<Connection>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, connection: Arc<Connection>) -> Self {
        // Otherwise small writes may wait until earlier ones are acknowledged. If the connection is
        // already gone this fails, and so will the first read.
        let _ = tcp.set_nodelay(true);
        platform::keep_to_this_process(&tcp);
        Self { tcp, connection }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::Relaxed) {
            // If this fails, the connection is already gone.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, pieces)
    }

    /// Otherwise hyper copies every body into a buffer together with its head.
    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
