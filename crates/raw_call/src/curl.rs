//! The request as a line for bash, with curl in place of this program.

use crate::Answer;
use crate::request::Options;
use aac_auth::{Method, Preview};
use std::path::Path;

/// The line. `$ACCESS_TOKEN` is the shell's to fill in, and `$WORKSPACE_ID` where the path has
/// `{workspaceId}` in it. Any user of the machine can read the arguments of a program, so the token
/// comes through a pipe, made by a command of the shell itself.
pub fn line(preview: &Preview, options: &Options, answer: &Answer) -> String {
    let mut words = vec!["curl".to_owned()];
    match preview.method {
        Method::GET => {}
        Method::HEAD => words.push("--head".to_owned()),
        ref method => words.push(format!("--request {}", quoted(method.as_str()))),
    }
    if answer.include && preview.method != Method::HEAD {
        words.push("--include".to_owned());
    }
    if let Some(path) = answer.file() {
        words.push(format!("--output {}", quoted(&path.to_string_lossy())));
    }
    // Undoes the compression that the header below allows for.
    words.push("--compressed".to_owned());
    for (name, value) in &preview.headers {
        // Those that curl sets itself, from the body that it is given.
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
            // An empty value is written with a semicolon: with a colon, curl would leave it out.
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
    // What curl would otherwise do to the URL: expand brackets, resolve dots.
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

/// A part of an upload, as curl's own little language has it.
fn part(name: &str, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let form = match value.strip_prefix('@') {
        Some(path) => {
            // curl would name a pipe otherwise.
            let is_file = Path::new(path).is_file();
            let file_name = if is_file { "" } else { ";filename=\"data\"" };
            format!("{name}=@\"{}\";type=application/octet-stream{file_name}", escaped(path))
        }
        None => format!("{name}=\"{}\";type=application/json", escaped(value)),
    };
    format!("--form {}", quoted(&form))
}

/// One word of bash, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
