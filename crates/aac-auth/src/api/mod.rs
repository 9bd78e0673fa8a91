//! What programs call: the client, its requests, their responses, and the rows of lists.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod json;
mod leftovers;
pub(crate) mod list;
pub(crate) mod paging;
pub mod raw;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod rows;
mod send;
pub(crate) mod status;
