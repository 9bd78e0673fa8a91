//! What the API is about: people, plans and runs. There is no routing in here.

pub(crate) mod identity;
mod members;
pub(crate) mod package;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod runs;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::options::{Options, Paging};
use members::Members;
use plans::Plans;
use runs::Runs;

/// The workspace of the sandbox.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) max_page: usize,
    pub(crate) paging: Paging,
    pub(crate) package_size: usize,
    pub(crate) plan_runs: Runs,
    pub(crate) jobs: Runs,
    users: usize,
    plans: Mutex<Plans>,
    members: Mutex<Members>,
    /// How many pages of the list of people have been turned since it was started.
    pages_turned: AtomicUsize,
}

impl Workspace {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max_page: options.max_page,
            paging: options.paging,
            package_size: options.package_size,
            plan_runs: Runs::of_plans(options.run_time),
            jobs: Runs::of_jobs(options.run_time),
            users: options.users,
            plans: Mutex::default(),
            members: Mutex::default(),
            pages_turned: AtomicUsize::new(0),
        }
    }

    pub(crate) fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many people there are now.
    pub(crate) fn people(&self) -> usize {
        let turned = self.pages_turned.load(Ordering::Relaxed);
        match self.paging {
            Paging::Growing => self.users + turned,
            Paging::Shrinking => self.users.saturating_sub(turned),
            _ => self.users,
        }
    }

    /// Records a request for a page of the list of people. A request for offset 0 starts the list;
    /// each later one turns a page. Returns how many pages have been turned.
    pub(crate) fn turn_page(&self, offset: usize) -> usize {
        if offset == 0 {
            self.pages_turned.store(0, Ordering::Relaxed);
            return 0;
        }
        self.pages_turned.fetch_add(1, Ordering::Relaxed) + 1
    }
}
