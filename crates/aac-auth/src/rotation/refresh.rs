//! One request to the token endpoint (RFC 6749 §6), and what its outcome means for the token.

use crate::error::{NetworkError, Refuser, after_colon, status_line};
use crate::http::connection::Kept;
use crate::http::envelope;
use crate::http::retry::retry_after;
use crate::http::transport::{Limits, Transport, io_network_error};
use crate::rotation::spendable::Spendable;
use crate::tokens::credentials::{Said, TokenResponse, decompressed, is_whole_object};
use crate::tokens::journal_format::LARGEST;
use crate::tokens::secret::redact;
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
    Refused { status: u16, message: String, by: Refuser },
    /// 2xx, and what is of use in its body, however that ended.
    Received { response: Box<TokenResponse>, body: Zeroizing<Vec<u8>> },
    /// 2xx, and an error in place of tokens: the token may be used up.
    Error { what: String },
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
    /// just before the first byte of the token leaves; if it returns false, the token is not sent. `receive`
    /// is called with the body of a 2xx response as soon as it is complete: it saves that, and gives what is of
    /// use in it.
    ///
    /// Until the response is in the journal, nothing may print, panic, or use unbounded memory.
    pub(crate) fn send(
        self,
        transport: &Transport,
        deadline: Instant,
        before: impl FnMut() -> bool,
        receive: impl FnOnce(&[u8]) -> Option<TokenResponse>,
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
                let what = reason.to_string();
                // A response that ureq cannot parse as HTTP may still hold the tokens, or a refusal.
                return match response_in(&kept.bytes()) {
                    Some((status @ (400 | 401), body)) => self.refused(status, &body),
                    Some((200..300, body)) => match receive(&body) {
                        Some(response) => Outcome::Received { response: response.into(), body },
                        None => self.without_tokens(&body, what),
                    },
                    _ => {
                        let again = SendAgain(self);
                        Outcome::InDoubt { what, status: None, wait: None, again }
                    }
                };
            }
        };

        let status = response.status();
        let code = status.as_u16();
        let wait = retry_after(response.headers());
        let location = envelope::location(response.headers(), &[self.refresh_token.expose()]);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Outcome::Busy { status: code, wait, spendable: self };
        }
        let announced = response.headers().get(header::CONTENT_LENGTH);
        let announced: Option<usize> =
            announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let mut reader = response.body_mut().as_reader();
        let (mut body, what) = read_body(&mut reader);
        if (status.is_success() || status.is_client_error())
            && !is_whole_object(&body)
            && let Some((_, kept)) = response_in(&kept.bytes())
        {
            // Its length or framing did not match the head.
            body = kept;
        }
        // 511 never comes from the server itself (RFC 6585 §6).
        let is_portal = status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED;
        if let Some(to) = location.filter(|_| status.is_redirection()) {
            let message = format!("to {to}");
            return Outcome::Refused { status: code, message, by: Refuser::Between };
        }
        if status.is_redirection() || status.is_client_error() || is_portal {
            return self.refused(code, &body);
        }
        if status.is_success() && !body.is_empty() {
            let response = receive(&body);
            if announced == Some(body.len()) {
                // Nothing more comes: reading that makes the connection reusable for the call.
                let _ = reader.read(&mut [0]);
            }
            return match response {
                Some(response) => Outcome::Received { response: response.into(), body },
                None => self.without_tokens(&body, what),
            };
        }
        let (what, status) = match status.is_success() {
            true => (what, None),
            false => {
                let asks = |wait: Duration| format!(", with {} s to wait", wait.as_secs());
                let asks = wait.map_or_else(String::new, asks);
                let message = after_colon(&self.message(&Said::in_body(&body)));
                (status_line(code) + &asks + &message, Some(code))
            }
        };
        Outcome::InDoubt { what, status, wait, again: SendAgain(self) }
    }

    /// The meaning of a 3xx, a 4xx or 511. Its body may be truncated: the status decides.
    fn refused(&self, status: u16, body: &[u8]) -> Outcome<'lock> {
        let said = Said::in_body(body);
        let message = self.message(&said);
        let by = match said.error.as_ref().map(|error| &*error.code) {
            Some("invalid_grant") if matches!(status, 400 | 401) => {
                return Outcome::InvalidGrant { message };
            }
            Some("invalid_client") => Refuser::Client,
            _ if said.is_object => Refuser::Server,
            _ => Refuser::Between,
        };
        Outcome::Refused { status, message, by }
    }

    /// The meaning of a 2xx without tokens in its body. `what` is wrong with that.
    fn without_tokens(self, body: &[u8], what: String) -> Outcome<'lock> {
        let said = Said::in_body(body);
        let title = || envelope::title(&said.text, &[self.refresh_token.expose()]);
        let what = match &said.error {
            Some(error) if error.code == "invalid_grant" => {
                return Outcome::InvalidGrant { message: self.message(&said) };
            }
            Some(_) => {
                let message = after_colon(&self.message(&said));
                return Outcome::Error { what: format!("an error came in its place{message}") };
            }
            None if said.is_object => what,
            None => title().map_or(what, |title| {
                format!("something between you and the server answered with a web page: {title}")
            }),
        };
        Outcome::InDoubt { what, status: None, wait: None, again: SendAgain(self) }
    }

    /// What a body says, without secrets.
    fn message(&self, said: &Said) -> String {
        let secrets = [self.refresh_token.expose()];
        match &said.error {
            Some(error) => redact(&error.message, &secrets, 300),
            None => envelope::message(&said.text, &secrets),
        }
    }
}

/// The status and the body of the first final response in these bytes, if that has a complete JSON object.
/// The head only needs to begin with a status.
fn response_in(mut bytes: &[u8]) -> Option<(u16, Zeroizing<Vec<u8>>)> {
    loop {
        bytes = bytes.trim_ascii_start();
        let status = bytes.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        let status: u16 = str::from_utf8(status).ok()?.parse().ok()?;
        let end = |ending: &[u8]| {
            let at = bytes.windows(ending.len()).position(|window| window == ending)?;
            Some(at + ending.len())
        };
        let end = [end(b"\r\n\r\n"), end(b"\n\n")].into_iter().flatten().min()?;
        bytes = &bytes[end..];
        if !(100..200).contains(&status) {
            let body = bytes.get(..LARGEST).unwrap_or(bytes);
            return is_whole_object(body).then(|| (status, Zeroizing::new(body.to_vec())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_an_end_is_read_as_far_as_there_is_room() {
        let (body, what) = read_body(&mut io::repeat(b' ').take(1024 * 1024));
        assert_eq!((body.len(), &*what), (LARGEST, "it is larger than 64 KiB"));
    }
}
