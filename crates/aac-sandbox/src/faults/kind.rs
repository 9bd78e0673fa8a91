//! The kinds of faults: variant, name, who can meet it, and what it does.

use std::fmt;

use super::Target;

/// Who can meet a kind of fault.
#[derive(Clone, Copy)]
enum Scope {
    All,
    Cloud,
    Token,
    Api,
    Run,
    People,
    Vault,
    Write,
}

/// Declares each kind once: its description, which serves as doc comment and as help; its variant, with
/// the type and the default of its value; its name in text form, and its scope.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident $(($value:ty = $default:expr))? = $name:literal, $scope:ident;
    )+) => {
        /// What goes wrong.
        ///
        /// Error statuses, redirects, `Hang` and `ResetBefore` take the place of processing the
        /// request: no token is spent. The other kinds happen after it was processed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum FaultKind {
            $($(#[doc = $doc])+ $kind $(($value))?,)+
        }

        impl FaultKind {
            /// Every kind, with its default value.
            pub fn all() -> Vec<FaultKind> {
                vec![$(FaultKind::$kind $(($default))?),+]
            }

            fn row(&self) -> (&'static str, Scope, &'static str) {
                match self {
                    $(FaultKind::$kind { .. } => {
                        ($name, Scope::$scope, concat!($($doc),+).trim_ascii())
                    })+
                }
            }
        }
    };
}

kinds! {
    /// 400: a parameter is invalid.
    BadRequest = "400", All;
    /// 403: not authorized.
    Forbidden = "403", All;
    /// 404: no such route.
    NotFound = "404", All;
    /// 409: it conflicts with what is there.
    Conflict = "409", All;
    /// 410: the resource was deleted.
    Gone = "410", All;
    /// 413 without reading the body; then the connection closes.
    TooLarge = "413", All;
    /// 429, with the number of seconds to wait; vault: without.
    TooManyRequests(u64 = 1) = "429", All;
    /// 429 from the gateway: Apigee spike arrest.
    SpikeArrest = "429-fault", Cloud;
    /// 500, with a request ID.
    ServerError = "500", All;
    /// 500 from the gateway: a quota violation, as in older Apigee.
    QuotaAs500 = "500-quota", Cloud;
    /// 502: an HTML page of the front end.
    BadGateway = "502", All;
    /// 503, with Retry-After.
    Unavailable(u64 = 1) = "503", All;
    /// 504: an HTML page of the front end.
    GatewayTimeout = "504", All;
    /// Redirect to the URL in VALUE: 302; vault: 307.
    // By default a name that never resolves (RFC 6761 §6.4).
    Redirect(String = "https://elsewhere.invalid/elsewhere".to_owned()) = "redirect", All;
    /// 401, as for an expired access token.
    Unauthorized = "unauthorized", Cloud;
    /// 401, as for a wrong API project ID.
    InvalidKey = "invalid-key", Cloud;
    /// 400 invalid_grant; the token is not looked at.
    InvalidGrant = "invalid-grant", Cloud;
    /// 401 invalid_client.
    InvalidClient = "invalid-client", Cloud;
    /// 400 invalid_request.
    OAuthError = "oauth-error", Cloud;
    /// 404 in the format of the workflow service: kind, message.
    ServiceNotFound = "svc-404", Cloud;
    /// 403 in the format of some services: data, msg.
    MessageForbidden = "msg-403", Cloud;
    /// Reset the connection; the request is not processed.
    ResetBefore = "reset-before", All;
    /// Process the request, then reset the connection.
    ResetAfter = "reset-after", All;
    /// Never respond; the request is not processed.
    Hang = "hang", All;
    /// Process the request, but never respond.
    HangAfter = "hang-after", All;
    /// Respond that many seconds late.
    Slow(u64 = 1) = "slow", All;
    /// Send the body in pieces over that many seconds.
    SlowBody(u64 = 1) = "slow-body", All;
    /// Close the connection after half of the announced length.
    Cut = "cut", All;
    /// Send half of the body, without having announced its length.
    CutClose = "cut-close", All;
    /// 200, but the body is not JSON.
    Garbled = "garbled", All;
    /// 200, but the body is a sign-in page.
    HtmlPage = "html-200", All;
    /// 200, but the body is empty.
    Empty = "empty", All;
    /// The body is one JSON string of 64 MiB.
    Huge = "huge", All;
    /// Token only: no new refresh token; the old one stays valid.
    NoRefreshToken = "no-refresh-token", Token;
    /// Token only: no access token.
    NoAccessToken = "no-access-token", Token;
    /// Token only: the access token is not a JWT.
    BadAccessToken = "bad-access-token", Token;
    /// Token only: the access token has - and _, unlike real ones.
    Base64Url = "base64url", Token;
    /// API only: every filter is ignored, as on /v4/people.
    FilterIgnored = "filter-ignored", Api;
    /// API only: 400 if there is a filterType or filterFields.
    FilterRefused = "filter-refused", Api;
    /// Run only: it fails in the end.
    RunFails = "fail", Run;
    /// Run only: someone cancels it.
    RunCanceled = "cancel", Run;
    /// Run only: it cannot be seen for that many seconds.
    Hidden(u64 = 1) = "hidden", Run;
    /// Run only: it is deleted after that many seconds.
    Deleted(u64 = 1) = "deleted", Run;
    /// Run only: its status is VALUE where others are in progress.
    Status(String = "Paused".to_owned()) = "status", Run;
    /// Run only: its ID is a string.
    StringId = "string-id", Run;
    /// People only: whoever is invited or suspended is in the list.
    Listed = "listed", People;
    /// Vault only: 503, sealed.
    Sealed = "sealed", Vault;
    /// Vault only: served by a standby that missed the last change.
    Stale = "stale", Vault;
    /// Vault writes only: 400, although the check-and-set is right.
    CasMismatch = "cas-mismatch", Write;
    /// Vault writes only: 500, no leader.
    NoQuorum = "no-quorum", Write;
    /// Vault writes only: 500, but applied VALUE requests later.
    // See also `Vault::apply_late_writes`.
    AppliedLater(u64 = 1) = "late", Write;
}

