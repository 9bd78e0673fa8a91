//! Forms with files: multipart/form-data (RFC 7578).

use memchr::memmem;

/// A part of a form.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) name: Option<String>,
    pub(crate) file_name: Option<String>,
    pub(crate) content: &'a [u8],
}

/// The parts of a form; `None` if it is malformed or cut off.
pub(crate) fn parts<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("\r\n--{boundary}");
    let (_preamble, mut rest) = cut(body, &delimiter[2..])?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let (padding, part) = cut(rest, "\r\n")?;
        if !padding.trim_ascii().is_empty() {
            return None;
        }
        let (head, part) = cut(part, "\r\n\r\n")?;
        let (content, after) = cut(part, &delimiter)?;
        let head = String::from_utf8_lossy(head);
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        let disposition =
            headers.find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"));
        let value = |name| parameter(disposition?.1, name);
        parts.push(Part { name: value("name"), file_name: value("filename"), content });
        rest = after;
    }
    Some(parts)
}

/// What comes before a text, and after it.
fn cut<'a>(bytes: &'a [u8], text: &str) -> Option<(&'a [u8], &'a [u8])> {
    let start = memmem::find(bytes, text.as_bytes())?;
    Some((&bytes[..start], &bytes[start + text.len()..]))
}

/// A parameter in the value of a header. Clients write a quotation mark as `\"` or `%22`.
pub(crate) fn parameter(header: &str, name: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut marks = quoted.match_indices('"').map(|(index, _)| index);
                quoted.split_at(marks.find(|&index| !quoted[..index].ends_with('\\'))?)
            }
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().replace("\\\"", "\"").replace("%22", "\""));
        }
        (_, rest) = after.split_once(';')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name, file name and content of each part of a form whose boundary is `b`.
    fn form(body: &[u8]) -> Option<Vec<(String, String, &[u8])>> {
        let parts = parts(body, "b")?.into_iter();
        let texts = |part: &Part<'_>| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            (text(&part.name), text(&part.file_name))
        };
        Some(parts.map(|part| (texts(&part).0, texts(&part).1, part.content)).collect())
    }

    #[test]
    fn the_boundary_is_found_in_what_clients_send() {
        for (content_type, expected) in [
            // curl, Python's requests, Node.
            (
                "multipart/form-data; boundary=------------------------74dc4e",
                Some("------------------------74dc4e"),
            ),
            ("multipart/form-data; boundary=a89738cc7b3c8b76", Some("a89738cc7b3c8b76")),
            (
                "multipart/form-data; boundary=----formdata-undici-032583",
                Some("----formdata-undici-032583"),
            ),
            ("multipart/form-data; charset=utf-8; Boundary=\"a;b=c\" ; x=y", Some("a;b=c")),
            ("multipart/form-data;boundary = b", Some("b")),
            ("multipart/form-data; boundary=\"b", None),
            ("multipart/form-data; boundary", None),
            ("multipart/form-data", None),
        ] {
            assert_eq!(parameter(content_type, "boundary").as_deref(), expected, "{content_type}");
        }
    }

    #[test]
    fn the_name_and_the_file_of_a_part_are_found_in_what_clients_send() {
        for (head, name, file) in [
            // curl, Python's requests, Node.
            (
                "Content-Disposition: form-data; name=\"data\"; filename=\"a%22b.zip\"\r\nContent-Type: application/octet-stream",
                "data",
                "a\"b.zip",
            ),
            (
                "Content-Disposition: form-data; name=\"data\"; filename=\"a%22b ž.zip\"",
                "data",
                "a\"b ž.zip",
            ),
            (
                "Content-Type: application/zip\r\ncontent-disposition:form-data; filename=\"\\\"a;b\\\".zip\"; name=\"File\"",
                "File",
                "\"a;b\".zip",
            ),
            ("Content-Disposition: form-data; name=data; filename=x.zip", "data", "x.zip"),
            ("Content-Disposition: form-data; name=data; filename*=utf-8''x.zip", "data", "-"),
            ("Content-Disposition: form-data", "-", "-"),
            ("Content-Type: application/zip", "-", "-"),
        ] {
            let body = format!("--b\r\n{head}\r\n\r\nPK\r\n--b--\r\n");
            let expected = vec![(name.to_owned(), file.to_owned(), &b"PK"[..])];
            assert_eq!(form(body.as_bytes()), Some(expected), "{head}");
        }
    }

    #[test]
    fn the_content_is_cut_at_the_boundary_alone() {
        const HEAD: &[u8] = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n";
        for content in [
            &b""[..],
            b"\r\n",
            b"\r\n\r\n--",
            b"--b--\r\n-- b\n--b\r--b\r\n",
            b"\xff\0\r\n--\xff\r\n-b\r\n",
        ] {
            let end = b"\r\n--b";
            let body = [b"preamble", HEAD, content, end, b" \t\r\n", &HEAD[5..], content, end];
            let whole = [&body.concat()[..], b"--"].concat();
            let part = ("x".to_owned(), "-".to_owned(), content);
            assert_eq!(form(&whole), Some(vec![part.clone(), part]), "{content:?}");
            for length in 0..whole.len() {
                assert_eq!(form(&whole[..length]), None, "{content:?} {length}");
            }
        }
        assert_eq!(form(b"--b--"), Some(vec![]));
        assert_eq!(form(&[HEAD, b"x\r\n--bx\r\n--b--"].concat()), None);
    }
}
