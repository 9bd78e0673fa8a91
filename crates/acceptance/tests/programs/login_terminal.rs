//! What `login` asks for at a terminal, and how the terminal is afterwards.

#![cfg(target_os = "linux")]

use aac_sandbox::{Options, RefreshTokens, Tokens};
use acceptance::{Case, Terminal, clean, have, program};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

const ACCESS: &str = "The access token";
const REFRESH: &str = "The refresh token";
const ENTER: &[u8] = b"\r";

/// `login` at a terminal, in a folder with an older pair.
struct Session {
    case: Case,
    /// Tokens that are not there yet.
    tokens: Tokens,
    terminal: Terminal,
    child: Child,
    settings: String,
}

impl Session {
    fn start(case: Case, term: &str, args: &[&str]) -> Option<Self> {
        let folder = case.folder.path().to_owned();
        Self::found_by(("AAC_DIR", &folder), case, term, args)
    }

    /// With a variable that leads to the folder.
    fn found_by(leads: (&str, &Path), case: Case, term: &str, args: &[&str]) -> Option<Self> {
        // Ctrl-C is for the programs whose terminal it is.
        if !have("setsid") {
            return None;
        }
        let tokens = case.sandbox.issue();
        let terminal = Terminal::open(80);
        let settings = terminal.settings();
        let mut command = clean("setsid");
        command.args(["--ctty", "env", &format!("TERM={term}")]).arg(program("login")).args(args);
        let child = terminal.start(command.env(leads.0, leads.1));
        Some(Self { case, tokens, terminal, child, settings })
    }

    fn tokens_alone() -> Option<Self> {
        Self::start(Case::fresh(Options::default()), "xterm", &["--tokens"])
    }

    /// Pastes or types this, once it is asked.
    #[track_caller]
    fn answers(&mut self, question: &str, keys: &[u8]) {
        self.terminal.says(question);
        self.terminal.says(": ");
        self.terminal.types(keys);
    }

    /// Waits for its end, and checks that it leaves the terminal as it was.
    #[track_caller]
    fn end(mut self) -> (Case, Tokens, ExitStatus, String) {
        let shown = self.terminal.read_to_end();
        let status = self.child.wait().unwrap();
        assert_eq!(self.terminal.settings(), self.settings, "{shown}");
        let count = |mark: &str| shown.matches(mark).count();
        assert_eq!(count("\x1b[?2004h"), count("\x1b[?2004l"), "{shown}");
        (self.case, self.tokens, status, shown)
    }

    /// The same, and that it has shown no token.
    #[track_caller]
    fn hides(self) -> (Case, Tokens, ExitStatus, String) {
        let ended = self.end();
        let (_, tokens, _, shown) = &ended;
        for token in [&tokens.access_token, &tokens.refresh_token] {
            for part in token.as_bytes().windows(12) {
                assert!(!shown.contains(str::from_utf8(part).unwrap()), "{shown}");
            }
        }
        ended
    }

    /// The same, and that the new pair is in place.
    #[track_caller]
    fn succeeds(self, what: &str) -> String {
        let (case, tokens, status, shown) = self.hides();
        Self::is_in_place(&case, &tokens, status, what, &shown);
        shown
    }

    #[track_caller]
    fn is_in_place(case: &Case, tokens: &Tokens, status: ExitStatus, what: &str, shown: &str) {
        assert!(status.success(), "{what}: {shown}");
        let creds: Value = serde_json::from_slice(&fs::read(case.creds()).unwrap()).unwrap();
        assert_eq!(creds["access_token"], tokens.access_token, "{what}: {shown}");
        assert_eq!(creds["refresh_token"], tokens.refresh_token, "{what}: {shown}");
    }
}

/// All files but the lock, which stays where it was once taken.
fn contents(case: &Case) -> Vec<(String, Vec<u8>)> {
    let names = case.names().into_iter().filter(|name| name != "creds.json.lock");
    names.map(|name| (name.clone(), fs::read(case.path(&name)).unwrap())).collect()
}

