//! What programs call: the client, its requests, their responses, and the rows of lists.
//!
//! - A call: `request` builds it, with a `body`, `send` sends it, and `response` is what came.
//! - A list: `rows` asks for its pages, `list` finds the rows in one, `paging` decides which is the next.
//! - JSON: `json` reads it as a type of the program, `raw` leaves it as the server wrote it.
//! - The folder or the variables of a client: `places`.
//! - New tokens: `login` puts them in place, and asks `git` whether that is safe.
//! - The tokens: `status` describes them, and `leftovers` what stands beside them. `sealing` changes how
//!   they are kept.

pub(crate) mod body;
pub(crate) mod client;
mod git;
pub(crate) mod json;
mod leftovers;
pub(crate) mod list;
mod lock;
pub mod login;
pub(crate) mod paging;
mod places;
pub mod raw;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod rows;
pub(crate) mod sealing;
mod send;
pub(crate) mod status;
