//! Certificates and proxies: the real names of the cloud, over TLS, on loopback alone.

use crate::NONE;
use aac_sandbox::Options;
use acceptance::{Case, Run};
use base64::Engine;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

const API: &str = "https://api.us1.alteryxcloud.com";

fn tls() -> Options {
    Options { tls: true, ..Options::default() }
}

/// Writes the sandbox's CA into the folder.
fn ca_file(case: &Case) -> PathBuf {
    let path = case.path("ca.pem");
    fs::write(&path, case.sandbox.ca_pem()).unwrap();
    path
}

#[test]
fn a_private_ca_in_the_system_store_is_trusted() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    let case = Case::expired(tls());
    Run::of(case.command().env("SSL_CERT_FILE", ca_file(&case))).assert_ok();
    let counters = case.sandbox.counters();
    assert_eq!((counters.connections, counters.refreshes, counters.api_calls), (1, 1, 1));
}

#[test]
fn an_unknown_ca_is_told_and_spends_nothing() {
    let other = Case::fresh(tls());
    let cure = &["certificate is not trusted", "SSL_CERT_FILE"];
    let case = Case::expired(tls());
    let run = Run::of(case.command().env("SSL_CERT_FILE", ca_file(&other)));
    run.assert_fails(1, cure);
    run.assert_fails(1, &["POST", "/as/token", "your tokens are unchanged"]);
    assert!(case.sandbox.is_live(&case.refresh_token()));
    assert_eq!(case.refresh_token(), case.tokens.refresh_token);

    let case = Case::fresh(tls());
    Run::of(case.command().env("SSL_CERT_FILE", ca_file(&other))).assert_fails(1, cure);

    if cfg!(target_os = "linux") {
        let run = Run::of(
            case.command()
                .env("SSL_CERT_FILE", case.path("no-such.pem"))
                .env("SSL_CERT_DIR", case.path("none")),
        );
        run.assert_fails(1, &["no certificates to trust", "ca-certificates", "SSL_CERT_FILE"]);
    }
}

#[test]
fn a_file_of_certificates_that_is_none_is_told() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    let case = Case::expired(tls());
    let pem = case.sandbox.ca_pem();
    let (empty, der, utf16) = (case.path("empty.pem"), case.path("ca.der"), case.path("utf16.pem"));
    fs::write(&empty, "").unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    fs::write(&der, base64::prelude::BASE64_STANDARD.decode(base64).unwrap()).unwrap();
    let units = format!("\u{FEFF}{pem}");
    fs::write(&utf16, units.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    // Beside a folder of others, or alone.
    let others = tempfile::tempdir().unwrap();
    fs::copy(ca_file(&Case::fresh(tls())), others.path().join("other.pem")).unwrap();
    for (path, words) in [
        (case.path("no-such.pem"), "no-such.pem: no such file"),
        (empty, "empty.pem: the file is empty"),
        (der, "ca.der: it is DER, not PEM (POST "),
        (utf16, "utf16.pem: it is UTF-16"),
        (case.folder.path().to_owned(), "directory"),
        (PathBuf::new(), "SSL_CERT_FILE is set, but empty"),
    ] {
        for folders in [None, Some(others.path())] {
            let mut command = case.command();
            command.env("SSL_CERT_FILE", &path);
            command.envs(folders.map(|folder| ("SSL_CERT_DIR", folder)));
            let run = Run::of(&mut command);
            run.assert_fails(1, &["there are no certificates to trust: SSL_CERT_FILE", words]);
            run.assert_fails(1, &["openssl x509 -inform der", "Or unset SSL_CERT_FILE"]);
            run.assert_fails(1, &["your tokens are unchanged"]);
        }
    }
    let run = Run::of(case.command().env("SSL_CERT_DIR", case.path("none")));
    run.assert_fails(
        1,
        &["none: no certificates there", "Or unset SSL_CERT_FILE and SSL_CERT_DIR"],
    );
    // One that only is another's is told as such.
    let run = Run::of(case.command().env("SSL_CERT_DIR", others.path()));
    run.assert_fails(
        1,
        &["no CA that is trusted here has issued it", "If your company inspects TLS"],
    );
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

/// A proxy that knows one server, whatever host it is asked for.
struct Proxy {
    url: String,
    /// The lines of the requests it got.
    heads: Arc<Mutex<Vec<Vec<String>>>>,
    /// What it answers to the next ones, before it closes the connection; `None` is a tunnel.
    answers: Arc<Mutex<VecDeque<Option<&'static str>>>>,
}

impl Proxy {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<Vec<String>>>>::default();
        let answers = Arc::<Mutex<VecDeque<Option<&'static str>>>>::default();
        let (seen, next) = (Arc::clone(&heads), Arc::clone(&answers));
        // It ends with the test process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (seen, next) = (Arc::clone(&seen), Arc::clone(&next));
                thread::spawn(move || tunnel(client.unwrap(), server, &seen, &next));
            }
        });
        Self { url, heads, answers }
    }

    fn answers(&self, answers: &[Option<&'static str>]) {
        self.heads.lock().unwrap().clear();
        *self.answers.lock().unwrap() = answers.iter().copied().collect();
    }

    /// The first lines of the requests it got.
    fn asked(&self) -> Vec<String> {
        self.heads.lock().unwrap().iter().map(|head| head[0].clone()).collect()
    }
}

