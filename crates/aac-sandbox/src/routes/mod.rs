//! The API behind the gateway. A module for each family of paths, a line here for each path.

mod echo;
mod input;
mod list;
mod people;
mod person;
mod plans;
mod query;
mod runs;
mod workspaces;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::handler::Handler as _;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{any, delete, get, patch, post};
use axum::{Extension, Router};

use crate::authorization;
use crate::clock::Moment;
use crate::envelope::exception;
use crate::log::Note;
use crate::options::{Options, Paging};
use crate::quota::{self, Quota, Quotas};

/// Declares the paths once: method, path, what answers, and how often in a minute if that is
/// limited. From this come the router, and the list of what there is.
macro_rules! paths {
    ($($method:ident $path:literal => $handler:expr $(, $quota:expr)?;)+) => {
        /// Method and path, in lower case as axum has the methods.
        const PATHS: &[(&str, &str)] = &[$((stringify!($method), $path)),+];

        fn paths(tenant: &Arc<Tenant>) -> Router<Arc<Tenant>> {
            Router::new()$(.route(
                $path,
                $method($handler)
                    $(.route_layer(from_fn_with_state((Arc::clone(tenant), $quota), limit)))?,
            ))+
        }
    };
}

paths! {
    get "/iam/v1/workspaces/current" => workspaces::current;
    get "/iam/v1/workspaces/{id}/people" => people::list;
    get "/iam/v1/workspaces/{id}/admins" => people::admins;
    get "/iam/v1/people/{id}" => people::one;
    get "/plans/v1/plans" => plans::list;
    post "/plans/v1/plans" => plans::create;
    get "/plans/v1/plans/count" => plans::count;
    post "/plans/v1/plans/package" =>
        plans::import.layer(DefaultBodyLimit::disable()), quota::IMPORT_PLAN;
    get "/plans/v1/plans/{id}" => plans::one;
    patch "/plans/v1/plans/{id}" => plans::update;
    delete "/plans/v1/plans/{id}" => plans::delete;
    get "/plans/v1/plans/{id}/full" => plans::full;
    get "/plans/v1/plans/{id}/package" => plans::export, quota::EXPORT_PLAN;
    post "/plans/v1/plans/{id}/run" => plans::run, quota::RUN_PLAN;
    get "/plans/v1/planSnapshotRuns/{id}" => runs::plan_run;
    get "/v4/people/current" => people::current;
    post "/v4/jobGroups" => runs::run_job, quota::RUN_JOB;
    get "/v4/jobGroups/{id}" => runs::job;
    get "/v4/jobGroups/{id}/status" => runs::job_status;
    any "/sandbox/echo" => echo::echo;
    any "/sandbox/echo/{*rest}" => echo::echo;
}

/// The largest body of a request to a path that reads it as a whole, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// All paths of the API.
pub(crate) fn router(tenant: Tenant) -> Router {
    let tenant = Arc::new(tenant);
    paths(&tenant)
        .fallback(not_found)
        // To the platform, a method that a path does not have is a path that does not exist.
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(tenant)
}

/// What the API is about.
#[derive(Debug)]
pub(crate) struct Tenant {
    users: usize,
    max_page: usize,
    paging: Paging,
    foreign_workspace: StatusCode,
    package_size: u64,
    quotas: Mutex<Quotas>,
    plans: Mutex<plans::Plans>,
    plan_runs: runs::Runs,
    jobs: runs::Runs,
    /// Pages of the list of people beyond the first one, since it was begun.
    pages_turned: AtomicUsize,
}

impl Tenant {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            users: options.users,
            max_page: options.max_page,
            paging: options.paging,
            foreign_workspace: match options.foreign_workspace {
                403 => StatusCode::FORBIDDEN,
                _ => StatusCode::NOT_FOUND,
            },
            package_size: options.package_size,
            quotas: Mutex::default(),
            plans: Mutex::default(),
            plan_runs: runs::Runs::new(701, options.job_polls),
            jobs: runs::Runs::new(9, options.job_polls),
            pages_turned: AtomicUsize::new(0),
        }
    }

    fn plans(&self) -> MutexGuard<'_, plans::Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many people there are now.
    fn people(&self) -> usize {
        let turned = self.pages_turned.load(Ordering::Relaxed);
        match self.paging {
            Paging::Growing => self.users + turned,
            Paging::Shrinking => self.users.saturating_sub(turned),
            _ => self.users,
        }
    }
}

/// Answers no more calls in a minute than a quota allows, and says with each how it stands.
async fn limit(
    State((tenant, quota)): State<(Arc<Tenant>, &'static Quota)>,
    Extension(now): Extension<Moment>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let taken = tenant.quotas.lock().unwrap_or_else(PoisonError::into_inner).take(quota, now);
    match taken {
        Ok(standing) => standing.on(next.run(request).await),
        Err(standing) => standing.refuse(Some(quota), standing.wait(now)),
    }
}

/// What the platform says of a path that it does not have; the log says what it has.
async fn not_found(method: Method, uri: Uri, path: Option<MatchedPath>) -> Response<Body> {
    let note = match &path {
        Some(path) => {
            let methods = PATHS.iter().filter(|(_, known)| *known == path.as_str());
            let methods: Vec<_> = methods.map(|(method, _)| method.to_uppercase()).collect();
            format!("this path takes {}", methods.join(", "))
        }
        None => {
            let mut paths = vec![authorization::PATH];
            paths.extend(PATHS.iter().map(|(_, path)| path));
            paths.dedup();
            format!("the sandbox has {}", paths.join(", "))
        }
    };
    Note::on(no_route(&method, &uri), note)
}

/// The same for an id that is not a number.
fn no_number(method: &Method, uri: &Uri) -> Response<Body> {
    Note::on(no_route(method, uri), "an id is a number here".to_owned())
}

fn no_route(method: &Method, uri: &Uri) -> Response<Body> {
    let details = format!("Cannot {method} {}", uri.path());
    exception(
        StatusCode::NOT_FOUND,
        "RouteNotFoundException",
        "This route does not exist",
        Some(&details),
    )
}
