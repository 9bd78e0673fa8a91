//! Turns the many shapes of an error response into one line and its meaning.
//!
//! The gateway, the platform behind it and the proxies before it each have their own.

use crate::error::HttpErrorKind;
use crate::tokens::secret::redact;
use serde_json::Value;
use ureq::http::{HeaderMap, header};

/// The longest message that is shown, in characters.
const LIMIT: usize = 300;

/// The message of an error response, on one line and without secrets, and its meaning.
pub(crate) fn read(status: u16, body: &[u8], secrets: &[&str]) -> (String, HttpErrorKind) {
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = known(&text, &json).unwrap_or_else(|| text.into_owned());
    (redact(&message, secrets, LIMIT), meaning(status, &json))
}

/// The same message where JSON of an unknown shape may hold tokens that nobody knows yet: it is not shown.
pub(crate) fn message(text: &str, secrets: &[&str]) -> String {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let unknown = || if json.is_null() { text.to_owned() } else { String::new() };
    redact(&known(text, &json).unwrap_or_else(unknown), secrets, LIMIT)
}

/// The title of a web page, on one line and without secrets.
pub(crate) fn title(text: &str, secrets: &[&str]) -> Option<String> {
    html_title(text).map(|title| redact(&title, secrets, LIMIT))
}

/// Where a redirect leads, without user information and query.
pub(crate) fn location(headers: &HeaderMap, secrets: &[&str]) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(header::LOCATION)?.as_bytes());
    let (target, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let (scheme, target) = target.split_at(target.find("//").map_or(0, |at| at + 2));
    let authority =
        if scheme.is_empty() { "" } else { target.split('/').next().unwrap_or_default() };
    let target = &target[authority.rfind('@').map_or(0, |at| at + 1)..];
    let query = if rest.starts_with('?') { "?(redacted)" } else { "" };
    Some(redact(&format!("{scheme}{target}"), secrets, 300) + query)
}

fn known(text: &str, json: &Value) -> Option<String> {
    match parts(json) {
        parts if parts.is_empty() => html_title(text),
        parts => Some(parts.join(": ")),
    }
}

/// The meaningful parts of an error body; none if its shape is unknown.
fn parts(json: &Value) -> Vec<String> {
    let text = |pointer: &str| match json.pointer(pointer) {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
        Some(object @ Value::Object(_)) => Some(object.to_string()),
        _ => None,
    };
    // Apigee; Trifacta and IAM; svc-workflow; some services; RFC 6749; RFC 9457; others.
    let envelopes: [&[&str]; 7] = [
        &["/fault/faultstring"],
        &["/exception/message", "/exception/details"],
        &["/message"],
        &["/msg"],
        &["/error", "/error_description"],
        &["/title", "/detail"],
        &["/errors/0/message"],
    ];
    let mut found = envelopes
        .iter()
        .map(|pointers| pointers.iter().filter_map(|pointer| text(pointer)).collect::<Vec<_>>());
    found.find(|parts| !parts.is_empty()).unwrap_or_default()
}

fn meaning(status: u16, json: &Value) -> HttpErrorKind {
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let code = text("/fault/detail/errorcode");
    // An older gateway sends its quota errors as 500.
    if status == 429
        || ["QuotaViolation", "SpikeArrestViolation"].iter().any(|kind| code.ends_with(kind))
    {
        return HttpErrorKind::Throttled;
    }
    match (status, code.rsplit('.').next().unwrap_or_default()) {
        (401, "FailedToResolveAPIKey" | "InvalidApiKey") => HttpErrorKind::ApiKey,
        (401, "InvalidApiKeyForGivenResource") => HttpErrorKind::ApiKeyForResource,
        (401, _) => HttpErrorKind::Unauthorized,
        (403, _) => HttpErrorKind::Forbidden,
        (404, _) if text("/exception/name") == "RouteNotFoundException" || json.is_null() => {
            HttpErrorKind::NoRoute
        }
        (202, _) => HttpErrorKind::NotReady,
        (304, _) => HttpErrorKind::NotModified,
        (300..=399, _) => HttpErrorKind::Redirect,
        (500..=599, _) => HttpErrorKind::ServerError,
        _ => HttpErrorKind::Refused,
    }
}

