//! What happens below HTTP: stopped processes, refused uploads, connections that end at a bad moment,
//! content codings.

use crate::{NONE, SOON, client, gzip, head, ok, response, server, server_with};
use aac_auth::{Client, ConnectionOptions, ErrorKind, Method, StatusCode, json};
use aac_sandbox::{Fault, FaultKind, Options};
use acceptance::{Case, DOCUMENTED, Run, Running, program};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

#[test]
#[cfg(unix)]
fn a_response_that_came_while_the_program_was_stopped_is_read() {
    for pieces in [1, 2] {
        let (asked, is_asked) = channel();
        let (answer, may_answer) = channel();
        let may_answer = std::sync::Mutex::new(may_answer);
        let case = server(move |mut stream| {
            head(&stream);
            asked.send(()).unwrap();
            may_answer.lock().unwrap().recv().unwrap();
            let response = ok("", DOCUMENTED.as_bytes());
            for piece in response.chunks(response.len().div_ceil(pieces)) {
                stream.write_all(piece).unwrap();
            }
        });
        let program = Running::of(case.command().args(["--timeout", "1", "--retry", "0"]));
        is_asked.recv().unwrap();
        program.signal("STOP");
        answer.send(()).unwrap();
        // Longer than the time limit.
        thread::sleep(Duration::from_millis(1500));
        program.signal("CONT");
        program.end().assert_ok();
    }
}

/// Tells the client that its upload is too large, and hangs up while it is still sending.
fn refuse(mut stream: TcpStream, is_continued: bool) {
    let head = head(&stream);
    if is_continued && head.contains("100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 4096]).unwrap();
    }
    let body = br#"{"message":"the package is too large"}"#;
    stream.write_all(&response("413 Content Too Large", "Connection: close\r\n", body)).unwrap();
    // Bytes that nobody reads make a reset of the end.
}

#[test]
fn an_upload_that_is_refused_early_is_told_so() {
    if cfg!(windows) {
        eprintln!("skipped: Windows drops what has arrived when a connection is reset");
        return;
    }
    for (length, is_continued) in [(8 << 20, true), (8 << 20, false), (1 << 20, false)] {
        let case = server(move |stream| refuse(stream, is_continued));
        let package = case.path("package.zip");
        fs::write(&package, vec![7; length]).unwrap();
        let package = package.to_str().unwrap();
        for args in [["-d", &format!("@{package}")], ["--part", &format!("data=@{package}")]] {
            for _ in 0..3 {
                let run = case.call("raw_call", [&["/x"][..], &args].concat());
                assert_eq!(run.code, Some(4), "{}", run.stderr);
                assert!(
                    run.stderr.contains("HTTP 413 Payload Too Large: the package is too large")
                );
            }
        }
    }
    // The same within TLS.
    if !acceptance::can_trust_a_file() {
        return;
    }
    let faults = vec![Fault::api(FaultKind::TooLarge).always()];
    let case = Case::fresh(Options { tls: true, faults, ..Options::default() });
    let (variable, ca) = trust(&case);
    let package = case.path("package.zip");
    fs::write(&package, vec![7; 8 << 20]).unwrap();
    let part = format!("data=@{}", package.to_str().unwrap());
    for _ in 0..5 {
        let mut command = case.program("raw_call");
        command.args(["/x", "--part", &part, "-H", "expect: nothing"]).env(variable, &ca);
        let run = Run::of(&mut command);
        assert_eq!(run.code, Some(4), "{}", run.stderr);
        assert!(run.stderr.contains("HTTP 413 Payload Too Large: The request is too large"));
    }
}

/// An upload that is a hundred times as long as what is read of it.
fn long_upload(case: &Case) -> Run {
    case.call("raw_call", long(case))
}

/// Its flags.
fn long(case: &Case) -> [String; 5] {
    let package = case.path("package.zip");
    File::create(&package).unwrap().set_len(64 << 20).unwrap();
    let data = format!("@{}", package.to_str().unwrap());
    ["/x", "-d", &data, "-H", "content-type: x/y"].map(str::to_owned)
}

