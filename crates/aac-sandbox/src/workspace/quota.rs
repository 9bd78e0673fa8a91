//! Quotas: how often per minute a call may be made.

use std::collections::HashMap;

use crate::clock::Timestamp;

/// How often per minute a call may be made.
#[derive(Debug)]
pub(crate) struct Quota {
    /// The platform's name for it.
    pub(crate) name: &'static str,
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

/// How much of each quota is used.
#[derive(Debug, Default)]
pub(crate) struct Quotas(HashMap<&'static str, Minute>);

/// A minute. It begins with the first call in it.
#[derive(Debug)]
struct Minute {
    begin: Timestamp,
    calls: u64,
}

impl Quotas {
    /// Counts a call. The error means that it exceeds the quota.
    pub(crate) fn take(
        &mut self,
        quota: &Quota,
        now: Timestamp,
    ) -> Result<QuotaStatus, QuotaStatus> {
        const MINUTE: i64 = 60_000;
        let minute = self.0.entry(quota.name).or_insert(Minute { begin: now, calls: 0 });
        // The clock of a sandbox can be set back.
        if !(0..MINUTE).contains(&(now.millis - minute.begin.millis)) {
            *minute = Minute { begin: now, calls: 0 };
        }
        // The sandbox has one user, so the quota of the workspace is never reached first.
        let accepted = minute.calls < quota.per_user;
        minute.calls += u64::from(accepted);
        let status = QuotaStatus {
            user: (quota.per_user, quota.per_user - minute.calls),
            workspace: (quota.per_workspace, quota.per_workspace - minute.calls),
            reset: Timestamp { millis: minute.begin.millis + MINUTE },
        };
        if accepted { Ok(status) } else { Err(status) }
    }
}

/// How much of a quota is left.
#[derive(Debug)]
pub(crate) struct QuotaStatus {
    /// Limit and remaining calls of the user.
    pub(crate) user: (u64, u64),
    /// Limit and remaining calls of the workspace.
    pub(crate) workspace: (u64, u64),
    /// When the minute ends.
    pub(crate) reset: Timestamp,
}

impl QuotaStatus {
    /// How many seconds to wait, rounded up.
    pub(crate) fn retry_after(&self, now: Timestamp) -> u64 {
        self.reset.millis.abs_diff(now.millis).div_ceil(1000)
    }
}
