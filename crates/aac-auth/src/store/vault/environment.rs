//! The vault's address and credentials, as `bao` and `vault` read them. They are never in creds.json: a
//! repository that someone clones could send the reader's token anywhere.

use crate::config::text;
use crate::error::FileProblem;
use crate::error::vault::VaultProblem;
use crate::http::certificate::flaw;
use crate::loopback::is_loopback;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::{env, fmt, fs, io};
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, parse_pem};
use zeroize::Zeroizing;

/// Where the vault is, and whom to trust. The token is [read](Self::token) for each request: an agent may
/// replace it at any time.
pub(crate) struct Environment {
    /// Scheme, host and path, with no slash at its end.
    pub(crate) address: String,
    pub(crate) is_here: bool,
    pub(crate) namespace: Option<HeaderValue>,
    pub(crate) roots: RootCerts,
    /// This client's own certificate, where the vault wants one.
    pub(crate) own: Option<ClientCert>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The first of these variables that is set, and its value.
fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| {
        let value = env::var(name).ok()?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

impl Environment {
    pub(crate) fn read() -> Result<Self, VaultProblem> {
        for (names, instead) in UNSUPPORTED {
            if let Some((variable, _)) = first(names) {
                return Err(VaultProblem::unsupported(variable, instead));
            }
        }
        let (variable, address) =
            first(["BAO_ADDR", "VAULT_ADDR"]).ok_or_else(VaultProblem::no_address)?;
        if address.starts_with("unix:") {
            return Err(VaultProblem::unix_socket(variable));
        }
        let uri: Uri = address.parse().map_err(|_| VaultProblem::not_a_url(variable))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(VaultProblem::not_a_url(variable));
        };
        let is_here = is_loopback(authority.host());
        let path = uri.path().trim_end_matches('/');
        let is_plain = uri.query().is_none()
            && !authority.as_str().contains('@')
            // Of a request, or of the web page.
            && !path.split('/').any(|part| matches!(part, "v1" | "ui"));
        match scheme {
            _ if !is_plain => return Err(VaultProblem::not_a_url(variable)),
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(VaultProblem::not_https(variable)),
            _ => return Err(VaultProblem::not_a_url(variable)),
        }
        if let Some((variable, value)) = first(["BAO_SKIP_VERIFY", "VAULT_SKIP_VERIFY"])
            && !["0", "f", "false"].contains(&value.to_ascii_lowercase().as_str())
        {
            return Err(VaultProblem::skips_verification(variable));
        }
        let namespace = match first(NAMESPACE) {
            Some((variable, value)) => Some(
                HeaderValue::from_str(&value).map_err(|_| VaultProblem::not_a_header(variable))?,
            ),
            None => None,
        };
        let address = format!("{scheme}://{authority}{path}");
        Ok(Self { address, is_here, namespace, roots: roots()?, own: own_certificate()? })
    }

    /// The vault's token: from the environment, or from the file that `login` and agents write. On this
    /// machine an agent may need none.
    pub(crate) fn token(&self) -> Result<Option<HeaderValue>, VaultProblem> {
        let (place, token) = match first(["BAO_TOKEN", "VAULT_TOKEN"]) {
            Some((variable, token)) => (variable.to_owned(), Zeroizing::new(token)),
            None => {
                let path = env::home_dir().unwrap_or_default().join(".vault-token");
                let place = path.display().to_string();
                let text = match text::read(&path).and_then(|bytes| text::decode(&bytes)) {
                    Ok(text) => text,
                    Err(FileProblem::Missing | FileProblem::Empty) => Default::default(),
                    Err(problem) => {
                        return Err(VaultProblem::token_unreadable(&place, &problem.to_string()));
                    }
                };
                (place, Zeroizing::new(text.trim().to_owned()))
            }
        };
        if token.is_empty() {
            return if self.is_here { Ok(None) } else { Err(VaultProblem::no_token()) };
        }
        let value = HeaderValue::from_str(&token).ok().filter(|_| !token.contains(' '));
        let mut value = value.ok_or_else(|| VaultProblem::token_unclean(&place))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The names of the variable with the vault's namespace.
pub(crate) const NAMESPACE: [&str; 2] = ["BAO_NAMESPACE", "VAULT_NAMESPACE"];

/// What would lead elsewhere than this client goes, and what does the same here.
const UNSUPPORTED: [([&str; 2], &str); 4] = [
    (["BAO_AGENT_ADDR", "VAULT_AGENT_ADDR"], "Put the agent's address in VAULT_ADDR"),
    (
        ["BAO_TLS_SERVER_NAME", "VAULT_TLS_SERVER_NAME"],
        "Name the vault in VAULT_ADDR as its certificate does",
    ),
    (["BAO_PROXY_ADDR", "VAULT_PROXY_ADDR"], "Name the proxy in HTTPS_PROXY"),
    (["BAO_HTTP_PROXY", "VAULT_HTTP_PROXY"], "Name the proxy in HTTPS_PROXY"),
];

/// The certificates that are trusted, in the order in which `bao` and `vault` look for them.
fn roots() -> Result<RootCerts, VaultProblem> {
    let (variable, found) = if let Some((variable, path)) = first(["BAO_CACERT", "VAULT_CACERT"]) {
        (variable, in_file(&path, certificates))
    } else if let Some((variable, pem)) = first(["BAO_CACERT_BYTES", "VAULT_CACERT_BYTES"]) {
        (variable, certificates(pem.as_bytes()))
    } else if let Some((variable, path)) = first(["BAO_CAPATH", "VAULT_CAPATH"]) {
        let named = |what| format!("{path}: {what}");
        (variable, in_folder(Path::new(&path)).and_then(|found| not_none(found).map_err(named)))
    } else {
        return Ok(RootCerts::PlatformVerifier);
    };
    found.map(RootCerts::from).map_err(|what| VaultProblem::no_certificates(variable, &what))
}

/// This client's own certificate, and its key.
fn own_certificate() -> Result<Option<ClientCert>, VaultProblem> {
    let names = [["BAO_CLIENT_CERT", "VAULT_CLIENT_CERT"], ["BAO_CLIENT_KEY", "VAULT_CLIENT_KEY"]];
    let ((of_chain, chain), (of_key, key)) = match names.map(first) {
        [Some(chain), Some(key)] => (chain, key),
        [None, None] => return Ok(None),
        [lone, other] => {
            let variable = lone.or(other).map_or("", |(variable, _)| variable);
            return Err(VaultProblem::half_a_certificate(variable));
        }
    };
    let found = in_file(&chain, certificates);
    let found = found.map_err(|what| VaultProblem::no_own_certificate(of_chain, &what))?;
    let found_key = in_file(&key, private_key);
    let found_key = found_key.map_err(|what| VaultProblem::no_key(of_key, &what))?;
    // ureq panics if they do not go together.
    let der = PrivateKeyDer::try_from(found_key.der()).map(|der| der.clone_key());
    let der = der.map_err(|what| VaultProblem::no_key(of_key, &format!("{key}: {what}")))?;
    let chain = found.iter().map(|item| CertificateDer::from(item.der()).into_owned()).collect();
    match CertifiedKey::from_der(chain, der, &ring::default_provider()) {
        Ok(_) => Ok(Some(ClientCert::new_with_certs(&found, found_key))),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let what = format!("{key}: it is not the key of the certificate in {of_chain}");
            Err(VaultProblem::no_key(of_key, &what))
        }
        Err(error) => Err(VaultProblem::no_key(of_key, &format!("{key}: {error}"))),
    }
}

/// What is in a file; the error names it.
fn in_file<T>(
    path: impl AsRef<Path>,
    find: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, String> {
    let path = path.as_ref();
    let pem = fs::read(path).map(Zeroizing::new).map_err(|error| error.to_string());
    pem.and_then(|pem| find(&pem)).map_err(|what| format!("{}: {what}", path.display()))
}

/// The certificates in the files of a folder and the folders in it; other files may be there, too.
fn in_folder(folder: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        // No link to a folder is followed: it may lead back.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(in_folder(&path)?);
        } else if path.is_file() {
            found.extend(in_file(&path, |pem| Ok(certificates(pem).unwrap_or_default()))?);
        }
    }
    Ok(found)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    flaw(pem).map_or(Ok(found), |what| Err(what.to_owned()))
}

fn not_none(found: Vec<Certificate<'static>>) -> Result<Vec<Certificate<'static>>, String> {
    match found.is_empty() {
        false => Ok(found),
        true => Err("no certificate in it".to_owned()),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKey<'static>, String> {
    // In both of its forms, this is in clear.
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err("the key is encrypted, which is not supported".to_owned());
    }
    PrivateKey::from_pem(pem).map_err(|_| "no private key in it".to_owned())
}
