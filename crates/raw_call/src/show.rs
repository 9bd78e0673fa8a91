//! What is seen of a request and its answer.

use crate::Answer;
use aac_auth::{
    Error, HeaderMap, HttpError, JsonText, Output, PageHint, Preview, Response, StatusCode, Version,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// The most of an answer that is shown on a terminal, in bytes.
const SHOWN: usize = 16 * 1024 * 1024;

/// A request that is not sent.
pub fn request(preview: &Preview) -> Result<(), Error> {
    let mut output = Output::stdout();
    output.write_text(&format!("{} {}\n", preview.method, preview.url))?;
    for (name, value) in &preview.headers {
        output.write_text(&format!("{name}: {value}\n"))?;
    }
    if let Some(body) = &preview.body {
        output.write_text(&format!("\n{body}\n"))?;
    }
    output.finish()
}

/// An answer, as the flags want it.
pub fn answer(mut response: Response, mut output: Output, flags: &Answer) -> Result<(), Error> {
    if flags.include {
        head(response.version(), response.status(), response.headers())?;
    }
    if flags.silent {
        return Ok(());
    }
    let mut hint = PageHint::new(&response);
    // Who names the output wants the bytes.
    if output.is_terminal() && flags.output.is_none() {
        let mut body = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while body.len() <= SHOWN {
            match response.read(&mut buffer)? {
                0 => break,
                length => body.extend_from_slice(&buffer[..length]),
            }
        }
        hint.see(&body);
        on_terminal(&body, &mut output)?;
        tell(hint);
        return Ok(());
    }
    let bar = if flags.file().is_some() { bar(response.headers()) } else { ProgressBar::hidden() };
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match response.read(&mut buffer)? {
            0 => break,
            length => {
                output.write(&buffer[..length])?;
                hint.see(&buffer[..length]);
                bar.inc(length as u64);
            }
        }
    }
    bar.finish_and_clear();
    output.finish()?;
    tell(hint);
    Ok(())
}

/// Who has one page of a list should know.
fn tell(mut hint: PageHint) {
    if let Some(what) = hint.tell() {
        let _ = writeln!(io::stderr(), "raw_call: {what}; --paginate prints all");
    }
}

/// An error: what the server sent with it, then one line of what happened, then what to do.
pub fn report(error: &Error, flags: &Answer) -> ExitCode {
    let shown = match error {
        Error::Http(http) => error_answer(http, flags),
        Error::Stopped { source, .. } => match &**source {
            Error::Http(http) => error_answer(http, flags),
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    // Standard output cannot be written either: the first error is the one that counts.
    drop(shown);
    error.report()
}

fn error_answer(error: &HttpError, flags: &Answer) -> Result<(), Error> {
    if flags.include
        && let Ok(status) = StatusCode::from_u16(error.status)
    {
        head(error.version, status, &error.headers)?;
    }
    if flags.silent || error.body.is_empty() {
        return Ok(());
    }
    if flags.file().is_some() || flags.paginate {
        // Not a part of the result.
        let _ = writeln!(io::stderr(), "{}", error.shown);
        return Ok(());
    }
    let mut output = Output::stdout();
    if output.is_terminal() && flags.output.is_none() {
        return on_terminal(&error.body, &mut output);
    }
    output.write(&error.body)?;
    output.finish()
}

/// The first line and the headers of an answer.
fn head(version: Version, status: StatusCode, headers: &HeaderMap) -> Result<(), Error> {
    let mut output = Output::stdout();
    output.write_text(&format!("{version:?} {status}\n"))?;
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        output.write_text(&format!("{name}: {value}\n"))?;
    }
    output.write(b"\n")?;
    output.finish()
}

/// For a person: JSON indented, text with nothing in it that the terminal would act on, and no binary.
fn on_terminal(body: &[u8], output: &mut Output) -> Result<(), Error> {
    let text = str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    match text {
        Some("") => {}
        Some(text) if body.len() <= SHOWN => {
            match JsonText::new(text) {
                Some(json) => output.write_json(&format!("{json:#}"))?,
                None => output.write_text(text.trim_end_matches('\n'))?,
            }
            output.write(b"\n")?;
        }
        _ => {
            let what = if body.len() > SHOWN { "too long" } else { "binary" };
            let _ = writeln!(
                io::stderr(),
                "raw_call: the answer is {what}, and not shown: use -o FILE"
            );
        }
    }
    output.flush()
}

/// Counts a download on standard error, if that is a terminal.
fn bar(headers: &HeaderMap) -> ProgressBar {
    let length =
        headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) if io::stderr().is_terminal() => bar.with_style(style),
        _ => ProgressBar::hidden(),
    }
}
