//! One call after another: what is sent, what comes of every answer, and what the user reads.

#![cfg_attr(not(unix), allow(unused, reason = "some of it is for Unix"))]

mod errors;
mod lists;
mod network;
mod responses;
mod transport;

use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::Options;
use acceptance::Case;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const NONE: [&str; 0] = [];
const SOON: Duration = Duration::from_secs(20);

/// A folder with a fresh token, in front of a server that each connection is handed to.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Case {
    let case = Case::fresh(Options::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    fs::write(case.path("aac_url.txt"), url).unwrap();
    let serve = Arc::new(serve);
    // It ends with the test process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    case
}

/// One that answers the first request of each connection with these bytes.
fn server_with(response: Vec<u8>) -> Case {
    server(move |mut stream| {
        head(&stream);
        // The client may have had enough of it.
        let _ = stream.write_all(&response);
    })
}

/// Reads a request up to its body; empty at the end of the connection.
fn head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A response with this status, other headers, and a body with its length.
fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    response("200 OK", headers, body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn client(case: &Case) -> Client {
    let options = ConnectionOptions::default().dir(case.folder.path()).retry(0);
    Client::open(&options, "test/1.0").unwrap()
}
