//! Bodies: those of requests are read at once, those of responses may be sent piece by piece.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// Reads a body to its end. One of more than `limit` bytes is an error.
pub(crate) async fn read(mut body: Incoming, limit: usize) -> io::Result<Bytes> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // The other frames are trailers.
        if let Ok(piece) = frame.map_err(io::Error::other)?.into_data() {
            if piece.len() > limit - content.len() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            content.extend_from_slice(&piece);
        }
    }
    Ok(content.into())
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Pieces { pieces: mpsc::Receiver<Bytes>, flushed: bool },
}

impl Body {
    /// A body in pieces of `size` bytes, with a pause before each. Its length is not known in advance; if
    /// the head of the response announces more, hyper drops the connection at the end.
    pub(crate) fn in_pieces(mut content: Bytes, size: usize, pause: Duration) -> Self {
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
        Self::Pieces { pieces, flushed: false }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Whole(content) => Some(std::mem::take(content)).filter(|rest| !rest.is_empty()),
            Self::Pieces { pieces, flushed } => {
                let piece = ready!(pieces.poll_recv(context));
                if piece.is_none() && !*flushed {
                    // hyper flushes whenever the body is not ready. Without this, the bytes sent so far
                    // would be lost with a connection that it drops.
                    *flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(rest) if rest.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Self::Pieces { .. } => SizeHint::new(),
        }
    }
}
