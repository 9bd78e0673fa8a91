//! Requests to a vault: KV version 2 over its HTTP API.

use crate::error::vault::VaultProblem;
use crate::error::{NetworkError, status_line};
use crate::http::envelope;
use crate::http::retry::server_time;
use crate::http::transport::{Limits, Transport, io_network_error};
use crate::store::vault::environment::Environment;
use crate::tokens::secret::redact;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use ureq::http::uri::Authority;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use zeroize::Zeroizing;

/// The largest response that is read, in bytes: a secret has at most 1 MiB.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Waits within one request. A leader that is stopped lets a standby wait for a minute.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(10),
    total: Some(Duration::from_secs(15)),
};

/// One version of a secret.
pub(crate) struct Version {
    pub(crate) number: u64,
    /// None if it was deleted; then, when.
    pub(crate) fields: Result<Map<String, Value>, VaultProblem>,
    /// When it is deleted by itself, if ever.
    pub(crate) expires: Option<String>,
    /// When it was written, by the vault's clock, in seconds since the epoch.
    pub(crate) created: Option<f64>,
    /// How long ago it was written, by the vault's clock alone.
    pub(crate) age: Option<Duration>,
    /// The vault's clock, in seconds since the epoch; this machine's if the vault does not say.
    pub(crate) now: i64,
}

/// The status of a response, its headers and its body.
type Answer = (StatusCode, HeaderMap, Zeroizing<Vec<u8>>);

/// What a read has shown.
pub(crate) enum Seen {
    Version(Version),
    /// There is no such secret, or none yet on a node that was just unsealed.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Client {
    transport: Transport,
    environment: Environment,
    /// The state of the vault after our last write, which a standby must have before it responds.
    index: Mutex<Option<HeaderValue>>,
}

impl Client {
    pub(crate) fn new(environment: Environment, user_agent: &str) -> Self {
        let (roots, own) = (environment.roots.clone(), environment.own.clone());
        let transport = Transport::new(user_agent, roots, own);
        Self { transport, environment, index: Mutex::default() }
    }

    /// The address, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.environment.address
    }

    /// Reads the newest version of a secret, or this one.
    pub(crate) fn read(&self, path: &str, number: Option<u64>) -> Result<Seen, VaultProblem> {
        // Of one secret alone, and not of another endpoint.
        let is_plain = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\\"".contains(&byte))
        };
        if !path.split('/').all(is_plain) || path.starts_with("v1/") {
            return Err(VaultProblem::not_a_data_path());
        }
        // A policy for data/ refuses it with 403, as if the policy were to blame.
        if !path.contains("/data/") {
            return Err(VaultProblem::no_data());
        }
        let query = number.map_or_else(String::new, |number| format!("?version={number}"));
        let (status, headers, body) = self.send(Method::GET, &format!("{path}{query}"), "")?;
        let body = Json::parse(&body);
        match status {
            StatusCode::OK | StatusCode::NOT_FOUND if body.0["data"]["metadata"].is_object() => {
                version(body, &headers).map(Seen::Version)
            }
            StatusCode::OK if body.0["data"].is_object() => Err(VaultProblem::version1()),
            StatusCode::NOT_FOUND if body.0["warnings"].is_array() => {
                Err(VaultProblem::not_a_data_path())
            }
            StatusCode::NOT_FOUND if body.0["errors"].as_array().is_some_and(Vec::is_empty) => {
                Ok(Seen::Nothing)
            }
            StatusCode::NOT_FOUND if body.0["errors"].is_array() => {
                Err(problem(status, &headers, &body.0))
            }
            StatusCode::OK | StatusCode::NOT_FOUND => {
                Err(VaultProblem::bad_response(&status_line(status.as_u16())))
            }
            status => Err(problem(status, &headers, &body.0)),
        }
    }

    /// Writes a version that follows `base` (0: the first). Returns its number, and when it was written.
    /// Any error leaves open whether it is written, or will be.
    pub(crate) fn write(
        &self,
        path: &str,
        base: u64,
        fields: &Map<String, Value>,
    ) -> Result<(u64, Option<f64>), VaultProblem> {
        let body = Json(json!({ "options": { "cas": base }, "data": fields }));
        let text = Zeroizing::new(body.0.to_string());
        let (status, headers, body) = self.send(Method::POST, path, &text)?;
        let body = Json::parse(&body);
        match (status, body.0["data"]["version"].as_u64()) {
            (StatusCode::OK, Some(number)) => {
                if let Some(index) = headers.get("x-vault-index") {
                    let mut ours = self.index.lock().unwrap_or_else(PoisonError::into_inner);
                    *ours = Some(index.clone());
                }
                Ok((number, body.0["data"]["created_time"].as_str().and_then(unix_time)))
            }
            // Version 1 ignores check-and-set.
            (StatusCode::NO_CONTENT, _) => Err(VaultProblem::version1()),
            (StatusCode::OK, None) => Err(VaultProblem::bad_response("no version in it")),
            (status, _) => Err(problem(status, &headers, &body.0)),
        }
    }

    /// Sends a request, and again to the leader if a node of the cluster names that.
    fn send(
        &self,
        method: Method,
        path_and_query: &str,
        body: &str,
    ) -> Result<Answer, VaultProblem> {
        let path = format!("/v1/{path_and_query}");
        let url = format!("{}{path}", self.environment.address);
        let answer = self.send_to(method.clone(), &url, body)?;
        match leader(&url, &path, &answer) {
            Some(leader) => {
                let answer = self.send_to(method, &leader.to_string(), body);
                answer.map_err(|problem| {
                    problem.at_leader(leader.authority().map_or("", Authority::as_str))
                })
            }
            None => Ok(answer),
        }
    }

    fn send_to(&self, method: Method, url: &str, body: &str) -> Result<Answer, VaultProblem> {
        let environment = &self.environment;
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header("X-Vault-Request", "true")
            .header(header::ACCEPT, "application/json");
        if let Some(token) = environment.token()? {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &environment.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(index) = index {
            request = request
                .header("X-Vault-Index", index)
                .header("X-Vault-Inconsistent", "forward-active-node");
        }
        let broken = |error: ureq::http::Error| NetworkError::Broken(error.to_string());
        let sent = match body.is_empty() {
            true => request
                .body(())
                .map_err(broken)
                .and_then(|request| self.transport.send(request, &LIMITS)),
            false => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(broken)
                .and_then(|request| self.transport.send(request, &LIMITS)),
        };
        let mut response = sent.map_err(|reason| VaultProblem::network(&reason))?;
        let mut body = Zeroizing::new(Vec::with_capacity(64 * 1024));
        let reader = response.body_mut().as_reader();
        let length = reader
            .take(LARGEST + 1)
            .read_to_end(&mut body)
            .map_err(|error| VaultProblem::network(&io_network_error(&error)))?;
        if length as u64 > LARGEST {
            return Err(VaultProblem::bad_response("larger than 4 MiB"));
        }
        let (head, _) = response.into_parts();
        Ok((head.status, head.headers, body))
    }
}

