//! Detects that a body is one page of a longer list, to tell people who did not ask for pages.

use crate::api::list::List;
use crate::api::response::Response;
use std::mem;
use ureq::http::Method;

/// How much of a body is kept, in bytes. A page of the platform's default length is far shorter.
const BODY: usize = 1024 * 1024;

/// Rows per page without `limit`, as the platform's services have it.
const DEFAULT_PAGES: [u64; 2] = [10, 25];

/// Examines the body of a response as it passes.
///
/// ```no_run
/// use aac_auth::{Method, PageHint};
/// # let client = aac_auth::Client::open(&aac_auth::ConnectionOptions::default(), "demo/1.0")?;
///
/// let mut response = client.request(Method::GET, "/plans/v1/plans").send()?;
/// let mut hint = PageHint::new(&response);
/// let mut buffer = vec![0; 64 * 1024];
/// loop {
///     match response.read(&mut buffer)? {
///         0 => break,
///         length => hint.see(&buffer[..length]),
///     }
/// }
/// if let Some(what) = hint.tell() {
///     eprintln!("{what}"); // this is 25 of 1234 rows
/// }
/// # Ok::<(), aac_auth::Error>(())
/// ```
#[derive(Debug)]
pub struct PageHint {
    /// `None` once there is nothing more to find out.
    body: Option<Vec<u8>>,
    offset: u64,
    has_limit: bool,
}

impl PageHint {
    /// Starts with a response whose body has not been read.
    pub fn new(response: &Response) -> Self {
        let query = response.url().split_once('?').map_or("", |(_, query)| query);
        let value = |name| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        Self {
            body: (*response.method() == Method::GET).then(Vec::new),
            offset: value("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0),
            has_limit: value("limit").is_some(),
        }
    }

    /// Examines the next part of the body.
    pub fn see(&mut self, bytes: &[u8]) {
        if let Some(body) = &mut self.body {
            if body.is_empty() && !matches!(bytes.trim_ascii_start().first(), None | Some(b'{')) {
                // Not an object: a package, a report, an array.
                self.body = None;
            } else if body.len() + bytes.len() > BODY {
                self.body = None;
            } else {
                body.extend_from_slice(bytes);
            }
        }
    }

    /// At the end of the body, a message if it is one page of a longer list.
    pub fn tell(&mut self) -> Option<String> {
        let body = mem::take(&mut self.body)?;
        let list = List::read(str::from_utf8(&body).ok()?).ok()?;
        let rows = list.rows.len() as u64;
        match list.announced.total {
            _ if rows == 0 => None,
            Some((total, _)) if total > self.offset.saturating_add(rows) => {
                Some(format!("this is {rows} of {total} rows"))
            }
            _ if list.announced.more.is_some() => {
                Some(format!("this is {rows} rows of a longer list"))
            }
            None if !self.has_limit && DEFAULT_PAGES.contains(&rows) => {
                Some(format!("this may be {rows} rows of a longer list"))
            }
            _ => None,
        }
    }
}
