//! A terminal's keys as they are typed, without an echo: for input that nobody should see.

pub use crate::platform::RawInput;
