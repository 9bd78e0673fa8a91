//! How often in a minute a call may be made, and the headers by which the platform says so.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Response, StatusCode};

use crate::clock::Moment;
use crate::envelope::{exception, with_header};

/// How often in a minute a call may be made.
#[derive(Debug)]
pub(crate) struct Quota {
    /// What the platform calls it.
    name: &'static str,
    per_user: u64,
    per_workspace: u64,
}

/// `POST /v4/jobGroups`.
pub(crate) const RUN_JOB: &Quota = &Quota { name: "runJobGroup", per_user: 30, per_workspace: 60 };
/// `POST …/plans/{id}/run`.
pub(crate) const RUN_PLAN: &Quota = &Quota { name: "runPlan", per_user: 30, per_workspace: 60 };
/// `GET …/plans/{id}/package`.
pub(crate) const EXPORT_PLAN: &Quota =
    &Quota { name: "getPlanPackage", per_user: 20, per_workspace: 40 };
/// `POST …/plans/package`.
pub(crate) const IMPORT_PLAN: &Quota =
    &Quota { name: "importPlanPackage", per_user: 20, per_workspace: 40 };

/// What of the quotas is used up.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<&'static str, Minute>);

/// A minute, which begins with the first call in it.
#[derive(Debug)]
struct Minute {
    begin: Moment,
    calls: u64,
}

impl Quotas {
    /// Counts a call; an error if it is one too many.
    pub(crate) fn take(&mut self, quota: &Quota, now: Moment) -> Result<Standing, Standing> {
        const MINUTE: i64 = 60_000;
        let minute = self.0.entry(quota.name).or_insert(Minute { begin: now, calls: 0 });
        // The clock of a sandbox can be turned back.
        if !(0..MINUTE).contains(&(now.millis - minute.begin.millis)) {
            *minute = Minute { begin: now, calls: 0 };
        }
        // The sandbox has one user, so that the quota of the workspace is never the first to end.
        let accepted = minute.calls < quota.per_user;
        minute.calls += u64::from(accepted);
        let standing = Standing {
            user: (quota.per_user, quota.per_user - minute.calls),
            workspace: (quota.per_workspace, quota.per_workspace - minute.calls),
            reset: Moment { millis: minute.begin.millis + MINUTE },
        };
        if accepted { Ok(standing) } else { Err(standing) }
    }
}

/// How a quota stands: limits and what is left of them.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) user: (u64, u64),
    pub(crate) workspace: (u64, u64),
    pub(crate) reset: Moment,
}

impl Standing {
    /// Adds the headers to an answer.
    pub(crate) fn on(&self, mut response: Response<Body>) -> Response<Body> {
        // The documented examples have milliseconds here, though the text says seconds.
        let reset = self.reset.millis;
        for (name, value) in [
            ("x-rate-limit-user-limit", self.user.0),
            ("x-rate-limit-user-remaining", self.user.1),
            ("x-rate-limit-workspace-limit", self.workspace.0),
            ("x-rate-limit-workspace-remaining", self.workspace.1),
        ] {
            response = with_header(response, name, value);
        }
        response = with_header(response, "x-rate-limit-user-reset", reset);
        with_header(response, "x-rate-limit-workspace-reset", reset)
    }

    /// How many seconds are left until calls are accepted again, the one that has begun included.
    pub(crate) fn wait(&self, now: Moment) -> u64 {
        self.reset.millis.abs_diff(now.millis).div_ceil(1000)
    }

    /// What the platform says of a call beyond a quota, or beyond one that is not named.
    pub(crate) fn refuse(&self, quota: Option<&Quota>, seconds: u64) -> Response<Body> {
        let name = quota.map(|quota| format!(" for {:?}", quota.name)).unwrap_or_default();
        let details = format!(
            "API quota reached{name}. Wait {seconds} seconds before making a new request. \
             (Max. {} requests allowed per minute per user.)",
            self.user.0
        );
        let response = exception(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            "Too Many Requests",
            Some(&details),
        );
        self.on(with_header(response, "x-retry-after", seconds))
    }
}
