//! Complete programs, from the folder `examples` beside this crate's Cargo.toml. The first lines of each
//! say how to run it in the sandbox.
//!
//! `get_workspace` is the smallest, and the one to copy first.

/// A POST with a JSON body.
///
/// ```no_run
#[doc = include_str!("../examples/post_json.rs")]
/// ```
pub mod post_json {}

/// All pages of a list.
///
/// ```no_run
#[doc = include_str!("../examples/all_pages.rs")]
/// ```
pub mod all_pages {}

/// A job, started and watched to its end, beyond the five minutes of a token.
///
/// ```no_run
#[doc = include_str!("../examples/run_job.rs")]
/// ```
pub mod run_job {}

/// Several threads, one client.
///
/// ```no_run
#[doc = include_str!("../examples/threads.rs")]
/// ```
pub mod threads {}