fn tunnel(
    client: TcpStream,
    server: u16,
    seen: &Mutex<Vec<Vec<String>>>,
    answers: &Mutex<VecDeque<Option<&'static str>>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    seen.lock().unwrap().push(lines);
    if let Some(Some(answer)) = answers.lock().unwrap().pop_front() {
        return (&client).write_all(answer.as_bytes());
    }
    let server = TcpStream::connect(("127.0.0.1", server))?;
    (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut reader, &mut &server);
    let _ = server.shutdown(Shutdown::Both);
    back.join().unwrap();
    Ok(())
}

/// The cloud under its own names: tokens of the real issuer, the real API address.
fn cloud() -> Case {
    let issuer = Some("https://pingauth.alteryxcloud.com/as".to_owned());
    let case = Case::expired(Options { issuer, ..tls() });
    fs::write(case.path("aac_url.txt"), API).unwrap();
    case
}

#[test]
fn a_proxy_is_used_for_both_hosts_of_the_cloud() {
    let connects = [
        "CONNECT pingauth.alteryxcloud.com:443 HTTP/1.1",
        "CONNECT api.us1.alteryxcloud.com:443 HTTP/1.1",
    ];
    // The second one does not count beside the first.
    for (variable, other) in
        [("HTTPS_PROXY", "ALL_PROXY"), ("https_proxy", "HTTPS_PROXY"), ("ALL_PROXY", "HTTP_PROXY")]
    {
        let case = cloud();
        let proxy = Proxy::start(case.sandbox.port());
        let mut command = case.command();
        // Windows takes both spellings for one variable, and the later value for its own.
        command.env(other, "http://").env(variable, &proxy.url);
        command.env("SSL_CERT_FILE", ca_file(&case));
        // What is exempt is something else.
        command.env("NO_PROXY", "example.com, localhost");
        if cfg!(unix) {
            // To Unix, these are other names.
            command.env("Https_Proxy", "http://").env("No_Proxy", "*");
        }
        if !acceptance::can_trust_a_file() {
            // It gets no further than the proxy.
            Run::of(&mut command).assert_fails(1, &["certificate is not trusted"]);
            assert_eq!(proxy.asked(), connects[..1], "{variable}");
            continue;
        }
        Run::of(&mut command).assert_ok();
        assert_eq!(proxy.asked(), connects, "{variable}");
        let counters = case.sandbox.counters();
        assert_eq!((counters.refreshes, counters.api_calls), (1, 1));
        Run::of(&mut command).assert_ok();
        assert_eq!(proxy.asked()[2..], connects[1..], "a fresh token asks the API alone");
    }
}

#[test]
fn a_proxy_is_never_used_for_loopback() {
    let case = Case::expired(Options::default());
    let proxy = Proxy::start(case.sandbox.port());
    let mut command = case.command();
    for variable in
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        command.env(variable, &proxy.url);
    }
    Run::of(&mut command).assert_ok();
    assert_eq!(proxy.asked(), [""; 0]);
}

#[test]
fn trouble_with_the_proxy_is_told_and_spends_nothing() {
    let case = cloud();
    // A port that nothing listens on.
    let closed = "127.0.0.1:9";
    let told = format!("the proxy could not be used: {closed}: ");
    // It speaks no TLS itself.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap();
    let told_plain = format!("the proxy could not be used: {plain}: TLS: ");
    thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = io::copy(&mut client, &mut io::sink());
    });
    for (value, words) in [
        (format!("https://{plain}").as_str(), told_plain.as_str()),
        (format!("http://user:pa55word@{closed}").as_str(), told.as_str()),
        ("http://", "HTTPS_PROXY is not a proxy URL"),
        ("http://user:pa55word@ bad", "HTTPS_PROXY is not a proxy URL"),
    ] {
        let run =
            Run::of(case.command().env("SSL_CERT_FILE", ca_file(&case)).env("HTTPS_PROXY", value));
        run.assert_fails(1, &[words, "HTTPS_PROXY", "your tokens are unchanged"]);
        assert!(!run.stderr.contains("pa55word"), "{}", run.stderr);
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

/// A run with a fresh token, by way of the proxy.
fn through(proxy: &Proxy, case: &Case) -> Run {
    let mut command = case.command();
    command.env("HTTPS_PROXY", proxy.url.replace("http://", "http://CORP\\user:pa55word@"));
    let run = Run::of(command.env("SSL_CERT_FILE", ca_file(case)));
    assert!(!run.stderr.contains("pa55word"), "{}", run.stderr);
    run
}

#[test]
fn a_proxy_that_could_not_connect_is_asked_again() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    let case = cloud();
    let proxy = Proxy::start(case.sandbox.port());
    for answer in [
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nfail",
        "HTTP/1.0 503 Service Unavailable\r\n\r\n",
        "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\n",
    ] {
        case.sandbox.revoke_access_tokens();
        // To the API, and to the authorization server.
        proxy.answers(&[Some(answer), None].repeat(3));
        through(&proxy, &case).assert_ok();
        assert!(proxy.asked().len() >= 4, "{answer:?}: {:?}", proxy.asked());
        // CORP\user:pa55word
        let credentials = "Proxy-Authorization: Basic Q09SUFx1c2VyOnBhNTV3b3Jk";
        let heads = proxy.heads.lock().unwrap();
        assert!(heads.iter().all(|head| head.contains(&credentials.to_owned())), "{heads:?}");
    }
    assert_eq!(case.sandbox.counters().refreshes, 7);
    // It is told in the end.
    proxy.answers(&[Some("HTTP/1.1 502 Bad Gateway\r\n\r\n"); 9]);
    let run = through(&proxy, &case);
    let what = "has made no connection to api.us1.alteryxcloud.com:443: HTTP 502 Bad Gateway";
    run.assert_fails(1, &[what, "the proxy 127.0.0.1:", "whoever runs the proxy"]);
    assert_eq!(proxy.asked().len(), 3, "two times more");
}

