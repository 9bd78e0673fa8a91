//! What can be made to go wrong, and the text that asks for it.

use std::fmt;
use std::str::FromStr;

/// Something that is to go wrong.
///
/// As text: `TARGET:KIND[=VALUE][+SKIP][xTIMES]`. The target is `token` or `api`; `+SKIP` lets
/// that many requests pass first; `xTIMES` says how often, `xall` always, and once is the
/// default. The faults of a target are used up in the order in which they were given.
///
/// ```
/// use aac_sandbox::{Fault, FaultKind, Target};
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
pub struct Fault {
    /// Whose requests it befalls.
    pub target: Target,
    /// What happens.
    pub kind: FaultKind,
    /// How often; `None` is always.
    pub times: Option<u32>,
    /// How many requests of the target pass first.
    pub skip: u32,
}

/// Whose requests a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The token endpoint, and whatever else is below `/as`.
    Token,
    /// Everything else.
    Api,
}

impl Target {
    /// The target that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        if path == "/as" || path.starts_with("/as/") { Self::Token } else { Self::Api }
    }
}

/// Declares the kinds once: variant, its text, and what it does (doc comment and help alike).
macro_rules! kinds {
    (
        plain {
            $($(#[doc = $plain_doc:literal])+ $plain:ident = $plain_text:literal,)+
        }
        seconds {
            $($(#[doc = $seconds_doc:literal])+
            $seconds:ident = $seconds_text:literal or $default:literal,)+
        }
    ) => {
        /// What goes wrong. In the text form, `=VALUE` are the seconds of the kinds that have
        /// them, and the address of `redirect`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum FaultKind {
            $($(#[doc = $plain_doc])+ $plain,)+
            $($(#[doc = $seconds_doc])+ $seconds(
                /// Seconds.
                u64,
            ),)+
            /// A redirect (302) to this address.
            Redirect(String),
        }

        impl FaultKind {
            /// Every kind, with the value it has when none is given.
            pub fn all() -> Vec<FaultKind> {
                vec![
                    $(FaultKind::$plain,)+
                    $(FaultKind::$seconds($default),)+
                    FaultKind::Redirect(ELSEWHERE.to_owned()),
                ]
            }

            /// Its name in the text form.
            pub fn name(&self) -> &'static str {
                match self {
                    $(FaultKind::$plain => $plain_text,)+
                    $(FaultKind::$seconds(_) => $seconds_text,)+
                    FaultKind::Redirect(_) => "redirect",
                }
            }

            /// What it does, in one line.
            pub fn description(&self) -> &'static str {
                match self {
                    $(FaultKind::$plain => concat!($($plain_doc),+).trim_ascii(),)+
                    $(FaultKind::$seconds(_) => concat!($($seconds_doc),+).trim_ascii(),)+
                    FaultKind::Redirect(_) => "A redirect (302) to the address VALUE.",
                }
            }

            fn with_value(self, value: &str) -> Result<Self, &'static str> {
                let seconds = || value.parse().map_err(|_| "the value is a number of seconds");
                match self {
                    $(FaultKind::$plain => Err("this kind has no value"),)+
                    $(FaultKind::$seconds(_) => Ok(FaultKind::$seconds(seconds()?)),)+
                    FaultKind::Redirect(_) if is_address(value) => {
                        Ok(FaultKind::Redirect(value.to_owned()))
                    }
                    FaultKind::Redirect(_) => Err("the value is a web address"),
                }
            }
        }
    };
}

/// Where a redirect leads if it does not say: a name that never resolves (RFC 6761 §6.4).
const ELSEWHERE: &str = "https://elsewhere.invalid/elsewhere";

kinds! {
    plain {
        /// Throttled by the gateway: an Apigee spike arrest, status 429.
        SpikeArrest = "429-fault",
        /// Throttled by the gateway as older Apigee does it: a quota fault with status 500.
        QuotaAs500 = "500-quota",
        /// 400, a parameter is not valid.
        BadRequest = "400",
        /// 403, not authorised.
        Forbidden = "403",
        /// 404, no such route.
        NotFound = "404",
        /// 410, deleted before.
        Gone = "410",
        /// 413 while the body is still on its way, and the end of the connection.
        TooLarge = "413",
        /// 500, with a request id.
        ServerError = "500",
        /// 502, an HTML page of the front end.
        BadGateway = "502",
        /// 504, an HTML page of the front end.
        GatewayTimeout = "504",
        /// 404 in the dialect of the workflow service: kind, message.
        ServiceNotFound = "svc-404",
        /// 403 in the dialect of some services: data, msg.
        MessageForbidden = "msg-403",
        /// 400 invalid_grant. The token was not looked at.
        InvalidGrant = "invalid-grant",
        /// 401 invalid_client.
        InvalidClient = "invalid-client",
        /// 400 invalid_request.
        OAuthError = "oauth-error",
        /// 401, the text of an expired access token.
        Unauthorized = "unauthorized",
        /// 401, the gateway's fault for a wrong API project id.
        InvalidKey = "invalid-key",
        /// Nothing is done; the connection is reset.
        ResetBefore = "reset-before",
        /// The work is done (a token is rotated); the connection is reset instead of an answer.
        ResetAfter = "reset-after",
        /// The work is done; the connection ends after half the announced length.
        Cut = "cut",
        /// The work is done; half the body, whose length was never announced.
        CutClose = "cut-close",
        /// The work is done; the answer is 200, but not JSON.
        Garbled = "garbled",
        /// The work is done; the answer is 200, but a log-in page.
        HtmlPage = "html-200",
        /// The work is done; the answer is 200, but empty.
        Empty = "empty",
        /// Nothing is done, and nothing is ever answered.
        Hang = "hang",
        /// The work is done, and nothing is ever answered.
        HangAfter = "hang-after",
        /// The work is done; the answer is one JSON string of 64 MiB.
        Huge = "huge",
        /// Of the token endpoint: no new refresh token, and the old one stays good.
        NoRefreshToken = "no-refresh-token",
        /// Of the token endpoint: rotated, but without an access token.
        NoAccessToken = "no-access-token",
        /// Of the token endpoint: rotated, but the access token is not a JWT.
        BadAccessToken = "bad-access-token",
    }
    seconds {
        /// Throttled (429), with the pause to make.
        TooManyRequests = "429" or 1,
        /// 503, with a Retry-After.
        Unavailable = "503" or 1,
        /// The work is done; the answer comes so many seconds later.
        Slow = "slow" or 1,
        /// The work is done; the body comes in pieces over so many seconds.
        SlowBody = "slow-body" or 1,
    }
}

impl Fault {
    /// A fault of the token endpoint, once.
    pub fn token(kind: FaultKind) -> Self {
        Self { target: Target::Token, kind, times: Some(1), skip: 0 }
    }

    /// A fault of the API, once.
    pub fn api(kind: FaultKind) -> Self {
        Self { target: Target::Api, kind, times: Some(1), skip: 0 }
    }

    /// So many times.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Every time from now on.
    pub fn always(self) -> Self {
        Self { times: None, ..self }
    }

    /// Not before so many requests of its target have passed.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::TooManyRequests(seconds)
            | Self::Unavailable(seconds)
            | Self::Slow(seconds)
            | Self::SlowBody(seconds) => write!(f, "={seconds}"),
            Self::Redirect(address) => write!(f, "={address}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: &'static str| FaultError { text: text.to_owned(), reason };
        let (target, rest) = text.split_once(':').ok_or_else(|| error("there is no target"))?;
        let target = match target {
            "token" => Target::Token,
            "api" => Target::Api,
            _ => return Err(error("the target is not known")),
        };
        let (rest, times) = match rest.rsplit_once('x') {
            Some((rest, "all")) => (rest, None),
            Some((rest, times)) if is_number(times) => {
                (rest, Some(times.parse().map_err(|_| error("that is too often"))?))
            }
            _ => (rest, Some(1)),
        };
        let (rest, skip) = match rest.rsplit_once('+') {
            Some((rest, skip)) if is_number(skip) => {
                (rest, skip.parse().map_err(|_| error("that skips too many"))?)
            }
            _ => (rest, 0),
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        let kind = FaultKind::all()
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| error("the kind is not known"))?;
        let kind = match value {
            Some(value) => kind.with_value(value).map_err(error)?,
            None => kind,
        };
        Ok(Self { target, kind, times, skip })
    }
}

/// Whether a text can stand in the header Location.
fn is_address(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How wide the lines of a [`FaultError`] are.
const WIDTH: usize = 100;

/// A text that asks for no fault.
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
             {:?} is not a fault.\n\
             A fault is TARGET:KIND[=VALUE][+SKIP][xTIMES], like token:503=2x3 or api:429xall.\n\
             TARGET is token or api. KIND is one of",
            self.reason, self.text
        )?;
        let mut names: Vec<_> = FaultKind::all().iter().map(FaultKind::name).collect();
        names.sort_unstable();
        let mut width = WIDTH;
        for name in names {
            if width + 1 + name.len() > WIDTH {
                f.write_str("\n ")?;
                width = 1;
            }
            write!(f, " {name}")?;
            width += 1 + name.len();
        }
        Ok(())
    }
}

