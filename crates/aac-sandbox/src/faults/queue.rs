//! The faults that have not happened yet.

use super::{Fault, FaultKind, Target};

/// The faults that have not happened yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue(Vec<Fault>);

impl Queue {
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that applies to the next request of a target.
    pub(crate) fn next(&mut self, target: Target) -> Option<FaultKind> {
        self.0.retain(|fault| fault.times != Some(0));
        let fault = self.0.iter_mut().find(|fault| fault.target.covers(target))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_up_in_order() {
        let mut faults = Queue::default();
        for fault in [
            "run:fail",
            "api:400",
            "token:403+1",
            "api:404x2",
            "api:410xall",
            "vault-write:403",
            "vault:404x2",
        ] {
            faults.push(fault.parse().expect(fault));
        }
        let mut names = |target| {
            let names = (0..5).map(|_| faults.next(target).map_or("-", |kind| kind.name()));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Target::Api), "400 404 404 410 410");
        assert_eq!(names(Target::Run), "fail 410 410 410 410");
        assert_eq!(names(Target::Token), "- 403 - - -");
        assert_eq!(names(Target::VaultRead), "404 404 - - -");
        assert_eq!(names(Target::VaultWrite), "403 - - - -");
    }
}
