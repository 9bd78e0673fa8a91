//! Connections: accepted, counted, and reset when a fault asks for it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::server::Server;

/// What the requests of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts from 1.
    pub(crate) number: u64,
    /// Whether to end it with a reset (RST) rather than in good order (FIN).
    pub(crate) reset: AtomicBool,
}

/// Accepts connections for ever.
pub(crate) async fn listen(
    listener: TcpListener,
    server: Arc<Server>,
    #[cfg(feature = "tls")] tls: Option<tokio_rustls::TlsAcceptor>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let connections end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let number = {
            let mut state = server.state();
            state.counters.connections += 1;
            state.counters.connections
        };
        let connection = Arc::new(Connection { number, reset: AtomicBool::new(false) });
        // Without it, small writes may wait for the acknowledgement of the ones before. A
        // connection that is gone already fails here, and again where it is read.
        let _ = stream.set_nodelay(true);
        let wire = Wire { stream, connection: Arc::clone(&connection) };
        let server = Arc::clone(&server);

        #[cfg(feature = "tls")]
        if let Some(tls) = &tls {
            let handshake = tls.accept(wire);
            tokio::spawn(async move {
                // A client that does not trust the certificate leaves here.
                if let Ok(stream) = handshake.await {
                    serve(stream, connection, server).await;
                }
            });
            continue;
        }
        tokio::spawn(serve(wire, connection, server));
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Arc<Connection>,
    server: Arc<Server>,
) {
    let service = service_fn(|request| Arc::clone(&server).serve(Arc::clone(&connection), request));
    // How a connection ends is its client's business, or that of a fault.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A TCP stream that can be made to end with a reset.
struct Wire {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::Relaxed) {
            // If it fails the connection is gone already, which is as good.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    /// Without it, hyper copies every body into one buffer with its head.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
