//! What the programs are measured against: the same call with ureq and the system's certificates, and
//! nothing for the tokens' sake. It takes the access token that is in creds.json, whatever its age.

use std::{env, fs};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::var("AAC_DIR")?;
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}"));
    let creds: serde_json::Value = serde_json::from_str(&read("creds.json")?)?;
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: Agent = Agent::config_builder().tls_config(tls).build().into();
    let token = creds["access_token"].as_str().ok_or("no access token")?;
    let body = agent
        .get(format!("{}/iam/v1/workspaces/current", read("aac_url.txt")?.trim()))
        .header("Authorization", format!("Bearer {token}"))
        .header("x-api-project-id", read("client_id.txt")?.trim())
        .call()?
        .into_body()
        .read_to_string()?;
    let workspace: serde_json::Value = serde_json::from_str(&body)?;
    println!("{workspace:#}");
    Ok(())
}
