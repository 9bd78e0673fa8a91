//! The log: one line on stderr for each request, so that people can watch a rotation.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{Response, Uri};

/// What the log says about a response. It never contains a token or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Note(pub(crate) String);

impl Note {
    /// Attaches a note to a response. It is not sent.
    pub(crate) fn on(mut response: Response<Body>, note: String) -> Response<Body> {
        response.extensions_mut().insert(Self(note));
        response
    }
}

/// Writes a line to stderr. The server keeps running if stderr is closed.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "sandbox: {text}");
}

/// How many characters of a path and query a line shows at most.
const TARGET_WIDTH: usize = 200;

/// The path and query of a request, shortened, with control characters escaped.
pub(crate) fn target(uri: &Uri) -> String {
    let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
    let mut shown = String::new();
    for c in target.chars() {
        let plain = c.is_ascii_graphic();
        let text = if plain { c.to_string() } else { c.escape_unicode().to_string() };
        if shown.len() + text.len() > TARGET_WIDTH {
            return shown + "…";
        }
        shown += &text;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_as_received_but_shortened() {
        let shown = |text: &str| target(&text.parse().expect(text));
        assert_eq!(shown("/a%20b?c=%1b%5B31m&d"), "/a%20b?c=%1b%5B31m&d");
        assert_eq!(shown("http://localhost/a?b"), "/a?b");
        assert_eq!(shown("/ž\u{9b}31m"), r"/\u{17e}\u{9b}31m");
        let long = format!("/{}", "x".repeat(199));
        assert_eq!(shown(&long), long);
        assert_eq!(shown(&format!("{long}y")), format!("{long}…"));
    }
}
