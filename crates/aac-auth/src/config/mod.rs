//! What the user has set: the three files as editors leave them, the hosts, the options.

pub(crate) mod options;
pub(crate) mod settings;
pub(crate) mod text;