#[test]
fn a_paste_of_any_size_and_form_arrives_whole() {
    let long = "w ".repeat(9000);
    let cases: Vec<_> = [false, true]
        .into_iter()
        .flat_map(|has_brackets| ["\r", "\n", "\r\n"].map(|end| (has_brackets, end)))
        .zip([20_000, 4096, 4095, 1023, 997, 61])
        .collect();
    for ((has_brackets, end), size) in cases {
        let Some(mut session) = Session::tokens_alone() else { return };
        let Tokens { access_token, refresh_token, .. } = &session.tokens;
        // With line breaks in the tokens, and much between them.
        let broken = |token: &str| format!("{}{end}  {}", &token[..99], &token[99..]);
        let fields = [
            ("access_token", broken(access_token)),
            ("x", long.clone()),
            ("refresh_token", broken(refresh_token)),
        ];
        let fields = fields.map(|(name, value)| format!("  \"{name}\": \"{value}\""));
        let text = format!("{{{end}{}{end}}}{end}", fields.join(&format!(",{end}{end}")));
        let text = if has_brackets { format!("\x1b[200~{text}\x1b[201~") } else { text };
        assert!(text.len() >= 18_000);
        session.answers(ACCESS, b"");
        let mut rest = &*text;
        if has_brackets {
            // Enter and a pause are the end of what is typed, but not of a paste.
            let (line, behind) = text.split_at(text.find("  \"x\"").unwrap());
            session.terminal.types(line.as_bytes());
            thread::sleep(Duration::from_millis(400));
            rest = behind;
        }
        for (index, piece) in rest.as_bytes().chunks(size).enumerate() {
            session.terminal.types(piece);
            // Within a line, however slow this machine is.
            if index % 40 == 1 && !piece.ends_with(b"\r") && !piece.ends_with(b"\n") {
                thread::sleep(Duration::from_millis(150));
            }
        }
        if has_brackets {
            session.terminal.types(ENTER);
        }
        let shown = session.succeeds(&format!("{has_brackets} {end:?} {size}"));
        assert!(!shown.contains("w w w"), "{shown}");
        assert!(!has_brackets || !shown.contains(REFRESH), "it is one answer: {shown}");
    }
}

#[test]
fn one_is_asked_for_after_the_other_and_keys_take_back() {
    let Some(mut session) = Session::tokens_alone() else { return };
    let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
    session.answers(ACCESS, ENTER);
    session.terminal.says("nothing was pasted");
    // Cut: it may go on, until Enter comes once more.
    session.answers(ACCESS, &[&access_token.as_bytes()[..1000], ENTER].concat());
    session.terminal.says("not a whole token");
    session.terminal.types(ENTER);
    session.terminal.says("was not pasted whole");
    // Or it goes on.
    session.answers(ACCESS, &[&refresh_token.as_bytes()[..300], ENTER].concat());
    session.terminal.says("not a whole token");
    session.terminal.types(&[&refresh_token.as_bytes()[300..], ENTER].concat());
    session.terminal.says("Refresh token: ");
    // Ctrl-U, Ctrl-Z, Ctrl-\, an arrow, F1, Escape, and three characters that are taken back.
    let keys = [
        b"nonsense\x15\x1a\x1c\x1b[D\x1bOP",
        access_token.as_bytes(),
        "aé€\x7f\x08\x7f".as_bytes(),
        ENTER,
    ];
    session.answers(ACCESS, &keys.concat());
    let shown = session.succeeds("keys");
    assert!(shown.contains("valid for "), "{shown}");
}

#[test]
fn what_was_cut_is_replaced_by_the_whole_token_and_ends_with_ctrl_d() {
    const AGAIN: &str = "not a whole token";
    let Some(mut session) = Session::tokens_alone() else { return };
    let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
    session.answers(ACCESS, format!("{}\r", &access_token[..500]).as_bytes());
    session.answers(AGAIN, format!("{access_token}\r").as_bytes());
    session.answers(REFRESH, format!("{}\r", &refresh_token[..100]).as_bytes());
    // By itself, this could be an opaque token.
    session.answers(AGAIN, format!("{}\r", &refresh_token[100..200]).as_bytes());
    thread::sleep(Duration::from_millis(400));
    session.terminal.types(format!("{refresh_token}\r").as_bytes());
    session.succeeds("replaced");

    let Some(mut session) = Session::tokens_alone() else { return };
    let half = session.tokens.access_token[..500].to_owned();
    session.answers(ACCESS, format!("{half}\r").as_bytes());
    session.answers(AGAIN, b"\x04");
    let (.., status, shown) = session.hides();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(shown.contains("unexpected end of file"), "{shown}");
}

