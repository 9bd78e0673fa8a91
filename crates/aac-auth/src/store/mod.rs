//! Where a pair of tokens lives: the folder of creds.json, and what stands beside it.

pub(crate) mod folder;
pub(crate) mod journal;
pub(crate) mod spent;
