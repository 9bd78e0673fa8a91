//! The line on stderr for each request, by which a rotation can be watched.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Response;

/// What an answer is about, for the log. Never a token, nor a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Note(pub(crate) String);

impl Note {
    /// Attaches a note to an answer. It is not sent.
    pub(crate) fn on(mut response: Response<Body>, note: String) -> Response<Body> {
        response.extensions_mut().insert(Self(note));
        response
    }
}

/// Writes one line to stderr. A closed stderr is no reason to stop serving.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "sandbox: {text}");
}

/// A path without what could play with a terminal.
pub(crate) fn printable(path: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    path.chars().map(plain).collect()
}
