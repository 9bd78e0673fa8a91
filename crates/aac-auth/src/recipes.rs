//! Complete programs, from the folder `examples` beside this crate's Cargo.toml. The first lines of each
//! say how to run it in the sandbox. A copy takes its name and version, in `--version` and in the `User-Agent`
//! header, from its own Cargo.toml.
//!
//! The program `get_workspace` is the smallest, and the one to copy first. To run a plan or a job and watch it, copy
//! or call `run_plan`. README.md of `aac-sandbox` says how to test your own program against the sandbox.

/// A change: a PATCH with a JSON body.
///
/// ```no_run
#[doc = include_str!("../examples/rename_plan.rs")]
/// ```
pub mod rename_plan {}

/// A POST with a JSON body, and a DELETE.
///
/// ```no_run
#[doc = include_str!("../examples/create_and_delete.rs")]
/// ```
pub mod create_and_delete {}

/// A download and an upload of any size.
///
/// ```no_run
#[doc = include_str!("../examples/copy_plan.rs")]
/// ```
pub mod copy_plan {}

/// All pages of a list.
///
/// ```no_run
#[doc = include_str!("../examples/all_pages.rs")]
/// ```
pub mod all_pages {}

/// A list as a CSV file for a spreadsheet.
///
/// ```no_run
#[doc = include_str!("../examples/spreadsheet.rs")]
/// ```
pub mod spreadsheet {}

/// A query on a list, rows of a type of the program's own, and a response that is not as expected.
///
/// ```no_run
#[doc = include_str!("../examples/failed_runs.rs")]
/// ```
pub mod failed_runs {}

/// An error by its kind.
///
/// ```no_run
#[doc = include_str!("../examples/find_plans.rs")]
/// ```
pub mod find_plans {}

/// A batch from a CSV file, with the feature `batch`.
#[cfg_attr(feature = "batch", doc = "```no_run")]
#[cfg_attr(not(feature = "batch"), doc = "```ignore")]
#[doc = include_str!("../examples/create_plans.rs")]
/// ```
pub mod create_plans {}
