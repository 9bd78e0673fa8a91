//! The server: connections, the way of a request through the layers, and the faults on it.

mod authorization;
pub(crate) mod gateway;
mod inject;
pub(crate) mod listener;
pub(crate) mod pipeline;
#[cfg(feature = "tls")]
pub(crate) mod tls;
