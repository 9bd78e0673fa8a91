//! What a program says when a signal ends it.
//!
//! A handler may interrupt anything, so it does not allocate or lock: the text is stored byte by byte in
//! static memory.

use crate::platform;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// The longest text, in bytes. A handler copies it, and may have a small stack.
const LONGEST: usize = 1024;

static TEXT: [AtomicU8; LONGEST] = [const { AtomicU8::new(0) }; LONGEST];
/// The length of the text; 0 if there is none.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Sets the text, cut to [`LONGEST`] bytes; an empty one removes it.
pub(crate) fn set(text: &str) {
    LENGTH.store(0, Release);
    let text = &text.as_bytes()[..text.len().min(LONGEST)];
    for (place, byte) in TEXT.iter().zip(text) {
        place.store(*byte, Relaxed);
    }
    LENGTH.store(text.len(), Release);
}

/// Says it once. May be called in a signal handler.
pub(crate) fn say() {
    let length = LENGTH.swap(0, AcqRel).min(LONGEST);
    let text: [u8; LONGEST] = std::array::from_fn(|index| TEXT[index].load(Acquire));
    if length > 0 {
        platform::write_stderr(&text[..length]);
    }
}
