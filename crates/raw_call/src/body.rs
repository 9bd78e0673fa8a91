//! The body of a request, from the command line, a file or standard input.

use aac_auth::{Body, Error};
use serde_core::de::IgnoredAny;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

/// What is read of a stream (standard input, a pipe) before it is sent, in bytes. What fits in here is
/// checked, and can be sent a second time.
const HELD: u64 = 1024 * 1024;

/// A JSON object, the members of `-f` before those of `-F`.
pub fn of_fields(
    strings: &[(String, String)],
    values: &[(String, String)],
) -> Result<Value, Error> {
    let strings = strings.iter().map(|(name, text)| (name, Value::from(text.clone())));
    for (name, text) in values {
        check(&format!("the field {}", aac_auth::one_line(name)), text.as_bytes())?;
    }
    let values = values.iter().map(|(name, text)| {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.clone()));
        (name, value)
    });
    let mut object = Map::new();
    for (name, value) in strings.chain(values) {
        if object.insert(name.clone(), value).is_some() {
            let what = format!("the field \"{}\" is given twice", aac_auth::one_line(name));
            return Err(Error::Request { what });
        }
    }
    Ok(object.into())
}

/// The value of `--data`. Where it is to be JSON, what only looks like it is refused.
pub fn of_data(data: &str, is_json: bool) -> Result<Body, Error> {
    let Some(source) = data.strip_prefix('@') else {
        if is_json {
            is_no_file("--data", "", data)?;
            check("--data", data.as_bytes())?;
        }
        return Ok(data.to_owned().into());
    };
    if source == "-" {
        return of_stream("standard input", io::stdin(), is_json);
    }
    let path = Path::new(source);
    let open = || File::open(path).map_err(|error| unreadable(path, error));
    if !path.is_file() {
        // A pipe cannot be read twice.
        return of_stream(source, open()?, is_json);
    }
    if is_json {
        check(source, BufReader::with_capacity(HELD as usize, open()?))?;
    }
    Body::file(path)
}

fn of_stream(
    name: &str,
    mut stream: impl Read + Send + 'static,
    is_json: bool,
) -> Result<Body, Error> {
    let mut start = Vec::new();
    let read = stream.by_ref().take(HELD).read_to_end(&mut start);
    read.map_err(|error| unreadable(Path::new(name), error))?;
    if start.len() as u64 == HELD {
        return Ok(Body::stream(name, Cursor::new(start).chain(stream)));
    }
    if is_json {
        check(name, &start[..])?;
    }
    Ok(start.into())
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::UserFile { path: path.to_owned(), source }
}

/// The parts of an upload: files, standard input, or JSON as it is.
pub fn of_parts(parts: &[(String, String)]) -> Result<Vec<(&str, Body)>, Error> {
    if parts.iter().filter(|(_, value)| value == "@-").count() > 1 {
        let what = "--part: standard input can be one part alone".to_owned();
        return Err(Error::Request { what });
    }
    let body = |value: &str| match value.strip_prefix('@') {
        Some("-") => Ok(Body::stream("standard input", io::stdin())),
        Some(path) => Body::file(path.as_ref()),
        None => Ok(value.to_owned().into()),
    };
    for (name, value) in parts {
        is_no_file("--part", &format!("{name}="), value)?;
    }
    parts.iter().map(|(name, value)| Ok((name.as_str(), body(value)?))).collect()
}

/// An error for the name of a file where its content is meant.
fn is_no_file(flag: &str, before: &str, value: &str) -> Result<(), Error> {
    match !value.starts_with('@') && Path::new(value).is_file() {
        true => Err(Error::Request {
            what: format!("{flag}: that is a file; its content is {flag} {before}@{value}"),
        }),
        false => Ok(()),
    }
}

/// An error for what begins like JSON and is none: a server would only say that it is wrong, not
/// where.
fn check(name: &str, mut text: impl Read) -> Result<(), Error> {
    let wrong =
        |why: String| Err(Error::Request { what: format!("{name} looks like JSON, but {why}") });
    // Blanks, the byte that tells what it is, and two more in case that is a mark.
    let (mut start, mut byte, mut more) = (Vec::new(), [0], 3);
    while more > 0 {
        match text.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => start.extend(byte),
            Err(error) => return wrong(format!("cannot be read: {error}")),
        }
        more -= if byte[0].is_ascii_whitespace() && more == 3 { 0 } else { 1 };
    }
    match start.trim_ascii_start() {
        [b'{' | b'[', ..] => {}
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return wrong("is UTF-16: save it as UTF-8".to_owned());
        }
        [0xef, 0xbb, 0xbf, ..] => {
            return wrong("begins with a byte order mark: save it as UTF-8 without one".to_owned());
        }
        _ => return Ok(()),
    }
    match serde_json::from_reader::<_, IgnoredAny>(start.as_slice().chain(text)) {
        Ok(_) => Ok(()),
        Err(error) => wrong(format!(
            "is not: {error}. (Curly quotes? Or has the shell taken the quotes? Then put it in a file, -d @FILE.)"
        )),
    }
}
