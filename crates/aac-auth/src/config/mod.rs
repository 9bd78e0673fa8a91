//! The user's settings: the three files as editors leave them, the hosts, the options.

pub(crate) mod options;
pub(crate) mod settings;
pub(crate) mod text;
pub(crate) mod trust;
