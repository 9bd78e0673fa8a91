//! The vault: a KV secrets engine behind the HTTP API of HashiCorp Vault and OpenBao. The order of
//! the checks and the texts are those of OpenBao 2.7.

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::faults::{FaultKind, Target};
use crate::http::responses::{vault_errors, vault_json, with_header};
use crate::kv::{self, Operation, Refusal, SecretVersion, Store, Vault, Write, document};
use crate::log::Note;
use crate::random;
use crate::state::Shared;

const INDEX: &str = "x-vault-index";
const INCONSISTENT: &str = "x-vault-inconsistent";
const NAMESPACE: &str = "x-vault-namespace";

/// What a request is about.
pub(super) fn operation(method: &Method, path: &str) -> Operation {
    match *method {
        Method::GET if path.starts_with("/v1/secret/") => Operation::Read,
        Method::POST | Method::PUT if path.starts_with("/v1/secret/") => Operation::Write,
        _ => Operation::Other,
    }
}

/// The target of the faults for an operation.
pub(super) fn target(operation: Operation) -> Target {
    match operation {
        Operation::Read => Target::VaultRead,
        Operation::Write => Target::VaultWrite,
        Operation::Other => Target::Vault,
    }
}

/// A response other than the one asked for.
type Refused = Box<Response<Body>>;

fn refuse<T>(status: StatusCode, errors: &[&str]) -> Result<T, Refused> {
    Err(Box::new(vault_errors(status, errors)))
}

/// Handles a request.
pub(super) fn serve(
    shared: &Shared,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Response<Body> {
    let mut state = shared.state();
    let result = respond(&mut state.vault, request, body, fault);
    let response = result.unwrap_or_else(|refused| *refused);
    match request.headers.get(NAMESPACE).and_then(|value| value.to_str().ok()) {
        Some(namespace) => with_header(response, NAMESPACE, namespace),
        None => response,
    }
}

fn respond(
    vault: &mut Vault,
    request: &Parts,
    body: &[u8],
    fault: Option<&FaultKind>,
) -> Result<Response<Body>, Refused> {
    let Some(path) = request.uri.path().strip_prefix("/v1/") else {
        return refuse(StatusCode::NOT_FOUND, &[]);
    };
    match path {
        "sys/health" => return Ok(health(vault)),
        "sys/seal-status" => return Ok(seal_status(vault)),
        _ => {}
    }
    if vault.sealed {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &["Vault is sealed"]);
    }
    match request.method.as_str() {
        "GET" | "POST" | "PUT" | "DELETE" | "LIST" => {}
        "OPTIONS" => {
            return refuse(
                StatusCode::BAD_REQUEST,
                &["cannot handle internal-only request operation"],
            );
        }
        _ => return refuse(StatusCode::METHOD_NOT_ALLOWED, &[]),
    }
    let body = match request.method {
        Method::POST | Method::PUT => parse(body)?,
        _ => Value::Null,
    };
    let misses_last = fault == Some(&FaultKind::Stale);
    // How far behind the node is, unless the request is forwarded to the active one.
    let standby = vault.standby(misses_last).cloned();
    let standby = match (standby, required_index(&request.headers, vault)?) {
        (Some(standby), Some((index, forwards))) if standby.index < index => {
            if !forwards {
                let response = vault_errors(StatusCode::TOO_MANY_REQUESTS, &[]);
                return Ok(with_header(response, RETRY_AFTER.as_str(), 1));
            }
            None
        }
        (standby, _) => standby,
    };
    let in_namespace = is_in_namespace(&request.headers, vault)?;
    authorize(vault, request, path, in_namespace)?;

    let Some(rest) = path.strip_prefix("secret").and_then(|rest| match rest {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }) else {
        let text = format!("no handler for route {path:?}. route entry not found.");
        return refuse(StatusCode::NOT_FOUND, &[&text]);
    };
    if vault.is_kv_v1 {
        return kv_v1(vault, request, rest, &body);
    }
    let Some(name) = rest.strip_prefix("data/") else {
        let response = with_index(not_versioned(&request.method), vault);
        return Ok(Note::on(response, "a path without data/".to_owned()));
    };
    match request.method.as_str() {
        "GET" => read(vault, standby.as_ref(), name, request.uri.query()),
        "POST" | "PUT" => {
            let write = Write::read(name, &body)?;
            put(vault, standby.as_ref(), write, fault)
        }
        "DELETE" => {
            vault.change(|store, now| {
                if let Some(secret) = store.secrets.get_mut(name) {
                    secret.delete(now);
                }
            });
            Ok(with_index(vault_json(StatusCode::NO_CONTENT, Body::empty()), vault))
        }
        _ => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            &["1 error occurred:\n\t* unsupported operation\n\n"],
        ),
    }
}

