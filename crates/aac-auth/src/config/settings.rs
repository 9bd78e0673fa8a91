//! The user's settings: the folder, the API address, the API project ID.

use crate::config::text;
use crate::config::trust::Trust;
use crate::error::display::{name_of, stray, unquoted};
use crate::error::{Error, FileProblem, Result};
use crate::loopback::is_loopback;
use crate::tokens::secret::is_uuid;
use std::path::{Path, PathBuf};
use ureq::http::Uri;

/// The folder with the three files, and the content of two of them. The third, creds.json, changes
/// with every rotation and is read again for each call. Variables may stand in their place.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) hosts: Hosts,
    /// Called the API project ID since 2025, and the client ID before. Empty if it has not been filled in.
    pub(crate) project_id: String,
    /// With a pair in the variables, no such file: then what is saved on this machine is beside it.
    pub(crate) creds: PathBuf,
}

impl Settings {
    pub(crate) fn load(folder: &Folder) -> Result<Self> {
        let creds = folder.path.join("creds.json");
        match folder.trust.check(&creds, None) {
            Ok(()) | Err(FileProblem::Missing) => {}
            Err(problem) => return Err(Error::unusable(&creds, problem)),
        }
        let missing = |name| Error::unusable(&folder.path.join(name), FileProblem::Missing);
        let hosts = folder.hosts()?.ok_or_else(|| missing("aac_url.txt"))?;
        let project_id = folder.project_id(&hosts)?.ok_or_else(|| missing("client_id.txt"))?;
        Ok(Self { project_id, hosts, creds })
    }
}

/// The folder of the three files, and whose they may be.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
}

impl Folder {
    /// Reads one of the files, without surrounding whitespace.
    fn read(&self, path: &Path) -> Result<String, FileProblem> {
        self.trust.check(path, None)?;
        let bytes = text::read_if(path, |file| self.trust.check(path, Some(file)))?;
        Ok(text::decode(&bytes)?.trim().to_owned())
    }

    /// What is made of one of the files, if it is there.
    fn parse<T>(
        &self,
        name: &str,
        parse: impl Fn(String) -> Result<T, FileProblem>,
    ) -> Result<Option<T>> {
        let path = self.path.join(name);
        match self.read(&path).and_then(parse) {
            Err(FileProblem::Missing) => Ok(None),
            parsed => parsed.map(Some).map_err(|problem| Error::unusable(&path, problem)),
        }
    }

    /// The hosts of aac_url.txt.
    pub(crate) fn hosts(&self) -> Result<Option<Hosts>> {
        self.parse("aac_url.txt", |text| Hosts::parse(&text))
    }

    /// The API project ID of client_id.txt, empty if it is a placeholder. If that is absent or still a
    /// placeholder, that of api_project_id.txt, the name used since April 2025.
    pub(crate) fn project_id(&self, hosts: &Hosts) -> Result<Option<String>> {
        let read = |name| self.parse(name, |id| check_project_id(id, hosts));
        match read("client_id.txt")? {
            Some(id) if !id.is_empty() => Ok(Some(id)),
            old => Ok(read("api_project_id.txt")?.filter(|id| !id.is_empty()).or(old)),
        }
    }
}

/// The ID, empty if it is a placeholder. It goes out in a header: whatever looks like a secret that was put
/// or linked here by mistake, or by somebody else, must not.
pub(crate) fn check_project_id(id: String, hosts: &Hosts) -> Result<String, FileProblem> {
    if is_placeholder(&id) {
        return Ok(String::new());
    }
    let belongs = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let problem = if let Some(what) = text::likely_secret(&id) {
        FileProblem::id_is_secret(what)
    } else if has_placeholder(&id) {
        FileProblem::not_an_id("the placeholder is still there, beside the ID")
    } else if id.contains([':', '=']) {
        FileProblem::not_an_id("a label or an address, not the ID alone")
    } else if unquoted(&id).is_some() {
        FileProblem::not_an_id("quotation marks or < > around the ID")
    } else if id.lines().count() > 1 {
        FileProblem::not_an_id("spaces inside the ID: it is on more than one line")
    } else if let Some(stray) = stray(&id, |character| !character.is_whitespace()) {
        FileProblem::not_an_id(&format!("spaces inside the ID: {stray}"))
    } else if let Some(stray) = stray(&id, belongs) {
        FileProblem::not_an_id(&format!("invalid characters in the ID: {stray}"))
    } else if !(8..=128).contains(&id.len()) {
        FileProblem::not_an_id("too short or too long for an ID")
    } else if is_uuid(id.as_bytes()) {
        FileProblem::oauth_client_id(&hosts.project_page())
    } else {
        return Ok(id);
    };
    Err(problem)
}

