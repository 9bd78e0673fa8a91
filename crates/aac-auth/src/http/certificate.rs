//! What is wrong with a server's certificate, or with the certificates that are to be trusted, in words.

use crate::error::NetworkError;
use crate::platform;
use crate::tokens::timestamp::Timestamp;
use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::path::Path;
use std::{env, fs, io};

/// Signature algorithms with SHA-1, for RSA and ECDSA: their object identifiers, in DER.
const SHA_1: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
];

const NO_SERVERS: &str = "it is not meant for servers (extended key usage)";

/// What is wrong with the server's certificate. rustls shows most of it as code, and times in seconds.
pub(crate) fn problem(error: &CertificateError) -> NetworkError {
    use CertificateError as E;
    let at = |time: &UnixTime| {
        let time = i64::try_from(time.as_secs()).ok().and_then(Timestamp::of);
        time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
    };
    NetworkError::BadCertificate(match error {
        // One that is trusted may have the same name, and another key.
        E::UnknownIssuer | E::BadSignature => {
            return NetworkError::Certificate(
                "no CA that is trusted here has issued it".to_owned(),
            );
        }
        // The platform's own.
        E::Other(cause) => {
            return match &*cause.to_string() {
                // As webpki calls it.
                "CaUsedAsEndEntity" => NetworkError::UnfitCertificate(
                    "that of an authority (CA:TRUE), not of a server",
                ),
                "UnsupportedCertVersion" => {
                    NetworkError::UnfitCertificate("of X.509 version 1, which knows no hosts")
                }
                // Its use (extKeyUsage) is another, as rustls-platform-verifier calls it.
                "certificate had invalid extensions" => {
                    NetworkError::BadCertificate(NO_SERVERS.to_owned())
                }
                cause => NetworkError::Certificate(cause.to_owned()),
            };
        }
        // Windows does not tell which.
        E::Expired => "it has expired, or is not valid yet".to_owned(),
        E::ExpiredContext { time, not_after } => {
            format!("it expired at {}, and this machine's clock says {}", at(not_after), at(time))
        }
        E::NotValidYet => "it is not valid yet".to_owned(),
        E::NotValidYetContext { time, not_before } => {
            let (from, now) = (at(not_before), at(time));
            format!("it is valid from {from} on, and this machine's clock says {now}")
        }
        E::NotValidForName => "it is for another host".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            // As rustls has them: DnsName("api.example.com"), IpAddress(127.0.0.1).
            let kinds = ["DnsName(", "IpAddress("];
            let name = |text: &String| {
                kinds.iter().find_map(|kind| {
                    text.strip_prefix(kind)?
                        .strip_suffix(')')
                        .map(|name| name.trim_matches('"').to_owned())
                })
            };
            let names = presented.iter().filter_map(name).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no host".to_owned() } else { names };
            format!("it is for {names}, not for {}", expected.to_str())
        }
        E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: id, ..
        } => {
            let is = |oid: &&[u8]| id.windows(oid.len()).any(|part| part == *oid);
            match SHA_1.iter().any(is) {
                true => "it is signed with SHA-1, which is no longer safe".to_owned(),
                false => "it is signed with an algorithm that is not supported".to_owned(),
            }
        }
        E::Revoked => "it was revoked".to_owned(),
        E::BadEncoding => "it is damaged".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => NO_SERVERS.to_owned(),
        other => other.to_string(),
    })
}

/// The reason, or the one behind it: the environment names no certificates.
pub(crate) fn blamed(reason: NetworkError) -> NetworkError {
    let is_of_roots = matches!(reason, NetworkError::Certificate(_) | NetworkError::NoRoots);
    let wrong = is_of_roots.then(wrong_roots).flatten();
    wrong.map_or(reason, NetworkError::WrongRoots)
}

/// What is wrong with the certificates that the environment names instead of the system's, if anything is.
fn wrong_roots() -> Option<String> {
    let (file, folders) = (env::var_os("SSL_CERT_FILE"), env::var_os("SSL_CERT_DIR"));
    match (file, folders) {
        _ if !platform::READS_SSL_CERT_FILE => None,
        (Some(path), _) if path.is_empty() => Some("SSL_CERT_FILE is set, but empty".to_owned()),
        (Some(path), _) => {
            let path = Path::new(&path);
            let what = match fs::read(path) {
                Ok(bytes) => flaw(&bytes)?.to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "no such file".to_owned(),
                Err(error) => error.to_string(),
            };
            Some(format!("SSL_CERT_FILE names {}: {what}", path.display()))
        }
        (None, Some(folders)) => {
            let is_empty =
                |folder| fs::read_dir(folder).map_or(true, |mut files| files.next().is_none());
            env::split_paths(&folders)
                .all(is_empty)
                .then(|| format!("SSL_CERT_DIR names {}: no certificates there", folders.display()))
        }
        (None, None) => None,
    }
}

