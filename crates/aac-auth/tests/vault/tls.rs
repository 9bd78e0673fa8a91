//! Vaults as companies run them: behind TLS that knows its clients, behind a path, and with standbys that name
//! the leader. TLS is that of these tests, in front of the sandbox's vault.

use crate::fleet::Fleet;
use aac_sandbox::Certificate;
use acceptance::{Run, clean};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use tempfile::TempDir;

type Answer = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Something in front of a vault.
struct Front {
    url: String,
    /// The heads of the requests it got.
    heads: Arc<Mutex<Vec<String>>>,
    /// How many connections were opened.
    connections: Arc<Mutex<usize>>,
}

impl Front {
    /// Starts one that has an `answer` of its own to some heads, and passes the other requests on, without what
    /// is before the `/v1/` of their path.
    fn start(fleet: &Fleet, tls: Option<ServerConfig>, answer: Option<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let vault = fleet.sandbox.vault().url().strip_prefix("http://").unwrap().to_owned();
        let front = Self { url, heads: Arc::default(), connections: Arc::default() };
        let (heads, connections) = (Arc::clone(&front.heads), Arc::clone(&front.connections));
        let tls = tls.map(Arc::new);
        // It ends with the test process.
        thread::spawn(move || {
            for client in listener.incoming() {
                *connections.lock().unwrap() += 1;
                let (client, tls, heads) = (client.unwrap(), tls.clone(), Arc::clone(&heads));
                let (answer, vault) = (answer.clone(), vault.clone());
                thread::spawn(move || match tls {
                    None => pass_on(client, &vault, &heads, answer.as_ref()),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).unwrap();
                        let stream = StreamOwned::new(connection, client);
                        pass_on(stream, &vault, &heads, answer.as_ref())
                    }
                });
            }
        });
        front
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

/// Passes one request on, and closes the connection. An error is the client's.
fn pass_on(
    client: impl Read + Write,
    vault: &str,
    heads: &Mutex<Vec<String>>,
    answer: Option<&Answer>,
) -> Option<()> {
    let mut client = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        match client.read_line(&mut head) {
            Ok(0) => return None,
            Ok(_) => {}
            // It is not HTTP, and is told so.
            Err(_) => return client.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok(),
        }
        if let Some(value) = head[start..].to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    heads.lock().unwrap().push(head.clone());
    let mut response = Vec::new();
    match answer.and_then(|answer| answer(&head)) {
        Some(answer) => response.extend(answer.as_bytes()),
        None => {
            let mut server = TcpStream::connect(vault).unwrap();
            let (method, rest) = head.trim_end().split_once(' ').unwrap();
            let rest = &rest[rest.find("/v1/").unwrap()..];
            let head = format!("{method} {rest}\r\nConnection: close\r\n\r\n");
            server.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            server.read_to_end(&mut response).unwrap();
        }
    }
    client.get_mut().write_all(&response).ok()?;
    client.get_mut().flush().ok()
}

/// A server's side of TLS, which knows its clients if `clients` is the certificate of their authority.
fn tls(certificate: &str, key: &str, clients: Option<&Path>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    // Not checked first, as other servers do not either.
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let pair = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    builder.with_cert_resolver(Arc::new(pair))
}

/// A folder for files in PEM.
struct Pem(TempDir);

