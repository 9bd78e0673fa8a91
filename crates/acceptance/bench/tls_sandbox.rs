//! Runs a command in front of a sandbox that speaks https: with AAC_DIR, as `cargo sandbox` does, and
//! with SSL_CERT_FILE, a bundle of this system's certificates and the sandbox's own.

use aac_sandbox::{Options, Sandbox};
use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let program = args.next().ok_or("usage: tls_sandbox COMMAND…")?;
    let options = Options { tls: true, token_lifetime: 86_400, ..Options::default() };
    let sandbox = Sandbox::start(options)?;
    let folder = tempfile::tempdir()?;
    sandbox.write_files(folder.path(), &sandbox.issue())?;
    let bundle = folder.path().join("ca.pem");
    fs::write(&bundle, fs::read_to_string(SYSTEM)? + sandbox.ca_pem())?;
    let status = acceptance::clean(program)
        .args(args)
        .current_dir(env::current_dir()?)
        .env("AAC_DIR", folder.path())
        .env("SSL_CERT_FILE", &bundle)
        .status()?;
    Ok(ExitCode::from(if status.success() { 0 } else { 1 }))
}
