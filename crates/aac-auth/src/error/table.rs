//! Errors as tables: what is wrong and what to do about it, side by side.

/// What is wrong with a file or a vault, and what to do about it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(super) message: String,
    pub(super) help: String,
}

/// Makes a function of each [`Problem`]: its name, the variant that it is, what is wrong, and what to do.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) => $variant:ident:
        $message:literal, $help:expr;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) -> Self {
            Self::$variant(Problem { message: format!($message), help: $help.into() })
        })*
    };
}

/// Makes a function of each [`Error`](crate::Error): its name, its kind, what happened, what to do, and
/// what else a program asks of it.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) => $kind:ident:
        $message:expr, $help:expr $(, $field:ident: $value:expr)*;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) -> Self {
            Self::new(ErrorKind::$kind, $message, $help).with(|_error| {
                $(_error.$field = $value;)*
            })
        })*
    };
}

pub(super) use {errors, problems};
