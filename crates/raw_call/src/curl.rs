//! The request as a command line for bash, with curl instead of this program.

use crate::Answer;
use crate::request::Options;
use aac_auth::{Method, Preview};
use serde_core::de::IgnoredAny;
use std::path::Path;

/// The command line. The shell fills in `$ACCESS_TOKEN`, and `$WORKSPACE_ID` if the path contains
/// `{workspaceId}`. Any user of the machine can read a program's arguments, so the token comes through
/// a pipe from a shell builtin.
pub(crate) fn line(preview: &Preview, options: &Options, answer: &Answer) -> String {
    let mut words = vec!["curl".to_owned()];
    match preview.method {
        Method::GET => {}
        Method::HEAD => words.push("--head".to_owned()),
        ref method => words.push(format!("--request {}", quoted(method.as_str()))),
    }
    if answer.include && !answer.no_body && preview.method != Method::HEAD {
        words.push("--include".to_owned());
    }
    if let Some(path) = answer.file() {
        words.push(format!("--output {}", quoted(&path.to_string_lossy())));
    }
    if answer.no_body && preview.method != Method::HEAD {
        // What --include prints would go there as well.
        let head = if answer.include { "--dump-header - " } else { "" };
        words.push(format!("{head}--output /dev/null"));
    }
    // Decodes the compression that the header below allows.
    words.push("--compressed".to_owned());
    for (name, value) in &preview.headers {
        // curl sets these itself, from its body.
        let is_of_body = match name.as_str() {
            "content-length" => options.has_body(),
            "content-type" => !options.part.is_empty(),
            _ => false,
        };
        if name == "authorization" {
            words.push(
                r#"--header @<(printf 'authorization: Bearer %s\n' "$ACCESS_TOKEN")"#.to_owned(),
            );
        } else if !is_of_body {
            // An empty value needs a semicolon: with a colon, curl would omit the header.
            let header =
                if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            words.push(format!("--header {}", quoted(&header)));
        }
    }
    match (&options.data, &preview.body) {
        (Some(data), _) if data.starts_with('@') => {
            words.push(format!("--data-binary {}", quoted(data)));
        }
        (None, Some(_)) if !options.part.is_empty() => {
            words.extend(options.part.iter().map(|(name, value)| part(name, value)));
        }
        (_, Some(body)) if options.has_body() => {
            words.push(format!("--data-raw {}", quoted(&body.to_string())));
        }
        _ => {}
    }
    // curl would otherwise change the URL: expand brackets, resolve dots.
    if preview.url.contains(['[', ']', '{', '}']) {
        words.push("--globoff".to_owned());
    }
    if preview.url.contains("/.") {
        words.push("--path-as-is".to_owned());
    }
    let url = quoted(&preview.url).replace("{workspaceId}", "'\"$WORKSPACE_ID\"'");
    words.push(url);
    words.join(" ")
}

/// A part of an upload, in curl's own syntax.
fn part(name: &str, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let form = match value.strip_prefix('@') {
        Some(path) => {
            // Otherwise curl would send the name of the pipe.
            let is_file = Path::new(path).is_file();
            let file_name = if is_file { "" } else { ";filename=\"data\"" };
            format!("{name}=@\"{}\";type=application/octet-stream{file_name}", escaped(path))
        }
        None => {
            let is_json = serde_json::from_str::<IgnoredAny>(value).is_ok();
            let kind = if is_json { ";type=application/json" } else { "" };
            format!("{name}=\"{}\"{kind}", escaped(value))
        }
    };
    format!("--form {}", quoted(&form))
}

/// Quotes any text as one bash word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
