//! The body of a request, from the command line, a file or standard input.

use aac_auth::{Body, Error, json_flaw, output, text_of};
use serde_core::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::Path;

/// How much of a stream (standard input, a pipe) is read before sending, in bytes. A stream that fits is
/// checked, and can be sent again.
const HELD: u64 = 1024 * 1024;
/// Its name in messages.
const STDIN: &str = "standard input";
/// The longest file that is checked before sending, or held in memory as a field, in bytes.
const CHECKED: u64 = 64 * 1024 * 1024;

/// A JSON object with the members of `-f` before those of `-F`. It is built as text, so that any JSON
/// stays exactly as it is.
pub(crate) fn of_fields(
    strings: &[(String, String)],
    values: &[(String, String)],
) -> Result<String, Error> {
    if values.iter().filter(|(_, value)| value == "@-").count() > 1 {
        return Err(Error::usage("--field: standard input can be one field alone"));
    }
    let mut members = Vec::new();
    for (name, text) in strings.iter().chain(values) {
        let shown = format!("the field {:?}", output::one_line(name));
        if name.contains(['[', ']']) {
            return Err(Error::usage(format!(
                "{shown} has brackets: give its value as JSON, -F 'a={{\"b\":1}}', or the whole body with -d"
            )));
        }
        let key = Value::from(name.as_str()).to_string() + ":";
        if members.iter().any(|member: &String| member.starts_with(&key)) {
            return Err(Error::usage(format!("{shown} is given twice")));
        }
        let value = match members.len() < strings.len() {
            true => Value::from(text.as_str()).to_string(),
            false => of_field(&shown, text)?,
        };
        members.push(key + &value);
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// JSON as it is, the content of a file as a string, or the text as a string.
fn of_field(name: &str, text: &str) -> Result<String, Error> {
    if let Some(path) = text.strip_prefix('@') {
        is_named(name, path)?;
        let mut bytes = Vec::new();
        let mut read = |file: &mut dyn Read| file.take(CHECKED + 1).read_to_end(&mut bytes);
        let (path, read) = match path {
            "-" => (STDIN, read(&mut io::stdin())),
            path if Path::new(path).is_dir() => (path, Err(io::ErrorKind::IsADirectory.into())),
            path => (path, fs::File::open(path).and_then(|mut file| read(&mut file))),
        };
        if read.map_err(|error| Error::file(path, error))? as u64 > CHECKED {
            return Err(Error::usage(format!(
                "{name}: {path} is larger than 64 MiB, the most for a field: send it as the whole body (-d) or as a part (--part)"
            )));
        }
        return Ok(Value::from(decoded(path, &bytes)?).to_string());
    }
    let text = checked(name, text.as_bytes())?;
    let json = serde_json::from_str::<&RawValue>(&text);
    Ok(json.map_or_else(|_| Value::from(&*text).to_string(), |json| json.get().to_owned()))
}

/// The value of `--data`. If it should be JSON, invalid JSON is rejected.
pub(crate) fn of_data(data: &str, is_json: bool) -> Result<Body, Error> {
    let Some(source) = data.strip_prefix('@') else {
        if !is_json {
            return Ok(data.to_owned().into());
        }
        is_no_file("--data", "", data)?;
        return Ok(checked("--data", data.as_bytes())?.into());
    };
    is_named("--data", source)?;
    if source == "-" {
        return of_stream(STDIN, io::stdin(), is_json);
    }
    let path = Path::new(source);
    let failed = |error| Error::file(path, error);
    let file = fs::metadata(path).map_err(failed)?;
    if file.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if !file.is_file() {
        // A pipe cannot be read twice.
        return of_stream(source, fs::File::open(path).map_err(failed)?, is_json);
    }
    if is_json && file.len() <= CHECKED {
        return Ok(checked(source, &fs::read(path).map_err(failed)?)?.into());
    }
    Body::file(path)
}

fn of_stream(
    name: &str,
    mut stream: impl Read + Send + 'static,
    is_json: bool,
) -> Result<Body, Error> {
    let mut start = Vec::new();
    let failed = |error| Error::file(name, error);
    stream.by_ref().take(HELD).read_to_end(&mut start).map_err(failed)?;
    let mut held = HELD;
    if is_json && is_encoded(&start) {
        // It is decoded as a whole.
        held = CHECKED;
        stream.by_ref().take(CHECKED - HELD).read_to_end(&mut start).map_err(failed)?;
    }
    if start.len() as u64 == held {
        return Ok(Body::stream(name, Cursor::new(start).chain(stream)));
    }
    match is_json {
        true => Ok(checked(name, &start)?.into()),
        false => Ok(start.into()),
    }
}

/// The parts of an upload: files, standard input, JSON or other text as it is.
pub(crate) fn of_parts(parts: &[(String, String)]) -> Result<Vec<(&str, Body)>, Error> {
    if parts.iter().filter(|(_, value)| value == "@-").count() > 1 {
        return Err(Error::usage("--part: standard input can be one part alone"));
    }
    let body = |value: &str| match value.strip_prefix('@') {
        Some("-") => Ok(Body::stream(STDIN, io::stdin())),
        Some(path) => Body::file(path.as_ref()),
        None => Ok(value.to_owned().into()),
    };
    for (name, value) in parts {
        is_no_file("--part", &format!("{name}="), value)?;
        let shown = format!("--part {}=", output::one_line(name));
        match value.strip_prefix('@') {
            Some(path) => is_named(&shown, path)?,
            None => drop(checked(&shown, value.as_bytes())?),
        }
    }
    parts.iter().map(|(name, value)| Ok((name.as_str(), body(value)?))).collect()
}

/// Rejects a file name given instead of the file's content.
fn is_no_file(flag: &str, before: &str, value: &str) -> Result<(), Error> {
    match !value.starts_with('@') && Path::new(value).is_file() {
        true => Err(Error::usage(format!(
            "{flag}: that is a file; its content is {flag} \"{before}@{value}\""
        ))),
        false => Ok(()),
    }
}

/// Rejects an `@` alone, such as `"@$file"` is if that variable is not set.
fn is_named(shown: &str, path: &str) -> Result<(), Error> {
    match path.is_empty() {
        true => Err(Error::usage(format!("{shown}: no file is named after the @"))),
        false => Ok(()),
    }
}

/// Whether these bytes begin as UTF-16, or with a byte order mark, as PowerShell 5.1 writes all that it writes
/// with `>` or as UTF-8. JSON begins with an ASCII character (RFC 4627 §3).
fn is_encoded(start: &[u8]) -> bool {
    matches!(
        start,
        [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]
    )
}

/// The text of a file, as JSON may contain it.
fn decoded(name: &str, bytes: &[u8]) -> Result<String, Error> {
    text_of(bytes).ok_or_else(|| {
        let valid = str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        let line = bytes[..valid].split(|byte| *byte == b'\n').count();
        Error::usage(format!("{name} is neither UTF-8 nor UTF-16: see line {line}"))
    })
}

/// The text of JSON. Invalid JSON is rejected: a server would only say that it is wrong, not where.
fn checked(name: &str, bytes: &[u8]) -> Result<String, Error> {
    const FILE: &str = "put it in a file: -d \"@FILE\"";
    let text = decoded(name, bytes)?;
    let start = text.trim_ascii_start();
    if start.starts_with("'{") || start.starts_with("'[") {
        return Err(Error::usage(format!(
            "{name} begins with a single quote, so it is not JSON. cmd.exe does not remove single quotes: use double quotes, with \\\" for those within, or {FILE}"
        )));
    }
    if start.starts_with(['{', '[']) {
        serde_json::from_str::<IgnoredAny>(&text).map_err(|error| {
            Error::usage(format!(
                "{name} looks like JSON, but is not ({}). Curly quotes? Or has the shell removed the quotes? Then {FILE}",
                json_flaw(&text, &error)
            ))
        })?;
    }
    Ok(text)
}
