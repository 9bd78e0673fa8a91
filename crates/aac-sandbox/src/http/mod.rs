//! What responses look like, and how bodies are read and made. It knows nothing of the server.

pub(crate) mod body;
pub(crate) mod responses;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

/// Whether a message has this media type, with whatever parameters.
pub(crate) fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    found.trim().eq_ignore_ascii_case(media_type)
}
