//! Sends a request with a fresh token, and again where that is safe.

use crate::api::body::Body;
use crate::api::client::Inner;
use crate::api::request::{OnUpload, Request};
use crate::api::response::Response;
use crate::error::{Cause, Error, ErrorKind, HttpErrorKind, Result, status_line};
use crate::http::connection::Progress;
use crate::http::retry::is_transient;
use crate::platform::signals::SignalGuard;
use crate::tokens::secret::{AccessToken, redact, redact_known};
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use ureq::SendBody;
use ureq::http::{self, HeaderMap, StatusCode, Uri, header};

/// The longest wait between two tries that is obeyed; a longer one is reported to the user.
const PATIENCE: Duration = Duration::from_secs(120);
/// When a person is told what a request waits for.
const SLOW: Duration = Duration::from_secs(3);

impl Request<'_> {
    /// Sends the request, and waits for the headers of the response.
    ///
    /// Retries any request after 429, and GET, HEAD and OPTIONS also after 408, 425, 500, 502, 503, 504,
    /// 520 to 524 and failed or broken connections. After a 401 it refreshes the tokens, once.
    ///
    /// The caller reads the body of the response, which is not requested again if it is interrupted.
    /// [`Client::get`](crate::Client::get), [`rows`](Self::rows) and [`send_and`](Self::send_and) do request
    /// it again.
    ///
    /// # Errors
    ///
    /// Of every [`ErrorKind`]. [`Error::http`] has the response if it is other than 2xx.
    pub fn send(self) -> Result<Response> {
        self.run(Ok)
    }

    /// Sends the request, and reads the response with a function. If a response to GET is interrupted, it is
    /// requested again, and the function gets it from its start.
    ///
    /// # Errors
    ///
    /// Also those of the function.
    ///
    /// ```no_run
    /// use aac_auth::Method;
    /// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
    ///
    /// client.request(Method::GET, "/plans/v1/plans/7/package").download().send_and(|mut response| {
    ///     let mut file = client.output_file("plan.zip".as_ref())?;
    ///     let mut buffer = vec![0; 128 * 1024];
    ///     loop {
    ///         match response.read(&mut buffer)? {
    ///             0 => return file.finish(),
    ///             length => file.write(&buffer[..length])?,
    ///         }
    ///     }
    /// })?;
    /// # Ok::<(), aac_auth::Error>(())
    /// ```
    pub fn send_and<T>(self, read: impl FnMut(Response) -> Result<T>) -> Result<T> {
        self.run(read)
    }

    /// Sends the request and reads the whole response; returns its URL, and its text, which should be
    /// JSON. An interrupted response is requested again, like one that did not arrive.
    pub(crate) fn text(self) -> Result<(String, String)> {
        self.run(Response::text)
    }

    /// The same, once and without a refresh; none if a second request may succeed.
    pub(crate) fn text_at_once(mut self) -> Option<Result<(String, String)>> {
        let token = self.client.inner.rotation.token_at_hand()?;
        let uri = self.uri(&self.path).ok()?;
        match self.attempt(&uri, &token).map(Response::text) {
            Ok(Ok(text)) => Some(Ok(text)),
            // What is wrong with a response stays so.
            Ok(Err(error)) if error.kind() == ErrorKind::Response => Some(Err(error)),
            // A server that did not respond in time gets no second chance.
            Err(error) if error.is_timeout() => Some(Err(error)),
            _ => None,
        }
    }

    /// Sends the request until `finish` has made something of a 2xx response, or no further try may help.
    fn run<T>(mut self, mut finish: impl FnMut(Response) -> Result<T>) -> Result<T> {
        self.check()?;
        let client = self.client;
        let uri = self.uri(&client.fill_in(&self.path)?)?;
        let mut fresh = client.fresh(None)?;
        let mut tries = 0;
        loop {
            let error = match self.attempt(&uri, &fresh.token) {
                Ok(response) => match finish(response) {
                    Ok(result) => return Ok(result),
                    Err(error) => error,
                },
                // A server that did not respond in time gets no second chance.
                Err(error) if error.is_timeout() => return Err(error),
                Err(error) => error,
            };
            let kind = error.http().map(|http| http.kind);
            let is_rejected = kind == Some(HttpErrorKind::Unauthorized) && !fresh.is_new;
            if !is_rejected && (tries == self.retry || !self.may_pass(&error)) {
                return Err(error);
            }
            let can_repeat = self.body.as_mut().map_or(Ok(true), Body::rewind)?;
            if is_rejected {
                client.inner.notices.step("the API rejects the access token; refreshing it");
                fresh = client.fresh(Some(&fresh.token))?;
                // Whatever follows, there is no better token.
                fresh.is_new = true;
            }
            if !can_repeat {
                return Err(error.with_body_consumed());
            }
            if !is_rejected {
                client.pause(&mut tries, &error);
                if SignalGuard::is_pending() {
                    return Err(error);
                }
                // The token may have gone stale meanwhile.
                let now = client.fresh(None)?;
                fresh = if now.token == fresh.token { fresh } else { now };
            }
        }
    }

    /// Whether this may pass by waiting, and a second request can do no harm.
    fn may_pass(&self, error: &Error) -> bool {
        let is_safe = self.method.is_safe();
        match (error.http(), error.cause()) {
            (Some(http), _) if http.retry_after.is_some_and(|wait| wait > PATIENCE) => false,
            (Some(http), _) if http.kind == HttpErrorKind::Throttled => true,
            (Some(http), _) => is_safe && is_transient(http.status.as_u16()),
            (None, Cause::Transport(reason)) => is_safe && !reason.is_lasting(),
            _ => false,
        }
    }

    /// One try. A status other than 2xx is an error.
    fn attempt(&mut self, uri: &Uri, token: &AccessToken) -> Result<Response> {
        let Inner { transport, limits, notices, .. } = &*self.client.inner;
        let secrets = [token.expose(), &self.client.settings().project_id];
        let url = shown_url(uri, &secrets);
        let mut request = http::Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers_with(token.expose())?;
        self.log('>', format_args!("{} {url}", self.method), request.headers(), &secrets);

        let patience = notices.after(SLOW, self.waiting_for(uri));
        let answer = match &mut self.body {
            None => transport.send(request, limits),
            Some(body) => {
                let (length, on_upload) = (body.length(), self.on_upload.as_mut());
                let mut sending = Sending { body, length, sent: 0, on_upload };
                let request = request.map(|()| SendBody::from_reader(&mut sending));
                transport.send(request, limits)
            }
        };
        drop(patience);
        if let Some(failure) = self.body.as_mut().and_then(Body::failure) {
            return Err(failure);
        }

        let method = self.method.as_str();
        let answer = answer.map_err(|reason| Error::transport(method, &url, reason))?;
        let status = answer.status();
        self.log('<', status_line(status.as_u16()), answer.headers(), &secrets);
        if status == StatusCode::PARTIAL_CONTENT && !self.headers.contains_key(header::RANGE) {
            let what = "HTTP 206 Partial Content: this is only a part of the response, and the whole was asked for";
            return Err(Error::bad_response(method, &url, what));
        }
        // To any other request it means that the server has begun.
        let is_ready =
            !(self.is_download && self.method.is_safe() && status == StatusCode::ACCEPTED);
        let response = Response::new(method.to_owned(), url, answer, 10 * limits.idle);
        match status.is_success() && is_ready {
            true => Ok(response),
            false => {
                let mut error = response.into_error(&secrets);
                if error.kind == HttpErrorKind::Unauthorized
                    && self.client.inner.rotation.lone_token().is_some()
                {
                    error.kind = HttpErrorKind::LoneToken;
                }
                Err(Error::status(error))
            }
        }
    }

    /// Tells what this thread waits for, from another one.
    fn waiting_for(&self, uri: &Uri) -> impl FnOnce() -> Option<String> + Send + 'static {
        let progress = Progress::watch();
        let host = uri.host().unwrap_or_default().to_owned();
        let seconds = self.client.inner.limits.first_byte.as_secs_f64();
        let is_upload = self.is_upload();
        move || {
            let what = match progress() {
                Progress::ToProxy => "the proxy".to_owned(),
                Progress::Connecting => format!("a connection to {host}"),
                // It may take as long as it takes.
                _ if is_upload => return None,
                _ => format!("the response of {host}"),
            };
            Some(format!("waiting for {what}, for up to {seconds} s"))
        }
    }

    /// Shows the first line and the headers of a message, with `--verbose`.
    fn log(&self, mark: char, line: impl fmt::Display, headers: &HeaderMap, secrets: &[&str]) {
        let notices = self.client.inner.notices;
        if !notices.verbose {
            return;
        }
        notices.step(format_args!("{mark} {line}"));
        for (name, value) in headers {
            let value = match value.is_sensitive() {
                true => "Bearer (redacted)".to_owned(),
                false => redact(&String::from_utf8_lossy(value.as_bytes()), secrets, 200),
            };
            notices.step(format_args!("{mark} {name}: {value}"));
        }
    }
}

/// A URL for messages: the path is the caller's own, the query may contain anything.
fn shown_url(uri: &Uri, secrets: &[&str]) -> String {
    let text = uri.to_string();
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    redact_known(path, secrets, 500) + &redact(query, secrets, 500)
}

/// A body being sent. Once the server accepts no more, the rest is not read: nobody would receive it,
/// and a stream may never end.
struct Sending<'a> {
    body: &'a mut Body,
    length: Option<u64>,
    sent: u64,
    on_upload: Option<&'a mut OnUpload>,
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Progress::get() == Progress::Refused {
            return Ok(self.body.skip(buffer.len()));
        }
        let read = self.body.read(buffer)?;
        self.sent += read as u64;
        if let Some(OnUpload(watch)) = &mut self.on_upload {
            watch(self.sent, self.length);
        }
        Ok(read)
    }
}
