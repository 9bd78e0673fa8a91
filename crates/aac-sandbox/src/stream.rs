//! Bodies that are too large to be held in memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::server::Server;

/// The next piece of a body; `None` at its end.
pub(crate) async fn next<B: HttpBody<Data = Bytes> + Unpin>(
    body: &mut B,
) -> Option<Result<Bytes, B::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            // Trailers are of no interest here.
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(_) => continue,
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The body of a request while it arrives. What passes is noted in the record of the request.
#[derive(Clone, Debug)]
pub(crate) struct Arriving {
    /// Shared, so that what a handler leaves can be read after it.
    body: Arc<Mutex<Incoming>>,
    server: Arc<Server>,
    /// The number of the request.
    number: u64,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, server: Arc<Server>, number: u64) -> Self {
        Self { body: Arc::new(Mutex::new(body)), server, number }
    }

    /// Reads what is left. A connection that ends while its client still writes would be reset,
    /// and the answer lost with it.
    pub(crate) async fn drain(&mut self) {
        while let Some(Ok(_)) = next(self).await {}
    }
}

impl HttpBody for Arriving {
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
            self.server.note_body(self.number, data);
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

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Received {
    /// All of it.
    Whole(Bytes),
    /// It is still to come, or some of it.
    Arriving(Arriving),
}

impl Received {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Arriving(body) => body.is_end_stream(),
        }
    }

    /// What there is already.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(body) => body,
            Self::Arriving(_) => &[],
        }
    }

    /// The body as the API reads it, and what is left of it for afterwards.
    pub(crate) fn split(self) -> (Body, Option<Arriving>) {
        match self {
            Self::Whole(body) => (Body::from(body), None),
            Self::Arriving(body) => (Body::new(body.clone()), Some(body)),
        }
    }
}
