//! HTTP on top of ureq, and when to retry.

pub(crate) mod coding;
pub(crate) mod envelope;
pub(crate) mod retry;
pub(crate) mod tcp;
pub(crate) mod transport;
