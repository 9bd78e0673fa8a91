//! What the vault responds: the HTTP API of HashiCorp Vault and OpenBao, as far as clients of the
//! pair's secret meet it. The order of the checks is that of OpenBao 2.7, and so are the statuses.

use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};

use super::SecretVersion;
use super::engine::{Engine, Operation, PATH, Refusal, Store, Write};
use crate::faults::{FaultKind, Target};
use crate::http::responses::{vault_errors, vault_json, with_header};
use crate::http::{Note, Response};
use crate::state::Shared;
use crate::tokens::random;

/// How far the log of a node has got. A client sends it back, so that a node that is not there yet
/// forwards the request.
const INDEX: &str = "x-vault-index";

/// What a request is about.
pub(crate) fn operation(method: &Method, path: &str) -> Operation {
    match *method {
        Method::GET if path.starts_with("/v1/secret/") => Operation::Read,
        Method::POST | Method::PUT if path.starts_with("/v1/secret/") => Operation::Write,
        _ => Operation::Other,
    }
}

/// The target of the faults for an operation.
pub(crate) fn target(operation: Operation) -> Target {
    match operation {
        Operation::Read => Target::VaultRead,
        Operation::Write => Target::VaultWrite,
        Operation::Other => Target::Vault,
    }
}

/// A response, or another than the one asked for.
type Reply = Result<Response, Box<Response>>;

fn refuse<T>(status: u16, errors: &[&str]) -> Result<T, Box<Response>> {
    Err(Box::new(vault_errors(status, errors)))
}

/// Handles a request.
pub(crate) fn serve(
    shared: &Shared,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response {
    let engine = &mut shared.state().vault;
    respond(engine, request, body, fault).unwrap_or_else(|refused| *refused)
}

fn respond(engine: &mut Engine, request: &Parts, body: &[u8], fault: Option<&FaultKind>) -> Reply {
    let Some(path) = request.uri.path().strip_prefix("/v1/") else {
        return refuse(404, &[]);
    };
    if engine.sealed {
        return refuse(503, &["Vault is sealed"]);
    }
    let operation = operation(&request.method, request.uri.path());
    // A body is read before the token is looked at.
    let body = match operation {
        Operation::Write => parse(body)?,
        _ => Value::Null,
    };
    authorize(engine, request, path)?;

    if !path.starts_with("secret/") {
        return refuse(404, &[&format!("no handler for route {path:?}. route entry not found.")]);
    }
    if operation == Operation::Other {
        return refuse(405, &["1 error occurred:\n\t* unsupported operation\n\n"]);
    }
    if engine.options.kv_v1 {
        return kv_v1(engine, operation, path, body);
    }
    if !path.starts_with("secret/data/") {
        let warning = "Invalid path for a versioned K/V secrets engine.";
        return Ok(Note::on(answer(404, &Value::Null, &json!([warning])), "a path without data/"));
    }
    if path != PATH {
        return refuse(404, &[]);
    }
    let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let required = header(INDEX).and_then(|index| index.parse().ok());
    let forwards = header("x-vault-inconsistent") == Some("forward-active-node");
    let standby = engine.standby(fault == Some(&FaultKind::Stale)).cloned();
    let standby = standby.filter(|store| !forwards || required <= Some(store.index));
    match operation {
        Operation::Write => write(engine, standby.as_ref(), &body, fault),
        _ => read(engine, standby.as_ref().unwrap_or(&engine.store), request.uri.query()),
    }
}

/// The body of a write: an object, which may be missing.
fn parse(body: &[u8]) -> Result<Value, Box<Response>> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(Value::Object(members)),
        Ok(Value::Null) => Ok(json!({})),
        Ok(_) => refuse(400, &["failed to decode JSON input: this is no object"]),
        Err(error) => refuse(400, &[&format!("failed to decode JSON input: {error}")]),
    }
}

/// Checks the namespace and the token, and what its policy allows.
fn authorize(engine: &Engine, request: &Parts, path: &str) -> Result<(), Box<Response>> {
    let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let named = header("x-vault-namespace").unwrap_or_default().trim_matches('/');
    let named = if named == "root" { "" } else { named };
    let is_own = named == engine.options.namespace.as_deref().unwrap_or_default();
    if !is_own && !named.is_empty() {
        return refuse(404, &["namespace not found"]);
    }
    // The root namespace exists, but the tokens are not valid there.
    let token = token(&request.headers).filter(|_| is_own);
    if token == Some(&engine.root_token) {
        return Ok(());
    }
    if engine.token_revoked || token != Some(&engine.token) {
        return refuse(403, &["permission denied"]);
    }
    // `read` and `update`: a secret that does not exist cannot be created.
    let exists = engine.store.secret.is_some() || engine.store.plain.contains_key(path);
    let is_allowed = match operation(&request.method, request.uri.path()) {
        Operation::Read => true,
        Operation::Write => exists,
        Operation::Other => false,
    };
    match is_allowed && path == engine.path() {
        true => Ok(()),
        false => refuse(403, &["1 error occurred:\n\t* permission denied\n\n"]),
    }
}