impl FaultKind {
    /// The kinds that a first look at a program needs.
    const COMMON: [&str; 8] =
        ["429", "500", "503", "fail", "invalid-grant", "reset-after", "slow", "unauthorized"];

    /// Whether it is one of the eight that are listed first.
    pub fn is_common(&self) -> bool {
        Self::COMMON.contains(&self.name())
    }

    /// The name in text form.
    pub fn name(&self) -> &'static str {
        self.row().0
    }

    /// What it does, in one line.
    pub fn description(&self) -> &'static str {
        self.row().2
    }

    /// Whether requests of this target can meet it.
    pub fn applies_to(&self, target: Target) -> bool {
        match self.row().1 {
            Scope::All => true,
            Scope::Cloud => !target.is_vault(),
            Scope::Token => target == Target::Token,
            Scope::Api => target == Target::Api,
            Scope::Run => target == Target::Run,
            Scope::People => target == Target::People,
            Scope::Vault => target.is_vault(),
            Scope::Write => target == Target::VaultWrite,
        }
    }

    /// Which targets have this kind, in words.
    pub(super) fn scope(&self) -> &'static str {
        match self.row().1 {
            Scope::All => "every target has this kind",
            Scope::Cloud => "only token, api, run and people have this kind",
            Scope::Token => "only the token endpoint has this kind",
            Scope::Api => "only api has this kind",
            Scope::Run => "only the start of a run has this kind",
            Scope::People => "only the invitation and suspension of people have this kind",
            Scope::Vault => "only the vault has this kind",
            Scope::Write => "only vault-write has this kind",
        }
    }

    /// The same kind with the value given in text form.
    pub(super) fn with_value(mut self, value: &str) -> Result<Self, &'static str> {
        match &mut self {
            Self::TooManyRequests(number)
            | Self::Unavailable(number)
            | Self::Slow(number)
            | Self::SlowBody(number)
            | Self::Hidden(number)
            | Self::Deleted(number)
            | Self::AppliedLater(number) => {
                *number = value.parse().map_err(|_| "VALUE must be a number, such as 2")?;
            }
            Self::Redirect(url) if is_word(value) => value.clone_into(url),
            Self::Status(status) if is_word(value) => value.clone_into(status),
            Self::Status(_) => return Err("VALUE must be one word"),
            Self::Redirect(_) => return Err("VALUE must be a URL"),
            _ => return Err("this kind takes no VALUE"),
        }
        Ok(self)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::TooManyRequests(number)
            | Self::Unavailable(number)
            | Self::Slow(number)
            | Self::SlowBody(number)
            | Self::Hidden(number)
            | Self::Deleted(number)
            | Self::AppliedLater(number) => write!(f, "={number}"),
            Self::Redirect(text) | Self::Status(text) => write!(f, "={text}"),
            _ => Ok(()),
        }
    }
}

/// Whether the text can be the value of a `Location` header, or a status.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