/// The leader's address, if a node of a cluster names it. The vault's token goes nowhere else: not to a web page
/// to log in at, nor from what is not the vault itself (an agent on this machine).
fn leader(url: &str, path: &str, (status, headers, body): &Answer) -> Option<Uri> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let leader: Uri = text(header::LOCATION)?.parse().ok()?;
    let is_page = text(header::CONTENT_TYPE).is_some_and(|kind| kind.contains("html"))
        || body.trim_ascii_start().starts_with(b"<");
    let path = path.split('?').next().unwrap_or_default();
    let is_leader = *status == StatusCode::TEMPORARY_REDIRECT
        && url.starts_with("https://")
        && leader.scheme_str() == Some("https")
        && !leader.authority()?.as_str().contains('@')
        && leader.path().ends_with(path)
        && !is_page;
    is_leader.then_some(leader)
}

/// A JSON value whose strings are wiped on drop.
struct Json(Value);

impl Json {
    fn parse(bytes: &[u8]) -> Self {
        Self(serde_json::from_slice(bytes).unwrap_or_default())
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        crate::tokens::credentials::wipe(&mut self.0);
    }
}

fn version(mut body: Json, headers: &HeaderMap) -> Result<Version, VaultProblem> {
    let data = body.0["data"].take();
    let metadata = &data["metadata"];
    let text = |name: &str| metadata[name].as_str().filter(|text| !text.is_empty());
    let Some(number) = metadata["version"].as_u64() else {
        return Err(VaultProblem::bad_response("no version in it"));
    };
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let date = server_time(headers);
    let created = text("created_time").and_then(unix_time);
    // The date is in whole seconds, so it may be almost one second behind.
    let age = date
        .map(seconds)
        .zip(created)
        .and_then(|(now, created)| Duration::try_from_secs_f64(now as f64 + 1.0 - created).ok());
    let (expires, number_of_deleted) = (text("deletion_time").map(str::to_owned), number);
    let mut data = Json(data);
    let fields = match data.0["data"].take() {
        Value::Object(fields) => Ok(fields),
        _ if data.0["metadata"]["destroyed"] == true => Err(VaultProblem::destroyed()),
        _ => Err(VaultProblem::deleted(expires.as_deref().unwrap_or("an unknown time"))),
    };
    let now = seconds(date.unwrap_or_else(SystemTime::now));
    Ok(Version { number: number_of_deleted, fields, expires, created, age, now })
}

/// Seconds since the epoch of a time in RFC 3339's format, in UTC, with any number of digits.
fn unix_time(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
    let second: f64 = time.next()?.parse().ok()?;
    // Days since the epoch, counted from March so that the leap day is the last one of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60) as f64 + second)
}

/// What another status means.
fn problem(status: StatusCode, headers: &HeaderMap, body: &Value) -> VaultProblem {
    match status {
        StatusCode::FORBIDDEN => VaultProblem::denied(),
        StatusCode::SERVICE_UNAVAILABLE => VaultProblem::sealed(),
        StatusCode::TOO_MANY_REQUESTS => VaultProblem::rate_limited(),
        status => {
            let errors = body["errors"].as_array().into_iter().flatten();
            let errors: Vec<_> = errors.filter_map(Value::as_str).collect();
            let message = match envelope::location(headers, &[]) {
                Some(to) if status.is_redirection() => format!("to {to}"),
                _ => redact(&errors.join("; "), &[], 200),
            };
            VaultProblem::status(status.as_u16(), &message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_vault_writes_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2026-11-24T12:00:00.5Z", 1_795_521_600.5),
            ("2024-02-29T23:59:59.123456789Z", 1_709_251_199.123_456_8),
            ("2000-03-01T00:00:00Z", 951_868_800.0),
        ] {
            assert_eq!(unix_time(text), Some(expected), "{text}");
        }
        for text in ["", "0001-01-01", "2026-11-24T12:00:00+01:00", "a-b-cTd:e:fZ"] {
            assert_eq!(unix_time(text), None, "{text}");
        }
    }
}