/// Why these are not the bytes of certificates; none if they are.
pub(crate) fn flaw(bytes: &[u8]) -> Option<&'static str> {
    if CertificateDer::pem_slice_iter(bytes).any(|certificate| certificate.is_ok()) {
        return None;
    }
    Some(match bytes {
        [] => "the file is empty",
        // A sequence, as every certificate is (RFC 5280 §4.1).
        [0x30, ..] => "it is DER, not PEM",
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0xEF, 0xBB, 0xBF, ..] => {
            "it is UTF-16, or begins with a byte order mark: save it as plain text (ASCII)"
        }
        _ => "no certificate in it that can be read (-----BEGIN CERTIFICATE-----)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::OtherError;
    use rustls::pki_types::ServerName;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_in_words() {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let signed = |id: &[u8]| CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: id.to_vec(),
            supported_algorithms: Vec::new(),
        };
        let named = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("api.us1.alteryxcloud.com").unwrap(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        let other = |cause| CertificateError::Other(OtherError(Arc::new(io::Error::other(cause))));
        // AlgorithmIdentifier's content: sha1WithRSAEncryption and NULL, ecdsa-with-SHA1, id-Ed448.
        let (rsa, ecdsa, ed448) = (
            b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00",
            b"\x06\x07\x2a\x86\x48\xce\x3d\x04\x01",
            b"\x06\x03\x2b\x65\x71",
        );
        let issuer = "no CA that is trusted here has issued it";
        for (error, words, is_of_roots) in [
            (CertificateError::UnknownIssuer, issuer, true),
            (CertificateError::BadSignature, issuer, true),
            (other("no chain of trust"), "no chain of trust", true),
            (
                other("certificate had invalid extensions"),
                "it is not meant for servers (extended key usage)",
                false,
            ),
            (
                CertificateError::ExpiredContext {
                    time: time(1_772_323_200),
                    not_after: time(951_782_400),
                },
                "it expired at 2000-02-29T00:00:00Z, and this machine's clock says 2026-03-01T00:00:00Z",
                false,
            ),
            (
                CertificateError::NotValidYetContext {
                    time: time(0),
                    not_before: time(1_738_778_729),
                },
                "it is valid from 2025-02-05T18:05:29Z on, and this machine's clock says 1970-01-01T00:00:00Z",
                false,
            ),
            (
                named(&["DnsName(\"*.b.example\")", "IpAddress(127.0.0.1)", "Unsupported(0x01)"]),
                "it is for *.b.example, 127.0.0.1, not for api.us1.alteryxcloud.com",
                false,
            ),
            (named(&[]), "it is for no host, not for api.us1.alteryxcloud.com", false),
            (signed(rsa), "it is signed with SHA-1, which is no longer safe", false),
            (signed(ecdsa), "it is signed with SHA-1, which is no longer safe", false),
            (signed(ed448), "it is signed with an algorithm that is not supported", false),
        ] {
            let expected = match is_of_roots {
                true => NetworkError::Certificate(words.to_owned()),
                false => NetworkError::BadCertificate(words.to_owned()),
            };
            assert_eq!(problem(&error), expected);
        }
    }

    #[test]
    fn a_file_that_holds_no_certificate_is_told() {
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for (bytes, words) in [
            (&b""[..], Some("the file is empty")),
            (b"\x30\x82\x01\x02", Some("it is DER, not PEM")),
            (b"\xFF\xFE-\0-\0", Some("it is UTF-16")),
            (
                format!("\u{feff}{pem}").as_bytes(),
                Some("it is UTF-16, or begins with a byte order"),
            ),
            (
                b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
                Some("no certificate in it that can be read (-----BEGIN CERTIFICATE-----)"),
            ),
            (
                pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").as_bytes(),
                Some("no certificate in it that can be read (-----BEGIN CERTIFICATE-----)"),
            ),
            (
                &pem.as_bytes()[..30],
                Some("no certificate in it that can be read (-----BEGIN CERTIFICATE-----)"),
            ),
            (pem.as_bytes(), None),
            (format!("a comment\n{pem}").as_bytes(), None),
        ] {
            let said = flaw(bytes);
            assert_eq!(said.is_some(), words.is_some(), "{bytes:?}");
            assert!(said.unwrap_or_default().starts_with(words.unwrap_or_default()), "{said:?}");
        }
    }
}
