//! Where the settings and the pair are found: in a folder, or in variables.
//!
//! The three files come from one folder. What wins is a table in README.md, beside this crate's Cargo.toml.

use crate::config::options::{ACCESS_TOKEN, VAULT};
use crate::config::settings::{Folder, Hosts, Settings, check_project_id, is_untouched};
use crate::config::text;
use crate::config::trust::Trust;
use crate::error::place::Place;
use crate::error::{Error, FileProblem, Result};
use crate::platform;
use crate::rotation::Pair;
use crate::store::folder::{has_saved_pair, has_tokens};
use crate::store::vault::NAMESPACE;
use crate::tokens::credentials;
use crate::tokens::secret::Digest;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What a client works with.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) settings: Settings,
    pub(super) pair: Pair,
    /// Why this place was chosen: "the current folder".
    pub(super) chosen_as: String,
    /// Whether another folder was passed over.
    pub(super) has_passed_over: bool,
}

/// Finds the settings and the pair, from the folder that `--dir` names, the current one and the environment.
pub(super) fn find(
    dir: Option<&Path>,
    current: io::Result<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Found> {
    if let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) {
        return in_folder(&named(dir, &current)?, BY_DIR.to_owned(), false);
    }
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let folder = variable("AAC_DIR").map(|dir| named(Path::new(&dir), &current)).transpose()?;
    let own = platform::own_folder(variable);
    let text = |name: &str| {
        let text = variable(name)?.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    if let Some(found) = given(text, folder.as_ref(), own.as_deref())? {
        return Ok(found);
    }
    match folder {
        Some(folder) => in_folder(&folder, BY_AAC_DIR.to_owned(), false),
        None => search(current, own),
    }
}

pub(super) const BY_DIR: &str = "the folder that --dir names";
pub(super) const BY_AAC_DIR: &str = "the folder that AAC_DIR names";

pub(super) fn in_folder(
    folder: &Folder,
    chosen_as: String,
    has_passed_over: bool,
) -> Result<Found> {
    let settings = Settings::load(folder)?;
    if !settings.project_id.is_empty() {
        return Ok(Found { settings, pair: Pair::File, chosen_as, has_passed_over });
    }
    // Whoever left one file unfilled probably left both: report them at once.
    let unfilled = settings.creds.with_file_name("client_id.txt");
    let mut files = vec![(Place::File(unfilled), settings.hosts.project_page())];
    let fields = credentials::placeholders(&settings.creds);
    if !fields.is_empty() {
        files.push((Place::File(settings.creds), settings.hosts.token_page()));
    }
    Err(Error::placeholders(&files, &fields))
}

/// The folder of this name.
fn named(path: &Path, current: &io::Result<PathBuf>) -> Result<Folder> {
    // Nothing can be found in one that was removed, though it is still there for this process.
    if let Err(error) = current
        && path.is_relative()
    {
        return Err(Error::no_current_folder(error));
    }
    // What may be seen from above may not be entered: its own entry tells.
    match fs::metadata(path.join(".")) {
        Ok(entry) if entry.is_dir() => Ok(Folder { path: path.to_owned(), trust: Trust::ByHand }),
        Err(error) if !path.is_file() => Err(Error::no_folder(path, &error)),
        // Windows takes file\. for the file.
        _ => Err(Error::not_a_folder(path)),
    }
}

/// The nearest folder with tokens, from the current folder upwards, and then the user's own. One with
/// placeholders alone is passed over, unless nothing else is found.
///
/// Only "not found" leads on. What else stands in the place of tokens may have been some, or become some in a
/// moment, and the next folder is another account's.
fn search(current: io::Result<PathBuf>, own: Option<PathBuf>) -> Result<Found> {
    let current = current.map_err(|error| Error::no_current_folder(&error))?;
    let (found, unfilled) = nearest(&current, own.as_deref())?;
    if let Some((folder, mut chosen_as)) = found {
        for (folder, _) in &unfilled {
            chosen_as +=
                &format!("; passed over: {}, which has placeholders alone", folder.path.display());
        }
        return in_folder(&folder, chosen_as, !unfilled.is_empty());
    }
    match unfilled.into_iter().next() {
        Some((folder, chosen_as)) => in_folder(&folder, chosen_as, false),
        None => Err(Error::no_creds(&current, own.as_deref())),
    }
}

/// A folder, and why it is used.
type Chosen = (Folder, String);

/// The folder where that search ends, and those with placeholders alone that come before it.
pub(super) fn nearest(current: &Path, own: Option<&Path>) -> Result<(Option<Chosen>, Vec<Chosen>)> {
    let above = current.ancestors().map(|path| (path, Trust::ByOwner));
    let places = above.chain(own.map(|path| (path, Trust::ByHand)));
    let mut unfilled = Vec::new();
    for (path, trust) in places {
        let creds = path.join("creds.json");
        let chosen_as = match trust {
            Trust::ByHand => OWN,
            Trust::ByOwner if path == current => "the current folder",
            Trust::ByOwner => "the nearest folder above the current one",
        };
        if !has_tokens(&creds).map_err(|error| Error::no_folder(path, &error))? {
            continue;
        }
        let chosen = (Folder { path: path.to_owned(), trust }, chosen_as.to_owned());
        match is_unfilled(path) {
            true => unfilled.push(chosen),
            false => return Ok((Some(chosen), unfilled)),
        }
    }
    Ok((None, unfilled))
}

pub(super) const OWN: &str = "your own folder";

/// Whether nobody has filled in the files of this folder. What cannot be read may have been.
fn is_unfilled(folder: &Path) -> bool {
    let creds = folder.join("creds.json");
    let is_unfilled = |name| match text::read(&folder.join(name)).and_then(|it| text::decode(&it)) {
        Ok(text) => is_untouched(&text),
        Err(problem) => matches!(problem, FileProblem::Missing),
    };
    has_saved_pair(&creds).is_ok_and(|is_saved| !is_saved)
        && is_shipped(&creds)
        && ["client_id.txt", "api_project_id.txt"].into_iter().all(is_unfilled)
}

/// Whether this creds.json has placeholders alone.
fn is_shipped(creds: &Path) -> bool {
    text::read(creds).is_ok_and(|bytes| credentials::is_unfilled(&bytes))
}

pub(super) const URL: &str = "AAC_URL";
pub(super) const ID: &str = "AAC_CLIENT_ID";

/// What the variables give in the place of the three files; none if they name no pair. The folder is the one that
/// `AAC_DIR` names.
fn given(
    variable: impl Fn(&str) -> Option<String>,
    folder: Option<&Folder>,
    own: Option<&Path>,
) -> Result<Option<Found>> {
    let unusable = |name, problem| Error::unusable(Place::Variable(name), problem);
    let (url, id) = (variable(URL), variable(ID));
    let (name, value) = match (variable(VAULT), variable(ACCESS_TOKEN)) {
        (Some(_), Some(_)) => return Err(Error::two_pairs(VAULT, ACCESS_TOKEN)),
        (Some(secret), None) => (VAULT, secret),
        (None, Some(token)) => (ACCESS_TOKEN, token),
        (None, None) => {
            let lone = url.map(|_| URL).or(id.map(|_| ID));
            return lone.map_or(Ok(None), |name| Err(Error::lone_variable(name)));
        }
    };
    if let Some(Folder { path, .. }) = folder {
        let creds = path.join("creds.json");
        let is_there = has_tokens(&creds).map_err(|error| Error::no_folder(path, &error))?;
        let is_saved = || has_saved_pair(&creds).unwrap_or(true);
        if is_there && (is_saved() || !is_shipped(&creds)) {
            return Err(Error::two_pairs(name, &creds.display().to_string()));
        }
    }
    let hosts = match (url, folder) {
        (Some(url), _) => Some(Hosts::parse(&url).map_err(|problem| unusable(URL, problem))?),
        (None, folder) => folder.map(Folder::hosts).transpose()?.flatten(),
    };
    let hosts = hosts.ok_or_else(|| Error::variable_needed(name, URL, "aac_url.txt"))?;
    let id = match (id, folder) {
        (Some(id), _) => {
            Some(check_project_id(id, &hosts).map_err(|problem| unusable(ID, problem))?)
        }
        (None, folder) => folder.map(|folder| folder.project_id(&hosts)).transpose()?.flatten(),
    };
    let id = id.filter(|id| !id.is_empty());
    let project_id = id.ok_or_else(|| Error::variable_needed(name, ID, "client_id.txt"))?;
    let base = folder.map(|folder| &*folder.path).or(own);
    let (pair, creds, chosen_as) = if name == ACCESS_TOKEN {
        let token = credentials::lone_access_token(&value, &hosts);
        let token = token.map_err(|problem| unusable(name, problem))?;
        (
            Pair::Token(token),
            base.unwrap_or(Path::new("")).to_owned(),
            "a variable of the environment",
        )
    } else if credentials::is_secret_path(&value) {
        let base = base.ok_or_else(Error::no_own_folder)?;
        let namespace = NAMESPACE.into_iter().find_map(variable).unwrap_or_default();
        let names = [&namespace, &value].map(|name| name.trim_matches('/'));
        let digest = Digest::of(names.join("\n").as_bytes()).to_string();
        // Beside a creds.json, its journal would be that pair's.
        let folder = base.join(format!("vault-{}", &digest[..32]));
        (Pair::Secret(value), folder, "what AAC_VAULT names")
    } else {
        return Err(unusable(name, FileProblem::not_a_path_of_variable()));
    };
    let creds = creds.join("creds.json");
    let settings = Settings { hosts, project_id, creds };
    Ok(Some(Found { settings, pair, chosen_as: chosen_as.to_owned(), has_passed_over: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
    use serde_json::json;
    use tempfile::TempDir;

    const PLACEHOLDERS: &str = r#"{
        "access_token": "Your access token here",
        "refresh_token": "Your refresh token here"
    }"#;
    const PAIR: &str = r#"{"access_token": "e30.e30.c2ln", "refresh_token": "secret"}"#;
    const POINTER: &str = r#"{"vault": "secret/data/aac"}"#;
    const US1: &str = "https://api.us1.alteryxcloud.com";
    const LOCAL: &str = "http://127.0.0.1:8080";

    /// The folders that may be found, the current one among them.
    struct World(TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for folder in ["dir", "aac_dir", "above/current", "config/aac"] {
                fs::create_dir_all(world.path(folder)).unwrap();
            }
            world
        }

        fn path(&self, name: &str) -> PathBuf {
            // With the separators of this system.
            self.0.path().join(name).components().collect()
        }

        fn put(&self, path: &str, content: impl AsRef<[u8]>) {
            fs::write(self.path(path), content).unwrap();
        }

        /// Puts three files there.
        fn put_files(&self, folder: &str, creds: &str, id: &str) {
            self.put(&format!("{folder}/creds.json"), creds);
            self.put(&format!("{folder}/client_id.txt"), id);
            self.put(&format!("{folder}/aac_url.txt"), US1);
        }

        fn find(&self, dir: Option<&str>, variables: &[(&str, &str)]) -> Result<Found> {
            let config = self.path("config").into_os_string();
            let variable = |name: &str| {
                let set = variables.iter().find(|(set, _)| *set == name);
                match (name, set) {
                    ("XDG_CONFIG_HOME" | "LOCALAPPDATA", None) => Some(config.clone()),
                    ("AAC_DIR", Some((_, dir))) => Some(self.path(dir).into()),
                    (_, set) => set.map(|(_, value)| value.into()),
                }
            };
            let dir = dir.map(|dir| self.path(dir));
            find(dir.as_deref(), Ok(self.path("above/current")), variable)
        }
    }

    #[test]
    fn the_first_place_with_tokens_wins() {
        const FOUND: [(&str, &str); 3] = [
            ("above/current", "the current folder"),
            ("above", "the nearest folder above the current one"),
            ("config/aac", "your own folder"),
        ];
        // 0: nothing there, 1: placeholders alone, 2: a pair.
        for state in 0..27 {
            let states = [state / 9, state / 3 % 3, state % 3];
            let world = World::new();
            for ((folder, _), state) in FOUND.iter().zip(states) {
                match state {
                    0 => {}
                    1 => world.put_files(folder, PLACEHOLDERS, "Your client id here"),
                    _ => world.put_files(folder, PAIR, "abcdefgh"),
                }
            }
            let found = world.find(None, &[]);
            let unfilled = states.iter().position(|state| *state == 1);
            match (states.iter().position(|state| *state == 2), unfilled) {
                (Some(first), unfilled) => {
                    let (folder, why) = FOUND[first];
                    let found = found.unwrap();
                    assert_eq!(found.settings.creds, world.path(folder).join("creds.json"));
                    assert!(found.chosen_as.starts_with(why), "{found:?}");
                    let is_passed = unfilled.is_some_and(|unfilled| unfilled < first);
                    assert_eq!(found.has_passed_over, is_passed, "{states:?}");
                    assert_eq!(found.chosen_as.contains("; passed over: "), is_passed);
                }
                (None, Some(unfilled)) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.starts_with("placeholders instead of your own"), "{error}");
                    let name = world.path(FOUND[unfilled].0).join("creds.json");
                    assert!(error.contains(name.to_str().unwrap()), "{error}");
                }
                (None, None) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.starts_with("no creds.json in "), "{error}");
                    assert!(error.ends_with(&world.path("config/aac").display().to_string()));
                }
            }
            // A folder that is named is the only one, whatever is in it.
            for creds in ["", PLACEHOLDERS, PAIR] {
                world.put_files("dir", creds, "abcdefgh");
                world.put_files("aac_dir", creds, "abcdefgh");
                for (dir, variables, folder, why) in [
                    (Some("dir"), &[][..], "dir", "the folder that --dir names"),
                    (
                        Some("dir"),
                        &[("AAC_DIR", "no such folder")],
                        "dir",
                        "the folder that --dir names",
                    ),
                    (None, &[("AAC_DIR", "aac_dir")], "aac_dir", "the folder that AAC_DIR names"),
                ] {
                    let found = world.find(dir, variables).unwrap();
                    assert_eq!(found.settings.creds, world.path(folder).join("creds.json"));
                    assert_eq!((&*found.chosen_as, found.has_passed_over), (why, false));
                }
            }
        }
    }

    #[test]
    fn only_a_folder_with_placeholders_alone_is_passed_over() {
        let utf16 = format!("\u{FEFF}{PLACEHOLDERS}").encode_utf16().collect::<Vec<_>>();
        let utf16: Vec<_> = utf16.into_iter().flat_map(u16::to_le_bytes).collect();
        let crlf = PLACEHOLDERS.replace('\n', "\r\n");
        let is_passed = |files: &[(&str, &str)]| {
            let world = World::new();
            world.put_files("config/aac", PAIR, "abcdefgh");
            world.put_files("above/current", PLACEHOLDERS, "Your client id here");
            for (name, content) in files {
                let path = format!("above/current/{name}");
                fs::remove_file(world.path(&path)).ok();
                match *content {
                    "utf16" => world.put(&path, &utf16),
                    "absent" => {}
                    "folder" => fs::create_dir(world.path(&path)).unwrap(),
                    content => world.put(&path, content),
                }
            }
            match world.find(None, &[]) {
                Ok(found) => found.settings.creds.starts_with(world.path("config")),
                Err(error) => {
                    let current = world.path("above").join("current");
                    assert!(error.to_string().contains(&current.display().to_string()), "{error}");
                    false
                }
            }
        };
        let (id, creds) = ("client_id.txt", "creds.json");
        for files in [
            &[][..],
            &[(id, "absent")],
            &[(id, "\r\n  YOUR client id HERE \r\n")],
            &[("api_project_id.txt", "Your api project id here")],
            &[("aac_url.txt", "absent")],
            &[(creds, "utf16")],
            &[(creds, &crlf)],
            // Nothing is there that could be passed over.
            &[(creds, "absent")],
            &[(creds, "absent"), (id, "abcdefgh")],
            // What a run leaves behind holds no pair.
            &[("creds.json.lock", ""), ("creds.json.spent", ""), ("creds.json.new", "half of")],
        ] {
            assert!(is_passed(files), "{files:?}");
        }
        let half = PLACEHOLDERS.replace("Your access token here", "e30.e30.c2ln");
        let beside = PLACEHOLDERS.replace("token here\"\n", "token heree30.e30.c2ln\"\n");
        let inside = PLACEHOLDERS.replace("access token", "e30.e30.c2ln");
        let twice = PLACEHOLDERS.replacen('{', r#"{"refresh_token": "secret","#, 1);
        let sealed = r#"{"sealed": {"v": 1, "by": "file", "data": "c2VhbGVk"}}"#;
        let more = PLACEHOLDERS.replacen('{', r#"{"sealed": {"v": 1},"#, 1);
        for files in [
            &[(id, "abcdefgh")][..],
            &[(id, "")],
            &[(id, "folder")],
            &[("api_project_id.txt", "abcdefgh")],
            &[(creds, "")],
            &[(creds, "{")],
            &[(creds, "{}")],
            &[(creds, "folder")],
            &[(creds, PAIR)],
            &[(creds, POINTER)],
            &[(creds, &half)],
            &[(creds, &beside)],
            &[(creds, &twice)],
            &[(creds, &inside)],
            &[(id, "Your abcdefgh here")],
            &[(creds, sealed)],
            &[(creds, &more)],
            &[(creds, r#"{"access_token": "Your access token here"}"#)],
            &[("creds.json.rotation", "")],
            &[("creds.json.rotation.old", "")],
            &[("creds.json.rotation.old.7", "")],
            &[(creds, "absent"), ("creds.json.rotation", "")],
            &[(creds, "absent"), ("creds.json.rotation.old.7", "")],
        ] {
            assert!(!is_passed(files), "{files:?}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_ends_the_search_where_it_leads_nowhere_or_to_placeholders_with_a_saved_pair() {
        for saved in [None, Some("dir/creds.json.rotation"), Some("dir/creds.json.rotation.old.7")]
        {
            let world = World::new();
            world.put_files("config/aac", PAIR, "abcdefgh");
            std::os::unix::fs::symlink("../dir/creds.json", world.path("above/creds.json"))
                .unwrap();
            if let Some(saved) = saved {
                world.put("dir/creds.json", PLACEHOLDERS);
                world.put(saved, "");
            }
            let error = world.find(None, &[]).unwrap_err().to_string();
            assert!(error.contains("above/"), "{saved:?}: {error}");
        }
    }

    #[test]
    fn a_file_with_a_name_of_its_own_is_told_wherever_it_may_be() {
        for folder in ["above", "config/aac"] {
            let world = World::new();
            world.put(&format!("{folder}/creds.json.txt"), PAIR);
            let error = world.find(None, &[]).unwrap_err();
            assert!(error.help().contains("a file called creds.json.txt"), "{}", error.help());
        }
    }

    fn at(token: &str) -> (&str, &str) {
        ("AAC_ACCESS_TOKEN", token)
    }

    fn token(iss: &str) -> String {
        format!("e30.{}.c2ln", BASE64URL.encode(json!({ "iss": iss }).to_string()))
    }

    #[test]
    fn variables_stand_for_files_all_or_none() {
        let (cloud, local) = (token("https://pingauth.alteryxcloud.com/as"), token(LOCAL));
        let elsewhere = token("https://pingauth-eu1.alteryxcloud.com/as");
        let unknown = token("https://issuer.example/as");
        let (vault, url, id) =
            (("AAC_VAULT", "secret/data/aac"), ("AAC_URL", US1), ("AAC_CLIENT_ID", "abcdefgh"));
        let (here, dir) = (("AAC_URL", LOCAL), ("AAC_DIR", "aac_dir"));
        // What the folder of AAC_DIR holds, the variables, and what is chosen, or the words of the error.
        for (creds, variables, expected) in [
            ("", &[vault, url, id][..], Ok("AAC_VAULT")),
            ("", &[at(&cloud), url, id], Ok("AAC_ACCESS_TOKEN")),
            ("", &[at("opaque-token"), url, id], Ok("AAC_ACCESS_TOKEN")),
            ("", &[at(&local), here, id], Ok("AAC_ACCESS_TOKEN")),
            // The rest comes from the folder of AAC_DIR.
            (PLACEHOLDERS, &[vault, dir], Ok("AAC_VAULT")),
            ("absent", &[vault, dir], Ok("AAC_VAULT")),
            ("absent", &[at(&cloud), dir, ("AAC_URL", "")], Ok("AAC_ACCESS_TOKEN")),
            // A variable wins over the file that it stands for.
            ("absent", &[at(&local), dir, here], Ok("AAC_ACCESS_TOKEN")),
            ("absent", &[vault, dir, ("AAC_CLIENT_ID", "12345678")], Ok("AAC_VAULT")),
            // Never a choice between two accounts.
            (PAIR, &[vault, dir, url, id], Err("both AAC_VAULT and {creds} say")),
            (POINTER, &[vault, dir, url, id], Err("both AAC_VAULT and {creds} say")),
            ("", &[at(&cloud), dir, url, id], Err("both AAC_ACCESS_TOKEN and {creds} say")),
            ("{", &[at(&cloud), dir, url, id], Err("both AAC_ACCESS_TOKEN and {creds} say")),
            ("saved", &[at(&cloud), dir, url, id], Err("both AAC_ACCESS_TOKEN and {creds} say")),
            ("", &[vault, at(&cloud), url, id], Err("both AAC_VAULT and AAC_ACCESS_TOKEN say")),
            ("", &[vault, ("AAC_DIR", "gone"), url, id], Err("gone: no such folder")),
            // All that they stand for, or nothing.
            ("", &[url], Err("AAC_URL is set, and neither AAC_VAULT nor AAC_ACCESS_TOKEN is")),
            (PAIR, &[url, dir], Err("AAC_URL is set, and neither")),
            (PAIR, &[id, dir], Err("AAC_CLIENT_ID is set, and neither")),
            ("", &[vault, id], Err("AAC_VAULT is set, and AAC_URL is not")),
            (
                "",
                &[at(&cloud), id, ("AAC_URL", " ")],
                Err("AAC_ACCESS_TOKEN is set, and AAC_URL is not"),
            ),
            ("", &[vault, url], Err("AAC_VAULT is set, and AAC_CLIENT_ID is not")),
            (
                "",
                &[vault, url, ("AAC_CLIENT_ID", "Your client id here")],
                Err("and AAC_CLIENT_ID is not"),
            ),
            // A token goes where it belongs.
            (
                "",
                &[at("opaque-token"), here, id],
                Err("AAC_ACCESS_TOKEN: the access token was issued by"),
            ),
            ("", &[at(&cloud), here, id], Err("does not go to http://127.0.0.1:8080")),
            (
                "",
                &[at(&local), url, id],
                Err("issued by http://127.0.0.1:8080, and does not go to"),
            ),
            ("", &[at(&elsewhere), url, id], Err("issued by https://pingauth-eu1.")),
            (
                "",
                &[at(&unknown), url, id],
                Err("issued by https://issuer.example/as, and does not"),
            ),
            // What is wrong with a variable is told like what is wrong with a file.
            ("", &[vault, id, ("AAC_URL", "https://example.com")], Err("AAC_URL: not a host of")),
            (
                "",
                &[vault, url, ("AAC_CLIENT_ID", "two words")],
                Err("AAC_CLIENT_ID: spaces inside"),
            ),
            (
                "",
                &[("AAC_VAULT", "https://vault/v1"), url, id],
                Err("AAC_VAULT: not the path of a"),
            ),
            ("", &[("AAC_VAULT", "hvs.c2Vj/cmV0"), url, id], Err("AAC_VAULT: not the path of a")),
            (
                "",
                &[at("Bearer e30.e30.c2ln"), url, id],
                Err("AAC_ACCESS_TOKEN: \"access_token\" has"),
            ),
            ("", &[at("Your access token here"), url, id], Err("still has the placeholder")),
        ] {
            let world = World::new();
            // Neither counts beside a variable with a pair.
            world.put_files("above/current", PAIR, "of-current");
            world.put_files("config/aac", PAIR, "of-config");
            world.put_files("aac_dir", creds, "of-the-dir");
            if ["absent", "saved"].contains(&creds) {
                fs::remove_file(world.path("aac_dir/creds.json")).unwrap();
            }
            if creds == "saved" {
                world.put("aac_dir/creds.json.rotation", "");
            }
            let found = world.find(None, variables);
            let value = |name| variables.iter().find(|(set, _)| *set == name).map(|(_, it)| *it);
            match expected {
                Ok(name) => {
                    let Found { settings, pair, chosen_as, .. } = found.unwrap();
                    let of_vault = chosen_as == "what AAC_VAULT names";
                    assert_eq!(of_vault, name == "AAC_VAULT", "{chosen_as}");
                    assert_eq!(pair.place(&settings.creds), Place::Variable(name));
                    assert_eq!(
                        settings.hosts.api(),
                        value("AAC_URL").filter(|it| !it.is_empty()).unwrap_or(US1)
                    );
                    assert_eq!(settings.project_id, value("AAC_CLIENT_ID").unwrap_or("of-the-dir"));
                    let base = if value("AAC_DIR").is_some() { "aac_dir" } else { "config/aac" };
                    assert!(settings.creds.starts_with(world.path(base)), "{settings:?}");
                    let is_alone = settings.creds.parent() != Some(&world.path(base));
                    assert_eq!(is_alone, name == "AAC_VAULT", "{settings:?}");
                }
                Err(words) => {
                    let error = found.unwrap_err();
                    let creds = world.path("aac_dir").join("creds.json").display().to_string();
                    assert!(
                        error.to_string().contains(&words.replace("{creds}", &creds)),
                        "{error}"
                    );
                    assert!(!error.help().is_empty(), "{error}");
                }
            }
            // With --dir none of them is read.
            world.put_files("dir", PAIR, "of-the-flag");
            let found = world.find(Some("dir"), variables).unwrap();
            assert_eq!(found.settings.project_id, "of-the-flag");
        }
    }

    #[test]
    fn each_secret_has_a_folder_of_its_own() {
        let world = World::new();
        let creds = |path, namespace| {
            let namespace = [("BAO_NAMESPACE", ""), ("VAULT_NAMESPACE", namespace)];
            let others = [("AAC_VAULT", path), ("AAC_URL", US1), ("AAC_CLIENT_ID", "abcdefgh")];
            let variables: Vec<_> = namespace.into_iter().chain(others).collect();
            world.find(None, &variables).unwrap().settings.creds
        };
        let one = creds("secret/data/aac", "");
        let folder = one.parent().unwrap();
        assert_eq!(folder.parent(), Some(&*world.path("config").join("aac")));
        assert!(folder.file_name().unwrap().to_str().unwrap().starts_with("vault-"));
        assert!(!folder.exists(), "nothing is made before there is a lock");
        assert_eq!(one, creds("secret/data/aac", ""));
        assert_eq!(creds("secret/data/aac", "team"), creds("secret/data/aac", "team/"));
        for (path, namespace) in
            [("secret/data/b", ""), ("secret/data/aac", "team"), ("data/aac", "secret")]
        {
            assert_ne!(one, creds(path, namespace), "{path} {namespace}");
        }
    }
}
