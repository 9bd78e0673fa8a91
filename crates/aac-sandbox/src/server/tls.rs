//! A private certificate authority, and a certificate for loopback and the cloud's host names.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the certificate is valid for.
const NAMES: [&str; 8] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "alteryxcloud.com",
    "*.alteryxcloud.com",
    "*.us1.alteryxcloud.com",
    "*.eu1.alteryxcloud.com",
    "*.au1.alteryxcloud.com",
];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate for a server on loopback, and that of the private authority that signed it.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate of the authority in PEM, for clients.
    pub authority: String,
    /// The certificate of the server in PEM.
    pub certificate: String,
    /// Its private key in PEM.
    pub key: String,
}

impl Certificate {
    /// Issues a certificate for 127.0.0.1, localhost, ::1 and the cloud's host names. Its authority
    /// has signed no other.
    ///
    /// # Errors
    ///
    /// If the system provides no random bytes.
    pub fn issue() -> io::Result<Self> {
        Self::try_issue().map_err(io::Error::other)
    }

    fn try_issue() -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = valid_now(CertificateParams::default());
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority.distinguished_name.push(DnType::CommonName, "aac-sandbox authority");
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::from_params(&authority, authority_key);

        let key = KeyPair::generate()?;
        let mut server = valid_now(CertificateParams::new(NAMES.map(str::to_owned))?);
        server.distinguished_name.push(DnType::CommonName, "aac-sandbox");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        Ok(Self {
            authority: authority_certificate.pem(),
            certificate: server.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// A TLS acceptor, and the certificate of its authority in PEM.
pub(crate) fn acceptor() -> io::Result<(TlsAcceptor, String)> {
    let Certificate { authority, certificate, key } = Certificate::issue()?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    // A process with several providers compiled in has no default provider.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.map_err(io::Error::other)?],
            key.map_err(io::Error::other)?,
        )
        .map_err(io::Error::other)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority))
}

/// Valid for a year from yesterday. macOS rejects certificates valid for more than 825 days.
fn valid_now(mut params: CertificateParams) -> CertificateParams {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + since_1970;
    params.not_before = now - DAY;
    params.not_after = now + 365 * DAY;
    params
}
