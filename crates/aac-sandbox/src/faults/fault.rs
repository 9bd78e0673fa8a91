//! A fault, and its text form.

use std::fmt;
use std::str::FromStr;

use super::{FaultKind, Target};

/// Something that goes wrong on purpose.
///
/// In text form: `TARGET:KIND[=VALUE][+SKIP][xTIMES]`. TARGET is `token`, `api`, `run` (the requests of
/// the API that start a run), `people` (those that invite, suspend or unsuspend people), `vault`,
/// `vault-read` or `vault-write`. `+SKIP` lets that many requests pass first. `xTIMES` is how often the
/// fault happens: once by default, always with `xall`. The faults of a target happen in the order in
/// which they were added.
///
/// ```
/// use aac_sandbox::{Fault, FaultKind};
///
/// let fault: Fault = "token:503=2x3".parse().unwrap();
/// assert_eq!(fault, Fault::token(FaultKind::Unavailable(2)).times(3));
///
/// let fault: Fault = "api:500+1".parse().unwrap();
/// assert_eq!(fault, Fault::api(FaultKind::ServerError).after(1));
///
/// assert_eq!("token:reset-afterxall".parse::<Fault>().unwrap().times, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fault {
    /// The requests it applies to.
    pub target: Target,
    /// What happens.
    pub kind: FaultKind,
    /// How often; `None` is always.
    pub times: Option<u32>,
    /// How many requests of the target pass first.
    pub skip: u32,
}

/// Each fault happens once. A constructor panics if requests of its target cannot meet that kind; see
/// [`FaultKind::applies_to`].
impl Fault {
    /// A fault of the token endpoint.
    pub fn token(kind: FaultKind) -> Self {
        Self::checked(Target::Token, kind)
    }

    /// A fault of the API.
    pub fn api(kind: FaultKind) -> Self {
        Self::checked(Target::Api, kind)
    }

    /// A fault of the requests that start a run.
    pub fn run(kind: FaultKind) -> Self {
        Self::checked(Target::Run, kind)
    }

    /// A fault of the requests that invite, suspend or unsuspend people.
    pub fn people(kind: FaultKind) -> Self {
        Self::checked(Target::People, kind)
    }

    /// A fault of any request to the vault.
    pub fn vault(kind: FaultKind) -> Self {
        Self::checked(Target::Vault, kind)
    }

    /// A fault of a request that reads a document from the vault.
    pub fn vault_read(kind: FaultKind) -> Self {
        Self::checked(Target::VaultRead, kind)
    }

    /// A fault of a request that writes a document to the vault.
    pub fn vault_write(kind: FaultKind) -> Self {
        Self::checked(Target::VaultWrite, kind)
    }

    #[track_caller]
    fn checked(target: Target, kind: FaultKind) -> Self {
        assert!(kind.applies_to(target), "{kind}: {}", kind.scope());
        Self { target, kind, times: Some(1), skip: 0 }
    }

    /// Whether it is still to happen to requests of that target.
    pub(super) fn is_for(&self, target: Target) -> bool {
        self.times != Some(0) && self.target.covers(target)
    }

    /// Makes it happen that many times.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Makes it happen every time.
    pub fn always(self) -> Self {
        Self { times: None, ..self }
    }

