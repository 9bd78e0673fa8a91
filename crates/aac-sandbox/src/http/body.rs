//! Bodies, piece by piece.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

/// The largest body that is read into memory, in bytes.
pub(crate) const MAX_BUFFERED: usize = 64 * 1024 * 1024;

/// The next piece of a body; `None` at its end.
pub(crate) async fn next<B: HttpBody<Data = Bytes> + Unpin>(
    body: &mut B,
) -> Option<Result<Bytes, B::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            // Trailers are skipped.
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The first `length` bytes of a body in pieces of `size` bytes, with a pause before each piece.
pub(crate) fn in_pieces(mut body: Body, length: u64, size: u64, pause: Duration) -> Body {
    let (sender, pieces) = channel();
    tokio::spawn(async move {
        let mut left = length;
        // What is left of the current piece.
        let mut piece = 0;
        while let Some(Ok(mut data)) = next(&mut body).await {
            while !data.is_empty() && left > 0 {
                if piece == 0 {
                    tokio::time::sleep(pause).await;
                    piece = size;
                }
                let part = split_to(&mut data, left.min(piece));
                left -= part.len() as u64;
                piece -= part.len() as u64;
                if sender.send(part).await.is_err() {
                    return; // The client has left.
                }
            }
        }
    });
    pieces
}

/// A JSON string: `piece` repeated `count` times, in quotation marks.
pub(crate) fn json_string(piece: Bytes, count: usize) -> Body {
    let (sender, body) = channel();
    tokio::spawn(async move {
        let quote = || std::iter::once(Bytes::from_static(b"\""));
        for piece in quote().chain(std::iter::repeat_n(piece, count)).chain(quote()) {
            if sender.send(piece).await.is_err() {
                return; // The client has left.
            }
        }
    });
    body
}

/// Takes at most `max` bytes from the front of `data`.
fn split_to(data: &mut Bytes, max: u64) -> Bytes {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    data.split_to(data.len().min(max))
}

/// A body made of the pieces that are sent to it.
fn channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::new(Pieces(receiver)))
}

struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The beginning of a body that announces its full length and then fails. The failure makes hyper
/// drop the connection.
pub(crate) struct Truncated {
    body: Body,
    /// What is still to be sent.
    left: u64,
    flushed: bool,
    announced: u64,
}

impl Truncated {
    /// The first `length` bytes of a body that is `announced` bytes long.
    pub(crate) fn new(body: Body, length: u64, announced: u64) -> Self {
        Self { body, left: length, flushed: false, announced }
    }
}

impl HttpBody for Truncated {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.left > 0 {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let mut data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            };
            let data = split_to(&mut data, self.left);
            self.left -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.flushed {
            // hyper flushes whenever the body is not ready. Without this, the bytes sent so far
            // would be lost with the connection.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(axum::Error::new("the body is truncated"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
