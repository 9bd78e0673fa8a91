//! The sandbox over HTTPS.

use aac_sandbox::{Options, Sandbox, VaultOptions};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

#[test]
fn a_client_that_trusts_the_authority_gets_through_and_no_other() {
    let vault = Some(VaultOptions::default());
    let sandbox =
        Sandbox::start(Options { tls: true, vault, ..Options::default() }).expect("a sandbox");
    assert!(sandbox.url().starts_with("https://127.0.0.1:"));
    assert!(sandbox.vault().url().starts_with("https://127.0.0.1:"));
    let get_from = |url: &str, root: Option<&str>| {
        let roots: Vec<_> = root
            .map(|pem| Certificate::from_pem(pem.as_bytes()).expect("a certificate"))
            .into_iter()
            .collect();
        let tls = TlsConfig::builder().root_certs(RootCerts::from(roots)).build();
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .tls_config(tls)
            .build()
            .new_agent();
        agent.get(url).call()
    };
    let get = |root| get_from(&format!("{}/iam/v1/workspaces/current", sandbox.url()), root);
    let health = format!("{}/v1/sys/health", sandbox.vault().url());
    assert_eq!(get_from(&health, Some(sandbox.ca_pem())).expect("a response").status(), 200);
    let mut response = get(Some(sandbox.ca_pem())).expect("a response");
    assert_eq!(response.status(), 401);
    assert!(response.body_mut().read_to_string().expect("text").contains("FailedToResolveAPIKey"));

    let other = Sandbox::start(Options { tls: true, ..Options::default() }).expect("another");
    get(Some(other.ca_pem())).expect_err("signed by someone else");
}
