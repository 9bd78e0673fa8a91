//! Bodies of requests. Large ones are not held in memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::http::body::next;
use crate::state::Shared;

/// The body of a request.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// It has arrived.
    Buffered(Bytes),
    /// It is still being received.
    Streaming(Streaming),
}

impl RequestBody {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Buffered(body) => body.is_empty(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    /// What has been buffered.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Buffered(body) => body,
            Self::Streaming(_) => &[],
        }
    }

    /// The body for the API, and a handle with which to drain what the API leaves unread.
    pub(super) fn split(self) -> (Body, Option<Streaming>) {
        match self {
            Self::Buffered(body) => (Body::from(body), None),
            Self::Streaming(body) => (Body::new(body.clone()), Some(body)),
        }
    }
}

/// A body that is still being received. What arrives is added to the record of its request.
#[derive(Clone, Debug)]
pub(super) struct Streaming {
    /// Shared, so that what a handler leaves unread can be drained.
    body: Arc<Mutex<Incoming>>,
    shared: Arc<Shared>,
    /// The number of the request.
    number: u64,
}

impl Streaming {
    pub(super) fn new(body: Incoming, shared: Arc<Shared>, number: u64) -> Self {
        Self { body: Arc::new(Mutex::new(body)), shared, number }
    }

    /// Reads the rest. Closing a connection while its client still writes would reset it, and the
    /// response would be lost.
    pub(super) async fn drain(&mut self) {
        while let Some(Ok(_)) = next(self).await {}
    }
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = Pin::new(&mut *body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.shared.state().requests.extend_body(self.number, data);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