/// Writes the sandbox's CA into the folder, and gives the variable that makes a program trust it.
fn trust(case: &Case) -> (&'static str, PathBuf) {
    let path = case.path("ca.pem");
    fs::write(&path, case.sandbox.ca_pem()).unwrap();
    ("SSL_CERT_FILE", path)
}

/// Neither sends anything more nor hangs up.
fn fall_silent() -> ! {
    loop {
        thread::park();
    }
}

#[test]
fn an_upload_that_is_refused_before_it_begins_is_told_so_at_once() {
    for status in ["401 X", "413 X", "429 X"] {
        let case = server(move |mut stream| {
            head(&stream);
            stream.write_all(&response(status, "Retry-After: 999\r\n", b"")).unwrap();
            fall_silent();
        });
        let start = Instant::now();
        let run = long_upload(&case);
        assert_eq!(run.code, Some(4), "{status}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("HTTP {}", &status[..3])), "{}", run.stderr);
        assert!(start.elapsed() < SOON, "{status}");
    }
}

#[test]
fn an_upload_is_sent_again_with_a_new_token() {
    let asked = AtomicUsize::new(0);
    let case = server(move |mut stream| {
        head(&stream);
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            stream.write_all(&response("401 X", "", b"")).unwrap();
            fall_silent();
        }
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        io::copy(&mut (&stream).take(64 << 20), &mut io::sink()).unwrap();
        stream.write_all(&ok("", b"{}")).unwrap();
    });
    let start = Instant::now();
    let run = long_upload(&case);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "{}", ""));
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(case.sandbox.counters().refreshes, 1);
}

#[test]
fn a_refusal_is_heard_while_an_upload_is_sent() {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    for (name, first, reads) in [
        ("it stops to read", CONTINUE, 1 << 20),
        ("it never says to continue", b"", 1 << 20),
        ("it reads on", CONTINUE, u64::MAX),
    ] {
        if cfg!(windows) && reads < u64::MAX {
            eprintln!(
                "skipped: Windows resumes no write, so this takes until the deadline: {name}"
            );
            continue;
        }
        let (told, is_told) = channel();
        let case = server(move |mut stream| {
            head(&stream);
            stream.write_all(first).unwrap();
            (&stream).read_exact(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").unwrap();
            stream.write_all(&response("413 Content Too Large", "", b"")).unwrap();
            told.send(Instant::now()).unwrap();
            // As slow as a network.
            let mut buffer = [0; 1 << 16];
            let mut left = reads;
            while left > 0 && (&stream).read(&mut buffer).is_ok_and(|length| length > 0) {
                left = left.saturating_sub(1 << 16);
                thread::sleep(Duration::from_millis(20));
            }
            fall_silent();
        });
        let run = long_upload(&case);
        assert_eq!(run.code, Some(4), "{name}: {}", run.stderr);
        assert!(run.stderr.contains("HTTP 413"), "{name}: {}", run.stderr);
        let time = is_told.recv().unwrap().elapsed();
        assert!(time < Duration::from_secs(10), "{name}: {time:?}");
    }
}

#[test]
fn a_refusal_within_tls_is_heard_while_an_upload_is_sent() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    let faults = vec![Fault::api(FaultKind::TooLarge).always()];
    let case = Case::fresh(Options { tls: true, faults, ..Options::default() });
    let (variable, ca) = trust(&case);
    // Something in between takes no more than so much of what is sent, and keeps the connection.
    let url = between(
        case.sandbox.port(),
        |from, to| {
            let _ = io::copy(&mut (&from).take(1 << 16), &mut &to);
            fall_silent()
        },
        copy,
    );
    fs::write(case.path("aac_url.txt"), url).unwrap();
    for expect in ["100-continue", "nothing"] {
        let start = Instant::now();
        let mut command = case.program("raw_call");
        command.args(long(&case)).args(["-H", &format!("expect: {expect}")]);
        let run = Run::of(command.env(variable, &ca));
        assert_eq!(run.code, Some(4), "{expect}: {}", run.stderr);
        assert!(run.stderr.contains("HTTP 413"), "{expect}: {}", run.stderr);
        assert!(start.elapsed() < Duration::from_secs(20), "{expect}");
    }
}

