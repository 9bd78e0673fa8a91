//! Carrying out a [`FaultKind`]: before the work, or upon the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode, Version};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde_json::json;
use tokio::sync::mpsc;

use crate::clock::Moment;
use crate::envelope::{
    answer, exception, gateway_fault, html, json, oauth_error, platform, unauthorized, with_header,
};
use crate::fault::{FaultKind, Target};
use crate::quota::Standing;
use crate::stream;

/// How the server leaves a request.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It answers.
    Answer(Response<Body>),
    /// It answers after a while.
    Late(Duration, Response<Body>),
    /// It resets the connection.
    Reset,
    /// It leaves the client waiting.
    Hang,
}

/// The ending of a request whose work is not done; `None` if the fault comes after the work.
pub(crate) fn instead(fault: &FaultKind, target: Target) -> Option<Ending> {
    let response = match fault {
        FaultKind::Hang => return Some(Ending::Hang),
        FaultKind::ResetBefore => return Some(Ending::Reset),

        FaultKind::TooManyRequests(seconds) => throttled(target, *seconds),
        FaultKind::SpikeArrest => gateway_fault(
            StatusCode::TOO_MANY_REQUESTS,
            "Spike arrest violation. Allowed rate : MessageRate{messagesPerPeriod=5, \
             periodInMicroseconds=1000000, maxBurstMessageCount=1.0}",
            "policies.ratelimit.SpikeArrestViolation",
        ),
        FaultKind::QuotaAs500 => gateway_fault(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Rate limit quota violation. Quota limit exceeded. Identifier : _default",
            "policies.ratelimit.QuotaViolation",
        ),

        FaultKind::BadRequest => {
            refusal(target, 400, "ApiValidationFailed", "Input validation failed")
        }
        FaultKind::Forbidden => refusal(
            target,
            403,
            "AccessControlException",
            "User is not authorised to access this API.",
        ),
        FaultKind::NotFound => {
            refusal(target, 404, "RouteNotFoundException", "This route does not exist")
        }
        FaultKind::Gone => refusal(target, 410, "Gone", "The resource was deleted"),
        FaultKind::TooLarge => with_header(
            refusal(target, 413, "PayloadTooLargeException", "The request is too large"),
            CONNECTION.as_str(),
            "close",
        ),
        FaultKind::ServerError => {
            refusal(target, 500, "InternalServerError", "An error has occurred")
        }
        FaultKind::BadGateway => html(
            StatusCode::BAD_GATEWAY,
            "502 Server Error",
            "The server met a temporary error and could not complete your request.",
        ),
        FaultKind::Unavailable(seconds) => {
            let response = match target {
                Target::Token => oauth_error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "The service is not available at the moment",
                ),
                Target::Api => html(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "503 Service Unavailable",
                    "The service is not available at the moment.",
                ),
            };
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        FaultKind::GatewayTimeout => html(
            StatusCode::GATEWAY_TIMEOUT,
            "504 Gateway Timeout",
            "The server behind the gateway did not answer in time.",
        ),
        FaultKind::ServiceNotFound => json(
            StatusCode::NOT_FOUND,
            &json!({
                "kind": "NotFoundError",
                "message": "Asset with ID: 01JKBMKPZ94N0GG5F8N9HY2FJB does not exist",
                "errors": [],
                "params": {},
            }),
        ),
        FaultKind::MessageForbidden => platform(json(
            StatusCode::FORBIDDEN,
            &json!({
                "data": null,
                "msg": "User \"51\" does not have create privilege on workflow",
            }),
        )),

        FaultKind::InvalidGrant => oauth_error(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "Request denied: The refresh token is invalid, expired or revoked",
        ),
        FaultKind::InvalidClient => oauth_error(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Request denied: Unsupported authentication method",
        ),
        FaultKind::OAuthError => {
            oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "The request is not valid")
        }
        FaultKind::Unauthorized => unauthorized(),
        FaultKind::InvalidKey => {
            gateway_fault(StatusCode::UNAUTHORIZED, "Invalid ApiKey", "oauth.v2.InvalidApiKey")
        }
        FaultKind::Redirect(address) => with_header(
            answer(StatusCode::FOUND, "text/plain", Body::empty()),
            LOCATION.as_str(),
            address,
        ),

        FaultKind::ResetAfter
        | FaultKind::Cut
        | FaultKind::CutClose
        | FaultKind::Garbled
        | FaultKind::HtmlPage
        | FaultKind::Empty
        | FaultKind::HangAfter
        | FaultKind::Huge
        | FaultKind::NoRefreshToken
        | FaultKind::NoAccessToken
        | FaultKind::BadAccessToken
        | FaultKind::Slow(_)
        | FaultKind::SlowBody(_) => return None,
    };
    Some(Ending::Answer(response))
}