/// The body of a write: an object, which may be missing.
fn parse(body: &[u8]) -> Result<Value, Refused> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    let kind = |name| {
        format!("json: cannot unmarshal {name} into Go value of type map[string]interface {{}}")
    };
    let reason = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(members)) => return Ok(Value::Object(members)),
        Ok(Value::Null) => return Ok(json!({})),
        Ok(Value::Bool(_)) => kind("bool"),
        Ok(Value::Number(_)) => kind("number"),
        Ok(Value::String(_)) => kind("string"),
        Ok(Value::Array(_)) => kind("array"),
        Err(error) if error.is_eof() => "unexpected EOF".to_owned(),
        Err(_) => "invalid character".to_owned(),
    };
    refuse(StatusCode::BAD_REQUEST, &[&format!("failed to decode JSON input: {reason}")])
}

/// The index that a request requires, and whether a node that has not reached it forwards.
fn required_index(headers: &HeaderMap, vault: &Vault) -> Result<Option<(u64, bool)>, Refused> {
    let header = |name| headers.get(name).map(|value| value.as_bytes()).filter(|v| !v.is_empty());
    let index = match header(INDEX) {
        None => None,
        Some(text) => {
            let json = BASE64_STANDARD.decode(text).unwrap_or_default();
            let json: Value = serde_json::from_slice(&json).unwrap_or_default();
            let (Some(cluster), Some(value)) = (json["cluster"].as_str(), json["value"].as_str())
            else {
                return refuse(StatusCode::BAD_REQUEST, &["failed to decode \"X-Vault-Index\""]);
            };
            // The index of another cluster says nothing.
            (cluster == vault.cluster_id).then(|| value.parse().unwrap_or(0))
        }
    };
    let forwards = match header(INCONSISTENT) {
        Some(b"forward-active-node") => true,
        None | Some(b"fail" | b"await-state") => false,
        Some(_) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                &["unknown value for \"X-Vault-Inconsistent\" header"],
            );
        }
    };
    Ok(index.map(|index| (index, forwards)))
}

/// Whether the request is about the namespace of the engine and its tokens.
fn is_in_namespace(headers: &HeaderMap, vault: &Vault) -> Result<bool, Refused> {
    let named = headers.get(NAMESPACE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = match named.trim_matches('/') {
        "root" => "",
        named => named,
    };
    let own = vault.namespace.as_deref().unwrap_or_default().trim_matches('/');
    match named {
        named if named == own => Ok(true),
        // The root namespace exists, but the tokens are not valid there.
        "" => Ok(false),
        _ => refuse(StatusCode::NOT_FOUND, &["namespace not found"]),
    }
}

/// Checks the token, and what its policy allows.
fn authorize(
    vault: &Vault,
    request: &Parts,
    path: &str,
    in_namespace: bool,
) -> Result<(), Refused> {
    let token = token(&request.headers);
    if in_namespace && token == Some(&vault.root_token) {
        return Ok(());
    }
    if !in_namespace || vault.token_revoked || token != Some(&vault.token) {
        return refuse(StatusCode::FORBIDDEN, &["permission denied"]);
    }
    // `read` and `update`: a secret that does not exist cannot be created.
    let exists = match vault.is_kv_v1 {
        true => vault.store().plain.contains_key(kv::NAME),
        false => vault.store().secret(kv::NAME).is_some(),
    };
    let allowed = path == vault.path()
        && match request.method {
            Method::GET => true,
            Method::POST | Method::PUT => exists,
            _ => false,
        };
    if allowed {
        return Ok(());
    }
    refuse(StatusCode::FORBIDDEN, &["1 error occurred:\n\t* permission denied\n\n"])
}

/// The token of a request: its own header, or a bearer token.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(token) = headers.get("x-vault-token") {
        return token.to_str().ok();
    }
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

