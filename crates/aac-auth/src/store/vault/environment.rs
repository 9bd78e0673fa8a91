//! The vault's address and credentials, as `bao` and `vault` read them. They are never in creds.json: a
//! repository that someone clones could send the reader's token anywhere.

use crate::config::text;
use crate::error::vault::VaultProblem;
use crate::loopback::is_loopback;
use std::fmt;
use std::path::PathBuf;
use std::{env, fs};
use ureq::http::{HeaderValue, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use zeroize::Zeroizing;

/// Where the vault is, and whom to trust. The token is [read](Self::token) for each request: an agent may
/// replace it at any time.
pub(crate) struct Environment {
    /// Scheme and host, with no slash at its end.
    pub(crate) address: String,
    pub(crate) is_here: bool,
    pub(crate) namespace: Option<HeaderValue>,
    pub(crate) roots: RootCerts,
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
        let (variable, address) =
            first(["BAO_ADDR", "VAULT_ADDR"]).ok_or_else(VaultProblem::no_address)?;
        let uri: Uri = address.parse().map_err(|_| VaultProblem::not_a_url(variable))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(VaultProblem::not_a_url(variable));
        };
        let is_here = is_loopback(authority.host());
        let is_plain = !uri.path().trim_matches('/').is_empty()
            || uri.query().is_some()
            || authority.as_str().contains('@');
        match scheme {
            _ if is_plain => return Err(VaultProblem::not_a_url(variable)),
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
        let namespace = match first(["BAO_NAMESPACE", "VAULT_NAMESPACE"]) {
            Some((variable, value)) => Some(
                HeaderValue::from_str(&value).map_err(|_| VaultProblem::not_a_header(variable))?,
            ),
            None => None,
        };
        let roots = match first(["BAO_CACERT", "VAULT_CACERT"]) {
            Some((variable, path)) => RootCerts::from(certificates(&path).map_err(|what| {
                VaultProblem::no_certificates(variable, &format!("{path}: {what}"))
            })?),
            None => RootCerts::PlatformVerifier,
        };
        let address = format!("{scheme}://{authority}");
        Ok(Self { address, is_here, namespace, roots })
    }

    /// The vault's token: from the environment, or from the file that `login` and agents write. On this
    /// machine an agent may need none.
    pub(crate) fn token(&self) -> Result<Option<HeaderValue>, VaultProblem> {
        let (place, token) = match first(["BAO_TOKEN", "VAULT_TOKEN"]) {
            Some((variable, token)) => (variable.to_owned(), Zeroizing::new(token)),
            None => {
                let path = env::home_dir().map(|home: PathBuf| home.join(".vault-token"));
                let bytes = path.as_ref().and_then(|path| text::read(path).ok());
                let text = bytes.and_then(|bytes| text::decode(&bytes).ok()).unwrap_or_default();
                let token = Zeroizing::new(text.trim().to_owned());
                (path.unwrap_or_default().display().to_string(), token)
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

fn certificates(path: &str) -> Result<Vec<Certificate<'static>>, String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err("no certificate in it".to_owned()),
    }
}
