//! Bodies that are sent piece by piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

/// A body in pieces of `size` bytes, with a pause before each. Its length is not known in advance; if
/// the head of the response announces more, hyper drops the connection at the end.
pub(crate) fn in_pieces(mut content: Bytes, size: usize, pause: Duration) -> Body {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        while !content.is_empty() {
            tokio::time::sleep(pause).await;
            let piece = content.split_to(size.clamp(1, content.len()));
            if sender.send(piece).await.is_err() {
                return; // The client has left.
            }
        }
    });
    Body::new(Pieces { pieces, flushed: false })
}

struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    flushed: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.pieces.poll_recv(context));
        if piece.is_none() && !self.flushed {
            // hyper flushes whenever the body is not ready. Without this, the bytes sent so far would
            // be lost with a connection that it drops.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}