impl Pem {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    /// Runs openssl in the folder.
    #[track_caller]
    fn openssl(&self, arguments: &str) {
        let mut openssl = clean("openssl");
        let run = openssl.args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(run.status.success(), "{arguments}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

fn have_openssl() -> bool {
    let run = clean("openssl").arg("version").output();
    let is_there = run.is_ok_and(|run| run.stdout.starts_with(b"OpenSSL 3"));
    if !is_there {
        eprintln!("skipped: no OpenSSL 3 on the PATH");
    }
    is_there
}

/// A run with these variables.
fn run_with(fleet: &Fleet, set: &[(&str, &str)]) -> Run {
    fleet.check(Run::of(fleet.command(0).envs(set.iter().copied())))
}

#[test]
fn a_vault_that_knows_its_clients_is_shown_a_certificate() {
    if !have_openssl() {
        return;
    }
    let pem = Pem::new();
    let own = Certificate::issue().unwrap();
    let ca = pem.write("ca.pem", &own.authority);
    const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    pem.openssl(&format!("req -x509 {EC} -nodes -keyout ca.key -out clients.pem -subj /CN=ca"));
    pem.write("ext", "extendedKeyUsage=clientAuth\n");
    for (name, key) in [("ec", EC), ("rsa", "-newkey rsa:2048")] {
        pem.openssl(&format!("req {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN=me"));
        pem.openssl(&format!(
            "x509 -req -in {name}.csr -CA clients.pem -CAkey ca.key -CAcreateserial -extfile ext -out {name}.pem"
        ));
    }
    pem.openssl("ec -in ec.key -out sec1.key");
    pem.openssl("rsa -traditional -in rsa.key -out pkcs1.key");
    pem.openssl("pkey -in ec.key -aes256 -passout pass:secret -out encrypted.key");
    pem.openssl("rsa -traditional -in rsa.key -aes256 -passout pass:secret -out old.key");
    pem.openssl(&format!("req -x509 {EC} -nodes -keyout own.key -out own.pem -subj /CN=me"));
    // As a file for other servers has both, and as "openssl ecparam -genkey" begins.
    let text = |name: &str| fs::read_to_string(pem.path(name)).unwrap();
    const PARAMETERS: &str =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    pem.write(
        "both.pem",
        &[PARAMETERS, &text("sec1.key"), &text("ec.pem")].concat().replace('\n', "\r\n"),
    );
    let starts = |name: &str, with: &str| {
        assert!(text(name).contains(with), "{name}");
    };
    starts("sec1.key", "BEGIN EC PRIVATE KEY");
    starts("pkcs1.key", "BEGIN RSA PRIVATE KEY");
    starts("ec.key", "BEGIN PRIVATE KEY");

    let fleet = Fleet::expired(1);
    let config = tls(&own.certificate, &own.key, Some(&pem.path("clients.pem")));
    let front = Front::start(&fleet, Some(config), None);
    let with = |certificate: &str, key: &str| {
        let [certificate, key] = [certificate, key].map(|name| pem.path(name));
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        let set = [("VAULT_ADDR", &*front.url), ("VAULT_CACERT", &ca)];
        let set = [&set[..], &[("VAULT_CLIENT_CERT", &certificate), ("VAULT_CLIENT_KEY", &key)]];
        run_with(&fleet, &set.concat())
    };
    for (certificate, key) in [
        ("ec.pem", "ec.key"),
        ("ec.pem", "sec1.key"),
        ("rsa.pem", "pkcs1.key"),
        ("both.pem", "both.pem"),
    ] {
        with(certificate, key).assert_ok();
    }
    fleet.assert_settled(1);

    let sent = front.requests();
    // TLS 1.3 has no certificate refused before the request is on its way.
    for (certificate, key, words) in [
        ("own.pem", "own.key", &["demands a certificate", "VAULT_CLIENT_CERT="][..]),
        ("ec.pem", "rsa.key", &["VAULT_CLIENT_KEY: ", "rsa.key", "not the key of the certificate"]),
        ("ec.pem", "encrypted.key", &["VAULT_CLIENT_KEY: ", "is encrypted", "openssl pkey -in"]),
        ("rsa.pem", "old.key", &["VAULT_CLIENT_KEY: ", "is encrypted"]),
        ("ec.pem", "ec.pem", &["VAULT_CLIENT_KEY: ", "no private key in it"]),
        ("ec.key", "ec.key", &["VAULT_CLIENT_CERT: ", "no certificate in it"]),
        ("missing.pem", "ec.key", &["VAULT_CLIENT_CERT: ", "missing.pem"]),
        ("ec.pem", "missing.key", &["VAULT_CLIENT_KEY: ", "missing.key"]),
    ] {
        with(certificate, key).assert_fails(1, words);
    }
    let none = [("VAULT_ADDR", &*front.url), ("VAULT_CACERT", &ca)];
    let before = *front.connections.lock().unwrap();
    let run = run_with(&fleet, &none);
    run.assert_fails(1, &["demands a certificate", "CertificateRequired", "VAULT_CLIENT_KEY="]);
    assert_eq!(*front.connections.lock().unwrap(), before + 1);
    let half = [&none[..], &[("BAO_CLIENT_KEY", &*ca)]].concat();
    let run = run_with(&fleet, &half);
    run.assert_fails(1, &["BAO_CLIENT_KEY is set without", "VAULT_CLIENT_CERT"]);
    assert_eq!(front.requests(), sent);
}

#[test]
fn authorities_are_read_from_every_place_that_names_them() {
    let fleet = Fleet::expired(1);
    let (pem, own, other) =
        (Pem::new(), Certificate::issue().unwrap(), Certificate::issue().unwrap());
    let front = Front::start(&fleet, Some(tls(&own.certificate, &own.key, None)), None);
    let other_ca = pem.write("other.pem", &other.authority);
    fs::create_dir_all(pem.path("cas/more")).unwrap();
    fs::create_dir(pem.path("empty")).unwrap();
    pem.write("cas/README", "no certificate");
    pem.write("cas/other.pem", &other.authority);
    pem.write("cas/more/own.crt", &own.authority);
    pem.write("empty/README", "no certificate");
    fs::write(pem.path("own.der"), b"\x30\x82\x01\x02").unwrap();
    let folder = |name: &str| pem.path(name).display().to_string();
    for (set, words) in [
        (&[("VAULT_CAPATH", &*folder("cas"))][..], &[][..]),
        (&[("BAO_CAPATH", &folder("cas"))], &[]),
        (&[("VAULT_CACERT_BYTES", &own.authority)], &[]),
        // As their own command lines take them.
        (&[("VAULT_CACERT_BYTES", &own.authority), ("VAULT_CAPATH", &folder("none"))], &[]),
        (
            &[("VAULT_CACERT", &other_ca), ("VAULT_CACERT_BYTES", &own.authority)],
            &["certificate is not trusted", "VAULT_CACERT="],
        ),
        (
            &[("VAULT_CAPATH", &folder("none"))],
            &["VAULT_CAPATH: ", "none", "a folder of PEM files"],
        ),
        (&[("VAULT_CAPATH", &folder("empty"))], &["VAULT_CAPATH: ", "no certificate in it"]),
        (&[("VAULT_CAPATH", &other_ca)], &["VAULT_CAPATH: ", "other.pem"]),
        (
            &[("VAULT_CACERT", &folder("own.der"))],
            &["VAULT_CACERT: ", "own.der: it is DER, not PEM", "to a PEM file"],
        ),
        (
            &[("VAULT_CACERT_BYTES", &other_ca)],
            &["VAULT_CACERT_BYTES: no certificate", "the text of"],
        ),
    ] {
        let run = run_with(&fleet, &[&[("VAULT_ADDR", &*front.url)], set].concat());
        match words {
            [] => run.assert_ok(),
            words => run.assert_fails(1, words),
        }
    }
    fleet.assert_settled(1);
}

#[test]
fn a_vault_may_be_behind_a_path() {
    let fleet = Fleet::expired(1);
    let front = Front::start(&fleet, None, None);
    for path in ["/base", "/a/b/"] {
        run_with(&fleet, &[("VAULT_ADDR", &format!("{}{path}", front.url))]).assert_ok();
    }
    fleet.assert_settled(1);
    let heads = front.heads.lock().unwrap();
    let starts = |path: &str| {
        let start = format!("GET {path}/v1/secret/data/aac HTTP/1.1\r\n");
        heads.iter().filter(|head| head.starts_with(&start)).count()
    };
    assert!(starts("/base") > 0 && starts("/a/b") == 1, "{heads:?}");
}

#[test]
fn what_speaks_no_tls_or_has_the_certificate_of_an_authority_is_told_at_once() {
    let fleet = Fleet::expired(1);
    let plain = Front::start(&fleet, None, None);
    let url = plain.url.replace("http:", "https:");
    let run = run_with(&fleet, &[("VAULT_ADDR", &url)]);
    run.assert_fails(1, &["no secure connection", "TLS", "Does VAULT_ADDR name the vault?"]);
    assert_eq!(*plain.connections.lock().unwrap(), 1);

    if !have_openssl() {
        return;
    }
    let pem = Pem::new();
    let start = || {
        let [certificate, key] =
            ["cert.pem", "key.pem"].map(|name| fs::read_to_string(pem.path(name)).unwrap());
        let front = Front::start(&fleet, Some(tls(&certificate, &key, None)), None);
        (front.url.replace("127.0.0.1", "localhost"), front)
    };
    let ca = pem.path("cert.pem").display().to_string();
    // As people make it.
    const NEW: &str = "-newkey rsa:2048 -nodes -keyout key.pem -subj /CN=localhost";
    pem.openssl(&format!("req {NEW} -out csr.pem"));
    pem.openssl("x509 -req -in csr.pem -key key.pem -out cert.pem");
    let told = |what: &str| {
        let (url, front) = start();
        let run = run_with(&fleet, &[("VAULT_ADDR", &url), ("VAULT_CACERT", &ca)]);
        run.assert_fails(1, &[what, "openssl req -x509", "VAULT_CACERT=cert.pem"]);
        assert_eq!(*front.connections.lock().unwrap(), 1);
        run
    };
    told("of X.509 version 1");
    pem.openssl(&format!("req -x509 {NEW} -out cert.pem"));
    let run = told("(CA:TRUE)");
    // Its line makes one that will do.
    let line =
        run.stderr.lines().find_map(|line| line.trim().strip_prefix("openssl req ")).unwrap();
    pem.openssl(&format!("req {}", line.replace("HOST", "localhost")));
    let (url, _) = start();
    run_with(&fleet, &[("VAULT_ADDR", &url), ("VAULT_CACERT", &ca)]).assert_ok();
    fleet.assert_settled(1);
}

const NOTHING: &str = "Content-Length: 0\r\n";

/// A standby that names this leader, and perhaps says more.
fn standby(leader: &str, more: &str) -> Answer {
    let (leader, more) = (leader.to_owned(), more.to_owned());
    Arc::new(move |head| {
        let path = head.split(' ').nth(1).unwrap();
        Some(format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {leader}{path}\r\n{more}\r\n"))
    })
}

#[test]
fn a_standby_leads_to_its_leader_once() {
    let fleet = Fleet::expired(1);
    let (pem, own) = (Pem::new(), Certificate::issue().unwrap());
    let ca = pem.write("ca.pem", &own.authority);
    let config = || tls(&own.certificate, &own.key, None);
    let leader = Front::start(&fleet, Some(config()), None);
    let standby = Front::start(&fleet, Some(config()), Some(standby(&leader.url, NOTHING)));
    let set = [("VAULT_ADDR", &*standby.url), ("VAULT_CACERT", &*ca)];
    run_with(&fleet, &set).assert_ok();
    fleet.assert_settled(1);
    // What was asked of one was asked of the other: reads and writes, with the token.
    let [asked, led] = [&standby, &leader].map(|front| front.heads.lock().unwrap().clone());
    assert_eq!(asked.len(), led.len());
    for (asked, led) in asked.iter().zip(&led) {
        let lines = |head: &str| {
            let lines = head.lines().filter(|line| !line.to_lowercase().starts_with("host:"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(asked), lines(led));
    }
}

#[test]
fn no_other_redirect_gets_the_vault_s_token() {
    let (pem, own) = (Pem::new(), Certificate::issue().unwrap());
    let ca = pem.write("ca.pem", &own.authority);
    let fleet = Fleet::expired(1).with(crate::PATIENCE, 0);
    let config = || tls(&own.certificate, &own.key, None);
    let leader = Front::start(&fleet, Some(config()), None);
    let plain = Front::start(&fleet, None, None);
    let page = "Content-Length: 15\r\n\r\n <!DOCTYPE html>";
    let twice = standby(&leader.url, NOTHING);
    let twice = Front::start(&fleet, Some(config()), Some(twice));
    let elsewhere = format!("{}/login", leader.url);
    let login: Answer = Arc::new(move |_| {
        Some(format!("HTTP/1.1 307 X\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"))
    });
    let other_status: Answer = {
        let answer = standby(&leader.url, NOTHING);
        Arc::new(move |head| answer(head).map(|answer| answer.replacen("307", "302", 1)))
    };
    for (front, is_https) in [
        // An agent on this machine.
        (standby(&leader.url, NOTHING), false),
        (standby(&leader.url, "Content-Type: text/html\r\nContent-Length: 0\r\n"), true),
        (standby(&leader.url, page), true),
        (standby(&plain.url, NOTHING), true),
        (standby("", NOTHING), true),
        (login, true),
        (other_status, true),
    ] {
        let front = Front::start(&fleet, is_https.then(config), Some(front));
        let run = run_with(&fleet, &[("VAULT_ADDR", &front.url), ("VAULT_CACERT", &ca)]);
        run.assert_fails(1, &["HTTP 30", ": to ", "Only the redirect of a node to its leader"]);
    }
    assert_eq!((leader.requests(), plain.requests()), (0, 0));
    // A leader that leads on is not followed.
    let front = Front::start(&fleet, Some(config()), Some(standby(&twice.url, NOTHING)));
    let run = run_with(&fleet, &[("VAULT_ADDR", &front.url), ("VAULT_CACERT", &ca)]);
    run.assert_fails(1, &["HTTP 307"]);
    assert!(leader.requests() == 0 && twice.requests() > 0);
    // One that is gone is named.
    let gone = Front::start(&fleet, Some(config()), Some(standby("https://127.0.0.1:9", NOTHING)));
    let run = run_with(&fleet, &[("VAULT_ADDR", &gone.url), ("VAULT_CACERT", &ca)]);
    run.assert_fails(1, &["cannot be reached", "the leader, 127.0.0.1:9"]);
}
