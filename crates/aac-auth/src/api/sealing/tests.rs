use super::*;
use crate::ConnectionOptions;
use crate::config::settings::Hosts;
use crate::keys::tests::{again_as, assert_passes, in_session};
use crate::store::journal::Journal;
use crate::tokens::credentials::Credentials;
use crate::tokens::journal_format::Found;
use crate::tokens::sealed::Stored;
use std::process::Command;

/// {"iss": "https://pingauth.alteryxcloud.com/as", "client_id": "id"}
const ACCESS: &str =
    "e30.eyJpc3MiOiJodHRwczovL3BpbmdhdXRoLmFsdGVyeXhjbG91ZC5jb20vYXMiLCJjbGllbnRfaWQiOiJpZCJ9.s";

fn pair(refresh: &str) -> String {
    format!(
        "{{\n  \"access_token\": \"{ACCESS}\",\n  \"refresh_token\": \"secret-{refresh}\"\n}}\n"
    )
}

/// Whether a file has a token in it.
fn is_plain(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(7).any(|part| part == b"secret-")
}

/// A pair, one that was set aside, the journal of a refresh that was refused, and what else may lie there.
fn fill(folder: &Path) -> Files {
    for (name, text) in [
        ("aac_url.txt", "https://api.us1.alteryxcloud.com"),
        ("client_id.txt", "abcdefgh"),
        ("creds.json", &pair("first")),
        ("creds.json.damaged", pair("damaged").trim_end_matches(['\n', '}'])),
        ("key", "0123456789abcdef0123456789abcdef"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let files = Files::of(&folder.join("creds.json"));
    let hosts = Hosts::parse("https://api.us1.alteryxcloud.com").unwrap();
    let begin = |refresh: &str| {
        let stored = Stored::plain(pair(refresh).into_bytes().into());
        let sent = Credentials::parse(stored, &hosts).unwrap();
        // Other tests start programs, which have it open for a moment.
        let lock = lock(&files).unwrap();
        Journal::begin(&lock, &sent).unwrap().unwrap()
    };
    begin("first").record(pair("aside").as_bytes()).unwrap();
    files.set_journal_aside().unwrap();
    fs::write(&files.creds, pair("now")).unwrap();
    let page = Place::from(&files.creds);
    let refused = Error::tokens_refused("", "no".to_owned(), &page, "", None);
    begin("now").note(&refused, false, None).unwrap();
    fs::write(files.next(), pair("new")).unwrap();
    files
}

/// What may be sealed in a file: all of it, or the places of a journal.
fn contents(files: &Files, path: &Path) -> Vec<Zeroizing<Vec<u8>>> {
    let Ok(raw) = files.read(path) else { return Vec::new() };
    match Found::parse(&raw) {
        Ok(Some(found)) => found.response.into_iter().chain(found.creds).collect(),
        _ => vec![raw],
    }
}

fn open(folder: &Path) -> Client {
    let options = ConnectionOptions { dir: Some(folder.to_owned()), ..Default::default() };
    Client::open(&options, "test/1.0").unwrap()
}

/// Runs [`inside`] in a process of its own.
fn again(folder: &Path, part: &str) -> Command {
    let mut command = again_as(&[], INSIDE, part);
    command.env("AAC_TESTED", folder).env("AAC_KEY_FILE", folder.join("key")).current_dir(folder);
    command
}

const INSIDE: &str = "api::sealing::tests::inside";

#[test]
fn inside() {
    let folder = PathBuf::from(env::var_os("AAC_TESTED").unwrap_or_default());
    match &*env::var("AAC_TESTED_PART").unwrap_or_default() {
        "there and back" => there_and_back(&folder),
        "seal" => drop(open(&folder).turn_over(Form::Sealed, &mut |_| Ok(true)).unwrap()),
        "after a kill" => {
            let status = open(&folder).token_status();
            assert_eq!(status.state.as_str(), "refused", "{:?}", status.problem);
            let all = status.leftovers.iter().map(|left| &*left.meaning).collect::<String>();
            assert!(all.contains("because creds.json had others"), "{all}");
            open(&folder).turn_over(Form::Sealed, &mut |_| Ok(true)).unwrap();
            let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let plain: Vec<_> = entries.filter(|path| is_plain(path)).collect();
            assert_eq!(plain, [folder.join("creds.json.damaged")]);
        }
        "no key" => {
            let status = open(&folder).token_status();
            assert_eq!((status.state.as_str(), status.form), ("sealed", Some(Form::Sealed)));
            assert_eq!(status.keeper, Some("file"));
            let problem = status.problem.unwrap();
            let words =
                "creds.json: sealed, and AAC_KEY_FILE has another key; your tokens are unchanged";
            assert!(problem.to_string().ends_with(words), "{problem}");
            assert_eq!(problem.exit_code(), 1);
            assert!(status.leftovers.iter().any(|it| it.path.ends_with("creds.json.rotation.old")));
            for form in [Form::Plain, Form::Sealed] {
                let error = open(&folder).turn_over(form, &mut |_| Ok(true)).unwrap_err();
                assert_eq!(error.to_string(), problem.to_string());
            }
        }
        "service" => {
            let turned = open(&folder).turn_over(Form::Sealed, &mut |_| Ok(true)).unwrap();
            assert_eq!(turned.keeper.as_deref(), Some("the Secret Service"));
            let status = open(&folder).token_status();
            assert_eq!((status.keeper, status.state.as_str()), (Some("secret-service"), "refused"));
        }
        _ => {}
    }
}

fn there_and_back(folder: &Path) {
    let creds = folder.join("creds.json");
    let files = Files::of(&creds);
    let names =
        [files.journal.clone(), files.journal.with_extension("rotation.old"), creds.clone()];
    // By another name than its files are found by.
    let client = open(Path::new("."));
    let told = || {
        let status = open(folder).token_status();
        let left = status.leftovers.into_iter().filter(|it| !it.path.ends_with("creds.json.new"));
        (status.state, status.person, left.collect::<Vec<_>>())
    };
    let found = || names.clone().map(|path| contents(&files, &path));
    let (before, told_before) = (found(), told());
    assert!(names.iter().all(|path| is_plain(path)), "{names:?}");

    // It is no folder of the user's own.
    let turn = |form, answer: bool| {
        let mut asked = 0;
        let turned = client.turn_over(form, &mut |_| {
            asked += 1;
            Ok(answer)
        });
        (turned, asked)
    };
    let (declined, _) = turn(Form::Sealed, false);
    assert!(declined.unwrap_err().to_string().contains("the one for bash empties it. Seal "));
    assert_eq!(found(), before);

    // A program that takes no lock is about to write it.
    let raw = fs::read(&creds).unwrap();
    for half in [&raw[..0], &raw[..raw.len() / 2]] {
        fs::write(&creds, &raw).unwrap();
        let emptied = client.turn_over(Form::Sealed, &mut |_| {
            fs::write(&creds, half).unwrap();
            Ok(true)
        });
        assert!(emptied.is_err() && fs::read(&creds).unwrap() == half, "{emptied:?}");
    }
    fs::write(&creds, raw).unwrap();
    turn(Form::Plain, true).0.unwrap();
    assert_eq!(found(), before);

    let (turned, asked) = turn(Form::Sealed, true);
    let turned = turned.unwrap();
    assert_eq!((turned.files.as_slice(), asked), (&names[..], 1));
    assert_eq!(turned.keeper.as_deref(), Some("AAC_KEY_FILE"));
    assert!(!turned.to_string().contains("creds.json as well"), "{turned}");
    let left: Vec<_> = turned.left.iter().map(|left| left.path.clone()).collect();
    assert_eq!(left, [folder.join("creds.json.damaged")]);
    assert!(turned.to_string().contains("creds.json.damaged stays as it is: "), "{turned}");
    let plain = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let plain: Vec<_> = plain.filter(|path| is_plain(path)).collect();
    assert_eq!(plain, left, "what is left behind has no token");
    assert_eq!(told(), told_before);

    let sealed = found();
    let (turned, asked) = turn(Form::Sealed, true);
    assert_eq!((turned.unwrap().files.len(), asked), (0, 0), "it is done already");
    assert_eq!(found(), sealed);

    // Stopped after one of them: the rest follows.
    let journal = fs::read(&files.journal).unwrap();
    turn(Form::Plain, true).0.unwrap();
    assert_eq!(found(), before);
    fs::write(&files.journal, journal).unwrap();
    assert_eq!(told(), told_before);
    assert_eq!(turn(Form::Plain, true).0.unwrap().files, std::slice::from_ref(&files.journal));
    assert_eq!(found(), before);
    turn(Form::Sealed, true).0.unwrap();
}

#[test]
fn all_that_lies_beside_is_turned_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fill(path);
    assert_passes(&mut again(path, "there and back"));
    fs::write(path.join("other"), "another key of 16 bytes").unwrap();
    assert_passes(again(path, "no key").env("AAC_KEY_FILE", path.join("other")));
}

#[test]
fn the_secret_service_keeps_a_key() {
    let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    if let Some(mut service) = in_session(home.path(), "", INSIDE, "service") {
        assert_passes(service.env("AAC_TESTED", folder.path()));
    }
}

/// Killed before each call that changes a file.
#[test]
fn whatever_it_is_stopped_at_all_can_be_read_and_turned_over() {
    // It succeeded, and its calls by name.
    let run = |what: &str| {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let trace = folder.path().join("trace");
        let words = ["strace", "-f", "-qq", "-o", trace.to_str()?, "-e", what];
        let mut seal = again_as(&words, INSIDE, "seal");
        seal.env("AAC_TESTED", folder.path()).env("AAC_KEY_FILE", folder.path().join("key"));
        let is_whole = seal.output().ok()?.status.success();
        let traced = fs::read_to_string(&trace).ok()?;
        let calls = traced.lines().filter_map(|line| line.split_once('('));
        let names =
            calls.filter_map(|(call, _)| Some(call.split_whitespace().next_back()?.to_owned()));
        let names: Vec<_> = names.collect();
        fs::remove_file(trace).unwrap();
        Some((folder, is_whole, names))
    };
    let Some((_, true, names)) = run("trace=/^(fsync|fdatasync|rename|unlink|link|fchmod)") else {
        eprintln!("skipped: strace is not installed, or may not trace");
        return;
    };
    assert!(names.len() > 15, "{names:?}");
    std::thread::scope(|scope| {
        for (place, name) in names.iter().enumerate() {
            let nth = names[..=place].iter().filter(|it| *it == name).count();
            let run = &run;
            scope.spawn(move || {
                let (folder, is_whole, _) =
                    run(&format!("inject={name}:signal=KILL:when={nth}")).unwrap();
                assert!(!is_whole, "{name} {nth}");
                assert_passes(&mut again(folder.path(), "after a kill"));
            });
        }
    });
}
