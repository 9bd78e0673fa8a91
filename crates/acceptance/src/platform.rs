//! The console events of Windows, for tests.

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, CTRL_C_EVENT, FreeConsole, GenerateConsoleCtrlEvent,
    GetConsoleMode, INPUT_RECORD, INPUT_RECORD_0, KEY_EVENT, KEY_EVENT_RECORD, KEY_EVENT_RECORD_0,
    SetConsoleCtrlHandler, WriteConsoleInputW,
};
use windows_sys::core::BOOL;

/// `CREATE_NO_WINDOW`: the program gets a console of its own, which nobody sees.
pub const OWN_CONSOLE: u32 = 0x0800_0000;

/// Sends Ctrl-C or Ctrl-Break to the programs on the console of this one. The calling process moves to
/// that console, so it does nothing else.
///
/// # Errors
///
/// There is no such console.
#[expect(unsafe_code, reason = "no safe interface changes consoles")]
pub fn send_event(is_break: bool, id: u32) -> io::Result<()> {
    // SAFETY: neither takes a pointer.
    succeeded(unsafe {
        FreeConsole();
        AttachConsole(id)
    })?;
    send_event_here(is_break)
}

/// The same for the programs on the console of this one, which itself ignores Ctrl-C from now on.
///
/// # Errors
///
/// There is no console.
#[expect(unsafe_code, reason = "no safe interface sends console events")]
pub fn send_event_here(is_break: bool) -> io::Result<()> {
    let event = if is_break { CTRL_BREAK_EVENT } else { CTRL_C_EVENT };
    // SAFETY: without a handler, this process ignores Ctrl-C. The other takes no pointer.
    unsafe {
        succeeded(SetConsoleCtrlHandler(None, 1))?;
        succeeded(GenerateConsoleCtrlEvent(event, 0))
    }
}

/// How this console (`CONIN$`) is set: the bits of its mode.
///
/// # Errors
///
/// It is no console.
#[expect(unsafe_code, reason = "no safe interface reads the mode")]
pub fn console_mode(console: &File) -> io::Result<u32> {
    let mut mode = 0;
    // SAFETY: the handle is open, and the pointer leads to a variable of its type.
    succeeded(unsafe { GetConsoleMode(console.as_raw_handle(), &mut mode) })?;
    Ok(mode)
}

/// Types this on a console (`CONIN$`).
///
/// # Errors
///
/// It is no console.
#[expect(unsafe_code, reason = "no safe interface types on a console")]
pub fn types(console: &File, keys: &str) -> io::Result<()> {
    let event = |unit, is_down| INPUT_RECORD {
        EventType: KEY_EVENT as u16,
        Event: INPUT_RECORD_0 {
            KeyEvent: KEY_EVENT_RECORD {
                bKeyDown: is_down,
                wRepeatCount: 1,
                uChar: KEY_EVENT_RECORD_0 { UnicodeChar: unit },
                ..KEY_EVENT_RECORD::default()
            },
        },
    };
    let units: Vec<_> = keys.encode_utf16().collect();
    for units in units.chunks(1000) {
        let records: Vec<_> =
            units.iter().flat_map(|unit| [event(*unit, 1), event(*unit, 0)]).collect();
        let (length, mut written) = (records.len() as u32, 0);
        // SAFETY: the handle is open, there are as many records as it says, and they are only read.
        succeeded(unsafe {
            WriteConsoleInputW(console.as_raw_handle(), records.as_ptr(), length, &mut written)
        })?;
        assert_eq!(written, length);
    }
    Ok(())
}

fn succeeded(result: BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