    /// Lets that many requests of its target pass first.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

impl fmt::Display for Fault {
    /// The text form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.kind)?;
        if self.skip > 0 {
            write!(f, "+{}", self.skip)?;
        }
        match self.times {
            Some(1) => Ok(()),
            Some(times) => write!(f, "x{times}"),
            None => f.write_str("xall"),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| FaultError { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Fault, &'static str> {
    let (target, rest) = text.split_once(':').ok_or("there is no TARGET")?;
    let target = Target::all().into_iter().find(|known| known.name() == target);
    let target = target.ok_or("unknown TARGET")?;
    let (rest, times) = match rest.rsplit_once('x') {
        Some((rest, "all")) => (rest, None),
        Some((rest, times)) if is_number(times) => match times.parse() {
            Ok(0) => return Err("TIMES must be at least 1"),
            Ok(times) => (rest, Some(times)),
            Err(_) => return Err("TIMES is too large"),
        },
        _ => (rest, Some(1)),
    };
    let (rest, skip) = match rest.rsplit_once('+') {
        Some((rest, skip)) if is_number(skip) => {
            (rest, skip.parse().map_err(|_| "SKIP is too large")?)
        }
        _ => (rest, 0),
    };
    let (name, value) = rest.split_once('=').map_or((rest, None), |(n, v)| (n, Some(v)));
    let kind = FaultKind::all().into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or("unknown KIND")?;
    if !kind.applies_to(target) {
        return Err(kind.scope());
    }
    let kind = value.map_or_else(|| Ok(kind.clone()), |value| kind.clone().with_value(value))?;
    Ok(Fault { target, kind, times, skip })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text that is not a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n\n\
             {:?} is not a valid fault.\n\
             Write TARGET:KIND[=VALUE][+SKIP][xTIMES], as in token:503=2x3 or api:429xall.\n\
             TARGET is token, api, run, people, vault, vault-read or vault-write.\n\
             For each KIND, see cargo sandbox --list-faults all",
            self.reason, self.text
        )
    }
}

impl std::error::Error for FaultError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_written_as_text() {
        for kind in FaultKind::all() {
            assert!(Target::all().into_iter().any(|target| kind.applies_to(target)), "{kind}");
            for target in Target::all() {
                let fault = |times, skip| Fault { target, kind: kind.clone(), times, skip };
                for (text, fault) in [
                    (format!("{target}:{kind}"), fault(Some(1), 0)),
                    (format!("{target}:{}", kind.name()), fault(Some(1), 0)),
                    (format!("{target}:{kind}+3x12"), fault(Some(12), 3)),
                    (format!("{target}:{kind}xall"), fault(None, 0)),
                ] {
                    let parsed = text.parse().ok();
                    assert_eq!(fault.to_string().parse().ok(), parsed, "{text}");
                    assert_eq!(parsed, kind.applies_to(target).then_some(fault), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_fault_that_could_do_nothing_is_refused() {
        for (text, reason) in [
            ("api:no-refresh-token", "only the token endpoint has this kind"),
            ("api:no-access-tokenxall", "only the token endpoint has this kind"),
            ("run:no-access-tokenxall", "only the token endpoint has this kind"),
            ("vault:bad-access-token", "only the token endpoint has this kind"),
            ("vault:svc-404", "only token, api, run and people have this kind"),
            ("api:fail", "only the start of a run has this kind"),
            ("api:listed", "only the invitation and suspension of people have this kind"),
            ("token:hidden=2", "only the start of a run has this kind"),
            ("vault:cancel", "only the start of a run has this kind"),
            ("api:sealed", "only the vault has this kind"),
            ("run:stale", "only the vault has this kind"),
            ("vault-read:cas-mismatch", "only vault-write has this kind"),
            ("vault:late", "only vault-write has this kind"),
            ("api:500x0", "TIMES must be at least 1"),
        ] {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }

    #[test]
    #[should_panic(expected = "no-refresh-token: only the token endpoint has this kind")]
    fn nor_can_a_program_build_one() {
        let _ = Fault::api(FaultKind::NoRefreshToken);
    }

    #[test]
    fn a_wrong_text_says_what_is_allowed() {
        for text in [
            "",
            "500",
            "tokens:500",
            "api:",
            "api:501",
            "api:503=x",
            "api:cut=1",
            "api:500x99999999999",
        ] {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            for words in
                [&*format!("{text:?}"), "token, api, run, people, vault", "--list-faults all"]
            {
                assert!(error.contains(words), "{error}");
            }
        }
    }

    #[test]
    fn eight_kinds_are_common() {
        assert_eq!(FaultKind::all().iter().filter(|kind| kind.is_common()).count(), 8);
    }
}
