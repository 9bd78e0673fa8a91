//! A console without echo and without lines.

use crate::platform::signals::SignalGuard;
use std::io;
use std::iter;
use std::mem;
use std::os::windows::io::AsRawHandle;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use winapi_util::{HandleRef, console};
use windows_sys::Win32::Foundation::WAIT_TIMEOUT;
use windows_sys::Win32::System::Console::{
    ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT, ENABLE_VIRTUAL_TERMINAL_INPUT,
    FlushConsoleInputBuffer, INPUT_RECORD, KEY_EVENT, ReadConsoleInputW,
};
use windows_sys::Win32::System::Threading::WaitForSingleObject;
use windows_sys::Win32::UI::Input::KeyboardAndMouse::VK_MENU;

/// As it was, or [`NONE`].
static BEFORE: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = u32::MAX;
/// Nothing more has come, if nothing has come for so long.
const MOMENT: Duration = Duration::from_millis(200);

/// Standard input, a console that echoes nothing and gives each key as it comes, until this is dropped.
#[derive(Debug)]
pub struct RawInput(());

impl RawInput {
    /// Turns the echo off. No console marks where a paste begins and ends.
    ///
    /// # Errors
    ///
    /// Standard input is no console.
    pub fn open(_with_brackets: bool) -> io::Result<Self> {
        SignalGuard::prepare();
        // A terminal of Git Bash is a pipe, to which nobody can say that the echo is to be off.
        let before = console::mode(HandleRef::stdin()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "this terminal does not hide what is pasted; use PowerShell or cmd",
            )
        })?;
        let echo = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_VIRTUAL_TERMINAL_INPUT;
        // Ctrl-C stays an event.
        let raw = before & !echo | ENABLE_PROCESSED_INPUT;
        BEFORE.store(before, SeqCst);
        let input = Self(());
        console::set_mode(HandleRef::stdin(), raw)?;
        Ok(input)
    }

    /// Appends the keys that have come, in UTF-8, and returns how many bytes. After 200 ms without any it returns
    /// zero.
    ///
    /// # Errors
    ///
    /// The console is gone.
    #[expect(unsafe_code, reason = "no crate in the tree reads keys with a time limit")]
    pub fn read(&mut self, keys: &mut Vec<u8>) -> io::Result<usize> {
        let handle = io::stdin().as_raw_handle();
        let before = keys.len();
        let deadline = Instant::now() + MOMENT;
        while keys.len() == before {
            let left = deadline.saturating_duration_since(Instant::now());
            // SAFETY: the handle is that of standard input, which stays open. Zeroes are a valid value of the
            // records, and the call writes as many of them as it is told.
            let records = unsafe {
                if WaitForSingleObject(handle, left.as_millis().try_into().unwrap_or(0))
                    == WAIT_TIMEOUT
                {
                    return Ok(0);
                }
                let mut records: [INPUT_RECORD; 512] = mem::zeroed();
                let mut length = 0;
                super::succeeded(ReadConsoleInputW(
                    handle,
                    records.as_mut_ptr(),
                    512,
                    &mut length,
                ))?;
                records.into_iter().take(length as usize)
            };
            let units = records.flat_map(|record| {
                if u32::from(record.EventType) != KEY_EVENT {
                    return iter::repeat_n(0, 0);
                }
                // SAFETY: it is the event of a key, and any bits are a value of its fields.
                let (key, unit) =
                    unsafe { (record.Event.KeyEvent, record.Event.KeyEvent.uChar.UnicodeChar) };
                // A character that the keyboard does not have is pasted as Alt and its number, and comes as Alt
                // is released.
                let is_typed = key.bKeyDown != 0 || key.wVirtualKeyCode == VK_MENU;
                let times = if is_typed && unit != 0 { key.wRepeatCount } else { 0 };
                iter::repeat_n(unit, times.into())
            });
            let text: String = char::decode_utf16(units)
                .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            keys.extend_from_slice(zeroize::Zeroizing::new(text).as_bytes());
        }
        Ok(keys.len() - before)
    }
}

impl Drop for RawInput {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the console as it was, and drops what was not read: a shell would show it, and run it.
#[expect(unsafe_code, reason = "no crate in the tree drops what was not read")]
pub(super) fn restore() {
    let before = BEFORE.swap(NONE, SeqCst);
    if before != NONE {
        // SAFETY: it takes the handle of standard input, which stays open.
        unsafe { FlushConsoleInputBuffer(io::stdin().as_raw_handle()) };
        let _ = console::set_mode(HandleRef::stdin(), before);
    }
}
