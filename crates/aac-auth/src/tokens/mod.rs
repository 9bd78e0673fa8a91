//! A pair of tokens: its document, its claims, and secrets that cannot be printed.

pub(crate) mod claims;
pub(crate) mod credentials;
pub(crate) mod journal_format;
pub(crate) mod pasted;
pub(crate) mod sealed;
pub(crate) mod secret;
pub(crate) mod timestamp;