#[test]
fn a_proxy_that_will_not_connect_is_asked_once() {
    let case = cloud();
    let proxy = Proxy::start(case.sandbox.port());
    for (answer, words) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", &["HTTP 403 Forbidden", "NO_PROXY"][..]),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", &["HTTP 400 Bad Request"]),
        ("HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", &["HTTP 302 Found"]),
        ("HTTP/1.1 511 X\r\n\r\n", &["HTTP 511", "Sign in to the network"]),
        ("HTTP/1.1 407 X\r\n\r\n", &["HTTP 407", "user name and password", "%40 for @"]),
        (
            "HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            &["(HTTP 407), by Negotiate, NTLM", "local proxy", "HTTPS_PROXY=http://127.0.0.1:3128"],
        ),
        (
            "HTTP/1.1 407 X\r\nproxy-authenticate: NTLM, BASIC realm=\"a\"\r\n\r\n",
            &["by NTLM, BASIC", "HTTPS_PROXY or ALL_PROXY: http://user:password@host:port"],
        ),
        ("SSH-2.0-OpenSSH\r\n", &["does not answer as an HTTP proxy does", "HTTPS_PROXY"]),
        ("HTTP/2 200 \r\n\r\n", &["does not answer as an HTTP proxy does"]),
        // Of what it says first, nothing counts.
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", &["HTTP 403 Forbidden"]),
    ] {
        proxy.answers(&[Some(answer); 9]);
        let run = through(&proxy, &case);
        run.assert_fails(1, words);
        run.assert_fails(1, &["proxy", "127.0.0.1:", "your tokens are unchanged"]);
        assert_eq!(proxy.asked().len(), 1, "{answer:?}");
    }
    assert_eq!(case.sandbox.counters().connections, 0);
    assert!(case.sandbox.is_live(&case.refresh_token()));
}

#[test]
#[cfg(unix)]
fn a_thread_that_cannot_be_started_is_told_as_such() {
    // There is no room for its stack.
    let run = |case: &Case, name: &str, arguments: &[&str]| {
        let mut command = acceptance::clean(acceptance::program(name));
        command.env("AAC_DIR", case.folder.path()).env("RUST_MIN_STACK", (1_u64 << 50).to_string());
        Run::of(command.args(arguments))
    };
    let run_cloud = run(&cloud(), "get_workspace", &[]);
    run_cloud.assert_fails(1, &["no thread could be started: ", "ulimit -u", "are unchanged"]);
    let said = &run_cloud.stderr;
    assert!(!said.contains("proxy") && !said.contains("looked up"), "{said}");
    // On this machine, none is needed.
    let case = Case::expired(Options { users: 250, ..Options::default() });
    for (name, arguments) in [
        ("get_workspace", &[][..]),
        ("list_users", &["--format", "jsonl"]),
        ("run_plan", &["7"]),
        ("raw_call", &["iam/v1/workspaces/current"]),
    ] {
        let run = run(&case, name, arguments);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_and_spends_nothing() {
    let (_held, address) = acceptance::nobody_listens();
    let issuer = Some(format!("http://{address}/as"));
    let case = Case::expired(Options { issuer, ..Options::default() });
    let token_endpoint = format!("POST http://{address}/as/token");
    let before = fs::read(case.creds()).unwrap();
    let run = case.run(NONE);
    run.assert_fails(
        1,
        &[
            "no connection could be made",
            &token_endpoint,
            "your tokens are unchanged",
            "sandbox that no longer runs",
        ],
    );
    assert_eq!(fs::read(case.creds()).unwrap(), before);
}