#[test]
fn what_is_wrong_with_an_answer_is_told_by_the_name_of_its_question() {
    let Some(mut session) = Session::start(Case::fresh(Options::default()), "xterm", &[]) else {
        return;
    };
    session.answers("Region, or", b"https://example.com\r");
    session.terminal.says("login: Region: not a host of Alteryx Cloud's API");
    session.answers("Region, or", ENTER);
    session.answers("Its Client ID", b"Your client id here\r");
    session.terminal.says("login: Client ID: the API project ID is needed");
    session.answers("Its Client ID", b"abc\r");
    session.terminal.says("login: Client ID: too short");
    session.answers("Its Client ID", b"eyJub25lIjoxfQ\r");
    session.terminal.says("login: Client ID: a token (a JWT), not the ID of an API project");
    session.terminal.says("The tokens come later");
    session.answers("Its Client ID", b"\x04");
    let (.., shown) = session.hides();
    for words in ["--url", "--client-id", "a link"] {
        assert!(!shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn an_opaque_refresh_token_is_known_by_its_question() {
    let options = Options { refresh_tokens: RefreshTokens::Opaque, ..Options::default() };
    let Some(mut session) = Session::start(Case::fresh(options), "xterm", &["--tokens"]) else {
        return;
    };
    let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
    session.answers(ACCESS, format!("Bearer {access_token}\r").as_bytes());
    session.answers(REFRESH, format!("\x1b[200~\"{refresh_token}\"\x1b[201~\r").as_bytes());
    session.succeeds("opaque");
}

#[test]
fn a_dumb_terminal_gets_no_escape_sequence() {
    for term in ["dumb", ""] {
        let case = Case::fresh(Options::default());
        let Some(mut session) = Session::start(case, term, &["--tokens"]) else { return };
        let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
        session.answers(ACCESS, format!("{refresh_token}\r{access_token}\r").as_bytes());
        let shown = session.succeeds(term);
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }
}

#[test]
fn whatever_ends_it_leaves_all_as_it_was() {
    let questions = ["Region", "Client ID", ACCESS, REFRESH];
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("end of input", 0)] {
        if acceptance::is_ignored(signal) {
            return;
        }
        for (place, question) in questions.into_iter().enumerate() {
            let Some(mut session) = Session::start(Case::fresh(Options::default()), "xterm", &[])
            else {
                return;
            };
            let before = contents(&session.case);
            for asked in &questions[..place] {
                let answer = if *asked == ACCESS {
                    session.tokens.access_token.clone()
                } else {
                    String::new()
                };
                session.answers(asked, &[answer.as_bytes(), ENTER].concat());
            }
            // In the middle of a token, too.
            let begun = if place < 2 || number == 0 {
                ""
            } else {
                &session.tokens.refresh_token.clone()[..50]
            };
            session.answers(question, begun.as_bytes());
            match signal {
                "INT" => session.terminal.types(b"\x03"),
                "end of input" => session.terminal.types(b"\x04"),
                signal => acceptance::kill(signal, session.child.id()),
            }
            let (case, _, status, shown) = session.hides();
            let ended = if number == 0 {
                status.code() != Some(0)
            } else {
                status.signal() == Some(number)
            };
            assert!(ended, "{signal} {question}: {status:?} {shown}");
            assert!(contents(&case) == before, "{signal} {question}: {:?}", case.names());
        }
    }
}

#[test]
fn what_is_typed_ahead_is_not_lost() {
    let case = Case::fresh(Options::default());
    let Some(mut session) = Session::start(case, "xterm", &[]) else { return };
    let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
    // What comes before a question is echoed by the terminal itself.
    session.terminal.types(format!("\r\r{access_token}\r{refresh_token}\r").as_bytes());
    let (case, tokens, status, shown) = session.end();
    Session::is_in_place(&case, &tokens, status, "typed ahead", &shown);
}

#[test]
fn where_nothing_keeps_a_key_a_person_may_have_plain_text() {
    for answer in ["y\r", "\r"] {
        let case = Case::fresh(Options::default());
        let home = tempfile::tempdir().unwrap();
        let url = case.sandbox.url().to_owned();
        let args =
            ["--url", &url, "--client-id", case.sandbox.project_id(), "--yes"].map(str::to_owned);
        let args = args.each_ref().map(String::as_str);
        let leads = ("XDG_CONFIG_HOME", home.path());
        let Some(mut session) = Session::found_by(leads, case, "xterm", &args) else { return };
        session.terminal.says("This machine has no store for keys (there is no Secret Service: ");
        let question = "). Keep the tokens as plain text, which only you can read? (y/n) [n]";
        session.answers(question, answer.as_bytes());
        let own = home.path().join("aac");
        if answer == "\r" {
            let (.., status, shown) = session.hides();
            assert_eq!(status.code(), Some(1), "{shown}");
            assert!(shown.contains("AAC_KEY_COMMAND") && !shown.contains(ACCESS), "{shown}");
            assert!(!own.exists());
            continue;
        }
        let Tokens { access_token, refresh_token, .. } = session.tokens.clone();
        session.answers(ACCESS, format!("{access_token} {refresh_token}\r").as_bytes());
        let (_, tokens, status, shown) = session.hides();
        assert!(status.success(), "{shown}");
        let creds: Value =
            serde_json::from_slice(&fs::read(own.join("creds.json")).unwrap()).unwrap();
        assert_eq!(creds["refresh_token"], tokens.refresh_token);
    }
}