/// Whether the text is a placeholder from the vendor's files, such as `Your client id here`.
pub(crate) fn is_placeholder(text: &str) -> bool {
    // In quotation marks or < >, too.
    let text = text.trim_matches(|it: char| !it.is_alphanumeric()).to_ascii_lowercase();
    text.starts_with("your ") && text.ends_with(" here")
}

/// Whether it is a placeholder as it is shipped: nothing was pasted into it.
pub(crate) fn is_untouched(text: &str) -> bool {
    const WORDS: [&str; 9] =
        ["your", "access", "refresh", "token", "client", "api", "project", "id", "here"];
    let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
    is_placeholder(text) && words.all(|word| WORDS.contains(&&*word))
}

/// Whether such a placeholder was left in the text, before or behind what was pasted.
pub(crate) fn has_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.find("your ").is_some_and(|start| text[start..].contains(" here"))
}

const DOMAIN: &str = "alteryxcloud.com";
/// The regions that are known.
const REGIONS: [&str; 3] = ["us1", "eu1", "au1"];

/// The names of a host below the domain, from left to right; none if it is elsewhere.
fn names_below_domain(host: &str) -> Option<Vec<&str>> {
    let names: Vec<_> = host.strip_suffix(DOMAIN)?.strip_suffix('.')?.split('.').collect();
    let is_plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    names.iter().all(is_plain).then_some(names)
}

/// Who has issued a token, as its `iss` says: the refresh token is sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// A sandbox on this machine.
    Loopback,
    /// The host of this name below the domain.
    Cloud(String),
}

impl Issuer {
    /// None if no refresh token may be sent there.
    pub(crate) fn of(iss: &str) -> Option<Self> {
        let uri: Uri = iss.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        // `/token` is put behind it, so nothing may lead elsewhere.
        let climbs = uri.path().to_ascii_lowercase().replace("%2e", ".").contains("..");
        if authority.as_str().contains('@') || uri.query().is_some() || iss.contains('#') || climbs
        {
            return None;
        }
        let host = authority.host().to_ascii_lowercase();
        if is_loopback(&host) {
            return ["http", "https"].contains(&scheme).then_some(Self::Loopback);
        }
        let has_port = authority.as_str() != authority.host();
        match names_below_domain(&host)?[..] {
            [name] if scheme == "https" && !has_port => Some(Self::Cloud(name.to_owned())),
            _ => None,
        }
    }

    /// Whether it has the name of an authorization server.
    pub(crate) fn is_familiar(&self) -> bool {
        match self {
            Self::Loopback => true,
            Self::Cloud(name) => name.starts_with("pingauth"),
        }
    }

    /// The region that it is known to serve.
    fn region(&self) -> Option<&str> {
        let Self::Cloud(name) = self else { return None };
        let named = if name == "pingauth" { "us1" } else { name.strip_prefix("pingauth-")? };
        REGIONS.contains(&named).then_some(named)
    }
}

/// Checks the host of aac_url.txt. No part of it is shown but the name of a region.
fn check_host(host: &str) -> Result<(), FileProblem> {
    let is_region = |name: &str| {
        name.len() <= 12 && !name.starts_with("pingauth") && !["api", "www"].contains(&name)
    };
    let (what, region) = match names_below_domain(host).unwrap_or_default()[..] {
        ["api", region] if is_region(region) => return Ok(()),
        [region] | ["www", region] if is_region(region) && !region.contains('-') => {
            ("the address of the web pages, not of the API", region)
        }
        [_, .., region] if is_region(region) => {
            ("the address of one workspace, not of the API", region)
        }
        _ => return Err(FileProblem::not_the_api("not a host of Alteryx Cloud's API")),
    };
    Err(FileProblem::OtherAddress { what, api: format!("https://api.{region}.{DOMAIN}") })
}

