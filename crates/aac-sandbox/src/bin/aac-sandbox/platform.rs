//! Differences between operating systems: signals, exit codes, permissions.

pub(crate) use system::{Signals, exit_code, make_private};

#[cfg(unix)]
mod system {
    use std::fs::Permissions;
    use std::io;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;
    use std::task::{Context, Poll};

    use rustix::process::{Pid, kill_process};
    use tokio::signal::unix::{self, SignalKind, signal};

    /// The signals that ask the program to end. While this exists, they do not end it by default. In
    /// a command that it starts, they have their default effect again.
    #[derive(Debug)]
    pub(crate) struct Signals([(unix::Signal, Signal); 3]);

    impl Signals {
        pub(crate) fn listen() -> io::Result<Self> {
            use rustix::process::Signal as Number;
            Ok(Self([
                (signal(SignalKind::interrupt())?, Signal::Interrupt),
                (signal(SignalKind::terminate())?, Signal::Ours(Number::TERM)),
                (signal(SignalKind::hangup())?, Signal::Ours(Number::HUP)),
            ]))
        }

        /// The next one, once it arrives.
        pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
            let arrived = self.0.iter_mut().find_map(|(listener, signal)| {
                listener.poll_recv(context).is_ready().then_some(*signal)
            });
            arrived.map_or(Poll::Pending, Poll::Ready)
        }
    }

    /// A signal that arrived.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Signal {
        /// Ctrl-C, which the terminal sends to the command as well.
        Interrupt,
        /// A signal sent to this process alone.
        Ours(rustix::process::Signal),
    }

    impl Signal {
        /// Passes the signal on to a child, unless the child got it too.
        ///
        /// It must not have been waited for, so that no other process has its ID yet.
        pub(crate) fn pass_on(self, child: Option<u32>) {
            let pid = child.and_then(|id| Pid::from_raw(id.cast_signed()));
            if let (Self::Ours(signal), Some(pid)) = (self, pid) {
                // This fails if the child has just ended.
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// The exit code of a command; 128 + n if signal n ended it, as in a shell.
    pub(crate) fn exit_code(status: ExitStatus) -> i32 {
        status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1)
    }

    /// Makes a folder that only its owner can enter.
    pub(crate) fn make_private(builder: &mut tempfile::Builder<'_, '_>) {
        builder.permissions(Permissions::from_mode(0o700));
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use std::process::ExitStatus;
    use std::task::{Context, Poll};

    use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

    /// The console events that ask the program to end. While this exists, they do not end it by
    /// default.
    #[derive(Debug)]
    pub(crate) struct Signals {
        ctrl_c: CtrlC,
        ctrl_break: CtrlBreak,
    }

    impl Signals {
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self { ctrl_c: ctrl_c()?, ctrl_break: ctrl_break()? })
        }

        /// The next one, once it arrives.
        pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
            match self.ctrl_c.poll_recv(context) {
                Poll::Pending => self.ctrl_break.poll_recv(context).map(|_| Signal),
                Poll::Ready(_) => Poll::Ready(Signal),
            }
        }
    }

    /// An event that arrived.
    #[derive(Debug)]
    pub(crate) struct Signal;

    impl Signal {
        /// Does nothing: the console notifies each of its processes.
        pub(crate) fn pass_on(self, _child: Option<u32>) {}
    }

    /// The exit code of a command.
    pub(crate) fn exit_code(status: ExitStatus) -> i32 {
        status.code().unwrap_or(1)
    }

    /// Does nothing: a user's temporary folder is private already.
    pub(crate) fn make_private(_builder: &mut tempfile::Builder<'_, '_>) {}
}
