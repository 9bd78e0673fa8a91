//! The console events of Windows, for tests.

use std::io;
use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, CTRL_C_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    SetConsoleCtrlHandler,
};

/// `CREATE_NO_WINDOW`: the program gets a console of its own, which nobody sees.
pub const OWN_CONSOLE: u32 = 0x0800_0000;

/// Sends Ctrl-C or Ctrl-Break to the programs on the console of this one. The calling process moves to
/// that console, so it does nothing else.
///
/// # Errors
///
/// There is no such console.
#[expect(unsafe_code, reason = "no safe interface sends console events")]
pub fn send_event(is_break: bool, id: u32) -> io::Result<()> {
    let event = if is_break { CTRL_BREAK_EVENT } else { CTRL_C_EVENT };
    // SAFETY: none of these takes a pointer, apart from the handler, and without one this process ignores
    // Ctrl-C.
    let is_sent = unsafe {
        FreeConsole();
        AttachConsole(id) != 0
            && SetConsoleCtrlHandler(None, 1) != 0
            && GenerateConsoleCtrlEvent(event, 0) != 0
    };
    if is_sent { Ok(()) } else { Err(io::Error::last_os_error()) }
}
