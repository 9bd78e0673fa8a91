//! HTTP on top of ureq, and when to retry.

pub(crate) mod certificate;
pub(crate) mod coding;
pub(crate) mod connection;
pub(crate) mod envelope;
mod proxy;
pub(crate) mod retry;
pub(crate) mod transport;
