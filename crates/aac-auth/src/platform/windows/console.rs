//! Console events: Ctrl-C, Ctrl-Break, and the end of the window, the session or the system.

use crate::platform::signals;
use crate::platform::windows::terminal;
use std::process;
use std::thread;
use windows_sys::Win32::Foundation::STATUS_CONTROL_C_EXIT;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
    SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

/// Handles console events from now on. The system calls the handler on a thread of its own, so it may
/// do what any thread may.
#[expect(unsafe_code, reason = "no crate holds an event until some work is done")]
pub(crate) fn handle_signals() {
    // SAFETY: the handler has the type that the system expects, and exists as long as the program.
    // An event that cannot be handled cannot be held, so the result does not matter.
    unsafe { SetConsoleCtrlHandler(Some(on_event), 1) };
}

/// What the system calls (HandlerRoutine). After 0 it asks the next handler; the last one is its own, which
/// ends the program with `STATUS_CONTROL_C_EXIT`. Any other result says that the event has been handled.
#[expect(unsafe_code, reason = "the system's type for it is unsafe; nothing in it is")]
unsafe extern "system" fn on_event(event: u32) -> BOOL {
    let ends = match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT => signals::ends_program(number(event)),
        CTRL_CLOSE_EVENT | CTRL_LOGOFF_EVENT | CTRL_SHUTDOWN_EVENT => {
            while !signals::ends_program(number(event)) {
                // The system ends the program as soon as this returns. The program ends itself, and with
                // it this thread, once the pair is saved.
                thread::park();
            }
            true
        }
        _ => true,
    };
    if ends {
        terminal::restore();
    }
    BOOL::from(!ends)
}

/// An event as the number of a signal, which is never 0.
fn number(event: u32) -> i32 {
    event.cast_signed() + 1
}

/// Whether a person asks for the program's end.
pub(crate) fn is_interrupt(signal: i32) -> bool {
    [CTRL_C_EVENT, CTRL_BREAK_EVENT].map(number).contains(&signal)
}

/// Ends the program as the system's own handler does.
pub(crate) fn end_by(_signal: i32) {
    terminal::restore();
    process::exit(STATUS_CONTROL_C_EXIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::signals::SignalGuard;
    use std::env;
    use std::fs;
    use std::time::Duration;

    /// Calls the handler, as the system does.
    #[expect(unsafe_code, reason = "the system's type for it is unsafe")]
    fn send(event: u32) -> BOOL {
        // SAFETY: it has no requirements.
        unsafe { on_event(event) }
    }

    #[test]
    fn an_event_waits_until_the_pair_is_saved() {
        const NAME: &str = "AAC_TEST_SAVED";
        let module = module_path!().split_once("::").unwrap().1;
        let test = format!("{module}::an_event_waits_until_the_pair_is_saved");
        if let Some(saved) = env::var_os(NAME) {
            // In a process of its own, which ends here.
            let event = env::var("AAC_TEST_EVENT").unwrap().parse().unwrap();
            let guard = SignalGuard::new();
            let sender = thread::spawn(move || send(event));
            while !SignalGuard::is_pending() {
                thread::yield_now();
            }
            if event == CTRL_BREAK_EVENT {
                assert_eq!(sender.join().unwrap(), 1, "it is handled");
            } else {
                // Long enough for the handler to return, if it would.
                thread::sleep(Duration::from_millis(100));
                assert!(!sender.is_finished(), "the system would end the program");
            }
            fs::write(saved, "").unwrap();
            drop(guard);
            panic!("it goes on");
        }
        let folder = tempfile::tempdir().unwrap();
        for event in [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, CTRL_BREAK_EVENT] {
            let saved = folder.path().join(event.to_string());
            let mut run = acceptance::clean(env::current_exe().unwrap());
            run.args(["--exact", &test]).env(NAME, &saved).env("AAC_TEST_EVENT", event.to_string());
            let output = run.output().unwrap();
            assert_eq!(output.status.code(), Some(STATUS_CONTROL_C_EXIT), "{event}: {output:?}");
            assert!(saved.exists(), "{event}");
        }
    }

    #[test]
    fn outside_a_refresh_every_event_is_left_to_the_system() {
        const NAME: &str = "AAC_TEST_OUTSIDE";
        if env::var_os(NAME).is_some() {
            for event in 0..8 {
                assert_eq!(send(event), 0, "{event}");
            }
            return;
        }
        // In a process of its own: other tests hold events.
        let module = module_path!().split_once("::").unwrap().1;
        let test = format!("{module}::outside_a_refresh_every_event_is_left_to_the_system");
        let mut run = acceptance::clean(env::current_exe().unwrap());
        let output = run.args(["--exact", &test]).env(NAME, "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