impl Write {
    fn read(name: &str, body: &Value) -> Result<Self, Refused> {
        let not_a_map = |field: &str, value: &Value| {
            let kind = match value {
                Value::Bool(_) => "bool",
                Value::Number(_) => "json.Number",
                Value::String(_) => "string",
                _ => "[]interface {}",
            };
            let text = format!(
                "error converting input for field {field:?}: '' expected type \
                 'map[string]interface {{}}', got unconvertible type '{kind}'"
            );
            refuse(StatusCode::BAD_REQUEST, &[&text])
        };
        let cas = match body.get("options") {
            None | Some(Value::Null) => None,
            Some(Value::Object(options)) => match options.get("cas") {
                None => None,
                Some(Value::Null) => Some(0),
                Some(cas) => {
                    let text = cas.as_str().map_or_else(|| cas.to_string(), str::to_owned);
                    let Ok(cas) = text.parse() else {
                        return refuse(
                            StatusCode::BAD_REQUEST,
                            &["error parsing check-and-set parameter"],
                        );
                    };
                    Some(cas)
                }
            },
            Some(other) => return not_a_map("options", other),
        };
        let data = match body.get("data") {
            None => return refuse(StatusCode::BAD_REQUEST, &["no data provided"]),
            // A read then is a 200 with null.
            Some(data @ (Value::Null | Value::Object(_))) => data.clone(),
            Some(other) => return not_a_map("data", other),
        };
        let data = document::stored(&data).or_else(|number| {
            let text = format!(
                "failed to decode JSON input: json: cannot unmarshal number {number} into Go value \
                 of type float64"
            );
            refuse(StatusCode::BAD_REQUEST, &[&text])
        })?;
        Ok(Self { name: name.to_owned(), data, cas })
    }
}

fn put(
    vault: &mut Vault,
    standby: Option<&Store>,
    write: Write,
    fault: Option<&FaultKind>,
) -> Result<Response<Body>, Refused> {
    // A standby compares with the version that it knows before it forwards the write.
    let known = standby.map(|standby| standby.current_version(&write.name));
    let result = match (fault, known) {
        (Some(FaultKind::CasMismatch), _) => Err(Refusal::Mismatch),
        (_, Some(known)) => vault.check(known, write.cas),
        _ => Ok(()),
    };
    let current = vault.store().current_version(&write.name);
    let result = result.and_then(|()| vault.check(current, write.cas));
    if let (Ok(()), Some(FaultKind::AppliedLater(requests))) = (result, fault) {
        vault.write_later(*requests, write);
        let text = "1 error occurred:\n\t* leadership lost while committing log\n\n";
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, &[text]);
    }
    let name = write.name.clone();
    match result.and_then(|()| vault.write(write)) {
        Ok(number) => {
            let now = vault.now();
            let secret = vault.store().secret(&name);
            let (_, version) = secret.and_then(|secret| secret.version(number)).expect("written");
            let data = metadata(&version.show(number, now));
            let response = answer(StatusCode::OK, &data, &Value::Null, 0);
            Ok(Note::on(with_index(response, vault), format!("version {number}")))
        }
        Err(Refusal::Mismatch) => refuse(
            StatusCode::BAD_REQUEST,
            &["check-and-set parameter did not match the current version"],
        ),
        Err(Refusal::Required) => {
            refuse(StatusCode::BAD_REQUEST, &["check-and-set parameter required for this call"])
        }
    }
}

