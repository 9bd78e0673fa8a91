//! Accepts connections and counts them.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::connection::{Connection, Stream};
use super::pipeline::Server;

/// Accepts connections forever.
pub(crate) async fn listen(
    listener: TcpListener,
    server: Arc<Server>,
    is_vaults: bool,
    #[cfg(feature = "tls")] tls: Option<tokio_rustls::TlsAcceptor>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Probably out of file descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let connection = Connection::new(server.count_connection(is_vaults), is_vaults);
        let stream = Stream::new(stream, Arc::clone(&connection));
        let server = Arc::clone(&server);

        #[cfg(feature = "tls")]
        if let Some(tls) = &tls {
            let handshake = tls.accept(stream);
            tokio::spawn(async move {
                // It fails if the client does not trust the certificate.
                if let Ok(stream) = handshake.await {
                    serve(stream, connection, server).await;
                }
            });
            continue;
        }
        tokio::spawn(serve(stream, connection, server));
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Arc<Connection>,
    server: Arc<Server>,
) {
    let service = service_fn(|request| Arc::clone(&server).serve(Arc::clone(&connection), request));
    // An error is how the client, or a fault, ended the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