/// The token of a request: its own header, or a bearer token.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(token) = headers.get("x-vault-token") {
        return token.to_str().ok();
    }
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

fn write(
    engine: &mut Engine,
    standby: Option<&Store>,
    body: &Value,
    fault: Option<&FaultKind>,
) -> Reply {
    let cas = match &body["options"] {
        Value::Null => None,
        Value::Object(options) => options.get("cas"),
        _ => return refuse(400, &["error converting input for field \"options\""]),
    };
    let cas = match cas {
        None => None,
        Some(Value::Null) => Some(0),
        Some(cas) => match cas.as_str().map_or_else(|| cas.to_string(), str::to_owned).parse() {
            Ok(cas) => Some(cas),
            Err(_) => return refuse(400, &["error parsing check-and-set parameter"]),
        },
    };
    let data = match body.get("data") {
        None => return refuse(400, &["no data provided"]),
        // A read then is a 200 with null.
        Some(data @ (Value::Null | Value::Object(_))) => sorted(data.clone()),
        Some(_) => return refuse(400, &["error converting input for field \"data\""]),
    };
    let write = Write { data, cas };
    // A standby compares with the version that it knows before it forwards the write.
    let known = standby.map_or(Ok(()), |standby| engine.check(&write, standby));
    let result = match fault {
        Some(FaultKind::CasMismatch) => Err(Refusal::Mismatch),
        Some(FaultKind::AppliedLater(requests)) => {
            match known.and_then(|()| engine.check(&write, &engine.store)) {
                Ok(()) => {
                    engine.write_later(*requests, write);
                    let text = "1 error occurred:\n\t* leadership lost while committing log\n\n";
                    return refuse(500, &[text]);
                }
                Err(refusal) => Err(refusal),
            }
        }
        _ => known.and_then(|()| engine.write(write)),
    };
    match result {
        Ok(number) => {
            let version =
                engine.store.secret.as_ref().and_then(|s| s.version(number, engine.now()));
            let response = answer(200, &metadata(&version.expect("written")), &Value::Null);
            let response = with_header(response, INDEX, engine.store.index);
            Ok(Note::on(response, format!("version {number}")))
        }
        Err(Refusal::Mismatch) => {
            refuse(400, &["check-and-set parameter did not match the current version"])
        }
        Err(Refusal::Required) => refuse(400, &["check-and-set parameter required for this call"]),
    }
}

fn read(engine: &Engine, store: &Store, query: Option<&str>) -> Reply {
    let mut fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let wanted = match fields.find(|(name, _)| name == "version") {
        None => 0,
        Some((_, text)) => match text.parse::<i64>() {
            // A negative number means the current version, too.
            Ok(number) => u64::try_from(number).unwrap_or(0),
            Err(_) => return refuse(400, &["Field validation failed: version"]),
        },
    };
    let secret = store.secret.as_ref();
    let Some(version) = secret.and_then(|secret| secret.version(wanted, engine.now())) else {
        return refuse(404, &[]);
    };
    let status = if version.data.is_some() { 200 } else { 404 };
    let data = json!({ "data": version.data, "metadata": metadata(&version) });
    let response = with_header(answer(status, &data, &Value::Null), INDEX, store.index);
    Ok(Note::on(response, format!("version {}", version.version)))
}

fn metadata(version: &SecretVersion) -> Value {
    json!({
        "created_time": version.created_time,
        "custom_metadata": null,
        "deletion_time": version.deletion_time,
        "destroyed": version.destroyed,
        "version": version.version,
    })
}

/// A version 1 engine: the whole body is the document, whatever it contains.
fn kv_v1(engine: &mut Engine, operation: Operation, path: &str, body: Value) -> Reply {
    if operation == Operation::Read {
        return match engine.store.plain.get(path) {
            Some(document) => {
                let response = answer(200, document, &Value::Null);
                Ok(with_header(response, INDEX, engine.store.index))
            }
            None => refuse(404, &[]),
        };
    }
    if body.as_object().is_none_or(|members| members.is_empty()) {
        return refuse(400, &["missing data fields"]);
    }
    engine.counters.applied += 1;
    engine.change(|store| store.plain.insert(path.to_owned(), sorted(body)));
    Ok(vault_json(204, Bytes::new()))
}

/// A document as an engine gives it back: with its keys in order.
pub(super) fn sorted(mut document: Value) -> Value {
    document.sort_all_objects();
    document
}

/// The envelope of every response but errors.
fn answer(status: u16, data: &Value, warnings: &Value) -> Response {
    let body = json!({
        "request_id": random::uuid(),
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": data,
        "wrap_info": null,
        "warnings": warnings,
        "auth": null,
    });
    vault_json(status, format!("{body}\n"))
}
