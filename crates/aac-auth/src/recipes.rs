//! Whole programs, from the folder `examples` beside this crate's Cargo.toml. Each runs in the sandbox
//! as its first lines say.
//!
//! The smallest of all, and the one to copy first, is `get_workspace`.

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

/// A job, started and watched to its end, past the five minutes of a token.
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