/// The two hosts that may receive the access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// `https://api.us1.alteryxcloud.com`: scheme and authority, no path.
    api: String,
    /// `https://us1.alteryxcloud.com`: the same without `api.`, or identical.
    platform: String,
    is_loopback: bool,
}

impl Hosts {
    /// Parses the content of aac_url.txt.
    pub(crate) fn parse(text: &str) -> Result<Self, FileProblem> {
        let not_a_url = || FileProblem::not_the_api("not a URL");
        if text.lines().count() > 1 {
            return Err(FileProblem::not_the_api("more than one line"));
        }
        if is_placeholder(text) {
            return Err(not_a_url());
        }
        if has_placeholder(text) {
            let what = "not a URL: the placeholder is still there, beside the address";
            return Err(FileProblem::not_the_api(what));
        }
        // What would be right in its place is told, if that can be said.
        let instead = |what, meant: &str| match Self::parse(meant) {
            Ok(Self { api, .. }) | Err(FileProblem::OtherAddress { api, .. }) => {
                FileProblem::OtherAddress { what, api }
            }
            Err(_) => FileProblem::not_the_api(what),
        };
        if let Some(inner) = unquoted(text) {
            return Err(instead("quotation marks or < > around the address", inner));
        }
        if let Some(stray) = stray(text, |character| character.is_ascii_graphic()) {
            return Err(FileProblem::not_the_api(&format!("not a URL: {stray}")));
        }
        if !text.contains("://") {
            return Err(instead("no https:// at the beginning", &format!("https://{text}")));
        }
        let uri: Uri = text.parse().map_err(|_| not_a_url())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(not_a_url)?;
        if authority.as_str().contains('@') {
            return Err(FileProblem::not_the_api("a user name before the host"));
        }
        let host = authority.host().to_ascii_lowercase();
        let is_loopback = is_loopback(&host);
        if !is_loopback {
            check_host(&host)?;
        }
        let port = authority.port_u16().filter(|_| is_loopback);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => "https",
            "http" if is_loopback => "http",
            _ => {
                let api = format!("https://{host}{port}");
                return Err(FileProblem::OtherAddress { what: "not https", api });
            }
        };
        let api = format!("{scheme}://{host}{port}");
        let has_port = !is_loopback && authority.as_str() != authority.host();
        let has_path = !uri.path().trim_end_matches('/').is_empty();
        if has_port || has_path || uri.query().is_some() || text.contains('#') {
            return Err(FileProblem::OtherAddress { what: "more than a scheme and a host", api });
        }
        let host = host.strip_prefix("api.").unwrap_or(&host);
        Ok(Self { platform: format!("{scheme}://{host}{port}"), api, is_loopback })
    }

    /// The hosts of a region: `us1`, or the address of any page or API.
    pub(crate) fn of_page(text: &str) -> Result<Self, FileProblem> {
        let text = text.trim();
        let is_letter = |character: char| character.is_ascii_alphabetic();
        let number = text.trim_start_matches(is_letter);
        let is_name = !number.is_empty() && number.len() < text.len();
        let is_name = is_name && number.bytes().all(|byte| byte.is_ascii_digit());
        let named = is_name.then(|| format!("https://api.{}.{DOMAIN}", text.to_ascii_lowercase()));
        match Self::parse(named.as_deref().unwrap_or(text)) {
            Err(FileProblem::OtherAddress { api, .. }) => Self::parse(&api),
            parsed => parsed,
        }
    }

    /// Resolves a program's target to a URL: a path, with or without the leading `/`, or a whole URL on
    /// one of the two hosts. The error says why nothing can be sent there.
    pub(crate) fn url(&self, target: &str) -> Result<String, String> {
        let (before_query, query) = target.split_once('?').unwrap_or((target, ""));
        for (mark, code, text) in [('#', "%23", target), ('\\', "%5C", query)] {
            if text.contains(mark) {
                return Err(format!("has a {mark} in it, which must be written {code}"));
            }
        }
        if let Some(control) = target.chars().find(|character| character.is_ascii_control()) {
            let (name, code) = (name_of(control), u32::from(control));
            return Err(format!(
                "has a control character in it, {name}: leave it out, or write %{code:02X}"
            ));
        }
        if before_query.replace("%20", "").is_empty() {
            return Err("is empty: name one such as /iam/v1/workspaces/current".to_owned());
        }
        let lower = target.to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            return self.own_url(target);
        }
        let path = target.trim_start_matches('/');
        let (before_query, _) = path.split_once('?').unwrap_or((path, ""));
        let (first, _) = before_query.split_once('/').unwrap_or((before_query, ""));
        let has_scheme = first.contains(':') && !target.starts_with('/');
        let why = if let [b'a'..=b'z', b':', b'/' | b'\\', ..] = lower.as_bytes() {
            "is a Windows path, which Git Bash makes of an argument that begins with /: leave that / out"
        } else if before_query.contains('\\') {
            "is not a path such as /iam/v1/workspaces/current: write / for \\"
        } else if has_scheme || target.starts_with("//") {
            "is not a path such as /iam/v1/workspaces/current"
        } else if first.to_ascii_lowercase().ends_with(&format!(".{DOMAIN}")) {
            "begins with a host: leave it out"
        } else if before_query.contains(['{', '}']) {
            "has braces in it: {workspaceId} alone is filled in, others must be written %7B and %7D"
        } else {
            let on_platform = ["v4", "svc-workflow"].contains(&first);
            let host = if on_platform { &self.platform } else { &self.api };
            return Ok(format!("{host}/{path}"));
        };
        Err(why.to_owned())
    }

    /// Accepts a whole URL if its origin (RFC 6454) is one of the two hosts.
    fn own_url(&self, url: &str) -> Result<String, String> {
        let not_a_url = || "is not a URL".to_owned();
        let uri: Uri = url.parse().map_err(|_| not_a_url())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(not_a_url)?;
        let default = if scheme == "https" { 443 } else { 80 };
        let port = authority.port_u16().filter(|port| *port != default);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let origin = format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase());
        if authority.as_str().contains('@') || ![&self.api, &self.platform].contains(&&origin) {
            let mut own = vec![&*self.api, &self.platform];
            own.dedup();
            return Err(format!("leads to another host than {}", own.join(" or ")));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(format!("{origin}{path}"))
    }

    /// Whether a token may go to the API that does not say who has issued it.
    pub(crate) fn go_with_unknown(&self) -> bool {
        !self.is_loopback
    }

    /// Whether a token of this issuer may go to the API: one of a sandbox must not leave this machine, and
    /// one of the cloud must not go to whatever listens here.
    pub(crate) fn go_with(&self, issuer: &Issuer) -> bool {
        (*issuer == Issuer::Loopback) == self.is_loopback
    }

    /// Whether this issuer is known to serve another region.
    pub(crate) fn are_elsewhere(&self, issuer: &Issuer) -> bool {
        let own = self.api.strip_prefix("https://api.").and_then(|host| host.split('.').next());
        let own = own.filter(|region| REGIONS.contains(region));
        match (own, issuer.region()) {
            // The issuer of au1 may have no name of its own.
            (Some("au1"), Some("us1")) => false,
            (Some(own), Some(region)) => own != region,
            _ => false,
        }
    }

    /// What to put into aac_url.txt for tokens of this issuer, if that is known.
    pub(crate) fn api_of(issuer: &Issuer) -> Option<String> {
        issuer.region().map(|region| format!("https://api.{region}.{DOMAIN}"))
    }

    /// The API's address.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// The platform's address.
    pub(crate) fn platform(&self) -> &str {
        &self.platform
    }

    /// The page where a user of this region creates tokens.
    pub(crate) fn token_page(&self) -> String {
        format!("{}/cloud-portal/preferences/oauth2-api-tokens", self.platform)
    }

    /// The page where a user of this region finds an API project ID.
    pub(crate) fn project_page(&self) -> String {
        format!("{}/cloud-portal/library/alteryx-io", self.platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_family_picks_the_host() {
        let hosts = Hosts::parse("https://api.eu1.alteryxcloud.com/").unwrap();
        for (path, host) in [
            ("/iam/v1/workspaces/current", "https://api.eu1.alteryxcloud.com"),
            ("/v4/people/current", "https://eu1.alteryxcloud.com"),
            ("/v4?x=1", "https://eu1.alteryxcloud.com"),
            ("/svc-workflow/api/v1/workflows", "https://eu1.alteryxcloud.com"),
            ("/v40/x", "https://api.eu1.alteryxcloud.com"),
        ] {
            assert_eq!(hosts.url(path).unwrap(), format!("{host}{path}"));
            assert_eq!(hosts.url(&path[1..]).unwrap(), format!("{host}{path}"));
        }
        let local = Hosts::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!(local.url("/v4/x").unwrap(), "http://127.0.0.1:8080/v4/x");
        assert_eq!(local.url("HTTP://127.0.0.1:8080/x?y").unwrap(), "http://127.0.0.1:8080/x?y");
    }

    #[test]
    fn a_region_is_told_by_its_name_or_the_address_of_any_page() {
        for (text, api) in [
            ("us1", Some("https://api.us1.alteryxcloud.com")),
            (" EU1\n", Some("https://api.eu1.alteryxcloud.com")),
            ("https://api.au1.alteryxcloud.com", Some("https://api.au1.alteryxcloud.com")),
            ("api.au1.alteryxcloud.com/v4", Some("https://api.au1.alteryxcloud.com")),
            (
                "https://eu1.alteryxcloud.com/cloud-portal/library?x=1#y",
                Some("https://api.eu1.alteryxcloud.com"),
            ),
            ("https://sales.us1.alteryxcloud.com/", Some("https://api.us1.alteryxcloud.com")),
            ("http://127.0.0.1:8080/cloud-portal", Some("http://127.0.0.1:8080")),
            ("https://example.com/us1", None),
            ("https://us1.alteryxcloud.com.example.com/", None),
            ("us1 eu1", None),
            ("1", None),
            ("us", None),
            ("", None),
        ] {
            let hosts = Hosts::of_page(text);
            assert_eq!(hosts.ok().as_ref().map(Hosts::api), api, "{text:?}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_sent_is_told_with_what_can() {
        let hosts = Hosts::parse("https://api.eu1.alteryxcloud.com/").unwrap();
        for (path, words) in [
            ("", "is empty: name one such as /iam/v1/workspaces/current"),
            ("%20", "is empty"),
            ("?limit=3", "is empty"),
            ("/x#y", "has a # in it, which must be written %23"),
            ("/x?a=b\\c", "has a \\ in it, which must be written %5C"),
            (
                "https://api.eu1.alteryxcloud.com/x?a=\\",
                "has a \\ in it, which must be written %5C",
            ),
            ("iam\\v1", "is not a path such as /iam/v1/workspaces/current: write / for \\"),
            ("/x\ny", "a line break (U+000A): leave it out, or write %0A"),
            ("/x\r", "a line break (U+000D): leave it out, or write %0D"),
            ("/x?a=\t", "a tab (U+0009): leave it out, or write %09"),
            ("/x\u{7f}", "a control character (U+007F): leave it out, or write %7F"),
        ] {
            let error = hosts.url(path).unwrap_err();
            assert!(error.contains(words), "{path:?}: {error}");
        }
    }

    #[test]
    fn nothing_leads_to_another_host() {
        let hosts = Hosts::parse("https://api.eu1.alteryxcloud.com").unwrap();
        for own in [
            "https://api.eu1.alteryxcloud.com/v4/x",
            "https://EU1.alteryxcloud.com:443/v4/x",
            "https://eu1.alteryxcloud.com/v4/x",
        ] {
            assert!(hosts.url(own).unwrap().ends_with(".alteryxcloud.com/v4/x"), "{own}");
        }
        // A URL in a query is just text.
        let quoted = hosts.url("/x?next=https://evil.example").unwrap();
        assert_eq!(quoted, "https://api.eu1.alteryxcloud.com/x?next=https://evil.example");
        for other in [
            "https://evil.example/x",
            "http://api.eu1.alteryxcloud.com/x",
            "https://api.eu1.alteryxcloud.com:8443/x",
            "https://api.us1.alteryxcloud.com/x",
            "https://pingauth-eu1.alteryxcloud.com/as/token",
            "https://api.eu1.alteryxcloud.com@evil.example/x",
            "https://user@api.eu1.alteryxcloud.com/x",
            "https://api.eu1.alteryxcloud.com.evil.example/x",
            "https://api.eu1.alteryxcloud.com\\@evil.example/x",
            "//evil.example/x",
            "\\\\evil.example\\x",
            "/\\evil.example",
            "ftp://evil.example",
            "file:///etc/passwd",
            "C:/Program Files/Git/v4/people",
            "c:\\v4",
            "/x#y",
            "api.eu1.alteryxcloud.com/v4/x",
        ] {
            assert!(hosts.url(other).is_err(), "{other}");
        }
    }

    #[test]
    fn only_alteryx_cloud_may_issue_tokens() {
        let cloud = Hosts::parse("https://api.us1.alteryxcloud.com").unwrap();
        let local = Hosts::parse("http://localhost:8080").unwrap();
        for (iss, is_familiar) in [
            ("https://pingauth.alteryxcloud.com/as", true),
            ("https://PINGAUTH-eu1.AlteryxCloud.com/as/", true),
            ("https://pingauth.alteryxcloud.com", true),
            ("https://login.alteryxcloud.com/any/path", false),
        ] {
            let issuer = Issuer::of(iss).unwrap();
            assert!(cloud.go_with(&issuer) && !local.go_with(&issuer), "{iss}");
            assert_eq!(issuer.is_familiar(), is_familiar, "{iss}");
        }
        for iss in ["http://127.0.0.1:8080/as", "https://[::1]/as", "http://localhost/as"] {
            let issuer = Issuer::of(iss).unwrap();
            assert!(!cloud.go_with(&issuer) && local.go_with(&issuer), "{iss}");
        }
        for iss in [
            "",
            "pingauth.alteryxcloud.com/as",
            "http://pingauth.alteryxcloud.com/as",
            "https://alteryxcloud.com",
            "https://.alteryxcloud.com/as",
            "https://pingauth.us1.alteryxcloud.com/as",
            "https://pingauth.alteryxcloud.com:443/as",
            "https://pingauth.alteryxcloud.com:8443/as",
            "https://pingauth.alteryxcloud.com:/as",
            "https://pingauth_1.alteryxcloud.com/as",
            "https://pingauth.alteryxcloud.com/as/../x",
            "https://pingauth.alteryxcloud.com/as/%2e%2E/x",
            "https://pingauth.alteryxcloud.com/as?x",
            "https://pingauth.alteryxcloud.com/as?",
            "http://127.0.0.1:8080/../as",
            "http://127.0.0.1:8080@evil.example/as",
            "https://evilalteryxcloud.com/as",
            "https://alteryxcloud.com.evil.example/as",
            "https://evil.example/alteryxcloud.com",
            "https://pingauth.alteryxcloud.com@evil.example/as",
            "https://user@pingauth.alteryxcloud.com/as",
            "https://evil.example#.alteryxcloud.com",
            "https://evil.example?.alteryxcloud.com",
            "https://evil.example\\.alteryxcloud.com",
            "https://pingauth.alteryxcloud.com./as",
            "https://аlteryxcloud.com/as",
            "file:///alteryxcloud.com",
        ] {
            assert_eq!(Issuer::of(iss), None, "{iss}");
        }
    }
}