fn read(
    vault: &Vault,
    standby: Option<&Store>,
    name: &str,
    query: Option<&str>,
) -> Result<Response<Body>, Refused> {
    let mut fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let wanted = match fields.find(|(name, _)| name == "version") {
        None => 0,
        Some((_, text)) => match text.parse::<i64>() {
            // A negative number means the current version, too.
            Ok(number) => u64::try_from(number).unwrap_or(0),
            Err(_) => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    &["Field validation failed: error converting input for field \"version\": '' \
                       cannot parse value as 'int': strconv.ParseInt: invalid syntax"],
                );
            }
        },
    };
    let store = standby.unwrap_or_else(|| vault.store());
    let Some((number, version)) = store.secret(name).and_then(|secret| secret.version(wanted))
    else {
        return refuse(StatusCode::NOT_FOUND, &[]);
    };
    let version = version.show(number, vault.now());
    let status = match version.data {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    let data = json!({ "data": version.data, "metadata": metadata(&version) });
    let response = with_index_of(answer(status, &data, &Value::Null, 0), vault, store.index);
    Ok(Note::on(response, format!("version {number}")))
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

/// The same paths with a version 1 engine: the whole body is the document, whatever it contains.
fn kv_v1(
    vault: &mut Vault,
    request: &Parts,
    path: &str,
    body: &Value,
) -> Result<Response<Body>, Refused> {
    let no_content = || vault_json(StatusCode::NO_CONTENT, Body::empty());
    match request.method.as_str() {
        "GET" => match vault.store().plain.get(path) {
            Some(document) => {
                const LEASE: u64 = 32 * 24 * 60 * 60;
                let warning = json!(["Endpoint ignored these unrecognized parameters: [version]"]);
                let has_version = request.uri.query().is_some_and(|q| q.starts_with("version="));
                let warnings = if has_version { warning } else { Value::Null };
                Ok(with_index(answer(StatusCode::OK, document, &warnings, LEASE), vault))
            }
            None => refuse(StatusCode::NOT_FOUND, &[]),
        },
        "POST" | "PUT" => {
            if body.as_object().is_none_or(|members| members.is_empty()) {
                return refuse(StatusCode::BAD_REQUEST, &["missing data fields"]);
            }
            vault.counters.applied += 1;
            let document = document::sorted(body);
            vault.change(|store, _| store.plain.insert(path.to_owned(), document));
            Ok(with_index(no_content(), vault))
        }
        "DELETE" => {
            vault.change(|store, _| store.plain.remove(path));
            Ok(with_index(no_content(), vault))
        }
        _ => refuse(StatusCode::NOT_FOUND, &[]),
    }
}

/// The response to a path that only a version 1 engine has.
fn not_versioned(method: &Method) -> Response<Body> {
    let command = match method.as_str() {
        "GET" => "get",
        "DELETE" => "delete",
        "LIST" => "list",
        _ => "put",
    };
    let warning = format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate \
         API endpoints to use. If using the OpenBao CLI, use 'bao kv {command}' for this operation."
    );
    answer(StatusCode::NOT_FOUND, &Value::Null, &json!([warning]), 0)
}

/// The envelope of every response but errors.
fn answer(status: StatusCode, data: &Value, warnings: &Value, lease: u64) -> Response<Body> {
    let body = json!({
        "request_id": random::uuid(),
        "lease_id": "",
        "renewable": false,
        "lease_duration": lease,
        "data": data,
        "wrap_info": null,
        "warnings": warnings,
        "auth": null,
    });
    vault_json(status, format!("{}\n", document::to_text(&body)))
}

fn with_index(response: Response<Body>, vault: &Vault) -> Response<Body> {
    with_index_of(response, vault, vault.store().index)
}

/// Says how far the log of the node had got.
fn with_index_of(response: Response<Body>, vault: &Vault, index: u64) -> Response<Body> {
    let json = json!({ "cluster": vault.cluster_id, "value": index.to_string() });
    with_header(response, INDEX, BASE64_STANDARD.encode(json.to_string()))
}

const VERSION: &str = "2.7.2";

fn health(vault: &Vault) -> Response<Body> {
    let (status, mode) = match vault.sealed {
        true => (StatusCode::SERVICE_UNAVAILABLE, "unknown"),
        false => (StatusCode::OK, "disabled"),
    };
    let body = json!({
        "initialized": true,
        "sealed": vault.sealed,
        "standby": vault.sealed,
        "replication_performance_mode": mode,
        "replication_dr_mode": mode,
        "server_time_utc": vault.now().seconds(),
        "version": VERSION,
    });
    vault_json(status, body.to_string())
}

fn seal_status(vault: &Vault) -> Response<Body> {
    let body = json!({
        "type": "shamir",
        "initialized": true,
        "sealed": vault.sealed,
        "t": 1,
        "n": 1,
        "progress": 0,
        "nonce": "",
        "recovery_seal": false,
        "version": VERSION,
        "migration": false,
        "storage_type": "raft",
    });
    vault_json(StatusCode::OK, body.to_string())
}
