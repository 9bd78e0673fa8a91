//! Randomness for names and pauses: two programs must not choose the same one. It is no secret.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A random number, another one each time.
pub(crate) fn number() -> u64 {
    // The key of a hasher is random, and std has nothing else that is.
    RandomState::new().hash_one(0)
}

/// A random name of 16 hexadecimal digits.
pub(crate) fn name() -> String {
    format!("{:016x}", number())
}