/// The ending of a request whose work is done, and has led to this answer.
pub(crate) fn upon(fault: &FaultKind, response: Response<Body>) -> Ending {
    let (mut head, body) = response.into_parts();
    // Everything that is sent here knows its length.
    let length = body.size_hint().lower();
    let half = length / 2;

    let response = match fault {
        FaultKind::ResetAfter => return Ending::Reset,
        FaultKind::HangAfter => return Ending::Hang,
        FaultKind::Slow(seconds) => {
            let response = Response::from_parts(head, body);
            return Ending::Late(Duration::from_secs(*seconds), response);
        }
        FaultKind::Cut => {
            let body = CutBody { body, left: half, flushed: false, announced: length };
            Response::from_parts(head, Body::new(body))
        }
        FaultKind::CutClose => {
            // In HTTP/1.0 a body without a length ends where the connection does. In HTTP/1.1
            // hyper would send chunks, and a client could tell that some are missing.
            head.version = Version::HTTP_10;
            head.headers.remove("content-length");
            head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
            Response::from_parts(head, pieces(body, half, half, Duration::ZERO))
        }
        FaultKind::SlowBody(seconds) => {
            const PIECES: u32 = 10;
            let size = length.div_ceil(u64::from(PIECES));
            let pause = Duration::from_secs(*seconds) / PIECES;
            head.headers.remove("content-length");
            Response::from_parts(head, pieces(body, length, size, pause))
        }
        FaultKind::Garbled => {
            answer(StatusCode::OK, "application/json", "{\"access_token\":\u{fffd}\u{1}]{{")
        }
        FaultKind::HtmlPage => {
            html(StatusCode::OK, "Sign in", "Please enter your user name and your password.")
        }
        FaultKind::Empty => answer(StatusCode::OK, "application/json", Body::empty()),
        FaultKind::Huge => {
            let (sender, body) = channel();
            tokio::spawn(async move {
                let letters = Bytes::from(vec![b'a'; 64 * 1024]);
                let quote = || std::iter::once(Bytes::from_static(b"\""));
                for piece in quote().chain(std::iter::repeat_n(letters, 1024)).chain(quote()) {
                    if sender.send(piece).await.is_err() {
                        return; // The client has left.
                    }
                }
            });
            answer(StatusCode::OK, "application/json", body)
        }
        _ => Response::from_parts(head, body),
    };
    Ending::Answer(response)
}

/// 429 in the dialect of the target.
fn throttled(target: Target, seconds: u64) -> Response<Body> {
    match target {
        Target::Token => {
            let response = oauth_error(
                StatusCode::TOO_MANY_REQUESTS,
                "temporarily_unavailable",
                "Too many requests",
            );
            with_header(response, RETRY_AFTER.as_str(), seconds)
        }
        Target::Api => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = since_1970.as_millis() as i64;
            let millis = now.saturating_add_unsigned(seconds.saturating_mul(1000));
            let standing =
                Standing { user: (30, 0), workspace: (60, 30), reset: Moment { millis } };
            standing.refuse(None, seconds)
        }
    }
}

/// An error status in the dialect of the target.
fn refusal(target: Target, status: u16, name: &str, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status code");
    match target {
        Target::Api => exception(status, name, message, None),
        Target::Token => {
            let error = match status {
                StatusCode::FORBIDDEN => "access_denied",
                StatusCode::INTERNAL_SERVER_ERROR => "server_error",
                _ => "invalid_request",
            };
            oauth_error(status, error, message)
        }
    }
}

/// The first `left` bytes of a body in pieces of `size` bytes, with a pause before each.
fn pieces(mut body: Body, mut left: u64, size: u64, pause: Duration) -> Body {
    let (sender, pieces) = channel();
    tokio::spawn(async move {
        // How much of the piece is still to be sent.
        let mut piece = 0;
        while let Some(Ok(mut data)) = stream::next(&mut body).await {
            while !data.is_empty() && left > 0 {
                if piece == 0 {
                    tokio::time::sleep(pause).await;
                    piece = size;
                }
                let part = split_to(&mut data, left.min(piece));
                left -= part.len() as u64;
                piece -= part.len() as u64;
                if sender.send(part).await.is_err() {
                    return; // The client has left.
                }
            }
            if left == 0 {
                return;
            }
        }
    });
    pieces
}

/// At most the first `max` bytes of some.
fn split_to(data: &mut Bytes, max: u64) -> Bytes {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    data.split_to(data.len().min(max))
}

/// A body of what is sent into it.
fn channel() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::new(Pieces(receiver)))
}

struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The beginning of the body it announces, and then a failure, upon which hyper drops the
/// connection.
struct CutBody {
    body: Body,
    /// How much of it is still to be sent.
    left: u64,
    flushed: bool,
    announced: u64,
}

impl HttpBody for CutBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.left > 0 {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let mut data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            };
            let data = split_to(&mut data, self.left);
            self.left -= data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.flushed {
            // hyper writes out what it has whenever the body is not ready; without this the
            // half would be dropped along with the connection.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(axum::Error::new("the answer is cut"))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