/// The title of an HTML page, as sent by proxies and front ends.
fn html_title(text: &str) -> Option<String> {
    let start = text.trim_start();
    if !start.starts_with('<') {
        return None;
    }
    // Same length in bytes: only ASCII letters change.
    let lower = start.to_ascii_lowercase();
    let from = lower.find("<title>")? + "<title>".len();
    let to = lower[from..].find("</title>")? + from;
    Some(start[from..to].trim().to_owned()).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_envelope_becomes_one_line() {
        for (status, body, message, expected) in [
            (
                401,
                r#"{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}"#,
                "Invalid ApiKey",
                HttpErrorKind::ApiKey,
            ),
            (
                401,
                r#"{"fault":{"faultstring":"Failed to resolve API Key variable request.header.x-api-project-id","detail":{"errorcode":"steps.oauth.v2.FailedToResolveAPIKey"}}}"#,
                "Failed to resolve API Key variable request.header.x-api-project-id",
                HttpErrorKind::ApiKey,
            ),
            (
                401,
                r#"{"fault":{"faultstring":"Invalid ApiKey for given resource","detail":{"errorcode":"oauth.v2.InvalidApiKeyForGivenResource"}}}"#,
                "Invalid ApiKey for given resource",
                HttpErrorKind::ApiKeyForResource,
            ),
            (
                500,
                r#"{"fault":{"faultstring":"Rate limit quota violation.","detail":{"errorcode":"policies.ratelimit.QuotaViolation"}}}"#,
                "Rate limit quota violation.",
                HttpErrorKind::Throttled,
            ),
            (401, "Unauthorized", "Unauthorized", HttpErrorKind::Unauthorized),
            (
                404,
                r#"{"exception":{"name":"RouteNotFoundException","message":"This route does not exist","details":"Cannot GET /x"}}"#,
                "This route does not exist: Cannot GET /x",
                HttpErrorKind::NoRoute,
            ),
            (
                404,
                r#"{"kind":"NotFoundError","message":"Asset with ID: 1 does not exist","errors":[],"params":{}}"#,
                "Asset with ID: 1 does not exist",
                HttpErrorKind::Refused,
            ),
            (
                403,
                r#"{"data":null,"msg":"User \"51\" does not have create privilege on workflow"}"#,
                r#"User "51" does not have create privilege on workflow"#,
                HttpErrorKind::Forbidden,
            ),
            (
                400,
                r#"{"exception":{"name":"ValidationFailed","message":"Input validation failed","details":{"limit":"too large"}}}"#,
                r#"Input validation failed: {"limit":"too large"}"#,
                HttpErrorKind::Refused,
            ),
            (
                400,
                "<!DOCTYPE html>\n<HTML><TITLE> 400 Bad\nRequest </TITLE>é",
                "400 Bad Request",
                HttpErrorKind::Refused,
            ),
            (
                502,
                "<html><title></title></html>",
                "<html><title></title></html>",
                HttpErrorKind::ServerError,
            ),
            (
                404,
                "<html><body>Cannot GET /x</body></html>",
                "<html><body>Cannot GET /x</body></html>",
                HttpErrorKind::NoRoute,
            ),
            (302, "", "", HttpErrorKind::Redirect),
            (304, "", "", HttpErrorKind::NotModified),
            (202, "{\"message\":\"queued\"}", "queued", HttpErrorKind::NotReady),
            (
                503,
                "\u{1b}[31mdown\r\nfor now",
                "\\u{1b}[31mdown for now",
                HttpErrorKind::ServerError,
            ),
            (418, "[1]", "[1]", HttpErrorKind::Refused),
        ] {
            assert_eq!(
                read(status, body.as_bytes(), &[]),
                (message.to_owned(), expected),
                "{body}"
            );
        }
    }

    #[test]
    fn any_bytes_are_readable() {
        let deep = "[".repeat(100_000);
        for body in [
            &b"\xff\xfe\x00"[..],
            b"<title>",
            b"<",
            deep.as_bytes(),
            "<é<title>é</title>".as_bytes(),
        ] {
            assert!(read(500, body, &[]).0.chars().count() <= LIMIT + 1);
        }
    }

    #[test]
    fn json_of_an_unknown_shape_may_hold_tokens_and_is_not_shown() {
        for (text, shown) in [
            (r#"{"next":"token"}"#, ""),
            (r#"["token"]"#, ""),
            (r#"{"error":"slow_down"}"#, "slow_down"),
            ("Access denied", "Access denied"),
        ] {
            assert_eq!(message(text, &[]), shown);
        }
    }
}
