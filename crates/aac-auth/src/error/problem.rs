//! Something that can be wrong with a file or a vault: its message and its cure, side by side.

/// What is wrong, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(super) message: String,
    pub(super) help: String,
}

/// Makes a function of each problem: its name, what is wrong, and what to do about it.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) =>
        $variant:ident($message:literal, $help:expr);)*) => {
        $($(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) -> Self {
            Self::$variant(Problem { message: format!($message), help: $help.into() })
        })*
    };
}
pub(super) use problems;
