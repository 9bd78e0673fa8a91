//! Something that can be wrong with a file or a vault: its message and its cure, side by side.

use crate::error::place::Place;
use std::fmt;

/// What is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    message: String,
    help: Cure,
}

#[derive(Clone, Debug)]
pub(super) enum Cure {
    Text(String),
    /// It depends on where the problem is.
    At(fn(&Place) -> String),
}

impl From<&str> for Cure {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Problem {
    pub(super) fn new(message: String, help: impl Into<Cure>) -> Self {
        Self { message, help: help.into() }
    }

    pub(super) fn help(&self, place: &Place) -> String {
        match &self.help {
            Cure::Text(help) => help.clone(),
            Cure::At(help) => help(place),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Makes a function of each problem: its name, what is wrong, and what to do about it.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) =>
        $variant:ident($message:literal, $help:expr);)*) => {
        $($(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) -> Self {
            Self::$variant(Problem::new(format!($message), $help))
        })*
    };
}
pub(super) use problems;
