//! One request to the token endpoint (RFC 6749 §6), and what its outcome means for the token.

use crate::error::{NetworkError, status_line};
use crate::http::retry::retry_after;
use crate::http::tcp::Kept;
use crate::http::transport::{Limits, Transport, io_network_error};
use crate::rotation::spendable::Spendable;
use crate::tokens::credentials::{decompressed, is_whole_object};
use crate::tokens::journal_format::LARGEST;
use crate::tokens::secret::redact;
use serde_json::Value;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::SendBody;
use ureq::http::{Method, Request, StatusCode, header};
use zeroize::Zeroizing;

/// The state of the refresh token after a request that was to carry it.
pub(crate) enum Outcome<'lock> {
    /// The token never left this machine; it is returned.
    NotSent { reason: NetworkError, spendable: Spendable<'lock> },
    /// The caller decided not to send it; it is returned.
    Withheld(Spendable<'lock>),
    /// 429: rejected before anything was done.
    Busy { status: u16, wait: Option<Duration>, spendable: Spendable<'lock> },
    /// The token is dead.
    InvalidGrant { message: String },
    /// Rejected for another reason; the token is not used up.
    Refused { status: u16, message: String },
    /// 2xx, with a body, however it ended; and whether that is saved.
    Received {
        body: Zeroizing<Vec<u8>>,
        saved: io::Result<()>,
        what: String,
        again: SendAgain<'lock>,
    },
    /// Sent, and the response was lost: the token may be used up.
    InDoubt { what: String, status: Option<u16>, wait: Option<Duration>, again: SendAgain<'lock> },
}

/// A token that may have been spent. Sending it again can only help: if it was not spent, that
/// succeeds; if it was, a server with a grace period responds again, and without one the pair is lost
/// anyway.
pub(crate) struct SendAgain<'lock>(Spendable<'lock>);

impl<'lock> SendAgain<'lock> {
    /// Consumed, so that there is no third time.
    pub(crate) fn once_more(self) -> Spendable<'lock> {
        self.0
    }
}

impl<'lock> Spendable<'lock> {
    /// Sends the token, and waits for the response until the deadline. `before` is called once connected,
    /// just before the first byte of the token leaves; if it returns false, the token is not sent. `save`
    /// is called with the body of a 2xx response as soon as it is complete.
    ///
    /// Until the response is in the journal, nothing may print, panic, or use unbounded memory.
    pub(crate) fn send(
        self,
        transport: &Transport,
        deadline: Instant,
        before: impl FnMut() -> bool,
        save: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Outcome<'lock> {
        let mut form = Form::of(&self, before);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.token_endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::CONTENT_LENGTH, form.bytes.len())
            .header(header::ACCEPT, "application/json");
        let left = deadline.saturating_duration_since(Instant::now());
        let limits = Limits {
            connect: Duration::from_secs(10),
            first_byte: left,
            idle: left,
            total: Some(left),
        };
        let kept = Kept::start();
        let response = match request.body(SendBody::from_reader(&mut form)) {
            Ok(request) => transport.send(request, &limits),
            Err(error) => Err(NetworkError::Broken(error.to_string())),
        };
        let mut response = match response {
            Ok(response) => response,
            Err(_) if form.is_withheld => return Outcome::Withheld(self),
            Err(reason) if form.sent == 0 => {
                return Outcome::NotSent { reason, spendable: self };
            }
            Err(reason) => {
                let (what, again) = (reason.to_string(), SendAgain(self));
                // A response that ureq cannot parse as HTTP may still hold the tokens.
                return match body_of(&kept.bytes()) {
                    Some(body) => {
                        let saved = save(&body);
                        Outcome::Received { body, saved, what, again }
                    }
                    None => Outcome::InDoubt { what, status: None, wait: None, again },
                };
            }
        };

        let status = response.status();
        let code = status.as_u16();
        let wait = retry_after(response.headers());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Outcome::Busy { status: code, wait, spendable: self };
        }
        let announced = response.headers().get(header::CONTENT_LENGTH);
        let announced: Option<usize> =
            announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let mut reader = response.body_mut().as_reader();
        let (mut body, what) = read_body(&mut reader);
        if status.is_redirection() || status.is_client_error() {
            return self.refused(code, &body);
        }
        let again = SendAgain(self);
        if status.is_success()
            && !is_whole_object(&body)
            && let Some(kept) = body_of(&kept.bytes())
        {
            // Its length or framing did not match the head.
            body = kept;
        }
        if status.is_success() && !body.is_empty() {
            let saved = save(&body);
            if announced == Some(body.len()) {
                // Nothing more comes: reading that makes the connection reusable for the call.
                let _ = reader.read(&mut [0]);
            }
            return Outcome::Received { body, saved, what, again };
        }
        let (what, status) = match status.is_success() {
            true => (what, None),
            false => {
                let asks = |wait: Duration| format!(", with {} s to wait", wait.as_secs());
                (status_line(code) + &wait.map_or_else(String::new, asks), Some(code))
            }
        };
        Outcome::InDoubt { what, status, wait, again }
    }

    /// The meaning of a 3xx or 4xx. Its body may be truncated: the status decides.
    fn refused(&self, status: u16, body: &[u8]) -> Outcome<'lock> {
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let message = match (text("error"), text("error_description")) {
            (error, "") => error.to_owned(),
            (error, description) => format!("{error}: {description}"),
        };
        let message = redact(&message, &[self.refresh_token.expose()], 300);
        if matches!(status, 400 | 401) && text("error") == "invalid_grant" {
            return Outcome::InvalidGrant { message };
        }
        Outcome::Refused { status, message }
    }
}

