//! What can go wrong, and the text that asks for it. `server::inject` makes it happen.

mod fault;
mod kind;
mod queue;
mod target;

pub use fault::{Fault, FaultError};
pub use kind::FaultKind;
pub(crate) use queue::Queue;
pub use target::Target;
