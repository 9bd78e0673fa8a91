//! What messages look like, and how bodies are read and made. It knows nothing of the server.

pub(crate) mod body;
pub(crate) mod form;
pub(crate) mod responses;

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;

/// A response as it is before a fault: its body is at hand.
pub(crate) type Response = hyper::Response<Bytes>;

/// What the log says about a response. It never contains a token or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Note(pub(crate) String);

impl Note {
    /// Attaches a note to a response. It is not sent.
    pub(crate) fn on(mut response: Response, note: impl Into<String>) -> Response {
        response.extensions_mut().insert(Self(note.into()));
        response
    }
}

/// Whether a message has this media type, with whatever parameters.
pub(crate) fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    found.trim().eq_ignore_ascii_case(media_type)
}