/// The body of the first successful response in these bytes, if it has a complete JSON object. The
/// head only needs to begin with a status.
fn body_of(mut bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    loop {
        bytes = bytes.trim_ascii_start();
        let status = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        let end = |ending: &[u8]| {
            let at = bytes.windows(ending.len()).position(|window| window == ending)?;
            Some(at + ending.len())
        };
        let end = [end(b"\r\n\r\n"), end(b"\n\n")].into_iter().flatten().min()?;
        bytes = &bytes[end..];
        match status[0] {
            b'1' => {}
            b'2' => {
                let body = bytes.get(..LARGEST).unwrap_or(bytes);
                return is_whole_object(body).then(|| Zeroizing::new(body.to_vec()));
            }
            _ => return None,
        }
    }
}

/// Reads the body until it is a complete JSON object, or ends: anything after it may never come. Returns
/// the bytes, and what is wrong with them if they are unusable.
fn read_body(reader: &mut impl Read) -> (Zeroizing<Vec<u8>>, String) {
    const TOO_LARGE: &str = "it is larger than 64 KiB";
    const PIECE: usize = 8 * 1024;
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST + PIECE));
    loop {
        let length = body.len();
        if length >= LARGEST {
            body.truncate(LARGEST);
            return (body, TOO_LARGE.to_owned());
        }
        body.resize(length + PIECE, 0);
        let read = reader.read(&mut body[length..]);
        body.truncate(length + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) if decompressed(&body).len() == LARGEST => return (body, TOO_LARGE.to_owned()),
            Ok(0) => return (body, "it holds no usable tokens".to_owned()),
            Ok(_) if is_whole_object(&body) => {
                return (body, "it holds no usable tokens".to_owned());
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (body, io_network_error(&error).to_string()),
        }
    }
}

/// The form; it knows whether any of it was taken for sending.
struct Form<F> {
    bytes: Zeroizing<Vec<u8>>,
    sent: usize,
    /// Called before the first byte.
    before: F,
    is_withheld: bool,
}

impl<F: FnMut() -> bool> Form<F> {
    fn of(spendable: &Spendable<'_>, before: F) -> Self {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", spendable.refresh_token.expose()),
            ("client_id", &spendable.client_id),
        ];
        // Room for three bytes per character, so that nothing is copied as it grows.
        let room = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        for (name, value) in fields {
            if !bytes.is_empty() {
                bytes.push(b'&');
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            for &byte in value.as_bytes() {
                // The unreserved characters of RFC 3986, which are literal in a form.
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    bytes.push(byte);
                } else {
                    let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
                    bytes.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
                }
            }
        }
        Self { bytes, sent: 0, before, is_withheld: false }
    }
}

impl<F: FnMut() -> bool> Read for Form<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sent == 0 && !self.is_withheld && !buffer.is_empty() {
            self.is_withheld = !(self.before)();
        }
        if self.is_withheld {
            return Err(io::Error::other("the token is not to be sent"));
        }
        let amount = buffer.len().min(self.bytes.len() - self.sent);
        buffer[..amount].copy_from_slice(&self.bytes[self.sent..self.sent + amount]);
        self.sent += amount;
        Ok(amount)
    }
}
