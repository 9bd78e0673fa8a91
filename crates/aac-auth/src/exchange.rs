//! One request to the token endpoint (RFC 6749 §6), and what its outcome says of the token sent.

use crate::error::Trouble;
use crate::journal::ROOM;
use crate::lock::Spendable;
use crate::retry::retry_after;
use crate::secret::presentable;
use crate::wire::{Limits, Wire, io_trouble};
use serde_json::Value;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::SendBody;
use ureq::http::{Method, Request, StatusCode, header};
use zeroize::Zeroizing;

/// What is known of the refresh token after a request that was to carry it.
pub(crate) enum Outcome<'lock> {
    /// The token never left this machine, which gives it back.
    NotSent { trouble: Trouble, spendable: Spendable<'lock> },
    /// 429 or 503: refused before anything was done.
    Busy { status: u16, wait: Option<Duration>, spendable: Spendable<'lock> },
    /// The token is dead.
    InvalidGrant { message: String },
    /// Refused for another reason, and not spent.
    Refused { status: u16, message: String },
    /// 2xx, and the whole body.
    Answered { body: Zeroizing<Vec<u8>>, again: SendAgain<'lock> },
    /// Sent, and the answer was lost: perhaps spent.
    InDoubt { what: String, status: Option<u16>, again: SendAgain<'lock> },
}

/// A token that is perhaps spent. To send it once more can only help: if it was not spent that
/// succeeds; if it was, a server with a grace period answers again, and without one the pair is lost
/// anyway.
pub(crate) struct SendAgain<'lock>(Spendable<'lock>);

impl<'lock> SendAgain<'lock> {
    /// Consumed, so that there is no third time.
    pub(crate) fn once_more(self) -> Spendable<'lock> {
        self.0
    }
}

impl<'lock> Spendable<'lock> {
    /// Sends the token, and waits for the whole answer until the deadline.
    ///
    /// From here until the answer is in the journal nothing may print, or panic, or take memory
    /// without bound.
    pub(crate) fn send(self, wire: &Wire, deadline: Instant) -> Outcome<'lock> {
        let mut form = Form::of(&self);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.token_endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::CONTENT_LENGTH, form.bytes.len())
            .header(header::ACCEPT, "application/json");
        let limits = Limits {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            pause: Duration::from_secs(60),
            total: Some(deadline.saturating_duration_since(Instant::now())),
        };
        let response = match request.body(SendBody::from_reader(&mut form)) {
            Ok(request) => wire.send(request, &limits),
            Err(error) => Err(Trouble::Broken(error.to_string())),
        };
        let mut response = match response {
            Ok(response) => response,
            Err(trouble) if form.sent == 0 => {
                return Outcome::NotSent { trouble, spendable: self };
            }
            Err(trouble) => {
                return Outcome::InDoubt {
                    what: trouble.to_string(),
                    status: None,
                    again: SendAgain(self),
                };
            }
        };

        let status = response.status();
        let code = status.as_u16();
        let wait = retry_after(response.headers());
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Outcome::Busy { status: code, wait, spendable: self };
        }
        let mut body = Zeroizing::new(Vec::with_capacity(ROOM + 1));
        let read = response.body_mut().as_reader().take(ROOM as u64 + 1).read_to_end(&mut body);
        let what = match read {
            _ if status.is_redirection() || status.is_client_error() => {
                return self.refused(code, &body);
            }
            Err(error) => io_trouble(&error).to_string(),
            Ok(length) if length > ROOM => "more than 64 KiB".to_owned(),
            Ok(_) if status.is_success() => {
                return Outcome::Answered { body, again: SendAgain(self) };
            }
            Ok(_) => crate::error::status_line(code),
        };
        Outcome::InDoubt {
            what,
            status: Some(code).filter(|_| !status.is_success()),
            again: SendAgain(self),
        }
    }

    /// What a 3xx or 4xx says. Its body may be cut off: the status is what counts.
    fn refused(&self, status: u16, body: &[u8]) -> Outcome<'lock> {
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let message = match (text("error"), text("error_description")) {
            (error, "") => error.to_owned(),
            (error, description) => format!("{error}: {description}"),
        };
        let message = presentable(&message, &[self.refresh_token.expose()], 300);
        if matches!(status, 400 | 401) && text("error") == "invalid_grant" {
            return Outcome::InvalidGrant { message };
        }
        Outcome::Refused { status, message }
    }
}

/// The form, which knows whether any of it was taken to be sent.
struct Form {
    bytes: Zeroizing<Vec<u8>>,
    sent: usize,
}

impl Form {
    fn of(spendable: &Spendable<'_>) -> Self {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", spendable.refresh_token.expose()),
            ("client_id", &spendable.client_id),
        ];
        // Room for three bytes of each: nothing is copied while it grows.
        let room = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        for (name, value) in fields {
            if !bytes.is_empty() {
                bytes.push(b'&');
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            for &byte in value.as_bytes() {
                // The unreserved characters of RFC 3986, which mean themselves in a form.
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    bytes.push(byte);
                } else {
                    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                    bytes.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
                }
            }
        }
        Self { bytes, sent: 0 }
    }
}

impl Read for Form {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let amount = buffer.len().min(self.bytes.len() - self.sent);
        buffer[..amount].copy_from_slice(&self.bytes[self.sent..self.sent + amount]);
        self.sent += amount;
        Ok(amount)
    }
}
