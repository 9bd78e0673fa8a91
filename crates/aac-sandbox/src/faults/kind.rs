//! The kinds of faults: variant, name, and what each does.

use std::fmt;

use super::Target;

/// Declares each kind once: the variant, its name in text form, and its description, which serves
/// as doc comment and as help.
macro_rules! kinds {
    (
        plain {
            $($(#[doc = $plain_doc:literal])+ $plain:ident = $plain_text:literal,)+
        }
        cloud_only {
            $($(#[doc = $cloud_doc:literal])+ $cloud:ident = $cloud_text:literal,)+
        }
        token_only {
            $($(#[doc = $token_doc:literal])+ $token:ident = $token_text:literal,)+
        }
        run_only {
            $($(#[doc = $run_doc:literal])+ $run:ident = $run_text:literal,)+
        }
        vault_only {
            $($(#[doc = $vault_doc:literal])+ $vault:ident = $vault_text:literal,)+
        }
        write_only {
            $($(#[doc = $write_doc:literal])+ $write:ident = $write_text:literal,)+
        }
        seconds {
            $($(#[doc = $seconds_doc:literal])+
            $seconds:ident = $seconds_text:literal or $default:literal,)+
        }
    ) => {
        /// What goes wrong. In text form, `=VALUE` is a number of seconds, the URL of `redirect`, or
        /// the number of requests of `late`.
        ///
        /// Error statuses, redirects, `Hang` and `ResetBefore` take the place of processing the
        /// request: no token is spent. The other kinds happen after it was processed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum FaultKind {
            $($(#[doc = $plain_doc])+ $plain,)+
            $($(#[doc = $cloud_doc])+ $cloud,)+
            $($(#[doc = $token_doc])+ $token,)+
            $($(#[doc = $run_doc])+ $run,)+
            $($(#[doc = $vault_doc])+ $vault,)+
            $($(#[doc = $write_doc])+ $write,)+
            $($(#[doc = $seconds_doc])+ $seconds(
                /// Seconds.
                u64,
            ),)+
            /// Redirect to this URL: 302, or 307 from the vault.
            Redirect(String),
            /// 500, but the write is applied just before the request that comes that many later; at
            /// once if zero. See also [`Vault::apply_late_writes`](crate::Vault::apply_late_writes).
            AppliedLater(u64),
        }

        impl FaultKind {
            /// Every kind, with its default value.
            pub fn all() -> Vec<FaultKind> {
                vec![
                    $(FaultKind::$plain,)+
                    $(FaultKind::$cloud,)+
                    $(FaultKind::$token,)+
                    $(FaultKind::$run,)+
                    $(FaultKind::$vault,)+
                    $(FaultKind::$write,)+
                    $(FaultKind::$seconds($default),)+
                    FaultKind::Redirect(ELSEWHERE.to_owned()),
                    FaultKind::AppliedLater(1),
                ]
            }

            /// The name in text form.
            pub fn name(&self) -> &'static str {
                match self {
                    $(FaultKind::$plain => $plain_text,)+
                    $(FaultKind::$cloud => $cloud_text,)+
                    $(FaultKind::$token => $token_text,)+
                    $(FaultKind::$run => $run_text,)+
                    $(FaultKind::$vault => $vault_text,)+
                    $(FaultKind::$write => $write_text,)+
                    $(FaultKind::$seconds(_) => $seconds_text,)+
                    FaultKind::Redirect(_) => "redirect",
                    FaultKind::AppliedLater(_) => "late",
                }
            }

            /// What it does, in one line.
            pub fn description(&self) -> &'static str {
                match self {
                    $(FaultKind::$plain => concat!($($plain_doc),+).trim_ascii(),)+
                    $(FaultKind::$cloud => concat!($($cloud_doc),+).trim_ascii(),)+
                    $(FaultKind::$token => concat!($($token_doc),+).trim_ascii(),)+
                    $(FaultKind::$run => concat!($($run_doc),+).trim_ascii(),)+
                    $(FaultKind::$vault => concat!($($vault_doc),+).trim_ascii(),)+
                    $(FaultKind::$write => concat!($($write_doc),+).trim_ascii(),)+
                    $(FaultKind::$seconds(_) => concat!($($seconds_doc),+).trim_ascii(),)+
                    FaultKind::Redirect(_) => "Redirect to the URL in VALUE: 302; vault: 307.",
                    FaultKind::AppliedLater(_) => {
                        "Vault writes only: 500, but applied VALUE requests later."
                    }
                }
            }

            /// Whether requests of this target can meet it.
            pub fn applies_to(&self, target: Target) -> bool {
                match self {
                    $(FaultKind::$cloud)|+ => !target.is_vault(),
                    $(FaultKind::$token)|+ => target == Target::Token,
                    $(FaultKind::$run)|+ | FaultKind::Hidden(_) => target == Target::Run,
                    $(FaultKind::$vault)|+ => target.is_vault(),
                    $(FaultKind::$write)|+ | FaultKind::AppliedLater(_) => {
                        target == Target::VaultWrite
                    }
                    _ => true,
                }
            }

            /// Which targets have this kind, in words.
            pub(super) fn scope(&self) -> &'static str {
                match self {
                    $(FaultKind::$cloud)|+ => "only token, api and run have this kind",
                    $(FaultKind::$token)|+ => "only the token endpoint has this kind",
                    $(FaultKind::$run)|+ | FaultKind::Hidden(_) => {
                        "only the start of a run has this kind"
                    }
                    $(FaultKind::$vault)|+ => "only the vault has this kind",
                    $(FaultKind::$write)|+ | FaultKind::AppliedLater(_) => {
                        "only vault-write has this kind"
                    }
                    _ => "every target has this kind",
                }
            }

            /// The same kind with the value given in text form.
            pub(super) fn with_value(self, value: &str) -> Result<Self, &'static str> {
                let seconds = || value.parse().map_err(|_| "VALUE must be a number of seconds");
                let requests = || value.parse().map_err(|_| "VALUE must be a number of requests");
                match self {
                    $(FaultKind::$plain)|+
                    $(| FaultKind::$cloud)+
                    $(| FaultKind::$token)+
                    $(| FaultKind::$run)+
                    $(| FaultKind::$vault)+
                    $(| FaultKind::$write)+ => Err("this kind takes no VALUE"),
                    FaultKind::AppliedLater(_) => Ok(FaultKind::AppliedLater(requests()?)),
                    $(FaultKind::$seconds(_) => Ok(FaultKind::$seconds(seconds()?)),)+
                    FaultKind::Redirect(_) if is_url(value) => {
                        Ok(FaultKind::Redirect(value.to_owned()))
                    }
                    FaultKind::Redirect(_) => Err("VALUE must be a URL"),
                }
            }
        }
    };
}

/// The default of `redirect`: a name that never resolves (RFC 6761 §6.4).
const ELSEWHERE: &str = "https://elsewhere.invalid/elsewhere";

kinds! {
    plain {
        /// 400: a parameter is invalid.
        BadRequest = "400",
        /// 403: not authorized.
        Forbidden = "403",
        /// 404: no such route.
        NotFound = "404",
        /// 410: the resource was deleted.
        Gone = "410",
        /// 413 without reading the body; then the connection closes.
        TooLarge = "413",
        /// 500, with a request ID.
        ServerError = "500",
        /// 502: an HTML page of the front end.
        BadGateway = "502",
        /// 504: an HTML page of the front end.
        GatewayTimeout = "504",
        /// Reset the connection; the request is not processed.
        ResetBefore = "reset-before",
        /// Process the request, then reset the connection.
        ResetAfter = "reset-after",
        /// Close the connection after half of the announced length.
        Cut = "cut",
        /// Send half of the body, without having announced its length.
        CutClose = "cut-close",
        /// 200, but the body is not JSON.
        Garbled = "garbled",
        /// 200, but the body is a sign-in page.
        HtmlPage = "html-200",
        /// 200, but the body is empty.
        Empty = "empty",
        /// Never respond; the request is not processed.
        Hang = "hang",
        /// Process the request, but never respond.
        HangAfter = "hang-after",
        /// The body is one JSON string of 64 MiB.
        Huge = "huge",
    }
    cloud_only {
        /// 429 from the gateway: Apigee spike arrest.
        SpikeArrest = "429-fault",
        /// 500 from the gateway: a quota violation, as in older Apigee.
        QuotaAs500 = "500-quota",
        /// 404 in the format of the workflow service: kind, message.
        ServiceNotFound = "svc-404",
        /// 403 in the format of some services: data, msg.
        MessageForbidden = "msg-403",
        /// 400 invalid_grant; the token is not looked at.
        InvalidGrant = "invalid-grant",
        /// 401 invalid_client.
        InvalidClient = "invalid-client",
        /// 400 invalid_request.
        OAuthError = "oauth-error",
        /// 401, as for an expired access token.
        Unauthorized = "unauthorized",
        /// 401, as for a wrong API project ID.
        InvalidKey = "invalid-key",
    }
    token_only {
        /// Token only: no new refresh token; the old one stays valid.
        NoRefreshToken = "no-refresh-token",
        /// Token only: no access token.
        NoAccessToken = "no-access-token",
        /// Token only: the access token is not a JWT.
        BadAccessToken = "bad-access-token",
    }
    run_only {
        /// Run only: it fails in the end.
        RunFails = "fail",
        /// Run only: someone cancels it.
        RunCanceled = "cancel",
    }
    vault_only {
        /// Vault only: 503, sealed.
        Sealed = "sealed",
        /// Vault only: served by a standby that missed the last change.
        Stale = "stale",
    }
    write_only {
        /// Vault writes only: 400, although the check-and-set is right.
        CasMismatch = "cas-mismatch",
        /// Vault writes only: 500, no leader.
        NoQuorum = "no-quorum",
    }
    seconds {
        /// 429, with the number of seconds to wait; vault: without.
        TooManyRequests = "429" or 1,
        /// 503, with Retry-After.
        Unavailable = "503" or 1,
        /// Respond that many seconds late.
        Slow = "slow" or 1,
        /// Send the body in pieces over that many seconds.
        SlowBody = "slow-body" or 1,
        /// Run only: it cannot be seen for that many seconds.
        Hidden = "hidden" or 1,
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::TooManyRequests(seconds)
            | Self::Unavailable(seconds)
            | Self::Slow(seconds)
            | Self::SlowBody(seconds)
            | Self::Hidden(seconds)
            | Self::AppliedLater(seconds) => write!(f, "={seconds}"),
            Self::Redirect(url) => write!(f, "={url}"),
            _ => Ok(()),
        }
    }
}

/// Whether the text can be the value of a `Location` header.
fn is_url(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