#[test]
fn an_upload_goes_on_whatever_else_comes() {
    for early in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 2"]
    {
        let case = server(move |mut stream| {
            head(&stream);
            // Longer than anyone waits for leave to send.
            (&stream).read_exact(&mut [0; 4096]).unwrap();
            stream.write_all(early.as_bytes()).unwrap();
            // The client cannot send anything more.
            thread::sleep(Duration::from_millis(700));
            io::copy(&mut (&stream).take((64 << 20) - 4096), &mut io::sink()).unwrap();
            let rest = ok("", b"{}");
            stream.write_all(if early.ends_with("2") { &rest[10..] } else { &rest }).unwrap();
        });
        let run = long_upload(&case);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "{}", ""));
    }
}

#[test]
fn a_server_that_stops_to_read_and_says_nothing_is_given_up() {
    let case = server(|stream| {
        head(&stream);
        fall_silent();
    });
    let run = Run::of(case.program("raw_call").args(["--timeout", "1"]).args(long(&case)));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("timed out sending the request"), "{}", run.stderr);
    assert!(run.stderr.contains("check before you run this again"), "{}", run.stderr);
}

#[test]
fn a_server_that_hangs_up_while_it_does_not_read_may_have_acted() {
    let case = server(|mut stream| {
        head(&stream);
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        (&stream).read_exact(&mut [0; 4096]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        fall_silent();
    });
    // Windows hears nothing while a write waits: its time runs out.
    let (timeout, words) = match cfg!(windows) {
        true => ("5", "timed out sending the request"),
        false => ("60", "the server closed it early"),
    };
    let run = Run::of(case.program("raw_call").args(["--timeout", timeout]).args(long(&case)));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains(words), "{}", run.stderr);
    assert!(run.stderr.contains("check before you run this again"), "{}", run.stderr);
}

#[test]
fn many_headers_are_read_and_too_many_are_told() {
    for (number, length, words) in [
        (100, 2500, ""),
        (120, 2500, "the headers of the response are larger than 256 KiB (GET http"),
        (1, 999_999, "the headers of the response are larger than 256 KiB (GET http"),
        (150, 10, "the response has more than 128 headers (GET http"),
    ] {
        let field = format!("Set-Cookie: {}\r\n", "a".repeat(length));
        let response = ok(&field.repeat(number), DOCUMENTED.as_bytes());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let case = server(move |mut stream| {
            head(&stream);
            count.fetch_add(1, Ordering::SeqCst);
            // The client may have had enough of it.
            let _ = stream.write_all(&response);
        });
        let run = case.run(NONE);
        match words {
            "" => run.assert_ok(),
            _ => run.assert_fails(1, &[words, "A proxy in between may have added to them"]),
        };
        assert_eq!(asked.load(Ordering::SeqCst), 1, "and it is not asked for again");
    }
}

