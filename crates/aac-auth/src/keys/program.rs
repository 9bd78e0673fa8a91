//! Asks a program: it may hang, print without end, or leave others behind.

use crate::config::options::ACCESS_TOKEN;
use crate::error::display::one_line;
use crate::keys::KeyProblem;
use crate::platform;
use crate::platform::signals::SignalGuard;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest answer, in bytes. More is no key.
pub(super) const LONGEST: usize = 4096;

/// How often a signal and the time are looked at.
const TICK: Duration = Duration::from_millis(20);

/// What a program has answered.
pub(super) struct Answer {
    pub(super) status: ExitStatus,
    pub(super) output: Zeroizing<Vec<u8>>,
    /// What it has said on standard error, on one line; empty if that was passed on.
    pub(super) said: String,
}

/// Why a program has not answered.
pub(super) enum Silence {
    NotStarted(io::Error),
    TooLong,
    Problem(KeyProblem),
}

/// A program that is to be asked. It does not get the user's token.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove(ACCESS_TOKEN);
    command
}

/// Runs a program, named `keeper` to the user, with this as its standard input. If it does not end within
/// `patience`, or a signal comes, it is ended with what it has started.
pub(super) fn ask(
    mut command: Command,
    keeper: &str,
    input: Option<&[u8]>,
    hears: bool,
    patience: Duration,
) -> Result<Answer, Silence> {
    // A signal waits until the program has ended, where signals are held at all.
    let _guard = SignalGuard::new();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped());
    command.stderr(if hears { Stdio::piped() } else { Stdio::inherit() });
    let (mut child, job) = platform::start(command).map_err(Silence::NotStarted)?;
    let (sender, receiver) = mpsc::channel();
    let mut streams: Vec<(bool, Box<dyn Read + Send>)> = Vec::new();
    streams.extend(child.stdout.take().map(|stream| (true, Box::new(stream) as _)));
    streams.extend(child.stderr.take().map(|stream| (false, Box::new(stream) as _)));
    let mut open = streams.len();
    for (is_output, stream) in streams {
        let sender = sender.clone();
        // It ends when nobody holds the other end any more.
        let reader = move || sender.send((is_output, read(stream)));
        if let Err(error) = thread::Builder::new().spawn(reader) {
            platform::end(&mut child, &job);
            return Err(Silence::NotStarted(error));
        }
    }
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A pipe takes this at once. Whoever does not read it fails otherwise.
        let _ = stdin.write_all(input);
    }
    let deadline = Instant::now() + patience;
    let (mut output, mut said) = (Zeroizing::new(Vec::new()), String::new());
    let silence = loop {
        let tick = if open == 0 { TICK / 20 } else { TICK };
        match receiver.recv_timeout(tick) {
            Ok((true, read)) if read.len() > LONGEST => break Silence::TooLong,
            Ok((true, read)) => (open, output) = (open - 1, read),
            Ok((false, read)) => {
                (open, said) = (open - 1, one_line(String::from_utf8_lossy(&read).trim()));
            }
            // The sender here is there still.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let has_ended = platform::has_ended(&mut child);
        if open == 0 && has_ended {
            let status = child.wait().map_err(Silence::NotStarted)?;
            return Ok(Answer { status, output, said });
        }
        if SignalGuard::is_pending() {
            break Silence::Problem(KeyProblem::stopped(keeper));
        }
        if Instant::now() >= deadline {
            break Silence::Problem(match has_ended {
                true => KeyProblem::left_open(keeper),
                false => KeyProblem::timed_out(keeper, patience.as_secs()),
            });
        }
    };
    platform::end(&mut child, &job);
    Err(silence)
}

/// Reads a little more than the longest answer, and no copy of it is left in memory.
fn read(stream: impl Read) -> Zeroizing<Vec<u8>> {
    let limit = LONGEST + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    // What came before a failure is judged by how the program ends.
    let _ = stream.take(limit as u64).read_to_end(&mut bytes);
    bytes
}
