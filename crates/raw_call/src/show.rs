//! Shows a request and its response.

use crate::Answer;
use aac_auth::output::Output;
use aac_auth::raw::{self, RawValue};
use aac_auth::{Error, HeaderMap, HttpError, Preview, Request, Response, StatusCode, Version};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde_core::de::IgnoredAny;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::process::ExitCode;

/// How much of a response is shown on a terminal, in bytes.
const SHOWN: usize = 16 * 1024 * 1024;
/// How much of one is looked at to tell a page of a list, in bytes. Without `limit`, it is far shorter.
const PAGE: usize = 1024 * 1024;

/// Shows a request that is not sent.
pub(crate) fn request(preview: &Preview) -> Result<(), Error> {
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

/// Shorter uploads, in bytes, finish before anyone wonders.
const LONG_UPLOAD: u64 = 1024 * 1024;

/// The request, with upload progress on standard error if that is a terminal.
pub(crate) fn with_bar(request: Request<'_>) -> (Request<'_>, ProgressBar) {
    let bar = ProgressBar::hidden();
    if !io::stderr().is_terminal() {
        return (request, bar);
    }
    let shown = bar.clone();
    let request = request.on_upload(move |sent, length| {
        if sent > LONG_UPLOAD && shown.is_hidden() {
            shown.set_draw_target(ProgressDrawTarget::stderr());
            if let Some(style) = style(length) {
                shown.set_style(style);
            }
            shown.set_length(length.unwrap_or_default());
        }
        shown.set_position(sent);
    });
    (request, bar)
}

/// Shows a response as the flags ask.
pub(crate) fn answer(
    mut response: Response,
    output: Output,
    flags: &Answer,
    page: Option<Page>,
) -> Result<(), Error> {
    let is_file = output.is_file();
    let shown = (response.version(), response.status(), response.headers().clone());
    let show_head = || match flags.include {
        true => head(shown.0, shown.1, &shown.2),
        false => Ok(()),
    };
    if !is_file {
        show_head()?;
    }
    if flags.no_body {
        return Ok(());
    }
    let mut start = Vec::new();
    let bar = if flags.file().is_some() { bar(response.headers()) } else { ProgressBar::hidden() };
    let read = |buffer: &mut [u8]| {
        let length = response.read(buffer)?;
        if start.len() <= PAGE {
            start.extend_from_slice(&buffer[..length]);
        }
        Ok(length)
    };
    body(Vec::new(), read, output, flags, &bar)?;
    drop(bar);
    if is_file {
        // It may take several responses to get there.
        show_head()?;
    }
    let page = page.filter(|_| start.len() <= PAGE);
    if let Some(what) = page.and_then(|page| page.hint(&start)) {
        let _ = writeln!(io::stderr(), "raw_call: {what}; --paginate prints all");
    }
    Ok(())
}

/// Writes a body: the part already read, and the rest.
fn body(
    mut text: Vec<u8>,
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
    mut output: Output,
    flags: &Answer,
    bar: &ProgressBar,
) -> Result<(), Error> {
    // A user who names the output wants the raw bytes.
    let is_for_person = output.is_terminal() && flags.output.is_none();
    if !is_for_person {
        output.write(&mem::take(&mut text))?;
    }
    let mut buffer = vec![0; 256 * 1024];
    while text.len() <= SHOWN {
        match read(&mut buffer)? {
            0 => break,
            length if is_for_person => text.extend_from_slice(&buffer[..length]),
            length => {
                output.write(&buffer[..length])?;
                bar.inc(length as u64);
            }
        }
    }
    if is_for_person {
        on_terminal(&text, &mut output)?;
    }
    output.finish()
}

/// What was asked for with GET: perhaps one page of a list.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) offset: u64,
    pub(crate) has_limit: bool,
}

impl Page {
    /// Words for a body that is one page of a longer list, or may be one: as long as pages are without `limit`,
    /// and without a `count`.
    fn hint(&self, body: &[u8]) -> Option<String> {
        let members = raw::members(serde_json::from_slice(body).ok()?);
        let member = |wanted: &str| {
            let member = members.iter().rfind(|(name, _)| name == wanted);
            member.map(|(_, value)| value.get())
        };
        let mut arrays =
            members.iter().map(|(_, value)| value.get()).filter(|value| value.starts_with('['));
        let only = arrays.next().filter(|_| arrays.next().is_none() && member("id").is_none());
        let rows: Vec<IgnoredAny> = serde_json::from_str(member("data").or(only)?).ok()?;
        match (rows.len() as u64, member("count").and_then(|count| count.parse::<u64>().ok())) {
            (rows @ 1.., Some(count)) if rows.saturating_add(self.offset) < count => {
                Some(format!("this is {rows} of {count} rows"))
            }
            (rows @ (10 | 25), None) if !self.has_limit => {
                Some(format!("this may be {rows} rows of a longer list"))
            }
            _ => None,
        }
    }
}

/// Reports an error: the server's response, one line that says what happened, then what to do.
pub(crate) fn report(mut error: Error, flags: &Answer) -> ExitCode {
    if let Some(http) = error.http_mut() {
        // If standard output cannot be written either, the first error is the one that counts.
        let _ = error_answer(http, flags);
    }
    error.report()
}

fn error_answer(error: &mut HttpError, flags: &Answer) -> Result<(), Error> {
    if flags.include {
        head(error.version(), error.status(), error.headers())?;
    }
    if flags.no_body || error.body().is_empty() {
        return Ok(());
    }
    if flags.file().is_some() || flags.paginate {
        // Not part of the result.
        let _ = writeln!(io::stderr(), "{}", error.redacted_body());
        return Ok(());
    }
    let start = error.body().to_vec();
    let read = |buffer: &mut [u8]| error.read(buffer);
    body(start, read, Output::stdout(), flags, &ProgressBar::hidden())
}

/// Prints the status line and the headers of a response.
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

/// For people: indented JSON, text without characters that the terminal would act on, and no binary.
fn on_terminal(body: &[u8], output: &mut Output) -> Result<(), Error> {
    let text = str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    match text {
        Some("") => {}
        Some(text) if body.len() <= SHOWN => {
            match serde_json::from_str::<&RawValue>(text.trim_start_matches('\u{feff}')) {
                Ok(json) => output.write_json(&raw::indented(json))?,
                Err(_) => output.write_text(text.trim_end_matches('\n'))?,
            }
            output.write(b"\n")?;
        }
        _ => {
            let what = if body.len() > SHOWN { "too long" } else { "binary" };
            let _ = writeln!(
                io::stderr(),
                "raw_call: the response is {what} and is not shown: save it with -o FILE"
            );
        }
    }
    Ok(())
}

/// A progress bar for a download, on standard error if that is a terminal.
fn bar(headers: &HeaderMap) -> ProgressBar {
    let length = headers.get("content-length").and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok());
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match style(length) {
        Some(style) => bar.with_style(style).with_finish(ProgressFinish::AndClear),
        None => bar,
    }
}

fn style(length: Option<u64>) -> Option<ProgressStyle> {
    let template = match length {
        Some(_) => "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{spinner} {bytes}, {bytes_per_sec}",
    };
    ProgressStyle::with_template(template).ok()
}
