//! Accepts connections, and ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::pipeline::{Connection, Server};
use crate::platform;

/// What makes TLS of a connection, where it does.
#[cfg(feature = "tls")]
pub(crate) type Tls = Option<tokio_rustls::TlsAcceptor>;
#[cfg(not(feature = "tls"))]
pub(crate) type Tls = Option<std::convert::Infallible>;

/// Accepts connections forever.
pub(crate) async fn listen(listener: TcpListener, server: Arc<Server>, is_vaults: bool, tls: Tls) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Probably out of file descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // Otherwise small writes may wait until earlier ones are acknowledged. If the connection is
        // already gone this fails, and so will the first read.
        let _ = stream.set_nodelay(true);
        platform::keep_to_this_process(&stream);
        let number = server.count_connection(is_vaults);
        let connection = Arc::new(Connection { number, is_vaults, reset: AtomicBool::new(false) });
        let server = Arc::clone(&server);
        match &tls {
            None => drop(tokio::spawn(serve(stream, |stream| stream, connection, server))),
            #[cfg(feature = "tls")]
            Some(tls) => {
                let handshake = tls.accept(stream);
                tokio::spawn(async move {
                    // It fails if the client does not trust the certificate.
                    if let Ok(stream) = handshake.await {
                        serve(stream, |stream| stream.get_ref().0, connection, server).await;
                    }
                });
            }
            #[cfg(not(feature = "tls"))]
            Some(never) => match *never {},
        }
    }
}

/// Serves the requests of a connection. `tcp` finds the TCP stream in its stream.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    tcp: fn(&S) -> &TcpStream,
    connection: Arc<Connection>,
    server: Arc<Server>,
) {
    let service = service_fn(|request| Arc::clone(&server).serve(Arc::clone(&connection), request));
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is how the client, or a fault, ended the connection.
    let _ = (&mut http).await;
    if connection.reset.load(Ordering::Relaxed) {
        let stream = http.into_parts().io.into_inner();
        // If this fails, the connection is already gone.
        let _ = tcp(&stream).set_zero_linger();
    }
}
