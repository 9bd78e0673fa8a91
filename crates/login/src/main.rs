//! Asks, and says what it got.
mod terminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    let region = terminal::ask("Region", Some("us1"));
    eprintln!("region {region:?}");
    let secret = terminal::ask_secret("Token", |text| text.contains("whole"));
    eprintln!("secret {:?}", secret.map(|secret| secret.map(|it| it.len())));
    ExitCode::SUCCESS
}
