//! What responses look like, and how their bodies are made. It knows nothing of the server.

pub(crate) mod body;
pub(crate) mod responses;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response};

/// What the log says about a response. It never contains a token or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Note(pub(crate) String);

impl Note {
    /// Attaches a note to a response. It is not sent.
    pub(crate) fn on(mut response: Response<Body>, note: impl Into<String>) -> Response<Body> {
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
