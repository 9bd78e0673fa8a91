//! What a pair of tokens is: the document it stands in, its claims, and secrets that cannot be printed.

pub(crate) mod claims;
pub(crate) mod credentials;
pub(crate) mod journal_format;
pub(crate) mod secret;
