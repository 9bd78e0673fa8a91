//! HTTP as this crate wants it from ureq, and when to try again.

pub(crate) mod coding;
pub(crate) mod retry;
pub(crate) mod tcp;
pub(crate) mod transport;
