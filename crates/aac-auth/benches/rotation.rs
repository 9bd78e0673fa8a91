//! What safety costs, side by side: a token from the fast path against merely reading the file, and
//! a call that rotates against the same refresh written naively with ureq.
//!
//! ```text
//! cargo bench -p aac-auth
//! ```

use aac_auth::{Client, ConnectionOptions};
use aac_sandbox::{Options, Sandbox, Tokens};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn main() {
    divan::main();
}

struct Folder {
    sandbox: Sandbox,
    folder: TempDir,
    client: Client,
}

impl Folder {
    fn new(tokens: fn(&Sandbox) -> Tokens) -> Self {
        let sandbox = Sandbox::start(Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        sandbox.write_files(folder.path(), &tokens(&sandbox)).unwrap();
        let options = ConnectionOptions::default().dir(folder.path());
        let client = Client::open(&options, "bench/1.0").unwrap();
        Self { sandbox, folder, client }
    }

    fn creds(&self) -> PathBuf {
        self.folder.path().join("creds.json")
    }
}

mod fresh {
    use super::*;

    #[divan::bench]
    fn read_and_parse_the_file(bencher: divan::Bencher) {
        let folder = Folder::new(Sandbox::issue);
        let creds = folder.creds();
        bencher.bench(|| serde_json::from_slice::<Value>(&fs::read(&creds).unwrap()).unwrap());
    }

    #[divan::bench]
    fn access_token(bencher: divan::Bencher) {
        let folder = Folder::new(Sandbox::issue);
        bencher.bench(|| folder.client.access_token().unwrap());
    }
}

mod expired {
    use super::*;

    #[divan::bench(sample_count = 100, sample_size = 1)]
    fn naive_refresh_and_write(bencher: divan::Bencher) {
        let folder = Folder::new(Sandbox::issue_expired);
        let url = format!("{}/token", folder.sandbox.issuer());
        let agent = acceptance::agent();
        bencher.bench_local(|| {
            let creds: Value = serde_json::from_slice(&fs::read(folder.creds()).unwrap()).unwrap();
            let form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", creds["refresh_token"].as_str().unwrap()),
                ("client_id", folder.sandbox.client_id()),
            ];
            let answer =
                agent.post(&url).send_form(form).unwrap().into_body().read_to_string().unwrap();
            fs::write(folder.creds(), answer).unwrap();
        });
    }

    #[divan::bench(sample_count = 100, sample_size = 1)]
    fn access_token(bencher: divan::Bencher) {
        let folder = Folder::new(Sandbox::issue_expired);
        // Expired again: the arrival is put an hour back.
        bencher
            .with_inputs(|| {
                let mut creds: Value =
                    serde_json::from_slice(&fs::read(folder.creds()).unwrap()).unwrap();
                if let Some(clock) = creds["aac_auth"]["local_clock_ms"].as_i64() {
                    creds["aac_auth"]["local_clock_ms"] = (clock - 3_600_000).into();
                }
                fs::write(folder.creds(), creds.to_string()).unwrap();
            })
            .bench_local_values(|()| folder.client.access_token().unwrap());
        assert!(folder.sandbox.counters().refreshes >= 100);
    }
}
