//! The raw bytes of a response: its head may be invalid HTTP, or wrong about the body.

use std::cell::RefCell;
use zeroize::Zeroizing;

/// How much of a response is kept, in bytes.
const MOST: usize = 256 * 1024;

thread_local! {
    /// ureq works on the thread that sends the request, and has nothing to hand this through.
    static KEPT: RefCell<Option<Zeroizing<Vec<u8>>>> = const { RefCell::new(None) };
}

/// Keeps the raw bytes that this thread receives, until dropped.
pub(crate) struct Kept(());

impl Kept {
    pub(crate) fn start() -> Self {
        KEPT.set(Some(Zeroizing::new(Vec::with_capacity(16 * 1024))));
        Self(())
    }

    /// The bytes received so far.
    pub(crate) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        KEPT.take().unwrap_or_default()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.set(None);
    }
}

/// Keeps these bytes, if this thread wants them.
pub(super) fn keep(bytes: &[u8]) {
    KEPT.with_borrow_mut(|kept| {
        if let Some(kept) = kept {
            let room = MOST.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    });
}
