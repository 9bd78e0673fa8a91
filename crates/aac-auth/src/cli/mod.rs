//! What a program prints, and where it goes.

pub(crate) mod atomic_file;
pub(crate) mod output;
