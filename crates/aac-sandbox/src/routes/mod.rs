//! The API behind the gateway. A module for each family of paths, a line here for each path.

mod echo;
mod list;
mod people;
mod person;
mod query;
mod workspaces;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::routing::{any, get};

use crate::authorization;
use crate::envelope::exception;
use crate::log::Note;
use crate::options::{Options, Paging};

/// Declares the paths once: method, path, what answers. From this come the router, and the list
/// of what there is.
macro_rules! paths {
    ($($method:ident $path:literal => $handler:expr;)+) => {
        /// Method and path, in lower case as axum has the methods.
        const PATHS: &[(&str, &str)] = &[$((stringify!($method), $path)),+];

        fn paths() -> Router<Arc<Tenant>> {
            Router::new()$(.route($path, $method($handler)))+
        }
    };
}

paths! {
    get "/iam/v1/workspaces/current" => workspaces::current;
    get "/iam/v1/workspaces/{id}/people" => people::list;
    get "/iam/v1/workspaces/{id}/admins" => people::admins;
    get "/iam/v1/people/{id}" => people::one;
    get "/v4/people/current" => people::current;
    any "/sandbox/echo" => echo::echo;
    any "/sandbox/echo/{*rest}" => echo::echo;
}

/// All paths of the API.
pub(crate) fn router(tenant: Tenant) -> Router {
    paths()
        .fallback(not_found)
        // To the platform, a method that a path does not have is a path that does not exist.
        .method_not_allowed_fallback(not_found)
        .with_state(Arc::new(tenant))
}

/// What the API is about.
#[derive(Debug)]
pub(crate) struct Tenant {
    users: usize,
    max_page: usize,
    paging: Paging,
    foreign_workspace: StatusCode,
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
            pages_turned: AtomicUsize::new(0),
        }
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