#[test]
fn what_takes_long_is_told() {
    let (answer, may_answer) = channel();
    let may_answer = std::sync::Mutex::new(may_answer);
    let case = server(move |mut stream| {
        head(&stream);
        may_answer.lock().unwrap().recv().unwrap();
        stream.write_all(&ok("", DOCUMENTED.as_bytes())).unwrap();
    });
    let mut command = case.command();
    command.args(["-v", "--timeout", "50"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = io::BufRead::lines(lines).map(Result::unwrap);
    let words = ": waiting for the response of 127.0.0.1, for up to 50 s";
    assert!(lines.any(|line| line.ends_with(words)));
    answer.send(()).unwrap();
    assert_eq!(lines.filter(|line| line.contains("waiting")).count(), 0);
    assert!(child.wait().unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_refused_stream_is_not_read_to_its_end() {
    let case = server(|stream| refuse(stream, true));
    let mut command = case.program("raw_call");
    command.args(["/x", "-d", "@-"]).stdin(File::open("/dev/zero").unwrap());
    let run = Run::of(&mut command);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
}

#[test]
fn a_post_never_goes_out_on_an_idle_connection() {
    let (posts, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, opened) = (Arc::clone(&posts), Arc::clone(&seen));
    let case = server(move |mut stream| {
        opened.fetch_add(1, Ordering::SeqCst);
        let first = head(&stream);
        if first.starts_with("POST") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        stream.write_all(&ok("", DOCUMENTED.as_bytes())).unwrap();
        // It would have closed the connection, but the next request is faster.
        let _ = stream.read(&mut [0]);
    });
    let path = "/iam/v1/workspaces/{workspaceId}/x";
    let run = case.call("raw_call", ["-X", "POST", path]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!((posts.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (1, 2));
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_that_is_gone_is_noticed() {
    let (asked, is_asked) = channel();
    let case = server(move |stream| {
        head(&stream);
        asked.send(stream).unwrap();
    });
    let mut child = case.command().stdout(Stdio::null()).spawn().unwrap();
    let mut stream = is_asked.recv().unwrap();
    // proc_pid_net_tcp(5): the timer of the client's socket is the keepalive timer (2), and it runs out
    // in 10 s or less. Until the request is acknowledged it is another one.
    let peer = format!(":{:04X}", stream.peer_addr().unwrap().port());
    let timer = loop {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // An earlier connection of that port may still be in TIME_WAIT.
        let is_ours = |row: &Vec<&str>| row[1].ends_with(&peer) && row[3] == "01";
        let row = rows.into_iter().find(is_ours).unwrap();
        match row[5].split_once(':').unwrap() {
            ("01", _) => thread::yield_now(),
            (timer, when) => break (timer.to_owned(), u64::from_str_radix(when, 16).unwrap()),
        }
    };
    assert_eq!(timer.0, "02");
    assert!(timer.1 <= 1000, "{timer:?}");
    stream.write_all(&ok("", DOCUMENTED.as_bytes())).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Something between a program and this server: what becomes of what each of them sends.
fn between(
    server: u16,
    there: impl Fn(TcpStream, TcpStream) + Copy + Send + 'static,
    back: impl Fn(TcpStream, TcpStream) + Copy + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || there(from, to));
            thread::spawn(move || back(server, client));
        }
    });
    url
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
}

#[test]
fn a_body_that_is_cut_off_within_tls_is_an_error() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    // Without a length or chunks: the end of the connection is the only end that there is.
    let faults = vec![Fault::api(FaultKind::CutClose).always()];
    let options = Options { tls: true, package_size: 4 << 20, faults, ..Options::default() };
    let case = Case::fresh(options);
    let (variable, ca) = trust(&case);
    let package = || {
        let mut command = case.program("raw_call");
        command.args(["/plans/v1/plans/7/package", "-o", "-"]).env(variable, &ca);
        command.output().unwrap()
    };
    // The whole of what the server sends, with a proper end of TLS.
    let whole = package();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let url = between(case.sandbox.port(), copy, |server, mut client| {
        io::copy(&mut server.take(1 << 20), &mut client).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    });
    fs::write(case.path("aac_url.txt"), url).unwrap();
    let part = package();
    assert!(part.stdout.len() < whole.stdout.len());
    let stderr = String::from_utf8(part.stderr).unwrap();
    assert_eq!(part.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the connection broke"), "{stderr}");
}

#[test]
fn a_part_of_tls_that_comes_byte_by_byte_is_not_waited_for() {
    if !acceptance::can_trust_a_file() {
        return;
    }
    let case = Case::fresh(Options { tls: true, package_size: 1 << 20, ..Options::default() });
    let (variable, ca) = trust(&case);
    // In the middle of the handshake, of the head, and of the body.
    for bytes in [100, 1200, 1 << 19] {
        let url = between(case.sandbox.port(), copy, move |server, mut client| {
            io::copy(&mut (&server).take(bytes), &mut client).unwrap();
            for byte in io::BufReader::new(server).bytes() {
                // The client may have had enough of it.
                if client.write_all(&[byte.unwrap()]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        fs::write(case.path("aac_url.txt"), url).unwrap();
        let start = Instant::now();
        let mut command = case.program("raw_call");
        command.args(["/plans/v1/plans/7/package", "-o"]).arg(case.path("package"));
        command.args(["--timeout", "1", "--retry", "0"]).env(variable, &ca);
        let run = Run::of(&mut command);
        assert_eq!(run.code, Some(1), "{bytes}: {}", run.stderr);
        assert!(run.stderr.contains("timed out"), "{bytes}: {}", run.stderr);
        assert!((900..9000).contains(&start.elapsed().as_millis()), "{bytes}: {}", run.stderr);
    }
}

#[test]
fn content_codings_are_undone() {
    let gzipped = gzip(br#"{"a": 1}"#);
    let twice = [&gzipped[..], &gzipped].concat();
    for (method, status, coding, body, expected) in [
        ("GET", "200 OK", "gzip", &gzipped[..], r#"{"a": 1}"#),
        ("GET", "200 OK", "identity", b"{}", "{}"),
        ("GET", "200 OK", "gzip", &twice, r#"{"a": 1}{"a": 1}"#),
        // Where there is no body, there is nothing to undo.
        ("GET", "200 OK", "gzip", b"", ""),
        ("POST", "201 Created", "gzip", b"", ""),
        ("PUT", "200 OK", "gzip", b"", ""),
        ("HEAD", "200 OK", "gzip", b"", ""),
    ] {
        let coding = format!("Content-Encoding: {coding}\r\n");
        let case = server_with(response(status, &coding, body));
        let run = case.call("raw_call", ["/x", "-X", method]);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), expected, ""));
        assert!(!case.call("raw_call", ["/x", "-i"]).stdout.contains("gzip"));
    }
    let case = server_with(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n".to_vec());
    let run = case.call("raw_call", ["/x", "-X", "POST"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    let told = gzip(br#"{"message":"a name is missing"}"#);
    for (status, coding, body, code, words) in [
        ("200 OK", "br", &gzipped[..], 1, r#"its content-encoding is "br""#),
        ("200 OK", "x-gzip", &gzipped, 1, r#"its content-encoding is "x-gzip""#),
        ("200 OK", "gzip, gzip", &gzipped, 1, r#"its content-encoding is "gzip, gzip""#),
        ("200 OK", "gzip", b"{}", 1, "the response cannot be decompressed"),
        ("200 OK", "gzip", &gzipped[..20], 1, "the response cannot be decompressed"),
        ("400 Bad Request", "gzip", &told, 4, "a name is missing"),
    ] {
        let coding = format!("Content-Encoding: {coding}\r\n");
        let case = server_with(response(status, &coding, body));
        let run = case.call("raw_call", ["/x"]);
        assert_eq!(run.code, Some(code), "{coding} {body:?}");
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

/// How many bytes are held in memory for one JSON value.
const MOST: usize = 64 << 20;

/// A JSON text of this many bytes, compressed: what stands at its ends, and as much as needed of what is
/// repeated in between.
fn bomb(length: usize, start: &str, repeated: &str, end: &str) -> Vec<u8> {
    let piece = repeated.repeat((1 << 20) / repeated.len());
    let inner = length - start.len() - end.len();
    // Coded once, since that takes its time: gzip may have any number of members.
    let members = gzip(piece.as_bytes()).repeat(inner / piece.len());
    let rest = &piece.as_bytes()[..inner % piece.len()];
    [gzip(start.as_bytes()), members, gzip(rest), gzip(end.as_bytes())].concat()
}

/// Runs the program with too little memory for a body that is not bounded.
fn in_little_memory(case: &Case, name: &str, args: &[&str]) -> Run {
    let mut command = case.program(name);
    if cfg!(target_os = "linux") {
        command = acceptance::clean("sh");
        command.args(["-c", r#"ulimit -v 1000000 && exec "$0" "$@""#]).arg(program(name));
        command.env("AAC_DIR", case.folder.path());
    }
    Run::of(command.args(args))
}

#[test]
fn a_response_that_is_too_large_for_memory_is_told() {
    let large = "the response is larger than 64 MiB";
    let many = "the response has more than 4 million values";
    for (body, words) in
        [(bomb(MOST + 1, "\"", "a", "\""), large), (bomb(MOST / 4, "[", "{},", "{}]"), many)]
    {
        let case = server_with(ok("Content-Encoding: gzip\r\n", &body));
        let value = in_little_memory(&case, "get_workspace", &[]);
        let page = in_little_memory(&case, "raw_call", &["/x", "--paginate"]);
        for (run, url) in [(value, "/iam/v1/workspaces/current"), (page, "/x?limit=100&")] {
            assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
            assert!(run.stderr.contains(&format!(": {words} (GET http://")), "{}", run.stderr);
            for part in [url, "--page-size N", "-o FILE"] {
                assert!(run.stderr.contains(part), "{}", run.stderr);
            }
        }
    }
}

#[test]
fn a_download_has_no_limit_of_length() {
    let length = MOST + 1;
    let body = bomb(length, "\"", "a", "\"");
    let case = server_with(ok("Content-Encoding: gzip\r\n", &body));
    let file = case.path("download");
    let run = in_little_memory(&case, "raw_call", &["/x", "-o", file.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::metadata(file).unwrap().len(), length as u64);
}

/// Sends this head, and then such pieces of a body until nobody wants them any more.
fn drip(mut stream: TcpStream, head: &str, first: &[u8], piece: &[u8]) {
    let mut next = [head.as_bytes(), first].concat();
    while stream.write_all(&next).is_ok() {
        next = piece.to_vec();
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_body_that_never_ends_is_waited_for_ten_times_as_long_as_its_head() {
    // The header of gzip, and then blocks of nothing, which never become a byte of the body.
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    let nothing = b"\0\0\0\xff\xff";
    let url = "/iam/v1/workspaces/current)";
    let told = "the response is not complete after 3 s, ten times --timeout (GET http://";
    let refused = "HTTP 403 Forbidden: not you (GET http://";
    let length = "Content-Length: 99999\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let coded = "Content-Encoding: gzip\r\nContent-Length: 99999\r\n";
    thread::scope(|scope| {
        for (status, headers, first, piece, code, words) in [
            ("200 OK", length, &b"["[..], &b" "[..], 1, [told, url, "--timeout SECS"]),
            ("200 OK", coded, gzip, nothing, 1, [told, url, "--timeout SECS"]),
            // A chunk that never begins.
            ("200 OK", chunked, b"1\r\n[\r\n1;", b"x", 1, [told, url, "--timeout SECS"]),
            ("403 Forbidden", length, br#"{"message":"not you"}"#, b" ", 4, [refused, url, "403"]),
        ] {
            scope.spawn(move || {
                let head_of = format!("HTTP/1.1 {status}\r\n{headers}\r\n");
                let case = server(move |stream| {
                    head(&stream);
                    drip(stream, &head_of, first, piece);
                });
                let start = Instant::now();
                case.run(["--timeout", "0.3"]).assert_fails(code, &words);
                assert!(start.elapsed() < SOON, "and it is not asked for again");
            });
        }
    });
}

#[test]
fn a_download_has_no_limit_of_time() {
    let case = server(|mut stream| {
        head(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n").unwrap();
        for _ in 0..70 {
            stream.write_all(b"x").unwrap();
            thread::sleep(Duration::from_millis(50));
        }
    });
    let file = case.path("download");
    let run = case.call("raw_call", ["/x", "--timeout", "0.3", "-o", file.to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(fs::read(file).unwrap().len(), 70);
}

#[test]
fn a_body_is_read_on_whatever_thread() {
    let empty = ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"];
    for rest in empty {
        let case = server(move |mut stream| {
            head(&stream);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n{rest}");
            stream.write_all(head.as_bytes()).unwrap();
        });
        let options = ConnectionOptions::default().dir(case.folder.path()).retry(0);
        let client = Client::open(&options, "test/1.0").unwrap();
        let mut response = client.request(Method::GET, "/x").send().unwrap();
        let read = thread::spawn(move || response.read(&mut [0; 16])).join().unwrap();
        assert_eq!(read.unwrap(), 0, "{rest:?}");
    }
}

#[test]
fn a_write_whose_outcome_is_unknown_is_to_be_checked_before_it_is_run_again() {
    use FaultKind as K;
    let case = Case::fresh(Options::default());
    let path = "/plans/v1/plans";
    let options = ConnectionOptions::default().dir(case.folder.path());
    let options = options.retry(0).timeout(Duration::from_millis(500));
    let client = Client::open(&options, "test/1.0").unwrap();
    for (kind, is_unknown) in [
        (K::ResetBefore, true),
        (K::ResetAfter, true),
        (K::HangAfter, true),
        (K::BadGateway, true),
        (K::Unavailable(1), true),
        (K::GatewayTimeout, true),
        (K::ServerError, true),
        (K::Cut, true),
        (K::SlowBody(30), true),
        (K::Garbled, true),
        (K::Empty, true),
        (K::BadRequest, false),
        (K::Forbidden, false),
        (K::TooManyRequests(3600), false),
    ] {
        for method in [Method::POST, Method::GET] {
            case.sandbox.add_fault(Fault::api(kind.clone()));
            let request = client.request(method.clone(), path);
            let request = match method {
                Method::POST => request.json(&json!({ "name": "x" })),
                _ => request,
            };
            let error = request.send().and_then(|response| response.json()).unwrap_err();
            let is_unknown = is_unknown && method == Method::POST;
            assert_eq!(error.may_have_taken_effect(), is_unknown, "{kind:?}: {error}");
            let help = error.help();
            assert_eq!(help.contains("check before you run this again"), is_unknown, "{help}");
            assert!(!is_unknown || !help.contains("Run this again"), "{kind:?}: {help}");
        }
    }
    // No connection can be made where nothing listens.
    fs::write(case.path("aac_url.txt"), "http://127.0.0.1:9").unwrap();
    let run = case.call("raw_call", [path, "-f", "name=x"]);
    assert!(run.stderr.contains("The request was not sent."), "{}", run.stderr);
    let run = case.call("raw_call", [path]);
    assert!(!run.stderr.contains("not sent"), "{}", run.stderr);
}

#[test]
fn a_write_that_got_no_further_than_a_proxy_was_not_sent() {
    let issuer = Some("https://pingauth.alteryxcloud.com/as".to_owned());
    let case = Case::fresh(Options { tls: true, issuer, ..Options::default() });
    fs::write(case.path("aac_url.txt"), "https://api.us1.alteryxcloud.com").unwrap();
    // The last one ends in the middle of the handshake of TLS.
    for answer in
        ["", "HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(head(&stream).starts_with("CONNECT api.us1.alteryxcloud.com:443"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut command = case.program("raw_call");
        let run = Run::of(command.args(["/x", "-f", "a=b"]).env("HTTPS_PROXY", url));
        proxy.join().unwrap();
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.contains("The request was not sent."), "{answer:?} {}", run.stderr);
    }
}

/// What follows from which error is decided in `src/error/mod.rs`.
#[test]
fn a_program_can_decide_by_the_error() {
    use FaultKind as K;
    let error = |fault| {
        let case = Case::expired(Options { faults: vec![fault], ..Options::default() });
        client(&case).get("/iam/v1/workspaces/current").unwrap_err()
    };
    let gone = error(Fault::api(K::Gone));
    let http = gone.http().unwrap();
    assert_eq!((gone.kind(), http.status()), (ErrorKind::Http, StatusCode::GONE));
    assert!(!gone.is_retryable() && !http.message().is_empty() && !http.body().is_empty());
    let throttled = error(Fault::api(K::TooManyRequests(7)));
    assert_eq!(throttled.retry_after(), Some(Duration::from_secs(7)));
    assert!(error(Fault::api(K::ServerError)).http().unwrap().request_id().is_some());
    let busy = error(Fault::token(K::TooManyRequests(99)));
    assert_eq!((busy.kind(), busy.is_retryable()), (ErrorKind::AuthServer, true), "{busy}");
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(99)));
    assert!(error(Fault::token(K::InvalidGrant)).needs_new_tokens());
}

#[test]
fn a_body_that_breaks_off_is_asked_for_again() {
    for kind in [FaultKind::Cut, FaultKind::SlowBody(30)] {
        let fault = Fault::api(kind);
        let case =
            Case::fresh(Options { users: 3, faults: vec![fault.clone()], ..Options::default() });
        case.run(["--timeout", "0.5"]).assert_ok();
        assert_eq!(case.sandbox.counters().api_calls, 2);
        // The number of the workspace, and then the page.
        case.sandbox.add_fault(fault.clone());
        case.sandbox.add_fault(fault.clone().after(1));
        let run = case.call("list_users", ["--format", "csv", "--timeout", "0.5"]);
        assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 4), "{}", run.stderr);
        assert_eq!(case.sandbox.counters().api_calls, 6);
        case.sandbox.add_fault(fault);
        let run = case.run(["--timeout", "0.5", "--retry", "0"]);
        assert_eq!(run.code, Some(1));
    }
}