impl std::error::Error for FaultError {}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The one that befalls the next request of a target.
    pub(crate) fn next(&mut self, target: Target) -> Option<FaultKind> {
        self.0.retain(|fault| fault.times != Some(0));
        let fault = self.0.iter_mut().find(|fault| fault.target == target)?;
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
    fn every_kind_can_be_asked_for_by_its_text() {
        for kind in FaultKind::all() {
            assert_eq!(format!("token:{kind}").parse(), Ok(Fault::token(kind.clone())));
            assert_eq!(
                format!("api:{kind}+3x12").parse(),
                Ok(Fault::api(kind.clone()).after(3).times(12))
            );
            assert_eq!(format!("api:{kind}xall").parse(), Ok(Fault::api(kind.clone()).always()));
            assert_eq!(format!("api:{}", kind.name()).parse(), Ok(Fault::api(kind)));
        }
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
            assert!(error.contains(&format!("{text:?}")), "{error}");
            assert!(error.contains("token or api"), "{error}");
            for kind in FaultKind::all() {
                assert!(error.contains(&format!(" {}", kind.name())), "{kind}: {error}");
            }
            assert!(error.lines().count() > 4, "{error}");
            assert!(error.lines().all(|line| line.len() <= WIDTH), "{error}");
        }
    }

    #[test]
    fn faults_are_used_up_in_order() {
        let mut faults = Faults::default();
        for fault in ["api:400", "token:403+1", "api:404x2", "api:410xall"] {
            faults.add(fault.parse().expect(fault));
        }
        let mut names = |target| {
            let names = (0..5).map(|_| faults.next(target).map_or("-", |kind| kind.name()));
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Target::Api), "400 404 404 410 410");
        assert_eq!(names(Target::Token), "- 403 - - -");
    }
}
