//! A terminal's keys as they are typed, without an echo: for what nobody is to see.

pub use crate::platform::RawInput;
