//! What can go wrong, and the text that asks for it. `server::inject` makes it happen.

mod fault;
mod kind;
mod target;

pub use fault::{Fault, FaultError};
pub use kind::FaultKind;
pub use target::Target;

/// The faults that have not happened yet, oldest first.
#[derive(Debug)]
pub(crate) struct Queue(pub(crate) Vec<Fault>);

impl Queue {
    /// Takes the fault that applies to the next request of a target.
    pub(crate) fn next(&mut self, target: Target) -> Option<FaultKind> {
        let fault = self.0.iter_mut().find(|fault| fault.is_for(target))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.kind.clone())
    }

    /// The same, but leaves it there.
    pub(crate) fn peek(&self, target: Target) -> Option<&FaultKind> {
        let fault = self.0.iter().find(|fault| fault.is_for(target))?;
        (fault.skip == 0).then_some(&fault.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_up_in_order() {
        let faults = [
            "run:fail",
            "people:listed",
            "api:400",
            "token:403+1",
            "api:404x2",
            "api:410xall",
            "vault-write:403",
            "vault:404x2",
        ];
        let mut faults = Queue(faults.map(|fault| fault.parse().expect(fault)).into());
        let mut names = |target| {
            let names = (0..5).map(|_| faults.next(target).map_or("-", |kind| kind.name()));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Target::Api), "400 404 404 410 410");
        assert_eq!(names(Target::Run), "fail 410 410 410 410");
        assert_eq!(names(Target::People), "listed 410 410 410 410");
        assert_eq!(names(Target::Token), "- 403 - - -");
        assert_eq!(names(Target::VaultRead), "404 404 - - -");
        assert_eq!(names(Target::VaultWrite), "403 - - - -");
    }
}
